//! One OCI container at a time: barepod-oci, its peers, and the floor, which is the same work in bare system calls.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Bench;
use crate::command::{after, has_ended, succeed, timed, wait_until};
use crate::table::{Runner, head, interleave, report};

pub fn measure(bench: &Bench) {
    head();
    let plain = bench.bundle("true", "\"true\"");
    let (rounds, few) = (bench.rounds, bench.rounds.div_ceil(3));
    let (no_pause, pause) = (Duration::ZERO, Duration::from_millis(150));
    let samples = interleave(rounds, no_pause, bench.runs(&plain, &[]));
    report(
        "one OCI container, `run` of `true`",
        &samples,
        0,
        &[("crun", 0.6), ("runc", 0.25), ("the floor", 1.5)],
    );
    // As a person or a test would start containers.
    let samples = interleave(few, pause, bench.runs(&plain, &[]));
    report("the same, 150 ms after anything else", &samples, 0, &[("crun", 0.25)]);
    let filtered = bench.bundle_from("filtered", filtered(&bench.config.replace("\"sh\"", "\"true\"")));
    let samples = interleave(few, no_pause, bench.runs(&filtered, &["-s"]));
    report("the same with a filter as docker's, 380 system calls", &samples, 0, &[("crun", 0.25)]);

    let samples = interleave(few, no_pause, bench.steps());
    let kinds = ["create", "start", "state", "exec of `true`", "delete of what has ended"];
    for (kind, work) in kinds.iter().enumerate() {
        let reach: &[(&str, f64)] = if work.starts_with("exec") { &[("crun", 0.5)] } else { &[] };
        report(&format!("OCI {work}"), &samples, kind, reach);
    }
    bench.peak(&plain);
}

impl Bench {
    /// `run` of a bundle with each runtime, and the floor with its own options for the same.
    fn runs<'a>(&'a self, bundle: &'a Path, floor: &'a [&'a str]) -> Vec<Runner<'a>> {
        let run = |name: &'static str| -> Runner<'a> {
            let run = move |round: usize| {
                let id = format!("bench-{round}");
                vec![timed(self.runtime(name).args(["run", "--bundle"]).arg(bundle).arg(id))]
            };
            (name, Box::new(run))
        };
        let mut runners: Vec<Runner> = self.runtimes().into_iter().map(run).collect();
        runners.push((
            "the floor",
            Box::new(move |_| {
                let mut command = Command::new(self.tools.join("floor"));
                vec![timed(command.args(floor).arg(&self.rootfs).arg("/bin/true"))]
            }),
        ));
        runners
    }

    /// The verbs one after the other, on a container that sleeps.
    fn steps(&self) -> Vec<Runner<'_>> {
        let bundle = self.bundle("sleep", "\"sleep\", \"100000\"");
        let steps = |name: &'static str| -> Runner<'_> {
            let bundle = bundle.clone();
            let steps = move |round: usize| {
                let id = format!("bench-{round}");
                let create = timed(self.runtime(name).args(["create", "--bundle"]).arg(&bundle).arg(&id));
                let start = timed(self.runtime(name).args(["start", &id]));
                let state = timed(self.runtime(name).args(["state", &id]));
                let exec = timed(self.runtime(name).args(["exec", &id, "true"]));
                let said = succeed(self.runtime(name).args(["state", &id]));
                let pid = after(&said, "\"pid\"").expect("a pid in the state");
                succeed(self.runtime(name).args(["kill", &id, "KILL"]));
                wait_until("the end of a container", || has_ended(&pid));
                let delete = timed(self.runtime(name).args(["delete", &id]));
                vec![create, start, state, exec, delete]
            };
            (name, Box::new(steps))
        };
        self.runtimes().into_iter().map(steps).collect()
    }

    /// The most memory that a process of the runtime has while it runs a container.
    fn peak(&self, bundle: &Path) {
        println!("\n| peak resident set of `run` | KiB | barepod takes × of it |");
        println!("|---|---:|---:|");
        let mut ours = 0.0;
        for name in self.runtimes() {
            let runtime = self.runtime(name);
            let mut command = Command::new(self.tools.join("peak"));
            command.arg(runtime.get_program()).args(runtime.get_args());
            let kib = succeed(command.args(["run", "--bundle"]).arg(bundle).arg("bench-peak"));
            let kib: f64 = kib.trim().parse().expect("a number of KiB");
            if name == "barepod-oci" {
                ours = kib;
                println!("| {name} | {kib} | |");
            } else {
                println!("| {name} | {kib} | {:.2} |", ours / kib);
            }
        }
    }
}

/// A configuration with a filter of the kind that docker puts over every container: a long list of what is allowed, some calls
/// by their arguments.
fn filtered(config: &str) -> String {
    let calls: Vec<String> =
        include_str!("calls.txt").split_whitespace().map(|name| format!("{name:?}")).collect();
    let architectures = match std::env::consts::ARCH {
        "aarch64" => r#""SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM""#,
        _ => r#""SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32""#,
    };
    let with = |name: &str, argument: &str| {
        format!(r#"{{"names": ["{name}"], "action": "SCMP_ACT_ALLOW", "args": [{argument}]}}"#)
    };
    // Whole personalities, and clone without the flags of new namespaces.
    let mut rules: Vec<String> = [0u32, 8, 0x2_0000, 0x2_0008, 0xffff_ffff]
        .map(|value| {
            with("personality", &format!(r#"{{"index": 0, "value": {value}, "op": "SCMP_CMP_EQ"}}"#))
        })
        .to_vec();
    let namespaces = r#"{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}"#;
    rules.push(with("clone", namespaces));
    let seccomp = format!(
        r#""seccomp": {{"defaultAction": "SCMP_ACT_ERRNO", "architectures": [{architectures}],
        "syscalls": [{{"names": [{}], "action": "SCMP_ACT_ALLOW"}}, {}]}}, "#,
        calls.join(", "),
        rules.join(", ")
    );
    config.replacen("\"maskedPaths\"", &format!("{seccomp}\"maskedPaths\""), 1)
}

/// A container that sleeps, by this id; the pid of its process.
pub fn sleeper(bench: &Bench, runtime: &str, id: &str) -> String {
    let bundle = bench.bundle("sleep", "\"sleep\", \"100000\"");
    succeed(bench.runtime(runtime).args(["run", "--detach", "--bundle"]).arg(bundle).arg(id));
    let state = succeed(bench.runtime(runtime).args(["state", id]));
    let pid = after(&state, "\"pid\"").expect("a pid in the state");
    assert!(fs::exists(format!("/proc/{pid}")).unwrap_or(false), "{runtime}: {id} does not run");
    pid
}
