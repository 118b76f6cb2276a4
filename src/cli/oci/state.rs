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
    let state = load(root, &options.id)?.shown()?;
    super::super::print(&serde_json::to_string_pretty(&state)?)?;
    Ok(0)
}
