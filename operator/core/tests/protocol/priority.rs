//! Priorities: data first, wishes second, and nothing goes back and forth.

use crate::world::{Disk, World, pod_name, reasons};
use redis_operator_core::observed::Paused;
use redis_operator_core::plan::Reason;
use std::time::Duration;

/// A healthy world in which the spec gives these priorities by ordinal, and every replica has been told.
fn with(priorities: &[u32]) -> World {
    let mut world = World::healthy(u32::try_from(priorities.len()).unwrap());
    for (ordinal, priority) in (0..).zip(priorities) {
        world.prefer(ordinal, *priority);
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
    for (wish, master) in [(pod_name(2), 2), ("any".to_owned(), 1)] {
        let mut world = with(&[10, 100, 100]);
        world.settle();
        world.desired.switchover = Some(wish);
        world.settle_for(Duration::from_secs(600));
        assert_eq!(world.published(), Some(master));
        world.desired.switchover = None;
        world.settle();
        assert_eq!(world.published(), Some(0));
        world.assert_nothing_lost();
    }
}

#[test]
fn one_with_priority_0_is_not_chosen_at_the_first_start_either() {
    let mut world = World::new(3, Disk::Memory);
    for ordinal in 0..3 {
        world.prefer(ordinal, if ordinal == 0 { 0 } else { 100 });
    }
    world.until(|world| world.published().is_some());
    assert_eq!(
        world.published(),
        Some(1),
        "nobody was told, and the spec says so all the same"
    );
}

#[test]
fn one_with_priority_0_is_not_chosen_when_all_have_restarted() {
    let mut world = World::healthy_on(3, Disk::Aof);
    for ordinal in 0..3 {
        world.prefer(ordinal, if ordinal == 2 { 100 } else { 0 });
    }
    (0..3).for_each(|ordinal| world.kill(ordinal));
    (1..3).for_each(|ordinal| world.start(ordinal));
    world.settle();
    assert_ne!(world.published(), Some(1), "{}", world.story());
}

#[test]
fn e05_a_priority_that_the_spec_gives_after_the_master_died_counts() {
    let mut world = with(&[100, 0, 0]);
    world.settle();
    world.kill(0);
    world.pending.insert(0);
    world.vanish(0);
    let plan = world.settle();
    assert!(reasons(&plan).contains(&Reason::NoCandidate), "{plan:?}");
    world.prefer(2, 100);
    world.settle_for(Duration::from_secs(1));
    assert_eq!(world.published(), Some(2));
    world.assert_nothing_lost();
}

#[test]
fn a_priority_that_changes_every_second_moves_nobody() {
    let mut world = World::healthy(3);
    for second in 0..200 {
        world.prefer(1, if second % 2 == 0 { 10 } else { 100 });
        world.settle_for(Duration::from_secs(1));
    }
    assert_eq!((world.published(), world.record().term), (Some(0), 1));
}

#[test]
fn a_minute_begins_anew_after_a_break() {
    let mut world = with(&[100, 10, 100]);
    for _ in 0..4 {
        world.settle_for(Duration::from_secs(45));
        world.restart(1);
    }
    assert_eq!((world.published(), world.record().term), (Some(0), 1));
    world.settle();
    assert_eq!(world.master(), 1);
}

#[test]
fn no_client_is_held_up_for_one_that_is_behind() {
    let mut world = with(&[100, 10, 100]);
    world.settle_for(Duration::from_secs(58));
    world.stall(1);
    assert!(world.write_to(0));
    let seq = world.record().seq;
    world.settle_for(Duration::from_secs(5));
    assert_eq!(world.record().seq, seq, "no switchover was begun{}", world.story());
    world.server_mut(1).stalled = None;
    world.settle_for(Duration::from_secs(5));
    assert_eq!(world.published(), Some(1));
    world.assert_nothing_lost();
}

#[test]
fn while_paused_a_preferred_one_waits() {
    let mut world = with(&[100, 10, 100]);
    world.desired.paused = Paused::Planned;
    world.settle_for(Duration::from_secs(300));
    assert_eq!((world.published(), world.record().term), (Some(0), 1));
    world.desired.paused = Paused::No;
    world.until(|world| world.published() == Some(1));
}

#[test]
fn a_wish_by_hand_keeps_no_other_master_than_the_one_it_asked_for() {
    let mut world = with(&[10, 100, 100]);
    world.desired.switchover = Some(pod_name(2));
    world.settle();
    assert_eq!(world.master(), 2);
    world.kill(2);
    world.until(|world| world.published().is_some_and(|published| published != 2));
    world.start(2);
    world.settle();
    assert_eq!(world.master(), 0);
}
