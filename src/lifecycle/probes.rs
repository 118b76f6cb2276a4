//! Startup, liveness and readiness probes (R73-R85).

use std::time::Duration;

use super::Lifecycle;
use super::container::{Live, Stage};
use super::model::*;

/// One probe of one instance.
#[derive(Debug)]
pub(super) struct Prober {
    pub kind: ProbeKind,
    /// When it is to run next; `None` before it is armed (R73).
    due: Option<Time>,
    /// A helper runs it, since then.
    running: Option<Time>,
    /// Never to run again in this instance: it has succeeded (startup, R74), was acted on (R84) or the pod ends (R68).
    halted: bool,
    /// The result that reached its threshold last. At first neither Started nor Ready (R76); of a liveness probe only the
    /// failure matters.
    ok: bool,
    /// The newest result, and how often it came in a row (R77).
    run: (bool, u32),
}

impl Prober {
    /// Probers for what the spec has.
    pub fn all_of(spec: &ContainerSpec) -> Vec<Prober> {
        let kinds = [ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness];
        kinds.into_iter().filter(|kind| spec.probe(*kind).is_some()).map(Prober::new).collect()
    }

    fn new(kind: ProbeKind) -> Prober {
        Prober { kind, due: None, running: None, halted: false, ok: false, run: (false, 0) }
    }

    /// When it runs next, if it may and nothing has to happen before.
    fn timer(&self) -> Option<Time> {
        self.due.filter(|_| self.running.is_none() && !self.halted)
    }

    /// Count a result; true if it has just reached its threshold (R77).
    fn count(&mut self, success: bool, probe: &Probe) -> bool {
        let in_a_row = if self.run.0 == success { self.run.1 + 1 } else { 1 };
        self.run = (success, in_a_row);
        let threshold = if success { probe.success_threshold } else { probe.failure_threshold };
        let reached = in_a_row >= threshold;
        if reached {
            self.ok = success;
        }
        reached
    }
}

impl Live {
    /// No startup probe, or it has succeeded (R3, R74).
    pub(super) fn startup_has_succeeded(&self) -> bool {
        self.probers.iter().all(|prober| prober.kind != ProbeKind::Startup || prober.ok)
    }

    /// No readiness probe, or its result is success (R99).
    pub(super) fn readiness_is_ok(&self) -> bool {
        self.probers.iter().all(|prober| prober.kind != ProbeKind::Readiness || prober.ok)
    }

    /// The startup probe may begin once the container is up (R40), the others once it is Started (R73); none before its
    /// initial delay, which counts from the instance's start (R75), and then at once (R79).
    pub(super) fn arm_probes(&mut self, now: Time, spec: &ContainerSpec) {
        let (started_at, started) = (self.started_at, self.started);
        for prober in &mut self.probers {
            let may_begin = prober.kind == ProbeKind::Startup || started;
            if let (None, true, Some(probe)) = (prober.due, may_begin, spec.probe(prober.kind)) {
                prober.due = Some(now.max(started_at + probe.initial_delay));
            }
        }
    }
}

impl Lifecycle {
    /// Run the probes that are due. One that overran its period runs again at once, later ones keep to the beat.
    pub(super) fn advance_probes(&mut self, now: Time) -> bool {
        let mut changed = false;
        for (index, container) in self.containers.iter_mut().enumerate() {
            let Stage::Alive(live) = &mut container.stage else {
                continue;
            };
            let instance = Instance { container: index, attempt: container.instances - 1 };
            for prober in &mut live.probers {
                let Some(probe) = self.spec.containers[index].probe(prober.kind) else {
                    continue;
                };
                if let Some(due) = prober.timer().filter(|due| now >= *due) {
                    prober.due = Some(next_beat(due, probe.period, now));
                    prober.running = Some(now);
                    self.actions.push(Action::RunProbe(instance, prober.kind));
                    changed = true;
                }
            }
        }
        changed
    }

    /// A helper has a result.
    pub(super) fn probe_ended(
        &mut self,
        now: Time,
        instance: Instance,
        kind: ProbeKind,
        result: ProbeResult,
        code: Option<i32>,
        words: String,
    ) {
        let Some(probe) =
            self.spec.containers.get(instance.container).and_then(|spec| spec.probe(kind)).cloned()
        else {
            return;
        };
        let prober = self
            .live_mut(instance)
            .and_then(|live| live.probers.iter_mut().find(|prober| prober.kind == kind));
        let Some(prober) = prober else {
            return;
        };
        let Some(since) = prober.running.take() else {
            return;
        };
        let was_ok = prober.ok;
        let reached = match result {
            ProbeResult::Success | ProbeResult::Warning => prober.count(true, &probe),
            ProbeResult::Failure => prober.count(false, &probe),
            ProbeResult::Unknown => false, // R83
        };
        let (ok, changed) = (prober.ok, prober.ok != was_ok);
        prober.halted |= kind == ProbeKind::Startup && reached && ok; // R74
        // Of successes in a row only the first is told.
        if result != ProbeResult::Success || prober.run == (true, 1) {
            self.note(instance, Fact::Probe { probe: kind, result, words, code, took: now - since });
        }
        if kind == ProbeKind::Readiness && changed {
            self.note(instance, Fact::Readiness { ready: ok });
        }
        // Readiness never restarts anything (R78).
        let cause = match kind {
            ProbeKind::Startup => Cause::Startup,
            ProbeKind::Liveness => Cause::Liveness,
            ProbeKind::Readiness => return,
        };
        if reached && !ok {
            self.kill_one(now, instance, cause, probe.grace.unwrap_or(self.spec.grace)); // R66
        }
    }

    /// End probing of these kinds for this instance (R68, R69, R84).
    pub(super) fn abort_probes(&mut self, instance: Instance, which: impl Fn(ProbeKind) -> bool) {
        let Stage::Alive(live) = &mut self.containers[instance.container].stage else {
            return;
        };
        for prober in live.probers.iter_mut().filter(|prober| which(prober.kind)) {
            prober.halted = true;
            if prober.running.take().is_some() {
                self.actions.push(Action::AbortProbe(instance, prober.kind));
            }
        }
    }

    /// When probes run next.
    pub(super) fn probe_timers(&self) -> impl Iterator<Item = Time> {
        let lives = self.containers.iter().filter_map(|container| container.live());
        lives.flat_map(|live| live.probers.iter().filter_map(Prober::timer))
    }
}

/// The first beat after `now` of a probe that was due at `due`.
fn next_beat(due: Time, period: Duration, now: Time) -> Time {
    let period = period.max(Duration::from_millis(1)); // a period of 0 is no valid manifest, but must not hang either
    let missed = (now - due).as_nanos() / period.as_nanos();
    due + period * (missed as u32 + 1)
}

impl ContainerSpec {
    fn probe(&self, kind: ProbeKind) -> Option<&Probe> {
        match kind {
            ProbeKind::Startup => self.startup.as_ref(),
            ProbeKind::Liveness => self.liveness.as_ref(),
            ProbeKind::Readiness => self.readiness.as_ref(),
        }
    }
}
