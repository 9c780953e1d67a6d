use super::*;
use crate::fake_api::FakeApi;
use crate::freshness::Freshness;
use crate::key::try_obtain;
use crate::pods;
use clap::Parser;
use http::StatusCode;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::Event;
use redis_operator_core::api::{RedisSpec, RedisStatus};
use redis_operator_core::observed::Moment;
use redis_operator_core::record::Record;
use serde_json::json;
use std::hash::Hash;

/// No test takes so long unless what it waits for never comes.
const LIMIT: Duration = Duration::from_secs(60);

fn path(name: &str) -> String {
    format!("/apis/redis-operator.dev/v1alpha1/namespaces/a/redis/{name}")
}

fn reference(name: &str) -> ObjectRef<Redis> {
    ObjectRef::new(name).within("a")
}

fn store<K>(objects: Vec<K>) -> Store<K>
where
    K: kube::Resource<DynamicType: Default + Eq + Hash + Clone> + Clone + 'static,
{
    let (store, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Init);
    for object in objects {
        writer.apply_watcher_event(&Event::InitApply(object));
    }
    writer.apply_watcher_event(&Event::InitDone);
    store
}

/// A resource that another operator has led.
fn redis(name: &str) -> Redis {
    let mut redis = Redis::new(name, RedisSpec::new("redis:7.0"));
    redis.metadata.namespace = Some("a".to_owned());
    redis.metadata.uid = Some(format!("uid-of-{name}"));
    let mut record = json!(Record::first("predecessor"));
    record["seq"] = json!(1);
    record["master"] = json!({ "pod": format!("redis-{name}-0"), "uid": "u", "runId": "r", "address": "" });
    redis.status = Some(RedisStatus {
        record: Some(record),
        ..RedisStatus::default()
    });
    redis
}

/// A leader of these resources, whose caches show nothing else.
async fn leader(api: &FakeApi, names: &[String]) -> Arc<Context> {
    let all: Vec<_> = names.iter().map(|name| redis(name)).collect();
    for redis in &all {
        api.put(&path(&redis.name_any()), json!(redis));
    }
    let client = api.client();
    let args = Args::parse_from(["redis-operator"]);
    Arc::new(Context {
        key: try_obtain(&client, "operators", LIMIT).await.unwrap(),
        events: Events::start(client.clone(), "me", args.api_limit),
        clients: Clients {
            calls: client.clone(),
            watches: client.clone(),
            lease: client,
            default_namespace: "operators".to_owned(),
        },
        mirrors: Mirrors {
            redis: store(
                all.into_iter()
                    .map(|redis| kube::core::DeserializeGuard(Ok(redis)))
                    .collect(),
            ),
            pods: store(vec![]),
            stateful_sets: store(vec![]),
            config_maps: store(vec![]),
            secrets: store(vec![]),
            versions: store(vec![]),
            services: store(vec![]),
            disruption_budgets: store(vec![]),
            slices: store(vec![]),
            nodes: store(vec![]),
            freshness: Freshness::new(LIMIT),
        },
        triggers: Triggers::default(),
        metrics: Metrics::new().unwrap(),
        session: Session {
            holder: "me".to_owned(),
        },
        args: Arc::new(args),
        clock: Clock::new(),
        outages: Outages::default(),
        resources: Resources::default(),
        writers: Semaphore::new(16),
    })
}

/// How often its record was written, or was to be.
fn writes(api: &FakeApi, name: &str) -> usize {
    let write = format!("PATCH {}", path(name));
    api.calls().iter().filter(|call| **call == write).count()
}

/// As for a label, a pod or a slice that may not be written.
#[tokio::test]
async fn a_record_that_is_refused_is_written_more_and_more_seldom() {
    let api = FakeApi::default();
    let context = leader(&api, &["x".to_owned()]).await;
    api.refuse("/redis/x");
    let resource = context.resources.of(&context, &redis("x"));
    let mut pauses = vec![];
    for _ in 0..6 {
        pauses.push(passes(&context, &resource).await.unwrap());
    }
    assert_eq!(writes(&api, "x"), 6);
    assert!(pauses[0] <= pass::AFTER_FAILURE, "{pauses:?}");
    assert!(pauses[5] >= Duration::from_millis(1_500), "{pauses:?}");
}

/// A webhook denies the deletion of a pod.
#[tokio::test]
async fn o02_a_step_that_is_refused_for_long_is_a_condition_until_it_succeeds() {
    let api = FakeApi::default();
    let context = leader(&api, &["x".to_owned()]).await;
    let resource = context.resources.of(&context, &redis("x"));
    let servers = Instances {
        watch: &resource.watch,
        key: &context.key,
        redis_uid: &resource.uid,
    };
    let mut held = resource.held.lock().await;
    let mut scene = Leading::new(&context, &resource, &mut held);
    let mut seen = scene.observe().await.unwrap().unwrap();
    let pod = "/api/v1/namespaces/a/pods/redis-x-2";
    api.put(
        pod,
        json!({ "metadata": { "name": "redis-x-2", "namespace": "a", "uid": "u" } }),
    );
    let version = &api.get(pod).unwrap()["metadata"]["resourceVersion"];
    let deletes = Plan {
        steps: vec![Step::DeletePod {
            pod: "redis-x-2".to_owned(),
            uid: "u".to_owned(),
            resource_version: version.as_str().unwrap().to_owned(),
        }],
        why: "roll",
        ..Plan::default()
    };
    let told = || {
        let conditions = api.get(&path("x")).unwrap()["status"]["conditions"].clone();
        let all: Vec<_> = conditions.as_array().unwrap().to_owned();
        let stalled = all.into_iter().find(|it| it["type"] == "Stalled").unwrap();
        (stalled["reason"] == "StepRefused").then(|| stalled["message"].as_str().unwrap().to_owned())
    };
    api.refuse("/pods/redis-x-2");
    for (second, is_told) in [(0, false), (4, false), (6, true)] {
        seen.now = Moment(second * 1_000_000);
        let done = pass::act(&mut scene, &servers, &resource.cluster, &seen, &deletes).await;
        assert_eq!(done.unwrap_err().label(), "forbidden");
        scene.settle(&seen, &deletes).await.unwrap();
        assert_eq!(told().is_some(), is_told, "after {second} s");
    }
    let message = told().unwrap();
    assert!(message.contains("delete-pod of redis-x-2"), "{message}");
    api.refuse_nothing();
    let done = pass::act(&mut scene, &servers, &resource.cluster, &seen, &deletes).await;
    assert!(done.is_ok() && api.get(pod).is_none());
    scene.settle(&seen, &Plan::default()).await.unwrap();
    assert_eq!(told(), None);
}

#[tokio::test]
async fn whoever_is_always_slower_is_in_no_haste() {
    let api = FakeApi::default();
    let context = leader(&api, &["x".to_owned()]).await;
    api.refuse_with("/redis/x", StatusCode::CONFLICT);
    let resource = context.resources.of(&context, &redis("x"));
    let pause = passes(&context, &resource).await.unwrap();
    assert!((2..10).contains(&writes(&api, "x")), "{}", writes(&api, "x"));
    assert!(pause >= pass::AFTER_FAILURE / 2, "{pause:?}");
}

#[tokio::test]
async fn held_connections_are_counted() {
    let api = FakeApi::default();
    let context = leader(&api, &["x".to_owned()]).await;
    let resource = context.resources.of(&context, &redis("x"));
    let mut held = resource.held.lock().await;
    let mut scene = Leading::new(&context, &resource, &mut held);
    let mut seen = scene.observe().await.unwrap().unwrap();
    for ordinal in 0..3 {
        let pod = json!({
            "metadata": { "name": format!("redis-x-{ordinal}"), "uid": "u", "labels": { "redis": "x" } }
        });
        let pod = serde_json::from_value(pod).unwrap();
        let mut instance = pods::instance(&pod, &pods::Owner::of(&redis("x")), None, None).unwrap();
        instance.attached = ordinal > 0;
        seen.instances.insert(instance.pod.clone(), instance);
    }
    scene.decided(&seen, &Plan::default());
    let text = context.metrics.text().unwrap();
    assert!(text.contains("redis_operator_instances_watched 2\n"), "{text}");
}

/// Somebody wrote it past the schema: it does not count as what it was.
#[tokio::test]
async fn o05_an_unreadable_resource_is_counted_as_one() {
    let api = FakeApi::default();
    let context = leader(&api, &["x".to_owned()]).await;
    context.metrics.conditions("a/x", [("Ready", "True")]);
    let unreadable = json!({
        "apiVersion": "redis-operator.dev/v1alpha1", "kind": "Redis",
        "metadata": { "name": "x", "namespace": "a" }, "spec": { "policy": "Never" }
    });
    let unreadable: Guarded = serde_json::from_value(unreadable).unwrap();
    reconcile(Arc::new(unreadable), Arc::clone(&context)).await.unwrap();
    let text = context.metrics.text().unwrap();
    let counts = |kind, status| {
        let line = format!(r#"redis_operator_resources{{condition="{kind}",status="{status}"}} 1"#);
        text.contains(&line)
    };
    assert!(counts("Ready", "False") && counts("Stalled", "True"), "{text}");
    assert!(!counts("Ready", "True"), "{text}");
}

/// Objects change all the time, and yet they are put right and people are told.
#[tokio::test]
async fn wake_ups_without_end_do_not_keep_objects_from_being_put_right() {
    let api = FakeApi::default();
    let context = leader(&api, &["x".to_owned()]).await;
    let resource = context.resources.of(&context, &redis("x"));
    let mut held = resource.held.lock().await;
    let mut scene = Leading::new(&context, &resource, &mut held);
    let (seen, plan) = (scene.observe().await.unwrap().unwrap(), Plan::default());
    api.delay(Duration::from_millis(20));
    let triggers = context.triggers.clone();
    let storm = tokio::spawn(async move {
        loop {
            triggers.urge(reference("x"));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let (began, mut dropped) = (Instant::now(), 0);
    while scene.settle(&seen, &plan).await.unwrap() == Settled::Woken {
        dropped += 1;
        assert!(began.elapsed() < LIMIT);
    }
    storm.abort();
    assert!(
        dropped > 1 && began.elapsed() >= PATIENCE,
        "at first every wake-up counts"
    );
    assert!(api.get(&path("x")).unwrap()["status"]["conditions"].is_array());
    assert!(scene.held.dropped.is_none());
}

/// A new leader of many, whose API server is slow, and does not say what becomes of objects: every resource is decided all
/// the same, after three reads of its own.
#[tokio::test]
async fn o09_two_hundred_resources_are_decided_as_soon_as_one() {
    let api = FakeApi::default();
    let names: Vec<_> = (0..200).map(|number| format!("x{number}")).collect();
    let mut context = leader(&api, &names).await;
    let args = Args::parse_from(["redis-operator", "--api-limit=60m"]);
    Arc::get_mut(&mut context).unwrap().args = Arc::new(args);
    api.delay(Duration::from_millis(200));
    api.hang("/configmaps");
    let began = Instant::now();
    let leading = tokio::spawn(run(context));
    while names.iter().any(|name| writes(&api, name) == 0) {
        assert!(began.elapsed() < LIMIT);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("the last of 200 was decided after {:?}", began.elapsed());
    leading.abort();
}

/// Whoever waits for its turn to write is not deaf.
#[tokio::test]
async fn who_waits_for_its_turn_is_woken() {
    let api = FakeApi::default();
    let context = leader(&api, &["x".to_owned()]).await;
    let resource = context.resources.of(&context, &redis("x"));
    let mut held = resource.held.lock().await;
    let mut scene = Leading::new(&context, &resource, &mut held);
    let seen = scene.observe().await.unwrap().unwrap();
    let others = context.writers.acquire_many(16).await.unwrap();
    let plan = Plan {
        wake: Some(Duration::from_millis(20)),
        ..Plan::default()
    };
    assert_eq!(
        scene.settle(&seen, &plan).await.unwrap(),
        Settled::Woken,
        "its time has come"
    );
    let triggers = context.triggers.clone();
    let urging = tokio::spawn(async move { triggers.urge(reference("x")) });
    let plan = Plan::default();
    assert_eq!(
        scene.settle(&seen, &plan).await.unwrap(),
        Settled::Woken,
        "it was called"
    );
    urging.await.unwrap();
    drop(others);
    assert_ne!(scene.settle(&seen, &plan).await.unwrap(), Settled::Woken);
}
