//! The real Pod type beside the tables that a manifest is read by: no field of it is forgotten, and none is made up. Each
//! that is honoured has a test that fails without it.

mod support;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use barepod::manifest::schema::{self, Shape, Support, Table};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use serde::Deserialize;
use serde::de::value::Error;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use support::*;

/// What the real types are made of.
#[derive(Default)]
struct Types {
    /// The fields of each.
    fields: BTreeMap<&'static str, BTreeSet<&'static str>>,
    /// The type of a field, if it is one with fields itself.
    inside: BTreeMap<(&'static str, &'static str), &'static str>,
}

/// Answers whatever a type asks for while it is read, and notes what it asked for: a type names its fields.
#[derive(Clone, Copy)]
struct Asked<'a> {
    types: &'a RefCell<Types>,
    /// The field that is being read, and the type that has it.
    at: (&'static str, &'static str),
    /// `Time` wants another text than others do.
    newtype: &'static str,
}

struct Fields<'a> {
    asked: Asked<'a>,
    left: Vec<&'static str>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(name) = self.left.pop() else { return Ok(None) };
        self.asked.at.1 = name;
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.asked)
    }
}

struct One<'a>(Option<Asked<'a>>);

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|asked| seed.deserialize(asked)).transpose()
    }
}

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut types = self.types.borrow_mut();
        types.inside.insert(self.at, name);
        let known = types.fields.insert(name, fields.iter().copied().collect()).is_some();
        drop(types);
        let left = if known { Vec::new() } else { fields.to_vec() };
        visitor.visit_map(Fields { asked: Asked { at: (name, ""), ..self }, left })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(Asked { newtype: name, ..self })
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(1)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(true)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(match (self.at, self.newtype) {
            ((_, "apiVersion"), _) => "v1",
            ((of, "kind"), _) => of,
            (_, "Time" | "MicroTime") => "2026-01-01T00:00:00Z",
            _ => "",
        })
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(One(Some(self)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let at = self.at;
        let mut entry = Fields { asked: self, left: vec!["key"] };
        entry.asked.at = at;
        visitor.visit_map(entry)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum
        identifier ignored_any
    }
}

fn types() -> Types {
    let types = RefCell::new(Types::default());
    let asked = |root| Asked { types: &types, at: ("", root), newtype: "" };
    Pod::deserialize(asked("Pod")).unwrap();
    ConfigMap::deserialize(asked("ConfigMap")).unwrap();
    Secret::deserialize(asked("Secret")).unwrap();
    types.into_inner()
}

/// Holds a table against the real type, and what it leads to as well.
fn compare(
    table: &'static Table,
    name: &str,
    types: &Types,
    seen: &mut BTreeSet<(String, String)>,
    wrong: &mut Vec<String>,
) {
    if !seen.insert((table.name.to_owned(), name.to_owned())) {
        return;
    }
    let real = &types.fields[name];
    for field in real {
        let groups = table.fields.iter().filter(|known| known.name == *field).count();
        if groups != 1 {
            wrong.push(format!("{name}.{field} is in {groups} groups"));
        }
    }
    for field in table.fields {
        if !real.contains(field.name) {
            wrong.push(format!("{name}.{} is made up", field.name));
        }
        let inside = types
            .inside
            .iter()
            .find(|((of, at), _)| *of == name && *at == field.name)
            .map(|(_, found)| *found);
        match (field.shape, inside) {
            (Shape::Object(below) | Shape::List(below), Some(inside)) => {
                // Below a refused field nothing is looked at.
                if !matches!(field.support, Support::NotYet(_) | Support::Never(_)) {
                    compare(below, inside, types, seen, wrong);
                }
            }
            (Shape::Anything, _) | (_, None) => {}
            (_, Some(inside)) => wrong.push(format!("{name}.{} is a {inside}", field.name)),
        }
    }
}

#[test]
fn every_field_of_the_real_pod_is_in_exactly_one_of_the_three_groups() {
    let types = types();
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    for table in schema::DOCUMENTS {
        compare(table, table.name, &types, &mut seen, &mut wrong);
    }
    assert_eq!(wrong, Vec::<String>::new());
    let fields: usize = seen.iter().map(|(_, name)| types.fields[name.as_str()].len()).sum();
    assert!(seen.len() > 60 && fields > 300, "this test looks at {} types with {fields} fields", seen.len());
}

/// `TYPE.NAME` of every field that is honoured, and not below one that is not.
fn honoured(table: &Table, found: &mut BTreeSet<String>) {
    for field in table.fields.iter().filter(|field| field.support == Support::Honoured) {
        let is_new = found.insert(format!("{}.{}", table.name, field.name));
        if let (true, Shape::Object(below) | Shape::List(below)) = (is_new, field.shape) {
            honoured(below, found);
        }
    }
}

/// The sources of a test, by `PROGRAM::TEST` or `PROGRAM::MODULE::TEST`: its program's and its module's.
fn sources(path: &str) -> String {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let modules: Vec<&str> = path.split("::").collect();
    let files = (1..modules.len()).map(|end| tests.join(modules[..end].join("/")).with_extension("rs"));
    files.map(|file| fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"))).collect()
}

/// That the tests notice when their fields are left out is shown by scripts/fields.
#[test]
fn every_honoured_field_has_a_test_that_is_there_and_writes_the_field_into_a_manifest() {
    let mut fields = BTreeSet::new();
    schema::DOCUMENTS.into_iter().for_each(|table| honoured(table, &mut fields));
    assert!(fields.len() > 150, "this test looks at {} fields", fields.len());
    let lines: Vec<(&str, &str)> =
        include_str!("fields.txt").lines().filter_map(|line| line.rsplit_once("  ")).collect();
    let listed: BTreeSet<String> = lines.iter().map(|(field, _)| (*field).to_owned()).collect();
    let (missing, unknown) = (&fields - &listed, &listed - &fields);
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "without a test: {missing:?}; not honoured: {unknown:?}"
    );
    assert_eq!(lines.len(), listed.len(), "a field stands in fields.txt twice");
    for (field, test) in lines {
        let (sources, name) = (sources(test), test.rsplit("::").next().unwrap());
        assert!(sources.contains(&format!("#[test]\nfn {name}() {{")), "{field}: there is no test {test}");
        let key = field.rsplit('.').next().unwrap();
        assert!(sources.contains(&format!("{key}:")), "{field}: {test} has no {key}");
    }
}

#[test]
fn a_dropped_field_is_dropped_from_every_object_of_its_type_and_from_no_other() {
    let text = "kind: Pod\nspec:\n  hostAliases: [{ip: 10.0.0.1, hostnames: [a]}, {ip: 10.0.0.2}]\n  containers: [{name: a, env: [{name: b}]}]\n---\nkind: ConfigMap\ndata: {name: c}\n";
    let documents = |text: &str| {
        let nodes = barepod::manifest::node::parse(text).unwrap();
        nodes.iter().map(|node| node.json()).collect::<Vec<_>>()
    };
    for (field, changes, times) in [
        ("", &[][..], 0),
        ("HostAlias.ip", &[("ip: 10.0.0.1, ", ""), ("{ip: 10.0.0.2}", "{}")], 2),
        ("EnvVar.name", &[("{name: b}", "{}")], 1),
        ("ConfigMap.data", &[("data: {name: c}", "")], 1),
    ] {
        let expected = changes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        let (found, found_times) = dropped::without(text, field).unwrap();
        assert_eq!((documents(&found), found_times), (documents(&expected), times), "{field}");
    }
    assert!(dropped::without("a: [", "").is_none());
}

/// The real type prints times without parts of a second, which barepod's contract has.
fn with_times_in_seconds(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(with_times_in_seconds),
        Value::Array(list) => list.iter_mut().for_each(with_times_in_seconds),
        Value::String(text) => {
            if let Ok(time) = humantime::parse_rfc3339(text) {
                *text = humantime::format_rfc3339_seconds(time).to_string();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn what_inspect_prints_is_a_pod_of_the_real_type_and_nothing_of_it_is_lost() {
    let lab = Lab::new();
    let manifest = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{color: red}}\n---
apiVersion: v1
kind: Pod
metadata: {{name: whole, labels: {{app: web}}, annotations: {{a: b}}}}
spec:
  terminationGracePeriodSeconds: 1
  activeDeadlineSeconds: 600
  shareProcessNamespace: true
  hostname: shop
  subdomain: stores
  os: {{name: linux}}
  nodeSelector: {{a: b}}
  tolerations: [{{key: a, operator: Exists, tolerationSeconds: 3}}]
  hostAliases: [{{ip: 10.0.0.1, hostnames: [db]}}]
  dnsConfig: {{nameservers: [10.0.0.2], options: [{{name: ndots, value: '2'}}]}}
  securityContext: {{fsGroup: 5, supplementalGroups: [6], sysctls: [{{name: net.ipv4.tcp_syncookies, value: '1'}}], seccompProfile: {{type: Unconfined}}}}
  volumes:
  - {{name: data, emptyDir: {{sizeLimit: 1024Ki, medium: Memory}}}}
  - {{name: host, hostPath: {{path: /srv, type: DirectoryOrCreate}}}}
  - {{name: conf, configMap: {{name: settings, defaultMode: 0400, items: [{{key: color, path: c, mode: 0444}}]}}}}
  - name: all
    projected:
      sources:
      - configMap: {{name: settings}}
      - downwardAPI: {{items: [{{path: name, fieldRef: {{fieldPath: metadata.name}}}}, {{path: r, resourceFieldRef: {{containerName: app, resource: limits.cpu}}}}]}}
  initContainers:
  - {{name: first, image: box, command: ['true']}}
  - {{name: side, image: box, command: [sh, -c, \"{UNTIL_TERM}\"], restartPolicy: Always, startupProbe: {{exec: {{command: ['true']}}}}}}
  containers:
  - name: app
    image: box
    command: [sh, -c, \"{UNTIL_TERM}\"]
    workingDir: /work
    ports: [{{name: web, containerPort: 8080}}]
    envFrom: [{{configMapRef: {{name: settings}}, prefix: X_}}]
    env: [{{name: A, value: b}}, {{name: NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}]
    resources: {{limits: {{cpu: 0.5, memory: 65536Ki}}, requests: {{cpu: 100m}}}}
    volumeMounts: [{{name: data, mountPath: /d, subPath: x}}, {{name: conf, mountPath: /c, readOnly: true, recursiveReadOnly: Enabled}}]
    lifecycle: {{postStart: {{exec: {{command: ['true']}}}}, preStop: {{sleep: {{seconds: 0}}}}, stopSignal: SIGTERM}}
    livenessProbe: {{exec: {{command: ['true']}}, periodSeconds: 5}}
    readinessProbe: {{exec: {{command: ['true']}}, periodSeconds: 1}}
    securityContext: {{runAsUser: 0, capabilities: {{drop: [ALL], add: [KILL]}}, readOnlyRootFilesystem: false}}
  - {{name: done, image: box, command: ['false'], restartPolicy: Never, restartPolicyRules: [{{action: Restart, exitCodes: {{operator: In, values: [42]}}}}]}}\n"
    );
    lab.start(&manifest);
    lab.until("the second container to end", seconds(20), || {
        lab.status("whole", "done")["state"]["terminated"]["exitCode"] == 1
    });
    let mut printed = lab.inspect("whole");
    let pod: Pod = serde_json::from_value(printed.clone()).unwrap();
    let mut again = serde_json::to_value(&pod).unwrap();
    with_times_in_seconds(&mut printed);
    with_times_in_seconds(&mut again);
    assert_eq!(again, printed);
    assert!(
        printed["status"]["startTime"].is_string() && printed["spec"]["containers"][0]["ports"].is_array()
    );
}
