//! `postStart` and `preStop`.

use super::super::{
    super::{
        super::runtime::Running,
        events::Level,
        json::{list, number},
    },
    pod::Worker,
};
use crate::wait::pause;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

impl Worker {
    /// Runs `postStart`; what went wrong, if something did.
    pub(super) async fn post_start(&self, spec: &Value, running: &Running) -> Option<String> {
        let hook = spec.pointer("/lifecycle/postStart")?;
        tokio::select! {
            why = run(hook, running, None) => why.map(|why| format!("PostStartHook failed: {why}")),
            // It ended before its hook; that is told as its end.
            _ = running.wait() => None,
        }
    }

    /// Runs `preStop`, at most until the deadline.
    pub(super) async fn pre_stop(&self, spec: &Value, running: &Running, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        if let Some(hook) = spec.pointer("/lifecycle/preStop")
            && let Some(why) = run(hook, running, Some(left)).await
        {
            self.tell(Level::Warning, "FailedPreStopHook", &format!("PreStopHook failed: {why}"));
        }
    }
}

async fn run(hook: &Value, running: &Running, limit: Option<Duration>) -> Option<String> {
    if let Some(seconds) = number(hook, "/sleep/seconds") {
        let time = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        pause(limit.map_or(time, |limit| time.min(limit))).await;
        return None;
    }
    let command: Vec<String> = list(hook, "/exec/command").iter().filter_map(|word| word.as_str().map(str::to_owned)).collect();
    if command.is_empty() {
        return None;
    }
    match running.exec(&command, &[], &[], limit).await {
        Ok(output) if output.code == 0 => None,
        Ok(output) => Some(format!(
            "command '{}' exited with {}: {}{}",
            command.join(" "),
            output.code,
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        )),
        Err(error) => Some(error.to_string()),
    }
}
