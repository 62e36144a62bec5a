//! The command line of `redis-conformance`, and the `kubectl` of its runbooks; everything is in the library.

use redis_conformance::{cli, runbook::kubectl, traffic::agent};

fn main() -> std::process::ExitCode {
    if agent::is_called() {
        return agent::main();
    }
    if kubectl::is_called() { kubectl::main() } else { cli::main() }
}
