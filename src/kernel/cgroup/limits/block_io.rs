//! Block devices: `blockIO` (admin-guide cgroup-v1/blkio-controller and cgroup-v2 "IO").

use anyhow::{Result, ensure};
use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice};

use super::setting::{Host, Setting, Shows};

/// Whether anything is asked for.
pub(super) fn asks(block_io: &LinuxBlockIo) -> bool {
    let weights = block_io.weight_device().iter().flatten().next().is_some();
    block_io.weight().is_some_and(|weight| weight != 0)
        || block_io.leaf_weight().is_some_and(|weight| weight != 0)
        || weights
        || throttles(block_io).iter().any(|(_, _, _, devices)| devices.iter().flatten().next().is_some())
}

/// Whether a leaf weight is asked for, which only the CFQ scheduler of Linux before 5.0 knew.
pub(super) fn leaf_weight(block_io: &LinuxBlockIo) -> bool {
    let asks = |weight: Option<u16>| weight.is_some_and(|weight| weight != 0);
    asks(block_io.leaf_weight())
        || block_io.weight_device().iter().flatten().any(|device| asks(device.leaf_weight()))
}

type Throttle<'a> = (&'static str, &'static str, &'static str, &'a Option<Vec<LinuxThrottleDevice>>);

/// Field, file of v1, key in io.max of v2, devices.
fn throttles(block_io: &LinuxBlockIo) -> [Throttle<'_>; 4] {
    let (read_bps, write_bps) = (block_io.throttle_read_bps_device(), block_io.throttle_write_bps_device());
    let (read_iops, write_iops) =
        (block_io.throttle_read_iops_device(), block_io.throttle_write_iops_device());
    [
        ("throttleReadBpsDevice", "read_bps_device", "rbps", read_bps),
        ("throttleWriteBpsDevice", "write_bps_device", "wbps", write_bps),
        ("throttleReadIOPSDevice", "read_iops_device", "riops", read_iops),
        ("throttleWriteIOPSDevice", "write_iops_device", "wiops", write_iops),
    ]
}

pub(super) fn settings(block_io: &LinuxBlockIo, host: &Host) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    weights(block_io, host, &mut settings)?;
    for (field, v1_file, key, devices) in throttles(block_io) {
        let field = format!("blockIO.{field}");
        for throttle in devices.iter().flatten() {
            let (device, rate) =
                (device(&field, throttle.major(), throttle.minor())?, throttle.rate().to_string());
            settings.push(if host.v2 {
                let none = throttle.rate() == 0;
                let word = format!("{key}={}", if none { "max" } else { &rate });
                let value = format!("{device} {word}");
                let shows = if none { Shows::NoLine(device, word) } else { Shows::Line(device, word) };
                Setting::new(&field, "io", "io.max", value, shows)
            } else {
                let file = format!("blkio.throttle.{v1_file}");
                let value = format!("{device} {rate}");
                let none = throttle.rate() == 0;
                let shows = if none { Shows::NoLine(device, rate) } else { Shows::Line(device, rate) };
                Setting::new(&field, "blkio", &file, value, shows)
            });
        }
    }
    Ok(settings)
}

fn weights(block_io: &LinuxBlockIo, host: &Host, into: &mut Vec<Setting>) -> Result<()> {
    let weight = |field: &str, weight: Option<u16>| match weight.filter(|weight| *weight != 0) {
        Some(weight) if (10..=1000).contains(&weight) => Ok(Some(weight)),
        Some(weight) => {
            anyhow::bail!("linux.resources.blockIO.{field} is {weight} and not in 10–1000")
        }
        None => Ok(None),
    };
    let (controller, whole, each, convert) = files(host);
    let leaf = ("blkio.leaf_weight", "blkio.leaf_weight_device");
    let number = |weight: u16| if convert { io_weight(weight) } else { u64::from(weight) };
    if let Some(weight) = weight("weight", block_io.weight())? {
        let (value, shows) = default_weight(host, whole, number(weight));
        into.push(Setting::new("blockIO.weight", controller, whole, value, shows));
    }
    if let Some(weight) = weight("leafWeight", block_io.leaf_weight())? {
        into.push(Setting::new("blockIO.leafWeight", controller, leaf.0, weight.to_string(), Shows::Same));
    }
    for one in block_io.weight_device().iter().flatten() {
        let device = device("blockIO.weightDevice", one.major(), one.minor())?;
        let of_device = weight("weightDevice.weight", one.weight())?;
        let of_leaf = weight("weightDevice.leafWeight", one.leaf_weight())?;
        let both = [
            ("blockIO.weightDevice", each, of_device.map(number)),
            ("blockIO.weightDevice.leafWeight", leaf.1, of_leaf.map(u64::from)),
        ];
        for (field, file, weight) in both {
            let Some(weight) = weight.map(|weight| weight.to_string()) else { continue };
            let value = format!("{device} {weight}");
            into.push(
                Setting::new(field, controller, file, value, Shows::Line(device.clone(), weight))
                    .hint("the device must exist, as a whole disk, and its scheduler must know weights"),
            );
        }
    }
    Ok(())
}

/// Controller, file of the weight, file of the weights of devices, and whether they are in units of v2. Who divides the time
/// of a disk is one of several: BFQ, which has its own files; on v2 also iocost, on v1 once CFQ.
fn files(host: &Host) -> (&'static str, &'static str, &'static str, bool) {
    match (host.v2, host.v2 && host.exists("io", "io.bfq.weight")) {
        (true, true) => ("io", "io.bfq.weight", "io.bfq.weight", false),
        (true, false) => ("io", "io.weight", "io.weight", true),
        (false, _) if host.exists("blkio", "blkio.weight") => {
            ("blkio", "blkio.weight", "blkio.weight_device", false)
        }
        (false, _) => ("blkio", "blkio.bfq.weight", "blkio.bfq.weight_device", false),
    }
}

/// v2 shows it as the first of a list, `default 100`; BFQ of Linux before 5.4 as a number alone.
fn default_weight(host: &Host, file: &str, weight: u64) -> (String, Shows) {
    let lists = host.v2 && host.read("io", file).is_none_or(|now| now.starts_with("default"));
    let weight = weight.to_string();
    match lists {
        true => (weight.clone(), Shows::Line("default".to_owned(), weight)),
        false => (weight, Shows::Same),
    }
}

/// blkio.weight (10–1000) as io.weight (1–10000), linear, as in runc's `ConvertBlkIOToIOWeightValue`.
pub(in super::super) fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

fn device(field: &str, major: i64, minor: i64) -> Result<String> {
    ensure!(
        (0..=0xfff).contains(&major) && (0..=0xf_ffff).contains(&minor),
        "linux.resources.{field}: {major}:{minor} is no device"
    );
    Ok(format!("{major}:{minor}"))
}
