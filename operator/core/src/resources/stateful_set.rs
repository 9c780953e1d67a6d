//! The StatefulSet: stable pod names and volumes, nothing else of what StatefulSets do.

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Inputs, Owner, filled, pod};
use crate::api::Storage;
use crate::names;

/// StatefulSet `redis-<n>`. Pods start in parallel, since each starts fenced; the operator itself orders restarts.
pub(super) fn stateful_set(owner: &Owner<'_>, inputs: &Inputs<'_>) -> StatefulSet {
    let storage = owner.redis.spec.storage.as_ref();
    let mut metadata = owner.metadata(names::object(owner.name));
    metadata.annotations = Some([(names::ANNOTATION_HOLDER.to_owned(), inputs.holder.to_owned())].into());
    StatefulSet {
        metadata,
        spec: Some(StatefulSetSpec {
            replicas: Some(inputs.replicas),
            selector: owner.selector(),
            service_name: Some(names::headless_service(owner.name)),
            template: inputs
                .kept
                .cloned()
                .unwrap_or_else(|| pod::template(owner, inputs.restarted)),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            persistent_volume_claim_retention_policy: storage.map(|storage| {
                StatefulSetPersistentVolumeClaimRetentionPolicy {
                    when_deleted: Some(storage.when_deleted.as_str().to_owned()),
                    when_scaled: Some(storage.when_scaled.as_str().to_owned()),
                }
            }),
            volume_claim_templates: storage.map(|storage| vec![claim(owner, storage)]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

fn claim(owner: &Owner<'_>, storage: &Storage) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(names::VOLUME_DATA.to_owned()),
            labels: Some(names::labels(owner.name)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: filled(&storage.access_modes),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), storage.size.clone())].into()),
                limits: None,
            }),
            selector: storage.selector.clone(),
            storage_class_name: storage.storage_class_name.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}
