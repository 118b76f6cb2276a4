//! All numbers of a cgroup, in the shape in which `runc events --stats` prints them as `data` (package `types` of runc):
//! names, units and what is left out when it is 0 are runc's, so that its readers can read it.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::{Cgroup, tree};

mod v1;
mod v2;

/// What a cgroup and those below it use and have used.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Metrics {
    /// CPU time.
    pub cpu: Cpu,
    /// CPUs and memory nodes; v1 only.
    pub cpuset: CpuSet,
    /// Memory.
    pub memory: Memory,
    /// Tasks.
    pub pids: Pids,
    /// Block devices.
    pub blkio: BlockIo,
    /// Huge pages, by their size.
    pub hugetlb: BTreeMap<String, HugeTlb>,
    /// Always empty; readers expect it.
    pub intel_rdt: BTreeMap<String, String>,
    /// Always null, as runc has it without interfaces of its own making.
    pub network_interfaces: Option<()>,
}

/// CPU time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Cpu {
    pub usage: CpuUsage,
    pub throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// Nanoseconds since the cgroup was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    pub kernel: u64,
    pub user: u64,
}

/// What a quota cost: numbers of periods, and nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// The files of a v1 cpuset.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct CpuSet {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u32>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u32>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// Bytes; `raw` is memory.stat.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Memory {
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    pub usage: MemoryEntry,
    /// Memory and swap together.
    pub swap: MemoryEntry,
    pub kernel: MemoryEntry,
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// One kind of memory, bytes; `u64::MAX` is no limit on v2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct MemoryEntry {
    pub limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// Tasks now, and how many there may be; 0 is no limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Each device's bytes and operations.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct BlockIo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_queue_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// One number of one device.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct BlockIoEntry {
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

/// Huge pages of one size, bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct HugeTlb {
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// Pressure stall information: accounting/psi.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Psi {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub some: Option<Stalled>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<Stalled>,
}

/// Percent of the last seconds, and microseconds in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Stalled {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    pub total: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Cgroup {
    /// Reads everything. What a controller counts that is not in use, or a kernel does not have, is 0 or left out.
    pub fn metrics(&self) -> Result<Metrics> {
        let read = |controller: &str, file: &str| match tree::read(&self.dir(controller), file) {
            Ok(text) => Ok(Some(text)),
            // EOPNOTSUPP: pressure is switched off.
            Err(error) if tree::was_gone(&error) || tree::errno(&error) == Some(libc::EOPNOTSUPP) => Ok(None),
            Err(error) => Err(error),
        };
        let files = Files { read: &read };
        if self.is_v2() { v2::metrics(&files) } else { v1::metrics(&files, &|one| self.hierarchy.has(one)) }
    }
}

/// The cgroup's files by controller and name.
struct Files<'a> {
    read: &'a dyn Fn(&str, &str) -> Result<Option<String>>,
}

impl Files<'_> {
    fn text(&self, controller: &str, file: &str) -> Result<Option<String>> {
        (self.read)(controller, file)
    }

    /// A number; no file is 0.
    fn number(&self, controller: &str, file: &str) -> Result<u64> {
        let text = self.text(controller, file)?;
        Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// A flat keyed file.
    fn keyed(&self, controller: &str, file: &str) -> Result<BTreeMap<String, u64>> {
        let text = self.text(controller, file)?.unwrap_or_default();
        let pair = |line: &str| {
            let (key, value) = line.split_once(' ')?;
            Some((key.to_owned(), value.trim().parse().ok()?))
        };
        Ok(text.lines().filter_map(pair).collect())
    }
}

/// The same on both versions.
fn pids(files: &Files) -> Result<Pids> {
    let (current, limit) = (files.number("pids", "pids.current")?, files.number("pids", "pids.max")?);
    Ok(Pids { current, limit })
}

/// The sizes of huge pages, as their control files are named: `/sys/kernel/mm/hugepages/hugepages-2048kB` is `2MB`.
fn huge_page_sizes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| size_name(&name)).collect()
}

fn size_name(directory: &str) -> Option<String> {
    let kilobytes: u64 = directory.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(match kilobytes {
        gigabytes if kilobytes >= 1 << 20 => format!("{}GB", gigabytes >> 20),
        megabytes if kilobytes >= 1 << 10 => format!("{}MB", megabytes >> 10),
        kilobytes => format!("{kilobytes}KB"),
    })
}

#[cfg(test)]
mod tests;
