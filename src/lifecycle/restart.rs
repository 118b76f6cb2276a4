//! Who is restarted (R16-R20, R25-R27, R29) and when (R31-R36).

use std::time::Duration;

use super::Lifecycle;
use super::container::{Down, Stage};
use super::model::*;
use super::terminate::Kill;

/// What follows from the end of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays down.
    Stay,
    /// It is restarted, with back-off.
    Restart,
    /// Every container is (R29).
    RestartAll,
}

/// The back-off of one container (R32).
#[derive(Debug, Clone, Copy)]
pub(super) struct Delay {
    /// How long after its end the next instance is held back.
    delay: Duration,
    /// When a restart was last let through.
    stamp: Time,
}

impl Lifecycle {
    /// What follows from this end, whatever else goes on in the pod.
    pub(super) fn verdict(&self, index: Index, code: i32, cause: Option<Cause>) -> Verdict {
        let spec = &self.spec.containers[index];
        if spec.kind == Kind::Init && code == 0 {
            return Verdict::Stay; // R2, R17
        }
        // Rules are asked first; the first that matches decides (R26).
        let matches = |rule: &&RestartRule| rule.codes.contains(&code) == rule.within;
        match spec.rules.iter().find(matches).map(|rule| rule.action) {
            Some(RuleAction::RestartAllContainers) => return Verdict::RestartAll,
            Some(RuleAction::Restart) => return Verdict::Restart,
            None => {}
        }
        let policy = match spec.kind {
            Kind::Sidecar => RestartPolicy::Always,                       // R18
            _ => spec.restart_policy.unwrap_or(self.spec.restart_policy), // R25, R27
        };
        // A container that failed a probe has failed, even if it exits with 0 on SIGTERM (R20).
        let failed = code != 0 || matches!(cause, Some(Cause::Startup | Cause::Liveness));
        let restart = match policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => failed,
            RestartPolicy::Never => false,
        };
        if restart { Verdict::Restart } else { Verdict::Stay }
    }

    /// Until when back-off holds the next instance back; `None` = not at all (R32). An instance that lived longer than
    /// twice the cap after it was let through has a clean record again (R33).
    pub(super) fn held_until(&self, index: Index) -> Option<Time> {
        let container = &self.containers[index];
        let Stage::Down(Down { since, restart: true, .. }) = container.stage else {
            return None;
        };
        let backoff = container.backoff.filter(|backoff| !self.is_forgotten(backoff, since))?;
        Some(since + backoff.delay)
    }

    fn is_forgotten(&self, backoff: &Delay, finished: Time) -> bool {
        finished.saturating_sub(backoff.stamp) > 2 * self.spec.backoff.max
    }

    /// A start is let through: if it is a restart, the next one is held back longer (R32). First starts, and starts
    /// after RestartAllContainers, know no back-off.
    pub(super) fn let_through(&mut self, now: Time, index: Index) {
        let Stage::Down(Down { since, .. }) = self.containers[index].stage else {
            return;
        };
        let Backoff { first, max } = self.spec.backoff;
        let delay = match self.containers[index].backoff {
            Some(backoff) if !self.is_forgotten(&backoff, since) => 2 * backoff.delay,
            _ => first,
        };
        self.containers[index].backoff = Some(Delay { delay: delay.min(max), stamp: now });
    }

    /// Tell, once per instance, that its restart is held back (R36). A container that could not even be created
    /// keeps the reason for that.
    pub(super) fn hold_back(&mut self, index: Index, until: Time) -> bool {
        let name = self.name(index).to_string();
        let container = &mut self.containers[index];
        let Stage::Down(down) = &mut container.stage else {
            return false;
        };
        if down.held {
            return false;
        }
        down.held = true;
        if down.created {
            let delay = container.backoff.map_or(0, |backoff| backoff.delay.as_secs());
            let (minutes, seconds) = (delay / 60, delay % 60);
            let delay = if minutes > 0 { format!("{minutes}m{seconds}s") } else { format!("{seconds}s") };
            let message = format!("back-off {delay} restarting failed container={name}");
            container.waiting = Some(("CrashLoopBackOff".to_string(), Some(message)));
            let attempt = container.instances - 1;
            self.note(Instance { container: index, attempt }, Fact::BackOff { until });
        }
        true
    }

    /// When held-back restarts fall due.
    pub(super) fn restart_timers(&self) -> impl Iterator<Item = Time> {
        let can_start = self.shutdown.is_none() && !self.restarting_all;
        (0..self.containers.len()).filter(move |_| can_start).filter_map(|index| self.held_until(index))
    }

    /// RestartAllContainers: kill everything at once, no preStop and no grace, then begin anew from the first entry, in
    /// the same sandbox and without back-off (R29).
    pub(super) fn restart_all(&mut self, now: Time) -> bool {
        if !self.restarting_all || self.shutdown.is_some() {
            return false;
        }
        let mut changed = false;
        for index in 0..self.containers.len() {
            let container = &self.containers[index];
            let Some(live) = container.live() else {
                continue;
            };
            if live.kill.as_ref().is_some_and(|kill| kill.killed) {
                continue;
            }
            let instance = Instance { container: index, attempt: container.instances - 1 };
            self.abort_hooks(instance);
            self.abort_probes(instance, |_| true);
            if let Some(live) = self.live_mut(instance) {
                live.kill = Some(Kill::at_once(now));
            }
            self.note(instance, Fact::Stopping { cause: Cause::RestartAll, until: now });
            self.actions.push(Action::Kill(instance));
            changed = true;
        }
        if self.containers.iter().all(|container| container.is_gone()) {
            for container in &mut self.containers {
                container.stage = Stage::Idle;
                container.passed = false;
                container.has_ended = false;
                container.waiting = None;
            }
            self.restarting_all = false;
            changed = true;
        }
        changed
    }
}
