//! What tests ask of a pod that runs, or has run.

use super::{Mark, Sim};
use crate::lifecycle::*;

/// What is to be done, without what is only told.
pub fn deeds(actions: Vec<Action>) -> Vec<Action> {
    actions.into_iter().filter(|action| !matches!(action, Action::Note(_))).collect()
}

impl Sim {
    /// The status of a container now.
    pub fn status(&self, name: &str) -> ContainerStatus {
        let index = self.ctrs.iter().position(|ctr| ctr.spec.name == name).expect("a container of the pod");
        self.pod.snapshot(self.now).containers[index].clone()
    }

    /// Exit code and reason of a container that is Terminated.
    #[track_caller]
    pub fn terminated(&self, name: &str) -> (i32, String) {
        match self.status(name).state {
            ContainerState::Terminated(ended) => (ended.exit_code, ended.reason),
            other => panic!("{name} is {other:?}"),
        }
    }

    /// The reason of a container that is Waiting, else what it is.
    pub fn waiting(&self, name: &str) -> String {
        match self.status(name).state {
            ContainerState::Waiting { reason, .. } => reason,
            other => format!("{other:?}"),
        }
    }

    pub fn phase(&self) -> Phase {
        self.pod.snapshot(self.now).phase
    }

    pub fn condition(&self, kind: &str) -> Condition {
        let conditions = self.pod.snapshot(self.now).conditions;
        conditions.into_iter().find(|condition| condition.kind == kind).expect("a known condition")
    }

    /// Seconds at which `who` logged `mark`.
    pub fn times(&self, who: &str, mark: Mark) -> Vec<f64> {
        let lines = self.trace.iter().filter(|(_, name, logged)| name == who && *logged == mark);
        lines.map(|(at, ..)| at.as_secs_f64()).collect()
    }

    pub fn starts(&self, who: &str) -> Vec<f64> {
        self.times(who, Mark::Starting)
    }

    pub fn exits(&self, who: &str) -> Vec<f64> {
        self.times(who, Mark::Exiting)
    }

    /// Seconds at which the lifecycle asked for this.
    pub fn acted(&self, which: impl Fn(&Action) -> bool) -> Vec<f64> {
        self.log.iter().filter(|(_, action)| which(action)).map(|(at, _)| at.as_secs_f64()).collect()
    }

    /// Messages of the events with this reason.
    pub fn notes(&self, reason: &str) -> Vec<String> {
        let words = |action: &Action| match action {
            Action::Note(Note { about, fact }) => {
                fact.words(about.map_or("", |instance| &self.ctrs[instance.container].spec.name))
            }
            _ => Vec::new(),
        };
        let all = self.log.iter().flat_map(|(_, action)| words(action));
        all.filter(|words| words.reason == reason).map(|words| words.message).collect()
    }

    fn first(&self, who: &str, mark: Mark) -> Option<usize> {
        self.trace.iter().position(|(_, name, logged)| name == who && *logged == mark)
    }

    fn last(&self, who: &str, mark: Mark) -> Option<usize> {
        self.trace.iter().rposition(|(_, name, logged)| name == who && *logged == mark)
    }

    /// The first A.Started is followed by some B.Starting.
    pub fn starts_before(&self, a: &str, b: &str) -> bool {
        self.first(a, Mark::Started) < self.last(b, Mark::Starting) && !self.never(a)
    }

    /// The first A.Exiting is followed by some B.Exiting.
    pub fn exits_before(&self, a: &str, b: &str) -> bool {
        let first = self.first(a, Mark::Exiting);
        first.is_some() && first < self.last(b, Mark::Exiting)
    }

    /// The first A.Exiting comes before the first B.Starting, and both are there.
    pub fn strictly_before(&self, a: &str, b: &str) -> bool {
        let first = self.first(a, Mark::Exiting);
        first.is_some() && first < self.first(b, Mark::Starting)
    }

    /// A starts first, B's Started lies between A's Started and Exiting, and both exit.
    pub fn runs_together_first(&self, a: &str, b: &str) -> bool {
        let (from, to) = (self.first(a, Mark::Started), self.first(a, Mark::Exiting));
        let other = self.first(b, Mark::Started);
        from.is_some() && from < other && other < to && self.first(b, Mark::Exiting).is_some()
    }

    pub fn runs_together(&self, a: &str, b: &str) -> bool {
        self.runs_together_first(a, b) || self.runs_together_first(b, a)
    }

    pub fn never(&self, who: &str) -> bool {
        self.first(who, Mark::Started).is_none()
    }

    pub fn restarted(&self, who: &str) -> bool {
        self.starts(who).len() >= 2
    }
}
