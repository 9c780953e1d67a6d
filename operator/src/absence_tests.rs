use super::*;
use crate::fake_api::FakeApi;
use serde_json::{Value, json};

const QUOTA: &str =
    "pods \"redis-a-1\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";

fn at(seconds: u64) -> Moment {
    Moment(seconds * 1_000_000)
}

fn event(reason: &str, message: &str, minute: u32) -> Value {
    json!({
        "metadata": {}, "involvedObject": {}, "reason": reason, "message": message,
        "lastTimestamp": format!("2026-01-01T00:{minute:02}:00Z"),
    })
}

fn events(all: &[Value]) -> Vec<Event> {
    all.iter()
        .map(|event| serde_json::from_value(event.clone()).unwrap())
        .collect()
}

fn gone(pods: &[&str]) -> BTreeMap<String, About> {
    let about = About::Set("set".to_owned());
    pods.iter().map(|pod| ((*pod).to_owned(), about.clone())).collect()
}

fn failed(pod: &str, minute: u32) -> Value {
    event(
        "FailedCreate",
        &format!("create Pod {pod} in StatefulSet redis-a failed error: {QUOTA}"),
        minute,
    )
}

#[test]
fn b09_a_pod_that_is_refused_is_named_with_the_reason() {
    let mut absences = Absences::default();
    absences.note(gone(&["redis-a-1"]), at(0));
    assert!(absences.are_open());
    absences.learn("set", &events(&[failed("redis-a-1", 1)]));
    assert!(!absences.are_open());
    let trouble = absences.trouble().unwrap();
    assert_eq!(trouble.reason, "PodNotCreated");
    assert!(
        trouble
            .message
            .starts_with("redis-a-1 cannot be created: pods \"redis-a-1\" is forbidden")
    );
    // it came after all
    absences.note(BTreeMap::new(), at(6));
    assert_eq!(absences.trouble(), None);
}

#[test]
fn a_pod_that_exists_and_does_not_start_is_named_with_what_its_last_event_says() {
    let warning = |minute| {
        let mut event = event(
            "FailedMount",
            "MountVolume.SetUp failed: secret \"login\" not found\nmore",
            minute,
        );
        event["type"] = json!("Warning");
        event
    };
    let mut absences = Absences::default();
    let starts = |uid: &str| [("redis-a-1".to_owned(), About::Pod(uid.to_owned()))].into();
    absences.note(starts("one"), at(0));
    assert_eq!(absences.look(at(29)), BTreeSet::new());
    assert_eq!(absences.look(at(30)), ["one".to_owned()].into());
    let pulling = event("Pulling", "Pulling image", 2);
    absences.learn("one", &events(&[warning(1), pulling.clone()]));
    assert_eq!(absences.trouble(), None, "it has got further since");
    absences.learn("one", &events(&[pulling, warning(3)]));
    let trouble = absences.trouble().unwrap();
    assert_eq!(trouble.reason, "PodNotStarted");
    assert!(
        trouble
            .message
            .starts_with("redis-a-1 does not start: MountVolume.SetUp failed: secret \"login\" not found. See kubectl"),
        "{}",
        trouble.message
    );
    absences.note(starts("another"), at(40));
    assert_eq!(absences.trouble(), None, "that is another pod");
}

#[test]
fn what_was_heard_before_the_last_success_is_no_reason() {
    let created = event(
        "SuccessfulCreate",
        "create Pod redis-a-1 in StatefulSet redis-a successful",
        2,
    );
    let all = [failed("redis-a-1", 1), created, failed("redis-a-10", 3)];
    assert_eq!(refusal(&events(&all), "redis-a-1"), None);
    assert_eq!(refusal(&events(&all), "redis-a-2"), None);
    assert!(refusal(&events(&all), "redis-a-10").is_some());
    let again = [all.as_slice(), &[failed("redis-a-1", 4)]].concat();
    assert_eq!(refusal(&events(&again), "redis-a-1").as_deref(), Some(QUOTA));
}

#[test]
fn it_is_looked_for_after_a_while_and_then_more_and_more_seldom() {
    let mut absences = Absences::default();
    let mut looks = vec![];
    for second in 0..1_000 {
        absences.note(gone(&["redis-a-1"]), at(second));
        if !absences.look(at(second)).is_empty() {
            looks.push(second);
        }
    }
    assert_eq!(looks, [5, 15, 35, 75, 155, 315, 615, 915]);
    // another one that goes missing is looked for at once
    absences.note(gone(&["redis-a-1", "redis-a-2"]), at(1_000));
    assert!(absences.look(at(1_004)).is_empty() && !absences.look(at(1_005)).is_empty());
}

#[test]
fn every_ordinal_without_a_pod_is_missing() {
    let spec = json!({ "replicas": 3, "selector": {}, "serviceName": "", "template": {} });
    let set: StatefulSet = serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap();
    let all = missing(&set, "a", |pod| pod == "redis-a-1");
    assert_eq!(all, ["redis-a-0".to_owned(), "redis-a-2".to_owned()].into());
}

#[tokio::test]
async fn events_are_read_as_the_api_server_writes_them() {
    let api = FakeApi::default();
    let path = "/api/v1/namespaces/a/events";
    api.put(path, json!({ "metadata": {}, "items": [failed("redis-a-1", 1)] }));
    let events: Api<Event> = Api::namespaced(api.client(), "a");
    let read = of(&events, "uid", Duration::from_secs(60)).await.unwrap();
    assert_eq!(refusal(&read, "redis-a-1").as_deref(), Some(QUOTA));
}
