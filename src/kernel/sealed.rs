//! What enters a container must not be a file that a container could overwrite through `/proc/PID/exe`: it would be the host's
//! when it is executed next (CVE-2019-5736). Two ways:
//!
//! - In place: this process goes on with the same binary on a read-only mount that is in no mount namespace, so that nobody's
//!   calls take it (open_tree(2), mount_setattr(2)). Its parts are mapped again from there, and `/proc/PID/exe` leads there
//!   (prctl(2) `PR_SET_MM_MAP`). Nothing is copied or executed, and all share the page cache.
//! - By executing a sealed copy in memory, that is on no filesystem (memfd_create(2), fcntl(2) "File Sealing").

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::mount;
use super::sys::{self, Mapped};

const EXE: &str = "/proc/self/exe";

const SEALS: SealFlag = SealFlag::F_SEAL_SEAL
    .union(SealFlag::F_SEAL_SHRINK)
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_WRITE);

/// Goes on as what nobody can overwrite. To be called while this process has one thread.
pub fn protect() -> Result<()> {
    // What is in the way of the one (a binary that was deleted, say, or a kernel without CONFIG_CHECKPOINT_RESTORE) is none of
    // the other.
    if move_to_own_mount().is_ok() || is_sealed()? {
        return Ok(());
    }
    match reexec_copy()? {}
}

/// Puts a read-only mount under the feet of this process.
fn move_to_own_mount() -> Result<()> {
    let binary = on_own_mount()?;
    for part in parts()? {
        sys::map_again(&part, binary.as_fd()).context("map the binary")?;
    }
    let stat = fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
    let places = places(&stat).context("understand /proc/self/stat")?;
    sys::set_exe_file(binary.as_fd(), places).context("prctl PR_SET_MM_MAP")
}

/// This process's binary, opened by a read-only mount of its own.
pub fn on_own_mount() -> Result<File> {
    let detached = mount::clone_path(Path::new(EXE), false)?;
    mount::set_attributes(detached.as_fd(), false, libc::MOUNT_ATTR_RDONLY, 0)?;
    // With `detached` goes the unnamed namespace in which the mount could still be changed.
    File::open(format!("/proc/self/fd/{}", detached.as_raw_fd())).context("open the binary")
}

/// Gives back the memory that the program's own file takes in this process, but for what was written to: what is used again
/// comes from the page cache.
pub fn forget() -> Result<()> {
    let parts = parts()?;
    let mut unwritten = parts.iter().filter(|part| !part.is_written);
    unwritten.try_for_each(|part| sys::forget(part).context("madvise MADV_DONTNEED"))
}

/// What is mapped of the program's own file.
fn parts() -> Result<Vec<Mapped>> {
    let exe = fs::read_link(EXE).with_context(|| format!("readlink {EXE}"))?;
    let smaps = fs::read_to_string("/proc/self/smaps").context("read /proc/self/smaps")?;
    Ok(mapped(&smaps, exe.to_str().context("the binary's path is not UTF-8")?))
}

/// What is mapped of a file, from proc_pid_smaps(5).
fn mapped(smaps: &str, file: &str) -> Vec<Mapped> {
    let mut parts = Vec::new();
    let mut last = None;
    for line in smaps.lines() {
        if let Some((part, path)) = mapping(line) {
            parts.extend(last.take());
            last = (path == file).then_some(part);
        } else if let Some(part) = &mut last {
            // Pages that are no longer as in the file; what memory had no room for counts by itself.
            let written = line.strip_prefix("Anonymous:").or_else(|| line.strip_prefix("Swap:"));
            part.is_written |= written.is_some_and(|amount| amount.trim() != "0 kB");
        }
    }
    parts.extend(last);
    parts
}

/// A mapping and its path, from the first of its lines, `START-END RIGHTS OFFSET DEVICE INODE    PATH`.
fn mapping(line: &str) -> Option<(Mapped, &str)> {
    let fields: Vec<&str> = line.splitn(6, ' ').collect();
    let [place, rights, offset, _, _, path] = fields[..] else { return None };
    let (start, end) = place.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let right = |letter, right| if rights.contains(letter) { right } else { 0 };
    let part = Mapped {
        place: number(start)?..number(end)?,
        rights: right('r', libc::PROT_READ) | right('w', libc::PROT_WRITE) | right('x', libc::PROT_EXEC),
        offset: i64::from_str_radix(offset, 16).ok()?,
        // What has not been written to may be at any moment.
        is_written: rights.contains('w'),
    };
    Some((part, path.trim_start()))
}

/// Where code, data and the rest are: the fields of proc_pid_stat(5) that [`sys::set_exe_file`] wants.
fn places(stat: &str) -> Option<[u64; 10]> {
    // The second field may itself hold blanks and brackets; the first one behind it is the third.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse().ok();
    let places: Option<Vec<u64>> = [26, 27, 45, 46, 47, 28, 48, 49, 50, 51].into_iter().map(field).collect();
    places?.try_into().ok()
}

/// True when this process runs from a sealed copy.
fn is_sealed() -> Result<bool> {
    let exe = File::open(EXE).with_context(|| format!("open {EXE}"))?;
    // EINVAL: an ordinary file, which knows no seals.
    Ok(fcntl(exe.as_fd(), FcntlArg::F_GET_SEALS)
        .is_ok_and(|seals| SealFlag::from_bits_retain(seals).contains(SEALS)))
}

/// Copies the running binary into a sealed memfd and executes that, with the same arguments and environment.
fn reexec_copy() -> Result<Infallible> {
    let mut exe = File::open(EXE).with_context(|| format!("open {EXE}"))?;
    let mut copy: File = memfd_create(c"barepod", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)
        .context("make memfd for the binary")?
        .into();
    std::io::copy(&mut exe, &mut copy).context("copy the binary")?;
    fcntl(copy.as_fd(), FcntlArg::F_ADD_SEALS(SEALS)).context("seal the copy of the binary")?;
    let text = |s: std::ffi::OsString| CString::new(s.as_bytes()).context("pass arguments on");
    let args = std::env::args_os().map(text).collect::<Result<Vec<_>>>()?;
    let env = std::env::vars_os()
        .map(|(key, value)| text([key, value].join(std::ffi::OsStr::new("="))))
        .collect::<Result<Vec<_>>>()?;
    nix::unistd::execveat(copy.as_fd(), c"", &args, &env, nix::fcntl::AtFlags::AT_EMPTY_PATH)
        .context("execute the sealed copy of the binary")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mapped_of_a_file_is_read_with_rights_offset_and_whether_it_was_written_to() {
        let smaps = "\
00400000-00600000 r-xp 00001000 fe:00 131                        /opt/my bin/b (deleted)
Size:               2048 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
00600000-00601000 rw-p 00200000 fe:00 131                        /opt/my bin/b (deleted)
Anonymous:             0 kB
Swap:                  0 kB
00601000-00602000 r--p 00201000 fe:00 131                        /opt/my bin/b (deleted)
Anonymous:             0 kB
Swap:                  4 kB
00602000-00603000 rw-p 00000000 00:00 0 
Anonymous:             4 kB
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
Anonymous:            16 kB
";
        let part = |place, rights, offset, is_written| Mapped { place, rights, offset, is_written };
        let (read, write, execute) = (libc::PROT_READ, libc::PROT_WRITE, libc::PROT_EXEC);
        let expected = [
            part(0x400000..0x600000, read | execute, 0x1000, false),
            part(0x600000..0x601000, read | write, 0x200000, true),
            part(0x601000..0x602000, read, 0x201000, true),
        ];
        assert_eq!(mapped(smaps, "/opt/my bin/b (deleted)"), expected);
        assert_eq!(mapped(smaps, "b"), []);
    }

    #[test]
    fn where_things_are_is_found_behind_a_name_with_blanks_and_brackets() {
        let fields: Vec<String> = (3..=52).map(|number| number.to_string()).collect();
        let stat = format!("1 (a b) c) {}", fields.join(" "));
        assert_eq!(places(&stat), Some([26, 27, 45, 46, 47, 28, 48, 49, 50, 51]));
        assert_eq!(places("1 (a) S 1 2"), None);
    }
}
