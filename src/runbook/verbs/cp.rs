//! `kubectl cp`: files through `cat`, folders through `tar` on both sides.

use super::{
    Call, Halt, Said,
    exec::ended,
    flags::{Args, Flag, switch, value},
    pods,
};
use crate::target::{ContainerRef, ExecOutput};
use std::{fs::Permissions, io::ErrorKind, os::unix::fs::PermissionsExt, path::Path, process::Stdio};
use tokio::{fs, io::AsyncWriteExt, process::Command};

pub(super) const FLAGS: &[Flag] = &[value("container").or('c'), switch("no-preserve"), value("retries")];

/// `[NAMESPACE/]POD:PATH`.
#[derive(Debug, PartialEq, Eq)]
struct Remote<'a> {
    namespace: Option<&'a str>,
    pod: &'a str,
    path: &'a str,
}

/// A word that names a pod's file; one that begins like a path is local though it has a colon.
fn remote(word: &str) -> Result<Option<Remote<'_>>, Halt> {
    let Some((pod, path)) = word.split_once(':') else { return Ok(None) };
    if word.starts_with(['/', '.']) {
        return Ok(None);
    }
    let (namespace, pod) = pod.split_once('/').map_or((None, pod), |(namespace, pod)| (Some(namespace), pod));
    match pod.is_empty() || pod.contains('/') || path.is_empty() || namespace == Some("") {
        true => Err(Halt::error(format!("{word} is no [[namespace/]pod:]file/path"))),
        false => Ok(Some(Remote { namespace, pod, path })),
    }
}

/// Copies a file or a folder between here and a container.
pub(super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
    let [from, to] = args.words.as_slice() else {
        return Err(Halt::error("source and destination are required"));
    };
    match (remote(from)?, remote(to)?) {
        (Some(_), Some(_)) => Err(Halt::error("one of src or dest must be a local file specification")),
        (None, None) => Err(Halt::error("one of src or dest must be a remote file specification")),
        (Some(from), None) => {
            let container = container(call, &args, &from).await?;
            down(call, &container, from.path, &call.cwd.join(to)).await
        }
        (None, Some(to)) => {
            let local = call.cwd.join(from);
            let kind = fs::metadata(&local).await.map_err(|_| Halt::error(format!("{from} doesn't exist in local filesystem")))?;
            let container = container(call, &args, &to).await?;
            up(call, &container, &local, &kind, to.path).await
        }
    }
}

async fn container(call: &Call, args: &Args, remote: &Remote<'_>) -> Result<ContainerRef, Halt> {
    let namespace = remote.namespace.unwrap_or(args.namespace());
    let pod = pods::pod(call, namespace, remote.pod).await?;
    pods::container(call, &pod, args.one("container"), namespace).await
}

/// Runs a shell line in the container, with `$1` and `$2`.
async fn shell(call: &Call, container: &ContainerRef, line: &str, [one, two]: [&str; 2], stdin: &[u8]) -> Result<ExecOutput, Halt> {
    Ok(call.target.exec(container, &["sh", "-c", line, "sh", one, two], stdin).await?)
}

/// Says a failed command's words and ends as it ended.
async fn succeeded(call: &Call, output: ExecOutput) -> Result<Vec<u8>, Halt> {
    call.say(Said::Err(output.stderr)).await?;
    ended(output.code)?;
    Ok(output.stdout)
}

async fn down(call: &Call, container: &ContainerRef, path: &str, local: &Path) -> Result<(), Halt> {
    let is_folder = shell(call, container, "test -d \"$1\"", [path, ""], b"").await?.code == 0;
    if is_folder {
        let archive = succeeded(call, shell(call, container, "cd \"$1\" && tar cf - .", [path, ""], b"").await?).await?;
        return unpack(call, &archive, local).await;
    }
    let bytes = succeeded(call, shell(call, container, "cat -- \"$1\"", [path, ""], b"").await?).await?;
    let failed = |error: std::io::Error| Halt::error(format!("open {}: {error}", local.display()));
    if let Some(folder) = local.parent() {
        fs::create_dir_all(folder).await.map_err(failed)?;
    }
    // The caller's umask counts, not ours: a backup made under `umask 077` must be nobody else's from its first byte on.
    let mode = 0o666 & !call.umask;
    let exists = fs::try_exists(local).await.map_err(failed)?;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode & 0o600).open(local).await.map_err(failed)?;
    if !exists {
        file.set_permissions(Permissions::from_mode(mode)).await.map_err(failed)?;
    }
    file.write_all(&bytes).await.map_err(failed)?;
    file.flush().await.map_err(failed)
}

async fn up(call: &Call, container: &ContainerRef, local: &Path, kind: &std::fs::Metadata, path: &str) -> Result<(), Halt> {
    let name = local.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // A destination that is a folder gets the source inside of it, under its own name.
    let inside = "if [ -d \"$1\" ]; then set -- \"${1%/}/$2\"; fi; ";
    if kind.is_dir() {
        let archive = pack(local).await?;
        let line = format!("{inside}mkdir -p \"$1\" && tar xmf - -C \"$1\"");
        return succeeded(call, shell(call, container, &line, [path, &name], &archive).await?).await.map(drop);
    }
    let bytes = fs::read(local).await.map_err(|error| Halt::error(format!("open {}: {error}", local.display())))?;
    let line = format!("{inside}cat > \"$1\" && chmod {:o} \"$1\"", kind.permissions().mode() & 0o777);
    succeeded(call, shell(call, container, &line, [path, &name], &bytes).await?).await.map(drop)
}

async fn pack(folder: &Path) -> Result<Vec<u8>, Halt> {
    let output = Command::new("tar").arg("cf").arg("-").arg("-C").arg(folder).arg(".").kill_on_drop(true).output().await;
    let output = output.map_err(|error| no_tar(&error))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(Halt::error(String::from_utf8_lossy(&output.stderr).trim())),
    }
}

async fn unpack(call: &Call, archive: &[u8], folder: &Path) -> Result<(), Halt> {
    let failed = |error: std::io::Error| Halt::error(format!("open {}: {error}", folder.display()));
    fs::create_dir_all(folder).await.map_err(failed)?;
    let umask = format!("umask {:03o} && exec tar xmf - -C \"$1\" --no-same-owner --no-same-permissions", call.umask);
    let mut tar = Command::new("sh");
    tar.arg("-c").arg(umask).arg("sh").arg(folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut tar = tar.spawn().map_err(|error| no_tar(&error))?;
    if let Some(mut stdin) = tar.stdin.take() {
        match stdin.write_all(archive).await {
            // It ended early and says why on standard error.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.map_err(failed)?,
        }
    }
    let output = tar.wait_with_output().await.map_err(failed)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Halt::error(String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn no_tar(error: &std::io::Error) -> Halt {
    Halt::error(format!("folders are copied by tar, which cannot be run here: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("mcp/redis-0:/data/dump.rdb", Some(Remote { namespace: Some("mcp"), pod: "redis-0", path: "/data/dump.rdb" }))]
    #[case("redis-0:dump.rdb", Some(Remote { namespace: None, pod: "redis-0", path: "dump.rdb" }))]
    #[case("./backup.rdb", None)]
    #[case("./a:b", None)]
    #[case("/tmp/a:b", None)]
    #[case("backup.rdb", None)]
    fn a_word_with_a_colon_is_in_a_pod(#[case] word: &str, #[case] expected: Option<Remote<'_>>) {
        assert_eq!(remote(word).expect("it can be read"), expected);
    }

    #[rstest]
    #[case("mcp/a/b:/x")]
    #[case("redis-0:")]
    #[case(":/data")]
    fn nonsense_is_refused(#[case] word: &str) {
        assert!(remote(word).is_err());
    }
}
