//! Kubernetes quantities, exactly: `100m`, `1.5Gi`, `1e3`, `2E`.
//!
//! Amounts are kept in billionths and rounded up to one, as the API server does, and end at 2⁶³ − 1.

use std::fmt;

const NANO: u128 = 1_000_000_000;
/// The largest amount; more is taken as this much.
const MOST: u128 = i64::MAX as u128 * NANO;

/// An amount that is not negative, and the family of suffixes that it was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    nano: u128,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Decimal,
    Exponent,
    Binary,
}

/// Decimal suffixes and their powers of ten. `K` is not one of them, `k` is.
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
/// Binary suffixes, by powers of 1024.
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl Quantity {
    /// Reads one. The error is one sentence about `text`.
    pub fn parse(text: &str) -> Result<Quantity, String> {
        let wrong = || "is not a quantity such as 500m, 2, 128Mi or 1.5G".to_owned();
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let number_end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(wrong());
        }
        let (format, power, factor) = read_suffix(suffix).ok_or_else(|| match suffix {
            "K" => "has the suffix K; kilo is k, and 1024 is Ki".to_owned(),
            "KB" | "MB" | "GB" | "TB" | "kB" | "B" => "has a suffix with B; write 128Mi or 128M".to_owned(),
            _ => wrong(),
        })?;
        let nano = nano(whole, fraction, power, factor);
        if text.starts_with('-') && nano > 0 {
            return Err("is negative".to_owned());
        }
        // As the API server: a binary amount below 1024, or not whole, is shown in decimal.
        let whole_units = nano.is_multiple_of(NANO);
        let format = match format {
            Format::Binary if nano < 1024 * NANO || !whole_units => Format::Decimal,
            other => other,
        };
        Ok(Quantity { nano, format })
    }

    /// In thousandths, rounded up: millicores of cpu.
    pub fn millis(self) -> u64 {
        self.nano.div_ceil(NANO / 1000).min(u128::from(u64::MAX)) as u64
    }

    /// In units, rounded up: bytes of memory.
    pub fn units(self) -> u64 {
        self.nano.div_ceil(NANO) as u64
    }

    /// A whole number of units.
    pub fn is_whole(self) -> bool {
        self.nano.is_multiple_of(NANO)
    }

    /// So many thousandths.
    pub fn of_millis(millis: u64) -> Quantity {
        Quantity { nano: u128::from(millis) * (NANO / 1000), format: Format::Decimal }
    }

    /// So many units, written in powers of 1024 where that is shorter.
    pub fn of_units(units: u64) -> Quantity {
        let format = if units.is_multiple_of(1024) { Format::Binary } else { Format::Decimal };
        Quantity { nano: u128::from(units) * NANO, format }
    }

    /// More than the other, however they are written.
    pub fn exceeds(self, other: Quantity) -> bool {
        self.nano > other.nano
    }

    /// The same amount, however it is written.
    pub fn is_same_amount(self, other: Quantity) -> bool {
        self.nano == other.nano
    }

    /// Rounded up to thousandths, as the API server does with resources.
    pub fn rounded_to_millis(self) -> Quantity {
        let milli = NANO / 1000;
        Quantity { nano: self.nano.div_ceil(milli) * milli, ..self }
    }
}

/// The format of a suffix, its power of ten and its factor.
fn read_suffix(suffix: &str) -> Option<(Format, i32, u128)> {
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((Format::Decimal, *power, 1));
    }
    if let Some(power) = BINARY.iter().position(|name| *name == suffix) {
        return Some((Format::Binary, 0, 1 << (10 * power)));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits.is_empty() || digits.len() > 6 || !digits.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    Some((Format::Exponent, exponent.parse().ok()?, 1))
}

/// `whole.fraction × factor × 10^power` in billionths, rounded up; exact, however many digits there are.
fn nano(whole: &str, fraction: &str, power: i32, factor: u128) -> u128 {
    let digits: Vec<u128> =
        whole.bytes().chain(fraction.bytes()).map(|digit| u128::from(digit - b'0')).collect();
    // Where the point stands among the digits when billionths are counted; it may be beyond them, on either side.
    let point = whole.len() as i64 + i64::from(power) + 9;
    let (before, behind) = digits.split_at(point.clamp(0, digits.len() as i64) as usize);
    // As on paper, from the last digit on: what is carried over the point counts, what is left behind it rounds up.
    let (mut carry, mut rest) = (0, false);
    let zeros = std::iter::repeat_n(0, point.min(0).unsigned_abs() as usize);
    for digit in behind.iter().rev().copied().chain(zeros) {
        let product = digit * factor + carry; // below 10 × 2⁶⁰
        carry = product / 10;
        rest |= !product.is_multiple_of(10);
    }
    let mantissa =
        before.iter().fold(0_u128, |number, digit| number.saturating_mul(10).saturating_add(*digit));
    let beyond = (point - digits.len() as i64).clamp(0, 60) as u32;
    let amount = mantissa.saturating_mul(10_u128.saturating_pow(beyond)).saturating_mul(factor);
    amount.saturating_add(carry + u128::from(rest)).min(MOST)
}

/// The canonical form that the API server gives back: `0.5` is `500m`, `1024Ki` is `1Mi`.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.nano == 0 {
            return write!(f, "0");
        }
        match self.format {
            Format::Binary => {
                let mut amount = self.nano / NANO;
                let mut power = 0;
                while amount.is_multiple_of(1024) && power + 1 < BINARY.len() {
                    amount /= 1024;
                    power += 1;
                }
                write!(f, "{amount}{}", BINARY[power])
            }
            Format::Decimal | Format::Exponent => {
                let mut amount = self.nano;
                let mut power = 0;
                while amount.is_multiple_of(1000) && power + 1 < DECIMAL.len() {
                    amount /= 1000;
                    power += 1;
                }
                match (self.format, DECIMAL[power]) {
                    (Format::Exponent, (_, exponent)) if exponent != 0 => write!(f, "{amount}e{exponent}"),
                    (_, (suffix, _)) => write!(f, "{amount}{suffix}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> u64 {
        Quantity::parse(text).unwrap_or_else(|error| panic!("{text} {error}")).millis()
    }

    fn units(text: &str) -> u64 {
        Quantity::parse(text).unwrap_or_else(|error| panic!("{text} {error}")).units()
    }

    #[test]
    fn cpu_is_millicores_rounded_up() {
        for (text, expected) in [
            ("0", 0),
            ("1", 1000),
            ("2.5", 2500),
            ("100m", 100),
            ("0.1", 100),
            (".5", 500),
            ("5.", 5000),
            ("1u", 1),
            ("1n", 1),
            ("1001u", 2),
            ("0.0001", 1),
            ("1.0001", 1001),
            ("+3", 3000),
            ("1k", 1_000_000),
            ("1e3", 1_000_000),
            ("1E3", 1_000_000),
            ("25e-1", 2500),
            ("1e-20", 1),
            ("0e99", 0),
            ("000100m", 100),
        ] {
            assert_eq!(millis(text), expected, "{text}");
        }
    }

    #[test]
    fn memory_is_bytes_with_every_suffix() {
        for (text, expected) in [
            ("1", 1),
            ("1k", 1000),
            ("1Ki", 1024),
            ("1M", 1_000_000),
            ("1Mi", 1 << 20),
            ("1G", 1_000_000_000),
            ("1Gi", 1 << 30),
            ("1T", 1_000_000_000_000),
            ("1Ti", 1 << 40),
            ("1P", 1_000_000_000_000_000),
            ("1Pi", 1 << 50),
            ("1E", 1_000_000_000_000_000_000),
            ("1Ei", 1 << 60),
            ("1.5Gi", 3 << 29),
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("129M", 129_000_000),
            ("128974848000m", 128_974_848),
            ("123Mi", 123 << 20),
            ("0.1Ki", 103),
            ("1m", 1),
            ("400m", 1),
            ("1.00000000000000000000000001Gi", (1 << 30) + 1),
            ("1E0", 1),
            ("1e+2", 100),
        ] {
            assert_eq!(units(text), expected, "{text}");
        }
    }

    #[test]
    fn amounts_end_at_the_largest_that_kubernetes_knows() {
        for text in [
            "8Ei",
            "9.3E",
            "100E",
            "1e40",
            "1e999999",
            "99999999999999999999999999999999999999999999",
            "999999999999999999999Ei",
        ] {
            assert_eq!(units(text), i64::MAX as u64, "{text}");
        }
        assert_eq!(units("9223372036854775807"), i64::MAX as u64);
        assert_eq!(units("9223372036854775806"), i64::MAX as u64 - 1);
    }

    #[test]
    fn every_digit_counts() {
        for (text, expected) in [
            ("12345678901.123456789", "12345678901123456789n"),
            ("99999999999999999.999", "99999999999999999999m"),
            ("1234567890123456789012345678n", "1234567890123456789012345678n"),
            ("12345678901.1234567891", "12345678901123456790n"),
            ("1.00000000001Ki", "1024000000011n"),
        ] {
            assert_eq!(Quantity::parse(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "",
            " ",
            "x",
            "1K",
            "1KB",
            "1MB",
            "1B",
            "Mi",
            "1 Mi",
            "1Mi ",
            " 1",
            "1.2.3",
            ".",
            "-",
            "+",
            "1e",
            "1e+",
            "1ee3",
            "--1",
            "1-",
            "0x10",
            "1_000",
            "1mi",
            "1MI",
            "1gi",
            "inf",
            "NaN",
            "1e1.5",
            "1Zi",
            "1Y",
            "١",
            "1e9999999",
            "e3",
        ] {
            assert!(Quantity::parse(text).is_err(), "{text:?}");
        }
        assert!(Quantity::parse("1K").unwrap_err().contains("Ki"));
    }

    #[test]
    fn negative_amounts_are_refused_but_minus_nothing_is_nothing() {
        for text in ["-1", "-100m", "-1Gi", "-1e3", "-.5"] {
            assert_eq!(Quantity::parse(text).unwrap_err(), "is negative", "{text}");
        }
        assert_eq!(units("-0"), 0);
    }

    #[test]
    fn the_canonical_form_is_that_of_the_api_server() {
        for (text, expected) in [
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("1536Mi", "1536Mi"),
            ("1000", "1k"),
            ("1000000", "1M"),
            ("1e3", "1e3"),
            ("1E6", "1e6"),
            ("100e0", "100"),
            ("100Ki", "100Ki"),
            ("1023", "1023"),
            ("0.5Ki", "512"),
            ("0", "0"),
            ("0Gi", "0"),
            ("1500m", "1500m"),
            ("1n", "1n"),
            ("2Ti", "2Ti"),
        ] {
            assert_eq!(Quantity::parse(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn the_canonical_form_reads_back_as_the_same_amount() {
        for text in ["1", "3k", "7Mi", "123456789", "0.001", "1n", "9E", "5e9", "1.25Gi", "1025"] {
            let read = Quantity::parse(text).unwrap();
            assert_eq!(Quantity::parse(&read.to_string()).unwrap().nano, read.nano, "{text}");
        }
    }

    #[test]
    fn resources_are_kept_in_thousandths() {
        assert_eq!(Quantity::parse("1u").unwrap().rounded_to_millis().to_string(), "1m");
        assert!(!Quantity::parse("100m").unwrap().is_whole() && Quantity::parse("1k").unwrap().is_whole());
    }
}
