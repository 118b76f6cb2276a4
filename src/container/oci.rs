//! The containers of `barepod-oci`: one directory per container with its state (OCI runtime-spec, "State").

use std::fs::{self, DirBuilder};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use super::child::Watched;
use super::launch::{Launch, Launched, Stdio, discard, hear, launch};
use crate::kernel::cgroup::{Cgroup, Hierarchy, Version};
use crate::kernel::process::{self, Child, Identity};
use crate::plan::{self, Rootfs};

/// What is kept of a container, in `ROOT/ID/state.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Container id.
    pub id: String,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Its first process.
    pub process: Identity,
    /// Its cgroup, relative to the hierarchy's root.
    pub cgroup: String,
    /// `annotations` of the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<std::collections::HashMap<String, String>>,
}

const DEADLINE: Duration = Duration::from_secs(10);

/// Makes and starts the container of a bundle; returns when its program runs.
pub fn run(root: &Path, id: &str, bundle: &Path, stdio: Stdio) -> Result<Child> {
    check_id(id)?;
    let bundle = fs::canonicalize(bundle).with_context(|| format!("find bundle {}", bundle.display()))?;
    let text = fs::read_to_string(bundle.join("config.json")).context("read config.json")?;
    let spec: Spec = serde_json::from_str(&text).context("parse config.json")?;
    let terminal = spec.process().as_ref().is_some_and(|process| process.terminal() == Some(true));
    ensure!(!terminal, "process.terminal is not supported yet");
    // The plan refuses what is not done, before anything exists.
    let hierarchy = Hierarchy::detect()?;
    let rootfs = bundle.join(spec.root().as_ref().context("root is missing")?.path());
    let plan = plan::plan(&spec, &bundle, Rootfs::Directory(rootfs), hierarchy.version() == Version::V2)?;
    let linux = spec.linux().as_ref().context("linux is missing")?;
    let cgroup = Cgroup::new(&hierarchy, &cgroup_path(linux.cgroups_path().as_deref(), id)?)?;

    // The directory is the claim on the id; whatever fails after this takes it away again.
    let directory = root.join(id);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .with_context(|| format!("make {}", root.display()))?;
    DirBuilder::new().mode(0o700).create(&directory).with_context(|| format!("claim container id {id}"))?;
    // It undoes itself when it fails, and it fails when the cgroup is somebody else's: nothing of his may be killed below.
    if let Err(error) = cgroup.create() {
        fs::remove_dir_all(&directory).with_context(|| format!("remove {}", directory.display()))?;
        return Err(error);
    }
    let started = start(&plan, &cgroup, linux.resources().as_ref(), stdio).and_then(|child| {
        let process = Identity::of(process::host_pid(child.pidfd.as_fd())?)?;
        let annotations = spec.annotations().clone();
        let record =
            Record { id: id.to_owned(), bundle, process, cgroup: cgroup.path().to_owned(), annotations };
        fs::write(directory.join("state.json"), serde_json::to_vec(&record)?).context("write state.json")?;
        Ok(child)
    });
    if started.is_err() {
        remove_cgroup(&cgroup, id).context("clean up after a failed start")?;
        fs::remove_dir_all(&directory).with_context(|| format!("remove {}", directory.display()))?;
    }
    started
}

fn start(
    plan: &plan::Plan,
    cgroup: &Cgroup,
    resources: Option<&oci_spec::runtime::LinuxResources>,
    stdio: Stdio,
) -> Result<Child> {
    if let Some(resources) = resources {
        cgroup.apply(resources)?;
    }
    let Launched { child, mut report } =
        launch(Launch { plan, cgroup, stdio, terminal: None, watched: Watched::default() })?;
    if let Some(failure) = hear(&mut report)? {
        discard(&child)?;
        bail!("{}: {}", failure.does, failure.error);
    }
    Ok(child)
}

/// Reads the record of a container.
pub fn load(root: &Path, id: &str) -> Result<Record> {
    check_id(id)?;
    let path = root.join(id).join("state.json");
    let text = fs::read(&path).with_context(|| format!("container {id} does not exist"))?;
    serde_json::from_slice(&text).with_context(|| format!("parse {}", path.display()))
}

impl Record {
    /// The state as the specification prints it.
    pub fn state(&self) -> serde_json::Value {
        let running = self.process().is_ok();
        let mut state = serde_json::json!({
            "ociVersion": "1.2.0",
            "id": self.id,
            "status": if running { "running" } else { "stopped" },
            "bundle": self.bundle,
        });
        if running {
            state["pid"] = self.process.pid.into();
        }
        if let Some(annotations) = &self.annotations {
            state["annotations"] = serde_json::json!(annotations);
        }
        state
    }

    /// Opens the container's first process; an error when it has ended (a zombie has ended too).
    pub fn process(&self) -> Result<OwnedFd> {
        let pidfd = self.process.open()?;
        ensure!(!process::readable(pidfd.as_fd(), Duration::ZERO)?, "container {} has ended", self.id);
        Ok(pidfd)
    }

    /// Removes the container; one that runs only with `force`, which kills it first.
    pub fn delete(&self, root: &Path, force: bool) -> Result<()> {
        if let Ok(pidfd) = self.process() {
            ensure!(force, "container {} is running", self.id);
            process::kill(pidfd.as_fd())?;
            ensure!(process::readable(pidfd.as_fd(), DEADLINE)?, "container {} does not end", self.id);
        }
        let cgroup = Cgroup::new(&Hierarchy::detect()?, &self.cgroup)?;
        remove_cgroup(&cgroup, &self.id)?;
        let directory = root.join(&self.id);
        fs::remove_dir_all(&directory).with_context(|| format!("remove {}", directory.display()))
    }
}

/// Kills what is left and removes the cgroup; our own parent of it goes with the last one, one given by the spec stays.
fn remove_cgroup(cgroup: &Cgroup, id: &str) -> Result<()> {
    cgroup.kill(DEADLINE)?;
    cgroup.remove(DEADLINE)?;
    if cgroup.path() == own_cgroup(id) { cgroup.remove_empty_parents("") } else { Ok(()) }
}

fn own_cgroup(id: &str) -> String {
    format!("barepod-oci/{id}")
}

/// Ids become directory names: letters, digits and `_ + - .`, not a dot alone, at most 255 characters.
fn check_id(id: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    let dots = id.chars().all(|c| c == '.');
    ensure!(!dots && id.len() <= 255 && id.chars().all(good), "invalid container id {id:?}");
    Ok(())
}

/// `linux.cgroupsPath` below the hierarchy's root, or one of our own.
fn cgroup_path(given: Option<&Path>, id: &str) -> Result<String> {
    let Some(path) = given else { return Ok(own_cgroup(id)) };
    let path = path.to_str().context("linux.cgroupsPath is not UTF-8")?;
    ensure!(!path.contains(':'), "linux.cgroupsPath {path}: the systemd form is not supported yet");
    Ok(path.trim_start_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_would_leave_the_state_directory_are_refused() {
        for bad in ["", ".", "..", "a/b", "../x", "a b", &"x".repeat(256)] {
            assert!(check_id(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "web-1", "a.b_c+d", &"x".repeat(255)] {
            assert!(check_id(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn an_absolute_cgroups_path_is_taken_below_the_root_of_the_hierarchy() {
        assert_eq!(cgroup_path(Some(Path::new("/a/b")), "x").unwrap(), "a/b");
        assert_eq!(cgroup_path(None, "x").unwrap(), "barepod-oci/x");
        assert!(cgroup_path(Some(Path::new("system.slice:runc:x")), "x").is_err());
    }
}
