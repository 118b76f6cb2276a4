//! Who is restarted, and when.

use crate::support::*;
use crate::*;

/// L4: a failing container is restarted, Always.
#[test]
fn a_failing_container_is_restarted_with_back_off() {
    let lab = Lab::new();
    Pod::new("Always").app("regular-1", [0, 1, 1, 0], "").start(&lab, "l4");
    until_restarted(&lab, "l4", "regular-1", 3);
    let seen = lab.testimony();
    let (starts, exits) = (seen.all("regular-1", "Starting"), seen.all("regular-1", "Exiting"));
    for (n, delay) in [0.0, 10.0, 20.0].into_iter().enumerate() {
        let pause = starts[n + 1] - exits[n];
        // Exact, where a kubelet adds up to ten seconds; what is left is the machine's.
        let late = 2.0 * f64::from(slowdown());
        assert!(
            (delay - 0.05..delay + late).contains(&pause),
            "restart {n} came after {pause} s, back-off is {delay} s"
        );
    }
}

/// L7: a regular container restarts, inits do not.
#[test]
fn a_regular_container_restarts_and_inits_do_not() {
    let lab = Lab::new();
    let mut pod = Pod::new("Always");
    for name in ["init-1", "init-2", "init-3"] {
        pod = pod.init(name, [0, 1, 0, 0], "");
    }
    pod.app("regular-1", [0, 2, 255, 0], "").start_quick(&lab, "l7", 1);
    until_restarted(&lab, "l7", "regular-1", 3);
    let seen = lab.testimony();
    for (a, b) in [("init-1", "init-2"), ("init-2", "init-3"), ("init-3", "regular-1")] {
        seen.over_before(a, b);
    }
    for name in ["init-1", "init-2", "init-3"] {
        assert_eq!(seen.starts(name), 1, "{name} was restarted");
    }
    assert!(seen.starts("regular-1") >= 2);
}

/// L15: a sidecar runs on.
#[test]
fn a_sidecar_that_runs_on_does_not_keep_the_pod_alive() {
    let lab = Lab::new();
    Pod::new("Never")
        .sidecar(SIDECARS[0], [0, RUNS_ON, 0, 0], "")
        .app("regular-1", [0, 1, 0, 0], "")
        .start(&lab, "l15");
    assert_eq!(lab.wait_ended("l15", 300), "Succeeded");
    let seen = lab.testimony();
    assert_eq!(seen.starts(SIDECARS[0]), 1);
    seen.first("regular-1", "Exiting");
}

/// L17: a sidecar exits 0 again and again, Never.
#[test]
fn a_sidecar_that_exits_with_0_comes_back_also_in_a_pod_that_never_restarts() {
    let lab = Lab::new();
    Pod::new("Never")
        .sidecar(SIDECARS[0], [0, 2, 0, 0], "")
        .init("init-1", [0, 3, 0, 0], "")
        .app("regular-1", [0, 8, 0, 0], "")
        .start_quick(&lab, "l17", 1);
    assert_eq!(lab.wait_ended("l17", 300), "Succeeded");
    let seen = lab.testimony();
    seen.starts_before(SIDECARS[0], "regular-1");
    let regular = seen.first("regular-1", "Started");
    assert!(seen.all(SIDECARS[0], "Starting").iter().any(|start| *start > regular), "{:#?}", seen.lines);
    seen.first("regular-1", "Exiting");
}

/// L25: an init before the sidecar keeps failing, OnFailure.
#[test]
fn an_init_that_keeps_failing_keeps_the_pod_pending() {
    let lab = Lab::new();
    Pod::new("OnFailure")
        .init("init-1", [0, 1, 1, 0], "")
        .sidecar(SIDECARS[0], [0, RUNS_ON, 0, 0], "")
        .app("regular-1", [0, RUNS_ON, 0, 0], "")
        .start_quick(&lab, "l25", 1);
    lab.until("three restarts", seconds(60), || {
        assert_eq!(lab.phase("l25"), "Pending");
        lab.restarts("l25", "init-1") >= 3
    });
    assert!(lab.testimony().starts("init-1") >= 3);
    lab.testimony().never(SIDECARS[0]);
}

/// L47: a sidecar with a startup probe fails once and recovers.
#[test]
fn a_sidecar_that_fails_once_recovers_and_the_app_starts() {
    let lab = Lab::new();
    let buggy = format!("[ -f /shared/marker ] || {{ : > /shared/marker; exit 1; }}; {UNTIL_TERM}");
    let probe = |more| exec_probe("startupProbe", "['true']", more);
    Pod::new("Never")
        .sidecar_of("buggy", &script(&buggy), &probe("initialDelaySeconds: 2, periodSeconds: 2"))
        .app_of("regular", &script(UNTIL_TERM), &probe("initialDelaySeconds: 1, periodSeconds: 5"))
        .start(&lab, "l47");
    lab.until("both to run", seconds(60), || {
        is_running(&lab, "l47", "buggy") && is_running(&lab, "l47", "regular")
    });
    assert!(lab.restarts("l47", "buggy") >= 1);
    let since = |name| lab.status("l47", name)["state"]["running"]["startedAt"].clone();
    assert!(seconds_between(&since("buggy"), &since("regular")) >= 2.0);
}

/// L104, L106, L107: restartPolicyRules and the container's own restartPolicy.
#[test]
fn a_containers_own_policy_and_rules_win_over_the_pods_policy() {
    let lab = Lab::new();
    let rule = "restartPolicy: Never\n\
        restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]";
    Pod::new("Never").app("main", [0, 0, 42, 0], rule).start(&lab, "l104");
    Pod::new("Always").app("main", [0, 0, 1, 0], "restartPolicy: Never").start(&lab, "l106");
    Pod::new("Never").app("main", [0, 0, 1, 0], "restartPolicy: Always").start(&lab, "l107");
    until_restarted(&lab, "l104", "main", 1);
    assert_eq!(lab.wait_ended("l106", 60), "Failed");
    assert_eq!(lab.restarts("l106", "main"), 0);
    until_restarted(&lab, "l107", "main", 1);
}

/// A container that exits with 42 the first time and runs on the second time, with the rule that restarts all.
fn source() -> (String, &'static str) {
    // Time for all others to start.
    let after = seconds(1).as_secs();
    let text =
        format!("[ -f /shared/marker ] || {{ : > /shared/marker; sleep {after}; exit 42; }}; {UNTIL_TERM}");
    let rule =
        "restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [42]}}]";
    (script(&text), rule)
}

/// L109: RestartAllContainers from a regular container.
#[test]
fn one_rule_restarts_all_containers_in_place() {
    let lab = Lab::new();
    let (command, rule) = source();
    let on = [0, RUNS_ON, 0, 20];
    // From an app; from a sidecar that others have started after.
    Pod::new("Never")
        .init("init", [0, 0, 0, 0], "")
        .sidecar("sidecar", on, &hook("preStop", "PreStop", 1))
        .app_of("source", &command, &format!("restartPolicy: Never\n{rule}"))
        .app("regular", on, "")
        .start(&lab, "from-an-app");
    Pod::new("Never")
        .init("init", [0, 0, 0, 0], "")
        .sidecar("sidecar", on, "")
        .sidecar_of("source", &command, rule)
        .app("regular", on, "")
        .start(&lab, "from-a-sidecar");
    for pod in ["from-an-app", "from-a-sidecar"] {
        let ip = lab.inspect(pod)["status"]["podIP"].clone();
        for name in ["init", "sidecar", "source", "regular"] {
            until_restarted(&lab, pod, name, 1);
        }
        lab.until("all to run", seconds(60), || {
            ["sidecar", "source", "regular"].iter().all(|name| is_running(&lab, pod, name))
        });
        for name in ["init", "sidecar", "source", "regular"] {
            assert_eq!(lab.restarts(pod, name), 1, "{name} of {pod}");
        }
        // Killed at once: neither SIGTERM, which the program would have said something about, nor preStop.
        assert_eq!(lab.status(pod, "regular")["lastState"]["terminated"]["exitCode"], 137);
        assert_eq!(lab.inspect(pod)["status"]["podIP"], ip);
        lab.ok(&["stop", pod, "-t", "1"]);
    }
    assert_eq!(lab.testimony().starts("PreStop"), 1, "only when the pod was stopped");
}

/// L121: restart policy and phase.
#[test]
fn the_restart_policy_decides_how_a_pod_whose_container_fails_first_goes_on() {
    let lab = Lab::new();
    let text = format!(
        "n=$(cat /shared/count 2>/dev/null || echo 0); n=$((n + 1)); echo $n > /shared/count\n\
         case $n in 1) exit 1 ;; 2) exit 0 ;; esac; {UNTIL_TERM}"
    );
    for (policy, name) in [("Always", "always"), ("OnFailure", "on-failure"), ("Never", "never")] {
        Pod::new(policy).app_of("main", &script(&text), "").start_quick(&lab, name, 1);
    }
    lab.until("the third run", seconds(60), || {
        lab.restarts("always", "main") == 2 && is_running(&lab, "always", "main")
    });
    assert_eq!(
        (lab.phase("always"), &lab.status("always", "main")["ready"]),
        ("Running".into(), &true.into())
    );
    for (name, restarts, phase) in [("on-failure", 1, "Succeeded"), ("never", 0, "Failed")] {
        assert_eq!(lab.wait_ended(name, 60), phase);
        let main = lab.status(name, "main");
        assert_eq!((lab.restarts(name, "main"), &main["ready"]), (restarts, &false.into()), "{name}");
        assert!(main["state"]["terminated"].is_object(), "{main}");
    }
}
