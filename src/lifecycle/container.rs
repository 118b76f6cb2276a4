//! The state of one container: which instance there is, and what is remembered of earlier ones.

use super::Lifecycle;
use super::hooks::HookRun;
use super::model::*;
use super::probes::Prober;
use super::restart::{Delay, Verdict};
use super::terminate::Kill;

/// One container over all its instances.
#[derive(Debug, Default)]
pub(super) struct Container {
    pub stage: Stage,
    /// Instances so far; the living one has attempt `instances - 1`, one being created `instances` (R24).
    pub instances: u32,
    /// The gate for the entries after this one was passed; stays so when the container dies later (R3, R5, R8).
    pub passed: bool,
    /// Why it is not running, if there is more to say than that it has not been started yet.
    pub waiting: Option<(String, Option<String>)>,
    /// An instance has ended since the pod, or everything in it, was (re)started.
    pub has_ended: bool,
    /// How the newest ended instance ended.
    pub last: Option<Terminated>,
    /// How the one before it ended.
    pub previous: Option<Terminated>,
    /// Restart back-off (R32).
    pub backoff: Option<Delay>,
}

/// Where a container is in its current instance.
#[derive(Debug, Default)]
pub(super) enum Stage {
    /// No instance since the pod, or everything in it, was (re)started.
    #[default]
    Idle,
    /// `Start` was asked for and not answered yet; `killed`: the pod could not wait for the answer.
    Creating { killed: bool },
    /// Its first process runs.
    Alive(Live),
    /// It has ended, or could not be started.
    Down(Down),
}

/// A living instance.
#[derive(Debug)]
pub(super) struct Live {
    /// When `execve` had succeeded; initial delays of probes count from here (R75).
    pub started_at: Time,
    pub post_start: HookRun,
    /// postStart returned and the startup probe succeeded (R3, R101).
    pub started: bool,
    /// Startup, liveness, readiness: those that the spec has.
    pub probers: Vec<Prober>,
    /// It is being stopped.
    pub kill: Option<Kill>,
}

/// An instance that has ended.
#[derive(Debug)]
pub(super) struct Down {
    /// When; back-off counts from here (R31).
    pub since: Time,
    /// Its restart is due as soon as back-off allows (R16-R20).
    pub restart: bool,
    /// False if it never came into being: then the reason given stays on view instead of CrashLoopBackOff.
    pub created: bool,
    /// Back-off has held its restart back, and this was told.
    pub held: bool,
}

impl Container {
    /// No process of it runs or is about to.
    pub fn is_gone(&self) -> bool {
        matches!(self.stage, Stage::Idle | Stage::Down(_))
    }

    pub fn live(&self) -> Option<&Live> {
        match &self.stage {
            Stage::Alive(live) => Some(live),
            _ => None,
        }
    }

    /// It has ended and policy does not want it back (R16, R17).
    pub fn is_done(&self) -> bool {
        matches!(&self.stage, Stage::Down(down) if !down.restart)
    }
}

impl Live {
    /// Its process runs and postStart, if any, has returned well: Running in the eyes of people (R40).
    pub fn is_up(&self) -> bool {
        self.post_start == HookRun::Returned { well: true }
    }
}

impl Lifecycle {
    /// `execve` has succeeded.
    pub(super) fn started(&mut self, now: Time, instance: Instance) {
        if !self.is_creating(instance) {
            return;
        }
        let spec = &self.spec.containers[instance.container];
        let live = Live {
            started_at: now,
            post_start: HookRun::due_if(spec.post_start.is_some()),
            started: false,
            probers: Prober::all_of(spec),
            kill: None,
        };
        let container = &mut self.containers[instance.container];
        container.stage = Stage::Alive(live);
        container.instances += 1;
        self.note(instance, Fact::Started);
    }

    /// No process came into being. A failed creation is no instance: it is tried again whatever the policy, and neither
    /// fails the pod nor raises restartCount. Any other failure is an instance that ended with 128.
    pub(super) fn start_failed(&mut self, now: Time, instance: Instance, reason: String, message: String) {
        if !self.is_creating(instance) {
            return;
        }
        let index = instance.container;
        self.note(instance, Fact::StartFailed { reason: reason.clone(), message: message.clone() });
        let created = !matches!(reason.as_str(), "CreateContainerError" | "CreateContainerConfigError");
        if created {
            let container = &mut self.containers[index];
            container.instances += 1;
            container.waiting = Some(("RunContainerError".to_string(), Some(message.clone())));
            let ended = Terminated {
                exit_code: 128,
                signal: None,
                reason,
                message: Some(message),
                started_at: now,
                finished_at: now,
            };
            self.down(ended, index, None);
        } else {
            let container = &mut self.containers[index];
            container.waiting = Some((reason, Some(message)));
            container.stage = Stage::Down(Down { since: now, restart: true, created, held: false });
        }
        // An app that cannot be started does not keep the following ones from being started (R6).
        if self.spec.containers[index].kind == Kind::App {
            self.containers[index].passed = true;
        }
    }

    /// The first process has ended and took everything of the instance with it.
    pub(super) fn exited(&mut self, now: Time, instance: Instance, exit: Exit) {
        // A process that ends at once, or is killed on its way to `execve`, may be reported by its end only.
        self.started(now, instance);
        let Some(live) = self.live_mut(instance) else {
            return;
        };
        let started_at = live.started_at;
        let cause = live.kill.as_ref().map(|kill| kill.cause);
        self.abort_hooks(instance);
        self.abort_probes(instance, |_| true);
        // R65; an exit code of 0 after a kill counts as well.
        let reason = match exit.code {
            _ if exit.oom_killed => "OOMKilled",
            0 => "Completed",
            _ => "Error",
        };
        let ended = Terminated {
            exit_code: exit.code,
            signal: exit.signal,
            reason: reason.to_string(),
            message: exit.message,
            started_at,
            finished_at: now,
        };
        let (reason, stopped, ran) = (reason.to_owned(), cause.is_some(), now - started_at);
        self.note(instance, Fact::Ended { code: exit.code, signal: exit.signal, reason, stopped, ran });
        self.down(ended, instance.container, cause);
    }

    /// Remember how an instance ended, and decide what follows for this container (R16-R20, R26).
    fn down(&mut self, ended: Terminated, index: Index, cause: Option<Cause>) {
        let verdict = self.verdict(index, ended.exit_code, cause);
        let kind = self.spec.containers[index].kind;
        let container = &mut self.containers[index];
        // An init is done with exit code 0 (R2); an app that has ended holds up nobody (R5, R6).
        container.passed |= kind == Kind::App || (kind == Kind::Init && ended.exit_code == 0);
        let (since, restart) = (ended.finished_at, verdict == Verdict::Restart);
        container.stage = Stage::Down(Down { since, restart, created: true, held: false });
        container.has_ended = true;
        container.previous = container.last.replace(ended);
        // The kills that follow from a rule change nothing any more (R30).
        self.restarting_all |= verdict == Verdict::RestartAll;
    }

    fn is_creating(&self, instance: Instance) -> bool {
        self.containers.get(instance.container).is_some_and(|container| {
            matches!(container.stage, Stage::Creating { .. }) && container.instances == instance.attempt
        })
    }
}
