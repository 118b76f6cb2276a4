//! What happened: the half of the event loop that looks. Everything is looked at once, in small pieces, and what it comes to
//! is put into the supervisor's inbox.

use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use super::control::{self, Asked, Reply, Request};
use super::helper::{Helper, Purpose};
use super::instance::{self, Running};
use super::start::{Message, Wait};
use super::supervisor::Supervisor;
use crate::container::child::Said;
use crate::container::launch::take_said;
use crate::kernel::poll::{self, Ready};
use crate::kernel::{process, sealed};
use crate::lifecycle::model::{Event, Exit, Fact, ProbeKind, ProbeResult};

/// At most this much output of one stream is moved before others get their turn.
const PIECE: usize = 256 * 1024;
/// After so many tries, some seconds, it is told that a cgroup does not become empty.
const TELL_AFTER: u32 = 300;
/// The most that a pipe can hold (pipe(7), pipe-max-size).
const PIPE_CAPACITY: usize = 1 << 20;
/// When nothing happens for so many milliseconds, the pod is taken to be at rest.
const QUIET: u16 = 1000;
/// How long output is left to gather. In that time a program fills half of its pipe.
const GATHERING: Duration = Duration::from_micros(600);
/// How often a cgroup that is not yet empty is looked at again.
const CLEARING: Duration = Duration::from_millis(10);

impl Supervisor {
    /// Waits until something can be read or a time has come; where something can be read.
    pub(super) fn wait(&self) -> Result<Ready> {
        let mut descriptors = Vec::new();
        let mut add = |fd| descriptors.push(PollFd::new(fd, PollFlags::POLLIN));
        add(self.signals.as_fd());
        self.sandbox.reaper.iter().for_each(|reaper| add(reaper.pidfd.as_fd()));
        self.sandbox.control.descriptors().for_each(&mut add);
        self.go().into_iter().for_each(&mut add);
        for running in &self.running {
            if running.ended.is_none() {
                add(running.child.pidfd.as_fd());
            }
            running.report.iter().for_each(|pipe| add(pipe.as_fd()));
            running.terminal.iter().for_each(|socket| add(socket.as_fd()));
        }
        for helper in &self.helpers {
            if helper.ended.is_none() {
                add(helper.child.pidfd.as_fd());
            }
            helper.output.iter().for_each(|pipe| add(pipe.as_fd()));
        }
        let outputs = self.running.iter().flat_map(|running| running.outputs.iter().flatten());
        outputs.clone().for_each(|pipe| add(pipe.as_fd()));
        let others = descriptors.len() - outputs.count();
        let is_long = !(0..=QUIET.into()).contains(&i32::from(self.time_out()));
        let mut ready = if is_long { poll::any(&mut descriptors, QUIET.into())? } else { 0 };
        if ready == 0 {
            let time_out = self.time_out();
            if is_long {
                // Most of the program is for starts, and between them it would be three quarters of what this process takes. The
                // pod is none the worse if that fails. The last thing before it waits: what is used comes back.
                sealed::forget().ok();
            }
            ready = poll::any(&mut descriptors, time_out)?;
        }
        // Who prints one line seldom prints no other: to wake up for each would cost more than the lines.
        if ready > 0 && descriptors[..others].iter().all(|one| one.any() != Some(true)) {
            std::thread::sleep(GATHERING);
        }
        Ok(Ready::of(&descriptors))
    }

    fn time_out(&self) -> PollTimeout {
        let now = self.now();
        let clearing = self.running.iter().any(|running| running.ended.is_some()).then(|| now + CLEARING);
        let deadlines =
            self.helpers.iter().filter(|helper| !helper.timed_out).filter_map(|helper| helper.deadline);
        // During a pause the clock stands, and no time comes; only what is to be cleared is looked at again.
        let wakeup =
            self.lifecycle.next_wakeup().into_iter().chain(deadlines).filter(|_| self.go().is_none());
        let next = wakeup.chain(clearing).min();
        let Some(next) = next else { return PollTimeout::NONE };
        // Rounded up: waking a moment too early would only find nothing to do, again and again.
        let millis = next.saturating_sub(now).as_nanos().div_ceil(1_000_000).min(60_000);
        PollTimeout::try_from(millis as i32).unwrap_or(PollTimeout::MAX)
    }

    /// Looks at everything once and notes what happened.
    pub(super) fn collect(&mut self) -> Result<()> {
        self.take_signals()?;
        self.hear_go()?;
        self.watch_reaper()?;
        self.answer_requests();
        self.collect_instances()?;
        self.collect_helpers()?;
        self.reap_orphans()
    }

    /// A host that shuts down asks its processes to end; for a pod that means the same as `stop`.
    fn take_signals(&mut self) -> Result<()> {
        while self.ready.has(&self.signals) && self.signals.read_signal().context("read signalfd")?.is_some()
        {
            self.inbox.push_back(Event::Stop { grace: self.lifecycle.spec().grace });
        }
        Ok(())
    }

    /// Without PID 1 of the shared namespace nothing in it can run or be started: the pod is lost.
    fn watch_reaper(&self) -> Result<()> {
        match &self.sandbox.reaper {
            Some(reaper) if self.ready.has(&reaper.pidfd) => {
                bail!("the first process of the shared process namespace was killed")
            }
            _ => Ok(()),
        }
    }

    fn answer_requests(&mut self) {
        if !self.sandbox.control.may_have_news(&self.ready) {
            return;
        }
        for Asked { request, descriptors, from } in self.sandbox.control.requests() {
            let done = match request {
                Request::Stop { grace } => {
                    let own = self.lifecycle.spec().grace;
                    let grace = grace.map_or(own, |grace| Duration::from_secs(grace.min(i32::MAX as u64)));
                    self.inbox.push_back(Event::Stop { grace });
                    Ok(())
                }
                Request::Kill { container, signal } => self.signal_as_asked(&container, signal),
                Request::Debug(wish) => self.debug(&wish, descriptors),
            };
            let reply = done.map_or_else(|error| Reply::Error(format!("{error:#}")), |()| Reply::Ok);
            control::answer(from, &reply);
        }
    }

    fn signal_as_asked(&mut self, container: &str, number: i32) -> Result<()> {
        let is_target = |running: &&Running| running.record.container == container && running.ended.is_none();
        let target = self.running.iter().find(is_target);
        let target = target.with_context(|| format!("container {container} is not running"))?;
        process::signal(target.child.pidfd.as_fd(), number)?;
        self.note(Some(target.instance), Fact::Signal { number, asked: true });
        Ok(())
    }

    fn collect_instances(&mut self) -> Result<()> {
        let now = self.wall(self.now());
        let mut still_running = Vec::new();
        for mut running in std::mem::take(&mut self.running) {
            running.take_terminal()?;
            if running.report.is_some() {
                // That it has started is told before anything it says, and before its end.
                self.hear(&mut running)?;
                still_running.push(running);
                continue;
            }
            running.pump(now, PIECE, &mut self.piece, |pipe| self.ready.has(pipe))?;
            if running.ended.is_none() && self.ready.has(&running.child.pidfd) {
                running.ended = ended(&running.child)?;
                if running.ended.is_some() {
                    // Read before the cgroup goes; a cgroup that cannot be read tells of no kills.
                    running.oom_killed = running.cgroup.oom_kills().is_ok_and(|kills| kills > 0);
                }
            }
            let over = running.ended.is_some() && self.clear(&mut running);
            match running.ended {
                Some(exit) if over => self.instance_ended(running, exit, now)?,
                _ => still_running.push(running),
            }
        }
        // Starting happens while settling, so nothing was added meanwhile.
        self.running = still_running;
        Ok(())
    }

    /// Clears the cgroup of an instance that has ended; what does not go away is tried again, and told of once.
    fn clear(&mut self, running: &mut Running) -> bool {
        match running.clear() {
            Ok(gone) => gone,
            Err(error) => {
                if running.clearings == TELL_AFTER {
                    let message =
                        format!("Container {} leaves something behind: {error:#}", running.record.container);
                    let reason = "FailedKillPod".to_owned();
                    self.note(Some(running.instance), Fact::Trouble { reason, message });
                }
                false
            }
        }
    }

    /// Listens to a child that is still on its way: it fails, and then exits, or becomes the container.
    fn hear(&mut self, running: &mut Running) -> Result<()> {
        let Some(report) = &mut running.report else { return Ok(()) };
        let open = instance::read_available(report, &mut running.report_text, 64 * 1024)?;
        for said in take_said(&mut running.report_text)? {
            match said {
                Said::Performed { step, does, at, took } => {
                    let took = Duration::from_micros(took);
                    let fact = Fact::Step { step, does, took, failure: None, errno: 0 };
                    self.note_at(Duration::from_micros(at), Some(running.instance), fact);
                }
                Said::Waits { step } => {
                    let container = Some(running.record.container.clone());
                    self.tell(&Message::Waits(Wait { container, step, pid: running.record.process.pid }));
                }
                Said::Failed(report) => {
                    if let (true, Some(step)) = (self.sandbox.blueprint.watching.trace, report.step.clone()) {
                        let (failure, errno) = (Some(report.error.clone()), report.errno);
                        let fact = Fact::Step {
                            step,
                            does: report.does.clone(),
                            took: Duration::ZERO,
                            failure,
                            errno,
                        };
                        self.note(Some(running.instance), fact);
                    }
                    running.failure = Some(report);
                }
            }
        }
        if !open {
            running.report = None;
            match &running.failure {
                Some(_) => {}
                None if self.is_ephemeral(running.instance) => self.ephemeral_started(running.instance),
                None => self.inbox.push_back(Event::Started(running.instance)),
            }
        }
        Ok(())
    }

    fn instance_ended(
        &mut self,
        mut running: Running,
        (code, signal): (i32, Option<i32>),
        now: SystemTime,
    ) -> Result<()> {
        // What it left in the pipes is at most their capacity; whoever still writes there is not this instance. A terminal gives
        // its rest in several pieces.
        let mut moved = 0;
        while moved < PIPE_CAPACITY {
            match running.pump(now, PIPE_CAPACITY, &mut self.piece, |_| true)? {
                0 => break,
                more => moved += more,
            }
        }
        running.log.finish(now);
        if self.is_ephemeral(running.instance) {
            self.ephemeral_ended(&running, code, signal);
            return Ok(());
        }
        if let Some(failure) = running.failure {
            let reason = if failure.is_of_exec() { "StartError" } else { "RunContainerError" };
            self.start_failed(running.instance, reason, format!("{}: {}", failure.does, failure.error));
            return Ok(());
        }
        let container = &self.sandbox.blueprint.manifest.pod.containers[running.instance.container];
        let tail = || super::message::log_tail(&running);
        let message = super::message::read(container, &running.message_file, code, tail);
        let exit =
            Exit { code, signal, oom_killed: running.oom_killed && signal == Some(libc::SIGKILL), message };
        self.inbox.push_back(Event::Exited { instance: running.instance, exit });
        Ok(())
    }

    fn collect_helpers(&mut self) -> Result<()> {
        let now = self.now();
        let mut still_running = Vec::new();
        for mut helper in std::mem::take(&mut self.helpers) {
            if helper.ended.is_none() {
                helper.ended = ended(&helper.child)?.map(|(code, _)| code);
            }
            // Afterwards, so that nothing is missed that it has printed before its end.
            helper.pump()?;
            if helper.ended.is_none()
                && !helper.timed_out
                && helper.deadline.is_some_and(|deadline| deadline <= now)
            {
                helper.timed_out = true;
                process::kill(helper.child.pidfd.as_fd())?;
            }
            // A background child that holds the pipe open does not hold up the result (R80).
            match helper.ended {
                Some(code) => self.helper_ended(helper, code),
                None => still_running.push(helper),
            }
        }
        self.helpers = still_running;
        Ok(())
    }

    fn helper_ended(&mut self, mut helper: Helper, code: i32) {
        let container = &self.sandbox.blueprint.manifest.pod.containers[helper.instance.container];
        let instance = helper.instance;
        let words = helper.words();
        let not_executed = helper.not_executed();
        self.inbox.push_back(match helper.purpose {
            Purpose::Hook(hook) => {
                let result = match not_executed {
                    Some(why) => Err(why),
                    None if code == 0 => Ok(words),
                    // The exit code of what is no command means nothing to anybody.
                    None if helper.report.is_none() && !words.is_empty() => Err(words),
                    None => Err(failure_words(code, &words)),
                };
                Event::HookEnded { instance, hook, result }
            }
            Purpose::Probe(probe) => {
                let handler = match probe {
                    ProbeKind::Startup => &container.startup,
                    ProbeKind::Liveness => &container.liveness,
                    ProbeKind::Readiness => &container.readiness,
                };
                let says = handler.as_ref().and_then(|(handler, _)| helper.says(handler));
                let result = match code {
                    _ if helper.timed_out => ProbeResult::Failure,
                    _ if not_executed.is_some() => ProbeResult::Unknown,
                    0 => ProbeResult::Success,
                    _ => says.unwrap_or(ProbeResult::Failure),
                };
                // Only a command that ran and ended by itself has an exit code to tell.
                let code = match not_executed {
                    None if helper.report.is_some() && !helper.timed_out => Some(code),
                    _ => None,
                };
                let words = match not_executed {
                    _ if helper.timed_out => "command timed out".to_owned(),
                    Some(why) => why,
                    None => words,
                };
                Event::ProbeEnded { instance, probe, result, code, words }
            }
        });
    }

    /// As PID 1 this process also inherits children of helpers; nobody else would reap them.
    fn reap_orphans(&mut self) -> Result<()> {
        let ours: Vec<i32> = self
            .running
            .iter()
            .filter(|running| running.ended.is_none())
            .map(|running| running.child.pid)
            .chain(self.helpers.iter().map(|helper| helper.child.pid))
            .chain(self.sandbox.reaper.iter().map(|reaper| reaper.pid))
            .collect();
        loop {
            // WNOWAIT: look first, and take only what nobody else waits for through its pidfd.
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            match waitid(Id::All, flags) {
                Ok(status) => match status.pid() {
                    Some(pid) if !ours.contains(&pid.as_raw()) => {
                        waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG)
                            .context("reap orphan")?;
                    }
                    _ => return Ok(()),
                },
                Err(nix::Error::ECHILD) => return Ok(()),
                Err(error) => return Err(error).context("look for orphans"),
            }
        }
    }
}

/// Exit code and signal of a child that has ended.
fn ended(child: &process::Child) -> Result<Option<(i32, Option<i32>)>> {
    match waitid(Id::PIDFd(child.pidfd.as_fd()), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
        Ok(WaitStatus::StillAlive) | Err(nix::Error::EINTR) => Ok(None),
        Ok(status) => Ok(Some(process::exit_code(status))),
        Err(error) => Err(error).context("wait for child"),
    }
}

fn failure_words(code: i32, output: &str) -> String {
    if output.is_empty() { format!("exit code {code}") } else { format!("exit code {code}: {output}") }
}
