//! httpGet of hooks and probes as a kubelet sends it, seen from the server: a thread of the test, which pods with the host's
//! network reach.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use support::*;

/// A server at a port of its own. It notes each request, and answers as it is told by its path.
#[derive(Clone)]
struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// With `tls` it speaks nothing else, with a certificate that nobody knows and whose time is over.
    fn start(tls: bool, answer: impl Fn(&str) -> String + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server { port: listener.local_addr().unwrap().port(), requests: Arc::default() };
        let requests = server.requests.clone();
        let config = tls.then(|| {
            let certificate = CertificateDer::from(include_bytes!("support/tls/certificate.der").as_slice());
            let key = PrivatePkcs8KeyDer::from(include_bytes!("support/tls/key.der").as_slice());
            let config = ServerConfig::builder().with_no_client_auth();
            Arc::new(config.with_single_cert(vec![certificate], key.into()).unwrap())
        });
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heard = match &config {
                    Some(config) => {
                        let connection = ServerConnection::new(config.clone()).unwrap();
                        serve(StreamOwned::new(connection, stream), &answer)
                    }
                    None => serve(stream, &answer),
                };
                requests.lock().unwrap().extend(heard);
            }
        });
        server
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Hears one request up to its empty line; `None` when it is none.
fn serve(stream: impl Read + Write, answer: impl Fn(&str) -> String) -> Option<String> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        let mut line = String::new();
        match stream.read_line(&mut line) {
            Ok(1..) => request += &line,
            // What speaks TLS is answered as Go's server does.
            _ => {
                stream.get_mut().write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nno TLS here\n").ok();
                return None;
            }
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    stream.get_mut().write_all(answer(&path).as_bytes()).ok();
    Some(request)
}

fn well(_: &str) -> String {
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()
}

/// A pod in the host's network whose containers, by name, have these lines.
fn pod(name: &str, containers: &[(&str, String)]) -> String {
    let mut manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  hostNetwork: true\n  terminationGracePeriodSeconds: 1\n  containers:\n"
    );
    for (name, lines) in containers {
        manifest += &format!(
            "  - name: {name}\n    image: box\n    command: [sh, -c, \"{UNTIL_TERM}\"]\n    {lines}\n"
        );
    }
    manifest
}

fn readiness(get: &str) -> String {
    let timeout = seconds(5).as_secs();
    format!("readinessProbe: {{httpGet: {{{get}}}, periodSeconds: 1, timeoutSeconds: {timeout}}}")
}

fn is_ready(lab: &Lab, pod: &str, container: &str) -> bool {
    lab.status(pod, container)["ready"] == true
}

#[test]
fn a_probe_by_https_trusts_any_certificate_and_one_by_http_does_not_speak_tls() {
    let lab = Lab::new();
    let server = Server::start(true, well);
    let port = server.port;
    lab.start(&pod("tls", &[("app", readiness(&format!("port: {port}, scheme: HTTPS")))]));
    lab.until("the probe", seconds(10), || is_ready(&lab, "tls", "app"));
    assert!(server.requests()[0].starts_with("GET / HTTP/1.1\r\n"), "{:?}", server.requests());

    lab.start(&pod("plain", &[("app", readiness(&format!("port: {port}")))]));
    lab.until("its failure", seconds(10), || lab.ok(&["events", "plain"]).contains("Unhealthy"));
    assert!(!is_ready(&lab, "plain", "app"));
}

/// R51.
#[test]
fn a_hook_by_https_that_meets_plain_http_is_sent_again_without_tls_and_a_probe_is_not() {
    let lab = Lab::new();
    let server = Server::start(false, well);
    let get =
        format!("port: {}, scheme: HTTPS, httpHeaders: [{{name: Authorization, value: x}}]", server.port);
    let hook = format!("lifecycle: {{postStart: {{httpGet: {{path: /hook, {get}}}}}}}");
    lab.start(&pod("hooked", &[("app", hook)]));
    lab.until("the hook", seconds(10), || is_ready(&lab, "hooked", "app"));
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].starts_with("GET /hook ") && requests[0].contains("kube-lifecycle/"), "{requests:?}");
    assert!(!requests[0].contains("Authorization") && !requests[0].contains("authorization"), "{requests:?}");

    lab.start(&pod("probed", &[("app", readiness(&get))]));
    lab.until("its failure", seconds(10), || lab.ok(&["events", "probed"]).contains("Unhealthy"));
    assert!(!is_ready(&lab, "probed", "app"));
}

/// R51.
#[test]
fn a_hook_fails_when_what_answers_is_no_http() {
    let lab = Lab::new();
    let server = Server::start(false, |path| match path {
        "/shell" => "SSH-2.0-OpenSSH_9\r\n".to_owned(),
        _ => String::new(),
    });
    let hook = |path: &str| {
        format!("lifecycle: {{postStart: {{httpGet: {{path: /{path}, port: {}}}}}}}", server.port)
    };
    lab.start(&pod("shell", &[("app", hook("shell"))]));
    lab.start(&pod("silent", &[("app", hook("silent"))]));
    for name in ["shell", "silent"] {
        lab.until(name, seconds(20), || {
            lab.ok(&["events", name]).contains("PostStartHook failed: Get \"http://")
        });
    }
}

#[test]
fn headers_of_the_manifest_replace_those_that_are_sent_anyway() {
    let lab = Lab::new();
    let server = Server::start(false, well);
    let port = server.port;
    let own = "httpHeaders: [{name: Host, value: shop.example}, {name: user-agent, value: me}, {name: Accept, value: ''}, \
        {name: X-Two, value: a}, {name: X-Two, value: b}, {name: Content-Length, value: '7'}]";
    let usual = readiness(&format!("path: /usual, port: {port}"));
    let own = readiness(&format!("path: '/own side?x=%20#part', port: {port}, {own}"));
    lab.start_ready(&pod("headers", &[("usual", usual), ("own", own)]));
    let request = |path: &str| {
        let requests = server.requests();
        let request = requests.iter().find(|request| request.starts_with(&format!("GET {path} ")));
        let request = request.unwrap_or_else(|| panic!("{path}: {requests:?}"));
        let mut lines: Vec<String> = request.trim_end().lines().skip(1).map(str::to_lowercase).collect();
        lines.sort();
        lines
    };
    let host = format!("host: 127.0.0.1:{port}");
    assert_eq!(request("/usual"), ["accept: */*", "connection: close", &host, "user-agent: kube-probe/1.35"]);
    let expected = ["connection: close", "host: shop.example", "user-agent: me", "x-two: a", "x-two: b"];
    assert_eq!(request("/own%20side?x=%20"), expected);
}

/// R81.
#[test]
fn redirects_are_followed_on_the_same_host_whatever_the_port() {
    let lab = Lab::new();
    let redirect =
        |to: &str| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 4\r\n\r\ngone");
    let end = Server::start(false, |_| "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_owned());
    let elsewhere = format!("http://127.0.0.1:{}/end", end.port);
    let server = Server::start(false, move |path| match path {
        "/port" => redirect(&elsewhere),
        "/far" => redirect("http://example.test/"),
        "/deep/relative" => redirect("other"),
        "/round" => redirect("/round"),
        "/abroad" => redirect("/ü"),
        "/empty" => redirect(""),
        "/nowhere" => "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned(),
        _ => well(path),
    });
    let containers = ["port", "far", "deep/relative", "round", "nowhere", "abroad", "empty"];
    let containers = containers.map(|path| {
        (path.rsplit('/').next().unwrap(), readiness(&format!("path: /{path}, port: {}", server.port)))
    });
    lab.start(&pod("redirected", &containers));
    let events = |words: &str| lab.ok(&["events", "redirected"]).contains(words);
    for name in ["far", "relative", "nowhere", "abroad", "empty"] {
        lab.until(name, seconds(10), || is_ready(&lab, "redirected", name));
    }
    for words in [
        "Readiness probe warning: Probe terminated redirects, Response body: gone",
        "HTTP probe failed with statuscode: 503",
        "stopped after 10 redirects",
    ] {
        lab.until(words, seconds(10), || events(words));
    }
    assert!(server.requests().iter().any(|request| request.starts_with("GET /deep/other ")));
    assert!(server.requests().iter().any(|request| request.starts_with("GET /%C3%BC ")));
    assert!(end.requests().iter().any(|request| request.starts_with("GET /end ")));
    assert!(!is_ready(&lab, "redirected", "port") && !is_ready(&lab, "redirected", "round"));
}

/// R83: a kubelet throws such a result away.
#[test]
fn an_answer_that_does_not_end_says_nothing() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let held: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let heard = held.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").ok();
            heard.lock().unwrap().push(stream);
        }
    });
    let get = format!("{{httpGet: {{port: {port}}}, periodSeconds: 1, failureThreshold: 1}}");
    let probes = format!("readinessProbe: {get}\n    livenessProbe: {get}");
    lab.start(&pod("half", &[("app", probes)]));
    lab.until("some probes", seconds(20), || held.lock().unwrap().len() >= 6);
    assert!(!is_ready(&lab, "half", "app"));
    assert_eq!(lab.restarts("half", "app"), 0);
}

/// R81: as Go's client, which stops before its eleventh request.
#[test]
fn nine_redirects_are_followed_and_a_tenth_is_not() {
    let lab = Lab::new();
    let server = Server::start(false, |path| match path.trim_start_matches('/').parse::<u32>() {
        Ok(left @ 1..) => {
            format!("HTTP/1.1 302 Found\r\nLocation: /{}\r\nContent-Length: 0\r\n\r\n", left - 1)
        }
        _ => well(path),
    });
    let after = |redirects: u32| readiness(&format!("path: /{redirects}, port: {}", server.port));
    lab.start(&pod("chain", &[("nine", after(9)), ("ten", after(10))]));
    lab.until("the ninth", seconds(10), || is_ready(&lab, "chain", "nine"));
    let gave_up = || lab.ok(&["events", "chain"]).contains("stopped after 10 redirects");
    lab.until("the tenth", seconds(10), gave_up);
    assert!(!is_ready(&lab, "chain", "ten"));
}
