//! `barepod-oci features`: what is implemented, whether or not this kernel has it (runtime-spec, "Features Structure").

use anyhow::Result;
use serde_json::{Value, json};

use crate::container::oci::VERSION;
use crate::kernel::sys;
use crate::manifest::names::CAPABILITIES;
use crate::plan::{mount, seccomp};

/// Runs the verb.
pub fn main() -> Result<i32> {
    super::super::print(&serde_json::to_string_pretty(&features())?)?;
    Ok(0)
}

fn features() -> Value {
    let capabilities = CAPABILITIES.map(|name| format!("CAP_{name}")).to_vec();
    let flags = seccomp::FLAGS.iter();
    // The one thing that is about this kernel.
    let supported = flags.clone().filter(|(_, flags)| sys::knows_filter_flags(*flags));
    let [flags, supported] = [flags.collect::<Vec<_>>(), supported.collect()]
        .map(|flags| flags.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": mount::options(),
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": capabilities,
            "cgroup": {"v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": true},
            "seccomp": {
                "enabled": true,
                "actions": ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
                    "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"],
                "operators": ["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                    "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"],
                "archs": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
                "knownFlags": flags,
                "supportedFlags": supported,
            },
            "apparmor": {"enabled": true},
            "selinux": {"enabled": true},
            "intelRdt": {"enabled": true, "schemata": true, "monitoring": true},
            "memoryPolicy": {
                "modes": ["MPOL_BIND", "MPOL_DEFAULT", "MPOL_INTERLEAVE", "MPOL_LOCAL", "MPOL_PREFERRED",
                    "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE"],
                "flags": ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"],
            },
            "mountExtensions": {"idmap": {"enabled": true}},
            "netDevices": {"enabled": true},
        },
        "annotations": {"run.barepod.version": env!("CARGO_PKG_VERSION")},
    })
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::{
        Features, LinuxSeccompFilterFlag, LinuxSeccompOperator, MemoryPolicyFlagType, MemoryPolicyModeType,
    };
    use serde::de::DeserializeOwned;

    use super::*;

    /// Everything that is printed is in what was read from it.
    fn assert_within(printed: &Value, read: &Value, place: &str) {
        match printed {
            Value::Object(fields) => {
                for (name, value) in fields {
                    assert_within(value, &read[name], &format!("{place}.{name}"));
                }
            }
            other => assert_eq!(other, read, "{place}"),
        }
    }

    fn all_are<T: DeserializeOwned>(names: &Value) -> usize {
        let names = names.as_array().unwrap();
        for name in names {
            assert!(serde_json::from_value::<T>(name.clone()).is_ok(), "{name}");
        }
        names.len()
    }

    #[test]
    fn the_features_are_those_of_the_specification() {
        let features = features();
        let read: Features = serde_json::from_value(features.clone()).unwrap();
        assert_within(&features, &serde_json::to_value(&read).unwrap(), "");
        let linux = &features["linux"];
        assert_eq!(all_are::<LinuxSeccompOperator>(&linux["seccomp"]["operators"]), 7);
        assert_eq!(all_are::<LinuxSeccompFilterFlag>(&linux["seccomp"]["knownFlags"]), 4);
        assert_eq!(all_are::<MemoryPolicyModeType>(&linux["memoryPolicy"]["modes"]), 7);
        assert_eq!(all_are::<MemoryPolicyFlagType>(&linux["memoryPolicy"]["flags"]), 3);
        // Since Linux 4.17 at the latest.
        let supported = linux["seccomp"]["supportedFlags"].as_array().unwrap();
        assert!(
            supported.len() >= 3 && supported.contains(&"SECCOMP_FILTER_FLAG_TSYNC".into()),
            "{supported:?}"
        );
        assert!(!sys::knows_filter_flags(1 << 31));
    }
}
