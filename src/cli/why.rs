//! `barepod why`

use anyhow::{Result, bail};
use clap::Args;

use super::timeline::read;
use crate::pod::store::Store;
use crate::why::{why, why_container};

/// Say what a pod waits for, a sentence for each gate, or how it ended and why.
#[derive(Debug, Args)]
pub struct Options {
    /// Pod name
    pod: String,
    /// Only what this container waits for
    #[arg(short, long, value_name = "CTR")]
    container: Option<String>,
}

/// Runs the verb.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    let seen = read(store, "why", &options.pod)?;
    let containers = &seen.log.head.containers;
    if let Some(name) = &options.container
        && !containers.iter().any(|container| container.name == *name)
    {
        if seen.log.entries.iter().any(|entry| entry.container.as_ref() == Some(name)) {
            super::print(&format!(
                "{name} is an ephemeral container: it waits for nothing, and nothing for it"
            ))?;
            return Ok(0);
        }
        let names: Vec<_> = containers.iter().map(|container| container.name.as_str()).collect();
        bail!("why {}: no container {name:?}; there are: {}", options.pod, names.join(", "));
    }
    seen.complain("why", &options.pod);
    if let Some(phase) = &seen.ended {
        super::print(&format!("the pod has ended: {phase}; its event log does not say why"))?;
        return Ok(0);
    }
    let sentences = match &options.container {
        Some(name) => why_container(&seen.log, seen.now, name),
        None => why(&seen.log, seen.now),
    };
    sentences.iter().try_for_each(|sentence| super::print(&sentence.text))?;
    Ok(0)
}
