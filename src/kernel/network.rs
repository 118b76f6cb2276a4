//! The network namespace: network_namespaces(7), netdevice(7). A new one has only a loopback interface, and it is down.

use std::net::UdpSocket;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::sys;

/// Brings `lo` of this process's network namespace up; the kernel then gives it 127.0.0.1/8 and ::1.
pub fn loopback_up() -> Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .context("open socket")?;
    sys::interface_up(socket.as_fd(), c"lo").context("set lo up")?;
    // The address is there at once; binding to it proves that.
    UdpSocket::bind("127.0.0.1:0").context("bind to 127.0.0.1")?;
    Ok(())
}
