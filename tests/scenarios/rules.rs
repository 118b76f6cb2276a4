//! Rules that the scenarios do not come to, as far as they are the shell's: signals, helpers, what they say.

use crate::support::*;
use crate::*;

/// R46: a preStop that is still running when the grace is used up.
#[test]
fn a_pre_stop_that_outlives_the_grace_dies_with_its_container_two_seconds_later() {
    let lab = Lab::new();
    let more = hook("preStop", "PreStop", RUNS_ON);
    Pod::new("Never").app("main", [0, RUNS_ON, 0, 20], &more).start(&lab, "r46");
    until_started(&lab, "main");
    lab.ok(&["stop", "r46", "-t", "3"]);
    assert_eq!(ended(&lab, "r46", "main"), (137, "Error".to_owned()));
    let seen = lab.testimony();
    assert_eq!((seen.starts("PreStop"), seen.all("PreStop", "Exiting").len()), (1, 0));
    let all = lab.ok(&["events", "r46", "--all"]);
    let at = |words: &str| {
        let line = all.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {all}"));
        line.trim().split('s').next().unwrap().parse::<f64>().unwrap()
    };
    // A line is written a moment after what it tells of.
    let late = f64::from(slowdown());
    assert!((2.9..3.0 + late).contains(&(at("gets SIGTERM") - at("preStop runs"))), "{all}");
    assert!((1.9..2.0 + late).contains(&(at("gets SIGKILL") - at("gets SIGTERM"))), "{all}");
}

/// R51: any answer is good enough for an httpGet hook; R41: a connection that fails is not.
#[test]
fn an_http_hook_fails_only_if_nobody_answers() {
    let lab = Lab::new();
    let get = |port| format!("lifecycle: {{postStart: {{httpGet: {{path: /, port: {port}}}}}}}");
    let up = "startupProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, failureThreshold: 100}";
    // Its SIGTERM may come before any trap: then it is killed.
    Pod::new("OnFailure")
        .grace(2)
        .sidecar_of("server", &server(8080, "answer '500 Internal Server Error'", ":"), up)
        .app_of("well", &script(UNTIL_TERM), &get(8080))
        .app_of("badly", &script("trap 'exit 137' TERM; sleep 600 & wait"), &get(8079))
        .start_quick(&lab, "r51", 9);
    lab.until("the back-off", seconds(60), || {
        lab.status("r51", "badly")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    assert!(is_running(&lab, "r51", "well"));
    assert_eq!(lab.status("r51", "badly")["lastState"]["terminated"]["exitCode"], 137);
    assert!(lab.ok(&["events", "r51"]).contains("FailedPostStartHook"));
}

/// R70: the stop signal of the image.
#[test]
fn a_container_gets_the_stop_signal_that_its_image_names() {
    let lab = Lab::new();
    let bundle = lab.dir.join("image");
    own_bundle(&bundle);
    let mut config = config();
    config["annotations"] = serde_json::json!({"org.opencontainers.image.stopSignal": "SIGUSR1"});
    std::fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    let text = "trap 'exit 3' USR1; trap 'exit 4' TERM; echo up; sleep 600 & wait";
    let manifest = Pod::new("Never").app_of("main", &script(text), "").manifest(&lab, "r70");
    lab.start(&manifest.replace("image: box", "image: ./image"));
    lab.until("the trap", seconds(60), || lab.ok(&["logs", "r70"]).contains("up"));
    lab.ok(&["stop", "r70"]);
    assert_eq!(ended(&lab, "r70", "main"), (3, "Error".to_owned()));
}

/// R70: the stop signal of the manifest.
#[test]
fn a_container_gets_the_stop_signal_that_the_manifest_names() {
    let lab = Lab::new();
    let text = "trap 'exit 3' USR1; trap 'exit 4' TERM; echo up; sleep 600 & wait";
    let mut pod = Pod::new("Never").app_of("main", &script(text), "lifecycle: {stopSignal: SIGUSR1}");
    pod.spec = "  os: {name: linux}\n".to_owned();
    pod.start(&lab, "r70");
    lab.until("the trap", seconds(60), || lab.ok(&["logs", "r70"]).contains("up"));
    lab.ok(&["stop", "r70"]);
    assert_eq!(ended(&lab, "r70", "main"), (3, "Error".to_owned()));
}

/// R80: a probe is over when its command is, whatever that leaves behind.
#[test]
fn a_probe_whose_background_child_holds_its_output_open_has_succeeded() {
    let lab = Lab::new();
    let probe = exec_probe("readinessProbe", "[sh, -c, 'sleep 600 & echo well']", "periodSeconds: 3000");
    Pod::new("Never").app_of("main", &script(UNTIL_TERM), &probe).start(&lab, "r80");
    let patience = format!("{}s", seconds(20).as_secs());
    lab.ok(&["wait", "r80", "--for=Ready", "--timeout", &patience]);
}

/// R81: a redirect to another host; R82: a connection is enough.
#[test]
fn a_redirect_elsewhere_and_a_mere_connection_are_successes() {
    let lab = Lab::new();
    let elsewhere = "printf 'HTTP/1.0 302 Found\\r\\nLocation: http://elsewhere.invalid/\\r\\n\\r\\ngone'";
    let tcp = "readinessProbe: {tcpSocket: {port: 8082}, periodSeconds: 1}";
    let closed = "readinessProbe: {tcpSocket: {port: 8083}, periodSeconds: 1}";
    let timeout = seconds(5).as_secs();
    let http = format!(
        "readinessProbe: {{httpGet: {{path: /, port: 8081}}, periodSeconds: 1, timeoutSeconds: {timeout}}}"
    );
    Pod::new("Never")
        .app_of("redirects", &server(8081, elsewhere, ":"), &http)
        .app_of("silent", &server(8082, ":", ":"), tcp)
        .app_of("closed", &script(UNTIL_TERM), closed)
        .start(&lab, "r81");
    lab.until("both to be ready", seconds(60), || {
        ["redirects", "silent"].iter().all(|name| lab.status("r81", name)["ready"] == true)
    });
    lab.until("a failure of the third", seconds(60), || {
        lab.ok(&["events", "r81"]).contains("dial tcp 127.0.0.1:8083: connect: connection refused")
    });
    assert_eq!(lab.status("r81", "closed")["ready"], false);
    let events = lab.ok(&["events", "r81"]);
    assert!(events.contains("ProbeWarning") && events.contains("Response body: gone"), "{events}");
}

/// R83: a probe that could not be carried out changes nothing.
#[test]
fn a_liveness_command_that_is_not_there_restarts_nobody() {
    let lab = Lab::new();
    let probe = exec_probe("livenessProbe", "[no-such-command]", "periodSeconds: 1, failureThreshold: 1");
    Pod::new("Always").app_of("main", &script(UNTIL_TERM), &probe).start(&lab, "r83");
    let errors = || {
        let events = lab.ok(&["events", "r83"]);
        events.lines().filter(|line| line.contains("Liveness probe errored")).count()
    };
    lab.until("three probes", seconds(60), || errors() >= 3);
    assert_eq!(lab.restarts("r83", "main"), 0);
    let all = lab.ok(&["events", "r83", "--all"]);
    assert!(all.contains("could not be carried out: execute no-such-command: "), "{all}");
}

/// R80: what a probe printed, its exit code and how long it took stand in the event log.
#[test]
fn the_event_log_tells_how_probes_went() {
    let lab = Lab::new();
    let text = "echo checking; [ -f /tmp/good ] || { : > /tmp/good; exit 3; }";
    let command = format!("[sh, -c, {}]", serde_json::to_string(text).unwrap());
    let probe = exec_probe("readinessProbe", &command, "periodSeconds: 1");
    Pod::new("Never").app_of("main", &script(UNTIL_TERM), &probe).start(&lab, "log");
    let patience = format!("{}s", seconds(20).as_secs());
    lab.ok(&["wait", "log", "--for=Ready", "--timeout", &patience]);
    let all = lab.ok(&["events", "log", "--all"]);
    let line = |words: &str| all.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{all}"));
    assert!(line("readiness probe has failed: checking (exit code 3, ").ends_with("s)"), "{all}");
    assert!(line("readiness probe has succeeded: checking (exit code 0, ").ends_with("s)"), "{all}");
}

/// R103: the file is the container's own wherever it is and whoever its user is; of a long one the end is told.
#[test]
fn a_termination_message_may_be_elsewhere_of_another_user_and_long() {
    let lab = Lab::new();
    let elsewhere = "terminationMessagePath: /tmp/message\nsecurityContext: {runAsUser: 1000}";
    let long =
        "head -c 5000 /dev/zero | tr '\\0' x > /dev/termination-log; printf END >> /dev/termination-log";
    Pod::new("Never")
        .app_of("elsewhere", &script("printf DONE > /tmp/message"), elsewhere)
        .app_of("long", &script(long), "")
        .app_of("empty", &script("echo words; exit 0"), "terminationMessagePolicy: FallbackToLogsOnError")
        .start(&lab, "r103");
    assert_eq!(lab.wait_ended("r103", 60), "Succeeded");
    let message = |name| lab.status("r103", name)["state"]["terminated"]["message"].clone();
    assert_eq!(message("elsewhere"), "DONE");
    let long = message("long").as_str().unwrap().to_owned();
    assert!(long.len() == 4096 && long.ends_with("xEND"), "{} bytes", long.len());
    assert!(message("empty").is_null());
}
