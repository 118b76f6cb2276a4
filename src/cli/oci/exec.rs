//! `barepod-oci exec`

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use nix::sched::CloneFlags;
use oci_spec::runtime::{Capability, Process, Spec, User};

use super::create::connect;
use super::pipes;
use super::{Global, preserved, protect, write_pid_file};
use crate::cli::keeper;
use crate::container::exec::{self, Exec, Joins};
use crate::container::launch::{Launched, Stdio, discard, hear};
use crate::container::oci::{Container, Status, load};
use crate::kernel::cgroup::Cgroup;
use crate::kernel::process::{self, Child};
use crate::kernel::resctrl::Group;
use crate::kernel::{identity, namespace, schedule};
use crate::plan::container::IdMaps;
use crate::plan::{self, Step, oci};

/// Run a further process in a container.
#[derive(Debug, Args)]
pub struct Options {
    /// The process as JSON; what else is given on the command line does not count then
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Return when it runs
    #[arg(short, long)]
    detach: bool,
    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,
    /// Send the other end of the terminal to this socket
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Write its pid here
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Working directory
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Variable of the environment
    #[arg(short, long, value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// User
    #[arg(short, long, value_name = "UID[:GID]", value_parser = user)]
    user: Option<(u32, Option<u32>)>,
    /// Supplementary group
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,
    /// Capability that it has beyond those of the container's process
    #[arg(short, long, value_name = "CAP")]
    cap: Vec<String>,
    /// Set no_new_privs
    #[arg(long)]
    no_new_privs: bool,
    /// AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// SELinux label
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// Pass this many descriptors on, from 3
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,
    /// A cgroup below the container's
    #[arg(long, value_name = "[CONTROLLER:]PATH")]
    cgroup: Vec<String>,
    /// In a paused container too; it runs when that goes on
    #[arg(long)]
    ignore_paused: bool,
    /// Container id
    id: String,
    /// Command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// `1000`, `1000:100`: numbers only, and only those that are ids.
fn user(text: &str) -> Result<(u32, Option<u32>), String> {
    let id = |text: &str| {
        let number =
            text.parse::<u32>().ok().filter(|id| *id != u32::MAX && text.bytes().all(|c| c.is_ascii_digit()));
        number.ok_or_else(|| format!("{text:?} is no id"))
    };
    match text.split_once(':') {
        Some((user, group)) => Ok((id(user)?, Some(id(group)?))),
        None => Ok((id(text)?, None)),
    }
}

/// Runs the verb. All but the streams is for the keeper: what this process read, it would have to copy.
pub fn main(global: &Global, root: &Path, options: &Options) -> Result<i32> {
    protect()?;
    let preserve = preserved(options.preserve_fds);
    let given = options.process.as_deref().map(read_process).transpose()?;
    let tty = given.as_ref().map_or(options.tty, |process| process.terminal() == Some(true));
    ensure!(tty || options.console_socket.is_none(), "a console socket is of no use without a terminal");
    ensure!(
        !tty || !options.detach || options.console_socket.is_some(),
        "a terminal of a detached process needs a console socket"
    );
    let console = options.console_socket.as_deref().map(connect).transpose()?;
    let (stdio, relay) = pipes::streams(tty || options.detach)?;
    if options.detach {
        let run = prepare(global, root, options, given, stdio, preserve)?;
        run.start(console.as_ref(), options, Joins::Apart)?;
        return Ok(0);
    }
    let shown = tty && console.is_none();
    let mut keep: Vec<RawFd> = stdio.descriptors().to_vec();
    keep.extend(console.as_ref().map(AsRawFd::as_raw_fd));
    keep.extend(&preserve);
    let meanwhile = |ended: BorrowedFd| relay.until(ended, None, |_| Ok(()));
    keeper::run(keep, shown, shown, meanwhile, move |passage| {
        let passage = passage.map(|passage| passage.try_clone_to_owned()).transpose()?.or(console);
        let run = prepare(global, root, options, given, stdio, preserve)?;
        // The pid file is to be written on the host, and what is inherited is for the command, not for its keeper: one that
        // waits in a resource group would let it outlive the container, one with this oom_score_adj would be killed first.
        let is_plain =
            options.pid_file.is_none() && run.resource_group.is_none() && run.oom_score_adj.is_none();
        let who = if is_plain { Joins::Itself } else { Joins::Helper };
        let child = run.start(passage.as_ref(), options, who)?;
        drop(passage); // whoever has the terminal now sees that nothing more comes
        let status = process::wait(&child, None)?.context("the command has no status")?;
        Ok(process::exit_code(status).0)
    })
}

/// Finds the container and says what is to be done.
fn prepare(
    global: &Global,
    root: &Path,
    options: &Options,
    given: Option<Process>,
    stdio: Stdio,
    preserve: Vec<RawFd>,
) -> Result<Run> {
    let container = load(root, &options.id)?;
    let pidfd = match container.now()? {
        (Status::Running | Status::Created, Some(process)) => process,
        (Status::Paused, Some(process)) if options.ignore_paused => process,
        (Status::Paused, _) => bail!("container is paused (--ignore-paused)"),
        (status, _) => bail!("container is {status}, not running"),
    };
    // Never given back: the keeper is there for this one command.
    let spec: &Spec = Box::leak(Box::new(container.spec()?));
    ensure!(
        !plan::filter(spec).is_some_and(plan::seccomp::notifies),
        "linux.seccomp: SCMP_ACT_NOTIFY is not supported for a further process"
    );
    let mut process = given.map_or_else(|| describe(options, spec), Ok)?;
    let oom_score_adj = process.oom_score_adj();
    process.set_oom_score_adj(None);
    let mut steps = plan::process_steps(&process, spec.linux().as_ref())?;
    oci::find_home(&mut steps, &process);
    steps.splice(0..0, affinity(global, &process)?);
    let pid = container.pid()?;
    let namespaces = namespace::to_join(pid, plan::container::namespaces(spec))?;
    let has_users = namespaces.contains(CloneFlags::CLONE_NEWUSER);
    let maps = has_users.then(|| identity::read_id_maps(pid)).transpose()?;
    let maps = maps.map(|(users, groups)| IdMaps { users, groups });
    Ok(Run {
        pidfd,
        namespaces,
        maps,
        root: fs::File::open(format!("/proc/{pid}/root")).context("open the container's root")?.into(),
        cgroup: cgroup(&container, options)?,
        steps,
        preserve,
        oom_score_adj,
        resource_group: container.record.resource_group,
        stdio,
    })
}

/// Everything that starting it takes.
struct Run {
    pidfd: OwnedFd,
    namespaces: CloneFlags,
    root: OwnedFd,
    cgroup: Cgroup,
    steps: Vec<Step>,
    preserve: Vec<RawFd>,
    maps: Option<IdMaps>,
    oom_score_adj: Option<i32>,
    resource_group: Option<Group>,
    stdio: Stdio,
}

impl Run {
    /// Starts it; returns when the program runs.
    fn start(self, terminal: Option<&OwnedFd>, options: &Options, who: Joins) -> Result<Child> {
        let command = Exec {
            container: self.pidfd.as_fd(),
            cgroup: &self.cgroup,
            namespaces: self.namespaces,
            steps: &self.steps,
            stdio: self.stdio,
            terminal: terminal.map(AsFd::as_fd),
            preserve: &self.preserve,
            root: Some(self.root.as_fd()),
            maps: self.maps.as_ref(),
            oom_score_adj: self.oom_score_adj,
            resource_group: self.resource_group.as_ref(),
        };
        let Launched { child, mut report } = exec::spawn(command, who)?;
        let started = hear(&mut report).and_then(|failure| match (failure, &options.pid_file) {
            (Some(failure), _) => bail!("{}: {}", failure.does, failure.error),
            (None, Some(file)) => write_pid_file(Some(file), process::host_pid(child.pidfd.as_fd())?),
            (None, None) => Ok(()),
        });
        if started.is_err() {
            discard(&child)?;
        }
        started.map(|()| child)
    }
}

/// The process of `--process`.
fn read_process(file: &Path) -> Result<Process> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let process: Process = serde_json::from_str(&text).context("parse the process")?;
    ensure!(process.args().as_ref().is_some_and(|args| !args.is_empty()), "process.args is empty");
    ensure!(process.cwd().is_absolute(), "process.cwd is not absolute");
    Ok(process)
}

/// The container's own process with what the command line changes.
fn describe(options: &Options, spec: &Spec) -> Result<Process> {
    ensure!(!options.command.is_empty(), "no command is given");
    let mut process = spec.process().clone().context("process is missing")?;
    process.set_args(Some(options.command.clone())).set_terminal(Some(options.tty));
    if let Some(cwd) = &options.cwd {
        ensure!(cwd.is_absolute(), "--cwd is not absolute");
        process.set_cwd(cwd.clone());
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(options.env.iter().cloned());
    process.set_env(Some(env));
    let mut user: User = process.user().clone();
    if let Some((uid, gid)) = options.user {
        user.set_uid(uid).set_gid(gid.unwrap_or(0));
        user.set_additional_gids(None);
    }
    if !options.additional_gids.is_empty() {
        let mut groups = user.additional_gids().clone().unwrap_or_default();
        groups.extend(&options.additional_gids);
        user.set_additional_gids(Some(groups));
    }
    process.set_user(user);
    if options.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    if let Some(profile) = &options.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if let Some(label) = &options.process_label {
        process.set_selinux_label(Some(label.clone()));
    }
    capabilities(&mut process, &options.cap)?;
    Ok(process)
}

/// What is asked for beyond the process's own never becomes inheritable or ambient (CVE-2022-29162).
fn capabilities(process: &mut Process, more: &[String]) -> Result<()> {
    let mut sets = process.capabilities().clone().unwrap_or_default();
    for name in more {
        let plain = name.to_ascii_uppercase();
        let plain = plain.strip_prefix("CAP_").unwrap_or(&plain);
        let capability: Capability = serde_json::from_value(format!("CAP_{plain}").into())
            .with_context(|| format!("no capability {name}"))?;
        let with = |set: &Option<std::collections::HashSet<Capability>>| {
            let mut set = set.clone().unwrap_or_default();
            set.insert(capability);
            Some(set)
        };
        let (bounding, effective, permitted) =
            (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
        sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    }
    process.set_capabilities(Some(sets));
    Ok(())
}

/// `process.execCPUAffinity`: where it runs before and after it is in the container's cgroup. The former is set here, since
/// it is inherited.
fn affinity(global: &Global, process: &Process) -> Result<Option<Step>> {
    let Some(affinity) = process.exec_cpu_affinity() else { return Ok(None) };
    let list = |text: &Option<String>| {
        let text = text.as_deref().filter(|text| !text.is_empty());
        text.map(oci::number_list).transpose().context("process.execCPUAffinity")
    };
    if let Some(cpus) = list(affinity.initial())? {
        schedule::set_affinity(&cpus)?;
        if global.debug {
            let mask = cpus.iter().fold(0u128, |mask, cpu| mask | 1 << (cpu % 128));
            crate::cli::say(&format!("barepod-oci: debug: initial affinity: {mask:#x}"));
        }
    }
    Ok(list(affinity.cpu_affinity_final())?.map(|cpus| Step::Oci(oci::OciStep::Affinity(cpus))))
}

/// The container's cgroup, or one below it.
fn cgroup(container: &Container, options: &Options) -> Result<Cgroup> {
    let own = container.cgroup()?;
    let [path] = options.cgroup.as_slice() else {
        ensure!(options.cgroup.is_empty(), "--cgroup: one path is supported, for all controllers");
        return Ok(own);
    };
    let path = path.trim_matches('/');
    if path.is_empty() {
        return Ok(own);
    }
    ensure!(!path.contains(':'), "--cgroup {path}: a path for one controller is not supported");
    let below = own.below(path)?;
    let missing = below.paths().into_iter().find(|directory| !directory.is_dir());
    ensure!(missing.is_none(), "--cgroup {path}: there is no such cgroup below the container's");
    Ok(below)
}
