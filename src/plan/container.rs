//! From an OCI runtime spec to the ordered steps of the container's child process.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use oci_spec::runtime::{
    Capability, Linux, LinuxCapabilities, LinuxDeviceType, LinuxIdMapping, LinuxNamespaceType, LinuxSeccomp,
    Process, Spec,
};
use serde::Serialize;

use super::mount::{self, MountStep, What};
use super::oci::{self, OciStep, Wait};
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

/// user_namespaces(7), "User and group ID mappings": the lines of `uid_map` and `gid_map`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdMaps {
    /// `INSIDE OUTSIDE LENGTH` lines.
    pub users: String,
    /// The same for groups.
    pub groups: String,
}

impl IdMaps {
    /// The number outside of a user inside.
    pub fn user(&self, inside: u32) -> Option<u32> {
        outside(&self.users, inside)
    }

    /// The number outside of a group inside.
    pub fn group(&self, inside: u32) -> Option<u32> {
        outside(&self.groups, inside)
    }
}

fn outside(lines: &str, inside: u32) -> Option<u32> {
    lines.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u32>().ok());
        let (first, host, size) = (numbers.next()??, numbers.next()??, numbers.next()??);
        inside.checked_sub(first).filter(|offset| *offset < size)?.checked_add(host)
    })
}

/// How a container is made: the flags of its clone3(2), the PID namespace it is born into, and its steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// `CLONE_NEW*` flags of the new process.
    pub namespaces: u64,
    /// A PID namespace can only be joined by being born into it.
    pub pid_namespace: Option<PathBuf>,
    /// With a user namespace all others that are joined come first: `CLONE_NEW*` flag and path, in this order. Inside it the
    /// right to join what belongs to the host would be gone.
    pub join_first: Vec<(u64, PathBuf)>,
    /// A new time namespace, in which one can only be born, and its offsets: `CLOCK SECONDS NANOSECONDS` lines.
    pub time_offsets: Option<String>,
    /// What a new user namespace maps; empty without one.
    pub maps: IdMaps,
    /// What the child does, in order.
    pub steps: Vec<Step>,
}

/// Puts the steps of one container in order. `v2`: the host has one cgroup hierarchy. `bundle`: for relative sources.
pub fn plan(spec: &Spec, bundle: &Path, rootfs: Rootfs, v2: bool) -> Result<Plan> {
    refuse(spec)?;
    let process = spec.process().as_ref().context("process is missing")?;
    let linux = spec.linux().as_ref().context("linux is missing")?;
    let namespaces = Namespaces::read(spec, v2)?;
    let in_user_namespace = namespaces.user.is_some();
    let mut mounts: Vec<MountStep> =
        spec.mounts().iter().flatten().map(|mount| mount::read(mount, bundle)).collect::<Result<_>>()?;
    for mount in &mut mounts {
        map_as_container(mount, linux)?;
        // As if it were bound in the new root, of which all are slaves, unless that is shared.
        let root_is_shared = matches!(linux.rootfs_propagation().as_deref(), Some("shared" | "rshared"));
        let is_for_it_alone = mount.propagation.as_ref().is_some_and(|kind| !kind.starts_with('r'));
        mount.slaves_first = matches!(mount.what, What::Bind { .. }) && is_for_it_alone && !root_is_shared;
    }

    let dev_is_ours =
        !mounts.iter().any(|m| m.target == Path::new("/dev") && matches!(m.what, What::Bind { .. }));
    let (nodes, links) = devices(spec);
    let mut dev = Vec::new();
    if dev_is_ours && in_user_namespace {
        // Nobody makes device nodes in a user namespace: those of the host are bound.
        mounts.extend(nodes.iter().map(mount::device));
        dev.extend(links);
    } else if dev_is_ours {
        dev.extend(nodes.into_iter().map(Step::Device).chain(links));
    }

    let mut steps = Vec::new();
    // Until its maps are written a new user namespace has no users, and nothing in it may be done.
    if namespaces.user == Some(User::New) {
        steps.push(Step::Oci(OciStep::Wait(Wait::Maps)));
    }
    steps.push(Step::ResetProcess);
    // Cgroups first: everything after this is already accounted to the container, and the cgroup namespace takes its root
    // from where the process is when it is made.
    if !v2 {
        steps.push(Step::JoinCgroup);
    }
    if namespaces.unshare_cgroup {
        steps.push(Step::UnshareCgroup);
    }
    steps.extend(namespaces.joins);
    let mut process = process.clone();
    if in_user_namespace {
        // Its own file in procfs is out of reach for whom the host does not take for root.
        steps.extend(process.oom_score_adj().map(Step::OomScoreAdj));
        process.set_oom_score_adj(None);
    }
    // UTS names and kernel parameters belong to the namespaces just made or joined.
    if namespaces.has_names {
        steps.extend(spec.hostname().clone().filter(|name| !name.is_empty()).map(Step::Hostname));
        steps.extend(spec.domainname().clone().filter(|name| !name.is_empty()).map(Step::Domainname));
    }
    // Sources are taken while the host's tree is whole and before any path of this rootfs exists that a neighbour
    // could race with; after that, propagation is cut so that nothing mounted below shows on the host.
    steps.push(Step::TakeSources(sources(&mounts)));
    if namespaces.has_mounts {
        steps.push(Step::Propagation(incoming_propagation(linux.rootfs_propagation().as_deref()).to_owned()));
    }
    steps.push(Step::MountRootfs(rootfs));
    steps.push(Step::CheckRootfs);
    // Sources and rootfs may lie below directories that only the host's root can pass; but what is made is to be the
    // container's.
    if in_user_namespace {
        steps.push(Step::Oci(OciStep::BecomeRoot));
    }
    steps.extend(mounts.into_iter().map(Step::Mount));
    steps.extend(dev);
    // Once its devpts is there, and before /dev may become read-only: it is on /dev/console, too.
    if process.terminal() == Some(true) {
        steps.push(Step::Terminal { uid: process.user().uid() });
    }
    steps.push(Step::MakeCwd(process.cwd().clone()));
    // Hide and protect after everything is mounted, since a mask must lie on top.
    for path in linux.masked_paths().iter().flatten() {
        ensure!(path.starts_with('/'), "linux.maskedPaths: {path} is not absolute");
        steps.push(Step::Mask(path.into()));
    }
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
    let pivot = match namespaces.has_mounts {
        true => Step::PivotRoot { propagation: outgoing },
        false => Step::Oci(OciStep::Chroot),
    };
    steps.extend(steps_of_process(&process, linux.seccomp().as_ref(), Some(pivot))?);
    oci::add(&mut steps, spec, &process)?;
    let maps = if namespaces.user == Some(User::New) { maps_of_namespace(linux)? } else { IdMaps::default() };
    Ok(Plan {
        namespaces: namespaces.flags,
        pid_namespace: namespaces.pid,
        join_first: namespaces.join_first,
        time_offsets: namespaces.time,
        maps,
        steps,
    })
}

/// A mount whose owners are mapped without maps of its own has those of the container's user namespace.
fn map_as_container(mount: &mut MountStep, linux: &Linux) -> Result<()> {
    let Some(map) = mount.id_map.as_mut().filter(|map| map.maps.is_none()) else { return Ok(()) };
    let mut namespaces = linux.namespaces().iter().flatten();
    let user = namespaces.find(|namespace| namespace.typ() == LinuxNamespaceType::User);
    let user =
        user.with_context(|| format!("mount on {}: idmap without mappings", mount.target.display()))?;
    map.namespace = user.path().clone();
    map.maps = user.path().is_none().then(|| maps_of_namespace(linux)).transpose()?;
    Ok(())
}

/// The `CLONE_NEW*` flags of the namespaces that the container does not share with its runtime.
pub fn namespaces(spec: &Spec) -> u64 {
    let list = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    list.into_iter().flatten().fold(0, |flags, namespace| flags | flag(namespace.typ()))
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
    steps_of_process(&process, filter, None)
}

/// The steps of a further process in a container, as it is given.
pub fn process_steps(process: &Process, linux: Option<&Linux>) -> Result<Vec<Step>> {
    let filter = linux.and_then(|linux| linux.seccomp().as_ref());
    let mut steps = steps_of_process(process, filter, None)?;
    let at = oci::before_rights_end(&steps);
    let before = oci::label_steps(process).into_iter().chain(oci::scheduling(process, linux)?);
    steps.splice(at..at, before.chain(oci::console_size(process)?));
    Ok(steps)
}

/// The part that concerns the process alone; the same for a container's first process and for `exec`.
fn steps_of_process(
    process: &Process,
    filter: Option<&LinuxSeccomp>,
    pivot: Option<Step>,
) -> Result<Vec<Step>> {
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
    let filter_first = filter.is_some() && process.no_new_privileges() != Some(true);
    if filter_first {
        steps.push(Step::Cwd(process.cwd().clone()));
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
    if !filter_first {
        steps.push(Step::Cwd(process.cwd().clone()));
    }
    steps.extend(filter);
    steps.push(Step::Exec {
        args: process.args().clone().unwrap_or_default(),
        env: last_of_each(process.env().as_deref().unwrap_or_default()),
    });
    Ok(steps)
}

/// A variable that is there twice has its last value; most programs would take the first.
fn last_of_each(env: &[String]) -> Vec<String> {
    let name = |variable: &String| variable.split('=').next().unwrap_or_default().to_owned();
    let mut seen = HashSet::new();
    let mut last: Vec<String> =
        env.iter().rev().filter(|variable| seen.insert(name(variable))).cloned().collect();
    last.reverse();
    last
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
    user: Option<User>,
    has_mounts: bool,
    has_names: bool,
    join_first: Vec<(u64, PathBuf)>,
    time: Option<String>,
}

/// How a container comes by a user namespace of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum User {
    New,
    Joined,
}

impl Namespaces {
    fn read(spec: &Spec, v2: bool) -> Result<Namespaces> {
        let mut result = Namespaces {
            flags: 0,
            pid: None,
            joins: Vec::new(),
            unshare_cgroup: false,
            user: None,
            has_mounts: false,
            has_names: false,
            join_first: Vec::new(),
            time: None,
        };
        let linux = spec.linux().as_ref().context("linux is missing")?;
        let list: Vec<_> = linux.namespaces().iter().flatten().collect();
        result.has_mounts = list.iter().any(|namespace| namespace.typ() == LinuxNamespaceType::Mount);
        result.has_names = list.iter().any(|namespace| namespace.typ() == LinuxNamespaceType::Uts);
        let user = list.iter().find(|namespace| namespace.typ() == LinuxNamespaceType::User);
        result.user = user.map(|user| if user.path().is_some() { User::Joined } else { User::New });
        for (position, namespace) in list.iter().enumerate() {
            let kind = namespace.typ();
            ensure!(
                !list[..position].iter().any(|earlier| earlier.typ() == kind),
                "linux.namespaces: {kind} is there twice"
            );
            match namespace.path() {
                Some(path) => {
                    ensure!(path.is_absolute(), "linux.namespaces: path of {kind} is not absolute");
                    result.join(kind, path);
                }
                // On v1 a process is not born in its cgroups, so the namespace can only be made after it has moved.
                None if kind == LinuxNamespaceType::Cgroup && !v2 => result.unshare_cgroup = true,
                // Not among the flags: clone3(2) knows it since Linux 6.4 only, and it wants its offsets first.
                None if kind == LinuxNamespaceType::Time => result.time = Some(time_offsets(linux)?),
                None => result.flags |= flag(kind),
            }
        }
        // The user namespace last, because the right to join the others ends there.
        result.join_first.sort_by_key(|(flag, _)| *flag == libc::CLONE_NEWUSER as u64);
        ensure!(
            result.time.is_some() || linux.time_offsets().as_ref().is_none_or(|offsets| offsets.is_empty()),
            "linux.timeOffsets: there is no new time namespace"
        );
        let maps = |maps: &Option<Vec<LinuxIdMapping>>| maps.as_ref().is_some_and(|maps| !maps.is_empty());
        ensure!(
            result.user.is_some() || !(maps(linux.uid_mappings()) || maps(linux.gid_mappings())),
            "linux.uidMappings and linux.gidMappings: there is no user namespace"
        );
        // Its path leads to the others, too, as long as it is not the one they are looked up in.
        result.joins.sort_by_key(
            |step| matches!(step, Step::JoinNamespace { flag, .. } if *flag == libc::CLONE_NEWNS as u64),
        );
        Ok(result)
    }

    fn join(&mut self, kind: LinuxNamespaceType, path: &Path) {
        let path = path.to_owned();
        if self.user.is_some() {
            self.join_first.push((flag(kind), path));
        } else if kind == LinuxNamespaceType::Pid {
            self.pid = Some(path);
        } else {
            self.joins.push(Step::JoinNamespace { kind: kind.to_string(), flag: flag(kind), path });
        }
    }
}

/// time_namespaces(7), `/proc/PID/timens_offsets`.
fn time_offsets(linux: &Linux) -> Result<String> {
    let mut offsets = Vec::new();
    for (clock, offset) in linux.time_offsets().iter().flatten() {
        ensure!(
            matches!(clock.as_str(), "monotonic" | "boottime"),
            "linux.timeOffsets: {clock} is neither monotonic nor boottime"
        );
        offsets.push(format!("{clock} {} {}\n", offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0)));
    }
    offsets.sort();
    Ok(offsets.concat())
}

/// The maps of a new user namespace; root must be in them, since it makes the container.
fn maps_of_namespace(linux: &Linux) -> Result<IdMaps> {
    for (field, maps) in [("uidMappings", linux.uid_mappings()), ("gidMappings", linux.gid_mappings())] {
        let has_root = maps.iter().flatten().any(|map| map.container_id() == 0);
        ensure!(has_root, "linux.{field}: root is not mapped");
    }
    id_maps("linux", linux.uid_mappings(), linux.gid_mappings())
}

type Mappings = Option<Vec<LinuxIdMapping>>;

/// Two lists of mappings as the kernel reads them.
pub(super) fn id_maps(of: &str, users: &Mappings, groups: &Mappings) -> Result<IdMaps> {
    let lines = |field: &str, maps: &Mappings| -> Result<String> {
        let maps = maps.as_deref().unwrap_or_default();
        let line =
            |map: &LinuxIdMapping| format!("{} {} {}\n", map.container_id(), map.host_id(), map.size());
        ensure!(!maps.is_empty(), "{of}.{field} is empty");
        Ok(maps.iter().map(line).collect())
    };
    Ok(IdMaps { users: lines("uidMappings", users)?, groups: lines("gidMappings", groups)? })
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
            What::Bind { source, recursive } if mount.id_map.is_none() => Some((source.clone(), *recursive)),
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
fn devices(spec: &Spec) -> (Vec<DeviceNode>, [Step; 5]) {
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
    // Of several with one path the last counts.
    let mut seen = HashSet::new();
    nodes.extend(given);
    let mut nodes: Vec<_> = nodes.into_iter().rev().filter(|node| seen.insert(node.path.clone())).collect();
    nodes.reverse();
    let links = [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/ptmx", "pts/ptmx"),
    ];
    let links = links.map(|(path, target)| Step::Link { path: path.to_owned(), target: target.to_owned() });
    (nodes, links)
}
