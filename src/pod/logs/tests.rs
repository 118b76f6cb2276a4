use std::time::Duration;

use super::*;

fn dir(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("barepod-logs-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::new(1_795_248_000 + seconds, 123_456_789)
}

/// Runs `write` on a fresh log and returns the file without its timestamps.
fn written(name: &str, write: impl FnOnce(&mut LogWriter)) -> String {
    let dir = dir(name);
    let mut log = LogWriter::create(&dir, 0).unwrap();
    write(&mut log);
    let text = fs::read(dir.join("0.log")).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.replace("2026-11-21T08:00:00.123456789Z ", "").replace("2026-11-21T08:00:01.123456789Z ", "")
}

#[test]
fn lines_get_time_stream_and_tag() {
    let dir = dir("format");
    let mut log = LogWriter::create(&dir, 3).unwrap();
    log.write(Stream::Stdout, b"hello\n", at(0));
    log.write(Stream::Stderr, b"oh\n", at(1));
    let text = fs::read_to_string(dir.join("3.log")).unwrap();
    assert_eq!(
        text,
        "2026-11-21T08:00:00.123456789Z stdout F hello\n2026-11-21T08:00:01.123456789Z stderr F oh\n"
    );
    assert_eq!(fs::metadata(dir.join("3.log")).unwrap().permissions().mode() & 0o777, 0o640);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_line_that_comes_in_pieces_is_one_line_and_the_streams_do_not_mix() {
    let text = written("pieces", |log| {
        log.write(Stream::Stdout, b"one ", at(0));
        log.write(Stream::Stderr, b"err", at(0));
        log.write(Stream::Stdout, b"line\nnext", at(0));
        log.write(Stream::Stderr, b"or\n", at(0));
        log.write(Stream::Stdout, b"\n\n", at(0));
    });
    assert_eq!(text, "stdout F one line\nstderr F error\nstdout F next\nstdout F \n");
}

#[test]
fn output_without_a_newline_at_the_end_is_kept_as_a_partial_line() {
    let text = written("end", |log| {
        log.write(Stream::Stdout, b"a\nDONE", at(0));
        log.write(Stream::Stderr, b"E", at(0));
        log.finish(at(0));
        log.finish(at(0));
    });
    assert_eq!(text, "stdout F a\nstdout P DONE\nstderr P E\n");
}

#[test]
fn a_line_of_exactly_the_longest_length_is_whole_however_it_comes() {
    let line = "x".repeat(LONGEST);
    for cut in [0, 1, LONGEST - 1, LONGEST] {
        let text = written("exact", |log| {
            let bytes = format!("{line}\n");
            log.write(Stream::Stdout, &bytes.as_bytes()[..cut], at(0));
            log.write(Stream::Stdout, &bytes.as_bytes()[cut..], at(0));
        });
        assert!(text == format!("stdout F {line}\n"), "cut at {cut}: {} bytes", text.len());
    }
}

#[test]
fn a_line_of_a_mebibyte_is_cut_into_parts_of_the_longest_length() {
    for piece in [1000, 65536, 1 << 21] {
        let text = written("mebibyte", |log| {
            let line = [vec![b'x'; 1 << 20], b"y\nz\n".to_vec()].concat();
            line.chunks(piece).for_each(|piece| log.write(Stream::Stdout, piece, at(0)));
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 64 + 2, "in pieces of {piece}");
        assert!(lines[..64].iter().all(|line| line.starts_with("stdout P x") && line.len() == 9 + LONGEST));
        assert_eq!(lines[64..], ["stdout F y", "stdout F z"]);
    }
}

#[test]
fn bytes_are_kept_as_they_are() {
    let dir = dir("binary");
    let mut log = LogWriter::create(&dir, 0).unwrap();
    log.write(Stream::Stdout, b"\0\xff\r\x1b[0m\0\n", at(0));
    assert!(fs::read(dir.join("0.log")).unwrap().ends_with(b" F \0\xff\r\x1b[0m\0\n"));
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_log_is_rotated_before_it_is_too_large_and_four_old_files_stay() {
    let dir = dir("rotate");
    let mut log = LogWriter::create(&dir, 0).unwrap();
    log.limit = 200;
    // Two lines to a file, three rotations within a second, and a clock that goes back.
    for (number, second) in [0, 0, 0, 0, 0, 0, 0, 5, 5, 2, 2, 9, 9].into_iter().enumerate() {
        log.write(Stream::Stdout, format!("{number:050}\n").as_bytes(), at(second));
    }
    let mut names: Vec<String> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "0.log",
            "0.log.20261121-080000-002",
            "0.log.20261121-080005",
            "0.log.20261121-080005-001",
            "0.log.20261121-080009",
        ]
    );
    let all: String = names[1..]
        .iter()
        .chain(&names[..1])
        .map(|name| fs::read_to_string(dir.join(name)).unwrap())
        .collect();
    let numbers: Vec<usize> =
        all.lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (4..13).collect::<Vec<_>>(), "in order, and only the oldest are gone");
    assert!(names.iter().all(|name| fs::metadata(dir.join(name)).unwrap().len() <= 200));
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_rotation_never_replaces_a_file_that_is_there() {
    let dir = dir("collision");
    fs::write(dir.join("0.log.20261121-080000"), "precious").unwrap();
    let mut log = LogWriter::create(&dir, 0).unwrap();
    log.limit = 100;
    log.write(Stream::Stdout, &[b'a'; 50], at(0));
    log.write(Stream::Stdout, b"\nb\n", at(0));
    log.write(Stream::Stdout, b"b\n", at(0));
    assert_eq!(fs::read_to_string(dir.join("0.log.20261121-080000")).unwrap(), "precious");
    assert!(dir.join("0.log.20261121-080000-001").exists());
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn only_the_previous_instance_is_kept() {
    let dir = dir("attempts");
    for attempt in 0..4 {
        fs::write(dir.join(format!("{attempt}.log.20261121-080000")), "").unwrap();
        LogWriter::create(&dir, attempt).unwrap();
    }
    fs::write(dir.join("notes.txt"), "").unwrap();
    LogWriter::create(&dir, 4).unwrap();
    let mut names: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["3.log", "3.log.20261121-080000", "4.log", "notes.txt"]);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn symlinks_hard_links_and_fifos_are_refused() {
    let dir = dir("links");
    fs::write(dir.join("target"), "host").unwrap();
    std::os::unix::fs::symlink(dir.join("target"), dir.join("0.log")).unwrap();
    fs::hard_link(dir.join("target"), dir.join("1.log")).unwrap();
    nix::unistd::mkfifo(&dir.join("2.log"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for attempt in 0..3 {
        assert!(LogWriter::create(&dir, attempt).is_err(), "{attempt}");
    }
    assert_eq!(fs::read_to_string(dir.join("target")).unwrap(), "host");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn lines_that_cannot_be_written_are_counted_and_told_of_later() {
    let dir = dir("full");
    let mut log = LogWriter::create(&dir, 0).unwrap();
    log.write(Stream::Stdout, b"before\n", at(0));
    // /dev/full answers every write with ENOSPC.
    let good = std::mem::replace(&mut log.file, OpenOptions::new().append(true).open("/dev/full").unwrap());
    log.write(Stream::Stdout, b"lost\nlost\n", at(0));
    log.write(Stream::Stderr, b"lost\n", at(0));
    log.file = good;
    log.write(Stream::Stdout, b"after\n", at(0));
    log.write(Stream::Stdout, b"more\n", at(0));
    let text = fs::read_to_string(dir.join("0.log")).unwrap().replace("2026-11-21T08:00:00.123456789Z ", "");
    assert_eq!(
        text,
        "stdout F before\nstderr F [barepod: 3 lines dropped, the log could not be written]\nstdout F after\nstdout F more\n"
    );
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_full_filesystem_ends_in_whole_lines_and_a_count_that_adds_up() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("BAREPOD_TEST_STRICT").is_none(), "mounting a tmpfs needs root");
        return eprintln!("skipped: needs root");
    }
    let dir = dir("enospc");
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("none"), &dir, Some("tmpfs"), flags, Some("size=64k")).unwrap();
    fs::write(dir.join("ballast"), [0; 16384]).unwrap();
    let mut log = LogWriter::create(&dir, 0).unwrap();
    let lines = [b'x'; 9].iter().chain(b"\n").copied().collect::<Vec<u8>>().repeat(1000);
    (0..3).for_each(|_| log.write(Stream::Stdout, &lines, at(0)));
    let full = fs::read_to_string(dir.join("0.log")).unwrap();
    let dropped = log.dropped;
    fs::remove_file(dir.join("ballast")).unwrap();
    log.write(Stream::Stdout, b"after\n", at(0));
    let after = fs::read_to_string(dir.join("0.log")).unwrap();
    drop(log);
    nix::mount::umount(&dir).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    assert!(full.ends_with("F xxxxxxxxx\n") && full.len() > 40_000, "{}", full.len());
    assert_eq!(full.lines().count() as u64 + dropped, 3000);
    let added: Vec<&str> = after.strip_prefix(&full).unwrap().lines().collect();
    assert!(
        added[0].contains(&format!("[barepod: {dropped} lines dropped")) && added[1].ends_with(" F after"),
        "{added:?}"
    );
}

#[test]
fn a_log_that_cannot_be_rotated_drops_lines_and_does_not_grow() {
    let dir = dir("stuck");
    let mut log = LogWriter::create(&dir, 0).unwrap();
    log.limit = 100;
    log.write(Stream::Stdout, b"first\n", at(0));
    fs::create_dir(dir.join("0.next")).unwrap();
    log.write(Stream::Stdout, &[b'x'; 80], at(0));
    log.write(Stream::Stdout, b"\n", at(0));
    assert_eq!(log.dropped, 1);
    fs::remove_dir(dir.join("0.next")).unwrap();
    log.write(Stream::Stdout, b"y\n", at(0));
    let text = fs::read_to_string(dir.join("0.log")).unwrap();
    assert!(text.contains("1 lines dropped") && text.ends_with(" y\n"), "{text}");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn names_of_log_files_are_told_from_others() {
    for (name, expected) in [
        ("0.log", Some((0, false))),
        ("12.log.20261121-080000-001", Some((12, true))),
        ("0.next", None),
        ("x.log", None),
        ("0.logs", None),
        ("log", None),
        ("-1.log", None),
    ] {
        assert_eq!(attempt_of(std::ffi::OsStr::new(name)), expected, "{name}");
    }
}

/// `cargo test --release -- --ignored --nocapture lines_per_second`: what the writer costs.
#[test]
#[ignore = "a measurement"]
fn lines_per_second_of_cpu_time() {
    let dir = dir("speed");
    let mut log = LogWriter::create(&dir, 0).unwrap();
    let piece: Vec<u8> = [b"x".repeat(99), b"\n".to_vec()].concat().repeat(655);
    let cpu = || nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap();
    let (before, pieces) = (Duration::from(cpu()), 10_000);
    for _ in 0..pieces {
        log.write(Stream::Stdout, &piece, SystemTime::now());
    }
    let used = (Duration::from(cpu()) - before).as_secs_f64();
    println!("{:.0} lines per CPU second", f64::from(pieces) * 655.0 / used);
    fs::remove_dir_all(&dir).unwrap();
}
