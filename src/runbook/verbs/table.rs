//! The tables of `get`: the columns that `kubectl` shows for a kind, set in blanks.

use super::{
    access::{list, name, namespace, number, or_none, text, texts},
    age,
    pods::{condition, status_word},
    select::Found,
};
use serde_json::Value;

/// A table of objects of one kind.
pub(super) struct Look {
    /// `-o wide`.
    pub(super) wide: bool,
    /// `-A`: each row begins with its namespace.
    pub(super) namespaces: bool,
    /// `--no-headers`.
    pub(super) bare: bool,
    /// `--show-labels`.
    pub(super) labels: bool,
    /// Names have their kind before them: several kinds are shown.
    pub(super) kinds: bool,
}

impl Look {
    /// The table's text.
    pub(super) fn written(&self, found: &[Found]) -> String {
        let Some(first) = found.first() else { return String::new() };
        let mut header: Vec<String> = columns(first.resource.kind, self.wide).iter().map(ToString::to_string).collect();
        let mut rows: Vec<Vec<String>> = found.iter().map(|found| self.row(found)).collect();
        if self.namespaces {
            header.insert(0, String::from("NAMESPACE"));
        }
        if self.labels {
            header.push(String::from("LABELS"));
        }
        if !self.bare {
            rows.insert(0, header);
        }
        aligned(&rows)
    }

    fn row(&self, found: &Found) -> Vec<String> {
        let object = &found.object;
        let mut row = cells(found.resource.kind, object, self.wide);
        let shown = if self.kinds { found.label() } else { name(object).to_owned() };
        if let Some(first) = row.iter_mut().find(|cell| *cell == name(object)) {
            *first = shown;
        }
        if self.namespaces {
            row.insert(0, namespace(object).to_owned());
        }
        if self.labels {
            row.push(super::access::pairs(&texts(object, "/metadata/labels"), ","));
        }
        row
    }
}

/// Rows with every column as wide as its widest cell and three blanks between.
pub(super) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("   ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn columns(kind: &str, wide: bool) -> &'static [&'static str] {
    match (kind, wide) {
        ("Pod", false) => &["NAME", "READY", "STATUS", "RESTARTS", "AGE"],
        ("Pod", true) => &["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"],
        ("Deployment", _) => &["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"],
        ("StatefulSet", _) => &["NAME", "READY", "AGE"],
        ("ReplicaSet", _) => &["NAME", "DESIRED", "CURRENT", "READY", "AGE"],
        ("Service", _) => &["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"],
        ("Endpoints", _) => &["NAME", "ENDPOINTS", "AGE"],
        ("PersistentVolumeClaim", _) => &["NAME", "STATUS", "VOLUME", "CAPACITY", "ACCESS MODES", "STORAGECLASS", "AGE"],
        ("PersistentVolume", _) => &["NAME", "CAPACITY", "ACCESS MODES", "RECLAIM POLICY", "STATUS", "CLAIM", "STORAGECLASS", "AGE"],
        ("StorageClass", _) => &["NAME", "PROVISIONER", "RECLAIMPOLICY", "VOLUMEBINDINGMODE", "ALLOWVOLUMEEXPANSION", "AGE"],
        ("ConfigMap", _) => &["NAME", "DATA", "AGE"],
        ("Secret", _) => &["NAME", "TYPE", "DATA", "AGE"],
        ("Namespace", _) => &["NAME", "STATUS", "AGE"],
        ("Node", _) => &["NAME", "STATUS", "AGE", "VERSION"],
        ("PodDisruptionBudget", _) => &["NAME", "MIN AVAILABLE", "MAX UNAVAILABLE", "ALLOWED DISRUPTIONS", "AGE"],
        ("NetworkPolicy", _) => &["NAME", "POD-SELECTOR", "AGE"],
        ("Event", _) => &["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"],
        _ => &["NAME", "AGE"],
    }
}

fn cells(kind: &str, object: &Value, wide: bool) -> Vec<String> {
    let at = |pointer: &str| text(object, pointer).to_owned();
    let count = |pointer: &str| number(object, pointer).to_string();
    let replicas = || object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let size = |pointer: &str| object.pointer(pointer).and_then(Value::as_object).map_or(0, serde_json::Map::len).to_string();
    let plain = |pointer: &str| object.pointer(pointer).map_or_else(|| String::from("N/A"), super::jsonpath::printed);
    let mut row = vec![name(object).to_owned()];
    match kind {
        "Pod" => {
            let statuses = list(object, "/status/containerStatuses");
            let ready = statuses.iter().filter(|status| status["ready"] == true).count();
            row.push(format!("{ready}/{}", list(object, "/spec/containers").len()));
            row.push(status_word(object));
            row.push(restarts(statuses));
        }
        "Deployment" => {
            row.push(format!("{}/{}", number(object, "/status/readyReplicas"), replicas()));
            row.extend([count("/status/updatedReplicas"), count("/status/availableReplicas")]);
        }
        "StatefulSet" => row.push(format!("{}/{}", number(object, "/status/readyReplicas"), replicas())),
        "ReplicaSet" => row.extend([replicas().to_string(), count("/status/replicas"), count("/status/readyReplicas")]),
        "Service" => {
            let ports: Vec<_> = list(object, "/spec/ports").iter().map(port).collect();
            let ports = or_none(&ports.join(",")).to_owned();
            row.extend([at("/spec/type"), or_none(text(object, "/spec/clusterIP")).to_owned(), String::from("<none>"), ports]);
        }
        "Endpoints" => row.push(endpoints(object)),
        "PersistentVolumeClaim" => {
            let modes = modes(list(object, "/status/accessModes"));
            row.extend([at("/status/phase"), at("/spec/volumeName"), at("/status/capacity/storage"), modes, at("/spec/storageClassName")]);
        }
        "PersistentVolume" => {
            row.extend([at("/spec/capacity/storage"), modes(list(object, "/spec/accessModes")), at("/spec/persistentVolumeReclaimPolicy")]);
            let claim = format!("{}/{}", text(object, "/spec/claimRef/namespace"), text(object, "/spec/claimRef/name"));
            row.extend([at("/status/phase"), claim.trim_matches('/').to_owned(), at("/spec/storageClassName")]);
        }
        "StorageClass" => {
            if text(object, "/metadata/annotations/storageclass.kubernetes.io~1is-default-class") == "true" {
                row[0].push_str(" (default)");
            }
            row.extend([at("/provisioner"), at("/reclaimPolicy"), at("/volumeBindingMode")]);
            row.push((object["allowVolumeExpansion"] == true).to_string());
        }
        "ConfigMap" => row.push(size("/data")),
        "Secret" => row.extend([at("/type"), size("/data")]),
        "Namespace" => row.push(at("/status/phase")),
        "Node" => row.push(String::from(if condition(object, "Ready") == "True" { "Ready" } else { "NotReady" })),
        "PodDisruptionBudget" => {
            row.extend([plain("/spec/minAvailable"), plain("/spec/maxUnavailable"), count("/status/disruptionsAllowed")]);
        }
        "NetworkPolicy" => row.push(super::access::pairs(&texts(object, "/spec/podSelector/matchLabels"), ",")),
        "Event" => return event(object),
        _ => {}
    }
    row.push(age::since(text(object, "/metadata/creationTimestamp")));
    if kind == "Node" {
        row.push(at("/status/nodeInfo/kubeletVersion"));
    }
    if kind == "Pod" && wide {
        row.extend([or_none(text(object, "/status/podIP")).to_owned(), or_none(text(object, "/spec/nodeName")).to_owned()]);
    }
    row
}

/// An event's columns, its age first.
pub(super) fn event(event: &Value) -> Vec<String> {
    let times = ["/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    let last = times.iter().map(|pointer| text(event, pointer)).find(|time| !time.is_empty()).unwrap_or_default();
    let about = format!("{}/{}", text(event, "/involvedObject/kind").to_lowercase(), text(event, "/involvedObject/name"));
    vec![
        age::since(last),
        text(event, "/type").to_owned(),
        text(event, "/reason").to_owned(),
        about,
        text(event, "/message").trim().to_owned(),
    ]
}

fn restarts(statuses: &[Value]) -> String {
    let sum: i64 = statuses.iter().map(|status| number(status, "/restartCount")).sum();
    let last = statuses.iter().map(|status| text(status, "/lastState/terminated/finishedAt")).max().unwrap_or_default();
    match (sum, last) {
        (0, _) | (_, "") => sum.to_string(),
        (sum, last) => format!("{sum} ({} ago)", age::since(last)),
    }
}

fn port(port: &Value) -> String {
    let node = match number(port, "/nodePort") {
        0 => String::new(),
        node => format!(":{node}"),
    };
    let protocol = Some(text(port, "/protocol")).filter(|protocol| !protocol.is_empty()).unwrap_or("TCP");
    format!("{}{node}/{protocol}", number(port, "/port"))
}

fn endpoints(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in list(object, "/subsets") {
        for address in list(subset, "/addresses") {
            let ports = list(subset, "/ports").iter().map(|port| number(port, "/port"));
            all.extend(ports.map(|port| format!("{}:{port}", text(address, "/ip"))));
        }
    }
    or_none(&all.join(",")).to_owned()
}

/// `RWO`, `RWX` …
pub(super) fn modes(modes: &[Value]) -> String {
    let short = |mode: &Value| match mode.as_str() {
        Some("ReadWriteOnce") => "RWO",
        Some("ReadOnlyMany") => "ROX",
        Some("ReadWriteMany") => "RWX",
        Some("ReadWriteOncePod") => "RWOP",
        _ => "?",
    };
    modes.iter().map(short).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::{super::kinds, *};
    use rstest::rstest;
    use serde_json::json;

    fn look(kind: &str, object: Value) -> String {
        let found = [Found { resource: kinds::of_kind(kind).expect("known"), object }];
        Look { wide: false, namespaces: false, bare: true, labels: false, kinds: false }.written(&found)
    }

    #[rstest]
    #[case("Deployment", json!({ "metadata": { "name": "redis" }, "spec": { "replicas": 2 }, "status": { "readyReplicas": 1, "updatedReplicas": 2 } }), "redis   1/2   2   0   <unknown>\n")]
    #[case("PersistentVolumeClaim", json!({ "metadata": { "name": "data" }, "spec": { "volumeName": "pv-1" }, "status": { "phase": "Bound", "capacity": { "storage": "10Gi" }, "accessModes": ["ReadWriteOnce"] } }), "data   Bound   pv-1   10Gi   RWO      <unknown>\n")]
    #[case("Service", json!({ "metadata": { "name": "redis" }, "spec": { "type": "ClusterIP", "clusterIP": "10.96.0.9", "ports": [{ "port": 6379 }, { "port": 1, "nodePort": 30000, "protocol": "UDP" }] } }), "redis   ClusterIP   10.96.0.9   <none>   6379/TCP,1:30000/UDP   <unknown>\n")]
    #[case("StorageClass", json!({ "metadata": { "name": "standard", "annotations": { "storageclass.kubernetes.io/is-default-class": "true" } }, "provisioner": "p", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate" }), "standard (default)   p   Delete   Immediate   false   <unknown>\n")]
    #[case("Endpoints", json!({ "metadata": { "name": "redis" }, "subsets": [{ "addresses": [{ "ip": "10.0.0.1" }, { "ip": "10.0.0.2" }], "ports": [{ "port": 6379 }] }] }), "redis   10.0.0.1:6379,10.0.0.2:6379   <unknown>\n")]
    #[case("Event", json!({ "type": "Warning", "reason": "FailedScheduling", "message": "no node\n", "involvedObject": { "kind": "Pod", "name": "a" } }), "<unknown>   Warning   FailedScheduling   pod/a   no node\n")]
    #[case("Role", json!({ "metadata": { "name": "reader" } }), "reader   <unknown>\n")]
    fn a_kind_has_its_columns(#[case] kind: &str, #[case] object: Value, #[case] expected: &str) {
        assert_eq!(look(kind, object), expected);
    }

    #[test]
    fn columns_are_aligned_and_headed() {
        let pod = |name: &str, ready: bool| json!({ "metadata": { "name": name, "namespace": "mcp" }, "spec": { "containers": [{}] }, "status": { "phase": "Running", "containerStatuses": [{ "ready": ready, "restartCount": 2, "state": { "running": {} } }] } });
        let resource = kinds::of_kind("Pod").expect("known");
        let found = [Found { resource, object: pod("redis-0", true) }, Found { resource, object: pod("a", false) }];
        let look = Look { wide: false, namespaces: true, bare: false, labels: true, kinds: true };
        let expected = "NAMESPACE   NAME          READY   STATUS    RESTARTS   AGE         LABELS\n\
                        mcp         pod/redis-0   1/1     Running   2          <unknown>   <none>\n\
                        mcp         pod/a         0/1     Running   2          <unknown>   <none>\n";
        assert_eq!(look.written(&found), expected);
    }
}
