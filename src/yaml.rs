//! Prints a JSON value as block-style YAML: enough for objects that came from JSON, and nothing more.

use serde_json::Value;

/// The value as a YAML document.
pub fn print(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                out.push_str(&format!("{:indent$}{}:", "", scalar(&Value::String(key.clone()))));
                below(value, indent, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                // The item's first line stands behind the dash, so it is printed deeper and the blanks are replaced.
                let mut text = String::new();
                block(item, indent + 2, &mut text);
                out.push_str(&format!("{:indent$}- {}", "", text.trim_start_matches(' ')));
            }
        }
        scalar_value => out.push_str(&format!("{:indent$}{}\n", "", scalar(scalar_value))),
    }
}

/// What follows a `key:`. Lists stand at the key's own indentation, as kubectl prints them.
fn below(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            block(value, indent + 2, out);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(value, indent, out);
        }
        other => out.push_str(&format!(" {}\n", scalar(other))),
    }
}

/// A string stays bare when no YAML reader could take it for something else; quoted it is written as in JSON.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let first = text.chars().next();
    let bare = first.is_some_and(|c| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if bare { text.clone() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_lists_and_maps_are_indented_as_kubectl_does() {
        let value = json!({"spec": {"containers": [{"name": "web", "args": ["-f", "a b"]}], "volumes": []}, "count": 1});
        let expected = "spec:\n  containers:\n  - name: web\n    args:\n    - \"-f\"\n    - \"a b\"\n  volumes: []\ncount: 1\n";
        assert_eq!(print(&value), expected);
    }

    #[test]
    fn strings_that_look_like_something_else_are_quoted() {
        for text in ["true", "1", "", "null", "a: b", "# x", "line\nbreak", "2026-11-21", "No", "~"] {
            assert!(print(&json!(text)).starts_with('"'), "{text:?}");
        }
    }
}
