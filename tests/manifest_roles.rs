//! Who is who in a set, found from what objects say.

use redis_conformance::manifest::{
    ManifestSet, Roles,
    roles::{Redis, Volume},
};
use rstest::rstest;

fn roles(text: &str) -> Roles {
    Roles::of(&ManifestSet::parse(text, "a.yaml").unwrap())
}

/// A Deployment whose only container has these fields.
fn deployment(container: &str) -> String {
    let container: String = container.lines().map(|line| format!("        {line}\n")).collect();
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: it}}
spec:
  selector: {{matchLabels: {{app: it}}}}
  template:
    metadata: {{labels: {{app: it}}}}
    spec:
      volumes:
      - {{name: claim, persistentVolumeClaim: {{claimName: kept}}}}
      - {{name: empty, emptyDir: {{}}}}
      - {{name: conf, configMap: {{name: conf}}}}
      - {{name: written, emptyDir: {{}}}}
      containers:
      - name: main
{container}---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: kept}}
---
apiVersion: v1
kind: Secret
metadata: {{name: auth}}
stringData: {{password: 'p/w+='}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: conf}}
data:
  redis.conf: |
    # a comment
    dir /data/inner
    appendonly yes
    requirepass from-file
    include /etc/redis/more.conf
  more.conf: |
    maxmemory 100mb
  start.sh: |
    #!/bin/sh
    exec redis-server /etc/redis/redis.conf --port 7000
  wrap.sh: exec \"$@\"
"
    )
}

fn redis(container: &str) -> Redis {
    let roles = roles(&deployment(container));
    assert_eq!(roles.redis.len(), 1, "{roles:#?}");
    roles.redis.into_iter().next().unwrap()
}

#[rstest]
#[case("image: redis:7", "redis")]
#[case("image: docker.io/library/redis", "redis")]
#[case("image: registry.example.com:5000/mirror/redis@sha256:12", "redis")]
#[case("image: bitnami/redis:7.2", "redis")]
#[case("image: valkey/valkey:8", "redis")]
#[case("image: own/program\ncommand: [redis-server, --port, '6380']", "redis")]
#[case("image: own/program\ncommand: [sh, -c, 'exec /usr/bin/redis-server --save \"\"']", "redis")]
#[case("image: own/redis-custom\nports: [{containerPort: 6379}]", "redis")]
#[case("image: redis:7\ncommand: [redis-cli, ping]", "other")]
#[case("image: redis:7\nargs: [redis-cli, monitor]", "other")]
#[case("image: redis:7\ncommand: [sh, -c, 'while true; do redis-cli ping; done']", "other")]
#[case("image: redis:7\ncommand: [redis-sentinel, /etc/s.conf]", "sentinel")]
#[case("image: redis:7\ncommand: [redis-server, /etc/s.conf, --sentinel]", "sentinel")]
#[case("image: bitnami/redis-sentinel:7", "sentinel")]
#[case("image: own/redis\nports: [{containerPort: 26379}]", "sentinel")]
#[case("image: oliver006/redis_exporter:v1", "exporter")]
#[case("image: own/metrics\nports: [{containerPort: 9121}]", "exporter")]
#[case("image: own/redis-worker", "other")]
#[case("image: rediscommander/redis-commander", "other")]
fn a_container_is_what_it_runs(#[case] container: &str, #[case] role: &str) {
    let roles = roles(&deployment(container));
    let seen = [
        (roles.redis.len(), "redis"),
        (roles.sentinels.len(), "sentinel"),
        (roles.exporters.len(), "exporter"),
        (roles.others.len(), "other"),
    ];
    let seen: Vec<&str> = seen.into_iter().filter(|(count, _)| *count > 0).map(|(_, role)| role).collect();
    assert_eq!(seen, [role]);
}

#[rstest]
#[case("volumeMounts: [{name: claim, mountPath: /data}]", "/data", "kept")]
#[case("volumeMounts: [{name: claim, mountPath: /}]", "/data", "kept")]
#[case("volumeMounts: [{name: claim, mountPath: /data}]\nargs: [--dir, /data/sub]", "/data/sub", "kept")]
#[case("volumeMounts: [{name: claim, mountPath: /data}]\nargs: [--dir, /elsewhere]", "/elsewhere", "container")]
#[case("volumeMounts: [{name: claim, mountPath: /database}]", "/data", "container")]
#[case(
    "volumeMounts: [{name: empty, mountPath: /data/sub}, {name: claim, mountPath: /data}]\nargs: [--dir, /data/sub]",
    "/data/sub",
    "empty"
)]
#[case("volumeMounts: [{name: claim, mountPath: /srv}]\nworkingDir: /srv", "/srv", "kept")]
#[case("volumeMounts: [{name: claim, mountPath: /srv/x}]\nworkingDir: /srv\nargs: [--dir, ./x]", "/srv/x", "kept")]
#[case("volumeMounts: [{name: claim, mountPath: /srv}]\ncommand: [sh, -c, 'cd /srv && exec redis-server']", "/srv", "kept")]
#[case(
    "volumeMounts: [{name: claim, mountPath: /data}]\ncommand: [sh, -c, 'mkdir -p in && cd in; redis-server --dir ./x']",
    "/data/in/x",
    "kept"
)]
#[case("volumeMounts: [{name: claim, mountPath: /data}]\ncommand: [sh, -c, 'redis-server & cd /tmp; wait']", "/data", "kept")]
fn data_is_where_redis_really_writes(#[case] container: &str, #[case] dir: &str, #[case] volume: &str) {
    let redis = redis(&format!("image: redis:7\n{container}"));
    assert_eq!(redis.data.dir, dir);
    let seen = match redis.data.volume {
        Volume::Claim { name, object } => {
            assert!(object.is_some());
            name
        }
        Volume::EmptyDir { .. } => "empty".to_owned(),
        Volume::Container => "container".to_owned(),
        other => format!("{other:?}"),
    };
    assert_eq!(seen, volume);
}

#[test]
fn a_mount_below_the_data_directory_is_no_place_for_the_data() {
    let redis = redis("image: redis:7\nvolumeMounts: [{name: claim, mountPath: /data/appendonlydir}]");
    assert_eq!(redis.data.volume, Volume::Container);
    assert_eq!(redis.data.below.len(), 1);
}

#[rstest]
#[case::file_as_argument("image: redis:7\nargs: [/etc/redis/redis.conf, --port, '7000']")]
#[case::script_in_the_manifest("image: redis:7\ncommand: [sh, -c]\nargs: ['redis-server /etc/redis/redis.conf --port 7000']")]
#[case::script_in_a_config_map("image: redis:7\ncommand: [sh, /etc/redis/start.sh]")]
#[case::script_that_hands_on("image: redis:7\ncommand: [/etc/redis/wrap.sh, redis-server, /etc/redis/redis.conf, --port, '7000']")]
fn the_configuration_is_read_wherever_it_is(#[case] container: &str) {
    let container = format!("{container}\nvolumeMounts: [{{name: conf, mountPath: /etc/redis}}, {{name: claim, mountPath: /data}}]");
    let redis = redis(&container);
    assert_eq!(redis.port, 7000);
    assert_eq!(redis.data.dir, "/data/inner");
    assert!(matches!(redis.data.volume, Volume::Claim { .. }));
    assert!(redis.config.is_on("appendonly", false));
    assert_eq!(redis.config.bytes("maxmemory"), Some(100 << 20));
    assert_eq!(redis.config.files, ["/etc/redis/redis.conf", "/etc/redis/more.conf"]);
    let line = deployment(&container).lines().position(|line| line.contains("appendonly yes")).unwrap() as u64 + 1;
    assert_eq!(redis.config.setting("appendonly").unwrap().place.line, line);
}

#[rstest]
#[case("args: [--requirepass, $(PASSWORD)]", true)]
#[case("args: ['--requirepass $(PASSWORD)']", true)]
#[case("command: [sh, -c, 'redis-server --requirepass \"$PASSWORD\"']", true)]
#[case("command: [sh, -c, 'redis-server --requirepass ${PASSWORD}']", true)]
#[case(
    "command: [sh, -c, 'P=$(printf %s \"$PASSWORD\" | sed s/x/y/); echo \"requirepass $P\" > /tmp/r.conf; redis-server /tmp/r.conf']",
    true
)]
#[case("args: [--requirepass, literal]", false)]
fn a_password_leads_back_to_its_secret(#[case] start: &str, #[case] is_secret: bool) {
    let redis =
        redis(&format!("image: redis:7\nenv: [{{name: PASSWORD, valueFrom: {{secretKeyRef: {{name: auth, key: password}}}}}}]\n{start}"));
    let password = redis.password.unwrap();
    assert_eq!(password.value.as_deref(), Some(if is_secret { "p/w+=" } else { "literal" }));
    assert_eq!(password.source.map(|(key, entry)| format!("{key} {entry}")), is_secret.then(|| "Secret default/auth password".to_owned()));
}

#[test]
fn a_password_is_never_shown() {
    let redis = redis(
        "image: redis:7\nargs: [--requirepass, $(PASSWORD)]\nenv: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: auth, key: password}}}]",
    );
    assert!(!format!("{:?}", redis.password).contains("p/w"));
}

const SENTINEL: &str = "apiVersion: apps/v1
kind: StatefulSet
metadata: {name: redis}
spec:
  replicas: 3
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec:
      initContainers:
      - name: conf
        image: redis:7
        command:
        - sh
        - -c
        - |
          cat > /etc/redis/sentinel.conf <<EOF
          port 5000
          sentinel down-after-milliseconds mymaster 5000
          EOF
          if [ -n \"$MASTER\" ]; then
            echo \"sentinel monitor mymaster $(redis-cli -h x info) 6379 2\" >> /etc/redis/sentinel.conf
          else
            echo \"sentinel monitor mymaster redis-0.redis 6379 2\" >> /etc/redis/sentinel.conf
          fi
          sed \"s/@PASSWORD@/$PASSWORD/\" /mnt/redis.conf > /etc/redis/redis.conf
        env: [{name: PASSWORD, value: secret}]
        volumeMounts: [{name: etc, mountPath: /etc/redis}, {name: conf, mountPath: /mnt}]
      containers:
      - name: redis
        image: redis:7
        command: [redis-server, /usr/local/redis.conf]
        ports: [{name: redis, containerPort: 6379}]
        volumeMounts: [{name: etc, mountPath: /usr/local}, {name: data, mountPath: /data}]
      - name: sentinel
        image: redis:7
        command: [redis-sentinel, /etc/redis/sentinel.conf]
        volumeMounts: [{name: etc, mountPath: /etc/redis}]
      - {name: metrics, image: oliver006/redis_exporter, ports: [{containerPort: 9121}]}
      volumes:
      - {name: etc, emptyDir: {}}
      - {name: conf, configMap: {name: conf}}
  volumeClaimTemplates: [{metadata: {name: data}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {redis.conf: 'requirepass @PASSWORD@'}
---
apiVersion: v1
kind: Service
metadata: {name: redis}
spec: {clusterIP: None, selector: {app: redis}, ports: [{name: a, port: 6379, targetPort: redis}, {name: b, port: 26379, targetPort: 5000}]}
---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: elsewhere}
spec: {selector: {app: redis}, ports: [{port: 6379}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: two}
spec: {minAvailable: 2, selector: {matchLabels: {app: redis}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: all}
spec: {podSelector: {}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  template:
    metadata: {labels: {app: app}}
    spec:
      containers:
      - name: app
        image: own/app
        env:
        - {name: REDIS_HOST, value: redis}
        - {name: REDIS_DB, value: '2'}
        - {name: REDIS_PORT, value: '6379'}
        - {name: QUEUE_URL, value: 'rediss://u:p@redis.default.svc:6379/7'}
        - {name: CACHE_DRIVER, value: redis}
        - {name: SENTINELS, value: 'redis-0.redis:26379,redis-1.redis:26379'}
";

#[test]
fn everything_that_belongs_to_redis_is_found_around_it() {
    let roles = roles(SENTINEL);
    let redis = &roles.redis[0];
    assert_eq!(redis.replicas, Some(3));
    assert_eq!(redis.data.volume, Volume::Template { name: "data".to_owned() });
    assert_eq!(
        redis.services.iter().map(|service| (service.key.to_string(), service.port, service.headless)).collect::<Vec<_>>(),
        [("Service default/redis".to_owned(), 6379, true)]
    );
    assert_eq!((redis.budgets.len(), redis.policies.len()), (1, 1));
    assert_eq!(redis.password.as_ref().unwrap().value.as_deref(), Some("secret"));
    let sentinel = &roles.sentinels[0];
    assert_eq!((sentinel.port, sentinel.services[0].port), (5000, 26379));
    let monitor = &sentinel.monitors[0];
    assert_eq!(
        (monitor.host.as_str(), monitor.quorum, monitor.down_after, monitor.failover_timeout),
        ("redis-0.redis", Some(2), 5000, 180_000)
    );
    assert_eq!(monitor.place.line, 24);
    assert_eq!(sentinel.config.setting("port").unwrap().place.line, 18);
    assert_eq!(roles.exporters[0].port, 9121);
}

#[test]
fn clients_are_known_by_the_addresses_that_they_are_given() {
    let roles = roles(SENTINEL);
    let app = roles.clients.iter().find(|client| client.id.name == "app").unwrap();
    let seen: Vec<_> =
        app.addresses.iter().map(|address| (address.variable.as_str(), address.host.as_str(), address.port, address.database)).collect();
    assert_eq!(
        seen,
        [
            ("REDIS_HOST", "redis", Some(6379), Some(2)),
            ("QUEUE_URL", "redis.default.svc", Some(6379), Some(7)),
            ("SENTINELS", "redis-0.redis", Some(26379), None),
            ("SENTINELS", "redis-1.redis", Some(26379), None),
        ]
    );
}

#[test]
fn arguments_know_their_own_lines() {
    let redis = redis("image: redis:7\nargs:\n- --appendonly\n- 'no'\n- --save\n- ''");
    let line = |name: &str| redis.config.setting(name).unwrap().place.line;
    assert_eq!(line("save"), line("appendonly") + 2);
    assert_eq!(redis.config.saves(), []);
}

/// A Deployment whose container runs a script, with a password from a Secret, a port from the cluster, and arguments.
fn scripted(script: &str) -> String {
    let script: String = script.lines().map(|line| format!("    {line}\n")).collect();
    deployment(&format!(
        "image: redis:7
env:
- {{name: PASSWORD, valueFrom: {{secretKeyRef: {{name: auth, key: password}}}}}}
- {{name: ADDRESS, valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}}}
volumeMounts:
- {{name: conf, mountPath: /etc/redis}}
- {{name: claim, mountPath: /data}}
command:
- sh
- -ec
- |
{script}- sh
args: [redis-server, --appendonly, 'yes']
ports: [{{containerPort: 6379}}]"
    ))
}

/// The line of the manifest on which a text stands.
fn line_of(manifest: &str, text: &str) -> u64 {
    manifest.lines().position(|line| line.contains(text)).unwrap() as u64 + 1
}

#[rstest]
#[case::program_from_the_arguments(
    "password=$(printf %s \"$PASSWORD\" | sed 's/[\\\\\"]/\\\\&/g')
test -n \"$password\"
program=$1
shift
exec \"$program\" - \"$@\" <<EOF
requirepass \"$password\"
EOF"
)]
#[case::a_file_that_is_written(
    "printf 'requirepass %s\\n' \"$PASSWORD\" > /tmp/auth.conf\nexec redis-server /tmp/auth.conf --appendonly yes"
)]
#[case::arguments_set_anew("set -- \"$@\" --requirepass \"$PASSWORD\"\nexec \"$@\"")]
#[case::a_branch_that_the_secret_decides(
    "if [ -n \"$PASSWORD\" ]; then\n  exec \"$@\" --requirepass \"$PASSWORD\"\nelse\n  exec redis-server --port 1\nfi"
)]
#[case::a_list_of_options("OPTIONS='--appendonly yes'\nOPTIONS=\"$OPTIONS --requirepass $PASSWORD\"\nexec docker-entrypoint.sh $OPTIONS")]
fn a_start_script_is_followed_to_its_server(#[case] script: &str) {
    let roles = roles(&scripted(script));
    assert_eq!((roles.redis.len(), roles.undecided.len()), (1, 0), "{roles:#?}");
    let redis = &roles.redis[0];
    assert!(redis.config.is_on("appendonly", false));
    assert_eq!((redis.port, redis.config.unknown("port")), (6379, None));
    let password = redis.password.as_ref().unwrap();
    assert_eq!(password.value.as_deref(), Some("p/w+="));
    assert_eq!(password.source.as_ref().map(|(key, entry)| format!("{key} {entry}")).as_deref(), Some("Secret default/auth password"));
    assert!(matches!(&redis.data.volume, Volume::Claim { name, .. } if name == "kept") && redis.unknown_dir.is_none());
}

#[test]
fn words_that_a_script_hands_on_keep_their_lines() {
    let manifest = scripted("program=$1\nshift\nexec \"$program\" --port 7000 \"$@\"");
    let redis = roles(&manifest).redis.remove(0);
    assert_eq!(redis.config.setting("port").unwrap().place.line, line_of(&manifest, "--port 7000"));
    assert_eq!(redis.config.setting("appendonly").unwrap().place.line, line_of(&manifest, "args: [redis-server"));
}

#[rstest]
#[case::the_address_of_the_pod("exec redis-server --port \"$ADDRESS\"", "port", "--port \"$ADDRESS\"")]
#[case::what_a_program_prints("exec redis-server --port $(redis-cli -h other get port)", "port", "exec redis-server")]
#[case::options_of_the_cluster("exec redis-server $(get-options)", "port", "exec redis-server")]
#[case::a_file_of_the_image("exec redis-server /image.conf", "requirepass", "/image.conf")]
#[case::two_ways("if grep -q x /etc/hosts; then exec redis-server --port 1; fi\nexec redis-server --port 2", "port", "--port 2")]
#[case::two_ways_of_writing(
    "echo port 1 > /tmp/r.conf\nif grep -q x /etc/hosts; then\n  echo port 2 > /tmp/r.conf\nfi\nexec redis-server /tmp/r.conf",
    "port",
    "echo port 1"
)]
#[case::a_folder_of_the_cluster("cd \"/data/$ADDRESS\"\nexec redis-server", "dir", "cd \"/data")]
#[case::a_text_that_is_edited_beyond_reading(
    "sed 's/\\(port\\).*/\\1 7/' /etc/redis/redis.conf > /tmp/r.conf\nexec redis-server /tmp/r.conf",
    "port",
    "# a comment"
)]
fn what_only_the_running_container_knows_is_told_with_its_line(#[case] script: &str, #[case] setting: &str, #[case] at: &str) {
    let manifest = scripted(script);
    let redis = roles(&manifest).redis.remove(0);
    let unknown = if setting == "dir" { redis.unknown_dir } else { redis.config.unknown(setting) };
    let unknown = unknown.unwrap_or_else(|| panic!("{setting} is thought to be known: {:#?}", redis.config));
    // A file of a ConfigMap is told by the line above it, a command by its own.
    assert!((line_of(&manifest, at) - 1..=line_of(&manifest, at)).contains(&unknown.place.line), "{unknown:?}");
}

#[rstest]
#[case::a_program_of_the_cluster("exec \"$ADDRESS\"", "exec \"$ADDRESS\"")]
#[case::one_of_two("if grep -q x /etc/hosts; then\n  exec redis-sentinel /s.conf\nelse\n  exec redis-server\nfi", "redis-sentinel /s.conf")]
fn a_container_that_may_be_redis_is_neither_guessed_nor_forgotten(#[case] script: &str, #[case] at: &str) {
    let manifest = scripted(script);
    let roles = roles(&manifest);
    assert!(roles.redis.is_empty() && roles.sentinels.is_empty(), "{roles:#?}");
    assert_eq!(roles.undecided[0].unknown.place.line, line_of(&manifest, at), "{:?}", roles.undecided[0].unknown);
}

#[test]
fn what_a_file_says_in_dollars_is_what_it_says() {
    let text = deployment("image: redis:7\nargs: [/etc/redis/redis.conf]\nvolumeMounts: [{name: conf, mountPath: /etc/redis}]")
        .replace("requirepass from-file", "requirepass ${PASSWORD}");
    let redis = roles(&text).redis.remove(0);
    assert_eq!(redis.password.unwrap().value.as_deref(), Some("${PASSWORD}"));
}

#[rstest]
#[case::variables_of_services("", true)]
#[case::no_variables_of_services("      enableServiceLinks: false\n", false)]
fn kubernetes_own_variables_are_not_taken_for_unset(#[case] field: &str, #[case] unknown: bool) {
    let text = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: redis}}
spec:
{}  containers:
  - {{name: redis, image: 'redis:7', command: [sh, -c, 'redis-server --port ${{REDIS_PORT:-6379}}']}}
---
apiVersion: v1
kind: Service
metadata: {{name: redis}}
spec: {{ports: [{{port: 6379}}]}}
",
        field.trim_start_matches("    ")
    );
    assert_eq!(roles(&text).redis[0].config.unknown("port").is_some(), unknown);
}

#[tokio::test]
async fn redis_of_the_overlay_with_a_password_is_found_with_its_password() {
    let overlay = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/mcp/overlays/password");
    let set = ManifestSet::load(&overlay).await.unwrap();
    let roles = Roles::of(&set);
    let [redis] = &roles.redis[..] else { panic!("{roles:#?}") };
    assert_eq!((redis.port, redis.services.len(), redis.config.value("appendfsync")), (6379, 1, Some("always")));
    let (source, key) = redis.password.as_ref().and_then(|password| password.source.clone()).unwrap();
    assert!(source.kind == "Secret" && source.name.starts_with("redis-password-") && key == "password", "{source}");
    assert!(redis.config.unknown("port").is_none() && redis.unknown_dir.is_none() && redis.hidden_start.is_none());
}
