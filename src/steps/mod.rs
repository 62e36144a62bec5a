//! The phrases that features may use, by noun; a step knows no target, only verbs and capabilities.

mod bus;
mod claims;
mod data;
mod exposure;
mod failure;
mod faults;
mod generic;
mod kustomization;
mod live;
mod manifests;
mod memory;
mod obstacles;
mod pods;
mod promise;
mod redis;
mod runbook;
mod secrets;
mod servers;
mod stage;
mod variants;
mod workload;
mod world;

pub use failure::{Failure, Step, within_scenario};
pub use world::World;
