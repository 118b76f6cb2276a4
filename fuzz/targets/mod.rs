//! What may come from anywhere, and what is promised about it: whatever the bytes, no panic, no hang, no memory without
//! bound, and the properties that are asserted here. Each target is a function of bytes. Three feed it: libFuzzer
//! (`fuzz_targets/`), the files of `corpus/`, and generated values (both in `tests/bad_input.rs`).

pub mod config;
pub mod control;
pub mod log;
pub mod manifest;
pub mod quantity;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use barepod::manifest::Problem;

/// Panics when a promise is broken.
pub type Target = fn(&[u8]);

/// Every target, by the name that its program and its corpus have.
pub const TARGETS: [(&str, Target); 5] = [
    ("manifest", manifest::manifest),
    ("quantity", quantity::quantity),
    ("config", config::config),
    ("log", log::log),
    ("control", control::control),
];

/// A problem is shown as three lines, of which none can move the cursor.
fn told(problem: &Problem, text: &str) {
    let shown = problem.render("pod.yaml", text);
    assert_eq!(shown.split('\n').count(), 3, "{shown:?}");
    harmless(&shown);
}

/// Text for a terminal: nothing in it moves the cursor or changes the colour.
fn harmless(text: &str) {
    let hidden = text.split('\n').find(|line| line.contains(|c: char| c.is_control() && c != '\t'));
    assert_eq!(hidden, None, "control characters");
}

/// A directory of one run, which goes with it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("barepod-fuzz-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("make {}: {error}", path.display()));
        Directory(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok(); // nothing depends on it
    }
}
