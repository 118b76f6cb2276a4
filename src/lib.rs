//! barepod: a Kubernetes Pod on one Linux machine with nothing under it but the kernel.
//!
//! # The map
//!
//! | layer | modules | knows |
//! |---|---|---|
//! | pure | [`manifest`], [`bundle`], [`plan`], [`lifecycle`], [`object`], [`columns`], [`duration`], [`yaml`], [`history`], [`narrate`], [`lint`], [`explain`], [`timeline`], [`why`], [`words`], [`share`] | data: no clock, no files, no system calls |
//! | kernel | [`kernel`], one file per kernel object | paths, ids and descriptors; nothing of pods |
//! | container | [`container`] | an OCI container from a runtime spec; nothing of pods |
//! | pod | [`pod`] | everything below |
//! | cli | [`cli`], one file per verb | how to ask for it |
//!
//! A test (`tests/layers.rs`) enforces who may import whom.
//!
//! # A reading order
//!
//! 1. [`kernel::process`], [`kernel::namespace`], [`kernel::mount`], [`kernel::root`]: what the kernel offers.
//! 2. [`plan::container`] and [`container::child`]: the list of steps that makes a container, and who performs it.
//! 3. [`plan::sandbox`] and [`pod::init`]: the same for the pod's sandbox.
//! 4. [`lifecycle`]: the kubelet's rules as a pure function; [`pod::supervisor`] is its shell.
//! 5. [`cli::run`] and [`pod::start`]: from the command line to the first clone3(2).
//! 6. [`pod::store`], [`pod::remove`]: what is left of a pod on disk, and how it goes away.

pub mod bundle;
pub mod cli;
pub mod columns;
pub mod container;
pub mod duration;
pub mod explain;
pub mod history;
pub mod kernel;
pub mod lifecycle;
pub mod lint;
pub mod manifest;
pub mod narrate;
pub mod object;
pub mod plan;
pub mod pod;
pub mod share;
pub mod timeline;
pub mod why;
pub mod words;
pub mod yaml;
