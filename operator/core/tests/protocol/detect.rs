//! Is the master gone?

use crate::world::{Disk, Mood, World, pod_name, reasons};
use redis_operator_core::decide::{Proof, View};
use redis_operator_core::observed::Policy;
use redis_operator_core::plan::{Note, Reason};
use redis_operator_core::record::{Found, Phase};
use std::time::Duration;

/// Nothing is elected: the record stays in its term.
fn assert_no_failover(world: &mut World, reason: Reason) {
    let before = world.record().term;
    let plan = world.settle();
    assert_eq!(world.record().term, before, "{}", world.story());
    assert_eq!(world.record().phase, Phase::Steady);
    assert!(reasons(&plan).contains(&reason), "{plan:?}");
}

#[test]
fn d01_a_refused_connection_and_its_replicas_are_enough() {
    for policy in [Policy::Availability, Policy::Durability] {
        let mut world = World::healthy(3);
        world.desired.policy = policy;
        world.kill_unnoticed(0);
        let took = world.until(|world| world.published() == Some(1));
        assert!(took < Duration::from_millis(100), "kubelet is not waited for: {took:?}");
        assert!(world.write());
        world.assert_nothing_lost();
        world.kill(0);
        world.start(0);
        world.settle();
        world.assert_healthy();
    }
}

#[test]
fn d03_a_busy_master_is_alive() {
    let mut world = World::healthy(3);
    world.mood(0, Mood::Busy);
    assert_no_failover(&mut world, Reason::MasterUnclear);
    world.mood(0, Mood::Fine);
    world.settle();
    assert_eq!(world.master(), 0);
}

#[test]
fn d04_an_operator_that_alone_lost_its_way_does_nothing() {
    let mut world = World::healthy(3);
    world.unreachable.insert(pod_name(0));
    assert_no_failover(&mut world, Reason::MasterUnclear);
}

#[test]
fn d05_an_operator_that_reaches_nobody_does_nothing() {
    let mut world = World::healthy(3);
    world.unreachable.extend((0..3).map(pod_name));
    assert_no_failover(&mut world, Reason::MasterUnclear);
}

#[test]
fn d06_a_refused_master_needs_a_quorum() {
    let mut world = World::healthy(4);
    world.unreachable.extend([pod_name(2), pod_name(3)]);
    world.kill_unnoticed(0);
    // E is 2 of 3 members: one is too few, for a write that two others acknowledged
    assert_no_failover(&mut world, Reason::QuorumMissing);
    world.unreachable.clear();
    world.settle_for(Duration::from_millis(100));
    assert_eq!(world.published(), Some(1));
    world.assert_nothing_lost();
}

#[test]
fn d08_a_pod_that_never_comes_blocks_nobody() {
    let mut world = World::new(3, Disk::Memory);
    world.vanish(2);
    world.pending.insert(2);
    world.settle();
    assert!(world.write());
    world.kill_unnoticed(0);
    world.settle_for(Duration::from_millis(100));
    assert_eq!(world.published(), Some(1));
}

#[test]
fn d09_a_master_that_restarts_empty_in_no_time_is_replaced() {
    let mut world = World::healthy(3);
    world.restart(0);
    world.settle();
    assert_ne!(world.master(), 0);
    world.assert_nothing_lost();
    assert_eq!(world.server(0).data.len(), 5, "it has what the new master has");
}

#[test]
fn d15_a_container_is_bound_to_a_process_only_if_they_began_together() {
    let mut world = World::new(1, Disk::Memory);
    // the status still tells of a container before this process
    world.pod_mut(0).started_micros = world.pod(0).started_micros.map(|at| at - 5_000_000);
    let seen = world.observe();
    assert_eq!(seen.instances[&pod_name(0)].process().unwrap().container, None);
    world.pod_mut(0).started_micros = world.pod(0).started_micros.map(|at| at + 4_000_000);
    let seen = world.observe();
    assert!(seen.instances[&pod_name(0)].process().unwrap().container.is_some());
}

#[test]
fn d15_only_the_recorded_container_proves_an_end() {
    let mut world = World::healthy(2);
    world.unreachable.insert(pod_name(0));
    world.pod_mut(0).terminated.insert("container-of-a-sidecar".to_owned());
    assert_no_failover(&mut world, Reason::MasterUnclear);
    let own = world.pod(0).container.clone().unwrap();
    world.pod_mut(0).terminated.insert(own);
    let seen = world.observe();
    let Found::Record(record) = &seen.record else { panic!() };
    let master = record.master.as_ref().unwrap();
    assert_eq!(View::new(&seen, record).end_of(master), Some(Proof::Terminated));
}

#[test]
fn d18_a_firewall_that_rejects_the_operator_alone_proves_nothing() {
    let mut world = World::healthy(3);
    world.rejecting.insert(pod_name(0));
    assert_no_failover(&mut world, Reason::MasterUnclear);
    assert!(world.write());
}

#[test]
fn d19_an_object_that_vanished_is_not_a_process_that_ended() {
    let mut world = World::healthy(3);
    // its process lives on and is heard
    world.forget_object(0);
    world.pending.insert(0);
    assert_no_failover(&mut world, Reason::MasterUnclear);
    let mut proved = world.clone();
    proved.outlive();
    proved.until(|world| world.published().is_some_and(|published| published != 0));
}

#[test]
fn e14_one_survivor_is_enough_when_the_rest_is_proved_gone() {
    let mut world = World::healthy(3);
    world.kill_unnoticed(0);
    world.kill_unnoticed(1);
    // proved by pods that vanish with a terminated container
    world.vanish(0);
    world.vanish(1);
    world.pending.extend([0, 1]);
    world.settle();
    assert_eq!(world.published(), Some(2));
    assert!(world.write());
}

#[test]
fn e14_durability_waits_for_the_quorum() {
    let mut world = World::healthy(3);
    world.desired.policy = Policy::Durability;
    // members that are gone leave the record only while the master answers
    world.lose_node(1);
    world.kill(0);
    world.pending.extend([0, 1]);
    // E = 1 of 2, one is reached: the other one may alone have an acknowledged write
    assert_no_failover(&mut world, Reason::QuorumMissing);
    assert_eq!(world.published(), Some(0));
    let mut available = world.clone();
    available.desired.policy = Policy::Availability;
    available.settle();
    assert_eq!(available.published(), Some(2));
}

#[test]
fn d19_the_proof_of_an_end_outlives_the_pod_object() {
    let mut world = World::healthy(3);
    world.kill(0);
    world.until(|world| world.record().phase == Phase::Electing);
    world.vanish_unproved(0);
    world.pending.insert(0);
    world.new_operator();
    world.settle();
    assert_eq!(world.published(), Some(1), "{}", world.story());
}

#[test]
fn d15_a_container_that_the_status_names_later_is_learnt() {
    let mut world = World::new(2, Disk::Memory);
    let started = world.pod(0).started_micros;
    for ordinal in 0..2 {
        world.pod_mut(ordinal).started_micros = None;
    }
    world.settle();
    assert_eq!(world.record().master.unwrap().container, None);
    for ordinal in 0..2 {
        world.pod_mut(ordinal).started_micros = started;
    }
    world.settle();
    world.assert_healthy();
    assert_eq!(world.record().master.unwrap().container, world.pod(0).container);
    assert_eq!(
        world.record().members[&pod_name(1)].process.container,
        world.pod(1).container
    );
}

#[test]
fn d15_a_process_that_answers_disproves_the_end_of_its_container() {
    let mut world = World::healthy(2);
    // it restarted in the first second: the status then named the container before, and its beginning seemed to agree
    let wrong = Some("container-before".to_owned());
    let mut record = world.record();
    record.master.as_mut().unwrap().container = wrong.clone();
    world.put_record(Some(serde_json::to_value(record).unwrap()));
    world.pod_mut(0).terminated.extend(wrong);
    world.settle();
    assert_eq!(world.record().master.unwrap().container, world.pod(0).container);
    world.unreachable.insert(pod_name(0));
    assert_no_failover(&mut world, Reason::MasterUnclear);
}

#[test]
fn e14_a_member_that_shows_that_it_has_nothing_is_not_waited_for() {
    for policy in [Policy::Availability, Policy::Durability] {
        let mut world = World::healthy(2);
        world.desired.policy = policy;
        world.desired.replicas = 3;
        world.slow_sync.insert(pod_name(2));
        world.settle_for(Duration::from_millis(500));
        assert_eq!(world.record().size(), 2);
        world.kill(0);
        let took = world.until(|world| world.published() == Some(1));
        assert!(took < Duration::from_millis(100), "{policy:?}: {took:?}");
    }
}

#[test]
fn e14_a_person_may_give_up_the_quorum() {
    let mut world = World::healthy(3);
    world.desired.policy = Policy::Durability;
    world.kill(1);
    world.kill(0);
    assert_no_failover(&mut world, Reason::QuorumMissing);
    world.desired.elect = Some(pod_name(2));
    world.settle();
    assert_eq!(world.published(), Some(2));
}

#[test]
fn e14_a_word_that_was_used_gives_up_no_other_quorum() {
    let mut world = World::healthy(3);
    world.desired.policy = Policy::Durability;
    world.kill(1);
    world.kill(0);
    assert_no_failover(&mut world, Reason::QuorumMissing);
    world.desired.elect = Some(pod_name(2));
    world.settle();
    // the annotation is forgotten; the one that it names is a replica again one day
    world.start(0);
    world.start(1);
    world.settle();
    assert_eq!(world.master(), 2);
    world.restart(2);
    world.settle();
    let master = world.master();
    assert_ne!(master, 2);
    world.kill(1 - master);
    world.kill(master);
    assert_no_failover(&mut world, Reason::QuorumMissing);
    let plan = world.pass_only();
    let told = |note: &Note| note.message.contains("redis-operator.dev/elect-");
    assert!(plan.notes.iter().any(told), "the way out: {plan:?}");
    // removed and set again it counts
    world.desired.elect = None;
    world.settle();
    world.desired.elect = Some(pod_name(2));
    world.settle();
    assert_eq!(world.published(), Some(2));
}

#[test]
fn e14_a_word_that_had_nothing_to_decide_gives_up_no_quorum() {
    let mut world = World::healthy(3);
    world.desired.policy = Policy::Durability;
    world.desired.elect = Some(pod_name(2));
    world.settle();
    world.assert_healthy();
    world.kill(1);
    world.kill(0);
    assert_no_failover(&mut world, Reason::QuorumMissing);
}
