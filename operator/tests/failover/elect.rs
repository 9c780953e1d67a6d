//! Who is promoted.

use crate::operator::{Operator, settled};
use crate::support::{Server, operator as owner, wait};
use crate::world::World;
use redis_operator_core::plan::Reason;

/// Two that are settled, with writes, and a third that is on record as a member but was never told to follow; the master
/// has ended.
async fn with_straggler(prepare: impl AsyncFnOnce(&World)) -> (World, Operator) {
    let (mut world, mut operator) = settled(2).await;
    world.write(1);
    world.create(2);
    world.start(2);
    prepare(&world).await;
    world.scale(3);
    operator.until_plan(&world, "follow the master").await;
    world.write(20);
    world.kill(0);
    world.notice_end(0);
    (world, operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn e03_eligibility_comes_before_priority() {
    let (world, mut operator) = with_straggler(async |world| world.prefer(&[(2, 10)])).await;
    operator.until_replaced(&world, 0).await;
    assert_eq!(world.master(), 1);
    operator.settle(&world, 1).await;
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn e06_history_comes_before_offset() {
    let (world, mut operator) = with_straggler(async |world| {
        let old = Server::open();
        let mut client = world.as_operator(2);
        let login = owner();
        let attach = [
            "CONFIG",
            "SET",
            "masteruser",
            &login.user,
            "masterauth",
            &login.password,
        ];
        assert_eq!(client.call(&attach), "OK");
        assert_eq!(
            client.call(&["REPLICAOF", &old.host(), &old.address().port().to_string()]),
            "OK"
        );
        wait("the old link", || world.info(2, "master_link_status") == "up");
        let mut writer = old.guest();
        assert_eq!(writer.call(&["SET", "old", &"x".repeat(100_000)]), "OK");
        // whoever holds keys of an unrelated history stays out
        assert_eq!(writer.call(&["DEL", "old"]), "1");
        assert_eq!(writer.call(&["WAIT", "1", "30000"]), "1");
        assert_eq!(client.call(&["REPLICAOF", "127.0.0.1", "1"]), "OK");
    })
    .await;
    let offset = |ordinal| world.info(ordinal, "slave_repl_offset").parse::<u64>().unwrap();
    assert!(offset(2) > offset(1), "{} {}", offset(2), offset(1));
    operator.until_replaced(&world, 0).await;
    assert_eq!(world.master(), 1);
    operator.settle(&world, 1).await;
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn e05_priority_zero_is_never_promoted() {
    let (mut world, mut operator) = settled(3).await;
    world.write_to_all(20);
    world.prefer(&[(1, 0), (2, 0)]);
    world.kill(0);
    operator
        .until(&world, "a note that there is no candidate", |_, plan| {
            plan.steps.is_empty() && plan.notes.iter().any(|note| note.reason == Reason::NoCandidate)
        })
        .await;
    assert_eq!(
        (world.info(1, "role"), world.info(2, "role")),
        ("slave".to_owned(), "slave".to_owned())
    );
    world.prefer(&[(1, 0)]);
    operator.until_replaced(&world, 0).await;
    assert_eq!(world.master(), 2);
    world.start(0);
    operator.settle(&world, 2).await;
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn e21_the_first_failure_right_after_the_first_replicas_attached() {
    let mut world = World::new(3, crate::world::Disk::Memory).await;
    let mut operator = Operator::new(&world, "one");
    let first = |world: &World| world.info(0, "master_replid");
    operator
        .until(&world, "a published master", |_, _| world.published().is_some())
        .await;
    let drawn = first(&world);
    operator
        .until(&world, "the first quorum", |_, _| world.record().quorum == 1)
        .await;
    assert_ne!(drawn, first(&world), "the first replica made it draw another id");
    assert_eq!(world.record().id, first(&world));
    world.write(1);
    world.kill(0);
    operator.until_replaced(&world, 0).await;
    world.start(0);
    operator.settle(&world, 2).await;
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn e21_a_failure_before_the_new_id_is_recorded() {
    let mut world = World::new(3, crate::world::Disk::Memory).await;
    let mut operator = Operator::new(&world, "one");
    operator
        .until_plan(&world, "the master drew a new replication id")
        .await;
    world.kill(0);
    world.start(0);
    operator.settle(&world, 2).await;
    world.write(5);
    world.assert_nothing_lost();
}
