use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use super::super::logs::{LONGEST, LogWriter, Stream};
use super::*;

fn dir(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("barepod-logread-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::new(1_795_248_000 + seconds, 5)
}

/// The file with lines that only tell of stream, tag and text.
fn log(dir: &Path, name: &str, lines: &[&str]) {
    let text: String =
        lines.iter().map(|line| format!("2026-11-21T08:00:00.000000005Z std{line}\n")).collect();
    fs::write(dir.join(name), text).unwrap();
}

fn shown(dir: &Path, options: &Options) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    show(dir, options, &mut out, &mut err, &mut || true).unwrap();
    (String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned())
}

fn tail(lines: usize) -> Options {
    Options { tail: Some(lines), ..Options::default() }
}

#[test]
fn a_line_is_taken_apart() {
    let line = parse(b"2026-11-21T08:00:00.123456789Z stderr P two  words ");
    assert_eq!(
        (line.time, line.stream, line.partial),
        ("2026-11-21T08:00:00.123456789Z", Stream::Stderr, true)
    );
    assert_eq!(line.text, b"two  words ");
    assert_eq!(parse(b"2026-11-21T08:00:00Z stdout F ").text, b"");
    assert_eq!(parse(b"2026-11-21T08:00:00+01:00 stdout F:x y").text, b"y", "more tags may follow");
}

#[test]
fn what_is_not_in_the_format_is_text_as_it_is() {
    for garbage in [
        &b""[..],
        b" ",
        b"   ",
        b"hello",
        b"2026-11-21T08:00:00Z stdout F",
        b"2026-11-21T08:00:00Z stdin F x",
        b"2026-11-21T08:00:00Z stdout X x",
        b"yesterday stdout F x",
        b"2026-11-21 stdout F x",
        "2026\u{2011}11\u{2011}21T08 stdout F x".as_bytes(),
        b"\xff\xfe stdout F x",
        b"\0\0\0\0\0\0\0\0\0\0T stdout F x",
    ] {
        let line = parse(garbage);
        assert_eq!((line.text, line.time, line.partial), (garbage, "", false), "{garbage:?}");
    }
}

#[test]
fn no_bytes_make_the_parser_panic() {
    // A small generator that prefers the characters the format is made of.
    let mut state = 1u64;
    for _ in 0..20_000 {
        let mut line = Vec::new();
        for _ in 0..state % 60 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize;
            line.push(b"stdouterrFP:T-0129Z. \n\0\xc3\xa4"[at % 25]);
        }
        state = state.wrapping_add(1);
        assert!(line.ends_with(parse(&line).text));
    }
}

#[test]
fn the_streams_go_to_their_writers_and_parts_are_joined() {
    let dir = dir("join");
    log(&dir, "0.log", &["out P on", "err F oh", "out P e li", "out F ne", "err F no", "out P DONE"]);
    assert_eq!(shown(&dir, &Options::default()), ("one line\nDONE".into(), "oh\nno\n".into()));
    let (out, err) = shown(&dir, &Options { timestamps: true, ..Options::default() });
    assert_eq!(out, "2026-11-21T08:00:00.000000005Z one line\n2026-11-21T08:00:00.000000005Z DONE");
    assert_eq!(err.matches("2026").count(), 2);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn what_was_written_is_read_back_byte_by_byte() {
    let dir = dir("back");
    let mut writer = LogWriter::create(&dir, 0).unwrap();
    let mut output = vec![b'x'; 1 << 20];
    output.extend_from_slice(b"\n\0\0\xff\r\n\n");
    output.extend(vec![b'y'; LONGEST]);
    output.extend_from_slice(b"\nlast");
    output.chunks(70_000).for_each(|piece| writer.write(Stream::Stdout, piece, at(0)));
    writer.finish(at(0));
    let mut out = Vec::new();
    show(&dir, &Options::default(), &mut out, &mut Vec::new(), &mut || true).unwrap();
    assert!(out == output, "{} and not {} bytes", out.len(), output.len());
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn garbage_is_shown_as_it_is() {
    let dir = dir("garbage");
    fs::write(dir.join("0.log"), b"hello\n\n2026-11-21T08:00:00Z stderr F x\ntorn").unwrap();
    assert_eq!(shown(&dir, &Options { timestamps: true, ..Options::default() }).0, "hello\n\ntorn\n");
    fs::write(dir.join("0.log"), vec![b'z'; 300_000]).unwrap();
    let out = shown(&dir, &Options::default()).0;
    assert_eq!(out.replace('\n', "").len(), 300_000, "nothing is lost of a line without an end");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_tail_counts_lines_and_not_parts_over_all_files() {
    let dir = dir("tail");
    log(&dir, "0.log.20261121-080000", &["out F 1", "err F 2", "out F 3", "out P 4a"]);
    log(&dir, "0.log.20261121-080000-001", &["out P 4b", "out F 4c"]);
    log(&dir, "0.log", &["out F 5", "out P 6a", "out P 6b"]);
    for (lines, expected) in
        [(0, ""), (1, "6a6b"), (2, "5\n6a6b"), (3, "4a4b4c\n5\n6a6b"), (4, "3\n4a4b4c\n5\n6a6b")]
    {
        assert_eq!(shown(&dir, &tail(lines)).0, expected, "tail {lines}");
    }
    assert_eq!(shown(&dir, &tail(5)).1, "2\n");
    assert_eq!(shown(&dir, &tail(usize::MAX)), shown(&dir, &Options::default()));
    fs::write(dir.join("0.log"), "").unwrap();
    assert_eq!(shown(&dir, &tail(1)).0, "4a4b4c\n", "a file that has just been begun");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_tail_of_a_large_file_is_found_whatever_the_lengths_of_its_lines() {
    let dir = dir("large");
    let mut writer = LogWriter::create(&dir, 0).unwrap();
    let lines: Vec<String> =
        (0..400).map(|n| format!("{n} {}", "x".repeat(n * 37 % (LONGEST - 5)))).collect();
    lines.iter().for_each(|line| writer.write(Stream::Stdout, format!("{line}\n").as_bytes(), at(0)));
    for wanted in [1, 2, 7, 50, 399, 400, 401] {
        let expected: String =
            lines[400usize.saturating_sub(wanted)..].iter().map(|line| format!("{line}\n")).collect();
        assert!(shown(&dir, &tail(wanted)).0 == expected, "tail {wanted}");
    }
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn since_leaves_out_what_is_older() {
    let dir = dir("since");
    let mut writer = LogWriter::create(&dir, 0).unwrap();
    (0..4).for_each(|second| writer.write(Stream::Stdout, format!("{second}\n").as_bytes(), at(second)));
    assert_eq!(shown(&dir, &Options { since: Some(at(2)), ..Options::default() }).0, "2\n3\n");
    assert_eq!(shown(&dir, &Options { since: Some(at(9)), ..Options::default() }).0, "");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_newest_the_previous_and_a_given_instance_can_be_shown() {
    let dir = dir("previous");
    log(&dir, "9.log", &["out F nine"]);
    log(&dir, "10.log", &["out F ten"]);
    assert_eq!(attempts(&dir).unwrap(), [9, 10]);
    let previous = Options { previous: true, ..Options::default() };
    assert_eq!(shown(&dir, &Options::default()).0, "ten\n");
    assert_eq!(shown(&dir, &previous).0, "nine\n");
    assert_eq!(shown(&dir, &Options { attempt: Some(9), ..Options::default() }).0, "nine\n");
    let before = Options { attempt: Some(9), ..previous };
    let error = show(&dir, &before, &mut Vec::new(), &mut Vec::new(), &mut || true).unwrap_err();
    assert!(error.to_string().contains("no previous instance"), "{error}");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_container_without_a_log_is_an_error_unless_it_is_followed() {
    let missing = dir("none").join("missing");
    let none = |options| show(&missing, &options, &mut Vec::new(), &mut Vec::new(), &mut || true);
    assert!(none(Options::default()).is_err());
    assert!(none(Options { attempt: Some(3), ..Options::default() }).is_err());
    assert!(none(Options { follow: true, previous: true, ..Options::default() }).is_err());
    none(Options { follow: true, ..Options::default() }).unwrap();
    assert!(attempts(&missing).unwrap().is_empty());
    fs::remove_dir_all(missing.parent().unwrap()).unwrap();
}

#[test]
fn symlinks_hard_links_and_fifos_are_not_read() {
    let dir = dir("links");
    fs::write(dir.join("secret"), "secret\n").unwrap();
    std::os::unix::fs::symlink(dir.join("secret"), dir.join("0.log")).unwrap();
    fs::hard_link(dir.join("secret"), dir.join("1.log")).unwrap();
    nix::unistd::mkfifo(&dir.join("2.log"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(dir.join("3.log")).unwrap();
    for attempt in 0..4 {
        let options = Options { attempt: Some(attempt), ..Options::default() };
        let mut out = Vec::new();
        assert!(show(&dir, &options, &mut out, &mut Vec::new(), &mut || true).is_err(), "{attempt}");
        assert!(tail_text(&dir.join(format!("{attempt}.log")), 80, 2048).is_err());
        assert!(out.is_empty());
    }
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_tail_as_text_is_bounded_in_lines_and_bytes() {
    let dir = dir("text");
    let path = dir.join("0.log");
    log(&dir, "0.log", &["out F one", "err F two", "out P DO", "out P NE"]);
    assert_eq!(tail_text(&path, 80, 2048).unwrap(), "one\ntwo\nDONE");
    assert_eq!(tail_text(&path, 2, 2048).unwrap(), "two\nDONE");
    assert_eq!(tail_text(&path, 80, 6).unwrap(), "o\nDONE");
    assert_eq!(tail_text(&path, 0, 2048).unwrap(), "");
    fs::write(&path, "").unwrap();
    assert_eq!(tail_text(&path, 80, 2048).unwrap(), "");
    fs::write(&path, b"2026-11-21T08:00:00Z stdout F \xff\n").unwrap();
    assert_eq!(tail_text(&path, 80, 2048).unwrap(), "\u{fffd}\n");
    fs::remove_dir_all(&dir).unwrap();
}

/// Collects what a follower shows.
#[derive(Clone, Default)]
struct Shared(std::sync::Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Follows `dir` while `write` runs; returns what was shown.
fn followed(dir: &Path, options: Options, write: impl FnOnce(&Shared)) -> String {
    let seen = Shared::default();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut out = seen.clone();
        let done = &done;
        let follow = Options { follow: true, ..options };
        let follower = scope.spawn(move || {
            show(dir, &follow, &mut out, &mut Vec::new(), &mut || done.load(Ordering::Acquire)).unwrap();
        });
        write(&seen);
        done.store(true, Ordering::Release);
        follower.join().unwrap();
    });
    let seen = seen.0.lock().unwrap();
    String::from_utf8_lossy(&seen).into_owned()
}

#[test]
fn a_follower_sees_what_is_written_now_and_through_rotations_and_restarts() {
    let dir = dir("follow");
    let mut writer = LogWriter::create(&dir, 0).unwrap();
    writer.write(Stream::Stdout, b"old\nbefore\n", at(0));
    let out = followed(&dir, tail(1), |seen| {
        let wait_for = |text: &str| {
            let end = std::time::Instant::now() + Duration::from_secs(20);
            while !seen.0.lock().unwrap().ends_with(text.as_bytes()) {
                assert!(std::time::Instant::now() < end, "{text:?} was not shown");
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        wait_for("before\n");
        writer.write(Stream::Stdout, b"now\nhalf", at(0));
        wait_for("now\n");
        writer.write(Stream::Stdout, b" whole\n", at(0));
        wait_for("half whole\n");
        // As a rotation does it.
        fs::write(dir.join("0.next"), "").unwrap();
        fs::rename(dir.join("0.log"), dir.join("0.log.20261121-080000")).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        fs::rename(dir.join("0.next"), dir.join("0.log")).unwrap();
        let mut writer = LogWriter::create(&dir, 0).unwrap();
        writer.write(Stream::Stdout, b"rotated\nlast", at(0));
        writer.finish(at(0));
        wait_for("rotated\nlast");
        let mut writer = LogWriter::create(&dir, 1).unwrap();
        writer.write(Stream::Stdout, b" restarted\n", at(0));
        let mut writer = LogWriter::create(&dir, 2).unwrap();
        writer.write(Stream::Stdout, b"end\n", at(0));
    });
    assert_eq!(out, "before\nnow\nhalf whole\nrotated\nlast restarted\nend\n");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_follower_loses_nothing_of_a_fast_writer_that_rotates() {
    let dir = dir("race");
    let out = followed(&dir, Options::default(), |seen| {
        let mut writer = LogWriter::create(&dir, 0).unwrap();
        writer.set_limit(20_000);
        for batch in 0..400 {
            let lines: String = (0..50).map(|n| format!("{}\n", batch * 50 + n)).collect();
            writer.write(Stream::Stdout, lines.as_bytes(), at(batch));
            // Not so fast that files are removed before they are read: four of them are kept.
            let end = std::time::Instant::now() + Duration::from_secs(20);
            while batch % 10 == 9
                && !seen.0.lock().unwrap().ends_with(format!("\n{}\n", batch * 50 + 49).as_bytes())
            {
                assert!(std::time::Instant::now() < end, "batch {batch} was not shown");
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    });
    let numbers: Vec<u64> = out.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers == (0..20_000).collect::<Vec<_>>(), "{} lines", numbers.len());
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_follower_waits_for_a_log_that_does_not_exist_yet() {
    let dir = dir("later");
    fs::remove_dir(&dir).unwrap();
    let out = followed(&dir, Options::default(), |_| {
        std::thread::sleep(Duration::from_millis(20));
        fs::create_dir(&dir).unwrap();
        LogWriter::create(&dir, 0).unwrap().write(Stream::Stdout, b"hello\n", at(0));
    });
    assert_eq!(out, "hello\n");
    fs::remove_dir_all(&dir).unwrap();
}
