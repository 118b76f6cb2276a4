//! Whatever is read, nothing panics, hangs or takes memory without bound. What is promised about each kind of input stands in
//! `fuzz/targets`; here it is asked of the files of `fuzz/corpus`, among them everything that ever broke a promise, and of
//! generated values. `scripts/fuzz` looks for more.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value as Json, json};

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use targets::TARGETS;
use targets::manifest::manifest as load_and_show;
use targets::quantity::quantity;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(fuzz().join(directory)).unwrap();
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn corpus(target: &str) {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(fuzz().join("corpus").join(target)).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display()); // shown when it panics
        run(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 3, "{count} files in the corpus of {target}");
}

#[test]
fn every_manifest_of_the_corpus_is_told_or_refused() {
    corpus("manifest");
}

#[test]
fn every_quantity_of_the_corpus_is_exact() {
    corpus("quantity");
}

#[test]
fn every_config_of_the_corpus_has_a_plan_or_is_refused() {
    corpus("config");
}

#[test]
fn every_log_of_the_corpus_is_shown_whole() {
    corpus("log");
}

#[test]
fn whatever_the_corpus_says_to_the_control_socket_the_next_one_is_heard() {
    corpus("control");
}

#[test]
fn each_target_has_a_program_and_a_corpus() {
    let all: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), all);
    assert_eq!(names("corpus"), all);
}

/// Values that may stand anywhere.
fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        "[ -~]{0,8}".prop_map(Json::from),
        "(1|-1|0|80|1Ki|a|limits.cpu|metadata.labels|metadata.labels\\['a'\\]|\\$\\(A\\)|YQ==|10.0.0.1|net.a|\\.\\.|/a|Always|v1|Pod|web|data|ALL|SIGTERM)".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let name = prop_oneof![
            "(metadata|spec|name|containers|initContainers|image|volumes|volumeMounts|mountPath|hostPath|path|emptyDir|sizeLimit)",
            "(env|value|resources|limits|requests|cpu|memory|lifecycle|preStop|postStart|exec|command|httpGet|port|sleep|seconds)",
            "(livenessProbe|readinessProbe|startupProbe|securityContext|runAsUser|capabilities|add|ports|containerPort|kind|apiVersion)",
            "(valueFrom|configMapKeyRef|secretKeyRef|fieldRef|fieldPath|resourceFieldRef|resource|divisor|envFrom|prefix|configMapRef|key|optional)",
            "(configMap|secret|secretName|downwardAPI|projected|sources|items|mode|defaultMode|subPath|subPathExpr|readOnly|recursiveReadOnly)",
            "(sysctls|fsGroup|hostAliases|ip|hostnames|dnsConfig|nameservers|searches|options|subdomain|setHostnameAsFQDN|hostnameOverride)",
            "[a-zA-Z<]{1,3}",
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            proptest::collection::vec((name, inner), 0..6).prop_map(|pairs| Json::Object(pairs.into_iter().collect())),
        ]
    })
}

/// A Pod with `spec` lines (indented by two) and `container` lines (indented by four) added.
fn manifest(spec: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n{spec}  containers:\n  - name: web\n    image: httpd\n{container}"
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_loader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        load_and_show(&bytes);
    }

    #[test]
    fn no_yaml_like_text_makes_the_loader_panic(text in "([a-z:\\-\\[\\]{},&*!|>#%'\"?@ \\n\\t0-9.~<]|: |- |\\n  ){0,120}") {
        load_and_show(text.as_bytes());
    }

    #[test]
    fn no_object_makes_the_loader_panic(value in any_json()) {
        let load = |text: String| load_and_show(text.as_bytes());
        load(value.to_string());
        load(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": value}).to_string());
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": value, "binaryData": value});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": value, "stringData": value});
        let user = manifest("", "    envFrom: [{configMapRef: {name: a}}, {secretRef: {name: a}}]\n");
        load(format!("{config}\n---\n{user}\n---\n{secret}"));
        let spec = json!({"containers": [{"name": "web", "image": "x"}, value], "volumes": [{"name": "data"}, value], "initContainers": value});
        load(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}).to_string());
    }

    #[test]
    fn no_slip_in_a_good_manifest_makes_the_loader_panic(at in 0usize..400, length in 0usize..12, with in "[ -~\\n\\t]{0,4}") {
        let text = manifest("  volumes: [{name: data}]\n", "    volumeMounts:\n    - {name: data, mountPath: /a}\n    livenessProbe: {httpGet: {port: 80}}\n    resources: {limits: {cpu: 1}}\n");
        let start = at.min(text.len());
        let end = (start + length).min(text.len());
        load_and_show(format!("{}{with}{}", &text[..start], &text[end..]).as_bytes());
    }

    #[test]
    fn no_text_makes_the_quantity_panic(text in "[+-]?[0-9.]{0,40}[eEinumkKMGTP0-9+-]{0,5}") {
        quantity(text.as_bytes());
    }
}
