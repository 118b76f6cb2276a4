//! Architectures and the numbers that their calls have.

use std::collections::HashMap;

use oci_spec::runtime::Arch as Name;

/// An architecture that programs can have on this machine.
#[derive(Debug, Clone)]
pub struct Arch {
    /// `AUDIT_ARCH_*`, as `seccomp_data` has it.
    pub audit: u32,
    /// Added to every number.
    pub base: u32,
    numbers: Numbers,
}

/// By name. A table, because profiles have hundreds of names and the library compares a name with one after the other.
type Numbers = HashMap<&'static str, u32>;

/// What is known of an architecture: its name, `AUDIT_ARCH_*`, what is added to its numbers, and these.
type Known = (Name, u32, u32, fn() -> Numbers);

/// Numbers of the x32 ABI have this bit.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

impl Arch {
    /// Those of a list that this machine has: calls of others do not happen here. An empty list means the machine's own.
    #[cfg(target_arch = "x86_64")]
    pub fn of_this_machine(wanted: &[Name]) -> Vec<Arch> {
        const X86_64: u32 = 0xc000_003e;
        let known: [Known; 3] = [
            (Name::ScmpArchX86_64, X86_64, 0, native),
            (Name::ScmpArchX86, 0x4000_0003, 0, x86),
            (Name::ScmpArchX32, X86_64, X32, x32),
        ];
        pick(&known, wanted)
    }

    /// The same.
    #[cfg(target_arch = "aarch64")]
    pub fn of_this_machine(wanted: &[Name]) -> Vec<Arch> {
        let known: [Known; 2] =
            [(Name::ScmpArchAarch64, 0xc000_00b7, 0, native), (Name::ScmpArchArm, 0x4000_0028, 0, arm)];
        pick(&known, wanted)
    }

    /// The number of a call, without [`Arch::base`].
    pub fn number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }
}

/// The first that is known is the machine's own.
fn pick(known: &[Known], wanted: &[Name]) -> Vec<Arch> {
    let own = known[0].0;
    let is_wanted = |name: Name| {
        wanted.contains(&name) || name == own && (wanted.is_empty() || wanted.contains(&Name::ScmpArchNative))
    };
    let of = |(_, audit, base, numbers): &Known| Arch { audit: *audit, base: *base, numbers: numbers() };
    known.iter().filter(|(name, ..)| is_wanted(*name)).map(of).collect()
}

fn native() -> Numbers {
    use syscalls::Sysno;
    (0..Sysno::table_size()).filter_map(|id| Some((Sysno::new(id)?.name(), id as u32))).collect()
}

#[cfg(target_arch = "x86_64")]
fn x86() -> Numbers {
    use syscalls::x86::Sysno;
    (0..Sysno::table_size()).filter_map(|id| Some((Sysno::new(id)?.name(), id as u32))).collect()
}

/// x32 has the numbers of x86_64, but for the calls whose structures hold pointers or times.
#[cfg(target_arch = "x86_64")]
fn x32() -> Numbers {
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
    let mut numbers = native();
    numbers.extend(OWN.iter().enumerate().map(|(place, name)| (*name, 512 + place as u32)));
    numbers
}

#[cfg(target_arch = "aarch64")]
fn arm() -> Numbers {
    use syscalls::arm::Sysno;
    (0..Sysno::table_size()).filter_map(|id| Some((Sysno::new(id)?.name(), id as u32))).collect()
}
