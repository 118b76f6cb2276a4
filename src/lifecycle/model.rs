//! The vocabulary of the lifecycle: what goes in (`PodSpec`, `Event`), what comes out (`Action`, `Snapshot`).
//!
//! Everything here is plain data. Time is the [`Duration`] since the pod was started, on a clock that never jumps;
//! the shell turns it into wall-clock time when it is shown to people.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::fact::{Cause, Fact, Note, ProbeResult};

/// Index of a container in [`PodSpec::containers`].
pub type Index = usize;

/// Time since the pod was started (monotonic).
pub type Time = Duration;

/// What the lifecycle needs to know of a manifest, defaults already applied.
#[derive(Debug, Clone)]
pub struct PodSpec {
    /// Plain inits and sidecars in list order, then the apps in list order (R1, R5).
    pub containers: Vec<ContainerSpec>,
    /// `spec.restartPolicy`.
    pub restart_policy: RestartPolicy,
    /// `spec.terminationGracePeriodSeconds` (G).
    pub grace: Duration,
    /// `spec.activeDeadlineSeconds` (R102).
    pub deadline: Option<Duration>,
    /// Restart delays (R31, R38).
    pub backoff: Backoff,
}

/// One container as the lifecycle sees it.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    /// Name, unique in the pod.
    pub name: String,
    /// Init, sidecar or app.
    pub kind: Kind,
    /// The container's own `restartPolicy` (R25); for a sidecar it is what makes it one and stays `None` here.
    pub restart_policy: Option<RestartPolicy>,
    /// `restartPolicyRules`, first match wins (R26).
    pub rules: Vec<RestartRule>,
    /// `lifecycle.postStart`.
    pub post_start: Option<Hook>,
    /// `lifecycle.preStop`.
    pub pre_stop: Option<Hook>,
    /// `startupProbe`.
    pub startup: Option<Probe>,
    /// `livenessProbe`.
    pub liveness: Option<Probe>,
    /// `readinessProbe`.
    pub readiness: Option<Probe>,
}

/// The three kinds of container of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Entry of `initContainers` that must exit with 0 before the next entry starts.
    Init,
    /// Entry of `initContainers` with `restartPolicy: Always`.
    Sidecar,
    /// Entry of `containers`.
    App,
}

/// `restartPolicy` of pod or container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Restart on any exit.
    Always,
    /// Restart on a non-zero exit.
    OnFailure,
    /// Do not restart.
    Never,
}

/// One entry of `restartPolicyRules` (R26, R29).
#[derive(Debug, Clone)]
pub struct RestartRule {
    /// Restart the container, or all of them.
    pub action: RuleAction,
    /// `In` (true) or `NotIn` (false).
    pub within: bool,
    /// The exit codes compared with.
    pub codes: Vec<i32>,
}

/// What a [`RestartRule`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    /// Restart this container.
    Restart,
    /// Restart every container of the pod in place (R29).
    RestartAllContainers,
}

/// What a hook does, as far as the lifecycle cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// A helper process of the shell runs it (exec, httpGet) and reports [`Event::HookEnded`].
    Helper,
    /// `sleep`: counted by the lifecycle itself, no process (R50).
    Sleep(Duration),
}

/// Which hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HookKind {
    /// `lifecycle.postStart`.
    PostStart,
    /// `lifecycle.preStop`.
    PreStop,
}

/// Which probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProbeKind {
    /// `startupProbe`.
    Startup,
    /// `livenessProbe`.
    Liveness,
    /// `readinessProbe`.
    Readiness,
}

/// Timing of a probe; a helper process of the shell runs it, with `timeout` as its deadline.
#[derive(Debug, Clone)]
pub struct Probe {
    /// `initialDelaySeconds`, from the instance's start (R75).
    pub initial_delay: Duration,
    /// `periodSeconds`.
    pub period: Duration,
    /// `timeoutSeconds`; enforced by the shell, which then reports a failure.
    pub timeout: Duration,
    /// `failureThreshold`.
    pub failure_threshold: u32,
    /// `successThreshold`.
    pub success_threshold: u32,
    /// Probe-level `terminationGracePeriodSeconds` (R66).
    pub grace: Option<Duration>,
}

/// Restart delays: `first`, doubling, capped at `max` (R31); forgotten after twice `max` of running (R32).
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Delay before the second restart; the first restart is at once.
    pub first: Duration,
    /// Cap.
    pub max: Duration,
}

/// One run of a container: its index and how many instances came before it (= restartCount).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instance {
    /// Which container.
    pub container: Index,
    /// Its restartCount.
    pub attempt: u32,
}

/// What happened. The shell reports each fact once; facts about an instance that is over are ignored.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The sandbox is ready; start the pod.
    Begin,
    /// `execve` of the instance's first process succeeded.
    Started(Instance),
    /// The instance could not be started.
    StartFailed {
        /// Which instance.
        instance: Instance,
        /// Kubernetes' reason: `CreateContainerError`, `RunContainerError`, `StartError` …
        reason: String,
        /// The error chain, one line.
        message: String,
    },
    /// The instance's first process has ended and everything left in its cgroup is gone.
    Exited {
        /// Which instance.
        instance: Instance,
        /// How it ended.
        exit: Exit,
    },
    /// A hook helper has ended.
    HookEnded {
        /// Of which instance.
        instance: Instance,
        /// Which hook.
        hook: HookKind,
        /// What it printed; `Err`: one line that says why it failed.
        result: Result<String, String>,
    },
    /// A probe helper has ended.
    ProbeEnded {
        /// Of which instance.
        instance: Instance,
        /// Which probe.
        probe: ProbeKind,
        /// What it found.
        result: ProbeResult,
        /// Exit code of its command; `None` if there is none, or it was killed by its timeout.
        code: Option<i32>,
        /// One line: what it printed, or why it failed.
        words: String,
    },
    /// Somebody asks for pod termination with this grace period (R54, R67). A later one may only shorten it.
    Stop {
        /// Grace period.
        grace: Duration,
    },
    /// Time has passed; sent at the moment that [`next_wakeup`](super::Lifecycle::next_wakeup) named.
    Tick,
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Exit code; 128 + n when ended by signal n.
    pub code: i32,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// The kernel's out-of-memory killer ended it.
    pub oom_killed: bool,
    /// Termination message (R103), already read and bounded by the shell.
    pub message: Option<String>,
}

/// What the shell is to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make the instance and run its first process; answer with `Started` or `StartFailed`.
    Start(Instance),
    /// Run a hook helper in the instance; answer with `HookEnded`.
    RunHook(Instance, HookKind),
    /// Kill a hook helper whose result no longer matters (postStart of an instance that ends, R40).
    AbortHook(Instance, HookKind),
    /// Run a probe helper with its timeout; answer with `ProbeEnded`.
    RunProbe(Instance, ProbeKind),
    /// Kill a probe helper whose result no longer matters.
    AbortProbe(Instance, ProbeKind),
    /// Send the container's stop signal (SIGTERM unless configured, R70) to its first process.
    Terminate(Instance),
    /// Kill everything in the instance's cgroup.
    Kill(Instance),
    /// Append to the event log.
    Note(Note),
    /// The pod has ended for good; no container runs any more. Always the last action.
    End(Phase),
}

/// `status.phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Not all apps have been started once (R89).
    Pending,
    /// R90.
    Running,
    /// R91, R92.
    Succeeded,
    /// R91–R94.
    Failed,
}

impl Phase {
    /// Succeeded or Failed: never changes again (R96).
    pub fn is_terminal(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
}

/// Everything `status` of the Pod object is rendered from; host facts (IPs, ids, wall clock) are added by the renderer.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// `status.phase`.
    pub phase: Phase,
    /// `status.reason` (DeadlineExceeded …).
    pub reason: Option<String>,
    /// `status.message`.
    pub message: Option<String>,
    /// When termination began and with which grace: `metadata.deletionTimestamp`, `deletionGracePeriodSeconds`.
    pub terminating: Option<(Time, Duration)>,
    /// In the order of the API server: PodReadyToStartContainers, Initialized, Ready, ContainersReady, PodScheduled.
    pub conditions: Vec<Condition>,
    /// In the order of [`PodSpec::containers`].
    pub containers: Vec<ContainerStatus>,
}

/// One entry of `status.conditions`.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// `type`.
    pub kind: &'static str,
    /// `status` (True or False).
    pub status: bool,
    /// Last time `status` changed.
    pub since: Time,
    /// `reason`, if any.
    pub reason: Option<&'static str>,
    /// `message`, if any.
    pub message: Option<String>,
}

/// One entry of `status.containerStatuses` or `initContainerStatuses`.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerStatus {
    /// `state`.
    pub state: ContainerState,
    /// `lastState` (always Terminated, if any).
    pub last_state: Option<Terminated>,
    /// `ready` (R99, R100).
    pub ready: bool,
    /// `started` (R101).
    pub started: bool,
    /// `restartCount` (R24).
    pub restart_count: u32,
}

/// `state` of a container.
#[derive(Debug, Clone, PartialEq)]
pub enum ContainerState {
    /// Not running.
    Waiting {
        /// PodInitializing, ContainerCreating, CrashLoopBackOff, PostStartHookError, CreateContainerError …
        reason: String,
        /// More words, if any.
        message: Option<String>,
    },
    /// Running since.
    Running {
        /// When `execve` had succeeded.
        started_at: Time,
    },
    /// Ended.
    Terminated(Terminated),
}

/// `terminated` of a container state.
#[derive(Debug, Clone, PartialEq)]
pub struct Terminated {
    /// Exit code.
    pub exit_code: i32,
    /// Signal, if one ended it.
    pub signal: Option<i32>,
    /// Completed, Error, OOMKilled, StartError … (R65).
    pub reason: String,
    /// Termination message.
    pub message: Option<String>,
    /// When it had started.
    pub started_at: Time,
    /// When it ended.
    pub finished_at: Time,
}
