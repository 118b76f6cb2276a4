//! The parent's side of a container start: one clone3(2), one pipe to hear about failure.

use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::stat::SFlag;
use nix::unistd::{Gid, Uid, dup2_stderr, dup2_stdin, dup2_stdout, fchown};

use super::child::{self, Outside, Report, Said, Watched};
use super::oci::step::Runtime;
use crate::kernel::cgroup::Cgroup;
use crate::kernel::namespace;
use crate::kernel::process::{self, Child, Placement};
use crate::kernel::root;
use crate::plan::container::IdMaps;
use crate::plan::{Plan, Step};

/// Standard input, output and error of a new process.
pub struct Stdio {
    /// Descriptor 0.
    pub input: OwnedFd,
    /// Descriptor 1.
    pub output: OwnedFd,
    /// Descriptor 2.
    pub error: OwnedFd,
}

impl Stdio {
    /// Their numbers, for a child that closes all others.
    pub fn descriptors(&self) -> [RawFd; 3] {
        [&self.input, &self.output, &self.error].map(AsRawFd::as_raw_fd)
    }
}

/// What a start needs beside the plan.
pub struct Launch<'a> {
    /// The steps.
    pub plan: &'a Plan,
    /// The container's cgroup, made and configured; or, where a step waits for it, to be made.
    pub cgroup: &'a Cgroup,
    /// On v2: the child is born in it.
    pub born_there: bool,
    /// Standard streams; a container with a terminal has them from there.
    pub stdio: Stdio,
    /// Where the other end of its terminal goes, a socket of [`crate::kernel::pass`].
    pub terminal: Option<OwnedFd>,
    /// Who looks on.
    pub watched: Watched<'a>,
    /// What only a child of `barepod-oci` has of its parent.
    pub runtime: Option<Runtime<'a>>,
    /// The descriptors from 3 on that the program is to have.
    pub preserve: &'a [RawFd],
    /// Do without pivot_root(2).
    pub no_pivot: bool,
}

/// A child on its way to become a container.
pub struct Launched {
    /// The process.
    pub child: Child,
    /// What it has [`Said`] and, once the program runs, end of file.
    pub report: PipeReader,
}

/// Makes the process; returns at once, while the child performs its steps.
pub fn launch(launch: Launch) -> Result<Launched> {
    let (reader, writer) = std::io::pipe().context("make report pipe")?;
    // On v2 the child is born in its cgroup: no moment in which its memory is charged to somebody else.
    let born_there = launch.born_there && launch.cgroup.is_v2();
    let cgroup = born_there.then(|| launch.cgroup.open_dir()).transpose()?;
    let pid_namespace = launch.plan.pid_namespace.as_ref().map(|path| (libc::CLONE_NEWPID as u64, path));
    let join_first = launch.plan.join_first.iter().map(|(flag, path)| (*flag, path));
    let enter = pid_namespace.into_iter().chain(join_first);
    let enter: Vec<_> =
        enter.map(|(flag, path)| anyhow::Ok((flag, namespace::open(path)?))).collect::<Result<_>>()?;
    let (runtime, preserve) = (launch.runtime, launch.preserve);
    let placement = Placement {
        namespaces: launch.plan.namespaces,
        cgroup: cgroup.as_ref().map(AsFd::as_fd),
        time_offsets: launch.plan.time_offsets.as_deref(),
        enter: enter.iter().map(|(flag, namespace)| (*flag, namespace.as_fd())).collect(),
        keep: Some(
            launch
                .stdio
                .descriptors()
                .into_iter()
                .chain([writer.as_raw_fd()])
                .chain(launch.terminal.iter().map(AsRawFd::as_raw_fd))
                .chain(launch.watched.go.map(|go| go.as_raw_fd()))
                .chain(runtime.map(|runtime| runtime.answers.as_raw_fd()))
                .chain(runtime.and_then(|runtime| runtime.start).map(|start| start.as_raw_fd()))
                .chain(runtime.and_then(|runtime| runtime.agent).map(|agent| agent.as_raw_fd()))
                .chain(runtime.iter().flat_map(|runtime| runtime.mapped).map(AsRawFd::as_raw_fd))
                .chain(preserve.iter().copied())
                .collect(),
        ),
    };
    // In a user namespace only from outside, by its number there.
    let in_user_namespace = !launch.plan.join_first.is_empty() || !launch.plan.maps.users.is_empty();
    if in_user_namespace {
        give_from_outside(&launch.stdio, &launch.plan.steps, &launch.plan.maps)?;
    }
    let child = process::spawn(&placement, || {
        let steps: &[Step] = if in_user_namespace { &[] } else { &launch.plan.steps };
        if let Err(error) = take_stdio(&launch.stdio, steps) {
            return child::fail(None, "take the standard streams", &error, &writer);
        }
        // At 0, 1 and 2 only from here on, where a terminal may take their place: an engine that reads what `create` prints to
        // its end would wait for `start`.
        drop(launch.stdio);
        let terminal = launch.terminal.as_ref().map(AsFd::as_fd);
        let (cgroup, no_pivot) = (Some(launch.cgroup), launch.no_pivot);
        let outside = Outside { cgroup, terminal, runtime, preserve, no_pivot };
        child::main(&launch.plan.steps, outside, launch.watched, writer)
    })
    .context("make container process")?;
    Ok(Launched { child, report: reader })
}

/// Moves the streams to 0, 1 and 2. Pipes are given to the container's user, so that it can open `/dev/stdout` again.
pub fn take_stdio(stdio: &Stdio, steps: &[Step]) -> Result<()> {
    if let Some((uid, gid)) = user_of(steps) {
        give_pipes(stdio, uid, gid)?;
    }
    dup2_stdin(&stdio.input).context("dup2 0")?;
    dup2_stdout(&stdio.output).context("dup2 1")?;
    dup2_stderr(&stdio.error).context("dup2 2")?;
    Ok(())
}

/// Gives pipes to who is the user in a user namespace. There nothing can be given that belongs to the host's root.
pub fn give_from_outside(stdio: &Stdio, steps: &[Step], maps: &IdMaps) -> Result<()> {
    let Some((uid, gid)) = user_of(steps) else { return Ok(()) };
    match (maps.user(uid), maps.group(gid)) {
        (Some(uid), Some(gid)) => give_pipes(stdio, uid, gid),
        _ => Ok(()),
    }
}

fn user_of(steps: &[Step]) -> Option<(u32, u32)> {
    steps
        .iter()
        .find_map(|step| if let Step::User { uid, gid, .. } = step { Some((*uid, *gid)) } else { None })
}

fn give_pipes(stdio: &Stdio, uid: u32, gid: u32) -> Result<()> {
    for stream in [&stdio.input, &stdio.output, &stdio.error] {
        if root::kind(&nix::sys::stat::fstat(stream)?) == SFlag::S_IFIFO {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            fchown(stream, Some(uid), Some(gid)).context("give stream to the container's user")?;
        }
    }
    Ok(())
}

/// Waits for what the child has to say; `None` = it has become the container.
///
/// # Errors
/// When it has done neither within [`READY`].
pub fn hear(report: &mut (impl Read + AsFd)) -> Result<Option<Report>> {
    let mut text = Vec::new();
    loop {
        match hear_next(report, &mut text)? {
            None => return Ok(None),
            Some(Said::Failed(report)) => return Ok(Some(report)),
            Some(Said::Performed { .. } | Said::Waits { .. }) => {}
        }
    }
}

/// Waits for the next thing that the child says; `None` = it has become the container. `text`: what was read beyond.
///
/// # Errors
/// When it says nothing within [`READY`].
pub fn hear_next(report: &mut (impl Read + AsFd), text: &mut Vec<u8>) -> Result<Option<Said>> {
    let deadline = Instant::now() + READY;
    loop {
        if let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            return serde_json::from_slice(&line).context("understand the container process").map(Some);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(process::readable(report.as_fd(), left)?, "the container process hangs in a step");
        let mut piece = [0; 4096];
        match report.read(&mut piece).context("read report of the container process")? {
            0 => return Ok(None),
            length => text.extend_from_slice(&piece[..length]),
        }
    }
}

/// How long a child may take to become the container.
const READY: Duration = Duration::from_secs(30);

/// What the child has said so far; an incomplete line is left in `text`.
pub fn take_said(text: &mut Vec<u8>) -> Result<Vec<Said>> {
    let complete = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines: Vec<u8> = text.drain(..complete).collect();
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).context("understand the container process")).collect()
}

/// `/dev/null`, opened for reading and writing.
pub fn null() -> Result<OwnedFd> {
    let file = std::fs::File::options().read(true).write(true).open("/dev/null").context("open /dev/null")?;
    Ok(file.into())
}

/// Copies of this process's own streams.
pub fn stdio_of_this_process() -> Result<Stdio> {
    let copy = |fd: std::os::fd::BorrowedFd| fd.try_clone_to_owned().context("copy standard stream");
    Ok(Stdio {
        input: copy(std::io::stdin().as_fd())?,
        output: copy(std::io::stdout().as_fd())?,
        error: copy(std::io::stderr().as_fd())?,
    })
}

/// Kills the process and takes its exit status, for a start that went wrong.
pub fn discard(child: &Child) -> Result<()> {
    process::kill(child.pidfd.as_fd())?;
    process::wait(child, Some(std::time::Duration::from_secs(10)))?.context("wait for killed process")?;
    Ok(())
}
