//! One run of a container: from the decision to start it until nothing of it is left.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::init::{Sandbox, make_directory, mount_tmpfs, shared_pid_namespace};
use super::logs::{LogWriter, Stream};
use super::start::Bundle;
use super::store::InstanceRecord;
use super::volume;
use crate::bundle;
use crate::bundle::accounts::Accounts;
use crate::container::child::{Report, Watched};
use crate::container::launch::{Launch, Launched, Stdio, launch, null};
use crate::kernel::cgroup::{Cgroup, refuse_rare};
use crate::kernel::process::{self, Child, Identity};
use crate::kernel::root::Root;
use crate::kernel::{machine, mount, pass};
use crate::lifecycle::model::Instance;
use crate::manifest::{Container, Pod, env};
use crate::plan::{self, Rootfs};

/// What a pipe for output holds, in bytes (pipe(7)): the fewer times it is emptied, the less each line costs.
const CAPACITY: usize = 256 * 1024;
/// Output is read in pieces of this size: a little more than that, so that one read takes all there is.
pub(super) const PIECE: usize = CAPACITY + 4096;

/// A container instance whose process has been made.
pub struct Running {
    /// Which.
    pub instance: Instance,
    /// Its first process.
    pub child: Child,
    /// Its cgroup.
    pub cgroup: Cgroup,
    /// What the record says of it.
    pub record: InstanceRecord,
    /// The OCI process of the spec, for hooks and probes.
    pub process: oci_spec::runtime::Process,
    /// Its filter for system calls, for the same.
    pub filter: Option<oci_spec::runtime::LinuxSeccomp>,
    /// The child's report, until it has become the container.
    pub report: Option<PipeReader>,
    /// The beginning of a line of it.
    pub report_text: Vec<u8>,
    /// It could not become the container, and has exited or is about to.
    pub failure: Option<Report>,
    /// Standard output and error; `None` once closed.
    pub outputs: [Option<PipeReader>; 2],
    /// Where the other end of its terminal comes from, until it is the first of the outputs.
    pub terminal: Option<OwnedFd>,
    /// Where they go.
    pub log: LogWriter,
    /// How its first process ended, while the rest of its cgroup is being killed.
    pub ended: Option<(i32, Option<i32>)>,
    /// How often the rest of its cgroup was looked at.
    pub clearings: u32,
    /// The out-of-memory killer struck in its cgroup.
    pub oom_killed: bool,
    /// Its termination message file.
    pub message_file: PathBuf,
}

/// What an instance is made from.
pub struct Origin<'a> {
    /// Which it is.
    pub instance: Instance,
    /// Its container.
    pub container: &'a Container,
    /// The bundle of that.
    pub bundle: &'a Bundle,
    /// The PID namespace of another container, which it is to share.
    pub target: Option<PathBuf>,
    /// Where its standard streams lead.
    pub streams: Streams,
}

/// Where the standard streams of an instance lead.
pub enum Streams {
    /// Output to the log, that of its terminal too if it has one; no input.
    Log,
    /// To somebody outside of the pod.
    Given(Stdio),
    /// It has a terminal, whose other end goes to somebody outside, through this socket.
    Terminal(OwnedFd),
}

/// Why an instance could not be made, with Kubernetes' reason.
pub struct Failure {
    /// `CreateContainerConfigError`, `CreateContainerError` or `RunContainerError`.
    pub reason: &'static str,
    /// The error chain.
    pub error: anyhow::Error,
}

impl Failure {
    /// What the manifest and the bundle ask for together cannot be.
    fn config(error: anyhow::Error) -> Failure {
        Failure { reason: "CreateContainerConfigError", error }
    }

    fn create(error: anyhow::Error) -> Failure {
        Failure { reason: "CreateContainerError", error }
    }

    fn run(error: anyhow::Error) -> Failure {
        Failure { reason: "RunContainerError", error }
    }
}

/// What an instance needs before it has a process.
pub struct Prepared {
    spec: oci_spec::runtime::Spec,
    plan: plan::Plan,
    cgroup: Cgroup,
    message_file: PathBuf,
}

/// Makes the instance's files and cgroup.
pub fn prepare(sandbox: &Sandbox, origin: &Origin) -> Result<Prepared, Failure> {
    let container = origin.container;
    // A fresh writable layer; the one of the instance before goes first, so that two never cost memory together.
    let layer = fresh_layer(sandbox, &container.name).map_err(Failure::create)?;
    let message_file = message_file(&layer).map_err(Failure::create)?;
    let context = context(sandbox, origin, &message_file)?;
    let spec = bundle::merge(&origin.bundle.spec, container, &context).map_err(Failure::config)?;
    let prepared = write_plan(sandbox, origin, spec, layer, message_file).map_err(Failure::create)?;
    make_cgroup(sandbox, &prepared).map_err(Failure::run)?;
    Ok(prepared)
}

/// Makes its process, which then performs its steps by itself.
pub fn start(sandbox: &Sandbox, origin: Origin, prepared: Prepared) -> Result<Running, Failure> {
    run(sandbox, origin, prepared).map_err(Failure::run)
}

fn message_file(layer: &Path) -> Result<PathBuf> {
    let file = layer.join("termination-log");
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o666)
        .open(&file)
        .context("make termination message file")?;
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    Ok(file)
}

/// What the container gets from its pod.
fn context(sandbox: &Sandbox, origin: &Origin, message_file: &Path) -> Result<bundle::MergeContext, Failure> {
    let (blueprint, scratch) = (&sandbox.blueprint, &sandbox.scratch);
    let pod = &blueprint.manifest.pod;
    let Origin { instance, container, .. } = origin;
    // hostPath sources are looked up at each start, so that a restart sees what the host has now.
    let used =
        |volume: &&crate::manifest::Volume| container.mounts.iter().any(|mount| mount.volume == volume.name);
    let volumes: Result<BTreeMap<_, _>> = pod
        .volumes
        .iter()
        .filter(used)
        .map(|volume| Ok((volume.name.clone(), volume::source(volume, scratch)?)))
        .collect();
    let volumes = volumes.map_err(Failure::create)?;
    let downward = blueprint.downward();
    let variables = env::variables(container, &downward);
    let sub_paths = volume::part::bind(container, &volumes, &variables, scratch).map_err(Failure::config)?;
    // With a reaper every container of the pod is in its namespace, the target too.
    let shared = sandbox.reaper.as_ref().map(shared_pid_namespace).transpose();
    let pid_namespace = shared.map_err(Failure::create)?.or_else(|| origin.target.clone());
    Ok(bundle::MergeContext {
        hostname: blueprint.hostname().to_owned(),
        volumes,
        sub_paths,
        downward,
        etc: scratch.join("etc"),
        shm: if pod.host_ipc { PathBuf::from("/dev/shm") } else { scratch.join("shm") },
        termination_log: message_file.to_owned(),
        cgroup: format!("{}/pod/{}.{}", blueprint.cgroup(), container.name, instance.attempt),
        pid_namespace,
        pod_security: pod.security.clone(),
        accounts: accounts(pod, origin).map_err(Failure::create)?,
        local_filter: super::profile::local_filter(pod, container).map_err(Failure::create)?,
        held: Some(machine::held_capabilities().map_err(Failure::create)?),
        host_devices: match container.security.privileged {
            true => machine::devices().map_err(Failure::create)?,
            false => Vec::new(),
        },
    })
}

/// The image's accounts, if the container needs them.
fn accounts(pod: &Pod, origin: &Origin) -> Result<Accounts> {
    if !bundle::needs_accounts(&origin.bundle.spec, origin.container, &pod.security) {
        return Ok(Accounts::default());
    }
    let bundle = origin.bundle;
    let rootfs = bundle.path.join(bundle.spec.root().as_ref().context("root is missing")?.path());
    let rootfs = Root::open(&rootfs)?;
    let read = |path: &str| -> Result<String> {
        const MOST: u64 = 1 << 20;
        let mut bytes = Vec::new();
        if let Some(file) = rootfs.read(Path::new(path))? {
            file.take(MOST).read_to_end(&mut bytes).with_context(|| format!("read {path} in rootfs"))?;
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Accounts { passwd: read("/etc/passwd")?, group: read("/etc/group")? })
}

fn write_plan(
    sandbox: &Sandbox,
    origin: &Origin,
    spec: oci_spec::runtime::Spec,
    layer: PathBuf,
    message_file: PathBuf,
) -> Result<Prepared> {
    let blueprint = &sandbox.blueprint;
    let bundle = origin.bundle;
    let rootfs = bundle.path.join(spec.root().as_ref().context("root is missing")?.path());
    let plan = plan::plan(&spec, &bundle.path, Rootfs::Overlay { lower: rootfs, layer }, blueprint.v2())?;
    // The final spec is kept for whoever wants to look, and for exec; as of logs, that of the instance before as well.
    let (directory, attempt) = (blueprint.directory(), origin.instance.attempt);
    let file = |attempt| super::store::spec_file(&origin.container.name, attempt);
    super::store::replace(&directory, &file(attempt), &serde_json::to_vec(&spec)?)?;
    if let Some(outdated) = attempt.checked_sub(2) {
        super::remove::remove_file_if_there(&directory.join(file(outdated)))?;
    }
    let cgroup = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone());
    let cgroup = cgroup.context("cgroup path is missing")?;
    let cgroup = Cgroup::new(&blueprint.hierarchy, cgroup.to_str().context("cgroup path is not UTF-8")?)?;
    Ok(Prepared { spec, plan, cgroup, message_file })
}

fn make_cgroup(sandbox: &Sandbox, prepared: &Prepared) -> Result<()> {
    let Prepared { spec, cgroup, .. } = prepared;
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    // What a bundle may ask for besides is not in the plan that `explain` tells.
    resources.map_or(Ok(()), |resources| refuse_rare(resources, sandbox.blueprint.hierarchy.version()))?;
    cgroup.create()?;
    resources.map_or(Ok(()), |resources| cgroup.apply(resources))
}

fn run(sandbox: &Sandbox, origin: Origin, prepared: Prepared) -> Result<Running> {
    let blueprint = &sandbox.blueprint;
    let Origin { instance, container, streams, .. } = origin;
    let Prepared { spec, plan, cgroup, message_file } = prepared;
    let logs = blueprint.logs().join(&container.name);
    super::store::make_directory(&logs)?;
    let log = LogWriter::create(&logs, instance.attempt)?;
    let ends = ends(streams, container.tty)?;
    let watching = &blueprint.watching;
    // Whoever looks on waits for what the manifest has, not for what comes to it later.
    let in_manifest = instance.container < blueprint.manifest.pod.containers.len();
    let waits = if in_manifest { watching.waits_of("container") } else { Vec::new() };
    let watched = Watched {
        trace: watching.trace.then_some(blueprint.clock),
        waits: &waits,
        go: watching.go.as_ref().map(AsFd::as_fd),
    };
    let (stdio, terminal) = (ends.stdio, ends.passage);
    let Launched { child, report } = launch(Launch {
        plan: &plan,
        cgroup: &cgroup,
        born_there: true,
        stdio,
        terminal,
        watched,
        runtime: None,
        preserve: &[],
        no_pivot: false,
    })?;
    fcntl(report.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let identity = Identity::of(process::host_pid(child.pidfd.as_fd())?)?;
    let record = InstanceRecord {
        container: container.name.clone(),
        attempt: instance.attempt,
        process: identity,
        cgroup: cgroup.path().to_owned(),
    };
    Ok(Running {
        instance,
        child,
        cgroup,
        record,
        process: spec.process().clone().context("process is missing")?,
        filter: plan::filter(&spec).cloned(),
        report: Some(report),
        report_text: Vec::new(),
        failure: None,
        outputs: ends.outputs,
        terminal: ends.terminal,
        log,
        ended: None,
        clearings: 0,
        oom_killed: false,
        message_file,
    })
}

/// `layers/NAME`: a tmpfs with `upper`, `work` and `merged` for overlayfs. The one of the instance before is let go of as a
/// whole, by the kernel, however much its container has put into it.
fn fresh_layer(sandbox: &Sandbox, container: &str) -> Result<PathBuf> {
    let layer = sandbox.scratch.join("layers").join(container);
    if layer.exists() {
        mount::detach(&layer)?;
    } else {
        make_directory(&layer, 0o755)?;
    }
    mount_tmpfs(&layer, sandbox.blueprint.manifest.pod.memory_limit(), "755", "private")?;
    for part in ["upper", "work", "merged"] {
        make_directory(&layer.join(part), 0o755)?;
    }
    Ok(layer)
}

/// The two ends of the streams of an instance.
struct Ends {
    /// Its own.
    stdio: Stdio,
    /// Where it passes the other end of its terminal on.
    passage: Option<OwnedFd>,
    /// Ours, to be read.
    outputs: [Option<PipeReader>; 2],
    /// Where the other end of its terminal comes from, if it is ours.
    terminal: Option<OwnedFd>,
}

fn ends(streams: Streams, tty: bool) -> Result<Ends> {
    let nowhere = || Ok::<_, anyhow::Error>(Stdio { input: null()?, output: null()?, error: null()? });
    let outside = |stdio, passage| Ends { stdio, passage, outputs: [None, None], terminal: None };
    Ok(match streams {
        Streams::Given(stdio) => outside(stdio, None),
        Streams::Terminal(passage) => outside(nowhere()?, Some(passage)),
        Streams::Log if tty => {
            let (terminal, passage) = pass::pair()?;
            fcntl(terminal.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            Ends { terminal: Some(terminal), ..outside(nowhere()?, Some(passage)) }
        }
        Streams::Log => {
            let (stdout, output) = output_pipe()?;
            let (stderr, error) = output_pipe()?;
            let stdio = Stdio { input: null()?, output: output.into(), error: error.into() };
            Ends { outputs: [Some(stdout), Some(stderr)], ..outside(stdio, None) }
        }
    })
}

fn output_pipe() -> Result<(PipeReader, std::io::PipeWriter)> {
    let (reader, writer) = std::io::pipe().context("make output pipe")?;
    fcntl(reader.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("make output pipe non-blocking")?;
    // Room for what is printed while output gathers. Where there is none for it, the pipe stays as it is.
    fcntl(reader.as_fd(), FcntlArg::F_SETPIPE_SZ(CAPACITY as i32)).ok();
    Ok((reader, writer))
}

/// Reads what a non-blocking pipe has into `into`, at most `limit` bytes; false at end of file.
pub fn read_available(pipe: &mut PipeReader, into: &mut Vec<u8>, limit: usize) -> Result<bool> {
    // What was read before an error is in `into`.
    is_open(pipe.take(limit as u64).read_to_end(into).map(|length| length == limit))
}

/// Whether there may be more in a non-blocking pipe, from what its last read said of that.
fn is_open(read: std::io::Result<bool>) -> Result<bool> {
    match read {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        // A terminal says so when nobody has its other end open.
        Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(false),
        read => read.context("read pipe"),
    }
}

impl Running {
    /// Takes the other end of its terminal, which is its output, when it has come.
    pub fn take_terminal(&mut self) -> Result<()> {
        let Some(socket) = &self.terminal else { return Ok(()) };
        match pass::receive(socket.as_fd(), &mut [0]) {
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(()),
            received => {
                // Without one the child has ended before it had a terminal, and its report says why.
                if let Some(master) = received.context("take the terminal")?.1.pop() {
                    fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                        .context("make the terminal non-blocking")?;
                    self.outputs[0] = Some(master.into());
                }
            }
        }
        self.terminal = None;
        Ok(())
    }

    /// Moves a bounded amount of output to the log, through `piece`, from those streams that `is_ready`; closes those that have
    /// ended. Tells how much it was.
    pub fn pump(
        &mut self,
        now: SystemTime,
        limit: usize,
        piece: &mut [u8],
        is_ready: impl Fn(&PipeReader) -> bool,
    ) -> Result<usize> {
        let mut moved = 0;
        for (stream, pipe) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&mut self.outputs) {
            let Some(reader) = pipe.as_mut().filter(|pipe| is_ready(pipe)) else { continue };
            let mut total = 0;
            let open = loop {
                let read = reader.read(piece);
                if let Ok(length) = read {
                    self.log.write(stream, &piece[..length], now);
                    total += length;
                    // Less than there was room for: that was all that a pipe had. A terminal may have more.
                    if length == piece.len() && total < limit {
                        continue;
                    }
                }
                break is_open(read.map(|length| length > 0))?;
            };
            if !open {
                *pipe = None;
            }
            moved += total;
        }
        Ok(moved)
    }

    /// Kills what is left in the cgroup, one round at a time; true when it is empty and gone. Called again until it is.
    pub fn clear(&mut self) -> Result<bool> {
        self.clearings += 1;
        Ok(self.cgroup.kill_round()? && self.cgroup.remove(Duration::ZERO).map(|()| true)?)
    }
}
