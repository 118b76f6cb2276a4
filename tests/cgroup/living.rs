//! What happens to a cgroup in which processes live: updates, accounting, want of memory.

use barepod::kernel::cgroup::Oom;

use crate::*;

#[test]
fn a_prepared_cgroup_is_kept_with_its_limits_unless_somebody_uses_it() {
    if !can_test() {
        return;
    }
    let group = Group::made("prepared");
    group.apply(r#"{"pids": {"limit": 7}}"#);
    group.0.create_or_take().unwrap();
    assert_eq!(group.file("pids", "pids.max"), "7");
    group.0.freeze().unwrap();
    let error = format!("{:#}", group.0.create_or_take().unwrap_err());
    assert!(error.contains("is frozen"), "{error}");
    group.0.thaw().unwrap();
    let mut child = group.shell("sleep 1000");
    let error = format!("{:#}", group.0.create_or_take().unwrap_err());
    assert!(error.contains(&format!("in use by {}", child.id())), "{error}");
    group.0.kill(SOON).unwrap();
    child.wait().unwrap();
}

#[test]
fn a_frozen_cgroup_says_so_and_so_do_those_below() {
    if !can_test() {
        return;
    }
    let outer = Group::made("is-frozen");
    let inner = Group::made("is-frozen/inner");
    let mut child = inner.shell("sleep 1000");
    assert!(!outer.0.is_frozen().unwrap() && !inner.0.is_frozen().unwrap());
    outer.0.freeze().unwrap();
    assert!(outer.0.is_frozen().unwrap());
    eventually("the cgroup below is frozen", || inner.0.is_frozen().unwrap());
    outer.0.thaw().unwrap();
    eventually("both go on", || !outer.0.is_frozen().unwrap() && !inner.0.is_frozen().unwrap());
    inner.0.kill(SOON).unwrap();
    child.wait().unwrap();
}

#[test]
fn an_update_changes_what_is_given_and_leaves_the_rest() {
    if !can_test() {
        return;
    }
    let group = Group::made("update");
    group.apply(
        r#"{"memory": {"limit": 67108864, "swap": 67108864}, "pids": {"limit": 40}, "cpu": {"quota": 30000, "period": 50000},
            "devices": [{"allow": false, "access": "rwm"}]}"#,
    );
    let quota = || group.maybe("cpu.max").unwrap_or_else(|| group.file("cpu", "cpu.cfs_quota_us"));
    let before = (quota(), opens(&group));
    group.0.update(&resources(r#"{"pids": {"limit": 50}}"#)).unwrap();
    assert_eq!(group.file("pids", "pids.max"), "50");
    group.0.update(&resources(r#"{"memory": {"limit": 134217728, "swap": 268435456}}"#)).unwrap();
    let limit = group.maybe("memory.max").unwrap_or_else(|| group.file("memory", "memory.limit_in_bytes"));
    assert_eq!(limit, "134217728");
    group
        .0
        .update(&resources(r#"{"memory": {"limit": 33554432, "swap": 33554432}, "pids": {"limit": 0}}"#))
        .unwrap();
    assert_eq!(group.file("pids", "pids.max"), "50", "0 is not set");
    group.0.update(&resources(r#"{"pids": {"limit": -1}, "memory": {"limit": -1}}"#)).unwrap();
    assert_eq!(group.file("pids", "pids.max"), "max");
    assert_eq!((quota(), opens(&group)), before);
    group.0.update(&resources(r#"{"cpu": {"quota": -1}}"#)).unwrap();
    assert_ne!(quota(), before.0);
}

#[test]
fn devices_change_when_a_list_is_given_and_what_stays_allowed_is_never_refused() {
    if !can_test() {
        return;
    }
    let group = Group::made("update-devices");
    group.apply(r#"{"devices": [{"allow": false, "access": "rwm"}]}"#);
    let mut child = group.shell("while :; do : < /dev/null || { echo refused; exit; }; done");
    let more = r#"{"devices": [{"allow": false}, {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}]}"#;
    let none = r#"{"devices": [{"allow": false}]}"#;
    for (json, expected) in
        [(more, "null kmsg "), (none, "null "), (more, "null kmsg "), (more, "null kmsg ")]
    {
        group.0.update(&resources(json)).unwrap();
        assert_eq!(opens(&group), expected);
    }
    assert!(child.try_wait().unwrap().is_none(), "/dev/null was refused in between");
    // Not so for this one on v1: Linux itself clears the list before it allows all.
    group.0.update(&resources(r#"{"devices": [{"allow": true}]}"#)).unwrap();
    assert_eq!(opens(&group), "null kmsg ");
    group.0.kill(SOON).unwrap();
    child.wait().unwrap();
}

#[test]
fn an_update_brings_a_living_cgroup_under_a_controller_that_it_was_not_in() {
    if !can_test() {
        return;
    }
    let group = Group::made("widen");
    // As a container makes one: on v2 nothing is passed on to it, since processes are in the cgroup above.
    group.sub("sub");
    let sub = Group(Cgroup::new(&Hierarchy::detect().unwrap(), &format!("{}/sub", group.0.path())).unwrap());
    let mut forks = group.shell("while :; do sleep 0.01 & wait; done");
    let mut child = sub.shell("sleep 1000");
    let narrow = Cgroup::find(&Hierarchy::detect().unwrap(), group.0.path()).unwrap();
    narrow.update(&resources(r#"{"cpu": {"cpus": "0"}}"#)).unwrap();
    let wide = Group(Cgroup::find(&Hierarchy::detect().unwrap(), group.0.path()).unwrap());
    let wide = Group(wide.0.for_resources(&resources(r#"{"cpu": {"cpus": "0"}}"#)).unwrap());
    assert_eq!(wide.file("cpuset", "cpuset.cpus"), "0");
    for pid in [forks.id(), child.id()] {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let allowed = status.lines().find(|line| line.starts_with("Cpus_allowed_list:")).unwrap();
        assert_eq!(allowed.split('\t').nth(1), Some("0"), "{pid}");
    }
    wide.0.kill(SOON).unwrap();
    forks.wait().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_cgroup_that_somebody_else_made_is_completed() {
    if !can_test() {
        return;
    }
    let group = Group::new("adopted");
    let dirs = group.0.paths();
    fs::create_dir_all(&dirs[0]).unwrap();
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    fs::write(dirs[0].join("cgroup.procs"), child.id().to_string()).unwrap();
    group.0.adopt(child.id() as i32).unwrap();
    for dir in &dirs {
        let inside = fs::read_to_string(dir.join("cgroup.procs")).unwrap();
        assert_eq!(inside.trim(), child.id().to_string(), "{}", dir.display());
    }
    group.apply(r#"{"pids": {"limit": 9}}"#);
    assert_eq!(group.file("pids", "pids.max"), "9");
    group.0.kill(SOON).unwrap();
    child.wait().unwrap();
}

#[test]
fn who_watches_is_told_of_want_of_memory_and_of_the_end() {
    if !can_test() {
        return;
    }
    let group = Group::made("watch-oom");
    group.apply(r#"{"memory": {"limit": 16777216, "swap": 16777216}}"#);
    let mut watch = group.0.watch_oom().unwrap();
    assert_eq!(watch.look().unwrap(), Oom::Nothing);
    let began = Instant::now();
    assert_eq!(watch.wait(Duration::from_millis(30)).unwrap(), Oom::Nothing);
    assert!(began.elapsed() >= Duration::from_millis(30));
    let mut child = group.shell("exec tail /dev/zero");
    assert_eq!(watch.wait(SOON).unwrap(), Oom::Happened);
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    // It is one want of memory, however often it was told.
    eventually("quiet", || watch.look().unwrap() == Oom::Nothing);
    group.0.remove(SOON).unwrap();
    assert_eq!(watch.wait(SOON).unwrap(), Oom::Gone);
}

#[test]
fn the_metrics_are_those_of_the_processes_inside() {
    if !can_test() {
        return;
    }
    let limits =
        r#"{"memory": {"limit": 67108864}, "pids": {"limit": 40}, "cpu": {"quota": 5000, "period": 100000}}"#;
    let group = Group::made("metrics");
    group.apply(limits);
    let mut child = group.shell("x=$(head -c 2000000 /dev/zero | tr '\\0' x); while :; do :; done");
    eventually("the quota is felt by the last of its processes", || {
        let metrics = group.0.metrics().unwrap();
        metrics.cpu.throttling.throttled_periods > 0
            && metrics.pids.current == 1
            && metrics.memory.usage.usage > 0
    });
    let metrics = group.0.metrics().unwrap();
    assert!(metrics.cpu.usage.total > 1_000_000, "{:?}", metrics.cpu);
    assert_eq!((metrics.pids.current, metrics.pids.limit), (1, 40));
    assert_eq!(metrics.memory.usage.limit, 67_108_864);
    assert!(metrics.memory.usage.usage > 0 && metrics.memory.raw.len() > 10);
    let json = serde_json::to_value(&metrics).unwrap();
    for part in ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"] {
        assert!(json.get(part).is_some(), "{part}");
    }
    group.0.kill(SOON).unwrap();
    child.wait().unwrap();
}

#[test]
fn a_cgroup_of_v2_can_be_given_to_a_user() {
    use std::os::unix::fs::MetadataExt;
    if !can_test() {
        return;
    }
    let Some(group) = Group::made_in_cgroup2("delegated") else { return };
    group.0.delegate(12345).unwrap();
    let owner = |file: &str| fs::metadata(group.0.paths()[0].join(file)).unwrap().uid();
    assert_eq!([owner(""), owner("cgroup.procs"), owner("cgroup.subtree_control")], [12345; 3]);
    assert_eq!(owner("cgroup.max.depth"), 0, "limits stay ours");
}
