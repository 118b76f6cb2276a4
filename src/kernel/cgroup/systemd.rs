//! Scopes made and ended by systemd, over D-Bus (org.freedesktop.systemd1(5)), for `--systemd-cgroup`.
//!
//! **Whoever calls this has threads from then on** (zbus brings its own), so it must not fork any more: the runtime calls
//! it in the parent, after the container's process exists and waits, or in a process that ends soon.
//!
//! ```text
//! runtime: clone the container's process, which waits
//!          start(scope, pid, resources)        systemd makes the cgroup and moves the process there
//!          Cgroup::new(hierarchy, scope.path).for_resources(resources)?
//!              .adopt(pid), .apply(resources)  what systemd does not know
//!          let the process go on: it makes its cgroup namespace
//! delete:  kill the cgroup, stop(unit), Cgroup::find(…).remove()
//! ```
//!
//! cgroups-rs has a client too, on the same zbus; it is not used, because it does not wait until systemd has done what it
//! was asked for, knows no time-out, and takes an unreachable systemd for a unit that does not exist.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::LinuxResources;
use zbus::blocking::{Connection, connection};
use zbus::zvariant::{self, OwnedObjectPath, OwnedValue};

use super::scope::{self, Property, Scope};

const DEADLINE: Duration = Duration::from_secs(30);
const NAME: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const ROOT: &str = "/org/freedesktop/systemd1";

/// Whether this host was booted with systemd (sd_booted(3)).
pub fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Makes the scope with the process `pid` in it, and with the limits that systemd has properties for; returns when systemd
/// has moved the process. A failed unit of the same name that is left over is forgotten first.
pub fn start(scope: &Scope, pid: i32, resources: Option<&LinuxResources>, v2: bool) -> Result<()> {
    let manager = Manager::connect()?;
    let limits = match resources {
        Some(resources) => scope::properties(resources, v2, manager.version()?)?,
        None => Vec::new(),
    };
    let pid = u32::try_from(pid).context("pid is negative")?;
    let mut properties: Vec<(&str, zvariant::Value)> = vec![
        ("Description", format!("container in {}", scope.unit).into()),
        ("Slice", scope.slice.as_str().into()),
        ("Delegate", true.into()),
        ("PIDs", vec![pid].into()),
        ("DefaultDependencies", false.into()),
        // Gone when it is empty, also when it failed.
        ("CollectMode", "inactive-or-failed".into()),
        ("CPUAccounting", true.into()),
        ("MemoryAccounting", true.into()),
        ("TasksAccounting", true.into()),
        (if v2 { "IOAccounting" } else { "BlockIOAccounting" }, true.into()),
    ];
    properties.extend(limits.into_iter().map(value));
    let none: Vec<(&str, Vec<(&str, zvariant::Value)>)> = Vec::new();
    let body = (scope.unit.as_str(), "replace", &properties, &none);
    let job = match manager.call::<OwnedObjectPath>("StartTransientUnit", &body) {
        Err(error) if is(&error, "UnitExists") => {
            manager.forget(&scope.unit)?;
            manager.call("StartTransientUnit", &body)
        }
        result => result,
    };
    let job = job.with_context(|| format!("start {}", scope.unit))?;
    manager.wait(&job).with_context(|| format!("start {}", scope.unit))?;
    let state = manager.active_state(&scope.unit)?;
    ensure!(state.as_deref() == Some("active"), "start {}: it is {}", scope.unit, state.unwrap_or_default());
    Ok(())
}

/// Changes the limits of a scope as far as systemd knows them; [`super::Cgroup::update`] does the rest.
pub fn update(unit: &str, resources: &LinuxResources, v2: bool) -> Result<()> {
    let manager = Manager::connect()?;
    let properties = scope::properties(resources, v2, manager.version()?)?;
    if properties.is_empty() {
        return Ok(());
    }
    let properties: Vec<(&str, zvariant::Value)> = properties.into_iter().map(value).collect();
    let runtime_only = true;
    manager
        .call::<()>("SetUnitProperties", &(unit, runtime_only, properties))
        .with_context(|| format!("set properties of {unit}"))
}

/// Ends the scope, and forgets it; one that is gone is fine. Processes that are left get SIGTERM, so kill them before.
pub fn stop(unit: &str) -> Result<()> {
    let manager = Manager::connect()?;
    match manager.call::<OwnedObjectPath>("StopUnit", &(unit, "replace")) {
        Err(error) if is(&error, "NoSuchUnit") => return Ok(()),
        result => {
            let job = result.with_context(|| format!("stop {unit}"))?;
            manager.wait(&job).with_context(|| format!("stop {unit}"))?;
        }
    }
    manager.forget(unit)
}

struct Manager {
    connection: Connection,
}

impl Manager {
    fn connect() -> Result<Manager> {
        let connection = connection::Builder::system()
            .and_then(|builder| builder.method_timeout(DEADLINE).build())
            .context("connect to systemd over D-Bus")?;
        Ok(Manager { connection })
    }

    fn call<T>(&self, method: &str, body: &(impl serde::Serialize + zvariant::DynamicType)) -> zbus::Result<T>
    where
        T: for<'a> zvariant::DynamicDeserialize<'a>,
    {
        let reply = self.connection.call_method(Some(NAME), ROOT, Some(MANAGER), method, body)?;
        reply.body().deserialize()
    }

    fn property(&self, path: &str, interface: &str, name: &str) -> Result<String> {
        let properties = Some("org.freedesktop.DBus.Properties");
        let reply = self.connection.call_method(Some(NAME), path, properties, "Get", &(interface, name));
        let value: OwnedValue = reply.and_then(|reply| reply.body().deserialize())?;
        String::try_from(value).with_context(|| format!("read property {name}"))
    }

    /// The major version: 252 of `252.38-1~deb12u1`.
    fn version(&self) -> Result<u32> {
        version(&self.property(ROOT, MANAGER, "Version")?)
    }

    /// `None` when there is no such unit.
    fn active_state(&self, unit: &str) -> Result<Option<String>> {
        match self.call::<OwnedObjectPath>("GetUnit", &unit) {
            Err(error) if is(&error, "NoSuchUnit") => Ok(None),
            path => {
                let path = path.with_context(|| format!("look for {unit}"))?;
                self.property(path.as_str(), "org.freedesktop.systemd1.Unit", "ActiveState").map(Some)
            }
        }
    }

    /// Waits until the job is done, one way or the other: then systemd knows it no more.
    fn wait(&self, job: &OwnedObjectPath) -> Result<()> {
        let id: u32 = job.as_str().rsplit('/').next().unwrap_or_default().parse().context("read job")?;
        let end = Instant::now() + DEADLINE;
        let mut pause = Duration::from_micros(500);
        loop {
            match self.call::<OwnedObjectPath>("GetJob", &id) {
                Err(error) if is(&error, "NoSuchJob") => return Ok(()),
                Err(error) => return Err(error).context("look for job"),
                Ok(_) if Instant::now() > end => {
                    bail!("systemd did not finish within {} s", DEADLINE.as_secs())
                }
                Ok(_) => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    /// Makes systemd forget a failed unit.
    fn forget(&self, unit: &str) -> Result<()> {
        match self.call::<()>("ResetFailedUnit", &unit) {
            Err(error) if is(&error, "NoSuchUnit") => Ok(()),
            result => result.with_context(|| format!("reset {unit}")),
        }
    }
}

/// Whether systemd answered with this error.
fn is(error: &zbus::Error, name: &str) -> bool {
    let zbus::Error::MethodError(answered, ..) = error else { return false };
    answered.strip_prefix(NAME).and_then(|rest| rest.strip_prefix('.')) == Some(name)
}

fn value<'a>((name, value): Property) -> (&'a str, zvariant::Value<'a>) {
    let value = match value {
        scope::Value::Number(number) => number.into(),
        scope::Value::Text(text) => text.into(),
        scope::Value::Bytes(bytes) => bytes.into(),
        scope::Value::Pairs(pairs) => pairs.into(),
    };
    (name, value)
}

fn version(text: &str) -> Result<u32> {
    let digits: String = text.trim_start_matches('v').chars().take_while(|c| c.is_ascii_digit()).collect();
    digits.parse().with_context(|| format!("systemd has version {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions_begin_with_the_number() {
        for (text, expected) in
            [("252.38-1~deb12u1", 252), ("v245.4-1.fc32", 245), ("256~rc3", 256), ("239", 239)]
        {
            assert_eq!(version(text).unwrap(), expected);
        }
        assert!(version("unknown").is_err());
    }

    #[test]
    fn values_have_the_types_that_systemd_expects() {
        let signature = |value: scope::Value| self::value(("", value)).1.value_signature().to_string();
        assert_eq!(signature(scope::Value::Number(1)), "t");
        assert_eq!(signature(scope::Value::Text("strict".to_owned())), "s");
        assert_eq!(signature(scope::Value::Bytes(vec![3])), "ay");
        let pair = ("char-1".to_owned(), "rw".to_owned());
        assert_eq!(signature(scope::Value::Pairs(vec![pair])), "a(ss)");
        assert_eq!(signature(scope::Value::Pairs(Vec::new())), "a(ss)");
    }
}
