//! No text makes the loader panic.

use proptest::prelude::*;

use super::*;
use crate::lifecycle::model::Backoff;

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
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": value, "binaryData": value});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": value, "stringData": value});
        load_and_show(&format!("{config}\n---\n{}\n---\n{secret}", in_container("    envFrom: [{configMapRef: {name: a}}, {secretRef: {name: a}}]\n")));
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
