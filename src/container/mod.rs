//! An OCI container from a runtime spec: knows nothing of pods.
//!
//! [`launch`] is the parent's side, [`child`] what happens in the new process until execve, [`exec`] a further process in
//! a running container, [`oci`] the state directory of `barepod-oci`.

pub mod child;
pub mod exec;
pub mod launch;
pub mod oci;
