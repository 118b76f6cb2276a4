//! The fields of the Kubernetes v1 Pod type (1.35) as data: what each looks like, and what barepod makes of it.
//!
//! No field is ever ignored in silence. Each is in one of three groups: honoured; cluster-only, which is accepted with a
//! warning; refused, either for good or until it is supported.

use Shape::*;
use Support::*;

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
    /// Values that mean the same as leaving the field out; they are accepted even if the field is refused.
    pub idle: &'static [&'static str],
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

/// Refused unless it has one of the values that change nothing.
const fn unless(name: &'static str, idle: &'static [&'static str], shape: Shape, support: Support) -> Field {
    Field { name, shape, support, required: false, idle }
}

const SCHEDULING: Support = ClusterOnly("there is one machine to choose from");
const NO_API_SERVER: Support = ClusterOnly("there is no API server here");
const ADMISSION: Support = ClusterOnly("it only matters to a cluster's admission and eviction");
const NO_DRIVER: Support = Never("there is no storage driver here; mount it on the host and use hostPath");
const REMOVED: Support = Never("Kubernetes has removed it");
const WINDOWS: Support = Never("this is Linux");
const LATER: Support = NotYet("");

const ANY_INT: Shape = Int(i64::MIN, i64::MAX);
const COUNT: Shape = Int(0, i32::MAX as i64);
/// Kubernetes allows users and groups up to 2³¹ − 1; above that, runtimes once wrapped around to root.
const ID: Shape = Int(0, i32::MAX as i64);

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
        unless("hostNetwork", &["false"], Flag, LATER),
        unless("hostIPC", &["false"], Flag, LATER),
        unless(
            "hostPID",
            &["false"],
            Flag,
            Never("a pod lives in a PID namespace, and the kernel lets no process join an ancestor's"),
        ),
        unless("hostUsers", &["true"], Flag, NotYet("pods run in the host's user namespace")),
        unless("subdomain", &[""], Text, NotYet("use hostname")),
        unless("setHostnameAsFQDN", &["false"], Flag, LATER),
        unless("hostnameOverride", &[""], Text, NotYet("use hostname")),
        field("hostAliases", List(&UNREAD), NotYet("/etc/hosts maps localhost and the pod's own name")),
        field("dnsConfig", Object(&UNREAD), NotYet("the pod gets the host's /etc/resolv.conf")),
        field(
            "ephemeralContainers",
            List(&UNREAD),
            Never("they are added to a running pod, never part of a manifest"),
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
    ("None", NotYet("it needs dnsConfig")),
]);

/// Fields below a refused one are not looked at.
static UNREAD: Table = Table { name: "", fields: &[] };

static OS: Table =
    Table { name: "PodOS", fields: &[required("name", OneOf(&[("linux", Honoured), ("windows", WINDOWS)]))] };

static LOCAL_REFERENCE: Table = Table { name: "LocalObjectReference", fields: &[ok("name", Text)] };

static WORKLOAD_REFERENCE: Table = Table {
    name: "WorkloadReference",
    fields: &[required("name", Text), required("podGroup", Text), ok("podGroupReplicaKey", Text)],
};

// Containers

static CONTAINER: Table = Table {
    name: "Container",
    fields: &[
        required("name", Text),
        required("image", Text),
        ok("command", Texts),
        ok("args", Texts),
        ok("workingDir", Text),
        ok("ports", List(&CONTAINER_PORT)),
        ok("env", List(&ENV_VAR)),
        ok("resources", Object(&RESOURCES)),
        ok("volumeMounts", List(&VOLUME_MOUNT)),
        ok("lifecycle", Object(&LIFECYCLE)),
        ok("startupProbe", Object(&PROBE)),
        ok("livenessProbe", Object(&PROBE)),
        ok("readinessProbe", Object(&PROBE)),
        ok("restartPolicy", RESTART_POLICY),
        ok("restartPolicyRules", List(&RESTART_RULE)),
        ok("terminationMessagePath", Text),
        ok("terminationMessagePolicy", OneOf(&[("File", Honoured), ("FallbackToLogsOnError", Honoured)])),
        ok("securityContext", Object(&SECURITY)),
        field(
            "imagePullPolicy",
            OneOf(&[("Always", Honoured), ("IfNotPresent", Honoured), ("Never", Honoured)]),
            ClusterOnly("nothing is pulled; images are local bundles"),
        ),
        field("resizePolicy", List(&RESIZE_POLICY), ClusterOnly("nobody resizes a running pod here")),
        field("envFrom", List(&UNREAD), NotYet("write the variables into env")),
        field(
            "volumeDevices",
            List(&UNREAD),
            Never("there is no storage driver here; bind the device with hostPath"),
        ),
        unless("stdin", &["false"], Flag, NotYet("barepod exec -i reaches a running container")),
        unless("stdinOnce", &["false"], Flag, LATER),
        unless("tty", &["false"], Flag, NotYet("barepod exec -t gives a terminal")),
    ],
};

static RESIZE_POLICY: Table = Table {
    name: "ContainerResizePolicy",
    fields: &[required("resourceName", Text), required("restartPolicy", Text)],
};

static CONTAINER_PORT: Table = Table {
    name: "ContainerPort",
    fields: &[
        required("containerPort", Int(1, 65535)),
        ok("name", Text),
        ok("protocol", OneOf(&[("TCP", Honoured), ("UDP", Honoured), ("SCTP", Honoured)])),
        unless("hostPort", &["0"], Int(0, 65535), NotYet("the pod's network is its own loopback")),
        unless("hostIP", &[""], Text, NotYet("the pod's network is its own loopback")),
    ],
};

static ENV_VAR: Table = Table {
    name: "EnvVar",
    fields: &[
        required("name", Text),
        ok("value", Text),
        field("valueFrom", Object(&UNREAD), NotYet("write the value itself")),
    ],
};

static RESOURCES: Table = Table {
    name: "ResourceRequirements",
    fields: &[
        ok("requests", Amounts),
        ok("limits", Amounts),
        field(
            "claims",
            List(&UNREAD),
            Never("there is no device driver to ask; dynamic resource allocation needs a cluster"),
        ),
    ],
};

static VOLUME_MOUNT: Table = Table {
    name: "VolumeMount",
    fields: &[
        required("name", Text),
        required("mountPath", Text),
        ok("readOnly", Flag),
        ok(
            "mountPropagation",
            OneOf(&[("None", Honoured), ("HostToContainer", Honoured), ("Bidirectional", Honoured)]),
        ),
        unless("recursiveReadOnly", &["Disabled"], Text, LATER),
        unless("subPath", &[""], Text, NotYet("mount the whole volume")),
        unless("subPathExpr", &[""], Text, NotYet("mount the whole volume")),
    ],
};

static LIFECYCLE: Table = Table {
    name: "Lifecycle",
    fields: &[ok("postStart", Object(&HOOK)), ok("preStop", Object(&HOOK)), ok("stopSignal", Text)],
};

static HOOK: Table = Table {
    name: "LifecycleHandler",
    fields: &[
        ok("exec", Object(&EXEC)),
        ok("httpGet", Object(&HTTP_GET)),
        ok("sleep", Object(&SLEEP)),
        field(
            "tcpSocket",
            Object(&UNREAD),
            Never("Kubernetes has deprecated it and does nothing for it; use exec or httpGet"),
        ),
    ],
};

static SLEEP: Table = Table { name: "SleepAction", fields: &[required("seconds", COUNT)] };

static EXEC: Table = Table { name: "ExecAction", fields: &[required("command", Texts)] };

static HTTP_GET: Table = Table {
    name: "HTTPGetAction",
    fields: &[
        required("port", Port),
        ok("path", Text),
        ok("host", Text),
        ok("scheme", OneOf(&[("HTTP", Honoured), ("HTTPS", NotYet("use exec with a client of the image"))])),
        ok("httpHeaders", List(&HTTP_HEADER)),
    ],
};

static HTTP_HEADER: Table =
    Table { name: "HTTPHeader", fields: &[required("name", Text), required("value", Text)] };

static TCP_SOCKET: Table =
    Table { name: "TCPSocketAction", fields: &[required("port", Port), ok("host", Text)] };

static PROBE: Table = Table {
    name: "Probe",
    fields: &[
        ok("exec", Object(&EXEC)),
        ok("httpGet", Object(&HTTP_GET)),
        ok("tcpSocket", Object(&TCP_SOCKET)),
        field("grpc", Object(&UNREAD), NotYet("use exec with grpc_health_probe")),
        ok("initialDelaySeconds", COUNT),
        ok("timeoutSeconds", COUNT),
        ok("periodSeconds", COUNT),
        ok("successThreshold", COUNT),
        ok("failureThreshold", COUNT),
        ok("terminationGracePeriodSeconds", Int(1, i32::MAX as i64)),
    ],
};

static RESTART_RULE: Table = Table {
    name: "ContainerRestartRule",
    fields: &[required("action", RULE_ACTION), ok("exitCodes", Object(&RULE_EXIT_CODES))],
};

const RULE_ACTION: Shape =
    OneOf(&[("Restart", Honoured), ("RestartAllContainers", NotYet("Restart restarts the one container"))]);

static RULE_EXIT_CODES: Table = Table {
    name: "ContainerRestartRuleOnExitCodes",
    fields: &[
        required("operator", OneOf(&[("In", Honoured), ("NotIn", Honoured)])),
        ok("values", Ints(0, 255)),
    ],
};

// Security

static SECURITY: Table = Table {
    name: "SecurityContext",
    fields: &[
        ok("runAsUser", ID),
        ok("runAsGroup", ID),
        ok("runAsNonRoot", Flag),
        ok("readOnlyRootFilesystem", Flag),
        ok("allowPrivilegeEscalation", Flag),
        ok("capabilities", Object(&CAPABILITIES)),
        ok("seccompProfile", Object(&SECCOMP)),
        ok("appArmorProfile", Object(&APPARMOR)),
        ok(
            "procMount",
            OneOf(&[("Default", Honoured), ("Unmasked", NotYet("the bundle's config.json has maskedPaths"))]),
        ),
        unless("privileged", &["false"], Flag, NotYet("add the capabilities that the program needs")),
        field("seLinuxOptions", Object(&UNREAD), NotYet("containers run with barepod's own label")),
        field("windowsOptions", Object(&UNREAD), WINDOWS),
    ],
};

static CAPABILITIES: Table = Table { name: "Capabilities", fields: &[ok("add", Texts), ok("drop", Texts)] };

const SECCOMP_TYPE: Shape = OneOf(&[
    ("Unconfined", Honoured),
    ("RuntimeDefault", NotYet("there is no seccomp filter, which is Unconfined")),
    ("Localhost", NotYet("there is no seccomp filter, which is Unconfined")),
]);

static SECCOMP: Table = Table {
    name: "SeccompProfile",
    fields: &[required("type", SECCOMP_TYPE), field("localhostProfile", Text, LATER)],
};

const APPARMOR_TYPE: Shape = OneOf(&[
    ("Unconfined", Honoured),
    ("RuntimeDefault", NotYet("no profile is loaded")),
    ("Localhost", NotYet("no profile is loaded")),
]);

static APPARMOR: Table = Table {
    name: "AppArmorProfile",
    fields: &[required("type", APPARMOR_TYPE), field("localhostProfile", Text, LATER)],
};

static POD_SECURITY: Table = Table {
    name: "PodSecurityContext",
    fields: &[
        ok("runAsUser", ID),
        ok("runAsGroup", ID),
        ok("runAsNonRoot", Flag),
        ok("supplementalGroups", Ints(0, i32::MAX as i64)),
        ok("supplementalGroupsPolicy", OneOf(&[("Merge", Honoured), ("Strict", Honoured)])),
        ok("seccompProfile", Object(&SECCOMP)),
        ok("appArmorProfile", Object(&APPARMOR)),
        field("fsGroup", ID, NotYet("emptyDir volumes are writable for everybody")),
        field(
            "fsGroupChangePolicy",
            Text,
            ClusterOnly("it has no effect on the volumes that there are here"),
        ),
        field("sysctls", List(&UNREAD), LATER),
        field("seLinuxOptions", Object(&UNREAD), NotYet("containers run with barepod's own label")),
        field(
            "seLinuxChangePolicy",
            Text,
            ClusterOnly("it has no effect on the volumes that there are here"),
        ),
        field("windowsOptions", Object(&UNREAD), WINDOWS),
    ],
};

// Volumes

static VOLUME: Table = Table {
    name: "Volume",
    fields: &[
        required("name", Text),
        ok("emptyDir", Object(&EMPTY_DIR)),
        ok("hostPath", Object(&HOST_PATH)),
        field(
            "configMap",
            Object(&UNREAD),
            NotYet("fill an emptyDir from an init container, or use hostPath"),
        ),
        field("secret", Object(&UNREAD), NotYet("fill an emptyDir from an init container, or use hostPath")),
        field("downwardAPI", Object(&UNREAD), NotYet("fill an emptyDir from an init container")),
        field("projected", Object(&UNREAD), NotYet("fill an emptyDir from an init container")),
        field("image", Object(&UNREAD), NotYet("use hostPath to the rootfs of the bundle")),
        field(
            "persistentVolumeClaim",
            Object(&UNREAD),
            Never("there is no cluster to claim storage from; use hostPath for data that stays"),
        ),
        field("ephemeral", Object(&UNREAD), Never("there is no cluster to claim storage from; use emptyDir")),
        field("csi", Object(&UNREAD), NO_DRIVER),
        field("nfs", Object(&UNREAD), NO_DRIVER),
        field("iscsi", Object(&UNREAD), NO_DRIVER),
        field("fc", Object(&UNREAD), NO_DRIVER),
        field("flexVolume", Object(&UNREAD), NO_DRIVER),
        field("rbd", Object(&UNREAD), NO_DRIVER),
        field("cephfs", Object(&UNREAD), NO_DRIVER),
        field("cinder", Object(&UNREAD), NO_DRIVER),
        field("awsElasticBlockStore", Object(&UNREAD), NO_DRIVER),
        field("gcePersistentDisk", Object(&UNREAD), NO_DRIVER),
        field("azureDisk", Object(&UNREAD), NO_DRIVER),
        field("azureFile", Object(&UNREAD), NO_DRIVER),
        field("vsphereVolume", Object(&UNREAD), NO_DRIVER),
        field("portworxVolume", Object(&UNREAD), NO_DRIVER),
        field(
            "gitRepo",
            Object(&UNREAD),
            Never("Kubernetes has switched it off; clone from an init container into an emptyDir"),
        ),
        field("glusterfs", Object(&UNREAD), REMOVED),
        field("flocker", Object(&UNREAD), REMOVED),
        field("quobyte", Object(&UNREAD), REMOVED),
        field("photonPersistentDisk", Object(&UNREAD), REMOVED),
        field("scaleIO", Object(&UNREAD), REMOVED),
        field("storageos", Object(&UNREAD), REMOVED),
    ],
};

const MEDIUM: Shape = OneOf(&[
    ("", Honoured),
    ("Memory", Honoured),
    ("HugePages", NotYet("use Memory")),
    ("HugePages-2Mi", NotYet("use Memory")),
    ("HugePages-1Gi", NotYet("use Memory")),
]);

static EMPTY_DIR: Table =
    Table { name: "EmptyDirVolumeSource", fields: &[ok("medium", MEDIUM), ok("sizeLimit", Amount)] };

const HOST_PATH_TYPE: Shape = OneOf(&[
    ("", Honoured),
    ("DirectoryOrCreate", Honoured),
    ("Directory", Honoured),
    ("FileOrCreate", Honoured),
    ("File", Honoured),
    ("Socket", Honoured),
    ("CharDevice", Honoured),
    ("BlockDevice", Honoured),
]);

static HOST_PATH: Table =
    Table { name: "HostPathVolumeSource", fields: &[required("path", Text), ok("type", HOST_PATH_TYPE)] };

// Scheduling: read only to find misspelt names

static AFFINITY: Table = Table {
    name: "Affinity",
    fields: &[
        ok("nodeAffinity", Object(&NODE_AFFINITY)),
        ok("podAffinity", Object(&POD_AFFINITY)),
        ok("podAntiAffinity", Object(&POD_AFFINITY)),
    ],
};

static NODE_AFFINITY: Table = Table {
    name: "NodeAffinity",
    fields: &[
        ok("requiredDuringSchedulingIgnoredDuringExecution", Object(&NODE_SELECTOR)),
        ok("preferredDuringSchedulingIgnoredDuringExecution", List(&PREFERRED_NODE)),
    ],
};

static NODE_SELECTOR: Table =
    Table { name: "NodeSelector", fields: &[required("nodeSelectorTerms", List(&NODE_SELECTOR_TERM))] };

static NODE_SELECTOR_TERM: Table = Table {
    name: "NodeSelectorTerm",
    fields: &[ok("matchExpressions", List(&REQUIREMENT)), ok("matchFields", List(&REQUIREMENT))],
};

static REQUIREMENT: Table = Table {
    name: "Requirement",
    fields: &[required("key", Text), required("operator", Text), ok("values", Texts)],
};

static PREFERRED_NODE: Table = Table {
    name: "PreferredSchedulingTerm",
    fields: &[required("weight", ANY_INT), required("preference", Object(&NODE_SELECTOR_TERM))],
};

static POD_AFFINITY: Table = Table {
    name: "PodAffinity",
    fields: &[
        ok("requiredDuringSchedulingIgnoredDuringExecution", List(&POD_AFFINITY_TERM)),
        ok("preferredDuringSchedulingIgnoredDuringExecution", List(&WEIGHTED_POD_AFFINITY_TERM)),
    ],
};

static WEIGHTED_POD_AFFINITY_TERM: Table = Table {
    name: "WeightedPodAffinityTerm",
    fields: &[required("weight", ANY_INT), required("podAffinityTerm", Object(&POD_AFFINITY_TERM))],
};

static POD_AFFINITY_TERM: Table = Table {
    name: "PodAffinityTerm",
    fields: &[
        required("topologyKey", Text),
        ok("labelSelector", Object(&LABEL_SELECTOR)),
        ok("namespaces", Texts),
        ok("namespaceSelector", Object(&LABEL_SELECTOR)),
        ok("matchLabelKeys", Texts),
        ok("mismatchLabelKeys", Texts),
    ],
};

static LABEL_SELECTOR: Table = Table {
    name: "LabelSelector",
    fields: &[ok("matchLabels", TextMap), ok("matchExpressions", List(&REQUIREMENT))],
};

static TOLERATION: Table = Table {
    name: "Toleration",
    fields: &[
        ok("key", Text),
        ok("operator", Text),
        ok("value", Text),
        ok("effect", Text),
        ok("tolerationSeconds", ANY_INT),
    ],
};

static TOPOLOGY_SPREAD: Table = Table {
    name: "TopologySpreadConstraint",
    fields: &[
        required("maxSkew", ANY_INT),
        required("topologyKey", Text),
        required("whenUnsatisfiable", Text),
        ok("labelSelector", Object(&LABEL_SELECTOR)),
        ok("minDomains", ANY_INT),
        ok("nodeAffinityPolicy", Text),
        ok("nodeTaintsPolicy", Text),
        ok("matchLabelKeys", Texts),
    ],
};
