//! What a pod's life adds to the lists of steps: gates, hooks, probes, the end; in the words of the lifecycle's rules.

use std::time::Duration;

use anyhow::Result;

use super::call::{Call, call, clone3, close_others, namespaces, new_filesystem, open, path};
use super::container::{self, State};
use super::pod::{INIT, Instance, Story, join, line, steps_as_lines};
use super::{Line, cgroup};
use crate::lifecycle::model::{Kind, Probe};
use crate::manifest::{Handler, Pod};
use crate::plan::mount::attr;
use crate::plan::{exec_steps, filter};

/// What a container waits for before it is started: that the one before it in the list has passed its gate.
pub fn gate(pod: &Pod, position: usize) -> Line {
    let name = &pod.containers[position].name;
    let does = match position.checked_sub(1).map(|before| &pod.containers[before]) {
        None => format!("start {name} at once: it is the first in the list"),
        Some(before) => {
            let hook = before.post_start.is_some().then_some("its postStart hook has returned");
            let probe = before.startup.is_some().then_some("its startup probe has succeeded");
            let needs: Vec<&str> = hook.into_iter().chain(probe).collect();
            let needs = if needs.is_empty() { "its process runs".to_owned() } else { needs.join(" and ") };
            let before_name = &before.name;
            match before.kind {
                Kind::Init => {
                    format!("wait to start {name} until init container {before_name} has exited with 0")
                }
                Kind::Sidecar => format!(
                    "wait to start {name} until sidecar {before_name} has started: {needs}; it goes on running"
                ),
                Kind::App => {
                    let needs = hook.unwrap_or("its process runs");
                    format!("wait to start {name} until app {before_name} was given its start: {needs}")
                }
            }
        }
    };
    let mut line = line(INIT, "gate", does, Vec::new(), None);
    line.why = match pod.containers[position].kind {
        Kind::Init | Kind::Sidecar => {
            "init containers and sidecars start one after the other, in the order of initContainers; a gate once passed \
             stays open, so a restart waits for nobody"
        }
        Kind::App => {
            "apps start when all initContainers are through, one behind the other's postStart; probes of an app are not \
             waited for"
        }
    }
    .to_owned();
    line
}

/// PID 1 of the shared process namespace.
pub fn reaper() -> Line {
    let mut calls = vec![
        close_others(),
        call("dup2", ["ready", "1"]),
        call("close_range", ["3", "4294967295", "CLOSE_RANGE_CLOEXEC"]),
        call("execveat", ["binary", "\"\"", "…", "…", "AT_EMPTY_PATH"]),
        open(std::path::Path::new("/dev/null"), "O_RDWR|O_CLOEXEC", None).gives("null"),
        call("prctl", ["PR_CAPBSET_DROP", "…"]).each("capability, until the kernel knows no further one"),
        call("unshare", ["CLONE_NEWNS"]),
        call("mount", ["NULL", "\"/\"", "NULL", "MS_REC|MS_PRIVATE", "NULL"]),
    ];
    calls.extend(new_filesystem("tmpfs", &[], attr::RDONLY, "empty"));
    calls.extend([
        open(std::path::Path::new("/dev"), "O_PATH|O_DIRECTORY|O_CLOEXEC", None).gives("place"),
        super::call::attach("empty", "place"),
        call("fchdir", ["empty"]),
        call("pivot_root", ["\".\"", "\".\""]),
        call("umount2", ["\".\"", "MNT_DETACH"]),
        call("chdir", ["\"/\""]),
        call("prctl", ["PR_CAP_AMBIENT", "PR_CAP_AMBIENT_CLEAR_ALL", "0", "0", "0"]),
        call("capset", ["…", "…"]).each("of the sets, which are emptied"),
        call("prctl", ["PR_SET_DUMPABLE", "SUID_DUMP_DISABLE"]),
        call("dup2", ["null", "1"]),
    ]);
    line("reaper", "shut-in", "become the reaper, in an empty root and without capabilities", calls, None)
}

/// What follows when the program of a container runs: postStart, probes; for an init container its end.
pub fn started(story: &Story, instance: &Instance) -> Result<Vec<Line>> {
    let container = instance.container;
    let mut lines = Vec::new();
    if let Some(handler) = &container.post_start {
        let why = "runs as soon as the program does, beside it; when it fails the container is killed and restarted";
        lines.extend(handler_lines(story, instance, "hook", "postStart", handler, why)?);
    }
    let probes = [
        ("startup probe", &container.startup, "holds the other probes back until it has succeeded once"),
        ("liveness probe", &container.liveness, "when it fails the container is killed and restarted"),
        (
            "readiness probe",
            &container.readiness,
            "says whether the container is Ready; nothing waits for it",
        ),
    ];
    for (what, probe, effect) in probes {
        if let Some((handler, timing)) = probe {
            let why = format!("{effect}; {}", timing_in_words(timing));
            lines.extend(handler_lines(story, instance, "probe", what, handler, &why)?);
        }
    }
    if container.kind == Kind::Init {
        lines.extend(clear(story, instance));
    }
    Ok(lines)
}

fn timing_in_words(probe: &Probe) -> String {
    format!(
        "first {} after the start, then every {}, {} to answer; {} failures in a row count",
        seconds(probe.initial_delay),
        seconds(probe.period),
        seconds(probe.timeout),
        probe.failure_threshold
    )
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// A hook or a probe: the pod init's part, then that of its helpers.
fn handler_lines(
    story: &Story,
    instance: &Instance,
    step: &'static str,
    what: &str,
    handler: &Handler,
    why: &str,
) -> Result<Vec<Line>> {
    let name = &instance.container.name;
    let because = |mut line: Line| {
        line.why = format!("{why}. {}", line.why);
        line
    };
    match handler {
        Handler::Sleep(time) => {
            let does = format!("wait {} as the {what} of {name}", seconds(*time));
            let mut line = line(INIT, step, does, Vec::new(), Some(format!("sleep {}", time.as_secs_f64())));
            line.why = format!("{why}. No process is needed for it");
            Ok(vec![line])
        }
        Handler::Exec(command) => {
            let cgroups = cgroup::directories(story.host, &instance.cgroup);
            let words: Vec<String> = command.iter().map(|word| super::shell::word(word)).collect();
            let mut asked = vec![
                call("pipe2", ["[output, print]", "O_CLOEXEC"]),
                open(std::path::Path::new("/dev/null"), "O_RDWR|O_CLOEXEC", None).gives("null"),
                call("pipe2", ["[report, say]", "O_CLOEXEC"]),
            ];
            asked.extend(container::open_tasks(&cgroups));
            asked.extend([
                call("pipe2", ["[answer, tell]", "O_CLOEXEC"]),
                clone3(0, false, None, "helper"),
                call("pidfd_open", ["…", "0"]).gives("command"),
            ]);
            let all = [
                libc::CLONE_NEWNS,
                libc::CLONE_NEWPID,
                libc::CLONE_NEWNET,
                libc::CLONE_NEWIPC,
                libc::CLONE_NEWUTS,
                libc::CLONE_NEWCGROUP,
            ];
            let all = super::call::flags(&namespaces(all.iter().fold(0, |all, flag| all | *flag as u64)));
            let entered = vec![
                close_others(),
                call("prctl", ["PR_SET_DUMPABLE", "SUID_DUMP_DISABLE"]),
                call("setns", ["container", &all]),
                clone3(0, true, None, "command"),
                call("write", ["tell", "…", "…"]),
            ];
            let who = format!("{what} of container {name}");
            let steps = exec_steps(&instance.process, filter(&instance.spec), command)?;
            let mut moved = container::enter_tasks(&cgroups);
            moved.extend(container::reset_signals());
            moved.extend(container::take_streams(&steps));
            let place = container::Place { cgroups: &cgroups, names: &cgroup::names(story.host) };
            let mut lines = vec![
                because(line(INIT, step, format!("run the {what} of {name}"), asked, None)),
                line(
                    &format!("helper of the {who}"),
                    "enter",
                    format!("join the namespaces of {name} and make the command as a sibling"),
                    entered,
                    Some(format!("nsenter --target PID --all {}", words.join(" "))),
                ),
                line(
                    &who,
                    "enter-cgroup",
                    format!("move into the cgroup of {name}, take the streams"),
                    moved,
                    None,
                ),
            ];
            lines.extend(steps_as_lines(&who, &steps, &place, &mut State::default()));
            Ok(lines)
        }
        Handler::HttpGet { https, host, port, path, .. } => {
            let host = host.as_deref().unwrap_or("127.0.0.1");
            let scheme = if *https { "https" } else { "http" };
            let shell = format!("nsenter --target PID --net wget -qO- {scheme}://{host}:{port}{path}");
            let does = format!("ask {scheme}://{host}:{port}{path} as the {what} of {name}");
            let asks = vec![
                call("sendto", ["socket", "…", "…", "MSG_NOSIGNAL", "NULL", "0"])
                    .each("piece of the request"),
                call("recvfrom", ["socket", "…", "…", "0", "NULL", "NULL"]).each("piece of the answer"),
            ];
            Ok(request(name, step, what, host, *port, does, shell, asks).map(because).to_vec())
        }
        Handler::Tcp { host, port } => {
            let host = host.as_deref().unwrap_or("127.0.0.1");
            let shell = format!("nsenter --target PID --net nc -z {host} {port}");
            let does = format!("connect to {host}:{port} as the {what} of {name}");
            Ok(request(name, step, what, host, *port, does, shell, Vec::new()).map(because).to_vec())
        }
    }
}

#[allow(clippy::too_many_arguments)] // each is one word of the line
fn request(
    name: &str,
    step: &'static str,
    what: &str,
    host: &str,
    port: u16,
    does: String,
    shell: String,
    asks: Vec<Call>,
) -> [Line; 2] {
    // A thread of its own, so that the deadline holds for the whole exchange.
    let thread = "{flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM|CLONE_SETTLS|\
                  CLONE_PARENT_SETTID|CLONE_CHILD_CLEARTID, …}";
    let mut calls = vec![close_others()];
    calls.extend((!asks.is_empty()).then(|| call("clone3", [thread])));
    calls.extend([
        call("socket", ["AF_INET", "SOCK_STREAM|SOCK_CLOEXEC", "IPPROTO_IP"]).gives("socket"),
        call("ioctl", ["socket", "FIONBIO", "[1]"]),
        call(
            "connect",
            [
                "socket",
                &format!("{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr(\"{host}\")}}"),
                "16",
            ],
        ),
        call("ioctl", ["socket", "FIONBIO", "[0]"]),
    ]);
    calls.extend(super::call::when("the connection is there", asks));
    calls.push(call("write", ["say", "…", "…"]).when("there is something to tell"));
    let forks = vec![call("pipe2", ["[output, say]", "O_CLOEXEC"]), clone3(0, false, None, "helper")];
    [
        line(INIT, step, format!("fork a helper for the {what} of {name}"), forks, None),
        line(&format!("{what} of container {name}"), "request", does, calls, Some(shell)),
    ]
}

/// The end of one instance: what is left of it, then its cgroup.
fn clear(story: &Story, instance: &Instance) -> [Line; 2] {
    let name = &instance.container.name;
    let directories = cgroup::directories(story.host, &instance.cgroup);
    let left = super::call::when("a process is left", cgroup::kill(story.host, &instance.cgroup));
    let killed = format!("when {name} has ended, kill what is left in its cgroup");
    let procs: Vec<_> = directories.iter().take(1).map(|directory| directory.join("cgroup.procs")).collect();
    let removed = cgroup::remove(story.host, &instance.cgroup);
    let mut remove = line(
        INIT,
        "clear",
        format!("when nothing of {name} is left, remove its cgroup"),
        removed,
        Some(format!("rmdir {}", join(&directories))),
    );
    remove.why = "a cgroup can be removed when it is empty; its counters go with it, so they are read before"
        .to_owned();
    [line(INIT, "kill-rest", killed, left, Some(format!("kill -KILL $(cat {})", join(&procs)))), remove]
}

/// How the pod ends: apps together, then sidecars in reverse order, within one grace period.
pub fn end(story: &Story, containers: &[Instance]) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let grace = seconds(story.pod.grace);
    let apps = containers.iter().filter(|instance| instance.container.kind == Kind::App);
    let sidecars = containers.iter().filter(|instance| instance.container.kind == Kind::Sidecar).rev();
    let order: Vec<&Instance> = apps.chain(sidecars).collect();
    for instance in &order {
        if let Some(handler) = &instance.container.pre_stop {
            let why = format!("runs before SIGTERM, inside the grace period of {grace}");
            lines.extend(handler_lines(story, instance, "hook", "preStop", handler, &why)?);
        }
    }
    for (position, instance) in order.iter().enumerate() {
        lines.extend(terminate(story, instance, &grace, &order[..position]));
        lines.extend(clear(story, instance));
    }
    let pod = format!("{}/pod", story.cgroup);
    let shell = format!("rmdir {}", join(&cgroup::directories(story.host, &pod)));
    let mut removed = cgroup::remove(story.host, &pod);
    removed.push(call("unlink", [path(&story.directory.join("control"))]));
    lines.push(line(
        INIT,
        "end",
        "write the final record, remove the cgroup of the containers and the control socket, exit",
        removed,
        Some(shell),
    ));
    let mut rest = cgroup::remove(story.host, &format!("{}/init", story.cgroup));
    rest.extend(cgroup::remove(story.host, &story.cgroup));
    lines.push(line(
        "barepod stop",
        "clean-up",
        "take the lock, which is free now, and remove the cgroup of the pod init",
        rest,
        None,
    ));
    Ok(lines)
}

fn terminate(story: &Story, instance: &Instance, grace: &str, before: &[&Instance]) -> [Line; 2] {
    let container = instance.container;
    let name = &container.name;
    let number = container.stop_signal.unwrap_or(libc::SIGTERM);
    let signal = if number == libc::SIGTERM { "SIGTERM".to_owned() } else { signal_name(number) };
    let hook = if container.pre_stop.is_some() { "when its preStop hook has returned, " } else { "" };
    let turn = match (container.kind, before.last()) {
        (Kind::Sidecar, Some(last)) => {
            format!("when {} and all before have ended, ", last.container.name)
        }
        _ => String::new(),
    };
    let calls = vec![call("pidfd_send_signal", ["child", &signal, "NULL", "0"]).when("it still runs")];
    let does = format!("to end the pod: {turn}{hook}send {signal} to {name}");
    let shell = Some(format!("kill -{} PID", signal.trim_start_matches("SIG")));
    let mut line = self::line(INIT, "term", does, calls, shell);
    let order = match container.kind {
        Kind::Sidecar => {
            "sidecars end after all apps, in reverse order, so that an app can use them to its last moment. "
        }
        _ => "all apps are asked at the same time. ",
    };
    line.why = format!("{order}{}", line.why);
    let over = format!("the grace period of {grace} is over");
    let mut killed = vec![call("pidfd_send_signal", ["child", "SIGKILL", "NULL", "0"]).when(&over)];
    killed.extend(super::call::when(&over, cgroup::kill(story.host, &instance.cgroup)));
    let does = format!("when {over} and {name} still runs: kill it with all that is in its cgroup");
    [line, self::line(INIT, "kill", does, killed, Some("kill -KILL PID".to_owned()))]
}

pub fn signal_name(number: i32) -> String {
    const NAMES: [(i32, &str); 8] = [
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGQUIT, "SIGQUIT"),
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGUSR1, "SIGUSR1"),
        (libc::SIGUSR2, "SIGUSR2"),
        (libc::SIGTERM, "SIGTERM"),
        (libc::SIGWINCH, "SIGWINCH"),
    ];
    let known = NAMES.iter().find(|(one, _)| *one == number);
    known.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}
