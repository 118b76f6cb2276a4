//! `$(VAR)` in commands, arguments and values.

/// Replaces `$(VAR)` by the variable's value; `$$` is one `$`, so `$$(VAR)` stays `$(VAR)`. What names no variable stays
/// as it is written.
pub fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
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

/// The variables of a container in order, each expanded with those before it; a later one of the same name wins.
pub fn environment(env: &[(String, String)]) -> Vec<(String, String)> {
    let mut done: Vec<(String, String)> = Vec::with_capacity(env.len());
    for (name, value) in env {
        let value = expand(value, |wanted| lookup(&done, wanted));
        match done.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = value,
            None => done.push((name.clone(), value)),
        }
    }
    done
}

/// The value of a variable; of several of one name the last.
pub fn lookup<'a>(env: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    env.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn variables_are_expanded_as_in_kubernetes() {
        let env = pairs(&[
            ("VAR_A", "A"),
            ("VAR_B", "B"),
            ("VAR_C", "C"),
            ("VAR_REF", "$(VAR_A)"),
            ("VAR_EMPTY", ""),
        ]);
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
            assert_eq!(expand(text, |name| lookup(&env, name)), expected, "{text}");
        }
    }

    #[test]
    fn a_variable_sees_only_those_before_it() {
        let env = pairs(&[("A", "$(B)"), ("B", "b"), ("C", "$(A)-$(B)"), ("B", "$(B)b"), ("D", "$(B)")]);
        let expected = pairs(&[("A", "$(B)"), ("B", "bb"), ("C", "$(B)-b"), ("D", "bb")]);
        assert_eq!(environment(&env), expected);
    }
}
