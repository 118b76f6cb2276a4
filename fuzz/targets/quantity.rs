//! Quantities: one on each line.

use barepod::manifest::quantity::Quantity;

/// Lines that are looked at, each held against each.
const MOST: usize = 16;

/// What is read is exactly the amount that is written, and what is printed reads back as that amount.
pub fn quantity(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read: Vec<(Quantity, String)> = text.split('\n').take(MOST).filter_map(one).collect();
    for (first, of_first) in &read {
        for (second, of_second) in &read {
            assert_eq!(first.is_same_amount(*second), of_first == of_second, "{first} and {second}");
        }
    }
}

/// The quantity and its billionths.
fn one(text: &str) -> Option<(Quantity, String)> {
    let by_hand = billionths(text);
    let quantity = match Quantity::parse(text) {
        Ok(quantity) => quantity,
        Err(message) => {
            assert!(!message.is_empty() && !message.contains('\n'));
            assert!(by_hand.is_none_or(|amount| text.starts_with('-') && amount != "0"), "{text} {message}");
            return None;
        }
    };
    let by_hand = by_hand.unwrap_or_else(|| panic!("{text:?} is none"));
    let printed = quantity.to_string();
    assert_eq!(billionths(&printed), Some(by_hand.clone()), "{text} is printed {printed}");
    let again = Quantity::parse(&printed).unwrap_or_else(|error| panic!("{printed} {error}"));
    assert!(again.is_same_amount(quantity), "{text} is printed {printed}, which is {again}");

    let (units, millis, rounded) = (quantity.units(), quantity.millis(), quantity.rounded_to_millis());
    assert!(units <= i64::MAX as u64, "{text} is {units}");
    assert!(millis == u64::MAX || millis.div_ceil(1000) == units, "{text} is {millis} m and {units}");
    assert_eq!((rounded.units(), rounded.millis()), (units, millis), "{text} rounded is {rounded}");
    assert!(!quantity.is_whole() || rounded.is_same_amount(quantity), "{text} rounded is {rounded}");
    Some((quantity, by_hand))
}

/// The amount in billionths, rounded up and at most 2⁶³ − 1 units, by long multiplication: slow, and without a limit of its
/// own. `None`: no quantity. The sign is left out.
fn billionths(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let (doublings, power) = match suffix {
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "" => (0, 0),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let digits = exponent.trim_start_matches(['+', '-']);
            let plain = exponent.len() - digits.len() <= 1 && (1..=6).contains(&digits.len());
            (0, exponent.parse::<i64>().ok().filter(|_| plain)?)
        }
    };
    if number.len() == number.matches('.').count() || fraction.contains('.') {
        return None;
    }
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0').collect();
    for _ in 0..doublings {
        let mut carry = 0;
        for digit in digits.iter_mut().rev() {
            carry += *digit * 2;
            *digit = carry % 10;
            carry /= 10;
        }
        digits.splice(..0, [carry]);
    }
    // Where the point of the billionths stands; digits behind it round up.
    let before_point = digits.len() as i64 - fraction.len() as i64 + power + 9;
    let mut kept: Vec<u8> = Vec::new();
    let is_nothing = digits.iter().all(|digit| *digit == 0);
    for place in 0..before_point.min(digits.len() as i64 + 30) {
        kept.push(digits.get(place as usize).copied().unwrap_or(0));
    }
    let behind = digits.iter().skip(before_point.max(0) as usize);
    if behind.into_iter().any(|digit| *digit != 0) {
        kept.splice(..0, [0]);
        let nines = kept.iter().rev().take_while(|digit| **digit == 9).count();
        let place = kept.len() - nines;
        kept[place..].fill(0);
        kept[place - 1] += 1;
    }
    let text: String = kept.iter().map(|digit| char::from(b'0' + digit)).collect();
    let text = text.trim_start_matches('0');
    let most = format!("{}000000000", i64::MAX);
    Some(match text {
        _ if is_nothing => "0".to_owned(),
        text if (text.len(), text) > (most.len(), &most) => most,
        text => text.to_owned(),
    })
}
