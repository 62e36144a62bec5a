//! Each verb as a runbook calls it.

use super::Lab;
use redis_conformance::runbook::{Ended, Trouble};
use serde_json::json;
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

const POD: &str = "$(kubectl get pods -n mcp -l app=redis -o jsonpath='{.items[0].metadata.name}')";

#[tokio::test]
async fn get_prints_names_paths_tables_and_json() {
    let lab = Lab::new();
    let pod = lab.out(&format!("echo {POD}")).await;
    let pod = pod.trim();
    assert!(pod.starts_with("redis-"), "{pod}");
    assert_eq!(lab.out("kubectl get po -n mcp -o name").await, format!("pod/{pod}\n"));
    assert_eq!(lab.out("kubectl get deploy/redis --namespace=mcp -o name").await, "deployment.apps/redis\n");
    let table = lab.out("kubectl -n mcp get pods").await;
    assert_eq!(
        table.lines().next().expect("a header").split_whitespace().collect::<Vec<_>>(),
        ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    );
    assert_eq!(table.lines().nth(1).expect("a row").split_whitespace().collect::<Vec<_>>()[..4], [pod, "1/1", "Running", "0"]);
    assert_eq!(lab.out("kubectl get pvc redis-data-pvc -n mcp -o jsonpath='{.status.phase}'").await, "Bound");
    let classes = "kubectl get storageclass -o jsonpath='{range .items[*]}{.metadata.name}{\"\\t\"}{.metadata.annotations.storageclass\\.kubernetes\\.io/is-default-class}{\"\\n\"}{end}'";
    assert_eq!(lab.out(classes).await, "fast-ssd\tfalse\nstandard\ttrue\n");
    let claim: serde_json::Value = serde_json::from_str(&lab.out("kubectl get pvc redis-data-pvc -n mcp -ojson").await).expect("JSON");
    assert_eq!(claim["spec"]["storageClassName"], "standard");
    assert!(lab.out("kubectl get pvc redis-data-pvc -n mcp -o yaml").await.contains("\n  phase: Bound\n"));
    let both = lab.out("kubectl get pods,pvc -n mcp --no-headers").await;
    assert!(both.contains(&format!("pod/{pod} ")) && both.contains("\n\npersistentvolumeclaim/redis-data-pvc "), "{both}");
    assert!(lab.out("kubectl get pods -A").await.contains("aikernel    redis-0 "));
    assert!(lab.out("kubectl get events -n mcp").await.contains("persistentvolumeclaim/redis-data-pvc   all is well"));
}

#[tokio::test]
async fn get_of_nothing_ends_as_the_real_one_ends() {
    let lab = Lab::new();
    let (ended, stderr) = lab.fails("kubectl get pod none -n mcp").await;
    assert_eq!((ended, stderr.as_str()), (Ended::Code(1), "Error from server (NotFound): pods \"none\" not found\n"));
    let (_, stderr) = lab.fails("kubectl get deploy none -n mcp").await;
    assert_eq!(stderr, "Error from server (NotFound): deployments.apps \"none\" not found\n");
    assert_eq!(lab.out("kubectl get pod none -n mcp --ignore-not-found").await, "");
    assert_eq!(lab.out("kubectl get pods -n empty 2>&1").await, "No resources found in empty namespace.\n");
    let output =
        lab.within(Duration::from_secs(20), "A=$(kubectl get pods -n empty -o jsonpath='{.items[0].metadata.name}')\necho on").await;
    assert_eq!((output.ended, output.stdout.as_str(), output.failed_line), (Ended::Code(1), "", Some(4)));
    assert!(output.stderr.contains("array index out of bounds: index 0, length 0"), "{}", output.stderr);
    let (_, stderr) = lab.fails("kubectl get pdos").await;
    assert_eq!(stderr, "error: the server doesn't have a resource type \"pdos\"\n");
}

#[tokio::test]
async fn describe_shows_mounts_claims_and_events() {
    let lab = Lab::new();
    let mounts = lab.out("kubectl describe pod -n mcp -l app=redis | grep -A 5 \"Mounts\"").await;
    assert!(mounts.contains("/data from redis-data (rw)"), "{mounts}");
    let claim = lab.out("kubectl describe pvc -n mcp redis-data-pvc").await;
    assert!(
        claim.contains("StorageClass:     standard") && claim.contains("Used By:          redis-") && claim.contains("all is well"),
        "{claim}"
    );
    assert!(lab.out("kubectl describe deployment redis -n mcp").await.contains("replicas: 1"));
}

#[tokio::test]
async fn exec_keeps_words_streams_and_exit_code() {
    let lab = Lab::new();
    assert_eq!(lab.out(&format!("kubectl exec -n mcp {POD} -- printf '%s|' 'a b' -n \"\\$x\"")).await, "a b|-n|$x|");
    assert_eq!(lab.out("kubectl exec -n aikernel redis-0 -c sentinel -- sh -c 'echo $POD $CONTAINER'").await, "redis-0 sentinel\n");
    assert_eq!(lab.out("echo hello | kubectl exec -i -n mcp deploy/redis -- cat").await, "hello\n");
    assert_eq!(lab.out("kubectl exec -it -n mcp deployment/redis -- cat").await, "");
    let defaulted = lab.out("kubectl exec -n aikernel redis-0 -- true 2>&1").await;
    assert_eq!(defaulted, "Defaulted container \"redis\" out of: redis, sentinel\n");
    let (ended, stderr) = lab.fails("kubectl exec -n mcp deploy/redis -- sh -c 'echo no >&2; exit 7'").await;
    assert_eq!((ended, stderr.as_str()), (Ended::Code(7), "no\ncommand terminated with exit code 7\n"));
    let (_, stderr) = lab.fails("kubectl exec -n aikernel redis-0 -c none -- true").await;
    assert_eq!(stderr, "Error from server (BadRequest): container none is not valid for pod redis-0\n");
    assert!(lab.fails("kubectl exec -n mcp deploy/redis true").await.1.contains("Use exec [POD] -- [COMMAND] instead"));
}

#[tokio::test]
async fn a_call_that_wants_no_input_leaves_it_to_the_script() {
    let lab = Lab::new();
    let script = "printf 'a\\nb\\n' | while read -r word; do kubectl exec -n mcp deploy/redis -- echo \"$word\"; done";
    assert_eq!(lab.out(script).await, "a\nb\n");
}

#[tokio::test]
async fn large_and_binary_output_comes_through_whole() {
    let lab = Lab::new();
    let script = "kubectl exec -n mcp deploy/redis -- head -c 3000000 /dev/zero | sha256sum; head -c 3000000 /dev/zero | sha256sum
head -c 3000000 /dev/zero | kubectl exec -i -n mcp deploy/redis -- sha256sum
kubectl exec -n mcp deploy/redis -- head -c 3000000 /dev/zero | head -c 1 || echo \"ended with $?\"";
    let out = lab.out(script).await;
    let lines: Vec<_> = out.lines().map(|line| line.trim_start_matches('\0')).collect();
    assert!(lines[0] == lines[1] && lines[1] == lines[2], "{out}");
    assert_eq!(lines[3], "ended with 141");
}

#[tokio::test]
async fn cp_copies_files_and_folders_both_ways() {
    let lab = Lab::new();
    let inside = lab.path().join("inside");
    fs::create_dir_all(inside.join("folder/deep")).expect("a folder");
    fs::write(inside.join("dump.rdb"), b"REDIS\0\xff").expect("a file");
    fs::write(inside.join("folder/deep/a"), b"a").expect("a file");
    let down =
        format!("umask 077\nkubectl cp mcp/{POD}:$LAB/inside/dump.rdb ./out/backup.rdb\nkubectl cp -n mcp {POD}:$LAB/inside/folder copy");
    lab.out(&down).await;
    let backup = lab.path().join("out/backup.rdb");
    assert_eq!(fs::read(&backup).expect("copied"), b"REDIS\0\xff");
    assert_eq!(fs::metadata(&backup).expect("copied").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read(lab.path().join("copy/deep/a")).expect("copied"), b"a");
    lab.out(&format!("kubectl cp out/backup.rdb mcp/{POD}:$LAB/inside/folder\nkubectl cp copy aikernel/redis-0:$LAB/inside/new -c redis"))
        .await;
    assert_eq!(fs::read(inside.join("folder/backup.rdb")).expect("copied"), b"REDIS\0\xff");
    assert_eq!(fs::metadata(inside.join("folder/backup.rdb")).expect("copied").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read(inside.join("new/deep/a")).expect("copied"), b"a");
    let (_, stderr) = lab.fails(&format!("kubectl cp none mcp/{POD}:/tmp/x")).await;
    assert_eq!(stderr, "error: none doesn't exist in local filesystem\n");
    let (_, stderr) = lab.fails(&format!("kubectl cp mcp/{POD}:$LAB/inside/none x")).await;
    assert!(stderr.contains("No such file") && stderr.contains("command terminated with exit code 1"), "{stderr}");
}

#[tokio::test]
async fn logs_are_shown_whole_by_their_end_and_of_before() {
    let lab = Lab::new();
    lab.fake.writes("redis-0/redis", false, "one\ntwo\nthree\n");
    lab.fake.writes("redis-0/redis", true, "before\n");
    assert_eq!(lab.out("kubectl logs -n aikernel redis-0 -c redis").await, "one\ntwo\nthree\n");
    assert_eq!(lab.out("kubectl logs -n aikernel redis-0 -c redis --tail=2").await, "two\nthree\n");
    assert_eq!(lab.out("kubectl logs -n aikernel redis-0 redis --previous").await, "before\n");
    let (_, stderr) = lab.fails("kubectl logs -n aikernel redis-0 -c sentinel -p").await;
    assert_eq!(stderr, "Error from server (BadRequest): previous terminated container \"sentinel\" in pod \"redis-0\" not found\n");
}

#[tokio::test]
async fn wait_meets_conditions_paths_and_deletions_or_says_what_it_saw() {
    let lab = Lab::new();
    let met = lab.out("kubectl wait --for=condition=ready pod -n mcp -l app=redis --timeout=5s").await;
    assert!(met.starts_with("pod/redis-") && met.ends_with(" condition met\n"), "{met}");
    let script = "kubectl wait --for=jsonpath='{.status.phase}'=Bound pvc/redis-data-pvc -n mcp --timeout=5s";
    assert_eq!(lab.out(script).await, "persistentvolumeclaim/redis-data-pvc condition met\n");
    let (ended, stderr) = lab.fails("kubectl wait --for=condition=Ready pod/redis-0 -n aikernel --timeout=200ms").await;
    let expected = "error: timed out waiting for the condition on pods/redis-0\nredis-conformance: last saw: it has no condition Ready\n";
    assert_eq!((ended, stderr.as_str()), (Ended::Code(1), expected));
    let (_, stderr) = lab.fails("kubectl wait --for=condition=ready pod -n mcp -l app=none").await;
    assert_eq!(stderr, "error: no matching resources found\n");
    assert_eq!(lab.out("kubectl wait --for=delete pod -n mcp -l app=none --timeout=5s").await, "");
    let gone =
        lab.out("kubectl scale deployment/redis -n mcp --replicas=0\nkubectl wait --for=delete pod -n mcp -l app=redis --timeout=5s").await;
    assert!(gone.starts_with("deployment.apps/redis scaled\npod/redis-") && gone.ends_with("condition met\n"), "{gone}");
}

#[tokio::test]
async fn a_deleted_pod_is_gone_and_another_has_come() {
    let lab = Lab::new();
    let script = format!(
        "OLD={POD}\nkubectl delete pod -n mcp \"$OLD\"\nkubectl rollout status deployment/redis -n mcp --timeout=5s\ntest {POD} != \"$OLD\"\ntest -z \"$(kubectl get pod \"$OLD\" -n mcp --ignore-not-found -o name)\""
    );
    let out = lab.out(&script).await;
    assert!(out.starts_with("pod \"redis-") && out.contains("\" deleted\ndeployment \"redis\" successfully rolled out\n"), "{out}");
    let (_, stderr) = lab.fails("kubectl delete pod none -n mcp").await;
    assert_eq!(stderr, "Error from server (NotFound): pods \"none\" not found\n");
    lab.out("kubectl delete pod -n mcp redis-restore --ignore-not-found").await;
    assert!(lab.fails("kubectl delete pods -n mcp").await.1.contains("no name was specified"));
    let forced = lab.out("kubectl delete pod -n mcp -l app=redis --force --grace-period=0 --wait=false 2>&1").await;
    assert!(forced.contains("Warning: Immediate deletion") && forced.contains("force deleted"), "{forced}");
}

#[tokio::test]
async fn scale_rollout_patch_label_and_annotate_change_the_object() {
    let lab = Lab::new();
    assert_eq!(lab.out("kubectl scale deployment redis --replicas=3 -n mcp").await, "deployment.apps/redis scaled\n");
    assert_eq!(lab.out("kubectl rollout restart deployment -n mcp redis").await, "deployment.apps/redis restarted\n");
    let deployment = lab.fake.object("Deployment", "mcp", "redis").expect("it is there");
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert!(deployment["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"].is_string());
    let grow = "kubectl patch pvc redis-data-pvc -n mcp -p '{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"20Gi\"}}}}'";
    assert_eq!(lab.out(grow).await, "persistentvolumeclaim/redis-data-pvc patched\n");
    assert_eq!(lab.out(grow).await, "persistentvolumeclaim/redis-data-pvc patched (no change)\n");
    lab.out("kubectl wait --for=jsonpath='{.status.capacity.storage}'=20Gi pvc/redis-data-pvc -n mcp --timeout=5s").await;
    let (_, stderr) = lab.fails("kubectl patch deploy redis -n mcp -p '{\"spec\":{\"template\":{\"spec\":{\"containers\":[]}}}}'").await;
    assert!(stderr.starts_with("error: a strategic patch with a list is not carried out by redis-conformance"), "{stderr}");
    assert!(lab.fails("kubectl patch pvc redis-data-pvc -n mcp --type=json -p '[]'").await.1.contains("--type=json"));
    assert_eq!(lab.out("kubectl label pvc redis-data-pvc -n mcp tier=data old-").await, "persistentvolumeclaim/redis-data-pvc labeled\n");
    assert!(lab.fails("kubectl label pvc redis-data-pvc -n mcp tier=web").await.1.contains("--overwrite is false"));
    assert_eq!(lab.out("kubectl annotate pvc redis-data-pvc -n mcp a=b").await, "persistentvolumeclaim/redis-data-pvc annotated\n");
    assert_eq!(
        lab.fake.object("PersistentVolumeClaim", "mcp", "redis-data-pvc").expect("it is there")["metadata"]["labels"],
        json!({ "tier": "data" })
    );
}

#[tokio::test]
async fn apply_renders_kustomizations_and_reads_files_and_input() {
    let lab = Lab::new();
    let tree = lab.path().join("k8s");
    fs::create_dir_all(&tree).expect("a folder");
    fs::write(
        tree.join("kustomization.yaml"),
        "namespace: mcp\nresources: [a.yaml]\nconfigMapGenerator:\n- name: made\n  literals: [k=v]\n",
    )
    .expect("a file");
    fs::write(tree.join("a.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n").expect("a file");
    let out = lab.out("kubectl apply -k k8s 2> warned\ncat warned").await;
    assert!(out.contains("configmap/a created\n") && out.contains("configmap/made-"), "{out}");
    assert!(out.ends_with("Warning: rights are not enforced here\n"), "{out}");
    assert!(lab.out("kubectl apply -k k8s 2>/dev/null").await.contains("configmap/a unchanged\n"));
    lab.out("sed -i 's/k: v/k: w/' k8s/a.yaml && kubectl apply -f k8s/a.yaml -n mcp").await;
    assert_eq!(lab.fake.object("ConfigMap", "mcp", "a").expect("applied")["data"]["k"], "w");
    let literal = "kubectl create secret generic redis-password --from-literal=password=\"a/+=b\" --namespace=mcp --dry-run=client -o yaml | kubectl apply -f - 2>/dev/null";
    assert_eq!(lab.out(literal).await, "secret/redis-password created\n");
    assert_eq!(lab.fake.object("Secret", "mcp", "redis-password").expect("applied")["data"]["password"], "YS8rPWI=");
    lab.out("kubectl create namespace aikernel --dry-run=client -o yaml | kubectl apply -f -").await;
    assert!(lab.fake.object("Namespace", "", "aikernel").is_some());
    assert_eq!(lab.out("kubectl create configmap c --from-file=k8s/a.yaml --namespace=mcp 2>/dev/null").await, "configmap/c created\n");
    let (_, stderr) = lab.fails("kubectl create configmap c --from-literal=a=b -n mcp").await;
    assert_eq!(stderr, "Error from server (AlreadyExists): configmaps \"c\" already exists\n");
    assert!(lab.fails("kubectl apply -k k8s/none").await.1.contains("unable to find one of 'kustomization.yaml'"));
    assert!(lab.fails("kubectl apply -f none.yaml").await.1.contains("the path \"none.yaml\" does not exist"));
    let (_, stderr) = lab.fails("sed -i 's/name: a/name: a, namespace: other/' k8s/a.yaml && kubectl apply -f k8s/a.yaml -n mcp").await;
    assert!(stderr.contains("does not match the namespace \"mcp\""), "{stderr}");
    assert!(lab.out("kubectl kustomize k8s").await.contains("kind: ConfigMap"));
    assert_eq!(lab.out("kubectl delete -f k8s/a.yaml --ignore-not-found").await, "No resources found\n");
}

#[tokio::test]
async fn run_shows_a_pods_output_and_takes_it_away() {
    let lab = Lab::new();
    lab.fake.writes("redis-test/redis-test", false, "PONG\n");
    let script = "kubectl run redis-test --rm -it --image=redis:7-alpine -n agentsmith -- \\\n  redis-cli -h redis ping";
    assert_eq!(lab.out(script).await, "PONG\npod \"redis-test\" deleted\n");
    assert!(lab.fake.object("Pod", "agentsmith", "redis-test").is_none());
    let (ended, stderr) = lab.fails("kubectl run t --rm -i --restart=Never --image=x -n a -- false 2>&1 >/dev/null | tee /dev/stderr | grep terminated; exit ${PIPESTATUS[0]}").await;
    assert!(matches!(ended, Ended::Code(_)) && stderr.contains("pod a/t terminated (Error)"), "{stderr}");
    assert_eq!(lab.fails("kubectl run t --restart=Never --rm -i --image=x -n a -- false").await.0, Ended::Code(3));
    assert_eq!(lab.out("kubectl run stays --image=x -n a 2>/dev/null").await, "pod/stays created\n");
    let pod = lab.fake.object("Pod", "a", "stays").expect("made");
    assert_eq!((&pod["metadata"]["labels"], &pod["spec"]["restartPolicy"]), (&json!({ "run": "stays" }), &json!("Always")));
}

#[tokio::test]
async fn what_is_not_mapped_is_refused_by_name_and_is_trouble() {
    let lab = Lab::new();
    let output = lab.within(Duration::from_secs(5), "kubectl top pods").await;
    let list = "get, describe, exec, cp, logs, wait, delete, scale, rollout, patch, apply, create, run, label, annotate, kustomize";
    assert_eq!(output.stderr, format!("error: kubectl top is not carried out by redis-conformance; it maps {list}\n"));
    assert!(matches!(output.trouble(), Some(Trouble::NotCarriedOut(what)) if what == "kubectl top"));
    assert_eq!((output.calls[0].argv.as_slice(), output.calls[0].code), (&[String::from("top"), String::from("pods")][..], Some(1)));
    for (script, what) in [
        ("kubectl get pods --watch-only", "--watch-only"),
        ("kubectl --context=prod get pods", "--context"),
        ("kubectl rollout undo deploy/redis", "rollout undo"),
    ] {
        assert!(lab.fails(script).await.1.contains(what), "{script}");
    }
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {hostNetwork: true}\n";
    fs::write(lab.path().join("pod.yaml"), text).expect("a file");
    let output = lab.within(Duration::from_secs(5), "kubectl apply -f pod.yaml").await;
    assert!(matches!(output.trouble(), Some(Trouble::Unsupported(_))), "{output:?}");
    assert!(lab.within(Duration::from_secs(5), "kubectl get pod none").await.trouble().is_none());
}
