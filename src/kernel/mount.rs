//! Mounts as objects: fsopen(2), fsmount(2), open_tree(2), mount_setattr(2), move_mount(2). A mount is made detached, gets
//! its attributes, and only then is attached at a place that is given by a descriptor: no path is looked up twice.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::fcntl::AT_FDCWD;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::sys::{self, FsConfig, MountAttr};

/// A detached mount of a new filesystem instance. Options without a value are flags.
pub fn new_filesystem(kind: &str, options: &[(String, Option<String>)], attributes: u64) -> Result<OwnedFd> {
    let context = sys::fsopen(&c(kind)?).with_context(|| format!("fsopen {kind}"))?;
    for (key, value) in options {
        let key_c = c(key)?;
        match value {
            Some(value) => sys::fsconfig(context.as_fd(), FsConfig::String(&key_c, &c(value)?))
                .with_context(|| format!("fsconfig {kind} {key}={value}"))?,
            None => sys::fsconfig(context.as_fd(), FsConfig::Flag(&key_c))
                .with_context(|| format!("fsconfig {kind} {key}"))?,
        }
    }
    sys::fsconfig(context.as_fd(), FsConfig::Create).with_context(|| format!("make {kind}"))?;
    sys::fsmount(context.as_fd(), attributes).with_context(|| format!("fsmount {kind}"))
}

/// A detached copy of what is mounted at a path of the host; the path's symlinks are followed, as mount(8) does.
pub fn clone_path(source: &Path, recursive: bool) -> Result<OwnedFd> {
    let path = CString::new(source.as_os_str().as_bytes()).context("source has a NUL byte")?;
    sys::open_tree_clone(AT_FDCWD, &path, recursive)
        .with_context(|| format!("open_tree {}", source.display()))
}

/// A detached copy of the mount that a descriptor refers to.
pub fn clone_fd(source: BorrowedFd, recursive: bool) -> Result<OwnedFd> {
    sys::open_tree_clone(source, c"", recursive).context("open_tree")
}

/// Sets and clears attributes (`MOUNT_ATTR_*`) of the mount behind a descriptor.
pub fn set_attributes(mount: BorrowedFd, recursive: bool, set: u64, clear: u64) -> Result<()> {
    let attr = MountAttr { set, clear, ..MountAttr::default() };
    sys::mount_setattr(mount, recursive, &attr).context("mount_setattr")
}

/// Changes the propagation of the mount behind a descriptor; `kind` as in OCI options: `rslave`, `shared` …
pub fn set_propagation(mount: BorrowedFd, kind: &str) -> Result<()> {
    let (flag, recursive) = propagation(kind)?;
    let attr = MountAttr { propagation: flag.bits(), ..MountAttr::default() };
    sys::mount_setattr(mount, recursive, &attr).with_context(|| format!("mount_setattr {kind}"))
}

fn propagation(kind: &str) -> Result<(MsFlags, bool)> {
    let (kind, recursive) = match kind.strip_prefix('r') {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    Ok((
        match kind {
            "shared" => MsFlags::MS_SHARED,
            "slave" => MsFlags::MS_SLAVE,
            "private" => MsFlags::MS_PRIVATE,
            "unbindable" => MsFlags::MS_UNBINDABLE,
            _ => bail!("unknown propagation {kind}"),
        },
        recursive,
    ))
}

/// Attaches a detached mount at the place behind a descriptor.
pub fn attach(mount: BorrowedFd, target: BorrowedFd) -> Result<()> {
    sys::move_mount(mount, target).context("move_mount")
}

/// Changes the propagation of every mount of this mount namespace (mount_namespaces(7)).
pub fn propagation_of_all(kind: &str) -> Result<()> {
    let (flag, _) = propagation(kind)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | flag, None::<&str>)
        .with_context(|| format!("make / {kind}"))
}

/// Detaches what is mounted at a path of this process's own mount namespace; nothing mounted there is fine.
pub fn detach(path: &Path) -> Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::Error::EINVAL) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("umount2 {} MNT_DETACH", path.display())),
    }
}

/// Detaches whatever is mounted at the current directory.
pub fn detach_here() -> Result<()> {
    umount2(".", MntFlags::MNT_DETACH).context("umount2 . MNT_DETACH")
}

fn c(text: &str) -> Result<CString> {
    CString::new(text).with_context(|| format!("{text:?} has a NUL byte"))
}

/// mount_setattr(2) MOUNT_ATTR_IDMAP: owners of the detached tree are shown as the user namespace maps them.
pub fn map_owners(mount: BorrowedFd, user_namespace: BorrowedFd, recursive: bool) -> Result<()> {
    const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
    let attr = sys::MountAttr {
        set: MOUNT_ATTR_IDMAP,
        userns_fd: user_namespace.as_raw_fd() as u64,
        ..sys::MountAttr::default()
    };
    sys::mount_setattr(mount, recursive, &attr).context("mount_setattr MOUNT_ATTR_IDMAP")
}

/// mount(2) MS_MOVE of the working directory, which is a mount, over the root.
pub fn move_here_to_top() -> Result<()> {
    let none: Option<&str> = None;
    nix::mount::mount(Some("."), "/", none, nix::mount::MsFlags::MS_MOVE, none)
        .context("move the rootfs to /")
}

/// Detaches all mounts of these kinds that are not below `but`.
pub fn detach_kinds(kinds: &[&str], but: &Path) -> Result<()> {
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
    // The last ones first: they lie on top.
    for line in mountinfo.lines().rev() {
        let Some((mount, filesystem)) = line.split_once(" - ") else { continue };
        let point = Path::new(mount.split(' ').nth(4).unwrap_or_default());
        if kinds.iter().any(|kind| filesystem.split(' ').next() == Some(kind)) && !point.starts_with(but) {
            detach(point)?;
        }
    }
    Ok(())
}
