//! What this machine is called and has: sysconf(3), proc_meminfo(5), gethostname(2), and the device nodes of `/dev`.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use caps::CapSet;
use nix::sys::stat::{major, minor};
use nix::unistd::{SysconfVar, gethostname, sysconf};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType};

/// This machine, as seen by the process that asks: a name belongs to a UTS namespace.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Host name.
    pub name: String,
    /// Thousandths of a core.
    pub cpu: u64,
    /// Bytes of memory.
    pub memory: u64,
}

impl Machine {
    /// Looks.
    pub fn read() -> Result<Machine> {
        let cores = sysconf(SysconfVar::_NPROCESSORS_ONLN).context("count processors")?.unwrap_or(1);
        let text = fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kilobytes = total.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        Ok(Machine {
            name: gethostname().context("gethostname")?.to_string_lossy().into_owned(),
            cpu: u64::try_from(cores).unwrap_or(1) * 1000,
            memory: kilobytes.context("find MemTotal in /proc/meminfo")? * 1024,
        })
    }
}

/// The capabilities that this process can give away, without `CAP_`.
pub fn held_capabilities() -> Result<Vec<String>> {
    let held = caps::read(None, CapSet::Permitted).context("read capabilities")?;
    Ok(held.iter().map(|one| one.to_string().trim_start_matches("CAP_").to_owned()).collect())
}

/// What a container has of its own in `/dev`, or must not have.
const NOT_THE_HOSTS: [&str; 8] = ["pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev"];

/// The device nodes of `/dev`, in order.
pub fn devices() -> Result<Vec<LinuxDevice>> {
    let mut found = Vec::new();
    walk(Path::new("/dev"), &mut found)?;
    Ok(found)
}

fn walk(directory: &Path, found: &mut Vec<LinuxDevice>) -> Result<()> {
    let at = || format!("read {}", directory.display());
    let mut entries =
        fs::read_dir(directory).with_context(at)?.collect::<Result<Vec<_>, _>>().with_context(at)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if NOT_THE_HOSTS.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        // Devices come and go.
        let Ok(metadata) = entry.metadata() else { continue };
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => {
                walk(&path, found)?;
                continue;
            }
            kind if kind.is_char_device() => LinuxDeviceType::C,
            kind if kind.is_block_device() => LinuxDeviceType::B,
            _ => continue,
        };
        let device = LinuxDeviceBuilder::default()
            .path(&path)
            .typ(kind)
            .major(major(metadata.rdev()) as i64)
            .minor(minor(metadata.rdev()) as i64)
            .file_mode(metadata.permissions().mode() & 0o777)
            .uid(metadata.uid())
            .gid(metadata.gid());
        found.push(device.build().with_context(|| format!("describe {}", path.display()))?);
    }
    Ok(())
}
