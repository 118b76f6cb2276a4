//! What the fields of a manifest do, on the built binary: what a container sees is the witness.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use support::*;

/// A pod whose one container, `app`, waits for TERM; `spec` is indented below `spec`, `container` below the container.
fn pod(name: &str, spec: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{app: web, tier: front}}\n  annotations: {{note: \"two\\nlines\"}}\nspec:\n  terminationGracePeriodSeconds: 1\n{spec}  containers:\n  - name: app\n    image: box\n    command: [sh, -c, \"{UNTIL_TERM}\"]\n{container}"
    )
}

/// A ConfigMap and a Secret, in front of the pod and behind it.
fn configured(pod: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata:\n  color: red\n  app.ini: |\n    [main]\n    depth=3\nbinaryData: {{blob: AAEC}}\n---\n{pod}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: keys}}\ndata: {{user: YWRtaW4=}}\nstringData: {{token: \"$(color)\"}}\n"
    )
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn variables_come_from_config_maps_secrets_and_the_pod_itself() {
    let lab = Lab::new();
    let container = "    resources: {limits: {cpu: 500m, memory: 64Mi}}
    envFrom:
    - {prefix: CFG_, configMapRef: {name: settings}}
    - secretRef: {name: keys}
    - {configMapRef: {name: absent, optional: true}}
    - {secretRef: {name: absent, optional: true}}
    env:
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
    - {name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: token}}}
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: TIER, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['tier']\"}}}
    - {name: POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
    - {name: CORES, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
    - {name: ABSENT, valueFrom: {secretKeyRef: {name: keys, key: none, optional: true}}}
    - {name: MISSING, valueFrom: {configMapKeyRef: {name: settings, key: none, optional: true}}}
    - {name: ALL, value: \"$(COLOR)-$(CFG_color)-$(user)-$(TOKEN)-$(ABSENT)\"}\n";
    lab.start_ready(&configured(&pod("variables", "", container)));
    let script = "for name in COLOR TOKEN NAME TIER IP MEMORY CORES ALL user token CFG_color; do eval \"echo $name=\\$$name\"; done; env | grep -c -e ABSENT= -e MISSING=; tr '\\0' '\\n' < /proc/1/environ | grep -a -e CFG_app.ini -e blob";
    let found = lab.sh("variables", "app", script);
    let expected = [
        "COLOR=red",
        "TOKEN=$(color)",
        "NAME=variables",
        "TIER=front",
        "IP=127.0.0.1",
        "MEMORY=64",
        "CORES=1",
        "ALL=red-red-admin-$(color)-$(ABSENT)",
        "user=admin",
        "token=$(color)",
        "CFG_color=red",
        "0",
        "CFG_app.ini=[main]",
    ];
    assert_eq!(lines(&found), expected, "{found}");
    let uid = lab.inspect("variables")["metadata"]["uid"].as_str().unwrap().to_owned();
    let node = nix::unistd::gethostname().unwrap().into_string().unwrap();
    assert_eq!(lines(&lab.sh("variables", "app", "echo $POD_UID; echo $NODE")), [uid, node]);
}

#[test]
fn a_reference_to_nothing_is_refused_before_anything_is_made() {
    let lab = Lab::new();
    let variable = "    env: [{name: A, valueFrom: {configMapKeyRef: {name: setings, key: color}}}]\n";
    let path = lab.manifest(&configured(&pod("nothing", "", variable)));
    let stderr = lab.fails(2, &["run", "-d", &path]);
    assert!(stderr.starts_with(&format!("barepod: {path}:23:57: ")), "{stderr}");
    assert!(stderr.contains("no ConfigMap is named \"setings\"; did you mean \"settings\"?"), "{stderr}");
    assert!(!lab.root().join("pods/nothing").exists());
}

#[test]
fn files_of_config_maps_and_secrets_have_a_kubelets_layout_modes_and_are_read_only() {
    let lab = Lab::new();
    let spec = "  volumes:
  - {name: all, configMap: {name: settings}}
  - {name: some, secret: {secretName: keys, defaultMode: 0400, items: [{key: user, path: deep/er/user}, {key: token, path: token, mode: 0444}]}}
  - {name: one, configMap: {name: settings, defaultMode: 0440, items: [{key: color, path: paint}]}}
  - {name: none, configMap: {name: absent, optional: true}}
  - {name: nothing, secret: {secretName: absent, optional: true}}\n";
    let mounts = "    volumeMounts: [{name: all, mountPath: /all}, {name: some, mountPath: /some, readOnly: false}, {name: one, mountPath: /one},
      {name: none, mountPath: /none}, {name: nothing, mountPath: /nothing}]\n";
    lab.start_ready(&configured(&pod("files", spec, mounts)));
    let sh = |script: &str| lab.sh("files", "app", script);
    assert_eq!(sh("cat /all/color /all/app.ini"), "red[main]\ndepth=3\n");
    assert_eq!(sh("od -An -tx1 /all/blob").trim(), "00 01 02");
    assert_eq!(sh("cat /some/deep/er/user /some/token"), "admin$(color)");
    assert_eq!(lines(&sh("ls /all")), ["app.ini", "blob", "color"]);
    assert_eq!(lines(&sh("readlink /all/color; readlink /some/deep")), ["..data/color", "..data/deep"]);
    let version = sh("readlink /all/..data");
    assert!(version.starts_with("..20") && version.matches('_').count() == 5, "{version}");
    let modes = sh("stat -L -c '%a %u:%g' /all/color /some/deep/er/user /some/token /some/deep /all/..data");
    assert_eq!(lines(&modes), ["644 0:0", "400 0:0", "444 0:0", "755 0:0", "755 0:0"]);
    assert_eq!(
        sh("ls /one; stat -L -c %a /one/paint; ls /none /nothing"),
        "paint\n440\n/none:\n\n/nothing:\n"
    );
    for path in ["/all/new", "/some/new", "/all/color"] {
        let refused = sh(&format!("(echo x > {path}) 2>&1 || true"));
        assert!(refused.contains("Read-only file system"), "{path}: {refused}");
    }
}

#[test]
fn a_projected_volume_has_files_of_every_source() {
    let lab = Lab::new();
    let spec = "  volumes:
  - name: v
    projected:
      defaultMode: 0440
      sources:
      - configMap: {name: settings, items: [{key: color, path: conf/color}]}
      - secret: {name: keys, items: [{key: user, path: conf/user, mode: 0600}]}
      - configMap: {name: absent, optional: true}
      - secret: {name: absent, optional: true}
      - downwardAPI:
          items:
          - {path: labels, fieldRef: {fieldPath: metadata.labels}}
          - {path: notes, fieldRef: {fieldPath: metadata.annotations}}
          - {path: cpu, resourceFieldRef: {containerName: app, resource: limits.cpu, divisor: 1m}}
  - name: own
    downwardAPI: {defaultMode: 0444, items: [{path: name, fieldRef: {fieldPath: metadata.name}}, {path: secret, mode: 0400, fieldRef: {fieldPath: metadata.uid}}]}\n";
    let container = "    resources: {limits: {cpu: 250m}}\n    volumeMounts: [{name: v, mountPath: /v}, {name: own, mountPath: /own}]\n";
    lab.start_ready(&configured(&pod("projected", spec, container)));
    let sh = |script: &str| lab.sh("projected", "app", script);
    assert_eq!(sh("cat /v/conf/color /v/conf/user"), "redadmin");
    assert_eq!(sh("cat /v/labels"), "app=\"web\"\ntier=\"front\"");
    assert_eq!(sh("cat /v/notes"), "note=\"two\\nlines\"");
    assert_eq!(sh("cat /v/cpu /own/name"), "250projected");
    let modes = sh("stat -L -c %a /v/conf/color /v/conf/user /own/name /own/secret");
    assert_eq!(lines(&modes), ["440", "600", "444", "400"]);
}

#[test]
fn fs_group_owns_the_pods_volumes_and_every_process_is_in_it() {
    let lab = Lab::new();
    let host = lab.dir.join("host");
    fs::create_dir(&host).unwrap();
    let spec = format!(
        "  securityContext: {{fsGroup: 2345, runAsUser: 1000, runAsGroup: 1000, supplementalGroups: [7]}}
  volumes:
  - {{name: data}}
  - {{name: keys, secret: {{secretName: keys, defaultMode: 0400, items: [{{key: user, path: d/user}}]}}}}
  - {{name: host, hostPath: {{path: {}}}}}\n",
        host.display()
    );
    let mounts = "    volumeMounts: [{name: data, mountPath: /data}, {name: keys, mountPath: /keys}, {name: host, mountPath: /host}]\n";
    lab.start_ready(&configured(&pod("grouped", &spec, mounts)));
    let sh = |script: &str| lab.sh("grouped", "app", script);
    assert_eq!(sh("id -G").trim(), "1000 7 2345");
    // What is made in the volume belongs to the group as well.
    sh("echo x > /data/made; mkdir /data/dir");
    let found = sh("stat -c '%a %u:%g' /data /data/made /data/dir");
    assert_eq!(lines(&found), ["2777 0:2345", "644 1000:2345", "2755 1000:2345"]);
    let found = sh("stat -L -c '%a %u:%g' /keys /keys/d /keys/d/user; cat /keys/d/user");
    assert_eq!(lines(&found), ["2777 0:2345", "2755 0:2345", "440 0:2345", "admin"]);
    assert_eq!(fs::metadata(&host).unwrap().gid(), 0, "a hostPath stays as it is");
}

#[test]
fn a_sub_path_is_made_like_its_volume_and_shows_nothing_else_of_it() {
    let lab = Lab::new();
    let host = lab.dir.join("host");
    fs::create_dir(&host).unwrap();
    fs::write(host.join("secret"), "no").unwrap();
    fs::set_permissions(&host, fs::Permissions::from_mode(0o750)).unwrap();
    let spec = format!(
        "  volumes:\n  - {{name: data}}\n  - {{name: host, hostPath: {{path: {}}}}}\n  - {{name: conf, configMap: {{name: settings}}}}\n",
        host.display()
    );
    let container = "    env: [{name: WHO, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    volumeMounts:
    - {name: data, mountPath: /data}
    - {name: data, mountPath: /part, subPath: a/b}
    - {name: host, mountPath: /logs, subPathExpr: logs/$(WHO)}
    - {name: conf, mountPath: /etc/app.ini, subPath: app.ini}\n";
    lab.start_ready(&configured(&pod("parts", &spec, container)));
    let sh = |script: &str| lab.sh("parts", "app", script);
    sh("echo x > /part/file; echo y > /logs/file");
    assert_eq!(
        sh("cat /data/a/b/file; ls /part; ls /logs; cat /etc/app.ini"),
        "x\nfile\nfile\n[main]\ndepth=3\n"
    );
    assert_eq!(fs::read_to_string(host.join("logs/parts/file")).unwrap(), "y\n");
    for made in ["logs", "logs/parts"] {
        assert_eq!(fs::metadata(host.join(made)).unwrap().permissions().mode() & 0o7777, 0o750, "{made}");
    }
    assert_eq!(lines(&sh("stat -c %a /data/a /data/a/b")), ["777", "777"]);
    let refused = sh("(echo x > /etc/app.ini) 2>&1 || true");
    assert!(refused.contains("Read-only file system"), "{refused}");
}

#[test]
fn a_sub_path_survives_a_restart_of_its_container() {
    let lab = Lab::new();
    let spec = "  volumes: [{name: data}, {name: conf, configMap: {name: settings}}]\n";
    let mounts = "    volumeMounts: [{name: data, mountPath: /part, subPath: a}, {name: conf, mountPath: /c, subPath: color}]\n";
    lab.start_ready(&configured(&pod("again", spec, mounts)));
    lab.sh("again", "app", "echo first > /part/file");
    lab.ok(&["kill", "again", "-c", "app"]);
    lab.until("the restart", seconds(10), || {
        let status = lab.status("again", "app");
        status["restartCount"] == 1 && !status["state"]["running"].is_null()
    });
    assert_eq!(lab.sh("again", "app", "cat /part/file /c"), "first\nred");
}

/// An init container puts links into a volume; the app that mounts them must not get what they point to on the host.
#[test]
fn a_sub_path_that_leads_out_of_its_volume_is_refused() {
    let lab = Lab::new();
    let host = lab.dir.join("host");
    fs::create_dir(&host).unwrap();
    fs::create_dir(lab.dir.join("outside")).unwrap();
    symlink(lab.dir.join("outside"), host.join("absolute")).unwrap();
    symlink("../outside", host.join("relative")).unwrap();
    symlink("real", host.join("inside")).unwrap();
    fs::create_dir(host.join("real")).unwrap();
    for (name, path, fine) in
        [("absolute", "absolute", false), ("relative", "relative/x", false), ("inside", "inside", true)]
    {
        let spec = format!("  volumes: [{{name: host, hostPath: {{path: {}}}}}]\n", host.display());
        let mounts = format!("    volumeMounts: [{{name: host, mountPath: /part, subPath: {path}}}]\n");
        let manifest = pod(name, &spec, &mounts);
        if fine {
            lab.start_ready(&manifest);
            lab.sh(name, "app", "echo x > /part/file");
            assert!(host.join("real/file").exists());
            continue;
        }
        lab.start(&manifest);
        lab.until("the refusal", seconds(10), || {
            lab.status(name, "app")["state"]["waiting"]["reason"] == "CreateContainerConfigError"
        });
        let message = lab.status(name, "app")["state"]["waiting"]["message"].to_string();
        assert!(message.contains("prepare subPath of volume host"), "{message}");
        assert_eq!(fs::read_dir(lab.dir.join("outside")).unwrap().count(), 0);
    }
}

#[test]
fn a_sub_path_of_a_variable_that_is_not_there_is_an_error() {
    let lab = Lab::new();
    let mounts = "    volumeMounts: [{name: data, mountPath: /part, subPathExpr: $(NOPE)}]\n";
    lab.start(&pod("nope", "  volumes: [{name: data}]\n", mounts));
    lab.until("the refusal", seconds(10), || {
        let waiting = lab.status("nope", "app")["state"]["waiting"].clone();
        waiting["reason"] == "CreateContainerConfigError"
            && waiting["message"].to_string().contains("there is no variable NOPE")
    });
    // What a variable brings in may not lead out either.
    let env = "    env: [{name: UP, value: ../..}]\n    volumeMounts: [{name: data, mountPath: /part, subPathExpr: $(UP)}]\n";
    lab.start(&pod("up", "  volumes: [{name: data}]\n", env));
    lab.until("the refusal", seconds(10), || {
        lab.status("up", "app")["state"]["waiting"]["message"].to_string().contains("has .. in it")
    });
}

#[test]
fn a_recursively_read_only_mount_covers_what_is_mounted_below() {
    let lab = Lab::new();
    let host = lab.dir.join("host");
    fs::create_dir_all(host.join("below")).unwrap();
    let tmpfs = nix::mount::mount(
        Some("tmpfs"),
        &host.join("below"),
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        None::<&str>,
    );
    tmpfs.unwrap();
    let spec = format!("  volumes: [{{name: host, hostPath: {{path: {}}}}}]\n", host.display());
    let mounts = "    volumeMounts:
    - {name: host, mountPath: /plain, readOnly: true}
    - {name: host, mountPath: /whole, readOnly: true, recursiveReadOnly: Enabled}\n";
    lab.start_ready(&pod("whole", &spec, mounts));
    let write =
        |path: &str| lab.sh("whole", "app", &format!("(echo x > {path}) 2>&1 && echo written || true"));
    let found = [write("/plain/a"), write("/plain/below/a"), write("/whole/a"), write("/whole/below/a")];
    lab.ok(&["rm", "-f", "whole"]);
    nix::mount::umount(&host.join("below")).unwrap();
    assert!(found[0].contains("Read-only"), "{found:?}");
    assert_eq!(found[1], "written\n", "only the mount itself is read-only without it");
    assert!(found[2].contains("Read-only") && found[3].contains("Read-only"), "{found:?}");
}

#[test]
fn aliases_a_subdomain_and_name_servers_are_in_the_pods_files() {
    let lab = Lab::new();
    let spec = "  hostname: shop
  subdomain: stores
  setHostnameAsFQDN: true
  hostAliases: [{ip: 10.9.8.7, hostnames: [db, db.example]}]
  dnsPolicy: None
  dnsConfig: {nameservers: [10.1.1.1], searches: [a.example, b.example], options: [{name: ndots, value: \"3\"}, {name: edns0}]}\n";
    lab.start_ready(&pod("named", spec, ""));
    let sh = |script: &str| lab.sh("named", "app", script);
    let hosts = sh("cat /etc/hosts");
    assert!(hosts.contains("\n127.0.0.1\tshop.stores.default.svc.cluster.local\tshop\n"), "{hosts}");
    assert!(hosts.ends_with("10.9.8.7\tdb\tdb.example\n"), "{hosts}");
    let names = sh("hostname; cat /etc/hostname; echo $HOSTNAME");
    assert_eq!(lines(&names), ["shop.stores.default.svc.cluster.local"; 3]);
    let resolv = sh("cat /etc/resolv.conf");
    assert_eq!(resolv, "search a.example b.example\nnameserver 10.1.1.1\noptions ndots:3 edns0\n");
}

#[test]
fn sysctls_are_those_of_the_pod_and_not_the_hosts() {
    let lab = Lab::new();
    let before = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let spec = "  securityContext:
    sysctls:
    - {name: net.ipv4.ip_local_port_range, value: \"40000 41000\"}
    - {name: net.ipv4.ip_unprivileged_port_start, value: \"500\"}
    - {name: kernel.shm_rmid_forced, value: \"1\"}\n";
    lab.start_ready(&pod("tuned", spec, ""));
    let found = lab.sh(
        "tuned",
        "app",
        "cd /proc/sys; cat net/ipv4/ip_local_port_range net/ipv4/ip_unprivileged_port_start kernel/shm_rmid_forced",
    );
    assert_eq!(lines(&found), ["40000\t41000", "500", "1"]);
    assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap(), before);
}

#[test]
fn a_privileged_container_has_every_capability_the_hosts_devices_and_a_writable_sys() {
    let lab = Lab::new();
    let container = |name: &str, security: &str| {
        format!("  - {{name: {name}, image: box, command: [sleep, '600'], securityContext: {security}}}\n")
    };
    let more = container("all", "{privileged: true}") + &container("open", "{procMount: Unmasked}");
    lab.start_ready(&(pod("mighty", "", "") + &more));
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let of = |status: &str| {
        let set = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        ["CapPrm:", "CapEff:", "CapBnd:"].map(set)
    };
    let status = |name: &str| of(&lab.sh("mighty", name, "cat /proc/1/status"));
    assert_eq!(status("all"), of(&own));
    assert_ne!(status("app"), of(&own));
    let devices = "stat -c %t:%T /dev/kmsg";
    let kmsg = fs::metadata("/dev/kmsg").unwrap().rdev();
    let kmsg = format!("{:x}:{:x}\n", nix::sys::stat::major(kmsg), nix::sys::stat::minor(kmsg));
    assert_eq!(lab.sh("mighty", "all", devices), kmsg);
    assert_eq!(lab.sh("mighty", "app", &format!("{devices} 2>/dev/null || echo none")), "none\n");
    let options = |name: &str, place: &str| {
        let mounts = lab.sh("mighty", name, "cat /proc/mounts");
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(place)).map(str::to_owned);
        line.map(|line| line.split(' ').nth(3).unwrap().split(',').next().unwrap().to_owned())
    };
    assert_eq!(options("all", "/sys").as_deref(), Some("rw"));
    assert_eq!(options("app", "/sys").as_deref(), Some("ro"));
    for (name, masked) in [("all", false), ("open", false), ("app", true)] {
        assert_eq!(options(name, "/proc/sys").is_some(), masked, "{name}");
    }
}

#[test]
fn all_capabilities_are_those_that_barepod_has() {
    let lab = Lab::new();
    lab.start_ready(&pod("able", "", "    securityContext: {capabilities: {add: [ALL], drop: [NET_RAW]}}\n"));
    let found = lab.sh("able", "app", "grep CapEff /proc/1/status");
    let number = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find(|line| line.starts_with("CapEff")).unwrap();
    let net_raw = 1 << 13;
    assert_eq!(number(&found), number(own) & !net_raw);
}

#[test]
fn host_network_and_host_ipc_share_the_hosts_and_leave_it_as_it_is() {
    let lab = Lab::new();
    let hostname = || nix::unistd::gethostname().unwrap().into_string().unwrap();
    let port = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let before = (hostname(), fs::read_to_string(port).unwrap());
    lab.start_ready(&pod("guest", "  hostNetwork: true\n  hostIPC: true\n", ""));
    lab.start_ready(&pod("other", "", ""));
    let own = |kind: &str| fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string();
    let of =
        |pod: &str, kind: &str| lab.sh(pod, "app", &format!("readlink /proc/1/ns/{kind}")).trim().to_owned();
    for (kind, shared) in [("net", true), ("ipc", true), ("uts", true), ("pid", false), ("mnt", false)] {
        assert_eq!(of("guest", kind) == own(kind), shared, "{kind}");
        assert_ne!(of("other", kind), own(kind), "{kind}");
    }
    let name = lab.sh("guest", "app", "hostname; cat /etc/hostname; echo $HOSTNAME");
    assert_eq!(lines(&name), [&before.0; 3]);
    let shm = |pod: &str| lab.sh(pod, "app", "stat -c %d /dev/shm").trim().to_owned();
    assert_eq!(shm("guest"), fs::metadata("/dev/shm").unwrap().dev().to_string());
    assert_ne!(shm("other"), shm("guest"));
    lab.ok(&["rm", "-f", "guest"]);
    assert_eq!((hostname(), fs::read_to_string(port).unwrap()), before);
}

#[test]
fn a_user_has_the_groups_that_the_image_gives_it() {
    let lab = Lab::new();
    let bundle = lab.dir.join("bundles/own");
    own_bundle(&bundle);
    fs::write(bundle.join("config.json"), config().to_string()).unwrap();
    // Links to the shared bundle's: replaced, not written to.
    for (name, text) in
        [("passwd", "root:x:0:0::/:\nweb:x:1000:50::/:\n"), ("group", "www:x:33:web\nmail:x:8:root,web\n")]
    {
        fs::remove_file(bundle.join("rootfs/etc").join(name)).unwrap();
        fs::write(bundle.join("rootfs/etc").join(name), text).unwrap();
    }
    let image = bundle.to_str().unwrap();
    let container = |name: &str, security: &str| {
        format!(
            "  - {{name: {name}, image: {image}, command: [sleep, '600'], securityContext: {security}}}\n"
        )
    };
    let manifest = pod("accounts", "", "    securityContext: {runAsUser: 1000}\n")
        .replace("image: box", &format!("image: {image}"))
        + &container("named", "{runAsUser: 1000, runAsGroup: 60}")
        + &container("stranger", "{runAsUser: 7}");
    lab.start_ready(&manifest);
    let strict = manifest.replace("name: accounts", "name: strict").replace(
        "spec:\n",
        "spec:\n  securityContext: {supplementalGroups: [9], supplementalGroupsPolicy: Strict}\n",
    );
    lab.start_ready(&strict);
    let groups = |pod: &str, name: &str| lab.sh(pod, name, "id -G").trim().to_owned();
    assert_eq!(groups("accounts", "app"), "50 8 33");
    assert_eq!(groups("accounts", "named"), "60 8 33");
    assert_eq!(groups("accounts", "stranger"), "0");
    assert_eq!(groups("strict", "app"), "50 9");
}

#[test]
fn a_seccomp_profile_holds_for_the_program_and_for_what_enters_the_container() {
    let lab = Lab::new();
    let profile = serde_json::json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
    });
    fs::write(lab.dir.join("mine.json"), profile.to_string()).unwrap();
    // What the bundle's root may do without any capability, and a filter forbids.
    let shows =
        "unshare -U true 2>/dev/null && echo namespace; mkdir /tmp/new 2>&1; grep Seccomp: /proc/self/status";
    let one = |name: &str, security: &str| {
        format!(
            "  - {{name: {name}, image: box, command: [sh, -c, '({shows}) >/o; {UNTIL}'], \
             securityContext: {{{security}}}}}\n",
            UNTIL = UNTIL_TERM.replace('\'', "\"")
        )
    };
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: filtered}}\nspec:\n  terminationGracePeriodSeconds: 1\n  \
         securityContext: {{seccompProfile: {{type: RuntimeDefault}}}}\n  containers:\n{}{}{}{}",
        one("pods", ""),
        one("open", "seccompProfile: {type: Unconfined}"),
        one("local", "seccompProfile: {type: Localhost, localhostProfile: mine.json}"),
        one("privileged", "privileged: true"),
    );
    let run = |manifest: &str| {
        let path = lab.manifest(manifest);
        let mut command = lab.command(&["run", "-d", &path]);
        assert!(command.env("BAREPOD_SECCOMP", &lab.dir).status().unwrap().success());
    };
    run(&manifest);
    lab.ok(&["wait", "filtered", "--for=Ready", "--timeout", &format!("{}s", seconds(20).as_secs())]);
    for (container, namespace, full, mode) in [
        ("pods", false, false, 2),
        ("open", true, false, 0),
        ("local", true, true, 2),
        ("privileged", true, false, 0),
    ] {
        let own = lab.sh("filtered", container, "cat /o; rmdir /tmp/new 2>/dev/null; true");
        let entered = lab.sh("filtered", container, shows);
        for text in [own, entered] {
            assert_eq!(text.contains("namespace\n"), namespace, "{container}: {text}");
            assert_eq!(text.contains("No space left on device"), full, "{container}: {text}");
            assert!(text.contains(&format!("Seccomp:\t{mode}\n")), "{container}: {text}");
        }
    }
    lab.ok(&["rm", "-f", "filtered"]);
    // A profile that is not there: the container is not created, and tried again.
    run(&manifest.replace("mine.json", "none.json"));
    lab.until("the reason", seconds(10), || {
        lab.status("filtered", "local")["state"]["waiting"]["reason"] == "CreateContainerError"
    });
    let said = lab.ok(&["events", "filtered"]);
    assert!(said.contains("none.json"), "{said}");
}
