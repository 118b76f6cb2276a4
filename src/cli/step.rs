//! `run --step`: where it pauses, what exists at that moment, and how to look at it.

use crate::pod::start::Wait;

/// A place to pause: the step before which it is, what exists then, and commands to look at it with.
struct Pause {
    at: &'static str,
    exists: &'static str,
    look: &'static [&'static str],
}

/// In the order in which they are reached. `{pid}` is who waits, `{init}` the pod init.
const PAUSES: [Pause; 5] = [
    Pause {
        at: "sandbox.propagation",
        exists: "The pod init is there, process {pid}: alone in new PID, mount, network,\n\
                 IPC and UTS namespaces and in a cgroup of its own. Nothing is mounted,\n\
                 named or connected yet; it still sees the host's mounts.",
        look: &[
            "ls -l /proc/{pid}/ns /proc/self/ns",
            "cat /proc/{pid}/cgroup",
            "nsenter -t {pid} -n ip address",
        ],
    },
    Pause {
        at: "sandbox.control",
        exists: "The sandbox is made: the pod has its host name, lo is up, the tmpfs\n\
                 volumes are mounted where only the pod sees them. What is missing is the\n\
                 control socket, and then the first container.",
        look: &[
            "nsenter -t {pid} -n ip address",
            "nsenter -t {pid} -u hostname",
            "grep barepod /proc/{pid}/mountinfo",
        ],
    },
    Pause {
        at: "container.take-sources",
        exists: "The container is process {pid}: born into PID and mount namespaces of its\n\
                 own, in the pod's network, IPC and UTS namespaces, and already in its\n\
                 cgroup. Its files are still the host's.",
        look: &[
            "ls -l /proc/{pid}/ns /proc/{init}/ns",
            "cat /proc/{pid}/cgroup",
            "grep NSpid /proc/{pid}/status",
        ],
    },
    Pause {
        at: "container.pivot-root",
        exists: "Its root filesystem is complete: overlay, volumes, /proc, /dev, masks. The\n\
                 host's files are still in reach; the next call, pivot_root, ends that.",
        look: &["cat /proc/{pid}/mountinfo", "ls /proc/{pid}/root"],
    },
    Pause {
        at: "container.exec",
        exists: "It sees its own files only and has become its user, with the capabilities\n\
                 that the manifest leaves it. One call is missing: execve.",
        look: &["grep -E 'Uid|Gid|Cap|NoNewPrivs' /proc/{pid}/status", "ls /proc/{pid}/root"],
    },
];

/// The steps to pause before, for the pod init.
pub fn waits() -> Vec<String> {
    PAUSES.iter().map(|pause| pause.at.to_owned()).collect()
}

/// What is said at a pause.
pub fn words(wait: &Wait, init: i32) -> String {
    let (layer, who) = match &wait.container {
        Some(container) => ("container", format!("container {container}")),
        None => ("sandbox", "sandbox".to_owned()),
    };
    let at = format!("{layer}.{}", wait.step);
    let fill = |text: &str| text.replace("{pid}", &wait.pid.to_string()).replace("{init}", &init.to_string());
    let mut text = format!("\n── {who}, before {} ──\n", wait.step);
    if let Some(pause) = PAUSES.iter().find(|pause| pause.at == at) {
        text += &format!("{}\nLook at it from another terminal:\n", fill(pause.exists));
        pause.look.iter().for_each(|command| text += &format!("    {}\n", fill(command)));
    }
    text + "[Enter] goes on   [c] runs on without pauses   [q] ends the pod: "
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Step;
    use crate::plan::sandbox::SandboxStep;

    #[test]
    fn every_pause_is_before_a_step_that_exists() {
        for at in waits() {
            let (layer, step) = at.split_once('.').unwrap();
            let names: &[&str] = if layer == "sandbox" { &SandboxStep::NAMES } else { &Step::NAMES };
            assert!(names.contains(&step), "{at}");
        }
    }

    #[test]
    fn a_pause_says_what_exists_and_how_to_look_at_it() {
        let wait = Wait { container: Some("web".to_owned()), step: "exec".to_owned(), pid: 42 };
        let text = words(&wait, 7);
        assert!(text.contains("container web, before exec") && text.contains("/proc/42/status"), "{text}");
        let text = words(&Wait { container: None, step: "propagation".to_owned(), pid: 7 }, 7);
        assert!(text.contains("sandbox, before propagation") && !text.contains('{'), "{text}");
    }
}
