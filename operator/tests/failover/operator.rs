//! The operator: the product's watch, memory, passes and execution.

use crate::control::Unfrozen;
use crate::scene::{Held, Leading};
use crate::support::PATIENCE;
use crate::world::{Disk, World};
use redis_operator::cluster::Cluster;
use redis_operator::error::Error;
use redis_operator::events::{Events, Kind};
use redis_operator::execute::Done;
use redis_operator::pass::{self, Scene};
use redis_operator::redis::Login;
use redis_operator::servers::Instances;
use redis_operator::watch::{Settings, Watch};
use redis_operator_core::names;
use redis_operator_core::observed::Observed;
use redis_operator_core::plan::Plan;
use redis_operator_core::record::{Found, Phase, Record, Stage};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_millis(500);
/// How often to look where something must not happen.
const OFTEN: Duration = Duration::from_millis(100);

/// One operator process under one lease.
pub(crate) struct Operator {
    /// What it holds between passes.
    pub(crate) held: Held,
    holder: String,
    cluster: Cluster,
    watch: Watch,
    events: Events,
    asked: u32,
    woken: Arc<Notify>,
}

impl Operator {
    pub(crate) fn new(world: &World, holder: &str) -> Self {
        let woken = Arc::new(Notify::new());
        let wake = woken.clone();
        let login = Login {
            user: names::USER_OPERATOR.to_owned(),
            password: world.operator_password().to_owned(),
        };
        let (held, redis) = (Held::default(), world.redis());
        let clock = held.clock;
        Self {
            held,
            holder: holder.to_owned(),
            cluster: Cluster::new(world.api.client(), &redis, holder, LIMIT),
            watch: Watch::new(login, Settings::default(), clock, Arc::new(move || wake.notify_one())),
            events: Events::start(world.api.client(), holder, LIMIT),
            asked: 0,
            woken,
        }
    }

    /// The first half of a pass.
    pub(crate) async fn look(&mut self, world: &World) -> (Observed, Plan) {
        self.try_look(world).await.unwrap()
    }

    async fn try_look(&mut self, world: &World) -> Result<(Observed, Plan), Error> {
        pass::look(&mut self.scene(world)).await.map(Option::unwrap)
    }

    /// The second half. After every step at most one pod is labelled master.
    pub(crate) async fn act(&mut self, world: &World, seen: &Observed, plan: &Plan) -> Done {
        let mut scene = self.scene(world);
        let servers = Instances {
            watch: scene.watch,
            key: &world.key,
            redis_uid: "uid-of-a",
        };
        let (cluster, pretended) = (scene.cluster, scene.held.pretended.clone());
        let Some(pretended) = pretended else {
            return pass::act(&mut scene, &servers, cluster, seen, plan).await;
        };
        let servers = Unfrozen { servers, pretended };
        pass::act(&mut scene, &servers, cluster, seen, plan).await
    }

    fn scene<'a>(&'a mut self, world: &'a World) -> Leading<'a> {
        Leading {
            world,
            holder: &self.holder,
            cluster: &self.cluster,
            watch: &self.watch,
            events: &self.events,
            held: &mut self.held,
        }
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
            let late = begun.elapsed() > PATIENCE;
            let (seen, plan) = match self.try_look(world).await {
                Ok(looked) => looked,
                Err(error) => {
                    assert!(!late, "waited in vain for {what}: {error}");
                    let _ = timeout(pass::AFTER_FAILURE, self.woken.notified()).await;
                    continue;
                }
            };
            if so(&seen, &plan) {
                return (seen, plan);
            }
            assert!(
                !late,
                "waited in vain for {what}: {:#?}\n{plan:#?}\n{seen:#?}",
                self.held.log
            );
            let done = self.act(world, &seen, &plan).await;
            self.rest(world, &seen, &plan, &done, Duration::MAX).await;
        }
    }

    /// Tells people, and waits for a wake-up, if another pass does not follow at once.
    async fn rest(&mut self, world: &World, seen: &Observed, plan: &Plan, done: &Done, most: Duration) {
        let mut scene = self.scene(world);
        let Some(rest) = pass::rest(scene.waits(), plan, done) else {
            return;
        };
        scene.settle(seen, plan).await.unwrap();
        let _ = timeout(rest.min(most), self.woken.notified()).await;
    }

    /// One pass, and a short rest if it has one.
    pub(crate) async fn rests(&mut self, world: &World) -> (Observed, Plan) {
        let (seen, plan) = self.look(world).await;
        let done = self.act(world, &seen, &plan).await;
        self.rest(world, &seen, &plan, &done, OFTEN).await;
        (seen, plan)
    }

    /// Every event that was sent, with its reason and its note.
    pub(crate) async fn told(&mut self, world: &World) -> Vec<(String, String)> {
        // they are sent one after the other
        self.asked += 1;
        let last = ("Last".to_owned(), self.asked.to_string());
        self.events
            .tell(&world.redis(), Kind::Normal, &last.0, "Test", last.1.clone());
        let begun = Instant::now();
        loop {
            let mut all = world.events();
            if all.contains(&last) {
                all.retain(|(reason, _)| *reason != last.0);
                return all;
            }
            assert!(begun.elapsed() < PATIENCE, "the last event does not arrive: {all:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The notes of the events with this reason.
    pub(crate) async fn told_as(&mut self, world: &World, reason: &str) -> Vec<String> {
        let all = self.told(world).await.into_iter();
        all.filter(|(it, _)| it == reason).map(|(_, note)| note).collect()
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
            self.rest(world, &seen, &plan, &done, OFTEN).await;
        }
        notes
    }

    /// Passes for that long in which no step succeeds, for the API server is away.
    pub(crate) async fn is_powerless(&mut self, world: &World, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            if let Ok((seen, plan)) = self.try_look(world).await {
                let done = self.act(world, &seen, &plan).await;
                assert!(plan.steps.is_empty() || done.is_err(), "{:#?}", self.held.log);
            }
            let _ = timeout(pass::AFTER_FAILURE, self.woken.notified()).await;
        }
    }

    /// Passes until nothing is left to do and that many members are full, each with its label.
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
    let labels = seen.instances.values().filter_map(|it| it.label.as_deref());
    let labelled = labels.filter(|label| *label == names::ROLE_REPLICA).count();
    record(seen).is_some_and(|record| {
        let quorum = u32::try_from(members.div_ceil(2)).unwrap();
        let full = record.at(Stage::Full).count();
        let counts = (full, labelled, record.members.len(), record.quorum);
        record.phase == Phase::Steady && counts == (members, members, members, quorum)
    })
}
