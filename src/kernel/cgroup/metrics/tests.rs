use super::*;

/// A cgroup of given files; what is not given does not exist.
fn with<'a>(files: &'a [(&'a str, &'a str)]) -> impl Fn(&str, &str) -> Result<Option<String>> + 'a {
    |_, file| Ok(files.iter().find(|(name, _)| *name == file).map(|(_, text)| text.trim_end().to_owned()))
}

fn json(metrics: &Metrics) -> serde_json::Value {
    serde_json::to_value(metrics).unwrap()
}

const V2: &[(&str, &str)] = &[
    (
        "cpu.stat",
        "usage_usec 300\nuser_usec 200\nsystem_usec 100\nnr_periods 9\nnr_throttled 2\nthrottled_usec 50\nnr_bursts 0",
    ),
    (
        "cpu.pressure",
        "some avg10=1.50 avg60=0.00 avg300=0.25 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7",
    ),
    ("memory.stat", "anon 4096\nfile 8192\npgfault 3"),
    ("memory.current", "16384"),
    ("memory.max", "1048576"),
    ("memory.peak", "32768"),
    ("memory.swap.current", "100"),
    ("memory.swap.max", "0"),
    ("pids.current", "4"),
    ("pids.max", "max"),
    ("io.stat", "254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n7:0 \n"),
];

const V1: &[(&str, &str)] = &[
    ("cpuacct.usage", "3000"),
    ("cpuacct.usage_percpu", "1000 2000 "),
    ("cpuacct.usage_all", "cpu user system\n0 600 400\n1 1500 500"),
    ("cpuacct.stat", "user 3\nsystem 2"),
    ("cpu.stat", "nr_periods 9\nnr_throttled 2\nthrottled_time 5000\nnr_bursts 0\nburst_time 0"),
    ("cpuset.cpus", "0-1"),
    ("cpuset.mems", "0"),
    ("cpuset.sched_load_balance", "1"),
    ("cpuset.sched_relax_domain_level", "-1"),
    ("memory.stat", "cache 8192\nrss 4096"),
    ("memory.usage_in_bytes", "16384"),
    ("memory.limit_in_bytes", "1048576"),
    ("memory.max_usage_in_bytes", "32768"),
    ("memory.failcnt", "5"),
    ("memory.kmem.usage_in_bytes", "512"),
    ("pids.current", "4"),
    ("pids.max", "20"),
    ("blkio.throttle.io_serviced_recursive", "254:0 Read 1\n254:0 Total 1\nTotal 1"),
    ("blkio.throttle.io_service_bytes_recursive", "254:0 Read 4096\n254:0 Total 4096\nTotal 4096"),
];

#[test]
fn v2_has_the_shape_that_runc_prints() {
    let metrics = v2::metrics(&Files { read: &with(V2) }).unwrap();
    let expected = serde_json::json!({
        "cpu": {
            "usage": {"total": 300_000, "kernel": 100_000, "user": 200_000},
            "throttling": {"periods": 9, "throttledPeriods": 2, "throttledTime": 50_000},
            "psi": {
                "some": {"avg10": 1.5, "avg60": 0.0, "avg300": 0.25, "total": 1234},
                "full": {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 7}
            }
        },
        "cpuset": {
            "cpu_exclusive": 0, "mem_hardwall": 0, "mem_exclusive": 0, "memory_migrate": 0, "memory_spread_page": 0,
            "memory_spread_slab": 0, "memory_pressure": 0, "sched_load_balance": 0, "sched_relax_domain_level": 0
        },
        "memory": {
            "cache": 8192,
            "usage": {"limit": 1_048_576, "usage": 16384, "max": 32768, "failcnt": 0},
            "swap": {"limit": 1_048_576, "usage": 16484, "failcnt": 0},
            "kernel": {"limit": 0, "failcnt": 0},
            "kernelTCP": {"limit": 0, "failcnt": 0},
            "raw": {"anon": 4096, "file": 8192, "pgfault": 3}
        },
        "pids": {"current": 4},
        "blkio": {
            "ioServiceBytesRecursive": [
                {"major": 254, "op": "Read", "value": 4096}, {"major": 254, "op": "Write"}
            ],
            "ioServicedRecursive": [{"major": 254, "op": "Read", "value": 1}, {"major": 254, "op": "Write"}]
        },
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": null
    });
    assert_eq!(json(&metrics), expected);
}

#[test]
fn no_limit_of_memory_is_the_largest_number_on_v2() {
    let files = [
        ("memory.current", "1"),
        ("memory.max", "max"),
        ("memory.swap.current", "2"),
        ("memory.swap.max", "max"),
    ];
    let memory = v2::metrics(&Files { read: &with(&files) }).unwrap().memory;
    assert_eq!((memory.usage.limit, memory.swap.limit, memory.swap.usage), (u64::MAX, u64::MAX, 3));
}

#[test]
fn v1_has_the_same_shape_with_what_only_v1_counts() {
    let metrics = v1::metrics(&Files { read: &with(V1) }, &|_| true).unwrap();
    let now = json(&metrics);
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).unwrap().unwrap();
    let tick = 1_000_000_000 / ticks as u64;
    assert_eq!(
        now["cpu"]["usage"],
        serde_json::json!({
            "total": 3000, "percpu": [1000, 2000], "percpu_kernel": [400, 500], "percpu_user": [600, 1500],
            "kernel": 2 * tick, "user": 3 * tick
        })
    );
    assert_eq!(now["cpu"]["throttling"]["throttledTime"], 5000);
    assert_eq!(now["cpuset"]["cpus"], serde_json::json!([0, 1]));
    assert_eq!(now["cpuset"]["sched_relax_domain_level"], -1);
    assert_eq!(
        now["memory"]["usage"],
        serde_json::json!({"limit": 1_048_576, "usage": 16384, "max": 32768, "failcnt": 5})
    );
    assert_eq!(now["memory"]["kernel"]["usage"], 512);
    assert_eq!(now["pids"], serde_json::json!({"current": 4, "limit": 20}));
    assert_eq!(now["blkio"]["ioServicedRecursive"].as_array().unwrap().len(), 2, "without the sum");
    assert!(now["cpu"].get("psi").is_none());
}

#[test]
fn controllers_that_are_not_in_use_count_nothing() {
    let metrics = v1::metrics(&Files { read: &with(V1) }, &|_| false).unwrap();
    assert_eq!((&metrics.cpuset, &metrics.blkio), (&CpuSet::default(), &BlockIo::default()));
    let empty = v2::metrics(&Files { read: &with(&[]) }).unwrap();
    assert_eq!(empty, Metrics::default());
}

#[test]
fn entries_of_devices_have_an_operation_or_none() {
    let text = "8:0 Read 5\n8:16 7\nTotal 12\n";
    let entry = |minor, op: &str, value| BlockIoEntry { major: 8, minor, op: op.to_owned(), value };
    assert_eq!(v1::entries(text), [entry(0, "Read", 5), entry(16, "", 7)]);
}

#[test]
fn sizes_of_huge_pages_are_named_as_the_control_files_are() {
    for (directory, name) in
        [("hugepages-2048kB", "2MB"), ("hugepages-1048576kB", "1GB"), ("hugepages-64kB", "64KB")]
    {
        assert_eq!(size_name(directory).as_deref(), Some(name));
    }
    assert_eq!(size_name("hugepages-x"), None);
}
