//! `kubectl scale`, under writes.

use crate::{BESIDE_GAP, GAP, SETTLE, START, WARM_UP};
use anyhow::{Context, Result, ensure};
use e2e::harness::{Needs, run, spec};
use e2e::log;
use e2e::space::{call, until};
use e2e::trial::{self, Expect};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::Resource;
use kube::api::PostParams;
use redis_operator_core::api::Redis;
use redis_operator_core::names;
use serde_json::json;
use std::time::Duration;

#[test]
fn r03_three_five_three() -> Result<()> {
    run("r03", Needs::Network, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let verdict = trial::under_writes(&redis, Expect::SameMaster, WARM_UP, async |_| {
            let at = log::now();
            redis.scale(5).await?;
            let five = redis.settled(SETTLE).await?;
            ensure!(five.replicas.len() == 4, "{} replicas", five.replicas.len());
            ensure!(
                five.record.quorum == 2,
                "a quorum of {} with four replicas",
                five.record.quorum
            );
            redis.scale(3).await?;
            Ok(at)
        })
        .await?;
        println!("{}", verdict.line());
        ensure!(
            verdict.after.replicas.len() == 2 && verdict.after.record.quorum == 1,
            "{:?}",
            verdict.after.record
        );
        verdict.ensure_smooth(BESIDE_GAP)
    })
}

/// Each leave is finished before the next one begins, and writes go on: with one instance left those that wait for nobody.
#[test]
fn r18_r17_five_two_one_and_back() -> Result<()> {
    run("r18", Needs::Network, async |space| {
        let redis = space.apply("a", spec(5)).await?;
        let verdict = trial::under_writes(&redis, Expect::SameMaster, WARM_UP, async |_| {
            let at = log::now();
            for (replicas, quorum) in [(2, 1), (1, 0)] {
                redis.scale(replicas).await?;
                let left = redis.settled(SETTLE).await?;
                let found = left.record.quorum;
                ensure!(found == quorum, "a quorum of {found} with {replicas} instances");
            }
            redis.scale(5).await?;
            Ok(at)
        })
        .await?;
        println!("{}", verdict.line());
        ensure!(
            verdict.after.replicas.len() == 4 && verdict.after.record.quorum == 2,
            "{:?}",
            verdict.after.record
        );
        verdict.ensure_complete()?;
        let plain = verdict.accounts.iter().find(|account| account.wait.is_none());
        let gap = plain.context("nobody wrote without WAIT")?.gap.length();
        ensure!(gap <= GAP, "nobody could write for {gap:?}");
        Ok(())
    })
}

/// One instance has no failover, and takes writes at once, alone; it gets replicas later.
#[test]
fn r17_one_instance_and_back() -> Result<()> {
    run("r17", Needs::Network, async |space| {
        let redis = space.apply("a", spec(1)).await?;
        let alone = redis.settled(START).await?;
        redis.ask(&alone.master, &["SET", "x", "1"])?;
        redis.scale(2).await?;
        let two = redis.settled(SETTLE).await?;
        ensure!(two.record.master == alone.record.master, "the master changed");
        redis.scale(1).await?;
        let again = redis.settled(SETTLE).await?;
        redis.ask(&again.master, &["SET", "x", "2"])?;
        ensure!(again.record.quorum == 0, "quorum {} alone", again.record.quorum);
        Ok(())
    })
}

/// Up, down past the master's replicas and up again, without a pause.
#[test]
fn r03_three_five_two_three() -> Result<()> {
    run("r03w", Needs::Network, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let verdict = trial::under_writes(&redis, Expect::SameMaster, WARM_UP, async |_| {
            let at = log::now();
            for replicas in [5, 2, 3] {
                redis.scale(replicas).await?;
                redis.settled(SETTLE).await?;
            }
            Ok(at)
        })
        .await?;
        println!("{}", verdict.line());
        verdict.ensure_smooth(BESIDE_GAP)
    })
}

/// It looks every 15 s, and for new kinds every 30 s.
const AUTOSCALED: Duration = Duration::from_secs(90);

/// Below its least it asks for no measure, so none has to be there.
#[test]
fn an_autoscaler_scales_it() -> Result<()> {
    run("hpa", Needs::Cluster, async |space| {
        let redis = space.apply("a", spec(2)).await?;
        redis.settled(START).await?;
        let scale = call(space.api::<Redis>().get_scale("a")).await?;
        let selector = scale.status.and_then(|status| status.selector);
        ensure!(selector == Some(names::selector_text("a")), "{selector:?}");
        let autoscaler = json!({
            "metadata": { "name": "a" },
            "spec": {
                "scaleTargetRef": { "apiVersion": Redis::api_version(&()), "kind": Redis::kind(&()), "name": "a" },
                "minReplicas": 3, "maxReplicas": 4,
                "metrics": [{ "type": "Resource", "resource": {
                    "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 },
                } }],
            },
        });
        let autoscalers = space.api::<HorizontalPodAutoscaler>();
        call(autoscalers.create(&PostParams::default(), &serde_json::from_value(autoscaler)?)).await?;
        until("three to be wanted", AUTOSCALED, async || {
            Ok(redis.get().await?.spec.replicas == 3)
        })
        .await?;
        let settled = redis.settled(SETTLE).await?;
        ensure!(settled.replicas.len() == 2, "{} replicas", settled.replicas.len());
        Ok(())
    })
}
