//! What an election waits for, and what ends it.

use crate::world::{World, pod_name};
use redis_operator_core::decide::decide;
use redis_operator_core::observed::Policy;
use redis_operator_core::record::Phase;
use std::time::Duration;

/// Long enough for an election, too short for a member to be given up.
const MOMENT: Duration = Duration::from_millis(1500);

#[test]
fn e26_an_election_for_a_master_that_ended_waits_with_its_members_frozen() {
    let mut world = World::healthy(3);
    world.desired.policy = Policy::Durability;
    world.kill(0);
    world.until(|world| world.record().phase == Phase::Electing && world.server(1).follows_nobody());
    world.unreachable.insert(pod_name(2));
    let term = world.record().term;
    world.settle_for(MOMENT);
    assert_eq!((world.record().phase, world.record().term), (Phase::Electing, term));
    assert!(world.server(1).follows_nobody());
    world.unreachable.clear();
    world.settle_for(MOMENT);
    assert_eq!(world.published(), Some(1));
    world.assert_nothing_lost();
}

#[test]
fn d05_an_election_goes_no_further_before_its_master_was_tried() {
    let mut world = World::healthy(3);
    world.isolated.insert(pod_name(0));
    world.until(|world| world.record().phase == Phase::Electing);
    world.hang_up_on(&pod_name(0));
    assert!(!decide(&world.observe()).steps.is_empty(), "it would freeze them");
    world.pod_mut(0).address = String::new();
    assert_eq!(decide(&world.observe()).steps, [], "nothing is known of the master");
}

#[test]
fn e02_an_election_waits_for_the_connection_of_a_master_that_was_demoted() {
    let mut world = World::healthy(3);
    world.stall(1);
    world.stall(2);
    world.server_mut(0).guard = 0;
    assert!(world.write_to(0), "nobody else has it");
    let now = world.now;
    world.hang_up_on(&pod_name(0));
    world.server_mut(0).follow("127.0.0.1", now);
    world.until(|world| world.record().phase == Phase::Electing);
    world.operator.withheld.insert(pod_name(0));
    world.new_operator();
    world.settle_for(MOMENT);
    assert_eq!(world.record().phase, Phase::Electing);
    world.operator.withheld.clear();
    world.settle_for(MOMENT);
    assert_eq!(world.published(), Some(0));
    assert_eq!(world.server(0).data.len(), 6);
}
