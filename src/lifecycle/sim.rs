//! A virtual machine for tests: scripted programs on a virtual clock answer the lifecycle's actions with events.
//!
//! A referee watches every step ([`referee`], [`fouls`]), so that each scenario and each random schedule tests all the rules.

use std::collections::BTreeMap;
use std::time::Duration;

use referee::Referee;
pub use schedule::*;
pub use script::*;
pub use view::deeds;

use super::*;

mod fouls;
mod referee;
mod schedule;
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
    ProbeEnd(Instance, ProbeKind, ProbeResult),
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
    /// Events so far, ticks not counted.
    pub events: usize,
    referee: Referee,
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
        let mut sim = Sim {
            referee: Referee::new(spec.clone()),
            pod: Lifecycle::new(spec),
            now: Time::ZERO,
            trace: Vec::new(),
            log: Vec::new(),
            ended: None,
            ctrs: ctrs.to_vec(),
            queue: BTreeMap::new(),
            queued: 0,
            alive: vec![None; ctrs.len()],
            born: vec![Time::ZERO; ctrs.len()],
            events: 0,
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
                self.queue_at(self.now + run.start_delay, Due::LogStarted(instance));
                let end = self.now + run.start_delay + run.duration;
                self.queue_at(end, Due::Exit(instance, run.code, true));
                self.step(Event::Started(instance));
            }
            Due::FailStart(instance, reason) => {
                self.alive[instance.container] = None;
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
            Due::ProbeEnd(instance, probe, result) => {
                self.mark(&format!("{probe:?}-{}", self.name(instance)), Mark::Exiting);
                let code = match result {
                    ProbeResult::Success | ProbeResult::Warning => Some(0),
                    ProbeResult::Failure => Some(1),
                    ProbeResult::Unknown => None,
                };
                let words = if code == Some(0) { "" } else { "no good" }.to_string();
                self.step(Event::ProbeEnded { instance, probe, result, code, words });
            }
            Due::Stop(grace) => self.step(Event::Stop { grace }),
            Due::Tick => self.step(Event::Tick),
        }
    }

    fn step(&mut self, event: Event) {
        self.events += usize::from(event != Event::Tick);
        self.referee.event(self.now, &event);
        for action in self.pod.step(self.now, event) {
            self.referee.action(self.now, &action);
            self.perform(&action);
            self.log.push((self.now, action));
        }
        self.referee.nothing_is_left_undone(self.now);
        self.referee.shows(self.now, &self.pod.snapshot(self.now));
        if let Some(wakeup) = self.pod.next_wakeup() {
            assert!(wakeup > self.now, "a tick makes progress: {wakeup:?} at {:?}", self.now);
        }
    }

    fn perform(&mut self, action: &Action) {
        let now = self.now;
        match action {
            Action::Start(instance) => {
                self.alive[instance.container] = Some((*instance, false));
                let run = self.program(*instance);
                let due = run.fails.map_or(Due::Up(*instance), |reason| Due::FailStart(*instance, reason));
                self.queue_at(now + run.latency, due);
            }
            Action::Terminate(instance) => {
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
                let is_creating =
                    |due: &Due| matches!(due, Due::Up(i) | Due::FailStart(i, _) if i == instance);
                let creating = self.queue.values().any(is_creating);
                self.cancel(|due| instance_of(due) == Some(*instance));
                let end = match creating {
                    true => Due::FailStart(*instance, "StartError"),
                    false => Due::Exit(*instance, 137, false),
                };
                self.queue_at(now, end);
            }
            Action::RunHook(instance, kind) => {
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
                let name = format!("{kind:?}-{}", self.name(*instance));
                self.mark(&name, Mark::Starting);
                self.mark(&name, Mark::Started);
                let (takes, result) = self.answer(*instance, *kind);
                self.queue_at(now + takes, Due::ProbeEnd(*instance, *kind, result));
            }
            Action::AbortHook(instance, kind) => {
                self.cancel(|due| matches!(due, Due::HookEnd(i, k, _) if i == instance && k == kind));
            }
            Action::AbortProbe(instance, kind) => {
                self.cancel(|due| matches!(due, Due::ProbeEnd(i, k, _) if i == instance && k == kind));
            }
            Action::Note(_) => {}
            Action::End(phase) => self.ended = Some(*phase),
        }
    }

    fn answer(&self, instance: Instance, kind: ProbeKind) -> (Duration, ProbeResult) {
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
            Answer::Unknown => return (takes, ProbeResult::Unknown),
            Answer::OnceStarted => self.alive[index].is_some_and(|(_, started)| started),
            Answer::From(from) => age >= from,
            Answer::Until(until) => age < until,
        };
        let takes = if matches!(answer, Answer::Hangs) { timeout } else { takes.min(timeout) };
        (takes, if well { ProbeResult::Success } else { ProbeResult::Failure })
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
