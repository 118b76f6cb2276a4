//! A problem of a text file, and how it is shown to people: file, line, column, the source line and a caret.

/// Longest piece of a source line that is shown, in characters.
const WIDTH: usize = 100;

/// Something wrong with a manifest or a `config.json`, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// One sentence, without a full stop.
    pub message: String,
    /// It keeps nobody from going on.
    pub warning: bool,
}

impl Problem {
    /// An error at this place.
    pub fn error(line: usize, column: usize, message: impl Into<String>) -> Problem {
        Problem { line, column, message: message.into(), warning: false }
    }

    /// A warning at this place.
    pub fn warning(line: usize, column: usize, message: impl Into<String>) -> Problem {
        Problem { line, column, message: message.into(), warning: true }
    }

    /// Three lines without a line break at the end: `barepod: FILE:LINE:COL: message`, the source line, a caret below it.
    /// `text` is what was read from `file`. Nothing in either can move the cursor or forge a line.
    pub fn render(&self, file: &str, text: &str) -> String {
        let kind = if self.warning { "warning: " } else { "" };
        let (source, caret) = excerpt(line_of(text, self.line), self.column);
        let (file, message) = (escape(file), escape(&self.message));
        format!("barepod: {file}:{}:{}: {kind}{message}\n{source}\n{caret}", self.line, self.column)
    }
}

/// The n-th line, as YAML counts lines: `\n`, `\r\n` and a lone `\r` end one.
fn line_of(text: &str, number: usize) -> &str {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    for _ in 1..number {
        let Some(end) = rest.find(['\n', '\r']) else { return "" };
        let length = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + length..];
    }
    &rest[..rest.find(['\n', '\r']).unwrap_or(rest.len())]
}

/// The part of a line around a column, and the line with the caret that stands below that column.
fn excerpt(line: &str, column: usize) -> (String, String) {
    let length = line.chars().count();
    let at = column.saturating_sub(1).min(length);
    // A long line is cut to what surrounds the caret.
    let start = if length <= WIDTH { 0 } else { at.saturating_sub(WIDTH / 2).min(length - WIDTH) };
    let end = (start + WIDTH).min(length);
    let mut source = String::new();
    let mut caret = String::new();
    if start > 0 {
        source.push_str("… ");
        caret.push_str("  ");
    }
    for (index, character) in line.chars().enumerate().take(end).skip(start) {
        let shown =
            if character == '\t' { "\t".to_owned() } else { escape(character.encode_utf8(&mut [0; 4])) };
        if index < at {
            // A tab below a tab ends at the same column, however wide tabs are.
            caret.extend(
                shown.chars().flat_map(|c| std::iter::repeat_n(if c == '\t' { '\t' } else { ' ' }, width(c))),
            );
        }
        source.push_str(&shown);
    }
    if end < length {
        source.push_str(" …");
    }
    caret.push('^');
    (source, caret)
}

/// Columns that a terminal gives a character: two for East Asian wide ones, of which the common blocks are enough here.
fn width(c: char) -> usize {
    let wide = matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{1f300}'..='\u{1faff}');
    if wide { 2 } else { 1 }
}

/// Writes what is not printable, and what would turn the direction of the text, as `\u{…}`.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || hidden { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// A name from the file, in quotes, cut when it is very long.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("\"{}…\"", escape(&text[..end])),
        None => format!("\"{}\"", escape(text)),
    }
}

/// The first few of some names.
pub fn listed(names: &[&str]) -> String {
    const MOST: usize = 10;
    let rest = if names.len() > MOST { format!(" and {} more", names.len() - MOST) } else { String::new() };
    format!("{}{rest}", names[..names.len().min(MOST)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_with_file_line_column_source_and_caret() {
        let text = "a: 1\nspec:\n  contianers: []\n";
        let shown = Problem::error(3, 3, "unknown field \"contianers\"").render("pod.yaml", text);
        assert_eq!(shown, "barepod: pod.yaml:3:3: unknown field \"contianers\"\n  contianers: []\n  ^");
    }

    #[test]
    fn a_warning_says_that_it_is_one() {
        let shown = Problem::warning(1, 1, "x").render("<stdin>", "a: 1");
        assert_eq!(shown, "barepod: <stdin>:1:1: warning: x\na: 1\n^");
    }

    #[test]
    fn tabs_before_the_caret_stay_tabs() {
        assert_eq!(excerpt("\t\"a\":\t1", 6), ("\t\"a\":\t1".to_owned(), "\t    ^".to_owned()));
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let (source, caret) = excerpt(&line, 501);
        assert_eq!(source.chars().count(), WIDTH + 4);
        assert_eq!(source.chars().nth(caret.chars().count() - 1), Some('X'));
        assert!(source.starts_with("… a") && source.ends_with("b …"));
        let (source, caret) = excerpt(&line, 1002);
        assert_eq!((source.chars().count(), caret.chars().count()), (WIDTH + 2, WIDTH + 3));
    }

    #[test]
    fn what_is_not_printable_is_escaped_and_the_caret_still_fits() {
        let (source, caret) = excerpt("a\u{1b}[2J: x", 7);
        assert_eq!(source, "a\\u{1b}[2J: x");
        assert_eq!(source.chars().nth(caret.len() - 1), Some(' '));
        let shown = Problem::error(1, 1, "bad\nbarepod: fake").render("a\rb", "");
        assert_eq!(shown.lines().count(), 3);
        assert!(!shown.contains('\r'));
    }

    #[test]
    fn every_way_to_end_a_line_counts_as_one_line() {
        for text in ["a\nb\nc", "a\r\nb\r\nc", "a\rb\rc", "\u{feff}a\nb\nc"] {
            assert_eq!(
                [line_of(text, 1), line_of(text, 2), line_of(text, 3), line_of(text, 4)],
                ["a", "b", "c", ""]
            );
        }
    }

    #[test]
    fn wide_characters_move_the_caret_by_two() {
        assert_eq!(excerpt("名: x", 4).1, "    ^");
    }

    #[test]
    fn a_place_outside_the_text_is_no_panic() {
        for (line, column) in [(0, 0), (99, 99), (1, 99), (usize::MAX, usize::MAX)] {
            Problem::error(line, column, "x").render("f", "abc\n");
        }
    }
}
