//! One container of a pod: started, watched, ended, started again.

mod hooks;

use super::{
    super::{
        super::runtime::{Exit, Running, StartError},
        events::Level,
        json::{number, text},
        random,
    },
    backoff::Backoff,
    pod::{Stop, Worker},
    start::{self, Ingredients},
    status::{Ended, State},
};
use crate::wait::pause;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// What a container is to its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Runs before the others, to its end.
    Init,
    /// Runs beside the others from before they start until after they ended.
    Sidecar,
    /// What the pod is for.
    Main,
}

/// The shortest time that a container gets to end when it is not its pod that is deleted.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// How one start of a container came out.
enum Outcome {
    /// It ran and ended.
    Ended(Ended),
    /// The pod was stopped before it could run.
    Stopped,
}

impl Worker {
    /// Runs a container until its end, or its pod's, by the pod's restart policy.
    pub(super) async fn container(&self, spec: &Value, role: Role, mut stop: Stop) {
        let name = text(spec, "/name");
        if let Some(Err(unsupported)) = self.image(name) {
            let image = text(spec, "/image");
            let words = format!("Failed to pull image {image:?}: no program stands for it here");
            self.tell_once(Level::Warning, "Failed", &words);
            self.change(name, |status| status.state = State::Waiting { reason: "ErrImagePull".into(), message: unsupported.to_string() });
            // Only the end of the pod ends this.
            drop(stop.wait_for(Option::is_some).await);
            return;
        }
        let mut backoff = Backoff::default();
        let mut restarts = self.status_of(name, |status| status.restarts).unwrap_or(0);
        let mut ended_at = None;
        if self.status_of(name, |status| status.last.is_some()).unwrap_or(false) {
            // It ran before its node lost power.
            restarts += 1;
        }
        while stop.borrow().is_none() {
            if let Some(ended) = ended_at {
                if !self.back_off(name, &backoff, ended, &mut stop).await {
                    return;
                }
                backoff.restarted(ended);
                restarts += 1;
            }
            let Outcome::Ended(ended) = self.once(spec, role, restarts, &mut stop).await else { return };
            ended_at = Some(Instant::now());
            let code = ended.code;
            self.change(name, |status| {
                status.state = State::Terminated(ended);
                (status.ready, status.started) = (role == Role::Init && code == 0, false);
            });
            let again = match (role, text(&self.pod, "/spec/restartPolicy")) {
                (Role::Sidecar, _) => true,
                (Role::Init | Role::Main, "Never") => false,
                (Role::Init, _) | (Role::Main, "OnFailure") => code != 0,
                (Role::Main, _) => true,
            };
            if !again {
                return;
            }
        }
    }

    /// Waits as long as a container that keeps ending must; `false` where its pod is stopped meanwhile.
    async fn back_off(&self, name: &str, backoff: &Backoff, ended: Instant, stop: &mut Stop) -> bool {
        let ready = backoff.ready_at(ended);
        let now = Instant::now();
        if ready <= now {
            return true;
        }
        let (wait, long) = (backoff.wait().as_secs(), self.long_name());
        let wait = if wait >= 60 { format!("{}m{}s", wait / 60, wait % 60) } else { format!("{wait}s") };
        self.change(name, |status| {
            let message = format!("back-off {wait} restarting failed container={name} pod={long}");
            let before = std::mem::replace(&mut status.state, State::Waiting { reason: "CrashLoopBackOff".into(), message });
            if let State::Terminated(ended) = before {
                status.last = Some(ended);
            }
        });
        self.tell(Level::Warning, "BackOff", &format!("Back-off restarting failed container {name} in pod {long}"));
        tokio::select! {
            () = pause(ready - now) => true,
            _ = stop.wait_for(Option::is_some) => false,
        }
    }

    async fn once(&self, spec: &Value, role: Role, restarts: u32, stop: &mut Stop) -> Outcome {
        let name = text(spec, "/name");
        let id = format!("local://{}", random::uid().replace('-', ""));
        let running = match self.start(spec, restarts, stop).await {
            None => return Outcome::Stopped,
            Some(Ok(running)) => running,
            Some(Err(error)) => {
                let words = format!(
                    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: {error}: unknown"
                );
                self.tell(Level::Warning, "Failed", &format!("Error: {words}"));
                let now = SystemTime::now();
                let ended = Ended {
                    code: 128,
                    signal: None,
                    reason: "StartError".into(),
                    message: words,
                    started: SystemTime::UNIX_EPOCH,
                    finished: now,
                    id: id.clone(),
                };
                self.change(name, |status| (status.restarts, status.id) = (restarts, id));
                return Outcome::Ended(ended);
            }
        };
        let started = running.started();
        let reported = |status: &mut super::status::Container| {
            if let State::Terminated(ended) = std::mem::replace(&mut status.state, State::Running { started }) {
                status.last = Some(ended);
            }
            (status.restarts, status.id) = (restarts, id.clone());
            (status.ready, status.started) = (false, false);
        };
        let exit = self.accompany(spec, role, &running, stop, reported).await;
        self.runtime.ended(name);
        if let Err(error) = running.remove().await {
            tracing::warn!(%error, container = name, "a container was not removed");
        }
        Outcome::Ended(ended(exit, started, id))
    }

    /// Makes the specification and the process; `None` where the pod is stopped before.
    async fn start(&self, spec: &Value, restarts: u32, stop: &mut Stop) -> Option<Result<Running, StartError>> {
        let name = text(spec, "/name");
        let mut changes = self.cluster.store.changes();
        let (Some(Ok(image)), Some(sandbox), Some(volumes)) = (self.image(name), self.sandbox.get(), self.volumes.get()) else {
            return None;
        };
        let log =
            super::logs(&self.cluster.options.name).join(self.uid.as_str().unwrap_or_default()).join(format!("{name}.{restarts}.log"));
        loop {
            changes.mark_unchanged();
            let pod = self.live_pod()?;
            let ingredients = Ingredients { cluster: &self.cluster, pod: &pod, container: spec, image, volumes, log: log.clone() };
            match start::specification(ingredients) {
                Ok(specification) => {
                    self.tell(Level::Normal, "Pulled", &format!("Container image {:?} already present on machine", text(spec, "/image")));
                    let started = self.runtime.start(sandbox.clone(), name, restarts, specification).await;
                    if started.is_ok() {
                        self.tell(Level::Normal, "Created", &format!("Created container: {name}"));
                        self.tell(Level::Normal, "Started", &format!("Started container {name}"));
                    }
                    return Some(started);
                }
                Err(why) => {
                    self.tell_once(Level::Warning, "Failed", &format!("Error: {why}"));
                    self.change(name, |status| {
                        if let State::Terminated(ended) = &status.state {
                            status.last = Some(ended.clone());
                        }
                        status.state = State::Waiting { reason: "CreateContainerConfigError".into(), message: why };
                    });
                }
            }
            tokio::select! {
                _ = changes.changed() => {}
                _ = stop.wait_for(Option::is_some) => return None,
            }
        }
    }

    /// Stays with a process until it has ended: by itself, because a probe gave it up, or because its pod is stopped.
    async fn accompany(
        &self,
        spec: &Value,
        role: Role,
        running: &Running,
        stop: &mut Stop,
        report: impl FnOnce(&mut super::status::Container),
    ) -> Exit {
        let name = text(spec, "/name");
        let started = Instant::now();
        if let Some(why) = self.post_start(spec, running).await {
            self.tell(Level::Warning, "FailedPostStartHook", &why);
            self.change(name, report);
            self.tell(Level::Normal, "Killing", "FailedPostStartHook");
            return self.end(spec, running, Instant::now() + self.grace().max(LEAST_GRACE), None).await;
        }
        self.change(name, report);
        if role == Role::Init {
            return tokio::select! {
                exit = running.wait() => exit,
                deadline = stopped(stop) => self.end(spec, running, deadline, Some(stop)).await,
            };
        }
        let life = async {
            tokio::select! {
                exit = running.wait() => exit,
                (kind, probe) = self.until_unhealthy(spec, running, started) => {
                    self.tell(Level::Normal, "Killing", &format!("Container {name} failed {kind} probe, will be restarted"));
                    let own = number(probe, "/terminationGracePeriodSeconds").and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
                    let grace = own.unwrap_or_else(|| self.grace()).max(LEAST_GRACE);
                    self.end(spec, running, Instant::now() + grace, None).await
                }
                deadline = stopped(stop) => {
                    self.tell(Level::Normal, "Killing", &format!("Stopping container {name}"));
                    self.end(spec, running, deadline, Some(stop)).await
                }
            }
        };
        tokio::select! {
            exit = life => exit,
            exit = self.keep_readiness(spec, running, started) => exit,
        }
    }

    /// Hook, SIGTERM, and SIGKILL at the deadline, which may come nearer meanwhile.
    async fn end(&self, spec: &Value, running: &Running, deadline: Instant, mut stop: Option<&mut Stop>) -> Exit {
        tokio::select! {
            biased;
            exit = running.wait() => return exit,
            () = self.pre_stop(spec, running, deadline) => {}
        }
        self.signal(running, Signal::SIGTERM);
        let mut deadline = deadline;
        loop {
            let nearer = async {
                match &mut stop {
                    Some(stop) => match stop.changed().await {
                        Ok(()) => stop.borrow().unwrap_or(deadline),
                        Err(_) => std::future::pending().await,
                    },
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                exit = running.wait() => return exit,
                () = pause(deadline.saturating_duration_since(Instant::now())) => break,
                nearer = nearer => deadline = deadline.min(nearer),
            }
        }
        self.signal(running, Signal::SIGKILL);
        running.wait().await
    }

    fn signal(&self, running: &Running, signal: Signal) {
        if let Err(error) = running.signal(signal) {
            tracing::warn!(%error, pod = %self.key, %signal, "signal not sent");
        }
    }
}

/// Resolves when the pod is stopped, to its deadline.
async fn stopped(stop: &mut Stop) -> Instant {
    match stop.wait_for(Option::is_some).await {
        Ok(deadline) => deadline.unwrap_or_else(Instant::now),
        Err(_) => Instant::now(),
    }
}

fn ended(exit: Exit, started: SystemTime, id: String) -> Ended {
    let reason = match exit {
        Exit { out_of_memory: true, .. } => "OOMKilled",
        Exit { code: 0, .. } => "Completed",
        _ => "Error",
    };
    Ended { code: exit.code, signal: None, reason: reason.into(), message: String::new(), started, finished: SystemTime::now(), id }
}
