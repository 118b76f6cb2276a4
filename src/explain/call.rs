//! System calls as strace(1) writes them, and the groups of calls that every mount, file and cgroup needs.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::plan::mount::{MountAttr, attr};

/// One system call. Words in small letters among its arguments are what an earlier call gave (descriptors); `UID`, `PID` are
/// known only when the pod runs; `…` stands for what does not matter. Fields that a structure leaves out are zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// Its arguments.
    pub args: Vec<String>,
    /// What its result is called from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gives: Option<String>,
    /// It is made only under this condition.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// It is made once for each of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub each: Option<String>,
}

/// A call with these arguments.
pub fn call<S: Into<String>>(name: &'static str, args: impl IntoIterator<Item = S>) -> Call {
    let args = args.into_iter().map(Into::into).collect();
    Call { name, args, gives: None, condition: None, each: None }
}

impl Call {
    /// Names the result.
    pub fn gives(mut self, name: &str) -> Call {
        self.gives = Some(name.to_owned());
        self
    }

    /// Made only when this is so.
    pub fn when(mut self, condition: &str) -> Call {
        self.condition = Some(condition.to_owned());
        self
    }

    /// Made once for each of these.
    pub fn each(mut self, what: &str) -> Call {
        self.each = Some(what.to_owned());
        self
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}({})", self.name, self.args.join(", "))?;
        self.gives.iter().try_for_each(|name| write!(f, " = {name}"))
    }
}

/// All of them only when this is so.
pub fn when(condition: &str, calls: Vec<Call>) -> Vec<Call> {
    calls.into_iter().map(|call| call.when(condition)).collect()
}

/// A C string.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            letter if letter.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// A path as a C string.
pub fn path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// `A|B`, or 0.
pub fn flags(names: &[&str]) -> String {
    if names.is_empty() { "0".to_owned() } else { names.join("|") }
}

/// mkdir(2) of one directory.
pub fn mkdir(directory: &Path, mode: u32) -> Call {
    call("mkdir", [path(directory), format!("0{mode:o}")])
}

/// openat(2) of a path of the host.
pub fn open(file: &Path, flags: &str, mode: Option<u32>) -> Call {
    let mode = mode.map(|mode| format!("0{mode:o}"));
    call("openat", ["AT_FDCWD".to_owned(), path(file), flags.to_owned()].into_iter().chain(mode))
}

/// A file of the pod that is written as a whole.
pub fn write_file(file: &Path) -> Vec<Call> {
    vec![
        open(file, "O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC", Some(0o666)).gives("file"),
        call("write", ["file", "…", "…"]),
    ]
}

/// A file that readers see either as it was or as it will be.
pub fn replace_file(directory: &Path, name: &str) -> Vec<Call> {
    let (new, file) = (directory.join(format!(".{name}.new")), directory.join(name));
    vec![
        open(&new, "O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC", Some(0o600)).gives("file"),
        call("write", ["file", "…", "…"]),
        call("rename", [path(&new), path(&file)]),
    ]
}

/// A file of procfs below an open `/proc`.
pub fn write_proc(file: &str, value: &str) -> Vec<Call> {
    const HOW: &str =
        "{flags=O_WRONLY|O_CLOEXEC, resolve=RESOLVE_BENEATH|RESOLVE_NO_XDEV|RESOLVE_NO_MAGICLINKS}";
    vec![
        call("openat2", ["proc", &quoted(file), HOW]).gives("file"),
        call("write", ["file", &quoted(value), &value.len().to_string()]),
    ]
}

/// `/proc`, held open.
pub fn open_proc() -> Call {
    open(Path::new("/proc"), "O_PATH|O_DIRECTORY|O_CLOEXEC", None).gives("proc")
}

/// A detached mount of a new filesystem instance, called `tree`.
pub fn new_filesystem(
    kind: &str,
    options: &[(String, Option<String>)],
    attributes: u64,
    tree: &str,
) -> Vec<Call> {
    let mut calls = vec![call("fsopen", [&quoted(kind), "FSOPEN_CLOEXEC"]).gives("fs")];
    calls.extend(options.iter().map(|(key, value)| match value {
        Some(value) => call("fsconfig", ["fs", "FSCONFIG_SET_STRING", &quoted(key), &quoted(value), "0"]),
        None => call("fsconfig", ["fs", "FSCONFIG_SET_FLAG", &quoted(key), "NULL", "0"]),
    }));
    calls.push(call("fsconfig", ["fs", "FSCONFIG_CMD_CREATE", "NULL", "NULL", "0"]));
    calls.push(call("fsmount", ["fs", "FSMOUNT_CLOEXEC", &attributes_in_words(attributes)]).gives(tree));
    calls
}

/// move_mount(2) of a detached mount to a place that is open.
pub fn attach(tree: &str, place: &str) -> Call {
    call("move_mount", [tree, "\"\"", place, "\"\"", "MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH"])
}

/// mount_setattr(2) of attributes; none when there is nothing to change.
pub fn set_attributes(tree: &str, recursive: bool, change: MountAttr) -> Option<Call> {
    if change == MountAttr::default() {
        return None;
    }
    let part = |name: &str, bits: u64| (bits != 0).then(|| format!("{name}={}", attributes_in_words(bits)));
    let parts: Vec<String> =
        [part("attr_set", change.set), part("attr_clr", change.clear)].into_iter().flatten().collect();
    Some(call("mount_setattr", [tree, "\"\"", at(recursive), &format!("{{{}}}", parts.join(", "))]))
}

/// mount_setattr(2) of the propagation; `kind` as in OCI options: `rslave`, `shared` …
pub fn set_propagation(tree: &str, kind: &str) -> Call {
    let (flag, recursive) = propagation(kind);
    call("mount_setattr", [tree, "\"\"", at(recursive), &format!("{{propagation={flag}}}")])
}

fn at(recursive: bool) -> &'static str {
    if recursive { "AT_EMPTY_PATH|AT_RECURSIVE" } else { "AT_EMPTY_PATH" }
}

/// The `MS_*` flag of a propagation, and whether it goes for the mounts below too.
pub fn propagation(kind: &str) -> (String, bool) {
    let (kind, recursive) = kind.strip_prefix('r').map_or((kind, false), |kind| (kind, true));
    (format!("MS_{}", kind.to_uppercase()), recursive)
}

/// `MOUNT_ATTR_*` of mount_setattr(2).
pub fn attributes_in_words(bits: u64) -> String {
    const NAMES: [(u64, &str); 9] = [
        (attr::RDONLY, "MOUNT_ATTR_RDONLY"),
        (attr::NOSUID, "MOUNT_ATTR_NOSUID"),
        (attr::NODEV, "MOUNT_ATTR_NODEV"),
        (attr::NOEXEC, "MOUNT_ATTR_NOEXEC"),
        (attr::ATIME, "MOUNT_ATTR__ATIME"),
        (attr::NOATIME, "MOUNT_ATTR_NOATIME"),
        (attr::STRICTATIME, "MOUNT_ATTR_STRICTATIME"),
        (attr::NODIRATIME, "MOUNT_ATTR_NODIRATIME"),
        (attr::NOSYMFOLLOW, "MOUNT_ATTR_NOSYMFOLLOW"),
    ];
    let mut left = bits;
    let mut names = Vec::new();
    for (bit, name) in NAMES {
        if left & bit == bit {
            names.push(name);
            left &= !bit;
        }
    }
    flags(&names)
}

/// A tmpfs of the pod, `size` in bytes, attached at a directory that is made for it.
pub fn tmpfs(
    place: &Path,
    directory_mode: u32,
    size: Option<u64>,
    mode: &str,
    propagation: &str,
) -> Vec<Call> {
    let size = size.map(|size| ("size".to_owned(), Some(size.to_string())));
    let options: Vec<_> = [("mode".to_owned(), Some(mode.to_owned()))].into_iter().chain(size).collect();
    let mut calls = vec![mkdir(place, directory_mode)];
    calls.extend(new_filesystem("tmpfs", &options, 0, "tree"));
    calls.push(open(place, "O_RDONLY|O_CLOEXEC", None).gives("place"));
    calls.push(attach("tree", "place"));
    calls.push(set_propagation("tree", propagation));
    calls
}

/// The same for a shell, in one line.
pub fn tmpfs_by_hand(place: &Path, size: Option<u64>, mode: &str, propagation: &str) -> String {
    tmpfs_commands(place, size, mode, propagation).join(" && ")
}

/// The same for a shell.
pub fn tmpfs_commands(place: &Path, size: Option<u64>, mode: &str, propagation: &str) -> Vec<String> {
    let size = size.map_or(String::new(), |size| format!(",size={size}"));
    let place = super::shell::path(place);
    vec![
        format!("mkdir -p {place}"),
        format!("mount -t tmpfs -o mode={mode}{size} --make-{propagation} tmpfs {place}"),
    ]
}

/// The flags of clone3(2), setns(2) and unshare(2), in words.
pub fn namespaces(bits: u64) -> Vec<&'static str> {
    const NAMES: [(i32, &str); 8] = [
        (libc::CLONE_NEWPID, "CLONE_NEWPID"),
        (libc::CLONE_NEWNS, "CLONE_NEWNS"),
        (libc::CLONE_NEWNET, "CLONE_NEWNET"),
        (libc::CLONE_NEWIPC, "CLONE_NEWIPC"),
        (libc::CLONE_NEWUTS, "CLONE_NEWUTS"),
        (libc::CLONE_NEWCGROUP, "CLONE_NEWCGROUP"),
        (libc::CLONE_NEWUSER, "CLONE_NEWUSER"),
        (libc::CLONE_NEWTIME, "CLONE_NEWTIME"),
    ];
    NAMES.iter().filter(|(bit, _)| bits & *bit as u64 != 0).map(|(_, name)| *name).collect()
}

/// clone3(2); `into` is an open v2 cgroup.
pub fn clone3(bits: u64, parent: bool, into: Option<&str>, gives: &str) -> Call {
    let mut names = namespaces(bits);
    names.extend(parent.then_some("CLONE_PARENT"));
    names.extend(into.map(|_| "CLONE_INTO_CGROUP"));
    names.push("CLONE_PIDFD");
    let signal = if parent { "0" } else { "SIGCHLD" };
    let cgroup = into.map_or(String::new(), |cgroup| format!(", cgroup={cgroup}"));
    let args = format!("{{flags={}, exit_signal={signal}{cgroup}}}", flags(&names));
    call("clone3", [args]).gives(gives)
}

/// The descriptors that a new process does not need are closed.
pub fn close_others() -> Call {
    call("close_range", ["…", "…", "0"]).each("gap between the descriptors that stay open")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_read_like_lines_of_strace() {
        let change = MountAttr { set: attr::RDONLY | attr::STRICTATIME, clear: attr::ATIME };
        assert_eq!(
            set_attributes("tree", true, change).unwrap().to_string(),
            "mount_setattr(tree, \"\", AT_EMPTY_PATH|AT_RECURSIVE, \
             {attr_set=MOUNT_ATTR_RDONLY|MOUNT_ATTR_STRICTATIME, attr_clr=MOUNT_ATTR__ATIME})"
        );
        assert_eq!(set_attributes("tree", true, MountAttr::default()), None);
        let clone = clone3((libc::CLONE_NEWPID | libc::CLONE_NEWNS) as u64, false, None, "init");
        let expected = "clone3({flags=CLONE_NEWPID|CLONE_NEWNS|CLONE_PIDFD, exit_signal=SIGCHLD}) = init";
        assert_eq!(clone.to_string(), expected);
        assert_eq!(quoted("a\"b\\\n"), r#""a\"b\\\n""#);
    }
}
