//! Full synchronisation under way, and values that come in half.

use crate::operator::{Operator, settled, settled_on};
use crate::support::wait;
use crate::world::{Disk, World};
use std::time::{Duration, Instant};

/// Full syncs take several seconds each from now on, and data arrives all the time. Without a delay to gather them, the
/// master serves one replica after the other.
pub(crate) fn synchronise_slowly(world: &World, each_key: Duration) {
    world.set(world.master(), "rdbcompression", "no");
    world.set(world.master(), "rdb-key-save-delay", &each_key.as_micros().to_string());
}

/// All that are attached wait for a full sync or are in the middle of it.
pub(crate) fn all_synchronise(world: &World) -> bool {
    let others = || [1, 2].into_iter();
    world.info(0, "connected_slaves") == "2"
        && others().all(|it| world.info(it, "master_link_status") == "down")
        && others().any(|it| world.info(it, "master_sync_in_progress") == "1")
}

/// A single master with data on its volume, and two more in their first full sync.
async fn two_synchronise() -> (World, Operator) {
    let (mut world, mut operator) = settled_on(1, Disk::Rdb).await;
    world.write(20);
    world.fill(60, 20_000);
    assert_eq!(world.application(0).call(&["SAVE"]), "OK");
    synchronise_slowly(&world, Duration::from_millis(50));
    world.scale(3);
    for ordinal in [1, 2] {
        world.create(ordinal);
        world.start(ordinal);
    }
    operator
        .until(&world, "both to synchronise", |_, _| all_synchronise(&world))
        .await;
    (world, operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn d20_a_full_sync_under_way_is_not_disturbed() {
    let (world, mut operator) = two_synchronise().await;
    let syncs = world.info(0, "sync_full");
    operator.stays_calm(&world, Duration::from_secs(2)).await;
    assert!(all_synchronise(&world));
    operator.settle(&world, 2).await;
    assert_eq!(world.info(0, "sync_full"), syncs, "nobody had to begin again");
    assert_eq!((world.master(), world.record().term), (0, 1));
    world.write(5);
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn e07_the_master_dies_during_the_first_full_sync() {
    let (mut world, mut operator) = two_synchronise().await;
    world.kill(0);
    world.notice_end(0);
    let told = operator.stays_calm(&world, Duration::from_secs(3)).await;
    assert!(!told.is_empty(), "a person is told what is missing");
    for ordinal in [1, 2] {
        assert_eq!(world.info(ordinal, "role"), "slave");
    }
    world.start(0);
    operator.settle(&world, 2).await;
    assert_eq!(world.master(), 0);
    world.assert_nothing_lost();
}

/// A replica may have its copy before the master counts it, and until then a write guard would refuse every write.
#[tokio::test(flavor = "multi_thread")]
async fn r03_the_first_replica_stops_no_writes() {
    let (mut world, mut operator) = settled(1).await;
    world.scale(2);
    world.create(1);
    world.start(1);
    operator.settle(&world, 1).await;
    assert_eq!(world.record().quorum, 1);
    assert_eq!(world.application(0).call(&["SET", "x", "1"]), "OK");
}

/// The replicas have the beginning of a value whose end never comes.
#[tokio::test(flavor = "multi_thread")]
async fn d22_the_master_hangs_in_the_middle_of_a_big_value() {
    let (world, mut operator) = settled(3).await;
    world.write_to_all(20);
    let mut client = world.application(0);
    let large = "x".repeat(24 << 20);
    for ordinal in [1, 2] {
        world.pods[&ordinal].stop();
    }
    assert_eq!(client.call(&["SET", "large", &large]), "OK");
    let begun = Instant::now();
    world.pods[&0].stop();
    for ordinal in [1, 2] {
        world.pods[&ordinal].resume();
    }
    let number = |ordinal, field| world.info(ordinal, field).parse::<u64>().unwrap();
    for ordinal in [1, 2] {
        wait("half a value", || {
            number(ordinal, "slave_read_repl_offset") > number(ordinal, "slave_repl_offset")
        });
    }
    operator.until_replaced(&world, 0).await;
    let took = begun.elapsed();
    println!(
        "published {} ms after the stop in the middle of a value",
        took.as_millis()
    );
    assert!(took < Duration::from_secs(6), "{took:?}");
    world.pods[&0].resume();
    operator.settle(&world, 2).await;
    assert_ne!(world.master(), 0);
    assert_eq!(world.application(0).call(&["EXISTS", "large"]), "0");
    world.assert_nothing_lost();
}
