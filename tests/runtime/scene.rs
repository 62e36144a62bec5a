//! Containers, logs and questions to Redis, as the tests of the runtime need them.

use anyhow::{Result, ensure};
use redis_conformance::{
    target::local::{
        node,
        runtime::{ContainerSpec, Network, Root, Running, Sandbox, ServiceRule},
    },
    wait::{Look, TimedOut, Until},
};
use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// The address of the Service under test.
pub(crate) const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 7, 7);

/// A container of this command as root in an image with `/data`.
pub(crate) fn container(name: &str, command: &[&str]) -> ContainerSpec {
    let resolver =
        format!("search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver {}\noptions ndots:5\n", Network::RESOLVER);
    let mut programs = BTreeMap::new();
    if let Ok(redis) = which::which("redis-server") {
        programs.insert("redis-server".to_owned(), redis);
    }
    ContainerSpec {
        name: name.into(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        environment: vec![("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into())],
        directory: "/data".into(),
        user: (0, 0, Vec::new()),
        capabilities: (Vec::new(), Vec::new()),
        no_new_privileges: false,
        root: Root {
            programs,
            files: [(PathBuf::from("/etc/resolv.conf"), (resolver.into_bytes(), 0o644, 0, 0))].into(),
            directories: [(PathBuf::from("/data"), (0o777, 0, 0))].into(),
            read_only: false,
        },
        mounts: Vec::new(),
        memory: None,
        log: node::run_directory().join("logs").join(format!("{name}.log")),
    }
}

pub(crate) fn log(name: &str) -> String {
    fs::read_to_string(node::run_directory().join("logs").join(format!("{name}.log"))).unwrap_or_default()
}

/// Runs a shell script in a new container and gives its log.
pub(crate) async fn script(sandbox: &Sandbox, name: &str, text: &str, change: impl FnOnce(&mut ContainerSpec)) -> Result<String> {
    let mut spec = container(name, &["sh", "-c", text]);
    change(&mut spec);
    let running = sandbox.start(spec).await?;
    let exit = running.wait().await;
    running.remove().await?;
    let said = log(name);
    ensure!(exit.code == 0, "exit code {} after: {said}", exit.code);
    Ok(said)
}

pub(crate) async fn exec(running: &Running, command: &[&str]) -> Result<String> {
    let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    let output = running.exec(&command, &[], &[], None).await?;
    ensure!(output.code == 0, "{command:?} ended with {}: {}", output.code, String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Asks until Redis at the address says PONG; from the sandbox, or from the node.
pub(crate) async fn pong(from: Option<&Sandbox>, network: &Network, to: SocketAddr) -> Result<()> {
    Until::within(Duration::from_secs(10))
        .every(Duration::from_millis(2))
        .met(format!("a PONG of {to}"), || async {
            let asked = async {
                let stream = match from {
                    Some(sandbox) => sandbox.dial(to).await?,
                    None => network.dial(to).await?,
                };
                ping(stream).await
            };
            Ok::<_, TimedOut>(match asked.await {
                Ok(()) => Look::Ready(()),
                Err(error) => Look::NotYet(error.to_string()),
            })
        })
        .await?;
    Ok(())
}

pub(crate) async fn ping(mut stream: tokio::net::TcpStream) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await?;
    if &answer == b"+PONG\r\n" { Ok(()) } else { Err(std::io::Error::other(String::from_utf8_lossy(&answer).into_owned())) }
}

pub(crate) async fn redis(sandbox: &Sandbox, name: &str) -> Result<Running> {
    Ok(sandbox.start(container(name, &["redis-server", "--protected-mode", "no", "--save", ""])).await?)
}

pub(crate) fn service(endpoints: &[&Sandbox]) -> ServiceRule {
    ServiceRule {
        address: Some(SERVICE),
        port: 80,
        endpoints: endpoints.iter().map(|sandbox| (sandbox.address(), 6379)).collect(),
        ..ServiceRule::default()
    }
}
