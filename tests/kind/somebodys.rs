//! A cluster that is somebody's: used with the rights that the product lists and no others, beside another run, and written to in
//! namespaces of the run alone, as the API server's audit log tells.

use crate::{
    cluster::{Cluster, report, succeeds, until},
    report::outcomes,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

const ACCOUNT: &str = "system:serviceaccount:default:tester";
/// Where the API server finds files of ours: it sees no others of its node.
const POLICY: &str = "/etc/kubernetes/pki/audit.yaml";
const SERVER: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

pub(crate) fn is_used(cluster: &Cluster) {
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cluster-role.yaml");
    cluster.kubectl(["apply", "--filename", role.to_str().expect("text")]);
    cluster.kubectl(["create", "serviceaccount", "tester", "--namespace", "default"]);
    let theirs = kubeconfig(cluster);
    let context = format!("kind-{}", cluster.name);
    let arguments = [
        "ci/bench/redis.yaml",
        "--guarantee",
        "GEN-1",
        "--guarantee",
        "GEN-2",
        "--target",
        "cluster",
        "--context",
        &context,
        "--kubeconfig",
        &theirs,
    ];
    let verify = |more: &[&str]| {
        let mut command = cluster.program(&["verify"]);
        command.args(arguments).args(more).arg("--evidence").arg(cluster.evidence());
        command
    };
    // Without the rights each one is told, before anything is made.
    let refused = verify(&[]).output().expect("the program");
    let words = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{words}");
    assert!(words.contains("create namespaces") && words.contains("get pods/exec"), "{words}");
    assert_eq!(cluster.left(), "");
    cluster.kubectl(["create", "clusterrolebinding", "tester", "--clusterrole", "redis-conformance", "--serviceaccount", "default:tester"]);
    audit(cluster);
    let before = cluster.kubectl(["get", "nodes,storageclasses,clusterroles", "--output", "name"]);
    let beside =
        cluster.run(&["agentsmith", "--guarantee", "BUS-4", "--format", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let output = verify(&["--format", "json"]).output().expect("the program");
    let beside = beside.and_then(std::process::Child::wait_with_output).expect("the program");
    let report_of_theirs = report(&output);
    for (guarantee, scenarios) in &outcomes(&report_of_theirs) {
        // A container on somebody's node is not ours to kill; a pod in our namespace is.
        let fits = |(outcome, words): &(String, String)| match guarantee.as_str() {
            "GEN-1" => outcome == "unsupported" && words.contains("node-faults"),
            _ => outcome == "passed",
        };
        assert!(!scenarios.is_empty() && scenarios.iter().all(fits), "{guarantee}: {scenarios:?}");
    }
    assert_eq!(output.status.code(), Some(0));
    let report_beside = report(&beside);
    let of_beside = outcomes(&report_beside);
    assert!(beside.status.success() && of_beside["BUS-4"].len() == 2, "the run beside: {report_beside}");
    assert!(of_beside.values().flatten().all(|(outcome, _)| outcome == "passed"), "the run beside: {of_beside:?}");
    assert_eq!(cluster.left(), "");
    assert_eq!(cluster.kubectl(["get", "nodes,storageclasses,clusterroles", "--output", "name"]), before);
    let run = report_of_theirs["run"]["id"].as_str().expect("an id");
    let writes = writes(cluster);
    let outside: Vec<&Value> = writes.iter().filter(|event| !is_inside(event, run)).collect();
    assert!(outside.is_empty(), "{} of {} writes are outside of the run's namespaces: {outside:#?}", outside.len(), writes.len());
    let made = writes.iter().filter(|event| event["objectRef"]["resource"] == "namespaces").count();
    assert!(made >= 4 && writes.len() >= 20, "the audit log tells of {} writes only", writes.len());
    println!("the audit log tells of {} writes, each within the run's namespaces", writes.len());
}

/// A kubeconfig whose user is the service account.
fn kubeconfig(cluster: &Cluster) -> String {
    let token = cluster.kubectl(["create", "token", "tester", "--namespace", "default", "--duration", "2h"]);
    let config = cluster.kubectl(["config", "view", "--raw", "--minify", "--output", "json"]);
    let mut config: Value = serde_json::from_str(&config).expect("a kubeconfig");
    config["users"][0]["user"] = json!({ "token": token.trim() });
    let path = cluster.folder.path().join("theirs");
    fs::write(&path, config.to_string()).expect("written");
    path.to_str().expect("text").to_owned()
}

/// Lets the API server write down who writes what; it starts anew for that.
fn audit(cluster: &Cluster) {
    let writes = ["create", "update", "patch", "delete", "deletecollection"];
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [{ "level": "Metadata", "users": [ACCOUNT], "verbs": writes }, { "level": "None" }],
    });
    let arguments = format!("s|^    - kube-apiserver$|&\\n    - --audit-policy-file={POLICY}\\n    - --audit-log-path=-|");
    in_control_plane(cluster, &["sh", "-c", &format!("cat >{POLICY} && sed -i '{arguments}' {SERVER}")], policy.to_string().as_bytes());
    until(Duration::from_secs(180), "the API server to be there again and to write down", || {
        let arguments = ["get", "pods", "--namespace", "kube-system", "--selector", "component=kube-apiserver", "--output", "json"];
        let mut kubectl = Command::new("kubectl");
        let output = kubectl.arg("--kubeconfig").arg(cluster.kubeconfig()).args(arguments).output().expect("kubectl");
        let pods: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let pod = &pods["items"][0];
        let asked =
            pod["spec"]["containers"][0]["command"].as_array().is_some_and(|words| words.iter().any(|word| word == "--audit-log-path=-"));
        asked && pod["status"]["containerStatuses"][0]["ready"] == true
    });
}

/// The writes of the service account that succeeded or were refused, as the audit log tells them.
fn writes(cluster: &Cluster) -> Vec<Value> {
    let log = "cat /var/log/pods/kube-system_kube-apiserver-*/kube-apiserver/*.log";
    let text = in_control_plane(cluster, &["sh", "-c", log], b"");
    // Each line of a container's log begins with its time, its stream and whether it is whole.
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line.splitn(4, ' ').nth(3)?).ok());
    events.filter(|event| event["kind"] == "Event" && event["user"]["username"] == ACCOUNT).collect()
}

/// A namespace of the run, something in one, or a question about oneself, which leaves nothing.
fn is_inside(event: &Value, run: &str) -> bool {
    let object = &event["objectRef"];
    let place = object["namespace"].as_str().or_else(|| object["name"].as_str()).unwrap_or_default();
    let last = run.rsplit('-').next().expect("a run has an id");
    place.contains(&format!("-{last}-"))
        || place.ends_with(run)
        || object["resource"].as_str().is_some_and(|resource| resource.starts_with("selfsubject"))
}

fn in_control_plane(cluster: &Cluster, command: &[&str], stdin: &[u8]) -> String {
    let node = format!("{}-control-plane", cluster.name);
    if stdin.is_empty() {
        return String::from_utf8_lossy(&succeeds(Command::new("docker").args(["exec", &node]).args(command)).stdout).into_owned();
    }
    let mut program =
        Command::new("docker").args(["exec", "--interactive", &node]).args(command).stdin(Stdio::piped()).spawn().expect("docker");
    program.stdin.take().expect("piped").write_all(stdin).expect("written");
    assert!(program.wait().expect("ended").success(), "{command:?} fails");
    String::new()
}
