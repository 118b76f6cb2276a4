//! The numbers of a v1 cgroup: admin-guide cgroup-v1.

use anyhow::Result;

use super::super::limits::numbers;
use super::{
    BlockIo, BlockIoEntry, Cpu, CpuSet, CpuUsage, Files, HugeTlb, Memory, MemoryEntry, Metrics, Throttling,
    huge_page_sizes, pids,
};

/// `in_use`: whether the cgroup is in the hierarchy of a controller.
pub(super) fn metrics(files: &Files, in_use: &dyn Fn(&str) -> bool) -> Result<Metrics> {
    let mut metrics =
        Metrics { cpu: cpu(files)?, memory: memory(files)?, pids: pids(files)?, ..Metrics::default() };
    if in_use("cpuset") {
        metrics.cpuset = cpuset(files)?;
    }
    if in_use("blkio") {
        metrics.blkio = block_io(files)?;
    }
    if in_use("hugetlb") {
        for size in huge_page_sizes() {
            let number = |file: &str| files.number("hugetlb", &format!("hugetlb.{size}.{file}"));
            let one = HugeTlb {
                usage: number("usage_in_bytes")?,
                max: number("max_usage_in_bytes")?,
                failcnt: number("failcnt")?,
            };
            metrics.hugetlb.insert(size, one);
        }
    }
    Ok(metrics)
}

fn cpu(files: &Files) -> Result<Cpu> {
    let list = |text: Option<String>| -> Vec<u64> {
        text.unwrap_or_default().split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    // Lines of "cpu user system", after a header.
    let each = files.text("cpuacct", "cpuacct.usage_all")?.unwrap_or_default();
    let column = |at: usize| -> Vec<u64> {
        each.lines().skip(1).filter_map(|line| line.split(' ').nth(at)?.parse().ok()).collect()
    };
    let stat = files.keyed("cpuacct", "cpuacct.stat")?;
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.unwrap_or(100).max(1) as u64;
    let nanoseconds = |key: &str| stat.get(key).copied().unwrap_or(0).saturating_mul(1_000_000_000 / ticks);
    let usage = CpuUsage {
        total: files.number("cpuacct", "cpuacct.usage")?,
        percpu: list(files.text("cpuacct", "cpuacct.usage_percpu")?),
        percpu_kernel: column(2),
        percpu_user: column(1),
        kernel: nanoseconds("system"),
        user: nanoseconds("user"),
    };
    let stat = files.keyed("cpu", "cpu.stat")?;
    let number = |key: &str| stat.get(key).copied().unwrap_or(0);
    let throttling = Throttling {
        periods: number("nr_periods"),
        throttled_periods: number("nr_throttled"),
        throttled_time: number("throttled_time"),
    };
    Ok(Cpu { usage, throttling, psi: None })
}

fn cpuset(files: &Files) -> Result<CpuSet> {
    let list = |file: &str| -> Result<Vec<u32>> {
        let text = files.text("cpuset", &format!("cpuset.{file}"))?.unwrap_or_default();
        Ok(numbers(&text).unwrap_or_default())
    };
    let number = |file: &str| files.number("cpuset", &format!("cpuset.{file}"));
    let level = files.text("cpuset", "cpuset.sched_relax_domain_level")?;
    Ok(CpuSet {
        cpus: list("cpus")?,
        cpu_exclusive: number("cpu_exclusive")?,
        mems: list("mems")?,
        mem_hardwall: number("mem_hardwall")?,
        mem_exclusive: number("mem_exclusive")?,
        memory_migrate: number("memory_migrate")?,
        memory_spread_page: number("memory_spread_page")?,
        memory_spread_slab: number("memory_spread_slab")?,
        memory_pressure: number("memory_pressure")?,
        sched_load_balance: number("sched_load_balance")?,
        sched_relax_domain_level: level.and_then(|text| text.parse().ok()).unwrap_or(0),
    })
}

fn memory(files: &Files) -> Result<Memory> {
    let entry = |name: &str| -> Result<MemoryEntry> {
        let number = |file: &str| files.number("memory", &format!("{name}.{file}"));
        Ok(MemoryEntry {
            limit: number("limit_in_bytes")?,
            usage: number("usage_in_bytes")?,
            max: number("max_usage_in_bytes")?,
            failcnt: number("failcnt")?,
        })
    };
    let raw = files.keyed("memory", "memory.stat")?;
    Ok(Memory {
        cache: raw.get("cache").copied().unwrap_or(0),
        usage: entry("memory")?,
        swap: entry("memory.memsw")?,
        kernel: entry("memory.kmem")?,
        kernel_tcp: entry("memory.kmem.tcp")?,
        raw,
        psi: None,
    })
}

/// BFQ counts what goes through it, the throttle what goes to any device; the first that has counted something is taken, as
/// runc does.
fn block_io(files: &Files) -> Result<BlockIo> {
    let read = |file: &str| -> Result<Vec<BlockIoEntry>> {
        Ok(entries(&files.text("blkio", &format!("blkio.{file}"))?.unwrap_or_default()))
    };
    let mut block_io = BlockIo::default();
    for prefix in ["bfq", "throttle"] {
        let serviced = read(&format!("{prefix}.io_serviced_recursive"))?;
        if serviced.is_empty() {
            continue;
        }
        block_io.io_serviced_recursive = serviced;
        block_io.io_service_bytes_recursive = read(&format!("{prefix}.io_service_bytes_recursive"))?;
        break;
    }
    if !block_io.io_serviced_recursive.is_empty() {
        block_io.io_queue_recursive = read("bfq.io_queued_recursive")?;
        block_io.io_service_time_recursive = read("bfq.io_service_time_recursive")?;
        block_io.io_wait_time_recursive = read("bfq.io_wait_time_recursive")?;
        block_io.io_merged_recursive = read("bfq.io_merged_recursive")?;
        block_io.io_time_recursive = read("bfq.time_recursive")?;
        block_io.sectors_recursive = read("bfq.sectors_recursive")?;
    }
    Ok(block_io)
}

/// Lines of `8:0 Read 4096`, or `8:0 4096`; a last one has the sum.
pub(super) fn entries(text: &str) -> Vec<BlockIoEntry> {
    let entry = |line: &str| {
        let (device, rest) = line.split_once(' ')?;
        let (major, minor) = device.split_once(':')?;
        let (op, value) = rest.rsplit_once(' ').unwrap_or(("", rest));
        Some(BlockIoEntry {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            op: op.to_owned(),
            value: value.parse().ok()?,
        })
    };
    text.lines().filter_map(entry).collect()
}
