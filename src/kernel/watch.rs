//! Waiting for files to change: inotify(7), beside whatever else one waits for.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::poll;

/// Watches directories for files written, made or moved.
pub struct Watch {
    inotify: Inotify,
}

impl Watch {
    /// Starts to watch.
    pub fn new(directories: &[&Path]) -> Result<Watch> {
        let inotify =
            Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).context("inotify_init")?;
        let watch = Watch { inotify };
        directories.iter().try_for_each(|directory| watch.add(directory))?;
        Ok(watch)
    }

    /// Watches one more directory; again is fine.
    pub fn add(&self, directory: &Path) -> Result<()> {
        let changes = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        self.inotify
            .add_watch(directory, changes)
            .with_context(|| format!("watch {}", directory.display()))?;
        Ok(())
    }

    /// Returns when something changed, one of `others` can be read, or the time is over.
    pub fn wait(&self, others: &[BorrowedFd], timeout: Duration) -> Result<()> {
        let mut descriptors = vec![PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
        descriptors.extend(others.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
        let millis =
            PollTimeout::try_from(timeout.as_millis().min(60_000) as i32).unwrap_or(PollTimeout::MAX);
        poll::any(&mut descriptors, millis)?;
        // What changed does not matter: the caller looks at everything it is interested in.
        while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
        Ok(())
    }
}
