//! The stop-watch of scripts/bench: runs barepod and its peers in turn and prints Markdown tables of medians and ratios.
//! Without dependencies, compiled by the script with rustc.
//!
//! Usage: stopwatch BAREPOD_DIR TOOLS_DIR BUNDLE_DIR WORK_DIR ROUNDS PART PEER…
//! (PART: oci, pods or all; PEER: runc, crun, youki, podman; TOOLS_DIR has floor, peak and event-log)
//!
//! Peers take turns within a round, and the one that begins changes from round to round. A ratio is taken within each
//! round; the table has the median of these ratios.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

mod command;
mod growth;
mod oci;
mod pods;
mod table;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bin, tools, bundle, work, rounds, part, peers @ ..] = args.as_slice() else {
        panic!("usage: stopwatch BAREPOD_DIR TOOLS_DIR BUNDLE_DIR WORK_DIR ROUNDS PART PEER…");
    };
    let mut bench = Bench {
        bin: PathBuf::from(bin),
        tools: PathBuf::from(tools),
        rootfs: Path::new(bundle).join("rootfs"),
        config: fs::read_to_string(Path::new(bundle).join("config.json"))
            .expect("read the bundle's config.json"),
        bundles: Path::new(bundle).parent().expect("a bundle is in a folder").to_owned(),
        work: PathBuf::from(work),
        rounds: rounds.parse().expect("ROUNDS is a number"),
        peers: peers.to_vec(),
    };
    bench.leave_out_what_does_not_run();
    if part != "pods" {
        oci::measure(&bench);
    }
    if part != "oci" {
        pods::measure(&bench);
    }
    growth::measure(&bench, part);
}

/// What is measured, and where.
pub struct Bench {
    bin: PathBuf,
    tools: PathBuf,
    rootfs: PathBuf,
    config: String,
    bundles: PathBuf,
    work: PathBuf,
    rounds: usize,
    peers: Vec<String>,
}

impl Bench {
    /// The peers among `names` that are installed, as static strings.
    fn peers(&self, names: &[&'static str]) -> Vec<&'static str> {
        names.iter().copied().filter(|name| self.peers.iter().any(|peer| peer == name)).collect()
    }

    /// barepod's OCI runtime, and the peers that are one.
    fn runtimes(&self) -> Vec<&'static str> {
        [vec!["barepod-oci"], self.peers(&["runc", "crun", "youki"])].concat()
    }

    /// An OCI runtime, with state of its own on the tmpfs that the script has made, as /run is one.
    fn runtime(&self, name: &str) -> Command {
        let mut command = match name {
            "barepod-oci" => Command::new(self.bin.join(name)),
            peer => Command::new(peer),
        };
        command.arg("--root").arg(self.work.join("state").join(name));
        command
    }

    /// Peers that cannot run a container here are not measured, and the reader is told.
    fn leave_out_what_does_not_run(&mut self) {
        let bundle = self.bundle("true", "\"true\"");
        for name in self.runtimes() {
            let mut command = self.runtime(name);
            command.args(["run", "--bundle"]).arg(&bundle).arg("bench-first-of-all").stdin(Stdio::null());
            let output = command.output().expect("run a container");
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                println!("{name} is not measured: {}\n", said.lines().last().unwrap_or_default());
                assert!(name != "barepod-oci", "there is nothing to measure");
                self.peers.retain(|peer| peer != name);
            }
        }
    }

    /// A bundle over the same rootfs with other arguments.
    fn bundle(&self, name: &str, args: &str) -> PathBuf {
        self.bundle_from(name, self.config.replace("\"sh\"", args))
    }

    fn bundle_from(&self, name: &str, config: String) -> PathBuf {
        let directory = self.work.join(name);
        fs::create_dir_all(&directory).expect("make a bundle");
        // crun 1.8 refuses to hear of any version but 1.0.
        let config = config.replace("\"ociVersion\": \"1.2.0\"", "\"ociVersion\": \"1.0.2\"");
        let config = config.replace("\"path\": \"rootfs\"", &format!("\"path\": {:?}", self.rootfs));
        fs::write(directory.join("config.json"), config).expect("write config.json");
        directory
    }

    /// The configuration of a container that sleeps in namespaces of a process; it has no name of its own then.
    fn joining(&self, pid: &str, namespaces: &[(&str, &str)]) -> String {
        let mut config = self.config.replace("\"sh\"", "\"sleep\", \"100000\"");
        for (kind, file) in namespaces {
            config = config.replace(
                &format!("\"type\": \"{kind}\""),
                &format!("\"type\": \"{kind}\", \"path\": \"/proc/{pid}/ns/{file}\""),
            );
        }
        // A hostname may be set only in a new UTS namespace.
        config.replace("\"hostname\": \"busybox\",", "")
    }

    /// barepod with state, logs and cgroups of its own.
    fn pod(&self) -> Command {
        let mut command = Command::new(self.bin.join("barepod"));
        command.arg("--root").arg(self.work.join("state/pods")).arg("--log-dir").arg(self.work.join("logs"));
        command.args(["--cgroup-parent", "barepod-bench"]);
        command
    }

    /// podman with storage and settings of its own, made by the script. It warns about its own races on stderr.
    fn podman(&self) -> Command {
        let stderr = fs::File::options().append(true).create(true).open(self.work.join("podman.log"));
        let mut command = Command::new("podman");
        command
            .env("CONTAINERS_CONF", self.work.join("containers.conf"))
            .stderr(stderr.expect("open podman.log"));
        command.arg("--root").arg(self.work.join("podman"));
        command.arg("--runroot").arg(self.work.join("podman-run"));
        command.args(["--cgroup-manager=cgroupfs", "--events-backend=none", "--runtime=crun"]);
        command
    }
}
