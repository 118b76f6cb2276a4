//! Nothing of a pod is left on the host: not after it was removed, not after its pod init was killed at any step.
//!
//! Each test runs alone in a PID and mount namespace of its own, as if on a host of its own. Whatever it starts can be seen
//! there and nothing else, so the pictures are complete, and tests that run at the same time do not disturb them.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use barepod::kernel::cgroup::{Hierarchy, Version};
use barepod::plan::Rootfs;
use barepod::plan::sandbox::{SandboxSpec, SandboxStep, steps};
use barepod::plan::step::Step;
use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};
use support::*;

/// Runs the test on a host of its own, prepared as it is the hardest to leave nothing on.
fn alone<F: FnOnce(&Lab)>(body: F) {
    support::alone::<F>(|| {
        prepare_host();
        let lab = Lab::new();
        prepare_lab(&lab);
        body(&lab);
    });
}

/// The least friendly host: every mount is shared, as systemd makes them. Places where a stray file might go are empty.
fn prepare_host() {
    const NOTHING: Option<&str> = None;
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_SHARED, NOTHING).unwrap();
    for place in STRAY.iter().filter(|place| Path::new(place).is_dir()) {
        mount(Some("tmpfs"), *place, Some("tmpfs"), MsFlags::empty(), NOTHING).unwrap();
    }
}

/// Where nothing may be written with the options that the lab gives.
const STRAY: [&str; 3] = ["/run", "/dev/shm", "/var/log"];

/// The directories that barepod makes once and keeps: state root and logs. They belong to "before".
fn prepare_lab(lab: &Lab) {
    for directory in [lab.root().join("locks"), lab.root().join("pods"), lab.logs(), lab.dir.join("tmp")] {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).unwrap();
    }
}

/// The five kinds of things that a pod consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Process,
    Mount,
    NetworkNamespace,
    Cgroup,
    File,
}

/// What there is on the host at a moment.
#[derive(Debug, PartialEq)]
struct Picture(BTreeSet<(Kind, String)>);

impl Picture {
    fn take(lab: &Lab) -> Picture {
        let mut things = BTreeSet::new();
        let mut add = |kind, list: Vec<String>| things.extend(list.into_iter().map(|thing| (kind, thing)));
        add(Kind::Process, processes());
        add(
            Kind::Mount,
            fs::read_to_string("/proc/self/mountinfo").unwrap().lines().map(str::to_owned).collect(),
        );
        add(Kind::NetworkNamespace, network_namespaces());
        add(Kind::Cgroup, cgroups(lab));
        add(Kind::File, files(lab));
        Picture(things)
    }

    /// What is there now and was not, or was there and is not.
    fn differences(&self, now: &Picture) -> Vec<(Kind, String)> {
        let left = now.0.difference(&self.0).map(|(kind, thing)| (*kind, format!("left: {thing}")));
        let gone = self.0.difference(&now.0).map(|(kind, thing)| (*kind, format!("gone: {thing}")));
        left.chain(gone).collect()
    }

    /// Everything is as it was.
    fn assert_same(&self, lab: &Lab, after: &str) {
        let start = Instant::now();
        loop {
            let differences = self.differences(&Picture::take(lab));
            // A pod init that was killed before it was in its cgroup is seen for a moment, after it has let go of its lock.
            let may_be_dying = differences.iter().all(|(kind, _)| *kind == Kind::Process);
            if differences.is_empty() {
                return;
            }
            assert!(may_be_dying && start.elapsed() < seconds(1), "after {after}: {differences:#?}");
        }
    }
}

/// Everything that runs. An ended child of the namespace's first process is that shell's affair: it reaps when it gets to
/// it; other zombies count.
fn processes() -> Vec<String> {
    let describe = |pid: i32| {
        let (letter, parent) = support::state(pid)?;
        let shells = letter == 'Z' && parent <= 1;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (!shells).then(|| format!("{pid} {} {}", name.trim_end(), command_line(pid)))
    };
    all_processes().into_iter().filter_map(describe).collect()
}

/// The network namespace of every thread.
fn network_namespaces() -> Vec<String> {
    let tasks = |pid: i32| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let namespace =
        |task: fs::DirEntry| Some(fs::read_link(task.path().join("ns/net")).ok()?.to_str()?.to_owned());
    let mut all: Vec<String> = all_processes().into_iter().flat_map(tasks).filter_map(namespace).collect();
    all.dedup();
    all
}

/// The cgroup directories of the lab in every hierarchy. Its parent was named by the caller, who keeps it.
fn cgroups(lab: &Lab) -> Vec<String> {
    let parents = cgroup_directories(lab.cgroup_parent());
    let mut found = Vec::new();
    parents.iter().for_each(|parent| {
        walk(parent, &mut |path, is_directory| {
            if is_directory {
                found.push(path.display().to_string())
            }
        })
    });
    found
}

/// The lab, the bundles that it uses, and the places for strays.
fn files(lab: &Lab) -> Vec<String> {
    let mut found = Vec::new();
    for top in [lab.dir.clone(), bundles()].into_iter().chain(STRAY.map(PathBuf::from)) {
        walk(&top, &mut |path, _| found.push(path.display().to_string()));
    }
    found
}

fn walk(directory: &Path, see: &mut impl FnMut(&Path, bool)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        see(&entry.path(), is_directory);
        if is_directory {
            walk(&entry.path(), see);
        }
    }
}

/// A pod with everything in it: an init container, a sidecar, an app, hooks, volumes of both kinds, a shared process
/// namespace, limits.
fn everything(lab: &Lab, image: &str) -> String {
    let persistent = lab.persistent();
    let persistent = persistent.display();
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: everything}}
spec:
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 10
  volumes:
  - {{name: scratch, emptyDir: {{sizeLimit: 1Mi}}}}
  - {{name: memory, emptyDir: {{medium: Memory}}}}
  - {{name: persistent, hostPath: {{path: {persistent}}}}}
  initContainers:
  - name: prepare
    image: {image}
    command: [sh, -c, "echo prepared > /scratch/file"]
    tty: true
    volumeMounts: [{{name: scratch, mountPath: /scratch}}]
    securityContext: {{allowPrivilegeEscalation: false}}
  - name: proxy
    image: {image}
    restartPolicy: Always
    command: [sh, -c, "{UNTIL_TERM}"]
    volumeMounts: [{{name: memory, mountPath: /memory}}, {{name: persistent, mountPath: /persistent}}]
    startupProbe: {{exec: {{command: ["true"]}}, periodSeconds: 1}}
  containers:
  - name: app
    image: {image}
    command: [sh, -c, "echo started; {UNTIL_TERM}"]
    volumeMounts: [{{name: scratch, mountPath: /scratch, readOnly: true}}, {{name: memory, mountPath: /memory}}]
    resources: {{limits: {{memory: 64Mi, cpu: 500m}}}}
    lifecycle:
      postStart: {{exec: {{command: [sh, -c, "echo hook > /memory/hook"]}}}}
      preStop: {{exec: {{command: [test, -f, /memory/hook]}}}}
"#
    )
}

/// A bundle whose configuration makes every step necessary that a container of a pod can have.
fn full_bundle(lab: &Lab) {
    let bundle = lab.dir.join("full");
    own_bundle(&bundle);
    let mut spec = config();
    spec["process"]["rlimits"] = serde_json::json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 100}]);
    spec["linux"]["seccomp"] = serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW"});
    fs::write(bundle.join("config.json"), spec.to_string()).unwrap();
}

#[test]
fn after_each_of_many_rounds_of_run_stop_and_rm_nothing_is_left() {
    alone(|lab| {
        let rounds = match (std::env::var_os("BAREPOD_TEST_SLOW"), slowdown()) {
            (Some(_), _) => 200,
            (None, 1) => 20,
            (None, _) => 5, // under emulation
        };
        let manifest = lab.manifest(&everything(lab, "box"));
        let before = Picture::take(lab);
        for round in 1..=rounds {
            lab.ok(&["run", "-d", &manifest]);
            lab.ok(&[
                "wait",
                "everything",
                "--for=Ready",
                "--timeout",
                &format!("{}s", seconds(20).as_secs()),
            ]);
            assert!(
                !before.differences(&Picture::take(lab)).is_empty(),
                "a pod that runs shows in the picture"
            );
            lab.ok(&["stop", "everything"]);
            assert_eq!(lab.phase("everything"), "Succeeded");
            lab.ok(&["rm", "everything"]);
            before.assert_same(lab, &format!("round {round}"));
        }
    });
}

#[test]
fn after_rounds_in_the_foreground_nothing_is_left() {
    alone(|lab| {
        let manifest = lab.manifest(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: short}\nspec:\n  restartPolicy: Never\n  containers:\n  - {name: a, image: box, command: [echo, hello]}\n",
        );
        let before = Picture::take(lab);
        for round in 1..=5 {
            let output = lab.output(&["run", "--rm", &manifest]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            before.assert_same(lab, &format!("round {round} of run --rm"));
        }
    });
}

#[test]
fn rm_force_takes_a_pod_away_that_runs_that_has_ended_or_that_was_lost() {
    alone(|lab| {
        let manifest = lab.manifest(&everything(lab, "box"));
        let before = Picture::take(lab);
        for what in ["runs", "ended", "lost"] {
            lab.ok(&["run", "-d", &manifest]);
            match what {
                "ended" => drop(lab.ok(&["stop", "everything"])),
                "lost" => lab.kill_init("everything"),
                _ => lab.fails(125, &["rm", "everything"]).clear(),
            }
            lab.ok(&["rm", "-f", "everything"]);
            before.assert_same(lab, &format!("rm -f of a pod that {what}"));
        }
    });
}

#[test]
fn gc_takes_everything_of_lost_pods_and_all_but_record_and_logs_of_ended_ones() {
    alone(|lab| {
        let manifest = lab.manifest(&everything(lab, "box"));
        let before = Picture::take(lab);
        for name in ["running", "ended", "lost"] {
            lab.ok(&["run", "-d", "--name", name, &manifest]);
        }
        lab.ok(&["stop", "ended"]);
        lab.kill_init("lost");
        let said = lab.ok(&["gc"]);
        assert!(said.contains("lost pod lost") && !said.contains("running"), "{said}");
        assert_eq!(lab.ok(&["gc"]), "", "there is nothing left to remove");
        assert!(lab.fails(125, &["inspect", "lost"]).contains("ended, running"));
        assert_eq!(lab.phase("ended"), "Succeeded");
        assert_eq!(lab.ok(&["logs", "ended"]), "started\n");
        assert_eq!(lab.phase("running"), "Running");
        // Of the ended pod nothing but files is left.
        lab.ok(&["rm", "-f", "running"]);
        let left = before.differences(&Picture::take(lab));
        assert!(left.iter().all(|(kind, thing)| *kind == Kind::File && thing.contains("ended")), "{left:#?}");
        lab.ok(&["rm", "ended"]);
        before.assert_same(lab, "rm of the ended pod");
    });
}

#[test]
fn run_with_the_name_of_a_lost_pod_cleans_up_first() {
    alone(|lab| {
        let manifest = lab.manifest(&everything(lab, "box"));
        let before = Picture::take(lab);
        lab.ok(&["run", "-d", &manifest]);
        let old = lab.inspect("everything")["metadata"]["uid"].as_str().unwrap().to_owned();
        let picture = Picture::take(lab);
        assert!(picture.0.iter().any(|(kind, thing)| *kind == Kind::Cgroup && thing.contains(&old)));
        lab.kill_init("everything");
        lab.ok(&["run", "-d", &manifest]);
        let left: Vec<_> =
            Picture::take(lab).0.into_iter().filter(|(_, thing)| thing.contains(&old)).collect();
        assert!(left.is_empty(), "of the lost pod: {left:#?}");
        // The new one is a pod like any other.
        assert_ne!(lab.inspect("everything")["metadata"]["uid"], old.as_str());
        lab.ok(&["wait", "everything", "--for=Ready", "--timeout", "60s"]);
        assert!(lab.fails(125, &["run", "-d", &manifest]).contains("is running"));
        assert_eq!(lab.ok(&["gc"]), "", "gc leaves it alone");
        lab.ok(&["stop", "everything"]);
        lab.ok(&["rm", "everything"]);
        before.assert_same(lab, "the pod after the lost one");
    });
}

#[test]
fn a_cli_that_is_killed_in_the_foreground_leaves_the_pod_running() {
    alone(|lab| {
        let manifest = lab.manifest(&everything(lab, "box"));
        let before = Picture::take(lab);
        let mut run = lab.background(&["run", &manifest]);
        lab.until("the pod to be made", seconds(10), || {
            lab.output(&["inspect", "everything"]).status.success()
        });
        lab.ok(&["wait", "everything", "--for=Ready", "--timeout", "60s"]);
        run.kill();
        drop(run);
        assert_eq!(lab.phase("everything"), "Running");
        assert_eq!(lab.sh("everything", "app", "cat /memory/hook"), "hook\n");
        lab.ok(&["stop", "everything"]);
        assert_eq!(lab.phase("everything"), "Succeeded");
        lab.ok(&["rm", "everything"]);
        before.assert_same(lab, "rm");
    });
}

/// Who is killed at a step.
#[derive(Clone, Copy, PartialEq)]
enum Victims {
    /// The pod init; the CLI that waits for it lives.
    Init,
    /// The CLI first, so that nobody is left who could clean up.
    Both,
}

/// Starts the pod, kills at the step, lets the survivors finish.
fn crash_at(lab: &Lab, step: &str, manifest: &str, victims: Victims) {
    let mut run = lab.background(&["run", "-d", "--wait-at", step, manifest]);
    let init = waiting_at(lab, &mut run, step);
    if victims == Victims::Both {
        run.kill();
    }
    // gc comes right behind this, while the pod init may still be dying.
    kill(init);
    if victims == Victims::Init {
        assert_eq!(run.code(seconds(10)), Some(125), "{step}: {}", run.stderr());
    }
}

/// The pid of the pod init that waits at the step.
fn waiting_at(lab: &Lab, run: &mut Background, step: &str) -> i32 {
    let words = format!("waits at {step}; its pod init is process ");
    let mut found = None;
    lab.until(step, seconds(10), || {
        let over = run.child.try_wait().unwrap().is_some();
        found = run.stderr().lines().find_map(|line| line.split_once(&words)?.1.parse().ok());
        assert!(
            found.is_some() || !over,
            "{step} was never reached: a pod has to be made that needs it. {}",
            run.stderr()
        );
        found.is_some()
    });
    found.unwrap()
}

fn is_v2() -> bool {
    Hierarchy::detect().unwrap().version() == Version::V2
}

/// All steps of a sandbox that has everything.
fn sandbox_steps() -> Vec<&'static str> {
    let spec = SandboxSpec {
        hostname: "h".to_owned(),
        volumes: vec![("v".to_owned(), None)],
        memory_limit: Some(1),
        share_process_namespace: true,
        v2: is_v2(),
        ..SandboxSpec::default()
    };
    steps(&spec).iter().map(SandboxStep::name).collect()
}

/// Steps of the container layer that no container of a pod has: it is born into the namespaces of the pod init, which has
/// named the host already, and kernel parameters of shared namespaces are refused in a bundle.
const NOT_IN_PODS: [&str; 4] = ["join-namespace", "hostname", "domainname", "sysctl"];
/// On v2 a process is born in its cgroup and cgroup namespace.
const NOT_ON_V2: [&str; 2] = ["join-cgroup", "unshare-cgroup"];

fn container_steps() -> Vec<&'static str> {
    let left_out = |name: &&str| NOT_IN_PODS.contains(name) || is_v2() && NOT_ON_V2.contains(name);
    Step::NAMES.into_iter().filter(|name| !left_out(name)).collect()
}

#[test]
fn a_pod_init_killed_at_any_step_of_the_sandbox_leaves_nothing_although_the_cli_was_killed_too() {
    alone(|lab| {
        let manifest = lab.manifest(&everything(lab, "box"));
        let before = Picture::take(lab);
        for step in sandbox_steps() {
            crash_at(lab, &format!("sandbox.{step}"), &manifest, Victims::Both);
            assert!(lab.ok(&["gc"]).contains("lost pod everything"), "{step}");
            before.assert_same(lab, &format!("a crash at sandbox.{step} and gc"));
        }
    });
}

#[test]
fn a_pod_init_killed_at_any_step_of_the_sandbox_leaves_nothing_when_run_has_failed() {
    alone(|lab| {
        let manifest = lab.manifest(&everything(lab, "box"));
        let before = Picture::take(lab);
        for step in sandbox_steps() {
            crash_at(lab, &format!("sandbox.{step}"), &manifest, Victims::Init);
            before.assert_same(lab, &format!("a crash at sandbox.{step}, without gc"));
        }
    });
}

#[test]
fn a_pod_init_killed_at_any_step_of_a_container_leaves_nothing_after_gc() {
    alone(|lab| {
        full_bundle(lab);
        let manifest = lab.manifest(&everything(lab, "./full"));
        let before = Picture::take(lab);
        // Taking turns, since what a container's child leaves does not depend on the CLI; the slow run does both.
        let both = std::env::var_os("BAREPOD_TEST_SLOW").is_some();
        for (n, step) in container_steps().into_iter().enumerate() {
            for (turn, victims) in [Victims::Init, Victims::Both].into_iter().enumerate() {
                if both || n % 2 == turn {
                    crash_at(lab, &format!("container.{step}"), &manifest, victims);
                    assert!(lab.ok(&["gc"]).contains("lost pod everything"), "{step}");
                    before.assert_same(lab, &format!("a crash at container.{step} and gc"));
                }
            }
        }
    });
}

#[test]
fn the_steps_that_are_left_out_do_not_happen_in_a_pod() {
    alone(|lab| {
        full_bundle(lab);
        let left_out = NOT_IN_PODS.iter().chain(if is_v2() { NOT_ON_V2.iter() } else { [].iter() });
        for step in left_out {
            assert!(Step::NAMES.contains(step), "{step} is no step any more");
            let output = lab.output(&[
                "run",
                "-d",
                "--wait-at",
                &format!("container.{step}"),
                &lab.manifest(&everything(lab, "./full")),
            ]);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !stderr.contains("waits at"), "{step}: {stderr}");
            lab.ok(&["rm", "-f", "everything"]);
        }
    });
}

/// Whoever adds a step and does not name it would take it out of the tests above; so the plans of a pod that ran are read.
#[test]
fn the_steps_of_a_pod_are_those_that_have_names() {
    alone(|lab| {
        full_bundle(lab);
        lab.start_ready(&everything(lab, "./full"));
        let mut found = BTreeSet::new();
        for container in ["prepare", "proxy", "app"] {
            let spec = fs::read(lab.root().join(format!("pods/everything/{container}.0.json"))).unwrap();
            let spec = serde_json::from_slice(&spec).unwrap();
            let plan = barepod::plan::plan(&spec, &lab.dir, Rootfs::Directory("/".into()), is_v2()).unwrap();
            found.extend(plan.steps.iter().map(Step::name));
        }
        assert_eq!(found, BTreeSet::from_iter(container_steps()));
    });
}

#[test]
fn a_pod_init_killed_while_a_hook_a_probe_or_an_exec_runs_leaves_nothing() {
    alone(|lab| {
        let before = Picture::take(lab);
        let hook = |kind: &str| format!("lifecycle: {{{kind}: {{exec: {{command: [sleep, '987']}}}}}}");
        let probe = "readinessProbe: {exec: {command: [sleep, '987']}, timeoutSeconds: 100}".to_owned();
        for (what, more) in [
            ("postStart", hook("postStart")),
            ("preStop", hook("preStop")),
            ("probe", probe),
            ("exec", String::new()),
        ] {
            let manifest = lab.manifest(&format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: busy}}\nspec:\n  containers:\n  - name: a\n    image: box\n    command: [sh, -c, \"{UNTIL_TERM}\"]\n    {more}\n"
            ));
            lab.ok(&["run", "-d", &manifest]);
            let background = match what {
                "preStop" => Some(lab.background(&["stop", "busy"])),
                "exec" => Some(lab.background(&["exec", "busy", "--", "sleep", "987"])),
                _ => None,
            };
            lab.until(what, seconds(10), || {
                all_processes().into_iter().any(|pid| command_line(pid) == "sleep 987")
            });
            lab.kill_init("busy");
            if let Some(mut background) = background {
                background.code(seconds(10));
            }
            lab.ok(&["gc"]);
            fs::remove_file(manifest).unwrap();
            before.assert_same(lab, &format!("a crash during {what} and gc"));
        }
    });
}

#[test]
fn debug_containers_leave_nothing_whether_they_have_ended_are_stopped_with_their_pod_or_die_with_it() {
    alone(|lab| {
        let manifest = lab.manifest(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: busy}}\nspec:\n  containers:\n  - name: a\n    image: box\n    command: [sh, -c, \"{UNTIL_TERM}\"]\n"
        ));
        let before = Picture::take(lab);
        for end in ["stop", "lost"] {
            lab.ok(&["run", "-d", &manifest]);
            let mut attached =
                lab.background(&["debug", "-i", "busy", "--image", "box", "--", "sleep", "987"]);
            for args in [["--target=a", "--image=box"], ["-cx", "--image=box"]] {
                lab.ok(
                    &[&["debug", "busy"], &args[..], &["--", "sh", "-c", "trap '' TERM; sleep 987"]].concat()
                );
                lab.ok(&["debug", "busy", "--image", "box", "--", "true"]);
                lab.output(&["debug", "-t", "busy", "--image", "box", "--", "nosuch"]);
            }
            lab.until("the debug containers", seconds(10), || {
                let sleeps = |pid: &i32| command_line(*pid) == "sleep 987";
                all_processes().iter().filter(|pid| sleeps(pid)).count() == 3
            });
            if end == "stop" {
                lab.ok(&["stop", "busy"]);
                lab.ok(&["rm", "busy"]);
                assert_eq!(attached.code(seconds(10)), Some(137));
            } else {
                lab.kill_init("busy");
                assert_eq!(attached.code(seconds(10)), Some(125));
                lab.ok(&["gc"]);
            }
            drop(attached);
            before.assert_same(lab, &format!("debug containers and {end}"));
        }
    });
}

#[test]
fn each_of_the_five_kinds_left_on_purpose_is_found() {
    alone(|lab| {
        let before = Picture::take(lab);
        // The kinds that differ, each once.
        let kinds = || -> BTreeSet<Kind> {
            before.differences(&Picture::take(lab)).into_iter().map(|(kind, _)| kind).collect()
        };
        assert_eq!(kinds(), BTreeSet::new());

        let mut process = Command::new("sleep").arg("600").spawn().unwrap();
        assert_eq!(kinds(), BTreeSet::from([Kind::Process]));
        process.kill().unwrap();
        process.wait().unwrap();

        let place = lab.persistent();
        mount(Some("tmpfs"), &place, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        assert_eq!(kinds(), BTreeSet::from([Kind::Mount]));
        umount(&place).unwrap();

        // A thread is enough to hold a network namespace.
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let (ready, made) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            ready.send(()).unwrap();
            wait.recv().ok();
        });
        made.recv().unwrap();
        assert_eq!(kinds(), BTreeSet::from([Kind::NetworkNamespace]));
        drop(done);
        thread.join().unwrap();
        lab.until("the thread to be gone", seconds(5), || kinds().is_empty());

        let hierarchy = Hierarchy::detect().unwrap();
        let (root, _) = hierarchy.mounts().next().unwrap();
        let cgroup = root.join(lab.cgroup_parent()).join("left");
        fs::create_dir_all(&cgroup).unwrap();
        assert_eq!(kinds(), BTreeSet::from([Kind::Cgroup]));
        fs::remove_dir(&cgroup).unwrap();

        let strays = STRAY.map(PathBuf::from).into_iter().filter(|place| place.is_dir());
        for place in [lab.root(), lab.logs(), lab.dir.join("tmp")].into_iter().chain(strays) {
            let file = place.join("left");
            fs::write(&file, "").unwrap();
            assert_eq!(kinds(), BTreeSet::from([Kind::File]), "{}", file.display());
            fs::remove_file(file).unwrap();
        }
        assert_eq!(kinds(), BTreeSet::new());
    });
}
