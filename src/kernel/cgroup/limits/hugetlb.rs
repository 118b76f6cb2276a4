//! Huge pages: `hugepageLimits` (admin-guide cgroup-v1/hugetlb and cgroup-v2 "HugeTLB").

use anyhow::{Context, Result, ensure};
use oci_spec::runtime::LinuxHugepageLimit;

use super::setting::{Host, Setting, Shows};

/// For each size the limit of use and, where the kernel has it, the same limit of reservations, as runc does.
pub(super) fn settings<'a>(
    limits: impl Iterator<Item = &'a LinuxHugepageLimit>,
    host: &Host,
) -> Result<Vec<Setting>> {
    let suffix = if host.v2 { "max" } else { "limit_in_bytes" };
    let mut settings = Vec::new();
    for limit in limits {
        let size = limit.page_size();
        let field = format!("hugepageLimits.{size}");
        let unit =
            bytes_of(size).with_context(|| format!("linux.resources.{field}: {size:?} is no page size"))?;
        let value = if limit.limit() < 0 && host.v2 { "max".to_owned() } else { limit.limit().to_string() };
        let (used, reserved) = (format!("hugetlb.{size}.{suffix}"), format!("hugetlb.{size}.rsvd.{suffix}"));
        ensure!(
            host.exists("hugetlb", &used),
            "linux.resources.{field} is not supported: the kernel has no huge pages of {size}"
        );
        let has_reservations = host.exists("hugetlb", &reserved);
        for file in [Some(used), has_reservations.then_some(reserved)].into_iter().flatten() {
            settings.push(Setting::new(&field, "hugetlb", &file, value.clone(), Shows::Bytes(unit)));
        }
    }
    Ok(settings)
}

/// `64KB`, `2MB`, `1GB`: a power of two in units of 1024, as the kernel names its files.
fn bytes_of(size: &str) -> Option<u64> {
    let (digits, unit) = size.split_at_checked(size.len().checked_sub(2)?)?;
    let unit: u64 = match unit {
        "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return None,
    };
    let plain = digits.chars().all(|c| c.is_ascii_digit());
    let bytes = digits.parse::<u64>().ok().filter(|_| plain)?.checked_mul(unit)?;
    bytes.is_power_of_two().then_some(bytes)
}
