//! Somebody else was there: a failover by hand, a record that is lost or old, another address.

use crate::operator::{Operator, settled};
use crate::support::free_address;
use crate::world::World;
use serde_json::Value;

fn follow(world: &World, ordinal: u32, master: u32) {
    let host = world.pods[&master].ip.to_string();
    let reply = world.as_operator(ordinal).call(&["REPLICAOF", &host, "6379"]);
    assert!(reply.starts_with("OK"), "{reply}");
}

/// Beside the first start, one event says who was adopted, and why that was needed.
async fn assert_adopted(world: &World, operator: &mut Operator, words: &str) {
    let notes = operator.told_as(world, "TermBegan").await;
    let adopted: Vec<_> = notes.iter().filter(|note| note.starts_with("Adopted: ")).collect();
    assert!(adopted.len() == 1 && adopted[0].contains(words), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e19_a_failover_by_hand_while_no_operator_runs() {
    let (world, operator) = settled(3).await;
    world.write_to_all(20);
    drop(operator);
    assert_eq!(world.as_operator(1).call(&["REPLICAOF", "NO", "ONE"]), "OK");
    follow(&world, 0, 1);
    follow(&world, 2, 1);
    assert_eq!(world.application(1).call(&["SET", "by hand", "1"]), "OK");
    let mut operator = Operator::new(&world, "two");
    operator.settle(&world, 2).await;
    assert_eq!((world.master(), world.record().term), (1, 2));
    assert_adopted(
        &world,
        &mut operator,
        "redis-a-1 serves although the record named redis-a-0",
    )
    .await;
    for ordinal in 0..3 {
        assert_eq!(world.application(ordinal).call(&["GET", "by hand"]), "1");
    }
    world.write(5);
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn e08_of_two_masters_the_one_promoted_later_stays() {
    let (world, operator) = settled(3).await;
    world.write_to_all(20);
    drop(operator);
    assert_eq!(world.as_operator(1).call(&["REPLICAOF", "NO", "ONE"]), "OK");
    follow(&world, 2, 1);
    world.set(0, "min-replicas-to-write", "0");
    for (ordinal, key) in [(0, "stale"), (1, "by hand")] {
        assert_eq!(world.application(ordinal).call(&["SET", key, "1"]), "OK");
    }
    let mut client = world.application(0);
    assert_eq!(client.call(&["PING"]), "PONG");
    let mut operator = Operator::new(&world, "two");
    operator.settle(&world, 2).await;
    assert_eq!(world.master(), 1);
    assert_eq!(client.call(&["PING"]), "", "the clients of the other one were cut");
    for ordinal in 0..3 {
        let said = ["by hand", "stale"].map(|key| world.application(ordinal).call(&["EXISTS", key]));
        assert_eq!(said, ["1", "0"], "{ordinal}");
    }
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn e17_those_who_are_left_follow_each_other() {
    let (mut world, operator) = settled(3).await;
    world.write_to_all(20);
    drop(operator);
    world.kill(0);
    follow(&world, 1, 2);
    follow(&world, 2, 1);
    let mut operator = Operator::new(&world, "two");
    operator.until_replaced(&world, 0).await;
    world.start(0);
    operator.settle(&world, 2).await;
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn e23_the_record_is_lost_while_the_master_serves() {
    let (world, operator) = settled(3).await;
    world.write_to_all(20);
    drop(operator);
    world.lose_record();
    let syncs = world.info(0, "sync_full");
    let mut operator = Operator::new(&world, "two");
    operator.settle(&world, 2).await;
    assert_eq!(world.master(), 0);
    assert_eq!(world.info(0, "sync_full"), syncs, "nobody had to begin again");
    assert_adopted(&world, &mut operator, "redis-a-0 serves and there was no record of it").await;
    world.write(5);
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn e23_the_record_is_one_of_an_older_backup() {
    let (mut world, mut operator) = settled(3).await;
    world.write_to_all(20);
    let mut old = Value::Null;
    world.edit(|redis| old = redis["status"]["record"].clone());
    world.kill(0);
    operator.until_replaced(&world, 0).await;
    world.start(0);
    operator.settle(&world, 2).await;
    world.write_to_all(20);
    let master = world.master();
    drop(operator);
    world.edit(|redis| redis["status"]["record"] = old);
    let mut operator = Operator::new(&world, "two");
    operator.settle(&world, 2).await;
    assert_eq!(world.master(), master);
    let words = format!("redis-a-{master} serves although the record named redis-a-0");
    assert_adopted(&world, &mut operator, &words).await;
    world.write(5);
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn f16_the_masters_pod_comes_back_at_another_address() {
    let (mut world, mut operator) = settled(3).await;
    world.write(20);
    world.kill(0);
    world.pod(0).ip = free_address();
    world.start(0);
    operator.settle(&world, 2).await;
    assert_ne!(world.master(), 0);
    world.write(5);
    world.assert_nothing_lost();
}
