//! `barepod debug`: ephemeral containers in a running pod.

mod support;

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use support::*;

/// One app that sleeps; `more` goes into the spec.
fn pod(more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: shop}}\nspec:\n  terminationGracePeriodSeconds: 1\n{more}  \
         containers:\n  - {{name: web, image: box, command: [sleep, '1000']}}\n"
    )
}

/// A debug container without a terminal or input, in which a shell runs this; its name.
fn debug(lab: &Lab, pod: &str, args: &[&str], script: &str) -> String {
    let all = [&["debug", pod, "--image", "box"], args, &["--", "sh", "-c", script]].concat();
    lab.ok(&all).trim_end().to_owned()
}

/// The same with -i: what it printed, and its exit code.
fn attached(lab: &Lab, pod: &str, args: &[&str], script: &str) -> (String, Option<i32>) {
    let all = [&["debug", "-i", pod, "--image", "box"], args, &["--", "sh", "-c", script]].concat();
    let output = lab.output(&all);
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.code())
}

fn status(lab: &Lab, pod: &str, name: &str) -> Value {
    let object = lab.inspect(pod);
    let list = object["status"]["ephemeralContainerStatuses"].as_array().cloned().unwrap_or_default();
    list.into_iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no status of {name}"))
}

fn until_ended(lab: &Lab, pod: &str, name: &str) -> Value {
    lab.until("the debug container to end", seconds(10), || {
        !status(lab, pod, name)["state"]["terminated"].is_null()
    });
    status(lab, pod, name)["state"]["terminated"].clone()
}

#[test]
fn it_is_in_the_pod_with_a_root_of_its_own_and_its_output_goes_to_its_log() {
    let lab = Lab::new();
    let pod = lab.start_ready(&pod(""));
    lab.sh(&pod, "web", "echo mine >/work/file");
    let name = debug(
        &lab,
        &pod,
        &[],
        "hostname; ls /work; read pid rest </proc/self/stat; echo $pid; readlink /proc/self/ns/net; echo no >&2",
    );
    let letters = name.strip_prefix("debugger-").expect("a name as kubectl makes them");
    assert_eq!(letters.len(), 5, "{name}");
    assert_eq!(until_ended(&lab, &pod, &name)["reason"], "Completed");
    let output = lab.output(&["logs", &pod, "-c", &name]);
    let network = lab.sh(&pod, "web", "readlink /proc/self/ns/net");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("shop\n1\n{network}"));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "no\n");
}

#[test]
fn with_a_target_it_sees_the_processes_of_that_container_and_without_only_its_own() {
    let lab = Lab::new();
    let pod = lab.start_ready(&pod(""));
    let (alone, code) = attached(&lab, &pod, &[], "ps -o pid,args");
    assert!(code == Some(0) && !alone.contains("sleep 1000"), "{alone}");
    let (both, code) =
        attached(&lab, &pod, &["--target", "web"], "ps -o pid,args; kill -0 1 && echo reached");
    assert!(both.contains("1 sleep 1000") && both.ends_with("reached\n"), "{both}");
    assert_eq!(code, Some(0));
    // Its files are its own all the same, and it ends alone.
    lab.sh(&pod, "web", "echo mine >/work/file");
    assert_eq!(attached(&lab, &pod, &["--target", "web"], "ls /work"), (String::new(), Some(0)));
    assert_eq!(lab.restarts(&pod, "web"), 0);
}

#[test]
fn with_a_shared_process_namespace_it_sees_everybody_with_and_without_a_target() {
    let lab = Lab::new();
    let pod = lab.start_ready(&pod("  shareProcessNamespace: true\n"));
    for args in [&[][..], &["--target", "web"]] {
        let (text, code) = attached(&lab, &pod, args, "ps -o args");
        assert!(code == Some(0) && text.contains("sleep 1000"), "{args:?}: {text}");
    }
}

#[test]
fn the_end_of_its_target_ends_it_too() {
    let lab = Lab::new();
    let pod = lab.start_ready(&pod(""));
    let name = debug(&lab, &pod, &["--target", "web"], "sleep 1000");
    lab.ok(&["kill", &pod, "-c", "web", "-s", "KILL"]);
    assert_eq!(until_ended(&lab, &pod, &name)["signal"], 9);
    lab.until("the target to be restarted", seconds(10), || lab.restarts(&pod, "web") == 1);
}

#[test]
fn input_and_exit_code_pass_through_with_i() {
    let lab = Lab::new();
    let pod = lab.start_ready(&pod(""));
    let mut command =
        lab.command(&["debug", "-i", &pod, "--image", "box", "--", "sh", "-c", "cat; echo err >&2; exit 7"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through and through").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"through and through");
    assert_eq!(output.stderr, b"err\n");
    assert_eq!(output.status.code(), Some(7));
    let kills_itself = "read pid rest </proc/self/stat; kill -9 $pid; echo lives";
    assert_eq!(attached(&lab, &pod, &["--target", "web"], kills_itself), (String::new(), Some(137)));
    let first = attached(&lab, &pod, &[], kills_itself);
    assert_eq!(first, ("lives\n".to_owned(), Some(0)), "the first process of a PID namespace is immune");
}

#[test]
fn a_program_that_cannot_be_executed_is_126_or_127_attached_or_not() {
    let lab = Lab::new();
    let pod = lab.start_ready(&pod(""));
    for (program, code, errno) in [("/no/such", 127, "ENOENT"), ("/work", 126, "EACCES")] {
        for interactive in [&["-i"][..], &[]] {
            let said = lab
                .fails(code, &[&["debug"], interactive, &[&pod, "--image", "box", "--", program]].concat());
            assert!(said.starts_with("barepod: debug") && said.contains(errno), "{said}");
        }
    }
    let list = lab.inspect(&pod)["status"]["ephemeralContainerStatuses"].clone();
    for status in list.as_array().unwrap() {
        assert_eq!(status["state"]["terminated"]["reason"], "StartError", "{status}");
        assert_eq!(status["state"]["terminated"]["exitCode"], 128);
    }
}

#[test]
fn without_a_command_the_bundles_own_runs() {
    let lab = Lab::new();
    let pod = lab.start_ready(&pod(""));
    let mut command = lab.command(&["debug", "-i", &pod, "--image", "box"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"echo I am $0; exit 3\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.stdout, output.status.code()), (b"I am sh\n".to_vec(), Some(3)));
}

#[test]
fn it_counts_neither_for_readiness_nor_phase_and_is_never_restarted() {
    let lab = Lab::new();
    let pod = lab.start_ready(&pod(""));
    let running = debug(&lab, &pod, &[], "sleep 1000");
    let failed = debug(&lab, &pod, &["-c", "broken"], "exit 3");
    assert_eq!(failed, "broken");
    assert_eq!(until_ended(&lab, &pod, "broken")["exitCode"], 3);
    let row = lab.ok(&["ps"]);
    let row: Vec<&str> = row.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[1..4], ["1/1", "Running", "0"]);
    assert!(!status(&lab, &pod, &running)["state"]["running"].is_null());
    assert_eq!(lab.record(&pod)["instances"].as_array().unwrap().len(), 2, "the app and one debug container");
    let starts = lab.ok(&["events", &pod, "-o", "json"]).matches("spec.ephemeralContainers{broken}").count();
    assert_eq!(starts, 3, "created, started, ended: once");
}

#[test]
fn what_inspect_prints_of_it_is_of_the_real_type_and_nothing_is_lost() {
    let lab = Lab::new();
    let pod = lab.start_ready(&pod(""));
    debug(&lab, &pod, &["-c", "one", "--target", "web"], "sleep 1000");
    debug(&lab, &pod, &["-c", "two"], "exit 3");
    until_ended(&lab, &pod, "two");
    let printed = lab.inspect(&pod);
    let real: Pod = serde_json::from_value(printed.clone()).unwrap();
    let again = serde_json::to_value(&real).unwrap();
    assert_eq!(again["spec"]["ephemeralContainers"], printed["spec"]["ephemeralContainers"]);
    let specs = real.spec.unwrap().ephemeral_containers.unwrap();
    assert_eq!(specs[0].target_container_name.as_deref(), Some("web"));
    assert_eq!(specs[0].command.as_ref().unwrap()[0], "sh");
    let statuses = real.status.unwrap().ephemeral_container_statuses.unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for (number, status) in statuses.iter().enumerate() {
        let mut before = keys(&printed["status"]["ephemeralContainerStatuses"][number]);
        let mut after = keys(&again["status"]["ephemeralContainerStatuses"][number]);
        before.sort();
        after.sort();
        assert_eq!(before, after);
        assert!(!status.ready && status.started.is_none() && status.restart_count == 0);
    }
    assert_eq!(statuses[1].state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 3);
}

#[test]
fn it_does_not_hold_up_the_pods_end_and_the_end_is_the_last_event() {
    let lab = Lab::new();
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: short}\nspec:\n  restartPolicy: Never\n  containers:\n  \
                    - {name: a, image: box, command: [sh, -c, 'until test -e /persistent/go; do sleep 0.1; done'], \
                    volumeMounts: [{name: p, mountPath: /persistent}]}\n  volumes: [{name: p, hostPath: {path: PLACE}}]\n";
    let pod = lab.start_ready(&manifest.replace("PLACE", lab.persistent().to_str().unwrap()));
    let name = debug(&lab, &pod, &[], "trap '' TERM; sleep 1000");
    fs::write(lab.persistent().join("go"), "").unwrap();
    let start = Instant::now();
    assert_eq!(lab.wait_ended(&pod, 10), "Succeeded");
    assert!(start.elapsed() < seconds(10));
    let ended = status(&lab, &pod, &name)["state"]["terminated"].clone();
    assert_eq!((&ended["exitCode"], &ended["signal"]), (&137.into(), &9.into()));
    let told = lab.ok(&["events", &pod, "--all"]);
    assert!(told.trim_end().ends_with("has ended: Succeeded"), "{told}");
    assert_eq!(
        lab.fails(125, &["debug", &pod, "--image", "box"]),
        "barepod: debug short: the pod has ended\n"
    );
}

#[test]
fn it_gets_sigterm_together_with_the_others_when_the_pod_is_stopped() {
    let lab = Lab::new();
    let grace = format!("Seconds: {}", seconds(5).as_secs());
    let pod = lab.start_ready(&pod("").replace("Seconds: 1", &grace));
    let name = debug(&lab, &pod, &[], "trap 'echo asked; exit 0' TERM; echo ready; sleep 1000 & wait");
    lab.until("it to be ready", seconds(10), || lab.ok(&["logs", &pod, "-c", &name]) == "ready\n");
    let mut stop = lab.background(&["stop", &pod]);
    let ended = until_ended(&lab, &pod, &name);
    assert_eq!((&ended["exitCode"], &ended["reason"]), (&0.into(), &"Completed".into()));
    assert!(lab.phase(&pod) == "Running", "the app does not hear SIGTERM, and has its grace period");
    let said = lab.fails(125, &["debug", &pod, "--image", "box"]);
    assert!(said.ends_with("the pod is being terminated\n"), "{said}");
    assert_eq!(lab.ok(&["logs", &pod, "-c", &name]), "ready\nasked\n");
    assert_eq!(stop.code(seconds(20)), Some(0));
}

#[test]
fn the_other_verbs_know_it() {
    let lab = Lab::new();
    let pod = lab.start_ready(&pod(""));
    let name = debug(
        &lab,
        &pod,
        &["--target", "web"],
        "trap 'echo usr1' USR1; echo here >/work/x; while :; do sleep 0.1; done",
    );
    assert!(
        lab.sh(&pod, &name, "ps -o args").contains("sleep 1000"),
        "exec enters the same namespaces, at once"
    );
    lab.until("it to be ready", seconds(10), || {
        lab.output(&["exec", &pod, "-c", &name, "--", "cat", "/work/x"]).stdout == b"here\n"
    });
    lab.ok(&["kill", &pod, "-c", &name, "-s", "USR1"]);
    lab.until("the signal to arrive", seconds(10), || lab.ok(&["logs", &pod, "-c", &name]) == "usr1\n");
    let stats: Value = serde_json::from_str(&lab.ok(&["stats", &pod, "-o", "json"])).unwrap();
    assert!(stats.as_array().unwrap().iter().any(|row| row["container"] == name.as_str()), "{stats}");
    let shares: Value = serde_json::from_str(&lab.ok(&["share", &pod, "-o", "json"])).unwrap();
    let member = |name: &str| {
        let all = shares["members"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap()["process"]["namespaces"].clone()
    };
    let (own, web) = (member(&name), member("web"));
    assert!(own["pid"] == web["pid"] && own["net"] == web["net"] && own["mnt"] != web["mnt"], "{shares}");
    assert!(lab.ok(&["why", &pod, "-c", &name]).contains("is an ephemeral container"));
    assert!(lab.ok(&["why", &pod]).contains("nothing is waiting"));
    assert!(lab.ok(&["timeline", &pod]).contains("is being started (ephemeral container)"));
    assert!(lab.ok(&["logs", &pod, "--all-containers"]).contains("usr1"));
    lab.kill_init(&pod);
    let state = status(&lab, &pod, &name)["state"]["terminated"].clone();
    assert_eq!(state["reason"], "ContainerStatusUnknown");
}

#[test]
fn a_pod_that_is_still_initializing_can_be_looked_at() {
    let lab = Lab::new();
    let init = "  initContainers: [{name: prepare, image: box, command: [sleep, '1000']}]\n";
    let pod = lab.start(&pod(init));
    let (text, code) = attached(&lab, &pod, &["--target", "prepare"], "ps -o args");
    assert!(code == Some(0) && text.contains("sleep 1000"), "{text}");
    assert_eq!(lab.phase(&pod), "Pending");
    let said = lab.fails(125, &["debug", &pod, "--image", "box", "--target", "web"]);
    assert!(said.contains("target container web is not running"), "{said}");
}

#[test]
fn what_cannot_be_is_refused_with_what_there_is_and_adds_nothing() {
    let lab = Lab::new();
    let pod = lab.start_ready(&pod(""));
    debug(&lab, &pod, &["-c", "here"], "sleep 1000");
    for (args, words) in [
        (["--image", "box", "-c", "web"], "container \"web\" is there already; there are: web, here"),
        (["--image", "box", "-c", "here"], "container \"here\" is there already; there are: web, here"),
        (["--image", "box", "-c", "No_Label"], "container name \"No_Label\" is not a DNS label"),
        (["--image", "box", "--target", "db"], "no container \"db\" to target; there are: web"),
        (["--image", "box", "--target", "here"], "no container \"here\" to target; there are: web"),
        (["--image", "nosuch", "-c", "x"], "no bundle for image \"nosuch\"; looked for config.json in "),
    ] {
        let said = lab.fails(2, &[&["debug", &pod], &args[..]].concat());
        let line = format!("barepod: debug shop: {words}");
        assert!(said.starts_with(&line) && said.lines().count() == 1, "{args:?}: {said}");
    }
    assert!(lab.fails(125, &["debug", "nosuch", "--image", "box"]).contains("no pod \"nosuch\""));
    let object = lab.inspect(&pod);
    assert_eq!(object["spec"]["ephemeralContainers"].as_array().unwrap().len(), 1);
    let manifest = lab.manifest(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  ephemeralContainers: [{name: d, image: box}]\n  \
         containers: [{name: web, image: box}]\n",
    );
    let said = lab.fails(2, &["check", &manifest]);
    assert!(
        said.contains("ephemeralContainers is not supported") && said.contains("barepod debug"),
        "{said}"
    );
}

#[test]
fn a_target_that_could_trace_what_is_being_set_up_beside_it_is_refused() {
    let lab = Lab::new();
    let tracer = pod("").replace("'1000']", "'1000'], securityContext: {capabilities: {add: [SYS_PTRACE]}}");
    let pod = lab.start_ready(&tracer);
    let said = lab.fails(125, &["debug", &pod, "--image", "box", "--target", "web"]);
    assert!(said.contains("target container web has the capability SYS_PTRACE"), "{said}");
    assert_eq!(attached(&lab, &pod, &[], "exit 4").1, Some(4), "without a target it may");
    // And the other way round: it must not trace what comes after it.
    let bundle = lab.dir.join("tracer");
    own_bundle(&bundle);
    let mut config = config();
    config["process"]["capabilities"]["bounding"].as_array_mut().unwrap().push("CAP_SYS_PTRACE".into());
    fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    let other = lab.start_ready(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: plain}\nspec:\n  containers: [{name: web, image: box, command: [sleep, '1000']}]\n",
    );
    let image = bundle.to_str().unwrap();
    let said = lab.fails(125, &["debug", &other, "--image", image, "--target", "web"]);
    assert!(said.contains("SYS_PTRACE") && said.lines().count() == 1, "{said}");
    assert!(lab.inspect(&other)["spec"].get("ephemeralContainers").is_none(), "nothing was added");
}

#[test]
fn the_pods_security_context_applies_and_its_restart_policy_does_not() {
    let lab = Lab::new();
    let pod = lab.start_ready(&pod("  securityContext: {runAsUser: 1234, fsGroup: 77}\n"));
    assert_eq!(attached(&lab, &pod, &[], "id -u; id -G"), ("1234\n0 77\n".to_owned(), Some(0)));
}

#[test]
fn a_command_may_be_long() {
    let lab = Lab::new();
    let pod = lab.start_ready(&pod(""));
    let long = "x".repeat(100_000);
    assert_eq!(
        attached(&lab, &pod, &[], &format!("printf {long} | wc -c")),
        ("100000\n".to_owned(), Some(0))
    );
    let many: Vec<&str> = std::iter::repeat_n(long.as_str(), 4).collect();
    let said =
        lab.fails(125, &[&["debug", pod.as_str(), "--image", "box", "--", "echo"], &many[..]].concat());
    assert!(said.contains("the request is longer than 256 KiB") && said.lines().count() == 1, "{said}");
}

#[test]
fn the_pod_init_keeps_nothing_of_the_caller_and_nothing_of_a_container_that_has_ended() {
    let lab = Lab::new();
    let pod = lab.start_ready(&pod(""));
    let init = lab.init_pid(&pod);
    let descriptors = || fs::read_dir(format!("/proc/{init}/fd")).unwrap().count();
    let mounts = || fs::read_to_string(format!("/proc/{init}/mountinfo")).unwrap().lines().count();
    let before = (descriptors(), mounts());
    for _ in 0..3 {
        assert_eq!(attached(&lab, &pod, &["--target", "web"], "exit 3").1, Some(3));
        assert_eq!(lab.fails(127, &["debug", &pod, "--image", "box", "--", "nosuch"]).lines().count(), 1);
        assert_eq!(
            lab.output(&["debug", "-t", &pod, "--image", "box", "--", "nosuch"]).status.code(),
            Some(127)
        );
    }
    lab.until("all of it to be gone", seconds(5), || (descriptors(), mounts()) == before);
    // One that goes on holds nothing of the caller's, who would otherwise wait for the end of its output.
    let output = lab.output(&["debug", &pod, "--image", "box", "--", "sleep", "1000"]);
    assert!(output.status.success());
}

#[test]
fn a_pod_init_that_does_not_answer_is_waited_for_two_seconds() {
    let lab = Lab::new();
    let pod = lab.start_ready(&pod(""));
    let init = lab.init_pid(&pod);
    signal(init, nix::sys::signal::Signal::SIGSTOP);
    let start = Instant::now();
    let said = lab.fails(125, &["debug", &pod, "--image", "box"]);
    let took = start.elapsed();
    signal(init, nix::sys::signal::Signal::SIGCONT);
    assert!(said.contains("wait for the pod init's answer"), "{said}");
    assert!(took.as_secs_f64() > 1.9 && took < seconds(10), "{took:?}");
}

#[test]
fn the_foreground_of_run_shows_it_too() {
    let lab = Lab::new();
    let mut run = lab.background(&["run", &lab.manifest(&pod(""))]);
    lab.until("the app to run", seconds(10), || run.stdout().contains("web             runs"));
    let name = debug(&lab, "shop", &["-c", "guest"], "echo hello from outside");
    lab.until("its words", seconds(10), || run.stdout().contains("guest | hello from outside"));
    assert!(run.stdout().contains("guest           is being started (ephemeral container)"), "{name}");
    lab.ok(&["stop", "shop"]);
    assert_eq!(run.code(seconds(10)), Some(137), "the app did not hear SIGTERM");
}
