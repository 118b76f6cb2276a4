//! The story of a pod in order: what the command line does, the sandbox, each container, the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::call::{Call, call, clone3, mkdir, open, replace_file, tmpfs, tmpfs_by_hand};
use super::container::{self, State};
use super::{Assumptions, Bundle, Explanation, Line, cgroup, life, reason, sandbox};
use crate::bundle::accounts::Accounts;
use crate::bundle::{MergeContext, merge, needs_accounts};
use crate::manifest::{Container, Downward, HostPathType, Manifest, Pod, SubPath, VolumeMount, VolumeSource};
use crate::plan::sandbox::{SandboxSpec, steps};
use crate::plan::{self, Plan, Rootfs, Step};

/// Explains the pod; `bundles` has one for each container.
pub fn explain(manifest: &Manifest, bundles: &[Bundle], host: &Assumptions) -> Result<Explanation> {
    let story = Story::new(&manifest.pod, bundles, host);
    let mut lines = story.command_line()?;
    lines.extend(story.sandbox());
    let containers: Vec<Instance> = (0..bundles.len()).map(|n| story.instance(n)).collect::<Result<_>>()?;
    for instance in &containers {
        lines.extend(story.container(instance)?);
    }
    lines.extend(life::end(&story, &containers)?);
    Ok(Explanation { pod: manifest.pod.name.clone(), steps: lines })
}

/// What a length of a uid is taken to be.
const UID: &str = "UID";
const UID_LENGTH: usize = 36;

/// Everything that the parts of the story need.
pub(super) struct Story<'a> {
    pub pod: &'a Pod,
    pub host: &'a Assumptions,
    bundles: &'a [Bundle<'a>],
    pub directory: PathBuf,
    pub scratch: PathBuf,
    logs: PathBuf,
    pub cgroup: String,
}

/// One container with its plan.
pub(super) struct Instance<'a> {
    pub container: &'a Container,
    pub position: usize,
    pub plan: Plan,
    pub cgroup: String,
    pub process: oci_spec::runtime::Process,
    pub spec: oci_spec::runtime::Spec,
}

impl Instance<'_> {
    pub fn who(&self) -> String {
        format!("container {}", self.container.name)
    }
}

pub(super) const INIT: &str = "pod init";

/// A line of the pod's own part.
pub(super) fn line(
    who: &str,
    step: &'static str,
    does: impl Into<String>,
    calls: Vec<Call>,
    shell: Option<String>,
) -> Line {
    let (why, man) = reason::of_pod(step);
    Line { who: who.to_owned(), step, does: does.into(), calls, why: why.to_owned(), man, shell }
}

impl<'a> Story<'a> {
    fn new(pod: &'a Pod, bundles: &'a [Bundle<'a>], host: &'a Assumptions) -> Story<'a> {
        let directory = host.root.join("pods").join(&pod.name);
        // A file name holds 255 bytes, so a long pod name is cut.
        let room = 255usize.saturating_sub(pod.namespace.len() + UID_LENGTH + 2);
        let name = &pod.name[..pod.name.len().min(room)];
        let parent = host.cgroup_parent.trim_matches('/');
        let cgroup =
            if parent.is_empty() { format!("barepod/{UID}") } else { format!("{parent}/barepod/{UID}") };
        Story {
            pod,
            host,
            bundles,
            scratch: directory.join("sandbox"),
            logs: host.logs.join(format!("{}_{name}_{UID}", pod.namespace)),
            directory,
            cgroup,
        }
    }

    /// The same pod in a shell script, whose variables say where it lies.
    pub fn by_hand(pod: &'a Pod, bundles: &'a [Bundle<'a>], host: &'a Assumptions) -> Story<'a> {
        let mut story = Story::new(pod, bundles, host);
        story.directory = PathBuf::from("/$ROOT");
        story.scratch = story.directory.join("sandbox");
        story.cgroup = "$CGROUP".to_owned();
        story
    }

    fn command_line(&self) -> Result<Vec<Line>> {
        const RUN: &str = "barepod run";
        let missing = "it is not there yet";
        let host = self.host;
        let mapped = vec![
            super::container::open_tree("AT_FDCWD", "\"/proc/self/exe\"", false, "mount"),
            call("mount_setattr", ["mount", "\"\"", "AT_EMPTY_PATH", "{attr_set=MOUNT_ATTR_RDONLY}"]),
            call("prctl", ["PR_SET_MM", "PR_SET_MM_MAP", "…", "…", "0"]),
        ];
        let lock = host.root.join("locks").join(&self.pod.name);
        let locked = vec![
            mkdir(&host.root, 0o700).when(missing),
            mkdir(&host.root.join("locks"), 0o700).when(missing),
            mkdir(&host.root.join("pods"), 0o700).when(missing),
            open(&lock, "O_RDWR|O_CREAT|O_NOFOLLOW|O_CLOEXEC", Some(0o600)).gives("lock"),
            call("fcntl", ["lock", "F_OFD_SETLK", "{l_type=F_WRLCK, l_whence=SEEK_SET, …}"]),
        ];
        let mut recorded = vec![mkdir(&self.directory, 0o700)];
        recorded.extend(replace_file(&self.directory, "record.json"));
        recorded.extend([mkdir(&host.logs, 0o700).when(missing), mkdir(&self.logs, 0o700)]);
        let (pod, init) = (format!("{}/pod", self.cgroup), format!("{}/init", self.cgroup));
        let limits = self.pod.cgroup_resources()?;
        let mut grouped = cgroup::make(host, &pod);
        grouped.extend(cgroup::limit(host, &pod, &limits)?);
        grouped.extend(cgroup::make(host, &init));
        let by_hand = format!(
            "{}; mkdir -p {}",
            cgroup::by_hand(host, &pod, &limits)?,
            join(&cgroup::directories(host, &init))
        );
        let mut cloned = vec![call("pipe2", ["[messages, say]", "O_CLOEXEC"])];
        cloned.extend(self.open_cgroup(&init));
        cloned.push(clone3(
            crate::plan::sandbox::namespaces(self.pod),
            false,
            self.host.v2.then_some("cgroup"),
            "init",
        ));
        Ok(vec![
            line(RUN, "seal", "go on from a read-only mount of the own binary", mapped, None),
            line(RUN, "read", "read the manifest and its bundles, refuse every problem", Vec::new(), None),
            line(
                RUN,
                "lock",
                format!("take the lock of pod {}", self.pod.name),
                locked,
                Some(format!("exec 9>{} && flock -n 9", lock.display())),
            ),
            line(RUN, "record", "write down where the pod's cgroup and logs will be", recorded, None),
            line(RUN, "cgroups", "make the cgroups of the pod and of its pod init", grouped, Some(by_hand)),
            line(
                RUN,
                "clone",
                format!("make the pod init in {}", self.namespaces_in_words()),
                cloned,
                Some(self.unshare()),
            ),
            line(
                RUN,
                "let-go",
                "close the lock, wait until the first container has been started, print the name",
                vec![call("close", ["lock"])],
                Some("exec 9>&-".to_owned()),
            ),
        ])
    }

    fn namespaces_in_words(&self) -> String {
        match (self.pod.host_network, self.pod.host_ipc) {
            (false, false) => "new PID, mount, network, IPC and UTS namespaces",
            (true, false) => "new PID, mount and IPC namespaces; network and host name are the host's",
            (false, true) => "new PID, mount, network and UTS namespaces; IPC is the host's",
            (true, true) => "new PID and mount namespaces; network, host name and IPC are the host's",
        }
        .to_owned()
    }

    pub fn unshare(&self) -> String {
        let network = if self.pod.host_network { "" } else { " --net --uts" };
        let ipc = if self.pod.host_ipc { "" } else { " --ipc" };
        format!("unshare --pid --mount{network}{ipc} --fork --propagation unchanged …")
    }

    /// v2: the cgroup as a place to be born in.
    fn open_cgroup(&self, cgroup: &str) -> Option<Call> {
        let directory = self.host.hierarchies.first()?.0.join(cgroup);
        let flags = "O_PATH|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC";
        self.host.v2.then(|| open(&directory, flags, None).gives("cgroup"))
    }

    /// Where the sandbox is made, with these cgroup directories for the pod init.
    pub fn place<'b>(&'b self, cgroups: &'b [PathBuf]) -> sandbox::Place<'b> {
        sandbox::Place {
            directory: &self.directory,
            scratch: &self.scratch,
            cgroups,
            pod: self.pod,
            resolv_conf: &self.host.resolv_conf,
        }
    }

    fn sandbox(&self) -> Vec<Line> {
        let cgroups = cgroup::directories(self.host, &format!("{}/init", self.cgroup));
        let place = self.place(&cgroups);
        let mut lines = Vec::new();
        for step in steps(&SandboxSpec::of(self.pod, self.host.v2)) {
            let (why, man) = reason::of_sandbox(step.name());
            lines.push(Line {
                who: INIT.to_owned(),
                step: step.name(),
                does: step.to_string(),
                calls: sandbox::calls(&step, &place),
                why: why.to_owned(),
                man,
                shell: sandbox::by_hand(&step, &place),
            });
            if step.name() == "reaper" {
                lines.push(life::reaper());
            }
        }
        let listens =
            vec![call("signalfd4", ["-1", "[INT TERM]", "8", "SFD_CLOEXEC|SFD_NONBLOCK"]).gives("signals")];
        lines.push(line(
            INIT,
            "supervise",
            "become the supervisor: an event loop around poll(2)",
            listens,
            None,
        ));
        lines
    }

    pub fn instance(&self, position: usize) -> Result<Instance<'a>> {
        let container = &self.pod.containers[position];
        let (bundle, base) = self.bundles[position];
        let layer = self.layer(container);
        let source = |mount: &VolumeMount| {
            let volume = self.pod.volumes.iter().find(|volume| volume.name == mount.volume);
            let volume = volume.with_context(|| format!("find volume {}", mount.volume))?;
            Ok((
                volume.name.clone(),
                match &volume.source {
                    VolumeSource::EmptyDir { .. } | VolumeSource::Files(_) => {
                        self.scratch.join("volumes").join(&volume.name)
                    }
                    VolumeSource::HostPath { path, .. } => PathBuf::from(path),
                },
            ))
        };
        let volumes: BTreeMap<String, PathBuf> =
            container.mounts.iter().map(source).collect::<Result<_>>()?;
        let cgroup = format!("{}/pod/{}.0", self.cgroup, container.name);
        let parts = container.mounts.iter().enumerate().filter(|(_, mount)| mount.sub_path.is_some());
        let part = |at: usize| self.scratch.join("parts").join(&container.name).join(at.to_string());
        let context = MergeContext {
            hostname: if self.pod.host_network { &self.host.node } else { &self.pod.hostname }.clone(),
            volumes,
            sub_paths: parts.map(|(at, _)| (at, part(at))).collect(),
            downward: self.downward(),
            etc: self.scratch.join("etc"),
            shm: if self.pod.host_ipc { PathBuf::from("/dev/shm") } else { self.scratch.join("shm") },
            termination_log: layer.join("termination-log"),
            cgroup: cgroup.clone(),
            pid_namespace: self.pod.share_process_namespace.then(|| PathBuf::from("/proc/PID/ns/pid")),
            pod_security: self.pod.security.clone(),
            accounts: self.accounts(position),
            local_filter: self.host.local_filters.get(position).cloned().flatten(),
            held: None,
            host_devices: self.host.host_devices.clone(),
        };
        let spec =
            merge(base, container, &context).with_context(|| format!("container {}", container.name))?;
        let rootfs = bundle.join(spec.root().as_ref().context("root is missing")?.path());
        let plan = plan::plan(&spec, bundle, Rootfs::Overlay { lower: rootfs, layer }, self.host.v2)?;
        let process = spec.process().clone().context("process is missing")?;
        Ok(Instance { container, position, plan, cgroup, process, spec })
    }

    /// What a container can learn of its pod.
    pub fn downward(&self) -> Downward {
        let Assumptions { uid, node, cpu, memory, .. } = self.host;
        Downward::of(self.pod, uid, node, *cpu, *memory)
    }

    pub fn layer(&self, container: &Container) -> PathBuf {
        self.scratch.join("layers").join(&container.name)
    }

    fn container(&self, instance: &Instance) -> Result<Vec<Line>> {
        let name = &instance.container.name;
        let mut lines = vec![life::gate(self.pod, instance.position), self.layer_line(instance.container)];
        lines.extend(self.account_line(instance));
        let spec = replace_file(&self.directory, &format!("{name}.0.json"));
        lines.push(line(INIT, "spec", format!("write the final spec of {name}"), spec, None));
        let resources = instance.spec.linux().as_ref().and_then(|linux| linux.resources().clone());
        let resources = resources.context("resources are missing")?;
        let mut made = cgroup::make(self.host, &instance.cgroup);
        made.extend(cgroup::limit(self.host, &instance.cgroup, &resources)?);
        let by_hand = cgroup::by_hand(self.host, &instance.cgroup, &resources)?;
        let does = format!("make the cgroup of {name} and set its limits");
        lines.push(line(INIT, "cgroup", does, made, Some(by_hand)));
        lines.push(self.streams(name, container::has_terminal(&instance.plan.steps)));
        lines.extend(self.make_process(instance));
        lines.extend(self.child(instance));
        lines.extend(life::started(self, instance)?);
        Ok(lines)
    }

    fn layer_line(&self, container: &Container) -> Line {
        let layer = self.layer(container);
        let size = self.pod.memory_limit();
        let parent = self.scratch.join("layers");
        let mut calls = vec![mkdir(&parent, 0o755).when("it is not there yet")];
        calls.extend(tmpfs(&layer, 0o755, size, "755", "private"));
        calls.extend(["upper", "work", "merged"].map(|part| mkdir(&layer.join(part), 0o755)));
        let message = layer.join("termination-log");
        calls.push(open(&message, "O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC", Some(0o666)));
        calls.push(call("chmod", [&super::call::path(&message), "0666"]));
        let used = |name: &str| container.mounts.iter().any(|mount| mount.volume == name);
        for volume in self.pod.volumes.iter().filter(|volume| used(&volume.name)) {
            if let VolumeSource::HostPath { path, kind } = &volume.source {
                let path = PathBuf::from(path);
                calls.extend(match kind {
                    HostPathType::Any | HostPathType::DirectoryOrCreate => {
                        Some(container::make_host_path(&path))
                    }
                    HostPathType::FileOrCreate => Some(
                        open(&path, "O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC", Some(0o644))
                            .when("it is not there yet"),
                    ),
                    _ => None,
                });
            }
        }
        calls.extend(self.parts(container));
        let directory = layer.display().to_string();
        let mut by_hand = tmpfs_by_hand(&layer, size, "755", "private");
        by_hand += &format!(" && mkdir {directory}/upper {directory}/work {directory}/merged");
        let does = format!("mount a tmpfs for what {} writes", container.name);
        line(INIT, "layer", does, calls, Some(by_hand))
    }

    fn needs_accounts(&self, position: usize) -> bool {
        let (_, spec) = self.bundles[position];
        needs_accounts(spec, &self.pod.containers[position], &self.pod.security)
    }

    fn accounts(&self, position: usize) -> Accounts {
        let known = self.host.accounts.get(position).filter(|_| self.needs_accounts(position));
        known.cloned().unwrap_or_default()
    }

    fn account_line(&self, instance: &Instance) -> Option<Line> {
        const HOW: &str = "{flags=O_NONBLOCK|O_CLOEXEC, resolve=RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS}";
        let (bundle, spec) = self.bundles[instance.position];
        let rootfs = bundle.join(spec.root().as_ref().map_or(Path::new("rootfs"), |root| root.path()));
        let calls = vec![
            open(&rootfs, "O_PATH|O_DIRECTORY|O_CLOEXEC", None).gives("image"),
            call("openat2", ["image", "\"/etc/passwd\"", HOW]),
            call("openat2", ["image", "\"/etc/group\"", HOW]),
        ];
        let does = format!("look up the user of {} in its image", instance.container.name);
        let shell = format!("cat {0}/etc/passwd {0}/etc/group", rootfs.display());
        self.needs_accounts(instance.position).then(|| line(INIT, "accounts", does, calls, Some(shell)))
    }

    /// `subPath`: each part of a volume is bound at a place of the pod's own, where no container can exchange it.
    fn parts(&self, container: &Container) -> Vec<Call> {
        const BELOW: &str = "{flags=O_PATH|O_CLOEXEC, resolve=RESOLVE_BENEATH|RESOLVE_NO_MAGICLINKS}";
        const SEEK: &str =
            "{flags=O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC, resolve=RESOLVE_BENEATH|RESOLVE_NO_MAGICLINKS}";
        let missing = "it is not there yet";
        let all = self.scratch.join("parts");
        let own = all.join(&container.name);
        let mut calls = Vec::new();
        for (at, mount) in container.mounts.iter().enumerate().filter(|(_, mount)| mount.sub_path.is_some()) {
            let place = own.join(at.to_string());
            calls.extend([
                open(&self.volume(&mount.volume), "O_PATH|O_CLOEXEC", None).gives("volume"),
                call("openat2", ["volume", "…", BELOW]).gives("part"),
                call("openat2", ["volume", "…", &SEEK.replace("O_NOFOLLOW|", "")])
                    .each("directory on the way, the longest path first")
                    .gives("parent")
                    .when(missing),
            ]);
            let path = match &mount.sub_path {
                Some(SubPath::Plain(path) | SubPath::Expression(path)) => path.as_str(),
                None => "",
            };
            let mut names = path.split('/').filter(|name| !name.is_empty()).peekable();
            while names.next().is_some() {
                let made = if names.peek().is_some() { "parent" } else { "part" };
                let steps = vec![
                    call("openat2", ["parent", "…", SEEK]),
                    call("mkdirat", ["parent", "…", "…"]),
                    call("openat2", ["parent", "…", SEEK]).gives(made),
                    call("fchmod", [made, "…"]),
                ];
                calls.extend(super::call::when(missing, steps));
            }
            calls.extend([
                mkdir(&all, 0o755).when(missing),
                mkdir(&own, 0o755).when(missing),
                mkdir(&place, 0o755).when("the part is a directory"),
                open(&place, "O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC", Some(0o666)).when("the part is a file"),
                open(&place, "O_PATH|O_NOFOLLOW|O_CLOEXEC", None).gives("place"),
                call(
                    "open_tree",
                    ["part", "\"\"", "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH|AT_RECURSIVE"],
                )
                .gives("tree"),
                super::call::attach("tree", "place"),
            ]);
        }
        calls
    }

    /// Where a volume is in the pod init's mount namespace.
    pub fn volume(&self, name: &str) -> PathBuf {
        let volume = self.pod.volumes.iter().find(|volume| volume.name == name);
        match volume.map(|volume| &volume.source) {
            Some(VolumeSource::HostPath { path, .. }) => PathBuf::from(path),
            _ => self.scratch.join("volumes").join(name),
        }
    }

    fn streams(&self, name: &str, terminal: bool) -> Line {
        let logs = self.logs.join(name);
        let null = open(Path::new("/dev/null"), "O_RDWR|O_CLOEXEC", None).gives("null");
        let mut calls = vec![
            mkdir(&logs, 0o700),
            open(
                &logs.join("0.log"),
                "O_WRONLY|O_CREAT|O_APPEND|O_NONBLOCK|O_NOFOLLOW|O_CLOEXEC",
                Some(0o640),
            )
            .gives("log"),
            call("fchmod", ["log", "0640"]),
        ];
        let what = if terminal {
            let kind = ["AF_UNIX", "SOCK_SEQPACKET|SOCK_CLOEXEC", "0", "[other, passage]"];
            calls.extend([call("socketpair", kind), null.each("stream")]);
            "a socket for its terminal, a pipe for the child's report"
        } else {
            calls.extend([
                call("pipe2", ["[out, stdout]", "O_CLOEXEC"]),
                call("pipe2", ["[err, stderr]", "O_CLOEXEC"]),
                null,
            ]);
            "pipes for its output and one for the child's report"
        };
        calls.push(call("pipe2", ["[report, say]", "O_CLOEXEC"]));
        let does = format!("make the log of {name}, {what}");
        let shell =
            Some("… </dev/null 2>&1 | while read -r line; do echo \"$(date +%FT%T) $line\"; done".to_owned());
        line(INIT, "streams", does, calls, shell)
    }

    fn make_process(&self, instance: &Instance) -> Vec<Line> {
        let name = &instance.container.name;
        let mut calls: Vec<Call> = self.open_cgroup(&instance.cgroup).into_iter().collect();
        let into = self.host.v2.then_some("cgroup");
        let flags = instance.plan.namespaces;
        let shell = "unshare --pid --mount --fork --propagation unchanged …".to_owned();
        let does = format!("make the process of {name} in new namespaces");
        let Some(namespace) = &instance.plan.pid_namespace else {
            calls.push(clone3(flags, false, into, "child"));
            return vec![line(INIT, "make-process", does, calls, Some(shell))];
        };
        calls.extend([
            open(namespace, "O_RDONLY|O_CLOEXEC", None).gives("shared"),
            call("pipe2", ["[answer, tell]", "O_CLOEXEC"]),
            clone3(0, false, None, "helper"),
            call("pidfd_open", ["…", "0"]).gives("child"),
        ]);
        let helper = vec![
            container::close_inherited(),
            call("setns", ["shared", "CLONE_NEWPID"]),
            clone3(flags, true, into, "child"),
            call("write", ["tell", "…", "…"]),
        ];
        vec![
            line(INIT, "make-process", does, calls, None),
            line(
                &format!("helper of container {name}"),
                "enter-pid-namespace",
                format!("join the shared PID namespace and make the process of {name} as a sibling"),
                helper,
                Some("nsenter --target PID --pid unshare --mount …".to_owned()),
            ),
        ]
    }

    fn child(&self, instance: &Instance) -> Vec<Line> {
        let cgroups = cgroup::directories(self.host, &instance.cgroup);
        let place = container::Place { cgroups: &cgroups, names: &cgroup::names(self.host) };
        let mut state = State::default();
        let who = instance.who();
        let mut streams = vec![];
        if instance.plan.pid_namespace.is_none() {
            streams.push(container::close_inherited());
        }
        streams.extend(container::take_streams(&instance.plan.steps));
        let shell = Some("… </dev/null >out 2>err".to_owned());
        let mut lines = vec![line(
            &who,
            "take-streams",
            "close what the parent had open, take the standard streams",
            streams,
            shell,
        )];
        lines.extend(steps_as_lines(&who, &instance.plan.steps, &place, &mut state));
        lines
    }
}

/// The lines of a list of steps.
pub(super) fn steps_as_lines(
    who: &str,
    steps: &[Step],
    place: &container::Place,
    state: &mut State,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for step in steps {
        let (why, man) = reason::of_container(step.name());
        lines.push(Line {
            who: who.to_owned(),
            step: step.name(),
            does: step.to_string(),
            calls: container::calls(step, place, state),
            why: why.to_owned(),
            man,
            shell: container::by_hand(step, place, state),
        });
    }
    lines
}

pub(super) fn join(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
}
