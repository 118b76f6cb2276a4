//! Bad input: an error in one line, and nothing left.

use super::*;
use serde_json::json;

fn nothing_is_left(b: &Box_) {
    let left = fs::read_dir(b.dir.join("state")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "containers are left");
    assert!(cgroup_directories(&b.id()).is_empty());
}

#[test]
fn ids_that_are_none_are_refused_by_every_verb() {
    let b = Box_::new("ids");
    b.configure(same);
    let long = "x".repeat(4096);
    for id in ["", ".", "..", "a/b", "../x", "a b", "a\nb", &long] {
        for verb in ["create", "run", "start", "state", "kill", "delete", "pause", "resume", "ps"] {
            let (success, _, error) = b.oci(&[verb, "--", id]);
            assert!(
                !success && error.contains("error: ") && error.contains("invalid container id"),
                "{verb} {id:?}: {error}"
            );
        }
    }
    nothing_is_left(&b);
}

#[test]
fn verbs_without_an_id_or_with_an_unknown_one_fail() {
    let b = Box_::new("unknown");
    for verb in ["start", "state", "kill", "delete", "pause", "resume", "ps"] {
        assert!(b.bad(&[verb, "nobody"]).contains("container does not exist"), "{verb}");
        let (success, _, error) = b.oci(&[verb]);
        assert!(!success && error.contains("error: "), "{verb}: {error}");
    }
    assert!(b.bad(&["exec", "nobody", "true"]).contains("container does not exist"));
}

#[test]
fn a_configuration_that_is_malformed_is_refused() {
    let b = Box_::new("malformed");
    let id = b.id();
    let good = |change: &dyn Fn(&mut Value)| {
        let mut spec = config();
        spec["process"]["args"] = json!(["true"]);
        change(&mut spec);
        spec.to_string()
    };
    let texts = [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        "\u{0}".to_owned(),
        "[".repeat(100_000),
        good(&|spec| spec["ociVersion"] = "invalid".into()),
        good(&|spec| spec["ociVersion"] = "2.0.0".into()),
        good(&|spec| spec["process"]["args"] = json!([])),
        good(&|spec| spec["process"]["cwd"] = "relative".into()),
        good(&|spec| spec["process"]["user"]["uid"] = json!(-1)),
        good(&|spec| spec["process"]["user"]["uid"] = json!(4_294_967_296u64)),
        good(&|spec| spec["process"]["rlimits"] = json!([{"type": "RLIMIT_TEST", "hard": 1, "soft": 1}])),
        good(&|spec| spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "hard": 1, "soft": 2}])),
        good(&|spec| spec["process"]["capabilities"]["bounding"] = json!(["TEST_CAP"])),
        good(&|spec| spec["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 9})),
        good(&|spec| spec["root"] = json!({"path": "no-such-rootfs"})),
        good(&|spec| spec["root"] = json!({"path": "../bundle/config.json"})),
        good(&|spec| drop(spec.as_object_mut().unwrap().remove("root"))),
        good(&|spec| drop(spec.as_object_mut().unwrap().remove("linux"))),
        good(&|spec| spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "pid"}))),
        good(&|spec| spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "none"}))),
        good(&|spec| spec["linux"]["namespaces"][0]["path"] = "relative".into()),
        good(&|spec| spec["linux"]["namespaces"][0]["path"] = "/proc/self/ns/none".into()),
        good(&|spec| spec["linux"]["cgroupsPath"] = "/a/../../b".into()),
        good(&|spec| spec["linux"]["sysctl"] = json!({"kernel.core_pattern": "x"})),
        good(&|spec| spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_NONE"})),
        good(&|spec| spec["linux"]["maskedPaths"] = json!(["../relative"])),
        good(&|spec| spec["hooks"] = json!({"prestart": [{"path": "relative"}]})),
        good(&|spec| spec["hooks"] = json!({"prestart": [{"path": "/bin/true", "timeout": 0}]})),
        good(&|spec| spec["mounts"][0]["destination"] = "/../../x/\u{0}".into()),
    ];
    for text in texts {
        fs::write(b.bundle().join("config.json"), &text).unwrap();
        let error = b.bad(&["create", &id]);
        assert!(!error.contains("panicked"), "{error}");
        nothing_is_left(&b);
    }
}

#[test]
fn capabilities_that_nobody_has_are_refused_in_the_words_of_others() {
    let b = Box_::new("caps");
    let words = |sets: Value| {
        b.configure(|spec| spec["process"]["capabilities"] = sets);
        b.bad(&["create", &b.id()])
    };
    let error = words(json!({"bounding": ["TEST_CAP"]}));
    assert!(error.contains("no variant for TEST_CAP"), "{error}");
    let admin = ["CAP_SYS_ADMIN"];
    let error = words(json!({"effective": admin, "permitted": admin, "inheritable": admin}));
    assert!(error.contains("inheritable") && error.contains("Operation not permitted"), "{error}");
    nothing_is_left(&b);
}

#[test]
fn a_bundle_that_is_not_there_is_an_error() {
    let b = Box_::new("nobundle");
    assert!(b.bad(&["create", "--bundle", "/no/such", "x"]).contains("find bundle /no/such"));
    fs::create_dir(b.dir.join("empty")).unwrap();
    let error = b.bad(&["create", "--bundle", b.dir.join("empty").to_str().unwrap(), "x"]);
    assert!(error.contains("read config.json"), "{error}");
    nothing_is_left(&b);
}

#[test]
fn of_two_that_start_a_container_at_once_one_does() {
    let b = Box_::new("twice");
    let id = b.id();
    b.configure(|spec| spec["process"]["args"] = json!(["sh", "-c", "echo ran >>/ran; sleep 600"]));
    for round in 0..10 {
        b.good(&["create", &id]);
        let start = || {
            let mut command = Command::new(BAREPOD_OCI);
            command.arg("--root").arg(b.dir.join("state")).args(["start", &id]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let all = [start(), start(), start()];
        let won = all.map(|mut child| child.wait().unwrap().success()).into_iter().filter(|won| *won).count();
        assert_eq!(won, 1, "round {round}");
        b.good(&["delete", "--force", &id]);
    }
}
