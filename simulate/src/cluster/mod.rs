//! Kubernetes, as far as it matters: the API server, kubelets, the StatefulSet's controller, the garbage collector, leases.

pub mod api;
mod controller;
pub mod kubelet;
pub(crate) mod objects;
