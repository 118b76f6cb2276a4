use std::fs;
use std::path::PathBuf;

use super::super::Hierarchy;
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
    fixture
        .apply(
            r#"{"memory": {"limit": 67108864, "swap": 67112960, "reservation": 33554432},
                "cpu": {"shares": 1024, "quota": 50000, "period": 20000}, "pids": {"limit": 32},
                "unified": {"memory.oom.group": "1"}}"#,
        )
        .unwrap_err(); // memory.oom.group does not exist yet
    fs::write(fixture.0.join("a/b/memory.oom.group"), "0").unwrap();
    fixture.apply(r#"{"unified": {"memory.oom.group": "1"}}"#).unwrap();
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
fn what_is_not_supported_is_refused_by_name_before_anything_is_set() {
    let fixture = Fixture::new("refused");
    for (json, name) in [
        (r#"{"memory": {"limit": 4096, "kernel": 1}}"#, "memory.kernel"),
        (r#"{"memory": {"limit": 4096, "kernelTCP": 1}}"#, "memory.kernelTCP"),
        (r#"{"memory": {"limit": 4096, "swappiness": 0}}"#, "memory.swappiness"),
        (r#"{"memory": {"limit": 4096, "disableOOMKiller": true}}"#, "memory.disableOOMKiller"),
        (r#"{"memory": {"limit": 4096, "checkBeforeUpdate": true}}"#, "memory.checkBeforeUpdate"),
        (r#"{"memory": {"limit": 4096}, "cpu": {"cpus": "0-1"}}"#, "cpu.cpus"),
        (r#"{"memory": {"limit": 4096}, "cpu": {"mems": "0"}}"#, "cpu.mems"),
        (r#"{"memory": {"limit": 4096}, "cpu": {"burst": 1}}"#, "cpu.burst"),
        (r#"{"memory": {"limit": 4096}, "cpu": {"idle": 1}}"#, "cpu.idle"),
        (r#"{"memory": {"limit": 4096}, "cpu": {"realtimeRuntime": 1}}"#, "cpu.realtimeRuntime"),
        (r#"{"memory": {"limit": 4096}, "blockIO": {"weight": 10}}"#, "blockIO.weight"),
        (
            r#"{"memory": {"limit": 4096}, "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}]}}"#,
            "blockIO.throttleReadBpsDevice",
        ),
        (
            r#"{"memory": {"limit": 4096}, "hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}"#,
            "hugepageLimits",
        ),
        (r#"{"memory": {"limit": 4096}, "network": {"classID": 1}}"#, "network.classID"),
        (r#"{"memory": {"limit": 4096}, "rdma": {"mlx5_1": {"hcaHandles": 3}}}"#, "rdma"),
        (r#"{"memory": {"limit": 4096}, "unified": {"memory.high": "1"}}"#, "memory.high"),
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
fn empty_objects_and_zeroes_as_engines_write_them_ask_for_nothing() {
    let json = r#"{"memory": {"disableOOMKiller": false, "kernel": 0}, "cpu": {"shares": 0, "cpus": "", "mems": ""},
        "blockIO": {"weight": 0, "weightDevice": []}, "hugepageLimits": [], "network": {"priorities": []},
        "rdma": {}, "unified": {}}"#;
    refuse(&resources(json), Version::V2).unwrap();
    refuse(&LinuxResources::default(), Version::V1).unwrap();
}
