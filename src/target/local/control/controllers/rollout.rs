//! The arithmetic of a Deployment's rollout.

use serde_json::Value;

/// The limits of a rolling update for a number of replicas: how many more, how many fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Pods beyond the wanted number.
    pub(super) surge: i64,
    /// Pods that may be missing.
    pub(super) unavailable: i64,
}

impl Limits {
    /// From `maxSurge` (rounded up) and `maxUnavailable` (rounded down); both zero would never move, so one may then be missing.
    pub(super) fn of(replicas: i64, strategy: &Value) -> Self {
        if strategy["type"] == "Recreate" {
            return Self { surge: 0, unavailable: replicas };
        }
        let surge = share(&strategy["rollingUpdate"]["maxSurge"], replicas, true).unwrap_or(1);
        let unavailable = share(&strategy["rollingUpdate"]["maxUnavailable"], replicas, false).unwrap_or(1).min(replicas);
        if surge == 0 && unavailable == 0 { Self { surge, unavailable: 1 } } else { Self { surge, unavailable } }
    }
}

/// A number, or a percentage of `whole`.
pub(super) fn share(value: &Value, whole: i64, up: bool) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => {
            let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
            let product = percent * whole;
            Some(if up { (product + 99).div_euclid(100) } else { product.div_euclid(100) })
        }
        _ => None,
    }
}

/// A ReplicaSet as the arithmetic sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Set {
    /// `spec.replicas`.
    pub(super) wanted: i64,
    /// Available pods.
    pub(super) available: i64,
}

/// How many pods the new set gets, given all pods there are in the old ones.
pub(super) fn new_size(replicas: i64, limits: Limits, new: i64, old: i64) -> i64 {
    if new >= replicas {
        return replicas;
    }
    let room = replicas + limits.surge - (new + old);
    if room <= 0 { new } else { new + room.min(replicas - new) }
}

/// The sizes of the old sets (oldest first) after one step down: the unhealthy go first, then as many as availability leaves.
pub(super) fn old_sizes(replicas: i64, limits: Limits, new: Set, old: &[Set]) -> Vec<i64> {
    let mut sizes: Vec<i64> = old.iter().map(|set| set.wanted).collect();
    let all: i64 = new.wanted + sizes.iter().sum::<i64>();
    let least = replicas - limits.unavailable;
    let mut may_go = all - least - (new.wanted - new.available).max(0);
    if may_go <= 0 {
        return sizes;
    }
    for (size, set) in sizes.iter_mut().zip(old) {
        let unhealthy = (*size - set.available).clamp(0, may_go);
        *size -= unhealthy;
        may_go -= unhealthy;
    }
    let available: i64 = new.available + old.iter().map(|set| set.available).sum::<i64>();
    let mut may_go = available - least;
    for size in &mut sizes {
        let gone = (*size).clamp(0, may_go.max(0));
        *size -= gone;
        may_go -= gone;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(1, json!("25%"), json!("25%"), 1, 0)]
    #[case(3, json!("25%"), json!("25%"), 1, 0)]
    #[case(4, json!("25%"), json!("25%"), 1, 1)]
    #[case(1, json!(0), json!("25%"), 0, 1)]
    #[case(2, json!(0), json!(1), 0, 1)]
    #[case(10, json!("30%"), json!("30%"), 3, 3)]
    fn surge_rounds_up_and_unavailable_rounds_down(
        #[case] replicas: i64,
        #[case] surge: Value,
        #[case] unavailable: Value,
        #[case] more: i64,
        #[case] fewer: i64,
    ) {
        let strategy = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable } });
        assert_eq!(Limits::of(replicas, &strategy), Limits { surge: more, unavailable: fewer });
    }

    #[test]
    fn one_replica_with_a_surge_runs_two_until_the_new_one_is_available() {
        let limits = Limits { surge: 1, unavailable: 0 };
        assert_eq!(new_size(1, limits, 0, 1), 1);
        let old = [Set { wanted: 1, available: 1 }];
        assert_eq!(old_sizes(1, limits, Set { wanted: 1, available: 0 }, &old), [1]);
        assert_eq!(old_sizes(1, limits, Set { wanted: 1, available: 1 }, &old), [0]);
    }

    #[test]
    fn without_a_surge_the_old_pod_goes_first() {
        let limits = Limits { surge: 0, unavailable: 1 };
        assert_eq!(new_size(1, limits, 0, 1), 0);
        assert_eq!(old_sizes(1, limits, Set { wanted: 0, available: 0 }, &[Set { wanted: 1, available: 1 }]), [0]);
    }

    #[test]
    fn unhealthy_pods_of_old_sets_go_first() {
        let limits = Limits { surge: 1, unavailable: 0 };
        let old = [Set { wanted: 2, available: 1 }, Set { wanted: 2, available: 2 }];
        assert_eq!(old_sizes(3, limits, Set { wanted: 0, available: 0 }, &old), [1, 2]);
    }
}
