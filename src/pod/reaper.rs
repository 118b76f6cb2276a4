//! PID 1 of the process namespace that the containers of a pod share: reaps orphans, and does nothing else.
//!
//! Containers see it, and one with CAP_SYS_PTRACE may look into it. So it is a program of its own, with nothing of the pod
//! init's memory or arguments, in an empty read-only root and without any capability.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::AtFlags;
use nix::sched::{CloneFlags, unshare};

use crate::kernel::process::{self, Child, Placement};
use crate::kernel::root::Root;
use crate::kernel::{capability, mount, sys};
use crate::plan::mount::attr;

/// The hidden verb under which the binary becomes the reaper.
pub const VERB: &CStr = c"reaper";

/// Makes the namespace and its first process; returns when that has shut itself in.
pub fn spawn() -> Result<Child> {
    let (mut ready, writer) = std::io::pipe().context("make pipe")?;
    let binary = File::open("/proc/self/exe").context("open own binary")?;
    let keep = Some(vec![writer.as_raw_fd(), binary.as_raw_fd()]);
    let child = process::spawn(
        &Placement { namespaces: libc::CLONE_NEWPID as u64, keep, ..Placement::default() },
        || {
            let become_reaper = || -> Result<()> {
                nix::unistd::dup2_stdout(&writer)?;
                sys::close_range_cloexec(3)?;
                let none: [&CStr; 0] = [];
                nix::unistd::execveat(
                    binary.as_fd(),
                    c"",
                    &[c"barepod", VERB],
                    &none,
                    AtFlags::AT_EMPTY_PATH,
                )?;
                Ok(())
            };
            i32::from(become_reaper().is_err()) // the parent sees a pipe without an answer
        },
    )?;
    drop(writer);
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut answer = String::new();
    while !answer.ends_with('\n') {
        let mut piece = [0; 256];
        let left = deadline.saturating_duration_since(Instant::now());
        let length = if process::readable(ready.as_fd(), left)? { ready.read(&mut piece)? } else { 0 };
        ensure!(length > 0, "the reaper died, or did not get ready in time");
        answer.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    match answer.trim_end() {
        "ready" => Ok(child),
        error => bail!("{error}"),
    }
}

/// The reaper itself.
pub fn main() -> Result<i32> {
    ensure!(std::process::id() == 1, "this verb is barepod's own");
    match shut_in() {
        Ok(null) => {
            println!("ready");
            nix::unistd::dup2_stdout(&null).context("let go of the pod init")?;
        }
        Err(error) => println!("{error:#}"),
    }
    loop {
        // No child at the moment (ECHILD): orphans come later, so look again.
        if nix::sys::wait::wait().is_err() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn shut_in() -> Result<File> {
    let null = File::options().read(true).write(true).open("/dev/null").context("open /dev/null")?;
    let nothing = BTreeSet::new();
    capability::limit_bounding(&nothing)?;
    unshare(CloneFlags::CLONE_NEWNS).context("unshare the mount namespace")?;
    mount::propagation_of_all("rprivate")?;
    let empty = mount::new_filesystem("tmpfs", &[], attr::RDONLY)?;
    // pivot_root wants a mount point; any directory serves.
    mount::attach(empty.as_fd(), Root::open(std::path::Path::new("/dev"))?.fd())?;
    Root::from_fd(empty).pivot()?;
    capability::apply(&nothing, &nothing, &nothing, &nothing)?;
    nix::sys::prctl::set_dumpable(false).context("prctl PR_SET_DUMPABLE")?;
    Ok(null)
}
