//! Nobody lives who holds what the record speaks of.

use crate::world::{Disk, World, pod_name, reasons};
use redis_operator_core::observed::Policy;
use redis_operator_core::plan::Reason;
use redis_operator_core::record::Stage;
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
fn d10_one_that_loads_for_ever_is_not_waited_for_for_ever() {
    let mut world = World::healthy_on(3, Disk::Rdb);
    restart_all(&mut world);
    let before = world.record().term;
    world.mood(1, crate::world::Mood::Loading);
    world.settle_for(Duration::from_secs(50));
    assert_eq!(
        world.record().term,
        before,
        "alive, and it may have more than the others"
    );
    world.settle_for(Duration::from_secs(20));
    assert_eq!(world.published(), Some(0), "{}", world.story());
    world.mood(1, crate::world::Mood::Fine);
    world.settle();
    world.assert_healthy();
}

#[test]
fn d10_the_last_master_is_waited_for_as_long_as_it_loads() {
    for disk in [Disk::Rdb, Disk::Aof] {
        let mut world = World::healthy_on(3, disk);
        restart_all(&mut world);
        let before = world.record().term;
        world.mood(0, crate::world::Mood::Loading);
        let plan = world.settle_for(Duration::from_secs(3_000));
        assert_eq!(world.record().term, before, "{}", world.story());
        assert_eq!(reasons(&plan), [Reason::WaitingForPods]);
        let mut named = world.clone();
        world.mood(0, crate::world::Mood::Fine);
        world.settle();
        assert_eq!(world.master(), 0);
        // or a person gives it up
        named.desired.elect = Some("redis-a-1".to_owned());
        named.settle_for(Duration::from_secs(70));
        assert_eq!(named.published(), Some(1), "{}", named.story());
    }
}

/// Where nothing may be lost, a volume that nobody has seen yet is waited for.
#[test]
fn e22_durability_waits_for_the_last_masters_volume() {
    for (policy, published) in [(Policy::Availability, Some(1)), (Policy::Durability, None)] {
        let mut world = World::healthy_on(3, Disk::Rdb);
        world.desired.policy = policy;
        world.pending.insert(0);
        for ordinal in 0..3 {
            world.vanish(ordinal);
        }
        let plan = world.settle_for(Duration::from_secs(3_000));
        assert_eq!(world.published(), published, "{}", world.story());
        if published.is_none() {
            assert_eq!(reasons(&plan), [Reason::AmbiguousData]);
            world.pending.clear();
            world.settle();
            assert_eq!(world.master(), 0);
        }
    }
}

/// Its append-only file was not complete when the power went: what others have is not replaced by what it had before.
#[test]
fn d17_who_was_still_writing_its_file_does_not_win_by_its_name() {
    let mut world = World::healthy_on(3, Disk::Aof);
    world.restart(1);
    world.server_mut(1).rewriting = true;
    world.settle();
    assert!(world.write());
    world.kill(2);
    world.settle();
    world.kill(0);
    world.settle();
    assert_eq!(world.published(), Some(1));
    world.start(0);
    world.start(2);
    world.settle();
    assert!(world.record().unwritten.contains("redis-a-1"));
    let all = world.server(1).data.clone();
    for ordinal in 0..3 {
        world.kill(ordinal);
    }
    assert!(world.disks[&1].data.len() < all.len());
    let mut finished = world.clone();
    for ordinal in 0..3 {
        world.start(ordinal);
    }
    world.settle();
    assert_ne!(world.master(), 1, "{}", world.story());
    assert_eq!(world.server(1).data, all);
    // those who are away may have more
    finished.start(1);
    for ordinal in [0, 2] {
        finished.pending.insert(ordinal);
        finished.disks.remove(&ordinal);
    }
    let before = finished.record().term;
    let plan = finished.settle_for(Duration::from_secs(300));
    assert_eq!(finished.record().term, before, "{}", finished.story());
    assert_eq!(reasons(&plan), [Reason::AmbiguousData]);
}

#[test]
fn d17_a_file_that_is_complete_again_is_known() {
    let mut world = World::healthy_on(3, Disk::Aof);
    world.restart(1);
    world.server_mut(1).rewriting = true;
    world.settle();
    assert!(world.record().unwritten.contains("redis-a-1"), "{}", world.story());
    world.server_mut(1).rewriting = false;
    world.settle();
    assert!(world.record().unwritten.is_empty(), "{}", world.story());
    // another file that is written anew is no news: the one before is complete until then
    world.server_mut(1).rewriting = true;
    world.settle();
    assert!(world.record().unwritten.is_empty());
}

#[test]
fn d17_an_operator_that_slept_has_waited_for_nobody() {
    let mut world = World::healthy_on(3, Disk::Rdb);
    restart_all(&mut world);
    world.mood(1, crate::world::Mood::Loading);
    world.settle_for(Duration::from_secs(5));
    let before = world.record().term;
    world.tick(Duration::from_secs(300));
    let now = world.now;
    world.operator.memory.slept(now);
    world.settle_for(Duration::from_secs(50));
    assert_eq!(world.record().term, before, "{}", world.story());
    world.settle_for(Duration::from_secs(20));
    assert_eq!(world.published(), Some(0));
}

/// The last key was deleted: that is the newest state, and no reason to bring an older one back.
#[test]
fn e12_whoever_has_the_newest_place_in_the_history_goes_on_even_without_keys() {
    let mut world = World::healthy_on(3, Disk::Rdb);
    for ordinal in 0..3 {
        world.kill(ordinal);
    }
    for ordinal in [0, 1] {
        world.disks.get_mut(&ordinal).unwrap().data.clear();
    }
    let disk = world.disks.get_mut(&2).unwrap();
    disk.place.as_mut().unwrap().1 -= 20;
    for ordinal in 0..3 {
        world.start(ordinal);
    }
    world.settle_for(Duration::from_secs(300));
    assert_eq!(world.published(), Some(0), "{}", world.story());
}

#[test]
fn d17_a_restart_of_everything_says_what_it_found() {
    let mut world = World::healthy_on(3, Disk::Rdb);
    restart_all(&mut world);
    world.settle();
    world.assert_healthy();
    assert_eq!(world.record().reason, "Restarted: redis-a-0 was chosen with 5 keys");
    assert_eq!(world.server(0).data.len(), 5);
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
fn e22_a_first_start_on_data_whose_chosen_one_restarts_goes_on() {
    for disk in [Disk::Rdb, Disk::Aof] {
        let mut world = World::healthy_on(1, disk);
        world.put_record(None);
        world.kill(0);
        world.start(0);
        world.until(|world| world.record.is_some());
        world.restart(0);
        world.settle();
        assert_eq!(world.master(), 0, "{disk:?}");
        assert_eq!(world.server(0).data.len(), 5);
    }
}

#[test]
fn e22_nothing_is_started_over_while_a_volume_is_away() {
    let mut world = World::healthy_on(3, Disk::Aof);
    for ordinal in 0..3 {
        world.kill(ordinal);
    }
    world.disks.remove(&1);
    world.disks.remove(&2);
    world.start(1);
    world.start(2);
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::AmbiguousData], "{plan:?}");
    let mut named = world.clone();
    world.start(0);
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.server(1).data.len(), 5);
    // a person gives the volume up
    named.desired.elect = Some(pod_name(1));
    named.settle();
    assert_eq!(named.published(), Some(1));
}

#[test]
fn e05_data_on_an_instance_with_priority_zero_is_not_started_over() {
    for with_record in [true, false] {
        let mut world = World::healthy_on(3, Disk::Aof);
        restart_all(&mut world);
        for ordinal in [0, 2] {
            world.server_mut(ordinal).data.clear();
        }
        world.server_mut(1).priority = 0;
        if !with_record {
            world.put_record(None);
        }
        let plan = world.settle();
        assert_eq!(reasons(&plan), [Reason::AmbiguousData], "{plan:?}");
        world.server_mut(1).priority = 1;
        world.settle();
        assert_eq!(world.master(), 1);
    }
}

#[test]
fn e29_the_promoted_one_dies_and_all_the_others_are_behind() {
    for recorded in [true, false] {
        let mut world = World::healthy(4);
        for ordinal in [2, 3] {
            world.stall(ordinal);
        }
        world.write();
        world.kill(0);
        world.until(|world| match recorded {
            true => world.published() == Some(1) && world.record().claim.is_none(),
            false => world.pod(1).server.as_ref().is_some_and(|server| server.master),
        });
        for ordinal in [0, 1] {
            world.vanish(ordinal);
            world.pending.insert(ordinal);
        }
        world.settle();
        assert_eq!(world.published(), Some(2), "{}", world.story());
        assert_eq!(world.server(2).data.len(), 5);
    }
}

#[test]
fn e21_the_master_dies_before_its_new_id_is_recorded() {
    let mut world = World::new(3, Disk::Memory);
    world.until(|world| world.published() == Some(0));
    assert!(world.write());
    world.until(|world| world.record.is_some() && world.server(2).is_linked());
    assert_ne!(world.record().id, world.server(2).id, "not recorded yet");
    world.vanish(0);
    world.pending.insert(0);
    world.settle();
    assert_eq!(world.published(), Some(1), "{}", world.story());
    assert_eq!(world.server(1).data.len(), 1);
}

#[test]
fn e07_members_that_lost_their_place_are_not_waited_for() {
    let mut world = World::healthy_on(3, Disk::Aof);
    for ordinal in [1, 2] {
        // a full resync broke in the middle
        let server = world.server_mut(ordinal);
        server.placed = false;
        server.link = crate::world::Link::Down(None);
        world.cut.insert((pod_name(ordinal), pod_name(0)));
    }
    world.kill(0);
    world.settle_for(Duration::from_secs(30));
    world.start(0);
    world.cut.clear();
    world.settle();
    assert_eq!(world.master(), 0, "its volume holds everything");
    world.assert_nothing_lost();
}

#[test]
fn e22_a_forgotten_annotation_does_not_decide_what_is_clear() {
    let mut world = World::healthy_on(3, Disk::Rdb);
    world.desired.elect = Some(pod_name(2));
    restart_all(&mut world);
    let server = world.server_mut(2);
    server.offset -= 10;
    server.data.pop();
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.server(2).data.len(), 5);
}

#[test]
fn e11_a_person_names_the_one_where_the_data_differs() {
    let mut world = World::healthy_on(3, Disk::Aof);
    restart_all(&mut world);
    world.server_mut(0).data.clear();
    world.server_mut(1).data.pop();
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::AmbiguousData]);
    world.desired.elect = Some(pod_name(2));
    world.settle();
    assert_eq!(world.master(), 2);
    assert_eq!(world.server(1).data.len(), 5);
}

#[test]
fn e11_a_name_that_decides_nothing_is_told_why() {
    let mut world = World::healthy_on(3, Disk::Aof);
    restart_all(&mut world);
    world.server_mut(0).data.clear();
    world.server_mut(1).data.pop();
    world.prefer(2, 0);
    let why = |world: &mut World, name: &str| {
        world.desired.elect = Some(name.to_owned());
        let plan = world.settle();
        assert_eq!(reasons(&plan), [Reason::AmbiguousData]);
        plan.notes[0].message.clone()
    };
    let no_master = why(&mut world, &pod_name(2));
    assert!(
        no_master.ends_with("names redis-a-2, whose priority is 0 (spec.priorities)"),
        "{no_master}"
    );
    let nobody = why(&mut world, "redis-a-7");
    assert!(
        nobody.ends_with("names redis-a-7, and no pod of that name answers"),
        "{nobody}"
    );
}

#[test]
fn e22_the_last_master_alone_holds_data_and_has_lost_its_id() {
    let mut world = World::healthy_on(3, Disk::Rdb);
    for ordinal in 0..3 {
        world.kill(ordinal);
    }
    world.disks.remove(&1);
    world.disks.remove(&2);
    world.disks.get_mut(&0).unwrap().place = None;
    for ordinal in 0..3 {
        world.start(ordinal);
    }
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.server(2).data.len(), 5);
}

#[test]
fn e22_where_nobody_has_anything_and_nobody_is_away_it_begins_anew() {
    let mut world = World::restarted(Disk::Rdb, |world| world.disks.clear());
    world.settle();
    assert_eq!(world.master(), 0);
    assert!(world.write());
    // in memory nobody who is away can hold anything either
    let mut world = World::healthy(3);
    (0..3).for_each(|ordinal| world.vanish(ordinal));
    world.pending.insert(2);
    world.settle();
    assert_eq!(world.published(), Some(0), "{}", world.story());
}

/// Logs keep no place in a history; whoever was master last wrote more than any other.
#[test]
fn e22_with_logs_the_last_master_goes_on_though_another_one_holds_less() {
    let mut world = World::restarted(Disk::Aof, |world| world.disks.get_mut(&1).unwrap().data.truncate(4));
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.server(1).data.len(), 5);
}

/// What clients wrote on the former master after its successor was promoted is no part of the recorded history.
#[test]
fn e22_of_the_history_before_only_what_precedes_the_promotion_counts() {
    let mut world = World::healthy_on(3, Disk::Rdb);
    world.kill(0);
    world.until(|world| world.published() == Some(1));
    world.start(0);
    world.settle();
    let record = world.record();
    let (before, end) = (record.previous_id.unwrap(), record.promoted_at);
    (0..3).for_each(|ordinal| world.kill(ordinal));
    for (ordinal, keys, offset) in [(0, 6, end + 10), (1, 3, end - 20), (2, 4, end - 10)] {
        let saved = world.disks.get_mut(&ordinal).unwrap();
        (saved.data, saved.place) = ((0..keys).collect(), Some((before.clone(), offset)));
    }
    (0..3).for_each(|ordinal| world.start(ordinal));
    world.settle();
    assert_eq!(world.published(), Some(2), "{}", world.story());
}

/// It was named where nobody held anything; the volume of one that had a copy once comes after the first write.
#[test]
fn e13_a_volume_that_comes_late_is_not_wiped_for_what_began_anew() {
    let mut world = World::healthy_on(3, Disk::Aof);
    (0..3).for_each(|ordinal| world.vanish(ordinal));
    for ordinal in [0, 2] {
        world.disks.remove(&ordinal);
    }
    world.pending.insert(1);
    world.desired.elect = Some(pod_name(0));
    world.settle();
    assert_eq!(world.published(), Some(0), "{}", world.story());
    assert!(world.write());
    world.settle();
    world.pending.clear();
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::ForeignData], "{}", world.story());
    assert_eq!(world.server(1).data.len(), 5);
}

/// It is killed in the fork for the full sync of a replica that came with an old copy, and loads for longer than a minute.
#[test]
fn e07_an_old_copy_that_joins_never_takes_the_place_of_a_master_that_loads() {
    let mut world = World::healthy_on(2, Disk::Aof);
    world.slow_sync.insert(pod_name(1));
    world.kill(1);
    world.disks.get_mut(&1).unwrap().data.truncate(2);
    world.start(1);
    world.settle_for(Duration::from_secs(5));
    world.kill(0);
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::AmbiguousData], "{}", world.story());
    assert!(plan.notes[0].message.contains("redis-a-0, the last master"), "{plan:?}");
    assert_eq!((world.published(), world.server(1).data.len()), (Some(0), 2));
    // a person may know better
    let mut given_up = world.clone();
    given_up.desired.elect = Some(pod_name(1));
    given_up.settle();
    assert_eq!(given_up.published(), Some(1));
    world.slow_sync.clear();
    world.start(0);
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.server(1).data.len(), 5);
}

#[test]
fn e24_who_left_never_takes_the_place_of_a_master_whose_volume_is_away() {
    let mut world = World::healthy_on(2, Disk::Rdb);
    world.isolated.insert(pod_name(1));
    world.until(|world| world.record().members.is_empty());
    assert!(world.write());
    world.vanish(0);
    world.pending.insert(0);
    world.isolated.clear();
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::AmbiguousData], "{}", world.story());
    assert_eq!(world.published(), None, "{}", world.story());
    world.pending.clear();
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.server(1).data.len(), 6);
}

/// The others are on record, and at another stage than in sync.
#[test]
fn e22_who_was_leaving_goes_on_if_it_was_in_sync() {
    let goes_on = |stage: Stage, was_full: bool| {
        let mut world = World::healthy_on(2, Disk::Aof);
        (0..2).for_each(|ordinal| world.kill(ordinal));
        let mut record = world.record();
        let member = record.members.get_mut(&pod_name(1)).unwrap();
        (member.stage, member.was_full) = (stage, was_full);
        record.quorum = 0;
        world.put_record(Some(serde_json::to_value(record).unwrap()));
        world.start(1);
        world.settle();
        world.published() == Some(1)
    };
    assert!(goes_on(Stage::Full, false));
    assert!(goes_on(Stage::Leaving, true));
    assert!(!goes_on(Stage::Leaving, false));
    assert!(!goes_on(Stage::Joining, true), "it lost its link since");
}

#[test]
fn e22_a_member_in_sync_goes_on_though_the_last_masters_volume_is_away() {
    let mut world = World::healthy_on(3, Disk::Aof);
    (0..3).for_each(|ordinal| world.kill(ordinal));
    world.start(1);
    world.start(2);
    world.settle();
    assert_eq!(world.published(), Some(1), "{}", world.story());
    world.assert_nothing_lost();
}
