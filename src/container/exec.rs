//! A further process in a running container: a process joins its namespaces and forks; the child enters its cgroup.

use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use anyhow::{Context, Result};

use super::child::{self, Outside, Watched, become_stdio};
use super::launch::{Launched, Stdio, take_stdio};
use crate::kernel::cgroup::{Cgroup, Door};
use crate::kernel::process;
use crate::kernel::{namespace, sys};
use crate::plan::Step;

/// Which container, and what to run in it.
pub struct Exec<'a> {
    /// The container's first process.
    pub container: BorrowedFd<'a>,
    /// Its cgroup.
    pub cgroup: &'a Cgroup,
    /// [`crate::plan::process_steps`] of the command.
    pub steps: &'a [Step],
    /// Standard streams.
    pub stdio: Stdio,
}

/// Moves this process into the container's namespaces. It stays in its own PID namespace, only its children are born in
/// the container's; and it stays in its own cgroup, so that nothing from outside is ever in the container's.
pub fn enter(container: BorrowedFd) -> Result<()> {
    // What joins a container must not be inspectable from it (CVE-2016-9962).
    nix::sys::prctl::set_dumpable(false).context("prctl PR_SET_DUMPABLE")?;
    namespace::join_process(container, namespace::CONTAINER)
}

/// The descriptors that a process needs which enters a container.
pub fn needed(container: BorrowedFd, door: &Door, stdio: &Stdio) -> Vec<RawFd> {
    let mut keep = door.descriptors();
    keep.push(container.as_raw_fd());
    keep.extend(stdio.descriptors());
    keep
}

/// Runs the command as a child of this process, though a helper does the joining: setns(2) would move this process too.
pub fn spawn(exec: Exec) -> Result<Launched> {
    let (reader, writer): (PipeReader, PipeWriter) = std::io::pipe().context("make report pipe")?;
    let door = exec.cgroup.door()?;
    let mut keep = needed(exec.container, &door, &exec.stdio);
    keep.push(writer.as_raw_fd());
    let main = || become_command(&door, &exec.stdio, false, exec.steps, writer);
    let child = process::spawn_through(&keep, || enter(exec.container), 0, None, main)?;
    Ok(Launched { child, report: reader })
}

/// The last part of a process that is in the container's namespaces already: cgroup, streams, identity, execve. With
/// `terminal` its streams are a terminal, which it is to control.
pub fn become_command(
    cgroup: &Door,
    stdio: &Stdio,
    terminal: bool,
    steps: &[Step],
    report: PipeWriter,
) -> i32 {
    let ready = cgroup
        .enter()
        .and_then(|()| sys::reset_signals().context("reset signals"))
        .and_then(|()| take_stdio(stdio, steps))
        .and_then(|()| if terminal { control_terminal(stdio.input.as_fd(), steps) } else { Ok(()) });
    match ready {
        Ok(()) => child::main(steps, Outside::default(), Watched::default(), report),
        Err(error) => child::fail(None, "enter the container", &error, &report),
    }
}

/// A session of its own with this terminal, so that Ctrl-C reaches the command; the terminal belongs to its user.
fn control_terminal(terminal: BorrowedFd, steps: &[Step]) -> Result<()> {
    nix::unistd::setsid().context("setsid")?;
    let user =
        steps.iter().find_map(|step| if let Step::User { uid, .. } = step { Some(*uid) } else { None });
    become_stdio(terminal, user.unwrap_or(0))
}
