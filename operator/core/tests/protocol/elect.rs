//! Who is elected?

use crate::world::{World, pod_name, reasons};
use redis_operator_core::observed::Policy;
use redis_operator_core::plan::Reason;
use redis_operator_core::record::{Phase, Stage};
use std::time::Duration;

/// Long enough for an election, too short for a member to be given up.
const MOMENT: Duration = Duration::from_millis(1500);

#[test]
fn e03_data_comes_before_priority() {
    let mut world = World::healthy(2);
    world.desired.replicas = 3;
    world.slow_sync.insert(pod_name(2));
    world.stateful_set();
    world.server_mut(2).priority = 10;
    world.settle_for(MOMENT);
    assert_eq!(world.record().members[&pod_name(2)].stage, Stage::Joining);
    world.kill(0);
    world.settle_for(MOMENT);
    assert_eq!(world.published(), Some(1));
    world.assert_nothing_lost();
}

#[test]
fn e04_the_largest_offset_then_the_lowest_ordinal() {
    for ahead in [None, Some(1), Some(2)] {
        let mut world = World::healthy(3);
        if let Some(ahead) = ahead {
            world.stall(3 - ahead);
            assert!(world.write());
        }
        world.kill(0);
        world.settle_for(MOMENT);
        assert_eq!(world.published(), Some(ahead.unwrap_or(1)));
        world.assert_nothing_lost();
    }
}

#[test]
fn e05_priority_zero_is_never_promoted() {
    let mut world = World::healthy(3);
    for ordinal in [1, 2] {
        world.server_mut(ordinal).priority = 0;
    }
    world.kill(0);
    world.pending.insert(0);
    world.vanish(0);
    let plan = world.settle();
    assert!(reasons(&plan).contains(&Reason::NoCandidate), "{plan:?}");
    assert_eq!(world.record().phase, Phase::Steady, "nobody is frozen for nothing");
    world.server_mut(2).priority = 100;
    world.settle();
    assert_eq!(world.published(), Some(2));
}

#[test]
fn e06_history_comes_before_offset() {
    let mut world = World::healthy(3);
    let old = world.server_mut(2);
    (old.id, old.offset) = ("id-of-old".to_owned(), 9_000);
    old.link = crate::world::Link::Down(None);
    world.cut.insert((pod_name(2), pod_name(0)));
    world.kill(0);
    world.settle_for(MOMENT);
    assert_eq!(world.published(), Some(1));
}

#[test]
fn e16_a_new_master_without_replicas_stays() {
    let mut world = World::healthy(3);
    world.slow_sync.extend((0..3).map(pod_name));
    for ordinal in 1..3 {
        world.restart(ordinal);
        world.settle();
    }
    assert_eq!(world.published(), Some(0));
    assert_eq!(world.record().term, 1);
    world.slow_sync.clear();
    world.settle();
    assert_eq!(world.master(), 0);
}

#[test]
fn e02_a_master_without_any_replica_stays() {
    let mut world = World::healthy(3);
    for ordinal in 1..3 {
        world.vanish(ordinal);
        world.pending.insert(ordinal);
    }
    world.settle();
    assert_eq!((world.published(), world.record().term), (Some(0), 1));
    assert!(world.write(), "it goes on alone");
}

#[test]
fn e21_the_id_that_the_first_replica_made_the_master_draw_is_on_record() {
    let mut world = World::healthy(3);
    assert_eq!(world.record().id, world.server(0).id);
    assert_eq!(world.record().previous_id, None);
    world.kill(0);
    world.settle_for(MOMENT);
    assert_eq!(world.published(), Some(1));
    world.assert_nothing_lost();
}

#[test]
fn e24_who_left_is_no_candidate_before_it_joins_again() {
    let mut world = World::healthy_on(3, crate::world::Disk::Rdb);
    world.desired.replicas = 2;
    world.settle();
    world.desired.replicas = 3;
    // back with its old volume, and the operator cannot attach to it yet
    world.operator.withheld.insert(pod_name(2));
    world.settle();
    assert_eq!(world.server(2).id, world.record().id);
    assert!(!world.record().members.contains_key(&pod_name(2)));
    world.lose_node(1);
    world.kill(0);
    let plan = world.settle_for(Duration::from_secs(30));
    assert_ne!(world.published(), Some(2), "{plan:?}");
}

#[test]
fn e25_a_leave_waits_until_another_one_has_the_write() {
    let mut world = World::healthy(3);
    world.desired.replicas = 2;
    world.stall(1);
    assert!(world.write(), "acknowledged by 2 alone");
    world.settle_for(MOMENT);
    assert_eq!(world.record().members[&pod_name(2)].stage, Stage::Leaving);
    let mut later = world.clone();
    later.server_mut(1).stalled = None;
    later.settle();
    assert_eq!(later.master(), 0);
    // e28: the master dies before the leave is over, and the leaving one is a candidate
    world.kill(0);
    world.settle_for(MOMENT);
    assert_eq!(world.published(), Some(2));
    world.assert_nothing_lost();
}

#[test]
fn e28_the_leaving_one_is_still_a_candidate() {
    let mut world = World::healthy(3);
    world.stall(1);
    assert!(world.write());
    world.delete(2);
    world.settle_for(MOMENT);
    assert_eq!(world.record().members[&pod_name(2)].stage, Stage::Leaving);
    world.kill(0);
    world.settle_for(MOMENT);
    assert_eq!(world.published(), Some(2));
    world.assert_nothing_lost();
}

#[test]
fn e26_the_quorum_is_raised_after_the_guard_has_taken_effect() {
    let mut world = World::healthy(3);
    world.desired.replicas = 4;
    world.stateful_set();
    // three members want E = 2; until the guard is at 2 a single acknowledgement counts
    loop {
        let (plan, _) = world.pass();
        assert!(world.write());
        if world.record().quorum == 2 || plan.steps.is_empty() && plan.wake.is_none() {
            break;
        }
    }
    world.settle();
    assert_eq!(world.record().quorum, 2);
    world.kill(0);
    world.settle_for(MOMENT);
    world.assert_nothing_lost();
}

#[test]
fn e26_a_write_that_one_has_survives_at_every_moment_of_a_join() {
    for passes in 0..14 {
        for has_it in 1..4 {
            let mut world = World::healthy(3);
            world.desired.replicas = 4;
            world.stateful_set();
            for _ in 0..passes {
                world.pass();
            }
            for other in (1..4).filter(|other| *other != has_it) {
                world.stall(other);
            }
            world.write();
            world.kill(0);
            world.settle_for(MOMENT);
            if world.published().is_some() {
                world.assert_nothing_lost();
            }
        }
    }
}

#[test]
fn e26_a_member_that_lost_its_link_and_then_what_it_had_is_still_counted() {
    let mut world = World::healthy(3);
    world.desired.policy = Policy::Durability;
    world.stall(2);
    assert!(world.write(), "acknowledged by 1 alone");
    world.cut.insert((pod_name(1), pod_name(0)));
    world.settle_for(Duration::from_millis(5_500));
    assert_eq!(world.record().members[&pod_name(1)].stage, Stage::Joining);
    assert!(world.server(2).is_linked() && world.server(2).data.len() < world.server(0).data.len());
    // it comes back too late for a partial resync, and the master dies in the middle of the full one
    world.slow_sync.insert(pod_name(1));
    world.server_mut(1).placed = false;
    world.cut.clear();
    world.settle_for(MOMENT);
    world.kill(0);
    let plan = world.settle_for(MOMENT);
    assert_eq!(world.published(), Some(0), "2 lacks the write{}", world.story());
    assert!(reasons(&plan).contains(&Reason::QuorumMissing), "{plan:?}");
}

#[test]
fn e27_a_follower_is_a_candidate_from_the_promotions_offset_on() {
    let mut world = World::healthy(3);
    world.stall(2);
    assert!(world.write());
    world.kill(0);
    world.pending.insert(0);
    world.vanish(0);
    world.cut.insert((pod_name(2), pod_name(1)));
    world.settle_for(MOMENT);
    assert_eq!(world.published(), Some(1));
    // 2 is behind P and cannot follow: never a candidate of an election
    let before = world.record().term;
    world.unreachable.insert(pod_name(1));
    world.settle_for(MOMENT);
    assert_eq!(world.record().term, before);
    assert_eq!(world.published(), Some(1));
}

#[test]
fn e31_who_was_frozen_under_the_id_before_is_promoted_under_it() {
    let mut world = World::healthy(3);
    world.cut.insert((pod_name(2), pod_name(1)));
    world.kill(0);
    world.pending.insert(0);
    world.vanish(0);
    world.settle_for(MOMENT);
    assert_eq!(world.published(), Some(1));
    let record = world.record();
    assert_eq!(record.previous_id.as_ref(), Some(&world.server(2).id));
    assert_eq!(record.promoted_at, world.server(2).offset);
    world.kill(1);
    world.pending.insert(1);
    world.vanish(1);
    world.settle_for(MOMENT);
    assert_eq!(world.published(), Some(2));
    world.assert_nothing_lost();
}
