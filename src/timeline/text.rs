//! The picture in characters, without colour.
//!
//! ```text
//!                    0        2 s       4 s       6 s       8 s
//!                    ├────────┬─────────┬─────────┬─────────┬───
//! migrate  init      ██████=0
//! proxy    sidecar   ······░░░░████████████████████████99887=0
//!                          [postStart]                T
//! web      app       ··········████████████████████99=143
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::axis::Axis;
use super::model::{End, Outcome, Row, Span, State, Timeline, What};
use super::moments::Moment;
use crate::words;
use crate::words::hook_name;
/// No narrower than this.
pub const NARROWEST: usize = 60;
/// Room behind the axis, for the exit code of a container that ends with the pod.
const TAIL: usize = 5;
/// Between a line of the list and the next word of it.
const BETWEEN: &str = "  ";

/// What a character in the picture means; in the order of the legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    Waiting,
    Starting,
    NotUp,
    NotReady,
    Running,
    Stopping,
    BackOff,
    Hook,
    Probe,
    Term,
    Kill,
    Other,
    Ended,
    StartFailed,
    Deadline,
    Open,
    Lost,
    Border,
    Quiet,
}

impl Sign {
    /// Sign and meaning.
    fn legend(self) -> (&'static str, &'static str) {
        match self {
            Sign::Waiting => ("·", "waits for its gate"),
            Sign::Starting => (":", "is being made"),
            Sign::NotUp => ("░", "runs, not up yet (pod: Pending)"),
            Sign::NotReady => ("▒", "up, not ready"),
            Sign::Running => ("█", "running"),
            Sign::Stopping => ("9…0", "being stopped: tenths of the grace that are left"),
            Sign::BackOff => ("~", "back-off"),
            Sign::Hook => ("[─] h", "a hook runs"),
            Sign::Probe => ("!", "probe failed"),
            Sign::Term => ("T", "SIGTERM"),
            Sign::Kill => ("K", "SIGKILL"),
            Sign::Other => ("S", "another signal"),
            Sign::Ended => ("=N", "ended with exit code N"),
            Sign::StartFailed => ("X", "could not be started"),
            Sign::Deadline => ("D", "activeDeadlineSeconds over"),
            Sign::Open => (">", "goes on"),
            Sign::Lost => ("?", "nothing is known any more"),
            Sign::Border => ("╎", "the scale of the axis changes"),
            Sign::Quiet => ("╌", "nothing happens, drawn short"),
        }
    }

    fn of(state: State) -> Sign {
        match state {
            State::Waiting => Sign::Waiting,
            State::Starting => Sign::Starting,
            State::NotUp => Sign::NotUp,
            State::NotReady => Sign::NotReady,
            State::Running => Sign::Running,
            State::Stopping => Sign::Stopping,
            State::BackOff => Sign::BackOff,
        }
    }
}

/// The whole picture, `width` characters wide. `lines`: no more lines than this, so that it fits on a screen; then the list
/// shows what is newest.
pub fn render(timeline: &Timeline, width: usize, lines: Option<usize>) -> String {
    let width = width.max(NARROWEST);
    let mut text = format!("{}\n", headline(timeline));
    if timeline.end != End::NeverStarted {
        text += &picture(timeline, width);
    }
    if timeline.moments.is_empty() {
        return text;
    }
    let list = list(&timeline.moments, width);
    let used = text.lines().count() + 1;
    let shown = lines.map_or(list.len(), |lines| lines.saturating_sub(used).min(list.len()));
    if shown > 0 {
        text += "\n";
        list[list.len() - shown..].iter().for_each(|line| text += line);
    }
    text
}

/// `pod web: Succeeded after 12.9 s`
pub fn headline(timeline: &Timeline) -> String {
    let pod = &timeline.pod;
    let time = words::duration(timeline.to);
    let grace = words::duration(timeline.grace);
    match timeline.end {
        End::NeverStarted => format!("pod {pod}: never started: its sandbox was not ready"),
        End::Running => format!("pod {pod}: {time} since it was started, grace period {grace}"),
        End::Ended(phase) => format!("pod {pod}: {phase:?} after {time}, grace period {grace}"),
        End::Lost => format!("pod {pod}: its log breaks off after {time}, and its pod init is gone"),
    }
}

fn picture(timeline: &Timeline, width: usize) -> String {
    let names = timeline.all_rows().map(|row| row.name.chars().count());
    let name_width = names.max().unwrap_or(3).min((width - 42).min(24));
    let label_width = name_width + BETWEEN.len() + "sidecar".len() + BETWEEN.len();
    let cells = width - label_width - TAIL;
    let axis = Axis::new(&timeline.times(), cells as f64);
    let mut signs = BTreeSet::new();

    let mut text = String::new();
    for line in rule(&axis, cells, &mut signs) {
        let line = format!("{:label_width$}{line}", "");
        writeln!(text, "{}", line.trim_end()).ok(); // a String takes everything
    }
    for row in timeline.all_rows() {
        let label = format!(
            "{:<name_width$}{BETWEEN}{:<7}{BETWEEN}",
            words::cut(&row.name, name_width),
            row.kind.map_or("", words::kind)
        );
        let (bar, ends) = bar(timeline, row, &axis, cells, &mut signs);
        writeln!(text, "{}", format!("{label}{bar}").trim_end()).ok();
        for line in notes(row, &axis, cells, &ends, &mut signs) {
            writeln!(text, "{:label_width$}{line}", "").ok();
        }
    }
    text += "\n";
    let legend: Vec<String> = signs
        .iter()
        .map(|sign| sign.legend())
        .map(|(sign, meaning)| format!("{sign} {meaning}").replace(' ', "\u{a0}"))
        .collect();
    for line in wrap(&legend.join("\u{a0}\u{a0} "), width) {
        writeln!(text, "{}", line.replace('\u{a0}', " ").trim_end()).ok();
    }
    text
}

/// The axis: a line of labels and the rule below it.
fn rule(axis: &Axis, cells: usize, signs: &mut BTreeSet<Sign>) -> [String; 2] {
    let mut labels = vec![' '; cells + TAIL];
    let mut rule = vec!['─'; cells];
    for piece in axis.pieces.iter().filter(|piece| piece.quiet) {
        let (left, right) = (piece.left.round() as usize, (piece.right.round() as usize).min(cells));
        rule[left..right].fill('╌');
        let length = std::time::Duration::try_from_secs_f64(piece.to - piece.from).unwrap_or_default();
        let room = right - left;
        let label = words::duration(length);
        // One cell is for the border.
        for label in [format!(" {label} "), label] {
            if label.chars().count() < room {
                put(&mut rule, left + (room + 1 - label.chars().count()) / 2, &label);
                break;
            }
        }
        signs.insert(Sign::Quiet);
    }
    for tick in axis.ticks(|label| label.chars().count() as f64 + 2.0) {
        let at = (tick.x as usize).min(cells - 1);
        let length = tick.label.chars().count();
        let start = at.saturating_sub(length / 2);
        // Rounding to cells must not make two labels one.
        let from = start.saturating_sub(1);
        if start + length <= labels.len() && labels[from..start + length].iter().all(|c| *c == ' ') {
            put(&mut labels, start, &tick.label);
            rule[at] = '┬';
        }
    }
    for border in axis.borders() {
        rule[(border.round() as usize).min(cells - 1)] = '╎';
        signs.insert(Sign::Border);
    }
    [labels.into_iter().collect(), rule.into_iter().collect()]
}

fn put(line: &mut [char], start: usize, text: &str) {
    for (cell, c) in line[start..].iter_mut().zip(text.chars()) {
        *cell = c;
    }
}

/// The bar of a row, and the ends for which there was no room in it.
fn bar(
    timeline: &Timeline,
    row: &Row,
    axis: &Axis,
    cells: usize,
    signs: &mut BTreeSet<Sign>,
) -> (String, Vec<(usize, String)>) {
    let mut line = vec![' '; cells + TAIL];
    let cell = |at| (axis.x(at) as usize).min(cells);
    let free = |c: char| matches!(c, ' ' | '·' | '~');
    // However short something was, it is seen, unless something longer stands in the same place.
    let mut short: BTreeMap<usize, &Span> = BTreeMap::new();
    for span in &row.spans {
        let (from, to) = (cell(span.from), cell(span.to));
        (from..to).for_each(|at| line[at] = sign(row, span, axis, at, signs));
        if from == to && !matches!(span.state, State::Waiting | State::BackOff) {
            let longest = short.entry(from.min(cells - 1)).or_insert(span);
            if longest.to - longest.from <= span.to - span.from {
                *longest = span;
            }
        }
    }
    for (at, span) in short {
        if free(line[at]) {
            line[at] = sign(row, span, axis, at, signs);
        }
    }
    let mut left = Vec::new();
    for mark in &row.marks {
        let at = cell(mark.at);
        let (text, meaning) = match &mark.what {
            What::Ended { code, .. } => (format!("={code}"), Sign::Ended),
            What::StartFailed => ("X".to_owned(), Sign::StartFailed),
            _ => continue,
        };
        signs.insert(meaning);
        // Behind the bar; an instance that is shorter than a cell has one all the same.
        let at = if at < cells && !free(line[at]) { at + 1 } else { at };
        let end = at + text.len();
        if end <= line.len() && line[at..end].iter().all(|c| free(*c)) {
            put(&mut line, at, &text);
        } else {
            left.push((at, text));
        }
    }
    let is_open = row.spans.last().is_some_and(|span| span.to == timeline.to)
        && !row.marks.iter().any(|mark| mark.at == timeline.to && matches!(mark.what, What::Ended { .. }));
    match timeline.end {
        End::Running if is_open => {
            line[cells] = '>';
            signs.insert(Sign::Open);
        }
        End::Lost if is_open => {
            line[cells] = '?';
            signs.insert(Sign::Lost);
        }
        _ => {}
    }
    (line.into_iter().collect(), left)
}

fn sign(row: &Row, span: &Span, axis: &Axis, cell: usize, signs: &mut BTreeSet<Sign>) -> char {
    signs.insert(Sign::of(span.state));
    match span.state {
        State::Waiting => '·',
        State::Starting => ':',
        State::NotUp => '░',
        State::NotReady => '▒',
        State::Running => '█',
        State::BackOff => '~',
        State::Stopping => {
            let middle = axis.time(cell as f64 + 0.5).clamp(span.from, span.to);
            let left = row.budget(middle).map_or(0.0, |budget| budget.left(middle));
            char::from_digit(((left * 10.0) as u32).min(9), 10).unwrap_or('0')
        }
    }
}

/// Below the bar: hooks, failed probes, signals, and ends for which the bar has no room; empty if there are none.
fn notes(
    row: &Row,
    axis: &Axis,
    cells: usize,
    ends: &[(usize, String)],
    signs: &mut BTreeSet<Sign>,
) -> Vec<String> {
    let mut line = vec![' '; cells + TAIL];
    let cell = |at| (axis.x(at) as usize).min(cells - 1);
    for hook in &row.hooks {
        let (from, to) = (cell(hook.from), cell(hook.to));
        let room = (to - from).max(1);
        let name = hook_name(hook.hook);
        let short = name.trim_end_matches(char::is_lowercase).trim_end_matches('S');
        let name = [name, short].into_iter().find(|name| name.len() + 2 <= room).unwrap_or_default();
        let text = match room {
            1 | 2 => "h".repeat(room),
            _ => {
                let end = if hook.outcome == Outcome::Open { '>' } else { ']' };
                format!("[{name:─<inner$}{end}", inner = room - 2)
            }
        };
        put(&mut line, from, &text);
        signs.insert(Sign::Hook);
    }
    for mark in &row.marks {
        let (c, sign) = match mark.what {
            What::ProbeFailed(_) => ('!', Sign::Probe),
            What::Signal(15) => ('T', Sign::Term),
            What::Signal(9) => ('K', Sign::Kill),
            What::Signal(_) => ('S', Sign::Other),
            What::Deadline => ('D', Sign::Deadline),
            _ => continue,
        };
        // A signal is never hidden; it may stand a little beside its place.
        let at = cell(mark.at);
        let place = (at..at + 3).find(|at| line[*at] == ' ').or((c != '!').then_some(at));
        if let Some(place) = place {
            line[place] = c;
            signs.insert(sign);
        }
    }
    // Where there is no room for an end, a line of its own has it.
    let mut more = vec![' '; cells + TAIL];
    for (at, text) in ends {
        let mut lines = [&mut line, &mut more].into_iter();
        lines.any(|line| {
            let free = |from: &usize| {
                let around = from.saturating_sub(1)..(from + text.len() + 1).min(line.len());
                from + text.len() <= line.len() && line[around].iter().all(|c| *c == ' ')
            };
            let place = (at.saturating_sub(1)..at + 3).find(free);
            place.inspect(|place| put(line, *place, text)).is_some()
        });
    }
    let lines = [line, more].map(|line| line.into_iter().collect::<String>().trim_end().to_owned());
    lines.into_iter().filter(|line| !line.is_empty()).collect()
}

fn list(moments: &[Moment], width: usize) -> Vec<String> {
    let who = |moment: &Moment| moment.container.clone().unwrap_or_else(|| "pod".to_owned());
    let names = moments.iter().map(|moment| who(moment).chars().count()).max().unwrap_or(3).min(24);
    let mut lines = Vec::new();
    for moment in moments {
        let time = format!("{:.3}s", moment.at.as_secs_f64());
        let warning = if moment.warning { '!' } else { ' ' };
        let label = format!("{time:>10} {warning} {:<names$}  ", words::cut(&who(moment), names));
        let indent = label.chars().count();
        for (number, part) in wrap(&moment.what, width - indent).into_iter().enumerate() {
            let label = if number == 0 { label.clone() } else { " ".repeat(indent) };
            lines.push(format!("{label}{part}\n"));
        }
    }
    lines
}

/// Lines of at most this width; a longer word is broken.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line: Vec<char> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let word: Vec<char> = word.chars().collect();
        if !line.is_empty() && line.len() + 1 + word.len() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word);
        while line.len() > width {
            let rest = line.split_off(width);
            lines.push(std::mem::replace(&mut line, rest));
        }
    }
    lines.push(line);
    lines.iter().map(|line| line.iter().collect()).collect()
}
