//! The command line of `barepod-oci`: the container layer alone, in the form of an OCI runtime, one file per verb. Flags and
//! exit codes are those of runc, since engines drive it by them: 0, or 1 with a line on standard error and in the log.

mod create;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod log;
mod pause;
mod pipes;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod update;

use std::os::fd::RawFd;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};

use crate::kernel::{sealed, sys};

/// An OCI container from a bundle, with nothing under it but the kernel.
#[derive(Debug, Parser)]
#[command(name = "barepod-oci", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Args)]
struct Global {
    /// State directory
    #[arg(long, global = true, value_name = "DIR", default_value = "/run/barepod-oci")]
    root: PathBuf,
    /// Write errors to this file too
    #[arg(long, global = true, value_name = "FILE")]
    log: Option<PathBuf>,
    /// How they are written there
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    log_format: String,
    /// Say more in the log
    #[arg(long, global = true)]
    debug: bool,
    /// Let systemd make the cgroups
    #[arg(long, global = true)]
    systemd_cgroup: bool,
    /// Accepted, since engines pass it: it needs root
    #[arg(long, global = true, value_name = "BOOL", hide = true)]
    rootless: Option<String>,
}

// Deferred: only the options of the verb that is given are made, which is a tenth of a millisecond less for each call.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum Verb {
    /// Make a container, up to the point where `start` lets its program run
    Create(create::Options),
    /// Run the program of a created container
    Start(start::Options),
    /// Print the state of a container
    State(state::Options),
    /// Send a signal to a container's first process
    Kill(kill::Options),
    /// Delete a container that has ended
    Delete(delete::Options),
    /// Make and start a container, wait for it and delete it
    Run(run::Options),
    /// Run a further process in a container
    Exec(exec::Options),
    /// List the processes of a container
    Ps(ps::Options),
    /// List the containers
    List(list::Options),
    /// Stop all processes of a container until `resume`
    Pause(pause::Options),
    /// Let the processes of a paused container go on
    Resume(pause::Options),
    /// Change the limits of a container
    Update(update::Options),
    /// Print what a container uses, and when it runs out of memory
    Events(events::Options),
    /// Print what is implemented (runtime-spec, "Features Structure")
    Features,
    /// Write a config.json to begin with
    Spec(spec::Options),
    /// Not supported: it needs CRIU
    Checkpoint(Unsupported),
    /// Not supported: it needs CRIU
    Restore(Unsupported),
}

/// Whatever is given to a verb that is not supported.
#[derive(Debug, Args)]
struct Unsupported {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    any: Vec<String>,
}

/// Runs the command line; what it returns is the exit code.
pub fn main() -> i32 {
    let cli: Cli = super::parse();
    let verb = cli.verb.name();
    match dispatch(&cli) {
        Ok(code) => code,
        Err(error) => {
            let line = format!("{verb}: {error:#}");
            // Engines look for the word.
            super::say(&format!("barepod-oci: error: {line}"));
            log::write(&cli.global, "error", &line);
            1
        }
    }
}

impl Verb {
    fn name(&self) -> &'static str {
        match self {
            Verb::Create(_) => "create",
            Verb::Start(_) => "start",
            Verb::State(_) => "state",
            Verb::Kill(_) => "kill",
            Verb::Delete(_) => "delete",
            Verb::Run(_) => "run",
            Verb::Exec(_) => "exec",
            Verb::Ps(_) => "ps",
            Verb::List(_) => "list",
            Verb::Pause(_) => "pause",
            Verb::Resume(_) => "resume",
            Verb::Update(_) => "update",
            Verb::Events(_) => "events",
            Verb::Features => "features",
            Verb::Spec(_) => "spec",
            Verb::Checkpoint(_) => "checkpoint",
            Verb::Restore(_) => "restore",
        }
    }
}

fn dispatch(cli: &Cli) -> Result<i32> {
    let root = std::path::absolute(&cli.global.root)?;
    match &cli.verb {
        Verb::Create(options) => create::main(&cli.global, &root, options),
        Verb::Start(options) => start::main(&root, options),
        Verb::State(options) => state::main(&root, options),
        Verb::Kill(options) => kill::main(&root, options),
        Verb::Delete(options) => delete::main(&cli.global, &root, options),
        Verb::Run(options) => run::main(&cli.global, &root, options),
        Verb::Exec(options) => exec::main(&cli.global, &root, options),
        Verb::Ps(options) => ps::main(&root, options),
        Verb::List(options) => list::main(&root, options),
        Verb::Pause(options) => pause::pause(&root, options),
        Verb::Resume(options) => pause::resume(&root, options),
        Verb::Update(options) => update::main(&cli.global, &root, options),
        Verb::Events(options) => events::main(&root, options),
        Verb::Features => features::main(),
        Verb::Spec(options) => spec::main(options),
        Verb::Checkpoint(_) | Verb::Restore(_) => anyhow::bail!("not supported: it needs CRIU"),
    }
}

/// Tells of what went wrong without being in the way, and tells an engine too.
fn warn(global: &Global, message: &str) {
    super::say(&format!("barepod-oci: warning: {message}"));
    log::write(global, "warning", message);
}

/// A container must not be able to overwrite the file that made it.
fn protect() -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "barepod-oci needs root: run it with sudo");
    sealed::protect()
}

/// Which of the descriptors that are to be preserved are open; to be asked before anything of ours takes their numbers. Those
/// of sd_listen_fds(3) count among them.
fn preserved(given: u32) -> Vec<RawFd> {
    let listen = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse::<u32>().ok()).unwrap_or(0);
    let last = 3 + given.max(listen).min(1 << 16) as RawFd;
    (3..last).filter(|fd| sys::is_open(*fd)).collect()
}

fn write_pid_file(file: Option<&PathBuf>, pid: i32) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, pid.to_string()).with_context(|| format!("write {}", file.display()))
}
