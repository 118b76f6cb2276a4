//! A virtual machine for tests: scripted programs on a virtual clock answer the lifecycle's actions with events.
//!
//! Every step checks what must hold in any pod at any time ([`Sim::check`]), so that each scenario and each random
//! schedule tests all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use script::*;
pub use view::deeds;

use super::*;

mod check;
mod script;
mod view;

/// What a program, hook or probe logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Starting,
    Started,
    Exiting,
}

/// Something that is going to happen by itself.
#[derive(Debug, Clone)]
enum Due {
    Up(Instance),
    FailStart(Instance, &'static str),
    LogStarted(Instance),
    Exit(Instance, i32, bool),
    HookEnd(Instance, HookKind, bool),
    ProbeEnd(Instance, ProbeKind, ProbeOutcome),
    Stop(Duration),
    /// A tick that nobody needs.
    Tick,
}

/// The machine.
pub struct Sim {
    pub pod: Lifecycle,
    pub now: Time,
    pub trace: Vec<(Time, String, Mark)>,
    pub log: Vec<(Time, Action)>,
    pub ended: Option<Phase>,
    ctrs: Vec<Ctr>,
    queue: BTreeMap<(Time, usize), Due>,
    queued: usize,
    /// Per container: the instance asked for or running, and its `started` file.
    alive: Vec<Option<(Instance, bool)>>,
    born: Vec<Time>,
    /// Per container: a start of it was answered; the exit code of its newest ended instance.
    tried: Vec<bool>,
    codes: Vec<Option<i32>>,
    hooks_run: BTreeSet<(Instance, HookKind)>,
    probing: BTreeSet<(Instance, ProbeKind)>,
    terms: BTreeMap<Instance, Time>,
    /// To be killed at once because all containers restart (R29).
    at_once: BTreeSet<Index>,
    /// A rule said so, and nothing was started since.
    restarting_all: bool,
    deadline_exceeded: bool,
    /// Since when the pod is being terminated, and when its budget is spent.
    budget: Option<Time>,
    before: Snapshot,
}

/// A pod with these settings; nothing has happened yet.
pub fn pod_with(policy: RestartPolicy, grace: u64, deadline: Option<u64>, ctrs: &[Ctr]) -> Sim {
    let spec = PodSpec {
        containers: ctrs.iter().map(|ctr| ctr.spec.clone()).collect(),
        restart_policy: policy,
        grace: s(grace),
        deadline: deadline.map(s),
        backoff: Backoff { first: s(10), max: s(300) },
    };
    Sim::new(spec, ctrs)
}

/// A pod with G = 30.
pub fn pod(policy: RestartPolicy, ctrs: &[Ctr]) -> Sim {
    pod_with(policy, 30, None, ctrs)
}

impl Sim {
    pub fn new(spec: PodSpec, ctrs: &[Ctr]) -> Sim {
        let pod = Lifecycle::new(spec);
        let before = pod.snapshot(Time::ZERO);
        let mut sim = Sim {
            pod,
            now: Time::ZERO,
            trace: Vec::new(),
            log: Vec::new(),
            ended: None,
            ctrs: ctrs.to_vec(),
            queue: BTreeMap::new(),
            queued: 0,
            alive: vec![None; ctrs.len()],
            born: vec![Time::ZERO; ctrs.len()],
            tried: vec![false; ctrs.len()],
            codes: vec![None; ctrs.len()],
            hooks_run: BTreeSet::new(),
            probing: BTreeSet::new(),
            at_once: BTreeSet::new(),
            restarting_all: false,
            deadline_exceeded: false,
            terms: BTreeMap::new(),
            budget: None,
            before,
        };
        sim.step(Event::Begin);
        sim
    }

    /// Ask for termination at `at`.
    pub fn stop_at(&mut self, at: Time, grace: Duration) {
        self.queue_at(at, Due::Stop(grace));
    }

    /// A tick that nobody asked for.
    pub fn tick_at(&mut self, at: Time) {
        self.queue_at(at, Due::Tick);
    }

    /// Ask for termination now.
    pub fn stop(&mut self, grace: u64) {
        self.stop_at(self.now, s(grace));
        self.run_until(self.now);
    }

    /// Let time pass until `until`, all that happens then included.
    pub fn run_until(&mut self, until: Time) {
        while self.ended.is_none() {
            let event = self.queue.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = event.into_iter().chain(self.pod.next_wakeup()).min().filter(|at| *at <= until)
            else {
                break;
            };
            self.now = next;
            match self.queue.first_entry().filter(|entry| entry.key().0 == next).map(|entry| entry.remove()) {
                Some(due) => self.happen(due),
                None => self.step(Event::Tick),
            }
        }
        self.now = self.now.max(if self.ended.is_some() { self.now } else { until });
    }

    /// Let `seconds` pass.
    pub fn run_for(&mut self, seconds: u64) {
        self.run_until(self.now + s(seconds));
    }

    /// Let the pod end by itself, and say when and how.
    #[track_caller]
    pub fn run_to_end(&mut self) -> (Phase, u64) {
        self.run_until(s(100_000));
        (self.ended.expect("the pod ends"), self.now.as_secs())
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Up(instance) => {
                let run = self.program(instance).clone();
                let name = self.name(instance);
                self.mark(&name, Mark::Starting);
                self.born[instance.container] = self.now;
                self.tried[instance.container] = true;
                self.queue_at(self.now + run.start_delay, Due::LogStarted(instance));
                let end = self.now + run.start_delay + run.duration;
                self.queue_at(end, Due::Exit(instance, run.code, true));
                self.step(Event::Started(instance));
            }
            Due::FailStart(instance, reason) => {
                self.alive[instance.container] = None;
                self.tried[instance.container] = true;
                if !reason.starts_with("CreateContainer") {
                    self.exits_with(instance.container, 128);
                }
                let (reason, message) = (reason.to_string(), "it cannot be".to_string());
                self.step(Event::StartFailed { instance, reason, message });
            }
            Due::LogStarted(instance) => {
                let name = self.name(instance);
                self.mark(&name, Mark::Started);
                self.alive[instance.container] = Some((instance, true));
            }
            Due::Exit(instance, code, by_itself) => {
                if by_itself {
                    let name = self.name(instance);
                    self.mark(&name, Mark::Exiting);
                }
                // Hooks and probes die with their container.
                self.cancel(|due| instance_of(due) == Some(instance));
                self.alive[instance.container] = None;
                self.exits_with(instance.container, code);
                self.probing.retain(|(probed, _)| *probed != instance);
                let signal = if by_itself { None } else { Some(9) };
                self.step(Event::Exited {
                    instance,
                    exit: Exit { code, signal, oom_killed: false, message: None },
                });
            }
            Due::HookEnd(instance, hook, well) => {
                self.mark(&format!("{hook:?}-{}", self.name(instance)), Mark::Exiting);
                let result = if well { Ok(String::new()) } else { Err("exit code 1".to_string()) };
                self.step(Event::HookEnded { instance, hook, result });
            }
            Due::ProbeEnd(instance, probe, outcome) => {
                self.mark(&format!("{probe:?}-{}", self.name(instance)), Mark::Exiting);
                self.probing.remove(&(instance, probe));
                self.step(Event::ProbeEnded { instance, probe, outcome });
            }
            Due::Stop(grace) => {
                self.terminates(grace);
                self.step(Event::Stop { grace });
            }
            Due::Tick => self.step(Event::Tick),
        }
    }

    fn step(&mut self, event: Event) {
        let actions = self.pod.step(self.now, event);
        // It ends by itself, or its deadline has come: then the pod's own grace counts (R63, R102).
        if self.pod.shutdown.is_some() && self.budget.is_none() {
            self.terminates(self.pod.spec().grace);
        }
        for action in &actions {
            assert!(self.ended.is_none(), "End is the last action");
            self.perform(action);
        }
        self.log.extend(actions.into_iter().map(|action| (self.now, action)));
        self.check();
    }

    fn perform(&mut self, action: &Action) {
        let now = self.now;
        match action {
            Action::Start(instance) => {
                assert!(self.budget.is_none(), "nothing starts after termination began (R21)");
                assert_eq!(self.alive[instance.container], None, "one instance per container");
                if std::mem::take(&mut self.restarting_all) {
                    self.codes.fill(None);
                }
                for (earlier, ctr) in self.ctrs[..instance.container].iter().enumerate() {
                    let initialised = ctr.spec.kind != Kind::Init || self.codes[earlier] == Some(0);
                    assert!(initialised && self.tried[earlier], "list order (R1, R2, R5)");
                }
                self.alive[instance.container] = Some((*instance, false));
                let run = self.program(*instance);
                let due = run.fails.map_or(Due::Up(*instance), |reason| Due::FailStart(*instance, reason));
                self.queue_at(now + run.latency, due);
            }
            Action::Terminate(instance) => {
                self.assert_alive(*instance);
                self.assert_order(*instance);
                assert_eq!(self.terms.insert(*instance, now), None, "one SIGTERM per instance");
                let run = self.program(*instance);
                if let Some(term) = run.term {
                    let due = Due::Exit(*instance, run.code, true);
                    let own_end =
                        |due: &Due| matches!(due, Due::Exit(i, ..) | Due::LogStarted(i) if i == instance);
                    self.cancel(own_end);
                    self.queue_at(now + term, due);
                }
            }
            Action::Kill(instance) => {
                self.assert_alive(*instance);
                let creating = self.queue.values().any(|due| matches!(due, Due::Up(_) | Due::FailStart(..) if instance_of(due) == Some(*instance)));
                self.cancel(|due| instance_of(due) == Some(*instance));
                if creating {
                    self.queue_at(now, Due::FailStart(*instance, "StartError"));
                } else {
                    if !self.at_once.remove(&instance.container) {
                        let term = self.terms.get(instance).expect("SIGTERM comes before SIGKILL");
                        let end = self.budget.is_some_and(|budget| now >= budget + s(2));
                        assert!(
                            end || now >= *term + s(2),
                            "SIGKILL leaves at least 2 s after SIGTERM (R54)"
                        );
                    }
                    self.queue_at(now, Due::Exit(*instance, 137, false));
                }
            }
            Action::RunHook(instance, kind) => {
                self.assert_alive(*instance);
                assert!(self.hooks_run.insert((*instance, *kind)), "a hook runs once per instance");
                assert!(
                    *kind == HookKind::PreStop || self.budget.is_none(),
                    "no postStart at the end of the pod"
                );
                assert!(!self.terms.contains_key(instance), "preStop comes before SIGTERM (R44)");
                let name = format!("{kind:?}-{}", self.name(*instance));
                self.mark(&name, Mark::Starting);
                self.mark(&name, Mark::Started);
                let ctr = &self.ctrs[instance.container];
                let script = if *kind == HookKind::PostStart { ctr.post_start } else { ctr.pre_stop };
                if let Some(time) = script.0 {
                    self.queue_at(now + time, Due::HookEnd(*instance, *kind, script.1));
                }
            }
            Action::RunProbe(instance, kind) => {
                self.assert_alive(*instance);
                let name = format!("{kind:?}-{}", self.name(*instance));
                self.mark(&name, Mark::Starting);
                self.mark(&name, Mark::Started);
                assert!(self.probing.insert((*instance, *kind)), "a probe does not overlap itself");
                let (takes, outcome) = self.answer(*instance, *kind);
                self.queue_at(now + takes, Due::ProbeEnd(*instance, *kind, outcome));
            }
            Action::AbortHook(instance, kind) => {
                self.cancel(|due| matches!(due, Due::HookEnd(i, k, _) if i == instance && k == kind));
            }
            Action::AbortProbe(instance, kind) => {
                self.probing.remove(&(*instance, *kind));
                self.cancel(|due| matches!(due, Due::ProbeEnd(i, k, _) if i == instance && k == kind));
            }
            Action::Note(note) => {
                self.deadline_exceeded |= note.fact == Fact::DeadlineExceeded;
                if let Note { about: Some(instance), fact: Fact::Stopping { cause: Cause::RestartAll, .. } } =
                    note
                {
                    self.at_once.insert(instance.container);
                }
            }
            Action::End(phase) => {
                let well =
                    |index: usize| self.codes[index] == Some(0) || self.ctrs[index].spec.kind != Kind::App;
                let succeeded = (0..self.ctrs.len()).all(well) && !self.deadline_exceeded;
                assert_eq!(
                    *phase == Phase::Succeeded,
                    succeeded,
                    "the apps' last exit codes decide (R91, R92)"
                );
                assert!(self.alive.iter().all(Option::is_none), "no container runs when the pod has ended");
                self.ended = Some(*phase);
            }
        }
    }

    fn answer(&self, instance: Instance, kind: ProbeKind) -> (Duration, ProbeOutcome) {
        let index = instance.container;
        let spec = &self.ctrs[index].spec;
        let (which, probe) = match kind {
            ProbeKind::Startup => (0, &spec.startup),
            ProbeKind::Liveness => (1, &spec.liveness),
            ProbeKind::Readiness => (2, &spec.readiness),
        };
        let timeout = probe.as_ref().expect("only probes of the spec run").timeout;
        let (answer, takes) = self.ctrs[index].answers[which];
        let age = self.now - self.born[index];
        let well = match answer {
            Answer::Ok => true,
            Answer::Fail | Answer::Hangs => false,
            Answer::Unknown => return (takes, ProbeOutcome::Unknown("cannot fork".to_string())),
            Answer::OnceStarted => self.alive[index].is_some_and(|(_, started)| started),
            Answer::From(from) => age >= from,
            Answer::Until(until) => age < until,
        };
        let takes = if matches!(answer, Answer::Hangs) { timeout } else { takes.min(timeout) };
        let failure = || ProbeOutcome::Failure("no good".to_string());
        (takes, if well { ProbeOutcome::Success } else { failure() })
    }

    fn program(&self, instance: Instance) -> &Run {
        let runs = &self.ctrs[instance.container].runs;
        &runs[(instance.attempt as usize).min(runs.len() - 1)]
    }

    fn name(&self, instance: Instance) -> String {
        self.ctrs[instance.container].spec.name.clone()
    }

    fn mark(&mut self, who: &str, mark: Mark) {
        self.trace.push((self.now, who.to_string(), mark));
    }

    fn queue_at(&mut self, at: Time, due: Due) {
        self.queued += 1;
        self.queue.insert((at, self.queued), due);
    }

    fn cancel(&mut self, which: impl Fn(&Due) -> bool) {
        self.queue.retain(|_, due| !which(due));
    }
}

fn instance_of(due: &Due) -> Option<Instance> {
    match due {
        Due::Up(instance)
        | Due::FailStart(instance, _)
        | Due::LogStarted(instance)
        | Due::Exit(instance, ..)
        | Due::HookEnd(instance, ..)
        | Due::ProbeEnd(instance, ..) => Some(*instance),
        Due::Stop(_) | Due::Tick => None,
    }
}
