//! Nodes that are cordoned and drained, under writes: a client that reconnects loses nothing.

use crate::{PLANNED_GAP, SAY, SETTLE, START};
use anyhow::{Context, Result, ensure};
use e2e::drain::{Cordon, drain, evict};
use e2e::harness::{Needs, run, run_lent, spec};
use e2e::log;
use e2e::pod::node;
use e2e::space::{call, until};
use e2e::trial::{self, Expect};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::EvictParams;
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

#[test]
fn r01_r02_each_node_in_turn_is_drained() -> Result<()> {
    run_lent("r02d", Needs::Nodes, async |redis| {
        let mut nodes: Vec<_> = redis
            .settled(START)
            .await?
            .pods()
            .map(|pod| node(pod).to_owned())
            .collect();
        nodes.sort();
        nodes.dedup();
        ensure!(nodes.len() == 3, "the pods are not spread: {nodes:?}");
        let verdict = trial::run(redis, Expect::Failover, async |_| {
            let at = log::now();
            for node in &nodes {
                let settled = drain(redis, node, SETTLE).await?;
                println!("r02d: {node} is drained; master {}", settled.master.name_any());
            }
            Ok(at)
        })
        .await?;
        println!("{}", verdict.line());
        verdict.ensure_smooth(PLANNED_GAP)
    })
}

/// For how long somebody tries to empty every node.
const IN_VAIN: Duration = Duration::from_secs(15);

/// No pod has another place to go to: one goes, as the budget allows, and the others serve on until there are places again.
#[test]
fn r02_all_nodes_are_drained_at_once() -> Result<()> {
    run_lent("r02a", Needs::Nodes, async |redis| {
        let verdict = trial::run(redis, Expect::Failover, async |before| {
            let at = log::now();
            let mut cordons = vec![];
            // the master's last: it has nowhere to go
            for pod in before.replicas.iter().chain([&before.master]) {
                cordons.push(Cordon::on(&redis.space.cluster, node(pod)).await?);
            }
            let master = before.master.name_any();
            call(redis.space.api::<Pod>().evict(&master, &EvictParams::default())).await?;
            let drains = before.replicas.iter().map(|pod| evict(redis, node(pod), SETTLE));
            let drained = timeout(IN_VAIN, try_join_all(drains)).await;
            for cordon in cordons.into_iter().rev() {
                cordon.off().await?;
            }
            ensure!(drained.is_err(), "every node is empty: {drained:?}");
            let pods = redis.pods().await?;
            let stayed = before
                .replicas
                .iter()
                .filter(|it| pods.iter().any(|pod| pod.uid() == it.uid()));
            ensure!(stayed.count() == 2, "more than the master went");
            Ok(at)
        })
        .await?;
        println!("{}", verdict.line());
        verdict.ensure_complete()
    })
}

/// An eviction that is not done by then is refused.
const REFUSED: Duration = Duration::from_secs(2);

/// The master moves away before anything is evicted, once, and stays where it is afterwards.
#[test]
fn e18_a_master_leaves_a_cordoned_node() -> Result<()> {
    run_lent("e18", Needs::Nodes, async |redis| {
        let settled = redis.settled(START).await?;
        let from = node(&settled.master).to_owned();
        let beside = settled
            .replicas
            .first()
            .map(|pod| node(pod).to_owned())
            .context("no replica")?;
        let also = Cordon::on(&redis.space.cluster, &beside).await?;
        let mut cordon = None;
        let verdict = trial::run(redis, Expect::Failover, async |_| {
            let at = log::now();
            cordon = Some(Cordon::on(&redis.space.cluster, &from).await?);
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
            .last_switchover()
            .and_then(|last| last.reason.clone())
            .unwrap_or_default();
        ensure!(last.starts_with("Switchover"), "{last}");
        verdict.ensure_smooth(PLANNED_GAP)
    })
}

/// The disruption budget lets a pod go that is not ready, whatever else is missing, and never the last copy in sync.
#[test]
fn r15_an_unready_pod_holds_no_drain_up_and_the_last_copy_stays() -> Result<()> {
    run("r15", Needs::Cluster, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let good = redis.settled(START).await?.redis.spec.image;
        redis
            .change(json!({ "image": "docker.io/library/no-such-image:1" }))
            .await?;
        redis.says(&["redis-a-2", "no-such-image"], SAY).await?;
        let budgets = space.api::<PodDisruptionBudget>();
        until("the budget to be used up", SETTLE, async || {
            let status = call(budgets.get("redis-a")).await?.status;
            Ok(status.is_some_and(|status| status.disruptions_allowed == 0 && status.current_healthy == 2))
        })
        .await?;
        let pods = space.api::<Pod>();
        for healthy in ["redis-a-0", "redis-a-1"] {
            // the client asks again as long as the budget says no
            let evicted = timeout(REFUSED, pods.evict(healthy, &EvictParams::default())).await;
            ensure!(!matches!(evicted, Ok(Ok(_))), "{healthy} may go: {evicted:?}");
            let pod = call(pods.get(healthy)).await?;
            ensure!(pod.metadata.deletion_timestamp.is_none(), "{healthy} goes");
        }
        call(pods.evict("redis-a-2", &EvictParams::default())).await?;
        redis.change(json!({ "image": good })).await?;
        let settled = redis.settled(SETTLE).await?;
        let node = settled
            .replicas
            .first()
            .map(|pod| node(pod).to_owned())
            .context("no replica")?;
        drain(&redis, &node, SETTLE).await?;
        Ok(())
    })
}
