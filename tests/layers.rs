//! Who may import whom. The table is the one in CONTRIBUTING.md and in `src/lib.rs`.

use std::fs;
use std::path::{Path, PathBuf};

const PURE: &[&str] = &[
    "bundle",
    "columns",
    "duration",
    "explain",
    "history",
    "lifecycle",
    "lint",
    "manifest",
    "narrate",
    "object",
    "plan",
    "share",
    "timeline",
    "why",
    "words",
    "yaml",
];

/// A layer, and the modules that it may name after `crate::`.
fn allowed(module: &str) -> Vec<&'static str> {
    let mut allowed: Vec<&str> = Vec::new();
    let above_pure: &[&str] = match module {
        "kernel" => return vec!["kernel"],
        "container" => &["kernel", "container"],
        "pod" => &["kernel", "container", "pod"],
        "cli" => &["kernel", "container", "pod", "cli"],
        pure if PURE.contains(&pure) => &[],
        other => panic!("src/{other} belongs to no layer: give it a place in this table"),
    };
    allowed.extend(PURE);
    allowed.extend(above_pure);
    allowed
}

fn rust_files(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The first path segments after `crate::` in a source text, comments and documentation left out.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let code = line.split("//").next().unwrap_or_default();
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            found.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found
}

fn source_files() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let module = |path: &Path| {
        let relative = path.strip_prefix(&root).unwrap();
        relative.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
    };
    // Tests and the simulator are not the code that they test.
    let is_test = |path: &PathBuf| {
        let inside = path.strip_prefix(&root).unwrap().with_extension("");
        inside.components().any(|part| {
            let name = part.as_os_str().to_str().unwrap();
            name.ends_with("tests") || name == "sim"
        })
    };
    files
        .into_iter()
        .filter(|path| !is_test(path))
        .map(|path| (module(&path), path))
        .filter(|(module, _)| module != "lib" && module != "bin")
        .collect()
}

#[test]
fn every_file_imports_only_what_its_layer_allows() {
    let mut violations = Vec::new();
    for (module, path) in source_files() {
        let allowed = allowed(&module);
        for import in imports(&fs::read_to_string(&path).unwrap()) {
            if !allowed.contains(&import.as_str()) {
                violations.push(format!("{} imports crate::{import}", path.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn pure_files_touch_neither_clock_nor_files_nor_system_calls() {
    let forbidden = [
        "std::fs",
        "std::process",
        "std::net::Tcp", // an address as such is data
        "std::net::Udp",
        "std::thread",
        "nix::",
        "SystemTime::now",
        "Instant::now",
        "std::env",
    ];
    let mut violations = Vec::new();
    for (module, path) in source_files() {
        if !PURE.contains(&module.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code: Vec<_> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        let code = code.join("\n");
        let code = code.split("#[cfg(test)]").next().unwrap();
        violations.extend(
            forbidden
                .iter()
                .filter(|word| code.contains(**word))
                .map(|word| format!("{}: {word}", path.display())),
        );
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn unsafe_stands_in_one_file_and_each_time_with_its_reason() {
    let mut violations = Vec::new();
    for (_, path) in source_files() {
        let text = fs::read_to_string(&path).unwrap();
        let is_sys = path.ends_with("kernel/sys.rs");
        let blocks = text.matches("unsafe {").count();
        if blocks > 0 && !is_sys {
            violations.push(format!("{} has unsafe code", path.display()));
        }
        if is_sys {
            assert!(blocks > 10, "this test looks at the wrong file");
            assert!(text.matches("SAFETY:").count() >= blocks, "an unsafe block without SAFETY");
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn the_checker_sees_imports_in_every_form() {
    let text =
        "use crate::kernel::x;\nlet y = crate::pod::z(); // crate::cli\n//! crate::no\npub(crate) fn f() {}";
    assert_eq!(imports(text), ["kernel", "pod"]);
    assert!(!allowed("kernel").contains(&"plan") && !allowed("manifest").contains(&"kernel"));
}
