use super::*;
use crate::fake_api::FakeApi;
use futures::FutureExt;
use futures::stream;
use serde_json::json;

fn redis(name: &str) -> ObjectRef<Redis> {
    ObjectRef::new(name).within("a")
}

fn service(name: &str, instance: &str) -> Service {
    serde_json::from_value(json!({
        "metadata": { "name": name, "namespace": "a", "labels": { "app.kubernetes.io/instance": instance } }
    }))
    .unwrap()
}

fn kept() -> Kept {
    Freshness::new(Duration::from_secs(5)).keep("Service")
}

async fn woken(events: Vec<Event<Service>>) -> Vec<ObjectRef<Redis>> {
    let triggers = Triggers::default();
    let mut receiver = triggers.subscribe();
    let (store, writer) = reflector::store();
    let events = stream::iter(events).map(Ok).reflect(writer);
    wake_on(events, store, (triggers, kept()), (redis_of, never)).await;
    let mut woken = Vec::new();
    while let Some(Some(redis)) = receiver.next().now_or_never() {
        woken.push(redis);
    }
    woken.sort_by(|a, b| a.name.cmp(&b.name));
    woken
}

#[tokio::test]
async fn changes_and_deletions_wake() {
    let events = vec![
        Event::Apply(service("redis-x", "x")),
        Event::Delete(service("redis-y", "y")),
    ];
    assert_eq!(woken(events).await, [redis("x"), redis("y")]);
}

/// The watch was interrupted for so long that it lists anew: what is missing from the list was deleted meanwhile.
#[tokio::test]
async fn a_new_list_wakes_those_that_vanished() {
    let events = vec![
        Event::Init,
        Event::InitApply(service("redis-x", "x")),
        Event::InitDone,
        Event::Init,
        Event::InitApply(service("redis-y", "y")),
        Event::InitDone,
    ];
    assert_eq!(woken(events).await, [redis("x"), redis("x"), redis("y")]);
}

/// A pod that is deleted, a slice that was, a node that is cordoned: something may have to be decided, and no server says so.
#[tokio::test]
async fn what_may_need_a_decision_interrupts() {
    async fn urgent<K>(event: Event<K>, of: fn(&Event<K>) -> bool, about: fn(&K) -> Option<ObjectRef<Redis>>) -> bool
    where
        K: Resource<DynamicType = ()> + Clone + 'static,
    {
        let triggers = Triggers::default();
        let raised = triggers.urgent(redis("x"));
        let (store, writer) = reflector::store();
        let events = stream::iter([Ok(event)]).reflect(writer);
        wake_on(events, store, (triggers.clone(), kept()), (about, of)).await;
        raised.has_changed().unwrap()
    }
    let mut leaving = service("redis-x", "x");
    assert!(!urgent(Event::Apply(leaving.clone()), going, redis_of).await);
    assert!(urgent(Event::Delete(leaving.clone()), going, redis_of).await);
    assert!(!urgent(Event::Delete(leaving.clone()), never, redis_of).await);
    leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-31T12:00:00Z")).unwrap();
    assert!(urgent(Event::Apply(leaving), going, redis_of).await);
    let node = |spec| -> Node { serde_json::from_value(json!({ "metadata": { "name": "n" }, "spec": spec })).unwrap() };
    let cordons = async |spec| urgent(Event::Apply(node(spec)), cordoned, |_| Some(redis("x"))).await;
    assert!(!cordons(json!({})).await);
    assert!(cordons(json!({ "unschedulable": true })).await);
    assert!(cordons(json!({ "taints": [{ "key": "k", "effect": "NoExecute" }] })).await);
}

#[test]
fn the_owner_says_more_than_the_label() {
    let mut object = service("redis-x", "edited-by-hand");
    assert_eq!(redis_of(&object), Some(redis("edited-by-hand")));
    let mut owner = json!({ "apiVersion": "redis-operator.dev/v1alpha1", "kind": "Redis", "name": "x", "uid": "u" });
    object.metadata.owner_references = Some(vec![serde_json::from_value(owner.clone()).unwrap()]);
    assert_eq!(redis_of(&object), Some(redis("x")));
    owner["apiVersion"] = json!("other.example/v1");
    object.metadata.owner_references = Some(vec![serde_json::from_value(owner).unwrap()]);
    assert_eq!(redis_of(&object), Some(redis("edited-by-hand")));
    object.metadata.labels = None;
    assert_eq!(redis_of(&object), None);
}

#[test]
fn a_resource_that_cannot_be_read_still_has_a_name() {
    let guarded: Guarded = serde_json::from_value(json!({
        "metadata": { "name": "x", "namespace": "a" }, "spec": "nonsense"
    }))
    .unwrap();
    assert!(guarded.0.is_err());
    assert_eq!(itself(&guarded), Some(redis("x")));
}

#[test]
fn of_a_node_little_is_kept() {
    let mut node: Node = serde_json::from_value(json!({
        "metadata": { "name": "n", "annotations": { "big": "x" }, "managedFields": [{ "manager": "kubelet" }] },
        "spec": { "unschedulable": true, "podCIDR": "10.0.0.0/24", "taints": [{ "key": "k", "effect": "NoSchedule" }] },
        "status": {
            "images": [{ "names": ["a"] }],
            "nodeInfo": {
                "bootID": "b", "machineID": "m", "systemUUID": "", "kernelVersion": "", "osImage": "",
                "containerRuntimeVersion": "", "kubeletVersion": "", "kubeProxyVersion": "", "operatingSystem": "",
                "architecture": ""
            }
        }
    }))
    .unwrap();
    trim_node(&mut node);
    let status = node.status.unwrap();
    let spec = node.spec.unwrap();
    assert_eq!(status.node_info.unwrap().boot_id, "b");
    assert_eq!(status.images, None);
    assert_eq!(spec.unschedulable, Some(true));
    assert_eq!(spec.taints.unwrap().len(), 1);
    assert_eq!(spec.pod_cidr, None);
    assert_eq!((node.metadata.annotations, node.metadata.managed_fields), (None, None));
}

/// kube yields something before each list, which ends no outage.
#[tokio::test]
async fn o01_an_api_server_that_is_away_is_asked_more_and_more_seldom() {
    let api = FakeApi::default();
    api.away(true);
    let scope = Scope {
        client: api.client(),
        namespace: None,
        limit: Duration::from_secs(5),
    };
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    let freshness = Freshness::new(scope.limit);
    let _services: Store<Service> = owned(&mut tasks, &scope, (&Triggers::default(), &freshness), never);
    while api.calls().len() < 5 {
        assert!(began.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let least = [50, 100, 200, 400].into_iter().sum();
    assert!(began.elapsed() >= Duration::from_millis(least), "{:?}", began.elapsed());
    assert!(
        freshness.ages(Instant::now())["Service"] >= Duration::from_millis(least),
        "for so long it fails"
    );
}
