//! Where an observation of the simulated world comes from: caches, held connections, the API server.

use super::post::set_targets;
use super::side::{Ask, Came, Handle};
use super::store::{Simulated, error};
use crate::cluster::api::{NAME, Redis, Request, Response};
use crate::cluster::objects;
use crate::message::Verb;
use crate::network::Cid;
use crate::world::text;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::Event;
use redis_operator::cluster::Cluster;
use redis_operator::error::Error;
use redis_operator::gather::{Pods, Source, Wanted, Watching};
use redis_operator::pods::Owner;
use redis_operator::watch::{self, Seen, Target, Watched};
use redis_operator_core::observed::{Desired, Moment, Reach, Slice};
use redis_operator_core::record::{Found, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The nodes of the cache, in the store that the operator's code reads.
pub(super) struct Nodes {
    store: Store<Node>,
    writer: reflector::store::Writer<Node>,
    known: BTreeMap<String, Arc<Node>>,
}

impl Nodes {
    pub(super) fn new() -> Self {
        let (store, writer) = reflector::store();
        Self {
            store,
            writer,
            known: BTreeMap::new(),
        }
    }

    pub(super) fn refresh(&mut self, handle: &Handle) {
        let side = handle.lock();
        for (name, node) in &side.cache.nodes {
            let known = self.known.get(name).is_some_and(|known| Arc::ptr_eq(known, node));
            if !known {
                self.known.insert(name.clone(), Arc::clone(node));
                self.writer.apply_watcher_event(&Event::Apply((**node).clone()));
            }
        }
    }
}

/// The resource and everything around it.
pub(super) struct Around<'a> {
    pub(super) handle: &'a Handle,
    pub(super) holder: &'a str,
    pub(super) cluster: &'a Cluster<Simulated>,
    pub(super) redis: &'a Redis,
    pub(super) nodes: &'a Nodes,
    /// The record as it was found first, where the rule is taken out that it is read again.
    pub(super) found: Mutex<Option<Found>>,
}

impl Around<'_> {
    fn found(&self) -> MutexGuard<'_, Option<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Around<'_> {
    type Watch = Handle;

    fn watch(&self) -> &Handle {
        self.handle
    }

    fn holder(&self) -> &str {
        self.holder
    }

    async fn record(&self) -> Result<Found, Error> {
        let found = self.cluster.record(self.redis).await?;
        if !self.handle.lock().reads_again {
            *self.found() = Some(found.clone());
        }
        Ok(found)
    }

    async fn reread(&self) -> Result<Found, Error> {
        let found = self.found().clone();
        match found {
            Some(found) => Ok(found),
            None => self.cluster.reread().await,
        }
    }

    async fn slice(&self) -> Result<Option<Slice>, Error> {
        let cached = self.handle.lock().cache.slice.clone();
        self.cluster.slice(cached.as_deref()).await
    }

    fn labelled(&self) -> Vec<Arc<Pod>> {
        self.handle.lock().cache.pods.values().cloned().collect()
    }

    async fn existing(&self, pods: &BTreeMap<String, String>) -> Result<Vec<Arc<Pod>>, Error> {
        if pods.is_empty() {
            return Ok(vec![]);
        }
        match self.handle.api(Request::Pods(pods.clone())).await {
            Response::Pods(found) => Ok(found),
            other => Err(error("read pods", &other)),
        }
    }

    fn pods(&self, all: Vec<Arc<Pod>>, record: Option<&Record>) -> Pods {
        let set = self.handle.lock().cache.set.clone();
        Pods::of(self, all, set, &self.nodes.store, record)
    }

    fn desired(&mut self, pods: &Pods, _: Option<&Record>) -> Desired {
        Desired {
            restarted: pods.restarted.clone(),
            ..self.redis.desired.clone()
        }
    }

    fn nodes(&self) -> Store<Node> {
        self.nodes.store.clone()
    }

    async fn renewed(&self, nodes: &BTreeSet<String>) -> Vec<(String, Timestamp)> {
        let mut all = vec![];
        for node in nodes {
            let Some(number) = text::read_node(node) else { continue };
            if let Response::Renewed(renewed) = self.handle.api(Request::Renewed(number)).await {
                all.push((node.clone(), renewed));
            }
        }
        all
    }

    fn now(&self) -> Moment {
        self.handle.lock().moment()
    }

    fn clock(&self) -> Timestamp {
        let micros = self.handle.lock().now as i64;
        Timestamp::from_microsecond(1_800_000_000_000_000 + micros).unwrap_or_default()
    }
}

impl Wanted for Around<'_> {
    fn owner(&self) -> Owner<'_> {
        Owner {
            name: NAME,
            uid: objects::REDIS_UID,
            created: None,
        }
    }

    fn revision(&self, restarted: Option<&str>) -> String {
        objects::revision(self.redis.spec, restarted)
    }

    fn priority(&self, ordinal: u32, _: Option<&Node>) -> Option<u32> {
        let all = &self.redis.priorities;
        all.get(ordinal as usize % all.len()).copied()
    }
}

/// A post as a pass sees it.
struct Looker<'a> {
    handle: &'a Handle,
    uid: String,
    number: u32,
}

impl Watched for Looker<'_> {
    fn uid(&self) -> &str {
        &self.uid
    }

    async fn look(&self) {
        self.handle.ask(|ask| Ask::Look(ask, self.number)).await;
    }

    fn seen(&self) -> Seen {
        let side = self.handle.lock();
        side.posts.get(&self.uid).map_or(
            Seen {
                reach: Reach::Untried,
                last: None,
                attached: false,
            },
            |post| post.state.seen(),
        )
    }
}

/// A connection that is not attached: the uid of its pod, its post and its number.
type Unattached = (String, u32, Cid);

impl Watching for Handle {
    type Unattached = Unattached;

    fn set_targets(&self, targets: &[Target]) {
        let number = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(_) => 0,
        };
        let targets: Vec<_> = targets.iter().map(|it| (it.uid.clone(), number(&it.address))).collect();
        set_targets(&mut self.lock(), &targets);
    }

    async fn observe(&self, first: Option<&str>) -> BTreeMap<String, Seen> {
        let all: Vec<_> = {
            let side = self.lock();
            let looker = |(uid, number): (&String, u32)| {
                Box::new(Looker {
                    handle: self,
                    uid: uid.clone(),
                    number,
                })
            };
            side.posts
                .iter()
                .map(|(uid, post)| looker((uid, post.number)))
                .collect()
        };
        watch::look(&all, first).await
    }

    fn unattached(&self) -> Vec<Unattached> {
        let side = self.lock();
        let open = side.posts.values().filter(|post| !post.state.is_attached());
        open.filter_map(|post| Some((post.uid.clone(), post.number, post.state.connection()?.cid)))
            .collect()
    }

    async fn attach(&self, waiting: &[Unattached]) {
        let call = |(_, post, cid): &Unattached| self.ask(|ask| Ask::Call(ask, *post, *cid, Verb::CutPredecessors));
        let pending: Vec<_> = waiting.iter().map(call).collect();
        for (one, (uid, _, cid)) in pending.into_iter().zip(waiting) {
            if let Came::Call(outcome) = one.await
                && outcome.is_ok()
            {
                let mut side = self.lock();
                if let Some(post) = side.posts.get_mut(uid)
                    && let Some(line) = post.state.connection().filter(|line| line.cid == *cid).cloned()
                {
                    post.state.attached(&line);
                }
            }
        }
    }
}
