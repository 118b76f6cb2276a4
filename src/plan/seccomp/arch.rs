//! Architectures and the numbers that their calls have.

use std::str::FromStr;

use oci_spec::runtime::Arch as Name;

/// An architecture that programs can have on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Arch {
    /// `AUDIT_ARCH_*`, as `seccomp_data` has it.
    pub audit: u32,
    /// Added to every number.
    pub base: u32,
    names: fn(&str) -> Option<u32>,
}

/// Numbers of the x32 ABI have this bit.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

impl Arch {
    /// Those of a list that this machine has: calls of others do not happen here. An empty list means the machine's own.
    #[cfg(target_arch = "x86_64")]
    pub fn of_this_machine(wanted: &[Name]) -> Vec<Arch> {
        const X86_64: u32 = 0xc000_003e;
        let known = [
            (Name::ScmpArchX86_64, Arch { audit: X86_64, base: 0, names: native }),
            (Name::ScmpArchX86, Arch { audit: 0x4000_0003, base: 0, names: x86 }),
            (Name::ScmpArchX32, Arch { audit: X86_64, base: X32, names: x32 }),
        ];
        pick(&known, wanted)
    }

    /// The same.
    #[cfg(target_arch = "aarch64")]
    pub fn of_this_machine(wanted: &[Name]) -> Vec<Arch> {
        let known = [
            (Name::ScmpArchAarch64, Arch { audit: 0xc000_00b7, base: 0, names: native }),
            (Name::ScmpArchArm, Arch { audit: 0x4000_0028, base: 0, names: arm }),
        ];
        pick(&known, wanted)
    }

    /// The number of a call, without [`Arch::base`].
    pub fn number(&self, name: &str) -> Option<u32> {
        (self.names)(name)
    }
}

/// The first that is known is the machine's own.
fn pick(known: &[(Name, Arch)], wanted: &[Name]) -> Vec<Arch> {
    let own = known[0].0;
    let is_wanted = |name: Name| {
        wanted.contains(&name) || name == own && (wanted.is_empty() || wanted.contains(&Name::ScmpArchNative))
    };
    known.iter().filter(|(name, _)| is_wanted(*name)).map(|(_, arch)| *arch).collect()
}

fn native(name: &str) -> Option<u32> {
    Some(syscalls::Sysno::from_str(name).ok()?.id() as u32)
}

#[cfg(target_arch = "x86_64")]
fn x86(name: &str) -> Option<u32> {
    Some(syscalls::x86::Sysno::from_str(name).ok()?.id() as u32)
}

/// x32 has the numbers of x86_64, but for the calls whose structures hold pointers or times.
#[cfg(target_arch = "x86_64")]
fn x32(name: &str) -> Option<u32> {
    const OWN: [&str; 36] = [
        "rt_sigaction",
        "rt_sigreturn",
        "ioctl",
        "readv",
        "writev",
        "recvfrom",
        "sendmsg",
        "recvmsg",
        "execve",
        "ptrace",
        "rt_sigpending",
        "rt_sigtimedwait",
        "rt_sigqueueinfo",
        "sigaltstack",
        "timer_create",
        "mq_notify",
        "kexec_load",
        "waitid",
        "set_robust_list",
        "get_robust_list",
        "vmsplice",
        "move_pages",
        "preadv",
        "pwritev",
        "rt_tgsigqueueinfo",
        "recvmmsg",
        "sendmmsg",
        "process_vm_readv",
        "process_vm_writev",
        "setsockopt",
        "getsockopt",
        "io_setup",
        "io_submit",
        "execveat",
        "preadv2",
        "pwritev2",
    ];
    let own = OWN.iter().position(|own| *own == name);
    own.map(|place| 512 + place as u32).or_else(|| native(name))
}

#[cfg(target_arch = "aarch64")]
fn arm(name: &str) -> Option<u32> {
    Some(syscalls::arm::Sysno::from_str(name).ok()?.id() as u32)
}
