//! The Pod manifest: text in, a typed [`Pod`] or every problem with its place out. Nothing here touches the system.
//!
//! [`node`] (with [`scalar`]) reads YAML and JSON into a tree that knows lines and columns; [`schema`] is the Pod type as data and [`check`]
//! holds the tree against it; [`read`] turns the tree into a [`Pod`] with the rules that need more than one field;
//! [`defaults`] makes the object that `inspect` shows.

use serde_json::Value as Json;

pub mod check;
pub mod config;
pub mod container;
pub mod defaults;
pub mod downward;
pub mod env;
pub mod expand;
pub mod files;
pub mod handler;
pub mod hosts;
pub mod names;
pub mod node;
pub mod pod;
pub mod problem;
pub mod quantity;
pub mod read;
pub mod resources;
pub mod scalar;
pub mod schema;

pub use downward::Downward;
pub use pod::{
    Container, ContainerPort, ContainerSecurity, Content, EnvValue, EnvVar, Handler, HostPathType,
    MessagePolicy, Pod, PodSecurity, Propagation, Seccomp, Spanned, SubPath, Volume, VolumeFile, VolumeMount,
    VolumeSource,
};
pub use problem::Problem;
pub use resources::{Amounts, Resources};

use config::{Configs, Kind};

use node::{Node, Value};

/// A manifest that can be run.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The pod.
    pub pod: Pod,
    /// The same as a Kubernetes object, with the API server's defaults, for `inspect`.
    pub object: Json,
    /// What was accepted although it has no effect here, in the order of the text.
    pub warnings: Vec<Problem>,
}

/// Reads a manifest: one Pod and the ConfigMaps and Secrets that it needs, as YAML or JSON, in any order, in a List or not.
/// The error has every problem in the order of the text, then the warnings.
pub fn load(text: &str) -> Result<Manifest, Vec<Problem>> {
    let stream = node::parse(text).map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    for list in stream.iter().filter(|document| items(document).is_some()) {
        problems.extend(check::check(list, &schema::LIST));
        check_version(list, "List", &mut problems);
    }
    let Documents { pod, configs } = sort(&documents(&stream), &mut problems);
    let Some(document) = pod else { return Err(tidy(problems)) };
    problems.extend(check::check(document, &schema::POD));
    let configs = Configs::read(&configs, &read::namespace(document, &mut Vec::new()), &mut problems);
    let pod = read::pod(document, &configs, &mut problems);
    let (warnings, errors): (Vec<_>, Vec<_>) = problems.into_iter().partition(|problem| problem.warning);
    if errors.is_empty() {
        return Ok(Manifest { pod, object: defaults::apply(document.json()), warnings: tidy(warnings) });
    }
    Err([tidy(errors), tidy(warnings)].concat())
}

/// In the order of the text, each once, and not more than anybody reads.
fn tidy(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup();
    problems.truncate(check::MOST);
    problems
}

/// The documents of a stream, in which a List, as `kubectl get -o yaml` prints it, stands for its items.
pub fn documents(stream: &[Node]) -> Vec<&Node> {
    stream.iter().flat_map(|document| items(document).unwrap_or(std::slice::from_ref(document))).collect()
}

/// The items of a List; `None` if the document is no such thing.
fn items(document: &Node) -> Option<&[Node]> {
    match document.get("items").map(|node| &node.value) {
        _ if document.get("kind").and_then(Node::text) != Some("List") => None,
        None => Some(&[]),
        Some(Value::List(items)) => Some(items),
        Some(_) => None,
    }
}

/// The documents of a manifest.
struct Documents<'a> {
    pod: Option<&'a Node>,
    configs: Vec<(Kind, &'a Node)>,
}

/// The one Pod among the documents, its ConfigMaps and Secrets; the others are problems.
fn sort<'a>(documents: &[&'a Node], problems: &mut Vec<Problem>) -> Documents<'a> {
    let mut found = Documents { pod: None, configs: Vec::new() };
    let mut others = 0;
    for &document in documents {
        let kind = document.get("kind").and_then(Node::text);
        match kind {
            Some("ConfigMap") => found.configs.push((Kind::ConfigMap, document)),
            Some("Secret") => found.configs.push((Kind::Secret, document)),
            Some("Pod") | None if found.pod.is_none() => found.pod = Some(document),
            Some("Pod") | None => {
                problems.push(document.error("a second Pod: one manifest describes one pod"));
                continue;
            }
            Some(kind) => {
                let place = document.get("kind").unwrap_or(document);
                problems.push(place.error(wrong_kind(kind)));
                others += 1;
                continue;
            }
        }
        check_version(document, kind.unwrap_or("Pod"), problems);
    }
    if found.pod.is_none() && others == 0 {
        let what = if documents.is_empty() { "the manifest is empty" } else { "the manifest has no Pod" };
        let message = format!("{what}: expected a Pod (apiVersion: v1, kind: Pod)");
        problems.push(Problem::error(1, 1, message));
    }
    found
}

fn check_version(document: &Node, kind: &str, problems: &mut Vec<Problem>) {
    if let Some(version) = document.get("apiVersion")
        && let Some(text) = version.text()
        && text != "v1"
    {
        problems.push(
            version.error(format!("apiVersion: {} is not v1, the version of {kind}", problem::quoted(text))),
        );
    }
}

fn wrong_kind(kind: &str) -> String {
    let kind_shown = problem::quoted(kind);
    match kind {
        // Any other was replaced by its items.
        "List" => "kind: List: its items are no list, or it is itself in one".to_owned(),
        "PodList" => format!("kind: {kind} is not supported: one manifest describes one pod"),
        "Deployment"
        | "ReplicaSet"
        | "StatefulSet"
        | "DaemonSet"
        | "Job"
        | "CronJob"
        | "ReplicationController"
        | "PodTemplate" => {
            format!("kind: {kind} is not supported: it makes pods on a cluster; run its template as a Pod")
        }
        _ if kind.eq_ignore_ascii_case("pod") => {
            format!("kind: {kind_shown} is not a kind; did you mean \"Pod\"?")
        }
        _ => format!(
            "kind: {kind_shown} is not supported: barepod runs a Pod, with its ConfigMaps and Secrets"
        ),
    }
}

impl Manifest {
    /// Gives the pod another name (`run --name`). The host name follows unless the manifest sets it.
    pub fn rename(&mut self, name: &str) {
        self.pod.name = name.to_owned();
        self.object["metadata"]["name"] = name.into();
        self.pod.name_host();
    }
}

#[cfg(test)]
mod tests;
