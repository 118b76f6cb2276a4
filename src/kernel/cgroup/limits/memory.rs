//! Memory: limit, swap, reservation and swappiness through cgroups-rs; at their side what only v1 has (admin-guide
//! cgroup-v1/memory, cgroup-v2 "Memory").

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::memory::{MemController, SetMemory};
use oci_spec::runtime::LinuxMemory;

use super::setting::{Host, Setting, Shows, bytes};
use super::unified::page_size;
use super::{Cgroup, confirm, set, tree};

/// Memory and swap together, v1.
const TOTAL: &str = "memory.memsw.limit_in_bytes";

impl Cgroup {
    pub(super) fn apply_memory(&self, memory: &LinuxMemory, living: bool) -> Result<()> {
        let dir = self.dir("memory");
        let controller = MemController::new(dir.clone(), dir.clone(), self.is_v2());
        if memory.check_before_update() == Some(true) {
            self.check_usage(&dir, memory)?;
        }
        if self.is_v2() {
            self.limit_v2(&dir, &controller, memory, living)?;
        } else {
            self.limit_v1(&dir, &controller, memory)?;
        }
        if let Some(value) = set(memory.reservation()) {
            let file = if self.is_v2() { "memory.low" } else { "memory.soft_limit_in_bytes" };
            let low = if value < 0 { MaxValue::Max } else { MaxValue::Value(value) };
            let result = match self.is_v2() {
                true => controller.set_mem(SetMemory { low: Some(low), high: None, min: None, max: None }),
                false => controller.set_soft_limit(value),
            };
            result.with_context(|| format!("set {file} of {} to {value}", self.path))?;
            confirm_bytes(&dir, file, value)?;
        }
        Ok(())
    }

    fn limit_v2(
        &self,
        dir: &Path,
        controller: &MemController,
        memory: &LinuxMemory,
        living: bool,
    ) -> Result<()> {
        let limit = set(memory.limit());
        let mut swap = set(memory.swap());
        let mut basis = limit;
        // The two files are one limit of memory and one of swap, what is asked for is one of memory and one of both together:
        // who changes only one of them means that the other stays.
        if living && limit != Some(-1) && limit.is_some() != swap.is_some() {
            let now = |file| Ok::<_, anyhow::Error>(bytes(&tree::read(dir, file)?)?.map(|now| now as i64));
            let now_limit = now("memory.max")?;
            basis = limit.or(now_limit).or(Some(-1));
            let now_swap = if dir.join("memory.swap.max").exists() { now("memory.swap.max")? } else { None };
            if let (None, Some(memory), Some(swapped)) = (swap, now_limit, now_swap) {
                swap = Some(memory.saturating_add(swapped));
            }
        }
        let swap = swap_v2(basis, swap)?;
        if let Some(limit) = limit {
            controller
                .set_limit(limit)
                .with_context(|| format!("set memory.max of {} to {limit}", self.path))?;
            confirm_bytes(dir, "memory.max", limit)?;
        }
        // Without swap in the kernel there is no file, and nothing to limit.
        if let Some(swap) = swap.filter(|swap| *swap > 0 || dir.join("memory.swap.max").exists()) {
            controller.set_memswap_limit(swap).with_context(|| format!("set memory.swap.max to {swap}"))?;
            confirm_bytes(dir, "memory.swap.max", swap)?;
        }
        Ok(())
    }

    fn limit_v1(&self, dir: &Path, controller: &MemController, memory: &LinuxMemory) -> Result<()> {
        let limit = set(memory.limit());
        let mut swap = set(memory.swap());
        if (limit == Some(-1) && swap.is_none()) || swap == Some(-1) {
            // No limit of the one means none of both; without swap accounting in the kernel there is none anyway.
            swap = dir.join(TOTAL).exists().then_some(-1);
        }
        let lacks = "linux.resources.memory.swap is not supported: the kernel does not account for swap";
        ensure!(limit.is_some() || swap.is_none() || dir.join(TOTAL).exists(), lacks);
        // The kernel keeps memory <= memory+swap at every moment: when the limit grows beyond the present total, the total
        // goes first.
        let total_first = match (limit, swap) {
            (Some(limit), Some(_)) => {
                let now = tree::read(dir, TOTAL).context(lacks)?;
                bytes(&now)?.is_some_and(|now| limit < 0 || limit as u64 > now)
            }
            _ => false,
        };
        for is_total in [total_first, !total_first] {
            let Some(value) = (if is_total { swap } else { limit }) else { continue };
            let file = if is_total { TOTAL } else { "memory.limit_in_bytes" };
            let result =
                if is_total { controller.set_memswap_limit(value) } else { controller.set_limit(value) };
            result.with_context(|| {
                let used = tree::read(dir, "memory.usage_in_bytes").unwrap_or_default();
                format!("set {file} of {} to {value} ({used} bytes are in use)", self.path)
            })?;
            confirm_bytes(dir, file, value)?;
        }
        if let Some(value) = memory.swappiness() {
            controller.set_swappiness(value).with_context(|| format!("set memory.swappiness to {value}"))?;
            confirm(dir, "memory.swappiness", &value.to_string())?;
        }
        Ok(())
    }

    /// `checkBeforeUpdate`: on v2 a limit below what is in use would call the OOM killer; v1 refuses by itself.
    fn check_usage(&self, dir: &Path, memory: &LinuxMemory) -> Result<()> {
        if !self.is_v2() {
            return Ok(());
        }
        let used: i64 = tree::read(dir, "memory.current")?.parse().context("parse memory.current")?;
        for (name, limit) in [("swap", memory.swap()), ("limit", memory.limit())] {
            let fits = limit.is_none_or(|limit| limit <= 0 || limit > used);
            ensure!(
                fits,
                "linux.resources.memory.{name} {} is not more than the {used} bytes in use",
                limit.unwrap_or_default()
            );
        }
        Ok(())
    }
}

/// What only v1 has.
pub(super) fn settings(memory: &LinuxMemory, host: &Host) -> Vec<Setting> {
    let mut settings = Vec::new();
    if host.v2 {
        return settings;
    }
    if let Some(limit) = set(memory.kernel_tcp()) {
        let file = "memory.kmem.tcp.limit_in_bytes";
        // No limit is the default, which a kernel without the file has too.
        if limit > 0 || host.exists("memory", file) {
            let shows = Shows::Bytes(page_size());
            settings.push(Setting::new("memory.kernelTCP", "memory", file, limit.max(-1).to_string(), shows));
        }
    }
    if memory.use_hierarchy() == Some(true) && host.exists("memory", "memory.use_hierarchy") {
        let setting = Setting::new(
            "memory.useHierarchy",
            "memory",
            "memory.use_hierarchy",
            "1".to_owned(),
            Shows::Same,
        );
        settings.push(setting);
    }
    if let Some(disable) = memory.disable_oom_killer().filter(|disable| *disable || host.living) {
        let value = u8::from(disable).to_string();
        let shows = Shows::Line("oom_kill_disable".to_owned(), value.clone());
        settings.push(Setting::new("memory.disableOOMKiller", "memory", "memory.oom_control", value, shows));
    }
    settings
}

/// OCI's swap is memory and swap together, v2's is swap alone.
pub(in super::super) fn swap_v2(limit: Option<i64>, swap: Option<i64>) -> Result<Option<i64>> {
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

/// Compares an amount of memory; the kernel counts whole pages.
fn confirm_bytes(dir: &Path, file: &str, want: i64) -> Result<()> {
    let now = bytes(&tree::read(dir, file)?)?;
    let page = page_size();
    let want_pages = u64::try_from(want).ok().map(|want| want / page);
    ensure!(now.map(|now| now / page) == want_pages, "{}/{file} is {now:?} and not {want}", dir.display());
    Ok(())
}
