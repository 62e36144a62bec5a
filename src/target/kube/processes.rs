//! Commands in containers, their output, and the processes that containers run.

use super::{error::broken, scenario::Scenario};
use crate::{
    manifest::{ObjectKey, json},
    target::{Attached, ContainerRef, ExecOutput, Process, Target as _, TargetError},
    wait::at_most,
};
use anyhow::anyhow;
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status};
use kube::{
    Api,
    api::{AttachParams, AttachedProcess, LogParams},
};
use serde_json::Value;
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// A command that takes longer hangs: it reaches a frozen process, or a node that is gone.
const LONGEST: Duration = Duration::from_secs(180);
/// The library's own buffer is a kilobyte, and one task serves all streams: who reads slowly would hold up everything.
const BUFFER: usize = 1 << 20;
/// More of a log is for nobody.
const LOG: i64 = 16 << 20;

impl Scenario {
    fn pods(&self, container: &ContainerRef) -> Result<Api<Pod>, TargetError> {
        let namespace = self.namespace(&container.namespace).ok_or_else(|| TargetError::Missing(container.to_string()))?;
        Ok(Api::namespaced(self.cluster.client.clone(), &namespace))
    }

    async fn begin_command(
        &self,
        container: &ContainerRef,
        command: &[&str],
        stdin: bool,
        stderr: bool,
    ) -> Result<AttachedProcess, TargetError> {
        // Asked before: a refusal to start says only that the connection was not upgraded.
        self.status(container).await?;
        let parameters = AttachParams::default().container(&container.container).stdin(stdin).stdout(true).stderr(stderr);
        let parameters = parameters.max_stdin_buf_size(BUFFER).max_stdout_buf_size(BUFFER).max_stderr_buf_size(BUFFER);
        let begun = self.pods(container)?.exec(&container.pod, command.iter().copied(), &parameters).await;
        begun.map_err(|error| broken(format!("running {} in {container}", command.join(" ")), error))
    }

    /// Runs a command to its end.
    pub(super) async fn run(&self, container: &ContainerRef, command: &[&str], stdin: &[u8]) -> Result<ExecOutput, TargetError> {
        let doing = || format!("running {} in {container}", command.join(" "));
        let work = async {
            let mut process = self.begin_command(container, command, !stdin.is_empty(), true).await?;
            let ended = process.take_status();
            let (mut input, mut out, mut err) = (process.stdin(), process.stdout(), process.stderr());
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            let writing = async {
                if let Some(input) = &mut input {
                    // A command need not read what it is given.
                    if input.write_all(stdin).await.is_ok() {
                        return input.shutdown().await;
                    }
                }
                Ok(())
            };
            let reading = async {
                if let Some(out) = &mut out {
                    out.read_to_end(&mut stdout).await?;
                }
                Ok::<_, io::Error>(())
            };
            let hearing = async {
                if let Some(err) = &mut err {
                    err.read_to_end(&mut stderr).await?;
                }
                Ok::<_, io::Error>(())
            };
            let ending = async {
                match ended {
                    Some(ended) => ended.await,
                    None => None,
                }
            };
            let (written, read, heard, status) = tokio::join!(writing, reading, hearing, ending);
            for done in [written, read, heard] {
                done.map_err(|error| broken(doing(), error))?;
            }
            let status = status.ok_or_else(|| broken(doing(), anyhow!("the connection broke before the command had ended")))?;
            let (code, words) = code(&status).ok_or_else(|| broken(doing(), anyhow!("{}", message(&status))))?;
            stderr.extend_from_slice(words.as_bytes());
            Ok(ExecOutput { code, stdout, stderr })
        };
        match at_most(LONGEST, &format!("the end of {}", command.first().copied().unwrap_or_default()), work).await {
            Some(done) => done,
            None => Err(broken(doing(), anyhow!("it has not ended within {} s", LONGEST.as_secs()))),
        }
    }

    /// Starts a command and keeps its input and output.
    pub(super) async fn start(&self, container: &ContainerRef, command: &[&str]) -> Result<Attached, TargetError> {
        let mut process = self.begin_command(container, command, true, false).await?;
        let (Some(stdin), Some(stdout)) = (process.stdin(), process.stdout()) else {
            return Err(broken(format!("starting {} in {container}", command.join(" ")), anyhow!("it has neither input nor output")));
        };
        let cut = Box::pin(self.cut().cancelled_owned());
        Ok(Attached { stdin: Box::pin(stdin), stdout: Box::pin(Output { inner: Box::pin(stdout), cut, _process: process }) })
    }

    pub(super) async fn read_logs(&self, container: &ContainerRef, previous: bool) -> Result<Vec<u8>, TargetError> {
        let parameters =
            LogParams { container: Some(container.container.clone()), previous, limit_bytes: Some(LOG), ..LogParams::default() };
        match self.pods(container)?.logs(&container.pod, &parameters).await {
            Ok(text) => Ok(text.into_bytes()),
            Err(kube::Error::Api(status)) if status.code == 400 || status.is_not_found() => {
                let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(container).cloned().filter(|_| previous);
                let log = heard.map(|heard| heard.lock().unwrap_or_else(PoisonError::into_inner).clone());
                log.ok_or_else(|| TargetError::Missing(status.message.clone()))
            }
            Err(error) => Err(broken(format!("reading the log of {container}"), error)),
        }
    }

    /// Listens to a container until it ends: a kubelet may have forgotten the log of an ended one before anybody asks for it.
    pub(super) async fn remember_log(&self, container: &ContainerRef) -> Result<(), TargetError> {
        let parameters = LogParams { container: Some(container.container.clone()), follow: true, ..LogParams::default() };
        let stream = self.pods(container)?.log_stream(&container.pod, &parameters).await;
        let stream = stream.map_err(|error| broken(format!("listening to {container}"), error))?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(container.clone(), Arc::clone(&heard));
        tokio::spawn(async move {
            let mut lines = stream.lines();
            // The end of the stream is the end of the container; a broken one gives what came before.
            while let Ok(Some(line)) = lines.try_next().await {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.extend_from_slice(line.as_bytes());
                heard.push(b'\n');
            }
        });
        Ok(())
    }

    /// The pod and the status of its container, which runs.
    async fn status(&self, container: &ContainerRef) -> Result<(Value, Value), TargetError> {
        let key = ObjectKey { kind: "Pod".into(), namespace: container.namespace.clone(), name: container.pod.clone() };
        let missing = || TargetError::Missing(format!("running container {container}"));
        let pod = self.get(&key).await?.ok_or_else(missing)?;
        let statuses = ["/status/containerStatuses", "/status/initContainerStatuses"].into_iter().flat_map(|list| json::list(&pod, list));
        let status = statuses.clone().find(|status| status["name"] == container.container.as_str()).cloned().ok_or_else(missing)?;
        if status["state"]["running"].is_null() {
            return Err(missing());
        }
        Ok((pod, status))
    }

    /// The node on which a container runs, and its number there.
    pub(super) async fn on_node(&self, container: &ContainerRef) -> Result<(String, String), TargetError> {
        let (pod, status) = self.status(container).await?;
        let id = json::text(&status, "/containerID").rsplit_once("://").map(|(_, id)| id.to_owned());
        let node = pod["spec"]["nodeName"].as_str().map(ToOwned::to_owned);
        node.zip(id).ok_or_else(|| TargetError::Missing(format!("node of {container}")))
    }

    /// The container's main process, as the cluster and, of one that we froze, its node tell.
    pub(super) async fn running(&self, container: &ContainerRef) -> Result<Process, TargetError> {
        let (pod, status) = self.status(container).await?;
        let was_frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner).contains(container);
        let frozen = match &self.cluster.nodes {
            Some(nodes) if was_frozen => {
                let (node, id) = self.on_node(container).await?;
                nodes.is_held(&node, &id).await?
            }
            _ => false,
        };
        Ok(Process {
            pod_uid: json::text(&pod, "/metadata/uid").to_owned(),
            restarts: status["restartCount"].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
            started: crate::time::read(json::text(&status, "/state/running/startedAt")).unwrap_or(SystemTime::UNIX_EPOCH),
            frozen,
        })
    }
}

/// The output of a command that goes on as long as somebody may read it, or until the way to it is cut.
struct Output<R> {
    inner: Pin<Box<R>>,
    /// A connection to a machine without power says nothing, not even that it is over.
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _process: AttachedProcess,
}

impl<R: AsyncRead> AsyncRead for Output<R> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.inner.as_mut().poll_read(context, buffer)
    }
}

fn message(status: &Status) -> &str {
    status.message.as_deref().unwrap_or("the API server tells no reason")
}

/// The exit code that a status stands for, and what the container runtime says where it could not start the command, as a shell would.
fn code(status: &Status) -> Option<(i32, String)> {
    if status.status.as_deref() == Some("Success") {
        return Some((0, String::new()));
    }
    let causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
    let told = causes.filter(|cause| cause.reason.as_deref() == Some("ExitCode")).find_map(|cause| cause.message.as_deref()?.parse().ok());
    if let Some(code) = told {
        return Some((code, String::new()));
    }
    let words = message(status);
    let is_absent = words.contains("executable file not found") || words.contains("no such file or directory");
    let is_forbidden = words.contains("permission denied");
    (is_absent || is_forbidden).then(|| (if is_absent { 127 } else { 126 }, words.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::success(json!({ "status": "Success" }), Some(0))]
    #[case::its_own_code(json!({ "status": "Failure", "reason": "NonZeroExitCode", "details": { "causes": [{ "reason": "ExitCode", "message": "3" }] } }), Some(3))]
    #[case::no_such_program(json!({ "status": "Failure", "message": "exec: \"no\": executable file not found in $PATH" }), Some(127))]
    #[case::not_permitted(json!({ "status": "Failure", "message": "exec /data: permission denied" }), Some(126))]
    #[case::the_runtime_itself_fails(json!({ "status": "Failure", "message": "cannot exec in a stopped container" }), None)]
    fn a_status_stands_for_an_exit_code(#[case] status: Value, #[case] expected: Option<i32>) {
        let status: Status = serde_json::from_value(status).expect("a status");
        assert_eq!(code(&status).map(|(code, _)| code), expected);
    }
}
