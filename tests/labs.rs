//! The labs of docs/labs do what they show: the commands of each page run in one shell, their output is compared, and nothing
//! is left behind. These tests need the repository, its bundles and the tools that the labs use.

#[path = "support/page.rs"]
mod page;
mod support;

use std::fs;
use std::path::PathBuf;

use support::*;

fn labs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/labs")
}

fn text(name: &str) -> String {
    fs::read_to_string(labs().join(name)).unwrap()
}

/// Every page of the course but its index.
fn pages() -> Vec<String> {
    let mut pages: Vec<String> = fs::read_dir(labs())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    pages.sort();
    pages
}

fn run(name: &str) {
    page::run_page(&Lab::new(), name, &text(name));
}

#[test]
fn lab_1_does_what_it_shows() {
    run("1-namespaces.md");
}

#[test]
fn lab_2_does_what_it_shows() {
    run("2-rootfs.md");
}

#[test]
fn lab_3_does_what_it_shows() {
    run("3-cgroup.md");
}

#[test]
fn lab_4_does_what_it_shows() {
    run("4-container.md");
}

#[test]
fn lab_5_does_what_it_shows() {
    run("5-pod.md");
}

#[test]
fn lab_6_does_what_it_shows() {
    run("6-patterns.md");
}

#[test]
fn lab_7_does_what_it_shows() {
    run("7-lifecycle.md");
}

#[test]
fn lab_8_does_what_it_shows() {
    run("8-faults.md");
}

#[test]
fn every_lab_has_its_test_and_its_line_in_the_index() {
    let (this, index) = (include_str!("labs.rs"), text("README.md"));
    let pages = pages();
    assert_eq!(pages.len(), 8, "{pages:?}");
    for name in pages {
        assert!(this.contains(&format!("    run(\"{name}\");\n")), "no test runs {name}");
        assert!(index.contains(&format!("]({name})")), "the index does not name {name}");
    }
}

#[test]
fn every_lab_has_a_prediction_and_questions_whose_answers_are_folded() {
    for name in pages() {
        let page = text(&name);
        assert!(page.contains("**Predict**"), "{name}: no prediction");
        let questions =
            page.split_once("\n## Questions\n").unwrap_or_else(|| panic!("{name}: no questions")).1;
        let (open, closed) =
            (questions.matches("<details>").count(), questions.matches("</details>").count());
        assert!(open >= 3 && open == closed, "{name}: {open} questions, {closed} ends of answers");
    }
}

#[test]
fn the_reading_order_and_the_links_name_files_that_exist() {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for name in pages().into_iter().chain(["README.md".to_owned()]) {
        let page = text(&name);
        let in_order = page.split('`').skip(1).step_by(2);
        let starts = ["src/", "docs/", "scripts/", "pods/", "bundles/"];
        for path in in_order.filter(|word| starts.iter().any(|start| word.starts_with(start))) {
            // `pods/*.yaml`: the folder before the first star. An option or a command may follow.
            let path = path.split(['*', ' ']).next().unwrap();
            assert!(repository.join(path).exists(), "{name} names {path}");
        }
        for link in page.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
            assert!(link.starts_with("https://") || labs().join(link).exists(), "{name} links to {link}");
        }
    }
}

#[test]
fn a_page_whose_output_is_not_as_shown_is_found_out() {
    let shown = "\n```console\n$ echo a\na\n$ for n in 1 2; do\n>   echo $n\n> done\n1\n2\n$ x=1\n$ echo $x\n1\n```\n\
                 \n```bash\ny=2\n```\n\n```text\nnot run\n```\n";
    let commands: Vec<_> = page::examples(shown).into_iter().map(|e| (e.command, e.expected)).collect();
    assert_eq!(commands.len(), 5, "{commands:?}");
    assert_eq!(commands[1], ("for n in 1 2; do\n  echo $n\ndone".to_owned(), "1\n2\n".to_owned()));
    // The same commands, then with one wrong figure, and with a process that is left.
    let more = "\n```console\n$ echo b\nb\n```\n";
    page::run_page(&Lab::new(), "right", &format!("{shown}{more}"));
    for wrong in ["\n```console\n$ echo b\nc\n```\n", "\n```console\n$ sleep 60 &\n```\n"] {
        let page = format!("{shown}{wrong}");
        let found = std::panic::catch_unwind(|| page::run_page(&Lab::new(), "wrong", &page));
        assert!(found.is_err(), "nobody has noticed {wrong}");
    }
}
