//! Scopes of systemd.

use barepod::kernel::cgroup::{scope, systemd};

use crate::*;

#[test]
#[ignore = "needs systemd as PID 1"]
fn a_scope_of_systemd_holds_the_process_and_its_limits() {
    let show = |unit: &str, property: &str| {
        let output =
            Command::new("systemctl").args(["show", "--value", "-p", property, unit]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let limits = resources(
        r#"{"memory": {"limit": 67108864}, "pids": {"limit": 40}, "cpu": {"quota": 30000, "period": 50000, "cpus": "0"},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
            "devices": [{"allow": false, "access": "rwm"}]}"#,
    );
    let scope = scope::scope("", "barepod-test", &std::process::id().to_string()).unwrap();
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    systemd::start(&scope, child.id() as i32, Some(&limits), true).unwrap();
    let where_it_is = fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    assert_eq!(where_it_is.trim(), format!("0::/{}", scope.path));
    let error = format!("{:#}", systemd::start(&scope, child.id() as i32, None, true).unwrap_err());
    assert!(error.contains("already"), "a second one of the same name: {error}");

    let cgroup = Cgroup::find(&Hierarchy::detect().unwrap(), &scope.path).unwrap();
    let cgroup = cgroup.for_resources(&limits).unwrap();
    cgroup.adopt(child.id() as i32).unwrap();
    cgroup.apply(&limits).unwrap();
    let file = |file: &str| fs::read_to_string(cgroup.paths()[0].join(file)).unwrap().trim().to_owned();
    let holds = |when: &str| {
        for (name, value) in [
            ("memory.max", "67108864"),
            ("pids.max", "40"),
            ("cpu.max", "30000 50000"),
            ("cpuset.cpus", "0"),
            ("hugetlb.2MB.max", "4194304"),
        ] {
            assert_eq!(file(name), value, "{name} {when}");
        }
    };
    holds("at first");
    for (property, value) in [
        ("MemoryMax", "67108864"),
        ("TasksMax", "40"),
        ("AllowedCPUs", "0"),
        ("DevicePolicy", "strict"),
        ("Delegate", "yes"),
    ] {
        assert_eq!(show(&scope.unit, property), value, "{property}");
    }
    assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
    // Files are written some time after the command has returned.
    std::thread::sleep(Duration::from_secs(2));
    holds("after a reload");

    let more = resources(r#"{"memory": {"limit": 134217728}, "pids": {"limit": -1}}"#);
    systemd::update(&scope.unit, &more, true).unwrap();
    cgroup.update(&more).unwrap();
    assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!([file("memory.max"), file("pids.max")], ["134217728", "max"]);

    cgroup.kill(SOON).unwrap();
    child.wait().unwrap();
    systemd::stop(&scope.unit).unwrap();
    systemd::stop(&scope.unit).unwrap();
    cgroup.remove(SOON).unwrap();
    assert_eq!(show(&scope.unit, "LoadState"), "not-found");
    assert!(!cgroup.paths()[0].exists());
}
