//! postStart and preStop.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use crate::support::*;
use crate::*;

/// L5: the second container waits for the first one's postStart.
#[test]
fn the_second_container_waits_for_the_first_ones_post_start() {
    let lab = Lab::new();
    Pod::new("Never")
        .app("regular-1", [0, 4, 0, 0], &hook("postStart", "PostStart-regular-1", 1))
        .app("regular-2", [0, 1, 0, 0], "")
        .start(&lab, "l5");
    assert_eq!(lab.wait_ended("l5", 60), "Succeeded");
    let seen = lab.testimony();
    seen.starts_before("PostStart-regular-1", "regular-2");
    seen.exits_before("PostStart-regular-1", "regular-2");
    seen.over_before("PostStart-regular-1", "regular-2");
}

/// L10: preStop and kill on a failed startup probe.
#[test]
fn a_failed_startup_probe_runs_pre_stop_and_ends_the_container() {
    let lab = Lab::new();
    let probe = exec_probe("startupProbe", "['false']", "initialDelaySeconds: 2, failureThreshold: 1");
    let more = format!("{probe}\n{}", hook("preStop", "PreStop-regular-1", 1));
    Pod::new("Never").app("regular-1", [0, 100, 0, 3], &more).start(&lab, "l10");
    lab.wait_ended("l10", 60);
    let seen = lab.testimony();
    seen.together("regular-1", "PreStop-regular-1");
    let (hook, program) = (seen.first("PreStop-regular-1", "Exiting"), seen.first("regular-1", "Exiting"));
    assert!(program - hook >= 3.0 - 0.05, "SIGTERM came {} s before the end", program - hook);
    assert_eq!((seen.starts("regular-1"), lab.restarts("l10", "regular-1")), (1, 0));
}

/// L12: readiness goes on during preStop, liveness does not.
#[test]
fn readiness_goes_on_during_pre_stop_and_liveness_does_not() {
    let lab = Lab::new();
    let probe = |kind: &str, name: &str, code: u32, more: &str| {
        exec_probe(kind, &format!("[program, {name}, '0', '0', '{code}', '0']"), more)
    };
    let more = [
        probe(
            "livenessProbe",
            "Liveness",
            1,
            "initialDelaySeconds: 3, periodSeconds: 1, failureThreshold: 1",
        ),
        probe("readinessProbe", "Readiness", 0, "initialDelaySeconds: 1, periodSeconds: 1"),
        hook("preStop", "PreStop", 6),
    ];
    Pod::new("Never").grace(100).app("regular-1", [0, 100, 0, 2], &more.join("\n")).start(&lab, "l12");
    lab.wait_ended("l12", 60);
    let seen = lab.testimony();
    let during = seen.first("PreStop", "Started")..seen.first("PreStop", "Exiting");
    let runs = |name: &str| seen.all(name, "Starting");
    assert!(runs("Readiness").iter().any(|at| during.contains(at)), "{:#?}", seen.lines);
    assert!(!runs("Liveness").is_empty());
    assert!(!runs("Liveness").iter().any(|at| *at > during.start), "{:#?}", seen.lines);
}

/// L70: postStart exec.
#[test]
fn a_post_start_command_reaches_a_server_elsewhere() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let mut paths = Vec::new();
        for stream in listener.incoming().take(2) {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            paths.push(line.split(' ').nth(1).unwrap().to_owned());
            while line != "\r\n" {
                line.clear();
                stream.read_line(&mut line).unwrap();
            }
            stream.get_mut().write_all(b"HTTP/1.0 200 OK\r\n\r\n").unwrap();
        }
        paths
    });
    let mut pod = Pod::new("Never").both(|name, _| {
        let command = format!("[wget, -q, -O, /dev/null, 'http://127.0.0.1:{port}/{name}']");
        (script(UNTIL_TERM), format!("lifecycle: {{postStart: {{exec: {{command: {command}}}}}}}"))
    });
    pod.spec = "  hostNetwork: true\n".to_owned();
    pod.start(&lab, "l70");
    lab.until("two requests", seconds(60), || heard.is_finished());
    assert_eq!(heard.join().unwrap(), ["/sidecar", "/app"]);
}

/// L72: postStart httpGet.
#[test]
fn a_post_start_request_reaches_a_sidecar_that_stands_before_it() {
    let lab = Lab::new();
    let answer = "echo \"$path\" >> /persistent/requests; answer '200 OK'";
    let probe = "startupProbe: {httpGet: {path: /up, port: 8080}, periodSeconds: 1, timeoutSeconds: 10, \
        failureThreshold: 100}";
    Pod::new("Never")
        .sidecar_of("redirector", &server(8080, answer, ":"), probe)
        .both(|name, _| {
            let get = format!("lifecycle: {{postStart: {{httpGet: {{path: /{name}, port: 8080}}}}}}");
            (script(UNTIL_TERM), get)
        })
        .start(&lab, "l72");
    let requests = || {
        let text = std::fs::read_to_string(lab.persistent().join("requests")).unwrap_or_default();
        text.lines().filter(|path| *path != "/up").map(str::to_owned).collect::<Vec<_>>()
    };
    lab.until("both requests", seconds(60), || requests().len() >= 2);
    assert_eq!(requests(), ["/sidecar", "/app"]);
}

/// L76: preStop sleep.
#[test]
fn a_pre_stop_sleep_delays_the_end() {
    let lab = Lab::new();
    let sleep = "lifecycle: {preStop: {sleep: {seconds: 5}}}";
    Pod::new("Always").grace(20).app_of("pause", &script(UNTIL_TERM), sleep).start(&lab, "l76");
    lab.until("the app to run", seconds(60), || is_running(&lab, "l76", "pause"));
    lab.ok(&["stop", "l76"]);
    let metadata = lab.inspect("l76")["metadata"].clone();
    assert_eq!(metadata["deletionGracePeriodSeconds"], 20);
    let deleted = time(&metadata["deletionTimestamp"]) - std::time::Duration::from_secs(20);
    let end = time(&lab.status("l76", "pause")["state"]["terminated"]["finishedAt"]);
    let took = end.duration_since(deleted).unwrap().as_secs_f64();
    assert!((5.0..20.0).contains(&took), "it took {took} s");
}

/// L78: preStop sleep is ignored for a dead container.
#[test]
fn a_pre_stop_sleep_is_not_run_for_a_container_that_has_ended() {
    let lab = Lab::new();
    let sleep = "lifecycle: {preStop: {sleep: {seconds: 10}}}";
    Pod::new("Never").app_of("main", "command: [sleep, '3']", sleep).start(&lab, "l78");
    assert_eq!(lab.wait_ended("l78", 60), "Succeeded");
    let terminated = lab.status("l78", "main")["state"]["terminated"].clone();
    let ran = seconds_between(&terminated["startedAt"], &terminated["finishedAt"]);
    // It is noted that it runs when it does, which may be a moment later.
    assert!((2.0..10.0).contains(&ran), "it ran {ran} s");
    assert!(!lab.ok(&["events", "l78", "--all"]).contains("preStop"));
}
