//! Where the cgroup filesystems are: cgroups(7), proc_pid_mountinfo(5).

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// The two interfaces that the kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Version {
    /// One hierarchy per controller, or per group of controllers; also when an empty cgroup2 is mounted beside ("hybrid").
    V1,
    /// One hierarchy for all.
    V2,
}

/// One mounted cgroup filesystem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mount {
    pub(super) point: PathBuf,
    pub(super) controllers: Vec<String>,
}

impl Mount {
    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|one| one == controller)
    }
}

/// The host's cgroup filesystems, detected once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hierarchy {
    version: Version,
    mounts: Vec<Mount>,
    /// What the host has besides, taken in when a limit asks for it ([`Hierarchy::with`]): on v1 more mounts, on v2 more
    /// controllers of the same one.
    others: Vec<Mount>,
}

/// What v2 must offer; its devices and freezer are part of the core, and accounting of cpu time needs no controller.
pub(super) const V2_CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// What v1 must offer: cpuacct for the statistics, freezer for pausing and killing.
const V1_CONTROLLERS: [&str; 6] = ["cpu", "cpuacct", "memory", "pids", "devices", "freezer"];

/// What some limits need on v1 and most hosts have.
const V1_RARE: [&str; 6] = ["cpuset", "blkio", "hugetlb", "net_cls", "net_prio", "rdma"];

impl Hierarchy {
    /// Reads `/proc/self/mountinfo`. An error names the controllers that no mount has.
    pub fn detect() -> Result<Hierarchy> {
        // With room from the start: the kernel writes this anew for every piece that is asked for.
        let mut mountinfo = String::with_capacity(1 << 14);
        fs::File::open("/proc/self/mountinfo")
            .and_then(|mut file| file.read_to_string(&mut mountinfo))
            .context("read /proc/self/mountinfo")?;
        // A mount that cannot be read is covered by another one and no candidate.
        choose(&mountinfo, |mount| fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default())
    }

    /// What a record has kept, which saves reading all mounts there are; detected anew for a record that has nothing, and where
    /// this mount namespace has the cgroups elsewhere.
    pub fn kept_or_detected(kept: Option<&Hierarchy>) -> Result<Hierarchy> {
        match kept {
            Some(kept) if kept.mounts.iter().all(|mount| mount.point.is_dir()) => Ok(kept.clone()),
            _ => Hierarchy::detect(),
        }
    }

    /// The v2 hierarchy whose root is mounted at `root`.
    pub fn v2_at(root: &Path) -> Hierarchy {
        Hierarchy::v2(root, &fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default())
    }

    fn v2(root: &Path, offered: &str) -> Hierarchy {
        let rare = offered.split_whitespace().filter(|one| !V2_CONTROLLERS.contains(one));
        let others = Mount { point: root.to_owned(), controllers: rare.map(str::to_owned).collect() };
        let used = Mount { point: root.to_owned(), controllers: V2_CONTROLLERS.map(str::to_owned).to_vec() };
        Hierarchy { version: Version::V2, mounts: vec![used], others: vec![others] }
    }

    /// Which interface limits are set through.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The mount points in use, each with its controllers.
    pub fn mounts(&self) -> impl Iterator<Item = (&Path, &[String])> {
        self.mounts.iter().map(|mount| (mount.point.as_path(), mount.controllers.as_slice()))
    }

    /// Whether the controller is in use. The devices and the freezer of v2 are no controllers.
    pub(super) fn has(&self, controller: &str) -> bool {
        self.mounts.iter().any(|mount| mount.has(controller))
    }

    /// The same with one more controller in use; `None` when the host does not have it.
    pub(super) fn with(&self, controller: &str) -> Option<Hierarchy> {
        let mut wider = self.clone();
        if self.has(controller) {
            return Some(wider);
        }
        let at = self.others.iter().position(|mount| mount.has(controller))?;
        match self.version {
            Version::V1 => wider.mounts.push(wider.others.remove(at)),
            Version::V2 => wider.mounts[0].controllers.push(controller.to_owned()),
        }
        Some(wider)
    }

    /// The same with the v1 mounts in which the cgroup `path` exists in use too.
    pub(super) fn where_exists(&self, path: &str) -> Hierarchy {
        let mut wider = self.clone();
        if self.version == Version::V1 {
            let (there, not): (Vec<Mount>, Vec<Mount>) =
                wider.others.into_iter().partition(|mount| mount.point.join(path).is_dir());
            wider.mounts.extend(there);
            wider.others = not;
        }
        wider
    }

    /// The mount point that has the controller; on v2 there is but one.
    pub(super) fn root_of(&self, controller: &str) -> &Path {
        let found = self.mounts.iter().find(|mount| mount.has(controller));
        &found.unwrap_or(&self.mounts[0]).point
    }
}

/// v2 if a cgroup2 mount has all we need, else v1. The first mount of a controller is taken: the host's own come before
/// copies that were bound into somebody's rootfs.
fn choose(mountinfo: &str, controllers_of: impl Fn(&Path) -> String) -> Result<Hierarchy> {
    let cgroups: Vec<(PathBuf, &str, &str)> = mountinfo.lines().filter_map(parse).collect();
    for (point, _, _) in cgroups.iter().filter(|(_, kind, _)| *kind == "cgroup2") {
        let offered = controllers_of(point);
        if V2_CONTROLLERS.iter().all(|one| offered.split_whitespace().any(|it| it == *one)) {
            return Ok(Hierarchy::v2(point, &offered));
        }
    }
    let (mut mounts, mut others) = (Vec::new(), Vec::new());
    let missing = collect(&cgroups, &V1_CONTROLLERS, &mut mounts);
    // Those that are mounted together with a basic one are in use with it.
    let rare: Vec<&str> =
        V1_RARE.into_iter().filter(|one| !mounts.iter().any(|mount: &Mount| mount.has(one))).collect();
    collect(&cgroups, &rare, &mut others);
    match missing.as_slice() {
        [] => Ok(Hierarchy { version: Version::V1, mounts, others }),
        _ if mounts.is_empty() => {
            bail!(
                "find cgroups: no cgroup2 mount has {} and there are no v1 mounts",
                V2_CONTROLLERS.join(", ")
            )
        }
        _ => bail!("find cgroups: no v1 mount has {}", missing.join(", ")),
    }
}

/// Adds the mounts that have the controllers, each once and with all its controllers; returns those that no mount has.
fn collect<'a>(
    cgroups: &[(PathBuf, &str, &str)],
    controllers: &[&'a str],
    into: &mut Vec<Mount>,
) -> Vec<&'a str> {
    let has = |options: &str, controller: &str| options.split(',').any(|option| option == controller);
    let mut missing = Vec::new();
    for controller in controllers {
        let found = cgroups.iter().find(|(_, kind, options)| *kind == "cgroup" && has(options, controller));
        let Some((point, _, options)) = found else {
            missing.push(*controller);
            continue;
        };
        if !into.iter().any(|mount| mount.point == *point) {
            let known = V1_CONTROLLERS.iter().chain(&V1_RARE).filter(|one| has(options, one));
            into.push(Mount {
                point: point.clone(),
                controllers: known.map(|one| (*one).to_owned()).collect(),
            });
        }
    }
    missing
}

/// Mount point, filesystem type and superblock options of a cgroup line of mountinfo.
fn parse(line: &str) -> Option<(PathBuf, &str, &str)> {
    // The number of optional fields before the dash varies.
    let (mount, superblock) = line.split_once(" - ")?;
    let point = mount.split(' ').nth(4)?;
    let mut superblock = superblock.split(' ');
    let kind = superblock.next()?;
    let options = superblock.nth(1)?;
    kind.starts_with("cgroup").then(|| (unescape(point), kind, options))
}

/// mountinfo writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let replaced =
        text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    PathBuf::from(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEPARATE: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime shared:9 master:1 - cgroup cgroup rw,devices
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";

    fn points(mountinfo: &str, offered: &str) -> Result<Vec<String>> {
        let hierarchy = choose(mountinfo, |_| offered.to_owned())?;
        Ok(hierarchy.mounts().map(|(point, has)| format!("{} {}", point.display(), has.join("+"))).collect())
    }

    #[test]
    fn what_was_kept_holds_where_its_mount_points_are() {
        let here = Hierarchy::v2_at(Path::new("/"));
        assert_eq!(Hierarchy::kept_or_detected(Some(&here)).unwrap(), here);
        let elsewhere = Hierarchy::v2_at(Path::new("/nonexistent/cgroup"));
        assert!(Hierarchy::kept_or_detected(Some(&elsewhere)).ok() != Some(elsewhere));
    }

    #[test]
    fn a_hybrid_host_is_v1_because_its_cgroup2_lacks_the_controllers() {
        let hierarchy = choose(SEPARATE, |_| "hugetlb\n".into()).unwrap();
        assert_eq!(hierarchy.version(), Version::V1);
        assert_eq!(hierarchy.mounts().count(), 6);
        assert_eq!(hierarchy.root_of("memory"), Path::new("/sys/fs/cgroup/memory"));
    }

    #[test]
    fn co_mounted_controllers_are_one_mount() {
        let co_mounted = SEPARATE
            .replace("/sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n", "/x rw - tmpfs none rw\n")
            .replace(
                "/sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct",
                "/sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
            );
        let points = points(&co_mounted, "").unwrap();
        assert_eq!(points[0], "/sys/fs/cgroup/cpu,cpuacct cpu+cpuacct");
        assert_eq!(points.len(), 5);
    }

    #[test]
    fn a_cgroup2_mount_with_cpu_memory_and_pids_is_v2() {
        let pure = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot";
        let hierarchy = choose(pure, |_| "cpuset cpu io memory hugetlb pids rdma\n".into()).unwrap();
        assert_eq!(hierarchy.version(), Version::V2);
        assert_eq!(hierarchy.root_of("freezer"), Path::new("/sys/fs/cgroup"));
    }

    #[test]
    fn rare_controllers_are_taken_in_when_asked_for() {
        let v1 = choose(SEPARATE, |_| String::new()).unwrap();
        assert!(!v1.has("cpuset") && v1.with("hugetlb").is_none());
        let wider = v1.with("cpuset").unwrap();
        assert_eq!(wider.root_of("cpuset"), Path::new("/sys/fs/cgroup/cpuset"));
        assert_eq!((v1.mounts().count(), wider.mounts().count()), (6, 7));
        assert_eq!(wider.with("cpuset").unwrap(), wider, "once is enough");

        let pure = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        let v2 = choose(pure, |_| "cpuset cpu io memory pids misc\n".into()).unwrap();
        assert!(!v2.has("io") && v2.with("rdma").is_none());
        let wider = v2.with("io").unwrap().with("misc").unwrap();
        let (point, controllers) = wider.mounts().next().unwrap();
        assert_eq!(
            (point, controllers.join(" ").as_str()),
            (Path::new("/sys/fs/cgroup"), "cpu memory pids io misc")
        );
    }

    #[test]
    fn a_rare_controller_that_is_mounted_with_a_basic_one_is_in_use_with_it() {
        let together = SEPARATE
            .replace("34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n", "")
            .replace(
                "/sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory",
                "/m rw - cgroup cgroup rw,cpuset,memory",
            );
        let hierarchy = choose(&together, |_| String::new()).unwrap();
        assert!(
            hierarchy
                .mounts()
                .any(|(point, has)| point == Path::new("/m") && has.join(" ") == "memory cpuset")
        );
    }

    #[test]
    fn cpuset_does_not_count_as_cpu() {
        let pure = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        let error = points(pure, "cpuset memory pids").unwrap_err().to_string();
        assert!(error.contains("no cgroup2 mount has cpu, memory, pids"), "{error}");
    }

    #[test]
    fn missing_v1_controllers_are_named() {
        let without: String = SEPARATE
            .lines()
            .filter(|l| !l.contains("pids") && !l.contains("freezer"))
            .collect::<Vec<_>>()
            .join("\n");
        assert_eq!(
            points(&without, "").unwrap_err().to_string(),
            "find cgroups: no v1 mount has pids, freezer"
        );
    }

    #[test]
    fn the_first_of_two_mounts_of_a_controller_is_taken() {
        let twice = format!("{SEPARATE}\n99 1 0:32 / /srv/rootfs/memory rw - cgroup cgroup rw,memory");
        assert!(points(&twice, "").unwrap().contains(&"/sys/fs/cgroup/memory memory".to_owned()));
    }

    #[test]
    fn escaped_mount_points_are_decoded_and_garbage_is_skipped() {
        let odd = r"30 23 0:26 / /sys/fs/my\040groups\134x rw - cgroup2 cgroup2 rw";
        assert_eq!(parse(odd).unwrap().0, Path::new(r"/sys/fs/my groups\x"));
        for garbage in ["", "a b c", "1 2 3 4 5 - cgroup2", " - ", "1 2 3 - cgroup2 a b"] {
            assert!(parse(garbage).is_none(), "{garbage:?}");
        }
    }
}
