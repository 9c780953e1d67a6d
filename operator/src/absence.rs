//! Pods that are wanted and do not come into being. A quota, Pod Security, a webhook or a missing account forbids them,
//! and neither a pod nor a condition says so: only the Events of the StatefulSet do.
//!
//! They are read when a pod has been missing for a while, and then more and more seldom; nothing watches the Events of a
//! whole cluster.

use crate::controller::Context;
use crate::error::{Error, within};
use crate::resource::{Held, Resource};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use redis_operator_core::names;
use redis_operator_core::observed::{Moment, Observed};
use redis_operator_core::status::Trouble;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Whoever is missing for less is being replaced.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest pause between two looks.
const SELDOM: Duration = Duration::from_secs(300);
/// More than the StatefulSet's controller writes about one of its sets in the hour that Events live.
const EVENTS: u32 = 500;

/// Between what the StatefulSet's controller tried and what the API server said.
const FAILED: &str = "failed error: ";

/// Pods that are missing, by name.
#[derive(Default)]
pub struct Absences(BTreeMap<String, Absence>);

struct Absence {
    looked: Moment,
    pause: Duration,
    why: Option<String>,
}

impl Absences {
    /// Who is missing now.
    fn note(&mut self, missing: BTreeSet<String>, now: Moment) {
        self.0.retain(|pod, _| missing.contains(pod));
        for pod in missing {
            self.0.entry(pod).or_insert(Absence {
                looked: now,
                pause: PATIENCE,
                why: None,
            });
        }
    }

    /// Whether to look why now: somebody has been missing for long enough, or since the last look. The next one comes
    /// later than this one did, whatever it shows.
    fn look(&mut self, now: Moment) -> bool {
        let mut due = false;
        for it in self.0.values_mut().filter(|it| now.since(it.looked) >= it.pause) {
            (it.looked, it.pause) = (now, it.pause.saturating_mul(2).min(SELDOM));
            due = true;
        }
        due
    }

    /// What the Events say.
    fn learn(&mut self, events: &[Event]) {
        for (pod, it) in &mut self.0 {
            it.why = refusal(events, pod);
        }
    }

    /// Somebody is missing, and has not been looked for.
    pub fn are_fresh(&self) -> bool {
        self.0.values().any(|it| it.pause == PATIENCE)
    }

    fn trouble(&self) -> Option<Trouble> {
        let (pod, why) = self.0.iter().find_map(|(pod, it)| Some((pod, it.why.as_ref()?)))?;
        Some(Trouble {
            reason: "PodNotCreated".to_owned(),
            message: format!(
                "{pod} cannot be created: {why}. Change the spec, or what forbids it (a quota, Pod Security, a webhook, a missing ServiceAccount); Kubernetes then tries again by itself, after 17 minutes at the latest"
            ),
        })
    }
}

/// Why a wanted pod cannot be created, as the API server said it.
pub async fn explain(context: &Context, resource: &Resource, held: &mut Held, seen: &Observed) -> Option<Trouble> {
    let set = ObjectRef::<StatefulSet>::new(&names::object(&resource.name)).within(&resource.namespace);
    let set = context.mirrors.stateful_sets.get(&set);
    let set = set.filter(|_| !seen.desired.deleting);
    let exists = |pod: &str| {
        let pod = ObjectRef::<Pod>::new(pod).within(&resource.namespace);
        context.mirrors.pods.get(&pod).is_some()
    };
    let missing = set.as_deref().map(|set| missing(set, &resource.name, exists));
    let absences = &mut held.absences;
    absences.note(missing.unwrap_or_default(), seen.now);
    let uid = set.and_then(|set| set.uid()).filter(|_| absences.look(seen.now));
    if let Some(uid) = uid {
        let events: Api<Event> = Api::namespaced(context.clients.calls.clone(), &resource.namespace);
        match of(&events, &uid, context.args.api_limit).await {
            Ok(events) => absences.learn(&events),
            Err(error) => tracing::debug!(redis = resource.name, %error, "cannot tell why a pod is missing"),
        }
    }
    absences.trouble()
}

/// The pods that the StatefulSet should run and that do not exist.
fn missing(set: &StatefulSet, redis: &str, exists: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default();
    let pods = (0..wanted).map(|ordinal| names::pod(redis, ordinal));
    pods.filter(|pod| !exists(pod)).collect()
}

/// The Events about an object.
async fn of(events: &Api<Event>, uid: &str, limit: Duration) -> Result<Vec<Event>, Error> {
    let about = ListParams::default()
        .fields(&format!("involvedObject.uid={uid}"))
        .limit(EVENTS);
    let call = events.list(&about);
    Ok(within(limit, "read the Events of a StatefulSet", call).await?.items)
}

/// Why this pod could not be created; none if the last that was heard of it is something else.
fn refusal(events: &[Event], pod: &str) -> Option<String> {
    let about = events.iter().filter(|event| names_pod(event, pod));
    let last = about.max_by_key(|event| time(event))?;
    let failed = last.reason.as_deref() == Some("FailedCreate");
    let message = last.message.as_deref().filter(|_| failed)?;
    let why = message.split_once(FAILED).map_or(message, |(_, why)| why);
    Some(why.trim().trim_end_matches('.').to_owned())
}

/// What was tried comes first; the API server's own sentence may speak of other pods.
fn names_pod(event: &Event, pod: &str) -> bool {
    let message = event.message.as_deref().unwrap_or_default();
    let tried = message.split(FAILED).next().unwrap_or_default();
    let mut words = tried.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.any(|word| word == pod)
}

/// When it happened last: an Event that comes again is counted, not written anew.
fn time(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref());
    let micro = [series, event.event_time.as_ref()]
        .into_iter()
        .flatten()
        .map(|time| time.0);
    let plain = [
        event.last_timestamp.as_ref(),
        event.metadata.creation_timestamp.as_ref(),
    ];
    micro.chain(plain.into_iter().flatten().map(|time| time.0)).max()
}

#[cfg(test)]
mod tests {
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
        absences.note(["redis-a-1".to_owned()].into(), at(0));
        absences.learn(&events(&[failed("redis-a-1", 1)]));
        let trouble = absences.trouble().unwrap();
        assert_eq!(trouble.reason, "PodNotCreated");
        assert!(
            trouble
                .message
                .starts_with("redis-a-1 cannot be created: pods \"redis-a-1\" is forbidden")
        );
        // it came after all
        absences.note(BTreeSet::new(), at(6));
        assert_eq!(absences.trouble(), None);
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
            absences.note(["redis-a-1".to_owned()].into(), at(second));
            if absences.look(at(second)) {
                looks.push(second);
            }
        }
        assert_eq!(looks, [5, 15, 35, 75, 155, 315, 615, 915]);
        // another one that goes missing is looked for at once
        absences.note(["redis-a-1".to_owned(), "redis-a-2".to_owned()].into(), at(1_000));
        assert!(!absences.look(at(1_004)) && absences.look(at(1_005)));
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
        let read = of(&events, "uid", Duration::from_secs(1)).await.unwrap();
        assert_eq!(refusal(&read, "redis-a-1").as_deref(), Some(QUOTA));
    }
}
