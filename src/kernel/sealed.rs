//! What enters a container must not be a file that a container could overwrite through `/proc/PID/exe` (CVE-2019-5736). So it
//! executes itself again, from one of two places:
//!
//! - a read-only mount of the binary that is in no mount namespace, so that nobody's calls take it: open_tree(2),
//!   mount_setattr(2). Nothing is copied, and all share the page cache.
//! - a sealed copy in memory, that is on no file system: memfd_create(2), fcntl(2) "File Sealing".

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::statvfs::{FsFlags, fstatvfs};

use super::mount;

const SEALS: SealFlag = SealFlag::F_SEAL_SEAL
    .union(SealFlag::F_SEAL_SHRINK)
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_WRITE);

/// True when this process runs from a sealed copy.
pub fn is_sealed() -> Result<bool> {
    let exe = File::open("/proc/self/exe").context("open /proc/self/exe")?;
    // EINVAL: an ordinary file, which knows no seals.
    Ok(fcntl(exe.as_fd(), FcntlArg::F_GET_SEALS)
        .is_ok_and(|seals| SealFlag::from_bits_retain(seals).contains(SEALS)))
}

/// Goes on as what nobody can overwrite, unless that is so already.
pub fn protect() -> Result<()> {
    if is_on_own_mount()? || is_sealed()? {
        return Ok(());
    }
    // What is in the way of the mount (a binary that was deleted, say) is none of the copy.
    let never = own_mount().map_or_else(|_| reexec_copy(), |binary| reexec(&binary))?;
    match never {}
}

fn is_on_own_mount() -> Result<bool> {
    let exe = File::open("/proc/self/exe").context("open /proc/self/exe")?;
    let read_only =
        fstatvfs(exe.as_fd()).context("fstatvfs /proc/self/exe")?.flags().contains(FsFlags::ST_RDONLY);
    // The file is the root of its mount, which is below no other.
    Ok(read_only && fs::read_link("/proc/self/exe").context("readlink /proc/self/exe")? == Path::new("/"))
}

fn own_mount() -> Result<File> {
    let detached = mount::clone_path(Path::new("/proc/self/exe"), false)?;
    mount::set_attributes(detached.as_fd(), false, libc::MOUNT_ATTR_RDONLY, 0)?;
    let binary = File::open(format!("/proc/self/fd/{}", detached.as_raw_fd())).context("open the binary")?;
    // With its descriptor goes the unnamed namespace in which the mount could still be changed.
    drop(detached);
    Ok(binary)
}

/// Copies the running binary into a sealed memfd and executes that, with the same arguments and environment.
pub fn reexec_copy() -> Result<Infallible> {
    let mut exe = File::open("/proc/self/exe").context("open /proc/self/exe")?;
    let mut copy: File = memfd_create(c"barepod", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)
        .context("make memfd for the binary")?
        .into();
    std::io::copy(&mut exe, &mut copy).context("copy the binary")?;
    fcntl(copy.as_fd(), FcntlArg::F_ADD_SEALS(SEALS)).context("seal the copy of the binary")?;
    reexec(&copy)
}

/// Executes the given open binary with this process's arguments and environment.
pub fn reexec(binary: &File) -> Result<Infallible> {
    let text = |s: std::ffi::OsString| CString::new(s.as_bytes()).context("pass arguments on");
    let args = std::env::args_os().map(text).collect::<Result<Vec<_>>>()?;
    let env = std::env::vars_os()
        .map(|(key, value)| text([key, value].join(std::ffi::OsStr::new("="))))
        .collect::<Result<Vec<_>>>()?;
    nix::unistd::execveat(binary.as_fd(), c"", &args, &env, nix::fcntl::AtFlags::AT_EMPTY_PATH)
        .context("execute the binary that nobody can overwrite")
}
