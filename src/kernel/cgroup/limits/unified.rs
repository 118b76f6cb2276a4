//! Any file of cgroup v2 by its name: `unified` (runtime-spec "Unified").

use anyhow::{Result, ensure};

use super::setting::{Setting, Shows};

/// The controller that has the file, `memory` for `memory.high`; none for the files of the core, `cgroup.…`.
pub(super) fn controller(key: &str) -> Result<Option<&str>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let (controller, rest) = key.split_once('.').unwrap_or_default();
    ensure!(
        !controller.is_empty() && !rest.is_empty() && key.chars().all(plain),
        "linux.resources.unified: {key:?} is not a file name of the form CONTROLLER.PARAMETER"
    );
    Ok((controller != "cgroup").then_some(controller))
}

/// One write per line of a value, as files like io.max want it; in the order of the names.
pub(super) fn settings<'a>(values: impl Iterator<Item = (&'a String, &'a String)>) -> Result<Vec<Setting>> {
    let mut values: Vec<(&String, &String)> = values.collect();
    values.sort();
    let mut settings = Vec::new();
    for (key, value) in values {
        let home = controller(key)?.unwrap_or("cgroup");
        for line in value.lines().filter(|line| !line.trim().is_empty()) {
            let line = line.trim().to_owned();
            let field = format!("unified.{key}");
            settings.push(Setting::new(&field, home, key, line.clone(), shows(home, key, &line)));
        }
    }
    Ok(settings)
}

/// A limit that is one number, or none, is read back; other files have notations of their own, or do something.
fn shows(controller: &str, key: &str, value: &str) -> Shows {
    let plain = value == "max" || value.chars().all(|c| c.is_ascii_digit());
    let is_limit =
        key.ends_with(".max") || key.ends_with(".high") || key.ends_with(".low") || key.ends_with(".min");
    match (controller, key) {
        _ if !plain => Shows::Anything,
        ("memory", "memory.oom.group") | ("cpu", "cpu.weight" | "cpu.idle") | ("pids", "pids.max") => {
            Shows::Same
        }
        ("memory", _) if is_limit => Shows::Bytes(page_size()),
        _ => Shows::Anything,
    }
}

/// Bytes; the kernel counts memory in pages.
pub(super) fn page_size() -> u64 {
    let asked = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    asked.ok().flatten().map_or(4096, |size| size as u64)
}
