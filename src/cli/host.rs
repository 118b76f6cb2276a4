//! `barepod check --host`: every kernel feature that barepod uses, found or not.

use std::fs;
use std::os::fd::AsFd;

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::kernel::cgroup::{Hierarchy, Version};
use crate::kernel::process::{self, Placement};
use crate::kernel::{capability, mount, sys};

/// A feature, what it is for, and how to find out.
struct Feature {
    name: &'static str,
    purpose: &'static str,
    found: Result<String>,
}

/// Runs the verb: 0 when everything is there, 125 when something needed is not.
pub fn main() -> Result<i32> {
    let features = look();
    for Feature { name, purpose, found } in &features {
        match found {
            Ok(detail) => super::print(&format!(
                "found    {name:<26} {purpose}{}{detail}",
                if detail.is_empty() { "" } else { ": " }
            ))?,
            Err(error) => super::print(&format!("missing  {name:<26} {purpose}: {error:#}"))?,
        }
    }
    let missing: Vec<_> =
        features.iter().filter(|feature| feature.found.is_err()).map(|feature| feature.name).collect();
    if missing.is_empty() {
        super::print("this machine can run pods")?;
        return Ok(0);
    }
    if !nix::unistd::geteuid().is_root() {
        super::print("some of this can only be found out as root: sudo barepod check --host")?;
    }
    super::print(&format!("this machine cannot run pods as it is; missing: {}", missing.join(", ")))?;
    Ok(super::FAILED)
}

fn look() -> Vec<Feature> {
    let feature = |name, purpose, found| Feature { name, purpose, found };
    let namespace = |flag: i32| namespaces(flag as u64).map(|()| String::new());
    vec![
        feature("root", "everything below", root()),
        feature("Linux 5.12", "mount_setattr(2), the newest call in use", kernel_version()),
        feature("clone3, pidfd", "processes that cannot be mistaken for others", namespace(0)),
        feature("PID namespace", "a pod dies as a whole", namespace(libc::CLONE_NEWPID)),
        feature("mount namespace", "volumes and rootfs of its own", namespace(libc::CLONE_NEWNS)),
        feature("network namespace", "containers share localhost", namespace(libc::CLONE_NEWNET)),
        feature("IPC namespace", "shared memory of the pod", namespace(libc::CLONE_NEWIPC)),
        feature("UTS namespace", "hostname of the pod", namespace(libc::CLONE_NEWUTS)),
        feature("cgroup namespace", "a container sees its own cgroup as /", namespace(libc::CLONE_NEWCGROUP)),
        feature("tmpfs (fsopen)", "volumes and writable layers", filesystem("tmpfs")),
        feature("overlay", "a writable layer over a shared bundle", known_filesystem("overlay")),
        feature("proc", "the container's own /proc", known_filesystem("proc")),
        feature("devpts", "terminals in containers", known_filesystem("devpts")),
        feature("mqueue", "POSIX message queues", known_filesystem("mqueue")),
        feature("cgroups", "limits, accounting, killing", cgroups()),
        feature("openat2", "paths resolved inside a rootfs", openat2()),
        feature(
            "open_tree",
            "a binary that containers cannot overwrite",
            crate::kernel::sealed::on_own_mount().map(|_| String::new()),
        ),
        feature(
            "capabilities",
            "what root in a container may do",
            capability::last().map(|last| format!("up to number {last}")),
        ),
    ]
}

fn root() -> Result<String> {
    super::need_root("running pods")?;
    Ok(String::new())
}

fn kernel_version() -> Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    anyhow::ensure!(version >= (5, 12), "this is Linux {release}");
    Ok(release)
}

/// Makes a process in new namespaces that ends at once.
fn namespaces(flags: u64) -> Result<()> {
    let child = process::spawn(&Placement { namespaces: flags, ..Placement::default() }, || 0)?;
    sys::pidfd_send_signal(child.pidfd.as_fd(), Signal::SIGKILL as i32)?;
    process::wait(&child, Some(std::time::Duration::from_secs(5)))?;
    Ok(())
}

fn filesystem(kind: &str) -> Result<String> {
    mount::new_filesystem(kind, &[], 0).map(|_detached| String::new())
}

/// Listed, or a module that the kernel loads when it is asked for.
fn known_filesystem(kind: &str) -> Result<String> {
    let listed = fs::read_to_string("/proc/filesystems")?;
    if listed.split_whitespace().any(|name| name == kind) {
        return Ok(String::new());
    }
    let kind = std::ffi::CString::new(kind)?;
    sys::fsopen(&kind).map(|_| "loaded now".to_owned()).map_err(Into::into)
}

fn cgroups() -> Result<String> {
    Ok(match Hierarchy::detect()?.version() {
        Version::V1 => "version 1".to_owned(),
        Version::V2 => "version 2".to_owned(),
    })
}

fn openat2() -> Result<String> {
    crate::kernel::root::Root::open(std::path::Path::new("/"))?.find(std::path::Path::new("/proc"))?;
    Ok(String::new())
}
