//! The container layer alone, through `barepod-oci`: what a container sees of itself is the witness.

mod support;

#[path = "oci/bad.rs"]
mod bad;
#[path = "oci/config.rs"]
mod config_of_linux;
#[path = "oci/verbs.rs"]
mod verbs;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::*;

/// A bundle of its own, changed by the test.
struct Box_ {
    dir: PathBuf,
}

impl Box_ {
    fn new(name: &str) -> Box_ {
        need_root();
        let dir = std::env::temp_dir().join(format!("barepod-oci-test-{}-{name}", std::process::id()));
        own_bundle(&dir.join("bundle"));
        Box_ { dir }
    }

    fn bundle(&self) -> PathBuf {
        self.dir.join("bundle")
    }

    fn configure(&self, change: impl FnOnce(&mut Value)) {
        let mut spec = config();
        change(&mut spec);
        fs::write(self.bundle().join("config.json"), spec.to_string()).unwrap();
    }

    /// Configures a shell command and runs it.
    fn sh(&self, script: &str, change: impl FnOnce(&mut Value)) -> Output {
        self.configure(|spec| {
            spec["process"]["args"] = serde_json::json!(["sh", "-c", script]);
            change(spec);
        });
        self.run(BAREPOD_OCI)
    }

    fn run(&self, runtime: &str) -> Output {
        let id = self.dir.file_name().unwrap().to_str().unwrap();
        let mut command = Command::new(runtime);
        if runtime.ends_with("crun") {
            // Stock crun refuses a hybrid host while cgroup2 has a controller. Mounting hugetlb as v1 takes it away, for as
            // long as this private mount namespace lives; elsewhere the mount fails and is not needed.
            let prepare = format!(
                "mount -t cgroup -o hugetlb none {}/tmp 2>/dev/null; exec \"$@\"",
                self.dir.display()
            );
            fs::create_dir_all(self.dir.join("tmp")).unwrap();
            command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "sh", "-c", &prepare, "sh", runtime]);
        }
        command
            .arg("--root")
            .arg(self.dir.join("state"))
            .args(["run", "--bundle"])
            .arg(self.bundle())
            .arg(id);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// `barepod-oci ARGS`, with the standard streams of what it starts in files, since a container keeps them.
    fn oci(&self, args: &[&str]) -> (bool, String, String) {
        let count = CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let [out, err] = ["out", "err"].map(|name| self.dir.join(format!("{name}.{count}")));
        let mut command = Command::new(BAREPOD_OCI);
        command.arg("--root").arg(self.dir.join("state")).args(args).current_dir(self.bundle());
        let [stdout, stderr] = [&out, &err].map(|path| fs::File::create(path).unwrap());
        let status = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).status().unwrap();
        (status.success(), fs::read_to_string(out).unwrap(), fs::read_to_string(err).unwrap())
    }

    /// The same, and it must succeed; what it printed.
    fn good(&self, args: &[&str]) -> String {
        let (success, out, err) = self.oci(args);
        assert!(success, "{args:?}: {err}");
        assert!(err.is_empty(), "{args:?}: {err}");
        out
    }

    /// The same, and it must fail; the error.
    fn bad(&self, args: &[&str]) -> String {
        let (success, _, err) = self.oci(args);
        assert!(!success, "{args:?} succeeds");
        assert!(err.starts_with("barepod-oci: error: ") && err.lines().count() == 1, "{args:?}: {err}");
        err
    }

    fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.good(&["state", id])).unwrap()
    }

    fn status(&self, id: &str) -> String {
        self.state(id)["status"].as_str().unwrap().to_owned()
    }

    fn wait_for_status(&self, id: &str, status: &str) {
        let start = std::time::Instant::now();
        while self.status(id) != status {
            assert!(start.elapsed() < seconds(10), "{id} is {}, not {status}", self.status(id));
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Creates and starts a container whose process is this shell script.
    fn start(&self, id: &str, script: &str, change: impl FnOnce(&mut Value)) {
        self.configure(|spec| {
            spec["process"]["args"] = serde_json::json!(["sh", "-c", script]);
            change(spec);
        });
        self.good(&["create", id]);
        self.good(&["start", id]);
    }

    /// An id that no other test has: cgroups are named after it.
    fn id(&self) -> String {
        self.dir.file_name().unwrap().to_str().unwrap().to_owned()
    }

    fn text(&self, script: &str, change: impl FnOnce(&mut Value)) -> String {
        let output = self.sh(script, change);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {}\n{stderr}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    fn error(&self, change: impl FnOnce(&mut Value)) -> String {
        let output = self.sh("true", change);
        assert!(!output.status.success(), "it ran");
        String::from_utf8(output.stderr).unwrap()
    }
}

static CALLS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

impl Drop for Box_ {
    fn drop(&mut self) {
        // A test that fails leaves containers.
        for entry in fs::read_dir(self.dir.join("state")).into_iter().flatten().flatten() {
            let id = entry.file_name().into_string().unwrap();
            self.oci(&["delete", "--force", &id]);
        }
        fs::remove_dir_all(&self.dir).ok();
    }
}

fn same(_: &mut Value) {}

#[test]
fn the_exit_code_of_the_program_is_that_of_run() {
    let b = Box_::new("exit");
    assert_eq!(b.sh("exit 42", same).status.code(), Some(42));
    assert_eq!(
        b.sh("kill -9 $$; kill -TERM 1; sleep 1; exit 3", same).status.code(),
        Some(3),
        "PID 1 ignores what it does not handle"
    );
}

#[test]
fn every_namespace_is_a_new_one() {
    let b = Box_::new("namespaces");
    let inside = b.text("cd /proc/self/ns; for n in pid net ipc uts mnt cgroup; do readlink $n; done", same);
    for line in inside.lines() {
        let kind = line.split(':').next().unwrap();
        let outside = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_ne!(outside.to_str().unwrap(), line);
    }
    assert_eq!(inside.lines().count(), 6);
}

#[test]
fn a_namespace_given_by_path_is_joined() {
    let b = Box_::new("joined");
    let inside = b.text("readlink /proc/self/ns/net; readlink /proc/self/ns/uts", |spec| {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        for (kind, file) in [("network", "net"), ("uts", "uts")] {
            let one = namespaces.iter_mut().find(|n| n["type"] == kind).unwrap();
            one["path"] = format!("/proc/{}/ns/{file}", std::process::id()).into();
        }
    });
    let own =
        |file: &str| fs::read_link(format!("/proc/self/ns/{file}")).unwrap().to_str().unwrap().to_owned();
    assert_eq!(inside, format!("{}\n{}\n", own("net"), own("uts")));
}

#[test]
fn every_line_of_its_cgroup_is_the_root() {
    let text = Box_::new("cgroup").text("cat /proc/self/cgroup", same);
    assert!(text.lines().count() > 0);
    for line in text.lines() {
        assert!(line.ends_with(":/"), "{line}");
    }
}

#[test]
fn limits_are_in_place_and_seen_from_inside() {
    let b = Box_::new("limits");
    let script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max 2>/dev/null || \
        cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max";
    let text = b.text(script, |spec| {
        spec["linux"]["resources"]["memory"] = serde_json::json!({"limit": 33554432});
        spec["linux"]["resources"]["pids"] = serde_json::json!({"limit": 17});
    });
    assert_eq!(text, "33554432\n17\n");
}

#[test]
fn a_program_over_its_memory_limit_is_killed() {
    let b = Box_::new("oom");
    let output = b.sh("dd if=/dev/zero of=/dev/shm/x bs=1M count=64", |spec| {
        spec["linux"]["resources"]["memory"] = serde_json::json!({"limit": 16 << 20, "swap": 16 << 20});
        spec["process"]["args"] =
            serde_json::json!(["dd", "if=/dev/zero", "of=/dev/shm/x", "bs=32M", "count=2"]);
    });
    assert_eq!(output.status.code(), Some(137), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn devices_outside_the_list_cannot_be_opened() {
    let b = Box_::new("devices");
    let text = b.text("mknod /dev/mem c 1 1; cat /dev/mem 2>&1 >/dev/null; echo ok > /dev/null; head -c 4 /dev/zero | wc -c", same);
    assert!(text.contains("not permitted"), "{text}");
    assert!(text.ends_with("4\n"), "{text}");
}

#[test]
fn user_groups_and_umask_are_those_of_the_spec() {
    let b = Box_::new("user");
    let text =
        b.text("id -u; id -g; grep ^Groups /proc/self/status; umask; grep Cap /proc/self/status", |spec| {
            spec["process"]["user"] =
                serde_json::json!({"uid": 1000, "gid": 100, "additionalGids": [6, 5, 6], "umask": 0o77});
            spec["process"]["capabilities"] = serde_json::json!({});
        });
    assert!(text.starts_with("1000\n100\nGroups:\t5 6 6 \n0077\n"), "{text}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(text.contains(&format!("{set}:\t0000000000000000")), "{set} in {text}");
    }
}

#[test]
fn the_five_capability_sets_are_those_of_the_spec() {
    let b = Box_::new("caps");
    let text = b.text("grep Cap /proc/self/status", |spec| {
        spec["process"]["user"] = serde_json::json!({"uid": 1000, "gid": 100});
        spec["process"]["capabilities"] = serde_json::json!({
            "bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_SETUID"], "permitted": ["CAP_KILL", "CAP_CHOWN"],
            "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"],
        });
    });
    // execve as a user keeps only what is ambient.
    for (set, value) in
        [("CapBnd", 0xa1), ("CapPrm", 0x20), ("CapEff", 0x20), ("CapInh", 0x20), ("CapAmb", 0x20)]
    {
        assert!(text.contains(&format!("{set}:\t{value:016x}")), "{set} in {text}");
    }
}

#[test]
fn no_new_privs_and_rlimits_and_oom_score_are_set() {
    let b = Box_::new("process");
    let text = b.text(
        "grep NoNewPrivs /proc/self/status; ulimit -n; cat /proc/self/oom_score_adj; hostname; pwd; echo $A",
        |spec| {
            spec["process"]["noNewPrivileges"] = true.into();
            spec["process"]["rlimits"] =
                serde_json::json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]);
            spec["process"]["oomScoreAdj"] = 500.into();
            spec["process"]["cwd"] = "/tmp/new".into();
            spec["process"]["env"] = serde_json::json!(["PATH=/bin", "A=b c"]);
            spec["hostname"] = "witness".into();
        },
    );
    assert_eq!(text, "NoNewPrivs:\t1\n100\n500\nwitness\n/tmp/new\nb c\n");
}

#[test]
fn a_variable_has_its_last_value_and_home_is_that_of_the_user() {
    let b = Box_::new("env");
    let passwd = b.bundle().join("rootfs/etc/passwd");
    fs::remove_file(&passwd).unwrap(); // other bundles have it too
    fs::write(&passwd, "root:x:0:0::/root:/bin/sh\nweb:x:7:7::/srv/web:/bin/sh\n").unwrap();
    let env = |user: u32, env: &[&str]| {
        b.configure(|spec| {
            spec["process"]["args"] = serde_json::json!(["env"]);
            spec["process"]["user"] = serde_json::json!({"uid": user, "gid": user});
            spec["process"]["env"] = serde_json::json!(env);
        });
        let output = b.run(BAREPOD_OCI);
        let mut lines: Vec<String> =
            String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let two = ["ONE=two", "ONE=", "PATH=/no/such", "PATH=/bin", "ONE=three"];
    assert_eq!(env(0, &two), ["HOME=/root", "ONE=three", "PATH=/bin"]);
    assert_eq!(env(7, &["HOME=/own", "HOME=", "PATH=/bin"]), ["HOME=/srv/web", "PATH=/bin"]);
    assert_eq!(env(8, &["PATH=/bin"]), ["HOME=/", "PATH=/bin"]);
    assert_eq!(env(0, &["HOME=/own", "PATH=/bin"]), ["HOME=/own", "PATH=/bin"]);
}

#[test]
fn a_read_only_root_and_read_only_paths_cannot_be_written() {
    let b = Box_::new("readonly");
    let script = "for f in /new /proc/sys/kernel/domainname /sys/x; do (: > $f) 2>/dev/null && echo wrote $f; done; : > /dev/shm/x && echo shm";
    let text = b.text(script, |spec| spec["root"]["readonly"] = true.into());
    assert_eq!(text, "shm\n");
}

#[test]
fn masked_paths_show_nothing() {
    let b = Box_::new("masked");
    fs::create_dir(b.bundle().join("rootfs/secret")).unwrap();
    fs::write(b.bundle().join("rootfs/secret/file"), "x").unwrap();
    fs::write(b.bundle().join("rootfs/password"), "x").unwrap();
    let text = b.text("ls /secret; cat /password; ls -l /password | cut -c1", |spec| {
        spec["linux"]["maskedPaths"] = serde_json::json!(["/secret", "/password", "/not-there"]);
    });
    assert_eq!(text, "c\n");
}

#[test]
fn a_sysctl_is_written_in_the_containers_namespace() {
    let b = Box_::new("sysctl");
    let text = b.text("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni", |spec| {
        spec["linux"]["sysctl"] = serde_json::json!({"net.ipv4.ip_forward": "1", "kernel.shmmni": "77"});
    });
    assert_eq!(text, "1\n77\n");
    let error = b.error(|spec| spec["linux"]["sysctl"] = serde_json::json!({"kernel.core_pattern": "|/x"}));
    assert!(error.contains("kernel.core_pattern is not namespaced"), "{error}");
    // Without a network namespace of its own it would be the host's.
    let error = b.error(|spec| {
        spec["linux"]["sysctl"] = serde_json::json!({"net.ipv4.ip_forward": "1"});
        spec["linux"]["namespaces"]
            .as_array_mut()
            .unwrap()
            .retain(|namespace| namespace["type"] != "network");
    });
    assert!(
        error.contains("net.ipv4.ip_forward belongs to a namespace that the container does not have"),
        "{error}"
    );
}

#[test]
fn binds_of_files_and_directories_with_their_options() {
    let b = Box_::new("binds");
    fs::create_dir_all(b.dir.join("data")).unwrap();
    fs::write(b.dir.join("data/file"), "from outside\n").unwrap();
    let text = b.text("cat /mnt/file /one; (: > /mnt/new) 2>&1; grep -c ' /mnt ro,.*noexec' /proc/self/mountinfo", |spec| {
        let data = b.dir.join("data");
        let mounts = spec["mounts"].as_array_mut().unwrap();
        mounts.push(serde_json::json!({"destination": "/mnt", "source": data, "options": ["rbind", "ro", "noexec"]}));
        mounts.push(serde_json::json!({"destination": "/one", "source": data.join("file"), "options": ["bind"]}));
    });
    assert!(text.starts_with("from outside\nfrom outside\n"), "{text}");
    assert!(text.contains("Read-only file system") && text.ends_with("1\n"), "{text}");
}

#[test]
fn tmpcopyup_starts_with_what_the_rootfs_has() {
    let b = Box_::new("copyup");
    let text = b.text("cat /etc/passwd; echo x > /etc/new && echo written; readlink /etc/link", |spec| {
        symlink("/etc/passwd", b.bundle().join("rootfs/etc/link")).unwrap();
        let mounts = spec["mounts"].as_array_mut().unwrap();
        mounts.push(serde_json::json!({"destination": "/etc", "type": "tmpfs", "options": ["tmpcopyup"]}));
    });
    assert_eq!(text, "root:x:0:0:root:/:/bin/sh\nwritten\n/etc/passwd\n");
    assert!(!b.bundle().join("rootfs/etc/new").exists());
}

#[test]
fn a_filter_for_system_calls_holds_for_the_program_with_and_without_new_privileges() {
    let b = Box_::new("seccomp");
    let look = "mkdir /tmp/x 2>&1; mkdir -m 700 /tmp/y 2>&1; grep -E 'Seccomp:|NoNewPrivs' /proc/self/status; \
                chmod 700 /tmp 2>&1; chmod 755 /tmp";
    for nnp in [true, false] {
        let text = b.text(look, |spec| {
            spec["process"]["noNewPrivileges"] = nnp.into();
            spec["mounts"]
                .as_array_mut()
                .unwrap()
                .push(serde_json::json!({"destination": "/tmp", "type": "tmpfs"}));
            spec["linux"]["seccomp"] = serde_json::json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "architectures": ["SCMP_ARCH_NATIVE"],
                "syscalls": [
                    {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
                    {"names": ["chmod"], "action": "SCMP_ACT_ERRNO",
                     "args": [{"index": 1, "value": 0o700, "op": "SCMP_CMP_EQ"}]},
                    {"names": ["fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO",
                     "args": [{"index": 2, "value": 0o700, "op": "SCMP_CMP_EQ"}]},
                ],
            });
        });
        assert_eq!(text.matches("No space left on device").count(), 2, "{text}");
        assert!(
            text.contains(&format!("NoNewPrivs:\t{}", u8::from(nnp))) && text.contains("Seccomp:\t2"),
            "{text}"
        );
        assert!(text.contains("/tmp: Operation not permitted"), "{text}");
    }
    // Killed by it, as by a signal.
    b.configure(|spec| {
        spec["process"]["args"] = serde_json::json!(["mkdir", "/x"]);
        spec["linux"]["seccomp"] = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_KILL_PROCESS"}],
        });
    });
    assert_eq!(b.run(BAREPOD_OCI).status.code(), Some(128 + 31));
    // A filter that forbids execve ends the start, and the error says where.
    let error = b.error(|spec| {
        spec["linux"]["seccomp"] = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["execve", "execveat"], "action": "SCMP_ACT_ERRNO"}],
        });
    });
    assert!(error.contains("execute") && error.contains("EPERM"), "{error}");
}

#[test]
fn fields_that_are_not_done_are_refused_by_name_and_nothing_is_left() {
    type Change = fn(&mut Value);
    let b = Box_::new("refused");
    let cases: [(&str, Change); 4] = [
        ("SCMP_ACT_NOTIFY needs a listenerPath", |spec| {
            spec["linux"]["seccomp"] = serde_json::json!({"defaultAction": "SCMP_ACT_NOTIFY"})
        }),
        ("linux.uidMappings: root is not mapped", |spec| {
            spec["linux"]["namespaces"].as_array_mut().unwrap().push(serde_json::json!({"type": "user"}))
        }),
        ("linux.timeOffsets: there is no new time namespace", |spec| {
            spec["linux"]["timeOffsets"] = serde_json::json!({"boottime": {"secs": 1}})
        }),
        ("windows", |spec| spec["windows"] = serde_json::json!({"layerFolders": []})),
    ];
    for (word, change) in cases {
        let error = b.error(change);
        assert!(error.contains(word) && error.lines().count() == 1, "{word}: {error}");
    }
    assert!(!b.dir.join("state").exists() || fs::read_dir(b.dir.join("state")).unwrap().next().is_none());
}

#[test]
fn errors_name_the_step_the_object_and_the_errno() {
    let b = Box_::new("errors");
    let error = b.error(|spec| spec["process"]["args"] = serde_json::json!(["no-such-program"]));
    assert!(error.contains("execute no-such-program") && error.contains("ENOENT"), "{error}");
    let error = b.error(|spec| {
        spec["mounts"].as_array_mut().unwrap().push(serde_json::json!({"destination": "/x", "type": "nofs"}));
    });
    assert!(error.contains("mount nofs on /x") && error.contains("ENODEV"), "{error}");
    let error = b.error(|spec| {
        spec["mounts"]
            .as_array_mut()
            .unwrap()
            .push(serde_json::json!({"destination": "/x", "source": "/no/where", "options": ["bind"]}));
    });
    assert!(error.contains("/no/where") && error.contains("ENOENT"), "{error}");
}

#[test]
fn a_container_that_runs_has_a_state_and_can_be_killed_and_deleted() {
    let b = Box_::new("state");
    b.configure(|spec| spec["process"]["args"] = serde_json::json!(["sleep", "600"]));
    let oci = |args: &[&str]| {
        Command::new(BAREPOD_OCI).arg("--root").arg(b.dir.join("state")).args(args).output().unwrap()
    };
    let id = format!("state-{}", std::process::id());
    let null = || Stdio::from(fs::File::options().write(true).open("/dev/null").unwrap());
    let run = |id: &str| {
        let mut run = Command::new(BAREPOD_OCI);
        run.arg("--root").arg(b.dir.join("state")).args(["run", "-d", "-b"]).arg(b.bundle()).arg(id);
        run.stdout(null()).stderr(null()).status().unwrap()
    };
    assert!(run(&id).success());
    assert!(!run(&id).success(), "the id is taken");
    let state: Value = serde_json::from_slice(&oci(&["state", &id]).stdout).unwrap();
    assert_eq!((state["status"].as_str(), state["id"].as_str()), (Some("running"), Some(id.as_str())));
    assert!(!oci(&["delete", &id]).status.success(), "it runs");
    assert!(oci(&["kill", &id, "KILL"]).status.success());
    let deleted = || oci(&["delete", &id]).status.success();
    let start = std::time::Instant::now();
    while !deleted() {
        assert!(start.elapsed() < seconds(5), "cannot be deleted");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(!oci(&["state", &id]).status.success());
    assert!(cgroup_directories(&id).is_empty());
}

/// What is in a directory, with inode numbers and contents: if anything was made, changed or replaced, this differs.
fn picture(directory: &Path) -> Vec<(PathBuf, u64, Vec<u8>)> {
    let mut list: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    list.sort();
    let one = |path: PathBuf| {
        let found = fs::symlink_metadata(&path).unwrap();
        // What a runtime made here may lead anywhere, so only regular files are read.
        let content = if found.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        (path, found.ino(), content)
    };
    list.into_iter().map(one).collect()
}

/// Runs a bundle whose `name` is a symlink to a directory of the host; true when that directory is untouched.
fn canary_survives(runtime: &str, name: &str) -> (bool, Output) {
    let tag = format!("canary-{name}-{}", Path::new(runtime).file_name().unwrap().to_str().unwrap());
    let b = Box_::new(&tag);
    let canary = b.dir.join("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), "untouched").unwrap();
    symlink(&canary, b.bundle().join("rootfs").join(name)).unwrap();
    // No mount at the place itself: the runtime makes devices and links there of its own accord.
    b.configure(|spec| {
        spec["process"]["args"] = serde_json::json!(["true"]);
        let under = format!("/{name}");
        spec["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|mount| !mount["destination"].as_str().unwrap().starts_with(&under));
        if name != "dev" {
            spec["linux"]["maskedPaths"] = serde_json::json!([]);
            spec["linux"]["readonlyPaths"] = serde_json::json!([]);
        }
    });
    let before = picture(&canary);
    let output = b.run(runtime);
    let survives = picture(&canary) == before;
    (survives, output)
}

#[test]
fn a_rootfs_with_a_symlinked_dev_proc_or_sys_is_refused_and_the_host_is_untouched() {
    for name in ["dev", "proc", "sys"] {
        let (survives, output) = canary_survives(BAREPOD_OCI, name);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(survives, "{name}: the host directory was changed");
        assert!(
            !output.status.success() && stderr.contains(&format!("/{name} is a symlink")),
            "{name}: {stderr}"
        );
    }
}

/// The test above bites: stock runc 1.1.5 and crun 1.8.1 of Debian 12 fail it.
#[test]
fn the_symlink_test_fails_with_runc_and_crun() {
    for runtime in ["/usr/sbin/runc", "/usr/bin/crun"] {
        assert!(Path::new(runtime).exists(), "{runtime} is missing: run scripts/test");
        let (survives, output) = canary_survives(runtime, "dev");
        assert!(!survives, "{runtime} survives: {}", String::from_utf8_lossy(&output.stderr));
    }
}
