//! A rare limit as data: one line for one control file, and what the file must show afterwards.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::super::tree;

/// What is known of the cgroup before anything is set.
pub(super) struct Host<'a> {
    pub(super) v2: bool,
    /// It has a past: what is to be as it is by default must be set, too.
    pub(super) living: bool,
    /// Whether it has a file of a controller.
    pub(super) exists: &'a dyn Fn(&str, &str) -> bool,
    /// The file's content, if it can be read.
    pub(super) read: &'a dyn Fn(&str, &str) -> Option<String>,
}

impl Host<'_> {
    pub(super) fn exists(&self, controller: &str, file: &str) -> bool {
        (self.exists)(controller, file)
    }

    pub(super) fn read(&self, controller: &str, file: &str) -> Option<String> {
        (self.read)(controller, file)
    }
}

/// One value for one control file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// Its name in the specification, after `linux.resources.`.
    pub(super) field: String,
    pub(super) controller: String,
    pub(super) file: String,
    /// One line.
    pub(super) value: String,
    pub(super) shows: Shows,
    /// What the kernel may mean when it refuses the value.
    pub(super) hint: &'static str,
}

/// What the file must show when the value was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shows {
    /// The value.
    Same,
    /// A number of bytes, rounded down to units of this size; `max`, or about 2^63, is no limit.
    Bytes(u64),
    /// A list of numbers and ranges, which the kernel writes in its own way.
    List,
    /// A line that begins with the first word and has the second.
    Line(String, String),
    /// No line that begins with this word, or a line that has the second.
    NoLine(String, String),
    /// Nothing that could be compared.
    Anything,
}

impl Setting {
    pub(super) fn new(field: &str, controller: &str, file: &str, value: String, shows: Shows) -> Setting {
        let (field, controller, file) = (field.to_owned(), controller.to_owned(), file.to_owned());
        Setting { field, controller, file, value, shows, hint: "" }
    }

    pub(super) fn hint(self, hint: &'static str) -> Setting {
        Setting { hint, ..self }
    }

    pub(super) fn perform(&self, dir: &Path) -> Result<()> {
        let written = tree::write(dir, &self.file, &self.value);
        if self.hint.is_empty() {
            written?
        } else {
            written.context(self.hint)?
        }
        if self.shows == Shows::Anything {
            return Ok(());
        }
        let now = tree::read(dir, &self.file)?;
        ensure!(
            self.is_shown(&now),
            "{}/{} is {now:?} after {:?} was written",
            dir.display(),
            self.file,
            self.value
        );
        Ok(())
    }

    /// Whether the file's content says that the value was taken.
    pub(super) fn is_shown(&self, now: &str) -> bool {
        match &self.shows {
            Shows::Same => now == self.value,
            Shows::Bytes(unit) => match (bytes(now), bytes(&self.value)) {
                (Ok(now), Ok(want)) => now.map(|now| now / unit) == want.map(|want| want / unit),
                _ => false,
            },
            Shows::List => match (numbers(now), numbers(&self.value)) {
                (Some(now), Some(want)) => now == want,
                // Notations that only the kernel knows.
                _ => true,
            },
            Shows::Line(first, word) => line_with(now, first).any(|line| has_word(line, word)),
            Shows::NoLine(first, word) => line_with(now, first).all(|line| has_word(line, word)),
            Shows::Anything => true,
        }
    }
}

fn line_with<'a>(text: &'a str, first: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter(move |line| line.split_whitespace().next() == Some(first))
}

fn has_word(line: &str, word: &str) -> bool {
    line.split_whitespace().any(|one| one == word)
}

/// An amount as the kernel prints it; `None` is "no limit".
pub(super) fn bytes(text: &str) -> Result<Option<u64>> {
    // v1 prints its largest number of pages in bytes; huge pages leave more of the last ones away.
    const UNLIMITED: u64 = i64::MAX as u64 - 0x7fff_ffff;
    if text == "max" || text == "-1" {
        return Ok(None);
    }
    let value: u64 = text.parse().with_context(|| format!("parse {text:?}"))?;
    Ok((value < UNLIMITED).then_some(value))
}

/// The numbers of a list such as `0-3,5`, in order, each once.
pub(in super::super) fn numbers(list: &str) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        // The kernel knows no machine with more.
        if first > last || last > 0xffff {
            return None;
        }
        numbers.extend(first..=last);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Some(numbers)
}
