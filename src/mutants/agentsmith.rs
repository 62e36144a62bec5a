//! Mutants of `agentsmith/message-bus`.

use super::{
    Change, Killer, Mutant,
    change::{object, option, redis_workload, remove_in_redis, set, set_in_redis, with, without},
};
use serde_json::json;

/// All of them.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "store-of-half-the-size",
        guarantee: "BUS-1",
        what: "--maxmemory 128mb",
        change: Change::Objects(|all| option(all, "--maxmemory", &["--maxmemory", "128mb"])),
        killer: Killer { step: "CONFIG GET \"maxmemory\"", message: "134217728" },
    },
    Mutant {
        name: "two-replicas",
        guarantee: "BUS-1",
        what: "replicas: 2",
        change: Change::Objects(|all| set(redis_workload(all), "/spec/replicas", json!(2))),
        killer: Killer { step: "Redis has 1 replica", message: "it has 2 replicas" },
    },
    Mutant {
        name: "replicas-by-load",
        guarantee: "BUS-1",
        what: "an autoscaler among the objects",
        change: Change::Objects(|all| {
            with(
                all,
                json!({
                    "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                    "metadata": { "name": "redis", "namespace": "agentsmith" },
                    "spec": { "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "redis" }, "maxReplicas": 3 },
                }),
            )
        }),
        killer: Killer { step: "Redis has 1 replica", message: "changes the number of its replicas" },
    },
    Mutant {
        name: "directory-of-the-node",
        guarantee: "BUS-2",
        what: "the data directory is a hostPath",
        change: Change::Objects(|all| {
            let mounts = json!([{ "name": "data", "mountPath": "/data" }]);
            let volumes = json!([{ "name": "data", "hostPath": { "path": "/var/lib/redis" } }]);
            set_in_redis(all, "/volumeMounts", mounts) && set(redis_workload(all), "/spec/template/spec/volumes", volumes)
        }),
        killer: Killer { step: "no object is a PersistentVolume or a claim", message: "the node's directory" },
    },
    Mutant {
        name: "claim-added",
        guarantee: "BUS-2",
        what: "a claim among the objects",
        change: Change::Objects(|all| {
            with(
                all,
                json!({
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "redis-data", "namespace": "agentsmith" },
                    "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
                }),
            )
        }),
        killer: Killer { step: "no object is a PersistentVolume or a claim", message: "redis-data" },
    },
    Mutant {
        name: "snapshots-by-default",
        guarantee: "BUS-3",
        what: "--save \"\" is dropped",
        change: Change::Objects(|all| option(all, "--save", &[])),
        killer: Killer { step: "the data directory is empty", message: "dump.rdb" },
    },
    Mutant {
        name: "bus-that-persists",
        guarantee: "BUS-4",
        what: "the overlay with persistence in place of dev",
        change: Change::Instead("persistence"),
        killer: Killer { step: "every acknowledged write is lost", message: "still there" },
    },
    Mutant {
        name: "dispatcher-never-reconnects",
        guarantee: "BUS-5",
        what: "RECONNECT is false",
        change: Change::Objects(|all| set(object(all, "ConfigMap", "agentsmith-config"), "/data/RECONNECT", json!("false"))),
        killer: Killer { step: "the job in flight is reported lost", message: "last saw: the dispatcher does not answer" },
    },
    Mutant {
        name: "limit-of-256mi",
        guarantee: "BUS-6",
        what: "the memory limit is 256Mi",
        change: Change::Objects(|all| set_in_redis(all, "/resources/limits/memory", json!("256Mi"))),
        killer: Killer { step: "Redis is limited to", message: "256Mi" },
    },
    Mutant {
        name: "store-as-large-as-its-limit",
        guarantee: "BUS-6",
        what: "the memory limit is 256Mi, and the store is filled",
        change: Change::Objects(|all| set_in_redis(all, "/resources/limits/memory", json!("256Mi"))),
        killer: Killer { step: "Redis was not killed for memory", message: "OOMKilled" },
    },
    Mutant {
        name: "no-liveness-probe",
        guarantee: "BUS-7",
        what: "the liveness probe is removed",
        change: Change::Objects(|all| remove_in_redis(all, "/livenessProbe")),
        killer: Killer { step: "it is restarted within", message: "there is no liveness probe" },
    },
    Mutant {
        name: "liveness-always-holds",
        guarantee: "BUS-7",
        what: "liveness is redis-cli ping || true",
        change: Change::Objects(|all| set_in_redis(all, "/livenessProbe/exec/command", json!(["sh", "-c", "redis-cli ping || true"]))),
        killer: Killer { step: "the liveness probe runs", message: "|| true" },
    },
    Mutant {
        name: "readiness-by-tcp",
        guarantee: "BUS-7",
        what: "readiness asks whether the port is open",
        change: Change::Objects(|all| {
            let mut probe = match redis_workload(all).and_then(|redis| redis.pointer("/spec/template/spec/containers/0/readinessProbe")) {
                Some(serde_json::Value::Object(probe)) => probe.clone(),
                _ => return false,
            };
            probe.shift_remove("exec");
            probe.insert("tcpSocket".into(), json!({ "port": 6379 }));
            set_in_redis(all, "/readinessProbe", probe.into())
        }),
        killer: Killer { step: "it leaves the Service", message: "still" },
    },
    Mutant {
        name: "another-user",
        guarantee: "BUS-8",
        what: "runAsUser: 1000",
        change: Change::Objects(|all| set_in_redis(all, "/securityContext/runAsUser", json!(1000))),
        killer: Killer { step: "runs as user 999", message: "1000" },
    },
    Mutant {
        name: "privileges-may-grow",
        guarantee: "BUS-8",
        what: "allowPrivilegeEscalation: true",
        change: Change::Objects(|all| set_in_redis(all, "/securityContext/allowPrivilegeEscalation", json!(true))),
        killer: Killer { step: "it cannot gain privileges", message: "NoNewPrivs" },
    },
    Mutant {
        name: "node-port",
        guarantee: "BUS-9",
        what: "the Service is a NodePort",
        change: Change::Objects(|all| set(object(all, "Service", "redis"), "/spec/type", json!("NodePort"))),
        killer: Killer { step: "no object exposes Redis", message: "NodePort" },
    },
    Mutant {
        name: "published-by-the-ingress",
        guarantee: "BUS-9",
        what: "ingress-nginx publishes port 6379 by its ConfigMap",
        change: Change::Objects(|all| {
            with(
                all,
                json!({
                    "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "tcp-services", "namespace": "ingress-nginx" },
                    "data": { "6379": "agentsmith/redis:6379" },
                }),
            )
        }),
        killer: Killer { step: "no object exposes Redis", message: "publishes a port" },
    },
    Mutant {
        name: "service-renamed",
        guarantee: "BUS-10",
        what: "the Service is called redis-bus",
        change: Change::Objects(|all| set(object(all, "Service", "redis"), "/metadata/name", json!("redis-bus"))),
        killer: Killer { step: "PING from a client pod to \"redis\"", message: "cannot connect to redis:6379" },
    },
    Mutant {
        name: "nothing-is-evicted",
        guarantee: "BUS-11",
        what: "--maxmemory-policy noeviction",
        change: Change::Objects(|all| option(all, "--maxmemory-policy", &["--maxmemory-policy", "noeviction"])),
        killer: Killer { step: "no write was refused", message: "OOM" },
    },
    Mutant {
        name: "any-key-is-evicted",
        guarantee: "BUS-11",
        what: "--maxmemory-policy allkeys-random",
        change: Change::Objects(|all| option(all, "--maxmemory-policy", &["--maxmemory-policy", "allkeys-random"])),
        killer: Killer { step: "of the evicted keys had been idle", message: "percent of" },
    },
    Mutant {
        name: "streams-live-for-ever",
        guarantee: "BUS-12",
        what: "STREAM_TTL_SECONDS is 0: EXPIRE is left out",
        change: Change::Objects(|all| set(object(all, "ConfigMap", "agentsmith-config"), "/data/STREAM_TTL_SECONDS", json!("0"))),
        killer: Killer { step: "its stream has a time to live", message: "no time to live" },
    },
    Mutant {
        name: "account-left-out",
        guarantee: "BUS-13",
        what: "the ServiceAccount is not among the resources",
        change: Change::Objects(|all| without(all, "ServiceAccount", "dispatcher")),
        killer: Killer { step: "every pod has the account", message: "serviceaccount \"dispatcher\" not found" },
    },
    Mutant {
        name: "configuration-left-out",
        guarantee: "BUS-13",
        what: "the ConfigMap is not among the resources",
        change: Change::Objects(|all| without(all, "ConfigMap", "agentsmith-config")),
        killer: Killer { step: "every pod has the account", message: "configmap \"agentsmith-config\" not found" },
    },
    Mutant {
        name: "claim-without-append-only-file",
        guarantee: "BUS-14",
        what: "the variant's --appendonly yes is dropped",
        change: Change::Objects(|all| option(all, "--appendonly", &[])),
        killer: Killer { step: "every acknowledged write is still there", message: "first: lost in database" },
    },
    Mutant {
        name: "second-bus-behind-the-service",
        guarantee: "BUS-15",
        what: "replicas: 2",
        change: Change::Objects(|all| set(redis_workload(all), "/spec/replicas", json!(2))),
        killer: Killer { step: "one single Redis answered at any time", message: "2 Redis" },
    },
];
