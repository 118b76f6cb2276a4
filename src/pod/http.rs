//! HTTP and TCP of hooks and probes: done by a forked helper in the pod's network namespace, never by the pod init.
//!
//! As a kubelet does it: certificates are not verified, no proxy is asked, redirects are followed on the same host only.

use std::io::{ErrorKind, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use ureq::config::AutoHeaderValue;
use ureq::http::Response;
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};

/// A GET request.
#[derive(Debug, Clone)]
pub struct Get<'a> {
    /// Whether it goes through TLS.
    pub https: bool,
    /// Host; the pod's own address by default.
    pub host: &'a str,
    /// Port.
    pub port: u16,
    /// Path with query.
    pub path: &'a str,
    /// Headers in order.
    pub headers: &'a [(String, String)],
    /// Deadline of the whole exchange.
    pub timeout: Duration,
}

/// What a probe's request came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200–299, or what a redirect led to was that (R81).
    Good,
    /// A redirect that is not followed, since it leads to another host or nowhere, with the body of the answer (R81).
    Redirect(String),
    /// The answer began well but did not end: no result at all (R83).
    Unfinished(String),
}

/// So much of a body is waited for, and no more of it is read.
const LONGEST_BODY: u64 = 10 * 1024;
/// As Go's client and the kubelet have it: so many are sent, and another redirect is too many.
const MOST_REQUESTS: usize = 10;
/// What the connection needs is its own affair, whatever a manifest says.
const NOT_GIVEN: [&str; 3] = ["content-length", "transfer-encoding", "trailer"];
/// These redirect; other answers from 300 on do not, whatever their headers.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// A hook is content with any answer (R51): only a failed exchange is an error.
pub fn hook(get: &Get) -> Result<()> {
    let answer = exchange(get, "lifecycle");
    match answer {
        // What a server without TLS says to a client that begins with it.
        Err(error) if get.https && format!("{error:#}").contains("InvalidContentType") => {
            let with = |(name, _): &&(String, String)| !name.eq_ignore_ascii_case("authorization");
            let headers: Vec<_> = get.headers.iter().filter(with).cloned().collect();
            exchange(&Get { https: false, headers: &headers, ..*get }, "lifecycle").map(drop)
        }
        answer => answer.map(drop),
    }
}

/// A probe wants 200–399 (R81).
pub fn probe(get: &Get) -> Result<Answer> {
    let response = exchange(get, "probe")?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    if let Err(error) = response.into_body().into_reader().take(LONGEST_BODY).read_to_end(&mut body) {
        return Ok(Answer::Unfinished(format!("read the body: {error}")));
    }
    match status {
        200..300 => Ok(Answer::Good),
        300..400 => Ok(Answer::Redirect(String::from_utf8_lossy(&body).into_owned())),
        _ => bail!("HTTP probe failed with statuscode: {status}"),
    }
}

/// tcpSocket: that it can be connected to is all (R82).
pub fn connect(host: &str, port: u16, timeout: Duration) -> Result<()> {
    let mut last = None;
    for address in (host, port).to_socket_addrs().with_context(|| format!("look up {host}"))? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(_) => return Ok(()),
            Err(error) => last = Some(error),
        }
    }
    bail!("{}", not_connected(host, port, &last.context("no address")?))
}

/// Go's words, which a kubelet's events have.
fn not_connected(host: &str, port: u16, error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => {
            let words = nix::Error::from_raw(errno).desc().to_lowercase();
            format!("dial tcp {host}:{port}: connect: {words}")
        }
        None if error.kind() == ErrorKind::TimedOut => format!("dial tcp {host}:{port}: i/o timeout"),
        None => format!("dial tcp {host}:{port}: {error}"),
    }
}

/// Asks, and follows redirects as long as they stay on the host.
fn exchange(get: &Get, agent: &str) -> Result<Response<Body>> {
    let deadline = Instant::now() + get.timeout;
    let mut place = Place {
        https: get.https,
        host: get.host.to_owned(),
        port: get.port,
        path: format!("/{}", without_fragment(get.path).trim_start_matches('/')),
    };
    for _ in 0..MOST_REQUESTS {
        let url = place.url();
        let left = deadline.saturating_duration_since(Instant::now());
        let response = send(&url, get.headers, agent, left).map_err(|error| match error {
            ureq::Error::Timeout(_) => {
                anyhow!("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
            }
            ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
                anyhow!(not_connected(&place.host, place.port, &error))
            }
            error => error.into(),
        });
        let response = response.with_context(|| format!("Get {url:?}"))?;
        let location = response.headers().get("location").map(|location| location.as_bytes());
        let location = location.and_then(|location| std::str::from_utf8(location).ok());
        // An empty one is as good as none.
        let next = location.filter(|location| !location.is_empty()).and_then(|location| place.then(location));
        match next.filter(|_| REDIRECTS.contains(&response.status().as_u16())) {
            Some(next) if next.host == get.host => place = next,
            _ => return Ok(response),
        }
    }
    bail!("stopped after {MOST_REQUESTS} redirects")
}

fn send(
    url: &str,
    headers: &[(String, String)],
    agent: &str,
    timeout: Duration,
) -> Result<Response<Body>, ureq::Error> {
    let given = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    let or = |name, default: &str| match given(name) {
        true => AutoHeaderValue::None,
        false => AutoHeaderValue::from(default),
    };
    let config = Agent::config_builder()
        .tls_config(TlsConfig::builder().disable_verification(true).build())
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(timeout))
        // What access logs filter for; the version is that of the types that the manifest is compared with.
        .user_agent(or("User-Agent", &format!("kube-{agent}/1.35")))
        .accept(or("Accept", "*/*"))
        .build();
    let mut request = config.new_agent().get(url).header("Connection", "close");
    let is_sent = |(name, value): &&(String, String)| {
        // An empty Accept asks for none.
        let is_none = name.eq_ignore_ascii_case("accept") && value.is_empty();
        !is_none && !NOT_GIVEN.iter().any(|not| name.eq_ignore_ascii_case(not))
    };
    for (name, value) in headers.iter().filter(is_sent) {
        request = request.header(name, value);
    }
    request.call()
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    https: bool,
    host: String,
    port: u16,
    path: String,
}

impl Place {
    fn url(&self) -> String {
        let Place { https, host, port, path } = self;
        let scheme = if *https { "https" } else { "http" };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        format!("{scheme}://{host}:{port}{}", encoded(path))
    }

    /// Where a `Location` leads from here (RFC 3986, section 5.2); `None` when that is no place of HTTP.
    fn then(&self, location: &str) -> Option<Place> {
        let location = without_fragment(location);
        let (https, rest) = match location.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some((scheme, _)) if !scheme.contains(['/', '?']) => return None,
            _ => match location.strip_prefix("//") {
                Some(rest) => (self.https, rest),
                None => return Some(Place { path: self.path_then(location), ..self.clone() }),
            },
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
        let default = if https { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
            _ => (authority, default),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Place { https, host, port, path })
    }

    /// The same for what is a path, or a part of one.
    fn path_then(&self, location: &str) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
        match location.chars().next() {
            None => self.path.clone(), // it was but a fragment
            Some('/') => location.to_owned(),
            Some('?') => format!("{path}{location}"),
            Some(_) => format!("{folder}{location}"),
        }
    }
}

/// What goes to a server of a URL.
fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}

/// What may not stand in a URL as it is, percent-encoded.
fn encoded(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte);
    path.bytes()
        .map(|byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Option<Place> {
        let here = Place { https: false, host: "127.0.0.1".into(), port: 8080, path: "/a/b?c=d".into() };
        here.then(url)
    }

    #[test]
    fn a_location_leads_on_from_where_one_is() {
        let url = |location: &str| place(location).map(|place| place.url());
        for (location, leads_to) in [
            ("/healthz", "http://127.0.0.1:8080/healthz"),
            ("x", "http://127.0.0.1:8080/a/x"),
            ("?q=1", "http://127.0.0.1:8080/a/b?q=1"),
            ("", "http://127.0.0.1:8080/a/b?c=d"),
            ("http://127.0.0.1/x#y", "http://127.0.0.1:80/x"),
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090/"),
            ("https://127.0.0.1?q", "https://127.0.0.1:443/?q"),
            ("//example.test/x", "http://example.test:80/x"),
            ("http://[::1]:81/x", "http://[::1]:81/x"),
            ("http://[::1]/x", "http://[::1]:80/x"),
            ("http://a@b.test/", "http://b.test:80/"),
            ("/to?back=http://x.test/", "http://127.0.0.1:8080/to?back=http://x.test/"),
        ] {
            assert_eq!(url(location).as_deref(), Some(leads_to), "{location}");
        }
        assert_eq!(place("ftp://127.0.0.1/"), None);
        assert_eq!(place("http://127.0.0.1:many/"), None);
    }

    #[test]
    fn what_is_no_url_is_encoded() {
        assert_eq!(encoded("/a b/ü?x=%20|y"), "/a%20b/%C3%BC?x=%20%7Cy");
    }
}
