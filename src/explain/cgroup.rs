//! A cgroup made, limited and removed, as system calls and shell lines.

use std::path::{Path, PathBuf};

use anyhow::Result;
use oci_spec::runtime::LinuxResources;

use super::Assumptions;
use super::call::{Call, call, mkdir, open, path, quoted};

/// A control file, what is written to it, and whether it is opened as cgroups-rs does it.
pub struct Write {
    /// The file.
    pub file: PathBuf,
    /// The text.
    pub value: String,
    /// `O_CREAT|O_TRUNC`, which mean nothing there.
    pub create: bool,
}

/// The directories of a cgroup: one on v2, one per hierarchy on v1.
pub fn directories(host: &Assumptions, cgroup: &str) -> Vec<PathBuf> {
    host.hierarchies.iter().map(|(point, _)| point.join(cgroup)).collect()
}

/// On v1 the name of each hierarchy, as the host has it; none on v2.
pub fn names(host: &Assumptions) -> Vec<String> {
    let points = host.hierarchies.iter().filter(|_| !host.v2);
    points.filter_map(|(point, _)| point.file_name()?.to_str().map(str::to_owned)).collect()
}

/// Makes the cgroup and the parents that are missing.
pub fn make(host: &Assumptions, cgroup: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    for (point, _) in &host.hierarchies {
        let mut directory = point.clone();
        let mut parts = cgroup.split('/').peekable();
        while let Some(part) = parts.next() {
            if host.v2 {
                calls.extend(enable(&directory));
            }
            directory.push(part);
            let made = mkdir(&directory, 0o777);
            calls.push(if parts.peek().is_some() { made.when("it is not there yet") } else { made });
        }
    }
    calls
}

/// v2: passes controllers on to the children; asked for first, because a write wakes the whole host.
fn enable(directory: &Path) -> Vec<Call> {
    let file = directory.join("cgroup.subtree_control");
    let missing = "a controller is not passed on yet";
    vec![
        open(&file, "O_WRONLY|O_CLOEXEC", None).gives("file").when(missing),
        call("write", ["file", "\"+cpu +memory +pids\"", "…"]).when(missing),
    ]
}

/// Kills everything in the cgroup: the kernel does it at once on v2; on v1 all are frozen first, so that nobody can fork
/// while the list is read, and thawed after, since the frozen cannot die.
pub fn kill(host: &Assumptions, cgroup: &str) -> Vec<Call> {
    let write = |controller: &str, file: &str, value: &str| {
        let has =
            |(_, controllers): &&(PathBuf, Vec<String>)| controllers.iter().any(|one| one == controller);
        let point = host.hierarchies.iter().find(has).or(host.hierarchies.first());
        let file = point.map(|(point, _)| point.join(cgroup).join(file)).unwrap_or_default();
        [
            open(&file, "O_WRONLY|O_CLOEXEC", None).gives("file"),
            call("write", ["file", &quoted(value), &value.len().to_string()]),
        ]
    };
    if host.v2 {
        return write("", "cgroup.kill", "1").to_vec();
    }
    let mut calls = write("freezer", "freezer.state", "FROZEN").to_vec();
    calls.push(call("kill", ["…", "SIGKILL"]).each("process in the list"));
    calls.extend(write("freezer", "freezer.state", "THAWED"));
    calls
}

/// Removes the cgroup.
pub fn remove(host: &Assumptions, cgroup: &str) -> Vec<Call> {
    directories(host, cgroup).iter().map(|directory| call("rmdir", [path(directory)])).collect()
}

/// These are made while the file is open.
fn same_file(one: &Write, next: &Write) -> bool {
    one.file == next.file
}

/// Sets limits.
pub fn limit(host: &Assumptions, cgroup: &str, resources: &LinuxResources) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    for writes in writes(host, cgroup, resources)?.chunk_by(same_file) {
        let Write { file, create, .. } = &writes[0];
        let flags = if *create { "O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC" } else { "O_WRONLY|O_CLOEXEC" };
        calls.push(open(file, flags, create.then_some(0o666)).gives("file"));
        let write = |value: &str| call("write", ["file", &quoted(value), &value.len().to_string()]);
        calls.extend(writes.iter().map(|one| write(&one.value)));
    }
    if host.v2 && resources.devices().is_some() {
        let directory = host.hierarchies.first().map(|(point, _)| point.join(cgroup)).unwrap_or_default();
        let query = "{query={target_fd=cgroup, attach_type=BPF_CGROUP_DEVICE, …}}";
        calls.extend([
            open(&directory, "O_RDONLY|O_CLOEXEC", None).gives("cgroup"),
            call("bpf", ["BPF_PROG_QUERY", query, "…"]),
            call("bpf", ["BPF_PROG_LOAD", "{prog_type=BPF_PROG_TYPE_CGROUP_DEVICE, …}", "…"])
                .gives("program"),
            call("bpf", [
                "BPF_PROG_ATTACH",
                "{target_fd=cgroup, attach_bpf_fd=program, attach_type=BPF_CGROUP_DEVICE, attach_flags=BPF_F_ALLOW_MULTI}",
                "…",
            ]),
            call("bpf", ["BPF_PROG_QUERY", query, "…"]),
        ]);
    }
    Ok(calls)
}

/// The same for a shell, in one line.
pub fn by_hand(host: &Assumptions, cgroup: &str, resources: &LinuxResources) -> Result<String> {
    let mut lines = vec![match host.hierarchies.first().filter(|_| host.v2) {
        // Every cgroup on the way passes its controllers on.
        Some((top, _)) => format!(
            "at={} && for next in {}; do echo '+cpu +memory +pids' >$at/cgroup.subtree_control; at=$at/$next; mkdir -p $at; done",
            super::shell::path(top),
            cgroup.replace('/', " ")
        ),
        None => {
            let names: Vec<String> =
                directories(host, cgroup).iter().map(|directory| super::shell::path(directory)).collect();
            format!("mkdir -p {}", names.join(" "))
        }
    }];
    lines.extend(commands(host, cgroup, resources)?);
    Ok(lines.join(" && "))
}

/// Limits, for a shell.
pub fn commands(host: &Assumptions, cgroup: &str, resources: &LinuxResources) -> Result<Vec<String>> {
    let writes = writes(host, cgroup, resources)?;
    let line = |writes: &[Write]| {
        let file = super::shell::path(&writes[0].file);
        let values: Vec<String> = writes.iter().map(|write| super::shell::word(&write.value)).collect();
        let line = match values.as_slice() {
            [value] => format!("echo {value} >{file}"),
            all => format!("for each in {}; do echo \"$each\" >{file}; done", all.join(" ")),
        };
        // Without swap in the kernel there is no such file, and nothing to limit.
        if file.contains("memory.swap.max") { format!("if test -e {file}; then {line}; fi") } else { line }
    };
    Ok(writes.chunk_by(same_file).map(line).collect())
}

/// The writes in their order: memory, cpu, pids, then what stands in `unified`, then devices.
pub fn writes(host: &Assumptions, cgroup: &str, resources: &LinuxResources) -> Result<Vec<Write>> {
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let amount = |value: i64| if value < 0 && host.v2 { "max".to_owned() } else { value.to_string() };
    let mut writes = Vec::new();
    let mut write = |controller: &str, file: &str, value: String, create| {
        let has =
            |(_, controllers): &&(PathBuf, Vec<String>)| controllers.iter().any(|one| one == controller);
        if let Some((point, _)) = host.hierarchies.iter().find(has).or(host.hierarchies.first()) {
            writes.push(Write { file: point.join(cgroup).join(file), value, create });
        }
    };
    let memory = resources.memory().unwrap_or_default();
    let (limit, swap) = (set(memory.limit()), set(memory.swap()));
    if host.v2 {
        limit.into_iter().for_each(|limit| write("memory", "memory.max", amount(limit), true));
        match (limit, swap) {
            (_, Some(-1)) | (Some(-1), None) => write("memory", "memory.swap.max", "max".to_owned(), true),
            (Some(limit), Some(total)) => write("memory", "memory.swap.max", amount(total - limit), true),
            _ => {}
        }
    } else {
        limit.into_iter().for_each(|limit| write("memory", "memory.limit_in_bytes", amount(limit), true));
        swap.into_iter()
            .for_each(|total| write("memory", "memory.memsw.limit_in_bytes", amount(total), true));
        if let Some(value) = memory.swappiness() {
            write("memory", "memory.swappiness", value.to_string(), true);
        }
    }
    if let Some(value) = set(memory.reservation()) {
        let file = if host.v2 { "memory.low" } else { "memory.soft_limit_in_bytes" };
        write("memory", file, amount(value), true);
    }
    let cpu = resources.cpu().clone().unwrap_or_default();
    if let Some(shares) = cpu.shares().filter(|shares| *shares > 0) {
        match host.v2 {
            true => write("cpu", "cpu.weight", weight(shares).to_string(), true),
            false => write("cpu", "cpu.shares", shares.clamp(2, 262_144).to_string(), true),
        }
    }
    let (quota, period) = (set(cpu.quota()), cpu.period().filter(|period| *period > 0));
    if host.v2 {
        if quota.is_some() || period.is_some() {
            let quota = quota.map_or("max".to_owned(), amount);
            write("cpu", "cpu.max", format!("{quota} {}", period.unwrap_or(100_000)), true);
        }
    } else {
        period.into_iter().for_each(|period| write("cpu", "cpu.cfs_period_us", period.to_string(), true));
        quota.into_iter().for_each(|quota| write("cpu", "cpu.cfs_quota_us", quota.to_string(), true));
    }
    if let Some(pids) = resources.pids().filter(|pids| pids.limit() != 0) {
        let max = if pids.limit() > 0 { pids.limit().to_string() } else { "max".to_owned() };
        write("pids", "pids.max", max, true);
    }
    let group = resources.unified().as_ref().and_then(|unified| unified.get("memory.oom.group"));
    group.into_iter().for_each(|value| write("memory", "memory.oom.group", value.clone(), false));
    if let (false, Some(rules)) = (host.v2, resources.devices()) {
        for (file, line) in (host.device_writes)(rules)? {
            write("devices", file, line, false);
        }
    }
    Ok(writes)
}

/// cpu.shares as cpu.weight: the curve that runc and crun use ("ConvertCPUSharesToCgroupV2Value", opencontainers/cgroups).
fn weight(shares: u64) -> u64 {
    let l = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    (10f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
}
