//! `barepod wait`

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::pod::store::{Liveness, Record, Store};

/// Wait until a pod has got somewhere: 0 when reached, 1 on time-out or when it can no longer be reached.
#[derive(Debug, Args)]
pub struct Options {
    /// Pod name
    pod: String,
    /// What to wait for
    #[arg(long = "for", value_name = "WHAT", value_enum, ignore_case = true)]
    goal: Goal,
    /// Give up after this time (5, 5s, 1m30s, 500ms); without it wait as long as it takes
    #[arg(long, value_parser = super::duration, value_name = "D")]
    timeout: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Goal {
    /// Every init container is done and every sidecar has started
    Initialized,
    /// All containers are ready
    Ready,
    /// The phase is Running
    Running,
    /// The phase is Succeeded
    Succeeded,
    /// The phase is Failed
    Failed,
    /// The pod init is gone and the record is final
    Ended,
}

/// Runs the verb.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    let began = Instant::now();
    let (mut record, mut liveness) = store.view(&options.pod)?;
    loop {
        match reached(options.goal, &record, liveness) {
            Some(true) => return Ok(0),
            Some(false) => return Ok(not_reached(options, &record, "it can no longer be reached")),
            None => {}
        }
        let waited = began.elapsed();
        let left = options.timeout.unwrap_or(Duration::MAX).saturating_sub(waited);
        if left.is_zero() {
            return Ok(not_reached(options, &record, "time-out"));
        }
        std::thread::sleep(nap(waited).min(left));
        match look_again(store, &options.pod, &record)? {
            Some(seen) => (record, liveness) = seen,
            None if options.goal == Goal::Ended => return Ok(0),
            None => return Ok(not_reached(options, &record, "it was removed")),
        }
    }
}

/// `None` when the pod is no more, whoever may have its name by now.
fn look_again(store: &Store, name: &str, before: &Record) -> Result<Option<(Record, Liveness)>> {
    match store.view(name) {
        // The cgroup is named after the pod's uid.
        Ok(seen) => Ok(Some(seen).filter(|(record, _)| record.cgroup == before.cgroup)),
        Err(_) if store.read(name)?.is_none() => Ok(None),
        Err(error) => Err(error),
    }
}

/// How long not to look, after so long a time: what comes soon is seen soon. To be told by inotify(7) would be slower: closing
/// that takes the kernel 12 ms. And the end of the pod init shows in a lock, of which nothing tells.
fn nap(waited: Duration) -> Duration {
    (waited / 8).clamp(Duration::from_micros(500), Duration::from_millis(25))
}

fn not_reached(options: &Options, record: &Record, why: &str) -> i32 {
    super::say(&format!(
        "barepod: wait {} for {:?}: {why} (phase {})",
        options.pod,
        options.goal,
        record.phase()
    ));
    1
}

/// `None` = not yet, but it may still come.
fn reached(goal: Goal, record: &Record, liveness: Liveness) -> Option<bool> {
    let phase = record.phase();
    let over = liveness != Liveness::Running;
    let now = match goal {
        Goal::Initialized => record.condition("Initialized"),
        Goal::Ready => record.condition("Ready"),
        Goal::Running => phase == "Running",
        Goal::Succeeded => phase == "Succeeded",
        Goal::Failed => phase == "Failed",
        Goal::Ended => over,
    };
    let terminal = phase == "Succeeded" || phase == "Failed";
    match now {
        true => Some(true),
        false if goal == Goal::Ended => None,
        false if over || terminal => Some(false),
        false => None,
    }
}
