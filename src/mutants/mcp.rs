//! Mutants of `mcp/persistence-setup`.

use super::{
    Change, Killer, Mutant,
    change::{claim_becomes_empty_dir, more_options, object, option, redis_workload, set, with, without},
};
use serde_json::json;

const CLAIM: (&str, &str) = ("PersistentVolumeClaim", "redis-data-pvc");

/// All of them.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "claim-of-1gi",
        guarantee: "MCP-P1",
        what: "the claim asks for 1Gi",
        change: Change::Objects(|all| set(object(all, CLAIM.0, CLAIM.1), "/spec/resources/requests/storage", json!("1Gi"))),
        killer: Killer { step: "asks for \"10Gi\"", message: "asks for 1Gi" },
    },
    Mutant {
        name: "claim-for-many-writers",
        guarantee: "MCP-P1",
        what: "the claim is ReadWriteMany",
        change: Change::Objects(|all| set(object(all, CLAIM.0, CLAIM.1), "/spec/accessModes", json!(["ReadWriteMany"]))),
        killer: Killer { step: "has the only access mode", message: "ReadWriteMany" },
    },
    Mutant {
        name: "claim-names-a-class",
        guarantee: "MCP-P1",
        what: "the claim names the class gp2",
        change: Change::Objects(|all| set(object(all, CLAIM.0, CLAIM.1), "/spec/storageClassName", json!("gp2"))),
        killer: Killer { step: "names no storage class", message: "gp2" },
    },
    Mutant {
        name: "claim-mounted-elsewhere",
        guarantee: "MCP-P2",
        what: "the claim is mounted at /elsewhere",
        change: Change::Objects(|all| {
            set(redis_workload(all), "/spec/template/spec/containers/0/volumeMounts/0/mountPath", json!("/elsewhere"))
        }),
        killer: Killer { step: "Redis mounts the claim", message: "the data directory /data is on no volume" },
    },
    Mutant {
        name: "files-beside-the-claim",
        guarantee: "MCP-P2",
        what: "an emptyDir is mounted at /data/appendonlydir, below the claim",
        change: Change::Objects(|all| {
            let spec = redis_workload(all).and_then(|redis| redis.pointer_mut("/spec/template/spec"));
            let Some(spec) = spec else { return false };
            let Some(mounts) = spec.pointer_mut("/containers/0/volumeMounts").and_then(|mounts| mounts.as_array_mut()) else {
                return false;
            };
            mounts.push(json!({ "name": "files", "mountPath": "/data/appendonlydir" }));
            let Some(volumes) = spec.pointer_mut("/volumes").and_then(|volumes| volumes.as_array_mut()) else { return false };
            volumes.push(json!({ "name": "files", "emptyDir": {} }));
            true
        }),
        killer: Killer { step: "Redis mounts the claim", message: "/data/appendonlydir" },
    },
    Mutant {
        name: "append-only-file-off",
        guarantee: "MCP-P3",
        what: "--appendonly no",
        change: Change::Objects(|all| option(all, "--appendonly", &["--appendonly", "no"])),
        killer: Killer { step: "CONFIG GET \"appendonly\"", message: "\"no\"" },
    },
    Mutant {
        name: "data-directory-elsewhere",
        guarantee: "MCP-P3",
        what: "--dir /tmp",
        change: Change::Objects(|all| more_options(all, &["--dir", "/tmp"])),
        killer: Killer { step: "the append-only files lie on the claim", message: "/tmp" },
    },
    Mutant {
        name: "claim-left-out",
        guarantee: "MCP-P4",
        what: "the claim is not among the resources",
        change: Change::Objects(|all| without(all, CLAIM.0, CLAIM.1)),
        killer: Killer { step: "is bound within", message: "there is no PersistentVolumeClaim mcp/redis-data-pvc" },
    },
    Mutant {
        name: "service-leads-past-redis",
        guarantee: "MCP-P4",
        what: "the Service's targetPort is 6380",
        change: Change::Objects(|all| set(object(all, "Service", "redis"), "/spec/ports/0/targetPort", json!(6380))),
        killer: Killer { step: "clients reach Redis through a Service", message: "no Service leads to port 6379" },
    },
    Mutant {
        name: "pod-keeps-its-data-in-an-emptydir",
        guarantee: "MCP-P5",
        what: "the claim becomes an emptyDir",
        change: Change::Objects(claim_becomes_empty_dir),
        killer: Killer { step: "every acknowledged write is still there", message: "first: lost in database" },
    },
    Mutant {
        name: "neither-file-nor-snapshot",
        guarantee: "MCP-P5",
        what: "--save \"\" in place of --appendonly yes",
        change: Change::Objects(|all| option(all, "--appendonly", &["--save", ""])),
        killer: Killer { step: "every acknowledged write is still there", message: "first: lost in database" },
    },
    Mutant {
        name: "rollout-overlaps",
        guarantee: "MCP-P5",
        what: "strategy RollingUpdate on the one claim",
        change: Change::Objects(|all| set(redis_workload(all), "/spec/strategy/type", json!("RollingUpdate"))),
        killer: Killer { step: "never did two Redis serve at once", message: "two Redis served at once" },
    },
    Mutant {
        name: "before-was-a-claim-already",
        guarantee: "MCP-P6",
        what: "the overlay's patch is left out: the claim stays",
        change: Change::Instead("."),
        killer: Killer { step: "every acknowledged write is lost", message: "still there" },
    },
    Mutant {
        name: "cluster-restart-meets-an-emptydir",
        guarantee: "MCP-P8",
        what: "the claim becomes an emptyDir",
        change: Change::Objects(claim_becomes_empty_dir),
        killer: Killer { step: "every acknowledged write is still there", message: "first: lost in database" },
    },
    Mutant {
        name: "two-servers-configured-alike",
        guarantee: "MCP-P9",
        what: "minio's REDIS_DB is 0",
        change: Change::Objects(|all| set(database_of(all, "1"), "/data/REDIS_DB", json!("0"))),
        killer: Killer { step: "the servers use these databases", message: "on port 8002 uses database 0" },
    },
    Mutant {
        name: "server-listens-elsewhere",
        guarantee: "MCP-P9",
        what: "minio's MCP_PORT is 8012, where its Service does not lead",
        change: Change::Objects(|all| set(database_of(all, "1"), "/data/MCP_PORT", json!("8012"))),
        killer: Killer { step: "the servers use these databases", message: "MCP_PORT is 8012" },
    },
    Mutant {
        name: "table-is-stale",
        guarantee: "MCP-P9",
        what: "the table says that minio is on port 8012",
        change: Change::File { name: "REDIS_DATABASE_PATTERN.md", from: "8002", to: "8012" },
        killer: Killer { step: "the table in", message: "says 8012 under Port for minio" },
    },
    Mutant {
        name: "servers-share-a-database",
        guarantee: "MCP-P10",
        what: "pdf-generator's REDIS_DB is 1",
        change: Change::Objects(|all| set(database_of(all, "2"), "/data/REDIS_DB", json!("1"))),
        killer: Killer { step: "no server sees the keys of another", message: "in database 1, which is set at" },
    },
    Mutant {
        name: "class-misspelt",
        guarantee: "MCP-P12",
        what: "the variant names the class fast-sdd",
        change: Change::Objects(|all| {
            let claim = object(all, CLAIM.0, CLAIM.1);
            claim.is_some_and(|claim| {
                claim["spec"]["storageClassName"] == "fast-ssd" && set(Some(claim), "/spec/storageClassName", json!("fast-sdd"))
            })
        }),
        killer: Killer { step: "changes only the storage class", message: "fast-sdd" },
    },
    Mutant {
        name: "class-is-given",
        guarantee: "MCP-P13",
        what: "the claim names the class standard and needs no default",
        change: Change::Objects(|all| set(object(all, CLAIM.0, CLAIM.1), "/spec/storageClassName", json!("standard"))),
        killer: Killer { step: "is Pending, and the event names \"no storage class is set\"", message: "Bound" },
    },
    Mutant {
        name: "restore-without-rewrite",
        guarantee: "MCP-P14",
        what: "the runbook's CONFIG SET appendonly yes is left out",
        change: Change::Runbook { block: "restore", without: "CONFIG SET appendonly yes" },
        killer: Killer { step: "every acknowledged write is still there", message: "first: lost in database" },
    },
    Mutant {
        name: "dump-is-read",
        guarantee: "MCP-P14",
        what: "--appendonly yes is dropped: a killed Redis starts from the dump",
        change: Change::Objects(|all| option(all, "--appendonly", &[])),
        killer: Killer { step: "every acknowledged write is lost", message: "still there" },
    },
    Mutant {
        name: "class-that-only-says-it-grows",
        guarantee: "MCP-P15",
        what: "the default class allows expansion, and nothing carries it out",
        change: Change::Objects(|all| {
            with(
                all,
                json!({
                    "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
                    "metadata": { "name": "standard", "annotations": { "storageclass.kubernetes.io/is-default-class": "true" } },
                    "provisioner": "rancher.io/local-path", "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": true,
                }),
            )
        }),
        killer: Killer { step: "it has grown, or the patch was refused", message: "accepted" },
    },
];

/// The ConfigMap that gives this database number.
fn database_of<'set>(all: &'set mut crate::manifest::ManifestSet, number: &str) -> Option<&'set mut serde_json::Value> {
    all.objects.iter_mut().map(|object| &mut object.json).find(|json| json["kind"] == "ConfigMap" && json["data"]["REDIS_DB"] == number)
}
