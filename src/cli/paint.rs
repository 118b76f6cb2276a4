//! Colour, where it is wanted: on a terminal, unless `NO_COLOR` is set (no-color.org).

use std::io::IsTerminal;

/// Colours by container, in the order of the manifest; told apart without red and green, which mean something.
const PALETTE: [&str; 5] = ["36", "35", "34", "33", "96"];

/// Paints, or leaves as it is.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// As standard output wants it.
    pub fn for_stdout() -> Paint {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Paint { on: std::io::stdout().is_terminal() && !refused }
    }

    /// The colour of the n-th container.
    pub fn container(self, n: usize, text: &str) -> String {
        self.with(PALETTE[n % PALETTE.len()], text)
    }

    /// Something less important.
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// Something wrong.
    pub fn warning(self, text: &str) -> String {
        self.with("31", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
