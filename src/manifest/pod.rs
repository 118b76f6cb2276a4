//! A Pod as barepod uses it: typed, with defaults applied, nothing in it that has no effect.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::downward::{FieldPath, ResourceField};
use super::hosts::Names;
use super::resources::Resources;
use crate::lifecycle::model::{
    Backoff, ContainerSpec, Hook, Kind, PodSpec, Probe, RestartPolicy, RestartRule,
};

/// A value and where it stands in the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A pod.
#[derive(Debug, Clone)]
pub struct Pod {
    /// `metadata.name`: a DNS-1123 subdomain, so also a file name.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `spec.restartPolicy`.
    pub restart_policy: RestartPolicy,
    /// `spec.terminationGracePeriodSeconds` (G).
    pub grace: Duration,
    /// `spec.activeDeadlineSeconds` (R102).
    pub deadline: Option<Duration>,
    /// `spec.shareProcessNamespace`.
    pub share_process_namespace: bool,
    /// `spec.hostNetwork`.
    pub host_network: bool,
    /// `spec.hostIPC`.
    pub host_ipc: bool,
    /// The kernel's host name: `spec.hostname`, or the pod's name, at most 63 characters; or its whole name.
    pub hostname: String,
    /// What `/etc/hosts` and `/etc/resolv.conf` say.
    pub names: Names,
    /// `spec.nodeName`, if it has one.
    pub node_name: Option<String>,
    /// `spec.serviceAccountName`.
    pub service_account: String,
    /// `spec.volumes`.
    pub volumes: Vec<Volume>,
    /// Plain inits and sidecars in list order, then the apps in list order.
    pub containers: Vec<Container>,
    /// `spec.securityContext`.
    pub security: PodSecurity,
    /// `spec.resources`: overrides what the containers' own add up to.
    pub resources: Resources,
}

/// One container of a pod.
#[derive(Debug, Clone)]
pub struct Container {
    /// Init, sidecar or app.
    pub kind: Kind,
    /// Name: a DNS label, unique in the pod.
    pub name: String,
    /// Name or path of a local bundle.
    pub image: Spanned<String>,
    /// Replaces the bundle's arguments wholly. `$(VAR)` is not expanded yet.
    pub command: Option<Vec<String>>,
    /// Comes after `command`, or after the bundle's program. `$(VAR)` is not expanded yet.
    pub args: Option<Vec<String>>,
    /// Replaces the bundle's.
    pub working_dir: Option<String>,
    /// It has a terminal.
    pub tty: bool,
    /// Variables in order, those of `envFrom` first; a later one of the same name wins.
    pub env: Vec<EnvVar>,
    /// What it says it listens on.
    pub ports: Vec<ContainerPort>,
    /// Requests and limits; a request defaults to the limit.
    pub resources: Resources,
    /// Volumes it sees.
    pub mounts: Vec<VolumeMount>,
    /// `lifecycle.postStart`.
    pub post_start: Option<Handler>,
    /// `lifecycle.preStop`.
    pub pre_stop: Option<Handler>,
    /// `startupProbe`.
    pub startup: Option<(Handler, Probe)>,
    /// `livenessProbe`.
    pub liveness: Option<(Handler, Probe)>,
    /// `readinessProbe`.
    pub readiness: Option<(Handler, Probe)>,
    /// Its own `restartPolicy` (R25); `None` for a sidecar, whose `Always` is what makes it one.
    pub restart_policy: Option<RestartPolicy>,
    /// `restartPolicyRules` (R26).
    pub rules: Vec<RestartRule>,
    /// `lifecycle.stopSignal` as a number (R70); SIGTERM without.
    pub stop_signal: Option<i32>,
    /// `terminationMessagePath`.
    pub termination_message_path: String,
    /// `terminationMessagePolicy`.
    pub termination_message_policy: MessagePolicy,
    /// `securityContext`.
    pub security: ContainerSecurity,
}

/// A variable of `env`, or of a source of `envFrom`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Where its value comes from.
    pub value: EnvValue,
}

/// Where the value of a variable comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// `value`; `$(VAR)` in it is not expanded yet.
    Text(String),
    /// A key of a ConfigMap or Secret: taken as it is.
    Exact(Arc<str>),
    /// `fieldRef`.
    Field(FieldPath),
    /// `resourceFieldRef`.
    Resource(ResourceField),
}

/// A port that a container says it listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPort {
    /// Name for probes and hooks.
    pub name: Option<String>,
    /// Number.
    pub port: u16,
    /// TCP, UDP or SCTP.
    pub protocol: String,
}

/// `volumeMounts[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMount {
    /// Name of a volume of the pod.
    pub volume: String,
    /// Absolute path in the container, without `..`, `.` or a slash at the end.
    pub path: String,
    /// Read-only; always so for files that were projected.
    pub read_only: bool,
    /// So is what is mounted below it.
    pub recursive_read_only: bool,
    /// The part of the volume that is mounted.
    pub sub_path: Option<SubPath>,
    /// Which mounts are seen by whom.
    pub propagation: Propagation,
}

/// A relative path in a volume, without `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubPath {
    /// `subPath`.
    Plain(String),
    /// `subPathExpr`: `$(VAR)` is not expanded yet.
    Expression(String),
}

/// `mountPropagation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Later mounts stay where they are made.
    None,
    /// Later mounts of the host arrive.
    HostToContainer,
    /// Mounts go both ways, between containers of the pod.
    Bidirectional,
}

/// `volumes[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Name: a DNS label, unique in the pod.
    pub name: String,
    /// What is in it.
    pub source: VolumeSource,
}

/// What a volume is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSource {
    /// A tmpfs of the pod.
    EmptyDir {
        /// `sizeLimit` in bytes.
        size_limit: Option<u64>,
        /// `medium: Memory`; a tmpfs either way.
        memory: bool,
    },
    /// A path of the host.
    HostPath {
        /// Absolute, without `..`.
        path: String,
        /// What has to be there.
        kind: HostPathType,
    },
    /// `configMap`, `secret`, `downwardAPI` or `projected`: files with given content, each path once.
    Files(Vec<VolumeFile>),
}

/// A file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeFile {
    /// Relative path without `..`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What is in it.
    pub content: Content,
}

/// What is in a file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A key of a ConfigMap or Secret.
    Bytes(Arc<[u8]>),
    /// `fieldRef`.
    Field(FieldPath),
    /// `resourceFieldRef`.
    Resource(ResourceField),
}

/// `hostPath.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPathType {
    /// No check.
    Any,
    /// A directory.
    Directory,
    /// A directory, made with mode 0755 if need be.
    DirectoryOrCreate,
    /// A file.
    File,
    /// A file, made with mode 0644 if need be.
    FileOrCreate,
    /// A UNIX socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// What a hook or probe does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handler {
    /// A command in the container, without a shell.
    Exec(Vec<String>),
    /// A GET request.
    HttpGet {
        /// Whether it goes through TLS.
        https: bool,
        /// Host; the pod itself by default.
        host: Option<String>,
        /// Port number; a named port is already looked up.
        port: u16,
        /// Path with query, beginning with `/`.
        path: String,
        /// Headers in order.
        headers: Vec<(String, String)>,
    },
    /// A TCP connection.
    Tcp {
        /// Host; the pod itself by default.
        host: Option<String>,
        /// Port number; a named port is already looked up.
        port: u16,
    },
    /// Waits (hooks only, R50).
    Sleep(Duration),
}

/// `terminationMessagePolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessagePolicy {
    /// The file only.
    File,
    /// The end of the log if the file is empty and the container failed.
    FallbackToLogsOnError,
}

/// `spec.securityContext`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodSecurity {
    /// `runAsUser`.
    pub run_as_user: Option<u32>,
    /// `runAsGroup`.
    pub run_as_group: Option<u32>,
    /// `runAsNonRoot`.
    pub run_as_non_root: Option<bool>,
    /// `fsGroup`: owns the pod's own volumes, and every process is in it.
    pub fs_group: Option<u32>,
    /// `sysctls`, each name once, with dots.
    pub sysctls: Vec<(String, String)>,
    /// `supplementalGroups`.
    pub supplemental_groups: Vec<u32>,
    /// `supplementalGroupsPolicy: Strict`: the bundle's own additional groups do not count.
    pub strict_groups: bool,
    /// `seccompProfile`.
    pub seccomp: Option<Seccomp>,
}

/// Which filter for system calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seccomp {
    /// None, also if the bundle has one.
    Unconfined,
    /// barepod's own.
    RuntimeDefault,
    /// This file below the directory of profiles.
    Localhost(String),
}

/// A container's `securityContext`; what it sets wins over the pod's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerSecurity {
    /// `runAsUser`.
    pub run_as_user: Option<u32>,
    /// `runAsGroup`.
    pub run_as_group: Option<u32>,
    /// `runAsNonRoot`.
    pub run_as_non_root: Option<bool>,
    /// `readOnlyRootFilesystem`.
    pub read_only_root_filesystem: Option<bool>,
    /// `allowPrivilegeEscalation`.
    pub allow_privilege_escalation: Option<bool>,
    /// `privileged`.
    pub privileged: bool,
    /// `procMount: Unmasked`.
    pub unmasked_proc: bool,
    /// `seccompProfile`.
    pub seccomp: Option<Seccomp>,
    /// `capabilities.add`: `ALL` or names without `CAP_`.
    pub cap_add: Vec<String>,
    /// `capabilities.drop`: `ALL` or names without `CAP_`.
    pub cap_drop: Vec<String>,
}

impl Pod {
    /// What the lifecycle needs to know.
    pub fn lifecycle(&self, backoff: Backoff) -> PodSpec {
        PodSpec {
            containers: self.containers.iter().map(Container::lifecycle).collect(),
            restart_policy: self.restart_policy,
            grace: self.grace,
            deadline: self.deadline,
            backoff,
        }
    }
}

impl Container {
    fn lifecycle(&self) -> ContainerSpec {
        let hook = |handler: &Option<Handler>| {
            handler.as_ref().map(|handler| match handler {
                Handler::Sleep(time) => Hook::Sleep(*time),
                Handler::Exec(_) | Handler::HttpGet { .. } | Handler::Tcp { .. } => Hook::Helper,
            })
        };
        let probe = |probe: &Option<(Handler, Probe)>| probe.as_ref().map(|(_, timing)| timing.clone());
        ContainerSpec {
            name: self.name.clone(),
            kind: self.kind,
            restart_policy: self.restart_policy,
            rules: self.rules.clone(),
            post_start: hook(&self.post_start),
            pre_stop: hook(&self.pre_stop),
            startup: probe(&self.startup),
            liveness: probe(&self.liveness),
            readiness: probe(&self.readiness),
        }
    }
}
