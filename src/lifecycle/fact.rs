//! What is worth telling: the vocabulary of the event log. Every reader of it (`events`, the foreground of `run`,
//! `timeline`, `why`) starts from these facts; [`Fact::words`] has the kubelet's words for those that it tells, too.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::{HookKind, Instance, Kind, Phase, ProbeKind, Time};

/// One thing that happened to a pod or to one of its container instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fact {
    /// The sandbox is there; `init` is the pod init in the host's numbering.
    Begun {
        /// Process id.
        init: i32,
    },
    /// An instance is being made: its gates are open, and back-off lets it through.
    Starting,
    /// `execve` has succeeded.
    Started,
    /// No process came into being.
    StartFailed {
        /// Kubernetes' reason.
        reason: String,
        /// The error chain, one line.
        message: String,
    },
    /// postStart has returned well and the startup probe, if any, has succeeded (R3, R101).
    Up,
    /// A hook has begun.
    HookBegun {
        /// Which.
        hook: HookKind,
    },
    /// A hook has returned.
    HookEnded {
        /// Which.
        hook: HookKind,
        /// Why it failed, if it did.
        failure: Option<String>,
        /// What it printed.
        output: String,
    },
    /// A hook was cut off: its container has ended, or the pod is being terminated.
    HookAborted {
        /// Which.
        hook: HookKind,
    },
    /// A probe was not a plain success, or the first success in a row.
    Probe {
        /// Which.
        probe: ProbeKind,
        /// What it found.
        result: ProbeResult,
        /// Its words.
        words: String,
        /// Exit code of its command, if it has one and came to an end by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
        /// How long it took.
        #[serde(default, with = "micros", rename = "tookMicros")]
        took: Duration,
    },
    /// The readiness probe has reached a threshold and changed the container's readiness (R77, R99).
    Readiness {
        /// It is ready now.
        ready: bool,
    },
    /// The first process has ended and took everything of the instance with it.
    Ended {
        /// Exit code; 128 + n when ended by signal n.
        code: i32,
        /// The signal that ended it, if one did.
        signal: Option<i32>,
        /// Completed, Error or OOMKilled (R65).
        reason: String,
        /// It was being stopped.
        stopped: bool,
        /// How long it ran.
        #[serde(with = "micros", rename = "ranMicros")]
        ran: Duration,
    },
    /// Back-off holds the next instance back (R31, R36).
    BackOff {
        /// Until then, in microseconds of the pod's clock.
        #[serde(with = "micros", rename = "untilMicros")]
        until: Time,
    },
    /// The stop of this instance begins: preStop, SIGTERM, SIGKILL, all before `until`.
    Stopping {
        /// Why.
        cause: Cause,
        /// Its budget is spent then, in microseconds of the pod's clock.
        #[serde(with = "micros", rename = "untilMicros")]
        until: Time,
    },
    /// The budget of an instance that is being stopped was changed by the pod's termination.
    Budget {
        /// It is spent then, in microseconds of the pod's clock.
        #[serde(with = "micros", rename = "untilMicros")]
        until: Time,
    },
    /// A signal was sent to the first process.
    Signal {
        /// Its number.
        number: i32,
        /// `barepod kill` asked for it.
        asked: bool,
    },
    /// Pod termination has begun, or its budget was shortened.
    Terminating {
        /// Somebody asked for it, or the deadline did; else nothing is left that could make the pod go on.
        asked: bool,
        /// Everything is to have ended by then, in microseconds of the pod's clock.
        #[serde(with = "micros", rename = "untilMicros")]
        until: Time,
    },
    /// `activeDeadlineSeconds` has run out (R102).
    DeadlineExceeded,
    /// The pod has ended for good.
    PodEnded {
        /// Succeeded or Failed.
        phase: Phase,
    },
    /// A kernel step was performed; told when the pod is run with `--trace`.
    Step {
        /// Its short name.
        step: String,
        /// What it does.
        does: String,
        /// How long it took.
        #[serde(with = "micros", rename = "tookMicros")]
        took: Duration,
        /// Why it failed, if it did.
        failure: Option<String>,
        /// The errno behind that, 0 if there was none.
        errno: i32,
    },
    /// Something is wrong that no rule of a pod's life has foreseen.
    Trouble {
        /// FailedKillPod, SandboxLost …
        reason: String,
        /// What.
        message: String,
    },
    /// Facts were lost, because there was no space to write them to.
    Dropped {
        /// How many.
        count: u64,
    },
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProbeResult {
    /// Success.
    Success,
    /// Success, but worth an event: a redirect to another host (R81).
    Warning,
    /// Failure.
    Failure,
    /// It could not be carried out: changes nothing (R83).
    Unknown,
}

/// Why an instance is being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// Its startup probe failed.
    Startup,
    /// Its liveness probe failed.
    Liveness,
    /// Its postStart failed.
    PostStart,
    /// The pod ends.
    Pod,
    /// Every container is restarted (R29).
    RestartAll,
}

/// A fact and what it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// The instance; `None` = the pod.
    pub about: Option<Instance>,
    /// What happened.
    pub fact: Fact,
}

/// A Kubernetes event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// `Warning` instead of `Normal`.
    pub warning: bool,
    /// CamelCase reason: Created, Started, Killing, BackOff, Unhealthy, FailedPostStartHook …
    pub reason: String,
    /// One line for people, in the kubelet's words.
    pub message: String,
}

impl Fact {
    /// The Kubernetes events of this fact; `name` is the container's. Most have one or none.
    pub fn words(&self, name: &str) -> Vec<Words> {
        let event =
            |warning, reason: &str, message| vec![Words { warning, reason: reason.to_owned(), message }];
        match self {
            Fact::Started => [
                event(false, "Created", format!("Created container: {name}")),
                event(false, "Started", format!("Started container {name}")),
            ]
            .concat(),
            Fact::StartFailed { message, .. } => event(true, "Failed", format!("Error: {message}")),
            Fact::HookEnded { hook, failure: Some(why), .. } => {
                event(true, &format!("Failed{hook:?}Hook"), format!("{hook:?}Hook failed: {why}"))
            }
            Fact::Probe { probe, result, words, .. } => {
                let (reason, what) = match result {
                    ProbeResult::Success => return Vec::new(),
                    ProbeResult::Warning => ("ProbeWarning", "warning"),
                    ProbeResult::Failure => ("Unhealthy", "failed"),
                    ProbeResult::Unknown => ("Unhealthy", "errored"),
                };
                event(true, reason, format!("{probe:?} probe {what}: {words}"))
            }
            // A kubelet tells this in the status only; whoever reads the log wants to see the end where it happened.
            Fact::Ended { code, signal, reason, stopped, ran } => {
                let after = ran.as_secs_f64();
                let message = match signal {
                    Some(signal) => {
                        format!("Container {name} was ended by signal {signal} after {after:.3} s")
                    }
                    None => format!("Container {name} exited with code {code} after {after:.3} s"),
                };
                event(*code != 0 && !stopped, reason, message)
            }
            Fact::BackOff { .. } => {
                event(true, "BackOff", format!("Back-off restarting failed container {name}"))
            }
            Fact::Stopping { cause, .. } => {
                let message = match cause {
                    Cause::Startup => format!("Container {name} failed startup probe, will be restarted"),
                    Cause::Liveness => format!("Container {name} failed liveness probe, will be restarted"),
                    Cause::PostStart => "FailedPostStartHook".to_owned(),
                    Cause::Pod => format!("Stopping container {name}"),
                    Cause::RestartAll => format!("Container {name} is killed to restart all containers"),
                };
                event(false, "Killing", message)
            }
            Fact::DeadlineExceeded => {
                event(false, "DeadlineExceeded", super::status::DEADLINE_MESSAGE.to_owned())
            }
            Fact::Trouble { reason, message } => event(true, reason, message.clone()),
            Fact::Dropped { count } => event(
                true,
                "EventsDropped",
                format!("{count} events were lost: no space, or too many failed probes"),
            ),
            Fact::Begun { .. }
            | Fact::Starting
            | Fact::Up
            | Fact::HookBegun { .. }
            | Fact::HookEnded { failure: None, .. }
            | Fact::HookAborted { .. }
            | Fact::Readiness { .. }
            | Fact::Budget { .. }
            | Fact::Signal { .. }
            | Fact::Terminating { .. }
            | Fact::PodEnded { .. }
            | Fact::Step { .. } => Vec::new(),
        }
    }
}

/// The first line of an event log: what the pod was made from, so that a log can be read without anything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// Version of this format.
    pub barepod: u32,
    /// `metadata.name`
    pub name: String,
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.uid`
    pub uid: String,
    /// Wall-clock time of the pod's time 0, in microseconds since 1970.
    pub started_micros: u64,
    /// `spec.terminationGracePeriodSeconds`
    pub grace_seconds: u64,
    /// In the order of `initContainers`, then `containers`.
    pub containers: Vec<HeadContainer>,
}

/// The version of the format that this program writes and reads.
pub const FORMAT: u32 = 1;

/// A container in the [`Head`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadContainer {
    /// Its name.
    pub name: String,
    /// Init, sidecar or app.
    pub kind: Kind,
    /// It has a postStart.
    pub post_start: bool,
    /// It has a preStop.
    pub pre_stop: bool,
    /// It has a startup probe.
    pub startup: bool,
    /// It has a readiness probe.
    pub readiness: bool,
}

/// Any further line of an event log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When, on the pod's clock.
    #[serde(with = "micros", rename = "atMicros")]
    pub at: Time,
    /// Container name; `None` = the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Which instance of it: its restartCount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// Durations as whole microseconds.
mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX).serialize(to)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_micros)
    }
}
