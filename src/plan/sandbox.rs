//! The steps of the sandbox: what the pod init does, in order, before it starts the first container.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::manifest::{Pod, Volume, VolumeMount, VolumeSource};

/// One step of the pod init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SandboxStep {
    /// A session of its own, `/dev/null` as standard streams, nothing of the caller's left open.
    Detach,
    /// cgroups(7), v1: move into the pod's cgroup for its own processes (on v2 it is born there).
    JoinCgroup,
    /// mount(2) `MS_REC|MS_SLAVE` on `/`.
    Propagation,
    /// proc_pid_oom_score_adj(5): containers die before the pod init.
    OomScoreAdj(i32),
    /// sethostname(2) in the pod's UTS namespace.
    Hostname(String),
    /// netdevice(7): `lo` up in the pod's network namespace.
    Loopback,
    /// proc_sys(5): a kernel parameter of the pod's namespaces.
    Sysctl {
        /// Its name, with dots.
        name: String,
        /// What is written.
        value: String,
    },
    /// A tmpfs for writable layers and generated files, in the pod's mount namespace only.
    Scratch {
        /// Size in bytes; half of RAM without.
        size: Option<u64>,
    },
    /// A tmpfs volume (`emptyDir`).
    Volume {
        /// Volume name.
        name: String,
        /// Size in bytes; half of RAM without.
        size: Option<u64>,
    },
    /// The tmpfs behind `/dev/shm` of every container: shared memory belongs to the shared IPC namespace.
    SharedMemory,
    /// `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`.
    EtcFiles,
    /// PID 1 of the process namespace that the containers share.
    Reaper,
    /// unix(7): the socket that `stop` and `kill` talk to.
    Control,
}

/// The facts of a manifest that shape the sandbox.
#[derive(Debug, Clone, Default)]
pub struct SandboxSpec {
    /// Host name of the pod.
    pub hostname: String,
    /// tmpfs volumes with their sizes in bytes.
    pub volumes: Vec<(String, Option<u64>)>,
    /// Memory limit of the pod in bytes, if it has one: writable layers cannot be larger.
    pub memory_limit: Option<u64>,
    /// `shareProcessNamespace`.
    pub share_process_namespace: bool,
    /// `hostNetwork`: the host's network and host name stay.
    pub host_network: bool,
    /// `sysctls` of the pod.
    pub sysctls: Vec<(String, String)>,
    /// `hostIPC`: the host's shared memory stays.
    pub host_ipc: bool,
    /// One cgroup hierarchy.
    pub v2: bool,
}

impl SandboxSpec {
    /// The facts of this pod. A tmpfs volume has its `sizeLimit`, at most the pod's memory limit.
    pub fn of(pod: &Pod, v2: bool) -> SandboxSpec {
        let limit = pod.memory_limit();
        let size = |size: Option<u64>| match (size, limit) {
            (Some(size), Some(limit)) => Some(size.min(limit)),
            (size, limit) => size.or(limit),
        };
        let volumes = pod.volumes.iter().filter_map(|volume| match &volume.source {
            VolumeSource::EmptyDir { size_limit, .. } => Some((volume.name.clone(), size(*size_limit))),
            // The files of a configMap and its kin lie on a tmpfs of their own, too.
            VolumeSource::Files(_) => Some((volume.name.clone(), limit)),
            VolumeSource::HostPath { .. } => None,
        });
        SandboxSpec {
            hostname: pod.hostname.clone(),
            volumes: volumes.collect(),
            memory_limit: limit,
            share_process_namespace: pod.share_process_namespace,
            host_network: pod.host_network,
            sysctls: pod.security.sysctls.clone(),
            host_ipc: pod.host_ipc,
            v2,
        }
    }
}

/// The directories in a volume of files at which other volumes are mounted, parents first, without those that are there because
/// of the files: a kubelet makes them too, since nobody can later, when the volume is read-only.
pub fn mount_points(pod: &Pod, volume: &Volume) -> Vec<String> {
    let VolumeSource::Files(files) = &volume.source else { return Vec::new() };
    let below = |path: &str, above: &str| Some(path.strip_prefix(above)?.strip_prefix('/')?.to_owned());
    let mut known: BTreeSet<String> = files.iter().flat_map(|file| prefixes(&file.path)).collect();
    let mut made = Vec::new();
    for container in &pod.containers {
        let mounts = &container.mounts;
        let here = mounts.iter().filter(|mount| mount.volume == volume.name && mount.sub_path.is_none());
        for outer in here {
            for inner in mounts {
                let is_between = |between: &&VolumeMount| {
                    below(&between.path, &outer.path).is_some() && below(&inner.path, &between.path).is_some()
                };
                if let Some(place) = below(&inner.path, &outer.path)
                    && !mounts.iter().any(|mount| is_between(&mount))
                {
                    made.extend(prefixes(&place).filter(|directory| known.insert(directory.clone())));
                }
            }
        }
    }
    made
}

/// `a`, `a/b`, `a/b/c`.
fn prefixes(path: &str) -> impl Iterator<Item = String> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    ends.map(|end| path[..end].to_owned())
}

/// The `CLONE_NEW*` flags of the pod init: the namespaces that make the sandbox. The host name goes with the network, as with
/// other runtimes.
pub fn namespaces(pod: &Pod) -> u64 {
    let network = if pod.host_network { 0 } else { libc::CLONE_NEWNET | libc::CLONE_NEWUTS };
    let ipc = if pod.host_ipc { 0 } else { libc::CLONE_NEWIPC };
    (libc::CLONE_NEWPID | libc::CLONE_NEWNS | network | ipc) as u64
}

/// The steps in order.
pub fn steps(spec: &SandboxSpec) -> Vec<SandboxStep> {
    // First let go of the caller, then be accounted for, then cut the mounts off; only then make anything.
    let mut steps = vec![SandboxStep::Detach];
    if !spec.v2 {
        steps.push(SandboxStep::JoinCgroup);
    }
    steps.extend([
        SandboxStep::Propagation,
        SandboxStep::OomScoreAdj(-998), // the value of the kubelet's own pause container
    ]);
    let sysctl =
        |name: &str, value: &str| SandboxStep::Sysctl { name: name.to_owned(), value: value.to_owned() };
    if !spec.host_network {
        steps.extend([
            SandboxStep::Hostname(spec.hostname.clone()),
            SandboxStep::Loopback,
            // ip(7): any user of the pod may bind ports below 1024.
            sysctl("net.ipv4.ip_unprivileged_port_start", "0"),
        ]);
    }
    // The manifest's own come after, so that they win.
    steps.extend(spec.sysctls.iter().map(|(name, value)| sysctl(name, value)));
    steps.push(SandboxStep::Scratch { size: spec.memory_limit });
    // Volumes lie on the scratch tmpfs, so they come after it; no container can start before its volumes exist.
    steps.extend(
        spec.volumes.iter().map(|(name, size)| SandboxStep::Volume { name: name.clone(), size: *size }),
    );
    if !spec.host_ipc {
        steps.push(SandboxStep::SharedMemory);
    }
    steps.push(SandboxStep::EtcFiles);
    if spec.share_process_namespace {
        steps.push(SandboxStep::Reaper);
    }
    // Last: whoever can connect finds a complete sandbox.
    steps.push(SandboxStep::Control);
    steps
}

impl SandboxStep {
    /// The short names of all steps, in the order in which they run.
    pub const NAMES: [&str; 13] = [
        "detach",
        "join-cgroup",
        "propagation",
        "oom-score-adj",
        "hostname",
        "loopback",
        "sysctl",
        "scratch",
        "volume",
        "shared-memory",
        "etc-files",
        "reaper",
        "control",
    ];

    /// Short name, for fault injection and documentation.
    pub fn name(&self) -> &'static str {
        match self {
            SandboxStep::Detach => "detach",
            SandboxStep::JoinCgroup => "join-cgroup",
            SandboxStep::Propagation => "propagation",
            SandboxStep::OomScoreAdj(_) => "oom-score-adj",
            SandboxStep::Hostname(_) => "hostname",
            SandboxStep::Loopback => "loopback",
            SandboxStep::Sysctl { .. } => "sysctl",
            SandboxStep::Scratch { .. } => "scratch",
            SandboxStep::Volume { .. } => "volume",
            SandboxStep::SharedMemory => "shared-memory",
            SandboxStep::EtcFiles => "etc-files",
            SandboxStep::Reaper => "reaper",
            SandboxStep::Control => "control",
        }
    }
}

impl fmt::Display for SandboxStep {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            SandboxStep::Detach => write!(f, "detach from the caller"),
            SandboxStep::JoinCgroup => write!(f, "join the pod init's cgroup"),
            SandboxStep::Propagation => write!(f, "make / rslave"),
            SandboxStep::OomScoreAdj(value) => write!(f, "set oom_score_adj {value}"),
            SandboxStep::Hostname(name) => write!(f, "set hostname {name}"),
            SandboxStep::Loopback => write!(f, "bring lo up"),
            SandboxStep::Sysctl { name, value } => write!(f, "set sysctl {name} {value}"),
            SandboxStep::Scratch { .. } => write!(f, "mount scratch tmpfs"),
            SandboxStep::Volume { name, .. } => write!(f, "mount tmpfs for volume {name}"),
            SandboxStep::SharedMemory => write!(f, "mount tmpfs for /dev/shm"),
            SandboxStep::EtcFiles => write!(f, "write /etc files"),
            SandboxStep::Reaper => write!(f, "make shared process namespace"),
            SandboxStep::Control => write!(f, "listen on the control socket"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(spec: &SandboxSpec) -> Vec<&'static str> {
        steps(spec).iter().map(SandboxStep::name).collect()
    }

    #[test]
    fn volumes_come_after_the_scratch_tmpfs_and_control_comes_last() {
        let spec = SandboxSpec {
            volumes: vec![("a".into(), None), ("b".into(), Some(1))],
            ..SandboxSpec::default()
        };
        let names = names(&spec);
        let at = |name| names.iter().position(|n| *n == name).unwrap();
        assert!(at("scratch") < at("volume"));
        assert_eq!(names.iter().filter(|n| **n == "volume").count(), 2);
        assert_eq!(names.last(), Some(&"control"));
        assert_eq!(names.first(), Some(&"detach"));
    }

    #[test]
    fn what_the_host_shares_is_left_alone() {
        let network = SandboxSpec { host_network: true, ..SandboxSpec::default() };
        for name in ["hostname", "loopback", "sysctl"] {
            assert!(!names(&network).contains(&name) && names(&SandboxSpec::default()).contains(&name));
        }
        let ipc = SandboxSpec { host_ipc: true, ..SandboxSpec::default() };
        assert!(!names(&ipc).contains(&"shared-memory") && names(&network).contains(&"shared-memory"));
    }

    #[test]
    fn only_v1_needs_to_join_and_only_a_shared_namespace_a_reaper() {
        let v2 = SandboxSpec { v2: true, share_process_namespace: true, ..SandboxSpec::default() };
        assert!(!names(&v2).contains(&"join-cgroup"));
        assert!(names(&v2).contains(&"reaper"));
        assert!(names(&SandboxSpec::default()).contains(&"join-cgroup"));
        assert!(!names(&SandboxSpec::default()).contains(&"reaper"));
    }
}
