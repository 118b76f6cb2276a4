//! Tests of the lifecycle on the virtual machine of [`super::sim`].

mod more_scenarios;
pub(crate) mod random;
mod restarts;
mod scenarios;
mod starts;
mod states;
mod stops;
