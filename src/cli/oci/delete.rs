//! `barepod-oci delete`

use std::path::Path;

use anyhow::Result;
use clap::Args;

use super::{Global, warn};
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
pub fn main(global: &Global, root: &Path, options: &Options) -> Result<i32> {
    let warnings = delete::delete(root, &options.id, options.force)?;
    warnings.iter().for_each(|warning| warn(global, warning));
    Ok(0)
}
