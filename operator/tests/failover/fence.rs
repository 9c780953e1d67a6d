//! What starts takes no write, answers no read and feeds nobody; who has no business with replication gets none.

use crate::operator::{Operator, settled};
use crate::pod::PORT;
use crate::support::{Client, wait};
use crate::world::{Disk, World};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A replica has tried to attach there, and was turned away.
fn await_rebuff(world: &World, ordinal: u32, user: &str) {
    wait("a replica to try", || {
        world.application(ordinal).call(&["ACL", "LOG"]).contains(user)
    });
}

/// How often a fenced one turned somebody away.
fn misdirected(world: &World, ordinal: u32) -> u32 {
    let count = world.info(ordinal, "errorstat_MASTERDOWN");
    count.strip_prefix("count=").map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn d09_f01_a_master_that_comes_back_empty_wipes_nobody() {
    let (mut world, mut operator) = settled(3).await;
    world.write_to_all(50);
    let keys = world.info(1, "db0");
    world.kill(0);
    world.start(0);
    let mut client = world.application(0);
    assert!(client.call(&["SET", "a", "1"]).starts_with("-READONLY"));
    assert!(client.call(&["GET", "a"]).starts_with("-MASTERDOWN"));
    // its own read, and at least twice what each replica says first
    wait("the replicas to try", || misdirected(&world, 0) >= 5);
    assert_eq!(
        (world.info(1, "db0"), world.info(2, "db0")),
        (keys.clone(), keys.clone())
    );
    operator.settle(&world, 2).await;
    assert_ne!(world.master(), 0);
    assert_eq!(world.info(0, "db0"), keys);
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn f17_a_restarted_master_answers_with_errors_and_never_with_nothing() {
    let (mut world, mut operator) = settled(3).await;
    world.write(1);
    let (address, stop) = (world.pods[&0].address(), Arc::new(AtomicBool::new(false)));
    let stopped = stop.clone();
    let reader = std::thread::spawn(move || {
        let mut replies = vec![];
        while !stopped.load(Ordering::Relaxed) {
            let Some(mut client) = Client::try_connect(address) else {
                continue;
            };
            replies.push(client.call(&["GET", "key:0"]));
            std::thread::sleep(Duration::from_millis(1));
        }
        replies
    });
    world.kill(0);
    world.start(0);
    wait("a read of the fenced one", || misdirected(&world, 0) > 0);
    operator.settle(&world, 2).await;
    stop.store(true, Ordering::Relaxed);
    let replies = reader.join().unwrap();
    assert!(replies.iter().any(|reply| reply.starts_with("-MASTERDOWN")));
    let expected = |reply: &String| reply == "1" || reply.starts_with('-') || reply.is_empty();
    assert!(replies.iter().all(expected), "{replies:?}");
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn f07_the_address_of_a_dead_master_is_reused_by_another_resource() {
    let (mut world, mut operator) = settled(3).await;
    world.write(20);
    let ip = world.pods[&0].ip;
    world.kill(0);
    // the pods of both have the same uids here, so that only the passwords differ
    let mut other = World::new(2, Disk::Memory).await;
    other.kill(0);
    other.pod(0).ip = ip;
    other.start(0);
    let mut others = Operator::new(&other, "other");
    others.settle(&other, 1).await;
    assert_eq!(other.published(), Some(ip));
    other.write(3);
    await_rebuff(&other, 0, "r-pod-1");
    assert_eq!(other.info(0, "connected_slaves"), "1");
    world.notice_end(0);
    operator.settle(&world, 1).await;
    assert_ne!(world.published(), Some(ip));
    assert_eq!(other.info(0, "connected_slaves"), "1");
    world.assert_nothing_lost();
    other.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn f13_an_application_cannot_pass_for_a_replica() {
    let (mut world, _operator) = settled(2).await;
    world.write(1);
    let mut client = world.application(0);
    world.kill(1);
    wait("the replica to be gone", || world.info(0, "connected_slaves") == "0");
    for words in [
        &["REPLCONF", "listening-port", "1"][..],
        &["PSYNC", "?", "-1"],
        &["SYNC"],
        &["REPLCONF", "ACK", "9999"],
    ] {
        let mut impostor = Client::connect(SocketAddr::new(world.pods[&0].ip, PORT));
        let reply = impostor.call(words);
        assert!(reply.starts_with("-NOPERM"), "{words:?}: {reply}");
    }
    assert_eq!(world.info(0, "connected_slaves"), "0");
    assert_eq!(client.call(&["WAIT", "1", "50"]), "0");
    let reply = client.call(&["SET", "a", "2"]);
    assert!(reply.starts_with("-NOREPLICAS"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f18_readers_of_healthy_replicas_are_not_cut() {
    let (mut world, mut operator) = settled(3).await;
    world.write(1);
    let mut readers = [world.application(1), world.application(2)];
    let ids = readers.each_mut().map(|reader| reader.call(&["CLIENT", "ID"]));
    world.kill(0);
    operator.until_replaced(&world, 0).await;
    world.start(0);
    operator.settle(&world, 2).await;
    for (reader, id) in readers.iter_mut().zip(ids) {
        assert_eq!(reader.call(&["GET", "key:0"]), "1");
        assert_eq!(reader.call(&["CLIENT", "ID"]), id);
    }
    world.assert_nothing_lost();
}
