//! What goes wrong on a cluster is told in the words of those who refuse, and at once; and an interrupt cleans up.

use crate::cluster::{Cluster, until};
use std::{fs, process::Command, time::Duration};

/// The set of a Redis on a claim, with a change or something more.
fn set(cluster: &Cluster, name: &str, change: impl FnOnce(String) -> String) -> String {
    let redis = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/ci/bench/redis.yaml")).expect("the manifests");
    let folder = cluster.folder.path().join(name);
    fs::create_dir_all(&folder).expect("made");
    fs::write(folder.join("redis.yaml"), change(redis)).expect("written");
    folder.to_str().expect("text").to_owned()
}

/// The exit code of a run on the set, and what it says.
fn run(cluster: &Cluster, set: &str) -> (Option<i32>, String) {
    let output = cluster.run(&[set, "--guarantee", "GEN-1"]).output().expect("the program");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn are_told(cluster: &Cluster) {
    let quota = "---\napiVersion: v1\nkind: ResourceQuota\nmetadata: { name: small, namespace: shop }\nspec: { hard: { pods: \"0\" } }\n";
    let (code, words) = run(cluster, &set(cluster, "quota", |redis| redis + quota));
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("exceeded quota: small") && !words.contains("Status {"), "{words}");

    let policy = cluster.folder.path().join("policy.yaml");
    fs::write(&policy, POLICY).expect("written");
    let policy = policy.to_str().expect("text");
    cluster.kubectl(["apply", "--filename", policy]);
    // A policy counts once the API server has taken it up.
    until(Duration::from_secs(60), "the policy to be at work", || {
        let arguments = ["create", "deployment", "redis", "--image", "a", "--dry-run=server"];
        let tried = Command::new("kubectl").arg("--kubeconfig").arg(cluster.kubeconfig()).args(arguments).output().expect("kubectl");
        String::from_utf8_lossy(&tried.stderr).contains("no Redis on Fridays")
    });
    let (code, words) = run(cluster, &set(cluster, "policy", |redis| redis));
    cluster.kubectl(["delete", "--filename", policy]);
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("this cluster's own rules forbid") && words.contains("no Redis on Fridays"), "{words}");
    assert!(words.contains("redis.yaml:16:1"), "{words}");
    assert!(words.contains(&format!("--target kind --cluster-name {} --guarantee GEN-1", cluster.name)), "how to try again: {words}");

    let (code, words) = run(cluster, &set(cluster, "image", |redis| redis.replace("redis:7-alpine", "redis:6.0.99-none")));
    assert_eq!(code, Some(4), "{words}");
    assert!(words.contains("program for redis:6.0.99-none"), "{words}");
    assert_eq!((cluster.left().as_str(), cluster.journals().len()), ("", 0));
}

const POLICY: &str = "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: no-redis }
spec:
  failurePolicy: Fail
  matchConstraints: { resourceRules: [{ apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments] }] }
  validations: [{ expression: \"object.metadata.name != 'redis'\", message: no Redis on Fridays }]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: no-redis }
spec: { policyName: no-redis, validationActions: [Deny] }
";

pub(crate) fn an_interrupt_leaves_nothing(cluster: &Cluster) {
    let run =
        cluster.run(&["mcp", "--guarantee", "MCP-P14"]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn();
    let mut run = run.expect("the program");
    until(Duration::from_secs(120), "something of the run to be on the cluster", || {
        assert!(run.try_wait().expect("a child").is_none(), "the run has ended before it could be interrupted");
        cluster.left().contains("namespace/mcp-")
    });
    let told = Command::new("kill").args(["-INT", &run.id().to_string()]).status().expect("kill");
    assert!(told.success());
    let output = run.wait_with_output().expect("ended");
    let words = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{words}");
    assert_eq!((cluster.left().as_str(), cluster.journals().len()), ("", 0), "{words}");
}
