//! The stop-watch of scripts/bench: runs barepod and its peers in turn and prints a Markdown table of medians and
//! ratios. One file without dependencies, compiled by the script with rustc.
//!
//! Usage: bench BAREPOD_DIR EVENT_LOG BUNDLE_DIR WORK_DIR ROUNDS PEER… (PEER: runc, crun, podman)
//!
//! Peers take turns within a round, and the one that begins changes from round to round, so that whatever else the
//! machine does hits all of them. A ratio is taken within each round; the table has the median of these ratios.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A measured thing: its name and how to take one sample, in milliseconds.
type Runner<'a> = (&'static str, Box<dyn FnMut(usize) -> f64 + 'a>);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bin, event_log, bundle, work, rounds, peers @ ..] = args.as_slice() else {
        panic!("usage: bench BAREPOD_DIR EVENT_LOG BUNDLE_DIR WORK_DIR ROUNDS PEER…");
    };
    let bench = Bench {
        barepod: Path::new(bin).join("barepod"),
        barepod_oci: Path::new(bin).join("barepod-oci"),
        event_log: PathBuf::from(event_log),
        rootfs: Path::new(bundle).join("rootfs"),
        config: fs::read_to_string(Path::new(bundle).join("config.json"))
            .expect("read the bundle's config.json"),
        bundles: Path::new(bundle).parent().expect("a bundle is in a folder").to_owned(),
        work: PathBuf::from(work),
        rounds: rounds.parse().expect("ROUNDS is a number"),
        peers: peers.to_vec(),
    };
    println!("| work | | median ms | middle half | × barepod |");
    println!("|---|---|---:|---:|---:|");
    bench.run_true();
    bench.run_true_isolated();
    bench.exec_true();
    bench.one_more_container();
    let pod_up = bench.pod_up();
    bench.memory();
    bench.event_log(pod_up);
}

struct Bench {
    barepod: PathBuf,
    barepod_oci: PathBuf,
    event_log: PathBuf,
    rootfs: PathBuf,
    config: String,
    bundles: PathBuf,
    work: PathBuf,
    rounds: usize,
    peers: Vec<String>,
}

impl Bench {
    /// The peers among `names` that are installed, as static strings.
    fn peers(&self, names: &[&'static str]) -> Vec<&'static str> {
        names.iter().copied().filter(|name| self.peers.iter().any(|peer| peer == name)).collect()
    }

    /// A bundle over the same rootfs with other arguments.
    fn bundle(&self, name: &str, args: &str) -> PathBuf {
        self.bundle_from(name, self.config.replace("\"sh\"", args))
    }

    fn bundle_from(&self, name: &str, config: String) -> PathBuf {
        let directory = self.work.join(name);
        fs::create_dir_all(&directory).expect("make a bundle");
        // crun 1.8 refuses to hear of any version but 1.0.
        let config = config.replace("\"ociVersion\": \"1.2.0\"", "\"ociVersion\": \"1.0.2\"");
        let config = config.replace("\"path\": \"rootfs\"", &format!("\"path\": {:?}", self.rootfs));
        fs::write(directory.join("config.json"), config).expect("write config.json");
        directory
    }

    /// `run` of true with each OCI runtime, back to back.
    fn run_true(&self) {
        let bundle = self.bundle("true", "\"true\"");
        let samples = interleave(self.rounds, Duration::ZERO, self.oci_runs(&bundle));
        report("one OCI container, `run` of `true`", &samples);
    }

    /// The same with a pause before each, as a person or a test would start containers.
    fn run_true_isolated(&self) {
        let bundle = self.bundle("true", "\"true\"");
        let samples = interleave(self.rounds.div_ceil(3), Duration::from_millis(150), self.oci_runs(&bundle));
        report("the same, 150 ms after anything else", &samples);
    }

    fn oci_runs<'a>(&'a self, bundle: &'a Path) -> Vec<Runner<'a>> {
        let mut runners: Vec<Runner> = vec![(
            "barepod-oci",
            Box::new(move |round| {
                let id = format!("bench-{round}");
                timed(self.oci().args(["run", "--bundle"]).arg(bundle).arg(id))
            }),
        )];
        for name in self.peers(&["runc", "crun"]) {
            runners.push((
                name,
                Box::new(move |round| {
                    timed(
                        Command::new(name)
                            .args(["run", "--bundle"])
                            .arg(bundle)
                            .arg(format!("bench-{round}")),
                    )
                }),
            ));
        }
        runners
    }

    /// exec of true in a container that sleeps.
    fn exec_true(&self) {
        self.start_pod("bench-exec", 1);
        let peers = self.peers(&["runc", "crun"]);
        let bundle = self.bundle("sleep", "\"sleep\", \"100000\"");
        for name in &peers {
            succeed(Command::new(name).args(["run", "--detach", "--bundle"]).arg(&bundle).arg("bench-sleep"));
        }
        let mut runners: Vec<Runner> =
            vec![("barepod", Box::new(|_| timed(self.pod().args(["exec", "bench-exec", "--", "true"]))))];
        for name in &peers {
            runners.push((
                name,
                Box::new(move |_| timed(Command::new(name).args(["exec", "bench-sleep", "true"]))),
            ));
        }
        let samples = interleave(self.rounds, Duration::ZERO, runners);
        for name in &peers {
            succeed(Command::new(name).args(["delete", "--force", "bench-sleep"]));
        }
        self.remove_pod("bench-exec");
        report("exec of `true` in a container", &samples);
    }

    /// From the decision to start a container to its execve, in a pod whose namespaces exist: barepod logs `Started`
    /// when execve has succeeded and then decides at once on the next one, so the time between two of these is it.
    /// The peers: create and start, joining the namespaces of a container that runs.
    fn one_more_container(&self) {
        const APPS: usize = 11;
        let peers = self.peers(&["runc", "crun"]);
        let sleeper = self.bundle("sleep", "\"sleep\", \"100000\"");
        let mut joiners = Vec::new();
        for name in &peers {
            succeed(
                Command::new(name).args(["run", "--detach", "--bundle"]).arg(&sleeper).arg("bench-first"),
            );
            let state = succeed(Command::new(name).args(["state", "bench-first"]));
            let pid = after(&state, "\"pid\"").expect("a pid in the state");
            let mut config = self.config.replace("\"sh\"", "\"sleep\", \"100000\"");
            for (kind, file) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
                config = config.replace(
                    &format!("\"type\": \"{kind}\""),
                    &format!("\"type\": \"{kind}\", \"path\": \"/proc/{pid}/ns/{file}\""),
                );
            }
            // A hostname may be set only in a new UTS namespace.
            let config = config.replace("\"hostname\": \"busybox\",", "");
            joiners.push((*name, self.bundle_from(&format!("join-{name}"), config)));
        }
        let mut runners: Vec<Runner> = vec![(
            "barepod",
            Box::new(|_| {
                self.start_pod("bench-more", APPS);
                let started = self.started("bench-more");
                self.remove_pod("bench-more");
                assert_eq!(started.len(), APPS, "not every app of bench-more was started");
                let mut gaps: Vec<f64> =
                    started.windows(2).map(|pair| (pair[1] - pair[0]) * 1000.0).collect();
                quantile(&mut gaps, 0.5)
            }),
        )];
        for (name, bundle) in &joiners {
            runners.push((
                name,
                Box::new(move |_| {
                    // As many in a row as above: on cgroup v1 the first one after a pause takes much longer.
                    let ids: Vec<String> = (0..APPS).map(|app| format!("bench-more-{app}")).collect();
                    let mut times: Vec<f64> = Vec::new();
                    for id in &ids {
                        let create =
                            timed(Command::new(name).args(["create", "--bundle"]).arg(bundle).arg(id));
                        times.push(create + timed(Command::new(name).args(["start", id])));
                    }
                    for id in &ids {
                        succeed(Command::new(name).args(["delete", "--force", id]));
                    }
                    quantile(&mut times[1..], 0.5)
                }),
            ));
        }
        let samples = interleave(self.rounds.div_ceil(5), Duration::ZERO, runners);
        for name in &peers {
            succeed(Command::new(name).args(["delete", "--force", "bench-first"]));
        }
        report("one more container in a pod", &samples);
    }

    /// One init container and three apps, until all of them run; barepod's median in milliseconds.
    fn pod_up(&self) -> f64 {
        let manifest = self.manifest("bench-up", 3, true, "busybox");
        let mut runners: Vec<Runner> = vec![(
            "barepod",
            Box::new(|_| {
                let start = Instant::now();
                succeed(self.pod().arg("run").arg("-d").arg("--bundles").arg(&self.bundles).arg(&manifest));
                succeed(self.pod().args(["wait", "bench-up", "--for=Ready"]));
                let time = milliseconds(start);
                self.remove_pod("bench-up");
                time
            }),
        )];
        let podman_manifest = self.manifest("bench-podman", 3, true, "localhost/barepod-bench:latest");
        if !self.peers(&["podman"]).is_empty() {
            runners.push((
                "podman kube play",
                Box::new(move |_| {
                    let time = timed(self.podman().arg("kube").arg("play").arg(&podman_manifest));
                    // Killed, not stopped: `sleep` as a first process does not heed TERM.
                    succeed(self.podman().args(["pod", "kill", "bench-podman"]));
                    succeed(self.podman().args(["pod", "rm", "--force", "bench-podman"]));
                    time
                }),
            ));
        }
        let mut samples = interleave(self.rounds.div_ceil(5), Duration::ZERO, runners);
        report("pod up: 1 init + 3 apps, all running", &samples);
        quantile(&mut samples[0].1, 0.5)
    }

    /// What the event log of the same pod costs, with nobody watching: its entries written once more, many times.
    fn event_log(&self, pod_up: f64) {
        let manifest = self.manifest("bench-up", 3, true, "busybox");
        succeed(self.pod().arg("run").arg("-d").arg("--bundles").arg(&self.bundles).arg(&manifest));
        succeed(self.pod().args(["wait", "bench-up", "--for=Ready"]));
        let log = self.work.join("root/pods/bench-up/events.jsonl");
        let printed = succeed(Command::new(&self.event_log).arg(&log).arg(&self.work));
        self.remove_pod("bench-up");
        let (entries, each) = printed.trim().split_once(' ').expect("two numbers");
        let (entries, each): (f64, f64) =
            (entries.parse().expect("a number"), each.parse().expect("a number"));
        let share = entries * each / 1000.0 / pod_up * 100.0;
        println!();
        println!(
            "The event log of that pod's start: {entries} entries, {each} µs each, {share:.2} % of pod up."
        );
    }

    /// Proportional set size of what stays in memory for a pod, beside its programs.
    fn memory(&self) {
        println!();
        println!("| memory of a pod | | KiB |");
        println!("|---|---|---:|");
        for apps in [1, 10] {
            self.start_pod("bench-memory", apps);
            let record = fs::read_to_string(self.work.join("root/pods/bench-memory/record.json"))
                .expect("read the record");
            let pid = after(&record[record.find("\"init\"").expect("init in the record")..], "\"pid\"")
                .expect("a pid");
            let pss = proportional_set_size(&pid);
            // The pod init runs from a sealed copy in memory, of which only the mapped pages are in the figure above.
            let copy = fs::metadata(format!("/proc/{pid}/exe")).map_or(0, |meta| meta.len() / 1024);
            self.remove_pod("bench-memory");
            println!("| {apps} containers | barepod: pod init | {pss} |");
            println!("| | barepod: with all of its sealed binary ({copy} KiB), at most | {} |", pss + copy);
        }
        if !self.peers(&["podman"]).is_empty() {
            for apps in [1, 10] {
                let manifest = self.manifest("bench-podman", apps, false, "localhost/barepod-bench:latest");
                succeed(self.podman().arg("kube").arg("play").arg(&manifest));
                let helpers = helpers_of(&self.work, &["conmon", "catatonit"]);
                let pss: u64 = helpers.iter().map(|pid| proportional_set_size(pid)).sum();
                succeed(self.podman().args(["pod", "kill", "bench-podman"]));
                succeed(self.podman().args(["pod", "rm", "--force", "bench-podman"]));
                println!(
                    "| {apps} containers | podman: its {} helpers (conmon, catatonit) | {pss} |",
                    helpers.len()
                );
            }
        }
    }

    fn oci(&self) -> Command {
        let mut command = Command::new(&self.barepod_oci);
        command.arg("--root").arg(self.work.join("oci"));
        command
    }

    fn pod(&self) -> Command {
        let mut command = Command::new(&self.barepod);
        command.arg("--root").arg(self.work.join("root")).arg("--log-dir").arg(self.work.join("logs"));
        command.args(["--cgroup-parent", "barepod-bench"]);
        command
    }

    /// podman with storage and settings of its own, made by the script. It warns about its own races on stderr.
    fn podman(&self) -> Command {
        let stderr = fs::File::options().append(true).create(true).open(self.work.join("podman.log"));
        let mut command = Command::new("podman");
        command
            .env("CONTAINERS_CONF", self.work.join("containers.conf"))
            .stderr(stderr.expect("open podman.log"));
        command
            .arg("--root")
            .arg(self.work.join("podman"))
            .arg("--runroot")
            .arg(self.work.join("podman-run"));
        command.args(["--cgroup-manager=cgroupfs", "--events-backend=none", "--runtime=crun"]);
        command
    }

    fn manifest(&self, name: &str, apps: usize, init: bool, image: &str) -> PathBuf {
        let mut yaml = format!("apiVersion: v1\nkind: Pod\nmetadata: {{ name: {name} }}\nspec:\n");
        // podman sets up a bridge otherwise, which barepod does not have.
        if name.contains("podman") {
            yaml += "  hostNetwork: true\n";
        }
        yaml += "  restartPolicy: Never\n  terminationGracePeriodSeconds: 1\n";
        if init {
            yaml +=
                &format!("  initContainers:\n  - {{ name: init, image: {image:?}, command: [\"true\"] }}\n");
        }
        yaml += "  containers:\n";
        for app in 0..apps {
            yaml += &format!("  - {{ name: app-{app}, image: {image:?}, command: [sleep, \"100000\"] }}\n");
        }
        let path = self.work.join(format!("{name}-{apps}.yaml"));
        fs::write(&path, yaml).expect("write a manifest");
        path
    }

    fn start_pod(&self, name: &str, apps: usize) {
        let manifest = self.manifest(name, apps, false, "busybox");
        succeed(self.pod().arg("run").arg("-d").arg("--bundles").arg(&self.bundles).arg(&manifest));
        succeed(self.pod().args(["wait", name, "--for=Ready"]));
    }

    fn remove_pod(&self, name: &str) {
        // `sleep` as a first process does not heed TERM: at once, or every round would wait for the grace period.
        for app in self.started_names(name) {
            succeed(self.pod().args(["kill", name, "-c", &app, "-s", "KILL"]));
        }
        succeed(self.pod().args(["wait", name, "--for=Ended"]));
        succeed(self.pod().args(["rm", name]));
    }

    /// Seconds of the day at which each container was started, in order.
    fn started(&self, name: &str) -> Vec<f64> {
        let events = succeed(self.pod().args(["events", name, "-o", "json"]));
        let started = events.lines().filter(|line| line.contains("\"reason\":\"Started\""));
        let mut times: Vec<f64> =
            started.map(|line| seconds_of_day(&quoted(line, "\"eventTime\":"))).collect();
        for next in 1..times.len() {
            if times[next] < times[next - 1] {
                times[next] += 86_400.0; // midnight
            }
        }
        times
    }

    /// Names of the apps that were started.
    fn started_names(&self, name: &str) -> Vec<String> {
        let events = succeed(self.pod().args(["events", name, "-o", "json"]));
        let started = events.lines().filter(|line| line.contains("\"reason\":\"Started\""));
        let fields = started.map(|line| quoted(line, "\"fieldPath\":"));
        fields
            .filter_map(|field| Some(field.strip_prefix("spec.containers{")?.strip_suffix('}')?.to_owned()))
            .collect()
    }
}

/// Takes one sample of each runner per round, each round beginning with another one; one list of samples per runner.
fn interleave(rounds: usize, pause: Duration, mut runners: Vec<Runner>) -> Vec<(&'static str, Vec<f64>)> {
    let mut samples: Vec<_> = runners.iter().map(|(name, _)| (*name, Vec::new())).collect();
    let count = runners.len();
    // Round 0 warms the caches and does not count.
    for round in 0..=rounds {
        for turn in 0..count {
            let index = (round + turn) % count;
            std::thread::sleep(pause);
            let sample = (runners[index].1)(round);
            if round > 0 {
                samples[index].1.push(sample);
            }
        }
    }
    samples
}

/// Prints the rows of one kind of work; the first is barepod.
fn report(work: &str, samples: &[(&'static str, Vec<f64>)]) {
    let ours = &samples[0].1;
    for (index, (name, times)) in samples.iter().enumerate() {
        let mut sorted = times.clone();
        let [low, median, high] = [0.25, 0.5, 0.75].map(|at| quantile(&mut sorted, at));
        let mut ratios: Vec<f64> = times.iter().zip(ours).map(|(theirs, ours)| theirs / ours).collect();
        let [few, ratio, many] = [0.25, 0.5, 0.75].map(|at| quantile(&mut ratios, at));
        let work = if index == 0 { format!("{work} ({} rounds)", times.len()) } else { String::new() };
        let ratio = if index == 0 { "1".to_owned() } else { format!("{ratio:.2} ({few:.2}–{many:.2})") };
        println!("| {work} | {name} | {median:.2} | {low:.2}–{high:.2} | {ratio} |");
    }
}

fn quantile(values: &mut [f64], at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = at * (values.len() - 1) as f64;
    let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

/// Wall time of a command that must succeed, in milliseconds. Its output goes nowhere: containers would hold a pipe.
fn timed(command: &mut Command) -> f64 {
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
fn succeed(command: &mut Command) -> String {
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

/// The number that follows a JSON key.
fn after(json: &str, key: &str) -> Option<String> {
    let rest = json[json.find(key)? + key.len()..].trim_start_matches([':', ' ', '\n', '\t']);
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

/// The string that follows a JSON key.
fn quoted(json: &str, key: &str) -> String {
    let rest = json.find(key).map_or("", |at| &json[at + key.len()..]);
    rest.trim_start().trim_start_matches('"').split('"').next().unwrap_or_default().to_owned()
}

/// 2026-01-02T03:04:05.678901Z, without the day.
fn seconds_of_day(time: &str) -> f64 {
    let clock = time.split('T').nth(1).unwrap_or_default().trim_end_matches('Z');
    clock.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a time in RFC 3339"))
}

/// In KiB.
fn proportional_set_size(pid: &str) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("read smaps_rollup");
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).expect("a line Pss");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of kB")
}

/// Processes with one of these names that podman has started on behalf of `work`: it, or its parent, was given that path.
fn helpers_of(work: &Path, names: &[&str]) -> Vec<String> {
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
