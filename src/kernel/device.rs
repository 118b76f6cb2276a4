//! Device nodes and the links that programs expect in `/dev` (OCI runtime-spec, "Default Devices").

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat, major, makedev, minor, mknodat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};

use super::root::{Leaf, Root, kind, split};

/// A device node.
#[derive(Debug)]
pub struct Device {
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

/// Makes the node (the caller's umask is 0, so the mode is exact); a node of the same type and number that is there already is kept, anything else is an error.
pub fn make(root: &Root, device: &Device) -> Result<()> {
    let (parent, name) = split(Path::new(&device.path))?;
    let parent = root.make(&parent, Leaf::Directory)?;
    let file_type = match device.kind {
        'c' | 'u' => SFlag::S_IFCHR,
        'b' => SFlag::S_IFBLK,
        _ => SFlag::S_IFIFO,
    };
    let number = makedev(device.major, device.minor);
    match mknodat(&parent, name.as_str(), file_type, Mode::from_bits_truncate(device.mode), number) {
        Ok(()) => {}
        Err(Errno::EEXIST) => {
            let there = fstatat(&parent, name.as_str(), nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)?;
            ensure!(
                kind(&there) == file_type && (file_type == SFlag::S_IFIFO || there.st_rdev == number),
                "{} in rootfs is something else",
                device.path
            );
        }
        Err(error) => return Err(error).with_context(|| format!("mknod {}", device.path)),
    }
    let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
    let nofollow = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
    fchownat(&parent, name.as_str(), Some(uid), Some(gid), nofollow)
        .with_context(|| format!("chown {}", device.path))
}

/// Makes a symlink; one that is there already is kept.
pub fn link(root: &Root, path: &str, target: &str) -> Result<()> {
    let (parent, name) = split(Path::new(path))?;
    let parent = root.make(&parent, Leaf::Directory)?;
    match symlinkat(target, &parent, name.as_str()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("symlink {path} to {target}")),
    }
}

/// The host's `/dev/null`, checked to be one: what masks files must not be a thing that a container put there
/// (CVE-2025-31133).
pub fn host_null() -> Result<OwnedFd> {
    let null = openat(AT_FDCWD, "/dev/null", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
        .context("open /dev/null")?;
    let stat = nix::sys::stat::fstat(null.as_fd())?;
    ensure!(
        kind(&stat) == SFlag::S_IFCHR && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3),
        "/dev/null is not the null device"
    );
    Ok(null)
}
