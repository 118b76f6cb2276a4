//! Hooks and probes.

use std::time::Duration;

use super::container::Context;
use super::expand::expand_all;
use super::node::{Entry, Node, Value};
use super::pod::Handler;
use super::problem::{Problem, listed, quoted};
use super::read::{seconds, text, texts};
use crate::lifecycle::model::{Probe, ProbeKind};

/// What a handler may be, in hooks and probes.
const HANDLERS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "sleep", "grpc"];

/// Reads `postStart` or `preStop`.
pub fn hook(node: &Node, path: &str, context: &Context, problems: &mut Vec<Problem>) -> Option<Handler> {
    let handler = handler(node, path, context, problems)?;
    if let Handler::Sleep(time) = &handler
        && *time > context.pod.grace
        && let Some(node) = node.get("sleep").and_then(|sleep| sleep.get("seconds"))
    {
        let grace = context.pod.grace.as_secs();
        problems.push(node.error(format!(
            "{path}.sleep.seconds: {} is longer than terminationGracePeriodSeconds ({grace})",
            time.as_secs()
        )));
    }
    Some(handler)
}

/// Reads a probe.
pub fn probe(
    node: &Node,
    kind: ProbeKind,
    path: &str,
    context: &Context,
    problems: &mut Vec<Problem>,
) -> Option<(Handler, Probe)> {
    let handler = handler(node, path, context, problems);
    // 0 means the default, as for the API server.
    let or = |name: &str, default: u64| {
        seconds(node, name).filter(|value| !value.is_zero()).unwrap_or(Duration::from_secs(default))
    };
    let timing = Probe {
        initial_delay: or("initialDelaySeconds", 0),
        period: or("periodSeconds", 10),
        timeout: or("timeoutSeconds", 1),
        failure_threshold: or("failureThreshold", 3).as_secs() as u32,
        success_threshold: or("successThreshold", 1).as_secs() as u32,
        grace: seconds(node, "terminationGracePeriodSeconds"),
    };
    if kind != ProbeKind::Readiness && timing.success_threshold != 1 {
        complain(node, "successThreshold", path, "must be 1 for liveness and startup probes", problems);
    }
    if kind == ProbeKind::Readiness && timing.grace.is_some() {
        complain(
            node,
            "terminationGracePeriodSeconds",
            path,
            "may not be set for readiness probes",
            problems,
        );
    }
    // Kubernetes expands variables in the commands of probes, though not of hooks.
    let handler = match handler? {
        Handler::Exec(command) => Handler::Exec(expand_all(&command, |name| context.env.get(name))),
        other => other,
    };
    Some((handler, timing))
}

fn complain(node: &Node, field: &str, path: &str, what: &str, problems: &mut Vec<Problem>) {
    if let Some(value) = node.get(field) {
        problems.push(value.error(format!("{path}.{field} {what}")));
    }
}

fn handler(node: &Node, path: &str, context: &Context, problems: &mut Vec<Problem>) -> Option<Handler> {
    let given: Vec<&Entry> = node
        .entries()
        .iter()
        .filter(|entry| HANDLERS.contains(&entry.key.as_str()) && entry.value.value != Value::Null)
        .collect();
    match given.as_slice() {
        [] => {
            problems.push(node.error(format!("{path}: a handler is required: exec, httpGet …")));
            return None;
        }
        [_] => {}
        [first, second, ..] => {
            let message =
                format!("{path}: one handler, not both {} and {}", quoted(&first.key), quoted(&second.key));
            problems.push(Problem::error(second.line, second.column, message));
        }
    }
    let handler = &given[0].value;
    let path = format!("{path}.{}", given[0].key);
    match given[0].key.as_str() {
        "exec" => {
            let command = texts(handler, "command");
            if command.is_none() && handler.get("command").is_some() {
                problems.push(handler.error(format!("{path}.command: is empty")));
            }
            command.map(Handler::Exec)
        }
        "httpGet" => http_get(handler, &path, context, problems),
        "tcpSocket" => Some(Handler::Tcp {
            host: host(handler, &path, problems),
            port: port(handler, &path, context, problems)?,
        }),
        "sleep" => seconds(handler, "seconds").map(Handler::Sleep),
        _ => None, // refused by the schema
    }
}

fn http_get(node: &Node, path: &str, context: &Context, problems: &mut Vec<Problem>) -> Option<Handler> {
    // All of this becomes lines of a request; nothing may begin a line of its own. The sender encodes what a URL cannot hold.
    let mut target = text(node, "path").unwrap_or("/".to_owned());
    if target.chars().any(char::is_control) {
        complain(node, "path", path, "has control characters in it", problems);
    }
    if !target.starts_with('/') {
        target.insert(0, '/');
    }
    let mut headers = Vec::new();
    for (index, header) in node.get("httpHeaders").map(Node::items).unwrap_or_default().iter().enumerate() {
        let path = format!("{path}.httpHeaders[{index}]");
        let name = header.get("name").and_then(Node::text).unwrap_or_default();
        let value = header.get("value").and_then(Node::text).unwrap_or_default();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            complain(header, "name", &path, "is not an HTTP header name", problems);
        }
        if value.chars().any(char::is_control) {
            complain(header, "value", &path, "has control characters in it", problems);
        }
        headers.push((name.to_owned(), value.to_owned()));
    }
    let host = host(node, path, problems);
    let https = text(node, "scheme").as_deref() == Some("HTTPS");
    Some(Handler::HttpGet { https, host, port: port(node, path, context, problems)?, path: target, headers })
}

fn host(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<String> {
    let host = text(node, "host")?;
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte)) {
        complain(node, "host", path, "is neither a host name nor an address", problems);
    }
    Some(host)
}

/// A number, or the name of one of the container's ports.
fn port(node: &Node, path: &str, context: &Context, problems: &mut Vec<Problem>) -> Option<u16> {
    let port = node.get("port")?;
    let Some(name) = port.text() else { return u16::try_from(port.integer()?).ok().filter(|port| *port > 0) };
    let found =
        context.ports.iter().find(|known| known.name.as_deref() == Some(name)).map(|known| known.port);
    if found.is_none() {
        let names: Vec<_> = context.ports.iter().filter_map(|port| port.name.as_deref()).collect();
        let has = match names.is_empty() {
            true => "this container names no ports".to_owned(),
            false => format!("this container has {}", listed(&names)),
        };
        let hint = if name.parse::<u16>().is_ok() { "; write a number without quotes" } else { "" };
        problems.push(port.error(format!("{path}.port: no port is named {}; {has}{hint}", quoted(name))));
    }
    found
}
