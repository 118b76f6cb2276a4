//! Limits that few containers have, on whatever this machine's kernel and hierarchies offer.

use crate::*;

/// Runs the case, which is not for every kernel: it must give the expected content, or be refused by the field's name.
fn set_or_refused(name: &str, json: &str, field: &str, file: &str, expected: &str) {
    match Group::limited(name, json) {
        Ok(group) => {
            let now = group.file(field, file);
            assert!(now.lines().any(|line| line.starts_with(expected)), "{file}: {now}");
        }
        Err(error) => {
            assert!(error.contains(field) && error.contains("is not supported"), "{error}");
            assert!(!host_has(file), "{file} is there, and yet: {error}");
        }
    }
}

/// Whether a cgroup with every controller of the host has the file.
fn host_has(file: &str) -> bool {
    let every = [r#"{"cpu": {"cpus": "0"}}"#, r#"{"blockIO": {"weight": 10}}"#];
    let mut all = Group::unmade(&format!("has-{}", file.replace('.', "-")));
    for json in every {
        all = all.for_resources(&resources(json)).unwrap_or(all);
    }
    all.create().unwrap();
    let group = Group(all);
    group.maybe(file).is_some()
}

#[test]
fn rare_limits_are_in_the_kernel_or_refused_by_name() {
    if !can_test() {
        return;
    }
    let v1 = Hierarchy::detect().unwrap().version() == Version::V1;
    let file = |of_v1: &'static str, of_v2: &'static str| if v1 { of_v1 } else { of_v2 };
    set_or_refused("cpus", r#"{"cpu": {"cpus": "0", "mems": "0"}}"#, "cpu.cpus", "cpuset.cpus", "0");
    set_or_refused("mems", r#"{"cpu": {"mems": "0"}}"#, "cpu.mems", "cpuset.mems", "0");
    set_or_refused("idle", r#"{"cpu": {"idle": 1, "shares": 512}}"#, "cpu.idle", "cpu.idle", "1");
    let burst = file("cpu.cfs_burst_us", "cpu.max.burst");
    set_or_refused("burst", r#"{"cpu": {"burst": 5000, "quota": 10000}}"#, "cpu.burst", burst, "5000");
    let (weight, expected) = match v1 {
        true => ("blkio.bfq.weight", "500"),
        false if host_has("io.bfq.weight") => ("io.bfq.weight", "default 500"),
        false => ("io.weight", "default 4950"),
    };
    set_or_refused("weight", r#"{"blockIO": {"weight": 500}}"#, "blockIO.weight", weight, expected);
    if v1 {
        let tcp = "memory.kmem.tcp.limit_in_bytes";
        set_or_refused("tcp", r#"{"memory": {"kernelTCP": 1048576}}"#, "memory.kernelTCP", tcp, "1048576");
        let oom = r#"{"memory": {"disableOOMKiller": true}}"#;
        set_or_refused("oom-control", oom, "disableOOMKiller", "memory.oom_control", "oom_kill_disable 1");
        let swappiness = r#"{"memory": {"swappiness": 7}}"#;
        set_or_refused("swappiness", swappiness, "memory.swappiness", "memory.swappiness", "7");
    }
    let error =
        Group::limited("pages", r#"{"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}"#).err().unwrap();
    assert!(error.contains("hugepageLimits"), "{error}");
}

/// A whole block device of this machine, as `major:minor`.
fn disk() -> (i64, i64) {
    // Makes a loop device where there is no device at all.
    Command::new("losetup").arg("-f").output().ok();
    let devices = fs::read_dir("/sys/block").unwrap().map(|entry| entry.unwrap().path().join("dev"));
    let device = devices.filter_map(|dev| fs::read_to_string(dev).ok()).next().expect("no block device");
    let (major, minor) = device.trim().split_once(':').unwrap();
    (major.parse().unwrap(), minor.parse().unwrap())
}

#[test]
fn the_speed_of_a_disk_is_limited_and_set_free_again() {
    if !can_test() {
        return;
    }
    let (major, minor) = disk();
    let json = |rate: u64| {
        format!(
            r#"{{"blockIO": {{"throttleReadBpsDevice": [{{"major": {major}, "minor": {minor}, "rate": {rate}}}],
                "throttleWriteIOPSDevice": [{{"major": {major}, "minor": {minor}, "rate": {rate}}}]}}}}"#
        )
    };
    let group = Group::limited("throttle", &json(1048576)).unwrap();
    let line = |file: &str| group.maybe(file).unwrap_or_default();
    if Hierarchy::detect().unwrap().version() == Version::V1 {
        assert_eq!(line("blkio.throttle.read_bps_device"), format!("{major}:{minor} 1048576"));
        assert_eq!(line("blkio.throttle.write_iops_device"), format!("{major}:{minor} 1048576"));
    } else {
        assert_eq!(line("io.max"), format!("{major}:{minor} rbps=1048576 wbps=max riops=max wiops=1048576"));
    }
    group.0.update(&resources(&json(0))).unwrap();
    assert_eq!(line("blkio.throttle.read_bps_device"), "");
    assert_eq!(line("io.max"), "");
}

#[test]
fn real_time_is_limited_by_what_the_cgroup_above_has() {
    if !can_test() {
        return;
    }
    let outer = Group::made("real-time");
    let json = r#"{"cpu": {"realtimePeriod": 500000, "realtimeRuntime": 1000}}"#;
    let inner = "real-time/inner";
    if outer.maybe("cpu.rt_runtime_us").is_none() {
        let error = Group::limited(inner, json).err().unwrap();
        assert!(error.contains("cpu.realtimeRuntime") && error.contains("is not supported"), "{error}");
        return;
    }
    let error = Group::limited(inner, json).err().unwrap();
    assert!(error.contains("the cgroups above must have as much real-time"), "{error}");
    // The inner one took its empty parents away.
    outer.0.create().unwrap();
    let has = |dir: &PathBuf| dir.join("cpu.rt_runtime_us").exists();
    let dir = outer.0.paths().into_iter().find(has).unwrap();
    for dir in [dir.parent().unwrap(), &dir] {
        fs::write(dir.join("cpu.rt_runtime_us"), "5000").unwrap();
    }
    let group = Group::limited(inner, json).unwrap();
    assert_eq!([group.file("", "cpu.rt_period_us"), group.file("", "cpu.rt_runtime_us")], ["500000", "1000"]);
    group.0.update(&resources(r#"{"cpu": {"realtimePeriod": 250000, "realtimeRuntime": 500}}"#)).unwrap();
    assert_eq!([group.file("", "cpu.rt_period_us"), group.file("", "cpu.rt_runtime_us")], ["250000", "500"]);
}

/// Not a test by itself: the next one runs it in a mount namespace with more hierarchies.
#[test]
fn helper_with_more_hierarchies() {
    let Some(expected) = std::env::var_os("BAREPOD_TEST_HIERARCHIES") else { return };
    let expected = expected.into_string().unwrap();
    let json = r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
        "network": {"classID": 1048577, "priorities": [{"name": "lo", "priority": 7}]}}"#;
    let parts = [
        (
            "hugetlb",
            r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 5000000}]}"#,
            "hugetlb.2MB.limit_in_bytes",
            "4194304",
        ),
        ("net_cls", r#"{"network": {"classID": 1048577}}"#, "net_cls.classid", "1048577"),
        (
            "net_prio",
            r#"{"network": {"priorities": [{"name": "lo", "priority": 7}]}}"#,
            "net_prio.ifpriomap",
            "lo 7",
        ),
    ];
    for (controller, json, file, line) in parts {
        match Group::limited(&format!("more-{controller}"), json) {
            Ok(group) => assert!(group.file("", file).lines().any(|one| one == line), "{file}"),
            Err(error) => {
                assert!(!expected.contains(controller), "{error}");
                assert!(error.contains(&format!("no cgroup v1 mount has {controller}")), "{error}");
            }
        }
    }
    if expected == "hugetlb net_cls net_prio" {
        let group = Group::limited("more", json).unwrap();
        let found = Cgroup::find(&Hierarchy::detect().unwrap(), group.0.path()).unwrap();
        assert_eq!(found.paths().len(), group.0.paths().len(), "a later process finds all of it");
        let reserved = group.maybe("hugetlb.2MB.rsvd.limit_in_bytes");
        assert!(reserved.is_none_or(|limit| limit == "4194304"));
        assert_eq!(group.0.metrics().unwrap().hugetlb["2MB"].usage, 0);
    }
    println!("looked at {expected}");
}

#[test]
fn huge_pages_and_network_tags_of_v1_are_set_where_they_are_mounted() {
    if !can_test() || Hierarchy::detect().unwrap().version() == Version::V2 {
        return; // in v2 huge pages are a controller like others, and there are no network tags
    }
    let kernel = fs::read_to_string("/proc/cgroups").unwrap();
    let enabled = |name: &&str| {
        kernel.lines().any(|line| line.split('\t').next() == Some(*name) && line.ends_with("\t1"))
    };
    let expected: Vec<&str> = ["hugetlb", "net_cls", "net_prio"].into_iter().filter(enabled).collect();
    let hierarchies = |of: &[&str]| {
        let now = fs::read_to_string("/proc/cgroups").unwrap();
        let of = now.lines().filter(|line| of.iter().any(|one| line.split('\t').next() == Some(*one)));
        of.map(|line| line.split('\t').take(2).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let before = hierarchies(&expected);
    let dir = std::env::temp_dir().join(format!("barepod-hierarchies-{}", std::process::id()));
    // In a private mount namespace, so that nobody else sees these hierarchies. Each ends with its last mount, but only if
    // the kernel has forgotten the cgroups that were in it.
    let script = "exe=$1; shift; for one; do mkdir -p $one; mount -t cgroup -o $one none $one || exit; done; \
        $exe --exact cgroup::rare::helper_with_more_hierarchies --nocapture; code=$?; for one; do n=0; \
        until grep -q \"^$one\t[0-9]*\t1\t\" /proc/cgroups || [ $((n += 1)) -gt 500 ]; do sleep 0.02; done; \
        umount $one; done; exit $code";
    fs::create_dir_all(&dir).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(&expected)
        .current_dir(&dir)
        .env("BAREPOD_TEST_HIERARCHIES", expected.join(" "))
        .output()
        .unwrap();
    fs::remove_dir_all(&dir).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("looked at"), "{said}{errors}");
    assert!(output.status.success(), "{said}{errors}");
    // Linux may keep an unmounted hierarchy for longer than anybody would wait. That says nothing about barepod, so it is told
    // and is no failure.
    let end = Instant::now() + SOON;
    while hierarchies(&expected) != before && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
    }
    if hierarchies(&expected) != before {
        eprintln!("hierarchies that were {before:?} are {:?}", hierarchies(&expected));
    }
}

#[test]
fn any_file_of_v2_is_set_by_its_name_and_wins() {
    if !can_test() {
        return;
    }
    let json = r#"{"unified": {"memory.high": "33554432", "memory.max": "67108864", "pids.max": "17", "cgroup.max.depth": "5",
        "cpu.weight": "42"}, "memory": {"limit": 50331648}, "cpu": {"shares": 1024}, "pids": {"limit": 9}}"#;
    if Hierarchy::detect().unwrap().version() == Version::V1 {
        let error = Group::limited("unified", json).err().unwrap();
        assert!(error.contains("linux.resources.unified") && error.contains("cgroup v1"), "{error}");
        return;
    }
    let group = Group::limited("unified", json).unwrap();
    for (file, value) in [
        ("memory.high", "33554432"),
        ("memory.max", "67108864"),
        ("pids.max", "17"),
        ("cgroup.max.depth", "5"),
        ("cpu.weight", "42"),
    ] {
        assert_eq!(group.file("", file), value, "{file}");
    }
    let pages = r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 5000000}]}"#;
    let group = Group::limited("pages-of-v2", pages).unwrap();
    assert_eq!(group.file("", "hugetlb.2MB.max"), "4194304");
    assert!(group.maybe("hugetlb.2MB.rsvd.max").is_none_or(|limit| limit == "4194304"));
}
