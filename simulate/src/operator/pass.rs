//! The operator's own passes over this world: what they tell, and what they put right.

use super::servers::Instances;
use super::side::{Ask, Handle, Planned};
use super::source::{Around, Nodes};
use super::store::Simulated;
use crate::cluster::api::{NAME, Redis, Request, Response};
use crate::cluster::objects;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;
use redis_operator::cluster::Cluster;
use redis_operator::converge;
use redis_operator::error::Error;
use redis_operator::execute::Done;
use redis_operator::gather::{self, Kept};
use redis_operator::pass::{self, Scene, Settled};
use redis_operator_core::memory::Memory;
use redis_operator_core::names;
use redis_operator_core::observed::Observed;
use redis_operator_core::plan::{Plan, Step};
use std::sync::{Arc, Mutex};

/// One stretch of leadership.
pub(super) struct Leading {
    handle: Handle,
    holder: String,
    cluster: Arc<Cluster<Simulated>>,
    redis: Option<Redis>,
    kept: Kept,
    nodes: Nodes,
    reported: String,
}

/// Passes until it is dropped.
pub(super) async fn lead(handle: Handle, holder: String) {
    let mut leading = Leading {
        cluster: Arc::new(Cluster::over(
            Simulated(handle.clone()),
            NAME.to_owned(),
            "redis".to_owned(),
            &holder,
        )),
        redis: None,
        handle,
        holder,
        kept: Kept::default(),
        nodes: Nodes::new(),
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
}

impl Scene for Leading {
    fn memory(&mut self) -> &mut Memory {
        &mut self.kept.memory
    }

    async fn observe(&mut self) -> Result<Option<Observed>, Error> {
        self.redis = {
            let mut side = self.handle.lock();
            side.urgent = false;
            side.cache.redis.clone()
        };
        self.nodes.refresh(&self.handle);
        let Some(redis) = &self.redis else {
            return Ok(None);
        };
        let mut around = Around {
            handle: &self.handle,
            holder: &self.holder,
            cluster: &self.cluster,
            redis,
            nodes: &self.nodes,
            found: Mutex::default(),
        };
        gather::observe(&mut around, &mut self.kept).await.map(Some)
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
        self.kept.pods.waits()
    }

    /// The StatefulSet, then the status. A wake-up is noticed before them.
    async fn settle(&mut self, seen: &Observed, plan: &Plan) -> Result<Settled, Error> {
        let Some(redis) = self.redis.clone() else {
            return Ok(Settled::Done);
        };
        if self.handle.lock().urgent {
            return Ok(Settled::Woken);
        }
        let stalled = self.put_right(&redis, seen).await;
        let term = seen.record.record().map_or(0, |record| record.term);
        let status = format!("{term} {}", plan.why);
        if status != self.reported {
            self.handle.api(Request::Report).await;
            self.reported = status;
        }
        Ok(if stalled { Settled::Stalled } else { Settled::Done })
    }
}

impl Leading {
    /// True: something stalls.
    async fn put_right(&self, redis: &Redis, seen: &Observed) -> bool {
        let set = self.handle.lock().cache.set.clone();
        let set = set.as_deref();
        if converge::is_left_alone(seen) || !converge::may_write(set, &self.holder, self.cluster.reread()).await {
            return false;
        }
        let now = set.and_then(|set| set.spec.as_ref()?.replicas);
        let replicas = converge::replicas(seen, NAME, now);
        let restarted = converge::restarted(seen);
        let wanted = objects::revision(redis.spec, restarted);
        let carries =
            |set: &StatefulSet| set.status.as_ref().and_then(|it| it.update_revision.as_ref()) == Some(&wanted);
        let ours = |set: &StatefulSet| set.annotations().get(names::ANNOTATION_HOLDER) == Some(&self.holder);
        if now == Some(replicas) && set.is_some_and(|set| carries(set) && ours(set)) {
            return false;
        }
        let version = set.and_then(ResourceExt::resource_version);
        let request = Request::ApplySet(
            version,
            self.holder.clone(),
            replicas,
            redis.spec,
            restarted.map(str::to_owned),
        );
        !matches!(self.handle.api(request).await, Response::Done | Response::Conflict)
    }
}
