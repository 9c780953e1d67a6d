//! A changed spec reaches every pod under writes, and nothing is lost, plain writes included.

use crate::silence::ensure_stalled;
use crate::{BESIDE_GAP, SAY, SETTLE, START, WARM_UP};
use anyhow::{Result, ensure};
use e2e::harness::{Needs, run, spec, spec_with};
use e2e::log;
use e2e::pod::restarts;
use e2e::rolled::{Middle, begin, uids};
use e2e::space::until;
use e2e::subject::Settled;
use e2e::trial::{self, Expect, Verdict};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use redis_operator_core::names;
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

/// Everybody was replaced once, and nobody restarted beside that.
pub(crate) fn ensure_replaced(verdict: &Verdict) -> Result<()> {
    println!("{}", verdict.line());
    let (old, new) = (uids(&verdict.before), uids(&verdict.after));
    ensure!(old.keys().eq(new.keys()), "{old:?} {new:?}");
    ensure!(
        old.iter().all(|(name, uid)| new.get(name) != Some(uid)),
        "not all were replaced: {old:?} {new:?}"
    );
    let crashed = verdict
        .after
        .pods()
        .find(|pod| restarts(pod, names::CONTAINER_REDIS) > 0);
    ensure!(crashed.is_none(), "{:?} crashed", crashed.map(ResourceExt::name_any));
    Ok(())
}

/// A roll in whose middle something fails: what WAIT acknowledged is kept, and the roll comes to its end.
fn with_a_fault(id: &str, middle: Middle, judge: impl FnOnce(&Verdict) -> Result<()>) -> Result<()> {
    run(id, Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        middle.prepare(&redis).await?;
        let fault = async |before: &Settled| middle.befall(&redis, before).await;
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, fault).await?;
        println!("{}", verdict.line());
        verdict.ensure_safe()?;
        judge(&verdict)
    })
}

#[test]
fn r04_r08_a_changed_spec_is_rolled_out() -> Result<()> {
    run("r04", Needs::Network, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |_| {
            let at = log::now();
            redis.change(json!({ "config": { "maxmemory-policy": "allkeys-lru" }, "resources": { "requests": { "cpu": "11m" } } })).await?;
            Ok(at)
        })
        .await?;
        ensure_replaced(&verdict)?;
        let reply = redis.ask(&verdict.after.master, &["CONFIG", "GET", "maxmemory-policy"])?;
        ensure!(format!("{reply:?}").contains("allkeys-lru"), "{reply:?}");
        verdict.ensure_smooth(BESIDE_GAP)
    })
}

/// Nobody else may be master: the former one keeps its pod, whatever the spec says, and the roll ends once somebody may.
#[test]
fn r06_a_roll_whose_switchover_is_refused_leaves_the_master_alone() -> Result<()> {
    run("r06", Needs::Nodes, async |space| {
        let never = json!({ "priorities": [{ "priority": 0, "ordinals": [1, 2] }] });
        let redis = space.apply("a", spec_with(3, never)).await?;
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |before| {
            let at = begin(&redis).await?;
            let why = [
                "redis-a-0 does not follow the present spec",
                "redis-a-1 has priority 0",
                "redis-a-2 has priority 0",
            ];
            println!("r06: {}", redis.says(&why, SETTLE).await?);
            let master = redis.pod(0).await?;
            ensure!(
                master.uid() == before.master.uid()
                    && master.metadata.deletion_timestamp.is_none()
                    && restarts(&master, names::CONTAINER_REDIS) == 0,
                "the master was not left alone: {:?}",
                master.metadata
            );
            redis.change(json!({ "priorities": null })).await?;
            Ok(at)
        })
        .await?;
        ensure_replaced(&verdict)?;
        verdict.ensure_complete()
    })
}

/// Ten changes in as many seconds, to and fro, and more pods in the middle of what follows: the last word counts, for all.
#[test]
fn r04_a_spec_that_goes_back_and_forth_and_a_scale_in_the_middle() -> Result<()> {
    run("r04f", Needs::Network, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let turned = |n: usize| if n.is_multiple_of(2) { "to" } else { "fro" };
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |_| {
            let at = log::now();
            for n in 0..10 {
                redis
                    .change(json!({ "podAnnotations": { "turned": turned(n) } }))
                    .await?;
                sleep(Duration::from_secs(1)).await;
            }
            redis.scale(4).await?;
            Ok(at)
        })
        .await?;
        println!("{}", verdict.line());
        let pods: Vec<_> = verdict.after.pods().collect();
        let last = |pod: &&&Pod| pod.annotations().get("turned").map(String::as_str) == Some(turned(9));
        ensure!(
            pods.len() == 4 && pods.iter().filter(last).count() == 4,
            "not all of 4 pods follow the last change: {:?}",
            pods.iter().map(|pod| pod.annotations()).collect::<Vec<_>>()
        );
        verdict.ensure_complete()
    })
}

/// In memory, and never fewer copies than wanted: one pod more runs as long as it takes.
#[test]
fn r04_one_and_two_pods_in_memory_are_rolled() -> Result<()> {
    run("r04s", Needs::Network, async |space| {
        let redis = space.apply("a", spec(2)).await?;
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |_| begin(&redis).await).await?;
        ensure_replaced(&verdict)?;
        verdict.ensure_smooth(BESIDE_GAP)?;
        redis.scale(1).await?;
        let alone = redis.settled(SETTLE).await?;
        redis.ask(&alone.master, &["SET", "kept", "yes"])?;
        begin(&redis).await?;
        let after = redis.settled_after(alone.record.term.saturating_add(1), SETTLE).await?;
        ensure!(
            after.master.name_any() == names::pod("a", 0),
            "{}",
            after.master.name_any()
        );
        let reply = redis.ask(&after.master, &["GET", "kept"])?;
        ensure!(format!("{reply:?}").contains("yes"), "{reply:?}");
        Ok(())
    })
}

#[test]
fn r05_r19_a_spec_that_cannot_start_stops_and_goes_back() -> Result<()> {
    run("r05", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let good = redis.settled(START).await?.redis.spec.image;
        let verdict = trial::under_writes(&redis, Expect::SameMaster, WARM_UP, async |before| {
            let at = log::now();
            redis
                .change(json!({ "image": "docker.io/library/no-such-image:1" }))
                .await?;
            let said = redis
                .says(
                    &["0 of 3 pods follow the present spec", "redis-a-2", "no-such-image"],
                    SAY,
                )
                .await?;
            println!("r05: {said}");
            ensure_stalled(&redis, "RollStuck").await?;
            let (old, now) = (uids(before), redis.pods().await?);
            let same = now
                .iter()
                .filter(|pod| old.get(&pod.name_any()) == Some(&pod.uid().unwrap_or_default()));
            ensure!(same.count() == 2, "more than one pod was replaced");
            redis.change(json!({ "image": good })).await?;
            until("the broken pod to be replaced", SETTLE, async || {
                let pod = redis.pod(2).await?;
                let image = pod.spec.and_then(|spec| spec.containers.into_iter().next()?.image);
                Ok(image.as_ref() == Some(&good))
            })
            .await?;
            Ok(at)
        })
        .await?;
        println!("{}", verdict.line());
        verdict.ensure_smooth(BESIDE_GAP)
    })
}

#[test]
fn r06_the_leader_is_killed_in_the_middle_of_a_roll() -> Result<()> {
    with_a_fault("r06o", Middle::OperatorKilled, |verdict| {
        ensure!(verdict.lost(false) == 0, "{} plain writes lost", verdict.lost(false));
        Ok(())
    })
}

#[test]
fn r06_the_master_hangs_in_the_middle_of_a_roll() -> Result<()> {
    with_a_fault("r06h", Middle::MasterHangs, |_| Ok(()))
}

/// The one that is to be master next dies in the middle of the switchover.
#[test]
fn r06_the_target_is_killed_in_the_middle_of_a_roll() -> Result<()> {
    with_a_fault("r06t", Middle::TargetKilled, |_| Ok(()))
}

#[test]
fn r06_the_masters_cable_is_pulled_in_the_middle_of_a_roll() -> Result<()> {
    with_a_fault("r06c", Middle::CablePulled, |_| Ok(()))
}
