//! The control plane of the local target.
