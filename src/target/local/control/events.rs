//! Events in the words of Kubernetes, counted where they repeat.

use super::{
    clock,
    json::{self, text},
    store::Store,
};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// At most so many are kept; the oldest go first.
const MOST: usize = 2000;

/// Whether an event tells of the usual or of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// `Normal`.
    Normal,
    /// `Warning`.
    Warning,
}

/// Writes an event about `object`, said by `source`.
pub(super) fn tell(store: &Store, object: &Value, level: Level, reason: &str, message: &str, source: &str) {
    let level = if level == Level::Normal { "Normal" } else { "Warning" };
    // Objects without a namespace are told of in `default`.
    let namespace = Some(text(object, "/metadata/namespace")).filter(|namespace| !namespace.is_empty()).unwrap_or("default");
    let uid = &object["metadata"]["uid"];
    let events = store.list("Event", Some(namespace));
    let same =
        events.iter().find(|event| event["involvedObject"]["uid"] == *uid && event["reason"] == reason && event["message"] == message);
    if let Some(event) = same {
        store.update(&json::key(event), |event| {
            event["count"] = json!(json::number(event, "/count").unwrap_or(1) + 1);
            event["lastTimestamp"] = clock::now();
        });
        return;
    }
    if events.len() >= MOST
        && let Some(oldest) = events.iter().min_by_key(|event| text(event, "/lastTimestamp").to_owned())
    {
        store.remove(&json::key(oldest));
    }
    let now = clock::now();
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        // Named by their time, as the API's own clients do: in the order of names they are in the order of time.
        "metadata": { "namespace": namespace, "name": format!("{}.{nanoseconds:x}", text(object, "/metadata/name")) },
        "involvedObject": { "apiVersion": object["apiVersion"], "kind": object["kind"], "name": object["metadata"]["name"],
            "namespace": object["metadata"]["namespace"], "uid": uid },
        "type": level, "reason": reason, "message": message, "count": 1,
        "firstTimestamp": now.clone(), "lastTimestamp": now, "source": { "component": source }
    });
    // Two events about one object never share a nanosecond; were it so, one of them would be missing, which harms nobody.
    drop(store.create(event));
}

/// As [`tell`], but only if the same was not said yet: for what a controller sees again at each look.
pub(super) fn tell_once(store: &Store, object: &Value, level: Level, reason: &str, message: &str, source: &str) {
    let namespace = Some(text(object, "/metadata/namespace")).filter(|namespace| !namespace.is_empty()).unwrap_or("default");
    let uid = &object["metadata"]["uid"];
    let said =
        |event: &std::sync::Arc<Value>| event["involvedObject"]["uid"] == *uid && event["reason"] == reason && event["message"] == message;
    if !store.list("Event", Some(namespace)).iter().any(said) {
        tell(store, object, level, reason, message, source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_is_counted() {
        let store = Store::new();
        let pod = json!({ "kind": "Pod", "metadata": { "namespace": "n", "name": "a", "uid": "1" } });
        tell(&store, &pod, Level::Warning, "BackOff", "Back-off", "kubelet");
        tell(&store, &pod, Level::Warning, "BackOff", "Back-off", "kubelet");
        tell_once(&store, &pod, Level::Warning, "BackOff", "Back-off", "kubelet");
        let events = store.list("Event", Some("n"));
        assert_eq!((events.len(), &events[0]["count"]), (1, &json!(2)));
    }

    #[test]
    fn events_about_an_object_are_listed_in_the_order_in_which_they_were_told() {
        let store = Store::new();
        let pod = json!({ "kind": "Pod", "metadata": { "namespace": "n", "name": "a", "uid": "1" } });
        let reasons = ["Scheduled", "Pulled", "Created", "Started", "Killing"];
        for reason in reasons {
            tell(&store, &pod, Level::Normal, reason, "", "kubelet");
        }
        let told: Vec<String> = store.list("Event", Some("n")).iter().map(|event| text(event, "/reason").to_owned()).collect();
        assert_eq!(told, reasons);
    }
}
