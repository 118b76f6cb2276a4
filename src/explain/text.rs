//! The explanation for people: at most 100 columns, what was said once is not said again.

use std::collections::HashSet;

use super::{Call, Explanation, Line};
use crate::manifest::problem::escape;

/// The widest line, in characters.
pub const COLUMNS: usize = 100;
/// Longest argument that is shown whole.
const ARGUMENT: usize = 120;

/// What a printed piece is, for whoever wants to colour it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Which process, over its steps.
    Who,
    /// The name of a step and what it does.
    Step,
    /// A system call.
    Call,
    /// Why, manual pages, shell.
    Note,
}

/// Prints; `paint` gets every line with what it is.
pub fn render(explanation: &Explanation, paint: impl Fn(Part, &str) -> String) -> String {
    let mut out = Printer { text: String::new(), paint };
    let mut said = HashSet::new();
    let mut who = "";
    for line in &explanation.steps {
        if line.who != who {
            who = &line.who;
            let title = format!("━━ {who} ");
            let width = title.chars().count();
            out.raw(Part::Who, &format!("\n{title}{}", "━".repeat(COLUMNS.saturating_sub(width))));
        }
        step(&mut out, line, &mut said);
    }
    out.text.trim_start().to_owned()
}

struct Printer<P: Fn(Part, &str) -> String> {
    text: String,
    paint: P,
}

impl<P: Fn(Part, &str) -> String> Printer<P> {
    fn raw(&mut self, part: Part, line: &str) {
        self.text += &(self.paint)(part, line);
        self.text.push('\n');
    }

    /// Wraps at blanks; `first` before the first line, blanks of the same width before the others.
    fn wrapped(&mut self, part: Part, first: &str, text: &str, indent: usize) {
        let mut prefix = first.to_owned();
        for piece in wrap(&visible(text), COLUMNS - indent) {
            let pad = indent.saturating_sub(prefix.chars().count());
            self.raw(part, &format!("{prefix}{}{piece}", " ".repeat(pad)));
            prefix = String::new();
        }
    }
}

fn step<P: Fn(Part, &str) -> String>(out: &mut Printer<P>, line: &Line, said: &mut HashSet<String>) {
    out.text.push('\n');
    out.wrapped(Part::Step, line.step, &line.does, 20);
    calls(out, &line.calls);
    if !line.why.is_empty() && said.insert(line.why.clone()) {
        out.wrapped(Part::Note, "    why", &line.why, 12);
        if !line.man.is_empty() {
            out.wrapped(Part::Note, "    man", &line.man.join(" "), 12);
        }
    }
    if let Some(shell) = &line.shell {
        out.wrapped(Part::Note, "    shell", &shorten(shell), 12);
    }
}

fn calls<P: Fn(Part, &str) -> String>(out: &mut Printer<P>, calls: &[Call]) {
    let mut condition: Option<&String> = None;
    let mut position = 0;
    while position < calls.len() {
        let call = &calls[position];
        if call.condition.as_ref() != condition {
            condition = call.condition.as_ref();
            if let Some(condition) = condition {
                out.wrapped(Part::Note, "", &format!("if {condition}:"), 4);
            }
        }
        let indent = if condition.is_some() { 8 } else { 6 };
        let alike = alike(&calls[position..]);
        let shown = show(call);
        let shown = match (&call.each, alike.len()) {
            (Some(each), _) => format!("{shown}  for each {each}"),
            (None, 3..) => format!("{shown}  and {} more: {}", alike.len() - 1, alike[1..].join(", ")),
            _ => shown,
        };
        // Folded lines of a call stand deeper than the calls themselves.
        let mut first = " ".repeat(indent - 2);
        for piece in wrap(&visible(&shown), COLUMNS - indent - 2) {
            out.raw(Part::Call, &format!("{first}{piece}"));
            first = " ".repeat(indent + 2);
        }
        position += if alike.len() >= 3 { alike.len() } else { 1 };
    }
}

fn show(call: &Call) -> String {
    let mut call = call.clone();
    call.args = call.args.iter().map(|arg| shorten(arg)).collect();
    call.to_string()
}

/// What a manifest says cannot move the cursor of who reads about it.
fn visible(text: &str) -> String {
    text.split('\t').map(escape).collect::<Vec<_>>().join("\t")
}

fn shorten(text: &str) -> String {
    let text = text.replace('\n', " ");
    if text.chars().count() <= 2 * ARGUMENT {
        return text;
    }
    let start: String = text.chars().take(ARGUMENT).collect();
    let end: Vec<char> = text.chars().rev().take(ARGUMENT / 2).collect();
    format!("{start} … {}", end.iter().rev().collect::<String>())
}

/// A run of calls that differ in one argument alone: that argument of each.
fn alike(calls: &[Call]) -> Vec<&str> {
    let first = &calls[0];
    let mut at = None;
    let mut found = vec![""];
    for call in &calls[1..] {
        let same = call.name == first.name
            && call.condition == first.condition
            && call.args.len() == first.args.len()
            && call.each.is_none();
        let different: Vec<usize> =
            (0..first.args.len()).filter(|n| call.args.get(*n) != first.args.get(*n)).collect();
        if !same || different.len() != 1 || at.is_some_and(|at| at != different[0]) {
            break;
        }
        at = Some(different[0]);
        found.push(&call.args[different[0]]);
    }
    found
}

/// Breaks at blanks; words that are wider than the line behind a separator, or anywhere when they have none.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let mut letters: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + letters.len() > width {
            lines.push(String::new());
            used = 0;
        }
        if used > 0 {
            lines.last_mut().expect("there is one").push(' ');
            used += 1;
        }
        while letters.len() > width {
            let separator = letters[..width].iter().rposition(|letter| "|,/".contains(*letter));
            let rest = letters.split_off(separator.map_or(width, |at| at + 1));
            lines.last_mut().expect("there is one").extend(letters);
            lines.push(String::new());
            letters = rest;
        }
        used += letters.len();
        lines.last_mut().expect("there is one").extend(letters);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::call::call;

    #[test]
    fn text_is_broken_at_blanks_and_long_words_anywhere() {
        assert_eq!(wrap("a bb ccc dd", 6), ["a bb", "ccc dd"]);
        assert_eq!(wrap("abcdefgh i", 3), ["abc", "def", "gh", "i"]);
        assert_eq!(wrap("AB|CD|EF, i", 6), ["AB|CD|", "EF, i"]);
        assert_eq!(wrap("AB|CDE", 4), ["AB|", "CDE"]);
        assert_eq!(wrap("", 3), [""]);
    }

    #[test]
    fn calls_that_differ_in_one_argument_are_told_together() {
        let calls = ["A", "B", "C"].map(|one| call("prctl", ["X", one]));
        assert_eq!(alike(&calls), ["", "B", "C"]);
        let others = [call("a", ["X", "Y"]), call("a", ["Z", "Y"]), call("a", ["Z", "Q"])];
        assert_eq!(alike(&others), ["", "Z"]);
    }
}
