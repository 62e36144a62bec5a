//! A cluster that is somebody's: used with the rights that the product lists and no others, beside another run, and written to in
//! namespaces of the run alone, as the API server's audit log tells.

use crate::{
    cluster::{Cluster, report, succeeds, until},
    report::outcomes,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// Who uses the cluster, each with a namespace of its own for its account.
const ACCOUNTS: [&str; 2] = ["system:serviceaccount:default:tester", "system:serviceaccount:lent:guest"];
/// Where the API server finds files of ours: it sees no others of its node.
const POLICY: &str = "/etc/kubernetes/pki/audit.yaml";
const SERVER: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

pub(crate) fn is_used(cluster: &Cluster) {
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cluster-role.yaml");
    cluster.kubectl(["apply", "--filename", role.to_str().expect("text")]);
    cluster.kubectl(["create", "serviceaccount", "tester", "--namespace", "default"]);
    let theirs = kubeconfig(cluster, "default", "tester");
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
    let writes = writes(cluster, ACCOUNTS[0]);
    let outside: Vec<&Value> = writes.iter().filter(|event| !is_inside(event, run)).collect();
    assert!(outside.is_empty(), "{} of {} writes are outside of the run's namespaces: {outside:#?}", outside.len(), writes.len());
    let made = writes.iter().filter(|event| event["objectRef"]["resource"] == "namespaces").count();
    assert!(made >= 4 && writes.len() >= 20, "the audit log tells of {} writes only", writes.len());
    println!("the audit log tells of {} writes, each within the run's namespaces", writes.len());
}

pub(crate) fn is_lent_a_namespace(cluster: &Cluster) {
    // Some run must have brought the images, which nobody can do who has one namespace alone.
    if !cluster.evidence().exists() {
        succeeds(&mut cluster.run(&["ci/bench/redis.yaml", "--guarantee", "GEN-2"]));
    }
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/namespace-role.yaml");
    cluster.kubectl(["create", "namespace", "lent"]);
    let in_it = |arguments: &[&str]| cluster.kubectl([arguments, &["--namespace", "lent"]].concat());
    in_it(&["apply", "--filename", role.to_str().expect("text")]);
    in_it(&["create", "serviceaccount", "guest"]);
    in_it(&["create", "rolebinding", "guest", "--role", "redis-conformance", "--serviceaccount", "lent:guest"]);
    let sees = "redis-conformance-sees";
    cluster.kubectl(["create", "clusterrolebinding", "guest", "--clusterrole", sees, "--serviceaccount", "lent:guest"]);
    in_it(&["create", "configmap", "theirs", "--from-literal", "a=b"]);
    audit(cluster);
    let (theirs, context) = (kubeconfig(cluster, "lent", "guest"), format!("kind-{}", cluster.name));
    let verify = || {
        let mut command = cluster.program(&["verify", "ci/bench/redis.yaml", "--guarantee", "GEN-2"]);
        command.args(["--target", "cluster", "--namespace", "lent", "--context", &context, "--kubeconfig", &theirs]);
        command.args(["--format", "json", "--evidence"]).arg(cluster.evidence());
        command
    };
    let refused = |what: &str| {
        let output = verify().output().expect("the program");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(3) && words.contains(what), "{words}");
    };
    let everything = || {
        let kinds = "deployments,replicasets,pods,services,configmaps,persistentvolumeclaims,secrets,serviceaccounts,roles,rolebindings";
        in_it(&["get", kinds, "--output", "name"]).lines().map(ToOwned::to_owned).collect::<BTreeSet<String>>()
    };
    in_it(&["create", "deployment", "work", "--image", "theirs", "--replicas", "0"]);
    refused("namespace lent holds Deployment work;");
    in_it(&["delete", "deployment", "work", "--cascade=foreground"]);
    let before = everything();
    let output = verify().output().expect("the program");
    let outcomes = outcomes(&report(&output));
    // The second comes after the first, under the same names.
    assert!(outcomes["GEN-2"].len() == 2 && outcomes["GEN-2"].iter().all(|(outcome, _)| outcome == "passed"), "{outcomes:?}");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), everything()), (Some(0), before.clone()), "{words}");

    let mut killed = verify().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program");
    until(Duration::from_secs(120), "a pod of the set to be in the namespace", || {
        assert!(killed.try_wait().expect("a child").is_none(), "the run has ended before it could be killed");
        everything().iter().any(|name| name.starts_with("pod/redis-"))
    });
    killed.kill().expect("killed");
    killed.wait().expect("ended");
    refused("namespace lent is in use by run");
    let clean = cluster.program(&["clean"]).output().expect("the program");
    assert!(clean.status.success(), "{}", String::from_utf8_lossy(&clean.stderr));
    assert_eq!((everything(), cluster.journals().len()), (before, 0));

    let writes = writes(cluster, ACCOUNTS[1]);
    let is_inside = |event: &&Value| {
        let object = &event["objectRef"];
        object["namespace"] == "lent" || object["resource"].as_str().is_some_and(|resource| resource.starts_with("selfsubject"))
    };
    let inside = writes.iter().filter(is_inside).count();
    assert!(inside == writes.len() && inside >= 20, "{inside} of {} writes are in the namespace: {writes:#?}", writes.len());
    println!("the audit log tells of {inside} writes, each within the namespace that was lent");
}

/// A kubeconfig whose user is the service account.
fn kubeconfig(cluster: &Cluster, namespace: &str, account: &str) -> String {
    let token = cluster.kubectl(["create", "token", account, "--namespace", namespace, "--duration", "2h"]);
    let config = cluster.kubectl(["config", "view", "--raw", "--minify", "--output", "json"]);
    let mut config: Value = serde_json::from_str(&config).expect("a kubeconfig");
    config["users"][0]["user"] = json!({ "token": token.trim() });
    let path = cluster.folder.path().join(account);
    fs::write(&path, config.to_string()).expect("written");
    path.to_str().expect("text").to_owned()
}

/// Lets the API server write down who writes what; it starts anew for that, unless it does so already.
fn audit(cluster: &Cluster) {
    if in_control_plane(cluster, &["cat", SERVER], b"").contains(POLICY) {
        return;
    }
    let writes = ["create", "update", "patch", "delete", "deletecollection"];
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [{ "level": "Metadata", "users": ACCOUNTS, "verbs": writes }, { "level": "None" }],
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

/// The writes of a service account that succeeded or were refused, as the audit log tells them.
fn writes(cluster: &Cluster, account: &str) -> Vec<Value> {
    let log = "cat /var/log/pods/kube-system_kube-apiserver-*/kube-apiserver/*.log";
    let text = in_control_plane(cluster, &["sh", "-c", log], b"");
    // Each line of a container's log begins with its time, its stream and whether it is whole.
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line.splitn(4, ' ').nth(3)?).ok());
    events.filter(|event| event["kind"] == "Event" && event["user"]["username"] == account).collect()
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
