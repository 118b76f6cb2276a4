//! Reads container logs: `barepod logs`, the foreground of `run`, termination messages.
//!
//! A [`Reader`] goes through the files of one container, oldest first, and knows where it is by the file it holds open, so
//! that a rotation or a restart meanwhile loses nothing. Memory is bounded by one piece of a file. Log files that are not
//! plain files of their own (symlinks, hard links, fifos) are refused: whoever put one there wants another file to be read.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};

use super::logs::attempt_of;

mod line;
mod show;

pub use line::{Line, parse};
pub use show::show;

/// Read at once.
const PIECE: usize = 64 * 1024;

/// What to show.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// This instance (its restart count); `None` is the newest.
    pub attempt: Option<u32>,
    /// The instance before that.
    pub previous: bool,
    /// At most this many lines from the end, before following.
    pub tail: Option<usize>,
    /// Not what is older.
    pub since: Option<SystemTime>,
    /// Begin lines with their time.
    pub timestamps: bool,
    /// Go on with what is written from now on, in this and in later instances.
    pub follow: bool,
}

/// The instances of a container that have logs, oldest first. None when there is no such directory.
pub fn attempts(dir: &Path) -> Result<Vec<u32>> {
    let mut attempts: Vec<u32> = entries(dir)?.into_iter().map(|(attempt, ..)| attempt).collect();
    attempts.sort_unstable();
    attempts.dedup();
    Ok(attempts)
}

/// The last lines of a log file as text, at most `lines` lines and `bytes` bytes, as the kubelet takes them for a
/// termination message.
pub fn tail_text(path: &Path, lines: usize, bytes: usize) -> Result<String> {
    let file = open(path)?;
    let mut wanted = line::Backwards::new(lines);
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    let mut length = 0;
    backwards(&file, |_, line| {
        if length >= bytes || !wanted.wants(line) {
            return false;
        }
        let parsed = parse(line);
        let mut text = parsed.text.to_vec();
        if !parsed.partial {
            text.push(b'\n');
        }
        length += text.len();
        pieces.push(text);
        true
    })?;
    let text: Vec<u8> = pieces.into_iter().rev().flatten().collect();
    Ok(String::from_utf8_lossy(&text[text.len().saturating_sub(bytes)..]).into_owned())
}

/// A place in the log of a container.
pub struct Reader {
    dir: PathBuf,
    /// The instance being read; `None` as long as there is no log.
    attempt: Option<u32>,
    file: Option<File>,
    /// What was read of a line that has not ended yet.
    held: Vec<u8>,
    since: Option<SystemTime>,
    /// Go on to later instances.
    onward: bool,
}

impl Reader {
    /// Finds the place to begin; `timestamps` is not looked at. A log that does not exist yet is waited for by
    /// [`Reader::pump`], a previous one that does not exist is an error.
    pub fn open(dir: &Path, options: &Options) -> Result<Reader> {
        let newest = || Ok::<_, anyhow::Error>(options.attempt.or(attempts(dir)?.last().copied()));
        let mut seen = newest()?;
        let (attempt, file) = loop {
            let attempt = if options.previous { seen.and_then(|seen| seen.checked_sub(1)) } else { seen };
            let file = attempt.map_or(Ok(None), |attempt| {
                stable(dir, attempt, |files| match options.tail {
                    Some(lines) => open_tail(files, lines),
                    None => files.first().map(|path| open(path)).transpose(),
                })
            })?;
            // A restart meanwhile may have taken the wanted log away, and then another one is the wanted.
            let now = newest()?;
            if file.is_some() || now == seen {
                break (attempt, file);
            }
            seen = now;
        };
        ensure!(!options.previous || file.is_some(), "there is no previous instance with a log");
        let attempt = if file.is_some() { attempt } else { options.attempt };
        let onward = options.follow && !options.previous;
        Ok(Reader { dir: dir.to_owned(), attempt, file, held: Vec::new(), since: options.since, onward })
    }

    /// Passes on the whole lines of the next piece; true when there may be more at once.
    pub fn pump(&mut self, sink: &mut dyn FnMut(&Line) -> Result<()>) -> Result<bool> {
        if self.file.is_none() && !self.advance(sink)? {
            return Ok(false);
        }
        if self.read_piece(sink)? {
            return Ok(true);
        }
        self.advance(sink)
    }

    /// Passes on what stands at the end without a newline. Nothing is read after this.
    pub fn finish(&mut self, sink: &mut dyn FnMut(&Line) -> Result<()>) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() { Ok(()) } else { self.pass(&held, sink) }
    }

    /// False at the end of the file.
    fn read_piece(&mut self, sink: &mut dyn FnMut(&Line) -> Result<()>) -> Result<bool> {
        let Some(file) = &mut self.file else { return Ok(false) };
        let begin = self.held.len();
        let mut bytes = std::mem::take(&mut self.held);
        bytes.resize(begin + PIECE, 0);
        let length = loop {
            match file.read(&mut bytes[begin..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other.context("read log")?,
            }
        };
        bytes.truncate(begin + length);
        let mut rest = &bytes[..];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.pass(&rest[..end], sink)?;
            rest = &rest[end + 1..];
        }
        // No line of ours is as long: what does not end is not a log, and passed on in pieces.
        if rest.len() >= PIECE {
            self.pass(rest, sink)?;
            rest = &[];
        }
        self.held = rest.to_vec();
        Ok(length > 0)
    }

    fn pass(&self, bytes: &[u8], sink: &mut dyn FnMut(&Line) -> Result<()>) -> Result<()> {
        let line = parse(bytes);
        let old = self
            .since
            .is_some_and(|since| humantime::parse_rfc3339(line.time).is_ok_and(|time| time < since));
        if old { Ok(()) } else { sink(&line) }
    }

    /// Goes on to the file after the one that is open; false when there is none yet.
    fn advance(&mut self, sink: &mut dyn FnMut(&Line) -> Result<()>) -> Result<bool> {
        let Some((attempt, next)) = self.next_file()? else { return Ok(false) };
        // The next file was begun after the last write to this one, which may have come after our last look.
        while self.read_piece(sink)? {}
        self.finish(sink)?;
        self.file = Some(next);
        self.attempt = Some(attempt);
        Ok(true)
    }

    fn next_file(&self) -> Result<Option<(u32, File)>> {
        let first = |attempt: u32| {
            let file = stable(&self.dir, attempt, |files| files.first().map(|path| open(path)).transpose())?;
            Ok(file.map(|file| (attempt, file)))
        };
        let Some(attempt) = self.attempt else {
            return attempts(&self.dir)?.last().map_or(Ok(None), |newest| first(*newest));
        };
        let Some(file) = &self.file else { return first(attempt) };
        let next = stable(&self.dir, attempt, |files| {
            let ours = file.metadata().context("stat log")?;
            let is_ours = |path: &PathBuf| {
                fs::symlink_metadata(path).is_ok_and(|it| (it.dev(), it.ino()) == (ours.dev(), ours.ino()))
            };
            let next = match files.iter().position(is_ours) {
                Some(at) => files.get(at + 1),
                // Removed by rotations; all that are left are newer.
                None if ours.nlink() == 0 => files.first(),
                None => None,
            };
            next.map(|path| open(path)).transpose()
        })?;
        if let Some(next) = next {
            return Ok(Some((attempt, next)));
        }
        let later =
            if self.onward { attempts(&self.dir)?.into_iter().find(|later| *later > attempt) } else { None };
        later.map_or(Ok(None), first)
    }
}

/// Opens the file in which the last `lines` lines begin, at their beginning.
fn open_tail(files: &[PathBuf], lines: usize) -> Result<Option<File>> {
    let mut wanted = line::Backwards::new(lines);
    let mut found = None;
    for path in files.iter().rev() {
        let mut file = open(path)?;
        let mut begin = None;
        let mut enough = false;
        let end = backwards(&file, |offset, line| {
            enough = !wanted.wants(line);
            if !enough {
                begin = Some(offset);
            }
            !enough
        })?;
        file.seek(SeekFrom::Start(begin.unwrap_or(end))).context("seek in log")?;
        // In an older file nothing may be wanted any more.
        if found.is_none() || begin.is_some() {
            found = Some(file);
        }
        if enough {
            break;
        }
    }
    Ok(found)
}

/// Lets `look` open files by the list of an instance, and again if the list has changed meanwhile: a rotation always adds a
/// name, so with the same list before and after, the names meant the same files in between.
fn stable<T>(dir: &Path, attempt: u32, mut look: impl FnMut(&[PathBuf]) -> Result<T>) -> Result<T> {
    let mut before = files(dir, attempt)?;
    for _ in 0..1000 {
        let seen = look(&before);
        let after = files(dir, attempt)?;
        if after == before {
            return seen;
        }
        before = after;
    }
    bail!("{} is rotated faster than it can be read", dir.display())
}

/// Attempt, whether rotated, and path of every log file in the directory.
fn entries(dir: &Path) -> Result<Vec<(u32, bool, PathBuf)>> {
    let list = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        list => list.with_context(|| format!("list {}", dir.display()))?,
    };
    let mut entries = Vec::new();
    for entry in list {
        let entry = entry.with_context(|| format!("list {}", dir.display()))?;
        if let Some((attempt, rotated)) = attempt_of(&entry.file_name()) {
            entries.push((attempt, rotated, entry.path()));
        }
    }
    Ok(entries)
}

/// The files of an instance, oldest first: the rotated ones by name, then the current one.
fn files(dir: &Path, attempt: u32) -> Result<Vec<PathBuf>> {
    let mut files: Vec<_> = entries(dir)?.into_iter().filter(|(of, ..)| *of == attempt).collect();
    files.sort_by(|(_, a_rotated, a), (_, b_rotated, b)| b_rotated.cmp(a_rotated).then(a.cmp(b)));
    Ok(files.into_iter().map(|(.., path)| path).collect())
}

fn open(path: &Path) -> Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.with_context(|| format!("open log {}", path.display()))?;
    let meta = file.metadata().with_context(|| format!("stat log {}", path.display()))?;
    ensure!(meta.is_file() && meta.nlink() <= 1, "log {} is not a file of its own", path.display());
    Ok(file)
}

/// Calls `visit` with offset and content of each whole line, the last one first, until it says false. Returns the end of the
/// last whole line. Holds one line and one piece in memory; a line longer than that is visited in parts.
fn backwards(file: &File, mut visit: impl FnMut(u64, &[u8]) -> bool) -> Result<u64> {
    let mut begin = file.metadata().context("stat log")?.len();
    // The bytes from `begin` on that belong to a line whose begin has not been seen.
    let mut held: Vec<u8> = Vec::new();
    let mut end = None;
    while begin > 0 {
        let length = begin.min(PIECE as u64);
        begin -= length;
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, begin).context("read log")?;
        bytes.append(&mut held);
        while let Some(newline) = bytes.iter().rposition(|byte| *byte == b'\n') {
            let at = begin + newline as u64 + 1;
            // What follows the last newline of all is not a line yet.
            if end.is_some() && !visit(at, &bytes[newline + 1..]) {
                return Ok(end.unwrap_or(at));
            }
            end.get_or_insert(at);
            bytes.truncate(newline);
        }
        if bytes.len() > 2 * PIECE {
            if end.is_some() && !visit(begin, &bytes) {
                return Ok(end.unwrap_or(begin));
            }
            bytes.clear();
        }
        held = bytes;
    }
    if end.is_some() {
        visit(0, &held);
    }
    Ok(end.unwrap_or(0))
}

#[cfg(test)]
mod tests;
