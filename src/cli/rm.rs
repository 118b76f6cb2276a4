//! `barepod rm`

use anyhow::{Context, Result};
use clap::Args;

use crate::pod::remove;
use crate::pod::store::Store;

/// Remove the record and the logs of pods that have ended.
#[derive(Debug, Args)]
pub struct Options {
    /// Pod names
    #[arg(required = true)]
    pods: Vec<String>,
    /// Stop with grace period 0 first
    #[arg(short, long)]
    force: bool,
}

/// Runs the verb: every pod is tried, every failure is told.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    super::need_root("rm")?;
    let mut code = 0;
    for name in &options.pods {
        if let Err(error) = remove_one(store, name, options.force).with_context(|| format!("rm {name}")) {
            super::say(&format!("barepod: {error:#}"));
            code = super::FAILED;
        }
    }
    Ok(code)
}

fn remove_one(store: &Store, name: &str, force: bool) -> Result<()> {
    if force && store.load(name).is_ok() {
        // A pod that had to be killed is told about, but it is gone, and that is what was asked for.
        if let Err(error) = super::stop::stop(store, name, Some(0)) {
            super::say(&format!("barepod: rm {name}: {error:#}"));
        }
    }
    super::tell_killed(name, &remove::pod(store, name)?);
    Ok(())
}
