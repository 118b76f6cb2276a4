//! System call filters: the `linux.seccomp` of a configuration compiled to a program for the kernel, seccomp(2).
//!
//! A program is a function of what is in `struct seccomp_data`: the architecture, the number of the call, its six
//! arguments. For each architecture it looks the number up by bisection, in ranges of calls that are treated alike; so a
//! profile of 400 names is decided with about eight comparisons. Rules with conditions on arguments come before those
//! without, in the order of the list; of one rule all conditions must hold, but for several on one argument, of which one
//! must: that is how other runtimes read them.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
};
use serde::Serialize;

mod arch;
mod code;

pub use arch::Arch;
pub use code::Instruction;

/// A filter, ready for the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Program {
    /// What the kernel runs for each system call.
    pub instructions: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*`
    pub flags: u64,
}

/// seccomp(2): the values that a program returns, without their data.
mod ret {
    pub const KILL_PROCESS: u32 = 0x8000_0000;
    pub const KILL_THREAD: u32 = 0;
    pub const TRAP: u32 = 0x0003_0000;
    pub const ERRNO: u32 = 0x0005_0000;
    pub const TRACE: u32 = 0x7ff0_0000;
    pub const NOTIFY: u32 = 0x7fc0_0000;
    pub const LOG: u32 = 0x7ffc_0000;
    pub const ALLOW: u32 = 0x7fff_0000;
}

/// BPF_MAXINSNS
const LONGEST: usize = 4096;

/// What becomes of a call, whatever its arguments or depending on them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Outcome {
    /// The first whose conditions all hold decides.
    conditional: Vec<(Vec<Condition>, u32)>,
    /// Else.
    otherwise: u32,
}

/// One comparison of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Condition {
    index: u8,
    op: LinuxSeccompOperator,
    value: u64,
    /// `SCMP_CMP_MASKED_EQ`: what the masked argument is to be; `value` is the mask.
    masked: u64,
}

/// Compiles a filter.
///
/// # Errors
/// What the kernel does not have: a seventh argument, a program of more than 4096 instructions.
pub fn compile(filter: &LinuxSeccomp) -> Result<Program> {
    let default = action(filter.default_action(), filter.default_errno_ret())?;
    let wanted = filter.architectures().as_deref().unwrap_or_default();
    let mut sections = Vec::new();
    for arch in Arch::of_this_machine(wanted) {
        let ranges = ranges(filter, &arch, default)?;
        sections.push((arch, ranges));
    }
    let instructions = code::program(&sections, ret::KILL_THREAD);
    ensure!(
        instructions.len() <= LONGEST,
        "the filter takes {} instructions, the kernel at most {LONGEST}",
        instructions.len()
    );
    let mut flags = flags(filter);
    if notifies(filter) {
        flags |= libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    } else {
        flags &= !WAIT_KILLABLE_RECV; // the kernel takes it with a listener only
    }
    Ok(Program { instructions, flags })
}

/// For one architecture: from which number on a call is treated how, ascending from 0.
fn ranges(filter: &LinuxSeccomp, arch: &Arch, default: u32) -> Result<Vec<(u32, Outcome)>> {
    let mut calls: BTreeMap<u32, Outcome> = BTreeMap::new();
    let mut conditional = 0;
    for rule in filter.syscalls().iter().flatten() {
        let does = action(rule.action(), rule.errno_ret())?;
        // What would be done anyway is no rule, whatever stands before or after it.
        if does == default {
            continue;
        }
        let alternatives = conditions(rule.args().as_deref().unwrap_or_default())?;
        // A name that this architecture does not have cannot be called.
        for number in rule.names().iter().filter_map(|name| arch.number(name)) {
            let outcome =
                calls.entry(number).or_insert_with(|| Outcome { otherwise: default, ..Outcome::default() });
            match alternatives.as_slice() {
                [] => outcome.otherwise = does,
                some => {
                    // Each name of a rule takes all of its conditions: what cannot fit is refused before it takes memory.
                    conditional += some.len();
                    ensure!(
                        conditional <= LONGEST,
                        "the filter has more than {LONGEST} rules with conditions"
                    );
                    outcome.conditional.extend(some.iter().map(|all| (all.clone(), does)));
                }
            }
        }
    }
    let plain = |otherwise| Outcome { conditional: Vec::new(), otherwise };
    let mut ranges: Vec<(u32, Outcome)> = vec![(0, plain(default))];
    let mut from = |number: u32, outcome: Outcome| match ranges.last_mut() {
        Some((_, last)) if *last == outcome => {}
        Some((start, last)) if *start == number => *last = outcome,
        _ => ranges.push((number, outcome)),
    };
    let mut end = 0;
    for (number, outcome) in calls {
        if number > end {
            from(end, plain(default));
        }
        from(number, outcome);
        end = number + 1;
    }
    // Calls that are newer than the profile do not exist, as far as programs can tell: they fall back to older ones, where
    // they would take EPERM for an answer.
    let enosys = ret::ERRNO | libc::ENOSYS as u32;
    from(end, plain(if default & 0xffff_0000 == ret::ERRNO { enosys } else { default }));
    Ok(ranges)
}

/// The alternatives of a rule; none = it has no conditions.
fn conditions(args: &[LinuxSeccompArg]) -> Result<Vec<Vec<Condition>>> {
    let mut all = Vec::new();
    for arg in args {
        ensure!(arg.index() < 6, "args: index {}: a call has six arguments, 0 to 5", arg.index());
        all.push(Condition {
            index: arg.index() as u8,
            op: arg.op(),
            value: arg.value(),
            masked: arg.value_two().unwrap_or(0) & arg.value(),
        });
    }
    let repeats = |one: &Condition| all.iter().filter(|other| other.index == one.index).count() > 1;
    Ok(match all.iter().any(repeats) {
        true => all.into_iter().map(|one| vec![one]).collect(),
        false if all.is_empty() => Vec::new(),
        false => vec![all],
    })
}

/// What the program returns for an action.
fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32> {
    use LinuxSeccompAction::*;
    let data = errno.unwrap_or(libc::EPERM as u32) & 0xffff;
    Ok(match action {
        ScmpActKill | ScmpActKillThread => ret::KILL_THREAD,
        ScmpActKillProcess => ret::KILL_PROCESS,
        ScmpActTrap => ret::TRAP,
        ScmpActErrno => ret::ERRNO | data,
        ScmpActTrace => ret::TRACE | data,
        ScmpActLog => ret::LOG,
        ScmpActAllow => ret::ALLOW,
        ScmpActNotify => ret::NOTIFY,
    })
}

/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`
const WAIT_KILLABLE_RECV: u64 = 1 << 5;

/// The names of flags, and what must be set for the kernel to know each.
pub const FLAGS: [(&str, u64); 4] = [
    ("SECCOMP_FILTER_FLAG_LOG", libc::SECCOMP_FILTER_FLAG_LOG),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_TSYNC", libc::SECCOMP_FILTER_FLAG_TSYNC),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", WAIT_KILLABLE_RECV | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER),
];

/// Whether some call is to be decided by an agent, who listens at `listenerPath`.
pub fn notifies(filter: &LinuxSeccomp) -> bool {
    let rules = filter.syscalls().iter().flatten();
    rules
        .map(|rule| rule.action())
        .chain([filter.default_action()])
        .any(|action| action == LinuxSeccompAction::ScmpActNotify)
}

fn flags(filter: &LinuxSeccomp) -> u64 {
    let flag = |flag: &LinuxSeccompFilterFlag| match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => libc::SECCOMP_FILTER_FLAG_TSYNC,
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => libc::SECCOMP_FILTER_FLAG_LOG,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => WAIT_KILLABLE_RECV,
    };
    filter.flags().iter().flatten().map(flag).fold(0, |all, one| all | one)
}

#[cfg(test)]
mod tests;
