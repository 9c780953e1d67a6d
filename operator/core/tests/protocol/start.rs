//! First start: there is no record.

use crate::world::{Disk, Mood, Server, World, pod_name, reasons};
use redis_operator_core::decide::decide;
use redis_operator_core::observed::{Paused, Reach};
use redis_operator_core::plan::{Reason, Step};
use std::time::Duration;

#[test]
fn e01_first_start_makes_the_lowest_ordinal_master() {
    for replicas in 1..6 {
        let mut world = World::healthy(replicas);
        assert_eq!(world.master(), 0);
    }
}

#[test]
fn e01_a_pod_that_never_comes_is_not_waited_for_for_ever() {
    for disk in [Disk::Memory, Disk::Aof] {
        let mut world = World::new(3, disk);
        world.vanish(0);
        world.pending.insert(0);
        world.settle_for(Duration::from_secs(5));
        assert_eq!(world.published(), None);
        world.settle();
        assert_eq!(world.published(), Some(1));
        assert!(world.write());
        world.pending.clear();
        world.settle();
        assert_eq!(world.master(), 1);
    }
}

/// The record was lost: what a pod that is away holds may be what all of them held.
#[test]
fn e23_where_there_is_a_past_a_pod_that_is_away_is_waited_for_longer() {
    let begun = |disk, past: fn(&mut Server)| {
        let mut world = World::new(3, disk);
        world.vanish(0);
        world.pending.insert(0);
        past(world.server_mut(1));
        world.settle_for(Duration::from_secs(15));
        world.published()
    };
    assert_eq!(begun(Disk::Memory, |_| {}), Some(1), "nobody holds anything");
    assert_eq!(begun(Disk::Memory, |it| it.data = vec![1]), None, "keys");
    assert_eq!(begun(Disk::Memory, |it| it.placed = true), None, "a place in a history");
    assert_eq!(begun(Disk::Aof, |_| {}), None, "volumes");
}

#[test]
fn e01_one_that_is_to_go_is_not_the_first_master() {
    let mut world = World::new(3, Disk::Memory);
    world.desired.replicas = 2;
    world.settle();
    assert_eq!((world.master(), world.record().term), (0, 1));
}

#[test]
fn by_hand_paused_altogether_nothing_starts() {
    let mut world = World::new(3, Disk::Memory);
    world.desired.paused = Paused::All;
    let plan = world.settle();
    assert_eq!((reasons(&plan), world.published()), (vec![Reason::Paused], None));
    world.desired.paused = Paused::No;
    world.settle();
    assert_eq!(world.master(), 0);
}

#[test]
fn e10_several_masters_with_data_are_left_alone() {
    let mut world = World::new(3, Disk::Memory);
    for ordinal in 0..2 {
        world.promote_by_hand(ordinal);
        world.server_mut(ordinal).data = vec![ordinal];
    }
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::TwoMasters]);
    assert!(world.server(0).master && world.server(1).master);
}

#[test]
fn e10_of_several_masters_the_one_with_data() {
    let mut world = World::new(3, Disk::Memory);
    for ordinal in 0..3 {
        world.promote_by_hand(ordinal);
    }
    world.server_mut(1).data = vec![1, 2, 3];
    world.settle();
    assert_eq!(world.master(), 1);
    assert_eq!(world.server(0).data.len(), 3);
}

#[test]
fn e23_no_record_and_a_master_that_is_busy_elects_nobody() {
    let mut world = World::healthy(3);
    world.mood(0, Mood::Busy);
    world.put_record(None);
    world.slice = None;
    world.settle();
    assert!(!world.server(1).master && !world.server(2).master);
    assert!(world.server(1).is_linked(), "nobody was frozen either{}", world.story());
    world.mood(0, Mood::Fine);
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.server(0).data.len(), 5);
}

#[test]
fn e23_no_record_and_a_master_that_is_not_connected_yet_elects_nobody() {
    let mut world = World::healthy(3);
    world.put_record(None);
    world.operator.withheld.insert(pod_name(0));
    world.new_operator();
    world.settle();
    assert!(!world.server(1).master && world.server(1).is_linked());
    assert!(world.record.is_none(), "nor is it adopted");
    world.operator.withheld.clear();
    world.settle();
    assert_eq!(world.master(), 0);
}

#[test]
fn e13_a_volume_that_comes_late_is_not_wiped() {
    for disk in [Disk::Aof, Disk::Rdb] {
        let mut world = World::healthy_on(3, disk);
        world.put_record(None);
        for ordinal in 0..3 {
            world.vanish(ordinal);
        }
        world.disks.remove(&0);
        world.disks.remove(&2);
        let another = world.disks[&1].clone();
        world.pending.insert(1);
        world.settle();
        assert_eq!(world.published(), Some(0), "the first start does not wait for ever");
        assert!(world.write());
        // there it is
        world.pending.clear();
        let plan = world.settle();
        assert_eq!(reasons(&plan), [Reason::ForeignData], "{disk:?}{}", world.story());
        assert_eq!(world.server(1).data.len(), 5);
        world.restart(2);
        world.settle();
        assert_eq!(world.server(2).data.len(), 1, "who had a copy may have it again");
        // a person does not want it
        world.desired.elect = Some(pod_name(0));
        world.settle();
        assert_eq!(world.master(), 0);
        assert_eq!(world.server(1).data.len(), 1);
        // which says nothing of another volume that comes later
        world.disks.insert(3, another);
        world.desired.replicas = 4;
        let plan = world.settle();
        assert_eq!(reasons(&plan), [Reason::ForeignData], "{disk:?}{}", world.story());
        assert_eq!(world.server(3).data.len(), 5);
    }
}

/// A pod of a spec before that cannot run keeps nobody waiting, unless it may hold what no volume keeps.
#[test]
fn e23_a_pod_of_a_spec_before_that_cannot_run_is_replaced_unless_it_ran_without_a_volume() {
    let replaced = |has_run: bool, on_volume: bool, answered: bool| {
        let mut world = World::new(3, Disk::Memory);
        let mut seen = world.observe();
        seen.desired.volumes = on_volume;
        let pod = seen.instances.get_mut(&pod_name(1)).unwrap();
        (pod.outdated, pod.trouble) = (true, Some("it crashes".to_owned()));
        pod.reach = Reach::Untried;
        pod.container.id = pod.container.id.take().filter(|_| has_run);
        pod.last = pod.last.take().filter(|_| answered);
        let plan = decide(&seen);
        plan.steps.iter().any(|step| matches!(step, Step::DeletePod { .. }))
    };
    assert!(replaced(false, false, true), "no process ever ran in it");
    assert!(replaced(true, true, true), "its volume stays");
    assert!(replaced(true, false, false), "it never answered");
    assert!(!replaced(true, false, true));
}
