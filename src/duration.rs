//! Durations on the command line: `5`, `5s`, `1m30s`, `500ms`, `1h`, `1.5s`.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Units in nanoseconds; the longer name of two that begin alike comes first.
const UNITS: [(&str, u64); 4] =
    [("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];

/// Reads a duration; a plain number is seconds.
pub fn parse(text: &str) -> Result<Duration> {
    let wrong = || format!("{text:?} is not a duration such as 5, 5s, 1m30s or 500ms");
    let alone = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let mut rest = text;
    let mut total: u64 = 0;
    ensure!(!text.is_empty(), wrong());
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let unit = if alone {
            Some(&("", 1_000_000_000))
        } else {
            UNITS.iter().find(|(name, _)| after.starts_with(name))
        };
        let Some((name, nanos)) = unit else { bail!(wrong()) };
        let part = amount(number, *nanos).with_context(wrong)?;
        total = total.checked_add(part).with_context(|| format!("{text:?} is too long"))?;
        rest = &after[name.len()..];
    }
    Ok(Duration::from_nanos(total))
}

/// `number × nanos`; `None` if it is no number or too large.
fn amount(number: &str, nanos: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || fraction.len() > 9 {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let parts: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let below = u128::from(parts) * u128::from(nanos) / 10_u128.pow(fraction.len() as u32);
    whole.checked_mul(nanos)?.checked_add(u64::try_from(below).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_form_of_the_contract() {
        for (text, millis) in [
            ("5", 5000),
            ("0", 0),
            ("0s", 0),
            ("5s", 5000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1h", 3_600_000),
            ("1h2m3s4ms", 3_723_004),
            ("1.5s", 1500),
            (".5", 500),
            ("0.25m", 15_000),
        ] {
            assert_eq!(parse(text).unwrap().as_millis(), millis, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "", " ", "s", "ms", "5x", "5 s", "-5", "+5", "1m30", "1..5s", ".", ".s", "1.2.3", "5s5", "1e3",
            "٥", "5S",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn too_long_a_duration_is_refused_not_wrapped() {
        for text in ["99999999999999999999", "18446744074s", "9999999999h", "5000000h5000000h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
