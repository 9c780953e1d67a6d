//! What is known of a master: what proves its end, what proves its life, and what is no proof.

use crate::world::{Disk, Mood, World, answer_mut, pod_name, reasons};
use redis_operator_core::decide::{Master, Proof, View};
use redis_operator_core::memory::Heard;
use redis_operator_core::observed::{Departed, Moment, Observed, Policy, Reach};
use redis_operator_core::plan::Reason;
use redis_operator_core::record::{Found, Phase, Stage};
use std::collections::BTreeSet;
use std::time::Duration;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The proof of the recorded master's end, if there is one.
fn proof(seen: &Observed) -> Option<Proof> {
    let Found::Record(record) = &seen.record else { panic!() };
    match View::new(seen, record).master() {
        Master::Ended(proof) => Some(proof),
        _ => None,
    }
}

#[test]
fn d19_an_object_that_is_gone_needs_a_terminated_container_a_kubelet_or_a_lost_node() {
    let mut world = World::healthy(3);
    let (uid, container) = (world.pod(0).uid.clone(), world.pod(0).container.clone().unwrap());
    world.vanish_unproved(0);
    let seen = world.observe();
    let with = |departed: Departed| {
        let mut seen = seen.clone();
        seen.departed.insert(uid.clone(), departed);
        proof(&seen)
    };
    let outlived = |seconds| Departed {
        outlived: Some(Duration::from_secs(seconds)),
        ..Departed::default()
    };
    assert_eq!(with(Departed::default()), None);
    assert_eq!(with(outlived(30)), None, "its kubelet may still be ending it");
    assert_eq!(with(outlived(31)), Some(Proof::Departed));
    let terminated = |id: &str| Departed {
        terminated: BTreeSet::from([id.to_owned()]),
        ..Departed::default()
    };
    assert_eq!(with(terminated(&container)), Some(Proof::Departed));
    assert_eq!(with(terminated("of-a-sidecar")), None);
    let lost = Departed {
        node_lost: true,
        ..Departed::default()
    };
    assert_eq!(with(lost.clone()), Some(Proof::Departed));
    // its runtime hangs: nothing ended it, and it goes on serving
    let mut heard = seen.clone();
    let address = world.record().master.unwrap().address;
    let upstream = answer_mut(&mut heard, 1).replication.upstream.as_mut().unwrap();
    (upstream.host, upstream.link_up, upstream.heard_seconds) = (address, true, Some(0));
    let with_heard = |departed: Departed| {
        let mut seen = heard.clone();
        seen.departed.insert(uid.clone(), departed);
        proof(&seen)
    };
    assert_eq!((with_heard(outlived(31)), with_heard(lost)), (None, None));
    assert_eq!(with_heard(terminated(&container)), Some(Proof::Departed));
    let mut silent = heard.clone();
    let upstream = answer_mut(&mut silent, 1).replication.upstream.as_mut().unwrap();
    upstream.heard_seconds = Some(3);
    silent.departed.insert(uid, outlived(31));
    assert_eq!(
        proof(&silent),
        Some(Proof::Departed),
        "its link only looks as if it were up"
    );
}

#[test]
fn d18_who_heard_the_master_long_after_its_refusals_began_disproves_its_end() {
    let mut world = World::healthy(3);
    world.kill_unnoticed(0);
    let seen = world.observe();
    assert_eq!(proof(&seen), Some(Proof::Refused));
    let Reach::Refused { since } = seen.instances[&pod_name(0)].reach else {
        panic!()
    };
    let heard = |after: u64| {
        let mut seen = seen.clone();
        let at = Moment(since.0 + after);
        let run = world.server(1).run.clone();
        seen.memory.heard.insert(run, Heard { at, received: 0 });
        proof(&seen)
    };
    assert_eq!(heard(0), Some(Proof::Refused));
    assert_eq!(heard(2_000_000), Some(Proof::Refused), "seconds are whole");
    assert_eq!(heard(2_000_001), None);
}

#[test]
fn d18_refusals_of_another_address_are_not_the_masters() {
    let mut world = World::healthy(3);
    world.kill_unnoticed(0);
    world.pod_mut(0).address = "10.0.0.99".to_owned();
    assert_eq!(proof(&world.observe()), None);
}

#[test]
fn d01_only_an_end_that_is_proved_for_good_is_written_down() {
    let mut world = World::healthy(3);
    world.kill_unnoticed(0);
    world.until(|world| world.record().phase == Phase::Electing);
    assert!(!world.record().master.unwrap().ended, "it was refused");
    let mut world = World::healthy(3);
    world.kill(0);
    world.until(|world| world.record().phase == Phase::Electing);
    assert!(world.record().master.unwrap().ended);
    // also while it cannot be replaced
    let mut world = World::healthy(3);
    world.desired.policy = Policy::Durability;
    world.unreachable.insert(pod_name(2));
    world.kill(0);
    let plan = world.settle_for(ms(1_000));
    assert_eq!(reasons(&plan), [Reason::QuorumMissing]);
    assert!(world.record().master.unwrap().ended);
}

#[test]
fn d03_what_a_living_master_says_is_told() {
    for (mood, what) in [
        (Mood::Busy, "is alive but answers BUSY"),
        (Mood::Loading, "is loading its dataset"),
    ] {
        let mut world = World::healthy(3);
        world.mood(0, mood);
        let plan = world.settle_for(ms(5_000));
        let expected = format!("master {} {what}", pod_name(0));
        let said: Vec<_> = plan.notes.iter().map(|note| note.message.as_str()).collect();
        assert!(said.len() == 1 && said[0].starts_with(&expected), "{said:?}");
    }
}

#[test]
fn d02_the_record_says_whether_the_master_hung_or_was_unreachable() {
    for (hung, reason) in [(true, "its master hangs"), (false, "its master is unreachable")] {
        let mut world = World::healthy(3);
        if hung {
            world.mood(0, Mood::Hung);
        } else {
            world.isolated.insert(pod_name(0));
        }
        world.until(|world| world.record().phase == Phase::Electing);
        assert_eq!(world.record().reason, reason);
    }
}

#[test]
fn d16_witnesses_shorten_only_the_patience_of_an_operator_that_tries_and_never_heard_the_master() {
    let mut world = World::healthy(3);
    world.isolated.insert(pod_name(0));
    world.tick(ms(3_500));
    let left = |reach: &dyn Fn(Moment) -> Reach, heard: bool, world: &mut World| {
        let mut seen = world.observe();
        let since = seen.now.before(ms(400));
        seen.memory.untried.insert(world.pod(0).uid.clone(), since);
        let instance = seen.instances.get_mut(&pod_name(0)).unwrap();
        instance.reach = reach(since);
        assert_eq!(instance.last.is_some(), heard);
        let Found::Record(record) = &seen.record else { panic!() };
        let master = record.master.as_ref().unwrap();
        View::new(&seen, record).silence(master).unwrap().left
    };
    let silent = |since| Reach::Silent { since, accepts: false };
    assert_eq!(left(&silent, true, &mut world), ms(1_600));
    world.new_operator();
    assert_eq!(left(&silent, false, &mut world), ms(100));
    assert_eq!(left(&|_| Reach::Untried, false, &mut world), ms(1_600));
    // nor while one of them has heard it lately
    world.isolated.clear();
    assert_eq!(left(&silent, true, &mut world), ms(1_600));
}

#[test]
fn d05_a_replica_that_loads_is_no_witness() {
    let mut world = World::healthy(2);
    world.isolated.insert(pod_name(0));
    world.mood(1, Mood::Loading);
    let plan = world.settle_for(ms(30_000));
    assert!(
        plan.notes[0].message.contains("no full replica can be asked"),
        "{plan:?}"
    );
    assert!(
        !plan.notes[0].message.contains("redis-operator.dev/ended"),
        "too early: {plan:?}"
    );
}

#[test]
fn d02_a_guard_that_is_on_is_enough_before_a_quorum_is_recorded() {
    let mut world = World::new(3, Disk::Memory);
    world.until(|world| world.pods.contains_key(&pod_name(0)) && world.server(0).guard > 0);
    assert_eq!(world.record().quorum, 0);
    // the operator sees the guard
    world.observe();
    world.isolated.insert(pod_name(0));
    let took = world.until(|world| world.published().is_some_and(|published| published != 0));
    assert!(took < ms(6_000), "{took:?}");
}

#[test]
fn d02_a_hung_master_without_a_guard_is_replaced() {
    let mut world = World::new(2, Disk::Memory);
    let full = |world: &World| world.record().at(Stage::Full).next().is_some();
    world.until(|world| world.record.is_some() && full(world));
    assert_eq!((world.record().quorum, world.server(0).guard), (0, 0));
    world.mood(0, Mood::Hung);
    world.until(|world| world.published() == Some(1));
}

#[test]
fn r01_no_switchover_begins_before_guard_and_quorum_are_what_they_are_to_be() {
    let begins = |world: &mut World| {
        world.pass_only();
        world.record().phase == Phase::Switching
    };
    let mut world = World::healthy(3);
    world.desired.switchover = Some(pod_name(1));
    assert!(begins(&mut world.clone()));
    let mut open = world.clone();
    open.server_mut(0).guard = 2;
    assert!(!begins(&mut open), "the guard is not the quorum");
    let mut record = world.record();
    record.quorum = 0;
    world.put_record(Some(serde_json::to_value(record).unwrap()));
    world.server_mut(0).guard = 0;
    assert!(!begins(&mut world), "there is no quorum yet");
    world.until(|world| world.published() == Some(1));
}

#[test]
fn d21_the_guard_is_lowered_before_those_who_leave_are_cut_off() {
    let mut world = World::healthy(4);
    let mut record = world.record();
    for ordinal in [2, 3] {
        record.members.get_mut(&pod_name(ordinal)).unwrap().stage = Stage::Leaving;
    }
    record.quorum = 1;
    world.put_record(Some(serde_json::to_value(record).unwrap()));
    assert_eq!(world.server(0).guard, 2);
    assert_eq!(world.pass_only().why, "lower the write guard");
    assert_eq!(world.pass_only().why, "cut off who is no member");
}
