//! cpuset: `cpu.cpus`, `cpu.mems` (admin-guide cgroup-v1/cpusets and cgroup-v2 "Cpuset").

use std::path::Path;

use anyhow::Result;
use oci_spec::runtime::LinuxCpu;

use super::super::tree;
use super::given;
use super::setting::{Setting, Shows};

const FILES: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

pub(super) fn settings(cpu: &LinuxCpu) -> Vec<Setting> {
    let lists = [("cpu.cpus", FILES[0], cpu.cpus()), ("cpu.mems", FILES[1], cpu.mems())];
    let given = lists.into_iter().filter(|(_, _, list)| given(list));
    given
        .map(|(field, file, list)| {
            let value = list.clone().unwrap_or_default().trim().to_owned();
            Setting::new(field, "cpuset", file, value, Shows::List)
                .hint("the host must have them, and on v1 the cgroups above, too")
        })
        .collect()
}

/// v1: a new cgroup has neither, and takes no process before it has both. From the top down each gets its parent's.
pub(in super::super) fn inherit(dir: &Path) -> Result<()> {
    let Some(parent) = dir.parent() else { return Ok(()) };
    for file in FILES {
        if tree::read(dir, file)?.is_empty() {
            tree::write(dir, file, &tree::read(parent, file)?)?;
        }
    }
    Ok(())
}
