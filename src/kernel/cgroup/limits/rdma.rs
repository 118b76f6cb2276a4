//! RDMA devices: `rdma` (admin-guide cgroup-v1/rdma and cgroup-v2 "RDMA"); one file, the same in both versions.

use anyhow::{Result, ensure};
use oci_spec::runtime::LinuxRdma;

use super::setting::{Setting, Shows};

pub(super) fn settings<'a>(
    devices: impl Iterator<Item = (&'a String, &'a LinuxRdma)>,
) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for (device, limit) in devices {
        let field = format!("rdma.{device}");
        let plain = !device.is_empty() && !device.contains(|c: char| c.is_whitespace() || c.is_control());
        ensure!(plain, "linux.resources.rdma: {device:?} is no name of a device");
        let amounts = [("hca_handle", limit.hca_handles()), ("hca_object", limit.hca_objects())];
        let words: Vec<String> = amounts
            .into_iter()
            .filter_map(|(name, amount)| Some(format!("{name}={}", number(amount?))))
            .collect();
        ensure!(!words.is_empty(), "linux.resources.{field} has neither hcaHandles nor hcaObjects");
        for word in words {
            let value = format!("{device} {word}");
            settings.push(Setting::new(&field, "rdma", "rdma.max", value, Shows::Line(device.clone(), word)));
        }
    }
    settings.sort_by(|one, other| one.value.cmp(&other.value));
    Ok(settings)
}

/// The kernel counts with an `int`, and prints the largest as `max`.
fn number(amount: u32) -> String {
    if amount >= i32::MAX as u32 { "max".to_owned() } else { amount.to_string() }
}
