//! What people are shown: phase, conditions, container statuses (R88-R101).

use super::Lifecycle;
use super::container::{Container, Live, Stage};
use super::model::*;

/// `status.message` of a pod that ran into its deadline (R102).
pub(super) const DEADLINE_MESSAGE: &str = "Pod was active on the node longer than the specified deadline";

/// Status of the five conditions, in the order of [`Snapshot::conditions`], and since when it holds.
#[derive(Debug, Default)]
pub(super) struct ConditionTimes([(bool, Time); 5]);

impl Lifecycle {
    /// What there is to know now. `_now` is not needed: everything shown is a state or the time of a change.
    pub fn snapshot(&self, _now: Time) -> Snapshot {
        // A kubelet gives the reason together with the terminal phase, when nothing runs any more.
        let deadline = (self.deadline_exceeded && self.ended.is_some()).then_some("DeadlineExceeded");
        Snapshot {
            phase: self.phase(),
            reason: deadline.map(str::to_string),
            message: deadline.map(|_| DEADLINE_MESSAGE.to_string()),
            terminating: self.deleted,
            conditions: self.conditions(),
            containers: (0..self.containers.len()).map(|index| self.container_status(index)).collect(),
        }
    }

    /// Pending until every app has been up once (R89), then Running (R90), also when sidecars restart (R95) or only
    /// sidecars still run; terminal once nothing runs any more (R91, R92).
    fn phase(&self) -> Phase {
        let was_up = |container: &Container| {
            container.last.is_some() || container.live().is_some_and(|live| live.is_up())
        };
        match self.ended {
            Some(phase) => phase,
            None if self.begun.is_some() && self.of_kind(Kind::App).all(|(_, app)| was_up(app)) => {
                Phase::Running
            }
            None => Phase::Pending,
        }
    }

    fn container_status(&self, index: Index) -> ContainerStatus {
        let container = &self.containers[index];
        let up = container.live().filter(|live| live.is_up());
        // An instance that ended is Terminated only if no other follows, else it is Waiting for the next one (R36).
        let over = match &container.stage {
            Stage::Down(down) => !down.restart || self.shutdown.is_some(),
            Stage::Idle | Stage::Creating { .. } | Stage::Alive(_) => false,
        };
        let (state, last_state) = match (up, &container.last) {
            (Some(live), last) => (ContainerState::Running { started_at: live.started_at }, last.clone()),
            (None, Some(last)) if over => {
                (ContainerState::Terminated(last.clone()), container.previous.clone())
            }
            (None, last) => (self.waiting(container), last.clone()),
        };
        ContainerStatus {
            state,
            last_state,
            ready: self.is_ready(index),
            started: up.is_some_and(|live| live.started),
            restart_count: container.instances.saturating_sub(1),
        }
    }

    /// R97, unless the container's own story says more (R36, R41).
    fn waiting(&self, container: &Container) -> ContainerState {
        let has_inits = self.spec.containers.iter().any(|spec| spec.kind != Kind::App);
        let default = if has_inits { "PodInitializing" } else { "ContainerCreating" };
        let (reason, message) = container.waiting.clone().unwrap_or_else(|| (default.to_string(), None));
        ContainerState::Waiting { reason, message }
    }

    /// A plain init is ready once it exited with 0, any other while it is Started and its readiness probe agrees (R99).
    fn is_ready(&self, index: Index) -> bool {
        let container = &self.containers[index];
        let is_ready = |live: &Live| live.started && live.readiness_is_ok();
        match self.spec.containers[index].kind {
            Kind::Init => container.passed,
            Kind::Sidecar | Kind::App => container.live().is_some_and(is_ready),
        }
    }

    /// Remember when each condition last changed.
    pub(super) fn track_conditions(&mut self, now: Time) {
        for (index, status) in self.condition_statuses().into_iter().enumerate() {
            if self.condition_times.0[index].0 != status {
                self.condition_times.0[index] = (status, now);
            }
        }
    }

    fn condition_statuses(&self) -> [bool; 5] {
        let sandbox = self.begun.is_some() && self.ended.is_none();
        let ready = self.ended.is_none() && self.begun.is_some() && self.unready().is_empty();
        [sandbox, self.is_initialized(), ready, ready, true]
    }

    /// Every init and sidecar has passed its gate; stays so when a sidecar restarts (R95, R98).
    fn is_initialized(&self) -> bool {
        let mut inits = self.containers.iter().zip(&self.spec.containers);
        inits.all(|(container, spec)| spec.kind == Kind::App || container.passed)
    }

    /// Apps and sidecars that keep the pod from being Ready (R100).
    fn unready(&self) -> Vec<&str> {
        let counts = |index: &Index| self.spec.containers[*index].kind != Kind::Init;
        let indexes = (0..self.containers.len()).filter(counts);
        indexes.filter(|index| !self.is_ready(*index)).map(|index| self.name(index)).collect()
    }

    /// Inits that have not succeeded and sidecars that are not Started (R98).
    fn incomplete(&self) -> Vec<&str> {
        let incomplete = |index: &Index| match self.spec.containers[*index].kind {
            Kind::Init => !self.containers[*index].passed,
            Kind::Sidecar => !self.containers[*index].live().is_some_and(|live| live.started),
            Kind::App => false,
        };
        (0..self.containers.len()).filter(incomplete).map(|index| self.name(index)).collect()
    }

    fn conditions(&self) -> Vec<Condition> {
        let list = |what: &str, names: Vec<&str>| {
            Some(format!("containers with {what} status: [{}]", names.join(" ")))
        };
        let statuses = self.condition_statuses();
        let condition = |index: usize, kind, reason, message| Condition {
            kind,
            status: statuses[index],
            since: self.condition_times.0[index].1,
            reason,
            message,
        };
        let initialized = match (self.ended, statuses[1]) {
            (Some(Phase::Succeeded), _) => (Some("PodCompleted"), None),
            (_, true) => (None, None),
            (_, false) => (Some("ContainersNotInitialized"), list("incomplete", self.incomplete())),
        };
        let ready = match (self.ended, statuses[2]) {
            (Some(Phase::Succeeded), _) => (Some("PodCompleted"), None),
            (Some(_), _) => (Some("PodFailed"), None),
            (None, true) => (None, None),
            (None, false) => (Some("ContainersNotReady"), list("unready", self.unready())),
        };
        vec![
            condition(0, "PodReadyToStartContainers", None, None),
            condition(1, "Initialized", initialized.0, initialized.1),
            condition(2, "Ready", ready.0, ready.1.clone()),
            condition(3, "ContainersReady", ready.0, ready.1),
            condition(4, "PodScheduled", None, None),
        ]
    }
}
