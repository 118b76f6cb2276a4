//! Who a process is and what it may use: credentials(7), setrlimit(2), proc_pid_oom_score_adj(5), sysctl in proc_sys(5).

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

/// The host's procfs, opened before anything of a rootfs is touched and checked to be one.
pub fn open_proc() -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let proc = nix::fcntl::open("/proc", flags, Mode::empty()).context("open /proc")?;
    ensure!(
        fstatfs(&proc).context("statfs /proc")?.filesystem_type() == PROC_SUPER_MAGIC,
        "/proc is not a procfs"
    );
    Ok(proc)
}

/// Writes a file of procfs; the descriptor is checked to be procfs, so that nothing can redirect the write.
fn write_proc(proc: impl AsFd, path: &str, value: &str) -> Result<()> {
    let how = OpenHow::new().flags(OFlag::O_WRONLY | OFlag::O_CLOEXEC).resolve(
        ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_MAGICLINKS,
    );
    let file = openat2(proc, Path::new(path), how).with_context(|| format!("open /proc/{path}"))?;
    File::from(file).write_all(value.as_bytes()).with_context(|| format!("write {value} to /proc/{path}"))
}

/// proc_pid_oom_score_adj(5): from -1000 (never) to 1000.
pub fn set_oom_score_adj(proc: impl AsFd, value: i32) -> Result<()> {
    write_proc(proc, "self/oom_score_adj", &value.to_string())
}

/// time_namespaces(7): `CLOCK SECONDS NANOSECONDS` lines for the time namespace that children of this process will be in.
pub fn set_time_offsets(proc: impl AsFd, lines: &str) -> Result<()> {
    write_proc(proc, "self/timens_offsets", lines)
}

/// proc_pid_attr(5): what a security module is to call the program that is executed next.
pub fn set_exec_label(proc: impl AsFd, file: &str, value: &str) -> Result<()> {
    write_proc(proc, &format!("self/{file}"), value)
}

/// The maps of the user namespace of a process, users and groups, user_namespaces(7).
pub fn read_id_maps(pid: i32) -> Result<(String, String)> {
    let read = |path: String| std::fs::read_to_string(&path).with_context(|| format!("read {path}"));
    Ok((read(format!("/proc/{pid}/uid_map"))?, read(format!("/proc/{pid}/gid_map"))?))
}

/// Writes the maps of the user namespace of a process, user_namespaces(7).
pub fn write_id_maps(pid: i32, users: &str, groups: &str) -> Result<()> {
    let proc = open_proc()?;
    write_proc(&proc, &format!("{pid}/uid_map"), users)?;
    write_proc(&proc, &format!("{pid}/gid_map"), groups)
}

/// Becomes user and group 0 of the user namespace that this process is in.
pub fn become_root() -> Result<()> {
    let (user, group) = (Uid::from_raw(0), Gid::from_raw(0));
    setgroups(&[]).context("setgroups")?;
    setresgid(group, group, group).context("setresgid 0")?;
    setresuid(user, user, user).context("setresuid 0")
}

/// Writes a namespaced kernel parameter.
pub fn set_sysctl(proc: impl AsFd, key: &str, value: &str) -> Result<()> {
    write_proc(proc, &format!("sys/{}", key.replace('.', "/")), value)
}

/// The NIS domain name of this process's UTS namespace.
pub fn set_domainname(proc: impl AsFd, name: &str) -> Result<()> {
    write_proc(proc, "sys/kernel/domainname", name)
}

/// setrlimit(2) by OCI name (`RLIMIT_NOFILE`).
pub fn set_rlimit(name: &str, soft: u64, hard: u64) -> Result<()> {
    setrlimit(resource(name)?, soft, hard).with_context(|| format!("set {name} to {soft}:{hard}"))
}

fn resource(name: &str) -> Result<Resource> {
    Ok(match name {
        "RLIMIT_AS" => Resource::RLIMIT_AS,
        "RLIMIT_CORE" => Resource::RLIMIT_CORE,
        "RLIMIT_CPU" => Resource::RLIMIT_CPU,
        "RLIMIT_DATA" => Resource::RLIMIT_DATA,
        "RLIMIT_FSIZE" => Resource::RLIMIT_FSIZE,
        "RLIMIT_LOCKS" => Resource::RLIMIT_LOCKS,
        "RLIMIT_MEMLOCK" => Resource::RLIMIT_MEMLOCK,
        "RLIMIT_MSGQUEUE" => Resource::RLIMIT_MSGQUEUE,
        "RLIMIT_NICE" => Resource::RLIMIT_NICE,
        "RLIMIT_NOFILE" => Resource::RLIMIT_NOFILE,
        "RLIMIT_NPROC" => Resource::RLIMIT_NPROC,
        "RLIMIT_RSS" => Resource::RLIMIT_RSS,
        "RLIMIT_RTPRIO" => Resource::RLIMIT_RTPRIO,
        "RLIMIT_RTTIME" => Resource::RLIMIT_RTTIME,
        "RLIMIT_SIGPENDING" => Resource::RLIMIT_SIGPENDING,
        "RLIMIT_STACK" => Resource::RLIMIT_STACK,
        _ => bail!("unknown rlimit {name}"),
    })
}

/// Becomes the user: supplementary groups, group, user, in the order in which each is still allowed.
pub fn become_user(uid: u32, gid: u32, groups: &[u32], mask: u32) -> Result<()> {
    // Without this the permitted capabilities are lost when the user is no longer root; capset narrows them afterwards.
    nix::sys::prctl::set_keepcaps(true).context("prctl PR_SET_KEEPCAPS")?;
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).with_context(|| format!("setgroups {groups:?}"))?;
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setresgid(group, group, group).with_context(|| format!("setresgid {gid}"))?;
    setresuid(user, user, user).with_context(|| format!("setresuid {uid}"))?;
    umask(Mode::from_bits_truncate(mask));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_writes_cannot_leave_proc() {
        let proc = open_proc().unwrap();
        assert!(write_proc(&proc, "self/root/tmp/x", "1").is_err());
        assert!(write_proc(&proc, "../tmp/x", "1").is_err());
    }
}
