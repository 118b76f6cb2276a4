//! Phase, conditions and statuses: rule G.

use crate::lifecycle::RestartPolicy::*;
use crate::lifecycle::sim::*;
use crate::lifecycle::{ContainerState, Event, Exit, Instance, Phase, ProbeResult};

fn on() -> Run {
    run().d(100_000)
}

fn status_of(sim: &Sim, condition: &str) -> (bool, u64, Option<&'static str>) {
    let condition = sim.condition(condition);
    (condition.status, condition.since.as_secs(), condition.reason)
}

#[test]
fn r65_reasons_follow_the_exit_code() {
    let exit = |code, oom_killed| {
        let mut sim = pod(Never, &[app("c", on())]);
        sim.run_until(s(1));
        let instance = Instance { container: 0, attempt: 0 };
        let exit =
            Exit { code, signal: Some(9).filter(|_| code == 137), oom_killed, message: Some("DONE".into()) };
        sim.pod.step(s(1), Event::Exited { instance, exit });
        match sim.status("c").state {
            ContainerState::Terminated(ended) => (ended.reason, ended.signal, ended.message),
            other => panic!("{other:?}"),
        }
    };
    let message = Some("DONE".to_string()); // L122: the termination message is passed on
    assert_eq!(exit(0, false), ("Completed".into(), None, message.clone()));
    assert_eq!(exit(3, false), ("Error".into(), None, message.clone()));
    assert_eq!(exit(137, false), ("Error".into(), Some(9), message.clone()));
    assert_eq!(exit(137, true), ("OOMKilled".into(), Some(9), message));
}

#[test]
fn r89_pending_until_every_app_was_up_once() {
    let mut sim = pod(Always, &[app("a", on()).post_start(5), app("b", on())]);
    sim.run_until(s(4));
    assert_eq!(sim.phase(), Phase::Pending);
    sim.run_until(s(5));
    assert_eq!(sim.phase(), Phase::Running);
}

#[test]
fn r89_pending_while_a_sidecar_is_not_started() {
    let side = sidecar("s", on()).startup(Answer::From(s(20)), probe(0, 10, 9));
    let mut sim = pod(Always, &[side, app("c", on())]);
    sim.run_until(s(19));
    assert_eq!((sim.phase(), sim.status("s").started), (Phase::Pending, false));
    assert!(!sim.status("s").ready);
    assert_eq!(
        sim.condition("Initialized").message.as_deref(),
        Some("containers with incomplete status: [s]")
    );
    sim.run_until(s(20));
    assert_eq!((sim.phase(), sim.status("s").started), (Phase::Running, true));
}

#[test]
fn r90_running_while_only_sidecars_are_left() {
    let mut sim = pod(Never, &[sidecar("s", on().t(5)), app("c", run().d(3))]);
    sim.run_until(s(7));
    assert_eq!((sim.phase(), sim.terminated("c").0), (Phase::Running, 0));
    assert_eq!(sim.run_to_end(), (Phase::Succeeded, 8));
}

#[test]
fn r91_the_pod_succeeds_only_if_every_app_did() {
    let mut sim = pod(Never, &[app("a", run().d(1)), app("b", run().d(2).e(1)), app("c", run().d(3))]);
    assert_eq!(sim.run_to_end(), (Phase::Failed, 3));
    let mut sim = pod(OnFailure, &[app("a", run().d(1)), app("b", run().d(2).e(1)).then(run().d(3))]);
    assert_eq!(sim.run_to_end(), (Phase::Succeeded, 5));
}

#[test]
fn r92_a_stopped_pod_succeeds_if_every_last_exit_was_0_whatever_the_policy() {
    for policy in [Always, OnFailure, Never] {
        let mut sim = pod(policy, &[sidecar("s", on().e(9)), app("a", on()), app("b", run().d(2))]);
        sim.stop_at(s(3), s(30));
        assert_eq!(sim.run_to_end(), (Phase::Succeeded, 3));
        let mut sim = pod(policy, &[app("a", on().e(143))]);
        sim.stop_at(s(3), s(30));
        assert_eq!(sim.run_to_end(), (Phase::Failed, 3));
    }
}

#[test]
fn r93_a_pod_stopped_before_its_apps_ran_has_failed() {
    let mut sim = pod(Never, &[init("i", on()), app("c", run())]);
    sim.stop_at(s(3), s(30));
    assert_eq!(sim.run_to_end(), (Phase::Failed, 3));
    assert_eq!(sim.waiting("c"), "PodInitializing");
}

#[test]
fn r95_a_restarting_sidecar_takes_nothing_back() {
    let side = sidecar("s", run().d(5).e(1)).readiness(Answer::Ok, probe(0, 1, 1));
    let mut sim = pod(Never, &[side, app("c", on())]);
    sim.run_until(s(12));
    assert_eq!(sim.waiting("s"), "CrashLoopBackOff");
    assert_eq!(sim.phase(), Phase::Running);
    assert_eq!(status_of(&sim, "Initialized"), (true, 0, None));
    assert_eq!(status_of(&sim, "Ready"), (false, 10, Some("ContainersNotReady")));
    assert_eq!(sim.condition("Ready").message.as_deref(), Some("containers with unready status: [s]"));
}

#[test]
fn r96_after_the_end_nothing_happens() {
    let mut sim = pod(Never, &[app("c", run().e(1))]);
    assert_eq!(sim.run_to_end(), (Phase::Failed, 0));
    let before = sim.pod.snapshot(sim.now);
    for event in [Event::Tick, Event::Begin, Event::Stop { grace: s(0) }] {
        assert_eq!(sim.pod.step(s(9), event), []);
    }
    assert_eq!(sim.pod.snapshot(s(9)), before);
}

#[test]
fn r97_the_reason_to_wait_depends_on_inits() {
    let slow = Run { latency: s(5), ..on() };
    let mut sim = pod(Never, &[app("c", slow.clone())]);
    sim.run_until(s(1));
    assert_eq!(sim.waiting("c"), "ContainerCreating");
    let mut sim = pod(Never, &[sidecar("s", slow.clone()), app("c", slow)]);
    sim.run_until(s(1));
    assert_eq!(
        (sim.waiting("s").as_str(), sim.waiting("c").as_str()),
        ("PodInitializing", "PodInitializing")
    );
}

#[test]
fn r98_without_inits_initialized_is_true_from_the_start() {
    let mut sim = pod(Never, &[app("c", Run { latency: s(5), ..on() })]);
    sim.run_until(s(1));
    assert_eq!(status_of(&sim, "Initialized"), (true, 0, None));
    assert_eq!(status_of(&sim, "PodReadyToStartContainers"), (true, 0, None));
    assert_eq!(status_of(&sim, "PodScheduled"), (true, 0, None));
    assert_eq!(status_of(&sim, "ContainersReady"), (false, 0, Some("ContainersNotReady")));
}

#[test]
fn r98_initialized_becomes_true_when_the_last_init_is_done() {
    let mut sim = pod(Never, &[init("i", run().d(4)), init("j", run().d(5)), app("c", on())]);
    sim.run_until(s(5));
    assert_eq!(
        sim.condition("Initialized").message.as_deref(),
        Some("containers with incomplete status: [j]")
    );
    assert!(sim.status("i").ready && !sim.status("j").ready && sim.status("j").started);
    sim.run_until(s(20));
    assert_eq!(status_of(&sim, "Initialized"), (true, 9, None));
}

#[test]
fn r100_sidecars_count_for_ready_and_the_end_is_not_ready() {
    let side = sidecar("s", on()).readiness(Answer::From(s(8)), probe(0, 1, 1));
    let mut sim = pod(Never, &[side, app("c", run().d(20).e(1))]);
    sim.run_until(s(7));
    assert_eq!(status_of(&sim, "Ready"), (false, 0, Some("ContainersNotReady")));
    sim.run_until(s(10));
    assert_eq!(status_of(&sim, "Ready"), (true, 8, None));
    assert_eq!(status_of(&sim, "ContainersReady"), (true, 8, None));
    sim.run_to_end();
    assert_eq!(status_of(&sim, "Ready"), (false, 20, Some("PodFailed")));
    assert_eq!(status_of(&sim, "PodReadyToStartContainers"), (false, 20, None));
    assert!(!sim.status("c").ready && !sim.status("c").started);
    let mut sim = pod(Never, &[app("c", run().d(1))]);
    sim.run_to_end();
    assert_eq!(status_of(&sim, "ContainersReady"), (false, 1, Some("PodCompleted")));
}

#[test]
fn r101_started_is_true_at_running_without_a_startup_probe() {
    let mut sim = pod(Never, &[app("c", on())]);
    sim.run_until(s(0));
    assert!(sim.status("c").started && sim.status("c").ready);
}

#[test]
fn r102_the_deadline_counts_from_pod_start_and_inits_count_too() {
    let mut sim = pod_with(Always, 30, Some(5), &[init("i", run().d(100).t(2)), app("c", on())]);
    assert_eq!(sim.run_to_end(), (Phase::Failed, 7));
    let snapshot = sim.pod.snapshot(sim.now);
    assert_eq!(snapshot.reason.as_deref(), Some("DeadlineExceeded"));
    assert_eq!(snapshot.terminating, None, "nobody has deleted it");
    assert_eq!(sim.notes("DeadlineExceeded").len(), 1);
    let mut sim = pod_with(Never, 30, Some(5), &[app("c", run().d(4))]);
    assert_eq!(sim.run_to_end(), (Phase::Succeeded, 4));
}

#[test]
fn a_stop_is_shown_with_its_time_and_grace() {
    let mut sim = pod(Never, &[app("c", on().t(5))]);
    sim.run_until(s(4));
    assert_eq!(sim.pod.snapshot(s(4)).terminating, None);
    sim.stop(20);
    assert_eq!(sim.pod.snapshot(s(4)).terminating, Some((s(4), s(20))));
    assert_eq!(sim.phase(), Phase::Running);
}

#[test]
fn a_reason_to_wait_is_forgotten_once_the_container_was_up() {
    let c = app("c", run().fails("StartError")).then(run().d(700)).then(Run { latency: s(5), ..on() });
    let mut sim = pod(Always, &[c]);
    sim.run_until(s(702));
    assert_eq!(sim.waiting("c"), "ContainerCreating");
}

#[test]
fn a_stop_shows_how_the_last_instance_ended() {
    let c = app("c", run().d(1).e(3)).then(run().fails("CreateContainerError"));
    let mut sim = pod(Always, &[c, app("d", on().t(5))]);
    sim.run_until(s(5));
    assert_eq!(sim.waiting("c"), "CreateContainerError");
    sim.stop(30);
    assert_eq!(sim.terminated("c").0, 3);
}

#[test]
fn the_last_state_is_the_instance_before() {
    let mut sim = pod(OnFailure, &[app("c", run().d(1).e(1)).then(run().d(1).e(2)).then(run().d(1))]);
    sim.run_until(s(1));
    assert_eq!(sim.status("c").last_state.unwrap().exit_code, 1);
    assert_eq!(sim.run_to_end(), (Phase::Succeeded, 13));
    assert_eq!((sim.terminated("c").0, sim.status("c").last_state.unwrap().exit_code), (0, 2));
    assert_eq!(sim.status("c").restart_count, 2);
}

#[test]
fn r81_a_redirect_to_another_host_is_a_success_with_a_warning() {
    let mut sim = pod(Never, &[app("c", on()).readiness(Answer::Ok, probe(0, 10, 1))]);
    sim.run_until(s(9));
    let instance = Instance { container: 0, attempt: 0 };
    let probe = crate::lifecycle::ProbeKind::Readiness;
    sim.pod.step(s(10), Event::Tick);
    let (result, words) = (ProbeResult::Warning, "redirect to elsewhere".to_string());
    let actions = sim.pod.step(s(10), Event::ProbeEnded { instance, probe, result, code: None, words });
    sim.log.extend(actions.into_iter().map(|action| (sim.now, action)));
    assert_eq!(sim.notes("ProbeWarning"), ["Readiness probe warning: redirect to elsewhere"]);
    assert!(sim.status("c").ready);
}
