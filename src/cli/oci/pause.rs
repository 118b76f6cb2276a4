//! `barepod-oci pause`, `barepod-oci resume`

use std::path::Path;

use anyhow::{Result, ensure};
use clap::Args;

use crate::container::oci::{Status, load};

/// Stop all processes of a container, or let them go on.
#[derive(Debug, Args)]
pub struct Options {
    /// Container id
    id: String,
}

/// Runs `pause`.
pub fn pause(root: &Path, options: &Options) -> Result<i32> {
    let container = load(root, &options.id)?;
    let status = container.status()?;
    ensure!(matches!(status, Status::Running | Status::Created), "container is {status}, not running");
    container.cgroup()?.freeze()?;
    Ok(0)
}

/// Runs `resume`.
pub fn resume(root: &Path, options: &Options) -> Result<i32> {
    let container = load(root, &options.id)?;
    let status = container.status()?;
    // A created one that was paused is still `created`.
    ensure!(
        status == Status::Paused || status == Status::Created && container.cgroup()?.is_frozen()?,
        "container is {status}, not paused"
    );
    container.cgroup()?.thaw()?;
    Ok(0)
}
