//! Network tags, v1 only: `network.classID` (net_cls), `network.priorities` (net_prio).

use anyhow::{Result, ensure};
use oci_spec::runtime::LinuxNetwork;

use super::setting::{Setting, Shows};

pub(super) fn settings(network: &LinuxNetwork) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    if let Some(id) = network.class_id().filter(|id| *id != 0) {
        let setting =
            Setting::new("network.classID", "net_cls", "net_cls.classid", id.to_string(), Shows::Same);
        settings.push(setting);
    }
    for one in network.priorities().iter().flatten() {
        let (name, priority) = (one.name(), one.priority().to_string());
        let plain = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control());
        ensure!(plain, "linux.resources.network.priorities: {name:?} is no name of an interface");
        let value = format!("{name} {priority}");
        let shows = Shows::Line(name.clone(), priority);
        let setting = Setting::new("network.priorities", "net_prio", "net_prio.ifpriomap", value, shows);
        settings.push(setting.hint("the interface must be in the runtime's network namespace"));
    }
    Ok(settings)
}
