use super::code::{Instruction, op};
use super::*;

/// What a program answers, as the kernel would run it.
fn run(program: &Program, audit: u32, number: u32, args: [u64; 6]) -> u32 {
    let word = |at: u32| match at {
        0 => number,
        4 => audit,
        16..64 => {
            let arg = args[(at as usize - 16) / 8];
            if at.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
        }
        _ => panic!("nothing is at {at}"),
    };
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let Instruction { code, yes, no, k } = program.instructions[at];
        let jump = |holds: bool| usize::from(if holds { yes } else { no });
        at += 1;
        match code {
            op::LOAD => accumulator = word(k),
            op::AND => accumulator &= k,
            op::GOTO => at += k as usize,
            op::EQUAL => at += jump(accumulator == k),
            op::GREATER => at += jump(accumulator > k),
            op::AT_LEAST => at += jump(accumulator >= k),
            op::RETURN => return k,
            _ => panic!("no such instruction"),
        }
    }
}

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
const ENOSYS: u32 = ret::ERRNO | libc::ENOSYS as u32;
const EPERM: u32 = ret::ERRNO | libc::EPERM as u32;

fn filter(json: serde_json::Value) -> LinuxSeccomp {
    serde_json::from_value(json).unwrap()
}

fn number(name: &str) -> u32 {
    Arch::of_this_machine(&[])[0].number(name).unwrap()
}

fn answer(program: &Program, name: &str, args: &[u64]) -> u32 {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    run(program, X86_64, number(name), all)
}

#[test]
fn calls_have_their_action_and_all_others_the_default() {
    let program = compile(&filter(serde_json::json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": ["read", "write", "no_such_call", "openat2"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {"names": ["reboot"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["ptrace"], "action": "SCMP_ACT_TRACE", "errnoRet": 7},
            {"names": ["bpf"], "action": "SCMP_ACT_LOG"},
            {"names": ["mount"], "action": "SCMP_ACT_TRAP"},
        ],
    })))
    .unwrap();
    for (name, wanted) in [
        ("read", ret::ALLOW),
        ("write", ret::ALLOW),
        ("openat2", ret::ALLOW),
        ("open", EPERM),
        ("clone3", ENOSYS),
        ("reboot", ret::KILL_PROCESS),
        ("ptrace", ret::TRACE | 7),
        ("bpf", ret::LOG),
        ("mount", ret::TRAP),
    ] {
        assert_eq!(answer(&program, name, &[]), wanted, "{name}");
    }
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let of = |default: &str, errno: Option<u32>| {
        let mut json = serde_json::json!({"defaultAction": default, "syscalls": [{"names": ["openat2"], "action": "SCMP_ACT_ALLOW"}]});
        if let Some(errno) = errno {
            json["defaultErrnoRet"] = errno.into();
        }
        compile(&filter(json)).unwrap()
    };
    let newer = number("openat2") + 1;
    assert_eq!(run(&of("SCMP_ACT_ERRNO", None), X86_64, newer, [0; 6]), ENOSYS);
    assert_eq!(run(&of("SCMP_ACT_ERRNO", None), X86_64, newer - 2, [0; 6]), EPERM);
    assert_eq!(run(&of("SCMP_ACT_ALLOW", None), X86_64, newer, [0; 6]), ret::ALLOW);
    assert_eq!(run(&of("SCMP_ACT_KILL", None), X86_64, newer, [0; 6]), ret::KILL_THREAD);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn an_architecture_that_is_not_named_cannot_make_calls() {
    let of = |architectures: &[&str]| {
        let json = serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures, "syscalls": [{"names": ["reboot", "ioctl"], "action": "SCMP_ACT_ERRNO"}]});
        compile(&filter(json)).unwrap()
    };
    let all = of(&["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"]);
    let x32 = |number: u32| 0x4000_0000 | number;
    assert_eq!(run(&all, X86_64, 169, [0; 6]), EPERM, "reboot");
    assert_eq!(run(&all, X86, 88, [0; 6]), EPERM, "reboot of i386");
    assert_eq!(run(&all, X86, 169, [0; 6]), ret::ALLOW);
    assert_eq!(run(&all, X86_64, x32(169), [0; 6]), EPERM, "reboot of x32");
    assert_eq!(run(&all, X86_64, x32(514), [0; 6]), EPERM, "ioctl of x32");
    assert_eq!(run(&all, X86_64, x32(16), [0; 6]), ret::ALLOW, "not ioctl of x32");
    assert_eq!(run(&all, 0xc000_00b7, 0, [0; 6]), ret::KILL_THREAD);
    for native in [of(&[]), of(&["SCMP_ARCH_NATIVE"]), of(&["SCMP_ARCH_X86_64"])] {
        assert_eq!(run(&native, X86_64, 0, [0; 6]), ret::ALLOW);
        assert_eq!(run(&native, X86, 0, [0; 6]), ret::KILL_THREAD);
        assert_eq!(run(&native, X86_64, x32(0), [0; 6]), ret::KILL_THREAD);
    }
    let foreign = of(&["SCMP_ARCH_X86"]);
    assert_eq!(run(&foreign, X86_64, 0, [0; 6]), ret::KILL_THREAD);
}

/// Holds for every operator and for values around all that can be decided by half a word.
#[test]
fn conditions_compare_whole_arguments() {
    let values = [0, 1, 2, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, 0x2_0000_0000, u64::MAX - 1, u64::MAX];
    type Holds = fn(u64, u64) -> bool;
    let operators: [(&str, Holds); 6] = [
        ("NE", |arg, value| arg != value),
        ("LT", |arg, value| arg < value),
        ("LE", |arg, value| arg <= value),
        ("EQ", |arg, value| arg == value),
        ("GE", |arg, value| arg >= value),
        ("GT", |arg, value| arg > value),
    ];
    for (operator, holds) in operators {
        for value in values {
            let json = serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["ioctl"], "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 5, "value": value, "op": format!("SCMP_CMP_{operator}")}]}]});
            let program = compile(&filter(json)).unwrap();
            for arg in values {
                let wanted = if holds(arg, value) { ret::ALLOW } else { EPERM };
                assert_eq!(
                    answer(&program, "ioctl", &[9, 9, 9, 9, 9, arg]),
                    wanted,
                    "{arg:#x} {operator} {value:#x}"
                );
            }
        }
    }
}

#[test]
fn a_masked_argument_is_compared_with_the_second_value() {
    let json = serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["clone"], "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": 0x1_0000_00f0u64, "valueTwo": 0x10, "op": "SCMP_CMP_MASKED_EQ"}]}]});
    let program = compile(&filter(json)).unwrap();
    for (arg, wanted) in [(0x10, ret::ALLOW), (0xf0f_001f, ret::ALLOW), (0x20, EPERM), (0x1_0000_0010, EPERM)]
    {
        assert_eq!(answer(&program, "clone", &[arg]), wanted, "{arg:#x}");
    }
}

#[test]
fn all_conditions_of_a_rule_must_hold_but_one_of_several_on_an_argument() {
    let rule = |args: serde_json::Value| {
        let json = serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": args}]});
        compile(&filter(json)).unwrap()
    };
    let equal =
        |index: usize, value: u64| serde_json::json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"});
    let both = rule(serde_json::json!([equal(0, 1), equal(1, 2)]));
    assert_eq!(answer(&both, "ioctl", &[1, 2]), ret::ALLOW);
    assert_eq!(answer(&both, "ioctl", &[1, 3]), EPERM);
    assert_eq!(answer(&both, "ioctl", &[2, 2]), EPERM);
    let either = rule(serde_json::json!([equal(0, 1), equal(0, 2)]));
    assert_eq!(answer(&either, "ioctl", &[1]), ret::ALLOW);
    assert_eq!(answer(&either, "ioctl", &[2]), ret::ALLOW);
    assert_eq!(answer(&either, "ioctl", &[3]), EPERM);
}

#[test]
fn what_has_conditions_comes_before_what_has_none() {
    let json = serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["socket"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["socket"], "action": "SCMP_ACT_KILL_PROCESS", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}]},
    ]});
    let program = compile(&filter(json)).unwrap();
    assert_eq!(answer(&program, "socket", &[40]), ret::KILL_PROCESS);
    assert_eq!(answer(&program, "socket", &[2]), ret::ALLOW);
}

/// A program and a plain look at the list agree on every number, also where jumps are far.
#[test]
fn a_big_profile_is_decided_as_its_list_says_and_in_few_steps() {
    let names = syscalls::Sysno::iter().map(|call| call.name()).collect::<Vec<_>>();
    let some: Vec<&str> = names.iter().copied().filter(|name| !name.len().is_multiple_of(3)).collect();
    let many: Vec<_> = (0..100)
        .map(|value| serde_json::json!({"names": ["ioctl", "prctl"], "action": "SCMP_ACT_LOG", "args": [{"index": 1, "value": value, "op": "SCMP_CMP_EQ"}]}))
        .collect();
    let mut rules = vec![serde_json::json!({"names": some, "action": "SCMP_ACT_ALLOW"})];
    rules.extend(many);
    let program =
        compile(&filter(serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}))).unwrap();
    for name in &names {
        let wanted = if some.contains(name) { ret::ALLOW } else { EPERM };
        let beyond = number(name) > some.iter().map(|name| number(name)).max().unwrap();
        assert_eq!(answer(&program, name, &[0, 1000]), if beyond { ENOSYS } else { wanted }, "{name}");
    }
    assert_eq!(answer(&program, "ioctl", &[0, 99]), ret::LOG);
    assert_eq!(
        answer(&program, "ioctl", &[0, 1 << 32]),
        if some.contains(&"ioctl") { ret::ALLOW } else { EPERM }
    );
}

#[test]
fn what_the_kernel_does_not_have_is_refused() {
    let wrong = |json| compile(&filter(json)).unwrap_err().to_string();
    let args = serde_json::json!([{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]);
    let said = wrong(
        serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": args}]}),
    );
    assert!(said.contains("six arguments"), "{said}");
    let agent = compile(&filter(serde_json::json!({"defaultAction": "SCMP_ACT_NOTIFY"}))).unwrap();
    assert_eq!(agent.flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    let many: Vec<_> = (0..1000)
        .map(|value| serde_json::json!({"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": value, "op": "SCMP_CMP_EQ"}]}))
        .collect();
    let said = wrong(serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": many}));
    assert!(said.contains("4096"), "{said}");
    // Every name takes all the conditions of its rule.
    let args = vec![serde_json::json!({"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}); 10_000];
    let rule = serde_json::json!({"names": vec!["read"; 10_000], "action": "SCMP_ACT_ERRNO", "args": args});
    let said = wrong(serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}));
    assert!(said.contains("4096"), "{said}");
}
