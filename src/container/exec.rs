//! A further process in a running container: a process joins its namespaces and forks; the child enters its cgroup.

use std::fs::File;
use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use anyhow::{Context, Result};
use nix::sched::CloneFlags;

use super::child::{self, Outside, Watched, become_stdio};
use super::launch::{Launched, Stdio, give_from_outside, take_stdio};
use crate::kernel::cgroup::{Cgroup, Door};
use crate::kernel::process;
use crate::kernel::resctrl::Group;
use crate::kernel::root::Root;
use crate::kernel::terminal::{self, Pair};
use crate::kernel::{identity, namespace, pass, sys};
use crate::plan::Step;
use crate::plan::container::IdMaps;

/// Which container, and what to run in it.
pub struct Exec<'a> {
    /// The container's first process.
    pub container: BorrowedFd<'a>,
    /// Its cgroup.
    pub cgroup: &'a Cgroup,
    /// The namespaces of it to join.
    pub namespaces: CloneFlags,
    /// [`crate::plan::process_steps`] of the command.
    pub steps: &'a [Step],
    /// Standard streams.
    pub stdio: Stdio,
    /// The command gets a terminal, whose other end is sent to this socket.
    pub terminal: Option<BorrowedFd<'a>>,
    /// The descriptors from 3 on that the command is to have.
    pub preserve: &'a [RawFd],
    /// The container's root, where that is not the root of its mount namespace.
    pub root: Option<BorrowedFd<'a>>,
    /// Whom the container's user namespace takes for whom, if it has one of its own.
    pub maps: Option<&'a IdMaps>,
    /// The command's oom_score_adj, where it is not among the steps.
    pub oom_score_adj: Option<i32>,
    /// The container's resource group.
    pub resource_group: Option<&'a Group>,
}

/// Moves this process into the container's namespaces. It stays in its own PID namespace, only its children are born in
/// the container's; and it stays in its own cgroup, so that nothing from outside is ever in the container's.
pub fn enter(container: BorrowedFd, namespaces: CloneFlags) -> Result<()> {
    // What joins a container must not be inspectable from it (CVE-2016-9962).
    nix::sys::prctl::set_dumpable(false).context("prctl PR_SET_DUMPABLE")?;
    namespace::join_process(container, namespaces)
}

/// The descriptors that a process needs which enters a container.
pub fn needed(container: BorrowedFd, door: &Door, stdio: &Stdio) -> Vec<RawFd> {
    let mut keep = door.descriptors();
    keep.push(container.as_raw_fd());
    keep.extend(stdio.descriptors());
    keep
}

/// Who joins the container's namespaces, before the command is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joins {
    /// This process, which is there for nothing else.
    Itself,
    /// A helper of this process, which stays where it is: setns(2) would move it.
    Helper,
    /// A helper that has left this process's session: to a command in it, /dev/tty would be the caller's terminal.
    Apart,
}

/// Runs the command as a child of this process.
pub fn spawn(exec: Exec, who: Joins) -> Result<Launched> {
    let (reader, writer): (PipeReader, PipeWriter) = std::io::pipe().context("make report pipe")?;
    let door = exec.cgroup.door()?;
    exec.maps.map_or(Ok(()), |maps| give_from_outside(&exec.stdio, exec.steps, maps))?;
    let mut keep = needed(exec.container, &door, &exec.stdio);
    keep.push(writer.as_raw_fd());
    keep.extend(exec.terminal.iter().map(AsRawFd::as_raw_fd));
    keep.extend(exec.preserve);
    keep.extend(exec.root.iter().map(AsRawFd::as_raw_fd));
    let enter = || {
        // Inherited, as is what follows. Inside there is no resctrl.
        exec.resource_group.map_or(Ok(()), |group| group.add(0))?;
        // There may be no procfs to write it to, either.
        exec.oom_score_adj
            .map_or(Ok(()), |value| identity::set_oom_score_adj(identity::open_proc()?, value))?;
        enter(exec.container, exec.namespaces)?;
        exec.root.map_or(Ok(()), |root| Root::from_fd(root.try_clone_to_owned()?).chroot())
    };
    let main = || {
        // A terminal belongs to who opens it; if that is nobody in the user namespace, nobody there can give it to the user.
        let become_owner = || exec.maps.map_or(Ok(()), |_| identity::become_root());
        let stdio = match exec.terminal {
            Some(socket) => match become_owner().and_then(|()| new_terminal(socket)) {
                Ok(stdio) => stdio,
                Err(error) => return child::fail(None, "make a terminal", &error, &writer),
            },
            None => exec.stdio,
        };
        become_command(&door, &stdio, exec.terminal.is_some(), exec.steps, exec.preserve, writer)
    };
    let child = match who {
        Joins::Itself => enter().and_then(|()| process::fork(0, None, main))?,
        Joins::Helper => process::spawn_through(&keep, enter, 0, None, main)?,
        Joins::Apart => {
            let leave = || nix::unistd::setsid().context("setsid").and_then(|_| enter());
            process::spawn_through(&keep, leave, 0, None, main)?
        }
    };
    Ok(Launched { child, report: reader })
}

/// In the container: a terminal that has a name there; its other end goes to `socket`.
pub fn new_terminal(socket: BorrowedFd) -> Result<Stdio> {
    let root = File::open("/").context("open /")?;
    let Pair { master, terminal } = terminal::open(root.as_fd())?;
    pass::send(socket, b"/dev/ptmx", &[master.as_fd()]).context("pass the terminal on")?;
    let copy = || terminal.try_clone().context("copy terminal");
    Ok(Stdio { input: copy()?, output: copy()?, error: terminal })
}

/// The last part of a process that is in the container's namespaces already: cgroup, streams, identity, execve. With
/// `terminal` its streams are a terminal, which it is to control.
pub fn become_command(
    cgroup: &Door,
    stdio: &Stdio,
    terminal: bool,
    steps: &[Step],
    preserve: &[RawFd],
    report: PipeWriter,
) -> i32 {
    let ready = cgroup
        .enter()
        .and_then(|()| sys::reset_signals().context("reset signals"))
        .and_then(|()| take_stdio(stdio, steps))
        .and_then(|()| if terminal { control_terminal(stdio.input.as_fd(), steps) } else { Ok(()) });
    match ready {
        Ok(()) => child::main(steps, Outside { preserve, ..Outside::default() }, Watched::default(), report),
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
