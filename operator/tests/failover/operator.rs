//! The operator: the product's watch, memory, passes and execution, with caches that are never late.

use crate::control::{Pretended, Unfrozen};
use crate::world::{Disk, NAME, World, labelled_masters};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::reflector::store::Writer;
use redis_operator::cluster::Cluster;
use redis_operator::departed::Memories;
use redis_operator::error::Error;
use redis_operator::execute::Done;
use redis_operator::pass::{self, Scene, Settled};
use redis_operator::redis::Login;
use redis_operator::servers::Instances;
use redis_operator::trace::Trace;
use redis_operator::watch::{Clock, Settings, Watch};
use redis_operator::{gather, pods};
use redis_operator_core::api::LastFailover;
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
/// What a condition that must come true is given; far more than it takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often to look where something must not happen.
const OFTEN: Duration = Duration::from_millis(100);

/// One operator process under one lease.
pub(crate) struct Operator {
    /// What it holds between passes.
    pub(crate) held: Held,
    holder: String,
    cluster: Cluster,
    watch: Watch,
    woken: Arc<Notify>,
}

/// What an operator holds between passes.
pub(crate) struct Held {
    /// The last failover that it completed.
    pub(crate) last: Option<LastFailover>,
    /// What it did, for failures.
    pub(crate) log: Vec<String>,
    /// It freezes nobody, and takes these for frozen.
    pub(crate) pretended: Option<Arc<Pretended>>,
    clock: Clock,
    memory: Memory,
    pods: Memories,
    trace: Trace,
}

/// An operator that looks at a world.
struct Leading<'a> {
    world: &'a World,
    operator: &'a Parts<'a>,
    held: &'a mut Held,
}

/// What passes only read.
struct Parts<'a> {
    holder: &'a str,
    cluster: &'a Cluster,
    watch: &'a Watch,
}

impl Scene for Leading<'_> {
    fn memory(&mut self) -> &mut Memory {
        &mut self.held.memory
    }

    async fn observe(&mut self) -> Result<Option<Observed>, Error> {
        let (world, Parts { holder, cluster, watch }) = (self.world, self.operator);
        let redis = world.redis();
        let record = cluster.record(&redis).await?;
        let slice = cluster.slice(world.slice().as_ref()).await?;
        let all = world.pod_objects();
        let instances = all.iter().filter_map(|pod| pods::instance(pod, NAME, None));
        let mut instances = instances.map(|it| (it.pod.clone(), it)).collect();
        let record = gather::ask(watch, &mut instances, record, holder, cluster.reread()).await?;
        if let Some(pretended) = &self.held.pretended {
            pretended.show(&mut instances);
        }
        let (nodes, clock) = (Writer::<Node>::default().as_reader(), Timestamp::now());
        let written = match &record {
            Found::Record(record) => Some(&**record),
            _ => None,
        };
        let now = self.held.clock.now();
        self.held.pods.note(&all, &instances, written, &nodes, clock, now);
        Ok(Some(Observed {
            desired: gather::desired(&redis),
            holder: (*holder).to_owned(),
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
        self.held.trace.observe(seen);
    }

    fn told(&mut self, seen: &Observed, plan: &Plan, step: &Step, done: &Done) {
        let held = &mut *self.held;
        held.log.push(format!("{}: {} {done:?}", plan.why, step.name()));
        assert!(labelled_masters(&self.world.pod_objects()) < 2, "{:#?}", held.log);
        if done.is_ok()
            && let Some((last, _)) = held.trace.done(seen, step, held.clock.now())
        {
            held.last = Some(last);
        }
    }

    fn ended(&mut self, _: &Plan, _: &Done) {}

    fn waits(&self) -> bool {
        self.held.pods.waits()
    }

    async fn settle(&mut self, _: &Observed, _: &Plan) -> Result<Settled, Error> {
        Ok(Settled::Done)
    }
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
            held: Held {
                last: None,
                log: vec![],
                pretended: None,
                clock,
                memory: Memory::default(),
                pods: Memories::default(),
                trace: Trace::default(),
            },
            holder: holder.to_owned(),
            cluster: Cluster::new(world.api.client(), &redis, holder, LIMIT),
            watch: Watch::new(login, Settings::default(), clock, Arc::new(move || wake.notify_one())),
            woken,
        }
    }

    /// The first half of a pass.
    pub(crate) async fn look(&mut self, world: &World) -> (Observed, Plan) {
        let (operator, held) = self.parts();
        let mut scene = Leading {
            world,
            operator: &operator,
            held,
        };
        pass::look(&mut scene).await.unwrap().unwrap()
    }

    /// The second half. After every step at most one pod is labelled master.
    pub(crate) async fn act(&mut self, world: &World, seen: &Observed, plan: &Plan) -> Done {
        let (operator, held) = self.parts();
        let servers = Instances {
            watch: operator.watch,
            key: &world.key,
            redis_uid: "uid-of-a",
        };
        let pretended = held.pretended.clone();
        let mut scene = Leading {
            world,
            operator: &operator,
            held,
        };
        let Some(pretended) = pretended else {
            return pass::act(&mut scene, &servers, operator.cluster, seen, plan).await;
        };
        let servers = Unfrozen { servers, pretended };
        pass::act(&mut scene, &servers, operator.cluster, seen, plan).await
    }

    fn parts(&mut self) -> (Parts<'_>, &mut Held) {
        let Self {
            held,
            holder,
            cluster,
            watch,
            ..
        } = self;
        (Parts { holder, cluster, watch }, held)
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
            let (seen, plan) = self.look(world).await;
            if so(&seen, &plan) {
                return (seen, plan);
            }
            let late = begun.elapsed() > PATIENCE;
            assert!(
                !late,
                "waited in vain for {what}: {:#?}\n{plan:#?}\n{seen:#?}",
                self.held.log
            );
            let done = self.act(world, &seen, &plan).await;
            if let Some(rest) = pass::rest(self.held.pods.waits(), &plan, &done) {
                let _ = timeout(rest, self.woken.notified()).await;
            }
        }
    }

    /// Passes for that long, in which the master is neither replaced nor doubted so far that others are frozen. What was
    /// told to people meanwhile.
    pub(crate) async fn stays_calm(&mut self, world: &World, time: Duration) -> Vec<String> {
        let (term, begun, mut notes) = (world.record().term, Instant::now(), vec![]);
        while begun.elapsed() < time {
            let (seen, plan) = self.look(world).await;
            let record = record(&seen).unwrap();
            assert_eq!(
                (record.term, record.phase),
                (term, Phase::Steady),
                "{:#?}\n{seen:#?}",
                self.held.log
            );
            let done = self.act(world, &seen, &plan).await;
            for note in plan.notes.iter().map(|note| note.message.clone()) {
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
            if let Some(rest) = pass::rest(self.held.pods.waits(), &plan, &done) {
                let _ = timeout(rest.min(OFTEN), self.woken.notified()).await;
            }
        }
        notes
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
