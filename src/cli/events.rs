//! `barepod events`

use std::io::Write;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::history::Line;
use crate::kernel::watch::Watch;
use crate::lifecycle::fact::{Entry, Head};
use crate::narrate::Narrator;
use crate::pod::eventread::EventReader;
use crate::pod::store::{Liveness, Store};
use crate::words::clean;

/// Print the event log, with Kubernetes' reasons.
#[derive(Debug, Args)]
pub struct Options {
    /// Pod name
    pod: String,
    /// Go on until the pod has ended
    #[arg(short, long)]
    follow: bool,
    /// Everything that was logged, in plain words: hooks, gates, signals, and with run --trace the kernel steps
    #[arg(short, long, conflicts_with = "output")]
    all: bool,
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
    store.view(&options.pod)?;
    let directory = store.pod(&options.pod);
    let mut reader = EventReader::new(&directory);
    let watch = Watch::new(&[&directory])?;
    let mut printer = Printer { options, head: None, narrator: Narrator::default(), lines: 0 };
    let mut out = std::io::stdout().lock();
    loop {
        // Looked at before reading: what is written between the two is read now, and what comes later is not final.
        let over =
            !options.follow || store.liveness(&options.pod, &store.load(&options.pod)?)? != Liveness::Running;
        while let Some(line) = reader.next_line()? {
            match line {
                Ok(line) => printer.lines(line).iter().try_for_each(|line| writeln!(out, "{line}"))?,
                Err(why) if printer.lines == 0 => bail!("events {}: not an event log: {why}", options.pod),
                // One line that cannot be read does not hide the others.
                Err(why) => super::say(&format!("barepod: events {}: {why}", options.pod)),
            }
        }
        out.flush()?;
        if over {
            return Ok(0);
        }
        watch.wait(&[], Duration::from_secs(1))?;
    }
}

struct Printer<'a> {
    options: &'a Options,
    head: Option<Head>,
    narrator: Narrator,
    /// How many were read.
    lines: usize,
}

impl Printer<'_> {
    /// What a line of the log becomes: some have no event, one has two.
    fn lines(&mut self, line: Line) -> Vec<String> {
        self.lines += 1;
        match (line, &self.head) {
            (line, _) if self.options.all => {
                self.narrator.tell(line).map(|told| told.text).into_iter().collect()
            }
            (Line::Head(head), _) => {
                self.head = Some(head);
                Vec::new()
            }
            (Line::Entry(entry), Some(head)) if self.options.output == Some(Format::Json) => {
                head.events(&entry).iter().map(ToString::to_string).collect()
            }
            (Line::Entry(entry), _) => describe(&entry),
        }
    }
}

/// `    0.512s  Normal   Started  web      Started container web`
fn describe(entry: &Entry) -> Vec<String> {
    let container = entry.container.as_deref();
    let words = entry.fact.words(container.unwrap_or_default());
    let line = |words: crate::lifecycle::fact::Words| {
        format!(
            "{:>9.3}s  {:<7}  {:<20}  {:<14}  {}",
            entry.at.as_secs_f64(),
            if words.warning { "Warning" } else { "Normal" },
            words.reason,
            container.unwrap_or("-"),
            clean(&words.message)
        )
    };
    words.into_iter().map(line).collect()
}
