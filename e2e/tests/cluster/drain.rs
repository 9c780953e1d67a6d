//! Nodes that are cordoned and drained, under writes: a client that reconnects loses nothing.

use crate::{SETTLE, START};
use anyhow::{Context, Result, ensure};
use e2e::harness::{Needs, run, spec};
use e2e::log;
use e2e::pod::node;
use e2e::space::{Space, call, until};
use e2e::subject::{Settled, Subject};
use e2e::trial::{self, Expect};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::EvictParams;
use kube::{Api, ResourceExt};
use std::time::Duration;

/// The longest time in which nobody can write: the switchover, and kube-proxy's second if it has just synced.
const GAP: Duration = Duration::from_millis(1_300);

/// A node that takes no new pods, until it is told otherwise.
struct Cordon(Api<Node>, String);

impl Cordon {
    async fn on(space: &Space, node: &str) -> Result<Self> {
        let nodes: Api<Node> = Api::all(space.cluster.client.clone());
        call(nodes.cordon(node)).await?;
        Ok(Self(nodes, node.to_owned()))
    }

    async fn off(self) -> Result<()> {
        call(self.0.uncordon(&self.1)).await.map(drop)
    }
}

/// `kubectl drain`: evicts what is on the node, again and again as long as the disruption budget forbids it.
async fn evict(redis: &Subject, from: &str) -> Result<()> {
    let pods = redis.space.api::<Pod>();
    until(&format!("{from} to be empty"), SETTLE, async || {
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

async fn drain(redis: &Subject, node: &str) -> Result<Settled> {
    let cordon = Cordon::on(&redis.space, node).await?;
    let evicted = evict(redis, node).await;
    let settled = redis.settled(SETTLE).await;
    cordon.off().await?;
    evicted.and(settled)
}

#[test]
fn r01_r02_each_node_in_turn_is_drained() -> Result<()> {
    run("r02d", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let mut nodes: Vec<_> = redis
            .settled(START)
            .await?
            .pods()
            .map(|pod| node(pod).to_owned())
            .collect();
        nodes.sort();
        nodes.dedup();
        ensure!(nodes.len() == 3, "the pods are not spread: {nodes:?}");
        let verdict = trial::run(&redis, Expect::Failover, async |_| {
            let at = log::now();
            for node in &nodes {
                let settled = drain(&redis, node).await?;
                println!("r02d: {node} is drained; master {}", settled.master.name_any());
            }
            Ok(at)
        })
        .await?;
        println!("{}", verdict.line());
        verdict.ensure_smooth(GAP)
    })
}

/// The master moves away before anything is evicted, once, and stays where it is afterwards.
#[test]
fn e18_a_master_leaves_a_cordoned_node() -> Result<()> {
    run("e18", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let settled = redis.settled(START).await?;
        let from = node(&settled.master).to_owned();
        let beside = settled
            .replicas
            .first()
            .map(|pod| node(pod).to_owned())
            .context("no replica")?;
        let also = Cordon::on(space, &beside).await?;
        let mut cordon = None;
        let verdict = trial::run(&redis, Expect::Failover, async |_| {
            let at = log::now();
            cordon = Some(Cordon::on(space, &from).await?);
            Ok(at)
        })
        .await;
        also.off().await?;
        if let Some(cordon) = cordon {
            cordon.off().await?;
        }
        let verdict = verdict?;
        println!("{}", verdict.line());
        let now = node(&verdict.after.master);
        ensure!(now != from && now != beside, "the master is on {now}");
        ensure!(
            verdict
                .after
                .pods()
                .all(|pod| verdict.before.pods().any(|was| was.uid() == pod.uid())),
            "a pod was replaced"
        );
        let last = verdict
            .last_failover()
            .and_then(|last| last.reason.clone())
            .unwrap_or_default();
        ensure!(last.starts_with("Switchover"), "{last}");
        verdict.ensure_smooth(GAP)
    })
}
