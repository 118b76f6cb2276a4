use super::*;

fn rule(text: &str) -> LinuxDeviceCgroup {
    let [verb, kind, numbers, access] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    let (major, minor) = numbers.split_once(':').unwrap();
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(verb == "allow");
    rule.set_typ(match kind {
        "a" => Some(LinuxDeviceType::A),
        "b" => Some(LinuxDeviceType::B),
        "c" => Some(LinuxDeviceType::C),
        "u" => Some(LinuxDeviceType::U),
        "p" => Some(LinuxDeviceType::P),
        _ => None,
    });
    rule.set_major(major.parse().ok());
    rule.set_minor(minor.parse().ok());
    rule.set_access(Some(access.to_owned()).filter(|access| access != "-"));
    rule
}

fn policy(rules: &[&str]) -> Result<Policy> {
    let rules: Vec<_> = rules.iter().map(|text| rule(text)).collect();
    Policy::of(rules.iter())
}

/// The verdict of the v1 device controller, as security/device_cgroup.c words it.
fn allowed_on_v1(policy: &Policy, block: bool, major: u32, minor: u32, wanted: u8) -> bool {
    let fits = |device: &Device| {
        device.block == block
            && device.major.is_none_or(|m| m == major)
            && device.minor.is_none_or(|m| m == minor)
    };
    let mut exceptions = policy.exceptions.iter().filter(|(device, _)| fits(device));
    if policy.allow_by_default {
        !exceptions.any(|(_, bits)| bits & wanted != 0)
    } else {
        exceptions.any(|(_, bits)| wanted & !bits == 0)
    }
}

/// Runs a program of the few instructions in use.
fn run(program: &[u64], block: bool, major: u32, minor: u32, wanted: u8) -> u64 {
    let context = [u64::from(wanted) << 16 | if block { 1 } else { 2 }, u64::from(major), u64::from(minor)];
    let mut registers = [0u64; 11];
    let mut at = 0;
    loop {
        let instruction = program[at];
        at += 1;
        let (to, from) = ((instruction >> 8 & 0xf) as usize, (instruction >> 12 & 0xf) as usize);
        let offset = (instruction >> 16) as u16 as usize;
        let number = (instruction >> 32) as u32 as i32 as i64 as u64;
        match instruction as u8 {
            0x61 => registers[to] = context[offset / 4],
            0xbf => registers[to] = registers[from],
            0xb7 => registers[to] = number,
            0x57 => registers[to] &= number,
            0x77 => registers[to] >>= number,
            0x15 if registers[to] == number => at += offset,
            0x55 if registers[to] != number => at += offset,
            0x5d if registers[to] != registers[from] => at += offset,
            0x15 | 0x55 | 0x5d => {}
            0x95 => return registers[0],
            other => panic!("opcode {other:#x}"),
        }
    }
}

#[test]
fn the_program_and_v1_agree_on_every_access() {
    let policies = [
        policy(&[]).unwrap(),
        policy(&["allow a *:* rwm"]).unwrap(),
        Policy::of(default_device_rules().iter()).unwrap(),
        policy(&["deny a *:* rwm", "allow c 1:3 r", "allow c 1:* w", "allow b *:7 m", "allow b 8:* rw"])
            .unwrap(),
        policy(&["allow a *:* rwm", "deny c 1:3 w", "deny b 8:* rw", "deny c *:5 m"]).unwrap(),
        policy(&["allow c 4095:1048575 rwm"]).unwrap(),
    ];
    for policy in &policies {
        let program = policy.program();
        for block in [false, true] {
            for major in [0, 1, 5, 8, 136, 4095] {
                for minor in [0, 3, 5, 7, 1_048_575] {
                    for wanted in 1..=ALL {
                        let verdict = run(&program, block, major, minor, wanted) == 1;
                        let expected = allowed_on_v1(policy, block, major, minor, wanted);
                        assert_eq!(verdict, expected, "{block} {major}:{minor} {wanted} under {policy:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_default_devices_are_usable_and_the_disk_is_not() {
    let program = Policy::of(default_device_rules().iter()).unwrap().program();
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, 0), (136, 77)] {
        assert_eq!(run(&program, false, major, minor, READ | WRITE), 1, "c {major}:{minor}");
    }
    for (block, major, minor) in
        [(true, 8, 0), (true, 254, 0), (false, 1, 1), (false, 1, 2), (false, 10, 200)]
    {
        assert_eq!(run(&program, block, major, minor, READ), 0, "{major}:{minor}");
        assert_eq!(run(&program, block, major, minor, MKNOD), 1, "{major}:{minor}");
    }
}

#[test]
fn without_any_rule_everything_is_denied() {
    assert_eq!(policy(&[]).unwrap().v1_writes(), [("devices.deny", "a".to_owned())]);
    assert_eq!(
        policy(&["allow c 10:200 rwm"]).unwrap(),
        policy(&["deny a *:* rwm", "allow c 10:200 rwm"]).unwrap()
    );
}

#[test]
fn a_rule_without_a_type_means_all_devices() {
    assert_eq!(policy(&["allow - *:* rwm"]).unwrap().v1_writes(), [("devices.allow", "a".to_owned())]);
    assert_eq!(policy(&["allow c 1:3 r", "deny - *:* -"]).unwrap(), Policy::default());
    assert_eq!(policy(&["allow c 1:3 r", "deny a -1:-1 rwm"]).unwrap(), Policy::default());
}

#[test]
fn accesses_to_one_device_add_up_and_are_taken_away_again() {
    let sum = policy(&["allow c 1:3 r", "allow u 1:3 w", "allow c *:* m"]).unwrap();
    assert_eq!(sum.v1_list(), ["c *:* m", "c 1:3 rw"]);
    assert_eq!(
        sum.v1_writes(),
        [
            ("devices.deny", "a".into()),
            ("devices.allow", "c 1:3 rw".into()),
            ("devices.allow", "c *:* m".into())
        ],
        "in the order of the rules"
    );
    assert_eq!(policy(&["allow c 1:3 rw", "deny c 1:3 r"]).unwrap().v1_list(), ["c 1:3 w"]);
    assert_eq!(policy(&["allow c 1:3 r", "deny c 1:3 rwm"]).unwrap(), Policy::default());
    assert_eq!(policy(&["deny c 1:3 r"]).unwrap(), Policy::default(), "what is denied already may be denied");
}

#[test]
fn below_allow_all_the_exceptions_are_denials() {
    let policy = policy(&["allow a *:* rwm", "deny b 8:* rwm", "deny c 1:1 w", "allow c 1:1 w"]).unwrap();
    assert_eq!(policy.v1_writes(), [("devices.allow", "a".into()), ("devices.deny", "b 8:* rwm".into())]);
}

#[test]
fn a_hole_in_a_wildcard_is_refused_with_both_rules_named() {
    let error = format!("{:#}", policy(&["allow c 1:* rw", "deny c 1:3 w"]).unwrap_err());
    assert!(error.contains("deny c 1:3 w") && error.contains("allow c 1:* rw"), "{error}");
    assert!(policy(&["allow c 1:3 rw", "deny c *:* w"]).is_err(), "nor is part of a narrower one left");
    assert!(policy(&["allow c 1:* r", "deny c 1:3 w"]).is_ok(), "other accesses do not meet");
    assert!(policy(&["allow c 1:* r", "deny b 1:3 r"]).is_ok(), "other kinds do not meet");
}

#[test]
fn what_is_no_device_is_refused() {
    for bad in [
        "allow p 1:3 rwm",
        "allow c 1:3 -",
        "allow c 1:3 rx",
        "allow c 4096:0 r",
        "allow c 0:1048576 r",
        "allow c -2:0 r",
        "allow a 1:* rwm",
        "deny a *:* r",
    ] {
        assert!(policy(&[bad]).is_err(), "{bad}");
    }
}

#[test]
fn instructions_are_encoded_as_the_kernel_reads_them() {
    // r4 = *(u32 *)(r1 + 4); if r4 != 136 goto +2; r0 = 1; exit
    assert_eq!(bpf::load_word(4, 1, 4).to_le_bytes(), [0x61, 0x14, 4, 0, 0, 0, 0, 0]);
    assert_eq!(bpf::aim(bpf::jump_if_not(4, 136), 2).to_le_bytes(), [0x55, 0x04, 2, 0, 136, 0, 0, 0]);
    assert_eq!(bpf::move_number(0, 1).to_le_bytes(), [0xb7, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(bpf::exit().to_le_bytes(), [0x95, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_list_of_the_kernel_is_read_back_as_it_was_written() {
    let policy = Policy::of(default_device_rules().iter()).unwrap();
    assert_eq!(parse_list(&policy.v1_list().join("\n")), Some(policy.exceptions));
    assert_eq!(parse_list(""), Some(BTreeMap::new()));
    assert_eq!(parse_list("a *:* rwm"), None);
}
