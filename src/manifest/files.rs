//! Volumes of files with given content: `configMap`, `secret`, `downwardAPI`, and `projected`, which is several of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::check::MOST as MOST_PROBLEMS;
use super::config::{Configs, Kind, is_optional, no_such_key};
use super::downward::{self, Place};
use super::names;
use super::node::Node;
use super::pod::{Content, VolumeFile, VolumeSource};
use super::problem::{Problem, quoted};
use super::read::checked;

/// More files than anybody means; each costs memory when it is made.
const MOST: usize = 16_384;
/// Mode of a file that says nothing.
const MODE: u32 = 0o644;

/// What the files are taken from.
pub struct Sources<'a> {
    /// ConfigMaps and Secrets.
    pub configs: &'a Configs,
    /// Names of the containers whose resources may be in a file.
    pub containers: &'a HashSet<&'a str>,
}

/// Reads the volume `item` if it is one of these.
pub fn read(item: &Node, path: &str, sources: &Sources, problems: &mut Vec<Problem>) -> Option<VolumeSource> {
    let mut files = Files { sources, all: BTreeMap::new(), explicit: BTreeSet::new(), problems };
    if let Some(node) = item.get("configMap") {
        files.config(Kind::ConfigMap, node, "name", &format!("{path}.configMap"), mode(node));
    } else if let Some(node) = item.get("secret") {
        files.config(Kind::Secret, node, "secretName", &format!("{path}.secret"), mode(node));
    } else if let Some(node) = item.get("downwardAPI") {
        files.downward(node, &format!("{path}.downwardAPI"), mode(node));
    } else if let Some(node) = item.get("projected") {
        files.projected(node, &format!("{path}.projected"), mode(node));
    } else {
        return None;
    }
    files.refuse_nested(item, path);
    Some(VolumeSource::Files(files.all.into_values().collect()))
}

/// `defaultMode` of a volume.
fn mode(node: &Node) -> u32 {
    bits(node, "defaultMode").unwrap_or(MODE)
}

fn bits(node: &Node, field: &str) -> Option<u32> {
    node.get(field).and_then(Node::integer).and_then(|mode| u32::try_from(mode).ok())
}

struct Files<'a> {
    sources: &'a Sources<'a>,
    /// By path.
    all: BTreeMap<String, VolumeFile>,
    /// Paths that were asked for by name.
    explicit: BTreeSet<String>,
    problems: &'a mut Vec<Problem>,
}

impl Files<'_> {
    fn projected(&mut self, node: &Node, path: &str, mode: u32) {
        for (index, item) in node.get("sources").map(Node::items).unwrap_or_default().iter().enumerate() {
            let path = format!("{path}.sources[{index}]");
            if item.entries().len() > 1 {
                self.problems.push(item.error(format!("{path}: a source has one type")));
            }
            if let Some(node) = item.get("configMap") {
                self.config(Kind::ConfigMap, node, "name", &format!("{path}.configMap"), mode);
            } else if let Some(node) = item.get("secret") {
                self.config(Kind::Secret, node, "name", &format!("{path}.secret"), mode);
            } else if let Some(node) = item.get("downwardAPI") {
                self.downward(node, &format!("{path}.downwardAPI"), mode);
            } else if item.entries().is_empty() {
                self.problems
                    .push(item.error(format!("{path}: one of configMap, secret, downwardAPI is required")));
            }
        }
    }

    /// All keys, each a file; or those that `items` names, where it says.
    fn config(&mut self, kind: Kind, node: &Node, field: &str, path: &str, mode: u32) {
        let found = self.sources.configs.find(kind, node, field, path, self.problems);
        let items = node.get("items").map(Node::items).unwrap_or_default();
        if let (Some(config), []) = (found, items) {
            for (key, value) in &config.data {
                let content = Content::Bytes(value.bytes.clone());
                self.add(node, path, VolumeFile { path: key.clone(), mode, content });
            }
        }
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}.items[{index}]");
            let (Some(key), Some(target)) = (item.get("key"), self.target(item, &path)) else { continue };
            let (Some(config), Some(name)) = (found, key.text()) else { continue };
            match config.data.get(name) {
                Some(value) => {
                    let content = Content::Bytes(value.bytes.clone());
                    let mode = bits(item, "mode").unwrap_or(mode);
                    self.add(item, &path, VolumeFile { path: target, mode, content });
                }
                None if is_optional(node) => {}
                None if self.problems.len() >= MOST_PROBLEMS => {} // each is compared with every key
                None => self.problems.push(key.error(format!("{path}.key: {}", no_such_key(config, name)))),
            }
        }
    }

    fn downward(&mut self, node: &Node, path: &str, mode: u32) {
        for (index, item) in node.get("items").map(Node::items).unwrap_or_default().iter().enumerate() {
            let path = format!("{path}.items[{index}]");
            let Some(target) = self.target(item, &path) else { continue };
            let content = match (item.get("fieldRef"), item.get("resourceFieldRef")) {
                (Some(node), None) => {
                    let path = format!("{path}.fieldRef");
                    Content::Field(downward::field(node, &path, Place::Volume, self.problems))
                }
                (None, Some(node)) => {
                    let path = format!("{path}.resourceFieldRef");
                    let containers = self.sources.containers;
                    Content::Resource(downward::resource(
                        node,
                        &path,
                        Place::Volume,
                        containers,
                        self.problems,
                    ))
                }
                _ => {
                    let message = format!("{path}: exactly one of fieldRef, resourceFieldRef is required");
                    self.problems.push(item.error(message));
                    continue;
                }
            };
            let mode = bits(item, "mode").unwrap_or(mode);
            self.add(item, &path, VolumeFile { path: target, mode, content });
        }
    }

    /// The `path` of an item, complained about if another item has it too.
    fn target(&mut self, item: &Node, path: &str) -> Option<String> {
        let node = item.get("path")?;
        let path = format!("{path}.path");
        let target = checked(node, &path, names::file_path, self.problems);
        let target = names::clean(&target)[1..].to_owned();
        if !self.explicit.insert(target.clone()) {
            self.problems.push(node.error(format!("{path}: {} is there twice", quoted(&target))));
        }
        (!target.is_empty()).then_some(target)
    }

    /// A later file of the same path wins, as with a kubelet.
    fn add(&mut self, node: &Node, path: &str, file: VolumeFile) {
        if self.all.len() < MOST {
            self.all.insert(file.path.clone(), file);
        } else {
            self.problems.push(node.error(format!("{path}: more than {MOST} files")));
        }
    }

    /// A file cannot be a directory of another one.
    fn refuse_nested(&mut self, item: &Node, path: &str) {
        for file in self.all.keys() {
            let above =
                file.match_indices('/').map(|(at, _)| &file[..at]).find(|path| self.all.contains_key(*path));
            if let Some(above) = above {
                let message =
                    format!("{path}: {} is a file, and {} lies below it", quoted(above), quoted(file));
                return self.problems.push(item.error(message));
            }
        }
    }
}
