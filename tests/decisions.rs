//! The decisions that hold the design together, each on the built binary: a number is that of the decision.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount, umount};
use nix::sys::signal::Signal;
use support::*;

/// A pod of one container that waits for TERM; `more` is indented below it.
fn simple(name: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 5\n  containers:\n  - name: app\n    image: box\n    command: [sh, -c, \"{UNTIL_TERM}\"]\n{more}"
    )
}

/// The processes of the lab's machine with this command line.
fn with_command_line(line: &str) -> Vec<i32> {
    all_processes().into_iter().filter(|pid| command_line(*pid) == line).collect()
}

/// Starts a pod and `barepod exec` of a `sleep` in it, then does something to that exec, kills the pod init, and looks.
fn exec_does_not_hold_a_dead_pod(name: &str, number: u32, to_exec: Signal) {
    let lab = Lab::new();
    lab.start_ready(&simple(name, ""));
    let init = lab.init_pid(name);
    let sleep = format!("sleep {number}");
    let mut exec = lab.background(&["exec", name, "--", "sleep", &number.to_string()]);
    lab.until("the command to run", seconds(10), || {
        with_command_line(&sleep).iter().any(|pid| !has_ended(*pid))
    });
    signal(exec.pid(), to_exec);
    lab.until("the signal to arrive", seconds(2), || {
        matches!(state(exec.pid()), Some(('T' | 'Z', _)) | None)
    });

    kill(init);
    lab.until("the pod to be gone", seconds(1), || {
        has_ended(init) && lab.processes().iter().all(|pid| has_ended(*pid))
    });
    assert!(with_command_line(&sleep).iter().all(|pid| has_ended(*pid)));
    lab.ok(&["gc"]);
    if to_exec == Signal::SIGSTOP {
        signal(exec.pid(), Signal::SIGCONT);
        assert_eq!(exec.code(seconds(5)), Some(137), "{}", exec.stderr());
    } else {
        exec.kill();
    }
    // The keeper was no process of the pod, and is gone as well.
    let root = lab.root().display().to_string();
    lab.until("the keeper to be gone", seconds(2), || {
        !all_processes().iter().any(|pid| command_line(*pid).contains(&root))
    });
}

#[test]
fn d1_a_stopped_exec_does_not_keep_a_killed_pod_alive() {
    exec_does_not_hold_a_dead_pod("stopped-exec", 70_001, Signal::SIGSTOP);
}

#[test]
fn d1_a_killed_exec_does_not_keep_a_killed_pod_alive() {
    exec_does_not_hold_a_dead_pod("killed-exec", 70_002, Signal::SIGKILL);
}

/// A keeper that is stopped itself cannot reap its command, and so holds the dead pod: it is killed, and named.
#[test]
fn d1_a_stopped_keeper_of_an_exec_is_killed_and_named() {
    let lab = Lab::new();
    lab.start_ready(&simple("kept", ""));
    let exec = lab.background(&["exec", "kept", "--", "sleep", "70003"]);
    lab.until("the command", seconds(10), || {
        lab.processes().iter().any(|pid| command_line(*pid).starts_with("sleep 70003"))
    });
    let keeper =
        all_processes().into_iter().find(|pid| state(*pid).is_some_and(|(_, parent)| parent == exec.pid()));
    let keeper = keeper.expect("barepod exec has a child");
    let init = lab.init_pid("kept");
    signal(keeper, Signal::SIGSTOP);
    let output = lab.output(&["rm", "-f", "kept"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains(&format!("(process {keeper}), which held the pod from outside")), "{stderr}");
    assert!(has_ended(init) && has_ended(keeper));
}

#[test]
fn the_callers_umask_is_not_the_pods() {
    let lab = Lab::new();
    let user = "    securityContext: {runAsUser: 1000, runAsGroup: 1000}\n";
    let path = lab.manifest(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: masked}}\nspec:\n  restartPolicy: Never\n  containers:\n  - name: app\n    image: box\n    command: [sh, -c, 'cat /etc/hosts && ls /']\n{user}"
    ));
    let command = lab.command(&["run", &path]);
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "umask 077; exec \"$@\"", "sh"]).args(words).env("BAREPOD_BUNDLES", bundles());
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn d2_a_pod_whose_init_was_killed_is_lost_although_the_run_in_the_foreground_lives() {
    let lab = Lab::new();
    let mut run = lab.background(&["run", &lab.manifest(&simple("lost", ""))]);
    lab.until("the pod", seconds(10), || {
        lab.output(&["wait", "lost", "--for=Running", "--timeout", "1s"]).status.success()
    });
    // Stopped, so that it lives for certain, with whatever it holds.
    signal(run.pid(), Signal::SIGSTOP);
    lab.kill_init("lost");
    let row = lab.ok(&["ps"]);
    assert!(row.lines().any(|line| line.starts_with("lost ") && line.contains("SandboxLost")), "{row}");
    let object = lab.inspect("lost");
    assert_eq!(
        (&object["status"]["phase"], &object["status"]["reason"]),
        (&"Failed".into(), &"SandboxLost".into())
    );
    let ended = &lab.status("lost", "app")["state"]["terminated"];
    assert_eq!((&ended["reason"], &ended["exitCode"]), (&"ContainerStatusUnknown".into(), &137.into()));
    signal(run.pid(), Signal::SIGCONT);
    assert_eq!(run.code(seconds(5)), Some(125));
    assert!(run.stderr().contains("was lost"), "{}", run.stderr());
}

#[test]
fn d3_inside_every_line_of_the_cgroup_is_the_root() {
    let lab = Lab::new();
    lab.start_ready(&simple("cgroups", ""));
    let text = lab.sh("cgroups", "app", "cat /proc/1/cgroup /proc/self/cgroup");
    assert!(text.lines().count() >= 2);
    for line in text.lines() {
        assert!(line.ends_with(":/"), "{line}");
    }
    // On the host it is the container's cgroup below the pod's, in every hierarchy that is in use.
    let uid = lab.inspect("cgroups")["metadata"]["uid"].as_str().unwrap().to_owned();
    let own = lab.record("cgroups")["instances"][0]["process"]["pid"].as_i64().unwrap();
    let path = format!(":/{}/barepod/{uid}/pod/app.0", lab.cgroup_parent());
    let lines = fs::read_to_string(format!("/proc/{own}/cgroup")).unwrap();
    let directories = cgroup_directories(&path[2..]);
    assert!(!directories.is_empty());
    assert_eq!(lines.lines().filter(|line| line.ends_with(&path)).count(), directories.len(), "{lines}");
}

#[test]
fn d3_filling_a_memory_volume_up_to_the_pods_limit_ends_the_container_and_not_the_pod_init() {
    let lab = Lab::new();
    // Two volumes, each as large as the limit: together they are more than the pod may have.
    let pod = lab.start(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: full}
spec:
  restartPolicy: Never
  resources: {limits: {memory: 48Mi}}
  volumes:
  - {name: a, emptyDir: {medium: Memory}}
  - {name: b, emptyDir: {medium: Memory}}
  containers:
  - name: filler
    image: box
    command: [sh, -c, "dd if=/dev/zero of=/a/x bs=1M count=40 && dd if=/dev/zero of=/b/x bs=1M count=40"]
    volumeMounts: [{name: a, mountPath: /a}, {name: b, mountPath: /b}]
"#,
    );
    assert_eq!(lab.wait_ended(&pod, 60), "Failed");
    let object = lab.inspect(&pod);
    assert_ne!(object["status"]["reason"], "SandboxLost", "the pod init was killed");
    let ended = &lab.status(&pod, "filler")["state"]["terminated"];
    let (code, reason) = (ended["exitCode"].as_i64().unwrap(), ended["reason"].as_str().unwrap());
    // dd is killed (its shell then says 137), or the shell is (OOMKilled), or the write fails.
    assert!(reason == "OOMKilled" || code != 0, "{ended}");
}

/// `text` with the words that only the inside of the shell may spell out, so that no command line of the test's own has them.
fn leftover(number: u32) -> String {
    format!("setsid sleep $(({number} - 1 + 1)) > /dev/null 2>&1 &")
}

#[test]
fn d5_a_child_that_survives_its_parent_is_dead_before_the_instance_counts_as_ended() {
    let lab = Lab::new();
    let child = leftover(70_010);
    let pod = lab.start_ready(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: ends}}
spec:
  restartPolicy: Never
  shareProcessNamespace: true
  volumes: [{{name: go, emptyDir: {{}}}}]
  containers:
  - name: parent
    image: box
    command: [sh, -c, "{child} until test -e /go/on; do sleep 0.05; done; exit 3"]
    volumeMounts: [{{name: go, mountPath: /go}}]
  - name: other
    image: box
    command: [sh, -c, "{UNTIL_TERM}"]
"#
    ));
    lab.until("the child", seconds(5), || !with_command_line("sleep 70010").is_empty());
    lab.sh(&pod, "parent", "touch /go/on");
    lab.until("the end of the parent", seconds(5), || {
        !lab.status(&pod, "parent")["state"]["terminated"].is_null()
    });
    assert!(with_command_line("sleep 70010").iter().all(|pid| has_ended(*pid)), "it outlives the instance");
    assert_eq!(lab.status(&pod, "parent")["state"]["terminated"]["exitCode"], 3);
    assert!(!lab.status(&pod, "other")["state"]["running"].is_null(), "the neighbour is left alone");
}

#[test]
fn d5_a_child_that_survives_its_parent_is_dead_before_the_restart() {
    let lab = Lab::new();
    let (persistent, child) = (lab.persistent(), leftover(70_020));
    // Brackets, so that the shell that looks does not find itself.
    let manifest = lab.manifest(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: restarts}}
spec:
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 1
  volumes: [{{name: persistent, hostPath: {{path: {}}}}}]
  containers:
  - name: parent
    image: box
    command: [sh, -c, "echo found $(ps -o args | grep -c '[s]leep 70020') >> /persistent/found; {child} sleep 0.2; exit 1"]
    volumeMounts: [{{name: persistent, mountPath: /persistent}}]
  - name: other
    image: box
    command: [sh, -c, "{UNTIL_TERM}"]
"#,
        persistent.display()
    ));
    lab.ok(&["run", "-d", "--crash-loop-max", "100ms", &manifest]);
    let found = || fs::read_to_string(lab.persistent().join("found")).unwrap_or_default();
    lab.until("three starts", seconds(20), || found().lines().count() >= 3);
    assert!(found().lines().all(|line| line == "found 0"), "{}", found());
    // The question can be answered with yes: the other container sees it while the parent lives.
    lab.until("the child to be seen", seconds(20), || {
        lab.sh("restarts", "other", "ps -o args | grep -c '[s]leep 70020' || true").trim() == "1"
    });
}

/// Unmounts what is mounted below the lab when the test is over, however it ends.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(place: &Path) -> Mounted {
        fs::create_dir_all(place).unwrap();
        mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        Mounted(place.to_owned())
    }

    /// `major:minor` as mountinfo shows it.
    fn device(&self) -> String {
        let device = fs::metadata(&self.0).unwrap().dev();
        format!("{}:{}", nix::sys::stat::major(device), nix::sys::stat::minor(device))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        umount(&self.0).ok(); // the test may have done it
    }
}

/// The processes in whose mount namespace a filesystem is mounted.
fn holders(device: &str) -> Vec<String> {
    let holds = |pid: &i32| {
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        mounts.lines().any(|line| line.split(' ').nth(2) == Some(device))
    };
    all_processes().into_iter().filter(holds).map(|pid| format!("{pid} {}", command_line(pid))).collect()
}

fn alone_with<F: FnOnce(&Lab)>(body: F) {
    alone::<F>(|| body(&Lab::new()));
}

#[test]
fn d6_a_filesystem_unmounted_on_the_host_while_a_pod_runs_really_goes_away() {
    // Mounts of a test must not disturb others, which have copies of them in their mount namespaces.
    alone_with(|lab| {
        // As systemd has it: what is mounted below shows in other mount namespaces too, and so does its end.
        let host = Mounted::tmpfs(&lab.dir.join("host"));
        mount(None::<&str>, &host.0, None::<&str>, MsFlags::MS_SHARED, None::<&str>).unwrap();
        let before = Mounted::tmpfs(&host.0.join("before"));
        let more = format!(
            "    volumeMounts: [{{name: host, mountPath: /host, mountPropagation: HostToContainer}}]\n  volumes: [{{name: host, hostPath: {{path: {}}}}}]\n",
            host.0.display()
        );
        let pod = lab.start_ready(&simple("mounts", &more));
        let init = lab.init_pid(&pod);
        let own = |device: &str| holders(device).iter().any(|line| line.starts_with(&format!("{init} ")));

        let during = Mounted::tmpfs(&host.0.join("during"));
        fs::write(during.0.join("file"), "seen").unwrap();
        assert_eq!(
            lab.sh(&pod, "app", "cat /host/during/file"),
            "seen",
            "a new mount arrives in the container"
        );
        let devices = [before.device(), during.device()];
        assert!(devices.iter().all(|device| own(device)), "the pod init has a copy of both");
        for mounted in [&before, &during] {
            umount(&mounted.0).unwrap();
        }
        for device in &devices {
            assert_eq!(holders(device), Vec::<String>::new());
        }
        assert_eq!(lab.sh(&pod, "app", "ls /host/before /host/during"), "/host/before:\n\n/host/during:\n");
        lab.ok(&["rm", "-f", &pod]);
    });
}

#[test]
fn d11_no_process_of_a_detached_pod_holds_a_descriptor_of_the_caller() {
    let lab = Lab::new();
    let manifest = lab.manifest(&simple("detached", ""));
    let extra = lab.dir.join("extra");
    // The substitution ends when every writer of the pipe has closed it: a pod that held it would be waited for.
    let script = format!("exec 9>{}; out=$(\"$@\") && echo \"got:$out\"", extra.display());
    let run = lab.command(&["run", "-d", &manifest]);
    let mut shell = Command::new("timeout");
    shell
        .arg((seconds(20).as_secs()).to_string())
        .args(["sh", "-c", &script, "sh"])
        .arg(run.get_program())
        .args(run.get_args());
    shell.envs(run.get_envs().filter_map(|(key, value)| Some((key, value?)))).stdin(Stdio::null());
    let output = shell.output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "got:detached\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    lab.until("pod init, shell and sleep", seconds(5), || lab.processes().len() >= 3);
    let pids = lab.processes();
    let caller = [extra, lab.dir.clone(), std::env::current_dir().unwrap()];
    for pid in pids {
        for fd in fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
            let Ok(target) = fs::read_link(fd.path()) else { continue };
            assert!(
                target != caller[0],
                "process {pid} ({}) holds {}",
                command_line(pid),
                fd.path().display()
            );
        }
        let directory = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
        assert!(!caller[1..].contains(&directory), "process {pid} is in {}", directory.display());
    }
    let init = lab.init_pid("detached");
    for fd in 0..3 {
        assert_eq!(fs::read_link(format!("/proc/{init}/fd/{fd}")).unwrap(), Path::new("/dev/null"));
    }
    let session = |pid: i32| {
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .unwrap()
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .nth(3)
            .unwrap()
            .to_owned()
    };
    assert_eq!(session(init), init.to_string(), "the pod init leads a session of its own");
}

#[test]
fn restarts_leave_no_more_in_the_pods_directory_than_two_instances_of_a_container_have() {
    let lab = Lab::new();
    let manifest = lab.manifest(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: loop}}\nspec:\n  containers:\n  - {{name: bad, image: box, \
         command: [\"false\"]}}\n  - {{name: good, image: box, command: [sh, -c, \"{UNTIL_TERM}\"]}}\n"
    ));
    lab.ok(&["run", "-d", "--crash-loop-max", "20ms", &manifest]);
    lab.until("some restarts", seconds(20), || lab.restarts("loop", "bad") >= 5);
    lab.ok(&["stop", "loop"]);
    let last = lab.restarts("loop", "bad");
    let names =
        std::fs::read_dir(lab.root().join("pods/loop")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut specs: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
    specs.retain(|name| name.starts_with("bad.") || name.starts_with("good."));
    specs.sort();
    let mut expected =
        vec![format!("bad.{}.json", last - 1), format!("bad.{last}.json"), "good.0.json".to_owned()];
    expected.sort();
    assert_eq!(specs, expected);
}

#[test]
fn d12_readers_work_while_the_pod_init_is_stopped() {
    let lab = Lab::new();
    let more = "  - {name: talker, image: box, command: [sh, -c, \"echo a word; exec sleep 600\"]}\n";
    let pod = lab.start_ready(&simple("asleep", more));
    lab.until("the word", seconds(5), || lab.ok(&["logs", &pod, "-c", "talker"]) == "a word\n");
    let init = lab.init_pid(&pod);
    signal(init, Signal::SIGSTOP);
    lab.until("it to stop", seconds(2), || state(init).is_some_and(|(letter, _)| letter == 'T'));
    let quick = |args: &[&str]| {
        let mut verb = lab.background(args);
        assert_eq!(verb.code(seconds(2)), Some(0), "{args:?}: {}", verb.stderr());
        verb.stdout()
    };
    assert!(quick(&["ps"]).contains("Running"));
    assert!(quick(&["ps", "-o", "json"]).contains("\"asleep\""));
    assert!(quick(&["inspect", &pod]).contains("\"Running\""));
    assert_eq!(quick(&["logs", &pod, "-c", "talker"]), "a word\n");
    assert!(quick(&["events", &pod]).contains("Started"));
    assert_eq!(quick(&["wait", &pod, "--for=Ready"]), "");
    assert_eq!(quick(&["exec", &pod, "--", "echo", "hello"]), "hello\n");
    signal(init, Signal::SIGCONT);
    lab.ok(&["stop", &pod]);
    assert_eq!(lab.phase(&pod), "Failed", "sleep does not handle TERM");
}

#[test]
fn d12_a_pod_init_that_does_not_answer_is_killed_by_stop_which_says_so() {
    let lab = Lab::new();
    let pod = lab.start_ready(&simple("deaf", ""));
    signal(lab.init_pid(&pod), Signal::SIGSTOP);
    let mut stop = lab.background(&["stop", &pod]);
    assert_eq!(stop.code(seconds(6)), Some(125));
    let said = stop.stderr();
    assert!(said.contains("stop deaf") && said.contains("was killed") && said.lines().count() == 1, "{said}");
    assert!(lab.processes().iter().all(|pid| has_ended(*pid)));
    assert_eq!(lab.inspect(&pod)["status"]["reason"], "SandboxLost");
}

#[test]
fn a_bundle_may_have_a_name_with_every_character_that_overlayfs_splits_at() {
    let lab = Lab::new();
    own_bundle(&lab.dir.join(r"a:b,c\d"));
    fs::write(lab.dir.join(r"a:b,c\d/config.json"), config().to_string()).unwrap();
    let pod = lab.start(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: odd}\nspec:\n  restartPolicy: Never\n  containers:\n  - {name: a, image: './a:b,c\\d', command: [sh, -c, 'echo x > /new; cat /new']}\n",
    );
    assert_eq!(lab.wait_ended(&pod, 10), "Succeeded");
    assert_eq!(lab.ok(&["logs", &pod]), "x\n");
    assert!(!lab.dir.join(r"a:b,c\d/rootfs/new").exists(), "the bundle is not written to");
}

#[test]
fn d7_a_restarted_container_has_a_fresh_root() {
    let lab = Lab::new();
    let manifest = lab.manifest(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: fresh}}
spec:
  volumes: [{{name: persistent, hostPath: {{path: {}}}}}]
  containers:
  - name: a
    image: box
    command: [sh, -c, "if test -e /mark; then echo stale; else echo fresh; fi >> /persistent/roots; touch /mark; exit 1"]
    volumeMounts: [{{name: persistent, mountPath: /persistent}}]
"#,
        lab.persistent().display()
    ));
    lab.ok(&["run", "-d", "--crash-loop-max", "100ms", &manifest]);
    let roots = || fs::read_to_string(lab.persistent().join("roots")).unwrap_or_default();
    lab.until("three starts", seconds(20), || roots().lines().count() >= 3);
    assert!(roots().lines().all(|line| line == "fresh"), "{}", roots());
}

#[test]
fn volumes_are_shared_and_read_only_where_the_manifest_says_so() {
    let lab = Lab::new();
    fs::write(lab.persistent().join("file"), "of the host\n").unwrap();
    let pod = lab.start_ready(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: volumes}}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
  - {{name: shared, emptyDir: {{}}}}
  - {{name: small, emptyDir: {{sizeLimit: 1Mi}}}}
  - {{name: host, hostPath: {{path: {}}}}}
  containers:
  - name: writer
    image: box
    command: [sh, -c, "{UNTIL_TERM}"]
    volumeMounts: [{{name: shared, mountPath: /deep/shared}}, {{name: small, mountPath: /small}}, {{name: host, mountPath: /host, readOnly: true}}]
  - name: reader
    image: box
    command: [sh, -c, "{UNTIL_TERM}"]
    volumeMounts: [{{name: shared, mountPath: /seen, readOnly: true}}]
"#,
        lab.persistent().display()
    ));
    lab.sh(&pod, "writer", "echo words > /deep/shared/file");
    assert_eq!(lab.sh(&pod, "reader", "cat /seen/file"), "words\n");
    let refused =
        |container: &str, path: &str| lab.fails(1, &["exec", &pod, "-c", container, "--", "touch", path]);
    assert!(refused("reader", "/seen/new").contains("Read-only file system"));
    assert_eq!(lab.sh(&pod, "writer", "cat /host/file"), "of the host\n");
    assert!(refused("writer", "/host/new").contains("Read-only file system"));
    // mount(8) cannot undo it either: the container lacks the capability.
    lab.output(&["exec", &pod, "-c", "writer", "--", "mount", "-o", "remount,rw", "/host"]);
    refused("writer", "/host/new");
    // What does not fit does not go in.
    let full = lab.fails(
        1,
        &["exec", &pod, "-c", "writer", "--", "dd", "if=/dev/zero", "of=/small/x", "bs=64k", "count=32"],
    );
    assert!(full.contains("No space left"), "{full}");
    let size: u64 = lab.sh(&pod, "writer", "stat -c %s /small/x").trim().parse().unwrap();
    assert!(size <= 1 << 20, "{size}");
    assert_eq!(lab.sh(&pod, "writer", "stat -c %a /small"), "777\n");
}

#[test]
fn exec_joins_the_cgroup_and_has_no_inheritable_or_ambient_capability() {
    let lab = Lab::new();
    let bundle = lab.dir.join("capable");
    own_bundle(&bundle);
    let mut spec = config();
    for set in ["inheritable", "ambient"] {
        spec["process"]["capabilities"][set] = spec["process"]["capabilities"]["permitted"].clone();
    }
    fs::write(bundle.join("config.json"), spec.to_string()).unwrap();
    let pod = lab.start_ready(&simple("capable", "").replace("image: box", "image: ./capable"));
    let status = lab.sh(&pod, "app", "cat /proc/self/status; echo; cat /proc/1/status");
    for set in ["CapInh:", "CapAmb:"] {
        let values: Vec<_> =
            status.lines().filter_map(|line| line.strip_prefix(set)).map(str::trim).collect();
        assert_eq!(values, ["0000000000000000"; 2], "{set}");
    }
    let sets = |name: &str| -> Vec<String> {
        status
            .lines()
            .filter_map(|line| line.strip_prefix(name))
            .map(|value| value.trim().to_owned())
            .collect()
    };
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert!(sets(set)[0] == sets(set)[1] && sets(set)[0] != "0000000000000000", "{set} {:?}", sets(set));
    }

    let _exec = lab.background(&["exec", &pod, "--", "sleep", "70030"]);
    lab.until("the command", seconds(5), || !with_command_line("sleep 70030").is_empty());
    let cgroup = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let command = with_command_line("sleep 70030")[0];
    let first = lab.record(&pod)["instances"][0]["process"]["pid"].as_i64().unwrap() as i32;
    assert!(cgroup(first).contains("/pod/app.0"));
    assert_eq!(cgroup(command), cgroup(first));
    assert_eq!(lab.sh(&pod, "app", "grep -v ':/$' /proc/self/cgroup || true"), "");
}

/// What `readlink /proc/self/ns/*` says in a container.
fn namespaces(lab: &Lab, pod: &str, container: &str) -> Vec<String> {
    let text =
        lab.sh(pod, container, "cd /proc/self/ns; for n in net ipc uts pid mnt cgroup; do readlink $n; done");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn containers_share_network_ipc_and_host_name_but_not_processes_and_mounts() {
    let lab = Lab::new();
    let second = format!("  - {{name: second, image: box, command: [sh, -c, \"{UNTIL_TERM}\"]}}\n");
    for share in [false, true] {
        let name = format!("share-{share}");
        let more = format!("{second}  shareProcessNamespace: {share}\n");
        lab.start_ready(&simple(&name, &more));
        let (first, second) = (namespaces(&lab, &name, "app"), namespaces(&lab, &name, "second"));
        let own =
            |kind: &str| fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().to_str().unwrap().to_owned();
        for (n, (kind, shared)) in
            [("net", true), ("ipc", true), ("uts", true), ("pid", share), ("mnt", false), ("cgroup", false)]
                .into_iter()
                .enumerate()
        {
            assert_eq!(
                first[n] == second[n],
                shared,
                "{kind}, shareProcessNamespace {share}: {first:?} {second:?}"
            );
            assert_ne!(first[n], own(kind), "{kind}");
        }
        // PID 1 of the container is its own program, or with a shared namespace a reaper; never the pod init.
        let one = lab.sh(&name, "app", "cat /proc/1/cmdline | tr '\\0' ' '");
        assert_eq!(one.contains("trap"), !share, "{one}");
        let seen = lab.sh(&name, "app", "ps | grep -c [t]rap");
        assert_eq!(seen.trim(), if share { "2" } else { "1" });
        assert_eq!(lab.sh(&name, "app", "hostname"), format!("{name}\n"));
        lab.sh(&name, "app", "echo shared > /dev/shm/memory");
        assert_eq!(lab.sh(&name, "second", "cat /dev/shm/memory"), "shared\n");
        lab.sh(&name, "app", "httpd -p 81 -h /etc");
        assert_eq!(lab.sh(&name, "second", "wget -qO- http://localhost:81/hostname"), format!("{name}\n"));
        lab.ok(&["rm", "-f", &name]);
    }
}

#[test]
fn the_first_process_of_a_shared_namespace_shows_nothing_of_the_host() {
    let lab = Lab::new();
    let pod = lab.start_ready(&simple("shared", "  shareProcessNamespace: true\n"));
    let canary = lab.persistent().join("canary");
    fs::write(&canary, "").unwrap();
    let seen =
        lab.sh(&pod, "app", &format!("ls -d /proc/[0-9]*/root{} 2>/dev/null || true", canary.display()));
    assert_eq!(seen, "", "the host's files are in reach");
    let said = lab.sh(&pod, "app", "cat /proc/1/environ /proc/1/cmdline 2>/dev/null | tr '\\0' ' '");
    assert!(!said.contains(lab.dir.to_str().unwrap()), "{said}");
}

/// A container is born into a shared PID namespace before it has a root of its own: a neighbour that may trace would reach
/// the host through it.
#[test]
fn a_container_that_may_trace_is_refused_in_a_shared_namespace() {
    let lab = Lab::new();
    for capability in ["SYS_PTRACE", "SYS_ADMIN", "ALL"] {
        let more = format!(
            "    securityContext: {{capabilities: {{add: [{capability}]}}}}\n  shareProcessNamespace: true\n"
        );
        let stderr = lab.fails(2, &["run", "-d", &lab.manifest(&simple("tracer", &more))]);
        assert!(stderr.contains(capability) && stderr.contains("shareProcessNamespace"), "{stderr}");
    }
    let mut spec = config();
    for set in ["bounding", "effective", "permitted"] {
        spec["process"]["capabilities"][set].as_array_mut().unwrap().push("CAP_SYS_PTRACE".into());
    }
    own_bundle(&lab.dir.join("bundles/tracing"));
    fs::write(lab.dir.join("bundles/tracing/config.json"), spec.to_string()).unwrap();
    let manifest =
        simple("tracer", "  shareProcessNamespace: true\n").replace("image: box", "image: tracing");
    let path = lab.manifest(&manifest);
    let bundles = lab.dir.join("bundles");
    let output = lab.output(&["run", "-d", "--bundles", bundles.to_str().unwrap(), &path]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("together with shareProcessNamespace"), "{stderr}");
}

#[test]
fn every_container_has_the_pods_hosts_hostname_and_resolver() {
    let lab = Lab::new();
    let pod = lab.start_ready(&simple("names", "  hostname: called\n"));
    let hosts = lab.sh(&pod, "app", "cat /etc/hosts");
    assert!(
        hosts.lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == ["127.0.0.1", "called"]),
        "{hosts}"
    );
    assert!(
        hosts.lines().any(|line| line.starts_with("127.0.0.1") && line.ends_with("localhost")),
        "{hosts}"
    );
    assert_eq!(
        lab.sh(&pod, "app", "cat /etc/hostname; hostname; echo $HOSTNAME"),
        "called\ncalled\ncalled\n"
    );
    let resolver = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert_eq!(lab.sh(&pod, "app", "cat /etc/resolv.conf"), resolver);
    assert_eq!(
        lab.sh(&pod, "app", "ping -c 1 -W 1 called > /dev/null 2>&1; ip -o link | grep -c UP").trim(),
        "1",
        "lo is up"
    );
}

#[test]
fn the_termination_message_is_the_containers_file_or_the_end_of_its_log() {
    let lab = Lab::new();
    let pod = lab.start(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: messages}
spec:
  restartPolicy: Never
  containers:
  - {name: file, image: box, command: [sh, -c, "echo -n DONE > /dev/termination-log"]}
  - {name: elsewhere, image: box, command: [sh, -c, "echo -n THERE > /tmp/message; exit 1"], terminationMessagePath: /tmp/message}
  - {name: log, image: box, command: [sh, -c, "printf LAST; exit 2"], terminationMessagePolicy: FallbackToLogsOnError}
  - {name: nothing, image: box, command: [sh, -c, "echo words; exit 3"]}
"#,
    );
    assert_eq!(lab.wait_ended(&pod, 20), "Failed");
    let message = |name: &str| lab.status(&pod, name)["state"]["terminated"]["message"].clone();
    assert_eq!(message("file"), "DONE");
    assert_eq!(message("elsewhere"), "THERE");
    assert_eq!(message("log"), "LAST");
    assert!(message("nothing").is_null());
}

#[test]
fn limits_are_in_place_and_seen_from_inside() {
    let lab = Lab::new();
    let pod = lab.start_ready(&simple(
        "limits",
        "    resources: {limits: {memory: 64Mi, cpu: 500m}, requests: {cpu: 250m}}\n",
    ));
    let read = |v2: &str, v1: &str| {
        lab.sh(&pod, "app", &format!("cd /sys/fs/cgroup; cat {v2} 2>/dev/null || cat {v1}"))
    };
    assert_eq!(read("memory.max", "memory/memory.limit_in_bytes"), "67108864\n");
    let quota = read("cpu.max", "cpu/cpu.cfs_quota_us");
    assert!(quota == "50000 100000\n" || quota == "50000\n", "{quota}");
    assert!(
        !lab.output(&[
            "exec",
            &pod,
            "--",
            "sh",
            "-c",
            "echo 1 > /sys/fs/cgroup/memory/memory.limit_in_bytes || echo 1 > /sys/fs/cgroup/memory.max"
        ])
        .status
        .success()
    );
    // All containers have the limit, so the pod as a whole has it too.
    let cgroup = lab.record(&pod)["cgroup"].as_str().unwrap().to_owned();
    let read = |file: &str| {
        cgroup_directories(&format!("{cgroup}/pod"))
            .iter()
            .find_map(|dir| fs::read_to_string(dir.join(file)).ok())
    };
    assert_eq!(read("memory.max").or(read("memory.limit_in_bytes")).unwrap(), "67108864\n");
    // What is over the limit is killed.
    let over = lab.output(&["exec", &pod, "--", "sh", "-c", "dd if=/dev/zero of=/dev/null bs=100M count=1"]);
    assert!(!over.status.success(), "100 MiB fit into 64");
}

#[test]
fn host_paths_are_made_or_refused_as_their_type_says() {
    let lab = Lab::new();
    let host = lab.dir.join("host");
    fs::create_dir_all(host.join("dir")).unwrap();
    fs::write(host.join("file"), "x").unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(host.join("socket")).unwrap();
    let at = |name: &str| host.join(name).display().to_string();
    // name, type, path, whether it fits
    let cases = [
        ("any-dir", "", at("dir"), true),
        ("any-none", "", at("made-any/deep"), true),
        ("dir", "Directory", at("dir"), true),
        ("dir-file", "Directory", at("file"), false),
        ("dir-none", "Directory", at("none"), false),
        ("made-dir", "DirectoryOrCreate", at("made/deep"), true),
        ("file", "File", at("file"), true),
        ("file-dir", "File", at("dir"), false),
        ("made-file", "FileOrCreate", at("new-file"), true),
        ("socket", "Socket", at("socket"), true),
        ("socket-file", "Socket", at("file"), false),
        ("char", "CharDevice", "/dev/null".to_owned(), true),
        ("char-file", "CharDevice", at("file"), false),
        ("block-char", "BlockDevice", "/dev/null".to_owned(), false),
    ];
    let mut manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: paths}\nspec:\n  restartPolicy: Always\n  terminationGracePeriodSeconds: 1\n  volumes:\n".to_owned();
    for (name, kind, path, _) in &cases {
        manifest += &format!("  - {{name: {name}, hostPath: {{path: {path}, type: '{kind}'}}}}\n");
    }
    manifest += "  containers:\n";
    for (name, ..) in &cases {
        manifest += &format!(
            "  - {{name: {name}, image: box, command: [sh, -c, \"{UNTIL_TERM}\"], volumeMounts: [{{name: {name}, mountPath: /volume}}]}}\n"
        );
    }
    let pod = lab.start(&manifest);
    for (name, kind, path, fits) in &cases {
        let status = || lab.status(&pod, name)["state"].clone();
        let settled = || {
            if *fits {
                !status()["running"].is_null()
            } else {
                status()["waiting"]["reason"] == "CreateContainerError"
            }
        };
        lab.until(&format!("{name} to settle: {}", status()), seconds(10), settled);
        if !fits {
            let message = status()["waiting"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains(path) && message.contains(name), "{kind}: {message}");
        }
    }
    let mode = |path: &str| fs::metadata(host.join(path)).unwrap().mode() & 0o777;
    assert_eq!((mode("made/deep"), mode("made-any/deep"), mode("new-file")), (0o755, 0o755, 0o644));
    assert!(!host.join("none").exists());
    lab.ok(&["rm", "-f", &pod]);
    assert!(host.join("new-file").exists() && host.join("made/deep").exists(), "what is the host's stays");
}

#[test]
fn an_app_finds_what_the_post_start_hook_of_the_one_before_has_made_on_the_host() {
    let lab = Lab::new();
    let host = lab.dir.join("host");
    fs::create_dir_all(&host).unwrap();
    let manifest = lab.manifest(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: hooked}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  volumes:
  - {{name: all, hostPath: {{path: "{0}", type: Directory}}}}
  - {{name: made, hostPath: {{path: "{0}/made", type: DirectoryOrCreate}}}} # too early, and the hook would fail
  containers:
  - name: maker
    image: box
    command: [sh, -c, "{UNTIL_TERM}"]
    volumeMounts: [{{name: all, mountPath: /all}}]
    lifecycle: {{postStart: {{exec: {{command: [mkdir, /all/made]}}}}}}
  - name: user
    image: box
    command: [sh, -c, "touch /made/used"]
    volumeMounts: [{{name: made, mountPath: /made}}]
  - {{name: last, image: box, command: ["true"]}}
"#,
        host.display()
    ));
    lab.ok(&["run", "-d", &manifest]);
    let ended = |name: &str| lab.status("hooked", name)["state"]["terminated"]["exitCode"] == 0;
    lab.until("user and last to end well", seconds(10), || ended("user") && ended("last"));
    assert!(host.join("made/used").exists());
    assert!(!lab.status("hooked", "maker")["state"]["running"].is_null());
}

#[test]
fn an_app_that_cannot_be_made_ready_is_tried_once_beforehand_and_once_in_its_turn() {
    let lab = Lab::new();
    let bundles = lab.dir.join("bundles");
    let mut slow = config();
    for number in 0..1000 {
        let mount =
            serde_json::json!({"destination": format!("/tmp/{number}"), "type": "tmpfs", "source": "x"});
        slow["mounts"].as_array_mut().unwrap().push(mount);
    }
    for (name, spec) in [("box", config()), ("slow", slow)] {
        own_bundle(&bundles.join(name));
        fs::write(bundles.join(name).join("config.json"), spec.to_string()).unwrap();
    }
    let manifest = lab.manifest(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: tried}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  volumes: [{{name: none, hostPath: {{path: "{}/none", type: Directory}}}}]
  initContainers: # wakes the pod init up
  - {{name: busy, image: box, restartPolicy: Always, command: [sh, -c, "while :; do echo x; usleep 1000; done"]}}
  containers:
  - {{name: slow, image: slow, command: [sh, -c, "{UNTIL_TERM}"]}}
  - {{name: failing, image: box, volumeMounts: [{{name: none, mountPath: /none}}]}}
"#,
        lab.dir.display()
    ));
    let mut run = lab.background(&["run", "-d", "--bundles", bundles.to_str().unwrap(), &manifest]);
    let runs = |count: usize| {
        let is_there = lab.root().join("pods/tried/record.json").exists();
        is_there && lab.record("tried")["instances"].as_array().is_some_and(|all| all.len() == count)
    };
    lab.until("busy to run", seconds(10), || runs(1));
    let mut layers = std::collections::BTreeSet::new();
    let (mountinfo, start) =
        (format!("/proc/{}/mountinfo", lab.init_pid("tried")), std::time::Instant::now());
    while !runs(2) {
        assert!(start.elapsed() < seconds(20), "slow does not run");
        let mounts = fs::read_to_string(&mountinfo).unwrap();
        let layer = mounts.lines().find(|line| line.contains("/layers/failing "));
        layers.extend(layer.map(str::to_owned));
    }
    assert!((1..=2).contains(&layers.len()), "{layers:#?}");
    assert_eq!(run.code(seconds(10)), Some(0));
    lab.until("the failure to be told", seconds(10), || lab.ok(&["events", "tried"]).contains("/none"));
}

#[test]
fn logs_lie_where_the_kubelet_has_them_in_the_cri_format() {
    let lab = Lab::new();
    let manifest = lab.manifest(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: logs, namespace: school}
spec:
  containers:
  - name: talker
    image: box
    command: [sh, -c, "echo out; echo err >&2; head -c 40000 /dev/zero | tr '\\0' x; echo; printf end; exit 1"]
"#,
    );
    lab.ok(&["run", "-d", "--crash-loop-max", "5s", &manifest]);
    lab.until("a second instance", seconds(10), || lab.restarts("logs", "talker") >= 1);
    let uid = lab.inspect("logs")["metadata"]["uid"].as_str().unwrap().to_owned();
    let directory = lab.logs().join(format!("school_logs_{uid}/talker"));
    let first = directory.join(format!("{}.log", lab.restarts("logs", "talker").saturating_sub(1)));
    let text = fs::read_to_string(&first).unwrap();
    let mut lines = Vec::new();
    for line in text.lines() {
        // 2026-11-21T08:00:00.123456789Z stdout F words
        let mut words = line.splitn(4, ' ');
        let (time, stream, tag, content) =
            (words.next().unwrap(), words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        assert!(
            time.len() == 30
                && time.ends_with('Z')
                && time.as_bytes()[10] == b'T'
                && time.as_bytes()[19] == b'.',
            "{time}"
        );
        lines.push((stream, tag, content));
    }
    assert!(lines.contains(&("stdout", "F", "out")) && lines.contains(&("stderr", "F", "err")), "{lines:?}");
    let long: Vec<_> = lines
        .iter()
        .filter(|(.., content)| content.starts_with('x'))
        .map(|(stream, tag, content)| (*stream, *tag, content.len()))
        .collect();
    assert_eq!(long, [("stdout", "P", 16384), ("stdout", "P", 16384), ("stdout", "F", 7232)]);
    // A line that was not ended is one all the same.
    assert!(matches!(lines.last(), Some(("stdout", "P" | "F", "end"))), "{:?}", lines.last());
    assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o077, 0, "logs are root's");
}

#[test]
fn volumes_are_mounted_inside_of_the_read_only_files_of_others() {
    let lab = Lab::new();
    lab.start_ready(&format!(
        r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: app}}
data: {{app.conf: hello}}
---
apiVersion: v1
kind: Pod
metadata: {{name: nested}}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {{fsGroup: 7}}
  volumes:
  - {{name: config, configMap: {{name: app}}}}
  - {{name: more, configMap: {{name: app}}}}
  - {{name: scratch, emptyDir: {{}}}}
  containers:
  - name: app
    image: box
    command: [sh, -c, "{UNTIL_TERM}"]
    volumeMounts:
    - {{name: config, mountPath: /etc/app}}
    - {{name: more, mountPath: /etc/app/conf.d/more}}
    - {{name: scratch, mountPath: /etc/app/conf.d/more/scratch}}
"#
    ));
    let script = "cd /etc/app && cat app.conf conf.d/more/app.conf && touch conf.d/more/scratch/x && ! touch conf.d/x 2>&1 \
        && stat -c %a-%g conf.d";
    let seen = lab.sh("nested", "app", script);
    assert_eq!(seen, "hellohellotouch: conf.d/x: Read-only file system\n2755-7\n");
}

#[test]
fn home_is_that_of_the_user_for_the_container_its_hooks_and_exec() {
    let lab = Lab::new();
    let bundle = lab.dir.join("image");
    own_bundle(&bundle);
    fs::write(bundle.join("config.json"), config().to_string()).unwrap();
    let accounts = bundle.join("rootfs/etc/passwd");
    fs::remove_file(&accounts).unwrap(); // a link, which the write would follow
    fs::write(&accounts, "root:x:0:0::/root:\nweb:x:7:7::/srv/web:\n").unwrap();
    lab.start_ready(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: home}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: root
    image: ./image
    command: [sh, -c, "echo of $HOME; {UNTIL_TERM}"]
    lifecycle: {{postStart: {{exec: {{command: [sh, -c, "echo $HOME > /hooked"]}}}}}}
  - {{name: web, image: ./image, command: [sh, -c, "echo of $HOME; {UNTIL_TERM}"], securityContext: {{runAsUser: 7}}}}
"#
    ));
    assert_eq!(lab.ok(&["logs", "home", "-c", "root"]), "of /root\n");
    assert_eq!(lab.ok(&["logs", "home", "-c", "web"]), "of /srv/web\n");
    assert_eq!(lab.sh("home", "root", "cat /hooked; echo ~"), "/root\n/root\n");
    assert_eq!(lab.ok(&["exec", "home", "-c", "web", "--", "sh", "-c", "echo $HOME"]), "/srv/web\n");
}
