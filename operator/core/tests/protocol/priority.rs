//! Priorities: data first, wishes second, and nothing goes back and forth.

use crate::world::{World, pod_name};
use std::time::Duration;

/// A healthy world in which the spec gives these priorities by ordinal, and every replica has been told.
fn with(priorities: &[u32]) -> World {
    let mut world = World::healthy(u32::try_from(priorities.len()).unwrap());
    for (ordinal, priority) in (0..).zip(priorities) {
        world.priorities.insert(ordinal, *priority);
        world.pod_mut(ordinal).priority = Some(*priority);
    }
    world
}

#[test]
fn replicas_are_told_what_the_spec_says() {
    let mut world = with(&[10, 20, 0]);
    world.settle();
    assert_eq!((world.server(1).priority, world.server(2).priority), (20, 0));
    assert_eq!(world.master(), 0);
    world.kill(0);
    world.until(|world| world.published() == Some(1));
    world.start(0);
    world.until(|world| world.pod(0).server.as_ref().is_some_and(|server| server.priority == 10));
}

#[test]
fn a_preferred_one_takes_over_after_a_minute_and_once() {
    let mut world = with(&[100, 50, 100]);
    world.settle_for(Duration::from_secs(50));
    assert_eq!(world.published(), Some(0), "not at once");
    world.settle_for(Duration::from_secs(30));
    assert_eq!(world.published(), Some(1));
    let term = world.record().term;
    world.settle_for(Duration::from_secs(600));
    assert_eq!(world.record().term, term);
    world.assert_healthy();
    world.assert_nothing_lost();
}

#[test]
fn after_a_failover_the_preferred_one_comes_back_after_a_minute_in_sync() {
    let mut world = with(&[10, 100, 100]);
    world.settle();
    for _ in 0..3 {
        world.kill(0);
        world.until(|world| world.published() == Some(1));
        world.settle_for(Duration::from_secs(90));
        assert_eq!(world.published(), Some(1));
        world.start(0);
        world.settle_for(Duration::from_secs(50));
        assert_eq!(world.published(), Some(1));
        world.settle();
        assert_eq!(world.published(), Some(0));
        world.assert_nothing_lost();
    }
}

#[test]
fn a_master_that_may_not_be_one_hands_over_and_one_with_priority_0_is_never_chosen() {
    let mut world = with(&[0, 0, 100]);
    world.settle();
    assert_eq!(world.master(), 2);
    world.kill(2);
    world.settle();
    assert_eq!(world.published(), Some(2), "nobody else may be");
    world.start(2);
    world.settle();
    assert!([Some(2)].contains(&world.published()), "{}", world.story());
}

#[test]
fn one_that_is_behind_or_about_to_go_is_not_preferred() {
    let mut world = with(&[100, 10, 100]);
    world.pod_mut(1).evacuating = Some("cordoned".to_owned());
    world.settle_for(Duration::from_secs(300));
    assert_eq!(world.published(), Some(0));
    world.pod_mut(1).evacuating = None;
    world.cut.insert((pod_name(1), pod_name(0)));
    world.hang_up_on(&pod_name(0));
    world.settle_for(Duration::from_secs(300));
    assert_eq!(world.published(), Some(0));
}

#[test]
fn a_master_that_was_asked_for_stays_as_long_as_the_annotation_does() {
    let mut world = with(&[10, 100, 100]);
    world.settle();
    world.desired.switchover = Some(pod_name(2));
    world.settle_for(Duration::from_secs(600));
    assert_eq!(world.published(), Some(2));
    world.desired.switchover = None;
    world.settle();
    assert_eq!(world.published(), Some(0));
    world.assert_nothing_lost();
}
