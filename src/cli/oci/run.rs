//! `barepod-oci run`

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use nix::sys::signal::Signal;

use super::create::{Making, read_bundle};
use super::pipes::{self, Relay};
use super::{Global, preserved, protect, warn, write_pid_file};
use crate::cli::terminal;
use crate::container::oci::create::{self, Bundle};
use crate::container::oci::{Container, delete, start};
use crate::kernel::process::{self, Child};
use crate::kernel::{pass, poll};

/// Make and start a container, wait for it and delete it.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    making: Making,
    /// Return when the program runs, and leave it running
    #[arg(short, long)]
    detach: bool,
    /// Do not delete it when it has ended
    #[arg(long)]
    keep: bool,
    /// Container id
    id: String,
}

/// What is passed on to the container's first process.
const PASSED_ON: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCONT,
    Signal::SIGWINCH,
];

/// Runs the verb.
pub fn main(global: &Global, root: &Path, options: &Options) -> Result<i32> {
    protect()?;
    let making = &options.making;
    let preserve = preserved(making.preserve_fds);
    let console = making.console()?;
    let bundle = read_bundle(global, &making.bundle)?;
    // Without a console socket the terminal is shown here; a process without one is the usual case and makes none.
    let (shown, terminal) = match (options.detach, console) {
        (_, Some(console)) => (None, Some(console)),
        (true, None) => (None, None),
        (false, None) => bundle.has_terminal().then(pass::pair).transpose()?.unzip(),
    };
    let (stdio, relay) = pipes::streams(bundle.has_terminal() || options.detach)?;
    let making_options = making.options(false, terminal, preserve, stdio, global);
    let (container, child) = create::create(root, &options.id, &bundle, making_options)?;
    match started(&container, &bundle, options).and_then(|()| wait(&child, options, shown, relay)) {
        Ok(code) if options.detach || options.keep => Ok(code),
        Ok(code) => {
            let warnings = delete::remove(&container, Some(&bundle.spec)).context("delete")?;
            warnings.iter().for_each(|warning| warn(global, warning));
            Ok(code)
        }
        Err(error) => {
            let warnings = delete::delete(root, &options.id, true).context("delete")?;
            warnings.iter().for_each(|warning| warn(global, warning));
            Err(error)
        }
    }
}

fn started(container: &Container, bundle: &Bundle, options: &Options) -> Result<()> {
    write_pid_file(options.making.pid_file.as_ref(), container.pid()?)?;
    start::after_start(container, &bundle.spec)
}

/// Waits for the program, and passes signals on to it; its exit code.
fn wait(child: &Child, options: &Options, shown: Option<OwnedFd>, relay: Relay) -> Result<i32> {
    if options.detach {
        return Ok(0);
    }
    if let Some(socket) = shown {
        let signals = terminal::block_signals()?;
        let master = pass::receive(socket.as_fd(), &mut [0; 64]).context("take the terminal")?.1.pop();
        if let Some(signal) =
            terminal::relay(master.context("no terminal came")?, child.pidfd.as_fd(), &signals, true)?
        {
            process::signal(child.pidfd.as_fd(), signal)?;
        }
    } else {
        let signals = poll::signals(&PASSED_ON)?;
        let ended = child.pidfd.as_fd();
        relay.until(ended, Some(&signals), |signal| process::signal(ended, signal))?;
    }
    let status = process::wait(child, None)?.context("the container has no status")?;
    Ok(process::exit_code(status).0)
}
