//! The lane on kind: the same features on a real cluster, what killed runs leave and how it is mended, and a cluster that is somebody's.
//!
//! Needs Docker and kind; where kind cannot pull its nodes' image, `REDIS_CONFORMANCE_NODE_IMAGE` names it. All tests share one cluster,
//! one after the other, and have a `main` of their own so that it is deleted whatever becomes of them; they speak as libtest does.

mod cluster;
mod documents;
mod killed;
#[path = "../support/libtest.rs"]
mod libtest;
mod measures;
mod refusals;
#[path = "../support/report.rs"]
mod report;
mod somebodys;

use cluster::Cluster;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::Instant,
};

/// A test: its name and what it does on the cluster.
type Test = (&'static str, fn(&Cluster));

const ALL: &[Test] = &[
    ("the_documents_hold_and_nothing_is_left", documents::hold),
    ("a_run_that_is_killed_during_a_fault_is_mended", killed::during_each_fault),
    ("a_cluster_of_somebodys_is_used_with_the_rights_that_we_ask_for", somebodys::is_used),
    ("a_namespace_that_somebody_lends_is_left_as_it_was", somebodys::is_lent_a_namespace),
    ("what_a_cluster_refuses_is_told_in_its_words", refusals::are_told),
    ("an_interrupted_run_leaves_nothing", refusals::an_interrupt_leaves_nothing),
];

const MEASURES: &[Test] = &[("from_event_to_step", measures::from_event_to_step)];

/// `--ignored` measures.
fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let all = if words.iter().any(|word| word == "--ignored") { MEASURES } else { ALL };
    let Some(chosen) = libtest::chosen(&words, all) else { return ExitCode::SUCCESS };
    if chosen.is_empty() {
        return libtest::end(&[], 0, all.len(), std::time::Duration::ZERO);
    }
    let (begun, cluster) = (Instant::now(), Cluster::make());
    println!("the cluster {} is there after {:.0} s", cluster.name, begun.elapsed().as_secs_f64());
    let mut failed = Vec::new();
    for (name, test) in &chosen {
        let begun = Instant::now();
        // What was asserted stands on standard error already.
        let result = catch_unwind(AssertUnwindSafe(|| test(&cluster))).map_err(|_| anyhow::anyhow!("see its panic above"));
        failed.extend(libtest::told(name, begun.elapsed(), result));
    }
    drop(cluster);
    libtest::end(&failed, chosen.len(), all.len(), begun.elapsed())
}
