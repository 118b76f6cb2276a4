//! ConfigMaps and Secrets in the stream, and what refers to them and to the downward API.

use super::*;
use crate::manifest::env::variables;

const CONFIG: &str = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata:\n  color: red\n  1.size_x-y: \"$(color)\"\nbinaryData: {blob: /wD+}\n";
const SECRET: &str = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: keys}\ntype: Opaque\ndata: {user: YWRtaW4=, raw: /wD+, both: eA==}\nstringData: {both: why}\n";

/// A Pod between a Secret and a ConfigMap.
fn stream(spec: &str, container: &str) -> String {
    format!("{SECRET}---\n{}{CONFIG}", manifest(spec, container))
}

fn env_of(container: &str) -> Vec<(String, String)> {
    let manifest = ok(&stream("  nodeName: n1\n", container));
    let pod = &manifest.pod;
    let of = Downward::of(pod, "u-1", "host", 4000, 1 << 30);
    variables(&pod.containers[0], &of)
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn documents_may_come_in_any_order_and_their_values_are_never_expanded() {
    let found = env_of(
        "    env:
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
    - {name: SIZE, valueFrom: {configMapKeyRef: {name: settings, key: 1.size_x-y}}}
    - {name: USER, valueFrom: {secretKeyRef: {name: keys, key: user}}}
    - {name: BOTH, valueFrom: {secretKeyRef: {name: keys, key: both}}}
    - {name: ALL, value: \"$(COLOR) $(SIZE) $(USER) $(NOPE) $$(COLOR)\"}\n",
    );
    let expected = pairs(&[
        ("COLOR", "red"),
        ("SIZE", "$(color)"),
        ("USER", "admin"),
        ("BOTH", "why"),
        ("ALL", "red $(color) admin $(NOPE) $(COLOR)"),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn env_beats_env_from_and_a_later_source_an_earlier_one() {
    let found = env_of(
        "    envFrom:
    - configMapRef: {name: settings}
    - {prefix: P_, configMapRef: {name: settings}}
    - secretRef: {name: absent, optional: true}
    env: [{name: color, value: blue}, {name: X, value: \"$(P_color)-$(color)\"}]\n",
    );
    let expected = pairs(&[
        ("1.size_x-y", "$(color)"),
        ("color", "blue"),
        ("P_1.size_x-y", "$(color)"),
        ("P_color", "red"),
        ("X", "red-blue"),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn a_value_that_is_not_text_is_no_variable() {
    let warned = ok(&stream("", "    envFrom: [{secretRef: {name: keys}}]\n")).warnings;
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(
        warned[0].message.contains("the key \"raw\" is skipped: as a variable it is not text"),
        "{warned:?}"
    );
    refused(
        &stream("", "    env: [{name: A, valueFrom: {secretKeyRef: {name: keys, key: raw}}}]\n"),
        "secretKeyRef.key: \"raw\" is not text",
    );
    // binaryData is for volumes alone.
    refused(
        &stream("", "    env: [{name: A, valueFrom: {configMapKeyRef: {name: settings, key: blob}}}]\n"),
        "no key \"blob\"",
    );
}

#[test]
fn the_pod_itself_is_a_source_of_variables() {
    let found = env_of(
        "    resources: {limits: {cpu: 1500m}, requests: {memory: 10Mi}}
    env:
    - {name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: B, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.uid}}}
    - {name: C, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: D, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: E, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
    - {name: F, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['none']\"}}}
    - {name: G, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
    - {name: H, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
    - {name: I, valueFrom: {resourceFieldRef: {resource: requests.memory, divisor: 1Mi, containerName: web}}}
    - {name: J, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
    - {name: K, value: \"$(A)\"}\n",
    );
    let expected = pairs(&[
        ("A", "web"),
        ("B", "u-1"),
        ("C", "127.0.0.1"),
        ("D", "n1"),
        ("E", "default"),
        ("F", ""),
        ("G", "2"),
        ("H", "1500"),
        ("I", "10"),
        ("J", "1073741824"),
        ("K", "web"),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn a_reference_that_leads_nowhere_is_told_with_its_place() {
    let variable = |from: &str| stream("", &format!("    env: [{{name: A, valueFrom: {from}}}]\n"));
    let place = format!("{}:", SECRET.lines().count() + 1 + 9);
    let errors = errors(&variable("{configMapKeyRef: {name: seting, key: x}}"));
    assert!(errors[0].starts_with(&place), "{errors:?}");
    for (from, expected) in [
        (
            "{configMapKeyRef: {name: setings, key: x}}",
            "no ConfigMap is named \"setings\"; did you mean \"settings\"?",
        ),
        ("{configMapKeyRef: {name: other, key: x}}", "no ConfigMap is named \"other\"; there is settings"),
        ("{secretKeyRef: {name: settings, key: x}}", "no Secret is named \"settings\"; there is keys"),
        ("{configMapKeyRef: {name: settings, key: colour}}", "no key \"colour\"; did you mean \"color\"?"),
        ("{configMapKeyRef: {name: settings}}", "configMapKeyRef.key is required"),
        ("{configMapKeyRef: {key: x}}", "configMapKeyRef.name is required"),
        ("{}", "exactly one of configMapKeyRef"),
        (
            "{fieldRef: {fieldPath: metadata.name}, secretKeyRef: {name: keys, key: user}}",
            "exactly one of configMapKeyRef",
        ),
        ("{fieldRef: {fieldPath: metadata.labels}}", "can only be a file of a volume"),
        ("{fieldRef: {fieldPath: status.phase}}", "\"status.phase\" is no field of a pod"),
        ("{fieldRef: {apiVersion: v2, fieldPath: metadata.name}}", "is not v1"),
        ("{resourceFieldRef: {resource: limits.gpu}}", "it takes limits.cpu"),
        ("{resourceFieldRef: {resource: limits.cpu, divisor: 2}}", "\"2\" is not one of 1m, 1"),
        ("{resourceFieldRef: {resource: limits.cpu, containerName: x}}", "no container is named \"x\""),
        ("{fileKeyRef: {key: x, path: y, volumeName: z}}", "fileKeyRef is not supported yet"),
    ] {
        let errors: Vec<String> = super::errors(&variable(from));
        assert!(errors[0].contains(expected), "{from}\n{errors:#?}\ndoes not say {expected:?}");
    }
    refused(
        &stream("", "    env: [{name: A, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\n"),
        "may not be given together with value",
    );
    let optional =
        "    env: [{name: A, valueFrom: {configMapKeyRef: {name: settings, key: none, optional: true}}}]\n";
    assert_eq!(env_of(optional), []);
    refused(&stream("", "    envFrom: [{}]\n"), "exactly one of configMapRef, secretRef");
    refused(&stream("", "    envFrom: [{configMapRef: {name: nil}}]\n"), "no ConfigMap is named \"nil\"");
    refused(
        &in_container("    envFrom: [{configMapRef: {name: nil}}]\n"),
        "add it as a document of its own, kind: ConfigMap",
    );
}

#[test]
fn a_pod_sees_only_its_own_namespace() {
    let text = stream("", "    envFrom: [{configMapRef: {name: settings}}]\n");
    let elsewhere = text.replace("metadata:\n  name: web", "metadata:\n  name: web\n  namespace: shop");
    refused(&elsewhere, "the ConfigMap \"settings\" is in namespace default, the pod in shop");
    ok(&elsewhere.replace("{name: settings}\ndata", "{name: settings, namespace: shop}\ndata"));
}

#[test]
fn documents_of_configuration_keep_to_the_rules() {
    let with = |document: &str| format!("{}---\napiVersion: v1\n{document}", manifest("", ""));
    for (document, expected) in [
        (
            "kind: ConfigMap\nmetadata: {name: a}\ndata: {a: 1}\n",
            "expected a string, found the number 1; put it in quotes",
        ),
        ("kind: ConfigMap\nmetadata: {name: a}\ndata: {'a b': x}\n", "\"a b\" is not a key"),
        ("kind: ConfigMap\nmetadata: {name: a}\ndata: {..a: x}\n", "\"..a\" is not a key"),
        (
            "kind: ConfigMap\nmetadata: {name: a}\ndata: {a: x}\nbinaryData: {a: eA==}\n",
            "the key \"a\" is in data too",
        ),
        ("kind: ConfigMap\nmetadata: {name: a}\nbinaryData: {a: '!'}\n", "binaryData[\"a\"]: not base64"),
        ("kind: ConfigMap\nmetadata: {name: A}\n", "\"A\" is not a DNS name"),
        ("kind: ConfigMap\nmetadata: {}\n", "metadata.name is required"),
        ("kind: ConfigMap\nmetadata: {name: a}\nspec: {}\n", "unknown field \"spec\""),
        (
            "kind: Secret\nmetadata: {name: a}\ndata: {a: secret!}\n",
            "data[\"a\"]: not base64; plain text goes into stringData",
        ),
        (
            "kind: Secret\nmetadata: {name: a}\n---\nkind: Secret\napiVersion: v1\nmetadata: {name: a}\n",
            "a second Secret named \"a\"",
        ),
        ("kind: ConfigMap\nmetadata: {name: a, labels: {b: c d}}\n", "metadata.labels[\"b\"]: \"c d\""),
        ("kind: Secret\nmetadata: {name: a, annotations: {'b c': d}}\n", "metadata.annotations: \"b c\""),
        (
            "kind: Secret\nmetadata: {name: a}\ntype: kubernetes.io/tls\nstringData: {tls.crt: x}\n",
            "a Secret of type kubernetes.io/tls needs tls.crt and tls.key",
        ),
        (
            "kind: Secret\nmetadata: {name: a}\ntype: kubernetes.io/basic-auth\nstringData: {user: x}\n",
            "needs username or password",
        ),
    ] {
        refused(&with(document), expected);
    }
    refused(
        &with("kind: ConfigMap\nmetadata: {name: a}\n").replace("v1\nkind: ConfigMap", "v2\nkind: ConfigMap"),
        "is not v1, the version of ConfigMap",
    );
    refused(&CONFIG.replace("---\n", ""), "the manifest has no Pod");
    let warned = ok(&with("kind: Secret\nmetadata: {name: a, uid: x}\nimmutable: true\n")).warnings;
    assert_eq!(warned.len(), 2, "{warned:?}");
    for fine in ["kubernetes.io/basic-auth\nstringData: {password: x}", "example.com/own"] {
        ok(&with(&format!("kind: Secret\nmetadata: {{name: a}}\ntype: {fine}\n")));
    }
    assert!(ok(&with("kind: ConfigMap\nmetadata: {name: a}\nimmutable: false\n")).warnings.is_empty());
}

fn files(volume: &str) -> Vec<(String, u32, String)> {
    let pod = ok(&stream(&format!("  volumes: [{{name: v, {volume}}}]\n"), "")).pod;
    let VolumeSource::Files(files) = pod.volumes[0].source.clone() else { panic!("{:?}", pod.volumes) };
    let of = Downward::of(&pod, "u-1", "host", 4000, 1 << 30);
    let content = |content: &Content| match content {
        Content::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Content::Field(field) => field.value(&of),
        Content::Resource(field) => field.value(&of, ""),
    };
    files.iter().map(|file| (file.path.clone(), file.mode, content(&file.content))).collect()
}

fn file(path: &str, mode: u32, content: &str) -> (String, u32, String) {
    (path.into(), mode, content.into())
}

#[test]
fn every_key_is_a_file_or_those_that_items_names() {
    assert_eq!(
        files("configMap: {name: settings}"),
        [
            file("1.size_x-y", 0o644, "$(color)"),
            file("blob", 0o644, "\u{fffd}\0\u{fffd}"),
            file("color", 0o644, "red")
        ]
    );
    assert_eq!(
        files(
            "secret: {secretName: keys, defaultMode: 0400, items: [{key: user, path: a/b}, {key: both, path: c, mode: 0o777}]}"
        ),
        [file("a/b", 0o400, "admin"), file("c", 0o777, "why")]
    );
    assert_eq!(files("configMap: {name: absent, optional: true, items: [{key: a, path: b}]}"), []);
    assert_eq!(
        files(
            "configMap: {name: settings, optional: true, items: [{key: none, path: b}, {key: color, path: c}]}"
        ),
        [file("c", 0o644, "red")]
    );
    assert_eq!(
        files(
            "downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}, {path: cpu, mode: 0600, resourceFieldRef: {containerName: web, resource: limits.cpu}}]}"
        ),
        [file("cpu", 0o600, "4"), file("name", 0o644, "web")]
    );
    assert_eq!(
        files(
            "projected: {defaultMode: 0440, sources: [{configMap: {name: settings, items: [{key: color, path: x}]}}, {secret: {name: keys, items: [{key: user, path: d/u}]}}, {downwardAPI: {items: [{path: d/n, fieldRef: {fieldPath: metadata.name}}]}}]}"
        ),
        [file("d/n", 0o440, "web"), file("d/u", 0o440, "admin"), file("x", 0o440, "red")]
    );
    // Files of a volume are read-only, as with a kubelet.
    let pod = ok(&stream(
        "  volumes: [{name: v, configMap: {name: settings}}]\n",
        "    volumeMounts: [{name: v, mountPath: /v, readOnly: false}]\n",
    ))
    .pod;
    assert!(pod.containers[0].mounts[0].read_only);
}

#[test]
fn volumes_of_files_keep_to_the_rules() {
    let volume = |rest: &str| stream(&format!("  volumes: [{{name: v, {rest}}}]\n"), "");
    for (rest, expected) in [
        ("configMap: {}", "configMap.name is required"),
        ("configMap: {name: seting}", "no ConfigMap is named \"seting\"; did you mean \"settings\"?"),
        ("secret: {name: keys}", "unknown field \"name\""),
        ("secret: {secretName: absent}", "no Secret is named \"absent\"; there is keys"),
        ("configMap: {name: settings, items: [{key: none, path: x}]}", "items[0].key: no key \"none\""),
        ("configMap: {name: settings, items: [{key: color, path: /x}]}", "is not a relative path"),
        ("configMap: {name: settings, items: [{key: color, path: a/../x}]}", "has .. in it"),
        ("configMap: {name: settings, items: [{key: color, path: ..x}]}", "starts with .."),
        ("configMap: {name: settings, items: [{key: color, path: a//b}]}", "does not name a file"),
        (
            "configMap: {name: settings, items: [{key: color, path: a}, {key: color, path: a}]}",
            "\"a\" is there twice",
        ),
        (
            "configMap: {name: settings, items: [{key: color, path: a}, {key: color, path: a/b}]}",
            "\"a\" is a file, and \"a/b\" lies below it",
        ),
        ("configMap: {name: settings, defaultMode: 1000}", "1000 is not in the range 0 to 511"),
        ("configMap: {name: settings, defaultMode: '0644'}", "expected an integer"),
        ("downwardAPI: {items: [{path: a}]}", "exactly one of fieldRef, resourceFieldRef"),
        (
            "downwardAPI: {items: [{path: a, fieldRef: {fieldPath: status.podIP}}]}",
            "can only be the value of a variable",
        ),
        (
            "downwardAPI: {items: [{path: a, resourceFieldRef: {resource: limits.cpu}}]}",
            "containerName is required",
        ),
        ("projected: {sources: [{}]}", "one of configMap, secret, downwardAPI is required"),
        (
            "projected: {sources: [{serviceAccountToken: {path: token}}]}",
            "serviceAccountToken is not supported: there is no API server",
        ),
        (
            "projected: {sources: [{configMap: {name: settings}, secret: {name: keys}}]}",
            "a source has one type",
        ),
    ] {
        let errors: Vec<String> = errors(&volume(rest));
        assert!(
            errors.iter().any(|error| error.contains(expected)),
            "{rest}\n{errors:#?}\ndoes not say {expected:?}"
        );
    }
}

#[test]
fn the_object_has_the_defaults_of_references() {
    let object = ok(&stream(
        "  volumes: [{name: v, projected: {sources: [{downwardAPI: {items: [{path: a, resourceFieldRef: {containerName: web, resource: limits.cpu}}]}}]}}, {name: w, secret: {secretName: keys}}]\n",
        "    env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\n",
    ))
    .object;
    let spec = &object["spec"];
    assert_eq!(spec["volumes"][1]["secret"], json!({"secretName": "keys", "defaultMode": 420}));
    assert_eq!(spec["volumes"][0]["projected"]["defaultMode"], 420);
    let item = &spec["volumes"][0]["projected"]["sources"][0]["downwardAPI"]["items"][0];
    assert_eq!(item["resourceFieldRef"]["divisor"], "0");
    assert_eq!(spec["containers"][0]["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
}

#[test]
fn what_a_few_lines_could_multiply_is_bounded() {
    let keys: String = (0..2000).map(|n| format!("  key{n}: \"{}\"\n", "x".repeat(200))).collect();
    let config = format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: big}}\ndata:\n{keys}");
    let sources: String =
        (0..100).map(|n| format!("    - {{prefix: P{n}_, configMapRef: {{name: big}}}}\n")).collect();
    let text = format!("{}{config}", in_container(&format!("    envFrom:\n{sources}")));
    refused(&text, "the variables take more than 6 MiB");
    let value = format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{k: {}}}\n",
        "x".repeat(100_000)
    );
    let same: String = (0..5000)
        .map(|n| format!("    - {{name: A{n}, valueFrom: {{configMapKeyRef: {{name: c, key: k}}}}}}\n"))
        .collect();
    let pod = ok(&format!("{}{value}", in_container(&format!("    env:\n{same}")))).pod;
    let length: usize =
        variables(&pod.containers[0], &Downward::default()).iter().map(|(_, value)| value.len()).sum();
    assert!(length > 6 << 20 && length < 7 << 20, "{length} bytes");
    let wrong: String = (0..3000)
        .map(|n| format!("    - {{name: A, valueFrom: {{configMapKeyRef: {{name: big, key: kex{n}}}}}}}\n"))
        .collect();
    assert_eq!(
        errors(&format!("{}{config}", in_container(&format!("    env:\n{wrong}")))).len(),
        check::MOST
    );
}
