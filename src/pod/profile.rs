//! `seccompProfile: Localhost`: filters for system calls that lie in a directory of this machine.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use oci_spec::runtime::LinuxSeccomp;

use crate::manifest::{Container, Pod, Seccomp};

/// Where a kubelet looks, too; the environment may name another directory.
const DIRECTORY: &str = "/var/lib/kubelet/seccomp";
/// A filter of the kernel's longest takes far less.
const LARGEST: u64 = 4 << 20;

/// The filter of a container that asks for one by name; read anew at each start, as a kubelet does it.
///
/// # Errors
/// When the file is not there, or not the `linux.seccomp` of an OCI configuration as JSON.
pub fn local_filter(pod: &Pod, container: &Container) -> Result<Option<LinuxSeccomp>> {
    let wanted = container.security.seccomp.as_ref().or(pod.security.seccomp.as_ref());
    let Some(Seccomp::Localhost(profile)) = wanted else { return Ok(None) };
    let directory = std::env::var_os("BAREPOD_SECCOMP").map_or(PathBuf::from(DIRECTORY), PathBuf::from);
    let path = directory.join(profile);
    let read = || -> Result<LinuxSeccomp> {
        let mut bytes = Vec::new();
        File::open(&path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
        ensure!(bytes.len() as u64 <= LARGEST, "larger than {} MiB", LARGEST >> 20);
        Ok(serde_json::from_slice(&bytes)?)
    };
    read().map(Some).with_context(|| format!("read seccomp profile {}", path.display()))
}
