//! From the facts of a log to the bars of a timeline.

use std::collections::BTreeMap;

use super::model::{Budget, Hook, Mark, Outcome, Row, Span, State, What};
use crate::history::Log;
use crate::lifecycle::fact::{Cause, Entry, Fact, ProbeResult};
use crate::lifecycle::model::{HookKind, Kind, Phase, Time};

/// What a log tells.
pub(super) struct Told {
    /// The sandbox was ready.
    pub begun: bool,
    /// The pod has ended.
    pub ended: Option<Phase>,
    /// The last moment that anything is known of: the newest fact, or now for a pod that runs.
    pub to: Time,
    /// The pod.
    pub whole: Row,
    /// Its containers.
    pub rows: Vec<Row>,
}

/// Reads a log; `now` as in [`super::Timeline::new`].
pub(super) fn read(log: &Log, now: Option<Time>) -> Told {
    let mut fold = Fold::new(log);
    let mut last = Time::ZERO;
    for entry in &log.entries {
        last = last.max(entry.at); // the clock never goes back, but a damaged log may
        fold.entry(last, entry);
    }
    let to = now.filter(|_| fold.ended.is_none()).map_or(last, |now| now.max(last));
    fold.finish(to);
    let rows = fold.containers.into_iter().map(|container| container.row).collect();
    Told { begun: fold.begun, ended: fold.ended, to, whole: fold.whole, rows }
}

/// What is known while the log is read.
struct Fold {
    begun: bool,
    ended: Option<Phase>,
    /// The pod is being terminated: until then.
    terminating: Option<Time>,
    whole: Row,
    /// The state of the pod, and since when.
    phase: (State, Time),
    containers: Vec<Container>,
    by_name: BTreeMap<String, usize>,
}

/// A container while the log is read.
struct Container {
    row: Row,
    post_start: bool,
    readiness: bool,
    open: Option<(Time, State)>,
    attempt: u32,
    /// It was up once: postStart had returned, or it had ended (R89).
    was_up: bool,
    ready: bool,
    /// When its newest instance ended.
    over: Option<Time>,
    /// All containers are being restarted, and this one has not been yet.
    anew: bool,
}

impl Container {
    /// From now on it is in this state, or in none.
    fn turn(&mut self, at: Time, state: Option<State>) {
        if let Some((from, before)) = self.open.take() {
            if Some(before) == state {
                self.open = Some((from, before));
                return;
            }
            // Waiting that took no time was none.
            if from < at || !matches!(before, State::Waiting | State::BackOff) {
                self.row.spans.push(Span { from, to: at, state: before, attempt: self.attempt });
            }
        }
        self.open = state.map(|state| (at, state));
    }

    fn is(&self, state: State) -> bool {
        self.open.is_some_and(|(_, open)| open == state)
    }

    fn mark(&mut self, at: Time, what: What) {
        self.row.marks.push(Mark { at, what });
    }

    fn hook_over(&mut self, at: Time, hook: HookKind, outcome: Outcome) {
        let open = |run: &&mut Hook| run.hook == hook && run.outcome == Outcome::Open;
        if let Some(run) = self.row.hooks.iter_mut().rev().find(open) {
            (run.to, run.outcome) = (at, outcome);
        }
    }

    /// A new budget, or what becomes of the one under way.
    fn budget(&mut self, at: Time, until: Time) {
        budget(&mut self.row.budgets, at, until);
    }
}

/// A budget that goes on keeps its scale, so that one that is shortened is seen to drop.
fn budget(budgets: &mut Vec<Budget>, at: Time, until: Time) {
    let whole = until.saturating_sub(at);
    match budgets.last_mut() {
        Some(last) if last.to == Time::MAX => {
            last.to = at;
            let whole = last.whole.max(whole);
            budgets.push(Budget { from: at, to: Time::MAX, until, whole });
        }
        _ => budgets.push(Budget { from: at, to: Time::MAX, until, whole }),
    }
}

fn close(budgets: &mut [Budget], at: Time) {
    if let Some(last) = budgets.last_mut() {
        last.to = last.to.min(at);
    }
}

impl Fold {
    fn new(log: &Log) -> Fold {
        let container = |of: &crate::lifecycle::fact::HeadContainer| Container {
            row: Row::new(&of.name, Some(of.kind)),
            post_start: of.post_start,
            readiness: of.readiness && of.kind != Kind::Init,
            open: None,
            attempt: 0,
            was_up: false,
            ready: false,
            over: None,
            anew: false,
        };
        let names = log.head.containers.iter().enumerate();
        Fold {
            begun: false,
            ended: None,
            terminating: None,
            whole: Row::new("pod", None),
            phase: (State::Starting, Time::ZERO),
            containers: log.head.containers.iter().map(container).collect(),
            by_name: names.map(|(index, container)| (container.name.clone(), index)).collect(),
        }
    }

    fn entry(&mut self, at: Time, entry: &Entry) {
        match &entry.container {
            None => self.of_pod(at, &entry.fact),
            Some(name) => {
                // A name that the head does not have can only be damage.
                if let Some(index) = self.by_name.get(name).copied() {
                    self.of_container(at, index, entry.attempt.unwrap_or(0), &entry.fact);
                }
            }
        }
    }

    fn turn_pod(&mut self, at: Time, state: State) {
        let (before, from) = self.phase;
        if before != state {
            self.whole.spans.push(Span { from, to: at, state: before, attempt: 0 });
            self.phase = (state, at);
        }
    }

    fn of_pod(&mut self, at: Time, fact: &Fact) {
        match fact {
            Fact::Begun { .. } => {
                self.begun = true;
                self.turn_pod(at, State::NotUp);
                // Nobody stands before the first.
                for container in self.containers.iter_mut().skip(1) {
                    container.turn(at, Some(State::Waiting));
                }
            }
            Fact::Terminating { until, .. } => {
                self.turn_pod(at, State::Stopping);
                budget(&mut self.whole.budgets, at, *until);
                for container in &mut self.containers {
                    // Nothing starts any more.
                    if container.is(State::Waiting) || container.is(State::BackOff) {
                        container.turn(at, None);
                    }
                }
                self.terminating = Some(*until);
            }
            Fact::DeadlineExceeded => self.whole.marks.push(Mark { at, what: What::Deadline }),
            Fact::PodEnded { phase } => {
                self.ended = Some(*phase);
                self.whole.marks.push(Mark { at, what: What::PodEnded(*phase) });
            }
            _ => {}
        }
    }

    fn of_container(&mut self, at: Time, index: usize, attempt: u32, fact: &Fact) {
        if matches!(fact, Fact::Stopping { cause: Cause::RestartAll, .. }) {
            self.containers.iter_mut().for_each(|container| container.anew = true);
        }
        let terminating = self.terminating.is_some();
        let container = &mut self.containers[index];
        match fact {
            Fact::Starting => {
                // When all containers are restarted, it has waited again since it ended.
                let anew = std::mem::take(&mut container.anew);
                let ended = container.over.filter(|_| anew && index > 0);
                if let (None, Some(ended)) = (container.open, ended) {
                    container.open = Some((ended, State::Waiting));
                }
                let waited = container.open.is_some_and(|(from, state)| state == State::Waiting && from < at);
                if waited && index > 0 {
                    container.row.gates.push((index - 1, at));
                }
                container.turn(at, None);
                container.over = None;
                container.attempt = attempt;
                container.ready = !container.readiness;
                container.turn(at, Some(State::Starting));
            }
            Fact::Started => {
                container.attempt = attempt;
                container.was_up |= !container.post_start;
                container.turn(at, Some(State::NotUp));
            }
            Fact::StartFailed { reason, .. } => {
                container.mark(at, What::StartFailed);
                // A creation that failed is tried again, whatever the policy.
                let again = reason.starts_with("CreateContainer") && !terminating;
                container.turn(at, again.then_some(State::BackOff));
                container.was_up |= !again;
                close(&mut container.row.budgets, at);
            }
            Fact::Up if !container.is(State::Stopping) => {
                let state = if container.ready { State::Running } else { State::NotReady };
                container.turn(at, Some(state));
            }
            Fact::Readiness { ready } => {
                container.ready = *ready;
                let state = if *ready { State::Running } else { State::NotReady };
                if !container.is(State::Stopping) {
                    container.turn(at, Some(state));
                }
            }
            Fact::HookBegun { hook } => {
                let open = Hook { hook: *hook, from: at, to: at, outcome: Outcome::Open };
                container.row.hooks.push(open);
            }
            Fact::HookEnded { hook, failure, .. } => {
                let outcome = if failure.is_some() { Outcome::Failed } else { Outcome::Well };
                container.hook_over(at, *hook, outcome);
                container.was_up |= *hook == HookKind::PostStart && failure.is_none();
            }
            Fact::HookAborted { hook } => container.hook_over(at, *hook, Outcome::CutOff),
            Fact::Probe { probe, result: ProbeResult::Failure | ProbeResult::Unknown, .. } => {
                container.mark(at, What::ProbeFailed(*probe));
            }
            Fact::Stopping { until, .. } => {
                container.turn(at, Some(State::Stopping));
                container.budget(at, *until);
            }
            Fact::Budget { until } => container.budget(at, *until),
            Fact::Signal { number, .. } => container.mark(at, What::Signal(*number)),
            Fact::Ended { code, signal, reason, .. } => {
                container.mark(at, What::Ended { code: *code, signal: *signal, reason: reason.clone() });
                container.turn(at, None);
                container.was_up = true;
                container.over = Some(at);
                close(&mut container.row.budgets, at);
            }
            Fact::BackOff { .. } => {
                container.turn(at, (!terminating).then_some(State::BackOff));
            }
            _ => {}
        }
        if self.phase.0 == State::NotUp && self.apps_were_up() {
            self.turn_pod(at, State::Running);
        }
    }

    /// Every app has been up once: the phase is Running (R89, R90).
    fn apps_were_up(&self) -> bool {
        let mut apps = self.containers.iter().filter(|container| container.row.kind == Some(Kind::App));
        apps.all(|app| app.was_up)
    }

    /// What is still open ends at the right end of the picture.
    fn finish(&mut self, to: Time) {
        let (state, from) = self.phase;
        self.whole.spans.push(Span { from, to, state, attempt: 0 });
        close(&mut self.whole.budgets, to);
        for container in &mut self.containers {
            container.turn(to, None);
            close(&mut container.row.budgets, to);
            for hook in container.row.hooks.iter_mut().filter(|hook| hook.outcome == Outcome::Open) {
                hook.to = to;
            }
        }
    }
}
