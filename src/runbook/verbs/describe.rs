//! `kubectl describe`: pods and claims in the usual sections, everything else as a dump of its fields; events below.

use super::{
    Call, Halt,
    access::{list, name, namespace, number, or_none, pairs, text, texts},
    age,
    flags::{Args, Flag, switch, value},
    pods, select,
    select::Found,
    table::{aligned, modes},
    yaml,
};
use serde_json::Value;
use std::fmt::Write;

pub(super) const FLAGS: &[Flag] = &[value("selector").or('l'), switch("all-namespaces").or('A'), switch("show-events")];

/// Describes objects.
pub(super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
    let (found, missing) = select::all(call, &args, &args.words).await?;
    if let Some(halt) = missing.into_iter().next() {
        return Err(halt);
    }
    if found.is_empty() {
        return call.warn(format!("No resources found in {} namespace.", args.namespace())).await;
    }
    let mut texts = Vec::new();
    for found in &found {
        let mut text = match found.resource.kind {
            "Pod" => pod(&found.object),
            "PersistentVolumeClaim" => claim(&found.object, &call.target.list("Pod", Some(namespace(&found.object))).await?),
            _ => anything(&found.object),
        };
        if args.is("show-events", true)? {
            text.push_str(&events(call, found).await?);
        }
        texts.push(text);
    }
    call.out(texts.join("\n\n")).await
}

/// A text of lines `Key:   value`, nested by two blanks.
#[derive(Default)]
struct Dump(String);

impl Dump {
    fn line(&mut self, depth: usize, key: &str, value: &str) {
        let (indent, key) = (" ".repeat(depth), format!("{key}:"));
        let width = 18_usize.saturating_sub(depth);
        let line = format!("{indent}{key:width$}{value}");
        // A string takes everything.
        let _written = writeln!(self.0, "{}", line.trim_end());
    }

    fn item(&mut self, depth: usize, text: &str) {
        let _written = writeln!(self.0, "{}{text}", " ".repeat(depth));
    }

    fn head(&mut self, object: &Value) {
        self.line(0, "Name", name(object));
        if !namespace(object).is_empty() {
            self.line(0, "Namespace", namespace(object));
        }
    }

    fn marks(&mut self, object: &Value) {
        for (key, pointer, sign) in [("Labels", "/metadata/labels", "="), ("Annotations", "/metadata/annotations", ": ")] {
            let pairs: Vec<_> = texts(object, pointer).into_iter().map(|(key, value)| format!("{key}{sign}{value}")).collect();
            self.line(0, key, or_none(&pairs.join(&format!("\n{}", " ".repeat(18)))));
        }
    }
}

fn pod(pod: &Value) -> String {
    let mut dump = Dump::default();
    dump.head(pod);
    dump.line(0, "Service Account", or_none(text(pod, "/spec/serviceAccountName")));
    dump.line(0, "Node", or_none(text(pod, "/spec/nodeName")));
    dump.line(0, "Start Time", text(pod, "/status/startTime"));
    dump.marks(pod);
    dump.line(0, "Status", &pods::status_word(pod));
    dump.line(0, "IP", text(pod, "/status/podIP"));
    if let Some(owner) = list(pod, "/metadata/ownerReferences").first() {
        dump.line(0, "Controlled By", &format!("{}/{}", text(owner, "/kind"), text(owner, "/name")));
    }
    for (title, spec, status) in [
        ("Init Containers", "/spec/initContainers", "/status/initContainerStatuses"),
        ("Containers", "/spec/containers", "/status/containerStatuses"),
    ] {
        if !list(pod, spec).is_empty() {
            dump.line(0, title, "");
        }
        for one in list(pod, spec) {
            let own = list(pod, status).iter().find(|status| text(status, "/name") == text(one, "/name"));
            container(&mut dump, one, own.unwrap_or(&Value::Null));
        }
    }
    dump.line(0, "Conditions", "");
    dump.line(2, "Type", "Status");
    for condition in list(pod, "/status/conditions") {
        dump.item(2, &format!("{:16}{}", text(condition, "/type"), text(condition, "/status")));
    }
    dump.line(0, "Volumes", if list(pod, "/spec/volumes").is_empty() { "<none>" } else { "" });
    for volume in list(pod, "/spec/volumes") {
        dump.line(2, text(volume, "/name"), "");
        for (kind, source) in volume.as_object().into_iter().flatten().filter(|(key, _)| *key != "name") {
            let type_of = match kind.as_str() {
                "persistentVolumeClaim" => "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
                "emptyDir" => "EmptyDir (a temporary directory that shares a pod's lifetime)",
                "configMap" => "ConfigMap (a volume populated by a ConfigMap)",
                "secret" => "Secret (a volume populated by a Secret)",
                other => other,
            };
            dump.line(4, "Type", type_of);
            for (pointer, key) in [("/claimName", "ClaimName"), ("/secretName", "SecretName"), ("/name", "Name"), ("/medium", "Medium")] {
                if source.pointer(pointer).is_some() {
                    dump.line(4, key, text(source, pointer));
                }
            }
        }
    }
    dump.line(0, "QoS Class", text(pod, "/status/qosClass"));
    dump.0
}

fn container(dump: &mut Dump, spec: &Value, status: &Value) {
    dump.line(2, text(spec, "/name"), "");
    dump.line(4, "Container ID", text(status, "/containerID"));
    dump.line(4, "Image", text(spec, "/image"));
    let ports: Vec<_> = list(spec, "/ports").iter().map(|port| format!("{}/TCP", number(port, "/containerPort"))).collect();
    dump.line(4, "Port", or_none(&ports.join(", ")));
    for (key, pointer) in [("Command", "/command"), ("Args", "/args")] {
        if !list(spec, pointer).is_empty() {
            dump.line(4, key, "");
        }
        for word in list(spec, pointer).iter().filter_map(Value::as_str) {
            dump.item(6, word);
        }
    }
    state(dump, "State", &status["state"]);
    if status["lastState"].as_object().is_some_and(|last| !last.is_empty()) {
        state(dump, "Last State", &status["lastState"]);
    }
    dump.line(4, "Ready", if status["ready"] == true { "True" } else { "False" });
    dump.line(4, "Restart Count", &number(status, "/restartCount").to_string());
    for (key, pointer) in [("Limits", "/resources/limits"), ("Requests", "/resources/requests")] {
        let amounts = texts(spec, pointer);
        if !amounts.is_empty() {
            dump.line(4, key, "");
        }
        for (resource, amount) in amounts {
            dump.line(6, &resource, &amount);
        }
    }
    for (key, pointer) in [("Liveness", "/livenessProbe"), ("Readiness", "/readinessProbe"), ("Startup", "/startupProbe")] {
        if let Some(probe) = spec.pointer(pointer) {
            dump.line(4, key, &probe.to_string());
        }
    }
    dump.line(4, "Environment", if list(spec, "/env").is_empty() { "<none>" } else { "" });
    for variable in list(spec, "/env") {
        let value = match variable.get("valueFrom") {
            Some(source) => format!("<set from {}>", source.as_object().and_then(|source| source.keys().next()).map_or("", String::as_str)),
            None => text(variable, "/value").to_owned(),
        };
        dump.line(6, text(variable, "/name"), &value);
    }
    dump.line(4, "Mounts", if list(spec, "/volumeMounts").is_empty() { "<none>" } else { "" });
    for mount in list(spec, "/volumeMounts") {
        let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
        let part =
            Some(text(mount, "/subPath")).filter(|part| !part.is_empty()).map_or_else(String::new, |part| format!(",path=\"{part}\""));
        dump.item(6, &format!("{} from {} ({mode}{part})", text(mount, "/mountPath"), text(mount, "/name")));
    }
}

fn state(dump: &mut Dump, key: &str, state: &Value) {
    let known = [("running", "Running"), ("terminated", "Terminated"), ("waiting", "Waiting")];
    let Some((field, word)) = known.into_iter().find(|(field, _)| state.get(field).is_some_and(|state| !state.is_null())) else {
        return dump.line(4, key, "Waiting");
    };
    dump.line(4, key, word);
    let details =
        [("Reason", "reason"), ("Message", "message"), ("Exit Code", "exitCode"), ("Started", "startedAt"), ("Finished", "finishedAt")];
    for (title, detail) in details {
        if let Some(value) = state[field].get(detail) {
            dump.line(6, title, &super::jsonpath::printed(value));
        }
    }
}

fn claim(claim: &Value, pods: &[Value]) -> String {
    let mut dump = Dump::default();
    dump.head(claim);
    dump.line(0, "StorageClass", text(claim, "/spec/storageClassName"));
    dump.line(0, "Status", text(claim, "/status/phase"));
    dump.line(0, "Volume", text(claim, "/spec/volumeName"));
    dump.marks(claim);
    let finalizers: Vec<_> = list(claim, "/metadata/finalizers").iter().filter_map(Value::as_str).collect();
    dump.line(0, "Finalizers", &format!("[{}]", finalizers.join(" ")));
    dump.line(0, "Capacity", text(claim, "/status/capacity/storage"));
    dump.line(0, "Access Modes", &modes(list(claim, "/status/accessModes")));
    dump.line(0, "VolumeMode", Some(text(claim, "/spec/volumeMode")).filter(|mode| !mode.is_empty()).unwrap_or("Filesystem"));
    let uses =
        |pod: &&Value| list(pod, "/spec/volumes").iter().any(|volume| text(volume, "/persistentVolumeClaim/claimName") == name(claim));
    let users: Vec<_> = pods.iter().filter(uses).map(name).collect();
    dump.line(0, "Used By", or_none(&users.join(", ")));
    dump.0
}

fn anything(object: &Value) -> String {
    let mut dump = Dump::default();
    dump.head(object);
    dump.marks(object);
    let secret = text(object, "/kind") == "Secret";
    for (key, value) in object.as_object().into_iter().flatten() {
        match key.as_str() {
            "apiVersion" | "kind" | "metadata" => {}
            // As `kubectl` does: the keys and their sizes, never the values.
            "data" | "stringData" if secret => dump.line(0, "Data", &pairs_of_sizes(value)),
            _ => {
                dump.line(0, key, "");
                for line in yaml::written(value).lines() {
                    dump.item(2, line);
                }
            }
        }
    }
    dump.0
}

fn pairs_of_sizes(data: &Value) -> String {
    let sizes = texts(data, "").into_iter().map(|(key, value)| (key, format!("{} bytes in base64", value.len())));
    pairs(&sizes.collect(), ", ")
}

async fn events(call: &Call, found: &Found) -> Result<String, Halt> {
    let within = Some(namespace(&found.object)).filter(|namespace| !namespace.is_empty());
    let mut events = call.target.list("Event", within).await?;
    events.retain(|event| {
        let about = &event["involvedObject"];
        let same = ["", text(&found.object, "/metadata/uid")].contains(&text(about, "/uid"));
        text(about, "/kind") == found.resource.kind && text(about, "/name") == name(&found.object) && same
    });
    if events.is_empty() {
        return Ok(String::from("Events:           <none>\n"));
    }
    events.sort_by_cached_key(|event| text(event, "/lastTimestamp").to_owned());
    let words = |words: [&str; 5]| words.map(|word| format!("  {word}")).to_vec();
    let mut rows = vec![words(["Type", "Reason", "Age", "From", "Message"]), words(["----", "------", "---", "----", "-------"])];
    rows.extend(events.iter().map(|event| {
        let from = [text(event, "/source/component"), text(event, "/reportingComponent")].into_iter().find(|from| !from.is_empty());
        let age = age::since(text(event, "/lastTimestamp"));
        words([text(event, "/type"), text(event, "/reason"), &age, from.unwrap_or_default(), text(event, "/message").trim()])
    }));
    Ok(format!("Events:\n{}", aligned(&rows)))
}
