use super::*;
use crate::fake_api::FakeApi;
use http::StatusCode;
use redis_operator_core::api::RedisSpec;
use serde_json::json;

/// Once it is waited for.
const LIMIT: Duration = Duration::from_secs(2);
const POD: &str = "/api/v1/namespaces/a/pods/redis-x-0";
const SLICE: &str = "/apis/discovery.k8s.io/v1/namespaces/a/endpointslices/redis-x-master";

fn cluster(api: &FakeApi) -> Cluster {
    let mut redis = Redis::new("x", RedisSpec::new("image"));
    redis.metadata.namespace = Some("a".to_owned());
    redis.metadata.uid = Some("uid-of-x".to_owned());
    Cluster::new(api.client(), &redis, "me", LIMIT)
}

fn master() -> Process {
    Process {
        pod: "redis-x-0".to_owned(),
        uid: "uid-0".to_owned(),
        address: "10.0.0.1".to_owned(),
        run_id: "run".to_owned(),
        container: None,
        ended: false,
        node: "node-a".to_owned(),
    }
}

/// What the cache shows.
fn cached(api: &FakeApi) -> Option<EndpointSlice> {
    api.get(SLICE).map(|slice| serde_json::from_value(slice).unwrap())
}

async fn look(api: &FakeApi, cluster: &Cluster) -> Slice {
    let cached = cached(api);
    cluster.slice(cached.as_ref()).await.unwrap().unwrap()
}

fn with_a_pod() -> FakeApi {
    let api = FakeApi::default();
    let pod = json!({"metadata": {"name": "redis-x-0", "namespace": "a", "uid": "uid-0"}});
    api.put(POD, pod);
    api
}

/// A deletion that is on its way was decided for the pod as it was seen.
#[tokio::test]
async fn f14_a_pod_that_was_touched_is_not_deleted_as_it_was_seen_before() {
    let api = with_a_pod();
    let cluster = cluster(&api);
    let version = || {
        api.get(POD).unwrap()["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for _ in 0..2 {
        let seen = version();
        cluster.touch_pod("redis-x-0", "uid-0", &seen).await.unwrap();
        assert_ne!(version(), seen);
        let late = cluster.delete_pod("redis-x-0", "uid-0", &seen).await;
        assert!(matches!(late, Err(Failure::Stale(_))), "{late:?}");
        let again = cluster.touch_pod("redis-x-0", "uid-0", &seen).await;
        assert!(matches!(again, Err(Failure::Stale(_))), "{again:?}");
    }
    let another = cluster.touch_pod("redis-x-0", "uid-1", &version()).await;
    assert!(matches!(another, Err(Failure::Stale(_))), "{another:?}");
    cluster.delete_pod("redis-x-0", "uid-0", &version()).await.unwrap();
    assert_eq!(api.get(POD), None);
}

/// Whatever follows may be refused again and again, and every touch is news.
#[tokio::test]
async fn a_pod_is_touched_once_for_each_record() {
    let api = with_a_pod();
    let cluster = cluster(&api);
    let version = || {
        api.get(POD).unwrap()["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    cluster.touch_pod("redis-x-0", "uid-0", &version()).await.unwrap();
    let touched = version();
    cluster.forget();
    cluster.touch_pod("redis-x-0", "uid-0", &touched).await.unwrap();
    assert_eq!(version(), touched);
}

#[tokio::test]
async fn f14_a_write_of_the_slice_without_an_answer_is_in_doubt_until_another_one_is_answered() {
    let api = FakeApi::default();
    let cluster = cluster(&api);
    cluster.touch_slice().await.unwrap();
    assert!(!look(&api, &cluster).await.in_doubt);
    api.hang("redis-x-master");
    cluster.publish(&master()).await.unwrap_err();
    api.hang("nothing");
    assert!(look(&api, &cluster).await.in_doubt);
    cluster.touch_slice().await.unwrap();
    assert!(!look(&api, &cluster).await.in_doubt);
}

#[tokio::test]
async fn f14_a_write_of_the_slice_that_is_refused_is_in_no_doubt_and_one_that_fails_is() {
    for (code, in_doubt) in [
        (StatusCode::FORBIDDEN, false),
        (StatusCode::CONFLICT, false),
        (StatusCode::GATEWAY_TIMEOUT, true),
    ] {
        let api = FakeApi::default();
        let cluster = cluster(&api);
        cluster.touch_slice().await.unwrap();
        look(&api, &cluster).await;
        api.refuse_with("redis-x-master", code);
        cluster.publish(&master()).await.unwrap_err();
        assert_eq!(look(&api, &cluster).await.in_doubt, in_doubt, "{code}");
    }
}

/// Otherwise it would be written for ever, and nothing else be done.
#[tokio::test]
async fn a_slice_whose_annotations_a_webhook_takes_away_is_this_holders_all_the_same() {
    let api = FakeApi::default();
    api.mutate("endpointslices", "/metadata/annotations", json!({}));
    api.mutate("redis-x-master", "/metadata/annotations", json!({}));
    let cluster = cluster(&api);
    cluster.touch_slice().await.unwrap();
    assert_eq!(api.get(SLICE).unwrap()["metadata"]["annotations"], json!({}));
    look(&api, &cluster).await;
    cluster.touch_slice().await.unwrap();
    assert_eq!(api.get(SLICE).unwrap()["metadata"]["annotations"], json!({}));
    assert_eq!(look(&api, &cluster).await.holder, "me");
}

/// The cache shows nothing, before and after.
#[tokio::test]
async fn a_new_slice_that_is_deleted_before_the_cache_shows_it_is_missed() {
    let api = FakeApi::default();
    let cluster = cluster(&api);
    assert_eq!(cluster.slice(None).await.unwrap(), None);
    cluster.touch_slice().await.unwrap();
    assert!(cluster.slice(None).await.unwrap().is_some(), "the cache is late");
    api.delete(SLICE);
    assert_eq!(cluster.slice(None).await.unwrap(), None);
}
