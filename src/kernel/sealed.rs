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
use super::sys::{self, Mapped, Segment};

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
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?.context("no size of a page")?;
    Ok(mapped(&sys::segments(), page as usize))
}

/// The pages that Linux has mapped for these segments of a program. What can be written to may have been: also what was made
/// read-only after it was relocated (`PT_GNU_RELRO`), which lies at the beginning of one of them.
fn mapped(segments: &[Segment], page: usize) -> Vec<Mapped> {
    let of_kind = |kind| segments.iter().filter(move |segment| segment.kind == kind);
    let down = |address: usize| address - address % page;
    let right = |flags, flag, right| if flags & flag != 0 { right } else { 0 };
    let mut parts = Vec::new();
    for segment in of_kind(libc::PT_LOAD).filter(|segment| segment.in_file > 0) {
        let (start, end) = (segment.place.start, segment.place.start + segment.in_file);
        let rights = right(segment.flags, libc::PF_R, libc::PROT_READ)
            | right(segment.flags, libc::PF_W, libc::PROT_WRITE)
            | right(segment.flags, libc::PF_X, libc::PROT_EXEC);
        let is_written = rights & libc::PROT_WRITE != 0;
        let fixed = of_kind(libc::PT_GNU_RELRO).find(|fixed| segment.place.contains(&fixed.place.start));
        let (start, end) = (down(start), down(end + page - 1));
        let middle = fixed.map_or(start, |fixed| down(fixed.place.end).clamp(start, end));
        for (place, rights) in [(start..middle, libc::PROT_READ), (middle..end, rights)] {
            let offset = (down(segment.offset) + place.start - start) as i64;
            parts.push(Mapped { place, rights, offset, is_written });
        }
    }
    parts.retain(|part| !part.place.is_empty());
    parts
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
    fn the_pages_of_segments_are_whole_and_what_was_relocated_is_read_only() {
        let segment = |kind, flags, place, offset, in_file| Segment { kind, flags, place, offset, in_file };
        let (read, write, execute) = (libc::PF_R, libc::PF_W, libc::PF_X);
        let segments = [
            segment(libc::PT_PHDR, read, 0x40_0040..0x40_0270, 0x40, 0x230),
            segment(libc::PT_LOAD, read, 0x40_0000..0x40_1e40, 0, 0x1e40),
            segment(libc::PT_LOAD, read | execute, 0x40_2e40..0x40_4480, 0x1e40, 0x1640),
            segment(libc::PT_LOAD, read | write, 0x40_5480..0x40_7000, 0x3480, 0xe20),
            segment(libc::PT_LOAD, read | write, 0x40_7300..0x40_c000, 0x4300, 0x1270),
            segment(libc::PT_LOAD, read | write, 0x40_d100..0x40_e000, 0x5570, 0), // zeroes only
            segment(libc::PT_GNU_RELRO, read, 0x40_5480..0x40_7000, 0x3480, 0xe20),
        ];
        let part = |place, rights, offset, is_written| Mapped { place, rights, offset, is_written };
        let (read, write, execute) = (libc::PROT_READ, libc::PROT_WRITE, libc::PROT_EXEC);
        let expected = [
            part(0x40_0000..0x40_2000, read, 0, false),
            part(0x40_2000..0x40_5000, read | execute, 0x1000, false),
            part(0x40_5000..0x40_7000, read, 0x3000, true),
            part(0x40_7000..0x40_9000, read | write, 0x4000, true),
        ];
        assert_eq!(mapped(&segments, 0x1000), expected);
    }

    /// With what the kernel tells, proc_pid_maps(5).
    #[test]
    fn the_parts_of_this_program_are_those_that_are_mapped() {
        let exe = fs::read_link(EXE).unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let told = maps.lines().filter(|line| line.ends_with(exe.to_str().unwrap())).map(|line| {
            let [place, rights, offset] = line.splitn(4, ' ').collect::<Vec<_>>()[..3] else {
                panic!("{line}")
            };
            let (start, end) = place.split_once('-').unwrap();
            let number = |text| usize::from_str_radix(text, 16).unwrap();
            (number(start)..number(end), rights.to_owned(), number(offset))
        });
        let ours = parts().unwrap().into_iter().map(|part| {
            let letter = |right, letter| if part.rights & right != 0 { letter } else { '-' };
            let rights = [
                letter(libc::PROT_READ, 'r'),
                letter(libc::PROT_WRITE, 'w'),
                letter(libc::PROT_EXEC, 'x'),
                'p',
            ];
            (part.place, rights.iter().collect::<String>(), part.offset as usize)
        });
        assert_eq!(ours.collect::<Vec<_>>(), told.collect::<Vec<_>>());
    }

    #[test]
    fn where_things_are_is_found_behind_a_name_with_blanks_and_brackets() {
        let fields: Vec<String> = (3..=52).map(|number| number.to_string()).collect();
        let stat = format!("1 (a b) c) {}", fields.join(" "));
        assert_eq!(places(&stat), Some([26, 27, 45, 46, 47, 28, 48, 49, 50, 51]));
        assert_eq!(places("1 (a) S 1 2"), None);
    }
}
