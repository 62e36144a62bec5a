//! The command line of `redis-conformance`; everything is in the library.

fn main() -> std::process::ExitCode {
    redis_conformance::cli::main()
}
