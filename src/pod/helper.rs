//! Hooks and probes: short-lived processes that the pod init forks and never waits for.

use std::io::PipeReader;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::http::{self, Answer, Get};
use super::instance::{Running, read_available};
use crate::container::child::Said;
use crate::container::exec::{self, Exec, Joins};
use crate::container::launch::{Launched, Stdio, null, take_said};
use crate::kernel::namespace::CONTAINER;
use crate::kernel::process::{self, Child, Placement};
use crate::lifecycle::model::{HookKind, Instance, ProbeKind, ProbeResult, Time};
use crate::manifest::Handler;
use crate::plan;
use crate::words::cut;

/// What a helper was started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A hook.
    Hook(HookKind),
    /// A probe.
    Probe(ProbeKind),
}

/// A helper that runs.
pub struct Helper {
    /// For which instance.
    pub instance: Instance,
    /// For what.
    pub purpose: Purpose,
    /// The process.
    pub child: Child,
    /// Its output and, for one that is not a command, its error.
    pub output: Option<PipeReader>,
    /// The first part of that output.
    pub text: Vec<u8>,
    /// What the child of an exec says if it cannot become the command.
    pub report: Option<PipeReader>,
    /// When it is killed.
    pub deadline: Option<Time>,
    /// It was killed because of its deadline.
    pub timed_out: bool,
    /// How it ended.
    pub ended: Option<i32>,
}

/// Output of a helper that is kept; the rest is read and dropped, so that the helper never blocks on it.
const KEPT_OUTPUT: usize = 10 * 1024;

/// Of that, what is told, in characters: an event message of Kubernetes has at most 1024 bytes.
const WORDS: usize = 1000;

/// Exit code of a forked helper whose success is worth a warning.
const WARNING: i32 = 3;
/// Exit code of a forked helper that has found nothing out.
const UNKNOWN: i32 = 4;
/// A forked helper keeps to its time by itself, and knows what it was doing when that was over; it is killed so much later.
const SLACK: Duration = Duration::from_secs(1);

/// Starts a hook or probe.
pub fn start(
    running: &Running,
    purpose: Purpose,
    handler: &Handler,
    timeout: Option<Duration>,
    now: Time,
) -> Result<Helper> {
    let (output, writer) = std::io::pipe().context("make output pipe")?;
    fcntl(output.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("make output pipe non-blocking")?;
    let (child, report, slack) = match handler {
        Handler::Exec(command) => {
            let steps = plan::exec_steps(&running.process, running.filter.as_ref(), command)?;
            let stdio = Stdio { input: null()?, output: writer.try_clone()?.into(), error: writer.into() };
            let container = running.child.pidfd.as_fd();
            let command = Exec {
                container,
                cgroup: &running.cgroup,
                namespaces: CONTAINER,
                steps: &steps,
                stdio,
                terminal: None,
                preserve: &[],
                root: None,
                maps: None,
                oom_score_adj: None,
                resource_group: None,
            };
            let Launched { child, report } = exec::spawn(command, Joins::Helper)?;
            fcntl(report.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                .context("make report pipe non-blocking")?;
            (child, Some(report), Duration::ZERO)
        }
        Handler::HttpGet { .. } | Handler::Tcp { .. } | Handler::Sleep(_) => {
            let is_hook = matches!(purpose, Purpose::Hook(_));
            let timeout = timeout.unwrap_or(Duration::from_secs(3600)); // a hook ends with its container at the latest
            let child = process::spawn(
                &Placement { keep: Some(vec![writer.as_raw_fd()]), ..Placement::default() },
                move || network(handler, is_hook, timeout, writer),
            )?;
            (child, None, SLACK)
        }
    };
    let deadline = timeout.map(|timeout| now + timeout + slack);
    let text = Vec::new();
    Ok(Helper {
        instance: running.instance,
        purpose,
        child,
        output: Some(output),
        text,
        report,
        deadline,
        timed_out: false,
        ended: None,
    })
}

/// In the helper: HTTP or TCP from inside the pod's network namespace. The exit code is the result, the pipe has the why.
fn network(handler: &Handler, is_hook: bool, timeout: Duration, mut say: std::io::PipeWriter) -> i32 {
    use std::io::Write;
    const POD: &str = "127.0.0.1";
    let result = match handler {
        Handler::HttpGet { https, host, port, path, headers } => {
            let host = host.as_deref().unwrap_or(POD);
            let get = Get { https: *https, host, port: *port, path, headers, timeout };
            if is_hook { http::hook(&get).map(|()| Answer::Good) } else { http::probe(&get) }
        }
        Handler::Tcp { host, port } => {
            http::connect(host.as_deref().unwrap_or(POD), *port, timeout).map(|()| Answer::Good)
        }
        // Counted by the lifecycle itself; it never becomes a process.
        Handler::Exec(_) | Handler::Sleep(_) => Ok(Answer::Good),
    };
    let (code, words) = match result {
        Ok(Answer::Good) => (0, String::new()),
        Ok(Answer::Redirect(body)) => (WARNING, format!("Probe terminated redirects, Response body: {body}")),
        Ok(Answer::Unfinished(why)) => (UNKNOWN, why),
        Err(error) => (1, format!("{error:#}")),
    };
    say.write_all(words.as_bytes()).ok(); // without words the exit code still tells
    code
}

impl Helper {
    /// Takes what the helper has printed so far.
    pub fn pump(&mut self) -> Result<()> {
        if let Some(pipe) = &mut self.output {
            let mut piece = Vec::new();
            let open = read_available(pipe, &mut piece, 64 * 1024)?;
            piece.truncate(KEPT_OUTPUT - self.text.len().min(KEPT_OUTPUT));
            self.text.append(&mut piece);
            if !open {
                self.output = None;
            }
        }
        Ok(())
    }

    /// What it printed, as much of it as an event holds.
    pub fn words(&self) -> String {
        cut(String::from_utf8_lossy(&self.text).trim_end(), WORDS)
    }

    /// Why its command was not executed, if it was not. To be asked when it has ended.
    pub fn not_executed(&mut self) -> Option<String> {
        let mut text = Vec::new();
        // A report that cannot be read or understood tells of no failure; the exit code still does.
        read_available(self.report.as_mut()?, &mut text, 64 * 1024).ok()?;
        let said = take_said(&mut text).ok()?;
        let failed = said.into_iter().find_map(|said| match said {
            Said::Failed(report) => Some(format!("{}: {}", report.does, report.error)),
            _ => None,
        });
        failed.map(|why| cut(&why, WORDS))
    }

    /// What the exit code of a helper that is no command says beside success and failure.
    pub fn says(&self, handler: &Handler) -> Option<ProbeResult> {
        match self.ended? {
            _ if matches!(handler, Handler::Exec(_)) => None,
            WARNING => Some(ProbeResult::Warning),
            UNKNOWN => Some(ProbeResult::Unknown),
            _ => None,
        }
    }
}
