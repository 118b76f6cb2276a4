//! Restart decisions and back-off: rules B and C.

use crate::lifecycle::RestartPolicy::*;
use crate::lifecycle::sim::*;
use crate::lifecycle::{Action, Backoff, Instance, Phase, RestartPolicy, RuleAction};

fn on() -> Run {
    run().d(100_000)
}

fn instances(policy: RestartPolicy, ctr: Ctr) -> usize {
    let name = ctr.spec.name.clone();
    let mut sim = pod(policy, &[ctr, app("main", on())]);
    sim.run_until(s(9));
    sim.starts(&name).len()
}

#[test]
fn r16_apps_restart_as_their_policy_says() {
    let app = |code| app("c", run().d(1).e(code));
    assert_eq!((instances(Always, app(0)), instances(Always, app(1))), (2, 2));
    assert_eq!((instances(OnFailure, app(0)), instances(OnFailure, app(1))), (1, 2));
    assert_eq!((instances(Never, app(0)), instances(Never, app(1))), (1, 1));
}

#[test]
fn r17_inits_restart_on_failure_only() {
    let init = |code| init("c", run().d(1).e(code));
    assert_eq!((instances(Always, init(0)), instances(Always, init(1))), (1, 2));
    assert_eq!((instances(OnFailure, init(0)), instances(OnFailure, init(1))), (1, 2));
    assert_eq!((instances(Never, init(0)), instances(Never, init(1))), (1, 1));
}

#[test]
fn r18_sidecars_restart_always() {
    for policy in [Always, OnFailure, Never] {
        for code in [0, 1] {
            assert_eq!(instances(policy, sidecar("c", run().d(1).e(code))), 2);
        }
    }
}

#[test]
fn r19_restarting_one_container_never_restarts_another() {
    let ctrs = [init("i", run()), sidecar("s", on()), app("a", run().d(1).e(1)), app("b", on())];
    let mut sim = pod(Always, &ctrs);
    sim.run_until(s(100));
    for name in ["i", "s", "b"] {
        assert!(!sim.restarted(name), "{name}");
    }
}

#[test]
fn r20_a_container_killed_by_a_probe_is_restarted_on_failure_even_if_it_exits_with_0() {
    let live = |kind: fn(&str, Run) -> Ctr| kind("c", on()).liveness(Answer::Fail, probe(2, 1, 1));
    let startup = app("c", on()).startup(Answer::Fail, probe(2, 1, 1));
    for (policy, count) in [(Always, 2), (OnFailure, 2), (Never, 1)] {
        assert_eq!(instances(policy, live(app)), count);
        assert_eq!(instances(policy, startup.clone()), count);
        assert_eq!(instances(policy, live(sidecar)), 2);
    }
}

#[test]
fn r20_the_kubelets_words_for_a_failed_probe() {
    let mut sim = pod(Always, &[app("web", on()).liveness(Answer::Fail, probe(2, 1, 1))]);
    sim.run_until(s(3));
    assert_eq!(sim.notes("Killing"), ["Container web failed liveness probe, will be restarted"]);
    assert_eq!(sim.notes("Unhealthy"), ["Liveness probe failed: no good"]);
    assert_eq!(sim.notes("Created"), ["Created container: web"; 2]);
    assert_eq!(sim.notes("Started"), ["Started container web"; 2]);
}

#[test]
fn r22_sidecars_are_not_restarted_once_nothing_else_will_run() {
    let mut sim =
        pod(Never, &[sidecar("s", run().d(600).t(2).e(1)), sidecar("t", on()), app("c", run().d(3))]);
    assert_eq!(sim.run_to_end(), (Phase::Succeeded, 5));
    assert!(!sim.restarted("s") && !sim.restarted("t"));
}

#[test]
fn r23_while_one_container_is_being_killed_the_others_are_restarted() {
    let stubborn = app("stubborn", on().ignores_term()).liveness(Answer::Fail, probe(0, 10, 1));
    let mut sim = pod(Always, &[stubborn, app("other", run().d(5))]);
    sim.run_until(s(21));
    assert_eq!(sim.starts("stubborn"), [0.0]);
    assert_eq!(sim.starts("other"), [0.0, 5.0, 20.0]);
}

#[test]
fn r24_r36_restart_count_is_raised_by_the_new_instance_and_not_by_waiting() {
    let mut sim = pod(Always, &[app("c", run().d(1).e(3))]);
    sim.run_until(s(5));
    let status = sim.status("c");
    assert_eq!((sim.waiting("c").as_str(), status.restart_count), ("CrashLoopBackOff", 1));
    assert_eq!(status.last_state.map(|last| (last.exit_code, last.finished_at)), Some((3, s(2))));
    assert_eq!(sim.phase(), Phase::Running);
    assert_eq!(sim.notes("BackOff"), ["Back-off restarting failed container c"]);
    sim.run_until(s(12));
    assert_eq!(sim.status("c").restart_count, 2);
}

#[test]
fn r26_the_first_matching_rule_decides() {
    let restart =
        |ctr: Ctr, within, codes: &[i32]| ctr.policy(Never).rule(RuleAction::Restart, within, codes);
    let exits = |code| app("c", run().d(1).e(code));
    assert_eq!(instances(Never, restart(exits(42), true, &[1, 42])), 2);
    assert_eq!(instances(Never, restart(exits(43), true, &[1, 42])), 1);
    assert_eq!(instances(Never, restart(exits(43), false, &[1, 42])), 2);
    assert_eq!(instances(Never, restart(exits(42), false, &[1, 42])), 1);
    let none_matches = exits(5).policy(OnFailure).rule(RuleAction::Restart, true, &[42]);
    assert_eq!(instances(Never, none_matches), 2);
}

#[test]
fn r27_an_init_with_its_own_never_fails_the_pod() {
    let mut sim = pod(Always, &[init("i", run().d(1).e(1)).policy(Never), app("c", on())]);
    assert_eq!(sim.run_to_end(), (Phase::Failed, 1));
    let rescued = init("i", run().d(1).e(1)).policy(Never).rule(RuleAction::Restart, true, &[1]);
    assert_eq!(instances(Always, rescued), 2);
}

#[test]
fn r28_a_rule_restart_keeps_a_pod_that_never_restarts_running() {
    let c = app("c", run().d(1).e(42)).policy(Never).rule(RuleAction::Restart, true, &[42]);
    let mut sim = pod(Never, &[c]);
    sim.run_until(s(5));
    assert_eq!((sim.phase(), sim.waiting("c").as_str()), (Phase::Running, "CrashLoopBackOff"));
    assert_eq!(sim.starts("c"), [0.0, 1.0]);
}

#[test]
fn r29_restart_all_containers_knows_no_pre_stop_no_grace_and_no_back_off() {
    let source =
        app("source", run().d(5).e(42)).policy(Never).rule(RuleAction::RestartAllContainers, true, &[42]);
    let other = app("other", on().ignores_term()).pre_stop(5);
    let mut sim = pod(Never, &[init("i", run().d(1)), source, other]);
    sim.run_until(s(30));
    assert_eq!(sim.starts("source"), [1.0, 7.0, 13.0, 19.0, 25.0]);
    assert_eq!(sim.starts("i").len(), 6);
    assert!(sim.never("PreStop-other"));
    assert_eq!(sim.status("other").last_state.unwrap().exit_code, 137);
}

#[test]
fn r30_kills_of_restart_all_containers_do_not_trigger_the_rule() {
    let all = |ctr: Ctr| ctr.policy(Never).rule(RuleAction::RestartAllContainers, false, &[0]);
    let a = all(app("a", run().d(5).e(1)).then(on()));
    let b = all(app("b", on()));
    let mut sim = pod(Never, &[a, b]);
    sim.run_until(s(100));
    assert_eq!((sim.starts("a"), sim.starts("b")), (vec![0.0, 5.0], vec![0.0, 5.0]));
}

#[test]
fn r29_an_init_may_trigger_it_and_what_has_not_run_keeps_its_count() {
    let init = init("i", run().d(2).e(42)).then(run().d(2));
    let i = init.policy(Never).rule(RuleAction::RestartAllContainers, true, &[42]);
    let mut sim = pod(Never, &[sidecar("s", on()), i, app("c", on())]);
    sim.run_until(s(10));
    let counts = ["s", "i", "c"].map(|name| sim.status(name).restart_count);
    assert_eq!((counts, sim.starts("c")), ([1, 1, 0], vec![4.0]));
}

#[test]
fn a_pod_that_is_restarted_and_stopped_before_its_apps_ran_again_has_failed() {
    let side = sidecar("s", run().d(5).e(42)).rule(RuleAction::RestartAllContainers, true, &[42]);
    let i = init("i", run()).then(on());
    let mut sim = pod(Never, &[i, side, app("done", run().d(1)), app("c", on())]);
    sim.stop_at(s(9), s(30));
    assert_eq!(sim.run_to_end(), (Phase::Failed, 9));
    assert_eq!(sim.status("done").last_state.map(|last| last.exit_code), Some(0));
}

#[test]
fn a_stop_during_restart_all_ends_the_pod() {
    let c = app("c", run().d(5).e(42)).policy(Never).rule(RuleAction::RestartAllContainers, true, &[42]);
    let slow = app("slow", Run { latency: s(10), ..on() });
    let mut sim = pod(Never, &[c, slow]);
    sim.run_until(s(6));
    sim.stop(30);
    assert_eq!(sim.run_to_end().0, Phase::Failed);
    assert_eq!(sim.starts("c"), [0.0]);
}

#[test]
fn r33_a_long_run_clears_the_record() {
    // Runs of 1 s at first, then one of more than 10 minutes, then short ones again.
    let c = app("c", run().d(1)).then(run().d(1)).then(run().d(601)).then(run().d(1));
    let mut sim = pod(Always, &[c]);
    sim.run_until(s(700));
    assert_eq!(sim.starts("c"), [0.0, 1.0, 12.0, 613.0, 624.0, 645.0, 686.0]);
    let c = app("c", run().d(1)).then(run().d(1)).then(run().d(600)).then(run().d(1));
    let mut sim = pod(Always, &[c]);
    sim.run_until(s(650));
    assert_eq!(sim.starts("c"), [0.0, 1.0, 12.0, 632.0], "10 minutes are not more than 10 minutes");
}

#[test]
fn r35_back_off_counts_exits_with_0_and_inits_too() {
    let mut sim = pod(Always, &[init("i", run().e(1)), app("c", on())]);
    sim.run_until(s(100));
    assert_eq!(sim.starts("i"), [0.0, 0.0, 10.0, 30.0, 70.0]);
    let mut sim = pod(Always, &[app("c", run())]);
    sim.run_until(s(100));
    assert_eq!(sim.starts("c"), [0.0, 0.0, 10.0, 30.0, 70.0]);
}

#[test]
fn r38_a_lower_cap_holds_from_the_first_delay_on() {
    let ctrs = [app("c", run().d(1).e(1))];
    let mut spec = pod(Always, &ctrs).pod.spec().clone();
    spec.backoff = Backoff { first: s(2), max: s(2) };
    let mut sim = Sim::new(spec, &ctrs);
    sim.run_until(s(10));
    assert_eq!(sim.starts("c"), [0.0, 1.0, 4.0, 7.0, 10.0]);
}

#[test]
fn back_off_says_how_long_it_is() {
    let mut sim = pod(Always, &[app("c", run().e(1))]);
    sim.run_until(s(200));
    let message = match sim.status("c").state {
        crate::lifecycle::ContainerState::Waiting { message, .. } => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(message.as_deref(), Some("back-off 2m40s restarting failed container=c"));
}

#[test]
fn a_start_that_fails_for_other_reasons_is_an_instance_that_ended_with_128() {
    let mut sim = pod(Never, &[app("c", run().fails("StartError"))]);
    assert_eq!(sim.run_to_end(), (Phase::Failed, 0));
    assert_eq!(sim.terminated("c"), (128, "StartError".to_string()));
    assert_eq!(sim.notes("Failed"), ["Error: it cannot be"]);
    let mut sim =
        pod(OnFailure, &[app("c", run().fails("StartError")).then(run().fails("StartError")).then(on())]);
    sim.run_until(s(5));
    assert_eq!(sim.waiting("c"), "CrashLoopBackOff");
    sim.run_until(s(10));
    assert_eq!(sim.status("c").restart_count, 2);
}

#[test]
fn at_most_one_start_is_asked_for_until_it_is_answered() {
    let mut sim = pod(Always, &[app("c", Run { latency: s(100), ..on() })]);
    sim.run_until(s(50));
    sim.tick_at(s(60));
    sim.run_until(s(70));
    let starts = sim.acted(|action| *action == Action::Start(Instance { container: 0, attempt: 0 }));
    assert_eq!(starts, [0.0]);
}
