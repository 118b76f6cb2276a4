//! Scenarios of the kubelet's own node tests, replayed on the built binary. The first words of a test's comment are the
//! ids of its scenarios (L), or of the rules (R) that it looks at. Where a scenario takes minutes, times and back-off are shorter here, in the same proportions.
//!
//! `program` inside a container logs Starting, Started and Exiting to a directory of the host (see `support`).

mod support;

mod scenarios {
    mod ends;
    mod hooks;
    mod probes;
    mod restarts;
    mod rules;
    mod starts;
}

use std::collections::BTreeSet;
use std::time::SystemTime;

use support::*;

/// A pod. Programs are given as startDelay, duration, exitCode, termDelay, in seconds.
struct Pod {
    policy: &'static str,
    grace: u64,
    inits: String,
    apps: String,
    /// Further lines of `spec`.
    spec: String,
}

const RUNS_ON: u32 = 600;
const SIDECARS: [&str; 3] = ["restartable-init-1", "restartable-init-2", "restartable-init-3"];

impl Pod {
    fn new(policy: &'static str) -> Pod {
        Pod { policy, grace: 30, inits: String::new(), apps: String::new(), spec: String::new() }
    }

    fn grace(self, grace: u64) -> Pod {
        Pod { grace, ..self }
    }

    fn init(mut self, name: &str, program: [u32; 4], more: &str) -> Pod {
        self.inits += &entry(name, &format!("{}\n{more}", command(name, program)));
        self
    }

    fn sidecar(self, name: &str, program: [u32; 4], more: &str) -> Pod {
        self.sidecar_of(name, &command(name, program), more)
    }

    fn app(self, name: &str, program: [u32; 4], more: &str) -> Pod {
        self.app_of(name, &command(name, program), more)
    }

    /// A sidecar that runs something else.
    fn sidecar_of(mut self, name: &str, command: &str, more: &str) -> Pod {
        self.inits += &entry(name, &format!("{command}\nrestartPolicy: Always\n{more}"));
        self
    }

    /// An app that runs something else.
    fn app_of(mut self, name: &str, command: &str, more: &str) -> Pod {
        self.apps += &entry(name, &format!("{command}\n{more}"));
        self
    }

    /// The same container once as a sidecar and once as an app; `each` gets its name and a port of its own.
    fn both(self, each: impl Fn(&str, u16) -> (String, String)) -> Pod {
        let (command, more) = each("sidecar", 8081);
        let pod = self.sidecar_of("sidecar", &command, &more);
        let (command, more) = each("app", 8082);
        pod.app_of("app", &command, &more)
    }

    fn manifest(&self, lab: &Lab, name: &str) -> String {
        let Pod { policy, grace, inits, apps, spec } = self;
        let inits = if inits.is_empty() { String::new() } else { format!("  initContainers:\n{inits}") };
        let persistent = lab.persistent();
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: {policy}\n  \
terminationGracePeriodSeconds: {grace}\n{spec}{inits}  containers:\n{apps}  volumes:\n  \
- {{name: persistent, hostPath: {{path: {}}}}}\n  - {{name: shared, emptyDir: {{medium: Memory}}}}\n",
            persistent.display()
        )
    }

    fn start(&self, lab: &Lab, name: &str) {
        lab.start(&self.manifest(lab, name));
    }

    /// The same with every restart but the first after so many seconds.
    fn start_quick(&self, lab: &Lab, name: &str, back_off: u32) {
        let path = lab.manifest(&self.manifest(lab, name));
        lab.ok(&["run", "-d", "--crash-loop-max", &format!("{back_off}s"), &path]);
    }
}

/// An entry of `initContainers` or `containers`.
fn entry(name: &str, lines: &str) -> String {
    let mounts =
        "volumeMounts: [{name: persistent, mountPath: /persistent}, {name: shared, mountPath: /shared}]";
    let lines = format!("image: box\n{mounts}\n{lines}");
    let indented: Vec<String> = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("  - name: {name}\n{}", indented.concat())
}

/// `command` of the witness program.
fn command(name: &str, [delay, duration, code, term]: [u32; 4]) -> String {
    format!("command: [program, {name}, '{delay}', '{duration}', '{code}', '{term}']")
}

/// `command` of a shell script.
fn script(text: &str) -> String {
    format!("command: [sh, -c, {}]", serde_json::to_string(text).unwrap())
}

/// A script that answers every HTTP request at this port with what `answer` prints, which knows the request's `$path`;
/// meanwhile `beside` runs.
fn server(port: u16, answer: &str, beside: &str) -> String {
    let read =
        "read -r method path version; while read -r line && [ \"$line\" != \"$(printf '\\r')\" ]; do :; done";
    let status = "answer() { printf 'HTTP/1.0 %s\\r\\n\\r\\n' \"$1\"; }";
    let serve = serde_json::to_string(&format!("{status}; {read}; {answer}")).unwrap().replace('$', "\\$");
    script(&format!("trap 'exit 0' TERM; nc -ll -p {port} -e sh -c {serve} & {beside}; wait"))
}

/// `lifecycle` with a hook that logs as the containers do, under its own name.
fn hook(kind: &str, name: &str, seconds: u32) -> String {
    format!("lifecycle: {{{kind}: {{exec: {{command: [program, {name}, '0', '{seconds}', '0', '0']}}}}}}")
}

/// An exec probe that has time enough on any machine, and more fields of it.
fn exec_probe(kind: &str, command: &str, more: &str) -> String {
    let timeout = seconds(5).as_secs();
    format!("{kind}: {{exec: {{command: {command}}}, timeoutSeconds: {timeout}, {more}}}")
}

/// A startup probe that succeeds when the program of the container has started.
fn when_started() -> String {
    exec_probe("startupProbe", "[test, -f, started]", "periodSeconds: 1, failureThreshold: 100")
}

/// Exit code and reason of a container that has ended.
fn ended(lab: &Lab, pod: &str, container: &str) -> (i64, String) {
    let terminated = &lab.status(pod, container)["state"]["terminated"];
    (terminated["exitCode"].as_i64().unwrap(), terminated["reason"].as_str().unwrap().to_owned())
}

fn completed() -> (i64, String) {
    (0, "Completed".to_owned())
}

fn is_running(lab: &Lab, pod: &str, container: &str) -> bool {
    lab.status(pod, container)["state"]["running"].is_object()
}

fn condition(lab: &Lab, pod: &str, kind: &str) -> Value {
    let object = lab.inspect(pod);
    let conditions = object["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == kind).unwrap().clone()
}

/// A time of the Pod object.
fn time(value: &Value) -> SystemTime {
    humantime::parse_rfc3339(value.as_str().unwrap()).unwrap()
}

/// Seconds from one time of the Pod object to another.
fn seconds_between(from: &Value, to: &Value) -> f64 {
    time(to).duration_since(time(from)).unwrap().as_secs_f64()
}

fn until_restarted(lab: &Lab, pod: &str, container: &str, times: u64) {
    let what = format!("{container} to be restarted {times} times");
    lab.until(&what, seconds(60), || lab.restarts(pod, container) >= times);
}

fn until_started(lab: &Lab, name: &str) {
    lab.until(&format!("{name} to start"), seconds(60), || !lab.testimony().all(name, "Started").is_empty());
}

/// Every scenario that is replayed, in order.
const ALL: [&str; 42] = [
    "L1", "L2", "L4", "L5", "L7", "L10", "L12", "L14", "L15", "L17", "L19", "L25", "L33", "L34", "L36",
    "L38", "L41", "L43", "L47", "L66", "L68", "L70", "L72", "L76", "L78", "L81", "L83", "L85", "L89", "L92",
    "L94", "L95", "L97", "L98", "L104", "L106", "L107", "L109", "L115", "L121", "L122", "L124",
];

#[test]
fn every_scenario_has_its_test() {
    let sources = [
        include_str!("scenarios/ends.rs"),
        include_str!("scenarios/hooks.rs"),
        include_str!("scenarios/probes.rs"),
        include_str!("scenarios/restarts.rs"),
        include_str!("scenarios/rules.rs"),
        include_str!("scenarios/starts.rs"),
    ];
    let mut found = BTreeSet::new();
    let lines: Vec<&str> = sources.iter().flat_map(|source| source.lines()).collect();
    for pair in lines.windows(2).filter(|pair| pair[1] == "#[test]") {
        let ids = pair[0].strip_prefix("/// ").and_then(|comment| comment.split_once(": "));
        let (ids, _) = ids.unwrap_or_else(|| panic!("a test without an id after {:?}", pair[0]));
        found.extend(ids.split(", ").filter(|id| id.starts_with('L')));
    }
    let all = BTreeSet::from(ALL);
    let missing: Vec<_> = all.difference(&found).collect();
    let unknown: Vec<_> = found.difference(&all).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing: {missing:?}, unknown: {unknown:?}");
}
