//! Random pods with random luck. Each has a number, from which it can be made again.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Answer, Ctr, HookScript, Run, Sim, s};
use crate::lifecycle::*;

/// SplitMix64: a few lines, and good enough to play dice with.
pub struct Dice(u64);

impl Dice {
    pub fn new(number: u64) -> Dice {
        Dice(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of this range.
    pub fn roll(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.next() % (range.end() - range.start() + 1)
    }

    /// True so many times out of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    /// One of these; what is to come more often stands there more often.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll(0..=all.len() as u64 - 1) as usize]
    }

    /// So many half seconds: things shall often happen at the same moment.
    pub fn halves(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(500 * self.roll(range))
    }
}

/// A pod, what its programs do, and when somebody wants it to stop.
pub struct Schedule {
    pub spec: PodSpec,
    pub ctrs: Vec<Ctr>,
    /// When, and with which grace.
    pub stops: Vec<(Time, Duration)>,
}

impl Schedule {
    /// The schedule with this number.
    pub fn number(number: u64) -> Schedule {
        let dice = &mut Dice::new(number);
        let inits = dice.roll(0..=5);
        let apps = dice.roll(1..=5);
        let kind = |index, dice: &mut Dice| match index < inits {
            true => dice.pick(&[Kind::Init, Kind::Sidecar]),
            false => Kind::App,
        };
        let ctrs: Vec<Ctr> = (0..inits + apps).map(|index| ctr(index, kind(index, dice), dice)).collect();
        let spec = PodSpec {
            containers: ctrs.iter().map(|ctr| ctr.spec.clone()).collect(),
            restart_policy: policy(dice),
            grace: dice.halves(0..=20),
            deadline: dice.percent(15).then(|| dice.halves(0..=150)),
            backoff: Backoff { first: dice.halves(2..=20), max: dice.halves(10..=60) },
        };
        let mut stops: Vec<_> =
            (0..dice.pick(&[0, 0, 1, 1, 2])).map(|_| (dice.halves(0..=200), dice.halves(0..=40))).collect();
        // A pod that would run for ever is stopped in the end, and then it ends.
        stops.push((s(200), dice.halves(0..=40)));
        Schedule { spec, ctrs, stops }
    }

    /// The pod at its beginning, with its stops to come.
    pub fn begin(&self) -> Sim {
        let mut sim = Sim::new(self.spec.clone(), &self.ctrs);
        for (at, grace) in &self.stops {
            sim.stop_at(*at, *grace);
        }
        sim
    }
}

fn ctr(index: u64, kind: Kind, dice: &mut Dice) -> Ctr {
    let rules: Vec<RestartRule> = (0..dice.pick(&[0, 0, 0, 1, 2])).map(|_| rule(dice)).collect();
    let mut runs: Vec<Run> = (0..dice.roll(1..=4)).map(|_| run(kind, dice)).collect();
    // A pod that restarts all its containers without back-off must take some time for it.
    let slower = Duration::from_millis(if rules.is_empty() { 0 } else { 500 });
    runs.iter_mut().for_each(|run| run.latency += slower);
    let own_policy = kind != Kind::Sidecar && dice.percent(20);
    let mut spec = ContainerSpec {
        name: format!("c{index}"),
        kind,
        restart_policy: own_policy.then(|| policy(dice)),
        rules,
        post_start: None,
        pre_stop: None,
        startup: None,
        liveness: None,
        readiness: None,
    };
    if kind != Kind::Init {
        spec.post_start = hook(30, dice);
        spec.pre_stop = hook(40, dice);
        spec.startup = probe(false, dice);
        spec.liveness = probe(false, dice);
        spec.readiness = probe(true, dice);
    }
    let mut script = || HookScript(dice.percent(85).then(|| dice.halves(0..=10)), dice.percent(70));
    let (post_start, pre_stop) = (script(), script());
    let answers = [(); 3].map(|()| (answer(dice), dice.halves(0..=5)));
    Ctr { spec, runs, post_start, pre_stop, answers }
}

fn run(kind: Kind, dice: &mut Dice) -> Run {
    let fails =
        dice.percent(6).then(|| dice.pick(&["CreateContainerError", "RunContainerError", "StartError"]));
    // Inits that run for ever or fail again and again let nobody else play.
    let for_ever = dice.percent(if kind == Kind::Init { 3 } else { 35 });
    let well = dice.percent(if kind == Kind::Init { 75 } else { 50 });
    Run {
        latency: dice.halves(0..=2),
        fails,
        start_delay: dice.halves(0..=4),
        duration: if for_ever { s(100_000) } else { dice.halves(0..=30) },
        code: if well { 0 } else { dice.pick(&[1, 2, 42]) },
        term: dice.percent(80).then(|| dice.halves(0..=12)),
    }
}

fn policy(dice: &mut Dice) -> RestartPolicy {
    dice.pick(&[RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never])
}

fn rule(dice: &mut Dice) -> RestartRule {
    use RuleAction::*;
    let action = dice.pick(&[Restart, Restart, Restart, RestartAllContainers]);
    // "NotIn" would restart all containers for ever, also after success.
    let within = dice.percent(50) || action == RestartAllContainers;
    RestartRule { action, within, codes: vec![dice.pick(&[1, 2, 42, 137])] }
}

fn hook(percent: u64, dice: &mut Dice) -> Option<Hook> {
    let hook = if dice.percent(50) { Hook::Helper } else { Hook::Sleep(dice.halves(0..=10)) };
    dice.percent(percent).then_some(hook)
}

fn probe(readiness: bool, dice: &mut Dice) -> Option<Probe> {
    let probe = Probe {
        initial_delay: dice.halves(0..=8),
        period: dice.halves(2..=6),
        timeout: dice.halves(2..=4),
        failure_threshold: dice.roll(1..=3) as u32,
        success_threshold: if readiness { dice.roll(1..=2) as u32 } else { 1 },
        grace: (!readiness && dice.percent(30)).then(|| dice.halves(2..=10)),
    };
    dice.percent(30).then_some(probe)
}

fn answer(dice: &mut Dice) -> Answer {
    let at = dice.halves(0..=20);
    let (ok, others) = (Answer::Ok, [Answer::Fail, Answer::Unknown, Answer::OnceStarted, Answer::Hangs]);
    match dice.roll(0..=9) {
        0..=3 => ok,
        4 | 5 => Answer::From(at),
        6 | 7 => Answer::Until(at),
        _ => dice.pick(&others),
    }
}
