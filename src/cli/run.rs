//! `barepod run`

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;

use super::load;
use super::show::Show;
use super::step::{Answer, Pauses};
use crate::kernel::cgroup::Hierarchy;
use crate::kernel::machine::Machine;
use crate::kernel::watch::Watch;
use crate::kernel::{poll, process, sealed};
use crate::lifecycle::model::Backoff;
use crate::plan::Step;
use crate::plan::sandbox::SandboxStep;
use crate::pod::control::{self, Request};
use crate::pod::remove;
use crate::pod::start::{self, Blueprint, Message, SANDBOX_DEADLINE, Started, Wait, Watching};
use crate::pod::store::{Record, Store, valid_name};

/// Start a pod. In the foreground: lifecycle lines and container output; Ctrl-C stops it, a second one at once.
#[derive(Debug, Args)]
pub struct Options {
    /// Return once the first container process has been started, and print the pod's name
    #[arg(short, long)]
    detach: bool,
    /// Remove the record and the logs when the pod has ended
    #[arg(long, conflicts_with = "detach")]
    rm: bool,
    /// Another name than the manifest's
    #[arg(long)]
    name: Option<String>,
    /// Where to look for bundles
    #[arg(long, value_name = "DIR")]
    bundles: Vec<PathBuf>,
    /// Cap of the restart back-off; below 10 s also its first delay
    #[arg(long, value_name = "D", value_parser = super::duration)]
    crash_loop_max: Option<Duration>,
    /// Show every kernel step as it happens, with its duration
    #[arg(long)]
    trace: bool,
    /// Pause at each phase, say what exists and how to look at it; the pod's clock stands meanwhile
    #[arg(long, conflicts_with_all = ["detach", "wait_at"])]
    step: bool,
    /// Stop and wait at this step (sandbox.STEP or container.STEP, see docs/steps.md), to look around or to pull the plug
    #[arg(long, value_name = "STEP", value_parser = known_step)]
    wait_at: Option<String>,
    /// Manifest; - is standard input
    file: PathBuf,
}

/// How long `--wait-at` leaves one to look around.
const LOOK_AROUND: Duration = Duration::from_secs(24 * 3600);
/// How long `-d` waits for the first container.
const DETACH_DEADLINE: Duration = Duration::from_secs(30);

/// Runs the verb.
pub fn main(store: &Store, options: Options, verbose: bool) -> Result<i32> {
    super::need_root("run")?;
    // What containers get to see of this process they cannot overwrite.
    sealed::protect()?;
    let Some(mut loaded) = load::load(&options.file, &options.bundles)? else { return Ok(super::USAGE) };
    if let Some(name) = &options.name {
        ensure!(valid_name(name), "--name {name:?}: not a DNS-1123 subdomain");
        loaded.manifest.rename(name);
    }
    let name = loaded.manifest.pod.name.clone();
    let mut watching =
        Watching { trace: options.trace, waits: options.wait_at.iter().cloned().collect(), go: None };
    let pauses = if options.step { Some(Pauses::begin(&name, &mut watching)?) } else { None };
    let blueprint = Blueprint {
        store: store.clone(),
        name: name.clone(),
        uid: start::new_uid()?,
        manifest: loaded.manifest,
        bundles: loaded.bundles,
        backoff: backoff(options.crash_loop_max),
        watching,
        started: SystemTime::now(),
        clock: Instant::now(),
        hierarchy: Hierarchy::detect()?,
        machine: Machine::read()?,
    };
    // Blocked before the pod init exists, so that none is lost between its start and our listening.
    let signals = poll::signals(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])?;
    let mut session = Session::start(store, blueprint, &options, pauses, signals)
        .with_context(|| format!("start {name}"))?;
    if verbose {
        session.describe()?;
    }
    if options.detach {
        session.wait_for_first(DETACH_DEADLINE)?;
        writeln!(std::io::stdout(), "{name}").context("print the name")?;
        return Ok(0);
    }
    let code = session.foreground()?;
    if options.rm {
        super::tell_killed(&name, &remove::pod(store, &name).with_context(|| format!("rm {name}"))?);
    }
    Ok(code)
}

/// `sandbox.volume`, `container.pivot-root`: a step that exists.
fn known_step(text: &str) -> Result<String, String> {
    let known = match text.split_once('.') {
        Some(("sandbox", name)) => SandboxStep::NAMES.contains(&name),
        Some(("container", name)) => Step::NAMES.contains(&name),
        _ => false,
    };
    let names = || {
        [
            SandboxStep::NAMES.map(|n| format!("sandbox.{n}")).join(" "),
            Step::NAMES.map(|n| format!("container.{n}")).join(" "),
        ]
    };
    if known { Ok(text.to_owned()) } else { Err(format!("no such step; there are: {}", names().join(" "))) }
}

/// `--crash-loop-max 2s`: 0, 2, 2, …
fn backoff(max: Option<Duration>) -> Backoff {
    let (first, cap) = (Duration::from_secs(10), Duration::from_secs(300));
    let max = max.unwrap_or(cap);
    Backoff { first: first.min(max), max }
}

/// A pod that this process has started.
struct Session<'a> {
    store: &'a Store,
    name: String,
    started: Started,
    /// What the pod init said and has not been looked at.
    heard: BufReader<std::io::PipeReader>,
    /// SIGINT, SIGTERM, SIGHUP.
    signals: SignalFd,
    /// What happens is shown on the terminal; `None` with `-d`, and when nobody reads any more.
    show: Option<Show>,
    /// News of the pod's files; `None` with `-d`, since to close it takes as long as a pod's start.
    watch: Option<Watch>,
    /// The pod init says nothing any more.
    heard_all: bool,
    /// `--step`.
    pauses: Option<Pauses>,
}

impl<'a> Session<'a> {
    /// Starts the pod and waits until its sandbox is made.
    fn start(
        store: &'a Store,
        blueprint: Blueprint,
        options: &Options,
        pauses: Option<Pauses>,
        signals: SignalFd,
    ) -> Result<Session<'a>> {
        let name = blueprint.name.clone();
        let started = start::start(blueprint)?;
        let heard = BufReader::new(started.messages.try_clone().context("copy message pipe")?);
        let show = if options.detach { None } else { Some(Show::new(store, &name)?) };
        let watch = (!options.detach).then(|| Watch::new(&[&store.pod(&name)])).transpose()?;
        let mut session =
            Session { store, name, started, heard, signals, show, watch, heard_all: false, pauses };
        let mut deadline = Instant::now() + SANDBOX_DEADLINE;
        loop {
            match session.next_message(deadline)? {
                Some(Message::Sandbox) => return Ok(session),
                Some(Message::Failed(error)) => {
                    session.catch_up(false);
                    return session.give_up(&error);
                }
                Some(Message::Waits(wait)) => {
                    if session.waits(&wait)? == Answer::End {
                        return session.give_up("ended at a pause");
                    }
                    deadline += LOOK_AROUND;
                }
                Some(Message::Started | Message::Warning(_)) => {}
                None => return session.give_up("the pod init died, or did not make its sandbox in time"),
            }
        }
    }

    /// The pod init has failed: nothing of the pod may stay.
    fn give_up(&mut self, error: &str) -> Result<Session<'a>> {
        process::kill(self.started.init.pidfd.as_fd())?;
        process::wait(&self.started.init, Some(Duration::from_secs(2)))?;
        if let Err(cleaning) = remove::pod(self.store, &self.name) {
            bail!("{error}; and cleaning up failed: {cleaning:#}");
        }
        bail!("{error}")
    }

    /// The next message; `None` at the end of the pipe or of the time.
    fn next_message(&mut self, deadline: Instant) -> Result<Option<Message>> {
        if self.heard.buffer().is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if !process::readable(self.started.messages.as_fd(), left)? {
                return Ok(None);
            }
        }
        let mut line = String::new();
        self.heard.by_ref().take(64 * 1024).read_line(&mut line).context("listen to the pod init")?;
        if line.is_empty() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&line).context("understand the pod init")?))
    }

    /// What the pod is made of and where its files are, for `-v`.
    fn describe(&self) -> Result<()> {
        let record = self.store.load(&self.name)?;
        let init = record.init.as_ref().map_or(0, |init| init.pid);
        let say = |what: &str, value: &str| super::say(&format!("barepod: {what:<11} {value}"));
        say("pod init", &format!("process {init}"));
        say("namespaces", &format!("/proc/{init}/ns"));
        say("cgroup", &record.cgroup);
        say("state", &self.store.pod(&self.name).display().to_string());
        say("logs", &record.logs.display().to_string());
        Ok(())
    }

    /// Until the first container has been started, could not be started, or the time is over: all three are exit 0,
    /// because the pod goes on as a kubelet's would.
    fn wait_for_first(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            match self.next_message(deadline)? {
                Some(Message::Started) => return Ok(()),
                Some(Message::Warning(warning)) => {
                    super::say(&format!("barepod: warning: start {}: {warning}", self.name));
                    return Ok(());
                }
                Some(Message::Waits(wait)) => drop(self.waits(&wait)?),
                Some(Message::Sandbox | Message::Failed(_)) => {}
                None if Instant::now() >= deadline => {
                    let record = self.store.load(&self.name)?;
                    super::say(&format!(
                        "barepod: warning: start {}: no container has been started yet ({})",
                        self.name,
                        record.phase()
                    ));
                    return Ok(());
                }
                None => bail!("start {}: the pod init died", self.name),
            }
        }
    }

    /// Somebody waits before a step: to be looked at with `--step`, or for fault injection.
    fn waits(&mut self, wait: &Wait) -> Result<Answer> {
        self.catch_up(false);
        let Some(pauses) = &mut self.pauses else {
            let init = self.started.init.pid;
            let layer = if wait.container.is_some() { "container" } else { "sandbox" };
            let step = &wait.step;
            super::say(&format!(
                "barepod: {} waits at {layer}.{step}; its pod init is process {init}",
                self.name
            ));
            return Ok(Answer::Go);
        };
        pauses.pause(wait, &self.started.init, &self.signals)
    }

    /// Shows what is new. When nobody reads any more there is nothing left to show; the pod runs on.
    fn catch_up(&mut self, over: bool) {
        let (Some(show), Some(watch)) = (&mut self.show, &self.watch) else { return };
        let shown = show.catch_up(watch).and_then(|()| if over { show.finish() } else { Ok(()) });
        if shown.is_err() {
            self.show = None;
        }
    }

    /// Shows what happens until the pod has ended; the exit code is the pod's.
    fn foreground(&mut self) -> Result<i32> {
        let mut interrupted = false;
        loop {
            // Looked at first: what was written before the end is shown after it.
            let over = process::readable(self.started.init.pidfd.as_fd(), Duration::ZERO)?;
            let mut stop = self.hear_of_waits()?;
            self.catch_up(over);
            if over {
                break;
            }
            while let Ok(Some(_)) = self.signals.read_signal() {
                stop = true;
            }
            if stop {
                // The first asks politely; the second has had enough.
                let grace = interrupted.then_some(0);
                interrupted = true;
                // A pod that has ended meanwhile does not answer, and need not.
                if let Err(error) = control::ask(&self.store.pod(&self.name), &Request::Stop { grace })
                    && !process::readable(self.started.init.pidfd.as_fd(), Duration::ZERO)?
                {
                    super::say(&format!("barepod: stop {}: {error:#}", self.name));
                }
            }
            let others: [BorrowedFd; 3] =
                [self.signals.as_fd(), self.started.init.pidfd.as_fd(), self.started.messages.as_fd()];
            // The message pipe has ended when nothing is said any more; then it is not news.
            let others = if self.heard_all { &others[..2] } else { &others[..] };
            let watch = self.watch.as_ref().context("nothing is watched")?;
            watch.wait(others, Duration::from_millis(500))?;
        }
        process::wait(&self.started.init, Some(Duration::from_secs(2)))?;
        let record = self.store.load(&self.name)?;
        super::tell_killed(&self.name, &remove::cgroups_of_ended(self.store, &self.name, &record)?);
        if !record.ended {
            bail!("pod {} was lost: its init process was killed", self.name);
        }
        Ok(exit_code(&record))
    }

    /// Nothing but waits is said after the first container has started. True when the pod is to be ended.
    fn hear_of_waits(&mut self) -> Result<bool> {
        let mut end = false;
        while !self.heard_all
            && (!self.heard.buffer().is_empty()
                || process::readable(self.started.messages.as_fd(), Duration::ZERO)?)
        {
            match self.next_message(Instant::now())? {
                Some(Message::Waits(wait)) => end |= self.waits(&wait)? == Answer::End,
                Some(_) => {}
                None => self.heard_all = true,
            }
        }
        Ok(end)
    }
}

/// 0 if the pod Succeeded, else the exit code of the first regular container that failed.
fn exit_code(record: &Record) -> i32 {
    if record.phase() == "Succeeded" {
        return 0;
    }
    let statuses = record.object["status"]["containerStatuses"].as_array();
    let mut codes = statuses
        .into_iter()
        .flatten()
        .filter_map(|status| status["state"]["terminated"]["exitCode"].as_i64());
    codes.find(|code| *code != 0).unwrap_or(1) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_crash_loop_max_is_also_the_first_delay() {
        let seconds = Duration::from_secs;
        let short = backoff(Some(seconds(2)));
        assert_eq!((short.first, short.max), (seconds(2), seconds(2)));
        let longer = backoff(Some(seconds(60)));
        assert_eq!((longer.first, longer.max), (seconds(10), seconds(60)));
        let default = backoff(None);
        assert_eq!((default.first, default.max), (seconds(10), seconds(300)));
    }
}
