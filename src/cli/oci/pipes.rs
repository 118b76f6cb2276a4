//! Pipes in the place of the caller's terminal, for a program that is to have none: who has a terminal open can type into it
//! (ioctl_tty(2), TIOCSTI), and the caller's shell would take that for the person's.
//!
//! ```text
//!   terminal ── input ──▶ pipe ──▶ program ──▶ pipe ── outputs ──▶ terminal
//! ```

use std::fs::File;
use std::io::{Error, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signalfd::SignalFd;

use crate::container::launch::{Stdio, stdio_of_this_process};
use crate::kernel::poll;

/// What is moved at once.
const PIECE: usize = 16 * 1024;
/// What is moved after the program's end: more than a pipe holds; who still prints then is not waited for.
const REST: usize = 128 * 1024;
/// How long, in milliseconds, a terminal may take nothing then: it may have been stopped, or nobody looks at it.
const PATIENCE: u16 = 2000;

/// What passes between the terminal and the pipes.
#[derive(Default)]
pub struct Relay {
    /// None once there is no more input, or nobody to read it.
    input: Option<Flow>,
    outputs: Vec<Flow>,
}

/// One direction. Neither end blocks: a terminal that takes nothing must hold up neither signals nor the end.
struct Flow {
    from: File,
    to: File,
    /// What was read and has not been taken yet.
    held: Vec<u8>,
}

/// This process's standard streams; unless they are to be passed on as they are, with a pipe in the place of each terminal.
pub fn streams(as_they_are: bool) -> Result<(Stdio, Relay)> {
    let mut stdio = stdio_of_this_process()?;
    let mut relay = Relay::default();
    if as_they_are {
        return Ok((stdio, relay));
    }
    if stdio.input.is_terminal() {
        let (reader, writer) = std::io::pipe().context("make input pipe")?;
        let terminal = std::mem::replace(&mut stdio.input, reader.into());
        relay.input = Some(Flow::new(again(&terminal)?, ours(writer.into())?));
    }
    for stream in [&mut stdio.output, &mut stdio.error] {
        if stream.is_terminal() {
            let (reader, writer) = std::io::pipe().context("make output pipe")?;
            let terminal = std::mem::replace(stream, writer.into());
            relay.outputs.push(Flow::new(ours(reader.into())?, again(&terminal)?));
        }
    }
    Ok((stdio, relay))
}

/// The terminal, opened once more: that it does not block would hold for all that share an open file, the shell among them.
fn again(terminal: &OwnedFd) -> Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let path = format!("/proc/self/fd/{}", terminal.as_raw_fd());
    let opened = File::options().read(true).write(true).custom_flags(flags.bits()).open(path);
    opened.context("open the terminal")
}

fn ours(end: OwnedFd) -> Result<File> {
    fcntl(&end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("make pipe non-blocking")?;
    Ok(end.into())
}

impl Relay {
    /// Passes bytes until `ended` can be read, and signals to `pass_on`.
    pub fn until(
        mut self,
        ended: BorrowedFd,
        signals: Option<&SignalFd>,
        pass_on: impl Fn(i32) -> Result<()>,
    ) -> Result<()> {
        while !self.wait(ended, signals)? {
            while let Some(signal) =
                signals.map(SignalFd::read_signal).transpose().context("read signalfd")?.flatten()
            {
                pass_on(signal.ssi_signo as i32)?;
            }
            self.outputs.retain_mut(|flow| flow.pass().is_some());
            if self.input.as_mut().is_some_and(|input| input.pass().is_none()) {
                self.input = None; // its pipe closes, which is the end of the program's input
            }
        }
        self.outputs.into_iter().try_for_each(Flow::finish)
    }

    /// Waits for anything to happen; whether the program has ended.
    fn wait(&self, ended: BorrowedFd, signals: Option<&SignalFd>) -> Result<bool> {
        let mut all = vec![PollFd::new(ended, PollFlags::POLLIN)];
        all.extend(signals.map(|signals| PollFd::new(signals.as_fd(), PollFlags::POLLIN)));
        all.extend(self.outputs.iter().chain(&self.input).map(Flow::next));
        poll::any(&mut all, PollTimeout::NONE)?;
        Ok(all[0].any() == Some(true))
    }
}

impl Flow {
    fn new(from: File, to: File) -> Flow {
        Flow { from, to, held: Vec::new() }
    }

    /// What it waits for: what was read is passed on before more is taken.
    fn next(&self) -> PollFd<'_> {
        match self.held.is_empty() {
            true => PollFd::new(self.from.as_fd(), PollFlags::POLLIN),
            false => PollFd::new(self.to.as_fd(), PollFlags::POLLOUT),
        }
    }

    /// Passes on a piece, no more, so that who never stops printing does not lock the others out; how many bytes were taken.
    /// `None`: there will be no more, or nobody to take it.
    fn pass(&mut self) -> Option<usize> {
        if self.held.is_empty() {
            let mut piece = [0; PIECE];
            match self.from.read(&mut piece) {
                Ok(0) => return None,
                Ok(length) => self.held.extend_from_slice(&piece[..length]),
                Err(error) => return is_for_later(&error).then_some(0),
            }
        }
        match self.to.write(&self.held) {
            Ok(length) => {
                self.held.drain(..length);
                Some(length)
            }
            Err(error) => is_for_later(&error).then_some(0),
        }
    }

    /// Passes on what the program has left behind. What is not there by now is not waited for, who takes it for a while.
    fn finish(mut self) -> Result<()> {
        let mut rest = REST;
        while rest > 0
            && self.is_due()?
            && let Some(length) = self.pass()
        {
            rest = rest.saturating_sub(length);
        }
        Ok(())
    }

    fn is_due(&self) -> Result<bool> {
        let patience = if self.held.is_empty() { 0 } else { PATIENCE };
        Ok(poll::any(&mut [self.next()], patience.into())? > 0)
    }
}

/// Nothing is there, or there is no room, at the moment.
fn is_for_later(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
