use super::keep::{Made, is_watched};
use super::*;
use crate::fake_api::FakeApi;
use redis_operator_core::api::{Redis, RedisSpec};
use redis_operator_core::credentials::Passwords;
use redis_operator_core::resources::{Inputs, build};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const CORE: &str = "/api/v1/namespaces/a";
const STATEFUL_SET: &str = "/apis/apps/v1/namespaces/a/statefulsets/redis-x";
const BUDGET: &str = "/apis/policy/v1/namespaces/a/poddisruptionbudgets/redis-x";

fn desired(holder: &str) -> Resources {
    let mut redis = Redis::new("x", RedisSpec::new("image"));
    redis.metadata.namespace = Some("a".to_owned());
    redis.metadata.uid = Some("uid-of-x".to_owned());
    let passwords = Passwords::derive(b"key", "uid-of-x");
    let inputs = Inputs {
        restarted: None,
        kept: None,
        passwords: &passwords,
        application_password: None,
        holder,
        replicas: 3,
    };
    build(&redis, &inputs).unwrap()
}

/// What mirrors would show: everything, or nothing that lacks our label.
fn seen(api: &FakeApi) -> Live {
    fn at<K: Made>(api: &FakeApi, path: &str) -> Option<Arc<K>> {
        let object: K = serde_json::from_value(api.get(path)?).unwrap();
        is_watched(&object).then(|| Arc::new(object))
    }
    Live {
        config_map: at(api, &format!("{CORE}/configmaps/redis-x")),
        secret: at(api, &format!("{CORE}/secrets/redis-x")),
        headless_service: at(api, &format!("{CORE}/services/redis-x-headless")),
        service: at(api, &format!("{CORE}/services/redis-x")),
        master_service: at(api, &format!("{CORE}/services/redis-x-master")),
        replica_service: at(api, &format!("{CORE}/services/redis-x-replica")),
        disruption_budget: at(api, BUDGET),
        stateful_set: at(api, STATEFUL_SET),
    }
}

async fn converged(api: &FakeApi, holder: &str) -> Vec<Change> {
    converge_with(api, seen(api), desired(holder), true).await
}

/// By somebody who remembers nothing.
async fn converge_with(api: &FakeApi, live: Live, desired: Resources, with_secret: bool) -> Vec<Change> {
    let writer = Writer {
        client: &api.client(),
        limit: LIMIT,
        altered: &Altered::default(),
        now: Moment(0),
    };
    // on the heap: a test calls it several times, and its thread's stack is small
    Box::pin(converge(&writer, live, desired, with_secret)).await
}

/// By one who remembers, at a second.
async fn converged_at(second: u64, altered: &mut Altered, api: &FakeApi, holder: &str) -> Vec<Change> {
    let writer = Writer {
        client: &api.client(),
        limit: LIMIT,
        altered,
        now: Moment(second * 1_000_000),
    };
    let changes = Box::pin(converge(&writer, seen(api), desired(holder), true)).await;
    altered.note(&changes, Moment(second * 1_000_000));
    changes
}

async fn installed() -> FakeApi {
    let api = FakeApi::default();
    converged(&api, "one").await;
    api.writes();
    api
}

#[tokio::test]
async fn everything_is_created_once_and_then_left_alone() {
    let api = FakeApi::default();
    let created = converged(&api, "one").await;
    assert_eq!(created.len(), 8);
    assert!(
        created.iter().all(|it| matches!(it.outcome, Outcome::Created)),
        "{created:?}"
    );
    assert_eq!(api.writes().last().unwrap(), "POST redis-x");
    assert!(api.get(STATEFUL_SET).is_some());
    assert!(converged(&api, "one").await.is_empty());
    assert!(api.writes().is_empty());
}

/// The StatefulSet names its holder, so that a write of the predecessor that is still on its way conflicts.
#[tokio::test]
async fn f19_a_new_holder_touches_the_stateful_set_alone() {
    let api = installed().await;
    let before = seen(&api);
    let changed = converged(&api, "two").await;
    assert!(matches!(changed.as_slice(), [Change { kind, outcome: Outcome::Applied, .. }] if kind == "StatefulSet"));
    // the first write makes the created object an applied one, so that fields can be given up later
    assert_eq!(api.writes(), ["PATCH redis-x", "PATCH redis-x"]);
    assert_eq!(
        api.get(STATEFUL_SET).unwrap()["metadata"]["managedFields"][0]["operation"],
        "Apply"
    );
    let late = converge_with(&api, before, desired("three"), true).await;
    assert!(
        matches!(
            late.as_slice(),
            [Change {
                outcome: Outcome::Again,
                ..
            }]
        ),
        "{late:?}"
    );
    assert!(api.writes().is_empty());
    converged(&api, "four").await;
    assert_eq!(api.writes(), ["PATCH redis-x"]);
}

#[tokio::test]
async fn r12_what_is_deleted_or_edited_comes_back() {
    let api = installed().await;
    api.delete(BUDGET);
    let path = format!("{CORE}/services/redis-x-replica");
    let mut service = api.get(&path).unwrap();
    service["spec"]["selector"] = json!({ "redis": "y" });
    service["metadata"]["labels"]["theirs"] = json!("kept by the API server, for it is not applied");
    api.put(&path, service);
    let changed = converged(&api, "one").await;
    assert_eq!(changed.len(), 2, "{changed:?}");
    assert!(api.get(BUDGET).is_some());
    assert_eq!(api.get(&path).unwrap()["spec"]["selector"]["redis"], "x");
    assert!(converged(&api, "one").await.is_empty());
}

/// An edit that puts another field in the place of ours: an apply leaves that one there, and both together are impossible.
#[tokio::test]
async fn r12_an_edit_that_excludes_what_is_desired_is_undone() {
    type Edit = fn(&mut Value);
    let service = format!("{CORE}/services/redis-x-replica");
    let config_map = format!("{CORE}/configmaps/redis-x");
    let edits: [(&str, Edit); 4] = [
        // the API server fills in the partition
        (STATEFUL_SET, |it| {
            it["spec"]["updateStrategy"] = json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } });
        }),
        (BUDGET, |it| {
            it["spec"]["minAvailable"] = json!(1);
            it["spec"].as_object_mut().unwrap().remove("maxUnavailable");
        }),
        (&service, |it| {
            it["spec"]["type"] = json!("LoadBalancer");
            it["spec"]["loadBalancerSourceRanges"] = json!(["10.0.0.0/8"]);
        }),
        (&config_map, |it| {
            let mut data = it.as_object_mut().unwrap().remove("data").unwrap();
            let bytes = data.as_object_mut().unwrap().values_mut();
            bytes.for_each(|it| *it = json!("eA=="));
            it["binaryData"] = data;
        }),
    ];
    for (path, edit) in edits {
        let api = installed().await;
        let mut object = api.get(path).unwrap();
        edit(&mut object);
        api.put(path, object);
        let changed = converged(&api, "one").await;
        let outcomes: Vec<_> = changed.iter().map(|change| &change.outcome).collect();
        assert!(matches!(outcomes[..], [Outcome::Applied]), "{path}: {changed:?}");
        assert!(converged(&api, "one").await.is_empty(), "{path}");
    }
}

const IMAGE: &str = "/spec/template/spec/containers/0/image";
const IMAGE_READ: &str = "spec.template.spec.containers[0].image";

fn altered_at(changes: &[Change]) -> Vec<&str> {
    let at = changes.iter().filter_map(|change| match &change.outcome {
        Outcome::Altered { at, .. } => Some(at.iter().map(String::as_str)),
        _ => None,
    });
    at.flatten().collect()
}

/// A webhook replaces the image's tag by its digest.
#[tokio::test]
async fn r12_what_a_webhook_changes_is_told_and_written_seldom_until_it_does_no_more() {
    let (api, mut altered) = (installed().await, Altered::default());
    api.mutate("/statefulsets/redis-x", IMAGE, json!("image@sha256:1"));
    let set = |pointer: &str| api.get(STATEFUL_SET).unwrap().pointer(pointer).cloned();
    let holder = |who: &str| set("/metadata/annotations/redis-operator.dev~1holder") == Some(json!(who));
    let changed = converged_at(0, &mut altered, &api, "two").await;
    assert_eq!(altered_at(&changed), [IMAGE_READ]);
    // members are admitted by it
    assert!(holder("two"));
    api.writes();
    for second in 1..300 {
        let changed = converged_at(second, &mut altered, &api, "two").await;
        assert_eq!(altered_at(&changed), [IMAGE_READ], "told at every pass");
    }
    let writes = api.writes().len();
    assert!((1..60).contains(&writes), "{writes}");

    // everything else is restored at once: other objects, other fields
    api.delete(BUDGET);
    let mut edited = api.get(STATEFUL_SET).unwrap();
    edited["spec"]["replicas"] = json!(1);
    api.put(STATEFUL_SET, edited);
    converged_at(300, &mut altered, &api, "two").await;
    assert!(api.get(BUDGET).is_some() && set("/spec/replicas") == Some(json!(3)));
    converged_at(300, &mut altered, &api, "three").await;
    assert!(holder("three"));

    api.mutate_nothing();
    let mut left = (301..400).collect::<Vec<_>>().into_iter();
    for second in left.by_ref() {
        if altered_at(&converged_at(second, &mut altered, &api, "three").await).is_empty() {
            break;
        }
    }
    assert!(left.len() > 30, "within a minute");
    assert_eq!(set(IMAGE), Some(json!("image")));
    assert!(converged_at(400, &mut altered, &api, "three").await.is_empty());
}

/// Without the label the watch does not show it, and creating it fails for ever.
#[tokio::test]
async fn r12_a_lost_label_comes_back() {
    let api = installed().await;
    let path = format!("{CORE}/configmaps/redis-x");
    let mut config_map = api.get(&path).unwrap();
    config_map["metadata"]["labels"] = json!({});
    api.put(&path, config_map);
    let changed = converged(&api, "one").await;
    assert!(
        matches!(
            changed.as_slice(),
            [Change {
                outcome: Outcome::Applied,
                ..
            }]
        ),
        "{changed:?}"
    );
    assert!(converged(&api, "one").await.is_empty());
}

#[tokio::test]
async fn b06_what_somebody_else_made_is_left_alone() {
    let api = FakeApi::default();
    let path = format!("{CORE}/services/redis-x-master");
    let theirs = json!({ "metadata": { "name": "redis-x-master", "namespace": "a" }, "spec": {} });
    api.put(&path, theirs);
    // as if Redis `x` had been deleted and made again: the old object is not collected yet
    let old = json!({ "metadata": {
        "name": "redis-x", "namespace": "a", "labels": { "app.kubernetes.io/managed-by": "redis-operator" },
        "ownerReferences": [
            { "apiVersion": "v1", "kind": "Redis", "name": "x", "uid": "uid-before", "controller": true }
        ]
    }});
    api.put(BUDGET, old);
    let before = (api.get(&path), api.get(BUDGET));
    for _ in 0..2 {
        let foreign: Vec<_> = converged(&api, "one")
            .await
            .into_iter()
            .filter_map(|change| match change.outcome {
                Outcome::Foreign(owner) => Some((change.kind, owner)),
                _ => None,
            })
            .collect();
        let budget = ("PodDisruptionBudget".to_owned(), Some("Redis x".to_owned()));
        assert_eq!(foreign, [("Service".to_owned(), None), budget]);
    }
    assert_eq!((api.get(&path), api.get(BUDGET)), before);
}

#[tokio::test]
async fn o02_one_refused_object_does_not_stop_the_others() {
    let api = FakeApi::default();
    api.refuse("/configmaps/redis-x");
    let changed = converged(&api, "one").await;
    let failed: Vec<_> = changed
        .iter()
        .filter(|it| matches!(it.outcome, Outcome::Failed(_)))
        .collect();
    assert!(
        matches!(failed.as_slice(), [Change { kind, .. }] if kind == "ConfigMap"),
        "{changed:?}"
    );
    assert_eq!(api.writes().len(), 7);
}

#[tokio::test]
async fn what_is_being_deleted_is_not_written() {
    let api = installed().await;
    let mut budget = api.get(BUDGET).unwrap();
    budget["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    budget["spec"] = json!({});
    api.put(BUDGET, budget);
    assert!(converged(&api, "one").await.is_empty());
}

/// The Secret that the user names is gone: what needs it waits, and everything else is healed.
#[tokio::test]
async fn b02_without_a_password_everything_but_the_secret_is_kept() {
    let api = FakeApi::default();
    let secret = format!("{CORE}/secrets/redis-x");
    let without = async || converge_with(&api, seen(&api), desired("one"), false).await;
    assert_eq!(without().await.len(), 6);
    assert_eq!((api.get(&secret), api.get(STATEFUL_SET)), (None, None));

    let api = installed().await;
    let mut edited = api.get(&secret).unwrap();
    edited["data"]["auth.conf"] = json!("");
    api.put(&secret, edited.clone());
    for path in [STATEFUL_SET, BUDGET, &format!("{CORE}/services/redis-x-master")] {
        api.delete(path);
        converge_with(&api, seen(&api), desired("one"), false).await;
        assert!(api.get(path).is_some(), "{path}");
    }
    assert_eq!(api.get(&secret).unwrap()["data"], edited["data"]);
}
