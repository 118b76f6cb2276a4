//! The downward API: what a container can learn of its pod, as a variable or as a file.

use std::collections::{BTreeMap, HashSet};

use super::names;
use super::node::Node;
use super::pod::Pod;
use super::problem::{Problem, quoted};
use super::quantity::Quantity;
use super::read::text;
use super::resources::Resources;

/// What is known of a pod when it runs.
#[derive(Debug, Clone, Default)]
pub struct Downward {
    name: String,
    namespace: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    service_account: String,
    resources: BTreeMap<String, Resources>,
    uid: String,
    node: String,
    /// Thousandths of a core, and bytes, that this machine has.
    capacity: (u64, u64),
}

/// The address of the pod and of its host, without a network.
pub const ADDRESS: &str = "127.0.0.1";

impl Downward {
    /// `node` is the name of this machine, `cpu` its thousandths of a core, `memory` its bytes: what a container without a
    /// limit may use. The manifest's `nodeName` wins over the machine's.
    pub fn of(pod: &Pod, uid: &str, node: &str, cpu: u64, memory: u64) -> Downward {
        Downward {
            name: pod.name.clone(),
            namespace: pod.namespace.clone(),
            labels: pod.labels.clone(),
            annotations: pod.annotations.clone(),
            service_account: pod.service_account.clone(),
            resources: pod.containers.iter().map(|one| (one.name.clone(), one.resources)).collect(),
            uid: uid.to_owned(),
            node: pod.node_name.clone().unwrap_or_else(|| node.to_owned()),
            capacity: (cpu, memory),
        }
    }
}

/// `fieldRef.fieldPath`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldPath {
    /// `metadata.name`
    Name,
    /// `metadata.namespace`
    Namespace,
    /// `metadata.uid`
    Uid,
    /// `metadata.labels['KEY']`
    Label(String),
    /// `metadata.annotations['KEY']`
    Annotation(String),
    /// `metadata.labels`, in volumes only.
    Labels,
    /// `metadata.annotations`, in volumes only.
    Annotations,
    /// `spec.nodeName`, in variables only.
    NodeName,
    /// `spec.serviceAccountName`, in variables only.
    ServiceAccountName,
    /// `status.hostIP`, `hostIPs`, `podIP`, `podIPs`, in variables only.
    Address,
}

/// Where a reference stands; each place has its own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `env`.
    Variable,
    /// A `downwardAPI` volume.
    Volume,
}

impl FieldPath {
    fn parse(path: &str, place: Place) -> Result<FieldPath, String> {
        if let Some((of, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
            return match of {
                "metadata.labels" => names::qualified(key).map(|()| FieldPath::Label(key.to_owned())),
                "metadata.annotations" => {
                    names::qualified(&key.to_lowercase()).map(|()| FieldPath::Annotation(key.to_owned()))
                }
                _ => Err("is no field of a pod that can be had here".to_owned()),
            };
        }
        let (found, only) = match path {
            "metadata.name" => (FieldPath::Name, None),
            "metadata.namespace" => (FieldPath::Namespace, None),
            "metadata.uid" => (FieldPath::Uid, None),
            "metadata.labels" => (FieldPath::Labels, Some(Place::Volume)),
            "metadata.annotations" => (FieldPath::Annotations, Some(Place::Volume)),
            "spec.nodeName" => (FieldPath::NodeName, Some(Place::Variable)),
            "spec.serviceAccountName" => (FieldPath::ServiceAccountName, Some(Place::Variable)),
            "status.hostIP" | "status.hostIPs" | "status.podIP" | "status.podIPs" => {
                (FieldPath::Address, Some(Place::Variable))
            }
            _ => return Err("is no field of a pod that can be had here".to_owned()),
        };
        match only {
            Some(Place::Volume) if place == Place::Variable => {
                Err(format!("can only be a file of a volume; a variable takes {path}['KEY']"))
            }
            Some(Place::Variable) if place == Place::Volume => {
                Err("can only be the value of a variable".to_owned())
            }
            _ => Ok(found),
        }
    }

    /// Its value; a label or annotation that the pod does not have is empty.
    pub fn value(&self, of: &Downward) -> String {
        let entry = |map: &BTreeMap<String, String>, key: &str| map.get(key).cloned().unwrap_or_default();
        match self {
            FieldPath::Name => of.name.clone(),
            FieldPath::Namespace => of.namespace.clone(),
            FieldPath::Uid => of.uid.clone(),
            FieldPath::Label(key) => entry(&of.labels, key),
            FieldPath::Annotation(key) => entry(&of.annotations, key),
            FieldPath::Labels => lines(&of.labels),
            FieldPath::Annotations => lines(&of.annotations),
            FieldPath::NodeName => of.node.clone(),
            FieldPath::ServiceAccountName => of.service_account.clone(),
            FieldPath::Address => ADDRESS.to_owned(),
        }
    }
}

/// `KEY="VALUE"`, one on a line, by name, the last without an end of line; values are quoted as Go quotes them.
fn lines(map: &BTreeMap<String, String>) -> String {
    let line = |(key, value): (&String, &String)| format!("{key}={}", go_quoted(value));
    map.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Go's `%q`.
fn go_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c < ' ' || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            // What has no picture, as far as the standard library knows.
            c if c.is_control() || c.escape_debug().count() > 1 && c != '\'' => {
                let number = u32::from(c);
                match number {
                    ..=0xffff => out.push_str(&format!("\\u{number:04x}")),
                    _ => out.push_str(&format!("\\U{number:08x}")),
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `resourceFieldRef`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceField {
    /// The container; its own when `None`.
    pub container: Option<String>,
    /// `limits.…`, not `requests.…`.
    pub is_limit: bool,
    /// `….cpu`, not `….memory`.
    pub is_cpu: bool,
    /// What the amount is divided by, in thousandths of a core or in bytes; the quotient is rounded up.
    pub divisor: u64,
}

impl ResourceField {
    /// Its value for the container of this name: without a limit it is what the machine has, without a request nothing.
    pub fn value(&self, of: &Downward, own: &str) -> String {
        let container = self.container.as_deref().unwrap_or(own);
        let resources = of.resources.get(container).copied().unwrap_or_default();
        let amounts = if self.is_limit { resources.limits } else { resources.requests };
        let given = if self.is_cpu { amounts.cpu } else { amounts.memory };
        let capacity = if self.is_cpu { of.capacity.0 } else { of.capacity.1 };
        let amount = match given.filter(|amount| *amount > 0) {
            Some(amount) => amount,
            None if self.is_limit => capacity,
            None => 0,
        };
        amount.div_ceil(self.divisor.max(1)).to_string()
    }
}

/// Reads a `fieldRef`.
pub fn field(node: &Node, path: &str, place: Place, problems: &mut Vec<Problem>) -> FieldPath {
    if let Some(version) =
        node.get("apiVersion").filter(|node| !matches!(node.text(), Some("v1" | "") | None))
    {
        problems.push(version.error(format!("{path}.apiVersion: {} is not v1", version.kind())));
    }
    let Some(node) = node.get("fieldPath") else { return FieldPath::Name };
    let Some(text) = node.text() else { return FieldPath::Name };
    FieldPath::parse(text, place).unwrap_or_else(|error| {
        problems.push(node.error(format!("{path}.fieldPath: {} {error}", quoted(text))));
        FieldPath::Name
    })
}

/// Divisors that Kubernetes takes.
const CPU_DIVISORS: [&str; 3] = ["0", "1m", "1"];
const MEMORY_DIVISORS: [&str; 14] =
    ["0", "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// Reads a `resourceFieldRef`. `containers`: the names of those that it may be about.
pub fn resource(
    node: &Node,
    path: &str,
    place: Place,
    containers: &HashSet<&str>,
    problems: &mut Vec<Problem>,
) -> ResourceField {
    let container = text(node, "containerName");
    match (&container, node.get("containerName")) {
        (Some(name), Some(node)) if !containers.contains(name.as_str()) => {
            problems
                .push(node.error(format!("{path}.containerName: no container is named {}", quoted(name))));
        }
        (None, _) if place == Place::Volume => {
            problems.push(node.error(format!("{path}.containerName is required in a volume")));
        }
        _ => {}
    }
    let (mut is_limit, mut is_cpu) = (true, true);
    if let Some((wanted, node)) = node.get("resource").and_then(|node| Some((node.text()?, node))) {
        (is_limit, is_cpu) = match wanted {
            "limits.cpu" => (true, true),
            "limits.memory" => (true, false),
            "requests.cpu" => (false, true),
            "requests.memory" => (false, false),
            _ => {
                let message =
                    "is not supported; it takes limits.cpu, limits.memory, requests.cpu, requests.memory";
                problems.push(node.error(format!("{path}.resource: {} {message}", quoted(wanted))));
                (true, true)
            }
        };
    }
    let mut divisor = if is_cpu { 1000 } else { 1 };
    if let Some((written, node)) = node.get("divisor").and_then(|node| Some((node.written()?, node)))
        && let Ok(given) = Quantity::parse(written)
    {
        let allowed: &[&str] = if is_cpu { &CPU_DIVISORS } else { &MEMORY_DIVISORS };
        if !allowed.iter().any(|known| Quantity::parse(known).is_ok_and(|one| one.is_same_amount(given))) {
            problems.push(node.error(format!(
                "{path}.divisor: {} is not one of {}",
                quoted(written),
                allowed[1..].join(", ")
            )));
        }
        let value = if is_cpu { given.millis() } else { given.units() };
        if value > 0 {
            divisor = value;
        }
    }
    ResourceField { container, is_limit, is_cpu, divisor }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn downward() -> Downward {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let amounts = |cpu, memory| super::super::resources::Amounts { cpu, memory };
        let limited =
            Resources { requests: amounts(Some(100), None), limits: amounts(Some(1500), Some(64 << 20)) };
        Downward {
            name: "web".into(),
            labels: [pair("b", "two"), pair("app", "a\"b\\\n\t\u{1}é")].into(),
            resources: [("app".to_owned(), limited), ("free".to_owned(), Resources::default())].into(),
            capacity: (4000, 8 << 30),
            ..Downward::default()
        }
    }

    #[test]
    fn labels_are_lines_by_name_with_values_in_gos_quotes() {
        assert_eq!(FieldPath::Labels.value(&downward()), "app=\"a\\\"b\\\\\\n\\t\\x01é\"\nb=\"two\"");
        assert_eq!(FieldPath::Annotations.value(&downward()), "");
        assert_eq!(FieldPath::Label("nope".into()).value(&downward()), "");
        assert_eq!(go_quoted("it's \u{7f}\u{200b}\u{1f600}"), "\"it's \\x7f\\u200b\u{1f600}\"");
    }

    #[test]
    fn amounts_are_divided_and_rounded_up_and_what_is_not_limited_is_the_machines() {
        for (container, is_limit, is_cpu, divisor, expected) in [
            ("app", true, true, 1000, "2"),
            ("app", true, true, 1, "1500"),
            ("app", false, true, 1000, "1"),
            ("app", true, false, 1 << 20, "64"),
            ("app", true, false, 1_000_000, "68"),
            ("app", false, false, 1, "0"),
            ("free", true, true, 1000, "4"),
            ("free", true, false, 1 << 30, "8"),
            ("free", false, true, 1000, "0"),
        ] {
            let field = ResourceField { container: None, is_limit, is_cpu, divisor };
            assert_eq!(field.value(&downward(), container), expected, "{container} {field:?}");
        }
    }

    #[test]
    fn each_place_has_its_own_fields() {
        use Place::{Variable, Volume};
        for (path, variable, volume) in [
            ("metadata.name", true, true),
            ("metadata.labels['app.kubernetes.io/name']", true, true),
            ("metadata.annotations['Example.com/x']", true, true),
            ("metadata.labels", false, true),
            ("status.podIPs", true, false),
            ("spec.nodeName", true, false),
            ("status.phase", false, false),
            ("metadata.labels['']", false, false),
            ("metadata.labels['a b']", false, false),
            ("metadata.name['x']", false, false),
            ("metadata.labels[app]", false, false),
            ("", false, false),
        ] {
            assert_eq!(FieldPath::parse(path, Variable).is_ok(), variable, "{path}");
            assert_eq!(FieldPath::parse(path, Volume).is_ok(), volume, "{path}");
        }
    }
}
