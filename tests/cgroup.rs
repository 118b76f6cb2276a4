//! Cgroups of the running kernel, v1 or v2, whichever it has; needs root. `BAREPOD_TEST_STRICT=1` forbids skipping.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use barepod::kernel::cgroup::{Cgroup, Hierarchy, Version};
use nix::unistd::geteuid;
use oci_spec::runtime::LinuxResources;

mod cgroup {
    mod living;
    mod rare;
    mod scope;
}

const SOON: Duration = Duration::from_secs(20);

fn parent() -> String {
    format!("barepod-test-{}", std::process::id())
}

fn can_test() -> bool {
    if geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os("BAREPOD_TEST_STRICT").is_none(), "cgroup tests need root");
    eprintln!("skipped: needs root");
    false
}

/// A cgroup that takes its processes, and itself, away at the end of the test.
struct Group(Cgroup);

impl Group {
    /// Not made yet.
    fn new(name: &str) -> Group {
        Group(Cgroup::new(&Hierarchy::detect().unwrap(), &format!("{}/{name}", parent())).unwrap())
    }

    fn made(name: &str) -> Group {
        let group = Group::new(name);
        group.0.create().unwrap();
        group
    }

    /// In the cgroup2 mount of a hybrid host, which passes no controllers on; the same as `made` where there is v2 only.
    fn made_in_cgroup2(name: &str) -> Option<Group> {
        if Hierarchy::detect().unwrap().version() == Version::V2 {
            return Some(Group::made(name));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
        let root = Path::new(line.split(' ').nth(4).unwrap());
        let group = Group(Cgroup::new(&Hierarchy::v2_at(root), &format!("{}/{name}", parent())).unwrap());
        fs::create_dir_all(root.join(group.0.path())).unwrap();
        Some(group)
    }

    /// Made with the limits and the controllers that they need; what the host lacks is an error.
    fn limited(name: &str, json: &str) -> Result<Group, String> {
        let said = |error: anyhow::Error| format!("{error:#}");
        let group = Group(Group::unmade(name).for_resources(&resources(json)).map_err(said)?);
        group.0.create().unwrap();
        group.0.apply(&resources(json)).map_err(said)?;
        Ok(group)
    }

    fn unmade(name: &str) -> Cgroup {
        Cgroup::new(&Hierarchy::detect().unwrap(), &format!("{}/{name}", parent())).unwrap()
    }

    fn apply(&self, json: &str) {
        self.0.apply(&resources(json)).unwrap();
    }

    fn file(&self, controller: &str, file: &str) -> String {
        self.maybe(file).unwrap_or_else(|| panic!("there is no {file} of {controller}"))
    }

    /// The content of a control file, in whichever hierarchy it is.
    fn maybe(&self, file: &str) -> Option<String> {
        let found = self.0.paths().into_iter().map(|dir| dir.join(file)).find(|path| path.exists())?;
        Some(fs::read_to_string(found).unwrap().trim().to_owned())
    }

    /// Makes a cgroup below, as root in a container can.
    fn sub(&self, name: &str) -> Vec<PathBuf> {
        let dirs: Vec<PathBuf> = self.0.paths().iter().map(|dir| dir.join(name)).collect();
        dirs.iter().for_each(|dir| fs::create_dir_all(dir).unwrap());
        dirs
    }

    /// Runs a shell script inside; it starts when it has been moved.
    fn shell(&self, script: &str) -> Child {
        let mut child = Command::new("sh")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.0.add(child.id() as i32).unwrap();
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        child
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.0.kill(SOON).unwrap();
        self.0.remove(SOON).unwrap();
        self.0.remove_empty_parents("").unwrap();
    }
}

fn resources(json: &str) -> LinuxResources {
    serde_json::from_str(json).unwrap()
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_cgroup_is_made_in_every_hierarchy_and_removed_with_its_empty_parents() {
    if !can_test() {
        return;
    }
    let group = Group::new("made/deep/leaf");
    group.0.create().unwrap();
    assert!(group.0.paths().iter().all(|dir| dir.join("cgroup.procs").exists()));
    assert!(!group.0.populated().unwrap());
    group.0.remove(Duration::ZERO).unwrap();
    assert!(!group.0.paths().iter().any(|dir| dir.exists()));
    group.0.remove(Duration::ZERO).unwrap();
    group.0.kill(Duration::ZERO).unwrap();
    group.0.remove_empty_parents(&parent()).unwrap();
    for dir in group.0.paths() {
        assert!(!dir.parent().unwrap().exists() && !dir.ancestors().nth(2).unwrap().exists());
    }
}

#[test]
fn paths_that_leave_the_hierarchy_are_refused() {
    let hierarchy = Hierarchy::v2_at(Path::new("/nowhere"));
    for bad in ["", "/", "/a", "a/", "a//b", "..", "a/../b", "a/./b", "a\nb", "a\0b", &"x".repeat(256)] {
        assert!(Cgroup::new(&hierarchy, bad).is_err(), "{bad:?}");
    }
    assert!(Cgroup::new(&hierarchy, "barepod/4f6c/pod/web.0").is_ok());
}

#[test]
fn a_cgroup_in_use_is_not_made_a_second_time_and_its_user_lives() {
    if !can_test() {
        return;
    }
    let group = Group::made("in-use");
    let mut child = group.shell("sleep 1000");
    let error = format!("{:#}", group.0.create().unwrap_err());
    assert!(error.contains("in use by") && error.contains(&child.id().to_string()), "{error}");
    assert!(child.try_wait().unwrap().is_none());
    assert_eq!(group.0.paths().iter().filter(|dir| dir.exists()).count(), group.0.paths().len());
    group.0.kill(SOON).unwrap();
    child.wait().unwrap();
}

#[test]
fn a_left_over_cgroup_is_made_anew() {
    if !can_test() {
        return;
    }
    let group = Group::made("left-over");
    group.apply(r#"{"pids": {"limit": 7}}"#);
    group.0.freeze().unwrap();
    group.sub("made/by/the-container");
    group.0.create().unwrap();
    assert_eq!(group.file("pids", "pids.max"), "max");
    let mut child = group.shell("exit 3");
    assert_eq!(child.wait().unwrap().code(), Some(3), "it is not frozen");
}

#[test]
fn limits_are_in_the_kernel_after_apply() {
    if !can_test() {
        return;
    }
    let group = Group::made("limits");
    group.apply(
        r#"{"memory": {"limit": 67108865, "reservation": 33554432}, "pids": {"limit": 40},
            "cpu": {"shares": 512, "quota": 30000, "period": 50000}}"#,
    );
    let expected = match Hierarchy::detect().unwrap().version() {
        Version::V1 => vec![
            ("memory", "memory.limit_in_bytes", "67108864"),
            ("memory", "memory.soft_limit_in_bytes", "33554432"),
            ("cpu", "cpu.shares", "512"),
            ("cpu", "cpu.cfs_quota_us", "30000"),
            ("cpu", "cpu.cfs_period_us", "50000"),
            ("pids", "pids.max", "40"),
        ],
        Version::V2 => vec![
            ("memory", "memory.max", "67108864"),
            ("memory", "memory.low", "33554432"),
            ("cpu", "cpu.weight", "59"),
            ("cpu", "cpu.max", "30000 50000"),
            ("pids", "pids.max", "40"),
        ],
    };
    for (controller, file, value) in expected {
        assert_eq!(group.file(controller, file), value, "{file}");
    }
}

#[test]
fn memory_and_swap_limits_can_grow_and_shrink() {
    if !can_test() {
        return;
    }
    let group = Group::made("resize");
    for mebibytes in [64u64, 256, 32] {
        let bytes = mebibytes << 20;
        group.apply(&format!(r#"{{"memory": {{"limit": {bytes}, "swap": {bytes}}}}}"#));
    }
    group.apply(r#"{"cpu": {"quota": 50000, "period": 100000}}"#);
    let child = Group::made("resize/child");
    child.apply(r#"{"cpu": {"quota": 50000, "period": 100000}}"#);
    child.apply(r#"{"cpu": {"quota": 5000, "period": 10000}}"#);
    child.apply(r#"{"cpu": {"quota": 50000, "period": 100000}}"#);
}

#[test]
#[ignore = "needs systemd as PID 1"]
fn limits_survive_a_daemon_reload_of_systemd() {
    let group = Group::made("reload");
    group.apply(
        r#"{"memory": {"limit": 67108864}, "pids": {"limit": 40}, "cpu": {"quota": 30000, "period": 50000}}"#,
    );
    let mut child = group.shell("sleep 1000");
    let limits = || group.0.paths().iter().flat_map(|dir| fs::read_dir(dir).unwrap()).count();
    let before = limits();
    for command in [&["daemon-reload"][..], &["set-property", "--runtime", "init.scope", "CPUWeight=50"]] {
        assert!(Command::new("systemctl").args(command).status().unwrap().success());
    }
    // Controllers are switched off some time after the command has returned.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(limits(), before, "control files have gone");
    assert_eq!(group.file("pids", "pids.max"), "40");
    assert!(group.0.stats().unwrap().memory_bytes > 0);
    group.0.kill(SOON).unwrap();
    child.wait().unwrap();
}

/// Not a test by itself: `a_process_joins_by_itself` runs it in a process of its own.
#[test]
fn helper_that_joins() {
    let Some(path) = std::env::var_os("BAREPOD_TEST_JOIN") else { return };
    let cgroup = Cgroup::new(&Hierarchy::detect().unwrap(), path.to_str().unwrap()).unwrap();
    cgroup.join_self().unwrap();
    println!("{}", fs::read_to_string("/proc/thread-self/cgroup").unwrap());
}

#[test]
fn a_process_joins_by_itself() {
    if !can_test() {
        return;
    }
    let group = Group::made("join");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_that_joins", "--nocapture"])
        .env("BAREPOD_TEST_JOIN", group.0.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let joined = text.lines().filter(|line| line.ends_with(&format!("/{}", group.0.path()))).count();
    assert_eq!(joined, group.0.paths().len(), "{text}");
}

#[test]
fn the_kill_ends_a_process_that_forks_and_hides_in_sub_cgroups() {
    if !can_test() {
        return;
    }
    let group = Group::made("kill");
    group.apply(r#"{"pids": {"limit": 60}}"#);
    let hidden =
        Group(Cgroup::new(&Hierarchy::detect().unwrap(), &format!("{}/a/b", group.0.path())).unwrap());
    group.sub("a/b");
    let mut child = hidden.shell("trap '' TERM INT HUP; while :; do setsid sleep 1000 & done 2>/dev/null");
    eventually("many processes", || group.0.pids().unwrap().len() > 30);
    group.0.kill(SOON).unwrap();
    assert!(!group.0.populated().unwrap());
    // Killed, or ended by itself because it reached the limit before.
    assert!(!child.wait().unwrap().success());
    group.0.remove(SOON).unwrap();
    assert!(!group.0.paths().iter().any(|dir| dir.exists()));
}

#[test]
fn frozen_processes_are_killed_too() {
    if !can_test() {
        return;
    }
    let group = Group::made("frozen");
    let sub = Group(Cgroup::new(&Hierarchy::detect().unwrap(), &format!("{}/sub", group.0.path())).unwrap());
    group.sub("sub");
    let mut child = sub.shell("sleep 1000");
    sub.0.freeze().unwrap();
    group.0.freeze().unwrap();
    group.0.kill(SOON).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

#[test]
fn freezing_stops_and_thawing_continues() {
    if !can_test() {
        return;
    }
    let group = Group::made("pause");
    let mut child = group.shell("while :; do :; done");
    let used = || group.0.stats().unwrap().cpu_usage_usec;
    eventually("cpu time", || used() > 10_000);
    group.0.freeze().unwrap();
    let before = used();
    std::thread::sleep(Duration::from_millis(100));
    assert!(used() - before < 20_000, "a frozen process used cpu time");
    group.0.thaw().unwrap();
    eventually("more cpu time", || used() > before + 30_000);
    group.0.kill(SOON).unwrap();
    child.wait().unwrap();
}

#[test]
fn a_removal_that_cannot_succeed_names_the_holder_in_time() {
    if !can_test() {
        return;
    }
    let group = Group::made("held");
    let mut child = group.shell("exec sleep 1000");
    eventually("sleep", || fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap() == "sleep\n");
    let began = Instant::now();
    let error = group.0.remove(Duration::from_millis(50)).unwrap_err().to_string();
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(error.contains(&format!("{} (sleep)", child.id())), "{error}");
    group.0.kill(SOON).unwrap();
    child.wait().unwrap();
}

#[test]
fn a_process_over_its_memory_limit_is_counted_as_oom_killed() {
    if !can_test() {
        return;
    }
    let group = Group::made("oom");
    group.apply(r#"{"memory": {"limit": 16777216, "swap": 16777216}}"#);
    assert_eq!(group.0.oom_kills().unwrap(), 0);
    let sub = Group(Cgroup::new(&Hierarchy::detect().unwrap(), &format!("{}/sub", group.0.path())).unwrap());
    group.sub("sub");
    let mut child = sub.shell("exec tail /dev/zero");
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert_eq!(group.0.oom_kills().unwrap(), 1, "the kill in the cgroup below counts");
    assert_eq!(group.0.stats().unwrap().oom_kills, 1);
}

#[test]
fn the_statistics_count_processes_and_memory() {
    if !can_test() {
        return;
    }
    let group = Group::made("stats");
    let mut child = group.shell("sleep 1000 & sleep 1000 & wait");
    eventually("three processes", || group.0.stats().unwrap().pids == 3);
    let stats = group.0.stats().unwrap();
    assert!(stats.memory_bytes > 0 && stats.cpu_usage_usec > 0, "{stats:?}");
    assert_eq!(group.0.pids().unwrap().len(), 3);
    group.0.kill(SOON).unwrap();
    child.wait().unwrap();
}

/// What of `: < /dev/null` and `: < /dev/kmsg` succeeds inside.
fn opens(group: &Group) -> String {
    let child = group.shell("(: < /dev/null) && echo null; (: < /dev/kmsg) && echo kmsg; true");
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().replace('\n', " ")
}

#[test]
fn only_allowed_devices_can_be_opened() {
    if !can_test() {
        return;
    }
    let mut groups = vec![Group::made("devices")];
    groups.extend(Group::made_in_cgroup2("devices2"));
    for group in &groups {
        assert_eq!(opens(group), "null kmsg ", "without rules");
        group.apply(r#"{"devices": [{"allow": false, "access": "rwm"}]}"#);
        assert_eq!(opens(group), "null ", "only the default devices");
        group.apply(r#"{"devices": [{"allow": false}, {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}]}"#);
        assert_eq!(opens(group), "null kmsg ", "one more");
        group.apply(r#"{"devices": [{"allow": true}, {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "w"}]}"#);
        assert_eq!(opens(group), "null kmsg ", "reading is not denied");
        group.apply(r#"{"devices": [{"allow": true}, {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "rw"}]}"#);
        assert_eq!(opens(group), "null ", "all but one");
    }
}

#[test]
fn the_core_of_v2_kills_freezes_and_removes() {
    if !can_test() {
        return;
    }
    let Some(group) = Group::made_in_cgroup2("core") else {
        assert!(std::env::var_os("BAREPOD_TEST_STRICT").is_none(), "no cgroup2 is mounted");
        return eprintln!("skipped: no cgroup2 is mounted");
    };
    assert!(group.0.open_dir().is_ok());
    let mut child = group.shell("setsid sleep 1000 & sleep 1000 & wait");
    eventually("three processes", || group.0.pids().unwrap().len() == 3);
    assert!(group.0.populated().unwrap());
    group.0.freeze().unwrap();
    let error = group.0.remove(Duration::from_millis(20)).unwrap_err().to_string();
    assert!(error.contains("held by"), "{error}");
    group.0.kill(SOON).unwrap();
    assert!(!group.0.populated().unwrap());
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    group.sub("x/y/z");
    group.0.remove(Duration::from_millis(500)).unwrap();
    assert!(!group.0.paths()[0].exists());
}
