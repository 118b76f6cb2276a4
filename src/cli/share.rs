//! `barepod share`

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use nix::sys::stat::{major, minor};
use oci_spec::runtime::Spec;
use serde_json::Value;

use crate::kernel::namespace;
use crate::kernel::process::{self, Identity};
use crate::pod::store::{Liveness, Record, Store};
use crate::share::{Member, Mount, NAMESPACES, Process, Root, Shares, Volume, render};

/// Show what the containers of a pod share: namespaces, cgroups, root filesystems, users, volumes.
#[derive(Debug, Args)]
pub struct Options {
    /// Pod name
    pod: String,
    /// Output format
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// All values as one object
    Json,
}

/// Runs the verb.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    super::need_root("share")?;
    let (record, liveness) = store.view(&options.pod)?;
    ensure!(liveness == Liveness::Running, "share {}: the pod has ended", options.pod);
    let shares = shares(store, &options.pod, &record).with_context(|| format!("share {}", options.pod))?;
    match options.output {
        Some(Format::Json) => super::print(&serde_json::to_string_pretty(&shares)?)?,
        None => super::print(render(&shares).trim_end())?,
    }
    Ok(0)
}

fn shares(store: &Store, pod: &str, record: &Record) -> Result<Shares> {
    // This process stands for the host: it has entered nothing.
    let host = look(process::own_host_pid()?, "the host's".to_owned())?;
    let init =
        record.init.as_ref().and_then(|init| alive(init, "the host's, seen from the pod's mount namespace"));
    let member = |name: &str, container, process| Member { name: name.to_owned(), container, process };
    let mut members = vec![member("host", false, Some(host)), member("pod init", false, init)];
    for container in &record.containers {
        let instance = record.instances.iter().find(|instance| instance.container == container.name);
        let running = match instance {
            Some(instance) => {
                let spec = store.spec(pod, instance);
                let spec = fs::read(&spec).context("read the container's spec")?;
                alive(&instance.process, &rootfs(&spec, &bundle(&record.object, &container.name))?)
            }
            None => None,
        };
        members.push(member(&container.name, true, running));
    }
    Ok(Shares { pod: pod.to_owned(), members, volumes: volumes(&record.object["spec"]) })
}

/// The bundle of a container, as its status has it.
fn bundle(object: &Value, container: &str) -> String {
    let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    let mut all = lists.iter().flat_map(|list| object["status"][*list].as_array().into_iter().flatten());
    let status = all.find(|status| status["name"] == container);
    status.and_then(|status| status["imageID"].as_str()).unwrap_or("its bundle").to_owned()
}

/// `that of /bundles/box, below a writable layer of its own`
fn rootfs(spec: &[u8], bundle: &str) -> Result<String> {
    let spec: Spec = serde_json::from_slice(spec).context("parse the container's spec")?;
    let root = spec.root().as_ref().context("the container's spec has no root")?;
    Ok(match root.readonly() {
        Some(true) => format!("that of {bundle}, read-only"),
        _ => format!("that of {bundle}, below a writable layer of its own"),
    })
}

/// What there is to know of a process, unless it has ended or ends meanwhile.
fn alive(identity: &Identity, root: &str) -> Option<Process> {
    identity.open().ok()?;
    let process = look(identity.pid, root.to_owned()).ok()?;
    identity.open().ok()?; // still the same, so all of it was about the same
    Some(process)
}

fn look(pid: i32, root: String) -> Result<Process> {
    let inode =
        |kind: &&str| Some(((*kind).to_owned(), namespace::inode(&format!("/proc/{pid}/ns/{kind}")).ok()?));
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read status of process")?;
    // The second number of each is the effective one.
    let id = |field: &str| -> Result<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context("parse status")?;
        Ok(line.split_whitespace().nth(1).context("parse status")?.parse()?)
    };
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).context("read cgroup of process")?;
    let device = fs::metadata(format!("/proc/{pid}/root/")).context("look at root of process")?.dev();
    Ok(Process {
        pid,
        namespaces: NAMESPACES.iter().filter_map(inode).collect(),
        cgroup: own_cgroup(&cgroup).context("parse cgroup of process")?.to_owned(),
        uid: id("Uid:")?,
        gid: id("Gid:")?,
        root: Root { device: format!("{}:{}", major(device), minor(device)), what: root },
    })
}

/// The path in the one hierarchy of v2, or in that of the memory controller.
fn own_cgroup(text: &str) -> Option<&str> {
    let lines: Vec<[&str; 3]> =
        text.lines().filter_map(|line| line.splitn(3, ':').collect::<Vec<_>>().try_into().ok()).collect();
    let memory = lines.iter().find(|[_, controllers, _]| controllers.split(',').any(|name| name == "memory"));
    memory.or_else(|| lines.iter().find(|[_, controllers, _]| controllers.is_empty())).map(|[.., path]| *path)
}

/// The volumes of a pod's `spec` and who mounts them.
fn volumes(spec: &Value) -> Vec<Volume> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let containers = [list(&spec["initContainers"]), list(&spec["containers"])].concat();
    let mounts = |volume: &str| {
        let of_container = |container: &Value| {
            let name = text(&container["name"]).unwrap_or_default();
            let its = list(&container["volumeMounts"]).into_iter().filter(|mount| mount["name"] == volume);
            its.map(move |mount| Mount {
                container: name.clone(),
                path: text(&mount["mountPath"]).unwrap_or_default(),
                sub_path: text(&mount["subPath"]).filter(|path| !path.is_empty()),
                read_only: mount["readOnly"] == true,
            })
            .collect::<Vec<_>>()
        };
        containers.iter().flat_map(of_container).collect()
    };
    let volume = |volume: &Value| {
        let name = text(&volume["name"])?;
        let kind = volume.as_object()?.keys().find(|key| *key != "name").cloned().unwrap_or_default();
        let mounts = mounts(&name);
        Some(Volume { name, kind, mounts })
    };
    list(&spec["volumes"]).iter().filter_map(volume).collect()
}
