//! `barepod debug`
//!
//! ```text
//!   barepod debug ── wish, descriptors ──▶ pod init ──makes──▶ container
//!        ▲  ▲ ◀───────── "ok" ──────────────┘  │                   │
//!        │  └── started, ended ────────────────┘ by a pipe         │
//!        └────── with -t the other end of its terminal, by a socket ┘
//! ```

use std::io::{BufRead, BufReader, PipeReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::load::{self, Bad};
use super::terminal as relay;
use crate::kernel::{pass, process};
use crate::manifest::names;
use crate::pod::control::{self, Debug, News, Request};
use crate::pod::start::new_uid;
use crate::pod::store::{Liveness, Record, Store};

/// Add an ephemeral container to a running pod. Without -i and -t: print its name, and return when it runs.
#[derive(Debug, Args)]
pub struct Options {
    /// Pass standard input on, and wait for the end; its exit code passes through
    #[arg(short, long)]
    interactive: bool,
    /// Give the container a terminal, this one, and wait for the end
    #[arg(short, long)]
    tty: bool,
    /// Pod name
    pod: String,
    /// Bundle that the container is made from
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// Where to look for bundles
    #[arg(long, value_name = "DIR")]
    bundles: Vec<PathBuf>,
    /// See the processes of this container: share its PID namespace
    #[arg(long, value_name = "CTR")]
    target: Option<String>,
    /// Name of the new container; debugger- and five letters without it
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Command and its arguments; the bundle's own without it
    #[arg(last = true)]
    command: Vec<String>,
}

/// How long the container may take until its program runs.
const READY: Duration = Duration::from_secs(30);

/// Runs the verb.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    super::need_root("debug")?;
    let (record, liveness) = store.view(&options.pod)?;
    if liveness != Liveness::Running {
        bail!("debug {}: the pod has ended", options.pod);
    }
    let wish = match wish(options, &record) {
        Ok(wish) => wish,
        Err(error) => {
            super::say(&format!("barepod: debug {}: {error:#}", options.pod));
            return Ok(super::USAGE);
        }
    };
    debug(store, options, &wish).with_context(|| format!("debug {}", options.pod))
}

/// What is asked for, as far as it can be known to be right.
fn wish(options: &Options, record: &Record) -> Result<Debug> {
    let all: Vec<&str> = record.containers.iter().map(|container| container.name.as_str()).collect();
    let name = match &options.container {
        Some(name) => name.clone(),
        None => new_name()?,
    };
    names::label(&name).map_err(|why| anyhow::anyhow!("container name {name:?} {why}"))?;
    ensure!(
        !all.contains(&name.as_str()),
        "container {name:?} is there already; there are: {}",
        all.join(", ")
    );
    if let Some(target) = &options.target {
        // As with an API server: what was itself added to the pod is no target.
        let added = record.object["spec"]["ephemeralContainers"].as_array();
        let added = |name: &&str| added.into_iter().flatten().any(|one| one["name"] == **name);
        let targets: Vec<&str> = all.iter().copied().filter(|name| !added(name)).collect();
        let is_one = targets.contains(&target.as_str());
        ensure!(is_one, "no container {target:?} to target; there are: {}", targets.join(", "));
    }
    let here = std::env::current_dir().context("find current directory")?;
    let bundle = match load::find(&options.image, &here, &load::search_path(&options.bundles)) {
        Ok(bundle) => bundle.path,
        Err(Bad::Image(message)) => bail!("{message}"),
        Err(Bad::Config { shown, problem, .. }) => bail!("{shown}: {}", problem.message),
    };
    let tty = options.tty && relay::has_one("debug: no terminal for the container", options.interactive);
    Ok(Debug {
        name,
        image: options.image.clone(),
        bundle,
        command: Some(options.command.clone()).filter(|command| !command.is_empty()),
        target: options.target.clone(),
        stdin: options.interactive,
        tty,
    })
}

/// `debugger-x7k2p`, of letters that spell nothing, as kubectl makes them.
fn new_name() -> Result<String> {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let number = u128::from_str_radix(&new_uid()?.replace('-', ""), 16).context("read a uuid")?;
    let letter = |place: u32| char::from(LETTERS[(number / 27_u128.pow(place) % 27) as usize]);
    Ok(format!("debugger-{}", (0..5).map(letter).collect::<String>()))
}

fn debug(store: &Store, options: &Options, wish: &Debug) -> Result<i32> {
    let (news, writer) = std::io::pipe().context("make pipe")?;
    let mut news = BufReader::new(news);
    let (passage, passage_end) = pass::pair()?;
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut descriptors: Vec<BorrowedFd> = vec![writer.as_fd()];
    match (wish.tty, wish.stdin) {
        (true, _) => descriptors.push(passage_end.as_fd()),
        (false, true) => descriptors.extend([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]),
        (false, false) => {}
    }
    let signals = wish.tty.then(relay::block_signals).transpose()?;
    control::ask_with(&store.pod(&options.pod), &Request::Debug(wish.clone()), &descriptors)?;
    drop((writer, passage_end));
    let terminal = if wish.tty { take_terminal(&passage)? } else { None };
    match next(&mut news, Some(READY))? {
        News::Started => {}
        over => return end(over, wish),
    }
    if !wish.tty && !wish.stdin {
        super::print(&wish.name)?;
        return Ok(0);
    }
    if let (Some(signals), Some(master)) = (&signals, terminal)
        && let Some(signal) = relay::relay(master, news.get_ref().as_fd(), signals, options.interactive)?
    {
        return Ok(128 + signal);
    }
    end(next(&mut news, None)?, wish)
}

/// The other end of the container's terminal; `None` when it could not be made.
fn take_terminal(passage: &OwnedFd) -> Result<Option<OwnedFd>> {
    ensure!(process::readable(passage.as_fd(), READY)?, "the container process hangs in a step");
    let master = pass::receive(passage.as_fd(), &mut [0]).context("take the terminal")?.1.pop();
    // At once: the program has not begun yet, and looks for the size when it does.
    master.iter().for_each(|master| relay::resize(master.as_fd()));
    Ok(master)
}

/// What the pod init says next.
fn next(news: &mut BufReader<PipeReader>, patience: Option<Duration>) -> Result<News> {
    if let Some(patience) = patience {
        let heard = !news.buffer().is_empty() || process::readable(news.get_ref().as_fd(), patience)?;
        ensure!(heard, "the container process hangs in a step");
    }
    let mut line = String::new();
    news.read_line(&mut line).context("listen to the pod init")?;
    ensure!(!line.is_empty(), "the pod init has died");
    serde_json::from_str(&line).context("understand the pod init")
}

/// The exit code of a container that is over.
fn end(news: News, wish: &Debug) -> Result<i32> {
    match news {
        News::Ended { code } => Ok(code),
        News::Started => bail!("the pod init says twice that it has started"),
        News::Failed { code: super::FAILED, error } => bail!("container {}: {error}", wish.name),
        News::Failed { code, error } => {
            super::say(&format!("barepod: debug: container {}: {error}", wish.name));
            Ok(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_as_kubectl_makes_them() {
        let names: Vec<String> = (0..50).map(|_| new_name().unwrap()).collect();
        for name in &names {
            let letters = name.strip_prefix("debugger-").unwrap();
            assert!(letters.len() == 5 && names::label(name).is_ok(), "{name}");
        }
        assert!(names.iter().collect::<std::collections::BTreeSet<_>>().len() > 45, "{names:?}");
    }
}
