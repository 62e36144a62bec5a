//! Pods, Services and names: who reaches whom, and what is refused.

use crate::scene::{SERVICE, exec, log, ping, pong, redis, script, service};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use redis_conformance::target::local::runtime::{ContainerSpec, Names, Network, Sandbox, ServiceRule};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

crate::tests![
    a_pod_answers_another_pod,
    a_cluster_ip_is_balanced_and_refuses_without_endpoints,
    an_established_connection_outlives_its_endpoint_leaving,
    a_pod_reaches_itself_through_its_service,
    a_client_may_stay_with_one_endpoint,
    a_service_may_be_of_datagrams,
    names_are_resolved_with_search_domains,
    addresses_are_given_once,
    an_unplugged_pod_is_silent,
];

async fn a_pod_answers_another_pod() -> Result<()> {
    let network = Network::new("pair").await?;
    let server = Sandbox::create(&network, "server", None).await?;
    let client = Sandbox::create(&network, "client", None).await?;
    let begun = Instant::now();
    let running = redis(&server, "server").await?;
    let to = SocketAddr::from((server.address(), 6379));
    pong(Some(&client), &network, to).await?;
    pong(None, &network, to).await?;
    ensure!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    running.signal(Signal::SIGTERM)?;
    ensure!(running.wait().await.code == 0, "redis ends in order: {}", log("server"));
    running.remove().await?;
    client.remove().await?;
    server.remove().await?;
    Ok(())
}

async fn a_cluster_ip_is_balanced_and_refuses_without_endpoints() -> Result<()> {
    let network = Network::new("balance").await?;
    let (one, two) = (Sandbox::create(&network, "one", None).await?, Sandbox::create(&network, "two", None).await?);
    let client = Sandbox::create(&network, "client", None).await?;
    let (first, second) = (redis(&one, "one").await?, redis(&two, "two").await?);
    for sandbox in [&one, &two] {
        pong(None, &network, (sandbox.address(), 6379).into()).await?;
    }
    let to = SocketAddr::from((SERVICE, 80));
    for empty in [vec![], vec![service(&[])]] {
        network.set_services(&empty).await?;
        for refused in [client.dial(to).await, network.dial(to).await] {
            let kind = refused.err().map(|error| error.kind());
            ensure!(kind == Some(std::io::ErrorKind::ConnectionRefused), "{kind:?}");
        }
    }
    network.set_services(&[service(&[&one, &two])]).await?;
    for _ in 0..40 {
        ping(client.dial(to).await?).await?;
        ping(network.dial(to).await?).await?;
    }
    for running in [&first, &second] {
        let info = exec(running, &["redis-cli", "info", "stats"]).await?;
        let count: u32 = info
            .lines()
            .find_map(|line| line.strip_prefix("total_connections_received:"))
            .and_then(|count| count.trim().parse().ok())
            .context("redis counts connections")?;
        ensure!(count > 10, "only {count} of 80 connections");
    }
    for running in [first, second] {
        running.remove().await?;
    }
    Ok(())
}

async fn an_established_connection_outlives_its_endpoint_leaving() -> Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let network = Network::new("leave").await?;
    let (server, client) = (Sandbox::create(&network, "server", None).await?, Sandbox::create(&network, "client", None).await?);
    let running = redis(&server, "leaving").await?;
    pong(None, &network, (server.address(), 6379).into()).await?;
    network.set_services(&[service(&[&server])]).await?;
    let mut stream = client.dial((SERVICE, 80).into()).await?;
    network.set_services(&[service(&[])]).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 7];
    tokio::time::timeout(Duration::from_secs(2), stream.read_exact(&mut answer)).await??;
    ensure!(client.dial((SERVICE, 80).into()).await.is_err(), "new connections are refused");
    running.remove().await?;
    Ok(())
}

async fn a_pod_reaches_itself_through_its_service() -> Result<()> {
    let network = Network::new("self").await?;
    let server = Sandbox::create(&network, "server", None).await?;
    let running = redis(&server, "self").await?;
    network.set_services(&[service(&[&server])]).await?;
    pong(Some(&server), &network, (SERVICE, 80).into()).await?;
    running.remove().await?;
    Ok(())
}

async fn a_client_may_stay_with_one_endpoint() -> Result<()> {
    let network = Network::new("affinity").await?;
    let (one, two) = (Sandbox::create(&network, "one", None).await?, Sandbox::create(&network, "two", None).await?);
    let client = Sandbox::create(&network, "client", None).await?;
    let servers = [redis(&one, "one").await?, redis(&two, "two").await?];
    for sandbox in [&one, &two] {
        pong(None, &network, (sandbox.address(), 6379).into()).await?;
    }
    network.set_services(&[ServiceRule { client_affinity: true, ..service(&[&one, &two]) }]).await?;
    for _ in 0..20 {
        ping(client.dial((SERVICE, 80).into()).await?).await?;
    }
    let mut counts = Vec::new();
    for server in &servers {
        let stats = exec(server, &["redis-cli", "info", "stats"]).await?;
        let count = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:")).context("redis counts")?;
        counts.push(count.trim().parse::<u32>()?);
    }
    counts.sort_unstable();
    ensure!(counts[0] <= 2 && counts[1] >= 20, "{counts:?}");
    for server in servers {
        server.remove().await?;
    }
    Ok(())
}

async fn a_service_may_be_of_datagrams() -> Result<()> {
    let network = Network::new("datagrams").await?;
    let pod = Sandbox::create(&network, "asker", None).await?;
    let mut names = Names::default();
    names.addresses.insert("known.example".into(), vec![SERVICE]);
    network.set_names(names);
    let rule =
        ServiceRule { address: Some(SERVICE), port: 53, udp: true, endpoints: vec![(Network::RESOLVER, 53)], ..ServiceRule::default() };
    network.set_services(&[rule]).await?;
    let through = |spec: &mut ContainerSpec| {
        spec.root.files.insert("/etc/resolv.conf".into(), (format!("nameserver {SERVICE}\n").into_bytes(), 0o644, 0, 0));
    };
    let said = script(&pod, "datagrams", "getent ahostsv4 known.example | head -1", through).await?;
    ensure!(said.starts_with("10.96.7.7"), "{said}");
    network.set_services(&[]).await?;
    let begun = Instant::now();
    let said = script(&pod, "refused", "getent hosts known.example || echo refused", through).await?;
    ensure!(said == "refused\n" && begun.elapsed() < Duration::from_secs(2), "{said} after {:?}", begun.elapsed());
    Ok(())
}

async fn names_are_resolved_with_search_domains() -> Result<()> {
    let network = Network::new("names").await?;
    let pod = Sandbox::create(&network, "asker", None).await?;
    let mut names = Names::default();
    names.addresses.insert("redis.shop.svc.cluster.local".into(), vec![SERVICE]);
    names.addresses.insert("redis.other.svc.cluster.local".into(), vec![Ipv4Addr::new(10, 96, 7, 8)]);
    network.set_names(names);
    let ask = "getent ahostsv4 redis | head -1; getent ahostsv4 redis.other | head -1; getent ahosts redis.other.svc.cluster.local | head -1; getent hosts nobody || echo unknown";
    let said = script(&pod, "asker", ask, |_| ()).await?;
    let addresses: Vec<_> = said.lines().filter_map(|line| line.split_whitespace().next()).collect();
    ensure!(addresses == ["10.96.7.7", "10.96.7.8", "10.96.7.8", "unknown"], "{said}");
    Ok(())
}

async fn addresses_are_given_once() -> Result<()> {
    let network = Network::new("addresses").await?;
    let wanted = Ipv4Addr::new(10, 244, 3, 9);
    let first = Sandbox::create(&network, "first", Some(wanted)).await?;
    ensure!(first.address() == wanted);
    ensure!(Sandbox::create(&network, "second", Some(wanted)).await.is_err(), "an address has one pod");
    first.remove().await?;
    first.remove().await?;
    let again = Sandbox::create(&network, "again", Some(wanted)).await?;
    let other = Sandbox::create(&network, "other", None).await?;
    let running = redis(&again, "again").await?;
    pong(Some(&other), &network, (wanted, 6379).into()).await?;
    running.remove().await?;
    Ok(())
}

async fn an_unplugged_pod_is_silent() -> Result<()> {
    use tokio::io::AsyncReadExt;
    let network = Network::new("unplug").await?;
    let (server, client) = (Sandbox::create(&network, "server", None).await?, Sandbox::create(&network, "client", None).await?);
    let running = redis(&server, "unplugged").await?;
    let to = SocketAddr::from((server.address(), 6379));
    pong(None, &network, to).await?;
    let mut stream = client.dial(to).await?;
    server.unplug().await?;
    running.remove().await?;
    let silent = tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await;
    ensure!(silent.is_err(), "something was heard: {silent:?}");
    server.remove().await?;
    Ok(())
}
