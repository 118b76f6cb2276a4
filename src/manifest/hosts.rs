//! The names of a pod: its host name, and what `/etc/hosts` and `/etc/resolv.conf` say.

use std::net::IpAddr;

use super::downward::ADDRESS;
use super::names;
use super::node::Node;
use super::pod::Pod;
use super::problem::{Problem, quoted};
use super::read::{checked, default_hostname, flag, text};

/// The domain that a kubelet has been told when nobody chose another one.
const CLUSTER_DOMAIN: &str = "cluster.local";
/// What a kubelet's `/etc/hosts` says of IPv6.
const SIX: &str = "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\n\
    fe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";
/// Longest host name that the kernel takes.
const LONGEST: usize = 64;
/// What resolvers read: more would be passed over.
const MOST_SERVERS: usize = 3;
const MOST_SEARCHES: usize = 32;
const LONGEST_SEARCH_LIST: usize = 2048;

/// `hostname`, `subdomain` and their kin, as given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// `hostname`.
    pub hostname: Option<String>,
    /// `subdomain`.
    pub subdomain: Option<String>,
    /// `setHostnameAsFQDN`.
    pub as_fqdn: bool,
    /// `hostnameOverride`.
    pub replaced: Option<String>,
    /// `hostAliases`: address and names.
    pub aliases: Vec<(String, Vec<String>)>,
    /// `dnsPolicy: None`: nothing of the host's.
    pub own_dns: bool,
    /// `dnsConfig`.
    pub dns: Dns,
}

/// `dnsConfig`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// Addresses.
    pub nameservers: Vec<String>,
    /// Domains.
    pub searches: Vec<String>,
    /// Names, and values if they have one.
    pub options: Vec<(String, Option<String>)>,
}

/// Reads what `spec` says of names.
pub fn read(spec: &Node, problems: &mut Vec<Problem>) -> Names {
    let name = |field: &str, rule: fn(&str) -> Result<(), String>, problems: &mut Vec<Problem>| {
        let node = spec.get(field).filter(|node| node.text().is_some_and(|text| !text.is_empty()))?;
        Some(checked(node, &format!("spec.{field}"), rule, problems))
    };
    let names = Names {
        hostname: name("hostname", names::label, problems),
        subdomain: name("subdomain", names::label, problems),
        as_fqdn: flag(spec, "setHostnameAsFQDN").unwrap_or(false),
        replaced: name("hostnameOverride", names::subdomain, problems),
        aliases: aliases(spec, problems),
        own_dns: text(spec, "dnsPolicy").as_deref() == Some("None"),
        dns: spec.get("dnsConfig").map_or(Dns::default(), |node| dns(node, problems)),
    };
    if let (Some(name), Some(node)) = (&names.replaced, spec.get("hostnameOverride")) {
        if name.len() > LONGEST {
            problems.push(node.error(format!("spec.hostnameOverride: longer than {LONGEST} characters")));
        }
        if flag(spec, "hostNetwork") == Some(true) {
            problems.push(node.error("spec.hostnameOverride: may not be given together with hostNetwork"));
        }
        if names.as_fqdn {
            problems
                .push(node.error("spec.hostnameOverride: may not be given together with setHostnameAsFQDN"));
        }
    }
    if names.own_dns
        && names.dns.nameservers.is_empty()
        && let Some(node) = spec.get("dnsPolicy")
    {
        problems.push(node.error("spec.dnsPolicy: None needs a name server in spec.dnsConfig.nameservers"));
    }
    names
}

fn aliases(spec: &Node, problems: &mut Vec<Problem>) -> Vec<(String, Vec<String>)> {
    let mut aliases = Vec::new();
    for (index, item) in spec.get("hostAliases").map(Node::items).unwrap_or_default().iter().enumerate() {
        let path = format!("spec.hostAliases[{index}]");
        let Some(ip) = item.get("ip") else { continue };
        let ip = checked(ip, &format!("{path}.ip"), address, problems);
        let mut hosts = Vec::new();
        for host in item.get("hostnames").map(Node::items).unwrap_or_default() {
            hosts.push(checked(host, &format!("{path}.hostnames"), names::subdomain, problems));
        }
        aliases.push((ip, hosts));
    }
    aliases
}

fn address(text: &str) -> Result<(), String> {
    text.parse::<IpAddr>().map(drop).map_err(|_| "is not an IP address".to_owned())
}

fn dns(node: &Node, problems: &mut Vec<Problem>) -> Dns {
    let path = "spec.dnsConfig";
    let mut list = |field: &str, most: usize, rule: fn(&str) -> Result<(), String>| {
        let Some(list) = node.get(field) else { return Vec::new() };
        if list.items().len() > most {
            problems.push(list.error(format!("{path}.{field}: more than {most}")));
        }
        let items = list.items().iter();
        items.map(|item| checked(item, &format!("{path}.{field}"), rule, problems)).collect::<Vec<_>>()
    };
    let nameservers = list("nameservers", MOST_SERVERS, address);
    let searches = list("searches", MOST_SEARCHES, |name| {
        // One dot at the end is as good as none; an underscore is what some domains begin with.
        names::subdomain(&name.strip_suffix('.').unwrap_or(name).replace('_', "a")).or(match name {
            "." => Ok(()),
            _ => Err("is not a DNS name: lower-case letters, digits, and - or . inside".to_owned()),
        })
    });
    if searches.join(" ").len() > LONGEST_SEARCH_LIST
        && let Some(node) = node.get("searches")
    {
        problems.push(node.error(format!("{path}.searches: longer than {LONGEST_SEARCH_LIST} characters")));
    }
    let mut options = Vec::new();
    for (index, item) in node.get("options").map(Node::items).unwrap_or_default().iter().enumerate() {
        let word = |text: &str| match text {
            _ if text.contains(|c: char| c.is_whitespace() || c.is_control()) => {
                Err("has blanks in it".to_owned())
            }
            _ => Ok(()),
        };
        let mut part = |field: &str| {
            let node = item.get(field).filter(|node| node.text() != Some(""))?;
            Some(checked(node, &format!("{path}.options[{index}].{field}"), word, problems))
        };
        match (part("name"), part("value")) {
            (Some(name), value) => options.push((name, value)),
            (None, _) => problems.push(item.error(format!("{path}.options[{index}].name is required"))),
        }
    }
    Dns { nameservers, searches, options }
}

impl Pod {
    /// Sets the host name from the pod's name and what the manifest says of it.
    pub(super) fn name_host(&mut self) {
        let short = self.short_name();
        let whole = self.domain().filter(|_| self.names.as_fqdn).map(|domain| format!("{short}.{domain}"));
        self.hostname = self.names.replaced.clone().or(whole).unwrap_or(short);
    }

    /// Complains about a host name that the kernel would not take.
    pub(super) fn refuse_long_host(&self, spec: &Node, problems: &mut Vec<Problem>) {
        if self.hostname.len() > LONGEST
            && let Some(node) = spec.get("setHostnameAsFQDN").filter(|_| self.names.replaced.is_none())
        {
            problems.push(node.error(format!(
                "spec.setHostnameAsFQDN: {} is longer than {LONGEST} characters",
                quoted(&self.hostname)
            )));
        }
    }

    fn short_name(&self) -> String {
        match (&self.names.replaced, &self.names.hostname) {
            (Some(name), _) | (None, Some(name)) => name.clone(),
            (None, None) => default_hostname(&self.name),
        }
    }

    fn domain(&self) -> Option<String> {
        let subdomain = self.names.subdomain.as_ref().filter(|_| self.names.replaced.is_none())?;
        Some(format!("{subdomain}.{}.svc.{CLUSTER_DOMAIN}", self.namespace))
    }

    /// `/etc/hosts`: with loopback only the pod's address is that of localhost, and its names lead there. With `hostNetwork` it
    /// is the `host`'s own.
    pub fn etc_hosts(&self, host: &str) -> String {
        let own = match (self.short_name(), self.domain()) {
            (short, Some(domain)) => format!("{short}.{domain}\t{short}"),
            (short, None) => short,
        };
        let mut text = match self.host_network {
            true => format!("# Kubernetes-managed hosts file (host network).\n{}\n", host.trim_end()),
            false => {
                format!("# Kubernetes-managed hosts file.\n{ADDRESS}\tlocalhost\n{SIX}{ADDRESS}\t{own}\n")
            }
        };
        if !self.names.aliases.is_empty() {
            text.push_str("\n# Entries added by HostAliases.\n");
        }
        for (ip, hosts) in &self.names.aliases {
            text.push_str(&format!("{ip}\t{}\n", hosts.join("\t")));
        }
        text
    }

    /// `/etc/resolv.conf`: the host's, with `dnsConfig` added; with `dnsPolicy: None` that alone.
    pub fn resolv_conf(&self, host: &str) -> String {
        let Names { own_dns, dns, .. } = &self.names;
        if !own_dns && *dns == Dns::default() {
            return host.to_owned();
        }
        let mut all = if *own_dns { Dns::default() } else { Dns::parse(host) };
        all.nameservers.extend(dns.nameservers.iter().cloned());
        all.searches.extend(dns.searches.iter().cloned());
        for (name, value) in &dns.options {
            match all.options.iter_mut().find(|(known, _)| known == name) {
                Some(known) => known.1.clone_from(value),
                None => all.options.push((name.clone(), value.clone())),
            }
        }
        all.to_text()
    }
}

impl Dns {
    /// resolv.conf(5), as far as `dnsConfig` goes.
    fn parse(text: &str) -> Dns {
        let mut dns = Dns::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => dns.nameservers.extend(words.next().map(str::to_owned)),
                // The last one counts.
                Some("search") => dns.searches = words.map(str::to_owned).collect(),
                Some("options") => {
                    let split = |word: &str| match word.split_once(':') {
                        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                        None => (word.to_owned(), None),
                    };
                    dns.options = words.map(split).collect();
                }
                _ => {}
            }
        }
        dns
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        let searches = unique(&self.searches);
        if !searches.is_empty() {
            text.push_str(&format!("search {}\n", searches.join(" ")));
        }
        for server in unique(&self.nameservers) {
            text.push_str(&format!("nameserver {server}\n"));
        }
        let option = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("{name}:{value}"),
            None => name.clone(),
        };
        if !self.options.is_empty() {
            let options: Vec<_> = self.options.iter().map(option).collect();
            text.push_str(&format!("options {}\n", options.join(" ")));
        }
        text
    }
}

fn unique(list: &[String]) -> Vec<&str> {
    let mut seen: Vec<&str> = Vec::new();
    for one in list {
        if !seen.contains(&one.as_str()) {
            seen.push(one);
        }
    }
    seen
}
