//! The plan of a container: from its OCI runtime spec to the ordered list of kernel steps that make it. Pure data; the
//! container's child process performs exactly this list ([`crate::container::child`]).
//!
//! [`step`] has the vocabulary, [`mount`] reads mount options, [`container`] puts the list in order, [`refuse`] names what
//! is not done. At the side: [`seccomp`] compiles system call filters, [`oci`] has the steps that no pod has.

pub mod container;
pub mod mount;
pub mod oci;
pub mod refuse;
pub mod sandbox;
pub mod seccomp;
pub mod step;

pub use container::{Plan, Rootfs, exec_steps, filter, plan, process_steps};
pub use step::Step;
