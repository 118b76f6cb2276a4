//! Bind mounts whose owners are mapped: user_namespaces(7), mount_setattr(2) "ID-mapped mounts". They are made by the runtime,
//! which is root of the host, and handed to the child.

use std::fs::File;
use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result};

use crate::kernel::process::{self, Placement};
use crate::kernel::{identity, mount, namespace};
use crate::plan::Step;
use crate::plan::container::IdMaps;
use crate::plan::mount::{IdMap, What};

/// The detached trees of all mounts that are mapped, in their order.
pub fn sources(steps: &[Step]) -> Result<Vec<OwnedFd>> {
    let mut trees = Vec::new();
    for step in steps {
        if let Step::Mount(mount) = step
            && let (Some(map), What::Bind { source, recursive }) = (&mount.id_map, &mount.what)
        {
            let tree = mount::clone_path(source, *recursive)?;
            map_owners(&tree, map).with_context(|| format!("mount {mount}"))?;
            trees.push(tree);
        }
    }
    Ok(trees)
}

fn map_owners(tree: &OwnedFd, map: &IdMap) -> Result<()> {
    let namespace = match (&map.maps, &map.namespace) {
        (Some(maps), _) => user_namespace(maps)?,
        (None, Some(path)) => namespace::open(path)?,
        (None, None) => anyhow::bail!("no mappings"),
    };
    mount::map_owners(tree.as_fd(), namespace.as_fd(), map.recursive)
}

/// A user namespace with these maps, in which nobody lives.
fn user_namespace(maps: &IdMaps) -> Result<OwnedFd> {
    let (mut until, hold) = std::io::pipe().context("make pipe")?;
    let keep = Some(vec![until.as_raw_fd()]);
    let placement = Placement { namespaces: libc::CLONE_NEWUSER as u64, keep, ..Placement::default() };
    let child =
        process::spawn(&placement, move || wait_for_end(&mut until)).context("make user namespace")?;
    let pid = process::host_pid(child.pidfd.as_fd())?;
    let made = identity::write_id_maps(pid, &maps.users, &maps.groups).and_then(|()| {
        let path = format!("/proc/{pid}/ns/user");
        Ok(OwnedFd::from(File::open(&path).with_context(|| format!("open {path}"))?))
    });
    drop(hold);
    process::wait(&child, Some(std::time::Duration::from_secs(10)))?.context("end the helper")?;
    made
}

fn wait_for_end(until: &mut PipeReader) -> i32 {
    // Whatever it is that ends the wait, the namespace has been opened or is not wanted any more.
    until.read(&mut [0]).map_or(1, |_| 0)
}
