//! What the schema refuses, refused again for resources that were written past it, and what only the core can tell.

use crate::api::{MAX_PRIORITY, MAX_REPLICAS, Redis, RedisSpec};
use crate::{config, names};

/// Why no objects are built: what exists stays as it is, and the message says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// For conditions and metrics, from a small set.
    pub reason: &'static str,
    /// Sentences for people: each names a field and the remedy.
    pub message: String,
}

impl Refusal {
    /// The spec cannot be carried out.
    pub const SPEC: &'static str = "SpecRefused";
    /// `spec.config` cannot be used.
    pub const CONFIG: &'static str = "ConfigRefused";

    pub(super) fn not_stored() -> Self {
        let message = "the resource has no name, namespace or uid: it was not read from an API server".to_owned();
        Self {
            reason: Self::SPEC,
            message,
        }
    }
}

/// Whether objects can be built for this resource; every mistake is named at once.
pub fn check(redis: &Redis) -> Result<(), Refusal> {
    let name = redis.metadata.name.as_deref().unwrap_or_default();
    let problems = [
        name_of(name),
        replicas(&redis.spec),
        priorities(&redis.spec),
        labels(&redis.spec),
        volumes(&redis.spec),
    ];
    refuse(Refusal::SPEC, problems.into_iter().flatten().collect())?;
    refuse(Refusal::CONFIG, config::check(&redis.spec.config))
}

fn refuse(reason: &'static str, problems: Vec<String>) -> Result<(), Refusal> {
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Refusal {
            reason,
            message: problems.join("; "),
        })
    }
}

fn name_of(name: &str) -> Option<String> {
    if name.len() > names::MAX_RESOURCE_NAME {
        let most = names::MAX_RESOURCE_NAME;
        return Some(format!(
            "metadata.name has {} characters, at most {most} are possible: choose a shorter one",
            name.len()
        ));
    }
    if let Some(ending) = names::RESERVED_ENDINGS.iter().find(|ending| name.ends_with(*ending)) {
        return Some(format!(
            "metadata.name must not end in {ending}: Services of another Redis may be called so"
        ));
    }
    let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(label) || name.starts_with('-') || name.ends_with('-') {
        return Some(format!(
            "metadata.name {name:?} must consist of lower-case letters, digits and inner '-'"
        ));
    }
    None
}

fn replicas(spec: &RedisSpec) -> Option<String> {
    let given = spec.replicas;
    (!(1..=MAX_REPLICAS).contains(&given))
        .then(|| format!("spec.replicas is {given}: give a number from 1 to {MAX_REPLICAS}"))
}

fn priorities(spec: &RedisSpec) -> Option<String> {
    let mut given = spec.priorities.iter().map(|entry| entry.priority);
    let wrong = given.find(|priority| !(0..=MAX_PRIORITY).contains(priority))?;
    Some(format!(
        "spec.priorities: {wrong} is no priority: give a number from 0 (never master) to {MAX_PRIORITY}; lower is preferred"
    ))
}

fn labels(spec: &RedisSpec) -> Option<String> {
    let key = spec.pod_labels.keys().find(|key| names::is_own_label(key))?;
    Some(format!(
        "spec.podLabels.{key} belongs to the operator: choose another key"
    ))
}

fn volumes(spec: &RedisSpec) -> Option<String> {
    if let Some(volume) = spec
        .volumes
        .iter()
        .find(|volume| names::VOLUMES.contains(&volume.name.as_str()))
    {
        return Some(format!(
            "spec.volumes: the name {} belongs to the operator: choose another one",
            volume.name
        ));
    }
    let taken = [names::CONTAINER_REDIS, names::CONTAINER_EXPORTER];
    let container = spec
        .init_containers
        .iter()
        .find(|container| taken.contains(&container.name.as_str()))?;
    Some(format!(
        "spec.initContainers: the name {} belongs to the operator: choose another one",
        container.name
    ))
}
