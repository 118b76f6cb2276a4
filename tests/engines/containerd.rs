//! containerd: by `ctr`, and by its Container Runtime Interface as a kubelet does.

use std::process::{Child, Stdio};

use serde_json::json;

use super::cri::Cri;
use super::*;

const CONTAINERD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.cache/containerd");

/// A containerd, with the image `localhost/busybox:1` in the namespace of Kubernetes.
struct Containerd<'a> {
    lab: &'a Lab,
    process: Child,
}

impl Containerd<'_> {
    fn start(lab: &Lab) -> Containerd<'_> {
        let config = format!(
            r#"version = 2
root = "{root}"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[debug]
level = "warn"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/busybox:1"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
conf_dir = "{root}/no-cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
{ours}"#,
            root = lab.dir.join("containerd").display(),
            ours = snippet("runtimes.barepod")
        );
        fs::write(lab.dir.join("config.toml"), config).unwrap();
        let log = fs::File::create(lab.dir.join("containerd.log")).unwrap();
        let mut command = Containerd::command("containerd");
        command.arg("--config").arg(lab.dir.join("config.toml"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn().expect("containerd is missing: run scripts/setup");
        let containerd = Containerd { lab, process };
        let serves = || Containerd::command("ctr").arg("version").output().unwrap().status.success();
        lab.until("containerd to serve", seconds(20), serves);
        containerd
    }

    /// A program of the package; shims are found by the path.
    fn command(program: &str) -> Command {
        let bin = CONTAINERD;
        let mut command = Command::new(format!("{bin}/{program}"));
        command.env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap()));
        command
    }

    fn ctr(&self, namespace: &str, args: &[&str]) -> Output {
        let mut command = Containerd::command("ctr");
        command.args(["--namespace", namespace]).args(args).stdin(Stdio::null());
        output_of(self.lab, &mut command)
    }

    /// `ctr` in the test's own namespace, after which ctr names the parent of cgroups; it must succeed.
    fn good(&self, args: &[&str]) -> String {
        let output = self.ctr(self.lab.cgroup_parent(), args);
        assert!(output.status.success(), "ctr {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        text(&output)
    }

    fn import(&self, image: &Path, namespace: &str) {
        let image = image.to_str().unwrap();
        text(&self.ctr(namespace, &["image", "import", "--snapshotter", "native", image]));
    }

    fn log(&self) -> String {
        fs::read_to_string(self.lab.dir.join("containerd.log")).unwrap()
    }
}

impl Drop for Containerd<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        signal(self.process.id() as i32, nix::sys::signal::Signal::SIGTERM);
        self.process.wait().unwrap();
    }
}

/// An archive with an image of busybox in the form of the OCI image-spec, `localhost/busybox:1`. Its program is `sleep`.
fn image(lab: &Lab) -> std::path::PathBuf {
    let layout = lab.dir.join("image");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let sh = |script: &str, arg: &Path| {
        let mut command = Command::new("sh");
        text(&command.args(["-ec", script, "sh"]).arg(arg).current_dir(&blobs).output().unwrap())
    };
    // Names the file after its digest.
    let blob = |kind: &str| {
        let digest = sh("d=$(sha256sum new); d=${d%% *}; mv new $d; echo $d", &blobs);
        let size = fs::metadata(blobs.join(&digest)).unwrap().len();
        json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": format!("sha256:{digest}"), "size": size})
    };
    sh("tar --numeric-owner -cf new -C \"$1\" .", &bundles().join("box/rootfs"));
    let layer = blob("layer.v1.tar");
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Entrypoint": ["sleep", "1000000"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    fs::write(blobs.join("new"), config.to_string()).unwrap();
    let manifest = json!({"schemaVersion": 2, "config": blob("config.v1+json"), "layers": [layer]});
    fs::write(blobs.join("new"), manifest.to_string()).unwrap();
    let mut entry = blob("manifest.v1+json");
    entry["annotations"] = json!({"io.containerd.image.name": "localhost/busybox:1"});
    fs::write(layout.join("index.json"), json!({"schemaVersion": 2, "manifests": [entry]}).to_string())
        .unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
    let archive = lab.dir.join("image.tar");
    sh("tar -cf \"$1\" -C ../.. .", &archive);
    archive
}

#[test]
fn ctr_runs_execs_pauses_and_kills_a_container() {
    alone(|lab| {
        let containerd = Containerd::start(lab);
        let copied = Command::new("cp").arg("-a").arg(bundles().join("box/rootfs")).arg(&lab.dir).status();
        assert!(copied.unwrap().success());
        let rootfs = lab.dir.join("rootfs").display().to_string();
        let ours = ["--rootfs", "--runc-binary", BAREPOD_OCI];
        let run = |options: &[&str], id: &str, command: &[&str]| {
            let args = [&["run"], ours.as_slice(), options, &[rootfs.as_str(), id], command].concat();
            containerd.ctr(lab.cgroup_parent(), &args)
        };
        let output = run(&["--rm"], "short", &["sh", "-c", "echo out; echo err >&2; exit 7"]);
        let words = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert_eq!((output.status.code(), words), (Some(7), ["out\n".to_owned(), "err\n".to_owned()]));
        let output = run(&["--rm"], "missing", &["no-such-program"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains("executable file not found in $PATH"), "{error}");

        let script = "trap 'exit 3' TERM; sleep 1000 & wait";
        text(&run(&["--detach", "--seccomp", "--memory-limit", "67108864"], "long", &["sh", "-c", script]));
        assert_eq!(listed(&format!("/run/containerd/runc/{}", lab.cgroup_parent())), ["long"]);
        let exec = |options: &[&str], script: &str| {
            let command = ["long", "sh", "-c", script];
            let args = [&["task", "exec", "--exec-id", "more"], options, command.as_slice()].concat();
            containerd.ctr(lab.cgroup_parent(), &args)
        };
        let look = "grep Seccomp: /proc/self/status; pwd; id -u; exit 5";
        let output = exec(&["--user", "7", "--cwd", "/tmp"], look);
        assert_eq!(output.status.code(), Some(5), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "Seccomp:\t2\n/tmp\n7\n");

        let ps = containerd.good(&["task", "ps", "long"]);
        assert_eq!(ps.lines().count(), 3, "a head, the shell and its sleep: {ps}");
        let metrics = containerd.good(&["task", "metrics", "--format", "json", "long"]);
        assert!(metrics.contains("67108864"), "{metrics}");
        let status = || {
            let tasks = containerd.good(&["task", "list"]);
            tasks
                .lines()
                .nth(1)
                .and_then(|line| line.split_whitespace().nth(2))
                .unwrap_or_default()
                .to_owned()
        };
        containerd.good(&["task", "pause", "long"]);
        assert_eq!(status(), "PAUSED");
        containerd.good(&["task", "resume", "long"]);
        assert_eq!(status(), "RUNNING");
        containerd.good(&["task", "kill", "--signal", "SIGTERM", "long"]);
        lab.until("the container to end", seconds(10), || status() == "STOPPED");
        let deleted = containerd.ctr(lab.cgroup_parent(), &["task", "delete", "long"]);
        assert!(String::from_utf8_lossy(&deleted.stderr).contains("exit code 3"), "{deleted:?}");
        containerd.good(&["container", "delete", "long"]);

        text(&run(&["--detach"], "killed", &["sh", "-c", "sleep 1000 & sleep 1000"]));
        containerd.good(&["task", "kill", "--all", "--signal", "SIGKILL", "killed"]);
        lab.until("the container to end", seconds(10), || status() == "STOPPED");
        containerd.good(&["container", "delete", "killed"]);
    });
}

#[test]
fn ctr_runs_an_image_on_a_terminal() {
    alone(|lab| {
        let containerd = Containerd::start(lab);
        containerd.import(&image(lab), lab.cgroup_parent());
        let ctr = Containerd::command("ctr");
        let script = "'tty; until [ \"$(stty size)\" = \"33 99\" ]; do sleep 0.05; done; stty size; exit 4'";
        let run = format!(
            "stty rows 33 cols 99; exec {} --namespace {} run --rm --tty --snapshotter native --runc-binary {BAREPOD_OCI} localhost/busybox:1 shown sh -c {script}",
            ctr.get_program().display(),
            lab.cgroup_parent(),
        );
        let mut on_terminal = Command::new("script");
        let (input, _open) = std::io::pipe().unwrap(); // without an end
        on_terminal.args(["-q", "-e", "-c", &run, "/dev/null"]).stdin(input);
        let output = output_of(lab, &mut on_terminal);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(4), "{printed}");
        let printed = printed.replace('\r', ""); // of two terminals, one behind the other
        assert!(printed.starts_with("/dev/pts/0\n") && printed.ends_with("33 99\n"), "{printed:?}");
    });
}

/// As a kubelet would ask for it.
fn sandbox(lab: &Lab) -> Value {
    json!({
        "metadata": {"name": "web", "uid": "0e6a7b1c", "namespace": "default"},
        "log_directory": lab.dir.join("logs").display().to_string(),
        "dns_config": {"servers": ["127.0.0.1"]},
        "linux": {
            "cgroup_parent": format!("/{}", lab.cgroup_parent()),
            "security_context": {
                "namespace_options": {"network": NODE, "pid": CONTAINER},
                "seccomp": {"profile_type": RUNTIME_DEFAULT},
            },
        },
    })
}

// Of the interface's enumerations.
const CONTAINER: u64 = 1;
const NODE: u64 = 2;
const RUNTIME_DEFAULT: u64 = 0;
const READY: u64 = 0;
const NOT_READY: u64 = 1;
const RUNNING: u64 = 1;
const EXITED: u64 = 2;

#[test]
fn the_container_runtime_interface_runs_a_pod_of_runtime_class_barepod() {
    alone(|lab| {
        let containerd = Containerd::start(lab);
        containerd.import(&image(lab), "k8s.io");
        let mut cri = Cri::connect(lab);
        lab.until("the image", seconds(10), || {
            !cri.good("ImageStatus", &json!({"image": {"image": "localhost/busybox:1"}}))["image"].is_null()
        });
        let config = sandbox(lab);
        let pod = cri.good("RunPodSandbox", &json!({"config": config, "runtime_handler": "barepod"}));
        let pod = pod["pod_sandbox_id"].as_str().unwrap().to_owned();
        let state =
            |cri: &mut Cri| cri.good("PodSandboxStatus", &json!({"pod_sandbox_id": pod}))["status"].clone();
        let status = state(&mut cri);
        assert_eq!((&status["state"], &status["runtime_handler"]), (&json!(READY), &json!("barepod")));

        let create = |cri: &mut Cri, name: &str, script: &str, context: Value| {
            let own = json!({
                "metadata": {"name": name},
                "image": {"image": "localhost/busybox:1"},
                "command": ["sh", "-c", script],
                "envs": [{"key": "COLOUR", "value": "green"}],
                "mounts": [{"container_path": "/persistent", "host_path": lab.persistent().display().to_string()}],
                "log_path": format!("{name}.log"),
                "linux": {
                    "resources": {"memory_limit_in_bytes": 67108864, "cpu_quota": 50000, "cpu_period": 100000, "oom_score_adj": 900},
                    "security_context": context,
                },
            });
            let made = cri.good(
                "CreateContainer",
                &json!({"pod_sandbox_id": pod, "config": own, "sandbox_config": config}),
            );
            let id = made["container_id"].as_str().unwrap().to_owned();
            cri.good("StartContainer", &json!({"container_id": id}));
            id
        };
        let restricted = json!({
            "namespace_options": {"network": NODE, "pid": CONTAINER},
            "capabilities": {"drop_capabilities": ["ALL"]},
            "run_as_user": {"value": 7},
            "run_as_group": {"value": 8},
            "readonly_rootfs": true,
            "no_new_privs": true,
            "masked_paths": ["/proc/kcore"],
            "readonly_paths": ["/proc/sys"],
            "seccomp": {"profile_type": RUNTIME_DEFAULT},
        });
        let web = create(&mut cri, "web", "trap 'exit 3' TERM; echo begins; sleep 1000 & wait", restricted);
        // In the sandbox's PID namespace, as with shareProcessNamespace.
        let side = create(
            &mut cri,
            "side",
            "echo word >/persistent/word; exec sleep 1000",
            json!({"namespace_options": {"network": NODE}}),
        );
        let mut ids = [pod.clone(), web.clone(), side.clone()];
        ids.sort();
        assert_eq!(listed("/run/containerd/runc/k8s.io"), ids, "it is barepod-oci that runs them");

        let container = |cri: &mut Cri, id: &str| {
            cri.good("ContainerStatus", &json!({"container_id": id}))["status"].clone()
        };
        assert_eq!(container(&mut cri, &web)["state"], RUNNING);
        let exec = |cri: &mut Cri, id: &str, script: &str| {
            let answer = cri
                .good("ExecSync", &json!({"container_id": id, "cmd": ["sh", "-c", script], "timeout": 60}));
            (answer["exit_code"].as_u64().unwrap(), answer["stdout"].as_str().unwrap().to_owned())
        };
        let look = "id -u; id -g; echo $COLOUR; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr '\\t' ' '
            cat /proc/self/oom_score_adj; (: >/file) 2>/dev/null || echo read-only; cat /persistent/word
            cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes; exit 5";
        let (code, said) = exec(&mut cri, &web, look);
        assert_eq!(
            (code, said.as_str()),
            (
                5,
                "7\n8\ngreen\nCapEff: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n900\nread-only\nword\n67108864\n"
            )
        );
        let (_, ps) = exec(&mut cri, &side, "ps -o args");
        assert!(
            ps.contains("sleep 1000000") && ps.contains("sleep 1000\n"),
            "the sandbox's and its own: {ps}"
        );
        let stats = cri.good("ContainerStats", &json!({"container_id": web}));
        assert!(stats["stats"]["memory"]["working_set_bytes"]["value"].as_u64().unwrap() > 0, "{stats}");

        cri.good("StopContainer", &json!({"container_id": web, "timeout": 30}));
        let status = container(&mut cri, &web);
        assert_eq!((&status["state"], &status["exit_code"]), (&json!(EXITED), &json!(3)));
        let log = fs::read_to_string(lab.dir.join("logs/web.log")).unwrap();
        assert!(log.trim_end().ends_with(" stdout F begins"), "{log}");
        cri.good("RemoveContainer", &json!({"container_id": web}));
        assert!(cri.call("ContainerStatus", &json!({"container_id": web})).is_err());
        assert!(cgroup_directories(&format!("{}/{web}", lab.cgroup_parent())).is_empty());

        cri.good("StopPodSandbox", &json!({"pod_sandbox_id": pod}));
        assert_eq!(state(&mut cri)["state"], NOT_READY);
        assert_eq!(container(&mut cri, &side)["exit_code"], 137, "it goes with its sandbox");
        cri.good("RemovePodSandbox", &json!({"pod_sandbox_id": pod}));
        assert!(cri.call("PodSandboxStatus", &json!({"pod_sandbox_id": pod})).is_err());
        let unknown = cri.call("RunPodSandbox", &json!({"config": config, "runtime_handler": "other"}));
        assert!(
            unknown.is_err_and(|error| error.contains("other")),
            "a runtime class that is not configured"
        );
    });
}
