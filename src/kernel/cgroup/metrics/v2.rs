//! The numbers of a v2 cgroup: admin-guide cgroup-v2.

use anyhow::Result;

use super::{
    BlockIo, BlockIoEntry, Cpu, CpuUsage, Files, HugeTlb, Memory, MemoryEntry, Metrics, Psi, Stalled,
    Throttling, huge_page_sizes, pids,
};

pub(super) fn metrics(files: &Files) -> Result<Metrics> {
    let mut metrics = Metrics {
        cpu: cpu(files)?,
        memory: memory(files)?,
        pids: pids(files)?,
        blkio: block_io(files)?,
        ..Metrics::default()
    };
    for size in huge_page_sizes() {
        if files.text("hugetlb", &format!("hugetlb.{size}.current"))?.is_some() {
            let usage = files.number("hugetlb", &format!("hugetlb.{size}.current"))?;
            let events = files.keyed("hugetlb", &format!("hugetlb.{size}.events"))?;
            let failcnt = events.get("max").copied().unwrap_or(0);
            metrics.hugetlb.insert(size, HugeTlb { usage, max: 0, failcnt });
        }
    }
    Ok(metrics)
}

fn cpu(files: &Files) -> Result<Cpu> {
    let stat = files.keyed("cpu", "cpu.stat")?;
    let number = |key: &str| stat.get(key).copied().unwrap_or(0);
    let usage = CpuUsage {
        total: number("usage_usec") * 1000,
        kernel: number("system_usec") * 1000,
        user: number("user_usec") * 1000,
        ..CpuUsage::default()
    };
    let throttling = Throttling {
        periods: number("nr_periods"),
        throttled_periods: number("nr_throttled"),
        throttled_time: number("throttled_usec") * 1000,
    };
    Ok(Cpu { usage, throttling, psi: psi(files, "cpu.pressure")? })
}

fn memory(files: &Files) -> Result<Memory> {
    let raw = files.keyed("memory", "memory.stat")?;
    let usage = entry(files, "memory")?.unwrap_or_default();
    // As on v1, which counts memory and swap together.
    let swap = entry(files, "memory.swap")?.map(|swap| MemoryEntry {
        limit: if swap.limit == u64::MAX { u64::MAX } else { swap.limit.saturating_add(usage.limit) },
        usage: swap.usage + usage.usage,
        max: 0,
        failcnt: 0,
    });
    Ok(Memory {
        cache: raw.get("file").copied().unwrap_or(0),
        usage,
        swap: swap.unwrap_or_default(),
        raw,
        psi: psi(files, "memory.pressure")?,
        ..Memory::default()
    })
}

fn entry(files: &Files, name: &str) -> Result<Option<MemoryEntry>> {
    if files.text("memory", &format!("{name}.current"))?.is_none() {
        return Ok(None);
    }
    let limit = files.text("memory", &format!("{name}.max"))?.unwrap_or_default();
    Ok(Some(MemoryEntry {
        limit: if limit == "max" { u64::MAX } else { limit.parse().unwrap_or(0) },
        usage: files.number("memory", &format!("{name}.current"))?,
        max: files.number("memory", &format!("{name}.peak"))?,
        failcnt: 0,
    }))
}

/// io.stat in the words of v1.
fn block_io(files: &Files) -> Result<BlockIo> {
    let mut block_io = BlockIo { psi: psi(files, "io.pressure")?, ..BlockIo::default() };
    for line in files.text("io", "io.stat")?.unwrap_or_default().lines() {
        let mut words = line.split(' ');
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            let (list, op) = match key {
                "rbytes" => (&mut block_io.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut block_io.io_service_bytes_recursive, "Write"),
                "rios" => (&mut block_io.io_serviced_recursive, "Read"),
                "wios" => (&mut block_io.io_serviced_recursive, "Write"),
                _ => continue,
            };
            list.push(BlockIoEntry { major, minor, op: op.to_owned(), value });
        }
    }
    Ok(block_io)
}

fn psi(files: &Files, file: &str) -> Result<Option<Psi>> {
    Ok(files.text("", file)?.map(|text| pressure(&text)))
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for `full`.
pub(super) fn pressure(text: &str) -> Psi {
    let line = |name: &str| {
        let words = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        let word = |key: &str| words.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let average = |key: &str| word(key).and_then(|value| value.parse().ok()).unwrap_or(0.0);
        let total = word("total").and_then(|value| value.parse().ok()).unwrap_or(0);
        Some(Stalled { avg10: average("avg10"), avg60: average("avg60"), avg300: average("avg300"), total })
    };
    Psi { some: line("some"), full: line("full") }
}
