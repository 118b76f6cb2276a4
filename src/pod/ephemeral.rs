//! Ephemeral containers: those that `debug` adds to a running pod. They are never restarted, nobody waits for them, they count
//! neither for the phase nor for readiness, and they end with the pod at the latest. So the lifecycle knows nothing of them:
//! this file has all of their life. In an [`Instance`] they are numbered behind the containers of the manifest.

use std::fs;
use std::io::{PipeWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde_json::json;

use super::control::{Debug, News};
use super::instance::{self, Origin, Running, Streams};
use super::start::Bundle;
use super::store::ContainerName;
use super::supervisor::Supervisor;
use crate::bundle;
use crate::container::child::Report;
use crate::container::launch::Stdio;
use crate::kernel::{mount, process};
use crate::lifecycle::model::{ContainerState, Fact, Instance, Kind, Terminated, Time};
use crate::manifest::read::TRACERS;
use crate::manifest::{Container, ContainerSecurity, MessagePolicy, Resources, Spanned, defaults, names};
use crate::object::{ContainerHost, EphemeralContainer};

/// One of them.
pub struct Ephemeral {
    container: Container,
    /// What the Pod object says of it.
    pub(super) shown: EphemeralContainer,
    /// Who hears how it fares, for as long as somebody does.
    caller: Option<PipeWriter>,
    /// What he has not heard yet.
    news: Vec<News>,
    /// It has been sent SIGTERM, with the pod.
    stopped: bool,
}

impl Supervisor {
    /// Adds an ephemeral container and makes its process; how that fares, the caller hears on his pipe.
    pub(super) fn debug(&mut self, wish: &Debug, descriptors: Vec<OwnedFd>) -> Result<()> {
        ensure!(!self.terminating && self.phase.is_none(), "the pod is being terminated");
        names::label(&wish.name).map_err(|why| anyhow::anyhow!("container name {:?} {why}", wish.name))?;
        let taken = self.record.containers.iter().any(|container| container.name == wish.name);
        ensure!(!taken, "container {} is there already", wish.name);
        let target = wish.target.as_deref().map(|name| self.target(name)).transpose()?;
        let bundle = read_bundle(&wish.bundle)?;
        let (caller, streams) = streams(wish, descriptors)?;
        let container = container(wish);

        let number = self.lifecycle.spec().containers.len() + self.ephemeral.len();
        let instance = Instance { container: number, attempt: 0 };
        let at = self.now();
        let origin = Origin { instance, container: &container, bundle: &bundle, target, streams };
        let running = instance::prepare(&self.sandbox, &origin)
            .and_then(|prepared| instance::start(&self.sandbox, origin, prepared))
            .map_err(|failure| failure.error)?;

        let id = format!("barepod://{}_{}_0", self.sandbox.blueprint.uid, container.name);
        let shown = EphemeralContainer {
            spec: spec(wish),
            state: ContainerState::Waiting { reason: "ContainerCreating".to_owned(), message: None },
            host: ContainerHost {
                container_id: Some(id),
                image: wish.image.clone(),
                image_id: wish.bundle.display().to_string(),
            },
        };
        self.record.containers.push(ContainerName { name: container.name.clone(), app: false });
        self.ephemeral.push(Ephemeral {
            container,
            shown,
            caller: Some(caller),
            news: Vec::new(),
            stopped: false,
        });
        self.running.push(running);
        self.note_at(at, Some(instance), Fact::Starting);
        self.news = true;
        Ok(())
    }

    /// The PID namespace of a container of the manifest.
    fn target(&self, name: &str) -> Result<PathBuf> {
        let is_target = |running: &&Running| {
            running.record.container == name && running.report.is_none() && running.ended.is_none()
        };
        let target =
            self.running.iter().filter(|running| !self.is_ephemeral(running.instance)).find(is_target);
        let target = target.with_context(|| format!("target container {name} is not running"))?;
        // The new container is born into that namespace before it has a root of its own.
        let sets = target.process.capabilities().as_ref().and_then(|sets| sets.bounding().as_ref());
        let has = |tracer: &&&str| sets.into_iter().flatten().any(|one| one.to_string().ends_with(**tracer));
        if let Some(tracer) = TRACERS.iter().find(has) {
            bail!(
                "target container {name} has the capability {tracer}: it would reach into containers that are being set up"
            );
        }
        Ok(PathBuf::from(format!("/proc/{}/ns/pid", target.record.process.pid)))
    }

    /// It is none of the manifest's.
    pub(super) fn is_ephemeral(&self, instance: Instance) -> bool {
        instance.container >= self.lifecycle.spec().containers.len()
    }

    fn ephemeral(&mut self, instance: Instance) -> Option<&mut Ephemeral> {
        let number = instance.container.checked_sub(self.lifecycle.spec().containers.len())?;
        self.ephemeral.get_mut(number)
    }

    /// The name of the container of an instance.
    pub(super) fn name(&self, instance: Instance) -> String {
        let own = &self.lifecycle.spec().containers;
        let added = || self.ephemeral.get(instance.container - own.len());
        let name = match own.get(instance.container) {
            Some(container) => Some(&container.name),
            None => added().map(|ephemeral| &ephemeral.container.name),
        };
        name.cloned().unwrap_or_default()
    }

    /// Its program runs.
    pub(super) fn ephemeral_started(&mut self, instance: Instance) {
        let started_at = self.now();
        self.note_at(started_at, Some(instance), Fact::Started);
        self.news = true;
        if let Some(ephemeral) = self.ephemeral(instance) {
            ephemeral.shown.state = ContainerState::Running { started_at };
            ephemeral.news.push(News::Started);
        }
    }

    /// Nothing of it is left: it has ended, or has never become the container.
    pub(super) fn ephemeral_ended(&mut self, running: &Running, code: i32, signal: Option<i32>) {
        let (instance, now) = (running.instance, self.now());
        let oom = running.oom_killed && signal == Some(libc::SIGKILL);
        let Some(ephemeral) = self.ephemeral(instance) else { return };
        let (ended, fact, news) = match &running.failure {
            Some(failure) => ephemeral.not_started(failure, code, now),
            None => ephemeral.ended(running, code, signal, oom, now),
        };
        ephemeral.shown.state = ContainerState::Terminated(ended);
        ephemeral.news.push(news);
        let layer = self.sandbox.scratch.join("layers").join(&running.record.container);
        mount::detach(&layer).ok(); // what is in it goes with the pod at the latest
        self.note_at(now, Some(instance), fact);
        self.news = true;
    }

    /// The pod's termination begins, or is shortened: they hear of it together with the others, and nobody waits for them.
    pub(super) fn terminate_ephemeral(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.terminating, true) {
            return Ok(());
        }
        for instance in self.ephemeral_instances() {
            let running = self.running.iter().find(|running| running.instance == instance);
            let Some(running) = running.filter(|running| running.ended.is_none()) else { continue };
            process::signal(running.child.pidfd.as_fd(), libc::SIGTERM)?;
            self.note(Some(instance), Fact::Signal { number: libc::SIGTERM, asked: false });
            if let Some(ephemeral) = self.ephemeral(instance) {
                ephemeral.stopped = true;
            }
        }
        Ok(())
    }

    /// The pod has ended.
    pub(super) fn kill_ephemeral(&mut self) -> Result<()> {
        for instance in self.ephemeral_instances() {
            let ends = |running: &Running| running.instance == instance && running.ended.is_none();
            if self.running.iter().any(ends) {
                self.kill(instance)?;
            }
        }
        Ok(())
    }

    fn ephemeral_instances(&self) -> Vec<Instance> {
        let all = self.running.iter().map(|running| running.instance);
        all.filter(|instance| self.is_ephemeral(*instance)).collect()
    }
}

impl Ephemeral {
    /// Tells the caller what has happened, once that stands in the record: whoever hears of a container can ask for it.
    pub(super) fn tell_caller(&mut self) {
        for news in std::mem::take(&mut self.news) {
            let Some(caller) = &mut self.caller else { return };
            let mut line = serde_json::to_vec(&news).unwrap_or_default(); // strings and numbers: it cannot fail
            line.push(b'\n');
            caller.write_all(&line).ok(); // he may have gone, or not listen: that is his affair
            if news != News::Started {
                self.caller = None;
            }
        }
    }

    fn not_started(&self, failure: &Report, code: i32, now: Time) -> (Terminated, Fact, News) {
        let of_exec = failure.is_of_exec();
        let reason = if of_exec { "StartError" } else { "RunContainerError" }.to_owned();
        let message = format!("{}: {}", failure.does, failure.error);
        let ended = Terminated {
            exit_code: 128, // as containerd has it
            signal: None,
            reason: reason.clone(),
            message: Some(message.clone()),
            started_at: now,
            finished_at: now,
        };
        let news = News::Failed { code: if of_exec { code } else { 125 }, error: message.clone() };
        (ended, Fact::StartFailed { reason, message }, news)
    }

    fn ended(
        &self,
        running: &Running,
        code: i32,
        signal: Option<i32>,
        oom: bool,
        now: Time,
    ) -> (Terminated, Fact, News) {
        let started_at = match self.shown.state {
            ContainerState::Running { started_at } => started_at,
            _ => now,
        };
        let reason = match code {
            _ if oom => "OOMKilled",
            0 => "Completed",
            _ => "Error",
        };
        let reason = reason.to_owned();
        let tail = || super::message::log_tail(running);
        let message = super::message::read(&self.container, &running.message_file, code, tail);
        let ended = Terminated {
            exit_code: code,
            signal,
            reason: reason.clone(),
            message,
            started_at,
            finished_at: now,
        };
        let fact = Fact::Ended { code, signal, reason, stopped: self.stopped, ran: now - started_at };
        (ended, fact, News::Ended { code })
    }
}

/// Reads the bundle that the caller has found.
fn read_bundle(path: &Path) -> Result<Bundle> {
    ensure!(path.is_absolute(), "bundle {} is not an absolute path", path.display());
    let config = path.join("config.json");
    let read = || -> Result<_> {
        let spec = bundle::parse_config(&fs::read_to_string(&config)?)
            .map_err(|problem| anyhow::anyhow!("{}", problem.message))?;
        bundle::check(&spec)?;
        Ok(spec)
    };
    let spec = read().with_context(|| format!("read {}", config.display()))?;
    Ok(Bundle { path: path.to_owned(), spec })
}

/// The caller's pipe, and where the streams lead.
fn streams(wish: &Debug, descriptors: Vec<OwnedFd>) -> Result<(PipeWriter, Streams)> {
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().context("a descriptor is missing");
    let caller = next()?;
    // Who does not read holds nobody up.
    fcntl(&caller, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("make the caller's pipe non-blocking")?;
    let streams = match (wish.tty, wish.stdin) {
        (true, _) => Streams::Terminal(next()?),
        (false, true) => Streams::Given(Stdio { input: next()?, output: next()?, error: next()? }),
        (false, false) => Streams::Log,
    };
    Ok((caller.into(), streams))
}

/// As a manifest would have it: what an ephemeral container may not have, it has not.
fn container(wish: &Debug) -> Container {
    Container {
        kind: Kind::App,
        name: wish.name.clone(),
        image: Spanned { value: wish.image.clone(), line: 1, column: 1 },
        command: wish.command.clone(),
        args: None,
        working_dir: None,
        tty: wish.tty,
        env: Vec::new(),
        ports: Vec::new(),
        resources: Resources::default(),
        mounts: Vec::new(),
        post_start: None,
        pre_stop: None,
        startup: None,
        liveness: None,
        readiness: None,
        restart_policy: None,
        rules: Vec::new(),
        stop_signal: None,
        termination_message_path: "/dev/termination-log".to_owned(),
        termination_message_policy: MessagePolicy::File,
        security: ContainerSecurity::default(),
    }
}

/// Its entry in `spec.ephemeralContainers`.
fn spec(wish: &Debug) -> serde_json::Value {
    let mut entry = serde_json::Map::new();
    entry.insert("name".to_owned(), wish.name.clone().into());
    entry.insert("image".to_owned(), wish.image.clone().into());
    let mut insert = |key: &str, value: Option<serde_json::Value>| {
        entry.extend(value.map(|value| (key.to_owned(), value)));
    };
    insert("command", wish.command.as_ref().map(|command| json!(command)));
    insert("stdin", wish.stdin.then_some(true.into()));
    insert("tty", wish.tty.then_some(true.into()));
    insert("targetContainerName", wish.target.as_ref().map(|target| json!(target)));
    defaults::container(&mut entry);
    entry.into()
}
