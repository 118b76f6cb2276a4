//! `barepod-oci start`

use std::path::Path;

use anyhow::Result;
use clap::Args;

use crate::container::oci::{load, start};

/// Run the program of a created container.
#[derive(Debug, Args)]
pub struct Options {
    /// Container id
    id: String,
}

/// Runs the verb.
pub fn main(root: &Path, options: &Options) -> Result<i32> {
    start::start(&load(root, &options.id)?)?;
    Ok(0)
}
