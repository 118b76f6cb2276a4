//! From an OCI runtime spec to the ordered steps of the container's child process.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use oci_spec::runtime::{
    Capability, LinuxCapabilities, LinuxDeviceType, LinuxNamespaceType, LinuxSeccomp, Process, Spec,
};
use serde::Serialize;

use super::mount::{self, MountStep, What};
use super::refuse::refuse;
use super::seccomp;
use super::step::Step;

/// Where the root filesystem comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Rootfs {
    /// The directory itself, as an OCI runtime does it.
    Directory(PathBuf),
    /// A writable layer of this container's own over a bundle that others use too.
    Overlay {
        /// The bundle's rootfs.
        lower: PathBuf,
        /// A directory with `upper`, `work` and `merged` in it, on the pod's tmpfs.
        layer: PathBuf,
    },
}

impl fmt::Display for Rootfs {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Rootfs::Directory(path) => write!(f, "{}", path.display()),
            Rootfs::Overlay { lower, .. } => write!(f, "overlay of {}", lower.display()),
        }
    }
}

/// A device node to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceNode {
    /// Absolute path inside the rootfs.
    pub path: String,
    /// `c`, `b` or `p`.
    pub kind: char,
    /// Major number.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// How a container is made: the flags of its clone3(2), the PID namespace it is born into, and its steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// `CLONE_NEW*` flags of the new process.
    pub namespaces: u64,
    /// A PID namespace can only be joined by being born into it.
    pub pid_namespace: Option<PathBuf>,
    /// What the child does, in order.
    pub steps: Vec<Step>,
}

/// Puts the steps of one container in order. `v2`: the host has one cgroup hierarchy. `bundle`: for relative sources.
pub fn plan(spec: &Spec, bundle: &Path, rootfs: Rootfs, v2: bool) -> Result<Plan> {
    refuse(spec)?;
    let process = spec.process().as_ref().context("process is missing")?;
    let linux = spec.linux().as_ref().context("linux is missing")?;
    let namespaces = Namespaces::read(spec, v2)?;
    let mounts: Vec<MountStep> =
        spec.mounts().iter().flatten().map(|mount| mount::read(mount, bundle)).collect::<Result<_>>()?;
    let own_cgroup_namespace =
        namespaces.flags & flag(LinuxNamespaceType::Cgroup) != 0 || namespaces.unshare_cgroup;
    ensure!(
        own_cgroup_namespace || !mounts.iter().any(|mount| mount.what == What::Cgroup),
        "mount of type cgroup needs a cgroup namespace of the container's own"
    );

    let mut steps = vec![Step::ResetProcess];
    // Cgroups first: everything after this is already accounted to the container, and the cgroup namespace takes its root
    // from where the process is when it is made.
    if !v2 {
        steps.push(Step::JoinCgroup);
    }
    if namespaces.unshare_cgroup {
        steps.push(Step::UnshareCgroup);
    }
    steps.extend(namespaces.joins);
    // UTS names and kernel parameters belong to the namespaces just made or joined.
    steps.extend(spec.hostname().clone().map(Step::Hostname));
    steps.extend(spec.domainname().clone().map(Step::Domainname));
    // Sources are taken while the host's tree is whole and before any path of this rootfs exists that a neighbour
    // could race with; after that, propagation is cut so that nothing mounted below shows on the host.
    steps.push(Step::TakeSources(sources(&mounts)));
    steps.push(Step::Propagation(incoming_propagation(linux.rootfs_propagation().as_deref()).to_owned()));
    steps.push(Step::MountRootfs(rootfs));
    steps.push(Step::CheckRootfs);
    let dev_is_ours =
        !mounts.iter().any(|m| m.target == Path::new("/dev") && matches!(m.what, What::Bind { .. }));
    steps.extend(mounts.into_iter().map(Step::Mount));
    if dev_is_ours {
        steps.extend(devices(spec));
    }
    // Once its devpts is there, and before /dev may become read-only: it is on /dev/console, too.
    if process.terminal() == Some(true) {
        steps.push(Step::Terminal { uid: process.user().uid() });
    }
    steps.push(Step::MakeCwd(process.cwd().clone()));
    // Hide and protect after everything is mounted, since a mask must lie on top.
    steps.extend(linux.masked_paths().iter().flatten().map(|path| Step::Mask(path.into())));
    steps.extend(linux.readonly_paths().iter().flatten().map(|path| Step::ReadonlyPath(path.into())));
    let mut sysctl: Vec<_> = linux.sysctl().iter().flatten().collect();
    sysctl.sort();
    steps.extend(
        sysctl.into_iter().map(|(key, value)| Step::Sysctl { key: key.clone(), value: value.clone() }),
    );
    steps.push(Step::FinishReadonly {
        root: spec.root().as_ref().is_some_and(|root| root.readonly() == Some(true)),
    });
    // From here on the host's files are out of reach; what is left concerns the process alone.
    let outgoing = linux.rootfs_propagation().clone();
    let pivot = Step::PivotRoot { propagation: outgoing };
    steps.extend(process_steps(process, linux.seccomp().as_ref(), Some(pivot))?);
    Ok(Plan { namespaces: namespaces.flags, pid_namespace: namespaces.pid, steps })
}

/// The filter for system calls that a spec asks for.
pub fn filter(spec: &Spec) -> Option<&LinuxSeccomp> {
    spec.linux().as_ref()?.seccomp().as_ref()
}

/// The steps of a further command in a container: its own process with other arguments, under the same filter. Inheritable
/// and ambient capabilities are for that process alone (CVE-2022-29162).
pub fn exec_steps(process: &Process, filter: Option<&LinuxSeccomp>, command: &[String]) -> Result<Vec<Step>> {
    let mut process = process.clone();
    process.set_args(Some(command.to_vec()));
    if let Some(mut sets) = process.capabilities().clone() {
        sets.set_inheritable(None).set_ambient(None);
        process.set_capabilities(Some(sets));
    }
    process_steps(&process, filter, None)
}

/// The part that concerns the process alone; the same for a container's first process and for `exec`.
fn process_steps(process: &Process, filter: Option<&LinuxSeccomp>, pivot: Option<Step>) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    // Before the pivot, because it is written through the host's procfs.
    steps.extend(process.oom_score_adj().map(Step::OomScoreAdj));
    steps.extend(pivot);
    for limit in process.rlimits().iter().flatten() {
        steps.push(Step::Rlimit { name: limit.typ().to_string(), soft: limit.soft(), hard: limit.hard() });
    }
    // No capabilities in the spec means none: what is not given is taken away.
    let set = |pick: fn(&LinuxCapabilities) -> &Option<HashSet<Capability>>| -> BTreeSet<String> {
        process
            .capabilities()
            .iter()
            .flat_map(|sets| pick(sets).iter().flatten())
            .map(capability_name)
            .collect()
    };
    let filter = filter.map(|filter| seccomp::compile(filter).map(Step::Seccomp)).transpose();
    let mut filter = filter.context("linux.seccomp")?;
    // A filter wants no_new_privs or CAP_SYS_ADMIN. It comes as late as it can, since it holds for all that comes after it.
    if process.no_new_privileges() != Some(true) {
        steps.extend(filter.take());
    }
    // The bounding set needs CAP_SETPCAP, so it comes before the user; the other sets come after, because changing the
    // user clears them; no_new_privs last, so that nothing after it has to gain a privilege.
    steps.push(Step::Bounding(set(LinuxCapabilities::bounding)));
    let user = process.user();
    steps.push(Step::User {
        uid: user.uid(),
        gid: user.gid(),
        groups: user.additional_gids().clone().unwrap_or_default(),
        umask: user.umask().unwrap_or(0o022),
    });
    steps.push(Step::Capabilities {
        effective: set(LinuxCapabilities::effective),
        permitted: set(LinuxCapabilities::permitted),
        inheritable: set(LinuxCapabilities::inheritable),
        ambient: set(LinuxCapabilities::ambient),
    });
    if process.no_new_privileges() == Some(true) {
        steps.push(Step::NoNewPrivileges);
    }
    steps.push(Step::Cwd(process.cwd().clone()));
    steps.extend(filter);
    steps.push(Step::Exec {
        args: process.args().clone().unwrap_or_default(),
        env: process.env().clone().unwrap_or_default(),
    });
    Ok(steps)
}

fn capability_name(capability: &Capability) -> String {
    let name = capability.to_string();
    if name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
}

/// Namespaces of a spec, by how they come about.
struct Namespaces {
    flags: u64,
    pid: Option<PathBuf>,
    joins: Vec<Step>,
    unshare_cgroup: bool,
}

impl Namespaces {
    fn read(spec: &Spec, v2: bool) -> Result<Namespaces> {
        let mut result = Namespaces { flags: 0, pid: None, joins: Vec::new(), unshare_cgroup: false };
        let linux = spec.linux().as_ref().context("linux is missing")?;
        let list: Vec<_> = linux.namespaces().iter().flatten().collect();
        ensure!(
            list.iter().any(|namespace| namespace.typ() == LinuxNamespaceType::Mount),
            "linux.namespaces: a mount namespace is required"
        );
        for (position, namespace) in list.iter().enumerate() {
            let kind = namespace.typ();
            ensure!(
                !list[..position].iter().any(|earlier| earlier.typ() == kind),
                "linux.namespaces: {kind} is there twice"
            );
            match namespace.path() {
                Some(path) if kind == LinuxNamespaceType::Pid => result.pid = Some(path.clone()),
                Some(path) => {
                    let step =
                        Step::JoinNamespace { kind: kind.to_string(), flag: flag(kind), path: path.clone() };
                    result.joins.push(step);
                }
                // On v1 a process is not born in its cgroups, so the namespace can only be made after it has moved.
                None if kind == LinuxNamespaceType::Cgroup && !v2 => result.unshare_cgroup = true,
                None => result.flags |= flag(kind),
            }
        }
        let hostname = spec.hostname().is_some() || spec.domainname().is_some();
        let uts = list.iter().any(|namespace| namespace.typ() == LinuxNamespaceType::Uts);
        ensure!(uts || !hostname, "hostname needs a uts namespace of the container's own");
        Ok(result)
    }
}

/// The `CLONE_NEW*` flag of a namespace type.
pub fn flag(kind: LinuxNamespaceType) -> u64 {
    (match kind {
        LinuxNamespaceType::Mount => libc::CLONE_NEWNS,
        LinuxNamespaceType::Cgroup => libc::CLONE_NEWCGROUP,
        LinuxNamespaceType::Uts => libc::CLONE_NEWUTS,
        LinuxNamespaceType::Ipc => libc::CLONE_NEWIPC,
        LinuxNamespaceType::User => libc::CLONE_NEWUSER,
        LinuxNamespaceType::Pid => libc::CLONE_NEWPID,
        LinuxNamespaceType::Network => libc::CLONE_NEWNET,
        LinuxNamespaceType::Time => libc::CLONE_NEWTIME,
    }) as u64
}

fn sources(mounts: &[MountStep]) -> Vec<(PathBuf, bool)> {
    mounts
        .iter()
        .filter_map(|mount| match &mount.what {
            What::Bind { source, recursive } => Some((source.clone(), *recursive)),
            _ => None,
        })
        .collect()
}

/// How mounts of the host may still arrive: as slaves, unless the spec wants them cut off altogether. Never shared, or
/// what is mounted for the container would appear on the host.
fn incoming_propagation(wanted: Option<&str>) -> &'static str {
    match wanted {
        Some("private" | "rprivate" | "unbindable" | "runbindable") => "rprivate",
        _ => "rslave",
    }
}

/// OCI runtime-spec, "Default Devices" and "Dev symbolic links", then the devices of the spec itself.
fn devices(spec: &Spec) -> Vec<Step> {
    let default = [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)];
    let node = |path: String, major, minor| DeviceNode {
        path,
        kind: 'c',
        major,
        minor,
        mode: 0o666,
        uid: 0,
        gid: 0,
    };
    let mut nodes: Vec<_> =
        default.iter().map(|(name, minor)| node(format!("/dev/{name}"), 1, *minor)).collect();
    nodes.push(node("/dev/tty".to_owned(), 5, 0));
    let given =
        spec.linux().iter().flat_map(|linux| linux.devices().iter().flatten()).map(|device| DeviceNode {
            path: device.path().display().to_string(),
            kind: match device.typ() {
                LinuxDeviceType::B => 'b',
                LinuxDeviceType::P => 'p',
                _ => 'c',
            },
            major: device.major() as u64,
            minor: device.minor() as u64,
            mode: device.file_mode().unwrap_or(0o666),
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
        });
    for device in given {
        nodes.retain(|default| default.path != device.path);
        nodes.push(device);
    }
    let links = [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/ptmx", "pts/ptmx"),
    ];
    let links = links.map(|(path, target)| Step::Link { path: path.to_owned(), target: target.to_owned() });
    nodes.into_iter().map(Step::Device).chain(links).collect()
}
