//! Terminals: pty(7), termios(3), ioctl_tty(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
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

/// Makes a pseudoterminal in the devpts below a container's root, so that it has a name there.
///
/// The container can have put anything at `/dev/pts`: no symbolic link is followed, and what was opened must be the
/// pseudoterminal multiplexer of a devpts.
pub fn open(root: BorrowedFd) -> Result<Pair> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let master = openat2(root, "dev/pts/ptmx", how).context("open /dev/pts/ptmx")?;
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

/// Tells a terminal how many lines and columns it has.
pub fn set_size(terminal: BorrowedFd, height: u16, width: u16) -> Result<()> {
    let size = libc::winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    sys::set_window_size(terminal, &size).context("TIOCSWINSZ")
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
