//! The event log of a pod, appended by the pod init and read by everybody: a [`Head`], then one [`Entry`] per line.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::start::Blueprint;
use crate::lifecycle::fact::{Entry, FORMAT, Fact, Head, HeadContainer};
use crate::lifecycle::model::Time;
use crate::manifest::Container;

/// From so many bytes on, facts that come again and again are only counted.
const ENOUGH: usize = 4 << 20;

/// Appends facts; never blocks for long and never fails the pod: what cannot be written is counted and told later.
pub struct EventLog {
    file: File,
    dropped: u64,
    /// Bytes written.
    length: usize,
    /// The last line was written in part only.
    torn: bool,
}

impl EventLog {
    /// Begins the log in the pod's directory.
    pub fn begin(directory: &Path, head: &Head) -> Result<EventLog> {
        let path = directory.join(super::eventread::FILE);
        let file =
            File::options().append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path);
        let mut log = EventLog { file: file.context("open event log")?, dropped: 0, length: 0, torn: false };
        // Without its head a log cannot be understood; and a pod that has no room for it has none for its record either.
        ensure!(log.write(head), "write the head of the event log: no space");
        Ok(log)
    }

    /// Its descriptor, for who closes all others.
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Appends an entry.
    pub fn append(&mut self, entry: &Entry) {
        let lost = Fact::Dropped { count: self.dropped };
        if self.dropped > 0 && self.write(&entry_of_pod(entry.at, lost)) {
            self.dropped = 0;
        }
        // A probe that fails for days, or a traced crash loop, does not fill the state directory.
        let chatty = matches!(entry.fact, Fact::Probe { .. } | Fact::Step { .. });
        if chatty && self.length > ENOUGH || !self.write(entry) {
            self.dropped += 1;
        }
    }

    fn write(&mut self, line: &impl Serialize) -> bool {
        // Half a line, of a full disk, ends where the next one begins.
        let mut text = if self.torn { vec![b'\n'] } else { Vec::new() };
        if serde_json::to_writer(&mut text, line).is_err() {
            return false;
        }
        text.push(b'\n');
        // One write, so that a reader never sees half a line of ours after a whole one.
        match self.file.write(&text) {
            Ok(length) if length == text.len() => {
                self.torn = false;
                self.length += length;
            }
            Ok(length) => self.torn |= length > 0,
            Err(_) => return false,
        }
        !self.torn
    }
}

/// The first line of the log of a pod.
pub fn head(blueprint: &Blueprint) -> Head {
    let pod = &blueprint.manifest.pod;
    let since_1970 = blueprint.started.duration_since(UNIX_EPOCH).unwrap_or_default(); // a clock before 1970 is wrong anyway
    let container = |container: &Container| HeadContainer {
        name: container.name.clone(),
        kind: container.kind,
        post_start: container.post_start.is_some(),
        pre_stop: container.pre_stop.is_some(),
        startup: container.startup.is_some(),
        readiness: container.readiness.is_some(),
    };
    Head {
        barepod: FORMAT,
        name: blueprint.name.clone(),
        namespace: pod.namespace.clone(),
        uid: blueprint.uid.clone(),
        started_micros: since_1970.as_micros() as u64,
        grace_seconds: pod.grace.as_secs(),
        containers: pod.containers.iter().map(container).collect(),
    }
}

/// An entry about the pod as a whole.
pub fn entry_of_pod(at: Time, fact: Fact) -> Entry {
    Entry { at, container: None, attempt: None, fact }
}
