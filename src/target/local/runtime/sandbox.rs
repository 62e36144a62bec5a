//! A pod's sandbox: its network, UTS and IPC namespaces and its address, shared by its containers.

use super::{
    ContainerSpec, Network, Running, link,
    namespace::{Namespaces, set_sysctls},
    network,
    running::{self, StartError},
};
use crate::target::TargetError;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::net::TcpStream;

/// A pod's network, UTS and IPC namespaces, and its address.
#[derive(Debug)]
pub struct Sandbox {
    network: Arc<Network>,
    namespaces: Namespaces,
    address: Ipv4Addr,
    link: u32,
    removed: AtomicBool,
}

impl Sandbox {
    /// A sandbox with this host name, and this address or the next free one of 10.244.0.0/16.
    ///
    /// # Errors
    /// [`TargetError::Broken`] when the address is taken or the kernel refuses.
    pub async fn create(network: &Arc<Network>, hostname: &str, address: Option<Ipv4Addr>) -> Result<Arc<Self>, TargetError> {
        let doing = || format!("making the sandbox {hostname}");
        let taken = network.take(address).ok_or_else(|| {
            TargetError::broken(doing(), io::Error::other(address.map_or("no address is free".into(), |a| format!("{a} is taken"))))
        })?;
        match Self::tied(network, hostname, taken).await {
            Ok(sandbox) => Ok(Arc::new(sandbox)),
            Err(error) => {
                network.give_back(taken);
                Err(TargetError::broken(doing(), error))
            }
        }
    }

    async fn tied(network: &Arc<Network>, hostname: &str, address: Ipv4Addr) -> io::Result<Self> {
        let (namespaces, netlink) = Namespaces::create(Some(hostname.to_owned()), || {
            set_sysctls(&[
                // As container engines: any user may listen on port 80, and ping.
                ("net/ipv4/ip_unprivileged_port_start", "0"),
                ("net/ipv6/conf/default/disable_ipv6", "1"),
            ])?;
            link::connect()
        })
        .await?;
        let index = network.next_link();
        link::tie(network.netlink(), &netlink, &namespaces, index, address, Network::NODE).await?;
        Ok(Self { network: Arc::clone(network), namespaces, address, link: index, removed: AtomicBool::new(false) })
    }

    /// The pod's address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Connects from within the pod.
    ///
    /// # Errors
    /// As `connect`.
    pub async fn dial(&self, to: SocketAddr) -> io::Result<TcpStream> {
        network::dial(&self.namespaces, to).await
    }

    /// Starts a container; returns once its process has become the command.
    ///
    /// # Errors
    /// [`StartError`]: what the manifest asks for cannot be run, or our own work failed.
    pub async fn start(&self, spec: ContainerSpec) -> Result<Running, StartError> {
        running::start(&self.namespaces, spec).await
    }

    /// Pulls the plug, as when its node loses power: nothing that its processes send while they end reaches anybody.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn unplug(&self) -> io::Result<()> {
        link::unplug(self.network.netlink(), self.link).await
    }

    /// Takes the sandbox off the network; containers are ended by their owner before. The address is free again at once, its
    /// link and namespaces go a little later.
    ///
    /// # Errors
    /// [`TargetError::Broken`] when the kernel refuses.
    pub async fn remove(&self) -> Result<(), TargetError> {
        if self.removed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let result = link::forget(self.network.netlink(), self.link, self.address).await;
        self.network.give_back(self.address);
        self.network.bury(self.namespaces.clone());
        result.map_err(|error| TargetError::broken(format!("removing the sandbox {}", self.address), error))
    }
}
