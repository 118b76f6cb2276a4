//! The steps of a container's child process as system calls, and as shell lines.

use std::path::{Path, PathBuf};

use super::call::{
    Call, attach, call, close_others, flags, mkdir, namespaces, new_filesystem, open, open_proc, path,
    propagation, quoted, set_attributes, set_propagation, when, write_proc,
};
use super::shell;
use crate::plan::mount::{MountAttr, MountStep, What, attr};
use crate::plan::{Rootfs, Step};

/// What the calls of a child depend on beside its steps.
pub struct Place<'a> {
    /// The container's cgroup directories.
    pub cgroups: &'a [PathBuf],
    /// On v1 the name of the hierarchy of each; empty on v2.
    pub names: &'a [String],
}

/// What one step leaves to later ones.
#[derive(Default)]
pub struct State {
    /// Bind sources opened so far, and used so far.
    used: usize,
    /// tmpfs mounts that become read-only at the end.
    readonly_later: Vec<String>,
    /// `/proc` is open.
    proc: bool,
    /// For a shell: what becomes read-only at the end.
    by_hand: Vec<String>,
}

const MISSING: &str = "it is not there yet";
const IN_ROOT: &str = "{flags=O_PATH|O_CLOEXEC, resolve=RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS}";

/// The calls of a step, in order.
pub fn calls(step: &Step, place: &Place, state: &mut State) -> Vec<Call> {
    match step {
        Step::ResetProcess => {
            let mut calls = reset_signals();
            calls.extend([call("umask", ["0"]), call("setsid", [""; 0])]);
            calls
        }
        Step::JoinCgroup => [open_tasks(place.cgroups), enter_tasks(place.cgroups)].concat(),
        Step::UnshareCgroup => vec![call("unshare", ["CLONE_NEWCGROUP"])],
        Step::JoinNamespace { flag, path, .. } => vec![
            open(path, "O_RDONLY|O_CLOEXEC", None).gives("namespace"),
            call("setns", ["namespace", &flags(&namespaces(*flag))]),
        ],
        Step::Hostname(name) => vec![call("sethostname", [quoted(name), name.len().to_string()])],
        Step::Domainname(name) => through_proc(state, "sys/kernel/domainname", name),
        Step::TakeSources(sources) => take_sources(sources, state),
        Step::Propagation(kind) => {
            let flag = format!("MS_REC|{}", propagation(kind).0);
            vec![call("mount", ["NULL", "\"/\"", "NULL", &flag, "NULL"])]
        }
        Step::MountRootfs(rootfs) => mount_rootfs(rootfs),
        Step::CheckRootfs => ["dev", "proc", "sys"]
            .map(|name| call("openat", ["root", &quoted(name), "O_PATH|O_NOFOLLOW|O_CLOEXEC"]))
            .to_vec(),
        Step::Mount(mount) => mount_calls(mount, place, state),
        Step::Device(node) => {
            let (parent, name) = split(Path::new(&node.path));
            let kind = match node.kind {
                'b' => "S_IFBLK",
                'p' => "S_IFIFO",
                _ => "S_IFCHR",
            };
            let number = format!("makedev({:#x}, {:#x})", node.major, node.minor);
            let mode = format!("{kind}|0{:o}", node.mode);
            let mut calls = directory(&parent, "parent");
            calls.push(call("mknodat", ["parent", &quoted(&name), &mode, &number]));
            let owner = [node.uid, node.gid].map(|id| id.to_string());
            calls.push(call(
                "fchownat",
                ["parent", &quoted(&name), &owner[0], &owner[1], "AT_SYMLINK_NOFOLLOW"],
            ));
            calls
        }
        Step::Link { path, target } => {
            let (parent, name) = split(Path::new(path));
            let mut calls = directory(&parent, "parent");
            calls.push(call("symlinkat", [&quoted(target), "parent", &quoted(&name)]));
            calls
        }
        Step::Terminal { uid } => terminal(*uid),
        Step::MakeCwd(path) => {
            let mut calls = vec![look_up(path, "place")];
            if path != Path::new("/") {
                // It is looked for once more by the function that makes it.
                calls.push(look_up(path, "place").when(MISSING));
                calls.extend(make(path, Leaf::Directory, "place"));
            }
            calls
        }
        Step::Mask(path) => mask(path),
        Step::ReadonlyPath(path) => {
            let readonly = MountAttr { set: attr::RDONLY, clear: 0 };
            let mut calls = vec![open_tree("place", "\"\"", true, "tree")];
            calls.extend(set_attributes("tree", true, readonly));
            calls.push(attach("tree", "place"));
            [vec![look_up(path, "place")], when("the path exists", calls)].concat()
        }
        Step::Sysctl { key, value } => through_proc(state, &format!("sys/{}", key.replace('.', "/")), value),
        Step::FinishReadonly { root } => {
            let readonly = MountAttr { set: attr::RDONLY, clear: 0 };
            let trees = state.readonly_later.drain(..).chain(root.then(|| "root".to_owned()));
            trees.filter_map(|tree| set_attributes(&tree, false, readonly)).collect()
        }
        Step::OomScoreAdj(value) => through_proc(state, "self/oom_score_adj", &value.to_string()),
        Step::PivotRoot { propagation } => {
            let mut calls = vec![
                call("fchdir", ["root"]),
                call("pivot_root", ["\".\"", "\".\""]),
                call("umount2", ["\".\"", "MNT_DETACH"]),
                call("chdir", ["\"/\""]),
            ];
            calls.extend(propagation.as_deref().map(|kind| set_propagation("root", kind)));
            calls
        }
        Step::Rlimit { name, soft, hard } => {
            let limits = format!("{{rlim_cur={}, rlim_max={}}}", limit(*soft), limit(*hard));
            vec![call("prlimit64", ["0", name, &limits, "NULL"])]
        }
        Step::Bounding(keep) => {
            let drop = |name: &str| call("prctl", ["PR_CAPBSET_DROP", name]);
            let others = CAPABILITIES.iter().filter(|name| !keep.contains(**name));
            let mut calls: Vec<Call> = others.map(|name| drop(name)).collect();
            calls.push(drop("…").each("number after these, until the kernel knows no such capability"));
            calls
        }
        Step::User { uid, gid, groups, umask } => {
            let list: Vec<String> = groups.iter().map(u32::to_string).collect();
            let (uid, gid) = (uid.to_string(), gid.to_string());
            vec![
                call("prctl", ["PR_SET_KEEPCAPS", "1"]),
                call("setgroups", [groups.len().to_string(), format!("[{}]", list.join(", "))]),
                call("setresgid", [&gid, &gid, &gid]),
                call("setresuid", [&uid, &uid, &uid]),
                call("umask", [format!("0{umask:o}")]),
            ]
        }
        Step::Capabilities { effective, permitted, inheritable, ambient } => {
            let [effective, permitted, inheritable] =
                [effective, permitted, inheritable].map(capability_bits);
            let set = |effective: &str, permitted: &str| {
                let sets =
                    format!("{{effective={effective}, permitted={permitted}, inheritable={inheritable}}}");
                call("capset", ["{version=_LINUX_CAPABILITY_VERSION_3, pid=0}", &sets])
            };
            let mut calls = vec![
                call("prctl", ["PR_CAP_AMBIENT", "PR_CAP_AMBIENT_CLEAR_ALL", "0", "0", "0"]),
                set("…", "…"),
                set("0", "…"),
                set("0", &permitted),
                set(&effective, &permitted),
            ];
            let raise = |name| call("prctl", ["PR_CAP_AMBIENT", "PR_CAP_AMBIENT_RAISE", name, "0", "0"]);
            calls.extend(ambient.iter().map(|name| raise(name.as_str())));
            calls
        }
        Step::NoNewPrivileges => vec![call("prctl", ["PR_SET_NO_NEW_PRIVS", "1", "0", "0", "0"])],
        Step::Seccomp(program) => {
            let length = program.instructions.len();
            vec![call("seccomp", ["SECCOMP_SET_MODE_FILTER", "…", &format!("{{len={length}, …}}")])]
        }
        Step::Cwd(path) => vec![call("chdir", [super::call::path(path)])],
        Step::Exec { args, env } => exec(args, env),
        Step::Oci(_) => Vec::new(), // no container of a pod has one
    }
}

/// A pseudoterminal of the container's own devpts; `passage` is a socket of the pod init.
fn terminal(uid: u32) -> Vec<Call> {
    const FLAGS: &str = "O_RDWR|O_NOCTTY|O_CLOEXEC";
    let how = format!("{{flags={FLAGS}, resolve=RESOLVE_NO_MAGICLINKS|RESOLVE_NO_SYMLINKS}}");
    let mut calls = vec![
        call("openat2", ["root", "\"dev/pts/ptmx\"", &how]).gives("master"),
        call("ioctl", ["master", "TIOCSPTLCK", "[0]"]),
        call("ioctl", ["master", "TIOCGPTPEER", FLAGS]).gives("terminal"),
        call("sendmsg", ["passage", "{SCM_RIGHTS, [master]}", "MSG_NOSIGNAL"]),
    ];
    calls.extend(["0", "1", "2"].map(|number| call("dup2", ["terminal", number])));
    calls.push(call("ioctl", ["terminal", "TIOCSCTTY", "0"]));
    calls.push(call("fchown", ["terminal", &uid.to_string(), "-1"]));
    calls.push(open_tree("terminal", "\"\"", false, "tree"));
    let console = Path::new("/dev/console");
    calls.push(look_up(console, "place"));
    calls.extend(make(console, Leaf::File, "place"));
    calls.push(attach("tree", "place"));
    calls
}

/// The container has a terminal.
pub fn has_terminal(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step, Step::Terminal { .. }))
}

/// The streams of a new process: pipes are given to its user, then all three are moved to 0, 1 and 2. One that is to have a
/// terminal has none until then.
pub fn take_streams(steps: &[Step]) -> Vec<Call> {
    if has_terminal(steps) {
        return ["0", "1", "2"].map(|number| call("dup2", ["null", number])).to_vec();
    }
    let user = steps.iter().find_map(|step| match step {
        Step::User { uid, gid, .. } => Some((uid.to_string(), gid.to_string())),
        _ => None,
    });
    let (uid, gid) = user.unwrap_or_default();
    vec![
        call("fchown", ["stdout", &uid, &gid]),
        call("fchown", ["stderr", &uid, &gid]),
        call("dup2", ["null", "0"]),
        call("dup2", ["stdout", "1"]),
        call("dup2", ["stderr", "2"]),
    ]
}

/// Default dispositions, empty mask.
pub fn reset_signals() -> Vec<Call> {
    vec![
        call("rt_sigaction", ["…", "{sa_handler=SIG_DFL, …}", "NULL", "8"]).each("signal"),
        call("rt_sigprocmask", ["SIG_SETMASK", "[]", "NULL", "8"]),
    ]
}

/// The first half of joining a cgroup.
pub fn open_tasks(cgroups: &[PathBuf]) -> Vec<Call> {
    let file = if cgroups.len() == 1 { "cgroup.procs" } else { "tasks" };
    let opened = cgroups.iter().enumerate();
    opened
        .map(|(n, dir)| open(&dir.join(file), "O_WRONLY|O_CLOEXEC", None).gives(&format!("tasks{n}")))
        .collect()
}

/// The second half: 0 is whoever writes it.
pub fn enter_tasks(cgroups: &[PathBuf]) -> Vec<Call> {
    (0..cgroups.len()).map(|n| call("write", [&format!("tasks{n}"), "\"0\"", "1"])).collect()
}

/// The descriptors of a parent that a new process closes.
pub fn close_inherited() -> Call {
    close_others()
}

fn through_proc(state: &mut State, file: &str, value: &str) -> Vec<Call> {
    let first = !std::mem::replace(&mut state.proc, true);
    first.then(open_proc).into_iter().chain(write_proc(file, value)).collect()
}

fn take_sources(sources: &[(PathBuf, bool)], state: &mut State) -> Vec<Call> {
    state.proc = true;
    let tree = |n: usize, source: &Path, recursive| {
        open_tree("AT_FDCWD", &path(source), recursive, &format!("source{n}"))
    };
    let trees = sources.iter().enumerate().map(|(n, (source, recursive))| tree(n + 1, source, *recursive));
    std::iter::once(open_proc()).chain(trees).collect()
}

/// open_tree(2) of a detached copy.
pub fn open_tree(directory: &str, path: &str, recursive: bool, gives: &str) -> Call {
    let recursive = if recursive { "|AT_RECURSIVE" } else { "" };
    let flags = format!("OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH{recursive}");
    call("open_tree", [directory, path, &flags]).gives(gives)
}

fn mount_rootfs(rootfs: &Rootfs) -> Vec<Call> {
    let directory = |path: &Path, name: &str| open(path, "O_PATH|O_DIRECTORY|O_CLOEXEC", None).gives(name);
    let mut calls = match rootfs {
        Rootfs::Directory(path) => {
            vec![directory(path, "place"), open_tree("place", "\"\"", true, "root")]
        }
        Rootfs::Overlay { lower, layer } => {
            let option = |key: &str, name: &str| (key.to_owned(), Some(format!("/proc/self/fd/{name}")));
            let options =
                [option("lowerdir", "lower"), option("upperdir", "upper"), option("workdir", "work")];
            let mut calls = vec![
                directory(&layer.join("merged"), "place"),
                directory(lower, "lower"),
                directory(&layer.join("upper"), "upper"),
                directory(&layer.join("work"), "work"),
            ];
            calls.extend(new_filesystem("overlay", &options, 0, "root"));
            calls
        }
    };
    calls.extend([attach("root", "place"), set_propagation("root", "rprivate")]);
    calls
}

#[derive(Clone, Copy, PartialEq)]
enum Leaf {
    Directory,
    File,
}

fn look_up(target: &Path, gives: &str) -> Call {
    call("openat2", ["root", &path(target), IN_ROOT]).gives(gives)
}

/// Opens a directory inside the rootfs, which is made with its parents when it is missing.
fn directory(target: &Path, gives: &str) -> Vec<Call> {
    let mut calls = vec![look_up(target, gives)];
    if target != Path::new("/") {
        calls.extend(make(target, Leaf::Directory, gives));
    }
    calls
}

/// Makes what was looked up in vain: the nearest parent that is there, then one name after the other.
fn make(target: &Path, leaf: Leaf, gives: &str) -> Vec<Call> {
    let (parent, name) = split(target);
    let mut calls = vec![look_up(&parent, "parent").when(MISSING)];
    if parent != Path::new("/") {
        calls.extend(make(&parent, Leaf::Directory, "parent"));
    }
    let name = quoted(&name);
    let condition = match leaf {
        Leaf::Directory => MISSING,
        Leaf::File => "it is not there yet and the source is a file",
    };
    calls.extend(when(
        condition,
        match leaf {
            Leaf::Directory => make_in("parent", &name, gives).to_vec(),
            Leaf::File => vec![
                call("openat", ["parent", &name, "O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC", "0644"]),
                call("openat", ["parent", &name, "O_PATH|O_NOFOLLOW|O_CLOEXEC"]).gives(gives),
            ],
        },
    ));
    calls
}

/// Makes a directory below an open one.
fn make_in(parent: &str, name: &str, gives: &str) -> [Call; 2] {
    [
        call("mkdirat", [parent, name, "0755"]),
        call("openat", [parent, name, "O_PATH|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC"]).gives(gives),
    ]
}

/// Parent and last name of an absolute path.
fn split(path: &Path) -> (PathBuf, String) {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    (path.parent().unwrap_or(Path::new("/")).to_owned(), name.unwrap_or_default())
}

/// The place of a mount. Whether a source is a directory or a file is known only when it is there.
fn target(path: &Path, source_may_be_file: bool) -> Vec<Call> {
    let mut calls = vec![look_up(path, "place")];
    if path == Path::new("/") {
        return calls;
    }
    let mut made = make(path, Leaf::Directory, "place");
    if source_may_be_file {
        let file = make(path, Leaf::File, "place").split_off(made.len() - 2);
        let at = made.len() - 2;
        for call in &mut made[at..] {
            call.condition = Some("it is not there yet and the source is a directory".to_owned());
        }
        made.extend(file);
    }
    calls.extend(made);
    calls
}

fn mount_calls(mount: &MountStep, place: &Place, state: &mut State) -> Vec<Call> {
    let (mut calls, tree) = match &mount.what {
        What::Filesystem { kind, options } => {
            let later = kind == "tmpfs" && mount.attr.set & attr::RDONLY != 0;
            // A tmpfs that is to be read-only is needed once more, so it has a name of its own.
            let tree =
                if later { format!("tmpfs{}", state.readonly_later.len() + 1) } else { "tree".to_owned() };
            if later {
                state.readonly_later.push(tree.clone());
            }
            let mut calls = new_filesystem(kind, options, 0, &tree);
            if mount.takes_mode() {
                calls.insert(0, look_up(&mount.target, "covered"));
                let mode = call("fsconfig", ["fs", "FSCONFIG_SET_STRING", "\"mode\"", "…", "0"]);
                calls.insert(calls.len() - 2, mode.when("a directory is there"));
            }
            (calls, tree)
        }
        What::Bind { .. } => {
            state.used += 1;
            (Vec::new(), format!("source{}", state.used))
        }
        What::Cgroup => return mount_cgroup(mount, place),
        What::Remount => {
            let change = [
                set_attributes("place", false, mount.attr),
                set_attributes("place", true, mount.recursive_attr),
            ];
            return std::iter::once(look_up(&mount.target, "place"))
                .chain(change.into_iter().flatten())
                .collect();
        }
    };
    calls.extend(target(&mount.target, matches!(mount.what, What::Bind { .. })));
    let now = match state.readonly_later.last() {
        Some(last) if *last == tree => {
            MountAttr { set: mount.attr.set & !attr::RDONLY, clear: mount.attr.clear }
        }
        _ => mount.attr,
    };
    calls.extend(set_attributes(&tree, false, now));
    calls.extend(set_attributes(&tree, true, mount.recursive_attr));
    calls.extend(mount.propagations().into_iter().map(|kind| set_propagation(&tree, kind)));
    calls.push(attach(&tree, "place"));
    calls
}

fn mount_cgroup(mount: &MountStep, place: &Place) -> Vec<Call> {
    let attributes = |tree: &str| {
        [set_attributes(tree, false, mount.attr), set_attributes(tree, true, mount.recursive_attr)]
    };
    let mut calls = target(&mount.target, false);
    if place.names.is_empty() {
        calls.extend(new_filesystem("cgroup2", &[], 0, "tree"));
        calls.extend(attributes("tree").into_iter().flatten());
        calls.push(attach("tree", "place"));
        return calls;
    }
    let mode = ("mode".to_owned(), Some("755".to_owned()));
    calls.extend(new_filesystem("tmpfs", &[mode], 0, "top"));
    calls.push(attach("top", "place"));
    for (directory, name) in place.cgroups.iter().zip(place.names) {
        calls.extend(make_in("top", &quoted(name), "place"));
        calls.push(open_tree("AT_FDCWD", &path(directory), false, "tree"));
        calls.extend(attributes("tree").into_iter().flatten());
        calls.extend(mount.propagations().into_iter().map(|kind| set_propagation("tree", kind)));
        calls.push(attach("tree", "place"));
    }
    calls.extend(attributes("top").into_iter().flatten());
    calls
}

fn mask(path: &Path) -> Vec<Call> {
    let mut first = new_filesystem("tmpfs", &[], attr::RDONLY, "empty");
    first.push(attach("empty", "place"));
    let copy = |of: &str| [open_tree(of, "\"\"", false, "tree"), attach("tree", "place")];
    let null = open(Path::new("/dev/null"), "O_PATH|O_CLOEXEC", None).gives("null");
    [
        vec![look_up(path, "place")],
        when("the path is a directory, and the first", first),
        when("the path is a further directory", copy("empty").to_vec()),
        when("the path is a file", std::iter::once(null).chain(copy("null")).collect()),
    ]
    .concat()
}

fn limit(value: u64) -> String {
    if value == u64::MAX { "RLIM64_INFINITY".to_owned() } else { value.to_string() }
}

fn exec(args: &[String], env: &[String]) -> Vec<Call> {
    let program = args.first().map_or("", String::as_str);
    let list: Vec<String> = args.iter().map(|arg| quoted(arg)).collect();
    let list = format!("[{}]", list.join(", "));
    let execve = |path: &str| call("execve", [&quoted(path), &list, "…"]);
    let mut calls = vec![call("close_range", ["3", "4294967295", "CLOSE_RANGE_CLOEXEC"])];
    if program.contains('/') || program.is_empty() {
        calls.push(execve(program));
        return calls;
    }
    let directories = env.iter().find_map(|entry| entry.strip_prefix("PATH="));
    let directories =
        directories.unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").split(':');
    for (n, directory) in directories.enumerate() {
        let directory = if directory.is_empty() { "." } else { directory };
        let attempt = execve(&format!("{directory}/{program}"));
        calls.push(if n == 0 {
            attempt
        } else {
            attempt.when("the program is in no directory before this one")
        });
    }
    calls
}

fn capability_bits(names: &std::collections::BTreeSet<String>) -> String {
    let bits: Vec<String> = names.iter().map(|name| format!("1<<{name}")).collect();
    if bits.is_empty() { "0".to_owned() } else { bits.join("|") }
}

/// capabilities(7), by number.
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The same by hand, in one line; `None` where no shell can.
pub fn by_hand(step: &Step, place: &Place, state: &mut State) -> Option<String> {
    let lines = commands(step, place, state);
    (!lines.is_empty()).then(|| lines.join(" && "))
}

/// The same by hand. `$NEW` is the root filesystem to be; `…` stands for what is executed behind a command.
pub fn commands(step: &Step, place: &Place, state: &mut State) -> Vec<String> {
    let inside = |path: &str| shell::inside(Path::new(path));
    vec![match step {
        Step::ResetProcess => "umask 0; setsid …".to_owned(),
        Step::JoinCgroup => enter_by_hand(place.cgroups),
        Step::UnshareCgroup => "unshare --cgroup …".to_owned(),
        Step::JoinNamespace { kind, path, .. } => {
            let option = if kind == "network" { "net" } else { kind };
            format!("nsenter --{option}={} …", path.display())
        }
        Step::Hostname(name) => format!("hostname {}", shell::word(name)),
        Step::Domainname(name) => format!("domainname {}", shell::word(name)),
        Step::TakeSources(_) => return Vec::new(),
        Step::CheckRootfs => {
            let names = ["/dev", "/proc", "/sys"].map(inside).join(" ");
            format!("for each in {names}; do if test -L \"$each\"; then exit 1; fi; done")
        }
        Step::Propagation(kind) => format!("mount --make-{kind} /"),
        Step::MountRootfs(rootfs) => return mount_rootfs_by_hand(rootfs),
        Step::Mount(mount) if mount.what == What::Cgroup => return shell::cgroups(mount, place),
        Step::Mount(mount) => return shell::mount(mount, &mut state.by_hand),
        Step::Device(node) => {
            let path = inside(&node.path);
            let numbers =
                if node.kind == 'p' { String::new() } else { format!(" {} {}", node.major, node.minor) };
            let made = format!("mknod -m {:o} {path} {}{numbers}", node.mode, node.kind);
            let owner = (node.uid, node.gid) != (0, 0);
            let owned = owner.then(|| format!("chown {}:{} {path}", node.uid, node.gid));
            let parent =
                node.path.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| *parent != "/dev");
            let parent = parent.map(|parent| format!("mkdir -p {}", inside(parent)));
            return parent.into_iter().chain([made]).chain(owned).collect();
        }
        Step::Link { path, target } => format!("ln -s {target} {}", inside(path)),
        // A shell cannot make one and go on in it.
        Step::Terminal { .. } => return Vec::new(),
        Step::MakeCwd(path) => format!("mkdir -p {}", shell::inside(path)),
        Step::Mask(path) => {
            let path = shell::inside(path);
            format!(
                "if test -d {path}; then mount -t tmpfs none {path}; mount -o remount,bind,ro {path}; \
                 elif test -e {path}; then mount --bind /dev/null {path}; fi"
            )
        }
        Step::ReadonlyPath(path) => {
            let path = shell::inside(path);
            format!(
                "if test -e {path}; then mount --rbind {path} {path}; mount -o remount,bind,ro {path}; fi"
            )
        }
        Step::FinishReadonly { root } => {
            let new = shell::path(Path::new("/$NEW"));
            let all = state.by_hand.drain(..).chain(root.then_some(new));
            return all.map(|path| format!("mount -o remount,bind,ro {path}")).collect();
        }
        Step::Sysctl { key, value } => format!("sysctl -qw {key}={}", shell::word(value)),
        Step::OomScoreAdj(value) => format!("echo {value} >/proc/self/oom_score_adj"),
        Step::PivotRoot { .. } => {
            // The old root lies over the new one then, at the same place.
            return ["pivot_root \"$NEW\" \"$NEW\"", "umount -l /", "cd /"].map(str::to_owned).to_vec();
        }
        Step::Rlimit { name, soft, hard } => {
            let option = name.trim_start_matches("RLIMIT_").to_lowercase();
            let amount =
                |value: u64| if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() };
            format!("prlimit --pid $$ --{option}={}:{}", amount(*soft), amount(*hard))
        }
        Step::Bounding(keep) => format!("setpriv --bounding-set {} …", shell::capabilities(keep)),
        Step::User { uid, gid, groups, umask } => {
            let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
            let groups = match groups.is_empty() {
                true => "--clear-groups".to_owned(),
                false => format!("--groups {}", groups.join(",")),
            };
            let user = format!("setpriv --reuid {uid} --regid {gid} {groups} …");
            return vec![format!("umask {umask:04o}"), user];
        }
        Step::Capabilities { inheritable, ambient, .. } => format!(
            "setpriv --inh-caps {} --ambient-caps {} …",
            shell::capabilities(inheritable),
            shell::capabilities(ambient)
        ),
        Step::NoNewPrivileges => "setpriv --no-new-privs …".to_owned(),
        Step::Seccomp(_) => "# a filter for system calls: no shell can install one".to_owned(),
        Step::Cwd(path) => format!("cd {}", shell::path(path)),
        Step::Exec { args, env } => {
            let env: Vec<String> = env.iter().map(|variable| shell::word(variable)).collect();
            let words: Vec<String> = args.iter().map(|arg| shell::word(arg)).collect();
            format!("exec env -i {} {}", env.join(" "), words.join(" "))
        }
        Step::Oci(_) => return Vec::new(),
    }]
}

fn mount_rootfs_by_hand(rootfs: &Rootfs) -> Vec<String> {
    let lines = match rootfs {
        Rootfs::Directory(path) => {
            let path = shell::path(path);
            [format!("NEW={path}"), "mount --rbind \"$NEW\" \"$NEW\"".to_owned()]
        }
        Rootfs::Overlay { lower, layer } => {
            // overlayfs splits its options at : and ,
            let lower =
                lower.display().to_string().replace('\\', r"\\").replace(':', r"\:").replace(',', r"\,");
            let options = format!("lowerdir={lower},upperdir={0}/upper,workdir={0}/work", layer.display());
            let options = shell::path(Path::new(&options)).replace("=/$ROOT", "=$ROOT");
            let new = shell::path(&layer.join("merged"));
            [format!("NEW={new}"), format!("mount -t overlay -o {options} overlay \"$NEW\"")]
        }
    };
    lines.into_iter().chain(["mount --make-rprivate \"$NEW\"".to_owned()]).collect()
}

/// Moves the shell that does it: 0 is whoever writes.
pub fn enter_by_hand(cgroups: &[PathBuf]) -> String {
    let file = if cgroups.len() == 1 { "cgroup.procs" } else { "tasks" };
    let all: Vec<String> = cgroups.iter().map(|dir| shell::path(&dir.join(file))).collect();
    format!("for each in {}; do echo 0 >\"$each\"; done", all.join(" "))
}

/// What makes the directory of a hostPath that is to be there.
pub fn make_host_path(directory: &Path) -> Call {
    mkdir(directory, 0o755).when(MISSING)
}
