//! The experiments of scripts/experiments, and the commands of docs/patterns.md, print what is promised there, and leave
//! nothing behind. These tests need the repository and its bundles.

#[path = "support/page.rs"]
mod page;
mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::Signal;
use page::*;
use support::*;

fn experiments() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/experiments")
}

/// An experiment with the directories of this lab.
fn experiment(lab: &Lab, name: &str) -> Command {
    program(lab, experiments().join(name).to_str().unwrap())
}

fn run(name: &str) {
    let lab = Lab::new();
    let expected = fs::read_to_string(experiments().join(format!("{name}.expected"))).unwrap();
    let Output { status, stdout, stderr } = experiment(&lab, name).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success() && stderr.is_empty(), "{name}: {status}\n{stdout}\n{stderr}");
    if let Some(line) = first_missing(&expected, &stdout) {
        panic!("{name}: not as expected at\n{line}\nprinted was\n{stdout}");
    }
    nothing_is_left(&lab, name);
}

#[test]
fn kill_sidecar_does_what_it_promises() {
    run("kill-sidecar");
}

#[test]
fn no_restart_policy_does_what_it_promises() {
    run("no-restart-policy");
}

#[test]
fn failing_init_does_what_it_promises() {
    run("failing-init");
}

#[test]
fn startup_race_does_what_it_promises() {
    run("startup-race");
}

#[test]
fn long_prestop_does_what_it_promises() {
    run("long-prestop");
}

#[test]
fn memory_hog_does_what_it_promises() {
    run("memory-hog");
}

/// The commands of one section of docs/patterns.md, with what the page shows of their output, one after the other.
fn section_of_the_page(heading: &str) {
    let page = include_str!("../docs/patterns.md");
    let section = page.split("\n## ").find(|section| section.starts_with(&format!("{heading}\n"))).unwrap();
    run_page(&Lab::new(), &format!("docs/patterns.md, {heading}"), section);
}

#[test]
fn the_page_shows_what_the_sidecar_does() {
    section_of_the_page("Sidecar");
}

#[test]
fn the_page_shows_what_the_ambassador_does() {
    section_of_the_page("Ambassador");
}

#[test]
fn the_page_shows_what_the_adapter_does() {
    section_of_the_page("Adapter");
}

#[test]
fn the_page_shows_what_the_init_containers_do() {
    section_of_the_page("Init containers");
}

#[test]
fn the_page_shows_what_the_native_sidecar_does() {
    section_of_the_page("Native sidecar");
}

#[test]
fn every_experiment_has_its_expected_output_and_its_test() {
    let mut found: Vec<String> = fs::read_dir(experiments())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| !name.ends_with(".expected") && !["cable", "lib.sh"].contains(&name.as_str()))
        .collect();
    found.sort();
    let this = include_str!("experiments.rs");
    assert_eq!(found.len(), 6, "{found:?}");
    for name in found {
        assert!(experiments().join(format!("{name}.expected")).is_file(), "{name}.expected");
        assert!(this.contains(&format!("    run(\"{name}\");\n")), "no test runs {name}");
    }
}

#[test]
fn an_experiment_that_is_interrupted_leaves_nothing_behind() {
    let lab = Lab::new();
    let mut child = experiment(&lab, "no-restart-policy").stdout(Stdio::null()).spawn().unwrap();
    let proxy_runs = || lab.output(&["logs", "no-restart-policy", "-c", "proxy"]).status.success();
    lab.until("the pod to run", seconds(20), proxy_runs);
    signal(child.id() as i32, Signal::SIGTERM);
    assert!(!child.wait().unwrap().success());
    nothing_is_left(&lab, "no-restart-policy");
}

#[test]
fn the_cable_says_what_is_wrong() {
    let lab = Lab::new();
    let output = experiment(&lab, "cable").args(["one", "10.54.32.1", "two"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let lab = Lab::new();
    let output = experiment(&lab, "cable").args(["one", "10.54.32.1", "two", "10.54.32.2"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && stderr.contains("one"), "{stderr}");
    nothing_is_left(&lab, "cable");
}

#[test]
fn expected_output_is_compared_line_by_line() {
    assert!(line_fits("a  … s b", "a 1.0 s b"));
    assert!(line_fits("…", "anything"));
    assert!(!line_fits("a … b", "a 1 c"));
    assert!(!line_fits("a", "a b"));
    assert_eq!(first_missing("a\n…\nd\n", "a\nb\nc\nd\n"), None);
    assert_eq!(first_missing("a\nd\n", "a\nb\nd\n"), Some("d"));
    assert_eq!(first_missing("a\n", "a\nb\n"), Some("(the end)"));
}
