//! What the API server takes for a name. Each function returns what is wrong, as the end of a sentence.

use crate::plan::refuse::IPC_SYSCTLS;

/// A DNS-1123 label: containers, volumes, hostname, namespace.
pub fn label(name: &str) -> Result<(), String> {
    if name.len() > 63 {
        return Err("is longer than 63 characters".to_owned());
    }
    if is_label(name) {
        Ok(())
    } else {
        Err("is not a DNS label: lower-case letters, digits and - inside".to_owned())
    }
}

/// A DNS-1123 subdomain: the pod.
pub fn subdomain(name: &str) -> Result<(), String> {
    if name.len() > 253 {
        return Err("is longer than 253 characters".to_owned());
    }
    if name.split('.').all(is_label) {
        Ok(())
    } else {
        Err("is not a DNS name: lower-case letters, digits, and - or . inside".to_owned())
    }
}

fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

/// An environment variable: anything printable in ASCII but `=`, as since Kubernetes 1.34.
pub fn variable(name: &str) -> Result<(), String> {
    match name.bytes().find(|byte| !(b' '..=b'~').contains(byte) || *byte == b'=') {
        _ if name.is_empty() => Err("is empty".to_owned()),
        Some(b'=') => Err("has = in it".to_owned()),
        Some(_) => Err("has characters other than printable ASCII".to_owned()),
        None => Ok(()),
    }
}

/// The name of a port: at most 15 of lower-case letters, digits and `-`, with a letter.
pub fn port(name: &str) -> Result<(), String> {
    let all = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let letter = name.bytes().any(|byte| byte.is_ascii_lowercase());
    if name.is_empty()
        || name.len() > 15
        || !all
        || !letter
        || name.starts_with('-')
        || name.ends_with('-')
        || name.contains("--")
    {
        return Err(
            "is not a port name: at most 15 lower-case letters, digits and single - inside, with a letter"
                .to_owned(),
        );
    }
    Ok(())
}

/// The key of a label or annotation: `name` or `prefix/name`.
pub fn qualified(key: &str) -> Result<(), String> {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    prefix.map_or(Ok(()), subdomain)?;
    if name.is_empty() || name.len() > 63 || !is_word(name) {
        return Err("is not a key: at most 63 letters, digits, and -, _ or . inside, after an optional DNS name and /".to_owned());
    }
    Ok(())
}

/// The value of a label.
pub fn label_value(value: &str) -> Result<(), String> {
    if value.len() <= 63 && (value.is_empty() || is_word(value)) {
        return Ok(());
    }
    Err("is not a label value: at most 63 letters, digits, and -, _ or . inside".to_owned())
}

fn is_word(text: &str) -> bool {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    text.chars().all(inner) && end(text.chars().next()) && end(text.chars().last())
}

/// An absolute path without `..`; `:` is excluded because runtimes separate mounts with it.
pub fn path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err("is not an absolute path".to_owned());
    }
    if path.split('/').any(|part| part == "..") {
        return Err("has .. in it".to_owned());
    }
    if path.len() > 4095 {
        return Err("is longer than 4095 bytes".to_owned());
    }
    if path.contains(char::is_control) {
        return Err("has control characters in it".to_owned());
    }
    Ok(())
}

/// A relative path without `..`: where in a volume something lies.
pub fn relative(path: &str) -> Result<(), String> {
    if path.starts_with('/') {
        return Err("is not a relative path".to_owned());
    }
    if path.split('/').any(|part| part == "..") {
        return Err("has .. in it".to_owned());
    }
    if path.len() > 4095 || path.split('/').any(|part| part.len() > 255) {
        return Err("is longer than a path may be".to_owned());
    }
    if path.contains(char::is_control) {
        return Err("has control characters in it".to_owned());
    }
    Ok(())
}

/// The path of a file in a volume: relative, and its first name is not one that the volume keeps for itself.
pub fn file_path(path: &str) -> Result<(), String> {
    relative(path)?;
    if path.starts_with("..") {
        return Err("starts with ..".to_owned());
    }
    if path.is_empty() {
        return Err("is empty".to_owned());
    }
    if path.ends_with('/') || path.split('/').any(|part| part == "." || part.is_empty()) {
        return Err("does not name a file".to_owned());
    }
    Ok(())
}

/// A key of a ConfigMap or Secret, which is also the name of a file.
pub fn config_key(key: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if key.is_empty() || key.len() > 253 || key == "." || key.starts_with("..") || !key.bytes().all(allowed) {
        return Err("is not a key: at most 253 letters, digits, -, _ and ., not beginning with ..".to_owned());
    }
    Ok(())
}

/// A kernel parameter as `sysctls` names it, with `.` or with `/` between its parts; gives it with dots.
pub fn sysctl(name: &str) -> Result<String, String> {
    let dotted = if name.contains('.') { name.to_owned() } else { name.replace('/', ".") };
    let part = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        !part.is_empty() && part.bytes().all(inner)
    };
    if name.len() > 253 || !dotted.contains('.') || !dotted.split('.').all(part) {
        return Err("is not the name of a kernel parameter".to_owned());
    }
    let own = dotted.starts_with("net.")
        || dotted.starts_with("fs.mqueue.")
        || IPC_SYSCTLS.contains(&dotted.as_str());
    if !own {
        return Err("belongs to the whole machine, not to a namespace of the pod".to_owned());
    }
    Ok(dotted)
}

/// The same path without `.`, double slashes and a slash at the end.
pub fn clean(path: &str) -> String {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}

/// Capabilities that `capabilities.add` and `drop` know, without `CAP_`; capabilities(7).
pub const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// The number of a signal by its name as `lifecycle.stopSignal` has it; signal(7), real-time signals from 34.
pub fn signal(name: &str) -> Option<i32> {
    const SIGNALS: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let (low, high) = (34, 64);
    let name = name.strip_prefix("SIG")?;
    if let Some(position) = SIGNALS.iter().position(|known| *known == name) {
        return Some(position as i32 + 1);
    }
    match name {
        "IOT" => return Some(6),
        "CLD" => return Some(17),
        "POLL" => return Some(29),
        _ => {}
    }
    let offset = |text: &str, sign| match text.strip_prefix(sign) {
        Some(digits) => digits.parse::<u8>().ok().map(i32::from),
        None => text.is_empty().then_some(0),
    };
    let from_low = name.strip_prefix("RTMIN").and_then(|rest| Some(low + offset(rest, '+')?));
    let from_high = name.strip_prefix("RTMAX").and_then(|rest| Some(high - offset(rest, '-')?));
    from_low.or(from_high).filter(|number| (low..=high).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_dns_1123() {
        for good in ["a", "web", "web-1", "0", "a--b", &"x".repeat(63)] {
            assert!(label(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "a/b", "..", "a b", "é", "a\n", &"x".repeat(64)] {
            assert!(label(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pod_name_is_never_a_path() {
        for good in ["a", "a.b", "web-1.example", &["a"; 127].join(".")] {
            assert!(subdomain(good).is_ok(), "{good}");
        }
        for bad in
            ["", ".", "..", "a..b", ".a", "a.", "../x", "a/b", "/a", "A", "a.-b", "a\0", &"x".repeat(254)]
        {
            assert!(subdomain(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn variables_ports_keys_and_values_have_their_rules() {
        assert!(["A", "a.b-c", "1", "A B", "FOO_bar"].iter().all(|name| variable(name).is_ok()));
        assert!(["", "A=B", "A\0", "é", "A\n"].iter().all(|name| variable(name).is_err()));
        assert!(["http", "a-1", "8a"].iter().all(|name| port(name).is_ok()));
        assert!(
            ["", "8080", "HTTP", "a--b", "-a", "a-", "0123456789abcdef"]
                .iter()
                .all(|name| port(name).is_err())
        );
        assert!(["app", "example.com/App_1.x"].iter().all(|key| qualified(key).is_ok()));
        assert!(
            ["", "/a", "a/", "A/b/c", "é", "-a", "EXAMPLE.com/a"].iter().all(|key| qualified(key).is_err())
        );
        assert!(["", "v1.2_3-x"].iter().all(|value| label_value(value).is_ok()));
        assert!(["-", "a b", "a/b", "é", &"x".repeat(64)].iter().all(|value| label_value(value).is_err()));
    }

    #[test]
    fn paths_are_absolute_and_stay_below() {
        assert!(["/", "/a", "/a/b..c", "/a/./b", "//a"].iter().all(|text| path(text).is_ok()));
        assert!(["", "a", "./a", "../a", "/a/..", "/../a", "/a\n"].iter().all(|text| path(text).is_err()));
        assert_eq!(clean("//a/./b//"), "/a/b");
        assert_eq!(clean("/"), "/");
    }

    #[test]
    fn signals_have_their_linux_numbers() {
        for (name, number) in [
            ("SIGHUP", 1),
            ("SIGKILL", 9),
            ("SIGTERM", 15),
            ("SIGCHLD", 17),
            ("SIGSYS", 31),
            ("SIGRTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("SIGRTMAX", 64),
            ("SIGRTMAX-1", 63),
            ("SIGPOLL", 29),
        ] {
            assert_eq!(signal(name), Some(number), "{name}");
        }
        for name in [
            "TERM",
            "SIGTERMX",
            "",
            "SIG",
            "15",
            "SIGRTMIN+31",
            "SIGRTMIN-1",
            "SIGRTMAX-31",
            "SIGRTMAX+1",
            "SIGRTMIN+",
            "SIGRTMIN+é",
        ] {
            assert_eq!(signal(name), None, "{name}");
        }
    }
}
