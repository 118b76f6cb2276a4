//! CPU time: shares, quota and period through cgroups-rs; at their side `cpu.burst` and `cpu.idle` (scheduler/sched-bwc,
//! cgroup-v2 "CPU").

use anyhow::{Context, Result, ensure};
use cgroups_rs::fs::cpu::CpuController;
use oci_spec::runtime::LinuxCpu;

use super::setting::{Host, Setting, Shows};
use super::{Cgroup, Rare, confirm, set, tree};

impl Cgroup {
    pub(super) fn apply_cpu(&self, cpu: &LinuxCpu) -> Result<()> {
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
}

/// Burst and idle. A burst must never be larger than the quota, so it goes out of the way while that changes. An idle cgroup
/// has no shares of its own: it takes none, and forgets those that it had.
pub(super) fn settings(cpu: &LinuxCpu, host: &Host, into: &mut Rare) -> Result<()> {
    let burst = if host.v2 { "cpu.max.burst" } else { "cpu.cfs_burst_us" };
    let one = |field: &str, file: &str, value: &str| {
        Setting::new(field, "cpu", file, value.to_owned(), Shows::Same)
    };
    // 0 is the default, which a kernel without the file has too.
    if let Some(micros) = cpu.burst().filter(|micros| *micros != 0 || host.exists("cpu", burst)) {
        let quota = cpu.quota().filter(|quota| *quota > 0);
        ensure!(
            quota.is_none_or(|quota| micros <= quota as u64),
            "linux.resources.cpu.burst {micros} is larger than the quota"
        );
        into.before.push(one("cpu.burst", burst, "0"));
        if micros != 0 {
            into.after
                .push(one("cpu.burst", burst, &micros.to_string()).hint("it must not exceed the quota"));
        }
    }
    match cpu.idle() {
        None => {}
        Some(0) if !host.exists("cpu", "cpu.idle") => {}
        Some(0) => into.before.push(one("cpu.idle", "cpu.idle", "0")),
        Some(1) => into.after.push(one("cpu.idle", "cpu.idle", "1")),
        Some(other) => anyhow::bail!("linux.resources.cpu.idle {other} is neither 0 nor 1"),
    }
    Ok(())
}

/// cpu.shares (2–262144, default 1024) as cpu.weight (1–10000, default 100): the curve through these three points that runc
/// and crun use, "ConvertCPUSharesToCgroupV2Value" in opencontainers/cgroups.
pub(in super::super) fn weight(shares: u64) -> u64 {
    let l = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    (10f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
}
