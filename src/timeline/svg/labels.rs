//! Labels: placed before anything is drawn, the most important first, each where no other is.

use super::page::*;
use super::{is_solid, look};
use crate::timeline::axis::Axis;
use crate::timeline::model::{Budget, End, Outcome, Row, Span, State, Timeline, What};
use crate::timeline::place::Lanes;
use crate::words;
use crate::words::{hook_name, signal_name};

/// A label that has its place: on which line, and from where.
pub(super) struct Label {
    pub(super) line: Line,
    pub(super) left: f64,
    pub(super) text: String,
    pub(super) colour: &'static str,
    /// On a hatched ground it needs one of its own.
    pub(super) plate: bool,
}

/// The lines of a row that labels stand on.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Line {
    Hooks,
    Bar,
    /// Counted from the bar down.
    Below(usize),
}

/// Where things of a row stand, before it is known how high it is.
pub(super) struct Places<'a> {
    pub(super) timeline: &'a Timeline,
    pub(super) row: &'a Row,
    pub(super) axis: &'a Axis,
    pub(super) left: f64,
    hooks: Lanes,
    bar: Lanes,
    below: Lanes,
    pub(super) labels: Vec<Label>,
}

impl<'a> Places<'a> {
    pub(super) fn of(timeline: &'a Timeline, row: &'a Row, axis: &'a Axis, left: f64) -> Places<'a> {
        let (hooks, bar, below) = (Lanes::new(1), Lanes::new(1), Lanes::new(LINES));
        let mut places = Places { timeline, row, axis, left, hooks, bar, below, labels: Vec::new() };
        for span in row.spans.iter().filter(|span| is_solid(span.state)) {
            let (from, to) = places.stretch(span.from, span.to, 3.0);
            places.bar.take_on(0, from, to);
        }
        for hook in &row.hooks {
            let (from, to) = places.stretch(hook.from, hook.to, 3.0);
            places.hooks.take_on(0, from, to);
        }
        places.ends();
        places.signals();
        places.hook_names();
        places.budgets();
        places.probes();
        places.states();
        places
    }

    pub(super) fn x(&self, at: std::time::Duration) -> f64 {
        self.left + self.axis.x(at)
    }

    pub(super) fn stretch(
        &self,
        from: std::time::Duration,
        to: std::time::Duration,
        least: f64,
    ) -> (f64, f64) {
        let (from, to) = (self.x(from), self.x(to));
        (from, to.max(from + least))
    }

    /// Puts a text on the first of these lines, at the first of these places, where it hits nothing.
    fn put(&mut self, lines: &[Line], lefts: &[f64], text: &str, colour: &'static str) -> bool {
        let width = extent(text, SMALL);
        for line in lines {
            for left in lefts {
                let (from, to) = (*left, left + width);
                if from < self.left || to > WIDTH - 4.0 {
                    continue;
                }
                // A little air between two texts.
                let (with, lane) = match line {
                    Line::Hooks => (&mut self.hooks, 0),
                    Line::Bar => (&mut self.bar, 0),
                    Line::Below(lane) => (&mut self.below, *lane),
                };
                if with.is_free(lane, from - 3.0, to + 3.0) {
                    with.take_on(lane, from, to);
                    self.labels.push(Label {
                        line: *line,
                        left: from,
                        text: text.to_owned(),
                        colour,
                        plate: false,
                    });
                    return true;
                }
            }
        }
        false
    }

    fn ends(&mut self) {
        for mark in &self.row.marks {
            let x = self.x(mark.at);
            let (text, colour) = match &mark.what {
                What::Ended { code, signal, reason } => {
                    let text = match signal {
                        Some(signal) => format!("{} ({code})", signal_name(*signal)),
                        None if reason == "OOMKilled" => format!("OOMKilled ({code})"),
                        None => format!("exit {code}"),
                    };
                    (text, if *code == 0 { DARK } else { FIRE })
                }
                What::StartFailed => ("start failed".to_owned(), FIRE),
                What::PodEnded(phase) => (format!("{phase:?}"), DARK),
                _ => continue,
            };
            let width = extent(&text, SMALL);
            let put = self.put(&[Line::Bar], &[x + 7.0], &text, colour);
            if !put {
                self.put(&below(), &[x + 3.0, x - width - 3.0], &text, colour);
            }
        }
        let is_open =
            self.row.spans.last().is_some_and(|span| span.to == self.timeline.to && is_solid(span.state));
        if self.timeline.end == End::Lost && is_open && !has_ended(self.row, self.timeline.to) {
            let x = self.x(self.timeline.to);
            self.put(&[Line::Bar], &[x + 7.0], "unknown", FIRE);
        }
    }

    fn signals(&mut self) {
        for mark in &self.row.marks {
            let x = self.x(mark.at);
            let text = match mark.what {
                What::Signal(number) => signal_name(number),
                What::Deadline => "activeDeadlineSeconds is over".to_owned(),
                _ => continue,
            };
            let width = extent(&text, SMALL);
            self.put(&below(), &[x + 4.0, x - width - 4.0, x - width / 2.0], &text, DARK);
        }
    }

    fn hook_names(&mut self) {
        for hook in &self.row.hooks {
            let (from, to) = self.stretch(hook.from, hook.to, 3.0);
            let text = format!(
                "{}{}",
                hook_name(hook.hook),
                match hook.outcome {
                    Outcome::Failed => " failed",
                    Outcome::CutOff => " cut off",
                    Outcome::Open | Outcome::Well => "",
                }
            );
            let width = extent(&text, SMALL);
            if to - from >= width + 8.0 {
                let left = from + (to - from - width) / 2.0;
                self.labels.push(Label { line: Line::Hooks, left, text, colour: DARK, plate: false });
            } else {
                self.put(&[Line::Hooks], &[to + 4.0, from - width - 4.0], &text, DARK);
            }
        }
    }

    fn budgets(&mut self) {
        for budget in drawn_budgets(self.row) {
            let (from, to) = self.stretch(budget.from, budget.to, 0.0);
            if to - from < 8.0 {
                continue; // hardly to be seen
            }
            let given = words::duration(budget.until.saturating_sub(budget.from));
            let left = words::duration(budget.until.saturating_sub(budget.to));
            let long = match budget.until > budget.to {
                true => format!("grace {given}, {left} left"),
                false => format!("grace {given}, all of it used"),
            };
            for text in [long, format!("grace {given}")] {
                let width = extent(&text, SMALL);
                // Below the wedge if that can be, else beside it.
                let lefts = [from, to - width, from - width];
                if lefts.iter().any(|left| self.put(&below(), &[*left], &text, FIRE)) {
                    break;
                }
            }
        }
    }

    /// A label for the first failure of a run of failures of one probe.
    fn probes(&mut self) {
        let mut run = None;
        for mark in &self.row.marks {
            match mark.what {
                What::ProbeFailed(probe) => {
                    if run.replace(probe) != Some(probe) {
                        let x = self.x(mark.at);
                        let text = format!("{} probe fails", words::probe(probe));
                        let width = extent(&text, SMALL);
                        self.put(&below(), &[x - 4.0, x - width], &text, DARK);
                    }
                }
                What::Signal(_) | What::Deadline => {}
                _ => run = None,
            }
        }
    }

    fn states(&mut self) {
        for span in &self.row.spans {
            let (from, to) = self.stretch(span.from, span.to, 0.0);
            for text in self.words(span) {
                let width = extent(&text, SMALL);
                if to - from < width + 8.0 {
                    continue;
                }
                let colour = look(span.state).1;
                if is_solid(span.state) {
                    // Beside the signals that fall into it, if there is room.
                    let middle = from + (to - from - width) / 2.0;
                    let hits = |left: f64| {
                        let signals =
                            self.row.marks.iter().filter(|mark| matches!(mark.what, What::Signal(_)));
                        let mut at = signals.map(|mark| self.x(mark.at));
                        at.any(|x| left - 4.0 < x && x < left + width + 4.0)
                    };
                    let lefts = [middle, from + 5.0, to - width - 5.0];
                    let left = lefts.into_iter().find(|left| !hits(*left)).unwrap_or(middle);
                    let plate = look(span.state).0.starts_with("url");
                    self.labels.push(Label { line: Line::Bar, left, text, colour, plate });
                    break;
                }
                // Something may stand at the begin of the line already: the exit code of the instance before.
                let lefts = [from + (to - from - width) / 2.0, to - width - 4.0, from + 4.0];
                if self.put(&[Line::Bar], &lefts, &text, colour) {
                    break;
                }
            }
        }
    }

    /// What may be written on a span, the longest first.
    fn words(&self, span: &Span) -> Vec<String> {
        let (_, _, of_container, of_pod) = look(span.state);
        let plain = if self.row.kind.is_none() { of_pod } else { of_container }.to_owned();
        match span.state {
            State::Running | State::NotUp | State::NotReady if span.attempt > 0 => {
                let restart = format!("restart {}", span.attempt);
                vec![format!("{plain} ({restart})"), restart]
            }
            State::BackOff => {
                let length = words::duration(span.to - span.from);
                vec![format!("back-off {length}"), length]
            }
            State::Waiting => {
                let place = self.timeline.rows.iter().position(|row| std::ptr::eq(row, self.row));
                let before = place.and_then(|place| self.timeline.rows.get(place.checked_sub(1)?));
                let before = before.map(|row| format!("waits for {}", row.name));
                before.into_iter().chain([plain, "waits".to_owned()]).collect()
            }
            _ => vec![plain],
        }
    }
}

/// All lines below the bar.
pub(super) fn below() -> [Line; LINES] {
    std::array::from_fn(Line::Below)
}

/// Budgets that were there at all.
pub(super) fn drawn_budgets(row: &Row) -> impl Iterator<Item = &Budget> {
    row.budgets.iter().filter(|budget| !budget.whole.is_zero())
}

/// The room just below a bar, for the budget and for the crosses of failed probes.
pub(super) fn strip(row: &Row) -> f64 {
    let probes = row.marks.iter().any(|mark| matches!(mark.what, What::ProbeFailed(_)));
    if probes || drawn_budgets(row).next().is_some() { BUDGET + 2.0 } else { 0.0 }
}

pub(super) fn has_ended(row: &Row, at: std::time::Duration) -> bool {
    row.marks.iter().any(|mark| mark.at == at && matches!(mark.what, What::Ended { .. } | What::PodEnded(_)))
}
