//! Where the cgroup filesystems are: cgroups(7), proc_pid_mountinfo(5).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The two interfaces that the kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy per controller, or per group of controllers; also when an empty cgroup2 is mounted beside ("hybrid").
    V1,
    /// One hierarchy for all.
    V2,
}

/// One mounted cgroup filesystem that is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) point: PathBuf,
    pub(super) controllers: Vec<&'static str>,
}

/// The host's cgroup filesystems, detected once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    version: Version,
    mounts: Vec<Mount>,
}

/// What v2 must offer; its devices and freezer are part of the core, and accounting of cpu time needs no controller.
pub(super) const V2_CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// What v1 must offer: cpuacct for the statistics, freezer for pausing and killing.
const V1_CONTROLLERS: [&str; 6] = ["cpu", "cpuacct", "memory", "pids", "devices", "freezer"];

impl Hierarchy {
    /// Reads `/proc/self/mountinfo`. An error names the controllers that no mount has.
    pub fn detect() -> Result<Hierarchy> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
        // A mount that cannot be read is covered by another one and no candidate.
        choose(&mountinfo, |mount| fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default())
    }

    /// The v2 hierarchy whose root is mounted at `root`.
    pub fn v2_at(root: &Path) -> Hierarchy {
        let mount = Mount { point: root.to_owned(), controllers: V2_CONTROLLERS.to_vec() };
        Hierarchy { version: Version::V2, mounts: vec![mount] }
    }

    /// Which interface limits are set through.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The mount points in use, each with its controllers.
    pub fn mounts(&self) -> impl Iterator<Item = (&Path, &[&'static str])> {
        self.mounts.iter().map(|mount| (mount.point.as_path(), mount.controllers.as_slice()))
    }

    /// The mount point that has the controller; on v2 there is but one.
    pub(super) fn root_of(&self, controller: &str) -> &Path {
        let found = self.mounts.iter().find(|mount| mount.controllers.contains(&controller));
        &found.unwrap_or(&self.mounts[0]).point
    }
}

/// v2 if a cgroup2 mount has all we need, else v1. The first mount of a controller is taken: the host's own come before
/// copies that were bound into somebody's rootfs.
fn choose(mountinfo: &str, controllers_of: impl Fn(&Path) -> String) -> Result<Hierarchy> {
    let cgroups: Vec<(PathBuf, &str, &str)> = mountinfo.lines().filter_map(parse).collect();
    for (point, kind, _) in &cgroups {
        let offered = controllers_of(point);
        if *kind == "cgroup2"
            && V2_CONTROLLERS.iter().all(|one| offered.split_whitespace().any(|it| it == *one))
        {
            return Ok(Hierarchy::v2_at(point));
        }
    }
    let mut mounts: Vec<Mount> = Vec::new();
    let mut missing = Vec::new();
    for controller in V1_CONTROLLERS {
        let has = |options: &str| options.split(',').any(|option| option == controller);
        let Some((point, ..)) = cgroups.iter().find(|(_, kind, options)| *kind == "cgroup" && has(options))
        else {
            missing.push(controller);
            continue;
        };
        match mounts.iter_mut().find(|mount| mount.point == *point) {
            Some(mount) => mount.controllers.push(controller),
            None => mounts.push(Mount { point: point.clone(), controllers: vec![controller] }),
        }
    }
    match missing.as_slice() {
        [] => Ok(Hierarchy { version: Version::V1, mounts }),
        _ if mounts.is_empty() => {
            bail!(
                "find cgroups: no cgroup2 mount has {} and there are no v1 mounts",
                V2_CONTROLLERS.join(", ")
            )
        }
        _ => bail!("find cgroups: no v1 mount has {}", missing.join(", ")),
    }
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
