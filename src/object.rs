//! The Kubernetes Pod object of a pod: the manifest's own object with `status` and the few fields a server adds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::lifecycle::model::{
    Condition, ContainerState, ContainerStatus, Kind, PodSpec, Snapshot, Terminated, Time,
};

/// What the lifecycle cannot know of a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// `metadata.uid`.
    pub uid: String,
    /// The one address of the pod, of its host too: 127.0.0.1 without a network.
    pub pod_ip: String,
    /// Wall-clock time of the lifecycle's time 0: `metadata.creationTimestamp`, `status.startTime`.
    pub started_at: SystemTime,
    /// `status.qosClass`: Guaranteed, Burstable or BestEffort.
    pub qos_class: String,
    /// In the order of [`PodSpec::containers`].
    pub containers: Vec<ContainerHost>,
}

/// What the lifecycle cannot know of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerHost {
    /// `containerID` of the newest instance, `barepod://…`; `None` before the first.
    pub container_id: Option<String>,
    /// `image` as the manifest names it.
    pub image: String,
    /// `imageID`: what it was resolved to.
    pub image_id: String,
}

/// A container that was added while the pod ran.
#[derive(Debug, Clone, PartialEq)]
pub struct EphemeralContainer {
    /// Its entry in `spec.ephemeralContainers`.
    pub spec: Value,
    /// `state`; it has no other.
    pub state: ContainerState,
    /// The rest of its status.
    pub host: ContainerHost,
}

/// What `status` says at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// What the lifecycle knows.
    pub snapshot: Snapshot,
    /// What it cannot know.
    pub host: Host,
    /// The containers that were added while the pod ran.
    pub ephemeral: Vec<EphemeralContainer>,
}

/// Renders the Pod object: `manifest` is the Pod as it was read, its `spec` is left as it is. A field that is not set is
/// absent.
pub fn pod_object(manifest: &Value, spec: &PodSpec, facts: &Facts) -> Value {
    let mut object = manifest.clone();
    let metadata = &mut object["metadata"];
    if metadata["namespace"].is_null() {
        metadata["namespace"] = "default".into();
    }
    metadata["uid"] = facts.host.uid.clone().into();
    metadata["creationTimestamp"] = rfc3339(&facts.host, Time::ZERO);
    object["status"] = Value::Null;
    update(&mut object, spec, None, facts);
    object
}

/// Brings the object up to date. The statuses of containers of which nothing has changed since `before` stay as they are: of a
/// hundred containers, one has usually changed.
pub fn update(object: &mut Value, spec: &PodSpec, before: Option<&Facts>, now: &Facts) {
    let Facts { snapshot, host, ephemeral } = now;
    if let Some((since, grace)) = snapshot.terminating {
        let metadata = &mut object["metadata"];
        // As the API server has it: the time at which the grace period is over.
        metadata["deletionTimestamp"] = rfc3339(host, since.saturating_add(grace));
        metadata["deletionGracePeriodSeconds"] = grace.as_secs().into();
    }

    let mut old = object["status"].take();
    let mut take = |list: &str| match old[list].take() {
        Value::Array(statuses) => statuses,
        _ => Vec::new(),
    };
    let (mut inits, mut apps) = (take("initContainerStatuses"), take("containerStatuses"));
    let (mut init, mut app) = (0, 0);
    for (number, spec) in spec.containers.iter().enumerate() {
        let (list, place) =
            if spec.kind == Kind::App { (&mut apps, &mut app) } else { (&mut inits, &mut init) };
        let (status, on_host) = (&snapshot.containers[number], &host.containers[number]);
        let is_as_before = before.is_some_and(|before| {
            before.snapshot.containers[number] == *status && before.host.containers[number] == *on_host
        });
        if !is_as_before {
            let status = container_status(&spec.name, status, on_host, host);
            list.splice(*place..list.len().min(*place + 1), [status]);
        }
        *place += 1;
    }
    let mut status = Map::new();
    status.insert("phase".to_string(), format!("{:?}", snapshot.phase).into());
    insert(&mut status, "reason", snapshot.reason.clone());
    insert(&mut status, "message", snapshot.message.clone());
    let conditions: Vec<_> = snapshot.conditions.iter().map(|one| condition(one, host)).collect();
    insert(&mut status, "conditions", Some(conditions));
    insert(&mut status, "hostIP", Some(host.pod_ip.clone()));
    insert(&mut status, "hostIPs", Some(json!([{"ip": host.pod_ip}])));
    insert(&mut status, "podIP", Some(host.pod_ip.clone()));
    insert(&mut status, "podIPs", Some(json!([{"ip": host.pod_ip}])));
    insert(&mut status, "startTime", Some(rfc3339(host, Time::ZERO)));
    insert(&mut status, "initContainerStatuses", Some(inits).filter(|inits| !inits.is_empty()));
    insert(&mut status, "containerStatuses", Some(apps));
    insert(&mut status, "qosClass", Some(host.qos_class.clone()));
    object["status"] = Value::Object(status);
    add_ephemeral(object, ephemeral, host);
}

/// Adds those containers to a Pod object. Like an API server it says neither that they have started nor that they are ready.
fn add_ephemeral(object: &mut Value, containers: &[EphemeralContainer], host: &Host) {
    let (mut specs, mut statuses) = (Vec::new(), Vec::new());
    for EphemeralContainer { spec, state, host: on_host } in containers {
        let state = state.clone();
        let status =
            ContainerStatus { state, last_state: None, ready: false, started: false, restart_count: 0 };
        let name = spec["name"].as_str().unwrap_or_default();
        let mut status = container_status(name, &status, on_host, host);
        status.as_object_mut().and_then(|status| status.remove("started"));
        specs.push(spec.clone());
        statuses.push(status);
    }
    if !specs.is_empty() {
        object["spec"]["ephemeralContainers"] = specs.into();
        object["status"]["ephemeralContainerStatuses"] = statuses.into();
    }
}

/// What became of a pod whose supervisor died with all its processes: Failed for ever, and what may have run has ended in
/// an unknown way.
pub fn lost(mut object: Value) -> Value {
    let is_true = |condition: &Value| condition["type"] == "Initialized" && condition["status"] == "True";
    let status = &mut object["status"];
    let initialized =
        status["conditions"].as_array().is_some_and(|conditions| conditions.iter().any(is_true));
    status["phase"] = "Failed".into();
    status["reason"] = "SandboxLost".into();
    status["message"] = "The pod's supervisor has ended, and with it every process of the pod".into();

    for condition in array(status, "conditions") {
        let holds_on = condition["type"] == "Initialized" || condition["type"] == "PodScheduled";
        if !holds_on {
            // When it changed is not known.
            let kind = condition["type"].take();
            *condition = json!({"type": kind, "status": "False", "reason": "PodFailed"});
        }
    }
    for list in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
        for container in array(status, list) {
            if !container["state"]["terminated"].is_null() {
                continue;
            }
            let ran = !container["state"]["running"].is_null() || !container["lastState"].is_null();
            let next_was_due = list == "containerStatuses" && initialized;
            if ran || next_was_due {
                let mut terminated = json!({
                    "exitCode": 137,
                    "reason": "ContainerStatusUnknown",
                    "message": "The container could not be located when the pod was lost",
                });
                let started_at = container["state"]["running"]["startedAt"].take();
                if !started_at.is_null() {
                    terminated["startedAt"] = started_at;
                }
                container["state"] = json!({ "terminated": terminated });
            }
            container["ready"] = false.into();
            if list != "ephemeralContainerStatuses" {
                container["started"] = false.into();
            }
        }
    }
    object
}

/// `containerID` of an instance.
pub fn container_id(uid: &str, name: &str, attempt: u32) -> String {
    format!("barepod://{uid}_{name}_{attempt}")
}

fn container_status(name: &str, status: &ContainerStatus, on_host: &ContainerHost, host: &Host) -> Value {
    let mut object = Map::new();
    insert(&mut object, "name", Some(name));
    let state = match &status.state {
        ContainerState::Waiting { reason, message } => {
            let mut waiting = Map::new();
            insert(&mut waiting, "reason", Some(reason.clone()));
            insert(&mut waiting, "message", message.clone());
            json!({ "waiting": waiting })
        }
        ContainerState::Running { started_at } => {
            json!({"running": {"startedAt": rfc3339(host, *started_at)}})
        }
        ContainerState::Terminated(ended) => {
            let mut ended = terminated(ended, host);
            insert(&mut ended, "containerID", on_host.container_id.clone());
            json!({ "terminated": ended })
        }
    };
    insert(&mut object, "state", Some(state));
    let last = status.last_state.as_ref().map(|last| {
        let mut last = terminated(last, host);
        // Who waits has not been counted as started again.
        let is_waiting = matches!(status.state, ContainerState::Waiting { .. });
        let attempt = status.restart_count.saturating_sub(u32::from(!is_waiting));
        insert(&mut last, "containerID", Some(container_id(&host.uid, name, attempt)));
        json!({ "terminated": last })
    });
    insert(&mut object, "lastState", last);
    insert(&mut object, "ready", Some(status.ready));
    insert(&mut object, "started", Some(status.started));
    insert(&mut object, "restartCount", Some(status.restart_count));
    insert(&mut object, "image", Some(on_host.image.clone()));
    // What has not been made yet has no image, in the words of a kubelet.
    let image_id = if on_host.container_id.is_some() { on_host.image_id.as_str() } else { "" };
    insert(&mut object, "imageID", Some(image_id));
    insert(&mut object, "containerID", on_host.container_id.clone());
    Value::Object(object)
}

fn terminated(ended: &Terminated, host: &Host) -> Map<String, Value> {
    let mut object = Map::new();
    insert(&mut object, "exitCode", Some(ended.exit_code));
    insert(&mut object, "signal", ended.signal);
    insert(&mut object, "reason", Some(ended.reason.clone()));
    insert(&mut object, "message", ended.message.clone());
    insert(&mut object, "startedAt", Some(rfc3339(host, ended.started_at)));
    insert(&mut object, "finishedAt", Some(rfc3339(host, ended.finished_at)));
    object
}

fn condition(condition: &Condition, host: &Host) -> Value {
    let mut object = Map::new();
    insert(&mut object, "type", Some(condition.kind));
    insert(&mut object, "status", Some(if condition.status { "True" } else { "False" }));
    insert(&mut object, "lastTransitionTime", Some(rfc3339(host, condition.since)));
    insert(&mut object, "reason", condition.reason);
    insert(&mut object, "message", condition.message.clone());
    Value::Object(object)
}

fn insert(object: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(key.to_string(), value.into());
    }
}

fn array<'a>(object: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

/// RFC 3339, UTC, microseconds. A time that this cannot write (an endless grace period) is written as the last one it can.
fn rfc3339(host: &Host, time: Time) -> Value {
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let wall = host.started_at.checked_add(time).unwrap_or(last).min(last);
    humantime::format_rfc3339_micros(wall).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Lifecycle;
    use crate::lifecycle::model::{Backoff, ContainerSpec, Event, Exit, Instance, RestartPolicy};

    fn container(name: &str, kind: Kind) -> ContainerSpec {
        ContainerSpec {
            name: name.to_string(),
            kind,
            restart_policy: None,
            rules: Vec::new(),
            post_start: None,
            pre_stop: None,
            startup: None,
            liveness: None,
            readiness: None,
        }
    }

    /// init `migrate`, sidecar `proxy`, app `web`; and its host.
    fn pod() -> (Lifecycle, Host) {
        let second = Duration::from_secs(1);
        let containers = vec![
            container("migrate", Kind::Init),
            container("proxy", Kind::Sidecar),
            container("web", Kind::App),
        ];
        let spec = PodSpec {
            containers,
            restart_policy: RestartPolicy::Always,
            grace: 30 * second,
            deadline: None,
            backoff: Backoff { first: 10 * second, max: 300 * second },
        };
        let on_host = |name: &str| ContainerHost {
            container_id: Some(format!("barepod://1-2_{name}_0")),
            image: format!("{name}:1"),
            image_id: format!("/bundles/{name}"),
        };
        let host = Host {
            uid: "1-2".to_string(),
            pod_ip: "127.0.0.1".to_string(),
            started_at: UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_250),
            qos_class: "BestEffort".to_string(),
            containers: vec![on_host("migrate"), on_host("proxy"), on_host("web")],
        };
        (Lifecycle::new(spec), host)
    }

    fn manifest() -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop", "labels": {"a": "b"}}, "spec": {"x": 1}})
    }

    fn render(pod: &Lifecycle, host: &Host) -> Value {
        pod_object(&manifest(), pod.spec(), &facts(pod, host))
    }

    fn facts(pod: &Lifecycle, host: &Host) -> Facts {
        Facts { snapshot: pod.snapshot(Time::ZERO), host: host.clone(), ephemeral: Vec::new() }
    }

    fn exited(container: usize, attempt: u32, code: i32) -> Event {
        let exit = Exit { code, signal: None, oom_killed: false, message: None };
        Event::Exited { instance: Instance { container, attempt }, exit }
    }

    fn started(container: usize, attempt: u32) -> Event {
        Event::Started(Instance { container, attempt })
    }

    /// Runs the pod until everything is up, at 3 s.
    fn running() -> (Lifecycle, Host) {
        let (mut pod, host) = pod();
        pod.step(Time::ZERO, Event::Begin);
        pod.step(Duration::from_secs(1), started(0, 0));
        pod.step(Duration::from_secs(2), exited(0, 0, 0));
        pod.step(Duration::from_secs(3), started(1, 0));
        pod.step(Duration::from_secs(3), started(2, 0));
        (pod, host)
    }

    #[test]
    fn the_manifests_own_object_stays_and_gets_what_a_server_adds() {
        let (pod, host) = running();
        let object = render(&pod, &host);
        assert_eq!(object["spec"], json!({"x": 1}));
        assert_eq!(
            object["metadata"],
            json!({
                "name": "shop",
                "labels": {"a": "b"},
                "namespace": "default",
                "uid": "1-2",
                "creationTimestamp": "2023-11-14T22:13:20.000250Z",
            })
        );
        assert_eq!(object["apiVersion"], "v1");
    }

    #[test]
    fn a_running_pod_has_everything_kubectl_looks_for() {
        let (pod, host) = running();
        let status = &render(&pod, &host)["status"];
        assert_eq!(status["phase"], "Running");
        assert_eq!(status["podIPs"], json!([{"ip": "127.0.0.1"}]));
        assert_eq!(status["hostIP"], "127.0.0.1");
        assert_eq!(status["startTime"], "2023-11-14T22:13:20.000250Z");
        assert_eq!(status["qosClass"], "BestEffort");
        assert_eq!(
            status["containerStatuses"],
            json!([{
                "name": "web",
                "state": {"running": {"startedAt": "2023-11-14T22:13:23.000250Z"}},
                "ready": true,
                "started": true,
                "restartCount": 0,
                "image": "web:1",
                "imageID": "/bundles/web",
                "containerID": "barepod://1-2_web_0",
            }])
        );
        let inits = status["initContainerStatuses"].as_array().unwrap();
        assert_eq!(inits.len(), 2);
        assert_eq!(inits[0]["state"]["terminated"]["reason"], "Completed");
        assert_eq!(inits[0]["state"]["terminated"]["containerID"], "barepod://1-2_migrate_0");
        assert_eq!(status["conditions"][2]["type"], "Ready");
        assert_eq!(status["conditions"][2]["lastTransitionTime"], "2023-11-14T22:13:23.000250Z");
    }

    #[test]
    fn an_object_that_is_brought_up_to_date_is_as_one_that_is_rendered_anew() {
        let (mut pod, mut host) = pod();
        let mut before = facts(&pod, &host);
        let mut object = pod_object(&manifest(), pod.spec(), &before);
        let at = Duration::from_secs;
        let events = [
            (0, Event::Begin),
            (1, started(0, 0)),
            (2, exited(0, 0, 1)),
            (2, started(0, 1)),
            (3, exited(0, 1, 0)),
            (4, started(1, 0)),
            (5, started(2, 0)),
            (6, exited(2, 0, 3)),
            (7, Event::Stop { grace: at(20) }),
        ];
        for (step, (time, event)) in events.into_iter().enumerate() {
            pod.step(at(time), event);
            host.containers[step % 3].container_id = Some(format!("barepod://{step}"));
            let mut now = facts(&pod, &host);
            if step > 4 {
                let host = ContainerHost {
                    container_id: None,
                    image: "shell".to_owned(),
                    image_id: "/bundles/shell".to_owned(),
                };
                let state = ContainerState::Running { started_at: at(time) };
                now.ephemeral = vec![EphemeralContainer { spec: json!({"name": "shell"}), state, host }];
            }
            update(&mut object, pod.spec(), Some(&before), &now);
            assert_eq!(
                object.to_string(),
                pod_object(&manifest(), pod.spec(), &now).to_string(),
                "after step {step}"
            );
            before = now;
        }
    }

    #[test]
    fn an_unset_field_is_absent() {
        let (mut pod, host) = pod();
        pod.step(Time::ZERO, Event::Begin);
        let object = render(&pod, &host);
        assert!(!object.to_string().contains("null"));
        for absent in ["reason", "message"] {
            assert!(object["status"].get(absent).is_none());
        }
        assert!(object["metadata"].get("deletionTimestamp").is_none());
        assert!(object["status"]["containerStatuses"][0].get("lastState").is_none());
    }

    #[test]
    fn a_crashed_container_waits_with_its_last_state() {
        let (mut pod, host) = running();
        pod.step(Duration::from_secs(4), exited(2, 0, 3));
        pod.step(Duration::from_secs(5), started(2, 1));
        pod.step(Duration::from_secs(6), exited(2, 1, 4));
        let web = &render(&pod, &host)["status"]["containerStatuses"][0];
        assert_eq!(web["state"]["waiting"]["reason"], "CrashLoopBackOff");
        assert_eq!(web["lastState"]["terminated"]["exitCode"], 4);
        assert_eq!(web["lastState"]["terminated"]["containerID"], "barepod://1-2_web_1");
        pod.step(Duration::from_secs(20), started(2, 2));
        let web = &render(&pod, &host)["status"]["containerStatuses"][0];
        assert_eq!(web["lastState"]["terminated"]["containerID"], "barepod://1-2_web_1");
        assert_eq!(web["lastState"]["terminated"]["startedAt"], "2023-11-14T22:13:25.000250Z");
        assert_eq!(web["restartCount"], 1);
    }

    #[test]
    fn a_stopped_pod_says_when_its_grace_is_over() {
        let (mut pod, host) = running();
        pod.step(Duration::from_secs(10), Event::Stop { grace: Duration::from_secs(20) });
        let metadata = &render(&pod, &host)["metadata"];
        assert_eq!(metadata["deletionTimestamp"], "2023-11-14T22:13:50.000250Z");
        assert_eq!(metadata["deletionGracePeriodSeconds"], 20);
    }

    #[test]
    fn an_endless_grace_can_be_written() {
        let (mut pod, host) = running();
        pod.step(Duration::from_secs(10), Event::Stop { grace: Duration::MAX });
        assert_eq!(render(&pod, &host)["metadata"]["deletionTimestamp"], "9999-12-31T23:59:59.000000Z");
    }

    #[test]
    fn a_lost_pod_has_failed_and_what_ran_ended_in_an_unknown_way() {
        let (pod, host) = running();
        let object = lost(render(&pod, &host));
        let status = &object["status"];
        assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("SandboxLost")));
        let web = &status["containerStatuses"][0];
        assert_eq!(web["state"]["terminated"]["exitCode"], 137);
        assert_eq!(web["state"]["terminated"]["reason"], "ContainerStatusUnknown");
        assert_eq!(web["state"]["terminated"]["startedAt"], "2023-11-14T22:13:23.000250Z");
        assert_eq!((&web["ready"], &web["started"]), (&json!(false), &json!(false)));
        assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
        assert_eq!(status["conditions"][2]["status"], "False");
        assert_eq!(status["conditions"][1]["status"], "True");
        assert!(!object.to_string().contains("null"));
    }

    #[test]
    fn a_pod_lost_while_initialising_leaves_its_apps_waiting() {
        let (mut pod, host) = pod();
        pod.step(Time::ZERO, Event::Begin);
        pod.step(Duration::from_secs(1), started(0, 0));
        let status = &lost(render(&pod, &host))["status"];
        assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 137);
        assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    }

    #[test]
    fn an_app_that_was_about_to_start_when_its_pod_was_lost_ended_in_an_unknown_way() {
        let (mut pod, host) = pod();
        pod.step(Time::ZERO, Event::Begin);
        pod.step(Duration::from_secs(1), started(0, 0));
        pod.step(Duration::from_secs(2), exited(0, 0, 0));
        pod.step(Duration::from_secs(3), started(1, 0));
        let status = &lost(render(&pod, &host))["status"];
        assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["exitCode"], 137);
    }

    #[test]
    fn losing_an_object_without_status_is_no_accident() {
        assert_eq!(lost(manifest())["status"]["phase"], "Failed");
    }
}
