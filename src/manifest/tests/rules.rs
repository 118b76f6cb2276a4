//! Names, kinds, hooks, probes.

use super::*;
use crate::lifecycle::model::{Backoff, Hook, RuleAction};

/// As many containers as give more warnings than are told.
fn warned() -> String {
    let one = |n| format!("  - {{name: c{n}, image: x, imagePullPolicy: Always}}\n");
    (0..=check::MOST).map(one).collect()
}

#[test]
fn no_number_of_warnings_hides_an_error() {
    assert_eq!(ok(&in_container(&warned())).warnings.len(), check::MOST);
    let last = |field: &str| in_container(&format!("{}  - {{name: last, image: x, {field}}}\n", warned()));
    refused(&last("imagePullPolicz: Always"), "unknown field \"imagePullPolicz\"");
    refused(&last("volumeMounts: [{name: none, mountPath: /x}]"), "none");
}

#[test]
fn names_follow_the_rules_of_the_api_server() {
    for bad in ["../x", "a/b", "A", "..", "a_b", "-a", "'a b'", "\"a\\n\"", "a..b"] {
        refused(
            &manifest("", "").replace("  name: web\nspec", &format!("  name: {bad}\nspec")),
            "4:9: metadata.name",
        );
    }
    for bad in ["../x", "a/b", "A", "a.b", "a_b"] {
        refused(
            &manifest("", "").replace("- name: web", &format!("- name: {bad}")),
            "7:11: spec.containers[0].name",
        );
        refused(&in_spec(&format!("  volumes: [{{name: {bad}}}]\n")), "6:20: spec.volumes[0].name");
        refused(&in_spec(&format!("  hostname: {bad}\n")), "6:13: spec.hostname");
        refused(
            &manifest("", "").replace("name: web\nspec", &format!("name: web\n  namespace: {bad}\nspec")),
            "5:14: metadata.namespace",
        );
    }
    for bad in ["{'a b': c}", "{a: 'b c'}", "{/a: b}"] {
        refused(
            &manifest("", "").replace("name: web\nspec", &format!("name: web\n  labels: {bad}\nspec")),
            "metadata.labels",
        );
    }
    for (bad, what) in [("A=B", "has = in it"), ("é", "printable ASCII"), ("''", "is empty")] {
        refused(&in_container(&format!("    env: [{{name: {bad}, value: x}}]\n")), what);
    }
}

#[test]
fn names_are_unique_over_all_kinds_of_containers() {
    refused(
        &in_spec("  initContainers: [{name: web, image: x}]\n"),
        "8:11: spec.containers[0].name: duplicate name \"web\"",
    );
    refused(
        &in_spec("  initContainers: [{name: a, image: x}, {name: a, image: x, restartPolicy: Always}]\n"),
        "spec.initContainers[1].name: duplicate",
    );
    refused(
        &in_spec("  volumes: [{name: a}, {name: a}]\n"),
        "6:31: spec.volumes[1].name: duplicate name \"a\"",
    );
    refused(
        &in_container("    ports: [{name: a, containerPort: 1}, {name: a, containerPort: 2}]\n"),
        "duplicate name \"a\"",
    );
}

#[test]
fn a_long_pod_name_is_cut_to_a_host_name() {
    let name = format!("{}.b-{}", "a".repeat(60), "c".repeat(30));
    let pod = ok(&manifest("", "").replace("name: web\nspec", &format!("name: {name}\nspec"))).pod;
    assert_eq!(pod.hostname, format!("{}.b", "a".repeat(60)));
    assert_eq!(ok(&in_spec("  hostname: other\n")).pod.hostname, "other");
}

#[test]
fn a_new_name_changes_the_host_name_unless_that_is_given() {
    let mut manifest = ok(&in_spec(""));
    manifest.rename("other");
    assert_eq!((manifest.pod.name.as_str(), manifest.pod.hostname.as_str()), ("other", "other"));
    assert_eq!(manifest.object["metadata"]["name"], "other");
    let mut manifest = ok(&in_spec("  hostname: fixed\n"));
    manifest.rename("other");
    assert_eq!(manifest.pod.hostname, "fixed");
}

#[test]
fn kinds_follow_from_list_and_restart_policy() {
    let text = manifest(
        "  initContainers:\n  - {name: a, image: x}\n  - {name: b, image: x, restartPolicy: Always}\n  - {name: c, image: x, restartPolicy: Never}\n",
        "    restartPolicy: Always\n  - {name: d, image: x, restartPolicy: OnFailure, restartPolicyRules: [{action: Restart, exitCodes: {operator: NotIn, values: [0, 42]}}]}\n",
    );
    let pod = ok(&text).pod;
    let found: Vec<_> = pod.containers.iter().map(|c| (c.name.as_str(), c.kind, c.restart_policy)).collect();
    assert_eq!(
        found,
        [
            ("a", Kind::Init, None),
            ("b", Kind::Sidecar, None),
            ("c", Kind::Init, Some(RestartPolicy::Never)),
            ("web", Kind::App, Some(RestartPolicy::Always)),
            ("d", Kind::App, Some(RestartPolicy::OnFailure)),
        ]
    );
    let rule = &pod.containers[4].rules[0];
    assert_eq!((rule.within, rule.codes.as_slice()), (false, [0, 42].as_slice()));
}

#[test]
fn restart_rules_have_their_own_rules() {
    let rules =
        |rest: &str| in_container(&format!("    restartPolicy: Never\n    restartPolicyRules: {rest}\n"));
    refused(
        &in_container(
            "    restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [1]}}]\n",
        ),
        "needs the container's own restartPolicy",
    );
    refused(&rules("[{action: Restart}]"), "exitCodes is required");
    refused(&rules("[{action: Restart, exitCodes: {operator: In, values: []}}]"), "1 to 255 exit codes");
    refused(&rules("[{action: Restart, exitCodes: {operator: in, values: [1]}}]"), "did you mean \"In\"?");
    refused(
        &rules("[{action: Restart, exitCodes: {operator: In, values: [256]}}]"),
        "not in the range 0 to 255",
    );
    let all = rules("[{action: RestartAllContainers, exitCodes: {operator: In, values: [1]}}]");
    assert_eq!(ok(&all).pod.containers[0].rules[0].action, RuleAction::RestartAllContainers);
}

#[test]
fn plain_inits_have_no_hooks_and_no_probes() {
    for (field, value) in [
        ("lifecycle", "{preStop: {exec: {command: [a]}}}"),
        ("livenessProbe", "{exec: {command: [a]}}"),
        ("readinessProbe", "{exec: {command: [a]}}"),
        ("startupProbe", "{exec: {command: [a]}}"),
    ] {
        let init = |policy: &str| {
            in_spec(&format!("  initContainers:\n  - name: a\n    image: x\n{policy}    {field}: {value}\n"))
        };
        refused(
            &init(""),
            &format!("9:5: spec.initContainers[0].{field} may not be set for init containers"),
        );
        refused(&init("    restartPolicy: OnFailure\n"), "may not be set for init containers");
        ok(&init("    restartPolicy: Always\n"));
    }
}

#[test]
fn hooks_and_probes_are_read_with_their_defaults() {
    let text = in_container(
        "    ports: [{name: http, containerPort: 8080}]\n    env: [{name: FILE, value: /x}]\n    lifecycle:\n      postStart: {httpGet: {port: http, path: warm?a=b, host: localhost, httpHeaders: [{name: X-A, value: b}]}}\n      preStop: {sleep: {seconds: 3}}\n    startupProbe: {exec: {command: [test, -f, $(FILE), $(NO)]}, failureThreshold: 30, periodSeconds: 1, terminationGracePeriodSeconds: 7}\n    livenessProbe: {tcpSocket: {port: 9}}\n    readinessProbe: {httpGet: {port: http}, successThreshold: 2, initialDelaySeconds: 4, timeoutSeconds: 5}\n",
    );
    let pod = ok(&text).pod;
    let web = &pod.containers[0];
    let headers = vec![("X-A".to_owned(), "b".to_owned())];
    let get = Handler::HttpGet {
        https: false,
        host: Some("localhost".to_owned()),
        port: 8080,
        path: "/warm?a=b".to_owned(),
        headers,
    };
    assert_eq!(web.post_start, Some(get));
    assert_eq!(web.liveness.as_ref().unwrap().0, Handler::Tcp { host: None, port: 9 });
    let command = ["test", "-f", "/x", "$(NO)"].map(str::to_owned).to_vec();
    assert_eq!(web.startup.as_ref().unwrap().0, Handler::Exec(command));
    let spec = pod.lifecycle(Backoff { first: std::time::Duration::ZERO, max: std::time::Duration::ZERO });
    let web = &spec.containers[0];
    assert_eq!(web.post_start, Some(Hook::Helper));
    assert_eq!(web.pre_stop, Some(Hook::Sleep(std::time::Duration::from_secs(3))));
    let secs = |probe: &Option<crate::lifecycle::model::Probe>| {
        let p = probe.clone().unwrap();
        let times = [p.initial_delay, p.period, p.timeout].map(|time| time.as_secs());
        (times, p.failure_threshold, p.success_threshold, p.grace.map(|g| g.as_secs()))
    };
    assert_eq!(secs(&web.startup), ([0, 1, 1], 30, 1, Some(7)));
    assert_eq!(secs(&web.liveness), ([0, 10, 1], 3, 1, None));
    assert_eq!(secs(&web.readiness), ([4, 10, 5], 3, 2, None));
}

#[test]
fn a_handler_is_one_and_complete() {
    let probe = |rest: &str| in_container(&format!("    livenessProbe: {rest}\n"));
    let hook = |rest: &str| in_container(&format!("    lifecycle: {{preStop: {rest}}}\n"));
    refused(&probe("{periodSeconds: 1}"), "spec.containers[0].livenessProbe: a handler is required");
    refused(&hook("{}"), "9:26: spec.containers[0].lifecycle.preStop: a handler is required");
    refused(
        &probe("{exec: {command: [a]}, tcpSocket: {port: 1}}"),
        "9:43: spec.containers[0].livenessProbe: one handler, not both",
    );
    refused(
        &hook("{exec: {command: [a]}, sleep: {seconds: 1}}"),
        "one handler, not both \"exec\" and \"sleep\"",
    );
    refused(&probe("{exec: {command: []}}"), "command: is empty");
    refused(&probe("{exec: {}}"), "command is required");
    refused(&probe("{sleep: {seconds: 1}}"), "unknown field \"sleep\"");
    refused(&probe("{grpc: {port: 1}}"), "grpc is not supported yet");
    refused(&hook("{tcpSocket: {port: 1}}"), "tcpSocket is not supported: Kubernetes has deprecated it");
    refused(
        &hook("{sleep: {seconds: 31}}"),
        "9:44: spec.containers[0].lifecycle.preStop.sleep.seconds: 31 is longer than terminationGracePeriodSeconds (30)",
    );
    ok(&hook("{sleep: {seconds: 30}}"));
    ok(&hook("{sleep: {seconds: 0}}"));
    refused(&hook("{sleep: {seconds: -1}}"), "-1 is not in the range");
}

#[test]
fn ports_are_numbers_or_names_that_exist() {
    let probe = |port: &str| {
        in_container(&format!(
            "    ports: [{{name: http, containerPort: 80}}]\n    livenessProbe: {{tcpSocket: {{port: {port}}}}}\n"
        ))
    };
    ok(&probe("http"));
    ok(&probe("65535"));
    refused(
        &probe("htp"),
        "10:39: spec.containers[0].livenessProbe.tcpSocket.port: no port is named \"htp\"; this container has http",
    );
    refused(&probe("'80'"), "write a number without quotes");
    for bad in ["0", "65536", "-1", "99999999999999"] {
        refused(&probe(bad), "not in the range 1 to 65535");
    }
    refused(&in_container("    ports: [{containerPort: 0}]\n"), "not in the range 1 to 65535");
    refused(
        &in_container("    ports: [{containerPort: 80, hostPort: 80}]\n"),
        "hostPort is not supported yet",
    );
    refused(&in_container("    ports: [{containerPort: 80, name: HTTP}]\n"), "is not a port name");
}

#[test]
fn nothing_in_an_http_handler_can_begin_a_line_of_its_own() {
    let get = |rest: &str| in_container(&format!("    livenessProbe: {{httpGet: {{port: 80, {rest}}}}}\n"));
    refused(&get("path: \"/a\\r\\nX: y\""), "control characters");
    refused(&get("host: \"a\\r\\nb\""), "neither a host name nor an address");
    refused(&get("host: a/b"), "neither a host name nor an address");
    refused(&get("httpHeaders: [{name: 'A B', value: c}]"), "not an HTTP header name");
    refused(&get("httpHeaders: [{name: A, value: \"c\\r\\nd\"}]"), "control characters");
    ok(&get("host: '::1', path: /a?b=c%20d"));
}

#[test]
fn the_path_of_a_request_may_hold_what_a_url_cannot() {
    let pod = ok(&in_container("    livenessProbe: {httpGet: {port: 80, path: '/a b/é'}}\n")).pod;
    let (handler, _) = pod.containers[0].liveness.as_ref().unwrap();
    assert!(matches!(handler, Handler::HttpGet { path, .. } if path == "/a b/é"), "{handler:?}");
}

#[test]
fn probe_numbers_keep_to_the_rules() {
    let probe =
        |kind: &str, rest: &str| in_container(&format!("    {kind}: {{tcpSocket: {{port: 1}}, {rest}}}\n"));
    refused(&probe("livenessProbe", "successThreshold: 2"), "successThreshold must be 1");
    refused(&probe("startupProbe", "successThreshold: 2"), "successThreshold must be 1");
    refused(
        &probe("readinessProbe", "terminationGracePeriodSeconds: 5"),
        "may not be set for readiness probes",
    );
    refused(&probe("livenessProbe", "terminationGracePeriodSeconds: 0"), "not in the range");
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold"] {
        refused(&probe("readinessProbe", &format!("{field}: -1")), "-1 is not in the range");
        refused(&probe("readinessProbe", &format!("{field}: 2147483648")), "not in the range");
        ok(&probe("readinessProbe", &format!("{field}: 0")));
    }
}

#[test]
fn an_integer_may_be_written_as_a_float() {
    for (text, seconds) in [("5.0", 5), ("1e2", 100), ("0.5e1", 5)] {
        let manifest = ok(&in_spec(&format!("  terminationGracePeriodSeconds: {text}\n")));
        assert_eq!(manifest.pod.grace.as_secs(), seconds, "{text}");
        assert_eq!(manifest.object["spec"]["terminationGracePeriodSeconds"], seconds, "{text}");
    }
    for text in ["5.5", ".inf", "1e30", "9223372036854775808"] {
        refused(
            &in_spec(&format!("  terminationGracePeriodSeconds: {text}\n")),
            &format!("expected an integer, found the number {text}"),
        );
    }
    assert_eq!(ok(&in_container("    ports: [{containerPort: 80.0}]\n")).pod.containers[0].ports[0].port, 80);
}

#[test]
fn times_of_the_pod_keep_to_the_rules() {
    assert_eq!(ok(&in_spec("  terminationGracePeriodSeconds: 0\n")).pod.grace.as_secs(), 0);
    assert_eq!(ok(&in_spec("  activeDeadlineSeconds: 5\n")).pod.deadline.unwrap().as_secs(), 5);
    refused(&in_spec("  terminationGracePeriodSeconds: -1\n"), "not in the range");
    refused(&in_spec("  terminationGracePeriodSeconds: 9223372036854775807\n"), "not in the range");
    refused(&in_spec("  activeDeadlineSeconds: 0\n"), "not in the range");
    refused(&in_spec("  activeDeadlineSeconds: 0.0\n"), "0 is not in the range");
    refused(
        &in_spec("  restartPolicy: always\n"),
        "6:18: spec.restartPolicy: \"always\" is not one of Always, OnFailure, Never; did you mean \"Always\"?",
    );
}
