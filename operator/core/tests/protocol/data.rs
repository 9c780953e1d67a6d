//! Which data goes on where nobody lives who could say so, and what becomes of the others'.

use crate::world::{Disk, World, pod_name, reasons};
use redis_operator_core::plan::{Note, Reason};

/// Three that begin without a record: what they hold on their volumes, each its own history.
fn unrelated(data: [&[u32]; 3]) -> World {
    let mut world = World::new(3, Disk::Aof);
    for (ordinal, data) in (0..).zip(data) {
        world.server_mut(ordinal).data = data.to_vec();
    }
    world
}

fn lose_places(world: &mut World) {
    for saved in world.disks.values_mut() {
        saved.place = None;
    }
}

#[test]
fn e11_whoever_is_named_with_data_takes_the_place_of_what_others_hold() {
    let mut world = unrelated([&[1], &[2, 3], &[]]);
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::AmbiguousData]);
    let message = &plan.notes[0].message;
    assert!(
        message.contains("redis-a-0 has 1 keys, redis-a-1 has 2 keys"),
        "{message}"
    );
    world.desired.elect = Some(pod_name(1));
    world.settle();
    assert_eq!(world.master(), 1);
    assert_eq!(world.server(0).data, [2, 3]);
}

#[test]
fn e11_whoever_is_named_without_data_takes_nobodys_place() {
    let mut world = unrelated([&[1], &[2, 3], &[]]);
    world.desired.elect = Some(pod_name(2));
    let plan = world.settle();
    assert_eq!(world.published(), Some(2));
    assert_eq!(
        (world.server(0).data.len(), world.server(1).data.len()),
        (1, 2),
        "nothing is wiped"
    );
    let foreign = |note: &&Note| note.reason == Reason::ForeignData;
    assert_eq!(plan.notes.iter().filter(foreign).count(), 2, "{plan:?}");
    // nor later, when it holds something
    assert!(world.write());
    world.settle();
    assert_eq!((world.server(0).data.len(), world.server(1).data.len()), (1, 2));
}

#[test]
fn e11_histories_that_never_met_are_not_compared_by_how_long_they_are() {
    let mut world = unrelated([&[1], &[2, 3], &[]]);
    for (ordinal, offset) in [(0, 100), (1, 900)] {
        let server = world.server_mut(ordinal);
        (server.placed, server.offset) = (true, offset);
    }
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::AmbiguousData]);
    assert_eq!(world.published(), None);
}

#[test]
fn e22_of_equals_one_that_may_be_master_goes_on() {
    let mut world = World::restarted(Disk::Rdb, |world| world.prefer(0, 0));
    world.settle();
    assert_eq!(world.master(), 1);
    world.assert_nothing_lost();
}

#[test]
fn e22_members_that_lost_their_ids_and_hold_as_much_are_alike() {
    let mut world = World::restarted(Disk::Rdb, lose_places);
    world.settle();
    assert_eq!(world.master(), 0);
    world.assert_nothing_lost();
    let mut world = World::restarted(Disk::Rdb, |world| {
        lose_places(world);
        world.disks.get_mut(&1).unwrap().data.pop();
    });
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::AmbiguousData], "one holds less");
    let message = &plan.notes[0].message;
    assert!(!message.contains("was used"), "no annotation was: {message}");
}
