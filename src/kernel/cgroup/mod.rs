//! Control groups: cgroups(7), the kernel's `admin-guide/cgroup-v1` and `cgroup-v2`.
//!
//! A [`Cgroup`] is a path below the root of the [`Hierarchy`]: one directory on v2, one per controller on v1. Only the
//! controllers in use are touched: cpu, memory, pids and devices, on v1 also cpuacct (statistics) and freezer (pausing and
//! killing); any other when a limit asks for it ([`Cgroup::for_resources`]).
//!
//! Reading order: `hierarchy`, this file, `limits` (and at its side one file per rare limit), `devices`, `processes`,
//! `tree`; then what an OCI runtime needs besides: `place` (cgroupsPath), `update`, `metrics`, `oom`, `delegate`, and for
//! systemd `scope` and `systemd`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

mod delegate;
pub mod devices;
mod door;
mod hierarchy;
mod limits;
pub mod metrics;
mod oom;
mod place;
mod processes;
pub mod scope;
mod stats;
pub mod systemd;
mod tree;
pub mod update;

pub use devices::default_device_rules;
pub use door::Door;
pub use hierarchy::{Hierarchy, Version};
pub use limits::refuse_rare;
pub use metrics::Metrics;
pub use oom::{Oom, OomWatch};
pub use place::{Place, place};
pub use stats::Stats;

/// What becomes of a cgroup that is there already when it is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    /// It is made anew, so that nothing of its former life applies.
    Renew,
    /// It stays with its limits if nobody is in it.
    Take,
    /// It stays as it is, with whoever is in it.
    Join,
}

/// A control group, which need not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    hierarchy: Hierarchy,
    path: String,
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

    /// A cgroup inside of it, by its path from there.
    pub fn below(&self, path: &str) -> Result<Cgroup> {
        Cgroup::new(&self.hierarchy, &format!("{}/{path}", self.path))
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

    /// The cgroup that exists at this path, with all that it has: on v1 also the hierarchies of rare controllers in which
    /// there is a cgroup of this path.
    pub fn find(hierarchy: &Hierarchy, path: &str) -> Result<Cgroup> {
        Cgroup::new(&hierarchy.where_exists(path), path)
    }

    /// Makes the cgroup and its parents; parents may exist. A cgroup of this path that is left over is made anew, so that
    /// no limit, count or frozen state of its former life applies; one with processes in it is an error. When it fails,
    /// nothing is left that was not there.
    pub fn create(&self) -> Result<()> {
        self.make(Existing::Renew)
    }

    /// As [`Cgroup::create`], but a cgroup that somebody has prepared stays, with the limits that it has. One with processes
    /// in it is an error, and so is one that is frozen: runtime-spec "Control groups" allows both, since operations on one
    /// container would be felt by another.
    pub fn create_or_take(&self) -> Result<()> {
        self.make(Existing::Take)
    }

    /// Completes a cgroup that somebody else, such as systemd, has made for a process: passes the controllers in use down to
    /// it, makes the directories of v1 that it lacks, and moves the process to where it is not yet.
    pub fn adopt(&self, pid: i32) -> Result<()> {
        self.make(Existing::Join)?;
        for dir in self.paths() {
            if !tree::procs(&dir)?.contains(&pid) {
                tree::write(&dir, "cgroup.procs", &pid.to_string())?;
            }
        }
        Ok(())
    }

    fn make(&self, existing: Existing) -> Result<()> {
        const ATTEMPTS: usize = 10;
        for _ in 1..ATTEMPTS {
            match self.try_make(existing) {
                // Somebody else has just removed a parent that he found empty.
                Err(error) if tree::was_gone(&error) => {}
                result => return result,
            }
        }
        self.try_make(existing)
    }

    fn try_make(&self, existing: Existing) -> Result<()> {
        let mut made = Vec::new();
        for (root, controllers) in self.hierarchy.mounts() {
            if let Err(error) = self.make_below(root, controllers, existing, &mut made) {
                for dir in made.iter().rev() {
                    // A parent in which somebody else has meanwhile made a cgroup stays.
                    tree::remove_one(dir)?;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn make_below(
        &self,
        root: &Path,
        controllers: &[String],
        existing: Existing,
        made: &mut Vec<PathBuf>,
    ) -> Result<()> {
        let mut dir = root.to_owned();
        let mut parts = self.path.split('/').peekable();
        while let Some(part) = parts.next() {
            if self.is_v2() {
                // On the path down only, never in the leaf: a v2 cgroup has processes or passes controllers on, not both.
                enable_controllers(&dir, controllers)?;
            }
            dir.push(part);
            let is_leaf = parts.peek().is_none();
            let is_new = match fs::create_dir(&dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match existing {
                    _ if !is_leaf => false,
                    Existing::Renew => renew(&dir).map(|()| true)?,
                    Existing::Take => self.take(&dir).map(|()| false)?,
                    Existing::Join => false,
                },
                other => other.map(|()| true).with_context(|| format!("make cgroup {}", dir.display()))?,
            };
            if is_new {
                made.push(dir.clone());
            }
            if !self.is_v2() && controllers.iter().any(|one| one == "cpuset") {
                limits::inherit_cpuset(&dir)?;
            }
        }
        Ok(())
    }

    /// Fails when the cgroup that is there cannot be somebody's new home.
    fn take(&self, dir: &Path) -> Result<()> {
        let holders = processes::pids_in(&[dir.to_owned()])?;
        ensure!(
            holders.is_empty(),
            "cgroup {} exists and is in use by {}",
            dir.display(),
            processes::holders(&[dir.to_owned()])?
        );
        let has_freezer = self.dir("freezer") == dir;
        ensure!(!has_freezer || !self.is_frozen()?, "cgroup {} exists and is frozen", dir.display());
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

    /// Moves a process, with all its threads, into the cgroup.
    pub fn add(&self, pid: i32) -> Result<()> {
        self.paths().iter().try_for_each(|dir| tree::write(dir, "cgroup.procs", &pid.to_string()))
    }
}

/// Passes controllers on to the children of a v2 cgroup; asks first, because a write wakes the whole host.
fn enable_controllers(dir: &Path, controllers: &[String]) -> Result<()> {
    let enabled = tree::read(dir, "cgroup.subtree_control")?;
    let missing = controllers.iter().filter(|one| !enabled.split(' ').any(|it| it == *one));
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
