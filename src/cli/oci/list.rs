//! `barepod-oci list`

use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;

use crate::container::oci::{self, Container};

/// List the containers.
#[derive(Debug, Args)]
pub struct Options {
    /// How
    #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
    /// Ids alone
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the verb.
pub fn main(root: &Path, options: &Options) -> Result<i32> {
    let all = oci::all(root)?;
    let print = super::super::print;
    if options.quiet {
        return all.iter().try_for_each(|container| print(&container.record.id)).map(|()| 0);
    }
    if options.format == "json" {
        let states = all.iter().map(state).collect::<Result<Vec<_>>>()?;
        print(&serde_json::to_string(&states)?)?;
        return Ok(0);
    }
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned).to_vec()];
    for container in &all {
        let state = state(container)?;
        let text = |key: &str| state[key].as_str().unwrap_or_default().to_owned();
        let pid = state["pid"].to_string();
        rows.push(vec![text("id"), pid, text("status"), text("bundle"), text("created"), text("owner")]);
    }
    print(crate::columns::table(&rows).trim_end())?;
    Ok(0)
}

fn state(container: &Container) -> Result<serde_json::Value> {
    let mut state = container.shown().with_context(|| container.record.id.clone())?;
    state["owner"] = "root".into();
    Ok(state)
}
