//! Random pods with random luck, stopped at random times; the simulator's referee watches every step.

use std::io::Write;

use crate::lifecycle::sim::*;
use crate::lifecycle::*;

/// Says which schedule it was that failed.
struct Number(u64);

impl Drop for Number {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was schedule {}", self.0);
        }
    }
}

/// `BAREPOD_TEST_SLOW` (scripts/test --slow) sets the full number.
fn full() -> bool {
    std::env::var_os("BAREPOD_TEST_SLOW").is_some()
}

#[test]
fn any_pod_keeps_the_rules_and_ends() {
    let schedules = if full() { 100_000 } else { 2_000 };
    let start = std::time::Instant::now();
    let (mut containers, mut events) = (0, 0);
    for number in 0..schedules {
        let _number = Number(number);
        let schedule = Schedule::number(number);
        let mut sim = schedule.begin();
        sim.run_until(s(100_000));
        assert!(sim.ended.is_some(), "R58: a pod that was stopped ends");
        assert_eq!(sim.pod.next_wakeup(), None);
        containers += schedule.ctrs.len();
        events += sim.events;
    }
    let average = |sum: usize| sum as f64 / schedules as f64;
    let (containers, events) = (average(containers), average(events));
    let took = start.elapsed().as_secs_f64();
    let figures =
        format!("{schedules} schedules, on average {containers:.1} containers and {events:.1} events");
    if full() {
        // Not by println!, which is shown for failures only.
        writeln!(std::io::stderr(), "{figures}: {took:.1} s").unwrap();
    }
    assert!(containers >= 5.0 && events >= 30.0, "these are too simple");
}

#[test]
fn ticks_that_nobody_asked_for_change_nothing() {
    for number in 0..if full() { 10_000 } else { 300 } {
        let _number = Number(number);
        let schedule = Schedule::number(number);
        let (mut plain, mut ticked) = (schedule.begin(), schedule.begin());
        let dice = &mut Dice::new(number);
        for _ in 0..dice.roll(1..=20) {
            ticked.tick_at(dice.halves(0..=120) + std::time::Duration::from_millis(250));
        }
        for sim in [&mut plain, &mut ticked] {
            sim.run_until(s(100_000));
        }
        assert_eq!(plain.log, ticked.log);
    }
}

fn an_event(dice: &mut Dice) -> Event {
    let instance = Instance { container: dice.roll(0..=5) as usize, attempt: dice.roll(0..=2) as u32 };
    let hook = dice.pick(&[HookKind::PostStart, HookKind::PreStop]);
    let probe = dice.pick(&[ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness]);
    let words = String::new;
    match dice.roll(0..=19) {
        0 => Event::Begin,
        1..=8 => Event::Started(instance),
        9 => {
            let reason = dice.pick(&["CreateContainerError", "StartError"]).to_string();
            Event::StartFailed { instance, reason, message: words() }
        }
        10..=13 => {
            let exit = Exit { code: dice.pick(&[0, 1]), signal: None, oom_killed: false, message: None };
            Event::Exited { instance, exit }
        }
        14 | 15 => {
            let result = if dice.percent(50) { Ok(words()) } else { Err(words()) };
            Event::HookEnded { instance, hook, result }
        }
        16 | 17 => {
            let result = dice.pick(&[ProbeResult::Success, ProbeResult::Failure]);
            Event::ProbeEnded { instance, probe, result, code: Some(0), words: words() }
        }
        18 => Event::Stop { grace: dice.halves(0..=40) },
        _ => Event::Tick,
    }
}

#[test]
fn no_sequence_of_events_upsets_the_core() {
    for number in 0..if full() { 20_000 } else { 1_000 } {
        let _number = Number(number);
        let mut pod = Lifecycle::new(Schedule::number(number).spec);
        let dice = &mut Dice::new(number);
        let mut now = Time::ZERO;
        let mut alive = std::collections::BTreeSet::new();
        let mut ended = false;
        for _ in 0..dice.roll(0..=60) {
            now += dice.halves(0..=10);
            for action in pod.step(now, an_event(dice)) {
                assert!(!ended, "End is the last action");
                match action {
                    Action::Start(instance) => drop(alive.insert(instance)),
                    Action::End(phase) => ended = phase.is_terminal(),
                    Action::Terminate(instance) | Action::Kill(instance) => {
                        assert!(alive.contains(&instance));
                    }
                    _ => {}
                }
            }
            assert!(pod.next_wakeup().is_none_or(|wakeup| wakeup > now));
            pod.snapshot(now);
        }
    }
}
