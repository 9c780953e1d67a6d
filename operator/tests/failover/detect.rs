//! A first start, and a master that ends.

use crate::operator::{Operator, settled};
use crate::world::{Disk, World};
use redis_operator::trace::Cause;
use redis_operator_core::record::Record;
use redis_operator_core::status::Change;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn e01_first_start() {
    let mut world = World::new(3, Disk::Memory).await;
    for ordinal in 0..3 {
        let mut client = world.application(ordinal);
        assert!(client.call(&["SET", "a", "1"]).starts_with("-READONLY"));
        assert!(client.call(&["GET", "a"]).starts_with("-MASTERDOWN"));
    }
    // one that nobody asked for
    world.create(3);
    world.start(3);
    let mut operator = Operator::new(&world, "one");
    operator.settle(&world, 2).await;
    assert_eq!(world.master(), 0);
    let record = world.record();
    assert_eq!((record.term, record.quorum), (1, 1));
    let guard = world.as_operator(0).call(&["CONFIG", "GET", "min-replicas-to-write"]);
    assert_eq!(guard, "min-replicas-to-write\n1");
    world.write(10);
    for (ordinal, role) in [
        (0, Some("master")),
        (1, Some("replica")),
        (2, Some("replica")),
        (3, None),
    ] {
        assert_eq!(world.role(ordinal).as_deref(), role, "{ordinal}");
        let reply = world.application(ordinal).call(&["GET", "a"]);
        assert_eq!(reply == "(nil)", ordinal < 3, "{ordinal} said {reply}");
    }
    assert_eq!(world.info(0, "connected_slaves"), "2");
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn d01_the_master_is_killed() {
    let (mut world, mut operator) = settled(3).await;
    world.write(20);
    let writer = world.ledger.keep_writing(&world.api, 1);
    let begun = Instant::now();
    world.kill(0);
    operator.until_replaced(&world, 0).await;
    let published = begun.elapsed();
    operator
        .until(&world, "the sibling to be full", |_, _| world.record().quorum == 1)
        .await;
    let gap = writer.stop();
    let master = world.master();
    assert_ne!(master, 0);
    assert_eq!(
        world.info(master, "sync_partial_ok"),
        "1",
        "the sibling resynchronised partially"
    );
    assert_eq!(world.info(master, "sync_full"), "0");
    assert_eq!(operator.held.telling.cause(), Some(Cause::Ended));
    let Some(Change::Failover(last)) = operator.held.telling.last() else {
        panic!("it was planned")
    };
    println!(
        "published {} ms after the kill (noticed by {:?} ms after its last answer, then elected {:?}, promoted {:?}, published {:?} ms); write gap {} ms",
        published.as_millis(),
        last.noticed_ms,
        last.elected_ms,
        last.promoted_ms,
        last.published_ms,
        gap.as_millis()
    );
    assert_eq!(last.from.as_deref(), Some("redis-a-0"));
    assert_eq!((last.to, last.term), (Some(format!("redis-a-{master}")), Some(2)));
    let stages = [Some(0), last.elected_ms, last.promoted_ms, last.published_ms];
    assert!(stages.iter().all(Option::is_some) && stages.is_sorted(), "{stages:?}");
    assert!(last.published_ms.unwrap() <= i64::try_from(published.as_millis()).unwrap());
    assert!(last.noticed_ms.is_some(), "it had answered before");
    world.start(0);
    operator.settle(&world, 2).await;
    assert_eq!(world.master(), master);
    world.assert_nothing_lost();
}

/// More than the sockets between them take: the rest ends with the process.
#[tokio::test(flavor = "multi_thread")]
async fn d01_what_a_master_could_not_send_before_it_was_killed_is_counted() {
    let (mut world, mut operator) = settled(3).await;
    world.set(0, "min-replicas-to-write", "0");
    world.set(0, "repl-ping-replica-period", "3600");
    for ordinal in [1, 2] {
        world.pods[&ordinal].stop();
    }
    let value = "x".repeat(40_000_000);
    assert_eq!(world.application(0).call(&["SET", "big", &value]), "OK");
    operator.look(&world).await;
    let shown: i64 = world.info(0, "master_repl_offset").parse().unwrap();
    world.kill(0);
    for ordinal in [1, 2] {
        world.pods[&ordinal].resume();
    }
    operator.until_replaced(&world, 0).await;
    let Some(Change::Failover(last)) = operator.held.telling.last() else {
        panic!("it was planned")
    };
    let next: i64 = world.info(world.master(), "second_repl_offset").parse().unwrap();
    assert_eq!(last.bytes_possibly_lost, Some(shown - (next - 1)));
    assert!(last.bytes_possibly_lost > Some(40_000_000), "{last:?}");
    let notes = operator.told_as(&world, "FailedOver").await;
    let bytes = format!("{} bytes of its stream", shown - (next - 1));
    assert!(notes.len() == 1 && notes[0].contains(&bytes), "{notes:?}");
    world.start(0);
    operator.settle(&world, 2).await;
}

/// A chart claims a pod for itself, or a person sets it aside: the cache shows that as a deletion, and the process lives.
#[tokio::test(flavor = "multi_thread")]
async fn f08_a_pod_without_its_labels_is_what_it_was() {
    let (world, mut operator) = settled(3).await;
    world.write(5);
    let (master, record) = (world.master(), world.record());
    world.unlabel(master);
    world.unlabel((master + 1) % 3);
    operator.stays_calm(&world, Duration::from_secs(2)).await;
    assert_eq!(world.master(), master);
    let members = |record: &Record| record.members.values().cloned().collect::<Vec<_>>();
    assert_eq!(members(&world.record()), members(&record));
    world.write(5);
    world.assert_nothing_lost();
}
