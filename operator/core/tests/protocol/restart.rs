//! Nobody lives who holds what the record speaks of; no record; a record that is wrong.

use crate::world::{Disk, World, reasons};
use redis_operator_core::plan::Reason;
use serde_json::json;
use std::time::Duration;

fn restart_all(world: &mut World) {
    for ordinal in 0..world.desired.replicas {
        world.kill(ordinal);
    }
    for ordinal in 0..world.desired.replicas {
        world.start(ordinal);
    }
}

#[test]
fn e22_every_process_is_new() {
    for disk in [Disk::Memory, Disk::Rdb, Disk::Aof] {
        for replicas in 1..4 {
            let mut world = World::healthy_on(replicas, disk);
            restart_all(&mut world);
            world.settle();
            let master = world.master();
            let keys = if disk == Disk::Memory { 0 } else { 5 };
            assert_eq!(world.server(master).data.len(), keys, "{replicas} on {disk:?}");
        }
    }
}

#[test]
fn e22_all_pods_deleted() {
    for disk in [Disk::Memory, Disk::Rdb, Disk::Aof] {
        let mut world = World::healthy_on(3, disk);
        for ordinal in 0..3 {
            world.vanish(ordinal);
        }
        world.settle();
        let master = world.master();
        assert_eq!(
            world.server(master).data.len(),
            if disk == Disk::Memory { 0 } else { 5 }
        );
    }
}

#[test]
fn e12_the_restart_waits_for_those_that_load() {
    let mut world = World::healthy_on(3, Disk::Rdb);
    world.disks.clear();
    restart_all(&mut world);
    // 0 and 1 lost most, 2 has more and still loads
    for (ordinal, offset) in [(0, 100), (1, 110), (2, 900)] {
        let id = world.record().id;
        let server = world.server_mut(ordinal);
        (server.id, server.offset, server.placed) = (id, offset, true);
        server.data = vec![ordinal; usize::try_from(offset).unwrap()];
    }
    world.mood(2, crate::world::Mood::Loading);
    let plan = world.settle_for(Duration::from_secs(30));
    assert!(reasons(&plan).contains(&Reason::WaitingForPods), "{plan:?}");
    world.mood(2, crate::world::Mood::Fine);
    world.settle();
    assert_eq!(world.master(), 2);
}

#[test]
fn e13_a_pod_that_lost_its_volume_becomes_a_replica() {
    for with_record in [true, false] {
        let mut world = World::healthy_on(3, Disk::Rdb);
        for ordinal in 0..3 {
            world.kill(ordinal);
        }
        world.disks.remove(&0);
        if !with_record {
            world.put_record(None);
            world.new_operator();
        }
        for ordinal in 0..3 {
            world.start(ordinal);
        }
        world.settle();
        assert_eq!(world.master(), 1);
        assert_eq!(world.server(0).data.len(), 5);
    }
}

#[test]
fn e19_a_switchover_by_hand_is_adopted() {
    let mut world = World::healthy(3);
    world.follow_by_hand(0, 1);
    world.promote_by_hand(1);
    world.follow_by_hand(2, 1);
    world.settle();
    assert_eq!(world.master(), 1);
    assert_eq!(world.record().reason, "Adopted");
    world.assert_nothing_lost();
}

#[test]
fn e23_a_lost_record_is_made_anew_from_the_serving_master() {
    let mut world = World::healthy(3);
    world.put_record(None);
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.server(0).data.len(), 5);
}

#[test]
fn e29_the_promoted_one_dies_before_it_is_recorded_steady() {
    for passes in 0..8 {
        let mut world = World::healthy(3);
        world.kill(0);
        for _ in 0..passes {
            world.pass();
        }
        let promoted = world
            .pods
            .values()
            .find(|pod| pod.server.as_ref().is_some_and(|server| server.master));
        let victim = promoted.map_or(1, |pod| pod.ordinal);
        world.restart(victim);
        world.settle();
        world.start(0);
        world.settle();
        world.assert_healthy();
        world.assert_nothing_lost();
    }
}

#[test]
fn b07_nonsense_moves_nothing() {
    let nonsense = [
        json!(7),
        json!({}),
        json!({"version": 1}),
        json!({"version": 99, "seq": 3}),
    ];
    for (n, record) in nonsense.into_iter().enumerate() {
        let mut world = World::healthy(3);
        let before = world.pods.clone();
        world.put_record(Some(record));
        let plan = world.pass_only();
        assert_eq!(plan.steps, vec![]);
        let expected = if n == 3 {
            Reason::RecordOfNewerVersion
        } else {
            Reason::RecordUnreadable
        };
        assert_eq!(reasons(&plan), [expected]);
        assert_eq!(world.pods, before);
        // removing it is enough
        world.put_record(None);
        world.settle();
        assert_eq!(world.master(), 0);
    }
}

#[test]
fn b07_a_record_of_processes_that_never_were_promotes_nobody_while_a_master_serves() {
    let mut world = World::healthy(3);
    let mut record = world.record();
    record.master.as_mut().unwrap().run_id = "run-never".to_owned();
    record.members.clear();
    record.quorum = 0;
    world.record = Some(serde_json::to_value(record).unwrap());
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.server(0).data.len(), 5);
}
