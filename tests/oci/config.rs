//! The configuration: what is beyond the container of a pod.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use super::*;
use serde_json::json;

fn namespaces(spec: &mut Value) -> &mut Vec<Value> {
    spec["linux"]["namespaces"].as_array_mut().unwrap()
}

/// A bundle that the container's root, who is nobody on the host, may use.
fn for_users(b: &Box_, spec: &mut Value, first: u32) {
    namespaces(spec).push(json!({"type": "user"}));
    let maps = json!([{"containerID": 0, "hostID": first, "size": 65536}]);
    spec["linux"]["uidMappings"] = maps.clone();
    spec["linux"]["gidMappings"] = maps;
    let chown = Command::new("cp").arg("-a").arg(b.bundle().join("rootfs")).arg(b.dir.join("users")).status();
    assert!(chown.unwrap().success());
    let chown =
        Command::new("chown").arg("-hR").arg(format!("{first}:{first}")).arg(b.dir.join("users")).status();
    assert!(chown.unwrap().success());
    spec["root"]["path"] = b.dir.join("users").to_str().unwrap().into();
    // As a temporary directory of root is: nobody of the container may pass it.
    fs::set_permissions(&b.dir, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_new_user_namespace_has_its_maps_and_its_root_is_nobody_on_the_host() {
    let b = Box_::new("userns");
    let script = "cat /proc/self/uid_map; id -u; readlink /proc/self/ns/user; : >/made; ls -ln / | grep made; \
                  test -c /dev/null && echo null; echo x >/dev/null && hostname; cat /proc/self/oom_score_adj; \
                  grep CapEff /proc/self/status; mount -t tmpfs x /tmp 2>&1; true";
    let text = b.text(script, |spec| {
        for_users(&b, spec, 200_000);
        spec["hostname"] = "inner".into();
        spec["process"]["oomScoreAdj"] = 500.into();
    });
    let words: Vec<&str> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(words, ["0", "200000", "65536"], "{text}");
    let own = fs::read_link("/proc/self/ns/user").unwrap();
    assert!(text.contains("\n0\nuser:[") && !text.contains(own.to_str().unwrap()), "{text}");
    assert!(text.contains("null\ninner\n500\n"), "{text}");
    let made = fs::metadata(b.dir.join("users/made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (200_000, 200_000));
}

#[test]
fn a_user_namespace_is_joined_and_a_further_process_joins_it_too() {
    let b = Box_::new("usernsjoin");
    let (first, second) = (b.id(), format!("{}-2", b.id()));
    b.start(&first, "sleep 600", |spec| for_users(&b, spec, 300_000));
    let pid = b.state(&first)["pid"].to_string();
    let inside = b.good(&["exec", &first, "sh", "-c", "id -u; readlink /proc/self/ns/user"]);
    let of_first = fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
    assert_eq!(inside, format!("0\n{}\n", of_first.display()));
    for (user, owner) in [("0", "0\r\n"), ("7", "7\r\n")] {
        let script = ["sh", "-c", "stat -c %u $(tty)"];
        assert_eq!(b.good(&[&["exec", "--tty", "--user", user, &first][..], &script].concat()), owner);
    }
    b.start(&second, "sleep 600", |spec| {
        spec["root"]["path"] = b.dir.join("users").to_str().unwrap().into();
        for namespace in namespaces(spec).iter_mut() {
            if namespace["type"] == "network" {
                namespace["path"] = format!("/proc/{pid}/ns/net").into();
            }
        }
        namespaces(spec).push(json!({"type": "user", "path": format!("/proc/{pid}/ns/user")}));
    });
    let other = b.state(&second)["pid"].to_string();
    for kind in ["user", "net"] {
        let [a, c] = [&pid, &other].map(|pid| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap());
        assert_eq!(a, c, "{kind}");
    }
    assert_ne!(
        fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap(),
        fs::read_link(format!("/proc/{other}/ns/mnt")).unwrap()
    );
}

#[test]
fn a_time_namespace_has_its_offsets() {
    let b = Box_::new("time");
    let outside: f64 =
        fs::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse().unwrap();
    let text = b.text("cat /proc/uptime", |spec| {
        namespaces(spec).push(json!({"type": "time"}));
        spec["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1_000_000}, "monotonic": {"secs": 5}});
    });
    let inside: f64 = text.split(' ').next().unwrap().parse().unwrap();
    assert!((inside - outside - 1_000_000.0).abs() < 60.0, "{outside} {inside}");
}

#[test]
fn the_process_is_scheduled_as_it_is_said_and_so_is_a_further_one() {
    let b = Box_::new("schedule");
    let id = b.id();
    let configure = |spec: &mut Value| {
        spec["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 3});
        spec["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 6});
        spec["process"]["execCPUAffinity"] = json!({"initial": "0", "final": "0"});
        spec["linux"]["personality"] = json!({"domain": "LINUX32"});
        // Nothing of it may be left to do when the filter holds, which comes before the capabilities are gone.
        spec["process"]["capabilities"] = json!({});
        spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{
            "names": ["sched_setattr", "sched_setaffinity", "ioprio_set", "personality", "openat2"],
            "action": "SCMP_ACT_ERRNO",
        }]});
    };
    // Fields 19 (nice) and 41 (policy) of the stat line.
    let look = "cut -d ')' -f 2 /proc/self/stat | cut -d ' ' -f 18,40; uname -m; ionice -p $$; \
                grep -E 'Seccomp:|Cpus_allowed_list' /proc/self/status";
    let check = |text: &str| {
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "3 3", "{text}"); // SCHED_BATCH is 3
        assert_eq!(lines[1], if cfg!(target_arch = "x86_64") { "i686" } else { lines[1] });
        assert_eq!(lines[2], "best-effort: prio 6", "{text}");
        assert_eq!(lines[3], "Seccomp:\t2", "{text}");
    };
    check(&b.text(look, configure));
    b.start(&id, "exec sleep 600", configure);
    let (success, text, error) = b.oci(&["--debug", "exec", &id, "sh", "-c", look]);
    assert!(success && error.ends_with("initial affinity: 0x1\n") && error.lines().count() == 1, "{error}");
    check(&text);
    assert!(text.ends_with("Cpus_allowed_list:\t0\n"), "{text}");
}

#[test]
fn the_owners_of_a_bind_are_mapped() {
    let b = Box_::new("idmap");
    let data = b.dir.join("data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("file"), "x").unwrap();
    std::os::unix::fs::chown(data.join("file"), Some(1000), Some(1000)).unwrap();
    let map = |from: u32, to: u32| json!([{"containerID": from, "hostID": to, "size": 1}]);
    let text = b.text("stat -c '%u %g' /plain/file /mapped/file", |spec| {
        let mounts = spec["mounts"].as_array_mut().unwrap();
        mounts.push(json!({"destination": "/plain", "source": data, "options": ["rbind"]}));
        mounts.push(json!({"destination": "/mapped", "source": data, "options": ["bind"],
            "uidMappings": map(1000, 4242), "gidMappings": map(1000, 4343)}));
    });
    assert_eq!(text, "1000 1000\n4242 4343\n");
    // In a user namespace: by its own maps, with all options there are; a relative place is below the root.
    std::os::unix::fs::chown(data.join("file"), Some(0), Some(0)).unwrap();
    let text = b.text("stat -c '%u %g' /plain/file /mapped/file /implied/file", |spec| {
        for_users(&b, spec, 200_000);
        let all = json!([{"containerID": 0, "hostID": 200_000, "size": 65536}]);
        let mounts = spec["mounts"].as_array_mut().unwrap();
        mounts.push(json!({"destination": "/plain", "source": data, "options": ["bind"]}));
        mounts.push(
            json!({"destination": "mapped", "type": "bind", "source": data, "options": ["bind", "shared"],
            "uidMappings": all, "gidMappings": all}),
        );
        mounts.push(json!({"destination": "/implied", "source": data, "options": ["rbind", "ridmap"]}));
    });
    assert_eq!(text, "65534 65534\n0 0\n0 0\n");
}

#[test]
fn an_agent_decides_about_calls() {
    use std::os::fd::AsFd;
    let b = Box_::new("notify");
    let id = b.id();
    let socket = b.dir.join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    b.configure(|spec| {
        spec["process"]["args"] = json!(["true"]);
        spec["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": socket,
            "listenerMetadata": "meta",
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
        });
    });
    b.good(&["create", &id]);
    let (connection, _) = listener.accept().unwrap();
    let mut bytes = [0; 4096];
    let (length, received) = barepod::kernel::pass::receive(connection.as_fd(), &mut bytes).unwrap();
    assert_eq!(received.len(), 1);
    let said: Value = serde_json::from_slice(&bytes[..length]).unwrap();
    let state = b.state(&id);
    assert_eq!(
        (said["pid"].clone(), said["metadata"].as_str()),
        (state["pid"].clone(), Some("meta")),
        "{said}"
    );
    assert_eq!(
        (said["state"]["id"].as_str(), said["fds"].clone()),
        (Some(id.as_str()), json!(["seccompFd"]))
    );
    b.good(&["start", &id]);
    b.wait_for_status(&id, "stopped");
}

#[test]
fn a_container_without_a_mount_namespace_leaves_no_mount_on_the_host() {
    let b = Box_::new("nomounts");
    let id = b.id();
    let mounts = || {
        fs::read_to_string("/proc/self/mountinfo").unwrap().lines().filter(|line| line.contains(&id)).count()
    };
    b.start(&id, "mount; ls /proc/self/ns; exec sleep 600", |spec| {
        spec["root"]["readonly"] = true.into();
        spec["process"]["cwd"] = "/".into();
        spec["linux"]["namespaces"] = json!([]);
        spec["linux"]["maskedPaths"] = json!([]);
        spec["linux"]["readonlyPaths"] = json!([]);
    });
    let pid = b.state(&id)["pid"].to_string();
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
        let [its, ours] = [&*pid, "self"].map(|pid| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap());
        assert_eq!(its, ours);
    }
    assert_eq!(b.good(&["exec", &id, "cat", "/etc/passwd"]), "root:x:0:0:root:/:/bin/sh\n");
    assert!(mounts() > 0);
    b.good(&["delete", "--force", &id]);
    assert_eq!(mounts(), 0);
}

#[test]
fn a_prepared_cgroup_is_taken_as_it_is() {
    let b = Box_::new("taken");
    let id = b.id();
    let path = format!("barepod-test-{}", std::process::id());
    b.start(&id, "sleep 600", |spec| spec["linux"]["cgroupsPath"] = format!("/{path}/{id}").into());
    let directories = cgroup_directories(&format!("{path}/{id}"));
    assert!(!directories.is_empty());
    // Somebody lives there.
    let other = format!("{id}-2");
    let error = b.bad(&["create", &other]);
    assert!(error.contains("in use"), "{error}");
    b.good(&["delete", "--force", &id]);
    assert!(cgroup_directories(&format!("{path}/{id}")).is_empty());
    for directory in cgroup_directories(&path) {
        fs::remove_dir(directory).unwrap();
    }
}

#[test]
fn without_a_path_the_cgroup_has_the_name_of_the_container_and_its_devices_are_in_the_order_of_the_rules() {
    let b = Box_::new("ownname");
    let id = b.id();
    b.start(&id, "exec sleep 600", |spec| {
        spec["linux"]["resources"] = json!({"cpu": {}, "devices": [
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
            {"allow": true, "type": "b", "major": 8, "minor": 20, "access": "rw"},
            {"allow": true, "type": "b", "major": 10, "minor": 200, "access": "r"},
        ]});
    });
    let directories = cgroup_directories(&id);
    let read = |file: &str| directories.iter().find_map(|one| fs::read_to_string(one.join(file)).ok());
    assert!(read("cgroup.procs").is_some_and(|pids| pids == format!("{}\n", b.state(&id)["pid"])));
    // Only v1 shows the rules, and gives every cgroup its CPUs by name.
    if let Some(list) = read("devices.list") {
        assert!(list.starts_with("c 10:229 rwm\nb 8:20 rw\nb 10:200 r\n"), "{list}");
        assert!(read("cpuset.cpus").is_some_and(|cpus| !cpus.trim().is_empty()));
    }
}

#[test]
fn a_name_without_a_uts_namespace_is_left_out_with_a_warning() {
    let b = Box_::new("noname");
    let output = b.sh("hostname", |spec| {
        namespaces(spec).retain(|one| one["type"] != "uts");
        spec["hostname"] = "left-out".into();
    });
    let warning = "barepod-oci: warning: hostname has no effect: there is no uts namespace\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), warning);
    let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap()), (Some(0), own));
}

#[test]
fn a_limit_that_linux_does_not_have_any_more_is_left_out_with_a_warning() {
    let b = Box_::new("kmem");
    let output = b.sh("echo ran", |spec| {
        spec["linux"]["resources"]["memory"] = json!({"kernel": 1 << 24, "limit": 1 << 25})
    });
    let warning =
        "barepod-oci: warning: resources.memory.kernel has no effect: Linux does not limit it any more\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), warning);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "ran\n");

    let id = b.id();
    b.start(&id, "exec sleep 600", same);
    let resources = b.dir.join("resources.json");
    fs::write(&resources, r#"{"memory": {"kernel": 16777216}}"#).unwrap();
    let (success, _, error) = b.oci(&["update", "--resources", resources.to_str().unwrap(), &id]);
    assert!(success && error == warning.replace("resources.", ""), "{error}");
    b.good(&["delete", "--force", &id]);
}

#[test]
fn a_tmpfs_without_a_mode_has_that_of_the_directory_which_it_covers() {
    let b = Box_::new("tmpfsmode");
    let covered = b.bundle().join("rootfs/covered");
    let text = b.text("stat -c %a /covered /given /fresh", |spec| {
        fs::create_dir(&covered).unwrap();
        fs::set_permissions(&covered, fs::Permissions::from_mode(0o5713)).unwrap();
        fs::create_dir(covered.with_file_name("given")).unwrap();
        let mount = |place: &str, options: Value| {
            json!({"destination": place, "type": "tmpfs", "source": "tmpfs", "options": options})
        };
        let mounts = spec["mounts"].as_array_mut().unwrap();
        mounts.push(mount("/covered", json!(["nosuid"])));
        mounts.push(mount("/given", json!(["mode=700"])));
        mounts.push(mount("/fresh", json!([])));
    });
    assert_eq!(text, "5713\n700\n1777\n");
}

#[test]
fn a_mount_namespace_is_joined_after_the_others_whose_paths_it_does_not_have() {
    let b = Box_::new("mntjoin");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "sleep", "60"]);
    let mut other = command.spawn().unwrap();
    let path = |kind: &str| format!("/proc/{}/ns/{kind}", other.id());
    let start = std::time::Instant::now();
    while fs::read_link(path("pid_for_children")).is_err()
        || fs::read_link(path("net")).unwrap() == fs::read_link("/proc/self/ns/net").unwrap()
    {
        assert!(start.elapsed() < seconds(10), "no namespaces");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let text = b.text("readlink /proc/self/ns/mnt; readlink /proc/self/ns/net; ls / | grep -c bin", |spec| {
        let kinds = [("mount", "mnt"), ("network", "net"), ("pid", "pid_for_children")];
        spec["linux"]["namespaces"] =
            kinds.map(|(kind, file)| json!({"type": kind, "path": path(file)})).into_iter().collect();
    });
    let [mnt, net] = ["mnt", "net"].map(|kind| fs::read_link(path(kind)).unwrap());
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(text, format!("{}\n{}\n1\n", mnt.display(), net.display()));
}

#[test]
fn mounts_are_in_the_order_of_the_configuration() {
    let b = Box_::new("mountorder");
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
    let release = (numbers.next().unwrap(), numbers.next().unwrap());
    let mut expected = Vec::new();
    let text = b.text("cut -d ' ' -f 5 /proc/self/mountinfo", |spec| {
        spec["linux"]["maskedPaths"] = json!([]);
        spec["linux"]["readonlyPaths"] = json!([]);
        let mounts = spec["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["type"] != "cgroup");
        for (place, options) in [("/one", json!(["bind"])), ("/two", json!([])), ("/three", json!(["rbind"]))]
        {
            let (kind, source) =
                if place == "/two" { ("tmpfs", "tmpfs".into()) } else { ("bind", b.dir.clone()) };
            mounts.push(json!({"destination": place, "type": kind, "source": source, "options": options}));
        }
        expected = mounts.iter().map(|mount| mount["destination"].as_str().unwrap().to_owned()).collect();
    });
    let found: Vec<&str> = text.lines().filter(|line| *line != "/").collect();
    // In between, mountinfo is in the order of age, and a source that was opened first can not be made anew.
    if !((6, 8)..(6, 15)).contains(&release) {
        assert_eq!(found, expected);
    }
}

#[test]
fn propagation_is_that_of_the_mount_and_with_an_r_that_of_its_submounts() {
    let b = Box_::new("propagation");
    let source = b.dir.join("source");
    fs::create_dir(&source).unwrap();
    for (kind, top, below) in [
        ("shared", "shared: master:", "master:"),
        ("rshared", "shared:", "shared:"),
        ("slave", "master:", "master:"),
        ("private", "", "master:"),
        ("rprivate", "", ""),
        ("unbindable", "unbindable", "master:"),
    ] {
        b.configure(|spec| {
            spec["process"]["args"] = json!(["grep", " /mnt", "/proc/self/mountinfo"]);
            let mounts = spec["mounts"].as_array_mut().unwrap();
            mounts.push(json!({"destination": "/mnt", "source": source, "options": ["rbind", kind]}));
        });
        let script = "mount --bind $0 $0; mount --make-shared $0; mkdir -p $0/sub; mount -t tmpfs x $0/sub; exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(&source);
        command.arg(BAREPOD_OCI).arg("--root").arg(b.dir.join("state")).args(["run", "-b"]).arg(b.bundle());
        let output = command.arg(b.id()).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().map(optional_fields).collect::<Vec<_>>(), [top, below], "{kind}: {text}");
    }
}

#[test]
fn the_root_propagates_as_is_said_and_with_an_r_all_below_it() {
    let b = Box_::new("rootpropagation");
    for (kind, root, proc) in [
        ("shared", "shared:", ""),
        ("rshared", "shared:", "shared:"),
        ("slave", "", ""),
        ("rprivate", "", ""),
        ("unbindable", "unbindable", ""),
        ("runbindable", "unbindable", "unbindable"),
    ] {
        let text = b.text("grep -E ' (/|/proc) rw' /proc/self/mountinfo", |spec| {
            spec["linux"]["rootfsPropagation"] = kind.into();
        });
        assert_eq!(text.lines().map(optional_fields).collect::<Vec<_>>(), [root, proc], "{kind}: {text}");
    }
}

/// What a line of mountinfo says of propagation, without numbers.
fn optional_fields(line: &str) -> String {
    let optional = line.split(" - ").next().unwrap().split(' ').skip(6);
    let words = optional.map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()));
    words.filter(|word| *word != "propagate_from:").collect::<Vec<_>>().join(" ")
}

#[test]
fn a_wrong_kind_of_namespace_is_an_error() {
    let b = Box_::new("nskind");
    for (kind, file) in
        [("network", "uts"), ("ipc", "net"), ("pid", "user"), ("uts", "cgroup"), ("cgroup", "ipc")]
    {
        let error = b.error(|spec| {
            let one = namespaces(spec).iter_mut().find(|one| one["type"] == kind).unwrap();
            one["path"] = format!("/proc/self/ns/{file}").into();
            spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "cgroup");
        });
        assert!(error.contains("EINVAL"), "{kind}: {error}");
    }
}

/// Runs it in a network namespace of its own, in which everything it starts is too; whatever is there goes with the thread.
fn in_a_network_namespace(test: impl FnOnce() + Send) {
    let run = || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        test();
    };
    if let Err(panic) = std::thread::scope(|scope| scope.spawn(run).join()) {
        std::panic::resume_unwind(panic);
    }
}

/// ip(8), of iproute2 or busybox; none when it fails.
fn try_ip(args: &str) -> Option<String> {
    let output = Command::new("ip").args(args.split(' ')).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

fn ip(args: &str) -> String {
    try_ip(args).unwrap_or_else(|| panic!("ip {args} fails"))
}

/// A virtual device that is up, with addresses of which the last is not global. Which kinds there are depends on the kernel.
fn make_device(name: &str) {
    let made =
        ["dummy", "ifb", "veth"].iter().any(|kind| try_ip(&format!("link add {name} type {kind}")).is_some());
    assert!(made, "this kernel makes no network device");
    ip(&format!("link set {name} up"));
    ip(&format!("addr add 192.0.2.7/24 dev {name}"));
    ip(&format!("-6 addr add 2001:db8::7/64 dev {name}"));
    ip(&format!("addr add 169.254.7.7/16 scope link dev {name}"));
}

/// What `ip addr` says of a device that has been settled somewhere.
fn assert_settled(text: &str) {
    for word in [",UP", "192.0.2.7/24", "2001:db8::7/64"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains("169.254.7.7"), "{text}");
}

#[test]
fn a_network_device_moves_into_the_container_with_a_new_name_and_its_global_addresses() {
    let b = Box_::new("netdevices");
    in_a_network_namespace(|| {
        let id = b.id();
        make_device("out0");
        b.start(&id, "sleep 600", |spec| spec["linux"]["netDevices"] = json!({"out0": {"name": "in0"}}));
        assert!(try_ip("link show out0").is_none());
        assert_settled(&b.good(&["exec", &id, "ip", "addr", "show", "in0"]));
        // To a namespace that is joined; and the one of the first container has no out0.
        make_device("out0");
        let (second, pid) = (format!("{id}-2"), b.state(&id)["pid"].to_string());
        b.start(&second, "sleep 600", |spec| {
            spec["linux"]["netDevices"] = json!({"out0": {"name": null}});
            let network = namespaces(spec).iter_mut().find(|one| one["type"] == "network").unwrap();
            network["path"] = format!("/proc/{pid}/ns/net").into();
        });
        assert!(try_ip("link show out0").is_none());
        assert_settled(&b.good(&["exec", &id, "ip", "addr", "show", "out0"]));
        // It stays there.
        b.good(&["delete", "--force", &second]);
        assert_settled(&b.good(&["exec", &id, "ip", "addr", "show", "out0"]));
    });
}

#[test]
fn a_network_device_moves_into_a_user_namespace_and_is_there_before_kernel_parameters_are_set() {
    let b = Box_::new("netdeviceuser");
    in_a_network_namespace(|| {
        make_device("out0");
        let text = b.text("ip addr show in0; cat /proc/sys/net/ipv4/conf/in0/forwarding", |spec| {
            for_users(&b, spec, 400_000);
            spec["linux"]["netDevices"] = json!({"out0": {"name": "in0"}});
            spec["linux"]["sysctl"] = json!({"net.ipv4.conf.in0.forwarding": "1"});
        });
        assert_settled(&text);
        assert!(text.ends_with("\n1\n"), "{text}");
    });
}

#[test]
fn network_devices_go_back_as_they_were_when_create_fails() {
    let b = Box_::new("netdeviceback");
    in_a_network_namespace(|| {
        make_device("out0");
        ip("link add out1 type veth peer name peer1");
        let back = || {
            assert_settled(&ip("addr show out0"));
            let other = ip("link show out1");
            assert!(!other.contains(",UP"), "{other}");
        };
        let devices = json!({"out0": {"name": "in0"}, "out1": {}});
        // One that is missing, after the others have been moved; a step that fails after all have been moved.
        let mut with_missing = devices.clone();
        with_missing["zzz"] = json!({});
        let error = b.error(|spec| spec["linux"]["netDevices"] = with_missing);
        assert!(error.contains("linux.netDevices: zzz: there is no such network device"), "{error}");
        back();
        let error = b.error(|spec| {
            spec["linux"]["netDevices"] = devices.clone();
            let mounts = spec["mounts"].as_array_mut().unwrap();
            mounts.push(json!({"destination": "/x", "source": "/no/where", "options": ["bind"]}));
        });
        assert!(error.contains("/no/where"), "{error}");
        back();
        assert!(b.error(|spec| spec["linux"]["netDevices"] = json!({"out0": {"name": "lo"}})).contains("lo"));
        back();
        assert!(!b.dir.join("state").exists() || fs::read_dir(b.dir.join("state")).unwrap().next().is_none());
    });
}

#[test]
fn a_network_device_needs_another_namespace_to_go_to() {
    let b = Box_::new("netdevicenone");
    in_a_network_namespace(|| {
        make_device("out0");
        let error = b.error(|spec| {
            namespaces(spec).retain(|one| one["type"] != "network");
            spec["linux"]["netDevices"] = json!({"out0": {}});
        });
        assert!(error.contains("linux.netDevices: there is no network namespace"), "{error}");
        let error = b.error(|spec| {
            let network = namespaces(spec).iter_mut().find(|one| one["type"] == "network").unwrap();
            network["path"] = "/proc/thread-self/ns/net".into();
            spec["linux"]["netDevices"] = json!({"out0": {"name": "in0"}});
        });
        assert!(error.contains("linux.netDevices: the network namespace is that of the runtime"), "{error}");
        assert_settled(&ip("addr show out0 scope global"));
    });
}

#[test]
fn a_resource_group_goes_with_its_container_and_needs_a_mounted_resctrl() {
    let b = Box_::new("resctrl");
    let id = b.id();
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let Some(mount) = mountinfo.lines().find(|line| line.contains(" - resctrl ")) else {
        let error = b.error(|spec| spec["linux"]["intelRdt"] = json!({}));
        assert!(error.contains("linux.intelRdt: no resctrl is mounted"), "{error}");
        assert!(!b.dir.join("state").exists() || fs::read_dir(b.dir.join("state")).unwrap().next().is_none());
        return;
    };
    let group = PathBuf::from(mount.split(' ').nth(4).unwrap()).join(&id);
    b.start(&id, "sleep 600", |spec| spec["linux"]["intelRdt"] = json!({}));
    let tasks = fs::read_to_string(group.join("tasks")).unwrap();
    assert!(tasks.lines().eq([b.state(&id)["pid"].to_string()]), "{tasks}");
    b.good(&["delete", "--force", &id]);
    assert!(!group.exists());
}
