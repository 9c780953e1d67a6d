//! An operator that sleeps between its decision and its deeds, and wakes when its successor has finished.

use crate::operator::{Operator, settled};
use crate::world::World;
use futures::future::join_all;
use redis_operator_core::observed::Observed;
use redis_operator_core::plan::{Plan, Step};
use serde_json::Value;

/// All that must not change: record, slice, and what the servers are.
fn state(world: &World) -> (Value, Value, Vec<(String, String)>) {
    let record = serde_json::to_value(world.record()).unwrap();
    let slice = serde_json::to_value(world.slice()).unwrap();
    let server = |ordinal: &u32| (world.info(*ordinal, "role"), world.info(*ordinal, "master_host"));
    (record, slice, world.pods.keys().map(server).collect())
}

/// What a late label may change, until the other operator sees it.
fn roles(world: &World) -> Vec<Option<String>> {
    world.pods.keys().map(|ordinal| world.role(*ordinal)).collect()
}

/// The old operator fails over, falls asleep with its plan number `until` in hand and wakes after its successor has
/// completed the failover. False if it had nothing left to do.
async fn sleeps_with_plan(until: usize) -> bool {
    let (mut world, mut old) = settled(3).await;
    world.write(20);
    world.kill(0);
    world.start(0);
    let has_next = |_: &Observed, plan: &Plan| !plan.steps.is_empty() || plan.why.is_empty();
    let mut done = 0;
    let (seen, plan) = loop {
        let (seen, plan) = old.until(&world, "its next plan", has_next).await;
        if plan.steps.is_empty() || done == until {
            break (seen, plan);
        }
        done += usize::from(old.act(&world, &seen, &plan).await.is_ok());
    };
    if plan.steps.is_empty() {
        return false;
    }
    let mut new = Operator::new(&world, "two");
    new.settle(&world, 2).await;
    world.write(5);
    let (before, labels) = (state(&world), roles(&world));
    for step in plan.steps {
        let harmless = matches!(step, Step::Label { .. } | Step::TouchPod { .. });
        let one = Plan {
            steps: vec![step],
            why: plan.why,
            ..Plan::default()
        };
        let done = old.act(&world, &seen, &one).await;
        assert!(done.is_err() || harmless, "{one:?}");
    }
    assert_eq!(before, state(&world));
    new.settle(&world, 2).await;
    // it finds out by itself, and does nothing more
    let (_, plan) = old.look(&world).await;
    assert_eq!((plan.steps, plan.why), (vec![], "succeeded by another operator"));
    assert_eq!((before, labels), (state(&world), roles(&world)));
    world.assert_nothing_lost();
    true
}

// each of them blocks a thread of its own
#[tokio::test(flavor = "multi_thread", worker_threads = 12)]
async fn f14_f19_a_late_operator_does_no_harm() {
    let slept = join_all((0..6).map(|plan| tokio::spawn(sleeps_with_plan(plan)))).await;
    let slept: Vec<_> = slept.into_iter().map(Result::unwrap).collect();
    assert!(slept.iter().all(|slept| *slept), "{slept:?}");
}
