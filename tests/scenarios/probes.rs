//! Startup, liveness and readiness probes, of sidecars and of regular containers.

use crate::support::*;
use crate::*;

/// An httpGet probe that has time enough on any machine.
fn get(kind: &str, path: &str, port: u16, more: &str) -> String {
    let timeout = seconds(5).as_secs();
    format!("{kind}: {{httpGet: {{path: {path}, port: {port}}}, timeoutSeconds: {timeout}, {more}}}")
}

fn until_both_restarted(lab: &Lab, pod: &str) {
    for name in ["sidecar", "app"] {
        until_restarted(lab, pod, name, 1);
    }
}

/// L81: readiness initial delay.
#[test]
fn readiness_comes_after_its_initial_delay() {
    let lab = Lab::new();
    let pod = Pod::new("Never").both(|_, port| {
        (server(port, "answer '200 OK'", ":"), get("readinessProbe", "/", port, "initialDelaySeconds: 4"))
    });
    pod.start(&lab, "l81");
    let patience = format!("{}s", seconds(60).as_secs());
    lab.ok(&["wait", "l81", "--for=Ready", "--timeout", &patience]);
    let ready = condition(&lab, "l81", "Ready")["lastTransitionTime"].clone();
    for name in ["sidecar", "app"] {
        let status = lab.status("l81", name);
        assert!(seconds_between(&status["state"]["running"]["startedAt"], &ready) >= 4.0, "{status}");
        assert_eq!(status["restartCount"], 0);
    }
}

/// L83: exec liveness turns bad.
#[test]
fn a_container_whose_liveness_command_turns_bad_is_restarted() {
    let lab = Lab::new();
    let text = "trap 'exit 0' TERM; : > /tmp/health; sleep 2; rm /tmp/health; sleep 600 & wait";
    let timing = "initialDelaySeconds: 3, periodSeconds: 1, failureThreshold: 1";
    let probe = exec_probe("livenessProbe", "[cat, /tmp/health]", timing);
    Pod::new("Always").both(|_, _| (script(text), probe.clone())).start(&lab, "l83");
    until_both_restarted(&lab, "l83");
}

/// Answers /healthz well for two seconds; /redirect leads there.
fn ageing(port: u16) -> String {
    let answer = "case $path in \
        /redirect) printf 'HTTP/1.0 302 Found\\r\\nLocation: /healthz\\r\\n\\r\\n' ;; \
        *) if [ -f /tmp/old ]; then answer '500 Internal Server Error'; else answer '200 OK'; fi ;; esac";
    server(port, answer, "sleep 2; : > /tmp/old")
}

/// L85: http liveness turns bad.
#[test]
fn a_container_whose_liveness_request_turns_bad_is_restarted() {
    let lab = Lab::new();
    let timing = "initialDelaySeconds: 3, periodSeconds: 1, failureThreshold: 1";
    let pod =
        Pod::new("Always").both(|_, port| (ageing(port), get("livenessProbe", "/healthz", port, timing)));
    pod.start(&lab, "l85");
    until_both_restarted(&lab, "l85");
    assert!(lab.ok(&["events", "l85"]).contains("HTTP probe failed with statuscode: 500"));
}

/// L89: exec liveness times out.
#[test]
fn a_container_whose_liveness_command_takes_too_long_is_restarted() {
    let lab = Lab::new();
    let probe = "livenessProbe: {exec: {command: [sleep, '600']}, initialDelaySeconds: 2, failureThreshold: 1, \
        timeoutSeconds: 1}";
    Pod::new("Always").both(|_, _| (script(UNTIL_TERM), probe.to_owned())).start(&lab, "l89");
    until_both_restarted(&lab, "l89");
}

/// L92: liveness redirect, local.
#[test]
fn a_liveness_request_is_redirected_on_the_same_host() {
    let lab = Lab::new();
    let timing = "initialDelaySeconds: 3, periodSeconds: 1, failureThreshold: 1";
    let pod =
        Pod::new("Always").both(|_, port| (ageing(port), get("livenessProbe", "/redirect", port, timing)));
    pod.start(&lab, "l92");
    until_both_restarted(&lab, "l92");
}

/// One pod with the container as an app, and one with it as a sidecar, before an app that may never start.
fn in_two_pods(lab: &Lab, names: [&str; 2], command: &str, more: &str) {
    Pod::new("Always").app_of("probed", command, more).start(lab, names[0]);
    Pod::new("Always")
        .sidecar_of("probed", command, more)
        .app("main", [0, RUNS_ON, 0, 0], "")
        .start(lab, names[1]);
}

/// L94: a startup probe fails.
#[test]
fn a_container_whose_startup_probe_keeps_failing_is_restarted() {
    let lab = Lab::new();
    let timing = "initialDelaySeconds: 1, periodSeconds: 1";
    let startup = exec_probe("startupProbe", "['false']", &format!("{timing}, failureThreshold: 3"));
    let liveness = exec_probe("livenessProbe", "[program, Liveness, '0', '0', '0', '0']", timing);
    let pods = ["l94-app", "l94-sidecar"];
    in_two_pods(&lab, pods, &script(UNTIL_TERM), &format!("{startup}\n{liveness}"));
    pods.iter().for_each(|pod| until_restarted(&lab, pod, "probed", 1));
    lab.testimony().never("Liveness");
}

/// L95: startup delays liveness.
#[test]
fn as_long_as_the_startup_probe_has_not_succeeded_liveness_is_not_probed() {
    let lab = Lab::new();
    let probe = |kind: &str, name: &str, more: &str| {
        exec_probe(kind, &format!("[program, {name}, '0', '0', '1', '0']"), more)
    };
    let startup =
        probe("startupProbe", "Startup", "initialDelaySeconds: 1, periodSeconds: 1, failureThreshold: 100");
    let liveness = probe("livenessProbe", "Liveness", "initialDelaySeconds: 1, failureThreshold: 1");
    let pods = ["l95-app", "l95-sidecar"];
    in_two_pods(&lab, pods, &script(UNTIL_TERM), &format!("{startup}\n{liveness}"));
    lab.until("twelve startup probes", seconds(60), || lab.testimony().starts("Startup") >= 12);
    lab.testimony().never("Liveness");
    for pod in pods {
        let probed = lab.status(pod, "probed");
        assert_eq!((&probed["restartCount"], &probed["started"]), (&0.into(), &false.into()), "{pod}");
    }
}

/// L97: ready right after startup success.
#[test]
fn readiness_is_probed_right_after_the_startup_probe_has_succeeded() {
    let lab = Lab::new();
    let text = "trap 'exit 0' TERM; : > /tmp/health; sleep 3; : > /tmp/startup; sleep 600 & wait";
    let startup =
        exec_probe("startupProbe", "[cat, /tmp/startup]", "periodSeconds: 1, failureThreshold: 120");
    // A period that is longer than what the test waits for.
    let readiness = exec_probe("readinessProbe", "[cat, /tmp/health]", "periodSeconds: 3000");
    Pod::new("Always").both(|_, _| (script(text), format!("{startup}\n{readiness}"))).start(&lab, "l97");
    for name in ["sidecar", "app"] {
        lab.until(&format!("{name} to be ready"), seconds(60), || {
            let status = lab.status("l97", name);
            assert!(
                status["ready"] == false || status["started"] == true,
                "ready before it is Started: {status}"
            );
            status["ready"] == true
        });
    }
    let ready = condition(&lab, "l97", "Ready")["lastTransitionTime"].clone();
    let started = lab.status("l97", "app")["state"]["running"]["startedAt"].clone();
    let took = seconds_between(&started, &ready);
    assert!((3.0..3.0 + 25.0).contains(&took), "ready after {took} s");
}

/// L98: liveness-level grace.
#[test]
fn a_liveness_probe_has_a_grace_of_its_own() {
    let lab = Lab::new();
    let probe = |port| {
        get(
            "livenessProbe",
            "/",
            port,
            "initialDelaySeconds: 2, failureThreshold: 1, terminationGracePeriodSeconds: 3",
        )
    };
    let pod = Pod::new("Always").grace(500);
    pod.both(|_, port| (script("sleep 1000"), probe(port))).start(&lab, "l98");
    until_both_restarted(&lab, "l98");
    for name in ["sidecar", "app"] {
        let last = lab.status("l98", name)["lastState"]["terminated"].clone();
        assert_eq!(last["exitCode"], 137);
        let ran = seconds_between(&last["startedAt"], &last["finishedAt"]);
        assert!((5.0..50.0 * f64::from(slowdown())).contains(&ran), "{name} ran {ran} s");
    }
}
