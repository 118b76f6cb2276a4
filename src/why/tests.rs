use super::*;
use crate::lifecycle::RestartPolicy::*;
use crate::lifecycle::sim::*;
use crate::timeline::tests::log;

/// What is said of a pod that has run so long.
fn after(sim: &mut Sim, millis: u64) -> Vec<String> {
    sim.run_until(Duration::from_millis(millis));
    texts(why(&log(sim), Some(sim.now)))
}

fn texts(sentences: Vec<Sentence>) -> Vec<String> {
    sentences.into_iter().map(|sentence| sentence.text).collect()
}

fn on() -> Run {
    run().d(100_000)
}

/// How a pod that has ended is spoken of.
fn ended(mut sim: Sim) -> String {
    sim.run_to_end();
    let said = texts(why(&log(&sim), None));
    assert_eq!(said.len(), 1);
    said[0].clone()
}

#[test]
fn each_gate_is_a_sentence() {
    let ctrs = [init("migrate", run().d(14)), sidecar("proxy", on()).post_start(5), app("web", on())];
    let mut sim = pod(Always, &ctrs);
    assert_eq!(
        after(&mut sim, 12_000),
        [
            "proxy waits for init container migrate: it has run 12 s",
            "web waits for init container migrate: it has run 12 s"
        ]
    );
    assert_eq!(after(&mut sim, 17_200), ["web waits for sidecar proxy: its postStart has run 3.2 s"]);
    assert_eq!(
        after(&mut sim, 20_000),
        ["nothing is waiting: proxy and web are running and ready; migrate has ended"]
    );
}

#[test]
fn a_startup_probe_that_fails_holds_up_who_comes_after() {
    let ctrs = [sidecar("proxy", on()).startup(Answer::Fail, probe(0, 2, 30)), app("web", on())];
    let mut sim = pod(Always, &ctrs);
    assert_eq!(
        after(&mut sim, 7_000),
        ["web waits for sidecar proxy: its startup probe has failed 4 times (last: no good)"]
    );
    let mut sim = pod(Always, &[app("web", on()).startup(Answer::Fail, probe(5, 2, 30))]);
    assert_eq!(after(&mut sim, 1_000), ["web is not up: its startup probe has not succeeded yet"]);
}

#[test]
fn an_app_waits_for_the_post_start_of_the_one_before() {
    let mut sim = pod(Always, &[app("first", on()).post_start(5), app("second", on())]);
    assert_eq!(after(&mut sim, 1_500), ["second waits for app first: its postStart has run 1.5 s"]);
    assert_eq!(after(&mut sim, 6_000), ["nothing is waiting: all 2 containers are running and ready"]);
}

#[test]
fn back_off_says_when_it_goes_on() {
    let mut sim = pod(Always, &[init("migrate", run().d(1).e(1)), app("web", on())]);
    // Ends at 1 and at 2, then 10 s of back-off; ends at 13, then 20 s.
    assert_eq!(
        after(&mut sim, 25_700),
        [
            "migrate waits for its back-off: next start in 7.3 s (attempt 4)",
            "web waits for init container migrate: it waits for its back-off after exit code 1 (Error)"
        ]
    );
}

#[test]
fn what_cannot_be_made_is_named() {
    let mut sim = pod(Always, &[app("web", run().fails("CreateContainerError"))]);
    assert_eq!(
        after(&mut sim, 3_000),
        ["web could not be made, and is tried again: CreateContainerError: it cannot be"]
    );
}

#[test]
fn readiness_is_told_with_its_last_words() {
    let readiness = probe(0, 1, 1);
    let mut sim = pod(Always, &[app("web", on()).readiness(Answer::Until(s(4)), readiness.clone())]);
    assert_eq!(after(&mut sim, 2_000), ["nothing is waiting: web is running and ready"]);
    assert_eq!(
        after(&mut sim, 6_000),
        ["web is not ready any more: its readiness probe has failed 3 times (last: no good)"]
    );
    let mut sim = pod(Always, &[app("web", on()).readiness(Answer::Fail, readiness)]);
    assert_eq!(
        after(&mut sim, 500),
        ["web is not ready: its readiness probe has failed once (last: no good)"]
    );
}

#[test]
fn the_order_of_the_end_is_told() {
    let ctrs = [sidecar("log", on().t(1)), sidecar("proxy", on().t(1)), app("web", on().t(4)).pre_stop(3)];
    let mut sim = pod(Always, &ctrs);
    sim.stop_at(s(10), s(15));
    assert_eq!(
        after(&mut sim, 12_600),
        [
            "the pod is terminating: 12.4 s of grace left",
            "log waits until proxy and web have ended",
            "proxy waits until web has ended",
            "web is being stopped: its preStop has run 2.6 s"
        ]
    );
    assert_eq!(
        after(&mut sim, 15_000)[2..],
        ["proxy waits until web has ended", "web is being stopped: SIGTERM was sent 2 s ago"]
    );
    assert_eq!(
        after(&mut sim, 17_500)[1..],
        ["log waits until proxy has ended", "proxy is being stopped: SIGTERM was sent 0.5 s ago"]
            .map(|text| text.replace("0.5 s", "500 ms"))
    );
}

#[test]
fn a_container_that_failed_a_probe_is_being_stopped() {
    let liveness = crate::lifecycle::Probe { grace: Some(s(5)), ..probe(2, 2, 1) };
    let sick = app("web", on().ignores_term()).liveness(Answer::Fail, liveness);
    let mut sim = pod(Always, &[sick, app("other", on())]);
    assert_eq!(
        after(&mut sim, 4_000),
        [
            "web is being stopped, because its liveness probe failed: SIGTERM was sent 2 s ago; 3 s of grace left"
        ]
    );
}

#[test]
fn the_end_names_who_has_failed() {
    assert_eq!(
        ended(pod(Never, &[app("job", run().d(3))])),
        "the pod has ended: Succeeded after 3 s, because every app has ended with exit code 0"
    );
    assert_eq!(
        ended(pod(Never, &[app("job", run().d(3)), app("other", run().d(2).e(4))])),
        "the pod has ended: Failed after 3 s, because app other has failed: exit code 4 (Error)"
    );
    assert_eq!(
        ended(pod(Never, &[init("migrate", run().d(2).e(1)), app("web", on())])),
        "the pod has ended: Failed after 2 s, because init container migrate has failed: exit code 1 (Error)"
    );
    assert_eq!(
        ended(pod_with(Always, 1, Some(5), &[app("web", on())])),
        "the pod has ended: Failed after 5 s, because activeDeadlineSeconds has run out"
    );
    let mut sim = pod(Always, &[init("migrate", on()), app("web", on())]);
    sim.stop_at(s(4), s(3));
    assert_eq!(
        ended(sim),
        "the pod has ended: Failed after 4 s, because it was stopped before app web had run"
    );
    let mut sim = pod(Always, &[app("web", on().ignores_term())]);
    sim.stop_at(s(4), s(3));
    assert_eq!(
        ended(sim),
        "the pod has ended: Failed after 7 s, because app web has failed: SIGKILL, exit code 137 (Error), when the pod was stopped"
    );
}

#[test]
fn a_pod_whose_init_is_gone_is_lost() {
    let mut sim = pod(Always, &[init("migrate", run().d(2)), app("web", on())]);
    sim.run_until(s(5));
    let mut log = log(&sim);
    assert_eq!(
        texts(why(&log, None)),
        [
            "the pod is lost: its pod init is gone, and its containers with it; the last that is known, at 2 s: \
          migrate has ended: exit code 0 (Completed); web is running and ready"
        ]
    );
    log.entries.clear();
    assert_eq!(texts(why(&log, None)), ["the pod never started: its sandbox was not ready"]);
    assert_eq!(texts(why(&log, Some(s(1)))), ["the pod waits for its sandbox: it has been made for 1 s"]);
}

#[test]
fn one_container_can_be_asked_for() {
    let mut sim = pod(Always, &[init("migrate", run().d(9)), app("web", on())]);
    sim.run_until(s(5));
    let of = |log: &Log, name| texts(why_container(log, Some(s(5)), name));
    let early = log(&sim);
    assert_eq!(of(&early, "web"), ["web waits for init container migrate: it has run 5 s"]);
    assert_eq!(of(&early, "migrate"), ["migrate waits for nothing: it is running"]);
    sim.run_until(s(10));
    assert_eq!(
        of(&log(&sim), "migrate"),
        ["migrate waits for nothing: it has ended: exit code 0 (Completed)"]
    );
}

#[test]
fn when_everything_is_restarted_the_gates_are_shut_again() {
    let rule = crate::lifecycle::RuleAction::RestartAllContainers;
    let ctrs = [
        init("migrate", run().d(5)),
        app("web", run().d(2).e(42)).then(on()).rule(rule, true, &[42]),
        app("other", on()),
    ];
    let mut sim = pod(Always, &ctrs);
    assert_eq!(
        after(&mut sim, 9_000),
        [
            "web waits for init container migrate: it has run 2 s",
            "other waits for init container migrate: it has run 2 s"
        ]
    );
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn there_is_always_something_to_say(
        number in proptest::num::u64::ANY,
        stop in 0u64..=200,
        seen in 0u64..=300,
    ) {
        let Schedule { spec, ctrs, .. } = Schedule::number(number);
        let mut sim = Sim::new(spec, &ctrs);
        sim.stop_at(s(stop) / 2, s(10));
        sim.run_until(s(seen) / 2);
        let log = log(&sim);
        for now in [None, Some(sim.now)] {
            let all = why(&log, now);
            proptest::prop_assert!(!all.is_empty() && all.iter().all(|one| !one.text.contains('\n')));
            // The lifecycle agrees that nothing is waited for.
            if now.is_some() && all[0].text.starts_with("nothing is waiting") {
                let status = sim.pod.snapshot(sim.now);
                for (container, state) in ctrs.iter().zip(status.containers) {
                    let running = matches!(state.state, crate::lifecycle::ContainerState::Running { .. });
                    proptest::prop_assert!(!running || state.ready || container.spec.kind == Kind::Init, "{all:?}");
                }
            }
            for ctr in &ctrs {
                proptest::prop_assert!(!why_container(&log, now, &ctr.spec.name).is_empty());
            }
        }
    }
}
