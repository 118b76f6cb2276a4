use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::json;

use super::schema::{Field, Shape, Support, Table};
use super::*;
use crate::lifecycle::model::{Backoff, Hook, Kind, RestartPolicy};

/// A Pod with `spec` lines (indented by two) and `container` lines (indented by four) added.
fn manifest(spec: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n{spec}  containers:\n  - name: web\n    image: httpd\n{container}"
    )
}

fn ok(text: &str) -> Manifest {
    load(text).unwrap_or_else(|problems| {
        let shown: Vec<_> = problems.iter().map(|problem| problem.render("pod.yaml", text)).collect();
        panic!("{}", shown.join("\n"))
    })
}

/// The errors, `LINE:COL: message`.
fn errors(text: &str) -> Vec<String> {
    let problems = load(text).expect_err(text);
    problems
        .iter()
        .filter(|p| !p.warning)
        .map(|p| format!("{}:{}: {}", p.line, p.column, p.message))
        .collect()
}

/// Asserts that one error is found, and what it says.
fn refused(text: &str, expected: &str) {
    let errors = errors(text);
    assert_eq!(errors.len(), 1, "{text}\n{errors:#?}");
    assert!(errors[0].contains(expected), "{text}\n{}\ndoes not say {expected:?}", errors[0]);
}

fn in_spec(lines: &str) -> String {
    manifest(lines, "")
}

fn in_container(lines: &str) -> String {
    manifest("", lines)
}

#[test]
fn the_smallest_pod_gets_the_defaults() {
    let pod = ok(&manifest("", "")).pod;
    assert_eq!((pod.name.as_str(), pod.namespace.as_str(), pod.hostname.as_str()), ("web", "default", "web"));
    assert_eq!(pod.restart_policy, RestartPolicy::Always);
    assert_eq!((pod.grace.as_secs(), pod.deadline), (30, None));
    let container = &pod.containers[0];
    assert_eq!(container.kind, Kind::App);
    assert_eq!(container.termination_message_path, "/dev/termination-log");
    assert_eq!(
        (container.image.value.as_str(), container.image.line, container.image.column),
        ("httpd", 8, 12)
    );
    assert_eq!(container.resources, Resources::default());
}

#[test]
fn the_object_has_the_defaults_of_the_api_server() {
    let text = manifest(
        "  volumes: [{name: a}, {name: b, hostPath: {path: /x}}]\n",
        "    ports: [{containerPort: 80}]\n    resources: {limits: {cpu: 0.5, memory: 1024Ki}, requests: {cpu: 100m}}\n    readinessProbe: {httpGet: {port: 80}, timeoutSeconds: 0}\n",
    );
    let object = ok(&text).object;
    assert_eq!(object["metadata"], json!({"name": "web", "namespace": "default"}));
    let spec = &object["spec"];
    assert_eq!(spec["restartPolicy"], "Always");
    assert_eq!(spec["terminationGracePeriodSeconds"], 30);
    assert_eq!(spec["dnsPolicy"], "ClusterFirst");
    assert_eq!(
        spec["volumes"],
        json!([{"name": "a", "emptyDir": {}}, {"name": "b", "hostPath": {"path": "/x", "type": ""}}])
    );
    let container = &spec["containers"][0];
    assert_eq!(container["ports"], json!([{"containerPort": 80, "protocol": "TCP"}]));
    let resources =
        json!({"limits": {"cpu": "500m", "memory": "1Mi"}, "requests": {"cpu": "100m", "memory": "1Mi"}});
    assert_eq!(container["resources"], resources);
    assert_eq!(container["imagePullPolicy"], "Always");
    let probe = json!({"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3});
    assert_eq!(container["readinessProbe"], probe);
}

#[test]
fn the_object_is_a_manifest_again() {
    let text = manifest(
        "  initContainers: [{name: a, image: x, restartPolicy: Always}]\n  volumes: [{name: v}]\n",
        "    volumeMounts: [{name: v, mountPath: /v}]\n    livenessProbe: {tcpSocket: {port: 1}}\n    resources: {limits: {memory: 1.5Gi}}\n",
    );
    let first = ok(&text).object;
    assert_eq!(ok(&first.to_string()).object, first);
    assert_eq!(ok(&serde_json::to_string_pretty(&first).unwrap().replace("  ", "\t")).object, first);
}

#[test]
fn a_pod_dumped_from_a_cluster_runs_and_says_what_has_no_effect() {
    let dumped = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop", "uid": "4f", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z",
            "generateName": "web-", "labels": {"app": "web"}, "managedFields": [{"manager": "kubectl", "f": {}}],
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "5", "controller": true}]},
        "spec": {"containers": [{"name": "web", "image": "httpd:1", "imagePullPolicy": "IfNotPresent", "resources": {},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "stdin": false}],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "nodeName": "n1", "preemptionPolicy": "PreemptLowerPriority",
            "priority": 0, "restartPolicy": "Always", "schedulerName": "default-scheduler", "securityContext": {},
            "serviceAccount": "default", "serviceAccountName": "default", "terminationGracePeriodSeconds": 30, "hostNetwork": false,
            "hostPID": false, "hostUsers": true, "readinessGates": [],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm":
                {"topologyKey": "h", "labelSelector": {"matchLabels": {"a": "b"}}}}]}},
            "tolerations": [{"effect": "NoExecute", "key": "k", "operator": "Exists", "tolerationSeconds": 300}]},
        "status": {"phase": "Running"}
    });
    let manifest = ok(&serde_json::to_string_pretty(&dumped).unwrap());
    let warned: Vec<_> = manifest
        .warnings
        .iter()
        .map(|w| w.message.split(' ').next().unwrap().trim_end_matches(':'))
        .collect();
    for field in [
        "metadata.uid",
        "metadata.ownerReferences",
        "spec.nodeName",
        "spec.affinity",
        "spec.tolerations",
        "spec.dnsPolicy",
        "spec.serviceAccountName",
        "spec.containers[0].imagePullPolicy",
        "status",
    ] {
        assert_eq!(warned.iter().filter(|name| **name == field).count(), 1, "{field}: {warned:?}");
    }
    for field in [
        "spec.hostNetwork",
        "spec.hostPID",
        "spec.readinessGates",
        "spec.restartPolicy",
        "spec.containers[0].stdin",
    ] {
        assert!(!warned.contains(&field), "{field}");
    }
    assert_eq!(manifest.object["metadata"].get("uid"), None);
    assert_eq!(manifest.object.get("status"), None);
    assert_eq!(manifest.pod.namespace, "shop");
}

#[test]
fn what_kubectl_dry_run_prints_is_without_warnings() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  creationTimestamp: null\n  labels:\n    run: web\n  name: web\nspec:\n  containers:\n  - image: httpd\n    name: web\n    resources: {}\n  restartPolicy: Always\nstatus: {}\n";
    assert_eq!(ok(text).warnings, []);
}

#[test]
fn every_problem_is_reported_in_the_order_of_the_text() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: Web\n  lables: {}\nspec:\n  restartPolicy: always\n  containers:\n  - name: web\n    image: x\n    comand: [x]\n  - name: web\n    command: x\n  nodeName: n1\n";
    let problems = load(text).unwrap_err();
    let places: Vec<_> = problems.iter().map(|p| (p.line, p.column, p.warning)).collect();
    assert_eq!(
        places,
        [
            (4, 9, false),
            (5, 3, false),
            (7, 18, false),
            (11, 5, false),
            (12, 5, false),
            (12, 11, false),
            (13, 14, false),
            (14, 3, true)
        ]
    );
}

#[test]
fn misspelt_fields_are_refused_with_the_nearest_name() {
    for (text, expected) in [
        (
            in_spec("  retsartPolicy: Never\n"),
            "6:3: unknown field \"retsartPolicy\" in spec; did you mean \"restartPolicy\"?",
        ),
        (in_spec("  InitContainers: []\n"), "did you mean \"initContainers\"?"),
        (in_spec("  volume: []\n"), "did you mean \"volumes\"?"),
        (in_spec("  terminationGracePeriod: 5\n"), "unknown field \"terminationGracePeriod\" in spec"),
        (
            in_container("    volumemounts: []\n"),
            "9:5: unknown field \"volumemounts\" in spec.containers[0]; did you mean \"volumeMounts\"?",
        ),
        (in_container("    cmd: [a]\n"), "unknown field \"cmd\" in spec.containers[0]"),
        (in_container("    lifecycle: {prestop: {sleep: {seconds: 1}}}\n"), "did you mean \"preStop\"?"),
        (
            in_container("    readinessProbe: {exec: {command: [a]}, periodSecond: 1}\n"),
            "did you mean \"periodSeconds\"?",
        ),
        (in_container("    resources: {limit: {cpu: 1}}\n"), "did you mean \"limits\"?"),
        (in_container("    securityContext: {runasuser: 1}\n"), "did you mean \"runAsUser\"?"),
        (in_spec("  tolerations: [{ky: a}]\n"), "did you mean \"key\"?"),
        (in_spec("  replicas: 3\n"), "6:3: unknown field \"replicas\" in spec"),
        (format!("{}foo: 1\n", manifest("", "")), "9:1: unknown field \"foo\""),
    ] {
        refused(&text, expected);
    }
}

#[test]
fn wrong_types_name_the_type_that_is_expected() {
    for (text, expected) in [
        (
            in_container("    command: sh -c true\n"),
            "9:14: spec.containers[0].command: expected a list of strings, found the string \"sh -c true\"",
        ),
        (
            in_container("    args: [1]\n"),
            "9:12: spec.containers[0].args[0]: expected a string, found the number 1; put it in quotes",
        ),
        (
            in_container("    env: [{name: A, value: 1}]\n"),
            "expected a string, found the number 1; put it in quotes",
        ),
        (
            in_container("    env: [{name: A, value: yes}]\n"),
            "expected a string, found the boolean yes; put it in quotes",
        ),
        (in_container("    env: {A: b}\n"), "expected a list of objects, found an object"),
        (
            in_container("    env: [A]\n"),
            "spec.containers[0].env[0]: expected an object, found the string \"A\"",
        ),
        (in_container("    workingDir: [a]\n"), "expected a string, found a list"),
        (
            in_container("    ports: [{containerPort: \"80\"}]\n"),
            "expected an integer, found the string \"80\"",
        ),
        (in_container("    ports: [{containerPort: 80.5}]\n"), "expected an integer, found the number 80.5"),
        (in_spec("  shareProcessNamespace: \"true\"\n"), "expected true or false, found the string \"true\""),
        (in_spec("  restartPolicy: 1\n"), "expected a string"),
        (in_spec("  terminationGracePeriodSeconds: 5s\n"), "expected an integer, found the string \"5s\""),
        (in_spec("  volumes: {}\n"), "expected a list of objects, found an object"),
        (in_spec("  nodeSelector: {a: 1}\n"), "expected a string"),
        (in_container("    resources: {limits: {memory: [1]}}\n"), "expected a quantity, found a list"),
        (
            in_container("    resources: {limits: {memory: true}}\n"),
            "expected a quantity, found the boolean true",
        ),
        (in_container("    command: [a, null]\n"), "expected a string, found nothing"),
        ("[]".to_owned(), "1:1: the document: expected an object, found a list"),
        ("hello".to_owned(), "the document: expected an object, found the string \"hello\""),
    ] {
        assert!(
            errors(&text).iter().any(|error| error.contains(expected)),
            "{text}\n{:#?}\n{expected}",
            errors(&text)
        );
    }
}

#[test]
fn what_is_missing_is_named_at_its_parent() {
    for (text, expected) in [
        (
            "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b}]}\n",
            "1:1: apiVersion is required",
        ),
        (
            "apiVersion: v1\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b}]}\n",
            "1:1: kind is required",
        ),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "1:1: spec is required"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n", "4:7: spec.containers is required"),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n",
            "4:20: spec.containers: at least one container is required",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {labels: {a: b}}\nspec: {containers: [{name: a, image: b}]}\n",
            "3:11: metadata.name is required",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: a\n",
            "6:5: spec.containers[0].image is required",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: a\n    image:\n",
            "7:5: spec.containers[0].image is required",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - image: a\n",
            "6:5: spec.containers[0].name is required",
        ),
    ] {
        refused(text, expected);
    }
}

#[test]
fn documents_that_are_no_pod_are_refused_by_kind() {
    refused("", "1:1: the manifest is empty");
    refused("# only words\n---\n", "1:1: the manifest is empty");
    let pod = manifest("", "");
    refused(&format!("{pod}---\n{pod}"), "10:1: a second Pod");
    refused(
        &format!("{pod}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\n"),
        "11:7: kind: ConfigMap is not supported yet",
    );
    refused(&format!("kind: Secret\n---\n{pod}"), "1:7: kind: Secret is not supported yet");
    refused(
        "apiVersion: apps/v1\nkind: Deployment\n",
        "2:7: kind: Deployment is not supported: it makes pods on a cluster",
    );
    refused("apiVersion: v1\nkind: pod\n", "did you mean \"Pod\"?");
    refused("apiVersion: v1\nkind: Service\n", "kind: \"Service\" is not supported");
    refused("apiVersion: v1\nkind: List\nitems: []\n", "one manifest describes one pod");
    refused(&pod.replace("apiVersion: v1", "apiVersion: v2"), "1:13: apiVersion: \"v2\" is not v1");
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
    refused(
        &rules("[{action: RestartAllContainers, exitCodes: {operator: In, values: [1]}}]"),
        "RestartAllContainers is not supported yet",
    );
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
    refused(&hook("{httpGet: {port: 1, scheme: HTTPS}}"), "HTTPS is not supported yet");
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
    refused(&get("path: \"/a\\r\\nX: y\""), "percent-encoded");
    refused(&get("path: '/a b'"), "percent-encoded");
    refused(&get("host: \"a\\r\\nb\""), "neither a host name nor an address");
    refused(&get("host: a/b"), "neither a host name nor an address");
    refused(&get("httpHeaders: [{name: 'A B', value: c}]"), "not an HTTP header name");
    refused(&get("httpHeaders: [{name: A, value: \"c\\r\\nd\"}]"), "control characters");
    ok(&get("host: '::1', path: /a?b=c%20d"));
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
fn times_of_the_pod_keep_to_the_rules() {
    assert_eq!(ok(&in_spec("  terminationGracePeriodSeconds: 0\n")).pod.grace.as_secs(), 0);
    assert_eq!(ok(&in_spec("  activeDeadlineSeconds: 5\n")).pod.deadline.unwrap().as_secs(), 5);
    refused(&in_spec("  terminationGracePeriodSeconds: -1\n"), "not in the range");
    refused(&in_spec("  terminationGracePeriodSeconds: 9223372036854775807\n"), "not in the range");
    refused(&in_spec("  activeDeadlineSeconds: 0\n"), "not in the range");
    refused(
        &in_spec("  restartPolicy: always\n"),
        "6:18: spec.restartPolicy: \"always\" is not one of Always, OnFailure, Never; did you mean \"Always\"?",
    );
}

#[test]
fn volumes_and_mounts_keep_to_the_rules() {
    let mount = |rest: &str| {
        manifest(
            "  volumes: [{name: data}, {name: host, hostPath: {path: /srv}}]\n",
            &format!("    volumeMounts: [{rest}]\n"),
        )
    };
    let pod = ok(&mount("{name: data, mountPath: //a/./b/, readOnly: true, mountPropagation: HostToContainer}, {name: host, mountPath: /c}")).pod;
    let expected = VolumeMount {
        volume: "data".into(),
        path: "/a/b".into(),
        read_only: true,
        propagation: Propagation::HostToContainer,
    };
    assert_eq!(pod.containers[0].mounts[0], expected);
    ok(&mount("{name: data, mountPath: /a, mountPropagation: Bidirectional}"));
    refused(
        &mount("{name: dta, mountPath: /a}"),
        "10:27: spec.containers[0].volumeMounts[0].name: no volume is named \"dta\"; did you mean \"data\"?",
    );
    refused(
        &mount("{name: unknown, mountPath: /a}"),
        "no volume is named \"unknown\"; the pod has data, host",
    );
    refused(&in_container("    volumeMounts: [{name: a, mountPath: /a}]\n"), "the pod has no volumes");
    refused(&mount("{name: data, mountPath: a}"), "is not an absolute path");
    refused(&mount("{name: data, mountPath: ./a}"), "is not an absolute path");
    refused(&mount("{name: data, mountPath: /a/../b}"), "has .. in it");
    refused(&mount("{name: data, mountPath: '/a]:b'}"), "has : in it");
    refused(&mount("{name: data, mountPath: //.}"), "is the root filesystem");
    refused(&mount("{name: data, mountPath: \"/a\\nb\"}"), "control characters");
    refused(&mount("{name: data, mountPath: /a}, {name: host, mountPath: /a/}"), "\"/a\" is mounted twice");
    refused(&mount("{name: data, mountPath: /a, subPath: x}"), "subPath is not supported yet");
    refused(
        &mount("{name: host, mountPath: /a, mountPropagation: Bidirectional}"),
        "Bidirectional is not supported on a hostPath",
    );
    refused(&mount("{name: data}"), "mountPath is required");
}

#[test]
fn volume_sources_keep_to_the_rules() {
    let volume = |rest: &str| in_spec(&format!("  volumes: [{{name: a, {rest}}}]\n"));
    let source = |rest: &str| ok(&volume(rest)).pod.volumes[0].source.clone();
    assert_eq!(
        source("emptyDir: {medium: Memory, sizeLimit: 1.5Mi}"),
        VolumeSource::EmptyDir { size_limit: Some(3 << 19), memory: true }
    );
    assert_eq!(
        source("emptyDir: {sizeLimit: 0}"),
        VolumeSource::EmptyDir { size_limit: None, memory: false }
    );
    assert_eq!(source("emptyDir:"), VolumeSource::EmptyDir { size_limit: None, memory: false });
    assert_eq!(
        source("hostPath: {path: /x, type: FileOrCreate}"),
        VolumeSource::HostPath { path: "/x".into(), kind: HostPathType::FileOrCreate }
    );
    refused(
        &volume("emptyDir: {}, hostPath: {path: /x}"),
        "a volume has one type, not both \"emptyDir\" and \"hostPath\"",
    );
    refused(&volume("emptyDir: {sizeLimit: -1}"), "\"-1\" is negative");
    refused(&volume("emptyDir: {sizeLimit: lots}"), "is not a quantity");
    refused(&volume("emptyDir: {medium: Disk}"), "is not one of Memory");
    refused(&volume("hostPath: {path: x}"), "is not an absolute path");
    refused(&volume("hostPath: {path: /x/../y}"), "has .. in it");
    refused(&volume("hostPath: {path: /x, type: Dir}"), "is not one of");
    refused(&volume("configMap: {name: x}"), "configMap is not supported yet");
    refused(&volume("configMap: {}"), "configMap is not supported yet");
    refused(&volume("persistentVolumeClaim: {claimName: x}"), "there is no cluster to claim storage from");
    refused(&volume("nfs: {server: a, path: /}"), "mount it on the host and use hostPath");
}

#[test]
fn requests_and_limits_keep_to_the_rules() {
    let resources = |rest: &str| in_container(&format!("    resources: {rest}\n"));
    let read = ok(&resources("{limits: {cpu: 1500m, memory: 64Mi}, requests: {cpu: 0.1}}")).pod.containers[0]
        .resources;
    assert_eq!(read.limits, Amounts { cpu: Some(1500), memory: Some(64 << 20) });
    assert_eq!(read.requests, Amounts { cpu: Some(100), memory: Some(64 << 20) });
    refused(
        &resources("{limits: {cpu: 1}, requests: {cpu: 1001m}}"),
        "9:51: spec.containers[0].resources.requests[\"cpu\"]: the request is larger than the limit",
    );
    refused(&resources("{limits: {cpu: -1}}"), "\"-1\" is negative");
    refused(&resources("{limits: {memory: 1KB}}"), "a suffix with B");
    refused(&resources("{limits: {ephemeral-storage: 1Gi}}"), "ephemeral-storage is not supported yet");
    refused(&resources("{limits: {hugepages-2Mi: 1Gi}}"), "is not supported yet");
    refused(&resources("{limits: {nvidia.com/gpu: 1}}"), "\"nvidia.com/gpu\" is not supported");
    refused(&resources("{claims: [{name: gpu}]}"), "claims is not supported");
    let warned = ok(&resources("{limits: {memory: 100m}}"));
    assert!(warned.warnings[0].message.contains("part of a byte"), "{:?}", warned.warnings);
    let pod = ok(&manifest(
        "  resources: {limits: {cpu: 2, memory: 1Gi}}\n",
        "    resources: {requests: {cpu: 1}}\n",
    ))
    .pod;
    assert_eq!(pod.resources.requests, Amounts { cpu: Some(1000), memory: Some(1 << 30) });
}

#[test]
fn security_contexts_keep_to_the_rules() {
    let container = |rest: &str| in_container(&format!("    securityContext: {rest}\n"));
    for bad in ["-1", "4294967296", "2147483648", "18446744073709551616"] {
        for field in ["runAsUser", "runAsGroup"] {
            let errors = errors(&container(&format!("{{{field}: {bad}}}")));
            assert_eq!(errors.len(), 1, "{field} {bad}");
            refused(&in_spec(&format!("  securityContext: {{{field}: {bad}}}\n")), field);
        }
    }
    for bad in ["'0x0'", "'0'", "'1000:0'", "1000:0:0", "root", "1.5"] {
        refused(&container(&format!("{{runAsUser: {bad}}}")), "expected an integer");
    }
    refused(
        &container("{runAsUser: 0, runAsNonRoot: true}"),
        "9:34: runAsUser: 0 is root, but runAsNonRoot is true",
    );
    refused(&container("{runAsUser: 0x0, runAsNonRoot: true}"), "0 is root");
    refused(
        &manifest("  securityContext: {runAsNonRoot: true}\n", "    securityContext: {runAsUser: 0}\n"),
        "0 is root",
    );
    refused(
        &manifest("  securityContext: {runAsUser: 0}\n", "    securityContext: {runAsNonRoot: true}\n"),
        "6:32: runAsUser: 0 is root",
    );
    ok(&manifest(
        "  securityContext: {runAsUser: 0, runAsNonRoot: true}\n",
        "    securityContext: {runAsUser: 5}\n",
    ));
    refused(&container("{privileged: true}"), "privileged is not supported yet");
    ok(&container("{privileged: false, procMount: Default, seccompProfile: {type: Unconfined}}"));
    refused(&container("{seccompProfile: {type: RuntimeDefault}}"), "RuntimeDefault is not supported yet");
    refused(&container("{procMount: Unmasked}"), "Unmasked is not supported yet");
    refused(&container("{capabilities: {add: [CAP_NET_ADMIN]}}"), "did you mean \"NET_ADMIN\"?");
    refused(&container("{capabilities: {drop: [all]}}"), "did you mean \"ALL\"?");
    refused(&container("{capabilities: {drop: [NONSENSE]}}"), "is not a capability");
    refused(&in_spec("  securityContext: {fsGroup: 1}\n"), "fsGroup is not supported yet");
    refused(
        &in_spec("  securityContext: {sysctls: [{name: a, value: b}]}\n"),
        "sysctls is not supported yet",
    );
    refused(&in_spec("  securityContext: {supplementalGroups: [1, -1]}\n"), "not in the range");
    let pod = ok(&in_spec(
        "  securityContext: {runAsUser: 7, supplementalGroups: [1, 2], supplementalGroupsPolicy: Strict}\n",
    ))
    .pod;
    let expected = PodSecurity {
        run_as_user: Some(7),
        supplemental_groups: vec![1, 2],
        strict_groups: true,
        ..PodSecurity::default()
    };
    assert_eq!(pod.security, expected);
}

#[test]
fn host_namespaces_are_refused_each_with_its_reason() {
    refused(
        &in_spec("  hostPID: true\n"),
        "6:3: spec.hostPID is not supported: a pod lives in a PID namespace",
    );
    refused(&in_spec("  hostNetwork: true\n"), "spec.hostNetwork is not supported yet");
    refused(&in_spec("  hostIPC: true\n"), "spec.hostIPC is not supported yet");
    refused(&in_spec("  hostUsers: false\n"), "spec.hostUsers is not supported yet");
    refused(&in_container("    envFrom: [{configMapRef: {name: a}}]\n"), "envFrom is not supported yet");
    refused(
        &in_container("    env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\n"),
        "valueFrom is not supported yet",
    );
    refused(&in_container("    tty: true\n"), "tty is not supported yet");
    refused(&in_spec("  readinessGates: [{conditionType: a}]\n"), "the pod would never be Ready");
}

#[test]
fn the_stop_signal_needs_the_name_of_the_system() {
    let text = "    lifecycle: {stopSignal: SIGUSR1}\n";
    assert_eq!(ok(&manifest("  os: {name: linux}\n", text)).pod.containers[0].stop_signal, Some(10));
    refused(&in_container(text), "needs spec.os.name: linux");
    refused(
        &manifest("  os: {name: linux}\n", "    lifecycle: {stopSignal: USR1}\n"),
        "is not a signal such as SIGTERM",
    );
    refused(&in_spec("  os: {name: windows}\n"), "windows is not supported: this is Linux");
}

#[test]
fn paths_of_a_container_are_absolute() {
    for field in ["workingDir", "terminationMessagePath"] {
        refused(&in_container(&format!("    {field}: a/b\n")), "is not an absolute path");
        refused(&in_container(&format!("    {field}: /a/../../b\n")), "has .. in it");
        ok(&in_container(&format!("    {field}: /a/b\n")));
    }
}

#[test]
fn images_are_not_empty_and_without_blanks() {
    refused(&manifest("", "").replace("httpd", "''"), "8:12: spec.containers[0].image: \"\" is empty");
    refused(&manifest("", "").replace("httpd", "' httpd'"), "has blanks around it");
}

#[test]
fn a_nul_in_an_escape_is_refused() {
    refused(&in_container("    args: [\"a\\0b\"]\n"), "9:12: a NUL character");
}

#[test]
fn an_empty_command_is_the_bundles() {
    let container = &ok(&in_container("    command: []\n    args: []\n")).pod.containers[0];
    assert_eq!((&container.command, &container.args), (&None, &None));
}

#[test]
fn a_broken_file_is_one_problem_with_its_place() {
    let text = manifest("  volumes: [\n", "");
    assert_eq!(load(&text).unwrap_err().len(), 1);
    let text = manifest("", "\timage: x\n");
    assert_eq!(load(&text).unwrap_err().len(), 1);
}

#[test]
fn so_many_problems_are_cut_to_what_anybody_reads() {
    let many: String = (0..5000).map(|n| format!("  x{n}: 1\n")).collect();
    assert_eq!(load(&in_spec(&many)).unwrap_err().len(), check::MOST);
}

/// Every field of every table, with a path.
fn walk(
    table: &'static Table,
    path: &str,
    seen: &mut HashSet<*const Table>,
    visit: &mut impl FnMut(&str, &Field),
) {
    if !seen.insert(std::ptr::from_ref(table)) {
        return;
    }
    for field in table.fields {
        let path = format!("{path}.{}", field.name);
        visit(&path, field);
        if let Shape::Object(below) | Shape::List(below) = field.shape {
            walk(below, &path, seen, visit);
        }
    }
}

#[test]
fn the_tables_have_no_field_twice_and_reasons_are_sentences_without_a_stop() {
    let mut seen = HashSet::new();
    let mut tables = Vec::new();
    walk(&schema::POD, "", &mut seen, &mut |path, field| {
        tables.push(path.to_owned());
        let why = match field.support {
            Support::Honoured => return,
            Support::ClusterOnly(why) | Support::Never(why) => {
                assert!(!why.is_empty(), "{path} has no reason");
                why
            }
            Support::NotYet(why) => why,
        };
        assert!(!why.ends_with('.'), "{path}: {why}");
    });
    assert!(tables.len() > 250, "{}", tables.len());
    let unique: HashSet<_> = tables.iter().collect();
    assert_eq!(unique.len(), tables.len());
}

#[test]
fn every_refused_field_is_refused_and_every_cluster_field_warned_of_once() {
    // Each table with a Pod around an object of its type that has one more field.
    type Around = fn(&str, Json) -> Json;
    let around: [(&Table, Around); 7] = [
        (below(&schema::POD, "metadata"), |name, value| json!({"metadata": {"name": "a", name: value}})),
        (spec_table(), |name, value| json!({"spec": {name: value}})),
        (container_table(), |name, value| json!({"container": {name: value}})),
        (
            below(spec_table(), "securityContext"),
            |name, value| json!({"spec": {"securityContext": {name: value}}}),
        ),
        (
            below(container_table(), "securityContext"),
            |name, value| json!({"container": {"securityContext": {name: value}}}),
        ),
        (
            below(spec_table(), "volumes"),
            |name, value| json!({"spec": {"volumes": [{"name": "v", name: value}]}}),
        ),
        (
            below(container_table(), "ports"),
            |name, value| json!({"container": {"ports": [{"containerPort": 1, name: value}]}}),
        ),
    ];
    let mut tried = 0;
    for (table, around) in around {
        for field in table.fields.iter().filter(|field| field.support != Support::Honoured) {
            let parts = around(field.name, sample(field));
            let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}});
            let mut container = json!({"name": "web", "image": "x"});
            merge(&mut container, &parts["container"]);
            merge(&mut pod["metadata"], &parts["metadata"]);
            merge(&mut pod["spec"], &parts["spec"]);
            pod["spec"]["containers"] = json!([container]);
            one_verdict(&pod.to_string(), field);
            tried += 1;
        }
    }
    assert!(tried > 80, "{tried}");
}

fn one_verdict(text: &str, field: &Field) {
    let (problems, refused) = match load(text) {
        Ok(manifest) => (manifest.warnings, false),
        Err(problems) => (problems, true),
    };
    let named: Vec<_> =
        problems.iter().filter(|problem| problem.message.contains(&format!(".{} ", field.name))).collect();
    assert_eq!(named.len(), 1, "{}: {problems:?}", field.name);
    let expected = !matches!(field.support, Support::ClusterOnly(_));
    assert_eq!((refused, named[0].warning), (expected, !expected), "{}", field.name);
}

fn below(table: &'static Table, name: &str) -> &'static Table {
    match table.fields.iter().find(|field| field.name == name).unwrap().shape {
        Shape::Object(table) | Shape::List(table) => table,
        _ => panic!("{name} is no object"),
    }
}

fn spec_table() -> &'static Table {
    below(&schema::POD, "spec")
}

fn container_table() -> &'static Table {
    below(spec_table(), "containers")
}

fn merge(into: &mut Json, from: &Json) {
    for (key, value) in from.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}

/// A value that fits the field and is not one of the harmless ones.
fn sample(field: &Field) -> Json {
    if field.idle == ["true"] { json!(false) } else { fitting(field.shape) }
}

fn fitting(shape: Shape) -> Json {
    match shape {
        Shape::Text | Shape::Anything | Shape::Port => json!("x"),
        Shape::OneOf(values) => json!(values[0].0),
        Shape::Flag => json!(true),
        Shape::Int(from, to) => json!(to.min(from.max(1))),
        Shape::Amount => json!("1"),
        Shape::Amounts => json!({"cpu": "1"}),
        Shape::Texts => json!(["x"]),
        Shape::Ints(from, _) => json!([from]),
        Shape::TextMap => json!({"a": "b"}),
        Shape::Object(table) => object(table),
        Shape::List(table) => json!([object(table)]),
    }
}

fn object(table: &Table) -> Json {
    let required = table
        .fields
        .iter()
        .filter(|field| field.required)
        .map(|field| (field.name.to_owned(), fitting(field.shape)));
    let mut object: serde_json::Map<String, Json> = required.collect();
    if object.is_empty() && !table.fields.is_empty() {
        object.insert(table.fields[0].name.to_owned(), fitting(table.fields[0].shape));
    }
    Json::Object(object)
}

/// Values that may stand anywhere.
fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        "[ -~]{0,8}".prop_map(Json::from),
        "(1|-1|0|80|1Ki|a|\\.\\.|/a|Always|v1|Pod|web|data|ALL|SIGTERM)".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let name = prop_oneof![
            "(metadata|spec|name|containers|initContainers|image|volumes|volumeMounts|mountPath|hostPath|path|emptyDir|sizeLimit)",
            "(env|value|resources|limits|requests|cpu|memory|lifecycle|preStop|postStart|exec|command|httpGet|port|sleep|seconds)",
            "(livenessProbe|readinessProbe|startupProbe|securityContext|runAsUser|capabilities|add|ports|containerPort|kind|apiVersion)",
            "[a-zA-Z<]{1,3}",
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            proptest::collection::vec((name, inner), 0..6).prop_map(|pairs| Json::Object(pairs.into_iter().collect())),
        ]
    })
}

fn load_and_show(text: &str) {
    match load(text) {
        Ok(manifest) => {
            manifest
                .pod
                .lifecycle(Backoff { first: std::time::Duration::ZERO, max: std::time::Duration::ZERO });
            manifest.pod.cgroup_resources().unwrap();
            assert!(names::subdomain(&manifest.pod.name).is_ok() && !manifest.pod.containers.is_empty());
        }
        Err(problems) => {
            assert!(problems.iter().any(|problem| !problem.warning));
            for problem in problems {
                let shown = problem.render("pod.yaml", text);
                assert_eq!(shown.split('\n').count(), 3, "{shown}");
                assert!(!shown.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_loader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        load_and_show(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_yaml_like_text_makes_the_loader_panic(text in "([a-z:\\-\\[\\]{},&*!|>#%'\"?@ \\n\\t0-9.~<]|: |- |\\n  ){0,120}") {
        load_and_show(&text);
    }

    #[test]
    fn no_object_makes_the_loader_panic(value in any_json()) {
        load_and_show(&value.to_string());
        load_and_show(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": value}).to_string());
        let spec = json!({"containers": [{"name": "web", "image": "x"}, value], "volumes": [{"name": "data"}, value], "initContainers": value});
        load_and_show(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}).to_string());
    }

    #[test]
    fn no_slip_in_a_good_manifest_makes_the_loader_panic(at in 0usize..400, length in 0usize..12, with in "[ -~\\n\\t]{0,4}") {
        let text = manifest("  volumes: [{name: data}]\n", "    volumeMounts:\n    - {name: data, mountPath: /a}\n    livenessProbe: {httpGet: {port: 80}}\n    resources: {limits: {cpu: 1}}\n");
        let start = at.min(text.len());
        let end = (start + length).min(text.len());
        load_and_show(&format!("{}{with}{}", &text[..start], &text[end..]));
    }

    #[test]
    fn no_text_makes_the_quantity_panic(text in "[+-]?[0-9.]{0,40}[eEinumkKMGTP0-9+-]{0,5}") {
        if let Ok(quantity) = quantity::Quantity::parse(&text) {
            prop_assert!(quantity.units() <= i64::MAX as u64);
            let again = quantity::Quantity::parse(&quantity.to_string()).unwrap();
            prop_assert_eq!(again.millis(), quantity.millis());
        }
    }
}
