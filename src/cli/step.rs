//! `run --step`: where it pauses, what exists at that moment, and how to look at it.

use std::fs::File;
use std::io::{PipeWriter, Read, Write};
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signalfd::SignalFd;

use crate::kernel::poll;
use crate::kernel::process::Child;
use crate::pod::start::{Wait, Watching};

/// A place to pause: the step before which it is, what exists then, and commands to look at it with.
struct Pause {
    at: &'static str,
    exists: &'static str,
    look: &'static [&'static str],
}

/// In the order in which they are reached. `{pid}` is who waits, `{init}` the pod init.
const PAUSES: [Pause; 9] = [
    Pause {
        at: "sandbox.propagation",
        exists: "The pod init is there, process {pid}: alone in new PID, mount, network,\n\
                 IPC and UTS namespaces and in a cgroup of its own. Nothing is mounted,\n\
                 named or connected yet; it still sees the host's mounts.",
        look: &[
            "ls -l /proc/{pid}/ns /proc/self/ns",
            "cat /proc/{pid}/cgroup",
            "nsenter -t {pid} -n ip address",
        ],
    },
    Pause {
        at: "sandbox.control",
        exists: "The sandbox is made: the pod has its host name, lo is up, the tmpfs\n\
                 volumes are mounted where only the pod sees them. What is missing is the\n\
                 control socket, and then the first container.",
        look: &[
            "nsenter -t {pid} -n ip address",
            "nsenter -t {pid} -u hostname",
            "grep barepod /proc/{pid}/mountinfo",
        ],
    },
    Pause {
        at: "container.take-sources",
        exists: "The container is process {pid}: born into PID and mount namespaces of its\n\
                 own, in the pod's network, IPC and UTS namespaces, and already in its\n\
                 cgroup. Its files are still the host's.",
        look: &[
            "ls -l /proc/{pid}/ns /proc/{init}/ns",
            "cat /proc/{pid}/cgroup",
            "grep NSpid /proc/{pid}/status",
        ],
    },
    Pause {
        at: "container.pivot-root",
        exists: "Its root filesystem is complete: overlay, volumes, /proc, /dev, masks. The\n\
                 host's files are still in reach; the next call, pivot_root, ends that.",
        look: &["cat /proc/{pid}/mountinfo", "ls /proc/{pid}/root"],
    },
    Pause {
        at: "container.exec",
        exists: "It sees its own files only and has become its user, with the capabilities\n\
                 that the manifest leaves it. One call is missing: execve.",
        look: &["grep -E 'Uid|Gid|Cap|NoNewPrivs' /proc/{pid}/status", "ls /proc/{pid}/root"],
    },
    Pause {
        at: "container.post-start",
        exists: "The program runs, as process {pid}. Its postStart hook comes next, in the\n\
                 container's namespaces; until it has returned nothing behind it in the\n\
                 list is started.",
        look: &["tr '\\0' ' ' </proc/{pid}/cmdline", "barepod ps", "barepod why {pod}"],
    },
    Pause {
        at: "container.pre-stop",
        exists: "The container is to end. Its preStop hook comes first, and uses up grace\n\
                 that SIGTERM will not have; the program, process {pid}, knows nothing yet.",
        look: &["barepod why {pod}", "grep -E 'SigCgt|SigIgn' /proc/{pid}/status"],
    },
    Pause {
        at: "container.stop-signal",
        exists: "Its stop signal comes next. Process {pid} is PID 1 of its namespace: without\n\
                 a handler the signal is ignored, and SIGKILL follows when the grace is spent.",
        look: &["grep -E 'SigCgt|SigIgn' /proc/{pid}/status", "barepod why {pod}"],
    },
    Pause {
        at: "sandbox.end",
        exists: "Every container has ended; their cgroups and root filesystems are gone. The\n\
                 sandbox is what is left: the pod init, process {pid}, its namespaces and the\n\
                 volumes. It ends now, and the kernel takes all of that along.",
        look: &["ls -l /proc/{pid}/ns", "grep barepod /proc/{pid}/mountinfo", "cat /proc/{pid}/cgroup"],
    },
];

/// What is answered at a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// On to the next pause.
    Go,
    /// On without pauses.
    Run,
    /// The pod is to end.
    End,
}

/// Standard input, where pauses are answered.
struct Answers {
    input: File,
    /// What was read and not looked at yet.
    typed: Vec<u8>,
}

/// The pauses of a pod.
pub struct Pauses {
    /// The pod's name, for commands to look at it with.
    pod: String,
    answers: Answers,
    /// Where a pause is ended; `None` when there are to be none any more.
    go: Option<PipeWriter>,
}

impl Pauses {
    /// Before the pod is started: tells the pod init where to pause, and what ends a pause.
    pub fn begin(pod: &str, watching: &mut Watching) -> Result<Pauses> {
        let (reader, go) = std::io::pipe().context("make the pipe that ends pauses")?;
        watching.waits = PAUSES.iter().map(|pause| pause.at.to_owned()).collect();
        watching.go = Some(reader);
        let answers = std::io::stdin().as_fd().try_clone_to_owned().context("copy standard input")?;
        let answers = Answers { input: answers.into(), typed: Vec::new() };
        Ok(Pauses { pod: pod.to_owned(), answers, go: Some(go) })
    }

    /// Says where the pod pauses and takes an answer.
    pub fn pause(&mut self, wait: &Wait, init: &Child, signals: &SignalFd) -> Result<Answer> {
        let Some(go) = &mut self.go else { return Ok(Answer::Run) };
        write!(std::io::stderr(), "{}", words(wait, init.pid, &self.pod)).context("print a pause")?;
        let answer = self.answers.next(init, signals)?;
        match answer {
            Answer::Go => go.write_all(&[0]).context("end a pause")?,
            // The end of the pipe ends this pause and all to come.
            Answer::Run | Answer::End => self.go = None,
        }
        Ok(answer)
    }
}

impl Answers {
    /// One line. Ctrl-C ends the pod; the end of the input ends the pauses, as does the end of the pod.
    fn next(&mut self, init: &Child, signals: &SignalFd) -> Result<Answer> {
        loop {
            while let Some(end) = self.typed.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.typed.drain(..=end).collect();
                match line.trim_ascii() {
                    b"" => return Ok(Answer::Go),
                    b"c" => return Ok(Answer::Run),
                    b"q" => return Ok(Answer::End),
                    _ => write!(std::io::stderr(), "[Enter], c or q: ").context("print a pause")?,
                }
            }
            let all = [self.input.as_fd(), signals.as_fd(), init.pidfd.as_fd()];
            let mut all = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            if poll::any(&mut all, PollTimeout::NONE)? == 0 {
                continue;
            }
            let [input, signal, end] = all.map(|fd| fd.any() == Some(true));
            if end {
                super::say("the pod has ended");
                return Ok(Answer::Run);
            }
            if signal && signals.read_signal().context("read signalfd")?.is_some() {
                return Ok(Answer::End);
            }
            if input {
                let mut piece = [0; 4096];
                let length = self.input.read(&mut piece).context("read an answer")?;
                if length == 0 {
                    return Ok(Answer::Run);
                }
                self.typed.extend_from_slice(&piece[..length]);
                // No answer is as long.
                if self.typed.len() > 64 * 1024 {
                    self.typed = vec![b'?'];
                }
            }
        }
    }
}

/// What is said at a pause.
fn words(wait: &Wait, init: i32, pod: &str) -> String {
    let (layer, who) = match &wait.container {
        Some(container) => ("container", format!("container {container}")),
        None => ("sandbox", "sandbox".to_owned()),
    };
    let at = format!("{layer}.{}", wait.step);
    let fill = |text: &str| {
        let text = text.replace("{pid}", &wait.pid.to_string());
        text.replace("{init}", &init.to_string()).replace("{pod}", pod)
    };
    let mut text = format!("\n── {who}, before {} ──\n", wait.step);
    if let Some(pause) = PAUSES.iter().find(|pause| pause.at == at) {
        text += &format!("{}\nLook at it from another terminal:\n", fill(pause.exists));
        pause.look.iter().for_each(|command| text += &format!("    {}\n", fill(command)));
    }
    text + "[Enter] goes on   [c] runs on without pauses   [q] ends the pod: "
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Step;
    use crate::plan::sandbox::SandboxStep;
    use crate::pod::pause;

    #[test]
    fn every_pause_is_before_a_step_that_exists() {
        let of =
            |layer: &str, names: &[&str]| Vec::from_iter(names.iter().map(|name| format!("{layer}.{name}")));
        let steps = [of("sandbox", &SandboxStep::NAMES), of("container", &Step::NAMES)].concat();
        for Pause { at, .. } in PAUSES {
            assert!(steps.iter().any(|step| step == at) || pause::PAUSES.contains(&at), "{at}");
        }
        assert!(pause::PAUSES.iter().all(|at| PAUSES.iter().any(|pause| pause.at == *at)));
    }

    #[test]
    fn a_pause_says_what_exists_and_how_to_look_at_it() {
        let wait = Wait { container: Some("web".to_owned()), step: "exec".to_owned(), pid: 42 };
        let text = words(&wait, 7, "shop");
        assert!(text.contains("container web, before exec") && text.contains("/proc/42/status"), "{text}");
        let text = words(&Wait { container: None, step: "propagation".to_owned(), pid: 7 }, 7, "shop");
        assert!(text.contains("sandbox, before propagation") && !text.contains('{'), "{text}");
    }
}
