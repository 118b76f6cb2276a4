//! Which devices may be used: v1 `devices.allow` and `devices.deny`, on v2 a BPF program (bpf(2), cgroup-v2 "Device
//! controller").
//!
//! OCI's list of rules is first reduced to a [`Policy`], pure and the same for both: a default and its exceptions.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::tree;
use crate::kernel::sys;

/// The access bits of `BPF_DEVCG_ACC_*`.
const MKNOD: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;
const ALL: u8 = MKNOD | READ | WRITE;

/// One or all devices of a kind; `None` is `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Device {
    block: bool,
    major: Option<u32>,
    minor: Option<u32>,
}

/// A default verdict and the accesses for which the opposite holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    allow_by_default: bool,
    exceptions: BTreeMap<Device, u8>,
    /// Which of them came first.
    order: BTreeMap<Device, usize>,
}

/// What every container may use (runtime-spec "Default Devices", as runc and crun read it): null, zero, full, random,
/// urandom, tty, ptmx and the pseudo-terminals; and mknod of anything, because a node alone opens nothing.
pub fn default_device_rules() -> Vec<LinuxDeviceCgroup> {
    use LinuxDeviceType::{B, C};
    let rule = |kind: LinuxDeviceType, major: Option<i64>, minor: Option<i64>, access: &str| {
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(true).set_typ(Some(kind)).set_access(Some(access.to_owned()));
        rule.set_major(major);
        rule.set_minor(minor);
        rule
    };
    let mut rules = vec![rule(C, None, None, "m"), rule(B, None, None, "m")];
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)] {
        rules.push(rule(C, Some(major), Some(minor), "rwm"));
    }
    rules.push(rule(C, Some(136), None, "rwm"));
    rules
}

impl Policy {
    /// Applies the rules in order, beginning with "deny all". Type `a`, which is also the type of a rule without one, means
    /// every device and every access and starts anew. Refused: a rule that would change part of what a wildcard exception
    /// covers, since v1 cannot express it.
    pub fn of<'a>(rules: impl Iterator<Item = &'a LinuxDeviceCgroup>) -> Result<Policy> {
        let mut policy = Policy::default();
        for rule in rules {
            policy.add(rule).with_context(|| format!("device rule \"{} {rule}\"", verb(rule.allow())))?;
        }
        Ok(policy)
    }

    fn add(&mut self, rule: &LinuxDeviceCgroup) -> Result<()> {
        let number = |value: Option<i64>, limit: i64| match value {
            None | Some(-1) => Ok(None),
            Some(value) if (0..=limit).contains(&value) => Ok(Some(value as u32)),
            Some(value) => bail!("{value} is no device number"),
        };
        // MINORBITS is 20 and leaves 12 for the major.
        let (major, minor) = (number(rule.major(), 0xfff)?, number(rule.minor(), 0xf_ffff)?);
        let access = access_bits(rule.access().as_deref().unwrap_or_default())?;
        let block = match rule.typ().unwrap_or_default() {
            LinuxDeviceType::A => {
                ensure!(major.is_none() && minor.is_none(), "type a means all devices and takes no numbers");
                ensure!(access == 0 || access == ALL, "type a means every access");
                *self = Policy { allow_by_default: rule.allow(), ..Policy::default() };
                return Ok(());
            }
            LinuxDeviceType::B => true,
            LinuxDeviceType::C | LinuxDeviceType::U => false,
            LinuxDeviceType::P => bail!("type p is not a device"),
        };
        ensure!(access != 0, "no access is given");
        let device = Device { block, major, minor };
        if rule.allow() != self.allow_by_default {
            *self.exceptions.entry(device).or_default() |= access;
            let last = self.order.len();
            self.order.entry(device).or_insert(last);
            return Ok(());
        }
        // Back to the default: takes the access from this exception, and from no wider one.
        for (other, bits) in &self.exceptions {
            let overlaps = *other != device && other.overlaps(&device) && bits & access != 0;
            ensure!(
                !overlaps,
                "it would change a part of \"{} {other} {}\"",
                verb(!self.allow_by_default),
                letters(*bits)
            );
        }
        if let Some(bits) = self.exceptions.get_mut(&device) {
            *bits &= !access;
        }
        self.exceptions.retain(|_, bits| *bits != 0);
        self.order.retain(|device, _| self.exceptions.contains_key(device));
        Ok(())
    }

    /// The writes to v1's files: first the default, which clears the list, then the exceptions in the order of the rules, which is
    /// that of devices.list.
    pub fn v1_writes(&self) -> Vec<(&'static str, String)> {
        let file = |allow: bool| if allow { "devices.allow" } else { "devices.deny" };
        let mut writes = vec![(file(self.allow_by_default), "a".to_owned())];
        let mut exceptions: Vec<_> = self.exceptions.iter().collect();
        exceptions.sort_by_key(|(device, _)| self.order.get(device));
        writes.extend(
            exceptions
                .into_iter()
                .map(|(device, bits)| (file(!self.allow_by_default), format!("{device} {}", letters(*bits)))),
        );
        writes
    }

    /// The lines that v1's `devices.list` must show, sorted. It keeps silent about denials below "allow all".
    fn v1_list(&self) -> Vec<String> {
        if self.allow_by_default {
            return vec!["a *:* rwm".to_owned()];
        }
        let mut lines: Vec<String> =
            self.exceptions.iter().map(|(device, bits)| format!("{device} {}", letters(*bits))).collect();
        lines.sort();
        lines
    }

    /// What is allowed, as pairs of systemd's `DeviceAllow` for a `DevicePolicy` of strict; `None` when systemd cannot say it:
    /// "allow all but", or one minor number of every major.
    pub fn for_systemd(&self) -> Option<Vec<(String, String)>> {
        let name = |device: &Device| match (device.block, device.major, device.minor) {
            (_, None, Some(_)) => None,
            (true, None, None) => Some("block-*".to_owned()),
            (false, None, None) => Some("char-*".to_owned()),
            (true, Some(major), None) => Some(format!("block-{major}")),
            (false, Some(major), None) => Some(format!("char-{major}")),
            (true, Some(major), Some(minor)) => Some(format!("/dev/block/{major}:{minor}")),
            (false, Some(major), Some(minor)) => Some(format!("/dev/char/{major}:{minor}")),
        };
        let one = |(device, bits): (&Device, &u8)| Some((name(device)?, letters(*bits)));
        if self.allow_by_default { None } else { self.exceptions.iter().map(one).collect() }
    }

    /// The BPF program: one block per exception, that leaves with the verdict if all fits, then the default. The kernel
    /// calls it with R1 pointing to `{ access << 16 | type, major, minor }` (struct bpf_cgroup_dev_ctx) and allows on 1.
    pub fn program(&self) -> Vec<u64> {
        use bpf::*;
        let verdict = i32::from(!self.allow_by_default);
        let mut program = vec![
            load_word(2, 1, 0),
            move_register(3, 2),
            and(2, 0xffff),
            shift_right(3, 16),
            load_word(4, 1, 4),
            load_word(5, 1, 8),
        ];
        for (device, bits) in &self.exceptions {
            // Each check that fails jumps behind the block; how far is known when the block is complete.
            let mut block = vec![jump_if_not(2, if device.block { 1 } else { 2 })];
            if self.allow_by_default {
                // A denial holds if any of the wanted accesses is denied …
                block.extend([move_register(1, 3), and(1, i32::from(*bits)), jump_if(1, 0)]);
            } else if *bits != ALL {
                // … a permission if all of them are allowed.
                block.extend([move_register(1, 3), and(1, i32::from(*bits)), jump_if_not_same(1, 3)]);
            }
            block.extend(device.major.map(|major| jump_if_not(4, major as i32)));
            block.extend(device.minor.map(|minor| jump_if_not(5, minor as i32)));
            block.extend([move_number(0, verdict), exit()]);
            let length = block.len();
            let with_targets = block.into_iter().enumerate();
            program.extend(with_targets.map(|(at, instruction)| aim(instruction, length - at - 1)));
        }
        program.extend([move_number(0, 1 - verdict), exit()]);
        program
    }
}

impl Device {
    fn overlaps(&self, other: &Device) -> bool {
        let meet = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.block == other.block && meet(self.major, other.major) && meet(self.minor, other.minor)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        write!(f, "{} {}:{}", if self.block { 'b' } else { 'c' }, number(self.major), number(self.minor))
    }
}

fn verb(allow: bool) -> &'static str {
    if allow { "allow" } else { "deny" }
}

fn access_bits(text: &str) -> Result<u8> {
    text.chars().try_fold(0, |bits, letter| match letter {
        'r' => Ok(bits | READ),
        'w' => Ok(bits | WRITE),
        'm' => Ok(bits | MKNOD),
        _ => bail!("access {letter:?} is none of r, w, m"),
    })
}

/// In the order in which the kernel prints them.
fn letters(bits: u8) -> String {
    [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, letter)| letter)
        .collect()
}

/// Instructions of the BPF machine, bpf-instructions "Instruction set": opcode, registers, offset, immediate in 64 bits.
mod bpf {
    fn encode(code: u8, to: u8, from: u8, offset: i16, number: i32) -> u64 {
        let registers = from << 4 | to;
        u64::from(code)
            | u64::from(registers) << 8
            | u64::from(offset as u16) << 16
            | u64::from(number as u32) << 32
    }
    pub fn load_word(to: u8, from: u8, offset: i16) -> u64 {
        encode(0x61, to, from, offset, 0)
    }
    pub fn move_register(to: u8, from: u8) -> u64 {
        encode(0xbf, to, from, 0, 0)
    }
    pub fn move_number(to: u8, number: i32) -> u64 {
        encode(0xb7, to, 0, 0, number)
    }
    pub fn and(to: u8, number: i32) -> u64 {
        encode(0x57, to, 0, 0, number)
    }
    pub fn shift_right(to: u8, number: i32) -> u64 {
        encode(0x77, to, 0, 0, number)
    }
    pub fn jump_if(register: u8, number: i32) -> u64 {
        encode(0x15, register, 0, 0, number)
    }
    pub fn jump_if_not(register: u8, number: i32) -> u64 {
        encode(0x55, register, 0, 0, number)
    }
    pub fn jump_if_not_same(register: u8, other: u8) -> u64 {
        encode(0x5d, register, other, 0, 0)
    }
    pub fn exit() -> u64 {
        encode(0x95, 0, 0, 0, 0)
    }
    /// Sets the offset of a conditional jump; other instructions stay as they are.
    pub fn aim(instruction: u64, offset: usize) -> u64 {
        if matches!(instruction as u8, 0x15 | 0x55 | 0x5d) {
            instruction | (offset as u64) << 16
        } else {
            instruction
        }
    }
}

/// Sets the policy of a v1 cgroup.
pub(super) fn write_v1(dir: &Path, policy: &Policy) -> Result<()> {
    for lines in policy.v1_writes().chunk_by(|(one, _), (next, _)| one == next) {
        tree::write_lines(dir, lines[0].0, lines.iter().map(|(_, line)| line.as_str()))?;
    }
    confirm_v1(dir, policy)
}

fn confirm_v1(dir: &Path, policy: &Policy) -> Result<()> {
    let list = tree::read(dir, "devices.list")?;
    let mut now: Vec<&str> = list.lines().collect();
    now.sort_unstable();
    ensure!(
        now == policy.v1_list(),
        "{}/devices.list is {now:?} and not {:?}",
        dir.display(),
        policy.v1_list()
    );
    Ok(())
}

/// Changes the policy of a v1 cgroup in which processes live: only what differs, so that no device that was and will be
/// allowed is refused in between. To allow all is the exception: Linux clears the list before it has the new default.
pub(super) fn change_v1(dir: &Path, policy: &Policy) -> Result<()> {
    let list = tree::read(dir, "devices.list")?;
    let Some(now) = parse_list(&list).filter(|_| !policy.allow_by_default) else {
        let same = policy.exceptions.is_empty() && list.lines().eq(policy.v1_list());
        return if same { Ok(()) } else { write_v1(dir, policy) };
    };
    let none = 0;
    for (file, from, to) in
        [("devices.allow", &now, &policy.exceptions), ("devices.deny", &policy.exceptions, &now)]
    {
        for (device, bits) in to {
            let change = bits & !from.get(device).unwrap_or(&none);
            if change != 0 {
                tree::write(dir, file, &format!("{device} {}", letters(change)))?;
            }
        }
    }
    confirm_v1(dir, policy)
}

/// What `devices.list` allows below "deny all"; `None` when it allows all, or is not understood.
fn parse_list(list: &str) -> Option<BTreeMap<Device, u8>> {
    let number = |text: &str| if text == "*" { Some(None) } else { text.parse().ok().map(Some) };
    let mut devices = BTreeMap::new();
    for line in list.lines() {
        let mut words = line.split(' ');
        let block = match words.next()? {
            "b" => true,
            "c" => false,
            _ => return None,
        };
        let (major, minor) = words.next()?.split_once(':')?;
        let device = Device { block, major: number(major)?, minor: number(minor)? };
        devices.insert(device, access_bits(words.next()?).ok()?);
    }
    Some(devices)
}

/// Attaches the policy to a v2 cgroup in place of an earlier one; meanwhile both hold.
pub(super) fn attach(dir: &Path, policy: &Policy) -> Result<()> {
    let cgroup = File::open(dir).with_context(|| format!("open cgroup {}", dir.display()))?;
    let cgroup = cgroup.as_fd();
    let earlier = sys::device_programs(cgroup).context("query device programs")?;
    let program = sys::load_device_program(&policy.program()).context("load device program")?;
    sys::attach_device_program(cgroup, program.as_fd())
        .with_context(|| format!("attach device program to {}", dir.display()))?;
    for id in &earlier {
        let old = sys::program_by_id(*id).context("open earlier device program")?;
        sys::detach_device_program(cgroup, old.as_fd()).context("detach earlier device program")?;
    }
    let now = sys::device_programs(cgroup).context("query device programs")?;
    ensure!(
        now.len() == 1 && !earlier.contains(&now[0]),
        "cgroup {} has device programs {now:?}",
        dir.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests;
