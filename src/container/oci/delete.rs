//! `kill` and `delete`.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use oci_spec::runtime::Spec;

use super::{Container, DEADLINE, Status, hooks, load};
use crate::kernel::cgroup::systemd;
use crate::kernel::process;
use crate::plan::oci::runtime_hooks;

/// Sends a signal to the container's first process, or with `all` to every process of its cgroup.
pub fn kill(container: &Container, signal: i32, all: bool) -> Result<()> {
    let cgroup = container.cgroup()?;
    if all {
        return cgroup.signal(signal);
    }
    // The words that engines look for.
    let Ok(pidfd) = container.process() else { bail!("container not running") };
    process::signal(pidfd.as_fd(), signal)?;
    // A frozen process takes no signal, not even this one, before it goes on.
    if signal == libc::SIGKILL && cgroup.is_frozen()? {
        cgroup.thaw()?;
    }
    Ok(())
}

/// How long a container may be about to end when it is deleted.
const ENDING: Duration = Duration::from_millis(500);

/// What went wrong with poststop hooks, a line each: the container is gone nevertheless (runtime-spec, "Lifecycle").
pub type Warnings = Vec<String>;

/// An error, and after it what went wrong with the poststop hooks that ran because of it.
pub(super) fn with(error: anyhow::Error, warnings: &Warnings) -> anyhow::Error {
    match warnings.as_slice() {
        [] => error,
        warnings => anyhow!("{error:#}; then {}", warnings.join("; ")),
    }
}

/// Removes a container that has ended or was never started, or with `force` any, and then runs its poststop hooks.
pub fn delete(root: &Path, id: &str, force: bool) -> Result<Warnings> {
    let container = match load(root, id) {
        // As rm -f has it.
        Err(error) if force && error.to_string().contains("does not exist") => return Ok(Warnings::new()),
        other => other?,
    };
    let mut status = container.status()?;
    if let (false, Status::Running, Ok(pidfd)) = (force, status, container.process()) {
        // It may have been killed, or be through, a moment ago.
        process::readable(
            pidfd.as_fd(),
            if process::is_dying(container.pid()?) { DEADLINE } else { ENDING },
        )?;
        status = container.status()?;
    }
    ensure!(
        force || matches!(status, Status::Stopped | Status::Created),
        "container is {status}, not stopped"
    );
    destroy(&container)
}

/// Ends a container, whatever it does, takes everything of it away, and runs its poststop hooks.
pub(super) fn destroy(container: &Container) -> Result<Warnings> {
    if let Ok(pidfd) = container.process() {
        process::kill(pidfd.as_fd())?;
        if container.cgroup()?.is_frozen()? {
            container.cgroup()?.thaw()?;
        }
        ensure!(process::readable(pidfd.as_fd(), DEADLINE)?, "container does not end");
    }
    // Before anything goes away, since the hooks are in it. When creating it was interrupted there may be none.
    remove(container, container.spec().ok().as_ref())
}

/// Removes a container whose first process has ended, and then runs its poststop hooks.
pub fn remove(container: &Container, spec: Option<&Spec>) -> Result<Warnings> {
    remove_cgroup(container)?;
    container.clear()?;
    match fs::remove_dir_all(&container.directory) {
        // Somebody else has deleted it meanwhile, and has run its hooks.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Warnings::new()),
        other => other.with_context(|| format!("remove {}", container.directory.display()))?,
    }
    Ok(spec.map(|spec| after_stop(container, spec)).unwrap_or_default())
}

/// Runs the poststop hooks of a container that is gone.
fn after_stop(container: &Container, spec: &Spec) -> Warnings {
    let state = container.state_with(Status::Stopped).to_string();
    let hooks = spec.hooks().as_ref().map(|hooks| runtime_hooks(hooks, "poststop")).unwrap_or_default();
    hooks::run_all_the_same("poststop", &hooks, &state, &container.record.bundle)
}

/// Kills what is left and removes the cgroup; its parents stay.
fn remove_cgroup(container: &Container) -> Result<()> {
    let cgroup = container.cgroup()?;
    if container.record.scope.is_none() && cgroup.remove_if_empty()? {
        return Ok(());
    }
    cgroup.kill(DEADLINE)?;
    if let Some(unit) = &container.record.scope {
        systemd::stop(unit)?;
    }
    cgroup.remove(DEADLINE)
}
