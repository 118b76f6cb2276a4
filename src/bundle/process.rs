//! The process of a container: arguments, variables, user, capabilities.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, Process, Spec, User};

use super::MergeContext;
use crate::manifest::env;
use crate::manifest::expand::{Variables, expand_all};
use crate::manifest::read::TRACERS;
use crate::manifest::{Container, PodSecurity};

/// What a bundle without PATH gets; the same as with containerd.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Lays the manifest over the bundle's process.
pub fn merge(base: &Process, container: &Container, context: &MergeContext) -> Result<Process> {
    let own = env::variables(container, &context.downward);
    let mut process = base.clone();
    process.set_args(Some(args(base, container, &own)?));
    if let Some(directory) = &container.working_dir {
        process.set_cwd(directory.into());
    }
    ensure!(process.cwd().is_absolute(), "process.cwd {}: not absolute", process.cwd().display());
    let user = user(base, container, context)?;
    let home = context.accounts.home(user.uid()).unwrap_or("/");
    process.set_env(Some(all_variables(base, &context.hostname, &own, home)));
    process.set_user(user);
    process.set_capabilities(Some(capabilities(base, container, context)?));
    // Without a word in the manifest the bundle's own choice stays.
    if let Some(allowed) = container.security.allow_privilege_escalation {
        process.set_no_new_privileges(Some(!allowed));
    }
    if container.security.privileged {
        process.set_no_new_privileges(Some(false));
    }
    // Set in any case, because the pod init's, which is lowered, would be inherited.
    process.set_oom_score_adj(Some(base.oom_score_adj().unwrap_or(0)));
    // A terminal is the manifest's to ask for.
    process.set_terminal(Some(container.tty)).set_console_size(None);
    Ok(process)
}

/// `command` replaces the bundle's arguments wholly. `args` alone come after the bundle's first argument: `config.json`
/// keeps ENTRYPOINT and CMD of an image in one list, of which the first word is the program.
fn args(base: &Process, container: &Container, env: &Variables) -> Result<Vec<String>> {
    let given = base.args().clone().unwrap_or_default();
    let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
        expand_all(words.as_deref().unwrap_or_default(), |name| env.get(name))
    };
    let args = match (&container.command, &container.args) {
        (Some(_), _) => [expanded(&container.command), expanded(&container.args)].concat(),
        (None, Some(_)) => given.into_iter().take(1).chain(expanded(&container.args)).collect(),
        (None, None) => given,
    };
    if args.is_empty() {
        bail!("no command: neither the manifest nor the bundle says what to run");
    }
    Ok(args)
}

/// Whether a container can only be made with the accounts of its image: for the groups of a user that the manifest chooses, or
/// for a home directory that the bundle does not name.
pub fn needs_accounts(bundle: &Spec, container: &Container, pod: &PodSecurity) -> bool {
    let env = bundle.process().as_ref().and_then(|process| process.env().as_ref());
    let has_home = env.is_some_and(|env| env.iter().any(|variable| variable.starts_with("HOME=/")));
    container.security.run_as_user.or(pod.run_as_user).is_some() || !has_home
}

/// The bundle's variables, `HOSTNAME`, the manifest's; each name once, a later one wins in the place of the first. Without a
/// `HOME` among them it is the user's, as with runc and crun.
fn all_variables(base: &Process, hostname: &str, own: &Variables, home: &str) -> Vec<String> {
    let mut env = Variables::default();
    env.set("PATH", PATH);
    for variable in base.env().iter().flatten() {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        env.set(name, value);
    }
    env.set("HOSTNAME", hostname);
    own.iter().for_each(|(name, value)| env.set(name, value));
    if env.get("HOME").is_none_or(str::is_empty) {
        env.set("HOME", home);
    }
    env.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// The container's user and group win over the pod's, these over the bundle's. Another user than the bundle's has the groups
/// that the image's accounts give it, else group 0 and none besides; a group that the manifest names wins.
fn user(base: &Process, container: &Container, context: &MergeContext) -> Result<User> {
    let (own, pod) = (&container.security, &context.pod_security);
    let mut user = base.user().clone();
    let uid = own.run_as_user.or(pod.run_as_user).unwrap_or(user.uid());
    let (of_image, of_members) = match (uid == user.uid(), context.accounts.user(uid)) {
        (true, _) => (user.gid(), user.additional_gids().clone().unwrap_or_default()),
        (false, Some((name, gid))) => (gid, context.accounts.groups(name)),
        (false, None) => (0, Vec::new()),
    };
    let gid = own.run_as_group.or(pod.run_as_group).unwrap_or(of_image);
    if own.run_as_non_root.or(pod.run_as_non_root) == Some(true) {
        ensure!(uid != 0, "container has runAsNonRoot and the bundle's user is root (uid 0): set runAsUser");
    }
    let mut groups = if pod.strict_groups { Vec::new() } else { of_members };
    // Every process of the pod is in the group that owns its volumes.
    let mut known: BTreeSet<u32> = groups.iter().copied().collect();
    groups.extend(pod.supplemental_groups.iter().chain(&pod.fs_group).filter(|group| known.insert(**group)));
    user.set_uid(uid).set_gid(gid).set_additional_gids(Some(groups).filter(|groups| !groups.is_empty()));
    Ok(user)
}

/// A privileged container has all of them. Else `ALL` first, so that single names can still be taken from or added to it; then `add`, then `drop`.
fn capabilities(base: &Process, container: &Container, context: &MergeContext) -> Result<LinuxCapabilities> {
    let shared = context.pid_namespace.is_some();
    let privileged = ["ALL".to_owned()];
    let (add, drop): (&[String], &[String]) = match container.security.privileged {
        true => (&privileged, &[]),
        false => (&container.security.cap_add, &container.security.cap_drop),
    };
    let held = |name: &&str| context.held.as_ref().is_none_or(|held| held.iter().any(|one| one == name));
    let single = |names: &[String]| -> Result<Capabilities> {
        names.iter().filter(|name| *name != "ALL").map(|name| capability(name)).collect()
    };
    let (added, dropped) = (single(add)?, single(drop)?);
    let has_all = |names: &[String]| names.iter().any(|name| name == "ALL");
    let change = |set: Option<&Capabilities>| -> Result<Capabilities> {
        let mut set = set.cloned().unwrap_or_default();
        if has_all(add) {
            let all = crate::manifest::names::CAPABILITIES.into_iter().filter(held);
            set = all.map(capability).collect::<Result<_>>()?;
        }
        if has_all(drop) {
            set.clear();
        }
        set.extend(added.iter().copied());
        set.retain(|one| !dropped.contains(one));
        Ok(set)
    };
    let given = |pick: fn(&LinuxCapabilities) -> &Option<Capabilities>| {
        base.capabilities().as_ref().and_then(|sets| pick(sets).as_ref())
    };
    let bounding = change(given(LinuxCapabilities::bounding))?;
    let tracers = TRACERS.iter().map(|name| capability(name)).collect::<Result<Vec<_>>>()?;
    ensure!(
        !shared || !tracers.iter().any(|tracer| bounding.contains(tracer)),
        "the bundle's capability SYS_PTRACE or SYS_ADMIN together with shareProcessNamespace, or with debug --target, is not \
         supported yet"
    );
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(bounding));
    sets.set_effective(Some(change(given(LinuxCapabilities::effective))?));
    sets.set_permitted(Some(change(given(LinuxCapabilities::permitted))?));
    // Inheritable and ambient ones would pass to every program that is executed (CVE-2022-24769).
    sets.set_inheritable(Some(Capabilities::new())).set_ambient(Some(Capabilities::new()));
    Ok(sets)
}

/// The names of the bounding set, without `CAP_`.
pub fn bounding(process: &Process) -> BTreeSet<String> {
    let set = process.capabilities().as_ref().and_then(|sets| sets.bounding().clone()).unwrap_or_default();
    set.iter().map(|one| one.to_string().trim_start_matches("CAP_").to_owned()).collect()
}

fn capability(name: &str) -> Result<Capability> {
    name.parse().with_context(|| format!("capability {name} is not known"))
}
