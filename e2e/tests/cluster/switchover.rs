//! Planned changes of master, under writes: nothing is lost, plain writes included.

use crate::{BESIDE_GAP, PLANNED_GAP, SETTLE, START, WARM_UP, kill_master};
use anyhow::{Context, Result, ensure};
use e2e::fault::Signal;
use e2e::harness::{Needs, run, run_lent, spec, spec_with};
use e2e::limit::Limit;
use e2e::log;
use e2e::space::{call, until};
use e2e::trial::{self, Expect, Verdict};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::EvictParams;
use kube::{Api, ResourceExt};
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn r01_a_master_whose_pod_is_deleted_hands_over() -> Result<()> {
    run_lent("r01", Needs::Network, async |redis| {
        for _ in 0..2 {
            let verdict = trial::run(redis, Expect::Failover, async |before| {
                let at = log::now();
                redis.space.remove(&before.master, None).await?;
                Ok(at)
            })
            .await?;
            ensure_handed_over(&verdict, PLANNED_GAP)?;
        }
        Ok(())
    })
}

/// What `kubectl drain` does: no new pods on the node, then an eviction, which the disruption budget allows.
#[test]
fn r01_r02_a_master_whose_node_is_drained_hands_over() -> Result<()> {
    run_lent("r02", Needs::Nodes, async |redis| {
        let node = redis.settled(START).await?.master.spec.and_then(|spec| spec.node_name);
        let node = node.context("the master is on no node")?;
        let nodes: Api<Node> = Api::all(redis.space.cluster.client.clone());
        call(nodes.cordon(&node)).await?;
        let verdict = trial::run(redis, Expect::Failover, async |before| {
            let at = log::now();
            let pods = redis.space.api::<Pod>();
            call(pods.evict(&before.master.name_any(), &EvictParams::default())).await?;
            Ok(at)
        })
        .await;
        call(nodes.uncordon(&node)).await?;
        ensure_handed_over(&verdict?, PLANNED_GAP)
    })
}

#[test]
fn r03_a_master_that_is_scaled_away_hands_over() -> Result<()> {
    run("r03m", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let settled = redis.settled(START).await?;
        // of three only the last one is left to replace the first
        redis.process(&redis.pod(1).await?)?.send(Signal::Kill)?;
        kill_master(&redis, &settled)?;
        let settled = redis.settled_after(settled.record.term, SETTLE).await?;
        let master = settled.master.name_any();
        ensure!(master == "redis-a-2", "{master} is master");
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |_| {
            let at = log::now();
            redis.scale(2).await?;
            Ok(at)
        })
        .await?;
        ensure!(verdict.after.pods().count() == 2, "pods are left");
        ensure_handed_over(&verdict, BESIDE_GAP)
    })
}

/// A preStop hook that holds its server up does so for as long as this.
const HELD_UP: Duration = Duration::from_secs(10);

/// Nobody is left to hand over to: nothing is held up, and what was acknowledged comes back from the volumes.
#[test]
fn r17_all_pods_that_are_deleted_at_once_go_at_once() -> Result<()> {
    run("r17a", Needs::Nodes, async |space| {
        let storage = json!({ "size": "1Gi", "storageClassName": "local", "whenDeleted": "Delete" });
        let config = json!({ "appendonly": "yes", "appendfsync": "always" });
        let stored = json!({ "config": config, "storage": storage });
        let redis = space.apply("a", spec_with(3, stored)).await?;
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |before| {
            let (at, begun) = (log::now(), Instant::now());
            for pod in before.pods() {
                space.remove(pod, None).await?;
            }
            let former: Vec<_> = before.pods().filter_map(ResourceExt::uid).collect();
            until("all of them to be gone", HELD_UP, async || {
                let pods = redis.pods().await?;
                Ok(!pods
                    .iter()
                    .filter_map(ResourceExt::uid)
                    .any(|uid| former.contains(&uid)))
            })
            .await?;
            println!("r17: gone after {:.1} s", begun.elapsed().as_secs_f64());
            Ok(at)
        })
        .await?;
        println!("{}", verdict.line());
        verdict.ensure_complete()
    })
}

fn ensure_handed_over(verdict: &Verdict, limit: impl Into<Limit>) -> Result<()> {
    println!("{}", verdict.line());
    let last = verdict
        .last_switchover()
        .context("status.lastSwitchover tells of another one")?;
    let reason = last.reason.clone().unwrap_or_default();
    ensure!(reason.starts_with("Switchover"), "it was no switchover: {reason}");
    verdict.ensure_smooth(limit)
}
