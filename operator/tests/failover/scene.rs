//! How an operator sees a world: as the controller sees a resource, with caches that are never late.

use crate::control::Pretended;
use crate::support::LIMIT;
use crate::world::{NAMESPACE, World, labelled_masters};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::reflector::store::Writer;
use redis_operator::cluster::Cluster;
use redis_operator::departed::Memories;
use redis_operator::error::Error;
use redis_operator::events::Events;
use redis_operator::execute::Done;
use redis_operator::pass::{Scene, Settled};
use redis_operator::telling::Telling;
use redis_operator::watch::{Clock, Watch};
use redis_operator::{gather, missing, pods};
use redis_operator_core::api::priority;
use redis_operator_core::memory::Memory;
use redis_operator_core::observed::{Instance, Observed};
use redis_operator_core::plan::{Plan, Step};
use redis_operator_core::status::status;
use std::sync::Arc;

/// What an operator holds between passes.
#[derive(Default)]
pub(crate) struct Held {
    /// What it told people.
    pub(crate) telling: Telling,
    /// What it did, for failures.
    pub(crate) log: Vec<String>,
    /// It freezes nobody, and takes these for frozen.
    pub(crate) pretended: Option<Arc<Pretended>>,
    pub(crate) clock: Clock,
    memory: Memory,
    pods: Memories,
}

/// An operator that looks at a world.
pub(crate) struct Leading<'a> {
    pub(crate) world: &'a World,
    pub(crate) holder: &'a str,
    pub(crate) cluster: &'a Cluster,
    pub(crate) watch: &'a Watch,
    pub(crate) events: &'a Events,
    pub(crate) held: &'a mut Held,
}

impl Scene for Leading<'_> {
    fn memory(&mut self) -> &mut Memory {
        &mut self.held.memory
    }

    async fn observe(&mut self) -> Result<Option<Observed>, Error> {
        let (world, cluster) = (self.world, self.cluster);
        let redis = world.redis();
        let record = cluster.record(&redis).await?;
        let slice = cluster.slice(world.slice().as_ref()).await?;
        let mut all = world.pod_objects();
        let nodes = Writer::<Node>::default().as_reader();
        let known = &mut self.held.pods;
        let unknown = known.unknown(&all, record.record());
        all.extend(missing::existing(&world.api.client(), NAMESPACE, &unknown, LIMIT).await?);
        known.note(&all, record.record(), &nodes, self.held.clock.now());
        let instances = all.iter().filter_map(|pod| {
            let instance = pods::instance(pod, &pods::Owner::of(&redis), None, record.record())?;
            let wanted_priority = priority(&redis.spec.priorities, instance.ordinal, None);
            Some(Instance {
                wanted_priority,
                ..instance
            })
        });
        let mut instances = instances.map(|it| (it.pod.clone(), it)).collect();
        let record = gather::ask(self.watch, &mut instances, record, self.holder, cluster.reread()).await?;
        if let Some(pretended) = &self.held.pretended {
            pretended.show(&mut instances);
        }
        let (now, clock) = (self.held.clock.now(), Timestamp::now());
        Ok(Some(Observed {
            desired: gather::desired(&redis),
            holder: self.holder.to_owned(),
            record,
            instances,
            departed: self.held.pods.departed(&nodes),
            set_holder: None,
            slice,
            memory: Memory::default(),
            now,
            clock,
        }))
    }

    fn decided(&mut self, seen: &Observed, _: &Plan) {
        self.held.telling.observe(seen);
    }

    fn told(&mut self, seen: &Observed, plan: &Plan, step: &Step, done: &Done) {
        let held = &mut *self.held;
        held.log.push(format!("{}: {} {done:?}", plan.why, step.name()));
        assert!(labelled_masters(&self.world.pod_objects()) < 2, "{:#?}", held.log);
        if done.is_ok() {
            let (redis, now) = (self.world.redis(), held.clock.now());
            held.telling.step(self.events, &redis, seen, step, now);
        }
    }

    fn ended(&mut self, _: &Plan, _: &Done) {}

    fn waits(&self) -> bool {
        self.held.pods.waits()
    }

    async fn settle(&mut self, seen: &Observed, plan: &Plan) -> Result<Settled, Error> {
        let (redis, telling) = (self.world.redis(), &mut self.held.telling);
        let status = status(&redis, seen, plan, &[], telling.last());
        telling.status(self.events, &redis, &status);
        Ok(Settled::Done)
    }
}
