//! A container in a script: what the pod's PID 1 does for it, what its own process does, its hooks.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::files;
use super::writer::Writer;
use crate::explain::call::tmpfs_commands;
use crate::explain::container::{Place, State, commands};
use crate::explain::pod::{Instance, Story};
use crate::explain::{cgroup, life, reason, shell};
use crate::lifecycle::model::Kind;
use crate::manifest::Handler;
use crate::plan::mount::What;
use crate::plan::{Step, exec_steps};

/// What the pod's PID 1 does to start it.
pub fn start(out: &mut Writer, story: &Story, instance: &Instance) -> Result<()> {
    let container = instance.container;
    let name = &container.name;
    let gate = life::gate(story.pod, instance.position);
    out.step("gate", &format!("{}. {}", gate.does, capital(&gate.why)), &[]);
    out.reason("layer", reason::of_pod("layer"));
    let layer = story.layer(container);
    out.lines(tmpfs_commands(&layer, story.pod.memory_limit(), "755", "private"));
    let parts = ["upper", "work", "merged"].map(|part| shell::path(&layer.join(part)));
    out.line(&format!("mkdir {}", parts.join(" ")));
    let message = shell::path(&layer.join("termination-log"));
    out.line(&format!(": >{message}"));
    out.line(&format!("chmod 666 {message}"));
    files::host_paths(out, story, container);
    files::parts(out, story, container)?;
    out.reason("cgroup", reason::of_pod("cgroup"));
    out.line(&format!("cgroup pod/{name}.0"));
    let resources = instance.spec.linux().as_ref().and_then(|linux| linux.resources().clone());
    let resources = resources.context("resources are missing")?;
    out.lines(cgroup::commands(story.host, &instance.cgroup, &resources)?);
    out.reason("make-process", reason::of_pod("make-process"));
    if let Some(Step::User { uid, gid, .. }) = instance.plan.steps.iter().find(|step| is_user(step))
        && (*uid, *gid) != (0, 0)
    {
        // So that it can open /dev/stdout.
        let log = format!("\"$ROOT/logs/{name}\"");
        out.line(&format!(": >{log}"));
        out.line(&format!("chown {uid}:{gid} {log}"));
    }
    out.line(&format!("start {name}"));
    match &container.post_start {
        Some(Handler::Exec(command)) => {
            out.reason("hook", ("postStart: runs as soon as the program does, beside it", &["nsenter(1)"]));
            out.line(&format!("{} || echo \"postStart of {name}: $?\"", hook(name, command)));
        }
        Some(Handler::Sleep(time)) => out.line(&format!("sleep {} # postStart", time.as_secs_f64())),
        _ => {}
    }
    if container.kind == Kind::Init {
        out.line(&format!("finish {name}"));
    }
    Ok(())
}

fn is_user(step: &Step) -> bool {
    matches!(step, Step::User { .. })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

fn hook(name: &str, command: &[String]) -> String {
    let words: Vec<String> = command.iter().map(|word| shell::word(word)).collect();
    format!("(inside_{} {})", name.replace('-', "_"), words.join(" "))
}

/// The preStop hook, in a group of commands.
pub fn pre_stop(out: &mut Writer, instance: &Instance) {
    let name = &instance.container.name;
    match &instance.container.pre_stop {
        Some(Handler::Exec(command)) => {
            out.line(&format!("    if runs {name}; then"));
            out.line(&format!("        {} || echo \"preStop of {name}: $?\"", hook(name, command)));
            out.line("    fi");
        }
        Some(Handler::Sleep(time)) => out.line(&format!("    sleep {} # preStop", time.as_secs_f64())),
        _ => {}
    }
}

/// The functions of all containers, and what these have in common.
pub fn all(out: &mut Writer, story: &Story, instances: &[Instance]) -> Result<()> {
    let told: Vec<Vec<Told>> = instances.iter().map(|instance| tell(story, instance)).collect();
    let common: Vec<Told> = told
        .first()
        .filter(|_| told.len() > 1)
        .into_iter()
        .flatten()
        .filter(|one| one.function.is_some() && told.iter().all(|all| all.contains(one)))
        .cloned()
        .collect();
    if !common.is_empty() {
        out.title("what the containers have in common");
    }
    for one in &common {
        out.function(one.function.unwrap_or_default(), |out| {
            one.write(out);
            Ok(())
        })?;
        out.raw("");
    }
    for (instance, told) in instances.iter().zip(&told) {
        own(out, instance, told, &common)?;
    }
    Ok(())
}

/// A run of steps of one name, as lines.
#[derive(Clone, PartialEq)]
struct Told {
    step: &'static str,
    lines: Vec<String>,
    /// The name of the function that it becomes when all containers have the same.
    function: Option<&'static str>,
}

impl Told {
    fn write(&self, out: &mut Writer) {
        if self.lines.is_empty() {
            return;
        }
        out.reason(self.step, reason::of_container(self.step));
        out.lines(self.lines.clone());
    }
}

/// The steps up to the pivot, in runs.
fn tell(story: &Story, instance: &Instance) -> Vec<Told> {
    let cgroups: Vec<PathBuf> = cgroup::directories(story.host, &instance.cgroup);
    let place = Place { cgroups: &cgroups, names: &cgroup::names(story.host) };
    let mut state = State::default();
    let mut runs: Vec<Told> = Vec::new();
    let before = instance.plan.steps.iter().take_while(|step| !matches!(step, Step::PivotRoot { .. }));
    for step in before {
        let mut lines = commands(step, &place, &mut state);
        match step {
            Step::ResetProcess => lines = vec!["umask 0".to_owned()],
            Step::JoinCgroup => lines = vec![format!("enter pod/{}.0", instance.container.name)],
            Step::UnshareCgroup => lines = unshare_cgroup(instance),
            // See DIFFERENCES: sources.
            Step::TakeSources(_) | Step::Propagation(_) => continue,
            Step::MakeCwd(path) if path == Path::new("/") => continue,
            Step::Mount(mount) => {
                if let What::Bind { source, .. } = &mount.what {
                    let target = shell::inside(&mount.target);
                    lines.insert(0, format!("mount_point {} {target}", shell::path(source)));
                }
            }
            Step::CheckRootfs => {
                let words = "die \"$each is a symbolic link\"";
                lines.iter_mut().for_each(|line| *line = line.replace("exit 1", words));
            }
            Step::Mask(path) => lines = vec![format!("mask {}", argument(path))],
            Step::ReadonlyPath(path) => lines = vec![format!("read_only {}", argument(path))],
            _ => {}
        }
        // Below the new root nothing is made without a look at what is there.
        for line in &mut lines {
            if let Some(path) = line.strip_prefix("mkdir -p ") {
                *line = format!("directory {path}");
            }
        }
        let function = function(story, step);
        match runs.last_mut().filter(|last| (last.step, last.function) == (step.name(), function)) {
            Some(last) => last.lines.extend(lines),
            None => runs.push(Told { step: step.name(), lines, function }),
        }
        if matches!(step, Step::ResetProcess) && story.host.v2 {
            let enter = format!("enter pod/{}.0", instance.container.name);
            runs.push(Told { step: "join-cgroup", lines: vec![enter], function: None });
            runs.push(Told { step: "unshare-cgroup", lines: unshare_cgroup(instance), function: None });
        }
    }
    runs
}

/// What many containers do alike has a name.
fn function(story: &Story, step: &Step) -> Option<&'static str> {
    match step {
        Step::Mount(mount) => match &mount.what {
            What::Bind { source, .. } => {
                let of_pod = ["etc", "shm"].iter().any(|name| source.starts_with(story.scratch.join(name)));
                of_pod.then_some("files_of_the_pod")
            }
            _ => Some("filesystems"),
        },
        Step::Device(_) => Some("devices"),
        Step::Link { .. } => Some("links"),
        Step::Mask(_) => Some("masks"),
        Step::ReadonlyPath(_) => Some("read_only_paths"),
        _ => None,
    }
}

fn argument(path: &Path) -> String {
    shell::path(path.strip_prefix("/").unwrap_or(path))
}

fn unshare_cgroup(instance: &Instance) -> Vec<String> {
    vec![format!("exec unshare --cgroup bash \"$SELF\" run root {}", instance.container.name)]
}

/// The process of the container itself: two functions, since the cgroup namespace is made by executing the script anew.
fn own(out: &mut Writer, instance: &Instance, told: &[Told], common: &[Told]) -> Result<()> {
    let name = &instance.container.name;
    out.title(&format!("container {name}: its own process"));
    let split = told.iter().position(|one| one.step == "unshare-cgroup").map_or(0, |at| at + 1);
    let write = |out: &mut Writer, runs: &[Told]| {
        for one in runs {
            match common.contains(one) {
                true => out.line(one.function.unwrap_or_default()),
                false => one.write(out),
            }
        }
    };
    let function = name.replace('-', "_");
    out.function(&format!("container_{function}"), |out| {
        out.line(&format!("note_pid {name}"));
        write(out, &told[..split]);
        Ok(())
    })?;
    out.raw("");
    out.function(&format!("root_{function}"), |out| {
        write(out, &told[split..]);
        out.reason("pivot-root", reason::of_container("pivot-root"));
        out.line("cd \"$ROOT/tools\"");
        out.line("pivot_root \"$NEW\" \"$NEW\"");
        out.note("The old root lies over the new one now, at the same place.");
        out.line("\"${TOOL[@]}\" ./umount -l /");
        let rest =
            instance.plan.steps.iter().skip_while(|step| !matches!(step, Step::PivotRoot { .. })).skip(1);
        become_program(out, &rest.cloned().collect::<Vec<_>>(), "exec");
        Ok(())
    })?;
    let hooks = [&instance.container.post_start, &instance.container.pre_stop];
    if hooks.iter().any(|hook| matches!(hook, Some(Handler::Exec(_)))) {
        out.raw("");
        out.comment(&format!(
            "A further command in {name}: with its namespaces, in its cgroup, with its rights. From the working directory \
             the tools are found there too."
        ));
        let steps = exec_steps(&instance.process, None, &["\"$@\"".to_owned()])?;
        let steps: Vec<Step> =
            steps.into_iter().filter(|step| !matches!(step, Step::OomScoreAdj(_))).collect();
        out.function(&format!("inside_{}", name.replace('-', "_")), |out| {
            out.line(&format!("enter pod/{name}.0"));
            out.line("# Not --all, which looks for this process in a /proc of its own PID namespace.");
            let join = "exec nsenter --mount --pid --net --ipc --uts --cgroup";
            become_program(out, &steps, &format!("{join} --target \"$(pid_of {name})\" --wd=\"$(tools)\""));
            Ok(())
        })?;
    }
    Ok(())
}

const ONE_AFTER_THE_OTHER: reason::Reason = (
    "these steps are one chain of programs, each of which executes the next: setpriv, env, the container's own",
    &["setpriv(1)", "env(1)", "execve(2)"],
);

/// The last steps are one chain of programs, each of which executes the next: setpriv(1), env(1), the container's own.
fn become_program(out: &mut Writer, steps: &[Step], first: &str) {
    let none = Place { cgroups: &[], names: &[] };
    let (mut limits, mut rights, mut directory) = (Vec::new(), Vec::new(), String::new());
    let mut state = State::default();
    for step in steps {
        let lines = commands(step, &none, &mut state);
        match step {
            Step::Cwd(_) => directory = lines[0].trim_start_matches("cd ").to_owned(),
            Step::Exec { args, env } => {
                out.line(&format!("{first} \\"));
                if !limits.is_empty() {
                    out.line(&format!("    \"${{TOOL[@]}}\" ./prlimit {} \\", limits.join(" ")));
                }
                out.line("    \"${TOOL[@]}\" ./setpriv \\");
                rights.iter().for_each(|right| out.line(&format!("        {right} \\")));
                out.line(&format!("    \"${{TOOL[@]}}\" ./env -i --default-signal --chdir={directory} \\"));
                env.iter().for_each(|variable| out.line(&format!("        {} \\", shell::word(variable))));
                let hook = args == &["\"$@\""];
                let words = args.iter().map(|word| if hook { word.clone() } else { shell::word(word) });
                out.line(&format!("    {}", words.collect::<Vec<_>>().join(" ")));
            }
            Step::Rlimit { .. } => {
                out.reason_once(step.name(), reason::of_container(step.name()));
                limits.extend(lines.iter().map(|line| line.replace("prlimit --pid $$ ", "")));
            }
            _ => {
                out.reason_once(step.name(), reason::of_container(step.name()));
                for line in lines {
                    match line.strip_prefix("setpriv ") {
                        Some(right) => rights.push(right.trim_end_matches(" …").to_owned()),
                        None => out.line(&line),
                    }
                }
            }
        }
        if matches!(step, Step::Cwd(_)) {
            out.reason_once("cwd", reason::of_container("cwd"));
            out.reason_once("exec", ONE_AFTER_THE_OTHER);
        }
    }
}
