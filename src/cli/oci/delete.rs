//! `barepod-oci delete`

use std::path::Path;

use anyhow::Result;
use clap::Args;

use crate::container::oci::delete;

/// Delete a container that has ended.
#[derive(Debug, Args)]
pub struct Options {
    /// Kill it first if it runs; one that does not exist is fine
    #[arg(short, long)]
    force: bool,
    /// Container id
    id: String,
}

/// Runs the verb.
pub fn main(root: &Path, options: &Options) -> Result<i32> {
    delete::delete(root, &options.id, options.force)?;
    Ok(0)
}
