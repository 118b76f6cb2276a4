//! `$(VAR)` in commands, arguments and values.

use std::collections::HashMap;

/// The longest argument or variable that the kernel takes (execve(2), MAX_ARG_STRLEN).
pub const LONGEST: usize = 128 * 1024;

/// More than a program may be given in arguments and variables together (execve(2): three quarters of 8 MiB).
pub const LONGEST_TOGETHER: usize = 6 << 20;

/// Replaces `$(VAR)` by the variable's value; `$$` is one `$`, so `$$(VAR)` stays `$(VAR)`. What names no variable stays
/// as it is written. Variables of variables can double with every line, so a result is cut off once it is longer than
/// [`LONGEST`]: execve(2) then refuses it, as it does any argument of that length.
pub fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        if out.len() > LONGEST {
            return out;
        }
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('(')
            && let Some(end) = inner.find(')')
        {
            let name = &inner[..end];
            match lookup(name) {
                Some(value) => out.push_str(value),
                None => out.extend(["$(", name, ")"]),
            }
            rest = &inner[end + 1..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

/// The words of a command, each expanded. One long variable can stand in all of them, so what comes after the first
/// [`LONGEST_TOGETHER`] bytes stays as it is written: execve(2) refuses the command for what is there already.
pub fn expand_all<'a>(words: &[String], lookup: impl Fn(&str) -> Option<&'a str>) -> Vec<String> {
    let mut length = 0;
    let expanded = words.iter().map(|word| {
        let word = if length > LONGEST_TOGETHER { word.clone() } else { expand(word, &lookup) };
        length += word.len();
        word
    });
    expanded.collect()
}

/// Variables in order, each name once: a later value replaces an earlier one in its place.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    list: Vec<(String, String)>,
    index: HashMap<String, usize>,
}

impl Variables {
    /// Adds or replaces one.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.index.get(name) {
            Some(at) => self.list[*at].1 = value.to_owned(),
            None => {
                self.index.insert(name.to_owned(), self.list.len());
                self.list.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// The value of one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.index.get(name).map(|at| self.list[*at].1.as_str())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variables, each expanded with those before it.
    fn expanded(env: &[(String, String)]) -> Variables {
        let mut variables = Variables::default();
        for (name, value) in env {
            let value = expand(value, |wanted| variables.get(wanted));
            variables.set(name, &value);
        }
        variables
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn variables_that_double_with_every_line_do_not_fill_the_memory() {
        let mut env = vec![("A0".to_owned(), "x".repeat(1000))];
        env.extend((1..64).map(|n| (format!("A{n}"), format!("$(A{0})$(A{0})", n - 1))));
        let variables = expanded(&env);
        let longest = variables.get("A63").unwrap().len();
        assert!(longest > LONGEST && longest < 4 * LONGEST, "{longest}");
    }

    #[test]
    fn a_long_variable_in_every_word_does_not_fill_the_memory() {
        let (long, words) = ("x".repeat(LONGEST), vec!["$(A)".to_owned(); 100_000]);
        let expanded = expand_all(&words, |_| Some(&long));
        let length: usize = expanded.iter().map(String::len).sum();
        assert!(length > LONGEST_TOGETHER && length < LONGEST_TOGETHER + 1_000_000, "{length} bytes");
        assert_eq!(expand_all(&words[..2], |_| Some("a")), ["a", "a"]);
    }

    #[test]
    fn variables_are_expanded_as_in_kubernetes() {
        let mut env = Variables::default();
        let given =
            [("VAR_A", "A"), ("VAR_B", "B"), ("VAR_C", "C"), ("VAR_REF", "$(VAR_A)"), ("VAR_EMPTY", "")];
        given.iter().for_each(|(name, value)| env.set(name, value));
        for (text, expected) in [
            ("$(VAR_A)", "A"),
            ("___$(VAR_B)___", "___B___"),
            ("$(VAR_A)-$(VAR_B)", "A-B"),
            ("$(VAR_A)$(VAR_B)$(VAR_C)", "ABC"),
            ("$$(VAR_A)", "$(VAR_A)"),
            ("$$(VAR_A)_$(VAR_B)", "$(VAR_A)_B"),
            ("$$$(VAR_A)", "$A"),
            ("$$$$(VAR_A)", "$$(VAR_A)"),
            ("$$$$$(VAR_A)", "$$A"),
            ("$(VAR_REF)", "$(VAR_A)"),
            ("foo$(VAR_EMPTY)bar", "foobar"),
            ("$(NOPE)", "$(NOPE)"),
            ("$(NOPE)$(VAR_A)", "$(NOPE)A"),
            ("$VAR_A", "$VAR_A"),
            ("$", "$"),
            ("$$", "$"),
            ("a$", "a$"),
            ("$(", "$("),
            ("$(VAR_A", "$(VAR_A"),
            ("$()", "$()"),
            ("$(VAR_A))", "A)"),
            ("$($(VAR_A))", "$($(VAR_A))"),
            ("${VAR_A}", "${VAR_A}"),
            ("é$(VAR_A)é", "éAé"),
            ("", ""),
        ] {
            assert_eq!(expand(text, |name| env.get(name)), expected, "{text}");
        }
    }

    #[test]
    fn a_variable_sees_only_those_before_it() {
        let env = pairs(&[("A", "$(B)"), ("B", "b"), ("C", "$(A)-$(B)"), ("B", "$(B)b"), ("D", "$(B)")]);
        let expected = [("A", "$(B)"), ("B", "bb"), ("C", "$(B)-b"), ("D", "bb")];
        assert_eq!(expanded(&env).iter().collect::<Vec<_>>(), expected);
    }
}
