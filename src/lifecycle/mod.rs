//! The life of a pod as a pure state machine: an event goes in, actions come out. No clock, no files, no syscalls.
//!
//! The rules (R1, R2, …) are the kubelet's. Reading order: [`model`] and [`fact`] (the vocabulary), this file (the flow),
//! `container` (the state of one container), `start` (order), `restart` (policies and back-off), `hooks`, `probes`,
//! `terminate` (kills of one container and of the pod), `status` (what people are shown).

mod container;
pub mod fact;
mod hooks;
pub mod model;
mod probes;
mod restart;
#[cfg(test)]
pub(crate) mod sim;
mod start;
mod status;
mod terminate;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use container::{Container, Stage};
pub use model::*;
use status::ConditionTimes;
use terminate::Shutdown;

/// A pod's life. Feed it every [`Event`] in order of time, perform the [`Action`]s it returns in their order.
#[derive(Debug)]
pub struct Lifecycle {
    spec: PodSpec,
    /// When the sandbox was ready; nothing happens before.
    begun: Option<Time>,
    /// Beside `spec.containers`.
    containers: Vec<Container>,
    /// Pod termination is under way (asked for, deadline, or nothing is left to run): no start any more (R21, R22).
    shutdown: Option<Shutdown>,
    /// A stop was asked for: when, and the shortest grace since.
    deleted: Option<(Time, Duration)>,
    /// `activeDeadlineSeconds` has run out (R102).
    deadline_exceeded: bool,
    /// Every container is being killed to be started anew (R29).
    restarting_all: bool,
    /// The terminal phase; from then on nothing changes (R96).
    ended: Option<Phase>,
    condition_times: ConditionTimes,
    /// Collected during one step.
    actions: Vec<Action>,
}

impl Lifecycle {
    /// A pod that waits for [`Event::Begin`].
    pub fn new(spec: PodSpec) -> Lifecycle {
        Lifecycle {
            containers: spec.containers.iter().map(|_| Container::default()).collect(),
            spec,
            begun: None,
            shutdown: None,
            deleted: None,
            deadline_exceeded: false,
            restarting_all: false,
            ended: None,
            condition_times: ConditionTimes::default(),
            actions: Vec::new(),
        }
    }

    /// What the pod was made from.
    pub fn spec(&self) -> &PodSpec {
        &self.spec
    }

    /// Take in one event, then derive everything that is due at `now`, until nothing changes any more.
    ///
    /// `now` never goes back. An event about an instance that is over is ignored. After [`Action::End`] nothing
    /// happens (R96).
    pub fn step(&mut self, now: Time, event: Event) -> Vec<Action> {
        if self.ended.is_some() {
            return Vec::new();
        }
        self.apply(now, event);
        while self.ended.is_none() && self.advance(now) {}
        self.track_conditions(now);
        std::mem::take(&mut self.actions)
    }

    /// The facts: each changes the state of what it is about, and nothing else.
    fn apply(&mut self, now: Time, event: Event) {
        match event {
            Event::Begin => self.begun = self.begun.or(Some(now)),
            Event::Started(instance) => self.started(now, instance),
            Event::StartFailed { instance, reason, message } => {
                self.start_failed(now, instance, reason, message)
            }
            Event::Exited { instance, exit } => self.exited(now, instance, exit),
            Event::HookEnded { instance, hook, result } => self.hook_ended(now, instance, hook, result),
            Event::ProbeEnded { instance, probe, result, code, words } => {
                self.probe_ended(now, instance, probe, result, code, words)
            }
            Event::Stop { grace } => self.stop(now, grace),
            Event::Tick => {}
        }
    }

    /// The consequences: everything due at `now`. True if something changed, so that it is to be asked again.
    fn advance(&mut self, now: Time) -> bool {
        // Ends come first: what decides that the pod ends must be seen before anything is started (R21, R22).
        self.meet_deadline(now) // R102
            | self.complete(now) // R22, R63, R91, R94
            | self.restart_all(now) // R29, R30
            // Kills before hooks and probes: they cut those off (R40, R68).
            | self.advance_kills(now) // R42-R48, R54-R62, R66
            | self.advance_hooks(now) // R39, R40, R50
            // Being started opens gates and arms probes, so it stands before both.
            | self.notice_started(now) // R3, R5, R40, R73, R79
            | self.advance_probes(now) // R73-R79, R84
            | self.start_due(now) // R1-R8, R31-R36
            | self.end() // R91-R93, R96
    }

    /// When to send [`Event::Tick`] at the latest, if no event comes before. `None`: only an event can change anything.
    pub fn next_wakeup(&self) -> Option<Time> {
        if self.ended.is_some() {
            return None;
        }
        let kills = self.kill_timers();
        let hooks = self.hook_timers();
        let probes = self.probe_timers();
        let restarts = self.restart_timers();
        self.deadline().into_iter().chain(kills).chain(hooks).chain(probes).chain(restarts).min()
    }

    /// Nothing left and nothing to come: the pod ends, with a phase for ever (R91-R93, R96).
    fn end(&mut self) -> bool {
        let over = self.shutdown.is_some() && self.containers.iter().all(Container::is_gone);
        if over {
            let phase = self.final_phase();
            self.ended = Some(phase);
            self.note_of_pod(Fact::PodEnded { phase });
            self.actions.push(Action::End(phase));
        }
        over
    }

    /// Everything has exited: the apps' last exit codes decide, whatever the policy; sidecars never count (R88,
    /// R91-R94). An app that never ran, or not since everything was restarted, has not succeeded (R93).
    fn final_phase(&self) -> Phase {
        let succeeded = self
            .of_kind(Kind::App)
            .all(|(_, app)| app.has_ended && app.last.as_ref().is_some_and(|last| last.exit_code == 0));
        if succeeded && !self.deadline_exceeded { Phase::Succeeded } else { Phase::Failed }
    }

    /// The containers of one kind, in list order.
    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (Index, &Container)> {
        let of_kind = move |index: &Index| self.spec.containers[*index].kind == kind;
        (0..self.containers.len()).filter(of_kind).map(|index| (index, &self.containers[index]))
    }

    fn note(&mut self, instance: Instance, fact: Fact) {
        self.actions.push(Action::Note(Note { about: Some(instance), fact }));
    }

    fn note_of_pod(&mut self, fact: Fact) {
        self.actions.push(Action::Note(Note { about: None, fact }));
    }

    fn name(&self, container: Index) -> &str {
        &self.spec.containers[container].name
    }

    /// The living instance's state, if the event's instance is the one that lives.
    fn live_mut(&mut self, instance: Instance) -> Option<&mut container::Live> {
        let container = self.containers.get_mut(instance.container)?;
        match &mut container.stage {
            Stage::Alive(live) if container.instances == instance.attempt + 1 => Some(live),
            _ => None,
        }
    }
}
