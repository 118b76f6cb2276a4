//! `barepod exec`
//!
//! A process that entered a container's PID namespace from outside must be reaped at once, or neither that namespace nor
//! the pod can die. So this process, which a terminal can stop, is never its parent:
//!
//! ```text
//!   barepod exec ──fork──▶ keeper (a session of its own) ──joins, forks──▶ command
//!        ▲                    │ waits through a pidfd, whatever happens to barepod exec
//!        └──── exit code ─────┘ by a pipe
//! ```

use std::fs::File;
use std::io::{PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use oci_spec::runtime::Spec;

use super::terminal as relay;
use crate::container::exec::{become_command, enter, needed};
use crate::container::launch::{Stdio, hear, null, stdio_of_this_process};
use crate::kernel::cgroup::{Cgroup, Door, Hierarchy};
use crate::kernel::pass;
use crate::kernel::process::{self, Placement};
use crate::kernel::sealed;
use crate::kernel::terminal::{self, Pair};
use crate::plan;
use crate::pod::store::{InstanceRecord, Liveness, Record, Store};

/// Run a command in a container; its exit code passes through.
#[derive(Debug, Args)]
pub struct Options {
    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// Pod name
    pod: String,
    /// Container; the first regular one without it
    #[arg(short, long, value_name = "CTR")]
    container: Option<String>,
    /// Command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Runs the verb.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    super::need_root("exec")?;
    let (record, liveness) = store.view(&options.pod)?;
    let name =
        record.container(options.container.as_deref()).with_context(|| format!("exec in {}", options.pod))?;
    if liveness != Liveness::Running {
        bail!("exec in {}: the pod has ended", options.pod);
    }
    let instance = record.instances.iter().find(|instance| instance.container == name);
    let instance =
        instance.with_context(|| format!("exec in {}: container {name} is not running", options.pod))?;
    run_sealed(&record)?;
    exec(store, options, instance).with_context(|| format!("exec in {}: container {name}", options.pod))
}

/// Goes on from the sealed binary of the pod init: what enters a container cannot be overwritten from there.
fn run_sealed(record: &Record) -> Result<()> {
    let init = record.init.as_ref().context("the pod has no init process")?;
    let binary = File::open(format!("/proc/{}/exe", init.pid)).context("open the pod init's binary")?;
    let (own, sealed) = (File::open("/proc/self/exe")?.metadata()?, binary.metadata()?);
    if (own.dev(), own.ino()) != (sealed.dev(), sealed.ino()) {
        sealed::reexec(&binary)?;
    }
    Ok(())
}

fn exec(store: &Store, options: &Options, instance: &InstanceRecord) -> Result<i32> {
    // The pidfd is checked against start time and namespace, so a pid that was reused is noticed here.
    let container = instance.process.open()?;
    let cgroup = Cgroup::new(&Hierarchy::detect()?, &instance.cgroup)?;
    let spec = store.spec(&options.pod, instance);
    let spec: Spec = serde_json::from_slice(&std::fs::read(spec).context("read the container's spec")?)?;
    let process = spec.process().as_ref().context("process is missing")?;
    let steps = plan::exec_steps(process, plan::filter(&spec), &options.command)?;
    let Stdio { input, output, error } = stdio_of_this_process()?;
    let stdio = Stdio { input: if options.interactive { input } else { null()? }, output, error };
    let tty = options.tty && relay::has_one("exec: no terminal for the command", options.interactive);

    let door = cgroup.door()?;
    let (mut result, writer) = std::io::pipe().context("make result pipe")?;
    let (passage, passage_end) = pass::pair()?;
    let mut descriptors = needed(container.as_fd(), &door, &stdio);
    descriptors.extend([writer.as_raw_fd(), passage_end.as_raw_fd()]);
    let signals = tty.then(relay::block_signals).transpose()?;
    process::spawn(&Placement { keep: Some(descriptors), ..Placement::default() }, move || {
        // Whatever happens to the terminal, or to the process that waits for the result, does not reach the keeper.
        let kept = nix::unistd::setsid().context("setsid").and_then(|_| {
            enter(container.as_fd())?;
            let stdio = if tty { new_terminal(passage_end.as_fd())? } else { stdio };
            keep(&door, stdio, tty, &steps)
        });
        answer(writer, kept)
    })
    .context("make keeper")?;
    if let Some(signals) = signals
        && let Some(master) = pass::receive(passage.as_fd(), &mut [0]).context("take the terminal")?.1.pop()
        && let Some(signal) = relay::relay(master, result.as_fd(), &signals, options.interactive)?
    {
        return Ok(128 + signal); // the keeper stays until the command has ended
    }
    let mut text = String::new();
    result.read_to_string(&mut text).context("wait for the keeper")?;
    ensure!(!text.is_empty(), "the keeper was killed");
    match text.parse::<i32>() {
        Ok(code) => Ok(code),
        Err(_) => bail!("{text}"),
    }
}

/// In the keeper, which is in the container by now: a terminal that has a name there; its other end goes to `passage`.
fn new_terminal(passage: BorrowedFd) -> Result<Stdio> {
    let root = File::open("/").context("open /")?;
    let Pair { master, terminal } = terminal::open(root.as_fd())?;
    pass::send(passage, &[0], &[master.as_fd()]).context("pass the terminal on")?;
    let copy = || terminal.try_clone().context("copy terminal");
    Ok(Stdio { input: copy()?, output: copy()?, error: terminal })
}

/// In the keeper, which is in the container by now: makes the command and waits for it.
fn keep(door: &Door, stdio: Stdio, tty: bool, steps: &[plan::Step]) -> Result<i32> {
    let (mut report, writer) = std::io::pipe().context("make report pipe")?;
    let child = process::fork(0, None, || become_command(door, &stdio, tty, steps, writer))?;
    let failure = hear(&mut report)?;
    let status = process::wait(&child, None)?.context("the command has no status")?;
    let (code, _) = process::exit_code(status);
    match failure {
        None => Ok(code),
        // 126 and 127 as a shell has them; what else went wrong is barepod's failure.
        Some(failure) if failure.is_of_exec() => {
            let mut stderr = File::from(stdio.error.try_clone()?);
            // The exit code tells the same; a closed stderr must not hide it.
            writeln!(stderr, "barepod: exec: {}", failure.error).ok();
            Ok(code)
        }
        Some(failure) => bail!("{}: {}", failure.does, failure.error),
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
