//! The log reader over files that hold anything, and over what the log writer has made of anything.
//!
//! The first four bytes say how: the options ([`flag`]), the number of lines from the end, the place at which the content is
//! cut into two files, in 256ths, and how often the content is repeated, so that it is longer than what is read at once.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use barepod::pod::logread::{self, Line, Options, Reader, show, tail_text};
use barepod::pod::logs::{LogWriter, Stream};

use super::Directory;

/// The bits of the first byte.
mod flag {
    pub const TIMESTAMPS: u8 = 1;
    pub const SINCE: u8 = 2;
    pub const TAIL: u8 = 4;
    pub const PREVIOUS: u8 = 8;
    /// The second file is that of the next instance; else it is what was written after a rotation.
    pub const RESTARTED: u8 = 16;
    /// The files grow while they are read.
    pub const GROWS: u8 = 32;
    /// The content is what a container has said, not the file.
    pub const WRITTEN: u8 = 64;
}

/// What the reader reads at once. A line that is longer is no log, and shown in pieces.
const PIECE: usize = 64 * 1024;
const LONGEST: usize = 4 * PIECE;
const ROTATED: &str = "0.log.20261121-080000";

/// Every line is shown once, in order, on its stream; from the end, as many as wanted.
pub fn log(bytes: &[u8]) {
    let Some((&[flags, lines, cut, repeat], content)) = bytes.split_first_chunk::<4>() else { return };
    let content = content.repeat(usize::from(repeat).clamp(1, 1 + LONGEST / content.len().max(1)));
    let directory = Directory::new();
    let directory = directory.path();
    let has = |flag: u8| flags & flag != 0;
    if has(flag::WRITTEN) {
        return written(directory, &content);
    }
    let (first, second) = content.split_at(content.len() * usize::from(cut) / 256);
    let second_name = if has(flag::RESTARTED) { "1.log" } else { "0.log" };
    if has(flag::GROWS) {
        return growing(directory, first, second_name, second);
    }
    for (name, content) in [(ROTATED, first), (second_name, second)] {
        fs::write(directory.join(name), content).expect("write log");
    }
    let options = Options {
        attempt: None,
        previous: has(flag::PREVIOUS),
        tail: has(flag::TAIL).then_some(usize::from(lines)),
        since: has(flag::SINCE).then(|| at(0)),
        timestamps: has(flag::TIMESTAMPS),
        follow: false,
    };
    let files: &[&[u8]] = match (options.previous, has(flag::RESTARTED)) {
        (false, false) => &[first, second],
        (false, true) => &[second],
        (true, true) => &[first],
        (true, false) => {
            assert!(shown(directory, &options).is_err(), "there is no instance before the first");
            return;
        }
    };
    let is_a_log = content.split(|byte| *byte == b'\n').all(|line| line.len() < PIECE);
    let shown = shown(directory, &options).expect("show log");
    if is_a_log {
        let expected = in_one_go(files, &options);
        assert!(shown == expected, "{options:?} of {files:?}\n{shown:?}, not\n{expected:?}");
    }
    message(&directory.join(ROTATED), first, usize::from(lines), is_a_log);
}

/// 2026-11-21T08:00:00Z and so many seconds.
fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_248_000 + seconds)
}

type Shown = [Vec<u8>; 2];

fn shown(directory: &Path, options: &Options) -> Result<Shown, String> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    show(directory, options, &mut out, &mut err, &mut || true).map_err(|error| format!("{error:#}"))?;
    Ok([out, err])
}

/// The same, from everything at once.
fn in_one_go(files: &[&[u8]], options: &Options) -> Shown {
    let mut lines: Vec<Line> = Vec::new();
    // What stands behind the last newline of a file is shown, and is not a line to be counted.
    let mut whole = Vec::new();
    for file in files {
        let mut pieces: Vec<&[u8]> = file.split(|byte| *byte == b'\n').collect();
        let rest = pieces.pop().filter(|rest| !rest.is_empty());
        whole.extend(pieces.iter().map(|_| true).chain(rest.map(|_| false)));
        lines.extend(pieces.into_iter().chain(rest).map(logread::parse));
    }
    let first = options.tail.map_or(0, |tail| begin_of(&lines, &whole, files, tail));
    let mut shown = Shown::default();
    let mut begins = [true; 2];
    for line in &lines[first..] {
        let is_old = |since| humantime::parse_rfc3339(line.time).is_ok_and(|time| time < since);
        if options.since.is_some_and(is_old) {
            continue;
        }
        let (into, begins) = (&mut shown[line.stream as usize], &mut begins[line.stream as usize]);
        if *begins && options.timestamps && !line.time.is_empty() {
            into.extend_from_slice(format!("{} ", line.time).as_bytes());
        }
        *begins = !line.partial;
        into.extend_from_slice(line.text);
        into.extend((!line.partial).then_some(b'\n'));
    }
    shown
}

/// Where the last `tail` lines begin: a part belongs to the line that ends with the next whole one of its stream.
fn begin_of(lines: &[Line], whole: &[bool], files: &[&[u8]], tail: usize) -> usize {
    let mut begin = lines.len();
    if !files.last().is_some_and(|file| file.is_empty() || file.ends_with(b"\n")) {
        begin -= 1; // nothing but the rest of the newest file
    }
    let (mut left, mut seen) = (tail, [false; 2]);
    for (place, line) in lines.iter().enumerate().rev().filter(|(place, _)| whole[*place]) {
        let seen = &mut seen[line.stream as usize];
        if !line.partial || !*seen {
            let Some(less) = left.checked_sub(1) else { break };
            left = less;
        }
        *seen = true;
        begin = place;
    }
    begin
}

/// The end of a log as a termination message.
fn message(path: &Path, content: &[u8], lines: usize, is_a_log: bool) {
    const BYTES: usize = 100;
    let message = tail_text(path, lines, BYTES).expect("read the end of a log");
    let options = Options { tail: Some(lines), ..Options::default() };
    // Both streams in one; what has not ended is left out.
    let ended = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let all: Vec<Line> = content[..ended].split(|byte| *byte == b'\n').map(logread::parse).collect();
    let all = &all[..all.len() - 1];
    let begin = begin_of(all, &vec![true; all.len()], &[&content[..ended]], options.tail.unwrap_or(0));
    let mut text = Vec::new();
    for line in &all[begin..] {
        text.extend_from_slice(line.text);
        text.extend((!line.partial).then_some(b'\n'));
    }
    let end = String::from_utf8_lossy(&text[text.len().saturating_sub(BYTES)..]);
    assert!(!is_a_log || message == end, "{message:?}, not {end:?}");
}

/// Followed while it is written, rotated or begun anew by a restart: nothing is lost, nothing comes twice.
fn growing(directory: &Path, first: &[u8], second_name: &str, second: &[u8]) {
    let options = Options { follow: true, ..Options::default() };
    let mut reader = Reader::open(directory, &options).expect("open log");
    let mut got = Vec::new();
    let mut read = |reader: &mut Reader, last: bool| {
        let mut sink = |line: &Line| {
            got.extend_from_slice(line.text);
            got.push(b'\n');
            Ok(())
        };
        while reader.pump(&mut sink).expect("read log") {}
        if last {
            reader.finish(&mut sink).expect("read log");
        }
    };
    read(&mut reader, false);
    let append = |name: &str, content: &[u8]| {
        let file = OpenOptions::new().append(true).create(true).open(directory.join(name));
        file.and_then(|mut file| file.write_all(content)).expect("write log");
    };
    // In pieces that end anywhere.
    let size = 1 + first.len() / 3;
    first.chunks(size).for_each(|piece| {
        append("0.log", piece);
        read(&mut reader, false);
    });
    if second_name == "0.log" && !first.is_empty() {
        fs::rename(directory.join("0.log"), directory.join(ROTATED)).expect("rotate log");
    }
    second.chunks(1 + second.len() / 3).for_each(|piece| {
        append(second_name, piece);
        read(&mut reader, false);
    });
    read(&mut reader, true);
    let lines = |content: &[u8]| {
        let mut text = Vec::new();
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            text.extend_from_slice(logread::parse(line.strip_suffix(b"\n").unwrap_or(line)).text);
            text.push(b'\n');
        }
        text
    };
    let is_a_log =
        [first, second].iter().all(|it| it.split(|byte| *byte == b'\n').all(|it| it.len() < PIECE));
    let expected = [lines(first), lines(second)].concat();
    assert!(!is_a_log || got == expected, "{got:?}, not {expected:?}");
}

/// What a container says, in pieces between bytes 0xff, on its streams in turn, is shown as it was said.
fn written(directory: &Path, said: &[u8]) {
    let mut writer = LogWriter::create(directory, 0).expect("make log");
    let mut expected = Shown::default();
    for (number, piece) in said.split(|byte| *byte == 0xff).enumerate() {
        let stream = if number % 2 == 0 { Stream::Stdout } else { Stream::Stderr };
        writer.write(stream, piece, at(number as u64));
        expected[stream as usize].extend_from_slice(piece);
    }
    writer.finish(at(0));
    let path: PathBuf = writer.path().to_owned();
    let shown = shown(directory, &Options::default()).expect("show log");
    assert!(shown == expected, "{shown:?}, not {expected:?}");
    let content = fs::read(path).expect("read log");
    assert!(content.is_empty() || content.ends_with(b"\n"), "half a line");
    for line in content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        assert!(humantime::parse_rfc3339(logread::parse(line).time).is_ok(), "a line without its time");
    }
}
