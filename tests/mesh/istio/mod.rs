//! Istio: its control plane reads the manifests of `deploy/istio`, its agent fetches the module and starts Envoy.

/// Istio's agent with its Envoy.
pub(crate) mod agent;
/// In place of a Kubernetes cluster.
pub(crate) mod cluster;
/// Istio's control plane.
pub(crate) mod control_plane;
/// The table of what happens when something fails.
mod fault_table;
/// What goes wrong.
pub(crate) mod faults;
/// At a gateway.
pub(crate) mod gateway;
/// In front of a workload.
pub(crate) mod inbound;
/// Behind a workload: requests that it makes.
pub(crate) mod outbound;
/// The manifest of the filter in front of a workload, changed.
mod plugin;
/// Records of requests.
pub(crate) mod statistics;
/// A client that must never be let through.
mod watch;
