//! The operator: the product's watch, memory, decision and execution, in the order of `controller::pass`.

use crate::world::{Disk, NAME, World, labelled_masters};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::reflector::store::Writer;
use redis_operator::cluster::Cluster;
use redis_operator::departed::Memories;
use redis_operator::execute::{Done, Failure, execute};
use redis_operator::redis::Login;
use redis_operator::servers::Instances;
use redis_operator::trace::Trace;
use redis_operator::watch::{Clock, Settings, Watch};
use redis_operator::{gather, pods};
use redis_operator_core::api::LastFailover;
use redis_operator_core::decide::decide;
use redis_operator_core::memory::Memory;
use redis_operator_core::names;
use redis_operator_core::observed::Observed;
use redis_operator_core::plan::{Plan, Step};
use redis_operator_core::record::{Found, Phase, Record, Stage};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_millis(500);
/// As the controller has them.
const AFTER_FAILURE: Duration = Duration::from_millis(200);
const AT_LEAST: Duration = Duration::from_secs(10);
/// What a condition that must come true is given; far more than it takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// One operator process under one lease.
pub(crate) struct Operator {
    /// The last failover that it completed.
    pub(crate) last: Option<LastFailover>,
    /// What it did, for failures.
    pub(crate) log: Vec<String>,
    holder: String,
    cluster: Cluster,
    watch: Watch,
    clock: Clock,
    woken: Arc<Notify>,
    memory: Memory,
    pods: Memories,
    trace: Trace,
}

impl Operator {
    pub(crate) fn new(world: &World, holder: &str) -> Self {
        let woken = Arc::new(Notify::new());
        let wake = woken.clone();
        let login = Login {
            user: names::USER_OPERATOR.to_owned(),
            password: world.operator_password().to_owned(),
        };
        let (clock, redis) = (Clock::new(), world.redis());
        Self {
            last: None,
            log: vec![],
            holder: holder.to_owned(),
            cluster: Cluster::new(world.api.client(), &redis, holder, LIMIT),
            watch: Watch::new(login, Settings::default(), clock, Arc::new(move || wake.notify_one())),
            clock,
            woken,
            memory: Memory::default(),
            pods: Memories::default(),
            trace: Trace::default(),
        }
    }

    /// Observes and decides.
    pub(crate) async fn plan(&mut self, world: &World) -> (Observed, Plan) {
        let redis = world.redis();
        let record = self.cluster.record(&redis).await.unwrap();
        let slice = self.cluster.slice(world.slice().as_ref()).await.unwrap();
        let all = world.pod_objects();
        let instances = all.iter().filter_map(|pod| pods::instance(pod, NAME, None));
        let mut instances = instances.map(|it| (it.pod.clone(), it)).collect();
        let reread = self.cluster.reread();
        let record = gather::ask(&self.watch, &mut instances, record, &self.holder, reread);
        let record = record.await.unwrap();
        let (nodes, clock) = (Writer::<Node>::default().as_reader(), Timestamp::now());
        let written = match &record {
            Found::Record(record) => Some(&**record),
            _ => None,
        };
        self.pods
            .note(&all, &instances, written, &nodes, clock, self.clock.now());
        let mut seen = Observed {
            desired: gather::desired(&redis),
            holder: self.holder.clone(),
            record,
            instances,
            departed: self.pods.departed(&nodes),
            set_holder: None,
            slice,
            memory: Memory::default(),
            now: self.clock.now(),
            clock,
        };
        self.memory.note(&seen);
        seen.memory.clone_from(&self.memory);
        self.trace.observe(&seen);
        let plan = decide(&seen);
        self.memory.settle(&seen);
        (seen, plan)
    }

    /// Carries a plan out. After every step at most one pod is labelled master.
    pub(crate) async fn act(&mut self, world: &World, seen: &Observed, plan: &Plan) -> Done {
        let servers = Instances {
            watch: &self.watch,
            key: &world.key,
            redis_uid: "uid-of-a",
        };
        let told = |step: &Step, done: &Done| {
            self.log.push(format!("{}: {} {done:?}", plan.why, step.name()));
            assert!(labelled_masters(&world.pod_objects()) < 2, "{:#?}", self.log);
            if done.is_ok()
                && let Some((last, _)) = self.trace.done(seen, step, self.clock.now())
            {
                self.last = Some(last);
            }
        };
        execute(plan, &servers, &self.cluster, told).await
    }

    /// Passes until one observes and decides this; its plan is not carried out.
    pub(crate) async fn until(
        &mut self,
        world: &World,
        what: &str,
        mut so: impl FnMut(&Observed, &Plan) -> bool,
    ) -> (Observed, Plan) {
        let begun = Instant::now();
        loop {
            let (seen, plan) = self.plan(world).await;
            if so(&seen, &plan) {
                return (seen, plan);
            }
            let late = begun.elapsed() > PATIENCE;
            assert!(
                !late,
                "waited in vain for {what}: {:#?}\n{plan:#?}\n{seen:#?}",
                self.log
            );
            let done = self.act(world, &seen, &plan).await;
            let pause = match done {
                Err(Failure::Conflict(_)) => continue,
                Err(_) => AFTER_FAILURE,
                Ok(()) if !plan.steps.is_empty() => continue,
                Ok(()) => plan.wake.unwrap_or(AT_LEAST).min(AT_LEAST),
            };
            let _ = timeout(pause, self.woken.notified()).await;
        }
    }

    /// Passes until nothing is left to do and that many members are full.
    pub(crate) async fn settle(&mut self, world: &World, members: usize) {
        self.until(world, "a settled set", |seen, plan| {
            plan.steps.is_empty() && plan.why.is_empty() && is_complete(seen, members)
        })
        .await;
    }

    /// Passes until another one than that is published.
    pub(crate) async fn until_replaced(&mut self, world: &World, master: u32) {
        let before = world.pods[&master].ip;
        self.until(world, "another published master", |_, _| {
            world.published().is_some_and(|address| address != before)
        })
        .await;
    }

    /// Passes until a plan has this reason; it is not carried out.
    pub(crate) async fn until_plan(&mut self, world: &World, why: &str) -> (Observed, Plan) {
        self.until(world, why, |_, plan| plan.why == why).await
    }
}

/// A settled resource in memory, and its operator.
pub(crate) async fn settled(replicas: u32) -> (World, Operator) {
    settled_on(replicas, Disk::Memory).await
}

/// A settled resource, and its operator.
pub(crate) async fn settled_on(replicas: u32, disk: Disk) -> (World, Operator) {
    let world = World::new(replicas, disk).await;
    let mut operator = Operator::new(&world, "one");
    operator.settle(&world, usize::try_from(replicas).unwrap() - 1).await;
    (world, operator)
}

/// The record of an observation.
pub(crate) fn record(seen: &Observed) -> Option<&Record> {
    match &seen.record {
        Found::Record(record) => Some(record),
        _ => None,
    }
}

fn is_complete(seen: &Observed, members: usize) -> bool {
    record(seen).is_some_and(|record| {
        let quorum = u32::try_from(members.div_ceil(2)).unwrap();
        let full = record.at(Stage::Full).count();
        record.phase == Phase::Steady && (full, record.members.len(), record.quorum) == (members, members, quorum)
    })
}
