//! The command line of `barepod`: one file per verb, thin. Exit codes: 0; 1 a wait that was not fulfilled; 2 usage or
//! manifest; 125 barepod failed; 126, 127, 128+n as a shell has them; otherwise a command's own.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, Command, CommandFactory, Parser, Subcommand};

use crate::pod::reaper;
use crate::pod::store::Store;

pub mod check;
pub mod debug;
pub mod events;
pub mod exec;
pub mod explain;
pub mod gc;
pub mod host;
pub mod inspect;
pub mod keeper;
pub mod kill;
pub mod load;
pub mod logs;
pub mod oci;
pub mod paint;
pub mod port_forward;
pub mod ps;
pub mod rm;
pub mod run;
pub mod share;
pub mod show;
pub mod stats;
pub mod step;
pub mod stop;
pub mod terminal;
pub mod timeline;
pub mod wait;
pub mod why;

/// barepod itself failed.
pub const FAILED: i32 = 125;
/// Wrong usage, or a manifest with errors.
pub const USAGE: i32 = 2;

/// A Kubernetes Pod on one Linux machine with nothing under it but the kernel.
#[derive(Debug, Parser)]
#[command(name = "barepod", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Args)]
pub struct Global {
    /// State directory
    #[arg(long, global = true, env = "BAREPOD_ROOT", value_name = "DIR", default_value = "/run/barepod")]
    root: PathBuf,
    /// Directory of the container logs
    #[arg(long, global = true, value_name = "DIR", default_value = "/var/log/pods")]
    log_dir: PathBuf,
    /// Cgroup, from the root of the hierarchy, below which pods get theirs
    #[arg(long, global = true, value_name = "PATH", default_value = "")]
    cgroup_parent: String,
    /// Say more: what a pod is made of and where its files are
    #[arg(short, long, global = true)]
    verbose: bool,
}

// Deferred: only the options of the verb that is given are made, which is a tenth of a millisecond less for each call.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum Verb {
    /// Start a pod
    Run(run::Options),
    /// List pods
    Ps(ps::Options),
    /// Print the Pod object with its status
    Inspect(inspect::Options),
    /// Print container output
    Logs(logs::Options),
    /// Run a command in a container
    Exec(exec::Options),
    /// Add a container to a running pod, to look around
    Debug(debug::Options),
    /// Print the event log
    Events(events::Options),
    /// Draw a pod's life
    Timeline(timeline::Options),
    /// Say what a pod waits for, or how it ended
    Why(why::Options),
    /// Show what containers share
    Share(share::Options),
    /// Wait until a pod has got somewhere
    Wait(wait::Options),
    /// End a pod gracefully
    Stop(stop::Options),
    /// Send a signal to a container's first process
    Kill(kill::Options),
    /// Remove the record of a pod
    Rm(rm::Options),
    /// Print what containers have used
    Stats(stats::Options),
    /// Let connections to a port of the host go to a port of a pod
    PortForward(port_forward::Options),
    /// Remove what dead pods left
    Gc,
    /// Validate manifests, or look at this machine
    Check(check::Options),
    /// Print every kernel step that a pod takes, and why
    Explain(explain::Options),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write man pages
    Man {
        /// Where to
        directory: PathBuf,
    },
}

impl Global {
    fn store(&self) -> Result<Store> {
        let absolute = |path: &PathBuf| std::path::absolute(path);
        let parent = self.cgroup_parent.trim_matches('/').to_owned();
        ensure!(!parent.split('/').any(|part| part == ".."), "--cgroup-parent {parent}: has .. in it");
        Ok(Store { root: absolute(&self.root)?, logs: absolute(&self.log_dir)?, cgroup_parent: parent })
    }
}

/// Runs the command line; what it returns is the exit code.
pub fn main() -> i32 {
    // Not a verb: what the pod init makes PID 1 of a shared process namespace.
    let is_reaper =
        std::env::args_os().nth(1).is_some_and(|verb| verb.as_encoded_bytes() == reaper::VERB.to_bytes());
    let result = if is_reaper { reaper::main() } else { dispatch(parse()) };
    match result {
        Ok(code) => code,
        Err(error) => {
            say(&format!("barepod: {error:#}"));
            FAILED
        }
    }
}

/// Reads the command line. What is most of the work is that every verb gets its own copy of the options of all; so it is read
/// with the verbs alone that are among its words, and once more, with all, if that gives anything but a verb to run.
fn parse<C: Parser>() -> C {
    let all = C::command();
    let is_among = |verb: &&Command| std::env::args_os().any(|word| word == verb.get_name());
    let few = Command::new("")
        .disable_help_subcommand(true)
        .args(all.get_arguments().cloned())
        .subcommands(all.get_subcommands().filter(is_among).cloned());
    few.try_get_matches().and_then(|few| C::from_arg_matches(&few)).unwrap_or_else(|_| C::parse())
}

/// Ends this process at once: exit handlers, of which there are none, would be looked for in parts of the program that nobody
/// has used so far.
pub fn leave(code: i32) -> ! {
    // What cannot be written has been told by the verb, or is nobody's loss.
    std::io::stdout().flush().ok();
    crate::kernel::sys::exit(code)
}

/// One line, or several, on standard output.
pub fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("write output")
}

/// One line on standard error; when nobody reads it any more, the exit code still tells.
pub fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
}

/// Names the outside processes that had to be killed before a pod could die.
pub fn tell_killed(pod: &str, holders: &[String]) {
    for holder in holders {
        say(&format!("barepod: {pod}: killed {holder}, which held the pod from outside"));
    }
}

fn dispatch(cli: Cli) -> Result<i32> {
    // `barepod ps | head` ends like any other command; what does more than print goes on to its end.
    if matches!(
        cli.verb,
        Verb::Ps(_)
            | Verb::Inspect(_)
            | Verb::Logs(_)
            | Verb::Events(_)
            | Verb::Timeline(_)
            | Verb::Why(_)
            | Verb::Share(_)
            | Verb::Explain(_)
            | Verb::Completions { .. }
    ) {
        crate::kernel::sys::reset_signals()?;
    }
    let store = cli.global.store()?;
    match cli.verb {
        Verb::Run(options) => run::main(&store, options, cli.global.verbose),
        Verb::Ps(options) => ps::main(&store, &options),
        Verb::Inspect(options) => inspect::main(&store, &options),
        Verb::Logs(options) => logs::main(&store, &options),
        Verb::Exec(options) => exec::main(&store, &options),
        Verb::Debug(options) => debug::main(&store, &options),
        Verb::Events(options) => events::main(&store, &options),
        Verb::Timeline(options) => timeline::main(&store, &options),
        Verb::Why(options) => why::main(&store, &options),
        Verb::Share(options) => share::main(&store, &options),
        Verb::Wait(options) => wait::main(&store, &options),
        Verb::Stop(options) => stop::main(&store, &options),
        Verb::Kill(options) => kill::main(&store, &options),
        Verb::Rm(options) => rm::main(&store, &options),
        Verb::Stats(options) => stats::main(&store, &options),
        Verb::PortForward(options) => port_forward::main(&store, &options),
        Verb::Gc => gc::main(&store),
        Verb::Check(options) => check::main(&options),
        Verb::Explain(options) => explain::main(&store, &options),
        Verb::Completions { shell } => {
            // Not to standard output, since it panics where that cannot be written.
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "barepod", &mut text);
            std::io::stdout().write_all(&text).context("write output")?;
            Ok(0)
        }
        Verb::Man { directory } => {
            clap_mangen::generate_to(Cli::command(), &directory)
                .with_context(|| format!("write man pages to {}", directory.display()))?;
            Ok(0)
        }
    }
}

/// Without root, or on a kernel that lacks something, one sentence says what is missing and what to do.
pub fn need_root(verb: &str) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "{verb} needs root: run it with sudo (check works without)");
    Ok(())
}

/// A duration on the command line: `5`, `5s`, `1m30s`, `500ms`.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    crate::duration::parse(text).map_err(|error| format!("{error:#}"))
}
