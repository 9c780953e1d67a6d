//! What is left out of local copies: a whole cluster's Secrets, nodes and field owners would take hundreds of megabytes.

use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus, NodeSystemInfo, Secret};
use kube::Resource;
use kube::core::PartialObjectMeta;

/// Of the Secrets of a whole cluster nothing is kept but where they are and which version they have.
pub(super) fn only_version(secret: &mut PartialObjectMeta<Secret>) {
    let meta = std::mem::take(&mut secret.metadata);
    secret.metadata.name = meta.name;
    secret.metadata.namespace = meta.namespace;
    secret.metadata.uid = meta.uid;
    secret.metadata.resource_version = meta.resource_version;
}

/// Who owns which fields fills half of an object. Kept is who there is, in order, which [`crate::objects`] needs.
pub(super) fn shrink_managed_fields<K: Resource>(object: &mut K) {
    for entry in object.meta_mut().managed_fields.iter_mut().flatten() {
        entry.fields_v1 = None;
    }
}

/// Nodes are big and change often; four of their fields matter.
pub(super) fn trim_node(node: &mut Node) {
    node.metadata.managed_fields = None;
    node.metadata.annotations = None;
    node.spec = node.spec.take().map(|spec| NodeSpec {
        taints: spec.taints,
        unschedulable: spec.unschedulable,
        ..NodeSpec::default()
    });
    let boot_id = node
        .status
        .take()
        .and_then(|status| status.node_info)
        .map(|info| info.boot_id);
    node.status = boot_id.map(|boot_id| NodeStatus {
        node_info: Some(NodeSystemInfo {
            boot_id,
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    });
}
