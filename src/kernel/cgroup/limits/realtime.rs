//! Time for real-time tasks, v1 only: `cpu.realtimePeriod`, `cpu.realtimeRuntime` (scheduler/sched-rt-group).

use oci_spec::runtime::LinuxCpu;

use super::set;
use super::setting::{Host, Setting, Shows};

pub(super) fn settings(cpu: &LinuxCpu, host: &Host) -> Vec<Setting> {
    const PERIOD: &str = "cpu.rt_period_us";
    let hint = "the cgroups above must have as much real-time, and tasks in use of it cannot lose all";
    let one = |field: &str, file: &str, value: String| {
        Setting::new(field, "cpu", file, value, Shows::Same).hint(hint)
    };
    let period = cpu.realtime_period().filter(|period| *period != 0);
    let runtime = set(cpu.realtime_runtime());
    let mut settings = Vec::new();
    settings.extend(period.map(|us| one("cpu.realtimePeriod", PERIOD, us.to_string())));
    settings.extend(runtime.map(|us| one("cpu.realtimeRuntime", "cpu.rt_runtime_us", us.to_string())));
    // In between, the share of one CPU must be no larger than it was or will be: a shorter period comes last.
    let now: Option<u64> = period.and_then(|_| host.read("cpu", PERIOD)?.parse().ok());
    if period.zip(now).is_some_and(|(wanted, now)| wanted < now) {
        settings.reverse();
    }
    settings
}
