//! What is left of a dead pod, and how it goes away. The kernel has taken processes, mounts and namespaces already; left
//! are a directory under the state root, logs, and cgroup directories.
//!
//! Liveness is a lock, but a free lock means only that the pod init is dying: whoever finds it free keeps it, kills the
//! pod's cgroups, waits until they are empty, and only then removes anything.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::control::CONTROL;
use super::store::{Record, Store};
use crate::kernel::process;
use crate::kernel::{lock, sys};

/// How long a pod may take to die before outside processes are looked for that hold it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it may take after those were killed.
const LAST_DEADLINE: Duration = Duration::from_secs(5);

/// Removes everything of a pod but its lock, which the caller holds and goes on holding.
pub fn all_but_lock(store: &Store, name: &str) -> Result<Vec<String>> {
    let mut holders = Vec::new();
    if let Some(record) = store.read(name)? {
        holders = cgroups(store, &record)?;
        remove_tree(&record.logs)?;
    }
    remove_tree(&store.pod(name))?;
    Ok(holders)
}

/// Removes everything of a pod whose lock the caller holds. The lock file goes last: whoever has opened it meanwhile finds
/// that it is no longer the one at the path, and begins anew.
pub fn everything(store: &Store, name: &str) -> Result<Vec<String>> {
    let holders = all_but_lock(store, name)?;
    remove_file(&store.lock(name))?;
    Ok(holders)
}

/// Removes an ended or lost pod with its record and logs.
///
/// # Errors
/// When the pod runs.
pub fn pod(store: &Store, name: &str) -> Result<Vec<String>> {
    store.require(name)?;
    let Some(_held) = take(store, name)? else {
        bail!("pod {name} is running; barepod rm -f {name} stops it first");
    };
    everything(store, name)
}

/// Takes the lock of a pod that is dead or dying; `None` when it lives. A pod init that was killed a moment ago still holds
/// its lock, so it is waited for.
pub fn take(store: &Store, name: &str) -> Result<Option<File>> {
    let start = Instant::now();
    let mut seen_alive = 0;
    loop {
        if let Some(held) = lock::acquire(&store.lock(name))? {
            return Ok(Some(held));
        }
        if let Some(record) = store.read(name)?
            && lives(&record)?
        {
            seen_alive += 1;
        }
        // Twice, because a process that dies at this very moment may look alive once.
        if seen_alive == 2 || start.elapsed() > PATIENCE {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The pod init is not on its way out. Nobody else in its cgroup counts, such as a container that has not joined its own
/// yet: those are killed only after the pod init has let go of its lock.
fn lives(record: &Record) -> Result<bool> {
    let cgroup = record.cgroup_at(&format!("{}/init", record.cgroup))?;
    Ok(cgroup
        .pids()?
        .into_iter()
        .any(|pid| process::is_init_of_child_namespace(pid) && !process::is_dying(pid)))
}

/// Removes the cgroups of a pod that was seen to end: its pod init cannot remove the one that it is in.
pub fn cgroups_of_ended(store: &Store, name: &str, record: &Record) -> Result<Vec<String>> {
    let Some(_held) = take(store, name)? else { return Ok(Vec::new()) };
    let holders = cgroups(store, record)?;
    // Somebody has removed the pod meanwhile, and the lock was made anew by being taken.
    if !store.pod(name).exists() {
        remove_file(&store.lock(name))?;
    }
    Ok(holders)
}

/// Kills and removes the cgroups of a pod. What comes back names the outside processes that had to be killed for it.
pub fn cgroups(store: &Store, record: &Record) -> Result<Vec<String>> {
    let cgroup = record.cgroup_at(&record.cgroup)?;
    let mut holders = Vec::new();
    if cgroup.kill(PATIENCE).is_err() || !init_is_gone(record, PATIENCE)? {
        holders = kill_outside_parents(record)?;
        let named = || match holders.is_empty() {
            true => "kill the pod's processes".to_owned(),
            false => {
                format!("kill the pod's processes, also after their outside parents ({})", holders.join(", "))
            }
        };
        cgroup.kill(LAST_DEADLINE).with_context(named)?;
        ensure!(init_is_gone(record, LAST_DEADLINE)?, "{}: the pod init does not end", named());
    }
    cgroup.remove(LAST_DEADLINE)?;
    // `barepod` itself goes with the last pod.
    cgroup.remove_empty_parents(store.cgroup_parent.trim_matches('/'))?;
    Ok(holders)
}

/// Waits for the end of the pod init. A dying one has left its cgroup long before, when something from outside holds it.
fn init_is_gone(record: &Record, patience: Duration) -> Result<bool> {
    match record.init.as_ref().and_then(|init| init.open().ok()) {
        Some(pidfd) => process::readable(pidfd.as_fd(), patience),
        None => Ok(true), // the number is another process's by now, or nobody's
    }
}

/// A process that entered the pod from outside and is not reaped keeps the pod's PID namespace, and with it the pod init,
/// from ending. Its parent, outside, is at fault: it is killed, and named.
fn kill_outside_parents(record: &Record) -> Result<Vec<String>> {
    let mut inside: Vec<u64> =
        record.instances.iter().map(|instance| instance.process.pid_namespace).collect();
    inside.extend(record.init.iter().map(|init| init.pid_namespace));
    let init = record.init.as_ref().map(|init| init.pid);
    let mut killed = Vec::new();
    for pid in process::all()? {
        let is_inside =
            |pid| process::Identity::of(pid).is_ok_and(|identity| inside.contains(&identity.pid_namespace));
        if Some(pid) == init || !is_inside(pid) {
            continue;
        }
        let Some(parent) = process::parent(pid).filter(|parent| *parent > 1 && !is_inside(*parent)) else {
            continue;
        };
        let name = fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default(); // the number names it too
        let pidfd = match sys::pidfd_open(parent) {
            Err(nix::Error::ESRCH) => continue, // it has ended by itself
            opened => opened.context("open the outside parent")?,
        };
        // Still the parent, so the descriptor is of the process that was meant.
        if process::parent(pid) == Some(parent) {
            process::kill(pidfd.as_fd())?;
            killed.push(format!("{} (process {parent})", name.trim_end()));
        }
    }
    killed.sort();
    killed.dedup();
    Ok(killed)
}

/// Removes what dead pods left: everything of lost pods, and of ended ones everything but record and logs. Tells each
/// thing that it removed.
pub fn garbage(store: &Store, mut tell: impl FnMut(String)) -> Result<()> {
    // One pod that cannot be removed does not keep the others.
    let mut failures = Vec::new();
    for name in store.names()? {
        if let Err(error) = garbage_of(store, &name, &mut tell) {
            failures.push(format!("pod {name}: {error:#}"));
        }
    }
    stray_locks(store, &mut tell)?;
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

fn garbage_of(store: &Store, name: &str, tell: &mut impl FnMut(String)) -> Result<()> {
    let Some(_held) = take(store, name)? else { return Ok(()) };
    let holders = match store.read(name)? {
        Some(record) if record.ended => {
            let mut holders = Vec::new();
            if record.cgroup_at(&record.cgroup)?.paths().iter().any(|path| path.exists()) {
                holders = cgroups(store, &record)?;
                tell(format!("cgroups of ended pod {name}"));
            }
            if remove_file_if_there(&store.pod(name).join(CONTROL))? {
                tell(format!("control socket of ended pod {name}"));
            }
            holders
        }
        _ => {
            let holders = everything(store, name)?;
            tell(format!("lost pod {name}"));
            holders
        }
    };
    holders.into_iter().for_each(|holder| tell(format!("{holder}, which held pod {name} from outside")));
    Ok(())
}

/// Lock files without a pod: a crash between the two, or a start that was refused.
fn stray_locks(store: &Store, tell: &mut impl FnMut(String)) -> Result<()> {
    let entries = match fs::read_dir(store.root.join("locks")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context("list locks"),
    };
    for entry in entries {
        let Ok(name) = entry.context("list locks")?.file_name().into_string() else { continue };
        if store.pod(&name).exists() {
            continue;
        }
        if let Some(_held) = lock::acquire(&store.lock(&name))? {
            remove_file(&store.lock(&name))?;
            tell(format!("stray lock {name}"));
        }
    }
    Ok(())
}

fn remove_tree(path: &Path) -> Result<()> {
    ensure!(path.is_absolute(), "refuse to remove {}: not absolute", path.display());
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn remove_file(path: &Path) -> Result<()> {
    remove_file_if_there(path).map(drop)
}

/// Whether there was one.
pub(super) fn remove_file_if_there(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("remove {}", path.display())),
    }
}
