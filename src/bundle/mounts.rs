//! The mounts of a container: the bundle's, the pod's files, the manifest's volumes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use oci_spec::runtime::{Mount, MountBuilder, Spec};

use super::MergeContext;
use crate::manifest::{Container, Propagation, VolumeMount};

/// All mounts in the order in which they are made.
pub fn merge(
    base: &Spec,
    read_only_root: bool,
    container: &Container,
    context: &MergeContext,
) -> Result<Vec<Mount>> {
    let volumes: Vec<Mount> = container
        .mounts
        .iter()
        .enumerate()
        .map(|(at, mount)| volume(at, mount, context))
        .collect::<Result<_>>()?;
    let taken: HashSet<&Path> = volumes.iter().map(|mount| mount.destination().as_path()).collect();
    // A volume in the place of one of the pod's files wins, as with a kubelet.
    let mut ours: Vec<Mount> = of_pod(read_only_root, container, context)?
        .into_iter()
        .filter(|mount| !taken.contains(mount.destination().as_path()))
        .collect();
    ours.extend(volumes.iter().cloned());
    // Whatever lies inside of another mount comes after it, in whichever order the manifest has them.
    ours.sort_by_key(|mount| mount.destination().components().count());

    // What a bundle mounts at the same place would be hidden at once; below a volume on /dev, so would its parts of /dev.
    let replaced: HashSet<&Path> = ours.iter().map(|mount| mount.destination().as_path()).collect();
    let own_dev = taken.contains(Path::new("/dev"));
    let stays = |mount: &&Mount| {
        let target = mount.destination();
        !(replaced.contains(target.as_path()) || own_dev && target.starts_with("/dev"))
    };
    Ok(base.mounts().iter().flatten().filter(stays).cloned().chain(ours.iter().cloned()).collect())
}

fn volume(at: usize, mount: &VolumeMount, context: &MergeContext) -> Result<Mount> {
    let source = match &mount.sub_path {
        None => context.volumes.get(&mount.volume),
        Some(_) => context.sub_paths.get(&at),
    };
    let source = source.with_context(|| format!("find volume {}", mount.volume))?;
    let propagation = match mount.propagation {
        Propagation::None => "rprivate",
        Propagation::HostToContainer => "rslave",
        Propagation::Bidirectional => "rshared",
    };
    let access: &[&str] = match (mount.read_only, mount.recursive_read_only) {
        (false, _) => &["rw"],
        (true, false) => &["ro"],
        (true, true) => &["ro", "rro"],
    };
    bind(source.clone(), &mount.path, &[&["rbind", propagation], access].concat())
}

/// `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`, `/dev/shm` and the termination message file.
fn of_pod(read_only_root: bool, container: &Container, context: &MergeContext) -> Result<Vec<Mount>> {
    let access = if read_only_root { "ro" } else { "rw" };
    let mut mounts = Vec::new();
    for name in ["hosts", "hostname", "resolv.conf"] {
        mounts.push(bind(context.etc.join(name), &format!("/etc/{name}"), &["rbind", "rprivate", access])?);
    }
    mounts.push(bind(
        context.shm.clone(),
        "/dev/shm",
        &["rbind", "rprivate", "rw", "nosuid", "nodev", "noexec"],
    )?);
    mounts.push(bind(
        context.termination_log.clone(),
        &container.termination_message_path,
        &["rbind", "rprivate", "rw"],
    )?);
    Ok(mounts)
}

/// The kernel's own filesystems are writable for a privileged container.
pub fn make_kernels_writable(mount: &mut Mount) {
    if matches!(mount.typ().as_deref(), Some("sysfs" | "cgroup" | "cgroup2")) {
        let options = mount.options().iter().flatten().filter(|option| *option != "ro").cloned().collect();
        mount.set_options(Some(options));
    }
}

fn bind(source: PathBuf, target: &str, options: &[&str]) -> Result<Mount> {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    let mount = MountBuilder::default().destination(target).typ("bind").source(source).options(options);
    mount.build().with_context(|| format!("build mount on {target}"))
}
