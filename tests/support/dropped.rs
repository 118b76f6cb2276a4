//! Manifests without one of their fields: scripts/fields shows with them that a test looks at what the field does.

use std::borrow::Cow;

use barepod::manifest::node::{self, Node};
use barepod::manifest::schema::{self, Shape, Table};
use serde_json::Value;

/// Environment variable: the field that is taken out of every manifest before barepod sees it, as TYPE.NAME with the names
/// of docs/manifest.md. If it is empty, manifests are written anew all the same, so that nothing but the field is different.
pub const DROP_FIELD: &str = "BAREPOD_TEST_DROP_FIELD";

/// A manifest as barepod is to see it.
pub fn manifest_text(text: &str) -> Cow<'_, str> {
    let Ok(field) = std::env::var(DROP_FIELD) else { return Cow::Borrowed(text) };
    // What cannot be read is to be refused as it is.
    let Some((without, times)) = without(text, &field) else { return Cow::Borrowed(text) };
    if times > 0 {
        eprintln!("dropped {field} ({times} times)");
    }
    Cow::Owned(without)
}

/// The documents of a manifest as JSON without a field, and in how many places it stood. `None` if they cannot be read.
pub fn without(text: &str, field: &str) -> Option<(String, usize)> {
    let mut times = 0;
    let document = |node: &Node| {
        let mut object = node.json();
        drop_from(&mut object, table(node), field, &mut times);
        object.to_string()
    };
    let documents: Vec<String> = node::parse(text).ok()?.iter().map(document).collect();
    Some((documents.join("\n---\n") + "\n", times))
}

/// The type of a document.
fn table(document: &Node) -> &'static Table {
    let kind = document.get("kind").and_then(Node::text).unwrap_or_default();
    schema::DOCUMENTS.into_iter().find(|table| table.name == kind).unwrap_or(&schema::POD)
}

fn drop_from(value: &mut Value, table: &Table, wanted: &str, times: &mut usize) {
    let Some(object) = value.as_object_mut() else { return };
    for field in table.fields {
        if wanted.strip_prefix(table.name).and_then(|rest| rest.strip_prefix('.')) == Some(field.name) {
            *times += usize::from(object.remove(field.name).is_some());
        }
        let Some(below) = object.get_mut(field.name) else { continue };
        match field.shape {
            Shape::Object(table) => drop_from(below, table, wanted, times),
            Shape::List(table) => {
                let items = below.as_array_mut().into_iter().flatten();
                items.for_each(|item| drop_from(item, table, wanted, times));
            }
            _ => {}
        }
    }
}
