//! Resource limits: runtime-spec `config-linux.md`, "Control groups". They are set through cgroups-rs, each by its own
//! function, since the crate's own `apply` drops errors; then each is read back, because the kernel rounds and clamps.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::memory::{MemController, SetMemory};
use cgroups_rs::fs::pid::PidController;
use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};

use super::devices::{Policy, default_device_rules};
use super::{Cgroup, Version, devices, tree};

impl Cgroup {
    /// Sets the limits. As in other runtimes 0 means "not set" and -1 "no limit". With a device list the default devices are
    /// allowed too ([`default_device_rules`]) and everything that no rule allows is denied; without one, devices are left
    /// alone. What is not supported is refused by name before anything is set.
    pub fn apply(&self, resources: &LinuxResources) -> Result<()> {
        let version = self.hierarchy.version();
        refuse(resources, version)?;
        let policy = match resources.devices() {
            Some(rules) => Some(Policy::of(rules.iter().chain(&default_device_rules()))?),
            None => None,
        };
        self.apply_memory(&resources.memory().unwrap_or_default())?;
        if let Some(cpu) = resources.cpu() {
            self.apply_cpu(cpu)?;
        }
        if let Some(pids) = resources.pids() {
            self.apply_pids(pids)?;
        }
        if let Some(value) = oom_group(resources) {
            tree::write(&self.dir("memory"), "memory.oom.group", value)?;
            confirm(&self.dir("memory"), "memory.oom.group", value)?;
        }
        match policy {
            Some(policy) if self.is_v2() => devices::attach(&self.dir("devices"), &policy),
            Some(policy) => devices::write_v1(&self.dir("devices"), &policy),
            None => Ok(()),
        }
    }

    fn apply_memory(&self, memory: &LinuxMemory) -> Result<()> {
        let dir = self.dir("memory");
        let v2 = self.is_v2();
        let controller = MemController::new(dir.clone(), dir.clone(), v2);
        let limit = set(memory.limit());
        let swap = set(memory.swap());
        if v2 {
            let swap = swap_v2(limit, swap)?;
            if let Some(limit) = limit {
                controller
                    .set_limit(limit)
                    .with_context(|| format!("set memory.max of {} to {limit}", self.path))?;
                confirm_bytes(&dir, "memory.max", limit)?;
            }
            // Without swap in the kernel there is no file, and nothing to limit.
            if let Some(swap) = swap.filter(|swap| *swap > 0 || dir.join("memory.swap.max").exists()) {
                controller
                    .set_memswap_limit(swap)
                    .with_context(|| format!("set memory.swap.max to {swap}"))?;
                confirm_bytes(&dir, "memory.swap.max", swap)?;
            }
        } else {
            // The kernel keeps memory <= memory+swap at every moment: when the limit grows beyond the present total, the
            // total goes first.
            let total = "memory.memsw.limit_in_bytes";
            let total_first = match (limit, swap) {
                (Some(limit), Some(_)) => {
                    bytes(&tree::read(&dir, total)?)?.is_some_and(|now| limit < 0 || limit as u64 > now)
                }
                _ => false,
            };
            for is_total in [total_first, !total_first] {
                let Some(value) = (if is_total { swap } else { limit }) else { continue };
                let file = if is_total { total } else { "memory.limit_in_bytes" };
                let result =
                    if is_total { controller.set_memswap_limit(value) } else { controller.set_limit(value) };
                result.with_context(|| format!("set {file} of {} to {value}", self.path))?;
                confirm_bytes(&dir, file, value)?;
            }
            if let Some(value) = memory.swappiness() {
                controller
                    .set_swappiness(value)
                    .with_context(|| format!("set memory.swappiness to {value}"))?;
                confirm(&dir, "memory.swappiness", &value.to_string())?;
            }
        }
        if let Some(value) = set(memory.reservation()) {
            let file = if v2 { "memory.low" } else { "memory.soft_limit_in_bytes" };
            let low = if value < 0 { MaxValue::Max } else { MaxValue::Value(value) };
            let result = match v2 {
                true => controller.set_mem(SetMemory { low: Some(low), high: None, min: None, max: None }),
                false => controller.set_soft_limit(value),
            };
            result.with_context(|| format!("set {file} of {} to {value}", self.path))?;
            confirm_bytes(&dir, file, value)?;
        }
        Ok(())
    }

    fn apply_cpu(&self, cpu: &LinuxCpu) -> Result<()> {
        let dir = self.dir("cpu");
        let v2 = self.is_v2();
        let controller = CpuController::new(dir.clone(), dir.clone(), v2);
        if let Some(shares) = cpu.shares().filter(|shares| *shares > 0) {
            let (file, value) =
                if v2 { ("cpu.weight", weight(shares)) } else { ("cpu.shares", shares.clamp(2, 262_144)) };
            controller
                .set_shares(value)
                .with_context(|| format!("set {file} of {} to {value}", self.path))?;
            confirm(&dir, file, &value.to_string())?;
        }
        let quota = set(cpu.quota());
        let period = cpu.period().filter(|period| *period > 0);
        if quota.is_none() && period.is_none() {
            return Ok(());
        }
        let wanted = format!("cpu quota {quota:?} period {period:?} of {}", self.path);
        // On v1 these are two writes, and the kernel refuses a first one that gives more than the parent has: the order that
        // is refused when a limit grows is the one that works when it shrinks.
        let result = match (quota, period) {
            (Some(quota), Some(period)) if !v2 => {
                controller.set_cfs_period(period).and_then(|()| controller.set_cfs_quota(quota)).or_else(
                    |_| controller.set_cfs_quota(quota).and_then(|()| controller.set_cfs_period(period)),
                )
            }
            (quota, period) => controller.set_cfs_quota_and_period(quota, period),
        };
        result.with_context(|| format!("set {wanted}"))?;
        if v2 {
            let now = tree::read(&dir, "cpu.max")?;
            let (now_quota, now_period) = now.split_once(' ').context("parse cpu.max")?;
            let want_quota = quota.map(|quota| if quota < 0 { "max".to_owned() } else { quota.to_string() });
            let same = want_quota.is_none_or(|want| want == now_quota)
                && period.is_none_or(|want| want.to_string() == now_period);
            ensure!(same, "set {wanted}: the kernel has {now:?}");
        } else {
            quota.map_or(Ok(()), |quota| confirm(&dir, "cpu.cfs_quota_us", &quota.max(-1).to_string()))?;
            period.map_or(Ok(()), |period| confirm(&dir, "cpu.cfs_period_us", &period.to_string()))?;
        }
        Ok(())
    }

    fn apply_pids(&self, pids: &LinuxPids) -> Result<()> {
        let dir = self.dir("pids");
        let max = if pids.limit() > 0 { MaxValue::Value(pids.limit()) } else { MaxValue::Max };
        PidController::new(dir.clone(), dir.clone(), self.is_v2())
            .set_pid_max(max)
            .with_context(|| format!("set pids.max of {} to {max}", self.path))?;
        confirm(&dir, "pids.max", &max.to_string())
    }
}

/// 0 means that the field is not set.
fn set(value: Option<i64>) -> Option<i64> {
    value.filter(|value| *value != 0)
}

/// cpu.shares (2–262144, default 1024) as cpu.weight (1–10000, default 100): the curve through these three points that runc
/// and crun use, "ConvertCPUSharesToCgroupV2Value" in opencontainers/cgroups.
fn weight(shares: u64) -> u64 {
    let l = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    (10f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
}

/// OCI's swap is memory and swap together, v2's is swap alone.
fn swap_v2(limit: Option<i64>, swap: Option<i64>) -> Result<Option<i64>> {
    match (limit, swap) {
        (Some(-1), None) | (_, Some(-1)) => Ok(Some(-1)),
        (_, None) => Ok(None),
        (Some(limit), Some(total)) if limit > 0 && total >= limit => Ok(Some(total - limit)),
        (Some(limit), Some(total)) if limit > 0 => {
            bail!("memory.swap {total} is less than memory.limit {limit}")
        }
        (_, Some(total)) => bail!("memory.swap {total} needs a memory.limit"),
    }
}

/// An amount of memory as the kernel prints it; `None` is "no limit".
fn bytes(text: &str) -> Result<Option<u64>> {
    // v1 prints its largest number of pages in bytes.
    const UNLIMITED: u64 = i64::MAX as u64 - 0xf_ffff;
    if text == "max" {
        return Ok(None);
    }
    let value: u64 = text.parse().with_context(|| format!("parse {text:?}"))?;
    Ok((value < UNLIMITED).then_some(value))
}

/// Compares an amount of memory; the kernel counts whole pages.
fn confirm_bytes(dir: &Path, file: &str, want: i64) -> Result<()> {
    let now = bytes(&tree::read(dir, file)?)?;
    let page =
        nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?.context("ask for the page size")? as u64;
    let want_pages = u64::try_from(want).ok().map(|want| want / page);
    ensure!(now.map(|now| now / page) == want_pages, "{}/{file} is {now:?} and not {want}", dir.display());
    Ok(())
}

fn confirm(dir: &Path, file: &str, want: &str) -> Result<()> {
    let now = tree::read(dir, file)?;
    ensure!(now == want, "{}/{file} is {now:?} and not {want:?}", dir.display());
    Ok(())
}

/// The one key of `unified` that is supported: with "1" the OOM killer ends the whole cgroup, as the kubelet wants it.
fn oom_group(resources: &LinuxResources) -> Option<&str> {
    resources.unified().as_ref()?.get("memory.oom.group").map(String::as_str)
}

/// What is not done, by its name in the specification. Empty objects and zeroes, which engines like to write, ask for
/// nothing.
fn refuse(resources: &LinuxResources, version: Version) -> Result<()> {
    let some = |value: Option<u64>| value.is_some_and(|value| value != 0);
    let text = |value: &Option<String>| value.as_ref().is_some_and(|value| !value.is_empty());
    let memory = resources.memory().unwrap_or_default();
    let cpu = resources.cpu().clone().unwrap_or_default();
    let block_io = resources.block_io().clone().unwrap_or_default();
    let network = resources.network().clone().unwrap_or_default();
    #[allow(deprecated)]
    let kernel = set(memory.kernel()).is_some();
    let unified = resources.unified().iter().flatten().map(|(key, _)| key.as_str());
    let other_unified: Vec<&str> =
        unified.filter(|key| version == Version::V1 || *key != "memory.oom.group").collect();
    let mut unsupported = vec![
        ("memory.kernel", kernel),
        ("memory.kernelTCP", set(memory.kernel_tcp()).is_some()),
        ("memory.swappiness on cgroup v2", version == Version::V2 && memory.swappiness().is_some()),
        ("memory.disableOOMKiller", memory.disable_oom_killer() == Some(true)),
        ("memory.checkBeforeUpdate", memory.check_before_update() == Some(true)),
        ("cpu.idle", set(cpu.idle()).is_some()),
        ("cpu.burst", some(cpu.burst())),
        ("cpu.realtimeRuntime", set(cpu.realtime_runtime()).is_some()),
        ("cpu.realtimePeriod", some(cpu.realtime_period())),
        ("cpu.cpus", text(cpu.cpus())),
        ("cpu.mems", text(cpu.mems())),
        ("hugepageLimits", resources.hugepage_limits().as_ref().is_some_and(|limits| !limits.is_empty())),
        ("rdma", resources.rdma().as_ref().is_some_and(|limits| !limits.is_empty())),
        ("network.classID", network.class_id().is_some_and(|id| id != 0)),
        ("network.priorities", network.priorities().as_ref().is_some_and(|list| !list.is_empty())),
        ("blockIO.weight", block_io.weight().is_some_and(|weight| weight != 0)),
        ("blockIO.leafWeight", block_io.leaf_weight().is_some_and(|weight| weight != 0)),
        ("blockIO.weightDevice", block_io.weight_device().as_ref().is_some_and(|list| !list.is_empty())),
    ];
    for (name, list) in [
        ("blockIO.throttleReadBpsDevice", block_io.throttle_read_bps_device()),
        ("blockIO.throttleWriteBpsDevice", block_io.throttle_write_bps_device()),
        ("blockIO.throttleReadIOPSDevice", block_io.throttle_read_iops_device()),
        ("blockIO.throttleWriteIOPSDevice", block_io.throttle_write_iops_device()),
    ] {
        unsupported.push((name, list.as_ref().is_some_and(|list| !list.is_empty())));
    }
    let named: Vec<&str> =
        unsupported.into_iter().filter_map(|(name, given)| given.then_some(name)).collect();
    ensure!(named.is_empty(), "linux.resources: {} is not supported", named.join(", "));
    ensure!(
        other_unified.is_empty(),
        "linux.resources.unified: {} is not supported",
        other_unified.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests;
