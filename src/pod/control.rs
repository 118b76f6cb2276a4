//! The control socket: the only way to change a pod's course from outside. One JSON line each way, then the end.
//!
//! ```text
//!   stop, kill                    pod init
//!     │ ── {"stop":{"grace":5}} ──▶ │
//!     │ ◀── {"ok":true} ─────────── │   or {"error":"…"}
//! ```

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::{Deserialize, Serialize};

/// File name of the socket in the pod's directory.
pub const CONTROL: &str = "control";

/// What can be asked of a pod init.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Request {
    /// Begin termination, or shorten it.
    Stop {
        /// Grace period in seconds; the pod's own without.
        grace: Option<u64>,
    },
    /// Send a signal to a container's first process.
    Kill {
        /// Container name.
        container: String,
        /// Signal number.
        signal: i32,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// Done.
    Ok,
    /// Not done.
    Error(String),
}

const LONGEST_REQUEST: usize = 4096;
const LONGEST_QUEUE: usize = 64;
/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pod init's end.
pub struct Server {
    listener: UnixListener,
    connections: Vec<Connection>,
}

/// A client that has not yet said all it has to say.
struct Connection {
    stream: UnixStream,
    text: Vec<u8>,
    since: Instant,
}

impl Server {
    /// Listens at `control` in the pod's directory. A socket address holds 108 bytes, so it is named through a
    /// descriptor of the directory.
    pub fn listen(directory: &Path) -> Result<Server> {
        let directory = std::fs::File::open(directory).context("open pod directory")?;
        let path = format!("/proc/self/fd/{}/{CONTROL}", directory.as_raw_fd());
        let listener = UnixListener::bind(path).context("bind control socket")?;
        listener.set_nonblocking(true).context("make control socket non-blocking")?;
        Ok(Server { listener, connections: Vec::new() })
    }

    /// Descriptors to wait for.
    pub fn descriptors(&self) -> impl Iterator<Item = std::os::fd::BorrowedFd<'_>> {
        use std::os::fd::AsFd;
        std::iter::once(self.listener.as_fd())
            .chain(self.connections.iter().map(|connection| connection.stream.as_fd()))
    }

    /// Takes what has arrived; hands every complete request to `answer`. Never blocks.
    pub fn serve(&mut self, mut answer: impl FnMut(Request) -> Reply) {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    // Out of descriptors: those that have said nothing yet give theirs back, and the loop must not spin.
                    self.connections.clear();
                    std::thread::sleep(Duration::from_millis(10));
                    break;
                }
            };
            // Only root gets through the 0700 directory; a descriptor passed on to somebody else does not.
            let root = getsockopt(&stream, PeerCredentials).is_ok_and(|peer| peer.uid() == 0);
            if self.connections.len() == LONGEST_QUEUE {
                self.connections.remove(0); // the oldest has had its time
            }
            if root && stream.set_nonblocking(true).is_ok() {
                self.connections.push(Connection { stream, text: Vec::new(), since: Instant::now() });
            }
        }
        self.connections.retain_mut(|connection| {
            connection.advance(&mut answer) && connection.since.elapsed() < PATIENCE
        });
    }
}

impl Connection {
    /// False when the connection is done with.
    fn advance(&mut self, answer: &mut impl FnMut(Request) -> Reply) -> bool {
        let mut piece = [0; 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return false,
                Ok(length) => self.text.extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false, // the client is gone; there is nobody to tell
            }
            if self.text.len() > LONGEST_REQUEST {
                return false;
            }
        }
        if !self.text.ends_with(b"\n") {
            return true;
        }
        let reply = match serde_json::from_slice(&self.text) {
            Ok(request) => answer(request),
            Err(error) => Reply::Error(format!("parse request: {error}")),
        };
        let mut line = serde_json::to_vec(&reply).unwrap_or_default();
        line.push(b'\n');
        self.stream.write_all(&line).ok(); // the client may have gone away; the request is carried out all the same
        false
    }
}

/// Asks the pod init whose directory this is; waits 2 s for its answer.
pub fn ask(directory: &Path, request: &Request) -> Result<()> {
    let directory = std::fs::File::open(directory).context("open pod directory")?;
    let path = format!("/proc/self/fd/{}/{CONTROL}", directory.as_raw_fd());
    let mut stream = UnixStream::connect(path).context("connect to the pod init")?;
    let deadline = Some(PATIENCE);
    stream.set_read_timeout(deadline)?;
    stream.set_write_timeout(deadline)?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).context("send request to the pod init")?;
    let mut answer = Vec::new();
    stream.take(LONGEST_REQUEST as u64).read_to_end(&mut answer).context("wait for the pod init's answer")?;
    ensure!(!answer.is_empty(), "the pod init closed the connection");
    match serde_json::from_slice(&answer).context("parse the pod init's answer")? {
        Reply::Ok => Ok(()),
        Reply::Error(error) => bail!("{error}"),
    }
}
