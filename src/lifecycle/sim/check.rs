//! What must hold in any pod at any time.

use std::time::Duration;

use super::{Sim, s};
use crate::lifecycle::*;

impl Sim {
    /// What holds in any pod after any step.
    pub(super) fn check(&mut self) {
        if let Some(wakeup) = self.pod.next_wakeup() {
            assert!(wakeup > self.now, "a tick makes progress: {wakeup:?} at {:?}", self.now);
        }
        if let Some(budget) = self.budget {
            assert!(self.now <= budget + s(2), "the pod ends by t0 + G + 2 s (R58)");
        }
        let snapshot = self.pod.snapshot(self.now);
        for (new, old) in snapshot.containers.iter().zip(&self.before.containers) {
            assert!(new.restart_count >= old.restart_count, "restartCount never decreases (R24)");
        }
        if self.before.phase.is_terminal() {
            assert_eq!(snapshot.phase, self.before.phase, "a terminal phase is for ever (R96)");
        }
        assert_eq!(snapshot.phase.is_terminal(), self.ended.is_some());
        assert!(
            snapshot.phase != Phase::Pending || self.before.phase == Phase::Pending,
            "never Pending again (R95)"
        );
        self.before = snapshot;
    }

    pub(super) fn assert_alive(&self, instance: Instance) {
        let alive = self.alive[instance.container].map(|(alive, _)| alive);
        assert_eq!(alive, Some(instance), "only a living instance is acted upon");
    }

    /// At the end of the pod sidecars get SIGTERM in reverse order, unless the budget is spent (R56, R57): that of the
    /// pod, or its own if it was being stopped alone before.
    pub(super) fn assert_order(&self, instance: Instance) {
        let live = self.pod.containers[instance.container].live();
        if live
            .and_then(|live| live.kill.as_ref())
            .is_some_and(|kill| !matches!(kill.cause, Cause::Pod | Cause::RestartAll))
        {
            return;
        }
        let kind = |index: Index| self.ctrs[index].spec.kind;
        let in_time = self.budget.is_some_and(|budget| self.now < budget);
        if in_time && kind(instance.container) == Kind::Sidecar {
            let mut later = instance.container + 1..self.ctrs.len();
            assert!(
                later.all(|later| kind(later) == Kind::Init || self.alive[later].is_none()),
                "reverse order"
            );
        }
    }

    /// Notes how a container ended, and whether a rule now wants everything restarted (R29).
    pub(super) fn exits_with(&mut self, index: Index, code: i32) {
        self.codes[index] = Some(code);
        let spec = &self.ctrs[index].spec;
        let rule = spec.rules.iter().find(|rule| rule.codes.contains(&code) == rule.within);
        let all = rule.is_some_and(|rule| rule.action == RuleAction::RestartAllContainers);
        self.restarting_all |= all && self.budget.is_none() && !(spec.kind == Kind::Init && code == 0);
    }

    pub(super) fn terminates(&mut self, grace: Duration) {
        if self.ended.is_none() {
            let budget = self.now + grace;
            self.budget = Some(self.budget.map_or(budget, |before| before.min(budget)));
        }
    }
}
