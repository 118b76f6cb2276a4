//! Paths inside a rootfs, resolved there and nowhere else: openat2(2) with `RESOLVE_IN_ROOT` starts every lookup, and
//! every symlink, at the rootfs. From the first descriptor on no path of the host is used (CVE-2021-30465 and its kin).

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat};

/// A directory that is `/` for every path given to it.
pub struct Root {
    directory: OwnedFd,
}

/// What must be there, or is made, at a mount target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// A directory.
    Directory,
    /// A regular file (for binds of files, sockets, devices).
    File,
}

impl Root {
    /// Opens the directory at a path of the host.
    pub fn open(path: &Path) -> Result<Root> {
        let directory =
            nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
                .with_context(|| format!("open rootfs {}", path.display()))?;
        Ok(Root { directory })
    }

    /// Takes a descriptor of a directory, or of a mount of one.
    pub fn from_fd(directory: OwnedFd) -> Root {
        Root { directory }
    }

    /// The directory itself.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Opens what is at `path`; `None` when nothing is there.
    pub fn find(&self, path: &Path) -> Result<Option<OwnedFd>> {
        match self.open_in(path, OFlag::O_PATH) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("open {} in rootfs", path.display())),
        }
    }

    fn open_in(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        loop {
            match openat2(&self.directory, path, how) {
                Err(Errno::EAGAIN) => {} // a rename raced with the lookup; openat2(2) says to try again
                other => return other,
            }
        }
    }

    /// Opens the mount target `path`, making it (and directories on the way, mode 0755) when it is not there.
    ///
    /// # Errors
    /// When something of another type is there.
    pub fn make(&self, path: &Path, leaf: Leaf) -> Result<OwnedFd> {
        if let Some(found) = self.find(path)? {
            let is_directory = kind(&fstat(&found).context("stat mount target")?) == SFlag::S_IFDIR;
            ensure!(
                is_directory == (leaf == Leaf::Directory),
                "target {} is {}",
                path.display(),
                match leaf {
                    Leaf::Directory => "not a directory",
                    Leaf::File => "a directory",
                }
            );
            return Ok(found);
        }
        let (parent, name) = split(path)?;
        let parent = self.make(&parent, Leaf::Directory)?;
        make_at(parent.as_fd(), &name, leaf).with_context(|| format!("make {} in rootfs", path.display()))
    }

    /// Refuses a rootfs in which `name` (a top directory such as `dev`) is anything but a directory or absent.
    ///
    /// A symlink there would make the runtime work on the place it points to (CVE-2026-41579, CVE-2023-28642).
    pub fn refuse_symlink(&self, name: &str) -> Result<()> {
        match openat(
            &self.directory,
            name,
            OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
            Mode::empty(),
        ) {
            Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("open /{name} in rootfs")),
            Ok(found) => match kind(&fstat(&found).context("stat")?) {
                SFlag::S_IFDIR => Ok(()),
                SFlag::S_IFLNK => {
                    bail!(
                        "/{name} must be mounted on ordinary directory, /{name} is a symlink (CVE-2026-41579)"
                    )
                }
                _ => bail!("/{name} must be mounted on ordinary directory"),
            },
        }
    }

    /// Opens an existing file inside for reading, bounded to regular files.
    pub fn read(&self, path: &Path) -> Result<Option<File>> {
        match self.open_in(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
            Ok(fd) => {
                ensure!(kind(&fstat(&fd)?) == SFlag::S_IFREG, "{} is not a regular file", path.display());
                Ok(Some(fd.into()))
            }
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("open {} in rootfs", path.display())),
        }
    }

    /// Makes the directory the root of this mount namespace and lets go of the old one: pivot_root(2), the form without
    /// a directory for the old root.
    pub fn pivot(&self) -> Result<()> {
        nix::unistd::fchdir(&self.directory).context("fchdir to rootfs")?;
        nix::unistd::pivot_root(".", ".").context("pivot_root")?;
        // The old root now lies over the new one at "."; detaching it leaves no way back.
        super::mount::detach_here()?;
        nix::unistd::chdir("/").context("chdir /")
    }

    /// chroot(2): the rest of the mount namespace stays, out of reach but for whoever may do the same again.
    pub fn chroot(&self) -> Result<()> {
        nix::unistd::fchdir(&self.directory).context("fchdir to rootfs")?;
        nix::unistd::chroot(".").context("chroot")?;
        nix::unistd::chdir("/").context("chdir /")
    }

    /// The same where the old root cannot be let go of, on the initial ramfs: mount(2) MS_MOVE and chroot(2). Without the old
    /// procfs and sysfs, which would give access to the host to whoever finds a way back.
    pub fn move_to_top(&self) -> Result<()> {
        nix::unistd::fchdir(&self.directory).context("fchdir to rootfs")?;
        super::mount::detach_kinds(&["proc", "sysfs"], &nix::unistd::getcwd().context("getcwd")?)?;
        super::mount::move_here_to_top()?;
        nix::unistd::chroot(".").context("chroot")?;
        nix::unistd::chdir("/").context("chdir /")
    }
}

/// Makes and opens `name` below `parent`, refusing to follow a symlink that somebody put there meanwhile.
pub fn make_at(parent: BorrowedFd, name: &str, leaf: Leaf) -> Result<OwnedFd> {
    match leaf {
        Leaf::Directory => match mkdirat(parent, name, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => Ok(openat(
                parent,
                name,
                OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
                Mode::empty(),
            )?),
            Err(error) => Err(error.into()),
        },
        Leaf::File => {
            let flags =
                OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            drop(openat(parent, name, flags, Mode::from_bits_truncate(0o644))?);
            Ok(openat(parent, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?)
        }
    }
}

/// Parent and last name of an absolute path inside a rootfs; `..` is not a name that can be made.
pub fn split(path: &Path) -> Result<(PathBuf, String)> {
    match path.components().next_back() {
        Some(Component::Normal(name)) => {
            let name = name.to_str().context("path is not UTF-8")?.to_owned();
            Ok((path.parent().unwrap_or(Path::new("/")).to_path_buf(), name))
        }
        _ => bail!("{} does not end in a name", path.display()),
    }
}

/// The file type bits of a stat result.
pub fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("barepod-root-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&path).ok(); // left over from a run that was killed
        std::fs::create_dir_all(path.join("rootfs")).unwrap();
        path
    }

    #[test]
    fn a_symlink_to_the_host_is_resolved_inside_the_rootfs() {
        let host = scratch("inside");
        std::fs::create_dir(host.join("canary")).unwrap();
        symlink(host.join("canary"), host.join("rootfs/mnt")).unwrap();
        let root = Root::open(&host.join("rootfs")).unwrap();
        // The link dangles inside, so nothing can be made at it, and nothing appears on the host.
        assert!(root.make(Path::new("/mnt/x"), Leaf::Directory).is_err());
        assert!(std::fs::read_dir(host.join("canary")).unwrap().next().is_none());
        std::fs::remove_dir_all(host).unwrap();
    }

    #[test]
    fn targets_are_made_with_the_directories_on_the_way() {
        let host = scratch("make");
        let root = Root::open(&host.join("rootfs")).unwrap();
        root.make(Path::new("/a/b/c"), Leaf::Directory).unwrap();
        root.make(Path::new("/a/b/file"), Leaf::File).unwrap();
        assert!(host.join("rootfs/a/b/c").is_dir());
        assert!(host.join("rootfs/a/b/file").is_file());
        let error = root.make(Path::new("/a/b/file"), Leaf::Directory).unwrap_err().to_string();
        assert!(error.contains("not a directory"), "{error}");
        std::fs::remove_dir_all(host).unwrap();
    }

    #[test]
    fn dot_dot_does_not_leave_the_rootfs() {
        let host = scratch("dotdot");
        let root = Root::open(&host.join("rootfs")).unwrap();
        root.make(Path::new("/../../made"), Leaf::Directory).unwrap();
        assert!(host.join("rootfs/made").is_dir());
        assert!(!host.join("made").exists());
        std::fs::remove_dir_all(host).unwrap();
    }

    #[test]
    fn a_symlinked_dev_is_refused_and_named() {
        let host = scratch("dev");
        symlink("/tmp", host.join("rootfs/dev")).unwrap();
        let root = Root::open(&host.join("rootfs")).unwrap();
        assert!(root.refuse_symlink("dev").unwrap_err().to_string().contains("/dev is a symlink"));
        assert!(root.refuse_symlink("proc").is_ok());
        std::fs::remove_dir_all(host).unwrap();
    }
}
