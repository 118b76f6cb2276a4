//! Order of starts, hooks and probes: rules A, D (postStart) and F.

use crate::lifecycle::RestartPolicy::*;
use crate::lifecycle::sim::*;
use crate::lifecycle::{Action, Event, Exit, Hook, Instance, Lifecycle, Phase, ProbeKind, ProbeResult};

/// Runs for ever.
fn on() -> Run {
    run().d(100_000)
}

#[test]
fn nothing_happens_before_begin() {
    let mut pod = Lifecycle::new(pod(Never, &[app("c", run())]).pod.spec().clone());
    assert_eq!(pod.step(s(0), Event::Tick), []);
    assert_eq!(pod.next_wakeup(), None);
    let first = Action::Start(Instance { container: 0, attempt: 0 });
    assert_eq!(deeds(pod.step(s(1), Event::Begin)), [first]);
    assert_eq!(pod.step(s(2), Event::Begin), []);
}

#[test]
fn r1_r2_an_init_is_created_only_when_the_one_before_has_exited_with_0() {
    let mut sim =
        pod(Always, &[init("a", run().d(3).e(1)).then(run().d(3)), init("b", run().d(1)), app("c", on())]);
    sim.run_until(s(20));
    assert_eq!(sim.starts("a"), [0.0, 3.0]);
    assert_eq!((sim.starts("b"), sim.starts("c")), (vec![6.0], vec![7.0]));
}

#[test]
fn r3_without_a_startup_probe_the_next_entry_starts_when_the_sidecar_runs() {
    let side = sidecar("side", run().sd(50).d(600)).readiness(Answer::Fail, probe(0, 1, 1));
    let mut sim = pod(Always, &[side, app("c", on())]);
    sim.run_until(s(1));
    assert_eq!(sim.starts("c"), [0.0]);
}

#[test]
fn r3_the_next_entry_waits_for_the_sidecars_post_start_and_startup_probe() {
    let side = sidecar("side", on()).post_start(4).startup(Answer::Ok, probe(7, 1, 1));
    let mut sim = pod(Always, &[side, app("c", on())]);
    sim.run_until(s(10));
    assert_eq!(sim.starts("c"), [7.0]);
    let side = sidecar("side", on()).post_start(9).startup(Answer::Ok, probe(7, 1, 1));
    let mut sim = pod(Always, &[side, app("c", on())]);
    sim.run_until(s(10));
    assert_eq!((sim.starts("Startup-side"), sim.starts("c")), (vec![9.0], vec![9.0]));
}

#[test]
fn r5_apps_are_created_together_when_no_post_start_is_in_the_way() {
    let slow =
        app("a", on()).startup(Answer::Fail, probe(0, 10, 100)).readiness(Answer::Fail, probe(0, 1, 1));
    let mut sim = pod(Always, &[slow, app("b", on()), app("c", on())]);
    sim.run_until(s(1));
    assert_eq!((sim.starts("b"), sim.starts("c")), (vec![0.0], vec![0.0]));
}

#[test]
fn r5_what_comes_next_is_known_while_an_app_is_being_made_and_only_if_nothing_is_between() {
    let spec = |ctrs: &[Ctr]| Lifecycle::new(pod(Never, ctrs).pod.spec().clone());
    let instance = |container| Instance { container, attempt: 0 };
    let mut pod = spec(&[app("a", on()), app("b", on()), app("c", on()).post_start(1), app("d", on())]);
    assert_eq!(pod.next_app(), None);
    pod.step(s(0), Event::Begin);
    for next in [1, 2] {
        assert_eq!(pod.next_app(), Some(instance(next)));
        assert_eq!(
            deeds(pod.step(s(0), Event::Started(instance(next - 1)))),
            [Action::Start(instance(next))],
            "and it is what comes"
        );
    }
    assert_eq!(pod.next_app(), None, "the postStart of c is before d");
    let mut last = spec(&[app("a", on()), app("b", on())]);
    last.step(s(0), Event::Begin);
    last.step(s(0), Event::Started(instance(0)));
    assert_eq!(last.next_app(), None, "nothing comes behind b");
    for first in [init("a", on()), sidecar("a", on())] {
        let mut pod = spec(&[first, app("b", on())]);
        pod.step(s(0), Event::Begin);
        assert_eq!(pod.next_app(), None);
    }
}

#[test]
fn r5_a_restarted_apps_post_start_holds_up_nobody() {
    let ctrs = [app("a", run().d(10)).post_start(5), app("b", run().d(12))];
    let mut sim = pod(Always, &ctrs);
    sim.run_until(s(18));
    assert_eq!(sim.starts("a"), [0.0, 10.0]);
    assert_eq!(sim.starts("b"), [5.0, 17.0]);
}

#[test]
fn r6_an_app_that_cannot_be_created_does_not_block_the_next() {
    let bad = app("bad", run().fails("CreateContainerError"));
    let mut sim = pod(Never, &[bad, app("good", on())]);
    sim.run_until(s(100));
    assert_eq!(sim.starts("good"), [0.0]);
    assert_eq!(sim.phase(), Phase::Pending);
    assert_eq!((sim.waiting("bad"), sim.status("bad").restart_count), ("CreateContainerError".into(), 0));
    // Tried again whatever the policy, with back-off.
    let tries = sim.acted(|action| matches!(action, Action::Start(Instance { container: 0, .. })));
    assert_eq!(tries, [0.0, 0.0, 10.0, 30.0, 70.0]);
}

#[test]
fn r6_an_init_that_cannot_be_created_stops_the_pass_and_does_not_fail_the_pod() {
    let bad = init("bad", run().fails("CreateContainerConfigError")).then(run().d(1));
    let mut sim = pod(Never, &[bad.clone(), app("c", on())]);
    sim.run_until(s(100));
    // restartCount is not raised, so the same program is tried again and again.
    assert!(sim.never("c"));
    assert_eq!((sim.phase(), sim.waiting("bad")), (Phase::Pending, "CreateContainerConfigError".to_string()));
}

#[test]
fn r6_a_sidecar_that_cannot_be_started_is_tried_beside_the_others() {
    let side = sidecar("side", run().d(5).e(1)).then(run().fails("StartError"));
    let mut sim = pod(Always, &[side, init("i", run().d(30)), app("c", on())]);
    sim.run_until(s(60));
    assert_eq!(sim.starts("c"), [30.0]);
    assert_eq!(sim.status("side").last_state.unwrap().exit_code, 128);
}

#[test]
fn r7_a_sidecar_that_dies_before_it_is_started_keeps_the_gate_shut() {
    let side = sidecar("side", run().d(2).e(1)).then(on()).startup(Answer::Ok, probe(5, 1, 1));
    let mut sim = pod(Never, &[side, app("c", on())]);
    sim.run_until(s(30));
    assert_eq!((sim.starts("side"), sim.starts("c")), (vec![0.0, 2.0], vec![7.0]));
}

#[test]
fn r8_a_gate_is_passed_once() {
    let side = sidecar("side", run().d(3).e(1)).startup(Answer::Ok, probe(1, 1, 1));
    let mut sim = pod(Never, &[side, init("i", run().d(10)), app("c", on())]);
    sim.run_until(s(30));
    assert_eq!(sim.starts("c"), [11.0]);
    assert_eq!(sim.starts("side"), [0.0, 3.0, 16.0]);
}

#[test]
fn r8_a_sidecar_that_is_just_starting_anew_holds_up_nobody() {
    let side = sidecar("side", run().d(3).e(1)).then(on()).startup(Answer::Ok, probe(2, 1, 1));
    let mut sim = pod(Never, &[side, init("i", run().d(2)), app("c", on())]);
    sim.run_until(s(10));
    assert_eq!((sim.starts("side"), sim.starts("c")), (vec![0.0, 3.0], vec![4.0]));
}

#[test]
fn r9_a_failing_liveness_probe_does_not_block_the_next_entry() {
    let side = sidecar("side", run().d(600).t(1)).liveness(Answer::Fail, probe(0, 1, 1));
    let mut sim = pod(Never, &[side, app("c", on())]);
    sim.run_until(s(10));
    assert_eq!(sim.starts("c"), [0.0]);
    assert!(sim.restarted("side"));
}

#[test]
fn r39_r40_post_start_runs_beside_the_process_and_holds_back_probes() {
    let c = app("c", on())
        .post_start(3)
        .readiness(Answer::Ok, probe(1, 10, 1))
        .liveness(Answer::Ok, probe(0, 10, 1));
    let mut sim = pod(Never, &[c]);
    sim.run_until(s(2));
    assert_eq!((sim.starts("c"), sim.starts("PostStart-c")), (vec![0.0], vec![0.0]));
    assert_eq!((sim.waiting("c").as_str(), sim.phase()), ("ContainerCreating", Phase::Pending));
    assert!(!sim.status("c").started);
    sim.run_until(s(4));
    assert_eq!((sim.starts("Readiness-c"), sim.starts("Liveness-c")), (vec![3.0], vec![3.0]));
    assert!(sim.status("c").ready);
}

#[test]
fn r41_a_failed_post_start_kills_and_restarts_with_back_off() {
    let c = app("c", run().d(600).t(3)).post_start_fails(2).pre_stop(1);
    let mut sim = pod(OnFailure, &[Ctr { runs: vec![run().d(600).t(3).e(7)], ..c }, app("next", on())]);
    sim.run_until(s(1));
    assert_eq!(sim.waiting("c"), "ContainerCreating");
    sim.run_until(s(5));
    assert_eq!(sim.waiting("c"), "PostStartHookError");
    assert_eq!(sim.starts("next"), [2.0]);
    sim.run_until(s(10));
    assert_eq!(sim.starts("c"), [0.0, 6.0]); // 2 + preStop 1 + SIGTERM 3
    assert_eq!(sim.waiting("c"), "PostStartHookError");
    sim.run_until(s(13));
    assert_eq!(sim.waiting("c"), "CrashLoopBackOff");
    assert_eq!(sim.notes("FailedPostStartHook"), ["PostStartHook failed: exit code 1"; 2]);
    sim.run_until(s(23));
    assert_eq!(sim.starts("c"), [0.0, 6.0, 22.0]);
}

#[test]
fn a_post_start_whose_container_ends_is_cut_off() {
    let mut sim = pod(Never, &[app("a", run().d(2)).post_start(60), app("b", run().d(5))]);
    assert_eq!(sim.run_to_end(), (Phase::Succeeded, 7));
    assert_eq!(sim.acted(|action| matches!(action, Action::AbortHook(..))), [2.0]);
    assert_eq!(sim.starts("b"), [2.0]);
}

#[test]
fn r50_a_post_start_sleep_needs_no_helper() {
    let mut c = app("c", on());
    c.spec.post_start = Some(Hook::Sleep(s(5)));
    let mut sim = pod(Never, &[c, app("next", on())]);
    sim.run_until(s(6));
    assert_eq!(sim.starts("next"), [5.0]);
    assert!(!sim.log.iter().any(|(_, action)| matches!(action, Action::RunHook(..))));
}

#[test]
fn r73_r74_r75_probes_keep_their_initial_delay_and_order() {
    let c = app("c", on())
        .startup(Answer::From(s(6)), probe(2, 3, 9))
        .liveness(Answer::Ok, probe(10, 4, 1))
        .readiness(Answer::Ok, probe(1, 5, 1));
    let mut sim = pod(Never, &[c]);
    sim.run_until(s(20));
    assert_eq!(sim.starts("Startup-c"), [2.0, 5.0, 8.0]);
    assert_eq!(sim.starts("Liveness-c"), [10.0, 14.0, 18.0]);
    assert_eq!(sim.starts("Readiness-c"), [8.0, 13.0, 18.0]);
}

#[test]
fn r74_a_new_instance_has_to_pass_its_startup_probe_again() {
    let c = app("c", run().d(10).e(1))
        .startup(Answer::From(s(3)), probe(0, 3, 9))
        .readiness(Answer::Ok, probe(0, 60, 1));
    let mut sim = pod(Always, &[c]);
    sim.run_until(s(12));
    assert!(!sim.status("c").started && !sim.status("c").ready);
    sim.run_until(s(14));
    assert_eq!(sim.starts("Startup-c"), [0.0, 3.0, 10.0, 13.0]);
    assert!(sim.status("c").started);
}

#[test]
fn r76_ready_is_false_before_the_first_result() {
    let c = app("c", on()).readiness(Answer::Ok, probe(5, 1, 1));
    let mut sim = pod(Never, &[c]);
    sim.run_until(s(4));
    assert!(sim.status("c").started && !sim.status("c").ready);
    assert_eq!(sim.condition("Ready").message.as_deref(), Some("containers with unready status: [c]"));
    sim.run_until(s(5));
    assert!(sim.status("c").ready);
}

#[test]
fn r77_thresholds_count_in_a_row_both_ways() {
    let mut readiness = probe(0, 1, 3);
    readiness.success_threshold = 2;
    let mut sim = pod(Never, &[app("c", on()).readiness(Answer::Until(s(10)), readiness)]);
    sim.run_until(s(0));
    assert!(!sim.status("c").ready);
    sim.run_until(s(1));
    assert!(sim.status("c").ready);
    sim.run_until(s(11));
    assert!(sim.status("c").ready, "two failures are below the threshold");
    sim.run_until(s(12));
    assert!(!sim.status("c").ready);
    assert_eq!(sim.condition("Ready").since, s(12));
    assert_eq!(sim.notes("Unhealthy"), ["Readiness probe failed: no good"; 3]);
}

#[test]
fn r78_readiness_never_restarts() {
    let mut sim = pod(Always, &[app("c", on()).readiness(Answer::Fail, probe(0, 1, 1))]);
    sim.run_until(s(300));
    assert_eq!((sim.starts("c").len(), sim.phase()), (1, Phase::Running));
}

#[test]
fn r83_a_probe_that_could_not_be_carried_out_changes_nothing() {
    let c =
        app("c", on()).liveness(Answer::Unknown, probe(0, 1, 1)).readiness(Answer::Unknown, probe(0, 1, 1));
    let mut sim = pod(Always, &[c]);
    sim.run_until(s(60));
    assert_eq!((sim.starts("c").len(), sim.status("c").ready), (1, false));
}

#[test]
fn a_probe_that_overruns_its_period_runs_again_at_once_and_keeps_the_beat() {
    let mut readiness = probe(0, 2, 1);
    readiness.timeout = s(9);
    let mut c = app("c", on()).readiness(Answer::Ok, readiness);
    c.answers[2].1 = s(3);
    let mut sim = pod(Never, &[c]);
    sim.run_until(s(10));
    assert_eq!(sim.starts("Readiness-c"), [0.0, 3.0, 6.0, 9.0]);
    let probes = sim.acted(|action| matches!(action, Action::RunProbe(_, ProbeKind::Readiness)));
    assert_eq!(probes.len(), 4);
}

#[test]
fn probes_that_were_missed_are_not_made_up_for() {
    let ctrs = [app("c", on()).readiness(Answer::Ok, probe(0, 2, 1))];
    let mut pod = Lifecycle::new(pod(Never, &ctrs).pod.spec().clone());
    let instance = Instance { container: 0, attempt: 0 };
    let probe = ProbeKind::Readiness;
    let ended = Event::ProbeEnded {
        instance,
        probe,
        result: ProbeResult::Success,
        code: Some(0),
        words: String::new(),
    };
    pod.step(s(0), Event::Begin);
    assert!(pod.step(s(0), Event::Started(instance)).contains(&Action::RunProbe(instance, probe)));
    assert_eq!(pod.next_wakeup(), None);
    assert_eq!(deeds(pod.step(s(7), ended.clone())), [Action::RunProbe(instance, probe)]);
    pod.step(s(7), ended);
    assert_eq!(pod.next_wakeup(), Some(s(8)));
}

#[test]
fn a_probe_that_runs_when_its_container_ends_is_cut_off() {
    let mut c = app("c", run().d(5)).readiness(Answer::Hangs, probe(0, 10, 1));
    c.spec.readiness.as_mut().unwrap().timeout = s(30);
    let mut sim = pod(Never, &[c]);
    sim.run_to_end();
    assert_eq!(sim.acted(|action| matches!(action, Action::AbortProbe(..))), [5.0]);
}

#[test]
fn the_result_of_a_probe_that_does_not_run_is_ignored() {
    let mut sim = pod(Always, &[app("c", on()).liveness(Answer::Ok, probe(10, 10, 1))]);
    sim.run_until(s(5));
    let (instance, probe) = (Instance { container: 0, attempt: 0 }, ProbeKind::Liveness);
    let (result, words) = (ProbeResult::Failure, "late".to_string());
    assert_eq!(sim.pod.step(s(5), Event::ProbeEnded { instance, probe, result, code: Some(1), words }), []);
}

#[test]
fn an_answer_to_an_earlier_start_is_ignored() {
    let mut sim = pod(Always, &[app("c", run().d(1)).then(Run { latency: s(9), ..on() })]);
    sim.run_until(s(5));
    let old = Instance { container: 0, attempt: 0 };
    assert_eq!(sim.pod.step(s(5), Event::Started(old)), []);
    let reason = "StartError".to_string();
    assert_eq!(sim.pod.step(s(5), Event::StartFailed { instance: old, reason, message: String::new() }), []);
}

#[test]
fn facts_about_an_instance_that_is_over_are_ignored() {
    let mut sim = pod(Always, &[app("c", run().d(1).e(1)).then(on())]);
    sim.run_until(s(5));
    let old = Instance { container: 0, attempt: 0 };
    let exit = Exit { code: 9, signal: None, oom_killed: false, message: None };
    let now = sim.now;
    let before = sim.pod.snapshot(now);
    assert_eq!(sim.pod.step(now, Event::Exited { instance: old, exit }), []);
    assert_eq!(sim.pod.step(now, Event::Started(old)), []);
    assert_eq!(sim.pod.step(now, Event::Started(Instance { container: 7, attempt: 0 })), []);
    assert_eq!(sim.pod.snapshot(now), before);
}
