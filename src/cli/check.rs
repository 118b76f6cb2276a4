//! `barepod check`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::load::{self, Loaded};
use crate::lint::lint;

/// Validate manifests without root; or, with --host, list every kernel feature that barepod uses.
#[derive(Debug, Args)]
pub struct Options {
    /// Where to look for bundles
    #[arg(long, value_name = "DIR")]
    bundles: Vec<PathBuf>,
    /// Look at this machine instead
    #[arg(long, conflicts_with = "files")]
    host: bool,
    /// Manifests
    #[arg(required_unless_present = "host")]
    files: Vec<PathBuf>,
}

/// Runs the verb: 0 with warnings only, 2 with an error.
pub fn main(options: &Options) -> Result<i32> {
    if options.host {
        return super::host::main();
    }
    let mut code = 0;
    for file in &options.files {
        match load::load(file, &options.bundles)? {
            Some(Loaded { manifest, text, shown, .. }) => {
                lint(&text, &manifest.pod).iter().for_each(|lint| super::say(&lint.render(&shown, &text)));
            }
            None => code = super::USAGE,
        }
    }
    Ok(code)
}
