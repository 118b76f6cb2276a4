//! podman.

use std::process::Stdio;

use serde_json::json;

use super::*;

/// podman with storage of its own, and a root filesystem for its containers.
struct Podman<'a> {
    lab: &'a Lab,
}

impl Podman<'_> {
    fn new(lab: &Lab) -> Podman<'_> {
        let copied = Command::new("cp").arg("-a").arg(bundles().join("box/rootfs")).arg(&lab.dir).status();
        assert!(copied.unwrap().success());
        // There is no journal to write to.
        let more = "events_logger = \"file\"\nnetwork_backend = \"cni\"\n\n[containers]\nlog_driver = \"k8s-file\"\n\n[engine.runtimes]";
        let own = snippet("[engine.runtimes]").replace("\n[engine.runtimes]", more);
        fs::write(lab.dir.join("containers.conf"), own).unwrap();
        Podman { lab }
    }

    fn rootfs(&self) -> String {
        self.lab.dir.join("rootfs").display().to_string()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.args(["--storage-driver", "vfs", "--root"]).arg(self.lab.dir.join("storage")).args(args);
        command.env("CONTAINERS_CONF", self.lab.dir.join("containers.conf")).stdin(Stdio::null());
        command
    }

    fn output(&self, args: &[&str]) -> Output {
        output_of(self.lab, &mut self.command(args))
    }

    fn good(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(output.status.success(), "podman {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        text(&output)
    }

    /// The arguments of `podman run`, in the test's cgroup and, outside a pod, without a network.
    fn run_args(&self, options: &[&str], command: &[&str]) -> Vec<String> {
        let mut args = vec!["run".to_owned()];
        if !options.contains(&"--pod") {
            args.extend(["--cgroup-parent".to_owned(), format!("/{}", self.lab.cgroup_parent())]);
        }
        if !options.iter().any(|option| ["--pod", "--network"].contains(option)) {
            args.extend(["--network", "none"].map(str::to_owned));
        }
        args.extend(options.iter().map(|&word| word.to_owned()));
        if !options.contains(&"--rootfs") {
            args.extend(["--rootfs".to_owned(), self.rootfs()]);
        }
        args.extend(command.iter().map(|&word| word.to_owned()));
        args
    }

    fn run(&self, options: &[&str], command: &[&str]) -> Output {
        let args = self.run_args(options, command);
        self.output(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What the command prints in a container that is removed then.
    fn prints(&self, options: &[&str], script: &str) -> String {
        let output = self.run(&[&["--rm"], options].concat(), &["sh", "-c", script]);
        assert!(output.status.success(), "{options:?} {script}: {}", String::from_utf8_lossy(&output.stderr));
        text(&output)
    }

    /// Runs a shell command in the background; the id.
    fn start(&self, name: &str, options: &[&str], script: &str) -> String {
        text(&self.run(&[&["-d", "--name", name], options].concat(), &["sh", "-c", script]))
    }

    fn inspect(&self, name: &str, field: &str) -> String {
        self.good(&["inspect", "--format", &format!("{{{{.{field}}}}}"), name])
    }

    /// The same for a shell command in the container.
    fn exec(&self, name: &str, script: &str) -> String {
        self.good(&["exec", name, "sh", "-c", script])
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        self.output(&["pod", "rm", "--all", "--force", "--time", "0"]);
        self.output(&["rm", "--all", "--force", "--time", "0"]);
    }
}

/// Until it is told to end; SIGTERM gives exit code 3.
const FOREVER: &str = "trap 'exit 3' TERM; sleep 1000 & wait";

fn code(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn podman_runs_a_program_and_has_its_output_and_exit_code() {
    alone(|lab| {
        let podman = Podman::new(lab);
        let script = "hostname; cat; echo err >&2; exit 7";
        let output = podman.run(&["--rm", "--hostname", "inner"], &["sh", "-c", script]);
        assert_eq!(code(&output), (Some(7), "err\n".to_owned()));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "inner\n");
        for (option, command, wanted) in [
            ("--rm", "no-such-program", 127),
            ("--rm", "/no/such-program", 127),
            ("--rm", "/etc/passwd", 126),
            ("--sysctl=net.ipv4.ip_forward=no-number", "true", 126),
            ("--volume=/no/such:/here", "true", 125),
        ] {
            let (code, error) = code(&podman.run(&["--rm", option], &[command]));
            assert_eq!(code, Some(wanted), "{option} {command}: {error}");
        }
        // By its path, without a word in a configuration.
        fs::write(
            lab.dir.join("containers.conf"),
            "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n",
        )
        .unwrap();
        let args = podman.run_args(&["--rm", "--log-driver", "none"], &["echo", "by path"]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        assert_eq!(podman.good(&[&["--runtime", BAREPOD_OCI], args.as_slice()].concat()), "by path");
    });
}

#[test]
fn podman_execs_pauses_stops_restarts_and_removes_a_container() {
    alone(|lab| {
        let podman = Podman::new(lab);
        let id = podman.start("one", &[], &format!("echo begins; {FOREVER}"));
        assert_eq!(listed("/run/barepod-oci"), [id.as_str()], "it is barepod-oci that runs it");
        assert_eq!(podman.inspect("one", "OCIRuntime"), "barepod-oci");
        assert!(podman.good(&["top", "one"]).contains("sleep 1000"));
        assert_eq!(code(&podman.output(&["exec", "one", "sh", "-c", "exit 5"])).0, Some(5));
        assert_eq!(code(&podman.output(&["exec", "one", "no-such"])).0, Some(127));
        assert_eq!(code(&podman.output(&["exec", "one", "/etc/passwd"])).0, Some(126));
        let exec = [
            "exec",
            "--user",
            "7:8",
            "--workdir",
            "/tmp",
            "--env",
            "A=b",
            "one",
            "sh",
            "-c",
            "id; pwd; echo $A",
        ];
        assert_eq!(podman.good(&exec), "uid=7 gid=8\n/tmp\nb");

        podman.good(&["pause", "one"]);
        assert_eq!(podman.inspect("one", "State.Status"), "paused");
        assert!(!podman.output(&["exec", "one", "true"]).status.success());
        podman.good(&["unpause", "one"]);
        podman.good(&["stop", "--time", "20", "one"]);
        assert_eq!(podman.inspect("one", "State.ExitCode"), "3");
        assert!(cgroup_directories(&format!("{}/libpod-{id}", lab.cgroup_parent())).is_empty());
        assert_eq!(listed("/run/barepod-oci"), [""; 0]);

        podman.good(&["start", "one"]);
        podman.good(&["restart", "--time", "20", "one"]);
        podman.good(&["kill", "--signal", "KILL", "one"]);
        assert_eq!(podman.good(&["wait", "one"]), "137");
        assert_eq!(podman.good(&["logs", "one"]), "begins\nbegins\nbegins");
        podman.good(&["start", "one"]);
        podman.good(&["rm", "--force", "--time", "0", "one"]);
        assert_eq!(podman.good(&["ps", "--all", "--quiet"]), "");
    });
}

#[test]
fn podman_limits_what_a_container_may_take() {
    alone(|lab| {
        let podman = Podman::new(lab);
        let limits = ["--memory=64m", "--pids-limit=17", "--cpus=0.5", "--cpuset-cpus=0"];
        podman.start("one", &limits, FOREVER);
        // Version 2 or version 1 of cgroups.
        let look = "cd /sys/fs/cgroup; cat memory.max pids.max cpu.max cpuset.cpus.effective 2>/dev/null || {
            cat memory/memory.limit_in_bytes pids/pids.max
            echo $(cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us); cat cpuset/cpuset.cpus; }";
        assert_eq!(podman.exec("one", look), "67108864\n17\n50000 100000\n0");
        let stats =
            podman.good(&["stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDS}}", "one"]);
        assert!(stats.starts_with("one ") && stats.ends_with(" / 67.11MB 2"), "{stats}");
        let script = "i=0; while [ $i -lt 30 ]; do sleep 9 & i=$((i + 1)); done";
        let (code, error) = code(&podman.output(&["exec", "one", "sh", "-c", script]));
        assert!(code != Some(0) && error.contains("can't fork"), "{error}");
    });
}

#[test]
fn podman_restricts_what_a_container_may_do() {
    alone(|lab| {
        let podman = Podman::new(lab);
        fs::write(lab.persistent().join("file"), "data\n").unwrap();
        let volume = format!("--volume={}:/data:ro", lab.persistent().display());
        let options = [
            "--read-only",
            "--read-only-tmpfs=false",
            "--user=7:8",
            "--group-add=9",
            "--cap-drop=all",
            "--security-opt=no-new-privileges",
            "--ulimit=nofile=77:99",
            "--ulimit=nproc=500:500",
            "--tmpfs=/scratch:size=1m,mode=1777",
            "--shm-size=2m",
            "--workdir=/work",
            "--oom-score-adj=321",
            "--sysctl=net.ipv4.ip_forward=1",
            volume.as_str(),
        ];
        let script = "id -u; id -g; id -G; pwd; ulimit -n; ulimit -Hn
            grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status
            cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_forward /data/file
            for place in /file /data/other /scratch/file /proc/sys/net/ipv4/ip_forward; do
                (: >$place) 2>/dev/null && echo $place is written to
            done
            df -k /dev/shm /scratch | awk 'NR > 1 { print $2 }'";
        assert_eq!(
            podman.prints(&options, script).split_whitespace().collect::<Vec<_>>().join(" "),
            "7 8 8 9 /work 77 99 CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 \
             321 1 data /scratch/file is written to 2048 1024"
        );

        // A profile of the user's own: "No space left on device" is its word.
        let profile = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
        });
        fs::write(lab.dir.join("profile.json"), profile.to_string()).unwrap();
        let option = format!("--security-opt=seccomp={}", lab.dir.join("profile.json").display());
        let text = podman.prints(&[&option], "mkdir /tmp/directory 2>&1 || true");
        assert!(text.ends_with("No space left on device"), "{text}");

        let text = podman.prints(&["--privileged"], "mount -t tmpfs none /tmp && grep -E '^(Seccomp|CapEff)' /proc/self/status; test -b /dev/loop0 -o -c /dev/kmsg && echo devices");
        assert!(text.contains("Seccomp:\t0") && text.ends_with("devices"), "{text}");
    });
}

#[test]
fn podman_gives_a_container_a_user_namespace() {
    alone(|lab| {
        let podman = Podman::new(lab);
        let owned = Command::new("chown").args(["-hR", "100000:200000"]).arg(podman.rootfs()).status();
        assert!(owned.unwrap().success());
        let maps = ["--uidmap=0:100000:1000", "--gidmap=0:200000:1000"];
        podman.start("one", &maps, &format!(": >/work/made; {FOREVER}"));
        let look = "awk '{ print $1, $2, $3 }' /proc/self/uid_map /proc/self/gid_map; stat -c '%u %g' /work/made; id -u";
        assert_eq!(podman.exec("one", look), "0 100000 1000\n0 200000 1000\n0 0\n0");
        let made = fs::metadata(lab.dir.join("rootfs/work/made")).unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!((made.uid(), made.gid()), (100_000, 200_000));
        podman.good(&["stop", "--time", "20", "one"]);
        assert_eq!(podman.inspect("one", "State.ExitCode"), "3");
    });
}

#[test]
fn podman_lets_containers_share_namespaces() {
    alone(|lab| {
        let podman = Podman::new(lab);
        podman.start("one", &["--ipc=shareable"], &format!("echo word >/dev/shm/word; {FOREVER}"));
        let with = ["--pid=container:one", "--network", "container:one", "--ipc=container:one"];
        let text = podman.prints(
            &with,
            "cat /dev/shm/word; ps -o args; readlink /proc/1/ns/net; readlink /proc/self/ns/net",
        );
        assert!(text.starts_with("word\n") && text.contains("sleep 1000"), "{text}");
        let namespaces: Vec<&str> = text.lines().rev().take(2).collect();
        assert_eq!(namespaces[0], namespaces[1]);
    });
}

#[test]
fn podman_runs_a_pod_whose_containers_share_a_network() {
    alone(|lab| {
        let podman = Podman::new(lab);
        let parent = format!("/{}", lab.cgroup_parent());
        let mut create =
            vec!["pod", "create", "--name", "pair", "--network", "none", "--cgroup-parent", &parent];
        if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            // To a pod's cgroup of version 2 that it makes itself, podman 4.3 forbids all devices, whatever the runtime.
            create.push("--share-parent=false");
        }
        podman.good(&create);
        let server = "echo served >/work/page; exec httpd -f -p 127.0.0.1:8080 -h /work";
        podman.start("server", &["--pod", "pair"], server);
        let script = "until wget -q -O - http://127.0.0.1:8080/page 2>/dev/null; do sleep 0.1; done";
        assert_eq!(podman.prints(&["--pod", "pair"], script), "served");
        let ps = podman.good(&["pod", "ps", "--format", "{{.Name}} {{.Status}} {{.NumberOfContainers}}"]);
        assert_eq!(ps, "pair Running 2");
        assert_eq!(listed("/run/barepod-oci").len(), 2);
        podman.good(&["pod", "pause", "pair"]);
        podman.good(&["pod", "unpause", "pair"]);
        podman.good(&["pod", "stop", "--time", "0", "pair"]);
        assert_eq!(listed("/run/barepod-oci"), [""; 0]);
        podman.good(&["pod", "rm", "--force", "pair"]);
        assert_eq!(podman.good(&["ps", "--all", "--quiet"]), "");
    });
}

#[test]
fn podman_runs_a_pod_without_a_container_of_its_own() {
    alone(|lab| {
        let podman = Podman::new(lab);
        let parent = format!("/{}", lab.cgroup_parent());
        let share = ["--infra=false", "--share", "", "--cgroup-parent", &parent];
        podman.good(&[&["pod", "create", "--name", "plain"], share.as_slice()].concat());
        // Which cgroup its containers are in the pod does not say to podman 4.3, without an infra container.
        let options = ["-d", "--pod", "plain", "--network", "none", "--cgroup-parent", &parent];
        let id = text(&podman.run(&options, &["sh", "-c", FOREVER]));
        assert_eq!(listed("/run/barepod-oci"), [id]);
        podman.good(&["pod", "rm", "--force", "--time", "0", "plain"]);
        assert_eq!(podman.good(&["ps", "--all", "--quiet"]), "");
    });
}

#[test]
fn podman_gives_a_container_a_terminal_of_the_users_size() {
    alone(|lab| {
        let podman = Podman::new(lab);
        // podman passes the size on while the program runs.
        let script = "tty; until [ \"$(stty size)\" = \"33 99\" ]; do sleep 0.05; done; stty size; exit 4";
        podman.start("one", &[], FOREVER);
        let exec = ["exec", "-it", "one", "sh", "-c", script].map(str::to_owned).to_vec();
        for args in [podman.run_args(&["--rm", "-it"], &["sh", "-c", script]), exec] {
            let command = podman.command(&args.iter().map(String::as_str).collect::<Vec<_>>());
            let words = [command.get_program()].into_iter().chain(command.get_args());
            let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
            let shell = format!("stty rows 33 cols 99; exec {}", words.join(" "));
            let mut on_terminal = Command::new("script");
            // An input without an end: with one, podman may go before it has shown everything.
            let (input, _open) = std::io::pipe().unwrap();
            on_terminal.args(["-q", "-e", "-c", &shell, "/dev/null"]).stdin(input);
            on_terminal.env("CONTAINERS_CONF", lab.dir.join("containers.conf"));
            let output = output_of(lab, &mut on_terminal);
            let printed = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(4), "{printed}");
            assert!(printed.starts_with("/dev/pts/0\r\n") && printed.ends_with("33 99\r\n"), "{printed:?}");
        }
    });
}

#[test]
fn podman_adds_an_init_and_runs_hooks() {
    alone(|lab| {
        let podman = Podman::new(lab);
        assert_eq!(podman.prints(&["--init"], "cat /proc/1/comm"), "podman-init");

        let log = lab.dir.join("hooks.log");
        let script = format!("echo $0 $(cat) >>{}", log.display());
        for stage in ["prestart", "createRuntime", "poststart", "poststop"] {
            let hook = json!({
                "version": "1.0.0",
                "hook": {"path": "/bin/sh", "args": ["sh", "-c", script, stage], "env": ["PATH=/bin:/usr/bin"]},
                "when": {"always": true},
                "stages": [stage],
            });
            fs::create_dir_all(lab.dir.join("hooks")).unwrap();
            fs::write(lab.dir.join("hooks").join(stage).with_extension("json"), hook.to_string()).unwrap();
        }
        let args = podman.run_args(&["--rm", "--annotation", "a=b"], &["true"]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let directory = lab.dir.join("hooks").display().to_string();
        podman.good(&[&["--hooks-dir", directory.as_str()], args.as_slice()].concat());
        // With the last the engine's clean-up is through, which it does not wait for.
        let said = || fs::read_to_string(&log).unwrap_or_default();
        lab.until("all hooks", seconds(10), || said().lines().count() >= 4);
        let stages: Vec<String> =
            said().lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        assert_eq!(stages, ["prestart", "createRuntime", "poststart", "poststop"]);
        assert!(said().lines().all(|line| line.contains("\"a\":\"b\"")), "{}", said());
    });
}
