//! Following an event log while it is being written.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::history::{self, Line};

/// Name of the event log in the pod's directory.
pub const FILE: &str = "events.jsonl";

/// Where a reader is in the event log of a pod.
pub struct EventReader {
    path: PathBuf,
    log: Option<BufReader<File>>,
    line: Vec<u8>,
    number: usize,
}

impl EventReader {
    /// Begins at the beginning; the log need not be there yet. `directory`: the pod's.
    pub fn new(directory: &Path) -> EventReader {
        EventReader { path: directory.join(FILE), log: None, line: Vec::new(), number: 0 }
    }

    /// The next whole line; `None` when there is no more for now. The inner error says what is wrong with a line.
    pub fn next_line(&mut self) -> Result<Option<Result<Line, String>>> {
        if self.log.is_none() {
            self.log = match File::open(&self.path) {
                Ok(file) => Some(BufReader::new(file)),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None), // nothing has happened yet
                Err(error) => return Err(error).context("open event log"),
            };
        }
        let Some(log) = &mut self.log else { return Ok(None) };
        // A line without its end is the rest of it still to come.
        if log.read_until(b'\n', &mut self.line).context("read event log")? == 0
            || !self.line.ends_with(b"\n")
        {
            return Ok(None);
        }
        self.number += 1;
        let text = String::from_utf8_lossy(&self.line);
        let line = history::line(text.trim_end()).map_err(|why| format!("line {}: {why}", self.number));
        self.line.clear();
        Ok(Some(line))
    }
}
