//! What is just not meant by a rule.

use crate::world::{Disk, World, answer_mut, pod_name, reasons};
use redis_operator_core::decide::decide;
use redis_operator_core::observed::{Observed, Slice};
use redis_operator_core::plan::{Plan, Reason, Step};
use redis_operator_core::record::Phase;
use redis_operator_core::replication::Role;
use std::time::Duration;

const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A full member takes writes in a history of its own, beside the recorded master; the third follows one of the two.
fn two_masters(followed: bool) -> Observed {
    let mut seen = World::healthy(3).observe();
    let it = &mut answer_mut(&mut seen, 1).replication;
    (it.role, it.upstream, it.id, it.id2) = (Role::Master, None, "its own".to_owned(), None);
    let address = seen.instances[&pod_name(1)].address.clone();
    if followed {
        let it = &mut answer_mut(&mut seen, 2).replication;
        it.id = "its own".to_owned();
        it.upstream.as_mut().unwrap().host = address;
    }
    seen
}

fn demotes(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| matches!(step, Step::Demote(_)))
}

#[test]
fn e19_one_that_is_ahead_and_followed_by_nobody_gives_way_to_a_master_that_serves() {
    for followed in [false, true] {
        let plan = decide(&two_masters(followed));
        assert_eq!(demotes(&plan), !followed, "{plan:?}");
        assert_eq!(reasons(&plan).contains(&Reason::TwoMasters), followed, "{plan:?}");
    }
}

#[test]
fn e19_one_that_is_ahead_and_has_nothing_gives_way_whoever_follows_it() {
    let mut seen = two_masters(true);
    answer_mut(&mut seen, 1).replication.keys = 0;
    let plan = decide(&seen);
    assert!(
        demotes(&plan) && !reasons(&plan).contains(&Reason::TwoMasters),
        "{plan:?}"
    );
}

#[test]
fn f03_a_master_without_a_usable_connection_is_not_published_yet() {
    let publishes = |attached: bool| {
        let mut seen = World::healthy(3).observe();
        let slice = seen.slice.as_mut().unwrap();
        (slice.target, slice.address) = (None, None);
        seen.instances.get_mut(&pod_name(0)).unwrap().attached = attached;
        let plan = decide(&seen);
        plan.steps.iter().any(|step| matches!(step, Step::Publish(_)))
    };
    assert!(publishes(true));
    assert!(!publishes(false));
}

#[test]
fn f14_a_slice_of_another_holder_is_settled_only_in_the_recorded_term_and_while_nothing_changes() {
    let mut record = World::healthy(3).record();
    let slice = Slice {
        target: record.master.as_ref().map(|master| master.uid.clone()),
        address: None,
        holder: "another".to_owned(),
        term: record.term,
        in_doubt: false,
    };
    assert!(slice.is_settled("me", Some(&record)));
    assert!(!slice.is_settled("me", None));
    record.phase = Phase::Electing;
    assert!(!slice.is_settled("me", Some(&record)));
    (record.phase, record.term) = (Phase::Steady, record.term + 1);
    assert!(!slice.is_settled("me", Some(&record)));
    assert!(slice.is_settled("another", Some(&record)));
    let in_doubt = Slice {
        in_doubt: true,
        ..slice
    };
    assert!(!in_doubt.is_settled("another", Some(&record)));
}

#[test]
fn a_record_names_its_master_and_its_members() {
    let world = World::healthy(3);
    let record = world.record();
    assert!((0..3).all(|ordinal| record.names(&world.pod(ordinal).uid)));
    assert!(!record.names("another"));
}

/// They may come back by themselves.
#[test]
fn e22_the_way_out_of_members_out_of_reach_is_not_named_at_once() {
    let mut world = World::healthy(3);
    for ordinal in 1..3 {
        world.vanish_unproved(ordinal);
        world.pending.insert(ordinal);
    }
    world.kill(0);
    let mut names = |time| {
        let plan = world.settle_for(time);
        assert!(reasons(&plan).contains(&Reason::NoCandidate), "{plan:?}");
        plan.notes.iter().any(|note| note.message.contains("/ended="))
    };
    assert!(!names(s(20)));
    assert!(names(s(300)));
}

#[test]
fn r04_only_what_waits_for_an_append_only_file_says_so() {
    for (pods, rewriting) in [(1, false), (3, true)] {
        let mut world = World::healthy_on(pods, Disk::Aof);
        world.desired.durable = true;
        world.server_mut(0).rewriting = rewriting;
        world.spec += 1;
        let plan = world.pass_only();
        assert!(!plan.notes.is_empty(), "{plan:?}");
        let says = plan.notes.iter().any(|note| note.message.contains("append-only file"));
        assert!(!says, "{plan:?}");
    }
}
