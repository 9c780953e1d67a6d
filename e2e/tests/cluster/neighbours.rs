//! Resources among others: namesakes, other people's objects, a neighbour that nobody can read.

use crate::bad_input::put_right;
use crate::{BESIDE_GAP, SAY, SETTLE, START, WARM_UP, kill_master};
use anyhow::{Context, Result, ensure};
use e2e::filter::Filter;
use e2e::harness::{Needs, image, run, spec, spec_with};
use e2e::space::{Space, call, until};
use e2e::subject::{Settled, Subject};
use e2e::trial::{self, Expect};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use kube::{Api, Resource, ResourceExt};
use redis_operator_core::api::Redis;
use redis_operator_core::names;
use redis_operator_core::record::Record;
use serde_json::{Value, json};

#[test]
fn b06_one_name_in_two_namespaces() -> Result<()> {
    run("b06", Needs::Nodes, async |space| {
        let twin = Space::create(&space.cluster, &format!("{}-twin", space.name)).await?;
        let both = async {
            let (one, other) = (space.apply("a", spec(2)).await?, twin.apply("a", spec(2)).await?);
            let (first, second) = (one.settled(START).await?, other.settled(START).await?);
            one.ask(&first.master, &["SET", "whose", "one"])?;
            other.ask(&second.master, &["SET", "whose", "other"])?;
            let kill = async |before: &Settled| kill_master(&one, before);
            let verdict = trial::under_writes(&one, Expect::Failover, WARM_UP, kill).await?;
            verdict.ensure_safe()?;
            let untouched = other.settled(SETTLE).await?;
            // another leader of both would take both records over
            let of = |record: &Record| (record.term, record.master.clone(), record.members.clone());
            ensure!(
                of(&untouched.record) == of(&second.record),
                "the other one noticed: {:?}",
                untouched.record
            );
            let answer = other.ask(&untouched.master, &["GET", "whose"])?;
            ensure!(answer == e2e::resp::Reply::Text("other".to_owned()), "{answer:?}");
            Ok(())
        }
        .await;
        both.and(twin.delete().await)
    })
}

#[test]
fn b06_an_object_of_that_name_is_somebody_elses() -> Result<()> {
    run("b06o", Needs::Cluster, async |space| {
        let theirs: ConfigMap = serde_json::from_value(json!({
            "metadata": { "name": names::object("a") }, "data": { "mine": "keep" },
        }))?;
        let maps = space.api::<ConfigMap>();
        call(maps.create(&PostParams::default(), &theirs)).await?;
        let redis = space.apply("a", spec(2)).await?;
        put_right(space, &redis, &["ConfigMap", &names::object("a")], async || {
            let kept = call(maps.get(&names::object("a"))).await?;
            ensure!(
                kept.data == theirs.data && kept.metadata.owner_references.is_none(),
                "taken over: {kept:?}"
            );
            call(maps.delete(&names::object("a"), &DeleteParams::default())).await?;
            Ok(())
        })
        .await
    })
}

/// Whatever is sent to the neighbour's pods vanishes: calls to them last until their deadlines.
#[test]
fn o03_a_black_hole_delays_no_neighbours_failover() -> Result<()> {
    run("o03", Needs::Nodes, async |space| {
        let (redis, hole) = (space.apply("a", spec(3)).await?, space.apply("b", spec(3)).await?);
        let before = hole.settled(START).await?;
        let mut filters = vec![];
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |settled| {
            for pod in before.pods() {
                filters.push(Filter::all(&hole.process(pod)?)?);
            }
            println!("o03: {}", hole.says(&["redis-b-0 does not answer"], SAY).await?);
            kill_master(&redis, settled)
        })
        .await?;
        println!("o03: {}", verdict.line());
        verdict.ensure_swift(BESIDE_GAP)?;
        // whoever is heard without the master would be right to replace it
        drop(filters.remove(0));
        until("the master to be heard", SETTLE, async || {
            let heard = state(&hole.get().await?, &before.master.name_any());
            ensure!(heard.as_deref() == Some("Serving"), "it is {heard:?}");
            Ok(true)
        })
        .await?;
        drop(filters);
        let after = hole.settled(SETTLE).await?;
        ensure!(after.record.master == before.record.master, "{:?}", after.record);
        Ok(())
    })
}

/// What an instance does, as the status tells.
fn state(redis: &Redis, pod: &str) -> Option<String> {
    let mut all = redis.status.iter().flat_map(|status| &status.instances);
    all.find(|it| it.pod == pod)?.state.clone()
}

/// A resource that the schema would not let through, from a time when the schema was another: its neighbour fails over.
#[test]
fn o05_a_resource_written_past_the_schema() -> Result<()> {
    run("o05", Needs::Nodes, async |space| {
        let neighbour = space.apply("neighbour", spec(3)).await?;
        neighbour.settled(START).await?;
        past_the_schema(space, json!({ "policy": "Never", "image": image() })).await?;
        println!(
            "o05: {}",
            Subject::new(space, "malformed")
                .says(&["spec.policy", "Never", "Availability"], SAY)
                .await?
        );
        let verdict = trial::run(&neighbour, Expect::Failover, async |before| {
            kill_master(&neighbour, before)
        })
        .await?;
        println!("{}", verdict.line());
        verdict.ensure_safe()?;
        let fixed = space
            .apply("malformed", spec_with(1, json!({ "policy": "Durability" })))
            .await?;
        fixed.settled(START).await?;
        Ok(())
    })
}

/// Creates `malformed` while the schema of `spec.policy` lets everything through.
async fn past_the_schema(space: &Space, spec: Value) -> Result<()> {
    let crds = Api::<CustomResourceDefinition>::all(space.cluster.client.clone());
    let name = format!("{}.{}", Redis::plural(&()), Redis::group(&()));
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/policy";
    let schema = serde_json::to_value(call(crds.get(&name)).await?)?;
    let strict = schema.pointer(path).context("the schema of spec.policy")?;
    let set = async |value: &Value| -> Result<()> {
        let patch = json!([{ "op": "replace", "path": path, "value": value }]);
        let patch = Patch::<()>::Json(serde_json::from_value(patch)?);
        call(crds.patch(&name, &PatchParams::default(), &patch)).await?;
        Ok(())
    };
    set(&json!({ "x-kubernetes-preserve-unknown-fields": true })).await?;
    let api = space.objects::<Redis>();
    let kind = ApiResource::erase::<Redis>(&());
    let object = DynamicObject::new("malformed", &kind).data(json!({ "spec": spec }));
    // the API server takes a moment to serve by the changed schema
    let created = until("the schema to let it through", START, async || {
        call(api.create(&PostParams::default(), &object)).await?;
        Ok(true)
    })
    .await;
    created.and(set(strict).await)
}
