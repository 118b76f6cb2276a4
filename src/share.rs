//! What the containers of a pod share and what each has for itself, as a table: the same letter in a line is the same thing.

use std::collections::BTreeMap;

use serde::Serialize;

/// The kinds of namespace, as `/proc/PID/ns` names them. See namespaces(7).
pub const NAMESPACES: [&str; 8] = ["pid", "mnt", "net", "ipc", "uts", "cgroup", "user", "time"];
/// The table turns round when it would be wider than this.
const WIDTH: usize = 80;

/// Everything that is compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shares {
    /// Pod name.
    pub pod: String,
    /// The host, the pod init, then the containers in the order of the manifest.
    pub members: Vec<Member>,
    /// The pod's volumes, in the order of the manifest.
    pub volumes: Vec<Volume>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// `host` (where barepod itself runs), `pod init`, or the name of a container.
    pub name: String,
    /// It is a container.
    pub container: bool,
    /// Its first process; `None` when it does not run.
    pub process: Option<Process>,
}

/// What the kernel says of a process.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Process id on the host.
    pub pid: i32,
    /// Inode numbers by kind of namespace; a kind that the kernel does not have is absent.
    pub namespaces: BTreeMap<String, u64>,
    /// Path of its cgroup.
    pub cgroup: String,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Its root directory.
    pub root: Root,
}

/// The root filesystem of a process.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Root {
    /// `MAJOR:MINOR` of the filesystem that it lies on.
    pub device: String,
    /// What it is.
    pub what: String,
}

/// A volume and where it is mounted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// `emptyDir`, `hostPath` …
    pub kind: String,
    /// Where.
    pub mounts: Vec<Mount>,
}

/// A mount of a volume.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Container name.
    pub container: String,
    /// `mountPath`
    pub path: String,
    /// `subPath`, if there is one.
    pub sub_path: Option<String>,
    /// It cannot be written to through this mount.
    pub read_only: bool,
}

/// One line of the table: what is compared, and each member's value.
struct Line {
    what: &'static str,
    values: Vec<Option<String>>,
}

/// The table, the values behind its letters, and the volumes.
pub fn render(shares: &Shares) -> String {
    let mut lines: Vec<Line> = NAMESPACES
        .iter()
        .map(|kind| line(shares, kind, |process| process.namespaces.get(*kind).map(u64::to_string)))
        .collect();
    lines.retain(|line| line.values.iter().any(Option::is_some)); // a kernel without time namespaces
    let namespaces = lines.len();
    lines.push(line(shares, "cgroup path", |process| Some(process.cgroup.clone())));
    lines.push(line(shares, "rootfs", |process| Some(process.root.device.clone())));

    let process = |member: &Member| {
        member.process.as_ref().map_or("not running".to_owned(), |process| process.pid.to_string())
    };
    let mut table = vec![row("", shares.members.iter().map(|member| member.name.clone()))];
    table.push(row("process", shares.members.iter().map(process)));
    for (number, line) in lines.iter().enumerate() {
        let name = if number < namespaces { format!("{} ns", line.what) } else { line.what.to_owned() };
        table.push(row(&name, letters(line)));
    }
    let user = |member: &Member| {
        member.process.as_ref().map_or("-".to_owned(), |process| format!("{}:{}", process.uid, process.gid))
    };
    table.push(row("user:group", shares.members.iter().map(user)));

    let mut text = columns(&table);
    if text.lines().any(|line| line.chars().count() > WIDTH) {
        text = columns(&turned(&table));
    }
    text += "\nThe same letter is the same namespace, cgroup or filesystem:\n\n";
    let mut key = Vec::new();
    for line in &lines[..namespaces] {
        key.push(vec![format!("{} ns", line.what), values(line).join("  ")]);
    }
    for (letter, value) in letters_and_values(&lines[namespaces]) {
        key.push(vec!["cgroup path".to_owned(), format!("{letter} {value}")]);
    }
    let roots = |device: &str| {
        let mut processes = shares.members.iter().filter_map(|member| member.process.as_ref());
        processes.find(|process| process.root.device == device).map(|process| process.root.what.clone())
    };
    for (letter, device) in letters_and_values(&lines[namespaces + 1]) {
        let what = roots(&device).unwrap_or_default();
        key.push(vec!["rootfs".to_owned(), format!("{letter} device {device}: {what}")]);
    }
    text += &columns(&key);
    if !shares.volumes.is_empty() {
        text += "\n";
        text += &columns(&volumes(shares));
    }
    text
}

fn line(shares: &Shares, what: &'static str, of: impl Fn(&Process) -> Option<String>) -> Line {
    Line { what, values: shares.members.iter().map(|member| member.process.as_ref().and_then(&of)).collect() }
}

fn row(what: &str, cells: impl IntoIterator<Item = String>) -> Vec<String> {
    [what.to_owned()].into_iter().chain(cells).collect()
}

/// Each value with its letter, in the order in which they occur.
fn letters_and_values(line: &Line) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for value in line.values.iter().flatten() {
        if !found.iter().any(|(_, known)| known == value) {
            found.push((letter(found.len()), value.clone()));
        }
    }
    found
}

/// A to Z, then A1 to Z1 and so on.
fn letter(number: usize) -> String {
    let letter = char::from(b'A' + (number % 26) as u8);
    if number < 26 { letter.to_string() } else { format!("{letter}{}", number / 26) }
}

fn letters(line: &Line) -> Vec<String> {
    let known = letters_and_values(line);
    let of = |value: &Option<String>| {
        let value = value.as_ref()?;
        known.iter().find(|(_, known)| known == value).map(|(letter, _)| letter.clone())
    };
    line.values.iter().map(|value| of(value).unwrap_or_else(|| "-".to_owned())).collect()
}

fn values(line: &Line) -> Vec<String> {
    letters_and_values(line).into_iter().map(|(letter, value)| format!("{letter} {value}")).collect()
}

fn volumes(shares: &Shares) -> Vec<Vec<String>> {
    let mut table = vec![["VOLUME", "KIND", "CONTAINER", "MOUNTED AT", ""].map(str::to_owned).to_vec()];
    for volume in &shares.volumes {
        let mut name = (volume.name.clone(), volume.kind.clone());
        if volume.mounts.is_empty() {
            table.push(vec![name.0.clone(), name.1.clone(), "-".to_owned()]);
        }
        for mount in &volume.mounts {
            let at = match &mount.sub_path {
                Some(sub_path) => format!("{} (its {sub_path})", mount.path),
                None => mount.path.clone(),
            };
            let how = if mount.read_only { "read-only" } else { "read-write" };
            let (volume, kind) = std::mem::take(&mut name); // named once
            table.push(vec![volume, kind, mount.container.clone(), at, how.to_owned()]);
        }
    }
    table
}

fn turned(table: &[Vec<String>]) -> Vec<Vec<String>> {
    let width = table.iter().map(Vec::len).max().unwrap_or(0);
    (0..width).map(|column| table.iter().filter_map(|row| row.get(column).cloned()).collect()).collect()
}

/// Cells below each other, each column as wide as it must be.
fn columns(table: &[Vec<String>]) -> String {
    let count = table.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        table.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    table.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, first: u64, own: &[&str]) -> Process {
        let inode = |kind: &&str| {
            let own = own.contains(kind);
            ((*kind).to_owned(), if own { first } else { 4_026_531_835 })
        };
        Process {
            pid,
            namespaces: NAMESPACES.iter().map(inode).collect(),
            cgroup: format!("/barepod/u/{pid}"),
            uid: 0,
            gid: 0,
            root: Root { device: format!("0:{pid}"), what: "overlay of /bundles/box/rootfs".to_owned() },
        }
    }

    fn shares(containers: &[&str]) -> Shares {
        let member = |name: &str, container, process| Member { name: name.to_owned(), container, process };
        let mut members = vec![
            member("host", false, Some(process(1, 0, &[]))),
            member("pod init", false, Some(process(40, 4_026_532_000, &["pid", "mnt", "net", "ipc", "uts"]))),
        ];
        for (number, name) in containers.iter().enumerate() {
            let mut own = process(50 + number as i32, 4_026_532_100 + number as u64, &["pid", "mnt"]);
            own.namespaces.insert("net".to_owned(), 4_026_532_000);
            members.push(member(name, true, Some(own).filter(|_| number > 0)));
        }
        let mount = |container: &str, read_only| Mount {
            container: container.to_owned(),
            path: "/data".to_owned(),
            sub_path: None,
            read_only,
        };
        let mounts = vec![mount(containers[0], false), mount(containers[1], true)];
        let volume = Volume { name: "data".to_owned(), kind: "emptyDir".to_owned(), mounts };
        Shares { pod: "shop".to_owned(), members, volumes: vec![volume] }
    }

    #[test]
    fn the_same_letter_is_the_same_inode() {
        let text = render(&shares(&["migrate", "proxy", "web"]));
        let cells = |what: &str| -> Vec<String> {
            let line = text.lines().find(|line| line.starts_with(what)).unwrap();
            line[what.len()..].split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(cells("net ns"), ["A", "B", "-", "B", "B"], "{text}");
        assert_eq!(cells("pid ns"), ["A", "B", "-", "C", "D"], "{text}");
        assert_eq!(cells("user ns"), ["A", "A", "-", "A", "A"], "{text}");
        assert_eq!(cells("process"), ["1", "40", "not", "running", "51", "52"], "{text}");
        assert!(text.contains("net ns       A 4026531835  B 4026532000\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("data    emptyDir  migrate    /data       read-write\n"), "{text}");
        assert!(text.contains("                  proxy      /data       read-only\n"), "{text}");
    }

    #[test]
    fn with_many_containers_the_table_is_turned() {
        let names: Vec<String> = (0..30).map(|number| format!("container-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = render(&shares(&names));
        let line = text.lines().find(|line| line.starts_with("container-7 ")).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some("57"), "{text}");
        assert!(text.lines().next().unwrap().contains("pid ns"), "{text}");
        assert!(text.contains("A1"), "more than 26 PID namespaces\n{text}");
    }
}
