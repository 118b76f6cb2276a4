//! A systemd scope as data: its names, its cgroup, and limits as unit properties (systemd.resource-control(5),
//! org.freedesktop.systemd1(5)), as far as systemd knows them. With them `systemctl daemon-reload` sets what was set; the
//! exact values are then written to the control files, as everywhere.

use anyhow::{Result, bail, ensure};
use oci_spec::runtime::{LinuxCpu, LinuxResources};

use super::devices::{Policy, default_device_rules};
use super::limits::{io_weight, swap_v2, weight};

/// A scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Name of the unit, `prefix-name.scope`.
    pub unit: String,
    /// The slice that it is in.
    pub slice: String,
    /// Its cgroup below the root of the hierarchy.
    pub path: String,
}

/// The scope of the systemd form `slice:prefix:name`; no slice means system.slice.
pub fn scope(slice: &str, prefix: &str, name: &str) -> Result<Scope> {
    let slice = if slice.is_empty() { "system.slice" } else { slice };
    ensure!(!name.ends_with(".slice"), "{name} is a slice, and a slice has no processes of its own");
    let unit = match prefix {
        "" => format!("{name}.scope"),
        prefix => format!("{prefix}-{name}.scope"),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || ":_.\\@-".contains(c);
    ensure!(
        !name.is_empty() && unit.len() <= 255 && unit.chars().all(plain),
        "{unit:?} is no name of a systemd unit"
    );
    let parents = expand(slice)?;
    let path = if parents.is_empty() { unit.clone() } else { format!("{parents}/{unit}") };
    Ok(Scope { unit, slice: slice.to_owned(), path })
}

/// Where the cgroup of a slice is: `a-b.slice` is in `a.slice`, and `-.slice` is the root (systemd.slice(5)).
fn expand(slice: &str) -> Result<String> {
    let wrong = || format!("{slice:?} is no name of a systemd slice");
    let Some(name) = slice.strip_suffix(".slice") else { bail!(wrong()) };
    if name == "-" {
        return Ok(String::new());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || ":_.\\@".contains(c);
    let mut prefix = String::new();
    let mut parents = Vec::new();
    for part in name.split('-') {
        ensure!(!part.is_empty() && part.chars().all(plain), wrong());
        prefix.push_str(part);
        parents.push(format!("{prefix}.slice"));
        prefix.push('-');
    }
    ensure!(slice.len() <= 255, wrong());
    Ok(parents.join("/"))
}

/// The value of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// D-Bus type `t`.
    Number(u64),
    /// `s`.
    Text(String),
    /// `ay`.
    Bytes(Vec<u8>),
    /// `a(ss)`.
    Pairs(Vec<(String, String)>),
}

/// A property and its value.
pub type Property = (&'static str, Value);

/// Limits as properties of a scope. What systemd has no property for is left out: idle before version 252, huge pages, rdma
/// and the like, which systemd does not touch.
pub fn properties(resources: &LinuxResources, v2: bool, version: u32) -> Result<Vec<Property>> {
    let mut properties: Vec<Property> = Vec::new();
    // -1 is systemd's "infinity" when it is read as an unsigned number.
    let amount = |value: i64| Value::Number(value.max(-1) as u64);
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let memory = resources.memory().unwrap_or_default();
    if let Some(limit) = set(memory.limit()) {
        properties.push((if v2 { "MemoryMax" } else { "MemoryLimit" }, amount(limit)));
    }
    if v2 {
        properties.extend(set(memory.reservation()).map(|value| ("MemoryLow", amount(value))));
        let swap = match (set(memory.limit()), set(memory.swap())) {
            // Of a change of swap alone only the kernel knows what it means.
            (None, Some(swap)) if swap > 0 => None,
            (limit, swap) => swap_v2(limit, swap)?,
        };
        properties.extend(swap.map(|swap| ("MemorySwapMax", amount(swap))));
    }
    if let Some(cpu) = resources.cpu() {
        cpu_properties(cpu, v2, version, &mut properties)?;
    }
    if let Some(limit) = resources.pids().map(|pids| pids.limit()).filter(|limit| *limit != 0) {
        properties.push(("TasksMax", amount(limit)));
    }
    let block_io = resources.block_io().clone().unwrap_or_default();
    if let Some(weight) = block_io.weight().filter(|weight| *weight != 0) {
        properties.push(match v2 {
            true => ("IOWeight", Value::Number(io_weight(weight))),
            false => ("BlockIOWeight", Value::Number(weight.into())),
        });
    }
    if let Some(rules) = resources.devices() {
        let policy = Policy::of(rules.iter().chain(&default_device_rules()))?;
        // What systemd cannot say is left to our own rules: both must agree.
        let (name, allowed) =
            policy.for_systemd().map_or(("auto", Vec::new()), |allowed| ("strict", allowed));
        // The list grows; an empty one clears it.
        properties.push(("DeviceAllow", Value::Pairs(Vec::new())));
        properties.push(("DevicePolicy", Value::Text(name.to_owned())));
        if !allowed.is_empty() {
            properties.push(("DeviceAllow", Value::Pairs(allowed)));
        }
    }
    Ok(properties)
}

fn cpu_properties(cpu: &LinuxCpu, v2: bool, version: u32, into: &mut Vec<Property>) -> Result<()> {
    let shares = cpu.shares().filter(|shares| *shares > 0);
    match (cpu.idle(), shares, v2) {
        // systemd says so by a weight of 0.
        (Some(1), _, true) if version >= 252 => into.push(("CPUWeight", Value::Number(0))),
        (_, Some(shares), true) => into.push(("CPUWeight", Value::Number(weight(shares)))),
        (_, Some(shares), false) => into.push(("CPUShares", Value::Number(shares.clamp(2, 262_144)))),
        _ => {}
    }
    let period = cpu.period().filter(|period| *period > 0);
    let quota = cpu.quota().filter(|quota| *quota != 0);
    if let Some(period) = period.filter(|_| version >= 242) {
        into.push(("CPUQuotaPeriodUSec", Value::Number(period)));
    }
    if quota.is_some() || period.is_some() {
        let per_second = match quota {
            // systemd counts in whole percents: rounded up, so that the exact quota fits into it.
            Some(quota) if quota > 0 => {
                let exact = u128::from(quota as u64) * 1_000_000 / u128::from(period.unwrap_or(100_000));
                u64::try_from(exact.div_ceil(10_000) * 10_000).unwrap_or(u64::MAX)
            }
            _ => u64::MAX,
        };
        into.push(("CPUQuotaPerSecUSec", Value::Number(per_second)));
    }
    for (name, list) in [("AllowedCPUs", cpu.cpus()), ("AllowedMemoryNodes", cpu.mems())] {
        let list = list.as_deref().unwrap_or_default().trim();
        if version >= 244 && !list.is_empty() {
            into.push((name, Value::Bytes(mask(list)?)));
        }
    }
    Ok(())
}

/// A list such as `0-3,8` as systemd wants it: bit n of byte n / 8, lowest first. (cgroups-rs has the bytes reversed.)
fn mask(list: &str) -> Result<Vec<u8>> {
    let Some(numbers) = super::limits::numbers(list) else { bail!("{list:?} is no list of numbers") };
    let mut mask = Vec::new();
    for number in numbers {
        let at = number as usize / 8;
        mask.resize(mask.len().max(at + 1), 0u8);
        mask[at] |= 1 << (number % 8);
    }
    Ok(mask)
}

#[cfg(test)]
mod tests;
