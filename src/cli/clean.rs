//! `clean`: mends and removes what killed runs left, and says what it did.

use super::{Problem, output::print};
use crate::{target::local::node, verdict::Exit};

pub(super) fn run() -> Result<Exit, Problem> {
    let mut lines = of_clusters()?;
    let stale = node::list_stale();
    if !stale.is_empty() {
        let removed = node::sweep_stale().map_err(|error| Problem::from(anyhow::Error::from(error)))?;
        lines.extend(stale.iter().map(|path| {
            let done = removed.contains(path);
            (format!("{} {}", if done { "removed" } else { "could not remove" }, path.display()), done)
        }));
    }
    if lines.is_empty() {
        print("nothing was left behind\n")?;
        return Ok(Exit::Conformant);
    }
    let text: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
    print(&text)?;
    Ok(if lines.iter().all(|(_, done)| *done) { Exit::Conformant } else { Exit::Unusable })
}

/// What was mended on clusters, and whether it could be.
#[cfg(feature = "kube")]
fn of_clusters() -> Result<Vec<(String, bool)>, Problem> {
    use crate::target::kube::mend_all;
    use anyhow::Context as _;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the asynchronous runtime does not start")?;
    let mended = runtime.block_on(mend_all())?;
    let line = |what: String, problem: Option<String>| match problem {
        None => (what, true),
        Some(problem) => (format!("not done: {what}\n  because: {problem}"), false),
    };
    Ok(mended.into_iter().map(|mended| line(mended.what, mended.problem)).collect())
}

#[cfg(not(feature = "kube"))]
fn of_clusters() -> Result<Vec<(String, bool)>, Problem> {
    Ok(Vec::new())
}
