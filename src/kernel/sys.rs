//! The one file with `unsafe`: system calls that nix does not wrap, each with a safe signature.
//!
//! Nothing here decides anything; every function is one system call, named after it. Descriptors come back owned and
//! close-on-exec. After [`clone3`] ordinary Rust may run in the child because the caller has one thread only
//! ([`super::process::assert_single_threaded`]).

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::mem::{size_of, zeroed};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{null, null_mut};

use nix::Result;
use nix::errno::Errno;

/// `CLONE_INTO_CGROUP`; libc's constant is a `c_int` and overflows to 0.
pub const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// On which side of [`clone3`] we are.
pub enum Clone {
    /// In the new process.
    Child,
    /// In the old one.
    Parent {
        /// The child's pid as this process sees it.
        pid: i32,
        /// A handle that cannot be reused for another process.
        pidfd: OwnedFd,
    },
}

fn check(result: i64) -> Result<i64> {
    if result < 0 { Err(Errno::last()) } else { Ok(result) }
}

/// Takes ownership of a descriptor that a system call has just returned.
fn owned(result: i64) -> Result<OwnedFd> {
    let fd = check(result)? as RawFd;
    // SAFETY: the kernel has just made this descriptor for us; nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// clone3(2) as a fork with flags: the child continues on a copy of this stack. `cgroup` (v2) makes it be born there.
pub fn clone3(flags: u64, cgroup: Option<BorrowedFd>) -> Result<Clone> {
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain data for which all zeroes is valid.
    let mut args: libc::clone_args = unsafe { zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    // With CLONE_PARENT the signal is that of the caller itself, and the kernel insists on 0 here.
    args.exit_signal = if flags & libc::CLONE_PARENT as u64 != 0 { 0 } else { libc::SIGCHLD as u64 };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child gets a copy of the address space, and no stack is passed, so it returns here
    // like a forked process; the caller is single-threaded, so no lock can be held by a thread that is gone.
    let pid =
        check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) })?;
    if pid == 0 {
        return Ok(Clone::Child);
    }
    // SAFETY: CLONE_PIDFD has stored a new descriptor that is ours.
    Ok(Clone::Parent { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
}

/// pidfd_open(2).
pub fn pidfd_open(pid: i32) -> Result<OwnedFd> {
    // SAFETY: takes no pointers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// pidfd_send_signal(2).
pub fn pidfd_send_signal(pidfd: BorrowedFd, signal: i32) -> Result<()> {
    // SAFETY: the siginfo pointer may be null.
    check(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, null::<libc::siginfo_t>(), 0)
    })?;
    Ok(())
}

/// close_range(2) with `CLOSE_RANGE_CLOEXEC`: whatever is open from `first` on closes at the next execve.
pub fn close_range_cloexec(first: u32) -> Result<()> {
    // SAFETY: takes no pointers; descriptors stay open, only a flag changes.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) })?;
    Ok(())
}

/// Sets every signal back to its default and unblocks all: Rust ignores SIGPIPE and that would survive execve.
pub fn reset_signals() -> Result<()> {
    // SAFETY: sigset_t and sigaction are plain data; SIG_DFL needs no handler; both pointers outlive the calls.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        for signal in 1..=libc::SIGRTMAX() {
            // SIGKILL, SIGSTOP and the two that glibc keeps for itself answer EINVAL: they are at their default.
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
        let mut set: libc::sigset_t = zeroed();
        libc::sigemptyset(&mut set);
        check(libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut()) as i64)?;
    }
    Ok(())
}

/// fsopen(2): a filesystem context for `kind`.
pub fn fsopen(kind: &CStr) -> Result<OwnedFd> {
    // SAFETY: `kind` is a valid C string.
    owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })
}

const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;

/// What [`fsconfig`] sets.
pub enum FsConfig<'a> {
    /// `FSCONFIG_SET_FLAG`.
    Flag(&'a CStr),
    /// `FSCONFIG_SET_STRING`.
    String(&'a CStr, &'a CStr),
    /// `FSCONFIG_CMD_CREATE`: make the superblock.
    Create,
}

/// fsconfig(2).
pub fn fsconfig(context: BorrowedFd, config: FsConfig) -> Result<()> {
    let (command, key, value) = match config {
        FsConfig::Flag(key) => (0, key.as_ptr(), null()),
        FsConfig::String(key, value) => (1, key.as_ptr(), value.as_ptr()),
        FsConfig::Create => (6, null(), null()),
    };
    // SAFETY: key and value are valid C strings or null where the command takes none.
    check(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, key, value, 0) })?;
    Ok(())
}

/// fsmount(2): a detached mount of the configured filesystem, with `MOUNT_ATTR_*`.
pub fn fsmount(context: BorrowedFd, attributes: u64) -> Result<OwnedFd> {
    // SAFETY: takes no pointers.
    owned(unsafe {
        libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, attributes as u32)
    })
}

/// open_tree(2) with `OPEN_TREE_CLONE`: a detached copy of the mount at `path` (below `directory`), with its submounts
/// when `recursive`. An empty path means `directory` itself.
pub fn open_tree_clone(directory: BorrowedFd, path: &CStr, recursive: bool) -> Result<OwnedFd> {
    const OPEN_TREE_CLONE: u32 = 1;
    let mut flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as u32 | libc::AT_EMPTY_PATH as u32;
    if recursive {
        flags |= AT_RECURSIVE;
    }
    // SAFETY: `path` is a valid C string.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, directory.as_raw_fd(), path.as_ptr(), flags) })
}

const AT_RECURSIVE: u32 = 0x8000;

/// move_mount(2): attaches the detached mount at exactly the place that `target` refers to.
pub fn move_mount(mount: BorrowedFd, target: BorrowedFd) -> Result<()> {
    const F_EMPTY_PATH: u32 = 0x4;
    const T_EMPTY_PATH: u32 = 0x40;
    // SAFETY: both paths are valid, empty C strings.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            F_EMPTY_PATH | T_EMPTY_PATH,
        )
    })?;
    Ok(())
}

/// What mount_setattr(2) changes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MountAttr {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub clear: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE` or 0.
    pub propagation: u64,
    /// For MOUNT_ATTR_IDMAP.
    pub userns_fd: u64,
}

/// mount_setattr(2) on the mount that `mount` refers to.
pub fn mount_setattr(mount: BorrowedFd, recursive: bool, attr: &MountAttr) -> Result<()> {
    let flags = libc::AT_EMPTY_PATH as u32 | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a valid empty C string, and `attr` has the layout of struct mount_attr.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            attr as *const MountAttr,
            size_of::<MountAttr>(),
        )
    })?;
    Ok(())
}

/// netdevice(7): sets `IFF_UP` on the interface, through any socket of its network namespace.
pub fn interface_up(socket: BorrowedFd, name: &CStr) -> Result<()> {
    // SAFETY: ifreq is plain data for which all zeroes is valid.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.to_bytes().iter().take(libc::IFNAMSIZ - 1)) {
        *to = *from as libc::c_char;
    }
    // SAFETY: both ioctls read and write one ifreq, which lives for the calls; the flags member of the union is the one
    // that SIOCGIFFLAGS fills.
    unsafe {
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) as i64)?;
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) as i64)?;
    }
    Ok(())
}

/// fcntl_locking(2): an all-zero lock description covers the whole file; `kind` is `F_WRLCK` or `F_UNLCK`.
pub fn whole_file_lock(kind: i32) -> libc::flock {
    // SAFETY: flock is plain data for which all zeroes is valid (whole file, pid 0 as OFD locks demand).
    let mut lock: libc::flock = unsafe { zeroed() };
    lock.l_type = kind as libc::c_short;
    lock
}

/// _exit(2): no exit handlers, no flushing of buffers that a forked child shares with its parent.
pub fn exit(code: i32) -> ! {
    // SAFETY: takes no pointers and does not return.
    unsafe { libc::_exit(code) }
}

/// prctl(2) `PR_CAPBSET_DROP`, by number, so that capabilities newer than our libraries are dropped too.
pub fn drop_bounding(capability: u32) -> Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) } as i64)?;
    Ok(())
}

/// close_range(2): closes every descriptor from 3 on that is not in `keep`.
pub fn close_all_but(keep: &[RawFd]) -> Result<()> {
    let mut keep: Vec<u32> = keep.iter().map(|fd| *fd as u32).filter(|fd| *fd > 2).collect();
    keep.sort_unstable();
    let mut first = 3;
    for fd in keep.into_iter().chain([u32::MAX]) {
        if fd > first {
            // SAFETY: takes no pointers. The caller owns no descriptor outside `keep`: it has just been forked and uses
            // nothing of what its parent had open.
            check(unsafe { libc::syscall(libc::SYS_close_range, first, fd - 1, 0) })?;
        }
        first = fd.saturating_add(1);
    }
    Ok(())
}

// bpf(2), as far as a device filter of cgroup v2 needs it.

const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_ATTACH: i32 = 8;
const BPF_PROG_DETACH: i32 = 9;
const BPF_PROG_GET_FD_BY_ID: i32 = 13;
const BPF_PROG_QUERY: i32 = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
/// Every program from here up to the root must agree; those of cgroups below cannot override this one.
const BPF_F_ALLOW_MULTI: u32 = 2;

#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
}

#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

#[repr(C)]
struct Query {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

fn bpf<T>(command: i32, attributes: &mut T) -> Result<i64> {
    // SAFETY: every caller passes the prefix of union bpf_attr that its command reads (the kernel takes the rest as zero),
    // and the pointers in it are valid for the call.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, attributes as *mut T, size_of::<T>()) })
}

/// `BPF_PROG_LOAD` of a cgroup device program.
pub fn load_device_program(instructions: &[u64]) -> Result<OwnedFd> {
    let license = c"Apache-2.0";
    let mut load = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
    };
    owned(bpf(BPF_PROG_LOAD, &mut load)?)
}

/// `BPF_PROG_ATTACH` to the v2 cgroup, in addition to what is attached already.
pub fn attach_device_program(cgroup: BorrowedFd, program: BorrowedFd) -> Result<()> {
    bpf(BPF_PROG_ATTACH, &mut attachment(cgroup, program, BPF_F_ALLOW_MULTI))?;
    Ok(())
}

/// `BPF_PROG_DETACH`.
pub fn detach_device_program(cgroup: BorrowedFd, program: BorrowedFd) -> Result<()> {
    bpf(BPF_PROG_DETACH, &mut attachment(cgroup, program, 0))?;
    Ok(())
}

fn attachment(cgroup: BorrowedFd, program: BorrowedFd, flags: u32) -> Attach {
    let (target, program) = (cgroup.as_raw_fd() as u32, program.as_raw_fd() as u32);
    Attach { target, program, kind: BPF_CGROUP_DEVICE, flags }
}

/// `BPF_PROG_QUERY`: ids of the device programs attached to this very cgroup (the kernel allows 64).
pub fn device_programs(cgroup: BorrowedFd) -> Result<Vec<u32>> {
    let mut ids = [0u32; 64];
    let mut query = Query {
        target: cgroup.as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: ids.len() as u32,
        padding: 0,
    };
    bpf(BPF_PROG_QUERY, &mut query)?;
    Ok(ids[..query.count as usize].to_vec())
}

/// `BPF_PROG_GET_FD_BY_ID`.
pub fn program_by_id(id: u32) -> Result<OwnedFd> {
    let mut attributes = [id, 0, 0];
    owned(bpf(BPF_PROG_GET_FD_BY_ID, &mut attributes)?)
}

/// ioctl_tty(2) TIOCSPTLCK: lets the other end of a new pseudoterminal be opened.
pub fn unlock_terminal(master: BorrowedFd) -> Result<()> {
    let locked: libc::c_int = 0;
    // SAFETY: reads one int, which lives for the call.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const locked) } as i64).map(drop)
}

/// ioctl_tty(2) TIOCGPTPEER: the other end, without going through any path.
pub fn terminal_peer(master: BorrowedFd) -> Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: takes its argument by value.
    owned(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) } as i64)
}

/// ioctl_tty(2) TIOCSCTTY: makes it the controlling terminal of this session, which has none.
pub fn take_terminal(terminal: BorrowedFd) -> Result<()> {
    // SAFETY: takes its argument by value.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) } as i64).map(drop)
}

/// ioctl_tty(2) TIOCGWINSZ: rows and columns.
pub fn window_size(terminal: BorrowedFd) -> Result<libc::winsize> {
    // SAFETY: winsize is plain data for which all zeroes is valid.
    let mut size: libc::winsize = unsafe { zeroed() };
    // SAFETY: fills one winsize, which lives for the call.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) } as i64)?;
    Ok(size)
}

/// ioctl_tty(2) TIOCSWINSZ.
pub fn set_window_size(terminal: BorrowedFd, size: &libc::winsize) -> Result<()> {
    // SAFETY: reads one winsize, which lives for the call.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const *size) } as i64).map(drop)
}

/// recvmsg(2): bytes, and the descriptors that came with them, unix(7) `SCM_RIGHTS`. When there were more than 8, or this process
/// can have no more, the rest is lost, and those that were put into it are ours all the same; nix forgets them then.
pub fn receive(socket: BorrowedFd, into: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
    // SAFETY: a header and eight descriptors, each rounded up to a word; only a number is computed.
    const ROOM: usize = unsafe { libc::CMSG_SPACE(8 * size_of::<RawFd>() as u32) } as usize;
    let mut room = [0u64; ROOM / size_of::<u64>()]; // aligned as a header has to be
    let mut buffer = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: a msghdr is plain data for which zeros are valid.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut buffer;
    message.msg_iovlen = 1;
    message.msg_control = room.as_mut_ptr().cast();
    message.msg_controllen = ROOM;
    // SAFETY: bytes, room and the structures that point to them live for the call, and the lengths are theirs.
    let length =
        check(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) } as i64)?;
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has set how much of the room it has filled.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: the header lies in the room, and so do as many bytes as it says.
        let (head, data) = unsafe { (header.read_unaligned(), libc::CMSG_DATA(header).cast::<RawFd>()) };
        if (head.cmsg_level, head.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            let start = data as usize - header as usize;
            let count = head.cmsg_len.saturating_sub(start) / size_of::<RawFd>();
            // SAFETY: so many descriptors stand there; the kernel has just made them for us, and nobody else knows their numbers.
            descriptors
                .extend((0..count).map(|n| unsafe { OwnedFd::from_raw_fd(data.add(n).read_unaligned()) }));
        }
        // SAFETY: as for the first.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Ok((length as usize, descriptors))
}

/// seccomp(2) `SECCOMP_SET_MODE_FILTER`: from here on the program decides about every system call of this process. With
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER` there is a descriptor through which an agent decides.
pub fn install_filter(instructions: &[libc::sock_filter], flags: u64) -> Result<Option<OwnedFd>> {
    let program = libc::sock_fprog {
        len: u16::try_from(instructions.len()).map_err(|_| Errno::EINVAL)?,
        filter: instructions.as_ptr().cast_mut(), // the kernel only reads it
    };
    // SAFETY: program and instructions live for the call, and the length is theirs.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    let has_listener = flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0;
    if has_listener { owned(result).map(Some) } else { check(result).map(|_| None) }
}

/// Whether seccomp(2) knows `SECCOMP_FILTER_FLAG_*`: unknown ones are EINVAL before it looks at the program.
pub fn knows_filter_flags(flags: u64) -> bool {
    let none = null::<libc::sock_fprog>();
    // SAFETY: a program that is null is an error, so nothing is installed.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, none) };
    check(result) == Err(Errno::EFAULT)
}

/// Whether a descriptor of this number is open.
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: takes no pointers; a number that is not open is answered with an error.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// fcntl(2) `F_SETFD` without `FD_CLOEXEC`: the descriptor stays open at execve.
pub fn keep_at_exec(fd: RawFd) -> Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } as i64).map(drop)
}

/// accept4(2), closed at execve.
pub fn accept(socket: BorrowedFd) -> Result<OwnedFd> {
    // SAFETY: the address may be null.
    owned(unsafe {
        libc::accept4(socket.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC)
    } as i64)
}

/// struct sched_attr of sched_setattr(2), as its first version has it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct SchedAttr {
    /// Size of this structure.
    pub size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Of `SCHED_OTHER` and `SCHED_BATCH`.
    pub nice: i32,
    /// Of `SCHED_FIFO` and `SCHED_RR`.
    pub priority: u32,
    /// Of `SCHED_DEADLINE`, nanoseconds.
    pub runtime: u64,
    /// Nanoseconds.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

/// sched_setattr(2) of this process.
pub fn sched_setattr(attributes: &SchedAttr) -> Result<()> {
    let attributes = SchedAttr { size: size_of::<SchedAttr>() as u32, ..*attributes };
    // SAFETY: reads one sched_attr of the size that it names, which lives for the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) }).map(drop)
}

/// ioprio_set(2) of this process: class and level in one number.
pub fn ioprio_set(value: u32) -> Result<()> {
    const WHO_PROCESS: i32 = 1;
    // SAFETY: takes no pointers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) }).map(drop)
}

/// set_mempolicy(2): mode with its flags, and a mask of NUMA nodes.
pub fn set_mempolicy(mode: i32, nodes: &[u64]) -> Result<()> {
    let (mask, bits) = if nodes.is_empty() { (null(), 0) } else { (nodes.as_ptr(), nodes.len() * 64 + 1) };
    // SAFETY: the mask has as many bits as are named, but for the last, which the kernel subtracts again.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}

/// keyctl(2) `KEYCTL_JOIN_SESSION_KEYRING` without a name: a new, empty one.
pub fn new_session_keyring() -> Result<()> {
    const JOIN_SESSION_KEYRING: i32 = 1;
    // SAFETY: the name may be null.
    check(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, null::<libc::c_char>(), 0, 0, 0) })
        .map(drop)
}

/// One of the program's headers, elf(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// `PT_*`.
    pub kind: u32,
    /// `PF_*`.
    pub flags: u32,
    /// Where it is in memory; what lies beyond `in_file` is not from the file.
    pub place: Range<usize>,
    /// Where it begins in the file, in bytes.
    pub offset: usize,
    /// Bytes from the file.
    pub in_file: usize,
}

/// dl_iterate_phdr(3): the segments of the running program itself.
pub fn segments() -> Vec<Segment> {
    unsafe extern "C" fn first(
        info: *mut libc::dl_phdr_info,
        _: libc::size_t,
        to: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the C library lends what it has loaded first, which is the program, and `to` as it was given below.
        let (info, segments) = unsafe { (&*info, &mut *to.cast::<Vec<Segment>>()) };
        // SAFETY: so many headers are there, for as long as the program runs.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        segments.extend(headers.iter().map(|header| {
            let start = (info.dlpi_addr + header.p_vaddr) as usize;
            Segment {
                kind: header.p_type,
                flags: header.p_flags,
                place: start..start + header.p_memsz as usize,
                offset: header.p_offset as usize,
                in_file: header.p_filesz as usize,
            }
        }));
        1
    }
    let mut segments = Vec::new();
    // SAFETY: `first` is called before this returns and takes the vector for what it is.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut segments).cast()) };
    segments
}

/// Pages of the program's own file that are mapped in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// Addresses.
    pub place: Range<usize>,
    /// `PROT_*`.
    pub rights: i32,
    /// Where it begins in the file, in bytes.
    pub offset: i64,
    /// It need not be as in the file any more.
    pub is_written: bool,
}

/// Maps a part of the running program once more: from `file`, which is the same file by another mount, or as a copy in memory
/// if it was written to. This process has one thread, and the part is mapped as its headers say.
pub fn map_again(part: &Mapped, file: BorrowedFd) -> Result<()> {
    let (place, length) = (part.place.start as *mut libc::c_void, part.place.len());
    let mapped = |at| if at == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(at) };
    const WRITABLE: i32 = libc::PROT_READ | libc::PROT_WRITE;
    const IN_MEMORY: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
    const THERE: i32 = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: one call puts the same bytes in the place of those that are there: of the same file, which nobody can write to
    // while it is executed, or of a copy that was made while nothing else ran and that nothing else knows of.
    unsafe {
        if !part.is_written {
            let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
            return mapped(libc::mmap(place, length, part.rights, flags, file.as_raw_fd(), part.offset))
                .map(drop);
        }
        let copy = mapped(libc::mmap(null_mut(), length, WRITABLE, IN_MEMORY, -1, 0))?;
        std::ptr::copy_nonoverlapping(place.cast::<u8>(), copy.cast(), length);
        check(libc::mprotect(copy, length, part.rights).into())?;
        mapped(libc::mremap(copy, length, length, THERE, place)).map(drop)
    }
}

/// madvise(2) `MADV_DONTNEED`: a part of the running program to which nobody has written comes from its file again, page by page,
/// when it is used.
pub fn forget(part: &Mapped) -> Result<()> {
    if part.is_written {
        return Err(Errno::EINVAL);
    }
    let place = part.place.start as *mut libc::c_void;
    // SAFETY: the part is as in its file, so nothing is lost.
    check(unsafe { libc::madvise(place, part.place.len(), libc::MADV_DONTNEED) }.into()).map(drop)
}

/// prctl(2) `PR_SET_MM_MAP`: what `/proc/PID/exe` of this process leads to. It may have nothing mapped of the old file. The call
/// also says where things are in this process: for that to stay as it is, `places` has fields 26, 27, 45, 46, 47, 28 and 48–51
/// of proc_pid_stat(5). (There is `PR_SET_MM_EXE_FILE`, which is simpler, but needs CAP_SYS_RESOURCE.)
pub fn set_exe_file(file: BorrowedFd, places: [u64; 10]) -> Result<()> {
    #[repr(C)]
    struct Map {
        code_data_and_start_of_break: [u64; 5],
        end_of_break: u64,
        stack_arguments_and_environment: [u64; 5],
        auxv: u64,
        auxv_size: u32,
        exe: u32,
    }
    let [code @ .., stack, arguments, arguments_end, environment, environment_end] = places;
    let map = Map {
        code_data_and_start_of_break: code,
        // SAFETY: with 0 it only tells.
        end_of_break: unsafe { libc::sbrk(0) } as u64,
        stack_arguments_and_environment: [stack, arguments, arguments_end, environment, environment_end],
        auxv: 0,
        auxv_size: 0,
        exe: file.as_raw_fd() as u32,
    };
    const SIZE: usize = size_of::<Map>();
    // SAFETY: reads one struct prctl_mm_map of that size, which lives for the call.
    check(unsafe { libc::prctl(libc::PR_SET_MM, libc::PR_SET_MM_MAP, &raw const map, SIZE, 0) }.into())
        .map(drop)
}
