//! Packets that do not arrive. Each test runs in a network namespace of its own, as root.

use crate::apart::{Rule, is_apart};
use crate::operator::settled;
use crate::support::{Client, wait};
use crate::sync::{all_synchronise, synchronise_slowly};
use crate::world::World;
use redis_operator_core::observed::Reach;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longer than any silence that is waited for.
const LONG: Duration = Duration::from_secs(6);

/// A client beside the master, at an address that nobody else has.
async fn beside_the_master(world: &World) -> Client {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 255, 0, 1], 0))).unwrap();
    let stream = socket.connect(world.pods[&0].address()).await.unwrap();
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    Client::over(stream)
}

/// The operator alone cannot reach the master.
async fn only_the_operator_is_cut_off<R>(rules: impl FnOnce(&World) -> R) {
    let (world, mut operator) = settled(3).await;
    world.write(10);
    let mut client = beside_the_master(&world).await;
    let cut = rules(&world);
    let told = operator.stays_calm(&world, LONG).await;
    assert!(told.iter().any(|it| it.contains("cut off from it")), "{told:?}");
    for ordinal in [1, 2] {
        assert_eq!(world.info(ordinal, "master_link_status"), "up");
    }
    assert_eq!(client.call(&["SET", "a", "1"]), "OK");
    assert_eq!(client.call(&["WAIT", "2", "5000"]), "2");
    drop(cut);
    operator.settle(&world, 2).await;
    assert_eq!((world.master(), world.record().term), (0, 1));
    world.write(5);
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn d04_the_operator_alone_loses_its_way_to_the_master() {
    if is_apart("network::d04_the_operator_alone_loses_its_way_to_the_master") {
        only_the_operator_is_cut_off(|world| Rule::between_operator_and(world.pods[&0].ip)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d18_a_firewall_rejects_the_operator() {
    if is_apart("network::d18_a_firewall_rejects_the_operator") {
        only_the_operator_is_cut_off(|world| Rule::reject(world.pods[&0].ip)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d20_the_operator_loses_its_way_while_all_synchronise_again() {
    if !is_apart("network::d20_the_operator_loses_its_way_while_all_synchronise_again") {
        return;
    }
    let (world, mut operator) = settled(3).await;
    world.write_to_all(5);
    world.fill(90, 20_000);
    world.write_to_all(1);
    synchronise_slowly(&world, Duration::from_millis(80)); // more than seven seconds
    for (name, value) in [("repl-backlog-size", "16kb"), ("min-replicas-to-write", "0")] {
        world.set(0, name, value);
    }
    let away = [1, 2].map(|it| Rule::drop(world.pods[&it].ip, world.pods[&0].ip));
    world.as_operator(0).call(&["CLIENT", "KILL", "TYPE", "replica"]);
    world.fill(90, 20_000);
    world.set(0, "min-replicas-to-write", "1");
    drop(away);
    wait("the full syncs", || all_synchronise(&world));
    let cut = Rule::between_operator_and(world.pods[&0].ip);
    operator.stays_calm(&world, Duration::from_secs(4)).await;
    for ordinal in [1, 2] {
        assert_eq!(world.info(ordinal, "master_link_status"), "down", "all the time");
    }
    drop(cut);
    operator.settle(&world, 2).await;
    assert_eq!((world.master(), world.record().term), (0, 1));
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn d05_the_operator_reaches_nobody() {
    if !is_apart("network::d05_the_operator_reaches_nobody") {
        return;
    }
    let (world, mut operator) = settled(3).await;
    world.write(5);
    let cut: Vec<_> = world
        .pods
        .values()
        .map(|pod| Rule::between_operator_and(pod.ip))
        .collect();
    let told = operator.stays_calm(&world, LONG).await;
    assert!(
        told.iter()
            .any(|it| it.contains("it may be the operator that is cut off")),
        "{told:?}"
    );
    drop(cut);
    operator.settle(&world, 2).await;
    assert_eq!((world.master(), world.record().term), (0, 1));
    world.write(5);
    world.assert_nothing_lost();
}

/// The master has ended, and one of the two that may have its last write is out of reach.
#[tokio::test(flavor = "multi_thread")]
async fn d06_e14_one_of_two_members_is_reached() {
    if !is_apart("network::d06_e14_one_of_two_members_is_reached") {
        return;
    }
    let (mut world, mut operator) = settled(3).await;
    world.write_to_all(5);
    let cut = Rule::between_operator_and(world.pods[&1].ip);
    operator
        .until(&world, "the silence of one", |seen, _| {
            matches!(seen.instances["redis-a-1"].reach, Reach::Silent { .. })
        })
        .await;
    world.kill(0);
    // that it refuses is no proof, and the other one may have more
    let told = operator.stays_calm(&world, Duration::from_secs(3)).await;
    assert!(
        told.iter().any(|it| it.contains("1 of 2 members are reached")),
        "{told:?}"
    );
    world.notice_end(0);
    operator.until_replaced(&world, 0).await;
    assert_eq!(world.master(), 2);
    drop(cut);
    world.start(0);
    operator.settle(&world, 2).await;
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn d21_the_node_of_the_only_replica_is_lost() {
    if !is_apart("network::d21_the_node_of_the_only_replica_is_lost") {
        return;
    }
    let (mut world, mut operator) = settled(2).await;
    world.write(5);
    let (master, lost) = (world.pods[&0].ip, world.pods[&1].ip);
    let mut cut: Vec<_> = Rule::between_operator_and(lost).into();
    cut.extend([Rule::drop(master, lost), Rule::drop(lost, master)]);
    let begun = Instant::now();
    operator
        .until(&world, "the lost one to be away", |_, _| {
            world.record().members.is_empty()
        })
        .await;
    operator
        .until(&world, "the guard to be off", |_, _| {
            world.application(0).call(&["SET", "a", "1"]) == "OK"
        })
        .await;
    let took = begun.elapsed();
    println!("writes again {} ms after the only replica was lost", took.as_millis());
    assert!(took < Duration::from_secs(10), "{took:?}");
    // it comes back, and the master goes
    drop(cut);
    operator.settle(&world, 1).await;
    assert_eq!((world.master(), world.record().term), (0, 1));
    world.write(5);
    world.kill(0);
    operator.until_replaced(&world, 0).await;
    world.assert_nothing_lost();
}

/// The master and a client beside it, cut off from everybody else.
#[tokio::test(flavor = "multi_thread")]
async fn f02_a_master_that_is_cut_off_stops_taking_writes() {
    if !is_apart("network::f02_a_master_that_is_cut_off_stops_taking_writes") {
        return;
    }
    let (world, mut operator) = settled(3).await;
    world.write_to_all(10);
    let mut client = beside_the_master(&world).await;
    let ip = |ordinal: u32| world.pods[&ordinal].ip;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let begun = Instant::now();
    let mut cut: Vec<_> = Rule::between_operator_and(ip(0)).into();
    for other in [ip(1), ip(2)] {
        cut.extend([Rule::drop(other, ip(0)), Rule::drop(ip(0), other)]);
    }
    let writer = std::thread::spawn(move || {
        let mut last = Duration::ZERO;
        while !stopped.load(Ordering::Relaxed) {
            if client.call(&["SET", "stale", "1"]) == "OK" {
                last = begun.elapsed();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        (client, last)
    });
    operator.until_replaced(&world, 0).await;
    let published = begun.elapsed();
    operator
        .until(&world, "the sibling to be full", |_, _| world.record().quorum == 1)
        .await;
    world.write(10);
    stop.store(true, Ordering::Relaxed);
    let (mut client, last) = writer.join().unwrap();
    println!(
        "cut off: its last write {} ms after the cut; another one published after {} ms",
        last.as_millis(),
        published.as_millis()
    );
    assert!(last < Duration::from_secs(3), "{last:?}");
    assert!(client.call(&["SET", "stale", "2"]).starts_with("-NOREPLICAS"));
    assert_eq!(client.call(&["WAIT", "1", "50"]), "0");
    drop(cut);
    operator.settle(&world, 2).await;
    assert_eq!(client.call(&["PING"]), "", "its clients were cut");
    for ordinal in 0..3 {
        assert_eq!(world.application(ordinal).call(&["GET", "stale"]), "(nil)");
    }
    world.assert_nothing_lost();
}
