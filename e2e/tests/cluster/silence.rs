//! The master says nothing any more, or the operator does not hear it: it hangs, its node is cut off, or only somebody's
//! packets are lost.

use crate::failover::restarted;
use crate::{BESIDE_GAP, GAP, SAY, SETTLE, START, WARM_UP};
use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::fault::Signal;
use e2e::filter::{Fate, Filter};
use e2e::harness::{Needs, run, run_lent, spec, spec_with};
use e2e::limit::Limit;
use e2e::log;
use e2e::operator;
use e2e::outage::{self, Cable, Killed, Place};
use e2e::pod::node;
use e2e::space::{call, until};
use e2e::subject::{Settled, Subject};
use e2e::trial::{self, Expect, Verdict};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

/// No write for at most so long: the master hangs, with the default `downAfter` of 2 s. That is 4.4 s, and what a gap may be
/// longer beside other tests.
const HUNG: Limit = BESIDE_GAP.after(Duration::from_millis(4_400).saturating_sub(GAP));
/// Its node is cut off.
const CUT_OFF: Duration = Duration::from_secs(6);
/// The same where nothing may be lost: the former master's guard is waited for.
const FENCED: Duration = Duration::from_secs(9);
/// Its node is cut off with the leading operator on it.
const LEADERLESS: Duration = Duration::from_millis(7_500);
/// Less than this passes for no fence: `downAfter`, and M + 2 s from the freeze.
const FENCE: Duration = Duration::from_millis(4_500);
/// For how long nobody may do anything, in a fault that needs no answer: longer than links live without a sign of life.
const LAST: Duration = Duration::from_secs(12);

/// A guard that does not hear its replicas for `min-replicas-max-lag` refuses writes: for the rest of [`LAST`].
const REFUSED: Duration = Duration::from_secs(5);

#[test]
fn d02_f06_a_hung_master_is_replaced() -> Result<()> {
    run_lent("d02", Needs::Nodes, async |redis| {
        let verdict = trial::under_writes(redis, Expect::Failover, WARM_UP, async |before| hang(redis, before)).await?;
        println!("d02, ended by liveness: {}", verdict.line());
        ensure_replaced(&verdict, HUNG)?;
        restarted(redis, &verdict.before.master).await.map(drop)
    })
}

/// Resumed, it would take what waits in its sockets and go on as if nothing had happened.
#[test]
fn d02_f06_a_hung_master_is_resumed_after_it_was_replaced() -> Result<()> {
    run("d02r", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec_with(3, json!({ "downAfter": "1s" }))).await?;
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |before| {
            let process = redis.process(&before.master)?;
            let at = process.send(Signal::Stop)?;
            outage::another_published(&redis, before).await?;
            process.send(Signal::Continue)?;
            Ok(at)
        })
        .await?;
        println!("d02, 1 s, resumed: {}", verdict.line());
        // the witnesses take their 2 s, in whole seconds, whatever downAfter says
        ensure_replaced(&verdict, HUNG)
    })
}

#[test]
fn d02_a_hung_master_is_fenced_where_nothing_may_be_lost() -> Result<()> {
    run("d02d", Needs::Nodes, async |space| {
        let redis = space
            .apply("a", spec_with(3, json!({ "policy": "Durability" })))
            .await?;
        let verdict =
            trial::under_writes(&redis, Expect::Failover, WARM_UP, async |before| hang(&redis, before)).await?;
        println!("d02, Durability: {}", verdict.line());
        ensure_fenced(&verdict)
    })
}

fn hang(redis: &Subject, before: &Settled) -> Result<log::Micros> {
    redis.process(&before.master)?.send(Signal::Stop)
}

fn ensure_replaced(verdict: &Verdict, limit: impl Into<Limit>) -> Result<()> {
    verdict.ensure_safe()?;
    verdict.ensure_gap(limit)
}

fn ensure_fenced(verdict: &Verdict) -> Result<()> {
    ensure_replaced(verdict, FENCED)?;
    let published = verdict.published().context("nobody was published")?;
    ensure!(published >= FENCE, "published after {published:?}: too soon");
    Ok(())
}

#[test]
fn d07_the_masters_node_is_cut_off() -> Result<()> {
    run_lent("d07", Needs::Nodes, async |redis| {
        let verdict = cut_off(redis).await?;
        println!("d07, Availability: {}", verdict.line());
        ensure_replaced(&verdict, CUT_OFF)
    })
}

#[test]
fn d07_the_masters_node_is_cut_off_where_nothing_may_be_lost() -> Result<()> {
    run("d07d", Needs::Nodes, async |space| {
        let redis = space
            .apply("a", spec_with(3, json!({ "policy": "Durability" })))
            .await?;
        let verdict = cut_off(&redis).await?;
        println!("d07, Durability: {}", verdict.line());
        ensure_fenced(&verdict)
    })
}

async fn cut_off(redis: &Subject) -> Result<Verdict> {
    let cluster = &redis.space.cluster;
    outage::lead_elsewhere(redis, START).await?;
    let verdict = trial::run(redis, Expect::Failover, async |before| {
        outage::unplug(redis, before).await
    })
    .await?;
    operator::ready(cluster, SETTLE).await?;
    Ok(verdict)
}

/// Nothing on it can say that it ended, and nothing hears it: it may as well be cut off. With the master goes a kubelet,
/// and an operator if one is there; all of them come back as new processes, under the names that they had.
#[test]
fn d07_the_masters_node_loses_its_power() -> Result<()> {
    run_lent("d07p", Needs::Nodes, async |redis| {
        outage::lead_elsewhere(redis, START).await?;
        let verdict = trial::run(redis, Expect::Failover, async |before| {
            outage::cut_power(redis, before).await
        })
        .await?;
        println!("d07, power: {}", verdict.line());
        node_ready(&redis.space.cluster, node(&verdict.before.master)).await?;
        operator::ready(&redis.space.cluster, SETTLE).await?;
        ensure_replaced(&verdict, CUT_OFF)?;
        restarted(redis, &verdict.before.master).await.map(drop)
    })
}

#[test]
fn d16_the_node_of_master_and_leader_is_cut_off() -> Result<()> {
    run_lent("d16n", Needs::Nodes, async |redis| {
        outage::bring_together(redis, START).await?;
        let verdict = trial::run(redis, Expect::Failover, async |before| {
            let leader = operator::leader(&redis.space.cluster).await?;
            ensure!(node(&leader) == node(&before.master), "the leader has moved");
            outage::unplug(redis, before).await
        })
        .await?;
        println!("d16, by node: {}", verdict.line());
        operator::ready(&redis.space.cluster, SETTLE).await?;
        ensure_replaced(&verdict, LEADERLESS)
    })
}

/// Somebody declares the node lost, though nobody knows what its processes do.
#[test]
fn d19_pod_and_node_of_a_cut_off_master_are_deleted() -> Result<()> {
    run_lent("d19n", Needs::Nodes, async |redis| {
        let cluster = &redis.space.cluster;
        let settled = redis.settled(START).await?;
        let lost = node(&settled.master).to_owned();
        outage::lead(cluster, Place::Beside(&lost)).await?;
        let nodes = Api::<Node>::all(cluster.client.clone());
        let verdict = trial::run(redis, Expect::Failover, async |before| {
            let (cable, at) = Cable::pull(cluster.local()?, &lost)?;
            // whatever becomes of this, the node has to come back: a kubelet registers it when it starts
            let kubelet = Killed::component(cluster.local()?, &lost, "kubelet")?;
            redis.space.remove(&before.master, Some(0)).await?;
            call(nodes.delete(&lost, &DeleteParams::default())).await?;
            outage::another_published(redis, before).await?;
            drop(cable);
            drop(kubelet);
            Ok(at)
        })
        .await?;
        println!("d19: {}", verdict.line());
        node_ready(cluster, &lost).await?;
        operator::ready(cluster, SETTLE).await?;
        ensure_replaced(&verdict, FENCED)
    })
}

async fn node_ready(cluster: &Cluster, name: &str) -> Result<()> {
    let nodes = Api::<Node>::all(cluster.client.clone());
    until("the node to be back", SETTLE, async || {
        let conditions = call(nodes.get(name)).await?.status.and_then(|status| status.conditions);
        let ready = |it: &k8s_openapi::api::core::v1::NodeCondition| it.type_ == "Ready" && it.status == "True";
        Ok(conditions.iter().flatten().any(ready))
    })
    .await
}

/// First its packets vanish, then they are refused: either way its replicas hear the master, so it lives.
#[test]
fn d04_d18_only_the_operator_is_cut_off_from_the_master() -> Result<()> {
    run("d04", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let operators = operator::pods(&space.cluster).await?;
        let verdict = trial::under_writes(&redis, Expect::SameMaster, WARM_UP, async |before| {
            let at = log::now();
            for fate in [Fate::Dropped, Fate::Reset] {
                let filter = Filter::from(&redis.process(&before.master)?, &operators, fate)?;
                let said = redis.says(&["does not answer the operator", "hears it"], SAY).await?;
                println!("d04: {said}");
                ensure_stalled(&redis, "MasterUnclear").await?;
                sleep(LAST / 2).await;
                ensure_stalled(&redis, "MasterUnclear").await?;
                drop(filter);
                redis.settled(SETTLE).await?;
            }
            Ok(at)
        })
        .await?;
        println!("d04, d18: {}", verdict.line());
        ensure_same_term(&verdict)?;
        verdict.ensure_smooth(GAP)
    })
}

pub(crate) async fn ensure_stalled(redis: &Subject, reason: &str) -> Result<()> {
    let status = redis.get().await?.status.unwrap_or_default();
    let stalled = status
        .conditions
        .iter()
        .find(|it| it.type_ == "Stalled" && it.status == "True");
    let found = stalled.map(|condition| condition.reason.as_str());
    ensure!(found == Some(reason), "Stalled {found:?} in place of {reason}");
    Ok(())
}

pub(crate) fn ensure_same_term(verdict: &Verdict) -> Result<()> {
    let (before, after) = (verdict.before.record.term, verdict.after.record.term);
    ensure!(before == after, "term {after} after term {before}");
    Ok(())
}

/// The replicas hear nothing, yet the operator does: the master lives, and its guard refuses what nobody would keep.
#[test]
fn d04_what_the_master_sends_to_its_replicas_is_lost() -> Result<()> {
    run("d04o", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let verdict = trial::under_writes(&redis, Expect::SameMaster, WARM_UP, async |before| {
            let at = log::now();
            let filter = Filter::to(&redis.process(&before.master)?, &before.replicas)?;
            sleep(LAST).await;
            drop(filter);
            Ok(at)
        })
        .await?;
        println!("one way: {}", verdict.line());
        ensure!(verdict.gap() >= REFUSED, "writes went on: {}", verdict.line());
        ensure_same_term(&verdict)?;
        verdict.ensure_safe()
    })
}
