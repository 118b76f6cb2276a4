//! The plan as a shell script that does it by hand: the same steps in the same order, told by their own shell lines. What is
//! here is what a script needs besides: functions for what repeats, the processes that steps run in, the way down again.
//!
//! [`writer`] sets lines and comments; [`functions`] has what repeats; [`container`] tells a container; [`files`] fills volumes.

use std::path::Path;

use anyhow::Result;

use super::pod::{Instance, Story};
use super::{Assumptions, Bundle, cgroup, reason, sandbox};
use crate::lifecycle::model::Kind;
use crate::manifest::{Container, Handler, Manifest, Pod};
use crate::plan::Step;
use crate::plan::sandbox::{SandboxSpec, SandboxStep, steps};

mod container;
mod files;
mod functions;
mod writer;

use writer::Writer;

/// What a shell cannot do as barepod does it: a word for it, and the difference.
pub const DIFFERENCES: [(&str, &str); 8] = [
    (
        "processes",
        "A namespace is made by unshare(1), which stays as the parent of the process in it. PID 1 of the pod is a shell that \
         waits; barepod's is a supervisor, which restarts, probes, collects logs and takes a lock.",
    ),
    (
        "birth",
        "A process moves into its cgroup; on cgroup v2 barepod's is born there. So its cgroup namespace is made by a \
         second command.",
    ),
    (
        "devices",
        "On cgroup v2 the list of devices is a BPF program, which no shell loads: containers may use every device that \
         they can make. On v1 it is set.",
    ),
    ("seccomp", "No shell installs a filter for system calls: containers that are to have one run without."),
    (
        "streams",
        "The output of a container goes straight to a file, as it is; barepod's goes through pipes, and each line gets a time.",
    ),
    (
        "sources",
        "Sources of mounts are taken by path when they are mounted, not held open from the beginning. So the volumes stay \
         shared mounts until then, where barepod cuts all mounts off first.",
    ),
    ("layers", "overlayfs is told its layers by path, not by descriptor, and reports them so."),
    (
        "lookups",
        "A path of a root filesystem is refused when there is a symbolic link in it; barepod follows it inside.",
    ),
];

/// Seconds that a container has at the least between the signal and its end.
const SHORTEST: u64 = 2;

/// Writes the script; `bundles` has one for each container.
pub fn script(manifest: &Manifest, bundles: &[Bundle], host: &Assumptions) -> Result<String> {
    let story = Story::by_hand(&manifest.pod, bundles, host);
    let instances: Vec<Instance> =
        (0..bundles.len()).map(|position| story.instance(position)).collect::<Result<_>>()?;
    let mut out = Writer::default();
    head(&mut out, &story, &instances);
    functions::all(&mut out, &story);
    up(&mut out, &story)?;
    sandbox(&mut out, &story, &instances)?;
    container::all(&mut out, &story, &instances)?;
    down(&mut out, &story, &instances);
    functions::main(&mut out);
    Ok(out.text())
}

fn head(out: &mut Writer, story: &Story, instances: &[Instance]) {
    let (pod, host) = (story.pod, story.host);
    let name = &pod.name;
    out.raw("#!/bin/bash");
    out.comment(&format!("Pod {name}, by hand: what `barepod run` does, with the tools of a shell."));
    out.comment("");
    out.raw("#   bash FILE up      makes the pod and leaves it running");
    out.raw("#   bash FILE down    ends it within its grace period, and takes all of it away");
    out.comment("");
    let version = if host.v2 { "v2" } else { "v1" };
    out.comment(&format!(
        "Written by `barepod explain --script` for the machine it ran on (cgroup {version}). Needs root; bash, coreutils, \
         util-linux 2.37 or later, iproute2, procps. Names of steps are those of docs/steps.md, reasons are those of barepod."
    ));
    let left_out = left_out(pod, instances);
    out.comment("");
    out.comment("Left out, though barepod does it:");
    left_out.iter().for_each(|what| out.item(what));
    out.comment("");
    out.comment("What a shell does differently:");
    let is_filter = |step: &Step| matches!(step, Step::Seccomp(_));
    let filtered = instances.iter().any(|instance| instance.plan.steps.iter().any(is_filter));
    let told = DIFFERENCES.iter().filter(|(key, _)| match *key {
        "devices" => host.v2,
        "seccomp" => filtered,
        _ => true,
    });
    told.for_each(|(_, what)| out.item(what));
    out.raw("#");
    out.raw("# shellcheck disable=SC2016 # commands of the pod are quoted as they stand");
    out.raw("set -euo pipefail");
    out.raw("");
    let parent = host.cgroup_parent.trim_matches('/');
    let parent = if parent.is_empty() { String::new() } else { format!("{parent}/") };
    out.raw(&format!("POD={}", super::shell::word(name)));
    out.raw("SELF=$(realpath \"$0\")");
    out.raw(&format!(
        "ROOT=${{ROOT:-{}}} # state directory",
        super::shell::word(&format!("/run/by-hand-{name}"))
    ));
    out.raw(&format!(
        "CGROUP={} # below every hierarchy",
        super::shell::word(&format!("{parent}by-hand/{name}"))
    ));
    let points = host.hierarchies.iter().map(|(point, _)| super::shell::path(point));
    out.raw(&format!("HIERARCHIES=({})", points.collect::<Vec<_>>().join(" ")));
    out.raw("");
}

/// What the manifest asks for and the script does not do.
fn left_out(pod: &Pod, instances: &[Instance]) -> Vec<String> {
    let mut all = vec![
        "Restarts: a container that has ended stays as it is, and an init container that fails ends the start \
         (restartPolicy, restartPolicyRules)."
            .to_owned(),
        "The end of the pod when its last app has ended: the sandbox stays until `down`.".to_owned(),
        "Termination messages: the file is there, and nobody reads it.".to_owned(),
    ];
    all.extend(pod.deadline.map(|time| format!("activeDeadlineSeconds ({} s).", time.as_secs())));
    for container in &pod.containers {
        let name = &container.name;
        let probes = [
            ("startupProbe", &container.startup),
            ("livenessProbe", &container.liveness),
            ("readinessProbe", &container.readiness),
        ];
        let probes: Vec<&str> =
            probes.iter().filter(|(_, probe)| probe.is_some()).map(|(name, _)| *name).collect();
        if !probes.is_empty() {
            let gate = match (container.kind, &container.startup) {
                (Kind::Sidecar, Some(_)) => ": what comes after it does not wait for it",
                _ => "",
            };
            all.push(format!("{} of {name}{gate}.", probes.join(" and ")));
        }
        let hooks = [("postStart", &container.post_start), ("preStop", &container.pre_stop)];
        for (hook, handler) in hooks {
            if let Some(Handler::HttpGet { .. } | Handler::Tcp { .. }) = handler {
                all.push(format!("{hook} of {name}, which is no command."));
            }
        }
    }
    for instance in instances {
        let is_proc = |step: &Step| matches!(step, Step::Mount(mount) if mount.target == Path::new("/proc"));
        if !instance.plan.steps.iter().any(is_proc) {
            let name = &instance.container.name;
            all.push(format!("{name}: without a /proc of its own the script cannot start it."));
        }
        for step in &instance.plan.steps {
            if let Step::Mount(mount) = step
                && mount.copy_up
            {
                let (name, target) = (&instance.container.name, mount.target.display());
                all.push(format!("tmpcopyup of {target} in {name}: it begins empty."));
            }
        }
    }
    all
}

fn up(out: &mut Writer, story: &Story) -> Result<()> {
    let pod = story.pod;
    let limits = pod.cgroup_resources()?;
    out.title("barepod run");
    out.function("up", |out| {
        out.step(
            "lock",
            "mkdir(2) fails when somebody was faster, so two cannot make the same pod",
            &["mkdir(2)"],
        );
        out.line("mkdir -m 700 \"$ROOT\" || die \"it is there already: bash $0 down removes it\"");
        out.line("mkdir \"$ROOT/pids\" \"$ROOT/logs\"");
        out.line("trap 'take_down' EXIT # until it stands");
        out.reason("cgroups", reason::of_pod("cgroups"));
        out.line("cgroup pod");
        out.lines(cgroup::commands(story.host, "$CGROUP/pod", &limits)?);
        out.line("cgroup init");
        out.reason("clone", reason::of_pod("clone"));
        let unshare = story.unshare();
        let unshare = unshare.trim_end_matches(" …");
        out.line("# setsid: no terminal may stop or kill the pod.");
        out.line(&format!("setsid {unshare} \\"));
        out.line("    bash \"$SELF\" run sandbox </dev/null >\"$ROOT/log\" 2>&1 &");
        out.step("let-go", "return when the first container has been started", &[]);
        out.line("until [ -e \"$ROOT/started\" ]; do");
        out.line("    if ! kill -0 $! 2>/dev/null; then");
        out.line("        cat \"$ROOT/log\" >&2");
        out.line("        die \"the sandbox could not be made\"");
        out.line("    fi");
        out.line("    sleep 0.05");
        out.line("done");
        out.line("trap - EXIT");
        out.line("look");
        Ok(())
    })
}

fn sandbox(out: &mut Writer, story: &Story, instances: &[Instance]) -> Result<()> {
    let cgroups = cgroup::directories(story.host, "$CGROUP/init");
    let place = story.place(&cgroups);
    out.title("the sandbox: PID 1 of the pod's PID namespace");
    out.function("sandbox", |out| {
        for step in steps(&SandboxSpec::of(story.pod, story.host.v2)) {
            if step == SandboxStep::Control {
                continue; // there is no supervisor to talk to
            }
            out.reason(step.name(), reason::of_sandbox(step.name()));
            match &step {
                SandboxStep::Detach => {
                    out.line("close_inherited");
                    out.line("cd /");
                    out.line("umask 022");
                    out.line("note_pid SANDBOX # in capitals, as no container is");
                    if story.host.v2 {
                        out.step("join-cgroup", "on cgroup v2 barepod's is born there", &["cgroups(7)"]);
                        out.line("enter init");
                    }
                }
                SandboxStep::JoinCgroup => out.line("enter init"),
                // Lowering it needs CAP_SYS_RESOURCE.
                SandboxStep::OomScoreAdj(_) => {
                    sandbox::commands(&step, &place).iter().for_each(|line| out.line(&format!("{line} 2>/dev/null || :")));
                }
                SandboxStep::Reaper => {
                    out.line("unshare --pid --fork bash \"$SELF\" run reaper &");
                    out.line("until [ -s \"$ROOT/pids/REAPER\" ]; do sleep 0.05; done");
                }
                SandboxStep::Volume { name, .. } => {
                    out.lines(sandbox::commands(&step, &place));
                    files::fill(out, story, name);
                }
                _ => out.lines(sandbox::commands(&step, &place)),
            }
        }
        out.step(
            "tools",
            "not a step of barepod: the last programs of the host that a container needs run when its new root is in place, \
             from where no path leads to them. Copies with their libraries lie in a directory of the pod, and a process that \
             has it as its working directory finds them there",
            &[],
        );
        out.line("make_tools");
        for instance in instances {
            container::start(out, story, instance)?;
        }
        out.step("supervise", "barepod's PID 1 goes on as the supervisor; this one holds the namespaces, and reaps", &[]);
        out.line("idle");
        Ok(())
    })?;
    if story.pod.share_process_namespace {
        out.raw("");
        out.comment(
            "PID 1 of the process namespace that the containers share: reaps, and does nothing else.",
        );
        out.function("reaper", |out| {
            out.line("note_pid REAPER");
            out.line("idle");
            Ok(())
        })?;
    }
    Ok(())
}

/// Apps first, all at the same time, and an init container if one runs; then sidecars, the last one first.
fn down(out: &mut Writer, story: &Story, instances: &[Instance]) {
    let is_sidecar = |instance: &&Instance| instance.container.kind == Kind::Sidecar;
    let signal = |container: &Container| {
        let name = container.stop_signal.map_or("TERM".to_owned(), super::life::signal_name);
        format!("signal {} {}", container.name, name.trim_start_matches("SIG"))
    };
    out.title("the end");
    let done = out.function("down", |out| {
        out.line("[ -d \"$ROOT\" ] || die \"there is no such pod\"");
        out.line(&format!("deadline=$((SECONDS + {}))", story.pod.grace.as_secs().max(SHORTEST)));
        out.reason("term", reason::of_pod("term"));
        out.note("All apps at the same time: for each its preStop hook, then the signal.");
        for instance in instances.iter().filter(|one| !is_sidecar(one)) {
            out.line("{");
            container::pre_stop(out, instance);
            out.line(&format!("    {}", signal(instance.container)));
            out.line("} &");
        }
        out.reason("kill", reason::of_pod("kill"));
        for instance in instances.iter().filter(|one| !is_sidecar(one)) {
            out.line(&format!("gone {}", instance.container.name));
        }
        let sidecars: Vec<&Instance> = instances.iter().filter(is_sidecar).collect();
        if !sidecars.is_empty() {
            out.note("Sidecars after all apps, the last one first; each has a moment, whatever is left.");
        }
        for instance in sidecars.into_iter().rev() {
            let least = format!("SECONDS + {SHORTEST}");
            out.line(&format!("deadline=$((deadline > {least} ? deadline : {least}))"));
            out.line("{");
            container::pre_stop(out, instance);
            out.line(&format!("    {}", signal(instance.container)));
            out.line("} &");
            out.line(&format!("gone {}", instance.container.name));
        }
        out.line("take_down");
        Ok(())
    });
    debug_assert!(done.is_ok());
}
