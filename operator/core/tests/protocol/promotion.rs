//! One is claimed: when it is promoted and published, and when another one is elected instead.

use crate::world::{Disk, Fault, Mood, World, answer_mut, pod_name, reasons};
use redis_operator_core::decide::decide;
use redis_operator_core::names::replication_user;
use redis_operator_core::observed::{Observed, Policy, Slice};
use redis_operator_core::plan::{Reason, Step};
use redis_operator_core::record::{Phase, Stage};
use redis_operator_core::replication::Role;
use std::time::Duration;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The first of so many replicas is claimed and frozen, and its promotion failed.
fn claimed(replicas: u32) -> World {
    let mut world = World::healthy(replicas);
    world.kill(0);
    world.until(|world| world.record().phase == Phase::Electing && world.server(1).follows_nobody());
    let promote = world.steps + 2;
    world.faults.insert(promote, Fault::Fail);
    world.until(|world| world.record().phase == Phase::Promoting);
    assert!(!world.server(1).master);
    world
}

/// The only step is to elect again, in a new term.
fn elects_again(seen: &Observed, term: u64) -> bool {
    let plan = decide(seen);
    let [Step::Record(next)] = plan.steps.as_slice() else {
        return false;
    };
    (next.phase, next.term, &next.claim) == (Phase::Electing, term + 1, &None)
}

#[test]
fn e29_a_claimed_one_is_promoted_only_in_the_state_in_which_it_was_frozen() {
    let mut world = claimed(3);
    let term = world.record().term;
    let seen = world.observe();
    assert_eq!(
        decide(&seen).steps.iter().map(Step::name).collect::<Vec<_>>(),
        ["promote"]
    );
    let mut other = seen.clone();
    answer_mut(&mut other, 1).replication.offset += 10;
    assert!(elects_again(&other, term), "another offset");
    let mut other = seen.clone();
    answer_mut(&mut other, 1).replication.id = "another".to_owned();
    assert!(elects_again(&other, term), "another history");
    let mut other = seen.clone();
    let upstream = answer_mut(&mut other, 1).replication.upstream.as_mut().unwrap();
    upstream.host = "10.0.0.99".to_owned();
    assert!(elects_again(&other, term), "not frozen");
}

#[test]
fn e29_only_who_was_promoted_from_what_was_claimed_is_published() {
    let mut world = claimed(3);
    let record = world.record();
    let claim = record.claim.unwrap();
    let mut seen = world.observe();
    let it = &mut answer_mut(&mut seen, 1).replication;
    (it.role, it.upstream) = (Role::Master, None);
    it.id2 = Some(std::mem::replace(&mut it.id, "new".to_owned()));
    it.forked_at = Some(claim.offset);
    let publishes = |seen: &Observed| decide(seen).steps.contains(&Step::Publish(claim.process.clone()));
    assert!(publishes(&seen));
    for (id2, forked_at) in [
        (Some(claim.id.clone()), Some(claim.offset - 1)),
        (Some(claim.id.clone()), None),
        (Some("another".to_owned()), Some(claim.offset)),
        (None, Some(claim.offset)),
    ] {
        let mut other = seen.clone();
        let it = &mut answer_mut(&mut other, 1).replication;
        (it.id2, it.forked_at) = (id2, forked_at);
        assert!(
            !publishes(&other) && elects_again(&other, record.term),
            "{:?}",
            decide(&other)
        );
    }
}

#[test]
fn e29_a_claimed_one_that_is_published_is_waited_for() {
    let mut world = World::healthy(5);
    world.kill(0);
    world.until(|world| world.server(1).master);
    let steady = world.steps + 2;
    world.faults.insert(steady, Fault::Fail);
    world.until(|world| world.published() == Some(1));
    assert_eq!(world.record().phase, Phase::Promoting);
    world.isolated.insert(pod_name(1));
    let way_out = format!("redis-operator.dev/ended={}", world.server(1).run);
    for (time, told) in [(ms(30_000), false), (ms(60_000), true)] {
        let plan = world.settle_for(time);
        assert_eq!((world.published(), world.record().phase), (Some(1), Phase::Promoting));
        assert_eq!(reasons(&plan), [Reason::MasterUnclear]);
        assert_eq!(plan.notes[0].message.contains(&way_out), told, "{plan:?}");
    }
    world.isolated.clear();
    world.until(|world| world.record().phase == Phase::Steady);
    assert_eq!(world.published(), Some(1));
}

#[test]
fn e29_a_claimed_one_is_passed_over_when_it_was_silent_for_long_enough() {
    let mut world = claimed(5);
    world.isolated.insert(pod_name(1));
    let took = world.until(|world| world.published() == Some(2));
    assert!(took >= ms(2_000) && took < ms(3_000), "{took:?}");
}

#[test]
fn e29_availability_goes_on_without_a_claimed_one_whose_master_is_proved_to_have_ended() {
    let mut world = claimed(3);
    world.isolated.insert(pod_name(1));
    let took = world.until(|world| world.published() == Some(2));
    assert!(took >= ms(2_000) && took < ms(3_000), "{took:?}");
}

#[test]
fn e29_a_master_that_answers_again_before_its_successor_is_published_stays() {
    let mut world = World::healthy(3);
    world.mood(0, Mood::Hung);
    world.until(|world| world.record().phase == Phase::Promoting);
    world.isolated.insert(pod_name(1));
    world.mood(0, Mood::Fine);
    world.until(|world| world.record().phase == Phase::Steady);
    assert_eq!(world.published(), Some(0));
    assert_eq!(world.record().master.unwrap().run_id, world.server(0).run);
}

#[test]
fn f06_a_former_master_that_answers_is_demoted_before_its_successor_is_published() {
    let mut world = World::healthy(3);
    world.mood(0, Mood::Hung);
    world.until(|world| world.server(1).master);
    world.mood(0, Mood::Fine);
    let names = |world: &mut World| {
        decide(&world.observe())
            .steps
            .iter()
            .map(Step::name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&mut world)[..2], ["demote", "publish"]);
    // and not without a connection to it
    let uid = world.pod(0).uid.clone();
    world.operator.withheld.insert(pod_name(0));
    world.operator.attached.remove(&uid);
    assert_eq!(names(&mut world), [""; 0]);
}

#[test]
fn e29_a_former_master_joins_the_new_one_unless_it_ended() {
    let mut world = World::healthy(3);
    world.kill(0);
    world.until(|world| world.published() == Some(1) && world.record().phase == Phase::Steady);
    assert!(!world.record().members.contains_key(&pod_name(0)));
    assert_eq!(world.record().members[&pod_name(2)].stage, Stage::Joining);
    let mut world = World::healthy(3);
    world.desired.policy = Policy::Durability;
    world.mood(0, Mood::Hung);
    world.until(|world| world.published() == Some(1) && world.record().phase == Phase::Steady);
    assert_eq!(world.record().members[&pod_name(0)].stage, Stage::Joining);
}

#[test]
fn d01_a_promoted_one_has_the_users_of_those_who_will_follow_it() {
    let mut world = World::healthy(3);
    world.kill(0);
    world.until(|world| world.server(1).master);
    let user = |ordinal| replication_user(&world.pod(ordinal).uid);
    let users = &world.server(1).users;
    assert!(
        users.contains(&user(0)) && users.contains(&user(2)) && !users.contains(&user(1)),
        "{users:?}"
    );
}

#[test]
fn e22_at_a_first_start_one_that_is_not_as_it_was_claimed_is_claimed_again_once_it_is_frozen() {
    let mut world = World::new(3, Disk::Memory);
    world.faults.insert(3, Fault::Fail);
    world.until(|world| world.record.is_some() && world.record().phase == Phase::Promoting);
    let record = world.record();
    assert!(record.master.is_none() && !world.server(0).master);
    let mut seen = world.observe();
    seen.slice = Some(Slice {
        target: None,
        address: None,
        holder: seen.holder.clone(),
        term: record.term,
        in_doubt: false,
    });
    answer_mut(&mut seen, 0).replication.offset += 10;
    let plan = decide(&seen);
    let [Step::Record(next), Step::Promote { claim, .. }] = plan.steps.as_slice() else {
        panic!("{plan:?}");
    };
    assert_eq!((next.term, next.claim.as_ref()), (record.term + 1, Some(claim)));
    assert_eq!(claim.offset, record.claim.unwrap().offset + 10);
    let it = &mut answer_mut(&mut seen, 0).replication;
    it.upstream.as_mut().unwrap().host = "10.0.0.99".to_owned();
    assert_eq!(decide(&seen).why, "freeze again");
}
