//! Commands in a container that runs: input, environment, time limits and pipes.

use crate::scene::{container, log};
use anyhow::{Result, ensure};
use redis_conformance::target::local::runtime::{ExecError, Network, Sandbox, facts};
use std::time::Duration;

crate::tests![
    a_command_is_run_with_its_input_and_environment,
    a_command_that_takes_too_long_is_ended_with_its_children,
    an_attached_command_keeps_its_pipes,
];

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
