//! The steps of the pod init as system calls, and as shell lines.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::call::{
    Call, call, close_others, mkdir, open, open_proc, path, quoted, tmpfs, tmpfs_commands, when, write_file,
    write_proc,
};
use super::container::{enter_by_hand, enter_tasks, open_tasks};
use super::shell;
use crate::manifest::{Pod, Volume, VolumeSource};
use crate::plan::sandbox::{SandboxStep, mount_points};

/// Where the sandbox is made.
pub struct Place<'a> {
    /// The pod's directory.
    pub directory: &'a Path,
    /// The scratch tmpfs.
    pub scratch: &'a Path,
    /// The cgroup directories of the pod init.
    pub cgroups: &'a [PathBuf],
    /// The pod.
    pub pod: &'a Pod,
    /// The host's `/etc/resolv.conf`.
    pub resolv_conf: &'a str,
}

impl Place<'_> {
    /// What a fresh tmpfs volume gets: its group, and files, laid out behind links as a kubelet does it.
    fn fill(&self, name: &str, place: &Path) -> Vec<Call> {
        let group = self.pod.security.fs_group.map(|group| group.to_string());
        let own =
            |name: &'static str, what: &str| group.as_ref().map(|group| call(name, [what, "-1", group]));
        let mut calls = Vec::from_iter(own("lchown", &path(place)));
        calls.extend(group.iter().map(|_| call("chmod", [path(place), "02777".to_owned()])));
        let volume = self.pod.volumes.iter().find(|volume| volume.name == name);
        let Some(volume @ Volume { source: VolumeSource::Files(files), .. }) = volume else { return calls };
        let directory = |calls: &mut Vec<Call>| {
            calls.push(call("mkdir", ["…", "0777"]));
            calls.extend(own("lchown", "…"));
            calls.push(call("chmod", ["…", "…"]));
        };
        directory(&mut calls);
        let mut parents = BTreeSet::new();
        for file in files {
            for (at, _) in file.path.match_indices('/') {
                if parents.insert(&file.path[..at]) {
                    directory(&mut calls);
                }
            }
            calls.push(
                call("openat", ["AT_FDCWD", "…", "O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC", "0600"]).gives("file"),
            );
            calls.push(call("write", ["file", "…", "…"]).when("it has something in it"));
            calls.extend(own("fchown", "file"));
            calls.push(call("fchmod", ["file", "…"]));
        }
        let mut links = BTreeSet::from(["..data"]);
        links.extend(files.iter().map(|file| file.path.split('/').next().unwrap_or_default()));
        for _ in links {
            calls.push(call("symlink", ["…", "…"]));
            calls.extend(own("lchown", "…"));
        }
        mount_points(self.pod, volume).iter().for_each(|_| directory(&mut calls));
        calls
    }
}

/// Size of the tmpfs behind `/dev/shm`, in bytes.
const SHARED_MEMORY: u64 = 64 << 20;

/// The calls of a step, in order.
pub fn calls(step: &SandboxStep, place: &Place) -> Vec<Call> {
    let missing = "it is not there yet";
    match step {
        SandboxStep::Detach => vec![
            call("setsid", [""; 0]),
            call("chdir", ["\"/\""]),
            call("umask", ["022"]),
            call("prctl", ["PR_SET_NAME", "\"barepod-init\""]),
            open(Path::new("/dev/null"), "O_RDWR|O_CLOEXEC", None).gives("null"),
            call("dup2", ["null", "0"]),
            call("dup2", ["null", "1"]),
            call("dup2", ["null", "2"]),
            close_others(),
        ],
        SandboxStep::JoinCgroup => [open_tasks(place.cgroups), enter_tasks(place.cgroups)].concat(),
        SandboxStep::Propagation => vec![call("mount", ["NULL", "\"/\"", "NULL", "MS_REC|MS_SLAVE", "NULL"])],
        SandboxStep::OomScoreAdj(value) => {
            [vec![open_proc()], write_proc("self/oom_score_adj", &value.to_string())].concat()
        }
        SandboxStep::Hostname(name) => vec![call("sethostname", [quoted(name), name.len().to_string()])],
        SandboxStep::Loopback => vec![
            call("socket", ["AF_INET", "SOCK_DGRAM|SOCK_CLOEXEC", "IPPROTO_IP"]).gives("socket"),
            call("ioctl", ["socket", "SIOCGIFFLAGS", "{ifr_name=\"lo\", …}"]),
            call("ioctl", ["socket", "SIOCSIFFLAGS", "{ifr_name=\"lo\", ifr_flags=IFF_UP|IFF_LOOPBACK}"]),
            call("socket", ["AF_INET", "SOCK_DGRAM|SOCK_CLOEXEC", "IPPROTO_IP"]).gives("probe"),
            call(
                "bind",
                ["probe", "{sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr(\"127.0.0.1\")}", "16"],
            ),
        ],
        SandboxStep::Sysctl { name, value } => {
            [vec![open_proc()], write_proc(&format!("sys/{}", name.replace('.', "/")), value)].concat()
        }
        SandboxStep::Scratch { size } => tmpfs(place.scratch, 0o700, *size, "755", "private"),
        SandboxStep::Volume { name, size } => {
            let volumes = place.scratch.join("volumes");
            let mount = tmpfs(&volumes.join(name), 0o755, *size, "777", "shared");
            let made = std::iter::once(mkdir(&volumes, 0o755).when(missing)).chain(mount);
            made.chain(place.fill(name, &volumes.join(name))).collect()
        }
        SandboxStep::SharedMemory => {
            tmpfs(&place.scratch.join("shm"), 0o755, Some(SHARED_MEMORY), "1777", "private")
        }
        SandboxStep::EtcFiles => {
            let etc = place.scratch.join("etc");
            let mut calls = vec![mkdir(&etc, 0o755)];
            calls.extend(["hosts", "hostname"].iter().flat_map(|name| write_file(&etc.join(name))));
            let mut resolv = write_file(&etc.join("resolv.conf"));
            let write = resolv.split_off(1);
            calls.extend(resolv);
            calls.extend(when("the host has a resolver configuration", write));
            calls
        }
        SandboxStep::Reaper => vec![
            call("pipe2", ["[answer, ready]", "O_CLOEXEC"]),
            super::call::clone3(libc::CLONE_NEWPID as u64, false, None, "reaper"),
        ],
        SandboxStep::Control => vec![
            open(place.directory, "O_RDONLY|O_CLOEXEC", None).gives("directory"),
            call("socket", ["AF_UNIX", "SOCK_STREAM|SOCK_CLOEXEC", "0"]).gives("control"),
            call(
                "bind",
                ["control", "{sa_family=AF_UNIX, sun_path=\"/proc/self/fd/directory/control\"}", "…"],
            ),
            call("listen", ["control", "…"]),
            call("ioctl", ["control", "FIONBIO", "[1]"]),
        ],
    }
}

/// The same by hand, in one line; `None` where no shell can.
pub fn by_hand(step: &SandboxStep, place: &Place) -> Option<String> {
    let lines = commands(step, place);
    (!lines.is_empty()).then(|| lines.join(" && "))
}

/// The same by hand; `…` stands for what is executed behind a command.
pub fn commands(step: &SandboxStep, place: &Place) -> Vec<String> {
    vec![match step {
        SandboxStep::Detach => "exec setsid … </dev/null >/dev/null 2>&1".to_owned(),
        SandboxStep::JoinCgroup => enter_by_hand(place.cgroups),
        SandboxStep::Propagation => "mount --make-rslave /".to_owned(),
        SandboxStep::OomScoreAdj(value) => format!("echo {value} >/proc/self/oom_score_adj"),
        SandboxStep::Hostname(name) => format!("hostname {}", shell::word(name)),
        SandboxStep::Loopback => "ip link set lo up".to_owned(),
        SandboxStep::Sysctl { name, value } => {
            format!("sysctl -qw {}", shell::word(&format!("{name}={value}")))
        }
        SandboxStep::Scratch { size } => return tmpfs_commands(place.scratch, *size, "755", "private"),
        SandboxStep::Volume { name, size } => {
            return tmpfs_commands(&place.scratch.join("volumes").join(name), *size, "777", "shared");
        }
        SandboxStep::SharedMemory => {
            return tmpfs_commands(&place.scratch.join("shm"), Some(SHARED_MEMORY), "1777", "private");
        }
        SandboxStep::EtcFiles => return etc_files_by_hand(place),
        SandboxStep::Reaper => "unshare --pid --fork …".to_owned(),
        SandboxStep::Control => return Vec::new(),
    }]
}

/// With `hostNetwork` the host's own lines stand in the middle of `hosts`.
fn etc_files_by_hand(place: &Place) -> Vec<String> {
    const OF_HOST: &str = "<of the host>";
    let etc = place.scratch.join("etc");
    let file = |name: &str| shell::path(&etc.join(name));
    let print = |text: &str| format!("printf '%s\\n' {}", shell::word(text));
    let hosts = place.pod.etc_hosts(OF_HOST);
    let hosts = hosts.trim_end_matches('\n');
    let hosts = match hosts.split_once(OF_HOST) {
        Some((before, after)) => {
            let after = Some(after.trim_start_matches('\n')).filter(|after| !after.is_empty());
            let after = after.map_or(String::new(), |after| format!("; {}", print(&format!("\n{after}"))));
            format!("{{ {}; cat /etc/hosts{after}; }}", print(before.trim_end_matches('\n')))
        }
        None => print(hosts),
    };
    let resolv = place.pod.resolv_conf(place.resolv_conf);
    let resolv = match resolv == place.resolv_conf {
        true if resolv.is_empty() => ":".to_owned(),
        true => "cat /etc/resolv.conf".to_owned(),
        false => print(resolv.trim_end_matches('\n')),
    };
    vec![
        format!("mkdir -p {}", shell::path(&etc)),
        format!("{hosts} >{}", file("hosts")),
        format!("hostname >{}", file("hostname")),
        format!("{resolv} >{}", file("resolv.conf")),
    ]
}
