//! Proves that what a document promises about a Redis deployment is true of its Kubernetes manifests.
//!
//! `ARCHITECTURE.md` has the map of the rooms; each module's first sentence is its responsibility.

pub mod cli;
pub mod config;
pub mod evidence;
pub mod fault;
pub mod manifest;
pub mod mutants;
pub mod report;
pub mod run;
pub mod runbook;
pub mod spec;
pub mod steps;
pub mod target;
pub mod time;
pub mod traffic;
pub mod verdict;
pub mod wait;
