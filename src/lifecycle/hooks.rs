//! postStart and preStop (R39-R50).

use super::Lifecycle;
use super::container::Stage;
use super::model::*;

/// One hook of one instance; it runs at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HookRun {
    /// To be run.
    Due,
    /// A helper runs it.
    Running,
    /// `sleep`: until then (R50).
    Sleeping(Time),
    /// Nothing (more) to wait for; `well` is false if it failed or was cut off.
    Returned { well: bool },
}

impl HookRun {
    /// A hook that is there is due, one that is not has returned well.
    pub fn due_if(defined: bool) -> HookRun {
        if defined { HookRun::Due } else { HookRun::Returned { well: true } }
    }

    pub fn has_returned(self) -> bool {
        matches!(self, HookRun::Returned { .. })
    }
}

impl Lifecycle {
    /// Begin hooks that are due, end sleeps that are over.
    pub(super) fn advance_hooks(&mut self, now: Time) -> bool {
        let mut changed = false;
        for index in 0..self.containers.len() {
            for kind in [HookKind::PostStart, HookKind::PreStop] {
                let Some((instance, run)) = self.hook_run(index, kind) else {
                    continue;
                };
                let next = match (*run, self.spec.containers[index].hook(kind)) {
                    (HookRun::Due, Some(Hook::Helper)) => HookRun::Running,
                    (HookRun::Due, Some(Hook::Sleep(time))) => HookRun::Sleeping(now.saturating_add(time)),
                    (HookRun::Sleeping(until), _) if now >= until => HookRun::Returned { well: true },
                    _ => continue,
                };
                self.set_hook(instance, kind, next);
                match next {
                    HookRun::Returned { .. } => {
                        let output = String::new();
                        self.note(instance, Fact::HookEnded { hook: kind, failure: None, output });
                    }
                    _ => self.note(instance, Fact::HookBegun { hook: kind }),
                }
                if next == HookRun::Running {
                    self.actions.push(Action::RunHook(instance, kind));
                }
                changed = true;
            }
        }
        changed
    }

    /// A helper has returned. A failed postStart costs the instance its life (R41), a failed preStop changes nothing
    /// (R45).
    pub(super) fn hook_ended(
        &mut self,
        now: Time,
        instance: Instance,
        kind: HookKind,
        result: Result<String, String>,
    ) {
        let running = self.live_mut(instance).is_some()
            && matches!(self.hook_run(instance.container, kind), Some((_, HookRun::Running)));
        if !running {
            return;
        }
        self.set_hook(instance, kind, HookRun::Returned { well: result.is_ok() });
        let failure = result.as_ref().err().cloned();
        self.note(
            instance,
            Fact::HookEnded { hook: kind, failure, output: result.clone().unwrap_or_default() },
        );
        if let (HookKind::PostStart, Err(why)) = (kind, result) {
            let container = &mut self.containers[instance.container];
            container.waiting = Some(("PostStartHookError".to_string(), Some(why)));
            // Returned is returned: the next app is started now (R5, R6); a sidecar keeps its gate shut (R7).
            container.passed |= self.spec.containers[instance.container].kind == Kind::App;
            self.kill_one(now, instance, Cause::PostStart, self.spec.grace);
        }
    }

    /// The results of these hooks matter no longer: the instance has ended, or the pod ends before postStart did (R40).
    pub(super) fn abort_hooks(&mut self, instance: Instance) {
        for kind in [HookKind::PostStart, HookKind::PreStop] {
            self.abort_hook(instance, kind);
        }
    }

    /// See [`Self::abort_hooks`].
    pub(super) fn abort_hook(&mut self, instance: Instance, kind: HookKind) {
        match self.hook_run(instance.container, kind) {
            None | Some((_, HookRun::Returned { .. })) => return,
            Some((_, HookRun::Due)) => {}
            Some((_, run)) => {
                if *run == HookRun::Running {
                    self.actions.push(Action::AbortHook(instance, kind));
                }
                self.note(instance, Fact::HookAborted { hook: kind });
            }
        }
        self.set_hook(instance, kind, HookRun::Returned { well: false });
    }

    /// When sleeps are over.
    pub(super) fn hook_timers(&self) -> impl Iterator<Item = Time> {
        let lives = self.containers.iter().filter_map(|container| container.live());
        let runs = lives.flat_map(|live| {
            let pre_stop = live.kill.as_ref().map(|kill| kill.pre_stop);
            [Some(live.post_start), pre_stop].into_iter().flatten()
        });
        runs.filter_map(|run| if let HookRun::Sleeping(until) = run { Some(until) } else { None })
    }

    fn hook_run(&self, index: Index, kind: HookKind) -> Option<(Instance, &HookRun)> {
        let container = &self.containers[index];
        let live = container.live()?;
        let run = match kind {
            HookKind::PostStart => &live.post_start,
            HookKind::PreStop => &live.kill.as_ref()?.pre_stop,
        };
        Some((Instance { container: index, attempt: container.instances - 1 }, run))
    }

    fn set_hook(&mut self, instance: Instance, kind: HookKind, run: HookRun) {
        let Stage::Alive(live) = &mut self.containers[instance.container].stage else {
            return;
        };
        match (kind, &mut live.kill) {
            (HookKind::PostStart, _) => live.post_start = run,
            (HookKind::PreStop, Some(kill)) => kill.pre_stop = run,
            (HookKind::PreStop, None) => {}
        }
    }
}

impl ContainerSpec {
    fn hook(&self, kind: HookKind) -> Option<Hook> {
        match kind {
            HookKind::PostStart => self.post_start,
            HookKind::PreStop => self.pre_stop,
        }
    }
}
