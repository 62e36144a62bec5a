//! Makes volumes by the two provisioners of this cluster.

use super::{
    super::{
        super::{
            events::Level,
            json::{list, text},
            options::{DISK, LOCAL_PATH},
        },
        Context,
    },
    classes::NO_PROVISIONER,
    marry, tell,
};
use serde_json::{Value, json};

/// Makes a volume for the claim and binds it, or tells why not.
pub(super) fn provision(context: &Context<'_>, claim: &Value, class: &Value, selected: &str) {
    let provisioner = text(class, "/provisioner");
    let class_name = text(class, "/metadata/name");
    let fail = |why: &str| {
        tell(
            context,
            claim,
            Level::Warning,
            "ProvisioningFailed",
            &format!("failed to provision volume with StorageClass {class_name:?}: {why}"),
        );
    };
    let modes = list(claim, "/spec/accessModes");
    let source = match provisioner {
        NO_PROVISIONER => {
            return tell(
                context,
                claim,
                Level::Normal,
                "FailedBinding",
                "no persistent volumes available for this claim and no provisioner is set",
            );
        }
        LOCAL_PATH if selected.is_empty() => return fail("configuration error, no node was specified"),
        LOCAL_PATH if modes.iter().any(|mode| mode != "ReadWriteOnce" && mode != "ReadWriteOncePod") => {
            return fail("NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes");
        }
        LOCAL_PATH | DISK => provisioner,
        other => {
            let words = format!(
                "Waiting for a volume to be created either by the external provisioner '{other}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
            );
            return tell(context, claim, Level::Normal, "ExternalProvisioning", &words);
        }
    };
    let name = format!("pvc-{}", text(claim, "/metadata/uid"));
    let identity = format!(
        "External provisioner is provisioning volume for claim \"{}/{}\"",
        text(claim, "/metadata/namespace"),
        text(claim, "/metadata/name")
    );
    tell(context, claim, Level::Normal, "Provisioning", &identity);
    let shared = source == DISK && class["parameters"]["shared"] == "true";
    let mut volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": { "name": name, "annotations": { "pv.kubernetes.io/provisioned-by": provisioner } },
        "spec": { "capacity": { "storage": claim["spec"]["resources"]["requests"]["storage"] }, "accessModes": claim["spec"]["accessModes"],
            "persistentVolumeReclaimPolicy": class["reclaimPolicy"], "storageClassName": class_name, "volumeMode": claim["spec"]["volumeMode"] },
        "status": { "phase": "Available" }
    });
    if source == DISK {
        // A file system of its own, as on a cloud's disk: owned by root, and fsGroup is applied to it.
        let mode = class["parameters"].get("mode").cloned().unwrap_or(json!("0755"));
        volume["spec"]["csi"] = json!({ "driver": DISK, "volumeHandle": name, "fsType": "ext4", "volumeAttributes": { "mode": mode } });
    } else {
        let path = format!("/var/local-path-provisioner/{name}_{}_{}", text(claim, "/metadata/namespace"), text(claim, "/metadata/name"));
        volume["spec"]["hostPath"] = json!({ "path": path, "type": "DirectoryOrCreate" });
    }
    if !shared && !selected.is_empty() {
        volume["spec"]["nodeAffinity"] = json!({ "required": { "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "kubernetes.io/hostname", "operator": "In", "values": [selected] }] }] } });
    }
    match context.store.create(volume) {
        Ok(volume) => {
            marry(context, claim, &volume);
            tell(context, claim, Level::Normal, "ProvisioningSucceeded", &format!("Successfully provisioned volume {name}"));
        }
        Err(refusal) => fail(&refusal.to_string()),
    }
}
