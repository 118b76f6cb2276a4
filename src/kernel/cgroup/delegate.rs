//! Giving a cgroup to the user of a container: runtime-spec "Cgroup ownership", cgroups(7) "Cgroup delegation".

use std::fs;
use std::io;
use std::os::unix::fs::chown;

use anyhow::{Context, Result};

use super::Cgroup;

impl Cgroup {
    /// Makes a host user the owner of the cgroup's directory and of the files with which one makes cgroups below it, so that
    /// he can in a cgroup namespace of his own. Nothing on v1, where that is not safe.
    pub fn delegate(&self, uid: u32) -> Result<()> {
        if !self.is_v2() {
            return Ok(());
        }
        let dir = self.dir("");
        chown(&dir, Some(uid), None).with_context(|| format!("give {} to user {uid}", dir.display()))?;
        let list = fs::read_to_string("/sys/kernel/cgroup/delegate")
            .unwrap_or_else(|_| "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n".to_owned());
        for file in list.lines() {
            match chown(dir.join(file), Some(uid), None) {
                // The list is the kernel's; what a controller adds is there only with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.with_context(|| format!("give {file} of {} to user {uid}", dir.display()))?,
            }
        }
        Ok(())
    }
}
