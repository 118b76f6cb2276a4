//! `barepod kill`

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::pod::control::{self, Request};
use crate::pod::store::{Liveness, Store};

/// Send a signal to a container's first process.
#[derive(Debug, Args)]
pub struct Options {
    /// Pod name
    pod: String,
    /// Container
    #[arg(short, long, value_name = "CTR")]
    container: String,
    /// Signal by name or number
    #[arg(short, long, value_name = "SIG", default_value = "TERM", value_parser = signal)]
    signal: i32,
}

/// Runs the verb.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    super::need_root("kill")?;
    let (record, liveness) = store.view(&options.pod)?;
    let container =
        record.container(Some(&options.container)).with_context(|| format!("kill {}", options.pod))?;
    if liveness != Liveness::Running {
        bail!("kill {}: the pod has ended", options.pod);
    }
    let request = Request::Kill { container: container.to_owned(), signal: options.signal };
    control::ask(&store.pod(&options.pod), &request).with_context(|| format!("kill {}", options.pod))?;
    Ok(0)
}

/// `TERM`, `SIGTERM`, `15`.
pub fn signal(text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) { Ok(number) } else { Err(format!("no signal {number}")) };
    }
    let name = text.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    name.parse::<nix::sys::signal::Signal>()
        .map(|signal| signal as i32)
        .map_err(|_| format!("no signal {text}"))
}

#[cfg(test)]
mod tests {
    use super::signal;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for text in ["TERM", "SIGTERM", "term", "15"] {
            assert_eq!(signal(text), Ok(15));
        }
        for text in ["0", "65", "-1", "FOO", ""] {
            assert!(signal(text).is_err(), "{text}");
        }
    }
}
