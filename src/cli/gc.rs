//! `barepod gc`

use anyhow::{Context, Result};

use crate::pod::remove;
use crate::pod::store::Store;

/// Removes what dead pods left and prints it.
pub fn main(store: &Store) -> Result<i32> {
    super::need_root("gc")?;
    remove::garbage(store, |what| println!("removed {what}")).context("gc")?;
    Ok(0)
}
