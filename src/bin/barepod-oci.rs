//! `barepod-oci`: the container layer alone, with the command line of an OCI runtime.

fn main() {
    std::process::exit(barepod::cli::oci::main())
}
