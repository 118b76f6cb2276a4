//! The picture as SVG: one file, readable in shades of grey.
//!
//! Each row, from its top: hooks, the bar, the grace budget as it burns down, and lines for labels. Labels are placed
//! before anything is drawn, the most important first, each where no other is; one that fits nowhere is left out, since
//! every thing drawn also has its words as `<title>`, and the list has them all.

mod labels;
mod legend;
mod page;

use std::fmt::Write;

use labels::{Line, Places, drawn_budgets, has_ended, strip};
use legend::legend;
pub(super) use page::escape;
pub use page::extent;
use page::*;

use super::axis::Axis;
use super::model::{Budget, End, Hook, Outcome, State, Timeline, What};
use super::moments::Moment;
use super::place::Lanes;
use super::text;
use crate::words;
use crate::words::{hook_name, signal_name};

/// The whole picture; `list`: with the moments below it.
pub fn render(timeline: &Timeline, list: bool) -> String {
    let mut page = Page::default();
    page.text(MARGIN, 32.0, TITLE, "start", DARK, &text::headline(timeline));
    let mut y = 48.0;
    if timeline.end != End::NeverStarted {
        y = picture(&mut page, timeline);
    }
    if list {
        y = moments(&mut page, &timeline.moments, y + 14.0);
    }
    page.finish(&text::headline(timeline), y + MARGIN)
}

/// How a state is drawn: fill, the colour of a label on it, and its words for a container and for the pod.
fn look(state: State) -> (&'static str, &'static str, &'static str, &'static str) {
    match state {
        State::Waiting => ("none", DARK, "waits for its gate", ""),
        State::Starting => ("url(#starting)", DARK, "being made", "sandbox"),
        State::NotUp => ("url(#not-up)", DARK, "not up yet", "Pending"),
        State::NotReady => ("#c3d7e8", DARK, "not ready", ""),
        State::Running => ("#2c5f8a", "#ffffff", "running", "Running"),
        State::Stopping => ("url(#stopping)", DARK, "stopping", "Terminating"),
        State::BackOff => ("none", DARK, "back-off", ""),
    }
}

fn is_solid(state: State) -> bool {
    !matches!(state, State::Waiting | State::BackOff)
}

/// Axis, rows and legend; returns where they end.
fn picture(page: &mut Page, timeline: &Timeline) -> f64 {
    let names = timeline.all_rows().map(|row| extent(&words::cut(&row.name, 22), NAME));
    let left = MARGIN + names.fold(0.0, f64::max) + 20.0;
    let width = WIDTH - TAIL - left;
    let axis = Axis::new(&timeline.times(), width);
    let places: Vec<Places> = timeline.all_rows().map(|row| Places::of(timeline, row, &axis, left)).collect();

    // How high each row is, and so where its bar begins.
    let top = 92.0;
    let mut y = top;
    let mut bars = Vec::new();
    for place in &places {
        let hooks = if place.row.hooks.is_empty() { 0.0 } else { HOOK };
        bars.push(y + hooks);
        let lines = place.labels.iter().filter_map(|label| match label.line {
            Line::Below(line) => Some(line + 1),
            _ => None,
        });
        let budget = strip(place.row);
        let lines = lines.max().unwrap_or(0) as f64 * LINE;
        // The kind stands below the name.
        y += hooks + (BAR + budget + lines + 4.0).max(BAR + 10.0) + 14.0;
    }
    scale(page, &axis, left, top - 12.0, y - 8.0);

    for (place, bar) in places.iter().zip(&bars) {
        gates(page, place, *bar, &bars);
    }
    for (place, bar) in places.iter().zip(&bars) {
        row(page, place, *bar);
    }
    legend(page, timeline, &axis, y + 14.0)
}

/// The time axis, its grid, and where its scale changes.
fn scale(page: &mut Page, axis: &Axis, left: f64, y: f64, bottom: f64) {
    let width = axis.pieces.last().map_or(0.0, |piece| piece.right);
    for piece in axis.pieces.iter().filter(|piece| piece.quiet) {
        let (from, to) = (left + piece.left, left + piece.right);
        page.rect(from, y, to - from, bottom - y, "fill=\"#eeeeee\"", "");
    }
    let mut labels = Lanes::new(1);
    for tick in axis.ticks(|label| extent(label, SMALL) + 24.0) {
        let x = left + tick.x;
        let half = extent(&tick.label, SMALL) / 2.0;
        labels.take_on(0, x - half, x + half);
        page.line((x, y), (x, bottom), "stroke=\"#d4d4d4\" stroke-width=\"1\"");
        page.line((x, y - 5.0), (x, y), "stroke=\"#1d1d1d\" stroke-width=\"1\"");
        page.text(x, y - 9.0, SMALL, "middle", DARK, &tick.label);
    }
    for border in axis.borders() {
        let x = left + border;
        page.line((x, y - 5.0), (x, bottom), BORDER);
    }
    page.line((left, y), (left + width, y), "stroke=\"#1d1d1d\" stroke-width=\"1.5\"");
    // How long it is that nothing happens, between two arrow heads.
    for piece in axis.pieces.iter().filter(|piece| piece.quiet) {
        let (from, to) = (left + piece.left + 4.0, left + piece.right - 4.0);
        let length = std::time::Duration::try_from_secs_f64(piece.to - piece.from).unwrap_or_default();
        let label = words::duration(length);
        let (middle, half) = ((from + to) / 2.0, extent(&label, SMALL) / 2.0);
        // Labels of ticks at its borders may take the room.
        if labels.is_free(0, middle - half - 6.0, middle + half + 6.0) && from <= middle - half {
            page.text(middle, y - 9.0, SMALL, "middle", GREY, &label);
        }
        let (y, head) = (y + 6.0, 4.0);
        page.line((from, y), (to, y), &format!("stroke=\"{GREY}\" stroke-width=\"1\""));
        for (tip, back) in [(from, from + head), (to, to - head)] {
            page.line((tip, y), (back, y - head / 2.0), &format!("stroke=\"{GREY}\" stroke-width=\"1\""));
            page.line((tip, y), (back, y + head / 2.0), &format!("stroke=\"{GREY}\" stroke-width=\"1\""));
        }
    }
}

/// Arrows from what let a container start to the container.
fn gates(page: &mut Page, place: &Places, bar: f64, bars: &[f64]) {
    for (on, at) in &place.row.gates {
        // Row 0 is the pod.
        let Some(from) = bars.get(on + 1) else { continue };
        let x = place.x(*at);
        let bar = if place.row.hooks.is_empty() { bar } else { bar - HOOK };
        let opener = &place.timeline.rows[*on].name;
        let title = format!("the gate of {} opens: {opener} lets it start", place.row.name);
        arrow(page, x, from + BAR, bar, &title);
    }
}

/// One row.
fn row(page: &mut Page, place: &Places, bar: f64) {
    let row = place.row;
    page.text(MARGIN, bar + 15.0, NAME, "start", DARK, &words::cut(&row.name, 22));
    if let Some(kind) = row.kind {
        page.text(MARGIN, bar + 29.0, SMALL, "start", GREY, words::kind(kind));
    }
    let name = |what: &str| format!("{}: {what}", row.name);
    for span in &row.spans {
        let (from, to) = place.stretch(span.from, span.to, if is_solid(span.state) { 3.0 } else { 0.0 });
        let (fill, _, of_container, of_pod) = look(span.state);
        let what = if row.kind.is_none() { of_pod } else { of_container };
        let times = format!(
            "{:.3}s to {:.3}s, {}",
            span.from.as_secs_f64(),
            span.to.as_secs_f64(),
            words::duration(span.to - span.from)
        );
        let title = name(&format!("{what}, {times}"));
        match span.state {
            State::Waiting | State::BackOff => {
                let style = if span.state == State::Waiting { DOTS } else { DASHES };
                let (x1, x2, y) =
                    (number(from + 2.0), number((to - 2.0).max(from + 2.0)), number(bar + BAR - 4.0));
                let line = format!("line x1=\"{x1}\" y1=\"{y}\" x2=\"{x2}\" y2=\"{y}\" {style}");
                page.shape(&line, &title);
            }
            _ => {
                let style = format!("fill=\"{fill}\" stroke=\"#1d1d1d\" stroke-width=\"0.8\"");
                page.rect(from, bar, to - from, BAR, &style, &title);
            }
        }
    }
    let runs_on = row.spans.last().is_some_and(|span| span.to == place.timeline.to && is_solid(span.state));
    if place.timeline.end == End::Running && runs_on && !has_ended(row, place.timeline.to) {
        let (x, middle) = (place.x(place.timeline.to), bar + BAR / 2.0);
        let points = format!(
            "{},{} {},{} {},{}",
            number(x + 3.0),
            number(bar + 3.0),
            number(x + 12.0),
            number(middle),
            number(x + 3.0),
            number(bar + BAR - 3.0)
        );
        page.shape(&format!("polygon points=\"{points}\" fill=\"#1d1d1d\""), &name("goes on"));
    }
    for hook in &row.hooks {
        hook_bar(page, place, hook, bar);
    }
    for budget in drawn_budgets(row) {
        wedge(page, place, budget, bar + BAR + 2.0);
    }
    marks(page, place, bar);
    for label in &place.labels {
        let top = match label.line {
            Line::Hooks => bar - HOOK,
            Line::Bar => bar + 1.0,
            Line::Below(line) => bar + BAR + 2.0 + strip(row) + line as f64 * LINE,
        };
        if label.plate {
            let width = extent(&label.text, SMALL) + 6.0;
            page.rect(label.left - 3.0, bar + 4.0, width, BAR - 8.0, "fill=\"#ffffff\" rx=\"3\"", "");
        }
        let base = if label.line == Line::Hooks { 11.0 } else { 12.0 };
        page.text(label.left, top + base, SMALL, "start", label.colour, &label.text);
    }
}

/// A hook, just above the bar.
fn hook_bar(page: &mut Page, place: &Places, hook: &Hook, bar: f64) {
    let (from, to) = place.stretch(hook.from, hook.to, 3.0);
    let outcome = match hook.outcome {
        Outcome::Open => "runs on",
        Outcome::Well => "returned",
        Outcome::Failed => "failed",
        Outcome::CutOff => "was cut off",
    };
    let title = format!(
        "{}: {} {outcome} at {:.3}s after {}",
        place.row.name,
        hook_name(hook.hook),
        hook.to.as_secs_f64(),
        words::duration(hook.to - hook.from)
    );
    let style = match hook.outcome {
        Outcome::Failed | Outcome::CutOff => {
            "fill=\"#ffffff\" stroke=\"#8c1d18\" stroke-width=\"1.5\" stroke-dasharray=\"3 2\""
        }
        Outcome::Open | Outcome::Well => "fill=\"#ffffff\" stroke=\"#1d1d1d\" stroke-width=\"1\"",
    };
    page.rect(from, bar - HOOK, to - from, HOOK - 1.0, style, &title);
}

/// The budget, high when it is whole and flat when it is spent; the frame is what was given.
fn wedge(page: &mut Page, place: &Places, budget: &Budget, top: f64) {
    let (from, to) = (place.x(budget.from), place.x(budget.to));
    if to - from < 1.0 {
        return;
    }
    let bottom = top + BUDGET;
    page.rect(from, top, to - from, BUDGET, "fill=\"#ffffff\" stroke=\"#8a8a8a\" stroke-width=\"0.8\"", "");
    // Straight in time, so bent where the scale changes.
    let mut times = vec![budget.from, budget.to, budget.until.clamp(budget.from, budget.to)];
    let borders = place.axis.pieces.iter().map(|piece| piece.from);
    times.extend(borders.filter_map(|at| std::time::Duration::try_from_secs_f64(at).ok()));
    times.retain(|at| budget.from <= *at && *at <= budget.to);
    times.sort();
    let mut points = format!("{},{}", number(from), number(bottom));
    for at in times {
        let height = budget.left(at) * BUDGET;
        write!(points, " {},{}", number(place.x(at)), number(bottom - height)).ok();
    }
    write!(points, " {},{}", number(to), number(bottom)).ok();
    let title = format!(
        "{}: {} of grace, {} left at {:.3}s",
        place.row.name,
        words::duration(budget.until.saturating_sub(budget.from)),
        words::duration(budget.until.saturating_sub(budget.to)),
        budget.to.as_secs_f64()
    );
    page.shape(&format!("polygon points=\"{points}\" fill=\"{FIRE}\""), &title);
}

/// Signals, failed probes and ends.
fn marks(page: &mut Page, place: &Places, bar: f64) {
    let mut crossed = f64::MIN;
    for mark in &place.row.marks {
        let x = place.x(mark.at);
        let at = format!("{}: {:.3}s", place.row.name, mark.at.as_secs_f64());
        let path = |page: &mut Page, path: String, colour: &str, width: f64, title: String| {
            let style = format!("stroke=\"{colour}\" stroke-width=\"{width}\" fill=\"none\"");
            page.shape(&format!("path d=\"{path}\" {style}"), &title);
        };
        match &mark.what {
            What::Signal(signal) => {
                let (x, top) = (number(x), number(bar - 2.0));
                let d = format!("M{x} {top}V{}", number(bar + BAR + 4.0));
                path(page, d, DARK, 2.5, format!("{at} {} is sent", signal_name(*signal)));
            }
            // Thousands of failures are a row of crosses, not a thousand on each place.
            What::ProbeFailed(_) if x < crossed + 3.0 => {}
            What::ProbeFailed(probe) => {
                crossed = x;
                // A cross below the bar, on white so that it is seen before a budget, too.
                let title = format!("{at} {} probe failed", words::probe(*probe));
                cross(page, x, bar + BAR + 7.0, 3.5, &title);
            }
            What::Ended { code, signal, reason } => {
                let d = format!("M{} {}V{}", number(x), number(bar - 3.0), number(bar + BAR + 3.0));
                let title = format!("{at} ended: {}", words::end(*code, *signal, reason));
                path(page, d, if *code == 0 { DARK } else { FIRE }, 3.0, title);
            }
            What::StartFailed => {
                cross(page, x, bar + BAR / 2.0, 5.0, &format!("{at} could not be started"));
            }
            What::Deadline => {
                let d = format!("M{} {}V{}", number(x), number(bar - 6.0), number(bar + BAR + 6.0));
                path(page, d, FIRE, 3.0, format!("{at} activeDeadlineSeconds is over"));
            }
            What::PodEnded(_) => {}
        }
    }
}

/// The list; a long one without its middle.
fn moments(page: &mut Page, moments: &[Moment], mut y: f64) -> f64 {
    let who = |moment: &Moment| words::cut(moment.container.as_deref().unwrap_or("pod"), 24);
    let names = moments.iter().map(|moment| extent(&who(moment), SMALL)).fold(0.0, f64::max);
    let times = moments.iter().map(|moment| extent(&time(moment), SMALL)).fold(0.0, f64::max);
    let name = MARGIN + times + 28.0;
    let what = name + names + 18.0;
    let left_out = moments.len().saturating_sub(LIST);
    let (head, tail) = (LIST * 2 / 3, LIST / 3);
    for (number, moment) in moments.iter().enumerate() {
        let is_out = left_out > 0 && (head..moments.len() - tail).contains(&number);
        if is_out && number > head {
            continue;
        }
        y += 16.0;
        if is_out {
            page.text(what, y, SMALL, "start", GREY, &format!("({left_out} more)"));
            continue;
        }
        let colour = if moment.warning { FIRE } else { DARK };
        page.text(MARGIN + times, y, SMALL, "end", DARK, &time(moment));
        if moment.warning {
            page.text(MARGIN + times + 10.0, y, SMALL, "start", FIRE, "!");
        }
        page.text(name, y, SMALL, "start", DARK, &who(moment));
        page.text(what, y, SMALL, "start", colour, &fit(&moment.what, WIDTH - MARGIN - what));
    }
    y
}

fn time(moment: &Moment) -> String {
    format!("{:.3}s", moment.at.as_secs_f64())
}

/// As much of a text as there is room for.
fn fit(text: &str, room: f64) -> String {
    let mut length = text.chars().count();
    while length > 0 && extent(&words::cut(text, length), SMALL) > room {
        length -= 1;
    }
    words::cut(text, length)
}
