//! One kernel step of a container's start. Its `Display` is the imperative fragment that stands in error messages,
//! traces and documentation.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::container::Rootfs;
use super::mount::MountStep;
use super::oci::OciStep;

/// What a container's child process does, one after the other; the last one is `Exec`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Default dispositions, empty mask, umask 0, a session of its own.
    ResetProcess,
    /// cgroups(7): on v1 the child moves itself (on v2 it is born there).
    JoinCgroup,
    /// unshare(2) of the cgroup namespace, after the move, so that its root is the container's own cgroup.
    UnshareCgroup,
    /// setns(2).
    JoinNamespace {
        /// `net`, `ipc` …
        kind: String,
        /// Its `CLONE_NEW*` flag.
        flag: u64,
        /// `/proc/PID/ns/…`
        path: PathBuf,
    },
    /// sethostname(2).
    Hostname(String),
    /// setdomainname(2), through procfs.
    Domainname(String),
    /// open_tree(2) of every bind source, before anything of the rootfs is touched.
    TakeSources(Vec<(PathBuf, bool)>),
    /// mount(2): how mounts of the host propagate into this mount namespace.
    Propagation(String),
    /// The root filesystem, attached where pivot_root(2) will find it.
    MountRootfs(Rootfs),
    /// Refuse symlinks at `/dev`, `/proc`, `/sys`.
    CheckRootfs,
    /// One entry of `mounts`.
    Mount(MountStep),
    /// mknod(2).
    Device(crate::plan::container::DeviceNode),
    /// symlink(2) in `/dev`.
    Link {
        /// Where.
        path: String,
        /// To what.
        target: String,
    },
    /// pty(7), ioctl_tty(2): standard streams and `/dev/console`.
    Terminal {
        /// Its owner.
        uid: u32,
    },
    /// mkdir(2) of the working directory.
    MakeCwd(PathBuf),
    /// An empty read-only tmpfs, or the null device, over the path.
    Mask(PathBuf),
    /// A read-only bind of the path on itself.
    ReadonlyPath(PathBuf),
    /// mount_setattr(2) read-only on the mounts that had to be written to first.
    FinishReadonly {
        /// The root filesystem too.
        root: bool,
    },
    /// proc_sys(5).
    Sysctl {
        /// `net.ipv4.ip_forward`
        key: String,
        /// Value.
        value: String,
    },
    /// proc_pid_oom_score_adj(5).
    OomScoreAdj(i32),
    /// pivot_root(2), umount2(2) of the old root.
    PivotRoot {
        /// Propagation of the new root afterwards, when the spec asks for one.
        propagation: Option<String>,
    },
    /// setrlimit(2).
    Rlimit {
        /// `RLIMIT_NOFILE`
        name: String,
        /// Soft limit.
        soft: u64,
        /// Hard limit.
        hard: u64,
    },
    /// prctl(2) `PR_CAPBSET_DROP` of everything else.
    Bounding(BTreeSet<String>),
    /// setgroups(2), setresgid(2), setresuid(2), umask(2).
    User {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
        /// Supplementary groups.
        groups: Vec<u32>,
        /// File mode creation mask.
        umask: u32,
    },
    /// capset(2), prctl(2) `PR_CAP_AMBIENT`.
    Capabilities {
        /// Effective set.
        effective: BTreeSet<String>,
        /// Permitted set.
        permitted: BTreeSet<String>,
        /// Inheritable set.
        inheritable: BTreeSet<String>,
        /// Ambient set.
        ambient: BTreeSet<String>,
    },
    /// prctl(2) `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges,
    /// seccomp(2).
    Seccomp(super::seccomp::Program),
    /// chdir(2).
    Cwd(PathBuf),
    /// close_range(2) with CLOSE_RANGE_CLOEXEC, execve(2).
    Exec {
        /// Arguments; the first is looked up in `PATH`.
        args: Vec<String>,
        /// Environment, `KEY=value`.
        env: Vec<String>,
    },
    /// What no container of a pod has, somewhere in between.
    Oci(OciStep),
}

impl Step {
    /// Short names of the steps of a pod's containers, for fault injection and documentation, in the order in which they run.
    pub const NAMES: [&str; 29] = [
        "reset-process",
        "join-cgroup",
        "unshare-cgroup",
        "join-namespace",
        "hostname",
        "domainname",
        "take-sources",
        "propagation",
        "mount-rootfs",
        "check-rootfs",
        "mount",
        "device",
        "link",
        "terminal",
        "make-cwd",
        "mask",
        "readonly-path",
        "sysctl",
        "finish-readonly",
        "oom-score-adj",
        "pivot-root",
        "rlimit",
        "bounding",
        "user",
        "capabilities",
        "no-new-privileges",
        "cwd",
        "seccomp",
        "exec",
    ];

    /// The step's short name.
    pub fn name(&self) -> &'static str {
        match self {
            Step::ResetProcess => "reset-process",
            Step::JoinCgroup => "join-cgroup",
            Step::UnshareCgroup => "unshare-cgroup",
            Step::JoinNamespace { .. } => "join-namespace",
            Step::Hostname(_) => "hostname",
            Step::Domainname(_) => "domainname",
            Step::TakeSources(_) => "take-sources",
            Step::Propagation(_) => "propagation",
            Step::MountRootfs(_) => "mount-rootfs",
            Step::CheckRootfs => "check-rootfs",
            Step::Mount(_) => "mount",
            Step::Device(_) => "device",
            Step::Link { .. } => "link",
            Step::Terminal { .. } => "terminal",
            Step::MakeCwd(_) => "make-cwd",
            Step::Mask(_) => "mask",
            Step::ReadonlyPath(_) => "readonly-path",
            Step::FinishReadonly { .. } => "finish-readonly",
            Step::Sysctl { .. } => "sysctl",
            Step::OomScoreAdj(_) => "oom-score-adj",
            Step::PivotRoot { .. } => "pivot-root",
            Step::Rlimit { .. } => "rlimit",
            Step::Bounding(_) => "bounding",
            Step::User { .. } => "user",
            Step::Capabilities { .. } => "capabilities",
            Step::NoNewPrivileges => "no-new-privileges",
            Step::Seccomp(_) => "seccomp",
            Step::Cwd(_) => "cwd",
            Step::Exec { .. } => "exec",
            Step::Oci(step) => step.name(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Step::ResetProcess => write!(f, "reset signals and start a session"),
            Step::JoinCgroup => write!(f, "join the container's cgroup"),
            Step::UnshareCgroup => write!(f, "unshare the cgroup namespace"),
            Step::JoinNamespace { kind, path, .. } => write!(f, "join {kind} namespace {}", path.display()),
            Step::Hostname(name) => write!(f, "set hostname {name}"),
            Step::Domainname(name) => write!(f, "set domainname {name}"),
            Step::TakeSources(_) => write!(f, "open bind sources"),
            Step::Propagation(kind) => write!(f, "make / {kind}"),
            Step::MountRootfs(rootfs) => write!(f, "mount rootfs {rootfs}"),
            Step::CheckRootfs => write!(f, "check rootfs"),
            Step::Mount(mount) => write!(f, "mount {mount}"),
            Step::Device(device) => write!(f, "make device {}", device.path),
            Step::Link { path, target } => write!(f, "link {path} to {target}"),
            Step::Terminal { .. } => write!(f, "make a terminal"),
            Step::MakeCwd(path) => write!(f, "make working directory {}", path.display()),
            Step::Mask(path) => write!(f, "mask {}", path.display()),
            Step::ReadonlyPath(path) => write!(f, "make {} read-only", path.display()),
            Step::FinishReadonly { .. } => write!(f, "make mounts read-only"),
            Step::Sysctl { key, value } => write!(f, "set sysctl {key}={value}"),
            Step::OomScoreAdj(value) => write!(f, "set oom_score_adj {value}"),
            Step::PivotRoot { .. } => write!(f, "pivot_root"),
            Step::Rlimit { name, soft, hard } => write!(f, "set {name} to {soft}:{hard}"),
            Step::Bounding(_) => write!(f, "limit the bounding set"),
            Step::User { uid, gid, .. } => write!(f, "become user {uid}:{gid}"),
            Step::Capabilities { .. } => write!(f, "set capabilities"),
            Step::NoNewPrivileges => write!(f, "set no_new_privs"),
            Step::Seccomp(program) => {
                write!(f, "install a filter for system calls, {} instructions", program.instructions.len())
            }
            Step::Cwd(path) => write!(f, "change directory to {}", path.display()),
            Step::Exec { args, .. } => {
                write!(f, "execute {}", args.first().map_or("nothing", String::as_str))
            }
            Step::Oci(step) => step.fmt(f),
        }
    }
}
