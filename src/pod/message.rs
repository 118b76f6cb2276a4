//! Termination messages (R103): a file that the container may write, or the end of its log.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::manifest::{Container, MessagePolicy};

/// Longest message from the file, in bytes: of a longer one the end is told, as a kubelet does.
const LONGEST: i64 = 4096;

/// Reads the message of an instance that has ended with `code`. An unreadable file is no message.
pub fn read(
    container: &Container,
    file: &Path,
    code: i32,
    log_tail: impl FnOnce() -> String,
) -> Option<String> {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(file) {
        // Fails in a file that is shorter, which is read from its beginning then.
        file.seek(SeekFrom::End(-LONGEST)).ok();
        file.take(LONGEST as u64).read_to_end(&mut bytes).ok();
    }
    if bytes.is_empty()
        && code != 0
        && container.termination_message_policy == MessagePolicy::FallbackToLogsOnError
    {
        bytes = log_tail().into_bytes();
    }
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// The end of the instance's log: at most 80 lines and 2048 bytes.
pub fn log_tail(running: &super::instance::Running) -> String {
    super::logread::tail_text(running.log.path(), 80, 2048).unwrap_or_default()
}
