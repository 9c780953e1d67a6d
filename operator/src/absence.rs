//! Pods that are wanted and do not come into being, or do not start. A quota, Pod Security, a webhook or a missing account
//! forbids them, and neither a pod nor a condition says so: only the Events of the StatefulSet do. A volume that cannot be
//! attached, or a Secret that is not there, keeps a pod from its start: only the pod's Events say so.
//!
//! They are read when a pod has been missing for a while, and then more and more seldom; nothing watches the Events of a
//! whole cluster.

use crate::controller::Context;
use crate::error::{Error, within};
use crate::pods;
use crate::resource::{Held, Resource};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use redis_operator_core::names;
use redis_operator_core::observed::{Instance, Moment, Observed};
use redis_operator_core::status::Trouble;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Whoever is missing for less is being replaced.
const MISSING: Duration = Duration::from_secs(5);
/// Whoever has been starting for less may be waiting for its image.
const STARTING: Duration = Duration::from_secs(30);
/// The longest pause between two looks.
const SELDOM: Duration = Duration::from_secs(300);
/// More than the StatefulSet's controller writes about one of its sets in the hour that Events live.
const EVENTS: u32 = 500;

/// Between what the StatefulSet's controller tried and what the API server said.
const FAILED: &str = "failed error: ";

/// Pods that are missing or do not start, by name.
#[derive(Default)]
pub struct Absences(BTreeMap<String, Absence>);

/// The object whose Events tell why, by uid.
#[derive(Clone, Debug, PartialEq, Eq)]
enum About {
    /// Of a pod that does not exist: its StatefulSet.
    Set(String),
    /// Of one that does: itself.
    Pod(String),
}

impl About {
    fn uid(&self) -> &str {
        match self {
            Self::Set(uid) | Self::Pod(uid) => uid,
        }
    }
}

struct Absence {
    about: About,
    looked: Moment,
    pause: Duration,
    why: Option<String>,
}

impl Absences {
    /// Who is missing now.
    fn note(&mut self, missing: BTreeMap<String, About>, now: Moment) {
        self.0.retain(|pod, it| missing.get(pod) == Some(&it.about));
        for (pod, about) in missing {
            let pause = match about {
                About::Set(_) => MISSING,
                About::Pod(_) => STARTING,
            };
            self.0.entry(pod).or_insert(Absence {
                about,
                looked: now,
                pause,
                why: None,
            });
        }
    }

    /// Where to look why now: at whom somebody's absence has waited for long enough, or since the last look. The next one
    /// comes later than this one did, whatever it shows.
    fn look(&mut self, now: Moment) -> BTreeSet<String> {
        let mut due = BTreeSet::new();
        for it in self.0.values_mut().filter(|it| now.since(it.looked) >= it.pause) {
            (it.looked, it.pause) = (now, it.pause.saturating_mul(2).min(SELDOM));
            due.insert(it.about.uid().to_owned());
        }
        due
    }

    /// What the Events about this object say.
    fn learn(&mut self, uid: &str, events: &[Event]) {
        for (pod, it) in self.0.iter_mut().filter(|(_, it)| it.about.uid() == uid) {
            it.why = match it.about {
                About::Set(_) => refusal(events, pod),
                About::Pod(_) => hindrance(events),
            };
        }
    }

    /// Nobody knows yet why somebody is missing.
    pub fn are_open(&self) -> bool {
        self.0.values().any(|it| it.why.is_none())
    }

    fn trouble(&self) -> Option<Trouble> {
        let (pod, it, why) = self.0.iter().find_map(|(pod, it)| Some((pod, it, it.why.as_ref()?)))?;
        let (reason, message) = match it.about {
            About::Set(_) => (
                "PodNotCreated",
                format!(
                    "{pod} cannot be created: {why}. Change the spec, or what forbids it (a quota, Pod Security, a webhook, a missing ServiceAccount); Kubernetes then tries again by itself, after 17 minutes at the latest"
                ),
            ),
            About::Pod(_) => (
                "PodNotStarted",
                format!(
                    "{pod} does not start: {why}. See kubectl describe pod/{pod}; Kubernetes tries again by itself"
                ),
            ),
        };
        Some(Trouble {
            reason: reason.to_owned(),
            message,
        })
    }
}

/// Why a wanted pod does not run, as Kubernetes said it.
pub async fn explain(context: &Context, resource: &Resource, held: &mut Held, seen: &Observed) -> Option<Trouble> {
    let absences = &mut held.absences;
    absences.note(absent(context, resource, seen), seen.now);
    let api: Api<Event> = Api::namespaced(context.clients.calls.clone(), &resource.namespace);
    for uid in absences.look(seen.now) {
        match of(&api, &uid, context.args.api_limit).await {
            Ok(events) => absences.learn(&uid, &events),
            Err(error) => tracing::debug!(redis = resource.name, %error, "cannot tell why a pod is missing"),
        }
    }
    absences.trouble()
}

/// Who is wanted and does not exist, or has not begun to run.
fn absent(context: &Context, resource: &Resource, seen: &Observed) -> BTreeMap<String, About> {
    let set = ObjectRef::<StatefulSet>::new(&names::object(&resource.name)).within(&resource.namespace);
    let set = context.mirrors.stateful_sets.get(&set);
    let set = set.filter(|_| !seen.desired.deleting);
    let exists = |pod: &str| {
        let pod = ObjectRef::<Pod>::new(pod).within(&resource.namespace);
        context.mirrors.pods.get(&pod).is_some()
    };
    let mut absent: BTreeMap<_, _> = starting(seen).collect();
    if let Some((set, uid)) = set.as_deref().and_then(|set| Some((set, set.uid()?))) {
        let missing = missing(set, &resource.name, exists).into_iter();
        absent.extend(missing.map(|pod| (pod, About::Set(uid.clone()))));
    }
    absent
}

/// Pods that have a node and whose server has not begun.
fn starting(seen: &Observed) -> impl Iterator<Item = (String, About)> {
    let waits = |it: &&Instance| {
        let begins = it.container.waiting.as_deref().is_some_and(pods::is_starting);
        // one whose trouble is known is told by that
        begins && !it.node.is_empty() && !it.deleting && it.trouble.is_none()
    };
    let pods = seen.instances.values().filter(waits);
    pods.map(|it| (it.pod.clone(), About::Pod(it.uid.clone())))
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
    Ok(within(limit, "read the Events about an object", call).await?.items)
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

/// What keeps an existing pod from its start; none if the last that was heard of it is no warning.
fn hindrance(events: &[Event]) -> Option<String> {
    let last = events.iter().max_by_key(|event| time(event))?;
    let message = last
        .message
        .as_deref()
        .filter(|_| last.type_.as_deref() == Some("Warning"))?;
    let first = message.lines().next().unwrap_or_default();
    Some(first.trim().trim_end_matches('.').to_owned())
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
#[path = "absence_tests.rs"]
mod tests;
