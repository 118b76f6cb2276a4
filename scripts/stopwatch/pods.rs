//! Pods: barepod beside what one has of other runtimes and of podman.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::command::{
    after, cpu_seconds, helpers_of, milliseconds, proportional_set_size, quoted, seconds_of_day, succeed,
    timed, wait_until,
};
use crate::oci::sleeper;
use crate::table::{Runner, at_most, head, interleave, median, report};

/// How long after its start the memory of a pod is looked at.
pub const REST: Duration = Duration::from_secs(3);

pub fn measure(bench: &Bench) {
    println!();
    head();
    bench.exec_true();
    bench.one_more_container();
    let pod_up = bench.pod_up();
    bench.memory();
    bench.logs();
    bench.event_log(pod_up);
}

impl Bench {
    /// exec of true in a container that sleeps.
    fn exec_true(&self) {
        self.start_pod("bench-exec", 1);
        let peers = self.peers(&["runc", "crun", "youki"]);
        for name in &peers {
            sleeper(self, name, "bench-sleep");
        }
        let mut runners: Vec<Runner> = vec![(
            "barepod",
            Box::new(|_| vec![timed(self.pod().args(["exec", "bench-exec", "--", "true"]))]),
        )];
        for name in &peers {
            runners.push((
                name,
                Box::new(move |_| vec![timed(self.runtime(name).args(["exec", "bench-sleep", "true"]))]),
            ));
        }
        let samples = interleave(self.rounds, Duration::ZERO, runners);
        for name in &peers {
            succeed(self.runtime(name).args(["delete", "--force", "bench-sleep"]));
        }
        self.remove_pod("bench-exec");
        report("exec of `true` in a pod's container", &samples, 0, &[("crun", 0.5)]);
    }

    /// From the decision to start a container to its execve, in a pod whose namespaces exist: barepod logs `Started`
    /// when execve has succeeded and then decides at once on the next one, so the time between two of these is it.
    /// The peers: create and start, joining the namespaces of a container that runs.
    fn one_more_container(&self) {
        const APPS: usize = 11;
        let peers = self.peers(&["runc", "crun", "youki"]);
        let mut joiners = Vec::new();
        for name in &peers {
            let pid = sleeper(self, name, "bench-first");
            let config = self.joining(&pid, &[("network", "net"), ("ipc", "ipc"), ("uts", "uts")]);
            joiners.push((*name, self.bundle_from(&format!("join-{name}"), config)));
        }
        let mut runners: Vec<Runner> = vec![(
            "barepod",
            Box::new(|_| {
                self.start_pod("bench-more", APPS);
                let started = self.started("bench-more");
                self.remove_pod("bench-more");
                assert_eq!(started.len(), APPS, "not every app of bench-more was started");
                let gaps: Vec<f64> = started.windows(2).map(|pair| (pair[1] - pair[0]) * 1000.0).collect();
                vec![median(&gaps)]
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
                            timed(self.runtime(name).args(["create", "--bundle"]).arg(bundle).arg(id));
                        times.push(create + timed(self.runtime(name).args(["start", id])));
                    }
                    for id in &ids {
                        succeed(self.runtime(name).args(["delete", "--force", id]));
                    }
                    vec![median(&times[1..])]
                }),
            ));
        }
        let samples = interleave(self.rounds.div_ceil(5), Duration::ZERO, runners);
        for name in &peers {
            succeed(self.runtime(name).args(["delete", "--force", "bench-first"]));
        }
        report("one more container in a pod", &samples, 0, &[("crun", 0.25)]);
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
                vec![time]
            }),
        )];
        let podman_manifest = self.manifest("bench-podman", 3, true, "localhost/barepod-bench:latest");
        if !self.peers(&["podman"]).is_empty() {
            runners.push((
                "podman kube play",
                Box::new(move |_| {
                    let time = timed(self.podman().arg("kube").arg("play").arg(&podman_manifest));
                    self.remove_podman_pod();
                    vec![time]
                }),
            ));
        }
        let samples = interleave(self.rounds.div_ceil(5), Duration::ZERO, runners);
        report("pod up: 1 init + 3 apps, all running", &samples, 0, &[("podman kube play", 0.05)]);
        median(&samples[0].1[0])
    }

    fn remove_podman_pod(&self) {
        // Killed, not stopped: `sleep` as a first process does not heed TERM.
        succeed(self.podman().args(["pod", "kill", "bench-podman"]));
        succeed(self.podman().args(["pod", "rm", "--force", "bench-podman"]));
    }

    /// What the event log of the same pod costs, with nobody watching: its entries written once more, many times.
    fn event_log(&self, pod_up: f64) {
        let manifest = self.manifest("bench-up", 3, true, "busybox");
        succeed(self.pod().arg("run").arg("-d").arg("--bundles").arg(&self.bundles).arg(&manifest));
        succeed(self.pod().args(["wait", "bench-up", "--for=Ready"]));
        let log = self.work.join("state/pods/pods/bench-up/events.jsonl");
        let printed = succeed(Command::new(self.tools.join("event-log")).arg(&log).arg(&self.work));
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

    /// Proportional set size of what stays in memory for a pod at rest, beside its programs.
    fn memory(&self) {
        println!("\n| memory of a pod, 3 s after its start | | KiB | to reach |");
        println!("|---|---|---:|---|");
        let podman = !self.peers(&["podman"]).is_empty();
        for apps in [1, 10] {
            self.start_pod("bench-memory", apps);
            std::thread::sleep(REST);
            let kib = self.memory_of_pod("bench-memory");
            self.remove_pod("bench-memory");
            let reach = if apps == 10 { at_most(kib as f64 / 1024.0, 2.0) } else { String::new() };
            println!("| {apps} containers | barepod: pod init | {kib} | {reach} |");
            if podman {
                let manifest = self.manifest("bench-podman", apps, false, "localhost/barepod-bench:latest");
                succeed(self.podman().arg("kube").arg("play").arg(&manifest));
                std::thread::sleep(REST);
                let helpers = helpers_of(&self.work, &["conmon", "catatonit"]);
                let theirs: u64 = helpers.iter().map(|pid| proportional_set_size(pid)).sum();
                self.remove_podman_pod();
                let ratio = at_most(kib as f64 / theirs as f64, 0.5);
                println!(
                    "| | podman: its {} helpers (conmon, catatonit) | {theirs} | {ratio} |",
                    helpers.len()
                );
            }
        }
    }

    /// In KiB. Of a sealed copy in memory only the mapped pages are in the set: it counts as a whole.
    pub fn memory_of_pod(&self, name: &str) -> u64 {
        let pid = self.pod_init(name);
        let exe = format!("/proc/{pid}/exe");
        let is_copy = fs::read_link(&exe).is_ok_and(|exe| exe.to_string_lossy().starts_with("/memfd:"));
        let copy = if is_copy { fs::metadata(&exe).map_or(0, |meta| meta.len() / 1024) } else { 0 };
        proportional_set_size(&pid) + copy
    }

    fn pod_init(&self, name: &str) -> String {
        let record = self.work.join("state/pods/pods").join(name).join("record.json");
        let record = fs::read_to_string(record).expect("read the record");
        let init = record.find("\"init\"").expect("init in the record");
        after(&record[init..], "\"pid\"").expect("a pid")
    }

    /// What it costs to write down what containers print, in lines of 100 bytes: how many per second of a CPU.
    fn logs(&self) {
        const LINES: usize = 300_000;
        let line = "x".repeat(99);
        let script = format!("yes {line} | head -n {LINES}; sleep 1; echo done; exec sleep 100000");
        println!("\n| container logs, lines of 100 bytes | per CPU second | barepod ÷ it | to reach |");
        println!("|---|---:|---:|---|");
        let mut yaml = "apiVersion: v1\nkind: Pod\nmetadata: { name: bench-logs }\nspec:\n".to_owned();
        yaml += "  restartPolicy: Never\n";
        yaml +=
            &format!("  containers:\n  - {{ name: app-0, image: busybox, command: [sh, -c, {script:?}] }}\n");
        let manifest = self.work.join("bench-logs.yaml");
        fs::write(&manifest, yaml).expect("write a manifest");
        succeed(self.pod().arg("run").arg("-d").arg("--bundles").arg(&self.bundles).arg(&manifest));
        self.wait_for_log(|| succeed(self.pod().args(["logs", "bench-logs", "--tail", "1"])));
        let ours = LINES as f64 / cpu_seconds(&self.pod_init("bench-logs"));
        self.remove_pod("bench-logs");
        println!("| barepod: pod init | {ours:.0} | | |");
        if self.peers(&["podman"]).is_empty() {
            return;
        }
        succeed(self.podman().args([
            "run",
            "--detach",
            "--name=bench-logs",
            "--network=host",
            "--log-driver=k8s-file",
            "localhost/barepod-bench:latest",
            "sh",
            "-c",
            &script,
        ]));
        self.wait_for_log(|| succeed(self.podman().args(["logs", "--tail", "1", "bench-logs"])));
        let conmon =
            succeed(self.podman().args(["inspect", "--format", "{{.State.ConmonPid}}", "bench-logs"]));
        let theirs = LINES as f64 / cpu_seconds(conmon.trim());
        succeed(self.podman().args(["rm", "--force", "--time=0", "bench-logs"]));
        let ratio = ours / theirs;
        let reached = if ratio >= 2.0 { "yes" } else { "**no**" };
        println!("| podman: conmon | {theirs:.0} | {ratio:.2} | ≥ 2.00: {reached} |");
    }

    /// Waits until the last line of a log is `done`; seldom enough that looking does not disturb who writes it.
    fn wait_for_log(&self, last: impl Fn() -> String) {
        wait_until("the end of a log", || {
            std::thread::sleep(Duration::from_millis(100));
            last().contains("done")
        });
    }

    pub fn manifest(&self, name: &str, apps: usize, init: bool, image: &str) -> PathBuf {
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

    pub fn start_pod(&self, name: &str, apps: usize) {
        let manifest = self.manifest(name, apps, false, "busybox");
        succeed(self.pod().arg("run").arg("-d").arg("--bundles").arg(&self.bundles).arg(&manifest));
        succeed(self.pod().args(["wait", name, "--for=Ready"]));
    }

    pub fn remove_pod(&self, name: &str) {
        // `sleep` as a first process does not heed TERM: at once, or every round would wait for the grace period.
        for app in self.started_names(name) {
            succeed(self.pod().args(["kill", name, "-c", &app, "-s", "KILL"]));
        }
        succeed(self.pod().args(["wait", name, "--for=Ended"]));
        succeed(self.pod().args(["rm", name]));
    }

    /// Seconds of the day at which each container was started, in order.
    pub fn started(&self, name: &str) -> Vec<f64> {
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
