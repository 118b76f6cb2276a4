//! Reaching a pod that runs: `port-forward` and `stats`.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use support::*;

const SERVER: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: server}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: web
      image: box
      command: [sh, -c, "echo hello from the pod > /tmp/index.html; exec httpd -f -p 80 -h /tmp"]
      ports: [{name: http, containerPort: 80}]
      readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}
      resources: {limits: {memory: 32Mi}}
    - name: eater
      image: box
      command: [sh, -c, "head -c 8m /dev/zero > /dev/shm/full; sleep 1000"]
"#;

/// `port-forward` in the background, and the port of the host that it listens on.
fn forward(lab: &Lab, port: &str) -> (Background, u16) {
    let forward = lab.background(&["port-forward", "server", port]);
    lab.until("port-forward to listen", seconds(10), || forward.stdout().contains(" -> "));
    let said = forward.stdout();
    let port = said.strip_prefix("Forwarding from 127.0.0.1:").unwrap().split_once(" -> 80\n").unwrap().0;
    (forward, port.parse().unwrap())
}

fn get(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(seconds(10))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_port_of_the_host_leads_into_the_pod_and_goes_away_with_it() {
    let lab = Lab::new();
    lab.start_ready(SERVER);
    let (mut by_name, port) = forward(&lab, ":http");
    for _ in 0..3 {
        assert!(get(port).contains("hello from the pod"));
    }
    // Two at once, one of which says nothing.
    let _silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert!(get(port).contains("hello from the pod"));
    lab.ok(&["rm", "-f", "server"]);
    assert_eq!(by_name.code(seconds(10)), Some(0));
    assert!(by_name.stderr().contains("the pod has ended"), "{}", by_name.stderr());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_port_where_nobody_listens_closes_the_connection_and_says_so() {
    let lab = Lab::new();
    lab.start_ready(SERVER);
    let forward = lab.background(&["port-forward", "server", ":81"]);
    lab.until("port-forward to listen", seconds(10), || forward.stdout().contains(" -> 81"));
    let said = forward.stdout();
    let port = said.split(':').nth(1).unwrap().split(' ').next().unwrap().parse::<u16>().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(seconds(10))).unwrap();
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
    lab.until("a word about it", seconds(10), || forward.stderr().contains("connect to port 81 of the pod"));
    for (port, words) in
        [("nonsense", "the pod has no port"), ("0", "no port 0"), ("70000:80", "no port 70000")]
    {
        let said = lab.fails(125, &["port-forward", "server", port]);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn stats_are_those_of_the_cgroups() {
    let lab = Lab::new();
    lab.start_ready(SERVER);
    let eaten = || {
        let all: Value = serde_json::from_str(&lab.ok(&["stats", "server", "-o", "json"])).unwrap();
        all[1].clone()
    };
    lab.until("8 MiB in shared memory", seconds(10), || eaten()["memoryBytes"].as_u64() > Some(8 << 20));
    let eater = eaten();
    assert_eq!((&eater["pod"], &eater["container"]), (&"server".into(), &"eater".into()));
    assert_eq!((eater["restartCount"].as_u64(), eater["oomKills"].as_u64()), (Some(0), Some(0)));
    assert!(eater["pids"].as_u64() >= Some(1) && eater["cpuUsageMicros"].as_u64() > Some(0), "{eater}");
    let table = lab.ok(&["stats"]);
    assert!(table.starts_with("POD      CONTAINER   CPU"), "{table}");
    assert!(table.lines().any(|line| line.starts_with("server   web ")), "{table}");
    let said = lab.fails(125, &["stats", "nobody"]);
    assert!(said.contains("no pod \"nobody\"; there are: server"), "{said}");
}
