//! A part of Kubernetes is away.

use crate::{GAP, SETTLE, START, kill_master};
use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::fault::Process;
use e2e::harness::{Needs, run, run_lent, spec};
use e2e::log::{self, Micros};
use e2e::operator;
use e2e::outage::{self, Killed, Paused};
use e2e::pod::node;
use e2e::space::until;
use e2e::subject::{Settled, Subject};
use e2e::trial::{self, Expect, Verdict};
use k8s_openapi::api::core::v1::Pod;
use std::time::Duration;
use tokio::time::sleep;

/// How long the API server is away.
const AWAY: Duration = Duration::from_secs(20);
/// Until the first write after it is back: watches and the lease have to begin anew.
const AFTERWARDS: Duration = Duration::from_secs(15);

/// Nobody's data needs the API server. A neighbour's master dies meanwhile: whatever was begun there stays harmless, and is
/// completed. One outage for both.
#[test]
fn o01_o10_the_api_server_is_away_and_a_neighbours_master_dies() -> Result<()> {
    run("o01", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let other = space.apply("b", spec(3)).await?;
        other.settled(START).await?;
        let mut bereft = None;
        let verdict = trial::run(&redis, Expect::SameMaster, async |_| {
            let at = log::now();
            // on the heap: unoptimised, both are more than a thread's stack
            bereft = Some(Box::pin(dies_meanwhile(&other)).await?);
            Ok(at)
        })
        .await?;
        println!("o01: {}", verdict.line());
        verdict.ensure_kept()?;
        ensure!(verdict.lost(false) == 0 && verdict.gap() <= GAP, "{}", verdict.line());
        ensure!(
            verdict.before.record.term == verdict.after.record.term,
            "a failover for nothing"
        );
        let (verdict, returned) = bereft.context("the neighbour")?;
        let first = verdict.first_write().context("nobody wrote again")?;
        let after = Duration::from_micros(first.saturating_sub(returned));
        println!(
            "o10: written {} ms after the return, {}",
            after.as_millis(),
            verdict.line()
        );
        verdict.ensure_kept()?;
        ensure!(
            after <= AFTERWARDS,
            "written only {after:?} after the API server was back"
        );
        operator::ready(&space.cluster, SETTLE).await
    })
}

/// The API server goes, then the master. What became of it, and when the API server was back.
async fn dies_meanwhile(redis: &Subject) -> Result<(Verdict, Micros)> {
    let cluster = &redis.space.cluster;
    let mut returned = 0;
    let verdict = trial::under_writes(redis, Expect::Failover, GAP, async |before| {
        let api_server = Killed::component(cluster.local()?, "cp", "kube-apiserver")?;
        let at = kill_master(redis, before)?;
        sleep(AWAY).await;
        back(cluster, api_server, before).await?;
        returned = log::now();
        Ok(at)
    })
    .await?;
    Ok((verdict, returned))
}

/// Starts the API server again, and with it everybody of Kubernetes' own who would look again only after up to a minute.
async fn back(cluster: &Cluster, api_server: Killed, settled: &Settled) -> Result<()> {
    drop(api_server);
    let pods = operator::space(cluster);
    until("the API server to be back", START, async || {
        pods.list::<Pod>("").await?;
        Ok(true)
    })
    .await?;
    let local = cluster.local()?;
    for name in ["kube-controller-manager", "kube-scheduler"] {
        drop(Killed::component(local, "cp", name)?);
    }
    for pod in settled.pods() {
        for name in ["kubelet", "kube-proxy"] {
            drop(Killed::component(local, node(pod), name)?);
        }
    }
    Ok(())
}

#[test]
fn o_without_the_controller_manager() -> Result<()> {
    run_lent("ocm", Needs::Nodes, async |redis| {
        replaced_without(redis, "kube-controller-manager", |_| Ok("cp")).await
    })
}

#[test]
fn o_without_the_kubelet_of_the_masters_node() -> Result<()> {
    run_lent("okl", Needs::Nodes, async |redis| {
        replaced_without(redis, "kubelet", |before| Ok(node(&before.master))).await
    })
}

/// Clients on the master's node, if there were any, would be lost until theirs goes on.
#[test]
fn o_without_the_proxy_of_the_masters_node() -> Result<()> {
    run_lent("okp", Needs::Nodes, async |redis| {
        replaced_without(redis, "kube-proxy", |before| Ok(node(&before.master))).await
    })
}

async fn replaced_without(redis: &Subject, component: &str, place: fn(&Settled) -> Result<&str>) -> Result<()> {
    let verdict: Verdict = trial::run(redis, Expect::Failover, async |before| {
        let process = Process::component(redis.space.cluster.local()?, place(before)?, component)?;
        let paused = Paused::stop(process)?;
        let at = kill_master(redis, before)?;
        outage::another_published(redis, before).await?;
        drop(paused);
        Ok(at)
    })
    .await?;
    println!("without {component}: {}", verdict.line());
    // What is stopped goes on afterwards, with a sync of kube-proxy's of its own.
    verdict.ensure_swift(GAP + GAP / 4)
}
