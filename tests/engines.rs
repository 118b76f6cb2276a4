//! Engines that drive `barepod-oci`, from Debian's packages and configured as docs/oci.md has it: what they ask of a runtime is
//! theirs, not ours.
//!
//! Each test is on a host of its own, as far as PID and mount namespaces make one: /run and /dev/shm are empty there, so that
//! engines keep their usual places and do not meet. At the end what containers leave on such a host is looked for.

mod support;

#[path = "engines/containerd.rs"]
mod containerd;
#[path = "engines/cri.rs"]
mod cri;
#[path = "engines/podman.rs"]
mod podman;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use support::*;

/// Runs the test on a host of its own, and looks what is left after it.
fn alone<F: FnOnce(&Lab)>(body: F) {
    support::alone::<F>(|| {
        const NOTHING: Option<&str> = None;
        // As systemd makes them, and as engines know them.
        mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_SHARED, NOTHING).unwrap();
        for place in ["/run", "/dev/shm"] {
            mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), NOTHING).unwrap();
        }
        let lab = Lab::new();
        let before = traces(&lab);
        body(&lab);
        // Those who look after containers may still be at it.
        let left = || traces(&lab).difference(&before).cloned().collect::<Vec<_>>();
        let start = Instant::now();
        while !left().is_empty() {
            assert!(start.elapsed() < seconds(10), "left: {:#?}", left());
            std::thread::sleep(Duration::from_millis(20));
        }
        // The engine's own, where its monitors were.
        for directory in cgroup_directories(&format!("{}/conmon", lab.cgroup_parent())) {
            fs::remove_dir(directory).unwrap();
        }
    });
}

/// What containers and those who look after them leave, if they leave something: processes, mounts, cgroups, state. What an
/// engine keeps for itself below /run is gone with this host.
fn traces(lab: &Lab) -> BTreeSet<String> {
    let own = std::process::id() as i32;
    let processes = all_processes().into_iter().filter(|pid| *pid != own);
    let processes = processes.map(|pid| format!("process {pid}: {}", command_line(pid)));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts = mounts.lines().map(|line| format!("mount {}", line.split(' ').nth(4).unwrap()));
    let cgroups = cgroup_directories(lab.cgroup_parent()).into_iter().flat_map(|top| entries(&top));
    let cgroups = cgroups.filter(|path| !path.ends_with("/conmon"));
    // Where engines let barepod-oci keep its state: one of them has a root for each namespace, which stays.
    let roots = entries(Path::new("/run/containerd/runc"));
    let containers = roots.iter().flat_map(|root| entries(Path::new(root)));
    // The first is our own, the others belong to engines that are installed.
    let places = ["/run/barepod-oci", "/run/containerd/s", "/var/lib/containers"];
    let more = ["/var/lib/containerd", "/var/lib/cni", "/run/netns", "/etc/cni"];
    let files = places.iter().chain(&more).flat_map(|place| entries(Path::new(place)));
    // What podman knows of images; it makes that when it first runs on a machine.
    let files = files.filter(|path| path != "/var/lib/containers/cache");
    processes.chain(mounts.collect::<Vec<_>>()).chain(cgroups).chain(containers).chain(files).collect()
}

/// The paths in a directory, if there is one; of cgroups the directories alone.
fn entries(directory: &Path) -> Vec<String> {
    let is_cgroup = directory.starts_with("/sys");
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| !is_cgroup || entry.path().is_dir());
    entries.map(|entry| entry.path().display().to_string()).collect()
}

/// The snippet of docs/oci.md that has these words, with the binary under test: so the page is true.
fn snippet(words: &str) -> String {
    const INSTALLED: &str = "/usr/local/bin/barepod-oci";
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/oci.md")).unwrap();
    let snippets = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let found = snippets.into_iter().find(|snippet| snippet.contains(words));
    let found = found.unwrap_or_else(|| panic!("docs/oci.md has no snippet with {words}"));
    assert!(found.contains(INSTALLED), "{found}");
    found.replace(INSTALLED, BAREPOD_OCI)
}

/// The ids of the containers that barepod-oci has in a state directory: the witness that it was not another runtime.
fn listed(root: &str) -> Vec<String> {
    let output = Command::new(BAREPOD_OCI).args(["--root", root, "list", "--quiet"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Runs a command with its output in files: what it leaves running would keep a pipe open.
fn output_of(lab: &Lab, command: &mut Command) -> Output {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let count = CALLS.fetch_add(1, Ordering::Relaxed);
    let [out, err] = ["out", "err"].map(|name| lab.dir.join(format!("{name}.{count}")));
    let [stdout, stderr] = [&out, &err].map(|path| fs::File::create(path).unwrap());
    let status = command.stdout(stdout).stderr(stderr).status();
    let status = status.unwrap_or_else(|error| panic!("{command:?}: {error}: run scripts/setup"));
    Output { status, stdout: fs::read(out).unwrap(), stderr: fs::read(err).unwrap() }
}

/// Its standard output, without the last newline; it must have succeeded.
fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
