//! What this machine has, as its virtual nodes report it.

use std::{fs, thread};

/// What a node can give of `cpu` (cores), `memory` (bytes); `None` for anything else.
pub(super) fn allocatable(resource: &str) -> Option<u64> {
    match resource {
        "cpu" => thread::available_parallelism().ok().and_then(|cores| u64::try_from(cores.get()).ok()),
        "memory" => {
            let text = fs::read_to_string("/proc/meminfo").ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
        }
        _ => None,
    }
}
