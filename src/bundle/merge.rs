//! The final OCI runtime spec of one container: the bundle's `config.json` with the manifest laid over it.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use anyhow::{Context, Result};
use oci_spec::runtime::{
    Linux, LinuxDevice, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxNamespace, LinuxNamespaceBuilder,
    LinuxNamespaceType, LinuxResources, LinuxSeccomp, Spec,
};

use super::accounts::Accounts;
use super::{check, filter, mounts, process};
use crate::manifest::{Container, Downward, PodSecurity, Resources, Seccomp};

/// What a container gets from its pod. Paths are those of the pod init's mount namespace.
#[derive(Debug, Clone, Default)]
pub struct MergeContext {
    /// Host name of the pod.
    pub hostname: String,
    /// Where each volume is that the container mounts.
    pub volumes: BTreeMap<String, PathBuf>,
    /// Where the part of a volume is that a mount with a `subPath` shows, by the mount's place in the list.
    pub sub_paths: BTreeMap<usize, PathBuf>,
    /// What the container can learn of its pod.
    pub downward: Downward,
    /// Directory of the pod's `hosts`, `hostname` and `resolv.conf`.
    pub etc: PathBuf,
    /// What `/dev/shm` shows: shared memory belongs to the IPC namespace, which the pod shares.
    pub shm: PathBuf,
    /// The instance's termination message file.
    pub termination_log: PathBuf,
    /// The instance's cgroup, from the root of the hierarchy.
    pub cgroup: String,
    /// The PID namespace that the pod's containers share, with `shareProcessNamespace`.
    pub pid_namespace: Option<PathBuf>,
    /// `spec.securityContext`.
    pub pod_security: PodSecurity,
    /// Who is who in the image.
    pub accounts: Accounts,
    /// What `ALL` capabilities are, without `CAP_`: those that barepod has itself. `None` = every one that there is.
    pub held: Option<Vec<String>>,
    /// The filter of a `localhostProfile`, if the container has one.
    pub local_filter: Option<LinuxSeccomp>,
    /// The device nodes of the host, which a privileged container has too.
    pub host_devices: Vec<LinuxDevice>,
}

/// Lays the container of the manifest over the bundle's spec. Fails if the two together make no container.
pub fn merge(base: &Spec, container: &Container, context: &MergeContext) -> Result<Spec> {
    check(base)?;
    let mut spec = base.clone();
    let mut linux = spec.linux().clone().context("linux is missing")?;

    // The program: what runs, as whom, with which rights.
    let process = process::merge(base.process().as_ref().context("process is missing")?, container, context)?;
    match container.security.seccomp.as_ref().or(context.pod_security.seccomp.as_ref()) {
        _ if container.security.privileged => linux.set_seccomp(None),
        Some(Seccomp::Unconfined) => linux.set_seccomp(None),
        Some(Seccomp::RuntimeDefault) => {
            linux.set_seccomp(Some(filter::runtime_default(&process::bounding(&process))?))
        }
        Some(Seccomp::Localhost(_)) => linux.set_seccomp(context.local_filter.clone()),
        // The bundle's own stays.
        None => &mut linux,
    };
    spec.set_process(Some(process));

    // The filesystem: the bundle's mounts, then the pod's, then the manifest's.
    let mut root = spec.root().clone().context("root is missing")?;
    if let Some(readonly) = container.security.read_only_root_filesystem {
        root.set_readonly(Some(readonly));
    }
    let mut all = mounts::merge(base, root.readonly() == Some(true), container, context)?;
    let security = &container.security;
    if security.privileged || security.unmasked_proc {
        linux.set_masked_paths(None).set_readonly_paths(None);
    }
    if security.privileged {
        all.iter_mut().for_each(mounts::make_kernels_writable);
        devices(&mut linux, &context.host_devices);
    }
    spec.set_mounts(Some(all));
    spec.set_root(Some(root));
    // Propagation is decided mount by mount; the bundle's wish for the whole tree would undo it.
    linux.set_rootfs_propagation(None);

    // The namespaces: a container has its own view of processes, mounts and cgroups. Network, IPC and host name are those
    // of the pod init, which it is born into.
    linux.set_namespaces(Some(namespaces(context)?));
    spec.set_hostname(None).set_domainname(None);

    // What it may use.
    limit(&mut linux, &container.resources)?;
    if security.privileged {
        let mut resources = linux.resources().clone().unwrap_or_else(none);
        resources.set_devices(Some(vec![every_device(true)?]));
        linux.set_resources(Some(resources));
    }
    linux.set_cgroups_path(Some(context.cgroup.clone().into()));

    spec.set_linux(Some(linux)).set_hooks(None);
    Ok(spec)
}

fn namespaces(context: &MergeContext) -> Result<Vec<LinuxNamespace>> {
    let new = |kind| LinuxNamespaceBuilder::default().typ(kind);
    let pid = match &context.pid_namespace {
        Some(path) => new(LinuxNamespaceType::Pid).path(path.clone()),
        None => new(LinuxNamespaceType::Pid),
    };
    [pid, new(LinuxNamespaceType::Mount), new(LinuxNamespaceType::Cgroup)]
        .into_iter()
        .map(|namespace| namespace.build().context("build namespace"))
        .collect()
}

/// The manifest's limits replace the bundle's, resource by resource; what it does not mention stays.
fn limit(linux: &mut Linux, wanted: &Resources) -> Result<()> {
    let ours = wanted.cgroup()?;
    let mut resources = linux.resources().clone().unwrap_or_else(none);
    let mentions_cpu = wanted.requests.cpu.is_some() || wanted.limits.cpu.is_some();
    if mentions_cpu || resources.cpu().is_none() {
        resources.set_cpu(ours.cpu().clone());
    }
    if ours.memory().is_some() {
        resources.set_memory(*ours.memory());
    }
    // A bundle without rules would leave every device of the host open to a container that can make nodes.
    if resources.devices().as_ref().is_none_or(Vec::is_empty) {
        resources.set_devices(Some(vec![every_device(false)?]));
    }
    linux.set_resources(Some(resources));
    Ok(())
}

/// Without any limit; the type's own default is one of the library's taste.
fn none() -> LinuxResources {
    let mut resources = LinuxResources::default();
    resources.set_devices(None).set_cpu(None).set_memory(None).set_pids(None);
    resources
}

fn every_device(allow: bool) -> Result<LinuxDeviceCgroup> {
    LinuxDeviceCgroupBuilder::default().allow(allow).access("rwm").build().context("build device rule")
}

/// The host's device nodes; where the bundle has one too, the bundle's.
fn devices(linux: &mut Linux, of_host: &[LinuxDevice]) {
    let own = linux.devices().clone().unwrap_or_default();
    let paths: HashSet<_> = own.iter().map(LinuxDevice::path).collect();
    let others = of_host.iter().filter(|device| !paths.contains(device.path())).cloned();
    let all = others.chain(own.iter().cloned()).collect();
    linux.set_devices(Some(all));
}
