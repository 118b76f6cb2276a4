//! The words in which tests describe pods and what their programs do.

use std::time::Duration;

use crate::lifecycle::*;

/// What a container's program does in one instance, as `name(sd=a d=b e=c t=d)`.
#[derive(Debug, Clone)]
pub struct Run {
    /// From `Start` to `execve`.
    pub latency: Duration,
    /// The start fails with this reason.
    pub fails: Option<&'static str>,
    /// Process start until it logs Started.
    pub start_delay: Duration,
    /// Started until it exits by itself.
    pub duration: Duration,
    pub code: i32,
    /// SIGTERM until it exits; `None`: it ignores SIGTERM.
    pub term: Option<Duration>,
}

/// What a probe answers.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    Ok,
    Fail,
    Unknown,
    /// `test -f started`.
    OnceStarted,
    /// Fails before this age of the instance, then succeeds.
    From(Duration),
    /// Succeeds before this age of the instance, then fails.
    Until(Duration),
    /// Never answers: its timeout ends it.
    Hangs,
}

/// How a helper hook goes: time it takes (`None`: for ever) and result.
#[derive(Debug, Clone, Copy)]
pub struct HookScript(pub Option<Duration>, pub bool);

/// A container of a test pod and the program it runs.
#[derive(Debug, Clone)]
pub struct Ctr {
    pub spec: ContainerSpec,
    /// One per instance, the last one for all that follow.
    pub runs: Vec<Run>,
    pub post_start: HookScript,
    pub pre_stop: HookScript,
    /// Startup, liveness, readiness: answer and time it takes.
    pub answers: [(Answer, Duration); 3],
}

pub fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Exits with 0 at once.
pub fn run() -> Run {
    let zero = Duration::ZERO;
    Run { latency: zero, fails: None, start_delay: zero, duration: zero, code: 0, term: Some(zero) }
}

impl Run {
    pub fn d(self, seconds: u64) -> Run {
        Run { duration: s(seconds), ..self }
    }
    pub fn sd(self, seconds: u64) -> Run {
        Run { start_delay: s(seconds), ..self }
    }
    pub fn e(self, code: i32) -> Run {
        Run { code, ..self }
    }
    pub fn t(self, seconds: u64) -> Run {
        Run { term: Some(s(seconds)), ..self }
    }
    pub fn ignores_term(self) -> Run {
        Run { term: None, ..self }
    }
    pub fn fails(self, reason: &'static str) -> Run {
        Run { fails: Some(reason), ..self }
    }
}

/// `(iD, p, fT)` of a probe; timeout 1, successThreshold 1.
pub fn probe(initial_delay: u64, period: u64, failure_threshold: u32) -> Probe {
    let (initial_delay, period) = (s(initial_delay), s(period));
    Probe { initial_delay, period, timeout: s(1), failure_threshold, success_threshold: 1, grace: None }
}

fn ctr(name: &str, kind: Kind, runs: &[Run]) -> Ctr {
    let spec = ContainerSpec {
        name: name.to_string(),
        kind,
        restart_policy: None,
        rules: Vec::new(),
        post_start: None,
        pre_stop: None,
        startup: None,
        liveness: None,
        readiness: None,
    };
    let hook = HookScript(Some(Duration::ZERO), true);
    let answers = [(Answer::Ok, Duration::ZERO); 3];
    Ctr { spec, runs: runs.to_vec(), post_start: hook, pre_stop: hook, answers }
}

pub fn init(name: &str, run: Run) -> Ctr {
    ctr(name, Kind::Init, &[run])
}
pub fn sidecar(name: &str, run: Run) -> Ctr {
    ctr(name, Kind::Sidecar, &[run])
}
pub fn app(name: &str, run: Run) -> Ctr {
    ctr(name, Kind::App, &[run])
}

impl Ctr {
    /// Other programs for the instances after the first.
    pub fn then(mut self, run: Run) -> Ctr {
        self.runs.push(run);
        self
    }
    pub fn post_start(mut self, seconds: u64) -> Ctr {
        self.spec.post_start = Some(Hook::Helper);
        self.post_start = HookScript(Some(s(seconds)), true);
        self
    }
    pub fn post_start_fails(mut self, seconds: u64) -> Ctr {
        self.spec.post_start = Some(Hook::Helper);
        self.post_start = HookScript(Some(s(seconds)), false);
        self
    }
    pub fn pre_stop(mut self, seconds: u64) -> Ctr {
        self.spec.pre_stop = Some(Hook::Helper);
        self.pre_stop = HookScript(Some(s(seconds)), true);
        self
    }
    pub fn pre_stop_fails(mut self, seconds: u64) -> Ctr {
        self.spec.pre_stop = Some(Hook::Helper);
        self.pre_stop = HookScript(Some(s(seconds)), false);
        self
    }
    pub fn pre_stop_sleep(mut self, seconds: u64) -> Ctr {
        self.spec.pre_stop = Some(Hook::Sleep(s(seconds)));
        self
    }
    pub fn startup(mut self, answer: Answer, probe: Probe) -> Ctr {
        self.spec.startup = Some(probe);
        self.answers[0].0 = answer;
        self
    }
    pub fn liveness(mut self, answer: Answer, probe: Probe) -> Ctr {
        self.spec.liveness = Some(probe);
        self.answers[1].0 = answer;
        self
    }
    pub fn readiness(mut self, answer: Answer, probe: Probe) -> Ctr {
        self.spec.readiness = Some(probe);
        self.answers[2].0 = answer;
        self
    }
    pub fn policy(mut self, policy: RestartPolicy) -> Ctr {
        self.spec.restart_policy = Some(policy);
        self
    }
    pub fn rule(mut self, action: RuleAction, within: bool, codes: &[i32]) -> Ctr {
        self.spec.rules.push(RestartRule { action, within, codes: codes.to_vec() });
        self
    }
}
