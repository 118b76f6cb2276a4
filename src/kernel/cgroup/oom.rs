//! Being told that a cgroup ran out of memory: on v2 `memory.events` reports by poll(2), on v1 `memory.oom_control` through
//! an eventfd(2) (admin-guide cgroup-v1/memory "OOM Control").

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{Cgroup, tree};
use crate::kernel::poll;

/// What a look at the watch found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oom {
    /// The kernel killed a process for want of memory, or on v1 stopped it; one or several since the last look.
    Happened,
    /// Nothing since the last look.
    Nothing,
    /// The cgroup does not exist any more.
    Gone,
}

/// Watches one cgroup; on v2 also those below.
#[derive(Debug)]
pub struct OomWatch {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    V1 { events: EventFd, control: File },
    V2 { events: File, seen: u64 },
}

impl Cgroup {
    /// Starts to watch: what happens from now on will be seen.
    pub fn watch_oom(&self) -> Result<OomWatch> {
        let dir = self.dir("memory");
        let file = if self.is_v2() { "memory.events" } else { "memory.oom_control" };
        let path = dir.join(file);
        let mut control = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        if self.is_v2() {
            let seen = kills(&mut control).with_context(|| format!("read {}", path.display()))?.unwrap_or(0);
            return Ok(OomWatch { kind: Kind::V2 { events: control, seen } });
        }
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let events = EventFd::from_value_and_flags(0, flags).context("make eventfd")?;
        let line = format!("{} {}", events.as_fd().as_raw_fd(), control.as_raw_fd());
        tree::write(&dir, "cgroup.event_control", &line)?;
        Ok(OomWatch { kind: Kind::V1 { events, control } })
    }
}

impl OomWatch {
    /// For poll(2), beside whatever else one waits for; then comes [`OomWatch::look`].
    pub fn poll_fd(&self) -> PollFd<'_> {
        let (fd, flags): (BorrowedFd, PollFlags) = match &self.kind {
            Kind::V1 { events, .. } => (events.as_fd(), PollFlags::POLLIN),
            Kind::V2 { events, .. } => (events.as_fd(), PollFlags::POLLPRI),
        };
        PollFd::new(fd, flags)
    }

    /// What happened since the last look; does not wait.
    pub fn look(&mut self) -> Result<Oom> {
        match &mut self.kind {
            Kind::V1 { events, control } => {
                let happened = events.read().is_ok();
                // The end of the cgroup is an event, too.
                Ok(match kills(control).context("read memory.oom_control")? {
                    None => Oom::Gone,
                    Some(_) if happened => Oom::Happened,
                    Some(_) => Oom::Nothing,
                })
            }
            Kind::V2 { events, seen } => Ok(match kills(events).context("read memory.events")? {
                None => Oom::Gone,
                Some(now) if now > *seen => {
                    *seen = now;
                    Oom::Happened
                }
                Some(_) => Oom::Nothing,
            }),
        }
    }

    /// Waits until something happened or the time is over.
    pub fn wait(&mut self, longest: Duration) -> Result<Oom> {
        let end = Instant::now() + longest;
        loop {
            let found = self.look()?;
            let left = end.saturating_duration_since(Instant::now());
            if found != Oom::Nothing || left.is_zero() {
                return Ok(found);
            }
            let timeout = PollTimeout::try_from(left.as_millis().max(1)).unwrap_or(PollTimeout::MAX);
            poll::any(&mut [self.poll_fd()], timeout).context("watch for want of memory")?;
        }
    }
}

/// The count of processes killed; `None` when the cgroup is gone.
fn kills(file: &mut File) -> Result<Option<u64>> {
    let mut text = String::new();
    match file.rewind().and_then(|()| file.read_to_string(&mut text)) {
        Ok(_) => Ok(Some(tree::keyed(&text, "oom_kill").unwrap_or(0))),
        Err(error) if tree::is_gone(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
