//! The processes of a cgroup: who they are, stopping and ending them, and removing the cgroup after them.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};

use super::{Cgroup, LONGEST_PAUSE, tree};
use crate::kernel::poll;

impl Cgroup {
    /// The processes in the cgroup and in every cgroup below it, in order, as numbers of the caller's PID namespace. Those
    /// outside of that namespace are missing on v1 and appear as one 0 on v2.
    pub fn pids(&self) -> Result<Vec<i32>> {
        pids_in(&self.paths())
    }

    /// Whether a process is left in the cgroup or below; false when the cgroup does not exist.
    pub fn populated(&self) -> Result<bool> {
        if !self.is_v2() {
            return Ok(!self.pids()?.is_empty());
        }
        match fs::read_to_string(self.dir("").join("cgroup.events")) {
            Ok(events) => Ok(tree::keyed(&events, "populated") == Some(1)),
            Err(error) if tree::is_gone(&error) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("read cgroup.events of {}", self.path)),
        }
    }

    /// Ends every process of the cgroup and below by SIGKILL and waits until it is empty, at most `deadline`. The error
    /// names who is left. Frozen cgroups are thawed, since on v1 the frozen cannot die. The caller must not be in it.
    pub fn kill(&self, deadline: Duration) -> Result<()> {
        let end = Instant::now() + deadline;
        let mut pause = Pause::default();
        while !self.kill_round()? {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("kill cgroup {}: {} left", self.path, holders(&self.paths())?);
            }
            if self.is_v2() { self.wait_for_event(left)? } else { pause.sleep(left) }
        }
        Ok(())
    }

    /// Sends SIGKILL to all that are in the cgroup or below; true when there was nobody left. Does not wait, but on v1 up to
    /// 20 ms for the freezer.
    pub fn kill_round(&self) -> Result<bool> {
        if !self.populated()? {
            return Ok(true);
        }
        if self.is_v2() {
            // The kernel signals all at once, so nobody can fork faster than we look; the frozen die too.
            match tree::write(&self.dir(""), "cgroup.kill", "1") {
                Ok(()) => return Ok(false),
                // Linux < 5.14 has no such file: then as on v1. A cgroup that is gone shows in the next round.
                Err(error) if tree::was_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let own = getpid().as_raw();
        ensure!(!self.pids()?.contains(&own), "kill cgroup {}: this process is in it", self.path);
        // Frozen, they cannot fork while the list is read, and no pid in it can become another process.
        self.request_freeze()?;
        self.wait_frozen(Duration::from_millis(20))?;
        let signalled = self.pids().and_then(|pids| {
            // 0 would be our own process group.
            pids.into_iter().filter(|pid| *pid > 0).try_for_each(|pid| {
                match kill(Pid::from_raw(pid), Signal::SIGKILL) {
                    Ok(()) | Err(Errno::ESRCH) => Ok(()),
                    Err(error) => Err(error).with_context(|| format!("kill {pid} in cgroup {}", self.path)),
                }
            })
        });
        // Thawed in any case: on v1 they die only now.
        self.thaw()?;
        signalled?;
        Ok(false)
    }

    /// Removes the cgroup and the empty ones below it if nobody is in it: an attempt is the quickest way to find out. False
    /// when somebody is.
    pub fn remove_if_empty(&self) -> Result<bool> {
        // The freezer last: it is needed to end those that are left.
        let freezer = self.dir("freezer");
        let others = self.paths().into_iter().filter(|dir| *dir != freezer);
        for dir in others.chain([freezer.clone()]) {
            if !tree::remove(&dir)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes the cgroup and the cgroups that were made below it, deepest first; one that is missing is fine. Tries again
    /// while it is busy, at most `deadline`; the error names who holds it.
    pub fn remove(&self, deadline: Duration) -> Result<()> {
        let end = Instant::now() + deadline;
        let mut pause = Pause::default();
        loop {
            let mut all = true;
            for dir in self.paths() {
                all &= tree::remove(&dir)?;
            }
            if all {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("remove cgroup {}: held by {}", self.path, holders(&self.paths())?);
            }
            pause.sleep(left);
        }
    }

    /// Stops every process of the cgroup and below, and waits until all have stopped; an error after 2 s, then thawed again.
    pub fn freeze(&self) -> Result<()> {
        // A process of v1 that waits for a child of its own, which was stopped before it could execute its program, stops
        // only when both have gone on for a moment.
        const ATTEMPTS: u32 = 10;
        for _ in 0..ATTEMPTS {
            self.request_freeze()?;
            if self.wait_frozen(Duration::from_secs(2) / ATTEMPTS)? {
                return Ok(());
            }
            self.thaw()?;
        }
        bail!("freeze cgroup {}: not all processes stopped within 2 s", self.path)
    }

    /// Lets the processes of the cgroup, and of the cgroups below that were frozen on their own, go on.
    pub fn thaw(&self) -> Result<()> {
        let (file, value) = if self.is_v2() { ("cgroup.freeze", "0") } else { ("freezer.state", "THAWED") };
        for dir in tree::walk(&self.dir("freezer"))? {
            match tree::write(&dir, file, value) {
                Err(error) if tree::was_gone(&error) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Whether every process of the cgroup and below is stopped, because the cgroup or one above it is frozen; false while
    /// that is still going on.
    pub fn is_frozen(&self) -> Result<bool> {
        Ok(if self.is_v2() {
            tree::keyed(&tree::read(&self.dir("freezer"), "cgroup.events")?, "frozen") == Some(1)
        } else {
            tree::read(&self.dir("freezer"), "freezer.state")? == "FROZEN"
        })
    }

    /// Sends a signal to every process of the cgroup and below. One that is made meanwhile may miss it.
    pub fn signal(&self, number: i32) -> Result<()> {
        let signal = Signal::try_from(number).context("read signal")?;
        self.pids()?.into_iter().filter(|pid| *pid > 0).try_for_each(|pid| {
            match kill(Pid::from_raw(pid), signal) {
                Ok(()) | Err(Errno::ESRCH) => Ok(()),
                Err(error) => Err(error).with_context(|| format!("signal {pid} in cgroup {}", self.path)),
            }
        })
    }

    fn request_freeze(&self) -> Result<()> {
        let (file, value) = if self.is_v2() { ("cgroup.freeze", "1") } else { ("freezer.state", "FROZEN") };
        tree::write(&self.dir("freezer"), file, value)
    }

    fn wait_frozen(&self, deadline: Duration) -> Result<bool> {
        let end = Instant::now() + deadline;
        let mut pause = Pause::default();
        loop {
            let frozen = self.is_frozen()?;
            let left = end.saturating_duration_since(Instant::now());
            if frozen || left.is_zero() {
                return Ok(frozen);
            }
            pause.sleep(left);
        }
    }

    /// Waits until the v2 cgroup is empty or gone, or the time is over.
    fn wait_for_event(&self, longest: Duration) -> Result<()> {
        let end = Instant::now() + longest;
        let path = self.dir("").join("cgroup.events");
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if tree::is_gone(&error) => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
        };
        loop {
            // poll(2) reports changes since the last read, so nothing is missed in between.
            let mut events = String::new();
            file.rewind()?;
            match file.read_to_string(&mut events) {
                Ok(_) => {}
                Err(error) if tree::is_gone(&error) => return Ok(()),
                Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
            }
            let left = end.saturating_duration_since(Instant::now());
            if tree::keyed(&events, "populated") != Some(1) || left.is_zero() {
                return Ok(());
            }
            let timeout = PollTimeout::try_from(left.as_millis().max(1)).unwrap_or(PollTimeout::MAX);
            poll::any(&mut [PollFd::new(file.as_fd(), PollFlags::POLLPRI)], timeout)
                .with_context(|| format!("watch {}", path.display()))?;
        }
    }
}

/// Grows from 0.1 ms, since most waits are short, to [`LONGEST_PAUSE`].
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Pause(Duration::from_micros(100))
    }
}

impl Pause {
    fn sleep(&mut self, at_most: Duration) {
        std::thread::sleep(self.0.min(at_most));
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

/// The processes in these cgroups and below, in order.
pub(super) fn pids_in(dirs: &[PathBuf]) -> Result<Vec<i32>> {
    let mut pids = Vec::new();
    // All hierarchies: on v1 a process can sit in some of them only.
    for top in dirs {
        for dir in tree::walk(top)? {
            pids.extend(tree::procs(&dir)?);
        }
    }
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// The processes in `dirs` in words, for an error message.
pub(super) fn holders(dirs: &[PathBuf]) -> Result<String> {
    const SHOWN: usize = 10;
    let pids = pids_in(dirs)?;
    if pids.iter().all(|pid| *pid == 0) {
        return Ok("a process outside of this PID namespace".to_owned());
    }
    let name = |pid: &i32| {
        let comm = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("comm"));
        format!("{pid} ({})", comm.as_deref().unwrap_or("?").trim_end())
    };
    let mut names: Vec<String> = pids.iter().filter(|pid| **pid > 0).take(SHOWN).map(name).collect();
    if pids.len() > SHOWN {
        names.push(format!("{} more", pids.len() - SHOWN));
    }
    Ok(names.join(", "))
}
