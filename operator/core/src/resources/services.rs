//! The four Services.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Owner;
use crate::names;

/// Service `redis-<n>`: every ready instance. It has no address of its own: kube-proxy leaves a second between two syncs and
/// syncs for whatever has one, so the end of a master would hold up the publication of the next one for that second.
pub(super) fn every_instance(owner: &Owner<'_>) -> Service {
    let mut service = service(
        owner,
        names::object(owner.name),
        "all",
        Some(names::selector(owner.name)),
    );
    if let Some(spec) = &mut service.spec {
        spec.cluster_ip = Some("None".to_owned());
    }
    service
}

/// Service `redis-<n>-headless`: names for the pods, before they are ready too.
pub(super) fn headless(owner: &Owner<'_>) -> Service {
    let mut service = service(
        owner,
        names::headless_service(owner.name),
        "headless",
        Some(names::selector(owner.name)),
    );
    if let Some(spec) = &mut service.spec {
        spec.cluster_ip = Some("None".to_owned());
        spec.publish_not_ready_addresses = Some(true);
    }
    service
}

/// Service `redis-<n>-master`: the operator writes its EndpointSlice. The selector is empty rather than absent, because
/// only a field that is applied can be taken back from somebody who set it.
pub(super) fn master(owner: &Owner<'_>) -> Service {
    service(
        owner,
        names::master_service(owner.name),
        "master",
        Some(BTreeMap::new()),
    )
}

/// Service `redis-<n>-replica`: pods that carry `role=replica`, the synced ones.
pub(super) fn replica(owner: &Owner<'_>) -> Service {
    service(
        owner,
        names::replica_service(owner.name),
        "replica",
        Some(names::replica_selector(owner.name)),
    )
}

fn service(owner: &Owner<'_>, name: String, which: &str, selector: Option<BTreeMap<String, String>>) -> Service {
    let mut metadata = owner.metadata(name);
    // monitoring picks one of the four by it, or would see every instance several times
    metadata
        .labels
        .get_or_insert_default()
        .insert(names::LABEL_SERVICE.to_owned(), which.to_owned());
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            ports: Some(ports(owner)),
            selector,
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn ports(owner: &Owner<'_>) -> Vec<ServicePort> {
    let port = |(name, port): (&str, i32)| ServicePort {
        name: Some(name.to_owned()),
        port,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::Int(port)),
        ..ServicePort::default()
    };
    names::ports(owner.redis.spec.exporter.is_some()).map(port).collect()
}
