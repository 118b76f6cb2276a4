//! `barepod-oci events`: the lines that runc prints, one JSON object each.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;

use crate::container::oci::{Container, Status, load};
use crate::kernel::cgroup::Oom;

/// Print what a container uses, and when it runs out of memory.
#[derive(Debug, Args)]
pub struct Options {
    /// Print what it uses now, once
    #[arg(long)]
    stats: bool,
    /// How often to print what it uses
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = crate::cli::duration)]
    interval: Duration,
    /// Container id
    id: String,
}

/// How long the end of the container may go unnoticed.
const LOOK: Duration = Duration::from_millis(500);

/// Runs the verb; without `--stats` until the container has ended.
pub fn main(root: &Path, options: &Options) -> Result<i32> {
    let container = load(root, &options.id)?;
    ensure!(!options.interval.is_zero(), "--interval is zero");
    ensure!(container.status()? != Status::Stopped, "container not running");
    if options.stats {
        print_stats(&container)?;
        return Ok(0);
    }
    let mut watch = container.cgroup()?.watch_oom()?;
    let mut next = Instant::now() + options.interval;
    while container.process().is_ok() {
        let left = next.saturating_duration_since(Instant::now());
        match watch.wait(left.min(LOOK))? {
            Oom::Happened => print(&container, "oom", None)?,
            Oom::Gone => break,
            Oom::Nothing => {}
        }
        if Instant::now() >= next {
            print_stats(&container)?;
            next = Instant::now() + options.interval;
        }
    }
    Ok(0)
}

fn print_stats(container: &Container) -> Result<()> {
    let metrics = container.cgroup()?.metrics()?;
    print(container, "stats", Some(serde_json::to_value(metrics).context("write statistics")?))
}

fn print(container: &Container, kind: &str, data: Option<serde_json::Value>) -> Result<()> {
    let mut line = json!({"type": kind, "id": container.record.id});
    if let Some(data) = data {
        line["data"] = data;
    }
    crate::cli::print(&line.to_string())
}
