//! Several masters, several histories: which one goes on, and that nothing is discarded by a guess.

use crate::world::{Disk, Link, Mood, World, pod_name, reasons};
use redis_operator_core::plan::Reason;
use std::time::Duration;

/// A failover by hand: the first replica is promoted and the others, but for `left`, are led to it.
fn promote_by_hand(world: &mut World, left: &[u32]) {
    world.promote_by_hand(1);
    let others = 2..world.desired.replicas;
    for ordinal in others.filter(|ordinal| !left.contains(ordinal)) {
        world.follow_by_hand(ordinal, 1);
    }
    world.flow();
}

#[test]
fn e08_of_two_masters_of_related_histories_the_one_promoted_later_stays() {
    let mut world = World::healthy(5);
    promote_by_hand(&mut world, &[4]);
    world.settle();
    assert_eq!(world.master(), 1);
    assert_eq!(world.record().reason, "Adopted");
}

#[test]
fn e08_a_replica_that_was_promoted_for_nobody_follows_again() {
    let mut world = World::healthy(3);
    world.promote_by_hand(1);
    world.settle();
    assert_eq!(world.master(), 0);
}

#[test]
fn e08_a_former_master_with_followers_of_its_own_does_not_win_back() {
    let mut world = World::healthy(5);
    // it is cut off together with one replica, which leaves; the others elect
    world.isolated.extend([pod_name(0), pod_name(4)]);
    world.until(|world| world.published() == Some(1));
    assert!(world.write());
    world.settle_for(Duration::from_secs(1));
    // and the new one has lost its followers when it comes back
    world.isolated.extend([pod_name(2), pod_name(3)]);
    world.tick(Duration::from_secs(12));
    world.isolated.remove(&pod_name(0));
    world.isolated.remove(&pod_name(4));
    world.settle_for(Duration::from_secs(5));
    assert_eq!(world.published(), Some(1), "{}", world.story());
    world.isolated.clear();
    world.settle();
    assert_eq!(world.master(), 1);
    world.assert_nothing_lost();
}

#[test]
fn e22_a_former_master_that_comes_back_does_not_hide_what_the_volumes_hold() {
    let mut world = World::healthy_on(3, Disk::Rdb);
    world.isolated.insert(pod_name(0));
    world.server_mut(0).guard = 0;
    assert!(world.write_to(0));
    world.server_mut(0).guard = 1;
    world.until(|world| world.published() == Some(1));
    world.settle_for(Duration::from_secs(1));
    assert!(world.write());
    // the lights go out for the others, and come on again with the one that was cut off
    world.kill(1);
    world.kill(2);
    world.isolated.clear();
    world.settle_for(Duration::from_secs(5));
    assert_eq!(world.published(), Some(1), "nobody else is published");
    world.start(1);
    world.start(2);
    world.settle();
    world.assert_healthy();
    world.assert_nothing_lost();
}

#[test]
fn e09_of_two_masters_of_unrelated_histories_the_recorded_one_serves_and_the_other_is_kept() {
    let mut world = World::healthy(3);
    world.delete(2);
    world.vanish(2);
    world.settle_for(Duration::from_secs(1));
    // another one comes with data of its own, and somebody made it a master
    let foreign = world.server_mut(2);
    foreign.data = vec![901, 902, 903];
    (foreign.placed, foreign.offset) = (true, 700);
    let plan = {
        let mut record = world.record();
        record.members.remove(&pod_name(2));
        record.copies.remove(&pod_name(2));
        record.quorum = record.quorum.min(1);
        world
            .server_mut(2)
            .follow("127.0.0.1", redis_operator_core::observed::Moment(1));
        world.put_record(Some(serde_json::to_value(record).unwrap()));
        world.server_mut(2).data = vec![901, 902, 903];
        world.promote_by_hand(2);
        world.settle()
    };
    assert_eq!(world.published(), Some(0));
    assert!(!world.server(2).master, "it takes no writes");
    assert_eq!(world.pod(2).label, None, "it is behind no Service");
    assert_eq!(world.server(2).data, [901, 902, 903], "nothing is discarded");
    assert_eq!(reasons(&plan), [Reason::ForeignData]);
}

#[test]
fn e17_replicas_that_follow_each_other_have_no_master_and_elect_one() {
    let mut world = World::healthy(3);
    world.kill(0);
    world.follow_by_hand(1, 2);
    world.follow_by_hand(2, 1);
    world.settle_for(Duration::from_secs(2));
    assert!(
        world.published().is_some_and(|published| published != 0),
        "{}",
        world.story()
    );
    world.start(0);
    world.settle();
    world.assert_healthy();
    world.assert_nothing_lost();
}

#[test]
fn e30_a_former_master_that_wrote_after_the_fork_is_never_a_candidate() {
    let mut world = World::healthy(3);
    // the operator looks away while it is done by hand, and the former master takes a write more
    world.promote_by_hand(1);
    world.server_mut(0).guard = 0;
    assert!(world.write_to(0));
    world.follow_by_hand(2, 1);
    world.follow_by_hand(0, 1);
    world.cut.insert((pod_name(0), pod_name(1)));
    world.cut.insert((pod_name(2), pod_name(1)));
    world.server_mut(2).mood = Mood::Hung;
    world.settle_for(Duration::from_secs(1));
    assert_eq!(world.record().reason, "Adopted", "{}", world.story());
    let diverged = world.server(0).offset;
    assert!(diverged > world.record().promoted_at);
    // the new one dies before anybody has joined it
    world.kill(1);
    world.settle_for(Duration::from_secs(30));
    assert_ne!(world.published(), Some(0), "{}", world.story());
}

#[test]
fn e22_a_master_of_two_terms_ago_does_not_hide_what_the_volumes_hold() {
    let mut world = World::healthy_on(3, Disk::Rdb);
    world.isolated.insert(pod_name(0));
    world.until(|world| world.published() == Some(1));
    world.settle_for(Duration::from_secs(10));
    world.kill(1);
    world.until(|world| world.published() == Some(2));
    world.start(1);
    world.settle_for(Duration::from_secs(10));
    assert!(world.write(), "{}", world.story());
    // the lights go out for both, and come on again with the one that was cut off all the time
    world.restart(1);
    world.restart(2);
    world.isolated.clear();
    world.settle();
    assert!(!world.server(0).master, "{}", world.story());
    world.assert_healthy();
    world.assert_nothing_lost();
}

#[test]
fn e23_a_master_of_another_history_is_adopted_where_nobody_holds_the_recorded_one() {
    for remembers in [false, true] {
        let mut world = World::healthy(3);
        let recorded = world.record().id;
        (0..3).for_each(|ordinal| world.restart(ordinal));
        let server = world.server_mut(1);
        (server.data, server.placed, server.offset) = (vec![901], true, 700);
        if remembers {
            // its place in the recorded history, and nothing that was written
            let server = world.server_mut(2);
            (server.id, server.placed, server.offset) = (recorded, true, 5);
        }
        world.promote_by_hand(1);
        world.settle();
        assert_eq!(world.master(), 1);
        assert_eq!(
            (world.record().reason.as_str(), world.server(2).data.as_slice()),
            ("Adopted", &[901][..])
        );
    }
}

#[test]
fn e23_a_master_of_another_history_is_not_adopted_before_it_can_be_told_anything() {
    let mut world = World::healthy(3);
    (0..3).for_each(|ordinal| world.restart(ordinal));
    world.promote_by_hand(1);
    world.operator.withheld.insert(pod_name(1));
    world.new_operator();
    let before = world.record().term;
    world.settle();
    assert_eq!(world.record().term, before, "{}", world.story());
    world.operator.withheld.clear();
    world.settle();
    assert_eq!((world.master(), world.record().reason.as_str()), (1, "Adopted"));
}

/// Somebody fails over by hand to an instance that has only just begun, and leads the others there: their own places are
/// gone with the first word of its full sync, and the operator cuts that off before it has wiped anything.
#[test]
fn e07_a_master_made_by_hand_that_has_nothing_never_takes_the_place_of_data() {
    for copies in [true, false] {
        let mut world = World::healthy(3);
        world.restart(2);
        world.promote_by_hand(2);
        for ordinal in [0, 1] {
            world.follow_by_hand(ordinal, 2);
            world.cut.insert((pod_name(ordinal), pod_name(2)));
            let it = world.server_mut(ordinal);
            (it.master, it.placed, it.link) = (false, false, Link::Down(None));
            if !copies {
                it.data.clear();
            }
        }
        world.until(|world| world.published() != Some(0) || world.server(0).master);
        world.cut.clear();
        world.settle();
        let master = world.master();
        assert_eq!(
            world.server(master).data.len(),
            if copies { 5 } else { 0 },
            "{}",
            world.story()
        );
    }
}

/// Done by hand while no operator could: the first was made master, it died, the second was. Then the first two are back with
/// what they had on their volumes, and the record speaks of them.
fn promoted_twice_by_hand() -> World {
    let mut world = World::healthy_on(3, Disk::Rdb);
    world.kill(0);
    world.promote_by_hand(1);
    let user = world.server(2).attaches_as.clone();
    world.server_mut(1).users.insert(user);
    world.follow_by_hand(2, 1);
    world.server_mut(1).guard = 0;
    world.tick(Duration::from_secs(1));
    assert!(world.write_to(1));
    assert_eq!(world.server(2).id, world.server(1).id, "in sync");
    world.kill(1);
    world.promote_by_hand(2);
    world.server_mut(2).guard = 0;
    assert!(world.write_to(2));
    world.start(0);
    world
}

#[test]
fn e19_a_master_that_is_two_promotions_ahead_of_the_record_is_left_alone() {
    let mut world = promoted_twice_by_hand();
    world.start(1);
    let newest = world.server(2).data.clone();
    let plan = world.settle_for(Duration::from_secs(300));
    assert!(world.server(2).master, "{}", world.story());
    assert_eq!(reasons(&plan), [Reason::AmbiguousData]);
    // a person says that it is the right one
    world.desired.elect = Some(pod_name(2));
    world.settle();
    assert_eq!(world.master(), 2);
    assert_eq!(world.server(0).data, newest);
}

#[test]
fn e19_one_that_is_ahead_and_has_nothing_gives_way() {
    let mut world = promoted_twice_by_hand();
    world.server_mut(2).data.clear();
    world.start(1);
    world.settle_for(Duration::from_secs(300));
    assert_eq!(world.published(), Some(0), "{}", world.story());
}

/// It forked where the recorded master did, and others are in that one's history.
#[test]
fn e30_a_rival_from_the_same_fork_is_not_adopted_while_others_hold_the_recorded_history() {
    for in_reach in [false, true] {
        is_not_adopted(in_reach);
    }
}

fn is_not_adopted(in_reach: bool) {
    let mut world = World::healthy(4);
    world.kill(0);
    world.until(|world| world.published().is_some_and(|it| it != 0));
    world.settle_for(Duration::from_secs(10));
    let record = world.record();
    let master = world.published().unwrap();
    let rival = (1..4).find(|it| *it != master).unwrap();
    let it = world.server_mut(rival);
    (it.master, it.id, it.id2, it.forked_at) = (true, "rival".to_owned(), record.previous_id, Some(record.promoted_at));
    (it.host, it.link) = (redis_operator_core::replication::NOWHERE.0.to_owned(), Link::Down(None));
    world.operator.withheld.insert(pod_name(rival));
    let uid = world.pod(rival).uid.clone();
    world.operator.attached.remove(&uid);
    world.kill(master);
    if in_reach {
        world.operator.withheld.clear();
    }
    world.settle_for(Duration::from_secs(20));
    assert_ne!(world.published(), Some(rival), "{}", world.story());
    assert_ne!(world.record().reason, "Adopted");
}

#[test]
fn e19_whom_a_person_does_not_name_gives_way() {
    let mut world = promoted_twice_by_hand();
    world.start(1);
    world.settle_for(Duration::from_secs(300));
    world.desired.elect = Some(pod_name(0));
    world.settle_for(Duration::from_secs(300));
    assert_eq!(world.published(), Some(0), "{}", world.story());
}

/// One that follows it is in sync: nobody else can be meant, though somebody still holds the recorded history.
#[test]
fn e23_a_master_far_ahead_of_the_record_is_adopted_where_others_follow_it() {
    let mut world = promoted_twice_by_hand();
    let user = redis_operator_core::names::replication_user(&world.pod(0).uid);
    world.server_mut(2).users.insert(user.clone());
    world.server_mut(0).attaches_as = user;
    world.follow_by_hand(0, 2);
    world.start(1);
    world.settle();
    assert_eq!(world.master(), 2, "{}", world.story());
}
