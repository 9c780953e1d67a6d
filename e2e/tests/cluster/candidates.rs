//! A master that is new, or whose replicas are about to go, dies: whoever has what was acknowledged is still a candidate.

use crate::by_hand::ask;
use crate::{SAY, SETTLE, WARM_UP};
use anyhow::{Result, ensure};
use e2e::fault::Signal;
use e2e::filter::Filter;
use e2e::harness::{Needs, run, spec};
use e2e::log::Micros;
use e2e::outage;
use e2e::pod::address;
use e2e::resp::{Connection, Reply};
use e2e::space::until;
use e2e::subject::{Settled, Subject, record};
use e2e::trial::{self, Expect};
use k8s_openapi::api::core::v1::Pod;
use redis_operator_core::record::{Phase, Stage};
use std::time::Duration;

/// A WAIT of five seconds, and its answer.
const CONFIRM: Duration = Duration::from_secs(6);

/// A write that so many replicas have confirmed; all of those that hear the master may have done so before it is asked.
fn confirmed_by(master: &Pod, hear: i64) -> Result<()> {
    let mut connection = Connection::open(address(master)?, None)?;
    connection.call(&["SET", "alone", "yes"])?;
    let confirmed = connection.call_within(&["WAIT", "1", "5000"], CONFIRM)?;
    let by = confirmed.integer().unwrap_or_default();
    ensure!((1..=hear).contains(&by), "confirmed by {confirmed:?}");
    Ok(())
}

fn ensure_kept(redis: &Subject, after: &Settled) -> Result<()> {
    let kept = redis.ask(&after.master, &["GET", "alone"])?;
    ensure!(
        kept == Reply::Text("yes".to_owned()),
        "what one had confirmed is lost: {kept:?}"
    );
    Ok(())
}

/// The former master alone follows its successor, which dies.
#[test]
fn e27_the_former_master_is_a_candidate_after_its_successor() -> Result<()> {
    run("e27", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let verdict = trial::under_writes(&redis, Expect::SameMaster, WARM_UP, async |before| {
            let (successor, deaf) = (redis.pod(1).await?, redis.pod(2).await?);
            let filter = Filter::newcomers(&redis.process(&successor)?, &[deaf])?;
            ask(&redis, "redis-a-1", "Done", "redis-a-1 is master").await?;
            until("the former master to have everything", SAY, async || {
                let record = record(&redis.get().await?)?;
                Ok(record.at(Stage::Full).any(|member| member.process.pod == "redis-a-0"))
            })
            .await?;
            confirmed_by(&successor, 1)?;
            dies(&redis, before, &successor, filter).await
        })
        .await?;
        println!("e27: {}", verdict.line());
        ensure_kept(&redis, &verdict.after)?;
        verdict.ensure_safe()
    })
}

/// Nobody has heard anything of the successor: the former master is promoted under the id that it had as master.
#[test]
fn e31_a_successor_that_nobody_heard_is_replaced_by_the_former_master() -> Result<()> {
    run("e31", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let verdict = trial::under_writes(&redis, Expect::SameMaster, WARM_UP, async |before| {
            let (successor, third) = (redis.pod(1).await?, redis.pod(2).await?);
            confirmed_by(&before.master, 2)?;
            let filter = Filter::newcomers(&redis.process(&successor)?, &[before.master.clone(), third])?;
            ask(&redis, "redis-a-1", "Done", "redis-a-1 is master").await?;
            dies(&redis, before, &successor, filter).await
        })
        .await?;
        println!("e31: {}", verdict.line());
        ensure_kept(&redis, &verdict.after)?;
        verdict.ensure_safe()
    })
}

/// Kills it, and waits until the former master is master again. The moment just before.
async fn dies(redis: &Subject, before: &Settled, successor: &Pod, filter: Filter) -> Result<Micros> {
    let at = redis.process(successor)?.send(Signal::Kill)?;
    until("the former master to be master", SETTLE, async || {
        let record = record(&redis.get().await?)?;
        ensure!(
            record.phase == Phase::Steady && record.master == before.record.master,
            "{:?} {:?}",
            record.phase,
            record.master
        );
        Ok(true)
    })
    .await?;
    drop(filter);
    Ok(at)
}

/// The replica that is to leave alone has a write when the master dies: it is a candidate until its leave has ended.
#[test]
fn e28_one_that_leaves_with_the_only_copy_is_a_candidate() -> Result<()> {
    run("e28", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |before| {
            let process = redis.process(&before.master)?;
            let filter = Filter::to(&process, &[redis.pod(1).await?])?;
            confirmed_by(&before.master, 1)?;
            redis.scale(2).await?;
            until("the last pod to leave", SAY, async || {
                let record = record(&redis.get().await?)?;
                Ok(record
                    .at(Stage::Leaving)
                    .any(|member| member.process.pod == "redis-a-2"))
            })
            .await?;
            let at = process.send(Signal::Kill)?;
            outage::another_published(&redis, before).await?;
            drop(filter);
            Ok(at)
        })
        .await?;
        println!("e28: {}", verdict.line());
        ensure_kept(&redis, &verdict.after)?;
        ensure!(verdict.after.replicas.len() == 1, "it did not leave");
        verdict.ensure_safe()
    })
}
