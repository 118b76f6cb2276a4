//! How times and containers are called in sentences.

use std::time::Duration;

use crate::lifecycle::model::{Cause, HookKind, Kind, ProbeKind};

/// A duration for people, with two or three significant digits: `0.3 ms`, `12 ms`, `3.2 s`, `5 min 3 s`, `2 h 5 min`.
pub fn duration(time: Duration) -> String {
    let micros = time.as_micros();
    let tenths = |value: u128, unit: u128| {
        let tenths = (value * 10 + unit / 2) / unit;
        let text = format!("{}.{}", tenths / 10, tenths % 10);
        text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
    };
    let pair = |big: u128, big_unit: &str, small: u128, small_unit: &str| match small {
        0 => format!("{big} {big_unit}"),
        _ => format!("{big} {big_unit} {small} {small_unit}"),
    };
    // Each limit is where rounding would reach the next form.
    match micros {
        0 => "0 s".to_owned(),
        1..9_950 => format!("{} ms", tenths(micros, 1_000)),
        9_950..999_500 => format!("{} ms", (micros + 500) / 1_000),
        999_500..59_950_000 => format!("{} s", tenths(micros, 1_000_000)),
        _ => match (micros + 500_000) / 1_000_000 {
            seconds @ 0..3_600 => pair(seconds / 60, "min", seconds % 60, "s"),
            seconds @ 3_600..86_400 => pair(seconds / 3_600, "h", seconds / 60 % 60, "min"),
            seconds => pair(seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
        },
    }
}

/// `init`, `sidecar`, `app`.
pub fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Init => "init",
        Kind::Sidecar => "sidecar",
        Kind::App => "app",
    }
}

/// `init container migrate`, `sidecar proxy`, `app web`.
pub fn container(of: Kind, name: &str) -> String {
    match of {
        Kind::Init => format!("init container {name}"),
        _ => format!("{} {name}", kind(of)),
    }
}

/// `startup`, `liveness`, `readiness`.
pub fn probe(probe: ProbeKind) -> &'static str {
    match probe {
        ProbeKind::Startup => "startup",
        ProbeKind::Liveness => "liveness",
        ProbeKind::Readiness => "readiness",
    }
}

/// Why an instance is stopped: `its liveness probe failed`.
pub fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Startup => "its startup probe failed",
        Cause::Liveness => "its liveness probe failed",
        Cause::PostStart => "its postStart failed",
        Cause::Pod => "the pod is terminating",
        Cause::RestartAll => "all containers are restarted",
    }
}

/// How an instance ended: `exit code 0 (Completed)`, `SIGKILL, exit code 137 (Error)`.
pub fn end(code: i32, signalled: Option<i32>, reason: &str) -> String {
    match signalled {
        Some(number) => format!("{}, exit code {code} ({reason})", signal_name(number)),
        None => format!("exit code {code} ({reason})"),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

/// One line, no control characters: what programs print must not move the cursor.
pub fn clean(text: &str) -> String {
    let text: String =
        text.chars().map(|c| if c.is_control() || is_direction(c) { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Characters that change the direction of the text after them.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// At most `width` characters; what was cut ends with `…`.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// `postStart`, `preStop`, as manifests have it.
pub fn hook_name(hook: HookKind) -> &'static str {
    match hook {
        HookKind::PostStart => "postStart",
        HookKind::PreStop => "preStop",
    }
}

/// `SIGTERM`, or `signal 64` for those without a name. See signal(7); the numbers are those of x86 and arm.
pub fn signal_name(number: i32) -> String {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let name = usize::try_from(number).ok().and_then(|number| NAMES.get(number.wrapping_sub(1)));
    name.map_or_else(|| format!("signal {number}"), |name| format!("SIG{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_unit_that_fits_them() {
        for (micros, words) in [
            (0, "0 s"),
            (300, "0.3 ms"),
            (4_200, "4.2 ms"),
            (9_960, "10 ms"),
            (12_400, "12 ms"),
            (999_600, "1 s"),
            (1_000_000, "1 s"),
            (3_249_000, "3.2 s"),
            (59_970_000, "1 min"),
            (303_000_000, "5 min 3 s"),
            (7_500_000_000, "2 h 5 min"),
            (90_000_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), words);
        }
        duration(Duration::MAX);
    }

    #[test]
    fn what_a_program_printed_cannot_move_the_cursor() {
        assert_eq!(clean("a\n\x1b[2Jb\tc"), "a [2Jb c");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
