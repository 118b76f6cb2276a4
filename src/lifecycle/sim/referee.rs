//! A referee: sees the events that go into the lifecycle and the actions that come out, and nothing of its inside. It keeps
//! a book of its own by the rules, and blows the whistle ([`super::fouls`]) with the number of the one that was broken.

use std::time::Duration;

use crate::lifecycle::*;

/// What the referee's book says of a pod.
#[derive(Debug)]
pub struct Referee {
    pub(super) spec: PodSpec,
    pub(super) seen: Vec<Seen>,
    pub(super) begun: Option<Time>,
    /// The pod ends, and its budget is spent then.
    pub(super) ending: Option<Time>,
    pub(super) deadline_exceeded: bool,
    /// A rule wants every container restarted (R29).
    pub(super) restarting_all: bool,
    pub(super) ended: Option<Phase>,
}

/// What it says of a container.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub state: State,
    /// Instances that there were and are.
    pub instances: u32,
    /// The entries after it may start (R2, R3, R5).
    pub passed: bool,
    /// It was up, or has ended, once (R89).
    pub was_up: bool,
    /// Exit code of its last instance since the pod, or everything in it, was started.
    pub code: Option<i32>,
    /// Back-off: how long after its end the next instance is held back, and when the last one was let through (R32).
    pub delay: Option<(Duration, Time)>,
}

#[derive(Debug, Default)]
pub(super) enum State {
    #[default]
    Idle,
    /// Its start was asked for.
    Asked,
    Alive(Alive),
    Over(Over),
}

#[derive(Debug)]
pub(super) struct Alive {
    pub since: Time,
    pub post_start: Hooked,
    /// postStart and the startup probe have succeeded (R3, R101).
    pub started: bool,
    pub probes: Vec<Watched>,
    pub stop: Option<Stop>,
}

/// A hook that is to come, runs (until then, if it is a sleep), or does not matter any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hooked {
    Due,
    Runs(Option<Time>),
    Over { well: bool },
}

impl Hooked {
    fn beginning(now: Time, hook: Option<Hook>) -> Hooked {
        match hook {
            None => Hooked::Over { well: true },
            Some(Hook::Helper) => Hooked::Due,
            Some(Hook::Sleep(time)) => Hooked::Runs(Some(now + time)),
        }
    }

    pub fn cut_off(&mut self) {
        if !matches!(self, Hooked::Over { .. }) {
            *self = Hooked::Over { well: false };
        }
    }
}

/// An instance that is being stopped.
#[derive(Debug)]
pub(super) struct Stop {
    pub since: Time,
    /// Its budget is spent then.
    pub until: Time,
    pub pre_stop: Hooked,
    pub by_probe: bool,
    pub term: Option<Time>,
    pub killed: bool,
}

#[derive(Debug)]
pub(super) struct Over {
    pub at: Time,
    /// When the next instance is due, if one is.
    pub back: Option<Time>,
    /// The rule that says whether one is.
    pub rule: &'static str,
    /// False: no process came into being, and it is no instance (R6).
    pub created: bool,
}

#[derive(Debug)]
pub(super) struct Watched {
    pub kind: ProbeKind,
    pub probe: Probe,
    /// When it is to run next.
    pub next: Option<Time>,
    pub running: bool,
    /// Not again in this instance (R68, R74, R84).
    pub halted: bool,
    /// How often the newest result came in a row, and the one that reached its threshold last (R77).
    pub row: (bool, u32),
    pub ok: bool,
}

impl Alive {
    pub fn is_up(&self) -> bool {
        self.post_start == Hooked::Over { well: true }
    }

    pub fn says(&self, kind: ProbeKind) -> bool {
        self.probes.iter().all(|watched| watched.kind != kind || watched.ok)
    }

    fn stops(&mut self, now: Time, until: Time, pre_stop: Option<Hook>, by_probe: bool) {
        if self.stop.is_some() {
            return;
        }
        // R47: no time, no preStop.
        let pre_stop = Hooked::beginning(now, pre_stop.filter(|_| until > now));
        self.stop = Some(Stop { since: now, until, pre_stop, by_probe, term: None, killed: false });
        self.post_start.cut_off();
        let others = self.probes.iter_mut().filter(|watched| watched.kind != ProbeKind::Readiness);
        others.for_each(|watched| (watched.halted, watched.running) = (true, false)); // R68, R69
    }
}

impl Seen {
    pub fn alive(&self) -> Option<&Alive> {
        if let State::Alive(alive) = &self.state { Some(alive) } else { None }
    }

    fn alive_mut(&mut self) -> Option<&mut Alive> {
        if let State::Alive(alive) = &mut self.state { Some(alive) } else { None }
    }

    pub fn is_gone(&self) -> bool {
        matches!(self.state, State::Idle | State::Over(_))
    }

    fn has_ended_for_good(&self) -> bool {
        matches!(self.state, State::Over(Over { back: None, .. }))
    }
}

impl Referee {
    pub fn new(spec: PodSpec) -> Referee {
        Referee {
            seen: spec.containers.iter().map(|_| Seen::default()).collect(),
            spec,
            begun: None,
            ending: None,
            deadline_exceeded: false,
            restarting_all: false,
            ended: None,
        }
    }

    /// Takes an event into the book, and what follows from it by the rules.
    pub fn event(&mut self, now: Time, event: &Event) {
        match event {
            Event::Begin => self.begun = self.begun.or(Some(now)),
            Event::Started(instance) => self.comes_up(now, instance.container),
            Event::StartFailed { instance, reason, .. } => {
                // R6: it holds up no app; if it could not even be created, it is tried again whatever the policy.
                let index = instance.container;
                self.seen[index].passed |= self.spec.containers[index].kind == Kind::App;
                if reason.starts_with("CreateContainer") {
                    let back = Some(self.held_until(index, now));
                    self.seen[index].state = State::Over(Over { at: now, back, rule: "R6", created: false });
                } else {
                    self.seen[index].instances += 1;
                    self.ends(now, index, 128, false);
                }
            }
            Event::Exited { instance, exit } => {
                let stop = self.seen[instance.container].alive().and_then(|alive| alive.stop.as_ref());
                let by_probe = stop.is_some_and(|stop| stop.by_probe);
                self.ends(now, instance.container, exit.code, by_probe);
            }
            Event::HookEnded { instance, hook, result } => {
                self.hook_ended(now, *instance, *hook, result.is_ok());
            }
            Event::ProbeEnded { instance, probe, result, .. } => {
                self.probe_ended(now, instance.container, *probe, *result);
            }
            Event::Stop { grace } => self.terminates(now, *grace, true),
            Event::Tick => {}
        }
        self.follow(now);
    }

    fn comes_up(&mut self, now: Time, index: Index) {
        let spec = &self.spec.containers[index];
        let probes = [
            (ProbeKind::Startup, &spec.startup),
            (ProbeKind::Liveness, &spec.liveness),
            (ProbeKind::Readiness, &spec.readiness),
        ];
        let watched = |(kind, probe): (ProbeKind, &Option<Probe>)| {
            let probe = probe.clone()?;
            let (next, running, halted, row, ok) = (None, false, false, (false, 0), false); // R76
            Some(Watched { kind, probe, next, running, halted, row, ok })
        };
        let post_start = Hooked::beginning(now, spec.post_start);
        let probes = probes.into_iter().filter_map(watched).collect();
        self.seen[index].instances += 1;
        self.seen[index].state =
            State::Alive(Alive { since: now, post_start, started: false, probes, stop: None });
    }

    /// An instance has ended.
    fn ends(&mut self, now: Time, index: Index, code: i32, by_probe: bool) {
        let (verdict, rule) = self.verdict(index, code, by_probe);
        let back = (verdict == Some(RuleAction::Restart)).then(|| self.held_until(index, now));
        let kind = self.spec.containers[index].kind;
        self.restarting_all |= verdict == Some(RuleAction::RestartAllContainers);
        let seen = &mut self.seen[index];
        seen.passed |= kind == Kind::App || (kind == Kind::Init && code == 0); // R2, R5
        (seen.was_up, seen.code) = (true, Some(code));
        seen.state = State::Over(Over { at: now, back, rule, created: true });
    }

    /// Whether the end of an instance is followed by another one, and the rule that says so.
    fn verdict(&self, index: Index, code: i32, by_probe: bool) -> (Option<RuleAction>, &'static str) {
        let spec = &self.spec.containers[index];
        if (spec.kind, code) == (Kind::Init, 0) {
            return (None, "R11, R17");
        }
        for rule in &spec.rules {
            if rule.codes.contains(&code) == rule.within {
                return (Some(rule.action), "R26");
            }
        }
        if spec.kind == Kind::Sidecar {
            return (Some(RuleAction::Restart), "R18");
        }
        let rule = match (spec.restart_policy, by_probe, spec.kind) {
            (_, true, _) => "R20",
            (Some(_), ..) => "R25, R27",
            (None, false, Kind::Init) => "R17",
            (None, false, _) => "R16",
        };
        let again = match spec.restart_policy.unwrap_or(self.spec.restart_policy) {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => code != 0 || by_probe,
            RestartPolicy::Never => false,
        };
        (again.then_some(RuleAction::Restart), rule)
    }

    /// Back-off of a container whose instance ended then, unless it lived so long that all is forgotten (R32, R33).
    fn delay(&self, index: Index, finished: Time) -> Option<Duration> {
        let (delay, stamp) = self.seen[index].delay?;
        (finished <= stamp + 2 * self.spec.backoff.max).then_some(delay)
    }

    fn held_until(&self, index: Index, finished: Time) -> Time {
        finished + self.delay(index, finished).unwrap_or_default()
    }

    /// A restart is let through: the next one is held back for the first time, or twice as long (R31).
    pub(super) fn lets_through(&mut self, now: Time, index: Index, finished: Time) {
        let Backoff { first, max } = self.spec.backoff;
        let delay = self.delay(index, finished).map_or(first, |delay| 2 * delay);
        self.seen[index].delay = Some((delay.min(max), now));
    }

    fn hook_ended(&mut self, now: Time, instance: Instance, hook: HookKind, well: bool) {
        let (spec, grace) = (&self.spec.containers[instance.container], self.spec.grace);
        let seen = &mut self.seen[instance.container];
        let Some(alive) = seen.alive_mut() else { return };
        match (hook, &mut alive.stop) {
            (HookKind::PreStop, Some(stop)) => stop.pre_stop = Hooked::Over { well }, // R45
            (HookKind::PreStop, None) => {}
            (HookKind::PostStart, _) => {
                alive.post_start = Hooked::Over { well };
                if !well {
                    // R41; whoever waited for it to return need not wait any more (R5, R6), unless it is a sidecar (R7).
                    alive.stops(now, now + grace, spec.pre_stop, false);
                    seen.passed |= spec.kind == Kind::App;
                }
            }
        }
    }

    fn probe_ended(&mut self, now: Time, index: Index, kind: ProbeKind, result: ProbeResult) {
        let (spec, grace) = (&self.spec.containers[index], self.spec.grace);
        let Some(alive) = self.seen[index].alive_mut() else { return };
        let Some(watched) = alive.probes.iter_mut().find(|watched| watched.kind == kind) else { return };
        watched.running = false;
        let success = match result {
            ProbeResult::Success | ProbeResult::Warning => true, // R81
            ProbeResult::Failure => false,
            ProbeResult::Unknown => return, // R83
        };
        watched.row = (success, if watched.row.0 == success { watched.row.1 + 1 } else { 1 });
        let probe = &watched.probe;
        let threshold = if success { probe.success_threshold } else { probe.failure_threshold };
        if watched.row.1 < threshold {
            return; // R77
        }
        watched.ok = success;
        watched.halted |= kind == ProbeKind::Startup && success; // R74
        let until = now + probe.grace.unwrap_or(grace); // R66
        if !success && kind != ProbeKind::Readiness {
            alive.stops(now, until, spec.pre_stop, true); // R20, R42; R78
        }
    }

    /// The pod is to end within this grace: asked for (R54, R67), too late (R102), or by itself (R63).
    fn terminates(&mut self, now: Time, grace: Duration, forced: bool) {
        let first = self.ending.is_none();
        let until = self.ending.map_or(now + grace, |before| before.min(now + grace));
        self.ending = Some(until);
        for stop in self.seen.iter_mut().filter_map(Seen::alive_mut).filter_map(|alive| alive.stop.as_mut()) {
            stop.until = if first && forced { until } else { stop.until.min(until) }; // R66
            if stop.until <= now && stop.pre_stop == Hooked::Due {
                stop.pre_stop = Hooked::Over { well: false }; // R47
            }
        }
    }

    /// What follows now without anybody's doing.
    fn follow(&mut self, now: Time) {
        let deadline = self.begun.zip(self.spec.deadline).map(|(begun, deadline)| begun + deadline);
        if self.ending.is_none() && deadline.is_some_and(|deadline| now >= deadline) {
            self.deadline_exceeded = true;
            self.terminates(now, self.spec.grace, true); // R102
        }
        if self.begun.is_some() && self.ending.is_none() && !self.restarting_all && self.is_complete() {
            self.terminates(now, self.spec.grace, false); // R22, R63, R64, R94
        }
        if self.restarting_all && self.ending.is_none() && self.seen.iter().all(Seen::is_gone) {
            self.restarting_all = false; // R29, R30
            for seen in &mut self.seen {
                (seen.state, seen.passed, seen.code) = (State::Idle, false, None);
            }
        }
        let (ending, restarting_all) = (self.ending, self.restarting_all);
        for (seen, spec) in self.seen.iter_mut().zip(&self.spec.containers) {
            let State::Alive(alive) = &mut seen.state else { continue };
            if let Some(until) = ending {
                alive.stops(now, until, spec.pre_stop, false);
            }
            if restarting_all {
                alive.post_start.cut_off(); // R29
            }
            let sleeps = [Some(&mut alive.post_start), alive.stop.as_mut().map(|stop| &mut stop.pre_stop)];
            for sleep in sleeps.into_iter().flatten() {
                if matches!(sleep, Hooked::Runs(Some(until)) if now >= *until) {
                    *sleep = Hooked::Over { well: true }; // R50
                }
            }
            seen.was_up |= alive.is_up();
            alive.started |= alive.is_up() && alive.says(ProbeKind::Startup); // R3
            seen.passed |= match spec.kind {
                Kind::Init => false,
                Kind::Sidecar => alive.started,
                Kind::App => alive.is_up(),
            };
            let (since, is_up, started) = (alive.since, alive.is_up(), alive.started);
            for watched in &mut alive.probes {
                let may_begin = if watched.kind == ProbeKind::Startup { is_up } else { started }; // R40, R73
                let first = now.max(since + watched.probe.initial_delay); // R75, R79
                watched.next = watched.next.or(may_begin.then_some(first));
            }
        }
    }

    /// Nothing is left that could make the pod go on.
    fn is_complete(&self) -> bool {
        let of_kind = |kind| {
            let is = move |(_, spec): &(&Seen, &ContainerSpec)| spec.kind == kind;
            self.seen.iter().zip(&self.spec.containers).filter(is).map(|(seen, _)| seen)
        };
        of_kind(Kind::Init).any(|init| init.has_ended_for_good() && init.code != Some(0))
            || of_kind(Kind::App).all(Seen::has_ended_for_good)
    }
}
