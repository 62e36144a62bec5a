//! Runs that are killed by SIGKILL in the middle of a fault: what they broke is mended by `clean`, and a run beside them is not disturbed.

use crate::cluster::{Cluster, until};
use std::{
    fs::{self, File},
    time::Duration,
};

/// A fault, the scenario that does it, and by what one sees from outside that it is being done.
struct Fault {
    tags: &'static str,
    seen: Seen,
    /// What `clean` says of it.
    mended: &'static str,
}

enum Seen {
    /// The journal owes this.
    Journal(&'static str),
    /// The evidence tells of this verb.
    Verb(&'static str),
}

const FAULTS: &[Fault] = &[
    Fault { tags: "@MCP-P5 and @long", seen: Seen::Journal("start-nodes"), mended: "started again" },
    Fault { tags: "@MCP-P5 and @disruptive and not @long", seen: Seen::Journal("uncordon"), mended: "takes pods again" },
    Fault { tags: "@MCP-P8", seen: Seen::Journal("start-nodes"), mended: "started again" },
    Fault { tags: "@MCP-P13", seen: Seen::Journal("default-class"), mended: "is again the default" },
    Fault { tags: "@BUS-7 and @long", seen: Seen::Verb("freeze"), mended: "is deleted" },
];

pub(crate) fn during_each_fault(cluster: &Cluster) {
    for fault in FAULTS {
        killed(cluster, fault);
    }
}

fn killed(cluster: &Cluster, fault: &Fault) {
    let Fault { tags, seen, mended } = fault;
    let told = cluster.folder.path().join("killed.txt");
    let words = File::create(&told).expect("a file");
    let mut run = cluster.run(&["mcp", "agentsmith", "--tags", tags]);
    let mut run = run.stdout(words.try_clone().expect("a descriptor")).stderr(words).spawn().expect("the program");
    until(Duration::from_secs(240), &format!("the fault of {tags}"), || {
        let ended = run.try_wait().expect("a child");
        assert!(ended.is_none(), "the run of {tags} ended before its fault was seen: {}", fs::read_to_string(&told).unwrap_or_default());
        match seen {
            Seen::Journal(word) => cluster.journals().iter().any(|journal| journal.contains(word)),
            Seen::Verb(verb) => timelines(cluster).iter().any(|timeline| timeline.contains(&format!("\"verb\":\"{verb}\""))),
        }
    });
    // A second program beside the first one mends nothing of it.
    let beside = cluster.program(&["clean"]).output().expect("the program");
    assert_eq!(String::from_utf8_lossy(&beside.stdout), "nothing was left behind\n", "{tags}");
    assert!(run.try_wait().expect("a child").is_none(), "the run of {tags} ended before it could be killed");
    run.kill().expect("killed");
    run.wait().expect("ended");
    assert_eq!(cluster.journals().len(), 1, "{tags}");
    let clean = cluster.program(&["clean"]).output().expect("the program");
    let words = String::from_utf8_lossy(&clean.stdout);
    assert!(clean.status.success() && words.contains(mended), "{tags}: {words}{}", String::from_utf8_lossy(&clean.stderr));
    assert_eq!((cluster.stopped().len(), cluster.journals().len()), (0, 0), "{tags}: {words}");
    let nodes = cluster.objects(&["nodes"]);
    assert!(nodes.len() == 6 && nodes.iter().all(|node| node["spec"]["unschedulable"].is_null()), "{tags}: {nodes:?}");
    let classes = cluster.objects(&["storageclasses"]);
    let defaults = classes.iter().filter(|class| class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true");
    assert_eq!(defaults.count(), 1, "{tags}: {classes:?}");
    // The next run needs every node, and one that was lost gives its pods up only when it is there again.
    until(Duration::from_secs(240), &format!("what the killed run of {tags} made to be gone"), || cluster.left().is_empty());
    println!("killed during {tags}: {}", words.trim_end().replace('\n', "; "));
}

/// The timelines of the newest run.
fn timelines(cluster: &Cluster) -> Vec<String> {
    let Ok(scenarios) = fs::read_dir(cluster.evidence().join("latest")) else { return Vec::new() };
    scenarios.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("timeline.jsonl")).ok()).collect()
}
