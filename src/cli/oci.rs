//! The command line of `barepod-oci`: the container layer alone, in the form of an OCI runtime.

use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::container::launch::stdio_of_this_process;
use crate::container::oci;
use crate::kernel::process;

/// An OCI container from a bundle, with nothing under it but the kernel.
#[derive(Debug, Parser)]
#[command(name = "barepod-oci", version)]
struct Cli {
    /// State directory
    #[arg(long, global = true, value_name = "DIR", default_value = "/run/barepod-oci")]
    root: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make and start a container, wait for it and delete it
    Run {
        /// Directory with config.json
        #[arg(short, long, default_value = ".")]
        bundle: PathBuf,
        /// Return when the program runs, and leave it running
        #[arg(short, long)]
        detach: bool,
        /// Write the pid of the container's first process here
        #[arg(long, value_name = "FILE")]
        pid_file: Option<PathBuf>,
        /// Container id
        id: String,
    },
    /// Print the state of a container
    State {
        /// Container id
        id: String,
    },
    /// Send a signal to a container's first process
    Kill {
        /// Container id
        id: String,
        /// Signal by name or number
        #[arg(default_value = "TERM", value_parser = super::kill::signal)]
        signal: i32,
    },
    /// Delete a container that has ended
    Delete {
        /// Kill it first if it runs
        #[arg(short, long)]
        force: bool,
        /// Container id
        id: String,
    },
}

/// Runs the command line; what it returns is the exit code.
pub fn main() -> i32 {
    match dispatch(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            super::say(&format!("barepod-oci: {error:#}"));
            1
        }
    }
}

fn dispatch(cli: Cli) -> Result<i32> {
    let root = std::path::absolute(&cli.root)?;
    match cli.verb {
        Verb::Run { bundle, detach, pid_file, id } => {
            let child = oci::run(&root, &id, &bundle, stdio_of_this_process()?)
                .with_context(|| format!("run {id}"))?;
            if let Some(file) = pid_file {
                std::fs::write(&file, child.pid.to_string())
                    .with_context(|| format!("write {}", file.display()))?;
            }
            if detach {
                return Ok(0);
            }
            let status = process::wait(&child, None)?.context("the container has no status")?;
            oci::load(&root, &id)?.delete(&root, false).with_context(|| format!("delete {id}"))?;
            Ok(process::exit_code(status).0)
        }
        Verb::State { id } => {
            super::print(&serde_json::to_string_pretty(&oci::load(&root, &id)?.state())?)?;
            Ok(0)
        }
        Verb::Kill { id, signal } => {
            let pidfd = oci::load(&root, &id)?.process()?;
            process::signal(pidfd.as_fd(), signal).with_context(|| format!("kill {id}"))?;
            Ok(0)
        }
        Verb::Delete { force, id } => {
            oci::load(&root, &id)?.delete(&root, force).with_context(|| format!("delete {id}"))?;
            Ok(0)
        }
    }
}
