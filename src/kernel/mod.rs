//! One file per kernel object. These know paths, ids and descriptors, and nothing of pods or containers.
//!
//! Read them in this order: [`process`] (clone3, pidfds), [`namespace`], [`mount`], [`root`] (paths inside a rootfs,
//! pivot_root), [`device`], [`cgroup`], [`capability`], [`identity`] (users, rlimits), [`network`], [`netdevice`], [`lock`],
//! [`schedule`], [`resctrl`], [`terminal`], [`pass`], [`poll`].

pub mod beneath;
pub mod capability;
pub mod cgroup;
pub mod copy;
pub mod device;
pub mod identity;
pub mod lock;
pub mod machine;
pub mod mount;
pub mod namespace;
pub mod netdevice;
pub mod network;
pub mod pass;
pub mod poll;
pub mod process;
pub mod resctrl;
pub mod root;
pub mod schedule;
pub mod sealed;
pub mod sys;
pub mod terminal;
pub mod watch;
