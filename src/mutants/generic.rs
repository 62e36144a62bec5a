//! Mutants of the generic features, tried on the manifests of `mcp`.

use super::{
    Change, Killer, Mutant,
    change::{CONTAINER, more_options, redis_workload, set},
};
use serde_json::json;

/// All of them.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "claim-beside-the-data",
        guarantee: "GEN-1",
        what: "--dir /tmp: the claim holds nothing",
        change: Change::Objects(|all| more_options(all, &["--dir", "/tmp"])),
        killer: Killer { step: "is kept as far as the manifests promise", message: "first: lost in database" },
    },
    Mutant {
        name: "data-beside-the-claim",
        guarantee: "GEN-2",
        what: "the claim is mounted at /elsewhere",
        change: Change::Objects(|all| set(redis_workload(all), &format!("{CONTAINER}/volumeMounts/0/mountPath"), json!("/elsewhere"))),
        killer: Killer { step: "is kept as far as the manifests promise", message: "first: lost in database" },
    },
    Mutant {
        name: "claim-under-the-data",
        guarantee: "GEN-3",
        what: "the claim is mounted at /data/claim, a folder below the data directory",
        change: Change::Objects(|all| set(redis_workload(all), &format!("{CONTAINER}/volumeMounts/0/mountPath"), json!("/data/claim"))),
        killer: Killer { step: "is kept as far as the manifests promise", message: "first: lost in database" },
    },
];
