//! A changed spec reaches every pod under writes, and nothing is lost, plain writes included.

use crate::{PLANNED_GAP, SAY, SETTLE, START, WARM_UP};
use anyhow::{Result, ensure};
use e2e::fault::Signal;
use e2e::harness::{Needs, run, spec};
use e2e::log::{self, Micros};
use e2e::operator;
use e2e::outage::{Cable, Paused};
use e2e::pod::{node, restarts};
use e2e::space::until;
use e2e::subject::{Settled, Subject};
use e2e::trial::{self, Expect, Verdict};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use redis_operator_core::names;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a roll of three pods may take, faults in the middle included.
const ROLL: Duration = Duration::from_secs(120);

/// Asks for other pods.
fn change() -> Value {
    json!({ "podAnnotations": { "changed": log::now().to_string() } })
}

/// Uids by name.
pub(crate) fn uids(settled: &Settled) -> BTreeMap<String, String> {
    let uid = |pod: &Pod| (pod.name_any(), pod.uid().unwrap_or_default());
    settled.pods().map(uid).collect()
}

/// Waits until the replica that is replaced first is another pod.
async fn begun(redis: &Subject, before: &Settled) -> Result<()> {
    let old = uids(before);
    until("the first replica to be replaced", SETTLE, async || {
        let now = redis.pods().await?;
        let other = |pod: &Pod| old.get(&pod.name_any()) != Some(&pod.uid().unwrap_or_default());
        Ok(now.iter().any(other))
    })
    .await
}

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
async fn with_a_fault(redis: &Subject, fault: impl AsyncFnOnce(&Settled) -> Result<()>) -> Result<Verdict> {
    let verdict = trial::under_writes(redis, Expect::Failover, WARM_UP, async |before| {
        let at: Micros = log::now();
        redis.change(change()).await?;
        begun(redis, before).await?;
        fault(before).await?;
        until("all pods to be replaced", ROLL, async || {
            let now = redis.pods().await?;
            let old = uids(before);
            let same = now
                .iter()
                .any(|pod| old.get(&pod.name_any()) == Some(&pod.uid().unwrap_or_default()));
            ensure!(!same && now.len() == old.len(), "{} pods", now.len());
            Ok(true)
        })
        .await?;
        Ok(at)
    })
    .await?;
    println!("{}", verdict.line());
    verdict.ensure_safe()?;
    Ok(verdict)
}

#[test]
fn r04_r08_a_changed_spec_is_rolled_out() -> Result<()> {
    run("r04", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let verdict = trial::run(&redis, Expect::Failover, async |_| {
            let at = log::now();
            redis.change(json!({ "config": { "maxmemory-policy": "allkeys-lru" }, "resources": { "requests": { "cpu": "11m" } } })).await?;
            Ok(at)
        })
        .await?;
        ensure_replaced(&verdict)?;
        let reply = redis.ask(&verdict.after.master, &["CONFIG", "GET", "maxmemory-policy"])?;
        ensure!(format!("{reply:?}").contains("allkeys-lru"), "{reply:?}");
        verdict.ensure_smooth(PLANNED_GAP)
    })
}

/// In memory, and never fewer copies than wanted: one pod more runs as long as it takes.
#[test]
fn r04_one_and_two_pods_in_memory_are_rolled() -> Result<()> {
    run("r04s", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(2)).await?;
        let verdict = trial::run(&redis, Expect::Failover, async |_| {
            let at = log::now();
            redis.change(change()).await?;
            Ok(at)
        })
        .await?;
        ensure_replaced(&verdict)?;
        verdict.ensure_smooth(PLANNED_GAP)?;
        redis.scale(1).await?;
        let alone = redis.settled(SETTLE).await?;
        redis.ask(&alone.master, &["SET", "kept", "yes"])?;
        redis.change(change()).await?;
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
        let verdict = trial::run(&redis, Expect::SameMaster, async |before| {
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
        verdict.ensure_smooth(PLANNED_GAP)
    })
}

#[test]
fn r06_the_leader_is_killed_in_the_middle_of_a_roll() -> Result<()> {
    run("r06o", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let verdict = with_a_fault(&redis, async |_| {
            operator::leading_process(&space.cluster).await?.send(Signal::Kill)?;
            Ok(())
        })
        .await?;
        ensure!(verdict.lost(false) == 0, "{} plain writes lost", verdict.lost(false));
        Ok(())
    })
}

#[test]
fn r06_the_master_hangs_in_the_middle_of_a_roll() -> Result<()> {
    run("r06h", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        with_a_fault(&redis, async |before| {
            let hung = Paused::stop(redis.process(&before.master)?)?;
            e2e::outage::another_published(&redis, before).await?;
            drop(hung);
            Ok(())
        })
        .await?;
        Ok(())
    })
}

/// The one that is to be master next dies in the middle of the switchover.
#[test]
fn r06_the_target_is_killed_in_the_middle_of_a_roll() -> Result<()> {
    run("r06t", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        with_a_fault(&redis, async |_| {
            let target = redis.target(SETTLE).await?;
            redis.process(&target)?.send(Signal::Kill)?;
            Ok(())
        })
        .await?;
        Ok(())
    })
}

#[test]
fn r06_the_masters_cable_is_pulled_in_the_middle_of_a_roll() -> Result<()> {
    run("r06c", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let settled = redis.settled(START).await?;
        e2e::outage::lead(&space.cluster, e2e::outage::Place::Beside(node(&settled.master))).await?;
        with_a_fault(&redis, async |before| {
            let (cable, _) = Cable::pull(space.cluster.local()?, node(&before.master))?;
            e2e::outage::another_published(&redis, before).await?;
            drop(cable);
            Ok(())
        })
        .await?;
        Ok(())
    })
}
