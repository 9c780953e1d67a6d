//! Pods that are gone: what proves that their processes ended with them.

use crate::error::within;
use crate::pods;
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt};
use redis_operator_core::observed::{Departed, Moment};
use redis_operator_core::record::Record;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Where the kubelets renew their Leases.
const LEASES: &str = "kube-node-lease";
/// How often a Lease is read while a proof is missing.
const EVERY: Duration = Duration::from_secs(5);
/// Grace period of a pod that says nothing else, in seconds: that of Kubernetes.
const GRACE: i64 = 30;
/// Nodes that a person or a cloud declared to be off.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// What is remembered of each pod, for the time after it.
#[derive(Default)]
pub struct Memories(BTreeMap<String, Memory>);

#[derive(Clone, Default)]
struct Memory {
    terminated: BTreeSet<String>,
    node: String,
    boot: Option<String>,
    grace: i64,
    /// When it was noticed that it does not exist any more.
    vanished: Option<Moment>,
    read: Option<Moment>,
    renewals: Option<Renewals>,
}

/// What a kubelet's Lease showed since a pod vanished.
#[derive(Clone, Copy)]
struct Renewals {
    /// The first and the last renewal: times of the kubelet's clock, compared with each other alone.
    first: Timestamp,
    last: Timestamp,
    /// When they were first seen, on the operator's clock, which cannot be set.
    first_seen: Moment,
    last_seen: Moment,
}

impl Renewals {
    fn begin(renewed: Timestamp, now: Moment) -> Self {
        Self {
            first: renewed,
            last: renewed,
            first_seen: now,
            last_seen: now,
        }
    }

    /// One that lies before the others was written after the node's clock had been set back: it begins anew.
    fn then(self, renewed: Timestamp, now: Moment) -> Self {
        match renewed.cmp(&self.last) {
            Ordering::Less => Self::begin(renewed, now),
            Ordering::Equal => self,
            Ordering::Greater => Self {
                last: renewed,
                last_seen: now,
                ..self
            },
        }
    }

    /// For how long the kubelet was seen alive, by both clocks: one that was set forward proves nothing.
    fn span(self) -> Duration {
        let seconds = self.last.as_second().saturating_sub(self.first.as_second());
        let told = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        told.min(self.last_seen.since(self.first_seen))
    }
}

impl Memory {
    fn see(&mut self, pod: &Pod, nodes: &Store<Node>) {
        let spec = pod.spec.as_ref();
        let grace = pod
            .metadata
            .deletion_grace_period_seconds
            .or(spec.and_then(|spec| spec.termination_grace_period_seconds));
        self.terminated = pods::terminated(pod);
        self.node = spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        self.boot = boot(nodes, &self.node).or(self.boot.take());
        self.grace = grace.unwrap_or(GRACE);
        (self.vanished, self.renewals) = (None, None);
    }
}

fn exists(pods: &[Arc<Pod>], uid: &str) -> bool {
    pods.iter().any(|pod| pod.metadata.uid.as_deref() == Some(uid))
}

impl Memories {
    /// Pods on record that are not among these and not known to be gone, by uid: whether they exist has to be asked. One
    /// that lost its labels has left the mirror, and its process lives.
    pub fn unknown(&self, pods: &[Arc<Pod>], record: Option<&Record>) -> BTreeMap<String, String> {
        let gone = |uid: &String| self.0.get(uid).is_some_and(|memory| memory.vanished.is_some());
        let processes = record.into_iter().flat_map(Record::processes);
        let unknown = processes.filter(|process| !exists(pods, &process.uid) && !gone(&process.uid));
        unknown
            .map(|process| (process.uid.clone(), process.pod.clone()))
            .collect()
    }

    /// Remembers the pods that exist, all of them, and forgets those that are neither there nor on record.
    pub fn note(&mut self, pods: &[Arc<Pod>], record: Option<&Record>, nodes: &Store<Node>, now: Moment) {
        for pod in pods {
            let Some(uid) = pod.uid() else { continue };
            let memory = self.0.entry(uid).or_default();
            memory.see(pod, nodes);
        }
        for process in record.into_iter().flat_map(Record::processes) {
            let memory = self.0.entry(process.uid.clone()).or_insert_with(|| Memory {
                node: process.node.clone(),
                grace: GRACE,
                ..Memory::default()
            });
            if !exists(pods, &process.uid) {
                memory.vanished.get_or_insert(now);
            }
        }
        self.0
            .retain(|uid, _| record.is_some_and(|record| record.names(uid)) || exists(pods, uid));
    }

    /// Nodes whose Leases have to be read, because a proof is missing.
    pub fn questions(&mut self, now: Moment) -> BTreeSet<String> {
        let due = |memory: &&mut Memory| {
            let recent = memory.read.is_some_and(|read| now.since(read) < EVERY);
            memory.vanished.is_some() && !recent && !memory.node.is_empty()
        };
        let asked = self.0.values_mut().filter(due).map(|memory| {
            memory.read = Some(now);
            memory.node.clone()
        });
        asked.collect()
    }

    /// A kubelet renewed its Lease, as read `now`.
    pub fn answer(&mut self, node: &str, renewed: Timestamp, now: Moment) {
        let gone = |memory: &&mut Memory| memory.node == node && memory.vanished.is_some();
        for memory in self.0.values_mut().filter(gone) {
            let before = memory.renewals;
            memory.renewals = Some(before.map_or(Renewals::begin(renewed, now), |before| before.then(renewed, now)));
        }
    }

    /// What is known of the pods that are gone.
    pub fn departed(&self, nodes: &Store<Node>) -> BTreeMap<String, Departed> {
        let gone = self
            .0
            .iter()
            .filter_map(|(uid, memory)| Some((uid.clone(), memory, memory.vanished?)));
        gone.map(|(uid, memory, noticed)| {
            let outlived = memory.renewals.map(|renewals| {
                let grace = Duration::from_secs(u64::try_from(memory.grace).unwrap_or_default());
                renewals.span().saturating_sub(grace)
            });
            let booted = memory.boot.is_some() && boot(nodes, &memory.node).is_some_and(|now| memory.boot != Some(now));
            let node_lost = booted || out_of_service(nodes, &memory.node);
            (
                uid,
                Departed {
                    noticed,
                    terminated: memory.terminated.clone(),
                    outlived,
                    node_lost,
                },
            )
        })
        .collect()
    }

    /// Something is missing that only time brings.
    pub fn waits(&self) -> bool {
        self.0.values().any(|memory| memory.vanished.is_some())
    }
}

/// Reads the kubelets' Leases of these nodes, all at once; what cannot be read within `limit` is left out.
pub async fn renewed(client: &Client, nodes: &BTreeSet<String>, limit: Duration) -> Vec<(String, Timestamp)> {
    let leases: &Api<Lease> = &Api::namespaced(client.clone(), LEASES);
    let reads = nodes.iter().map(|node| async move {
        let lease = within(limit, format!("read the Lease of node {node}"), leases.get_opt(node)).await;
        Some((node.clone(), lease.ok()??.spec?.renew_time?.0))
    });
    join_all(reads).await.into_iter().flatten().collect()
}

fn boot(nodes: &Store<Node>, node: &str) -> Option<String> {
    let node = nodes.get(&ObjectRef::new(node))?;
    Some(node.status.as_ref()?.node_info.as_ref()?.boot_id.clone())
}

fn out_of_service(nodes: &Store<Node>, node: &str) -> bool {
    let node = nodes.get(&ObjectRef::new(node));
    let taints = node.as_ref().and_then(|node| node.spec.as_ref()?.taints.as_ref());
    taints.is_some_and(|taints| taints.iter().any(|taint| taint.key == OUT_OF_SERVICE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::runtime::reflector::store::Writer;
    use serde_json::json;

    /// Renewals every 10 s by a clock that is set by so many seconds after the first, for as long as given.
    fn span(step: i64, seconds: i64) -> Duration {
        let at = |second: i64| Timestamp::from_second(1_000_000 + second).unwrap();
        let moment = |second: i64| Moment(u64::try_from(second).unwrap() * 1_000_000);
        let mut renewals = Renewals::begin(at(0), moment(1));
        for second in (10..=seconds).step_by(10) {
            renewals = renewals.then(at(second + step), moment(second + 1));
            renewals = renewals.then(at(second + step), moment(second + 6));
        }
        renewals.span()
    }

    #[test]
    fn d19_a_kubelet_outlives_a_pod_by_two_clocks() {
        assert_eq!(span(0, 60), Duration::from_secs(60));
        assert_eq!(span(3600, 20), Duration::from_secs(20), "set forward");
        assert_eq!(span(-3600, 60), Duration::from_secs(50), "set back: it begins anew");
    }

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1_000_000)
    }

    fn pod(uid: &str) -> Arc<Pod> {
        let last = json!({ "terminated": { "containerID": "c", "exitCode": 0 } });
        let container = json!({
            "name": "redis", "image": "", "imageID": "", "ready": false, "restartCount": 0, "lastState": last,
        });
        let pod = json!({
            "metadata": { "name": format!("redis-a-{uid}"), "uid": uid },
            "spec": { "containers": [], "nodeName": "node" },
            "status": { "containerStatuses": [container] },
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn record(uid: &str) -> Record {
        let mut record = Record::first("me");
        let master = json!({ "pod": format!("redis-a-{uid}"), "uid": uid, "runId": "", "address": "" });
        record.master = Some(serde_json::from_value(master).unwrap());
        record
    }

    #[test]
    fn a_pod_that_is_neither_there_nor_on_record_is_forgotten() {
        let nodes = Writer::<Node>::default().as_reader();
        let mut memories = Memories::default();
        memories.note(&[pod("0"), pod("1"), pod("2")], Some(&record("0")), &nodes, at(0));
        memories.note(&[pod("1")], Some(&record("0")), &nodes, at(1));
        assert_eq!(memories.0.keys().collect::<Vec<_>>(), ["0", "1"]);
        memories.note(&[pod("1")], Some(&record("1")), &nodes, at(2));
        assert_eq!(memories.0.keys().collect::<Vec<_>>(), ["1"]);
    }

    #[test]
    fn d19_a_pod_on_record_is_asked_for_once_and_its_last_status_counts() {
        let nodes = Writer::<Node>::default().as_reader();
        let (mut memories, record) = (Memories::default(), record("0"));
        memories.note(&[pod("0")], Some(&record), &nodes, at(0));
        assert!(memories.unknown(&[pod("0")], Some(&record)).is_empty() && !memories.waits());
        let unknown = memories.unknown(&[pod("1")], Some(&record));
        assert_eq!(unknown, [("0".to_owned(), "redis-a-0".to_owned())].into());
        assert!(memories.departed(&nodes).is_empty(), "nobody has said so yet");

        memories.note(&[], Some(&record), &nodes, at(1));
        memories.note(&[], Some(&record), &nodes, at(2));
        assert!(memories.unknown(&[], Some(&record)).is_empty() && memories.waits());
        let departed = memories.departed(&nodes).remove("0").unwrap();
        assert_eq!(
            (departed.noticed, departed.terminated),
            (at(1), ["c".to_owned()].into())
        );
        let asks: Vec<_> = (2..14)
            .filter(|second| !memories.questions(at(*second)).is_empty())
            .collect();
        assert_eq!(asks, [2, 7, 12]);
    }
}
