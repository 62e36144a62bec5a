//! Services as packet filter: one table, replaced as a whole in one transaction, so that no packet meets half a change.

use super::ServiceRule;
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{self, Write as _},
    net::Ipv4Addr,
    process::{Command, Stdio},
};

/// ClusterIPs, for packets that no Service takes.
pub(super) const CLUSTER_IPS: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 12);

/// The whole rule set. New connections meet it; those that are established stay with their endpoint, as with kube-proxy.
///
/// * A ClusterIP without endpoints, and one that does not exist, refuses at once.
/// * Endpoints are chosen at random, or by the client's address where it is to stay with one.
/// * A pod that reaches itself through its Service is answered by way of the node, else it would drop its own address as forged.
pub(super) fn rules(services: &[ServiceRule], resolver: Ipv4Addr, node: Ipv4Addr) -> String {
    let mut map = Vec::new();
    let mut chains = String::new();
    let mut selves = BTreeSet::new();
    let mut places = BTreeSet::new();
    for (number, service) in services.iter().enumerate() {
        let Some(address) = service.address else { continue };
        if service.endpoints.is_empty() {
            continue;
        }
        let protocol = if service.udp { "udp" } else { "tcp" };
        // A second rule for the same place would make nft refuse all of them; the first one stands.
        if !places.insert((protocol, address, service.port)) {
            continue;
        }
        map.push(format!("{protocol} . {address} . {} : goto s{number}", service.port));
        selves.extend(service.endpoints.iter().map(|(ip, _)| format!("{ip} . {ip}")));
        let count = service.endpoints.len();
        let _ = writeln!(chains, " chain s{number} {{");
        if let [(ip, port)] = service.endpoints[..] {
            let _ = writeln!(chains, "  meta l4proto {protocol} dnat to {ip}:{port}");
        } else {
            let choice =
                if service.client_affinity { format!("jhash ip saddr mod {count} seed 0x1") } else { format!("numgen random mod {count}") };
            let to: Vec<_> = service.endpoints.iter().enumerate().map(|(n, (ip, port))| format!("{n} : {ip} . {port}")).collect();
            let _ = writeln!(chains, "  meta l4proto {protocol} dnat ip to {choice} map {{ {} }}", to.join(", "));
        }
        let _ = writeln!(chains, " }}");
    }
    let dispatch =
        if map.is_empty() { String::new() } else { format!("  meta l4proto . ip daddr . th dport vmap {{ {} }}\n", map.join(", ")) };
    let hairpin = if selves.is_empty() {
        String::new()
    } else {
        let selves: Vec<_> = selves.into_iter().collect();
        format!("  ip saddr . ip daddr {{ {} }} snat to {node}\n", selves.join(", "))
    };
    let (network, prefix) = CLUSTER_IPS;
    // Asking for the state also keeps connection tracking switched on when no Service has endpoints, without which established
    // connections would lose their endpoint.
    let refuse = format!(
        "  ip daddr != {network}/{prefix} accept\n  ip daddr {resolver} accept\n  ct state != new accept\n  meta l4proto tcp reject with tcp reset\n  reject with icmp type port-unreachable\n"
    );
    format!(
        "table ip services\ndelete table ip services\ntable ip services {{\n{chains} chain dispatch {{\n{dispatch} }}\n \
         chain prerouting {{\n  type nat hook prerouting priority -100\n  jump dispatch\n }}\n \
         chain output {{\n  type nat hook output priority -100\n  jump dispatch\n }}\n \
         chain postrouting {{\n  type nat hook postrouting priority 100\n{hairpin} }}\n \
         chain refuse_forwarded {{\n  type filter hook prerouting priority 0\n{refuse} }}\n \
         chain refuse_own {{\n  type filter hook output priority 0\n{refuse} }}\n}}\n"
    )
}

/// Loads rules into the network namespace of this thread; blocks for some milliseconds.
pub(super) fn load(rules: &str) -> io::Result<()> {
    let program = super::facts::nft().ok_or_else(|| io::Error::other("nft is not installed (package nftables)"))?;
    let mut nft = Command::new(program).args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = nft.stdin.take() {
        stdin.write_all(rules.as_bytes())?;
    }
    let output = nft.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("nft refuses the rules: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
    const NODE: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);

    fn service(endpoints: &[(Ipv4Addr, u16)]) -> ServiceRule {
        ServiceRule { address: Some(Ipv4Addr::new(10, 96, 1, 1)), port: 80, endpoints: endpoints.to_vec(), ..ServiceRule::default() }
    }

    #[test]
    fn a_service_without_endpoints_has_no_rule_but_the_refusal() {
        let rules = rules(&[service(&[])], RESOLVER, NODE);
        assert!(!rules.contains("10.96.1.1"), "{rules}");
        assert!(rules.contains("reject with tcp reset"));
    }

    #[test]
    fn several_endpoints_are_chosen_at_random_and_one_directly() {
        let one = (Ipv4Addr::new(10, 244, 0, 2), 6379);
        let two = (Ipv4Addr::new(10, 244, 0, 3), 6379);
        assert!(rules(&[service(&[one])], RESOLVER, NODE).contains("dnat to 10.244.0.2:6379"));
        let several = rules(&[service(&[one, two])], RESOLVER, NODE);
        assert!(several.contains("numgen random mod 2 map { 0 : 10.244.0.2 . 6379, 1 : 10.244.0.3 . 6379 }"), "{several}");
        assert!(several.contains("{ 10.244.0.2 . 10.244.0.2, 10.244.0.3 . 10.244.0.3 }"), "{several}");
    }

    #[test]
    fn of_two_rules_for_one_place_the_first_stands() {
        let first = service(&[(Ipv4Addr::new(10, 244, 0, 2), 1)]);
        let second = service(&[(Ipv4Addr::new(10, 244, 0, 3), 1)]);
        let rules = rules(&[first, second], RESOLVER, NODE);
        assert!(rules.contains("10.244.0.2") && !rules.contains("10.244.0.3"), "{rules}");
    }

    #[test]
    fn a_headless_service_has_no_rule() {
        let headless = ServiceRule { address: None, ..service(&[(Ipv4Addr::new(10, 244, 0, 2), 1)]) };
        assert!(!rules(&[headless], RESOLVER, NODE).contains("dnat"));
    }
}
