//! This machine as a cluster: pods are processes in namespaces of their own.
//!
//! `node` and `keeper` enter the namespaces in which everything runs, `runtime` makes sandboxes, networks and processes and
//! knows no Kubernetes; `control` is the API server, the controllers and the kubelet.

pub mod control;
mod id_map;
mod keeper;
pub mod node;
mod run_directory;
pub mod runtime;
mod status;
