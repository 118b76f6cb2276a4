//! `create` and `run`: from a bundle to a container that waits for `start`, or to one whose program runs.

use std::cell::OnceCell;
use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::{LinuxResources, Spec};

use super::step::Runtime;
use super::{CONFIG, Container, Record, check_id, delete, hooks, id_map, outside, parse, start};
use crate::container::child::{Said, Watched};
use crate::container::launch::{Launch, Launched, Stdio, discard, hear_next, launch};
use crate::kernel::cgroup::{Cgroup, Hierarchy, Place, Version, place, systemd};
use crate::kernel::identity;
use crate::kernel::netdevice::Move;
use crate::kernel::process::{self, Child, Identity};
use crate::plan::oci::{OciStep, Wait, find_home, nothing_to_run, runtime_hooks, wait_for_start};
use crate::plan::{self, Plan, Rootfs, Step};

/// A bundle that was read.
pub struct Bundle {
    /// Its absolute path.
    path: PathBuf,
    /// `config.json` as it stands there.
    text: String,
    /// What that says.
    pub spec: Spec,
}

impl Bundle {
    /// Reads the configuration; nothing else is looked at yet.
    pub fn read(path: &Path) -> Result<Bundle> {
        // Symlinks stay: who is told where the bundle is may compare.
        fs::metadata(path).with_context(|| format!("find bundle {}", path.display()))?;
        let path = std::path::absolute(path).context("make the path of the bundle absolute")?;
        let text = fs::read_to_string(path.join(CONFIG)).context("read config.json")?;
        let spec = parse(&text)?;
        check_version(spec.version())?;
        Ok(Bundle { path, text, spec })
    }

    /// Whether the process is to have a terminal.
    pub fn has_terminal(&self) -> bool {
        self.spec.process().as_ref().is_some_and(|process| process.terminal() == Some(true))
    }
}

/// What `create` and `run` are told beside the bundle.
pub struct Options {
    /// Wait for `start` before the program is executed.
    pub wait_for_start: bool,
    /// Socket to which the other end of a terminal is sent.
    pub console: Option<OwnedFd>,
    /// The descriptors from 3 on that the program is to have.
    pub preserve: Vec<RawFd>,
    /// Do without pivot_root(2).
    pub no_pivot: bool,
    /// Leave the session keyring as it is.
    pub no_new_keyring: bool,
    /// Let systemd make the cgroup.
    pub systemd: bool,
    /// Standard streams.
    pub stdio: Stdio,
}

/// A container on its way, and what undoing it needs.
struct Making<'a> {
    container: Container,
    spec: &'a Spec,
    cgroup: &'a Cgroup,
    place: &'a Place,
    devices: Option<Move>,
    has_run_hooks: bool,
}

/// Makes the container of a bundle. Either it is there when this returns, or nothing of it.
pub fn create(root: &Path, id: &str, bundle: &Bundle, options: Options) -> Result<(Container, Child)> {
    check_id(id)?;
    let Bundle { path, text, spec } = bundle;
    // The plan refuses what is not done, before anything exists.
    let hierarchy = Hierarchy::detect()?;
    let rootfs = path.join(spec.root().as_ref().context("root is missing")?.path());
    ensure!(
        bundle.has_terminal() || options.console.is_none(),
        "a console socket is of no use: process.terminal is not true"
    );
    let linux = spec.linux().as_ref().context("linux is missing")?;
    let given =
        linux.cgroups_path().as_ref().map(|path| path.to_str().context("linux.cgroupsPath is not UTF-8"));
    let place = place(given.transpose()?, id, options.systemd)?;
    // Who is moved into a scope later is not born in its cgroup.
    let is_born_there = hierarchy.version() == Version::V2 && !options.systemd;
    let plan = make_plan(spec, path, &rootfs, is_born_there, &options)?;
    let mut cgroup = Cgroup::new(&hierarchy, place.path())?;
    if let Some(resources) = linux.resources() {
        cgroup = cgroup.new_for_resources(resources)?;
    }

    // The directory is the claim on the id; whatever fails after this takes it away again.
    let directory = claim(root, id)?;
    let container = Container {
        directory: directory.clone(),
        record: Record {
            id: id.to_owned(),
            oci_version: spec.version().clone(),
            bundle: path.clone(),
            rootfs,
            created: humantime::format_rfc3339_nanos(SystemTime::now()).to_string(),
            process: None,
            cgroup: cgroup.path().to_owned(),
            hierarchy: Some(hierarchy),
            scope: if let Place::Scope(scope) = &place { Some(scope.unit.clone()) } else { None },
            annotations: spec.annotations().clone(),
            resource_group: None,
            mounts_on_host: plan.steps.contains(&Step::Oci(OciStep::Chroot)),
        },
        cgroup: OnceCell::new(),
    };
    // It undoes itself when it fails, and it fails when the cgroup is somebody else's: nothing of his may be killed below.
    // It may have been prepared.
    let made = match &place {
        Place::Path(_) => cgroup.create_or_take(),
        Place::Scope(_) => Ok(()),
    };
    if let Err(error) = made {
        fs::remove_dir_all(&directory).with_context(|| format!("remove {}", directory.display()))?;
        return Err(error);
    }
    let mut making =
        Making { container, spec, cgroup: &cgroup, place: &place, devices: None, has_run_hooks: false };
    match making.make(&plan, text, options) {
        Ok(child) => Ok((making.container, child)),
        Err(error) => {
            let warnings = making.undo().with_context(|| format!("clean up after: {error:#}"))?;
            Err(delete::with(error, &warnings))
        }
    }
}

impl Making<'_> {
    fn make(&mut self, plan: &Plan, config: &str, options: Options) -> Result<Child> {
        let directory = &self.container.directory;
        // First of all what `delete --force` needs, should this be interrupted.
        self.container.save()?;
        fs::write(directory.join(CONFIG), config).context("keep config.json")?;
        if let (Some(resources), Place::Path(_)) = (self.resources(), self.place) {
            self.cgroup.apply(resources)?;
        }
        let listener = options.wait_for_start.then(|| start::listen(directory)).transpose()?;
        let (answers, mut answer) = std::io::pipe().context("make answer pipe")?;
        let agent = agent(self.spec)?;
        // Only the host's root may map the owners of its filesystems.
        let mapped = id_map::sources(&plan.steps)?;
        let runtime = Runtime {
            answers: answers.as_fd(),
            start: listener.as_ref().map(AsFd::as_fd),
            agent: agent.as_ref().map(AsFd::as_fd),
            mapped: &mapped,
        };
        let Launched { child, mut report } = launch(Launch {
            plan,
            cgroup: self.cgroup,
            born_there: matches!(self.place, Place::Path(_)),
            stdio: options.stdio,
            terminal: options.console,
            watched: Watched::default(),
            runtime: Some(runtime),
            preserve: &options.preserve,
            no_pivot: options.no_pivot,
        })?;
        drop(answers); // so that our end is noticed
        let mut text = Vec::new();
        let made = loop {
            match hear_next(&mut report, &mut text) {
                Ok(None) => break self.take_process(&child),
                Ok(Some(Said::Failed(failure))) => {
                    break Err(anyhow::anyhow!("{}: {}", failure.does, failure.error));
                }
                Ok(Some(Said::Waits { step })) if step == OciStep::WaitForStart.name() => {
                    break self.take_process(&child).and_then(|()| start::publish(&self.container.directory));
                }
                Ok(Some(Said::Waits { step })) => {
                    if let Err(error) = self.answer(&step, plan, &child, &mut answer) {
                        break Err(error);
                    }
                }
                Ok(Some(Said::Performed { .. })) => {}
                Err(error) => break Err(error),
            }
        };
        if made.is_err() {
            discard(&child)?;
        }
        made.map(|()| child)
    }

    fn resources(&self) -> Option<&LinuxResources> {
        self.spec.linux().as_ref()?.resources().as_ref()
    }

    /// Does what the child waits for.
    fn answer(&mut self, step: &str, plan: &Plan, child: &Child, answer: &mut impl Write) -> Result<()> {
        let words = match step {
            "scope" => {
                let Place::Scope(scope) = self.place else { bail!("there is no scope to wait for") };
                let pid = process::host_pid(child.pidfd.as_fd())?;
                systemd::start(scope, pid, self.resources(), self.cgroup.is_v2())?;
                self.cgroup.adopt(pid)?;
                if let Some(resources) = self.resources() {
                    self.cgroup.apply(resources)?;
                }
                "done".to_owned()
            }
            "maps" => {
                let pid = process::host_pid(child.pidfd.as_fd())?;
                identity::write_id_maps(pid, &plan.maps.users, &plan.maps.groups)?;
                "done".to_owned()
            }
            "net-devices" => {
                let pid = process::host_pid(child.pidfd.as_fd())?;
                outside::move_devices(self.spec, pid, &mut self.devices)?;
                "done".to_owned()
            }
            "resource-group" => {
                let pid = process::host_pid(child.pidfd.as_fd())?;
                outside::join_group(&mut self.container, self.spec, pid)?;
                "done".to_owned()
            }
            "runtime-hooks" => {
                self.take_process(child)?;
                self.has_run_hooks = true;
                let state = self.container.state_with(super::Status::Creating).to_string();
                // prestart is from a time when there was no status "creating".
                let before = self.container.state_with(super::Status::Created).to_string();
                for (kind, state) in [("prestart", &before), ("createRuntime", &state)] {
                    let hooks = self.spec.hooks().as_ref().map(|hooks| runtime_hooks(hooks, kind));
                    hooks::run_all(kind, &hooks.unwrap_or_default(), state, &self.container.record.bundle)?;
                }
                state
            }
            _ => bail!("the container process waits for {step}, which nobody knows"),
        };
        writeln!(answer, "{words}").context("answer the container process")
    }

    /// Writes down which process it is.
    fn take_process(&mut self, child: &Child) -> Result<()> {
        if self.container.record.process.is_none() {
            let pid = process::host_pid(child.pidfd.as_fd())?;
            self.container.record.process = Some(Identity::of(pid)?);
            self.container.save()?;
        }
        Ok(())
    }

    fn undo(self) -> Result<delete::Warnings> {
        let devices = self.devices.map_or(Ok(()), Move::undo);
        // What the other hooks have begun these end, also when it is one of the others that failed (runtime-spec, "Lifecycle").
        let warnings = delete::remove(&self.container, self.has_run_hooks.then_some(self.spec))?;
        devices.map(|()| warnings)
    }
}

/// The connection to the agent of a filter that asks one. He may be just about to listen.
fn agent(spec: &Spec) -> Result<Option<UnixStream>> {
    let Some(filter) = plan::filter(spec).filter(|filter| plan::seccomp::notifies(filter)) else {
        return Ok(None);
    };
    let path = filter.listener_path().as_deref().context("linux.seccomp: listenerPath is missing")?;
    let deadline = Instant::now() + Duration::from_millis(500);
    loop {
        match UnixStream::connect(path) {
            Ok(socket) => return Ok(Some(socket)),
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => {
                return Err(error).with_context(|| format!("connect to listenerPath {}", path.display()));
            }
        }
    }
}

fn make_plan(spec: &Spec, bundle: &Path, rootfs: &Path, v2: bool, options: &Options) -> Result<Plan> {
    let without_process = options.wait_for_start && spec.process().is_none();
    let waiting = without_process.then(|| {
        let mut spec = spec.clone();
        spec.set_process(Some(nothing_to_run()));
        spec
    });
    let rootfs = Rootfs::Directory(rootfs.to_owned());
    let mut plan = plan::plan(waiting.as_ref().unwrap_or(spec), bundle, rootfs, v2)?;
    if !options.no_new_keyring {
        let at = plan.steps.iter().position(|step| *step == Step::ResetProcess).map_or(0, |at| at + 1);
        plan.steps.insert(at, Step::Oci(OciStep::SessionKeyring));
    }
    if options.systemd {
        plan.steps.insert(0, Step::Oci(OciStep::Wait(Wait::Scope)));
    }
    if let Some(process) = spec.process() {
        find_home(&mut plan.steps, process);
    }
    if options.wait_for_start {
        wait_for_start(&mut plan.steps, spec.process().as_ref());
    }
    Ok(plan)
}

fn claim(root: &Path, id: &str) -> Result<PathBuf> {
    let directory = root.join(id);
    let mut private = DirBuilder::new();
    private.mode(0o700);
    private.recursive(true).create(root).with_context(|| format!("make {}", root.display()))?;
    match private.recursive(false).create(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => bail!("container id is in use"),
        other => other.with_context(|| format!("make {}", directory.display()))?,
    }
    Ok(directory)
}

/// `ociVersion` is a semantic version; another major one may mean anything.
fn check_version(version: &str) -> Result<()> {
    let (numbers, _) = version.split_once(['-', '+']).unwrap_or((version, ""));
    let parts: Vec<Option<u64>> = numbers.split('.').map(|part| part.parse().ok()).collect();
    match parts.as_slice() {
        [Some(1), Some(_), Some(_)] => Ok(()),
        [Some(major), Some(_), Some(_)] => bail!("ociVersion {version}: major version {major} is not known"),
        _ => bail!("ociVersion {version:?} is not a semantic version"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_specification_that_are_not_1_are_refused() {
        for good in ["1.0.0", "1.2.1", "1.0.2-dev", "1.3.0+x"] {
            check_version(good).unwrap();
        }
        for bad in ["", "2.0.0", "0.9.0", "1", "1.x.0", "one"] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
    }
}
