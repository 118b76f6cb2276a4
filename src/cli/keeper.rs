//! A keeper: the parent of a command in a container.
//!
//! A process that entered a container's PID namespace from outside must be reaped at once, or neither that namespace nor
//! the pod can die. So a process which a terminal can stop is never its parent:
//!
//! ```text
//!   exec ──fork──▶ keeper (a session of its own) ──joins, forks──▶ command
//!     ▲               │ waits through a pidfd, whatever happens to exec
//!     └── exit code ──┘ by a pipe
//! ```

use std::io::{PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use anyhow::{Context, Result, bail, ensure};

use super::terminal as relay;
use crate::kernel::pass;
use crate::kernel::process::{self, Placement};

/// Runs `work` in a keeper that keeps these descriptors, and gives the exit code that it answers. With `tty` the work is given
/// a socket to send the other end of a terminal to, and that is shown here; without, `meanwhile` may do something else until
/// its argument can be read.
pub fn run(
    mut descriptors: Vec<RawFd>,
    tty: bool,
    interactive: bool,
    meanwhile: impl FnOnce(BorrowedFd) -> Result<()>,
    work: impl FnOnce(Option<BorrowedFd>) -> Result<i32>,
) -> Result<i32> {
    let (mut result, writer) = std::io::pipe().context("make result pipe")?;
    let (passage, passage_end) = tty.then(pass::pair).transpose()?.unzip();
    descriptors.push(writer.as_raw_fd());
    descriptors.extend(passage_end.as_ref().map(AsRawFd::as_raw_fd));
    let signals = tty.then(relay::block_signals).transpose()?;
    process::spawn(&Placement { keep: Some(descriptors), ..Placement::default() }, move || {
        // Whatever happens to the terminal, or to the process that waits for the result, does not reach the keeper.
        let kept =
            nix::unistd::setsid().context("setsid").and_then(|_| work(passage_end.as_ref().map(AsFd::as_fd)));
        answer(writer, kept)
    })
    .context("make keeper")?;
    if let (Some(signals), Some(passage)) = (signals, passage)
        && let Some(master) = pass::receive(passage.as_fd(), &mut [0]).context("take the terminal")?.1.pop()
        && let Some(signal) = relay::relay(master, result.as_fd(), &signals, interactive)?
    {
        return Ok(128 + signal); // the keeper stays until the command has ended
    }
    if !tty {
        meanwhile(result.as_fd())?;
    }
    let mut text = String::new();
    result.read_to_string(&mut text).context("wait for the keeper")?;
    ensure!(!text.is_empty(), "the keeper was killed");
    match text.parse::<i32>() {
        Ok(code) => Ok(code),
        Err(_) => bail!("{text}"),
    }
}

fn answer(mut writer: PipeWriter, kept: Result<i32>) -> i32 {
    let text = match kept {
        Ok(code) => code.to_string(),
        Err(error) => format!("{error:#}"),
    };
    // The waiting process may have been killed; the command has been reaped, and that was the keeper's job.
    writer.write_all(text.as_bytes()).ok();
    0
}
