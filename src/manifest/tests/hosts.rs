//! Host name, `/etc/hosts` and `/etc/resolv.conf`.

use super::*;

fn pod(spec: &str) -> Pod {
    ok(&in_spec(spec)).pod
}

#[test]
fn a_subdomain_and_aliases_are_in_the_hosts_file() {
    let last = |spec: &str| pod(spec).etc_hosts("10.1.1.1 host\n").lines().nth(7).unwrap().to_owned();
    let beginning =
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
    assert!(pod("").etc_hosts("").starts_with(beginning));
    assert_eq!(last(""), "127.0.0.1\tweb");
    assert_eq!(last("  hostname: a\n"), "127.0.0.1\ta");
    assert_eq!(last("  hostname: a\n  subdomain: b\n"), "127.0.0.1\ta.b.default.svc.cluster.local\ta");
    assert_eq!(last("  hostname: a\n  subdomain: b\n  hostnameOverride: c.d\n"), "127.0.0.1\tc.d");
    let hosts =
        pod("  hostAliases: [{ip: 10.0.0.1, hostnames: [db, db.example]}, {ip: '::2', hostnames: [x]}]\n");
    assert!(
        hosts
            .etc_hosts("10.1.1.1 host\n")
            .ends_with("\n# Entries added by HostAliases.\n10.0.0.1\tdb\tdb.example\n::2\tx\n")
    );
    let hosts = pod("  hostNetwork: true\n  hostAliases: [{ip: 10.0.0.1, hostnames: [db]}]\n")
        .etc_hosts("10.1.1.1 host\n");
    let whole = "# Kubernetes-managed hosts file (host network).\n10.1.1.1 host\n\n# Entries added by HostAliases.\n10.0.0.1\tdb\n";
    assert_eq!(hosts, whole);
    refused(&in_spec("  hostAliases: [{ip: 10.0.0, hostnames: [db]}]\n"), "is not an IP address");
    refused(&in_spec("  hostAliases: [{ip: 10.0.0.1, hostnames: [a b]}]\n"), "is not a DNS name");
    refused(&in_spec("  subdomain: a.b\n"), "is not a DNS label");
}

#[test]
fn the_host_name_may_be_the_whole_one_or_another() {
    assert_eq!(pod("  subdomain: b\n").hostname, "web");
    assert_eq!(
        pod("  subdomain: b\n  setHostnameAsFQDN: true\n").hostname,
        "web.b.default.svc.cluster.local"
    );
    assert_eq!(pod("  setHostnameAsFQDN: true\n").hostname, "web");
    assert_eq!(pod("  hostnameOverride: x.y\n").hostname, "x.y");
    let long = format!("  subdomain: {}\n  setHostnameAsFQDN: true\n", "b".repeat(50));
    refused(&in_spec(&long), "is longer than 64 characters");
    refused(&in_spec("  setHostnameAsFQDN: true\n  hostnameOverride: x\n"), "may not be given together");
    let mut renamed = ok(&in_spec("  subdomain: b\n  setHostnameAsFQDN: true\n"));
    renamed.rename("other");
    assert_eq!(renamed.pod.hostname, "other.b.default.svc.cluster.local");
}

#[test]
fn the_hosts_resolver_configuration_is_kept_added_to_or_left_out() {
    let host = "# made by x\nnameserver 10.0.0.1\nsearch a b\nsearch c\noptions ndots:2 rotate\n";
    assert_eq!(pod("").resolv_conf(host), host);
    let config = "  dnsConfig: {nameservers: [1.1.1.1, 10.0.0.1], searches: [d, c], options: [{name: ndots, value: '5'}, {name: edns0}]}\n";
    assert_eq!(
        pod(config).resolv_conf(host),
        "search c d\nnameserver 10.0.0.1\nnameserver 1.1.1.1\noptions ndots:5 rotate edns0\n"
    );
    assert_eq!(
        pod(&format!("  dnsPolicy: None\n{config}")).resolv_conf(host),
        "search d c\nnameserver 1.1.1.1\nnameserver 10.0.0.1\noptions ndots:5 edns0\n"
    );
    refused(&in_spec("  dnsPolicy: None\n"), "None needs a name server");
    refused(&in_spec("  dnsConfig: {nameservers: [x]}\n"), "is not an IP address");
    refused(&in_spec("  dnsConfig: {nameservers: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4]}\n"), "more than 3");
    refused(&in_spec("  dnsConfig: {searches: [\"a\\nnameserver 6.6.6.6\"]}\n"), "is not a DNS name");
    refused(&in_spec("  dnsConfig: {options: [{value: x}]}\n"), "options[0].name is required");
    refused(&in_spec("  dnsConfig: {options: [{name: \"a b\"}]}\n"), "has blanks in it");
}
