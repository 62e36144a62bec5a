//! This machine as a cluster: pods are processes in namespaces of their own.
//!
//! `runtime` makes sandboxes, networks and processes and knows no Kubernetes; `control` is the API server, the controllers and the kubelet.

pub mod control;
pub mod runtime;
