//! The directories of a cgroup and of the cgroups that somebody made below it. Everything here may vanish meanwhile.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The cgroup at `top` and all below it, parents before children; nothing when it does not exist.
pub(super) fn walk(top: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![top.to_owned()];
    let mut next = 0;
    while next < found.len() {
        match children(&found[next]) {
            Ok(children) => {
                found.extend(children);
                next += 1;
            }
            Err(error) if is_gone(&error) => drop(found.remove(next)),
            Err(error) => {
                return Err(error).with_context(|| format!("list cgroup {}", found[next].display()));
            }
        }
    }
    Ok(found)
}

fn children(dir: &Path) -> io::Result<Vec<PathBuf>> {
    // A cgroup directory has two links of its own and one from each child, so most need not be listed.
    if fs::symlink_metadata(dir)?.nlink() == 2 {
        return Ok(Vec::new());
    }
    let mut children = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            children.push(entry.path());
        }
    }
    Ok(children)
}

/// The processes in the cgroup at `dir` itself, as numbers of the reader's PID namespace; on v2 one that lives outside of
/// that namespace is 0, on v1 it is not shown.
pub(super) fn procs(dir: &Path) -> Result<Vec<i32>> {
    let path = dir.join("cgroup.procs");
    match fs::read_to_string(&path) {
        Ok(text) => text
            .lines()
            .map(|line| line.parse().with_context(|| format!("parse {line:?} in {}", path.display())))
            .collect(),
        // In a threaded cgroup there are threads only; their process shows in the cgroup above.
        Err(error) if is_gone(&error) || error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// Removes the cgroup at `top` and all below it, deepest first. False when one of them is still in use.
pub(super) fn remove(top: &Path) -> Result<bool> {
    // The common case is one call.
    if remove_one(top)? {
        return Ok(true);
    }
    let mut all = true;
    for dir in walk(top)?.iter().rev() {
        all &= remove_one(dir)?;
    }
    Ok(all)
}

pub(super) fn remove_one(dir: &Path) -> Result<bool> {
    match fs::remove_dir(dir) {
        Ok(()) => Ok(true),
        Err(error) if is_gone(&error) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::ENOTEMPTY)) => Ok(false),
        Err(error) => Err(error).with_context(|| format!("remove cgroup {}", dir.display())),
    }
}

/// The cgroup was removed before (ENOENT) or after (ENODEV) its file was opened.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

/// As [`is_gone`], for an error that has been given a context.
pub(super) fn was_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(is_gone)
}

/// The kernel's number of an error that has been given a context.
pub(super) fn errno(error: &anyhow::Error) -> Option<i32> {
    error.downcast_ref::<io::Error>()?.raw_os_error()
}

/// Writes a control file with one write(2), as the kernel wants it.
pub(super) fn write(dir: &Path, file: &str, value: &str) -> Result<()> {
    write_lines(dir, file, [value].into_iter())
}

/// Writes a control file, with one write(2) for each line.
pub(super) fn write_lines<'a>(dir: &Path, file: &str, lines: impl Iterator<Item = &'a str>) -> Result<()> {
    let path = dir.join(file);
    let mut open = fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .with_context(|| format!("open {} for writing", path.display()))?;
    for line in lines {
        io::Write::write_all(&mut open, line.as_bytes())
            .with_context(|| format!("write {line:?} to {}", path.display()))?;
    }
    Ok(())
}

/// Reads a control file without the newline at its end.
pub(super) fn read(dir: &Path, file: &str) -> Result<String> {
    let path = dir.join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.trim_end().to_owned())
}

/// The number behind `key` in a flat keyed file such as `memory.events`.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_matched_whole() {
        let events = "low 0\noom 4\noom_kill 3\noom_group_kill 1\n";
        assert_eq!(keyed(events, "oom_kill"), Some(3));
        assert_eq!(keyed(events, "oom"), Some(4));
        assert_eq!(keyed(events, "kill"), None);
        assert_eq!(keyed("oom_kill x", "oom_kill"), None);
    }

    #[test]
    fn the_walk_goes_from_parents_to_children_and_removal_takes_all() {
        let top = std::env::temp_dir().join(format!("barepod-tree-{}", std::process::id()));
        fs::create_dir_all(top.join("a/b/c")).unwrap();
        fs::create_dir_all(top.join("d")).unwrap();
        let found = walk(&top).unwrap();
        assert_eq!(found.len(), 5);
        for dir in &found[1..] {
            let parent = found.iter().position(|it| it == dir.parent().unwrap()).unwrap();
            assert!(parent < found.iter().position(|it| it == dir).unwrap());
        }
        assert!(remove(&top).unwrap());
        assert!(walk(&top).unwrap().is_empty());
        assert!(remove(&top).unwrap(), "what is missing needs no removal");
    }
}
