//! The files of pods: what everybody but the pod init itself knows of a pod, they know from here.
//!
//! ```text
//! ROOT/locks/NAME             held by the pod init as long as it lives (an open-file-description lock)
//! ROOT/pods/NAME/record.json  replaced as a whole at every change
//! ROOT/pods/NAME/events.jsonl the event log: a head, then one fact per line
//! ROOT/pods/NAME/CTR.N.json   the final OCI spec of each container instance
//! ROOT/pods/NAME/control      the pod init's socket
//! ROOT/pods/NAME/sandbox      mount point of the scratch tmpfs; empty for everybody outside the pod
//! LOGS/NS_NAME_UID/CTR/N.log  container output, in the kubelet's layout
//! ```

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kernel::cgroup::{Cgroup, Hierarchy};
use crate::kernel::lock;
use crate::kernel::process::Identity;

/// Where things are, from the global options.
#[derive(Debug, Clone)]
pub struct Store {
    /// `--root`
    pub root: PathBuf,
    /// `--log-dir`
    pub logs: PathBuf,
    /// `--cgroup-parent`, relative to the hierarchy's root; empty = the root itself.
    pub cgroup_parent: String,
}

/// The record of a pod.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The pod init; absent until it has made its sandbox.
    pub init: Option<Identity>,
    /// Inode of the pod's network namespace.
    pub network_namespace: Option<u64>,
    /// The host's cgroup filesystems, [`Hierarchy::kept_or_detected`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hierarchy: Option<Hierarchy>,
    /// The pod's cgroup, `PARENT/barepod/UID`, relative to the hierarchy's root.
    pub cgroup: String,
    /// The pod's log directory.
    pub logs: PathBuf,
    /// Running container instances.
    pub instances: Vec<InstanceRecord>,
    /// The pod has come to its end and the record is final.
    pub ended: bool,
    /// Container names in manifest order, with whether each is a regular one; then those that were added.
    pub containers: Vec<ContainerName>,
    /// The Pod object, as `inspect` prints it.
    pub object: Value,
}

/// A container of the pod.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContainerName {
    /// Its name.
    pub name: String,
    /// An entry of `containers`.
    pub app: bool,
}

/// A container instance that runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceRecord {
    /// Container name.
    pub container: String,
    /// restartCount.
    pub attempt: u32,
    /// Its first process.
    pub process: Identity,
    /// Its cgroup, relative to the hierarchy's root.
    pub cgroup: String,
}

/// What the lock and the record say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// The pod init lives.
    Running,
    /// The pod has ended in good order.
    Ended,
    /// The pod init died before its pod had ended.
    Lost,
}

impl Store {
    /// Makes the state directories, for root alone.
    pub fn create(&self) -> Result<()> {
        for directory in [self.root.clone(), self.root.join("locks"), self.root.join("pods")] {
            make_directory(&directory)?;
        }
        Ok(())
    }

    /// `ROOT/locks/NAME`
    pub fn lock(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(name)
    }

    /// `ROOT/pods/NAME`
    pub fn pod(&self, name: &str) -> PathBuf {
        self.root.join("pods").join(name)
    }

    /// `ROOT/pods/NAME/CTR.N.json`: the final OCI spec of an instance.
    pub fn spec(&self, pod: &str, instance: &InstanceRecord) -> PathBuf {
        self.pod(pod).join(spec_file(&instance.container, instance.attempt))
    }

    /// The names of all pods that have a directory, in order.
    pub fn names(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join("pods")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context("list pods"),
        };
        let mut names = Vec::new();
        for entry in entries {
            // Anything else was not put there by barepod.
            let name = entry.context("list pods")?.file_name().into_string();
            names.extend(name.ok().filter(|name| valid_name(name)));
        }
        names.sort();
        Ok(names)
    }

    /// Makes sure that there is a pod of that name.
    ///
    /// # Errors
    /// `no pod NAME` with the names that do exist.
    pub fn require(&self, name: &str) -> Result<()> {
        if valid_name(name) && self.pod(name).is_dir() {
            return Ok(());
        }
        match self.names()?.as_slice() {
            [] => bail!("no pod {name:?}; there are no pods"),
            names => bail!("no pod {name:?}; there are: {}", names.join(", ")),
        }
    }

    /// Reads the record of a pod that must be there.
    pub fn load(&self, name: &str) -> Result<Record> {
        self.require(name)?;
        self.read(name)?
            .with_context(|| format!("pod {name} has no record: its start was cut short; run barepod gc"))
    }

    /// Reads a record; `None` when the pod was not made far enough to have one.
    pub fn read(&self, name: &str) -> Result<Option<Record>> {
        let path = self.pod(name).join("record.json");
        match fs::read(&path) {
            Ok(text) => {
                Ok(Some(serde_json::from_slice(&text).with_context(|| format!("parse {}", path.display()))?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Looks at the lock without taking it.
    pub fn liveness(&self, name: &str, record: &Record) -> Result<Liveness> {
        Ok(match (lock::is_held(&self.lock(name))?, record.ended) {
            (true, _) => Liveness::Running,
            (false, true) => Liveness::Ended,
            (false, false) => Liveness::Lost,
        })
    }

    /// A pod's record as people are to see it: that of a lost pod says so.
    pub fn view(&self, name: &str) -> Result<(Record, Liveness)> {
        let mut record = self.load(name)?;
        let liveness = self.liveness(name, &record)?;
        if liveness == Liveness::Lost {
            // It may have ended between the two looks; then the record is final now.
            record = self.load(name)?;
            if record.ended {
                return Ok((record, Liveness::Ended));
            }
            record.object = crate::object::lost(record.object);
            record.instances.clear();
        }
        Ok((record, liveness))
    }

    /// `PARENT/barepod/UID`
    pub fn cgroup_path(&self, uid: &str) -> String {
        let parent = self.cgroup_parent.trim_matches('/');
        if parent.is_empty() { format!("barepod/{uid}") } else { format!("{parent}/barepod/{uid}") }
    }
}

impl Record {
    /// A cgroup of the pod, by its path from the hierarchy's root.
    pub fn cgroup_at(&self, path: &str) -> Result<Cgroup> {
        Cgroup::new(&Hierarchy::kept_or_detected(self.hierarchy.as_ref())?, path)
    }

    /// The container that is meant by `-c`, or without it: the first regular one.
    ///
    /// # Errors
    /// The names that do exist.
    pub fn container<'a>(&'a self, name: Option<&'a str>) -> Result<&'a str> {
        let Some(name) = name else {
            let first = self
                .containers
                .iter()
                .find(|container| container.app)
                .context("the pod has no containers")?;
            return Ok(&first.name);
        };
        if self.containers.iter().any(|container| container.name == name) {
            return Ok(name);
        }
        let names: Vec<_> = self.containers.iter().map(|container| container.name.as_str()).collect();
        bail!("no container {name:?}; there are: {}", names.join(", "))
    }

    /// `status.phase`
    pub fn phase(&self) -> &str {
        self.object["status"]["phase"].as_str().unwrap_or("Unknown")
    }

    /// A condition of the Pod object is True.
    pub fn condition(&self, kind: &str) -> bool {
        let conditions = self.object["status"]["conditions"].as_array();
        conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == kind && condition["status"] == "True")
    }
}

/// `CTR.N.json`
pub fn spec_file(container: &str, attempt: u32) -> String {
    format!("{container}.{attempt}.json")
}

/// Replaces the record of the pod in `directory`: whoever reads sees the old one or the new one.
pub fn write_record(directory: &Path, record: &Record) -> Result<()> {
    replace(directory, "record.json", &serde_json::to_vec(record).context("write record")?)
}

/// Writes a file beside its place and moves it there.
pub fn replace(directory: &Path, name: &str, content: &[u8]) -> Result<()> {
    let new = directory.join(format!(".{name}.new"));
    let write = || -> std::io::Result<()> {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(content)?;
        fs::rename(&new, directory.join(name))
    };
    write().with_context(|| format!("write {name}"))
}

/// A pod name is a directory name: a DNS-1123 subdomain, checked again wherever one comes from outside.
pub fn valid_name(name: &str) -> bool {
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// Makes a directory for root alone, with its parents; one that is there is fine.
pub fn make_directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("make {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_directory_names_are_refused() {
        for bad in ["", ".", "..", "a/b", "../x", "A", "a_b", "-a", "a-", "a..b", &"x".repeat(254)] {
            assert!(!valid_name(bad), "{bad:?}");
        }
        for good in ["a", "web-1", "a.b", "0"] {
            assert!(valid_name(good), "{good:?}");
        }
    }

    #[test]
    fn the_cgroup_lies_below_the_parent() {
        let store =
            |parent: &str| Store { root: "/r".into(), logs: "/l".into(), cgroup_parent: parent.into() };
        assert_eq!(store("").cgroup_path("u"), "barepod/u");
        assert_eq!(store("/a/b/").cgroup_path("u"), "a/b/barepod/u");
    }
}
