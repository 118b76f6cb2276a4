//! What `explain --script` writes does by hand what barepod does: the script makes its pod beside barepod's own, and the two
//! are compared, container by container, by what the kernel says of them. These tests need the repository and its bundles.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use barepod::explain::script::DIFFERENCES;
use support::*;

/// What the two pods may differ in: what is compared, what the difference looks like, and the word under which the script's
/// head gives the reason. Whatever is not here must be the same.
const ALLOWED: [(&str, &str, &str); 6] = [
    ("mounts", "the options lowerdir, upperdir and workdir of an overlay", "layers"),
    ("mounts", "the order in which the kernel lists them, by when their sources were taken", "sources"),
    (
        "cgroup",
        "the device policy of cgroup v2, which no file shows; on v1 devices.list is compared",
        "devices",
    ),
    ("process", "the parent, which is unshare(1) or nsenter(1) and not the PID 1 of the pod", "processes"),
    ("process", "the filter for system calls; without one Seccomp is compared", "seccomp"),
    ("process", "standard output and error, which are a file", "streams"),
];

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn pods() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join("pods")).unwrap().map(|entry| entry.unwrap().path());
    let mut pods: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect();
    pods.sort();
    assert!(pods.len() >= 5, "this test looks at the wrong folder");
    pods
}

/// A pod that a script has made; taken down when it is dropped.
struct ByHand {
    script: PathBuf,
    root: PathBuf,
}

impl ByHand {
    /// Writes the script of a manifest, and runs it.
    fn up(lab: &Lab, manifest: &Path, bundles: &Path) -> ByHand {
        ByHand::up_changed(lab, manifest, bundles, &|text| text)
    }

    /// The same with a change to the script.
    fn up_changed(lab: &Lab, manifest: &Path, bundles: &Path, change: &dyn Fn(String) -> String) -> ByHand {
        let text = lab.ok(&[
            "explain",
            "--script",
            "--bundles",
            bundles.to_str().unwrap(),
            manifest.to_str().unwrap(),
        ]);
        let made = ByHand { script: lab.dir.join("pod.sh"), root: lab.dir.join("by-hand") };
        fs::write(&made.script, change(text)).unwrap();
        let output = made.run("up");
        assert!(output.status.success(), "up: {}", String::from_utf8_lossy(&output.stderr));
        made
    }

    fn run(&self, verb: &str) -> Output {
        let mut command = Command::new("bash");
        // Files of their own, not pipes: what goes on in the background would hold them open.
        let (out, err) = (self.script.with_extension("out"), self.script.with_extension("err"));
        command.arg(&self.script).arg(verb).env("ROOT", &self.root).stdin(Stdio::null());
        command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
        let status = command.status().unwrap();
        Output { status, stdout: fs::read(out).unwrap(), stderr: fs::read(err).unwrap() }
    }

    fn pid(&self, name: &str) -> Option<i32> {
        fs::read_to_string(self.root.join("pids").join(name)).ok()?.trim().parse().ok()
    }

    /// What it has said, and its containers.
    fn log(&self) -> String {
        let logs = fs::read_dir(self.root.join("logs")).into_iter().flatten().flatten();
        let all = std::iter::once(self.root.join("log")).chain(logs.map(|entry| entry.path()));
        all.map(|path| format!("{}:\n{}", path.display(), fs::read_to_string(&path).unwrap_or_default()))
            .collect()
    }

    fn down(self) {
        let output = self.run("down");
        let words = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(output.status.success() && words.is_empty(), "down: {words}");
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        if self.root.exists() {
            self.run("down");
        }
    }
}

/// Host pid of a running container of barepod's pod.
fn barepods(lab: &Lab, pod: &str, container: &str) -> Option<i32> {
    let record = lab.record(pod);
    let mut instances = record["instances"].as_array().unwrap().iter();
    let found = instances.rfind(|one| one["container"] == container)?;
    found["process"]["pid"].as_i64().map(|pid| pid as i32).filter(|pid| state(*pid).is_some())
}

const NAMESPACES: [&str; 7] = ["pid", "mnt", "net", "ipc", "uts", "cgroup", "user"];

/// Letters instead of inode numbers: the host, the PID 1 of the pod, the containers; the same letter is the same namespace.
fn sharing(processes: &[i32]) -> Vec<String> {
    let letters = |kind: &&str| {
        let mut seen: Vec<PathBuf> = Vec::new();
        let mut row = format!("{kind}:");
        for pid in [std::process::id() as i32].iter().chain(processes) {
            let inode = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
            let at = seen.iter().position(|one| *one == inode).unwrap_or_else(|| {
                seen.push(inode);
                seen.len() - 1
            });
            row.push(char::from(b'A' + at as u8));
        }
        row
    };
    NAMESPACES.iter().map(letters).collect()
}

/// The mounts of a process without what differs from one run to the next: numbers of mounts, devices and peer groups, names of
/// sources, layers of an overlay.
fn mounts(pid: i32, own: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let line = |line: &str| {
        let (mount, filesystem) = line.split_once(" - ").unwrap();
        let mount: Vec<&str> = mount.split(' ').collect();
        let tags = mount[6..].iter().map(|tag| tag.split(':').next().unwrap());
        let filesystem: Vec<&str> = filesystem.split(' ').collect();
        let of_layers =
            |option: &&str| ["lowerdir", "upperdir", "workdir"].iter().any(|name| option.starts_with(name));
        let options: Vec<&str> = filesystem[2].split(',').filter(|option| !of_layers(option)).collect();
        format!(
            "{} {} {} {} {} {}",
            mount[3].replace(own, "POD"),
            mount[4],
            mount[5],
            tags.collect::<Vec<_>>().join("+"),
            filesystem[0],
            options.join(",")
        )
    };
    let mut lines: Vec<String> = text.lines().map(line).collect();
    lines.sort();
    lines
}

/// Where a process is in each hierarchy; the pod's own part of the path is the same for both.
fn membership(pid: i32, own: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let mut lines: Vec<String> =
        text.lines().map(|line| line.split_once(':').unwrap().1.replace(own, "POD")).collect();
    lines.sort();
    lines
}

/// Every setting of a cgroup: what can be written and read, but for what counts or lists.
fn settings(cgroup: &str) -> BTreeMap<String, String> {
    const OTHERS: [&str; 10] =
        ["usage", "failcnt", "peak", "pressure", "procs", "tasks", "threads", "event", "reclaim", "kill"];
    let mut all = BTreeMap::new();
    for directory in cgroup_directories(cgroup) {
        for entry in fs::read_dir(&directory).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let mode = entry.metadata().unwrap().mode();
            let is_setting = mode & 0o200 != 0 && mode & 0o400 != 0 || name == "devices.list";
            if entry.file_type().unwrap().is_file()
                && is_setting
                && !OTHERS.iter().any(|other| name.contains(other))
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                let mut lines: Vec<&str> = text.lines().collect();
                lines.sort_unstable();
                all.insert(name, lines.join("\n"));
            }
        }
    }
    all
}

/// What a process is allowed and has been given.
fn process(pid: i32) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kept = [
        "Umask",
        "Uid",
        "Gid",
        "Groups",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
        "SigIgn",
        "SigBlk",
    ];
    let mut facts: Vec<String> = status
        .lines()
        .filter(|line| kept.contains(&line.split(':').next().unwrap()))
        .map(str::to_owned)
        .collect();
    assert_eq!(facts.len(), kept.len(), "{status}");
    let read = |name: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap();
        format!("{name}: {}", String::from_utf8_lossy(&bytes))
    };
    facts.extend(["oom_score_adj", "limits", "environ", "cmdline", "comm"].map(read));
    let link = |name: &str| {
        let link = fs::read_link(format!("/proc/{pid}/{name}")).unwrap();
        format!("{name}: {}", link.display())
    };
    facts.extend([link("cwd"), link("exe")]);
    let own_session = nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid))).unwrap().as_raw() == pid;
    facts.push(format!("leads a session: {own_session}"));
    let depth = status.lines().find(|line| line.starts_with("NSpid:")).unwrap().split_whitespace().count();
    facts.push(format!("depth of its PID namespace: {}", depth - 1));
    facts
}

/// What the namespaces that it shares with others look like from inside.
fn shared(pid: i32) -> Vec<String> {
    let pid = pid.to_string();
    let inside = |option: &str, command: &[&str]| {
        let output = Command::new("nsenter").args(["--target", &pid, option]).args(command).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    vec![
        inside("--uts", &["hostname"]),
        inside("--net", &["ip", "-o", "address", "show", "lo"]),
        inside(
            "--net",
            &["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/net/ipv4/tcp_syncookies"],
        ),
        inside("--ipc", &["cat", "/proc/sys/kernel/shmmni"]),
    ]
}

/// What lies at a path inside: kind, mode, owner, and what is in it.
fn files(pid: i32, path: &str, into: &mut Vec<String>) {
    let at = PathBuf::from(format!("/proc/{pid}/root{path}"));
    let Ok(meta) = at.symlink_metadata() else { return into.push(format!("{path}: nothing")) };
    let kind = meta.file_type();
    let what = if kind.is_symlink() {
        let target = fs::read_link(&at).unwrap().display().to_string();
        // The folder of one version of the files has a name of its own.
        format!("link to {}", if path.ends_with("..data") { "a version" } else { &target })
    } else if kind.is_char_device() || kind.is_block_device() {
        format!("device {}", meta.rdev())
    } else if kind.is_dir() {
        "directory".to_owned()
    } else {
        format!("{:?}", fs::read_to_string(&at).unwrap_or_default())
    };
    into.push(format!("{path}: {:o} {}:{} {what}", meta.mode(), meta.uid(), meta.gid()));
    if kind.is_dir() {
        let mut names: Vec<String> = fs::read_dir(&at)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        for name in names.iter().filter(|name| !name.starts_with("..") || *name == "..data") {
            files(pid, &format!("{path}/{name}"), into);
        }
    }
}

/// Gives programs and hooks a moment: they may still be writing, and a shell blocks signals now and then.
fn settle(mut settled: impl FnMut() -> bool) {
    let start = Instant::now();
    while !settled() && start.elapsed() < seconds(3) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Makes the pod of a manifest by hand and by barepod, side by side, and compares them. `running`: its containers that run
/// when both are there; `looked_at`: paths inside, beside `/dev` and `/etc`.
fn compare(manifest: &Path, bundles: &Path, lab: &Lab, name: &str, running: &[&str], looked_at: &[&str]) {
    compare_with(manifest, bundles, lab, name, running, looked_at, &|text| text);
}

/// The same after a change to the script.
fn compare_with(
    manifest: &Path,
    bundles: &Path,
    lab: &Lab,
    name: &str,
    running: &[&str],
    looked_at: &[&str],
    change: &dyn Fn(String) -> String,
) {
    let by_hand = ByHand::up_changed(lab, manifest, bundles, change);
    lab.ok(&["run", "-d", "--bundles", bundles.to_str().unwrap(), manifest.to_str().unwrap()]);
    let mut pairs = Vec::new();
    for container in running {
        let mut pair = None;
        lab.until(&format!("{container} to run in both\n{}", by_hand.log()), seconds(30), || {
            pair = by_hand.pid(container).zip(barepods(lab, name, container));
            // Both execute their programs when they say the same of themselves.
            pair.is_some_and(|(one, other)| {
                command_line(one) == command_line(other) && !command_line(one).is_empty()
            })
        });
        pairs.push(pair.unwrap());
    }
    let inits = (by_hand.pid("SANDBOX").unwrap(), lab.init_pid(name));
    let (ours, theirs): (Vec<i32>, Vec<i32>) = std::iter::once(inits).chain(pairs.clone()).unzip();
    assert_eq!(sharing(&ours), sharing(&theirs), "{name}: namespaces: host, PID 1 of the pod, {running:?}");

    let record = lab.record(name);
    let cgroups =
        [format!("{}/by-hand/{name}", lab.cgroup_parent()), record["cgroup"].as_str().unwrap().to_owned()];
    assert_eq!(
        membership(inits.0, &cgroups[0]),
        membership(inits.1, &cgroups[1]),
        "{name}: PID 1 of the pod"
    );
    let limits = |leaf: &str| cgroups.clone().map(|cgroup| settings(&format!("{cgroup}/{leaf}")));
    for leaf in ["pod", "init"] {
        let [ours, theirs] = limits(leaf);
        assert!(!ours.is_empty() && ours == theirs, "{name}: cgroup {leaf}: {ours:#?}\n{theirs:#?}");
    }
    for (container, (ours, theirs)) in running.iter().zip(pairs) {
        let at = format!("{name}: {container}");
        assert_eq!(membership(ours, &cgroups[0]), membership(theirs, &cgroups[1]), "{at}: cgroups");
        let limits = limits(&format!("pod/{container}.0"));
        assert_eq!(limits[0], limits[1], "{at}: limits");
        assert_eq!(mounts(ours, &cgroups[0]), mounts(theirs, &cgroups[1]), "{at}: mounts");
        settle(|| process(ours) == process(theirs));
        assert_eq!(process(ours), process(theirs), "{at}: process");
        assert_eq!(shared(ours), shared(theirs), "{at}: what it shares");
        for path in ["/dev", "/etc"].iter().chain(looked_at) {
            let list = |pid: i32| {
                let mut list = Vec::new();
                files(pid, path, &mut list);
                list
            };
            settle(|| list(ours) == list(theirs));
            assert_eq!(list(ours), list(theirs), "{at}: files\n{}", by_hand.log());
        }
    }
    lab.ok(&["rm", "-f", name]);
    gone(lab, by_hand, &ours);
}

/// Takes the pod down, after which nothing of it is left.
fn gone(lab: &Lab, by_hand: ByHand, processes: &[i32]) {
    let root = by_hand.root.clone();
    by_hand.down();
    assert!(!root.exists(), "{} is left", root.display());
    for pid in processes {
        assert!(has_ended(*pid), "process {pid} is left: {}", command_line(*pid));
    }
    let ours = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&format!("ROOT={}", root.display()))
    };
    // unshare(1) ends when its child has.
    lab.until("the last process to end", seconds(5), || !all_processes().iter().any(ours));
    assert_eq!(lab.processes(), Vec::<i32>::new(), "processes in a cgroup");
    let cgroups = cgroup_directories(&format!("{}/by-hand", lab.cgroup_parent()));
    assert_eq!(cgroups, Vec::<PathBuf>::new(), "cgroups are left");
    for pid in all_processes() {
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        assert!(!mounts.contains(root.to_str().unwrap()), "a mount is left in the namespace of {pid}");
    }
}

fn compare_pod(name: &str, running: &[&str], looked_at: &[&str]) {
    let lab = Lab::new();
    let bundles = repository().join("bundles");
    assert!(bundles.join("proxy/rootfs/bin/proxy").is_file(), "run scripts/bundles first");
    let manifest = repository().join(format!("pods/{name}.yaml"));
    compare(&manifest, &bundles, &lab, name, running, looked_at);
}

#[test]
fn the_demo_pod_by_hand_is_barepods() {
    compare_pod("log-shipping", &["log-shipper", "web"], &["/www"]);
}

#[test]
fn a_pod_with_a_native_sidecar_by_hand_is_barepods() {
    compare_pod("native-sidecar", &["proxy", "app"], &[]);
}

#[test]
fn a_pod_with_a_helper_by_hand_is_barepods() {
    compare_pod("sidecar", &["app", "shipper"], &["/config"]);
}

#[test]
fn an_init_container_by_hand_is_barepods() {
    compare_pod("init-containers", &["wait-for-service"], &["/config"]);
}

/// Bundle `box` with limits of its own and a tmpfs that becomes read-only.
fn strict_bundle(lab: &Lab, name: &str) -> PathBuf {
    let bundles = lab.dir.join(name);
    own_bundle(&bundles.join("box:1,0"));
    let private = bundles.join("box:1,0/rootfs/private");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o750)).unwrap();
    let mut config = config();
    config["process"]["noNewPrivileges"] = true.into();
    config["process"]["oomScoreAdj"] = 321.into();
    config["process"]["user"]["umask"] = 0o27.into();
    config["process"]["rlimits"] = serde_json::json!([
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]);
    let list = config["mounts"].as_array_mut().unwrap();
    list.push(serde_json::json!(
        {"destination": "/cache/deep", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "noexec", "noatime", "size=1m"]}
    ));
    list.push(serde_json::json!({"destination": "/private", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]}));
    list.push(serde_json::json!(
        {"destination": "/opt/of-host", "source": "/usr", "options": ["rbind", "rro", "nosuid"]}
    ));
    fs::write(bundles.join("box:1,0/config.json"), config.to_string()).unwrap();
    bundles
}

const FEATURES: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  plain: "it's $HOME, \"quoted\"\n"
  empty: ""
binaryData:
  bytes: AAEC/v8=
---
apiVersion: v1
kind: Secret
metadata: {name: word}
stringData: {word: "open `sesame`"}
---
apiVersion: v1
kind: Pod
metadata: {name: features, labels: {app: features}}
spec:
  hostname: other-name
  terminationGracePeriodSeconds: 30
  hostAliases: [{ip: 10.1.2.3, hostnames: [one, two]}]
  dnsConfig: {options: [{name: ndots, value: "3"}]}
  securityContext:
    runAsUser: 1000
    runAsGroup: 1001
    fsGroup: 2001
    supplementalGroups: [2000, 3000]
    sysctls: [{name: net.ipv4.tcp_syncookies, value: "0"}, {name: kernel.shmmni, value: "1234"}]
  volumes:
  - {name: made, hostPath: {path: HOST/made/dir, type: DirectoryOrCreate}}
  - {name: file, hostPath: {path: HOST/file, type: FileOrCreate}}
  - {name: data, emptyDir: {sizeLimit: 1Mi}}
  - {name: settings, configMap: {name: settings, defaultMode: 0400}}
  - name: all
    projected:
      sources:
      - {secret: {name: word, items: [{key: word, path: deep/er/word, mode: 0440}]}}
      - {downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
  initContainers:
  - name: waits
    image: box:1,0
    command: [sh, -c, "trap 'exit 1' TERM; until [ -e /data/go ]; do sleep 0.1; done"]
    volumeMounts: [{name: data, mountPath: /data}]
    resources: {limits: {cpu: 100m, memory: 32Mi}}
  containers:
  - name: web
    image: box:1,0
    command: [sh, -c]
    args: ["trap 'exit 0' TERM; echo \"$(id)\"; while :; do sleep 0.1; done", "a b", "it's", ""]
    workingDir: /work/deep
    env:
    - {name: QUOTED, value: "it's \"$HOME\" and `id`"}
    - {name: LINES, value: "two\nlines"}
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
    - {name: WORD, valueFrom: {secretKeyRef: {name: word, key: word}}}
    securityContext: {readOnlyRootFilesystem: true, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}
    volumeMounts:
    - {name: made, mountPath: /host, readOnly: true, recursiveReadOnly: Enabled}
    - {name: file, mountPath: /host-file}
    - {name: data, mountPath: /data, mountPropagation: HostToContainer}
    - {name: data, mountPath: /part, subPath: "a b/c"}
    - {name: data, mountPath: /shared, mountPropagation: Bidirectional}
    - {name: settings, mountPath: /settings}
    - {name: all, mountPath: /all}
    resources: {limits: {cpu: 300m, memory: 32Mi}, requests: {cpu: 200m}}
    lifecycle:
      postStart: {exec: {command: [sh, -c, "id >/data/after-start; tr '\\0' '\\n' </proc/self/environ >>/data/after-start; umask >>/data/after-start"]}}
      preStop: {exec: {command: [sh, -c, "echo stopping >>/data/after-start"]}}
  - name: root
    image: box:1,0
    command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
    securityContext: {runAsUser: 0, allowPrivilegeEscalation: true, procMount: Default}
    resources: {limits: {cpu: 300m, memory: 32Mi}}
"#;

#[test]
fn a_pod_with_volumes_limits_and_users_by_hand_is_barepods() {
    let lab = Lab::new();
    let host = lab.dir.join("host");
    fs::create_dir(&host).unwrap();
    let manifest = lab.manifest(&FEATURES.replace("HOST", host.to_str().unwrap()));
    let bundles = strict_bundle(&lab, "bundles");
    compare_after_init(&lab, Path::new(&manifest), &bundles);
    assert!(host.join("made/dir").is_dir() && host.join("file").is_file());
}

/// Compares the pod while its init container waits, then lets both go on and compares the rest.
fn compare_after_init(lab: &Lab, manifest: &Path, bundles: &Path) {
    let text = fs::read_to_string(manifest).unwrap();
    // Once with the init container alone in view …
    compare(manifest, bundles, lab, "features", &["waits"], &["/data"]);
    // … and once without it.
    let without = text.replace("until [ -e /data/go ]; do sleep 0.1; done", "true");
    assert_ne!(text, without);
    let manifest = lab.manifest(&without);
    let looked_at = ["/host", "/host-file", "/data", "/part", "/settings", "/all", "/work", "/cache"];
    compare(Path::new(&manifest), bundles, lab, "features", &["web", "root"], &looked_at);
}

#[test]
fn a_shared_process_namespace_by_hand_is_barepods() {
    let lab = Lab::new();
    let manifest = lab.manifest(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: sharing}\nspec:\n  shareProcessNamespace: true\n  \
         terminationGracePeriodSeconds: 1\n  containers:\n  - {name: one, image: box, command: [sh, -c, 'sleep 600 & wait']}\n  \
         - {name: two, image: box, command: [sleep, '600']}\n",
    );
    compare(Path::new(&manifest), &bundles(), &lab, "sharing", &["one", "two"], &[]);
}

#[test]
fn the_hosts_namespaces_by_hand_are_barepods() {
    let lab = Lab::new();
    let manifest = lab.manifest(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: of-host}\nspec:\n  hostNetwork: true\n  hostIPC: true\n  \
         terminationGracePeriodSeconds: 1\n  containers:\n  - {name: one, image: box, command: [sleep, '600']}\n",
    );
    compare(Path::new(&manifest), &bundles(), &lab, "of-host", &["one"], &[]);
}

#[test]
fn what_differs_has_its_reason_in_the_scripts_head() {
    for (what, _, reason) in ALLOWED {
        assert!(DIFFERENCES.iter().any(|(key, _)| *key == reason), "{what}: no reason {reason}");
    }
    let lab = Lab::new();
    let manifest = repository().join("pods/two-apps.yaml");
    let bundles = repository().join("bundles");
    let text =
        lab.ok(&["explain", "--script", "--bundles", bundles.to_str().unwrap(), manifest.to_str().unwrap()]);
    let head: String = text.lines().take_while(|line| line.starts_with('#')).collect();
    let words = |text: &str| {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let head = words(&head);
    for (key, difference) in DIFFERENCES {
        // Only where it is so.
        let told = head.contains(&words(difference));
        assert!(told || ["devices", "seccomp"].contains(&key), "{difference}");
    }
}

#[test]
fn nothing_is_left_of_a_pod_that_has_ended_by_itself() {
    let lab = Lab::new();
    let bundles = repository().join("bundles");
    let by_hand = ByHand::up(&lab, &repository().join("pods/two-apps.yaml"), &bundles);
    lab.until("both apps to have printed", seconds(20), || by_hand.log().contains("6 /shared/line"));
    assert!(by_hand.log().contains("one line from the init container"), "{}", by_hand.log());
    let processes: Vec<i32> = by_hand.pid("SANDBOX").into_iter().collect();
    // A second one is refused, and the first is not touched.
    let again = by_hand.run("up");
    assert!(
        !again.status.success() && String::from_utf8_lossy(&again.stderr).contains("it is there already")
    );
    gone(&lab, by_hand, &processes);
}

#[test]
fn what_goes_wrong_on_the_way_up_leaves_nothing() {
    let lab = Lab::new();
    let manifest = lab.manifest(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: wrong}\nspec:\n  volumes:\n  - {name: v, hostPath: {path: /nowhere/at/all, type: Directory}}\n  \
         containers:\n  - {name: one, image: box, command: [sleep, '600'], volumeMounts: [{name: v, mountPath: /v}]}\n",
    );
    let text = lab.ok(&["explain", "--script", &manifest]);
    let made = ByHand { script: lab.dir.join("pod.sh"), root: lab.dir.join("by-hand") };
    fs::write(&made.script, text).unwrap();
    let output = made.run("up");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("hostPath of volume v is not a directory"), "{error}");
    assert!(!made.root.exists(), "the state directory is left");
    assert_eq!(cgroup_directories(&format!("{}/by-hand", lab.cgroup_parent())), Vec::<PathBuf>::new());
}

#[test]
fn the_script_is_clean_for_shellcheck_and_needs_root_only_to_run() {
    use std::os::unix::process::CommandExt;
    let lab = Lab::new();
    let own = lab.manifest(&FEATURES.replace("HOST", "/srv/a b"));
    let strict = strict_bundle(&lab, "bundles");
    let mut manifests: Vec<(PathBuf, PathBuf)> =
        pods().into_iter().map(|path| (path, repository().join("bundles"))).collect();
    manifests.push((PathBuf::from(own), strict));
    for (manifest, bundles) in manifests {
        let text = lab.ok(&[
            "explain",
            "--script",
            "--bundles",
            bundles.to_str().unwrap(),
            manifest.to_str().unwrap(),
        ]);
        let script = lab.dir.join("pod.sh");
        fs::write(&script, text).unwrap();
        let checked = Command::new("shellcheck").arg(&script).output().unwrap();
        assert!(
            checked.status.success(),
            "{}: {}",
            manifest.display(),
            String::from_utf8_lossy(&checked.stdout)
        );
        fs::set_permissions(&lab.dir, fs::Permissions::from_mode(0o755)).unwrap();
        let refused = Command::new("bash").arg(&script).arg("up").uid(65534).gid(65534).output().unwrap();
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && error.lines().count() == 1 && error.contains("needs root"),
            "{error}"
        );
    }
}

#[test]
fn a_script_is_no_json() {
    let lab = Lab::new();
    let manifest = repository().join("pods/two-apps.yaml");
    lab.fails(2, &["explain", "--script", "-o", "json", manifest.to_str().unwrap()]);
}

#[test]
fn the_comparison_notices_what_is_different() {
    let lab = Lab::new();
    let bundles = repository().join("bundles");
    let manifest = lab.manifest(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: changed}\nspec:\n  terminationGracePeriodSeconds: 0\n  volumes:\n  \
         - {name: v, emptyDir: {sizeLimit: 1Mi}}\n  containers:\n  - name: one\n    image: busybox\n    \
         command: [sh, -c, \"trap 'exit 0' TERM; while :; do sleep 0.1; done\"]\n    resources: {limits: {memory: 16Mi}}\n    \
         volumeMounts: [{name: v, mountPath: /v, readOnly: true}]\n",
    );
    for (from, to, aspect) in [
        ("--no-new-privs", "", "process"),
        ("+kill,", "", "process"),
        ("setsid bash \"$SELF\" run container", "bash \"$SELF\" run container", "process"),
        (" --ipc", "", "namespaces"),
        ("mount -o remount,bind,ro \"$NEW/v\"", ":", "mounts"),
        (
            "--make-rprivate \"$ROOT/sandbox/volumes/v\"",
            "--make-rslave \"$ROOT/sandbox/volumes/v\"",
            "mounts",
        ),
        // A cgroup that takes processes on v2 too.
        ("enter pod/one.0", "enter init", "cgroups"),
        ("pod/one.0/memory", "pod/../pod/memory", "limits"),
        ("ip link set lo up", ":", "what it shares"),
    ] {
        let changed = |text: String| {
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "nothing to change: {from}");
            changed
        };
        let compared = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            compare_with(Path::new(&manifest), &bundles, &lab, "changed", &["one"], &[], &changed);
        }));
        let panic = compared.expect_err(&format!("{from} became {to:?}"));
        let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        assert!(words.contains(aspect), "{from} became {to:?}: {words}");
        lab.output(&["rm", "-f", "changed"]);
    }
}

#[test]
fn containers_start_and_end_in_order_and_the_deaf_are_killed() {
    let lab = Lab::new();
    let program = |name: &str, times: &str, more: &str| {
        format!(
            "  - name: {name}\n    image: box\n    command: [program, {name}, {times}]\n    \
             volumeMounts: [{{name: p, mountPath: /persistent}}]\n{more}"
        )
    };
    let hook = "    lifecycle: {preStop: {exec: {command: [program, PreStop, '0', '0', '0', '0']}}}\n";
    let manifest = lab.manifest(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: order}}\nspec:\n  terminationGracePeriodSeconds: 3\n  volumes:\n  \
         - {{name: p, hostPath: {{path: {}}}}}\n  initContainers:\n{}{}  containers:\n{}{}",
        lab.persistent().display(),
        program("init", "'0', '0.3', '0', '0'", ""),
        program("side", "'0', '600', '0', '0'", "    restartPolicy: Always\n"),
        program("web", "'0', '600', '0', '0'", hook),
        "  - {name: deaf, image: box, command: [sh, -c, \"trap '' TERM; while :; do sleep 0.1; done\"]}\n",
    ));
    let by_hand = ByHand::up(&lab, Path::new(&manifest), &bundles());
    lab.until("all to run", seconds(20), || by_hand.log().contains("deaf has been started"));
    lab.until("the app to have started", seconds(20), || lab.testimony().starts("web") == 1);
    let processes: Vec<i32> =
        ["init", "side", "web", "deaf"].iter().filter_map(|name| by_hand.pid(name)).collect();
    let start = Instant::now();
    gone(&lab, by_hand, &processes);
    assert!(
        start.elapsed() >= Duration::from_secs(2) && start.elapsed() < seconds(20),
        "{:?}",
        start.elapsed()
    );
    let testimony = lab.testimony();
    testimony.over_before("init", "side");
    testimony.starts_before("side", "web");
    testimony.exits_before("PreStop", "web");
    testimony.exits_before("web", "side");
}
