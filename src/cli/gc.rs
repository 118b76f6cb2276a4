//! `barepod gc`

use std::io::Write;

use anyhow::{Context, Result};

use crate::pod::remove;
use crate::pod::store::Store;

/// Removes what dead pods left and prints it.
pub fn main(store: &Store) -> Result<i32> {
    super::need_root("gc")?;
    // Removing goes on when nobody reads any more.
    let tell = |what| drop(writeln!(std::io::stdout(), "removed {what}"));
    remove::garbage(store, tell).context("gc")?;
    Ok(0)
}
