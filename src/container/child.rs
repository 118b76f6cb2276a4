//! The container's child process: performs the steps of its plan and becomes the container.
//!
//! It has one thing to say to its parent, on a close-on-exec pipe:
//!
//! ```text
//!   child                                   parent
//!     │  perform step 1 … n                   │
//!     │  ── performed {step, took} ────────▶  │  only when it is watched (`run --trace`)
//!     │  ── waits {step} ──────────────────▶  │  only when it is watched (`run --step`, `--wait-at`)
//!     │  ── failed {step, error, errno} ───▶  │  only when a step failed; then the child exits
//!     │  execve                               │
//!     │  ── end of file ───────────────────▶  │  the kernel has closed the pipe: the program runs
//! ```

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{PipeWriter, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::stat::{Mode, SFlag, fstat, umask};
use nix::unistd::Uid;

use super::oci::{self, step::Runtime};
use crate::kernel::cgroup::Cgroup;
use crate::kernel::root::{Leaf, Root, kind, make_at};
use crate::kernel::terminal::{self, Pair};
use crate::kernel::{capability, device, identity, mount, namespace, pass, process, sys};
use crate::plan::container::{DeviceNode, Rootfs};
use crate::plan::mount::{MountStep, What, attr};
use crate::plan::seccomp::{Instruction, Program};
use crate::plan::step::Step;

/// What a child says, one JSON line each.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Said {
    /// A step was performed.
    Performed {
        /// Its short name.
        step: String,
        /// What it did, in words.
        does: String,
        /// When it was done, in microseconds of the clock that watches.
        at: u64,
        /// How long it took, in microseconds.
        took: u64,
    },
    /// It waits before this step.
    Waits {
        /// The step's short name.
        step: String,
    },
    /// It could not become the container.
    Failed(Report),
}

/// Why a child could not become the container.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// The failed step's short name; none for what comes before the first.
    pub step: Option<String>,
    /// What it does, in words.
    pub does: String,
    /// Why, one line.
    pub error: String,
    /// The errno behind it, 0 if there was none.
    pub errno: i32,
}

impl Report {
    /// Everything was made, and the program could not be executed.
    pub fn is_of_exec(&self) -> bool {
        self.step.as_deref() == Some("exec")
    }
}

/// How somebody looks on while the steps are performed. The default: nobody does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watched<'a> {
    /// Every step is told, with the time since then.
    pub trace: Option<Instant>,
    /// Steps, by short name, to wait before.
    pub waits: &'a [&'a str],
    /// What a wait ends with: a byte, or the end of this pipe. Without it a wait is for ever (fault injection).
    pub go: Option<BorrowedFd<'a>>,
}

impl Watched<'_> {
    /// Waits before a step, if that is wanted; `tell` says so first.
    pub fn before(&self, step: &str, tell: impl FnOnce()) {
        if self.waits.contains(&step) {
            tell();
            match self.go {
                // An error is as good an end as any: nobody will ever say go.
                Some(go) => drop(nix::unistd::read(go, &mut [0])),
                None => loop {
                    std::thread::sleep(std::time::Duration::from_secs(3600));
                },
            }
        }
    }
}

/// What is outside of a child and its steps need.
#[derive(Clone, Copy, Default)]
pub struct Outside<'a> {
    /// The container's cgroup.
    pub cgroup: Option<&'a Cgroup>,
    /// A socket of [`pass`], for the other end of the container's terminal.
    pub terminal: Option<BorrowedFd<'a>>,
    /// The runtime whose child it is, in `barepod-oci`.
    pub runtime: Option<Runtime<'a>>,
    /// The descriptors from 3 on that the program is to have.
    pub preserve: &'a [RawFd],
    /// Take a new root by MS_MOVE and chroot(2), where pivot_root(2) cannot: on the initial ramfs.
    pub no_pivot: bool,
}

/// Performs the steps; returns only by exiting.
pub fn main(steps: &[Step], outside: Outside, watched: Watched, report: PipeWriter) -> i32 {
    let mut setup = Setup::default();
    let mut report = File::from(OwnedFd::from(report));
    for step in steps {
        watched.before(step.name(), || say(&report, &Said::Waits { step: step.name().to_owned() }));
        let start = Instant::now();
        let performed = match step {
            Step::Oci(step) => oci::step::perform(step, &mut setup, outside, &mut report),
            _ => setup.perform(step, outside),
        };
        if let Err(error) = performed {
            return fail(Some(step.name()), &step.to_string(), &error, &report);
        }
        if let Some(clock) = watched.trace {
            let (at, took) = (clock.elapsed().as_micros() as u64, start.elapsed().as_micros() as u64);
            say(&report, &Said::Performed { step: step.name().to_owned(), does: step.to_string(), at, took });
        }
    }
    fail(Some("exec"), "execute", &anyhow!("the plan has no program"), &report)
}

/// Reports a failure; gives the exit code.
pub fn fail(step: Option<&str>, does: &str, error: &anyhow::Error, report: impl Write) -> i32 {
    let errno = process::errno(error);
    let step = step.map(str::to_owned);
    say(report, &Said::Failed(Report { step, does: does.to_owned(), error: format!("{error:#}"), errno }));
    i32::from(errno == libc::ENOENT) + 126
}

/// If the parent is gone there is nobody left to tell; the exit code says as much.
pub fn say(mut pipe: impl Write, message: &Said) {
    let mut line = serde_json::to_vec(message).unwrap_or_default(); // strings and numbers: it cannot fail
    line.push(b'\n');
    pipe.write_all(&line).ok();
}

/// What the steps hand to one another. A descriptor lives from the step that opens it to the one that needs it last.
#[derive(Default)]
pub struct Setup {
    /// The host's procfs: for every write to `/proc`, opened before the rootfs is touched.
    proc: Option<OwnedFd>,
    /// Bind sources in the order of the mounts, as detached trees.
    sources: VecDeque<OwnedFd>,
    /// How many trees that came from outside have been attached.
    mapped: usize,
    /// The new root.
    root: Option<Root>,
    /// An empty directory over one that is masked, of which others get copies.
    empty: Option<OwnedFd>,
    /// Mounts that become read-only when everything has been put into them.
    readonly_later: Vec<OwnedFd>,
    /// The container's state, for hooks.
    pub state: String,
    /// `HOME`, for a program that is not told of one.
    pub home: Option<String>,
    /// A filter for system calls holds already.
    is_filtered: bool,
    /// Its descriptor, if it asks an agent.
    pub listener: Option<OwnedFd>,
}

impl Setup {
    fn root(&self) -> Result<&Root> {
        self.root.as_ref().context("no rootfs is mounted")
    }

    /// The host's procfs, until the root is another one.
    pub fn proc(&mut self) -> Result<&OwnedFd> {
        if self.proc.is_none() {
            self.proc = Some(identity::open_proc()?);
        }
        self.proc.as_ref().context("no procfs is open")
    }

    fn perform(&mut self, step: &Step, outside: Outside) -> Result<()> {
        match step {
            Step::ResetProcess => reset_process(),
            Step::JoinCgroup => outside.cgroup.map_or(Ok(()), Cgroup::join_self),
            Step::UnshareCgroup => Ok(nix::sched::unshare(CloneFlags::CLONE_NEWCGROUP)?),
            Step::JoinNamespace { flag, path, .. } => namespace::join(path, *flag),
            Step::Hostname(name) => Ok(nix::unistd::sethostname(name)?),
            Step::Domainname(name) => identity::set_domainname(self.proc()?, name),
            Step::TakeSources(sources) => self.take_sources(sources),
            Step::Propagation(kind) => mount::propagation_of_all(kind),
            Step::MountRootfs(rootfs) => self.mount_rootfs(rootfs),
            Step::CheckRootfs => {
                ["dev", "proc", "sys"].iter().try_for_each(|name| self.root()?.refuse_symlink(name))
            }
            Step::Mount(step) => self.mount(step, outside),
            Step::Device(node) => device::make(self.root()?, &to_device(node)),
            Step::Link { path, target } => device::link(self.root()?, path, target),
            Step::Terminal { uid } => {
                self.terminal(*uid, outside.terminal.context("nobody takes the other end")?)
            }
            Step::MakeCwd(path) => self.make_cwd(path),
            Step::Mask(path) => self.mask(path),
            Step::ReadonlyPath(path) => self.readonly_path(path),
            Step::FinishReadonly { root } => self.finish_readonly(*root),
            Step::Sysctl { key, value } => identity::set_sysctl(self.proc()?, key, value),
            Step::OomScoreAdj(value) => identity::set_oom_score_adj(self.proc()?, *value),
            Step::PivotRoot { propagation } => self.pivot(propagation.as_deref(), outside.no_pivot),
            Step::Rlimit { name, soft, hard } => identity::set_rlimit(name, *soft, *hard),
            Step::Bounding(keep) => capability::limit_bounding(keep),
            Step::User { uid, gid, groups, umask } => identity::become_user(*uid, *gid, groups, *umask),
            Step::Capabilities { effective, permitted, inheritable, ambient } => {
                capability::apply(effective, permitted, inheritable, ambient)
            }
            Step::NoNewPrivileges => Ok(nix::sys::prctl::set_no_new_privs()?),
            Step::Seccomp(program) => {
                // The filter may forbid this.
                close_at_exec(outside.preserve)?;
                self.is_filtered = true;
                self.listener = install_filter(program)?;
                Ok(())
            }
            Step::Cwd(path) => change_directory(path),
            Step::Exec { args, env } => {
                if !self.is_filtered {
                    close_at_exec(outside.preserve)?;
                }
                let home = self.home.iter().map(|home| format!("HOME={home}"));
                let env: Vec<String> = env.iter().cloned().chain(home).collect();
                execute(args, &env).map(|never| match never {})
            }
            Step::Oci(_) => bail!("this is not a child of barepod-oci"),
        }
    }

    fn take_sources(&mut self, sources: &[(std::path::PathBuf, bool)]) -> Result<()> {
        self.proc()?;
        self.sources = sources
            .iter()
            .map(|(path, recursive)| mount::clone_path(path, *recursive))
            .collect::<Result<_>>()?;
        Ok(())
    }

    /// Attaches the root filesystem somewhere, since pivot_root(2) wants a mount point, and opens it.
    fn mount_rootfs(&mut self, rootfs: &Rootfs) -> Result<()> {
        let place = match rootfs {
            Rootfs::Directory(path) => Root::open(path)?,
            Rootfs::Overlay { layer, .. } => Root::open(&layer.join("merged"))?,
        };
        let tree = match rootfs {
            Rootfs::Directory(_) => mount::clone_fd(place.fd(), true)?,
            Rootfs::Overlay { lower, layer } => overlay(lower, layer)?,
        };
        mount::attach(tree.as_fd(), place.fd())?;
        // Whatever is mounted below must stay in this mount namespace.
        mount::set_propagation(tree.as_fd(), "rprivate")?;
        self.root = Some(Root::from_fd(tree));
        Ok(())
    }

    fn mount(&mut self, step: &MountStep, outside: Outside) -> Result<()> {
        let root = self.root.as_ref().context("no rootfs is mounted")?;
        let tree = match &step.what {
            What::Filesystem { kind, options } => {
                let mode = if step.takes_mode() { mode_of(root, &step.target)? } else { None };
                let options: Vec<_> = options.iter().cloned().chain(mode).collect();
                mount::new_filesystem(kind, &options, 0)?
            }
            What::Bind { .. } if step.id_map.is_some() => {
                self.mapped += 1;
                let mapped = outside.runtime.and_then(|runtime| runtime.mapped.get(self.mapped - 1));
                mapped.context("a mapped source is missing")?.try_clone().context("copy descriptor")?
            }
            What::Bind { .. } => {
                let tree = self.sources.pop_front().context("a bind source is missing")?;
                if outside.runtime.is_some() { younger(tree)? } else { tree }
            }
            What::Cgroup => {
                return self.mount_cgroup(step, outside.cgroup.context("there is no cgroup")?);
            }
            What::Remount => {
                let target = root.find(&step.target)?.context("nothing is mounted there")?;
                return set_attributes(step, &target, step.attr.set);
            }
        };
        let is_directory = kind(&fstat(&tree)?) == SFlag::S_IFDIR;
        let target = root.make(&step.target, if is_directory { Leaf::Directory } else { Leaf::File })?;
        // A fresh tmpfs may have to take mount points and device nodes first.
        let writable_first = matches!(&step.what, What::Filesystem { kind, .. } if kind == "tmpfs");
        let later = if writable_first { step.attr.set & attr::RDONLY } else { 0 };
        set_attributes(step, &tree, step.attr.set & !later)?;
        step.propagations().into_iter().try_for_each(|kind| mount::set_propagation(tree.as_fd(), kind))?;
        mount::attach(tree.as_fd(), target.as_fd())?;
        if step.copy_up {
            crate::kernel::copy::directory(target.as_fd(), tree.as_fd())?;
        }
        if later != 0 {
            self.readonly_later.push(tree);
        }
        Ok(())
    }

    /// A new pseudoterminal of the container's own devpts: its standard streams, its controlling terminal, `/dev/console`.
    fn terminal(&self, uid: u32, outside: BorrowedFd) -> Result<()> {
        let root = self.root()?;
        let Pair { master, terminal } = terminal::open(root.fd())?;
        pass::send(outside, &[0], &[master.as_fd()]).context("pass the terminal on")?;
        become_stdio(terminal.as_fd(), uid)?;
        let tree = mount::clone_fd(terminal.as_fd(), false)?;
        let console = root.make(Path::new("/dev/console"), Leaf::File)?;
        mount::attach(tree.as_fd(), console.as_fd())
    }

    fn make_cwd(&self, path: &Path) -> Result<()> {
        let root = self.root()?;
        if root.find(path)?.is_none() {
            root.make(path, Leaf::Directory)?;
        }
        Ok(())
    }

    fn mask(&mut self, path: &Path) -> Result<()> {
        let Some(target) = self.root()?.find(path)? else { return Ok(()) };
        let is_directory = kind(&fstat(&target)?) == SFlag::S_IFDIR;
        let tree = match &self.empty {
            Some(empty) if is_directory => mount::clone_fd(empty.as_fd(), false)?,
            None if is_directory => mount::new_filesystem("tmpfs", &[], attr::RDONLY)?,
            _ => mount::clone_fd(device::host_null()?.as_fd(), false)?,
        };
        mount::attach(tree.as_fd(), target.as_fd())?;
        if is_directory {
            self.empty = Some(tree);
        }
        Ok(())
    }

    fn readonly_path(&self, path: &Path) -> Result<()> {
        let root = self.root()?;
        let Some(target) = root.find(path)? else { return Ok(()) };
        let tree = mount::clone_fd(target.as_fd(), true)?;
        mount::set_attributes(tree.as_fd(), true, attr::RDONLY, 0)?;
        mount::attach(tree.as_fd(), target.as_fd())
    }

    fn finish_readonly(&mut self, root: bool) -> Result<()> {
        for tree in self.readonly_later.drain(..) {
            mount::set_attributes(tree.as_fd(), false, attr::RDONLY, 0)?;
        }
        if root {
            mount::set_attributes(self.root()?.fd(), false, attr::RDONLY, 0)?;
        }
        Ok(())
    }

    fn pivot(&mut self, propagation: Option<&str>, no_pivot: bool) -> Result<()> {
        let root = self.root.take().context("no rootfs is mounted")?;
        if no_pivot {
            root.move_to_top()?
        } else {
            root.pivot()?
        }
        if let Some(kind) = propagation {
            mount::set_propagation(root.fd(), kind)?;
        }
        self.proc = None; // a descriptor of the host's procfs has no business beyond this point
        self.empty = None;
        Ok(())
    }
}

impl Setup {
    /// The cgroups where there is no cgroup namespace to root them in: all of v2; of v1 as with one.
    pub fn mount_host_cgroups(&self, step: &MountStep, cgroup: &Cgroup) -> Result<()> {
        if !cgroup.is_v2() {
            return self.mount_hierarchies(step, cgroup);
        }
        let all = cgroup.paths().first().and_then(|directory| mount_point(directory, cgroup));
        let target = self.root()?.make(&step.target, Leaf::Directory)?;
        bind_cgroup(step, &all.context("there is no cgroup filesystem")?, target)
    }

    /// The container's own cgroup.
    fn mount_cgroup(&self, step: &MountStep, cgroup: &Cgroup) -> Result<()> {
        if !cgroup.is_v2() {
            return self.mount_hierarchies(step, cgroup);
        }
        let target = self.root()?.make(&step.target, Leaf::Directory)?;
        let tree = mount::new_filesystem("cgroup2", &[], 0)?;
        set_attributes(step, &tree, step.attr.set)?;
        mount::attach(tree.as_fd(), target.as_fd())
    }

    /// On v1 a tmpfs with the container's directory of each hierarchy, by the name that the host has for that, as programs
    /// expect it. To bind what the host has mounted takes less than to mount it anew, and gives the same.
    fn mount_hierarchies(&self, step: &MountStep, cgroup: &Cgroup) -> Result<()> {
        let target = self.root()?.make(&step.target, Leaf::Directory)?;
        let mode = ("mode".to_owned(), Some("755".to_owned()));
        let tmpfs = mount::new_filesystem("tmpfs", &[mode], 0)?;
        mount::attach(tmpfs.as_fd(), target.as_fd())?;
        for directory in cgroup.paths() {
            let point = mount_point(&directory, cgroup).context("there is no cgroup filesystem")?;
            let name = point.file_name().and_then(|name| name.to_str()).context("it has no name")?;
            bind_cgroup(step, &directory, make_at(tmpfs.as_fd(), name, Leaf::Directory)?)?;
        }
        // Writable until they are there.
        set_attributes(step, &tmpfs, step.attr.set)
    }

    /// The new root where there is no mount namespace to put it in: for a container that shares the host's mounts.
    pub fn chroot(&mut self) -> Result<()> {
        let root = self.root.take().context("no rootfs is mounted")?;
        self.proc = None;
        root.chroot()
    }
}

/// Makes a terminal the standard streams of this process, which leads a session without one, so that Ctrl-C reaches what
/// runs in it; it belongs to its user.
pub fn become_stdio(terminal: BorrowedFd, uid: u32) -> Result<()> {
    nix::unistd::dup2_stdin(terminal).context("dup2 0")?;
    nix::unistd::dup2_stdout(terminal).context("dup2 1")?;
    nix::unistd::dup2_stderr(terminal).context("dup2 2")?;
    sys::take_terminal(terminal).context("TIOCSCTTY")?;
    nix::unistd::fchown(terminal, Some(Uid::from_raw(uid)), None).context("give the terminal to the user")
}

fn reset_process() -> Result<()> {
    sys::reset_signals().context("reset signals")?;
    umask(Mode::empty());
    // EPERM: already the leader of a group, as the first process of a PID namespace may be.
    match nix::unistd::setsid() {
        Ok(_) | Err(Errno::EPERM) => Ok(()),
        Err(error) => Err(error).context("setsid"),
    }
}

fn install_filter(program: &Program) -> Result<Option<OwnedFd>> {
    let of_kernel =
        |one: &Instruction| libc::sock_filter { code: one.code, jt: one.yes, jf: one.no, k: one.k };
    let instructions: Vec<_> = program.instructions.iter().map(of_kernel).collect();
    sys::install_filter(&instructions, program.flags).context("seccomp")
}

/// overlayfs splits its options at `:` and `,`, so layers are named by descriptor.
fn overlay(lower: &Path, layer: &Path) -> Result<OwnedFd> {
    let (lower, upper, work) =
        (Root::open(lower)?, Root::open(&layer.join("upper"))?, Root::open(&layer.join("work"))?);
    let option = |key: &str, root: &Root| {
        use std::os::fd::AsRawFd;
        (key.to_owned(), Some(format!("/proc/self/fd/{}", root.fd().as_raw_fd())))
    };
    let options = [option("lowerdir", &lower), option("upperdir", &upper), option("workdir", &work)];
    mount::new_filesystem("overlay", &options, 0)
}

/// A copy of a detached tree that is younger than what has been mounted meanwhile: since Linux 6.8 mountinfo is in the order of
/// age, and in it the mounts are to be in the order of the spec. Before Linux 6.15 detached trees have no copies.
fn younger(tree: OwnedFd) -> Result<OwnedFd> {
    match mount::clone_fd(tree.as_fd(), true) {
        Err(error) if process::errno(&error) == libc::EINVAL => Ok(tree),
        copy => copy,
    }
}

fn set_attributes(step: &MountStep, tree: &OwnedFd, set: u64) -> Result<()> {
    if set | step.attr.clear != 0 {
        mount::set_attributes(tree.as_fd(), false, set, step.attr.clear)?;
    }
    if step.recursive_attr.set | step.recursive_attr.clear != 0 {
        mount::set_attributes(tree.as_fd(), true, step.recursive_attr.set, step.recursive_attr.clear)?;
    }
    Ok(())
}

/// Attaches a directory of the host's cgroup filesystem.
fn bind_cgroup(step: &MountStep, source: &Path, target: OwnedFd) -> Result<()> {
    let tree = mount::clone_path(source, false)?;
    set_attributes(step, &tree, step.attr.set)?;
    step.propagations().into_iter().try_for_each(|kind| mount::set_propagation(tree.as_fd(), kind))?;
    mount::attach(tree.as_fd(), target.as_fd())
}

/// The mount point that a directory of the cgroup is below.
fn mount_point(directory: &Path, cgroup: &Cgroup) -> Option<PathBuf> {
    directory.ancestors().nth(cgroup.path().split('/').count()).map(Path::to_owned)
}

fn to_device(node: &DeviceNode) -> device::Device {
    device::Device {
        path: node.path.clone(),
        kind: node.kind,
        major: node.major,
        minor: node.minor,
        mode: node.mode,
        uid: node.uid,
        gid: node.gid,
    }
}

/// The mode of a directory that is there, as an option for what covers it.
fn mode_of(root: &Root, path: &Path) -> Result<Option<(String, Option<String>)>> {
    let Some(there) = root.find(path)? else { return Ok(None) };
    let stat = fstat(&there)?;
    let mode = (kind(&stat) == SFlag::S_IFDIR).then(|| format!("{:o}", stat.st_mode & 0o7777));
    Ok(mode.map(|mode| ("mode".to_owned(), Some(mode))))
}

/// A working directory outside the new root would be a way out (CVE-2024-21626): the kernel then says "(unreachable)".
fn change_directory(path: &Path) -> Result<()> {
    nix::unistd::chdir(path).context("chdir")?;
    let here = nix::unistd::getcwd().context("getcwd")?;
    ensure!(here.is_absolute(), "working directory is outside the rootfs");
    Ok(())
}

/// Everything from descriptor 3 on closes at execve, but what is to be preserved.
fn close_at_exec(preserve: &[RawFd]) -> Result<()> {
    sys::close_range_cloexec(3).context("close_range")?;
    preserve
        .iter()
        .try_for_each(|fd| sys::keep_at_exec(*fd).with_context(|| format!("preserve descriptor {fd}")))
}

/// Looks the program up in the container's own `PATH` and becomes it.
fn execute(args: &[String], env: &[String]) -> Result<Infallible> {
    let to_c = |texts: &[String]| -> Result<Vec<CString>> {
        texts.iter().map(|text| CString::new(text.as_str()).context("a NUL byte in an argument")).collect()
    };
    let (arguments, environment) = (to_c(args)?, to_c(env)?);
    let program = args.first().context("no program")?;
    let mut failure = Errno::ENOENT;
    for candidate in candidates(program, env) {
        let candidate = CString::new(candidate)?;
        let candidate: &CStr = &candidate;
        match nix::unistd::execve(candidate, &arguments, &environment) {
            // Like execvp(3): go on looking, but remember that something was there.
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(Errno::EACCES) => failure = Errno::EACCES,
            Err(error) => {
                failure = error;
                break;
            }
            Ok(never) => return Ok(never),
        }
    }
    Err(failure).with_context(|| format!("execve {program}"))
}

/// Where a program may be: its path, or in every directory of `PATH`.
pub fn candidates(program: &str, env: &[String]) -> Vec<String> {
    if program.contains('/') || program.is_empty() {
        return vec![program.to_owned()];
    }
    let path = env
        .iter()
        .rev()
        .find_map(|entry| entry.strip_prefix("PATH="))
        .unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    path.split(':')
        .map(|directory| format!("{}/{program}", if directory.is_empty() { "." } else { directory }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_slash_is_not_looked_up() {
        assert_eq!(candidates("./run", &["PATH=/bin".to_owned()]), ["./run"]);
        assert_eq!(candidates("run", &["PATH=/a:/b".to_owned()]), ["/a/run", "/b/run"]);
        assert_eq!(candidates("run", &["PATH=/a".to_owned(), "PATH=/b".to_owned()]), ["/b/run"]);
    }
}
