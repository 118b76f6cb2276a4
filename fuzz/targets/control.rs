//! The control socket: clients that say anything, in pieces, at the same time, with descriptors, and hang up whenever they
//! like. Whoever is root is listened to, so this needs root.
//!
//! Bytes that no UTF-8 text has are instructions ([`say`]); all others are said.

use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use barepod::kernel::pass;
use barepod::pod::control::{self, CONTROL, Reply, Request, Server};

use super::Directory;

/// The instructions.
mod say {
    /// The pod init looks at its socket.
    pub const LOOK: u8 = 0xff;
    /// The next client begins.
    pub const CLIENT: u8 = 0xfe;
    /// The client before goes on.
    pub const BACK: u8 = 0xfd;
    /// A descriptor comes with the next bytes.
    pub const DESCRIPTOR: u8 = 0xfc;
    /// The client hangs up.
    pub const CLOSE: u8 = 0xfb;
    /// 64 KiB of blanks.
    pub const BLANKS: u8 = 0xfa;
    pub const LOWEST: u8 = BLANKS;
}

/// More than may wait at a time.
const MOST_CLIENTS: usize = 70;

struct Client {
    /// `None`: it has hung up.
    stream: Option<UnixStream>,
    said: Vec<u8>,
    descriptors: usize,
}

struct Scene<'a> {
    directory: &'a Directory,
    server: Server,
    clients: Vec<Client>,
    /// Copies of this one are passed; its other end tells when the last copy is gone.
    passed: UnixStream,
}

/// Every request that is heard was said, by somebody, as it was heard; whoever is answered is answered with one line; no
/// descriptor stays behind; and the next one who asks is heard.
pub fn control(bytes: &[u8]) {
    let directory = Directory::new();
    let (passed, witness) = UnixStream::pair().expect("make a pair of sockets");
    let server = Server::listen(directory.path()).expect("listen");
    let mut scene = Scene { directory: &directory, server, clients: Vec::new(), passed };
    scene.connect();
    scene.play(bytes);
    scene.look();
    let question = b"{\"stop\":{\"grace\":5}}\n";
    scene.connect();
    scene.speak(question);
    let heard = scene.look();
    assert!(heard.contains(&Request::Stop { grace: Some(5) }), "the next one is not heard (is this root?)");

    let Scene { clients, passed, server, .. } = scene;
    drop((server, passed));
    clients.iter().for_each(answered);
    drop(clients);
    witness.set_nonblocking(true).expect("make a socket non-blocking");
    let left = (&witness).read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(left, Ok(0), "a descriptor was left open");
}

impl Scene<'_> {
    fn play(&mut self, bytes: &[u8]) {
        let (mut current, mut descriptors) = (0, 0);
        let mut rest = bytes;
        while let Some((first, after)) = rest.split_first() {
            let length = rest.iter().position(|byte| *byte >= say::LOWEST).unwrap_or(rest.len());
            if length > 0 {
                self.say(current, &rest[..length], std::mem::take(&mut descriptors));
                rest = &rest[length..];
                continue;
            }
            rest = after;
            match *first {
                say::LOOK => drop(self.look()),
                say::CLIENT if self.clients.len() < MOST_CLIENTS => {
                    self.connect();
                    current = self.clients.len() - 1;
                }
                say::BACK => current = current.checked_sub(1).unwrap_or(self.clients.len() - 1),
                say::DESCRIPTOR => descriptors = (descriptors + 1).min(pass::MOST + 2),
                say::CLOSE => self.clients[current].stream = None,
                say::BLANKS => self.say(current, &[b' '; 64 * 1024], std::mem::take(&mut descriptors)),
                _ => {}
            }
        }
    }

    fn connect(&mut self) {
        let stream = UnixStream::connect(self.directory.path().join(CONTROL)).expect("connect");
        stream.set_nonblocking(true).expect("make a socket non-blocking");
        self.clients.push(Client { stream: Some(stream), said: Vec::new(), descriptors: 0 });
    }

    /// The last client says it without a pause.
    fn speak(&mut self, bytes: &[u8]) {
        self.say(self.clients.len() - 1, bytes, 0);
    }

    /// The pod init is given time for what does not fit.
    fn say(&mut self, client: usize, bytes: &[u8], descriptors: usize) {
        let mut rest = bytes;
        let mut with = descriptors;
        let mut looks = 0;
        while !rest.is_empty() && looks < 8 {
            let Client { stream: Some(stream), said, descriptors } = &mut self.clients[client] else {
                return;
            };
            match pass::send(stream.as_fd(), rest, &vec![self.passed.as_fd(); with]) {
                Ok(length) => {
                    said.extend_from_slice(&rest[..length]);
                    *descriptors += std::mem::take(&mut with);
                    rest = &rest[length..];
                }
                Err(_) => {
                    looks += 1; // there is no room, or nobody listens any more
                    self.look();
                }
            }
        }
    }

    /// What the pod init hears, and answers.
    fn look(&mut self) -> Vec<Request> {
        let mut heard = Vec::new();
        for (number, asked) in self.server.requests().into_iter().enumerate() {
            let line = serde_json::to_vec(&asked.request).expect("a request is JSON");
            assert_eq!(serde_json::from_slice::<Request>(&line).ok().as_ref(), Some(&asked.request));
            let said = |client: &&Client| {
                client.said.ends_with(b"\n")
                    && serde_json::from_slice(&client.said).is_ok_and(|said: Request| said == asked.request)
                    && client.descriptors >= asked.descriptors.len()
            };
            assert!(self.clients.iter().any(|client| said(&client)), "nobody said {:?}", asked.request);
            assert!(asked.descriptors.len() <= pass::MOST);
            heard.push(asked.request);
            let reply = if number % 2 == 0 { Reply::Ok } else { Reply::Error("no".to_owned()) };
            control::answer(asked.from, &reply);
        }
        heard
    }
}

/// One line, or nothing.
fn answered(client: &Client) {
    let Some(mut stream) = client.stream.as_ref() else { return };
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        // What was said last was never read.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("read an answer: {error}"),
    }
    let is_reply = || serde_json::from_slice::<Reply>(&answer).is_ok();
    let is_a_line = || answer.iter().filter(|byte| **byte == b'\n').count() == 1 && answer.ends_with(b"\n");
    assert!(answer.is_empty() || is_a_line() && is_reply(), "{}", String::from_utf8_lossy(&answer));
}
