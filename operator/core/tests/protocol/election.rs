//! What an election waits for, and what ends it.

use crate::world::{Mood, World, answer_mut, pod_name};
use redis_operator_core::decide::decide;
use redis_operator_core::observed::Policy;
use redis_operator_core::plan::Step;
use redis_operator_core::record::Phase;
use std::time::Duration;

/// Long enough for an election, too short for a member to be given up.
const MOMENT: Duration = Duration::from_millis(1500);

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Pods of which a step has this name.
fn told(world: &mut World, name: &str) -> Vec<String> {
    let plan = decide(&world.observe());
    let steps = plan.steps.iter().filter(|step| step.name() == name);
    steps.filter_map(|step| Some(step.server()?.pod.clone())).collect()
}

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

#[test]
fn d22_a_member_is_frozen_once_it_has_applied_what_it_received_or_after_half_a_second() {
    for drains in [true, false] {
        let mut world = World::healthy(3);
        for ordinal in [1, 2] {
            world.server_mut(ordinal).unread = 7;
        }
        world.kill(0);
        world.until(|world| world.record().phase == Phase::Electing);
        world.settle_for(ms(300));
        assert!(!world.server(1).follows_nobody(), "7 bytes would be lost");
        if drains {
            world.server_mut(1).unread = 0;
        }
        let took = world.until(|world| world.server(1).follows_nobody());
        assert_eq!(took < ms(50), drains, "{took:?}");
        assert!(took < ms(300), "{took:?}");
        world.settle_for(MOMENT);
        assert_eq!(world.published(), Some(1));
    }
}

#[test]
fn r01_a_member_that_has_the_demoted_masters_last_byte_is_frozen_though_its_link_is_up() {
    let mut world = World::healthy(3);
    world.delete(0);
    world.until(|world| world.record().phase == Phase::Electing);
    let mut seen = world.observe();
    for (ordinal, behind) in [(1, 0), (2, 10)] {
        let it = &mut answer_mut(&mut seen, ordinal).replication;
        it.offset -= behind;
        let upstream = it.upstream.as_mut().unwrap();
        (upstream.link_up, upstream.read_offset) = (true, it.offset);
    }
    let plan = decide(&seen);
    let steps = plan.steps.iter().filter_map(Step::server);
    let frozen: Vec<_> = steps.map(|process| process.pod.as_str()).collect();
    assert_eq!((plan.why, frozen), ("freeze", vec![pod_name(1).as_str()]));
}

#[test]
fn e14_availability_waits_a_second_for_members_that_it_does_not_reach() {
    let mut world = World::healthy(3);
    world.unreachable.insert(pod_name(2));
    world.kill(0);
    let took = world.until(|world| world.published() == Some(1));
    assert!(took >= ms(1_000) && took < ms(1_200), "{took:?}");
}

#[test]
fn d05_an_election_ends_when_a_member_hears_the_silent_master() {
    let mut world = World::healthy(3);
    world.isolated.insert(pod_name(0));
    world.until(|world| world.record().phase == Phase::Electing);
    world.isolated.clear();
    world.unreachable.insert(pod_name(0));
    world.until(|world| world.record().phase == Phase::Steady);
    assert!(
        world.server(1).is_linked() && world.server(2).is_linked(),
        "nobody was frozen"
    );
    assert_eq!(world.published(), Some(0));
}

#[test]
fn d23_when_an_election_ends_those_who_were_frozen_follow_again() {
    let mut world = World::healthy(4);
    world.mood(0, Mood::Hung);
    world.server_mut(3).unread = 7;
    world.until(|world| world.record().phase == Phase::Electing && world.server(1).follows_nobody());
    let uid = world.pod(2).uid.clone();
    world.mood(0, Mood::Fine);
    world.operator.withheld.insert(pod_name(2));
    world.operator.attached.remove(&uid);
    assert!(world.server(2).follows_nobody() && !world.server(3).follows_nobody());
    assert_eq!(
        told(&mut world, "follow"),
        [pod_name(1)],
        "2 has no connection, 3 follows"
    );
}

#[test]
fn e14_a_full_member_that_shows_that_it_lost_what_it_had_is_still_counted() {
    let mut world = World::healthy(3);
    world.desired.policy = Policy::Durability;
    world.stall(2);
    assert!(world.write(), "acknowledged by 1 alone");
    world.server_mut(1).placed = false;
    world.hang_up_on(&pod_name(0));
    world
        .cut
        .extend([(pod_name(1), pod_name(0)), (pod_name(2), pod_name(0))]);
    world.kill(0);
    world.settle_for(MOMENT);
    assert_eq!(world.published(), Some(0), "2 lacks the write{}", world.story());
}

/// Who is elected of three with the same data, the third preferred for nothing but `what`.
fn elected(what: impl Fn(&mut World)) -> Option<u32> {
    let mut world = World::healthy(3);
    what(&mut world);
    world.kill(0);
    world.settle_for(MOMENT);
    world.published()
}

#[test]
fn e18_of_those_with_the_same_data_the_better_placed_one_is_elected() {
    assert_eq!(elected(|_| {}), Some(1));
    let node = |world: &mut World, node: &str| node.clone_into(&mut world.pod_mut(1).node);
    assert_eq!(elected(|world| node(world, "node-0")), Some(2), "the old master's node");
    assert_eq!(elected(|world| node(world, "node-2")), Some(1));
    let draining = |world: &mut World| world.pod_mut(1).evacuating = Some("its node is drained".to_owned());
    assert_eq!(elected(draining), Some(2));
    let preferred = |world: &mut World, ordinal| world.server_mut(ordinal).priority = 10;
    assert_eq!(elected(|world| preferred(world, 2)), Some(2));
    let both = |world: &mut World| {
        node(world, "node-0");
        preferred(world, 1);
    };
    assert_eq!(elected(both), Some(1), "the priority counts more than the node");
}

#[test]
fn r06_the_target_of_a_switchover_is_elected_when_its_master_dies_in_the_middle() {
    let mut world = World::healthy(3);
    world.desired.switchover = Some(pod_name(2));
    world.until(|world| world.record().phase == Phase::Switching);
    world.kill(0);
    world.settle_for(MOMENT);
    assert_eq!(world.published(), Some(2));
}
