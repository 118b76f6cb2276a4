//! The variables of a container: `env` and `envFrom`.

use std::collections::HashSet;
use std::sync::Arc;

use super::check::MOST as MOST_PROBLEMS;
use super::config::{Config, Configs, Kind, is_optional, no_such_key};
use super::downward::{self, Downward, Place};
use super::expand::{LONGEST_TOGETHER, Variables, expand};
use super::names;
use super::node::{Node, Value};
use super::pod::{Container, EnvValue, EnvVar};
use super::problem::{Problem, quoted};
use super::read::{checked, text};

/// Reads `envFrom`, then `env`. `containers`: the names of those whose resources a variable may be about.
pub fn read(
    node: &Node,
    path: &str,
    configs: &Configs,
    containers: &HashSet<&str>,
    problems: &mut Vec<Problem>,
) -> Vec<EnvVar> {
    let mut variables = env_from(node, path, configs, problems);
    for (index, item) in node.get("env").map(Node::items).unwrap_or_default().iter().enumerate() {
        let path = format!("{path}.env[{index}]");
        let Some(name) = item.get("name") else { continue };
        let name = checked(name, &format!("{path}.name"), names::variable, problems);
        let value = match item.get("valueFrom") {
            None => Some(EnvValue::Text(text(item, "value").unwrap_or_default())),
            Some(from) => {
                if text(item, "value").is_some() {
                    problems
                        .push(from.error(format!("{path}.valueFrom: may not be given together with value")));
                }
                value_from(from, &format!("{path}.valueFrom"), configs, containers, problems)
            }
        };
        variables.extend(value.map(|value| EnvVar { name, value }));
    }
    variables
}

/// What `env` says in so many words: of this alone probes expand their commands. What comes from elsewhere is empty there.
pub fn written(node: &Node) -> Variables {
    let mut variables = Variables::default();
    for item in node.get("env").map(Node::items).unwrap_or_default() {
        if let Some(name) = item.get("name").and_then(Node::text) {
            variables.set(name, item.get("value").and_then(Node::text).unwrap_or_default());
        }
    }
    variables
}

/// `None`: nothing, since what it leads to is optional and not there.
fn value_from(
    node: &Node,
    path: &str,
    configs: &Configs,
    containers: &HashSet<&str>,
    problems: &mut Vec<Problem>,
) -> Option<EnvValue> {
    let set: Vec<_> = node.entries().iter().filter(|entry| entry.value.value != Value::Null).collect();
    let [source] = set.as_slice() else {
        problems.push(node.error(format!(
            "{path}: exactly one of configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef is required"
        )));
        return None;
    };
    let (node, path) = (&source.value, format!("{path}.{}", source.key));
    match source.key.as_str() {
        "configMapKeyRef" => key(Kind::ConfigMap, node, &path, configs, problems),
        "secretKeyRef" => key(Kind::Secret, node, &path, configs, problems),
        "fieldRef" => Some(EnvValue::Field(downward::field(node, &path, Place::Variable, problems))),
        "resourceFieldRef" => {
            let field = downward::resource(node, &path, Place::Variable, containers, problems);
            Some(EnvValue::Resource(field))
        }
        _ => None, // refused by the schema
    }
}

fn key(
    kind: Kind,
    node: &Node,
    path: &str,
    configs: &Configs,
    problems: &mut Vec<Problem>,
) -> Option<EnvValue> {
    let config = configs.find(kind, node, "name", path, problems)?;
    let place = node.get("key")?;
    let key = place.text()?;
    match config.data.get(key).filter(|value| !value.binary) {
        Some(value) => match &value.text {
            Some(text) => return Some(EnvValue::Exact(text.clone())),
            None => problems.push(place.error(format!("{path}.key: {} is not text", quoted(key)))),
        },
        None if is_optional(node) => {}
        None if problems.len() >= MOST_PROBLEMS => {} // each is compared with every key
        None => problems.push(place.error(format!("{path}.key: {}", no_such_key(config, key)))),
    }
    None
}

fn env_from(node: &Node, path: &str, configs: &Configs, problems: &mut Vec<Problem>) -> Vec<EnvVar> {
    let mut variables = Vec::new();
    let mut size = 0;
    for (index, item) in node.get("envFrom").map(Node::items).unwrap_or_default().iter().enumerate() {
        let path = format!("{path}.envFrom[{index}]");
        let prefix = match item.get("prefix").filter(|prefix| prefix.text() != Some("")) {
            Some(prefix) => checked(prefix, &format!("{path}.prefix"), names::variable, problems),
            None => String::new(),
        };
        let found = match (item.get("configMapRef"), item.get("secretRef")) {
            (Some(node), None) => {
                configs.find(Kind::ConfigMap, node, "name", &format!("{path}.configMapRef"), problems)
            }
            (None, Some(node)) => {
                configs.find(Kind::Secret, node, "name", &format!("{path}.secretRef"), problems)
            }
            _ => {
                problems
                    .push(item.error(format!("{path}: exactly one of configMapRef, secretRef is required")));
                None
            }
        };
        let Some(Config { data }) = found else { continue };
        for (key, value) in data.iter().filter(|(_, value)| !value.binary) {
            let name = format!("{prefix}{key}");
            let skipped = match (&value.text, names::variable(&name)) {
                (_, Err(why)) => why,
                (None, Ok(())) => "is not text".to_owned(),
                (Some(text), Ok(())) => {
                    size += name.len() + text.len();
                    variables.push(EnvVar { name, value: EnvValue::Exact(Arc::clone(text)) });
                    continue;
                }
            };
            let message = format!("{path}: the key {} is skipped: as a variable it {skipped}", quoted(key));
            problems.push(Problem::warning(item.line, item.column, message));
        }
        if size > LONGEST_TOGETHER {
            problems.push(item.error(format!(
                "{path}: the variables take more than {} MiB, and the kernel takes no program with so much",
                LONGEST_TOGETHER >> 20
            )));
            return Vec::new();
        }
    }
    variables
}

/// The variables of a container as they are when it starts: `value` is expanded with those before it. One long value can be
/// that of all of them, so they end behind the first [`LONGEST_TOGETHER`] bytes: execve(2) refuses the program for those.
pub fn variables(container: &Container, of: &Downward) -> Variables {
    let mut variables = Variables::default();
    let mut length = 0;
    for EnvVar { name, value } in &container.env {
        if length > LONGEST_TOGETHER {
            break;
        }
        let value = match value {
            EnvValue::Text(text) => expand(text, |wanted| variables.get(wanted)),
            EnvValue::Exact(text) => text.to_string(),
            EnvValue::Field(field) => field.value(of),
            EnvValue::Resource(field) => field.value(of, &container.name),
        };
        length += value.len();
        variables.set(name, &value);
    }
    variables
}
