//! The runtime of the local target, tried from within a node of its own: sandboxes, networks, containers and what is left of them.
//!
//! Has its own `main`, since the node must be entered before any thread exists; it speaks as libtest does.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use redis_conformance::{
    target::local::{
        node,
        runtime::{ContainerSpec, ExecError, Mount, Names, Network, Root, Running, Sandbox, ServiceRule, StartError, facts, storage},
    },
    wait::{Look, TimedOut, Until},
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = Result<()>>>>);

macro_rules! tests {
    ($($name:ident),* $(,)?) => { const TESTS: &[Test] = &[$((stringify!($name), || Box::pin($name()))),*]; };
}

tests![
    a_pod_answers_another_pod,
    a_cluster_ip_is_balanced_and_refuses_without_endpoints,
    an_established_connection_outlives_its_endpoint_leaving,
    a_pod_reaches_itself_through_its_service,
    a_client_may_stay_with_one_endpoint,
    a_service_may_be_of_datagrams,
    names_are_resolved_with_search_domains,
    addresses_are_given_once,
    the_process_is_first_of_its_own_namespaces,
    a_container_runs_under_its_user_and_without_more_rights,
    what_cannot_be_run_is_said,
    the_root_is_an_image_of_its_own,
    a_read_only_root_is_read_only,
    volumes_outlive_containers_and_need_no_mount_point,
    a_volume_may_be_memory,
    an_image_cannot_have_files_among_the_machines_programs,
    links_in_a_container_do_not_lead_out_of_it,
    a_signal_without_a_handler_is_not_noticed_by_the_first_process,
    everything_in_a_container_ends_with_its_first_process,
    a_frozen_container_is_stopped_and_runs_on,
    a_container_in_the_midst_of_starting_children_is_frozen,
    a_command_is_run_with_its_input_and_environment,
    a_command_that_takes_too_long_is_ended_with_its_children,
    an_attached_command_keeps_its_pipes,
    a_container_that_outgrows_its_memory_is_killed,
    a_container_logs_both_streams_in_order,
    an_unplugged_pod_is_silent,
    twenty_pods_start_at_once,
    nothing_is_left_in_the_run_directory,
    pods_and_networks_leave_no_descriptors_and_no_processes,
    the_exit_code_and_arguments_come_through,
    an_interrupted_run_ends_in_order,
    a_second_interrupt_kills,
    a_killed_run_leaves_nothing,
    a_run_whose_keeper_is_killed_leaves_nothing,
    what_a_killed_keeper_left_is_swept_later,
];

fn main() -> ExitCode {
    if let Some(code) = node::dispatch(run) {
        return code;
    }
    match node::enter(std::env::args_os().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(3)
        }
    }
}

/// Measured on request only (`--ignored`): nothing here is asserted.
const MEASURES: &[Test] = &[("how_long_a_pod_takes", || Box::pin(how_long_a_pod_takes()))];

/// As libtest: words are parts of names, `--list` lists, `--ignored` measures, other options are taken and change nothing.
fn run(arguments: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = arguments.into_iter().filter_map(|argument| argument.into_string().ok()).collect();
    match words.first().map(String::as_str) {
        Some("--exit") => return ExitCode::from(words[1].parse::<u8>().unwrap_or(1)),
        Some("--wait") => return wait_for_a_signal(false),
        Some("--stubborn") => return wait_for_a_signal(true),
        _ => {}
    }
    let exact = words.iter().any(|word| word == "--exact");
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let all = if words.iter().any(|word| word == "--ignored") { MEASURES } else { TESTS };
    let chosen: Vec<&Test> = all
        .iter()
        .filter(|(name, _)| {
            filters.is_empty() || filters.iter().any(|filter| if exact { name == filter } else { name.contains(filter.as_str()) })
        })
        .collect();
    if words.iter().any(|word| word == "--list") {
        for (name, _) in &chosen {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let begun = Instant::now();
    let mut failed = Vec::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
    for (name, test) in &chosen {
        let result = runtime.block_on(async {
            match tokio::time::timeout(Duration::from_secs(60), tokio::task::LocalSet::new().run_until(test())).await {
                Ok(result) => result,
                Err(_) => Err(anyhow::anyhow!("not done within 60 s")),
            }
        });
        println!("test {name} ... {}", if result.is_ok() { "ok" } else { "FAILED" });
        if let Err(error) = result {
            failed.push(format!("---- {name} ----\n{error:#}\n"));
        }
    }
    for failure in &failed {
        println!("\n{failure}");
    }
    let (word, passed) = (if failed.is_empty() { "ok" } else { "FAILED" }, chosen.len() - failed.len());
    println!(
        "\ntest result: {word}. {passed} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        failed.len(),
        all.len() - chosen.len(),
        begun.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// What a harness does that is interrupted: it ends in order, or does not. By SIGTERM, since a shell may have started us in the
/// background, where SIGINT is ignored.
fn wait_for_a_signal(stubborn: bool) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let mut asked = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("signals can be had");
        println!("waiting in {}", node::run_directory().display());
        loop {
            asked.recv().await;
            println!("interrupted");
            if !stubborn {
                return ExitCode::from(130);
            }
        }
    })
}

/// A container of this command as root in an image with `/data`.
fn container(name: &str, command: &[&str]) -> ContainerSpec {
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

fn log(name: &str) -> String {
    fs::read_to_string(node::run_directory().join("logs").join(format!("{name}.log"))).unwrap_or_default()
}

/// Runs a shell script in a new container and gives its log.
async fn script(sandbox: &Sandbox, name: &str, text: &str, change: impl FnOnce(&mut ContainerSpec)) -> Result<String> {
    let mut spec = container(name, &["sh", "-c", text]);
    change(&mut spec);
    let running = sandbox.start(spec).await?;
    let exit = running.wait().await;
    running.remove().await?;
    let said = log(name);
    ensure!(exit.code == 0, "exit code {} after: {said}", exit.code);
    Ok(said)
}

async fn exec(running: &Running, command: &[&str]) -> Result<String> {
    let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    let output = running.exec(&command, &[], &[], None).await?;
    ensure!(output.code == 0, "{command:?} ended with {}: {}", output.code, String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Asks until Redis at the address says PONG; from the sandbox, or from the node.
async fn pong(from: Option<&Sandbox>, network: &Network, to: SocketAddr) -> Result<()> {
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

async fn ping(mut stream: tokio::net::TcpStream) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await?;
    if &answer == b"+PONG\r\n" { Ok(()) } else { Err(std::io::Error::other(String::from_utf8_lossy(&answer).into_owned())) }
}

async fn redis(sandbox: &Sandbox, name: &str) -> Result<Running> {
    Ok(sandbox.start(container(name, &["redis-server", "--protected-mode", "no", "--save", ""])).await?)
}

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

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 7, 7);

fn service(endpoints: &[&Sandbox]) -> ServiceRule {
    ServiceRule {
        address: Some(SERVICE),
        port: 80,
        endpoints: endpoints.iter().map(|sandbox| (sandbox.address(), 6379)).collect(),
        ..ServiceRule::default()
    }
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

async fn the_process_is_first_of_its_own_namespaces() -> Result<()> {
    let network = Network::new("first").await?;
    let pod = Sandbox::create(&network, "pod-0", None).await?;
    let said =
        script(&pod, "first", "echo $$; hostname; ls /proc | grep -c '^[0-9]'; ls /sys/class/net; pwd; readlink /proc/self/fd/0", |_| ())
            .await?;
    let lines: Vec<_> = said.lines().collect();
    ensure!(lines[..2] == ["1", "pod-0"] && lines[3..] == ["eth0", "lo", "/data", "/dev/null"], "{said}");
    ensure!(lines[2].parse::<u32>()? <= 4, "{said}");
    Ok(())
}

async fn a_container_runs_under_its_user_and_without_more_rights() -> Result<()> {
    let network = Network::new("user").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let ask = "id -u; id -g; id -G; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; touch /data/mine; echo said > /dev/stdout; \
               touch /proc/sys/vm/swappiness 2>/dev/null && echo writable; echo $HOME";
    let root = script(&pod, "root", ask, |_| ()).await?;
    ensure!(
        root.starts_with("0\n0\n") && root.contains("CapBnd:\t00000000a80425fb") && root.contains("CapEff:\t00000000a80425fb"),
        "{root}"
    );
    ensure!(!root.contains("writable") && root.contains("said") && root.ends_with("/root\n"), "{root}");
    let user = script(&pod, "user", ask, |spec| {
        spec.user = (999, 1000, vec![2000]);
        spec.capabilities = (vec!["ALL".into()], vec![]);
        spec.no_new_privileges = true;
    })
    .await;
    if let Err(reason) = &facts().run_as_user {
        println!("  (no other users here: {reason})");
        ensure!(user.is_err());
        return Ok(());
    }
    let user = user?;
    ensure!(
        user.starts_with("999\n1000\n1000 2000\n") && user.contains("CapBnd:\t0000000000000000") && user.contains("NoNewPrivs:\t1"),
        "{user}"
    );
    ensure!(user.contains("said") && user.ends_with("/home/redis\n"), "{user}");
    Ok(())
}

async fn what_cannot_be_run_is_said() -> Result<()> {
    let network = Network::new("refusals").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let missing = pod.start(container("missing", &["no-such-program"])).await;
    ensure!(
        matches!(&missing, Err(StartError::NotFound(message)) if message.contains("executable file not found in $PATH")),
        "{missing:?}"
    );
    let missing = pod.start(container("missing", &["/no/such"])).await;
    ensure!(matches!(&missing, Err(error @ StartError::NotFound(_)) if error.code() == 127), "{missing:?}");
    let forbidden = pod.start(container("forbidden", &["/etc/passwd"])).await;
    ensure!(matches!(&forbidden, Err(error @ StartError::NotPermitted(_)) if error.code() == 126), "{forbidden:?}");
    let mut nowhere = container("nowhere", &["true"]);
    nowhere.directory = "/etc/passwd".into();
    let nowhere = pod.start(nowhere).await;
    ensure!(matches!(nowhere, Err(StartError::Impossible(_))), "{nowhere:?}");
    let mut lost = container("lost", &["true"]);
    lost.mounts.push(Mount { source: "/no/such/volume".into(), target: "/data".into(), read_only: false });
    let lost = pod.start(lost).await;
    ensure!(matches!(lost, Err(StartError::Failed(_))), "{lost:?}");
    let running = pod.start(container("fine", &["sleep", "60"])).await?;
    let command = ["no-such-program".to_owned()];
    let refused = running.exec(&command, &[], &[], None).await;
    ensure!(matches!(refused, Err(ExecError::NotFound(_))), "{refused:?}");
    running.remove().await?;
    let late = running.exec(&command, &[], &[], None).await;
    ensure!(matches!(late, Err(ExecError::NotRunning)), "{late:?}");
    Ok(())
}

async fn the_root_is_an_image_of_its_own() -> Result<()> {
    let network = Network::new("root").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let ask = "cat /etc/passwd | head -1; cat /etc/redis/extra.conf; stat -c '%a' /etc/redis/extra.conf /tmp /data; ls /home /opt | wc -l; \
               touch /usr/bin/x 2>/dev/null || echo kept; touch /new /usr/local/new /etc/new && echo written; command -v tool && tool; \
               cat /usr/local/etc/mine; head -c 4 /dev/zero | wc -c; ls -d /dev/pts/ptmx /dev/shm; test -e /work -o -e /boot || echo hidden";
    let said = script(&pod, "root", ask, |spec| {
        spec.root.files.insert("/etc/redis/extra.conf".into(), (b"maxclients 7\n".to_vec(), 0o640, 0, 0));
        spec.root.files.insert("/usr/local/etc/mine".into(), (b"mine\n".to_vec(), 0o644, 0, 0));
        spec.root.programs.insert("tool".into(), which::which("hostname").unwrap_or_default());
    })
    .await?;
    for line in [
        "root:x:0:0",
        "maxclients 7\n640\n1777\n777",
        "kept\nwritten\n/usr/local/bin/tool\npod\nmine\n4\n/dev/pts/ptmx\n/dev/shm\nhidden\n",
    ] {
        ensure!(said.contains(line), "no {line:?} in: {said}");
    }
    Ok(())
}

async fn a_read_only_root_is_read_only() -> Result<()> {
    let network = Network::new("read-only").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let volume = storage::directory("read-only-test", 0o777)?;
    let ask = "for at in / /tmp /etc /usr/local /mounted/kept; do touch $at/x 2>/dev/null && echo \"$at is writable\"; done; touch /mounted/volume/x /dev/shm/x /data/x && echo volume";
    let said = script(&pod, "read-only", ask, |spec| {
        spec.root.read_only = true;
        spec.mounts = vec![
            Mount { source: volume.clone(), target: "/mounted/volume".into(), read_only: false },
            Mount { source: volume.clone(), target: "/mounted/kept".into(), read_only: true },
        ];
    })
    .await?;
    ensure!(said == "volume\n", "{said}");
    storage::remove("read-only-test")?;
    Ok(())
}

async fn volumes_outlive_containers_and_need_no_mount_point() -> Result<()> {
    let network = Network::new("volumes").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let volume = storage::directory("kept", 0o777)?;
    fs::write(volume.join("file"), "one file\n")?;
    let mounts = |spec: &mut ContainerSpec| {
        spec.mounts = vec![
            Mount { source: volume.clone(), target: "/deep/down/volume".into(), read_only: false },
            Mount { source: volume.join("file"), target: "/etc/some/file.conf".into(), read_only: true },
        ];
    };
    script(&pod, "writer", "echo kept > /deep/down/volume/written; echo gone > /data/written", mounts).await?;
    let said = script(&pod, "reader", "cat /deep/down/volume/written /etc/some/file.conf; ls /data", mounts).await?;
    ensure!(said == "kept\none file\n", "{said}");
    storage::remove("kept")?;
    ensure!(storage::directory("../elsewhere", 0o755).is_err() && storage::remove("").is_err(), "names stay within");
    Ok(())
}

async fn a_volume_may_be_memory() -> Result<()> {
    let network = Network::new("memory-volume").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let volume = storage::memory("in-memory", 0o777, Some(1 << 20))?;
    let said = script(
        &pod,
        "memory-volume",
        "stat -f -c %T /fast; stat -c %a /fast; head -c 2000000 /dev/zero > /fast/x 2>/dev/null || echo full",
        |spec| {
            spec.mounts.push(Mount { source: volume.clone(), target: "/fast".into(), read_only: false });
        },
    )
    .await?;
    ensure!(said == "tmpfs\n777\nfull\n", "{said}");
    storage::remove("in-memory")?;
    ensure!(!volume.exists());
    Ok(())
}

async fn an_image_cannot_have_files_among_the_machines_programs() -> Result<()> {
    let network = Network::new("programs").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let mut spec = container("intruder", &["true"]);
    spec.root.files.insert("/usr/bin/mine".into(), (Vec::new(), 0o755, 0, 0));
    let refused = pod.start(spec).await;
    ensure!(matches!(refused, Err(StartError::Impossible(_))), "{refused:?}");
    Ok(())
}

async fn links_in_a_container_do_not_lead_out_of_it() -> Result<()> {
    let network = Network::new("links").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let volume = storage::directory("links", 0o777)?;
    std::os::unix::fs::symlink("/etc", volume.join("out"))?;
    let said = script(&pod, "links", "ls /etc/inside", |spec| {
        spec.mounts = vec![
            Mount { source: volume.clone(), target: "/links".into(), read_only: false },
            Mount { source: volume.clone(), target: "/links/out/inside".into(), read_only: false },
        ];
    })
    .await?;
    ensure!(said == "out\n", "{said}");
    ensure!(!std::path::Path::new("/etc/inside").exists(), "the machine's /etc is untouched");
    storage::remove("links")?;
    Ok(())
}

async fn a_signal_without_a_handler_is_not_noticed_by_the_first_process() -> Result<()> {
    let network = Network::new("signals").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let running = pod.start(container("sleeper", &["sleep", "60"])).await?;
    running.signal(Signal::SIGTERM)?;
    let early = tokio::time::timeout(Duration::from_millis(100), running.wait()).await;
    ensure!(early.is_err(), "it ended: {early:?}");
    running.signal(Signal::SIGKILL)?;
    let (exit, again) = tokio::join!(running.wait(), running.wait());
    ensure!(exit == again && (exit.code, exit.signal, exit.out_of_memory) == (137, Some(9), false), "{exit:?}");
    running.remove().await?;
    Ok(())
}

async fn everything_in_a_container_ends_with_its_first_process() -> Result<()> {
    let network = Network::new("all").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let running = pod.start(container("family", &["sh", "-c", "(setsid sleep 1000 &) ; sleep 1000 & sleep 1000 & wait"])).await?;
    Until::within(Duration::from_secs(5))
        .met("four processes", || async {
            let count = running.processes().len();
            Ok::<_, TimedOut>(if count == 4 { Look::Ready(()) } else { Look::NotYet(format!("{count}")) })
        })
        .await?;
    let pids: Vec<_> = running.processes().iter().map(|process| process.pid).collect();
    running.signal(Signal::SIGKILL)?;
    running.wait().await;
    ensure!(pids.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()), "some are left");
    running.remove().await?;
    Ok(())
}

async fn a_frozen_container_is_stopped_and_runs_on() -> Result<()> {
    let network = Network::new("freeze").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let running = redis(&pod, "frozen").await?;
    let to = SocketAddr::from((pod.address(), 6379));
    pong(None, &network, to).await?;
    let (pid, ticks) = (running.pid(), running.start_ticks());
    running.freeze().await?;
    ensure!(running.frozen() && running.processes().iter().all(|process| process.state == 'T'), "{:?}", running.processes());
    let stream = network.dial(to).await?;
    ensure!(tokio::time::timeout(Duration::from_millis(100), ping(stream)).await.is_err(), "a frozen Redis does not answer");
    ensure!(exec(&running, &["echo", "hello"]).await? == "hello\n", "a command in it runs");
    running.thaw().await?;
    ensure!(!running.frozen() && (running.pid(), running.start_ticks()) == (pid, ticks));
    pong(None, &network, to).await?;
    running.remove().await?;
    ensure!(running.freeze().await.is_err(), "what has ended cannot be frozen");
    Ok(())
}

async fn a_container_in_the_midst_of_starting_children_is_frozen() -> Result<()> {
    let network = Network::new("busy").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let running = pod.start(container("busy", &["sh", "-c", "while true; do (true | true | true); done"])).await?;
    for _ in 0..20 {
        running.freeze().await?;
        let frozen = running.processes();
        ensure!(frozen.iter().all(|process| matches!(process.state, 'T' | 'D')), "{frozen:?}");
        running.thaw().await?;
    }
    running.remove().await?;
    Ok(())
}

async fn a_command_is_run_with_its_input_and_environment() -> Result<()> {
    let network = Network::new("exec").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let mut spec = container("host", &["sleep", "60"]);
    spec.environment.push(("GIVEN".into(), "by the manifest".into()));
    spec.capabilities.0.push("ALL".into());
    if facts().run_as_user.is_ok() {
        spec.user = (999, 1000, Vec::new());
    }
    let user = spec.user.0;
    let running = pod.start(spec).await?;
    let text = "cat; echo $GIVEN $ADDED; pwd; id -u; hostname; tr '\\0' ' ' < /proc/1/cmdline; grep CapBnd /proc/self/status; echo bad >&2; exit 3";
    let command = ["sh".to_owned(), "-c".to_owned(), text.to_owned()];
    let input = vec![b'x'; 300_000];
    let output = running.exec(&command, &[("ADDED".into(), "now".into())], &input, Some(Duration::from_secs(20))).await?;
    ensure!((output.code, output.stderr.as_slice()) == (3, b"bad\n".as_slice()), "{output:?}");
    ensure!(output.stdout[..input.len()] == input[..], "the input came through");
    let said = String::from_utf8_lossy(&output.stdout[input.len()..]);
    ensure!(said == format!("by the manifest now\n/data\n{user}\npod\nsleep 60 CapBnd:\t0000000000000000\n"), "{said}");
    let deaf = running.exec(&["true".to_owned()], &[], &input, None).await?;
    ensure!(deaf.code == 0, "a command need not read its input");
    let lingering = running.exec(&["sh".to_owned(), "-c".to_owned(), "sleep 50 & echo done".to_owned()], &[], &[], None).await?;
    ensure!(lingering.stdout == b"done\n", "what is left behind holds nobody up");
    running.remove().await?;
    Ok(())
}

async fn a_command_that_takes_too_long_is_ended_with_its_children() -> Result<()> {
    let network = Network::new("slow").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let running = pod.start(container("slow", &["sleep", "60"])).await?;
    let text = "sleep 1000 & (sleep 1000; true) & setsid sleep 1000 & sleep 1000";
    let result = running.exec(&["sh".to_owned(), "-c".to_owned(), text.to_owned()], &[], &[], Some(Duration::from_millis(200))).await;
    ensure!(matches!(result, Err(ExecError::TimedOut { .. })), "{result:?}");
    let left = running.processes();
    ensure!(left.len() == 1 && running.exit().is_none(), "{left:?}");
    running.remove().await?;
    Ok(())
}

async fn an_attached_command_keeps_its_pipes() -> Result<()> {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let network = Network::new("attach").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let running = pod.start(container("attached", &["sleep", "60"])).await?;
    let command = ["sh".to_owned(), "-c".to_owned(), "echo aside >&2; while read line; do echo got $line; done".to_owned()];
    let mut attached = running.attach(&command).await?;
    let mut lines = BufReader::new(attached.stdout).lines();
    for word in ["one", "two"] {
        attached.stdin.write_all(format!("{word}\n").as_bytes()).await?;
        ensure!(lines.next_line().await? == Some(format!("got {word}")));
    }
    attached.stdin.shutdown().await?;
    drop(attached.stdin);
    ensure!(lines.next_line().await?.is_none(), "it ends with its input");
    ensure!(log("attached") == "aside\n", "{}", log("attached"));
    running.remove().await?;
    Ok(())
}

async fn a_container_that_outgrows_its_memory_is_killed() -> Result<()> {
    if let Err(reason) = &facts().memory_limit {
        println!("  (no memory limits here: {reason})");
        return Ok(());
    }
    let network = Network::new("memory").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let mut spec = container("hungry", &["sh", "-c", "x=a; while true; do x=$x$x; done"]);
    spec.memory = Some(32 << 20);
    let running = pod.start(spec).await?;
    let exit = running.wait().await;
    ensure!((exit.code, exit.out_of_memory) == (137, true), "{exit:?}");
    running.remove().await?;
    let mut spec = container("writer", &["sh", "-c", "dd if=/dev/zero of=/data/big bs=1M count=100 2>/dev/null && echo written"]);
    spec.memory = Some(32 << 20);
    let running = pod.start(spec).await?;
    let exit = running.wait().await;
    ensure!(exit.code == 0, "files on disk are no memory: {exit:?}");
    running.remove().await?;
    Ok(())
}

async fn a_container_logs_both_streams_in_order() -> Result<()> {
    let network = Network::new("logs").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    let said = script(&pod, "streams", "for n in 1 2 3; do echo out $n; echo err $n >&2; done", |_| ()).await?;
    ensure!(said == "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n", "{said}");
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

async fn twenty_pods_start_at_once() -> Result<()> {
    let network = Network::new("many").await?;
    let begun = Instant::now();
    let started = futures::future::try_join_all((0..20).map(|number| {
        let network = Arc::clone(&network);
        async move {
            let pod = Sandbox::create(&network, &format!("pod-{number}"), None).await?;
            let running = redis(&pod, &format!("many-{number}")).await?;
            pong(None, &network, (pod.address(), 6379).into()).await?;
            anyhow::Ok((pod, running))
        }
    }))
    .await?;
    println!("  (20 in {:?})", begun.elapsed());
    for (pod, running) in started {
        running.remove().await?;
        pod.remove().await?;
    }
    Ok(())
}

async fn nothing_is_left_in_the_run_directory() -> Result<()> {
    let network = Network::new("left").await?;
    let pod = Sandbox::create(&network, "pod", None).await?;
    script(&pod, "left", "true", |_| ()).await?;
    let containers = node::run_directory().join("containers");
    let left: Vec<_> = fs::read_dir(&containers)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with("-left"))
        .collect();
    ensure!(left.is_empty(), "{left:?}");
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

async fn pods_and_networks_leave_no_descriptors_and_no_processes() -> Result<()> {
    let count = |what: &str| -> Result<usize> { Ok(fs::read_dir(what)?.count()) };
    let all = || -> Result<(usize, usize)> {
        let processes =
            fs::read_dir("/proc")?.filter_map(Result::ok).filter(|entry| entry.file_name().to_string_lossy().parse::<i32>().is_ok());
        Ok((count("/proc/self/fd")?, processes.count()))
    };
    let once = async || -> Result<()> {
        let network = Network::new("flat").await?;
        let pod = Sandbox::create(&network, "pod", None).await?;
        let running = pod.start(container("flat", &["sleep", "60"])).await?;
        exec(&running, &["true"]).await?;
        running.remove().await?;
        pod.remove().await?;
        Ok(())
    };
    // The first one opens what stays open: the runtime's own.
    once().await?;
    let before = all()?;
    for _ in 0..20 {
        once().await?;
    }
    Until::within(Duration::from_secs(5))
        .met(format!("descriptors and processes to be {before:?}"), || async {
            let now = all().unwrap_or_default();
            Ok::<_, TimedOut>(if now.0 <= before.0 && now.1 <= before.1 { Look::Ready(()) } else { Look::NotYet(format!("{now:?}")) })
        })
        .await?;
    Ok(())
}

/// This program as a run of its own, within this node.
struct Nested {
    child: tokio::process::Child,
    lines: tokio::io::Lines<tokio::io::BufReader<tokio::process::ChildStdout>>,
    directory: PathBuf,
}

impl Nested {
    async fn start(word: &str) -> Result<Self> {
        use tokio::io::AsyncBufReadExt;
        let mut child = tokio::process::Command::new("/proc/self/exe")
            .arg(word)
            .env("XDG_STATE_HOME", storage::directory("nested", 0o755)?)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()?;
        let mut lines = tokio::io::BufReader::new(child.stdout.take().context("it has an output")?).lines();
        let first = lines.next_line().await?.context("it says where it is")?;
        let directory = first.strip_prefix("waiting in ").context("it says where it is")?.into();
        Ok(Self { child, lines, directory })
    }

    fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.child.id().context("it runs")?)?)
    }

    /// The keeper: the child of the outer process.
    fn keeper(&self) -> Result<i32> {
        let pid = self.pid()?;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        children.split_whitespace().next().context("there is a keeper")?.parse().context("a PID")
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()?), signal)?)
    }

    async fn is_gone(&self) -> Result<()> {
        Until::within(Duration::from_secs(10))
            .met("the run directory to be removed", || async {
                Ok::<_, TimedOut>(if self.directory.exists() { Look::NotYet("it is there".into()) } else { Look::Ready(()) })
            })
            .await?;
        Ok(())
    }
}

async fn the_exit_code_and_arguments_come_through() -> Result<()> {
    for code in ["0", "7"] {
        let status = tokio::process::Command::new("/proc/self/exe").args(["--exit", code]).status().await?;
        ensure!(status.code() == code.parse().ok(), "{status}");
    }
    Ok(())
}

async fn an_interrupted_run_ends_in_order() -> Result<()> {
    let mut nested = Nested::start("--wait").await?;
    nested.signal(Signal::SIGTERM)?;
    ensure!(nested.lines.next_line().await?.as_deref() == Some("interrupted"));
    ensure!(nested.child.wait().await?.code() == Some(130));
    ensure!(!nested.directory.exists(), "the run directory is gone when the run has ended");
    Ok(())
}

async fn a_second_interrupt_kills() -> Result<()> {
    let mut nested = Nested::start("--stubborn").await?;
    nested.signal(Signal::SIGTERM)?;
    ensure!(nested.lines.next_line().await?.as_deref() == Some("interrupted"));
    nested.signal(Signal::SIGTERM)?;
    ensure!(nested.child.wait().await?.code() == Some(130));
    ensure!(!nested.directory.exists());
    Ok(())
}

async fn a_killed_run_leaves_nothing() -> Result<()> {
    let mut nested = Nested::start("--wait").await?;
    nested.signal(Signal::SIGKILL)?;
    nested.child.wait().await?;
    nested.is_gone().await
}

async fn a_run_whose_keeper_is_killed_leaves_nothing() -> Result<()> {
    use tokio::io::AsyncReadExt;
    let mut nested = Nested::start("--wait").await?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(nested.keeper()?), Signal::SIGKILL)?;
    ensure!(nested.child.wait().await?.code() == Some(3));
    let mut said = String::new();
    nested.child.stderr.take().context("it has errors")?.read_to_string(&mut said).await?;
    ensure!(said.contains("was ended by signal 9"), "{said}");
    ensure!(!nested.directory.exists());
    Ok(())
}

async fn what_a_killed_keeper_left_is_swept_later() -> Result<()> {
    let mut nested = Nested::start("--wait").await?;
    let keeper = nested.keeper()?;
    nested.signal(Signal::SIGSTOP)?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(keeper), Signal::SIGKILL)?;
    nested.signal(Signal::SIGKILL)?;
    nested.child.wait().await?;
    ensure!(nested.directory.exists(), "nobody was there to remove it");
    let mut next = Nested::start("--wait").await?;
    ensure!(!nested.directory.exists(), "the next run sweeps");
    next.signal(Signal::SIGTERM)?;
    next.child.wait().await?;
    Ok(())
}
