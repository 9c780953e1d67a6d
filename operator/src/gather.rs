//! Observe: everything that a decision may read, each part as fresh as safety needs it.
//!
//! The order of it is here, generic over where things come from, so that a simulation runs it over its own world.

mod around;
mod pods;

pub use around::{Around, desired};
pub use pods::{Pods, Wanted};

use crate::departed::Memories;
use crate::error::Error;
use crate::fail_point;
use crate::watch::{Seen, Target};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::reflector::Store;
use redis_operator_core::memory::Memory;
use redis_operator_core::observed::{Desired, Instance, Moment, Observed, Slice};
use redis_operator_core::record::{Found, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A pass begins at least every 10 s. After so long without one this process slept.
const ASLEEP: Duration = Duration::from_secs(20);

/// Where an observation of one resource comes from.
pub trait Source: Send + Sync {
    /// The watch over its instances.
    type Watch: Watching;

    /// The watch over its instances.
    fn watch(&self) -> &Self::Watch;
    /// Who observes.
    fn holder(&self) -> &str;
    /// The record as this holder wrote it last, or read with a quorum.
    fn record(&self) -> impl Future<Output = Result<Found, Error>> + Send;
    /// The record, read with a quorum.
    fn reread(&self) -> impl Future<Output = Result<Found, Error>> + Send;
    /// The master's slice as this holder wrote or read it last.
    fn slice(&self) -> impl Future<Output = Result<Option<Slice>, Error>> + Send;
    /// The pods that carry its label, as the cache shows them.
    fn labelled(&self) -> Vec<Arc<Pod>>;
    /// Of these pods, names by uid, those that exist, read with a quorum.
    fn existing(&self, pods: &BTreeMap<String, String>) -> impl Future<Output = Result<Vec<Arc<Pod>>, Error>> + Send;
    /// Which of these pods are its own, and what the caches show of them.
    fn pods(&self, all: Vec<Arc<Pod>>, record: Option<&Record>) -> Pods;
    /// What the user asked for.
    fn desired(&mut self, pods: &Pods, record: Option<&Record>) -> Desired;
    /// Nodes, as the cache shows them.
    fn nodes(&self) -> Store<Node>;
    /// When the kubelets of these nodes renewed their Leases last, as far as that can be read.
    fn renewed(&self, nodes: &BTreeSet<String>) -> impl Future<Output = Vec<(String, Timestamp)>> + Send;
    /// The operator's monotonic clock.
    fn now(&self) -> Moment;
    /// The operator's wall clock.
    fn clock(&self) -> Timestamp;
}

/// A watch over instances, as an observation uses it.
pub trait Watching: Sync {
    /// A connection that was open at one moment, and not attached.
    type Unattached: Send + Sync;

    /// Watches these instances from now on, and no others.
    fn set_targets(&self, targets: &[Target]);
    /// Asks every instance, the first one before the others.
    fn observe(&self, first: Option<&str>) -> impl Future<Output = BTreeMap<String, Seen>> + Send;
    /// Open connections that are not attached yet.
    fn unattached(&self) -> Vec<Self::Unattached>;
    /// Cuts predecessors off and marks these connections as attached.
    fn attach(&self, waiting: &[Self::Unattached]) -> impl Future<Output = ()> + Send;
}

/// What one observation hands to the next.
#[derive(Default)]
pub struct Kept {
    /// What the core remembers.
    pub memory: Memory,
    /// Pods that were there.
    pub pods: Memories,
    /// Pods on record that the cache does not show, and that exist.
    pub strays: Vec<Arc<Pod>>,
    looked: Option<Moment>,
}

impl Kept {
    fn look(&mut self, now: Moment) {
        let before = self.looked.replace(now);
        if before.is_some_and(|before| now.since(before) >= ASLEEP) {
            self.memory.slept(now);
        }
    }
}

/// Observes one resource; of the memory the caller knows.
///
/// # Errors
/// A read from the API server failed.
pub async fn observe(source: &mut impl Source, kept: &mut Kept) -> Result<Observed, Error> {
    kept.look(source.now());
    let mut record = source.record().await?;
    fail_point::reach("observe.after-record");
    let slice = source.slice().await?;
    // A successor writes the record before it touches the slice. Without a second look, one that was succeeded would take the
    // touched slice for one to put right, and publish with a version that does not conflict.
    let settled = |slice: &Slice| slice.is_settled(source.holder(), record.record());
    if !slice.as_ref().is_some_and(settled) {
        record = source.reread().await?;
    }
    let all = existing(source, kept, record.record()).await?;
    let mut pods = source.pods(all, record.record());
    let mut instances = std::mem::take(&mut pods.own);
    record = ask(source.watch(), &mut instances, record, source.holder(), source.reread()).await?;
    // What was heard is measured against this moment: whatever holds this pass up from here on is no silence.
    let (now, clock) = (source.now(), source.clock());
    Ok(Observed {
        desired: source.desired(&pods, record.record()),
        holder: source.holder().to_owned(),
        record,
        instances,
        departed: kept.pods.departed(&source.nodes()),
        set_holder: pods.set_holder,
        slice,
        memory: Default::default(),
        now,
        clock,
    })
}

/// The pods that carry the resource's label, and those on record that have lost it. What is known of those that are gone is
/// brought up to date: before anybody is asked, for the API server may take its time.
async fn existing(source: &impl Source, kept: &mut Kept, record: Option<&Record>) -> Result<Vec<Arc<Pod>>, Error> {
    let mut all = source.labelled();
    let unknown = kept.pods.unknown(&all, record);
    kept.strays = source.existing(&unknown).await?;
    all.extend(kept.strays.iter().cloned());
    kept.pods.note(&all, record, &source.nodes(), source.now());
    let nodes = kept.pods.questions(source.now());
    for (node, renewed) in source.renewed(&nodes).await {
        kept.pods.answer(&node, renewed, source.now());
    }
    Ok(all)
}

/// Asks every instance, and gives the record that is valid for what they said.
///
/// The order matters. The master is asked before its members, so that an offset which a member shows at or past it was
/// reached after. Where a connection was opened since the record was read, the record is read again before that
/// connection may be used: an operator that was succeeded finds out here.
///
/// # Errors
/// The record had to be read again, and could not.
pub async fn ask(
    watch: &impl Watching,
    instances: &mut BTreeMap<String, Instance>,
    mut record: Found,
    holder: &str,
    reread: impl Future<Output = Result<Found, Error>>,
) -> Result<Found, Error> {
    let targets: Vec<_> = instances.values().filter_map(target).collect();
    watch.set_targets(&targets);
    let master = record
        .record()
        .and_then(|record| record.master.as_ref())
        .map(|master| master.uid.clone());
    let mut answers = watch.observe(master.as_deref()).await;
    let unattached = watch.unattached();
    if !unattached.is_empty() {
        record = reread.await?;
        if record.record().is_none_or(|record| record.holder == holder) {
            fail_point::reach("observe.before-attach");
            watch.attach(&unattached).await;
            answers = watch.observe(master.as_deref()).await;
        }
    }
    for instance in instances.values_mut() {
        if let Some(answer) = answers.remove(&instance.uid) {
            (instance.reach, instance.last, instance.attached) = (answer.reach, answer.last, answer.attached);
        }
    }
    Ok(record)
}

fn target(instance: &Instance) -> Option<Target> {
    let address = instance.address.parse().ok()?;
    Some(Target {
        pod: instance.pod.clone(),
        uid: instance.uid.clone(),
        address,
    })
}
