//! `barepod inspect`

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::pod::store::Store;

/// Print the Pod object with its status, in Kubernetes' own shape.
#[derive(Debug, Args)]
pub struct Options {
    /// Pod name
    pod: String,
    /// Output format
    #[arg(short, long, value_enum, default_value = "json")]
    output: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Runs the verb.
pub fn main(store: &Store, options: &Options) -> Result<i32> {
    let (record, _) = store.view(&options.pod)?;
    match options.output {
        Format::Json => super::print(&serde_json::to_string_pretty(&record.object)?)?,
        Format::Yaml => super::print(crate::yaml::print(&record.object).trim_end())?,
    }
    Ok(0)
}
