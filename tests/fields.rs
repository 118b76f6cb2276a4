//! Fields of a manifest that no other test looks at: each test here fails when one of its fields is left out, which
//! scripts/fields shows for every field that is honoured (fields.txt).

mod support;

use std::fs;

use support::*;

#[test]
fn a_program_has_the_arguments_the_place_and_the_share_that_the_manifest_says() {
    let lab = Lab::new();
    lab.start(&format!(
        "
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: shop}}
data: {{color: red}}
---
apiVersion: v1
kind: Pod
metadata: {{name: told, namespace: shop}}
spec:
  hostnameOverride: till.shop.example
  resources: {{limits: {{memory: 64Mi}}}}
  securityContext: {{runAsNonRoot: true}}
  containers:
  - name: app
    image: box
    command: [sh, -c]
    args: [\"{UNTIL_TERM}\"]
    workingDir: /tmp
    env:
    - {{name: SPACE, valueFrom: {{fieldRef: {{fieldPath: metadata.namespace}}}}}}
    - {{name: COLOR, valueFrom: {{configMapKeyRef: {{name: settings, key: color}}}}}}
    resources: {{requests: {{cpu: 250m}}, limits: {{cpu: 500m}}}}
    securityContext: {{runAsNonRoot: false, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false}}
  - {{name: root, image: box, command: [sleep, '600']}}
"
    ));
    lab.until("the app", seconds(10), || !lab.status("told", "app")["state"]["running"].is_null());
    let found = lab.sh(
        "told",
        "app",
        "readlink /proc/1/cwd; echo $SPACE $COLOR; hostname; grep NoNewPrivs /proc/1/status
         cd /sys/fs/cgroup; cat cpu.weight 2>/dev/null || cat cpu/cpu.shares; touch /new 2>&1 || true",
    );
    let found: Vec<&str> = found.lines().collect();
    assert_eq!(found[..4], ["/tmp", "shop red", "till.shop.example", "NoNewPrivs:\t1"]);
    assert!(["256", "35"].contains(&found[4]), "{}", found[4]);
    assert!(found[5..].concat().contains("Read-only file system"), "{found:?}");
    let cgroup = lab.record("told")["cgroup"].as_str().unwrap().to_owned();
    let limits = ["memory.max", "memory.limit_in_bytes"];
    let limit = cgroup_directories(&format!("{cgroup}/pod"))
        .iter()
        .find_map(|dir| limits.iter().find_map(|file| fs::read_to_string(dir.join(file)).ok()));
    assert_eq!(limit.unwrap(), "67108864\n");
    lab.until("the refusal of root", seconds(10), || {
        lab.status("told", "root")["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    });
}

#[test]
fn probes_go_where_and_as_often_as_the_manifest_says() {
    let lab = Lab::new();
    let timeout = seconds(5).as_secs();
    // Each program is up before it is probed, or is probed again a second later.
    lab.start(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: probed}}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{{name: shared, emptyDir: {{}}}}]
  containers:
  - name: thrice
    image: box
    command: [sh, -c, "{UNTIL_TERM}"]
    readinessProbe: {{exec: {{command: [sh, -c, 'echo >> /tmp/probes']}}, periodSeconds: 1, successThreshold: 3, timeoutSeconds: {timeout}}}
  - name: server
    image: box
    # Answers at this address alone, and only who knows the word.
    command: [sh, -c, "trap 'exit 0' TERM; echo /:user:secret > /tmp/conf; mkdir /tmp/www; : > /tmp/www/up; httpd -f -p 127.0.0.2:80 -h /tmp/www -c /tmp/conf & wait"]
    ports: [{{name: web, containerPort: 80}}]
    readinessProbe: {{httpGet: {{host: 127.0.0.2, port: web, path: /up, httpHeaders: [{{name: Authorization, value: Basic dXNlcjpzZWNyZXQ=}}]}}, periodSeconds: 1, timeoutSeconds: {timeout}}}
  - name: client
    image: box
    command: [sh, -c, "{UNTIL_TERM}"]
    readinessProbe: {{tcpSocket: {{host: 127.0.0.2, port: 80}}, periodSeconds: 1}}
  - name: slow
    image: box
    command: [sh, -c, "{UNTIL_TERM}"]
    readinessProbe: {{exec: {{command: [sleep, '1.2']}}, timeoutSeconds: {timeout}}}
  - name: hasty
    image: box
    # The first instance keeps when it began, and at its end when it was probed.
    command: [sh, -c, "trap 'ln /shared/probes /shared/seen; exit 0' TERM; read up rest < /proc/uptime; [ -e /shared/began ] || echo $up > /shared/began; sleep 600 & wait"]
    livenessProbe: {{exec: {{command: [sh, -c, '[ -e /shared/seen ] || {{ read up rest < /proc/uptime; echo $up >> /shared/probes; exit 1; }}']}}, initialDelaySeconds: 1, periodSeconds: 1, failureThreshold: 1, timeoutSeconds: {timeout}}}
    volumeMounts: [{{name: shared, mountPath: /shared}}]
"#
    ));
    lab.until("three good probes", seconds(10), || lab.status("probed", "thrice")["ready"] == true);
    let probes: u32 = lab.sh("probed", "thrice", "wc -l < /tmp/probes").trim().parse().unwrap();
    assert!(probes >= 3, "ready after {probes}");
    for name in ["server", "client", "slow"] {
        lab.until(name, seconds(10), || lab.status("probed", name)["ready"] == true);
    }
    lab.until("the restart", seconds(10), || {
        let hasty = lab.status("probed", "hasty");
        hasty["restartCount"] == 1 && !hasty["state"]["running"].is_null()
    });
    let times = lab.sh("probed", "hasty", "cat /shared/began /shared/seen");
    let times: Vec<f64> = times.lines().map(|time| time.parse().unwrap()).collect();
    assert_eq!(times.len(), 2, "the start and one probe: {times:?}");
    assert!(times[1] - times[0] > 0.5, "the first probe came after {} s", times[1] - times[0]);
}

/// Some fields are honoured in that a pod which could not keep their promise is refused.
#[test]
fn what_a_manifest_asks_for_in_vain_is_refused() {
    let lab = Lab::new();
    let pod = |spec: &str, container: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec:\n{spec}  containers:\n  - name: a\n    image: box\n{container}"
        )
    };
    let beside = |document: &str| format!("{}---\napiVersion: v1\n{document}", pod("", ""));
    for (manifest, words) in [
        (
            pod("  securityContext: {appArmorProfile: {type: RuntimeDefault}}\n", ""),
            "appArmorProfile.type: RuntimeDefault is not supported yet",
        ),
        (
            pod("", "    securityContext: {appArmorProfile: {type: Localhost}}\n"),
            "appArmorProfile.type: Localhost is not supported yet",
        ),
        (pod("  volumes: [{name: v, emptyDir: {medium: HugePages}}]\n", ""), "medium: HugePages is not"),
        (
            pod(
                "",
                "    env: [{name: A, valueFrom: {fieldRef: {apiVersion: v2, fieldPath: metadata.name}}}]\n",
            ),
            "is not v1",
        ),
        (
            beside("kind: Secret\nmetadata: {name: a}\ntype: kubernetes.io/tls\nstringData: {tls.crt: x}\n"),
            "needs tls.crt and tls.key",
        ),
        (beside("kind: ConfigMap\nmetadata: {name: a, labels: {a: b c}}\n"), "metadata.labels[\"a\"]"),
        (
            beside("kind: ConfigMap\nmetadata: {name: a, annotations: {a b: c}}\n"),
            "metadata.annotations: \"a b\"",
        ),
    ] {
        let said = lab.fails(2, &["run", "-d", &lab.manifest(&manifest)]);
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn two_containers_may_have_one_port_for_two_protocols() {
    let lab = Lab::new();
    let port = |protocol: &str| format!("ports: [{{containerPort: 53, protocol: {protocol}}}]");
    let manifest = |other: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: names}}\nspec:\n  containers:\n  - {{name: a, image: box, {}}}\n  - {{name: b, image: box, {}}}\n",
            port("TCP"),
            port(other)
        )
    };
    let said = |other: &str| lab.output(&["check", &lab.manifest(&manifest(other))]).stderr;
    assert_eq!(String::from_utf8(said("UDP")).unwrap(), "");
    assert!(String::from_utf8(said("TCP")).unwrap().contains("[same-port]"));
}
