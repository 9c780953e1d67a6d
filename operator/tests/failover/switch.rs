//! Planned changes of master lose nothing, plain writes included.

use crate::operator::settled;
use redis_operator_core::status::Change;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn r01_a_master_that_is_deleted_hands_over_and_loses_nothing() {
    let (mut world, mut operator) = settled(3).await;
    world.write(20);
    let writer = world.ledger.keep_writing(&world.api, 0);
    for round in 0..3 {
        let master = world.master();
        world.delete(master);
        operator.until_replaced(&world, master).await;
        assert_eq!(world.info(master, "role"), "slave", "its preStop may go on");
        // the pod goes, and another one comes
        world.remove(master);
        world.create(master);
        world.start(master);
        operator.settle(&world, 2).await;
        let Some(Change::Switchover(last)) = operator.held.telling.last() else {
            panic!("none was planned")
        };
        assert!(last.reason.as_ref().unwrap().starts_with("Switchover"), "{last:?}");
        assert_eq!(world.record().term, 2 + round);
    }
    let gap = writer.stop();
    world.assert_nothing_lost();
    // less than the time for which clients may be paused: they were let go as soon as the successor was there; a second
    // may be that of an acknowledgement, which comes once a second, to a guard that was just raised
    assert!(gap < Duration::from_secs(2), "nobody could write for {gap:?}");
}
