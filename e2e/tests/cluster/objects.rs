//! Objects that cannot be put right, and a master that dies meanwhile.

use crate::{GAP, SAY, SETTLE, START, kill_master};
use anyhow::{Context, Result, ensure};
use e2e::harness::{Needs, run, run_lent, spec};
use e2e::log::Micros;
use e2e::operator;
use e2e::outage;
use e2e::space::{Space, call, until};
use e2e::subject::{Settled, Subject, record};
use e2e::trial::{self, Expect};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy as Policy, ValidatingAdmissionPolicyBinding as Binding,
};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use redis_operator_core::names;
use redis_operator_core::record::Stage;
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

/// One object may not be created, and somebody edits another one as often as it is put right.
#[test]
fn o02_a_failover_waits_for_no_object_that_is_refused_or_quarrelled_over() -> Result<()> {
    run_lent("o02", Needs::Nodes, async |redis| {
        let verdict = trial::run(redis, Expect::Failover, async |before| {
            let refused = refuse_budgets(&redis.space).await;
            let killed = async {
                refused?;
                killed_meanwhile(redis, before).await
            }
            .await;
            allow_budgets(&redis.space).await?;
            killed
        })
        .await?;
        println!("o02: {}", verdict.line());
        verdict.ensure_swift(GAP)?;
        until("the budget to be back", SETTLE, async || {
            call(redis.space.api::<PodDisruptionBudget>().get(&names::object("a"))).await?;
            Ok(true)
        })
        .await
    })
}

/// Another holder cannot write the StatefulSet as it should be, and yet has to be the last that wrote it before anybody joins.
#[test]
fn o02_a_stateful_set_that_is_refused_keeps_no_replica_out() -> Result<()> {
    run("o02s", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(2)).await?;
        let before = redis.settled(START).await?;
        let more_than_allowed = json!({ "requests": { "memory": "2Gi" }, "limits": { "memory": "1Gi" } });
        redis.change(json!({ "resources": more_than_allowed })).await?;
        println!(
            "o02s: {}",
            redis.says(&["must be less than or equal to memory limit"], SAY).await?
        );
        let leader = operator::leader(&space.cluster).await?;
        operator::space(&space.cluster).remove::<Pod>(&leader, None).await?;
        until("another one to lead", START, async || {
            let holder = record(&redis.get().await?)?.holder;
            Ok(!holder.starts_with(&leader.name_any()) && !holder.starts_with(&before.record.holder))
        })
        .await?;
        let replica = before.replicas.first().context("no replica")?;
        let ended = before
            .record
            .members
            .values()
            .map(|member| member.process.run_id.clone());
        let ended: Vec<_> = ended.collect();
        redis.process(replica)?.end()?;
        until("the replica to be in sync again", SETTLE, async || {
            let record = record(&redis.get().await?)?;
            let back = record
                .at(Stage::Full)
                .any(|member| !ended.contains(&member.process.run_id));
            Ok(back && record.quorum == 1)
        })
        .await?;
        redis.change(json!({ "resources": null })).await?;
        redis.settled(SETTLE).await?;
        operator::ready(&space.cluster, START).await
    })
}

async fn killed_meanwhile(redis: &Subject, before: &Settled) -> Result<Micros> {
    let (space, name) = (&redis.space, names::object(&redis.name));
    call(
        space
            .api::<PodDisruptionBudget>()
            .delete(&name, &DeleteParams::default()),
    )
    .await?;
    println!("o02: {}", redis.says(&[name.as_str(), "not now"], SAY).await?);
    let quarrel = tokio::spawn(quarrel(redis.clone()));
    let at = kill_master(redis, before)?;
    let published = outage::another_published(redis, before).await;
    ensure!(!quarrel.is_finished(), "nobody quarrelled");
    quarrel.abort();
    published.map(|()| at)
}

/// Refuses every disruption budget of the namespace, and waits until that is so.
async fn refuse_budgets(space: &Space) -> Result<()> {
    let rule = json!({
        "apiGroups": ["policy"], "apiVersions": ["v1"], "resources": ["poddisruptionbudgets"], "operations": ["CREATE"],
    });
    let here = json!({ "matchLabels": { "kubernetes.io/metadata.name": space.name } });
    let policy = json!({ "metadata": { "name": space.name }, "spec": {
        "matchConstraints": { "resourceRules": [rule], "namespaceSelector": here },
        "validations": [{ "expression": "false", "message": "not now" }],
    } });
    let binding = json!({ "metadata": { "name": space.name }, "spec": {
        "policyName": space.name, "validationActions": ["Deny"],
    } });
    let (client, post) = (&space.cluster.client, PostParams::default());
    call(Api::<Policy>::all(client.clone()).create(&post, &serde_json::from_value(policy)?)).await?;
    call(Api::<Binding>::all(client.clone()).create(&post, &serde_json::from_value(binding)?)).await?;
    let probe: PodDisruptionBudget = serde_json::from_value(json!({ "metadata": { "name": "probe" } }))?;
    let dry = PostParams { dry_run: true, ..post };
    until("budgets to be refused", SAY, async || {
        let tried = call(space.api::<PodDisruptionBudget>().create(&dry, &probe)).await;
        Ok(tried.is_err_and(|error| format!("{error:#}").contains("not now")))
    })
    .await
}

async fn allow_budgets(space: &Space) -> Result<()> {
    let (client, gone) = (&space.cluster.client, DeleteParams::default());
    call(Api::<Binding>::all(client.clone()).delete(&space.name, &gone)).await?;
    call(Api::<Policy>::all(client.clone()).delete(&space.name, &gone)).await?;
    Ok(())
}

/// Edits a label that is the operator's, until it is aborted, or cannot.
async fn quarrel(redis: Subject) -> Result<()> {
    let services = redis.space.api::<Service>();
    for number in 0_u64.. {
        let labels = json!({ "app.kubernetes.io/part-of": number.to_string() });
        let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
        call(services.patch(&names::object(&redis.name), &PatchParams::default(), &patch)).await?;
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
