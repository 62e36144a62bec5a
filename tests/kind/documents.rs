//! Every document that has features holds, as it does on this machine.

use crate::{
    cluster::{Cluster, report},
    report::outcomes,
};

pub(crate) fn hold(cluster: &Cluster) {
    let output = cluster.run(&["mcp", "agentsmith", "--format", "json"]).output().expect("the program");
    let report = report(&output);
    let outcomes = outcomes(&report);
    for (guarantee, scenarios) in &outcomes {
        for (outcome, words) in scenarios {
            // Storage whose volumes belong to root is what kind has not.
            let is_known = outcome == "unsupported" && words.contains("root-owned-volumes");
            assert!(outcome == "passed" || is_known, "{guarantee} {outcome}: {words}");
        }
        assert!(scenarios.iter().any(|(outcome, _)| outcome == "passed"), "{guarantee} is not proven at all on kind");
    }
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(outcomes.len(), 28, "{:?}", outcomes.keys());
    assert_eq!(report["run"]["target"], "kind");
    let (scenarios, seconds) = (outcomes.values().flatten().count(), report["run"]["took_ms"].as_f64().unwrap_or_default() / 1000.0);
    println!("{scenarios} scenarios in {seconds:.0} s");
    assert_eq!((cluster.left().as_str(), cluster.journals().len()), ("", 0));
}
