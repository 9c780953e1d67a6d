//! What clients, people and the API server find of a resource's objects.

use redis_operator_core::api::{ImagePullPolicy, Reclaim, Redis, RedisSpec, Storage};
use redis_operator_core::credentials::Passwords;
use redis_operator_core::resources::{Inputs, Resources, build};
use serde_json::{Value, json};

#[cfg(test)]
fn built(spec: RedisSpec) -> Resources {
    let mut redis = Redis::new("shop", spec);
    redis.metadata.namespace = Some("team".to_owned());
    redis.metadata.uid = Some("uid".to_owned());
    let inputs = Inputs {
        restarted: None,
        kept: None,
        passwords: &Passwords::derive(b"key", "uid"),
        application_password: None,
        holder: "operator-1",
        replicas: redis.spec.replicas,
    };
    build(&redis, &inputs).unwrap()
}

#[cfg(test)]
fn pod(spec: RedisSpec) -> Value {
    json!(built(spec).stateful_set)["spec"]["template"]["spec"].clone()
}

#[test]
fn objects_have_the_names_that_people_and_clients_use() {
    let it = built(RedisSpec::new("redis:7.0"));
    for (object, name) in [
        (json!(it.config_map), "redis-shop"),
        (json!(it.secret), "redis-shop"),
        (json!(it.service), "redis-shop"),
        (json!(it.disruption_budget), "redis-shop"),
        (json!(it.stateful_set), "redis-shop"),
        (json!(it.headless_service), "redis-shop-headless"),
        (json!(it.master_service), "redis-shop-master"),
        (json!(it.replica_service), "redis-shop-replica"),
    ] {
        let metadata = &object["metadata"];
        assert_eq!(
            (&metadata["name"], &metadata["namespace"]),
            (&json!(name), &json!("team"))
        );
        assert_eq!(metadata["labels"]["redis"], "shop", "{name}");
        let owner = json!([{
            "apiVersion": "redis-operator.dev/v1alpha1", "kind": "Redis", "name": "shop", "uid": "uid",
            "controller": true, "blockOwnerDeletion": true,
        }]);
        assert_eq!(metadata["ownerReferences"], owner, "{name}");
    }
}

#[test]
fn services_lead_to_whom_they_say() {
    let it = built(RedisSpec::new("redis:7.0"));
    let selector = |service: Value| service["spec"]["selector"].clone();
    let of_master = selector(json!(it.master_service));
    assert!(
        of_master.as_object().unwrap().is_empty(),
        "the operator writes its slice"
    );
    assert_eq!(
        selector(json!(it.replica_service)),
        json!({"redis": "shop", "role": "replica"})
    );
    assert_eq!(selector(json!(it.service)), json!({"redis": "shop"}));
    assert_eq!(selector(json!(it.headless_service)), json!({"redis": "shop"}));
}

#[test]
fn an_image_is_pulled_when_the_spec_says() {
    for policy in [
        ImagePullPolicy::Always,
        ImagePullPolicy::IfNotPresent,
        ImagePullPolicy::Never,
    ] {
        let mut spec = RedisSpec::new("redis:7.0");
        spec.image_pull_policy = Some(policy);
        assert_eq!(pod(spec)["containers"][0]["imagePullPolicy"], format!("{policy:?}"));
    }
}

#[test]
fn a_node_selector_is_written_if_there_is_one() {
    let mut spec = RedisSpec::new("redis:7.0");
    assert_eq!(pod(spec.clone())["nodeSelector"], Value::Null);
    spec.node_selector = [("disk".to_owned(), "ssd".to_owned())].into();
    assert_eq!(pod(spec)["nodeSelector"], json!({"disk": "ssd"}));
}

#[test]
fn volumes_stay_or_go_as_the_spec_says() {
    let policy = |deleted, scaled| {
        let mut spec = RedisSpec::new("redis:7.0");
        let mut storage = Storage::new("1Gi");
        (storage.when_deleted, storage.when_scaled) = (deleted, scaled);
        spec.storage = Some(storage);
        json!(built(spec).stateful_set)["spec"]["persistentVolumeClaimRetentionPolicy"].clone()
    };
    assert_eq!(
        policy(Reclaim::Retain, Reclaim::Delete),
        json!({"whenDeleted": "Retain", "whenScaled": "Delete"})
    );
    assert_eq!(
        policy(Reclaim::Delete, Reclaim::Retain),
        json!({"whenDeleted": "Delete", "whenScaled": "Retain"})
    );
}
