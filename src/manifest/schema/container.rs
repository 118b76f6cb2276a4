//! The tables of a container, and of the security contexts of container and pod.

use super::Shape::*;
use super::Support::*;
use super::config::{ENV_FROM, ENV_SOURCE};
use super::{COUNT, LATER, RESTART_POLICY, Shape, Table, UNREAD, WINDOWS, field, ok, required, unless};

/// Kubernetes allows users and groups up to 2³¹ − 1; above that, runtimes once wrapped around to root.
const ID: Shape = Int(0, i32::MAX as i64);

pub(super) static CONTAINER: Table = Table {
    name: "Container",
    fields: &[
        required("name", Text),
        required("image", Text),
        ok("command", Texts),
        ok("args", Texts),
        ok("workingDir", Text),
        ok("ports", List(&CONTAINER_PORT)),
        ok("envFrom", List(&ENV_FROM)),
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
        field(
            "volumeDevices",
            List(&UNREAD),
            Never("there is no storage driver here; mount it on the host and use hostPath"),
        ),
        unless("stdin", &["false"], Flag, NotYet("barepod exec -i reaches a running container")),
        unless("stdinOnce", &["false"], Flag, LATER),
        ok("tty", Flag),
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
        field("hostIP", Text, NotYet("the pod's network is its own loopback")),
    ],
};

static ENV_VAR: Table = Table {
    name: "EnvVar",
    fields: &[required("name", Text), ok("value", Text), ok("valueFrom", Object(&ENV_SOURCE))],
};

pub(super) static RESOURCES: Table = Table {
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
        ok(
            "recursiveReadOnly",
            OneOf(&[("Disabled", Honoured), ("IfPossible", Honoured), ("Enabled", Honoured)]),
        ),
        ok("subPath", Text),
        ok("subPathExpr", Text),
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
        ok("scheme", OneOf(&[("HTTP", Honoured), ("HTTPS", Honoured)])),
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

const RULE_ACTION: Shape = OneOf(&[("Restart", Honoured), ("RestartAllContainers", Honoured)]);

static RULE_EXIT_CODES: Table = Table {
    name: "ContainerRestartRuleOnExitCodes",
    fields: &[
        required("operator", OneOf(&[("In", Honoured), ("NotIn", Honoured)])),
        ok("values", Ints(0, 255)),
    ],
};

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
        ok("procMount", OneOf(&[("Default", Honoured), ("Unmasked", Honoured)])),
        ok("privileged", Flag),
        field("seLinuxOptions", Object(&UNREAD), NotYet("containers run with barepod's own label")),
        field("windowsOptions", Object(&UNREAD), WINDOWS),
    ],
};

static CAPABILITIES: Table = Table { name: "Capabilities", fields: &[ok("add", Texts), ok("drop", Texts)] };

const SECCOMP_TYPE: Shape =
    OneOf(&[("Unconfined", Honoured), ("RuntimeDefault", Honoured), ("Localhost", Honoured)]);

static SECCOMP: Table =
    Table { name: "SeccompProfile", fields: &[required("type", SECCOMP_TYPE), ok("localhostProfile", Text)] };

const APPARMOR_TYPE: Shape = OneOf(&[
    ("Unconfined", Honoured),
    ("RuntimeDefault", NotYet("no profile is loaded")),
    ("Localhost", NotYet("no profile is loaded")),
]);

static APPARMOR: Table = Table {
    name: "AppArmorProfile",
    fields: &[required("type", APPARMOR_TYPE), field("localhostProfile", Text, LATER)],
};

static SYSCTL: Table = Table { name: "Sysctl", fields: &[required("name", Text), required("value", Text)] };

pub(super) static POD_SECURITY: Table = Table {
    name: "PodSecurityContext",
    fields: &[
        ok("runAsUser", ID),
        ok("runAsGroup", ID),
        ok("runAsNonRoot", Flag),
        ok("supplementalGroups", Ints(0, i32::MAX as i64)),
        ok("supplementalGroupsPolicy", OneOf(&[("Merge", Honoured), ("Strict", Honoured)])),
        ok("seccompProfile", Object(&SECCOMP)),
        ok("appArmorProfile", Object(&APPARMOR)),
        ok("fsGroup", ID),
        field(
            "fsGroupChangePolicy",
            Text,
            ClusterOnly("it has no effect on the volumes that there are here"),
        ),
        ok("sysctls", List(&SYSCTL)),
        field("seLinuxOptions", Object(&UNREAD), NotYet("containers run with barepod's own label")),
        field(
            "seLinuxChangePolicy",
            Text,
            ClusterOnly("it has no effect on the volumes that there are here"),
        ),
        field("windowsOptions", Object(&UNREAD), WINDOWS),
    ],
};
