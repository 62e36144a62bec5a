//! One view over everything that has a pod template, whatever its kind.

use super::{ImageRef, ManifestSet, Object, json};
use serde_json::{Map, Value};

/// An object with a pod template, or a pod.
#[derive(Clone, Copy, Debug)]
pub struct Workload<'s> {
    /// The object.
    pub object: &'s Object,
    /// The pointer to the template; empty for a pod.
    pub template: &'static str,
}

/// A container of a template.
#[derive(Clone, Debug)]
pub struct Container<'s> {
    /// Whose template it is in.
    pub workload: Workload<'s>,
    /// `/spec/template/spec/containers/0`.
    pub pointer: String,
    /// The container's own JSON.
    pub json: &'s Value,
    /// It runs before the others, and ends.
    pub init: bool,
}

impl<'s> Workload<'s> {
    /// The object as a workload; `None` where it has no pods.
    #[must_use]
    pub fn of(object: &'s Object) -> Option<Self> {
        let template = match object.kind() {
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job" => "/spec/template",
            "CronJob" => "/spec/jobTemplate/spec/template",
            "Pod" => "",
            _ => return None,
        };
        Some(Self { object, template })
    }

    /// The pointer to the pod's specification.
    #[must_use]
    pub fn pod_spec(&self) -> String {
        format!("{}/spec", self.template)
    }

    /// The labels that its pods will have.
    #[must_use]
    pub fn labels(&self) -> &'s Map<String, Value> {
        json::map(&self.object.json, &format!("{}/metadata/labels", self.template))
    }

    /// How many pods it asks for: 1 where nothing is written, and for a pod and each run of a job; `None` for one a node.
    #[must_use]
    pub fn replicas(&self) -> Option<u64> {
        match self.object.kind() {
            "DaemonSet" => None,
            "Pod" | "Job" | "CronJob" => Some(1),
            _ => Some(self.object.at("/spec/replicas").and_then(Value::as_u64).unwrap_or(1)),
        }
    }

    /// Whether its pods are meant to run for good.
    #[must_use]
    pub fn lasts(&self) -> bool {
        !matches!(self.object.kind(), "Job" | "CronJob")
    }

    /// Its containers in order, those that run first (`initContainers`) first; a side car among them is not `init`.
    pub fn containers(&self) -> impl Iterator<Item = Container<'s>> + use<'s> {
        let workload = *self;
        let of = move |field: &str, init: bool| {
            let pointer = format!("{}/{field}", workload.pod_spec());
            workload.object.items_at(&pointer).map(move |(pointer, json)| {
                let side_car = json.get("restartPolicy").and_then(Value::as_str) == Some("Always");
                Container { workload, pointer, json, init: init && !side_car }
            })
        };
        of("initContainers", true).chain(of("containers", false))
    }

    /// The volume of a name, with its pointer.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<(String, &'s Value)> {
        let volumes = self.object.items_at(&format!("{}/volumes", self.pod_spec()));
        volumes.into_iter().find(|(_, volume)| volume.get("name").and_then(Value::as_str) == Some(name))
    }

    /// The claim template of a name, with its pointer.
    #[must_use]
    pub fn claim_template(&self, name: &str) -> Option<(String, &'s Value)> {
        let templates = self.object.items_at("/spec/volumeClaimTemplates");
        templates.into_iter().find(|(_, template)| template.pointer("/metadata/name").and_then(Value::as_str) == Some(name))
    }
}

impl<'s> Container<'s> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'s str {
        self.json.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Its image.
    #[must_use]
    pub fn image(&self) -> ImageRef {
        ImageRef::parse(self.json.get("image").and_then(Value::as_str).unwrap_or_default())
    }

    /// The strings of a list field: `command`, `args`.
    #[must_use]
    pub fn strings(&self, field: &str) -> Vec<&'s str> {
        self.items(field).filter_map(|(_, item)| item.as_str()).collect()
    }

    /// The items of a list field (`env`, `ports`, `volumeMounts`), each with its pointer.
    pub fn items(&self, field: &str) -> impl Iterator<Item = (String, &'s Value)> + use<'s> {
        self.workload.object.items_at(&format!("{}/{field}", self.pointer))
    }

    /// The number of a container port by its name, in this container.
    #[must_use]
    pub fn port_named(&self, name: &str) -> Option<u16> {
        let mut ports = self.items("ports").filter(|(_, port)| port.get("name").and_then(Value::as_str) == Some(name));
        ports.next().and_then(|(_, port)| number(port.get("containerPort")?))
    }

    /// The container ports that are written, in order.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.items("ports").filter_map(|(_, port)| number(port.get("containerPort")?)).collect()
    }
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok())
}

impl ManifestSet {
    /// Everything that has pods.
    pub fn workloads(&self) -> impl Iterator<Item = Workload<'_>> {
        self.objects.iter().filter_map(Workload::of)
    }
}
