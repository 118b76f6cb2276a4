use std::fs;
use std::path::PathBuf;

use super::super::Hierarchy;
use super::setting::{Shows, bytes};
use super::*;

/// A directory that looks like a v2 cgroup `a/b` with every controller.
struct Fixture(PathBuf);

impl Fixture {
    fn new(name: &str) -> Fixture {
        let root = std::env::temp_dir().join(format!("barepod-limits-{}-{name}", std::process::id()));
        for dir in ["", "a", "a/b"] {
            fs::create_dir_all(root.join(dir)).unwrap();
            fs::write(root.join(dir).join("cgroup.subtree_control"), "").unwrap();
        }
        fs::write(root.join("cgroup.controllers"), "cpuset cpu io memory hugetlb pids\n").unwrap();
        for (file, value) in [
            ("memory.max", "max"),
            ("memory.swap.max", "max"),
            ("cpu.max", "max 100000"),
            ("pids.max", "max"),
        ] {
            fs::write(root.join("a/b").join(file), format!("{value}\n")).unwrap();
        }
        Fixture(root)
    }

    fn apply(&self, json: &str) -> Result<()> {
        let resources = resources(json);
        Cgroup::new(&Hierarchy::v2_at(&self.0), "a/b").unwrap().apply(&resources)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join("a/b").join(file)).unwrap().trim().to_owned()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn resources(json: &str) -> LinuxResources {
    serde_json::from_str(json).unwrap()
}

#[test]
fn shares_become_weights_on_the_curve_through_minimum_default_and_maximum() {
    let pairs = [
        (1, 1),
        (2, 1),
        (102, 17),
        (512, 59),
        (1024, 100),
        (2048, 174),
        (262_144, 10_000),
        (u64::MAX, 10_000),
    ];
    for (shares, expected) in pairs {
        assert_eq!(weight(shares), expected, "{shares}");
    }
    assert!(
        (2..262_144).all(|shares| weight(shares) <= weight(shares + 1)),
        "more shares are never less weight"
    );
}

#[test]
fn swap_on_v2_is_the_total_less_the_memory() {
    assert_eq!(swap_v2(Some(100), Some(150)).unwrap(), Some(50));
    assert_eq!(swap_v2(Some(100), Some(100)).unwrap(), Some(0));
    assert_eq!(swap_v2(Some(100), Some(-1)).unwrap(), Some(-1));
    assert_eq!(swap_v2(Some(-1), None).unwrap(), Some(-1), "no memory limit means no swap limit");
    assert_eq!(swap_v2(Some(100), None).unwrap(), None);
    assert!(swap_v2(Some(100), Some(99)).is_err());
    assert!(swap_v2(None, Some(99)).is_err());
    assert!(swap_v2(Some(-1), Some(99)).is_err());
}

#[test]
fn no_limit_is_recognized_in_both_versions() {
    assert_eq!(bytes("max").unwrap(), None);
    assert_eq!(bytes("9223372036854771712").unwrap(), None);
    assert_eq!(bytes("67108864").unwrap(), Some(67_108_864));
    assert!(bytes("many").is_err());
}

#[test]
fn limits_arrive_in_the_v2_files() {
    let fixture = Fixture::new("arrive");
    let json = r#"{"memory": {"limit": 67108864, "swap": 67112960, "reservation": 33554432},
                "cpu": {"shares": 1024, "quota": 50000, "period": 20000}, "pids": {"limit": 32},
                "unified": {"memory.oom.group": "1"}}"#;
    fixture.apply(json).unwrap_err(); // memory.oom.group does not exist yet
    assert_eq!(fixture.read("pids.max"), "max");
    fs::write(fixture.0.join("a/b/memory.oom.group"), "0").unwrap();
    fixture.apply(json).unwrap();
    let values = [
        "memory.max",
        "memory.swap.max",
        "memory.low",
        "cpu.weight",
        "cpu.max",
        "pids.max",
        "memory.oom.group",
    ]
    .map(|file| fixture.read(file));
    assert_eq!(values, ["67108864", "4096", "33554432", "100", "50000 20000", "32", "1"]);
}

#[test]
fn a_quota_without_a_period_keeps_the_period() {
    let fixture = Fixture::new("quota");
    fixture.apply(r#"{"cpu": {"quota": 25000}}"#).unwrap();
    assert_eq!(fixture.read("cpu.max"), "25000 100000");
    fixture.apply(r#"{"cpu": {"quota": -1, "period": 50000}}"#).unwrap();
    assert_eq!(fixture.read("cpu.max"), "max 50000");
}

#[test]
fn minus_one_is_no_limit_and_zero_is_not_set() {
    let fixture = Fixture::new("unlimited");
    fixture.apply(r#"{"memory": {"limit": 4096}, "pids": {"limit": 3}}"#).unwrap();
    fixture
        .apply(r#"{"memory": {"limit": 0, "swap": 0}, "cpu": {"shares": 0, "quota": 0, "period": 0}}"#)
        .unwrap();
    assert_eq!(fixture.read("memory.max"), "4096");
    fixture.apply(r#"{"memory": {"limit": -1}, "pids": {"limit": -1}}"#).unwrap();
    assert_eq!([fixture.read("memory.max"), fixture.read("pids.max")], ["max", "max"]);
}

#[test]
fn a_limit_that_did_not_take_is_an_error() {
    let fixture = Fixture::new("ignored");
    // /dev/null takes every value and gives none back.
    let file = fixture.0.join("a/b/pids.max");
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/dev/null", &file).unwrap();
    let error = fixture.apply(r#"{"pids": {"limit": 3}}"#).unwrap_err().to_string();
    assert!(error.contains("pids.max") && error.contains("and not \"3\""), "{error}");
}

#[test]
fn what_is_missing_is_refused_by_name_before_anything_is_set() {
    let fixture = Fixture::new("refused");
    for (json, name) in [
        (r#"{"memory": {"limit": 4096, "kernelTCP": 1}}"#, "memory.kernelTCP"),
        (r#"{"memory": {"limit": 4096, "swappiness": 0}}"#, "memory.swappiness"),
        (r#"{"memory": {"limit": 4096, "disableOOMKiller": true}}"#, "memory.disableOOMKiller"),
        (r#"{"memory": {"limit": 4096}, "cpu": {"cpus": "0-1"}}"#, "cpu.cpus: cpuset is not in use"),
        (r#"{"memory": {"limit": 4096}, "cpu": {"mems": "0"}}"#, "cpu.mems: cpuset is not in use"),
        (
            r#"{"memory": {"limit": 4096}, "cpu": {"burst": 1}}"#,
            "cpu.burst is not supported: there is no cpu.max.burst",
        ),
        (
            r#"{"memory": {"limit": 4096}, "cpu": {"idle": 1}}"#,
            "cpu.idle is not supported: there is no cpu.idle",
        ),
        (r#"{"memory": {"limit": 4096}, "cpu": {"idle": 2}}"#, "cpu.idle 2"),
        (r#"{"memory": {"limit": 4096}, "cpu": {"burst": 2, "quota": 1}}"#, "larger than the quota"),
        (r#"{"memory": {"limit": 4096}, "cpu": {"realtimeRuntime": 1}}"#, "cpu.realtimeRuntime"),
        (r#"{"memory": {"limit": 4096}, "blockIO": {"weight": 10}}"#, "blockIO: io is not in use"),
        (r#"{"memory": {"limit": 4096}, "blockIO": {"leafWeight": 10}}"#, "blockIO.leafWeight"),
        (
            r#"{"memory": {"limit": 4096}, "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}]}}"#,
            "blockIO: io is not in use",
        ),
        (
            r#"{"memory": {"limit": 4096}, "hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}"#,
            "hugepageLimits: hugetlb is not in use",
        ),
        (r#"{"memory": {"limit": 4096}, "network": {"classID": 1}}"#, "network.classID"),
        (r#"{"memory": {"limit": 4096}, "rdma": {"mlx5_1": {"hcaHandles": 3}}}"#, "rdma"),
        (r#"{"memory": {"limit": 4096}, "unified": {"memory.high": "1"}}"#, "there is no memory.high"),
        (
            r#"{"memory": {"limit": 4096}, "unified": {"misc.max": "1"}}"#,
            "unified.misc.max: misc is not in use",
        ),
        (r#"{"memory": {"limit": 4096}, "unified": {"../memory.high": "1"}}"#, "is not a file name"),
        (
            r#"{"memory": {"limit": 4096}, "devices": [{"allow": true, "type": "p", "access": "r"}]}"#,
            "type p",
        ),
    ] {
        let error = format!("{:#}", fixture.apply(json).unwrap_err());
        assert!(error.contains(name), "{error}");
        assert_eq!(fixture.read("memory.max"), "max", "{json}");
    }
}

#[test]
fn a_controller_that_the_host_lacks_is_named_before_the_cgroup_is_made() {
    let fixture = Fixture::new("lacks");
    let cgroup = Cgroup::new(&Hierarchy::v2_at(&fixture.0), "a/b").unwrap();
    for (json, said) in [
        (
            r#"{"rdma": {"mlx5_1": {"hcaHandles": 3}}}"#,
            "rdma is not supported: cgroup v2 does not offer rdma here",
        ),
        (r#"{"unified": {"nonexistent.max": "1"}}"#, "unified.nonexistent.max is not supported"),
        (
            r#"{"network": {"classID": 7, "priorities": [{"name": "lo", "priority": 1}]}}"#,
            "network.classID, network.priorities",
        ),
    ] {
        let error = format!("{:#}", cgroup.for_resources(&resources(json)).unwrap_err());
        assert!(error.contains(said), "{error}");
    }
    let wide =
        cgroup.for_resources(&resources(r#"{"cpu": {"cpus": "0"}, "blockIO": {"weight": 10}}"#)).unwrap();
    assert!(wide.hierarchy.has("cpuset") && wide.hierarchy.has("io") && !wide.hierarchy.has("hugetlb"));
    assert_eq!(cgroup.for_resources(&resources(r#"{"cpu": {"shares": 7}}"#)).unwrap(), cgroup);
}

#[test]
fn unified_needs_v2_as_the_specification_says() {
    let error =
        refuse(&resources(r#"{"unified": {"memory.high": "1"}}"#), Version::V1).unwrap_err().to_string();
    assert!(error.contains("unified: memory.high is not supported: this host has cgroup v1"), "{error}");
    let error =
        refuse(&resources(r#"{"memory": {"swappiness": 101}}"#), Version::V1).unwrap_err().to_string();
    assert!(error.contains("memory.swappiness"), "{error}");
}

#[test]
fn empty_objects_and_zeroes_as_engines_write_them_ask_for_nothing() {
    let json = r#"{"memory": {"disableOOMKiller": false, "kernel": -1, "kernelTCP": -1, "checkBeforeUpdate": false},
        "cpu": {"shares": 0, "cpus": "", "mems": "", "idle": 0, "burst": 0, "realtimeRuntime": 0, "realtimePeriod": 0},
        "blockIO": {"weight": 0, "weightDevice": []}, "hugepageLimits": [], "network": {"classID": 0, "priorities": []},
        "rdma": {}, "unified": {}, "pids": {"limit": 0}}"#;
    for version in [Version::V1, Version::V2] {
        refuse(&resources(json), version).unwrap();
        refuse_rare(&resources(json), version).unwrap();
        assert!(needs(&resources(json), version).unwrap().is_empty());
    }
    for v2 in [true, false] {
        assert_eq!(told(json, v2, &[]), "");
    }
    let fixture = Fixture::new("nothing");
    fixture.apply(json).unwrap();
    assert_eq!([fixture.read("pids.max"), fixture.read("memory.max")], ["max", "max"]);
}

#[test]
fn who_sets_only_the_common_limits_refuses_the_rare_ones_by_name() {
    refuse_rare(&resources(r#"{"unified": {"memory.oom.group": "1"}}"#), Version::V2).unwrap();
    let json = r#"{"memory": {"kernel": 1}, "cpu": {"idle": 1, "cpus": "0"}, "hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}"#;
    let error = refuse_rare(&resources(json), Version::V1).unwrap_err().to_string();
    assert!(error.contains("memory.kernel, cpu.idle, cpu.cpus, hugepageLimits is not supported"), "{error}");
}

/// The lines for control files that the rare limits become, in order, in a cgroup that has these files.
fn told(json: &str, v2: bool, files: &[(&str, &str)]) -> String {
    let exists = |_: &str, file: &str| files.iter().any(|(name, _)| *name == file);
    let read = |_: &str, file: &str| {
        files.iter().find(|(name, _)| *name == file).map(|(_, content)| (*content).to_owned())
    };
    let host = Host { v2, living: false, exists: &exists, read: &read };
    let rare = rare(&resources(json), &host).unwrap();
    let line = |setting: &Setting| format!("{}/{}={}", setting.controller, setting.file, setting.value);
    let (before, after): (Vec<String>, Vec<String>) =
        (rare.before.iter().map(line).collect(), rare.after.iter().map(line).collect());
    let all = if before.is_empty() { after } else { [before, vec!["…".to_owned()], after].concat() };
    all.join("; ")
}

#[test]
fn each_rare_limit_becomes_the_lines_of_its_version() {
    let table = [
        (
            r#"{"cpu": {"cpus": "0-1, 3", "mems": " 0 "}}"#,
            "cpuset/cpuset.cpus=0-1, 3; cpuset/cpuset.mems=0",
            "cpuset/cpuset.cpus=0-1, 3; cpuset/cpuset.mems=0",
        ),
        (
            r#"{"cpu": {"burst": 5000, "idle": 1}}"#,
            "cpu/cpu.cfs_burst_us=0; …; cpu/cpu.cfs_burst_us=5000; cpu/cpu.idle=1",
            "cpu/cpu.max.burst=0; …; cpu/cpu.max.burst=5000; cpu/cpu.idle=1",
        ),
        (
            r#"{"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}]}}"#,
            "blkio/blkio.throttle.read_bps_device=8:0 600; blkio/blkio.throttle.write_iops_device=8:16 0",
            "io/io.max=8:0 rbps=600; io/io.max=8:16 wiops=max",
        ),
        (
            r#"{"blockIO": {"throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 1}],
                "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 2}]}}"#,
            "blkio/blkio.throttle.write_bps_device=8:0 1; blkio/blkio.throttle.read_iops_device=8:0 2",
            "io/io.max=8:0 wbps=1; io/io.max=8:0 riops=2",
        ),
        (
            r#"{"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "mlx4_0": {"hcaObjects": 4294967295}}}"#,
            "rdma/rdma.max=mlx4_0 hca_object=max; rdma/rdma.max=mlx5_1 hca_handle=3; rdma/rdma.max=mlx5_1 hca_object=10000",
            "rdma/rdma.max=mlx4_0 hca_object=max; rdma/rdma.max=mlx5_1 hca_handle=3; rdma/rdma.max=mlx5_1 hca_object=10000",
        ),
    ];
    for (json, v1, v2) in table {
        assert_eq!(told(json, false, &[]), v1, "{json}");
        assert_eq!(told(json, true, &[]), v2, "{json}");
    }
}

#[test]
fn what_only_v1_has_becomes_its_lines() {
    let json = r#"{"memory": {"kernelTCP": 4096, "disableOOMKiller": true, "useHierarchy": true},
        "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]},
        "cpu": {"realtimePeriod": 1000000, "realtimeRuntime": 9000}}"#;
    assert_eq!(
        told(json, false, &[("memory.use_hierarchy", "1")]),
        "memory/memory.kmem.tcp.limit_in_bytes=4096; memory/memory.use_hierarchy=1; memory/memory.oom_control=1; \
         cpu/cpu.rt_period_us=1000000; cpu/cpu.rt_runtime_us=9000; net_cls/net_cls.classid=1048577; \
         net_prio/net_prio.ifpriomap=eth0 500"
    );
}

#[test]
fn a_shorter_real_time_period_comes_after_the_runtime() {
    let json = r#"{"cpu": {"realtimePeriod": 500000, "realtimeRuntime": 9000}}"#;
    let now = [("cpu.rt_period_us", "1000000")];
    assert_eq!(told(json, false, &now), "cpu/cpu.rt_runtime_us=9000; cpu/cpu.rt_period_us=500000");
}

#[test]
fn weights_of_block_devices_are_those_of_whoever_divides_the_disk() {
    let json = r#"{"blockIO": {"weight": 500, "weightDevice": [{"major": 8, "minor": 0, "weight": 100}]}}"#;
    assert_eq!(told(json, false, &[]), "blkio/blkio.bfq.weight=500; blkio/blkio.bfq.weight_device=8:0 100");
    assert_eq!(
        told(json, false, &[("blkio.weight", "500")]),
        "blkio/blkio.weight=500; blkio/blkio.weight_device=8:0 100"
    );
    assert_eq!(
        told(json, true, &[("io.bfq.weight", "default 100")]),
        "io/io.bfq.weight=500; io/io.bfq.weight=8:0 100"
    );
    assert_eq!(told(json, true, &[]), "io/io.weight=4950; io/io.weight=8:0 910");
    let leaf =
        r#"{"blockIO": {"leafWeight": 300, "weightDevice": [{"major": 8, "minor": 0, "leafWeight": 30}]}}"#;
    assert_eq!(told(leaf, false, &[]), "blkio/blkio.leaf_weight=300; blkio/blkio.leaf_weight_device=8:0 30");
    assert_eq!([io_weight(10), io_weight(1000)], [1, 10_000]);
}

#[test]
fn huge_pages_are_limited_in_use_and_in_reservation_where_the_kernel_can() {
    let json = r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 209715200}]}"#;
    let both = [("hugetlb.2MB.max", "max"), ("hugetlb.2MB.rsvd.max", "max")];
    assert_eq!(
        told(json, true, &both),
        "hugetlb/hugetlb.2MB.max=209715200; hugetlb/hugetlb.2MB.rsvd.max=209715200"
    );
    assert_eq!(
        told(json, false, &[("hugetlb.2MB.limit_in_bytes", "0")]),
        "hugetlb/hugetlb.2MB.limit_in_bytes=209715200"
    );
}

#[test]
fn unified_values_are_written_line_by_line_in_the_order_of_their_names() {
    let json = r#"{"unified": {"memory.high": "1048576", "io.max": "8:0 rbps=1\n8:16 wiops=2\n", "cgroup.max.depth": "3"}}"#;
    assert_eq!(
        told(json, true, &[]),
        "cgroup/cgroup.max.depth=3; io/io.max=8:0 rbps=1; io/io.max=8:16 wiops=2; memory/memory.high=1048576"
    );
    let needed = needs(&resources(json), Version::V2).unwrap();
    let mut controllers: Vec<String> = needed.into_iter().map(|(_, controller)| controller).collect();
    controllers.sort();
    assert_eq!(controllers, ["io", "memory"], "the core needs none");
    for bad in ["memory", ".max", "memory.", "a/b.c", "..", "memory.max\n", ""] {
        assert!(unified::controller(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn values_that_no_kernel_could_take_are_refused() {
    let none = |_: &str, _: &str| false;
    let nothing = |_: &str, _: &str| None;
    let host = Host { v2: true, living: false, exists: &none, read: &nothing };
    for (json, said) in [
        (r#"{"blockIO": {"weight": 5}}"#, "blockIO.weight is 5 and not in 10–1000"),
        (
            r#"{"blockIO": {"throttleReadBpsDevice": [{"major": -1, "minor": 0, "rate": 1}]}}"#,
            "-1:0 is no device",
        ),
        (r#"{"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}"#, "\"3MB\" is no page size"),
        (r#"{"hugepageLimits": [{"pageSize": "4MB", "limit": 1}]}"#, "no huge pages of 4MB"),
        (r#"{"hugepageLimits": [{"pageSize": "2MB/../x", "limit": 1}]}"#, "is no page size"),
        (r#"{"rdma": {"mlx5_1": {}}}"#, "neither hcaHandles nor hcaObjects"),
        (r#"{"rdma": {"a b": {"hcaHandles": 1}}}"#, "no name of a device"),
        (r#"{"network": {"priorities": [{"name": "eth0 7", "priority": 1}]}}"#, "no name of an interface"),
    ] {
        let error = format!("{:#}", rare(&resources(json), &host).unwrap_err());
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn what_a_file_shows_is_compared_in_its_own_way() {
    let shown = |value: &str, shows: Shows, now: &str| {
        Setting::new("x", "y", "z", value.to_owned(), shows).is_shown(now)
    };
    assert!(shown("1", Shows::Same, "1") && !shown("1", Shows::Same, "2"));
    assert!(shown("5000", Shows::Bytes(4096), "4096") && !shown("5000", Shows::Bytes(4096), "0"));
    assert!(shown("-1", Shows::Bytes(4096), "9223372036854771712"), "no limit");
    assert!(shown("-1", Shows::Bytes(1 << 30), "9223372035781033984"), "no limit, in pages of 1 GB");
    assert!(shown("1,0,3", Shows::List, "0-1,3") && !shown("0-1", Shows::List, "0"));
    assert!(shown("0-3:2/4", Shows::List, "0-1"), "a notation of the kernel");
    let line = |word: &str| Shows::Line("8:0".to_owned(), word.to_owned());
    assert!(shown("", line("rbps=5"), "8:16 rbps=5\n8:0 rbps=5 wbps=max"));
    assert!(!shown("", line("rbps=5"), "8:16 rbps=5\n8:0 rbps=50 wbps=max"));
    let no_line = || Shows::NoLine("8:0".to_owned(), "rbps=max".to_owned());
    assert!(shown("", no_line(), "") && shown("", no_line(), "8:0 rbps=max wbps=7"));
    assert!(!shown("", no_line(), "8:0 rbps=7"));
}

#[test]
fn a_changed_limit_of_memory_or_swap_leaves_the_other_as_it_is() {
    let fixture = Fixture::new("living");
    let update =
        |json: &str| Cgroup::new(&Hierarchy::v2_at(&fixture.0), "a/b").unwrap().update(&resources(json));
    let now = || [fixture.read("memory.max"), fixture.read("memory.swap.max")];
    update(r#"{"memory": {"limit": 40960}}"#).unwrap();
    assert_eq!(now(), ["40960", "max"]);
    update(r#"{"memory": {"swap": 81920}}"#).unwrap();
    assert_eq!(now(), ["40960", "40960"], "both together");
    update(r#"{"memory": {"limit": 61440}}"#).unwrap();
    assert_eq!(now(), ["61440", "20480"], "both together are as much as before");
    let error = update(r#"{"memory": {"limit": 819200}}"#).unwrap_err().to_string();
    assert!(error.contains("memory.swap 81920 is less than memory.limit 819200"), "{error}");
    update(r#"{"memory": {"limit": -1}}"#).unwrap();
    assert_eq!(now(), ["max", "max"]);
}

#[test]
fn check_before_update_refuses_a_limit_below_what_is_in_use() {
    let fixture = Fixture::new("check");
    fs::write(fixture.0.join("a/b/memory.current"), "8192\n").unwrap();
    let error =
        fixture.apply(r#"{"memory": {"limit": 4096, "checkBeforeUpdate": true}}"#).unwrap_err().to_string();
    assert!(error.contains("memory.limit 4096 is not more than the 8192 bytes in use"), "{error}");
    assert_eq!(fixture.read("memory.max"), "max");
    fixture.apply(r#"{"memory": {"limit": 12288, "checkBeforeUpdate": true}}"#).unwrap();
}
