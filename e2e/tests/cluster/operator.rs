//! The operator itself ends, is replaced, is misled.

use crate::{GAP, SETTLE, START, WARM_UP, kill_master};
use anyhow::{Context, Result, ensure};
use e2e::fault::Signal;
use e2e::harness::{Needs, run_lent};
use e2e::log;
use e2e::nuisance::{heard, replace_operator, script, stall};
use e2e::operator;
use e2e::outage;
use e2e::pod::restarts;
use e2e::space::{call, until};
use e2e::trial::{self, Expect};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::{Api, ResourceExt};
use redis_operator_core::names;
use serde_json::json;
use std::time::{Duration, Instant};

/// A leader that is asked to stop gives the lease up; a standby looks at it twice a second.
const HAND_OVER: Duration = Duration::from_secs(2);

/// A script of four seconds holds up its clients for as long.
const SCRIPT_GAP: Duration = Duration::from_secs(5);

#[test]
fn o06_a_stopped_leader_hands_over_at_once() -> Result<()> {
    run_lent("o06", Needs::Nodes, async |redis| {
        redis.settled(START).await?;
        let cluster = &redis.space.cluster;
        let before = operator::holder(cluster).await?;
        let leader = operator::leading_process(cluster).await?;
        let begun = Instant::now();
        leader.send(Signal::Term)?;
        until("another leader", HAND_OVER, async || {
            Ok(operator::holder(cluster).await? != before)
        })
        .await?;
        println!("o06: handed over after {} ms", begun.elapsed().as_millis());
        operator::ready(cluster, SETTLE).await?;
        let verdict = trial::run(redis, Expect::Failover, async |before| kill_master(redis, before)).await?;
        println!("{}", verdict.line());
        verdict.ensure_swift(GAP)
    })
}

/// A leader that has heard nothing of a master before begins to look at it while it says little or nothing.
#[test]
fn d03_d13_an_operator_that_begins_in_the_middle_of_a_script_or_of_a_stall() -> Result<()> {
    run_lent("d13", Needs::Nodes, async |redis| {
        let verdict = trial::under_writes(redis, Expect::SameMaster, WARM_UP, async |before| {
            let at = log::now();
            tokio::try_join!(script(redis, before), replace_operator(redis, false))?;
            heard(redis, before).await?;
            tokio::try_join!(stall(redis, before), replace_operator(redis, false))?;
            Ok(at)
        })
        .await?;
        println!("d03, d13: {}", verdict.line());
        let (before, after) = (verdict.before.record.term, verdict.after.record.term);
        ensure!(before == after, "term {after} after term {before}");
        verdict.ensure_smooth(SCRIPT_GAP)
    })
}

/// There and back: a version after this one, and the one before it.
#[test]
fn r13_a_new_operator_image_restarts_no_instance() -> Result<()> {
    run_lent("r13", Needs::Nodes, async |redis| {
        let cluster = &redis.space.cluster;
        let image = operator::image(cluster).await?;
        let newer = format!("{image}-newer");
        let nodes = Api::<Node>::all(cluster.client.clone());
        for node in call(nodes.list(&Default::default())).await?.items {
            cluster.local()?.tag(&node.name_any(), &image, &newer)?;
        }
        let verdict = trial::run(redis, Expect::SameMaster, async |_| {
            let at = log::now();
            for image in [&newer, &image] {
                operator::set_image(cluster, image).await?;
                operator::ready(cluster, SETTLE).await?;
            }
            Ok(at)
        })
        .await;
        operator::set_image(cluster, &image).await?;
        let verdict = verdict?;
        println!("{}", verdict.line());
        for (before, after) in verdict.before.pods().zip(verdict.after.pods()) {
            ensure!(before.uid() == after.uid(), "{} was replaced", before.name_any());
            ensure!(
                restarts(after, names::CONTAINER_REDIS) == restarts(before, names::CONTAINER_REDIS),
                "{} was restarted",
                after.name_any()
            );
        }
        verdict.ensure_smooth(GAP)
    })
}

/// Nothing is promoted on the word of a record that cannot be right; a newer operator's is left alone.
#[test]
fn b07_a_record_edited_into_nonsense() -> Result<()> {
    run_lent("b07", Needs::Network, async |redis| {
        let before = redis.settled(START).await?;
        let own = serde_json::to_value(&before.record)?;
        let mut newer = own.clone();
        *newer.get_mut("version").context("a version")? = json!(99);
        let edits = [
            (json!({ "version": 1, "seq": "many" }), ["status.record", "Remove it"]),
            (newer.clone(), ["status.record", "99"]),
        ];
        for (record, words) in edits {
            write_record(redis, Some(&record)).await?;
            println!("b07: {}", redis.says(&words, SETTLE).await?);
            let kept = redis.get().await?.status.and_then(|status| status.record);
            ensure!(kept.as_ref() == Some(&record), "it was touched: {kept:?}");
            redis.ask(&before.master, &["SET", "x", "1"])?;
            write_record(redis, None).await?;
            let after = redis.settled(SETTLE).await?;
            let process = |it: &e2e::subject::Settled| it.record.master.as_ref().map(|master| master.run_id.clone());
            ensure!(
                process(&after) == process(&before),
                "{:?} in place of {:?}",
                after.record,
                before.record
            );
        }
        Ok(())
    })
}

async fn write_record(redis: &e2e::subject::Subject, record: Option<&serde_json::Value>) -> Result<()> {
    let operation = match record {
        Some(record) => json!([{ "op": "replace", "path": "/status/record", "value": record }]),
        None => json!([{ "op": "remove", "path": "/status/record" }]),
    };
    let patch = kube::api::Patch::<()>::Json(serde_json::from_value(operation)?);
    let api = redis.space.api::<redis_operator_core::api::Redis>();
    call(api.patch_status(&redis.name, &Default::default(), &patch)).await?;
    Ok(())
}

/// Nobody is told of it, and somebody else writes the status all the time: it happens all the same.
#[test]
fn o08_events_are_refused_and_the_status_is_contended() -> Result<()> {
    run_lent("o08", Needs::Nodes, async |redis| {
        redis.settled(START).await?;
        let roles = Api::<ClusterRole>::all(redis.space.cluster.client.clone());
        let role = call(roles.get(operator::CLUSTER_ROLE)).await?;
        let mut mute = role.clone();
        let events = |rule: &PolicyRule| rule.resources.iter().flatten().any(|it| it == "events");
        mute.rules
            .iter_mut()
            .for_each(|rules| rules.retain(|rule| !events(rule)));
        ensure!(mute != role, "the operator's role names no events");
        set_rules(&roles, &mute).await?;
        let verdict = trial::run(redis, Expect::Failover, async |before| {
            let meddler = tokio::spawn(meddle(redis.clone()));
            let at = kill_master(redis, before)?;
            let published = outage::another_published(redis, before).await;
            ensure!(!meddler.is_finished(), "nobody contended");
            meddler.abort();
            published.map(|()| at)
        })
        .await;
        set_rules(&roles, &role).await?;
        let verdict = verdict?;
        println!("{}", verdict.line());
        verdict.ensure_swift(GAP)
    })
}

async fn set_rules(roles: &Api<ClusterRole>, role: &ClusterRole) -> Result<()> {
    let patch = kube::api::Patch::Merge(json!({ "rules": role.rules }));
    call(roles.patch(operator::CLUSTER_ROLE, &Default::default(), &patch)).await?;
    Ok(())
}

/// Writes the status until it is aborted, or cannot.
async fn meddle(redis: e2e::subject::Subject) -> Result<()> {
    let api = redis.space.api::<redis_operator_core::api::Redis>();
    for number in 0_u64.. {
        let patch = kube::api::Patch::Merge(json!({ "status": { "summary": number.to_string() } }));
        call(api.patch_status(&redis.name, &Default::default(), &patch)).await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
