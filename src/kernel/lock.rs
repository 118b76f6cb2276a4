//! Open-file-description locks, fcntl_locking(2): the lock belongs to the open file, not to a process, so it passes to a
//! forked child and is released when the last copy of the descriptor is closed. Liveness of a pod is such a lock.
//!
//! No guard type here unlocks on drop: an explicit `F_UNLCK` would release the lock for every holder of the descriptor.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use super::sys;

/// Opens (and makes) the lock file and takes the lock; `None` when somebody else holds it.
///
/// The file may have been removed and made anew between opening and locking, so the path is compared by inode and the
/// work repeated until both are the same file.
pub fn acquire(path: &Path) -> Result<Option<File>> {
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .with_context(|| format!("open lock {}", path.display()))?;
        match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&sys::whole_file_lock(libc::F_WRLCK))) {
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("lock {}", path.display())),
            Ok(_) => {}
        }
        let ours = file.metadata().context("stat lock")?;
        if std::fs::metadata(path).is_ok_and(|now| (now.ino(), now.dev()) == (ours.ino(), ours.dev())) {
            return Ok(Some(file));
        }
    }
}

/// True when somebody holds the lock. Looking never takes it (`F_OFD_GETLK`); a missing file means nobody.
pub fn is_held(path: &Path) -> Result<bool> {
    let file = match OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("open lock {}", path.display())),
    };
    let mut lock = sys::whole_file_lock(libc::F_WRLCK);
    fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut lock))
        .with_context(|| format!("query lock {}", path.display()))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("barepod-lock-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_held_lock_is_seen_and_refused_until_the_last_copy_is_closed() {
        let path = path("held");
        let held = acquire(&path).unwrap().expect("free");
        let copy = held.try_clone().unwrap();
        assert!(is_held(&path).unwrap());
        assert!(acquire(&path).unwrap().is_none());
        drop(held);
        assert!(is_held(&path).unwrap(), "a copy still holds it");
        drop(copy);
        assert!(!is_held(&path).unwrap());
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn looking_at_a_missing_lock_makes_no_file() {
        let path = path("missing");
        assert!(!is_held(&path).unwrap());
        assert!(!path.exists());
    }
}
