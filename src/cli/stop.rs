//! `barepod stop`

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::kernel::process;
use crate::pod::control::{self, Request};
use crate::pod::remove;
use crate::pod::store::{Liveness, Record, Store};

/// End a pod gracefully; its record stays.
#[derive(Debug, Args)]
pub struct Options {
    /// Pod name
    pod: String,
    /// Grace period in seconds; the pod's own without it
    #[arg(short, long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=i32::MAX as u64))]
    time: Option<u64>,
}

/// Runs the verb.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    super::need_root("stop")?;
    stop(store, &options.pod, options.time).with_context(|| format!("stop {}", options.pod))?;
    Ok(0)
}

/// Asks for termination and waits for the end: at most the grace period and 5 s, then the pod is killed.
pub fn stop(store: &Store, name: &str, grace: Option<u64>) -> Result<()> {
    let (record, liveness) = store.view(name)?;
    if liveness != Liveness::Running {
        return Ok(()); // it has ended already, which is what was asked for
    }
    if record.init.is_none() {
        kill(store, name, &record)?;
        bail!("its sandbox was still being made; it was killed");
    }
    let own = record.object["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
    let patience = Duration::from_secs(grace.unwrap_or(own)) + Duration::from_secs(5);
    let start = Instant::now();
    if let Err(error) = control::ask(&store.pod(name), &Request::Stop { grace }) {
        if wait_for_end(store, name, Duration::from_millis(200))? {
            return clear(store, name, &record); // it ended while we asked
        }
        kill(store, name, &record)?;
        bail!("the pod init did not answer ({error:#}); it was killed");
    }
    if !wait_for_end(store, name, patience.saturating_sub(start.elapsed()))? {
        kill(store, name, &record)?;
        bail!("the pod did not end within {} s; it was killed", patience.as_secs());
    }
    clear(store, name, &record)
}

/// The lock is free when the pod init is gone; until then its end shows in its pidfd.
fn wait_for_end(store: &Store, name: &str, patience: Duration) -> Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        let record = store.load(name)?;
        if store.liveness(name, &record)? != Liveness::Running {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        match record.init.as_ref().and_then(|init| init.open().ok()) {
            Some(pidfd) => drop(process::readable(pidfd.as_fd(), left)?),
            None => std::thread::sleep(Duration::from_millis(2)), // dead, and about to drop the lock
        }
    }
}

/// Ends the pod by force: the pod init through its pidfd, then the cgroups, then whoever outside holds it.
fn kill(store: &Store, name: &str, record: &Record) -> Result<()> {
    match &record.init {
        Some(init) => {
            if let Ok(pidfd) = init.open() {
                process::kill(pidfd.as_fd())?;
                process::readable(pidfd.as_fd(), Duration::from_secs(2))?;
            }
        }
        // It has not written down yet who it is; but its cgroup is known.
        None => record.cgroup_at(&record.cgroup)?.kill(Duration::from_secs(2))?,
    }
    clear(store, name, record)
}

fn clear(store: &Store, name: &str, record: &Record) -> Result<()> {
    super::tell_killed(name, &remove::cgroups_of_ended(store, name, record)?);
    Ok(())
}
