//! `barepod timeline`

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::history::Log;
use crate::kernel::watch::Watch;
use crate::kernel::{lock, sys};
use crate::lifecycle::fact::Fact;
use crate::pod::store::{Liveness, Store};
use crate::timeline::{Timeline, html, svg, text};

/// Draw a pod's life: who waited for what, hooks, restarts, and how the grace period was spent.
#[derive(Debug, Args)]
pub struct Options {
    /// Pod name
    pod: String,
    /// Draw again whenever something happens, until the pod has ended; without a terminal draw once then
    #[arg(short, long, conflicts_with = "output")]
    follow: bool,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// As wide as the terminal, or as COLUMNS says; 80 without both
    Text,
    /// One picture
    Svg,
    /// A page with the picture and everything that happened
    Html,
}

/// Runs the verb.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    if options.follow {
        follow(store, &options.pod)?;
    }
    let seen = read(store, "timeline", &options.pod)?;
    let timeline = Timeline::new(&seen.log, seen.now);
    match options.output {
        Format::Text => super::print(text::render(&timeline, width(), None).trim_end())?,
        Format::Svg => super::print(svg::render(&timeline, true).trim_end())?,
        Format::Html => super::print(html::render(&timeline).trim_end())?,
    }
    seen.complain("timeline", &options.pod);
    Ok(0)
}

/// Draws a running pod over and over, on one place of the screen, and leaves the place empty.
fn follow(store: &Store, pod: &str) -> Result<()> {
    store.require(pod)?;
    let watch = Watch::new(&[&store.pod(pod)])?;
    let on_terminal = std::io::stdout().is_terminal();
    let mut height = 0;
    loop {
        let seen = read(store, "timeline", pod)?;
        let over = seen.now.is_none();
        let mut frame = String::new();
        if on_terminal && !over {
            let (columns, lines) = (width(), screen().map_or(24, |size| size.ws_row.into()));
            let picture = text::render(&Timeline::new(&seen.log, seen.now), columns, Some(lines - 1));
            // A picture that does not fit would leave its head behind each time.
            picture.lines().take(lines.saturating_sub(1)).for_each(|line| frame += &format!("{line}\n"));
        }
        if on_terminal {
            let back = if height > 0 { format!("\x1b[{height}A\x1b[J") } else { String::new() };
            let mut out = std::io::stdout().lock();
            write!(out, "{back}{frame}").and_then(|()| out.flush()).context("write output")?;
            height = frame.lines().count();
        }
        if over {
            return Ok(());
        }
        // What happened shows at once, and a budget that burns every now and then.
        watch.wait(&[], Duration::from_millis(500))?;
        std::thread::sleep(Duration::from_millis(50)); // facts come in bunches
    }
}

/// What can be known of a pod from its files.
pub(super) struct Seen {
    pub log: Log,
    /// The moment on the pod's clock, if the pod init lives.
    pub now: Option<Duration>,
    /// The pod has ended in good order, whatever the log says.
    pub ended: Option<String>,
    /// What is wrong with the log.
    trouble: Option<String>,
}

impl Seen {
    /// Says on standard error what is wrong with the log, in one line.
    pub fn complain(&self, verb: &str, pod: &str) {
        if let Some(trouble) = &self.trouble {
            super::say(&format!("barepod: {verb} {pod}: the event log is damaged: {trouble}"));
        }
    }
}

/// Reads the event log of a pod; its record need not be there.
pub(super) fn read(store: &Store, verb: &str, pod: &str) -> Result<Seen> {
    store.require(pod)?;
    // Looked at before reading: what is written in between is read, and what comes later is not final.
    let record = store.read(pod)?;
    let (alive, ended) = match &record {
        Some(record) => match store.liveness(pod, record)? {
            Liveness::Running => (true, None),
            // It may have ended between the two looks.
            _ => (
                false,
                store.read(pod)?.filter(|record| record.ended).map(|record| record.phase().to_owned()),
            ),
        },
        None => (lock::is_held(&store.lock(pod))?, None),
    };
    let bytes = match std::fs::read(store.pod(pod).join(crate::pod::eventread::FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("{verb} {pod}: the pod never started: it has no event log")
        }
        Err(error) => return Err(error).with_context(|| format!("{verb} {pod}: read the event log")),
    };
    let text = String::from_utf8_lossy(&bytes);
    let log = match Log::parse(&text) {
        Ok(log) => log,
        Err(why) => bail!("{verb} {pod}: {why}"),
    };
    let now = SystemTime::now().duration_since(log.head.wall(Duration::ZERO)).unwrap_or_default();
    let is_whole = log.entries.iter().any(|entry| matches!(entry.fact, Fact::PodEnded { .. }));
    let torn = !alive && !text.ends_with('\n');
    let trouble = match (log.unread.as_slice(), ended.is_some() && !is_whole) {
        ([only], _) => Some(only.clone()),
        ([first, rest @ ..], _) => {
            let lines = if rest.len() == 1 { "line" } else { "lines" };
            Some(format!("{first}; {} more {lines} cannot be read", rest.len()))
        }
        ([], true) => Some("its end is missing".to_owned()),
        ([], false) if torn => Some("its last line is not complete".to_owned()),
        ([], false) => None,
    };
    Ok(Seen { log, now: Some(now).filter(|_| alive), ended: ended.filter(|_| !is_whole), trouble })
}

/// COLUMNS, else the width of the terminal, else 80.
fn width() -> usize {
    let wished =
        std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|wished| *wished > 0);
    let of_screen = || screen().map(|size| size.ws_col.into());
    // Beyond this a line is no longer read as one.
    wished.or_else(of_screen).unwrap_or(80).clamp(text::NARROWEST, 250)
}

/// The size of the terminal, if there is one that tells.
fn screen() -> Option<nix::libc::winsize> {
    let size = sys::window_size(std::io::stdout().as_fd()).ok()?;
    Some(size).filter(|size| size.ws_col > 0 && size.ws_row > 0)
}
