//! What `kubectl cordon` and `kubectl drain` do.

use crate::cluster::Cluster;
use crate::pod::node;
use crate::space::{call, until};
use crate::subject::{Settled, Subject};
use anyhow::Result;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::EvictParams;
use kube::{Api, ResourceExt};
use std::time::Duration;

/// A node that takes no new pods, until it is told otherwise.
#[must_use]
pub struct Cordon(Api<Node>, String);

impl Cordon {
    /// Cordons it.
    pub async fn on(cluster: &Cluster, node: &str) -> Result<Self> {
        let nodes: Api<Node> = Api::all(cluster.client.clone());
        call(nodes.cordon(node)).await?;
        Ok(Self(nodes, node.to_owned()))
    }

    /// Takes that back.
    pub async fn off(self) -> Result<()> {
        call(self.0.uncordon(&self.1)).await.map(drop)
    }
}

/// `kubectl drain`: evicts what is on the node, again and again as long as the disruption budget forbids it.
pub async fn evict(redis: &Subject, from: &str, limit: Duration) -> Result<()> {
    let pods = redis.space.api::<Pod>();
    until(&format!("{from} to be empty"), limit, async || {
        let all = redis.pods().await?;
        let here: Vec<_> = all.iter().filter(|pod| node(pod) == from).collect();
        for pod in here.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            match pods.evict(&pod.name_any(), &EvictParams::default()).await {
                Err(kube::Error::Api(status)) if [404, 429].contains(&status.code) => {}
                other => drop(other?),
            }
        }
        Ok(here.is_empty())
    })
    .await
}

/// Cordons a node, evicts what is there, waits until the resource is whole again, and takes the cordon back.
pub async fn drain(redis: &Subject, node: &str, limit: Duration) -> Result<Settled> {
    let cordon = Cordon::on(&redis.space.cluster, node).await?;
    let evicted = evict(redis, node, limit).await;
    let settled = redis.settled(limit).await;
    cordon.off().await?;
    evicted.and(settled)
}
