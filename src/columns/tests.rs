use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::*;

const CREATED: u64 = 1_700_000_000;

fn at(seconds: u64) -> String {
    humantime::format_rfc3339_micros(UNIX_EPOCH + Duration::from_secs(CREATED + seconds)).to_string()
}

/// Two inits, the second of them a sidecar, and two apps; seen 300 s after its creation.
fn pod(phase: &str, inits: [Value; 2], apps: [Value; 2]) -> Value {
    json!({
        "metadata": {"name": "shop", "creationTimestamp": at(0)},
        "spec": {
            "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
            "containers": [{"name": "a"}, {"name": "b"}],
        },
        "status": {
            "phase": phase,
            "podIP": "127.0.0.1",
            "conditions": [],
            "initContainerStatuses": inits,
            "containerStatuses": apps,
        },
    })
}

fn waiting(name: &str, reason: &str) -> Value {
    json!({"name": name, "state": {"waiting": {"reason": reason}}, "restartCount": 0})
}

fn running(name: &str, ready: bool) -> Value {
    json!({"name": name, "state": {"running": {}}, "ready": ready, "started": true, "restartCount": 0})
}

fn ended(name: &str, code: i32, reason: &str) -> Value {
    let mut terminated = json!({"exitCode": code});
    if !reason.is_empty() {
        terminated["reason"] = reason.into();
    }
    json!({"name": name, "state": {"terminated": terminated}, "restartCount": 0})
}

fn restarted(mut container: Value, count: u64, finished: u64) -> Value {
    container["restartCount"] = count.into();
    container["lastState"] = json!({"terminated": {"exitCode": 1, "finishedAt": at(finished)}});
    container
}

fn with(mut pod: Value, condition: &str) -> Value {
    pod["status"]["conditions"].as_array_mut().unwrap().push(json!({"type": condition, "status": "True"}));
    pod
}

/// READY, STATUS, RESTARTS.
fn columns(pod: &Value) -> [String; 3] {
    let row = row(pod, UNIX_EPOCH + Duration::from_secs(CREATED + 300), false);
    [row[1].clone(), row[2].clone(), row[3].clone()]
}

fn uninitialized() -> [Value; 2] {
    [waiting("a", "PodInitializing"), waiting("b", "PodInitializing")]
}

fn up() -> [Value; 2] {
    [running("a", true), running("b", true)]
}

fn initialized() -> [Value; 2] {
    [ended("i", 0, "Completed"), running("s", true)]
}

#[test]
fn a_pod_that_runs() {
    let pod = with(pod("Running", initialized(), up()), "Initialized");
    assert_eq!(columns(&pod), ["3/3", "Running", "0"]);
    let row = row(&pod, UNIX_EPOCH + Duration::from_secs(CREATED + 312), true);
    assert_eq!(row, ["shop", "3/3", "Running", "0", "5m12s", "127.0.0.1", "<none>"]);
}

#[test]
fn inits_are_counted_while_they_run() {
    let first = [running("i", false), waiting("s", "PodInitializing")];
    assert_eq!(columns(&pod("Pending", first, uninitialized())), ["0/3", "Init:0/2", "0"]);
    let mut slow = running("s", false);
    slow["started"] = false.into();
    let second = [ended("i", 0, "Completed"), slow];
    assert_eq!(columns(&pod("Pending", second, uninitialized())), ["0/3", "Init:1/2", "0"]);
}

#[test]
fn a_failing_init_says_how_it_fails() {
    let status = |init: Value| {
        columns(&pod("Pending", [init, waiting("s", "PodInitializing")], uninitialized()))[1].clone()
    };
    assert_eq!(status(ended("i", 1, "Error")), "Init:Error");
    assert_eq!(status(ended("i", 7, "")), "Init:ExitCode:7");
    assert_eq!(status(waiting("i", "CrashLoopBackOff")), "Init:CrashLoopBackOff");
    assert_eq!(status(waiting("i", "CreateContainerError")), "Init:CreateContainerError");
    let mut signalled = ended("i", 137, "");
    signalled["state"]["terminated"]["signal"] = 9.into();
    assert_eq!(status(signalled), "Init:Signal:9");
}

#[test]
fn after_initialisation_apps_speak_the_first_of_them_loudest() {
    let status =
        |a: Value, b: Value| columns(&with(pod("Running", initialized(), [a, b]), "Initialized"))[1].clone();
    assert_eq!(status(waiting("a", "PodInitializing"), waiting("b", "PodInitializing")), "PodInitializing");
    assert_eq!(status(waiting("a", "CrashLoopBackOff"), running("b", true)), "CrashLoopBackOff");
    assert_eq!(status(ended("a", 1, "Error"), ended("b", 137, "OOMKilled")), "Error");
    assert_eq!(status(running("a", true), ended("b", 137, "OOMKilled")), "OOMKilled");
    assert_eq!(status(ended("a", 3, ""), running("b", true)), "ExitCode:3");
}

#[test]
fn one_app_done_and_one_running_is_not_ready() {
    let half = pod("Running", initialized(), [ended("a", 0, "Completed"), running("b", true)]);
    assert_eq!(columns(&half), ["2/3", "NotReady", "0"]);
    assert_eq!(columns(&with(half, "Ready"))[1], "Running");
}

#[test]
fn a_pod_that_has_ended() {
    let done = [ended("a", 0, "Completed"), ended("b", 0, "Completed")];
    let inits = [ended("i", 0, "Completed"), ended("s", 0, "Completed")];
    assert_eq!(columns(&pod("Succeeded", inits.clone(), done)), ["0/3", "Completed", "0"]);
    let failed = [ended("a", 1, "Error"), ended("b", 0, "Completed")];
    assert_eq!(columns(&pod("Failed", inits, failed))[1], "Error");
}

#[test]
fn a_sidecar_that_exited_with_an_error_hides_nothing_once_initialised() {
    let inits = [ended("i", 0, "Completed"), ended("s", 143, "Error")];
    let done = [ended("a", 0, "Completed"), ended("b", 0, "Completed")];
    let pod = with(pod("Succeeded", inits, done), "Initialized");
    assert_eq!(columns(&pod)[1], "Completed");
}

#[test]
fn a_stopped_pod_is_terminating_until_it_has_ended() {
    let mut pod = pod("Running", initialized(), up());
    pod["metadata"]["deletionTimestamp"] = at(200).into();
    assert_eq!(columns(&pod), ["3/3", "Terminating", "0"]);
    pod["status"]["phase"] = "Failed".into();
    assert_ne!(columns(&pod)[1], "Terminating");
}

#[test]
fn the_pods_own_reason_stands_where_no_container_has_one() {
    let mut pod = pod("Running", initialized(), up());
    pod["status"]["reason"] = "DeadlineExceeded".into();
    assert_eq!(columns(&pod)[1], "DeadlineExceeded");
}

#[test]
fn restarts_count_inits_only_while_they_run_and_sidecars_always() {
    let early = [restarted(waiting("i", "CrashLoopBackOff"), 3, 290), waiting("s", "PodInitializing")];
    assert_eq!(columns(&pod("Pending", early, uninitialized()))[2], "3 (10s ago)");
    let inits = [restarted(ended("i", 0, "Completed"), 3, 10), restarted(running("s", true), 2, 120)];
    let apps = [restarted(running("a", true), 1, 180), running("b", true)];
    assert_eq!(columns(&with(pod("Running", inits, apps), "Initialized"))[2], "3 (2m ago)");
    let mut silent = running("a", true);
    silent["restartCount"] = 4.into();
    assert_eq!(columns(&pod("Running", initialized(), [silent, running("b", true)]))[2], "4");
}

#[test]
fn ages_are_written_as_kubectl_writes_them() {
    let (minute, hour, day) = (60, 3600, 86_400);
    let written = |seconds: u64| age(Some(UNIX_EPOCH), UNIX_EPOCH + Duration::from_secs(seconds));
    let expected = [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (5 * minute + 12, "5m12s"),
        (10 * minute + 5, "10m"),
        (179 * minute, "179m"),
        (3 * hour, "3h"),
        (3 * hour + 7 * minute, "3h7m"),
        (8 * hour + 7 * minute, "8h"),
        (47 * hour, "47h"),
        (2 * day, "2d"),
        (2 * day + 4 * hour, "2d4h"),
        (8 * day + 4 * hour, "8d"),
        (729 * day, "729d"),
        (730 * day, "2y"),
        (735 * day, "2y5d"),
        (3000 * day, "8y"),
    ];
    for (seconds, text) in expected {
        assert_eq!(written(seconds), text);
    }
    let ahead = |seconds: u64| age(Some(UNIX_EPOCH + Duration::from_secs(seconds)), UNIX_EPOCH);
    assert_eq!((ahead(1).as_str(), ahead(5).as_str()), ("0s", "<invalid>"));
    assert_eq!(age(None, UNIX_EPOCH), "<unknown>");
}

#[test]
fn a_table_is_aligned_and_ends_without_blanks() {
    let line = |cells: &[&str]| cells.iter().map(|cell| cell.to_string()).collect::<Vec<_>>();
    let rows = [line(&["NAME", "AGE"]), line(&["log-shipping", "5s"])];
    assert_eq!(table(&rows), "NAME           AGE\nlog-shipping   5s\n");
    assert_eq!(table(&[header(false)]), "NAME   READY   STATUS   RESTARTS   AGE\n");
    assert_eq!(table(&[]), "");
}

#[test]
fn an_object_without_anything_is_no_accident() {
    assert_eq!(row(&json!({}), UNIX_EPOCH, false), ["", "0/0", "Unknown", "0", "<unknown>"]);
}
