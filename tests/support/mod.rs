//! A laboratory for tests on the built binary: directories and a cgroup of its own, one busybox bundle, and a log in which
//! the programs inside containers bear witness.

#![allow(dead_code)] // each test binary uses a part of it

pub mod dropped;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use serde_json::Value;

/// The binary under test.
pub const BAREPOD: &str = env!("CARGO_BIN_EXE_barepod");
/// The other face of it.
pub const BAREPOD_OCI: &str = env!("CARGO_BIN_EXE_barepod-oci");

/// Under emulation everything takes longer; deadlines are scaled by this.
pub fn slowdown() -> u32 {
    std::env::var("BAREPOD_TEST_SLOWDOWN").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1)
}

/// A deadline of so many seconds, scaled.
pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds) * slowdown()
}

/// A missing prerequisite is a failure, never a silent skip.
pub fn need_root() {
    assert!(nix::unistd::geteuid().is_root(), "these tests need root: run scripts/test");
}

/// Environment variable: what the names of labs have in them instead of the process id.
pub const LAB: &str = "BAREPOD_TEST_LAB";

/// One test's world. Everything in it is gone when it is dropped.
pub struct Lab {
    /// Its directory.
    pub dir: PathBuf,
    cgroup: String,
}

impl Lab {
    pub fn new() -> Lab {
        need_root();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // In a PID namespace of its own (tests/leaks.rs) a process has a small number, which others have too.
        let process = std::env::var(LAB).unwrap_or_else(|_| std::process::id().to_string());
        let name = format!("barepod-test-{process}-{number}");
        let dir = std::env::temp_dir().join(&name);
        fs::create_dir_all(dir.join("persistent")).unwrap();
        fs::set_permissions(dir.join("persistent"), fs::Permissions::from_mode(0o777)).unwrap();
        Lab { dir, cgroup: name }
    }

    /// The directory that manifests mount at /persistent; containers write their testimony to `log` in it.
    pub fn persistent(&self) -> PathBuf {
        self.dir.join("persistent")
    }

    pub fn root(&self) -> PathBuf {
        self.dir.join("run")
    }

    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    pub fn cgroup_parent(&self) -> &str {
        &self.cgroup
    }

    /// `barepod` with this lab's directories.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BAREPOD);
        command
            .arg("--root")
            .arg(self.root())
            .arg("--log-dir")
            .arg(self.logs())
            .arg("--cgroup-parent")
            .arg(&self.cgroup);
        command.args(args).env("BAREPOD_BUNDLES", bundles()).env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a verb that must succeed; its standard output.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.output(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "barepod {args:?}: {}\n{stderr}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a verb that must fail with this code; its standard error.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.output(args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "barepod {args:?}: {stderr}");
        stderr
    }

    /// Writes a manifest and gives its path. Whatever goes another way to barepod goes through `dropped::manifest_text`, too.
    pub fn manifest(&self, text: &str) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let path = self.dir.join(format!("pod-{}.yaml", NUMBER.fetch_add(1, Ordering::Relaxed)));
        fs::write(&path, dropped::manifest_text(text).as_bytes()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `run -d` of a manifest text.
    pub fn start(&self, manifest: &str) -> String {
        let path = self.manifest(manifest);
        self.ok(&["run", "-d", &path]).trim().to_owned()
    }

    /// A verb that goes on in the background, with its standard output and error in files of the lab.
    pub fn background(&self, args: &[&str]) -> Background {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let out = self.dir.join(format!("background-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let file = |name: &str| fs::File::create(out.with_extension(name)).unwrap();
        let child = self.command(args).stdout(file("out")).stderr(file("err")).spawn().unwrap();
        Background { child, out }
    }

    /// A pod that is `run -d` and Ready.
    pub fn start_ready(&self, manifest: &str) -> String {
        let pod = self.start(manifest);
        let patience = format!("{}s", seconds(20).as_secs());
        self.ok(&["wait", &pod, "--for=Ready", "--timeout", &patience]);
        pod
    }

    /// What a shell in a container prints; it must succeed.
    pub fn sh(&self, pod: &str, container: &str, script: &str) -> String {
        self.ok(&["exec", pod, "-c", container, "--", "sh", "-c", script])
    }

    /// The processes in the cgroups of this lab, as the host numbers them.
    pub fn processes(&self) -> Vec<i32> {
        let own = format!("/{}/", self.cgroup);
        let inside = |pid: &i32| {
            fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(&own))
        };
        all_processes().into_iter().filter(inside).collect()
    }

    pub fn inspect(&self, pod: &str) -> Value {
        serde_json::from_str(&self.ok(&["inspect", pod])).unwrap()
    }

    pub fn record(&self, pod: &str) -> Value {
        let path = self.root().join("pods").join(pod).join("record.json");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    /// Host pid of the pod init.
    pub fn init_pid(&self, pod: &str) -> i32 {
        self.record(pod)["init"]["pid"].as_i64().unwrap() as i32
    }

    /// SIGKILL to the pod init; returns when it has ended. Until then a pod may still look as if it ran.
    pub fn kill_init(&self, pod: &str) {
        let init = self.init_pid(pod);
        kill(init);
        self.until("the pod init to end", seconds(2), || has_ended(init));
    }

    pub fn phase(&self, pod: &str) -> String {
        self.inspect(pod)["status"]["phase"].as_str().unwrap().to_owned()
    }

    /// The status of a container, init containers included.
    pub fn status(&self, pod: &str, container: &str) -> Value {
        let object = self.inspect(pod);
        let all = ["containerStatuses", "initContainerStatuses"].map(|list| object["status"][list].clone());
        let found = all
            .iter()
            .flat_map(|list| list.as_array().into_iter().flatten())
            .find(|s| s["name"] == container)
            .cloned();
        found.unwrap_or_else(|| panic!("no status of {container} in {object}"))
    }

    pub fn restarts(&self, pod: &str, container: &str) -> u64 {
        self.status(pod, container)["restartCount"].as_u64().unwrap()
    }

    /// Waits for a condition; the last words of a failure are the events of the pod.
    pub fn until(&self, what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < patience, "waited {:?} for {what}", start.elapsed());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end of the pod and gives its phase.
    pub fn wait_ended(&self, pod: &str, patience: u64) -> String {
        let patience = format!("{}s", patience * u64::from(slowdown()));
        let output = self.output(&["wait", pod, "--for=Ended", "--timeout", &patience]);
        assert!(output.status.success(), "{pod} did not end: {}", self.ok(&["events", pod]));
        self.phase(pod)
    }

    pub fn testimony(&self) -> Testimony {
        let text = fs::read_to_string(self.persistent().join("log")).unwrap_or_default();
        let line = |line: &str| {
            let mut words = line.split(' ');
            let time = words.next()?.parse().ok()?;
            Some((time, words.next()?.to_owned(), words.next()?.to_owned()))
        };
        Testimony { lines: text.lines().filter_map(line).collect() }
    }
}

impl Lab {
    /// Removes the cgroups of this lab, as far as they are empty; those below it that were still there.
    fn cgroups_left(&self) -> Vec<PathBuf> {
        let mut left = Vec::new();
        for top in cgroup_directories(&self.cgroup) {
            let within =
                |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
            let mut all = vec![top];
            for at in 0.. {
                let Some(dir) = all.get(at).cloned() else { break };
                all.extend(within(dir).filter(|path| path.is_dir()));
            }
            all.iter().rev().for_each(|dir| drop(fs::remove_dir(dir)));
            left.extend(all.into_iter().skip(1));
        }
        left
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let names: Vec<String> = fs::read_dir(self.root().join("pods"))
            .map(|list| list.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
            .unwrap_or_default();
        for name in names {
            self.output(&["rm", "-f", &name]);
        }
        self.output(&["gc"]);
        let left = self.cgroups_left();
        fs::remove_dir_all(&self.dir).ok();
        // A test that has failed already may leave anything; every other has taken all of it down again.
        assert!(left.is_empty() || std::thread::panicking(), "left behind: {left:#?}");
    }
}

/// A verb that was started and goes on; killed when it is dropped.
pub struct Background {
    pub child: std::process::Child,
    out: PathBuf,
}

impl Background {
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn stdout(&self) -> String {
        fs::read_to_string(self.out.with_extension("out")).unwrap()
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(self.out.with_extension("err")).unwrap()
    }

    /// SIGKILL, and its exit status taken.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; the exit code, `None` for a signal.
    pub fn code(&mut self, patience: Duration) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < patience, "it goes on\n{}{}", self.stdout(), self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_file(self.out.with_extension("out")).ok();
        fs::remove_file(self.out.with_extension("err")).ok();
    }
}

/// Every process that `/proc` shows.
pub fn all_processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// State letter and parent of a process (proc_pid_stat(5)); `None` when it is gone.
pub fn state(pid: i32) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// It is gone, or has ended and only its parent has not taken notice yet.
pub fn has_ended(pid: i32) -> bool {
    state(pid).is_none_or(|(letter, _)| letter == 'Z')
}

/// The command line of a process, words separated by blanks; empty when it is gone.
pub fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).split('\0').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Sends a signal to a process, by its number.
pub fn signal(pid: i32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

/// SIGKILL.
pub fn kill(pid: i32) {
    signal(pid, nix::sys::signal::Signal::SIGKILL);
}

/// A program that waits for SIGTERM and then ends at once, as a shell command in a manifest.
pub const UNTIL_TERM: &str = "trap 'exit 0' TERM; sleep 600 & wait";

/// Set in the process that a test runs in alone.
const ALONE: &str = "BAREPOD_TEST_ALONE";

/// Runs the body of a test in a PID and mount namespace of its own, as if on a host of its own: this program is started
/// there once more, for this one test. A shell is the first process there, since somebody must reap orphans.
///
/// `F` is a closure of the test, whose name is taken from it.
pub fn alone<F>(body: impl FnOnce()) {
    need_root();
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    // BINARY::TEST::{{closure}}, with modules before TEST
    let closure = std::any::type_name::<F>();
    let test = closure.split_once("::").and_then(|(_, rest)| rest.rsplit_once("::")).unwrap().0;
    let output = Command::new("unshare")
        .args(["--mount", "--pid", "-f", "--mount-proc", "sh", "-c", "\"$@\"; exit $?", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, "1")
        .env(LAB, format!("{}-{}", std::process::id(), test.rsplit("::").next().unwrap()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // A name that fits no test would succeed too.
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}{stderr}");
}

/// The directories of a cgroup in every hierarchy of this machine.
pub fn cgroup_directories(cgroup: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let is_cgroup = |line: &&str| line.split(" - ").nth(1).is_some_and(|rest| rest.starts_with("cgroup"));
    let points = mounts.lines().filter(is_cgroup).filter_map(|line| line.split(' ').nth(4));
    points.map(|point| Path::new(point).join(cgroup)).filter(|path| path.is_dir()).collect()
}

/// What programs wrote down: (seconds since boot, name, Starting | Started | Exiting).
pub struct Testimony {
    pub lines: Vec<(f64, String, String)>,
}

impl Testimony {
    pub fn all(&self, name: &str, word: &str) -> Vec<f64> {
        self.lines.iter().filter(|(_, n, w)| n == name && w == word).map(|(time, ..)| *time).collect()
    }

    pub fn first(&self, name: &str, word: &str) -> f64 {
        self.all(name, word)
            .first()
            .copied()
            .unwrap_or_else(|| panic!("{name} never said {word}: {:#?}", self.lines))
    }

    /// Position of the first such line: finer than the clock, because lines are appended in order.
    pub fn position(&self, name: &str, word: &str) -> usize {
        let found = self.lines.iter().position(|(_, n, w)| n == name && w == word);
        found.unwrap_or_else(|| panic!("{name} never said {word}: {:#?}", self.lines))
    }

    pub fn never(&self, name: &str) {
        assert!(self.all(name, "Starting").is_empty(), "{name} was started: {:#?}", self.lines);
    }

    /// `a` is started before `b` begins.
    pub fn starts_before(&self, a: &str, b: &str) {
        assert!(
            self.position(a, "Started") < self.position(b, "Starting"),
            "{a} not started before {b}: {:#?}",
            self.lines
        );
    }

    /// `a` exits before `b` exits.
    pub fn exits_before(&self, a: &str, b: &str) {
        assert!(
            self.position(a, "Exiting") < self.position(b, "Exiting"),
            "{a} not exited before {b}: {:#?}",
            self.lines
        );
    }

    /// `a` is over before `b` begins.
    pub fn over_before(&self, a: &str, b: &str) {
        assert!(
            self.position(a, "Exiting") < self.position(b, "Starting"),
            "{a} not over before {b}: {:#?}",
            self.lines
        );
    }

    /// One's start lies between the other's start and exit.
    pub fn together(&self, a: &str, b: &str) {
        let within = |a: &str, b: &str| {
            let start = self.position(a, "Started");
            self.position(b, "Started") < start && start < self.position(b, "Exiting")
        };
        assert!(within(a, b) || within(b, a), "{a} and {b} did not run together: {:#?}", self.lines);
    }

    pub fn starts(&self, name: &str) -> usize {
        self.all(name, "Starting").len()
    }
}

/// A directory with the bundle `box`: busybox and the witness programs. Made once for each content, by renaming it into
/// place, so that test processes that run at the same time share it.
pub fn bundles() -> PathBuf {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (PROGRAM, config().to_string()).hash(&mut hasher);
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bundles-{:x}", hasher.finish()));
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    if !place.exists() {
        // Not by pid: some tests run in PID namespaces of their own, where all have the same.
        let unique = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
        let fresh = place.with_extension(unique.trim());
        make_bundle(&fresh.join("box"));
        if fs::rename(&fresh, &place).is_err() {
            fs::remove_dir_all(&fresh).unwrap(); // another test process was faster, just now
        }
    }
    place
}

/// `program NAME startDelay duration exitCode termDelay`: logs Starting, Started (and makes ./started), Exiting.
const PROGRAM: &str = r#"#!/bin/sh
say() { read -r up rest < /proc/uptime; echo "$up $1 $2" >> /persistent/log; }
trap 'sleep "$5" & wait $!; say "$1" Exiting; exit "$4"' TERM
say "$1" Starting
sleep "$2" & wait $!
say "$1" Started
: > ./started
sleep "$3" & wait $!
say "$1" Exiting
exit "$4"
"#;

/// Makes a bundle with busybox and the witness programs at `bundle`.
pub fn make_bundle(bundle: &Path) {
    let rootfs = bundle.join("rootfs");
    for directory in ["bin", "etc", "tmp", "work", "persistent"] {
        fs::create_dir_all(rootfs.join(directory)).unwrap();
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let busybox = busybox.expect("busybox-static is missing: run scripts/test");
    fs::copy(busybox, rootfs.join("bin/busybox")).unwrap();
    let list = Command::new(busybox).arg("--list").output().unwrap();
    for applet in String::from_utf8(list.stdout).unwrap().lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
    }
    fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n").unwrap();
    fs::write(rootfs.join("etc/group"), "root:x:0:\n").unwrap();
    fs::write(rootfs.join("bin/program"), PROGRAM).unwrap();
    fs::set_permissions(rootfs.join("bin/program"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(bundle.join("config.json"), serde_json::to_string_pretty(&config()).unwrap()).unwrap();
}

/// A bundle of a test's own, to be changed by it. Programs are hard links: a program that one thread has just written
/// cannot be executed while another thread forks (ETXTBSY).
pub fn own_bundle(bundle: &Path) {
    let shared = bundles().join("box");
    fs::create_dir_all(bundle.parent().unwrap()).unwrap();
    let copied = Command::new("cp").arg("-al").arg(&shared).arg(bundle).status().unwrap();
    assert!(copied.success());
    fs::remove_file(bundle.join("config.json")).unwrap(); // a link too, and not ours to write to
}

/// An OCI configuration as `runc spec` would make it.
pub fn config() -> Value {
    let caps = [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_KILL",
        "CAP_NET_BIND_SERVICE",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SYS_CHROOT",
        "CAP_MKNOD",
    ];
    let no = ["nosuid", "noexec", "nodev"];
    let namespaces =
        ["pid", "network", "ipc", "uts", "mount", "cgroup"].map(|kind| serde_json::json!({"type": kind}));
    serde_json::json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/bin"],
            "cwd": "/work",
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [no[0], no[1], no[2], "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [no[0], no[1], no[2], "relatime", "ro"]},
        ],
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": namespaces,
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
