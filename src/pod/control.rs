//! The control socket: the only way to change a pod's course from outside. One JSON line each way, then the end.
//!
//! ```text
//!   stop, kill, debug             pod init
//!     │ ── {"stop":{"grace":5}} ──▶ │   with descriptors, for debug
//!     │ ◀── "ok" ────────────────── │   or {"error":"…"}
//! ```

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::{Deserialize, Serialize};

use crate::kernel::pass;
use crate::kernel::poll::Ready;

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
    /// Add an ephemeral container.
    Debug(Debug),
}

/// An ephemeral container to add. Its descriptors: a pipe for [`News`]; then with a terminal a socket of [`pass`], where its
/// other end goes; else, when it is attached, the three standard streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Debug {
    /// Its name, a DNS label that no container of the pod has.
    pub name: String,
    /// As it was asked for.
    pub image: String,
    /// Absolute path of the bundle that was found for it.
    pub bundle: PathBuf,
    /// Program and arguments; the bundle's own without.
    pub command: Option<Vec<String>>,
    /// Share the PID namespace of this container.
    pub target: Option<String>,
    /// Its standard input is the caller's.
    pub stdin: bool,
    /// It has a terminal, which is the caller's.
    pub tty: bool,
}

/// What the caller of `debug` hears of its container, one JSON line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum News {
    /// The program runs.
    Started,
    /// It does not.
    Failed {
        /// The exit code that says so: 126 or 127, or 125 when the container could not be made.
        code: i32,
        /// The error chain.
        error: String,
    },
    /// It has ended.
    Ended {
        /// Exit code; 128 + n when ended by signal n.
        code: i32,
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

/// The longest argument of a command that the kernel takes, twice.
const LONGEST_REQUEST: usize = 256 * 1024;
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
    descriptors: Vec<OwnedFd>,
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
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd())
            .chain(self.connections.iter().map(|connection| connection.stream.as_fd()))
    }

    /// Whether [`Server::requests`] is worth a call. Of those who have said nothing some may have had their time.
    pub fn may_have_news(&self, ready: &Ready) -> bool {
        !self.connections.is_empty() || ready.has(&self.listener)
    }

    /// Takes what has arrived; gives every complete request, to be answered. Never blocks.
    pub fn requests(&mut self) -> Vec<Asked> {
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
                self.connections.push(Connection {
                    stream,
                    text: Vec::new(),
                    descriptors: Vec::new(),
                    since: Instant::now(),
                });
            }
        }
        let mut asked = Vec::new();
        for mut connection in std::mem::take(&mut self.connections) {
            match connection.advance() {
                Some(true) => asked.extend(connection.asked()),
                Some(false) if connection.since.elapsed() < PATIENCE => self.connections.push(connection),
                _ => {}
            }
        }
        asked
    }
}

impl Connection {
    /// Whether its request is complete; `None` when there is nothing to be had from it.
    fn advance(&mut self) -> Option<bool> {
        let mut piece = [0; 4096];
        loop {
            match pass::receive(self.stream.as_fd(), &mut piece) {
                Ok((0, _)) => return None,
                Ok((length, descriptors)) => {
                    self.text.extend_from_slice(&piece[..length]);
                    self.descriptors.extend(descriptors);
                }
                Err(nix::Error::EAGAIN) => break,
                Err(nix::Error::EINTR) => {}
                Err(_) => return None, // the client is gone; there is nobody to tell
            }
            if self.text.len() > LONGEST_REQUEST || self.descriptors.len() > pass::MOST {
                return None;
            }
        }
        Some(self.text.ends_with(b"\n"))
    }

    /// What was asked; what cannot be understood is answered here.
    fn asked(self) -> Option<Asked> {
        let Connection { stream, text, descriptors, .. } = self;
        match serde_json::from_slice(&text) {
            Ok(request) => Some(Asked { request, descriptors, from: stream }),
            Err(error) => {
                answer(stream, &Reply::Error(format!("parse request: {error}")));
                None
            }
        }
    }
}

/// A request, and who waits for its [`answer`].
pub struct Asked {
    /// What is asked.
    pub request: Request,
    /// What came with it.
    pub descriptors: Vec<OwnedFd>,
    /// Who asks.
    pub from: UnixStream,
}

/// Answers who asked.
pub fn answer(mut stream: UnixStream, reply: &Reply) {
    let mut line = serde_json::to_vec(reply).unwrap_or_default();
    line.push(b'\n');
    stream.write_all(&line).ok(); // the client may have gone away; the request is carried out all the same
}

/// Asks the pod init whose directory this is; waits 2 s for its answer.
pub fn ask(directory: &Path, request: &Request) -> Result<()> {
    ask_with(directory, request, &[])
}

/// The same, and passes descriptors along.
pub fn ask_with(directory: &Path, request: &Request, descriptors: &[BorrowedFd]) -> Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    ensure!(line.len() <= LONGEST_REQUEST, "the request is longer than {} KiB", LONGEST_REQUEST >> 10);
    let directory = std::fs::File::open(directory).context("open pod directory")?;
    let path = format!("/proc/self/fd/{}/{CONTROL}", directory.as_raw_fd());
    let mut stream = UnixStream::connect(path).context("connect to the pod init")?;
    let deadline = Some(PATIENCE);
    stream.set_read_timeout(deadline)?;
    stream.set_write_timeout(deadline)?;
    // The descriptors come with the first bytes.
    let sent = pass::send(stream.as_fd(), &line, descriptors).context("send request to the pod init")?;
    stream.write_all(&line[sent..]).context("send request to the pod init")?;
    let mut answer = Vec::new();
    stream.take(LONGEST_REQUEST as u64).read_to_end(&mut answer).context("wait for the pod init's answer")?;
    ensure!(!answer.is_empty(), "the pod init closed the connection");
    match serde_json::from_slice(&answer).context("parse the pod init's answer")? {
        Reply::Ok => Ok(()),
        Reply::Error(error) => bail!("{error}"),
    }
}
