//! `subPath`: a part of a volume. It is looked up when the container starts, through descriptors that cannot leave the
//! volume, and bound at a place of the pod's own, where no container can exchange it any more.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};

use super::super::init::make_directory;
use crate::kernel::{beneath, mount, root};
use crate::manifest::expand::{Variables, expand};
use crate::manifest::{Container, SubPath, names};

/// Binds the parts that a container mounts; by the mount's place in its list. `volumes`: where its volumes are; those of the
/// instance before are let go of.
pub fn bind(
    container: &Container,
    volumes: &BTreeMap<String, PathBuf>,
    variables: &Variables,
    scratch: &Path,
) -> Result<BTreeMap<usize, PathBuf>> {
    let place = scratch.join("parts").join(&container.name);
    let mut parts = BTreeMap::new();
    for (at, one) in container.mounts.iter().enumerate() {
        let Some(sub_path) = &one.sub_path else { continue };
        let place = place.join(at.to_string());
        let volume = volumes.get(&one.volume).with_context(|| format!("find volume {}", one.volume))?;
        let bound = path(sub_path, variables).and_then(|path| attach(volume, Path::new(&path), &place));
        bound.with_context(|| format!("prepare subPath of volume {}", one.volume))?;
        parts.insert(at, place);
    }
    Ok(parts)
}

/// The path; an expression with a variable that is not there is an error, unlike in a command.
fn path(sub_path: &SubPath, variables: &Variables) -> Result<String> {
    let expression = match sub_path {
        SubPath::Plain(path) => return Ok(path.clone()),
        SubPath::Expression(expression) => expression,
    };
    let missing = std::cell::RefCell::new(None);
    let path = expand(expression, |name| {
        let value = variables.get(name);
        if value.is_none() {
            missing.replace(Some(name.to_owned()));
        }
        value
    });
    if let Some(name) = missing.into_inner() {
        bail!("subPathExpr {expression}: there is no variable {name}");
    }
    // What a variable brings in has to keep to the rules as well.
    if let Err(error) = names::relative(&path) {
        bail!("subPathExpr {expression}: {path:?} {error}");
    }
    Ok(path)
}

fn attach(volume: &Path, path: &Path, place: &Path) -> Result<()> {
    let volume = beneath::open_volume(volume)?;
    let found = beneath::open_or_make(volume.as_fd(), path)?;
    let is_directory = root::kind(&fstat(&found).context("stat")?) == SFlag::S_IFDIR;
    let place = fresh_place(place, is_directory)?;
    let tree = mount::clone_fd(found.as_fd(), true)?;
    mount::attach(tree.as_fd(), place.as_fd())
}

/// An empty directory or file to mount on; what the instance before had there goes.
fn fresh_place(place: &Path, is_directory: bool) -> Result<OwnedFd> {
    let at = || format!("make {}", place.display());
    if place.symlink_metadata().is_ok() {
        mount::detach(place)?;
        let removed = if place.is_dir() { fs::remove_dir(place) } else { fs::remove_file(place) };
        removed.with_context(|| format!("remove {}", place.display()))?;
    }
    make_directory(place.parent().with_context(at)?, 0o755)?;
    if is_directory {
        make_directory(place, 0o755)?;
    } else {
        File::create_new(place).with_context(at)?;
    }
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(place, flags, Mode::empty()).with_context(|| format!("open {}", place.display()))
}
