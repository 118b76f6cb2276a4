//! The patterns of pods/*.yaml, as they stand there: what each promises is looked at from outside the pod. These tests need
//! the repository and its bundles.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::*;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Starts pods/NAME.yaml, which is a pod of this name.
fn start(lab: &Lab, name: &str) {
    let bundles = repository().join("bundles");
    assert!(bundles.join("proxy/rootfs/bin/proxy").is_file(), "run scripts/bundles first");
    let manifest = repository().join(format!("pods/{name}.yaml"));
    let printed = lab.ok(&["run", "-d", "--bundles", bundles.to_str().unwrap(), manifest.to_str().unwrap()]);
    assert_eq!(printed.trim(), name);
}

fn ready(lab: &Lab, name: &str) {
    let patience = format!("{}s", seconds(20).as_secs());
    lab.ok(&["wait", name, "--for=Ready", "--timeout", &patience]);
}

/// What a container has printed so far, on both streams.
fn printed(lab: &Lab, pod: &str, container: &str) -> String {
    let output = lab.output(&["logs", pod, "-c", container]);
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

/// Lays the cable of scripts/experiments between two pods: the first is 10.54.32.1, the second 10.54.32.2.
fn cable(lab: &Lab, one: &str, two: &str) {
    let barepod = format!(
        "{BAREPOD} --root {} --log-dir {} --cgroup-parent {}",
        lab.root().display(),
        lab.logs().display(),
        lab.cgroup_parent()
    );
    let script = repository().join("scripts/experiments/cable");
    let mut command = Command::new(script);
    let output =
        command.args([one, "10.54.32.1", two, "10.54.32.2"]).env("BAREPOD", barepod).output().unwrap();
    assert!(output.status.success(), "cable: {}", String::from_utf8_lossy(&output.stderr));
}

/// Host pid of a container's first process.
fn first_process(lab: &Lab, pod: &str, container: &str) -> i32 {
    let restarts = lab.restarts(pod, container);
    let (parent, cgroup) = (format!("/{}/", lab.cgroup_parent()), format!("/{container}.{restarts}"));
    let inside = |pid: &i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        text.lines().any(|line| line.contains(&parent) && line.ends_with(&cgroup))
    };
    let is_first = |pid: &i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        text.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"))
    };
    let found = lab.processes().into_iter().filter(inside).find(is_first);
    found.unwrap_or_else(|| panic!("no first process of {container} among {:?}", lab.processes()))
}

fn namespace(pid: i32, kind: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap()
}

/// An HTTP client in the network namespace of a pod, with nothing else of the pod: header lines and body of the answer.
fn get(lab: &Lab, pod: &str, port: u16, path: &str) -> (Vec<String>, String) {
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let answer = talk(lab, pod, port, &request);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    (head.lines().map(str::to_owned).collect(), body.to_owned())
}

/// Sends a text to a port of a pod, then reads to the end. Empty if nobody listens.
fn talk(lab: &Lab, pod: &str, port: u16, text: &str) -> String {
    let init = lab.init_pid(pod).to_string();
    let busybox = repository().join("bundles/busybox/rootfs/bin/busybox");
    let mut client = Command::new("nsenter")
        .args(["-t", &init, "-n"])
        .arg(busybox)
        .args(["nc", "127.0.0.1", &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It may have ended: nobody listens.
    client.stdin.take().unwrap().write_all(text.as_bytes()).ok();
    String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap()
}

/// Every container of every pod in pods/ has limits: the sum is what a pod can cost.
#[test]
fn every_container_of_the_patterns_has_limits_for_cpu_and_memory() {
    for name in
        ["sidecar", "ambassador", "database", "adapter", "init-containers", "native-sidecar", "log-shipping"]
    {
        let text = fs::read_to_string(repository().join(format!("pods/{name}.yaml"))).unwrap();
        let containers = text.lines().filter(|line| line.trim_start().starts_with("image: ")).count();
        let limits = text.lines().filter(|line| line.trim_start().starts_with("limits: { cpu: ")).count();
        assert!(containers > 0 && limits == containers, "{name}: {containers} containers, {limits} limits");
    }
}

// Sidecar

#[test]
fn sidecar_the_shipper_ships_what_its_configuration_says_and_cannot_write_the_logs() {
    let lab = Lab::new();
    start(&lab, "sidecar");
    // Only what the configuration asks for, in the form that it asks for.
    let shipped = || {
        let output = lab.output(&["logs", "sidecar", "-c", "shipper"]);
        String::from_utf8(output.stdout).unwrap()
    };
    lab.until("two lines to be shipped", seconds(20), || shipped().lines().count() >= 2);
    assert!(shipped().lines().all(|line| line.starts_with("shop: ERROR order ")), "{}", shipped());
    assert!(lab.sh("sidecar", "app", "cat /logs/app.log").contains("INFO order 1 accepted\n"));

    // It sees the same file, and cannot write beside it, nor in it.
    let file = "stat -c %d:%i /logs/app.log";
    assert_eq!(lab.sh("sidecar", "app", file), lab.sh("sidecar", "shipper", file));
    for attempt in ["touch /logs/mine", "echo mine >>/logs/app.log", "rm /logs/app.log"] {
        let words = ["exec", "sidecar", "-c", "shipper", "--", "sh", "-c", attempt];
        let refused = lab.output(&words);
        let stderr = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && stderr.contains("Read-only file system"), "{attempt}: {stderr}");
    }
    let options = |container: &str| {
        let first = first_process(&lab, "sidecar", container);
        let text = fs::read_to_string(format!("/proc/{first}/mountinfo")).unwrap();
        let line = text.lines().find(|line| line.split(' ').nth(4) == Some("/logs")).unwrap();
        line.split(' ').nth(5).unwrap().to_owned()
    };
    assert!(options("shipper").starts_with("ro,"), "{}", options("shipper"));
    assert!(options("app").starts_with("rw,"), "{}", options("app"));

    // Another configuration has its effect while everybody runs.
    let change = "sed -i -e 's/prefix=.*/prefix=changed: /' -e 's/only=.*/only=INFO*/' /config/shipper.conf";
    lab.sh("sidecar", "shipper", change);
    lab.until("a line after the change", seconds(10), || shipped().contains("changed: INFO order "));
    let after: String = shipped()
        .lines()
        .skip_while(|line| line.starts_with("shop: "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(after.lines().all(|line| line.starts_with("changed: INFO order ")), "{after}");
    assert_eq!((lab.restarts("sidecar", "shipper"), lab.restarts("sidecar", "app")), (0, 0));
}

// Ambassador

#[test]
fn ambassador_the_app_reaches_a_database_in_another_network_namespace_over_localhost() {
    let lab = Lab::new();
    start(&lab, "ambassador");
    let log = || printed(&lab, "ambassador", "ambassador");
    let answers =
        || lab.ok(&["logs", "ambassador", "-c", "app"]).lines().map(str::to_owned).collect::<Vec<_>>();
    // No database: the app waits, the ambassador tries.
    lab.until("three tries", seconds(20), || log().matches("10.54.32.2:5432 is away").count() >= 3);
    assert_eq!(answers(), Vec::<String>::new());

    start(&lab, "database");
    ready(&lab, "database");
    let (app, database) =
        (first_process(&lab, "ambassador", "app"), first_process(&lab, "database", "database"));
    assert_ne!(namespace(app, "net"), namespace(database, "net"));
    assert_eq!(namespace(app, "net"), namespace(lab.init_pid("ambassador"), "net"));
    cable(&lab, "ambassador", "database");
    // The very first question, which has waited all the time, is answered: by the host name of the other pod.
    lab.until("two answers", seconds(20), || answers().len() >= 2);
    assert_eq!(answers()[..2], ["database got: question 1", "database got: question 2"]);

    // The app has connections to localhost and nowhere else; the one to the outside is the ambassador's.
    let script = lab.ok(&["inspect", "ambassador"]);
    let script: Value = serde_json::from_str(&script).unwrap();
    let script = script["spec"]["containers"][0]["args"][0].as_str().unwrap().to_owned();
    assert!(script.contains("nc localhost 5432") && !script.contains("10.54"), "{script}");

    // Away again, with its network namespace and so the cable; then back. No answer is lost: the question waits.
    lab.ok(&["stop", "database", "-t", "2"]);
    lab.ok(&["rm", "database"]);
    let (before, tries) = (answers().len(), log().matches("is away").count());
    lab.until("more tries", seconds(20), || log().matches("is away").count() >= tries + 2);
    assert!(answers().len() <= before + 1, "nobody there to answer: {:?}", answers());
    start(&lab, "database");
    ready(&lab, "database");
    let before = answers().len();
    cable(&lab, "ambassador", "database");
    lab.until("answers again", seconds(20), || answers().len() >= before + 2);
    assert_eq!((lab.restarts("ambassador", "ambassador"), lab.restarts("ambassador", "app")), (0, 0));
}

// Adapter

/// Samples of a text in Prometheus' format; every one must have HELP and TYPE before it.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let mut told = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let words: Vec<&str> = rest.splitn(3, ' ').collect();
            told.push((words[0].to_owned(), words[1].to_owned()));
            continue;
        }
        let (name, value) = line.split_once(' ').unwrap_or_else(|| panic!("not a sample: {line:?}"));
        for word in ["HELP", "TYPE"] {
            assert!(told.contains(&(word.to_owned(), name.to_owned())), "no {word} for {name}\n{text}");
        }
        let value = value.parse().unwrap_or_else(|_| panic!("not a number: {line:?}"));
        assert!(found.insert(name.to_owned(), value).is_none(), "{name} twice");
    }
    found
}

#[test]
fn adapter_the_apps_numbers_become_prometheus_text_in_base_units() {
    let lab = Lab::new();
    start(&lab, "adapter");
    ready(&lab, "adapter");
    let (head, body) = get(&lab, "adapter", 9090, "/metrics");
    assert!(head[0].ends_with(" 200 OK"), "{head:?}");
    assert!(head.iter().any(|line| line.starts_with("Content-Type: text/plain; version=0.0.4")), "{head:?}");
    let first = samples(&body);
    assert!(first["requests_total"] >= 42.0, "{body}");
    assert_eq!(
        (first["request_time_seconds"], first["error_latency_seconds"]),
        (1.2, 0.45),
        "units are seconds: {body}"
    );
    assert!(get(&lab, "adapter", 9090, "/").0[0].contains(" 404 "));

    // The app goes on, and so do the numbers.
    lab.until("a larger number", seconds(20), || {
        samples(&get(&lab, "adapter", 9090, "/metrics").1)["requests_total"] > first["requests_total"]
    });
    // Lines that a broken app might write, with one among them that is right and one at the end that is not whole.
    let broken = "printf 'nonsense\\n\\n|||\\nreq_count:x|time:1s\\nreq_count:7\\nreq_count:900|time:5 fortnights\\n\
                  req_count:1000|time:2500ms\\n\\377\\376\\nreq_count:1' >>/metrics/app.log";
    let known = samples(&get(&lab, "adapter", 9090, "/metrics").1)["malformed_lines_total"];
    assert_eq!(known, 0.0);
    lab.ok(&["kill", "adapter", "-c", "app", "-s", "STOP"]);
    lab.sh("adapter", "adapter", "touch /metrics/x 2>/dev/null && exit 1; exit 0"); // read-only for the adapter
    lab.sh("adapter", "app", broken);
    let body = get(&lab, "adapter", 9090, "/metrics").1;
    let after = samples(&body);
    assert_eq!((after["requests_total"], after["request_time_seconds"]), (1000.0, 2.5), "{body}");
    assert_eq!(after["malformed_lines_total"], 6.0, "{body}");
    lab.ok(&["kill", "adapter", "-c", "app", "-s", "CONT"]);
    assert_eq!(lab.restarts("adapter", "adapter"), 0);
}

/// promtool of Debian's package prometheus, installed or unpacked by scripts/setup.
fn promtool() -> PathBuf {
    let places = [Path::new("/usr/bin/promtool").to_owned(), repository().join(".cache/promtool")];
    places.into_iter().find(|path| path.is_file()).expect("promtool is missing: run scripts/setup")
}

#[test]
fn adapter_promtool_accepts_what_it_serves() {
    let lab = Lab::new();
    start(&lab, "adapter");
    ready(&lab, "adapter");
    let judge = |text: &str| {
        let mut tool = Command::new(promtool())
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = tool.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.success(), said)
    };
    let body = get(&lab, "adapter", 9090, "/metrics").1;
    assert!(samples(&body).len() >= 4, "{body}");
    assert_eq!(judge(&body), (true, String::new()), "{body}");
    // It does judge: the app's own form is not accepted.
    assert!(!judge("req_count:42|time:1.2s\n").0);
}

// Init containers

#[test]
fn init_containers_the_app_waits_for_the_service_and_uses_what_was_made() {
    let lab = Lab::new();
    start(&lab, "init-containers");
    let running = |container: &str| lab.status("init-containers", container)["state"]["running"].is_object();
    lab.until("the second init to run", seconds(20), || running("wait-for-service"));
    assert_eq!(lab.status("init-containers", "make-config")["state"]["terminated"]["exitCode"], 0);
    // As long as the service is away nothing changes, a database without a cable included.
    start(&lab, "database");
    ready(&lab, "database");
    std::thread::sleep(Duration::from_secs(2));
    assert!(running("wait-for-service"));
    assert_eq!(
        lab.status("init-containers", "app")["state"]["waiting"]["reason"],
        "PodInitializing",
        "the app waits"
    );
    assert!(lab.ok(&["ps"]).lines().any(|row| row.contains("init-containers") && row.contains("Init:1/2")));

    cable(&lab, "init-containers", "database");
    let connected = Instant::now();
    ready(&lab, "init-containers");
    assert!(connected.elapsed() < seconds(5), "it saw the service after {:?}", connected.elapsed());
    lab.until("the app's words", seconds(10), || {
        printed(&lab, "init-containers", "app").lines().count() >= 2
    });
    // What make-config wrote, and the service that wait-for-service has waited for.
    assert_eq!(
        printed(&lab, "init-containers", "app"),
        "the database is at 10.54.32.2:5432\ndatabase got: hello from the app\n"
    );
    let time = |container: &str, state: &str, what: &str| {
        lab.status("init-containers", container)["state"][state][what].as_str().unwrap().to_owned()
    };
    assert!(
        time("make-config", "terminated", "finishedAt")
            <= time("wait-for-service", "terminated", "startedAt")
    );
    assert!(time("wait-for-service", "terminated", "finishedAt") <= time("app", "running", "startedAt"));
}

// Native sidecar

#[test]
fn native_sidecar_the_proxy_is_there_before_the_app_after_it_and_again_when_killed() {
    let lab = Lab::new();
    start(&lab, "native-sidecar");
    ready(&lab, "native-sidecar");
    let pod = "native-sidecar";

    // It stands in front of the app: the same page, with a header more, which the app itself does not send.
    let header = "X-Served-By: proxy".to_owned();
    let (head, body) = get(&lab, pod, 8080, "/");
    assert!(head[0].ends_with(" 200 OK") && head.contains(&header), "{head:?}");
    assert_eq!(body, "<h1>the app</h1>\n");
    let (head, body) = get(&lab, pod, 8081, "/");
    assert!(head[0].ends_with(" 200 OK") && !head.contains(&header), "{head:?}");
    assert_eq!(body, "<h1>the app</h1>\n");
    let (head, _) = get(&lab, pod, 8080, "/nothing");
    assert!(head[0].contains(" 404 ") && head.contains(&header), "every answer has it: {head:?}");
    assert!(get(&lab, pod, 8080, "/healthz").0[0].ends_with(" 200 OK"));
    assert!(get(&lab, pod, 8081, "/healthz").0[0].contains(" 404 "), "this one is the proxy's own");

    // First: the app was created when the startup probe had succeeded, which comes after a second.
    let time = |container: &str, state: &str, what: &str| {
        let text = lab.status(pod, container)["state"][state][what].as_str().unwrap().to_owned();
        humantime::parse_rfc3339(&text).unwrap()
    };
    let head_start =
        time("app", "running", "startedAt").duration_since(time("proxy", "running", "startedAt"));
    assert!(head_start.unwrap() >= Duration::from_millis(950));

    // Killed from outside: it comes back by itself, and the app does not notice.
    let (before, app) = (first_process(&lab, pod, "proxy"), first_process(&lab, pod, "app"));
    kill(before);
    lab.until("the proxy to come back", seconds(20), || {
        lab.restarts(pod, "proxy") == 1 && lab.status(pod, "proxy")["started"] == true
    });
    assert_eq!(lab.status(pod, "proxy")["lastState"]["terminated"]["exitCode"], 137);
    assert_ne!(first_process(&lab, pod, "proxy"), before);
    assert_eq!((first_process(&lab, pod, "app"), lab.restarts(pod, "app")), (app, 0));
    assert!(get(&lab, pod, 8080, "/").0.contains(&header));

    // Its health is its own affair: it says so while the app hangs.
    // It has a child for each request, which may end while killall looks around.
    let all = |signal: &str| {
        let sent = || lab.output(&["exec", pod, "--", "killall", signal, "httpd"]).status.success();
        lab.until("every httpd to get its signal", seconds(5), sent);
    };
    all("-STOP");
    let (head, _) = get(&lab, pod, 8080, "/healthz");
    assert!(head[0].ends_with(" 200 OK"), "{head:?}");
    all("-CONT");

    // Last.
    lab.ok(&["stop", pod]);
    for container in ["app", "proxy"] {
        assert_eq!(
            lab.status(pod, container)["state"]["terminated"]["exitCode"],
            0,
            "{container} was killed"
        );
    }
    assert!(time("app", "terminated", "finishedAt") <= time("proxy", "terminated", "finishedAt"));
}
