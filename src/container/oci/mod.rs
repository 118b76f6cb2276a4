//! The containers of `barepod-oci`: one directory per container, `ROOT/ID` (OCI runtime-spec, "State", "Lifecycle").
//!
//! ```text
//!   status      what there is
//!   creating    state.json; soon a process
//!   created     a process that listens at the socket `start`
//!   running     a process, no socket
//!   paused      the same, in a frozen cgroup
//!   stopped     no process
//! ```
//!
//! [`create`], [`start`], [`delete`] are the verbs; [`step`] is what the container's child does in between, [`outside`]
//! what the runtime does for it, [`hooks`] runs programs of the spec.

pub mod create;
pub mod delete;
pub mod hooks;
pub mod id_map;
pub mod outside;
pub mod start;
pub mod step;

use std::cell::OnceCell;
use std::fmt;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use crate::kernel::cgroup::{Cgroup, Hierarchy};
use crate::kernel::process::{self, Identity};
use crate::kernel::{mount, resctrl};

/// The version of the runtime-spec that is implemented.
pub const VERSION: &str = "1.3.0";

/// What is kept of a container, in `ROOT/ID/state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Container id.
    pub id: String,
    /// `ociVersion` of its spec.
    pub oci_version: String,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Absolute path of the root filesystem.
    pub rootfs: PathBuf,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Its first process; none while it is being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Identity>,
    /// The host's cgroup filesystems, [`Hierarchy::kept_or_detected`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hierarchy: Option<Hierarchy>,
    /// Its cgroup, relative to the hierarchy's root.
    pub cgroup: String,
    /// The unit of systemd that the cgroup belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// It has no mount namespace: its mounts are the host's, at and below its rootfs.
    #[serde(default)]
    pub mounts_on_host: bool,
    /// Its resource group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<resctrl::Group>,
    /// `annotations` of the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<std::collections::HashMap<String, String>>,
}

/// `status` of the specification, and what runtimes have added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is being made.
    Creating,
    /// Its program has not been started.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

/// How long processes may take to die.
const DEADLINE: Duration = Duration::from_secs(10);
/// File names in a container's directory.
const STATE: &str = "state.json";
const CONFIG: &str = "config.json";

/// A container that was found.
#[derive(Debug, Clone)]
pub struct Container {
    /// Its directory.
    pub directory: PathBuf,
    /// What is kept of it.
    pub record: Record,
    /// Its cgroup, once it was found.
    cgroup: OnceCell<Cgroup>,
}

/// Finds a container.
pub fn load(root: &Path, id: &str) -> Result<Container> {
    check_id(id)?;
    let directory = root.join(id);
    let path = directory.join(STATE);
    let text = match fs::read(&path) {
        // The words that engines look for.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            anyhow::bail!("container does not exist")
        }
        other => other.with_context(|| format!("read {}", path.display()))?,
    };
    let record = serde_json::from_slice(&text).with_context(|| format!("parse {}", path.display()))?;
    Ok(Container { directory, record, cgroup: OnceCell::new() })
}

/// All containers, by id.
pub fn all(root: &Path) -> Result<Vec<Container>> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("list {}", root.display()))?,
    };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    // One that goes away meanwhile is none.
    let mut all: Vec<Container> = ids.filter_map(|id| load(root, &id).ok()).collect();
    all.sort_by(|a, b| a.record.id.cmp(&b.record.id));
    Ok(all)
}

impl Container {
    /// Its status now.
    pub fn status(&self) -> Result<Status> {
        Ok(self.now()?.0)
    }

    /// Its status now, and its first process if that has not ended.
    pub fn now(&self) -> Result<(Status, Option<OwnedFd>)> {
        if self.record.process.is_none() {
            return Ok((Status::Creating, None));
        }
        let Ok(process) = self.process() else {
            return Ok((Status::Stopped, None));
        };
        let has = |file| self.directory.join(file).exists();
        let status = if has(start::PREPARED) {
            Status::Creating
        } else if has(start::SOCKET) {
            Status::Created
        } else if self.cgroup()?.is_frozen()? {
            Status::Paused
        } else {
            Status::Running
        };
        Ok((status, Some(process)))
    }

    /// The state as the specification wants it, with a given status, for hooks.
    pub fn state_with(&self, status: Status) -> serde_json::Value {
        let record = &self.record;
        let mut state = serde_json::json!({
            "ociVersion": record.oci_version,
            "id": record.id,
            "status": status.to_string(),
        });
        if let (Some(process), true) = (&record.process, status != Status::Stopped) {
            state["pid"] = process.pid.into();
        }
        state["bundle"] = serde_json::json!(record.bundle);
        state["annotations"] = serde_json::json!(record.annotations.clone().unwrap_or_default());
        state
    }

    /// The state with what engines read besides: the pid of what has ended is 0.
    pub fn shown(&self) -> Result<serde_json::Value> {
        let mut state = self.state_with(self.status()?);
        if state.get("pid").is_none() {
            state["pid"] = 0.into();
        }
        state["rootfs"] = serde_json::json!(self.record.rootfs);
        state["created"] = self.record.created.clone().into();
        Ok(state)
    }

    /// The pid of its first process, in the host's numbering.
    pub fn pid(&self) -> Result<i32> {
        Ok(self.record.process.as_ref().context("container has no process yet")?.pid)
    }

    /// Opens the container's first process; an error when it has ended (a zombie has ended too).
    pub fn process(&self) -> Result<OwnedFd> {
        let pidfd = self.record.process.as_ref().context("container has no process yet")?.open()?;
        ensure!(!process::readable(pidfd.as_fd(), Duration::ZERO)?, "container has ended");
        Ok(pidfd)
    }

    /// Its cgroup.
    pub fn cgroup(&self) -> Result<Cgroup> {
        if let Some(cgroup) = self.cgroup.get() {
            return Ok(cgroup.clone());
        }
        let hierarchy = Hierarchy::kept_or_detected(self.record.hierarchy.as_ref())?;
        let cgroup = Cgroup::find(&hierarchy, &self.record.cgroup)?;
        Ok(self.cgroup.get_or_init(|| cgroup).clone())
    }

    /// The spec that it was made from, whatever has become of the bundle since.
    pub fn spec(&self) -> Result<Spec> {
        let path = self.directory.join(CONFIG);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        parse(&text)
    }

    /// Takes away what its end does not: mounts, and a resource group.
    fn clear(&self) -> Result<()> {
        if self.record.mounts_on_host {
            mount::detach(&self.record.rootfs)?;
        }
        self.record.resource_group.as_ref().map_or(Ok(()), resctrl::Group::remove)
    }

    /// Writes the record, so that whoever reads it sees the old one or the new one.
    fn save(&self) -> Result<()> {
        let new = self.directory.join("state.json.new");
        fs::write(&new, serde_json::to_vec(&self.record)?).context("write state.json")?;
        fs::rename(&new, self.directory.join(STATE)).context("replace state.json")
    }
}

/// Reads a `config.json`.
pub fn parse(text: &str) -> Result<Spec> {
    // The names of the specification, where our types have others.
    const NAMES: [(&str, &str); 4] = [
        ("\"SCHED_FLAG_RESET_ON_FORK\"", "\"SCHED_RESET_ON_FORK\""),
        ("\"SCHED_FLAG_DL_OVERRUN\"", "\"SCHED_FLAG_D_L_OVERRUN\""),
        ("\"enableCMT\"", "\"enableCmt\""),
        ("\"enableMBM\"", "\"enableMbm\""),
    ];
    if !NAMES.iter().any(|(name, _)| text.contains(name)) {
        return serde_json::from_str(text).context("parse config.json");
    }
    let text = NAMES.iter().fold(text.to_owned(), |text, (name, ours)| text.replace(name, ours));
    serde_json::from_str(&text).context("parse config.json")
}

/// Ids become directory names: letters, digits and `_ + - .`, not a dot alone, at most 255 characters.
fn check_id(id: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    let dots = id.chars().all(|c| c == '.');
    ensure!(!dots && id.len() <= 255 && id.chars().all(good), "invalid container id {id:?}");
    Ok(())
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
    #[allow(deprecated)]
    fn what_is_to_be_measured_has_the_names_of_the_specification() {
        let text = r#"{"ociVersion":"1.2.0","linux":{"intelRdt":{"enableCMT":true,"enableMBM":false}}}"#;
        let spec = parse(text).unwrap();
        let wanted = spec.linux().as_ref().unwrap().intel_rdt().as_ref().unwrap();
        assert_eq!((wanted.enable_cmt(), wanted.enable_mbm()), (&Some(true), &Some(false)));
    }

    #[test]
    fn flags_of_the_scheduler_have_the_names_of_the_specification() {
        let text = r#"{"ociVersion":"1.2.0","process":{"user":{"uid":0,"gid":0},"cwd":"/",
            "scheduler":{"policy":"SCHED_FIFO","flags":["SCHED_FLAG_RESET_ON_FORK"]}}}"#;
        assert!(parse(text).is_ok());
    }
}
