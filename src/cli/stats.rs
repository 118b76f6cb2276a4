//! `barepod stats`

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::columns;
use crate::kernel::cgroup::Stats;
use crate::pod::store::Store;

/// Print what running containers have used, by the accounting of their cgroups.
#[derive(Debug, Args)]
pub struct Options {
    /// Pod name; all pods without it
    pod: Option<String>,
    /// Output format
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// One object per container
    Json,
}

struct Row {
    pod: String,
    container: String,
    attempt: u32,
    stats: Stats,
}

/// Runs the verb.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    let names = match &options.pod {
        Some(name) => vec![name.clone()],
        None => store.names()?,
    };
    let mut rows = Vec::new();
    for name in names {
        match rows_of(store, &name) {
            Ok(found) => rows.extend(found),
            // One of all pods may be removed while we look; the one that was asked for must be there.
            Err(_) if options.pod.is_none() && !store.pod(&name).exists() => {}
            Err(error) => return Err(error).context("stats"),
        }
    }
    match options.output {
        Some(Format::Json) => {
            super::print(&serde_json::to_string_pretty(&rows.iter().map(object).collect::<Vec<_>>())?)?
        }
        None => super::print(columns::table(&table(&rows)).trim_end())?,
    }
    Ok(0)
}

fn rows_of(store: &Store, pod: &str) -> Result<Vec<Row>> {
    let (record, _) = store.view(pod)?;
    let mut rows = Vec::new();
    for instance in &record.instances {
        // A container that has just ended has no cgroup any more.
        if let Ok(stats) = record.cgroup_at(&instance.cgroup)?.stats() {
            let (container, attempt) = (instance.container.clone(), instance.attempt);
            rows.push(Row { pod: pod.to_owned(), container, attempt, stats });
        }
    }
    Ok(rows)
}

fn object(row: &Row) -> Value {
    json!({
        "pod": row.pod,
        "container": row.container,
        "restartCount": row.attempt,
        "cpuUsageMicros": row.stats.cpu_usage_usec,
        "memoryBytes": row.stats.memory_bytes,
        "pids": row.stats.pids,
        "oomKills": row.stats.oom_kills,
    })
}

fn table(rows: &[Row]) -> Vec<Vec<String>> {
    let header = ["POD", "CONTAINER", "CPU", "MEMORY", "PIDS", "OOM KILLS"].map(str::to_owned).to_vec();
    let cells = |row: &Row| {
        vec![
            row.pod.clone(),
            row.container.clone(),
            format!("{:.3}s", row.stats.cpu_usage_usec as f64 / 1e6),
            memory(row.stats.memory_bytes),
            row.stats.pids.to_string(),
            row.stats.oom_kills.to_string(),
        ]
    };
    std::iter::once(header).chain(rows.iter().map(cells)).collect()
}

/// In the unit in which a person would say it.
fn memory(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{}Ki", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{:.1}Mi", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1}Gi", bytes as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::memory;

    #[test]
    fn memory_is_said_in_a_unit_that_fits() {
        assert_eq!(
            (memory(4096), memory(0x18_0000), memory(3 << 30)),
            ("4Ki".into(), "1.5Mi".into(), "3.0Gi".into())
        );
    }
}
