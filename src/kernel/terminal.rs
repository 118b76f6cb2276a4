//! Terminals: pty(7), termios(3), ioctl_tty(2).

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};
use nix::sys::stat::{fstat, major, minor};
use nix::sys::statfs::{DEVPTS_SUPER_MAGIC, fstatfs};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use super::sys;

/// A new pseudoterminal.
pub struct Pair {
    /// The end of whoever shows it.
    pub master: OwnedFd,
    /// The end of the programs that run in it.
    pub terminal: OwnedFd,
}

/// Makes a pseudoterminal in the devpts of this mount namespace, so that it has a name there.
///
/// The namespace may be a container's, which can have put anything at `/dev/pts`: no symbolic link is followed, and what
/// was opened must be the pseudoterminal multiplexer of a devpts.
pub fn open() -> Result<Pair> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let here = nix::fcntl::AT_FDCWD;
    let master = openat2(here, "/dev/pts/ptmx", how).context("open /dev/pts/ptmx")?;
    let device = fstat(&master).context("stat /dev/pts/ptmx")?.st_rdev;
    let filesystem = fstatfs(&master).context("statfs /dev/pts/ptmx")?.filesystem_type();
    ensure!(
        (major(device), minor(device)) == (5, 2) && filesystem == DEVPTS_SUPER_MAGIC,
        "/dev/pts/ptmx is not the pseudoterminal multiplexer"
    );
    sys::unlock_terminal(master.as_fd()).context("TIOCSPTLCK")?;
    let terminal = sys::terminal_peer(master.as_fd()).context("TIOCGPTPEER")?;
    Ok(Pair { master, terminal })
}

/// A pair of sockets to pass a descriptor through, unix(7).
pub fn passage() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).context("socketpair")
}

/// Passes a descriptor on.
pub fn send(through: BorrowedFd, descriptor: BorrowedFd) -> Result<()> {
    let numbers = [descriptor.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&numbers)];
    let byte = [IoSlice::new(&[0])];
    sendmsg::<()>(through.as_raw_fd(), &byte, &rights, MsgFlags::empty(), None)
        .context("pass the terminal on")?;
    Ok(())
}

/// Takes a descriptor; `None` when the other side has gone without sending one.
pub fn receive(through: BorrowedFd) -> Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let mut buffer = [IoSliceMut::new(&mut byte)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(through.as_raw_fd(), &mut buffer, Some(&mut space), flags)
        .context("take the terminal")?;
    for message in message.cmsgs().context("take the terminal")? {
        if let ControlMessageOwned::ScmRights(numbers) = message
            && let Some(number) = numbers.first()
        {
            return Ok(Some(sys::own_received(*number)));
        }
    }
    Ok(None)
}

/// The settings of a terminal while bytes pass through it unchanged; the old ones come back when this is dropped.
pub struct Raw<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl Raw<'_> {
    /// Switches.
    pub fn new(terminal: BorrowedFd) -> Result<Raw> {
        let before = tcgetattr(terminal).context("tcgetattr")?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(terminal, SetArg::TCSADRAIN, &raw).context("tcsetattr")?;
        Ok(Raw { terminal, before })
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        // A terminal that has gone needs no settings.
        tcsetattr(self.terminal, SetArg::TCSADRAIN, &self.before).ok();
    }
}
