//! The pod init's event loop: wait for something to happen, ask the lifecycle, do what it says, write it down.
//!
//! It has one thread and never waits for anything but poll(2).

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;

use super::control::CONTROL;
use super::ephemeral::Ephemeral;
use super::helper::{self, Helper, Purpose};
use super::init::{Sandbox, tell};
use super::instance::{self, Origin, Prepared, Running, Streams};
use super::pause::Pause;
use super::start::Message;
use super::store::{Record, write_record};
use crate::kernel::poll::{self, Ready};
use crate::kernel::process::{self, Identity};
use crate::lifecycle::Lifecycle;
use crate::lifecycle::fact::Entry;
use crate::lifecycle::model::{
    Action, Event, Fact, HookKind, Instance, Note, Phase, ProbeKind, ProbeResult, Time,
};
use crate::manifest::Handler;
use crate::object::{self, Facts};

/// The supervisor's state: what runs, and what the lifecycle thinks of it.
pub struct Supervisor {
    pub(super) sandbox: Sandbox,
    pub(super) lifecycle: Lifecycle,
    /// SIGTERM and SIGINT, which reach a PID 1 only like this.
    pub(super) signals: SignalFd,
    pub(super) running: Vec<Running>,
    /// What has been made ready for the container that comes next; nothing, if that has failed.
    ahead: Option<(Instance, Option<Prepared>)>,
    /// At which descriptors something has happened.
    pub(super) ready: Ready,
    /// What output goes through.
    pub(super) piece: Vec<u8>,
    pub(super) helpers: Vec<Helper>,
    pub(super) record: Record,
    /// What the Pod object on disk says; `None` when it is not known to say what the record does.
    written: Option<Facts>,
    container_ids: Vec<Option<String>>,
    /// What happened and has not been handed to the lifecycle yet.
    pub(super) inbox: VecDeque<Event>,
    /// What the lifecycle wants done and has not been done yet; empty but for a pause.
    pub(super) agenda: VecDeque<Action>,
    /// `run --step`.
    pub(super) pause: Pause,
    /// Containers that were added while the pod ran.
    pub(super) ephemeral: Vec<Ephemeral>,
    /// Something has happened to one of those.
    pub(super) news: bool,
    /// Pod termination has begun.
    pub(super) terminating: bool,
    /// The lifecycle has come to its end.
    pub(super) phase: Option<Phase>,
    /// And nothing runs any more.
    over: bool,
}

impl Supervisor {
    /// Takes over a sandbox that has been made.
    pub fn new(sandbox: Sandbox) -> Result<Supervisor> {
        let blueprint = &sandbox.blueprint;
        let store = &blueprint.store;
        let mut record = store.read(&blueprint.name)?.context("read the record written at the start")?;
        let init = Identity::of(process::own_host_pid()?)?;
        let begun = Fact::Begun { init: init.pid };
        record.init = Some(init);
        record.network_namespace = Some(crate::kernel::namespace::inode("/proc/self/ns/net")?);
        let lifecycle = Lifecycle::new(blueprint.manifest.pod.lifecycle(blueprint.backoff));
        let containers = lifecycle.spec().containers.len();
        let signals = poll::signals(&[Signal::SIGTERM, Signal::SIGINT])?;
        let mut supervisor = Supervisor {
            lifecycle,
            signals,
            running: Vec::new(),
            ahead: None,
            ready: Ready::default(),
            piece: vec![0; instance::PIECE],
            helpers: Vec::new(),
            record,
            written: None,
            container_ids: vec![None; containers],
            inbox: VecDeque::new(),
            agenda: VecDeque::new(),
            pause: Pause::No,
            ephemeral: Vec::new(),
            news: false,
            terminating: false,
            phase: None,
            over: false,
            sandbox,
        };
        supervisor.note(None, begun);
        supervisor.write_down()?;
        supervisor.tell(&Message::Sandbox);
        Ok(supervisor)
    }

    /// Runs the pod until it has ended. A failure of the pod init itself goes to the event log; the pod is then lost.
    pub fn run(mut self) -> Result<()> {
        let lived = self.live();
        if let Err(error) = &lived {
            let message = format!("The pod init failed: {error:#}");
            self.note(None, Fact::Trouble { reason: "SandboxLost".to_owned(), message });
        }
        lived
    }

    /// The event loop: hand over what happened, do what follows, wait for what happens next.
    fn live(&mut self) -> Result<()> {
        self.inbox.push_back(Event::Begin);
        loop {
            if self.is_due() {
                self.settle()?;
            } else if self.news {
                self.take_stock()?; // in a pause, too
            }
            if self.over {
                return self.finish();
            }
            self.make_ahead();
            self.ready = self.wait()?;
            self.collect()?;
        }
    }

    /// Time of the pod's own clock, which stands during a pause.
    pub(super) fn now(&self) -> Time {
        let now = if let Pause::Since(since) = self.pause { since } else { Instant::now() };
        now.saturating_duration_since(self.sandbox.blueprint.clock)
    }

    /// The same as wall-clock time, for people.
    pub(super) fn wall(&self, time: Time) -> SystemTime {
        self.sandbox.blueprint.started + time
    }

    /// Something happened, or a time has come; mere container output is neither.
    fn is_due(&self) -> bool {
        let is_time = || self.lifecycle.next_wakeup().is_some_and(|time| time <= self.now());
        self.go().is_none() && (!self.inbox.is_empty() || !self.agenda.is_empty() || is_time())
    }

    /// Hands over what happened and does what follows, until there is nothing left to do; then writes it down.
    fn settle(&mut self) -> Result<()> {
        let mut started = false;
        if self.inbox.is_empty() && self.agenda.is_empty() {
            self.inbox.push_back(Event::Tick);
        }
        loop {
            // What follows from one event is done before the next is handed over.
            if let Some(action) = self.agenda.pop_front() {
                if self.pauses_before(&action) {
                    self.agenda.push_front(action);
                    break;
                }
                self.perform(action)?;
            } else if let Some(event) = self.inbox.pop_front() {
                started |= matches!(event, Event::Started(_));
                self.agenda.extend(self.lifecycle.step(self.now(), event));
            } else {
                break;
            }
        }
        self.take_stock()?;
        if started {
            // After the record: whoever hears of a container can enter it.
            self.tell(&Message::Started);
        }
        Ok(())
    }

    /// Sees whether this is the end, and writes down how things are.
    fn take_stock(&mut self) -> Result<()> {
        self.news = false;
        self.over = self.phase.is_some() && self.running.is_empty();
        if let (Some(phase), true) = (self.phase, self.over) {
            self.note(None, Fact::PodEnded { phase });
        }
        self.write_down()?;
        self.ephemeral.iter_mut().for_each(Ephemeral::tell_caller);
        Ok(())
    }

    fn perform(&mut self, action: Action) -> Result<()> {
        let now = self.now();
        match action {
            Action::Start(instance) => self.start(instance),
            Action::RunHook(instance, hook) => self.run_hook(instance, hook, now),
            Action::RunProbe(instance, probe) => self.run_probe(instance, probe, now),
            Action::AbortHook(instance, hook) => self.abort(instance, Purpose::Hook(hook))?,
            Action::AbortProbe(instance, probe) => self.abort(instance, Purpose::Probe(probe))?,
            Action::Terminate(instance) => self.signal(instance)?,
            Action::Kill(instance) => self.kill(instance)?,
            // Told when nothing runs any more, a debug container neither.
            Action::Note(Note { fact: Fact::PodEnded { .. }, .. }) => {}
            Action::Note(note) => {
                let ends = matches!(note.fact, Fact::Terminating { .. });
                self.note(note.about, note.fact);
                if ends {
                    self.terminate_ephemeral()?;
                }
            }
            Action::End(phase) => {
                self.phase = Some(phase);
                self.kill_ephemeral()?;
            }
        }
        Ok(())
    }

    fn start(&mut self, instance: Instance) {
        let ahead = self.ahead.take();
        let origin = self.origin(instance);
        let prepared = match ahead {
            Some((next, Some(prepared))) if next == instance => Ok(prepared),
            _ => instance::prepare(&self.sandbox, &origin),
        };
        match prepared.and_then(|prepared| instance::start(&self.sandbox, origin, prepared)) {
            Ok(running) => {
                let name = &running.record.container;
                let id = object::container_id(&self.sandbox.blueprint.uid, name, instance.attempt);
                self.container_ids[instance.container] = Some(id);
                self.running.push(running);
            }
            Err(failure) => {
                let message = format!("{:#}", failure.error);
                self.start_failed(instance, failure.reason, message);
            }
        }
    }

    /// Where an instance of the manifest comes from.
    fn origin(&self, instance: Instance) -> Origin<'_> {
        let blueprint = &self.sandbox.blueprint;
        Origin {
            instance,
            container: &blueprint.manifest.pod.containers[instance.container],
            bundle: &blueprint.bundles[instance.container],
            target: None,
            streams: Streams::Log,
        }
    }

    /// While a container performs its steps there is nothing to do here but to make ready what the next one needs. What fails
    /// is tried once more, and told, when it is that one's turn. Whoever looks on sees one container after the other.
    fn make_ahead(&mut self) {
        let watching = &self.sandbox.blueprint.watching;
        let is_watched = watching.trace || !watching.waits.is_empty();
        let next = self.lifecycle.next_app().filter(|_| !is_watched);
        self.ahead = match (next, self.ahead.take()) {
            (Some(next), Some((instance, prepared))) if next == instance => Some((instance, prepared)),
            (Some(next), _) => Some((next, instance::prepare(&self.sandbox, &self.origin(next)).ok())),
            (None, _) => None,
        };
    }

    pub(super) fn start_failed(&mut self, instance: Instance, reason: &str, message: String) {
        let name = self.name(instance);
        let words = format!("container {name}: {message}");
        self.tell(&Message::Warning(words));
        self.inbox.push_back(Event::StartFailed { instance, reason: reason.to_owned(), message });
    }

    fn run_hook(&mut self, instance: Instance, hook: HookKind, now: Time) {
        let container = &self.sandbox.blueprint.manifest.pod.containers[instance.container];
        let handler = match hook {
            HookKind::PostStart => container.post_start.clone(),
            HookKind::PreStop => container.pre_stop.clone(),
        };
        if let Err(error) = self.start_helper(instance, Purpose::Hook(hook), handler, None, now) {
            self.inbox.push_back(Event::HookEnded { instance, hook, result: Err(format!("{error:#}")) });
        }
    }

    fn run_probe(&mut self, instance: Instance, probe: ProbeKind, now: Time) {
        let container = &self.sandbox.blueprint.manifest.pod.containers[instance.container];
        let spec = &self.lifecycle.spec().containers[instance.container];
        let (configured, timing) = match probe {
            ProbeKind::Startup => (&container.startup, &spec.startup),
            ProbeKind::Liveness => (&container.liveness, &spec.liveness),
            ProbeKind::Readiness => (&container.readiness, &spec.readiness),
        };
        let handler = configured.as_ref().map(|(handler, _)| handler.clone());
        let timeout = timing.as_ref().map(|timing| timing.timeout);
        if let Err(error) = self.start_helper(instance, Purpose::Probe(probe), handler, timeout, now) {
            let (result, words) = (ProbeResult::Unknown, format!("{error:#}"));
            self.inbox.push_back(Event::ProbeEnded { instance, probe, result, code: None, words });
        }
    }

    fn start_helper(
        &mut self,
        instance: Instance,
        purpose: Purpose,
        handler: Option<Handler>,
        timeout: Option<Duration>,
        now: Time,
    ) -> Result<()> {
        let handler = handler.context("no such hook or probe in the manifest")?;
        let running = self
            .running
            .iter()
            .find(|running| running.instance == instance)
            .context("the container has ended")?;
        self.helpers.push(helper::start(running, purpose, &handler, timeout, now)?);
        Ok(())
    }

    /// The helper's result no longer matters: it is killed, and reaped when it has ended.
    fn abort(&mut self, instance: Instance, purpose: Purpose) -> Result<()> {
        for helper in
            self.helpers.iter().filter(|helper| helper.instance == instance && helper.purpose == purpose)
        {
            process::kill(helper.child.pidfd.as_fd())?;
        }
        Ok(())
    }

    /// SIGKILL to the first process takes a whole PID namespace along; the cgroup has what is not in one, and what a
    /// container has frozen dies only when it is thawed.
    pub(super) fn kill(&mut self, instance: Instance) -> Result<()> {
        let Some(running) = self.running.iter().find(|running| running.instance == instance) else {
            return Ok(());
        };
        process::kill(running.child.pidfd.as_fd())?;
        let trouble = running.cgroup.kill_round().err().map(|error| Fact::Trouble {
            reason: "FailedKillPod".to_owned(),
            message: format!("Container {} cannot be killed: {error:#}", running.record.container),
        });
        self.note(Some(instance), Fact::Signal { number: libc::SIGKILL, asked: false });
        if let Some(trouble) = trouble {
            self.note(Some(instance), trouble);
        }
        Ok(())
    }

    fn signal(&mut self, instance: Instance) -> Result<()> {
        let container = &self.sandbox.blueprint.manifest.pod.containers[instance.container];
        let number = container.stop_signal.unwrap_or(libc::SIGTERM);
        let target =
            self.running.iter().find(|running| running.instance == instance && running.ended.is_none());
        let Some(target) = target else { return Ok(()) }; // it ended meanwhile; its Exited is on the way
        process::signal(target.child.pidfd.as_fd(), number)?;
        self.note(Some(instance), Fact::Signal { number, asked: false });
        Ok(())
    }

    /// Replaces the record when there is something new to say.
    fn write_down(&mut self) -> Result<()> {
        let blueprint = &self.sandbox.blueprint;
        let facts = Facts {
            snapshot: self.lifecycle.snapshot(self.now()),
            host: blueprint.host(&self.container_ids),
            ephemeral: self.ephemeral.iter().map(|ephemeral| ephemeral.shown.clone()).collect(),
        };
        let instances: Vec<_> =
            self.running.iter().filter(|r| r.report.is_none()).map(|r| r.record.clone()).collect();
        let ended = self.over;
        let changed = self.written.as_ref() != Some(&facts)
            || ended != self.record.ended
            || instances.len() != self.record.instances.len()
            || !instances.iter().zip(&self.record.instances).all(|(a, b)| a.process == b.process);
        if changed {
            object::update(&mut self.record.object, self.lifecycle.spec(), self.written.as_ref(), &facts);
            self.record.instances = instances;
            self.record.ended = ended;
            // A full disk must not end the pod: readers see the record before, until there is space again.
            self.written = write_record(&blueprint.directory(), &self.record).is_ok().then_some(facts);
        }
        Ok(())
    }

    /// The last acts: the record is final, the cgroups of the containers are gone; ending this process does the rest.
    fn finish(&mut self) -> Result<()> {
        if let Some(reaper) = &self.sandbox.reaper {
            process::kill(reaper.pidfd.as_fd())?;
            process::wait(reaper, Some(Duration::from_secs(2)))?;
        }
        let blueprint = &self.sandbox.blueprint;
        let pod =
            crate::kernel::cgroup::Cgroup::new(&blueprint.hierarchy, &format!("{}/pod", blueprint.cgroup()))?;
        // Whoever removes the pod tries both again, and says so if it cannot be done.
        pod.remove(Duration::from_secs(1)).ok();
        std::fs::remove_file(blueprint.directory().join(CONTROL)).ok();
        Ok(())
    }

    /// Appends to the event log.
    pub(super) fn note(&mut self, about: Option<Instance>, fact: Fact) {
        self.note_at(self.now(), about, fact);
    }

    /// The same for what happened at another time.
    pub(super) fn note_at(&mut self, at: Time, about: Option<Instance>, fact: Fact) {
        let container = about.map(|instance| self.name(instance));
        let attempt = about.map(|instance| instance.attempt);
        self.sandbox.events.append(&Entry { at, container, attempt, fact });
    }

    pub(super) fn tell(&mut self, message: &Message) {
        if let Some(messages) = &self.sandbox.messages {
            tell(messages, message);
        }
        // The CLI that started us has heard enough after the first container, unless it is to say where somebody waits.
        if matches!(message, Message::Started) && self.sandbox.blueprint.watching.waits.is_empty() {
            self.sandbox.messages = None;
        }
    }
}
