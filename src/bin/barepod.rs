//! `barepod`: pods.

fn main() {
    std::process::exit(barepod::cli::main())
}
