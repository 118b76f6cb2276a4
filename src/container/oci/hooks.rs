//! Hooks of the OCI runtime-spec ("POSIX-platform Hooks"): programs that get the container's state on standard input.

use std::fs::File;
use std::io::{PipeReader, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use oci_spec::runtime::Hook;

use crate::kernel::{poll, sys};

/// What a hook prints is kept up to here, for the error message; the rest is read and dropped.
const KEPT: usize = 4096;

/// Runs hooks one after the other, each to its end, until one fails.
pub fn run_all(kind: &str, hooks: &[Hook], state: &str, directory: &Path) -> Result<()> {
    hooks.iter().try_for_each(|hook| {
        run(hook, state, directory).with_context(|| format!("{kind} hook {}", hook.path().display()))
    })
}

/// Runs hooks one after the other, whatever becomes of each: what went wrong, a line each.
pub fn run_all_the_same(kind: &str, hooks: &[Hook], state: &str, directory: &Path) -> Vec<String> {
    let each = hooks.iter().map(|hook| run_all(kind, std::slice::from_ref(hook), state, directory));
    each.filter_map(Result::err).map(|error| format!("{error:#}")).collect()
}

/// Runs one hook. Its environment is the one given, and no other; without one it has that of the runtime. It is killed after
/// its `timeout` in seconds.
fn run(hook: &Hook, state: &str, directory: &Path) -> Result<()> {
    ensure!(hook.path().is_absolute(), "path is not absolute");
    let timeout = match hook.timeout() {
        Some(seconds) if seconds > 0 => Some(Duration::from_secs(seconds as u64)),
        Some(seconds) => bail!("timeout {seconds} is not greater than zero"),
        None => None,
    };
    let (mut output, writer) = std::io::pipe().context("make output pipe")?;
    let args = hook.args().as_deref().unwrap_or_default();
    let mut command = Command::new(hook.path());
    if let Some((name, rest)) = args.split_first() {
        command.arg0(name).args(rest);
    }
    if let Some(env) = hook.env() {
        command.env_clear().envs(env.iter().filter_map(|variable| variable.split_once('=')));
    }
    command.current_dir(directory);
    // A group of its own, so that what it has started can be ended with it.
    command.process_group(0);
    command.stdin(input(state)?).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("execute")?;
    drop(command); // its copies of the pipe
    let pidfd = sys::pidfd_open(child.id() as i32).context("open pidfd")?;
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut said = Vec::new();
    let in_time = watch(pidfd.as_fd(), &mut output, &mut said, deadline)?;
    if !in_time {
        killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL).context("kill")?;
    }
    let status = child.wait().context("wait")?;
    ensure!(in_time, "timed out after {} s", timeout.unwrap_or_default().as_secs());
    ensure!(status.success(), "{}{}", words(status), tail(&said));
    Ok(())
}

/// The state as standard input: a file in memory, so that nobody has to wait until the hook reads it.
fn input(state: &str) -> Result<Stdio> {
    let mut file: File = memfd_create(c"state", MFdFlags::MFD_CLOEXEC).context("make memfd")?.into();
    file.write_all(state.as_bytes()).and_then(|()| file.rewind()).context("write state")?;
    Ok(file.into())
}

/// Reads what it prints until it has ended; false when the deadline comes first.
fn watch(
    pidfd: std::os::fd::BorrowedFd,
    output: &mut PipeReader,
    said: &mut Vec<u8>,
    deadline: Option<Instant>,
) -> Result<bool> {
    let mut open = true;
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(false);
        }
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left.as_millis().clamp(1, i32::MAX as u128) as i32)
                .unwrap_or(PollTimeout::MAX)
        });
        let (ended, printed) = {
            let mut all = vec![PollFd::new(pidfd, PollFlags::POLLIN)];
            if open {
                all.push(PollFd::new(output.as_fd(), PollFlags::POLLIN));
            }
            poll::any(&mut all, timeout)?;
            let ready = |n: usize| all.get(n).is_some_and(|fd| fd.any() == Some(true));
            (ready(0), ready(1))
        };
        if printed {
            let mut piece = [0; KEPT];
            let length = output.read(&mut piece).context("read output")?;
            open = length > 0;
            said.extend_from_slice(&piece[..length.min(KEPT - said.len().min(KEPT))]);
        } else if ended {
            return Ok(true);
        }
        // A hook may leave something behind that goes on printing: its own end is what counts.
        if ended && said.len() >= KEPT {
            return Ok(true);
        }
    }
}

fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Its last line.
fn tail(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    text.trim_end().lines().last().map_or(String::new(), |line| format!(": {}", crate::words::clean(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(json: &str) -> Hook {
        serde_json::from_str(json).unwrap()
    }

    fn sh(script: &str, more: &str) -> Hook {
        hook(&format!(r#"{{"path":"/bin/sh","args":["sh","-c",{}]{more}}}"#, serde_json::json!(script)))
    }

    fn one(hook: &Hook) -> Result<()> {
        run(hook, r#"{"id":"x"}"#, Path::new("/"))
    }

    #[test]
    fn a_hook_has_the_state_its_environment_and_no_other() {
        one(&sh(r#"test "$(cat)" = '{"id":"x"}' && test "$A" = 1 && test -z "$CARGO""#, r#","env":["A=1"]"#))
            .unwrap();
        // Without one that of the runtime, as other runtimes have it.
        let path = std::env::var("PATH").unwrap();
        one(&sh(&format!("test \"$PATH\" = '{path}'"), "")).unwrap();
    }

    #[test]
    fn a_hook_that_fails_is_quoted() {
        assert_eq!(one(&sh("echo no; exit 3", "")).unwrap_err().to_string(), "exit code 3: no");
        assert!(one(&hook(r#"{"path":"/no/such"}"#)).is_err());
        assert!(one(&hook(r#"{"path":"sh"}"#)).unwrap_err().to_string().contains("absolute"));
    }

    #[test]
    fn a_hook_that_takes_too_long_is_killed_with_what_it_has_started() {
        let error = one(&sh("sleep 100 & sleep 100", r#","timeout":1"#)).unwrap_err();
        assert_eq!(error.to_string(), "timed out after 1 s");
        assert!(one(&sh("true", r#","timeout":0"#)).is_err());
    }

    #[test]
    fn a_hook_may_print_much_and_leave_something_behind() {
        one(&sh("head -c 1000000 /dev/zero; sleep 3 &", "")).unwrap();
    }
}
