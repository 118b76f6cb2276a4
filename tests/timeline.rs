//! `timeline`, `why` and `share` on pods that ran, run, or left a damaged event log.

mod support;

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use support::*;

/// An init, a sidecar with a slow postStart, and an app that crashes once and has a preStop.
const SHOP: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: shop}
spec:
  terminationGracePeriodSeconds: 20
  volumes:
  - {name: data, emptyDir: {}}
  initContainers:
  - {name: migrate, image: box, command: [sh, -c, "echo done >/data/state"], volumeMounts: [{name: data, mountPath: /data}]}
  - name: proxy
    image: box
    restartPolicy: Always
    command: [sh, -c, "trap 'exit 0' TERM; sleep 600 & wait"]
    lifecycle: {postStart: {exec: {command: [sleep, "0.3"]}}}
    volumeMounts: [{name: data, mountPath: /state, readOnly: true}]
  containers:
  - name: web
    image: box
    command: [sh, -c, "test -e /data/crashed || { touch /data/crashed; exit 3; }; trap 'exit 0' TERM; sleep 600 & wait"]
    lifecycle: {preStop: {exec: {command: [sleep, "0.2"]}}}
    volumeMounts: [{name: data, mountPath: /data}]
"#;

/// The pod of [`SHOP`], after its restart, Ready.
fn shop(lab: &Lab) {
    lab.start(SHOP);
    let is_up = || lab.restarts("shop", "web") == 1 && lab.status("shop", "web")["ready"] == true;
    lab.until("the restart of web", seconds(20), is_up);
}

fn log(lab: &Lab, pod: &str) -> PathBuf {
    lab.root().join("pods").join(pod).join("events.jsonl")
}

/// The line of a picture that belongs to a container.
fn bar<'a>(picture: &'a str, name: &str) -> &'a str {
    let line = picture.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no bar of {name} in\n{picture}"))
}

/// Every tag is closed by its own, and there is one root.
fn assert_well_formed(xml: &str) {
    let mut open: Vec<&str> = Vec::new();
    for part in xml.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("no end of a tag: {part}"));
        let mut entities = text.split('&').skip(1);
        assert!(
            entities.all(|rest| ["amp;", "lt;", "gt;", "quot;"].iter().any(|e| rest.starts_with(e))),
            "{text}"
        );
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') {
            assert!(
                !open.is_empty() || part.len() + 1 == xml.len() || xml.starts_with(&format!("<{part}")),
                "two roots"
            );
            open.push(name);
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

#[test]
fn a_timeline_has_a_bar_for_each_container_with_its_restart_hooks_and_end() {
    let lab = Lab::new();
    shop(&lab);
    let running = lab.ok(&["timeline", "shop"]);
    assert!(bar(&running, "proxy").ends_with('>') && bar(&running, "web").ends_with('>'), "{running}");
    lab.ok(&["stop", "shop"]);
    let picture = lab.ok(&["timeline", "shop"]);
    assert!(picture.starts_with("pod shop: Succeeded after "), "{picture}");
    assert!(
        bar(&picture, "migrate").contains("init") && bar(&picture, "migrate").ends_with("=0"),
        "{picture}"
    );
    assert!(
        bar(&picture, "proxy").contains("sidecar") && bar(&picture, "proxy").ends_with("=0"),
        "{picture}"
    );
    // The end of an instance that was restarted at once may stand below the next one.
    let web =
        picture.lines().skip_while(|line| !line.starts_with("web ")).take(3).collect::<Vec<_>>().concat();
    assert!(web.contains("=3") && bar(&picture, "web").ends_with("=0"), "{picture}");
    for told in [
        "is being started (sidecar), now that init container",
        "exited with code 3",
        "restart 1",
        "postStart has returned",
        "preStop has returned",
        "gets SIGTERM",
        "has ended: Succeeded",
    ] {
        let unwrapped = picture.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(unwrapped.contains(told), "{told:?} is not in\n{picture}");
    }
    assert!(picture.lines().all(|line| line.chars().count() <= 80), "{picture}");
    assert!(!picture.contains('\x1b'), "no colour, no cursor movement\n{picture}");

    let wide = lab.command(&["timeline", "shop"]).env("COLUMNS", "120").output().unwrap();
    let wide = String::from_utf8(wide.stdout).unwrap();
    assert!(bar(&wide, "proxy").chars().count() > 100, "{wide}");

    let svg = lab.ok(&["timeline", "shop", "-o", "svg"]);
    assert_well_formed(&svg);
    for part in [
        "<svg xmlns=\"http://www.w3.org/2000/svg\"",
        ">migrate</text>",
        ">web</text>",
        "postStart",
        "restart 1",
    ] {
        assert!(svg.contains(part), "{part:?} is not in\n{svg}");
    }
    assert!(!svg.contains("href"), "it needs no other file");
    let html = lab.ok(&["timeline", "shop", "-o", "html"]);
    assert_well_formed(html.strip_prefix("<!DOCTYPE html>\n").unwrap());
    assert!(html.contains("<svg ") && html.contains("gets SIGTERM"), "{html}");
}

#[test]
fn following_without_a_terminal_draws_once_at_the_end() {
    let lab = Lab::new();
    shop(&lab);
    let mut follow = lab.background(&["timeline", "-f", "shop"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(follow.stdout(), "", "the pod still runs");
    lab.ok(&["stop", "shop"]);
    assert_eq!(follow.code(seconds(10)), Some(0));
    assert_eq!(follow.stdout(), lab.ok(&["timeline", "shop"]));
}

#[test]
fn following_on_a_terminal_draws_again_in_the_same_place() {
    let lab = Lab::new();
    shop(&lab);
    let size = nix::pty::Winsize { ws_row: 30, ws_col: 90, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = nix::pty::openpty(Some(&size), None).unwrap();
    let mut command = lab.command(&["timeline", "-f", "shop"]);
    let mut child = command.env_remove("COLUMNS").stdout(terminal.slave).spawn().unwrap();
    drop(command); // it holds the other end of the terminal
    let (sender, receiver) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let (mut screen, mut bytes) = (fs::File::from(terminal.master), Vec::new());
        let mut part = [0; 4096];
        // At the end of the other side reading is an error (EIO).
        while let Ok(length @ 1..) = screen.read(&mut part) {
            bytes.extend_from_slice(&part[..length]);
            sender.send(String::from_utf8_lossy(&bytes).matches("pod shop: ").count()).ok();
        }
        String::from_utf8(bytes).unwrap()
    });
    lab.until("three pictures", seconds(20), || receiver.try_iter().any(|pictures| pictures >= 3));
    lab.ok(&["stop", "shop"]);
    assert!(child.wait().unwrap().success());
    let drawn = reader.join().unwrap().replace("\r\n", "\n");
    // Each picture but the first begins with going back as many lines as the one before has.
    let frames: Vec<&str> = drawn.split("\x1b[J").collect();
    assert!(frames.len() >= 4, "{drawn:?}");
    for frame in &frames[..frames.len() - 1] {
        let (body, back) = frame.rsplit_once("\x1b[").unwrap();
        let lines = body.matches('\n').count();
        assert_eq!(back, format!("{lines}A"), "{drawn:?}");
        assert!((10..30).contains(&lines) && body.lines().all(|line| line.chars().count() <= 90), "{body}");
    }
    let last = frames.last().unwrap();
    assert!(last.starts_with("pod shop: Succeeded") && last.contains("has ended: Succeeded"), "{last}");
}

#[test]
fn why_names_the_gate_and_what_holds_it_shut() {
    let lab = Lab::new();
    let sidecar = |hook: &str| {
        format!(
            "  - name: proxy\n    image: box\n    restartPolicy: Always\n    command: [sleep, '600']\n    lifecycle: {{postStart: {{exec: {{command: [sleep, '{hook}']}}}}}}\n"
        )
    };
    let pod = |name: &str, inits: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 0\n  initContainers:\n{inits}  containers:\n  - {{name: web, image: box, command: [sleep, '600']}}\n"
        )
    };
    lab.start(&pod("hook", &sidecar("600")));
    let why = |pod: &str| lab.ok(&["why", pod]);
    lab.until("the hook", seconds(10), || why("hook").contains("postStart"));
    let said = why("hook");
    assert!(said.starts_with("web waits for sidecar proxy: its postStart has run "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.trim_end().ends_with('s'), "{said}");

    lab.start(&pod("init", "  - {name: migrate, image: box, command: [sleep, '600']}\n"));
    lab.until("the init container", seconds(10), || why("init").contains("it has run"));
    assert!(why("init").starts_with("web waits for init container migrate: it has run "), "{}", why("init"));
    assert_eq!(lab.ok(&["why", "init", "-c", "migrate"]), "migrate waits for nothing: it is running\n");
    let error = lab.fails(125, &["why", "init", "-c", "nobody"]);
    assert_eq!(error, "barepod: why init: no container \"nobody\"; there are: migrate, web\n");

    lab.start(&pod("crash", "  - {name: migrate, image: box, command: [sh, -c, exit 7]}\n"));
    lab.until("back-off", seconds(20), || why("crash").contains("back-off"));
    let said = why("crash");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("migrate waits for its back-off: next start in "), "{said}");
    assert!(lines[0].ends_with(" s (attempt 3)"), "{said}");
    assert_eq!(
        lines[1],
        "web waits for init container migrate: it waits for its back-off after exit code 7 (Error)"
    );
    lab.ok(&["stop", "crash"]);
    assert!(
        why("crash").contains("Failed") && why("crash").contains("it was stopped before app web had run"),
        "{}",
        why("crash")
    );
}

#[test]
fn why_says_when_nothing_waits_and_who_waits_at_the_end() {
    let lab = Lab::new();
    shop(&lab);
    let why = || lab.ok(&["why", "shop"]);
    lab.until("readiness", seconds(10), || why().starts_with("nothing is waiting"));
    assert_eq!(why(), "nothing is waiting: proxy and web are running and ready; migrate has ended\n");
    lab.kill_init("shop");
    let said = why();
    assert!(said.starts_with("the pod is lost: its pod init is gone"), "{said}");
    assert!(lab.ok(&["timeline", "shop"]).contains("its log breaks off"), "{said}");

    let other = Lab::new();
    other.start_ready(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: slow}\nspec:\n  terminationGracePeriodSeconds: 60\n  initContainers:\n  - {name: proxy, image: box, restartPolicy: Always, command: [sh, -c, \"trap 'exit 0' TERM; sleep 600 & wait\"]}\n  containers:\n  - {name: web, image: box, command: [sleep, '600'], lifecycle: {preStop: {exec: {command: [sleep, '600']}}}}\n",
    );
    let mut stop = other.background(&["stop", "slow"]);
    other.until("preStop", seconds(10), || other.ok(&["why", "slow"]).contains("preStop"));
    let said = other.ok(&["why", "slow"]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].starts_with("the pod is terminating: ") && lines[0].ends_with(" of grace left"),
        "{said}"
    );
    assert_eq!(lines[1], "proxy waits until web has ended");
    assert!(lines[2].starts_with("web is being stopped: its preStop has run "), "{said}");
    other.ok(&["stop", "slow", "-t", "0"]);
    stop.code(seconds(10));
    let said = other.ok(&["why", "slow"]);
    assert!(said.contains("Failed") && said.contains("app web has failed"), "{said}");
}

#[test]
fn share_shows_one_network_for_all_and_a_process_namespace_for_each() {
    let lab = Lab::new();
    shop(&lab);
    let shares: Value = serde_json::from_str(&lab.ok(&["share", "shop", "-o", "json"])).unwrap();
    let member = |name: &str| -> Value {
        let all = shares["members"].as_array().unwrap();
        all.iter()
            .find(|member| member["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("{name}: {shares}"))
    };
    let inode = |name: &str, kind: &str| {
        member(name)["process"]["namespaces"][kind]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} {kind}: {shares}"))
    };
    let host = |kind: &str| fs::metadata(format!("/proc/self/ns/{kind}")).unwrap().ino();
    for kind in ["net", "ipc", "uts"] {
        assert_eq!(inode("web", kind), inode("proxy", kind), "{kind}");
        assert_eq!(inode("web", kind), inode("pod init", kind), "{kind}");
        assert_ne!(inode("web", kind), host(kind), "{kind}");
        assert_eq!(inode("host", kind), host(kind), "{kind}");
    }
    for kind in ["pid", "mnt", "cgroup"] {
        assert_ne!(inode("web", kind), inode("proxy", kind), "{kind}");
    }
    assert_eq!(inode("web", "user"), host("user"));
    // The kernel says the same of the process that is named.
    let pid = member("web")["process"]["pid"].as_i64().unwrap();
    assert_eq!(inode("web", "net"), fs::metadata(format!("/proc/{pid}/ns/net")).unwrap().ino());
    assert!(command_line(pid as i32).contains("/data/crashed"), "{}", command_line(pid as i32));
    assert_eq!(member("migrate")["process"], Value::Null, "it has ended");
    let cgroup = |name: &str| member(name)["process"]["cgroup"].as_str().unwrap().to_owned();
    assert!(cgroup("web").contains(lab.cgroup_parent()) && cgroup("web") != cgroup("proxy"), "{shares}");
    let device = |name: &str| member(name)["process"]["root"]["device"].clone();
    assert!(device("web") != device("proxy") && device("web") != device("host"), "{shares}");
    let volume = &shares["volumes"][0];
    assert_eq!((&volume["name"], &volume["kind"]), (&"data".into(), &"emptyDir".into()));
    assert_eq!(volume["mounts"][1]["path"], "/state");
    assert_eq!(
        (&volume["mounts"][0]["readOnly"], &volume["mounts"][1]["readOnly"]),
        (&false.into(), &true.into())
    );

    let table = lab.ok(&["share", "shop"]);
    let cells = |what: &str| -> Vec<String> {
        let line =
            table.lines().find(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{what}\n{table}"));
        line[what.len()..].split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(cells("net ns"), ["A", "B", "-", "B", "B"], "{table}");
    assert_eq!(cells("pid ns"), ["A", "B", "-", "C", "D"], "{table}");
    assert_eq!(cells("process")[2..4], ["not", "running"], "{table}");
    assert!(table.lines().any(|line| line.contains("proxy") && line.contains("read-only")), "{table}");
    lab.ok(&["stop", "shop", "-t", "0"]);
    assert_eq!(lab.fails(125, &["share", "shop"]), "barepod: share shop: the pod has ended\n");
}

#[test]
fn of_a_damaged_event_log_what_can_be_read_is_shown() {
    let lab = Lab::new();
    shop(&lab);
    lab.ok(&["stop", "shop"]);
    let path = log(&lab, "shop");
    let whole = fs::read_to_string(&path).unwrap();
    let draw = || {
        let output = lab.output(&["timeline", "shop"]);
        assert!(output.status.success());
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(draw().1, "");

    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let (picture, error) = draw();
    assert_eq!(error, "barepod: timeline shop: the event log is damaged: its end is missing\n");
    assert!(picture.contains("its log breaks off") && bar(&picture, "migrate").ends_with("=0"), "{picture}");
    assert_eq!(lab.ok(&["why", "shop"]), "the pod has ended: Succeeded; its event log does not say why\n");

    let mut lines: Vec<&str> = whole.lines().collect();
    lines[3] = "{\"atMicros\": 7, \"fact\": \"sneezed\"}";
    lines[4] = "\u{0}\u{1}";
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let (picture, error) = draw();
    let start = "barepod: timeline shop: the event log is damaged: line 4: not of an event log: ";
    assert!(error.starts_with(start) && error.contains("; 1 more line"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(picture.starts_with("pod shop: Succeeded") && bar(&picture, "web").ends_with("=0"), "{picture}");

    for (content, why) in [
        ("", "the event log is empty"),
        ("root:x:0:0:root:/root:/bin/sh\n", "not an event log: line 1: no JSON"),
        ("{\"a\": 1}\n", "not an event log: line 1: not of an event log"),
        ("{\"barepod\": 99}\n", "written in format 99"),
    ] {
        fs::write(&path, content).unwrap();
        for verb in ["timeline", "why"] {
            let error = lab.fails(125, &[verb, "shop"]);
            assert!(
                error.starts_with(&format!("barepod: {verb} shop: {}", &why[..3])) || error.contains(why),
                "{error}"
            );
            assert!(error.contains(why) && error.lines().count() == 1, "{error}");
        }
    }
    fs::write(&path, [b"\xff\xfe".as_slice(), whole.as_bytes()].concat()).unwrap();
    assert!(lab.fails(125, &["timeline", "shop"]).contains("not an event log"), "bytes that are no text");
}

#[test]
fn a_pod_that_never_started_says_so() {
    let lab = Lab::new();
    shop(&lab);
    lab.ok(&["stop", "shop", "-t", "0"]);
    // The log of a pod whose sandbox was never ready has a head and nothing else; its pod init has left no record.
    let path = log(&lab, "shop");
    let head = fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
    fs::write(&path, head + "\n").unwrap();
    fs::remove_file(path.with_file_name("record.json")).unwrap();
    assert_eq!(lab.ok(&["timeline", "shop"]), "pod shop: never started: its sandbox was not ready\n");
    assert_eq!(lab.ok(&["why", "shop"]), "the pod never started: its sandbox was not ready\n");
    fs::remove_file(&path).unwrap();
    let error = lab.fails(125, &["timeline", "shop"]);
    assert_eq!(error, "barepod: timeline shop: the pod never started: it has no event log\n");
    let error = lab.fails(125, &["timeline", "nobody"]);
    assert_eq!(error, "barepod: no pod \"nobody\"; there are: shop\n");
}
