//! What has to exist for a resource: `build` makes every object from the resource alone, one builder per object.
//!
//! Nothing in here depends on time or on what exists: the same resource gives the same objects, byte for byte, so that
//! drift can be told by comparison ([`differs`]) and a steady resource causes no writes.

mod config_map;
mod disruption_budget;
mod drift;
mod exporter;
mod pod;
mod probes;
mod quantity;
mod revision;
mod secret;
mod services;
mod stateful_set;
mod validate;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::Resource;

use crate::api::Redis;
use crate::credentials::Passwords;
use crate::names;

pub use drift::differs;
pub use revision::revision;
pub use validate::{Refusal, check};

/// What the objects depend on beside the resource itself.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// Generated passwords, those of an existing Secret already among them.
    pub passwords: &'a Passwords,
    /// The applications' password; `None` if the spec names none.
    pub application_password: Option<&'a str>,
    /// The operator process that applies, for the StatefulSet's annotation: a successor changes it first, so that a
    /// write of its predecessor still on the way conflicts.
    pub holder: &'a str,
    /// The restart that was accepted last.
    pub restarted: Option<&'a str>,
    /// The pods' template that stays as it is, where the spec asks for pods that must not come; `None` if the spec may
    /// have its way.
    pub kept: Option<&'a PodTemplateSpec>,
    /// Pods to run now. While instances leave it is larger than `spec.replicas`: the operator lowers it by one for each
    /// finished leave.
    pub replicas: i32,
}

/// Every object of a resource. Destructure it without `..`, so that a new one cannot be forgotten.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources {
    /// `redis-<n>`: redis.conf and the probes' scripts.
    pub config_map: ConfigMap,
    /// `redis-<n>`: auth.conf and the generated passwords.
    pub secret: Secret,
    /// `redis-<n>-headless`: gives pods their names, ready or not.
    pub headless_service: Service,
    /// `redis-<n>`: every ready instance.
    pub service: Service,
    /// `redis-<n>-master`: no selector, the operator writes its EndpointSlice.
    pub master_service: Service,
    /// `redis-<n>-replica`: the synced replicas.
    pub replica_service: Service,
    /// `redis-<n>`: at most one pod away by eviction.
    pub disruption_budget: PodDisruptionBudget,
    /// `redis-<n>`: the pods.
    pub stateful_set: StatefulSet,
}

/// All objects of a resource, each with its applied-hash; or why there are none.
pub fn build(redis: &Redis, inputs: &Inputs<'_>) -> Result<Resources, Refusal> {
    check(redis)?;
    let owner = Owner::of(redis)?;
    Ok(Resources {
        config_map: drift::sealed(config_map::config_map(&owner)),
        secret: drift::sealed(secret::secret(&owner, inputs)),
        headless_service: drift::sealed(services::headless(&owner)),
        service: drift::sealed(services::every_instance(&owner)),
        master_service: drift::sealed(services::master(&owner)),
        replica_service: drift::sealed(services::replica(&owner)),
        disruption_budget: drift::sealed(disruption_budget::disruption_budget(&owner)),
        stateful_set: drift::sealed(stateful_set::stateful_set(&owner, inputs)),
    })
}

/// A resource that exists: what owns the objects.
struct Owner<'a> {
    redis: &'a Redis,
    name: &'a str,
    namespace: &'a str,
    uid: &'a str,
}

impl<'a> Owner<'a> {
    fn of(redis: &'a Redis) -> Result<Self, Refusal> {
        match (&redis.metadata.name, &redis.metadata.namespace, &redis.metadata.uid) {
            (Some(name), Some(namespace), Some(uid)) => Ok(Self {
                redis,
                name,
                namespace,
                uid,
            }),
            _ => Err(Refusal::not_stored()),
        }
    }

    /// Metadata of one owned object.
    fn metadata(&self, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(names::labels(self.name)),
            owner_references: Some(vec![self.reference()]),
            ..ObjectMeta::default()
        }
    }

    fn reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: Redis::api_version(&()).into_owned(),
            kind: Redis::kind(&()).into_owned(),
            name: self.name.to_owned(),
            uid: self.uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }

    fn selector(&self) -> LabelSelector {
        LabelSelector {
            match_labels: Some(names::selector(self.name)),
            match_expressions: None,
        }
    }
}

/// `None` for an empty map: the API server drops those, and they would look like a difference.
fn non_empty<V: Clone>(map: &BTreeMap<String, V>) -> Option<BTreeMap<String, V>> {
    (!map.is_empty()).then(|| map.clone())
}

/// `None` for an empty list.
fn filled<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

#[cfg(test)]
mod tests;
