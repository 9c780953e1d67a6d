//! The master's process ends, under writes.

use crate::{BESIDE_GAP, GAP, SAY, SETTLE, START, WARM_UP, kill_master};
use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::fault::{Process, Signal};
use e2e::harness::{Needs, run, run_lent, spec, spec_with};
use e2e::operator;
use e2e::pod::restarts;
use e2e::resp::Trouble;
use e2e::space::{Space, call, until};
use e2e::subject::Subject;
use e2e::trial::{self, Expect, Verdict};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use redis_operator_core::names;
use serde_json::json;
use std::time::Duration;

/// Time after which a standby serves: the lease's three seconds from the last renewal that it saw, one look at it, each
/// half a second, and its first look at everything.
const TAKE_OVER: Duration = Duration::from_millis(4_500);

#[test]
fn d01_a_killed_master_is_replaced() -> Result<()> {
    run("d01", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        for told in 1..=2 {
            redis.settled(START).await?;
            let counted = failovers(&space.cluster).await?;
            let verdict = trial::run(&redis, Expect::Failover, async |before| kill_master(&redis, before)).await?;
            println!("{}", verdict.line());
            verdict.ensure_swift(GAP)?;
            ensure_told(space, told).await?;
            let now = failovers(&space.cluster).await?;
            ensure!(
                now > counted,
                "the leader's histogram has {now} failovers after {counted}"
            );
            let said = verdict.last_failover().context("status.lastFailover is empty")?;
            let replaced = verdict.before.master.name_any();
            ensure!(
                said.from.as_ref() == Some(&replaced),
                "said to replace {:?}, not {replaced}",
                said.from
            );
            ensure!(said.published_ms.is_some(), "no timeline: {said:?}");
        }
        Ok(())
    })
}

/// One event for each failover, and none of another kind of change.
async fn ensure_told(space: &Space, failovers: i32) -> Result<()> {
    until("the events", SAY, async || {
        let events = space.list::<Event>("").await?;
        let times = |reason: &str| -> i32 {
            let all = events.iter().filter(|event| event.reason.as_deref() == Some(reason));
            all.map(|event| event.series.as_ref().map_or(1, |series| series.count))
                .sum()
        };
        let told = ["FailedOver", "SwitchedOver", "TermBegan"].map(times);
        ensure!(
            told == [failovers, 0, 1],
            "events of failovers, switchovers, other terms: {told:?}"
        );
        Ok(true)
    })
    .await
}

/// How many failovers the leader has measured since it leads, as its `/metrics` tells.
async fn failovers(cluster: &Cluster) -> Result<u64> {
    let (leader, space) = (operator::leader(cluster).await?.name_any(), operator::NAMESPACE);
    let path = format!("/api/v1/namespaces/{space}/pods/{leader}:{METRICS}/proxy/metrics");
    let metrics = call(cluster.client.request_text(http::Request::get(path).body(Vec::new())?)).await?;
    let mut lines = metrics.lines();
    let count = lines.find_map(|line| line.strip_prefix("redis_operator_failover_duration_seconds_count "));
    Ok(count.context("no histogram of failovers")?.trim().parse()?)
}

/// The port of the operator's `/metrics`.
const METRICS: u16 = 8080;

#[test]
fn d01_a_killed_replica_changes_nothing_for_clients() -> Result<()> {
    run_lent("d01r", Needs::Nodes, async |redis| {
        let verdict = trial::run(redis, Expect::SameMaster, async |before| {
            let starts = |pod: &&Pod| restarts(pod, names::CONTAINER_REDIS);
            let replica = before.replicas.iter().min_by_key(starts).context("no replica")?;
            let at = redis.process(replica)?.send(Signal::Kill)?;
            restarted(redis, replica).await.map(|_| at)
        })
        .await?;
        println!("{}", verdict.line());
        verdict.ensure_smooth(GAP)
    })
}

/// The container is back, empty, before the operator can look. It must not take a write, answer a read or feed anybody.
#[test]
fn d09_f01_f17_a_master_that_restarts_empty_is_fenced() -> Result<()> {
    run_lent("d09", Needs::Nodes, async |redis| {
        let verdict = trial::run(redis, Expect::Failover, async |before| {
            let operators = operators(redis).await?;
            for operator in &operators {
                operator.send(Signal::Stop)?;
            }
            let at = kill_master(redis, before)?;
            let fenced = fenced(redis, &before.master).await;
            for operator in &operators {
                operator.send(Signal::Continue)?;
            }
            fenced.map(|()| at)
        })
        .await?;
        println!("{}", verdict.line());
        verdict.ensure_safe()?;
        operator::ready(&redis.space.cluster, SETTLE).await
    })
}

async fn operators(redis: &Subject) -> Result<Vec<Process>> {
    let cluster = &redis.space.cluster;
    let pods = operator::pods(cluster).await?;
    let local = cluster.local()?;
    pods.iter()
        .map(|pod| Process::of(local, pod, operator::CONTAINER))
        .collect()
}

async fn fenced(redis: &Subject, master: &Pod) -> Result<()> {
    let pod = restarted(redis, master).await?;
    // an error says that the server is up; while it is not, the connection fails
    until("the server to be up", SETTLE, async || {
        match redis.ask(&pod, &["PING"]) {
            Err(error) => Ok(error
                .downcast_ref::<Trouble>()
                .is_some_and(|it| matches!(it, Trouble::Refusal(_)))),
            Ok(_) => Ok(true),
        }
    })
    .await?;
    for command in [vec!["SET", "x", "1"], vec!["GET", "x"], vec!["LRANGE", "x", "0", "-1"]] {
        let answer = redis.ask(&pod, &command);
        ensure!(answer.is_err(), "a fenced server answered {command:?} with {answer:?}");
    }
    Ok(())
}

/// Waits until kubelet has started the container of a killed process again; the pod then.
pub(crate) async fn restarted(redis: &Subject, pod: &Pod) -> Result<Pod> {
    let ordinal = names::ordinal(&pod.name_any(), &redis.name).context("an ordinal")?;
    let before = restarts(pod, names::CONTAINER_REDIS);
    until("the container to be back", SETTLE, async || {
        Ok(restarts(&redis.pod(ordinal).await?, names::CONTAINER_REDIS) > before)
    })
    .await?;
    redis.pod(ordinal).await
}

/// Its pod goes as well, with everything in it; a new one gets the name.
#[test]
fn f01_a_master_is_lost_together_with_its_data() -> Result<()> {
    run_lent("f01", Needs::Nodes, async |redis| {
        let verdict = lost_with_its_pod(redis, None).await?;
        verdict.ensure_swift(BESIDE_GAP)
    })
}

/// An object that vanished is not a process that ended: this one did end, but nothing says so, and it is treated as silent.
#[test]
fn d19_a_forced_deletion_is_no_proof() -> Result<()> {
    run_lent("d19", Needs::Nodes, async |redis| {
        let verdict = lost_with_its_pod(redis, Some(0)).await?;
        verdict.ensure_safe()
    })
}

async fn lost_with_its_pod(redis: &Subject, grace: Option<u32>) -> Result<Verdict> {
    let verdict = trial::under_writes(redis, Expect::Failover, WARM_UP, async |before| {
        let at = kill_master(redis, before)?;
        redis.space.remove(&before.master, grace).await?;
        Ok(at)
    })
    .await?;
    println!("{}", verdict.line());
    let name = verdict.before.master.name_any();
    let again = verdict.after.pods().find(|pod| pod.name_any() == name);
    ensure!(
        again.and_then(ResourceExt::uid) != verdict.before.master.uid(),
        "the pod is the same"
    );
    Ok(verdict)
}

#[test]
fn d16_the_leader_and_the_master_die_together() -> Result<()> {
    run_lent("d16", Needs::Nodes, async |redis| {
        let verdict = trial::run(redis, Expect::Failover, async |before| {
            let leader = operator::leading_process(&redis.space.cluster).await?;
            let master = redis.process(&before.master)?;
            leader.send(Signal::Kill)?;
            master.send(Signal::Kill)
        })
        .await?;
        println!("{}", verdict.line());
        verdict.ensure_swift(TAKE_OVER + GAP)?;
        operator::ready(&redis.space.cluster, SETTLE).await
    })
}

/// The sidecar is the operator's own image: without the right to read anything it ends at once, again and again.
#[test]
fn d15_a_sidecar_that_crash_loops_does_not_count() -> Result<()> {
    run("d15", Needs::Nodes, async |space| {
        let exporter = json!({ "exporter": { "image": operator::image(&space.cluster).await? } });
        let redis = space.apply("a", spec_with(3, exporter)).await?.unread();
        let redis = redis.excused("ExporterFailing");
        redis.settled(START).await?;
        until("the sidecars to crash", SETTLE, async || {
            let pods = redis.pods().await?;
            Ok(pods.iter().all(|pod| restarts(pod, names::CONTAINER_EXPORTER) > 0))
        })
        .await?;
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |before| {
            kill_master(&redis, before)
        })
        .await?;
        println!("{}", verdict.line());
        verdict.ensure_swift(BESIDE_GAP)
    })
}

#[test]
fn two_masters_of_different_resources_die_together() -> Result<()> {
    run("two", Needs::Nodes, async |space| {
        let (one, other) = (space.apply("a", spec(3)).await?, space.apply("b", spec(3)).await?);
        let also = other.settled(START).await?;
        let verdict = trial::under_writes(&one, Expect::Failover, WARM_UP, async |before| {
            kill_master(&other, &also)?;
            kill_master(&one, before)
        })
        .await?;
        println!("{}", verdict.line());
        // kube-proxy leaves a second between two syncs: the second publication may have to wait for the first one's
        verdict.ensure_swift(BESIDE_GAP)?;
        other.settled_after(also.record.term, SETTLE).await?;
        Ok(())
    })
}

/// A client that speaks the replication protocol could satisfy guard and WAIT without keeping anything.
#[test]
fn f13_the_applications_user_cannot_pass_for_a_replica() -> Result<()> {
    run("f13", Needs::Network, async |space| {
        let redis = space.apply("a", spec(2)).await?;
        let settled = redis.settled(START).await?;
        let refused: [&[&str]; 10] = [
            &["PSYNC", "?", "-1"],
            &["SYNC"],
            &["REPLCONF", "ack", "0"],
            &["REPLICAOF", "NO", "ONE"],
            &["SLAVEOF", "127.0.0.1", "1"],
            &["FAILOVER"],
            &["SHUTDOWN", "NOSAVE"],
            &["CONFIG", "SET", "min-replicas-to-write", "0"],
            &["ACL", "SETUSER", "x", "on", "+@all"],
            &["CLUSTER", "INFO"],
        ];
        for command in refused {
            let answer = redis.ask(&settled.master, command);
            let error = answer.err().with_context(|| format!("{command:?} was answered"))?;
            ensure!(format!("{error:#}").contains("NOPERM"), "{command:?}: {error:#}");
        }
        let allowed: [&[&str]; 8] = [
            &["SET", "x", "1"],
            &["GET", "x"],
            &["INFO"],
            &["ROLE"],
            &["CLIENT", "LIST"],
            &["CONFIG", "GET", "maxmemory"],
            &["HELLO", "2"],
            &["COMMAND", "COUNT"],
        ];
        for command in allowed {
            redis.ask(&settled.master, command)?;
        }
        ensure!(
            redis.settled(SETTLE).await?.record.term == settled.record.term,
            "a failover"
        );
        Ok(())
    })
}
