//! `start`: says go to the child that `create` has left waiting, and hears whether it became the program.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::{Container, Status, delete, hooks};
use crate::container::launch::hear;
use crate::plan::oci::{OciStep, runtime_hooks};

/// The socket of a container that was created.
pub const SOCKET: &str = "start";
/// Its name before `create` is through, and after somebody has said `start`.
pub const PREPARED: &str = "start.new";
const TAKEN: &str = "start.taken";
/// How far the program may get before its poststart hooks.
const HEAD_START: Duration = Duration::from_millis(10);

/// Makes the socket, which a child is to listen at. An address holds 108 bytes, so it is named through a descriptor.
pub fn listen(directory: &Path) -> Result<UnixListener> {
    let opened = fs::File::open(directory).context("open the container's directory")?;
    UnixListener::bind(through(&opened, PREPARED)).context("make the socket for start")
}

fn through(directory: &fs::File, name: &str) -> PathBuf {
    format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()).into()
}

/// The container is created: from now on somebody may start it.
pub fn publish(directory: &Path) -> Result<()> {
    fs::rename(directory.join(PREPARED), directory.join(SOCKET)).context("publish the socket for start")
}

/// Starts a created container; returns when its program runs and the poststart hooks have.
pub fn start(container: &Container) -> Result<()> {
    let status = container.status()?;
    ensure!(status == Status::Created, "container is {status}, not created");
    let spec = container.spec()?;
    ensure!(spec.process().is_some(), "process is missing");
    // Of two that start it, one finds the name.
    let directory = &container.directory;
    match fs::rename(directory.join(SOCKET), directory.join(TAKEN)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("container is not created"),
        other => other.context("take the socket for start")?,
    }
    let opened = fs::File::open(directory).context("open the container's directory")?;
    let mut connection =
        UnixStream::connect(through(&opened, TAKEN)).context("reach the container process")?;
    fs::remove_file(directory.join(TAKEN)).context("remove the socket for start")?;
    let Some(failure) = hear(&mut connection)? else { return after_start(container, &spec) };
    let failed = anyhow!("{}: {}", failure.does, failure.error);
    // Other runtimes start these hooks and do not wait for them, so that poststart hooks run however they end.
    if failure.step.as_deref() == Some(OciStep::HOOKS) {
        after_start(container, &spec).with_context(|| format!("{failed}; then"))?;
    }
    Err(failed)
}

/// Runs the poststart hooks; when one fails the container is destroyed (runtime-spec, "Lifecycle").
pub fn after_start(container: &Container, spec: &oci_spec::runtime::Spec) -> Result<()> {
    let Some(hooks) = spec.hooks() else { return Ok(()) };
    let hooks = runtime_hooks(hooks, "poststart");
    if hooks.is_empty() {
        return Ok(());
    }
    // The program has been executed, but has hardly had a moment yet; a hook that looks for what it does would be too early.
    std::thread::sleep(HEAD_START);
    let state = container.state_with(Status::Running).to_string();
    hooks::run_all("poststart", &hooks, &state, &container.record.bundle).or_else(|error| {
        let warnings = delete::destroy(container).with_context(|| format!("clean up after: {error:#}"))?;
        Err(delete::with(error, &warnings))
    })
}
