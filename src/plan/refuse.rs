//! Fields of the OCI runtime spec that are not done yet are refused by name: a container without them would not be the
//! container that was asked for.

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Spec};

/// Fails on the first field that would be ignored.
pub fn refuse(spec: &Spec) -> Result<()> {
    let process = spec.process().as_ref().context("process is missing")?;
    let linux = spec.linux().as_ref().context("linux is missing")?;
    ensure!(spec.root().is_some(), "root is missing");
    ensure!(process.args().as_ref().is_some_and(|args| !args.is_empty()), "process.args is empty");
    ensure!(process.cwd().is_absolute(), "process.cwd is not absolute");
    let refused = [
        ("windows", spec.windows().is_some()),
        ("solaris", spec.solaris().is_some()),
        ("vm", spec.vm().is_some()),
        ("zos", spec.zos().is_some()),
    ];
    name_the_first(&refused)?;
    for key in linux.sysctl().iter().flatten().map(|(key, _)| key) {
        sysctl(key, linux.namespaces().as_deref().unwrap_or_default())?;
    }
    Ok(())
}

/// Fails on the first field that a container of a pod cannot have: the pod decides about it, or nothing in a manifest would
/// tell of it.
pub fn refuse_in_pods(spec: &Spec) -> Result<()> {
    refuse(spec)?;
    let process = spec.process().as_ref().context("process is missing")?;
    let linux = spec.linux().as_ref().context("linux is missing")?;
    name_the_first(&[
        ("hooks", spec.hooks().is_some()),
        ("process.apparmorProfile", given(process.apparmor_profile())),
        ("process.selinuxLabel", given(process.selinux_label())),
        ("process.ioPriority", process.io_priority().is_some()),
        ("process.scheduler", process.scheduler().is_some()),
        ("process.execCPUAffinity", process.exec_cpu_affinity().is_some()),
        ("linux.uidMappings", linux.uid_mappings().as_ref().is_some_and(|maps| !maps.is_empty())),
        ("linux.gidMappings", linux.gid_mappings().as_ref().is_some_and(|maps| !maps.is_empty())),
        ("SCMP_ACT_NOTIFY", linux.seccomp().as_ref().is_some_and(super::seccomp::notifies)),
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        ("linux.mountLabel", given(linux.mount_label())),
        ("linux.memoryPolicy", linux.memory_policy().is_some()),
        ("linux.netDevices", linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())),
        ("linux.personality", linux.personality().is_some()),
        ("linux.timeOffsets", linux.time_offsets().as_ref().is_some_and(|offsets| !offsets.is_empty())),
    ])?;
    for mount in spec.mounts().iter().flatten() {
        let by_option =
            mount.options().iter().flatten().any(|option| option == "idmap" || option == "ridmap");
        let mapped = by_option || mount.uid_mappings().is_some() || mount.gid_mappings().is_some();
        ensure!(
            !mapped,
            "mount on {}: id mappings are not supported in a pod",
            mount.destination().display()
        );
    }
    for namespace in linux.namespaces().iter().flatten() {
        if matches!(namespace.typ(), LinuxNamespaceType::User | LinuxNamespaceType::Time) {
            bail!("linux.namespaces: type {} is not supported in a pod", namespace.typ());
        }
    }
    Ok(())
}

fn name_the_first(refused: &[(&str, bool)]) -> Result<()> {
    match refused.iter().find(|(_, present)| *present) {
        Some((field, _)) => bail!("{field} is not supported"),
        None => Ok(()),
    }
}

/// Kernel parameters of an IPC namespace, ipc_namespaces(7); those of `fs.mqueue` are, too.
pub const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Only parameters that belong to a namespace which the container has may be set: everything else is the host's.
fn sysctl(key: &str, namespaces: &[LinuxNamespace]) -> Result<()> {
    let of = match key {
        key if key.starts_with("net.") => Some(LinuxNamespaceType::Network),
        key if key.starts_with("fs.mqueue.") || IPC_SYSCTLS.contains(&key) => Some(LinuxNamespaceType::Ipc),
        _ => None,
    };
    let plain =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    ensure!(of.is_some() && key.split('.').all(plain), "linux.sysctl: {key} is not namespaced");
    ensure!(
        namespaces.iter().any(|namespace| Some(namespace.typ()) == of),
        "linux.sysctl: {key} belongs to a namespace that the container does not have"
    );
    Ok(())
}

fn given(field: &Option<String>) -> bool {
    field.as_ref().is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxNamespaceBuilder;

    #[test]
    fn only_sysctls_of_a_namespace_that_the_container_has_pass() {
        let namespace = |typ| LinuxNamespaceBuilder::default().typ(typ).build().unwrap();
        let both = [namespace(LinuxNamespaceType::Network), namespace(LinuxNamespaceType::Ipc)];
        for good in ["net.ipv4.ip_unprivileged_port_start", "kernel.shmmax", "fs.mqueue.msg_max"] {
            sysctl(good, &both).unwrap();
            assert!(sysctl(good, &[namespace(LinuxNamespaceType::Uts)]).is_err(), "{good} of the host");
        }
        let bad = [
            "kernel.core_pattern",
            "vm.swappiness",
            "net.",
            "net.x/../../kernel.core_pattern",
            "net.ipv4.a+b",
            "kernel.hostname",
            "",
        ];
        for bad in bad {
            assert!(sysctl(bad, &both).is_err(), "{bad}");
        }
    }
}
