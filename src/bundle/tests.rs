use std::path::{Path, PathBuf};

use oci_spec::runtime::{Capability, LinuxNamespaceType, Mount, Process};
use serde_json::json;

use super::accounts::Accounts;
use super::*;
use crate::manifest::{Container, Pod, load};

/// A bundle like those that tools make, with `changes` laid over it (JSON merge patch).
fn bundle(changes: serde_json::Value) -> Spec {
    let capabilities = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"];
    let mut config = json!({
        "ociVersion": "1.2.0",
        "process": {
            "terminal": true, "user": {"uid": 0, "gid": 0, "additionalGids": [10]}, "args": ["httpd", "-f"],
            "env": ["PATH=/bin", "TERM=xterm", "HOSTNAME=image"], "cwd": "/srv", "noNewPrivileges": true,
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities,
                "inheritable": capabilities, "ambient": ["CAP_KILL"]}
        },
        "root": {"path": "rootfs"},
        "hostname": "image",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts"},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm"},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs"}
        ],
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "rootfsPropagation": "rprivate", "maskedPaths": ["/proc/kcore"]
        }
    });
    patch(&mut config, changes);
    parse_config(&config.to_string()).unwrap()
}

fn patch(into: &mut serde_json::Value, changes: serde_json::Value) {
    match changes {
        serde_json::Value::Object(changes) if into.is_object() => {
            for (key, change) in changes {
                patch(&mut into[key], change);
            }
        }
        other => *into = other,
    }
}

fn pod(spec: &str, container: &str) -> Pod {
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n{spec}  containers:\n  - name: web\n    image: x\n{container}"
    );
    load(&text).unwrap_or_else(|problems| panic!("{text}\n{problems:?}")).pod
}

fn container(lines: &str) -> Container {
    pod("  volumes: [{name: data}, {name: other}]\n", lines).containers.remove(0)
}

fn context() -> MergeContext {
    MergeContext {
        hostname: "web-pod".into(),
        volumes: [
            ("data".to_owned(), PathBuf::from("/s/data")),
            ("other".to_owned(), PathBuf::from("/s/other")),
        ]
        .into(),
        etc: "/s/etc".into(),
        shm: "/s/shm".into(),
        termination_log: "/s/log".into(),
        cgroup: "barepod/u/pod/web.0".into(),
        ..MergeContext::default()
    }
}

fn merged(lines: &str) -> Spec {
    merge(&bundle(json!({})), &container(lines), &context()).unwrap()
}

fn process(spec: &Spec) -> &Process {
    spec.process().as_ref().unwrap()
}

fn args(spec: &Spec) -> Vec<String> {
    process(spec).args().clone().unwrap()
}

fn mounts(spec: &Spec) -> &[Mount] {
    spec.mounts().as_deref().unwrap()
}

fn mount_at<'a>(spec: &'a Spec, path: &str) -> &'a Mount {
    let found: Vec<_> = mounts(spec).iter().filter(|mount| mount.destination() == Path::new(path)).collect();
    assert_eq!(found.len(), 1, "{path}: {found:?}");
    found[0]
}

fn position(spec: &Spec, path: &str) -> usize {
    mounts(spec).iter().position(|mount| mount.destination() == Path::new(path)).unwrap()
}

fn options(mount: &Mount) -> Vec<&str> {
    mount.options().iter().flatten().map(String::as_str).collect()
}

#[test]
fn a_name_is_tried_with_and_without_its_tag_in_each_directory() {
    let search = [PathBuf::from("/a"), PathBuf::from("/b")];
    for (image, expected) in [
        ("web", vec!["/a/web", "/b/web"]),
        ("web:1.0", vec!["/a/web:1.0", "/a/web", "/b/web:1.0", "/b/web"]),
        ("docker.io/library/web:1.0", vec!["/a/web:1.0", "/a/web", "/b/web:1.0", "/b/web"]),
        ("localhost:5000/team/web", vec!["/a/web", "/b/web"]),
        ("a:b,c\\d", vec!["/a/a:b,c\\d", "/a/a", "/b/a:b,c\\d", "/b/a"]),
    ] {
        let found = candidates(image, Path::new("/m"), &search).unwrap();
        assert_eq!(found, expected.iter().map(PathBuf::from).collect::<Vec<_>>(), "{image}");
    }
}

#[test]
fn a_path_is_taken_from_the_manifests_directory() {
    let search = [PathBuf::from("/a")];
    let found = |image| candidates(image, Path::new("/m/pods"), &search).unwrap();
    assert_eq!(found("./web"), [PathBuf::from("/m/pods/web")]);
    assert_eq!(found("./x/web:1"), [PathBuf::from("/m/pods/x/web:1")]);
    assert_eq!(found("/srv/web"), [PathBuf::from("/srv/web")]);
}

#[test]
fn images_that_name_nothing_or_lead_elsewhere_are_refused() {
    for image in [
        "",
        "..",
        "../web",
        "./../web",
        "/srv/../web",
        "a/../b",
        "a/",
        "a/:1",
        ":1",
        ".",
        "..:1",
        "a\nb",
        "a\0b",
        "web@sha256:00",
        "x/..",
        "x/.:1",
    ] {
        assert!(candidates(image, Path::new("/m"), &[PathBuf::from("/a")]).is_err(), "{image:?}");
    }
}

#[test]
fn a_broken_config_is_a_problem_with_its_place() {
    let place = |text: &str| {
        let problem = parse_config(text).unwrap_err();
        assert!(!problem.message.contains(" at line "), "{}", problem.message);
        (problem.line, problem.column)
    };
    assert_eq!(place("{\n  \"process\": {,}\n}"), (2, 15));
    assert_eq!(place("{\n  \"é\": 1, x\n}"), (2, 11));
    assert_eq!(place("").0, 1);
    assert_eq!(place("{\"process\": 5}").0, 1);
    assert_eq!(place(&"[".repeat(100_000)).0, 1);
    let text = "{\n  \"root\": {\"path\": 5}\n}";
    assert!(
        parse_config(text).unwrap_err().render("config.json", text).starts_with("barepod: config.json:2:")
    );
}

#[test]
fn bundles_that_cannot_be_containers_of_a_pod_are_refused_by_field() {
    for (changes, field) in [
        (json!({"hooks": {"poststop": [{"path": "/x"}]}}), "hooks.poststop"),
        (json!({"hooks": {"prestart": [{"path": "/x"}]}}), "hooks.prestart"),
        (json!({"hooks": {"createRuntime": [{"path": "/x"}]}}), "hooks.createRuntime"),
        (json!({"process": null}), "process is missing"),
        (json!({"root": null}), "root is missing"),
        (json!({"linux": null}), "linux is missing"),
        (json!({"linux": {"sysctl": {"net.ipv4.ip_forward": "1"}}}), "linux.sysctl"),
        (json!({"linux": {"intelRdt": {}}}), "linux.intelRdt"),
        (json!({"linux": {"netDevices": {"eth0": {}}}}), "linux.netDevices"),
        (json!({"linux": {"namespaces": [{"type": "user"}]}}), "user"),
        (
            json!({"linux": {"uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]}}),
            "linux.uidMappings",
        ),
        (json!({"process": {"apparmorProfile": "x"}}), "process.apparmorProfile"),
    ] {
        let spec = bundle(changes.clone());
        let error = format!("{:#}", check(&spec).expect_err(field));
        assert!(error.contains(field), "{error} does not name {field}");
        assert!(merge(&spec, &container(""), &context()).is_err(), "{changes}");
    }
}

#[test]
fn what_merging_replaces_is_no_reason_to_refuse() {
    check(&bundle(json!({"process": {"terminal": true, "args": [], "cwd": "x"}, "hooks": {}}))).unwrap();
}

#[test]
fn command_and_args_follow_kubernetes() {
    for (lines, expected) in [
        ("", vec!["httpd", "-f"]),
        ("    args: [-v]\n", vec!["httpd", "-v"]),
        ("    command: [sh]\n", vec!["sh"]),
        ("    command: [sh, -c]\n    args: [true]\n", vec!["sh", "-c", "true"]),
        ("    command: []\n    args: []\n", vec!["httpd", "-f"]),
        (
            "    env: [{name: A, value: a}]\n    command: [$(A), $(NO)]\n    args: [$$(A)]\n",
            vec!["a", "$(NO)", "$(A)"],
        ),
    ] {
        assert_eq!(args(&merged(&lines.replace("[true]", "['true']"))), expected, "{lines}");
    }
    let empty = bundle(json!({"process": {"args": []}}));
    assert!(format!("{:#}", merge(&empty, &container(""), &context()).unwrap_err()).contains("no command"));
    assert_eq!(args(&merge(&empty, &container("    args: [x]\n"), &context()).unwrap()), ["x"]);
}

#[test]
fn variables_are_the_bundles_then_the_hostname_then_the_manifests() {
    let env = |lines: &str| process(&merged(lines)).env().clone().unwrap();
    assert_eq!(env(""), ["PATH=/bin", "TERM=xterm", "HOSTNAME=web-pod", "HOME=/"]);
    let lines = "    env: [{name: A, value: x}, {name: TERM, value: $(A)}, {name: B, value: $(PATH)}, {name: A, value: z}, {name: HOSTNAME, value: h}]\n";
    // Only the manifest's own variables are expanded; those of the bundle are not known to Kubernetes.
    assert_eq!(env(lines), ["PATH=/bin", "TERM=x", "HOSTNAME=h", "A=z", "B=$(PATH)", "HOME=/"]);
    let bare =
        merge(&bundle(json!({"process": {"env": ["X", "Y=a=b"]}})), &container(""), &context()).unwrap();
    assert_eq!(
        process(&bare).env().clone().unwrap(),
        [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "X=",
            "Y=a=b",
            "HOSTNAME=web-pod",
            "HOME=/"
        ]
    );
}

#[test]
fn the_home_directory_is_the_manifests_the_bundles_or_the_users() {
    let accounts =
        Accounts { passwd: "root:x:0:0::/root:\nweb:x:7:7::/srv/web:\n".into(), ..Accounts::default() };
    let context = MergeContext { accounts, ..context() };
    let home = |base: serde_json::Value, lines: &str| {
        let spec = merge(&bundle(json!({"process": base})), &container(lines), &context).unwrap();
        let env = process(&spec).env().clone().unwrap();
        env.iter().find_map(|variable| variable.strip_prefix("HOME=").map(str::to_owned)).unwrap()
    };
    assert_eq!(home(json!({}), ""), "/root");
    assert_eq!(home(json!({}), "    securityContext: {runAsUser: 7}\n"), "/srv/web");
    assert_eq!(home(json!({}), "    securityContext: {runAsUser: 8}\n"), "/");
    assert_eq!(home(json!({"env": ["HOME=/of/bundle"]}), ""), "/of/bundle");
    assert_eq!(home(json!({"env": ["HOME=/of/bundle"]}), "    env: [{name: HOME, value: /own}]\n"), "/own");
    assert_eq!(home(json!({}), "    env: [{name: HOME, value: ''}]\n"), "/root");
}

#[test]
fn the_working_directory_is_the_manifests_or_the_bundles() {
    assert_eq!(process(&merged("")).cwd(), Path::new("/srv"));
    assert_eq!(process(&merged("    workingDir: /x\n")).cwd(), Path::new("/x"));
    let relative = bundle(json!({"process": {"cwd": "x"}}));
    assert!(merge(&relative, &container(""), &context()).is_err());
}

#[test]
fn users_and_groups_of_container_pod_and_bundle_in_this_order() {
    let user = |pod_lines: &str, lines: &str, base: serde_json::Value| {
        let pod = pod(pod_lines, lines);
        let context = MergeContext { pod_security: pod.security.clone(), ..context() };
        merge(&bundle(json!({"process": {"user": base}})), &pod.containers[0], &context).map(|spec| {
            let user = process(&spec).user().clone();
            (user.uid(), user.gid(), user.additional_gids().clone().unwrap_or_default())
        })
    };
    let none = json!({});
    assert_eq!(user("", "", none.clone()).unwrap(), (0, 0, vec![10]));
    assert_eq!(user("", "", json!({"uid": 5, "gid": 6})).unwrap(), (5, 6, vec![10]));
    assert_eq!(user("  securityContext: {runAsUser: 7}\n", "", none.clone()).unwrap(), (7, 0, vec![]));
    assert_eq!(
        user(
            "  securityContext: {runAsUser: 7, runAsGroup: 8}\n",
            "    securityContext: {runAsUser: 9}\n",
            none.clone()
        )
        .unwrap(),
        (9, 8, vec![])
    );
    assert_eq!(
        user("", "    securityContext: {runAsUser: 5}\n", json!({"uid": 5, "gid": 6})).unwrap(),
        (5, 6, vec![10])
    );
    assert_eq!(user("", "    securityContext: {runAsGroup: 8}\n", none.clone()).unwrap(), (0, 8, vec![10]));
    assert_eq!(
        user("  securityContext: {supplementalGroups: [10, 20]}\n", "", none.clone()).unwrap(),
        (0, 0, vec![10, 20])
    );
    let strict = "  securityContext: {supplementalGroups: [20], supplementalGroupsPolicy: Strict}\n";
    assert_eq!(user(strict, "", none.clone()).unwrap(), (0, 0, vec![20]));
    // runAsNonRoot looks at who it will be in the end.
    let error = user("  securityContext: {runAsNonRoot: true}\n", "", none.clone()).unwrap_err();
    assert!(error.to_string().contains("runAsNonRoot"));
    assert!(user("  securityContext: {runAsNonRoot: true}\n", "", json!({"uid": 5})).is_ok());
    assert!(
        user(
            "  securityContext: {runAsNonRoot: true}\n",
            "    securityContext: {runAsNonRoot: false}\n",
            none
        )
        .is_ok()
    );
}

#[test]
fn capabilities_are_added_and_dropped_in_three_sets_and_the_others_are_empty() {
    let names = |lines: &str| {
        let spec = merged(lines);
        let sets = process(&spec).capabilities().clone().unwrap();
        assert_eq!((sets.bounding(), sets.bounding()), (sets.effective(), sets.permitted()));
        assert!(
            sets.inheritable().as_ref().unwrap().is_empty() && sets.ambient().as_ref().unwrap().is_empty()
        );
        let mut names: Vec<_> = sets.bounding().iter().flatten().map(ToString::to_string).collect();
        names.sort();
        names
    };
    let with = |rest: &str| names(&format!("    securityContext: {{capabilities: {rest}}}\n"));
    assert_eq!(names(""), ["CHOWN", "KILL", "NET_RAW"]);
    assert_eq!(with("{add: [NET_ADMIN], drop: [CHOWN]}"), ["KILL", "NET_ADMIN", "NET_RAW"]);
    assert_eq!(with("{drop: [ALL]}"), [""; 0]);
    assert_eq!(with("{drop: [ALL], add: [NET_BIND_SERVICE]}"), ["NET_BIND_SERVICE"]);
    assert_eq!(with("{add: [ALL]}").len(), 41);
    assert_eq!(with("{add: [ALL], drop: [SYS_ADMIN]}").len(), 40);
    assert_eq!(with("{add: [KILL], drop: [KILL]}"), ["CHOWN", "NET_RAW"]);
    let none =
        merge(&bundle(json!({"process": {"capabilities": null}})), &container(""), &context()).unwrap();
    assert!(process(&none).capabilities().as_ref().unwrap().bounding().as_ref().unwrap().is_empty());
}

#[test]
fn every_capability_of_the_manifest_is_known_to_the_runtime() {
    for name in crate::manifest::names::CAPABILITIES {
        let capability: Capability = name.parse().unwrap();
        assert_eq!(serde_json::to_value(capability).unwrap(), format!("CAP_{name}"));
    }
}

#[test]
fn privileges_and_root_are_the_bundles_without_a_word() {
    let of = |lines: &str| {
        let spec = merged(lines);
        (process(&spec).no_new_privileges(), spec.root().as_ref().unwrap().readonly())
    };
    assert_eq!(of(""), (Some(true), None));
    assert_eq!(
        of("    securityContext: {allowPrivilegeEscalation: true, readOnlyRootFilesystem: true}\n"),
        (Some(false), Some(true))
    );
    assert_eq!(
        of("    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: false}\n"),
        (Some(true), Some(false))
    );
}

#[test]
fn terminal_hostname_and_hooks_are_not_the_bundles_to_choose() {
    let spec = merged("");
    assert_eq!(process(&spec).terminal(), Some(false));
    assert_eq!((spec.hostname(), spec.domainname(), spec.hooks()), (&None, &None, &None));
    assert_eq!(process(&spec).oom_score_adj(), Some(0), "the pod init's is lowered and would be inherited");
}

#[test]
fn the_namespaces_are_pid_mount_and_cgroup() {
    let kinds = |spec: &Spec| -> Vec<_> {
        let namespaces = spec.linux().as_ref().unwrap().namespaces().clone().unwrap();
        namespaces.iter().map(|namespace| (namespace.typ(), namespace.path().clone())).collect()
    };
    let (mount, cgroup) = ((LinuxNamespaceType::Mount, None), (LinuxNamespaceType::Cgroup, None));
    assert_eq!(kinds(&merged("")), [(LinuxNamespaceType::Pid, None), mount.clone(), cgroup.clone()]);
    let shared = MergeContext { pid_namespace: Some("/proc/9/ns/pid".into()), ..context() };
    let spec = merge(&bundle(json!({})), &container(""), &shared).unwrap();
    assert_eq!(kinds(&spec), [(LinuxNamespaceType::Pid, Some("/proc/9/ns/pid".into())), mount, cgroup]);
}

#[test]
fn volumes_are_bound_with_their_access_and_propagation() {
    let spec = merged(
        "    volumeMounts:\n    - {name: data, mountPath: /a}\n    - {name: other, mountPath: /b, readOnly: true, mountPropagation: HostToContainer}\n    - {name: data, mountPath: /c, mountPropagation: Bidirectional}\n    securityContext: {privileged: true}\n",
    );
    let a = mount_at(&spec, "/a");
    assert_eq!((a.source().as_deref(), a.typ().as_deref()), (Some(Path::new("/s/data")), Some("bind")));
    assert_eq!(options(a), ["rbind", "rprivate", "rw"]);
    assert_eq!(options(mount_at(&spec, "/b")), ["rbind", "rslave", "ro"]);
    assert_eq!(options(mount_at(&spec, "/c")), ["rbind", "rshared", "rw"]);
    assert_eq!(
        spec.linux().as_ref().unwrap().rootfs_propagation(),
        &None,
        "rprivate would cut them off again"
    );
}

#[test]
fn the_pods_files_are_bound_over_the_bundles() {
    let spec = merged("");
    for (path, source) in [
        ("/etc/hosts", "/s/etc/hosts"),
        ("/etc/hostname", "/s/etc/hostname"),
        ("/etc/resolv.conf", "/s/etc/resolv.conf"),
        ("/dev/shm", "/s/shm"),
        ("/dev/termination-log", "/s/log"),
    ] {
        let mount = mount_at(&spec, path);
        assert_eq!(mount.source().as_deref(), Some(Path::new(source)), "{path}");
        assert!(options(mount).contains(&"rw"), "{path}");
    }
    assert!(
        position(&spec, "/dev/shm") > position(&spec, "/dev")
            && position(&spec, "/dev/termination-log") > position(&spec, "/dev")
    );
    let read_only =
        merged("    securityContext: {readOnlyRootFilesystem: true}\n    terminationMessagePath: /tmp/bye\n");
    assert!(options(mount_at(&read_only, "/etc/hosts")).contains(&"ro"));
    assert!(options(mount_at(&read_only, "/tmp/bye")).contains(&"rw"));
}

#[test]
fn what_lies_inside_of_another_mount_comes_after_it() {
    let spec = merged(
        "    volumeMounts:\n    - {name: data, mountPath: /x/y/z}\n    - {name: other, mountPath: /x}\n    - {name: data, mountPath: /etc}\n",
    );
    assert!(position(&spec, "/x") < position(&spec, "/x/y/z"));
    assert!(position(&spec, "/etc") < position(&spec, "/etc/hosts"));
    assert!(position(&spec, "/sys") < position(&spec, "/x"));
}

#[test]
fn a_volume_in_the_place_of_another_mount_wins() {
    let spec = merged(
        "    volumeMounts: [{name: data, mountPath: /dev/shm}, {name: other, mountPath: /etc/hosts}, {name: data, mountPath: /sys}]\n",
    );
    for (path, source) in [("/dev/shm", "/s/data"), ("/etc/hosts", "/s/other"), ("/sys", "/s/data")] {
        assert_eq!(mount_at(&spec, path).source().as_deref(), Some(Path::new(source)));
    }
    let own_dev = merged("    volumeMounts: [{name: data, mountPath: /dev}]\n");
    assert!(mounts(&own_dev).iter().all(|mount| mount.destination() != Path::new("/dev/pts")));
    assert!(position(&own_dev, "/dev") < position(&own_dev, "/dev/shm"));
}

#[test]
fn a_volume_that_nobody_made_is_an_error() {
    let without = MergeContext { volumes: Default::default(), ..context() };
    let error =
        merge(&bundle(json!({})), &container("    volumeMounts: [{name: data, mountPath: /a}]\n"), &without)
            .unwrap_err();
    assert_eq!(error.to_string(), "find volume data");
}

#[test]
fn limits_of_the_manifest_replace_the_bundles_one_by_one() {
    let limits = |lines: &str, base: serde_json::Value| {
        let spec =
            merge(&bundle(json!({"linux": {"resources": base}})), &container(lines), &context()).unwrap();
        let linux = spec.linux().clone().unwrap();
        assert_eq!(linux.cgroups_path().as_deref(), Some(Path::new("barepod/u/pod/web.0")));
        linux.resources().clone().unwrap()
    };
    let plain = limits("", json!({}));
    assert_eq!(plain.cpu().as_ref().unwrap().shares(), Some(2));
    assert_eq!((plain.cpu().as_ref().unwrap().quota(), plain.memory(), plain.pids()), (None, &None, &None));
    let all = limits(
        "    resources: {limits: {cpu: 500m, memory: 64Mi}, requests: {cpu: 250m}}\n",
        json!({"cpu": {"shares": 9}, "memory": {"limit": 1, "swap": 2}, "pids": {"limit": 3}}),
    );
    let cpu = all.cpu().clone().unwrap();
    assert_eq!((cpu.shares(), cpu.quota(), cpu.period()), (Some(256), Some(50_000), Some(100_000)));
    let memory = all.memory().unwrap();
    assert_eq!((memory.limit(), memory.swap()), (Some(64 << 20), None));
    assert_eq!(all.pids().unwrap().limit(), 3);
    let kept = limits("", json!({"cpu": {"shares": 9}, "memory": {"limit": 1}}));
    assert_eq!((kept.cpu().as_ref().unwrap().shares(), kept.memory().unwrap().limit()), (Some(9), Some(1)));
}

#[test]
fn a_bundle_without_device_rules_gets_one_that_denies() {
    let mut config = serde_json::to_value(bundle(json!({}))).unwrap();
    for resources in [json!({}), json!({"devices": []}), json!(null)] {
        config["linux"]["resources"] = resources;
        let spec = merge(&parse_config(&config.to_string()).unwrap(), &container(""), &context()).unwrap();
        let resources = spec.linux().clone().unwrap().resources().clone().unwrap();
        let rules = resources.devices().clone().unwrap();
        assert_eq!((rules.len(), rules[0].allow(), rules[0].access().as_deref()), (1, false, Some("rwm")));
    }
}

#[test]
fn everything_else_of_the_bundle_stays() {
    let spec = merged("");
    assert_eq!(spec.linux().as_ref().unwrap().masked_paths().clone().unwrap(), ["/proc/kcore"]);
    assert_eq!(spec.root().as_ref().unwrap().path(), Path::new("rootfs"));
    let rlimits =
        json!({"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}], "oomScoreAdj": 7}});
    let spec = merge(&bundle(rlimits), &container(""), &context()).unwrap();
    assert_eq!(process(&spec).rlimits().as_ref().unwrap().len(), 1);
    assert_eq!(process(&spec).oom_score_adj(), Some(7));
}

#[test]
fn the_merged_spec_can_be_planned() {
    let spec = merged("    volumeMounts: [{name: data, mountPath: /a}]\n");
    let rootfs = crate::plan::Rootfs::Directory("/b/rootfs".into());
    for v2 in [true, false] {
        crate::plan::plan(&spec, Path::new("/b"), rootfs.clone(), v2).unwrap();
    }
}

#[test]
fn a_part_of_a_volume_is_mounted_from_its_own_place_and_read_only_all_the_way_down_if_asked() {
    let container = container(
        "    volumeMounts:\n    - {name: data, mountPath: /a, subPath: x}\n    - {name: other, mountPath: /b, readOnly: true, recursiveReadOnly: Enabled}\n",
    );
    let context = MergeContext { sub_paths: [(0, PathBuf::from("/s/parts/web/0"))].into(), ..context() };
    let spec = merge(&bundle(json!({})), &container, &context).unwrap();
    assert_eq!(mount_at(&spec, "/a").source().as_deref(), Some(Path::new("/s/parts/web/0")));
    assert_eq!(options(mount_at(&spec, "/b")), ["rbind", "rprivate", "ro", "rro"]);
}

#[test]
fn a_privileged_container_has_what_barepod_has() {
    let mut host = oci_spec::runtime::LinuxDevice::default();
    host.set_path("/dev/fuse".into());
    let context = MergeContext {
        held: Some(vec!["KILL".into(), "SYS_ADMIN".into()]),
        host_devices: vec![host],
        ..context()
    };
    let config = json!({"mounts": [{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "ro"]}]});
    let merged = |lines: &str| merge(&bundle(config.clone()), &container(lines), &context).unwrap();
    let spec = merged("    securityContext: {privileged: true, capabilities: {drop: [ALL]}}\n");
    let sets = process(&spec).capabilities().clone().unwrap();
    assert_eq!(sets.effective(), &Some([Capability::Kill, Capability::SysAdmin].into()));
    assert_eq!(process(&spec).no_new_privileges(), Some(false));
    assert_eq!(options(mount_at(&spec, "/sys")), ["nosuid"]);
    let linux = spec.linux().as_ref().unwrap();
    assert_eq!((linux.masked_paths(), linux.readonly_paths()), (&None, &None));
    assert_eq!(linux.devices().as_ref().unwrap()[0].path(), Path::new("/dev/fuse"));
    assert!(linux.resources().as_ref().unwrap().devices().as_ref().unwrap()[0].allow());

    let spec = merged("    securityContext: {procMount: Unmasked}\n");
    let linux = spec.linux().as_ref().unwrap();
    assert_eq!((linux.masked_paths(), linux.devices()), (&None, &None));
    assert_eq!(options(mount_at(&spec, "/sys")), ["nosuid", "ro"]);
}

#[test]
fn every_process_is_in_the_group_that_owns_the_volumes() {
    let context = MergeContext {
        pod_security: crate::manifest::PodSecurity { fs_group: Some(5), ..Default::default() },
        ..context()
    };
    let spec = merge(&bundle(json!({})), &container(""), &context).unwrap();
    assert_eq!(process(&spec).user().additional_gids(), &Some(vec![10, 5]));
}
