//! What is drawn, explained as far as it occurs.

use std::collections::BTreeSet;

use super::labels::drawn_budgets;
use super::look;
use super::page::*;
use crate::timeline::axis::Axis;
use crate::timeline::model::{State, Timeline, What};

/// What is drawn, as far as it occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    State(State),
    Gate,
    Hook,
    Probe,
    Signal,
    Budget,
    Border,
}

impl Key {
    fn meaning(self) -> &'static str {
        match self {
            Key::State(State::Waiting) => "waits for its gate",
            Key::State(State::Starting) => "being made",
            Key::State(State::NotUp) => "not up yet: postStart, startup probe (pod: Pending)",
            Key::State(State::NotReady) => "up, not ready",
            Key::State(State::Running) => "running",
            Key::State(State::Stopping) => "being stopped (pod: Terminating)",
            Key::State(State::BackOff) => "back-off",
            Key::Gate => "a gate opens",
            Key::Hook => "hook",
            Key::Probe => "a probe fails",
            Key::Signal => "signal, end",
            Key::Budget => "grace that is left",
            Key::Border => "the scale of the axis changes",
        }
    }

    /// A small example, 26 wide, on a line of text whose base is `y`.
    fn draw(self, page: &mut Page, x: f64, y: f64) {
        let frame = "fill=\"#ffffff\" stroke=\"#1d1d1d\" stroke-width=\"1\"";
        match self {
            Key::State(State::Waiting) => page.line((x + 2.0, y - 4.0), (x + 26.0, y - 4.0), DOTS),
            Key::State(State::BackOff) => page.line((x, y - 4.0), (x + 26.0, y - 4.0), DASHES),
            Key::State(state) => {
                let style = format!("fill=\"{}\" stroke=\"#1d1d1d\" stroke-width=\"0.8\"", look(state).0);
                page.rect(x, y - 11.0, 26.0, 13.0, &style, "");
            }
            Key::Gate => arrow(page, x + 13.0, y - 13.0, y + 3.0, ""),
            Key::Hook => page.rect(x, y - 11.0, 26.0, 13.0, frame, ""),
            Key::Probe => cross(page, x + 13.0, y - 4.0, 3.5, ""),
            Key::Signal => page.line(
                (x + 13.0, y - 12.0),
                (x + 13.0, y + 3.0),
                "stroke=\"#1d1d1d\" stroke-width=\"2.5\"",
            ),
            Key::Border => page.line((x + 13.0, y - 13.0), (x + 13.0, y + 4.0), BORDER),
            Key::Budget => {
                page.rect(
                    x,
                    y - 11.0,
                    26.0,
                    13.0,
                    "fill=\"#ffffff\" stroke=\"#8a8a8a\" stroke-width=\"0.8\"",
                    "",
                );
                let (left, right, top, bottom) =
                    (number(x), number(x + 26.0), number(y - 11.0), number(y + 2.0));
                let points = format!("{left},{top} {right},{bottom} {left},{bottom}");
                page.shape(&format!("polygon points=\"{points}\" fill=\"{FIRE}\""), "");
            }
        }
    }
}

/// The keys of what is drawn; returns where it ends.
pub(super) fn legend(page: &mut Page, timeline: &Timeline, axis: &Axis, y: f64) -> f64 {
    let mut used: BTreeSet<Key> = axis.borders().map(|_| Key::Border).collect();
    for row in timeline.all_rows() {
        used.extend(row.spans.iter().map(|span| Key::State(span.state)));
        used.extend(row.gates.first().map(|_| Key::Gate));
        used.extend(row.hooks.first().map(|_| Key::Hook));
        used.extend(drawn_budgets(row).next().map(|_| Key::Budget));
        used.extend(row.marks.iter().filter_map(|mark| match mark.what {
            What::ProbeFailed(_) => Some(Key::Probe),
            What::Signal(_) | What::Ended { .. } => Some(Key::Signal),
            _ => None,
        }));
    }
    let (mut x, mut y) = (MARGIN, y);
    for key in used {
        let width = 34.0 + extent(key.meaning(), SMALL) + 22.0;
        if x + width > WIDTH {
            (x, y) = (MARGIN, y + 22.0);
        }
        key.draw(page, x, y);
        page.text(x + 34.0, y, SMALL, "start", DARK, key.meaning());
        x += width;
    }
    y + 6.0
}
