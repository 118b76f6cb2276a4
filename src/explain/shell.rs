//! Words and mounts as a shell wants them.

use std::collections::BTreeSet;

use crate::plan::mount::{MountStep, What, attr};

/// One word, quoted when need be.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=+,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A list of capabilities for setpriv(1): nothing but these.
pub fn capabilities(keep: &BTreeSet<String>) -> String {
    let names = keep.iter().map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()));
    format!("-all{}", names.collect::<String>())
}

/// mount(8) of one entry of `mounts` below `root`.
pub fn mount(mount: &MountStep, root: &str) -> String {
    let target = format!("{root}{}", word(&mount.target.display().to_string()));
    let mut options = attributes(mount);
    match &mount.what {
        What::Filesystem { kind, options: own } => {
            let source = own.iter().find(|(key, _)| key == "source").and_then(|(_, value)| value.clone());
            options.extend(own.iter().filter(|(key, _)| key != "source").map(|(key, value)| match value {
                Some(value) => format!("{key}={value}"),
                None => key.clone(),
            }));
            let options = list(&options);
            let source = source.unwrap_or_else(|| kind.clone());
            format!("mkdir -p {target} && mount -t {kind}{options} {} {target}", word(&source))
        }
        What::Bind { source, recursive } => {
            let bind = if *recursive { "--rbind" } else { "--bind" };
            let source = word(&source.display().to_string());
            let mut line = format!("mount {bind} {source} {target}");
            options.retain(|option| option != "rw");
            if !options.is_empty() {
                line += &format!(" && mount -o remount,bind,{} {target}", options.join(","));
            }
            line
        }
        What::Cgroup => format!("mount -t cgroup2{} cgroup2 {target}", list(&options)),
        What::Remount => format!("mount -o remount,bind,{} {target}", options.join(",")),
    }
}

fn list(options: &[String]) -> String {
    if options.is_empty() { String::new() } else { format!(" -o {}", options.join(",")) }
}

fn attributes(mount: &MountStep) -> Vec<String> {
    let names = [
        (attr::RDONLY, "ro", "rw"),
        (attr::NOSUID, "nosuid", "suid"),
        (attr::NODEV, "nodev", "dev"),
        (attr::NOEXEC, "noexec", "exec"),
        (attr::NODIRATIME, "nodiratime", "diratime"),
    ];
    let (set, clear) =
        (mount.attr.set | mount.recursive_attr.set, mount.attr.clear | mount.recursive_attr.clear);
    let mut options: Vec<String> = Vec::new();
    for (bit, on, off) in names {
        if set & bit != 0 {
            options.push(on.to_owned());
        } else if clear & bit != 0 {
            options.push(off.to_owned());
        }
    }
    match set & attr::ATIME {
        attr::NOATIME => options.push("noatime".to_owned()),
        attr::STRICTATIME => options.push("strictatime".to_owned()),
        _ if clear & attr::ATIME != 0 => options.push("relatime".to_owned()),
        _ => {}
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_blanks_and_quotes_are_quoted() {
        assert_eq!(word("/bin/sh"), "/bin/sh");
        assert_eq!(word("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(word(""), "''");
    }

    #[test]
    fn capabilities_are_taken_away_first() {
        assert_eq!(capabilities(&BTreeSet::new()), "-all");
        assert_eq!(capabilities(&["CAP_KILL".to_owned()].into()), "-all,+kill");
    }
}
