//! Manifests that are right, and yet will surprise: one function per rule, each finding says why in one sentence. What
//! `check` prints besides errors; `run` does not.

use std::collections::HashMap;
use std::time::Duration;

use crate::lifecycle::model::Kind;
use crate::manifest::check::MOST;
use crate::manifest::node::{self, Node};
use crate::manifest::{self, Container, Handler, HostPathType, Pod, Problem, Volume, VolumeSource};

/// Everything that a pod is accepted with and may regret. `text` is the manifest that it was read from.
pub fn lint(text: &str, pod: &Pod) -> Vec<Problem> {
    let stream = node::parse(text).unwrap_or_default(); // it has been read before
    let is_pod = |node: &&Node| matches!(node.get("kind").and_then(Node::text), Some("Pod") | None);
    let Some(document) = manifest::documents(&stream).into_iter().find(is_pod) else { return Vec::new() };
    let spec = document.get("spec");
    let places = Places {
        containers: named(spec, &["initContainers", "containers"]),
        volumes: named(spec, &["volumes"]),
    };
    let mut lints = Lints { pod, places, found: Vec::new() };
    lints.same_port();
    for container in &pod.containers {
        lints.racing_helper(container);
        lints.unlimited_sidecar(container);
        lints.long_pre_stop(container);
        lints.deaf_shell(container);
        lints.liveness_without_startup(container);
    }
    for volume in &pod.volumes {
        lints.host_path(volume);
        lints.mixed_owners(volume);
    }
    let mut found = lints.found;
    found.sort_by_key(|problem| (problem.line, problem.column));
    found.truncate(MOST);
    found
}

struct Lints<'a> {
    pod: &'a Pod,
    places: Places<'a>,
    found: Vec<Problem>,
}

/// Where things stand in the manifest, by their names.
struct Places<'a> {
    containers: HashMap<&'a str, &'a Node>,
    volumes: HashMap<&'a str, &'a Node>,
}

impl<'a> Places<'a> {
    fn container(&self, name: &str) -> Option<&'a Node> {
        self.containers.get(name).copied()
    }

    fn volume(&self, name: &str) -> Option<&'a Node> {
        self.volumes.get(name).copied()
    }
}

/// The entries of lists of the spec.
fn named<'a>(spec: Option<&'a Node>, lists: &[&str]) -> HashMap<&'a str, &'a Node> {
    let items = lists.iter().filter_map(|list| spec?.get(list)).flat_map(Node::items);
    items.filter_map(|item| Some((item.get("name")?.text()?, item))).collect()
}

impl<'a> Lints<'a> {
    /// At `keys` of the node, or as far down as there is something.
    fn add(&mut self, node: Option<&'a Node>, keys: &[&str], rule: &str, message: String) {
        let mut place = node;
        for key in keys {
            place = place.and_then(|node| node.get(key)).or(place);
        }
        let (line, column) = place.map_or((1, 1), |node| (node.line, node.column));
        self.found.push(Problem::warning(line, column, format!("{message} [{rule}]")));
    }

    fn apps(&self) -> impl Iterator<Item = &'a Container> + use<'a> {
        self.pod.containers.iter().filter(|container| container.kind == Kind::App)
    }

    /// All containers of a pod have one network: the second to bind a port fails.
    fn same_port(&mut self) {
        let mut seen: HashMap<(u16, &str), &str> = HashMap::new();
        // Plain inits have ended before anybody else binds a port.
        for container in self.pod.containers.iter().filter(|container| container.kind != Kind::Init) {
            for port in &container.ports {
                let number = port.port;
                let first = *seen.entry((number, port.protocol.as_str())).or_insert(&container.name);
                if first != container.name {
                    let message = format!(
                        "{} and {first} both claim port {number}: the containers of a pod share one network, so the \
                             second to listen fails",
                        container.name
                    );
                    let place = self.places.container(&container.name);
                    self.add(place, &["ports"], "same-port", message);
                }
            }
        }
    }

    /// An app container that only reads what another one writes helps that one.
    fn racing_helper(&mut self, container: &Container) {
        if container.kind != Kind::App {
            return;
        }
        let is_own = |name: &str| {
            let volume = self.pod.volumes.iter().find(|volume| volume.name == name);
            volume.is_some_and(|volume| matches!(volume.source, VolumeSource::EmptyDir { .. }))
        };
        let shared = || container.mounts.iter().filter(|mount| is_own(&mount.volume));
        if shared().count() == 0 || !shared().all(|mount| mount.read_only) {
            return;
        }
        let writer = self.apps().find(|other| {
            other.name != container.name
                && other
                    .mounts
                    .iter()
                    .any(|mount| !mount.read_only && shared().any(|own| own.volume == mount.volume))
        });
        if let Some(writer) = writer {
            let message = format!(
                "{} helps {}, whose files it reads, and races it: as a native sidecar (an init container with \
                 restartPolicy: Always) it is up before {} starts and stops after it",
                container.name, writer.name, writer.name
            );
            self.add(self.places.container(&container.name), &["name"], "racing-helper", message);
        }
    }

    /// A helper that grows takes the memory of the app.
    fn unlimited_sidecar(&mut self, container: &Container) {
        let pod_limit = self.pod.resources.limits.memory;
        if container.kind == Kind::Sidecar
            && container.resources.limits.memory.is_none()
            && pod_limit.is_none()
        {
            let message = format!(
                "sidecar {} has no memory limit: if it grows, the whole machine pays, and the kernel chooses who dies",
                container.name
            );
            self.add(self.places.container(&container.name), &["resources"], "unlimited-sidecar", message);
        }
    }

    /// The hook's time is part of the grace period.
    fn long_pre_stop(&mut self, container: &Container) {
        let takes = match &container.pre_stop {
            Some(Handler::Sleep(time)) => *time,
            Some(Handler::Exec(command)) => sleeps(command),
            _ => return,
        };
        if takes >= self.pod.grace && !takes.is_zero() {
            let message = format!(
                "the preStop of {} takes {} s and the grace period is {} s: when it is over, SIGTERM comes and 2 s later \
                 SIGKILL",
                container.name,
                takes.as_secs(),
                self.pod.grace.as_secs()
            );
            self.add(
                self.places.container(&container.name),
                &["lifecycle", "preStop"],
                "long-prestop",
                message,
            );
        }
    }

    /// The first process of a PID namespace gets no signal that it has no handler for.
    fn deaf_shell(&mut self, container: &Container) {
        let words: Vec<&str> = container
            .command
            .iter()
            .flatten()
            .chain(container.args.iter().flatten())
            .map(String::as_str)
            .collect();
        let Some(script) = shell_script(&words) else { return };
        let commands = commands(script);
        // A shell with one command usually becomes that command; with a trap it listens.
        if container.kind != Kind::Init
            && commands.len() > 1
            && !commands.iter().any(|command| command.starts_with("exec "))
            && !script.contains("trap ")
            && container.stop_signal.is_none()
            && !self.pod.share_process_namespace
        {
            let message = format!(
                "{} runs a shell as its first process, which ignores SIGTERM: it is killed when the grace period is over; \
                 end the script with exec, or set a trap",
                container.name
            );
            let place = self.places.container(&container.name);
            let key = if container.command.is_some() { "command" } else { "args" };
            self.add(place, &[key], "deaf-shell", message);
        }
    }

    /// A slow start looks like a dead program.
    fn liveness_without_startup(&mut self, container: &Container) {
        if container.liveness.is_some() && container.startup.is_none() {
            let message = format!(
                "{} has a liveness probe and no startup probe: a start that takes longer than usual is taken for a hang, \
                 and restarted",
                container.name
            );
            let place = self.places.container(&container.name);
            self.add(place, &["livenessProbe"], "liveness-without-startup", message);
        }
    }

    /// What only the pod needs should go with the pod.
    fn host_path(&mut self, volume: &Volume) {
        let VolumeSource::HostPath { path, kind } = &volume.source else { return };
        let scratch = ["/tmp", "/var/tmp", "/run", "/dev/shm"];
        let is_scratch = scratch.iter().any(|root| path == root || path.starts_with(&format!("{root}/")));
        let makes = matches!(kind, HostPathType::DirectoryOrCreate | HostPathType::FileOrCreate);
        if is_scratch && makes {
            let message = format!(
                "volume {} makes {path} on the host and leaves it there: an emptyDir is shared in the pod alone and goes \
                 with it",
                volume.name
            );
            self.add(self.places.volume(&volume.name), &["hostPath"], "host-path", message);
        }
    }

    /// Files of one user that another is to change.
    fn mixed_owners(&mut self, volume: &Volume) {
        let writable = |container: &&Container| {
            container.mounts.iter().any(|mount| mount.volume == volume.name && !mount.read_only)
        };
        let user = |container: &Container| container.security.run_as_user.or(self.pod.security.run_as_user);
        let mut users: Vec<(Option<u32>, &str)> =
            self.pod.containers.iter().filter(writable).map(|one| (user(one), one.name.as_str())).collect();
        users.dedup_by_key(|(user, _)| *user);
        let own = matches!(volume.source, VolumeSource::EmptyDir { .. });
        // Root may write everywhere.
        let users: Vec<_> =
            users.into_iter().filter(|(user, _)| user.is_some_and(|user| user != 0)).collect();
        let several = users.iter().any(|(user, _)| *user != users[0].0);
        if own && several && self.pod.security.fs_group.is_none() {
            let names: Vec<&str> = users.iter().map(|(_, name)| *name).collect();
            let message = format!(
                "volume {} is written by {} under different users: with securityContext.fsGroup its files belong to a \
                 group that all of them are in",
                volume.name,
                names.join(" and ")
            );
            self.add(self.places.volume(&volume.name), &["name"], "mixed-owners", message);
        }
    }
}

/// The script of `sh -c SCRIPT`.
fn shell_script<'a>(words: &[&'a str]) -> Option<&'a str> {
    let (program, rest) = words.split_first()?;
    let shells = ["sh", "bash", "ash", "dash"];
    let name = program.rsplit('/').next()?;
    let flags = rest.iter().position(|word| word.starts_with('-') && word.ends_with('c'))?;
    rest.get(flags + 1).filter(|_| shells.contains(&name)).copied()
}

/// The simple commands of a shell script, as far as they can be told apart without being a shell: what stands in quotes
/// separates nothing.
fn commands(script: &str) -> Vec<String> {
    let mut quote = None;
    let unquoted = script.chars().map(|c| {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => return '_',
            (None, _) => {}
        }
        c
    });
    let unquoted: String = unquoted.collect();
    let keywords = ["if ", "then ", "else ", "elif ", "while ", "until ", "do ", "{ ", "( "];
    let command = |part: &str| {
        let mut part = part.trim();
        while let Some(rest) = keywords.iter().find_map(|keyword| part.strip_prefix(keyword)) {
            part = rest.trim_start();
        }
        part.to_owned()
    };
    unquoted.split(['\n', ';', '&', '|']).map(command).filter(|command| !command.is_empty()).collect()
}

/// How long the `sleep N` commands in it take together.
fn sleeps(command: &[String]) -> Duration {
    let words: Vec<&str> = command.iter().flat_map(|word| word.split([' ', ';', '\n', '&', '|'])).collect();
    let times = words.windows(2).filter(|pair| pair[0].rsplit('/').next() == Some("sleep"));
    times.filter_map(|pair| crate::duration::parse(pair[1]).ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    /// Rules that a pod with this spec breaks, and where.
    fn rules(spec: &str) -> Vec<(String, usize)> {
        let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n{spec}");
        let pod = manifest::load(&text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}")).pod;
        let rule = |problem: &Problem| {
            let (_, rule) = problem.message.rsplit_once('[').unwrap();
            (rule.trim_end_matches(']').to_owned(), problem.line)
        };
        lint(&text, &pod).iter().map(rule).collect()
    }

    fn one(rule: &str, line: usize) -> Vec<(String, usize)> {
        vec![(rule.to_owned(), line)]
    }

    #[test]
    fn two_containers_that_claim_one_port() {
        let spec = |port: u16, more: &str| {
            format!(
                "  containers:\n  - name: a\n    image: x\n    ports: [{{containerPort: 80}}]\n  - name: b\n    image: x\n    \
                 ports: [{{containerPort: {port}{more}}}]\n"
            )
        };
        assert_eq!(rules(&spec(80, "")), one("same-port", 11));
        assert_eq!(rules(&spec(80, ", protocol: UDP")), []);
        assert_eq!(rules(&spec(81, "")), []);
    }

    #[test]
    fn a_helper_among_the_apps_that_only_reads_what_another_writes() {
        let spec = |read_only: bool| {
            format!(
                "  volumes: [{{name: logs, emptyDir: {{}}}}]\n  containers:\n  - name: app\n    image: x\n    volumeMounts: \
                 [{{name: logs, mountPath: /logs}}]\n  - name: shipper\n    image: x\n    volumeMounts: [{{name: logs, \
                 mountPath: /logs, readOnly: {read_only}}}]\n"
            )
        };
        assert_eq!(rules(&spec(true)), one("racing-helper", 10));
        assert_eq!(rules(&spec(false)), []);
    }

    #[test]
    fn a_sidecar_without_a_memory_limit() {
        let spec = |more: &str| {
            format!(
                "  initContainers:\n  - name: proxy\n    restartPolicy: Always\n    image: x\n{more}  containers: [{{name: a, image: x}}]\n"
            )
        };
        assert_eq!(rules(&spec("")), one("unlimited-sidecar", 6));
        assert_eq!(rules(&spec("    resources: {limits: {memory: 16Mi}}\n")), []);
    }

    #[test]
    fn a_pre_stop_that_outlives_the_grace_period() {
        let spec = |hook: &str| {
            format!(
                "  terminationGracePeriodSeconds: 10\n  containers:\n  - name: a\n    image: x\n    lifecycle:\n      preStop: {hook}\n"
            )
        };
        assert_eq!(rules(&spec("{exec: {command: [sh, -c, 'touch x; sleep 15']}}")), one("long-prestop", 10));
        assert_eq!(rules(&spec("{exec: {command: [sleep, '10']}}")), one("long-prestop", 10));
        assert_eq!(rules(&spec("{sleep: {seconds: 10}}")), one("long-prestop", 10));
        assert_eq!(rules(&spec("{exec: {command: [sh, -c, 'sleep 3']}}")), []);
        assert_eq!(rules(&spec("{httpGet: {port: 80}}")), []);
    }

    #[test]
    fn a_shell_as_first_process_that_will_not_hear_sigterm() {
        let spec =
            |command: &str| format!("  containers:\n  - name: a\n    image: x\n    command: {command}\n");
        assert_eq!(rules(&spec("[sh, -c, 'while true; do date; sleep 1; done']")), one("deaf-shell", 8));
        assert_eq!(rules(&spec("[/bin/bash, -euc, 'prepare && serve']")), one("deaf-shell", 8));
        for good in [
            "[sh, -c, serve]",
            "[sh, -c, 'prepare; exec serve']",
            "[sh, -c, 'if [ -f /x ]; then exec a; else exec b; fi']",
            "[sh, -c, 'echo \"a; b\"']",
            "[serve]",
            "[sh, script.sh]",
        ] {
            assert_eq!(rules(&spec(good)), [], "{good}");
        }
        assert_eq!(rules(&spec("[sh, -c, 'trap \"exit 0\" TERM; serve & wait']")), []);
    }

    #[test]
    fn liveness_without_startup() {
        let probe = "livenessProbe: {tcpSocket: {port: 80}}";
        let spec = |more: &str| format!("  containers:\n  - name: a\n    image: x\n    {probe}\n{more}");
        assert_eq!(rules(&spec("")), one("liveness-without-startup", 8));
        assert_eq!(rules(&spec("    startupProbe: {tcpSocket: {port: 80}}\n")), []);
    }

    #[test]
    fn a_host_path_where_an_empty_dir_serves() {
        let spec = |path: &str, kind: &str| {
            format!(
                "  volumes:\n  - name: v\n    hostPath: {{path: {path}, type: {kind}}}\n  containers: [{{name: a, image: x}}]\n"
            )
        };
        assert_eq!(rules(&spec("/tmp/shared", "DirectoryOrCreate")), one("host-path", 7));
        assert_eq!(rules(&spec("/tmp/shared", "Directory")), []);
        assert_eq!(rules(&spec("/srv/data", "DirectoryOrCreate")), []);
    }

    #[test]
    fn a_volume_that_several_users_write_without_a_group() {
        let spec = |second: u32, group: &str| {
            let container = |name: &str, user: u32| {
                format!(
                    "  - name: {name}\n    image: x\n    securityContext: {{runAsUser: {user}}}\n    volumeMounts: [{{name: v, mountPath: /v}}]\n"
                )
            };
            format!(
                "  volumes: [{{name: v, emptyDir: {{}}}}]\n{group}  containers:\n{}{}",
                container("a", 1000),
                container("b", second)
            )
        };
        assert_eq!(rules(&spec(1001, "")), one("mixed-owners", 5));
        assert_eq!(rules(&spec(1001, "  securityContext: {fsGroup: 2000}\n")), []);
        assert_eq!(rules(&spec(1000, "")), []);
        assert_eq!(rules(&spec(0, "")), []);
    }
}
