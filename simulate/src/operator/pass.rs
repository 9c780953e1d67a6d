//! The operator's own passes over this world: what they observe, and what they put right.

use super::cluster::Cluster;
use super::post::set_targets;
use super::servers::Instances;
use super::side::{Ask, Came, Handle, Planned};
use crate::cluster::api::{NAME, Redis, Request, Response};
use crate::cluster::objects::REDIS_UID;
use crate::message::Verb;
use crate::world::text;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::Event as Watched;
use redis_operator::converge;
use redis_operator::departed::Memories;
use redis_operator::error::Error;
use redis_operator::evacuation::evacuating;
use redis_operator::execute::Done;
use redis_operator::pass::{self, Scene, Settled};
use redis_operator::pods;
use redis_operator_core::memory::Memory;
use redis_operator_core::names;
use redis_operator_core::observed::{Instance, Observed};
use redis_operator_core::plan::{Plan, Step};
use redis_operator_core::record::{Found, Record};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The resource as the owner of its pods.
const OWNER: pods::Owner<'_> = pods::Owner {
    name: NAME,
    uid: REDIS_UID,
    created: None,
};

/// One stretch of leadership.
pub(super) struct Leading {
    handle: Handle,
    holder: String,
    cluster: Arc<Cluster>,
    redis: Option<Redis>,
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
        cluster: Arc::new(Cluster::new(handle.clone(), holder.clone())),
        redis: None,
        handle,
        holder,
        memory: Memory::default(),
        pods: Memories::default(),
        nodes,
        writer,
        known_nodes: BTreeMap::new(),
        reported: String::new(),
    };
    let (cluster, own) = (Arc::clone(&leading.cluster), leading.handle.clone());
    loop {
        let pause = match pass::run(&mut leading, &Instances(&own), &*cluster).await {
            Ok(pause) => pause.unwrap_or(pass::AFTER_FAILURE),
            Err(error) => {
                leading.say(|| format!("pass failed: {error}"));
                pass::AFTER_FAILURE
            }
        };
        leading
            .sleep(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX))
            .await;
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

    /// What the caches show of pods, and the posts for them.
    fn cached(
        &self,
        redis: &Redis,
        record: Option<&Record>,
    ) -> (Vec<Arc<Pod>>, BTreeMap<String, Instance>, Option<String>) {
        let mut side = self.handle.lock();
        let set = side.cache.set.clone();
        let set_holder = set.as_deref().map(|set| {
            set.annotations()
                .get(names::ANNOTATION_HOLDER)
                .cloned()
                .unwrap_or_default()
        });
        let all: Vec<_> = side.cache.pods.values().cloned().collect();
        let own = all.iter().filter_map(|pod| {
            let instance = pods::instance(pod, &OWNER, set.as_deref(), record)?;
            let node = self.nodes.get(&ObjectRef::new(&instance.node));
            Some(Instance {
                stale: pod.annotations().get(names::ANNOTATION_SPEC) != Some(&redis.spec.to_string()),
                evacuating: evacuating(pod, node.as_deref()),
                wanted_priority: Some(redis.priorities[instance.ordinal as usize % redis.priorities.len()]),
                ..instance
            })
        });
        let mut own: BTreeMap<_, _> = own.map(|instance| (instance.pod.clone(), instance)).collect();
        pods::part(&mut own);
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
            let posts = side
                .posts
                .values()
                .map(|post| (post.number, Some(post.uid.as_str()) == master));
            posts.partition(|(_, is_master)| *is_master)
        };
        for group in [first, rest] {
            let pending: Vec<_> = group
                .into_iter()
                .map(|(post, _)| self.handle.ask(|ask| Ask::Look(ask, post)))
                .collect();
            for one in pending {
                one.await;
            }
        }
    }

    /// Open connections that are not attached.
    fn unattached(&self) -> Vec<(String, u32, u32)> {
        let side = self.handle.lock();
        let open = side.posts.values().filter(|post| !post.state.is_attached());
        open.filter_map(|post| Some((post.uid.clone(), post.number, post.state.connection()?.cid)))
            .collect()
    }

    async fn attach(&self, unattached: &[(String, u32, u32)]) {
        let pending: Vec<_> = unattached
            .iter()
            .map(|(_, post, cid)| {
                self.handle
                    .ask(|ask| Ask::Call(ask, *post, *cid, Verb::CutPredecessors))
            })
            .collect();
        for (one, (uid, _, cid)) in pending.into_iter().zip(unattached) {
            if let Came::Call(outcome) = one.await
                && outcome.is_ok()
            {
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
}

impl Scene for Leading {
    fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    async fn observe(&mut self) -> Result<Option<Observed>, Error> {
        self.redis = {
            let mut side = self.handle.lock();
            side.urgent = false;
            side.cache.redis.clone()
        };
        let Some(redis) = self.redis.clone() else {
            return Ok(None);
        };
        let mut record = self.cluster.record(&redis).await?;
        let cached = self.handle.lock().cache.slice.clone();
        let slice = self.cluster.slice(cached.as_deref()).await?;
        // as the operator's own: whoever was succeeded must not take a touched slice for one to put right
        if slice.as_ref().is_none_or(|slice| slice.holder != self.holder) {
            record = self.cluster.reread().await?;
        }
        self.refresh_nodes();
        let (all, mut instances, set_holder) = self.cached(&redis, written(&record));
        let master = written(&record)
            .and_then(|record| record.master.as_ref())
            .map(|master| master.uid.clone());
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
        self.pods.note(&all, written(&record), &self.nodes, now);
        for node in self.pods.questions(now) {
            let Some(number) = text::read_node(&node) else { continue };
            if let Response::Renewed(renewed) = self.handle.api(Request::Renewed(number)).await {
                self.pods.answer(&node, renewed, now);
            }
        }
        Ok(Some(Observed {
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
        }))
    }

    fn decided(&mut self, seen: &Observed, plan: &Plan) {
        let mut side = self.handle.lock();
        let planned = Planned::new(seen, plan, side.verbose);
        side.asks.push(Ask::Planned(planned));
    }

    fn told(&mut self, _: &Observed, _: &Plan, step: &Step, done: &Done) {
        if let Err(failure) = done {
            self.say(|| format!("{} failed: {failure}", step.name()));
        }
    }

    fn ended(&mut self, _: &Plan, _: &Done) {}

    fn waits(&self) -> bool {
        self.pods.waits()
    }

    /// The StatefulSet, then the status. A wake-up is noticed before them.
    async fn settle(&mut self, seen: &Observed, plan: &Plan) -> Result<Settled, Error> {
        let Some(redis) = self.redis.clone() else {
            return Ok(Settled::Done);
        };
        if self.handle.lock().urgent {
            return Ok(Settled::Woken);
        }
        let stalled = self.put_right(&redis, seen, plan.why).await;
        Ok(if stalled { Settled::Stalled } else { Settled::Done })
    }
}

impl Leading {
    /// True: something stalls.
    async fn put_right(&mut self, redis: &Redis, seen: &Observed, why: &str) -> bool {
        let set = self.handle.lock().cache.set.clone();
        let now = set.as_deref().and_then(|set| set.spec.as_ref()?.replicas);
        let holder = set
            .as_deref()
            .and_then(|set| set.annotations().get(names::ANNOTATION_HOLDER).cloned());
        let may_write = match &holder {
            None => true,
            Some(holder) if *holder == self.holder => true,
            Some(_) => match self.cluster.reread().await {
                Ok(Found::Record(record)) => record.holder == self.holder,
                Ok(Found::Absent | Found::Nonsense(_)) => true,
                Ok(Found::Newer(_)) | Err(_) => false,
            },
        };
        let replicas = converge::replicas(seen, NAME, now);
        let mut stalled = false;
        let made_for = set
            .as_deref()
            .and_then(|set| set.status.as_ref()?.update_revision.clone());
        let other = made_for != Some(redis.spec.to_string());
        if may_write && (other || now != Some(replicas) || holder.as_ref() != Some(&self.holder)) {
            let version = set.as_deref().and_then(ResourceExt::resource_version);
            let request = Request::ApplySet(version, self.holder.clone(), replicas, redis.spec);
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
