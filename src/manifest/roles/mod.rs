//! Who is who in a set: Redis, Sentinel, exporter and client, found from what objects say and never from what they are called.

mod around;
mod clients;
mod conf;
mod data;
mod disk;
mod environment;
mod mounted;
mod program;
mod redis;
mod shell;

use super::{Container, ImageRef, ManifestSet, ObjectKey, Place};
pub use around::ServicePort;
pub use clients::Address;
pub use conf::{Config, Setting, Unknown, bytes};
pub use data::{Data, Volume};
pub use environment::Variable;
use mounted::File;
use program::{Runs, Start};

/// A container of a set, by the object that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerId {
    /// The Deployment, StatefulSet, Pod …
    pub workload: ObjectKey,
    /// The pointer to the container in it.
    pub pointer: String,
    /// The container's name.
    pub name: String,
    /// Its image.
    pub image: ImageRef,
    /// Where it stands.
    pub place: Place,
}

/// A password, and where it comes from.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// The password; `None` where the set does not hold it.
    pub value: Option<String>,
    /// The Secret or ConfigMap that holds it, with the key; `None` where it is written out.
    pub source: Option<(ObjectKey, String)>,
    /// Where it is set.
    pub place: Place,
}

/// The password is not shown.
impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.value.as_ref().map(|_| "(secret)");
        f.debug_struct("Password").field("value", &value).field("source", &self.source).field("place", &self.place).finish()
    }
}

/// A container that runs Redis or one of its forks.
#[derive(Clone, Debug)]
pub struct Redis {
    /// Which container.
    pub id: ContainerId,
    /// How many pods of it are asked for; `None` for one a node.
    pub replicas: Option<u64>,
    /// The port it listens on without TLS; 0 where that is turned off.
    pub port: u16,
    /// The port it listens on with TLS.
    pub tls_port: Option<u16>,
    /// Services that lead to one of its ports.
    pub services: Vec<ServicePort>,
    /// Its configuration: files, then arguments.
    pub config: Config,
    /// A part of the start that cannot be read from the set (a script inside the image), so that the configuration is incomplete.
    pub hidden_start: Option<(String, Place)>,
    /// Why the data directory is not known; `None` where it is.
    pub unknown_dir: Option<Unknown>,
    /// Its data directory and the volume behind it.
    pub data: Data,
    /// What clients must give; `None` where anybody may come in.
    pub password: Option<Password>,
    /// It follows a master, or may do so after its start.
    pub replicates: bool,
    /// Budgets that count its pods.
    pub budgets: Vec<ObjectKey>,
    /// Policies that select its pods.
    pub policies: Vec<ObjectKey>,
}

/// A container that runs Redis Sentinel.
#[derive(Clone, Debug)]
pub struct Sentinel {
    /// Which container.
    pub id: ContainerId,
    /// How many pods of it are asked for; `None` for one a node.
    pub replicas: Option<u64>,
    /// The port it listens on.
    pub port: u16,
    /// Services that lead to it.
    pub services: Vec<ServicePort>,
    /// Its configuration.
    pub config: Config,
    /// The masters that it watches.
    pub monitors: Vec<Monitor>,
    /// Budgets that count its pods.
    pub budgets: Vec<ObjectKey>,
    /// Policies that select its pods.
    pub policies: Vec<ObjectKey>,
}

/// A master that a Sentinel watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// `mymaster`.
    pub name: String,
    /// Address or name, as written.
    pub host: String,
    /// As written; `None` where it is no number.
    pub port: Option<u16>,
    /// How many Sentinels must agree; `None` where it is no number.
    pub quorum: Option<u32>,
    /// In milliseconds; 30,000 where nothing is written.
    pub down_after: u64,
    /// In milliseconds; 180,000 where nothing is written.
    pub failover_timeout: u64,
    /// Where the `sentinel monitor` line stands.
    pub place: Place,
}

/// A container that reports metrics of Redis.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// Which container.
    pub id: ContainerId,
    /// The port it listens on.
    pub port: u16,
    /// Services that lead to it.
    pub services: Vec<ServicePort>,
}

/// A container that is none of these and names a Service of Redis or Sentinel.
#[derive(Clone, Debug)]
pub struct Client {
    /// Which container.
    pub id: ContainerId,
    /// It runs to its end instead of staying.
    pub ends: bool,
    /// The addresses that it is given.
    pub addresses: Vec<Address>,
}

/// A container of which the set does not tell whether it is Redis, Sentinel or something else.
#[derive(Clone, Debug)]
pub struct Undecided {
    /// Which container.
    pub id: ContainerId,
    /// Why, and where it is decided.
    pub unknown: Unknown,
}

/// Who is who in a set.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    /// In the order of the set.
    pub redis: Vec<Redis>,
    /// In the order of the set.
    pub sentinels: Vec<Sentinel>,
    /// In the order of the set.
    pub exporters: Vec<Exporter>,
    /// In the order of the set.
    pub clients: Vec<Client>,
    /// Every other container that stays.
    pub others: Vec<ContainerId>,
    /// Containers that may be Redis or Sentinel; only the running container knows.
    pub undecided: Vec<Undecided>,
}

/// A container with everything that must be read to know it.
struct Seen<'s> {
    container: Container<'s>,
    environment: Vec<Variable>,
    files: Vec<File>,
    start: Start,
}

impl Roles {
    /// Reads the roles of a set.
    #[must_use]
    pub fn of(set: &ManifestSet) -> Self {
        let mut roles = Self::default();
        let mut rest: Vec<Seen<'_>> = Vec::new();
        for workload in set.workloads() {
            let mut disk = disk::Disk::default();
            for container in workload.containers() {
                let environment = environment::variables(set, &container);
                let files = mounted::files(set, &container);
                let start = program::start(set, &container, &environment, &files, &disk);
                disk.run(&container, &start, environment::known(&environment), &files);
                let seen = Seen { container, environment, files, start };
                let stays = workload.lasts() && !seen.container.init;
                match seen.start.runs {
                    Runs::Redis if stays => roles.redis.push(redis::redis(set, &seen, &disk)),
                    Runs::Sentinel if stays => roles.sentinels.push(redis::sentinel(set, &seen, &disk)),
                    Runs::Unknown if stays => {
                        let id = ContainerId::of(&seen.container);
                        let (why, place) =
                            seen.start.doubt.clone().unwrap_or_else(|| ("only the running container knows".to_owned(), id.place.clone()));
                        roles.undecided.push(Undecided { id, unknown: Unknown { why, place } });
                    }
                    _ => match exporter_port(&seen.container) {
                        Some(port) if stays => {
                            let services = around::services(set, &workload, port);
                            roles.exporters.push(Exporter { id: ContainerId::of(&seen.container), port, services });
                        }
                        _ => rest.push(seen),
                    },
                }
            }
        }
        let services: Vec<ServicePort> = roles
            .redis
            .iter()
            .flat_map(|redis| &redis.services)
            .chain(roles.sentinels.iter().flat_map(|sentinel| &sentinel.services))
            .cloned()
            .collect();
        for seen in rest {
            let addresses = clients::addresses(&seen.container, &seen.environment, &seen.files, &services);
            let ends = seen.container.init || !seen.container.workload.lasts();
            let id = ContainerId::of(&seen.container);
            if !addresses.is_empty() {
                roles.clients.push(Client { id, ends, addresses });
            } else if !ends {
                roles.others.push(id);
            }
        }
        roles
    }
}

impl ContainerId {
    fn of(container: &Container<'_>) -> Self {
        let owner = container.workload.object;
        Self {
            workload: owner.key(),
            pointer: container.pointer.clone(),
            name: container.name().to_owned(),
            image: container.image(),
            place: owner.place_of(&container.pointer),
        }
    }
}

/// The port of an exporter of Redis metrics; `None` for other containers.
fn exporter_port(container: &Container<'_>) -> Option<u16> {
    let base = container.image().base().replace('_', "-");
    let by_name = base.contains("exporter") && (base.contains("redis") || base.contains("valkey"));
    if by_name {
        return Some(container.ports().first().copied().unwrap_or(9121));
    }
    container.ports().into_iter().find(|port| *port == 9121)
}

impl ManifestSet {
    /// The environment that the set gives a container.
    #[must_use]
    pub fn environment(&self, container: &Container<'_>) -> Vec<Variable> {
        environment::variables(self, container)
    }
}
