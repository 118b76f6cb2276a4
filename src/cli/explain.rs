//! `barepod explain`

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use oci_spec::runtime::LinuxDeviceCgroup;

use super::load;
use super::paint::Paint;
use crate::bundle::accounts::Accounts;
use crate::explain::text::{Part, render};
use crate::explain::{Assumptions, explain, script};
use crate::kernel::cgroup::devices::Policy;
use crate::kernel::cgroup::{Hierarchy, Version, default_device_rules};
use crate::kernel::machine::{self, Machine};
use crate::kernel::root::Root;
use crate::pod::profile::local_filter;
use crate::pod::start::{Bundle, new_uid};
use crate::pod::store::Store;

/// Print every kernel step that a pod takes, with its system calls, why, manual page and shell line. Needs no root.
#[derive(Debug, Args)]
pub struct Options {
    /// Where to look for bundles
    #[arg(long, value_name = "DIR")]
    bundles: Vec<PathBuf>,
    /// How
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Print a bash script that does it by hand instead; it has to be run as root, `up` and `down`
    #[arg(long, conflicts_with = "output")]
    script: bool,
    /// Manifest; - is standard input
    file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One object with all steps
    Json,
}

/// Runs the verb; a manifest with errors is refused as `check` does it.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    let Some(loaded) = load::load(&options.file, &options.bundles)? else { return Ok(super::USAGE) };
    let bundles: Vec<_> = loaded.bundles.iter().map(|bundle| (bundle.path.as_path(), &bundle.spec)).collect();
    let mut host = assumptions(store, &loaded)?;
    if options.script {
        host = of_this_machine(host)?;
        super::print(&script(&loaded.manifest, &bundles, &host).context("write the script")?)?;
        return Ok(0);
    }
    let explained = explain(&loaded.manifest, &bundles, &host).context("explain")?;
    let paint = Paint::for_stdout();
    match options.output {
        Output::Json => super::print(&serde_json::to_string_pretty(&explained)?)?,
        Output::Text => super::print(&render(&explained, |part, line| match part {
            Part::Who => paint.container(0, line),
            Part::Call => line.to_owned(),
            Part::Step => paint.container(2, line),
            Part::Note => paint.dim(line),
        }))?,
    }
    Ok(0)
}

/// What this machine has; where it has no cgroups at all, a machine with v2 is assumed.
fn assumptions(store: &Store, loaded: &load::Loaded) -> Result<Assumptions> {
    let (v2, hierarchies) = match Hierarchy::detect() {
        Ok(hierarchy) => {
            let mounts = hierarchy.mounts().map(|(point, controllers)| {
                (point.to_owned(), controllers.iter().map(|name| (*name).to_owned()).collect())
            });
            (hierarchy.version() == Version::V2, mounts.collect())
        }
        Err(_) => {
            let all = ["cpu", "memory", "pids"].map(str::to_owned).to_vec();
            (true, vec![(PathBuf::from("/sys/fs/cgroup"), all)])
        }
    };
    let pod = &loaded.manifest.pod;
    Ok(Assumptions {
        root: store.root.clone(),
        logs: store.logs.clone(),
        cgroup_parent: store.cgroup_parent.clone(),
        v2,
        hierarchies,
        accounts: loaded.bundles.iter().map(accounts).collect(),
        local_filters: pod.containers.iter().map(|one| local_filter(pod, one)).collect::<Result<_>>()?,
        host_devices: match pod.containers.iter().any(|one| one.security.privileged) {
            true => machine::devices()?,
            false => Vec::new(),
        },
        device_writes,
        uid: "UID".to_owned(),
        node: "NODE".to_owned(),
        cpu: 1000,
        memory: 1 << 30,
        // A host without it has pods without.
        resolv_conf: std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
    })
}

/// A script is run, so nothing of it may be a mere word for what will be known later.
fn of_this_machine(host: Assumptions) -> Result<Assumptions> {
    let Machine { name: node, cpu, memory } = Machine::read()?;
    Ok(Assumptions { uid: new_uid()?, node, cpu, memory, ..host })
}

/// The image's own accounts; what cannot be read has none.
fn accounts(bundle: &Bundle) -> Accounts {
    let rootfs =
        bundle.path.join(bundle.spec.root().as_ref().map_or(Path::new("rootfs"), |root| root.path()));
    let read = |path: &str| {
        let mut text = String::new();
        if let Ok(Some(file)) = Root::open(&rootfs).and_then(|root| root.read(Path::new(path))) {
            file.take(1 << 20).read_to_string(&mut text).ok(); // not UTF-8: nobody is found in it
        }
        text
    };
    Accounts { passwd: read("/etc/passwd"), group: read("/etc/group") }
}

fn device_writes(rules: &[LinuxDeviceCgroup]) -> Result<Vec<(&'static str, String)>> {
    Ok(Policy::of(rules.iter().chain(&default_device_rules()))?.v1_writes())
}
