//! The command line is a contract: exit codes, messages, the shapes of JSON. Scripts rely on it.

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::Signal;
use support::*;

/// A pod of one container that runs this shell script.
fn pod(name: &str, script: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  terminationGracePeriodSeconds: 5\n  containers:\n  - name: app\n    image: box\n    command: [sh, -c, '{}']\n{more}",
        script.replace('\'', "''")
    )
}

/// One that runs until TERM.
fn lasting(name: &str) -> String {
    pod(name, UNTIL_TERM, "")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

// Bad input

/// A manifest with one thing wrong: what stands on standard error has the place, the line and a caret; nothing was made.
struct Bad {
    what: &'static str,
    text: String,
    line: usize,
    column: usize,
    /// Words that the message has.
    words: Vec<String>,
}

fn bad(what: &'static str, text: String, place: (usize, usize), words: &[&str]) -> Bad {
    Bad {
        what,
        text,
        line: place.0,
        column: place.1,
        words: words.iter().map(|word| (*word).to_owned()).collect(),
    }
}

/// Line and column of `mark` in a text.
fn place(text: &str, mark: &str) -> (usize, usize) {
    let at = text.find(mark).unwrap_or_else(|| panic!("no {mark:?} in {text}"));
    let line = text[..at].lines().count().max(1);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    (if at == start && at > 0 { line + 1 } else { line }, at - start + 1)
}

const GOOD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  volumes:
  - name: data
    emptyDir: {}
  containers:
  - name: app
    image: box
    command: [sleep, '1']
    volumeMounts:
    - name: data
      mountPath: /data
";

fn bad_manifests() -> Vec<Bad> {
    let change = |from: &str, to: &str| {
        assert_eq!(GOOD.matches(from).count(), 1, "{from}");
        GOOD.replace(from, to)
    };
    let misspelt = change("    volumeMounts:", "    volumeMount:");
    let unsupported = change("  volumes:", "  hostPID: true\n  volumes:");
    let refused = change("  volumes:", "  hostPID: true\n  volumes:");
    let duplicate = format!("{GOOD}  - name: app\n    image: box\n");
    let unknown = change("    - name: data\n      mountPath", "    - name: dato\n      mountPath");
    let relative = change("mountPath: /data", "mountPath: data");
    let missing = change("image: box", "image: no-such-bundle:1.0");
    let pod_name = change("  name: web", "  name: ../web");
    let container_name = change("  - name: app", "  - name: ../app");
    let volume_name = GOOD.replace("name: data", "name: ../data");
    let hostname = change("spec:\n", "spec:\n  hostname: ../x\n");
    let namespace = change("  name: web", "  name: web\n  namespace: ../x");
    let escaping = change("mountPath: /data", "mountPath: /data/../../x");
    let image = change("image: box", "image: ./../box");
    let tab = change("    image: box", "\timage: box");
    let alias = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned()
        + &(b'b'..=b'k')
            .map(|c| {
                format!("{0}: &{0} [{1}]\n", c as char, vec![format!("*{}", (c - 1) as char); 9].join(", "))
            })
            .collect::<String>();
    let twice = change("  name: web", "  name: web\n  name: web");
    let no_command = change("    command: [sleep, '1']", "    command: sleep");
    vec![
        bad(
            "a misspelt field",
            misspelt.clone(),
            place(&misspelt, "volumeMount:"),
            &["volumeMount", "volumeMounts"],
        ),
        bad(
            "a field that is not supported yet",
            unsupported.clone(),
            place(&unsupported, "hostPID"),
            &["hostPID"],
        ),
        bad(
            "a field that is refused",
            refused.clone(),
            place(&refused, "hostPID"),
            &["hostPID", "PID namespace"],
        ),
        bad("a duplicate name", duplicate.clone(), (16, 11), &["duplicate", "app"]),
        bad("an unknown volume", unknown.clone(), place(&unknown, "dato"), &["dato", "data"]),
        bad("a relative mountPath", relative.clone(), (15, 18), &["mountPath", "absolute"]),
        bad(
            "a missing bundle",
            missing.clone(),
            place(&missing, "no-such-bundle"),
            &["no-such-bundle:1.0", "looked", "skopeo copy", "umoci unpack"],
        ),
        bad("../ in the pod's name", pod_name.clone(), place(&pod_name, "../web"), &["metadata.name"]),
        bad("../ in a container's name", container_name.clone(), place(&container_name, "../app"), &["name"]),
        bad("../ in a volume's name", volume_name.clone(), place(&volume_name, "../data"), &["name"]),
        bad("../ in the host name", hostname.clone(), place(&hostname, "../x"), &["hostname"]),
        bad("../ in the namespace", namespace.clone(), place(&namespace, "../x"), &["namespace"]),
        bad(".. in a mountPath", escaping.clone(), place(&escaping, "/data/.."), &["mountPath", ".."]),
        bad(".. in an image", image.clone(), place(&image, "./../box"), &[".."]),
        bad("a tab", tab, (0, 0), &["tab"]),
        bad("an alias bomb", alias, (0, 0), &["alias"]),
        bad("a key twice", twice.clone(), (5, 3), &["name"]),
        bad("text for a list", no_command.clone(), place(&no_command, "sleep"), &["command", "list"]),
        bad("an empty file", String::new(), (1, 1), &["empty"]),
        bad("a comment alone", "# nothing\n".to_owned(), (1, 1), &["empty"]),
        bad("not UTF-8", "\u{fffd}".to_owned(), (1, 1), &[]),
        bad("another kind", change("kind: Pod", "kind: Deployment"), (2, 7), &["Deployment"]),
    ]
}

/// `barepod: FILE:LINE:COL: message`, the source line, a line with a caret. Gives line and column.
fn check_problem(said: &str, file: &str, what: &str) -> (usize, usize, String) {
    let lines: Vec<_> = said.lines().collect();
    assert!(lines.len() >= 3, "{what}: {said}");
    let rest =
        lines[0].strip_prefix(&format!("barepod: {file}:")).unwrap_or_else(|| panic!("{what}: {said}"));
    let mut parts = rest.splitn(3, ':');
    let mut number = || {
        parts.next().and_then(|part| part.parse::<usize>().ok()).unwrap_or_else(|| panic!("{what}: {said}"))
    };
    let (line, column) = (number(), number());
    let message = parts.next().unwrap().trim().to_owned();
    assert!(!message.is_empty() && !message.ends_with('.'), "{what}: {message}");
    assert!(lines[2].trim_matches([' ', '\t']) == "^", "{what}: {said}");
    (line, column, message)
}

#[test]
fn bad_input_is_one_line_with_its_place_a_source_line_and_a_caret_and_nothing_is_made() {
    let lab = Lab::new();
    for Bad { what, text, line, column, words } in bad_manifests() {
        let file = lab.manifest(&text);
        if what == "not UTF-8" {
            fs::write(&file, b"\xff\xfe\xfa").unwrap();
        }
        for verb in [["run", "-d", &file].as_slice(), &["run", &file], &["check", &file]] {
            let output = lab.output(verb);
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{what}: {said}");
            assert_eq!(stdout(&output), "", "{what}");
            let (at_line, at_column, message) = check_problem(&said, &file, what);
            if line > 0 {
                assert_eq!((at_line, at_column), (line, column), "{what}: {said}");
                let source = text.lines().nth(line - 1).unwrap_or_default();
                assert_eq!(
                    said.lines().nth(1).unwrap(),
                    if what == "not UTF-8" { said.lines().nth(1).unwrap() } else { source },
                    "{what}"
                );
            }
            for word in &words {
                assert!(message.contains(word), "{what}: {word:?} is missing in {message:?}");
            }
            // Each problem has its three lines; there is one here.
            assert_eq!(said.lines().count(), 3, "{what}: {said}");
            assert!(!lab.root().exists() && !lab.logs().exists(), "{what}: something was made");
            assert!(cgroup_directories(lab.cgroup_parent()).is_empty(), "{what}: a cgroup was made");
        }
    }
}

#[test]
fn a_good_manifest_is_checked_without_a_word_and_every_problem_of_a_bad_one_is_told() {
    let lab = Lab::new();
    let output = lab.output(&["check", &lab.manifest(GOOD)]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    let many = GOOD
        .replace("mountPath: /data", "mountPath: data")
        .replace("  name: web", "  name: Web")
        .replace("image: box", "imagee: box");
    let said = lab.fails(2, &["check", &lab.manifest(&many)]);
    let places: Vec<_> = said.lines().filter(|line| line.starts_with("barepod: ")).collect();
    assert!(places.len() >= 3 && said.contains("\"image\""), "{said}");
    // Warnings alone are no failure.
    let warned =
        lab.output(&["check", &lab.manifest(&GOOD.replace("  volumes:", "  nodeName: here\n  volumes:"))]);
    let said = stderr(&warned);
    assert_eq!(warned.status.code(), Some(0), "{said}");
    assert!(said.contains("warning: ") && said.contains("nodeName") && said.lines().count() == 3, "{said}");
    // Of several files the worst counts.
    lab.fails(2, &["check", &lab.manifest(GOOD), &lab.manifest(&many)]);
}

#[test]
fn a_bundle_with_a_broken_configuration_is_shown_with_its_own_place() {
    let lab = Lab::new();
    let bundle = lab.dir.join("broken");
    own_bundle(&bundle);
    let manifest = lab.manifest(&GOOD.replace("image: box", "image: ./broken"));
    let config_json = bundle.join("config.json");
    let shown = fs::canonicalize(&bundle).unwrap().join("config.json").display().to_string();
    for (text, line, word) in [
        ("{\n  \"ociVersion\": \"1.0.2\",\n  \"process\": {,}\n}\n".to_owned(), 3, ""),
        ("{\n  \"ociVersion\": \"1.0.2\"\n}\n".to_owned(), 1, "process"),
        (String::new(), 1, ""),
        (
            {
                let mut spec = config();
                spec["hooks"] = serde_json::json!({"prestart": [{"path": "/bin/true"}]});
                spec.to_string()
            },
            1,
            "hooks",
        ),
    ] {
        fs::write(&config_json, &text).unwrap();
        let output = lab.output(&["run", "-d", &manifest]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let (at, _, message) = check_problem(&said, &shown, &text);
        assert!(at == line && message.contains(word), "{said}");
        assert!(!lab.root().exists());
    }
}

#[test]
fn a_missing_bundle_says_where_it_was_looked_for() {
    let lab = Lab::new();
    let (one, two) = (lab.dir.join("one"), lab.dir.join("two"));
    let manifest = lab.manifest(&GOOD.replace("image: box", "image: registry.example/team/web:1.0"));
    let mut run = lab.command(&["run", "-d", "--bundles", one.to_str().unwrap(), &manifest]);
    let output = run.env("BAREPOD_BUNDLES", &two).output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for directory in [&one, &two, Path::new("/var/lib/barepod/bundles")] {
        for name in ["web:1.0", "web"] {
            assert!(
                said.contains(directory.join(name).to_str().unwrap()),
                "{name} in {}: {said}",
                directory.display()
            );
        }
    }
    let output = lab.output(&["run", "-d", &lab.dir.join("no-such-file.yaml").display().to_string()]);
    assert!(stderr(&output).contains("no-such-file.yaml") && !output.status.success(), "{}", stderr(&output));
}

fn from_stdin(lab: &Lab, args: &[&str], text: &str, directory: &Path) -> Output {
    let mut run = lab.command(args);
    run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir(directory);
    let mut child = run.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_manifest_may_come_from_standard_input_and_may_be_json() {
    let lab = Lab::new();
    let output = from_stdin(&lab, &["run", "-d", "-"], &GOOD.replace("emptyDir", "emtyDir"), &lab.dir);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(check_problem(&said, "<stdin>", "stdin").0, 8);

    // Relative paths start at the current directory.
    let place = lab.dir.join("place");
    own_bundle(&place.join("bundle"));
    fs::write(place.join("bundle/config.json"), config().to_string()).unwrap();
    let json = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "json"},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "./bundle", "command": ["echo", "from JSON"]}]},
    });
    let output = from_stdin(&lab, &["run", "-d", "-"], &dropped::manifest_text(&json.to_string()), &place);
    assert_eq!(
        (output.status.code(), stdout(&output)),
        (Some(0), "json\n".to_owned()),
        "{}",
        stderr(&output)
    );
    assert_eq!(lab.wait_ended("json", 10), "Succeeded");
    assert_eq!(lab.ok(&["logs", "json"]), "from JSON\n");
    let bad = lab.manifest("{\"apiVersion\": \"v1\", \"kind\": \"Pod\",\n \"metadata\": {\"name\": \"x\"}, \"spec\": {\"container\": []}}");
    let said = lab.fails(2, &["check", &bad]);
    assert!(said.contains(":2:") && said.contains("containers"), "{said}");
}

// Names

#[test]
fn a_pod_that_does_not_exist_is_refused_with_the_names_that_do() {
    let lab = Lab::new();
    let verbs: [&[&str]; 9] = [
        &["stop", "absent"],
        &["rm", "absent"],
        &["rm", "-f", "absent"],
        &["exec", "absent", "--", "true"],
        &["logs", "absent"],
        &["inspect", "absent"],
        &["events", "absent"],
        &["wait", "absent", "--for=Ready"],
        &["kill", "absent", "-c", "app"],
    ];
    let say = |verb: &[&str]| {
        let said = lab.fails(125, verb);
        assert!(
            said.starts_with("barepod: ") && said.lines().count() == 1 && said.contains("absent"),
            "{verb:?}: {said}"
        );
        said
    };
    for verb in verbs {
        assert!(say(verb).contains("no pods"), "{verb:?}");
    }
    lab.start(&lasting("here"));
    lab.start(&lasting("there"));
    for verb in verbs {
        let said = say(verb);
        assert!(said.contains("here") && said.contains("there"), "{verb:?}: {said}");
    }
    for name in ["../run", "a/b", "..", ""] {
        lab.fails(125, &["rm", "-f", name]);
        lab.fails(125, &["inspect", name]);
    }
    // The same for containers.
    for verb in [
        ["logs", "here", "-c", "web"].as_slice(),
        &["exec", "here", "-c", "web", "--", "true"],
        &["kill", "here", "-c", "web"],
    ] {
        let said = lab.fails(125, verb);
        assert!(said.contains("web") && said.contains("app"), "{said}");
    }
    // Every name given to rm is tried.
    let said = lab.fails(125, &["rm", "-f", "here", "absent", "there"]);
    assert!(said.contains("absent"), "{said}");
    assert_eq!(lab.ok(&["ps"]).lines().count(), 1, "only the header");
}

#[test]
fn a_name_that_runs_or_that_has_ended_is_not_started_again() {
    let lab = Lab::new();
    let manifest = lab.manifest(&lasting("taken"));
    assert_eq!(lab.ok(&["run", "-d", &manifest]), "taken\n");
    let uid = lab.inspect("taken")["metadata"]["uid"].clone();
    let said = lab.fails(125, &["run", "-d", &manifest]);
    assert!(said.contains("taken is running") && said.lines().count() == 1, "{said}");
    lab.fails(125, &["run", &manifest]);
    assert_eq!(lab.phase("taken"), "Running");
    assert_eq!(lab.inspect("taken")["metadata"]["uid"], uid);
    lab.ok(&["stop", "taken"]);
    let said = lab.fails(125, &["run", "-d", &manifest]);
    assert!(said.contains("has ended") && said.contains("barepod rm taken"), "{said}");
    assert_eq!(lab.inspect("taken")["metadata"]["uid"], uid);
    // Another name is another pod, and its host name.
    assert_eq!(lab.ok(&["run", "-d", "--name", "other", &manifest]), "other\n");
    assert_eq!(lab.inspect("other")["metadata"]["name"], "other");
    assert_eq!(lab.sh("other", "app", "hostname"), "other\n");
    for bad in ["../x", "a/b", "", "UP", "."] {
        let output = lab.output(&["run", "-d", "--name", bad, &manifest]);
        assert!(matches!(output.status.code(), Some(2 | 125)), "{bad}: {:?}", output.status);
    }
    lab.ok(&["rm", "taken"]);
    assert_eq!(lab.ok(&["run", "-d", &manifest]), "taken\n");
    let said = lab.fails(125, &["rm", "taken"]);
    assert!(said.contains("rm -f taken"), "{said}");
}

// run

#[test]
fn run_in_the_foreground_prints_prefixed_output_and_lifecycle_lines() {
    let lab = Lab::new();
    let manifest = lab.manifest(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: chat}
spec:
  restartPolicy: Never
  initContainers:
  - {name: first, image: box, command: [sh, -c, "echo from init"]}
  containers:
  - {name: a, image: box, command: [sh, -c, "echo one; echo two >&2; printf three"]}
  - {name: second, image: box, command: [sh, -c, "sleep 0.3; echo last"]}
"#,
    );
    let output = lab.output(&["run", &manifest]);
    let shown = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for line in [" first | from init", "     a | one", "     a | two", "     a | three", "second | last"] {
        assert!(
            shown.lines().any(|found| found == line || found == line.trim_start()),
            "{line:?} in {shown}"
        );
    }
    for word in
        ["first           is being started (init container)", "second          runs", "has ended: Succeeded"]
    {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let at = |text: &str| {
        shown.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {shown}"))
    };
    assert!(at("from init") < at("| last"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colour into a file");
    // The record stays.
    assert_eq!(lab.phase("chat"), "Succeeded");
    lab.ok(&["rm", "chat"]);
    // With --rm it does not.
    assert!(lab.output(&["run", "--rm", &manifest]).status.success());
    lab.fails(125, &["inspect", "chat"]);
    assert!(fs::read_dir(lab.logs()).unwrap().next().is_none(), "logs are gone too");
}

#[test]
fn the_exit_code_of_run_is_that_of_the_first_regular_container_that_failed() {
    let lab = Lab::new();
    let with = |name: &str, codes: [&str; 3]| {
        let mut text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers:\n"
        );
        for (n, code) in codes.iter().enumerate() {
            text += &format!("  - {{name: c{n}, image: box, command: [sh, -c, '{code}']}}\n");
        }
        lab.output(&["run", &lab.manifest(&text)]).status.code()
    };
    assert_eq!(with("none", ["exit 0", "exit 0", "exit 0"]), Some(0));
    assert_eq!(with("second", ["exit 0", "sleep 0.3; exit 7", "exit 9"]), Some(7));
    assert_eq!(with("killed", ["exit 0", "sh -c \"kill -9 \\$\\$\"; exit $?", "exit 0"]), Some(137));
    // An init container that fails is no regular one; the run failed all the same.
    let text = pod("init", "exit 0", "").replace(
        "  containers:",
        "  initContainers:\n  - {name: i, image: box, command: [sh, -c, 'exit 5']}\n  containers:",
    );
    let code = lab.output(&["run", &lab.manifest(&text)]).status.code().unwrap();
    assert_ne!(code, 0);
}

#[test]
fn an_interrupt_stops_the_pod_gracefully_and_a_second_one_at_once() {
    let lab = Lab::new();
    for (name, signals, to) in [
        ("int", 1, Signal::SIGINT),
        ("term", 1, Signal::SIGTERM),
        ("hup", 1, Signal::SIGHUP),
        ("twice", 2, Signal::SIGINT),
    ] {
        // `twice` does not listen to TERM: only the end of its grace period, or impatience, ends it.
        let script = if name == "twice" {
            "trap \"\" TERM; while true; do sleep 1; done"
        } else {
            "trap \"echo graceful; exit 0\" TERM; sleep 600 & wait"
        };
        let text = pod(name, script, "").replace("PeriodSeconds: 5", "PeriodSeconds: 100");
        let mut run = lab.background(&["run", &lab.manifest(&text)]);
        lab.until("the pod", seconds(10), || {
            lab.output(&["wait", name, "--for=Ready", "--timeout", "1s"]).status.success()
        });
        // The shell may not have got as far as its trap when the pod is Ready.
        let first = lab.record(name)["instances"][0]["process"]["pid"].as_i64().unwrap();
        let catches = || {
            fs::read_to_string(format!("/proc/{first}/status")).is_ok_and(|status| {
                let bit = |set: &str| {
                    status
                        .lines()
                        .find_map(|line| line.strip_prefix(set))
                        .is_some_and(|set| u64::from_str_radix(set.trim(), 16).unwrap() & (1 << 14) != 0)
                };
                bit("SigCgt:") || bit("SigIgn:")
            })
        };
        lab.until("the trap", seconds(5), catches);
        signal(run.pid(), to);
        if signals == 2 {
            lab.until("termination to begin", seconds(5), || {
                !lab.inspect(name)["metadata"]["deletionTimestamp"].is_null()
            });
            signal(run.pid(), to);
            assert_eq!(run.code(seconds(8)), Some(137), "{}", run.stdout());
        } else {
            assert_eq!(run.code(seconds(8)), Some(0), "{name}: {}{}", run.stdout(), run.stderr());
            assert!(run.stdout().contains("app | graceful"), "{name}: {}", run.stdout());
        }
        assert_eq!(lab.phase(name), if signals == 2 { "Failed" } else { "Succeeded" });
    }
}

#[test]
fn run_detached_prints_the_name_alone_and_a_warning_if_the_first_container_does_not_start() {
    let lab = Lab::new();
    let output = lab.output(&["run", "-d", &lab.manifest(&lasting("quiet"))]);
    assert_eq!((stdout(&output), stderr(&output)), ("quiet\n".to_owned(), String::new()));
    let text = lasting("warned").replace("command: [sh,", "command: [no-such-program,");
    let output = lab.output(&["run", "-d", &lab.manifest(&text)]);
    let said = stderr(&output);
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), "warned\n".to_owned()), "{said}");
    assert!(
        said.lines().count() == 1 && said.contains("warning") && said.contains("no-such-program"),
        "{said}"
    );
    assert!(lab.fails(2, &["run", "-d", "--rm", "x.yaml"]).contains("--rm"));
}

// ps, inspect, events, wait

#[test]
fn ps_lists_every_pod_as_kubectl_would() {
    let lab = Lab::new();
    assert_eq!(lab.ok(&["ps"]), "NAME   READY   STATUS   RESTARTS   AGE\n");
    let empty: Value = serde_json::from_str(&lab.ok(&["ps", "-o", "json"])).unwrap();
    assert_eq!((&empty["kind"], &empty["items"]), (&"List".into(), &serde_json::json!([])));
    assert!(!lab.root().exists(), "looking makes nothing");

    lab.start_ready(&lasting("b-runs"));
    lab.start(&pod("a-done", "exit 0", ""));
    lab.start(&pod("c-broke", "exit 3", ""));
    assert_eq!(
        (lab.wait_ended("a-done", 10), lab.wait_ended("c-broke", 10)),
        ("Succeeded".to_owned(), "Failed".to_owned())
    );
    let table = lab.ok(&["ps"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().take(4).collect()).collect();
    assert_eq!(
        rows,
        [
            ["NAME", "READY", "STATUS", "RESTARTS"],
            ["a-done", "0/1", "Completed", "0"],
            ["b-runs", "1/1", "Running", "0"],
            ["c-broke", "0/1", "Error", "0"],
        ]
    );
    let wide = lab.ok(&["ps", "-o", "wide"]);
    assert!(wide.lines().next().unwrap().contains("IP") && wide.contains("127.0.0.1"), "{wide}");
    let list: Value = serde_json::from_str(&lab.ok(&["ps", "-o", "json"])).unwrap();
    assert_eq!((&list["apiVersion"], &list["kind"]), (&"v1".into(), &"List".into()));
    let names: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a-done", "b-runs", "c-broke"]);
    for item in list["items"].as_array().unwrap() {
        assert_eq!(
            *item,
            lab.inspect(item["metadata"]["name"].as_str().unwrap()),
            "an item is what inspect prints"
        );
    }
    lab.fails(2, &["ps", "-o", "xml"]);
}

#[test]
fn inspect_prints_the_pod_object_with_its_status() {
    let lab = Lab::new();
    let name = lab.start_ready(&lasting("object"));
    let object = lab.inspect(&name);
    assert_eq!((&object["apiVersion"], &object["kind"]), (&"v1".into(), &"Pod".into()));
    assert_eq!(object["metadata"]["namespace"], "default");
    assert_eq!(object["spec"]["containers"][0]["image"], "box");
    assert_eq!(object["spec"]["restartPolicy"], "Never");
    let status = &object["status"];
    assert_eq!(
        (&status["phase"], &status["podIP"], &status["hostIP"]),
        (&"Running".into(), &"127.0.0.1".into(), &"127.0.0.1".into())
    );
    let kinds: Vec<_> =
        status["conditions"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
    for kind in ["Initialized", "Ready", "ContainersReady", "PodScheduled"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    // 2026-11-21T08:00:00.123456Z
    for time in [
        &status["startTime"],
        &status["containerStatuses"][0]["state"]["running"]["startedAt"],
        &object["metadata"]["creationTimestamp"],
    ] {
        let time = time.as_str().unwrap();
        assert!(time.len() == 27 && time.ends_with('Z') && time.as_bytes()[19] == b'.', "{time}");
    }
    assert!(!object.to_string().contains("null"), "an unset field is absent");
    let yaml = lab.ok(&["inspect", &name, "-o", "yaml"]);
    assert!(yaml.starts_with("apiVersion: v1\n") && yaml.contains("\n  phase: Running\n"), "{yaml}");
    // What it prints can be run again: the status of a cluster is warned about, nothing else.
    let again = lab.output(&["check", &lab.manifest(&yaml)]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
}

#[test]
fn events_are_the_kubelets_and_in_json_one_object_on_each_line() {
    let lab = Lab::new();
    let name = lab.start(&pod("told", "exit 4", ""));
    lab.wait_ended(&name, 10);
    let uid = lab.inspect(&name)["metadata"]["uid"].clone();
    let lines = lab.ok(&["events", &name, "-o", "json"]);
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!events.is_empty());
    let mut last = String::new();
    for event in &events {
        assert_eq!((&event["apiVersion"], &event["kind"]), (&"v1".into(), &"Event".into()));
        assert!(matches!(event["type"].as_str(), Some("Normal" | "Warning")), "{event}");
        assert!(event["reason"].is_string() && event["message"].is_string(), "{event}");
        assert_eq!(
            (&event["involvedObject"]["name"], &event["involvedObject"]["uid"]),
            (&"told".into(), &uid)
        );
        let time = event["eventTime"].as_str().unwrap().to_owned();
        assert!(time.len() == 27 && time >= last, "{time} after {last}");
        last = time;
    }
    let started = events.iter().find(|event| event["reason"] == "Started").unwrap();
    assert_eq!(started["involvedObject"]["fieldPath"], "spec.containers{app}");
    let text = lab.ok(&["events", &name]);
    assert_eq!(text.lines().count(), events.len());
    assert!(text.contains("Started") && text.contains("app"), "{text}");
    // -f ends with the pod.
    lab.start_ready(&lasting("followed"));
    let mut follow = lab.background(&["events", "-f", "followed"]);
    lab.ok(&["stop", "followed"]);
    assert_eq!(follow.code(seconds(5)), Some(0));
    assert!(
        follow.stdout().contains("Killing") && follow.stdout().contains("Started"),
        "{}",
        follow.stdout()
    );
}

#[test]
fn wait_is_0_when_reached_1_when_not_and_125_without_such_a_pod() {
    let lab = Lab::new();
    lab.start_ready(&lasting("waits"));
    let wait = |goal: &str, more: &[&str]| {
        lab.output(&[["wait", "waits", &format!("--for={goal}")].as_slice(), more].concat())
    };
    for goal in ["Initialized", "Ready", "Running"] {
        assert_eq!(wait(goal, &[]).status.code(), Some(0), "{goal}");
    }
    let start = std::time::Instant::now();
    for (goal, timeout) in [("Succeeded", "200ms"), ("Failed", "0.2s"), ("Ended", "0s")] {
        let output = wait(goal, &["--timeout", timeout]);
        assert_eq!(output.status.code(), Some(1), "{goal}");
        assert!(
            stderr(&output).lines().count() == 1 && stderr(&output).contains("waits"),
            "{}",
            stderr(&output)
        );
    }
    assert!(start.elapsed() >= std::time::Duration::from_millis(400));
    let mut ended = lab.background(&["wait", "waits", "--for=Ended"]);
    let mut never = lab.background(&["wait", "waits", "--for", "Failed"]);
    lab.ok(&["stop", "waits"]);
    assert_eq!(ended.code(seconds(5)), Some(0));
    assert_eq!(never.code(seconds(5)), Some(1), "Succeeded: it can no longer be reached");
    for (goal, code) in [("Succeeded", 0), ("Ended", 0), ("Failed", 1), ("Running", 1), ("Ready", 1)] {
        assert_eq!(wait(goal, &[]).status.code(), Some(code), "{goal}");
    }
    lab.fails(125, &["wait", "absent", "--for=Ended"]);
    lab.fails(2, &["wait", "waits", "--for=Happy"]);
    lab.fails(2, &["wait", "waits", "--for=Ended", "--timeout", "soon"]);
    lab.fails(2, &["wait", "waits"]);
}

#[test]
fn who_waits_for_the_end_of_a_pod_sees_it_also_when_the_pod_is_removed_at_once_or_its_name_used_again() {
    let lab = Lab::new();
    for again in [false, true] {
        lab.start_ready(&lasting("gone"));
        let mut ended = lab.background(&["wait", "gone", "--for=Ended", "--timeout", "30s"]);
        let mut never = lab.background(&["wait", "gone", "--for=Succeeded", "--timeout", "30s"]);
        std::thread::sleep(seconds(1));
        for waiting in [ended.pid(), never.pid()] {
            signal(waiting, nix::sys::signal::Signal::SIGSTOP);
        }
        lab.ok(&["rm", "-f", "gone"]);
        if again {
            lab.start(&lasting("gone"));
        }
        for waiting in [ended.pid(), never.pid()] {
            signal(waiting, nix::sys::signal::Signal::SIGCONT);
        }
        assert_eq!((ended.code(seconds(5)), ended.stderr()), (Some(0), String::new()), "again: {again}");
        assert_eq!(never.code(seconds(5)), Some(1), "again: {again}: {}", never.stderr());
        assert!(never.stderr().contains("it was removed"), "{}", never.stderr());
    }
}

// logs

#[test]
fn logs_show_what_a_container_wrote_wholly_or_in_part() {
    let lab = Lab::new();
    let name = lab.start(&pod(
        "logs",
        "for n in 1 2 3 4 5; do echo line $n; done; sleep 0.5; echo oops >&2",
        "  - {name: other, image: box, command: [echo, elsewhere]}\n",
    ));
    lab.wait_ended(&name, 10);
    let output = lab.output(&["logs", &name]);
    assert_eq!(stdout(&output), "line 1\nline 2\nline 3\nline 4\nline 5\n");
    assert_eq!(stderr(&output), "oops\n");
    assert_eq!(lab.ok(&["logs", &name, "-c", "other"]), "elsewhere\n");
    assert_eq!(
        lab.output(&["logs", &name, "--tail", "2"]).stdout,
        b"line 5\n",
        "the last of two is on stderr"
    );
    assert_eq!(lab.ok(&["logs", &name, "-c", "other", "--tail", "0"]), "");
    let stamped = lab.ok(&["logs", &name, "-c", "other", "--timestamps"]);
    assert!(stamped.ends_with(" elsewhere\n") && stamped.len() > 25, "{stamped}");
    assert_eq!(lab.ok(&["logs", &name, "-c", "other", "--since", "1h"]), "elsewhere\n");
    assert!(lab.ok(&["logs", &name, "--all-containers"]).contains("elsewhere"));
    lab.fails(125, &["logs", &name, "-p"]);
    lab.start_ready(&pod(
        "goes-on",
        &format!("echo begin; {}", UNTIL_TERM.replace("exit 0", "echo end; exit 0")),
        "",
    ));
    let mut follow = lab.background(&["logs", "-f", "goes-on"]);
    lab.until("the first line", seconds(5), || follow.stdout() == "begin\n");
    lab.ok(&["stop", "goes-on"]);
    assert_eq!(follow.code(seconds(5)), Some(0));
    assert_eq!(follow.stdout(), "begin\nend\n");
}

#[test]
fn logs_of_the_instance_before_are_kept() {
    let lab = Lab::new();
    let text = pod("again", "echo attempt; test -e /mark && sleep 600; exit 1", "")
        .replace("restartPolicy: Never", "restartPolicy: Always");
    let manifest = lab.manifest(&text);
    lab.ok(&["run", "-d", "--crash-loop-max", "50ms", &manifest]);
    lab.until("a restart", seconds(10), || lab.restarts("again", "app") >= 2);
    assert_eq!(lab.ok(&["logs", "-p", "again"]), "attempt\n");
}

// exec

#[test]
fn exec_passes_the_exit_code_and_standard_input_through() {
    let lab = Lab::new();
    let name = lab.start_ready(&lasting("exec"));
    let code =
        |command: &[&str]| lab.output(&[["exec", &name, "--"].as_slice(), command].concat()).status.code();
    assert_eq!(code(&["true"]), Some(0));
    assert_eq!(code(&["sh", "-c", "exit 3"]), Some(3));
    assert_eq!(code(&["sh", "-c", "kill -TERM $$"]), Some(143));
    assert_eq!(code(&["sh", "-c", "kill -KILL $$"]), Some(137));
    assert_eq!(code(&["no-such-program"]), Some(127));
    assert_eq!(code(&["/etc/passwd"]), Some(126));
    assert_eq!(code(&["/etc"]), Some(126));
    let output = lab.output(&["exec", &name, "--", "sh", "-c", "echo out; echo err >&2; pwd; echo $PATH"]);
    assert_eq!((stdout(&output), stderr(&output)), ("out\n/work\n/bin\n".to_owned(), "err\n".to_owned()));
    let output = from_stdin(&lab, &["exec", "-i", &name, "--", "cat"], "through and through", &lab.dir);
    assert_eq!(stdout(&output), "through and through");
    let output = from_stdin(&lab, &["exec", &name, "--", "cat"], "", &lab.dir);
    assert_eq!(
        (output.status.code(), stdout(&output)),
        (Some(0), String::new()),
        "without -i there is no input"
    );
    // A big input is not lost, a reader that goes away is no failure of barepod.
    let big = "x".repeat(1 << 20);
    assert_eq!(
        stdout(&from_stdin(&lab, &["exec", "-i", &name, "--", "wc", "-c"], &big, &lab.dir)).trim(),
        "1048576"
    );
    lab.fails(2, &["exec", &name]);
    lab.ok(&["stop", &name]);
    let said = lab.fails(125, &["exec", &name, "--", "true"]);
    assert!(said.contains("has ended"), "{said}");
}

#[test]
fn a_pod_that_run_has_returned_for_can_be_entered_at_once() {
    let lab = Lab::new();
    let manifest = lab.manifest(&lasting("entered"));
    for _ in 0..if slowdown() > 1 { 5 } else { 40 } {
        lab.ok(&["run", "-d", &manifest]);
        lab.ok(&["exec", "entered", "--", "true"]);
        lab.ok(&["logs", "entered"]);
        lab.ok(&["kill", "entered", "-c", "app", "-s", "KILL"]);
        lab.wait_ended("entered", 10);
        lab.ok(&["rm", "entered"]);
    }
}

#[test]
fn many_execs_at_once_all_come_back() {
    let lab = Lab::new();
    let name = lab.start_ready(&lasting("many"));
    let mut all: Vec<_> =
        (0..20).map(|n| lab.background(&["exec", &name, "--", "sh", "-c", &format!("exit {n}")])).collect();
    for (n, exec) in all.iter_mut().enumerate() {
        assert_eq!(exec.code(seconds(20)), Some(n as i32), "{}", exec.stderr());
    }
    drop(all);
    // No zombie in the container, no keeper outside.
    lab.until("all to be reaped", seconds(2), || lab.processes().len() == 3);
}

// stop, kill, rm

#[test]
fn stop_ends_a_pod_within_its_grace_period_or_the_one_given() {
    let lab = Lab::new();
    let deaf = "trap \"\" TERM; while true; do sleep 1; done";
    lab.start_ready(&lasting("polite"));
    lab.ok(&["stop", "polite"]);
    assert_eq!(lab.phase("polite"), "Succeeded");
    assert_eq!(lab.ok(&["stop", "polite"]), "", "it had ended already");
    lab.ok(&["wait", "polite", "--for=Ended", "--timeout", "0s"]);

    let text = pod("deaf", deaf, "").replace("PeriodSeconds: 5", "PeriodSeconds: 600");
    lab.start_ready(&text);
    let start = std::time::Instant::now();
    lab.ok(&["stop", "deaf", "-t", "3"]);
    let took = start.elapsed();
    assert!(took >= std::time::Duration::from_millis(2900) && took < seconds(5), "{took:?}");
    assert_eq!(lab.phase("deaf"), "Failed", "stop exits 0 all the same");
    assert_eq!(lab.status("deaf", "app")["state"]["terminated"]["exitCode"], 137);

    // A second stop may shorten the grace.
    lab.start_ready(&text.replace("name: deaf", "name: shortened"));
    let mut first = lab.background(&["stop", "shortened"]);
    lab.until("termination", seconds(5), || {
        !lab.inspect("shortened")["metadata"]["deletionTimestamp"].is_null()
    });
    lab.ok(&["stop", "shortened", "-t", "0"]);
    assert_eq!(first.code(seconds(5)), Some(0));
    lab.fails(2, &["stop", "shortened", "-t", "soon"]);
}

#[test]
fn rm_force_of_a_pod_that_ignores_everything_takes_the_kubelets_two_seconds() {
    let lab = Lab::new();
    lab.start_ready(
        &pod("deaf", "trap \"\" TERM; while true; do sleep 1; done", "")
            .replace("PeriodSeconds: 5", "PeriodSeconds: 600"),
    );
    let start = std::time::Instant::now();
    assert_eq!(lab.output(&["rm", "-f", "deaf"]).stderr, b"");
    assert!(start.elapsed() < seconds(4), "{:?}", start.elapsed());
    lab.fails(125, &["inspect", "deaf"]);
}

#[test]
fn kill_sends_a_signal_to_the_first_process_of_a_container() {
    let lab = Lab::new();
    let script =
        "trap \"echo hup\" HUP; trap \"exit 9\" TERM; echo ready; while true; do sleep 600 & wait; done";
    let name = lab.start_ready(&pod("signals", script, ""));
    lab.until("the traps", seconds(5), || lab.ok(&["logs", &name]) == "ready\n");
    for signal in ["HUP", "SIGHUP", "1"] {
        let before = lab.ok(&["logs", &name]).lines().count();
        lab.ok(&["kill", &name, "-c", "app", "-s", signal]);
        lab.until(signal, seconds(5), || lab.ok(&["logs", &name]).lines().count() == before + 1);
    }
    lab.fails(2, &["kill", &name, "-c", "app", "-s", "NONSENSE"]);
    lab.fails(2, &["kill", &name]);
    lab.ok(&["kill", &name, "-c", "app"]);
    assert_eq!(lab.wait_ended(&name, 10), "Failed");
    assert_eq!(lab.status(&name, "app")["state"]["terminated"]["exitCode"], 9);
    assert!(lab.fails(125, &["kill", &name, "-c", "app"]).contains("has ended"));
}

// The rest

#[test]
fn without_root_one_sentence_says_so_and_check_works() {
    let lab = Lab::new();
    // Readable for everybody, wherever the program was built.
    let directory = lab.dir.join("public");
    fs::create_dir(&directory).unwrap();
    // By another process: what this one has just written cannot be executed while another thread forks (ETXTBSY).
    assert!(Command::new("cp").arg(BAREPOD).arg(&directory).status().unwrap().success());
    let manifest = directory.join("pod.yaml");
    let text = lasting("user").replace("image: box", "image: ./box");
    fs::write(&manifest, dropped::manifest_text(&text).as_bytes()).unwrap();
    make_bundle(&directory.join("box"));
    for path in [&lab.dir, &directory] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let as_nobody = |args: &[&str]| {
        let mut command = Command::new(directory.join("barepod"));
        command
            .uid(65534)
            .gid(65534)
            .current_dir(&directory)
            .arg("--root")
            .arg(directory.join("run"))
            .args(args)
            .arg(&manifest)
            .output()
            .unwrap()
    };
    let output = as_nobody(&["run", "-d"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.lines().count() == 1 && said.contains("needs root") && said.contains("sudo"), "{said}");
    let output = as_nobody(&["check"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    assert!(!directory.join("run").exists());
}

#[test]
fn a_state_directory_with_a_very_long_path_works() {
    let lab = Lab::new();
    let root = lab.dir.join("long-".repeat(40)).join("x".repeat(100));
    let long = |args: &[&str]| {
        let mut command = Command::new(BAREPOD);
        command
            .arg("--root")
            .arg(&root)
            .arg("--log-dir")
            .arg(lab.logs())
            .args(["--cgroup-parent", lab.cgroup_parent()]);
        command.args(args).env("BAREPOD_BUNDLES", bundles()).stdin(Stdio::null()).output().unwrap()
    };
    let output = long(&["run", "-d", &lab.manifest(&lasting("deep"))]);
    assert_eq!(stdout(&output), "deep\n", "{}", stderr(&output));
    assert_eq!(stdout(&long(&["exec", "deep", "--", "echo", "hello"])), "hello\n");
    let output = long(&["stop", "deep"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(long(&["rm", "deep"]).status.code(), Some(0));
}

#[test]
fn the_root_may_come_from_the_environment() {
    let lab = Lab::new();
    let root = lab.dir.join("from-environment");
    let output = Command::new(BAREPOD)
        .args([
            "--log-dir",
            lab.logs().to_str().unwrap(),
            "--cgroup-parent",
            lab.cgroup_parent(),
            "run",
            &lab.manifest(&pod("env", "exit 0", "")),
        ])
        .env("BAREPOD_ROOT", &root)
        .env("BAREPOD_BUNDLES", bundles())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(root.join("pods/env").is_dir());
}

#[test]
fn completions_help_and_version_are_printed() {
    let lab = Lab::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(lab.ok(&["completions", shell]).contains("barepod"), "{shell}");
    }
    assert!(lab.ok(&["--version"]).starts_with("barepod "));
    let help = lab.ok(&["--help"]);
    for verb in
        ["run", "ps", "inspect", "logs", "exec", "events", "wait", "stop", "kill", "rm", "gc", "check"]
    {
        assert!(help.lines().any(|line| line.trim_start().starts_with(verb)), "{verb}: {help}");
        lab.ok(&[verb, "--help"]);
    }
    lab.fails(2, &["no-such-verb"]);
    lab.fails(2, &[]);
    let pages = lab.dir.join("man");
    fs::create_dir(&pages).unwrap();
    lab.ok(&["man", pages.to_str().unwrap()]);
    assert!(pages.join("barepod.1").exists());
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let lab = Lab::new();
    lab.start(&lasting("read"));
    for verb in ["inspect read", "events read", "ps", "completions bash", "--help"] {
        // The shell's own end of the pipe is closed before barepod writes.
        let script = format!("{{ sleep 0.2; \"$@\" {verb}; echo code $? >&2; }} | true");
        let command = lab.command(&[]);
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
        shell.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let said = stderr(&shell.output().unwrap());
        assert!(!said.contains("panicked") && !said.contains("code 101"), "{verb}: {said}");
    }
}

#[test]
fn a_full_disk_is_told_of_and_no_panic() {
    let lab = Lab::new();
    for words in [&["ps"][..], &["completions", "bash"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = lab.command(words).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).starts_with("barepod: write output: "), "{words:?}: {}", stderr(&output));
    }
}

#[test]
fn check_host_lists_every_feature_found_or_not() {
    let lab = Lab::new();
    let output = lab.output(&["check", "--host"]);
    let text = stdout(&output);
    for feature in ["PID namespace", "mount namespace", "network namespace", "overlay", "cgroups", "openat2"]
    {
        assert!(
            text.lines()
                .any(|line| (line.starts_with("found") || line.starts_with("missing"))
                    && line.contains(feature)),
            "{feature}: {text}"
        );
    }
    assert_eq!(output.status.code(), Some(0), "{text}");
}

#[test]
fn a_grace_period_that_no_clock_holds_is_wrong_usage() {
    let lab = Lab::new();
    let stderr = lab.fails(2, &["stop", "-t", "18446744073709551615", "any"]);
    assert!(stderr.contains("18446744073709551615"), "{stderr}");
}

#[test]
fn a_volume_over_proc_or_a_device_is_refused() {
    let lab = Lab::new();
    for path in ["/proc", "/proc/self", "/proc/sys", "/dev/null", "/dev/pts"] {
        let manifest = lab.manifest(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: over}}\nspec:\n  volumes: [{{name: v, emptyDir: {{}}}}]\n  containers:\n  - name: app\n    image: box\n    volumeMounts: [{{name: v, mountPath: {path}}}]\n"
        ));
        let stderr = lab.fails(2, &["check", &manifest]);
        assert!(stderr.contains(&format!("mountPath: \"{path}\"")), "{stderr}");
    }
}

#[test]
fn check_warns_of_what_will_surprise_and_run_does_not() {
    let lab = Lab::new();
    let deaf = pod("deaf", "date; sleep 1", "");
    let path = lab.manifest(&deaf);
    let output = lab.output(&["check", &path]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("warning: app runs a shell as its first process") && said.contains("[deaf-shell]"),
        "{said}"
    );
    assert_eq!(lab.output(&["run", "-d", &path]).stderr, b"");
}
