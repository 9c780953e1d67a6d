//! What a pod's object says.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use redis_operator_core::names;
use std::net::SocketAddr;

/// The node of a pod; empty while it is on none.
pub fn node(pod: &Pod) -> &str {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or_default()
}

/// The role label of a pod.
pub fn role(pod: &Pod) -> Option<&str> {
    pod.labels().get(names::LABEL_ROLE).map(String::as_str)
}

/// Where a pod's server listens.
pub fn address(pod: &Pod) -> Result<SocketAddr> {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
    let ip = ip.with_context(|| format!("pod {} has no address", pod.name_any()))?;
    Ok(SocketAddr::new(ip.parse()?, u16::try_from(names::PORT_REDIS)?))
}

/// Starts of a container beyond the first.
pub fn restarts(pod: &Pod, container: &str) -> i32 {
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    statuses
        .filter(|status| status.name == container)
        .map(|status| status.restart_count)
        .sum()
}
