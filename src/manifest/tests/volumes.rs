//! Volumes, resources, security, and the odds and ends of a container.

use super::*;

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
        recursive_read_only: false,
        sub_path: None,
        propagation: Propagation::HostToContainer,
    };
    assert_eq!(pod.containers[0].mounts[0], expected);
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
    refused(&mount("{name: data, mountPath: /a, subPath: /x}"), "is not a relative path");
    refused(&mount("{name: data, mountPath: /a, subPath: x/../../y}"), "has .. in it");
    refused(&mount("{name: data, mountPath: /a, subPathExpr: $(A)/..}"), "has .. in it");
    refused(
        &mount("{name: data, mountPath: /a, subPath: x, subPathExpr: z}"),
        "may not be given together with subPath",
    );
    refused(&mount("{name: data, mountPath: /a, recursiveReadOnly: Enabled}"), "needs readOnly: true");
    refused(
        &mount(
            "{name: data, mountPath: /a, readOnly: true, recursiveReadOnly: Enabled, mountPropagation: HostToContainer}",
        ),
        "needs mountPropagation: None",
    );
    ok(&mount("{name: data, mountPath: /a, recursiveReadOnly: Disabled}"));
    let pod = ok(&mount(
        "{name: data, mountPath: /a, subPathExpr: $(A)/b, readOnly: true, recursiveReadOnly: IfPossible}",
    ))
    .pod;
    let found = &pod.containers[0].mounts[0];
    assert_eq!(found.sub_path, Some(SubPath::Expression("$(A)/b".into())));
    assert!(found.recursive_read_only);
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
    let message = &warned.warnings[0].message;
    assert!(message.contains("fractional byte value \"100m\" should be an integer"), "{message}");
    let pod = ok(&manifest(
        "  resources: {limits: {cpu: 2, memory: 1Gi}}\n",
        "    resources: {requests: {cpu: 1}}\n",
    ))
    .pod;
    assert_eq!(pod.resources.requests, Amounts { cpu: Some(1000), memory: Some(1 << 30) });
}

#[test]
fn the_pods_own_resources_cover_those_of_its_containers() {
    let pod = |own: &str, web: &str| {
        manifest(
            &format!(
                "  resources: {own}\n  initContainers:\n  - name: proxy\n    image: x\n    restartPolicy: Always\n    resources: {{requests: {{cpu: 100m, memory: 4Mi}}, limits: {{memory: 99Mi}}}}\n  - name: init\n    image: x\n    resources: {{requests: {{cpu: 300m}}}}\n"
            ),
            &format!("    resources: {web}\n"),
        )
    };
    let sixteen = "{requests: {memory: 16Mi}}";
    ok(&pod("{requests: {memory: 20Mi, cpu: 400m}}", sixteen));
    refused(
        &pod("{requests: {memory: 19Mi}}", sixteen),
        "6:34: spec.resources.requests[\"memory\"]: must be greater than or equal to aggregate container requests of 20Mi",
    );
    refused(
        &pod("{requests: {cpu: 0.3}}", sixteen),
        "spec.resources.requests[\"cpu\"]: must be greater than or equal to aggregate container requests of 400m",
    );
    refused(
        &pod("{requests: {memory: 19Mi}}", "{limits: {memory: 16Mi}}"),
        "aggregate container requests of 20Mi", // a container's request defaults to its limit
    );
    // The pod's request defaults to the sum.
    refused(
        &pod("{limits: {memory: 19Mi}}", sixteen),
        "6:32: spec.resources.limits[\"memory\"]: must be greater than or equal to aggregate container requests of 20Mi",
    );
    ok(&pod("{limits: {memory: 20Mi}}", "{requests: {memory: 1Mi}, limits: {memory: 20Mi}}"));
    refused(
        &pod("{limits: {memory: 20Mi}}", "{requests: {memory: 1Mi}, limits: {memory: 21Mi}}"),
        "18:59: spec.containers[0].resources.limits[\"memory\"]: must be less than or equal to pod limits of 20Mi",
    );
}

#[test]
fn a_two_way_mount_is_for_privileged_containers_in_a_cluster() {
    let mount = |security: &str| {
        manifest(
            "  volumes: [{name: data}]\n",
            &format!(
                "    securityContext: {security}\n    volumeMounts: [{{name: data, mountPath: /a, mountPropagation: Bidirectional}}]\n"
            ),
        )
    };
    let warnings = |security: &str| {
        let Manifest { pod, warnings, .. } = ok(&mount(security));
        assert_eq!(pod.containers[0].mounts[0].propagation, Propagation::Bidirectional);
        warnings.len()
    };
    assert_eq!(warnings("{privileged: true}"), 0);
    assert_eq!((warnings("{privileged: false}"), warnings("{}")), (1, 1));
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
    refused(
        &container("{privileged: true, allowPrivilegeEscalation: false}"),
        "allowPrivilegeEscalation: false, but privileged is true",
    );
    refused(
        &manifest("  shareProcessNamespace: true\n", "    securityContext: {privileged: true}\n"),
        "capability ALL together with shareProcessNamespace",
    );
    ok(&container("{privileged: false, procMount: Default, seccompProfile: {type: Unconfined}}"));
    ok(&container("{seccompProfile: {type: RuntimeDefault}}"));
    ok(&container("{seccompProfile: {type: Localhost, localhostProfile: profiles/mine.json}}"));
    refused(&container("{seccompProfile: {type: Localhost}}"), "type Localhost needs it");
    let extra = container("{seccompProfile: {type: Unconfined, localhostProfile: a.json}}");
    refused(&extra, "only type Localhost has one");
    for path in ["/etc/a.json", "a/../b.json", "''"] {
        let outside =
            container(&format!("{{seccompProfile: {{type: Localhost, localhostProfile: {path}}}}}"));
        refused(&outside, "is not a path below the directory of profiles");
    }
    refused(&container("{capabilities: {add: [CAP_NET_ADMIN]}}"), "did you mean \"NET_ADMIN\"?");
    refused(&container("{capabilities: {drop: [all]}}"), "did you mean \"ALL\"?");
    refused(&container("{capabilities: {drop: [NONSENSE]}}"), "is not a capability");
    let sysctl =
        |name: &str| in_spec(&format!("  securityContext: {{sysctls: [{{name: {name}, value: '1'}}]}}\n"));
    for bad in ["kernel.hostname", "vm.swappiness", "kernel.core_pattern"] {
        refused(&sysctl(bad), "belongs to the whole machine");
    }
    for bad in ["a", "net..x", "net.ipv4/../x", "Net.x", "''"] {
        refused(&sysctl(bad), "is not the name of a kernel parameter");
    }
    refused(
        &in_spec("  securityContext: {sysctls: [{name: net.a, value: '1'}, {name: net/a, value: '2'}]}\n"),
        "is there twice",
    );
    let pod = ok(&sysctl("net/ipv4/ip_forward")).pod;
    assert_eq!(pod.security.sysctls, [("net.ipv4.ip_forward".to_owned(), "1".to_owned())]);
    assert_eq!(ok(&in_spec("  securityContext: {fsGroup: 7}\n")).pod.security.fs_group, Some(7));
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
    let sysctl = |field: &str, name: &str| {
        in_spec(&format!("  {field}: true\n  securityContext: {{sysctls: [{{name: {name}, value: '1'}}]}}\n"))
    };
    refused(&sysctl("hostNetwork", "net.a"), "net.a is the host's with hostNetwork: true");
    refused(&sysctl("hostIPC", "kernel.sem"), "kernel.sem is the host's with hostIPC: true");
    ok(&sysctl("hostNetwork", "kernel.sem"));
    ok(&sysctl("hostIPC", "net.a"));
    refused(&in_spec("  hostNetwork: true\n  hostnameOverride: x\n"), "together with hostNetwork");
    refused(&in_spec("  hostUsers: false\n"), "spec.hostUsers is not supported yet");
    refused(&in_container("    stdin: true\n"), "stdin is not supported yet");
    assert!(ok(&in_container("    tty: true\n")).pod.containers[0].tty);
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
