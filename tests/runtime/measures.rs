//! How long things take, printed on request (`--ignored`): nothing here is asserted.

use crate::scene::{container, exec, ping, pong, redis, service};
use anyhow::Result;
use nix::sys::signal::Signal;
use redis_conformance::{
    target::local::runtime::{Network, Sandbox, facts},
    wait::{Look, TimedOut, Until},
};
use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

crate::tests![how_long_a_pod_takes];

async fn how_long_a_pod_takes() -> Result<()> {
    let network = Network::new("times").await?;
    let network = &network;
    let _ = facts();
    measure("network", async |_| {
        let begun = Instant::now();
        Network::new("measured").await?;
        Ok(begun.elapsed())
    })
    .await?;
    measure("sandbox", async |_| {
        let begun = Instant::now();
        let pod = Sandbox::create(network, "pod", None).await?;
        let took = begun.elapsed();
        pod.remove().await?;
        Ok(took)
    })
    .await?;
    measure("sandbox removed", async |_| {
        let pod = Sandbox::create(network, "pod", None).await?;
        let begun = Instant::now();
        pod.remove().await?;
        Ok(begun.elapsed())
    })
    .await?;
    let pod = &Sandbox::create(network, "host", None).await?;
    measure("container started", async |_| {
        let begun = Instant::now();
        let running = pod.start(container("short", &["sleep", "60"])).await?;
        let took = begun.elapsed();
        running.remove().await?;
        Ok(took)
    })
    .await?;
    measure("container killed and waited for", async |_| {
        let running = pod.start(container("short", &["sleep", "60"])).await?;
        let begun = Instant::now();
        running.signal(Signal::SIGKILL)?;
        running.wait().await;
        let took = begun.elapsed();
        running.remove().await?;
        Ok(took)
    })
    .await?;
    measure("container killed and removed", async |_| {
        let running = pod.start(container("short", &["sleep", "60"])).await?;
        let begun = Instant::now();
        running.remove().await?;
        Ok(begun.elapsed())
    })
    .await?;
    measure("Services replaced", async |_| {
        let begun = Instant::now();
        network.set_services(&[service(&[pod])]).await?;
        Ok(begun.elapsed())
    })
    .await?;
    let host = &pod.start(container("host", &["sleep", "600"])).await?;
    measure("command in a container", async |_| {
        let begun = Instant::now();
        exec(host, &["true"]).await?;
        Ok(begun.elapsed())
    })
    .await?;
    measure("freeze", async |_| {
        let begun = Instant::now();
        host.freeze().await?;
        let took = begun.elapsed();
        host.thaw().await?;
        Ok(took)
    })
    .await?;
    measure("bare Redis, start to PONG", async |number| {
        let port = 20_000 + u16::try_from(number)?;
        let begun = Instant::now();
        let mut child = tokio::process::Command::new("redis-server")
            .args(["--port", &port.to_string(), "--save", "", "--bind", "127.0.0.1"])
            .stdout(std::process::Stdio::null())
            .spawn()?;
        bare_pong((Ipv4Addr::LOCALHOST, port).into()).await?;
        let took = begun.elapsed();
        child.kill().await?;
        Ok(took)
    })
    .await?;
    measure("Redis in a new pod, start to PONG from the node", async |_| {
        let begun = Instant::now();
        let pod = Sandbox::create(network, "redis", None).await?;
        let running = redis(&pod, "measured").await?;
        pong(None, network, (pod.address(), 6379).into()).await?;
        let took = begun.elapsed();
        running.remove().await?;
        pod.remove().await?;
        Ok(took)
    })
    .await?;
    measure("20 of them at once, all", async |_| {
        let begun = Instant::now();
        let started = futures::future::try_join_all((0..20).map(async |number| {
            let pod = Sandbox::create(network, "redis", None).await?;
            let running = redis(&pod, &format!("measured-{number}")).await?;
            pong(None, network, (pod.address(), 6379).into()).await?;
            anyhow::Ok((pod, running))
        }))
        .await?;
        let took = begun.elapsed();
        for (pod, running) in started {
            running.remove().await?;
            pod.remove().await?;
        }
        Ok(took)
    })
    .await?;
    host.remove().await?;
    Ok(())
}

/// Prints the median and the 95th percentile of what `once` measures, twenty times.
async fn measure<F: Future<Output = Result<Duration>>>(what: &str, mut once: impl FnMut(usize) -> F) -> Result<()> {
    let mut times = Vec::new();
    for number in 0..20 {
        times.push(once(number).await?);
    }
    times.sort();
    println!("  {what:<50} p50 {:>9.2?}  p95 {:>9.2?}", times[9], times[18]);
    Ok(())
}

/// Asks a Redis outside all sandboxes, on the node's own loopback, until it says PONG.
async fn bare_pong(to: SocketAddr) -> Result<()> {
    Until::within(Duration::from_secs(10))
        .every(Duration::from_millis(2))
        .met(format!("a PONG of {to}"), || async {
            let asked = async { ping(tokio::net::TcpStream::connect(to).await?).await };
            Ok::<_, TimedOut>(match asked.await {
                Ok(()) => Look::Ready(()),
                Err(error) => Look::NotYet(error.to_string()),
            })
        })
        .await?;
    Ok(())
}
