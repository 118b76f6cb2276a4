//! `barepod-oci kill`

use std::path::Path;

use anyhow::Result;
use clap::Args;

use crate::container::oci::{delete, load};

/// Send a signal to a container's first process.
#[derive(Debug, Args)]
pub struct Options {
    /// Send it to all processes of the container
    #[arg(short, long)]
    all: bool,
    /// Container id
    id: String,
    /// Signal by name or number
    #[arg(default_value = "TERM", value_parser = super::super::kill::signal)]
    signal: i32,
}

/// Runs the verb.
pub fn main(root: &Path, options: &Options) -> Result<i32> {
    delete::kill(&load(root, &options.id)?, options.signal, options.all)?;
    Ok(0)
}
