//! Making namespaces and working in them: always on a short thread of its own, since a thread that joined cannot be given back.

use nix::sched::{CloneFlags, setns, unshare};
use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    sync::Arc,
};
use tokio::{runtime::Handle, sync::oneshot};

/// Namespaces that are kept alive by their open descriptors.
#[derive(Clone, Debug)]
pub(super) struct Namespaces(Arc<Vec<(OwnedFd, CloneFlags)>>);

impl Namespaces {
    /// New network, UTS and IPC namespaces with the host name, set up by `prepare` from within.
    pub(super) async fn create<T: Send + 'static>(
        hostname: Option<String>,
        prepare: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<(Self, T)> {
        on_thread(move || {
            let mut flags = vec![("net", CloneFlags::CLONE_NEWNET)];
            if hostname.is_some() {
                flags.extend([("uts", CloneFlags::CLONE_NEWUTS), ("ipc", CloneFlags::CLONE_NEWIPC)]);
            }
            unshare(flags.iter().map(|(_, flag)| *flag).collect())?;
            if let Some(hostname) = hostname {
                nix::unistd::sethostname(hostname)?;
            }
            let made = prepare()?;
            let open = |name| File::open(format!("/proc/thread-self/ns/{name}")).map(OwnedFd::from);
            let opened: io::Result<Vec<_>> = flags.into_iter().map(|(name, flag)| Ok((open(name)?, flag))).collect();
            Ok((Self(Arc::new(opened?)), made))
        })
        .await
    }

    /// The network namespace.
    pub(super) fn network(&self) -> &OwnedFd {
        // `create` always puts it first.
        &self.0[0].0
    }

    /// Does blocking work within; what it starts or opens belongs there.
    pub(super) async fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let these = self.clone();
        on_thread(move || {
            these.join()?;
            work()
        })
        .await
    }

    fn join(&self) -> io::Result<()> {
        for (namespace, flag) in self.0.iter() {
            setns(namespace, *flag)?;
        }
        Ok(())
    }
}

/// Does blocking work on a thread that ends with it and knows the runtime.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let runtime = Handle::current();
    let (done, result) = oneshot::channel();
    std::thread::Builder::new().name("namespace".into()).spawn(move || {
        let _runtime = runtime.enter();
        // Nobody may wait any more; then the result is dropped, which closes what was made.
        let _ = done.send(work());
    })?;
    result.await.map_err(|_| io::Error::other("the thread for a namespace panicked"))?
}

/// Writes kernel settings of the namespaces that this thread is in; those that the kernel does not have are left out.
pub(super) fn set_sysctls(settings: &[(&str, &str)]) -> io::Result<()> {
    for (name, value) in settings {
        match fs::write(format!("/proc/sys/{name}"), value) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io::Error::new(error.kind(), format!("setting {name} to {value}: {error}")));
            }
            _ => {}
        }
    }
    Ok(())
}
