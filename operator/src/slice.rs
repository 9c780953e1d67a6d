//! The EndpointSlice behind the `-master` Service, as an object.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;
use redis_operator_core::api::Redis;
use redis_operator_core::names;
use redis_operator_core::observed::Slice;
use redis_operator_core::record::Process;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What every version of the slice says.
pub struct Draft<'a> {
    /// Name of the resource.
    pub redis: &'a str,
    /// Uid of the resource.
    pub redis_uid: &'a str,
    /// The holder that writes.
    pub holder: &'a str,
    /// The term in which it writes.
    pub term: u64,
    /// The exporter's port is offered too.
    pub metrics_port: bool,
}

impl Draft<'_> {
    /// The slice as it is, with this holder; without endpoints, owned by the resource, if there is none.
    pub fn touched(&self, known: Option<EndpointSlice>) -> EndpointSlice {
        let mut slice = known.unwrap_or_else(|| self.slice("IPv4", owner_redis(self.redis, self.redis_uid), vec![]));
        slice.metadata.managed_fields = None;
        slice.annotations_mut().extend(self.annotations());
        slice
    }

    /// The slice that names a process. Its pod owns it: when the pod object goes, so does the published address, with
    /// no operator running.
    ///
    /// # Errors
    /// The process has no address that could be published.
    pub fn published(&self, master: &Process) -> Result<EndpointSlice, String> {
        let address: IpAddr = master
            .address
            .parse()
            .map_err(|_| format!("{} has no address: {:?}", master.pod, master.address))?;
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        let endpoint = Endpoint {
            addresses: vec![address.to_string()],
            conditions: Some(EndpointConditions {
                ready: Some(true),
                serving: Some(true),
                terminating: Some(false),
            }),
            node_name: Some(master.node.clone()).filter(|node| !node.is_empty()),
            target_ref: Some(ObjectReference {
                kind: Some("Pod".to_owned()),
                name: Some(master.pod.clone()),
                uid: Some(master.uid.clone()),
                ..ObjectReference::default()
            }),
            ..Endpoint::default()
        };
        Ok(self.slice(family, owner("v1", "Pod", &master.pod, &master.uid), vec![endpoint]))
    }

    fn slice(&self, family: &str, owner: OwnerReference, endpoints: Vec<Endpoint>) -> EndpointSlice {
        let name = names::master_service(self.redis);
        let mut labels = names::labels(self.redis);
        labels.insert(names::LABEL_SERVICE_NAME.to_owned(), name.clone());
        labels.insert(names::LABEL_SLICE_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned());
        EndpointSlice {
            metadata: ObjectMeta {
                name: Some(name),
                labels: Some(labels),
                annotations: Some(self.annotations()),
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            },
            address_type: family.to_owned(),
            endpoints,
            ports: Some(self.ports()),
        }
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let pairs = [
            (names::ANNOTATION_HOLDER, self.holder.to_owned()),
            (names::ANNOTATION_TERM, self.term.to_string()),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn ports(&self) -> Vec<EndpointPort> {
        let port = |name: &str, port| EndpointPort {
            name: Some(name.to_owned()),
            port: Some(port),
            protocol: Some("TCP".to_owned()),
            ..EndpointPort::default()
        };
        let mut ports = vec![port(names::PORT_REDIS_NAME, names::PORT_REDIS)];
        if self.metrics_port {
            ports.push(port(names::PORT_METRICS_NAME, names::PORT_METRICS));
        }
        ports
    }
}

/// In place of this one: only if it is still there, unless it has another address family and so cannot be replaced.
pub(crate) fn replace(wanted: &mut EndpointSlice, known: &EndpointSlice) {
    if known.address_type == wanted.address_type {
        keep_foreign(wanted, known);
        wanted.metadata.resource_version = known.resource_version();
    }
}

/// Labels and annotations that somebody else put on the slice stay.
fn keep_foreign(wanted: &mut EndpointSlice, known: &EndpointSlice) {
    let mut labels = known.labels().clone();
    labels.append(wanted.labels_mut());
    wanted.metadata.labels = Some(labels);
    let mut annotations = known.annotations().clone();
    annotations.append(wanted.annotations_mut());
    wanted.metadata.annotations = Some(annotations);
}

/// What a slice says, for a decision. One that was edited names nobody: it has more than one address or another port, its
/// address counts as not ready, or no Service or nobody's labels claim it.
pub fn observed(slice: &EndpointSlice) -> Slice {
    let redis = |port: &&EndpointPort| port.name.as_deref() == Some(names::PORT_REDIS_NAME);
    let port = slice.ports.iter().flatten().find(redis).and_then(|port| port.port);
    let endpoint = match slice.endpoints.as_slice() {
        [one] if one.addresses.len() == 1 && port == Some(names::PORT_REDIS) => Some(one).filter(|_| is_found(slice)),
        _ => None,
    };
    let annotation = |key: &str| slice.annotations().get(key).cloned().unwrap_or_default();
    Slice {
        target: endpoint.and_then(|endpoint| endpoint.target_ref.as_ref()?.uid.clone()),
        address: endpoint.and_then(|endpoint| endpoint.addresses.first().cloned()),
        holder: annotation(names::ANNOTATION_HOLDER),
        term: annotation(names::ANNOTATION_TERM).parse().unwrap_or_default(),
        in_doubt: false,
    }
}

/// By kube-proxy, and by this operator's watch.
fn is_found(slice: &EndpointSlice) -> bool {
    let label = |key: &str| slice.labels().get(key).map(String::as_str);
    let serves = |endpoint: &Endpoint| {
        let conditions = endpoint.conditions.as_ref();
        conditions.is_none_or(|it| it.ready != Some(false) && it.serving != Some(false) && it.terminating != Some(true))
    };
    label(names::LABEL_SERVICE_NAME) == slice.metadata.name.as_deref()
        && label(names::LABEL_SLICE_MANAGED_BY) == Some(names::MANAGED_BY)
        && slice.endpoints.iter().all(serves)
}

fn owner_redis(name: &str, uid: &str) -> OwnerReference {
    let (version, kind) = (
        <Redis as kube::Resource>::api_version(&()),
        <Redis as kube::Resource>::kind(&()),
    );
    owner(&version, &kind, name, uid)
}

/// No `blockOwnerDeletion`: it would need a right on the owner's finalizers.
fn owner(api_version: &str, kind: &str, name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> EndpointSlice {
        let draft = Draft {
            redis: "a",
            redis_uid: "r",
            holder: "h",
            term: 3,
            metrics_port: false,
        };
        let master = Process {
            pod: "redis-a-0".to_owned(),
            uid: "u".to_owned(),
            run_id: "x".to_owned(),
            address: "10.0.0.1".to_owned(),
            node: "n".to_owned(),
            container: None,
            ended: false,
        };
        draft.published(&master).unwrap()
    }

    #[test]
    fn f03_an_edited_slice_names_nobody_and_is_published_again() {
        let slice = published();
        assert_eq!(observed(&slice).target.as_deref(), Some("u"));
        let mut two = slice.clone();
        two.endpoints.push(two.endpoints[0].clone());
        assert_eq!(observed(&two).target, None);
        let mut two = slice.clone();
        two.endpoints[0].addresses.push("10.0.0.2".to_owned());
        assert_eq!(observed(&two).address, None);
        let mut other = slice.clone();
        other.ports.as_mut().unwrap()[0].port = Some(1);
        assert_eq!(observed(&other).target, None);
        for label in [names::LABEL_SERVICE_NAME, names::LABEL_SLICE_MANAGED_BY] {
            let mut hidden = slice.clone();
            hidden.labels_mut().insert(label.to_owned(), "another".to_owned());
            assert_eq!(observed(&hidden).target, None, "{label}");
            hidden.labels_mut().remove(label);
            assert_eq!(observed(&hidden).target, None, "{label}");
        }
        let unready: [fn(&mut EndpointConditions); 3] = [
            |it| it.ready = Some(false),
            |it| it.serving = Some(false),
            |it| it.terminating = Some(true),
        ];
        for unready in unready {
            let mut edited = slice.clone();
            unready(edited.endpoints[0].conditions.as_mut().unwrap());
            assert_eq!(observed(&edited).target, None);
        }
    }

    #[test]
    fn r12_what_others_put_on_the_slice_stays() {
        let mut known = published();
        known.labels_mut().insert("team".to_owned(), "blue".to_owned());
        known
            .annotations_mut()
            .insert(names::ANNOTATION_HOLDER.to_owned(), "old".to_owned());
        let mut wanted = published();
        keep_foreign(&mut wanted, &known);
        assert_eq!(wanted.labels().get("team").map(String::as_str), Some("blue"));
        assert_eq!(wanted.annotations()[names::ANNOTATION_HOLDER], "h");
    }
}
