//! The event log of a pod: one Kubernetes Event per line, appended by the pod init, read by everybody.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use humantime::format_rfc3339_micros;
use serde_json::{Value, json};

use crate::lifecycle::model::{Kind, Note, PodSpec};

/// Appends events; never blocks for long and never fails the pod: what cannot be written is counted and told later.
pub struct EventLog {
    file: File,
    involved: Value,
    dropped: u64,
}

impl EventLog {
    /// Opens the log in the pod's directory. `involved`: kind, namespace, name and uid of the pod.
    pub fn open(directory: &Path, involved: Value) -> Result<EventLog> {
        let path = directory.join("events.jsonl");
        let file =
            File::options().append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path);
        Ok(EventLog { file: file.context("open event log")?, involved, dropped: 0 })
    }

    /// Appends one event.
    pub fn append(&mut self, spec: &PodSpec, note: &Note, now: SystemTime) {
        if self.dropped > 0
            && self.write(
                None,
                true,
                "EventsDropped",
                &format!("{} events were lost: no space", self.dropped),
                now,
            )
        {
            self.dropped = 0;
        }
        let field = note.container.map(|index| {
            let container = &spec.containers[index];
            let list = if container.kind == Kind::App { "containers" } else { "initContainers" };
            format!("spec.{list}{{{}}}", container.name)
        });
        if !self.write(field, note.warning, note.reason, &note.message, now) {
            self.dropped += 1;
        }
    }

    fn write(
        &mut self,
        field: Option<String>,
        warning: bool,
        reason: &str,
        message: &str,
        now: SystemTime,
    ) -> bool {
        let mut involved = self.involved.clone();
        if let Some(field) = field {
            involved["fieldPath"] = field.into();
        }
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "type": if warning { "Warning" } else { "Normal" },
            "reason": reason,
            "message": message,
            "involvedObject": involved,
            "eventTime": format_rfc3339_micros(now).to_string(),
            "source": {"component": "barepod"},
        });
        // One write, so that a reader never sees half a line of ours after a whole one.
        self.file.write_all(format!("{event}\n").as_bytes()).is_ok()
    }
}
