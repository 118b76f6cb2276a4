//! The fields of the Kubernetes v1 Pod type (1.35) as data: what each looks like, and what barepod makes of it.
//!
//! No field is ever ignored in silence. Each is in one of three groups: honoured; cluster-only, which is accepted with a
//! warning; refused, either for good or until it is supported.

mod config;
mod container;
mod scheduling;
mod volume;

use Shape::*;
use Support::*;
pub use config::{CONFIG_MAP, SECRET};
use container::{CONTAINER, POD_SECURITY, RESOURCES};
use scheduling::{AFFINITY, TOLERATION, TOPOLOGY_SPREAD};
use volume::VOLUME;

/// What a value has to look like.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Any text.
    Text,
    /// One of these; each has its own support.
    OneOf(&'static [(&'static str, Support)]),
    /// A boolean.
    Flag,
    /// An integer from … to.
    Int(i64, i64),
    /// A port number, or the name of a port.
    Port,
    /// A quantity: text or number.
    Amount,
    /// Quantities by resource name.
    Amounts,
    /// A list of texts.
    Texts,
    /// A list of integers from … to.
    Ints(i64, i64),
    /// Text to text.
    TextMap,
    /// An object.
    Object(&'static Table),
    /// A list of objects.
    List(&'static Table),
    /// Anything: what a server wrote for itself.
    Anything,
}

/// What barepod makes of a field or of one of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It has its effect.
    Honoured,
    /// It has no meaning on one machine: accepted, with a warning that says why.
    ClusterOnly(&'static str),
    /// Not supported yet; the text, if any, says what to do instead.
    NotYet(&'static str),
    /// Refused for good, and why.
    Never(&'static str),
}

/// One field of an object.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Name.
    pub name: &'static str,
    /// Shape of the value.
    pub shape: Shape,
    /// What it does.
    pub support: Support,
    /// The API server demands it.
    pub required: bool,
    /// Values that mean the same as leaving the field out; they are accepted in silence even if the field is not honoured.
    pub idle: &'static [&'static str],
}

impl Field {
    /// Empty text says nothing in a field that may be left out.
    pub fn is_unset_by(&self, text: Option<&str>) -> bool {
        !self.required && matches!(self.shape, Text | OneOf(_)) && text == Some("")
    }
}

/// The fields of one type.
#[derive(Debug)]
pub struct Table {
    /// The type's name in the Kubernetes API.
    pub name: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

const fn field(name: &'static str, shape: Shape, support: Support) -> Field {
    Field { name, shape, support, required: false, idle: &[] }
}

const fn ok(name: &'static str, shape: Shape) -> Field {
    field(name, shape, Honoured)
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, support: Honoured, required: true, idle: &[] }
}

/// Refused, or warned of, unless it has one of the values that change nothing.
const fn unless(name: &'static str, idle: &'static [&'static str], shape: Shape, support: Support) -> Field {
    Field { name, shape, support, required: false, idle }
}

const SCHEDULING: Support = ClusterOnly("there is one machine to choose from");
const NO_API_SERVER: Support = ClusterOnly("there is no API server here");
const ADMISSION: Support = ClusterOnly("it only matters to a cluster's admission and eviction");
const WINDOWS: Support = Never("this is Linux");
const LATER: Support = NotYet("");

const ANY_INT: Shape = Int(i64::MIN, i64::MAX);
const COUNT: Shape = Int(0, i32::MAX as i64);
/// Permission bits of a file.
const MODE: Shape = Int(0, 0o777);

/// The documents that a manifest may have.
pub static DOCUMENTS: [&Table; 3] = [&POD, &CONFIG_MAP, &SECRET];

/// The document.
pub static POD: Table = Table {
    name: "Pod",
    fields: &[
        required("apiVersion", Text),
        required("kind", Text),
        required("metadata", Object(&METADATA)),
        required("spec", Object(&SPEC)),
        field("status", Anything, ClusterOnly("it is what a cluster once said of this pod")),
    ],
};

/// What `kubectl get -o yaml` puts around several documents. Its items are checked as documents of their own.
pub static LIST: Table = Table {
    name: "List",
    fields: &[
        required("apiVersion", Text),
        required("kind", Text),
        ok("metadata", Object(&LIST_METADATA)),
        required("items", Anything),
    ],
};

static LIST_METADATA: Table = Table {
    name: "ListMeta",
    fields: &[
        field("selfLink", Text, NO_API_SERVER),
        field("resourceVersion", Text, NO_API_SERVER),
        field("continue", Text, NO_API_SERVER),
        field("remainingItemCount", ANY_INT, NO_API_SERVER),
    ],
};

static METADATA: Table = Table {
    name: "ObjectMeta",
    fields: &[
        ok("name", Text),
        ok("namespace", Text),
        ok("labels", TextMap),
        ok("annotations", TextMap),
        field("generateName", Text, ClusterOnly("the pod is called by its name")),
        field("selfLink", Text, NO_API_SERVER),
        field("uid", Text, ClusterOnly("every run makes a new one")),
        field("resourceVersion", Text, NO_API_SERVER),
        field("generation", ANY_INT, NO_API_SERVER),
        field("creationTimestamp", Text, ClusterOnly("every run makes a new one")),
        field("deletionTimestamp", Text, NO_API_SERVER),
        field("deletionGracePeriodSeconds", ANY_INT, NO_API_SERVER),
        field("ownerReferences", List(&OWNER_REFERENCE), NO_API_SERVER),
        field("finalizers", Texts, NO_API_SERVER),
        field("managedFields", Anything, NO_API_SERVER),
    ],
};

static OWNER_REFERENCE: Table = Table {
    name: "OwnerReference",
    fields: &[
        required("apiVersion", Text),
        required("kind", Text),
        required("name", Text),
        required("uid", Text),
        ok("controller", Flag),
        ok("blockOwnerDeletion", Flag),
    ],
};

static SPEC: Table = Table {
    name: "PodSpec",
    fields: &[
        ok("restartPolicy", RESTART_POLICY),
        ok("terminationGracePeriodSeconds", COUNT),
        ok("activeDeadlineSeconds", Int(1, i32::MAX as i64)),
        ok("shareProcessNamespace", Flag),
        ok("hostname", Text),
        ok("volumes", List(&VOLUME)),
        ok("initContainers", List(&CONTAINER)),
        required("containers", List(&CONTAINER)),
        ok("securityContext", Object(&POD_SECURITY)),
        ok("resources", Object(&RESOURCES)),
        ok("os", Object(&OS)),
        ok("dnsPolicy", DNS_POLICY),
        ok("hostNetwork", Flag),
        ok("hostIPC", Flag),
        unless(
            "hostPID",
            &["false"],
            Flag,
            Never("a pod lives in a PID namespace, and the kernel lets no process join an ancestor's"),
        ),
        unless("hostUsers", &["true"], Flag, NotYet("pods run in the host's user namespace")),
        ok("subdomain", Text),
        ok("setHostnameAsFQDN", Flag),
        ok("hostnameOverride", Text),
        ok("hostAliases", List(&HOST_ALIAS)),
        ok("dnsConfig", Object(&DNS_CONFIG)),
        field(
            "ephemeralContainers",
            List(&UNREAD),
            Never("they are added to a running pod, by barepod debug, and are never part of a manifest"),
        ),
        field(
            "readinessGates",
            List(&UNREAD),
            Never("nobody here sets such a condition, so the pod would never be Ready"),
        ),
        field(
            "schedulingGates",
            List(&UNREAD),
            Never("a pod with a scheduling gate does not start; remove it to start it"),
        ),
        field(
            "resourceClaims",
            List(&UNREAD),
            Never("there is no device driver to ask; dynamic resource allocation needs a cluster"),
        ),
        field("nodeSelector", TextMap, SCHEDULING),
        field("nodeName", Text, SCHEDULING),
        field("affinity", Object(&AFFINITY), SCHEDULING),
        field("tolerations", List(&TOLERATION), SCHEDULING),
        field("topologySpreadConstraints", List(&TOPOLOGY_SPREAD), SCHEDULING),
        field("schedulerName", Text, SCHEDULING),
        field("workloadRef", Object(&WORKLOAD_REFERENCE), SCHEDULING),
        field("priorityClassName", Text, ADMISSION),
        field("priority", ANY_INT, ADMISSION),
        field(
            "preemptionPolicy",
            OneOf(&[("PreemptLowerPriority", Honoured), ("Never", Honoured)]),
            ADMISSION,
        ),
        field("overhead", Amounts, ClusterOnly("it is what a cluster's sandbox costs")),
        field("runtimeClassName", Text, ClusterOnly("barepod is the runtime")),
        field("serviceAccountName", Text, NO_API_SERVER),
        field("serviceAccount", Text, NO_API_SERVER),
        field("automountServiceAccountToken", Flag, NO_API_SERVER),
        field("enableServiceLinks", Flag, ClusterOnly("there are no Services here")),
        field(
            "imagePullSecrets",
            List(&LOCAL_REFERENCE),
            ClusterOnly("nothing is pulled; images are local bundles"),
        ),
    ],
};

const RESTART_POLICY: Shape = OneOf(&[("Always", Honoured), ("OnFailure", Honoured), ("Never", Honoured)]);

const DNS_POLICY: Shape = OneOf(&[
    ("Default", Honoured),
    ("ClusterFirst", ClusterOnly("there is no cluster DNS; the pod gets the host's /etc/resolv.conf")),
    (
        "ClusterFirstWithHostNet",
        ClusterOnly("there is no cluster DNS; the pod gets the host's /etc/resolv.conf"),
    ),
    ("None", Honoured),
]);

static HOST_ALIAS: Table =
    Table { name: "HostAlias", fields: &[required("ip", Text), ok("hostnames", Texts)] };

static DNS_CONFIG: Table = Table {
    name: "PodDNSConfig",
    fields: &[ok("nameservers", Texts), ok("searches", Texts), ok("options", List(&DNS_OPTION))],
};

static DNS_OPTION: Table =
    Table { name: "PodDNSConfigOption", fields: &[ok("name", Text), ok("value", Text)] };

/// Fields below a refused one are not looked at.
static UNREAD: Table = Table { name: "", fields: &[] };

static OS: Table =
    Table { name: "PodOS", fields: &[required("name", OneOf(&[("linux", Honoured), ("windows", WINDOWS)]))] };

static LOCAL_REFERENCE: Table = Table { name: "LocalObjectReference", fields: &[ok("name", Text)] };

static WORKLOAD_REFERENCE: Table = Table {
    name: "WorkloadReference",
    fields: &[required("name", Text), required("podGroup", Text), ok("podGroupReplicaKey", Text)],
};
