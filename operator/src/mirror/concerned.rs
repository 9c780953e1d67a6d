//! Which resources an object concerns.

use super::Guarded;
use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use redis_operator_core::api::Redis;
use redis_operator_core::names;

/// The resource that an object belongs to: by its owner, else by its label (pods and slices have other owners).
pub fn redis_of<K: Resource>(object: &K) -> Option<ObjectRef<Redis>> {
    let owner = object
        .owner_references()
        .iter()
        .find(|owner| owner.kind == Redis::kind(&()) && owner.api_version == Redis::api_version(&()));
    let name = match owner {
        Some(owner) => &owner.name,
        None => object.labels().get(names::LABEL_INSTANCE)?,
    };
    Some(ObjectRef::new(name).within(object.meta().namespace.as_deref()?))
}

pub(super) fn itself(redis: &Guarded) -> Option<ObjectRef<Redis>> {
    let meta = redis.meta();
    Some(ObjectRef::new(meta.name.as_deref()?).within(meta.namespace.as_deref()?))
}

/// The resources whose applications' password this Secret holds.
pub(super) fn users_of(all: &Store<Guarded>, secret: &PartialObjectMeta<Secret>) -> Vec<ObjectRef<Redis>> {
    let named = |redis: &Redis| {
        let password = redis.spec.password.as_ref();
        redis.metadata.namespace == secret.metadata.namespace
            && password.is_some_and(|it| Some(&it.secret_key_ref.name) == secret.metadata.name.as_ref())
    };
    let redises = all.state_filter(|redis| redis.0.as_ref().is_ok_and(named));
    redises
        .iter()
        .filter_map(|redis| redis.0.as_ref().ok())
        .map(ObjectRef::from_obj)
        .collect()
}

/// The resources with pods on this node: it may have been cordoned.
pub(super) fn running_on(pods: &Store<Pod>, node: &Node) -> Vec<ObjectRef<Redis>> {
    let on = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) == node.metadata.name.as_ref();
    let pods = pods.state_filter(|pod| on(pod));
    pods.iter().filter_map(|pod| redis_of(pod.as_ref())).collect()
}
