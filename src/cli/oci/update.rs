//! `barepod-oci update`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use oci_spec::runtime::LinuxResources;

use super::{Global, warn};
use crate::container::oci::{Status, load};
use crate::kernel::cgroup::{systemd, update};

/// Change the limits of a container.
#[derive(Debug, Args)]
pub struct Options {
    /// `linux.resources` as JSON; what else is given on the command line does not count then. - is standard input
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Weight of block I/O, 10 to 1000
    #[arg(long, value_name = "N")]
    blkio_weight: Option<String>,
    /// Period of the CPU quota, in microseconds
    #[arg(long, value_name = "N")]
    cpu_period: Option<String>,
    /// CPU time per period, in microseconds
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    cpu_quota: Option<String>,
    /// CPU time that may be saved up, in microseconds
    #[arg(long, value_name = "N")]
    cpu_burst: Option<String>,
    /// Share of the CPU
    #[arg(long, value_name = "N")]
    cpu_share: Option<String>,
    /// Period of real-time scheduling, in microseconds
    #[arg(long, value_name = "N")]
    cpu_rt_period: Option<String>,
    /// Real-time CPU time per period, in microseconds
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    cpu_rt_runtime: Option<String>,
    /// 1: use the CPU only when nobody else does
    #[arg(long, value_name = "0|1")]
    cpu_idle: Option<String>,
    /// CPUs to run on, such as 0-3,7
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Memory, in bytes or with a unit
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<String>,
    /// Memory that is kept for it
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_reservation: Option<String>,
    /// Memory and swap together
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Processes
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<String>,
    /// Container id
    id: String,
}

/// Runs the verb.
pub fn main(global: &Global, root: &Path, options: &Options) -> Result<i32> {
    let container = load(root, &options.id)?;
    let status = container.status()?;
    ensure!(status != Status::Stopped, "container is {status}, not running");
    let resources = match &options.resources {
        Some(file) => read(file)?,
        None => given(options).resources()?,
    };
    left_out(&resources).into_iter().for_each(|left_out| warn(global, left_out));
    let cgroup = container.cgroup()?;
    if let Some(unit) = &container.record.scope {
        systemd::update(unit, &resources, cgroup.is_v2())?;
    }
    cgroup.update(&resources)?;
    Ok(0)
}

/// As [`crate::plan::oci::left_out`] has it for a configuration.
fn left_out(resources: &LinuxResources) -> Option<&'static str> {
    #[allow(deprecated)]
    let kernel = resources.memory().and_then(|memory| memory.kernel()).filter(|limit| *limit > 0);
    kernel.map(|_| "memory.kernel has no effect: Linux does not limit it any more")
}

fn read(file: &Path) -> Result<LinuxResources> {
    let text = match file.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()).context("read standard input")?,
        _ => std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?,
    };
    serde_json::from_str(&text).context("parse the resources")
}

fn given(options: &Options) -> update::Options {
    update::Options {
        blkio_weight: options.blkio_weight.clone(),
        cpu_period: options.cpu_period.clone(),
        cpu_quota: options.cpu_quota.clone(),
        cpu_burst: options.cpu_burst.clone(),
        cpu_share: options.cpu_share.clone(),
        cpu_rt_period: options.cpu_rt_period.clone(),
        cpu_rt_runtime: options.cpu_rt_runtime.clone(),
        cpu_idle: options.cpu_idle.clone(),
        cpuset_cpus: options.cpuset_cpus.clone(),
        cpuset_mems: options.cpuset_mems.clone(),
        memory: options.memory.clone(),
        memory_reservation: options.memory_reservation.clone(),
        memory_swap: options.memory_swap.clone(),
        pids_limit: options.pids_limit.clone(),
    }
}
