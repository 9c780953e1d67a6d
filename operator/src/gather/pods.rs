//! What the caches show of a resource's pods.

use crate::evacuation::evacuating;
use crate::pods::{self, Owner};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use redis_operator_core::names;
use redis_operator_core::observed::Instance;
use redis_operator_core::record::Record;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the caches show of a resource's pods.
pub struct Pods {
    /// The StatefulSet of its name.
    pub set: Option<Arc<StatefulSet>>,
    /// Every pod with the resource's label.
    pub all: Vec<Arc<Pod>>,
    /// Those that are its own, by name.
    pub own: BTreeMap<String, Instance>,
    /// Who wrote the StatefulSet last.
    pub set_holder: Option<String>,
    /// After which restart the StatefulSet makes pods.
    pub restarted: Option<String>,
}

/// What a resource wants of its pods.
pub trait Wanted {
    /// The resource as their owner.
    fn owner(&self) -> Owner<'_>;
    /// For what its pods are made after this restart.
    fn revision(&self, restarted: Option<&str>) -> String;
    /// `replica-priority` of this ordinal on this node.
    fn priority(&self, ordinal: u32, node: Option<&Node>) -> Option<u32>;
}

impl Pods {
    /// Of these pods, those that belong to the resource, as a decision sees them before anybody was asked.
    pub fn of(
        wanted: &impl Wanted,
        all: Vec<Arc<Pod>>,
        found: Option<Arc<StatefulSet>>,
        nodes: &Store<Node>,
        record: Option<&Record>,
    ) -> Self {
        let set = found.as_deref();
        let holder = |set: &StatefulSet| {
            set.annotations()
                .get(names::ANNOTATION_HOLDER)
                .cloned()
                .unwrap_or_default()
        };
        let restarted = set.and_then(restart_of);
        let accepted = record.map_or(restarted.as_ref(), |record| record.restarted.as_ref());
        let revision = wanted.revision(accepted.map(String::as_str));
        // Until the StatefulSet carries the present spec, a pod in place of another one would be no better.
        let carries = set.is_some_and(|set| spec_of(set) == Some(&revision));
        let owner = wanted.owner();
        let own = all.iter().filter_map(|pod| {
            let instance = pods::instance(pod, &owner, set, record)?;
            let node = nodes.get(&ObjectRef::new(&instance.node));
            Some(Instance {
                outdated: instance.outdated && carries,
                stale: pod.annotations().get(names::ANNOTATION_SPEC) != Some(&revision),
                evacuating: evacuating(pod, node.as_deref()),
                wanted_priority: wanted.priority(instance.ordinal, node.as_deref()),
                ..instance
            })
        });
        let mut own = own.map(|instance| (instance.pod.clone(), instance)).collect();
        pods::part(&mut own);
        Self {
            set_holder: set.map(holder),
            set: found,
            all,
            own,
            restarted,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
