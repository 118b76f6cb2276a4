//! Commands that are run and timed, and what the kernel says about processes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

/// Wall time of a command that must succeed, in milliseconds. Its output goes nowhere: containers would hold a pipe.
pub fn timed(command: &mut Command) -> f64 {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let time = milliseconds(start);
    assert!(status.success(), "{command:?}: {status}");
    time
}

/// Runs a command that must succeed; what it printed. Output goes through files, because a container that the command
/// leaves behind would keep a pipe open. What it says on stderr is shown only if it fails: runc warns when a cgroup takes
/// its time.
pub fn succeed(command: &mut Command) -> String {
    let path = |kind| std::env::temp_dir().join(format!("barepod-bench-{}-{kind}", std::process::id()));
    let file = |kind| fs::File::create(path(kind)).expect("make a temporary file");
    let read = |kind| {
        let text = fs::read(path(kind)).expect("read a temporary file");
        fs::remove_file(path(kind)).expect("remove a temporary file");
        String::from_utf8_lossy(&text).into_owned()
    };
    command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (read("stdout"), read("stderr"));
    assert!(status.success(), "{command:?}: {status}: {stderr}");
    stdout
}

/// Looks every millisecond until something is so.
pub fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The process has ended, though nobody may have asked for its status.
pub fn has_ended(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// The time that a process has spent on a CPU, in seconds.
pub fn cpu_seconds(pid: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("read schedstat");
    let nanoseconds = stat.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.expect("nanoseconds on a CPU") / 1e9
}

/// In KiB.
pub fn proportional_set_size(pid: &str) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("read smaps_rollup");
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).expect("a line Pss");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of kB")
}

/// Processes with one of these names that podman has started on behalf of `work`: it, or its parent, was given that path.
pub fn helpers_of(work: &Path, names: &[&str]) -> Vec<String> {
    let read = |pid: &str, file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let work = work.to_str().expect("a work folder in UTF-8");
    let is_ours = |pid: &String| {
        let parent = after(&read(pid, "status"), "PPid").unwrap_or_default();
        names.contains(&read(pid, "comm").trim())
            && (read(pid, "cmdline").contains(work) || read(&parent, "cmdline").contains(work))
    };
    let entries = fs::read_dir("/proc").expect("read /proc").flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(is_ours).collect()
}

/// The number that follows a JSON key.
pub fn after(json: &str, key: &str) -> Option<String> {
    let rest = json[json.find(key)? + key.len()..].trim_start_matches([':', ' ', '\n', '\t']);
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

/// The string that follows a JSON key.
pub fn quoted(json: &str, key: &str) -> String {
    let rest = json.find(key).map_or("", |at| &json[at + key.len()..]);
    rest.trim_start().trim_start_matches('"').split('"').next().unwrap_or_default().to_owned()
}

/// 2026-01-02T03:04:05.678901Z, without the day.
pub fn seconds_of_day(time: &str) -> f64 {
    let clock = time.split('T').nth(1).unwrap_or_default().trim_end_matches('Z');
    clock.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a time in RFC 3339"))
}
