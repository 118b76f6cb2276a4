use super::*;

fn resources(json: &str) -> LinuxResources {
    serde_json::from_str(json).unwrap()
}

fn told(json: &str, v2: bool, version: u32) -> String {
    let text = |(name, value): Property| match value {
        Value::Number(u64::MAX) => format!("{name}=infinity"),
        Value::Number(number) => format!("{name}={number}"),
        Value::Text(text) => format!("{name}={text}"),
        Value::Bytes(bytes) => format!("{name}={bytes:x?}"),
        Value::Pairs(pairs) => {
            let pairs: Vec<String> = pairs.iter().map(|(path, access)| format!("{path} {access}")).collect();
            format!("{name}={}", pairs.join(","))
        }
    };
    let all: Vec<String> = properties(&resources(json), v2, version).unwrap().into_iter().map(text).collect();
    all.join(" ")
}

#[test]
fn a_slice_is_in_the_slices_that_its_name_tells() {
    let pairs = [
        ("system.slice", "system.slice"),
        ("a-b-c.slice", "a.slice/a-b.slice/a-b-c.slice"),
        (
            "kubepods-besteffort-pod1_2.slice",
            "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice",
        ),
        ("-.slice", ""),
    ];
    for (slice, expected) in pairs {
        assert_eq!(expand(slice).unwrap(), expected);
    }
    for bad in ["", ".slice", "a", "a.scope", "-a.slice", "a--b.slice", "a-.slice", "a/b.slice", "a b.slice"]
    {
        assert!(expand(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_scope_has_the_name_that_other_runtimes_give_it() {
    let one = scope("", "runc", "web").unwrap();
    assert_eq!((one.unit.as_str(), one.slice.as_str()), ("runc-web.scope", "system.slice"));
    assert_eq!(one.path, "system.slice/runc-web.scope");
    assert_eq!(scope("-.slice", "", "web").unwrap().path, "web.scope");
    for (prefix, name) in [("p", ""), ("p", "a/b"), ("p", "a b"), ("p", "x.slice"), ("p", &"x".repeat(255))] {
        assert!(scope("", prefix, name).is_err(), "{prefix:?} {name:?}");
    }
}

#[test]
fn limits_become_the_properties_of_their_version_of_cgroups() {
    let json = r#"{"memory": {"limit": 67108864, "swap": 134217728, "reservation": 33554432},
        "cpu": {"shares": 512, "quota": 25000, "period": 20000, "cpus": "0-1,9", "mems": "0"},
        "pids": {"limit": 40}, "blockIO": {"weight": 500}}"#;
    assert_eq!(
        told(json, true, 252),
        "MemoryMax=67108864 MemoryLow=33554432 MemorySwapMax=67108864 CPUWeight=59 CPUQuotaPeriodUSec=20000 \
         CPUQuotaPerSecUSec=1250000 AllowedCPUs=[3, 2] AllowedMemoryNodes=[1] TasksMax=40 IOWeight=4950"
    );
    assert_eq!(
        told(json, false, 241),
        "MemoryLimit=67108864 CPUShares=512 CPUQuotaPerSecUSec=1250000 TasksMax=40 BlockIOWeight=500"
    );
}

#[test]
fn no_limit_is_infinity_and_zero_is_not_said() {
    let json = r#"{"memory": {"limit": -1, "reservation": 0}, "cpu": {"shares": 0, "quota": -1}, "pids": {"limit": -1}}"#;
    assert_eq!(
        told(json, true, 252),
        "MemoryMax=infinity MemorySwapMax=infinity CPUQuotaPerSecUSec=infinity TasksMax=infinity"
    );
    assert_eq!(told(r#"{"pids": {"limit": 0}, "memory": {"swap": 0}}"#, true, 252), "");
}

#[test]
fn a_quota_is_rounded_up_to_whole_percents() {
    assert_eq!(told(r#"{"cpu": {"quota": 12345}}"#, true, 252), "CPUQuotaPerSecUSec=130000");
    assert_eq!(
        told(r#"{"cpu": {"quota": 9223372036854775807, "period": 1}}"#, true, 241),
        "CPUQuotaPerSecUSec=infinity",
        "too large for a number"
    );
}

#[test]
fn idle_is_a_weight_of_0_for_a_systemd_that_knows_it() {
    let json = r#"{"cpu": {"idle": 1, "shares": 1024}}"#;
    assert_eq!(told(json, true, 252), "CPUWeight=0");
    assert_eq!(told(json, true, 251), "CPUWeight=100");
}

#[test]
fn device_rules_are_said_as_far_as_systemd_has_words_for_them() {
    let list = r#"{"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "b", "major": 8, "minor": 0, "access": "rw"},
        {"allow": true, "type": "c", "major": 89, "access": "rwm"}]}"#;
    let text = told(list, true, 252);
    assert!(text.starts_with("DeviceAllow= DevicePolicy=strict DeviceAllow="), "{text}");
    for entry in
        ["/dev/block/8:0 rw", "char-89 rwm", "char-* m", "block-* m", "/dev/char/1:3 rwm", "char-136 rwm"]
    {
        assert!(text.split(['=', ',']).any(|one| one == entry), "{entry}: {text}");
    }
    for rest in [
        r#"{"devices": [{"allow": true}, {"allow": false, "type": "b", "major": 8, "minor": 0, "access": "r"}]}"#,
        r#"{"devices": [{"allow": true, "type": "c", "minor": 7, "access": "r"}]}"#,
    ] {
        assert_eq!(told(rest, true, 252), "DeviceAllow= DevicePolicy=auto");
    }
}

#[test]
fn a_list_becomes_bits_from_the_lowest_byte_on() {
    assert_eq!(mask("0-7,16").unwrap(), [0xff, 0, 1]);
    assert!(mask("3-1").is_err() && mask("x").is_err());
}
