//! The pod: the only layer that knows everything below.
//!
//! Reading order: [`start`] (the CLI's side of `run`), [`init`] (the sandbox: the same process after clone3),
//! [`supervisor`] and [`collect`] (the two halves of its event loop), [`instance`], [`helper`] and [`ephemeral`] (what it
//! starts), [`store`] (the files that everybody else reads), [`control`] (the socket), [`remove`] (what is left of a pod, and how it
//! goes away). At the side: [`pause`] (`run --step`).

pub mod collect;
pub mod control;
pub mod ephemeral;
pub mod eventread;
pub mod events;
pub mod helper;
pub mod http;
pub mod init;
pub mod instance;
pub mod logread;
pub mod logs;
pub mod message;
pub mod pause;
pub mod profile;
pub mod reaper;
pub mod remove;
pub mod start;
pub mod store;
pub mod supervisor;
pub mod volume;
