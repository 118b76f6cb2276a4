//! The plan of a whole pod, told before it runs: every step with its system calls, the reason, the manual pages and the
//! shell line that does the same. A pure function of manifest, bundles and what is assumed of the host; the lists it tells
//! are those that the pod init and the containers perform ([`crate::plan`]).
//!
//! [`pod`] puts the story in order; [`sandbox`], [`container`] and [`cgroup`] turn steps into calls; [`reason`] has the why;
//! [`text`] prints, [`script`] writes it as a shell script; [`hint`] says what usually causes a failed step.

use std::path::{Path, PathBuf};

use anyhow::Result;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxSeccomp, Spec};
use serde::Serialize;

use crate::bundle::accounts::Accounts;

pub mod call;
pub mod cgroup;
pub mod container;
pub mod hint;
mod life;
pub mod pod;
pub mod reason;
pub mod sandbox;
pub mod script;
pub mod shell;
pub mod text;

pub use call::Call;
pub use hint::{errno_in_words, hint};
pub use pod::explain;
pub use script::script;

/// What is assumed of the host, since nothing is looked up here.
pub struct Assumptions {
    /// State directory.
    pub root: PathBuf,
    /// Directory of the container logs.
    pub logs: PathBuf,
    /// Cgroup below which pods get theirs, from the root of the hierarchy; may be empty.
    pub cgroup_parent: String,
    /// One cgroup hierarchy.
    pub v2: bool,
    /// Mount points in use, each with its controllers.
    pub hierarchies: Vec<(PathBuf, Vec<String>)>,
    /// Who is who in the images, for each container; asked only where the manifest chooses the user.
    pub accounts: Vec<Accounts>,
    /// For each container, the filter of its `localhostProfile`.
    pub local_filters: Vec<Option<LinuxSeccomp>>,
    /// The host's device nodes, for privileged containers.
    pub host_devices: Vec<LinuxDevice>,
    /// v1: the writes that set a device policy, file and line.
    pub device_writes: DeviceWrites,
    /// The pod's uid.
    pub uid: String,
    /// The machine's name.
    pub node: String,
    /// Thousandths of a core that it has.
    pub cpu: u64,
    /// Bytes of memory that it has.
    pub memory: u64,
    /// Its `/etc/resolv.conf`.
    pub resolv_conf: String,
}

/// Turns device rules into writes to v1's control files.
pub type DeviceWrites = fn(&[LinuxDeviceCgroup]) -> Result<Vec<(&'static str, String)>>;

/// A bundle: its path and its `config.json`.
pub type Bundle<'a> = (&'a Path, &'a Spec);

/// A pod, explained.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The pod's name.
    pub pod: String,
    /// In the order in which they happen; what runs side by side stands one after the other.
    pub steps: Vec<Line>,
}

/// One step.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// The process that does it: `barepod run`, `pod init`, `container web` …
    pub who: String,
    /// Short name, as in error messages and in docs/steps.md.
    pub step: &'static str,
    /// What it does, an imperative sentence.
    pub does: String,
    /// Its system calls in order.
    pub calls: Vec<Call>,
    /// Why, and why here.
    pub why: String,
    /// Manual pages.
    pub man: &'static [&'static str],
    /// What does the same in a shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
}
