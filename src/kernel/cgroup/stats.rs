//! The few numbers that matter most; [`super::Metrics`] has all of them.

use anyhow::{Context, Result};

use super::{Cgroup, tree};

/// What a cgroup and the cgroups below it have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// CPU time in microseconds since the cgroup was made.
    pub cpu_usage_usec: u64,
    /// Memory charged now, page cache included, in bytes.
    pub memory_bytes: u64,
    /// Tasks (threads count) now.
    pub pids: u64,
    /// Processes that the kernel killed because a memory limit was hit.
    pub oom_kills: u64,
}

impl Cgroup {
    /// How many processes the kernel killed here and below because a memory limit was hit.
    pub fn oom_kills(&self) -> Result<u64> {
        if self.is_v2() {
            let events = tree::read(&self.dir("memory"), "memory.events")?;
            return tree::keyed(&events, "oom_kill").context("find oom_kill in memory.events");
        }
        // v1 counts in the victim's own cgroup only.
        let mut sum = 0;
        for dir in tree::walk(&self.dir("memory"))? {
            let control = tree::read(&dir, "memory.oom_control")?;
            sum += tree::keyed(&control, "oom_kill").context("find oom_kill in memory.oom_control")?;
        }
        Ok(sum)
    }

    /// Reads the accounting.
    pub fn stats(&self) -> Result<Stats> {
        let number = |controller: &str, file: &str| -> Result<u64> {
            tree::read(&self.dir(controller), file)?.parse().with_context(|| format!("parse {file}"))
        };
        let (cpu_usage_usec, memory_file) = if self.is_v2() {
            let stat = tree::read(&self.dir("cpu"), "cpu.stat")?;
            (tree::keyed(&stat, "usage_usec").context("find usage_usec in cpu.stat")?, "memory.current")
        } else {
            (number("cpuacct", "cpuacct.usage")? / 1000, "memory.usage_in_bytes")
        };
        Ok(Stats {
            cpu_usage_usec,
            memory_bytes: number("memory", memory_file)?,
            pids: number("pids", "pids.current")?,
            oom_kills: self.oom_kills()?,
        })
    }
}
