//! Why a pod is not further: a sentence for each gate that something waits at, from the event log.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::Log;
use crate::lifecycle::fact::{Cause, Entry, Fact, HeadContainer, ProbeResult};
use crate::lifecycle::model::{HookKind, Kind, Phase, ProbeKind, Time};
use crate::words::{self, duration};
use crate::words::{hook_name, signal_name};

/// What somebody waits for, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// The container that it is about; `None` = the pod.
    pub container: Option<String>,
    /// One line, without a full stop.
    pub text: String,
}

/// The sentences of a pod. `now`: the moment on the pod's clock if the pod init lives, `None` if nothing is written any
/// more. Never empty.
pub fn why(log: &Log, now: Option<Time>) -> Vec<Sentence> {
    Pod::read(log).why(now)
}

/// The sentences about one container; if it waits for nothing, one that says how it is.
pub fn why_container(log: &Log, now: Option<Time>, name: &str) -> Vec<Sentence> {
    let pod = Pod::read(log);
    let mut sentences = pod.why(now);
    let Some(container) = pod.by_name.get(name).map(|index| &pod.containers[*index]) else {
        return sentences;
    };
    sentences.retain(|sentence| sentence.container.as_deref() == Some(name));
    if !sentences.is_empty() {
        return sentences;
    }
    let state = container.state();
    let text = match (pod.ended, now) {
        (Some(_), _) => format!("{name} {state}; the pod has ended"),
        (None, Some(_)) => format!("{name} waits for nothing: it {state}"),
        (None, None) => format!("{name} {state}: that is the last that is known"),
    };
    vec![Sentence { container: Some(name.to_owned()), text }]
}

fn of_pod(text: String) -> Sentence {
    Sentence { container: None, text }
}

/// What is known of a pod, from the entries of its log that it was told.
pub struct Pod {
    begun: bool,
    /// When the newest fact happened.
    last: Time,
    /// Every container is being killed to be started anew.
    restarting: bool,
    /// When its budget is spent, and whether somebody asked for the end.
    terminating: Option<(Time, bool)>,
    deadline: bool,
    ended: Option<(Phase, Time)>,
    trouble: Option<String>,
    containers: Vec<Container>,
    by_name: BTreeMap<String, usize>,
}

/// What is known of a container.
struct Container {
    of: HeadContainer,
    stage: Stage,
    attempt: u32,
    /// Its gate was passed once: what comes after it may start.
    passed: bool,
    /// How its newest instance ended.
    end: Option<End>,
}

struct End {
    code: i32,
    words: String,
}

/// Where a container is.
enum Stage {
    /// It has not been started since the pod, or everything in it, was.
    Idle,
    Creating(Time),
    Alive(Box<Live>),
    /// It could not be created, and is tried again.
    NotMade(String),
    BackOff(Time),
    Down,
}

/// A living instance.
#[derive(Default)]
struct Live {
    since: Time,
    up: bool,
    ready: bool,
    was_ready: bool,
    hook: Option<(HookKind, Time)>,
    /// How often each probe has failed in a row, and its last words.
    failures: BTreeMap<&'static str, (u32, String)>,
    stopping: Option<(Cause, Time)>,
    /// The newest stop signal and when it was sent.
    signal: Option<(i32, Time)>,
}

impl Pod {
    fn read(log: &Log) -> Pod {
        let mut pod = Pod::new(&log.head.containers);
        log.entries.iter().for_each(|entry| pod.tell(entry));
        pod
    }

    /// Nothing has happened yet.
    pub fn new(containers: &[HeadContainer]) -> Pod {
        let names = containers.iter().enumerate();
        let fresh = |of: &HeadContainer| Container {
            of: of.clone(),
            stage: Stage::Idle,
            attempt: 0,
            passed: false,
            end: None,
        };
        Pod {
            begun: false,
            last: Time::ZERO,
            restarting: false,
            terminating: None,
            deadline: false,
            ended: None,
            trouble: None,
            containers: containers.iter().map(fresh).collect(),
            by_name: names.map(|(index, of)| (of.name.clone(), index)).collect(),
        }
    }

    /// Takes the next entry of the log.
    pub fn tell(&mut self, Entry { at, container, attempt, fact }: &Entry) {
        let (at, attempt) = (*at, attempt.unwrap_or(0));
        self.last = self.last.max(at);
        match container {
            None => self.of_pod(at, fact),
            Some(name) => {
                // A name that the head does not have can only be damage.
                if let Some(index) = self.by_name.get(name) {
                    self.containers[*index].fact(attempt, at, fact);
                }
            }
        }
        // When the last of those is gone that were killed to restart everything, all gates are shut again.
        self.restarting |= matches!(fact, Fact::Stopping { cause: Cause::RestartAll, .. });
        let is_gone =
            |container: &Container| !matches!(container.stage, Stage::Creating(_) | Stage::Alive(_));
        if self.restarting && self.terminating.is_none() && self.containers.iter().all(is_gone) {
            self.restarting = false;
            for container in &mut self.containers {
                (container.stage, container.passed) = (Stage::Idle, false);
            }
        }
    }

    fn of_pod(&mut self, at: Time, fact: &Fact) {
        match fact {
            Fact::Begun { .. } => self.begun = true,
            Fact::Terminating { asked, until } => {
                let asked = self.terminating.map_or(*asked, |(_, before)| before);
                self.terminating = Some((*until, asked));
            }
            Fact::DeadlineExceeded => self.deadline = true,
            Fact::PodEnded { phase } => self.ended = Some((*phase, at)),
            Fact::Trouble { reason, message } => self.trouble = Some(format!("{reason}: {message}")),
            _ => {}
        }
    }

    /// The sentences; `now` as for [`why`].
    pub fn why(&self, now: Option<Time>) -> Vec<Sentence> {
        match (self.ended, now) {
            (Some((phase, at)), _) => vec![of_pod(self.how_it_ended(phase, at))],
            (None, Some(now)) => self.waits(now.max(self.last)),
            (None, None) => vec![of_pod(self.lost())],
        }
    }

    /// A pod that runs.
    fn waits(&self, now: Time) -> Vec<Sentence> {
        if !self.begun {
            let trouble = self.trouble.as_ref().map_or(String::new(), |trouble| format!(" ({trouble})"));
            return vec![of_pod(format!(
                "the pod waits for its sandbox: it has been made for {}{trouble}",
                duration(now)
            ))];
        }
        let of_container = |index: usize| {
            let text = match self.terminating {
                Some(_) => self.stopping(index, now),
                None => self.waiting(index, now),
            };
            text.map(|text| Sentence { container: Some(self.containers[index].of.name.clone()), text })
        };
        let sentences = (0..self.containers.len()).filter_map(of_container);
        match self.terminating {
            Some((until, asked)) => {
                [of_pod(self.termination(until, asked, now))].into_iter().chain(sentences).collect()
            }
            None => {
                let sentences: Vec<_> = sentences.collect();
                if sentences.is_empty() { vec![of_pod(self.nothing_waits())] } else { sentences }
            }
        }
    }

    /// What this container of a pod that is to go on waits for.
    fn waiting(&self, index: usize, now: Time) -> Option<String> {
        let container = &self.containers[index];
        let name = &container.of.name;
        match &container.stage {
            Stage::Idle => Some(match self.blocker(index) {
                Some(blocker) => {
                    let of = &self.containers[blocker];
                    let what = words::container(of.of.kind, &of.of.name);
                    format!("{name} waits for {what}: {}", of.holds_up(now))
                }
                None => format!("{name} waits for nothing: it is about to start"),
            }),
            Stage::Creating(since) => {
                Some(format!("{name} is being made: it has taken {}", ago(now, *since)))
            }
            Stage::NotMade(why) => Some(format!("{name} could not be made, and is tried again: {why}")),
            Stage::BackOff(until) => {
                let (next, attempt) = (until.saturating_sub(now), container.attempt + 2);
                let next = if next.is_zero() { "now".to_owned() } else { format!("in {}", duration(next)) };
                Some(format!("{name} waits for its back-off: next start {next} (attempt {attempt})"))
            }
            Stage::Down => None,
            Stage::Alive(live) => match live.stopping {
                Some((cause, until)) => {
                    let left = grace(until, now);
                    let doing = live.doing(now).unwrap_or_else(|| "its end is awaited".to_owned());
                    Some(format!("{name} is being stopped, because {}: {doing}; {left}", words::cause(cause)))
                }
                // Somebody who waits for it says the same.
                None if !live.up && self.is_waited_for(index) => None,
                None if !live.up => Some(format!("{name} is not up: {}", container.holds_up(now))),
                None if !live.ready => Some(format!("{name} is not ready{}", live.unready())),
                None => None,
            },
        }
    }

    /// The first container before this one whose gate is shut.
    fn blocker(&self, index: usize) -> Option<usize> {
        self.containers[..index].iter().position(|earlier| !earlier.passed)
    }

    fn is_waited_for(&self, index: usize) -> bool {
        let idle = |later: &usize| matches!(self.containers[*later].stage, Stage::Idle);
        (index + 1..self.containers.len()).filter(idle).any(|later| self.blocker(later) == Some(index))
    }

    fn termination(&self, until: Time, asked: bool, now: Time) -> String {
        let why = match self.failed_init().filter(|_| !asked) {
            _ if self.deadline => ", because activeDeadlineSeconds has run out".to_owned(),
            Some(init) => format!(", because init container {} has failed", init.of.name),
            None if !asked => ", because every app has ended".to_owned(),
            None => String::new(),
        };
        format!("the pod is terminating{why}: {}", grace(until, now))
    }

    fn failed_init(&self) -> Option<&Container> {
        let failed = |container: &&Container| {
            let is_over = matches!(container.stage, Stage::Down) && !container.passed;
            container.of.kind == Kind::Init && is_over && container.end.is_some()
        };
        self.containers.iter().find(failed)
    }

    /// What holds up the end of this container, when the pod ends.
    fn stopping(&self, index: usize, now: Time) -> Option<String> {
        let container = &self.containers[index];
        let name = &container.of.name;
        let live = match &container.stage {
            Stage::Creating(_) => {
                return Some(format!("{name} is still being made; it is stopped as soon as it runs"));
            }
            Stage::Alive(live) => live,
            _ => return None,
        };
        // The last sidecar to be stopped is the first of the list, behind all apps.
        let later = self.containers[index + 1..].iter().filter(|later| {
            later.of.kind != Kind::Init && matches!(later.stage, Stage::Alive(_) | Stage::Creating(_))
        });
        let later: Vec<&str> = later.map(|later| later.of.name.as_str()).collect();
        let its_turn = container.of.kind != Kind::Sidecar || later.is_empty();
        Some(match live.doing(now) {
            Some(doing) if live.signal.is_some() || its_turn => format!("{name} is being stopped: {doing}"),
            Some(doing) => {
                format!("{name} waits until {} {} ended; {doing}", words::list(&later), have(&later))
            }
            None if its_turn => format!("{name} is being stopped"),
            None => format!("{name} waits until {} {} ended", words::list(&later), have(&later)),
        })
    }

    fn nothing_waits(&self) -> String {
        let names = |which: &dyn Fn(&&Container) -> bool| -> Vec<&str> {
            self.containers.iter().filter(which).map(|container| container.of.name.as_str()).collect()
        };
        let alive = |container: &&Container| matches!(container.stage, Stage::Alive(_));
        let inits = names(&|container| alive(container) && container.of.kind == Kind::Init);
        let ready = names(&|container| alive(container) && container.of.kind != Kind::Init);
        let done = names(&|container| !alive(container));
        if ready.len() == self.containers.len() && ready.len() > 1 {
            return format!("nothing is waiting: all {} containers are running and ready", ready.len());
        }
        let are = |names: &[&str]| if names.len() == 1 { "is" } else { "are" };
        let mut parts = Vec::new();
        if !ready.is_empty() {
            parts.push(format!("{} {} running and ready", words::list(&ready), are(&ready)));
        }
        if !inits.is_empty() {
            parts.push(format!("{} {} running", words::list(&inits), are(&inits)));
        }
        if !done.is_empty() {
            parts.push(format!("{} {} ended", words::list(&done), have(&done)));
        }
        format!("nothing is waiting: {}", parts.join("; "))
    }

    fn how_it_ended(&self, phase: Phase, at: Time) -> String {
        let asked = self.terminating.is_none_or(|(_, asked)| asked);
        let of_app = |container: &&Container| container.of.kind == Kind::App;
        let mut apps = self.containers.iter().filter(of_app);
        let failed = apps.clone().find(|app| app.end.as_ref().is_some_and(|end| end.code != 0));
        let never = apps.find(|app| app.end.is_none());
        let when = if asked { ", when the pod was stopped" } else { "" };
        let why = match (phase, self.failed_init().filter(|_| !asked), failed, never) {
            (Phase::Succeeded, ..) => "every app has ended with exit code 0".to_owned(),
            _ if self.deadline => "activeDeadlineSeconds has run out".to_owned(),
            (_, Some(init), ..) => format!("{} has failed{}", init.full_name(), init.ended_with()),
            (_, _, Some(app), _) => format!("{} has failed{}{when}", app.full_name(), app.ended_with()),
            (_, _, _, Some(app)) if asked => format!("it was stopped before {} had run", app.full_name()),
            (_, _, _, Some(app)) => format!("{} has never run", app.full_name()),
            _ => "its apps did not all succeed".to_owned(),
        };
        format!("the pod has ended: {phase:?} after {}, because {why}", duration(at))
    }

    fn lost(&self) -> String {
        if !self.begun {
            let trouble = self.trouble.as_ref().map_or(String::new(), |trouble| format!(": {trouble}"));
            return format!("the pod never started: its sandbox was not ready{trouble}");
        }
        let states = self.containers.iter();
        let states: Vec<_> =
            states.map(|container| format!("{} {}", container.of.name, container.state())).collect();
        format!(
            "the pod is lost: its pod init is gone, and its containers with it; the last that is known, at {}: {}",
            duration(self.last),
            states.join("; ")
        )
    }
}

impl Container {
    fn fact(&mut self, attempt: u32, at: Time, fact: &Fact) {
        let kind = self.of.kind;
        match fact {
            Fact::Starting => (self.stage, self.attempt) = (Stage::Creating(at), attempt),
            Fact::Started => {
                let ready = !self.of.readiness || kind == Kind::Init;
                self.stage = Stage::Alive(Box::new(Live { since: at, ready, ..Live::default() }));
                self.attempt = attempt;
                self.passed |= kind == Kind::App && !self.of.post_start;
            }
            Fact::StartFailed { reason, message } => {
                let why = words::clean(&format!("{reason}: {message}"));
                self.passed |= kind == Kind::App;
                if reason.starts_with("CreateContainer") {
                    self.stage = Stage::NotMade(why);
                } else {
                    self.stage = Stage::Down;
                    self.end = Some(End { code: 128, words: why });
                }
            }
            Fact::Ended { code, signal, reason, .. } => {
                self.passed |= kind == Kind::App || (kind == Kind::Init && *code == 0);
                self.end = Some(End { code: *code, words: words::end(*code, *signal, reason) });
                self.stage = Stage::Down;
            }
            Fact::BackOff { until } => self.stage = Stage::BackOff(*until),
            _ => {}
        }
        if let (Fact::Up, true) = (fact, kind == Kind::Sidecar) {
            self.passed = true;
        }
        if let (Fact::HookEnded { hook: HookKind::PostStart, .. }, Kind::App) = (fact, kind) {
            self.passed = true;
        }
        if let Stage::Alive(live) = &mut self.stage {
            live.fact(at, fact);
        }
    }

    fn full_name(&self) -> String {
        words::container(self.of.kind, &self.of.name)
    }

    fn ended_with(&self) -> String {
        self.end.as_ref().map_or(String::new(), |end| format!(": {}", end.words))
    }

    /// Why its gate is still shut, or it is not up.
    fn holds_up(&self, now: Time) -> String {
        match &self.stage {
            Stage::Idle => "it has not been started".to_owned(),
            Stage::Creating(since) => format!("making it has taken {}", ago(now, *since)),
            Stage::NotMade(why) => format!("it could not be made: {why}"),
            Stage::BackOff(_) => format!("it waits for its back-off{}", self.after()),
            Stage::Down => format!("it has ended{}", self.ended_with()),
            Stage::Alive(live) => match (live.stopping, live.hook) {
                (Some((cause, _)), _) => format!("it is being stopped, because {}", words::cause(cause)),
                (None, Some((hook, since))) => {
                    format!("its {} has run {}", hook_name(hook), ago(now, since))
                }
                (None, None) if self.of.startup && !live.up => match live.failures.get("startup") {
                    Some(failure) => format!("its startup probe has failed {}", times(failure)),
                    None => "its startup probe has not succeeded yet".to_owned(),
                },
                (None, None) => format!("it has run {}", ago(now, live.since)),
            },
        }
    }

    /// How the instance before has ended, for who waits for the next one.
    fn after(&self) -> String {
        self.end.as_ref().map_or(String::new(), |end| format!(" after {}", end.words))
    }

    /// How it is, for a list.
    fn state(&self) -> String {
        match &self.stage {
            Stage::Idle => "has not been started".to_owned(),
            Stage::Creating(_) => "is being made".to_owned(),
            Stage::NotMade(_) => "could not be made".to_owned(),
            Stage::BackOff(_) => "waits for its back-off".to_owned(),
            Stage::Down => format!("has ended{}", self.ended_with()),
            Stage::Alive(live) if live.stopping.is_some() => "is being stopped".to_owned(),
            Stage::Alive(live) if !live.up => "is running, not up".to_owned(),
            Stage::Alive(live) if !live.ready => "is running, not ready".to_owned(),
            Stage::Alive(_) if self.of.kind == Kind::Init => "is running".to_owned(),
            Stage::Alive(_) => "is running and ready".to_owned(),
        }
    }
}

impl Live {
    fn fact(&mut self, at: Time, fact: &Fact) {
        match fact {
            Fact::Up => self.up = true,
            Fact::HookBegun { hook } => self.hook = Some((*hook, at)),
            Fact::HookEnded { .. } | Fact::HookAborted { .. } => self.hook = None,
            Fact::Probe { probe, result: ProbeResult::Failure | ProbeResult::Unknown, words, .. } => {
                let failure = self.failures.entry(words::probe(*probe)).or_default();
                *failure = (failure.0 + 1, words::clean(words));
            }
            Fact::Readiness { ready } => {
                (self.ready, self.was_ready) = (*ready, self.was_ready || *ready);
                if *ready {
                    self.failures.remove(words::probe(ProbeKind::Readiness));
                }
            }
            Fact::Stopping { cause, until } => self.stopping = Some((*cause, *until)),
            Fact::Signal { number, asked: false } => self.signal = Some((*number, at)),
            _ => {}
        }
    }

    /// `: its readiness probe has failed 3 times (last: connection refused)`
    fn unready(&self) -> String {
        let any_more = if self.was_ready { " any more" } else { "" };
        match self.failures.get(words::probe(ProbeKind::Readiness)) {
            Some(failure) => format!("{any_more}: its readiness probe has failed {}", times(failure)),
            None => format!("{any_more}: its readiness probe has not succeeded yet"),
        }
    }

    /// How far its stop has come.
    fn doing(&self, now: Time) -> Option<String> {
        match (self.signal, self.hook) {
            (Some((signal, at)), _) => Some(format!("{} was sent {} ago", signal_name(signal), ago(now, at))),
            (None, Some((hook, since))) => {
                Some(format!("its {} has run {}", hook_name(hook), ago(now, since)))
            }
            (None, None) => None,
        }
    }
}

fn ago(now: Time, since: Time) -> String {
    duration(now.saturating_sub(since))
}

fn grace(until: Time, now: Time) -> String {
    match until.saturating_sub(now) {
        Duration::ZERO => "its grace is spent".to_owned(),
        left => format!("{} of grace left", duration(left)),
    }
}

/// `once`, `3 times (last: connection refused)`
fn times((count, last): &(u32, String)) -> String {
    let last = if last.is_empty() { String::new() } else { format!(" (last: {last})") };
    if *count == 1 { format!("once{last}") } else { format!("{count} times{last}") }
}

fn have(names: &[&str]) -> &'static str {
    if names.len() == 1 { "has" } else { "have" }
}

#[cfg(test)]
mod tests;
