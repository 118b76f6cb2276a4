//! The pod init, right after clone3: PID 1 of the pod's PID namespace, in new mount, network, IPC and UTS namespaces.
//! Performs the sandbox steps, then becomes the supervisor. When it dies the kernel takes the whole pod down.

use std::fs::{self, DirBuilder, File};
use std::io::{PipeWriter, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use nix::sys::stat::{Mode, umask};

use super::control::Server;
use super::events::{self, EventLog};
use super::reaper;
use super::start::{Blueprint, Message, Wait};
use super::supervisor::Supervisor;
use super::volume::files;
use crate::container::child::Watched;
use crate::kernel::cgroup::Cgroup;
use crate::kernel::process::{self, Child};
use crate::kernel::{identity, mount, network, sys};
use crate::lifecycle::fact::Fact;
use crate::manifest::VolumeSource;
use crate::plan::sandbox::{SandboxSpec, SandboxStep, mount_points, steps};

/// The sandbox, made.
pub struct Sandbox {
    /// Everything the pod is made from.
    pub blueprint: Blueprint,
    /// The scratch tmpfs.
    pub scratch: PathBuf,
    /// The control socket.
    pub control: Server,
    /// The event log.
    pub events: EventLog,
    /// PID 1 of the shared process namespace, if there is one.
    pub reaper: Option<Child>,
    /// To the CLI that made us, until it has heard enough.
    pub messages: Option<PipeWriter>,
}

/// Runs until the pod has ended; the exit code is for nobody: the record says how it ended.
pub fn main(blueprint: Blueprint, cgroup: &Cgroup, lock: i32, messages: PipeWriter) -> i32 {
    match sandbox(blueprint, cgroup, lock, &messages).and_then(Supervisor::new) {
        Ok(supervisor) => {
            drop(messages); // the supervisor has its own
            // What goes wrong from here on is in the event log; the record stays as it is, which says that the pod is lost.
            i32::from(supervisor.run().is_err())
        }
        Err(error) => {
            tell(&messages, &Message::Failed(format!("{error:#}")));
            1
        }
    }
}

/// Performs the steps of the sandbox.
fn sandbox(blueprint: Blueprint, cgroup: &Cgroup, lock: i32, messages: &PipeWriter) -> Result<Sandbox> {
    let mut events = EventLog::begin(&blueprint.directory(), &events::head(&blueprint))?;
    let mut making = Making {
        blueprint: &blueprint,
        cgroup,
        lock,
        messages,
        events: &mut events,
        control: None,
        reaper: None,
    };
    making.perform_all()?;
    let (control, reaper) =
        (making.control.take().context("no step made a control socket")?, making.reaper.take());
    let messages = Some(messages.try_clone().context("copy message pipe")?);
    let scratch = scratch(&blueprint);
    Ok(Sandbox { blueprint, scratch, control, events, reaper, messages })
}

/// One line to the CLI; nobody may be listening any more.
pub fn tell(mut messages: &PipeWriter, message: &Message) {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    messages.write_all(&line).ok();
}

fn scratch(blueprint: &Blueprint) -> PathBuf {
    blueprint.directory().join("sandbox")
}

struct Making<'a> {
    blueprint: &'a Blueprint,
    cgroup: &'a Cgroup,
    lock: i32,
    messages: &'a PipeWriter,
    events: &'a mut EventLog,
    control: Option<Server>,
    reaper: Option<Child>,
}

impl Making<'_> {
    fn perform_all(&mut self) -> Result<()> {
        let pod = &self.blueprint.manifest.pod;
        let spec = SandboxSpec::of(pod, self.blueprint.v2());
        let watching = &self.blueprint.watching;
        let waits = watching.waits_of("sandbox");
        let watched =
            Watched { waits: &waits, go: watching.go.as_ref().map(AsFd::as_fd), ..Watched::default() };
        for step in steps(&spec) {
            watched.before(step.name(), || {
                let pid = process::own_host_pid().unwrap_or(0); // 0 is no process: the CLI says so, and nobody looks at it
                let wait = Wait { container: None, step: step.name().to_owned(), pid };
                tell(self.messages, &Message::Waits(wait));
            });
            let start = Instant::now();
            let performed = self.perform(&step).with_context(|| step.to_string());
            if watching.trace {
                self.trace(&step, start, performed.as_ref().err());
            }
            performed?;
        }
        Ok(())
    }

    fn trace(&mut self, step: &SandboxStep, start: Instant, failure: Option<&anyhow::Error>) {
        let fact = Fact::Step {
            step: step.name().to_owned(),
            does: step.to_string(),
            took: start.elapsed(),
            failure: failure.map(|error| format!("{error:#}")),
            errno: failure.map_or(0, process::errno),
        };
        self.events.append(&events::entry_of_pod(self.blueprint.clock.elapsed(), fact));
    }

    fn perform(&mut self, step: &SandboxStep) -> Result<()> {
        let scratch = scratch(self.blueprint);
        match step {
            SandboxStep::Detach => {
                let go = self.blueprint.watching.go.as_ref().map(AsRawFd::as_raw_fd);
                let mut keep = vec![self.lock, self.messages.as_raw_fd(), self.events.descriptor()];
                keep.extend(go);
                detach(&keep)
            }
            SandboxStep::JoinCgroup => self.cgroup.join_self(),
            SandboxStep::Propagation => mount::propagation_of_all("rslave"),
            SandboxStep::OomScoreAdj(value) => {
                // Lowering it needs CAP_SYS_RESOURCE, which root may lack in a VM of somebody else's: then the pod init
                // is as likely a victim as any process, and that is all.
                identity::set_oom_score_adj(identity::open_proc()?, *value).ok();
                Ok(())
            }
            SandboxStep::Hostname(name) => Ok(nix::unistd::sethostname(name)?),
            SandboxStep::Loopback => network::loopback_up(),
            SandboxStep::Sysctl { name, value } => identity::set_sysctl(identity::open_proc()?, name, value),
            SandboxStep::Scratch { size } => {
                make_directory(&scratch, 0o700)?;
                mount_tmpfs(&scratch, *size, "755", "private")
            }
            SandboxStep::Volume { name, size } => {
                let place = scratch.join("volumes").join(name);
                make_directory(&place, 0o755)?;
                // Shared, so that containers with mountPropagation see one another's mounts in it.
                mount_tmpfs(&place, *size, "777", "shared")?;
                fill(self.blueprint, name, &place)
            }
            SandboxStep::SharedMemory => {
                make_directory(&scratch.join("shm"), 0o755)?;
                mount_tmpfs(&scratch.join("shm"), Some(64 << 20), "1777", "private")
            }
            SandboxStep::EtcFiles => etc_files(&scratch.join("etc"), self.blueprint),
            SandboxStep::Reaper => {
                self.reaper = Some(reaper::spawn()?);
                Ok(())
            }
            SandboxStep::Control => {
                self.control = Some(Server::listen(&self.blueprint.directory())?);
                Ok(())
            }
        }
    }
}

/// Gives a fresh tmpfs volume its owner and its files.
fn fill(blueprint: &Blueprint, volume: &str, place: &Path) -> Result<()> {
    let pod = &blueprint.manifest.pod;
    files::own(place, pod.security.fs_group)?;
    let volume = pod.volumes.iter().find(|one| one.name == volume).context("it is not in the manifest")?;
    match &volume.source {
        VolumeSource::Files(list) => {
            let (points, group) = (mount_points(pod, volume), pod.security.fs_group);
            files::fill(place, list, &points, &blueprint.downward(), group, blueprint.started)
        }
        _ => Ok(()),
    }
}

/// A session of its own, so that no terminal can stop or kill the pod, and nothing open that is not ours.
fn detach(keep: &[i32]) -> Result<()> {
    nix::unistd::setsid().context("setsid")?;
    nix::unistd::chdir("/").context("chdir /")?;
    umask(Mode::from_bits_truncate(0o022)); // modes below are meant as they stand, whatever the caller's was
    nix::sys::prctl::set_name(c"barepod-init").context("prctl PR_SET_NAME")?;
    let null = File::options().read(true).write(true).open("/dev/null").context("open /dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    drop(null);
    sys::close_all_but(keep).context("close the caller's descriptors")
}

/// Mounts a tmpfs, of half of RAM without a size in bytes.
pub fn mount_tmpfs(place: &Path, size: Option<u64>, mode: &str, propagation: &str) -> Result<()> {
    let size = size.map(|size| ("size".to_owned(), Some(size.to_string())));
    let options: Vec<_> = [("mode".to_owned(), Some(mode.to_owned()))].into_iter().chain(size).collect();
    let tree = mount::new_filesystem("tmpfs", &options, 0)?;
    let place = File::open(place).with_context(|| format!("open {}", place.display()))?;
    mount::attach(tree.as_fd(), place.as_fd())?;
    mount::set_propagation(tree.as_fd(), propagation)
}

/// Makes a directory with exactly this mode; one that is there is fine.
pub fn make_directory(path: &Path, mode: u32) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .with_context(|| format!("make {}", path.display()))
}

fn etc_files(directory: &Path, blueprint: &Blueprint) -> Result<()> {
    let pod = &blueprint.manifest.pod;
    make_directory(directory, 0o755)?;
    // A host without one of these has pods without.
    let of_host = |path: &str| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let write = |name: &str, text: String| {
        fs::write(directory.join(name), text).with_context(|| format!("write {name}"))
    };
    write("hosts", pod.etc_hosts(&of_host("/etc/hosts")))?;
    write("hostname", format!("{}\n", blueprint.hostname()))?;
    write("resolv.conf", pod.resolv_conf(&of_host("/etc/resolv.conf")))
}

/// The reaper's PID namespace, for containers to be born into.
pub fn shared_pid_namespace(reaper: &Child) -> Result<PathBuf> {
    Ok(PathBuf::from(format!("/proc/{}/ns/pid", process::host_pid(reaper.pidfd.as_fd())?)))
}
