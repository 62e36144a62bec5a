//! Nodes that stopped posting: told, tainted, and their pods sent away when their tolerations end.

use super::{
    super::{
        clock,
        events::{self, Level},
        json::{self, holds, list, number, set_condition, text},
        pods, taint,
    },
    Context,
};
use serde_json::{Value, json};
use std::time::Duration;

const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

pub(super) fn look(context: &Context<'_>) {
    for node in context.store.list("Node", None) {
        let name = text(&node, "/metadata/name");
        match context.nodes.silent_for(name) {
            None => awake(context, &node),
            Some(silent) if silent < context.options.monitor_grace => {
                context.look_again(context.options.monitor_grace.saturating_sub(silent));
            }
            Some(_) => silent(context, &node),
        }
    }
    for node in context.store.list("Node", None) {
        evict(context, &node);
    }
}

fn awake(context: &Context<'_>, node: &Value) {
    if holds(node, "Ready") && list(node, "/spec/taints").iter().all(|taint| text(taint, "/key") != UNREACHABLE) {
        return;
    }
    context.update(node, |node| {
        set_condition(node, "Ready", "True", "KubeletReady", "kubelet is posting ready status");
        taints(node, |taints| taints.retain(|taint| text(taint, "/key") != UNREACHABLE));
    });
    events::tell(
        context.store,
        node,
        Level::Normal,
        "NodeReady",
        &format!("Node {} status is now: NodeReady", text(node, "/metadata/name")),
        "kubelet",
    );
}

fn silent(context: &Context<'_>, node: &Value) {
    if !holds(node, "Ready") {
        return;
    }
    let name = text(node, "/metadata/name");
    context.update(node, |node| {
        set_condition(node, "Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.");
        taints(node, |taints| {
            for effect in ["NoSchedule", "NoExecute"] {
                taints.push(json!({ "key": UNREACHABLE, "effect": effect, "timeAdded": clock::now() }));
            }
        });
    });
    events::tell(
        context.store,
        node,
        Level::Normal,
        "NodeNotReady",
        &format!("Node {name} status is now: NodeNotReady"),
        "node-controller",
    );
    for pod in context.store.list("Pod", None).iter().filter(|pod| text(pod, "/spec/nodeName") == name && pods::is_ready(pod)) {
        context.update(pod, |pod| set_condition(pod, "Ready", "False", "", ""));
        events::tell(context.store, pod, Level::Warning, "NodeNotReady", "Node is not ready", "node-controller");
    }
}

/// Deletes the pods that do not bear a `NoExecute` taint (any longer).
fn evict(context: &Context<'_>, node: &Value) {
    let name = text(node, "/metadata/name");
    for taint in list(node, "/spec/taints").iter().filter(|taint| taint["effect"] == "NoExecute") {
        for pod in context.store.list("Pod", None).iter().filter(|pod| text(pod, "/spec/nodeName") == name) {
            let borne = taint::tolerates(pod, taint);
            if text(taint, "/key") == OUT_OF_SERVICE && borne.is_none() && !holds(node, "Ready") {
                // The operator vouches that the node is off: its pods are let go without a kubelet's word.
                pods::delete(context.store, pod, Some(0));
                continue;
            }
            if pods::is_terminating(pod) {
                continue;
            }
            let since = clock::since(&taint["timeAdded"]);
            let limit = match borne {
                None => Duration::ZERO,
                Some(toleration) => match number(toleration, "/tolerationSeconds") {
                    None => continue,
                    Some(seconds) => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
                },
            };
            if since < limit {
                context.look_again(limit.saturating_sub(since));
                continue;
            }
            let words = format!("Marking for deletion Pod {}/{}", text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
            events::tell(context.store, pod, Level::Normal, "TaintManagerEviction", &words, "taint-eviction-controller");
            pods::delete(context.store, pod, None);
        }
    }
}

fn taints(node: &mut Value, change: impl FnOnce(&mut Vec<Value>)) {
    let mut taints = list(node, "/spec/taints").to_vec();
    change(&mut taints);
    json::set(node, "/spec/taints", taints.into());
}
