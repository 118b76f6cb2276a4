//! `barepod-oci ps`

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::container::oci::{Status, load};

/// List the processes of a container.
#[derive(Debug, Args)]
pub struct Options {
    /// A table as ps(1) prints it, or an array of pids
    #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
    /// Container id
    id: String,
    /// Options of ps(1)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Runs the verb.
pub fn main(root: &Path, options: &Options) -> Result<i32> {
    let container = load(root, &options.id)?;
    ensure!(container.status()? != Status::Stopped, "container not running");
    let pids = container.cgroup()?.pids()?;
    if options.format == "json" {
        super::super::print(&serde_json::to_string(&pids)?)?;
        return Ok(0);
    }
    let mut command = Command::new("ps");
    if options.options.is_empty() {
        command.arg("-ef")
    } else {
        command.args(&options.options)
    };
    let output = command.stderr(std::process::Stdio::inherit()).output().context("execute ps")?;
    ensure!(output.status.success(), "ps: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let head = lines.next().context("ps prints nothing")?;
    let column = head.split_whitespace().position(|name| name == "PID").context("ps prints no column PID")?;
    let inside = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid: i32| pids.contains(&pid))
    };
    super::super::print(head)?;
    lines.filter(inside).try_for_each(super::super::print)?;
    Ok(0)
}
