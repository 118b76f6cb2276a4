//! From ranges to instructions of classic BPF, `linux/filter.h`. Every piece but a rule ends in a return on each of its ways,
//! so that pieces are put together without labels; jumps go forward only, as the kernel wants it.

use oci_spec::runtime::LinuxSeccompOperator::*;
use serde::Serialize;

use super::{Arch, Condition, Outcome, ret};

/// `struct sock_filter`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Instruction {
    /// What.
    pub code: u16,
    /// How many instructions to skip if true.
    pub yes: u8,
    /// And if false.
    pub no: u8,
    /// Operand.
    pub k: u32,
}

/// Operations: the word at `k` of the call's data, comparisons with `k`, and so on.
pub mod op {
    pub const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    pub const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
    pub const GOTO: u16 = 0x05; // BPF_JMP | BPF_JA
    pub const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    pub const GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
    pub const AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    pub const RETURN: u16 = 0x06; // BPF_RET | BPF_K
}

/// Where things are in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

fn plain(code: u16, k: u32) -> Instruction {
    Instruction { code, yes: 0, no: 0, k }
}

/// `if compare { then } else { otherwise }`
fn choose(compare: u16, k: u32, then: Vec<Instruction>, otherwise: Vec<Instruction>) -> Vec<Instruction> {
    let mut code = match u8::try_from(then.len()) {
        Ok(no) => vec![Instruction { code: compare, yes: 0, no, k }],
        // A conditional jump reaches 255 instructions, goto any.
        Err(_) => {
            vec![Instruction { code: compare, yes: 1, no: 0, k }, plain(op::GOTO, then.len() as u32)]
        }
    };
    code.extend(then);
    code.extend(otherwise);
    code
}

/// The whole program; what comes from an architecture that has no section is answered with `foreign`.
pub fn program(sections: &[(Arch, Vec<(u32, Outcome)>)], foreign: u32) -> Vec<Instruction> {
    // Architectures that differ only in the number's highest bits are one to the kernel.
    let mut audits: Vec<u32> = sections.iter().map(|(arch, _)| arch.audit).collect();
    audits.dedup();
    let mut code = vec![plain(op::RETURN, foreign)];
    for audit in audits.iter().rev() {
        let mut ranges: Vec<(u32, &Outcome)> = Vec::new();
        let mut own: Vec<_> = sections.iter().filter(|(arch, _)| arch.audit == *audit).collect();
        own.sort_by_key(|(arch, _)| arch.base);
        for (arch, outcomes) in own {
            ranges.extend(outcomes.iter().map(|(from, outcome)| (arch.base + from, outcome)));
        }
        code = choose(op::EQUAL, *audit, section(*audit, &ranges, foreign), code);
    }
    code.insert(0, plain(op::LOAD, ARCH));
    code
}

fn section(audit: u32, ranges: &[(u32, &Outcome)], foreign: u32) -> Vec<Instruction> {
    let foreign = Outcome { conditional: Vec::new(), otherwise: foreign };
    let mut all = ranges.to_vec();
    // The kernel gives x32 the architecture of x86_64: without a section of its own it is foreign.
    const X32: u32 = 0x4000_0000;
    const X86_64: u32 = 0xc000_003e;
    if audit == X86_64 && !all.iter().any(|(from, _)| *from >= X32) {
        all.push((X32, &foreign));
    }
    if all.first().is_none_or(|(from, _)| *from > 0) {
        all.insert(0, (0, &foreign));
    }
    let mut code = vec![plain(op::LOAD, NUMBER)];
    code.extend(bisect(&all));
    code
}

/// Finds the range that the number in the accumulator lies in.
fn bisect(ranges: &[(u32, &Outcome)]) -> Vec<Instruction> {
    match ranges {
        [] => vec![plain(op::RETURN, ret::KILL_THREAD)],
        [(_, only)] => outcome(only),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            choose(op::AT_LEAST, high[0].0, bisect(high), bisect(low))
        }
    }
}

/// The rules in their order, each behind a jump over it, then what holds without conditions.
fn outcome(outcome: &Outcome) -> Vec<Instruction> {
    let mut code = Vec::new();
    for (conditions, does) in &outcome.conditional {
        code.extend(rule(conditions, *does));
    }
    code.push(plain(op::RETURN, outcome.otherwise));
    code
}

/// Where a comparison goes on.
#[derive(Clone, Copy)]
enum To {
    /// To the instruction behind it.
    Next,
    /// The condition holds: behind its last instruction.
    Holds,
    /// It does not: behind the rule.
    Fails,
}

/// Returns `does` if all conditions hold, and is run through to its end if not.
fn rule(conditions: &[Condition], does: u32) -> Vec<Instruction> {
    let blocks: Vec<Vec<(u16, u32, To, To)>> = conditions.iter().map(check).collect();
    // Six conditions are 36 instructions: every jump fits.
    let length: usize = blocks.iter().map(Vec::len).sum::<usize>() + 1;
    let mut code: Vec<Instruction> = Vec::new();
    for block in blocks {
        let end = code.len() + block.len();
        for (what, k, yes, no) in block {
            let next = code.len() + 1;
            let skip = |to| match to {
                To::Next => 0,
                To::Holds => (end - next) as u8,
                To::Fails => (length - next) as u8,
            };
            code.push(Instruction { code: what, yes: skip(yes), no: skip(no), k });
        }
    }
    code.push(plain(op::RETURN, does));
    code
}

/// One condition. An argument has 64 bits and the accumulator 32: the upper half is looked at first, and the lower one if
/// that has not decided.
fn check(condition: &Condition) -> Vec<(u16, u32, To, To)> {
    use To::{Fails, Holds, Next};
    let Condition { index, op: operator, value, masked } = *condition;
    let low_half = ARGUMENTS + 8 * u32::from(index) + if cfg!(target_endian = "big") { 4 } else { 0 };
    let high_half = low_half ^ 4;
    let (high, low) = ((value >> 32) as u32, value as u32);
    let load = |half| (op::LOAD, half, Next, Next);
    match operator {
        ScmpCmpEq => vec![
            load(high_half),
            (op::EQUAL, high, Next, Fails),
            load(low_half),
            (op::EQUAL, low, Next, Fails),
        ],
        ScmpCmpNe => vec![
            load(high_half),
            (op::EQUAL, high, Next, Holds),
            load(low_half),
            (op::EQUAL, low, Fails, Next),
        ],
        ScmpCmpGt | ScmpCmpGe => vec![
            load(high_half),
            (op::GREATER, high, Holds, Next),
            (op::EQUAL, high, Next, Fails),
            load(low_half),
            (if operator == ScmpCmpGt { op::GREATER } else { op::AT_LEAST }, low, Next, Fails),
        ],
        ScmpCmpLt | ScmpCmpLe => vec![
            load(high_half),
            (op::GREATER, high, Fails, Next),
            (op::EQUAL, high, Next, Holds),
            load(low_half),
            (if operator == ScmpCmpLt { op::AT_LEAST } else { op::GREATER }, low, Fails, Next),
        ],
        ScmpCmpMaskedEq => vec![
            load(high_half),
            (op::AND, high, Next, Next),
            (op::EQUAL, (masked >> 32) as u32, Next, Fails),
            load(low_half),
            (op::AND, low, Next, Next),
            (op::EQUAL, masked as u32, Next, Fails),
        ],
    }
}
