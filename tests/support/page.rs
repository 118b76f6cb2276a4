//! Pages whose commands are run as they stand there, and whose output is compared with what they show.

#![allow(dead_code)] // each test binary uses a part of it

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::support::*;

/// A program that runs in the repository and finds the directories of this lab: in BAREPOD, and in the `barepod` and
/// `barepod-oci` that come first in its PATH. What it makes with mktemp is in the lab's folder `scratch`.
pub fn program(lab: &Lab, path: &str) -> Command {
    let barepod = format!(
        "{BAREPOD} --root {} --log-dir {} --cgroup-parent {}",
        lab.root().display(),
        lab.logs().display(),
        lab.cgroup_parent()
    );
    let oci = format!("{BAREPOD_OCI} --root {}", lab.dir.join("oci").display());
    let (bin, scratch) = (lab.dir.join("bin"), lab.dir.join("scratch"));
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&scratch).unwrap();
    for (name, program) in [("barepod", &barepod), ("barepod-oci", &oci)] {
        fs::write(bin.join(name), format!("#!/bin/sh\nexec {program} \"$@\"\n")).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path_variable = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(path);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("BAREPOD", barepod).env("TMPDIR", &scratch).env("NO_COLOR", "1").env("PATH", path_variable);
    command.env_remove("BAREPOD_BUNDLES").env_remove("BAREPOD_ROOT").env_remove("COLUMNS");
    command.stdin(Stdio::null());
    command
}

/// Neither pods nor logs, files, processes, mounts and cgroups. A network namespace lives by one of these.
pub fn nothing_is_left(lab: &Lab, name: &str) {
    let entries = |path: PathBuf| -> Vec<_> {
        fs::read_dir(path).map(|list| list.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
    };
    assert_eq!(lab.ok(&["ps"]).lines().count(), 1, "{name}: pods: {}", lab.ok(&["ps"]));
    assert_eq!(entries(lab.logs()), Vec::<PathBuf>::new(), "{name}: logs");
    assert_eq!(entries(lab.dir.join("oci")), Vec::<PathBuf>::new(), "{name}: containers");
    assert_eq!(entries(lab.dir.join("scratch")), Vec::<PathBuf>::new(), "{name}: files");
    // With slashes: the name of one lab may be the beginning of another's.
    let cgroup = format!("/{}/", lab.cgroup_parent());
    let scratch = format!("TMPDIR={}\0", lab.dir.join("scratch").display());
    let ours = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(&cgroup))
            || fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&scratch))
    };
    // The parent of what a page ended may not have taken notice yet.
    let processes = || all_processes().into_iter().filter(ours).map(|pid| (pid, command_line(pid)));
    let start = Instant::now();
    while processes().next().is_some() && start.elapsed() < seconds(5) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(processes().collect::<Vec<_>>(), [], "{name}: processes");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts: Vec<_> = mounts.lines().filter(|line| line.contains(lab.dir.to_str().unwrap())).collect();
    assert_eq!(mounts, Vec::<&str>::new(), "{name}: mounts");
    for cgroup in cgroup_directories(&format!("{}/barepod", lab.cgroup_parent())) {
        let pods: Vec<_> = entries(cgroup).into_iter().filter(|path| path.is_dir()).collect();
        assert_eq!(pods, Vec::<PathBuf>::new(), "{name}: cgroups");
    }
}

/// Whether a line is as expected: `…` is whatever comes, and blanks count as one, since they only make columns.
pub fn line_fits(expected: &str, line: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (expected, mut rest) = (words(expected), words(line));
    let mut parts = expected.split('…');
    let first = parts.next().unwrap();
    if !rest.starts_with(first) {
        return false;
    }
    rest.drain(..first.len());
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest.drain(..at + part.len());
    }
    rest.ends_with(last)
}

/// The first expected line that does not come. A line that is `…` alone stands for any lines, or none.
pub fn first_missing<'a>(expected: &'a str, printed: &str) -> Option<&'a str> {
    let mut lines = printed.lines().peekable();
    let mut anything = false;
    for line in expected.lines() {
        if line == "…" {
            anything = true;
            continue;
        }
        let found = if anything {
            lines.any(|l| line_fits(line, l))
        } else {
            lines.next_if(|l| line_fits(line, l)).is_some()
        };
        if !found {
            return Some(line);
        }
        anything = false;
    }
    (!anything && lines.next().is_some()).then_some("(the end)")
}

/// A command of a page, and what the page shows of its output.
pub struct Example {
    pub command: String,
    pub expected: String,
}

/// The commands of a page, in order: those behind `$ ` in its `console` blocks, and each `bash` block as a whole, which
/// prints nothing.
pub fn examples(page: &str) -> Vec<Example> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find("\n```") {
        let (info, block) = rest[at + 4..].split_once('\n').expect("a block without an end");
        let length = block.find("```").expect("a block without an end");
        let (text, after) = block.split_at(length);
        match info {
            "console" => {
                let commands = text.strip_prefix("$ ").expect("a console block that does not begin with $");
                found.extend(commands.split("\n$ ").map(|command| {
                    // A command of several lines goes on behind `> `, the shell's second prompt.
                    let lines: Vec<&str> = command.lines().collect();
                    let more = lines.iter().skip(1).take_while(|line| line.starts_with("> ")).count();
                    let (own, expected) = lines.split_at(1 + more);
                    let own: Vec<&str> = own.iter().map(|line| line.trim_start_matches("> ")).collect();
                    let expected: String = expected.iter().map(|line| format!("{line}\n")).collect();
                    Example { command: own.join("\n"), expected }
                }));
            }
            "bash" => found.push(Example { command: text.to_owned(), expected: String::new() }),
            _ => {}
        }
        rest = &after[3..];
    }
    found
}

/// Runs the commands of a page, or of a part of it, one after the other in one shell, and compares. Both streams of it are
/// one, and its input is empty. Nothing may be left.
pub fn run_page(lab: &Lab, name: &str, page: &str) {
    let examples = examples(page);
    assert!(examples.len() > 5, "{name}: only {} commands", examples.len());
    let script: String = (0..)
        .zip(&examples)
        .map(|(number, Example { command, .. })| format!("{command}\nprintf '\\n\\001%d\\n' {number}\n"))
        .collect();
    let mut shell = Shell { lab, group: None };
    let printed = run_script(name, &mut shell, &script);
    let mut rest = printed.as_str();
    for (number, Example { command, expected }) in (0..).zip(&examples) {
        let Some((output, after)) = rest.split_once(&format!("\n\x01{number}\n")) else {
            panic!("{name}: the shell ended in\n{command}\nprinted was\n{rest}");
        };
        if let Some(missing) = first_missing(expected, output) {
            panic!("{name}: not as shown at\n{missing}\nafter\n{command}\nprinted was\n{output}");
        }
        rest = after;
    }
    nothing_is_left(lab, name);
    assert_eq!(own_cgroups(shell.group.unwrap()), Vec::<PathBuf>::new(), "{name}: cgroups of its own");
}

/// What a script prints on both streams. It has a deadline.
fn run_script(name: &str, shell: &mut Shell, script: &str) -> String {
    let (file, output) = (shell.lab.dir.join("page.sh"), shell.lab.dir.join("page.out"));
    fs::write(&file, script).unwrap();
    let out = fs::File::create(&output).unwrap();
    let mut command = program(shell.lab, "bash");
    command.arg(&file).stdout(out.try_clone().unwrap()).stderr(out).process_group(0);
    let mut child = command.spawn().unwrap();
    shell.group = Some(child.id());
    let start = Instant::now();
    let printed = || String::from_utf8_lossy(&fs::read(&output).unwrap()).into_owned();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > seconds(150) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{name}: goes on and on; printed was\n{}", printed());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    printed()
}

/// The shell of a page. When it is dropped, what the page has left is ended, for a page that has failed halfway.
struct Shell<'a> {
    lab: &'a Lab,
    /// Its process id, which is that of its process group.
    group: Option<u32>,
}

impl Drop for Shell<'_> {
    fn drop(&mut self) {
        let Some(group) = self.group else { return };
        let quietly = |command: &mut Command| drop(command.stderr(Stdio::null()).status());
        quietly(Command::new("kill").args(["-KILL", "--", &format!("-{group}")]));
        for container in fs::read_dir(self.lab.dir.join("oci")).into_iter().flatten().flatten() {
            let root = self.lab.dir.join("oci");
            let mut delete = Command::new(BAREPOD_OCI);
            quietly(delete.arg("--root").arg(root).args(["delete", "-f"]).arg(container.file_name()));
        }
        own_cgroups(group).iter().for_each(|cgroup| drop(fs::remove_dir(cgroup)));
    }
}

/// The cgroups that a page has made: they are called `NAME-PID`, with the process id of its shell.
fn own_cgroups(shell: u32) -> Vec<PathBuf> {
    let suffix = format!("-{shell}");
    let children = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let top = Path::new("/sys/fs/cgroup");
    let mut found: Vec<PathBuf> = children(top).iter().flat_map(|hierarchy| children(hierarchy)).collect();
    found.extend(children(top));
    found.retain(|path| path.is_dir() && path.to_str().is_some_and(|name| name.ends_with(&suffix)));
    found
}
