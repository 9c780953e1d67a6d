//! What takes a minute. Tests begin in the order of their names, and this one is not to be the last.

use crate::operator::settled;
use redis_operator_core::observed::Instance;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn in_sync_makes_the_one_of_better_priority_master_without_a_restart_and_loses_nothing() {
    let (world, mut operator) = settled(3).await;
    world.write(20);
    let run = world.info(2, "run_id");
    let writer = world.ledger.keep_writing(&world.api, 0);
    world.prefer(&[(2, 10), (1, 0)]);
    operator
        .until(&world, "priorities that are set", |seen, plan| {
            let set = |it: &Instance| it.answer().map(|answer| answer.replication.priority) == it.wanted_priority;
            plan.steps.is_empty() && seen.instances.values().all(set)
        })
        .await;
    let set = |ordinal| world.as_operator(ordinal).call(&["CONFIG", "GET", "replica-priority"]);
    assert!(
        set(2).ends_with("10") && set(1).ends_with('0') && set(0).ends_with("100"),
        "{}",
        set(2)
    );
    operator.stays_calm(&world, Duration::from_secs(50)).await;
    operator.until_replaced(&world, 0).await;
    assert_eq!(world.master(), 2);
    operator.settle(&world, 2).await;
    assert_eq!((world.master(), world.info(2, "run_id")), (2, run));
    let gap = writer.stop();
    world.assert_nothing_lost();
    assert!(gap < Duration::from_secs(2), "nobody could write for {gap:?}");
}
