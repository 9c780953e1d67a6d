//! Observe: everything that a decision may read, each part as fresh as safety needs it.

use crate::controller::Context;
use crate::departed;
use crate::error::Error;
use crate::evacuation::evacuating;
use crate::fail_point;
use crate::image::obstacle;
use crate::missing;
use crate::pods;
use crate::resource::{Held, Resource};
use crate::watch::{Target, Watch};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use redis_operator_core::annotations::{self, Asked};
use redis_operator_core::api::{Redis, priority};
use redis_operator_core::config;
use redis_operator_core::names;
use redis_operator_core::observed::{Desired, Instance, Observed};
use redis_operator_core::record::{Found, Record};
use redis_operator_core::resources::revision;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Observes one resource; of the memory the caller knows.
///
/// # Errors
/// A read from the API server failed.
pub async fn observe(
    context: &Context,
    resource: &Resource,
    held: &mut Held,
    redis: &Redis,
) -> Result<Observed, Error> {
    let mut record = resource.cluster.record(redis).await?;
    fail_point::reach("observe.after-record");
    let slice = ObjectRef::<EndpointSlice>::new(&names::master_service(&resource.name)).within(&resource.namespace);
    let slice = context.mirrors.slices.get(&slice);
    let slice = resource.cluster.slice(slice.as_deref()).await?;
    // A successor writes the record before it touches the slice. Without a second look, one that was succeeded would take the
    // touched slice for one to put right, and publish with a version that does not conflict.
    if slice
        .as_ref()
        .is_none_or(|slice| slice.holder != context.session.holder)
    {
        record = resource.cluster.reread().await?;
    }
    let all = existing(context, resource, held, written(&record)).await?;
    let Pods {
        set,
        all,
        own: mut instances,
        set_holder,
        restarted,
    } = Pods::of(context, resource, redis, written(&record), all);
    let reread = resource.cluster.reread();
    record = ask(&resource.watch, &mut instances, record, &context.session.holder, reread).await?;
    // What was heard is measured against this moment: whatever holds this pass up from here on is no silence.
    let now = context.clock.now();
    let clock = Timestamp::now();
    let wanted = desired(redis);
    Ok(Observed {
        desired: Desired {
            durable: wanted.durable && leave_what_is_read(&all, redis),
            incompatible: obstacle(&mut held.masters_image, set.as_deref(), &all, written(&record), redis),
            restarted,
            ..wanted
        },
        holder: context.session.holder.clone(),
        record,
        instances,
        departed: held.pods.departed(&context.mirrors.nodes),
        set_holder,
        slice,
        memory: Default::default(),
        now,
        clock,
    })
}

/// The pods that carry the resource's label, and those on record that have lost it. What is known of those that are gone is
/// brought up to date: before anybody is asked, for the API server may take its time.
async fn existing(
    context: &Context,
    resource: &Resource,
    held: &mut Held,
    record: Option<&Record>,
) -> Result<Vec<Arc<Pod>>, Error> {
    let (client, limit) = (&context.clients.calls, context.args.api_limit);
    let mut all = context.mirrors.pods_of(&resource.namespace, &resource.name);
    let unknown = held.pods.unknown(&all, record);
    held.strays = missing::existing(client, &resource.namespace, &unknown, limit).await?;
    all.extend(held.strays.iter().cloned());
    held.pods
        .note(&all, record, &context.mirrors.nodes, context.clock.now());
    let nodes = held.pods.questions(context.clock.now());
    for (node, renewed) in departed::renewed(client, &nodes, limit).await {
        held.pods.answer(&node, renewed, context.clock.now());
    }
    Ok(all)
}

/// Asks every instance, and gives the record that is valid for what they said.
///
/// The order matters. The master is asked before its members, so that an offset which a member shows at or past it was
/// reached after. Where a connection was opened since the record was read, the record is read again before that
/// connection may be used: an operator that was succeeded finds out here.
///
/// # Errors
/// The record had to be read again, and could not.
pub async fn ask(
    watch: &Watch,
    instances: &mut BTreeMap<String, Instance>,
    mut record: Found,
    holder: &str,
    reread: impl Future<Output = Result<Found, Error>>,
) -> Result<Found, Error> {
    let targets: Vec<_> = instances.values().filter_map(target).collect();
    watch.set_targets(&targets);
    let master = written(&record)
        .and_then(|record| record.master.as_ref())
        .map(|master| master.uid.clone());
    let mut answers = watch.observe(master.as_deref()).await;
    let unattached = watch.unattached();
    if !unattached.is_empty() {
        record = reread.await?;
        if written(&record).is_none_or(|record| record.holder == holder) {
            fail_point::reach("observe.before-attach");
            watch.attach(&unattached).await;
            answers = watch.observe(master.as_deref()).await;
        }
    }
    for instance in instances.values_mut() {
        if let Some(answer) = answers.remove(&instance.uid) {
            (instance.reach, instance.last, instance.attached) = (answer.reach, answer.last, answer.attached);
        }
    }
    Ok(record)
}

/// What the caches show of a resource's pods.
struct Pods {
    set: Option<Arc<StatefulSet>>,
    all: Vec<Arc<Pod>>,
    own: BTreeMap<String, Instance>,
    set_holder: Option<String>,
    restarted: Option<String>,
}

impl Pods {
    fn of(context: &Context, resource: &Resource, redis: &Redis, record: Option<&Record>, all: Vec<Arc<Pod>>) -> Self {
        let set = ObjectRef::<StatefulSet>::new(&names::object(&resource.name)).within(&resource.namespace);
        let set = context.mirrors.stateful_sets.get(&set);
        let holder = |set: &StatefulSet| {
            set.annotations()
                .get(names::ANNOTATION_HOLDER)
                .cloned()
                .unwrap_or_default()
        };
        let set_holder = set.as_deref().map(holder);
        let restarted = set.as_deref().and_then(restart_of);
        let accepted = record.map_or(restarted.as_ref(), |record| record.restarted.as_ref());
        let revision = revision(&redis.spec, accepted.map(String::as_str));
        // Until the StatefulSet carries the present spec, a pod in place of another one would be no better.
        let carries = set.as_deref().is_some_and(|set| spec_of(set) == Some(&revision));
        let own = all.iter().filter_map(|pod| {
            let instance = pods::instance(pod, &pods::Owner::of(redis), set.as_deref(), record)?;
            let node = context.mirrors.nodes.get(&ObjectRef::new(&instance.node));
            Some(Instance {
                outdated: instance.outdated && carries,
                stale: pod.annotations().get(names::ANNOTATION_SPEC) != Some(&revision),
                evacuating: evacuating(pod, node.as_deref()),
                wanted_priority: priority(
                    &redis.spec.priorities,
                    instance.ordinal,
                    node.as_deref().map(Node::labels),
                ),
                ..instance
            })
        });
        let mut own = own.map(|instance| (instance.pod.clone(), instance)).collect();
        pods::part(&mut own);
        Self {
            set,
            all,
            own,
            set_holder,
            restarted,
        }
    }
}

/// A pod in the place of any of these would begin with its data.
fn leave_what_is_read(pods: &[Arc<Pod>], redis: &Redis) -> bool {
    let conf = config::render(&redis.spec);
    let read = config::persistence(&conf);
    let written = |pod: &Pod| {
        let conf = pod.annotations().get(names::ANNOTATION_CONFIG);
        conf.is_some_and(|conf| config::persistence(conf) == read)
    };
    pods.iter().all(|pod| written(pod))
}

fn target(instance: &Instance) -> Option<Target> {
    let address = instance.address.parse().ok()?;
    Some(Target {
        pod: instance.pod.clone(),
        uid: instance.uid.clone(),
        address,
    })
}

fn written(found: &Found) -> Option<&Record> {
    match found {
        Found::Record(record) => Some(record),
        Found::Absent | Found::Newer(_) | Found::Nonsense(_) => None,
    }
}

/// For which spec the pods of a StatefulSet are made.
fn spec_of(set: &StatefulSet) -> Option<&String> {
    annotation_of(set, names::ANNOTATION_SPEC)
}

/// After which restart the pods of a StatefulSet are made.
fn restart_of(set: &StatefulSet) -> Option<String> {
    annotation_of(set, names::ANNOTATION_RESTART).cloned()
}

fn annotation_of<'a>(set: &'a StatefulSet, name: &str) -> Option<&'a String> {
    let template = set.spec.as_ref()?.template.metadata.as_ref()?;
    template.annotations.as_ref()?.get(name)
}

/// What the user asked for, as far as decisions depend on it.
pub fn desired(redis: &Redis) -> Desired {
    let Asked {
        switchover,
        restart,
        paused,
        nonsense,
    } = annotations::read(redis.annotations());
    Desired {
        switchover,
        restart,
        paused,
        nonsense,
        replicas: u32::try_from(redis.spec.replicas).unwrap_or_default(),
        policy: redis.spec.policy,
        down_after: redis.spec.down_after(),
        volumes: redis.spec.storage.is_some(),
        durable: config::outlives(&redis.spec),
        incompatible: None,
        restarted: None,
        deleting: redis.metadata.deletion_timestamp.is_some(),
        elect: redis.annotations().get(names::ANNOTATION_ELECT).cloned(),
        ended: redis
            .annotations()
            .get(names::ANNOTATION_ENDED)
            .into_iter()
            .flat_map(|all| all.split(','))
            .map(|run_id| run_id.trim().to_owned())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis_operator_core::api::{RedisSpec, Storage};
    use serde_json::json;

    /// A roll replaces an only pod where it is only if its data is there for the next one.
    #[test]
    fn r04_a_volume_that_nothing_is_written_to_keeps_nothing() {
        let mut spec = RedisSpec::new("redis:7.0");
        spec.storage = Some(Storage::new("1Gi"));
        let kept = |spec: &RedisSpec| {
            let desired = desired(&Redis::new("a", spec.clone()));
            (desired.volumes, desired.durable)
        };
        assert_eq!(kept(&spec), (true, true));
        for (key, value) in [("appendonly", "no"), ("save", "")] {
            spec.config.insert(key.to_owned(), value.to_owned());
        }
        assert_eq!(kept(&spec), (true, false));
    }

    /// The next server would look for files that this one never wrote.
    #[test]
    fn r04_another_way_to_write_data_down_keeps_nothing_of_the_way_before() {
        let with = |config: &[(&str, &str)]| {
            let mut spec = RedisSpec::new("redis:7.0");
            spec.storage = Some(Storage::new("1Gi"));
            let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            spec.config = config.iter().map(own).collect();
            Redis::new("a", spec)
        };
        let made_for = |redis: &Redis| -> Pod {
            let annotations = json!({ names::ANNOTATION_CONFIG: config::render(&redis.spec) });
            serde_json::from_value(json!({ "metadata": { "annotations": annotations } })).unwrap()
        };
        let leaves_what_is_read = |pod: &Pod, redis: &Redis| leave_what_is_read(&[Arc::new(pod.clone())], redis);
        let log = with(&[]);
        let pod = made_for(&log);
        assert!(leaves_what_is_read(&pod, &log));
        assert!(leaves_what_is_read(&pod, &with(&[("maxmemory", "1gb")])));
        for other in [
            with(&[("appendonly", "no")]),
            with(&[("appendonly", "no"), ("save", "60 1")]),
            with(&[("appenddirname", "elsewhere")]),
        ] {
            assert!(!leaves_what_is_read(&pod, &other));
            assert!(!leaves_what_is_read(&made_for(&other), &log));
        }
        let unknown: Pod = serde_json::from_value(json!({ "metadata": {} })).unwrap();
        assert!(!leaves_what_is_read(&unknown, &log));
    }

    #[test]
    fn e23_the_stateful_set_tells_which_restart_was_accepted() {
        let template = |annotations| json!({ "metadata": { "annotations": annotations } });
        let set = |annotations| -> StatefulSet {
            let spec = json!({ "selector": {}, "serviceName": "", "template": template(annotations) });
            serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap()
        };
        let time = "2026-01-31T12:00:00Z";
        assert_eq!(
            restart_of(&set(json!({ names::ANNOTATION_RESTART: time }))).as_deref(),
            Some(time)
        );
        assert_eq!(restart_of(&set(json!({}))), None);
    }
}
