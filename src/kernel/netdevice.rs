//! Network devices that move to another network namespace: network_namespaces(7), netlink(7), rtnetlink(7).
//!
//! A few messages are built and read by hand. Each is a header, a structure that depends on its kind, and attributes:
//!
//! ```text
//!   nlmsghdr   length, kind, flags, sequence, port    16 bytes
//!   ifinfomsg  family, type, index, flags, change     16 bytes, of a device
//!   ifaddrmsg  family, prefix, flags, scope, index     8 bytes, of an address
//!   rtattr     length, kind, value                     padded to a multiple of 4
//! ```

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket, sockopt,
};
use nix::sys::stat::fstat;
use nix::sys::time::{TimeVal, TimeValLike};

use super::namespace;

/// Devices on their way from this process's network namespace to another one, and back should that be undone.
///
/// When the other namespace ends, a physical device falls back to the initial namespace by itself. A virtual one (veth,
/// dummy, macvlan …) is destroyed by the kernel: so [`Move::undo`] must come while this still holds the namespace, and
/// there is nothing to undo with when this process is killed.
pub struct Move {
    own: OwnedFd,
    other: OwnedFd,
    here: Netlink,
    there: Netlink,
    moved: Vec<Moved>,
}

struct Moved {
    name: String,
    inside: String,
    was_up: bool,
    addresses: Vec<Address>,
}

impl Move {
    /// `other`: the network namespace to move to, as `/proc/PID/ns/net`. This process visits it for a moment.
    pub fn to(other: OwnedFd) -> Result<Move> {
        let own = namespace::open(Path::new("/proc/thread-self/ns/net"))?;
        let identity = |namespace: &OwnedFd| fstat(namespace).map(|stat| (stat.st_dev, stat.st_ino));
        ensure!(identity(&own)? != identity(&other)?, "the network namespace is that of the runtime");
        let here = Netlink::open()?;
        setns(&other, CloneFlags::CLONE_NEWNET).context("setns")?;
        let there = Netlink::open();
        // Whatever became of the socket: this process goes on where it was.
        setns(&own, CloneFlags::CLONE_NEWNET).context("setns back")?;
        Ok(Move { own, other, here, there: there?, moved: Vec::new() })
    }

    /// Moves a device, gives it another name there, its global addresses, and sets it up.
    pub fn take(&mut self, name: &str, inside: &str) -> Result<()> {
        let link = self.here.link(name)?.context("there is no such network device")?;
        ensure!(link.name == name, "the network device is called {}", link.name);
        // The kernel would move it first, and only then find out that it cannot rename it.
        ensure!(self.there.link(inside)?.is_none(), "the network namespace has a device {inside} already");
        // They do not survive the move.
        let addresses = self.here.addresses(link.index)?;
        self.here.give(link.index, inside, self.other.as_fd()).context("move network device")?;
        let settled = self.there.settle(inside, &addresses, true);
        let (name, inside, was_up) = (name.to_owned(), inside.to_owned(), link.is_up());
        self.moved.push(Moved { name, inside, was_up, addresses });
        settled
    }

    /// Moves all devices back, to their names, with the same addresses, up or down as they were. All are tried; the first error.
    pub fn undo(mut self) -> Result<()> {
        let mut result = Ok(());
        while let Some(moved) = self.moved.pop() {
            let back = self.back(&moved).with_context(|| format!("move {} back", moved.name));
            result = result.and(back);
        }
        result
    }

    fn back(&mut self, moved: &Moved) -> Result<()> {
        let link = self.there.link(&moved.inside)?.context("it is gone")?;
        self.there.give(link.index, &moved.name, self.own.as_fd()).context("move network device")?;
        self.here.settle(&moved.name, &moved.addresses, moved.was_up)
    }
}

/// A device, as far as moving it needs.
struct Link {
    /// What it was looked up by may be another name that it has.
    name: String,
    index: i32,
    flags: u32,
}

impl Link {
    fn is_up(&self) -> bool {
        self.flags & libc::IFF_UP as u32 != 0
    }
}

/// An address of a device.
struct Address {
    /// struct ifaddrmsg
    head: [u8; 8],
    /// Those of its attributes that say what it is.
    attributes: Vec<u8>,
}

/// A socket to the routing part of the kernel; it stays in the network namespace that it was opened in.
struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

const HEADER: usize = 16;

/// What linux/if_addr.h calls `IFA_RT_PRIORITY`.
const IFA_RT_PRIORITY: u16 = 9;

impl Netlink {
    fn open() -> Result<Netlink> {
        let socket =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
                .context("open netlink socket")?;
        // The kernel answers at once. Should it ever not, that is an error and no wait.
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(10)).context("setsockopt")?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// The device of this name, if there is one.
    fn link(&mut self, name: &str) -> Result<Option<Link>> {
        let mut body = link_message(0, 0, 0);
        attribute(&mut body, libc::IFLA_IFNAME, &name_value(name));
        let answers = match self.request(libc::RTM_GETLINK, libc::NLM_F_ACK, &body) {
            Err(Errno::ENODEV) => return Ok(None),
            other => other.context("RTM_GETLINK")?,
        };
        let link = answers.first().and_then(|answer| {
            let attributes = attributes(answer.get(16..)?);
            let (_, name) = attributes.into_iter().find(|(kind, _)| *kind == libc::IFLA_IFNAME)?;
            let name = CStr::from_bytes_until_nul(name).ok()?.to_string_lossy().into_owned();
            Some(Link { name, index: number(answer, 4)? as i32, flags: number(answer, 8)? })
        });
        link.context("RTM_GETLINK: no answer").map(Some)
    }

    /// Its permanent addresses of global scope.
    fn addresses(&mut self, index: i32) -> Result<Vec<Address>> {
        let mut list = || self.request(libc::RTM_GETADDR, libc::NLM_F_DUMP, &[0; 8]);
        let mut answers = list();
        // Somebody may change addresses meanwhile, of whichever device.
        for _ in 0..10 {
            if answers == Err(Errno::EINTR) {
                answers = list();
            }
        }
        let answers = answers.context("RTM_GETADDR")?;
        Ok(answers.iter().filter_map(|answer| permanent_address(answer, index)).collect())
    }

    /// Gives a device to another network namespace, under a name. The kernel shuts it down before.
    fn give(&mut self, index: i32, name: &str, namespace: BorrowedFd) -> Result<(), Errno> {
        let mut body = link_message(index, 0, 0);
        attribute(&mut body, libc::IFLA_IFNAME, &name_value(name));
        attribute(&mut body, libc::IFLA_NET_NS_FD, &(namespace.as_raw_fd() as u32).to_ne_bytes());
        self.request(libc::RTM_SETLINK, libc::NLM_F_ACK, &body).map(drop)
    }

    /// Gives a device that has just come its addresses, and sets it up.
    fn settle(&mut self, name: &str, addresses: &[Address], up: bool) -> Result<()> {
        // Its index may have been taken here.
        let Link { index, .. } = self.link(name)?.context("it is gone")?;
        for address in addresses {
            let mut body = address.head.to_vec();
            body[4..8].copy_from_slice(&index.to_ne_bytes());
            body.extend(&address.attributes);
            let flags = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
            self.request(libc::RTM_NEWADDR, flags, &body).context("set address")?;
        }
        if up {
            let flag = libc::IFF_UP as u32;
            self.request(libc::RTM_SETLINK, libc::NLM_F_ACK, &link_message(index, flag, flag))
                .context("set up")?;
        }
        Ok(())
    }

    /// Sends one message, and reads what is answered up to the end of it: the answers without their headers.
    ///
    /// # Errors
    /// EINTR when a list has changed while it was read.
    fn request(&mut self, kind: u16, flags: i32, body: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        self.sequence += 1;
        let mut message = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(((libc::NLM_F_REQUEST | flags) as u16).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0u32.to_ne_bytes()); // the kernel's port
        message.extend(body);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;
        let (mut answers, mut changed) = (Vec::new(), false);
        let mut piece = vec![0; 64 << 10];
        loop {
            let length = match recv(self.socket.as_raw_fd(), &mut piece, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            let mut rest = &piece[..length];
            while !rest.is_empty() {
                let length = number(rest, 0).ok_or(Errno::EBADMSG)? as usize;
                let message = rest.get(..length).filter(|_| length >= HEADER).ok_or(Errno::EBADMSG)?;
                rest = rest.get(padded(length)..).unwrap_or_default();
                if number(message, 8) != Some(self.sequence) {
                    continue;
                }
                let answer = &message[HEADER..];
                let [kind, flags] =
                    [4, 6].map(|at| i32::from(u16::from_ne_bytes([message[at], message[at + 1]])));
                changed |= flags & libc::NLM_F_DUMP_INTR != 0;
                match kind {
                    // Both have an errno, negative, or zero. A list may be without.
                    libc::NLMSG_ERROR | libc::NLMSG_DONE => match number(answer, 0).unwrap_or(0) as i32 {
                        0 if changed => return Err(Errno::EINTR),
                        0 => return Ok(answers),
                        errno => return Err(Errno::from_raw(-errno)),
                    },
                    _ => answers.push(answer.to_vec()),
                }
            }
        }
    }
}

/// struct ifinfomsg
fn link_message(index: i32, flags: u32, change: u32) -> Vec<u8> {
    let mut message = vec![0; 4]; // any family, any type
    message.extend(index.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(change.to_ne_bytes());
    message
}

/// An answer about an address, if it is one to keep: of this device, global, and not one that somebody has to renew.
fn permanent_address(answer: &[u8], index: i32) -> Option<Address> {
    let (head, rest) = answer.split_first_chunk::<8>()?;
    let attributes = attributes(rest);
    let flags = attributes.iter().find(|(kind, _)| *kind == libc::IFA_FLAGS);
    let flags = flags.and_then(|(_, value)| number(value, 0)).unwrap_or(u32::from(head[2]));
    let is_global = head[3] == libc::RT_SCOPE_UNIVERSE;
    if number(head, 4)? as i32 != index || !is_global || flags & libc::IFA_F_PERMANENT == 0 {
        return None;
    }
    // Not its label, which begins with the name that the device had.
    let keep = [
        libc::IFA_ADDRESS,
        libc::IFA_LOCAL,
        libc::IFA_BROADCAST,
        libc::IFA_CACHEINFO,
        libc::IFA_FLAGS,
        IFA_RT_PRIORITY,
    ];
    let mut kept = Vec::new();
    for (kind, value) in attributes.into_iter().filter(|(kind, _)| keep.contains(kind)) {
        attribute(&mut kept, kind, value);
    }
    Some(Address { head: *head, attributes: kept })
}

/// Adds an attribute to a message.
fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(((4 + value.len()) as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(padded(message.len()), 0);
}

/// The attributes of a message, up to one that does not fit in.
fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut all = Vec::new();
    while let [a, b, c, d, ..] = *bytes {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let Some(value) = bytes.get(4..length) else { break };
        all.push((u16::from_ne_bytes([c, d]), value));
        bytes = bytes.get(padded(length)..).unwrap_or_default();
    }
    all
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// The 32-bit number at a place of a message.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|number| u32::from_ne_bytes(*number))
}

fn name_value(name: &str) -> Vec<u8> {
    let mut value = name.as_bytes().to_vec();
    value.push(0);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(index: i32, scope: u8, flags: u32) -> Vec<u8> {
        let mut answer = vec![2, 24, 0, scope];
        answer.extend(index.to_ne_bytes());
        attribute(&mut answer, libc::IFA_LOCAL, &[192, 0, 2, 7]);
        attribute(&mut answer, libc::IFA_LABEL, b"eth0\0");
        attribute(&mut answer, libc::IFA_FLAGS, &flags.to_ne_bytes());
        answer
    }

    #[test]
    fn addresses_that_are_global_and_permanent_are_kept_without_their_label() {
        let kept = permanent_address(&address(3, 0, libc::IFA_F_PERMANENT), 3).unwrap();
        let kinds: Vec<u16> = attributes(&kept.attributes).iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [libc::IFA_LOCAL, libc::IFA_FLAGS]);
        assert_eq!(attributes(&kept.attributes)[0].1, [192, 0, 2, 7]);
        let others = [(4, 0, libc::IFA_F_PERMANENT), (3, 253, libc::IFA_F_PERMANENT), (3, 0, 0)];
        for (index, scope, flags) in others {
            assert!(permanent_address(&address(index, scope, flags), 3).is_none());
        }
    }

    #[test]
    fn attributes_are_padded_and_one_that_does_not_fit_ends_them() {
        let mut message = Vec::new();
        attribute(&mut message, 3, b"lo\0");
        attribute(&mut message, 28, &7u32.to_ne_bytes());
        assert_eq!(message.len(), 16);
        assert_eq!(attributes(&message), [(3, b"lo\0".as_slice()), (28, &7u32.to_ne_bytes())]);
        for bad in [0u16, 3, 200] {
            let mut cut = message.clone();
            cut[8..10].copy_from_slice(&bad.to_ne_bytes());
            assert_eq!(attributes(&cut), [(3, b"lo\0".as_slice())], "{bad}");
        }
    }
}
