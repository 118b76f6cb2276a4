//! What happened, one line each, in the order of time: the narrator's words, shorter where much happens.

use super::model::Row;
use crate::history::{Line, Log};
use crate::lifecycle::fact::{Entry, Fact, ProbeResult};
use crate::lifecycle::model::{Kind, Time};
use crate::narrate::Narrator;
use crate::words;

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// When it happened, or the first time that it did.
    pub at: Time,
    /// Container name; `None` = the pod.
    pub container: Option<String>,
    /// What happened.
    pub what: String,
    /// Something went wrong.
    pub warning: bool,
}

/// The list of a log whose containers have these rows. Kernel steps are left out, but for those that failed.
pub(super) fn of(log: &Log, rows: &[Row]) -> Vec<Moment> {
    let mut narrator = Narrator::default();
    narrator.tell(Line::Head(log.head.clone()));
    let mut list = List::default();
    for (index, entry) in log.entries.iter().enumerate() {
        // What a probe's success leads to is told anyway.
        if matches!(entry.fact, Fact::Probe { result: ProbeResult::Success, .. }) {
            continue;
        }
        let told = narrator.tell(Line::Entry(entry.clone())).filter(|told| told.warning || !told.step);
        let Some(told) = told else { continue };
        let gate = if entry.fact == Fact::Starting { gate(log, rows, index, entry) } else { None };
        let what = match gate {
            Some(gate) => format!("{}, now that {gate}", told.words),
            None => told.words,
        };
        let container = entry.container.as_deref().map(words::clean);
        // A probe that failed without a word.
        let what = words::clean(&what).trim_end_matches(':').to_owned();
        list.add(Moment { at: entry.at, container, what, warning: told.warning }, entry);
    }
    list.finish()
}

#[derive(Default)]
struct List {
    moments: Vec<Moment>,
    /// Probe results that came in a row: where the first one stands in the list, how many, and when the last one was.
    repeated: Vec<(usize, u32, Time)>,
}

impl List {
    /// A probe that says again what it said last is counted with the line that is there.
    fn add(&mut self, moment: Moment, entry: &Entry) {
        let newest = self.moments.iter().rposition(|other| other.container == moment.container);
        let same = newest.filter(|at| self.moments[*at].what == moment.what);
        let Some(at) = same.filter(|_| matches!(entry.fact, Fact::Probe { .. })) else {
            return self.moments.push(moment);
        };
        match self.repeated.iter_mut().find(|(place, ..)| *place == at) {
            Some((_, count, last)) => (*count, *last) = (*count + 1, entry.at),
            None => self.repeated.push((at, 2, entry.at)),
        }
    }

    fn finish(mut self) -> Vec<Moment> {
        for (place, count, last) in &self.repeated {
            let more = format!(" ({count} times, the last at {:.3}s)", last.as_secs_f64());
            self.moments[*place].what += &more;
        }
        self.moments
    }
}

/// What a container that is being started has waited for: `sidecar proxy is up`. None where it has passed no gate: after
/// back-off, at a restart, and for what starts with the pod.
fn gate(log: &Log, rows: &[Row], index: usize, entry: &Entry) -> Option<String> {
    let containers = &log.head.containers;
    let place = containers.iter().position(|of| Some(&of.name) == entry.container.as_ref())?;
    let (on, _) = rows[place].gates.iter().find(|(_, at)| *at == entry.at)?;
    let before = &containers[*on];
    let newest = log.entries[..index].iter().rfind(|other| other.container.as_ref() == Some(&before.name));
    let is = match (before.kind, newest.map(|entry| &entry.fact)) {
        (Kind::Init, _) => "is done",
        (Kind::App, Some(Fact::StartFailed { .. })) => "was tried",
        (Kind::App, Some(Fact::Ended { .. })) => "has ended",
        (Kind::Sidecar | Kind::App, _) => "is up",
    };
    Some(format!("{} {is}", words::container(before.kind, &before.name)))
}
