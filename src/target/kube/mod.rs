//! A Kubernetes cluster as a target: real API server, scheduler, kubelets; each scenario in namespaces of its own.

mod applying;
mod client_pod;
mod cluster;
mod disturbing;
mod error;
mod images;
mod journal;
mod kinds;
mod lent;
mod mend;
mod names;
mod nodes;
mod our_pod;
mod probe;
mod processes;
mod program;
mod scenario;
pub mod source;
mod watches;

pub use cluster::{Access, Cluster, Given};
pub use journal::{Healing, Journal};
pub use mend::{Mended, mend_all};
