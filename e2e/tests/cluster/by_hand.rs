//! What people ask for by annotations, under writes.

use crate::roll::ensure_replaced;
use crate::{BESIDE_GAP, SAY, SETTLE, START, WARM_UP};
use anyhow::{Context, Result, ensure};
use e2e::filter::Filter;
use e2e::harness::{Needs, run, run_lent, spec, spec_with};
use e2e::log;
use e2e::rolled::all_replaced;
use e2e::space::until;
use e2e::subject::Subject;
use e2e::trial::{self, Expect};
use kube::ResourceExt;
use redis_operator_core::api::{Answer, Redis};
use redis_operator_core::names;
use serde_json::json;

/// Waits until a wish has come to its end; the answer.
async fn answered(redis: &Subject, wish: &str) -> Result<Answer> {
    let mut found = None;
    until(&format!("the wish for {wish} to be answered"), SETTLE, async || {
        let status = redis.get().await?.status;
        let answer = status.and_then(|status| status.switchover).context("no answer")?;
        let ended = answer.outcome.as_deref().is_some_and(|outcome| outcome != "Begun");
        ensure!(ended && answer.request.as_deref() == Some(wish), "{answer:?}");
        found = Some(answer);
        Ok(true)
    })
    .await?;
    found.context("answered")
}

/// Asks for a switchover, and waits until it ends in this way, for this reason.
pub(crate) async fn ask(redis: &Subject, wish: &str, outcome: &str, why: &str) -> Result<()> {
    redis.annotate(names::ANNOTATION_SWITCHOVER, Some(wish)).await?;
    let answer = answered(redis, wish).await?;
    let (how, reason) = (answer.outcome.as_deref(), answer.reason.clone().unwrap_or_default());
    ensure!(how == Some(outcome) && reason.contains(why), "{wish}: {answer:?}");
    println!("{wish} {outcome}: {reason}");
    Ok(())
}

#[test]
fn a_switchover_that_is_asked_for_is_done_once() -> Result<()> {
    run_lent("hand", Needs::Network, async |redis| {
        let mut wish = String::new();
        let verdict = trial::under_writes(redis, Expect::Failover, WARM_UP, async |before| {
            wish = before.replicas.last().context("no replica")?.name_any();
            let at = log::now();
            redis.annotate(names::ANNOTATION_SWITCHOVER, Some(&wish)).await?;
            Ok(at)
        })
        .await?;
        println!("{}", verdict.line());
        let answer = answered(redis, &wish).await?;
        ensure!(answer.outcome.as_deref() == Some("Done"), "{answer:?}");
        let master = verdict.after.master.name_any();
        ensure!(master == wish, "{master} is master");
        verdict.ensure_smooth(BESIDE_GAP)?;
        let settled = redis.settled(SETTLE).await?;
        ensure!(settled.record.term == verdict.after.record.term, "it was done again");
        redis.annotate(names::ANNOTATION_SWITCHOVER, None).await?;
        Ok(())
    })
}

/// Each is answered with its reason, and the master stays.
#[test]
fn what_cannot_be_is_refused_and_one_that_is_behind_fails() -> Result<()> {
    run("refused", Needs::Nodes, async |space| {
        let never = json!({ "priorities": [{ "priority": 0, "ordinals": [2] }] });
        let redis = space.apply("a", spec_with(3, never)).await?;
        space.apply("b", spec(1)).await?.settled(START).await?;
        let verdict = trial::under_writes(&redis, Expect::SameMaster, WARM_UP, async |before| {
            let at = log::now();
            let master = before.master.name_any();
            for (wish, why) in [
                ("redis-a-7", "there is no pod redis-a-7"),
                ("redis-b-0", "name one of redis-a-0, redis-a-1, redis-a-2, or any"),
                (master.as_str(), "is the master already"),
                ("redis-a-2", "has priority 0"),
            ] {
                ask(&redis, wish, "Refused", why).await?;
            }
            let behind = redis.pod(1).await?;
            let filter = Filter::to(&redis.process(&before.master)?, &[behind])?;
            ask(&redis, "redis-a-1", "Failed", "did not catch up").await?;
            drop(filter);
            Ok(at)
        })
        .await?;
        println!("{}", verdict.line());
        let (before, after) = (verdict.before.record.term, verdict.after.record.term);
        ensure!(before == after, "term {after} after term {before}");
        verdict.ensure_complete()
    })
}

/// A wish that comes while another change of master goes on counts when that has ended.
#[test]
fn the_later_of_two_wishes_counts_and_so_does_one_in_a_failover() -> Result<()> {
    run("wishes", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |_| {
            let at = log::now();
            redis.annotate(names::ANNOTATION_SWITCHOVER, Some("redis-a-1")).await?;
            ask(&redis, "redis-a-2", "Done", "redis-a-2 is master").await?;
            Ok(at)
        })
        .await?;
        println!("two: {}", verdict.line());
        let master = verdict.after.master.name_any();
        ensure!(master == "redis-a-2", "{master} is master");
        verdict.ensure_complete()?;
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |before| {
            let at = crate::kill_master(&redis, before)?;
            redis.annotate(names::ANNOTATION_SWITCHOVER, Some("redis-a-1")).await?;
            let answer = answered(&redis, "redis-a-1").await?;
            println!("in a failover: {answer:?}");
            Ok(at)
        })
        .await?;
        println!("in a failover: {}", verdict.line());
        let master = verdict.after.master.name_any();
        ensure!(master == "redis-a-1", "{master} is master");
        verdict.ensure_safe()
    })
}

/// A restart is a roll. A switchover that is asked for in the same breath is done once, before the roll or in its middle.
#[test]
fn r04_a_restart_that_is_asked_for_replaces_every_pod() -> Result<()> {
    run("r04r", Needs::Network, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let time = "2026-01-31T12:00:00Z";
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |before| {
            let at = log::now();
            let wishes = json!({ names::ANNOTATION_RESTART: time, names::ANNOTATION_SWITCHOVER: "redis-a-1" });
            let both = json!({ "metadata": { "annotations": wishes } });
            space.merge::<Redis>("a", both).await?;
            // after the switchover the resource is whole for a moment
            all_replaced(&redis, before, SETTLE).await?;
            Ok(at)
        })
        .await?;
        ensure_replaced(&verdict)?;
        let restart = redis
            .get()
            .await?
            .status
            .and_then(|status| status.restart)
            .context("no answer")?;
        ensure!(
            restart.request.as_deref() == Some(time) && restart.outcome.as_deref() == Some("Done"),
            "{restart:?}"
        );
        let switched = answered(&redis, "redis-a-1").await?;
        ensure!(switched.outcome.as_deref() == Some("Done"), "{switched:?}");
        verdict.ensure_smooth(BESIDE_GAP)
    })
}

#[test]
fn a_paused_resource_is_left_alone_and_fails_over() -> Result<()> {
    run("paused", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        redis.settled(START).await?;
        redis.annotate(names::ANNOTATION_PAUSED, Some("yes")).await?;
        redis.says(&["redis-operator.dev/paused", "yes", "all"], SAY).await?;
        redis.annotate(names::ANNOTATION_PAUSED, Some("true")).await?;
        redis.says(&["nothing planned is done"], SAY).await?;
        let before = redis.settled(SETTLE).await?;
        redis.change(json!({ "podAnnotations": { "changed": "yes" } })).await?;
        crate::kill_master(&redis, &before)?;
        until("another master", SETTLE, async || {
            let record = e2e::subject::record(&redis.get().await?)?;
            Ok(record.term > before.record.term && record.master != before.record.master)
        })
        .await?;
        let uids =
            |pods: Vec<k8s_openapi::api::core::v1::Pod>| pods.iter().filter_map(ResourceExt::uid).collect::<Vec<_>>();
        let paused = uids(redis.pods().await?);
        let were: Vec<_> = before.pods().filter_map(ResourceExt::uid).collect();
        ensure!(paused.iter().all(|uid| were.contains(uid)), "a pod was replaced");
        redis.annotate(names::ANNOTATION_PAUSED, None).await?;
        let after = redis
            .settled_after(before.record.term.saturating_add(1), SETTLE)
            .await?;
        ensure!(
            after
                .pods()
                .filter_map(ResourceExt::uid)
                .all(|uid| !were.contains(&uid)),
            "the roll did not go on"
        );
        Ok(())
    })
}
