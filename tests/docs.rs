//! The documents say what is there: commands run as they are printed, examples have the shape of what the binary prints, and
//! lists are those of the code. These tests need the repository.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use barepod::manifest::schema::{self, Shape, Support, Table};
use barepod::plan::sandbox::SandboxStep;
use barepod::plan::step::Step;
use support::*;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A document of the repository. One that is missing is a failure.
fn document(name: &str) -> String {
    let path = repository().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The part of a document from this heading line to the next one of the same or a higher level.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let start = text.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no section {heading:?}"));
    let rest = &text[start + heading.len() + 2..];
    let level = heading.chars().take_while(|c| *c == '#').count();
    let ends = (1..=level).filter_map(|level| rest.find(&format!("\n{} ", "#".repeat(level))));
    &rest[..ends.min().unwrap_or(rest.len())]
}

/// The first column of every table row, header rows left out.
fn first_cells(text: &str) -> Vec<&str> {
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    let is_rule = |row: &str| row.starts_with("|--");
    let body = rows
        .iter()
        .enumerate()
        .filter(|(at, row)| !is_rule(row) && !rows.get(at + 1).is_some_and(|next| is_rule(next)));
    body.map(|(_, row)| row.trim_start_matches('|').split('|').next().unwrap().trim()).collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The fenced block with this info string, such as `json inspect`.
fn example<'a>(text: &'a str, info: &str) -> &'a str {
    let open = format!("\n```{info}\n");
    let start = text.find(&open).unwrap_or_else(|| panic!("no example {info:?}")) + open.len();
    let length = text[start..].find("\n```").expect("an example without an end");
    &text[start..start + length + 1]
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// The bundles that scripts/bundles makes.
fn repository_bundles() -> PathBuf {
    let bundles = repository().join("bundles");
    for name in ["busybox", "httpd"] {
        assert!(bundles.join(name).join("rootfs/bin/busybox").is_file(), "run scripts/bundles first");
    }
    bundles
}

// (a) The README's pod, step by step

/// Runs a command line as a shell in the repository would, with this lab's directories.
fn run_line(lab: &Lab, line: &str) -> Output {
    let script = format!(
        "barepod() {{ \"$BINARY\" --root {} --log-dir {} --cgroup-parent {} \"$@\"; }}\n{line}\n",
        lab.root().display(),
        lab.logs().display(),
        lab.cgroup_parent()
    );
    let mut shell = Command::new("sh");
    shell.args(["-euc", &script]).current_dir(repository()).env("BINARY", BAREPOD);
    shell.env_remove("BAREPOD_BUNDLES").env_remove("BAREPOD_ROOT").output().unwrap()
}

fn run_line_ok(lab: &Lab, line: &str) -> String {
    let output = run_line(lab, line);
    assert!(output.status.success(), "{line}: {}\n{}", output.status, text(output.stderr));
    text(output.stdout)
}

#[test]
fn the_readmes_pod_step_by_step_runs_as_printed_and_does_what_its_comments_say() {
    repository_bundles();
    let readme = document("README.md");
    let block = section(&readme, "## A pod, step by step");
    let lines: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("    barepod ")).collect();
    let verbs: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(verbs, ["run", "wait", "ps", "exec", "logs", "stop", "events", "rm"]);

    let lab = Lab::new();
    let requests = |log: &str| log.lines().filter(|line| line.contains("url:/")).count();
    let (mut before, mut asked) = (0, Instant::now());
    for (verb, line) in verbs.iter().zip(lines) {
        let line = format!("barepod {line}");
        match *verb {
            "run" => assert_eq!(run_line_ok(&lab, &line), "log-shipping\n"),
            "ps" => {
                let table = run_line_ok(&lab, &line);
                let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().take(4).collect();
                assert_eq!(row, ["log-shipping", "2/2", "Running", "0"], "{table}");
            }
            "exec" => {
                // The requests of postStart are shipped late, too: ours is the one after them.
                std::thread::sleep(seconds(1));
                before = requests(&lab.ok(&["logs", "log-shipping", "-c", "log-shipper"]));
                assert!(run_line_ok(&lab, &line).contains("nothing under it but the kernel"));
                asked = Instant::now();
            }
            "logs" => loop {
                if requests(&run_line_ok(&lab, &line)) > before {
                    break;
                }
                assert!(asked.elapsed() < seconds(1), "the request is not in the shipper's log within 1 s");
                std::thread::sleep(Duration::from_millis(20));
            },
            "stop" => {
                let grace = lab.inspect("log-shipping")["spec"]["terminationGracePeriodSeconds"].clone();
                let start = Instant::now();
                run_line_ok(&lab, &line);
                let grace = Duration::from_secs(grace.as_u64().unwrap());
                assert!(start.elapsed() < grace, "stop took {:?}", start.elapsed());
                let ended = |container: &str| {
                    let state = lab.status("log-shipping", container)["state"]["terminated"].clone();
                    assert_eq!(state["exitCode"], 0, "{container} had to be killed");
                    state["finishedAt"].as_str().unwrap().to_owned()
                };
                assert!(ended("web") <= ended("log-shipper"), "the app first, its sidecar last");
                let log = lab.ok(&["logs", "log-shipping", "-c", "log-shipper"]);
                assert!(log.ends_with("shipped to the end\n"), "{log}");
            }
            "events" => {
                let events = run_line_ok(&lab, &line);
                // The last that is told of each.
                let last = |container: &str| {
                    let at = events.lines().collect::<Vec<_>>();
                    let at = at.iter().rposition(|line| line.contains(&format!(" {container} ")));
                    at.unwrap_or_else(|| panic!("{container} is not in\n{events}"))
                };
                assert!(last("web") < last("log-shipper"), "the app first, its sidecar last\n{events}");
                assert!(last("prepare") < last("web"), "{events}");
            }
            "rm" => {
                run_line_ok(&lab, &line);
                assert_eq!(lab.ok(&["ps"]).lines().count(), 1, "only the header");
                assert_eq!(fs::read_dir(lab.logs()).unwrap().count(), 0, "its logs are gone");
            }
            _ => assert_eq!(run_line_ok(&lab, &line), ""),
        }
    }
}

// (b) The examples of docs/cli.md

/// Every path in a value with its type, `status.podIPs[].ip: string`. Elements of a list count as one.
fn shape(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    into.insert(format!("{path}: {kind}"));
    for item in value.as_array().into_iter().flatten() {
        shape(item, &format!("{path}[]"), into);
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        shape(value, &format!("{path}.{key}"), into);
    }
}

fn assert_same_shape(what: &str, printed: &str, documented: &str) {
    let read = |text: &str| {
        // One value, or one on each line.
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let mut all = BTreeSet::new();
        for value in values {
            shape(&value.unwrap_or_else(|error| panic!("{what}: {error}\n{text}")), "", &mut all);
        }
        all
    };
    let (printed, documented) = (read(printed), read(documented));
    let missing: Vec<_> = printed.difference(&documented).collect();
    let gone: Vec<_> = documented.difference(&printed).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "docs/cli.md, {what}: printed and not in the example: {missing:#?}; in the example and not printed: {gone:#?}"
    );
}

#[test]
fn the_json_examples_have_the_shape_of_what_is_printed() {
    let page = document("docs/cli.md");
    let bundles = repository_bundles();
    let bundles = bundles.to_str().unwrap();
    let lab = Lab::new();
    lab.ok(&["run", "-d", "--bundles", bundles, &lab.manifest(example(&page, "yaml web.yaml"))]);
    lab.ok(&["wait", "web", "--for=Ready", "--timeout", &format!("{}s", seconds(20).as_secs())]);
    let object = lab.ok(&["inspect", "web"]);
    assert_same_shape("inspect", &object, example(&page, "json inspect"));
    let list = lab.ok(&["ps", "-o", "json"]);
    // The page leaves out what stands above in full.
    let whole = example(&page, "json ps").replace("{ … }", example(&page, "json inspect"));
    assert_same_shape("ps", &list, &whole);
    assert_same_shape("stats", &lab.ok(&["stats", "-o", "json"]), example(&page, "json stats"));
    lab.ok(&["stop", "web", "-t", "0"]);
    assert_same_shape("events", &lab.ok(&["events", "web", "-o", "json"]), example(&page, "json events"));

    let crash = "apiVersion: v1\nkind: Pod\nmetadata: {name: crash}\nspec:\n  containers:\n  - name: app\n    image: busybox\n    command: [sh, -c, exit 3]\n";
    lab.ok(&["run", "-d", "--bundles", bundles, &lab.manifest(crash)]);
    let waits = || lab.status("crash", "app")["state"]["waiting"]["reason"] == "CrashLoopBackOff";
    lab.until("CrashLoopBackOff", seconds(20), waits);
    let status = lab.status("crash", "app").to_string();
    assert_same_shape("a crashed container", &status, example(&page, "json crashed"));
}

#[test]
fn the_example_of_barepod_oci_state_has_the_shape_of_what_is_printed() {
    let lab = Lab::new();
    let bundle = lab.dir.join("bundle");
    own_bundle(&bundle);
    let mut config = config();
    config["process"]["args"] = serde_json::json!(["sleep", "600"]);
    config["linux"]["cgroupsPath"] = format!("/{}/oci", lab.cgroup_parent()).into();
    fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    let oci = |args: &[&str]| {
        let mut command = Command::new(BAREPOD_OCI);
        let output = command.arg("--root").arg(lab.dir.join("oci")).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(output.stderr));
        text(output.stdout)
    };
    // Its standard streams are the container's own, so they must not be pipes that we would wait for.
    let detached = Command::new(BAREPOD_OCI)
        .arg("--root")
        .arg(lab.dir.join("oci"))
        .args(["run", "-d", "-b", bundle.to_str().unwrap(), "web"])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    assert!(detached.unwrap().success());
    let state = oci(&["state", "web"]);
    oci(&["delete", "-f", "web"]);
    assert_same_shape("barepod-oci state", &state, example(&document("docs/cli.md"), "json state"));
}

#[test]
fn the_example_of_a_manifest_with_errors_is_what_check_says() {
    let page = document("docs/cli.md");
    let lab = Lab::new();
    fs::write(lab.dir.join("shop.yaml"), example(&page, "yaml shop.yaml")).unwrap();
    let output = lab.command(&["check", "shop.yaml"]).current_dir(&lab.dir).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(output.stderr), example(&page, "text check"));
}

// (c) docs/steps.md

#[test]
fn the_steps_are_those_of_the_code_in_their_order() {
    let page = document("docs/steps.md");
    let names = |heading| -> Vec<&str> {
        first_cells(section(&page, heading)).into_iter().flat_map(quoted).collect()
    };
    assert_eq!(names("## The sandbox: the pod init"), SandboxStep::NAMES);
    assert_eq!(names("## A container: its child process"), Step::NAMES);
}

// (d) docs/cli.md against --help

fn help(binary: &str, args: &[&str]) -> String {
    let output = Command::new(binary).args(args).env_remove("BAREPOD_ROOT").output().unwrap();
    assert!(output.status.success(), "{args:?}");
    text(output.stdout)
}

/// The verbs that `--help` lists.
fn verbs(binary: &str) -> Vec<String> {
    let help = help(binary, &["--help"]);
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    list.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// `-d --detach`: an option by all its names.
fn option_names(line: &str) -> String {
    let words = line.split([' ', ',', '`']).filter(|word| word.len() > 1 && word.starts_with('-'));
    words.collect::<Vec<_>>().join(" ")
}

/// The options that a help text lists.
fn options(help: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in help.lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
        // Two blanks end the names; `- json: …` is a value.
        let names = option_names(line.split("  ").next().unwrap());
        if !names.is_empty() {
            found.insert(names);
        }
    }
    assert!(found.contains("-h --help"), "{help}");
    found
}

#[test]
fn every_verb_and_every_option_is_in_the_page_and_nothing_else() {
    let page = document("docs/cli.md");
    let mut known = BTreeSet::new();
    for (binary, name) in [(BAREPOD, "barepod"), (BAREPOD_OCI, "barepod-oci")] {
        let global = options(&help(binary, &["--help"]));
        known.extend(global.clone());
        let documented = |heading: &str| -> BTreeSet<String> {
            first_cells(section(&page, heading))
                .into_iter()
                .map(option_names)
                .filter(|n| !n.is_empty())
                .collect()
        };
        assert_eq!(documented(&format!("## Options of every `{name}` verb")), global, "{name}");
        let mut expected = BTreeSet::new();
        for verb in verbs(binary).iter().filter(|verb| *verb != "help") {
            let own = &options(&help(binary, &[verb, "--help"])) - &global;
            let heading = format!("### `{name} {verb}`");
            assert_eq!(documented(&heading), own, "{heading}");
            known.extend(own);
            expected.insert(heading);
        }
        let headings = page.lines().filter(|line| line.starts_with(&format!("### `{name} ")));
        assert_eq!(headings.map(str::to_owned).collect::<BTreeSet<_>>(), expected);
    }
    // Neither do synopses and running text name one that does not exist.
    let known: BTreeSet<&str> = known.iter().flat_map(|names| names.split(' ')).collect();
    for (at, _) in page.match_indices("--").filter(|(at, _)| !page[..*at].ends_with('-')) {
        let length = page[at + 2..].find(|c: char| !c.is_ascii_lowercase() && c != '-');
        let name = &page[at..at + 2 + length.unwrap()];
        let is_name = name.len() > 2 && !name[2..].starts_with('-');
        assert!(!is_name || known.contains(name), "docs/cli.md names {name}, which no verb knows");
    }
}

// (e) docs/manifest.md

/// The types that a manifest is read by, each with the fields that have it; in the order of the tables.
fn types() -> Vec<(&'static Table, Vec<String>)> {
    fn visit(table: &'static Table, from: String, found: &mut Vec<(&'static Table, Vec<String>)>) {
        if let Some((_, uses)) = found.iter_mut().find(|(known, _)| std::ptr::eq(*known, table)) {
            return uses.push(from);
        }
        found.push((table, Vec::from_iter((!from.is_empty()).then_some(from))));
        for field in table.fields.iter().filter(|field| field.support == Support::Honoured) {
            if let Shape::Object(inner) | Shape::List(inner) = field.shape {
                visit(inner, format!("{}.{}", table.name, field.name), found);
            }
        }
    }
    let mut found = Vec::new();
    schema::DOCUMENTS.iter().for_each(|table| visit(table, String::new(), &mut found));
    found
}

/// What may stand in a field, for people.
fn describe(shape: Shape) -> String {
    let int = |from: i64, to: i64| match (from, to) {
        (i64::MIN, i64::MAX) => String::new(),
        (from, to) if to == i64::from(i32::MAX) => format!(", {from} to 2³¹ − 1"),
        (from, to) => format!(", {from} to {to}"),
    };
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::OneOf(values) => {
            let honoured = values.iter().filter(|(_, support)| *support == Support::Honoured);
            let names: Vec<_> = honoured
                .map(|(value, _)| if value.is_empty() { "empty".to_owned() } else { format!("`{value}`") })
                .collect();
            names.join(", ")
        }
        Shape::Flag => "`true`, `false`".to_owned(),
        Shape::Int(from, to) => format!("integer{}", int(from, to)),
        Shape::Port => "port number, or the name of a port".to_owned(),
        Shape::Amount => "quantity".to_owned(),
        Shape::Amounts => "quantities by resource: `cpu`, `memory`".to_owned(),
        Shape::Texts => "list of texts".to_owned(),
        Shape::Ints(from, to) => format!("list of integers{}", int(from, to)),
        Shape::TextMap => "texts by name".to_owned(),
        Shape::Object(table) => table.name.to_owned(),
        Shape::List(table) => format!("list of {}", table.name),
        Shape::Anything => "anything".to_owned(),
    }
}

/// Field, or field and value, with what barepod makes of it.
fn supports(table: &Table) -> Vec<(String, Support)> {
    let mut found = Vec::new();
    for field in table.fields {
        // Values of a field that means nothing here are only looked at for spelling.
        match (field.support, field.shape) {
            (Support::Honoured, Shape::OneOf(values)) => {
                let named =
                    |(value, support): &(&str, Support)| (format!("`{}: {value}`", field.name), *support);
                found.extend(values.iter().map(named).filter(|(_, support)| *support != Support::Honoured));
            }
            (Support::Honoured, _) => {}
            (support, _) => {
                let unless: Vec<_> = field.idle.iter().map(|idle| format!("`{idle}`")).collect();
                let unless = match unless.join(", ").replace("``", "empty") {
                    idle if idle.is_empty() => String::new(),
                    idle => format!(", unless {idle}"),
                };
                found.push((format!("`{}`{unless}", field.name), support));
            }
        }
    }
    found
}

/// One of the three groups: a table for each type that has something in it.
fn group(heading: &str, columns: &str, rows: impl Fn(&Table) -> Vec<String>) -> String {
    let mut text = format!("## {heading}\n");
    for (table, uses) in types() {
        let rows = rows(table);
        if rows.is_empty() {
            continue;
        }
        let uses: Vec<_> = uses.iter().map(|place| format!("`{place}`")).collect();
        let uses = if uses.is_empty() { "the document".to_owned() } else { uses.join(", ") };
        let rule = columns.matches('|').map(|_| "|").collect::<Vec<_>>().join("---");
        text += &format!("\n### {}\n\n{uses}\n\n{columns}\n{rule}\n{}\n", table.name, rows.join("\n"));
    }
    text
}

fn field_tables() -> String {
    let honoured = |table: &Table| {
        let fields = table.fields.iter().filter(|field| field.support == Support::Honoured);
        let required = |required| if required { " (required)" } else { "" };
        fields
            .map(|field| {
                format!("| `{}`{} | {} |", field.name, required(field.required), describe(field.shape))
            })
            .collect()
    };
    let warned = |table: &Table| {
        let reason = |(what, support): &(String, Support)| match support {
            Support::ClusterOnly(why) => Some(format!("| {what} | {why} |")),
            _ => None,
        };
        supports(table).iter().filter_map(reason).collect()
    };
    let refused = |table: &Table| {
        let reason = |(what, support): &(String, Support)| match support {
            Support::NotYet("") => Some(format!("| {what} | not yet | |")),
            Support::NotYet(hint) => Some(format!("| {what} | not yet | {hint} |")),
            Support::Never(why) => Some(format!("| {what} | never | {why} |")),
            _ => None,
        };
        supports(table).iter().filter_map(reason).collect()
    };
    [
        group("Honoured", "| field | value |", honoured),
        group("Accepted with a warning", "| field | why it means nothing here |", warned),
        group("Refused", "| field | will it come | what to do instead, or why not |", refused),
    ]
    .join("\n")
}

#[test]
fn the_manifests_fields_are_those_of_the_schema() {
    const BEGIN: &str = "<!-- From the tables of src/manifest/schema; tests/docs.rs writes it. -->\n\n";
    let page = document("docs/manifest.md");
    let (preface, written) = page.split_once(BEGIN).expect("docs/manifest.md has lost its mark");
    let tables = field_tables();
    if std::env::var_os("BAREPOD_UPDATE_DOCS").is_some_and(|value| value == "1") {
        fs::write(repository().join("docs/manifest.md"), format!("{preface}{BEGIN}{tables}")).unwrap();
        return;
    }
    let different = written.lines().zip(tables.lines()).find(|(written, table)| written != table);
    assert!(
        written == tables,
        "docs/manifest.md is not what the schema says: {different:?}; rewrite it with\n\
         BAREPOD_UPDATE_DOCS=1 cargo test --test docs fields"
    );
}

#[test]
fn no_two_types_of_the_schema_have_the_same_name() {
    let mut seen = BTreeMap::new();
    for (table, uses) in types() {
        assert!(!table.name.is_empty(), "a type without a name in {uses:?}");
        assert_eq!(seen.insert(table.name, &table.fields as *const _), None, "{}", table.name);
    }
    assert!(seen.len() > 20, "this test looks at the wrong tables");
}

// (f) Completions and man pages

#[test]
fn completions_and_man_pages_are_made_for_every_verb() {
    let verbs: Vec<String> = verbs(BAREPOD).into_iter().filter(|verb| verb != "help").collect();
    for (shell, sign) in [("bash", "complete -F _barepod"), ("zsh", "#compdef barepod")] {
        let script = help(BAREPOD, &["completions", shell]);
        assert!(script.contains(sign), "{shell}");
        for verb in &verbs {
            assert!(script.contains(verb.as_str()), "{shell} does not complete {verb}");
        }
        assert!(script.contains("--crash-loop-max"), "{shell} does not complete options");
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("man-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    help(BAREPOD, &["man", directory.to_str().unwrap()]);
    let pages =
        fs::read_dir(&directory).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<String> = pages.collect();
    let mut expected: BTreeSet<String> = verbs.iter().map(|verb| format!("barepod-{verb}.1")).collect();
    expected.insert("barepod.1".to_owned());
    assert_eq!(pages, expected);
    for verb in &verbs {
        let page = fs::read_to_string(directory.join(format!("barepod-{verb}.1"))).unwrap();
        assert!(page.contains(&format!(".TH barepod-{verb} 1")), "{page}");
        let own = &options(&help(BAREPOD, &[verb, "--help"])) - &options(&help(BAREPOD, &["--help"]));
        for name in own.iter().flat_map(|names| names.split(' ')) {
            assert!(page.contains(&name.replace('-', "\\-")), "barepod-{verb}.1 lacks {name}");
        }
    }
    fs::remove_dir_all(&directory).unwrap();
}

// (g) CONTRIBUTING.md

#[test]
fn the_map_of_the_house_names_every_module_of_src_and_no_other() {
    let page = document("CONTRIBUTING.md");
    let map = section(&page, "## The map of the house");
    let mut named: Vec<String> = Vec::new();
    for row in map.lines().filter(|line| line.starts_with('|')) {
        let cell = row.split('|').nth(2).unwrap_or_default();
        named.extend(quoted(cell).iter().map(|name| name.trim_end_matches('/').to_owned()));
    }
    named.retain(|name| name != "src"); // the column's heading
    let unique: BTreeSet<String> = named.iter().cloned().collect();
    assert_eq!(unique.len(), named.len(), "a module stands in two layers");
    let entries = fs::read_dir(repository().join("src")).unwrap();
    let modules = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let modules: BTreeSet<String> = modules.map(|name| name.trim_end_matches(".rs").to_owned()).collect();
    assert_eq!(unique, &modules - &BTreeSet::from(["lib".to_owned(), "bin".to_owned()]));
}
