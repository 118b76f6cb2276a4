//! Shows a log: standard output and error to the caller's writers, once or for as long as he wants.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::{Line, Options, Reader};

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
            watch = Watch::new(dir)?;
        }
        let last = !options.follow || stop();
        while reader.pump(&mut |line| printer.print(line))? {}
        if last {
            reader.finish(&mut |line| printer.print(line))?;
            return printer.flush();
        }
        printer.flush()?;
        match &watch {
            Some(watch) => watch.wait(TICK)?,
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

/// Wakes a follower: inotify(7) on the directory, since the file changes its name.
struct Watch(Inotify);

impl Watch {
    /// `None` when there is nothing to watch yet, or no watch left to have.
    fn new(dir: &Path) -> Result<Option<Watch>> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).context("inotify")?;
        let events = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        match inotify.add_watch(dir, events) {
            Ok(_) => Ok(Some(Watch(inotify))),
            Err(Errno::ENOENT | Errno::ENOSPC) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("watch {}", dir.display())),
        }
    }

    fn wait(&self, longest: Duration) -> Result<()> {
        let timeout = PollTimeout::try_from(longest).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("wait for log output"),
        }
        // What happened does not matter, only that it did.
        match self.0.read_events() {
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(error) => Err(error).context("read inotify"),
        }
    }
}
