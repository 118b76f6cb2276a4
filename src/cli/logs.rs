//! `barepod logs`

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use clap::Args;

use crate::pod::logread::{self, show};
use crate::pod::store::{Liveness, Store};

/// Print the output of a container.
#[derive(Debug, Args)]
pub struct Options {
    /// Pod name
    pod: String,
    /// Container; the first regular one without it
    #[arg(short, long, value_name = "CTR", conflicts_with = "all_containers")]
    container: Option<String>,
    /// Go on until the pod has ended
    #[arg(short, long, conflicts_with = "all_containers")]
    follow: bool,
    /// The instance before the current one
    #[arg(short, long, conflicts_with = "follow")]
    previous: bool,
    /// Begin each line with its time
    #[arg(long)]
    timestamps: bool,
    /// Only the last N lines
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// Only what is not older than this
    #[arg(long, value_parser = super::duration, value_name = "D")]
    since: Option<Duration>,
    /// Every container, one after the other
    #[arg(long)]
    all_containers: bool,
}

/// Runs the verb.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    let (record, _) = store.view(&options.pod)?;
    let wanted = logread::Options {
        attempt: None,
        previous: options.previous,
        tail: options.tail,
        since: options.since.and_then(|since| SystemTime::now().checked_sub(since)),
        timestamps: options.timestamps,
        follow: options.follow,
    };
    let chosen = match options.all_containers {
        true => record.containers.iter().map(|container| container.name.as_str()).collect(),
        false => vec![
            record
                .container(options.container.as_deref())
                .with_context(|| format!("logs of {}", options.pod))?,
        ],
    };
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    // The log goes on until the pod init is gone; a pod that was removed meanwhile has no more to say either.
    let mut over = || {
        let look = || -> Result<bool> {
            Ok(store.liveness(&options.pod, &store.load(&options.pod)?)? != Liveness::Running)
        };
        look().unwrap_or(true)
    };
    for name in chosen {
        let directory = record.logs.join(name);
        // Of all containers, those that have not run have nothing to show.
        if options.all_containers && logread::attempts(&directory)?.is_empty() {
            continue;
        }
        show(&directory, &wanted, &mut out, &mut err, &mut over)
            .with_context(|| format!("logs of {}: container {name}", options.pod))?;
    }
    Ok(0)
}
