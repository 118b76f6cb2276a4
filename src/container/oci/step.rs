//! In the child: performs the steps that only `barepod-oci` has.
//!
//! ```text
//!   child                                   runtime
//!     │  ── waits {maps} ──────────────────▶  │  writes uid_map and gid_map
//!     │  ◀── a line ───────────────────────   │
//!     │  ── waits {runtime-hooks} ─────────▶  │  runs prestart and createRuntime hooks
//!     │  ◀── the state, a line ────────────   │
//!     │  ── waits {wait-for-start} ────────▶  │  `create` ends here
//!     │                                          …
//!     │  ◀── a connection ─────────────────  start
//!     │  ── failed {…}, or end of file ────▶  │  as on the first pipe
//! ```

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;

use super::hooks;
use crate::bundle::accounts::Accounts;
use crate::container::child::{Outside, Said, Setup, candidates, say};
use crate::kernel::root::Root;
use crate::kernel::{identity, network, pass, schedule, sys, terminal};
use crate::plan::oci::{OciStep, Wait};

/// What a child has of its runtime.
#[derive(Clone, Copy)]
pub struct Runtime<'a> {
    /// Where the answers to its waits come from.
    pub answers: BorrowedFd<'a>,
    /// The listening socket of `start`, for a child of `create`.
    pub start: Option<BorrowedFd<'a>>,
    /// The agent of a filter for system calls.
    pub agent: Option<BorrowedFd<'a>>,
    /// The trees of mounts with mapped owners, in their order.
    pub mapped: &'a [OwnedFd],
}

/// Performs one step; after a wait for start, `report` is the connection of whoever said it.
pub fn perform(step: &OciStep, setup: &mut Setup, outside: Outside, report: &mut File) -> Result<()> {
    match step {
        OciStep::Wait(wait) => {
            let answer = ask(*wait, outside, report)?;
            if *wait == Wait::RuntimeHooks {
                setup.state = answer;
            }
            Ok(())
        }
        OciStep::WaitForStart => {
            say(&mut *report, &Said::Waits { step: step.name().to_owned() });
            let socket = outside.runtime.and_then(|runtime| runtime.start).context("nobody says start")?;
            *report = accept(socket)?;
            Ok(())
        }
        OciStep::Hooks { kind, hooks } => {
            let mut state: serde_json::Value =
                serde_json::from_str(&setup.state).context("understand the state")?;
            // Before the pivot the bundle is still there, for a hook that starts from it.
            let (status, directory) = match *kind {
                "createContainer" => ("creating", state["bundle"].as_str().unwrap_or("/").to_owned()),
                _ => ("created", "/".to_owned()),
            };
            state["status"] = status.into();
            state["pid"] = std::process::id().into(); // "as seen by the container"
            hooks::run_all(kind, hooks, &state.to_string(), Path::new(&directory))
        }
        OciStep::SendListener { metadata } => {
            let agent = outside.runtime.and_then(|runtime| runtime.agent).context("nobody listens")?;
            let listener = setup.listener.take().context("the filter has no descriptor")?;
            let state: serde_json::Value =
                serde_json::from_str(&setup.state).context("understand the state")?;
            let message = serde_json::json!({
                "ociVersion": state["ociVersion"],
                "fds": ["seccompFd"],
                "pid": state["pid"],
                "metadata": metadata,
                "state": state,
            });
            pass::send(agent, message.to_string().as_bytes(), &[listener.as_fd()])
                .context("sendmsg")
                .map(drop)
        }
        OciStep::HostCgroups(mount) => {
            setup.mount_host_cgroups(mount, outside.cgroup.context("there is no cgroup")?)
        }
        OciStep::Loopback => network::loopback_up(),
        OciStep::Chroot => setup.chroot(),
        OciStep::BecomeRoot => identity::become_root(),
        OciStep::SessionKeyring => match sys::new_session_keyring() {
            // A kernel without keyrings has none to keep apart.
            Ok(()) | Err(Errno::ENOSYS) => Ok(()),
            Err(error) => Err(error).context("keyctl"),
        },
        OciStep::FindProgram { cwd, program, env } => find(cwd, program, env),
        OciStep::ConsoleSize { height, width } => {
            terminal::set_size(std::io::stdin().as_fd(), *height, *width)
        }
        OciStep::Home { uid } => {
            setup.home = Some(home_of(*uid));
            Ok(())
        }
        OciStep::Scheduler(attributes) => schedule::set_policy(&schedule::SchedAttr {
            size: 0,
            policy: attributes.policy,
            flags: attributes.flags,
            nice: attributes.nice,
            priority: attributes.priority,
            runtime: attributes.runtime,
            deadline: attributes.deadline,
            period: attributes.period,
        }),
        OciStep::IoPriority(value) => schedule::set_io_priority(*value),
        OciStep::Personality(value) => schedule::set_personality(*value),
        OciStep::MemoryPolicy { mode, nodes } => schedule::set_memory_policy(*mode, nodes),
        OciStep::Affinity(cpus) => schedule::set_affinity(cpus),
        OciStep::ExecLabel { file, value } => identity::set_exec_label(setup.proc()?, file, value),
    }
}

/// Says what it waits for, and reads the answer, a line. Without one its runtime has gone.
fn ask(wait: Wait, outside: Outside, report: &mut File) -> Result<String> {
    let answers = outside.runtime.context("nobody answers")?.answers;
    say(report, &Said::Waits { step: wait.name().to_owned() });
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 4096];
        match nix::unistd::read(answers, &mut piece) {
            Ok(0) => bail!("the runtime has gone"),
            Ok(length) => text.extend_from_slice(&piece[..length]),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("read the runtime's answer"),
        }
        if text.last() == Some(&b'\n') {
            return String::from_utf8(text).context("understand the runtime's answer");
        }
    }
}

/// Waits, for as long as it takes, until somebody connects.
fn accept(socket: BorrowedFd) -> Result<File> {
    loop {
        match sys::accept(socket) {
            Ok(connection) => return Ok(connection.into()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("accept"),
        }
    }
}

/// Home directory of a user of the image. Whatever is there that is no list of users tells of none, and then it is `/`.
fn home_of(uid: u32) -> String {
    const LONGEST: u64 = 1 << 20;
    let mut passwd = Vec::new();
    if let Ok(Some(file)) = Root::open(Path::new("/")).and_then(|root| root.read(Path::new("/etc/passwd"))) {
        file.take(LONGEST).read_to_end(&mut passwd).ok(); // what could be read of it counts
    }
    let accounts = Accounts { passwd: String::from_utf8_lossy(&passwd).into_owned(), ..Accounts::default() };
    accounts.home(uid).unwrap_or("/").to_owned()
}

/// The same search as that of execve(2) later, by a look at the mode.
fn find(cwd: &Path, program: &str, env: &[String]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut failure = Errno::ENOENT;
    for candidate in candidates(program, env) {
        match std::fs::metadata(cwd.join(candidate)) {
            Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => return Ok(()),
            Ok(_) => failure = Errno::EACCES,
            Err(_) => {}
        }
    }
    ensure!(failure != Errno::ENOENT || program.contains('/'), "executable file not found in $PATH");
    Err(failure.into())
}
