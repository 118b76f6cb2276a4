//! Ways into a cgroup, held open for a process that can no longer see the cgroup filesystem.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::Cgroup;

/// A way into a cgroup, held open ([`Cgroup::door`]).
#[derive(Debug)]
pub struct Door {
    files: Vec<fs::File>,
}

impl Door {
    /// The open files, for a process that closes all others.
    pub fn descriptors(&self) -> Vec<RawFd> {
        self.files.iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// Moves the calling process, which has one thread, into the cgroup.
    pub fn enter(&self) -> Result<()> {
        self.files
            .iter()
            .try_for_each(|mut file| io::Write::write_all(&mut file, b"0"))
            .context("join cgroup")
    }
}

impl Cgroup {
    /// Moves the calling process, which has one thread, into the cgroup.
    pub fn join_self(&self) -> Result<()> {
        self.door()?.enter()
    }

    /// Opens the cgroup for a process that will enter it later, when it can no longer see the cgroup filesystem. On v1
    /// through `tasks`, because the first write to `cgroup.procs` after a pause takes some 15 ms there (it waits for an RCU
    /// grace period).
    pub fn door(&self) -> Result<Door> {
        let file = if self.is_v2() { "cgroup.procs" } else { "tasks" };
        let open = |dir: PathBuf| {
            let path = dir.join(file);
            OpenOptions::new().write(true).open(&path).with_context(|| format!("open {}", path.display()))
        };
        Ok(Door { files: self.paths().into_iter().map(open).collect::<Result<_>>()? })
    }

    /// The cgroup as a descriptor for clone3(2) with `CLONE_INTO_CGROUP`; v2 only.
    pub fn open_dir(&self) -> Result<OwnedFd> {
        ensure!(self.is_v2(), "cgroup {}: no process can be born into a v1 cgroup", self.path);
        let dir = self.dir("");
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(&dir);
        Ok(opened.with_context(|| format!("open cgroup {}", dir.display()))?.into())
    }
}
