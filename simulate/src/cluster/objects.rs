//! Objects as Kubernetes has them, so that the operator's own code reads them.

use super::api::NAME;
use crate::world::text;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Node,
    NodeSpec, NodeStatus, NodeSystemInfo, Pod, PodSpec, PodStatus, PodTemplateSpec, Taint,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use redis_operator_core::names;

const SET_UID: &str = "set";
/// Uid of the resource.
pub(crate) const REDIS_UID: &str = "redis";

/// For what pods are made: the number of the spec, and the restart that was accepted last.
pub(crate) fn revision(spec: u32, restarted: Option<&str>) -> String {
    format!("{spec}{}", restarted.unwrap_or_default())
}

/// The number of the spec of a revision.
pub(crate) fn spec_of(revision: &str) -> Option<u32> {
    revision.split('r').next()?.parse().ok()
}

/// What a kubelet knows of the redis container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Container {
    /// Number of the running one, or of the last.
    pub(crate) number: Option<u32>,
    /// Since when it runs, microseconds of the node's wall clock.
    pub(crate) running: Option<i64>,
    /// The one before.
    pub(crate) last: Option<u32>,
    /// Waits in a back-off.
    pub(crate) backing_off: bool,
    /// Its image cannot be pulled.
    pub(crate) broken: bool,
    /// Starts so far.
    pub(crate) starts: i32,
}

/// A node.
pub(crate) fn node(number: u8, boot: u32, out_of_service: bool) -> Node {
    let taint = || Taint {
        key: "node.kubernetes.io/out-of-service".to_owned(),
        effect: "NoExecute".to_owned(),
        ..Taint::default()
    };
    Node {
        metadata: ObjectMeta {
            name: Some(text::node(number)),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: out_of_service.then(|| vec![taint()]),
            ..NodeSpec::default()
        }),
        status: Some(NodeStatus {
            node_info: Some(NodeSystemInfo {
                boot_id: format!("boot-{number}-{boot}"),
                ..NodeSystemInfo::default()
            }),
            ..NodeStatus::default()
        }),
    }
}

/// The StatefulSet.
///
/// Its status is there at once: that its controller lags behind is the controller's own pause.
pub(crate) fn set(holder: &str, replicas: i32, revision: &str, restarted: Option<String>, version: u64) -> StatefulSet {
    let made_for = |key: &str, value: String| (key.to_owned(), value);
    let template = [made_for(names::ANNOTATION_SPEC, revision.to_owned())];
    let template = template
        .into_iter()
        .chain(restarted.map(|time| made_for(names::ANNOTATION_RESTART, time)));
    let mut set = StatefulSet {
        metadata: ObjectMeta {
            name: Some(names::object(NAME)),
            uid: Some(SET_UID.to_owned()),
            resource_version: Some(version.to_string()),
            owner_references: Some(vec![OwnerReference {
                uid: REDIS_UID.to_owned(),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(StatefulSetSpec {
            replicas: Some(replicas),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    annotations: Some(template.collect()),
                    ..ObjectMeta::default()
                }),
                ..PodTemplateSpec::default()
            },
            ..StatefulSetSpec::default()
        }),
        status: Some(StatefulSetStatus {
            update_revision: Some(revision.to_owned()),
            ..StatefulSetStatus::default()
        }),
    };
    let annotations = set.metadata.annotations.get_or_insert_default();
    annotations.insert(names::ANNOTATION_HOLDER.to_owned(), holder.to_owned());
    set
}

/// A new pod.
pub(crate) fn pod(number: u32, ordinal: u32, node: u8, spec: &str) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(names::pod(NAME, ordinal as i32)),
            uid: Some(text::uid(number)),
            labels: Some([("controller-revision-hash".to_owned(), spec.to_owned())].into()),
            annotations: Some([(names::ANNOTATION_SPEC.to_owned(), spec.to_owned())].into()),
            owner_references: Some(vec![OwnerReference {
                api_version: "apps/v1".to_owned(),
                kind: "StatefulSet".to_owned(),
                name: names::object(NAME),
                uid: SET_UID.to_owned(),
                controller: Some(true),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            node_name: Some(text::node(node)),
            termination_grace_period_seconds: Some(30),
            ..PodSpec::default()
        }),
        status: None,
    }
}

/// Its status as the kubelet tells it.
pub(crate) fn status(address: u8, container: &Container) -> PodStatus {
    let ended = |number: u32| ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(text::container(number)),
            exit_code: 137,
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    };
    let state = match (container.running, container.number) {
        (Some(micros), Some(_)) => {
            let started = Timestamp::from_second(micros.div_euclid(1_000_000)).unwrap_or_default();
            ContainerState {
                running: Some(ContainerStateRunning {
                    started_at: Some(Time(started)),
                }),
                ..ContainerState::default()
            }
        }
        (None, Some(number)) if !container.backing_off => ended(number),
        _ => ContainerState {
            waiting: Some(ContainerStateWaiting {
                reason: Some(
                    if container.broken {
                        "ErrImagePull"
                    } else if container.backing_off {
                        "CrashLoopBackOff"
                    } else {
                        "ContainerCreating"
                    }
                    .to_owned(),
                ),
                message: None,
            }),
            ..ContainerState::default()
        },
    };
    let last = if container.backing_off {
        container.number
    } else {
        container.last
    };
    let status = ContainerStatus {
        name: names::CONTAINER_REDIS.to_owned(),
        container_id: container.number.map(text::container),
        state: Some(state),
        last_state: last.map(ended),
        restart_count: (container.starts - 1).max(0),
        ..ContainerStatus::default()
    };
    PodStatus {
        pod_ip: (address != 0).then(|| text::address(address)),
        container_statuses: Some(vec![status]),
        ..PodStatus::default()
    }
}

/// Number of the pod that owns a slice.
pub(crate) fn owning_pod(slice: &EndpointSlice) -> Option<u32> {
    let owners = slice.metadata.owner_references.as_ref()?;
    let owner = owners.iter().find(|owner| owner.kind == "Pod")?;
    text::read_uid(&owner.uid)
}
