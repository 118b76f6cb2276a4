//! Every field of the tables.

use std::collections::HashSet;

use super::super::schema::{Field, Shape, Support, Table};
use super::*;

/// Every field of every table, with a path.
fn walk(
    table: &'static Table,
    path: &str,
    seen: &mut HashSet<*const Table>,
    visit: &mut impl FnMut(&str, &Field),
) {
    if !seen.insert(std::ptr::from_ref(table)) {
        return;
    }
    for field in table.fields {
        let path = format!("{path}.{}", field.name);
        visit(&path, field);
        if let Shape::Object(below) | Shape::List(below) = field.shape {
            walk(below, &path, seen, visit);
        }
    }
}

#[test]
fn the_tables_have_no_field_twice_and_reasons_are_sentences_without_a_stop() {
    let mut seen = HashSet::new();
    let mut tables = Vec::new();
    let mut visit = |path: &str, field: &Field| {
        tables.push(path.to_owned());
        let why = match field.support {
            Support::Honoured => return,
            Support::ClusterOnly(why) | Support::Never(why) => {
                assert!(!why.is_empty(), "{path} has no reason");
                why
            }
            Support::NotYet(why) => why,
        };
        assert!(!why.ends_with('.'), "{path}: {why}");
    };
    for (number, table) in schema::DOCUMENTS.iter().enumerate() {
        walk(table, &number.to_string(), &mut seen, &mut visit);
    }
    assert!(tables.len() > 250, "{}", tables.len());
    let unique: HashSet<_> = tables.iter().collect();
    assert_eq!(unique.len(), tables.len());
}

#[test]
fn every_refused_field_is_refused_and_every_cluster_field_warned_of_once() {
    // Each table with a Pod around an object of its type that has one more field.
    type Around = fn(&str, Json) -> Json;
    let around: [(&Table, Around); 7] = [
        (below(&schema::POD, "metadata"), |name, value| json!({"metadata": {"name": "a", name: value}})),
        (spec_table(), |name, value| json!({"spec": {name: value}})),
        (container_table(), |name, value| json!({"container": {name: value}})),
        (
            below(spec_table(), "securityContext"),
            |name, value| json!({"spec": {"securityContext": {name: value}}}),
        ),
        (
            below(container_table(), "securityContext"),
            |name, value| json!({"container": {"securityContext": {name: value}}}),
        ),
        (
            below(spec_table(), "volumes"),
            |name, value| json!({"spec": {"volumes": [{"name": "v", name: value}]}}),
        ),
        (
            below(container_table(), "ports"),
            |name, value| json!({"container": {"ports": [{"containerPort": 1, name: value}]}}),
        ),
    ];
    let mut tried = 0;
    for (table, around) in around {
        for field in table.fields.iter().filter(|field| field.support != Support::Honoured) {
            let parts = around(field.name, sample(field));
            let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}});
            let mut container = json!({"name": "web", "image": "x"});
            merge(&mut container, &parts["container"]);
            merge(&mut pod["metadata"], &parts["metadata"]);
            merge(&mut pod["spec"], &parts["spec"]);
            pod["spec"]["containers"] = json!([container]);
            one_verdict(&pod.to_string(), field);
            tried += 1;
        }
    }
    assert!(tried > 70, "{tried}");
}

fn one_verdict(text: &str, field: &Field) {
    let (problems, refused) = match load(text) {
        Ok(manifest) => (manifest.warnings, false),
        Err(problems) => (problems, true),
    };
    let named: Vec<_> =
        problems.iter().filter(|problem| problem.message.contains(&format!(".{} ", field.name))).collect();
    assert_eq!(named.len(), 1, "{}: {problems:?}", field.name);
    let expected = !matches!(field.support, Support::ClusterOnly(_));
    assert_eq!((refused, named[0].warning), (expected, !expected), "{}", field.name);
}

fn below(table: &'static Table, name: &str) -> &'static Table {
    match table.fields.iter().find(|field| field.name == name).unwrap().shape {
        Shape::Object(table) | Shape::List(table) => table,
        _ => panic!("{name} is no object"),
    }
}

fn spec_table() -> &'static Table {
    below(&schema::POD, "spec")
}

fn container_table() -> &'static Table {
    below(spec_table(), "containers")
}

fn merge(into: &mut Json, from: &Json) {
    for (key, value) in from.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}

/// A value that fits the field and is not one of the harmless ones.
fn sample(field: &Field) -> Json {
    if field.idle == ["true"] { json!(false) } else { fitting(field.shape) }
}

fn fitting(shape: Shape) -> Json {
    match shape {
        Shape::Text | Shape::Anything | Shape::Port => json!("x"),
        Shape::OneOf(values) => json!(values[0].0),
        Shape::Flag => json!(true),
        Shape::Int(from, to) => json!(to.min(from.max(1))),
        Shape::Amount => json!("1"),
        Shape::Amounts => json!({"cpu": "1"}),
        Shape::Texts => json!(["x"]),
        Shape::Ints(from, _) => json!([from]),
        Shape::TextMap => json!({"a": "b"}),
        Shape::Object(table) => object(table),
        Shape::List(table) => json!([object(table)]),
    }
}

fn object(table: &Table) -> Json {
    let required = table
        .fields
        .iter()
        .filter(|field| field.required)
        .map(|field| (field.name.to_owned(), fitting(field.shape)));
    let mut object: serde_json::Map<String, Json> = required.collect();
    if object.is_empty() && !table.fields.is_empty() {
        object.insert(table.fields[0].name.to_owned(), fitting(table.fields[0].shape));
    }
    Json::Object(object)
}
