//! The verbs, as engines use them.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::*;
use serde_json::json;

#[test]
fn a_created_container_waits_for_start_and_a_stopped_one_for_delete() {
    let b = Box_::new("lifecycle");
    let id = b.id();
    b.configure(|spec| {
        spec["process"]["args"] = json!(["sh", "-c", "echo ran >>/ran; sleep 600"]);
        spec["annotations"] = json!({"org.example.key": "value"});
    });
    b.good(&["create", "--pid-file", "pid", &id]);
    let state = b.state(&id);
    assert_eq!(
        (state["status"].as_str(), state["id"].as_str()),
        (Some("created"), Some(id.as_str())),
        "{state}"
    );
    assert_eq!(state["bundle"], b.bundle().to_str().unwrap());
    assert_eq!(state["annotations"], json!({"org.example.key": "value"}));
    assert_eq!(fs::read_to_string(b.bundle().join("pid")).unwrap(), state["pid"].to_string());
    assert!(!b.bundle().join("rootfs/ran").exists(), "the program ran before start");
    assert!(b.bad(&["create", &id]).contains("container id is in use"));

    // What becomes of the configuration now changes nothing.
    fs::write(b.bundle().join("config.json"), "{}").unwrap();
    b.good(&["start", &id]);
    assert_eq!(b.status(&id), "running");
    assert!(b.bad(&["start", &id]).contains("container is running, not created"));
    assert!(b.bad(&["delete", &id]).contains("container is running, not stopped"));
    assert_eq!(b.state(&id)["pid"], state["pid"]);

    b.good(&["kill", &id, "KILL"]);
    b.wait_for_status(&id, "stopped");
    assert!(b.bad(&["kill", &id, "KILL"]).contains("container not running"));
    assert!(b.bad(&["start", &id]).contains("container is stopped, not created"));
    b.good(&["delete", &id]);
    assert!(b.bad(&["state", &id]).contains("container does not exist"));
    b.good(&["delete", "--force", &id]);
    assert_eq!(fs::read_to_string(b.bundle().join("rootfs/ran")).unwrap(), "ran\n");
    assert!(cgroup_directories(&id).is_empty());
}

#[test]
fn a_container_that_was_never_started_can_be_deleted() {
    let b = Box_::new("unstarted");
    let id = b.id();
    b.configure(|spec| spec["process"]["args"] = json!(["sh"]));
    let link = b.dir.join("link");
    symlink(b.bundle(), &link).unwrap();
    b.good(&["create", "--bundle", link.to_str().unwrap(), &id]);
    assert_eq!(b.state(&id)["bundle"], link.to_str().unwrap(), "as it was given");
    let pid = b.state(&id)["pid"].as_i64().unwrap();
    // Paused, too.
    b.good(&["pause", &id]);
    b.good(&["delete", &id]);
    assert!(!Path::new(&format!("/proc/{pid}/cwd")).exists());
    assert!(b.bad(&["state", &id]).contains("does not exist"));
}

#[test]
fn a_container_without_a_process_can_be_created_and_not_started() {
    let b = Box_::new("processless");
    let id = b.id();
    b.configure(|spec| drop(spec.as_object_mut().unwrap().remove("process")));
    b.good(&["create", &id]);
    for _ in 0..2 {
        assert!(b.bad(&["start", &id]).contains("process is missing"));
        assert_eq!(b.status(&id), "created");
    }
    b.good(&["kill", &id, "KILL"]);
    b.wait_for_status(&id, "stopped");
    b.good(&["delete", &id]);
    assert!(b.bad(&["run", &id]).contains("process is missing"));
}

#[test]
fn a_program_that_is_not_there_fails_create_and_leaves_nothing() {
    let b = Box_::new("missing");
    let id = b.id();
    for (args, words) in [
        (json!(["no-such"]), "executable file not found in $PATH"),
        (json!(["/no/such"]), "ENOENT: No such file or directory"),
        (json!(["/etc/passwd"]), "EACCES: Permission denied"),
    ] {
        b.configure(|spec| spec["process"]["args"] = args.clone());
        assert!(b.bad(&["create", &id]).contains(words), "{args}");
        assert!(b.bad(&["state", &id]).contains("does not exist"));
    }
    assert!(cgroup_directories(&id).is_empty());
}

#[test]
fn signals_are_sent_by_name_to_the_first_process_or_to_all() {
    let b = Box_::new("signals");
    let id = b.id();
    let script = "trap 'echo one >>/got; exit' USR1; (trap 'echo two >>/got; exit' USR2; : >/ready; while :; do sleep 0.05; done) & \
                  trap 'echo first >>/got' USR2; while :; do sleep 0.05; done";
    b.start(&id, script, same);
    wait_for_file(&b.bundle().join("rootfs/ready"));
    b.good(&["kill", "--all", &id, "SIGUSR2"]);
    let got = b.bundle().join("rootfs/got");
    let start = std::time::Instant::now();
    while fs::read_to_string(&got).unwrap_or_default().lines().count() < 2 {
        assert!(start.elapsed() < seconds(10), "{:?}", fs::read_to_string(&got));
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    b.good(&["kill", &id, "10"]);
    b.wait_for_status(&id, "stopped");
    let text = fs::read_to_string(&got).unwrap();
    assert!(text.contains("first\n") && text.contains("two\n") && text.ends_with("one\n"), "{text}");
}

fn wait_for_file(path: &Path) {
    let start = std::time::Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < seconds(10), "{} does not come", path.display());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn hooks_of_all_six_kinds_run_at_their_moments_with_the_state() {
    let b = Box_::new("hooks");
    let id = b.id();
    let log = b.dir.join("log");
    let outside = |kind: &str| {
        let script = format!("echo {kind} $(cat) $W >>{}; test -e /host-only-of-barepod", log.display());
        json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("{script}; true")], "env": ["W=word", "PATH=/bin:/usr/bin"], "timeout": 20}])
    };
    b.configure(|spec| {
        spec["process"]["args"] = json!(["sh", "-c", "cat /inside; exec sleep 600"]);
        spec["process"]["env"] = json!(["PATH=/bin", "OWN=env"]);
        spec["root"]["readonly"] = true.into();
        spec["mounts"].as_array_mut().unwrap().push(json!({"destination": "/run", "type": "tmpfs"}));
        for kind in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
            spec["hooks"][kind] = outside(kind);
        }
        // Inside, where the host's files are not: with the environment of the program.
        spec["hooks"]["startContainer"] =
            json!([{"path": "/bin/sh", "args": ["sh", "-c", "echo $(cat) $OWN >/run/hook"]}]);
    });
    b.good(&["create", &id]);
    let kinds = || -> Vec<String> {
        let text = fs::read_to_string(&log).unwrap();
        text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(), ["prestart", "createRuntime", "createContainer"]);
    b.good(&["start", &id]);
    assert_eq!(kinds(), ["prestart", "createRuntime", "createContainer", "poststart"]);
    let inside = b.good(&["exec", &id, "cat", "/run/hook"]);
    assert!(inside.contains(r#""status":"created""#) && inside.ends_with(" env\n"), "{inside}");
    assert!(inside.contains(r#""pid":1,"#), "{inside}");
    let pid = b.state(&id)["pid"].clone();
    b.good(&["delete", "--force", &id]);
    let text = fs::read_to_string(&log).unwrap();
    for (line, status) in text.lines().zip(["created", "creating", "creating", "running", "stopped"]) {
        let json = &line[line.find('{').unwrap()..=line.rfind('}').unwrap()];
        let state: Value = serde_json::from_str(json).unwrap();
        assert_eq!(
            (state["status"].as_str(), state["id"].as_str()),
            (Some(status), Some(id.as_str())),
            "{line}"
        );
        // Where it runs counts: in the container its process has another number.
        let seen = if line.starts_with("createContainer") { json!(1) } else { pid.clone() };
        assert!(status == "stopped" || state["pid"] == seen, "{line}");
        assert!(line.ends_with(" word"), "{line}");
    }
    assert_eq!(kinds().last().unwrap(), "poststop");
}

#[test]
fn a_hook_that_fails_ends_the_container_and_those_of_the_end_run() {
    let b = Box_::new("hookfail");
    let id = b.id();
    let log = b.dir.join("log");
    let hook = |word: &str, code: u32| {
        let script = format!("echo {word} >>{}; exit {code}", log.display());
        json!({"path": "/bin/sh", "args": ["sh", "-c", script]})
    };
    let hooks = |kind: &str| json!({kind: [hook("1", 0), hook("2", 1), hook("3", 0)]});
    for kind in ["prestart", "createRuntime", "createContainer"] {
        b.configure(|spec| {
            spec["process"]["args"] = json!(["sleep", "600"]);
            spec["hooks"] = hooks(kind);
            spec["hooks"]["poststop"] = json!([hook("stop", 0)]);
        });
        let error = b.bad(&["create", &id]);
        assert!(error.contains(kind) && error.contains("/bin/sh: exit code 1"), "{error}");
        assert!(b.bad(&["state", &id]).contains("does not exist"));
        assert_eq!(fs::read_to_string(&log).unwrap(), "1\n2\nstop\n", "{kind}");
        fs::remove_file(&log).unwrap();
    }
    b.configure(|spec| {
        spec["process"]["args"] = json!(["sleep", "600"]);
        spec["hooks"] = hooks("poststart");
        spec["hooks"]["poststop"] = json!([hook("stop", 0)]);
    });
    b.good(&["create", &id]);
    assert!(b.bad(&["start", &id]).contains("poststart hook"));
    assert_eq!(fs::read_to_string(&log).unwrap(), "1\n2\nstop\n");
    assert!(b.bad(&["state", &id]).contains("does not exist"));
    fs::remove_file(&log).unwrap();
    // What startContainer hooks do concerns the container; who waits outside is told all the same.
    b.configure(|spec| {
        spec["process"]["args"] = json!(["sh", "-c", "echo ran >/ran"]);
        spec["hooks"] = json!({
            "startContainer": [{"path": "/bin/false"}],
            "poststart": [hook("start", 0)],
            "poststop": [hook("stop", 0)],
        });
    });
    b.good(&["create", &id]);
    let error = b.bad(&["start", &id]);
    assert!(error.contains("startContainer hook /bin/false: exit code 1"), "{error}");
    assert_eq!(fs::read_to_string(&log).unwrap(), "start\n");
    b.good(&["delete", &id]);
    assert_eq!(fs::read_to_string(&log).unwrap(), "start\nstop\n");
    assert!(!b.bundle().join("rootfs/ran").exists());
}

#[test]
fn a_poststop_hook_that_fails_is_told_of_and_nothing_else() {
    let b = Box_::new("stopfail");
    let log = b.dir.join("log");
    let hook = |word: &str, code: u32| {
        let script = format!("echo {word} >>{}; exit {code}", log.display());
        json!({"path": "/bin/sh", "args": ["sh", "-c", script]})
    };
    b.configure(|spec| {
        spec["process"]["args"] = json!(["true"]);
        spec["hooks"] = json!({"poststop": [hook("1", 0), hook("2", 1), hook("3", 0)]});
    });
    let engine = b.dir.join("engine.log");
    let id = b.id();
    b.good(&["create", &id]);
    b.good(&["start", &id]);
    b.wait_for_status(&id, "stopped");
    let (success, _, err) =
        b.oci(&["--log", engine.to_str().unwrap(), "--log-format", "json", "delete", &id]);
    assert!(success && err == "barepod-oci: warning: poststop hook /bin/sh: exit code 1\n", "{err}");
    assert!(fs::read_to_string(&engine).unwrap().contains(r#""level":"warning""#));
    assert_eq!(fs::read_to_string(&log).unwrap(), "1\n2\n3\n");
    assert!(b.bad(&["state", &id]).contains("does not exist"));

    fs::remove_file(&log).unwrap();
    let (success, _, err) = b.oci(&["run", &id]);
    assert!(success && err.contains("warning: poststop hook"), "{err}");
    assert_eq!(fs::read_to_string(&log).unwrap(), "1\n2\n3\n");

    // Where something else has failed before, one line has both.
    for (kind, verb) in [("createRuntime", "create"), ("poststart", "start")] {
        b.configure(|spec| {
            spec["process"]["args"] = json!(["sleep", "600"]);
            spec["hooks"] = json!({kind: [{"path": "/bin/false"}], "poststop": [hook("1", 1), hook("2", 0)]});
        });
        if verb == "start" {
            b.good(&["create", &id]);
        }
        let error = b.bad(&[verb, &id]);
        let both = format!("{kind} hook /bin/false: exit code 1; then poststop hook /bin/sh: exit code 1\n");
        assert!(error.ends_with(&both), "{error}");
    }
}

/// `barepod-oci ARGS` by a person: what it has as standard streams, and the end of who looks at it.
fn on_a_terminal(b: &Box_, args: &[&str]) -> (std::process::Child, fs::File) {
    let pair = nix::pty::openpty(None, None).unwrap();
    let [input, output, error] = [(); 3].map(|()| Stdio::from(pair.slave.try_clone().unwrap()));
    let mut command = Command::new(BAREPOD_OCI);
    command.arg("--root").arg(b.dir.join("state")).args(args).current_dir(b.bundle());
    let child = command.stdin(input).stdout(output).stderr(error).spawn().unwrap();
    (child, fs::File::from(pair.master))
}

#[test]
fn a_program_without_a_terminal_does_not_get_the_callers() {
    let b = Box_::new("pipes");
    let id = b.id();
    let script = "test -t 0 || test -t 1 || test -t 2 || echo pipes; cat; echo error >&2; exit 3";
    b.configure(|spec| spec["process"]["args"] = json!(["sh", "-c", script]));
    // What a person sees who types a line and then Ctrl-D.
    let seen = |args: &[&str]| {
        let (mut child, mut master) = on_a_terminal(&b, args);
        master.write_all(b"typed\n\x04").unwrap();
        let mut text = Vec::new();
        master.read_to_end(&mut text).ok(); // its end is an error: nobody has the other side open any more
        (child.wait().unwrap().code(), String::from_utf8(text).unwrap().replace('\r', ""))
    };
    let (code, text) = seen(&["run", &id]);
    assert_eq!(code, Some(3), "{text}");
    assert!(
        text.contains("pipes\n") && text.matches("typed\n").count() == 2 && text.ends_with("error\n"),
        "{text}"
    );

    b.start(&id, "exec sleep 600", same);
    let (code, text) = seen(&["exec", &id, "sh", "-c", script]);
    assert_eq!(code, Some(3), "{text}");
    assert!(
        text.contains("pipes\n") && text.matches("typed\n").count() == 2 && text.ends_with("error\n"),
        "{text}"
    );
    b.good(&["delete", "--force", &id]);
}

/// Its exit code, which is to come although nobody reads what it prints.
fn code_in_time(mut child: std::process::Child) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if start.elapsed() > seconds(20) {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_terminal_that_nobody_reads_holds_up_neither_the_end_nor_a_signal() {
    let b = Box_::new("unread");
    let id = b.id();
    // More than a terminal takes, some 10 kB; the rest is in the pipe at the end.
    let much = "head -c 75000 /dev/zero; exit 3";
    b.configure(|spec| spec["process"]["args"] = json!(["sh", "-c", much]));
    let (child, master) = on_a_terminal(&b, &["run", &id]);
    assert_eq!(code_in_time(child), Some(3));
    drop(master);

    let endless = "trap 'exit 4' TERM; echo >/ready; cat /dev/zero & wait";
    b.configure(|spec| spec["process"]["args"] = json!(["sh", "-c", endless]));
    let (child, master) = on_a_terminal(&b, &["run", &id]);
    wait_for_file(&b.bundle().join("rootfs/ready"));
    std::thread::sleep(Duration::from_millis(300)); // until all is full
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::SIGTERM).unwrap();
    assert_eq!(code_in_time(child), Some(4));
    drop(master);

    b.start(&id, "exec sleep 600", same);
    let (child, master) = on_a_terminal(&b, &["exec", &id, "sh", "-c", much]);
    assert_eq!(code_in_time(child), Some(3));
    drop(master);
    b.good(&["delete", "--force", &id]);
}

#[test]
fn of_much_that_a_program_prints_nothing_is_lost_on_the_way_to_the_terminal() {
    let b = Box_::new("much");
    let id = b.id();
    b.configure(|spec| {
        let print = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2";
        spec["process"]["args"] = json!(["sh", "-c", print])
    });
    let (mut child, mut master) = on_a_terminal(&b, &["run", &id]);
    let mut seen = Vec::new();
    master.read_to_end(&mut seen).ok();
    assert_eq!((child.wait().unwrap().code(), seen.len()), (Some(0), 600_000));
}

#[test]
fn the_callers_terminal_is_not_that_of_a_further_process() {
    let b = Box_::new("session");
    let id = b.id();
    b.start(&id, "exec sleep 600", same);
    let look = "if echo typed >/dev/tty; then echo open; else echo none; fi >/new; mv /new /$0";
    let pair = nix::pty::openpty(None, None).unwrap();
    let root = b.bundle().join("rootfs");
    for (name, detach) in [("foreground", None), ("detached", Some("--detach"))] {
        // It leads the session until it has seen what comes of it.
        let script = r#""$@"; i=0; until test -e "$0" || test $i = 100; do i=$((i+1)); sleep 0.1; done"#;
        let mut command = Command::new("setsid");
        // With -c the terminal is the session's; busybox knows no longer name.
        command.args(["-c", "sh", "-c", script]).arg(root.join(name));
        command.arg(BAREPOD_OCI).arg("--root").arg(b.dir.join("state")).arg("exec");
        command.args(detach).args([&id, "sh", "-c", look, name]);
        let other = || Stdio::from(fs::File::create(b.dir.join("output")).unwrap());
        let stdin = Stdio::from(pair.slave.try_clone().unwrap());
        assert!(command.stdin(stdin).stdout(other()).stderr(other()).status().unwrap().success());
        assert_eq!(fs::read_to_string(root.join(name)).unwrap(), "none\n", "{name}");
    }
    b.good(&["delete", "--force", &id]);
}

#[test]
fn who_waits_for_a_further_process_is_not_killed_in_its_place() {
    let b = Box_::new("keeper");
    let id = b.id();
    b.start(&id, "exec sleep 600", |spec| spec["process"]["oomScoreAdj"] = 700.into());
    let mut exec = Command::new(BAREPOD_OCI);
    exec.arg("--root").arg(b.dir.join("state")).args([
        "exec",
        &id,
        "sh",
        "-c",
        "echo >/ready; exec sleep 600",
    ]);
    let mut exec = exec.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    wait_for_file(&b.bundle().join("rootfs/ready"));
    let first = &b.state(&id)["pid"];
    let all: Value = serde_json::from_str(&b.good(&["ps", "-f", "json", &id])).unwrap();
    let command = all.as_array().unwrap().iter().find(|pid| *pid != first).unwrap();
    let keeper = barepod::kernel::process::parent(command.as_i64().unwrap() as i32).unwrap();
    let adjusted = |pid: &str| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    assert_eq!(adjusted(&command.to_string()), "700\n");
    assert_eq!(adjusted(&keeper.to_string()), adjusted("self"));
    b.good(&["delete", "--force", &id]);
    assert_eq!(exec.wait().unwrap().code(), Some(137));
}

#[test]
fn whether_a_further_process_has_a_terminal_is_for_its_json_to_say() {
    let b = Box_::new("execjson");
    let id = b.id();
    b.start(&id, "exec sleep 600", same);
    let file = b.dir.join("process.json");
    let mut process = json!({"args": ["sh", "-c", "test -t 1 || echo none"], "cwd": "/", "env": ["PATH=/bin"],
        "user": {"uid": 0, "gid": 0}});
    let mut exec = || {
        fs::write(&file, process.to_string()).unwrap();
        process["terminal"] = true.into();
        b.good(&["exec", "--tty", "--process", file.to_str().unwrap(), &id])
    };
    assert_eq!(exec(), "none\n");
    assert_eq!(exec(), "");
    b.good(&["delete", "--force", &id]);
}

#[test]
fn a_further_process_has_what_the_containers_process_has_and_what_it_is_given() {
    let b = Box_::new("exec");
    let id = b.id();
    b.start(&id, "exec sleep 600", |spec| {
        spec["process"]["env"] = json!(["PATH=/bin", "A=1", "B=1"]);
        spec["process"]["noNewPrivileges"] = true.into();
        spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "hard": 77, "soft": 77}]);
        spec["process"]["oomScoreAdj"] = 321.into();
        let sets = &mut spec["process"]["capabilities"];
        let (chown, both) = (["CAP_CHOWN"], ["CAP_KILL", "CAP_CHOWN"]);
        *sets = json!({"bounding": both, "effective": [], "permitted": both, "inheritable": chown, "ambient": chown});
    });
    let look = "echo $A $B; pwd; ulimit -n; cat /proc/self/oom_score_adj; id -u; grep -E 'Cap|NoNewPrivs' /proc/self/status";
    let text = b.good(&["exec", "-e", "B=2", &id, "sh", "-c", look]);
    assert!(text.starts_with("1 2\n/work\n77\n321\n0\n"), "{text}");
    // 0x20: CAP_KILL; 0x1: CAP_CHOWN. Without new privileges root has no more than what is permitted.
    let sets = [("Inh", 1), ("Prm", 0x21), ("Eff", 0x21), ("Bnd", 0x21), ("Amb", 1)]
        .map(|(set, bits)| format!("Cap{set}:\t{bits:016x}\n"));
    assert!(text.contains(&(sets.concat() + "NoNewPrivs:\t1")), "{text}");
    let env = b.good(&["exec", "-e", "B=2", &id, "env"]);
    assert!(env.contains("B=2\n") && !env.contains("B=1"), "{env}");
    let text = b.good(&[
        "exec",
        "--cap",
        "CAP_SYSLOG",
        "--cwd",
        "/bin",
        "-u",
        "7:8",
        "-g",
        "9",
        &id,
        "sh",
        "-c",
        "pwd; id; grep Cap /proc/self/status",
    ]);
    assert!(text.starts_with("/bin\nuid=7 gid=8 groups=9"), "{text}");
    // What is given beyond is not inherited (CVE-2022-29162).
    assert!(
        text.contains("CapInh:\t0000000000000001") && text.contains("CapBnd:\t0000000400000021"),
        "{text}"
    );

    fs::write(
        b.bundle().join("process.json"),
        json!({"args": ["sh", "-c", "echo $X; pwd; ulimit -n"], "cwd": "/tmp", "env": ["X=y", "PATH=/bin"], "user": {"uid": 0, "gid": 0}})
            .to_string(),
    )
    .unwrap();
    let text = b.good(&["exec", "--process", "process.json", &id]);
    assert!(text.starts_with("y\n/tmp\n"), "{text}");
    // In the container's namespaces and cgroup, whatever these are called.
    let inside = b.good(&["exec", &id, "sh", "-c", "for n in pid net ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done; grep -vc ':/$' /proc/self/cgroup; true"]);
    let pid = b.state(&id)["pid"].to_string();
    for line in inside.lines().filter(|line| line.contains('[')) {
        let kind = line.split(':').next().unwrap();
        assert_eq!(fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().to_str().unwrap(), line);
    }
    assert!(inside.ends_with("\n0\n"), "{inside}");
}

#[test]
fn the_exit_code_of_a_further_process_passes_through_and_a_detached_one_runs_on() {
    let b = Box_::new("execcode");
    let id = b.id();
    b.start(&id, "exec sleep 600", same);
    let code = |args: &[&str]| {
        let mut command = Command::new(BAREPOD_OCI);
        command.arg("--root").arg(b.dir.join("state")).args(args);
        command.stdin(Stdio::null()).output().unwrap().status.code().unwrap()
    };
    assert_eq!(code(&["exec", &id, "sh", "-c", "exit 42"]), 42);
    assert_eq!(code(&["exec", &id, "sh", "-c", "kill -TERM $$"]), 143);
    assert!(b.bad(&["exec", &id, "no-such"]).contains("ENOENT"));
    b.good(&[
        "exec",
        "--detach",
        "--pid-file",
        "pid",
        &id,
        "sh",
        "-c",
        "echo $PPID >/parent; exec sleep 500",
    ]);
    let pid: i32 = fs::read_to_string(b.bundle().join("pid")).unwrap().parse().unwrap();
    let start = Instant::now();
    while fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() != "sleep\n" {
        assert!(start.elapsed() < seconds(10), "the shell does not execute it");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pids: Vec<i32> = serde_json::from_str(&b.good(&["ps", "-f", "json", &id])).unwrap();
    assert!(pids.contains(&pid) && pids.len() == 2, "{pids:?}");
    let table = b.good(&["ps", &id]);
    assert!(
        table.lines().next().unwrap().contains("PID")
            && table.contains("sleep 500")
            && table.lines().count() == 3,
        "{table}"
    );
    b.good(&["kill", "--all", &id, "KILL"]);
    b.wait_for_status(&id, "stopped");
    assert!(b.bad(&["exec", &id, "true"]).contains("container is stopped, not running"));
}

#[test]
fn a_paused_container_stands_still_until_resume() {
    let b = Box_::new("pause");
    let id = b.id();
    b.start(&id, "while :; do echo x >>/ticks; sleep 0.02; done", same);
    let ticks = || fs::read_to_string(b.bundle().join("rootfs/ticks")).unwrap_or_default().len();
    wait_for_file(&b.bundle().join("rootfs/ticks"));
    b.good(&["pause", &id]);
    assert_eq!(b.status(&id), "paused");
    let before = ticks();
    let mut late = Command::new(BAREPOD_OCI);
    late.arg("--root").arg(b.dir.join("state")).args(["exec", "--ignore-paused", &id, "touch", "/late"]);
    let mut late = late.stdin(Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(ticks(), before);
    assert!(late.try_wait().unwrap().is_none() && !b.bundle().join("rootfs/late").exists());
    assert!(b.bad(&["exec", &id, "true"]).contains("paused"));
    assert!(b.bad(&["pause", &id]).contains("container is paused, not running"));
    b.good(&["resume", &id]);
    assert_eq!(b.status(&id), "running");
    let start = std::time::Instant::now();
    while ticks() == before {
        assert!(start.elapsed() < seconds(10));
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(late.wait().unwrap().success() && b.bundle().join("rootfs/late").exists());
    assert!(b.bad(&["resume", &id]).contains("container is running, not paused"));
    // A paused one can be killed.
    b.good(&["pause", &id]);
    b.good(&["kill", &id, "KILL"]);
    b.wait_for_status(&id, "stopped");
}

#[test]
fn descriptors_from_3_on_are_passed_on_when_asked_for_and_closed_otherwise() {
    let b = Box_::new("preserve");
    b.configure(|spec| {
        spec["process"]["args"] = json!(["sh", "-c", "cat <&3; cat <&5; ls /proc/self/fd"]);
    });
    fs::write(b.dir.join("three"), "three\n").unwrap();
    fs::write(b.dir.join("five"), "five\n").unwrap();
    // 4 is not open, 6 is not to be passed on.
    let run = |preserve: &str| {
        let script = format!(
            "exec 3<{0}/three 5<{0}/five 6</dev/null; exec {BAREPOD_OCI} --root {0}/state run --preserve-fds {preserve} --bundle {0}/bundle {1}",
            b.dir.display(),
            b.id()
        );
        Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap()
    };
    let output = run("3");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("three\nfive\n0\n1\n2\n3\n4\n5\n") && !text.contains('6'), "{text} {output:?}");
    let output = run("0");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("three"), "{output:?}");
}

#[test]
fn a_terminal_goes_to_the_console_socket() {
    use std::os::fd::AsFd;
    let b = Box_::new("console");
    let id = b.id();
    let socket = b.dir.join("console");
    let listener = UnixListener::bind(&socket).unwrap();
    b.configure(|spec| {
        spec["process"]["terminal"] = true.into();
        spec["process"]["consoleSize"] = json!({"height": 7, "width": 111});
        let script = "tty; stty size; test -t 0 && test -t 2 && echo terminal; ls -l /dev/console; sleep 600";
        spec["process"]["args"] = json!(["sh", "-c", script]);
    });
    assert!(b.bad(&["create", &id]).contains("terminal"));
    let take = |listener: &UnixListener| {
        let (connection, _) = listener.accept().unwrap();
        let (_, mut received) = barepod::kernel::pass::receive(connection.as_fd(), &mut [0; 64]).unwrap();
        std::fs::File::from(received.pop().unwrap())
    };
    let expect = |master: &mut std::fs::File, wanted: &str| {
        let mut text = String::new();
        let start = std::time::Instant::now();
        while !text.contains(wanted) {
            assert!(start.elapsed() < seconds(10), "{text}");
            let mut piece = [0; 1024];
            if let Ok(length) = master.read(&mut piece) {
                text.push_str(&String::from_utf8_lossy(&piece[..length]));
            }
        }
        text
    };
    b.good(&["create", "--console-socket", socket.to_str().unwrap(), &id]);
    let mut master = take(&listener);
    b.good(&["start", &id]);
    let text = expect(&mut master, "/dev/console");
    assert!(text.contains("/dev/pts/0\r\n7 111\r\nterminal"), "{text}");
    b.good(&[
        "exec",
        "-d",
        "-t",
        "--console-socket",
        socket.to_str().unwrap(),
        &id,
        "sh",
        "-c",
        "stty size; tty; sleep 1",
    ]);
    let text = expect(&mut take(&listener), "/dev/pts/1");
    assert!(text.starts_with("7 111\r\n"), "{text}");
    assert!(!text.contains("not a tty"), "{text}");

    // Who waits for the command does not keep the connection open meanwhile.
    let mut exec = Command::new(BAREPOD_OCI);
    exec.arg("--root").arg(b.dir.join("state")).args(["exec", "-t", "--console-socket"]).arg(&socket);
    let mut exec = exec.args([&id, "sleep", "600"]).stdin(Stdio::null()).spawn().unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    connection.set_read_timeout(Some(seconds(10))).unwrap();
    let (_, master) = barepod::kernel::pass::receive(connection.as_fd(), &mut [0; 64]).unwrap();
    assert_eq!(connection.read(&mut [0; 1]).unwrap(), 0);
    b.good(&["delete", "--force", &id]);
    assert_eq!(exec.wait().unwrap().code(), Some(137));
    drop(master);
}

#[test]
fn list_features_and_spec_print_what_engines_read() {
    let b = Box_::new("list");
    let id = b.id();
    assert_eq!(b.good(&["list", "-f", "json"]), "[]\n");
    b.start(&id, "sleep 600", same);
    let list: Value = serde_json::from_str(&b.good(&["list", "-f", "json"])).unwrap();
    assert_eq!((list[0]["id"].as_str(), list[0]["status"].as_str()), (Some(id.as_str()), Some("running")));
    assert_eq!(b.good(&["list", "-q"]), format!("{id}\n"));
    assert!(b.good(&["list"]).starts_with("ID "));
    let features: Value = serde_json::from_str(&b.good(&["features"])).unwrap();
    assert_eq!((&features["ociVersionMin"], &features["ociVersionMax"]), (&"1.0.0".into(), &"1.3.0".into()));
    assert_eq!(features["hooks"].as_array().unwrap().len(), 6);
    fs::create_dir(b.dir.join("new")).unwrap();
    b.good(&["spec", "--bundle", b.dir.join("new").to_str().unwrap()]);
    let spec: Value = serde_json::from_slice(&fs::read(b.dir.join("new/config.json")).unwrap()).unwrap();
    assert_eq!(spec["root"]["path"], "rootfs");
    assert!(b.bad(&["spec", "--bundle", b.dir.join("new").to_str().unwrap()]).contains("File exists"));
    assert!(b.bad(&["checkpoint", &id]).contains("CRIU"));
}

#[test]
fn errors_are_in_the_log_as_engines_parse_them() {
    let b = Box_::new("log");
    let log = b.dir.join("log.json");
    b.bad(&["--log", log.to_str().unwrap(), "--log-format", "json", "state", "none"]);
    let line: Value = serde_json::from_str(fs::read_to_string(&log).unwrap().trim()).unwrap();
    assert_eq!(
        (line["level"].as_str(), line["msg"].as_str()),
        (Some("error"), Some("state: container does not exist"))
    );
    let log = b.dir.join("log.text");
    b.bad(&["--log", log.to_str().unwrap(), "start", "none"]);
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains(r#"level=error msg="start: container does not exist""#), "{text}");
}

#[test]
fn what_creates_a_container_cannot_be_overwritten_from_it() {
    let b = Box_::new("self");
    // /proc/self/exe is what has become the program: were it the file of barepod-oci, it could be opened for writing.
    let text = b.text("readlink /proc/self/exe; (: >/proc/1/exe) 2>&1; true", same);
    assert!(!text.contains("barepod"), "{text}");
    b.configure(|spec| spec["process"]["args"] = json!(["/proc/self/exe", "--version"]));
    let before = fs::read(BAREPOD_OCI).unwrap();
    b.run(BAREPOD_OCI);
    assert!(fs::read(BAREPOD_OCI).unwrap() == before);

    // A binary of its own: as long as one is executed, by other tests as well, it cannot be written to anyhow.
    let own = b.dir.join("barepod-oci");
    assert!(Command::new("cp").arg(BAREPOD_OCI).arg(&own).status().unwrap().success());
    let id = b.id();
    let good = |verb: &str| {
        let mut command = Command::new(&own);
        command.arg("--root").arg(b.dir.join("state")).args([verb, &id]).current_dir(b.bundle());
        let [stdin, stdout, stderr] = [Stdio::null(), Stdio::null(), Stdio::null()];
        assert!(command.stdin(stdin).stdout(stdout).stderr(stderr).status().unwrap().success(), "{verb}");
    };
    b.configure(|spec| spec["process"]["args"] = json!(["sleep", "1000"]));
    good("create");
    let exe = format!("/proc/{}/exe", b.state(&id)["pid"]);
    let path = fs::read_link(&exe).unwrap();
    assert_eq!(path, Path::new("/"), "on a mount of its own");
    // Somebody keeps a descriptor until it is no longer executed.
    let kept = fs::File::open(&exe).unwrap();
    good("start");
    let start = Instant::now();
    while fs::read_link(&exe).unwrap() == path {
        assert!(start.elapsed() < seconds(10), "the program does not run");
        std::thread::sleep(Duration::from_millis(10));
    }
    let again = format!("/proc/self/fd/{}", kept.as_raw_fd());
    let opened = fs::OpenOptions::new().write(true).open(again);
    assert_eq!(opened.unwrap_err().raw_os_error(), Some(libc::EROFS));
    fs::OpenOptions::new().write(true).open(&own).expect("by its path it can be written to");
}

#[test]
fn what_has_no_mount_of_its_own_is_a_copy_that_nobody_can_write_to() {
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;
    let b = Box_::new("copy");
    b.configure(|spec| spec["process"]["args"] = json!(["sleep", "1000"]));
    // Whose name is not text is not found among what is mapped.
    let own = b.dir.join(std::ffi::OsStr::from_bytes(b"barepod-oci-\xff"));
    assert!(Command::new("cp").arg(BAREPOD_OCI).arg(&own).status().unwrap().success());
    let id = b.id();
    let mut create = Command::new(&own);
    create.arg("--root").arg(b.dir.join("state")).args(["create", &id]).current_dir(b.bundle());
    assert!(create.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let exe = format!("/proc/{}/exe", b.state(&id)["pid"]);
    assert_eq!(fs::read_link(&exe).unwrap(), Path::new("/memfd:barepod (deleted)"));
    let kept = fs::File::open(&exe).unwrap();
    b.good(&["delete", "--force", &id]);
    let again = format!("/proc/self/fd/{}", kept.as_raw_fd());
    let written = fs::OpenOptions::new().write(true).open(again).and_then(|mut copy| copy.write(b"x"));
    assert_eq!(written.unwrap_err().raw_os_error(), Some(libc::EPERM));
}
