//! What `explain` says is what the kernel sees: every pod of `pods/` runs under strace(1), and each system call of barepod's
//! own processes, up to the execve of a container's program, is held against the explanation: names, arguments and order,
//! both ways.

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use support::*;

// The calls that need no explanation, each group with its reason.

/// Why a call may go unexplained; `None` = it may not. Never: mount and its kin, clone3, unshare, setns, pivot_root, umount2,
/// writes to a cgroup, prctl, capset, the change of users, sethostname, mknodat, symlinkat.
fn exemption(call: &Seen, who: Who, files: &Files) -> Option<&'static str> {
    const MEMORY: &str = "memory of the process";
    const RUNTIME: &str = "start and end of a program or thread, and what the language's runtime looks up";
    const READING: &str = "reading files and asking about them";
    const WAITING: &str = "polling, waiting, signals waited for";
    const DESCRIPTORS: &str = "descriptors copied and closed";
    const LOGGING: &str = "logs, the record and messages to people or to the other end of a pipe";
    const REQUESTS: &str = "answers to stop and kill on the control socket, time limits of sockets";
    let arg = |n: usize| call.args.get(n).map(String::as_str).unwrap_or_default();
    let of = call.path(0);
    let is_log = |path: &str| {
        path.starts_with(&files.logs)
            || (path.starts_with(&files.pod)
                && ["record.json", "events.jsonl"].iter().any(|name| path.contains(name)))
    };
    match call.name.as_str() {
        "mmap" | "munmap" | "brk" | "mprotect" | "mremap" | "madvise" => Some(MEMORY),
        "arch_prctl" | "set_tid_address" | "set_robust_list" | "rseq" | "sched_getaffinity" | "gettid"
        | "getpid" | "getrandom" | "sigaltstack" | "exit" | "exit_group" | "geteuid" | "uname"
        | "clock_gettime" => Some(RUNTIME),
        "rt_sigaction" if !arg(1).contains("SIG_DFL") => Some(RUNTIME),
        "prlimit64" if arg(2) == "NULL" => Some(RUNTIME),
        "read" | "readv" | "pread64" | "newfstatat" | "statx" | "fstatfs" | "access" | "readlink"
        | "readlinkat" | "getdents64" | "lseek" | "getcwd" | "capget" | "getsockname" | "sysinfo"
        | "statfs" => Some(READING),
        "openat" => {
            let flags = arg(2);
            let opens_to_change =
                ["O_WRONLY", "O_RDWR", "O_CREAT", "O_PATH"].iter().any(|flag| flags.contains(flag));
            let path = arg(1).trim_matches('"');
            // Places of mounts and of the control socket are opened for reading; what is read there is not explained.
            let is_place = path == files.pod
                || path.ends_with("/ns/pid")
                // v2: the cgroup that a device program is attached to.
                || (path.starts_with("/sys/fs/cgroup/") && path.ends_with(".0") && !flags.contains("O_DIRECTORY"))
                || (path.starts_with(&format!("{}/sandbox", files.pod))
                    && !path.ends_with("termination-log"));
            match (who, opens_to_change) {
                (_, false) if !is_place => Some(READING),
                (Who::Init, _) if is_log(path) && !path.ends_with("0.log") => Some(LOGGING),
                _ => None,
            }
        }
        "poll" | "ppoll" | "waitid" | "wait4" | "accept4" | "nanosleep" | "clock_nanosleep" | "futex"
        | "restart_syscall" | "rt_sigreturn" | "sched_yield" | "pselect6" | "inotify_init1"
        | "inotify_add_watch" => Some(WAITING),
        "signalfd4" if who == Who::Cli => Some(WAITING),
        "rt_sigprocmask" if (arg(0), arg(1)) != ("SIG_SETMASK", "[]") => Some(WAITING),
        "close" if !of.starts_with(&files.locks) => Some(DESCRIPTORS),
        "fcntl" if !arg(1).contains("SEALS") && arg(1) != "F_OFD_SETLK" || arg(1) == "F_GET_SEALS" => {
            Some(DESCRIPTORS)
        }
        "write" if is_log(of) && who == Who::Init => Some(LOGGING),
        // Messages to the command line, from a child to the pod init, words of a helper.
        "write" if of.starts_with("pipe:") && who != Who::Helper => Some(LOGGING),
        "write" if arg(0) == "1" || arg(0) == "2" => Some(LOGGING),
        "rename" | "fsync" if who == Who::Init && is_log(arg(1).trim_matches('"')) => Some(LOGGING),
        "write" | "ioctl" | "shutdown" | "recvfrom" | "recvmsg" | "sendto"
            if of.starts_with("socket:") && who == Who::Init && files.listens =>
        {
            Some(REQUESTS)
        }
        "getsockopt" | "setsockopt" => Some(REQUESTS),
        _ => None,
    }
}

/// Which of barepod's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Cli,
    Init,
    Child,
    Helper,
}

/// Where this pod's files are.
struct Files {
    pod: String,
    locks: String,
    logs: String,
    /// The sandbox is complete, control socket included.
    listens: bool,
}

// A system call as strace shows it.

#[derive(Debug, Clone)]
struct Seen {
    name: String,
    /// Without the annotations of descriptors.
    args: Vec<String>,
    /// What strace says a descriptor is, by argument.
    paths: Vec<String>,
    result: String,
    line: String,
}

impl Seen {
    fn path(&self, n: usize) -> &str {
        self.paths.get(n).map(String::as_str).unwrap_or_default()
    }

    fn failed(&self) -> bool {
        self.result.starts_with('-')
    }

    /// The new process, in strace's numbering.
    fn child(&self) -> i32 {
        let pid = match self.line.rsplit_once("/* ") {
            Some((_, comment)) if comment.contains("strace's PID NS") => comment.split(' ').next().unwrap(),
            _ => &self.result,
        };
        pid.parse().unwrap_or_else(|_| panic!("no process id in {}", self.line))
    }
}

/// Reads one line of strace; `None` for signals and ends.
fn read_line(line: &str) -> Option<Seen> {
    let open = line.find('(')?;
    let name = &line[..open];
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return None;
    }
    let mut args = vec![String::new()];
    let mut paths = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let rest: Vec<char> = line[open + 1..].chars().collect();
    let mut at = 0;
    while at < rest.len() {
        let c = rest[at];
        let last = args.last_mut().unwrap();
        if quoted {
            last.push(c);
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
        } else {
            match c {
                '"' => {
                    quoted = true;
                    last.push(c);
                }
                // An annotation follows a number or AT_FDCWD; `1<<CAP` is none.
                '<' if (last.ends_with(|c: char| c.is_ascii_digit()) || last.ends_with("AT_FDCWD"))
                    && rest.get(at + 1) != Some(&'<') =>
                {
                    let mut annotation = String::new();
                    let mut inside = 1;
                    while inside > 0 {
                        at += 1;
                        inside += match rest[at] {
                            '<' => 1,
                            '>' => -1,
                            _ => 0,
                        };
                        annotation.push(rest[at]);
                    }
                    annotation.pop();
                    if rest[at + 1..].starts_with(&['(', 'd', 'e', 'l', 'e', 't', 'e', 'd', ')']) {
                        at += "(deleted)".len();
                    }
                    let path = paths.last_mut().unwrap();
                    if path.is_empty() {
                        *path = annotation;
                    }
                }
                '/' if rest.get(at + 1) == Some(&'*') => {
                    while !(rest[at] == '*' && rest.get(at + 1) == Some(&'/')) || at < 1 {
                        at += 1;
                    }
                    at += 1;
                    let trimmed = last.trim_end().len();
                    last.truncate(trimmed);
                }
                ')' if depth == 0 => break,
                ',' if depth == 0 => {
                    args.push(String::new());
                    paths.push(String::new());
                }
                '(' | '[' | '{' => {
                    depth += 1;
                    last.push(c);
                }
                ')' | ']' | '}' => {
                    depth -= 1;
                    last.push(c);
                }
                c => last.push(c),
            }
        }
        at += 1;
    }
    let tail: String = rest[at.min(rest.len())..].iter().collect();
    let result = tail.split("= ").nth(1).unwrap_or_default();
    let result = result.split([' ', '<']).next().unwrap_or_default().to_owned();
    let mut args: Vec<String> = args.iter().map(|arg| arg.trim().to_owned()).collect();
    if args == [""] {
        args.clear();
    }
    Some(Seen { name: name.to_owned(), args, paths, result, line: line.to_owned() })
}

#[test]
fn the_reader_of_strace_lines_knows_every_form() {
    let read = |line: &str| read_line(line).unwrap();
    let mount = read(r#"move_mount(6</a b>, "", 4<pipe:[12]>, "", MOVE_MOUNT_F_EMPTY_PATH) = 0"#);
    assert_eq!(mount.args, ["6", "\"\"", "4", "\"\"", "MOVE_MOUNT_F_EMPTY_PATH"]);
    assert_eq!((mount.path(0), mount.path(2), mount.failed()), ("/a b", "pipe:[12]", false));
    let clone = read(
        "clone3({flags=A|B, pidfd=0x7f} => {pidfd=[7<anon_inode:[pidfd]>]}, 88) = 2 /* 229 in strace's PID NS */",
    );
    assert_eq!((clone.args.len(), clone.child()), (2, 229));
    let set = read("capset({version=V, pid=0}, {effective=1<<CAP_A|1<<CAP_B}) = 0");
    assert_eq!(set.args[1], "{effective=1<<CAP_A|1<<CAP_B}");
    let write = read(r#"write(3</x>, "a\"),b", 5) = -1 EACCES (Permission denied)"#);
    assert_eq!((write.args[1].as_str(), write.failed()), (r#""a\"),b""#, true));
    let attr = read(
        r#"mount_setattr(4, "", AT, {attr_set=0, propagation=0 /* MS_??? */, userns_fd=0}, 32) = 0</dev/null>"#,
    );
    assert_eq!(attr.args[3], "{attr_set=0, propagation=0, userns_fd=0}");
    assert!(read_line("+++ exited with 0 +++").is_none() && read_line("--- SIGCHLD {si=1} ---").is_none());
}

// Whether an explained argument says what strace saw.

/// What names of descriptors and placeholders stand for.
#[derive(Debug, Clone, Default)]
struct Bindings(HashMap<String, String>);

/// Splits at a separator that is not inside of brackets or quotes.
fn split(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for c in text.chars() {
        if c == separator && depth == 0 && !quoted {
            parts.push(String::new());
            continue;
        }
        if quoted {
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
        } else {
            match c {
                '"' => quoted = true,
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
        }
        parts.last_mut().unwrap().push(c);
    }
    parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn number(text: &str) -> Option<u64> {
    if text.contains('*') {
        return text.split('*').map(number).product();
    }
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => u64::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    }
}

/// The bytes of a C string, and whether strace has cut it off.
fn unquote(text: &str) -> Option<(Vec<u8>, bool)> {
    let (inner, cut) = match text.strip_suffix("...") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let inner = inner.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::new();
    let mut rest = inner.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next()? {
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'r' => bytes.push(b'\r'),
            b'v' => bytes.push(11),
            b'f' => bytes.push(12),
            digit @ b'0'..=b'7' => {
                let mut value = u32::from(digit - b'0');
                for _ in 0..2 {
                    match rest.peek() {
                        Some(digit @ b'0'..=b'7') => value = value * 8 + u32::from(digit - b'0'),
                        _ => break,
                    }
                    rest.next();
                }
                bytes.push(value as u8);
            }
            other => bytes.push(other),
        }
    }
    Some((bytes, cut))
}

impl Bindings {
    fn fits(&mut self, told: &str, seen: &str) -> bool {
        if told == "…" {
            return true;
        }
        if told.starts_with('"') {
            return self.string_fits(told, seen);
        }
        if let (Some(told), Some(seen)) = (inside(told, '{', '}'), inside(before_arrow(seen), '{', '}')) {
            return self.structure_fits(told, seen);
        }
        if let (Some(told), Some(seen)) = (inside(told, '[', ']'), inside(seen, '[', ']')) {
            let (told, seen) = (split(told, ','), split(seen, ','));
            return told.len() == seen.len()
                && told.iter().zip(&seen).all(|(told, seen)| self.fits(told, seen));
        }
        if let (Some((f, told)), Some((g, seen))) = (function(told), function(seen)) {
            let (told, seen) = (split(told, ','), split(seen, ','));
            return f == g
                && told.len() == seen.len()
                && told.iter().zip(&seen).all(|(told, seen)| self.fits(told, seen));
        }
        if number(told).is_some() {
            return number(told) == number(seen);
        }
        if told.starts_with(|c: char| c.is_ascii_lowercase())
            && told.chars().all(|c| c.is_ascii_alphanumeric())
        {
            // A descriptor: the first time it is seen says which.
            let known = self.0.entry(told.to_owned()).or_insert_with(|| seen.to_owned());
            return known == seen && seen.parse::<i32>().is_ok();
        }
        flags(told) == flags(seen)
    }

    fn string_fits(&self, told: &str, seen: &str) -> bool {
        let mut told = told.to_owned();
        for (name, value) in &self.0 {
            told = match name.as_str() {
                "UID" => told.replace("UID", value),
                _ => told.replace(&format!("/proc/self/fd/{name}"), &format!("/proc/self/fd/{value}")),
            };
        }
        let (Some((told, _)), Some((seen, cut))) = (unquote(&told), unquote(seen)) else { return false };
        let (told, seen) = (String::from_utf8_lossy(&told), String::from_utf8_lossy(&seen));
        if let Some((before, after)) = told.split_once("/PID/") {
            let middle = seen.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            return middle.is_some_and(|pid| pid.trim_matches('/').parse::<u32>().is_ok());
        }
        if cut { told.starts_with(&*seen) } else { told == seen }
    }

    /// What the explanation leaves out is zero, unless it says `…`.
    fn structure_fits(&mut self, told: &str, seen: &str) -> bool {
        let fields = |text: &str| -> Vec<(String, String)> {
            split(text, ',')
                .iter()
                .map(|field| {
                    field
                        .split_once('=')
                        .map_or((field.clone(), String::new()), |(a, b)| (a.to_owned(), b.to_owned()))
                })
                .collect()
        };
        let (told, seen) = (fields(told), fields(seen));
        let open = told.iter().any(|(name, _)| name == "…");
        let zero = |value: &str| number(value) == Some(0) || ["NULL", "[]", "\"\""].contains(&value);
        let is_handle = |name: &str, value: &str| name == "pidfd" && value.starts_with("0x");
        let rest_is_zero = seen
            .iter()
            .filter(|(name, _)| !told.iter().any(|(one, _)| one == name))
            .all(|(name, value)| open || zero(value) || is_handle(name, value));
        rest_is_zero
            && told.iter().filter(|(name, _)| name != "…").all(|(name, want)| {
                let found = seen.iter().find(|(one, _)| one == name);
                found.is_some_and(|(_, value)| self.fits(want, value))
            })
    }

    /// One call against another; results are remembered by their names.
    fn call_fits(&mut self, told: &Value, seen: &Seen) -> bool {
        if told["name"] != seen.name.as_str() {
            return false;
        }
        let args: Vec<&str> =
            told["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        // The last argument may be the size of the structure before it.
        let has_size =
            seen.args.len() == args.len() + 1 && seen.args.last().is_some_and(|size| number(size).is_some());
        if seen.args.len() != args.len() && !(has_size && args.last().is_some_and(|arg| arg.starts_with('{')))
        {
            return false;
        }
        let mut trial = self.clone();
        if seen.name == "pipe2" {
            // Its list is what the call gives.
            split(args[0].trim_matches(['[', ']']), ',').iter().for_each(|name| drop(trial.0.remove(name)));
        }
        if !args.iter().zip(&seen.args).all(|(told, seen)| trial.fits(told, seen)) {
            return false;
        }
        *self = trial;
        if let (Some(name), false) = (told["gives"].as_str(), seen.failed()) {
            // The name is that of the descriptor; clone3 has it in its structure.
            let pidfd = seen.args.first().and_then(|arg| arg.split(" => {pidfd=[").nth(1));
            let result = pidfd.map_or(seen.result.as_str(), |rest| rest.split(']').next().unwrap());
            self.0.insert(name.to_owned(), result.to_owned());
        }
        true
    }
}

fn inside(text: &str, open: char, close: char) -> Option<&str> {
    text.strip_prefix(open)?.strip_suffix(close)
}

/// What was given, when strace shows behind an arrow what the kernel has made of the whole of it.
fn before_arrow(text: &str) -> &str {
    let mut at = text.match_indices(" => ").map(|(at, _)| at);
    let whole =
        |at: &usize| text[..*at].matches(['{', '[']).count() == text[..*at].matches(['}', ']']).count();
    at.find(|at| whole(at)).map_or(text, |at| &text[..at])
}

fn function(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once('(')?;
    Some((name, rest.strip_suffix(')')?))
}

/// Flags in any order; the one that is zero does not count.
fn flags(text: &str) -> BTreeSet<String> {
    let text = text.replace("MOUNT_ATTR__ATIME", "MOUNT_ATTR_NOATIME|MOUNT_ATTR_STRICTATIME|0x40");
    let plain = |flag: &str| number(flag).map_or(flag.to_owned(), |number| number.to_string());
    text.split('|').filter(|flag| !["O_RDONLY", "0"].contains(flag)).map(plain).collect()
}

/// Which calls of an explanation were seen, by who, step and position.
#[derive(Default)]
struct Tally {
    told: BTreeSet<String>,
    seen: BTreeSet<String>,
    exempted: BTreeMap<&'static str, BTreeSet<String>>,
}

/// Holds calls against the beginning of what was seen; the number of calls that it took. What fails to fit comes with the
/// number of calls before it.
fn take(
    line: &[&Value],
    seen: &[Seen],
    known: &mut Bindings,
    tally: &mut Tally,
) -> Result<usize, (usize, String)> {
    let (mut at, mut bindings) = (0, known.clone());
    for (position, told) in line.iter().enumerate() {
        let each = told["each"].is_string();
        let optional = told["if"].is_string();
        let key = format!("{} {}", told["name"].as_str().unwrap(), told["if"].as_str().unwrap_or_default());
        let mut found = 0;
        while at < seen.len() && (found == 0 || each) && bindings.call_fits(told, &seen[at]) {
            at += 1;
            found += 1;
        }
        if optional {
            tally.told.insert(key.clone());
            if found > 0 {
                tally.seen.insert(key);
            }
        }
        if found == 0 && !optional {
            let saw = seen.get(at).map_or("nothing more", |seen| &seen.line);
            let known = &bindings.0;
            let error = format!("call {position}: explained {told}\n  strace saw {saw}\n  known: {known:?}");
            return Err((at, error));
        }
    }
    *known = bindings;
    Ok(at)
}

// One run of a pod.

/// Pods with an init container that waits for something outside of the pod.
const WAITS_OUTSIDE: [(&str, &str); 1] = [("init-containers", "wait-for-service")];

struct Run {
    explained: Value,
    /// By process id.
    traces: BTreeMap<i32, Vec<Seen>>,
    files: Files,
    uid: String,
    cli: i32,
    /// Ended by SIGKILL, as a probe is when its time is over.
    killed: BTreeSet<i32>,
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

impl Run {
    fn new(lab: &Lab, manifest: &Path, bundles: &Path) -> Run {
        let (manifest, bundles) = (manifest.to_str().unwrap(), bundles.to_str().unwrap());
        let explained = lab.ok(&["explain", "-o", "json", "--bundles", bundles, manifest]);
        let explained: Value = serde_json::from_str(&explained).unwrap();
        let pod = explained["pod"].as_str().unwrap().to_owned();
        let directory = lab.dir.join(format!("strace-{pod}"));
        fs::create_dir_all(&directory).unwrap();
        let plain = lab.command(&["run", "-d", "--bundles", bundles, manifest]);
        let mut strace = Command::new("strace");
        strace.args(["-ff", "-y", "-s", "4096", "--decode-pids=pidns", "-o"]).arg(directory.join("trace"));
        strace.arg(plain.get_program()).args(plain.get_args());
        strace.envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let mut strace = strace
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is missing: run scripts/setup");
        let record = lab.root().join("pods").join(&pod).join("record.json");
        lab.until("the record", seconds(20), || record.exists());
        lab.until("the pod init", seconds(20), || lab.record(&pod)["init"]["pid"].is_number());
        Run::live(lab, &pod);
        let uid = lab.inspect(&pod)["metadata"]["uid"].as_str().unwrap().to_owned();
        let logs = lab.record(&pod)["logs"].as_str().unwrap().to_owned();
        lab.ok(&["stop", &pod]);
        let start = Instant::now();
        while strace.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < seconds(30), "strace does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        let files = Files {
            pod: lab.root().join("pods").join(&pod).display().to_string(),
            locks: lab.root().join("locks").display().to_string(),
            logs,
            listens: false,
        };
        lab.ok(&["rm", &pod]);
        let mut traces = BTreeMap::new();
        let (mut cli, mut killed) = (i32::MAX, BTreeSet::new());
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let pid: i32 = path.extension().unwrap().to_str().unwrap().parse().unwrap();
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            // A call in which the process was killed has neither all arguments nor a result.
            let returned = text.lines().filter(|line| !line.contains("<unfinished ...>"));
            let calls: Vec<Seen> = returned.filter_map(read_line).collect();
            if text.contains("+++ killed by SIGKILL") {
                killed.insert(pid);
            }
            if text.starts_with("execve(") && text.lines().next().unwrap().contains("\"--root\"") {
                cli = pid;
            }
            traces.insert(pid, calls);
        }
        Run { explained, traces, files, uid, cli, killed }
    }

    /// Until the pod is Ready or has ended; or an init container runs that waits for something outside of the pod.
    fn live(lab: &Lab, pod: &str) {
        let start = Instant::now();
        loop {
            let object = lab.inspect(pod);
            let phase = object["status"]["phase"].as_str().unwrap().to_owned();
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
            let over = phase == "Succeeded" || phase == "Failed";
            let waits = WAITS_OUTSIDE
                .iter()
                .any(|(name, init)| *name == pod && lab.status(pod, init)["state"]["running"].is_object());
            // Something more to see: every probe once, and what a container does after its start.
            if ready || over || waits {
                std::thread::sleep(Duration::from_millis(700 + 300 * u64::from(slowdown())));
                return;
            }
            assert!(start.elapsed() < seconds(20), "{pod} does not become ready: {object}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn lines(&self, who: &str) -> Vec<&Value> {
        self.explained["steps"].as_array().unwrap().iter().filter(|line| line["who"] == who).collect()
    }

    fn bindings(&self) -> Bindings {
        Bindings(HashMap::from([("UID".to_owned(), self.uid.clone())]))
    }

    /// A process's calls that need an explanation, until it becomes the program of a container.
    fn trace(&self, pid: i32, who: Who, tally: &mut Tally) -> Vec<Seen> {
        let mut files = Files { listens: false, ..Files { ..copy(&self.files) } };
        let mut calls = Vec::new();
        for call in &self.traces[&pid] {
            let becomes_other = call.name == "execve" && !call.failed() && who != Who::Cli;
            // What was there already is nothing that was made; what could not go yet is tried again.
            let made_nothing = (call.name == "mkdir" || call.name == "rmdir") && call.failed();
            match exemption(call, who, &files) {
                Some(reason) => {
                    tally.exempted.entry(reason).or_default().insert(call.name.clone());
                }
                None if made_nothing => {}
                None => calls.push(call.clone()),
            }
            files.listens |= call.name == "signalfd4";
            // The thread of a request is the same process.
            if call.name == "clone3" && call.args[0].contains("CLONE_THREAD") {
                calls.extend(self.trace(call.child(), who, tally));
            }
            if becomes_other {
                break;
            }
        }
        if who == Who::Cli {
            // The first line is strace's own doing.
            calls.remove(0);
        }
        calls
    }

    fn check(&self, tally: &mut Tally) {
        let pod = self.explained["pod"].as_str().unwrap();
        let all = |lines: &[&Value]| -> Vec<Value> {
            lines.iter().flat_map(|line| line["calls"].as_array().unwrap().clone()).collect()
        };
        // A process that was killed is complete as far as it came.
        let whole_or_killed = |who: &str,
                               seen: &[Seen],
                               killed: bool,
                               tally: &mut Tally|
         -> Result<(), String> {
            let lines = self.lines(who);
            assert!(!lines.is_empty(), "{pod}: nothing is told of {who}");
            let (mut at, mut bindings) = (0, self.bindings());
            for line in lines {
                let calls = all(&[line]);
                let calls: Vec<&Value> = calls.iter().collect();
                match take(&calls, &seen[at..], &mut bindings, tally) {
                    Ok(taken) => at += taken,
                    Err((taken, _)) if killed && at + taken == seen.len() => return Ok(()),
                    Err((_, error)) => return Err(format!("{pod}: {who}: step {}: {error}", line["step"])),
                }
            }
            match seen.get(at) {
                Some(more) => Err(format!("{pod}: {who}: strace saw more than is explained: {}", more.line)),
                None => Ok(()),
            }
        };
        let whole = |who: &str, seen: &[Seen], tally: &mut Tally| whole_or_killed(who, seen, false, tally);

        // The command line, up to the pod init.
        let cli = self.trace(self.cli, Who::Cli, tally);
        whole("barepod run", &cli, tally).unwrap();
        let init = cli.iter().find(|call| call.name == "clone3").expect("clone3 of the pod init").child();

        // The pod init: its steps and starts in their order; hooks, probes and ends when they happen.
        let seen = self.trace(init, Who::Init, tally);
        let floats = ["hook", "probe", "term", "kill", "kill-rest", "clear", "end"];
        let (floating, main): (Vec<&Value>, Vec<&Value>) = self
            .lines("pod init")
            .into_iter()
            .filter(|line| !line["calls"].as_array().unwrap().is_empty())
            .partition(|line| floats.contains(&line["step"].as_str().unwrap()));
        let (mut at, mut next) = (0, 0);
        let mut bindings = self.bindings();
        let mut happened = BTreeSet::new();
        while at < seen.len() {
            let mut why = String::from("all steps are done");
            if let Some(line) = main.get(next) {
                let calls: Vec<&Value> = line["calls"].as_array().unwrap().iter().collect();
                match take(&calls, &seen[at..], &mut bindings, tally) {
                    Ok(taken) => {
                        at += taken;
                        next += 1;
                        continue;
                    }
                    Err((_, error)) => why = format!("step {}: {error}", line["step"]),
                }
            }
            let fitting = floating.iter().find_map(|line| {
                let calls: Vec<&Value> = line["calls"].as_array().unwrap().iter().collect();
                let mut bindings = self.bindings();
                let taken =
                    take(&calls, &seen[at..], &mut bindings, tally).ok().filter(|taken| *taken > 0)?;
                Some((line, taken))
            });
            let Some((line, taken)) = fitting else {
                panic!("{pod}: pod init: {}\n  is not explained here: {why}", seen[at].line);
            };
            happened.insert(line["does"].as_str().unwrap().to_owned());
            at += taken;
        }

        // Its children, told apart by how they are made.
        let containers: Vec<String> = {
            let whos =
                self.explained["steps"].as_array().unwrap().iter().map(|line| line["who"].as_str().unwrap());
            let mut found: Vec<String> = Vec::new();
            for who in whos.filter(|who| who.starts_with("container ")) {
                if !found.iter().any(|one| one == who) {
                    found.push(who.to_owned());
                }
            }
            found
        };
        let mut started = containers.iter();
        let mut heard = BTreeSet::new();
        for clone in seen.iter().filter(|call| call.name == "clone3") {
            let pid = clone.child();
            let flags = clone.args[0].split(',').next().unwrap();
            let own = self.trace(pid, Who::Helper, tally);
            let joins = own.iter().find(|call| call.name == "setns").map(|call| call.args[1].clone());
            match joins {
                _ if flags.contains("CLONE_NEWNS") => {
                    let who = started.next().expect("more containers than explained");
                    whole(who, &self.trace(pid, Who::Child, tally), tally).unwrap();
                    heard.insert(who.clone());
                }
                _ if flags.contains("CLONE_NEWPID") => {
                    whole("reaper", &self.trace(pid, Who::Child, tally), tally).unwrap();
                    heard.insert("reaper".to_owned());
                }
                Some(joins) if joins == "CLONE_NEWPID" => {
                    let who = started.next().expect("more containers than explained");
                    let helper = format!("helper of {who}");
                    whole(&helper, &own, tally).unwrap();
                    let child = own.iter().find(|call| call.name == "clone3").unwrap().child();
                    whole(who, &self.trace(child, Who::Child, tally), tally).unwrap();
                    heard.extend([who.clone(), helper]);
                }
                Some(_) => {
                    let child = own.iter().find(|call| call.name == "clone3").unwrap().child();
                    let command = self.trace(child, Who::Child, tally);
                    let commands = self.whos(|who| self.explains(who, "enter-cgroup"));
                    for who in those_of(&commands, |who| whole(who, &command, &mut Tally::default())) {
                        whole(&who, &command, tally).unwrap();
                        let helper = format!("helper of the {who}");
                        whole(&helper, &own, tally).unwrap();
                        heard.extend([who, helper]);
                    }
                }
                // A request whose time was over; another has been seen as a whole, or it counts as never seen.
                None if self.killed.contains(&pid) => {
                    let requests = self.whos(|who| self.explains(who, "request"));
                    those_of(&requests, |who| whole_or_killed(who, &own, true, &mut Tally::default()));
                }
                None => {
                    let requests = self.whos(|who| self.explains(who, "request"));
                    for who in those_of(&requests, |who| whole(who, &own, &mut Tally::default())) {
                        whole(&who, &own, tally).unwrap();
                        heard.insert(who);
                    }
                }
            }
        }

        // The other way round: whoever is told of was there.
        let behind: Vec<&String> = started.collect();
        let waits_outside = !behind.is_empty();
        if waits_outside {
            println!("{pod}: did not start, since a gate in front of it stayed closed: {behind:?}");
            assert!(behind.len() < containers.len(), "{pod}: no container was started");
            assert!(WAITS_OUTSIDE.iter().any(|(name, _)| *name == pod), "{pod}: not started: {behind:?}");
        } else {
            assert_eq!(next, main.len(), "{pod}: the pod init never did {}", main[next.min(main.len() - 1)]);
        }
        let ended_itself = !happened.iter().any(|does| does.starts_with("to end the pod"));
        for who in self.whos(|_| true) {
            let excused = who == "pod init"
                || who == "barepod run"
                || who == "barepod stop"
                || behind.iter().any(|name| who.ends_with(name.as_str()))
                || ended_itself && who.contains("preStop");
            assert!(excused || heard.contains(&who), "{pod}: explained but never seen: {who}");
        }
        println!("{pod}: {} processes as explained", heard.len() + 2);
    }

    fn whos(&self, keep: impl Fn(&str) -> bool) -> Vec<String> {
        let all =
            self.explained["steps"].as_array().unwrap().iter().map(|line| line["who"].as_str().unwrap());
        BTreeSet::from_iter(all.filter(|who| keep(who)).map(str::to_owned)).into_iter().collect()
    }

    fn explains(&self, who: &str, step: &str) -> bool {
        self.lines(who).iter().any(|line| line["step"] == step)
    }
}

fn copy(files: &Files) -> Files {
    let Files { pod, locks, logs, listens } = files;
    Files { pod: pod.clone(), locks: locks.clone(), logs: logs.clone(), listens: *listens }
}

/// Those that fit: two probes may ask the same. The errors of all when there is none.
fn those_of(names: &[String], fits: impl Fn(&str) -> Result<(), String>) -> Vec<String> {
    let (fitting, others): (Vec<_>, Vec<_>) =
        names.iter().map(|name| (name, fits(name))).partition(|(_, result)| result.is_ok());
    let errors: Vec<String> = others.into_iter().filter_map(|(_, result)| result.err()).collect();
    assert!(!fitting.is_empty(), "a helper that is not explained:\n{}", errors.join("\n"));
    fitting.into_iter().map(|(name, _)| name.clone()).collect()
}

/// What the pods of the repository do not have.
const FEATURES: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: features}
spec:
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 2
  securityContext: {runAsUser: 1000, runAsGroup: 1000, supplementalGroups: [2000, 3000]}
  volumes:
  - {name: host, hostPath: {path: HOST, type: DirectoryOrCreate}}
  - {name: data, emptyDir: {sizeLimit: 1Mi}}
  containers:
  - name: web
    image: box
    command: [sh, -c, "nc -ll -p 8080 -e true & trap 'exit 0' TERM; sleep 600 & wait $!"]
    securityContext: {readOnlyRootFilesystem: true, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}
    volumeMounts:
    - {name: host, mountPath: /host, readOnly: true}
    - {name: data, mountPath: /work/deep/er}
    resources: {limits: {cpu: 300m, memory: 32Mi}}
    startupProbe: {exec: {command: ["true"]}, periodSeconds: 1}
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
    lifecycle:
      postStart: {exec: {command: [sh, -c, "exit 0"]}}
      preStop: {exec: {command: [test, -d, /]}}
  - name: other
    image: box
    command: [sh, -c, "sleep 600 & trap 'exit 0' TERM; wait"]
    resources: {limits: {cpu: 300m, memory: 32Mi}}
  - name: deaf
    image: box
    command: [sh, -c, "trap '' TERM; sleep 600"]
    resources: {limits: {cpu: 300m, memory: 32Mi}}
    volumeMounts:
    - {name: data, mountPath: /part, subPath: a/b}
"#;

#[test]
fn strace_sees_of_every_pod_what_explain_has_told() {
    let lab = Lab::new();
    let mut tally = Tally::default();
    let mut manifests: Vec<PathBuf> =
        fs::read_dir(repository().join("pods")).unwrap().map(|entry| entry.unwrap().path()).collect();
    manifests.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    manifests.sort();
    assert!(manifests.len() >= 2, "this test looks at the wrong folder");
    if slowdown() > 1 && std::env::var_os("BAREPOD_TEST_SLOW").is_none() {
        // Under emulation each takes long; with our own below, this has what all of them have.
        manifests.retain(|path| path.ends_with("native-sidecar.yaml"));
    }
    let own = FEATURES.replace("HOST", lab.dir.join("host/there").to_str().unwrap());
    fs::create_dir_all(lab.dir.join("host")).unwrap();
    let mut pods: Vec<(PathBuf, PathBuf)> =
        manifests.into_iter().map(|manifest| (manifest, repository().join("bundles"))).collect();
    pods.push((PathBuf::from(lab.manifest(&own)), bundles()));
    // Two at a time: most of it is waiting. Probes have deadlines of their own, which a crowd would break.
    let queue = Mutex::new(pods.into_iter());
    let run_all = || {
        let mut tally = Tally::default();
        loop {
            let next = queue.lock().unwrap().next();
            let Some((manifest, bundles)) = next else { return tally };
            Run::new(&lab, &manifest, &bundles).check(&mut tally);
        }
    };
    let tallies = std::thread::scope(|scope| {
        let both = [scope.spawn(run_all), scope.spawn(run_all)];
        both.map(|one| one.join().unwrap())
    });
    for Tally { told, seen, exempted } in tallies {
        tally.told.extend(told);
        tally.seen.extend(seen);
        exempted
            .into_iter()
            .for_each(|(reason, names)| tally.exempted.entry(reason).or_default().extend(names));
    }
    println!("calls that go unexplained, by reason:");
    for (reason, names) in &tally.exempted {
        println!("  {reason}: {}", names.iter().cloned().collect::<Vec<_>>().join(" "));
    }
    let never: Vec<&String> = tally.told.difference(&tally.seen).collect();
    println!("explained under a condition that did not come up: {never:#?}");
    let forbidden = [
        "mount",
        "umount2",
        "fsopen",
        "fsconfig",
        "fsmount",
        "move_mount",
        "open_tree",
        "mount_setattr",
        "clone",
        "clone3",
        "fork",
        "vfork",
        "unshare",
        "setns",
        "pivot_root",
        "mkdir",
        "prctl",
        "capset",
        "setgroups",
        "setresuid",
        "setresgid",
        "sethostname",
        "mknodat",
        "symlinkat",
        "bpf",
    ];
    for names in tally.exempted.values() {
        assert!(!forbidden.iter().any(|name| names.contains(*name)), "{names:?}");
    }
}

#[test]
fn the_text_is_for_a_projector_and_tells_each_reason_once() {
    let lab = Lab::new();
    let pods = repository().join("pods");
    let bundles = repository().join("bundles");
    for entry in fs::read_dir(pods).unwrap() {
        let path = entry.unwrap().path();
        let text = lab.ok(&["explain", "--bundles", bundles.to_str().unwrap(), path.to_str().unwrap()]);
        let wide = text.lines().find(|line| line.chars().count() > 100);
        assert_eq!(wide, None, "{}", path.display());
        assert!(!text.contains('\x1b'), "colour although it is not a terminal");
        assert_eq!(text.matches("the host's files are out of reach").count(), 1);
        assert!(text.contains("whatever its medium says") || !text.contains("\nvolume "), "{text}");
    }
}

/// Every path in a value with its type.
fn shape(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    let kind = match value {
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
        _ => "something else",
    };
    into.insert(format!("{path}: {kind}"));
    value.as_array().into_iter().flatten().for_each(|item| shape(item, &format!("{path}[]"), into));
    for (key, value) in value.as_object().into_iter().flatten() {
        shape(value, &format!("{path}.{key}"), into);
    }
}

#[test]
fn the_json_example_has_the_shape_of_what_is_printed() {
    let lab = Lab::new();
    let page = fs::read_to_string(repository().join("docs/cli.md")).unwrap();
    let example = page.split("```json explain\n").nth(1).expect("no example").split("```").next().unwrap();
    let bundles = repository().join("bundles");
    let manifest = repository().join("pods/two-apps.yaml");
    let printed = lab.ok(&[
        "explain",
        "-o",
        "json",
        "--bundles",
        bundles.to_str().unwrap(),
        manifest.to_str().unwrap(),
    ]);
    let shapes = [example, &printed].map(|text| {
        let mut all = BTreeSet::new();
        shape(&serde_json::from_str(text).unwrap(), "", &mut all);
        all
    });
    assert_eq!(shapes[0], shapes[1]);
}

/// `who` and what it does, of the steps called `step`.
fn told(explained: &Value, step: &str) -> Vec<String> {
    let steps = explained["steps"].as_array().unwrap().iter().filter(|line| line["step"] == step);
    steps.map(|line| line["does"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn gates_and_the_end_are_told_in_words() {
    let lab = Lab::new();
    let container =
        |name: &str, more: &str| format!("  - {{name: {name}, image: box, command: [\"true\"]{more}}}\n");
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: gates}}\nspec:\n  terminationGracePeriodSeconds: 7\n  \
         initContainers:\n{}{}  containers:\n{}{}",
        container("prepare", ""),
        container(
            "proxy",
            ", restartPolicy: Always, lifecycle: {postStart: {sleep: {seconds: 1}}}, startupProbe: {tcpSocket: {port: 1}}"
        ),
        container("web", ", lifecycle: {postStart: {sleep: {seconds: 1}}}"),
        container("last", ""),
    );
    let explained = lab.ok(&["explain", "-o", "json", &lab.manifest(&manifest)]);
    let explained: Value = serde_json::from_str(&explained).unwrap();
    assert_eq!(
        told(&explained, "gate"),
        [
            "start prepare at once: it is the first in the list",
            "wait to start proxy until init container prepare has exited with 0",
            "wait to start web until sidecar proxy has started: its postStart hook has returned and its startup probe has \
             succeeded; it goes on running",
            "wait to start last until app web was given its start: its postStart hook has returned",
        ]
    );
    let end = told(&explained, "term");
    assert_eq!(end[0], "to end the pod: send SIGTERM to web");
    assert_eq!(end[2], "to end the pod: when last and all before have ended, send SIGTERM to proxy");
    assert!(told(&explained, "kill")[0].contains("the grace period of 7 s is over"));
}

#[test]
fn nothing_is_made_and_no_root_is_needed() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let lab = Lab::new();
    // Where nobody may go.
    let binary = lab.dir.join("barepod");
    // By another process: what this one has just written cannot be executed while another thread forks (ETXTBSY).
    assert!(Command::new("cp").arg(BAREPOD).arg(&binary).status().unwrap().success());
    fs::set_permissions(&lab.dir, fs::Permissions::from_mode(0o755)).unwrap();
    own_bundle(&lab.dir.join("bundles/box"));
    fs::write(lab.dir.join("bundles/box/config.json"), config().to_string()).unwrap();
    let manifest = lab.manifest(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: plain}\nspec:\n  containers:\n  - {name: app, image: box}\n",
    );
    let explain = |file: &str| {
        let mut command = Command::new(&binary);
        command.arg("--root").arg(lab.root()).arg("--log-dir").arg(lab.logs()).args(["explain", "--bundles"]);
        command.arg(lab.dir.join("bundles")).arg(file).uid(65534).gid(65534).output().unwrap()
    };
    let output = explain(&manifest);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("pivot_root(\".\", \".\")"), "{text}");
    assert!(!lab.root().exists() && !lab.logs().exists(), "something was made");
    let wrong = lab.manifest("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: []}\n");
    let output = explain(&wrong);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{error}");
    assert!(error.starts_with(&format!("barepod: {wrong}:4:")), "{error}");
}

#[test]
fn the_comparison_notices_what_is_missing_what_is_different_and_what_is_out_of_order() {
    let told: Value = serde_json::from_str(
        r#"[{"name":"fsopen","args":["\"tmpfs\"","FSOPEN_CLOEXEC"],"gives":"fs"},
            {"name":"fsmount","args":["fs","FSMOUNT_CLOEXEC","0"],"gives":"tree"},
            {"name":"mkdirat","args":["parent","\"a\"","0755"],"if":"it is missing"},
            {"name":"mount_setattr","args":["tree","\"\"","AT_EMPTY_PATH|AT_RECURSIVE","{attr_set=MOUNT_ATTR_RDONLY}"]}]"#,
    )
    .unwrap();
    let told: Vec<&Value> = told.as_array().unwrap().iter().collect();
    const SEEN: [&str; 3] = [
        r#"fsopen("tmpfs", FSOPEN_CLOEXEC) = 4<anon_inode:[fscontext]>"#,
        r#"fsmount(4<anon_inode:[fscontext]>, FSMOUNT_CLOEXEC, 0) = 6</>"#,
        r#"mount_setattr(6</>, "", AT_RECURSIVE|AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_RDONLY, attr_clr=0}, 32) = 0"#,
    ];
    let taken = |lines: &[String]| {
        let seen: Vec<Seen> = lines.iter().map(|line| read_line(line).unwrap()).collect();
        take(&told, &seen, &mut Bindings::default(), &mut Tally::default()).ok()
    };
    let seen = SEEN.map(str::to_owned);
    assert_eq!(taken(&seen), Some(3));
    assert_eq!(taken(&seen[..2]), None, "the last is missing");
    assert_eq!(taken(&[seen[0].clone(), seen[2].clone(), seen[1].clone()]), None, "another order");
    for (from, to) in [
        ("\"tmpfs\"", "\"proc\""),
        ("fsmount(4", "fsmount(5"),
        ("mount_setattr(6", "mount_setattr(4"),
        ("AT_RECURSIVE|", ""),
        ("attr_clr=0", "attr_clr=MOUNT_ATTR_NOSUID"),
        ("MOUNT_ATTR_RDONLY", "MOUNT_ATTR_NODEV"),
        ("FSMOUNT_CLOEXEC, 0", "FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY"),
    ] {
        let changed = seen.clone().map(|line| line.replace(from, to));
        assert_ne!(changed, seen, "{from}");
        assert_eq!(taken(&changed), None, "{from} became {to}");
    }
}
