//! What happened when: bars, hooks, marks and budgets of each container, and of the pod as a whole.

use std::time::Duration;

use super::fold::{self, Told};
use super::moments::{self, Moment};
use crate::history::Log;
use crate::lifecycle::model::{HookKind, Kind, Phase, ProbeKind, Time};
use crate::words;

/// A pod's life so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// Pod name.
    pub pod: String,
    /// `terminationGracePeriodSeconds`
    pub grace: Duration,
    /// How far it has come.
    pub end: End,
    /// The right end of the picture: the pod's end, now, or the last that is known.
    pub to: Time,
    /// The pod as a whole; its bars are those of its phases.
    pub whole: Row,
    /// Each container, in the order of the manifest.
    pub rows: Vec<Row>,
    /// What is worth reading, in order.
    pub moments: Vec<Moment>,
}

/// How far a pod has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its sandbox was never ready.
    NeverStarted,
    /// It runs, or is being ended.
    Running,
    /// It has ended for good.
    Ended(Phase),
    /// Its log breaks off, and nobody writes it any more.
    Lost,
}

/// What is drawn for one container, or for the pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name.
    pub name: String,
    /// `None`: the pod.
    pub kind: Option<Kind>,
    /// One after the other, without overlaps.
    pub spans: Vec<Span>,
    /// Hooks that ran.
    pub hooks: Vec<Hook>,
    /// Moments.
    pub marks: Vec<Mark>,
    /// Grace budgets, as far as they burnt down.
    pub budgets: Vec<Budget>,
    /// Gates that it waited at: whose progress opened them (index of a container), and when.
    pub gates: Vec<(usize, Time)>,
}

/// A stretch of time in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its begin.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// What it was.
    pub state: State,
    /// Of which instance (restartCount).
    pub attempt: u32,
}

/// What a container, or the pod, is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It waits for its gate: what stands before it in the list is not there yet. The pod: its sandbox is made.
    Waiting,
    /// It is being made.
    Starting,
    /// It runs; postStart or the startup probe is not over. The pod: Pending.
    NotUp,
    /// It is up, and its readiness probe does not agree.
    NotReady,
    /// It runs, and is ready if that matters for it.
    Running,
    /// It is being stopped; the pod: terminating.
    Stopping,
    /// Back-off holds its next instance back.
    BackOff,
}

/// A hook that ran.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// Which.
    pub hook: HookKind,
    /// Its begin.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// How it went.
    pub outcome: Outcome,
}

/// How a hook went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It still runs, or nobody knows.
    Open,
    /// Well.
    Well,
    /// It failed.
    Failed,
    /// It was cut off.
    CutOff,
}

/// A moment on a bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// When.
    pub at: Time,
    /// What.
    pub what: What,
}

/// What a [`Mark`] stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A probe failed, or could not be carried out.
    ProbeFailed(ProbeKind),
    /// A signal was sent.
    Signal(i32),
    /// An instance ended.
    Ended {
        /// Exit code.
        code: i32,
        /// The signal that ended it.
        signal: Option<i32>,
        /// Completed, Error, OOMKilled.
        reason: String,
    },
    /// An instance could not be started.
    StartFailed,
    /// `activeDeadlineSeconds` ran out.
    Deadline,
    /// The pod ended.
    PodEnded(Phase),
}

/// A grace budget that burns down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// From here …
    pub from: Time,
    /// … to here it was needed.
    pub to: Time,
    /// It would have been spent then.
    pub until: Time,
    /// The whole of it.
    pub whole: Duration,
}

impl Budget {
    /// The part that is left at a moment, 0 to 1.
    pub fn left(&self, at: Time) -> f64 {
        if self.whole.is_zero() {
            return 0.0;
        }
        (self.until.saturating_sub(at).as_secs_f64() / self.whole.as_secs_f64()).min(1.0)
    }
}

impl Row {
    pub(super) fn new(name: &str, kind: Option<Kind>) -> Row {
        Row {
            name: words::clean(name),
            kind,
            spans: Vec::new(),
            hooks: Vec::new(),
            marks: Vec::new(),
            budgets: Vec::new(),
            gates: Vec::new(),
        }
    }

    /// The budget that burns at a moment.
    pub fn budget(&self, at: Time) -> Option<&Budget> {
        self.budgets.iter().rev().find(|budget| budget.from <= at && at <= budget.to)
    }
}

impl Timeline {
    /// Reads a log. `now`: the moment on the pod's clock if the pod init lives, `None` if nothing is written any more.
    pub fn new(log: &Log, now: Option<Time>) -> Timeline {
        let Told { begun, ended, to, whole, rows } = fold::read(log, now);
        let end = match (begun, ended, now) {
            (_, Some(phase), _) => End::Ended(phase),
            (_, None, Some(_)) => End::Running,
            (false, None, None) => End::NeverStarted,
            (true, None, None) => End::Lost,
        };
        let grace = Duration::from_secs(log.head.grace_seconds);
        let moments = moments::of(log, &rows);
        Timeline { pod: words::clean(&log.head.name), grace, end, to, whole, rows, moments }
    }

    /// The pod, then its containers.
    pub fn all_rows(&self) -> impl Iterator<Item = &Row> {
        std::iter::once(&self.whole).chain(&self.rows)
    }

    /// Every time at which something changes, in order, each once; the ends of the picture too.
    pub fn times(&self) -> Vec<Time> {
        let of_row = |row: &Row| {
            let spans = row.spans.iter().flat_map(|span| [span.from, span.to]);
            let hooks = row.hooks.iter().flat_map(|hook| [hook.from, hook.to]);
            spans.chain(hooks).chain(row.marks.iter().map(|mark| mark.at)).collect::<Vec<_>>()
        };
        let mut times: Vec<Time> = self.all_rows().flat_map(of_row).chain([Time::ZERO, self.to]).collect();
        times.sort();
        times.dedup();
        times
    }
}
