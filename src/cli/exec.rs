//! `barepod exec`: a [`keeper`] joins the container and waits for the command.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use clap::Args;
use oci_spec::runtime::Spec;

use super::{keeper, terminal as relay};
use crate::container::exec::{become_command, enter, new_terminal};
use crate::container::launch::{Stdio, hear, null, stdio_of_this_process};
use crate::kernel::cgroup::Door;
use crate::kernel::namespace::CONTAINER;
use crate::kernel::process;
use crate::kernel::sealed;
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
    // This process and its keeper are there for one command: nothing is given back, which after a fork would copy it first.
    let record: &Record = Box::leak(Box::new(record));
    let name =
        record.container(options.container.as_deref()).with_context(|| format!("exec in {}", options.pod))?;
    if liveness != Liveness::Running {
        bail!("exec in {}: the pod has ended", options.pod);
    }
    let instance = record.instances.iter().find(|instance| instance.container == name);
    let instance =
        instance.with_context(|| format!("exec in {}: container {name} is not running", options.pod))?;
    // What enters a container cannot be overwritten from there.
    sealed::protect()?;
    exec(store, options, record, instance)
        .with_context(|| format!("exec in {}: container {name}", options.pod))
}

fn exec(store: &Store, options: &Options, record: &Record, instance: &InstanceRecord) -> Result<i32> {
    let tty = options.tty && relay::has_one("exec: no terminal for the command", options.interactive);
    // All else is for the keeper: what this process read, it would have to copy.
    keeper::run(
        Vec::new(),
        tty,
        options.interactive,
        |_| Ok(()),
        move |passage| {
            // The pidfd is checked against start time and namespace, so a pid that was reused is noticed here.
            let container = instance.process.open()?;
            let door = record.cgroup_at(&instance.cgroup)?.door()?;
            let spec = store.spec(&options.pod, instance);
            let spec = std::fs::read(spec).context("read the container's spec")?;
            let spec: &Spec = Box::leak(Box::new(serde_json::from_slice(&spec)?));
            let process = spec.process().as_ref().context("process is missing")?;
            let steps = plan::exec_steps(process, plan::filter(spec), &options.command)?;
            let Stdio { input, output, error } = stdio_of_this_process()?;
            let input = if options.interactive { input } else { null()? };
            enter(container.as_fd(), CONTAINER)?;
            let stdio = passage.map_or_else(|| Ok(Stdio { input, output, error }), new_terminal)?;
            keep(&door, stdio, tty, &steps)
        },
    )
}

/// In the keeper, which is in the container by now: makes the command and waits for it.
fn keep(door: &Door, stdio: Stdio, tty: bool, steps: &[plan::Step]) -> Result<i32> {
    let (mut report, writer) = std::io::pipe().context("make report pipe")?;
    let child = process::fork(0, None, || become_command(door, &stdio, tty, steps, &[], writer))?;
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
