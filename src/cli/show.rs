//! What the foreground of `run` shows: lifecycle lines and container output, each behind the name it belongs to. All of it
//! comes from files, so that a stopped terminal never blocks the pod.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};

use super::paint::Paint;
use crate::history::Line;
use crate::kernel::watch::Watch;
use crate::lifecycle::fact::{Entry, Fact};
use crate::narrate::Narrator;
use crate::pod::eventread::EventReader;
use crate::pod::logread::{Options, Reader};
use crate::pod::store::Store;
use crate::why;

/// After so long without news it is said what is waited for.
const QUIET: Duration = Duration::from_secs(2);

/// Follows a pod from its start.
pub struct Show {
    paint: Paint,
    width: usize,
    events: EventReader,
    narrator: Narrator,
    /// When the pod was started, and what is known of it, to say what is waited for when nothing happens any more.
    known: Option<(SystemTime, why::Pod)>,
    /// When something last happened; `None` once it was said what is waited for.
    news: Option<Instant>,
    /// The container whose line on the screen has not ended yet.
    open: Option<usize>,
    logs: PathBuf,
    containers: Vec<Output>,
}

/// Where we are in the output of a container.
struct Output {
    name: String,
    directory: PathBuf,
    reader: Option<Reader>,
}

impl Output {
    fn of(logs: &Path, container: &str) -> Output {
        Output { name: container.to_owned(), directory: logs.join(container), reader: None }
    }
}

impl Show {
    /// Begins at the beginning.
    pub fn new(store: &Store, pod: &str) -> Result<Show> {
        let record = store.load(pod)?;
        let output = |name: &str| Output::of(&record.logs, name);
        Ok(Show {
            paint: Paint::for_stdout(),
            width: record.containers.iter().map(|container| container.name.len()).max().unwrap_or(0),
            events: EventReader::new(&store.pod(pod)),
            narrator: Narrator::default(),
            known: None,
            news: None,
            open: None,
            containers: record.containers.iter().map(|container| output(&container.name)).collect(),
            logs: record.logs,
        })
    }

    /// Shows everything that is new. Nobody reading any more is no reason to end the pod, but to stop showing.
    pub fn catch_up(&mut self, watch: &Watch) -> Result<()> {
        let mut out = std::io::stdout().lock();
        self.events(&mut out)?;
        self.waits(&mut out)?;
        for n in 0..self.containers.len() {
            self.output(n, watch, &mut out)?;
        }
        out.flush().context("write output")
    }

    /// The pod has ended: what stands at the end of a log without a newline is shown too.
    pub fn finish(&mut self) -> Result<()> {
        let mut out = std::io::stdout().lock();
        for output in &mut self.containers {
            if let Some(reader) = &mut output.reader {
                reader.finish(&mut |line| Ok(out.write_all(line.text)?))?;
            }
        }
        if self.open.is_some() {
            writeln!(out).context("write output")?;
        }
        Ok(())
    }

    fn events(&mut self, out: &mut impl Write) -> Result<()> {
        while let Some(line) = self.events.next_line()? {
            let Ok(line) = line else { continue };
            self.remember(&line);
            let Some(told) = self.narrator.tell(line) else { continue };
            let text = if told.warning { self.paint.warning(&told.text) } else { self.paint.dim(&told.text) };
            let end = if self.open.take().is_some() { "\n" } else { "" };
            writeln!(out, "{end}{text}").context("write output")?;
        }
        Ok(())
    }

    fn remember(&mut self, line: &Line) {
        // One that was added while the pod runs.
        if let Line::Entry(Entry { container: Some(name), fact: Fact::Starting, .. }) = line
            && !self.containers.iter().any(|output| output.name == *name)
        {
            self.containers.push(Output::of(&self.logs, name));
        }
        match (line, &mut self.known) {
            (Line::Head(head), _) => {
                self.known = Some((head.wall(Duration::ZERO), why::Pod::new(&head.containers)));
            }
            (Line::Entry(entry), Some((_, pod))) if !matches!(entry.fact, Fact::Step { .. }) => {
                pod.tell(entry);
                self.news = Some(Instant::now());
            }
            (Line::Entry(_), _) => {}
        }
    }

    /// When nothing has happened for a while: who waits for what.
    fn waits(&mut self, out: &mut impl Write) -> Result<()> {
        let (Some((started, pod)), Some(news)) = (&self.known, self.news) else { return Ok(()) };
        if news.elapsed() < QUIET {
            return Ok(());
        }
        self.news = None;
        let now = SystemTime::now().duration_since(*started).unwrap_or_default();
        for sentence in pod.why(Some(now)).iter().filter(|sentence| sentence.container.is_some()) {
            let end = if self.open.take().is_some() { "\n" } else { "" };
            let text = format!("{:>9.3}s  … {}", now.as_secs_f64(), sentence.text);
            writeln!(out, "{end}{}", self.paint.dim(&text)).context("write output")?;
        }
        Ok(())
    }

    fn output(&mut self, n: usize, watch: &Watch, out: &mut impl Write) -> Result<()> {
        let (paint, width) = (self.paint, self.width);
        let open = &mut self.open;
        let Output { name, directory, reader } = &mut self.containers[n];
        if reader.is_none() {
            if !directory.exists() {
                return Ok(());
            }
            watch.add(directory)?;
            *reader = Some(Reader::open(
                directory,
                &Options { attempt: Some(0), follow: true, ..Options::default() },
            )?);
        }
        let Some(reader) = reader else { return Ok(()) };
        let mut print = |line: &crate::pod::logread::Line| {
            if *open != Some(n) {
                // The screen has one cursor: somebody else's unfinished line ends here, and goes on later.
                let end = if open.is_some() { "\n" } else { "" };
                write!(out, "{end}{} ", paint.container(n, &format!("{name:>width$} |")))?;
            }
            out.write_all(line.text)?;
            *open = line.partial.then_some(n);
            if !line.partial {
                out.write_all(b"\n")?;
            }
            Ok(())
        };
        while reader.pump(&mut print)? {}
        Ok(())
    }
}
