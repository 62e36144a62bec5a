//! The process of a container: its rights, its signals, its end, its memory and its log.

use crate::scene::{container, exec, ping, pong, redis, script};
use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use redis_conformance::{
    target::local::runtime::{ExecError, Mount, Network, Sandbox, StartError, facts},
    wait::{Look, TimedOut, Until},
};
use std::{net::SocketAddr, time::Duration};

crate::tests![
    the_process_is_first_of_its_own_namespaces,
    a_container_runs_under_its_user_and_without_more_rights,
    what_cannot_be_run_is_said,
    a_signal_without_a_handler_is_not_noticed_by_the_first_process,
    everything_in_a_container_ends_with_its_first_process,
    a_frozen_container_is_stopped_and_runs_on,
    a_container_in_the_midst_of_starting_children_is_frozen,
    a_container_that_outgrows_its_memory_is_killed,
    a_container_logs_both_streams_in_order,
];

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
