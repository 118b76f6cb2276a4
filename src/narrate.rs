//! The event log for people: one line per fact, in the field's words. What the foreground of `run` and `events --all`
//! print.

use std::collections::HashMap;
use std::time::Duration;

use crate::explain::hint::hint;
use crate::history::Line;
use crate::lifecycle::fact::{Cause, Entry, Fact, Head, ProbeResult};
use crate::lifecycle::model::{HookKind, Kind, Time};
use crate::words::{clean, cut, duration, hook_name, signal_name};

/// Longest line, in characters.
const LONGEST: usize = 400;

/// What a reader of a log has to remember from earlier lines.
#[derive(Debug, Default)]
pub struct Narrator {
    head: Option<Head>,
    /// Hooks that run, and since when.
    hooks: HashMap<(String, HookKind), Time>,
    /// Budgets of the containers that are being stopped.
    budgets: HashMap<String, Time>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Not as it should be.
    pub warning: bool,
    /// A kernel step: detail below the lines that tell the pod's life.
    pub step: bool,
    /// `    0.512s  web             started`
    pub text: String,
    /// The same without time and name.
    pub words: String,
}

/// ` (exit code 1, 12 ms)`: how a probe went. It is of no interest in a list that counts equal ones.
fn measured(fact: &Fact) -> String {
    let Fact::Probe { code, took, .. } = fact else { return String::new() };
    let code = code.map(|code| format!("exit code {code}, ")).unwrap_or_default();
    format!(" ({code}{})", duration(*took))
}

impl Narrator {
    /// What there is to say about the next line of the log; nothing about some.
    pub fn tell(&mut self, line: Line) -> Option<Told> {
        match line {
            Line::Head(head) => {
                self.head = Some(head);
                None
            }
            Line::Entry(entry) => {
                // What programs print is in it: one line, that cannot move the cursor.
                let words = cut(&clean(&self.words(&entry)?), LONGEST);
                let step = matches!(entry.fact, Fact::Step { .. });
                let warning = entry.fact.words("").iter().any(|words| words.warning)
                    || matches!(entry.fact, Fact::Step { failure: Some(_), .. });
                let who = entry.container.as_deref().unwrap_or("pod");
                let bar = if step { "│ " } else { "" };
                let hint =
                    self.hint(&entry.fact).map(|hint| format!("\n{:>30}│ {hint}", "")).unwrap_or_default();
                let measured = measured(&entry.fact);
                let text =
                    format!("{:>9.3}s  {who:<14}  {bar}{words}{measured}{hint}", entry.at.as_secs_f64());
                Some(Told { warning, step, text, words })
            }
        }
    }

    fn words(&mut self, entry: &Entry) -> Option<String> {
        let name = entry.container.clone().unwrap_or_default();
        Some(match &entry.fact {
            Fact::Begun { init } => format!("the sandbox is there; its pod init is process {init}"),
            Fact::Starting => format!("is being started ({})", self.description(entry)),
            Fact::Started => "runs".to_owned(),
            Fact::StartFailed { reason, message } => format!("could not be started: {reason}: {message}"),
            Fact::Up => self.gate(&name)?,
            Fact::HookBegun { hook } => {
                self.hooks.insert((name, *hook), entry.at);
                format!("{} runs", hook_name(*hook))
            }
            Fact::HookEnded { hook, failure, output } => {
                let took = self.hooks.remove(&(name, *hook)).map(|since| entry.at.saturating_sub(since));
                let after = took.map(|took| format!(" after {}", seconds(took))).unwrap_or_default();
                match failure {
                    Some(why) => format!("{} failed{after}: {why}", hook_name(*hook)),
                    None if output.is_empty() => format!("{} has returned{after}", hook_name(*hook)),
                    None => format!("{} has returned{after}; it printed: {output}", hook_name(*hook)),
                }
            }
            Fact::HookAborted { hook } => {
                self.hooks.remove(&(name, *hook));
                format!("{} was cut off", hook_name(*hook))
            }
            Fact::Probe { probe, result, words, .. } => {
                let what = match result {
                    ProbeResult::Success => "has succeeded",
                    ProbeResult::Warning => "warns",
                    ProbeResult::Failure => "has failed",
                    ProbeResult::Unknown => "could not be carried out",
                };
                let colon = if words.is_empty() { "" } else { ": " };
                format!("{} probe {what}{colon}{words}", crate::words::probe(*probe))
            }
            Fact::Readiness { ready } => if *ready { "is ready" } else { "is not ready any more" }.to_owned(),
            Fact::Ended { code, signal, reason, ran, .. } => {
                self.budgets.remove(&name);
                let how = match signal {
                    Some(signal) => format!("was ended by {}", signal_name(*signal)),
                    None => format!("exited with code {code}"),
                };
                let oom = if reason == "OOMKilled" { ": out of memory" } else { "" };
                format!("{how} after {}{oom}", seconds(*ran))
            }
            Fact::BackOff { until } => {
                format!("is held back: next start in {}", seconds(until.saturating_sub(entry.at)))
            }
            Fact::Stopping { cause, until } => {
                self.budgets.insert(name, *until);
                let left = seconds(until.saturating_sub(entry.at));
                match cause {
                    Cause::Startup => {
                        format!("is stopped because its startup probe failed; {left} of grace")
                    }
                    Cause::Liveness => {
                        format!("is stopped because its liveness probe failed; {left} of grace")
                    }
                    Cause::PostStart => format!("is stopped because its postStart failed; {left} of grace"),
                    Cause::Pod => format!("is stopped with the pod; {left} of grace"),
                    Cause::RestartAll => "is killed because all containers restart".to_owned(),
                }
            }
            Fact::Budget { until } => {
                self.budgets.insert(name, *until);
                format!("has {} of grace now", seconds(until.saturating_sub(entry.at)))
            }
            Fact::Signal { number, asked: true } => {
                format!("gets {}, as barepod kill asked", signal_name(*number))
            }
            Fact::Signal { number, asked: false } => {
                let left = self.budgets.get(&name).map(|until| until.saturating_sub(entry.at));
                let left = left.map(|left| format!("; {} of grace left", seconds(left))).unwrap_or_default();
                format!("gets {}{left}", signal_name(*number))
            }
            Fact::Terminating { asked: true, until } => {
                format!("is terminated; {} of grace", seconds(until.saturating_sub(entry.at)))
            }
            Fact::Terminating { asked: false, until } => {
                let left = seconds(until.saturating_sub(entry.at));
                format!("comes to its end by itself; what still runs has {left} of grace")
            }
            Fact::DeadlineExceeded => "has run longer than activeDeadlineSeconds".to_owned(),
            Fact::PodEnded { phase } => format!("has ended: {phase:?}"),
            Fact::Step { does, took, failure, .. } => match failure {
                Some(why) => format!("{does}: FAILED: {why}"),
                None => format!("{does} ({} µs)", took.as_micros()),
            },
            Fact::Trouble { message, .. } => message.clone(),
            Fact::Dropped { count } => format!(
                "{count} entries of the event log were lost: no space, or too many failed probes and steps"
            ),
        })
    }

    /// What usually makes a step fail like this.
    fn hint(&self, fact: &Fact) -> Option<&'static str> {
        match fact {
            Fact::Step { step, failure: Some(_), errno, .. } => hint(step, *errno),
            _ => None,
        }
    }

    /// `init container`, `app container, restart 2`.
    fn description(&self, entry: &Entry) -> String {
        let kind = match self.kind(entry.container.as_deref().unwrap_or_default()) {
            Some(Kind::Init) => "init container",
            Some(Kind::Sidecar) => "sidecar",
            None if self.head.is_some() => "ephemeral container",
            Some(Kind::App) | None => "app container",
        };
        match entry.attempt {
            Some(attempt) if attempt > 0 => format!("{kind}, restart {attempt}"),
            _ => kind.to_owned(),
        }
    }

    fn kind(&self, name: &str) -> Option<Kind> {
        let containers = &self.head.as_ref()?.containers;
        containers.iter().find(|container| container.name == name).map(|container| container.kind)
    }

    /// Being up is worth a line where something waited for it.
    fn gate(&self, name: &str) -> Option<String> {
        let head = self.head.as_ref()?;
        let container = head.containers.iter().find(|container| container.name == name)?;
        let what = match (container.post_start, container.startup) {
            (_, true) => "its startup probe has succeeded",
            (true, false) => "its postStart has returned",
            (false, false) => return None,
        };
        Some(format!("is up: {what}"))
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(facts: &[(u64, Option<&str>, Fact)]) -> Vec<String> {
        let mut narrator = Narrator::default();
        let entry = |(at, container, fact): &(u64, Option<&str>, Fact)| Entry {
            at: Duration::from_millis(*at),
            container: container.map(str::to_owned),
            attempt: container.map(|_| 0),
            fact: fact.clone(),
        };
        facts
            .iter()
            .filter_map(|fact| narrator.tell(Line::Entry(entry(fact))))
            .map(|told| told.text)
            .collect()
    }

    #[test]
    fn a_hook_is_told_with_how_long_it_ran_and_what_it_printed() {
        let hook = HookKind::PreStop;
        let ended = Fact::HookEnded { hook, failure: None, output: "drained".to_owned() };
        let lines = told(&[(1000, Some("web"), Fact::HookBegun { hook }), (3250, Some("web"), ended)]);
        assert_eq!(lines[0], "    1.000s  web             preStop runs");
        assert!(
            lines[1].ends_with("preStop has returned after 2.250 s; it printed: drained"),
            "{}",
            lines[1]
        );
    }

    #[test]
    fn a_signal_is_told_with_what_is_left_of_the_budget() {
        let until = Duration::from_secs(30);
        let lines = told(&[
            (0, None, Fact::Terminating { asked: true, until }),
            (0, Some("web"), Fact::Stopping { cause: Cause::Pod, until }),
            (5000, Some("web"), Fact::Signal { number: 15, asked: false }),
            (6000, Some("web"), Fact::Signal { number: 2, asked: true }),
        ]);
        assert!(lines[0].contains("pod             is terminated; 30.000 s of grace"), "{}", lines[0]);
        assert!(lines[2].ends_with("gets SIGTERM; 25.000 s of grace left"), "{}", lines[2]);
        assert!(lines[3].ends_with("gets SIGINT, as barepod kill asked"), "{}", lines[3]);
    }

    #[test]
    fn signals_have_their_names() {
        use nix::sys::signal::Signal;
        for signal in Signal::iterator() {
            assert_eq!(signal_name(signal as i32), signal.as_str());
        }
        assert_eq!([0, -1, 34].map(signal_name), ["signal 0", "signal -1", "signal 34"]);
    }

    #[test]
    fn a_step_that_failed_is_a_warning() {
        let step = |failure: Option<&str>| Fact::Step {
            step: "mount".to_owned(),
            does: "mount proc on /proc".to_owned(),
            took: Duration::from_micros(42),
            failure: failure.map(str::to_owned),
            errno: 1,
        };
        let entry = |fact| {
            Line::Entry(Entry {
                at: Duration::ZERO,
                container: Some("web".to_owned()),
                attempt: Some(0),
                fact,
            })
        };
        let mut narrator = Narrator::default();
        let good = narrator.tell(entry(step(None))).unwrap();
        assert!(
            good.step && !good.warning && good.text.ends_with("│ mount proc on /proc (42 µs)"),
            "{good:?}"
        );
        let bad = narrator.tell(entry(step(Some("EPERM: Operation not permitted")))).unwrap();
        assert!(bad.warning && bad.text.contains("FAILED: EPERM"), "{bad:?}");
        assert!(
            bad.text.contains("\n                              │ a filesystem may be mounted only"),
            "{bad:?}"
        );
    }
}
