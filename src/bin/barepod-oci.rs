//! `barepod-oci`: the container layer alone, with the command line of an OCI runtime.

fn main() {
    barepod::cli::leave(barepod::cli::oci::main())
}
