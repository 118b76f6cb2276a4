//! The tables of ConfigMap and Secret, and of what refers to them and to the downward API.

use super::Shape::*;
use super::Support::*;
use super::{
    ANY_INT, MODE, NO_API_SERVER, OWNER_REFERENCE, Support, Table, UNREAD, field, ok, required, unless,
};

const UNCHANGED: Support = ClusterOnly("nothing changes it here while a pod runs");

/// The document of a ConfigMap.
pub static CONFIG_MAP: Table = Table {
    name: "ConfigMap",
    fields: &[
        required("apiVersion", Text),
        required("kind", Text),
        required("metadata", Object(&CONFIG_METADATA)),
        ok("data", TextMap),
        ok("binaryData", TextMap),
        unless("immutable", &["false"], Flag, UNCHANGED),
    ],
};

/// The document of a Secret.
pub static SECRET: Table = Table {
    name: "Secret",
    fields: &[
        required("apiVersion", Text),
        required("kind", Text),
        required("metadata", Object(&CONFIG_METADATA)),
        ok("data", TextMap),
        ok("stringData", TextMap),
        ok("type", Text),
        unless("immutable", &["false"], Flag, UNCHANGED),
    ],
};

static CONFIG_METADATA: Table = Table {
    name: "ObjectMeta of a ConfigMap or Secret",
    fields: &[
        required("name", Text),
        ok("namespace", Text),
        ok("labels", TextMap),
        ok("annotations", TextMap),
        field("generateName", Text, ClusterOnly("the object is called by its name")),
        field("selfLink", Text, NO_API_SERVER),
        field("uid", Text, NO_API_SERVER),
        field("resourceVersion", Text, NO_API_SERVER),
        field("generation", ANY_INT, NO_API_SERVER),
        field("creationTimestamp", Text, NO_API_SERVER),
        field("deletionTimestamp", Text, NO_API_SERVER),
        field("deletionGracePeriodSeconds", ANY_INT, NO_API_SERVER),
        field("ownerReferences", List(&OWNER_REFERENCE), NO_API_SERVER),
        field("finalizers", Texts, NO_API_SERVER),
        field("managedFields", Anything, NO_API_SERVER),
    ],
};

pub(super) static ENV_FROM: Table = Table {
    name: "EnvFromSource",
    fields: &[
        ok("prefix", Text),
        ok("configMapRef", Object(&CONFIG_MAP_ENV)),
        ok("secretRef", Object(&SECRET_ENV)),
    ],
};

static CONFIG_MAP_ENV: Table =
    Table { name: "ConfigMapEnvSource", fields: &[required("name", Text), ok("optional", Flag)] };

static SECRET_ENV: Table =
    Table { name: "SecretEnvSource", fields: &[required("name", Text), ok("optional", Flag)] };

pub(super) static ENV_SOURCE: Table = Table {
    name: "EnvVarSource",
    fields: &[
        ok("configMapKeyRef", Object(&CONFIG_MAP_KEY)),
        ok("secretKeyRef", Object(&SECRET_KEY)),
        ok("fieldRef", Object(&FIELD)),
        ok("resourceFieldRef", Object(&RESOURCE_FIELD)),
        field("fileKeyRef", Object(&UNREAD), NotYet("let the program read the file, or use a ConfigMap")),
    ],
};

static CONFIG_MAP_KEY: Table = Table {
    name: "ConfigMapKeySelector",
    fields: &[required("name", Text), required("key", Text), ok("optional", Flag)],
};

static SECRET_KEY: Table = Table {
    name: "SecretKeySelector",
    fields: &[required("name", Text), required("key", Text), ok("optional", Flag)],
};

static FIELD: Table =
    Table { name: "ObjectFieldSelector", fields: &[required("fieldPath", Text), ok("apiVersion", Text)] };

static RESOURCE_FIELD: Table = Table {
    name: "ResourceFieldSelector",
    fields: &[required("resource", Text), ok("containerName", Text), ok("divisor", Amount)],
};

pub(super) static CONFIG_MAP_VOLUME: Table = Table {
    name: "ConfigMapVolumeSource",
    fields: &[
        required("name", Text),
        ok("items", List(&KEY_TO_PATH)),
        ok("defaultMode", MODE),
        ok("optional", Flag),
    ],
};

pub(super) static SECRET_VOLUME: Table = Table {
    name: "SecretVolumeSource",
    fields: &[
        required("secretName", Text),
        ok("items", List(&KEY_TO_PATH)),
        ok("defaultMode", MODE),
        ok("optional", Flag),
    ],
};

static KEY_TO_PATH: Table =
    Table { name: "KeyToPath", fields: &[required("key", Text), required("path", Text), ok("mode", MODE)] };

pub(super) static DOWNWARD_VOLUME: Table = Table {
    name: "DownwardAPIVolumeSource",
    fields: &[ok("items", List(&DOWNWARD_FILE)), ok("defaultMode", MODE)],
};

static DOWNWARD_FILE: Table = Table {
    name: "DownwardAPIVolumeFile",
    fields: &[
        required("path", Text),
        ok("fieldRef", Object(&FIELD)),
        ok("resourceFieldRef", Object(&RESOURCE_FIELD)),
        ok("mode", MODE),
    ],
};

pub(super) static PROJECTED_VOLUME: Table = Table {
    name: "ProjectedVolumeSource",
    fields: &[ok("sources", List(&PROJECTION)), ok("defaultMode", MODE)],
};

const NOBODY_SIGNS: Support =
    Never("there is no API server to sign one; put what the program needs into a Secret");

static PROJECTION: Table = Table {
    name: "VolumeProjection",
    fields: &[
        ok("configMap", Object(&CONFIG_MAP_PROJECTION)),
        ok("secret", Object(&SECRET_PROJECTION)),
        ok("downwardAPI", Object(&DOWNWARD_PROJECTION)),
        field("serviceAccountToken", Object(&UNREAD), NOBODY_SIGNS),
        field("clusterTrustBundle", Object(&UNREAD), NOBODY_SIGNS),
        field("podCertificate", Object(&UNREAD), NOBODY_SIGNS),
    ],
};

static CONFIG_MAP_PROJECTION: Table = Table {
    name: "ConfigMapProjection",
    fields: &[required("name", Text), ok("items", List(&KEY_TO_PATH)), ok("optional", Flag)],
};

static SECRET_PROJECTION: Table = Table {
    name: "SecretProjection",
    fields: &[required("name", Text), ok("items", List(&KEY_TO_PATH)), ok("optional", Flag)],
};

static DOWNWARD_PROJECTION: Table =
    Table { name: "DownwardAPIProjection", fields: &[ok("items", List(&DOWNWARD_FILE))] };
