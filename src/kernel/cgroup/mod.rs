//! Control groups: cgroups(7), the kernel's `admin-guide/cgroup-v1` and `cgroup-v2`.
//!
//! A [`Cgroup`] is a path below the root of the [`Hierarchy`]: one directory on v2, one per controller on v1. Only the
//! controllers in use are touched: cpu, memory, pids and devices, on v1 also cpuacct (statistics) and freezer (pausing and
//! killing). Reading order: `hierarchy`, this file, `limits`, `devices`, `processes`, `tree`.

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

pub mod devices;
mod hierarchy;
mod limits;
mod processes;
mod tree;

pub use devices::default_device_rules;
pub use hierarchy::{Hierarchy, Version};

/// A control group, which need not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    hierarchy: Hierarchy,
    path: String,
}

/// What a cgroup and the cgroups below it have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// CPU time in microseconds since the cgroup was made.
    pub cpu_usage_usec: u64,
    /// Memory charged now, page cache included, in bytes.
    pub memory_bytes: u64,
    /// Tasks (threads count) now.
    pub pids: u64,
    /// Processes that the kernel killed because a memory limit was hit.
    pub oom_kills: u64,
}

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
    /// A cgroup by its path below the hierarchy's root, such as `barepod/UID/pod/web.0`. The path is relative and its parts
    /// are names: neither empty, `.` or `..`, nor with a control character, nor longer than 255 bytes.
    pub fn new(hierarchy: &Hierarchy, path: &str) -> Result<Cgroup> {
        for part in path.split('/') {
            let named =
                !matches!(part, "" | "." | "..") && part.len() <= 255 && !part.contains(char::is_control);
            ensure!(named, "cgroup path {path:?} is not a relative path of plain names");
        }
        Ok(Cgroup { hierarchy: hierarchy.clone(), path: path.to_owned() })
    }

    /// The path below the hierarchy's root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether there is one directory that a process can be born into ([`Cgroup::open_dir`]).
    pub fn is_v2(&self) -> bool {
        self.hierarchy.version() == Version::V2
    }

    /// The cgroup's directories: one on v2, one per mounted hierarchy on v1.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.hierarchy.mounts().map(|(root, _)| root.join(&self.path)).collect()
    }

    /// The directory that has the files of a controller.
    fn dir(&self, controller: &str) -> PathBuf {
        self.hierarchy.root_of(controller).join(&self.path)
    }

    /// Makes the cgroup and its parents; parents may exist. A cgroup of this path that is left over is made anew, so that
    /// no limit, count or frozen state of its former life applies; one with processes in it is an error. When it fails,
    /// nothing is left that was not there.
    pub fn create(&self) -> Result<()> {
        self.make(false)
    }

    /// The same, but a cgroup of this path without processes is taken as it is, with its limits.
    pub fn create_or_take(&self) -> Result<()> {
        self.make(true)
    }

    fn make(&self, take: bool) -> Result<()> {
        const ATTEMPTS: usize = 10;
        for _ in 1..ATTEMPTS {
            match self.try_create(take) {
                // Somebody else has just removed a parent that he found empty.
                Err(error) if tree::was_gone(&error) => {}
                result => return result,
            }
        }
        self.try_create(take)
    }

    fn try_create(&self, take: bool) -> Result<()> {
        let mut made = Vec::new();
        for (root, _) in self.hierarchy.mounts() {
            if let Err(error) = self.create_below(root, take, &mut made) {
                for dir in made.iter().rev() {
                    // A parent in which somebody else has meanwhile made a cgroup stays.
                    tree::remove_one(dir)?;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn create_below(&self, root: &Path, take: bool, made: &mut Vec<PathBuf>) -> Result<()> {
        let mut dir = root.to_owned();
        let mut parts = self.path.split('/').peekable();
        while let Some(part) = parts.next() {
            if self.is_v2() {
                // On the path down only, never in the leaf: a v2 cgroup has processes or passes controllers on, not both.
                enable_controllers(&dir)?;
            }
            dir.push(part);
            let is_leaf = parts.peek().is_none();
            match fs::create_dir(&dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !is_leaf => continue,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && take => {
                    let holders = [dir.clone()];
                    let free = tree::procs(&dir)?.is_empty();
                    ensure!(free, "cgroup {} is in use by {}", dir.display(), processes::holders(&holders)?);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => renew(&dir)?,
                other => other.with_context(|| format!("make cgroup {}", dir.display()))?,
            }
            made.push(dir.clone());
        }
        Ok(())
    }

    /// Removes the parents of the cgroup that are empty, up to but without the cgroup `stop` (a path as in
    /// [`Cgroup::new`], or empty for the root). Parents in use stay.
    pub fn remove_empty_parents(&self, stop: &str) -> Result<()> {
        for (root, _) in self.hierarchy.mounts() {
            for parent in
                Path::new(&self.path).ancestors().skip(1).take_while(|parent| *parent != Path::new(stop))
            {
                if parent.as_os_str().is_empty() || !tree::remove_one(&root.join(parent))? {
                    break;
                }
            }
        }
        Ok(())
    }

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

    /// Moves a process, with all its threads, into the cgroup.
    pub fn add(&self, pid: i32) -> Result<()> {
        self.paths().iter().try_for_each(|dir| tree::write(dir, "cgroup.procs", &pid.to_string()))
    }

    /// The cgroup as a descriptor for clone3(2) with `CLONE_INTO_CGROUP`; v2 only.
    pub fn open_dir(&self) -> Result<OwnedFd> {
        ensure!(self.is_v2(), "cgroup {}: no process can be born into a v1 cgroup", self.path);
        let dir = self.dir("");
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(&dir);
        Ok(opened.with_context(|| format!("open cgroup {}", dir.display()))?.into())
    }

    /// How many processes the kernel killed here and below because a memory limit was hit.
    pub fn oom_kills(&self) -> Result<u64> {
        if self.is_v2() {
            let events = tree::read(&self.dir("memory"), "memory.events")?;
            return tree::keyed(&events, "oom_kill").context("find oom_kill in memory.events");
        }
        // v1 counts in the victim's own cgroup only.
        let mut sum = 0;
        for dir in tree::walk(&self.dir("memory"))? {
            let control = tree::read(&dir, "memory.oom_control")?;
            sum += tree::keyed(&control, "oom_kill").context("find oom_kill in memory.oom_control")?;
        }
        Ok(sum)
    }

    /// Reads the accounting.
    pub fn stats(&self) -> Result<Stats> {
        let number = |controller: &str, file: &str| -> Result<u64> {
            tree::read(&self.dir(controller), file)?.parse().with_context(|| format!("parse {file}"))
        };
        let (cpu_usage_usec, memory_file) = if self.is_v2() {
            let stat = tree::read(&self.dir("cpu"), "cpu.stat")?;
            (tree::keyed(&stat, "usage_usec").context("find usage_usec in cpu.stat")?, "memory.current")
        } else {
            (number("cpuacct", "cpuacct.usage")? / 1000, "memory.usage_in_bytes")
        };
        Ok(Stats {
            cpu_usage_usec,
            memory_bytes: number("memory", memory_file)?,
            pids: number("pids", "pids.current")?,
            oom_kills: self.oom_kills()?,
        })
    }
}

/// Passes the controllers in use on to the children of a v2 cgroup; asks first, because a write wakes the whole host.
fn enable_controllers(dir: &Path) -> Result<()> {
    let enabled = tree::read(dir, "cgroup.subtree_control")?;
    let missing = hierarchy::V2_CONTROLLERS.iter().filter(|one| !enabled.split(' ').any(|it| it == **one));
    let request: Vec<String> = missing.map(|one| format!("+{one}")).collect();
    if request.is_empty() {
        return Ok(());
    }
    tree::write(dir, "cgroup.subtree_control", &request.join(" "))
}

/// Makes a left-over cgroup anew.
fn renew(dir: &Path) -> Result<()> {
    if !tree::remove(dir)? {
        bail!("cgroup {} exists and is in use by {}", dir.display(), processes::holders(&[dir.to_owned()])?);
    }
    fs::create_dir(dir).with_context(|| format!("make cgroup {}", dir.display()))
}

/// Longest pause between two looks at a cgroup that cannot be polled.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);
