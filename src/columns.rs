//! kubectl's `get pods` columns, computed from a Pod object the way kubectl's own printer does.

use std::time::SystemTime;

use serde_json::Value;

/// The first line; `wide` has more columns.
pub fn header(wide: bool) -> Vec<String> {
    let mut columns = vec!["NAME", "READY", "STATUS", "RESTARTS", "AGE"];
    if wide {
        columns.extend(["IP", "NODE"]);
    }
    columns.into_iter().map(str::to_string).collect()
}

/// One pod.
pub fn row(pod: &Value, now: SystemTime, wide: bool) -> Vec<String> {
    let summary = summarize(pod);
    let restarts = match summary.last_restart.filter(|_| summary.restarts > 0) {
        Some(at) => format!("{} ({} ago)", summary.restarts, age(Some(at), now)),
        None => summary.restarts.to_string(),
    };
    let mut columns = vec![
        text(&pod["metadata"]["name"]).to_string(),
        format!("{}/{}", summary.ready, summary.total),
        summary.status,
        restarts,
        age(time(&pod["metadata"]["creationTimestamp"]), now),
    ];
    if wide {
        let or_none = |value: &Value| value.as_str().unwrap_or("<none>").to_string();
        columns.extend([or_none(&pod["status"]["podIP"]), or_none(&pod["spec"]["nodeName"])]);
    }
    columns
}

/// Lines of a table, columns three spaces apart as kubectl's are.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut lines = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        lines.push_str(cells.join("   ").trim_end());
        lines.push('\n');
    }
    lines
}

/// The four columns that take thought.
struct Summary {
    ready: usize,
    total: usize,
    status: String,
    restarts: u64,
    last_restart: Option<SystemTime>,
}

impl Summary {
    fn count_restarts(&mut self, container: &Value) {
        self.restarts += container["restartCount"].as_u64().unwrap_or(0);
        self.last_restart = self.last_restart.max(time(&container["lastState"]["terminated"]["finishedAt"]));
    }
}

fn summarize(pod: &Value) -> Summary {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let inits = list(&spec["initContainers"]);
    let is_sidecar =
        |name: &Value| inits.iter().any(|init| init["name"] == *name && init["restartPolicy"] == "Always");
    let sidecars = inits.iter().filter(|init| is_sidecar(&init["name"])).count();

    // The pod's own word, unless a container has more to say.
    let own = [&status["reason"], &status["phase"]].into_iter().find_map(Value::as_str).unwrap_or("Unknown");
    let total = list(&spec["containers"]).len() + sidecars;
    let mut summary = Summary { ready: 0, total, status: own.to_string(), restarts: 0, last_restart: None };

    // The first entry that is not initialised speaks for the pod; ready sidecars before it are counted.
    let init_statuses = list(&status["initContainerStatuses"]);
    let mut initializing = false;
    for (index, container) in init_statuses.iter().enumerate() {
        summary.count_restarts(container);
        let (terminated, waiting) =
            (&container["state"]["terminated"], text(&container["state"]["waiting"]["reason"]));
        if terminated["exitCode"] == 0 {
            continue;
        }
        if is_sidecar(&container["name"]) && container["started"] == true {
            summary.ready += usize::from(container["ready"] == true);
            continue;
        }
        summary.status = if !terminated.is_null() {
            format!("Init:{}", end(terminated))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{}", inits.len())
        };
        initializing = true;
        break;
    }

    // From then on the regular containers speak, the first of them last and so loudest.
    if !initializing || condition(status, "Initialized") {
        (summary.restarts, summary.last_restart) = (0, None);
        let sidecars = init_statuses.iter().filter(|container| is_sidecar(&container["name"]));
        sidecars.for_each(|container| summary.count_restarts(container));
        let mut has_running = false;
        for container in list(&status["containerStatuses"]).iter().rev() {
            summary.count_restarts(container);
            let (state, waiting) = (&container["state"], text(&container["state"]["waiting"]["reason"]));
            if !waiting.is_empty() {
                summary.status = waiting.to_string();
            } else if !state["terminated"].is_null() {
                summary.status = end(&state["terminated"]);
            } else if container["ready"] == true && !state["running"].is_null() {
                has_running = true;
                summary.ready += 1;
            }
        }
        // barepod's own: kubectl knows no pod whose supervisor was killed, and its containers would hide that.
        if status["reason"] == "SandboxLost" {
            summary.status = "SandboxLost".to_string();
        }
        if summary.status == "Completed" && has_running {
            summary.status = if condition(status, "Ready") { "Running" } else { "NotReady" }.to_string();
        }
    }

    let is_terminal = status["phase"] == "Succeeded" || status["phase"] == "Failed";
    if !pod["metadata"]["deletionTimestamp"].is_null() && !is_terminal {
        summary.status = "Terminating".to_string();
    }
    summary
}

/// How a container ended, in a word.
fn end(terminated: &Value) -> String {
    match (text(&terminated["reason"]), terminated["signal"].as_i64().unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or(0)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_string(),
    }
}

fn condition(status: &Value, kind: &str) -> bool {
    let holds = |condition: &Value| condition["type"] == kind && condition["status"] == "True";
    list(&status["conditions"]).iter().any(holds)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn time(value: &Value) -> Option<SystemTime> {
    humantime::parse_rfc3339_weak(value.as_str()?).ok()
}

/// Time since then as kubectl writes it; two units at most, and the second one only while it matters.
fn age(since: Option<SystemTime>, now: SystemTime) -> String {
    let Some(since) = since else {
        return "<unknown>".to_string();
    };
    let seconds = match now.duration_since(since) {
        Ok(age) => age.as_secs(),
        Err(ahead) if ahead.duration().as_secs() < 2 => 0, // clocks may differ a little
        Err(_) => return "<invalid>".to_string(),
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |big: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big}{unit}"),
        small => format!("{big}{unit}{small}{small_unit}"),
    };
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, "m", seconds % 60, "s")
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if days < 8 {
        two(days, "d", hours % 24, "h")
    } else if days < 730 {
        format!("{days}d")
    } else if days < 2920 {
        two(days / 365, "y", days % 365, "d")
    } else {
        format!("{}y", days / 365)
    }
}

#[cfg(test)]
mod tests;
