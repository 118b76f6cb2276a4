//! Scenarios of the kubelet's own node tests, replayed on the built binary. The number is the scenario's id. `program`
//! inside a container logs Starting, Started and Exiting to a directory of the host (see `support`).

mod support;

use support::*;

/// A pod whose containers are given as (list, name, restartPolicy Always?, program arguments, more YAML).
struct Spec {
    inits: Vec<String>,
    containers: Vec<String>,
    policy: &'static str,
    grace: u64,
}

impl Spec {
    fn new(policy: &'static str) -> Spec {
        Spec { inits: Vec::new(), containers: Vec::new(), policy, grace: 30 }
    }

    /// `arguments`: startDelay duration exitCode termDelay, in seconds.
    fn container(name: &str, arguments: [u32; 4], more: &str) -> String {
        let [delay, duration, code, term] = arguments;
        let mut text = format!(
            "  - name: {name}\n    image: box\n    command: [program, {name}, '{delay}', '{duration}', '{code}', '{term}']\n    volumeMounts: [{{name: persistent, mountPath: /persistent}}]\n"
        );
        for line in more.lines() {
            text.push_str(&format!("    {line}\n"));
        }
        text
    }

    fn init(mut self, name: &str, arguments: [u32; 4]) -> Spec {
        self.inits.push(Spec::container(name, arguments, ""));
        self
    }

    fn sidecar(mut self, name: &str, arguments: [u32; 4], more: &str) -> Spec {
        self.inits.push(Spec::container(name, arguments, &format!("restartPolicy: Always\n{more}")));
        self
    }

    fn app(mut self, name: &str, arguments: [u32; 4], more: &str) -> Spec {
        self.containers.push(Spec::container(name, arguments, more));
        self
    }

    fn manifest(&self, lab: &Lab, name: &str) -> String {
        let Spec { policy, grace, .. } = self;
        let persistent = lab.persistent();
        let inits = if self.inits.is_empty() {
            String::new()
        } else {
            format!("  initContainers:\n{}", self.inits.concat())
        };
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: {policy}\n  terminationGracePeriodSeconds: {grace}\n{inits}  containers:\n{}  volumes:\n  - name: persistent\n    hostPath: {{path: {}}}\n",
            self.containers.concat(),
            persistent.display()
        )
    }
}

/// `lifecycle` with a hook that logs as the containers do, under its own name.
fn hook(kind: &str, name: &str, seconds: u32) -> String {
    format!("lifecycle: {{{kind}: {{exec: {{command: [program, {name}, '0', '{seconds}', '0', '0']}}}}}}")
}

const RUNS_ON: u32 = 600;

#[test]
fn l1_init_containers_run_serially_before_a_regular_one() {
    let lab = Lab::new();
    let startup =
        "startupProbe: {exec: {command: [test, -f, started]}, periodSeconds: 1, failureThreshold: 60}";
    let spec = Spec::new("Never")
        .init("init-1", [0, 1, 0, 0])
        .init("init-2", [0, 1, 0, 0])
        .init("init-3", [0, 1, 0, 0])
        .app("regular-1", [5, 1, 0, 0], startup);
    lab.start(&spec.manifest(&lab, "l1"));
    assert_eq!(lab.wait_ended("l1", 60), "Succeeded");
    let seen = lab.testimony();
    for (a, b) in [("init-1", "init-2"), ("init-2", "init-3"), ("init-3", "regular-1")] {
        seen.starts_before(a, b);
        seen.exits_before(a, b);
        seen.over_before(a, b);
    }
}

#[test]
fn l2_no_regular_container_runs_if_an_init_fails() {
    let lab = Lab::new();
    let spec = Spec::new("Never").init("init-1", [0, 1, 1, 0]).app("regular-1", [0, 1, 0, 0], "");
    lab.start(&spec.manifest(&lab, "l2"));
    assert_eq!(lab.wait_ended("l2", 60), "Failed");
    let seen = lab.testimony();
    seen.first("init-1", "Started");
    seen.first("init-1", "Exiting");
    seen.never("regular-1");
}

#[test]
fn l4_a_failing_container_is_restarted_with_back_off() {
    let lab = Lab::new();
    let spec = Spec::new("Always").app("regular-1", [0, 1, 1, 0], "");
    lab.start(&spec.manifest(&lab, "l4"));
    lab.until("three restarts", seconds(120), || lab.restarts("l4", "regular-1") >= 3);
    let seen = lab.testimony();
    let (starts, exits) = (seen.all("regular-1", "Starting"), seen.all("regular-1", "Exiting"));
    for (n, delay) in [0.0, 10.0, 20.0].into_iter().enumerate() {
        let pause = starts[n + 1] - exits[n];
        assert!(pause >= delay - 0.05, "restart {n} came after {pause} s, back-off is {delay} s");
        // Exact, where a kubelet adds up to ten seconds; what is left is the machine's.
        assert!(
            pause < delay + 2.0 * f64::from(slowdown()),
            "restart {n} came after {pause} s, back-off is {delay} s"
        );
    }
}

#[test]
fn l5_the_second_container_waits_for_the_first_ones_post_start() {
    let lab = Lab::new();
    let spec = Spec::new("Never")
        .app("regular-1", [0, 10, 0, 0], &hook("postStart", "PostStart-regular-1", 1))
        .app("regular-2", [0, 1, 0, 0], "");
    lab.start(&spec.manifest(&lab, "l5"));
    assert_eq!(lab.wait_ended("l5", 60), "Succeeded");
    let seen = lab.testimony();
    seen.starts_before("PostStart-regular-1", "regular-2");
    seen.exits_before("PostStart-regular-1", "regular-2");
    seen.over_before("PostStart-regular-1", "regular-2");
}

#[test]
fn l7_a_regular_container_restarts_and_inits_do_not() {
    let lab = Lab::new();
    let mut spec = Spec::new("Always");
    for name in ["init-1", "init-2", "init-3"] {
        spec = spec.init(name, [0, 1, 0, 0]);
    }
    let spec = spec.app("regular-1", [0, 10, 255, 0], "");
    lab.start(&spec.manifest(&lab, "l7"));
    lab.until("three restarts", seconds(120), || lab.restarts("l7", "regular-1") >= 3);
    let seen = lab.testimony();
    for (a, b) in [("init-1", "init-2"), ("init-2", "init-3"), ("init-3", "regular-1")] {
        seen.over_before(a, b);
    }
    for name in ["init-1", "init-2", "init-3"] {
        assert_eq!(seen.starts(name), 1, "{name} was restarted");
    }
    assert!(seen.starts("regular-1") >= 2);
}

#[test]
fn l14_three_inits_and_two_sidecars() {
    let lab = Lab::new();
    let spec = Spec::new("Never")
        .init("init-1", [0, 1, 0, 0])
        .sidecar("restartable-init-1", [0, RUNS_ON, 0, 0], "")
        .init("init-2", [0, 1, 0, 0])
        .sidecar("restartable-init-2", [0, RUNS_ON, 0, 0], "")
        .init("init-3", [0, 1, 0, 0])
        .app("regular-1", [0, 1, 0, 0], "");
    lab.start(&spec.manifest(&lab, "l14"));
    assert_eq!(lab.wait_ended("l14", 300), "Succeeded");
    let seen = lab.testimony();
    let (one, two) = ("restartable-init-1", "restartable-init-2");
    seen.over_before("init-1", one);
    seen.together(one, "init-2");
    seen.over_before("init-2", two);
    seen.together(one, two);
    seen.together(one, "init-3");
    seen.together(two, "init-3");
    seen.over_before("init-3", "regular-1");
    seen.together(one, "regular-1");
    seen.together(two, "regular-1");
}

#[test]
fn l15_a_sidecar_that_runs_on_does_not_keep_the_pod_alive() {
    let lab = Lab::new();
    let spec = Spec::new("Never").sidecar("restartable-init-1", [0, RUNS_ON, 0, 0], "").app(
        "regular-1",
        [0, 1, 0, 0],
        "",
    );
    lab.start(&spec.manifest(&lab, "l15"));
    assert_eq!(lab.wait_ended("l15", 300), "Succeeded");
    let seen = lab.testimony();
    assert_eq!(seen.starts("restartable-init-1"), 1);
    seen.first("regular-1", "Exiting");
}

const SIDECARS: [&str; 3] = ["restartable-init-1", "restartable-init-2", "restartable-init-3"];

/// Exit code and reason of a container that has ended.
fn ended(lab: &Lab, pod: &str, container: &str) -> (i64, String) {
    let terminated = &lab.status(pod, container)["state"]["terminated"];
    (terminated["exitCode"].as_i64().unwrap(), terminated["reason"].as_str().unwrap().to_owned())
}

#[test]
fn l36_sidecars_end_in_reverse_order_after_the_main_container() {
    let lab = Lab::new();
    let mut spec = Spec::new("Never");
    for name in SIDECARS {
        spec = spec.sidecar(name, [0, 60, 0, 5], "");
    }
    lab.start(&spec.app("regular-1", [0, 5, 0, 0], "").manifest(&lab, "l36"));
    assert_eq!(lab.wait_ended("l36", 120), "Succeeded");
    let seen = lab.testimony();
    // A sidecar without startup probe has started when it runs, and its program's first words race with the next one's.
    let started =
        |name: &str| lab.status("l36", name)["state"]["terminated"]["startedAt"].as_str().unwrap().to_owned();
    for (a, b) in [(0, 1), (1, 2)] {
        assert!(started(SIDECARS[a]) < started(SIDECARS[b]));
        seen.exits_before(SIDECARS[b], SIDECARS[a]);
    }
    assert!(started(SIDECARS[2]) < started("regular-1"));
    seen.exits_before("regular-1", SIDECARS[2]);
    for name in SIDECARS {
        assert_eq!(ended(&lab, "l36", name), (0, "Completed".to_owned()), "{name}");
    }
}

#[test]
fn l38_the_pre_stops_of_sidecars_begin_together() {
    let lab = Lab::new();
    let mut spec = Spec::new("Never");
    for name in SIDECARS {
        spec = spec.sidecar(name, [0, 60, 0, 5], &hook("preStop", &format!("PreStop-{name}"), 1));
    }
    lab.start(&spec.app("regular-1", [0, 5, 0, 0], "").manifest(&lab, "l38"));
    assert_eq!(lab.wait_ended("l38", 120), "Succeeded");
    let seen = lab.testimony();
    let begins: Vec<f64> =
        SIDECARS.iter().map(|name| seen.first(&format!("PreStop-{name}"), "Starting")).collect();
    let spread =
        begins.iter().cloned().fold(f64::MIN, f64::max) - begins.iter().cloned().fold(f64::MAX, f64::min);
    assert!(spread < 1.0 * f64::from(slowdown()), "they began within {spread} s");
    seen.exits_before("regular-1", SIDECARS[2]);
    seen.exits_before(SIDECARS[2], SIDECARS[1]);
    seen.exits_before(SIDECARS[1], SIDECARS[0]);
    for name in SIDECARS {
        assert_eq!(ended(&lab, "l38", name), (0, "Completed".to_owned()), "{name}");
    }
}

#[test]
fn l41_a_sidecar_that_exits_non_zero_on_termination_does_not_fail_the_pod() {
    let lab = Lab::new();
    let spec = Spec::new("Never")
        .sidecar(SIDECARS[0], [0, RUNS_ON, 0, 1], "")
        .sidecar(SIDECARS[1], [0, RUNS_ON, 1, 1], "")
        .sidecar(SIDECARS[2], [0, RUNS_ON, 0, 1], "")
        .app("regular-1", [0, RUNS_ON, 0, 1], "");
    lab.start(&spec.manifest(&lab, "l41"));
    lab.until("the app to start", seconds(60), || !lab.testimony().all("regular-1", "Started").is_empty());
    lab.ok(&["stop", "l41", "-t", "30"]);
    assert_eq!(lab.phase("l41"), "Succeeded");
    assert_eq!(ended(&lab, "l41", "regular-1"), (0, "Completed".to_owned()));
    assert_eq!(ended(&lab, "l41", SIDECARS[0]), (0, "Completed".to_owned()));
    assert_eq!(ended(&lab, "l41", SIDECARS[1]), (1, "Error".to_owned()));
    assert_eq!(ended(&lab, "l41", SIDECARS[2]), (0, "Completed".to_owned()));
}

#[test]
fn l43_a_regular_container_that_exceeds_the_grace_period_is_killed_and_the_pod_failed() {
    let lab = Lab::new();
    let mut spec = Spec::new("Never")
        .sidecar(SIDECARS[0], [0, RUNS_ON, 0, 20], "")
        .sidecar(SIDECARS[1], [0, RUNS_ON, 0, 1], "")
        .sidecar(SIDECARS[2], [0, RUNS_ON, 0, 20], "")
        .app("regular-1", [0, RUNS_ON, 0, 20], "");
    spec.grace = 5;
    lab.start(&spec.manifest(&lab, "l43"));
    lab.until("the app to start", seconds(60), || !lab.testimony().all("regular-1", "Started").is_empty());
    lab.ok(&["stop", "l43", "-t", "5"]);
    assert_eq!(lab.phase("l43"), "Failed");
    for (name, end) in [("regular-1", 137), (SIDECARS[0], 137), (SIDECARS[1], 0), (SIDECARS[2], 137)] {
        let reason = if end == 0 { "Completed" } else { "Error" };
        assert_eq!(ended(&lab, "l43", name), (end, reason.to_owned()), "{name}");
    }
}
