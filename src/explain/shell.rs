//! Words, paths and mounts as a shell wants them.

use std::collections::BTreeSet;
use std::path::Path;

use super::container::Place;
use crate::plan::mount::{MountAttr, MountStep, What, attr};

/// Variables of the shell that may stand in a path, as a name of its own: the state directory, the pod's cgroup, the root
/// filesystem to be, the argument of a function.
const VARIABLES: [&str; 4] = ["$ROOT", "$CGROUP", "$NEW", "$1"];

/// One word, quoted when need be.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=+,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A path, in which [`VARIABLES`] stay what they are; `/$ROOT` is `$ROOT`.
pub fn path(path: &Path) -> String {
    let text = path.display().to_string();
    let is_variable = |name: &str| VARIABLES.contains(&name);
    if !text.split('/').any(is_variable) {
        return word(&text);
    }
    let text = text.strip_prefix('/').filter(|rest| rest.starts_with('$')).unwrap_or(&text);
    let name = |name: &str| match is_variable(name) {
        true => name.to_owned(),
        false => escaped(name),
    };
    format!("\"{}\"", text.split('/').map(name).collect::<Vec<_>>().join("/"))
}

/// As it stands between double quotes.
fn escaped(text: &str) -> String {
    let special = |c: char| if "\\\"$`".contains(c) { format!("\\{c}") } else { c.to_string() };
    text.chars().map(special).collect()
}

/// A path below the root filesystem to be.
pub fn inside(target: &Path) -> String {
    path(&Path::new("/$NEW").join(target.strip_prefix("/").unwrap_or(target)))
}

/// A list of capabilities for setpriv(1): nothing but these.
pub fn capabilities(keep: &BTreeSet<String>) -> String {
    let names = keep.iter().map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()));
    format!("-all{}", names.collect::<String>())
}

/// mount(8) of one entry of `mounts`; what has to become read-only later, when other things have been put into it, is added to
/// `later`.
pub fn mount(mount: &MountStep, later: &mut Vec<String>) -> Vec<String> {
    let target = inside(&mount.target);
    let mut lines = match &mount.what {
        What::Filesystem { kind, options } => {
            let source = options.iter().find(|(key, _)| key == "source").and_then(|(_, value)| value.clone());
            let own: Vec<String> = options.iter().filter(|(key, _)| key != "source").map(option).collect();
            let source = source.unwrap_or_else(|| kind.clone());
            let mut lines = filesystem(kind, &source, &own, mount.attr, &target, later);
            if mount.takes_mode() {
                lines[1] = lines[1].replacen("mount -t tmpfs", "mount -t tmpfs -o mode=\"$mode\"", 1);
                lines.insert(0, format!("mode=$(stat -c %a {target} 2>/dev/null || echo 1777)"));
            }
            lines
        }
        What::Bind { source, recursive } => {
            bind(mount, if *recursive { "--rbind" } else { "--bind" }, source, &target)
        }
        What::Cgroup => filesystem("cgroup2", "cgroup2", &[], mount.attr, &target, later),
        What::Remount => change(mount.attr, &target).into_iter().collect(),
    };
    if !matches!(mount.what, What::Bind { .. })
        && let Some(propagation) = &mount.propagation
    {
        lines.push(format!("mount --make-{propagation} {target}"));
    }
    // mount(8) knows attributes of a whole tree only since util-linux 2.39.
    if let Some(change) = change(mount.recursive_attr, "\"$each\"") {
        lines.push(format!("findmnt -Rrno TARGET {target} | while read -r each; do {change}; done"));
    }
    lines
}

/// What makes the container's own view of the cgroups: one mount, or on v1 a tmpfs with its directory in each hierarchy.
pub fn cgroups(mount: &MountStep, place: &Place) -> Vec<String> {
    let (target, mut later) = (inside(&mount.target), Vec::new());
    if place.names.is_empty() {
        return self::mount(mount, &mut later);
    }
    let mode = ["mode=755".to_owned()];
    let mut lines = filesystem("tmpfs", "none", &mode, MountAttr::default(), &target, &mut later);
    for (directory, name) in place.cgroups.iter().zip(place.names) {
        let target = inside(&mount.target.join(name));
        lines.push(format!("mkdir -p {target}"));
        lines.extend(bind(mount, "--bind", directory, &target));
    }
    lines.extend(change(mount.attr, &target));
    lines
}

/// A bind mount with its propagation and attributes.
fn bind(mount: &MountStep, option: &str, source: &Path, target: &str) -> Vec<String> {
    let propagations = mount.propagations();
    let mut lines = vec![format!("mount {option} --make-{} {} {target}", propagations[0], path(source))];
    lines.extend(propagations[1..].iter().map(|kind| format!("mount --make-{kind} {target}")));
    lines.extend(change(mount.attr, target));
    lines
}

/// A new instance of a filesystem. Read-only is said afterwards and of the mount alone: said with the others it would be of
/// the filesystem itself, which other mounts may share.
fn filesystem(
    kind: &str,
    source: &str,
    own: &[String],
    attr: MountAttr,
    target: &str,
    later: &mut Vec<String>,
) -> Vec<String> {
    let is_readonly = attr.set & attr::RDONLY != 0;
    let mut options = attributes(MountAttr { set: attr.set & !attr::RDONLY, clear: attr.clear });
    options.extend(own.iter().cloned());
    let source = word(source);
    let mut lines =
        vec![format!("mkdir -p {target}"), format!("mount -t {kind}{} {source} {target}", list(&options))];
    if is_readonly && kind == "tmpfs" {
        later.push(target.to_owned());
    } else if is_readonly {
        lines.extend(change(attr, target));
    }
    lines
}

fn option((key, value): &(String, Option<String>)) -> String {
    match value {
        Some(value) => format!("{key}={value}"),
        None => key.clone(),
    }
}

/// Other attributes for what is mounted at `target`.
fn change(attr: MountAttr, target: &str) -> Option<String> {
    let mut options = attributes(attr);
    options.retain(|option| option != "rw");
    (!options.is_empty()).then(|| format!("mount -o remount,bind,{} {target}", options.join(",")))
}

fn list(options: &[String]) -> String {
    if options.is_empty() { String::new() } else { format!(" -o {}", word(&options.join(","))) }
}

fn attributes(change: MountAttr) -> Vec<String> {
    let names = [
        (attr::RDONLY, "ro", "rw"),
        (attr::NOSUID, "nosuid", "suid"),
        (attr::NODEV, "nodev", "dev"),
        (attr::NOEXEC, "noexec", "exec"),
        (attr::NODIRATIME, "nodiratime", "diratime"),
        (attr::NOSYMFOLLOW, "nosymfollow", "symfollow"),
    ];
    let mut options: Vec<String> = Vec::new();
    for (bit, on, off) in names {
        if change.set & bit != 0 {
            options.push(on.to_owned());
        } else if change.clear & bit != 0 {
            options.push(off.to_owned());
        }
    }
    match change.set & attr::ATIME {
        attr::NOATIME => options.push("noatime".to_owned()),
        attr::STRICTATIME => options.push("strictatime".to_owned()),
        _ if change.clear & attr::ATIME != 0 => options.push("relatime".to_owned()),
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
    fn variables_stay_variables_in_a_path_and_nothing_else_becomes_one() {
        assert_eq!(path(Path::new("/$ROOT/sandbox/a b")), "\"$ROOT/sandbox/a b\"");
        assert_eq!(path(Path::new("/sys/fs/cgroup/$CGROUP/pod")), "\"/sys/fs/cgroup/$CGROUP/pod\"");
        assert_eq!(path(Path::new("/$ROOT/$HOME/`id`")), "\"$ROOT/\\$HOME/\\`id\\`\"");
        assert_eq!(path(Path::new("/srv/$HOME")), "'/srv/$HOME'");
        assert_eq!(path(Path::new("/srv/x")), "/srv/x");
        assert_eq!(inside(Path::new("/proc")), "\"$NEW/proc\"");
    }

    #[test]
    fn capabilities_are_taken_away_first() {
        assert_eq!(capabilities(&BTreeSet::new()), "-all");
        assert_eq!(capabilities(&["CAP_KILL".to_owned()].into()), "-all,+kill");
    }
}
