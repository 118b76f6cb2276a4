//! Bundles: where an `image` is looked for, how `config.json` is read, and how it becomes the OCI runtime spec of one
//! container of a pod. Nothing here touches the system.

pub mod accounts;
mod filter;
mod find;
mod merge;
mod mounts;
mod process;

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::Spec;

pub use find::candidates;
pub use merge::{MergeContext, merge};
pub use process::needs_accounts;

use crate::manifest::Problem;
use crate::plan::refuse::refuse_in_pods;

/// Longest `config.json`, in bytes.
const LONGEST: usize = 4 << 20;

/// Reads a `config.json`. The problem is placed where the JSON reader stumbled.
pub fn parse_config(text: &str) -> Result<Spec, Problem> {
    if text.len() > LONGEST {
        return Err(Problem::error(1, 1, format!("larger than {} MiB", LONGEST >> 20)));
    }
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = message.strip_suffix(&place).unwrap_or(&message);
        let line = error.line().max(1);
        Problem::error(line, column(text, line, error.column()), message)
    })
}

/// JSON columns are bytes, ours are characters; column 0 is the end of the line before.
fn column(text: &str, line: usize, bytes: usize) -> usize {
    let line = text.split('\n').nth(line - 1).unwrap_or_default();
    line.char_indices().take_while(|(at, _)| *at < bytes).count().max(1)
}

/// Refuses a bundle that cannot be a container of a pod, naming the field. What the manifest replaces does not matter.
pub fn check(spec: &Spec) -> Result<()> {
    let process = spec.process().as_ref().context("process is missing")?;
    ensure!(spec.root().is_some(), "root is missing");
    for (name, hooks) in used_hooks(spec) {
        ensure!(!hooks, "hooks.{name}: hooks of a bundle are not run in a pod");
    }
    let linux = spec.linux().as_ref().context("linux is missing")?;
    if linux.sysctl().as_ref().is_some_and(|sysctl| !sysctl.is_empty()) {
        bail!("linux.sysctl: kernel parameters belong to the namespaces that the pod shares");
    }
    // The rest is what the container layer refuses, looked at without the fields that merging sets anyway.
    let mut process = process.clone();
    process.set_terminal(None).set_cwd("/".into()).set_args(Some(vec!["sh".to_owned()]));
    let mut rest = spec.clone();
    rest.set_process(Some(process)).set_hooks(None);
    refuse_in_pods(&rest)
}

/// Each kind of hook, and whether the bundle has any.
fn used_hooks(spec: &Spec) -> Vec<(&'static str, bool)> {
    let Some(hooks) = spec.hooks() else { return Vec::new() };
    #[allow(deprecated)] // bundles of old tools have it
    let prestart = hooks.prestart();
    [
        ("prestart", prestart),
        ("createRuntime", hooks.create_runtime()),
        ("createContainer", hooks.create_container()),
        ("startContainer", hooks.start_container()),
        ("poststart", hooks.poststart()),
        ("poststop", hooks.poststop()),
    ]
    .map(|(name, list)| (name, list.as_ref().is_some_and(|list| !list.is_empty())))
    .to_vec()
}

#[cfg(test)]
mod tests;
