//! Every name that the operator gives: objects, labels, annotations, selectors, users.
//!
//! All are functions of the resource's own name, so that nothing has to be remembered, and a resource's objects can be
//! told from another's by name alone. Law 12 checks their lengths.

use std::collections::BTreeMap;

/// Longest name of a resource. A pod's label `controller-revision-hash` is `redis-<n>-<10 characters>` and a label
/// value has at most 63.
pub const MAX_RESOURCE_NAME: usize = 45;
/// Endings of resource names that would collide with the Services of another resource.
pub const RESERVED_ENDINGS: [&str; 3] = ["-master", "-replica", "-headless"];

/// Field manager of everything that the operator applies.
pub const FIELD_MANAGER: &str = "redis-operator";
/// Value of `endpointslice.kubernetes.io/managed-by` and `app.kubernetes.io/managed-by`.
pub const MANAGED_BY: &str = "redis-operator";

/// Label of every owned object: who made it, [`MANAGED_BY`].
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label of every owned object: the resource's name.
pub const LABEL_INSTANCE: &str = "app.kubernetes.io/instance";
/// Selector label; its value is the resource's name.
pub const LABEL_REDIS: &str = "redis";
/// Label that says what a pod is at present.
pub const LABEL_ROLE: &str = "role";
/// Value of [`LABEL_ROLE`] on the published master, and on no other pod.
pub const ROLE_MASTER: &str = "master";
/// Value of [`LABEL_ROLE`] on a synced replica.
pub const ROLE_REPLICA: &str = "replica";
/// Label that ties an EndpointSlice to its Service.
pub const LABEL_SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label that says who keeps an EndpointSlice.
pub const LABEL_SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// Annotation on every owned object: hash of what was applied.
pub const ANNOTATION_APPLIED: &str = "redis-operator.dev/applied";
/// Annotation on the StatefulSet and the EndpointSlice: the operator process that wrote last.
pub const ANNOTATION_HOLDER: &str = "redis-operator.dev/holder";
/// Annotation by which a person names the pod to promote where the evidence is ambiguous.
pub const ANNOTATION_ELECT: &str = "redis-operator.dev/elect";
/// Annotation of a resource: the run ids, with commas between them, of processes that a person declares to have ended.
pub const ANNOTATION_ENDED: &str = "redis-operator.dev/ended";
/// Annotation of a resource: the pod that a person wants to be master, or `any`.
pub const ANNOTATION_SWITCHOVER: &str = "redis-operator.dev/switchover";
/// Annotation of a resource, and of its pods: when a person asked for a restart.
pub const ANNOTATION_RESTART: &str = "redis-operator.dev/restart";
/// Annotation of a resource: what is to be left alone, `true` or `all`.
pub const ANNOTATION_PAUSED: &str = "redis-operator.dev/paused";
/// On a pod: the resource version that it had before the record named it.
pub const ANNOTATION_TOUCHED: &str = "redis-operator.dev/touched";
/// Annotation on the EndpointSlice: the term that published it.
pub const ANNOTATION_TERM: &str = "redis-operator.dev/term";
/// Annotation on the pods: the redis.conf that they are made with. The kubelet shows it to the server as a file.
pub const ANNOTATION_CONFIG: &str = "redis-operator.dev/config";

/// Annotation on the pods: hash of what the spec says about pods. It changes when the spec does, and not with the operator.
pub const ANNOTATION_SPEC: &str = "redis-operator.dev/spec";

/// Label on the Services: which of the four it is (`all`, `headless`, `master`, `replica`).
pub const LABEL_SERVICE: &str = "redis-operator.dev/service";

/// Volume with the data.
pub const VOLUME_DATA: &str = "data";
/// Volume with redis.conf and the probes' scripts.
pub const VOLUME_CONFIG: &str = "config";
/// Volume with the servers' users.
pub const VOLUME_AUTH: &str = "auth";
/// Names that no other volume may have.
pub const VOLUMES: [&str; 3] = [VOLUME_DATA, VOLUME_CONFIG, VOLUME_AUTH];

/// Container of the server.
pub const CONTAINER_REDIS: &str = "redis";
/// Container of the metrics sidecar.
pub const CONTAINER_EXPORTER: &str = "exporter";

/// Port of the server.
pub const PORT_REDIS: i32 = 6379;
/// Name of [`PORT_REDIS`] in pods, Services and the EndpointSlice.
pub const PORT_REDIS_NAME: &str = "redis";
/// Port of the metrics sidecar.
pub const PORT_METRICS: i32 = 9121;
/// Name of [`PORT_METRICS`].
pub const PORT_METRICS_NAME: &str = "metrics";

/// The operator's user on every server.
pub const USER_OPERATOR: &str = "redis-operator";
/// The user of the kubelet's probes and of preStop.
pub const USER_PROBE: &str = "probe";
/// The user of the metrics sidecar.
pub const USER_EXPORTER: &str = "exporter";
/// The applications' user.
pub const USER_DEFAULT: &str = "default";

/// Name of the StatefulSet, ConfigMap, Secret, PodDisruptionBudget and of the Service with every instance.
pub fn object(redis: &str) -> String {
    format!("redis-{redis}")
}

/// Name of the Service that gives pods their names.
pub fn headless_service(redis: &str) -> String {
    format!("redis-{redis}-headless")
}

/// Name of the Service that leads to the master, and of its one EndpointSlice.
pub fn master_service(redis: &str) -> String {
    format!("redis-{redis}-master")
}

/// Name of the Service that leads to the synced replicas.
pub fn replica_service(redis: &str) -> String {
    format!("redis-{redis}-replica")
}

/// Name of the pod with this ordinal.
pub fn pod(redis: &str, ordinal: i32) -> String {
    format!("redis-{redis}-{ordinal}")
}

/// Ordinal of a pod of this resource; `None` if the name is not one that its StatefulSet gives.
pub fn ordinal(pod_name: &str, redis: &str) -> Option<i32> {
    let digits = pod_name
        .strip_prefix("redis-")?
        .strip_prefix(redis)?
        .strip_prefix('-')?;
    let number: i32 = digits.parse().ok()?;
    // "+1" and "01" parse too, but no pod is called so
    (number >= 0 && number.to_string() == digits).then_some(number)
}

/// The replication user of the member in the pod with this uid. One per member, so that it can be cut off alone, and
/// by uid, so that a reused name or address never inherits it.
pub fn replication_user(pod_uid: &str) -> String {
    format!("r-{pod_uid}")
}

/// The fixed selector of a resource's pods: nothing that a user can choose or change is in it.
pub fn selector(redis: &str) -> BTreeMap<String, String> {
    [(LABEL_REDIS.to_owned(), redis.to_owned())].into()
}

/// [`selector`] as the text that the scale subresource wants.
pub fn selector_text(redis: &str) -> String {
    format!("{LABEL_REDIS}={redis}")
}

/// The selector of the synced replicas.
pub fn replica_selector(redis: &str) -> BTreeMap<String, String> {
    let mut labels = selector(redis);
    labels.insert(LABEL_ROLE.to_owned(), ROLE_REPLICA.to_owned());
    labels
}

/// Labels of every owned object and pod: the recommended ones of Kubernetes and the selector. `role` is not among
/// them: only the operator's decisions set it.
pub fn labels(redis: &str) -> BTreeMap<String, String> {
    let mut labels = selector(redis);
    for (key, value) in [
        ("app.kubernetes.io/name", "redis"),
        (LABEL_INSTANCE, redis),
        ("app.kubernetes.io/component", "server"),
        ("app.kubernetes.io/part-of", "redis"),
        (LABEL_MANAGED_BY, MANAGED_BY),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

/// Whether a label of the pods belongs to the operator or to the StatefulSet's controller.
pub fn is_own_label(key: &str) -> bool {
    key == LABEL_ROLE
        || labels("").contains_key(key)
        || key == "controller-revision-hash"
        || key.starts_with("statefulset.kubernetes.io/")
        || key.starts_with("apps.kubernetes.io/")
        || key.starts_with("redis-operator.dev/")
}

/// Names and numbers of the ports that every Service offers, and that the master's EndpointSlice must offer too.
pub fn ports(exporter: bool) -> impl Iterator<Item = (&'static str, i32)> {
    let metrics = exporter.then_some((PORT_METRICS_NAME, PORT_METRICS));
    [(PORT_REDIS_NAME, PORT_REDIS)].into_iter().chain(metrics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_are_read_back() {
        assert_eq!(ordinal(&pod("a", 0), "a"), Some(0));
        assert_eq!(ordinal(&pod("a-1", 12), "a-1"), Some(12));
    }

    #[test]
    fn other_pods_have_no_ordinal() {
        for name in [
            "redis-a",
            "redis-a-",
            "redis-a-x",
            "redis-a-01",
            "redis-a-+1",
            "redis-a--1",
            "redis-a-1-0",
            "a-0",
            "",
        ] {
            assert_eq!(ordinal(name, "a"), None, "{name}");
        }
    }

    #[test]
    fn names_stay_within_the_limits() {
        let redis = "x".repeat(MAX_RESOURCE_NAME);
        for service in [
            object(&redis),
            headless_service(&redis),
            master_service(&redis),
            replica_service(&redis),
        ] {
            assert!(service.len() <= 63, "{service}");
        }
        assert!(pod(&redis, crate::api::MAX_REPLICAS - 1).len() <= 63);
        let revision_hash = 1 + 10;
        assert!(object(&redis).len() + revision_hash <= 63);
        assert!(labels(&redis).values().all(|value| value.len() <= 63));
    }
}
