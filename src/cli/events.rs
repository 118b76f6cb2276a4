//! `barepod events`

use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::kernel::watch::Watch;
use crate::pod::store::{Liveness, Store};

/// Print the event log, with Kubernetes' reasons.
#[derive(Debug, Args)]
pub struct Options {
    /// Pod name
    pod: String,
    /// Go on until the pod has ended
    #[arg(short, long)]
    follow: bool,
    /// Output format
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// One Kubernetes Event per line
    Json,
}

/// Runs the verb.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    let (record, _) = store.view(&options.pod)?;
    let started = record.object["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
    let directory = store.pod(&options.pod);
    let mut log = match std::fs::File::open(directory.join("events.jsonl")) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0), // nothing has happened yet
        Err(error) => return Err(error).context("open event log"),
    };
    let watch = Watch::new(&[&directory])?;
    let mut out = std::io::stdout().lock();
    let mut text = String::new();
    loop {
        // Looked at before reading: what is written between the two is read now, and what comes later is not final.
        let over =
            !options.follow || store.liveness(&options.pod, &store.load(&options.pod)?)? != Liveness::Running;
        log.by_ref().read_to_string(&mut text).context("read event log")?;
        let complete = text.rfind('\n').map_or(0, |end| end + 1);
        for line in text[..complete].lines() {
            match options.output {
                Some(Format::Json) => writeln!(out, "{line}")?,
                None => writeln!(out, "{}", describe(line, &started))?,
            }
        }
        text.drain(..complete);
        out.flush()?;
        if over {
            return Ok(0);
        }
        watch.wait(&[], Duration::from_secs(1))?;
        log.fill_buf().context("read event log")?;
    }
}

/// `    0.512s  Normal   Started  web      Started container web`; a line that is no event is shown as it is.
pub fn describe(line: &str, started: &str) -> String {
    let Ok(event) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let field = text(&event["involvedObject"]["fieldPath"]);
    let container = field.split_once('{').map_or("-", |(_, name)| name.trim_end_matches('}'));
    let time = |text: &str| humantime::parse_rfc3339_weak(text).ok();
    let since = time(&text(&event["eventTime"]))
        .zip(time(started))
        .and_then(|(at, from)| at.duration_since(from).ok());
    let since = since.map_or("?".to_owned(), |since| format!("{:.3}s", since.as_secs_f64()));
    format!(
        "{since:>10}  {:<7}  {:<20}  {container:<14}  {}",
        text(&event["type"]),
        text(&event["reason"]),
        text(&event["message"])
    )
}
