//! Volumes: `emptyDir` is a tmpfs inside the pod, files are written on one ([`files`]), `hostPath` is a path of the host, looked up anew at each container start.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::manifest::{HostPathType, Volume, VolumeSource};

pub mod files;
pub mod part;

/// Where a volume is in the pod init's mount namespace, made or checked as its type says.
pub fn source(volume: &Volume, scratch: &Path) -> Result<PathBuf> {
    match &volume.source {
        VolumeSource::EmptyDir { .. } | VolumeSource::Files(_) => {
            Ok(scratch.join("volumes").join(&volume.name))
        }
        VolumeSource::HostPath { path, kind } => {
            let path = PathBuf::from(path);
            host_path(&path, *kind)
                .with_context(|| format!("volume {}: hostPath {}", volume.name, path.display()))?;
            Ok(path)
        }
    }
}

fn host_path(path: &Path, kind: HostPathType) -> Result<()> {
    match kind {
        // Without a type a kubelet checks nothing, and containerd makes a directory of what is not there.
        HostPathType::Any | HostPathType::DirectoryOrCreate if !path.exists() => {
            return fs::DirBuilder::new().recursive(true).mode(0o755).create(path).context("make directory");
        }
        HostPathType::FileOrCreate if !path.exists() => {
            return File::options()
                .write(true)
                .create_new(true)
                .mode(0o644)
                .open(path)
                .map(drop)
                .context("make file");
        }
        _ => {}
    }
    let found = fs::metadata(path)?.file_type();
    let (fits, what) = match kind {
        HostPathType::Any => (true, "anything"),
        HostPathType::Directory | HostPathType::DirectoryOrCreate => (found.is_dir(), "a directory"),
        HostPathType::File | HostPathType::FileOrCreate => (found.is_file(), "a file"),
        HostPathType::Socket => (found.is_socket(), "a socket"),
        HostPathType::CharDevice => (found.is_char_device(), "a character device"),
        HostPathType::BlockDevice => (found.is_block_device(), "a block device"),
    };
    ensure!(fits, "it is not {what}");
    Ok(())
}
