//! ConfigMap and Secret documents, and the references to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::{self, nearest};
use super::names;
use super::node::{Entry, Node};
use super::problem::{Problem, listed, quoted};
use super::read::{annotations, checked, flag, labels, text};
use super::schema;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Text, and bytes that only volumes show.
    ConfigMap,
    /// Bytes.
    Secret,
}

impl Kind {
    /// As `kind` has it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::ConfigMap => "ConfigMap",
            Kind::Secret => "Secret",
        }
    }
}

/// The value of a key.
#[derive(Debug, Clone)]
pub struct Value {
    /// What a file of it holds.
    pub bytes: Arc<[u8]>,
    /// What a variable of it holds; `None` = `binaryData`, or not text.
    pub text: Option<Arc<str>>,
    /// It is in `binaryData`, which variables do not see at all.
    pub binary: bool,
}

/// A ConfigMap or Secret.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Values by key.
    pub data: BTreeMap<String, Value>,
}

/// Those of the stream, by kind, namespace and name.
#[derive(Debug, Clone, Default)]
pub struct Configs {
    all: BTreeMap<(Kind, String, String), Config>,
    /// The pod's namespace: it sees no others.
    namespace: String,
}

impl Configs {
    /// Reads the documents; what is wrong is added to `problems`. `namespace` is the pod's.
    pub fn read(documents: &[(Kind, &Node)], namespace: &str, problems: &mut Vec<Problem>) -> Configs {
        let mut configs = Configs { all: BTreeMap::new(), namespace: namespace.to_owned() };
        for (kind, document) in documents {
            let table = match kind {
                Kind::ConfigMap => &schema::CONFIG_MAP,
                Kind::Secret => &schema::SECRET,
            };
            problems.extend(check::check(document, table));
            let Some(metadata) = document.get("metadata") else { continue };
            // Nobody here asks for them; an API server would look at them all the same.
            labels(metadata, problems);
            annotations(metadata, problems);
            let Some(node) = metadata.get("name") else { continue };
            let name = checked(node, "metadata.name", names::subdomain, problems);
            let namespace = text(metadata, "namespace").unwrap_or("default".to_owned());
            let key = (*kind, namespace, name);
            if configs.all.contains_key(&key) {
                problems.push(node.error(format!("a second {} named {}", kind.name(), quoted(&key.2))));
                continue;
            }
            let config = match kind {
                Kind::ConfigMap => config_map(document, problems),
                Kind::Secret => secret(document, problems),
            };
            configs.all.insert(key, config);
        }
        configs
    }

    /// What a reference leads to. The name stands in `field` of `node`. `None`: nothing is there, which is complained about
    /// unless the reference is optional.
    pub fn find(
        &self,
        kind: Kind,
        node: &Node,
        field: &str,
        path: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<&Config> {
        let path = format!("{path}.{field}");
        let Some(place) = node.get(field).filter(|name| name.text() != Some("")) else {
            problems.push(node.error(format!("{path} is required")));
            return None;
        };
        let name = place.text()?;
        let found = self.all.get(&(kind, self.namespace.clone(), name.to_owned()));
        // Not for thousands of them: each is compared with every name.
        if found.is_none() && !is_optional(node) && problems.len() < check::MOST {
            problems.push(place.error(format!("{path}: {}", self.no_such(kind, name))));
        }
        found
    }

    fn no_such(&self, kind: Kind, name: &str) -> String {
        let (namespace, kind_name) = (&self.namespace, kind.name());
        let in_namespace = |wanted: bool| {
            let fits = move |key: &&(Kind, String, String)| key.0 == kind && (key.1 == *namespace) == wanted;
            self.all.keys().filter(fits)
        };
        if let Some((_, elsewhere, _)) = in_namespace(false).find(|key| key.2 == name) {
            return format!(
                "the {kind_name} {} is in namespace {elsewhere}, the pod in {namespace}",
                quoted(name)
            );
        }
        let names: Vec<&str> = in_namespace(true).map(|key| key.2.as_str()).collect();
        let hint = match (nearest(name, names.iter().copied()), names.is_empty()) {
            (Some(name), _) => format!("did you mean {}?", quoted(name)),
            (None, true) => format!("add it as a document of its own, kind: {kind_name}"),
            (None, false) => format!("there is {}", listed(&names)),
        };
        format!("no {kind_name} is named {}; {hint}", quoted(name))
    }
}

/// `optional: true` of a reference.
pub fn is_optional(node: &Node) -> bool {
    flag(node, "optional").unwrap_or(false)
}

/// That a key is not there, with the nearest one that is.
pub fn no_such_key(config: &Config, key: &str) -> String {
    let names: Vec<&str> = config.data.keys().map(String::as_str).collect();
    let hint = match nearest(key, names.iter().copied()) {
        Some(name) => format!("did you mean {}?", quoted(name)),
        None if names.is_empty() => "it has none".to_owned(),
        None => format!("it has {}", listed(&names)),
    };
    format!("no key {}; {hint}", quoted(key))
}

fn config_map(document: &Node, problems: &mut Vec<Problem>) -> Config {
    let mut config = Config::default();
    for entry in entries(document, "data", problems) {
        let text = entry.value.text().unwrap_or_default();
        config.data.insert(entry.key.clone(), plain(text));
    }
    for entry in entries(document, "binaryData", problems) {
        let bytes = decoded(entry, "binaryData", problems);
        let value = Value { bytes: bytes.into(), text: None, binary: true };
        if config.data.insert(entry.key.clone(), value).is_some() {
            problems.push(Problem::error(
                entry.line,
                entry.column,
                format!("binaryData: the key {} is in data too", quoted(&entry.key)),
            ));
        }
    }
    config
}

fn secret(document: &Node, problems: &mut Vec<Problem>) -> Config {
    let mut config = Config::default();
    for entry in entries(document, "data", problems) {
        let bytes = decoded(entry, "data", problems);
        // A variable ends at a NUL, so that one with it could not be what it says.
        let text = std::str::from_utf8(&bytes).ok().filter(|text| !text.contains('\0'));
        let value = Value { text: text.map(Arc::from), bytes: bytes.clone().into(), binary: false };
        config.data.insert(entry.key.clone(), value);
    }
    // As the API server: stringData wins.
    for entry in entries(document, "stringData", problems) {
        config.data.insert(entry.key.clone(), plain(entry.value.text().unwrap_or_default()));
    }
    refuse_incomplete(document, &config, problems);
    config
}

/// The keys that the API server demands of a Secret of some types.
fn refuse_incomplete(document: &Node, config: &Config, problems: &mut Vec<Problem>) {
    let Some((kind, node)) = document.get("type").and_then(|node| Some((node.text()?, node))) else { return };
    let keys: &[&str] = match kind {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/basic-auth" => &["username", "password"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        _ => return,
    };
    // Of a name and a password one is enough.
    let (enough, or) = if kind == "kubernetes.io/basic-auth" { (1, " or ") } else { (keys.len(), " and ") };
    if keys.iter().filter(|key| config.data.contains_key(**key)).count() < enough {
        problems.push(node.error(format!("type: a Secret of type {kind} needs {}", keys.join(or))));
    }
}

fn plain(text: &str) -> Value {
    Value { bytes: text.as_bytes().into(), text: Some(text.into()), binary: false }
}

/// The entries of a map of data, keys checked.
fn entries<'a>(document: &'a Node, field: &str, problems: &mut Vec<Problem>) -> &'a [Entry] {
    let entries = document.get(field).map(Node::entries).unwrap_or_default();
    for Entry { key, line, column, .. } in entries {
        if let Err(error) = names::config_key(key) {
            problems.push(Problem::error(*line, *column, format!("{field}: {} {error}", quoted(key))));
        }
    }
    entries
}

fn decoded(entry: &Entry, field: &str, problems: &mut Vec<Problem>) -> Vec<u8> {
    let text = entry.value.text().unwrap_or_default();
    base64(text).unwrap_or_else(|| {
        let hint = if field == "data" { "; plain text goes into stringData" } else { "" };
        let message = format!("{field}[{}]: not base64{hint}", quoted(&entry.key));
        problems.push(entry.value.error(message));
        Vec::new()
    })
}

/// RFC 4648 with padding; line ends are passed over, as Go does.
fn base64(text: &str) -> Option<Vec<u8>> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let bytes: Vec<u8> = text.bytes().filter(|byte| !b"\r\n".contains(byte)).collect();
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    let (groups, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    for (index, group) in groups.iter().enumerate() {
        let padding = group.iter().rev().take_while(|byte| **byte == b'=').count();
        if padding > 2 || (padding > 0 && index + 1 < groups.len()) {
            return None;
        }
        let mut bits = 0_u32;
        for byte in &group[..4 - padding] {
            bits = bits << 6 | u32::from(value(*byte)?);
        }
        let decoded = (bits << (6 * padding)).to_be_bytes();
        out.extend(&decoded[1..4 - padding]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648_with_padding() {
        for (text, expected) in [
            ("", Some("")),
            ("Zg==", Some("f")),
            ("Zm8=", Some("fo")),
            ("Zm9v", Some("foo")),
            ("Zm9vYmFy", Some("foobar")),
            ("Zm9v\nYmFy\n", Some("foobar")),
            ("Pz8/Pj4+", Some("???>>>")),
            ("Zg", None),
            ("Zg=", None),
            ("Z===", None),
            ("Zg==Zg==", None),
            ("Zm9v YmFy", None),
            ("Zm9-", None),
            ("====", None),
        ] {
            assert_eq!(base64(text), expected.map(|text| text.as_bytes().to_vec()), "{text}");
        }
        assert_eq!(base64("/wD+"), Some(vec![0xff, 0, 0xfe]));
    }
}
