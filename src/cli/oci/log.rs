//! The log file of an engine: runc's lines, as engines parse them.

use std::io::Write;
use std::time::SystemTime;

use super::Global;

/// Appends a line of this level, if there is a log file.
pub fn write(global: &Global, level: &str, message: &str) {
    let Some(path) = &global.log else { return };
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let line = if global.log_format == "json" {
        serde_json::json!({"level": level, "msg": message, "time": time}).to_string()
    } else {
        format!("time={time:?} level={level} msg={message:?}")
    };
    let file = std::fs::File::options().append(true).create(true).open(path);
    // The same line stands on standard error; there is nowhere else to say that the log cannot be written.
    file.and_then(|mut file| writeln!(file, "{line}")).ok();
}
