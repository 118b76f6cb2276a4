//! Reading an event log: text in, [`Head`] and [`Entry`]s out. What cannot be read is said, and the rest is shown.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::lifecycle::fact::{Entry, FORMAT, Head, Words};
use crate::lifecycle::model::Kind;

/// One line of an event log.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// The first.
    Head(Head),
    /// Any other.
    Entry(Entry),
}

/// A whole event log.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// What the pod was made from.
    pub head: Head,
    /// What happened, in order.
    pub entries: Vec<Entry>,
    /// What could not be read, one line each.
    pub unread: Vec<String>,
}

/// Reads one line.
///
/// # Errors
/// One line that says what is wrong with it.
pub fn line(text: &str) -> Result<Line, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    let parsed = if let Some(format) = value.get("barepod") {
        if *format != json!(FORMAT) {
            return Err(format!("written in format {format}, and this barepod reads {FORMAT}"));
        }
        serde_json::from_value(value).map(Line::Head)
    } else {
        serde_json::from_value(value).map(Line::Entry)
    };
    parsed.map_err(|error| format!("not of an event log: {error}"))
}

impl Log {
    /// Reads a whole log; a last line without its end is still being written, and left out.
    ///
    /// # Errors
    /// When the first line is not the head of an event log: then nothing can be understood.
    pub fn parse(text: &str) -> Result<Log, String> {
        let complete = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let mut lines = complete.lines().enumerate();
        let head = match lines.next().map(|(_, first)| line(first)) {
            None => return Err("the event log is empty".to_owned()),
            Some(Ok(Line::Head(head))) => head,
            Some(Ok(Line::Entry(_))) => return Err("the event log has lost its first line".to_owned()),
            Some(Err(why)) => return Err(format!("not an event log: line 1: {why}")),
        };
        let mut log = Log { head, entries: Vec::new(), unread: Vec::new() };
        for (number, text) in lines {
            match line(text) {
                Ok(Line::Entry(entry)) => log.entries.push(entry),
                Ok(Line::Head(_)) => log.unread.push(format!("line {}: a second head", number + 1)),
                Err(why) => log.unread.push(format!("line {}: {why}", number + 1)),
            }
        }
        Ok(log)
    }
}

impl Head {
    /// Wall-clock time of a moment of the pod's clock.
    pub fn wall(&self, at: Duration) -> SystemTime {
        // RFC 3339 has four digits for the year.
        const LAST: Duration = Duration::from_secs(253_402_300_799);
        UNIX_EPOCH + Duration::from_micros(self.started_micros).saturating_add(at).min(LAST)
    }

    /// The Kubernetes events of an entry, as `events -o json` prints them.
    pub fn events(&self, entry: &Entry) -> Vec<Value> {
        let words = entry.fact.words(entry.container.as_deref().unwrap_or_default());
        words.into_iter().map(|words| self.event(entry, words)).collect()
    }

    fn event(&self, entry: &Entry, words: Words) -> Value {
        let mut involved = json!({
            "kind": "Pod", "namespace": self.namespace, "name": self.name, "uid": self.uid,
        });
        if let Some(name) = &entry.container {
            let list = match self.containers.iter().find(|container| container.name == *name) {
                Some(container) if container.kind == Kind::App => "containers",
                Some(_) => "initContainers",
                None => "ephemeralContainers", // added while the pod ran
            };
            involved["fieldPath"] = format!("spec.{list}{{{name}}}").into();
        }
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "type": if words.warning { "Warning" } else { "Normal" },
            "reason": words.reason,
            "message": words.message,
            "involvedObject": involved,
            "eventTime": humantime::format_rfc3339_micros(self.wall(entry.at)).to_string(),
            "source": {"component": "barepod"},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::fact::{Fact, HeadContainer};

    fn head() -> Head {
        let container = |name: &str, kind| HeadContainer {
            name: name.to_owned(),
            kind,
            post_start: false,
            pre_stop: false,
            startup: false,
            readiness: false,
        };
        Head {
            barepod: FORMAT,
            name: "web".to_owned(),
            namespace: "default".to_owned(),
            uid: "u".to_owned(),
            started_micros: 1_000_000,
            grace_seconds: 30,
            containers: vec![container("prepare", Kind::Init), container("app", Kind::App)],
        }
    }

    fn entry(container: &str, fact: Fact) -> Entry {
        Entry {
            at: Duration::from_millis(1500),
            container: Some(container.to_owned()),
            attempt: Some(0),
            fact,
        }
    }

    fn text(lines: &[String]) -> String {
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let written = entry("app", Fact::BackOff { until: Duration::from_secs(20) });
        let lines = [serde_json::to_string(&head()).unwrap(), serde_json::to_string(&written).unwrap()];
        let log = Log::parse(&text(&lines)).unwrap();
        assert_eq!((log.head, log.entries, log.unread), (head(), vec![written], Vec::new()));
    }

    #[test]
    fn a_torn_or_foreign_line_is_named_and_the_others_are_read() {
        let good = serde_json::to_string(&entry("app", Fact::Started)).unwrap();
        let lines = [serde_json::to_string(&head()).unwrap(), "{\"at".to_owned(), "{}".to_owned(), good];
        let log = Log::parse(&format!("{}{{\"half", text(&lines))).unwrap();
        assert_eq!(log.entries.len(), 1);
        assert!(log.unread[0].starts_with("line 2: no JSON"), "{:?}", log.unread);
        assert!(log.unread[1].starts_with("line 3: not of an event log"), "{:?}", log.unread);
        assert_eq!(log.unread.len(), 2, "the half line at the end is still being written");
    }

    #[test]
    fn without_its_first_line_a_log_is_not_understood() {
        let good = serde_json::to_string(&entry("app", Fact::Started)).unwrap();
        for (log, why) in [
            (String::new(), "empty"),
            (text(&[good]), "lost its first line"),
            (text(&["hello".to_owned()]), "not an event log"),
            (text(&["{\"barepod\":99}".to_owned()]), "format 99"),
        ] {
            assert!(Log::parse(&log).unwrap_err().contains(why), "{why}");
        }
    }

    #[test]
    fn events_name_the_list_that_the_container_stands_in_and_the_wall_clock() {
        let events = head().events(&entry("prepare", Fact::Started));
        assert_eq!(events[0]["involvedObject"]["fieldPath"], "spec.initContainers{prepare}");
        assert_eq!(events[1]["reason"], "Started");
        let added = head().events(&entry("debugger-x", Fact::Started));
        assert_eq!(added[0]["involvedObject"]["fieldPath"], "spec.ephemeralContainers{debugger-x}");
        assert_eq!(events[1]["eventTime"], "1970-01-01T00:00:02.500000Z");
    }
}
