//! Loading manifest sets from files, folders and kustomizations, good and bad.

use redis_conformance::manifest::{ManifestError, ManifestSet, Object};
use std::{fs, path::Path};
use tempfile::TempDir;

const REDIS: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: redis
spec:
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec:
      containers:
        - name: redis
          image: redis:7-alpine
          env:
            - name: MODE
              value: plain
";

/// A folder with these files, gone at the end of the test.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

async fn load(folder: &TempDir) -> ManifestSet {
    ManifestSet::load(folder.path()).await.unwrap()
}

async fn refused(path: &Path) -> ManifestError {
    ManifestSet::load(path).await.unwrap_err()
}

/// The place without the temporary folder.
fn place(folder: &TempDir, object: &Object, pointer: &str) -> String {
    object.place_of(pointer).to_string().replace(&format!("{}/", folder.path().display()), "")
}

fn keys(set: &ManifestSet) -> Vec<String> {
    set.objects.iter().map(|object| object.key().to_string()).collect()
}

#[tokio::test]
async fn a_folder_is_read_with_its_sub_folders_in_order_and_without_hidden_ones() {
    let folder = folder(&[
        ("b/second.yml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: second}\n"),
        ("a.json", "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"first\", \"namespace\": \"x\"}}"),
        (".git/third.yaml", "]"),
        ("README.md", "]"),
    ]);
    assert_eq!(keys(&load(&folder).await), ["ConfigMap x/first", "ConfigMap default/second"]);
}

#[tokio::test]
async fn what_is_no_manifest_is_left_out_with_a_remark() {
    let folder = folder(&[
        ("redis.yaml", REDIS),
        ("docker-compose.yml", "services:\n  redis: {image: redis}\n"),
        ("Chart.yaml", "apiVersion: v2\nname: x\n"),
        ("kind.yaml", "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n"),
        ("list.yaml", "- a\n- b\n"),
    ]);
    let set = load(&folder).await;
    assert_eq!(keys(&set), ["Deployment default/redis"]);
    let remarked: Vec<String> =
        set.remarks.iter().map(|(place, _)| place.file.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(remarked, ["Chart.yaml", "docker-compose.yml", "kind.yaml", "list.yaml"]);
}

#[tokio::test]
async fn one_file_that_is_no_yaml_fails_the_set_at_its_line() {
    let folder = folder(&[("a.yaml", REDIS), ("b.yaml", "a: 1\nb: [\n")]);
    let error = refused(folder.path()).await;
    assert!(error.is_a_finding());
    assert!(error.to_string().contains("b.yaml:"), "{error}");
    assert!(error.place().line >= 2, "{error}");
}

#[tokio::test]
async fn lists_are_opened_and_cluster_scoped_kinds_have_no_namespace() {
    let folder = folder(&[(
        "all.yaml",
        "kind: List\napiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a}\n- kind: Namespace\n  apiVersion: v1\n  metadata: {name: ns, namespace: wrong}\n---\nkind: ConfigMapList\napiVersion: v1\nitems:\n- metadata:\n    name: c\n",
    )]);
    let set = load(&folder).await;
    assert_eq!(keys(&set), ["Service default/a", "Namespace ns", "ConfigMap default/c"]);
    assert_eq!(place(&folder, &set.objects[2], "/metadata/name"), "all.yaml:15:5");
}

#[tokio::test]
async fn of_two_objects_with_one_key_the_last_wins_with_a_remark() {
    let folder = folder(&[("a.yaml", REDIS), ("b.yaml", &REDIS.replace("7-alpine", "8"))]);
    let set = load(&folder).await;
    assert_eq!(set.objects.len(), 1);
    assert_eq!(set.objects[0].str_at("/spec/template/spec/containers/0/image"), Some("redis:8"));
    assert!(set.remarks[0].1.contains("b.yaml:1:1"), "{:?}", set.remarks);
}

#[tokio::test]
async fn rendered_fields_are_placed_where_they_were_written() {
    let folder = folder(&[
        ("base/redis.yaml", REDIS),
        ("base/redis.conf", "appendonly yes\n"),
        (
            "base/kustomization.yaml",
            "resources: [redis.yaml]\nconfigMapGenerator:\n- name: conf\n  files:\n  - redis.conf\n  literals:\n  - a=b\n",
        ),
        (
            "prod/kustomization.yaml",
            "namespace: prod\nresources:\n- ../base\nimages:\n- name: redis\n  newTag: \"8.2\"\npatches:\n- path: more.yaml\n- target: {kind: Deployment}\n  patch: |\n    - op: add\n      path: /spec/strategy\n      value: {type: Recreate}\n",
        ),
        (
            "prod/more.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: redis}\nspec:\n  replicas: 3\n  template:\n    spec:\n      containers:\n      - name: redis\n        env:\n        - name: EXTRA\n          value: new\n",
        ),
    ]);
    let set = ManifestSet::load(&folder.path().join("prod")).await.unwrap();
    let redis = set.of_kind("Deployment").find(|object| object.name() == "redis").unwrap();
    assert_eq!(redis.namespace(), "prod");
    assert_eq!(redis.at("/metadata/annotations"), None);
    let container = "/spec/template/spec/containers/0";
    let at = |pointer: &str| place(&folder, redis, pointer);
    assert_eq!(at(container), "base/redis.yaml:11:11");
    assert_eq!(at(&format!("{container}/image")), "prod/kustomization.yaml:6:3");
    assert_eq!(at("/metadata/namespace"), "prod/kustomization.yaml:1:1");
    assert_eq!(at("/spec/replicas"), "prod/more.yaml:5:3");
    assert_eq!(at("/spec/strategy/type"), "prod/kustomization.yaml:13");
    let env: Vec<String> = redis.items_at(&format!("{container}/env")).map(|(pointer, _)| at(&format!("{pointer}/value"))).collect();
    assert!(env.contains(&"prod/more.yaml:12:11".to_owned()) && env.contains(&"base/redis.yaml:15:15".to_owned()), "{env:?}");
    let conf = set.of_kind("ConfigMap").next().unwrap();
    assert_eq!(place(&folder, conf, "/data/redis.conf"), "base/redis.conf");
    assert_eq!(place(&folder, conf, "/data/a"), "base/kustomization.yaml:7:5");
}

#[tokio::test]
async fn a_kustomization_that_does_not_build_speaks_in_its_own_words() {
    let folder = folder(&[("kustomization.yaml", "resources:\n- redis.yaml\n- missing.yaml\n"), ("redis.yaml", REDIS)]);
    let error = refused(folder.path()).await;
    assert!(error.is_a_finding());
    let words = error.to_string();
    assert!(words.contains("kustomization.yaml does not build") && words.contains("missing.yaml"), "{words}");
    assert!(!words.contains("redis-conformance-kustomize"), "{words}");
}

#[tokio::test]
async fn nothing_is_written_into_the_users_tree() {
    let folder = folder(&[("kustomization.yaml", "resources: [redis.yaml]\n"), ("redis.yaml", REDIS)]);
    load(&folder).await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn one_kustomization_in_a_plain_folder_is_rendered_beside_the_files_outside_it() {
    let folder = folder(&[
        ("base/kustomization.yaml", "resources: [redis.yaml, ../shared.yaml]\nnamePrefix: my-\n"),
        ("base/redis.yaml", REDIS),
        ("base/unused.yaml", "]"),
        ("shared.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared}\n"),
        ("client.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: client}\n"),
    ]);
    let error = refused(folder.path()).await;
    assert!(error.to_string().contains("security"), "kustomize refuses files above its root: {error}");
    fs::write(folder.path().join("base/kustomization.yaml"), "resources: [redis.yaml]\nnamePrefix: my-\n").unwrap();
    assert_eq!(keys(&load(&folder).await), ["Deployment default/my-redis", "Pod default/client", "ConfigMap default/shared"]);
}

#[tokio::test]
async fn several_kustomizations_are_listed_to_choose_from() {
    let folder = folder(&[
        ("base/kustomization.yaml", "resources: [redis.yaml]\n"),
        ("base/redis.yaml", REDIS),
        ("overlays/dev/kustomization.yaml", "resources: [../../base]\n"),
        ("overlays/prod/kustomization.yaml", "bases: [../../base/]\n"),
    ]);
    match refused(folder.path()).await {
        ManifestError::Several { candidates, .. } => {
            let names: Vec<_> = candidates.iter().map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string()).collect();
            assert_eq!(names, ["overlays/dev", "overlays/prod"]);
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_chart_is_refused_with_the_way_to_render_it() {
    let folder = folder(&[
        ("chart/Chart.yaml", "apiVersion: v2\nname: x\n"),
        ("chart/values.yaml", "a: 1\n"),
        ("chart/templates/redis.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Release.Name }}\n"),
    ]);
    let words = refused(folder.path()).await.to_string();
    assert!(words.contains("templates/redis.yaml:4:9") && words.contains("helm template"), "{words}");
}

#[tokio::test]
async fn paths_that_hold_nothing_are_told_apart() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(refused(&empty.path().join("none")).await, ManifestError::Missing { .. }));
    assert!(matches!(refused(empty.path()).await, ManifestError::Empty { .. }));
    fs::write(empty.path().join("values.yaml"), "a: 1\n").unwrap();
    let words = refused(empty.path()).await.to_string();
    assert!(words.contains("values.yaml:1:1: no object of Kubernetes"), "{words}");
    assert!(matches!(refused(Path::new("/dev/null")).await, ManifestError::NotAFile { .. }));
}

#[tokio::test]
async fn a_huge_file_is_refused_without_being_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.yaml");
    fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let before = std::time::Instant::now();
    assert!(matches!(refused(folder.path()).await, ManifestError::TooLarge { limit_mib: 16, .. }));
    assert!(before.elapsed() < std::time::Duration::from_secs(5));
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused_at_their_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), b"a: 1\nb: \xff\xfe\n").unwrap();
    let error = refused(folder.path()).await;
    assert!(matches!(error, ManifestError::NotText { .. }), "{error}");
    assert_eq!(error.place().line, 2);
}

#[tokio::test]
async fn an_object_without_its_version_is_refused_as_kubectl_does() {
    let folder = folder(&[("a.yaml", "kind: Pod\nmetadata: {name: x}\n")]);
    assert!(refused(folder.path()).await.to_string().ends_with("a.yaml:1:1: Pod: apiVersion not set"));
}
