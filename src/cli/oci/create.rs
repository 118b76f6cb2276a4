//! `barepod-oci create`

use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::{Global, preserved, protect, warn, write_pid_file};
use crate::container::launch::{Stdio, stdio_of_this_process};
use crate::container::oci::create::{self, Bundle};
use crate::kernel::process;
use crate::plan::oci::left_out;

/// Make a container, up to the point where `start` lets its program run.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    pub making: Making,
    /// Container id
    pub id: String,
}

/// What `create` and `run` have in common.
#[derive(Debug, Args)]
pub struct Making {
    /// Directory with config.json
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// Send the other end of the container's terminal to this socket
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Write the pid of the container's first process here
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Pass this many descriptors on, from 3
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    /// Do without pivot_root(2), which cannot leave the initial ramfs
    #[arg(long)]
    pub no_pivot: bool,
    /// Leave the session keyring as it is
    #[arg(long)]
    pub no_new_keyring: bool,
}

impl Making {
    /// As the container layer wants it.
    pub fn options(
        &self,
        wait_for_start: bool,
        console: Option<OwnedFd>,
        preserve: Vec<RawFd>,
        stdio: Stdio,
        global: &Global,
    ) -> create::Options {
        create::Options {
            wait_for_start,
            console,
            preserve,
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            systemd: global.systemd_cgroup,
            stdio,
        }
    }

    /// The connection to the console socket.
    pub fn console(&self) -> Result<Option<OwnedFd>> {
        self.console_socket.as_deref().map(connect).transpose()
    }
}

/// Connects to a socket that takes a terminal.
pub fn connect(path: &Path) -> Result<OwnedFd> {
    let socket = UnixStream::connect(path);
    Ok(socket.with_context(|| format!("connect to console socket {}", path.display()))?.into())
}

/// Reads a bundle, and says what is left out of it.
pub fn read_bundle(global: &Global, path: &Path) -> Result<Bundle> {
    let bundle = Bundle::read(path)?;
    left_out(&bundle.spec).iter().for_each(|left_out| warn(global, left_out));
    Ok(bundle)
}

/// Runs the verb.
pub fn main(global: &Global, root: &Path, options: &Options) -> Result<i32> {
    protect()?;
    let making = &options.making;
    let preserve = preserved(making.preserve_fds);
    let making_options = making.options(true, making.console()?, preserve, stdio_of_this_process()?, global);
    let bundle = read_bundle(global, &making.bundle)?;
    let (container, child) = create::create(root, &options.id, &bundle, making_options)?;
    if let Err(error) = write_pid_file(making.pid_file.as_ref(), container.pid()?) {
        process::kill(std::os::fd::AsFd::as_fd(&child.pidfd))?;
        let warnings = crate::container::oci::delete::delete(root, &options.id, true)?;
        warnings.iter().for_each(|warning| warn(global, warning));
        return Err(error);
    }
    Ok(0)
}
