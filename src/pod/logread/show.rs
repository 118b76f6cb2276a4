//! Shows a log: standard output and error to the caller's writers, once or for as long as he wants.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;

use super::{Line, Options, Reader};
use crate::kernel::watch::Watch;

/// How often a follower asks whether to stop.
const TICK: Duration = Duration::from_millis(100);

/// Shows the log of a container from its directory. Standard output goes to `out`, standard error to `err`. When following,
/// it returns after `stop` said so, with everything written until then; `stop` is asked at least every 100 ms. Without
/// following, a container without a log is an error.
pub fn show(
    dir: &Path,
    options: &Options,
    out: &mut dyn Write,
    err: &mut dyn Write,
    stop: &mut dyn FnMut() -> bool,
) -> Result<()> {
    let mut reader = Reader::open(dir, options)?;
    ensure!(options.follow || reader.file.is_some(), "there is no log yet");
    let mut printer = Printer { into: [out, err], begins: [true; 2], timestamps: options.timestamps };
    let mut watch = None;
    loop {
        // Watched before it is read, so that nothing written in between is waited for; and asked before it is read, so that
        // everything written before the answer is shown.
        if options.follow && watch.is_none() {
            watch = self::watch(dir)?;
        }
        let last = !options.follow || stop();
        while reader.pump(&mut |line| printer.print(line))? {}
        if last {
            reader.finish(&mut |line| printer.print(line))?;
            return printer.flush();
        }
        printer.flush()?;
        match &watch {
            Some(watch) => watch.wait(&[], TICK)?,
            None => std::thread::sleep(TICK),
        }
    }
}

/// Where lines are shown.
struct Printer<'a> {
    /// Indexed by [`Stream`].
    into: [&'a mut dyn Write; 2],
    /// The next line of the stream is not the rest of an earlier one.
    begins: [bool; 2],
    timestamps: bool,
}

impl Printer<'_> {
    fn print(&mut self, line: &Line) -> Result<()> {
        let into = &mut self.into[line.stream as usize];
        let begin = std::mem::replace(&mut self.begins[line.stream as usize], !line.partial);
        let mut write = || {
            if begin && self.timestamps && !line.time.is_empty() {
                write!(into, "{} ", line.time)?;
            }
            into.write_all(line.text)?;
            if line.partial { Ok(()) } else { into.write_all(b"\n") }
        };
        write().context("write log output")
    }

    fn flush(&mut self) -> Result<()> {
        self.into.iter_mut().try_for_each(|into| into.flush()).context("write log output")
    }
}

/// Watches the directory, since the file changes its name; `None` when there is nothing to watch yet, or no watch left to
/// have: then the tick alone wakes the follower.
fn watch(dir: &Path) -> Result<Option<Watch>> {
    match Watch::new(&[dir]) {
        Err(error) if matches!(error.downcast_ref(), Some(Errno::ENOENT | Errno::ENOSPC)) => Ok(None),
        watch => watch.map(Some),
    }
}
