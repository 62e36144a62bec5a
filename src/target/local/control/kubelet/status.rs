//! The status of a pod and its containers as the kubelet reports it.

use super::super::{
    clock,
    json::{self, list, set_condition, text},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::SystemTime};

/// The state of a container.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// Not started, or about to be started again.
    Waiting { reason: String, message: String },
    /// Started.
    Running { started: SystemTime },
    /// Ended.
    Terminated(Ended),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) signal: Option<i32>,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) started: SystemTime,
    pub(super) finished: SystemTime,
    pub(super) id: String,
}

/// One container as it is reported.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Container {
    pub(super) state: State,
    pub(super) last: Option<Ended>,
    pub(super) restarts: u32,
    pub(super) ready: bool,
    pub(super) started: bool,
    pub(super) id: String,
}

impl Container {
    /// One that nothing was done for yet.
    pub(super) fn waiting(reason: &str) -> Self {
        let state = State::Waiting { reason: reason.to_owned(), message: String::new() };
        Self { state, last: None, restarts: 0, ready: false, started: false, id: String::new() }
    }

    /// Takes over what the API says of a container that ran before its node lost power.
    pub(super) fn restore(&mut self, pod: &Value, name: &str) {
        let statuses = list(pod, "/status/containerStatuses").iter().chain(list(pod, "/status/initContainerStatuses"));
        let Some(before) = statuses.into_iter().find(|status| text(status, "/name") == name && !text(status, "/containerID").is_empty())
        else {
            return;
        };
        self.restarts = json::number(before, "/restartCount").and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        self.id = text(before, "/containerID").to_owned();
        let now = SystemTime::now();
        let (code, reason) = (255, "Unknown".to_owned());
        self.last = Some(Ended { code, signal: None, reason, message: String::new(), started: now, finished: now, id: self.id.clone() });
    }

    fn json(&self, spec: &Value) -> Value {
        let mut status = json!({
            "name": spec["name"], "image": spec["image"], "imageID": "", "ready": self.ready, "restartCount": self.restarts, "started": self.started,
            "state": self.state.json(), "lastState": {}
        });
        if !self.id.is_empty() {
            status["containerID"] = self.id.clone().into();
        }
        if let Some(last) = &self.last {
            status["lastState"] = json!({ "terminated": last.json() });
        }
        status
    }
}

impl State {
    fn json(&self) -> Value {
        match self {
            Self::Waiting { reason, message } if message.is_empty() => json!({ "waiting": { "reason": reason } }),
            Self::Waiting { reason, message } => json!({ "waiting": { "reason": reason, "message": message } }),
            Self::Running { started } => json!({ "running": { "startedAt": clock::at(*started) } }),
            Self::Terminated(ended) => json!({ "terminated": ended.json() }),
        }
    }
}

impl Ended {
    fn json(&self) -> Value {
        let mut ended = json!({ "exitCode": self.code, "reason": self.reason, "startedAt": clock::at(self.started), "finishedAt": clock::at(self.finished),
            "containerID": self.id });
        if let Some(signal) = self.signal {
            ended["signal"] = signal.into();
        }
        if !self.message.is_empty() {
            ended["message"] = self.message.clone().into();
        }
        ended
    }
}

/// Everything that goes into a pod's status.
pub(super) struct Report<'a> {
    /// By name; those that are left out (no program stands for them) are missing.
    pub(super) containers: &'a BTreeMap<String, Container>,
    /// Containers that nothing stands for in a pod whose others run.
    pub(super) left_out: &'a [String],
    /// The init containers have done their part once and for all.
    pub(super) initialized: bool,
    /// The sandbox's address.
    pub(super) address: Option<String>,
    /// Set where the pod as a whole failed: reason and message.
    pub(super) failed: Option<(&'a str, &'a str)>,
}

impl Report<'_> {
    /// Writes the status into the pod.
    pub(super) fn write(&self, pod: &mut Value) {
        let waiting = Container::waiting("PodInitializing");
        let statuses = |specs: &[Value]| -> Vec<Value> {
            specs.iter().map(|spec| self.containers.get(text(spec, "/name")).unwrap_or(&waiting).json(spec)).collect()
        };
        let (mains, inits) = (list(pod, "/spec/containers").to_vec(), list(pod, "/spec/initContainers").to_vec());
        pod["status"]["containerStatuses"] = statuses(&mains).into();
        if !inits.is_empty() {
            pod["status"]["initContainerStatuses"] = statuses(&inits).into();
        }
        let initialized = inits.iter().all(|spec| self.is_initialized(spec));
        let unready: Vec<&str> = mains
            .iter()
            .chain(inits.iter().filter(|spec| is_sidecar(spec)))
            .map(|spec| text(spec, "/name"))
            .filter(|name| {
                !self.left_out.iter().any(|left| left == name) && !self.containers.get(*name).is_some_and(|container| container.ready)
            })
            .collect();
        let phase = if self.failed.is_some() { "Failed" } else { self.phase(pod, &mains, initialized) };
        pod["status"]["phase"] = phase.into();
        if let Some((reason, message)) = self.failed {
            pod["status"]["reason"] = reason.into();
            pod["status"]["message"] = message.into();
        }
        if !json::has(pod, "/status/startTime") {
            pod["status"]["startTime"] = clock::now();
        }
        pod["status"]["hostIP"] = super::NODE_ADDRESS.to_string().into();
        pod["status"]["hostIPs"] = json!([{ "ip": super::NODE_ADDRESS.to_string() }]);
        if let Some(address) = &self.address {
            pod["status"]["podIP"] = address.clone().into();
            pod["status"]["podIPs"] = json!([{ "ip": address }]);
        }
        let sandboxed = if self.address.is_some() { "True" } else { "False" };
        set_condition(pod, "PodReadyToStartContainers", sandboxed, "", "");
        let uninitialized: Vec<&str> = inits.iter().filter(|spec| !self.is_initialized(spec)).map(|spec| text(spec, "/name")).collect();
        match (initialized, phase) {
            (true, "Succeeded") => set_condition(pod, "Initialized", "True", "PodCompleted", ""),
            (true, _) => set_condition(pod, "Initialized", "True", "", ""),
            (false, _) => {
                let message = format!("containers with incomplete status: [{}]", uninitialized.join(" "));
                set_condition(pod, "Initialized", "False", "ContainersNotInitialized", &message);
            }
        }
        for condition in ["Ready", "ContainersReady"] {
            match phase {
                "Succeeded" => set_condition(pod, condition, "False", "PodCompleted", ""),
                "Failed" => set_condition(pod, condition, "False", "PodFailed", ""),
                _ if unready.is_empty() && initialized => set_condition(pod, condition, "True", "", ""),
                _ => {
                    let message = format!("containers with unready status: [{}]", unready.join(" "));
                    set_condition(pod, condition, "False", "ContainersNotReady", &message);
                }
            }
        }
        set_condition(pod, "PodScheduled", "True", "", "");
    }

    fn is_initialized(&self, spec: &Value) -> bool {
        self.initialized
            || self.containers.get(text(spec, "/name")).is_some_and(|container| {
                if is_sidecar(spec) { container.started } else { matches!(&container.state, State::Terminated(ended) if ended.code == 0) }
            })
    }

    /// As the kubelet's `getPhase`.
    fn phase(&self, pod: &Value, mains: &[Value], initialized: bool) -> &'static str {
        let policy = text(pod, "/spec/restartPolicy");
        let (mut running, mut waiting, mut stopped, mut succeeded) = (0, 0, 0, 0);
        for spec in mains {
            let name = text(spec, "/name");
            if self.left_out.iter().any(|left| left == name) {
                continue;
            }
            match self.containers.get(name).map(|container| (&container.state, &container.last)) {
                Some((State::Running { .. }, _)) => running += 1,
                Some((State::Terminated(ended), _)) => {
                    stopped += 1;
                    succeeded += i32::from(ended.code == 0);
                }
                Some((State::Waiting { .. }, Some(_))) => stopped += 1,
                _ => waiting += 1,
            }
        }
        // Sidecars still run down: the pod has not ended before they have.
        let sidecars = list(pod, "/spec/initContainers").iter().filter(|spec| is_sidecar(spec));
        let lingering = sidecars
            .filter_map(|spec| self.containers.get(text(spec, "/name")))
            .any(|sidecar| matches!(sidecar.state, State::Running { .. }));
        let init_failed = policy == "Never"
            && list(pod, "/spec/initContainers").iter().any(|spec| {
                let container = self.containers.get(text(spec, "/name"));
                !is_sidecar(spec)
                    && container.is_some_and(|container| matches!(&container.state, State::Terminated(ended) if ended.code != 0))
            });
        if init_failed {
            return "Failed";
        }
        match () {
            () if !initialized || waiting > 0 => "Pending",
            () if running > 0 => "Running",
            () if stopped > 0 && (policy == "Always" || lingering) => "Running",
            () if stopped > 0 && stopped == succeeded => "Succeeded",
            () if stopped > 0 && policy == "Never" => "Failed",
            () if stopped > 0 => "Running",
            () => "Pending",
        }
    }
}

/// An init container that goes on running.
pub(super) fn is_sidecar(spec: &Value) -> bool {
    spec["restartPolicy"] == "Always"
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn container(state: State, last: Option<Ended>) -> Container {
        Container { state, last, ..Container::waiting("") }
    }

    fn ended(code: i32) -> Ended {
        let now = SystemTime::now();
        Ended { code, signal: None, reason: "Error".into(), message: String::new(), started: now, finished: now, id: String::new() }
    }

    #[rstest]
    #[case::not_started(container(State::Waiting { reason: "ContainerCreating".into(), message: String::new() }, None), "Always", "Pending")]
    #[case::runs(container(State::Running { started: SystemTime::now() }, None), "Always", "Running")]
    #[case::crash_loop(container(State::Waiting { reason: "CrashLoopBackOff".into(), message: String::new() }, Some(ended(1))), "Always", "Running")]
    #[case::done(container(State::Terminated(ended(0)), None), "Never", "Succeeded")]
    #[case::failed(container(State::Terminated(ended(1)), None), "Never", "Failed")]
    #[case::to_be_retried(container(State::Terminated(ended(1)), None), "OnFailure", "Running")]
    fn a_phase_follows_from_the_containers(#[case] container: Container, #[case] policy: &str, #[case] phase: &str) {
        let mut pod = json!({ "spec": { "restartPolicy": policy, "containers": [{ "name": "a", "image": "redis" }] } });
        let containers = BTreeMap::from([("a".to_owned(), container)]);
        Report { containers: &containers, left_out: &[], initialized: false, address: None, failed: None }.write(&mut pod);
        assert_eq!(pod["status"]["phase"], phase);
    }

    #[test]
    fn a_container_that_is_left_out_does_not_keep_the_pod_from_being_ready() {
        let mut pod = json!({ "spec": { "restartPolicy": "Always", "containers": [{ "name": "a" }, { "name": "exporter" }] } });
        let running = Container { ready: true, ..container(State::Running { started: SystemTime::now() }, None) };
        let containers = BTreeMap::from([("a".to_owned(), running), ("exporter".to_owned(), Container::waiting("ErrImagePull"))]);
        Report { containers: &containers, left_out: &["exporter".to_owned()], initialized: true, address: None, failed: None }
            .write(&mut pod);
        assert!(json::holds(&pod, "Ready"));
        assert_eq!(pod["status"]["phase"], "Running");
    }
}
