//! Istio: its control plane reads the manifests of `deploy/istio`, its agent fetches the module and starts Envoy.

/// Istio's agent with its Envoy.
pub(crate) mod agent;
/// In place of a Kubernetes cluster.
pub(crate) mod cluster;
/// Istio's control plane.
pub(crate) mod control_plane;
/// At a gateway.
pub(crate) mod gateway;
/// In front of a workload.
pub(crate) mod inbound;
