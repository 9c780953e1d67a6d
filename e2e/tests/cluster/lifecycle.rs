//! First start, the owned objects, deletion.

use crate::{SETTLE, START};
use anyhow::{Result, ensure};
use e2e::harness::{Needs, exporter_image, run, run_lent, spec, spec_with};
use e2e::resp::Reply;
use e2e::space::{Space, call, until};
use e2e::subject::{Settled, Subject};
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Node, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams, Patch, PropagationPolicy};
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use kube::{Api, ResourceExt};
use redis_operator_core::api::Redis;
use redis_operator_core::names;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// An owned object that was deleted or edited is right again within this.
const RESTORE: Duration = Duration::from_secs(5);

#[test]
fn e01_the_first_start_makes_the_lowest_ordinal_master() -> Result<()> {
    run("e01", Needs::Cluster, async |space| {
        let begun = Instant::now();
        let settled = space.apply("a", spec(3)).await?.settled(START).await?;
        println!("e01: whole after {:.1} s", begun.elapsed().as_secs_f64());
        ensure!(
            settled.master.name_any() == names::pod("a", 0),
            "{} leads",
            settled.master.name_any()
        );
        let status = settled.redis.status.clone().unwrap_or_default();
        ensure!(
            status.master == Some(names::pod("a", 0)) && status.ready.as_deref() == Some("3/3"),
            "{status:?}"
        );
        ensure!(status.safe_wait == Some(1), "WAIT {:?} is safe", status.safe_wait);
        let nodes: std::collections::BTreeSet<_> = settled.pods().map(e2e::pod::node).collect();
        let open = |node: &Node| {
            node.spec
                .as_ref()
                .is_none_or(|spec| spec.unschedulable != Some(true) && spec.taints.is_none())
        };
        let all = call(Api::<Node>::all(space.cluster.client.clone()).list(&ListParams::default())).await?;
        let wanted = all.items.iter().filter(|node| open(node)).count().min(3);
        ensure!(nodes.len() >= wanted, "not spread: {nodes:?}");
        Ok(())
    })
}

/// Counters of every instance, and their port in every Service.
#[test]
fn an_exporter_tells_of_every_instance() -> Result<()> {
    run("exp", Needs::Cluster, async |space| {
        let exporter = json!({ "exporter": { "image": exporter_image() } });
        let settled = space.apply("a", spec_with(3, exporter)).await?.settled(START).await?;
        for pod in settled.pods() {
            let (name, master) = (pod.name_any(), pod.name_any() == settled.master.name_any());
            let role = if master { "role=\"master\"" } else { "role=\"slave\"" };
            until(&format!("the exporter of {name}"), SETTLE, async || {
                let told = told(space, &format!("pods/{name}:{}", names::PORT_METRICS)).await?;
                Ok(told.contains("redis_up 1\n") && told.contains(role))
            })
            .await?;
        }
        let replica = format!("services/{}:{}", names::replica_service("a"), names::PORT_METRICS_NAME);
        ensure!(
            told(space, &replica).await?.contains("role=\"slave\""),
            "no replica behind the Service"
        );
        for service in call(space.api::<Service>().list(&ListParams::default())).await?.items {
            let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
            let ports: Vec<_> = ports.map(|port| port.port).collect();
            ensure!(
                ports.contains(&names::PORT_METRICS),
                "{}: {ports:?}",
                service.name_any()
            );
        }
        Ok(())
    })
}

/// What an exporter tells, through the API server.
async fn told(space: &Space, whom: &str) -> Result<String> {
    let path = format!("/api/v1/namespaces/{}/{whom}/proxy/metrics", space.name);
    let request = http::Request::get(path).body(Vec::new())?;
    call(space.cluster.client.request_text(request)).await
}

fn kinds() -> Vec<(ApiResource, Vec<&'static str>)> {
    vec![
        (ApiResource::erase::<ConfigMap>(&()), vec!["redis-a"]),
        (ApiResource::erase::<Secret>(&()), vec!["redis-a"]),
        (ApiResource::erase::<PodDisruptionBudget>(&()), vec!["redis-a"]),
        (
            ApiResource::erase::<Service>(&()),
            vec!["redis-a", "redis-a-headless", "redis-a-replica", "redis-a-master"],
        ),
        (ApiResource::erase::<EndpointSlice>(&()), vec!["redis-a-master"]),
        (ApiResource::erase::<StatefulSet>(&()), vec!["redis-a"]),
    ]
}

fn objects(space: &Space, kind: &ApiResource) -> Api<DynamicObject> {
    Api::namespaced_with(space.cluster.client.clone(), &space.name, kind)
}

/// What a user means by "the same object": everything but who it is and how it is doing.
fn content(object: &DynamicObject) -> Value {
    let mut data = object.data.clone();
    if let Some(data) = data.as_object_mut() {
        data.remove("status");
        // assigned by the API server, object by object
        for field in ["clusterIP", "clusterIPs"] {
            data.get_mut("spec")
                .and_then(Value::as_object_mut)
                .and_then(|spec| spec.remove(field));
        }
    }
    json!({ "labels": object.metadata.labels, "data": data })
}

/// No process restarts and nobody is locked out, whichever object goes.
#[test]
fn r12_r20_f15_deleted_objects_come_back() -> Result<()> {
    run_lent("r12d", Needs::Cluster, async |redis| {
        let before = redis.settled(START).await?;
        for (kind, names) in kinds() {
            let api = objects(&redis.space, &kind);
            for name in names {
                let what = format!("{} {name}", kind.kind);
                let old = call(api.get(name)).await?;
                let begun = Instant::now();
                // pods outlive their StatefulSet, or nothing would be left to keep
                let orphan = DeleteParams {
                    propagation_policy: Some(PropagationPolicy::Orphan),
                    ..DeleteParams::default()
                };
                call(api.delete(name, &orphan)).await?;
                until(&format!("{what} to be back"), RESTORE, async || {
                    let new = call(api.get(name)).await?;
                    ensure!(new.metadata.uid != old.metadata.uid, "not deleted yet");
                    ensure!(
                        content(&new) == content(&old),
                        "it differs: {} from {}",
                        content(&new),
                        content(&old)
                    );
                    Ok(true)
                })
                .await?;
                println!("r12: {what} back after {} ms", begun.elapsed().as_millis());
            }
        }
        ensure_undisturbed(redis, &before).await
    })
}

#[test]
fn r12_edited_objects_are_put_right() -> Result<()> {
    run_lent("r12e", Needs::Cluster, async |redis| {
        let before = redis.settled(START).await?;
        let own = json!({ "addresses": redis.published().await?, "targetRef": { "kind": "Pod", "uid": before.master.uid() } });
        let stranger = json!({ "addresses": ["10.0.0.9"] });
        let edits = [
            ("ConfigMap", json!({ "data": { "redis.conf": "" } })),
            ("Secret", json!({ "data": { "auth.conf": "" } })),
            ("PodDisruptionBudget", json!({ "spec": { "maxUnavailable": 3 } })),
            (
                "Service",
                json!({ "spec": { "ports": [{ "name": "redis", "port": 1 }] } }),
            ),
            ("EndpointSlice", json!({ "endpoints": [stranger] })),
            ("EndpointSlice", json!({ "endpoints": [own, stranger] })),
            ("StatefulSet", json!({ "spec": { "replicas": 7 } })),
        ];
        for (kind, names) in kinds() {
            let api = objects(&redis.space, &kind);
            for (_, edit) in edits.iter().filter(|(of, _)| *of == kind.kind) {
                for name in &names {
                    edited(&api, name, edit).await?;
                }
            }
        }
        ensure_undisturbed(redis, &before).await
    })
}

/// Edits an object and adds what somebody else may want on it: the one goes, the other stays.
async fn edited(api: &Api<DynamicObject>, name: &str, edit: &Value) -> Result<()> {
    let foreign = json!({ "labels": { "team": "blue" }, "annotations": { "note": "mine" } });
    let merge = async |patch: &Value| call(api.patch(name, &Default::default(), &Patch::Merge(patch))).await;
    let right = content(&merge(&json!({ "metadata": foreign })).await?);
    merge(edit).await?;
    until(&format!("{name} to be put right after {edit}"), RESTORE, async || {
        let now = call(api.get(name)).await?;
        ensure!(content(&now) == right, "it is {}, not {right}", content(&now));
        ensure!(
            now.annotations().contains_key("note"),
            "somebody else's annotation is gone"
        );
        Ok(true)
    })
    .await?;
    // others borrow this Redis, and what comes back deleted comes back without them
    let none = json!({ "labels": { "team": null }, "annotations": { "note": null } });
    merge(&json!({ "metadata": none })).await?;
    Ok(())
}

/// The same processes as before, in the same roles.
async fn ensure_undisturbed(redis: &Subject, before: &Settled) -> Result<()> {
    let after = redis.settled(SETTLE).await?;
    let processes = |settled: &Settled| {
        settled
            .record
            .processes()
            .map(|it| it.run_id.clone())
            .collect::<Vec<_>>()
    };
    ensure!(
        processes(&after) == processes(before),
        "{:?} became {:?}",
        before.record,
        after.record
    );
    ensure!(after.record.term == before.record.term, "a failover");
    Ok(())
}

/// The slice of the master is what clients depend on: it has its own, shorter limit.
#[test]
fn f15_a_deleted_slice_is_back_within_a_second() -> Result<()> {
    run_lent("f15", Needs::Cluster, async |redis| {
        let before = redis.settled(START).await?;
        let slices = redis.space.api::<EndpointSlice>();
        let begun = Instant::now();
        call(slices.delete(&names::master_service("a"), &DeleteParams::default())).await?;
        until("the slice to be back", Duration::from_secs(1), async || {
            Ok(redis.published().await?.len() == 1)
        })
        .await?;
        println!("f15: published again after {} ms", begun.elapsed().as_millis());
        ensure_undisturbed(redis, &before).await
    })
}

#[test]
fn r11_deletion_leaves_nothing() -> Result<()> {
    run("r11", Needs::Cluster, async |space| {
        let redis = space.apply("a", stored("Delete")).await?;
        redis.settled(START).await?;
        ensure_leaves(space, &[]).await
    })
}

/// Their append-only files keep no history, so a person has to say which one counts.
#[test]
fn r11_volumes_that_are_retained_are_a_successors() -> Result<()> {
    run("r11k", Needs::Network, async |space| {
        let redis = space.apply("a", stored("Retain")).await?;
        let before = redis.settled(START).await?;
        redis.ask(&before.master, &["SET", "key", "value"])?;
        let claims = (0..3).map(|ordinal| format!("PersistentVolumeClaim data-{}", names::pod("a", ordinal)));
        ensure_leaves(space, &claims.collect::<Vec<_>>()).await?;
        let redis = space.apply("a", stored("Retain")).await?;
        let former = before.master.name_any();
        redis
            .says(&[names::ANNOTATION_ELECT, &former, "has 1 keys"], START)
            .await?;
        redis.annotate(names::ANNOTATION_ELECT, Some(&former)).await?;
        let after = redis.settled(START).await?;
        for pod in after.pods() {
            let value = redis.ask(pod, &["GET", "key"])?;
            ensure!(value == Reply::Text("value".to_owned()), "{value:?}");
        }
        Ok(())
    })
}

/// On volumes of the cluster's default class.
fn stored(when_deleted: &str) -> Value {
    spec_with(3, json!({ "storage": { "size": "1Gi", "whenDeleted": when_deleted } }))
}

/// Deletes the resource: soon nothing but this is there, and it stays like that.
async fn ensure_leaves(space: &Space, wanted: &[String]) -> Result<()> {
    let begun = Instant::now();
    call(space.api::<Redis>().delete("a", &DeleteParams::default())).await?;
    until("everything to be gone", SETTLE, async || {
        let left = left(space).await?;
        ensure!(left == wanted, "left: {left:?}");
        Ok(true)
    })
    .await?;
    println!("r11: gone after {:.1} s", begun.elapsed().as_secs_f64());
    // what a late reconcile would bring back, it brings back at once
    sleep(Duration::from_secs(2)).await;
    let left = left(space).await?;
    ensure!(left == wanted, "back again: {left:?}");
    Ok(())
}

/// Everything in the namespace that is not Kubernetes' own.
async fn left(space: &Space) -> Result<Vec<String>> {
    let mut kinds: Vec<ApiResource> = kinds().into_iter().map(|(kind, _)| kind).collect();
    kinds.extend([
        ApiResource::erase::<Pod>(&()),
        ApiResource::erase::<PersistentVolumeClaim>(&()),
        ApiResource::erase::<ControllerRevision>(&()),
        ApiResource::erase::<Redis>(&()),
    ]);
    let mut left = Vec::new();
    for kind in kinds {
        let found = call(objects(space, &kind).list(&Default::default())).await?;
        let names = found
            .items
            .iter()
            .map(|object| format!("{} {}", kind.kind, object.name_any()));
        left.extend(names.filter(|name| name != "ConfigMap kube-root-ca.crt"));
    }
    Ok(left)
}

/// Selectors are fixed labels only.
#[test]
fn r16_labels_of_the_resource_are_the_users_own() -> Result<()> {
    run("r16", Needs::Cluster, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let before = redis.settled(START).await?;
        let labels = json!({ "app.kubernetes.io/name": "shop", "redis": "other", "role": "master" });
        space
            .merge::<Redis>("a", json!({ "metadata": { "labels": labels } }))
            .await?;
        redis.scale(4).await?;
        let more = redis.settled(SETTLE).await?;
        ensure!(more.record.master == before.record.master, "the master changed");
        redis.scale(3).await?;
        ensure_undisturbed(&redis, &before).await?;
        ensure!(redis.pods().await?.len() == 3, "pods are not found by their labels");
        Ok(())
    })
}
