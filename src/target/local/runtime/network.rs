//! The network of one cluster: a hub namespace in which pods, Services and the resolver meet.

use super::{
    Names, ServiceRule, link,
    namespace::{Namespaces, set_sysctls},
    resolver, services,
};
use crate::target::TargetError;
use std::{
    collections::BTreeSet,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

/// The network of one cluster: a namespace of its own in which pods, Services and the resolver meet.
#[derive(Debug)]
pub struct Network {
    name: String,
    hub: Namespaces,
    netlink: rtnetlink::Handle,
    links: AtomicU32,
    addresses: Mutex<Addresses>,
    graves: Mutex<Vec<Namespaces>>,
    names: Arc<RwLock<Arc<Names>>>,
    wanted: Mutex<(u64, Vec<ServiceRule>)>,
    loaded: tokio::sync::Mutex<u64>,
    // Aborts its tasks when dropped.
    _resolver: JoinSet<()>,
}

/// How many removed pods are kept; each holds three descriptors.
const GRAVES: usize = 32;

#[derive(Debug, Default)]
struct Addresses {
    taken: BTreeSet<Ipv4Addr>,
    last: u16,
}

impl Network {
    /// The node's own address: probes come from it, and a pod's connections to itself through a Service.
    pub const NODE: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
    /// Where the resolver answers, on port 53 by UDP and TCP.
    pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

    /// A new network without pods; `name` is for messages.
    ///
    /// # Errors
    /// [`TargetError::Broken`] when the kernel refuses.
    pub async fn new(name: &str) -> Result<Arc<Self>, TargetError> {
        let broken = |doing: &str| {
            let doing = format!("{doing} of the network {name}");
            move |error: io::Error| TargetError::broken(doing, error)
        };
        let (hub, netlink) = Namespaces::create(None, || {
            set_sysctls(&[
                ("net/ipv4/ip_forward", "1"),
                ("net/ipv4/conf/all/rp_filter", "0"),
                ("net/ipv4/conf/default/rp_filter", "0"),
                ("net/ipv4/conf/all/send_redirects", "0"),
                ("net/ipv4/conf/default/send_redirects", "0"),
                ("net/ipv4/icmp_ratelimit", "0"),
                ("net/ipv6/conf/default/disable_ipv6", "1"),
            ])?;
            link::connect()
        })
        .await
        .map_err(broken("making the namespace"))?;
        let (range, prefix) = services::CLUSTER_IPS;
        link::loopback(&netlink, &[Self::NODE, Self::RESOLVER], Some((range, prefix, Self::NODE)))
            .await
            .map_err(broken("setting up the addresses"))?;
        let names = Arc::new(RwLock::new(Arc::new(Names::default())));
        let resolver =
            resolver::start(&hub, SocketAddr::from((Self::RESOLVER, 53)), &names).await.map_err(broken("starting the resolver"))?;
        let network = Self {
            name: name.to_owned(),
            hub,
            netlink,
            links: AtomicU32::new(2),
            addresses: Mutex::default(),
            graves: Mutex::default(),
            names,
            wanted: Mutex::default(),
            loaded: tokio::sync::Mutex::default(),
            _resolver: resolver,
        };
        network.set_services(&[]).await?;
        Ok(Arc::new(network))
    }

    /// Replaces all Services at once; updates that come while one is being loaded are loaded together.
    ///
    /// # Errors
    /// [`TargetError::Broken`] when `nft` refuses.
    pub async fn set_services(&self, rules: &[ServiceRule]) -> Result<(), TargetError> {
        let mine = {
            let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.0 += 1;
            wanted.1 = rules.to_vec();
            wanted.0
        };
        let mut loaded = self.loaded.lock().await;
        if *loaded >= mine {
            return Ok(());
        }
        let (generation, text) = {
            let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            (wanted.0, services::rules(&wanted.1, Self::RESOLVER, Self::NODE))
        };
        self.hub
            .inside(move || services::load(&text))
            .await
            .map_err(|error| TargetError::broken(format!("setting the Services of the network {}", self.name), error))?;
        *loaded = generation;
        Ok(())
    }

    /// Replaces all names at once.
    pub fn set_names(&self, names: Names) {
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(names);
    }

    /// Connects from the node, as a probe does.
    ///
    /// # Errors
    /// As `connect`.
    pub async fn dial(&self, to: SocketAddr) -> io::Result<TcpStream> {
        dial(&self.hub, to).await
    }

    pub(super) fn netlink(&self) -> &rtnetlink::Handle {
        &self.netlink
    }

    /// A number for a new pair, never used again.
    pub(super) fn next_link(&self) -> u32 {
        self.links.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes the wanted address, or the next free one: addresses come back only after all others had their turn.
    pub(super) fn take(&self, wanted: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wanted) = wanted {
            return (wanted != Self::NODE && addresses.taken.insert(wanted)).then_some(wanted);
        }
        for _ in 0..u16::MAX {
            addresses.last = addresses.last.wrapping_add(1);
            let [high, low] = addresses.last.to_be_bytes();
            let address = Ipv4Addr::new(10, 244, high, low);
            if !matches!(low, 0 | 255) && address != Self::NODE && addresses.taken.insert(address) {
                return Some(address);
            }
        }
        None
    }

    /// Keeps what is left of a removed pod until there is more of it, or the network goes: for every pair that is taken away, alone or
    /// together with others, the kernel makes everybody wait for tens of milliseconds who wants to change a link.
    pub(super) fn bury(&self, pod: Namespaces) {
        let mut graves = self.graves.lock().unwrap_or_else(PoisonError::into_inner);
        graves.push(pod);
        if graves.len() >= GRAVES {
            graves.clear();
        }
    }

    pub(super) fn give_back(&self, address: Ipv4Addr) {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).taken.remove(&address);
    }
}

/// Connects from within namespaces: a socket stays where it was made.
pub(super) async fn dial(from: &Namespaces, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = from.inside(move || if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }).await?;
    socket.connect(to).await
}
