//! Pods as a decision sees them.

mod trouble;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use redis_operator_core::api::Redis;
use redis_operator_core::names;
use redis_operator_core::observed::{Container, Instance, Reach};
use redis_operator_core::record::Record;
use std::collections::{BTreeMap, BTreeSet};
use trouble::trouble;

/// A resource as the owner of pods.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its uid: another one of that name is another resource.
    pub uid: &'a str,
    /// When it was created.
    pub created: Option<Timestamp>,
}

impl<'a> Owner<'a> {
    /// This one.
    pub fn of(redis: &'a Redis) -> Self {
        Self {
            name: redis.metadata.name.as_deref().unwrap_or_default(),
            uid: redis.metadata.uid.as_deref().unwrap_or_default(),
            created: redis.metadata.creation_timestamp.as_ref().map(|time| time.0),
        }
    }
}

/// A pod of the resource, before its instance was asked anything; none if the pod is somebody else's.
///
/// Labels can be worn by anybody, and taken from anybody; the owner's uid and the record's word cannot.
pub fn instance(
    pod: &Pod,
    owner: &Owner<'_>,
    stateful_set: Option<&StatefulSet>,
    record: Option<&Record>,
) -> Option<Instance> {
    let name = pod.name_any();
    let ordinal = names::ordinal(&name, owner.name)?;
    let uid = pod.metadata.uid.as_deref();
    let named = record.zip(uid).is_some_and(|(record, uid)| record.names(uid));
    if !named && !belongs(pod, owner, stateful_set) {
        return None;
    }
    Some(Instance {
        uid: pod.uid()?,
        resource_version: pod.resource_version().unwrap_or_default(),
        ordinal: u32::try_from(ordinal).ok()?,
        node: pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.clone())
            .unwrap_or_default(),
        address: address(pod),
        label: pod.labels().get(names::LABEL_ROLE).cloned(),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        container: container(pod),
        outdated: stateful_set.is_some_and(|set| is_outdated(pod, set)),
        stale: false,
        evacuating: None,
        wanted_priority: None,
        trouble: trouble(pod),
        reach: Reach::Untried,
        last: None,
        attached: false,
        pod: name,
    })
}

/// A pod whose containers have all ended keeps an address in its status that another pod may have by now.
fn address(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let over = |status: &&PodStatus| matches!(status.phase.as_deref(), Some("Failed" | "Succeeded"));
    let address = status
        .filter(|status| !over(status))
        .and_then(|status| status.pod_ip.clone());
    address.unwrap_or_default()
}

/// Two pods with one address: a status is late, and one process would be counted twice. Only a single one that runs keeps
/// it.
pub fn part(instances: &mut BTreeMap<String, Instance>) {
    let mut sharing: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    for it in instances.values().filter(|it| !it.address.is_empty()) {
        let running = it.container.started_micros.is_some();
        let all = sharing.entry(it.address.clone()).or_default();
        all.push((it.pod.clone(), running));
    }
    for all in sharing.into_values().filter(|all| all.len() > 1) {
        let running = all.iter().filter(|(_, running)| *running).count();
        let lose = all.into_iter().filter(|(_, runs)| !runs || running > 1);
        for (pod, _) in lose {
            if let Some(instance) = instances.get_mut(&pod) {
                instance.address.clear();
            }
        }
    }
}

/// `currentRevision` never advances under OnDelete; the pod's own hash against `updateRevision` tells.
fn is_outdated(pod: &Pod, set: &StatefulSet) -> bool {
    let Some(status) = set
        .status
        .as_ref()
        .filter(|status| status.observed_generation == set.metadata.generation)
    else {
        return false;
    };
    let made_from = pod.labels().get("controller-revision-hash");
    made_from.is_some() && status.update_revision.is_some() && made_from != status.update_revision.as_ref()
}

/// The image of a pod's server, as its spec says.
pub fn image(pod: &Pod) -> Option<&String> {
    let mut containers = pod.spec.as_ref()?.containers.iter();
    containers.find(|it| it.name == names::CONTAINER_REDIS)?.image.as_ref()
}

/// A pod that nobody has recorded belongs to the resource by its StatefulSet. While that is missing (deleted by hand, with
/// its pods left alone) its orphans are still the resource's, but for those that are older than it: they are another
/// one's of that name, which is gone.
fn belongs(pod: &Pod, redis: &Owner<'_>, stateful_set: Option<&StatefulSet>) -> bool {
    let owners = pod.owner_references();
    let owner = owners.iter().find(|owner| owner.controller == Some(true));
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let inherited = created.zip(redis.created).is_some_and(|(pod, redis)| pod < redis);
    let Some(set) = stateful_set else {
        let orphaned = |owner: &OwnerReference| owner.kind == "StatefulSet" && owner.name == names::object(redis.name);
        return !inherited && owner.is_none_or(orphaned);
    };
    // One of that name which belongs to somebody else: so do its pods.
    let ours = set.owner_references().iter().any(|owner| owner.uid == redis.uid);
    ours && owner.is_some_and(|owner| Some(&owner.uid) == set.metadata.uid.as_ref())
}

/// On its way to a first start, for this reason that a container waits: no trouble yet.
pub(crate) fn is_starting(reason: &str) -> bool {
    ["ContainerCreating", "PodInitializing"].contains(&reason)
}

/// Why a container waits, and Kubernetes' words on it, unless it is only starting.
pub(crate) fn held_up(container: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or("waiting");
    (!is_starting(reason)).then(|| (reason, waiting.message.as_deref().unwrap_or_default()))
}

fn status(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == names::CONTAINER_REDIS)
}

/// Of all containers only that of redis counts: a sidecar that crashes says nothing about the data.
fn container(pod: &Pod) -> Container {
    let Some(status) = status(pod) else {
        return Container::default();
    };
    let running = status.state.as_ref().and_then(|state| state.running.as_ref());
    Container {
        id: status.container_id.clone(),
        started_micros: running.and_then(|running| Some(running.started_at.as_ref()?.0.as_microsecond())),
        terminated: terminated(pod),
        waiting: waiting(status.state.as_ref()),
        restarts: u32::try_from(status.restart_count).unwrap_or_default(),
    }
}

/// Ids of the server's containers that the pod's status shows as terminated.
pub fn terminated(pod: &Pod) -> BTreeSet<String> {
    let states = status(pod).map(|status| [status.state.as_ref(), status.last_state.as_ref()]);
    let terminated = states
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|state| state.terminated.as_ref()?.container_id.clone());
    terminated.collect()
}

fn waiting(state: Option<&ContainerState>) -> Option<String> {
    state?.waiting.as_ref()?.reason.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const OWNER: Owner<'_> = Owner {
        name: "a",
        uid: "r",
        created: None,
    };

    fn owner(kind: &str, uid: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": kind, "name": "redis-a", "uid": uid, "controller": true })
    }

    fn pod(owner: Value) -> Pod {
        let labels = json!({ "redis": "a", "role": "master" });
        let metadata = json!({
            "name": "redis-a-0", "uid": "u", "labels": labels, "ownerReferences": owner,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        });
        serde_json::from_value(json!({ "metadata": metadata, "status": {} })).unwrap()
    }

    #[test]
    fn one_process_is_not_counted_as_two() {
        let at = |name: &str, phase: &str, running: bool| {
            let state = if running {
                json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } })
            } else {
                json!({})
            };
            let containers = json!([{ "name": "redis", "image": "", "imageID": "", "ready": running, "restartCount": 0, "state": state }]);
            let status = json!({ "phase": phase, "podIP": "10.0.0.1", "containerStatuses": containers });
            let pod =
                serde_json::from_value(json!({ "metadata": { "name": name, "uid": name }, "status": status })).unwrap();
            instance(&pod, &OWNER, None, None).unwrap()
        };
        let addresses = |all: [Instance; 2]| {
            let mut all = all.map(|it| (it.pod.clone(), it)).into();
            part(&mut all);
            all.into_values().map(|it| it.address).collect::<Vec<_>>()
        };
        let (one, other) = ("redis-a-0", "redis-a-1");
        assert_eq!(
            addresses([at(one, "Running", true), at(other, "Failed", false)]),
            ["10.0.0.1", ""]
        );
        assert_eq!(
            addresses([at(one, "Running", false), at(other, "Running", true)]),
            ["", "10.0.0.1"]
        );
        assert_eq!(
            addresses([at(one, "Running", true), at(other, "Running", true)]),
            ["", ""]
        );
    }

    /// The one before it is the only trace of a process that ended.
    #[test]
    fn a_back_off_is_read_as_kubelet_writes_it() {
        let ended = json!({ "exitCode": 137, "containerID": "containerd://former" });
        let sidecar =
            json!({ "name": "exporter", "image": "", "imageID": "", "ready": false, "restartCount": 9, "state": {} });
        let server = json!({
            "name": "redis", "image": "", "imageID": "", "ready": false, "restartCount": 4,
            "containerID": "containerd://former",
            "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 1m20s" } },
            "lastState": { "terminated": ended },
        });
        let mut pod = pod(json!([]));
        let status = json!({ "containerStatuses": [sidecar, server] });
        pod.status = Some(serde_json::from_value(status).unwrap());
        let expected = Container {
            id: Some("containerd://former".to_owned()),
            started_micros: None,
            terminated: ["containerd://former".to_owned()].into(),
            waiting: Some("CrashLoopBackOff".to_owned()),
            restarts: 4,
        };
        assert_eq!(container(&pod), expected);
        pod.status = None;
        assert_eq!(container(&pod), Container::default());
    }

    #[test]
    fn f08_labels_do_not_make_an_instance() {
        let set: StatefulSet = serde_json::from_value(json!({
            "metadata": { "name": "redis-a", "uid": "set", "ownerReferences": [owner("Redis", "r")] },
            "spec": { "selector": {}, "template": {}, "serviceName": "" },
        }))
        .unwrap();
        let owned = |kind: &str, uid: &str| json!([owner(kind, uid)]);
        let counts = |owner: Value, set| instance(&pod(owner), &OWNER, set, None).is_some();
        assert!(counts(owned("StatefulSet", "set"), Some(&set)));
        assert!(!counts(json!([]), Some(&set)));
        assert!(!counts(owned("StatefulSet", "another"), Some(&set)));
        assert!(!counts(owned("ReplicaSet", "x"), None));
        assert!(counts(owned("StatefulSet", "deleted"), None));
        let mut foreign = set.clone();
        foreign.owner_references_mut()[0].uid = "another".to_owned();
        assert!(!counts(owned("StatefulSet", "set"), Some(&foreign)));
    }

    /// `kubectl delete sts`, with its pods or without: the pods on record are those that hold the data, whoever owns them.
    #[test]
    fn f08_a_pod_on_record_is_an_instance_whatever_becomes_of_its_owner() {
        let mut record = Record::first("me");
        let process = json!({ "pod": "redis-a-0", "uid": "u", "runId": "", "address": "" });
        record.master = Some(serde_json::from_value(process).unwrap());
        let new: StatefulSet = serde_json::from_value(json!({
            "metadata": { "name": "redis-a", "uid": "new", "ownerReferences": [owner("Redis", "r")] },
        }))
        .unwrap();
        for owner in [json!([owner("StatefulSet", "old")]), json!([])] {
            let pod = pod(owner);
            assert!(instance(&pod, &OWNER, Some(&new), Some(&record)).is_some());
            assert!(instance(&pod, &OWNER, Some(&new), None).is_none());
            let younger = Owner {
                created: Some("2026-01-01T00:00:01Z".parse().unwrap()),
                ..OWNER
            };
            assert!(instance(&pod, &younger, None, Some(&record)).is_some());
        }
    }

    /// A Redis that is deleted leaves pods that terminate; one of its name that is created meanwhile has no part in them.
    #[test]
    fn f08_pods_of_a_predecessor_of_that_name_are_not_inherited() {
        let pod = pod(json!([owner("StatefulSet", "of-the-predecessor")]));
        let counts = |created: &str| {
            let created = Some(created.parse().unwrap());
            instance(&pod, &Owner { created, ..OWNER }, None, None).is_some()
        };
        assert!(!counts("2026-01-01T00:00:01Z"));
        assert!(counts("2026-01-01T00:00:00Z"));
    }
}
