//! `barepod ps`

use std::time::SystemTime;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::columns;
use crate::pod::store::Store;

/// List pods, ended ones too.
#[derive(Debug, Args)]
pub struct Options {
    /// Output format
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// A v1 List of Pod objects
    Json,
    /// More columns
    Wide,
}

/// Runs the verb.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    let mut objects = Vec::new();
    for name in store.names()? {
        // A pod may be removed while we look; then it is not there to be listed.
        if let Ok((record, _)) = store.view(&name) {
            objects.push(record.object);
        }
    }
    if options.output == Some(Format::Json) {
        super::print(&serde_json::to_string_pretty(
            &json!({"apiVersion": "v1", "kind": "List", "items": objects}),
        )?)?;
        return Ok(0);
    }
    let now = SystemTime::now();
    let wide = options.output == Some(Format::Wide);
    let mut rows = vec![columns::header(wide)];
    rows.extend(objects.iter().map(|object| columns::row(object, now, wide)));
    super::print(columns::table(&rows).trim_end())?;
    Ok(0)
}
