//! How a process is scheduled: sched(7), ioprio_set(2), set_mempolicy(2), sched_setaffinity(2).

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::sys;

pub use super::sys::SchedAttr;

/// Scheduling policy of this process.
pub fn set_policy(attributes: &SchedAttr) -> Result<()> {
    sys::sched_setattr(attributes).context("sched_setattr")
}

/// I/O class and level of this process, in one number.
pub fn set_io_priority(value: u32) -> Result<()> {
    sys::ioprio_set(value).context("ioprio_set")
}

/// Execution domain of this process, personality(2).
pub fn set_personality(value: u64) -> Result<()> {
    let persona = nix::sys::personality::Persona::from_bits_retain(value as i32);
    nix::sys::personality::set(persona).context("personality").map(drop)
}

/// NUMA memory policy of this process: mode with flags, node numbers.
pub fn set_memory_policy(mode: i32, nodes: &[usize]) -> Result<()> {
    let words = nodes.iter().max().map_or(0, |highest| highest / 64 + 1);
    let mut mask = vec![0u64; words];
    nodes.iter().for_each(|node| mask[node / 64] |= 1 << (node % 64));
    sys::set_mempolicy(mode, &mask).context("set_mempolicy")
}

/// The CPUs that this process may run on.
pub fn set_affinity(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu).with_context(|| format!("no CPU {cpu}"))?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("sched_setaffinity {cpus:?}"))
}
