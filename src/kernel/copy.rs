//! Copies a directory tree between two directories given by descriptors (mount option `tmpcopyup`); links are copied as
//! links and never followed.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};

use super::root::kind;

/// Copies everything in `from` into `to`: directories, regular files, symlinks, with owner and mode. Other file types
/// are left out, as tmpcopyup of runc does.
pub fn directory(from: BorrowedFd, to: BorrowedFd) -> Result<()> {
    let open = |at: BorrowedFd, name: &std::ffi::CStr, flags| {
        openat(at, name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
    };
    let mut list =
        Dir::from_fd(open(from, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY)?).context("list directory")?;
    for entry in list.iter() {
        let entry = entry.context("list directory")?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_bits_truncate(stat.st_mode);
        match kind(&stat) {
            SFlag::S_IFDIR => {
                mkdirat(to, name, mode)?;
                let directories = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
                let (source, copy) = (open(from, name, directories)?, open(to, name, directories)?);
                fchmod(&copy, mode)?;
                directory(source.as_fd(), copy.as_fd())?;
            }
            SFlag::S_IFREG => {
                let mut source = File::from(open(from, name, OFlag::O_RDONLY)?);
                let flags =
                    OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let mut copy = File::from(openat(to, name, flags, mode)?);
                std::io::copy(&mut source, &mut copy).context("copy file")?;
                fchmod(&copy, mode)?;
            }
            SFlag::S_IFLNK => symlinkat(readlinkat(from, name)?.as_os_str(), to, name)?,
            _ => continue,
        }
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        fchownat(to, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}
