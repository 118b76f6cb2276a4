//! Resource limits: runtime-spec `config-linux.md`, "Control groups".
//!
//! What nearly every container has (memory, cpu, pids, devices) is the flow in this file and in `limits/memory.rs` and
//! `limits/cpu.rs`; it goes through cgroups-rs, each limit by its own function, since the crate's own `apply` drops errors.
//! Each rare limit is a file of its own in `limits/` that turns it, as a pure function, into lines for control files
//! ([`setting`]), which are checked before anything is set. Whatever is set is read back, because the kernel rounds and
//! clamps.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::pid::PidController;
use oci_spec::runtime::{LinuxPids, LinuxResources};

use super::devices::{Policy, default_device_rules};
use super::{Cgroup, Version, devices, tree};
use setting::{Host, Setting};

mod block_io;
mod cpu;
mod cpuset;
mod hugetlb;
mod memory;
mod network;
mod rdma;
mod realtime;
mod setting;
mod unified;

pub(super) use block_io::io_weight;
pub(super) use cpu::weight;
pub(super) use cpuset::inherit as inherit_cpuset;
pub(super) use memory::swap_v2;
pub(super) use setting::numbers;

/// The rare limits, in two parts.
#[derive(Debug, Default)]
struct Rare {
    /// Before the common ones: what would make the kernel refuse those.
    before: Vec<Setting>,
    /// After them; `unified` comes last, so that it wins.
    after: Vec<Setting>,
}

impl Cgroup {
    /// The same cgroup with the controllers in use that the limits need beyond the basic ones. An error names the limit and
    /// the controller that this host does not have.
    pub fn for_resources(&self, resources: &LinuxResources) -> Result<Cgroup> {
        let version = self.hierarchy.version();
        refuse(resources, version)?;
        let mut wider = self.clone();
        for (field, controller) in needs(resources, version)? {
            let lacks = match version {
                Version::V1 => format!("no cgroup v1 mount has {controller}"),
                Version::V2 => format!("cgroup v2 does not offer {controller} here"),
            };
            wider.hierarchy = wider
                .hierarchy
                .with(&controller)
                .with_context(|| format!("linux.resources.{field} is not supported: {lacks}"))?;
        }
        Ok(wider)
    }

    /// As [`Cgroup::for_resources`], for one that is to be made. On v1 with cpuset, if the host has it, as soon as anything is
    /// said of `cpu`: who looks for its CPUs is to find them, if only those of the parent.
    pub fn new_for_resources(&self, resources: &LinuxResources) -> Result<Cgroup> {
        let mut wider = self.for_resources(resources)?;
        if !self.is_v2() && resources.cpu().is_some() {
            wider.hierarchy = wider.hierarchy.with("cpuset").unwrap_or(wider.hierarchy);
        }
        Ok(wider)
    }

    /// Sets the limits of a cgroup that is new. As in other runtimes 0 means "not set" and -1 "no limit". With a device list
    /// the default devices are allowed too ([`default_device_rules`]) and everything that no rule allows is denied; without
    /// one, devices are left alone. What the kernel or the hierarchy lacks is refused by name before anything is set.
    pub fn apply(&self, resources: &LinuxResources) -> Result<()> {
        self.set(resources, false)
    }

    /// As [`Cgroup::apply`]; in a cgroup with a past, limits that depend on each other are brought into agreement with those
    /// that it has.
    pub(super) fn set(&self, resources: &LinuxResources, living: bool) -> Result<()> {
        let version = self.hierarchy.version();
        refuse(resources, version)?;
        for (field, controller) in needs(resources, version)? {
            ensure!(
                self.hierarchy.has(&controller),
                "linux.resources.{field}: {controller} is not in use for cgroup {}",
                self.path
            );
        }
        let rare = self.rare(resources, living)?;
        let policy = match resources.devices() {
            Some(rules) => Some(Policy::of(rules.iter().chain(&default_device_rules()))?),
            None => None,
        };
        rare.before.iter().try_for_each(|setting| self.perform(setting))?;
        self.apply_memory(&resources.memory().unwrap_or_default(), living)?;
        if let Some(cpu) = resources.cpu() {
            self.apply_cpu(cpu)?;
        }
        if let Some(pids) = resources.pids() {
            self.apply_pids(pids)?;
        }
        rare.after.iter().try_for_each(|setting| self.perform(setting))?;
        match policy {
            Some(policy) if self.is_v2() => devices::attach(&self.dir("devices"), &policy),
            Some(policy) if living => devices::change_v1(&self.dir("devices"), &policy),
            Some(policy) => devices::write_v1(&self.dir("devices"), &policy),
            None => Ok(()),
        }
    }

    /// Looks only at what a rare limit is about: a container without any costs nothing here.
    fn rare(&self, resources: &LinuxResources, living: bool) -> Result<Rare> {
        let exists = |controller: &str, file: &str| self.dir(controller).join(file).exists();
        let read = |controller: &str, file: &str| tree::read(&self.dir(controller), file).ok();
        let rare = rare(resources, &Host { v2: self.is_v2(), living, exists: &exists, read: &read })?;
        for setting in rare.before.iter().chain(&rare.after) {
            ensure!(
                exists(&setting.controller, &setting.file),
                "linux.resources.{} is not supported: there is no {}",
                setting.field,
                setting.file
            );
        }
        Ok(rare)
    }

    fn perform(&self, setting: &Setting) -> Result<()> {
        let dir = self.dir(&setting.controller);
        setting.perform(&dir).with_context(|| format!("set linux.resources.{}", setting.field))
    }

    fn apply_pids(&self, pids: &LinuxPids) -> Result<()> {
        if pids.limit() == 0 {
            return Ok(());
        }
        let dir = self.dir("pids");
        let max = if pids.limit() > 0 { MaxValue::Value(pids.limit()) } else { MaxValue::Max };
        PidController::new(dir.clone(), dir.clone(), self.is_v2())
            .set_pid_max(max)
            .with_context(|| format!("set pids.max of {} to {max}", self.path))?;
        confirm(&dir, "pids.max", &max.to_string())
    }
}

fn rare(resources: &LinuxResources, host: &Host) -> Result<Rare> {
    let mut rare = Rare::default();
    let memory = resources.memory().unwrap_or_default();
    rare.after.extend(memory::settings(&memory, host));
    if let Some(cpu) = resources.cpu() {
        cpu::settings(cpu, host, &mut rare)?;
        rare.after.extend(realtime::settings(cpu, host));
        rare.after.extend(cpuset::settings(cpu));
    }
    if let Some(block_io) = resources.block_io() {
        rare.after.extend(block_io::settings(block_io, host)?);
    }
    rare.after.extend(hugetlb::settings(resources.hugepage_limits().iter().flatten(), host)?);
    rare.after.extend(rdma::settings(resources.rdma().iter().flatten())?);
    if let Some(network) = resources.network() {
        rare.after.extend(network::settings(network)?);
    }
    rare.after.extend(unified::settings(resources.unified().iter().flatten())?);
    Ok(rare)
}

/// Each limit that needs a controller beyond the basic ones, and the controller.
fn needs(resources: &LinuxResources, version: Version) -> Result<Vec<(String, String)>> {
    let mut needs = Vec::new();
    let mut need = |given: bool, field: &str, controller: &str| {
        if given {
            needs.push((field.to_owned(), controller.to_owned()));
        }
    };
    if let Some(cpu) = resources.cpu() {
        need(given(cpu.cpus()), "cpu.cpus", "cpuset");
        need(given(cpu.mems()), "cpu.mems", "cpuset");
    }
    let block_io = if version == Version::V1 { "blkio" } else { "io" };
    let asks = resources.block_io().as_ref().is_some_and(block_io::asks);
    need(asks, "blockIO", block_io);
    need(resources.hugepage_limits().iter().flatten().next().is_some(), "hugepageLimits", "hugetlb");
    need(resources.rdma().iter().flatten().next().is_some(), "rdma", "rdma");
    if let Some(network) = resources.network() {
        need(network.class_id().is_some_and(|id| id != 0), "network.classID", "net_cls");
        need(network.priorities().iter().flatten().next().is_some(), "network.priorities", "net_prio");
    }
    for key in resources.unified().iter().flatten().map(|(key, _)| key) {
        if let Some(controller) = unified::controller(key)? {
            need(true, &format!("unified.{key}"), controller);
        }
    }
    Ok(needs)
}

/// What the version of cgroups does not have at all, by its name in the specification. Empty objects and zeroes, which
/// engines like to write, ask for nothing, and neither does -1 for what has no limit anyway.
fn refuse(resources: &LinuxResources, version: Version) -> Result<()> {
    let v2 = version == Version::V2;
    let memory = resources.memory().unwrap_or_default();
    let cpu = resources.cpu().clone().unwrap_or_default();
    let block_io = resources.block_io().clone().unwrap_or_default();
    let network = resources.network().clone().unwrap_or_default();
    let only_v1 = [
        ("memory.kernelTCP", memory.kernel_tcp().is_some_and(|limit| limit > 0)),
        ("memory.swappiness", memory.swappiness().is_some()),
        ("memory.disableOOMKiller", memory.disable_oom_killer() == Some(true)),
        ("cpu.realtimeRuntime", set(cpu.realtime_runtime()).is_some()),
        ("cpu.realtimePeriod", cpu.realtime_period().is_some_and(|period| period != 0)),
        ("blockIO.leafWeight", block_io::leaf_weight(&block_io)),
        ("network.classID", network.class_id().is_some_and(|id| id != 0)),
        ("network.priorities", network.priorities().iter().flatten().next().is_some()),
    ];
    let named: Vec<&str> =
        only_v1.into_iter().filter_map(|(name, given)| (v2 && given).then_some(name)).collect();
    ensure!(
        named.is_empty(),
        "linux.resources: {} is not supported: cgroup v2 does not have it",
        named.join(", ")
    );
    let unified: Vec<&str> = resources.unified().iter().flatten().map(|(key, _)| key.as_str()).collect();
    ensure!(
        v2 || unified.is_empty(),
        "linux.resources.unified: {} is not supported: this host has cgroup v1",
        unified.join(", ")
    );
    ensure!(
        memory.swappiness().is_none_or(|value| value <= 100),
        "linux.resources.memory.swappiness is not in 0–100"
    );
    Ok(())
}

/// Refuses by name what goes beyond memory, cpu time, pids, devices and `memory.oom.group`: for who sets only these.
pub fn refuse_rare(resources: &LinuxResources, version: Version) -> Result<()> {
    refuse(resources, version)?;
    let cpu = resources.cpu().clone().unwrap_or_default();
    let memory = resources.memory().unwrap_or_default();
    #[allow(deprecated)]
    let own = [
        // Linux does not limit it any more.
        ("memory.kernel", memory.kernel().is_some_and(|limit| limit > 0)),
        ("memory.kernelTCP", memory.kernel_tcp().is_some_and(|limit| limit > 0)),
        ("memory.disableOOMKiller", memory.disable_oom_killer() == Some(true)),
        ("memory.checkBeforeUpdate", memory.check_before_update() == Some(true)),
        ("cpu.idle", set(cpu.idle()).is_some()),
        ("cpu.burst", cpu.burst().is_some_and(|burst| burst != 0)),
        ("cpu.realtimeRuntime", set(cpu.realtime_runtime()).is_some()),
        ("cpu.realtimePeriod", cpu.realtime_period().is_some_and(|period| period != 0)),
    ];
    let mut named: Vec<String> =
        own.into_iter().filter(|(_, given)| *given).map(|(name, _)| name.to_owned()).collect();
    let others = needs(resources, version)?.into_iter().map(|(field, _)| field);
    named.extend(others.filter(|field| field != "unified.memory.oom.group"));
    ensure!(named.is_empty(), "linux.resources: {} is not supported", named.join(", "));
    Ok(())
}

/// 0 means that the field is not set.
fn set(value: Option<i64>) -> Option<i64> {
    value.filter(|value| *value != 0)
}

fn given(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.trim().is_empty())
}

fn confirm(dir: &Path, file: &str, want: &str) -> Result<()> {
    let now = tree::read(dir, file)?;
    ensure!(now == want, "{}/{file} is {now:?} and not {want:?}", dir.display());
    Ok(())
}

#[cfg(test)]
mod tests;
