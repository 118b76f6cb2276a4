//! How pods end.

use crate::support::*;
use crate::*;

/// L36: sidecars end in reverse order after main.
#[test]
fn sidecars_end_in_reverse_order_after_the_main_container() {
    let lab = Lab::new();
    let mut pod = Pod::new("Never");
    for name in SIDECARS {
        pod = pod.sidecar(name, [0, 60, 0, 2], "");
    }
    pod.app("regular-1", [0, 3, 0, 0], "").start(&lab, "l36");
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
        assert_eq!(ended(&lab, "l36", name), completed(), "{name}");
    }
}

/// L38: sidecars' preStops begin simultaneously.
#[test]
fn the_pre_stops_of_sidecars_begin_together() {
    let lab = Lab::new();
    let mut pod = Pod::new("Never");
    for name in SIDECARS {
        pod = pod.sidecar(name, [0, 60, 0, 2], &hook("preStop", &format!("PreStop-{name}"), 1));
    }
    pod.app("regular-1", [0, 3, 0, 0], "").start(&lab, "l38");
    assert_eq!(lab.wait_ended("l38", 120), "Succeeded");
    let seen = lab.testimony();
    let begins: Vec<f64> =
        SIDECARS.iter().map(|name| seen.first(&format!("PreStop-{name}"), "Starting")).collect();
    let (first, last) =
        begins.iter().fold((f64::MAX, f64::MIN), |(min, max), at| (min.min(*at), max.max(*at)));
    assert!(last - first < f64::from(slowdown()), "they began within {} s", last - first);
    seen.exits_before("regular-1", SIDECARS[2]);
    seen.exits_before(SIDECARS[2], SIDECARS[1]);
    seen.exits_before(SIDECARS[1], SIDECARS[0]);
    for name in SIDECARS {
        assert_eq!(ended(&lab, "l38", name), completed(), "{name}");
    }
}

/// L41: a sidecar exits non-zero on SIGTERM.
#[test]
fn a_sidecar_that_exits_non_zero_on_termination_does_not_fail_the_pod() {
    let lab = Lab::new();
    Pod::new("Never")
        .sidecar(SIDECARS[0], [0, RUNS_ON, 0, 1], "")
        .sidecar(SIDECARS[1], [0, RUNS_ON, 1, 1], "")
        .sidecar(SIDECARS[2], [0, RUNS_ON, 0, 1], "")
        .app("regular-1", [0, RUNS_ON, 0, 1], "")
        .start(&lab, "l41");
    until_started(&lab, "regular-1");
    lab.ok(&["stop", "l41", "-t", "30"]);
    assert_eq!(lab.phase("l41"), "Succeeded");
    for name in ["regular-1", SIDECARS[0], SIDECARS[2]] {
        assert_eq!(ended(&lab, "l41", name), completed(), "{name}");
    }
    assert_eq!(ended(&lab, "l41", SIDECARS[1]), (1, "Error".to_owned()));
}

/// L43: a regular container exceeds the grace period.
#[test]
fn a_regular_container_that_exceeds_the_grace_period_is_killed_and_the_pod_failed() {
    let lab = Lab::new();
    Pod::new("Never")
        .grace(5)
        .sidecar(SIDECARS[0], [0, RUNS_ON, 0, 20], "")
        .sidecar(SIDECARS[1], [0, RUNS_ON, 0, 1], "")
        .sidecar(SIDECARS[2], [0, RUNS_ON, 0, 20], "")
        .app("regular-1", [0, RUNS_ON, 0, 20], "")
        .start(&lab, "l43");
    until_started(&lab, "regular-1");
    lab.ok(&["stop", "l43", "-t", "5"]);
    assert_eq!(lab.phase("l43"), "Failed");
    for name in ["regular-1", SIDECARS[0], SIDECARS[2]] {
        assert_eq!(ended(&lab, "l43", name), (137, "Error".to_owned()), "{name}");
    }
    assert_eq!(ended(&lab, "l43", SIDECARS[1]), completed());
}

/// L115: activeDeadlineSeconds.
#[test]
fn a_pod_that_lives_longer_than_its_deadline_has_failed() {
    let lab = Lab::new();
    let mut pod = Pod::new("Always").app("main", [0, RUNS_ON, 0, 0], "");
    pod.spec = "  activeDeadlineSeconds: 5\n".to_owned();
    pod.start(&lab, "l115");
    assert_eq!(lab.wait_ended("l115", 60), "Failed");
    let status = lab.inspect("l115")["status"].clone();
    assert_eq!(status["reason"], "DeadlineExceeded");
    let end = &status["containerStatuses"][0]["state"]["terminated"]["finishedAt"];
    assert!(seconds_between(&status["startTime"], end) >= 5.0, "{status}");
}

/// L122, L124: termination messages, from the file and from the log.
#[test]
fn the_termination_message_is_the_file_or_after_an_error_the_end_of_the_log() {
    let lab = Lab::new();
    Pod::new("Never").app_of("main", &script("printf DONE > /dev/termination-log"), "").start(&lab, "file");
    Pod::new("Never")
        .app_of("main", &script("printf DONE; exit 1"), "terminationMessagePolicy: FallbackToLogsOnError")
        .start(&lab, "log");
    for (name, phase) in [("file", "Succeeded"), ("log", "Failed")] {
        assert_eq!(lab.wait_ended(name, 60), phase);
        assert_eq!(lab.status(name, "main")["state"]["terminated"]["message"], "DONE", "{name}");
    }
}
