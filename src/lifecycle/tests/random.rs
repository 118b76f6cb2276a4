//! Random pods with random luck, stopped at random times. What must hold is asserted at each step by the simulator.
//!
//! `PROPTEST_CASES` sets how many are tried.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;

use crate::lifecycle::sim::*;
use crate::lifecycle::*;

pub(crate) fn halves(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(|half_seconds| Duration::from_millis(half_seconds * 500))
}

fn a_run() -> impl Strategy<Value = Run> {
    let fails = weighted(0.08, prop_oneof![Just("CreateContainerError"), Just("RunContainerError")]);
    let duration = prop_oneof![3 => halves(0..=20), 1 => Just(s(100_000))];
    let code = prop_oneof![3 => Just(0), 1 => Just(1), 1 => Just(42)];
    let term = weighted(0.8, halves(0..=12));
    (halves(0..=2), fails, halves(0..=4), duration, code, term).prop_map(
        |(latency, fails, start_delay, duration, code, term)| Run {
            latency,
            fails,
            start_delay,
            duration,
            code,
            term,
        },
    )
}

fn a_hook() -> impl Strategy<Value = (Option<Hook>, HookScript)> {
    let hook = prop_oneof![Just(Hook::Helper), halves(0..=10).prop_map(Hook::Sleep)];
    let script = (weighted(0.85, halves(0..=10)), prop::bool::weighted(0.7));
    (weighted(0.35, hook), script).prop_map(|(hook, (time, well))| (hook, HookScript(time, well)))
}

fn a_probe(readiness: bool) -> impl Strategy<Value = (Option<Probe>, (Answer, Duration))> {
    let threshold = if readiness { 1..=2u32 } else { 1..=1 };
    let grace = weighted(0.3, halves(2..=10));
    let probe = (halves(0..=8), halves(2..=6), halves(2..=4), 1..=3u32, threshold, grace).prop_map(
        move |(initial_delay, period, timeout, failure_threshold, success_threshold, grace)| Probe {
            initial_delay,
            period,
            timeout,
            failure_threshold,
            success_threshold,
            grace: grace.filter(|_| !readiness),
        },
    );
    let answer = prop_oneof![
        4 => Just(Answer::Ok),
        1 => Just(Answer::Fail),
        1 => Just(Answer::Unknown),
        1 => Just(Answer::OnceStarted),
        1 => halves(0..=20).prop_map(Answer::From),
        1 => halves(0..=20).prop_map(Answer::Until),
        1 => Just(Answer::Hangs),
    ];
    (weighted(0.3, probe), (answer, halves(0..=5)))
}

fn a_policy() -> impl Strategy<Value = RestartPolicy> {
    use RestartPolicy::*;
    prop_oneof![Just(Always), Just(OnFailure), Just(Never)]
}

fn a_rule() -> impl Strategy<Value = RestartRule> {
    let action = prop_oneof![4 => Just(RuleAction::Restart), 1 => Just(RuleAction::RestartAllContainers)];
    let code = prop_oneof![Just(1), Just(42)];
    (action, any::<bool>(), code).prop_map(|(action, within, code)| {
        // "NotIn" would restart all containers for ever, also after success.
        let within = within || action == RuleAction::RestartAllContainers;
        RestartRule { action, within, codes: vec![code] }
    })
}

fn a_ctr(kinds: &'static [Kind]) -> impl Strategy<Value = Ctr> {
    let settings = (prop::sample::select(kinds), weighted(0.2, a_policy()), vec(a_rule(), 0..=1));
    let hooks = (a_hook(), a_hook());
    let probes = (a_probe(false), a_probe(false), a_probe(true));
    (settings, vec(a_run(), 1..=4), hooks, probes).prop_map(
        |((kind, restart_policy, rules), mut runs, (post, pre), (startup, liveness, readiness))| {
            // A pod that restarts all its containers without back-off must take some time for it.
            runs.iter_mut()
                .for_each(|run| run.latency += Duration::from_millis(if rules.is_empty() { 0 } else { 500 }));
            let spec = ContainerSpec {
                name: String::new(),
                kind,
                restart_policy: restart_policy.filter(|_| kind != Kind::Sidecar),
                rules,
                post_start: post.0.filter(|_| kind != Kind::Init),
                pre_stop: pre.0.filter(|_| kind != Kind::Init),
                startup: startup.0.filter(|_| kind != Kind::Init),
                liveness: liveness.0.filter(|_| kind != Kind::Init),
                readiness: readiness.0.filter(|_| kind != Kind::Init),
            };
            let answers = [startup.1, liveness.1, readiness.1];
            Ctr { spec, runs, post_start: post.1, pre_stop: pre.1, answers }
        },
    )
}

pub(crate) fn a_pod() -> impl Strategy<Value = (PodSpec, Vec<Ctr>)> {
    let inits = vec(a_ctr(&[Kind::Init, Kind::Sidecar]), 0..=4);
    let apps = vec(a_ctr(&[Kind::App]), 1..=3);
    let times = (halves(0..=20), weighted(0.2, halves(0..=100)), halves(2..=20), halves(10..=60));
    (inits, apps, a_policy(), times).prop_map(
        |(inits, apps, restart_policy, (grace, deadline, first, max))| {
            let mut ctrs = [inits, apps].concat();
            for (index, ctr) in ctrs.iter_mut().enumerate() {
                ctr.spec.name = format!("c{index}");
            }
            let containers = ctrs.iter().map(|ctr| ctr.spec.clone()).collect();
            let backoff = Backoff { first, max };
            (PodSpec { containers, restart_policy, grace, deadline, backoff }, ctrs)
        },
    )
}

fn an_event() -> impl Strategy<Value = Event> {
    let instance = (0..4usize, 0..3u32).prop_map(|(container, attempt)| Instance { container, attempt });
    let hook = prop_oneof![Just(HookKind::PostStart), Just(HookKind::PreStop)];
    let probe = prop::sample::select(&[ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness]);
    let exit = (0..2i32).prop_map(|code| Exit { code, signal: None, oom_killed: false, message: None });
    let result = any::<bool>().prop_map(|well| if well { Ok(String::new()) } else { Err("no".to_string()) });
    let outcome = any::<bool>()
        .prop_map(|well| if well { ProbeOutcome::Success } else { ProbeOutcome::Failure("no".to_string()) });
    let reason = prop_oneof![Just("CreateContainerError"), Just("StartError")].prop_map(str::to_string);
    prop_oneof![
        1 => Just(Event::Begin),
        8 => instance.clone().prop_map(Event::Started),
        1 => (instance.clone(), reason)
            .prop_map(|(instance, reason)| Event::StartFailed { instance, reason, message: String::new() }),
        4 => (instance.clone(), exit).prop_map(|(instance, exit)| Event::Exited { instance, exit }),
        2 => (instance.clone(), hook, result)
            .prop_map(|(instance, hook, result)| Event::HookEnded { instance, hook, result }),
        2 => (instance, probe, outcome)
            .prop_map(|(instance, probe, outcome)| Event::ProbeEnded { instance, probe, outcome }),
        1 => halves(0..=40).prop_map(|grace| Event::Stop { grace }),
        2 => Just(Event::Tick),
    ]
}

/// As many cases as `PROPTEST_CASES` says, else 1000: a few seconds for all of them.
fn config() -> ProptestConfig {
    let set = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: set.unwrap_or(1000), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_pod_keeps_the_rules_and_ends(
        (spec, ctrs) in a_pod(),
        stops in vec((halves(0..=200), halves(0..=40)), 0..=3),
        last in halves(0..=40),
    ) {
        let mut sim = Sim::new(spec, &ctrs);
        for (at, grace) in stops {
            sim.stop_at(at, grace);
        }
        // A pod that would run for ever is stopped in the end, and then it ends.
        sim.stop_at(s(200), last);
        sim.run_until(s(100_000));
        prop_assert!(sim.ended.is_some());
        prop_assert_eq!(sim.pod.next_wakeup(), None);
    }

    #[test]
    fn ticks_that_nobody_asked_for_change_nothing(
        (spec, ctrs) in a_pod(),
        ticks in vec(halves(0..=120), 1..=20),
    ) {
        let mut plain = Sim::new(spec.clone(), &ctrs);
        let mut ticked = Sim::new(spec, &ctrs);
        for at in ticks {
            ticked.tick_at(at + Duration::from_millis(250));
        }
        for sim in [&mut plain, &mut ticked] {
            sim.stop_at(s(60), s(5));
            sim.run_until(s(1000));
        }
        prop_assert_eq!(plain.log, ticked.log);
    }

    #[test]
    fn no_sequence_of_events_upsets_the_core(
        (spec, _) in a_pod(),
        events in vec((halves(0..=10), an_event()), 0..=60),
    ) {
        let mut pod = Lifecycle::new(spec);
        let mut now = Time::ZERO;
        let mut alive = std::collections::BTreeSet::new();
        let mut ended = false;
        for (pause, event) in events {
            now += pause;
            for action in pod.step(now, event) {
                prop_assert!(!ended, "End is the last action");
                match action {
                    Action::Start(instance) => { alive.insert(instance); }
                    Action::End(phase) => ended = phase.is_terminal(),
                    Action::Terminate(instance) | Action::Kill(instance) => {
                        prop_assert!(alive.contains(&instance));
                    }
                    _ => {}
                }
            }
            prop_assert!(pod.next_wakeup().is_none_or(|wakeup| wakeup > now));
            pod.snapshot(now);
        }
    }
}
