//! One container.

use std::collections::HashSet;

use super::check::{MOST, nearest};
use super::config::Configs;
use super::env;
use super::expand::Variables;
use super::handler;
use super::names;
use super::node::{Node, Value};
use super::pod::{
    Container, ContainerPort, ContainerSecurity, MessagePolicy, Pod, Propagation, Spanned, SubPath,
    VolumeMount, VolumeSource,
};
use super::problem::{Problem, listed, quoted};
use super::read::{checked, flag, id, resources, restart_policy, seccomp, text, texts};
use crate::lifecycle::model::{Kind, ProbeKind, RestartPolicy, RestartRule, RuleAction};

/// Fields that only a container with a life of its own may have (R53).
const NOT_FOR_INITS: [&str; 4] = ["lifecycle", "startupProbe", "livenessProbe", "readinessProbe"];
/// Most rules and exit codes of a rule.
const MOST_RULES: usize = 20;
const MOST_CODES: usize = 255;

/// What a container is read in.
pub struct Around<'a> {
    /// `spec` of the document.
    pub spec: &'a Node,
    /// The pod, without its containers.
    pub pod: &'a Pod,
    /// ConfigMaps and Secrets.
    pub configs: &'a Configs,
    /// The names of all containers.
    pub containers: &'a HashSet<&'a str>,
}

/// What hooks and probes look things up in.
pub struct Context<'a> {
    /// The pod, without its containers.
    pub pod: &'a Pod,
    /// The container's ports.
    pub ports: &'a [ContainerPort],
    /// The container's variables as written.
    pub env: &'a Variables,
}

/// Reads an entry of `initContainers` or `containers`.
pub fn read(
    node: &Node,
    path: &str,
    is_init: bool,
    around: &Around,
    problems: &mut Vec<Problem>,
) -> Container {
    let Around { spec, pod, configs, containers } = around;
    let policy = restart_policy(node);
    let kind = match (is_init, policy) {
        (true, Some(RestartPolicy::Always)) => Kind::Sidecar,
        (true, _) => Kind::Init,
        (false, _) => Kind::App,
    };
    let in_container = |name: &str| format!("{path}.{name}");
    let ports = ports(node, path, problems);
    let context = Context { pod, ports: &ports, env: &env::written(node) };
    if kind == Kind::Init {
        refuse_for_inits(node, path, problems);
    }
    let hooks = node.get("lifecycle");
    let mut hook = |name: &str| {
        let node = hooks?.get(name)?;
        handler::hook(node, &format!("{path}.lifecycle.{name}"), &context, problems)
    };
    let (post_start, pre_stop) = (hook("postStart"), hook("preStop"));
    let mut probe =
        |name: &str, kind| handler::probe(node.get(name)?, kind, &in_container(name), &context, problems);
    let startup = probe("startupProbe", ProbeKind::Startup);
    let liveness = probe("livenessProbe", ProbeKind::Liveness);
    let readiness = probe("readinessProbe", ProbeKind::Readiness);
    Container {
        kind,
        name: node
            .get("name")
            .map_or(String::new(), |name| checked(name, &in_container("name"), names::label, problems)),
        image: image(node, path, problems),
        command: texts(node, "command"),
        args: texts(node, "args"),
        working_dir: text(node, "workingDir")
            .inspect(|_| check_path(node, "workingDir", names::path, path, problems)),
        tty: flag(node, "tty") == Some(true),
        resources: resources(node.get("resources"), &in_container("resources"), problems)
            .with_default_requests(),
        mounts: mounts(node, path, pod, problems),
        post_start,
        pre_stop,
        startup,
        liveness,
        readiness,
        restart_policy: policy.filter(|_| kind != Kind::Sidecar),
        rules: rules(node, path, problems),
        stop_signal: hooks.and_then(|hooks| stop_signal(hooks, path, spec, problems)),
        termination_message_path: text(node, "terminationMessagePath")
            .inspect(|_| check_path(node, "terminationMessagePath", mount_path, path, problems))
            .map_or("/dev/termination-log".to_owned(), |path| names::clean(&path)),
        termination_message_policy: match text(node, "terminationMessagePolicy").as_deref() {
            Some("FallbackToLogsOnError") => MessagePolicy::FallbackToLogsOnError,
            _ => MessagePolicy::File,
        },
        security: security(node, path, spec, pod, problems),
        env: env::read(node, path, configs, containers, problems),
        ports,
    }
}

fn refuse_for_inits(node: &Node, path: &str, problems: &mut Vec<Problem>) {
    for entry in node.entries() {
        if NOT_FOR_INITS.contains(&entry.key.as_str()) && entry.value.value != Value::Null {
            let message = format!(
                "{path}.{} may not be set for init containers without restartPolicy: Always",
                entry.key
            );
            problems.push(Problem::error(entry.line, entry.column, message));
        }
    }
}

fn image(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Spanned<String> {
    let Some(image) = node.get("image") else {
        return Spanned { value: String::new(), line: node.line, column: node.column };
    };
    let rule = |text: &str| match text {
        "" => Err("is empty; it names a local bundle".to_owned()),
        _ if text.trim() != text => Err("has blanks around it".to_owned()),
        _ => Ok(()),
    };
    Spanned {
        value: checked(image, &format!("{path}.image"), rule, problems),
        line: image.line,
        column: image.column,
    }
}

fn check_path(
    node: &Node,
    field: &str,
    rule: fn(&str) -> Result<(), String>,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    if let Some(node) = node.get(field) {
        checked(node, &format!("{path}.{field}"), rule, problems);
    }
}

fn ports(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Vec<ContainerPort> {
    let mut ports: Vec<ContainerPort> = Vec::new();
    let mut seen = HashSet::new();
    for (index, item) in node.get("ports").map(Node::items).unwrap_or_default().iter().enumerate() {
        let name = item.get("name").filter(|name| name.text() != Some("")).map(|node| {
            let path = format!("{path}.ports[{index}].name");
            let name = checked(node, &path, names::port, problems);
            if !seen.insert(name.clone()) {
                problems.push(node.error(format!("{path}: duplicate name {}", quoted(&name))));
            }
            name
        });
        let port =
            item.get("containerPort").and_then(Node::integer).and_then(|port| u16::try_from(port).ok());
        let protocol = text(item, "protocol").unwrap_or("TCP".to_owned());
        ports.extend(port.map(|port| ContainerPort { name, port, protocol }));
    }
    ports
}

fn mounts(node: &Node, path: &str, pod: &Pod, problems: &mut Vec<Problem>) -> Vec<VolumeMount> {
    let is_privileged =
        node.get("securityContext").and_then(|security| flag(security, "privileged")) == Some(true);
    let mut mounts = Vec::new();
    let mut seen = HashSet::new();
    for (index, item) in node.get("volumeMounts").map(Node::items).unwrap_or_default().iter().enumerate() {
        let path = format!("{path}.volumeMounts[{index}]");
        let Some(name) = item.get("name") else { continue };
        let volume = name.text().unwrap_or_default().to_owned();
        let source = pod.volumes.iter().find(|known| known.name == volume).map(|known| &known.source);
        // Not for thousands of them: each is compared with every volume.
        let is_full = problems.iter().filter(|problem| !problem.warning).nth(MOST - 1).is_some();
        if source.is_none() && name.text().is_some() && !is_full {
            problems.push(name.error(format!("{path}.name: {}", no_such_volume(&volume, pod))));
        }
        let target = item.get("mountPath").map_or(String::new(), |node| {
            let text = checked(node, &format!("{path}.mountPath"), mount_path, problems);
            let target = names::clean(&text);
            if !seen.insert(target.clone()) {
                problems.push(node.error(format!("{path}.mountPath: {} is mounted twice", quoted(&target))));
            }
            target
        });
        let propagation = match text(item, "mountPropagation").as_deref() {
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            _ => Propagation::None,
        };
        if let (Propagation::Bidirectional, Some(node)) = (propagation, item.get("mountPropagation")) {
            if let Some(VolumeSource::HostPath { .. }) = source {
                let why = "Bidirectional is not supported on a hostPath: mounts of a pod never reach the host; use HostToContainer";
                problems.push(node.error(format!("{path}.mountPropagation: {why}")));
            } else if !is_privileged {
                let why = "a cluster accepts Bidirectional from privileged containers only";
                let why = format!("{path}.mountPropagation: {why}");
                problems.push(Problem::warning(node.line, node.column, why));
            }
        }
        let given_read_only = flag(item, "readOnly").unwrap_or(false);
        // Files that were projected are read-only whatever the manifest says, as with a kubelet.
        let read_only = given_read_only || matches!(source, Some(VolumeSource::Files(_)));
        let recursive_read_only = match item
            .get("recursiveReadOnly")
            .and_then(|node| Some((node.text()?, node)))
        {
            None | Some(("" | "Disabled", _)) => false,
            Some((value, node)) => {
                if !given_read_only {
                    problems
                        .push(node.error(format!("{path}.recursiveReadOnly: {value} needs readOnly: true")));
                }
                if propagation != Propagation::None {
                    let message = format!("{path}.recursiveReadOnly: {value} needs mountPropagation: None");
                    problems.push(node.error(message));
                }
                true
            }
        };
        let sub_path = sub_path(item, &path, problems);
        mounts.push(VolumeMount {
            volume,
            path: target,
            read_only,
            recursive_read_only,
            sub_path,
            propagation,
        });
    }
    mounts
}

fn sub_path(item: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<SubPath> {
    let mut given = |field: &str| {
        let node = item.get(field).filter(|node| node.text().is_some_and(|text| !text.is_empty()))?;
        Some((checked(node, &format!("{path}.{field}"), names::relative, problems), node))
    };
    match (given("subPath"), given("subPathExpr")) {
        (Some(_), Some((_, node))) => {
            problems.push(node.error(format!("{path}.subPathExpr: may not be given together with subPath")));
            None
        }
        (Some((path, _)), None) => Some(SubPath::Plain(path)),
        (None, Some((path, _))) => Some(SubPath::Expression(path)),
        (None, None) => None,
    }
}

fn mount_path(text: &str) -> Result<(), String> {
    names::path(text)?;
    if text.contains(':') {
        return Err("has : in it".to_owned());
    }
    let clean = names::clean(text);
    if clean == "/" {
        return Err("is the root filesystem, which the bundle provides".to_owned());
    }
    // What a container sets up, and later enters, it looks up there: it must be the kernel's own (CVE-2019-16884).
    if clean == "/proc" || clean.starts_with("/proc/") {
        return Err("lies in /proc, which is the kernel's own".to_owned());
    }
    let made =
        ["/pts", "/ptmx", "/null", "/zero", "/full", "/random", "/urandom", "/tty", "/console", "/mqueue"];
    if clean.strip_prefix("/dev").is_some_and(|device| made.contains(&device)) {
        return Err("is made by barepod itself".to_owned());
    }
    Ok(())
}

fn no_such_volume(volume: &str, pod: &Pod) -> String {
    let names: Vec<_> = pod.volumes.iter().map(|volume| volume.name.as_str()).collect();
    let hint = match (nearest(volume, names.iter().copied()), names.is_empty()) {
        (Some(name), _) => format!("did you mean {}?", quoted(name)),
        (None, true) => "the pod has no volumes".to_owned(),
        (None, false) => format!("the pod has {}", listed(&names)),
    };
    format!("no volume is named {}; {hint}", quoted(volume))
}

fn rules(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Vec<RestartRule> {
    let Some(list) = node.get("restartPolicyRules") else { return Vec::new() };
    if text(node, "restartPolicy").is_none() && !list.items().is_empty() {
        problems
            .push(list.error(format!("{path}.restartPolicyRules needs the container's own restartPolicy")));
    }
    if list.items().len() > MOST_RULES {
        problems.push(list.error(format!("{path}.restartPolicyRules: more than {MOST_RULES} rules")));
    }
    let mut rules = Vec::new();
    for (index, item) in list.items().iter().enumerate() {
        let path = format!("{path}.restartPolicyRules[{index}]");
        let Some(exit_codes) = item.get("exitCodes") else {
            problems.push(item.error(format!("{path}.exitCodes is required")));
            continue;
        };
        let values = exit_codes.get("values").map(Node::items).unwrap_or_default();
        if values.is_empty() || values.len() > MOST_CODES {
            problems.push(
                exit_codes
                    .error(format!("{path}.exitCodes.values: 1 to {MOST_CODES} exit codes are required")),
            );
        }
        rules.push(RestartRule {
            action: match text(item, "action").as_deref() {
                Some("RestartAllContainers") => RuleAction::RestartAllContainers,
                _ => RuleAction::Restart,
            },
            within: text(exit_codes, "operator").as_deref() != Some("NotIn"),
            codes: values.iter().filter_map(|value| i32::try_from(value.integer()?).ok()).collect(),
        });
    }
    rules
}

fn stop_signal(hooks: &Node, path: &str, spec: &Node, problems: &mut Vec<Problem>) -> Option<i32> {
    let node = hooks.get("stopSignal")?;
    let name = node.text()?;
    let signal = names::signal(name);
    if signal.is_none() {
        problems.push(
            node.error(format!(
                "{path}.lifecycle.stopSignal: {} is not a signal such as SIGTERM",
                quoted(name)
            )),
        );
    }
    if spec.get("os").and_then(|os| os.get("name")).is_none() {
        problems.push(node.error(format!("{path}.lifecycle.stopSignal needs spec.os.name: linux")));
    }
    signal
}

fn security(
    node: &Node,
    path: &str,
    spec: &Node,
    pod: &Pod,
    problems: &mut Vec<Problem>,
) -> ContainerSecurity {
    let own = node.get("securityContext");
    let security = own.map_or(ContainerSecurity::default(), |own| {
        let path = format!("{path}.securityContext");
        let capabilities = own.get("capabilities");
        ContainerSecurity {
            run_as_user: id(own, "runAsUser"),
            run_as_group: id(own, "runAsGroup"),
            run_as_non_root: flag(own, "runAsNonRoot"),
            read_only_root_filesystem: flag(own, "readOnlyRootFilesystem"),
            allow_privilege_escalation: flag(own, "allowPrivilegeEscalation"),
            privileged: flag(own, "privileged").unwrap_or(false),
            unmasked_proc: text(own, "procMount").as_deref() == Some("Unmasked"),
            seccomp: seccomp(own, &path, problems),
            cap_add: capability_names(capabilities, "add", &path, problems),
            cap_drop: capability_names(capabilities, "drop", &path, problems),
        }
    });
    if security.privileged
        && security.allow_privilege_escalation == Some(false)
        && let Some(node) = own.and_then(|own| own.get("allowPrivilegeEscalation"))
    {
        problems.push(node.error(format!(
            "{path}.securityContext.allowPrivilegeEscalation: false, but privileged is true"
        )));
    }
    let user = security.run_as_user.or(pod.security.run_as_user);
    let non_root = security.run_as_non_root.or(pod.security.run_as_non_root);
    if user == Some(0) && non_root == Some(true) {
        // The value that counts: the container's, else the pod's.
        let of_pod = spec.get("securityContext").and_then(|security| security.get("runAsUser"));
        if let Some(node) = own.and_then(|own| own.get("runAsUser")).or(of_pod) {
            problems.push(node.error("runAsUser: 0 is root, but runAsNonRoot is true"));
        }
    }
    security
}

fn capability_names(node: Option<&Node>, list: &str, path: &str, problems: &mut Vec<Problem>) -> Vec<String> {
    let items = node.and_then(|node| node.get(list)).map(Node::items).unwrap_or_default();
    let mut names = Vec::new();
    for item in items.iter().filter(|item| item.text().is_some()) {
        let name = item.text().unwrap_or_default();
        if name == "ALL" || names::CAPABILITIES.contains(&name) {
            names.push(name.to_owned());
            continue;
        }
        let plain = name.strip_prefix("CAP_").unwrap_or(name);
        let hint = nearest(plain, names::CAPABILITIES.into_iter().chain(["ALL"]));
        let hint = hint.map_or(String::new(), |name| format!("; did you mean \"{name}\"?"));
        problems.push(
            item.error(format!("{path}.capabilities.{list}: {} is not a capability{hint}", quoted(name))),
        );
    }
    names
}
