//! A manifest: everything that `check` and `explain` do with it, and the first moments of its life.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barepod::bundle;
use barepod::bundle::accounts::Accounts;
use barepod::explain::text::render;
use barepod::explain::{self, Assumptions};
use barepod::kernel::cgroup::default_device_rules;
use barepod::kernel::cgroup::devices::Policy;
use barepod::lifecycle::Lifecycle;
use barepod::lifecycle::model::{Action, Backoff, Event, Exit, HookKind};
use barepod::lint::lint;
use barepod::manifest::{self, Handler, Manifest, Pod};
use oci_spec::runtime::Spec;

use super::{harmless, told};

/// It is refused with problems that can be shown, or accepted, and then everything about it can be told.
pub fn manifest(bytes: &[u8]) {
    // As the command line reads it.
    let text = String::from_utf8_lossy(bytes);
    match manifest::load(&text) {
        Err(problems) => {
            assert!(problems.iter().any(|problem| !problem.warning), "refused without an error");
            problems.iter().for_each(|problem| told(problem, &text));
        }
        Ok(manifest) => {
            assert!(manifest.warnings.iter().all(|problem| problem.warning));
            manifest.warnings.iter().chain(&lint(&text, &manifest.pod)).for_each(|one| told(one, &text));
            accepted(manifest);
        }
    }
}

fn accepted(mut manifest: Manifest) {
    assert!(!manifest.pod.containers.is_empty(), "a pod without containers");
    let search = [PathBuf::from("/bundles")];
    for container in &manifest.pod.containers {
        // A name may be refused.
        if let Ok(places) = bundle::candidates(&container.image.value, Path::new("/here"), &search) {
            assert!((1..=2).contains(&places.len()), "{places:?}");
        }
    }
    let spec = bundle::parse_config(include_str!("../../bundles/busybox/config.json"));
    let spec = spec.expect("the bundle is good");
    told_beforehand(&manifest, &spec);
    live(&manifest.pod);
    manifest.rename("other");
    assert_eq!(manifest.object["metadata"]["name"], "other");
}

/// `explain` and `explain --script`, on both versions of cgroups, with this bundle for each container. What the two say may
/// be an error; what they print is harmless.
pub(super) fn told_beforehand(manifest: &Manifest, spec: &Spec) {
    let bundles: Vec<_> = manifest.pod.containers.iter().map(|_| (Path::new("/bundle"), spec)).collect();
    for v2 in [false, true] {
        let host = host(v2, bundles.len());
        if let Ok(explained) = explain::explain(manifest, &bundles, &host) {
            harmless(&render(&explained, |_, line| line.to_owned()));
            assert!(serde_json::to_string(&explained).is_ok());
        }
        explain::script(manifest, &bundles, &host).ok(); // what is quoted in a script has to be what it is
    }
}

fn host(v2: bool, containers: usize) -> Assumptions {
    let point = |name: &str| PathBuf::from(format!("/sys/fs/cgroup/{name}"));
    let one = |name: &str| (point(name), vec![name.to_owned()]);
    Assumptions {
        root: "/run/barepod".into(),
        logs: "/var/log/pods".into(),
        cgroup_parent: String::new(),
        v2,
        hierarchies: match v2 {
            true => vec![("/sys/fs/cgroup".into(), ["cpu", "memory", "pids"].map(str::to_owned).into())],
            false => ["cpu", "memory", "pids", "devices", "freezer"].map(one).into(),
        },
        accounts: vec![
            Accounts {
                passwd: "root:x:0:0::/:\nweb:x:1000:50::/:\n".to_owned(),
                group: "www:x:33:web\n".to_owned()
            };
            containers
        ],
        local_filters: vec![None; containers],
        host_devices: Vec::new(),
        device_writes: |rules| Ok(Policy::of(rules.iter().chain(&default_device_rules()))?.v1_writes()),
        uid: "UID".to_owned(),
        node: "NODE".to_owned(),
        cpu: 1000,
        memory: 1 << 30,
        resolv_conf: "nameserver 10.0.0.1\nsearch example.org\n".to_owned(),
    }
}

/// Some steps of a life in which what is started runs, and what is signalled ends.
fn live(pod: &Pod) {
    let backoff = Backoff { first: Duration::from_secs(10), max: Duration::from_secs(300) };
    let mut life = Lifecycle::new(pod.lifecycle(backoff));
    let mut now = Duration::ZERO;
    let mut actions = VecDeque::from(life.step(now, Event::Begin));
    for step in 0..200 {
        let exit = Exit { code: step % 2, signal: None, oom_killed: false, message: None };
        let event = match actions.pop_front() {
            Some(Action::Start(instance)) => Event::Started(instance),
            Some(Action::Terminate(instance) | Action::Kill(instance)) => Event::Exited { instance, exit },
            Some(Action::RunHook(instance, hook)) => {
                let container = &pod.containers[instance.container];
                let handler = match hook {
                    HookKind::PostStart => &container.post_start,
                    HookKind::PreStop => &container.pre_stop,
                };
                assert!(handler.as_ref().is_some_and(|handler| !matches!(handler, Handler::Sleep(_))));
                Event::HookEnded { instance, hook, result: Ok(String::new()) }
            }
            Some(_) => continue,
            None if step > 150 => Event::Stop { grace: pod.grace },
            None => {
                now = life.next_wakeup().map_or(now, |then| then.max(now));
                Event::Tick
            }
        };
        actions.extend(life.step(now, event));
        life.snapshot(now);
    }
}
