//! `barepod`: pods.

fn main() {
    barepod::cli::leave(barepod::cli::main())
}
