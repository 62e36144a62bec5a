//! Container output: one pipe for both streams, appended to a file of bounded size.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};
use tokio::{
    fs::{self, File},
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe::Receiver,
    task::JoinHandle,
};

/// As the kubelet's `containerLogMaxSize`: a fuller log is moved to `<log>.1`, replacing the one before.
const LIMIT_BYTES: u64 = 10 << 20;

/// Appends what comes out of the pipe until all its writers are gone.
pub(super) fn pump(from: OwnedFd, log: &Path) -> io::Result<JoinHandle<()>> {
    let mut from = Receiver::from_owned_fd(from)?;
    let log = log.to_owned();
    Ok(tokio::spawn(async move {
        if let Err(error) = copy(&mut from, &log, LIMIT_BYTES).await {
            tracing::warn!(%error, log = %log.display(), "container output is lost");
            // Read on, so that the container does not block on a disk that is full.
            let mut nowhere = tokio::io::sink();
            let _ = tokio::io::copy(&mut from, &mut nowhere).await;
        }
    }))
}

/// Where the older part of a log is.
fn older(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

async fn open(log: &Path) -> io::Result<(File, u64)> {
    let file = File::options().create(true).append(true).open(log).await?;
    let size = file.metadata().await?.len();
    Ok((file, size))
}

async fn copy(from: &mut (impl tokio::io::AsyncRead + Unpin), log: &Path, limit: u64) -> io::Result<()> {
    let (mut file, mut size) = open(log).await?;
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        file.write_all(&buffer[..count]).await?;
        file.flush().await?;
        size += count as u64;
        if size >= limit {
            fs::rename(log, older(log)).await?;
            (file, size) = open(log).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_is_appended_to_and_bounded() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let log = directory.path().join("log");
        fs::write(&log, "before\n").await?;
        copy(&mut &b"after\n"[..], &log, 1000).await?;
        assert_eq!(fs::read_to_string(&log).await?, "before\nafter\n");
        copy(&mut &b"much\n"[..], &log, 10).await?;
        assert_eq!(fs::read_to_string(older(&log)).await?, "before\nafter\nmuch\n");
        assert_eq!(fs::read_to_string(&log).await?, "");
        Ok(())
    }
}
