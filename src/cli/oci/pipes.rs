//! Pipes in the place of the caller's terminal, for a program that is to have none: who has a terminal open can type into it
//! (ioctl_tty(2), TIOCSTI), and the caller's shell would take that for the person's.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signalfd::SignalFd;

use crate::container::launch::{Stdio, stdio_of_this_process};
use crate::kernel::poll;

/// The ends of these pipes that are ours.
#[derive(Default)]
pub struct Relay {
    /// What the program reads from; `None` once that has ended.
    input: Option<File>,
    /// What has been typed and not yet passed on.
    typed: Vec<u8>,
    /// What the program prints to, and where that goes.
    outputs: Vec<(File, OwnedFd)>,
}

/// What is moved at once.
const PIECE: usize = 16 * 1024;
/// What is moved after the program's end: more than a pipe holds; who still prints then is not waited for.
const REST: usize = 128 * 1024;

/// This process's standard streams; unless they are to be passed on as they are, with a pipe in the place of each terminal.
pub fn streams(as_they_are: bool) -> Result<(Stdio, Relay)> {
    let mut stdio = stdio_of_this_process()?;
    let mut relay = Relay::default();
    if as_they_are {
        return Ok((stdio, relay));
    }
    if stdio.input.is_terminal() {
        let (reader, writer) = std::io::pipe().context("make input pipe")?;
        stdio.input = reader.into();
        relay.input = Some(ours(writer.into())?);
    }
    for stream in [&mut stdio.output, &mut stdio.error] {
        if stream.is_terminal() {
            let (reader, writer) = std::io::pipe().context("make output pipe")?;
            let terminal = std::mem::replace(stream, writer.into());
            relay.outputs.push((ours(reader.into())?, terminal));
        }
    }
    Ok((stdio, relay))
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
        loop {
            let has_ended = self.wait(ended, signals)?;
            while let Some(signal) =
                signals.map(SignalFd::read_signal).transpose().context("read signalfd")?.flatten()
            {
                pass_on(signal.ssi_signo as i32)?;
            }
            // A piece at a time, so that a program that never stops printing does not lock the keyboard out.
            let most = if has_ended { REST } else { PIECE };
            self.outputs.retain_mut(|(from, to)| show(from, to, most));
            if has_ended {
                return Ok(());
            }
            self.type_in();
        }
    }

    /// Waits for anything to happen; whether the program has ended.
    fn wait(&self, ended: BorrowedFd, signals: Option<&SignalFd>) -> Result<bool> {
        let mut all = vec![PollFd::new(ended, PollFlags::POLLIN)];
        all.extend(signals.map(|signals| PollFd::new(signals.as_fd(), PollFlags::POLLIN)));
        all.extend(self.outputs.iter().map(|(from, _)| PollFd::new(from.as_fd(), PollFlags::POLLIN)));
        let stdin = std::io::stdin();
        // What was typed is passed on before more is taken.
        all.extend(self.input.as_ref().map(|input| match self.typed.is_empty() {
            true => PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            false => PollFd::new(input.as_fd(), PollFlags::POLLOUT),
        }));
        poll::any(&mut all, PollTimeout::NONE)?;
        Ok(all[0].any() == Some(true))
    }

    /// Passes on what is typed, and the end of it.
    fn type_in(&mut self) {
        let Some(input) = &mut self.input else { return };
        let stdin = std::io::stdin();
        let is_due = || {
            let mut typing = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
            poll::any(&mut typing, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        };
        if self.typed.is_empty() && is_due() {
            let mut piece = [0; 4096];
            // A terminal that cannot be read has gone.
            let length = nix::unistd::read(&stdin, &mut piece).unwrap_or(0);
            if length == 0 {
                self.input = None;
                return;
            }
            self.typed.extend_from_slice(&piece[..length]);
        }
        if self.typed.is_empty() {
            return;
        }
        match input.write(&self.typed) {
            Ok(length) => drop(self.typed.drain(..length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.input = None, // nobody reads it any more
        }
    }
}

/// Shows what there is, at most so much; false when there will be no more, or nobody to see it.
fn show(from: &mut File, to: &OwnedFd, most: usize) -> bool {
    let mut piece = [0; PIECE];
    let mut shown = 0;
    while shown < most {
        let length = match from.read(&mut piece) {
            Ok(0) => return false,
            Ok(length) => length,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        shown += length;
        let mut rest = &piece[..length];
        while !rest.is_empty() {
            match nix::unistd::write(to, rest) {
                Ok(length) => rest = &rest[length..],
                Err(nix::Error::EINTR) => {}
                Err(_) => return false,
            }
        }
    }
    true
}
