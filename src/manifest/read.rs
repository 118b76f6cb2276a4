//! From a checked node tree to a typed [`Pod`], with the API server's rules that no schema can express.
//!
//! Whatever the schema check has complained about is passed over here, so that one reading finds every problem.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::config::Configs;
use super::container::{self, Around};
use super::files;
use super::hosts;
use super::names;
use super::node::{Entry, Node, Value};
use super::pod::{Container, HostPathType, Pod, PodSecurity, Seccomp, Volume, VolumeSource};
use super::problem::{Problem, quoted};
use super::quantity::Quantity;
use super::resources::{Amounts, Resources};
use crate::lifecycle::model::RestartPolicy;

/// Default of `terminationGracePeriodSeconds`.
const GRACE: Duration = Duration::from_secs(30);

/// Reads the Pod; what is wrong is added to `problems`.
pub fn pod(document: &Node, configs: &Configs, problems: &mut Vec<Problem>) -> Pod {
    let nothing = Node { value: Value::Null, line: document.line, column: document.column };
    let metadata = document.get("metadata").unwrap_or(&nothing);
    let spec = document.get("spec").unwrap_or(&nothing);
    let name = pod_name(metadata, problems);
    let containers = container_names(spec);
    let sources = files::Sources { configs, containers: &containers };
    let volumes = volumes(spec, &sources, problems);
    let mut pod = Pod {
        hostname: String::new(),
        host_network: flag(spec, "hostNetwork").unwrap_or(false),
        host_ipc: flag(spec, "hostIPC").unwrap_or(false),
        names: hosts::read(spec, problems),
        node_name: text(spec, "nodeName"),
        service_account: text(spec, "serviceAccountName")
            .or_else(|| text(spec, "serviceAccount"))
            .unwrap_or("default".to_owned()),
        name,
        namespace: namespace(document, problems),
        labels: labels(metadata, problems),
        annotations: annotations(metadata, problems),
        restart_policy: restart_policy(spec).unwrap_or(RestartPolicy::Always),
        grace: seconds(spec, "terminationGracePeriodSeconds").unwrap_or(GRACE),
        deadline: seconds(spec, "activeDeadlineSeconds"),
        share_process_namespace: flag(spec, "shareProcessNamespace").unwrap_or(false),
        volumes,
        containers: Vec::new(),
        security: security(spec.get("securityContext"), problems),
        resources: resources(spec.get("resources"), "spec.resources", problems),
    };
    pod.name_host();
    pod.refuse_long_host(spec, problems);
    refuse_host_sysctls(spec, &pod, problems);
    let around = Around { spec, pod: &pod, configs, containers: &containers };
    pod.containers = read_containers(&around, problems);
    pod.compare_own_resources(spec, problems);
    pod.default_own_requests();
    refuse_tracers(&pod, problems);
    pod
}

/// `metadata.namespace` of the Pod.
pub fn namespace(document: &Node, problems: &mut Vec<Problem>) -> String {
    let given = document.get("metadata").and_then(|metadata| metadata.get("namespace"));
    given
        .filter(|node| node.text() != Some(""))
        .map_or("default".to_owned(), |node| checked(node, "metadata.namespace", names::label, problems))
}

/// The names of all containers, for references to them.
fn container_names(spec: &Node) -> HashSet<&str> {
    let lists =
        ["initContainers", "containers"].map(|list| spec.get(list).map(Node::items).unwrap_or_default());
    lists.into_iter().flatten().filter_map(|item| item.get("name")?.text()).collect()
}

/// Capabilities that reach into a neighbour in a shared PID namespace. A container is born into that namespace before it has
/// a root of its own, so that they would reach the host through it.
pub const TRACERS: [&str; 2] = ["SYS_PTRACE", "SYS_ADMIN"];

fn refuse_tracers(pod: &Pod, problems: &mut Vec<Problem>) {
    for container in pod.containers.iter().filter(|_| pod.share_process_namespace) {
        let tracer = |name: &&String| TRACERS.contains(&name.as_str()) || *name == "ALL";
        let privileged = container.security.privileged.then(|| "ALL".to_owned());
        if let Some(name) = container.security.cap_add.iter().chain(&privileged).find(tracer) {
            let message = format!(
                "container {}: capability {name} together with shareProcessNamespace is not supported yet: it would reach \
                 into containers that are being set up",
                container.name
            );
            problems.push(Problem::error(container.image.line, container.image.column, message));
        }
    }
}

/// A pod's host name is its name, cut to what a host name may be.
pub fn default_hostname(name: &str) -> String {
    let end = name.char_indices().nth(63).map_or(name.len(), |(end, _)| end);
    name[..end].trim_end_matches(['-', '.']).to_owned()
}

fn pod_name(metadata: &Node, problems: &mut Vec<Problem>) -> String {
    match metadata.get("name") {
        Some(name) => checked(name, "metadata.name", names::subdomain, problems),
        None => {
            let hint = if metadata.get("generateName").is_some() {
                ": there is no API server here to generate one"
            } else {
                ""
            };
            problems.push(metadata.error(format!("metadata.name is required{hint}")));
            String::new()
        }
    }
}

/// The text of a node, complained about if it breaks the rule. Not text: the schema check has said so.
pub fn checked(
    node: &Node,
    path: &str,
    rule: fn(&str) -> Result<(), String>,
    problems: &mut Vec<Problem>,
) -> String {
    let Some(text) = node.text() else { return String::new() };
    if let Err(error) = rule(text) {
        problems.push(node.error(format!("{path}: {} {error}", quoted(text))));
    }
    text.to_owned()
}

/// A text field; `None` if it is absent or empty, which is the same to Kubernetes.
pub fn text(node: &Node, name: &str) -> Option<String> {
    node.get(name).and_then(Node::text).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A list of texts; `None` if it is absent or empty.
pub fn texts(node: &Node, name: &str) -> Option<Vec<String>> {
    let items = node.get(name)?.items();
    (!items.is_empty()).then(|| items.iter().filter_map(Node::text).map(str::to_owned).collect())
}

/// A boolean field.
pub fn flag(node: &Node, name: &str) -> Option<bool> {
    node.get(name).and_then(Node::boolean)
}

/// An integer field of seconds. Amounts outside of the schema's range have been complained about; here they must only not
/// do harm.
pub fn seconds(node: &Node, name: &str) -> Option<Duration> {
    let value = node.get(name).and_then(Node::integer)?;
    Some(Duration::from_secs(value.clamp(0, i64::from(i32::MAX)) as u64))
}

/// A user or group id.
pub fn id(node: &Node, name: &str) -> Option<u32> {
    node.get(name).and_then(Node::integer).and_then(|value| u32::try_from(value).ok())
}

/// `restartPolicy` of pod or container.
pub fn restart_policy(node: &Node) -> Option<RestartPolicy> {
    match node.get("restartPolicy")?.text()? {
        "Always" => Some(RestartPolicy::Always),
        "OnFailure" => Some(RestartPolicy::OnFailure),
        "Never" => Some(RestartPolicy::Never),
        _ => None,
    }
}

fn text_map(
    node: Option<&Node>,
    path: &str,
    label_values: bool,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    for Entry { key, line, column, value } in node.map(Node::entries).unwrap_or_default() {
        if let Err(error) = names::qualified(key) {
            problems.push(Problem::error(*line, *column, format!("{path}: {} {error}", quoted(key))));
        }
        let rule = if label_values { names::label_value } else { |_: &str| Ok(()) };
        map.insert(key.clone(), checked(value, &format!("{path}[{}]", quoted(key)), rule, problems));
    }
    map
}

/// `metadata.labels`.
pub fn labels(metadata: &Node, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    text_map(metadata.get("labels"), "metadata.labels", true, problems)
}

/// `metadata.annotations`.
pub fn annotations(metadata: &Node, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    const MOST: usize = 256 << 10;
    let node = metadata.get("annotations");
    let map = text_map(node, "metadata.annotations", false, problems);
    let size: usize = map.iter().map(|(key, value)| key.len() + value.len()).sum();
    if let Some(node) = node.filter(|_| size > MOST) {
        problems.push(node.error(format!("metadata.annotations: larger than {} KiB", MOST >> 10)));
    }
    map
}

fn security(node: Option<&Node>, problems: &mut Vec<Problem>) -> PodSecurity {
    let Some(node) = node else { return PodSecurity::default() };
    let groups = node.get("supplementalGroups").map(Node::items).unwrap_or_default();
    PodSecurity {
        run_as_user: id(node, "runAsUser"),
        run_as_group: id(node, "runAsGroup"),
        run_as_non_root: flag(node, "runAsNonRoot"),
        fs_group: id(node, "fsGroup"),
        sysctls: sysctls(node, problems),
        supplemental_groups: groups.iter().filter_map(|group| u32::try_from(group.integer()?).ok()).collect(),
        strict_groups: text(node, "supplementalGroupsPolicy").as_deref() == Some("Strict"),
        seccomp: seccomp(node, "spec.securityContext", problems),
    }
}

/// `seccompProfile` of a security context.
pub fn seccomp(context: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<Seccomp> {
    let node = context.get("seccompProfile")?;
    let (kind, profile) = (node.get("type")?.text()?, node.get("localhostProfile"));
    let path = format!("{path}.seccompProfile");
    match (kind, profile) {
        ("Localhost", None) => {
            problems.push(node.error(format!("{path}.localhostProfile: type Localhost needs it")));
            None
        }
        ("Localhost", Some(node)) => {
            let profile = node.text()?;
            if profile.is_empty() || profile.starts_with('/') || profile.split('/').any(|part| part == "..") {
                problems.push(node.error(format!(
                    "{path}.localhostProfile: {} is not a path below the directory of profiles",
                    quoted(profile)
                )));
            }
            Some(Seccomp::Localhost(profile.to_owned()))
        }
        (_, Some(node)) => {
            problems.push(node.error(format!("{path}.localhostProfile: only type Localhost has one")));
            None
        }
        ("RuntimeDefault", None) => Some(Seccomp::RuntimeDefault),
        ("Unconfined", None) => Some(Seccomp::Unconfined),
        _ => None,
    }
}

fn sysctls(node: &Node, problems: &mut Vec<Problem>) -> Vec<(String, String)> {
    let mut sysctls: Vec<(String, String)> = Vec::new();
    let mut seen = HashSet::new();
    for (index, item) in node.get("sysctls").map(Node::items).unwrap_or_default().iter().enumerate() {
        let path = format!("spec.securityContext.sysctls[{index}]");
        let Some((written, node)) = item.get("name").and_then(|node| Some((node.text()?, node))) else {
            continue;
        };
        match names::sysctl(written) {
            Ok(name) if seen.insert(name.clone()) => {
                sysctls.push((name, text(item, "value").unwrap_or_default()));
            }
            Ok(_) => problems.push(node.error(format!("{path}.name: {} is there twice", quoted(written)))),
            Err(error) => problems.push(node.error(format!("{path}.name: {} {error}", quoted(written)))),
        }
    }
    sysctls
}

/// A namespace that is the host's is not the pod's to tune.
fn refuse_host_sysctls(spec: &Node, pod: &Pod, problems: &mut Vec<Problem>) {
    let list = spec.get("securityContext").and_then(|security| security.get("sysctls"));
    for (index, item) in list.map(Node::items).unwrap_or_default().iter().enumerate() {
        let Some(node) = item.get("name") else { continue };
        let Some(name) = node.text().and_then(|text| names::sysctl(text).ok()) else { continue };
        let of_host = match name.starts_with("net.") {
            true => ("hostNetwork", pod.host_network),
            false => ("hostIPC", pod.host_ipc),
        };
        if let (field, true) = of_host {
            let path = format!("spec.securityContext.sysctls[{index}].name");
            problems.push(node.error(format!("{path}: {name} is the host's with {field}: true")));
        }
    }
}

fn read_containers(around: &Around, problems: &mut Vec<Problem>) -> Vec<Container> {
    let spec = around.spec;
    let mut containers = Vec::new();
    let mut seen = HashSet::new();
    for list in ["initContainers", "containers"] {
        let Some(node) = spec.get(list) else { continue };
        if list == "containers" && node.value == Value::List(Vec::new()) {
            problems.push(node.error("spec.containers: at least one container is required"));
        }
        for (index, item) in node.items().iter().enumerate() {
            let path = format!("spec.{list}[{index}]");
            let container = container::read(item, &path, list == "initContainers", around, problems);
            if let Some(name) = item.get("name")
                && !container.name.is_empty()
                && !seen.insert(container.name.clone())
            {
                problems.push(name.error(format!(
                    "{path}.name: duplicate name {}; names are unique in a pod",
                    quoted(&container.name)
                )));
            }
            containers.push(container);
        }
    }
    containers
}

fn volumes(spec: &Node, sources: &files::Sources, problems: &mut Vec<Problem>) -> Vec<Volume> {
    let mut volumes = Vec::new();
    let mut seen = HashSet::new();
    for (index, item) in spec.get("volumes").map(Node::items).unwrap_or_default().iter().enumerate() {
        let path = format!("spec.volumes[{index}]");
        let Some(node) = item.get("name") else { continue };
        let name = checked(node, &format!("{path}.name"), names::label, problems);
        if !seen.insert(name.clone()) {
            problems.push(node.error(format!("{path}.name: duplicate name {}", quoted(&name))));
        }
        let kinds: Vec<&Entry> = item
            .entries()
            .iter()
            .filter(|entry| entry.key != "name" && entry.value.value != Value::Null)
            .collect();
        if let [_, second, ..] = kinds.as_slice() {
            let message = format!(
                "{path}: a volume has one type, not both {} and {}",
                quoted(&kinds[0].key),
                quoted(&second.key)
            );
            problems.push(Problem::error(second.line, second.column, message));
        }
        let source = match item.get("hostPath") {
            Some(host_path) => host_path_source(host_path, &path, problems),
            // A volume without a type is an emptyDir, as the API server's default has it.
            None => {
                files::read(item, &path, sources, problems).unwrap_or_else(|| empty_dir(item.get("emptyDir")))
            }
        };
        volumes.push(Volume { name, source });
    }
    volumes
}

fn empty_dir(node: Option<&Node>) -> VolumeSource {
    let limit = node.and_then(|node| node.get("sizeLimit")).and_then(quantity);
    let memory = node.and_then(|node| text(node, "medium")).as_deref() == Some("Memory");
    // A limit of 0 is none.
    VolumeSource::EmptyDir { size_limit: limit.map(Quantity::units).filter(|limit| *limit > 0), memory }
}

fn host_path_source(node: &Node, path: &str, problems: &mut Vec<Problem>) -> VolumeSource {
    let kind = match text(node, "type").as_deref() {
        Some("Directory") => HostPathType::Directory,
        Some("DirectoryOrCreate") => HostPathType::DirectoryOrCreate,
        Some("File") => HostPathType::File,
        Some("FileOrCreate") => HostPathType::FileOrCreate,
        Some("Socket") => HostPathType::Socket,
        Some("CharDevice") => HostPathType::CharDevice,
        Some("BlockDevice") => HostPathType::BlockDevice,
        _ => HostPathType::Any,
    };
    let path = node
        .get("path")
        .map_or(String::new(), |node| checked(node, &format!("{path}.hostPath.path"), names::path, problems));
    VolumeSource::HostPath { path, kind }
}

/// The quantity in a node; `None` if it is none, which the schema check has said.
fn quantity(node: &Node) -> Option<Quantity> {
    Quantity::parse(node.written()?).ok()
}

/// `resources` of pod or container, as given.
pub fn resources(node: Option<&Node>, path: &str, problems: &mut Vec<Problem>) -> Resources {
    let Some(node) = node else { return Resources::default() };
    let resources = Resources {
        requests: amounts(node.get("requests"), &format!("{path}.requests"), problems),
        limits: amounts(node.get("limits"), &format!("{path}.limits"), problems),
    };
    let Resources { requests, limits } = resources;
    for (name, request, limit) in
        [("cpu", requests.cpu, limits.cpu), ("memory", requests.memory, limits.memory)]
    {
        if limit.is_some_and(|limit| request > Some(limit))
            && let Some(node) = node.get("requests").and_then(|requests| requests.get(name))
        {
            problems.push(
                node.error(format!("{path}.requests[\"{name}\"]: the request is larger than the limit")),
            );
        }
    }
    resources
}

fn amounts(node: Option<&Node>, path: &str, problems: &mut Vec<Problem>) -> Amounts {
    let mut amounts = Amounts::default();
    for entry in node.map(Node::entries).unwrap_or_default() {
        let amount = quantity(&entry.value);
        match entry.key.as_str() {
            "cpu" => amounts.cpu = amount.map(Quantity::millis),
            "memory" => {
                amounts.memory = amount.map(Quantity::units);
                if let Some(amount) = amount.filter(|amount| !amount.is_whole()) {
                    let message = format!(
                        "{path}[\"memory\"]: fractional byte value \"{amount}\" should be an integer; it is rounded up: m means \
                         thousandths, M millions"
                    );
                    problems.push(Problem::warning(entry.value.line, entry.value.column, message));
                }
            }
            other => {
                let message = match other {
                    "ephemeral-storage" => format!(
                        "{path}: ephemeral-storage is not supported yet: limit memory, or an emptyDir with sizeLimit"
                    ),
                    _ if other.starts_with("hugepages-") => {
                        format!("{path}: {} is not supported yet", quoted(other))
                    }
                    _ => format!(
                        "{path}: {} is not supported: cpu and memory are what this machine shares out",
                        quoted(other)
                    ),
                };
                problems.push(Problem::error(entry.line, entry.column, message));
            }
        }
    }
    amounts
}
