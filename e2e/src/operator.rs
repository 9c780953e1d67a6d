//! The operator in the cluster: its pods, and which of them leads.

use crate::cluster::Cluster;
use crate::fault::Process;
use crate::space::{Space, call, until};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use std::time::Duration;

/// Deployment, Lease and service account are all called this in `manifests/`.
pub const NAME: &str = "redis-operator";
/// Their ClusterRole.
pub const CLUSTER_ROLE: &str = "redis-operator.dev";
/// Their namespace.
pub const NAMESPACE: &str = "redis-operator-system";
/// The container in their pods.
pub const CONTAINER: &str = "operator";
/// Label of the operator's pods.
pub const SELECTOR: &str = "app.kubernetes.io/name=redis-operator";

/// The operator's namespace.
pub fn space(cluster: &Cluster) -> Space {
    Space::existing(cluster, NAMESPACE)
}

/// The operator's pods that run.
pub async fn pods(cluster: &Cluster) -> Result<Vec<Pod>> {
    let mut pods = space(cluster).list::<Pod>(SELECTOR).await?;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(pods)
}

/// The operator's image.
pub async fn image(cluster: &Cluster) -> Result<String> {
    let deployment = call(space(cluster).api::<Deployment>().get(NAME)).await?;
    let spec = deployment.spec.and_then(|spec| spec.template.spec);
    let containers = spec.map(|spec| spec.containers).unwrap_or_default();
    let operator = containers.into_iter().find(|container| container.name == CONTAINER);
    operator
        .and_then(|container| container.image)
        .context("the operator has no image")
}

/// Lets the operator run another image, or the same.
pub async fn set_image(cluster: &Cluster, image: &str) -> Result<()> {
    let container = serde_json::json!({ "name": CONTAINER, "image": image });
    let pod = serde_json::json!({ "spec": { "containers": [container] } });
    let patch = Patch::Strategic(serde_json::json!({ "spec": { "template": pod } }));
    let deployments = space(cluster).api::<Deployment>();
    call(deployments.patch(NAME, &PatchParams::default(), &patch)).await?;
    Ok(())
}

/// Who holds the lease, as it says itself.
pub async fn holder(cluster: &Cluster) -> Result<String> {
    let lease = call(space(cluster).api::<Lease>().get(NAME)).await?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity);
    holder
        .filter(|holder| !holder.is_empty())
        .context("nobody holds the lease")
}

/// The pod of the leader.
pub async fn leader(cluster: &Cluster) -> Result<Pod> {
    let holder = holder(cluster).await?;
    let pods = pods(cluster).await?;
    let mut leading = pods.into_iter().filter(|pod| holder.contains(&pod.name_any()));
    leading
        .next()
        .with_context(|| format!("the leader {holder} is none of the operator's pods"))
}

/// The process of the leader.
pub async fn leading_process(cluster: &Cluster) -> Result<Process> {
    Process::of(cluster.local()?, &leader(cluster).await?, CONTAINER)
}

/// Runs this many operators in the cluster; a test that brings its own wants none beside them.
pub async fn scale(cluster: &Cluster, replicas: i32) -> Result<()> {
    let patch = serde_json::json!({ "spec": { "replicas": replicas } });
    space(cluster).merge::<Deployment>(NAME, patch).await?;
    until(
        "the operator's pods to be as many",
        Duration::from_secs(60),
        async || Ok(i32::try_from(space(cluster).list::<Pod>(SELECTOR).await?.len())? == replicas),
    )
    .await
}

/// Waits until every wanted operator pod is ready and one of them leads.
pub async fn ready(cluster: &Cluster, limit: Duration) -> Result<()> {
    until("the operator to be ready", limit, async || {
        let deployment = call(space(cluster).api::<Deployment>().get(NAME)).await?;
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
        let status = deployment.status.clone().unwrap_or_default();
        ensure!(
            status.observed_generation == deployment.metadata.generation,
            "rollout not begun"
        );
        ensure!(
            status.updated_replicas == wanted && status.replicas == wanted,
            "rollout not finished"
        );
        ensure!(
            status.ready_replicas == wanted,
            "{:?} of {wanted:?} ready",
            status.ready_replicas
        );
        leader(cluster).await?;
        Ok(true)
    })
    .await
}
