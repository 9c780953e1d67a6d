//! Planned changes of master lose nothing, plain writes included.

use crate::world::{Disk, Fault, Mood, World, pod_name, reasons};
use redis_operator_core::plan::Reason;
use redis_operator_core::record::Phase;
use std::time::Duration;

/// Every write that was acknowledged, with WAIT or without, is on the published master.
fn assert_complete(world: &World, written: &[u32]) {
    let data = &world.server(world.published().unwrap()).data;
    assert_eq!(data, written, "{}", world.story());
}

#[test]
fn r01_a_master_that_is_deleted_hands_over_first() {
    let mut world = World::healthy(3);
    world.delete(0);
    let took = world.until(|world| world.published() == Some(1));
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert!(!world.server(0).master, "its preStop may go on");
    assert_complete(&world, &world.server(0).data.clone());
    assert!(world.write());
    world.settle();
    world.vanish(0);
    world.settle();
    assert_eq!(world.master(), 1);
}

#[test]
fn r01_no_plain_write_is_lost_whenever_clients_write() {
    let calm = {
        let mut world = World::healthy(3);
        world.delete(0);
        world.settle();
        world.steps
    };
    for at in 0..calm {
        let mut world = World::healthy(3);
        let begun = world.steps;
        world.delete(0);
        let mut written = world.server(0).data.clone();
        for _ in 0..200 {
            if world.steps >= begun + at && world.write() {
                written.push(*world.server(world.published().unwrap()).data.last().unwrap());
            }
            world.pass_only();
            world.flow();
        }
        assert_ne!(world.published(), Some(0));
        assert_complete(&world, &written);
    }
}

#[test]
fn r01_one_alone_is_not_held_back() {
    let mut world = World::healthy(1);
    world.delete(0);
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::SwitchoverWaits]);
}

#[test]
fn r17_when_all_are_deleted_nothing_is_switched() {
    let mut world = World::healthy(3);
    for ordinal in 0..3 {
        world.delete(ordinal);
    }
    world.settle_for(Duration::from_secs(5));
    assert_eq!(world.record().term, 1);
    assert_eq!(world.published(), Some(0));
}

#[test]
fn r03_a_master_beyond_the_wanted_replicas_hands_over_and_leaves() {
    let mut world = World::healthy(3);
    world.kill(0);
    world.kill(1);
    world.until(|world| world.published() == Some(2));
    world.start(0);
    world.start(1);
    world.settle();
    assert_eq!(world.master(), 2);
    world.desired.replicas = 2;
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.pods.len(), 2);
    world.assert_nothing_lost();
}

#[test]
fn r06_a_target_that_does_not_catch_up_ends_the_switchover() {
    let mut world = World::healthy(2);
    world.stall(1);
    assert!(world.write_to(0), "it counts for the guard until it is late");
    world.delete(0);
    world.until(|world| world.record().phase == Phase::Switching);
    let plan = world.settle_for(Duration::from_millis(2_500));
    assert_eq!(world.record().phase, Phase::Steady);
    assert_eq!(world.published(), Some(0));
    assert_eq!(world.server(0).paused, None, "clients go on");
    assert_eq!(reasons(&plan), [Reason::SwitchoverWaits]);
    assert_eq!(world.record().term, 1);
}

#[test]
fn r06_the_target_dies_in_the_middle() {
    for after in 0..12 {
        let mut world = World::healthy(3);
        world.delete(0);
        for _ in 0..after {
            world.pass_only();
        }
        world.kill(1);
        world.until(|world| world.published() == Some(2));
        world.start(1);
        world.settle();
        assert_eq!(world.published(), Some(2), "after {after} passes");
        world.assert_nothing_lost();
    }
}

#[test]
fn r06_the_master_hangs_or_dies_in_the_middle() {
    for after in 0..12 {
        for hangs in [true, false] {
            let mut world = World::healthy(3);
            world.delete(0);
            for _ in 0..after {
                world.pass_only();
            }
            if hangs {
                world.mood(0, Mood::Hung);
            } else {
                world.kill(0);
            }
            world.until(|world| world.published().is_some_and(|published| published != 0));
            assert!(world.write(), "after {after} passes");
            world.assert_nothing_lost();
        }
    }
}

/// What people count as planned is what was brought to its end as planned.
#[test]
fn r06_a_master_that_dies_in_the_middle_is_no_switchover() {
    let reason = |dies: bool| {
        let mut world = World::healthy(3);
        world.stall(1);
        assert!(world.write());
        world.desired.switchover = Some(pod_name(1));
        world.until(|world| world.record().phase == Phase::Switching);
        if dies {
            world.kill(0);
        } else {
            world.server_mut(1).stalled = None;
        }
        world.until(|world| world.published().is_some_and(|published| published != 0));
        world.record().reason
    };
    assert_eq!(reason(false), "Switchover to redis-a-1");
    assert_eq!(reason(true), "its master ended in the switchover to redis-a-1");
}

#[test]
fn f04_an_operator_that_takes_over_in_the_middle_begins_again() {
    let mut world = World::healthy_on(3, Disk::Memory);
    world.delete(0);
    world.until(|world| world.record().phase == Phase::Switching);
    world.new_operator();
    world.until(|world| world.published() == Some(1));
    world.assert_nothing_lost();
    world.isolated.insert(pod_name(2));
}

#[test]
fn r01_a_master_that_has_to_go_says_whom_it_waits_for() {
    for deleted in [false, true] {
        let mut world = World::healthy(3);
        world.slow_sync.insert(pod_name(2));
        world.restart(2);
        world.settle();
        if deleted {
            world.delete(0);
        } else {
            world.pod_mut(0).evacuating = Some("the node is cordoned".to_owned());
        }
        let plan = world.settle_for(Duration::from_secs(5));
        let note = plan.notes.iter().find(|note| note.reason == Reason::SwitchoverWaits);
        let said = note.expect("it says so").message.clone();
        assert!(said.contains("waits until redis-a-2 is in sync"), "{said}");
        let plan = world.settle_for(Duration::from_secs(5));
        assert_eq!(plan.notes[0].message, said, "and the same as before");
        world.slow_sync.clear();
        world.until(|world| world.published() == Some(1));
        world.assert_nothing_lost();
    }
}

#[test]
fn r01_it_is_said_why_none_of_those_in_sync_can_be_master() {
    let mut world = World::healthy(3);
    for ordinal in 0..2 {
        world.pod_mut(ordinal).evacuating = Some("the node is cordoned".to_owned());
    }
    world.prefer(2, 0);
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::SwitchoverWaits]);
    let said = &plan.notes[0].message;
    for words in [
        "redis-a-1 should leave its node: the node is cordoned",
        "redis-a-2 has priority 0",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn r06_after_a_demotion_that_failed_clients_are_left_alone_for_a_while() {
    let mut world = World::healthy(3);
    world.delete(0);
    world.until(|world| world.record().phase == Phase::Switching);
    // the record says Electing, and the demotion is not done
    world.faults.insert(world.steps + 2, Fault::Fail);
    world.until(|world| world.record().phase == Phase::Electing);
    world.until(|world| world.record().phase == Phase::Steady);
    let plan = world.settle_for(Duration::from_secs(4));
    assert_eq!(
        (world.record().term, world.published()),
        (2, Some(0)),
        "{}",
        world.story()
    );
    assert_eq!(reasons(&plan), [Reason::SwitchoverWaits]);
    assert!(world.write(), "clients go on");
    world.settle_for(Duration::from_secs(2));
    assert_eq!(world.published(), Some(1));
    world.assert_nothing_lost();
}

/// Candidates on such nodes come last, and one of them is better than none.
#[test]
fn r01_a_master_that_is_deleted_hands_over_to_one_on_a_cordoned_node_if_there_is_no_other() {
    let mut world = World::healthy(3);
    for ordinal in 0..3 {
        world.pod_mut(ordinal).evacuating = Some("the node is cordoned".to_owned());
    }
    world.settle();
    assert_eq!(world.published(), Some(0), "as long as it may stay");
    world.delete(0);
    let took = world.until(|world| world.published().is_some_and(|published| published != 0));
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert!(!world.server(0).master, "its preStop may go on");
    assert_complete(&world, &world.server(0).data.clone());
}
