//! Pods that are gone: what proves that their processes ended with them.

use crate::error::within;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt};
use redis_operator_core::observed::{Departed, Instance, Moment};
use redis_operator_core::record::Record;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Where the kubelets renew their Leases.
const LEASES: &str = "kube-node-lease";
/// How often a Lease is read while a proof is missing.
const EVERY: i64 = 5;
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
    vanished: Option<Timestamp>,
    noticed: Moment,
    read: Option<Timestamp>,
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

impl Memories {
    /// Remembers the pods that exist, and forgets those that are neither there nor on record.
    pub fn note(
        &mut self,
        pods: &[Arc<Pod>],
        instances: &BTreeMap<String, Instance>,
        record: Option<&Record>,
        nodes: &Store<Node>,
        now: Timestamp,
        moment: Moment,
    ) {
        for instance in instances.values() {
            let pod = pods.iter().find(|pod| pod.uid().as_deref() == Some(&instance.uid));
            let grace = pod.and_then(|pod| {
                pod.metadata
                    .deletion_grace_period_seconds
                    .or(pod.spec.as_ref()?.termination_grace_period_seconds)
            });
            let memory = self.0.entry(instance.uid.clone()).or_default();
            memory.terminated.clone_from(&instance.container.terminated);
            memory.node.clone_from(&instance.node);
            memory.boot = boot(nodes, &instance.node).or(memory.boot.take());
            memory.grace = grace.unwrap_or(30);
            (memory.vanished, memory.renewals) = (None, None);
        }
        let named = |uid: &String| record.is_some_and(|record| record.processes().any(|process| process.uid == *uid));
        for process in record.into_iter().flat_map(Record::processes) {
            let memory = self.0.entry(process.uid.clone()).or_insert_with(|| Memory {
                node: process.node.clone(),
                grace: 30,
                ..Memory::default()
            });
            let exists = instances.values().any(|instance| instance.uid == process.uid);
            if !exists && memory.vanished.is_none() {
                (memory.vanished, memory.noticed) = (Some(now), moment);
            }
        }
        self.0.retain(|uid, memory| memory.vanished.is_none() || named(uid));
    }

    /// Nodes whose Leases have to be read, because a proof is missing.
    pub fn questions(&mut self, now: Timestamp) -> BTreeSet<String> {
        let due = |memory: &&mut Memory| {
            let recent = memory
                .read
                .is_some_and(|read| now.as_second().saturating_sub(read.as_second()) < EVERY);
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
            .filter_map(|(uid, memory)| memory.vanished.map(|_| (uid.clone(), memory)));
        gone.map(|(uid, memory)| {
            let outlived = memory.renewals.map(|renewals| {
                let grace = Duration::from_secs(u64::try_from(memory.grace).unwrap_or_default());
                renewals.span().saturating_sub(grace)
            });
            let booted = memory.boot.is_some() && boot(nodes, &memory.node).is_some_and(|now| memory.boot != Some(now));
            let node_lost = booted || out_of_service(nodes, &memory.node);
            (
                uid,
                Departed {
                    noticed: memory.noticed,
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

/// Reads the kubelet's Lease of a node.
pub async fn renewed(client: &Client, node: &str, limit: Duration) -> Option<Timestamp> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), LEASES);
    let lease = within(limit, format!("read the Lease of node {node}"), leases.get_opt(node)).await;
    lease.ok()??.spec?.renew_time.map(|time| time.0)
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
}
