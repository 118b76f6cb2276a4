//! `run --step` after the start: the pod init holds back an action until somebody says go. Meanwhile it goes on looking,
//! but hands nothing to the lifecycle, and the pod's clock stands: nobody's grace period burns while one looks around.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::start::{Message, Wait};
use super::supervisor::Supervisor;
use crate::kernel::process;
use crate::lifecycle::model::{Action, HookKind};

/// Where the supervisor can pause, as it is written in [`super::start::Watching::waits`].
pub const PAUSES: [&str; 4] =
    ["container.post-start", "container.pre-stop", "container.stop-signal", "sandbox.end"];

/// Whether the pod pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// It runs.
    No,
    /// Since then.
    Since(Instant),
    /// No longer: the first action of the agenda has had its pause.
    Over,
}

impl Supervisor {
    /// Begins a pause before this action, if one is wanted there and it has not had it.
    pub(super) fn pauses_before(&mut self, action: &Action) -> bool {
        if self.pause == Pause::Over {
            self.pause = Pause::No;
            return false;
        }
        let (instance, at) = match action {
            Action::RunHook(instance, HookKind::PostStart) => (Some(*instance), PAUSES[0]),
            Action::RunHook(instance, HookKind::PreStop) => (Some(*instance), PAUSES[1]),
            Action::Terminate(instance) => (Some(*instance), PAUSES[2]),
            Action::End(_) => (None, PAUSES[3]),
            _ => return false,
        };
        let watching = &self.sandbox.blueprint.watching;
        if watching.go.is_none() || !watching.waits.iter().any(|wait| wait == at) {
            return false;
        }
        let running = instance.and_then(|of| self.running.iter().find(|running| running.instance == of));
        let step = at.split_once('.').map_or(at, |(_, step)| step).to_owned();
        let wait = match running {
            Some(running) => Wait {
                container: Some(running.record.container.clone()),
                step,
                pid: running.record.process.pid,
            },
            // It has ended meanwhile: there is nothing to look at.
            None if instance.is_some() => return false,
            None => Wait { container: None, step, pid: process::own_host_pid().unwrap_or(0) },
        };
        self.pause = Pause::Since(Instant::now());
        self.tell(&Message::Waits(wait));
        true
    }

    /// What ends a pause.
    pub(super) fn go(&self) -> Option<BorrowedFd<'_>> {
        let pauses = matches!(self.pause, Pause::Since(_));
        self.sandbox.blueprint.watching.go.as_ref().filter(|_| pauses).map(AsFd::as_fd)
    }

    /// Ends the pause when somebody has said go.
    pub(super) fn hear_go(&mut self) -> Result<()> {
        let (Some(go), Pause::Since(since)) = (self.go(), self.pause) else { return Ok(()) };
        if !process::readable(go, Duration::ZERO)? {
            return Ok(());
        }
        // A byte ends this pause; the end of the pipe all that are to come.
        nix::unistd::read(go, &mut [0]).context("read the end of a pause")?;
        self.pause = Pause::Over;
        self.sandbox.blueprint.clock += since.elapsed();
        Ok(())
    }
}
