//! A path below a directory that somebody else may write to, who must not lead us out of it: openat2(2) with
//! `RESOLVE_BENEATH`, step by step where something has to be made.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, fchmod, fstat, mkdirat};

/// Opens `path` (relative, without `..`) below `directory` as an `O_PATH` descriptor. Symbolic links are followed as long as
/// they stay below. What is not there is made, directory by directory, each with the mode of `directory` itself.
pub fn open_or_make(directory: BorrowedFd, path: &Path) -> Result<OwnedFd> {
    match open(directory, path, OFlag::O_PATH) {
        Ok(found) => return Ok(found),
        Err(Errno::ENOENT) => {}
        Err(error) => return Err(error).with_context(|| format!("open {} in the volume", path.display())),
    }
    let mode = Mode::from_bits_truncate(fstat(directory).context("stat volume")?.st_mode);
    let names: Vec<_> = path.components().collect();
    let (mut here, there) = longest(directory, &names)?;
    for name in &names[there..] {
        let name = Path::new(name.as_os_str());
        here = step(here.as_fd(), name, mode)
            .with_context(|| format!("make {} in the volume", name.display()))?;
    }
    Ok(here)
}

/// The longest part of a path that is there, and how many names it has. Of what follows nothing is there.
fn longest(directory: BorrowedFd, names: &[Component]) -> Result<(OwnedFd, usize)> {
    for length in (0..=names.len()).rev() {
        let part = Path::new(".").join(names[..length].iter().collect::<PathBuf>());
        match open(directory, &part, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Ok(found) => return Ok((found, length)),
            Err(Errno::ENOENT) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("open {} in the volume", part.display()));
            }
        }
    }
    bail!("the volume is gone")
}

/// The directory `name` in `parent`, made if need be. One that is there is not touched. A link is refused: it would have been
/// followed before if it led anywhere.
fn step(parent: BorrowedFd, name: &Path, mode: Mode) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    match open(parent, name, flags) {
        Ok(found) => return Ok(found),
        Err(Errno::ENOENT) => {}
        Err(error) => return Err(error.into()),
    }
    match mkdirat(parent, name, mode) {
        Ok(()) => {}
        Err(Errno::EEXIST) => return Ok(open(parent, name, flags)?), // somebody was faster
        Err(error) => return Err(error.into()),
    }
    let made = open(parent, name, flags)?;
    // mkdir(2) is subject to the umask, and drops the set-group-ID bit.
    fchmod(&made, mode).context("chmod")?;
    Ok(made)
}

fn open(directory: BorrowedFd, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    loop {
        match openat2(directory, path, how) {
            Err(Errno::EAGAIN) => {} // a rename raced with the lookup; openat2(2) says to try again
            other => return other,
        }
    }
}

/// Opens a directory, or whatever a hostPath is, at a path of this process.
pub fn open_volume(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let found =
        nix::fcntl::open(path, flags, Mode::empty()).with_context(|| format!("open {}", path.display()))?;
    ensure!(fstat(&found)?.st_mode & libc::S_IFMT == libc::S_IFDIR, "{} is not a directory", path.display());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("barepod-beneath-{}-{name}", std::process::id()));
        fs::remove_dir_all(&path).ok(); // left over from a run that was killed
        fs::create_dir_all(path.join("volume")).unwrap();
        path
    }

    fn make(place: &Path, path: &str) -> Result<OwnedFd> {
        open_or_make(open_volume(&place.join("volume")).unwrap().as_fd(), Path::new(path))
    }

    #[test]
    fn what_is_not_there_is_made_with_the_mode_of_the_volume() {
        let place = scratch("mode");
        fs::set_permissions(place.join("volume"), fs::Permissions::from_mode(0o2770)).unwrap();
        make(&place, "a/b").unwrap();
        for path in ["a", "a/b"] {
            let mode = fs::metadata(place.join("volume").join(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o2770, "{path}");
        }
        fs::remove_dir_all(place).unwrap();
    }

    #[test]
    fn links_are_followed_inside_and_never_out() {
        let place = scratch("links");
        fs::create_dir_all(place.join("volume/real")).unwrap();
        fs::create_dir(place.join("outside")).unwrap();
        symlink("real", place.join("volume/inside")).unwrap();
        symlink("../outside", place.join("volume/up")).unwrap();
        symlink(place.join("outside"), place.join("volume/absolute")).unwrap();
        symlink("nowhere", place.join("volume/dangling")).unwrap();
        make(&place, "inside").unwrap();
        make(&place, "inside/new/one").unwrap();
        assert!(place.join("volume/real/new/one").is_dir());
        for bad in ["up", "up/x", "absolute", "absolute/x", "dangling", "dangling/x", "../outside"] {
            assert!(make(&place, bad).is_err(), "{bad}");
        }
        assert_eq!(fs::read_dir(place.join("outside")).unwrap().count(), 0);
        assert!(!place.join("volume/nowhere").exists());
        fs::remove_dir_all(place).unwrap();
    }
}
