//! Processes: made with clone3(2), held by pidfds, never by a number that could have been reused.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use super::identity;
use super::poll;
use super::sys::{self, Clone};

/// A child of this process.
#[derive(Debug)]
pub struct Child {
    /// Its pid in this process's PID namespace: the number that waitid(2) reports.
    pub pid: i32,
    /// Its handle.
    pub pidfd: OwnedFd,
}

/// How a new process is placed.
#[derive(Default)]
pub struct Placement<'a> {
    /// `CLONE_NEW*` flags.
    pub namespaces: u64,
    /// Be born in this cgroup (v2 only).
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Be born into these namespaces, given by `CLONE_NEW*` flags and descriptors of `/proc/PID/ns/…`.
    pub enter: Vec<(u64, BorrowedFd<'a>)>,
    /// Be born into a new time namespace with these offsets, time_namespaces(7).
    pub time_offsets: Option<&'a str>,
    /// Close every descriptor but 0–2 and these, first thing: whoever shares a PID namespace with the child could look at
    /// them before execve closes them, and the lock that says that its parent lives must not live on in it.
    pub keep: Option<Vec<RawFd>>,
}

/// Ordinary Rust may run after a fork only if no other thread can hold a lock at that moment.
pub fn assert_single_threaded() -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    // A directory has two links besides those from the directories in it, of which there is one per thread.
    let threads = fs::metadata("/proc/self/task").context("count threads")?.nlink().saturating_sub(2);
    ensure!(threads == 1, "refuse to fork: {threads} threads run in this process");
    Ok(())
}

/// Forks a child that runs `main` and never returns from it; `main`'s result is its exit code.
///
/// With `enter` a short-lived helper joins those namespaces and makes the child with `CLONE_PARENT`, so that this
/// process, which never calls setns(2) itself, is the parent all the same (clone(2), pid_namespaces(7)).
pub fn spawn(placement: &Placement, main: impl FnOnce() -> i32) -> Result<Child> {
    assert_single_threaded()?;
    if placement.enter.is_empty() && placement.time_offsets.is_none() {
        return fork(placement.namespaces, placement.cgroup, || match &placement.keep {
            Some(keep) if sys::close_all_but(keep).is_err() => 126, // its parent sees a pipe without an answer
            _ => main(),
        });
    }
    let entered = placement.enter.iter().map(|(_, namespace)| namespace.as_raw_fd());
    let keep: Vec<RawFd> = placement.keep.iter().flatten().copied().chain(entered).collect();
    spawn_through(
        &keep,
        || {
            // The time namespace first: it takes the host's procfs, and rights that end with the others.
            placement.time_offsets.map_or(Ok(()), new_time_namespace)?;
            placement.enter.iter().try_for_each(|(flag, namespace)| {
                let kind = nix::sched::CloneFlags::from_bits_retain(*flag as i32);
                nix::sched::setns(namespace, kind).with_context(|| format!("setns {kind:?}"))
            })
        },
        placement.namespaces,
        placement.cgroup,
        main,
    )
}

fn new_time_namespace(offsets: &str) -> Result<()> {
    let kind = nix::sched::CloneFlags::from_bits_retain(libc::CLONE_NEWTIME);
    nix::sched::unshare(kind).context("unshare the time namespace")?;
    if offsets.is_empty() { Ok(()) } else { identity::set_time_offsets(identity::open_proc()?, offsets) }
}

/// Forks a helper that runs `enter` (joins namespaces) and then makes the real child with `CLONE_PARENT`. Before it enters
/// anything it closes all descriptors but those in `keep`: whoever is inside already can look at them.
pub fn spawn_through(
    keep: &[RawFd],
    enter: impl FnOnce() -> Result<()>,
    namespaces: u64,
    cgroup: Option<BorrowedFd>,
    main: impl FnOnce() -> i32,
) -> Result<Child> {
    let (mut reader, writer) = std::io::pipe().context("make pipe")?;
    let helper = fork(0, None, || {
        // The cgroup too: the real child is born in it.
        let cgroup_fd = cgroup.iter().map(AsRawFd::as_raw_fd);
        let keep: Vec<RawFd> = keep.iter().copied().chain([writer.as_raw_fd()]).chain(cgroup_fd).collect();
        let made = sys::close_all_but(&keep)
            .context("close descriptors")
            .and_then(|()| enter())
            .and_then(|()| sys::clone3(namespaces | libc::CLONE_PARENT as u64, cgroup).context("clone3"));
        match made {
            Ok(Clone::Child) => main(),
            Ok(Clone::Parent { pid, .. }) => tell(&writer, &format!("pid {pid}")),
            Err(error) => tell(&writer, &format!("{error:#}")),
        }
    })?;
    drop(writer);
    // The real child holds a copy of the pipe until it execs, so the answer is one read, not a read to the end.
    let mut answer = [0; 512];
    let length =
        if readable(reader.as_fd(), Duration::from_secs(10))? { reader.read(&mut answer)? } else { 0 };
    if wait(&helper, Some(Duration::from_secs(2)))?.is_none() {
        kill(helper.pidfd.as_fd())?;
        wait(&helper, Some(Duration::from_secs(2)))?.context("wait for killed helper")?;
    }
    let answer = String::from_utf8_lossy(&answer[..length]);
    match answer.strip_prefix("pid ").map(str::parse) {
        // The child cannot have been reaped yet, since only we can do that: the number is still its own.
        Some(Ok(pid)) => Ok(Child { pid, pidfd: sys::pidfd_open(pid).context("open pidfd")? }),
        _ if answer.is_empty() => bail!("helper process died before it made the child"),
        _ => bail!("{answer}"),
    }
}

fn tell(mut pipe: &std::io::PipeWriter, answer: &str) -> i32 {
    use std::io::Write;
    // The parent sees an empty answer if this fails, and says so.
    i32::from(pipe.write_all(answer.as_bytes()).is_err())
}

/// Forks without looking at the threads: for a process that has itself just been forked, where `/proc` may be another one.
pub fn fork(flags: u64, cgroup: Option<BorrowedFd>, main: impl FnOnce() -> i32) -> Result<Child> {
    match sys::clone3(flags, cgroup).context("clone3")? {
        Clone::Parent { pid, pidfd } => Ok(Child { pid, pidfd }),
        Clone::Child => sys::exit(main()),
    }
}

/// Waits until the child has ended; `None` after `timeout`.
pub fn wait(child: &Child, timeout: Option<Duration>) -> Result<Option<WaitStatus>> {
    if let Some(timeout) = timeout
        && !readable(child.pidfd.as_fd(), timeout)?
    {
        return Ok(None);
    }
    loop {
        match waitid(Id::PIDFd(child.pidfd.as_fd()), WaitPidFlag::WEXITED) {
            Ok(status) => return Ok(Some(status)),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error).context("wait for child"),
        }
    }
}

/// The exit code of a [`WaitStatus`] as shells and Kubernetes count it: 128 + n for signal n.
pub fn exit_code(status: WaitStatus) -> (i32, Option<i32>) {
    match status {
        WaitStatus::Exited(_, code) => (code, None),
        WaitStatus::Signaled(_, signal, _) => (128 + signal as i32, Some(signal as i32)),
        // waitid is only ever asked for ended children here.
        _ => (255, None),
    }
}

/// SIGKILL; a process that has ended already is fine.
pub fn kill(pidfd: BorrowedFd) -> Result<()> {
    signal(pidfd, libc::SIGKILL)
}

/// Sends a signal; a process that has ended already is fine.
pub fn signal(pidfd: BorrowedFd, number: i32) -> Result<()> {
    match sys::pidfd_send_signal(pidfd, number) {
        Ok(()) | Err(nix::Error::ESRCH) => Ok(()),
        Err(error) => Err(error).context("send signal"),
    }
}

/// poll(2) for input (a pidfd is readable when the process has ended); false on time-out.
pub fn readable(fd: BorrowedFd, timeout: Duration) -> Result<bool> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let millis = left.as_millis() + u128::from(!left.subsec_nanos().is_multiple_of(1_000_000));
        let timeout = PollTimeout::try_from(millis.min(i32::MAX as u128) as i32).unwrap_or(PollTimeout::MAX);
        match poll::any(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout)? {
            0 if Instant::now() >= deadline => return Ok(false),
            0 => {}
            _ => return Ok(true),
        }
    }
}

/// What identifies a process beyond its pid: start time in clock ticks since boot (field 22 of proc_pid_stat(5)) and the
/// inode of its PID namespace.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Pid in the host's PID namespace.
    pub pid: i32,
    /// Start time, clock ticks since boot.
    pub start_time: u64,
    /// Inode of `/proc/PID/ns/pid`.
    pub pid_namespace: u64,
}

impl Identity {
    /// Reads the identity of a process by its pid in `/proc`'s (the host's) numbering.
    pub fn of(pid: i32) -> Result<Identity> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("read stat of process {pid}"))?;
        let pid_namespace = super::namespace::inode(&format!("/proc/{pid}/ns/pid"))?;
        Ok(Identity { pid, start_time: start_time(&stat).context("parse stat")?, pid_namespace })
    }

    /// Opens a pidfd and makes sure that it is still the same process.
    ///
    /// # Errors
    /// `process N has ended` when it is gone or the number belongs to another process now.
    pub fn open(&self) -> Result<OwnedFd> {
        let pidfd = sys::pidfd_open(self.pid).ok();
        match (pidfd, Identity::of(self.pid)) {
            (Some(pidfd), Ok(now)) if now == *self => Ok(pidfd),
            _ => bail!("process {} has ended", self.pid),
        }
    }
}

/// Field 22 of a stat line; the second field may itself hold blanks and brackets.
fn start_time(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// The pid in the host's numbering of the process behind a pidfd (`Pid:` in `/proc/self/fdinfo`, whose `/proc` is the
/// host's even inside the pod's PID namespace).
pub fn host_pid(pidfd: BorrowedFd) -> Result<i32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))
        .context("read fdinfo of pidfd")?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).context("find Pid in fdinfo")?;
    match pid.trim().parse() {
        Ok(pid) if pid > 0 => Ok(pid),
        _ => bail!("process has ended"),
    }
}

/// All processes that `/proc` shows.
pub fn all() -> Result<Vec<i32>> {
    let entries = fs::read_dir("/proc").context("list /proc")?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// The errno behind an error, 0 if there is none.
pub fn errno(error: &anyhow::Error) -> i32 {
    error.chain().find_map(|cause| cause.downcast_ref::<nix::Error>()).map_or(0, |errno| *errno as i32)
}

/// The parent of a process, in `/proc`'s numbering; `None` when the process is gone.
pub fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// True for PID 1 of a PID namespace made directly in this process's own: `NSpid:` of proc_pid_status(5) then has two
/// numbers, and the second is 1. False for a process that is gone.
pub fn is_init_of_child_namespace(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default(); // gone
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    numbers.split_whitespace().skip(1).eq(["1"])
}

/// True when the process is on its way out: killed but not yet gone, or a zombie. Gone counts too. For an instant, when the
/// signal has been taken but not yet acted on, it is not seen: who relies on a "no" asks twice.
pub fn is_dying(pid: i32) -> bool {
    const PF_EXITING: u64 = 0x4;
    // The signal before the exit, in the order in which they happen.
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return true };
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    let masks =
        status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
    let mut masks = masks.filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let is_killed = masks.any(|mask| mask & (1 << (libc::SIGKILL - 1)) != 0);
    let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let is_zombie = matches!(fields.next(), Some("Z" | "X"));
    let flags: u64 = fields.nth(5).and_then(|flags| flags.parse().ok()).unwrap_or(0);
    is_killed || is_zombie || flags & PF_EXITING != 0
}

/// This process's pid in the numbering of `/proc`.
pub fn own_host_pid() -> Result<i32> {
    let link = fs::read_link("/proc/self").context("read /proc/self")?;
    link.to_str().and_then(|pid| pid.parse().ok()).context("parse /proc/self")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_found_behind_a_name_with_brackets_and_blanks() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2 3";
        assert_eq!(start_time(stat), Some(987654));
    }

    #[test]
    fn a_signal_counts_as_128_plus_its_number() {
        use nix::sys::signal::Signal;
        let pid = nix::unistd::Pid::from_raw(1);
        assert_eq!(exit_code(WaitStatus::Signaled(pid, Signal::SIGKILL, false)), (137, Some(9)));
        assert_eq!(exit_code(WaitStatus::Exited(pid, 3)), (3, None));
    }

    #[test]
    fn the_identity_of_another_start_time_does_not_open() {
        let mut me = Identity::of(std::process::id() as i32).unwrap();
        assert!(me.open().is_ok());
        me.start_time += 1;
        assert!(me.open().unwrap_err().to_string().contains("has ended"));
    }
}
