//! Capabilities: capabilities(7). Five sets; each step is fatal when it fails.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use caps::{CapSet, Capability};
use nix::errno::Errno;

use super::sys;

/// Drops everything outside `bounding` from the bounding set. Needs CAP_SETPCAP, so it comes before the user changes.
pub fn limit_bounding(bounding: &Names) -> Result<()> {
    let keep = parse(bounding)?;
    // By number, and until the kernel says that there is no such capability: a file that says how many there are would be
    // the container's own by now, and newer capabilities than our libraries know are dropped too.
    for number in 0..64 {
        if keep.iter().any(|cap| u32::from(cap.index()) == number) {
            continue;
        }
        match sys::drop_bounding(number) {
            Ok(()) => {}
            Err(Errno::EINVAL) => break,
            Err(error) => {
                return Err(error).with_context(|| format!("drop capability {number} from the bounding set"));
            }
        }
    }
    Ok(())
}

/// The number of the kernel's last capability.
pub fn last() -> Result<u32> {
    let text = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").context("read cap_last_cap")?;
    text.trim().parse().context("parse cap_last_cap")
}

/// A set of capabilities by name (`CAP_KILL`).
pub type Names = BTreeSet<String>;

/// Sets the other four. After the user has changed; `PR_SET_KEEPCAPS` has carried the permitted set over.
pub fn apply(effective: &Names, permitted: &Names, inheritable: &Names, ambient: &Names) -> Result<()> {
    // Effective may only hold what is permitted, ambient what is permitted and inheritable: hence the order. Effective is
    // emptied first because permitted cannot shrink below it.
    let (permitted, effective) = (parse(permitted)?, parse(effective)?);
    let (inheritable, ambient) = (parse(inheritable)?, parse(ambient)?);
    caps::clear(None, CapSet::Ambient).context("clear ambient capabilities")?;
    caps::set(None, CapSet::Inheritable, &inheritable).context("set inheritable capabilities")?;
    caps::clear(None, CapSet::Effective).context("clear effective capabilities")?;
    caps::set(None, CapSet::Permitted, &permitted).context("set permitted capabilities")?;
    caps::set(None, CapSet::Effective, &effective).context("set effective capabilities")?;
    // The set has just been emptied; it is raised one by one, since the library would lower every other one once more.
    let mut ambient: Vec<Capability> = ambient.into_iter().collect();
    ambient.sort_by_key(Capability::index);
    ambient
        .into_iter()
        .try_for_each(|one| caps::raise(None, CapSet::Ambient, one))
        .context("set ambient capabilities")
}

/// Unknown names are errors: a typo must not silently grant less, or more, than was meant.
fn parse(names: &Names) -> Result<caps::CapsHashSet> {
    names
        .iter()
        .map(|name| name.parse::<Capability>().map_err(|_| anyhow::anyhow!("unknown capability {name}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_capability_is_an_error_that_names_it() {
        let error = parse(&["CAP_FLY".to_owned()].into()).unwrap_err().to_string();
        assert_eq!(error, "unknown capability CAP_FLY");
    }
}
