//! Who a container's process is, from the pod's and its own security context and the image's user.

use super::super::json::{list, number, text};
use serde_json::Value;

/// Uid, gid and further groups.
pub(super) type User = (u32, u32, Vec<u32>);

/// The user of a container; the error is the kubelet's refusal to make it.
pub(super) fn user(pod: &Value, container: &Value, image: (u32, u32), passwd: Option<&str>) -> Result<User, String> {
    let id = |name: &str| {
        let field = format!("/securityContext/{name}");
        let found = number(container, &field).or_else(|| number(&pod["spec"], &field));
        found.and_then(|id| u32::try_from(id).ok())
    };
    let asked = id("runAsUser");
    let non_root =
        container["securityContext"].get("runAsNonRoot").or(pod["spec"]["securityContext"].get("runAsNonRoot")) == Some(&Value::Bool(true));
    let who = || {
        let pod = format!("{}_{}({})", text(pod, "/metadata/name"), text(pod, "/metadata/namespace"), text(pod, "/metadata/uid"));
        format!("(pod: {pod:?}, container: {})", text(container, "/name"))
    };
    match asked {
        Some(0) if non_root => return Err(format!("container's runAsUser breaks non-root policy {}", who())),
        None if non_root && image.0 == 0 => return Err(format!("container has runAsNonRoot and image will run as root {}", who())),
        _ => {}
    }
    let uid = asked.unwrap_or(image.0);
    let group = id("runAsGroup").unwrap_or_else(|| match asked {
        None => image.1,
        // As container engines: the group that the image's own list has for the user.
        Some(uid) => passwd.and_then(|passwd| group_of(passwd, uid)).unwrap_or(0),
    });
    let mut groups: Vec<u32> =
        list(&pod["spec"], "/securityContext/supplementalGroups").iter().filter_map(|group| u32::try_from(group.as_i64()?).ok()).collect();
    groups.extend(fs_group(pod));
    groups.sort_unstable();
    groups.dedup();
    Ok((uid, group, groups))
}

/// `fsGroup`.
pub(super) fn fs_group(pod: &Value) -> Option<u32> {
    number(pod, "/spec/securityContext/fsGroup").and_then(|group| u32::try_from(group).ok())
}

/// Capabilities dropped and added.
pub(super) fn capabilities(container: &Value) -> (Vec<String>, Vec<String>) {
    let names = |field: &str| {
        let list = list(container, &format!("/securityContext/capabilities/{field}"));
        list.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    (names("drop"), names("add"))
}

fn group_of(passwd: &str, uid: u32) -> Option<u32> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(uid)).then(|| fields.get(3)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nredis:x:999:1000::/:/bin/sh\n";

    #[rstest]
    #[case::images(json!({}), json!({}), Ok((0, 0, vec![])))]
    #[case::pods(json!({ "runAsUser": 999 }), json!({}), Ok((999, 1000, vec![])))]
    #[case::containers_own(json!({ "runAsUser": 999, "runAsGroup": 5 }), json!({ "runAsUser": 1001 }), Ok((1001, 5, vec![])))]
    #[case::unknown_to_the_image(json!({ "runAsUser": 1001 }), json!({}), Ok((1001, 0, vec![])))]
    #[case::groups(json!({ "fsGroup": 999, "supplementalGroups": [7, 999] }), json!({}), Ok((0, 0, vec![7, 999])))]
    #[case::root_image(json!({ "runAsNonRoot": true }), json!({}), Err("container has runAsNonRoot and image will run as root (pod: \"p_n(1)\", container: c)".to_owned()))]
    #[case::root_asked(json!({ "runAsNonRoot": true }), json!({ "runAsUser": 0 }), Err("container's runAsUser breaks non-root policy (pod: \"p_n(1)\", container: c)".to_owned()))]
    #[case::allowed_again(json!({ "runAsNonRoot": true }), json!({ "runAsNonRoot": false }), Ok((0, 0, vec![])))]
    fn the_nearer_context_wins(#[case] of_pod: Value, #[case] own: Value, #[case] expected: Result<User, String>) {
        let pod = json!({ "metadata": { "name": "p", "namespace": "n", "uid": "1" }, "spec": { "securityContext": of_pod } });
        assert_eq!(user(&pod, &json!({ "name": "c", "securityContext": own }), (0, 0), Some(PASSWD)), expected);
    }
}
