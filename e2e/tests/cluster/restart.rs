//! Every process ends at once.

use crate::{SAY, SETTLE, START};
use anyhow::{Context, Result, ensure};
use e2e::fault::{Process, Signal};
use e2e::harness::{Needs, run, spec, spec_with};
use e2e::pod::{address, restarts, role};
use e2e::resp::{Connection, Reply};
use e2e::space::{Space, call, until};
use e2e::subject::{Settled, Subject};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{Api, ResourceExt};
use redis_operator_core::names;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const KEYS: i64 = 100;
/// A WAIT of five seconds, and its answer.
const CONFIRM: Duration = Duration::from_secs(6);

fn stored(config: Value) -> Value {
    spec_with(
        3,
        json!({ "config": config, "storage": { "size": "1Gi", "storageClassName": "local", "whenDeleted": "Delete" } }),
    )
}

/// Fills the master, with every replica's confirmation.
fn fill(settled: &Settled) -> Result<()> {
    let mut master = Connection::open(address(&settled.master)?, None)?;
    for n in 0..KEYS {
        master.call(&["SET", &format!("key-{n}"), "value"])?;
    }
    // a replica that has just joined may take a second until its first confirmation
    let confirmed = master.call_within(&["WAIT", "2", "5000"], CONFIRM)?;
    ensure!(
        confirmed == Reply::Integer(2),
        "confirmed by {confirmed:?} of 2 replicas"
    );
    Ok(())
}

fn processes(redis: &Subject, settled: &Settled) -> Result<Vec<Process>> {
    settled.pods().map(|pod| redis.process(pod)).collect()
}

fn ensure_filled(redis: &Subject, settled: &Settled) -> Result<()> {
    for pod in settled.pods() {
        let keys = redis.ask(pod, &["DBSIZE"])?;
        ensure!(
            keys == Reply::Integer(KEYS),
            "{} has {keys:?} keys of {KEYS}",
            pod.name_any()
        );
    }
    Ok(())
}

#[test]
fn e22_all_restart_in_memory() -> Result<()> {
    run("e22m", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let before = redis.settled(START).await?;
        fill(&before)?;
        for process in processes(&redis, &before)? {
            process.send(Signal::Kill)?;
        }
        let after = redis.settled_after(before.record.term, SETTLE).await?;
        ensure!(
            after.master.name_any() == names::pod("a", 0),
            "nobody has data: the lowest ordinal"
        );
        redis.ask(&after.master, &["SET", "x", "1"])?;
        Ok(())
    })
}

#[test]
fn e22_all_restart_with_a_snapshot() -> Result<()> {
    run("e22r", Needs::Nodes, async |space| {
        let redis = space.apply("a", stored(json!({ "appendonly": "no" }))).await?;
        let before = redis.settled(START).await?;
        fill(&before)?;
        save(&redis, &before)?;
        for process in processes(&redis, &before)? {
            process.send(Signal::Kill)?;
        }
        let after = redis.settled_after(before.record.term, SETTLE).await?;
        ensure_filled(&redis, &after)
    })
}

#[test]
fn e11_e22_all_restart_with_a_log() -> Result<()> {
    run("e22a", Needs::Nodes, async |space| {
        let redis = space
            .apply("a", stored(json!({ "appendonly": "yes", "appendfsync": "always" })))
            .await?;
        let before = redis.settled(START).await?;
        fill(&before)?;
        for process in processes(&redis, &before)? {
            process.send(Signal::Kill)?;
        }
        let after = redis.settled_after(before.record.term, SETTLE).await?;
        ensure!(
            after.master.name_any() == before.master.name_any(),
            "ids are random now: the recorded master"
        );
        ensure_filled(&redis, &after)
    })
}

#[test]
fn e13_pod_0_has_lost_its_volume_with_a_log() -> Result<()> {
    run("e13a", Needs::Nodes, async |space| {
        pod_0_has_lost_its_volume(space, "yes").await
    })
}

#[test]
fn e13_pod_0_has_lost_its_volume_with_a_snapshot() -> Result<()> {
    run("e13r", Needs::Nodes, async |space| {
        pod_0_has_lost_its_volume(space, "no").await
    })
}

async fn pod_0_has_lost_its_volume(space: &Space, appendonly: &str) -> Result<()> {
    let redis = space.apply("a", stored(json!({ "appendonly": appendonly }))).await?;
    let before = redis.settled(START).await?;
    fill(&before)?;
    save(&redis, &before)?;
    let first = redis.pod(0).await?;
    let killed = processes(&redis, &before)?;
    redis.process(&first)?.send(Signal::Stop)?;
    empty(&folder(&redis, &first).await?)?;
    for process in killed {
        process.send(Signal::Kill)?;
    }
    let after = redis.settled_after(before.record.term, SETTLE).await?;
    ensure!(
        role(&redis.pod(0).await?) == Some(names::ROLE_REPLICA),
        "the empty one leads"
    );
    ensure_filled(&redis, &after)
}

fn save(redis: &Subject, settled: &Settled) -> Result<()> {
    settled.pods().try_for_each(|pod| redis.ask(pod, &["SAVE"]).map(|_| ()))
}

/// Where the volume of a pod is.
async fn folder(redis: &Subject, pod: &Pod) -> Result<PathBuf> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mut claims = volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref());
    let claim = &claims.next().context("no claim")?.claim_name;
    let claim = call(redis.space.api::<PersistentVolumeClaim>().get(claim)).await?;
    let volume = claim.spec.and_then(|spec| spec.volume_name).context("not bound")?;
    let volumes = Api::<PersistentVolume>::all(redis.space.cluster.client.clone());
    let local = call(volumes.get(&volume)).await?.spec.and_then(|spec| spec.local);
    Ok(local.context("no local volume")?.path.into())
}

fn empty(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            fs::remove_dir_all(path)?
        } else {
            fs::remove_file(path)?
        }
    }
    Ok(())
}

/// Four restarts of a container: kubelet pauses for 10, 20 and 40 s in between.
const CRASHES: Duration = Duration::from_secs(140);
/// The next time kubelet pauses for 80 s.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_replica_whose_cause_to_crash_is_gone_does_not_wait_for_kubelet() -> Result<()> {
    run("backoff", Needs::Nodes, async |space| {
        let redis = space.apply("a", stored(json!({ "appendonly": "no" }))).await?;
        let before = redis.settled(START).await?;
        fill(&before)?;
        let replica = before.replicas.first().context("no replica")?;
        let dump = folder(&redis, replica).await?.join("dump.rdb");
        let process = redis.process(replica)?;
        // stopped before, so that it saves nothing in between
        process.send(Signal::Stop)?;
        fs::write(&dump, "no dump")?;
        process.send(Signal::Kill)?;
        let name = replica.name_any();
        redis.says(&[&name, "CrashLoopBackOff"], SAY).await?;
        until("kubelet to have tried four times", CRASHES, async || {
            let pod = call(space.api::<Pod>().get(&name)).await?;
            let tries = restarts(&pod, names::CONTAINER_REDIS);
            ensure!(tries >= 4 || pod.uid() != replica.uid(), "{tries} restarts");
            Ok(true)
        })
        .await?;
        fs::remove_file(&dump)?;
        let begun = Instant::now();
        let after = redis.settled(SOON).await?;
        println!("backoff: back after {:.1} s", begun.elapsed().as_secs_f64());
        ensure!(after.record.term == before.record.term, "another master");
        let former = after.pods().any(|pod| pod.uid() == replica.uid());
        ensure!(!former, "kubelet was waited for");
        ensure_filled(&redis, &after)
    })
}
