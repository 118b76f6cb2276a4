//! Waiting for several things at once: poll(2), and signals as something to read, signalfd(2).

use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Blocks these signals, so that none does what it does by default or is lost, and gives a descriptor to read them from.
pub fn signals(wanted: &[Signal]) -> Result<SignalFd> {
    let mask = SigSet::from_iter(wanted.iter().copied());
    mask.thread_block().context("block signals")?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).context("signalfd")
}

/// Waits until something is ready or the time is over; how many are ready. An interruption counts as time: the caller looks
/// at everything anyway, and comes back.
pub fn any(descriptors: &mut [PollFd], timeout: PollTimeout) -> Result<i32> {
    match poll(descriptors, timeout) {
        Ok(ready) => Ok(ready),
        Err(Errno::EINTR) => Ok(0),
        Err(error) => Err(error).context("poll"),
    }
}

/// The descriptors at which the last poll(2) found something: with hundreds open, looking at all costs more than what is found.
#[derive(Debug, Default)]
pub struct Ready(HashSet<RawFd>);

impl Ready {
    /// Those of a poll that has just returned.
    pub fn of(descriptors: &[PollFd]) -> Ready {
        let ready = descriptors.iter().filter(|one| one.any() != Some(false));
        Ready(ready.map(|one| one.as_fd().as_raw_fd()).collect())
    }

    /// Something was found there.
    pub fn has(&self, descriptor: impl AsFd) -> bool {
        self.0.contains(&descriptor.as_fd().as_raw_fd())
    }
}
