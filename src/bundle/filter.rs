//! `seccompProfile: RuntimeDefault`: the system calls that a container does not get, by the capability that would change
//! that. What is forbidden is what other runtimes' default profiles forbid; all else is allowed.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator,
    LinuxSyscall,
};

/// For nobody: keys and other things that no namespace keeps apart, and calls that the kernel keeps for old programs.
const NEVER: [&str; 29] = [
    "_sysctl",
    "add_key",
    "create_module",
    "get_kernel_syms",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "migrate_pages",
    "move_pages",
    "nfsservctl",
    "pivot_root",
    "query_module",
    "request_key",
    "swapoff",
    "swapon",
    "sysfs",
    "uselib",
    "userfaultfd",
    "ustat",
    "vm86",
    "vm86old",
    "quotactl",
    "quotactl_fd",
    "fanotify_init",
    "perf_event_open",
];

/// For holders of a capability only, capabilities(7).
const WITH: [(&str, &[&str]); 10] = [
    (
        "SYS_ADMIN",
        &[
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "setdomainname",
            "sethostname",
            "setns",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    ("BPF", &["bpf"]),
    ("DAC_READ_SEARCH", &["open_by_handle_at"]),
    ("SYS_BOOT", &["reboot"]),
    ("SYS_MODULE", &["delete_module", "finit_module", "init_module"]),
    ("SYS_NICE", &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
    ("SYS_PACCT", &["acct"]),
    ("SYS_RAWIO", &["ioperm", "iopl"]),
    ("SYS_TIME", &["clock_settime", "clock_settime64", "settimeofday", "stime"]),
    ("SYSLOG", &["syslog"]),
];

/// Two more, which matter on some kernels only.
const PTRACE: [&str; 2] = ["kcmp", "pidfd_getfd"];

/// The profile for a container with these capabilities, named without `CAP_`.
pub fn runtime_default(held: &BTreeSet<String>) -> Result<LinuxSeccomp> {
    let has = |capability: &str| held.contains(capability);
    let mut names: Vec<&str> = NEVER.to_vec();
    names.extend(WITH.iter().filter(|(capability, _)| !has(capability)).flat_map(|(_, names)| names.iter()));
    names.extend(PTRACE.iter().filter(|_| !has("SYS_PTRACE")));
    let mut rules = vec![rule(&names, libc::EPERM, Vec::new())];
    if !has("SYS_ADMIN") {
        // A new namespace of one's own gives all capabilities in it. clone3 has its flags in memory, where no filter can
        // look: it does not exist, and programs take clone.
        let namespaces = libc::CLONE_NEWNS
            | libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET;
        for flag in (0..32).map(|bit| 1u64 << bit).filter(|flag| flag & namespaces as u64 != 0) {
            let arg = first_argument(LinuxSeccompOperator::ScmpCmpMaskedEq, flag)?;
            rules.push(rule(&["clone"], libc::EPERM, vec![arg]));
        }
        rules.push(rule(&["clone3"], libc::ENOSYS, Vec::new()));
    }
    // AF_VSOCK reaches the machine's hypervisor, whatever the network namespace.
    let vsock = first_argument(LinuxSeccompOperator::ScmpCmpEq, libc::AF_VSOCK as u64)?;
    rules.push(rule(&["socket"], libc::EPERM, vec![vsock]));

    let mut profile = LinuxSeccomp::default();
    let all = vec![
        Arch::ScmpArchNative,
        Arch::ScmpArchX86_64,
        Arch::ScmpArchX86,
        Arch::ScmpArchX32,
        Arch::ScmpArchArm,
    ];
    profile
        .set_default_action(LinuxSeccompAction::ScmpActAllow)
        .set_architectures(Some(all))
        .set_syscalls(Some(rules));
    Ok(profile)
}

/// A comparison of it with a value; masked: of these bits of it.
fn first_argument(op: LinuxSeccompOperator, value: u64) -> Result<LinuxSeccompArg> {
    let arg = LinuxSeccompArgBuilder::default().index(0usize).value(value).value_two(value).op(op);
    arg.build().context("build a rule for system calls")
}

fn rule(names: &[&str], errno: i32, args: Vec<LinuxSeccompArg>) -> LinuxSyscall {
    let mut rule = LinuxSyscall::default();
    rule.set_names(names.iter().map(|name| (*name).to_owned()).collect())
        .set_action(LinuxSeccompAction::ScmpActErrno)
        .set_errno_ret(Some(errno as u32))
        .set_args(Some(args).filter(|args| !args.is_empty()));
    rule
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::seccomp::compile;

    #[test]
    fn a_capability_opens_its_calls_and_no_others() {
        let of = |held: &[&str]| {
            let profile = runtime_default(&held.iter().map(|name| (*name).to_owned()).collect()).unwrap();
            let rules = profile.syscalls().clone().unwrap();
            rules.iter().flat_map(|rule| rule.names().clone()).collect::<BTreeSet<_>>()
        };
        let none = of(&[]);
        for name in ["mount", "bpf", "keyctl", "clone3", "reboot", "socket", "setns"] {
            assert!(none.contains(name), "{name}");
        }
        let admin = of(&["SYS_ADMIN"]);
        assert!(!admin.contains("mount") && !admin.contains("clone3") && admin.contains("reboot"));
        assert!(!of(&["SYS_BOOT"]).contains("reboot"));
    }

    #[test]
    fn it_is_a_short_program() {
        let program = compile(&runtime_default(&BTreeSet::new()).unwrap()).unwrap();
        assert!(program.instructions.len() < 1000, "{}", program.instructions.len());
    }

    #[test]
    fn every_name_is_a_call_of_this_machine_or_of_an_older_one() {
        let arches = crate::plan::seccomp::Arch::of_this_machine(&[
            Arch::ScmpArchNative,
            Arch::ScmpArchX86,
            Arch::ScmpArchArm,
        ]);
        let all = NEVER.iter().chain(WITH.iter().flat_map(|(_, names)| names.iter())).chain(&PTRACE);
        for name in all {
            assert!(arches.iter().any(|arch| arch.number(name).is_some()), "{name}");
        }
    }
}
