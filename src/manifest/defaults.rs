//! The Pod object as the API server would give it back: defaults filled in, quantities in canonical form.

use serde_json::{Map, Value, json};

use super::quantity::Quantity;
use super::schema::{POD, Shape, Table};

/// Fields of an object dumped from a cluster that describe that cluster's pod, not this one.
const ANOTHER_PODS: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

/// Fills in the defaults of a checked Pod document.
pub fn apply(mut pod: Value) -> Value {
    leave_out_empty(&mut pod, &POD);
    if let Some(pod) = pod.as_object_mut() {
        pod.remove("status");
    }
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.retain(|key, _| !ANOTHER_PODS.contains(&key.as_str()));
        default(metadata, "namespace", "default");
    }
    let Some(spec) = pod["spec"].as_object_mut() else { return pod };
    default(spec, "restartPolicy", "Always");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "schedulerName", "default-scheduler");
    default(spec, "enableServiceLinks", true);
    default(spec, "securityContext", json!({}));
    each(spec, "volumes", volume);
    each(spec, "initContainers", container);
    each(spec, "containers", container);
    if let Some(resources) = spec.get_mut("resources").and_then(Value::as_object_mut) {
        each_amount(resources);
    }
    if let Some(overhead) = spec.get_mut("overhead").and_then(Value::as_object_mut) {
        overhead.values_mut().for_each(canonical);
    }
    pod
}

/// Leaves out what empty text leaves unset.
fn leave_out_empty(object: &mut Value, table: &Table) {
    let Some(object) = object.as_object_mut() else { return };
    object.retain(|name, value| {
        let Some(field) = table.fields.iter().find(|field| field.name == name) else { return true };
        match (field.shape, &mut *value) {
            (Shape::Object(table), value) => leave_out_empty(value, table),
            (Shape::List(table), Value::Array(items)) => {
                items.iter_mut().for_each(|item| leave_out_empty(item, table));
            }
            _ => {}
        }
        !field.is_unset_by(value.as_str())
    });
}

/// Sets a field that is absent.
fn default(object: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    object.entry(name).or_insert_with(|| value.into());
}

/// Sets a number that is absent or 0.
fn default_number(object: &mut Map<String, Value>, name: &str, value: i64) {
    if object.get(name).is_none_or(|old| old.is_null() || *old == json!(0)) {
        object.insert(name.to_owned(), value.into());
    }
}

fn each(object: &mut Map<String, Value>, list: &str, change: fn(&mut Map<String, Value>)) {
    for item in object.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
        item.as_object_mut().map(change);
    }
}

fn volume(volume: &mut Map<String, Value>) {
    if volume.len() == 1 {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    if let Some(host_path) = volume.get_mut("hostPath").and_then(Value::as_object_mut) {
        host_path.entry("type").or_insert("".into());
    }
    for kind in ["configMap", "secret", "downwardAPI", "projected"] {
        let Some(files) = volume.get_mut(kind).and_then(Value::as_object_mut) else { continue };
        files.entry("defaultMode").or_insert(0o644.into());
        each(files, "items", reference);
        for source in files.get_mut("sources").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(downward) = source.get_mut("downwardAPI").and_then(Value::as_object_mut) {
                each(downward, "items", reference);
            }
        }
    }
    if let Some(limit) = volume.get_mut("emptyDir").and_then(|empty_dir| empty_dir.get_mut("sizeLimit")) {
        canonical(limit);
    }
}

/// What stands around a `fieldRef` or `resourceFieldRef`.
fn reference(item: &mut Map<String, Value>) {
    if let Some(field) = item.get_mut("fieldRef").and_then(Value::as_object_mut) {
        default(field, "apiVersion", "v1");
    }
    if let Some(field) = item.get_mut("resourceFieldRef").and_then(Value::as_object_mut) {
        canonical(field.entry("divisor").or_insert("0".into()));
    }
}

/// Fills in those of a container.
pub fn container(container: &mut Map<String, Value>) {
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    let policy = pull_policy(container.get("image").and_then(Value::as_str).unwrap_or_default());
    default(container, "imagePullPolicy", policy);
    default(container, "resources", json!({}));
    if let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) {
        each_amount(resources);
        if let Some(limits) = resources.get("limits").cloned() {
            let requests = resources.entry("requests").or_insert(json!({}));
            for (name, limit) in limits.as_object().into_iter().flatten() {
                requests
                    .as_object_mut()
                    .map(|requests| requests.entry(name.clone()).or_insert(limit.clone()));
            }
        }
    }
    for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(from) = variable.get_mut("valueFrom").and_then(Value::as_object_mut) {
            reference(from);
        }
    }
    each(container, "ports", |port| default(port, "protocol", "TCP"));
    for name in ["startupProbe", "livenessProbe", "readinessProbe"] {
        if let Some(probe) = container.get_mut(name).and_then(Value::as_object_mut) {
            default_number(probe, "timeoutSeconds", 1);
            default_number(probe, "periodSeconds", 10);
            default_number(probe, "successThreshold", 1);
            default_number(probe, "failureThreshold", 3);
            http_get(probe);
        }
    }
    for name in ["postStart", "preStop"] {
        if let Some(hook) =
            container.get_mut("lifecycle").and_then(|l| l.get_mut(name)).and_then(Value::as_object_mut)
        {
            http_get(hook);
        }
    }
}

fn http_get(handler: &mut Map<String, Value>) {
    if let Some(get) = handler.get_mut("httpGet").and_then(Value::as_object_mut) {
        default(get, "path", "/");
        default(get, "scheme", "HTTP");
    }
}

/// `Always` for `:latest` or no tag, else `IfNotPresent`.
fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or_default();
    let digest = name.contains('@');
    match name.split_once(':') {
        None if !digest => "Always",
        Some((_, "latest")) => "Always",
        _ => "IfNotPresent",
    }
}

fn each_amount(resources: &mut Map<String, Value>) {
    for list in ["requests", "limits"] {
        if let Some(amounts) = resources.get_mut(list).and_then(Value::as_object_mut) {
            amounts.values_mut().for_each(canonical);
        }
    }
}

/// A quantity, number or text, in the form that the API server gives back.
fn canonical(value: &mut Value) {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Ok(quantity) = Quantity::parse(&text) {
        *value = quantity.rounded_to_millis().to_string().into();
    }
}
