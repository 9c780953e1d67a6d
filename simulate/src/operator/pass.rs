//! One pass after another: observe, decide, execute, put right. The order of everything is that of the operator's own.

use super::cluster::Cluster;
use super::post::set_targets;
use super::servers::Instances;
use super::side::{Ask, Came, Handle, Planned};
use crate::cluster::api::{NAME, Redis, Request, Response};
use crate::message::Verb;
use crate::world::text;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::Event as Watched;
use redis_operator::converge;
use redis_operator::departed::Memories;
use redis_operator::error::Error;
use redis_operator::execute::{Failure, execute};
use redis_operator::pods;
use redis_operator_core::decide::decide;
use redis_operator_core::memory::Memory;
use redis_operator_core::names;
use redis_operator_core::observed::{Instance, Observed};
use redis_operator_core::plan::Step;
use redis_operator_core::record::{Found, Record};
use std::collections::BTreeMap;
use std::sync::Arc;

/// As in the operator's controller.
const PASSES: usize = 40;
const AFTER_FAILURE: u64 = 200_000;
const AT_LEAST: u64 = 10_000_000;

/// One stretch of leadership.
pub(super) struct Leading {
    handle: Handle,
    holder: String,
    cluster: Cluster,
    memory: Memory,
    pods: Memories,
    nodes: Store<Node>,
    writer: reflector::store::Writer<Node>,
    known_nodes: BTreeMap<String, Arc<Node>>,
    reported: String,
}

/// Passes until it is dropped.
pub(super) async fn lead(handle: Handle, holder: String) {
    let (nodes, writer) = reflector::store();
    let mut leading = Leading {
        cluster: Cluster::new(handle.clone(), holder.clone()),
        handle,
        holder,
        memory: Memory::default(),
        pods: Memories::default(),
        nodes,
        writer,
        known_nodes: BTreeMap::new(),
        reported: String::new(),
    };
    loop {
        let pause = match leading.pass().await {
            Ok(pause) => pause,
            Err(error) => {
                leading.say(|| format!("pass failed: {error}"));
                AFTER_FAILURE
            }
        };
        leading.sleep(pause).await;
    }
}

fn written(found: &Found) -> Option<&Record> {
    match found {
        Found::Record(record) => Some(record),
        Found::Absent | Found::Newer(_) | Found::Nonsense(_) => None,
    }
}

impl Leading {
    fn say(&self, what: impl FnOnce() -> String) {
        let mut side = self.handle.lock();
        if side.verbose {
            side.asks.push(Ask::Say(what()));
        }
    }

    async fn sleep(&self, micros: u64) {
        let pending = {
            let mut side = self.handle.lock();
            if side.urgent {
                return;
            }
            let until = side.now + micros.max(1);
            drop(side);
            let pending = self.handle.ask(|number| Ask::Sleep(number, until));
            side = self.handle.lock();
            side.sleeping = Some(side.next);
            pending
        };
        pending.await;
    }

    async fn pass(&mut self) -> Result<u64, Error> {
        for _ in 0..PASSES {
            let redis = {
                let mut side = self.handle.lock();
                side.urgent = false;
                side.cache.redis.clone()
            };
            let Some(redis) = redis else { return Ok(AT_LEAST) };
            let seen = self.observe(&redis).await?;
            let plan = decide(&seen);
            self.memory.settle(&seen);
            let planned = Planned { seen: seen.clone(), plan: plan.clone() };
            self.handle.lock().asks.push(Ask::Planned(Box::new(planned)));
            let failed = if plan.steps.is_empty() {
                None
            } else {
                let servers = Instances(&self.handle);
                let told = |step: &Step, done: &Result<(), Failure>| {
                    if let Err(failure) = done {
                        self.say(|| format!("{} failed: {failure}", step.name()));
                    }
                };
                execute(&plan, &servers, &self.cluster, told).await.err()
            };
            match failed {
                Some(Failure::Conflict(_)) => continue,
                None if !plan.steps.is_empty() => continue,
                None | Some(Failure::Stale(_) | Failure::NotConnected(_) | Failure::Server { .. } | Failure::Api(_)) => {}
            }
            let micros = |wake: std::time::Duration| u64::try_from(wake.as_micros()).unwrap_or(AT_LEAST);
            let again = if failed.is_some() { AFTER_FAILURE } else { plan.wake.map_or(AT_LEAST, micros).min(AT_LEAST) };
            let again = if self.pods.waits() { again.min(1_000_000) } else { again };
            if self.handle.lock().urgent {
                return Ok(0);
            }
            let stalled = self.settle(&redis, &seen, plan.why).await;
            return Ok(if stalled { again.min(2_000_000) } else { again });
        }
        Ok(5_000)
    }

    async fn observe(&mut self, redis: &Redis) -> Result<Observed, Error> {
        let mut record = self.cluster.record(redis).await?;
        let cached = self.handle.lock().cache.slice.clone();
        let slice = self.cluster.slice(cached.as_deref()).await?;
        let (all, mut instances, set_holder) = self.cached();
        let master = written(&record).and_then(|record| record.master.as_ref()).map(|master| master.uid.clone());
        self.look(master.as_deref()).await;
        let unattached = self.unattached();
        if !unattached.is_empty() {
            record = self.cluster.reread().await?;
            if written(&record).is_none_or(|record| record.holder == self.holder) {
                self.attach(&unattached).await;
                self.look(master.as_deref()).await;
            }
        }
        let (now, clock) = {
            let side = self.handle.lock();
            for instance in instances.values_mut() {
                if let Some(post) = side.posts.get(&instance.uid) {
                    let said = post.state.seen();
                    (instance.reach, instance.last, instance.attached) = (said.reach, said.last, said.attached);
                }
            }
            let clock = Timestamp::from_microsecond(1_800_000_000_000_000 + side.now as i64).unwrap_or_default();
            (side.moment(), clock)
        };
        self.refresh_nodes();
        self.pods.note(&all, &instances, written(&record), &self.nodes, clock, now);
        for node in self.pods.questions(clock) {
            let Some(number) = text::read_node(&node) else { continue };
            if let Response::Renewed(renewed) = self.handle.api(Request::Renewed(number)).await {
                self.pods.answer(&node, renewed);
            }
        }
        let mut seen = Observed {
            desired: redis.desired.clone(),
            holder: self.holder.clone(),
            record,
            instances,
            departed: self.pods.departed(&self.nodes),
            set_holder,
            slice,
            memory: Memory::default(),
            now,
            clock,
        };
        let mut memory = std::mem::take(&mut self.memory);
        memory.note(&seen);
        self.memory.clone_from(&memory);
        seen.memory = memory;
        Ok(seen)
    }

    /// What the caches show of pods, and the posts for them.
    fn cached(&self) -> (Vec<Arc<Pod>>, BTreeMap<String, Instance>, Option<String>) {
        let mut side = self.handle.lock();
        let set = side.cache.set.clone();
        let set_holder = set.as_deref().map(|set| set.annotations().get(names::ANNOTATION_HOLDER).cloned().unwrap_or_default());
        let all: Vec<_> = side.cache.pods.values().cloned().collect();
        let own = all.iter().filter_map(|pod| pods::instance(pod, NAME, set.as_deref()));
        let own: BTreeMap<_, _> = own.map(|instance| (instance.pod.clone(), instance)).collect();
        let targets: Vec<_> = own
            .values()
            .filter_map(|instance| Some((instance.uid.clone(), text::read_address(&instance.address)?)))
            .collect();
        set_targets(&mut side, &targets);
        (all, own, set_holder)
    }

    /// Asks all, the master first.
    async fn look(&self, master: Option<&str>) {
        let (first, rest): (Vec<_>, Vec<_>) = {
            let side = self.handle.lock();
            let posts = side.posts.values().map(|post| (post.number, Some(post.uid.as_str()) == master));
            posts.partition(|(_, is_master)| *is_master)
        };
        for group in [first, rest] {
            let pending: Vec<_> = group.into_iter().map(|(post, _)| self.handle.ask(|ask| Ask::Look(ask, post))).collect();
            for one in pending {
                one.await;
            }
        }
    }

    /// Open connections that are not attached.
    fn unattached(&self) -> Vec<(String, u32, u32)> {
        let side = self.handle.lock();
        let open = side.posts.values().filter(|post| !post.state.is_attached());
        open.filter_map(|post| Some((post.uid.clone(), post.number, post.state.connection()?.cid))).collect()
    }

    async fn attach(&self, unattached: &[(String, u32, u32)]) {
        let pending: Vec<_> = unattached
            .iter()
            .map(|(_, post, cid)| self.handle.ask(|ask| Ask::Call(ask, *post, *cid, Verb::CutPredecessors)))
            .collect();
        for (one, (uid, _, cid)) in pending.into_iter().zip(unattached) {
            if let Came::Call(Ok(_)) = one.await {
                let mut side = self.handle.lock();
                if let Some(post) = side.posts.get_mut(uid)
                    && let Some(line) = post.state.connection().filter(|line| line.cid == *cid).cloned()
                {
                    post.state.attached(&line);
                }
            }
        }
    }

    fn refresh_nodes(&mut self) {
        let side = self.handle.lock();
        for (name, node) in &side.cache.nodes {
            let known = self.known_nodes.get(name).is_some_and(|known| Arc::ptr_eq(known, node));
            if !known {
                self.known_nodes.insert(name.clone(), Arc::clone(node));
                self.writer.apply_watcher_event(&Watched::Apply((**node).clone()));
            }
        }
    }

    /// The StatefulSet, then the status. True: something stalls.
    async fn settle(&mut self, redis: &Redis, seen: &Observed, why: &str) -> bool {
        let set = self.handle.lock().cache.set.clone();
        let now = set.as_deref().and_then(|set| set.spec.as_ref()?.replicas);
        let holder = set.as_deref().and_then(|set| set.annotations().get(names::ANNOTATION_HOLDER).cloned());
        let may_write = match &holder {
            None => true,
            Some(holder) if *holder == self.holder => true,
            Some(_) => match self.cluster.reread().await {
                Ok(Found::Record(record)) => record.holder == self.holder,
                Ok(Found::Absent | Found::Nonsense(_)) => true,
                Ok(Found::Newer(_)) | Err(_) => false,
            },
        };
        let wanted = i32::try_from(redis.desired.replicas).unwrap_or_default();
        let replicas = converge::replicas(wanted, NAME, &seen.record, now);
        let mut stalled = false;
        if may_write && (now != Some(replicas) || holder.as_ref() != Some(&self.holder)) {
            let version = set.as_deref().and_then(ResourceExt::resource_version);
            let request = Request::ApplySet(version, self.holder.clone(), replicas);
            stalled = !matches!(self.handle.api(request).await, Response::Done | Response::Conflict);
        }
        let term = written(&seen.record).map_or(0, |record| record.term);
        let status = format!("{term} {why}");
        if status != self.reported {
            self.handle.api(Request::Report).await;
            self.reported = status;
        }
        stalled
    }
}
