//! `clean`: removes what killed runs left, and says what it removed.

use super::{Problem, output::print};
use crate::{target::local::node, verdict::Exit};

pub(super) fn run() -> Result<Exit, Problem> {
    let stale = node::list_stale();
    if stale.is_empty() {
        print("nothing was left behind\n")?;
        return Ok(Exit::Conformant);
    }
    let removed = node::sweep_stale().map_err(|error| Problem::from(anyhow::Error::from(error)))?;
    let mut text = String::new();
    for path in &stale {
        let word = if removed.contains(path) { "removed" } else { "could not remove" };
        text.push_str(&format!("{word} {}\n", path.display()));
    }
    print(&text)?;
    Ok(if removed.len() == stale.len() { Exit::Conformant } else { Exit::Unusable })
}
