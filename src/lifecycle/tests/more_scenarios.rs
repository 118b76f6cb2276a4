//! More pods of Kubernetes' own node tests: hooks, probes, policies.

use crate::lifecycle::Phase::*;
use crate::lifecycle::RestartPolicy::*;
use crate::lifecycle::sim::*;
use crate::lifecycle::{Action, ContainerState, RuleAction};

fn is_running(sim: &Sim, name: &str) -> bool {
    matches!(sim.status(name).state, ContainerState::Running { .. })
}

#[test]
fn l76_a_pre_stop_sleep_delays_the_end() {
    let mut sim = pod_with(Always, 100, None, &[app("pause", run().d(6000)).pre_stop_sleep(50)]);
    sim.run_until(s(5));
    sim.stop(100);
    assert_eq!(sim.run_to_end().1, 55);
}

#[test]
fn l78_a_pre_stop_sleep_is_not_run_for_a_dead_container() {
    let mut sim = pod(Never, &[app("sleep", run().d(3)).pre_stop_sleep(10)]);
    assert_eq!(sim.run_to_end(), (Succeeded, 3));
}

#[test]
fn l81_readiness_keeps_its_initial_delay() {
    for kind in [app, sidecar] {
        let server = kind("server", run().d(600)).readiness(Answer::Ok, probe(15, 10, 3));
        let mut sim = pod(Always, &[server, app("main", run().d(600))]);
        sim.run_until(s(60));
        let ready = sim.condition("Ready");
        assert_eq!((ready.status, ready.since), (true, s(15)));
    }
}

#[test]
fn l83_l85_l92_a_liveness_probe_that_turns_bad_restarts() {
    for kind in [app, sidecar] {
        let server =
            kind("server", run().d(600).ignores_term()).liveness(Answer::Until(s(10)), probe(15, 10, 1));
        let mut sim = pod(Always, &[server, app("main", run().d(600))]);
        sim.run_until(s(100));
        assert_eq!(sim.starts("server"), [0.0, 45.0, 100.0]); // 15 + 30 of grace; then back-off 10
    }
}

#[test]
fn l89_a_liveness_probe_that_hangs_restarts() {
    let mut sim = pod(Always, &[app("c", run().d(600)).liveness(Answer::Hangs, probe(15, 10, 1))]);
    sim.run_until(s(20));
    assert_eq!(sim.starts("c"), [0.0, 16.0]);
}

#[test]
fn l94_a_startup_probe_that_keeps_failing_restarts() {
    let c =
        app("c", run().d(600)).startup(Answer::Fail, probe(15, 10, 3)).liveness(Answer::Ok, probe(15, 10, 1));
    let mut sim = pod(Always, &[c]);
    sim.run_until(s(36));
    assert_eq!(sim.starts("Startup-c"), [15.0, 25.0, 35.0]);
    assert_eq!(sim.starts("c"), [0.0, 35.0]);
    assert!(sim.never("Liveness-c"));
}

#[test]
fn l95_a_startup_probe_keeps_liveness_away() {
    let c = app("c", run().d(6000))
        .startup(Answer::Fail, probe(15, 10, 60))
        .liveness(Answer::Fail, probe(15, 10, 1));
    let mut sim = pod(Always, &[c]);
    sim.run_until(s(240));
    assert_eq!(sim.status("c").restart_count, 0);
    assert!(sim.never("Liveness-c"));
}

#[test]
fn l97_readiness_is_probed_at_once_after_startup_success() {
    let c = app("c", run().d(600))
        .readiness(Answer::Ok, probe(0, 30, 3))
        .startup(Answer::From(s(32)), probe(0, 5, 120));
    let mut sim = pod(Always, &[c]);
    sim.run_until(s(100));
    assert_eq!(sim.starts("Readiness-c"), [35.0, 65.0, 95.0]);
    assert_eq!(sim.condition("Ready").since, s(35));
}

#[test]
fn l98_a_liveness_probe_has_its_own_grace() {
    let mut liveness = probe(10, 10, 1);
    liveness.grace = Some(s(5));
    let c = app("c", run().d(1000).ignores_term()).liveness(Answer::Fail, liveness);
    let mut sim = pod_with(Always, 500, None, &[c]);
    sim.run_until(s(16));
    assert_eq!(sim.starts("c"), [0.0, 15.0]);
}

#[test]
fn l104_l106_l107_the_containers_own_policy_and_rules_win() {
    let restarts = |policy, ctr: Ctr| {
        let mut sim = pod(policy, &[ctr]);
        sim.run_until(s(30));
        (sim.starts("main").len() - 1, sim.ended)
    };
    let main = |code| app("main", run().d(1).e(code));
    let by_rule = main(42).policy(Never).rule(RuleAction::Restart, true, &[42]);
    assert_eq!(restarts(Never, by_rule), (2, None));
    assert_eq!(restarts(Always, main(1).policy(Never)), (0, Some(Failed)));
    assert_eq!(restarts(Never, main(1).policy(Always)), (2, None));
}

#[test]
fn l109_l110_l111_one_rule_restarts_all_containers() {
    let all = |ctr: Ctr| ctr.policy(Never).rule(RuleAction::RestartAllContainers, true, &[42]);
    let source = |kind: fn(&str, Run) -> Ctr| all(kind("source", run().d(5).e(42)).then(run().d(6000)));
    let rest = [init("init", run().d(1)), sidecar("sidecar", run().d(600)), app("regular", run().d(600))];
    let [before, beside, after] = rest;
    let from_app = pod(Never, &[before.clone(), beside.clone(), source(app), after.clone()]);
    let from_sidecar = pod(Never, &[before, beside, source(sidecar), after]);
    for mut sim in [from_app, from_sidecar] {
        sim.run_until(s(20));
        for name in ["init", "sidecar", "source", "regular"] {
            assert_eq!(sim.status(name).restart_count, 1, "{name}");
        }
        assert_eq!(sim.starts("init"), [0.0, 6.0]);
        assert_eq!(sim.starts("source"), [1.0, 7.0]);
        assert!(is_running(&sim, "source") && is_running(&sim, "regular"));
        assert!(!sim.log.iter().any(|(_, action)| matches!(action, Action::Terminate(_))));
    }
}

#[test]
fn l115_the_active_deadline_ends_the_pod() {
    let mut sim = pod_with(Always, 30, Some(5), &[app("c", run().d(600).t(1))]);
    assert_eq!(sim.run_to_end(), (Failed, 6));
    assert_eq!(sim.pod.snapshot(sim.now).reason.as_deref(), Some("DeadlineExceeded"));
}

#[test]
fn l121_restart_policy_and_phase() {
    let result = |policy| {
        let mut sim = pod(policy, &[app("c", run().d(1).e(1)).then(run().d(1)).then(run().d(6000))]);
        sim.run_until(s(60));
        (sim.status("c").restart_count, sim.phase(), sim.status("c").ready)
    };
    assert_eq!(result(Always), (2, Running, true));
    assert_eq!(result(OnFailure), (1, Succeeded, false));
    assert_eq!(result(Never), (0, Failed, false));
}
