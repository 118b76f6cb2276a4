//! `barepod port-forward`
//!
//! A socket belongs to the network namespace in which it was made, whoever uses it later. So this process listens on the
//! host, and for each connection forks one that joins the pod's network namespace, connects there, and passes bytes.

use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use serde_json::Value;

use crate::kernel::namespace;
use crate::kernel::poll;
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
    let signals = poll::signals(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])?;
    let listeners: Vec<(TcpListener, u16)> =
        ports.iter().map(|text| listen(object, text)).collect::<Result<_>>()?;
    let mut children = Vec::new();
    let code = serve_all(&signals, init.as_fd(), &listeners, &mut children);
    for child in &children {
        process::kill(child.pidfd.as_fd())?;
        process::wait(child, Some(Duration::from_secs(2)))?;
    }
    code
}

/// Until a signal comes, or the pod ends.
fn serve_all(
    signals: &SignalFd,
    init: BorrowedFd,
    listeners: &[(TcpListener, u16)],
    children: &mut Vec<Child>,
) -> Result<i32> {
    loop {
        let mut all: Vec<BorrowedFd> = vec![signals.as_fd(), init];
        all.extend(listeners.iter().map(|(listener, _)| listener.as_fd()));
        all.extend(children.iter().map(|child| child.pidfd.as_fd()));
        let mut all: Vec<PollFd> = all.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        poll::any(&mut all, PollTimeout::NONE)?;
        if let Some(signal) = signals.read_signal().context("read signalfd")? {
            return Ok(128 + signal.ssi_signo as i32);
        }
        if process::readable(init, Duration::ZERO)? {
            super::say("barepod: port-forward: the pod has ended");
            return Ok(0);
        }
        for (listener, port) in listeners {
            match listener.accept() {
                Ok((stream, _)) => children.push(serve(stream, init, *port)?),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {}
                Err(error) => return Err(error).context("accept"),
            }
        }
        for child in std::mem::take(children) {
            if process::wait(&child, Some(Duration::ZERO))?.is_none() {
                children.push(child);
            }
        }
    }
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

/// Passes bytes both ways until both sides have said all. Each way has a process of its own, so that one that waits for a
/// slow reader does not hold up the other.
fn pass(here: TcpStream, there: TcpStream) -> Result<()> {
    let back = process::fork(0, None, || {
        // It ends with this one, whatever ends it.
        let bound = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
        i32::from(bound.is_err() || one_way(&there, &here).is_err())
    })
    .context("fork")?;
    let forth = one_way(&here, &there);
    let status = process::wait(&back, None)?.context("the way back has no status")?;
    ensure!(process::exit_code(status).0 == 0, "the connection broke");
    forth.context("pass bytes on")
}

fn one_way(mut from: &TcpStream, mut to: &TcpStream) -> std::io::Result<()> {
    let copied = std::io::copy(&mut from, &mut to).map(drop);
    // After its last byte the other side hears of the end; after an error both ways end. It may have gone already.
    to.shutdown(Shutdown::Write).ok();
    if copied.is_err() {
        from.shutdown(Shutdown::Both).ok();
        to.shutdown(Shutdown::Both).ok();
    }
    // A side that goes away without reading everything is nothing to tell of.
    let left = |error: &Error| matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
    copied.or_else(|error| if left(&error) { Ok(()) } else { Err(error) })
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
