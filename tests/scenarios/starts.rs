//! In which order containers start.

use crate::support::*;
use crate::*;

/// L1: init containers serially before a regular one.
#[test]
fn init_containers_run_serially_before_a_regular_one() {
    let lab = Lab::new();
    let pod = Pod::new("Never")
        .init("init-1", [0, 1, 0, 0], "")
        .init("init-2", [0, 1, 0, 0], "")
        .init("init-3", [0, 1, 0, 0], "")
        .app("regular-1", [5, 1, 0, 0], &when_started());
    pod.start(&lab, "l1");
    assert_eq!(lab.wait_ended("l1", 60), "Succeeded");
    let seen = lab.testimony();
    for (a, b) in [("init-1", "init-2"), ("init-2", "init-3"), ("init-3", "regular-1")] {
        seen.starts_before(a, b);
        seen.exits_before(a, b);
        seen.over_before(a, b);
    }
}

/// L2: no regular container if an init fails.
#[test]
fn no_regular_container_runs_if_an_init_fails() {
    let lab = Lab::new();
    Pod::new("Never").init("init-1", [0, 1, 1, 0], "").app("regular-1", [0, 1, 0, 0], "").start(&lab, "l2");
    assert_eq!(lab.wait_ended("l2", 60), "Failed");
    let seen = lab.testimony();
    seen.first("init-1", "Started");
    seen.first("init-1", "Exiting");
    seen.never("regular-1");
}

/// L14: three inits and two sidecars in one sequence.
#[test]
fn three_inits_and_two_sidecars_start_in_list_order() {
    let lab = Lab::new();
    let (one, two) = ("restartable-init-1", "restartable-init-2");
    let pod = Pod::new("Never")
        .init("init-1", [0, 1, 0, 0], "")
        .sidecar(one, [0, RUNS_ON, 0, 0], "")
        .init("init-2", [0, 1, 0, 0], "")
        .sidecar(two, [0, RUNS_ON, 0, 0], "")
        .init("init-3", [0, 1, 0, 0], "")
        .app("regular-1", [0, 1, 0, 0], "");
    pod.start(&lab, "l14");
    assert_eq!(lab.wait_ended("l14", 300), "Succeeded");
    let seen = lab.testimony();
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

/// L19: an init before the sidecar fails.
#[test]
fn neither_sidecar_nor_app_runs_if_the_init_before_them_fails() {
    let lab = Lab::new();
    let pod = Pod::new("Never")
        .init("init-1", [0, 1, 1, 0], "")
        .sidecar(SIDECARS[0], [0, RUNS_ON, 0, 0], "")
        .app("regular-1", [0, RUNS_ON, 0, 0], "");
    pod.start(&lab, "l19");
    assert_eq!(lab.wait_ended("l19", 60), "Failed");
    let seen = lab.testimony();
    seen.first("init-1", "Exiting");
    seen.never(SIDECARS[0]);
    seen.never("regular-1");
}

/// L33: sidecars serially by their startup probes.
#[test]
fn what_comes_after_a_sidecar_waits_for_its_startup_probe() {
    let lab = Lab::new();
    let pod = Pod::new("Never")
        .sidecar(SIDECARS[0], [3, RUNS_ON, 0, 0], &when_started())
        .sidecar(SIDECARS[1], [3, RUNS_ON, 0, 0], &when_started())
        .app("regular-1", [0, 1, 0, 0], "");
    pod.start(&lab, "l33");
    assert_eq!(lab.wait_ended("l33", 60), "Succeeded");
    let seen = lab.testimony();
    seen.starts_before(SIDECARS[0], SIDECARS[1]);
    seen.starts_before(SIDECARS[1], "regular-1");
}

/// L34: a sidecar's startup probe fails: preStop runs, the next never starts.
#[test]
fn a_sidecar_whose_startup_probe_fails_is_stopped_and_started_again_and_holds_up_the_rest() {
    let lab = Lab::new();
    let more = exec_probe("startupProbe", "['false']", "initialDelaySeconds: 2, failureThreshold: 1")
        + "\n"
        + &hook("preStop", "PreStop", 1);
    let pod =
        Pod::new("Always").sidecar(SIDECARS[0], [0, RUNS_ON, 0, 2], &more).app("regular-1", [0, 1, 0, 0], "");
    pod.start_quick(&lab, "l34", 1);
    until_restarted(&lab, "l34", SIDECARS[0], 2);
    assert_eq!(lab.phase("l34"), "Pending");
    let seen = lab.testimony();
    seen.together(SIDECARS[0], "PreStop");
    seen.exits_before("PreStop", SIDECARS[0]);
    seen.never("regular-1");
}

/// L66: inits of a pod that never restarts.
#[test]
fn inits_that_have_succeeded_are_ready_and_the_pod_is_initialized() {
    let lab = Lab::new();
    Pod::new("Never")
        .init("init1", [0, 0, 0, 0], "")
        .init("init2", [0, 0, 0, 0], "")
        .app("run1", [0, 0, 0, 0], "")
        .start(&lab, "l66");
    assert_eq!(lab.wait_ended("l66", 60), "Succeeded");
    assert_eq!(condition(&lab, "l66", "Initialized")["status"], "True");
    for name in ["init1", "init2"] {
        assert_eq!(ended(&lab, "l66", name), completed());
        assert_eq!(lab.status("l66", name)["ready"], true);
    }
}

/// L68: a failing init of a pod that always restarts.
#[test]
fn while_an_init_fails_the_rest_waits_for_initialisation() {
    let lab = Lab::new();
    Pod::new("Always")
        .init("init1", [0, 0, 1, 0], "")
        .init("init2", [0, 0, 0, 0], "")
        .app("run1", [0, RUNS_ON, 0, 0], "")
        .start_quick(&lab, "l68", 1);
    lab.until("three restarts of init1", seconds(60), || {
        for name in ["init2", "run1"] {
            assert_eq!(lab.status("l68", name)["state"]["waiting"]["reason"], "PodInitializing", "{name}");
        }
        lab.restarts("l68", "init1") >= 3
    });
    assert_eq!(lab.phase("l68"), "Pending");
    let initialized = condition(&lab, "l68", "Initialized");
    assert_eq!(initialized["status"], "False");
    assert_eq!(initialized["reason"], "ContainersNotInitialized");
    assert_eq!(initialized["message"], "containers with incomplete status: [init1 init2]");
}
