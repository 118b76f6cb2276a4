//! Lines of a script, indented, and comments over them; what was said once is not said again.

use std::collections::HashSet;

use anyhow::Result;

use crate::explain::reason::Reason;
use crate::explain::text::COLUMNS;

/// The script so far.
#[derive(Default)]
pub struct Writer {
    text: String,
    indent: usize,
    said: HashSet<String>,
}

impl Writer {
    /// The whole of it.
    pub fn text(self) -> String {
        self.text
    }

    /// A line as it is.
    pub fn raw(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }

    /// A line of the function that is being written. Inside of quotes a text may have lines of its own, which stay.
    pub fn line(&mut self, line: &str) {
        let indent = " ".repeat(self.indent);
        self.raw(&format!("{indent}{line}"));
    }

    /// Several.
    pub fn lines(&mut self, lines: Vec<String>) {
        lines.iter().for_each(|line| self.line(line));
    }

    /// A comment, folded.
    pub fn comment(&mut self, text: &str) {
        if text.is_empty() {
            return self.raw("#");
        }
        self.folded("# ", "# ", text);
    }

    /// An item of a list in a comment.
    pub fn item(&mut self, text: &str) {
        self.folded("#   - ", "#     ", text);
    }

    /// A comment between the lines of a function.
    pub fn note(&mut self, text: &str) {
        let indent = " ".repeat(self.indent);
        let prefix = format!("{indent}# ");
        self.folded(&prefix, &prefix, text);
    }

    fn folded(&mut self, first: &str, others: &str, text: &str) {
        let mut prefix = first;
        for piece in super::super::text::wrap(text, COLUMNS - others.len()) {
            self.raw(&format!("{prefix}{piece}"));
            prefix = others;
        }
    }

    /// A heading between functions.
    pub fn title(&mut self, title: &str) {
        let title = format!("# ━━ {title} ");
        let width = title.chars().count();
        self.raw("");
        self.raw(&format!("{title}{}", "━".repeat(COLUMNS.saturating_sub(width))));
        self.raw("");
    }

    /// A step begins: its name and, the first time, why it is there and its manual pages.
    pub fn step(&mut self, name: &str, why: &str, man: &[&str]) {
        let is_new = !why.is_empty() && self.said.insert(why.to_owned());
        if !self.text.ends_with("{\n") {
            self.raw("");
        }
        let man = if man.is_empty() { String::new() } else { format!(" [{}]", man.join(" ")) };
        match is_new {
            true => self.note(&format!("{name}: {why}.{man}")),
            false => self.note(name),
        }
    }

    /// The same with a reason of the plan.
    pub fn reason(&mut self, name: &str, (why, man): Reason) {
        self.step(name, why, man);
    }

    /// A reason for lines that follow later, together with others: only the first time.
    pub fn reason_once(&mut self, name: &str, (why, man): Reason) {
        if !self.said.contains(why) {
            self.step(name, why, man);
        }
    }

    /// A function of the script.
    pub fn function(&mut self, name: &str, body: impl FnOnce(&mut Writer) -> Result<()>) -> Result<()> {
        self.line(&format!("{name}() {{"));
        self.indent += 4;
        let written = body(self);
        self.indent -= 4;
        self.line("}");
        written
    }
}
