//! Random changes to good manifests: whatever the bytes, there is a set or an error, and never a panic.

use redis_conformance::manifest::{ManifestSet, Roles};
use std::path::Path;

const SEEDS: &[&str] = &[
    "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: redis\n  labels: &l {app: redis}\nspec:\n  replicas: 3\n  selector: {matchLabels: *l}\n  template:\n    metadata: {labels: {<<: *l, extra: \"yes\"}}\n    spec:\n      initContainers:\n      - name: conf\n        image: redis:7\n        command: [sh, -c]\n        args:\n        - |\n          cat > /etc/redis.conf <<EOF\n          requirepass ${PASSWORD:-x}\n          EOF\n          echo \"sentinel monitor m $(hostname) 6379 2\" >> /etc/s.conf\n          sed -i \"s/a/b/\" /etc/redis.conf; A=(\"--x\" 1); exec redis-server \"${A[@]}\"\n        volumeMounts: [{name: etc, mountPath: /etc}]\n      containers:\n      - name: redis\n        image: redis:7-alpine\n        args: [\"/etc/redis.conf\", --save, '', --maxmemory, 256mb, --requirepass, $(PASSWORD)]\n        env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: s, key: p}}}]\n        ports: [{containerPort: 6379, name: redis}]\n        resources: {limits: {memory: 1.5Gi, cpu: 250m}}\n        livenessProbe: {exec: {command: [redis-cli, ping]}}\n        volumeMounts: [{name: etc, mountPath: /etc, subPath: x}, {name: conf, mountPath: /c}]\n      volumes: [{name: etc, emptyDir: {}}, {name: conf, configMap: {name: conf, defaultMode: 0400}}]\n",
    "---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: s}\n  data: {p: c2VjcmV0}\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: conf}\n  data:\n    redis.conf: >-\n      dir /data\n\n      include /c/redis.conf\n    k: !!str 12\n---\n# nothing\n--- !!map\napiVersion: v1\nkind: Service\nmetadata: {name: redis}\nspec: {selector: {app: redis}, ports: [{port: 6379, targetPort: redis}]}\n...\n",
    "{\"apiVersion\": \"networking.k8s.io/v1\", \"kind\": \"NetworkPolicy\", \"metadata\": {\"name\": \"p\\u00e9\"},\n\t\"spec\": {\"podSelector\": {}, \"ingress\": [{\"from\": [{\"podSelector\": {\"matchLabels\": {\"a\": \"b\"}}}], \"ports\": [{\"port\": 6379}]}]}}",
];

/// A small generator, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap_or_default()
    }
}

fn mutated(seed: &str, dice: &mut Dice) -> String {
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "\n",
        "\t",
        "&a ",
        "*a",
        "<<: ",
        "|",
        ">-",
        "\"",
        "'",
        "!!int ",
        "---\n",
        "#",
        "$(",
        "${",
        "\u{0}",
        "\u{feff}",
        "é",
        "\\",
        "?",
        "%",
        "null",
        "yes",
        "99999999999999999999",
        "-1",
        "\r\n",
        "  ",
        "((",
        "<<EOF",
    ];
    let mut bytes = seed.as_bytes().to_vec();
    for _ in 0..=dice.below(6) {
        let at = dice.below(bytes.len());
        let to = (at + dice.below(40)).min(bytes.len());
        match dice.below(5) {
            0 => drop(bytes.drain(at..to)),
            1 => {
                let copy = bytes[at..to].to_vec();
                let target = dice.below(bytes.len());
                bytes.splice(target..target, copy);
            }
            2 => bytes.truncate(to),
            _ => drop(bytes.splice(at..at, PIECES[dice.below(PIECES.len())].bytes())),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn no_change_to_a_manifest_brings_a_panic() {
    let rounds: u64 = std::env::var("MUTATIONS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3000);
    let (mut read, mut refused) = (0, 0);
    for round in 1..=rounds {
        let mut dice = Dice(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let seed = SEEDS[dice.below(SEEDS.len())];
        let text = mutated(seed, &mut dice);
        match ManifestSet::parse(&text, Path::new("a.yaml")) {
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
            Ok(set) => {
                read += 1;
                let _ = Roles::of(&set);
                for object in &set.objects {
                    let _ = object.refusals();
                    let _ = object.hash();
                }
                let written = set.to_yaml().unwrap();
                let again = ManifestSet::parse(&written, "again.yaml").unwrap_or_else(|error| panic!("round {round}: {error}\n{written}"));
                assert_eq!(again.hashes(), set.hashes(), "round {round}:\n{written}");
            }
        }
    }
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused: the changes are too weak or too strong");
}
