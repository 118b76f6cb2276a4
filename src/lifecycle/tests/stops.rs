//! Stopping containers and the pod: rules D (preStop) and E.

use crate::lifecycle::RestartPolicy::*;
use crate::lifecycle::sim::*;
use crate::lifecycle::{Action, Event, Instance, Lifecycle, Phase};

fn on() -> Run {
    run().d(100_000)
}

fn terms(sim: &Sim) -> Vec<f64> {
    sim.acted(|action| matches!(action, Action::Terminate(_)))
}

fn kills(sim: &Sim) -> Vec<f64> {
    sim.acted(|action| matches!(action, Action::Kill(_)))
}

/// A pod that is stopped at 10 s with this grace, run to its end.
fn stopped_at_10(grace: u64, ctrs: &[Ctr]) -> Sim {
    let mut sim = pod(Always, ctrs);
    sim.stop_at(s(10), s(grace));
    sim.run_to_end();
    sim
}

#[test]
fn r21_nothing_starts_once_termination_has_begun() {
    let ctrs = [sidecar("s", on().t(8)), app("a", run().d(11).e(1)), app("b", on().t(5))];
    let sim = stopped_at_10(30, &ctrs);
    assert!(ctrs.iter().all(|ctr| !sim.restarted(&ctr.spec.name)));
    let mut waiting = pod(Always, &[app("a", run().e(1))]);
    waiting.run_until(s(5));
    waiting.stop(30);
    assert_eq!(waiting.run_to_end(), (Phase::Failed, 5));
}

#[test]
fn r42_r44_sigterm_goes_out_when_pre_stop_has_returned() {
    let sim = stopped_at_10(30, &[app("c", on().t(2)).pre_stop(7)]);
    assert_eq!((sim.starts("PreStop-c"), terms(&sim), sim.exits("c")), (vec![10.0], vec![17.0], vec![19.0]));
}

#[test]
fn r43_pre_stop_does_not_run_when_the_container_ended_by_itself() {
    let mut sim = pod(Never, &[app("c", run().d(3).e(1)).pre_stop(5)]);
    assert_eq!(sim.run_to_end(), (Phase::Failed, 3));
    assert!(sim.never("PreStop-c"));
}

#[test]
fn r45_a_failed_pre_stop_changes_nothing() {
    let sim = stopped_at_10(30, &[app("c", on().t(2)).pre_stop_fails(3)]);
    assert_eq!((terms(&sim), sim.ended), (vec![13.0], Some(Phase::Succeeded)));
    assert_eq!(sim.notes("FailedPreStopHook"), ["PreStopHook failed: exit code 1"]);
    assert_eq!(sim.terminated("c").0, 0);
}

#[test]
fn r46_a_pre_stop_that_never_returns_gets_the_grace_and_2_seconds() {
    let mut c = app("c", on().ignores_term()).pre_stop(0);
    c.pre_stop = HookScript(None, true);
    let sim = stopped_at_10(5, &[c]);
    assert_eq!((terms(&sim), kills(&sim), sim.now), (vec![15.0], vec![17.0], s(17)));
    // The hook is left alone until its container is gone.
    assert_eq!(sim.acted(|action| matches!(action, Action::AbortHook(..))), [17.0]);
}

#[test]
fn r47_grace_0_means_no_pre_stop_and_no_order_but_2_seconds() {
    let ctrs = [sidecar("s", on().ignores_term()).pre_stop(1), app("c", on().ignores_term()).pre_stop(1)];
    let sim = stopped_at_10(0, &ctrs);
    assert!(sim.never("PreStop-c") && sim.never("PreStop-s"));
    assert_eq!((terms(&sim), kills(&sim)), (vec![10.0, 10.0], vec![12.0, 12.0]));
}

#[test]
fn r47_a_pre_stop_that_was_due_at_the_moment_the_time_was_over_does_not_run() {
    let mut liveness = probe(4, 10, 1);
    liveness.grace = Some(s(3));
    let mut c = app("c", on().ignores_term()).liveness(Answer::Fail, liveness).pre_stop(1);
    c.answers[1].1 = s(1);
    let mut sim = pod_with(Always, 0, Some(5), &[c]);
    assert_eq!(sim.run_to_end().1, 7);
    assert!(sim.never("PreStop-c"));
}

#[test]
fn r48_on_deletion_all_pre_stops_begin_at_once() {
    let ctrs = [sidecar("s", on().t(1)).pre_stop(2), app("c", on().t(9)).pre_stop(4)];
    let sim = stopped_at_10(30, &ctrs);
    assert_eq!((sim.starts("PreStop-s"), sim.starts("PreStop-c")), (vec![10.0], vec![10.0]));
    assert_eq!((sim.exits("c"), sim.exits("s")), (vec![23.0], vec![24.0]));
}

#[test]
fn r50_a_pre_stop_sleep_is_cut_off_by_the_grace() {
    let sim = stopped_at_10(5, &[app("c", on().ignores_term()).pre_stop_sleep(60)]);
    assert_eq!((terms(&sim), kills(&sim)), (vec![15.0], vec![17.0]));
    let sim = stopped_at_10(5, &[app("c", on().t(1)).pre_stop_sleep(0)]);
    assert_eq!(sim.now, s(11));
}

#[test]
fn r54_what_pre_stop_used_up_is_missing_before_sigkill() {
    let sim = stopped_at_10(20, &[app("c", on().ignores_term()).pre_stop(15)]);
    assert_eq!((terms(&sim), kills(&sim)), (vec![25.0], vec![30.0]));
    let sim = stopped_at_10(20, &[app("c", on().ignores_term()).pre_stop(19)]);
    assert_eq!((terms(&sim), kills(&sim)), (vec![29.0], vec![31.0]));
}

#[test]
fn r55_apps_are_in_no_order() {
    let sim = stopped_at_10(30, &[app("a", on().t(5)), app("b", on().t(5)).pre_stop(3), app("c", on().t(5))]);
    assert_eq!(terms(&sim), [10.0, 10.0, 13.0]);
}

#[test]
fn r56_a_sidecar_waits_for_apps_and_later_sidecars_even_if_its_pre_stop_is_long_over() {
    let ctrs = [sidecar("s1", on().t(1)).pre_stop(1), sidecar("s2", on().t(4)), app("c", on().t(6))];
    let sim = stopped_at_10(30, &ctrs);
    assert_eq!(terms(&sim), [10.0, 16.0, 20.0]);
    assert_eq!(sim.exits("s1"), [21.0]);
}

#[test]
fn r57_sidecars_whose_turn_has_not_come_get_their_signal_at_the_end_of_the_budget_together() {
    let ctrs = [sidecar("s1", on().t(1)), sidecar("s2", on().t(9)), app("c", on().t(2))];
    let sim = stopped_at_10(5, &ctrs);
    // s2 has its turn at 12 and is killed at 15, when s1 gets its signal.
    assert_eq!((terms(&sim), kills(&sim)), (vec![10.0, 12.0, 15.0], vec![15.0]));
    assert_eq!(sim.exits("s1"), [16.0]);
}

#[test]
fn r60_r61_a_running_init_is_signalled_at_once_and_holds_up_no_sidecar() {
    let mut sim = pod(Always, &[sidecar("s", on().t(1)), init("i", on().t(9)), app("c", on())]);
    sim.stop_at(s(10), s(30));
    assert_eq!(sim.run_to_end(), (Phase::Failed, 19));
    assert_eq!(terms(&sim), [10.0, 10.0]);
    assert!(sim.never("c"));
}

#[test]
fn r62_a_sidecar_that_is_not_started_is_stopped_like_any_other() {
    let s1 = sidecar("s", on().t(3)).startup(Answer::Fail, probe(0, 1, 900)).pre_stop(2);
    let sim = stopped_at_10(30, &[s1, app("c", on())]);
    assert_eq!((sim.starts("PreStop-s"), sim.exits("s"), sim.now), (vec![10.0], vec![15.0], s(15)));
}

#[test]
fn r63_natural_completion_uses_the_pods_own_grace() {
    let mut sim = pod_with(Never, 5, None, &[sidecar("s", on().ignores_term()), app("c", run().d(3))]);
    assert_eq!(sim.run_to_end(), (Phase::Succeeded, 8));
    assert_eq!(sim.terminated("s"), (137, "Error".to_string()));
}

#[test]
fn r64_an_init_that_failed_for_good_ends_the_sidecars_in_reverse_order() {
    let ctrs = [
        sidecar("s1", on().t(2)).pre_stop(1),
        sidecar("s2", on().t(2)).pre_stop(1),
        init("i", run().d(5).e(1)),
        app("c", on()),
    ];
    let mut sim = pod(Never, &ctrs);
    assert_eq!(sim.run_to_end(), (Phase::Failed, 10));
    assert_eq!(
        (sim.starts("PreStop-s1"), sim.exits("s2"), sim.exits("s1")),
        (vec![5.0], vec![8.0], vec![10.0])
    );
}

#[test]
fn r66_once_the_pod_is_deleted_its_grace_wins_over_the_probes() {
    let mut liveness = probe(5, 10, 1);
    liveness.grace = Some(s(500));
    let sim = stopped_at_10(20, &[app("c", on().ignores_term()).liveness(Answer::Fail, liveness)]);
    assert_eq!((terms(&sim), kills(&sim)), (vec![5.0], vec![30.0]));
}

#[test]
fn r66_the_pods_grace_also_replaces_that_of_a_stop_under_way() {
    let mut liveness = probe(9, 10, 1);
    liveness.grace = Some(s(3));
    let sim = stopped_at_10(20, &[app("c", on().ignores_term()).liveness(Answer::Fail, liveness)]);
    assert_eq!((terms(&sim), kills(&sim)), (vec![9.0], vec![30.0]));
}

#[test]
fn r67_a_second_stop_may_shorten_the_grace() {
    let mut sim = pod(Always, &[app("c", on().ignores_term()).pre_stop(20)]);
    sim.stop_at(s(10), s(30));
    sim.stop_at(s(15), s(5));
    assert_eq!(sim.run_to_end().1, 22);
    assert_eq!((terms(&sim), kills(&sim)), (vec![20.0], vec![22.0]));
    assert_eq!(sim.pod.snapshot(sim.now).terminating, Some((s(10), s(10))));
}

#[test]
fn r67_a_second_stop_never_lengthens_the_grace() {
    let mut sim = pod(Always, &[app("c", on().ignores_term())]);
    sim.stop_at(s(10), s(5));
    sim.stop_at(s(12), s(60));
    assert_eq!(sim.run_to_end().1, 15);
    assert_eq!(sim.pod.snapshot(sim.now).terminating, Some((s(10), s(5))));
}

#[test]
fn r68_liveness_and_startup_end_with_termination_and_readiness_goes_on() {
    let c = app("c", on().t(5))
        .liveness(Answer::Ok, probe(0, 1, 1))
        .readiness(Answer::Until(s(12)), probe(0, 1, 1));
    let mut sim = pod(Always, &[c]);
    sim.stop_at(s(10), s(30));
    sim.run_until(s(13));
    assert!(!sim.status("c").ready, "a pod may turn not Ready");
    sim.run_to_end();
    assert_eq!(sim.starts("Liveness-c").last(), Some(&9.0));
    assert_eq!(sim.starts("Readiness-c").last(), Some(&14.0));
}

#[test]
fn r68_a_probe_that_runs_at_that_moment_is_cut_off() {
    let mut c = app("c", on().t(5)).liveness(Answer::Fail, probe(0, 10, 1));
    c.answers[1] = (Answer::Hangs, s(1));
    c.spec.liveness.as_mut().unwrap().timeout = s(30);
    let sim = stopped_at_10(30, &[c]);
    assert_eq!(sim.acted(|action| matches!(action, Action::AbortProbe(..))), [10.0]);
}

#[test]
fn a_post_start_that_runs_at_that_moment_is_cut_off() {
    let sim = stopped_at_10(30, &[app("a", on().t(1)).post_start(600), app("b", on())]);
    assert_eq!(sim.acted(|action| matches!(action, Action::AbortHook(..))), [10.0]);
    assert_eq!((sim.now, sim.ended), (s(11), Some(Phase::Failed)));
}

#[test]
fn a_container_that_comes_up_after_the_stop_is_stopped_at_once() {
    let late = app("late", Run { latency: s(12), ..on().t(1) }).post_start(3).pre_stop(2);
    let sim = stopped_at_10(30, &[late]);
    assert!(sim.never("PostStart-late"));
    assert_eq!((terms(&sim), sim.now), (vec![14.0], s(15)));
}

#[test]
fn r58_a_container_that_comes_up_after_the_budget_does_not_outlive_the_pod() {
    for later in [None, Some(s(60))] {
        let late = app("late", Run { latency: s(16), ..on().ignores_term() }).pre_stop(2);
        let mut sim = pod(Always, &[late]);
        sim.stop_at(s(10), s(5));
        later.into_iter().for_each(|grace| sim.stop_at(s(11), grace));
        sim.run_to_end();
        assert_eq!((terms(&sim), kills(&sim)), (vec![16.0], vec![17.0]));
        assert!(sim.never("PreStop-late"));
    }
}

#[test]
fn a_container_that_does_not_come_up_is_killed_at_the_end_of_the_budget() {
    let never = app("never", Run { latency: s(1000), ..on() });
    let sim = stopped_at_10(5, &[never, app("c", on())]);
    assert_eq!((kills(&sim), sim.ended), (vec![17.0], Some(Phase::Failed)));
}

#[test]
fn a_sidecar_being_stopped_alone_does_not_delay_the_end_of_the_pod() {
    let mut liveness = probe(2, 10, 1);
    liveness.grace = Some(s(500));
    let side = sidecar("s", on().ignores_term()).liveness(Answer::Fail, liveness);
    let mut sim = pod(Never, &[side, app("c", run().d(10))]);
    assert_eq!(sim.run_to_end(), (Phase::Succeeded, 40));
}

#[test]
fn a_stop_before_begin_ends_the_pod_at_once() {
    let mut pod = Lifecycle::new(pod(Always, &[app("c", on())]).pod.spec().clone());
    assert_eq!(deeds(pod.step(s(1), Event::Stop { grace: s(30) })), [Action::End(Phase::Failed)]);
    assert_eq!(pod.step(s(2), Event::Begin), []);
    assert_eq!(pod.next_wakeup(), None);
}

#[test]
fn an_enormous_grace_does_no_harm() {
    let mut sim = pod(Always, &[app("c", on().t(1)).pre_stop(1)]);
    sim.run_until(s(5));
    let actions = sim.pod.step(s(5), Event::Stop { grace: std::time::Duration::MAX });
    assert!(actions.iter().any(|action| matches!(action, Action::RunHook(Instance { container: 0, .. }, _))));
    assert!(sim.pod.next_wakeup() > Some(s(5)));
    sim.pod.step(s(6), Event::Stop { grace: std::time::Duration::MAX });
}

#[test]
fn every_container_is_said_to_be_stopped_once() {
    let sim = stopped_at_10(30, &[sidecar("s", on()), app("c", on().t(3)).pre_stop(1)]);
    assert_eq!(sim.notes("Killing"), ["Stopping container s", "Stopping container c"]);
}
