//! The order of starts: one gate per container, passed once (R1-R8).

use super::Lifecycle;
use super::container::{Container, Stage};
use super::model::*;

impl Lifecycle {
    /// Start what is due: an entry that has not run yet once every entry before it has passed its gate, and one that
    /// has ended once back-off lets it through.
    ///
    /// List order gives everything: inits and sidecars in sequence (R1), apps behind all of them (R4), each app behind
    /// the postStart of the one before (R5). A gate stays passed, so a restart waits for nobody (R8, R11, R19).
    pub(super) fn start_due(&mut self, now: Time) -> bool {
        if self.begun.is_none() || self.shutdown.is_some() || self.restarting_all {
            return false; // R21, R22
        }
        let mut changed = false;
        for index in 0..self.containers.len() {
            let due = match &self.containers[index].stage {
                Stage::Idle => true,
                Stage::Down(down) => down.restart,
                Stage::Creating { .. } | Stage::Alive(_) => false,
            };
            if due && self.gate_is_open(index) {
                changed |= match self.held_until(index) {
                    Some(until) if now < until => self.hold_back(index, until),
                    _ => self.create(now, index),
                };
            }
        }
        changed
    }

    /// The app that starts as soon as the one has that is being made: nothing else comes between them, no postStart either
    /// (R5). Whoever makes containers may make it ready meanwhile.
    pub fn next_app(&self) -> Option<Instance> {
        let is_made = |one: &Container| matches!(one.stage, Stage::Creating { killed: false });
        let index = self.containers.iter().position(is_made)?;
        let (spec, next) = (self.spec.containers.get(index)?, self.containers.get(index + 1)?);
        let is_next = spec.kind == Kind::App
            && spec.post_start.is_none()
            && matches!(next.stage, Stage::Idle)
            && self.shutdown.is_none()
            && !self.restarting_all;
        is_next.then_some(Instance { container: index + 1, attempt: next.instances })
    }

    /// Everything before it in the list is initialised (inits, sidecars) or was given its start (apps) (R15).
    fn gate_is_open(&self, index: Index) -> bool {
        self.containers[..index].iter().all(|earlier| earlier.passed)
    }

    fn create(&mut self, now: Time, index: Index) -> bool {
        self.let_through(now, index);
        let container = &mut self.containers[index];
        container.stage = Stage::Creating { killed: false };
        let attempt = container.instances;
        let instance = Instance { container: index, attempt };
        self.note(instance, Fact::Starting);
        self.actions.push(Action::Start(instance));
        true
    }

    /// A container is Started once postStart has returned well and its startup probe, if any, has succeeded (R3, R40).
    /// That lets the next entry start, and its readiness and liveness probes begin (R73, R79).
    pub(super) fn notice_started(&mut self, now: Time) -> bool {
        let mut changed = false;
        for (index, (container, spec)) in self.containers.iter_mut().zip(&self.spec.containers).enumerate() {
            let Container { stage: Stage::Alive(live), passed, waiting, instances, .. } = container else {
                continue;
            };
            if !live.is_up() {
                continue;
            }
            *waiting = None;
            if !live.started && live.startup_has_succeeded() {
                live.started = true;
                let about = Some(Instance { container: index, attempt: *instances - 1 });
                self.actions.push(Action::Note(Note { about, fact: Fact::Up }));
                changed = true;
            }
            live.arm_probes(now, spec);
            // Probes of an app are not waited for (R5); of a sidecar only the startup probe is (R3, R9).
            let passes = match spec.kind {
                Kind::Init => false,
                Kind::Sidecar => live.started,
                Kind::App => true,
            };
            changed |= passes && !*passed;
            *passed |= passes;
        }
        changed
    }

    /// Nothing is left that could make the pod go on: begin to end it (R22, R63). Either an init has failed for good
    /// (R64, R94), or every app has ended and none is to be restarted; what sidecars do never matters (R18, R88).
    pub(super) fn complete(&mut self, now: Time) -> bool {
        if self.begun.is_none() || self.shutdown.is_some() || self.restarting_all {
            return false;
        }
        let init_failed =
            self.of_kind(Kind::Init).any(|(_, container)| container.is_done() && !container.passed);
        let apps_done = self.of_kind(Kind::App).all(|(_, container)| container.is_done());
        if init_failed || apps_done {
            self.shut_down(now, self.spec.grace, false);
        }
        init_failed || apps_done
    }
}
