//! What the event log costs: reads the log of a pod and appends its entries again, many times, as the pod init does.
//! Linked with the library by scripts/bench.
//!
//! Usage: event-log EVENTS_FILE DIRECTORY; prints the number of entries and the microseconds per entry.

use std::path::Path;
use std::time::Instant;

use barepod::history::Log;
use barepod::pod::events::EventLog;

const ROUNDS: u32 = 1000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [events, directory] = args.as_slice() else { panic!("usage: event-log EVENTS_FILE DIRECTORY") };
    let text = std::fs::read_to_string(events).expect("read the event log");
    let log = Log::parse(&text).expect("parse the event log");
    let mut copy = EventLog::begin(Path::new(directory), &log.head).expect("begin an event log");
    let start = Instant::now();
    for _ in 0..ROUNDS {
        log.entries.iter().for_each(|entry| copy.append(entry));
    }
    let entries = log.entries.len() as u32;
    let each = start.elapsed() / (ROUNDS * entries);
    println!("{entries} {:.2}", each.as_nanos() as f64 / 1000.0);
}
