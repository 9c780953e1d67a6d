//! An append-only file that is written anew, and members that run scripts: neither may be taken for what it was before.

use crate::world::{Disk, Mood, World, reasons};
use redis_operator_core::plan::Reason;
use std::time::Duration;

const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn r04_the_only_pod_is_not_replaced_while_its_file_is_written_anew() {
    let mut world = World::healthy_on(1, Disk::Aof);
    world.desired.durable = true;
    world.server_mut(0).rewriting = true;
    world.spec += 1;
    let before = world.pod(0).uid.clone();
    let plan = world.settle_for(s(300));
    assert_eq!(world.pod(0).uid, before);
    assert!(plan.notes[0].message.contains("append-only file"), "{plan:?}");
    world.server_mut(0).rewriting = false;
    world.settle();
    assert_ne!(world.pod(0).uid, before);
    assert_eq!(world.server(0).data.len(), 5);
}

#[test]
fn r03_nobody_becomes_master_by_plan_before_its_file_is_complete() {
    let mut world = World::healthy_on(3, Disk::Aof);
    world.prefer(1, 1);
    world.settle_for(s(10));
    world.server_mut(1).rewriting = true;
    let plan = world.settle_for(s(300));
    assert_eq!(world.published(), Some(0), "{}", world.story());
    assert!(reasons(&plan).contains(&Reason::SwitchoverWaits), "{plan:?}");
    world.server_mut(1).rewriting = false;
    world.settle_for(s(300));
    assert_eq!(world.published(), Some(1));
}

/// A master that has to go goes, and rather to one whose file is complete.
#[test]
fn r01_a_master_that_goes_hands_over_to_one_whose_file_is_complete() {
    for (rewriting, next) in [(&[1][..], 2), (&[1, 2][..], 1)] {
        let mut world = World::healthy_on(3, Disk::Aof);
        for ordinal in rewriting {
            world.server_mut(*ordinal).rewriting = true;
        }
        world.pod_mut(0).evacuating = Some("its node is drained".to_owned());
        world.settle_for(s(30));
        assert_eq!(world.published(), Some(next), "{}", world.story());
    }
}

#[test]
fn d03_a_replica_that_runs_a_script_for_long_counts_no_more_until_it_has_ended() {
    let mut world = World::healthy(2);
    assert_eq!((world.record().quorum, world.server(0).guard), (1, 1));
    world.mood(1, Mood::Busy);
    world.settle_for(s(3));
    assert_eq!(world.server(0).guard, 1, "a moment is none of its business");
    world.settle_for(s(60));
    assert_eq!(
        (world.record().quorum, world.server(0).guard),
        (0, 0),
        "{}",
        world.story()
    );
    world.mood(1, Mood::Fine);
    world.settle();
    assert_eq!((world.record().quorum, world.server(0).guard), (1, 1));
}

/// It is in reach, and may be the only one that has what WAIT acknowledged.
#[test]
fn d03_a_member_that_runs_a_script_is_waited_for_in_an_election() {
    let mut world = World::healthy(3);
    let before = world.record().term;
    world.mood(1, Mood::Busy);
    world.kill(0);
    world.settle_for(s(8));
    assert_eq!(world.published(), Some(0), "{}", world.story());
    let mut ends = world.clone();
    ends.mood(1, Mood::Fine);
    ends.settle();
    assert!(ends.published() > Some(0));
    ends.assert_nothing_lost();
    world.settle_for(s(8));
    assert_eq!(world.published(), Some(2), "not for ever");
    assert!(world.record().term > before);
}

/// Their nodes are gone for good, and nothing proves that the processes have ended.
#[test]
fn e22_members_without_a_proof_are_named_with_the_way_out() {
    let mut world = World::healthy_on(3, Disk::Rdb);
    for ordinal in 0..3 {
        world.vanish_unproved(ordinal);
        world.pending.insert(ordinal);
    }
    let early = world.clone().settle_for(s(30));
    let says = |plan: &redis_operator_core::plan::Plan| plan.notes.iter().any(|note| note.message.contains("/ended="));
    assert!(!says(&early), "they may come back by themselves: {early:?}");
    let named = |world: &mut World| {
        let plan = world.settle_for(s(300));
        let text: String = plan.notes.iter().map(|note| note.message.as_str()).collect();
        let (_, ended) = text.split_once("/ended=").unwrap_or_else(|| panic!("{text}"));
        let ended = ended.split_once(". ").unwrap().0;
        ended.split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        let said = named(&mut world);
        world.desired.ended.extend(said);
    }
    world.pending.clear();
    world.settle();
    assert_eq!(world.master(), 0, "{}", world.story());
    assert_eq!(world.server(0).data.len(), 5);
}

/// Three pods that have ended, each with what was on its volume then; redis-a-1 was still writing its file.
fn restarted_while_one_was_writing() -> World {
    let mut world = World::healthy_on(3, Disk::Aof);
    world.restart(1);
    world.settle();
    let mut record = world.record();
    record.unwritten.insert(crate::world::pod_name(1));
    for ordinal in 0..3 {
        world.kill(ordinal);
    }
    world.put_record(Some(serde_json::to_value(record).unwrap()));
    world
}

#[test]
fn d17_one_that_was_still_writing_makes_nobody_elses_file_doubtful() {
    let mut world = restarted_while_one_was_writing();
    world.vanish(2);
    world.pending.insert(2);
    world.start(0);
    world.start(1);
    world.settle_for(s(300));
    assert_eq!(world.record().reason, "Restarted: redis-a-0 was chosen with 5 keys");
}

#[test]
fn d17_one_that_was_still_writing_goes_on_where_it_is_all_there_is() {
    let mut world = restarted_while_one_was_writing();
    for ordinal in 0..3 {
        if ordinal != 1 {
            world.disks.remove(&ordinal);
        }
        world.start(ordinal);
    }
    world.settle_for(s(300));
    assert_eq!(world.record().reason, "Restarted: redis-a-1 was chosen with 5 keys");
}
