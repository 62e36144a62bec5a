//! Clients that run in a pod: what they send, what becomes of each write, and what of it is still there afterwards.
//!
//! The *agent* runs inside a client pod and speaks to Redis through the pod's own resolver and network; the *client* drives it from the
//! harness; the *ledger* holds every write with its fate, and is compared with what Redis has. Nothing here breaks anything: that is
//! `fault`.

pub mod agent;
mod client;
mod comparison;
mod endpoint;
mod error;
mod ledger;
mod link;
mod outage;
mod streams;
mod strings;
mod workload;
mod writing;

pub use agent::wire::{Answer, Bytes, Content, EntryId, Fate, Limits, NotEntryId, Tally, Value, WriteKind};
pub use client::{Client, Holding, HttpAnswer, HttpRequest, Reply};
pub use comparison::{Comparison, Difference, Loss};
pub use endpoint::{Endpoint, NotAnEndpoint, Secret};
pub use error::TrafficError;
pub use ledger::{Ledger, Planned, Write};
pub use outage::Outage;
pub use workload::{Kind, Load, Place, Workload};
pub use writing::{Progress, Writing};
