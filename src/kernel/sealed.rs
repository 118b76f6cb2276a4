//! A sealed copy of our own binary: what enters a container must not be a file that a container could overwrite through
//! `/proc/PID/exe` (CVE-2019-5736). memfd_create(2), fcntl(2) "File Sealing".

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

const SEALS: SealFlag = SealFlag::F_SEAL_SEAL
    .union(SealFlag::F_SEAL_SHRINK)
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_WRITE);

/// True when this process runs from a sealed copy.
pub fn is_sealed() -> Result<bool> {
    let exe = File::open("/proc/self/exe").context("open /proc/self/exe")?;
    // EINVAL: an ordinary file, which knows no seals.
    Ok(fcntl(exe.as_fd(), FcntlArg::F_GET_SEALS)
        .is_ok_and(|seals| SealFlag::from_bits_retain(seals).contains(SEALS)))
}

/// Copies the running binary into a sealed memfd and executes that, with the same arguments and environment.
pub fn reexec_copy() -> Result<Infallible> {
    let mut exe = File::open("/proc/self/exe").context("open /proc/self/exe")?;
    let mut copy: File = memfd_create(c"barepod", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)
        .context("make memfd for the binary")?
        .into();
    std::io::copy(&mut exe, &mut copy).context("copy the binary")?;
    fcntl(copy.as_fd(), FcntlArg::F_ADD_SEALS(SEALS)).context("seal the copy of the binary")?;
    reexec(&copy)
}

/// Executes the given open binary with this process's arguments and environment.
pub fn reexec(binary: &File) -> Result<Infallible> {
    let text = |s: std::ffi::OsString| CString::new(s.as_bytes()).context("pass arguments on");
    let args = std::env::args_os().map(text).collect::<Result<Vec<_>>>()?;
    let env = std::env::vars_os()
        .map(|(key, value)| text([key, value].join(std::ffi::OsStr::new("="))))
        .collect::<Result<Vec<_>>>()?;
    nix::unistd::execveat(binary.as_fd(), c"", &args, &env, nix::fcntl::AtFlags::AT_EMPTY_PATH)
        .context("execute the sealed copy of the binary")
}
