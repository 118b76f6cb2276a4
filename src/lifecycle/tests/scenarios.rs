//! Pods that Kubernetes' own node tests run, by the number of the scenario, with exact times where the rule is exact.

use crate::lifecycle::Phase::*;
use crate::lifecycle::RestartPolicy::*;
use crate::lifecycle::sim::*;
use crate::lifecycle::{Action, ContainerState};

fn is_running(sim: &Sim, name: &str) -> bool {
    matches!(sim.status(name).state, ContainerState::Running { .. })
}

#[test]
fn l1_init_containers_run_one_after_another_before_the_app() {
    let inits = ["init-1", "init-2", "init-3"].map(|name| init(name, run().d(1)));
    let regular = app("regular-1", run().sd(5).d(1)).startup(Answer::OnceStarted, probe(0, 10, 3));
    let mut sim = pod(Never, &[inits.to_vec(), vec![regular]].concat());
    assert_eq!(sim.run_to_end(), (Succeeded, 9));
    for (a, b) in [("init-1", "init-2"), ("init-2", "init-3"), ("init-3", "regular-1")] {
        assert!(sim.starts_before(a, b) && sim.exits_before(a, b) && sim.strictly_before(a, b), "{a} {b}");
    }
}

#[test]
fn l2_no_app_runs_if_an_init_fails() {
    let mut sim = pod(Never, &[init("init-1", run().d(1).e(1)), app("regular-1", run().d(1))]);
    assert_eq!(sim.run_to_end(), (Failed, 1));
    assert_eq!(sim.exits("init-1"), [1.0]);
    assert!(sim.never("regular-1"));
    assert_eq!(sim.waiting("regular-1"), "PodInitializing");
}

#[test]
fn l4_a_failing_app_is_restarted_after_0_10_20_40_80_160_300_300_seconds() {
    let mut sim = pod(Always, &[app("regular-1", run().d(1).e(1))]);
    sim.run_until(s(1000));
    let pauses: Vec<f64> = sim.starts("regular-1")[1..]
        .iter()
        .zip(sim.exits("regular-1"))
        .map(|(next, end)| next - end)
        .collect();
    assert_eq!(pauses, [0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]);
    assert_eq!(sim.status("regular-1").restart_count, 8);
}

#[test]
fn l5_the_second_app_waits_for_the_first_ones_post_start() {
    let mut sim = pod(Never, &[app("regular-1", run().d(10)).post_start(1), app("regular-2", run().d(1))]);
    assert_eq!(sim.run_to_end(), (Succeeded, 10));
    assert!(sim.strictly_before("PostStart-regular-1", "regular-2"));
    assert_eq!(sim.starts("regular-2"), [1.0]);
}

#[test]
fn l7_apps_restart_inits_do_not() {
    let inits = ["init-1", "init-2", "init-3"].map(|name| init(name, run().d(1)));
    let mut sim = pod(Always, &[inits.to_vec(), vec![app("regular-1", run().d(10).e(255))]].concat());
    sim.run_until(s(120));
    assert_eq!(sim.starts("regular-1"), [3.0, 13.0, 33.0, 63.0, 113.0]);
    for name in ["init-1", "init-2", "init-3"] {
        assert!(!sim.restarted(name));
    }
}

#[test]
fn l10_a_failed_startup_probe_runs_pre_stop_and_kills() {
    let regular = app("regular-1", run().d(100).t(15)).startup(Answer::Fail, probe(10, 10, 1)).pre_stop(1);
    let mut sim = pod(Never, &[regular]);
    assert_eq!(sim.run_to_end().1, 26);
    assert_eq!(sim.starts("PreStop-regular-1"), [10.0]);
    assert!(sim.runs_together("regular-1", "PreStop-regular-1") && !sim.restarted("regular-1"));
}

#[test]
fn l12_readiness_goes_on_during_pre_stop_and_liveness_does_not() {
    let regular = app("regular-1", run().d(100).t(15))
        .liveness(Answer::Fail, probe(10, 1, 1))
        .readiness(Answer::Ok, probe(1, 1, 3))
        .pre_stop(10);
    let mut sim = pod_with(Never, 100, None, &[regular]);
    assert_eq!(sim.run_to_end().1, 35);
    assert_eq!(sim.starts("Liveness-regular-1"), [10.0]);
    assert_eq!((sim.starts("PreStop-regular-1"), sim.exits("PreStop-regular-1")), (vec![10.0], vec![20.0]));
    assert_eq!(sim.starts("Readiness-regular-1"), (1..35).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn l14_three_inits_and_two_sidecars_in_one_sequence() {
    let ctrs = [
        init("init-1", run().d(1)),
        sidecar("restartable-init-1", run().d(600)),
        init("init-2", run().d(1)),
        sidecar("restartable-init-2", run().d(600)),
        init("init-3", run().d(1)),
        app("regular-1", run().d(1)),
    ];
    let mut sim = pod(Never, &ctrs);
    assert_eq!(sim.run_to_end(), (Succeeded, 4));
    let (r1, r2) = ("restartable-init-1", "restartable-init-2");
    for (a, b) in [("init-1", r1), ("init-2", r2), ("init-3", "regular-1")] {
        assert!(sim.starts_before(a, b) && sim.exits_before(a, b), "{a} {b}");
    }
    assert!(sim.runs_together_first(r1, "init-2") && sim.starts_before(r2, "init-3"));
    for (a, b) in [(r1, r2), (r1, "init-3"), (r2, "init-3"), (r1, "regular-1"), (r2, "regular-1")] {
        assert!(sim.runs_together(a, b), "{a} {b}");
    }
}

#[test]
fn l15_a_sidecar_that_runs_on_does_not_keep_the_pod_alive() {
    for policy in [Never, OnFailure] {
        let ctrs = [sidecar("restartable-init-1", run().d(600)), app("regular-1", run().d(1))];
        let mut sim = pod(policy, &ctrs);
        assert_eq!(sim.run_to_end(), (Succeeded, 1));
        assert!(!sim.restarted("restartable-init-1"));
    }
}

#[test]
fn l17_a_sidecar_that_exits_with_0_is_restarted_with_back_off() {
    let ctrs = [
        sidecar("restartable-init-1", run().d(5)),
        init("init-1", run().d(5)),
        app("regular-1", run().d(60)),
    ];
    let mut sim = pod(Never, &ctrs);
    assert_eq!(sim.run_to_end(), (Succeeded, 65));
    assert_eq!(sim.starts("restartable-init-1"), [0.0, 5.0, 20.0, 45.0]);
    assert_eq!(sim.starts("regular-1"), [5.0]);
}

#[test]
fn l19_a_failing_init_before_a_sidecar_fails_the_pod() {
    let ctrs = [
        init("init-1", run().d(1).e(1)),
        sidecar("restartable-init-1", run().d(600)),
        app("regular-1", run().d(600)),
    ];
    let mut sim = pod(Never, &ctrs);
    assert_eq!(sim.run_to_end(), (Failed, 1));
    assert!(sim.never("restartable-init-1") && sim.never("regular-1"));
}

#[test]
fn l25_an_init_that_keeps_failing_keeps_the_pod_pending() {
    let ctrs = [
        init("init-1", run().d(1).e(1)),
        sidecar("restartable-init-1", run().d(600)),
        app("regular-1", run().d(600)),
    ];
    let mut sim = pod(OnFailure, &ctrs);
    sim.run_until(s(60));
    assert_eq!(sim.starts("init-1"), [0.0, 1.0, 12.0, 33.0]);
    assert_eq!((sim.phase(), sim.status("init-1").restart_count), (Pending, 3));
    assert_eq!(sim.waiting("init-1"), "CrashLoopBackOff");
    assert!(sim.never("restartable-init-1") && sim.never("regular-1"));
}

#[test]
fn l33_sidecars_start_one_after_another_by_startup_probe() {
    let slow = |name| sidecar(name, run().sd(10).d(600)).startup(Answer::OnceStarted, probe(0, 10, 3));
    let ctrs = [slow("restartable-init-1"), slow("restartable-init-2"), app("regular-1", run().d(1))];
    let mut sim = pod(Never, &ctrs);
    assert_eq!(sim.run_to_end(), (Succeeded, 21));
    assert_eq!(sim.starts("restartable-init-2"), [10.0]);
    assert_eq!(sim.starts("regular-1"), [20.0]);
}

#[test]
fn l34_a_sidecar_whose_startup_probe_fails_is_stopped_and_blocks_the_rest() {
    let failing =
        sidecar("restartable-init-1", run().d(600).t(15)).startup(Answer::Fail, probe(5, 10, 1)).pre_stop(1);
    let mut sim = pod(Always, &[failing, app("regular-1", run().d(1))]);
    sim.run_until(s(100));
    assert_eq!(sim.starts("restartable-init-1"), [0.0, 21.0, 52.0, 93.0]);
    assert_eq!(sim.starts("PreStop-restartable-init-1"), [5.0, 26.0, 57.0, 98.0]);
    assert!(sim.runs_together("restartable-init-1", "PreStop-restartable-init-1"));
    assert_eq!(sim.phase(), Pending);
    assert!(sim.never("regular-1"));
}

fn three_sidecars(change: impl Fn(Ctr) -> Ctr) -> Vec<Ctr> {
    let names = ["restartable-init-1", "restartable-init-2", "restartable-init-3"];
    names.map(|name| change(sidecar(name, run().d(60).t(5)))).to_vec()
}

#[test]
fn l36_sidecars_end_in_reverse_order_after_the_app() {
    let mut sim = pod(Never, &[three_sidecars(|ctr| ctr), vec![app("regular-1", run().d(5))]].concat());
    assert_eq!(sim.run_to_end(), (Succeeded, 20));
    for (name, end) in [
        ("regular-1", 5.0),
        ("restartable-init-3", 10.0),
        ("restartable-init-2", 15.0),
        ("restartable-init-1", 20.0),
    ] {
        assert_eq!(sim.exits(name), [end]);
        assert_eq!(sim.terminated(name), (0, "Completed".to_string()));
    }
}

#[test]
fn l38_pre_stops_of_sidecars_begin_together_and_only_the_signals_are_in_order() {
    let ctrs = [three_sidecars(|ctr| ctr.pre_stop(1)), vec![app("regular-1", run().d(5))]].concat();
    let mut sim = pod(Never, &ctrs);
    assert_eq!(sim.run_to_end(), (Succeeded, 21));
    for (name, end) in
        [("restartable-init-3", 11.0), ("restartable-init-2", 16.0), ("restartable-init-1", 21.0)]
    {
        assert_eq!(sim.starts(&format!("PreStop-{name}")), [5.0]);
        assert_eq!(sim.exits(name), [end]);
    }
}

#[test]
fn l41_exit_codes_of_sidecars_do_not_count() {
    let ctrs = [
        sidecar("restartable-init-1", run().d(600).t(1)),
        sidecar("restartable-init-2", run().d(600).t(1).e(1)),
        sidecar("restartable-init-3", run().d(600).t(1)),
        app("regular-1", run().d(600).t(1)),
    ];
    let mut sim = pod(Never, &ctrs);
    sim.run_until(s(3));
    assert_eq!(sim.phase(), Running);
    sim.stop(30);
    assert_eq!(sim.run_to_end(), (Succeeded, 7));
    assert_eq!(sim.terminated("restartable-init-2"), (1, "Error".to_string()));
    assert_eq!(sim.terminated("restartable-init-1"), (0, "Completed".to_string()));
}

#[test]
fn l43_an_app_that_exceeds_the_grace_fails_the_pod_and_leaves_its_sidecars_2_seconds() {
    let ctrs = [
        sidecar("restartable-init-1", run().d(600).t(20)),
        sidecar("restartable-init-2", run().d(600).t(1)),
        sidecar("restartable-init-3", run().d(600).t(20)),
        app("regular-1", run().d(600).t(20)),
    ];
    let mut sim = pod_with(Never, 5, None, &ctrs);
    sim.run_until(s(10));
    sim.stop(5);
    assert_eq!(sim.run_to_end(), (Failed, 17));
    let killed = (137, "Error".to_string());
    assert_eq!(sim.terminated("regular-1"), killed);
    assert_eq!(sim.terminated("restartable-init-1"), killed);
    assert_eq!(sim.terminated("restartable-init-2"), (0, "Completed".to_string()));
    assert_eq!(sim.terminated("restartable-init-3"), killed);
    assert_eq!(sim.acted(|action| matches!(action, Action::Terminate(_))), [10.0, 15.0, 15.0, 15.0]);
}

#[test]
fn l47_a_sidecar_that_fails_once_recovers_and_the_app_starts() {
    let buggy = sidecar("buggy", run().e(1)).then(run().d(1200)).startup(Answer::Ok, probe(3, 2, 10));
    let mut sim = pod(Never, &[buggy, app("regular", run().d(600)).startup(Answer::Ok, probe(5, 5, 3))]);
    sim.run_until(s(20));
    assert_eq!(sim.status("buggy").restart_count, 1);
    assert!(is_running(&sim, "buggy") && is_running(&sim, "regular"));
    assert_eq!(sim.starts("regular"), [3.0]);
}

#[test]
fn l66_inits_of_a_pod_that_never_restarts() {
    let mut sim = pod(Never, &[init("init1", run()), init("init2", run()), app("run1", run())]);
    assert_eq!(sim.run_to_end().0, Succeeded);
    assert!(sim.condition("Initialized").status);
    assert_eq!(sim.condition("Initialized").reason, Some("PodCompleted"));
    for name in ["init1", "init2"] {
        assert_eq!(sim.terminated(name).0, 0);
        assert!(sim.status(name).ready);
    }
}

#[test]
fn l68_a_failing_init_of_a_pod_that_always_restarts() {
    let mut sim = pod(Always, &[init("init1", run().e(1)), init("init2", run()), app("run1", run().d(600))]);
    for _ in 0..40 {
        sim.run_for(1);
        assert_eq!(
            (sim.waiting("run1").as_str(), sim.waiting("init2").as_str()),
            ("PodInitializing", "PodInitializing")
        );
    }
    assert_eq!((sim.phase(), sim.status("init1").restart_count), (Pending, 3));
    let initialized = sim.condition("Initialized");
    assert_eq!((initialized.status, initialized.reason), (false, Some("ContainersNotInitialized")));
    assert_eq!(initialized.message.as_deref(), Some("containers with incomplete status: [init1 init2]"));
}
