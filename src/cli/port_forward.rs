//! `barepod port-forward`
//!
//! A socket belongs to the network namespace in which it was made, whoever uses it later. So this process listens on the
//! host, and for each connection forks one that joins the pod's network namespace, connects there, and passes bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde_json::Value;

use crate::kernel::namespace;
use crate::kernel::process::{self, Child, Placement};
use crate::pod::store::{Liveness, Store};

/// Let connections to a loopback port of the host go to a port of the pod.
#[derive(Debug, Args)]
pub struct Options {
    /// Pod name
    pod: String,
    /// [LOCAL:]PORT: a port of the pod by number or name, and the port of the host; an empty LOCAL or 0 is any free one
    #[arg(required = true, value_name = "[LOCAL:]PORT")]
    ports: Vec<String>,
}

/// How long the pod may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Runs the verb.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    super::need_root("port-forward")?;
    let (record, liveness) = store.view(&options.pod)?;
    if liveness != Liveness::Running {
        bail!("port-forward {}: the pod has ended", options.pod);
    }
    forward(&record.object, record.init.context("the pod has no init process")?.open()?, &options.ports)
        .with_context(|| format!("port-forward {}", options.pod))
}

fn forward(object: &Value, init: OwnedFd, ports: &[String]) -> Result<i32> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block().context("block signals")?;
    let signals =
        SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).context("signalfd")?;
    let listeners: Vec<(TcpListener, u16)> =
        ports.iter().map(|text| listen(object, text)).collect::<Result<_>>()?;
    let mut children: Vec<Child> = Vec::new();
    let code = loop {
        let mut all: Vec<BorrowedFd> = vec![signals.as_fd(), init.as_fd()];
        all.extend(listeners.iter().map(|(listener, _)| listener.as_fd()));
        all.extend(children.iter().map(|child| child.pidfd.as_fd()));
        let mut all: Vec<PollFd> = all.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut all, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
        if let Some(signal) = signals.read_signal().context("read signalfd")? {
            break 128 + signal.ssi_signo as i32;
        }
        if process::readable(init.as_fd(), Duration::ZERO)? {
            super::say("barepod: port-forward: the pod has ended");
            break 0;
        }
        for (listener, port) in &listeners {
            match listener.accept() {
                Ok((stream, _)) => children.push(serve(stream, init.as_fd(), *port)?),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {}
                Err(error) => return Err(error).context("accept"),
            }
        }
        let mut living = Vec::new();
        for child in children {
            if process::wait(&child, Some(Duration::ZERO))?.is_none() {
                living.push(child);
            }
        }
        children = living;
    };
    for child in &children {
        process::kill(child.pidfd.as_fd())?;
        process::wait(child, Some(Duration::from_secs(2)))?;
    }
    Ok(code)
}

/// Listens on the host and says so, in kubectl's words.
fn listen(object: &Value, text: &str) -> Result<(TcpListener, u16)> {
    let (local, remote) = match text.split_once(':') {
        Some((local, remote)) => (Some(local), remote),
        None => (None, text),
    };
    let remote = port_of_pod(object, remote)?;
    let local = match local {
        None => remote,
        Some("") => 0,
        Some(number) => number.parse().with_context(|| format!("{text}: no port {number}"))?,
    };
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, local)).with_context(|| format!("listen on port {local}"))?;
    listener.set_nonblocking(true).context("make the listener non-blocking")?;
    let here = listener.local_addr().context("name the listener")?;
    super::print(&format!("Forwarding from {here} -> {remote}"))?;
    Ok((listener, remote))
}

/// A port by number, or by its name in the manifest.
fn port_of_pod(object: &Value, text: &str) -> Result<u16> {
    if let Ok(number) = text.parse::<u16>() {
        ensure!(number > 0, "no port 0");
        return Ok(number);
    }
    let lists = ["initContainers", "containers"].into_iter().map(|list| &object["spec"][list]);
    let containers = lists.filter_map(Value::as_array).flatten();
    let mut ports = containers.filter_map(|container| container["ports"].as_array()).flatten();
    let port = ports.find(|port| port["name"] == text).and_then(|port| port["containerPort"].as_u64());
    port.and_then(|port| u16::try_from(port).ok()).with_context(|| format!("the pod has no port {text:?}"))
}

fn serve(stream: TcpStream, init: BorrowedFd, port: u16) -> Result<Child> {
    let keep = vec![stream.as_raw_fd(), init.as_raw_fd()];
    process::spawn(&Placement { keep: Some(keep), ..Placement::default() }, || {
        let connect = || -> Result<TcpStream> {
            namespace::join_process(init, nix::sched::CloneFlags::CLONE_NEWNET)?;
            let there = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            TcpStream::connect_timeout(&there, CONNECT)
                .with_context(|| format!("connect to port {port} of the pod"))
        };
        match connect().and_then(|there| pass(stream, there)) {
            Ok(()) => 0,
            Err(error) => {
                super::say(&format!("barepod: port-forward: {error:#}"));
                1
            }
        }
    })
    .context("serve a connection")
}

/// Passes bytes both ways until both sides have said all.
fn pass(here: TcpStream, there: TcpStream) -> Result<()> {
    let mut open = [true, true];
    let ends = [here, there];
    while open.contains(&true) {
        // A side that has ended is not asked any more, only written to.
        let mut all: Vec<PollFd> =
            (0..2).filter(|n| open[*n]).map(|n| PollFd::new(ends[n].as_fd(), PollFlags::POLLIN)).collect();
        match poll(&mut all, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
        for n in 0..2 {
            if !open[n] || !process::readable(ends[n].as_fd(), Duration::ZERO)? {
                continue;
            }
            let mut piece = [0; 16 * 1024];
            match (&ends[n]).read(&mut piece) {
                Ok(0) => {
                    open[n] = false;
                    // The other side may have gone already.
                    ends[1 - n].shutdown(Shutdown::Write).ok();
                }
                Ok(length) => (&ends[1 - n]).write_all(&piece[..length]).context("pass bytes on")?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("read from a connection"),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_or_a_name_of_the_manifest() {
        let object = serde_json::json!({"spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]}});
        assert_eq!(port_of_pod(&object, "http").unwrap(), 8080);
        assert_eq!(port_of_pod(&object, "81").unwrap(), 81);
        for wrong in ["0", "70000", "https", ""] {
            assert!(port_of_pod(&object, wrong).is_err(), "{wrong}");
        }
    }
}
