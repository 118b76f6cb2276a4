//! What the runtime does for a container from outside while its process waits: that may be in a user namespace, where nobody
//! may do it.

use std::path::Path;

use anyhow::{Context, Result};
use oci_spec::runtime::Spec;

use super::Container;
use crate::kernel::netdevice::Move;
use crate::kernel::{namespace, resctrl};
use crate::plan::oci::net_devices;

/// `linux.netDevices`: moves devices into the network namespace of the process, new or joined. What has been moved when one
/// of them fails is in `moving`.
pub fn move_devices(spec: &Spec, pid: i32, moving: &mut Option<Move>) -> Result<()> {
    let namespace = namespace::open(Path::new(&format!("/proc/{pid}/ns/net")))?;
    let moving = moving.insert(Move::to(namespace).context("linux.netDevices")?);
    for (name, inside) in net_devices(spec)? {
        moving.take(&name, &inside).with_context(|| format!("linux.netDevices: {name}"))?;
    }
    Ok(())
}

/// `linux.intelRdt`: puts the process into a resource group, and writes down what goes with the container.
pub fn join_group(container: &mut Container, spec: &Spec, pid: i32) -> Result<()> {
    let wanted = spec.linux().as_ref().and_then(|linux| linux.intel_rdt().as_ref());
    let wanted = wanted.context("linux.intelRdt is missing")?;
    let group = resctrl::mount_point()
        .and_then(|mount| resctrl::Group::make(&mount, wanted, &container.record.id))
        .context("linux.intelRdt")?;
    let group = container.record.resource_group.insert(group).clone();
    container.save()?;
    group.add(pid).context("linux.intelRdt")
}
