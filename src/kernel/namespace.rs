//! Namespaces: namespaces(7), clone3(2), setns(2).

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

/// The namespaces that a process can be moved to by setns(2) with a pidfd.
pub const CONTAINER: CloneFlags = CloneFlags::CLONE_NEWNS
    .union(CloneFlags::CLONE_NEWPID)
    .union(CloneFlags::CLONE_NEWNET)
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWCGROUP);

/// The namespaces of a process to join from here, which may have `others` besides [`CONTAINER`]. One's own user namespace
/// cannot be joined, and one's own time namespace need not be.
pub fn to_join(pid: i32, others: u64) -> Result<CloneFlags> {
    let mut kinds = CONTAINER;
    for (flag, name) in [(libc::CLONE_NEWUSER, "user"), (libc::CLONE_NEWTIME, "time")] {
        let (kind, may_have) = (CloneFlags::from_bits_retain(flag), others & flag as u64 != 0);
        if may_have && inode(&format!("/proc/{pid}/ns/{name}"))? != inode(&format!("/proc/self/ns/{name}"))? {
            kinds |= kind;
        }
    }
    Ok(kinds)
}

/// Opens a namespace file such as `/proc/42/ns/net`.
pub fn open(path: &Path) -> Result<OwnedFd> {
    Ok(File::open(path).with_context(|| format!("open namespace {}", path.display()))?.into())
}

/// The inode number that names a namespace.
pub fn inode(path: &str) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("stat namespace {path}"))?.ino())
}

/// Joins the namespace at `path`, which must be of the kind that the `CLONE_NEW*` flag says.
pub fn join(path: &Path, flag: u64) -> Result<()> {
    let kind = CloneFlags::from_bits_retain(flag as i32);
    setns(open(path)?, kind).with_context(|| format!("setns {}", path.display()))
}

/// Joins all of `kinds` of the process behind the pidfd at once.
pub fn join_process(pidfd: impl AsFd, kinds: CloneFlags) -> Result<()> {
    setns(pidfd, kinds).context("setns to the container's namespaces")
}
