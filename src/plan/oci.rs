//! Steps that only `barepod-oci` has. A container of a pod never asks for them (its bundle is refused), so they hang at the
//! side of the list that pods are made of: [`add`] puts them into their places.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::{
    Hook, Hooks, IOPriorityClass, Linux, LinuxMemoryPolicy, LinuxNamespaceType, LinuxPersonalityDomain,
    LinuxSchedulerFlag, LinuxSchedulerPolicy, MemoryPolicyFlagType, MemoryPolicyModeType, Process, Scheduler,
    Spec,
};
use serde::Serialize;

use super::mount::{MountStep, What};
use super::seccomp;
use super::step::Step;

/// A step of an OCI container that no container of a pod has.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OciStep {
    /// Tells the runtime, and goes on when it has answered.
    Wait(Wait),
    /// Goes on when somebody says `start`.
    WaitForStart,
    /// seccomp_unotify(2): passes the descriptor of the filter just installed on to the agent that is to decide.
    SendListener {
        /// `listenerMetadata`.
        metadata: String,
    },
    /// Runs hooks in the container's namespaces.
    Hooks {
        /// `createContainer` or `startContainer`.
        kind: &'static str,
        /// In order.
        hooks: Vec<Hook>,
    },
    /// Shows the cgroups as the host has them, to a container without a cgroup namespace.
    HostCgroups(MountStep),
    /// netdevice(7): brings `lo` of a new network namespace up, as other runtimes do.
    Loopback,
    /// chroot(2), where the container has no mount namespace of its own.
    Chroot,
    /// setresuid(2), setresgid(2): root of the user namespace.
    BecomeRoot,
    /// keyctl(2) `KEYCTL_JOIN_SESSION_KEYRING`.
    SessionKeyring,
    /// Looks whether there is a program to execute, so that `create` fails and not `start`.
    FindProgram {
        /// Working directory, which a relative path starts at.
        cwd: std::path::PathBuf,
        /// The program as the spec names it.
        program: String,
        /// Environment, for its `PATH`.
        env: Vec<String>,
    },
    /// ioctl_tty(2) TIOCSWINSZ: the size of the terminal that it has by now.
    ConsoleSize {
        /// Lines.
        height: u16,
        /// Characters in a line.
        width: u16,
    },
    /// passwd(5): `HOME` for a process without one, as other runtimes have it.
    Home {
        /// Whose.
        uid: u32,
    },
    /// sched_setattr(2).
    Scheduler(SchedulerAttributes),
    /// ioprio_set(2): class and level in one number.
    IoPriority(u32),
    /// personality(2).
    Personality(u64),
    /// set_mempolicy(2).
    MemoryPolicy {
        /// `MPOL_*`, with its flags.
        mode: i32,
        /// NUMA nodes.
        nodes: Vec<usize>,
    },
    /// sched_setaffinity(2): CPU numbers.
    Affinity(Vec<usize>),
    /// proc_pid_attr(5): a label for execve(2), by the security module's file and the value for it.
    ExecLabel {
        /// `attr/exec`, `attr/apparmor/exec`.
        file: &'static str,
        /// What is written.
        value: String,
    },
}

/// What a child waits for the runtime to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Wait {
    /// Let systemd make its cgroup, and move it there.
    Scope,
    /// Write the maps of its new user namespace.
    Maps,
    /// Move network devices of the host into its network namespace.
    NetDevices,
    /// Put it into a resource group.
    ResourceGroup,
    /// Run the hooks of the runtime's side.
    RuntimeHooks,
}

impl Wait {
    /// The word for it between child and runtime.
    pub fn name(self) -> &'static str {
        match self {
            Wait::Scope => "scope",
            Wait::Maps => "maps",
            Wait::NetDevices => "net-devices",
            Wait::ResourceGroup => "resource-group",
            Wait::RuntimeHooks => "runtime-hooks",
        }
    }
}

/// struct sched_attr of sched_setattr(2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerAttributes {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// -20 to 19.
    pub nice: i32,
    /// Of the real-time policies.
    pub priority: u32,
    /// Nanoseconds, of `SCHED_DEADLINE`.
    pub runtime: u64,
    /// Nanoseconds.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

impl OciStep {
    /// The short name of [`OciStep::Hooks`].
    pub const HOOKS: &str = "hooks";

    /// The step's short name.
    pub fn name(&self) -> &'static str {
        match self {
            OciStep::Wait(wait) => wait.name(),
            OciStep::WaitForStart => "wait-for-start",
            OciStep::SendListener { .. } => "send-listener",
            OciStep::Hooks { .. } => OciStep::HOOKS,
            OciStep::HostCgroups(_) => "host-cgroups",
            OciStep::Loopback => "loopback",
            OciStep::Chroot => "chroot",
            OciStep::BecomeRoot => "become-root",
            OciStep::SessionKeyring => "session-keyring",
            OciStep::FindProgram { .. } => "find-program",
            OciStep::ConsoleSize { .. } => "console-size",
            OciStep::Home { .. } => "home",
            OciStep::Scheduler(_) => "scheduler",
            OciStep::IoPriority(_) => "io-priority",
            OciStep::Personality(_) => "personality",
            OciStep::MemoryPolicy { .. } => "memory-policy",
            OciStep::Affinity(_) => "affinity",
            OciStep::ExecLabel { .. } => "exec-label",
        }
    }
}

impl fmt::Display for OciStep {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            OciStep::Wait(Wait::Scope) => write!(f, "wait for systemd's scope"),
            OciStep::Wait(Wait::Maps) => write!(f, "wait for the maps of the user namespace"),
            OciStep::Wait(Wait::NetDevices) => write!(f, "wait for network devices"),
            OciStep::Wait(Wait::ResourceGroup) => write!(f, "wait for a resource group"),
            OciStep::Wait(Wait::RuntimeHooks) => write!(f, "wait for the runtime's hooks"),
            OciStep::WaitForStart => write!(f, "wait for start"),
            OciStep::SendListener { .. } => write!(f, "pass the filter's descriptor to its agent"),
            OciStep::Hooks { kind, .. } => write!(f, "run {kind} hooks"),
            OciStep::HostCgroups(mount) => write!(f, "mount the host's {mount}"),
            OciStep::Loopback => write!(f, "bring lo up"),
            OciStep::Chroot => write!(f, "chroot"),
            OciStep::BecomeRoot => write!(f, "become root of the user namespace"),
            OciStep::SessionKeyring => write!(f, "make a session keyring"),
            OciStep::FindProgram { program, .. } => write!(f, "find {program}"),
            OciStep::ConsoleSize { height, width } => write!(f, "resize the terminal to {width}x{height}"),
            OciStep::Home { uid } => write!(f, "find the home directory of user {uid}"),
            OciStep::Scheduler(attributes) => write!(f, "set scheduling policy {}", attributes.policy),
            OciStep::IoPriority(value) => write!(f, "set I/O priority {value:#x}"),
            OciStep::Personality(value) => write!(f, "set personality {value:#x}"),
            OciStep::MemoryPolicy { mode, nodes } => {
                write!(f, "set memory policy {mode:#x} on nodes {nodes:?}")
            }
            OciStep::Affinity(cpus) => write!(f, "run on CPUs {cpus:?}"),
            OciStep::ExecLabel { file, value } => write!(f, "write {value} to {file}"),
        }
    }
}

/// Puts what only `barepod-oci` does into the steps of a container, each where the specification wants it.
pub fn add(steps: &mut Vec<Step>, spec: &Spec, process: &Process) -> Result<()> {
    // Once it is in its namespaces, and before kernel parameters of a device are set.
    let from_outside = from_outside(spec)?;
    let at = steps.iter().position(|step| matches!(step, Step::TakeSources(_))).unwrap_or(0);
    steps.splice(at..at, from_outside);
    // "before the pivot_root operation is executed", and after everything has been made that they may look at.
    // While the root can be written to, too.
    let pivot = steps.iter().position(|step| matches!(step, Step::FinishReadonly { .. }));
    let mut before_pivot = Vec::new();
    let mut before_program = Vec::new();
    let filter = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let notifies = filter.is_some_and(seccomp::notifies);
    let mut wants_state = notifies;
    if let Some(hooks) = spec.hooks() {
        #[allow(deprecated)] // engines still write it
        let runtime = [hooks.prestart(), hooks.create_runtime()];
        let container = [hooks.create_container(), hooks.start_container()];
        wants_state |=
            runtime.iter().chain(&container).any(|list| list.as_ref().is_some_and(|list| !list.is_empty()));
        before_pivot.extend(hooks_step("createContainer", hooks.create_container(), None));
        let env = process.env().clone().unwrap_or_default();
        before_program.extend(hooks_step("startContainer", hooks.start_container(), Some(&env)));
    }
    if wants_state {
        before_pivot.insert(0, Step::Oci(OciStep::Wait(Wait::RuntimeHooks)));
    }
    before_pivot.extend(label_steps(process));
    if let Some(pivot) = pivot {
        steps.splice(pivot..pivot, before_pivot);
    }
    let namespaces = || spec.linux().iter().flat_map(|linux| linux.namespaces().iter().flatten());
    if namespaces().any(|one| one.typ() == LinuxNamespaceType::Network && one.path().is_none()) {
        let at = steps.iter().position(|step| matches!(step, Step::TakeSources(_))).unwrap_or(0);
        steps.insert(at, Step::Oci(OciStep::Loopback));
    }
    if !namespaces().any(|one| one.typ() == LinuxNamespaceType::Cgroup) {
        for step in steps.iter_mut() {
            if let Step::Mount(mount) = step
                && mount.what == What::Cgroup
            {
                *step = Step::Oci(OciStep::HostCgroups(mount.clone()));
            }
        }
    }
    let scheduling = scheduling(process, spec.linux().as_ref())?;
    // As long as the process may raise its own priority.
    let at = before_rights_end(steps);
    steps.splice(at..at, scheduling.into_iter().chain(console_size(process)?));
    let at = before_filter(steps);
    steps.splice(at..at, before_program);
    if notifies {
        let listener = filter.and_then(|filter| filter.listener_path().clone());
        ensure!(listener.is_some(), "linux.seccomp: SCMP_ACT_NOTIFY needs a listenerPath");
        let at = steps.iter().position(|step| matches!(step, Step::Seccomp(_))).map_or(0, |at| at + 1);
        let metadata = filter.and_then(|filter| filter.listener_metadata().clone()).unwrap_or_default();
        steps.insert(at, Step::Oci(OciStep::SendListener { metadata }));
    }
    Ok(())
}

/// What only the host's root may do for a container.
fn from_outside(spec: &Spec) -> Result<Vec<Step>> {
    let devices = (!net_devices(spec)?.is_empty()).then_some(Wait::NetDevices);
    let group = spec.linux().as_ref().and_then(|linux| linux.intel_rdt().as_ref());
    let group = group.map(|_| Wait::ResourceGroup);
    Ok(devices.into_iter().chain(group).map(|wait| Step::Oci(OciStep::Wait(wait))).collect())
}

/// What is left out of a container, a sentence each.
pub fn left_out(spec: &Spec) -> Vec<String> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let memory = resources.and_then(|resources| resources.memory().as_ref());
    #[allow(deprecated)]
    let kernel = memory.and_then(|memory| memory.kernel()).filter(|limit| *limit > 0);
    let kernel =
        kernel.map(|_| "resources.memory.kernel has no effect: Linux does not limit it any more".to_owned());
    names_left_out(spec).into_iter().chain(kernel).collect()
}

/// Without a UTS namespace the container's names would become those of the host.
fn names_left_out(spec: &Spec) -> Option<String> {
    let mut namespaces = spec.linux().iter().flat_map(|linux| linux.namespaces().iter().flatten());
    if namespaces.any(|namespace| namespace.typ() == LinuxNamespaceType::Uts) {
        return None;
    }
    let names = [("hostname", spec.hostname()), ("domainname", spec.domainname())];
    let given = names.map(|(field, name)| name.as_ref().filter(|name| !name.is_empty()).map(|_| field));
    let given: Vec<&str> = given.into_iter().flatten().collect();
    (!given.is_empty()).then(|| format!("{} has no effect: there is no uts namespace", given.join(", ")))
}

/// `linux.netDevices`: the names of network devices on the host and in the container, in order.
///
/// # Errors
/// When there is no network namespace to move them to, or a name is none.
pub fn net_devices(spec: &Spec) -> Result<Vec<(String, String)>> {
    let Some(linux) = spec.linux() else { return Ok(Vec::new()) };
    let mut devices = Vec::new();
    for (name, device) in linux.net_devices().iter().flatten() {
        let inside = device.name().clone().filter(|name| !name.is_empty());
        devices.push((name.clone(), inside.unwrap_or_else(|| name.clone())));
    }
    devices.sort();
    let mut namespaces = linux.namespaces().iter().flatten();
    let has_network = namespaces.any(|namespace| namespace.typ() == LinuxNamespaceType::Network);
    ensure!(devices.is_empty() || has_network, "linux.netDevices: there is no network namespace");
    for (position, (name, inside)) in devices.iter().enumerate() {
        for name in [name, inside] {
            ensure!(is_device_name(name), "linux.netDevices: {name:?} is no name of a network device");
        }
        let is_taken = devices[..position].iter().any(|(_, other)| other == inside);
        ensure!(!is_taken, "linux.netDevices: {inside} is there twice");
    }
    Ok(devices)
}

/// As the kernel has it: IFNAMSIZ is 16, with a zero at the end. It makes a number of `%d`.
fn is_device_name(name: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || "/:%".contains(c);
    !matches!(name, "" | "." | "..") && name.len() < 16 && !name.contains(bad)
}

/// From there on a filter may forbid what is done, or a capability for it is missing.
pub fn before_rights_end(steps: &[Step]) -> usize {
    steps.iter().position(|step| matches!(step, Step::Seccomp(_) | Step::Bounding(_))).unwrap_or(0)
}

/// `linux.seccomp` holds for all that comes after it, so whatever a filter may forbid stands before.
fn before_filter(steps: &[Step]) -> usize {
    let filter = steps.iter().position(|step| matches!(step, Step::Seccomp(_)));
    filter.unwrap_or(steps.len().saturating_sub(1))
}

/// The process of a container that has none. The specification wants one when it is started, not before: this one waits for
/// that, and `start` refuses.
pub fn nothing_to_run() -> Process {
    let mut process = Process::default();
    process.set_args(Some(vec!["nothing".to_owned()]));
    process.set_env(None).set_capabilities(None).set_rlimits(None);
    process
}

/// Makes the child of `create` wait for `start`; what would make the program fail is looked for before.
pub fn wait_for_start(steps: &mut Vec<Step>, process: Option<&Process>) {
    let hooks = |step: &Step| matches!(step, Step::Oci(OciStep::Hooks { kind: "startContainer", .. }));
    // The agent of a filter is told about it in `create` already.
    let told = steps.iter().position(|step| matches!(step, Step::Oci(OciStep::SendListener { .. })));
    let at = steps.iter().position(hooks).unwrap_or_else(|| told.map_or(before_filter(steps), |at| at + 1));
    let find = process.map(|process| OciStep::FindProgram {
        cwd: process.cwd().clone(),
        program: process.args().iter().flatten().next().cloned().unwrap_or_default(),
        env: process.env().clone().unwrap_or_default(),
    });
    steps.splice(at..at, find.into_iter().chain([OciStep::WaitForStart]).map(Step::Oci));
}

/// `env` is for hooks that have none of their own.
fn hooks_step(kind: &'static str, hooks: &Option<Vec<Hook>>, env: Option<&Vec<String>>) -> Option<Step> {
    let mut hooks = hooks.clone().filter(|hooks| !hooks.is_empty())?;
    for hook in hooks.iter_mut().filter(|hook| hook.env().is_none()) {
        hook.set_env(env.cloned());
    }
    Some(Step::Oci(OciStep::Hooks { kind, hooks }))
}

/// The hooks of the runtime's side, by their names in the specification.
pub fn runtime_hooks(hooks: &Hooks, kind: &str) -> Vec<Hook> {
    #[allow(deprecated)]
    let list = match kind {
        "prestart" => hooks.prestart(),
        "createRuntime" => hooks.create_runtime(),
        "poststart" => hooks.poststart(),
        "poststop" => hooks.poststop(),
        _ => &None,
    };
    list.clone().unwrap_or_default()
}

/// `process.apparmorProfile`, `process.selinuxLabel`.
pub fn label_steps(process: &Process) -> Vec<Step> {
    let given = |field: &Option<String>| field.clone().filter(|value| !value.is_empty());
    let apparmor = given(process.apparmor_profile())
        .map(|profile| OciStep::ExecLabel { file: "attr/apparmor/exec", value: format!("exec {profile}") });
    let selinux =
        given(process.selinux_label()).map(|label| OciStep::ExecLabel { file: "attr/exec", value: label });
    apparmor.into_iter().chain(selinux).map(Step::Oci).collect()
}

/// `process.consoleSize`, which counts with a terminal only.
pub fn console_size(process: &Process) -> Result<Option<Step>> {
    let size = process.console_size().filter(|_| process.terminal() == Some(true));
    let Some(size) = size else { return Ok(None) };
    let [height, width] = [size.height(), size.width()].map(u16::try_from);
    let (height, width) = height.and_then(|height| Ok((height, width?))).context("process.consoleSize")?;
    Ok(Some(Step::Oci(OciStep::ConsoleSize { height, width })))
}

/// Looks for the home directory of a process that is not told of one.
pub fn find_home(steps: &mut Vec<Step>, process: &Process) {
    let Some(Step::Exec { env, .. }) = steps.last_mut() else { return };
    env.retain(|variable| variable != "HOME=");
    if !env.iter().any(|variable| variable.starts_with("HOME=")) {
        let at = before_rights_end(steps);
        steps.insert(at, Step::Oci(OciStep::Home { uid: process.user().uid() }));
    }
}

/// How the process is scheduled: `process.scheduler`, `process.ioPriority`, `linux.personality`, `execCPUAffinity`.
pub fn scheduling(process: &Process, linux: Option<&Linux>) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    if let Some(scheduler) = process.scheduler() {
        steps.push(OciStep::Scheduler(scheduler_attributes(scheduler)?));
    }
    if let Some(priority) = process.io_priority() {
        let class = match priority.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        let level = u32::try_from(priority.priority()).ok().filter(|level| *level < 8);
        let level = level.with_context(|| format!("process.ioPriority: no level {}", priority.priority()))?;
        steps.push(OciStep::IoPriority(class << 13 | level));
    }
    if let Some(personality) = linux.and_then(|linux| linux.personality().as_ref()) {
        ensure!(
            personality.flags().as_ref().is_none_or(|flags| flags.is_empty()),
            "linux.personality.flags: the specification defines none"
        );
        steps.push(OciStep::Personality(match personality.domain() {
            LinuxPersonalityDomain::PerLinux => 0,
            LinuxPersonalityDomain::PerLinux32 => 8,
        }));
    }
    steps.extend(linux.and_then(|linux| linux.memory_policy().as_ref()).map(memory_policy).transpose()?);
    Ok(steps.into_iter().map(Step::Oci).collect())
}

fn memory_policy(policy: &LinuxMemoryPolicy) -> Result<OciStep> {
    let mode = match policy.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flag = |flag: &MemoryPolicyFlagType| match flag {
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
    };
    let mode = policy.flags().iter().flatten().map(flag).fold(mode, |all, one| all | one);
    let nodes = policy.nodes().as_deref().filter(|nodes| !nodes.is_empty());
    let nodes = nodes.map(number_list).transpose().context("linux.memoryPolicy.nodes")?.unwrap_or_default();
    Ok(OciStep::MemoryPolicy { mode, nodes })
}

fn scheduler_attributes(scheduler: &Scheduler) -> Result<SchedulerAttributes> {
    let policy = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => bail!("process.scheduler: Linux has no SCHED_ISO"),
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    let flags = scheduler.flags().iter().flatten().map(flag).fold(0, |all, one| all | one);
    let priority = scheduler.priority().unwrap_or(0);
    Ok(SchedulerAttributes {
        policy,
        flags,
        nice: scheduler.nice().unwrap_or(0),
        priority: u32::try_from(priority)
            .with_context(|| format!("process.scheduler: no priority {priority}"))?,
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
    })
}

/// `0-3,7`, CPUs or memory nodes, cpuset(7) "List format".
pub fn number_list(text: &str) -> Result<Vec<usize>> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number < 1024);
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => all.extend(first..=last),
            _ => bail!("{text:?} is no list of numbers"),
        }
    }
    ensure!(!all.is_empty(), "{text:?} is no list of numbers");
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(devices: &str, namespaces: &str) -> Result<Vec<(String, String)>> {
        let text = format!(r#"{{"netDevices":{devices},"namespaces":{namespaces}}}"#);
        let mut spec = Spec::default();
        spec.set_linux(Some(serde_json::from_str(&text).unwrap()));
        net_devices(&spec)
    }

    #[test]
    fn network_devices_have_names_of_their_own_and_a_namespace_to_go_to() {
        let network = r#"[{"type":"network"}]"#;
        let names =
            devices(r#"{"b":{"name":null},"a":{"name":"c"},"d":{},"e":{"name":""}}"#, network).unwrap();
        assert_eq!(
            names,
            [("a", "c"), ("b", "b"), ("d", "d"), ("e", "e")].map(|(a, b)| (a.into(), b.into()))
        );
        assert_eq!(devices("{}", "[]").unwrap(), []);
        let error = devices(r#"{"a":{}}"#, "[]").unwrap_err().to_string();
        assert_eq!(error, "linux.netDevices: there is no network namespace");
        let error = devices(r#"{"a":{},"b":{"name":"a"}}"#, network).unwrap_err().to_string();
        assert_eq!(error, "linux.netDevices: a is there twice");
        for bad in ["", ".", "..", "a/b", "a b", "a:1", "eth%d", "0123456789abcdef"] {
            assert!(devices(&format!(r#"{{"{bad}":{{}}}}"#), network).is_err(), "{bad}");
        }
        for bad in ["..", "a/b", "0123456789abcdef"] {
            assert!(devices(&format!(r#"{{"a":{{"name":"{bad}"}}}}"#), network).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_has_numbers_and_ranges() {
        assert_eq!(number_list("0-2,7").unwrap(), [0, 1, 2, 7]);
        assert_eq!(number_list("3").unwrap(), [3]);
        for bad in ["", "a", "2-1", "-1", "1-", "99999"] {
            assert!(number_list(bad).is_err(), "{bad}");
        }
    }
}
