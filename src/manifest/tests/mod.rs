//! The loader from outside: text in, a pod or problems out.

use serde_json::json;

use super::*;
use crate::lifecycle::model::{Kind, RestartPolicy};

mod config;
mod fields;
mod hosts;
mod rules;
mod volumes;

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
fn a_list_stands_for_its_items() {
    let item = |text: &str| format!("- {}\n", text.trim_end().replace('\n', "\n  "));
    let list = |items: &[&str]| {
        let items: String = items.iter().map(|text| item(text)).collect();
        format!("apiVersion: v1\nitems:\n{items}kind: List\nmetadata:\n  resourceVersion: \"\"\n")
    };
    let config = "apiVersion: v1\ndata: {a: b}\nkind: ConfigMap\nmetadata:\n  name: c\n  uid: \"4f\"\n";
    let pod = in_container("    envFrom: [{configMapRef: {name: c}}]\n");
    let manifest = ok(&list(&[config, &pod]));
    assert_eq!(manifest.object["kind"], "Pod");
    let warned: Vec<_> = manifest.warnings.iter().map(|w| (w.line, w.column, w.message.as_str())).collect();
    assert_eq!(warned, [(8, 5, "metadata.uid means nothing on one machine: there is no API server here")]);
    ok(&format!("{}---\n{pod}", list(&[config])));
    let misspelt = pod.replace("envFrom", "envFron");
    refused(&list(&[config, &misspelt]), "17:7: unknown field \"envFron\" in spec.containers[0]");
    refused(&list(&[&pod.replace("name: c}", "name: d}")]), "no ConfigMap");
    refused(&list(&[&in_spec(""), &in_spec("")]), "11:3: a second Pod");
    refused(&list(&[]).replace("items:", "items: []"), "the manifest is empty");
    refused(&list(&[&in_spec("")]).replace("kind: List", "kind: List\nitem: []"), "unknown field \"item\"");
    refused(&list(&[&in_spec("")]).replace("v1\nitems", "v2\nitems"), "1:13: apiVersion: \"v2\" is not v1");
    refused("apiVersion: v1\nkind: List\nitems: {}\n", "2:7: kind: List: its items are no list");
    refused(&list(&[&list(&[&in_spec("")])]), "kind: List: its items are no list, or it is itself in one");
}

#[test]
fn documents_of_json_may_follow_each_other_as_jq_prints_them() {
    let config =
        "{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"ConfigMap\",\n  \"metadata\": {\"name\": \"c\"}\n}\n";
    let pod = |field: &str| {
        format!(
            "{{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Pod\",\n  \"metadata\": {{\"name\": \"web\"}},\n  \"spec\": {{\"containers\": [{{\"name\": \"a\", \"image\": \"x\", {field}}}]}}\n}}\n"
        )
    };
    let from = pod("\"envFrom\": [{\"configMapRef\": {\"name\": \"c\"}}]");
    assert_eq!(ok(&format!("{config}{from}")).pod.name, "web");
    assert_eq!(ok(&format!("{from}{config}").replace('\n', "")).pod.name, "web");
    refused(&format!("{config}{}", pod("\"comand\": []")), "10:55: unknown field \"comand\"");
}

#[test]
fn empty_text_is_as_good_as_none() {
    let text = manifest(
        "  restartPolicy: ''\n  dnsPolicy: ''\n  nodeName: ''\n  schedulerName: ''\n  serviceAccountName: ''\n  priorityClassName: ''\n  securityContext: {fsGroupChangePolicy: ''}\n  volumes: [{name: v, emptyDir: {medium: ''}}, {name: h, hostPath: {path: /x, type: ''}}]\n",
        "    imagePullPolicy: ''\n    terminationMessagePolicy: ''\n    terminationMessagePath: ''\n    restartPolicy: ''\n    ports: [{containerPort: 80, protocol: '', hostIP: ''}]\n    volumeMounts: [{name: v, mountPath: /v, mountPropagation: '', recursiveReadOnly: ''}]\n    env: [{name: A, value: ''}]\n    readinessProbe: {httpGet: {port: 80, path: '', scheme: ''}}\n",
    );
    let plain = manifest(
        "  securityContext: {}\n  volumes: [{name: v, emptyDir: {}}, {name: h, hostPath: {path: /x}}]\n",
        "    ports: [{containerPort: 80}]\n    volumeMounts: [{name: v, mountPath: /v}]\n    env: [{name: A}]\n    readinessProbe: {httpGet: {port: 80}}\n",
    );
    let (given, expected) = (ok(&text), ok(&plain));
    assert_eq!(given.warnings, []);
    assert_eq!(given.object, expected.object);
    assert_eq!(given.pod.restart_policy, RestartPolicy::Always);
    refused(&in_spec("  os: {name: ''}\n"), "\"\" is not one of linux");
    refused(
        &in_container(
            "    restartPolicy: ''\n    restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [1]}}]\n",
        ),
        "needs the container's own restartPolicy",
    );
    let labels = ok(&manifest("", "").replace("name: web\nspec", "name: web\n  labels: {a: ''}\nspec"));
    assert_eq!(labels.object["metadata"]["labels"], json!({"a": ""}));
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
    ok(&format!("{pod}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\n"));
    refused(&format!("kind: Secret\nmetadata: {{name: a}}\n---\n{pod}"), "1:1: apiVersion is required");
    refused(
        "apiVersion: apps/v1\nkind: Deployment\n",
        "2:7: kind: Deployment is not supported: it makes pods on a cluster",
    );
    refused("apiVersion: v1\nkind: pod\n", "did you mean \"Pod\"?");
    refused("apiVersion: v1\nkind: Service\n", "kind: \"Service\" is not supported");
    refused("apiVersion: v1\nkind: PodList\nitems: []\n", "one manifest describes one pod");
    refused(&pod.replace("apiVersion: v1", "apiVersion: v2"), "1:13: apiVersion: \"v2\" is not v1");
}
