//! Mount options of the OCI runtime-spec's table ("Linux mount options"), read into the calls of the new mount API.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::Mount;
use serde::Serialize;

use super::container::{self, DeviceNode, IdMaps};

/// `MOUNT_ATTR_*` of mount_setattr(2).
pub mod attr {
    /// Read-only.
    pub const RDONLY: u64 = 0x1;
    /// Set-user-ID bits have no effect.
    pub const NOSUID: u64 = 0x2;
    /// Device nodes cannot be opened.
    pub const NODEV: u64 = 0x4;
    /// Nothing can be executed.
    pub const NOEXEC: u64 = 0x8;
    /// The three bits that choose how access times are kept.
    pub const ATIME: u64 = 0x70;
    /// Access times are not kept.
    pub const NOATIME: u64 = 0x10;
    /// Access times are always kept.
    pub const STRICTATIME: u64 = 0x20;
    /// Access times of directories are not kept.
    pub const NODIRATIME: u64 = 0x80;
    /// Symbolic links are not followed.
    pub const NOSYMFOLLOW: u64 = 0x200000;
}

/// Attributes of a mount to set and to clear ([`attr`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MountAttr {
    /// Bits to set.
    pub set: u64,
    /// Bits to clear.
    pub clear: u64,
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MountStep {
    /// Absolute path inside the rootfs.
    pub target: PathBuf,
    /// What is mounted.
    pub what: What,
    /// mount_setattr(2), on the mount alone.
    #[serde(skip)]
    pub attr: MountAttr,
    /// mount_setattr(2) with AT_RECURSIVE.
    #[serde(skip)]
    pub recursive_attr: MountAttr,
    /// `shared`, `rslave` … ; the default is that of the mount namespace.
    pub propagation: Option<String>,
    /// Before that, all become slaves: what `propagation` says may be for the mount alone.
    #[serde(skip)]
    pub slaves_first: bool,
    /// tmpfs only: start with a copy of what the rootfs has at the target.
    pub copy_up: bool,
    /// Owners are shown as others, mount_setattr(2) MOUNT_ATTR_IDMAP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_map: Option<IdMap>,
}

/// How the owners of a mount are mapped: by maps, or as in a user namespace that exists.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdMap {
    /// Maps of their own.
    pub maps: Option<IdMaps>,
    /// Without: those of the user namespace at this path.
    pub namespace: Option<PathBuf>,
    /// Submounts too.
    pub recursive: bool,
}

/// What a [`MountStep`] mounts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// A new instance of a filesystem.
    Filesystem {
        /// `tmpfs`, `proc` …
        kind: String,
        /// Options of the filesystem itself, in order; those without value are flags.
        options: Vec<(String, Option<String>)>,
    },
    /// A bind of a path of the host.
    Bind {
        /// Absolute path.
        source: PathBuf,
        /// With its submounts.
        recursive: bool,
    },
    /// The container's own view of the cgroup filesystem, whichever version the host has.
    Cgroup,
    /// Change what is mounted there already.
    Remount,
}

impl MountStep {
    /// A tmpfs that is given no mode takes that of the directory which it covers, as runc has it.
    pub fn takes_mode(&self) -> bool {
        match &self.what {
            What::Filesystem { kind, options } => {
                kind == "tmpfs" && !options.iter().any(|(key, _)| key == "mode")
            }
            _ => false,
        }
    }

    /// Its changes of propagation, one after the other. A new filesystem is private as it is.
    pub fn propagations(&self) -> Vec<&str> {
        let first = self.slaves_first.then_some("rslave");
        let private = if matches!(self.what, What::Filesystem { .. }) { None } else { Some("rprivate") };
        first.into_iter().chain(self.propagation.as_deref().or(private)).collect()
    }
}

impl fmt::Display for MountStep {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let what = match &self.what {
            What::Filesystem { kind, .. } => kind.clone(),
            What::Bind { source, .. } => source.display().to_string(),
            What::Cgroup => "cgroup".to_owned(),
            What::Remount => "changes".to_owned(),
        };
        write!(f, "{what} on {}", self.target.display())
    }
}

/// The options of [`attribute`]; with an `r` before them they act recursively.
const ATTRIBUTES: [&str; 18] = [
    "ro",
    "rw",
    "nosuid",
    "suid",
    "nodev",
    "dev",
    "noexec",
    "exec",
    "nodiratime",
    "diratime",
    "nosymfollow",
    "symfollow",
    "noatime",
    "strictatime",
    "relatime",
    "atime",
    "norelatime",
    "nostrictatime",
];

/// What else [`read`] knows.
const OTHERS: [&str; 15] = [
    "defaults",
    "bind",
    "rbind",
    "remount",
    "tmpcopyup",
    "idmap",
    "ridmap",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "unbindable",
    "runbindable",
];

/// The options that [`read`] knows, sorted; others are the filesystem's.
pub fn options() -> Vec<String> {
    let recursive = ATTRIBUTES.iter().map(|name| format!("r{name}"));
    let plain = ATTRIBUTES.iter().chain(&OTHERS).chain(&SUPERBLOCK_FLAGS);
    let mut all: Vec<String> = plain.map(|name| (*name).to_owned()).chain(recursive).collect();
    all.sort();
    all
}

/// Options that belong to the superblock: they go to fsconfig(2) and mean nothing for a bind.
const SUPERBLOCK_FLAGS: [&str; 11] = [
    "sync",
    "async",
    "dirsync",
    "lazytime",
    "nolazytime",
    "mand",
    "nomand",
    "iversion",
    "noiversion",
    "silent",
    "loud",
];

/// Reads one entry of `mounts`; a relative bind source is taken from the bundle.
pub fn read(mount: &Mount, bundle: &Path) -> Result<MountStep> {
    // Old configurations have relative ones, which start at the root.
    let target = Path::new("/").join(mount.destination());
    let at = || format!("mount on {}", target.display());
    let none = Vec::new();
    let mut step = MountStep {
        target: target.clone(),
        what: What::Remount,
        attr: MountAttr::default(),
        recursive_attr: MountAttr::default(),
        propagation: None,
        slaves_first: false,
        copy_up: false,
        id_map: None,
    };
    let maps = mount.uid_mappings().is_some() || mount.gid_mappings().is_some();
    let mut id_map = maps.then_some(false);
    let (mut bind, mut remount) = (None, false);
    let mut filesystem_options = Vec::new();
    for option in mount.options().as_ref().unwrap_or(&none) {
        match option.as_str() {
            "defaults" => {}
            "bind" => bind = bind.or(Some(false)),
            "rbind" => bind = Some(true),
            "remount" => remount = true,
            "shared" | "rshared" | "slave" | "rslave" | "private" | "rprivate" | "unbindable"
            | "runbindable" => {
                step.propagation = Some(option.clone());
            }
            "tmpcopyup" => step.copy_up = true,
            "idmap" => id_map = Some(false),
            "ridmap" => id_map = Some(true),
            _ if attribute(option, &mut step.attr) => {}
            _ if option.strip_prefix('r').is_some_and(|plain| attribute(plain, &mut step.recursive_attr)) => {
            }
            _ => filesystem_options.push(option.clone()),
        }
    }
    let kind = mount.typ().as_deref().unwrap_or("none");
    let is_bind = bind.is_some() || kind == "bind";
    step.what = if is_bind {
        let source = mount.source().as_ref().with_context(|| format!("{}: bind without a source", at()))?;
        // mount(8) takes options of the superblock on a bind and drops them, data too; anything else is a typo.
        let is_dropped = |option: &str| option.contains('=') || SUPERBLOCK_FLAGS.contains(&option);
        if let Some(option) = filesystem_options.iter().find(|option| !is_dropped(option)) {
            bail!("{}: unknown option {option} on a bind", at());
        }
        if remount {
            What::Remount
        } else {
            What::Bind { source: bundle.join(source), recursive: bind.unwrap_or(false) }
        }
    } else if remount {
        What::Remount
    } else if kind == "cgroup" || kind == "cgroup2" {
        What::Cgroup
    } else {
        ensure!(kind != "none", "{}: type is missing", at());
        What::Filesystem { kind: kind.to_owned(), options: split_options(mount, &filesystem_options) }
    };
    if let Some(recursive) = id_map {
        ensure!(matches!(step.what, What::Bind { .. }), "{}: id mappings are for binds", at());
        let maps = maps.then(|| container::id_maps("mounts", mount.uid_mappings(), mount.gid_mappings()));
        step.id_map = Some(IdMap { maps: maps.transpose().with_context(at)?, namespace: None, recursive });
    }
    let is_tmpfs = matches!(&step.what, What::Filesystem { kind, .. } if kind == "tmpfs");
    ensure!(!step.copy_up || is_tmpfs, "{}: tmpcopyup is for tmpfs", at());
    Ok(step)
}

/// A device node of the host, bound to the same path.
pub fn device(node: &DeviceNode) -> MountStep {
    let path = PathBuf::from(&node.path);
    MountStep {
        target: path.clone(),
        what: What::Bind { source: path, recursive: false },
        attr: MountAttr::default(),
        recursive_attr: MountAttr::default(),
        propagation: None,
        slaves_first: false,
        copy_up: false,
        id_map: None,
    }
}

/// `size=64k` is a value, `newinstance` a flag; the source, where a filesystem has one, is an option like the others.
fn split_options(mount: &Mount, options: &[String]) -> Vec<(String, Option<String>)> {
    let source = mount.source().as_ref().and_then(|s| s.to_str()).filter(|s| *s != "none");
    let source = source.map(|source| ("source".to_owned(), Some(source.to_owned())));
    let split = options.iter().map(|option| match option.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (option.clone(), None),
    });
    source.into_iter().chain(split).collect()
}

/// Applies a mount attribute option; false when it is none. With an `r` before it the same names act recursively.
fn attribute(option: &str, to: &mut MountAttr) -> bool {
    let (bit, on) = match option {
        "ro" => (attr::RDONLY, true),
        "rw" => (attr::RDONLY, false),
        "nosuid" => (attr::NOSUID, true),
        "suid" => (attr::NOSUID, false),
        "nodev" => (attr::NODEV, true),
        "dev" => (attr::NODEV, false),
        "noexec" => (attr::NOEXEC, true),
        "exec" => (attr::NOEXEC, false),
        "nodiratime" => (attr::NODIRATIME, true),
        "diratime" => (attr::NODIRATIME, false),
        "nosymfollow" => (attr::NOSYMFOLLOW, true),
        "symfollow" => (attr::NOSYMFOLLOW, false),
        // The access time is one of three values, not a bit: all of them are cleared, then one is set.
        "noatime" => return access_time(to, attr::NOATIME),
        "strictatime" => return access_time(to, attr::STRICTATIME),
        "relatime" | "atime" | "norelatime" | "nostrictatime" => return access_time(to, 0),
        _ => return false,
    };
    // A later option overrides an earlier one.
    let (to_set, to_clear) = if on { (bit, 0) } else { (0, bit) };
    to.set = to.set & !bit | to_set;
    to.clear = to.clear & !bit | to_clear;
    true
}

fn access_time(to: &mut MountAttr, value: u64) -> bool {
    to.clear |= attr::ATIME;
    to.set = to.set & !attr::ATIME | value;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(json: &str) -> Result<MountStep> {
        read(&serde_json::from_str(json).unwrap(), Path::new("/bundle"))
    }

    fn with(options: &[&str]) -> MountStep {
        let options = serde_json::to_string(options).unwrap();
        mount(&format!(r#"{{"destination":"/x","type":"tmpfs","source":"tmpfs","options":{options}}}"#))
            .unwrap()
    }

    #[test]
    fn every_attribute_option_of_the_specification_is_known() {
        for option in [
            "ro",
            "rw",
            "nosuid",
            "suid",
            "nodev",
            "dev",
            "noexec",
            "exec",
            "noatime",
            "strictatime",
            "relatime",
            "norelatime",
            "atime",
            "nodiratime",
            "diratime",
            "nosymfollow",
            "rro",
            "rrw",
            "rnosuid",
            "rsuid",
            "rnodev",
            "rdev",
            "rnoexec",
            "rexec",
            "rnoatime",
            "rstrictatime",
            "rrelatime",
            "rnodiratime",
            "rdiratime",
            "rnosymfollow",
        ] {
            let step = with(&[option]);
            assert_eq!(
                step.what,
                What::Filesystem {
                    kind: "tmpfs".into(),
                    options: vec![("source".into(), Some("tmpfs".into()))]
                },
                "{option}"
            );
            assert!(
                step.attr != MountAttr::default() || step.recursive_attr != MountAttr::default(),
                "{option}"
            );
        }
    }

    #[test]
    fn every_option_that_is_said_to_be_known_is() {
        for name in ATTRIBUTES {
            assert!(attribute(name, &mut MountAttr::default()), "{name}");
        }
        for name in options() {
            let text =
                format!(r#"{{"destination":"/x","type":"bind","source":"/y","options":["bind","{name}"]}}"#);
            // On a bind what is not known is refused, and this one is for something else.
            let error = mount(&text).err().map(|error| error.to_string()).filter(|_| name != "tmpcopyup");
            assert_eq!(error, None, "{name}");
        }
        assert!(mount(r#"{"destination":"/x","source":"/y","options":["bind","noatimes"]}"#).is_err());
    }

    #[test]
    fn a_later_option_overrides_an_earlier_one() {
        assert_eq!(with(&["ro", "rw"]).attr, MountAttr { set: 0, clear: attr::RDONLY });
        assert_eq!(with(&["noatime", "strictatime"]).attr.set, attr::STRICTATIME);
    }

    #[test]
    fn options_of_the_filesystem_are_passed_on_in_order() {
        let What::Filesystem { options, .. } = with(&["nosuid", "size=64k", "mode=755", "sync"]).what else {
            panic!()
        };
        let names: Vec<_> = options.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(names, ["source", "size", "mode", "sync"]);
    }

    #[test]
    fn a_relative_bind_source_is_taken_from_the_bundle() {
        let step = mount(r#"{"destination":"/x","source":"data","options":["rbind","ro"]}"#).unwrap();
        assert_eq!(step.what, What::Bind { source: "/bundle/data".into(), recursive: true });
    }

    #[test]
    fn a_misspelt_bind_option_is_refused() {
        let error = mount(r#"{"destination":"/x","source":"/y","options":["bind","readonly"]}"#).unwrap_err();
        assert_eq!(error.to_string(), "mount on /x: unknown option readonly on a bind");
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        for (json, word) in [
            (r#"{"destination":"/x","type":"tmpfs","options":["idmap"]}"#, "id mappings are for binds"),
            (r#"{"destination":"/x","type":"proc","options":["tmpcopyup"]}"#, "tmpcopyup"),
            (r#"{"destination":"/x","options":[]}"#, "type is missing"),
        ] {
            let error = mount(json).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
