//! Descriptors that one process passes to another: unix(7), `SCM_RIGHTS`.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};

use super::sys;

/// The most that come with one message; the kernel closes what is sent beyond.
pub const MOST: usize = 8;

/// A pair of sockets to pass something through.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).context("socketpair")
}

/// Sends at least one byte, and descriptors with it; how many bytes were sent.
pub fn send(through: BorrowedFd, bytes: &[u8], descriptors: &[BorrowedFd]) -> nix::Result<usize> {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let rights = if numbers.is_empty() { &[][..] } else { &rights };
    // A reader that has gone is an error, not the end of this process.
    sendmsg::<()>(through.as_raw_fd(), &[IoSlice::new(bytes)], rights, MsgFlags::MSG_NOSIGNAL, None)
}

/// Takes what has arrived; no bytes: the other side has gone.
pub fn receive(through: BorrowedFd, into: &mut [u8]) -> nix::Result<(usize, Vec<OwnedFd>)> {
    sys::receive(through, into)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn descriptors_arrive_with_their_bytes_and_none_is_lost_or_invented() {
        let (here, there) = pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        send(here.as_fd(), b"two", &[writer.as_fd(), writer.as_fd()]).unwrap();
        send(here.as_fd(), b"none", &[]).unwrap();
        drop((here, writer));
        let mut bytes = [0; 16];
        let (length, descriptors) = receive(there.as_fd(), &mut bytes).unwrap();
        assert_eq!((&bytes[..length], descriptors.len()), (&b"two"[..], 2));
        for descriptor in descriptors {
            std::fs::File::from(descriptor).write_all(b"x").unwrap();
        }
        assert_eq!(receive(there.as_fd(), &mut bytes).map(|(length, all)| (length, all.len())), Ok((4, 0)));
        assert_eq!(receive(there.as_fd(), &mut bytes).map(|(length, all)| (length, all.len())), Ok((0, 0)));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "xx", "and every copy of the writer is closed");
    }

    #[test]
    fn of_too_many_descriptors_those_that_arrive_are_ours() {
        let (here, there) = pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        send(here.as_fd(), b"many", &[writer.as_fd(); MOST + 2]).unwrap();
        drop((here, writer));
        let (length, descriptors) = receive(there.as_fd(), &mut [0; 16]).unwrap();
        assert_eq!((length, descriptors.len()), (4, MOST));
        drop(descriptors);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "and no copy is left open");
    }
}
