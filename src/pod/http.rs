//! HTTP and TCP of hooks and probes: done by a forked helper in the pod's network namespace, never by the pod init.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A GET request.
#[derive(Debug, Clone)]
pub struct Get<'a> {
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
    /// 200–399 (R81).
    Good,
    /// A redirect to another host, which is not followed (R81).
    ElsewhereTo(String),
}

/// A hook is content with any answer (R51): only a failed exchange is an error.
pub fn hook(get: &Get) -> Result<()> {
    send(get, get.path).map(drop)
}

/// A probe wants 200–399; redirects on the same host are followed, at most ten (R81).
pub fn probe(get: &Get) -> Result<Answer> {
    let mut path = get.path.to_owned();
    for _ in 0..10 {
        let (status, location) = send(get, &path)?;
        match (status, location) {
            (300..400, Some(location)) => match same_host(&location, get.host, get.port) {
                Some(next) => path = next,
                None => return Ok(Answer::ElsewhereTo(location)),
            },
            (200..400, _) => return Ok(Answer::Good),
            _ => bail!("HTTP probe failed with statuscode: {status}"),
        }
    }
    bail!("stopped after 10 redirects")
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
    Err(last.context("no address")?).with_context(|| format!("dial tcp {host}:{port}"))
}

fn send(get: &Get, path: &str) -> Result<(u16, Option<String>)> {
    let host = if get.host.contains(':') { format!("[{}]", get.host) } else { get.host.to_owned() };
    let url = format!("http://{host}:{}/{}", get.port, path.trim_start_matches('/'));
    let mut request = minreq::get(&url)
        .with_follow_redirects(false)
        .with_timeout(get.timeout.as_secs().max(1))
        .with_max_headers_size(64 * 1024)
        .with_max_status_line_length(4096)
        .with_header("User-Agent", "barepod-probe")
        .with_header("Accept", "*/*")
        .with_header("Connection", "close");
    for (name, value) in get.headers {
        request = request.with_header(name, value);
    }
    // Lazily: the body is nobody's business here and may be endless.
    let response = request.send_lazy().map_err(|error| anyhow::anyhow!("Get {url:?}: {error}"))?;
    let mut headers = response.headers.iter();
    let location =
        headers.find(|(name, _)| name.eq_ignore_ascii_case("location")).map(|(_, value)| value.clone());
    Ok((response.status_code, location))
}

/// The path of a redirect that stays on this host and port; `None` when it leads elsewhere.
fn same_host(location: &str, host: &str, port: u16) -> Option<String> {
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(location.to_owned());
    }
    let rest = location.strip_prefix("http://").or(location.strip_prefix("//"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (to, to_port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    (to == host && to_port.parse() == Ok(port)).then(|| format!("/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_followed_on_the_same_host_only() {
        assert_eq!(same_host("/healthz", "127.0.0.1", 80).as_deref(), Some("/healthz"));
        assert_eq!(same_host("http://127.0.0.1:8080/x", "127.0.0.1", 8080).as_deref(), Some("/x"));
        assert_eq!(same_host("http://127.0.0.1/x", "127.0.0.1", 8080), None);
        assert_eq!(same_host("http://example.test/x", "127.0.0.1", 80), None);
    }
}
