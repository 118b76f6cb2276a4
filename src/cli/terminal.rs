//! The terminal of `exec -t`: bytes pass between the person's terminal and the container's until the command has ended.

use std::io::{IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;

use crate::kernel::terminal::Raw;
use crate::kernel::{poll, sys};

/// What is shown at once while the command runs.
const PIECE: usize = 16 * 1024;
/// What is shown after its end: more than a pseudoterminal holds; whoever still prints then is not waited for.
const REST: usize = 128 * 1024;

/// Signals that come to whoever holds a terminal: its size has changed, or it is to go away.
pub fn block_signals() -> Result<SignalFd> {
    poll::signals(&[Signal::SIGWINCH, Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT])
}

/// Like kubectl: a terminal is given only to who has one; who has none is told.
pub fn has_one(without: &str, interactive: bool) -> bool {
    let has = !interactive || std::io::stdin().is_terminal();
    if !has {
        super::say(&format!("barepod: {without}: standard input is not one"));
    }
    has
}

/// Passes bytes until `result` can be read: then the command has ended. `Some`: a signal ended it earlier, here.
pub fn relay(
    master: OwnedFd,
    result: BorrowedFd,
    signals: &SignalFd,
    interactive: bool,
) -> Result<Option<i32>> {
    let stdin = std::io::stdin();
    let raw = (interactive && stdin.is_terminal()).then(|| Raw::new(stdin.as_fd())).transpose()?;
    resize(master.as_fd());
    fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("make the terminal non-blocking")?;
    let mut master = std::fs::File::from(master);
    let mut typed = Vec::new();
    let mut reads_input = interactive;
    let ended = loop {
        let (has_ended, input, signal) = {
            let out =
                if typed.is_empty() { PollFlags::POLLIN } else { PollFlags::POLLIN | PollFlags::POLLOUT };
            let mut all = vec![
                PollFd::new(master.as_fd(), out),
                PollFd::new(result, PollFlags::POLLIN),
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            ];
            // What was typed is passed on before more is taken.
            if reads_input && typed.is_empty() {
                all.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
            }
            poll::any(&mut all, PollTimeout::NONE)?;
            let ready = |n: usize| all.get(n).is_some_and(|fd| fd.any() == Some(true));
            (ready(1), ready(3), ready(2))
        };
        if signal && let Some(number) = take_signal(signals, master.as_fd())? {
            break Some(number);
        }
        // A piece at a time, so that a command that never stops printing does not lock the keyboard out.
        show(&mut master, if has_ended { REST } else { PIECE })?;
        if has_ended {
            break None;
        }
        if input {
            let mut piece = [0; 1024];
            match nix::unistd::read(&stdin, &mut piece) {
                Ok(0) => reads_input = false,
                Ok(length) => typed.extend_from_slice(&piece[..length]),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(error) => return Err(error).context("read standard input"),
            }
            if !reads_input {
                typed.push(4); // end of transmission: what a terminal has for the end of the input
            }
        }
        match master.write(&typed) {
            Ok(length) => drop(typed.drain(..length)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => typed.clear(), // nobody is at the other end any more
        }
    };
    drop(raw);
    Ok(ended)
}

/// Shows what there is, at most so many bytes. An error means that nobody is at the other end any more; whether the command
/// has ended too, its result tells.
fn show(master: &mut std::fs::File, most: usize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let mut piece = [0; PIECE];
    let mut shown = 0;
    while shown < most
        && let Ok(length) = master.read(&mut piece)
        && length > 0
    {
        out.write_all(&piece[..length]).context("write output")?;
        shown += length;
    }
    out.flush().context("write output")
}

/// The number of a signal that ends us; a change of size is passed on.
fn take_signal(signals: &SignalFd, master: BorrowedFd) -> Result<Option<i32>> {
    while let Some(signal) = signals.read_signal().context("read signalfd")? {
        if signal.ssi_signo != Signal::SIGWINCH as u32 {
            return Ok(Some(signal.ssi_signo as i32));
        }
        resize(master);
    }
    Ok(None)
}

/// The container's terminal gets the size of ours; without one it keeps its own.
pub fn resize(master: BorrowedFd) {
    if let Ok(size) = sys::window_size(std::io::stdout().as_fd()) {
        sys::set_window_size(master, &size).ok(); // a terminal of another size works, too
    }
}
