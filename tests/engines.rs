//! Engines that drive `barepod-oci`: what they ask of it, with their own packages.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use support::*;

/// podman with storage of its own.
struct Podman {
    dir: PathBuf,
}

impl Podman {
    fn new(name: &str) -> Podman {
        need_root();
        let dir = std::env::temp_dir().join(format!("barepod-podman-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let copied =
            Command::new("cp").arg("-a").arg(bundles().join("box/rootfs")).arg(&dir).status().unwrap();
        assert!(copied.success());
        Podman { dir }
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new("podman");
        command.args(["--cgroup-manager", "cgroupfs", "--storage-driver", "vfs", "--events-backend", "none"]);
        command.args(["--runtime", BAREPOD_OCI, "--root"]).arg(self.dir.join("storage"));
        command.arg("--runroot").arg(self.dir.join("run")).arg("--tmpdir").arg(self.dir.join("tmp"));
        command.args(args).stdin(Stdio::null());
        // Its conmon keeps our pipes otherwise.
        let [out, err] = ["out", "err"].map(|name| self.dir.join(name));
        let status =
            command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap()).status();
        Output {
            status: status.expect("podman is missing: run scripts/test"),
            stdout: fs::read(out).unwrap(),
            stderr: fs::read(err).unwrap(),
        }
    }

    fn good(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "podman {args:?}: {}\n{stderr}", output.status);
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// `podman run` of a command in the root filesystem, without a network.
    fn container<'a>(&'a self, options: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
        let rootfs = self.dir.join("rootfs").to_str().unwrap().to_owned();
        let rootfs: &'static str = Box::leak(rootfs.into_boxed_str());
        let mut args = vec!["run", "--network", "none", "--log-driver", "k8s-file"];
        args.extend(options);
        args.extend(["--rootfs", rootfs]);
        args.extend(command);
        args
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.run(&["pod", "rm", "--all", "--force", "--time", "0"]);
        self.run(&["rm", "--all", "--force", "--time", "0"]);
        fs::remove_dir_all(&self.dir).ok();
    }
}

#[test]
fn podman_runs_a_container_and_has_its_output_and_exit_code() {
    let podman = Podman::new("run");
    let output = podman.run(
        &podman.container(&["--rm", "--hostname", "inner"], &["sh", "-c", "hostname; echo err >&2; exit 7"]),
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "inner\n");
    assert!(stderr.ends_with("err\n"), "{stderr}");
    let output = podman.run(&podman.container(&["--rm"], &["no-such-program"]));
    assert_eq!(output.status.code(), Some(127), "{}", String::from_utf8_lossy(&output.stderr));
    let output = podman.run(&podman.container(&["--rm"], &["/etc/passwd"]));
    assert_eq!(output.status.code(), Some(126), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn podman_execs_pauses_limits_and_removes_a_container() {
    let podman = Podman::new("life");
    let limits = ["-d", "--name", "one", "--memory", "64m", "--pids-limit", "17"];
    let id = podman
        .good(&podman.container(&limits, &["sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done"]));
    let look = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max 2>/dev/null || \
                cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max";
    assert_eq!(podman.good(&["exec", "one", "sh", "-c", look]), "67108864\n17");
    assert_eq!(podman.run(&["exec", "one", "sh", "-c", "exit 5"]).status.code(), Some(5));
    assert_eq!(podman.run(&["exec", "one", "no-such"]).status.code(), Some(127));
    assert_eq!(podman.good(&["exec", "--user", "7:8", "one", "id"]), "uid=7 gid=8");
    podman.good(&["pause", "one"]);
    assert_eq!(podman.good(&["inspect", "-f", "{{.State.Status}}", "one"]), "paused");
    podman.good(&["unpause", "one"]);
    assert!(podman.good(&["top", "one"]).contains("sleep 0.1"));
    podman.good(&["stop", "--time", "10", "one"]);
    assert_eq!(podman.good(&["inspect", "-f", "{{.State.ExitCode}}", "one"]), "3");
    podman.good(&["rm", "one"]);
    assert!(cgroup_directories(&format!("libpod_parent/libpod-{id}")).is_empty());
}

#[test]
fn podman_runs_a_pod_whose_containers_share_a_network() {
    let podman = Podman::new("pod");
    podman.good(&[
        "pod",
        "create",
        "--name",
        "pair",
        "--network",
        "none",
        "--infra=false",
        "--share",
        "cgroup",
    ]);
    let server = ["-d", "--pod", "pair", "--name", "server"];
    podman.good(&podman.container(&server, &["sh", "-c", "while :; do sleep 0.1; done"]));
    let ps = podman.good(&["pod", "ps", "--format", "{{.Name}} {{.Status}} {{.NumberOfContainers}}"]);
    assert_eq!(ps, "pair Running 1");
    podman.good(&["pod", "rm", "--force", "--time", "0", "pair"]);
    assert_eq!(podman.good(&["ps", "-aq"]), "");
}
