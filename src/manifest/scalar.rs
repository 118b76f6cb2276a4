//! What a scalar of YAML is: text, number, boolean or nothing.

use saphyr_parser::{ScalarStyle, Tag};

use super::node::Value;
use super::problem::quoted;

/// The value of a scalar; quotes and tags decide, else what it looks like.
pub fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    // An escape in quotes can make one; no path, argument or variable of a process can hold it.
    if text.contains('\0') {
        return Err("a NUL character".to_owned());
    }
    let string = || Value::String(text.to_owned());
    let resolved = || if style == ScalarStyle::Plain { resolve(text) } else { string() };
    let Some(tag) = tag else { return Ok(resolved()) };
    let value = match tag.suffix.as_str() {
        _ if !tag.is_yaml_core_schema() => None,
        "str" => Some(string()),
        "null" => Some(resolve(text)).filter(|value| *value == Value::Null),
        "bool" => Some(resolve(text)).filter(|value| matches!(value, Value::Bool(..))),
        "int" => Some(resolve(text)).filter(|value| matches!(value, Value::Number(Some(_), _))),
        "float" => Some(resolve(text)).filter(|value| matches!(value, Value::Number(..))),
        _ => None,
    };
    value.ok_or_else(|| format!("tag {} is not supported here", quoted(&tag.to_string())))
}

/// What a plain scalar is, by the rules of the YAML library that Kubernetes uses.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true, text.to_owned());
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false, text.to_owned());
        }
        _ => {}
    }
    match integer(text) {
        Some(integer) => Value::Number(Some(integer), text.to_owned()),
        None if is_float(text) => Value::Number(None, text.to_owned()),
        None => Value::String(text.to_owned()),
    }
}

/// `1_000`, `-5`, `0x1F`, `0b101`, `0o17` and the old octal `017`.
fn integer(text: &str) -> Option<i64> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
        return None;
    }
    let digits: String = text.trim_start_matches(['-', '+']).chars().filter(|c| *c != '_').collect();
    let sign = if text.starts_with('-') { "-" } else { "" };
    if text.len() - text.trim_start_matches(['-', '+']).len() > 1 || digits.starts_with(['-', '+']) {
        return None;
    }
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits.as_str()),
    };
    if digits.starts_with(['-', '+']) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

fn is_float(text: &str) -> bool {
    let plain = text.trim_start_matches(['-', '+']);
    if text.len() - plain.len() > 1 {
        return false;
    }
    if [".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"].contains(&plain) {
        return true;
    }
    let number = plain.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    number && plain.chars().any(|c| c.is_ascii_digit()) && plain.parse::<f64>().is_ok()
}
