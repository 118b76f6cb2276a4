//! One line of a log file, pure.

use super::super::logs::Stream;

/// A line in the CRI's format, or one that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// As it stands in the file, such as `2026-11-21T08:00:00.123456789Z`; empty when the line is not in the format.
    pub time: &'a str,
    /// Standard output when the line is not in the format.
    pub stream: Stream,
    /// The line goes on in the next line of the same stream (tag P).
    pub partial: bool,
    /// What the container wrote.
    pub text: &'a [u8],
}

/// Parses a line without its newline. Whatever is not in the format is text as a whole.
pub fn parse(line: &[u8]) -> Line<'_> {
    well_formed(line).unwrap_or(Line { time: "", stream: Stream::Stdout, partial: false, text: line })
}

fn well_formed(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let stream = match parts.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    // More tags may follow the first, separated by colons (the CRI reserves that).
    let partial = match parts.next()?.split(|byte| *byte == b':').next()? {
        b"F" => false,
        b"P" => true,
        _ => return None,
    };
    let text = parts.next()?;
    let date = time.as_bytes().get(..11)?;
    let like_a_time =
        time.is_ascii() && date[10] == b'T' && date[..10].iter().all(|b| b.is_ascii_digit() || *b == b'-');
    like_a_time.then_some(Line { time, stream, partial, text })
}

/// Offsets of the last lines: goes through the log from its end and stops at the line that ended before them.
#[derive(Debug)]
pub struct Backwards {
    wanted: usize,
    /// Per stream: the parts seen belong to a line whose end has been counted.
    counted: [bool; 2],
}

impl Backwards {
    /// Looks for the last `wanted` lines.
    pub fn new(wanted: usize) -> Backwards {
        Backwards { wanted, counted: [false; 2] }
    }

    /// Takes the line before those it was given so far; false when it belongs to none of the wanted lines.
    pub fn wants(&mut self, line: &[u8]) -> bool {
        let line = parse(line);
        let counted = &mut self.counted[line.stream as usize];
        // A part ends a line only if nothing of its stream comes after it.
        if line.partial && *counted {
            return true;
        }
        if self.wanted == 0 {
            return false;
        }
        self.wanted -= 1;
        *counted = true;
        true
    }
}
