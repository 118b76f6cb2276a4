//! The referee's whistle: what the lifecycle must not do, must not leave undone, and must not say. Every message begins with
//! the rule.

use std::time::Duration;

use super::referee::{Alive, Hooked, Over, Referee, State, Watched};
use crate::lifecycle::*;

/// The least time between SIGTERM and SIGKILL.
const FLOOR: Duration = Duration::from_secs(2);

impl Referee {
    /// Takes an action into the book, if it was allowed.
    pub fn action(&mut self, now: Time, action: &Action) {
        assert!(self.ended.is_none(), "R96: {action:?} after the end");
        match action {
            Action::Start(instance) => self.starts(now, *instance),
            Action::RunHook(instance, hook) => self.runs_hook(now, *instance, *hook),
            Action::AbortHook(instance, hook) => {
                let alive = self.seen[instance.container].alive();
                let stops = alive.and_then(|alive| alive.stop.as_ref());
                let cut_off = *hook == HookKind::PreStop && stops.is_some_and(|_| !self.restarting_all);
                assert!(!cut_off, "R46: preStop of {} dies with its container", self.name(*instance));
            }
            Action::RunProbe(instance, kind) => self.runs_probe(now, *instance, *kind),
            Action::AbortProbe(instance, kind) => {
                let goes_on = *kind == ProbeKind::Readiness && !self.restarting_all;
                let alive = self.seen[instance.container].alive().is_some();
                assert!(!(goes_on && alive), "R68: readiness of {} goes on", self.name(*instance));
            }
            Action::Terminate(instance) => self.sends_sigterm(now, *instance),
            Action::Kill(instance) => self.sends_sigkill(now, *instance),
            Action::Note(_) => {}
            Action::End(phase) => self.ends_pod(*phase),
        }
    }

    fn starts(&mut self, now: Time, instance: Instance) {
        let (index, name) = (instance.container, self.name(instance));
        assert!(self.begun.is_some(), "R1: {name} is started before the pod begins");
        for (earlier, spec) in self.seen[..index].iter().zip(&self.spec.containers) {
            let (rule, what) = match spec.kind {
                Kind::Init => ("R2", "has not exited with 0"),
                Kind::Sidecar => ("R3, R7", "is not Started"),
                Kind::App => ("R5", "has a postStart that has not returned"),
            };
            assert!(earlier.passed, "{rule}: {name} is started although {} {what}", spec.name);
        }
        assert!(self.ending.is_none(), "R21, R22: {name} is started although the pod ends");
        assert!(!self.restarting_all, "R29: {name} is started before everything has been killed");
        assert_eq!(instance.attempt, self.seen[index].instances, "R24: restartCount of {name}");
        match self.seen[index].state {
            State::Idle => {}
            State::Over(Over { at, back, rule, .. }) => {
                let Some(back) = back else { panic!("{rule}: {name} must not be restarted") };
                assert_eq!(now, back, "R31, R32: {name} is due at {back:?} after its end at {at:?}");
                self.lets_through(now, index, at);
            }
            State::Asked | State::Alive(_) => panic!("R24: {name} is there already"),
        }
        self.seen[index].state = State::Asked;
    }

    fn runs_hook(&mut self, now: Time, instance: Instance, hook: HookKind) {
        let name = self.name(instance);
        let alive = self.alive(instance);
        match (hook, &mut alive.stop) {
            (HookKind::PostStart, stop) => {
                assert!(stop.is_none(), "R40: postStart of {name}, which is being stopped");
                assert_eq!(alive.post_start, Hooked::Due, "R39: postStart of {name} runs once");
                alive.post_start = Hooked::Runs(None);
            }
            (HookKind::PreStop, None) => panic!("R42, R43: preStop of {name}, which nobody stops"),
            (HookKind::PreStop, Some(stop)) => {
                assert!(stop.until > now, "R47: preStop of {name}, for which there is no time");
                assert!(stop.term.is_none(), "R44: preStop of {name} after SIGTERM");
                assert_eq!(stop.pre_stop, Hooked::Due, "R49: preStop of {name} runs once");
                stop.pre_stop = Hooked::Runs(None);
            }
        }
    }

    fn runs_probe(&mut self, now: Time, instance: Instance, kind: ProbeKind) {
        let name = self.name(instance);
        let Watched { probe, next, running, halted, .. } = {
            let watched = self.alive(instance).probes.iter_mut().find(|watched| watched.kind == kind);
            watched.unwrap_or_else(|| panic!("R73: {name} has no {kind:?} probe"))
        };
        let Some(due) = *next else { panic!("R40, R73: {kind:?} probe of {name}, which is not Started") };
        let rule = if kind == ProbeKind::Startup { "R74" } else { "R68, R69, R84" };
        assert!(!*halted, "{rule}: {kind:?} probe of {name} goes on");
        assert!(!*running, "R80: {kind:?} probe of {name} overlaps itself");
        assert!(now >= due, "R75: {kind:?} probe of {name} is due at {due:?}");
        *running = true;
        // One that overran its period keeps to the beat afterwards.
        let beats = std::iter::successors(Some(due), |beat| Some(*beat + probe.period));
        *next = beats.into_iter().find(|beat| *beat > now);
    }

    fn sends_sigterm(&mut self, now: Time, instance: Instance) {
        let name = self.name(instance);
        let its_turn = self.is_its_turn(instance.container);
        let Some(stop) = &mut self.alive(instance).stop else {
            panic!("R42, R77, R78: SIGTERM to {name}, which nothing gave a reason to stop")
        };
        assert!(stop.term.is_none() && !stop.killed, "R54: a second SIGTERM to {name}");
        if now < stop.until {
            assert!(
                matches!(stop.pre_stop, Hooked::Over { .. }),
                "R44: SIGTERM to {name} before its preStop"
            );
            assert!(its_turn, "R56: SIGTERM to {name} before apps and later sidecars have ended");
        }
        stop.term = Some(now);
    }

    fn sends_sigkill(&mut self, now: Time, instance: Instance) {
        let (index, name) = (instance.container, self.name(instance));
        let end = self.ending.map(|until| until + FLOOR);
        if let State::Asked = self.seen[index].state {
            assert!(end.is_some_and(|end| now >= end), "R58: SIGKILL to {name} before it came up");
            return;
        }
        let all = self.restarting_all && self.ending.is_none();
        let alive = self.alive(instance);
        if all {
            let pre_stop = Hooked::Over { well: false };
            let (since, until, by_probe) = (now, now, false);
            alive.stop =
                Some(super::referee::Stop { since, until, pre_stop, by_probe, term: None, killed: true });
            alive.post_start.cut_off();
            alive.probes.iter_mut().for_each(|watched| watched.halted = true);
            return;
        }
        let Some(stop) = &mut alive.stop else { panic!("R42: SIGKILL to {name}, which nobody stops") };
        let Some(term) = stop.term else { panic!("R54: SIGKILL to {name} without SIGTERM") };
        assert!(!stop.killed, "R54: a second SIGKILL to {name}");
        let due = stop.until.max(term + FLOOR).min(end.unwrap_or(Time::MAX));
        assert!(now >= due, "R54, R66: SIGKILL to {name} is due at {due:?}, SIGTERM came at {term:?}");
        stop.killed = true;
    }

    fn ends_pod(&mut self, phase: Phase) {
        assert!(self.ending.is_some(), "R91: the pod ends although something is to come");
        assert!(self.seen.iter().all(|seen| seen.is_gone()), "R91: the pod ends although something runs");
        let apps = self.seen.iter().zip(&self.spec.containers).filter(|(_, spec)| spec.kind == Kind::App);
        let well = apps.into_iter().all(|(app, _)| app.code == Some(0));
        let expected = if well && !self.deadline_exceeded { Phase::Succeeded } else { Phase::Failed };
        assert_eq!(phase, expected, "R88, R91, R92, R93, R102: the apps' last exit codes decide");
        self.ended = Some(phase);
    }

    /// After all actions of a step: what must have been done by now.
    pub fn nothing_is_left_undone(&self, now: Time) {
        if self.ended.is_some() {
            return;
        }
        let overdue = self.ending.is_some_and(|until| now > until + FLOOR);
        assert!(!overdue, "R58: the pod outlives its budget");
        let gone = self.seen.iter().all(|seen| seen.is_gone());
        assert!(self.ending.is_none() || !gone, "R91: nothing runs and nothing will, but the pod goes on");
        for index in 0..self.seen.len() {
            let name = &self.spec.containers[index].name;
            match &self.seen[index].state {
                State::Asked => {}
                State::Alive(alive) => self.nothing_is_left_undone_for(now, index, alive),
                State::Idle => {
                    let may_start =
                        self.may_start() && self.seen[..index].iter().all(|earlier| earlier.passed);
                    assert!(!may_start, "{}: {name} is due", self.rule_of_start(index));
                }
                State::Over(Over { back, rule, .. }) => {
                    let due = self.may_start() && back.is_some_and(|back| now >= back);
                    assert!(!due, "{rule}, R31, R32: {name} is due for its restart");
                }
            }
        }
    }

    fn may_start(&self) -> bool {
        self.begun.is_some() && self.ending.is_none() && !self.restarting_all
    }

    /// The rule by which a container starts that has not run yet, when everything before it has passed its gate.
    fn rule_of_start(&self, index: Index) -> &'static str {
        let mut earlier = self.seen[..index].iter().zip(&self.spec.containers);
        let fell_back = earlier.any(|(seen, spec)| {
            spec.kind == Kind::Sidecar && !seen.alive().is_some_and(|alive| alive.started)
        });
        match self.spec.containers[index].kind {
            _ if fell_back => "R8",
            Kind::App => "R4, R5, R6",
            Kind::Init | Kind::Sidecar => "R1, R3",
        }
    }

    fn nothing_is_left_undone_for(&self, now: Time, index: Index, alive: &Alive) {
        let ContainerSpec { name, kind, .. } = &self.spec.containers[index];
        assert!(alive.post_start != Hooked::Due, "R39: postStart of {name} is due");
        let overdue = |watched: &&Watched| {
            !watched.running && !watched.halted && watched.next.is_some_and(|next| now >= next)
        };
        if let Some(Watched { kind, .. }) = alive.probes.iter().find(overdue) {
            let rule = if alive.stop.is_some() { "R68, R69" } else { "R74, R75, R79" };
            panic!("{rule}: {kind:?} probe of {name} is due");
        }
        let all = self.restarting_all && self.ending.is_none();
        let Some(stop) = &alive.stop else {
            assert!(!all, "R29: {name} is to be killed at once");
            return;
        };
        if stop.killed {
            return;
        }
        assert!(!all, "R29: {name} is to be killed at once");
        assert!(stop.pre_stop != Hooked::Due, "R42, R48: preStop of {name} is due since {:?}", stop.since);
        let Some(term) = stop.term else {
            assert!(now < stop.until, "R46, R57: the budget of {name} is spent, and SIGTERM is due");
            let its_turn = self.is_its_turn(index) && matches!(stop.pre_stop, Hooked::Over { .. });
            let rule = match kind {
                Kind::Init => "R60",
                Kind::Sidecar => "R56, R61",
                Kind::App => "R44, R55",
            };
            assert!(!its_turn, "{rule}: SIGTERM to {name} is due");
            return;
        };
        let end = self.ending.map_or(Time::MAX, |until| until + FLOOR);
        let due = stop.until.max(term + FLOOR).min(end);
        assert!(now < due, "R58, R66: SIGKILL to {name} is due since {due:?}");
    }

    /// After a step: whether what people are shown is what the book says.
    pub fn shows(&self, now: Time, shown: &Snapshot) {
        let inits = self.spec.containers.iter().any(|spec| spec.kind != Kind::App);
        let mut ready = self.begun.is_some() && self.ended.is_none();
        let mut initialized = true;
        let mut up = true;
        for ((seen, spec), shown) in self.seen.iter().zip(&self.spec.containers).zip(&shown.containers) {
            let name = &spec.name;
            let alive = seen.alive();
            assert_eq!(shown.restart_count, seen.instances.saturating_sub(1), "R24: restartCount of {name}");
            let started = alive.is_some_and(|alive| alive.started && alive.is_up());
            assert_eq!(shown.started, started, "R101: started of {name}");
            let is_ready = match spec.kind {
                Kind::Init => seen.passed,
                _ => alive.is_some_and(|alive| alive.started && alive.says(ProbeKind::Readiness)),
            };
            assert_eq!(shown.ready, is_ready, "R76, R77, R99: ready of {name}");
            ready &= is_ready || spec.kind == Kind::Init;
            initialized &= seen.passed || spec.kind == Kind::App;
            up &= seen.was_up || spec.kind != Kind::App;
            let comes_back = |over: &Over| over.back.is_some() && self.ending.is_none();
            match (&shown.state, &seen.state) {
                (ContainerState::Running { started_at }, State::Alive(alive)) if alive.is_up() => {
                    assert_eq!(*started_at, alive.since, "R101: startedAt of {name}");
                }
                (ContainerState::Terminated(ended), State::Over(over)) if !comes_back(over) => {
                    let reason = if ended.exit_code == 0 { "Completed" } else { "Error" };
                    let known = [reason, "StartError", "RunContainerError"].contains(&ended.reason.as_str());
                    assert!(known, "R65: {name} ended with {} {}", ended.exit_code, ended.reason);
                    assert_eq!(Some(ended.exit_code), seen.code.or(Some(ended.exit_code)), "R65: {name}");
                }
                (ContainerState::Waiting { reason, .. }, State::Over(over))
                    if over.created && comes_back(over) =>
                {
                    let reason = if self.restarting_all { "CrashLoopBackOff" } else { reason };
                    assert_eq!(reason, "CrashLoopBackOff", "R36: {name} waits for its next instance");
                }
                (ContainerState::Waiting { reason, .. }, State::Idle) => {
                    let expected = if inits { "PodInitializing" } else { "ContainerCreating" };
                    assert_eq!(reason, expected, "R97: {name} has not been started yet");
                }
                (ContainerState::Waiting { .. }, State::Asked | State::Over(Over { created: false, .. })) => {
                }
                (ContainerState::Waiting { .. }, State::Alive(alive)) if !alive.is_up() => {} // R40
                (shown, State::Over(over)) => panic!("{}: {name} is shown as {shown:?}", over.rule),
                (shown, _) => panic!("R40, R101: {name} is shown as {shown:?}"),
            }
        }
        let phase = match self.ended {
            Some(phase) => phase,
            None if self.begun.is_some() && up => Phase::Running,
            None => Phase::Pending,
        };
        assert_eq!(shown.phase, phase, "R89, R90, R95, R96: the phase at {now:?}");
        let condition = |kind: &str| shown.conditions.iter().any(|one| one.kind == kind && one.status);
        assert_eq!(condition("Initialized"), initialized, "R98: Initialized");
        assert_eq!(condition("Ready"), ready, "R85, R100: Ready");
        assert_eq!(condition("ContainersReady"), ready, "R100: ContainersReady");
    }

    /// At the end of the pod a sidecar's turn comes when every app and every later sidecar is gone (R56, R61).
    fn is_its_turn(&self, index: Index) -> bool {
        let kind = |index: Index| self.spec.containers[index].kind;
        let waits = self.ending.is_some() && kind(index) == Kind::Sidecar;
        let mut later = index + 1..self.seen.len();
        !waits || later.all(|later| kind(later) == Kind::Init || self.seen[later].is_gone())
    }

    #[track_caller]
    fn alive(&mut self, instance: Instance) -> &mut Alive {
        let name = self.name(instance);
        let seen = &mut self.seen[instance.container];
        assert_eq!(seen.instances, instance.attempt + 1, "R24: this instance of {name} does not live");
        match &mut seen.state {
            State::Alive(alive) => alive,
            other => panic!("R24: {name} is {other:?}"),
        }
    }

    fn name(&self, instance: Instance) -> String {
        self.spec.containers[instance.container].name.clone()
    }
}
