//! Alive, although it cannot say much: running a script, loading.

use crate::operator::{Operator, settled, settled_on};
use crate::support::wait;
use crate::world::Disk;
use redis_operator_core::observed::Reach;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn d03_a_master_that_runs_a_script_of_four_seconds_is_no_failover() {
    let (world, mut operator) = settled(3).await;
    world.write(5);
    let mut script = world.application(0);
    script.send(&["EVAL", "while true do end", "0"]);
    operator.stays_calm(&world, Duration::from_secs(4)).await;
    assert!(world.application(0).call(&["PING"]).starts_with("-BUSY"));
    assert_eq!(world.application(0).call(&["SCRIPT", "KILL"]), "OK");
    assert!(script.reply().starts_with('-'));
    operator.settle(&world, 2).await;
    assert_eq!((world.master(), world.record().term), (0, 1));
    world.write(5);
    world.assert_nothing_lost();
}

/// All have to begin again from their snapshots, and only the one that loads slowly has the last write.
#[tokio::test(flavor = "multi_thread")]
async fn d10_e12_one_that_loads_is_waited_for() {
    let (mut world, operator) = settled_on(3, Disk::Rdb).await;
    world.write_to_all(20);
    world.fill(100, 2000);
    world.write_to_all(1);
    drop(operator);
    for ordinal in [1, 2, 0] {
        if ordinal == 0 {
            world.set(0, "min-replicas-to-write", "0");
            assert_eq!(world.application(0).call(&["SET", "last", "1"]), "OK");
        }
        wait("the snapshot for the replicas", || {
            world.info(ordinal, "rdb_bgsave_in_progress") == "0"
        });
        // it looks after its clients as often as it has read a kilobyte
        world.set(ordinal, "rdbcompression", "no");
        assert_eq!(world.application(ordinal).call(&["SAVE"]), "OK");
        world.kill(ordinal);
    }
    let slowly = "key-load-delay 20000\nloading-process-events-interval-bytes 1024";
    world.start_with(0, slowly);
    world.start(1);
    world.start(2);
    let mut operator = Operator::new(&world, "two");
    let is_loading = |reach: &Reach| match reach {
        Reach::Answers(answer) => answer.replication.loading,
        Reach::Alive(said) => said.contains("LOADING"),
        Reach::Untried | Reach::Refused { .. } | Reach::Silent { .. } => false,
    };
    operator
        .until(&world, "one to load while the others are up", |seen, _| {
            let up = |pod: &str| matches!(&seen.instances[pod].reach, Reach::Answers(it) if !it.replication.loading);
            is_loading(&seen.instances["redis-a-0"].reach) && up("redis-a-1") && up("redis-a-2")
        })
        .await;
    operator.stays_calm(&world, Duration::from_secs(1)).await;
    assert_eq!(world.info(0, "loading"), "1", "it took longer than the look at it");
    operator.settle(&world, 2).await;
    assert_eq!((world.master(), world.record().term), (0, 2));
    assert_eq!(world.application(1).call(&["GET", "last"]), "1");
    world.assert_nothing_lost();
}
