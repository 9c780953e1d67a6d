//! People are told of every change once.

use crate::operator::{Operator, settled};
use crate::support::stub::{Habit, Stub};
use crate::world::{Disk, World};
use redis_operator_core::names;
use redis_operator_core::observed::{Paused, Reach};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Data of which there is no record, in one process.
fn write_without_operator(world: &World, ordinal: u32, keys: u32) {
    let mut client = world.as_operator(ordinal);
    assert_eq!(client.call(&["REPLICAOF", "NO", "ONE"]), "OK");
    for key in 0..keys {
        let reply = world.application(ordinal).call(&["SET", &format!("key:{key}"), "1"]);
        assert_eq!(reply, "OK");
    }
    assert_eq!(client.call(&["REPLICAOF", "127.0.0.1", "1"]), "OK");
}

#[tokio::test(flavor = "multi_thread")]
async fn d01_a_failover_is_one_event_and_a_first_start_is_another() {
    let (mut world, mut operator) = settled(3).await;
    operator.rests(&world).await;
    let notes = operator.told_as(&world, "TermBegan").await;
    assert_eq!(notes, ["First start: redis-a-0 was chosen, nobody holds data"]);
    assert_eq!(operator.told_as(&world, "Serving").await.len(), 1);
    world.write(5);
    world.kill(0);
    operator.until_replaced(&world, 0).await;
    world.start(0);
    operator.settle(&world, 2).await;
    let notes = operator.told_as(&world, "FailedOver").await;
    assert_eq!(notes.len(), 1, "{notes:?}");
    let to = format!("redis-a-{} replaced redis-a-0 ", world.master());
    assert!(notes[0].starts_with(&to), "{notes:?}");
    // another one within minutes is no repetition of the first
    let master = world.master();
    world.kill(master);
    operator.until_replaced(&world, master).await;
    let notes = operator.told_as(&world, "FailedOver").await;
    let from = format!("replaced redis-a-{master} ");
    assert!(notes.len() == 2 && notes[1].contains(&from), "{notes:?}");
    let all = operator.told(&world).await;
    assert_eq!(
        all.iter().filter(|(reason, _)| reason == "TermBegan").count(),
        1,
        "{all:?}"
    );
    assert!(all.iter().all(|(reason, _)| reason != "SwitchedOver"), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_is_one_event() {
    let (world, mut operator) = settled(3).await;
    world.write(5);
    world.annotate(names::ANNOTATION_SWITCHOVER, Some("redis-a-1"));
    operator.until_replaced(&world, 0).await;
    operator.settle(&world, 2).await;
    let notes = operator.told_as(&world, "SwitchedOver").await;
    let words = "redis-a-1 took over from redis-a-0, ";
    assert!(notes.len() == 1 && notes[0].starts_with(words), "{notes:?}");
    let all = operator.told(&world).await;
    let other = |reason: &str| reason == "FailedOver" || reason == "TermBegan";
    let others: Vec<_> = all.iter().filter(|(reason, _)| other(reason)).collect();
    assert_eq!(others.len(), 1, "but for the first start: {others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_that_makes_no_sense_is_told_once_per_value() {
    let (world, mut operator) = settled(1).await;
    for value in ["yes", "maybe"] {
        world.annotate(names::ANNOTATION_PAUSED, Some(value));
        for _ in 0..3 {
            operator.settle(&world, 0).await;
            operator.rests(&world).await;
        }
    }
    let notes = operator.told_as(&world, "AnnotationUnclear").await;
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].contains("\"yes\"") && notes[1].contains("\"maybe\""),
        "{notes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_and_its_end_are_told_once() {
    let (world, mut operator) = settled(1).await;
    for (value, paused) in [(Some("true"), Paused::Planned), (None, Paused::No)] {
        world.annotate(names::ANNOTATION_PAUSED, value);
        for _ in 0..3 {
            let (seen, _) = operator.rests(&world).await;
            assert_eq!(seen.desired.paused, paused);
        }
    }
    for reason in ["Paused", "Resumed"] {
        let notes = operator.told_as(&world, reason).await;
        assert_eq!(notes.len(), 1, "{reason}: {notes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_person_is_told_once() {
    let (mut world, mut operator) = settled(2).await;
    world.prefer(&[(1, 0)]);
    operator.settle(&world, 1).await;
    world.kill(0);
    let reason = "NoCandidate";
    operator
        .until(&world, "nobody who may be promoted", |_, plan| {
            plan.notes.iter().any(|note| format!("{:?}", note.reason) == reason)
        })
        .await;
    for _ in 0..3 {
        operator.rests(&world).await;
    }
    let notes = operator.told_as(&world, reason).await;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(operator.told_as(&world, "FailedOver").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn e01_a_first_start_on_data_says_whose_it_goes_on_with() {
    let world = World::new(2, Disk::Rdb).await;
    write_without_operator(&world, 1, 3);
    let mut operator = Operator::new(&world, "one");
    operator.settle(&world, 1).await;
    assert_eq!(world.master(), 1);
    let notes = operator.told_as(&world, "TermBegan").await;
    assert_eq!(notes, ["First start: redis-a-1 was chosen with 3 keys"]);
}

/// Whoever answers at the address of `redis-a-1` is told of once, with these words, and nothing comes of it.
async fn assert_strange(world: &World, operator: &mut Operator, words: &str) {
    operator
        .until(world, "a strange answer", |seen, _| {
            matches!(&seen.instances["redis-a-1"].reach, Reach::Alive(_))
        })
        .await;
    operator.rests(world).await;
    let notes = operator.told_as(world, "InstanceUnreadable").await;
    assert!(notes.len() == 1 && notes[0].contains("redis-a-1"), "{notes:?}");
    assert!(notes[0].contains(words), "{notes:?}");
    assert_eq!((world.master(), world.record().term), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn b05_something_else_than_redis_at_the_address_of_a_replica_is_told() {
    let (mut world, mut operator) = settled(3).await;
    world.write(5);
    world.kill(1);
    let http = |_: &[String]| Some(b"HTTP/1.1 503 Service Unavailable\r\n\r\n".to_vec());
    let stub = Stub::at(world.pods[&1].address(), Habit::Answer(Arc::new(http))).await;
    assert_strange(&world, &mut operator, "Redis 7.0 or later, or Valkey (spec.image)").await;
    drop(stub);
    world.assert_nothing_lost();
}

/// Answers everything like a Redis, and probes, which are transactions of three commands, with this INFO.
fn saying(info: String) -> impl Fn(&[String]) -> Option<Vec<u8>> {
    let queued = AtomicUsize::new(0);
    move |words| {
        let text = match words[0].as_str() {
            "MULTI" => {
                queued.store(0, Ordering::SeqCst);
                "+OK\r\n".to_owned()
            }
            "EXEC" => match queued.load(Ordering::SeqCst) {
                3 => format!("*3\r\n${}\r\n{info}\r\n*0\r\n*0\r\n", info.len()),
                n => format!("*{n}\r\n{}", ":1\r\n".repeat(n)),
            },
            "AUTH" => "+OK\r\n".to_owned(),
            _ => {
                queued.fetch_add(1, Ordering::SeqCst);
                "+QUEUED\r\n".to_owned()
            }
        };
        Some(text.into_bytes())
    }
}

/// As where an image is replaced behind its tag.
#[tokio::test(flavor = "multi_thread")]
async fn b04_a_server_that_is_too_old_at_the_address_of_a_replica_is_told() {
    let (mut world, mut operator) = settled(3).await;
    world.write(5);
    let info = world.as_operator(1).call(&["INFO", "everything"]);
    let others = info.lines().filter(|line| !line.contains("_version:"));
    let old = others.chain(["redis_version:6.2.14"]).collect::<Vec<_>>().join("\r\n");
    world.kill(1);
    let stub = Stub::at(world.pods[&1].address(), Habit::Answer(Arc::new(saying(old)))).await;
    assert_strange(&world, &mut operator, "version 6.2.14; needed is Redis 7.0").await;
    drop(stub);
    world.start(1);
    operator.settle(&world, 2).await;
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn f07_another_resources_server_at_the_address_of_a_replica_is_told() {
    let (mut world, mut operator) = settled(3).await;
    world.write(5);
    world.kill(1);
    let mut other = World::new(1, Disk::Memory).await;
    other.kill(0);
    other.pod(0).ip = world.pods[&1].ip;
    other.start(0);
    assert_strange(&world, &mut operator, "WRONGPASS").await;
    assert_eq!(other.info(0, "role"), "slave", "it was left alone");
    world.assert_nothing_lost();
}
