//! `run --trace`, `run --step` and `events --all`: what a person sees of a pod while it is made.

mod support;

use std::io::Write;
use std::process::Stdio;

use barepod::plan::Step;
use support::*;

const ONE: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: one}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
    - name: app
      image: box
      command: [sh, -c, "echo hello"]
      lifecycle:
        postStart: {exec: {command: [sh, -c, "echo from the hook; sleep 0.2"]}}
"#;

#[test]
fn trace_shows_every_step_of_the_sandbox_and_of_the_container_in_order() {
    let lab = Lab::new();
    let shown = lab.ok(&["run", "--trace", &lab.manifest(ONE)]);
    let at = |text: &str| {
        shown.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {shown}"))
    };
    assert!(at("│ detach from the caller (") < at("│ listen on the control socket ("), "{shown}");
    assert!(at("│ listen on the control socket (") < at("the sandbox is there"), "{shown}");
    assert!(at("app             is being started") < at("│ mount rootfs overlay of"), "{shown}");
    assert!(at("│ mount rootfs overlay of") < at("│ pivot_root ("), "{shown}");
    assert!(at("│ pivot_root (") < at("app             runs"), "{shown}");
}

#[test]
fn without_trace_no_step_is_logged() {
    let lab = Lab::new();
    lab.ok(&["run", &lab.manifest(ONE)]);
    let all = lab.ok(&["events", "one", "--all"]);
    assert!(!all.contains('│') && all.contains("app             runs"), "{all}");
}

#[test]
fn a_step_that_fails_is_shown_with_its_errno() {
    let lab = Lab::new();
    let manifest = ONE.replace("command: [sh, -c, \"echo hello\"]", "command: [/no/such/program]");
    let mut run = lab.background(&["run", "--trace", "--crash-loop-max", "1s", &lab.manifest(&manifest)]);
    lab.until("the failed step", seconds(10), || run.stdout().contains("FAILED"));
    let line = run.stdout().lines().find(|line| line.contains("FAILED")).unwrap().to_owned();
    assert!(line.contains("│ execute /no/such/program: FAILED: ") && line.contains("ENOENT"), "{line}");
    lab.ok(&["rm", "-f", "one"]);
    run.code(seconds(10));
}

#[test]
fn events_all_tells_of_hooks_and_what_they_printed() {
    let lab = Lab::new();
    let manifest = ONE.replace("echo hello", "sleep 1");
    lab.ok(&["run", &lab.manifest(&manifest)]);
    let all = lab.ok(&["events", "one", "--all"]);
    assert!(all.contains("app             postStart runs"), "{all}");
    let returned = all.lines().find(|line| line.contains("postStart has returned after ")).expect(&all);
    assert!(returned.ends_with("it printed: from the hook"), "{returned}");
    assert!(
        !lab.ok(&["events", "one"]).contains("postStart"),
        "no Kubernetes event tells of a hook that did well"
    );
}

/// `run --step` with these answers; exit code, standard output, standard error.
fn step(lab: &Lab, manifest: &str, answers: &str) -> (Option<i32>, String, String) {
    let mut command = lab.command(&["run", "--step", manifest]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn step_pauses_before_each_phase_and_says_how_to_look() {
    let lab = Lab::new();
    let sidecar = format!(
        "  initContainers: [{{name: proxy, image: box, restartPolicy: Always, command: [sh, -c, \"{UNTIL_TERM}\"],\n    \
         lifecycle: {{preStop: {{exec: {{command: [sh, -c, echo bye]}}}}}}}}]\n  containers:"
    );
    let manifest = ONE.replace("  containers:", &sidecar).replace("echo hello", "echo hello; sleep 1");
    let (code, shown, said) = step(&lab, &lab.manifest(&manifest), &"\n".repeat(12));
    assert_eq!(code, Some(0), "{said}");
    let pauses: Vec<&str> =
        said.lines().filter_map(|line| line.strip_prefix("── ")?.strip_suffix(" ──")).collect();
    let made = ["take-sources", "pivot-root", "exec"];
    let making = |name: &str| made.map(|step| format!("container {name}, before {step}")).to_vec();
    let wanted = [
        vec!["sandbox, before propagation".to_owned(), "sandbox, before control".to_owned()],
        making("proxy"),
        making("app"),
        vec!["container app, before post-start".to_owned()],
        vec!["container proxy, before pre-stop".to_owned(), "container proxy, before stop-signal".to_owned()],
        vec!["sandbox, before end".to_owned()],
    ];
    assert_eq!(pauses, wanted.concat(), "{said}");
    assert!(said.contains("nsenter -t ") && said.contains("barepod why one"), "{said}");
    assert!(shown.contains("app | hello"), "{shown}");
}

#[test]
fn while_a_pod_pauses_its_grace_period_does_not_run_and_its_end_is_noticed() {
    let lab = Lab::new();
    let manifest = ONE.replace("echo hello", UNTIL_TERM).replace("Seconds: 1", "Seconds: 3").replace(
        "postStart: {exec: {command: [sh, -c, \"echo from the hook; sleep 0.2\"]}}",
        "preStop: {exec: {command: [sh, -c, echo bye]}}",
    );
    let out = lab.dir.join("said");
    let said = || std::fs::read_to_string(&out).unwrap();
    let begin = || {
        let mut command = lab.command(&["run", "--step", &lab.manifest(&manifest)]);
        let file = std::fs::File::create(&out).unwrap();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        let mut answers = child.stdin.take().unwrap();
        answers.write_all(b"\n\n\n\n\n").unwrap();
        lab.until("Ready", seconds(20), || {
            lab.output(&["wait", "one", "--for=Ready", "--timeout", "100ms"]).status.success()
        });
        (child, answers)
    };
    let (mut child, mut answers) = begin();
    let mut stop = lab.background(&["stop", "one"]);
    lab.until("the hook's pause", seconds(10), || said().contains("before pre-stop"));
    std::thread::sleep(std::time::Duration::from_millis(3500)); // longer than the grace period
    answers.write_all(b"\n\n\n").unwrap();
    assert!(child.wait().unwrap().success(), "the program has ended by itself: {}", said());
    assert_eq!(stop.code(seconds(10)), Some(0), "{}", stop.stderr());
    let all = lab.ok(&["events", "one", "--all"]);
    assert!(all.contains("preStop has returned") && !all.contains("SIGKILL"), "{all}");
    lab.ok(&["rm", "one"]);
    // Somebody else ends it: the prompt does not wait for an answer.
    let (mut child, _answers) = begin();
    let mut stop = lab.background(&["stop", "one"]);
    lab.until("the hook's pause", seconds(10), || said().contains("before pre-stop"));
    lab.kill_init("one");
    child.wait().unwrap();
    assert!(
        said().ends_with("the pod has ended\nbarepod: pod one was lost: its init process was killed\n"),
        "{}",
        said()
    );
    stop.code(seconds(10));
}

#[test]
fn at_a_pause_the_process_is_what_the_words_say() {
    let lab = Lab::new();
    let manifest = ONE.replace("image: box", "image: box\n      securityContext: {runAsUser: 1234}");
    let mut command = lab.command(&["run", "--step", &lab.manifest(&manifest)]);
    let out = lab.dir.join("said");
    let file = std::fs::File::create(&out).unwrap();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
    let mut answers = child.stdin.take().unwrap();
    let said = || std::fs::read_to_string(&out).unwrap();
    for pause in ["before propagation", "before control", "before take-sources", "before pivot-root"] {
        lab.until(pause, seconds(10), || said().contains(pause));
        answers.write_all(b"\n").unwrap();
    }
    lab.until("exec", seconds(10), || {
        said().ends_with("[q] ends the pod: ") && said().contains("before exec")
    });
    let last = said();
    let (_, look) = last.rsplit_once("grep -E").unwrap();
    let pid: i32 = look.split("/proc/").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    // It has its own files already, and is barepod still.
    assert!(std::fs::metadata(format!("/proc/{pid}/root/bin/busybox")).is_ok(), "{last}");
    let command_line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(command_line.contains("--step"), "{command_line}");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Uid:\t1234\t1234"), "{status}");
    drop(answers); // the end of the input ends the pauses
    assert!(child.wait().unwrap().success(), "{}", said());
}

#[test]
fn c_ends_the_pauses_and_q_ends_the_pod_and_leaves_nothing() {
    let lab = Lab::new();
    let manifest = lab.manifest(ONE);
    let (code, shown, said) = step(&lab, &manifest, "\nc\n");
    assert_eq!((code, said.matches("ends the pod").count()), (Some(0), 2), "{said}");
    assert!(shown.contains("app | hello"), "{shown}");
    lab.ok(&["rm", "one"]);
    let (code, _, said) = step(&lab, &manifest, "q\n");
    assert_eq!(code, Some(125), "{said}");
    assert!(said.contains("barepod: start one: ended at a pause"), "{said}");
    assert!(lab.ok(&["ps"]).lines().count() == 1, "nothing is left of it");
    // In a container it ends like any other pod that is stopped.
    let sleeper = lab.manifest(&ONE.replace("echo hello", "sleep 1000"));
    let (code, _, said) = step(&lab, &sleeper, "\n\nwhat\nq\n");
    assert!(code != Some(0) && said.contains("[Enter], c or q: "), "{code:?} {said}");
    assert_eq!(lab.phase("one"), "Failed");
}

#[test]
fn the_steps_that_have_names_are_the_words_of_a_wrong_one() {
    let lab = Lab::new();
    let said = lab.fails(2, &["run", "--wait-at", "container.nonsense", &lab.manifest(ONE)]);
    assert!(Step::NAMES.iter().all(|name| said.contains(&format!("container.{name}"))), "{said}");
}
