//! Without one of its safeguards the same fault loses acknowledged writes, and the ledger says so: a checker that cannot
//! fail is none. What is left out is left out here, not in the operator: no build of it can be without.

use crate::operator::{Operator, settled};
use crate::world::World;
use redis_operator::execute::{Done, Servers};
use redis_operator::servers::Instances;
use redis_operator_core::observed::{Instance, Reach};
use redis_operator_core::record::{Claim, Process};
use redis_operator_core::replication::NOWHERE;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a client tries to write to one that is no master any more.
const TRIES: Duration = Duration::from_millis(1500);
/// How long WAIT may take.
const SOON: Duration = Duration::from_millis(300);

/// Processes, by run id, that would be frozen if anybody froze them.
#[derive(Default)]
pub(crate) struct Pretended(Mutex<BTreeSet<String>>);

impl Pretended {
    fn add(&self, who: &Process) {
        self.0.lock().unwrap().insert(who.run_id.clone());
    }

    fn remove(&self, who: &Process) {
        self.0.lock().unwrap().remove(&who.run_id);
    }

    /// Shows them to the operator as if they were frozen.
    pub(crate) fn show(&self, instances: &mut BTreeMap<String, Instance>) {
        let pretended = self.0.lock().unwrap();
        for instance in instances.values_mut() {
            let Reach::Answers(answer) = &mut instance.reach else {
                continue;
            };
            let it = &mut answer.replication;
            let Some(upstream) = it.upstream.as_mut().filter(|_| pretended.contains(&it.run_id)) else {
                continue;
            };
            (upstream.host, upstream.port) = (NOWHERE.0.to_owned(), NOWHERE.1);
            (upstream.link_up, upstream.heard_seconds) = (false, None);
        }
    }
}

/// The servers, none of which is ever frozen.
pub(crate) struct Unfrozen<'a> {
    pub(crate) servers: Instances<'a>,
    pub(crate) pretended: Arc<Pretended>,
}

impl Servers for Unfrozen<'_> {
    async fn freeze(&self, who: &Process) -> Done {
        self.pretended.add(who);
        Ok(())
    }

    async fn follow(&self, who: &Process, master: &str) -> Done {
        self.pretended.remove(who);
        self.servers.follow(who, master).await
    }

    async fn promote(&self, claim: &Claim, users: &[String]) -> Done {
        self.pretended.remove(&claim.process);
        self.servers.promote(claim, users).await
    }

    async fn add_user(&self, on: &Process, uid: &str) -> Done {
        self.servers.add_user(on, uid).await
    }

    async fn drop_user(&self, on: &Process, user: &str) -> Done {
        self.servers.drop_user(on, user).await
    }

    async fn pause(&self, who: &Process) -> Done {
        self.servers.pause(who).await
    }

    async fn resume(&self, who: &Process) -> Done {
        self.servers.resume(who).await
    }

    async fn demote(&self, who: &Process) -> Done {
        self.servers.demote(who).await
    }

    async fn guard(&self, on: &Process, replicas: u32, lag: u32) -> Done {
        self.servers.guard(on, replicas, lag).await
    }

    async fn serve(&self, who: &Process) -> Done {
        self.servers.serve(who).await
    }

    async fn priority(&self, on: &Process, priority: u32) -> Done {
        self.servers.priority(on, priority).await
    }

    async fn cut_clients(&self, on: &Process) -> Done {
        self.servers.cut_clients(on).await
    }
}

/// How many acknowledged writes are gone once everybody has rejoined.
async fn lost(world: &World, operator: &mut Operator) -> usize {
    operator.settle(world, 2).await;
    assert_ne!(world.master(), 0);
    let (missing, all) = world.ledger.missing(&mut world.application(world.master()));
    assert!(all > 0, "nothing was acknowledged, so nothing was checked");
    missing.len()
}

/// The master restarts, empty, and its clients are back before anybody has noticed.
async fn lost_at_a_restart(more: &str) -> usize {
    let (mut world, mut operator) = settled(3).await;
    world.write_to_all(20);
    world.kill(0);
    world.start_with(0, more);
    let mut client = world.application(0);
    for _ in 0..10 {
        // what it refuses is not acknowledged
        let _ = world.ledger.write(&mut client, 0, SOON);
    }
    lost(&world, &mut operator).await
}

/// The master hangs, and runs again when its successor is promoted and the other replica not told yet.
async fn lost_by_a_hung_master(freezes: bool) -> usize {
    let (world, mut operator) = settled(3).await;
    if !freezes {
        operator.held.pretended = Some(Arc::default());
    }
    world.write_to_all(20);
    let mut client = world.application(0);
    world.pods[&0].stop();
    let (seen, plan) = operator.until_plan(&world, "publish the new master").await;
    world.pods[&0].resume();
    let begun = Instant::now();
    while begun.elapsed() < TRIES && world.ledger.write(&mut client, 1, SOON).is_err() {
        std::thread::sleep(Duration::from_millis(10));
    }
    operator.act(&world, &seen, &plan).await.unwrap();
    lost(&world, &mut operator).await
}

#[tokio::test(flavor = "multi_thread")]
async fn f01_without_the_fence_writes_are_lost() {
    assert_eq!(lost_at_a_restart("").await, 0);
    assert_eq!(lost_at_a_restart("replicaof no one").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn f06_without_the_freeze_writes_are_lost() {
    assert_eq!(lost_by_a_hung_master(true).await, 0);
    assert_eq!(lost_by_a_hung_master(false).await, 1);
}
