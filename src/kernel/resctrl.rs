//! Resource groups: the resctrl filesystem ("User Interface for Resource Control feature" in the kernel's documentation).
//!
//! ```text
//!   /sys/fs/resctrl/            the group of everybody else
//!     tasks schemata            who is in it, what they get of caches and memory bandwidth
//!     CLOSID/                   a further group, with files of the same names
//!       mon_groups/ID/tasks     a group in it that only measures
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::LinuxIntelRdt;
use serde::{Deserialize, Serialize};

use super::process;

/// The groups that a container is in, and which of them are to go with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Where resctrl is mounted.
    mount: PathBuf,
    /// Its directory.
    directory: PathBuf,
    /// Whether it was made for the container.
    made: bool,
    /// A group in it that measures, made for the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monitor: Option<PathBuf>,
}

/// Where resctrl is mounted.
pub fn mount_point() -> Result<PathBuf> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
    find(&mountinfo).context("no resctrl is mounted")
}

fn find(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        (filesystem.split(' ').next() == Some("resctrl"))
            .then(|| mount.split(' ').nth(4).map(PathBuf::from))?
    })
}

impl Group {
    /// Takes or makes the groups of a container, below `mount`. What was made is gone again when this fails.
    ///
    /// OCI runtime-spec, "IntelRdt": without a class the container has a group of its own, named after it. A class that is
    /// there must have the schemata that are asked for; one that is not there is made of them.
    pub fn make(mount: &Path, wanted: &LinuxIntelRdt, container: &str) -> Result<Group> {
        can_measure(mount, wanted)?;
        let class = wanted.clos_id().as_deref().filter(|class| !class.is_empty());
        let directory = match class {
            Some("/") => mount.to_owned(), // the group of everybody else
            Some(class) => mount.join(file_name(class)?),
            None => mount.join(container),
        };
        let mut group = Group { mount: mount.to_owned(), directory, made: false, monitor: None };
        let made = group.fill(wanted, container, class);
        if made.is_err() {
            group.remove()?;
        }
        made.map(|()| group)
    }

    fn fill(&mut self, wanted: &LinuxIntelRdt, container: &str, class: Option<&str>) -> Result<()> {
        let schemata = schemata(wanted);
        match class {
            // Directories of other purposes have no tasks.
            Some(class) if self.directory.join("tasks").exists() => {
                let path = self.directory.join("schemata");
                let there = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
                for line in &schemata {
                    ensure!(agrees(&there, line), "closID {class}: its schemata are not {line}");
                }
            }
            Some(class) if schemata.is_empty() => {
                bail!("closID {class}: there is no such class, and no schemata to make it of")
            }
            _ => {
                make_directory(&self.directory)?;
                self.made = true;
                if !schemata.is_empty() {
                    let text = schemata.iter().map(|line| format!("{line}\n")).collect::<String>();
                    write(&self.mount, &self.directory.join("schemata"), &text)?;
                }
            }
        }
        if *wanted.enable_monitoring() == Some(true) {
            let place = self.directory.join("mon_groups").join(container);
            make_directory(&place)?;
            self.monitor = Some(place);
        }
        Ok(())
    }

    /// Puts a process into it, 0 for this one. The children that it has later are in it too.
    pub fn add(&self, pid: i32) -> Result<()> {
        // First the group: whoever comes into one leaves the group that measured him.
        for place in [Some(&self.directory), self.monitor.as_ref()].into_iter().flatten() {
            write(&self.mount, &place.join("tasks"), &format!("{pid}\n"))?;
        }
        Ok(())
    }

    /// Removes what was made. A class that others have joined meanwhile stays: its removal would take it from them.
    pub fn remove(&self) -> Result<()> {
        let made = self.made.then_some(&self.directory);
        for place in [self.monitor.as_ref(), made].into_iter().flatten().filter(|place| !is_in_use(place)) {
            match fs::remove_dir(place) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => other.with_context(|| format!("remove {}", place.display()))?,
            }
        }
        Ok(())
    }
}

/// `enableCMT` and `enableMBM`, which are from older specifications: every group measures, if the machine can.
fn can_measure(mount: &Path, wanted: &LinuxIntelRdt) -> Result<()> {
    #[allow(deprecated)]
    let asked =
        [("enableCMT", wanted.enable_cmt(), "llc_occupancy"), ("enableMBM", wanted.enable_mbm(), "mbm_")];
    // Not there when it measures nothing.
    let measured = fs::read_to_string(mount.join("info/L3_MON/mon_features")).unwrap_or_default();
    for (field, asked, feature) in asked {
        let has = measured.lines().any(|line| line.starts_with(feature));
        ensure!(*asked != Some(true) || has, "{field}: this machine does not measure that");
    }
    Ok(())
}

/// One name, that is no other place.
fn file_name(class: &str) -> Result<&str> {
    let good = !matches!(class, "." | "..") && !class.contains(['/', '\n', '\0']);
    ensure!(good, "closID {class:?} is no name of a class");
    Ok(class)
}

/// The lines for `schemata`; what comes later holds.
fn schemata(wanted: &LinuxIntelRdt) -> Vec<String> {
    let lines = |schema: &Option<String>| -> Vec<String> {
        schema.iter().flat_map(|schema| schema.lines()).map(str::to_owned).collect()
    };
    let mut cache = lines(wanted.l3_cache_schema());
    let bandwidth = lines(wanted.mem_bw_schema());
    if !bandwidth.is_empty() {
        cache.retain(|line| !line.starts_with("MB:"));
    }
    let all = cache.into_iter().chain(bandwidth).chain(wanted.schemata().iter().flatten().cloned());
    all.filter(|line| !line.trim().is_empty()).collect()
}

/// Whether schemata say the same as a line does about each domain that it names. They may be written in other ways.
fn agrees(there: &str, line: &str) -> bool {
    let Some((resource, wanted)) = values(line) else { return false };
    let there = there.lines().filter_map(values).find(|(other, _)| *other == resource);
    there.is_some_and(|(_, values)| wanted.iter().all(|one| values.contains(one)))
}

/// `L3:0=0ff;1=f` as its resource, and domains with values.
fn values(line: &str) -> Option<(&str, Vec<(&str, String)>)> {
    let (resource, domains) = line.split_once(':')?;
    let mut values = Vec::new();
    for domain in domains.split(';').filter(|domain| !domain.trim().is_empty()) {
        let (domain, value) = domain.split_once('=')?;
        values.push((domain.trim(), value.trim().trim_start_matches('0').to_ascii_lowercase()));
    }
    Some((resource.trim(), values))
}

/// A class that is gone has nobody; nor has one whose processes are all about to end.
fn is_in_use(group: &Path) -> bool {
    let tasks = fs::read_to_string(group.join("tasks")).unwrap_or_default();
    tasks.lines().filter_map(|line| line.parse().ok()).any(|pid| !process::is_dying(pid))
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir(path).with_context(|| format!("make {}", path.display()))
}

/// Writes a file of resctrl. Its errnos say little: the reason is in a file of its own.
fn write(mount: &Path, path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| {
        let reason = fs::read_to_string(mount.join("info/last_cmd_status")).unwrap_or_default();
        let reason = Some(reason.trim()).filter(|reason| !matches!(*reason, "" | "ok"));
        let reason = reason.map_or(String::new(), |reason| format!(": {}", reason.replace('\n', ", ")));
        format!("write {} to {}{reason}", text.trim_end().replace('\n', ", "), path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with the files that the kernel would make.
    struct Fake(PathBuf);

    impl Fake {
        fn new(name: &str) -> Fake {
            let directory =
                std::env::temp_dir().join(format!("barepod-resctrl-{}-{name}", std::process::id()));
            fs::create_dir_all(directory.join("mon_groups")).unwrap();
            fs::write(directory.join("tasks"), "").unwrap();
            fs::write(directory.join("schemata"), "    L3:0=fff;1=fff\n    MB:0=100;1= 70\n").unwrap();
            Fake(directory)
        }

        fn make(&self, wanted: &str) -> Result<Group> {
            Group::make(&self.0, &serde_json::from_str(wanted).unwrap(), "one")
        }

        fn read(&self, path: &str) -> String {
            fs::read_to_string(self.0.join(path)).unwrap()
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn resctrl_is_found_by_its_type() {
        let mountinfo = "24 22 0:23 / /proc rw - proc proc rw\n\
                         31 24 0:27 / /sys/fs/resctrl rw,relatime shared:9 - resctrl resctrl rw\n";
        assert_eq!(find(mountinfo), Some(PathBuf::from("/sys/fs/resctrl")));
        assert_eq!(find("31 24 0:27 / /resctrl rw - tmpfs resctrl rw"), None);
    }

    #[test]
    fn a_container_without_a_class_has_a_group_of_its_own_which_goes_with_it() {
        let fake = Fake::new("own");
        let group = fake
            .make(r#"{"l3CacheSchema":"L3:0=f0\nMB:0=1","memBwSchema":"MB:0=70","schemata":["L2:0=f"]}"#)
            .unwrap();
        assert_eq!(fake.read("one/schemata"), "L3:0=f0\nMB:0=70\nL2:0=f\n");
        // 0x7ffffff0 is no process: there are fewer.
        group.add(0x7fff_fff0).unwrap();
        assert_eq!(fake.read("one/tasks"), "2147483632\n");
        for file in ["schemata", "tasks"] {
            fs::remove_file(fake.0.join("one").join(file)).unwrap(); // the kernel needs no telling
        }
        group.remove().unwrap();
        assert!(!fake.0.join("one").exists());
        group.remove().unwrap();
    }

    #[test]
    fn a_class_that_is_there_must_be_as_it_is_asked_for_and_stays() {
        let fake = Fake::new("there");
        let class = fake.0.join("gold");
        fs::create_dir_all(class.join("mon_groups")).unwrap();
        fs::write(class.join("tasks"), "").unwrap();
        fs::write(class.join("schemata"), "    L3:0=fff;1=00f\n    MB:0=100;1= 70\n").unwrap();
        for good in [
            r#"{"closID":"gold"}"#,
            r#"{"closID":"gold","l3CacheSchema":"L3:1=f"}"#,
            r#"{"closID":"gold","memBwSchema":"MB:0=100;1=70"}"#,
            r#"{"closID":"gold","schemata":["L3:0=0FFF;1=f"]}"#,
        ] {
            fake.make(good).unwrap().remove().unwrap();
        }
        let error = fake.make(r#"{"closID":"gold","l3CacheSchema":"L3:0=f"}"#).unwrap_err().to_string();
        assert_eq!(error, "closID gold: its schemata are not L3:0=f");
        assert!(fake.make(r#"{"closID":"gold","schemata":["L2:0=f"]}"#).is_err());
        assert!(class.exists());

        let group = fake.make(r#"{"closID":"gold","enableMonitoring":true}"#).unwrap();
        group.add(0x7fff_fff0).unwrap();
        for place in ["gold", "gold/mon_groups/one"] {
            assert_eq!(fake.read(&format!("{place}/tasks")), "2147483632\n");
        }
        fs::remove_file(class.join("mon_groups/one/tasks")).unwrap();
        group.remove().unwrap();
        assert!(class.exists() && !class.join("mon_groups/one").exists());
    }

    #[test]
    fn a_class_that_is_not_there_is_made_of_its_schemata_and_stays_while_others_use_it() {
        let fake = Fake::new("made");
        let error = fake.make(r#"{"closID":"silver"}"#).unwrap_err().to_string();
        assert!(error.starts_with("closID silver: there is no such class"), "{error}");
        let group = fake.make(r#"{"closID":"silver","memBwSchema":"MB:0=70"}"#).unwrap();
        assert_eq!(fake.read("silver/schemata"), "MB:0=70\n");
        group.add(std::process::id() as i32).unwrap();
        group.remove().unwrap();
        assert!(fake.0.join("silver").exists());
    }

    #[test]
    fn the_class_of_everybody_else_is_the_root() {
        let fake = Fake::new("root");
        let group = fake.make(r#"{"closID":"/","enableMonitoring":true}"#).unwrap();
        assert!(fake.0.join("mon_groups/one").is_dir());
        group.remove().unwrap();
        assert!(!fake.0.join("mon_groups/one").exists() && fake.0.exists());
        for bad in [".", "..", "a/b", "/a", "a\\n"] {
            assert!(fake.make(&format!(r#"{{"closID":"{bad}","schemata":["L3:0=f"]}}"#)).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_made_is_gone_when_making_fails() {
        let fake = Fake::new("undone");
        // The fake kernel makes no mon_groups in it.
        assert!(fake.make(r#"{"enableMonitoring":true}"#).is_err());
        assert!(!fake.0.join("one").exists());
    }

    #[test]
    fn what_the_machine_does_not_measure_is_an_error() {
        let fake = Fake::new("measure");
        let error = fake.make(r#"{"enableCmt":true}"#).unwrap_err().to_string();
        assert!(error.starts_with("enableCMT: "), "{error}");
        fs::create_dir_all(fake.0.join("info/L3_MON")).unwrap();
        fs::write(fake.0.join("info/L3_MON/mon_features"), "llc_occupancy\nmbm_local_bytes\n").unwrap();
        fake.make(r#"{"enableCmt":true,"enableMbm":true}"#).unwrap();
    }
}
