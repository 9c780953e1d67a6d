//! A master serves although the record does not say so, or there is no readable record.

use crate::world::{Disk, Link, Mood, World, pod_name, reasons};
use redis_operator_core::plan::Reason;
use redis_operator_core::record::Phase;
use redis_operator_core::replication::NOWHERE;
use serde_json::json;
use std::time::Duration;

#[test]
fn e19_a_failover_by_hand_is_adopted() {
    let mut world = World::healthy(3);
    world.kill(0);
    world.promote_by_hand(2);
    world.follow_by_hand(1, 2);
    assert!(world.write_to(2) || world.server(2).guard > 0);
    world.start(0);
    world.new_operator();
    world.settle();
    assert_eq!(world.master(), 2);
}

#[test]
fn e19_a_switchover_by_hand_is_adopted() {
    let mut world = World::healthy(3);
    world.follow_by_hand(0, 1);
    world.promote_by_hand(1);
    world.follow_by_hand(2, 1);
    world.settle();
    assert_eq!(world.master(), 1);
    assert_eq!(world.record().reason, "Adopted");
    world.assert_nothing_lost();
}

/// Nobody was told to follow it, so the others went on with the master, and have what clients wrote there.
#[test]
fn e19_one_that_was_promoted_by_hand_and_left_alone_does_not_win_over_who_has_more() {
    for more in [true, false] {
        let mut world = World::healthy(3);
        world.promote_by_hand(1);
        if more {
            assert!(world.write_to(0));
            world.flow();
        }
        world.kill(0);
        let expected = if more { 2 } else { 1 };
        world.until(|world| world.published() == Some(expected));
        world.start(0);
        world.settle();
        world.assert_healthy();
        world.assert_nothing_lost();
    }
}

/// The other one may still acknowledge what the silent master takes, so nobody passes them over without a freeze.
#[test]
fn e19_one_that_was_promoted_by_hand_and_left_alone_does_not_replace_a_silent_master_that_is_followed() {
    let mut world = World::healthy(3);
    world.promote_by_hand(1);
    world.mood(0, Mood::Hung);
    world.settle_for(Duration::from_secs(1));
    assert_eq!(
        (world.record().term, world.published()),
        (1, Some(0)),
        "{}",
        world.story()
    );
    world.mood(0, Mood::Fine);
    world.settle();
    world.assert_healthy();
    assert_eq!(world.master(), 0);
}

#[test]
fn e23_a_lost_record_is_made_anew_from_the_serving_master() {
    let mut world = World::healthy(3);
    world.put_record(None);
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.server(0).data.len(), 5);
}

#[test]
fn e23_a_lost_record_does_not_take_back_a_restart() {
    for serves in [true, false] {
        let mut world = World::healthy(3);
        let restart = Some("2026-01-31T12:00:00Z".to_owned());
        world.desired.restarted.clone_from(&restart);
        world.put_record(None);
        if !serves {
            (0..3).for_each(|ordinal| world.restart(ordinal));
        }
        world.settle();
        assert_eq!(world.record().restarted, restart, "{serves}");
    }
}

#[test]
fn e23_an_old_record_demotes_nobody() {
    let mut world = World::healthy(3);
    let old = world.record.clone();
    for _ in 0..2 {
        let master = world.master();
        world.restart(master);
        world.settle();
        assert!(world.write());
    }
    let master = world.master();
    let keys = world.server(master).data.len();
    world.put_record(old);
    world.new_operator();
    world.settle();
    assert_eq!(world.master(), master);
    assert_eq!(world.server(master).data.len(), keys);
}

#[test]
fn e23_an_old_record_publishes_no_former_master_for_a_moment() {
    let mut world = World::healthy(3);
    let old = world.record.clone();
    world.mood(0, Mood::Hung);
    world.until(|world| world.published() == Some(1) && world.server(2).is_linked());
    world.settle_for(Duration::from_secs(1));
    // the backup of the record is put back, and the former master wakes up
    world.put_record(old);
    world.mood(0, Mood::Fine);
    world.until(|world| {
        assert_ne!(world.published(), Some(0), "{}", world.story());
        world.record().reason == "Adopted"
    });
    world.settle();
    assert_eq!(world.master(), 1);
}

#[test]
fn e13_a_volume_that_comes_late_is_not_wiped_for_an_empty_master_that_was_made_by_hand() {
    let mut world = World::healthy_on(3, Disk::Rdb);
    for ordinal in 0..3 {
        world.vanish(ordinal);
    }
    world.disks.remove(&0);
    world.disks.remove(&1);
    world.pending.insert(2);
    world.settle_for(Duration::from_secs(5));
    world.promote_by_hand(1);
    world.settle();
    assert_eq!(world.published(), Some(1));
    world.pending.clear();
    world.settle();
    assert!(world.write());
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::ForeignData], "{}", world.story());
    assert_eq!(world.server(2).data.len(), 5);
}

#[test]
fn b07_nonsense_moves_nothing() {
    let nonsense = [
        json!(7),
        json!({}),
        json!({"version": 1}),
        json!({"version": 99, "seq": 3}),
    ];
    for (n, record) in nonsense.into_iter().enumerate() {
        let mut world = World::healthy(3);
        let before = world.pods.clone();
        world.put_record(Some(record));
        let plan = world.pass_only();
        assert_eq!(plan.steps, vec![]);
        let expected = if n == 3 {
            Reason::RecordOfNewerVersion
        } else {
            Reason::RecordUnreadable
        };
        assert_eq!(reasons(&plan), [expected]);
        assert_eq!(world.pods, before);
        // removing it is enough
        world.put_record(None);
        world.settle();
        assert_eq!(world.master(), 0);
    }
}

#[test]
fn b07_a_record_of_processes_that_never_were_promotes_nobody_while_a_master_serves() {
    let mut world = World::healthy(3);
    let mut record = world.record();
    record.master.as_mut().unwrap().run_id = "run-never".to_owned();
    record.members.clear();
    record.quorum = 0;
    world.put_record(Some(serde_json::to_value(record).unwrap()));
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.server(0).data.len(), 5);
}

#[test]
fn e20_a_master_that_was_made_to_follow_somebody_else_is_replaced() {
    let mut world = World::healthy(3);
    let (id, now) = ("id-of-a-stranger".to_owned(), world.now);
    world.hang_up_on(&pod_name(0));
    let server = world.server_mut(0);
    server.follow("192.0.2.1", now);
    (server.id, server.offset, server.data) = (id, 70_000, vec![1, 2]);
    world.settle();
    assert_eq!(world.master(), 1);
    world.assert_nothing_lost();
}

#[test]
fn o11_what_another_version_wrote_into_the_record_survives() {
    let mut world = World::healthy(3);
    let mut record = world.record.clone().unwrap();
    record["later"] = serde_json::json!({ "what": ["ever", 1] });
    world.put_record(Some(record));
    world.kill(0);
    world.start(0);
    world.settle();
    world.assert_healthy();
    assert_eq!(world.record.as_ref().unwrap()["later"]["what"][1], 1);
    // and one of a newer layout is left alone
    let mut newer = world.record.clone().unwrap();
    newer["version"] = serde_json::json!(2);
    world.put_record(Some(newer.clone()));
    world.kill(1);
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::RecordOfNewerVersion]);
    assert_eq!(world.record, Some(newer));
}

#[test]
fn e19_a_failover_by_hand_is_not_adopted_before_its_master_can_be_told_anything() {
    let mut world = World::healthy(3);
    world.kill(0);
    world.promote_by_hand(2);
    world.follow_by_hand(1, 2);
    world.operator.withheld.insert(pod_name(2));
    world.new_operator();
    world.settle_for(Duration::from_secs(5));
    assert_eq!(world.record().term, 1, "{}", world.story());
    world.operator.withheld.clear();
    world.settle_for(Duration::from_secs(1));
    assert_eq!((world.published(), world.record().term), (Some(2), 2));
}

#[test]
fn e23_one_that_was_told_to_follow_an_adopted_master_and_never_met_it_holds_no_copy() {
    let mut world = World::healthy(3);
    world.restart(2);
    world.put_record(None);
    let foreign = world.server_mut(2);
    (foreign.data, foreign.placed, foreign.offset) = (vec![901], true, 700);
    world.cut.insert((pod_name(2), pod_name(0)));
    world.follow_by_hand(2, 0);
    world.until(|world| world.record.is_some());
    assert!(
        world.record().copies.iter().eq(&[pod_name(0), pod_name(1)]),
        "{}",
        world.story()
    );
}

#[test]
fn e19_who_is_away_during_a_failover_by_hand_is_known_when_it_comes_back() {
    let mut world = World::healthy_on(3, Disk::Aof);
    world.kill(0);
    world.promote_by_hand(2);
    world.follow_by_hand(1, 2);
    world.settle_for(Duration::from_secs(30));
    assert_eq!(world.published(), Some(2));
    // its log keeps no id, so only the record tells whose copy this is
    world.start(0);
    world.settle();
    assert_eq!(world.master(), 2);
}

/// The third instance never met the master that was elected last, which nobody hears now, and is promoted by hand: from
/// where the elected one was promoted, or from further on.
fn promoted_beside_a_silent_master(further: u64) -> World {
    let mut world = World::healthy(3);
    world.cut.insert((pod_name(2), pod_name(1)));
    world.kill(0);
    world.until(|world| world.published() == Some(1) && world.record().phase == Phase::Steady);
    world.server_mut(2).offset += further;
    world.isolated.insert(pod_name(1));
    world.promote_by_hand(2);
    world.settle_for(Duration::from_secs(1));
    world
}

#[test]
fn e19_one_that_was_promoted_from_the_same_place_is_adopted_and_from_no_other() {
    let world = promoted_beside_a_silent_master(0);
    assert_eq!(
        (world.published(), world.record().reason.as_str()),
        (Some(2), "Adopted")
    );
    let world = promoted_beside_a_silent_master(10);
    assert_eq!(
        world.published(),
        Some(1),
        "it took what the recorded one never had{}",
        world.story()
    );
}

/// The master ended, one member is away with all that was written, and another one was made a master of nothing, to which
/// the third was led: in sync with it, or never linked to it.
fn made_of_nothing(linked: bool, id: &str) -> World {
    let mut world = World::healthy(4);
    world.kill(0);
    world.isolated.insert(pod_name(3));
    let user = world.server(2).attaches_as.clone();
    let it = world.server_mut(1);
    it.users.insert(user);
    it.backlog = true;
    (it.master, it.id, it.id2, it.forked_at) = (true, "of nothing".to_owned(), None, None);
    (it.host, it.link) = (NOWHERE.0.to_owned(), Link::Down(None));
    let it = world.server_mut(2);
    (it.placed, it.offset, it.id) = (false, 0, id.to_owned());
    it.data.clear();
    if !linked {
        world.cut.insert((pod_name(2), pod_name(1)));
    }
    world.follow_by_hand(2, 1);
    world.settle_for(Duration::from_secs(20));
    world
}

#[test]
fn e19_a_master_of_another_history_is_adopted_only_with_somebody_who_is_in_sync_with_it() {
    assert_eq!(made_of_nothing(true, "its own").published(), Some(1));
    for id in ["its own", "of nothing"] {
        let mut world = made_of_nothing(false, id);
        assert_eq!(world.published(), Some(0), "{}", world.story());
        world.isolated.clear();
        world.settle();
        assert_eq!(world.published(), Some(3), "{}", world.story());
        world.assert_nothing_lost();
    }
}

/// Whoever was in sync has a copy, also one that was on its way there when the record was lost: what it brings back after a
/// restart is an old one of the same.
#[test]
fn e07_a_follower_that_comes_into_sync_after_an_adoption_has_held_a_copy() {
    let mut world = World::healthy_on(3, Disk::Aof);
    world.cut.insert((pod_name(2), pod_name(0)));
    world.hang_up_on(&pod_name(0));
    world.put_record(None);
    world.settle_for(Duration::from_secs(2));
    assert!(!world.record().copies.contains(&pod_name(2)), "{}", world.story());
    world.cut.clear();
    world.settle();
    assert!(world.record().copies.contains(&pod_name(2)), "{}", world.story());
    world.restart(2);
    world.settle();
    world.assert_healthy();
}
