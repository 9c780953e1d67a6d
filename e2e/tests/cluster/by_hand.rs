//! What people ask for by annotations, under writes.

use crate::roll::ensure_replaced;
use crate::{GAP, PLANNED_GAP, SAY, SETTLE, START};
use anyhow::{Context, Result, ensure};
use e2e::harness::{Needs, run, spec};
use e2e::log;
use e2e::space::until;
use e2e::subject::Subject;
use e2e::trial::{self, Expect};
use kube::ResourceExt;
use redis_operator_core::api::Answer;
use redis_operator_core::names;
use serde_json::json;

/// Waits until a switchover is answered in this way; the answer.
async fn answered(redis: &Subject, outcome: &str) -> Result<Answer> {
    let mut found = None;
    until(&format!("a switchover to be {outcome}"), SAY, async || {
        let answer = redis.get().await?.status.and_then(|status| status.switchover);
        ensure!(
            answer.as_ref().and_then(|answer| answer.outcome.as_deref()) == Some(outcome),
            "{answer:?}"
        );
        found = answer;
        Ok(true)
    })
    .await?;
    found.context("answered")
}

#[test]
fn r06_a_switchover_that_is_asked_for_is_done_once_or_refused() -> Result<()> {
    run("r06", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let verdict = trial::run(&redis, Expect::Failover, async |_| {
            let at = log::now();
            redis.annotate(names::ANNOTATION_SWITCHOVER, Some("redis-a-2")).await?;
            Ok(at)
        })
        .await?;
        println!("{}", verdict.line());
        let answer = answered(&redis, "Done").await?;
        ensure!(answer.request.as_deref() == Some("redis-a-2"), "{answer:?}");
        let master = verdict.after.master.name_any();
        ensure!(master == "redis-a-2", "{master} is master");
        verdict.ensure_smooth(GAP)?;
        redis.annotate(names::ANNOTATION_SWITCHOVER, Some("redis-a-7")).await?;
        let reason = answered(&redis, "Refused").await?.reason.unwrap_or_default();
        ensure!(reason.contains("there is no pod redis-a-7"), "{reason}");
        let settled = redis.settled(SETTLE).await?;
        ensure!(settled.record.term == verdict.after.record.term, "something was done");
        Ok(())
    })
}

/// A restart is a roll; an annotation that is removed does not cause another one.
#[test]
fn r04_a_restart_that_is_asked_for_replaces_every_pod() -> Result<()> {
    run("r04r", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let time = "2026-01-31T12:00:00Z";
        let verdict = trial::run(&redis, Expect::Failover, async |_| {
            let at = log::now();
            redis.annotate(names::ANNOTATION_RESTART, Some(time)).await?;
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
        verdict.ensure_smooth(PLANNED_GAP)
    })
}

#[test]
fn o10_a_paused_resource_is_left_alone_and_fails_over() -> Result<()> {
    run("o10p", Needs::Nodes, async |space| {
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
