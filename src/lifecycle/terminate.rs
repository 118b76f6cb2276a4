//! Stopping one container, or the pod: preStop, order, SIGTERM, SIGKILL, all inside one budget (R42-R48, R54-R68).

use std::time::Duration;

use super::Lifecycle;
use super::container::Stage;
use super::hooks::HookRun;
use super::model::*;

/// The least time between SIGTERM and SIGKILL, whatever the grace (R47, R54).
pub(super) const FLOOR: Duration = Duration::from_secs(2);

/// Pod termination under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shutdown {
    /// Everything is SIGTERMed by then, and SIGKILLed then unless SIGTERM came less than [`FLOOR`] before.
    pub until: Time,
}

impl Shutdown {
    /// Nothing of the pod lives longer (R58), not even what came to life late.
    fn end(&self) -> Time {
        self.until.saturating_add(FLOOR)
    }
}

/// The stop of one instance.
#[derive(Debug)]
pub(super) struct Kill {
    pub cause: Cause,
    /// Its budget is spent then.
    pub until: Time,
    pub pre_stop: HookRun,
    /// When SIGTERM went out.
    pub term_at: Option<Time>,
    /// SIGKILL went out.
    pub killed: bool,
}

impl Kill {
    /// SIGKILL has just gone out, nothing came before it (R29).
    pub fn at_once(now: Time) -> Kill {
        let pre_stop = HookRun::Returned { well: true };
        Kill { cause: Cause::RestartAll, until: now, pre_stop, term_at: Some(now), killed: true }
    }

    /// When SIGTERM, then SIGKILL, goes out at the latest.
    fn timer(&self, shutdown: Option<Shutdown>) -> Option<Time> {
        let end = shutdown.map_or(Time::MAX, |shutdown| shutdown.end());
        match self.term_at {
            _ if self.killed => None,
            None => Some(self.until),
            Some(term_at) => Some(self.until.max(term_at + FLOOR).min(end)),
        }
    }
}

impl Lifecycle {
    /// Somebody wants the pod to end. A later wish may shorten the grace, never lengthen it (R54, R67).
    pub(super) fn stop(&mut self, now: Time, grace: Duration) {
        self.deleted = match self.deleted {
            Some((since, before)) => Some((since, before.min((now - since).saturating_add(grace)))),
            None => Some((now, grace)),
        };
        self.shut_down(now, grace, true);
    }

    /// `activeDeadlineSeconds`, counted from pod start, inits included (R102).
    pub(super) fn deadline(&self) -> Option<Time> {
        let deadline = self.begun?.saturating_add(self.spec.deadline?);
        Some(deadline).filter(|_| self.shutdown.is_none())
    }

    /// End a pod whose time is up (R102).
    pub(super) fn meet_deadline(&mut self, now: Time) -> bool {
        let exceeded = self.deadline().is_some_and(|deadline| now >= deadline);
        if exceeded {
            self.deadline_exceeded = true;
            self.note_of_pod(Fact::DeadlineExceeded);
            self.shut_down(now, self.spec.grace, true);
        }
        exceeded
    }

    /// Begin to end the pod, or shorten an end under way. `forced`: not because everything is done; then the pod's
    /// budget also replaces that of a container that is just being stopped for a reason of its own (R66).
    pub(super) fn shut_down(&mut self, now: Time, grace: Duration, forced: bool) {
        let wished = now.saturating_add(grace);
        let replaces = forced && self.shutdown.is_none();
        let until = self.shutdown.map_or(wished, |shutdown| shutdown.until.min(wished));
        if self.shutdown.is_none_or(|shutdown| shutdown.until != until) {
            self.note_of_pod(Fact::Terminating { asked: forced, until });
        }
        self.shutdown = Some(Shutdown { until });
        for (index, container) in self.containers.iter_mut().enumerate() {
            if let Stage::Alive(live) = &mut container.stage
                && let Some(kill) = &mut live.kill
            {
                let before = kill.until;
                kill.until = if replaces { until } else { kill.until.min(until) };
                if kill.until != before {
                    let about = Some(Instance { container: index, attempt: container.instances - 1 });
                    self.actions.push(Action::Note(Note { about, fact: Fact::Budget { until: kill.until } }));
                }
            }
        }
    }

    /// Stop one container of a pod that goes on (R20, R41, R66).
    pub(super) fn kill_one(&mut self, now: Time, instance: Instance, cause: Cause, grace: Duration) {
        self.begin_kill(now, instance, cause, now.saturating_add(grace));
    }

    /// The budget begins: preStop is due, unless there is no time for it (R42, R47); postStart, startup and liveness
    /// probes are over, readiness goes on (R68, R69, R84).
    fn begin_kill(&mut self, now: Time, instance: Instance, cause: Cause, until: Time) {
        let index = instance.container;
        let pre_stop = HookRun::due_if(self.spec.containers[index].pre_stop.is_some() && until > now);
        let Some(live) = self.live_mut(instance).filter(|live| live.kill.is_none()) else {
            return;
        };
        live.kill = Some(Kill { cause, until, pre_stop, term_at: None, killed: false });
        self.abort_hook(instance, HookKind::PostStart);
        self.abort_probes(instance, |kind| kind != ProbeKind::Readiness);
        self.note(instance, Fact::Stopping { cause, until });
    }

    /// Carry every stop one step further: begin (R54), SIGTERM (R44, R55, R56), SIGKILL (R58).
    pub(super) fn advance_kills(&mut self, now: Time) -> bool {
        let mut changed = false;
        for index in 0..self.containers.len() {
            let its_turn = self.is_its_turn(index);
            let container = &mut self.containers[index];
            let attempt = container.instances.saturating_sub(1);
            let instance = Instance { container: index, attempt };
            match (&mut container.stage, self.shutdown) {
                // It cannot be stopped before it is there; but nothing outlives the budget (R58).
                (Stage::Creating { killed: killed @ false }, Some(shutdown)) if now >= shutdown.end() => {
                    *killed = true;
                    self.actions
                        .push(Action::Kill(Instance { container: index, attempt: container.instances }));
                    changed = true;
                }
                (Stage::Alive(live), Some(shutdown)) if live.kill.is_none() => {
                    self.begin_kill(now, instance, Cause::Pod, shutdown.until);
                    changed = true;
                }
                (Stage::Alive(live), shutdown) => {
                    let Some(kill) = &mut live.kill else { continue };
                    // SIGTERM waits for preStop and for the turn, but never beyond the budget (R46, R57).
                    let spent = now >= kill.until;
                    if spent && kill.pre_stop == HookRun::Due {
                        kill.pre_stop = HookRun::Returned { well: false }; // no time is left for it (R47)
                    }
                    if kill.term_at.is_none() && (spent || (kill.pre_stop.has_returned() && its_turn)) {
                        kill.term_at = Some(now);
                        self.actions.push(Action::Terminate(instance));
                        changed = true;
                    } else if kill.term_at.is_some() && kill.timer(shutdown).is_some_and(|time| now >= time) {
                        kill.killed = true;
                        self.actions.push(Action::Kill(instance));
                        changed = true;
                    }
                }
                _ => {}
            }
        }
        changed
    }

    /// At the end of the pod a sidecar waits until every app and every later sidecar is gone: reverse list order (R56).
    /// Inits are not in the order (R61), and a sidecar that is stopped alone waits for nobody.
    fn is_its_turn(&self, index: Index) -> bool {
        let in_order = |index: Index| self.spec.containers[index].kind != Kind::Init;
        let is_sidecar = self.spec.containers[index].kind == Kind::Sidecar;
        let mut later = (index + 1..self.containers.len()).filter(|later| in_order(*later));
        self.shutdown.is_none() || !is_sidecar || later.all(|later| self.containers[later].is_gone())
    }

    /// When budgets are spent.
    pub(super) fn kill_timers(&self) -> impl Iterator<Item = Time> {
        self.containers.iter().filter_map(|container| match (&container.stage, self.shutdown) {
            (Stage::Creating { killed: false }, Some(shutdown)) => Some(shutdown.end()),
            (Stage::Alive(live), shutdown) => live.kill.as_ref()?.timer(shutdown),
            _ => None,
        })
    }
}
