//! The CLI's side of `run`: claims the name, writes down what it is about to make, makes the sandbox by making one
//! process, and lets go of everything.

use std::fs;
use std::io::PipeReader;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use super::store::{ContainerName, Record, Store, make_directory, write_record};
use super::{init, remove};
use crate::kernel::cgroup::{Cgroup, Hierarchy, Version};
use crate::kernel::machine::Machine;
use crate::kernel::process::{self, Child, Placement};
use crate::lifecycle::Lifecycle;
use crate::lifecycle::model::{Backoff, Kind};
use crate::manifest::{Downward, Manifest};
use crate::object::{ContainerHost, Facts, Host, pod_object};
use crate::plan::sandbox;

/// Everything a pod is made from; it passes to the pod init by staying in memory.
pub struct Blueprint {
    /// Where its files go.
    pub store: Store,
    /// The pod's name (`--name` or the manifest's).
    pub name: String,
    /// A fresh uid.
    pub uid: String,
    /// The manifest.
    pub manifest: Manifest,
    /// For each container of the manifest, its bundle.
    pub bundles: Vec<Bundle>,
    /// Restart delays.
    pub backoff: Backoff,
    /// Who looks on.
    pub watching: Watching,
    /// When the pod was started; all times of the pod are this plus a monotonic clock.
    pub started: SystemTime,
    /// The same moment on the clock that never jumps.
    pub clock: Instant,
    /// The cgroup hierarchy in use.
    pub hierarchy: Hierarchy,
    /// What the machine is called and has.
    pub machine: Machine,
}

/// A bundle, read once.
#[derive(Clone)]
pub struct Bundle {
    /// Absolute path.
    pub path: PathBuf,
    /// Its `config.json`.
    pub spec: Spec,
}

/// How somebody looks on while the pod is made. The default: nobody does.
#[derive(Default)]
pub struct Watching {
    /// Every kernel step goes to the event log.
    pub trace: bool,
    /// `sandbox.STEP`, `container.STEP`: where to wait.
    pub waits: Vec<String>,
    /// What a wait ends with: a byte, or the end of this pipe. Without it a wait is for ever (fault injection).
    pub go: Option<PipeReader>,
}

impl Watching {
    /// The steps of a layer (`sandbox`, `container`) to wait before, by their short names.
    pub fn waits_of(&self, layer: &str) -> Vec<&str> {
        let waits = self.waits.iter().filter_map(|at| at.split_once('.'));
        waits.filter(|(of, _)| *of == layer).map(|(_, step)| step).collect()
    }
}

/// What the pod init tells the CLI that made it, one JSON line each.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Message {
    /// The sandbox is there and the record is written.
    Sandbox,
    /// The first container process has been started.
    Started,
    /// The first container could not be started; the pod goes on trying.
    Warning(String),
    /// The sandbox could not be made; the pod init is gone.
    Failed(String),
    /// Somebody waits before a step.
    Waits(Wait),
}

/// Who waits before which step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wait {
    /// The container; `None` = the pod init.
    pub container: Option<String>,
    /// The step's short name.
    pub step: String,
    /// The process, as the host numbers it.
    pub pid: i32,
}

/// A pod init that has been made.
pub struct Started {
    /// The pod init.
    pub init: Child,
    /// [`Message`]s.
    pub messages: PipeReader,
}

impl Blueprint {
    /// `ROOT/pods/NAME`
    pub fn directory(&self) -> PathBuf {
        self.store.pod(&self.name)
    }

    /// `PARENT/barepod/UID`
    pub fn cgroup(&self) -> String {
        self.store.cgroup_path(&self.uid)
    }

    /// `LOGS/NS_NAME_UID`
    pub fn logs(&self) -> PathBuf {
        // A file name holds 255 bytes; the uid tells pods apart, so a long name is cut.
        let room = 255usize.saturating_sub(self.manifest.pod.namespace.len() + self.uid.len() + 2);
        let name = &self.name[..self.name.len().min(room)];
        self.store.logs.join(format!("{}_{name}_{}", self.manifest.pod.namespace, self.uid))
    }

    /// What the Pod object says of this machine.
    pub fn host(&self, container_ids: &[Option<String>]) -> Host {
        let pod = &self.manifest.pod;
        let containers = pod.containers.iter().zip(&self.bundles).zip(container_ids);
        Host {
            uid: self.uid.clone(),
            pod_ip: "127.0.0.1".to_owned(),
            started_at: self.started,
            qos_class: pod.qos_class().to_owned(),
            containers: containers
                .map(|((container, bundle), id)| ContainerHost {
                    container_id: id.clone(),
                    image: container.image.value.clone(),
                    image_id: bundle.path.display().to_string(),
                })
                .collect(),
        }
    }

    /// What a container can learn of its pod.
    pub fn downward(&self) -> Downward {
        let Machine { name, cpu, memory } = &self.machine;
        Downward::of(&self.manifest.pod, &self.uid, name, *cpu, *memory)
    }

    /// The host name that containers see: the machine's own with `hostNetwork`.
    pub fn hostname(&self) -> &str {
        if self.manifest.pod.host_network { &self.machine.name } else { &self.manifest.pod.hostname }
    }

    /// One cgroup hierarchy.
    pub fn v2(&self) -> bool {
        self.hierarchy.version() == Version::V2
    }
}

/// Starts the pod. When it fails nothing is left.
pub fn start(blueprint: Blueprint) -> Result<Started> {
    let store = blueprint.store.clone();
    let name = blueprint.name.clone();
    store.create()?;
    // The lock first: from here until the pod init is gone nobody else can make, or remove, a pod of this name.
    let Some(held) = remove::take(&store, &name)? else {
        bail!("pod {name} is running; barepod rm -f {name} removes it")
    };
    claim(&store, &name)?;
    let made = make(blueprint, held.as_raw_fd());
    if let Err(error) = &made
        && let Err(cleaning) = remove::everything(&store, &name)
    {
        bail!("{error:#}; and cleaning up failed: {cleaning:#}");
    }
    // Dropping our copy of the lock leaves the pod init as its only holder.
    drop(held);
    made
}

/// Refuses a name whose record is still there, but takes over that of a lost pod.
fn claim(store: &Store, name: &str) -> Result<()> {
    if !store.pod(name).exists() {
        return Ok(());
    }
    if let Some(record) = store.read(name)?
        && record.ended
    {
        bail!("pod {name} has ended ({}); barepod rm {name} removes its record", record.phase());
    }
    remove::all_but_lock(store, name).map(drop).with_context(|| format!("clean up lost pod {name}"))
}

fn make(blueprint: Blueprint, lock: i32) -> Result<Started> {
    // Written before anything else is made, so that whoever comes after a crash knows where to look.
    make_directory(&blueprint.directory())?;
    write_record(&blueprint.directory(), &first_record(&blueprint))?;
    make_directory(&blueprint.logs())?;
    let init_cgroup = make_cgroups(&blueprint)?;

    let (reader, writer) = std::io::pipe().context("make message pipe")?;
    // A CLI that is stopped does not listen; the pod does not wait for it.
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("make message pipe non-blocking")?;
    let inside = if blueprint.v2() { Some(init_cgroup.open_dir()?) } else { None };
    let placement = Placement {
        namespaces: sandbox::namespaces(&blueprint.manifest.pod),
        cgroup: inside.as_ref().map(std::os::fd::AsFd::as_fd),
        ..Placement::default()
    };
    let messages = reader.try_clone().context("copy message pipe")?;
    let init = process::spawn(&placement, move || {
        drop(reader);
        init::main(blueprint, &init_cgroup, lock, writer)
    })
    .context("make pod init")?;
    Ok(Started { init, messages })
}

/// `…/UID/init` for the pod init, without limits; `…/UID/pod` with the pod's limits for all containers.
fn make_cgroups(blueprint: &Blueprint) -> Result<Cgroup> {
    let cgroup = |leaf: &str| Cgroup::new(&blueprint.hierarchy, &format!("{}/{leaf}", blueprint.cgroup()));
    let pod = cgroup("pod")?;
    pod.create().context("make pod cgroup")?;
    pod.apply(&blueprint.manifest.pod.cgroup_resources()?).context("set pod limits")?;
    let init = cgroup("init")?;
    init.create().context("make cgroup of the pod init")?;
    Ok(init)
}

fn first_record(blueprint: &Blueprint) -> Record {
    let containers = &blueprint.manifest.pod.containers;
    // The pod before anything has happened: Pending, everything waiting.
    let lifecycle = Lifecycle::new(blueprint.manifest.pod.lifecycle(blueprint.backoff));
    let facts = Facts {
        snapshot: lifecycle.snapshot(Duration::ZERO),
        host: blueprint.host(&vec![None; containers.len()]),
        ephemeral: Vec::new(),
    };
    let name = |container: &crate::manifest::Container| ContainerName {
        name: container.name.clone(),
        app: container.kind == Kind::App,
    };
    Record {
        init: None,
        network_namespace: None,
        hierarchy: Some(blueprint.hierarchy.clone()),
        cgroup: blueprint.cgroup(),
        logs: blueprint.logs(),
        instances: Vec::new(),
        ended: false,
        containers: containers.iter().map(name).collect(),
        object: pod_object(&blueprint.manifest.object, lifecycle.spec(), &facts),
    }
}

/// A fresh random uid.
pub fn new_uid() -> Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/uuid").context("read a uuid")?.trim().to_owned())
}

/// How long a pod init may take to make its sandbox.
pub const SANDBOX_DEADLINE: Duration = Duration::from_secs(30);
