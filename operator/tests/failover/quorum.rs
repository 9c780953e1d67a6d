//! Guard, quorum and leaves: a write that only one replica has is not lost.

use crate::operator::{record, settled};
use crate::support::wait;
use redis_operator_core::observed::{Observed, Reach};
use redis_operator_core::plan::Reason;
use redis_operator_core::record::Stage;

fn hangs(seen: &Observed, ordinal: u32) -> bool {
    let reach = seen
        .instances
        .values()
        .find(|it| it.ordinal == ordinal)
        .map(|it| &it.reach);
    matches!(reach, Some(Reach::Silent { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn e25_the_only_one_with_a_write_leaves() {
    let (mut world, mut operator) = settled(3).await;
    world.pods[&2].stop();
    world.write_past_the_stopped();
    world.delete(1);
    operator
        .until_plan(&world, "wait until the others have what the leaving ones had")
        .await;
    world.kill(0);
    world.notice_end(0);
    world.pods[&2].resume();
    operator.until_replaced(&world, 0).await;
    assert_eq!(world.master(), 1);
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn e26_the_guard_is_raised_while_only_one_has_a_write() {
    let (mut world, mut operator) = settled(3).await;
    world.create(3);
    world.start(3);
    world.scale(4);
    let (seen, plan) = operator.until_plan(&world, "set the write guard").await;
    for ordinal in [2, 3] {
        world.pod(ordinal).stop();
    }
    world.write_past_the_stopped();
    operator.act(&world, &seen, &plan).await.unwrap();
    operator
        .until(&world, "two that hang", |seen, _| hangs(seen, 2) && hangs(seen, 3))
        .await;
    assert_eq!(world.record().quorum, 1, "two of the three lack what the master had");
    wait("the guard to miss two", || {
        world.info(0, "min_slaves_good_slaves") == "1"
    });
    let reply = world.application(0).call(&["SET", "a", "1"]);
    assert!(reply.starts_with("-NOREPLICAS"), "{reply}");
    world.pods[&1].stop();
    world.kill(0);
    for ordinal in [2, 3] {
        world.pod(ordinal).resume();
    }
    operator
        .until(&world, "a note that the quorum is missing", |_, plan| {
            plan.notes.iter().any(|note| note.reason == Reason::QuorumMissing)
        })
        .await;
    assert_eq!(world.master(), 0, "nobody else was published");
    world.pods[&1].resume();
    operator.until_replaced(&world, 0).await;
    assert_eq!(world.master(), 1);
    world.start(0);
    operator.settle(&world, 3).await;
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_five_become_two() {
    let (mut world, mut operator) = settled(5).await;
    world.write(10);
    world.scale(2);
    for ordinal in [4, 3, 2] {
        operator
            .until(&world, "the highest to leave", |seen, _| {
                let record = record(seen).unwrap();
                assert!(record.at(Stage::Leaving).count() < 2);
                record.members.len() < usize::try_from(ordinal).unwrap()
            })
            .await;
        let names: Vec<_> = world.record().members.into_keys().collect();
        let staying: Vec<_> = (1..ordinal).map(|n| format!("redis-a-{n}")).collect();
        assert_eq!(names, staying);
        world.remove(ordinal);
        world.write(5);
    }
    operator.settle(&world, 1).await;
    assert_eq!((world.master(), world.record().term), (0, 1));
    assert_eq!(world.info(0, "connected_slaves"), "1");
    world.assert_nothing_lost();
}
