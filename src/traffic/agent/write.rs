//! Carries out a workload: writers side by side, each with its own keys, until stopped or counted out.

use super::{
    Clock,
    output::{NobodyListens, Sink},
    wire::WritePlan,
    writer::Writer,
};
use std::sync::{Arc, atomic::AtomicU64};
use tokio::{sync::watch, task::JoinSet};

/// Runs the plan; returns when every writer has ended and every record has been said.
pub(super) async fn run(plan: WritePlan, sink: &Sink, clock: Clock, stopped: watch::Receiver<bool>) -> Result<(), NobodyListens> {
    // A key belongs to one writer, so that the order of its writes is the order of their answers.
    let writers = plan.keys.map_or(u64::from(plan.writers), |keys| keys.min(u64::from(plan.writers))).max(1);
    let plan = Arc::new(plan);
    let connections = Arc::new(AtomicU64::new(0));
    let mut running = JoinSet::new();
    for number in 0..writers {
        let writer = Writer::new(Arc::clone(&plan), number, writers, Arc::clone(&connections), sink.clone(), clock);
        running.spawn(writer.run(stopped.clone()));
    }
    let mut result = Ok(());
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(ended) => result = result.and(ended),
            Err(panic) => {
                let reason = format!("a writer ended before its time: {panic}");
                result = result.and(sink.say(super::wire::What::Failed { reason }).await);
            }
        }
    }
    result
}
