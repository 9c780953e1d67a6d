//! A master that says nothing and is not proved to have ended.

use crate::world::{Fault, Link, Mood, World, pod_name, reasons};
use redis_operator_core::observed::Policy;
use redis_operator_core::plan::{Plan, Reason};
use redis_operator_core::record::{Phase, Stage};
use std::time::Duration;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const POLICIES: [Policy; 2] = [Policy::Availability, Policy::Durability];

fn healthy(replicas: u32, policy: Policy) -> World {
    let mut world = World::healthy(replicas);
    world.desired.policy = policy;
    world
}

/// Until another one than this is published, and how long that takes.
fn until_replaced(world: &mut World, master: u32) -> Duration {
    world.until(|world| world.published().is_some_and(|published| published != master))
}

fn assert_term_stays(world: &mut World, wait: Duration) -> Plan {
    let before = world.record().term;
    let plan = world.settle_for(wait);
    assert_eq!(
        (world.record().term, world.record().phase),
        (before, Phase::Steady),
        "{}",
        world.story()
    );
    plan
}

#[test]
fn d02_a_hung_master_is_replaced_after_its_silence() {
    let mut world = healthy(3, Policy::Availability);
    world.mood(0, Mood::Hung);
    let took = until_replaced(&mut world, 0);
    assert!(took >= ms(2_000) && took < ms(3_500), "{took:?}");
    world.assert_nothing_lost();
}

#[test]
fn d02_durability_waits_until_a_hung_master_could_take_nothing() {
    let mut world = healthy(3, Policy::Durability);
    world.mood(0, Mood::Hung);
    let took = until_replaced(&mut world, 0);
    assert!(
        took >= ms(5_000) && took < ms(6_500),
        "M + 2 s from the freeze: {took:?}"
    );
    world.assert_nothing_lost();
}

#[test]
fn d02_down_after_is_the_users_choice() {
    let mut world = healthy(3, Policy::Availability);
    world.desired.down_after = ms(500);
    world.mood(0, Mood::Hung);
    let took = until_replaced(&mut world, 0);
    assert!(
        took >= ms(1_500) && took < ms(2_500),
        "the witnesses need 1.5 s: {took:?}"
    );
    let mut world = healthy(3, Policy::Availability);
    world.desired.down_after = ms(8_000);
    world.mood(0, Mood::Hung);
    let took = until_replaced(&mut world, 0);
    assert!(took >= ms(8_000) && took < ms(10_000), "{took:?}");
}

#[test]
fn d07_a_master_on_a_lost_node_is_replaced_without_its_pod_object() {
    for (policy, at_most) in [(Policy::Availability, ms(3_500)), (Policy::Durability, ms(5_500))] {
        let mut world = healthy(3, policy);
        world.isolated.insert(pod_name(0));
        let took = until_replaced(&mut world, 0);
        assert!(took < at_most, "{policy:?}: {took:?}");
        assert!(world.write());
        world.isolated.clear();
        world.settle();
        world.assert_healthy();
        world.assert_nothing_lost();
    }
}

#[test]
fn f02_a_master_that_is_cut_off_takes_no_write_once_it_is_replaced() {
    for policy in POLICIES {
        let mut world = healthy(3, policy);
        world.isolated.insert(pod_name(0));
        until_replaced(&mut world, 0);
        assert!(!world.write_to(0), "{policy:?}: its guard refuses");
    }
}

#[test]
fn d13_a_short_stall_is_no_failure() {
    let mut world = World::healthy(3);
    world.mood(0, Mood::Hung);
    assert_term_stays(&mut world, ms(1_500));
    world.mood(0, Mood::Fine);
    assert_term_stays(&mut world, ms(60_000));
    world.assert_healthy();
}

#[test]
fn d16_a_new_operator_counts_what_the_witnesses_heard() {
    let mut world = World::healthy(3);
    world.isolated.insert(pod_name(0));
    world.tick(ms(3_500));
    world.new_operator();
    let took = until_replaced(&mut world, 0);
    // one failed attempt, and the fence from what they heard last
    assert!(took < ms(2_000), "{took:?}");
}

#[test]
fn d20_a_full_sync_under_way_is_a_veto() {
    let mut world = World::healthy(3);
    world.unreachable.insert(pod_name(0));
    for ordinal in [1, 2] {
        world.slow_sync.insert(pod_name(ordinal));
        let master = world.server(0).run.clone();
        world.server_mut(ordinal).link = Link::Syncing(master);
    }
    let plan = assert_term_stays(&mut world, ms(60_000));
    assert_eq!(reasons(&plan), [Reason::MasterUnclear]);
    assert!(!world.server(1).follows_nobody(), "nobody was frozen");
}

#[test]
fn d05_a_silent_master_and_no_witness_is_no_election() {
    let mut world = World::healthy(2);
    world.isolated.insert(pod_name(0));
    world.unreachable.insert(pod_name(1));
    let plan = assert_term_stays(&mut world, ms(300_000));
    assert_eq!(reasons(&plan), [Reason::MasterUnclear]);
    let way_out = format!("redis-operator.dev/ended={}", world.server(0).run);
    assert!(plan.notes[0].message.contains(&way_out), "{plan:?}");
}

#[test]
fn e26_a_silent_master_whose_witnesses_are_too_few_keeps_them() {
    let mut world = healthy(5, Policy::Availability);
    world.isolated.extend([pod_name(0), pod_name(3), pod_name(4)]);
    // E = 2 of 4: two could have what two others acknowledged alone
    let plan = assert_term_stays(&mut world, ms(300_000));
    assert_eq!(reasons(&plan), [Reason::QuorumMissing, Reason::MasterUnclear]);
    assert!(!world.server(1).follows_nobody(), "nobody was frozen");
    world.isolated.remove(&pod_name(3));
    until_replaced(&mut world, 0);
    world.assert_nothing_lost();
}

#[test]
fn d19_a_person_who_knows_more_may_declare_the_end() {
    let mut world = healthy(5, Policy::Availability);
    world.isolated.extend([pod_name(0), pod_name(3), pod_name(4)]);
    assert_term_stays(&mut world, ms(30_000));
    world.desired.ended = ["some-other-run".to_owned()].into();
    assert_term_stays(&mut world, ms(30_000));
    world.desired.ended = [world.server(0).run.clone()].into();
    until_replaced(&mut world, 0);
}

#[test]
fn d23_a_master_that_answers_before_the_claim_keeps_its_place() {
    let mut world = healthy(3, Policy::Durability);
    world.mood(0, Mood::Hung);
    world.until(|world| world.record().phase == Phase::Electing && world.server(1).follows_nobody());
    world.mood(0, Mood::Fine);
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.pods.len(), 3);
    // and is not suspected again for a while
    world.mood(0, Mood::Hung);
    assert_term_stays(&mut world, ms(20_000));
    let took = until_replaced(&mut world, 0);
    assert!(took < ms(20_000), "{took:?}");
}

#[test]
fn f04_an_operator_that_dies_while_it_waits_for_the_fence() {
    let mut world = healthy(3, Policy::Durability);
    world.isolated.insert(pod_name(0));
    world.until(|world| world.record().phase == Phase::Electing && world.server(1).follows_nobody());
    world.new_operator();
    let took = until_replaced(&mut world, 0);
    assert!(took >= ms(3_000), "counted anew: {took:?}");
    world.assert_nothing_lost();
}

#[test]
fn f02_a_silent_master_that_refuses_once_its_members_are_frozen_has_not_ended() {
    let mut world = healthy(3, Policy::Durability);
    world.isolated.insert(pod_name(0));
    world.until(|world| world.record().phase == Phase::Electing && world.server(1).follows_nobody());
    // the cable is back, and a firewall rejects the operator: nobody is left who could hear the master
    world.isolated.clear();
    world.rejecting.insert(pod_name(0));
    let took = until_replaced(&mut world, 0);
    assert!(took >= ms(2_900), "M + 2 s from the freeze: {took:?}");
}

#[test]
fn d04_members_that_an_interrupted_election_left_frozen_are_no_witnesses() {
    let mut world = World::healthy(3);
    let now = world.now;
    for ordinal in [1, 2] {
        world.hang_up_on(&pod_name(ordinal));
        world.server_mut(ordinal).follow("127.0.0.1", now);
    }
    world.unreachable.insert(pod_name(0));
    world.new_operator();
    assert_term_stays(&mut world, ms(60_000));
    assert!(world.server(1).is_linked() && world.server(2).is_linked());
}

#[test]
fn d14_elections_that_come_to_nothing_follow_each_other_more_and_more_slowly() {
    let mut world = World::healthy(3);
    world.isolated.insert(pod_name(0));
    let (before, begun) = (world.record().term, world.now);
    while world.now.since(begun) < ms(60_000) {
        world.pass_only();
        // one of the two that are needed is lost as soon as it is frozen, and back when the election has ended
        match world.record().phase {
            Phase::Electing if world.server(2).follows_nobody() => drop(world.unreachable.insert(pod_name(2))),
            Phase::Steady => world.unreachable.clear(),
            _ => {}
        }
        world.tick(ms(20));
    }
    let attempts = world.record().term - before;
    assert!((4..=8).contains(&attempts), "{attempts}");
    // one that ended is replaced at once
    let run = world.server(0).run.clone();
    world.desired.ended = [run].into();
    world.unreachable.clear();
    let took = until_replaced(&mut world, 0);
    assert!(took < ms(1_000), "{took:?}");
}

#[test]
fn f02_the_fence_counts_from_what_a_member_received_just_before_it_was_frozen() {
    for late in [false, true] {
        let mut world = World::healthy(3);
        world.isolated.insert(pod_name(0));
        world.until(|world| world.server(1).follows_nobody());
        let begun = world.now;
        if late {
            // after it was asked, and before it was frozen
            world.server_mut(1).offset += 10;
        }
        until_replaced(&mut world, 0);
        let took = world.now.since(begun);
        assert_eq!(took >= ms(2_900), late, "{took:?}");
    }
}

#[test]
fn f02_a_guard_that_was_set_without_an_answer_counts_as_set() {
    let mut world = healthy(2, Policy::Durability);
    world.server_mut(0).guard_lag = 1;
    world.faults.insert(world.steps + 1, Fault::Unknown);
    world.pass_only();
    world.isolated.insert(pod_name(0));
    assert_eq!(world.server(0).guard_lag, 2);
    world.until(|world| world.server(1).follows_nobody());
    let took = until_replaced(&mut world, 0);
    assert!(took >= ms(3_900), "M is 2: {took:?}");
}

#[test]
fn d07_a_master_whose_pod_has_lost_its_address_is_silent() {
    let mut world = World::healthy(3);
    world.isolated.insert(pod_name(0));
    world.pod_mut(0).address = String::new();
    let took = until_replaced(&mut world, 0);
    assert!(took >= ms(2_000) && took < ms(5_000), "{took:?}");
    // and where that cannot be done, it is said
    let mut world = World::healthy(2);
    world.unreachable.insert(pod_name(1));
    world.isolated.insert(pod_name(0));
    world.pod_mut(0).address = String::new();
    let plan = assert_term_stays(&mut world, ms(120_000));
    assert_eq!(reasons(&plan), [Reason::MasterUnclear]);
}

#[test]
fn f06_a_hung_master_that_is_resumed_later_is_demoted() {
    for policy in POLICIES {
        let mut world = healthy(3, policy);
        world.mood(0, Mood::Hung);
        let new = {
            until_replaced(&mut world, 0);
            world.published()
        };
        assert!(world.write());
        world.tick(ms(120_000));
        world.settle();
        world.mood(0, Mood::Fine);
        world.settle();
        assert_eq!(Some(world.master()), new);
        world.assert_nothing_lost();
    }
}

#[test]
fn e29_a_claimed_one_that_is_lost_is_passed_over_if_the_others_are_enough() {
    let mut world = World::healthy(5);
    world.kill(0);
    world.until(|world| world.record().phase == Phase::Promoting);
    world.isolated.insert(pod_name(1));
    until_replaced(&mut world, 0);
    assert_eq!(world.published(), Some(2));
    world.isolated.clear();
    world.start(0);
    world.settle();
    world.assert_healthy();
    world.assert_nothing_lost();
    // of three the other one may lack what only the claimed one has
    let mut world = healthy(3, Policy::Durability);
    world.kill(0);
    world.until(|world| world.record().phase == Phase::Promoting);
    world.isolated.insert(pod_name(1));
    let plan = world.settle_for(ms(200_000));
    assert_eq!(reasons(&plan), [Reason::QuorumMissing, Reason::MasterUnclear]);
    world.isolated.clear();
    world.start(0);
    world.settle();
    world.assert_healthy();
}

#[test]
fn f11_clients_of_a_former_master_are_cut_until_none_comes_back() {
    let mut world = World::healthy(3);
    world.mood(0, Mood::Hung);
    until_replaced(&mut world, 0);
    world.mood(0, Mood::Fine);
    world.until(|world| {
        world
            .record()
            .member(&world.pod(0).uid, &world.server(0).run)
            .is_some_and(|it| it.stage == Stage::Full)
    });
    let cut = |world: &World| world.cut_clients.iter().filter(|pod| **pod == pod_name(0)).count();
    assert_eq!(cut(&world), 1, "with its demotion");
    // one is led there once more
    world.server_mut(0).misdirected += 1;
    assert_term_stays(&mut world, ms(1_000));
    assert_eq!(cut(&world), 2);
    assert!(!world.server(0).serves, "it is no replica for readers yet");
    world.settle();
    assert_eq!(cut(&world), 2);
    world.assert_healthy();
}

#[test]
fn f11_a_client_that_never_goes_away_does_not_keep_a_replica_from_the_others() {
    let mut world = World::healthy(3);
    world.mood(0, Mood::Hung);
    until_replaced(&mut world, 0);
    world.mood(0, Mood::Fine);
    let begun = world.now;
    world.until(|world| !world.server(0).master);
    while !world.server(0).serves {
        world.server_mut(0).misdirected += 1;
        world.pass_only();
        world.tick(ms(200));
        let lasts = world.now.since(begun);
        assert!(lasts < Duration::from_secs(40), "{lasts:?}{}", world.story());
    }
}

#[test]
fn d22_a_member_whose_input_never_drains_is_frozen_after_a_while() {
    let mut world = World::healthy(3);
    world.mood(0, Mood::Hung);
    world.server_mut(1).unread = 7;
    world.server_mut(2).unread = 7;
    let took = until_replaced(&mut world, 0);
    assert!(took < ms(4_000), "{took:?}");
}

#[test]
fn d12_links_that_are_down_say_nothing_about_a_master_that_answers() {
    let mut world = World::healthy(3);
    for ordinal in [1, 2] {
        world.server_mut(ordinal).attaches_as = "somebody-else".to_owned();
        world.server_mut(ordinal).link = Link::Down(None);
    }
    let before = world.record().term;
    world.settle();
    assert_eq!((world.master(), world.record().term), (0, before));
}

#[test]
fn a_master_without_a_guard_is_not_replaced_while_it_may_live() {
    let mut world = World::new(2, crate::world::Disk::Memory);
    world.slow_sync.insert(pod_name(1));
    world.settle_for(ms(1_000));
    world.isolated.insert(pod_name(0));
    world.slow_sync.clear();
    assert_term_stays(&mut world, ms(60_000));
}

/// A replica that joins and has nothing can acknowledge nothing once it is frozen: it is not waited for.
#[test]
fn d02_a_hung_master_is_replaced_while_a_replica_joins_without_data() {
    for policy in [Policy::Availability, Policy::Durability] {
        let mut world = joining_without_data(policy);
        world.mood(0, Mood::Hung);
        let took = world.until(|world| world.published() == Some(1));
        assert!(took < Duration::from_secs(8), "{took:?}");
        world.assert_nothing_lost();
        world.mood(0, Mood::Fine);
        world.slow_sync.clear();
        world.settle();
        assert_eq!(world.master(), 1);
        world.assert_nothing_lost();
    }
}

/// Three instances; the last one joins, and its full sync does not end.
fn joining_without_data(policy: Policy) -> World {
    let mut world = World::healthy(3);
    world.desired.policy = policy;
    world.slow_sync.insert(pod_name(2));
    world.restart(2);
    world.settle();
    assert_eq!(world.record().members[&pod_name(2)].stage, Stage::Joining);
    assert!(world.write());
    world
}

/// It may live behind a firewall that rejects those who were asked, and feed the one that joins as soon as that gets through.
#[test]
fn d18_one_that_joins_without_data_is_frozen_before_a_master_that_refuses_is_replaced() {
    let mut world = joining_without_data(Policy::Availability);
    for ordinal in [1, 2] {
        world.cut.insert((pod_name(ordinal), pod_name(0)));
    }
    world.hang_up_on(&pod_name(0));
    world.rejecting.insert(pod_name(0));
    world.until(|world| {
        world
            .record()
            .claim
            .as_ref()
            .is_some_and(|claim| claim.process.pod == pod_name(1))
    });
    assert!(world.server(2).follows_nobody(), "{}", world.story());
}

#[test]
fn d02_one_that_joins_and_cannot_be_frozen_is_waited_for() {
    let mut world = joining_without_data(Policy::Availability);
    world.operator.attached.clear();
    world.operator.withheld.insert(pod_name(2));
    world.mood(0, Mood::Hung);
    world.settle_for(Duration::from_secs(10));
    assert_eq!(world.published(), Some(0), "{}", world.story());
    assert_eq!(world.record().term, 1);
}

#[test]
fn d02_one_that_joins_and_cannot_be_frozen_holds_up_nobody_who_is_enough() {
    let mut world = World::healthy(5);
    world.desired.policy = Policy::Durability;
    world.slow_sync.insert(pod_name(4));
    world.restart(4);
    world.settle();
    world.operator.attached.clear();
    world.operator.withheld.insert(pod_name(4));
    world.mood(0, Mood::Hung);
    let took = world.until(|world| world.published().is_some_and(|published| published != 0));
    assert!(took < Duration::from_secs(8), "{took:?}");
    world.assert_nothing_lost();
}

#[test]
fn d23_one_that_joins_follows_again_when_the_master_answers() {
    let mut world = joining_without_data(Policy::Durability);
    world.mood(0, Mood::Hung);
    world.until(|world| world.server(1).follows_nobody() && world.server(2).follows_nobody());
    world.mood(0, Mood::Fine);
    world.slow_sync.clear();
    world.settle();
    assert_eq!(world.master(), 0);
}

/// What it acknowledged until it was frozen is what it has: one that came into sync at the last moment counts.
#[test]
fn e26_one_that_comes_into_sync_before_it_is_frozen_is_counted() {
    let mut world = joining_without_data(Policy::Availability);
    world.stall(1);
    world.isolated.insert(pod_name(0));
    world.until(|world| world.record().phase == Phase::Electing);
    // in truth it hears the master, which clients still reach
    world.isolated.clear();
    world.slow_sync.clear();
    world.unreachable.insert(pod_name(0));
    world.flow();
    world.write_to(0);
    world.settle_for(Duration::from_secs(10));
    world.assert_nothing_lost();
}

/// Nobody's word is needed to take writes where no guard is on: cut off, it would go on.
#[test]
fn a_full_replica_does_not_replace_a_master_whose_guard_is_not_on_yet() {
    let mut world = World::new(2, crate::world::Disk::Memory);
    let full = |world: &World| world.record().at(Stage::Full).next().is_some();
    world.until(|world| world.record.is_some() && full(world));
    world.observe();
    assert_eq!((world.record().quorum, world.server(0).guard), (0, 0));
    world.isolated.insert(pod_name(0));
    let plan = assert_term_stays(&mut world, ms(60_000));
    let said: Vec<_> = plan.notes.iter().map(|note| note.message.as_str()).collect();
    assert!(said.join(" ").contains("write guard was not on yet"), "{said:?}");
}
