//! Whether the hundredth costs more than the first: containers in a network namespace, containers in a pod, pods.

use std::time::Instant;

use crate::Bench;
use crate::command::{milliseconds, succeed, timed};
use crate::oci::sleeper;
use crate::pods::REST;
use crate::table::median;

const CONTAINERS: usize = 100;
const PODS: usize = 200;

pub fn measure(bench: &Bench, part: &str) {
    println!("\n| growth | | first ten | last ten | last ÷ first | to reach |");
    println!("|---|---|---:|---:|---:|---|");
    if part != "pods" {
        for runtime in bench.runtimes() {
            bench.containers(runtime);
        }
    }
    if part != "oci" {
        bench.containers_of_a_pod();
        bench.pods();
    }
}

/// A row. Ours is to stay within a fifth.
fn row(work: &str, who: &str, values: &[f64], is_ours: bool) {
    let (first, last) = (median(&values[..10]), median(&values[values.len() - 10..]));
    row_of(work, who, first, last, is_ours);
}

fn row_of(work: &str, who: &str, first: f64, last: f64, is_ours: bool) {
    let ratio = last / first;
    let reached = if ratio <= 1.2 { "yes" } else { "**no**" };
    let reach = if is_ours { format!("≤ 1.20: {reached}") } else { String::new() };
    println!("| {work} | {who} | {first:.2} | {last:.2} | {ratio:.2} | {reach} |");
}

impl Bench {
    /// In one network namespace, started one after the other and deleted one after the other.
    fn containers(&self, runtime: &'static str) {
        let pid = sleeper(self, runtime, "bench-first");
        let bundle = self.bundle_from(&format!("net-{runtime}"), self.joining(&pid, &[("network", "net")]));
        let ids: Vec<String> = (0..CONTAINERS).map(|number| format!("bench-grow-{number}")).collect();
        let start = |id: &String| {
            timed(self.runtime(runtime).args(["run", "--detach", "--bundle"]).arg(&bundle).arg(id))
        };
        let starts: Vec<f64> = ids.iter().map(start).collect();
        let delete = |id: &String| timed(self.runtime(runtime).args(["delete", "--force", id]));
        let deletes: Vec<f64> = ids.iter().map(delete).collect();
        delete(&"bench-first".to_owned());
        let is_ours = runtime == "barepod-oci";
        row(&format!("{CONTAINERS} containers in a network namespace, start, ms"), runtime, &starts, is_ours);
        row(&format!("{CONTAINERS} containers, delete, ms"), runtime, &deletes, is_ours);
    }

    /// All of one pod; and what each container adds to the memory of the pod init.
    fn containers_of_a_pod(&self) {
        let memory = |apps| {
            self.start_pod("bench-grow", apps);
            let (kib, started) = (self.memory_of_pod("bench-grow"), self.started("bench-grow"));
            self.remove_pod("bench-grow");
            (kib as f64, started)
        };
        let (one, _) = memory(1);
        let (ten, _) = memory(10);
        let (many, started) = memory(CONTAINERS);
        let gaps: Vec<f64> = started.windows(2).map(|pair| (pair[1] - pair[0]) * 1000.0).collect();
        row(&format!("1 → {CONTAINERS} containers in a pod, start, ms"), "barepod", &gaps, true);
        let (first, last) = ((ten - one) / 9.0, (many - ten) / (CONTAINERS - 10) as f64);
        row_of("the same, memory per container, KiB (2–10, 11–100)", "barepod", first, last, true);
    }

    /// Pods side by side.
    fn pods(&self) {
        let names: Vec<String> = (0..PODS).map(|number| format!("bench-grow-{number}")).collect();
        let (mut times, mut memory) = (Vec::new(), Vec::new());
        for name in &names {
            let manifest = self.manifest(name, 1, false, "busybox");
            let start = Instant::now();
            succeed(self.pod().arg("run").arg("-d").arg("--bundles").arg(&self.bundles).arg(manifest));
            succeed(self.pod().args(["wait", name, "--for=Ready"]));
            times.push(milliseconds(start));
        }
        std::thread::sleep(REST); // for the last of them
        for name in &names {
            memory.push(self.memory_of_pod(name) as f64);
        }
        for name in &names {
            self.remove_pod(name);
        }
        row(&format!("1 → {PODS} pods, up, ms"), "barepod", &times, true);
        row("the same, memory per pod, KiB", "barepod", &memory, true);
    }
}
