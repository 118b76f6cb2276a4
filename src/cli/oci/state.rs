//! `barepod-oci state`

use std::path::Path;

use anyhow::Result;
use clap::Args;

use crate::container::oci::load;

/// Print the state of a container.
#[derive(Debug, Args)]
pub struct Options {
    /// Container id
    id: String,
}

/// Runs the verb.
pub fn main(root: &Path, options: &Options) -> Result<i32> {
    let container = load(root, &options.id)?;
    let mut state = container.state()?;
    if state.get("pid").is_none() {
        state["pid"] = 0.into(); // as engines expect it of what has ended
    }
    state["rootfs"] = serde_json::json!(container.record.rootfs);
    state["created"] = container.record.created.clone().into();
    super::super::print(&serde_json::to_string_pretty(&state)?)?;
    Ok(0)
}
