//! Container output to disk, in the CRI's format and the kubelet's layout:
//! `2026-11-21T08:00:00.123456789Z stdout F line`, in `LOGS/NAMESPACE_NAME_UID/CONTAINER/RESTARTS.log`.
//!
//! The pod init writes here and must never be held up or ended by its logs: a write that fails drops its lines, counts
//! them, and says so in the log as soon as there is space again. No fsync. Memory is used only while a line is unfinished.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

/// Longest content of one line of the file; longer lines of a container are cut into parts (containerd's limit).
pub const LONGEST: usize = 16 * 1024;
/// A log is rotated before it grows beyond this (the kubelet's `containerLogMaxSize`).
const MAX_SIZE: u64 = 10 << 20;
/// Files per instance, the current one included (`containerLogMaxFiles`).
const MAX_FILES: usize = 5;
/// Lines are collected up to about this size for one write(2): less than the allocator gives back to the kernel each time.
const BATCH: usize = 48 * 1024;

/// Which output of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

impl Stream {
    /// The word in the file.
    pub fn word(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// The log of one container instance.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    file: File,
    /// Bytes in `file`.
    size: u64,
    /// Unfinished line of each stream.
    held: [Vec<u8>; 2],
    /// Earlier files of this instance, oldest first.
    rotated: VecDeque<PathBuf>,
    /// Second and number within it of the last rotation, so that names always ascend.
    last_rotation: (u64, u32),
    /// Lines lost since the last marker.
    dropped: u64,
    /// The file ends in half a line that could not be cut off.
    torn: bool,
    limit: u64,
}

impl LogWriter {
    /// Opens `attempt`.log in the container's directory, which exists. Logs of attempts before the previous one are removed,
    /// as the kubelet keeps one dead instance per container.
    pub fn create(dir: &Path, attempt: u32) -> Result<LogWriter> {
        let path = dir.join(format!("{attempt}.log"));
        let file = open(&path).with_context(|| format!("open log {}", path.display()))?;
        let meta = file.metadata().with_context(|| format!("stat log {}", path.display()))?;
        ensure!(meta.is_file() && meta.nlink() == 1, "log {} is not a file of its own", path.display());
        let mut rotated = Vec::new();
        let mut outdated = Vec::new();
        for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
            let entry = entry.with_context(|| format!("list {}", dir.display()))?;
            match attempt_of(&entry.file_name()) {
                Some((of, true)) if of == attempt => rotated.push(entry.path()),
                Some((of, is_rotated)) if of + 1 < attempt => outdated.push((of, !is_rotated, entry.path())),
                _ => {}
            }
        }
        // The oldest first: a follower whose file has gone goes on with what is left, and takes that for newer.
        outdated.sort();
        for (_, _, old) in outdated {
            fs::remove_file(&old).with_context(|| format!("remove log {}", old.display()))?;
        }
        rotated.sort();
        Ok(LogWriter {
            path,
            file,
            size: meta.len(),
            held: [Vec::new(), Vec::new()],
            rotated: rotated.into(),
            last_rotation: (0, 0),
            dropped: 0,
            torn: false,
            limit: MAX_SIZE,
        })
    }

    /// Where the newest lines are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes what the container wrote. Whole lines go to the file at once, with `now` as their time; a line without its end
    /// is kept until it ends or is longer than [`LONGEST`]. Bytes are kept as they are.
    pub fn write(&mut self, stream: Stream, bytes: &[u8], now: SystemTime) {
        let header = header(stream, now);
        let mut held = std::mem::take(&mut self.held[stream as usize]);
        let mut batch = Vec::with_capacity(bytes.len().min(BATCH) * 3 / 2 + LONGEST);
        let mut rest = bytes;
        while !rest.is_empty() {
            let start = batch.len();
            batch.extend_from_slice(&header);
            batch.append(&mut held);
            let room = LONGEST - (batch.len() - start - header.len());
            let (mut window, after) = rest.split_at(room.min(rest.len()));
            // Finds the newline and copies in one go; reading from a slice cannot fail.
            let length = window.read_until(b'\n', &mut batch).unwrap_or(0);
            let ended = length > 0 && batch.last() == Some(&b'\n');
            rest = if ended { &rest[length..] } else { after };
            if !ended {
                match rest.first() {
                    None => {
                        held = batch.split_off(start + header.len());
                        batch.truncate(start);
                        break;
                    }
                    // The end of a line that fits exactly.
                    Some(b'\n') => rest = &rest[1..],
                    Some(_) => set_partial(&mut batch, start, &header),
                }
                batch.push(b'\n');
            }
            if batch.len() >= BATCH {
                self.append(&batch, now);
                batch.clear();
            }
        }
        self.held[stream as usize] = held;
        self.append(&batch, now);
    }

    /// Writes what is left of lines that never ended, marked partial as containerd does: a reader adds no newline that the
    /// container did not write. Also the last chance to tell of dropped lines.
    pub fn finish(&mut self, now: SystemTime) {
        let mut batch = Vec::new();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let held = std::mem::take(&mut self.held[stream as usize]);
            if !held.is_empty() {
                let header = header(stream, now);
                let start = batch.len();
                batch.extend_from_slice(&header);
                batch.extend_from_slice(&held);
                batch.push(b'\n');
                set_partial(&mut batch, start, &header);
            }
        }
        self.append(&batch, now);
    }

    /// Rotates earlier than at [`MAX_SIZE`].
    #[cfg(test)]
    pub(super) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// One write(2) of whole lines. What does not get to the disk is dropped and counted.
    fn append(&mut self, lines: &[u8], now: SystemTime) {
        let mut marked = Vec::new();
        if self.dropped > 0 || self.torn {
            marked = self.marker(now);
            marked.extend_from_slice(lines);
        }
        let marker = marked.len().saturating_sub(lines.len());
        let bytes = if marked.is_empty() { lines } else { &marked };
        if bytes.is_empty() {
            return;
        }
        if self.size > 0 && self.size + bytes.len() as u64 > self.limit && self.rotate(now).is_err() {
            // Growing without bound would be worse; the next batch tries again.
            self.dropped += count_lines(lines);
            return;
        }
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => break,
                Ok(length) => written += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // Half a line is cut off again: readers only ever see whole ones.
        let whole = bytes[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let cut = written > whole && self.file.set_len(self.size + whole as u64).is_err();
        self.size += if cut { written } else { whole } as u64;
        if whole >= marker && marker > 0 {
            self.dropped = 0;
            self.torn = false;
        }
        self.torn |= cut;
        self.dropped += count_lines(&lines[whole.saturating_sub(marker).min(lines.len())..]);
    }

    /// The line that tells of dropped ones.
    fn marker(&self, now: SystemTime) -> Vec<u8> {
        let mut marker = if self.torn { vec![b'\n'] } else { Vec::new() };
        if self.dropped > 0 {
            marker.extend_from_slice(&header(Stream::Stderr, now));
            marker.extend_from_slice(
                format!("[barepod: {} lines dropped, the log could not be written]\n", self.dropped)
                    .as_bytes(),
            );
        }
        marker
    }

    /// Renames the file as the kubelet does, `0.log.20060102-150405`, and begins a new one. The new file is made first, so that
    /// a failure leaves everything as it was.
    fn rotate(&mut self, now: SystemTime) -> io::Result<()> {
        // The oldest goes first, since its space may be what is missing.
        while self.rotated.len() + 1 >= MAX_FILES {
            if let Err(error) = fs::remove_file(&self.rotated[0])
                && error.kind() != ErrorKind::NotFound
            {
                return Err(error);
            }
            self.rotated.pop_front();
        }
        let next = self.path.with_extension("next");
        match fs::remove_file(&next) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = open(&next)?;
        let (name, rotation) = self.rotated_name(now);
        fs::rename(&self.path, &name)?;
        if let Err(error) = fs::rename(&next, &self.path) {
            fs::rename(&name, &self.path)?;
            return Err(error);
        }
        self.rotated.push_back(name);
        self.last_rotation = rotation;
        self.file = file;
        self.size = 0;
        self.torn = false;
        Ok(())
    }

    /// A name that is free and sorts behind all earlier ones, however fast the log grows and wherever the clock is set.
    fn rotated_name(&self, now: SystemTime) -> (PathBuf, (u64, u32)) {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (last, number) = self.last_rotation;
        let mut rotation = if now > last { (now, 0) } else { (last, number + 1) };
        loop {
            let time = UNIX_EPOCH + std::time::Duration::from_secs(rotation.0);
            let time = humantime::format_rfc3339_seconds(time)
                .to_string()
                .replace(['-', ':', 'Z'], "")
                .replace('T', "-");
            let number = if rotation.1 == 0 { String::new() } else { format!("-{:03}", rotation.1) };
            let name = PathBuf::from(format!("{}.{time}{number}", self.path.display()));
            if fs::symlink_metadata(&name).is_err() {
                return (name, rotation);
            }
            rotation.1 += 1;
        }
    }
}

/// Never through a symlink, and without waiting should it be a fifo.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    // Whatever the umask was.
    file.set_permissions(fs::Permissions::from_mode(0o640))?;
    Ok(file)
}

/// `2026-11-21T08:00:00.123456789Z stdout F `
fn header(stream: Stream, now: SystemTime) -> Vec<u8> {
    let mut text = String::with_capacity(40);
    // A clock before 1970 cannot be written.
    let now = now.max(UNIX_EPOCH);
    write!(text, "{} {} F ", humantime::format_rfc3339_nanos(now), stream.word()).unwrap_or_default();
    text.into_bytes()
}

/// Turns the tag of the line at `start` from F to P.
fn set_partial(batch: &mut [u8], start: usize, header: &[u8]) {
    batch[start + header.len() - 2] = b'P';
}

fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The attempt that a log file belongs to, and whether it was rotated.
pub fn attempt_of(name: &std::ffi::OsStr) -> Option<(u32, bool)> {
    let (attempt, rest) = name.to_str()?.split_once('.')?;
    let attempt = attempt.parse().ok()?;
    match rest.strip_prefix("log")? {
        "" => Some((attempt, false)),
        suffix => suffix.starts_with('.').then_some((attempt, true)),
    }
}

#[cfg(test)]
mod tests;
