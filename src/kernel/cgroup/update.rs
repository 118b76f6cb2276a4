//! Changing the limits of a living cgroup: what an OCI runtime's `update` does, and its options as a pure function.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::{
    LinuxBlockIoBuilder, LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources,
    LinuxResourcesBuilder,
};

use super::{Cgroup, Existing, processes, tree};

/// The options of runc's `update`, as given.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--blkio-weight`, 10–1000.
    pub blkio_weight: Option<String>,
    /// `--cpu-period`, µs.
    pub cpu_period: Option<String>,
    /// `--cpu-quota`, µs; -1 is no limit.
    pub cpu_quota: Option<String>,
    /// `--cpu-burst`, µs.
    pub cpu_burst: Option<String>,
    /// `--cpu-share`.
    pub cpu_share: Option<String>,
    /// `--cpu-rt-period`, µs.
    pub cpu_rt_period: Option<String>,
    /// `--cpu-rt-runtime`, µs.
    pub cpu_rt_runtime: Option<String>,
    /// `--cpu-idle`, 0 or 1.
    pub cpu_idle: Option<String>,
    /// `--cpuset-cpus`.
    pub cpuset_cpus: Option<String>,
    /// `--cpuset-mems`.
    pub cpuset_mems: Option<String>,
    /// `--memory`: bytes, or with a unit such as `512m`; -1 is no limit.
    pub memory: Option<String>,
    /// `--memory-reservation`, as `--memory`.
    pub memory_reservation: Option<String>,
    /// `--memory-swap`: memory and swap together, as `--memory`.
    pub memory_swap: Option<String>,
    /// `--pids-limit`; -1 is no limit.
    pub pids_limit: Option<String>,
}

impl Options {
    /// What the options ask for; nothing is said of what was not given. An error names the option.
    pub fn resources(&self) -> Result<LinuxResources> {
        let mut cpu = LinuxCpuBuilder::default().build()?;
        cpu.set_shares(number("cpu-share", &self.cpu_share)?);
        cpu.set_quota(number("cpu-quota", &self.cpu_quota)?);
        cpu.set_burst(number("cpu-burst", &self.cpu_burst)?);
        cpu.set_period(number("cpu-period", &self.cpu_period)?);
        cpu.set_realtime_runtime(number("cpu-rt-runtime", &self.cpu_rt_runtime)?);
        cpu.set_realtime_period(number("cpu-rt-period", &self.cpu_rt_period)?);
        cpu.set_idle(number("cpu-idle", &self.cpu_idle)?);
        cpu.set_cpus(self.cpuset_cpus.clone());
        cpu.set_mems(self.cpuset_mems.clone());
        let mut memory = LinuxMemoryBuilder::default().build()?;
        memory.set_limit(bytes("memory", &self.memory)?);
        memory.set_reservation(bytes("memory-reservation", &self.memory_reservation)?);
        memory.set_swap(bytes("memory-swap", &self.memory_swap)?);
        let pids = LinuxPidsBuilder::default();
        // 0 in a configuration is "not set"; who types it wants none, and no limit is less than 1 in a container that lives.
        let limit =
            number("pids-limit", &self.pids_limit)?.map(|limit: i64| if limit == 0 { 1 } else { limit });
        let pids = pids.limit(limit.unwrap_or(0)).build()?;
        let mut block_io = LinuxBlockIoBuilder::default().build()?;
        block_io.set_weight(number("blkio-weight", &self.blkio_weight)?);
        let mut resources =
            LinuxResourcesBuilder::default().cpu(cpu).memory(memory).pids(pids).block_io(block_io).build()?;
        // The builder's own idea of a default.
        resources.set_devices(None);
        Ok(resources)
    }
}

fn number<T: std::str::FromStr>(option: &str, given: &Option<String>) -> Result<Option<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let Some(text) = given.as_ref().filter(|text| !text.is_empty()) else { return Ok(None) };
    text.trim().parse().map(Some).with_context(|| format!("--{option} {text:?} is no number that fits"))
}

/// An amount as docker and runc read it (`RAMInBytes` of go-units): a number, a fraction too, and a unit of 1024, such as
/// `k`, `MB` or `GiB`.
fn bytes(option: &str, given: &Option<String>) -> Result<Option<i64>> {
    let Some(text) = given.as_ref().filter(|text| !text.is_empty()) else { return Ok(None) };
    if text == "-1" {
        return Ok(Some(-1));
    }
    amount(text).map(Some).with_context(|| format!("--{option} {text:?} is no amount of memory"))
}

fn amount(text: &str) -> Result<i64> {
    let (digits, unit) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let unit = unit.trim_start_matches(' ').to_ascii_lowercase();
    let unit =
        unit.strip_suffix("ib").filter(|unit| !unit.is_empty()).or(unit.strip_suffix('b')).unwrap_or(&unit);
    let Some(power) = ["", "k", "m", "g", "t", "p"].iter().position(|name| *name == unit) else {
        bail!("its unit is none of k, m, g, t, p")
    };
    let factor = 1u64 << (10 * power);
    if let Ok(whole) = digits.parse::<u64>() {
        let all = whole.checked_mul(factor).and_then(|all| i64::try_from(all).ok());
        return all.context("it is too large");
    }
    let number: f64 = digits.parse().context("it is no number")?;
    let all = number * factor as f64;
    ensure!(all < i64::MAX as f64, "it is too large");
    Ok(all as i64)
}

impl Cgroup {
    /// Changes what is given and leaves the rest, with the processes inside. A controller that only now comes into use is
    /// passed down to the cgroup on v2; on v1 the cgroup is made in its hierarchy, and all processes are moved there.
    pub fn update(&self, resources: &LinuxResources) -> Result<()> {
        let wider = self.for_resources(resources)?;
        if wider.hierarchy != self.hierarchy {
            wider.take_in(&self.paths())?;
        }
        wider.set(resources, true)
    }

    /// Moves the processes, which are in `known`, to the other directories of the cgroup.
    fn take_in(&self, known: &[PathBuf]) -> Result<()> {
        self.make(Existing::Join)?;
        for dir in self.paths().iter().filter(|dir| !known.contains(dir)) {
            // Until nobody is left who was forked meanwhile by somebody who had not moved yet.
            const ROUNDS: usize = 20;
            let mut rounds = 0;
            loop {
                let there = processes::pids_in(&[dir.to_owned()])?;
                let stray: Vec<i32> = self.pids()?.into_iter().filter(|pid| !there.contains(pid)).collect();
                if stray.is_empty() {
                    break;
                }
                rounds += 1;
                ensure!(rounds < ROUNDS, "move cgroup {} to {}: it forks too fast", self.path, dir.display());
                for pid in stray {
                    match tree::write(dir, "cgroup.procs", &pid.to_string()) {
                        // It has ended.
                        Err(error) if tree::errno(&error) == Some(libc::ESRCH) => {}
                        other => other?,
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(options: Options) -> String {
        serde_json::to_string(&options.resources().unwrap()).unwrap()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn nothing_given_asks_for_nothing() {
        assert_eq!(json(Options::default()), r#"{"memory":{},"cpu":{},"pids":{"limit":0},"blockIO":{}}"#);
    }

    #[test]
    fn each_option_has_its_field() {
        let options = Options {
            blkio_weight: some("500"),
            cpu_period: some("100000"),
            cpu_quota: some("-1"),
            cpu_burst: some("0"),
            cpu_share: some("512"),
            cpu_rt_period: some("1000000"),
            cpu_rt_runtime: some("1000"),
            cpu_idle: some("1"),
            cpuset_cpus: some("0-1"),
            cpuset_mems: some("0"),
            memory: some("64m"),
            memory_reservation: some("33554432"),
            memory_swap: some("-1"),
            pids_limit: some("20"),
        };
        assert_eq!(
            json(options),
            r#"{"memory":{"limit":67108864,"reservation":33554432,"swap":-1},"cpu":{"shares":512,"quota":-1,"idle":1,"burst":0,"period":100000,"realtimeRuntime":1000,"realtimePeriod":1000000,"cpus":"0-1","mems":"0"},"pids":{"limit":20},"blockIO":{"weight":500}}"#
        );
    }

    #[test]
    fn no_process_at_all_is_as_few_as_there_can_be() {
        let limit = |text| json(Options { pids_limit: some(text), ..Options::default() });
        assert!(limit("0").contains(r#""pids":{"limit":1}"#), "{}", limit("0"));
        assert!(limit("-1").contains(r#""pids":{"limit":-1}"#), "{}", limit("-1"));
    }

    #[test]
    fn amounts_have_the_units_that_docker_knows() {
        let pairs = [
            ("32", 32),
            ("32b", 32),
            ("32k", 32 << 10),
            ("32KB", 32 << 10),
            ("32 mb", 32 << 20),
            ("1.5g", 3 << 29),
            ("2GiB", 2 << 30),
            ("1t", 1 << 40),
            ("1P", 1 << 50),
        ];
        for (text, expected) in pairs {
            assert_eq!(amount(text).unwrap(), expected, "{text}");
        }
        for bad in ["", "m", "x", "1x", "1..2", "-2", "1kk", "1ib", "9223372036854775808", "9000000p"] {
            assert!(amount(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_error_names_the_option() {
        let error = |options: Options| format!("{:#}", options.resources().unwrap_err());
        let cpu = error(Options { cpu_share: some("many"), ..Options::default() });
        assert!(cpu.starts_with("--cpu-share \"many\""), "{cpu}");
        let memory = error(Options { memory: some("-2"), ..Options::default() });
        assert!(memory.starts_with("--memory \"-2\""), "{memory}");
        let weight = error(Options { blkio_weight: some("70000"), ..Options::default() });
        assert!(weight.starts_with("--blkio-weight"), "{weight}");
    }
}
