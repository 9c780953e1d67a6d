//! Members come and go: joins, leaves, scale, routing.

use crate::world::{Fault, Link, Pass, World, pod_name, reasons};
use redis_operator_core::names::{ROLE_MASTER, ROLE_REPLICA};
use redis_operator_core::plan::{Label, Reason, Step};
use redis_operator_core::record::{Phase, Stage};
use std::time::Duration;

#[test]
fn e28_the_only_copy_beside_the_master_stays_until_there_is_another() {
    let mut world = World::healthy(3);
    world.vanish(0);
    world.pending.insert(0);
    world.settle();
    assert!(world.write());
    world.settle();
    world.desired.replicas = 2;
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::WaitingForPods]);
    // the one failure comes now
    world.restart(world.published().unwrap());
    world.settle_for(std::time::Duration::from_secs(5));
    world.assert_nothing_lost();
    world.pending.clear();
    world.settle();
    world.assert_nothing_lost();
}

#[test]
fn e28_of_several_that_are_to_go_the_last_copy_stays() {
    let mut world = World::healthy(5);
    for lost in [1, 2] {
        world.vanish(lost);
        world.pending.insert(lost);
    }
    world.settle();
    world.desired.replicas = 3;
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::WaitingForPods]);
    let members: Vec<String> = world.record().members.keys().cloned().collect();
    assert_eq!(members, [pod_name(3)], "{}", world.story());
    assert!(world.write());
    world.kill(0);
    world.until(|world| world.published() == Some(3));
    world.assert_nothing_lost();
    world.start(0);
    world.pending.clear();
    world.settle();
    assert_eq!(world.pods.len(), 3);
    world.assert_nothing_lost();
}

#[test]
fn r18_surplus_members_leave_one_at_a_time() {
    let mut world = World::healthy(5);
    world.desired.replicas = 2;
    for _ in 0..200 {
        world.stateful_set();
        let before = world.record().size();
        world.pass();
        let leaving = world.record().at(Stage::Leaving).count();
        assert!(
            leaving <= 1 && before - world.record().size() <= 1,
            "one finished leave at a time"
        );
        assert!(world.write(), "writes go on{}", world.story());
    }
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.pods.len(), 2);
}

#[test]
fn r03_more_replicas_then_fewer() {
    let mut world = World::healthy(3);
    for replicas in [5, 3, 1, 2] {
        world.desired.replicas = replicas;
        world.settle();
        assert_eq!(world.master(), 0);
        assert!(world.write());
        world.settle();
    }
}

#[test]
fn r03_a_master_on_a_surplus_pod_stays_and_is_named() {
    let mut world = World::healthy(3);
    world.stall(1);
    assert!(world.write());
    world.restart(0);
    world.settle();
    world.server_mut(1).stalled = None;
    world.settle();
    assert_eq!(world.master(), 2);
    world.desired.replicas = 1;
    world.server_mut(0).priority = 0;
    let plan = world.settle();
    assert!(reasons(&plan).contains(&Reason::MasterOnSurplusPod), "{plan:?}");
    assert_eq!(world.published(), Some(2));
    assert!(world.write());
}

#[test]
fn d21_a_silent_member_leaves_while_the_master_answers() {
    for replicas in [2, 3] {
        let mut world = World::healthy(replicas);
        world.lose_node(1);
        world.settle();
        assert!(!world.record().members.contains_key(&pod_name(1)));
        assert!(world.write(), "with {replicas}");
        world.vanish_unproved(1);
        world.settle();
        assert_eq!(world.master(), 0);
    }
}

#[test]
fn a_member_that_restarted_joins_again_as_another_process() {
    let mut world = World::healthy(3);
    let before = world.server(1).run.clone();
    world.restart(1);
    world.settle();
    assert_eq!(world.master(), 0);
    let member = world.record().members[&pod_name(1)].clone();
    assert_ne!(member.process.run_id, before);
    assert_eq!(world.record().term, 1);
}

#[test]
fn a_replaced_pod_of_the_same_name_joins_as_itself() {
    for ordinal in 0..3 {
        let mut world = World::healthy(3);
        world.vanish(ordinal);
        world.settle();
        world.assert_healthy();
        world.assert_nothing_lost();
    }
}

#[test]
fn f03_labels_and_slice_never_name_two_and_follow_the_promotion() {
    let mut world = World::healthy(3);
    world.kill(0);
    for _ in 0..30 {
        let (plan, _) = world.pass();
        let record = world.record();
        for step in &plan.steps {
            if let Step::Publish(who) = step {
                let verified = &world.pods[&who.pod].server.as_ref().unwrap();
                assert!(verified.master && record.master.as_ref().is_some_and(|master| master.is(who)));
            }
        }
    }
    assert_eq!(world.published(), Some(1));
    assert_eq!(world.pod(1).label.as_deref(), Some(ROLE_MASTER));
    assert_eq!(world.pod(0).label, None);
}

#[test]
fn f09_a_label_that_cannot_be_taken_off_holds_only_labels_up() {
    let mut world = World::healthy(3);
    world.kill(0);
    for _ in 0..60 {
        let next = world.steps + 1;
        let mut peek = world.clone();
        let (plan, _) = peek.pass();
        let off = plan
            .steps
            .iter()
            .position(|step| matches!(step, Step::Label { pod, .. } if *pod == pod_name(0)));
        if let Some(at) = off {
            world.faults.insert(next + u64::try_from(at).unwrap(), Fault::Fail);
        }
        world.pass();
    }
    assert_eq!(world.published(), Some(1), "publication does not wait");
    assert_eq!(world.pod(0).label.as_deref(), Some(ROLE_MASTER));
    assert_ne!(world.pod(1).label.as_deref(), Some(ROLE_MASTER));
    world.faults.clear();
    world.start(0);
    world.settle();
    world.assert_healthy();
}

/// A successor has failed over once more before a late operator sends what it held in its hand: it would be the second
/// pod with `role=master`, and the uid of that pod is still the same.
#[test]
fn f16_the_published_address_follows_its_pod() {
    let mut world = World::healthy(3);
    // the sandbox of the master's pod is made anew: the same pod with a new process and a new address
    world.kill(0);
    world.pod_mut(0).address = "10.0.1.77".to_owned();
    world.start(0);
    world.settle();
    assert_ne!(world.master(), 0, "the process is new: it is replaced like any other");
    // a new address alone is published
    let master = world.published().unwrap();
    let address = "10.0.1.88".to_owned();
    world.pod_mut(master).address.clone_from(&address);
    world.settle();
    world.assert_healthy();
    assert_eq!(world.slice.clone().unwrap().address, Some(address));
}

/// A publication of the holder before may still be on its way where the record names another master than the slice.
#[test]
fn f14_a_new_holder_writes_into_an_unsettled_slice_before_anything_else() {
    let recorded = |world: &World| world.record().master.map(|master| master.pod);
    let mut world = (1..20)
        .map(|step| faulty(step, Fault::CrashBefore))
        .find(|world| recorded(world) != world.published().map(pod_name))
        .expect("a new master is recorded before it is published");
    let promoted = (0..3).find(|ordinal| Some(pod_name(*ordinal)) == recorded(&world));
    world.kill(promoted.unwrap());
    let whys = whys(&mut world, 100);
    assert_eq!(whys[..2], ["take the record over", "touch the slice"], "{whys:?}");
}

/// A master has ended, and this step of its replacement goes wrong.
fn faulty(step: u64, fault: Fault) -> World {
    let mut world = World::healthy(3);
    let at = world.steps + step;
    world.faults.insert(at, fault);
    world.kill(0);
    while world.steps < at {
        world.pass_only();
        world.tick(Duration::from_millis(100));
    }
    world
}

/// A publication to which nobody answered may arrive at any later moment, and name one that was given up meanwhile: unless the
/// slice is written first, which makes it conflict.
#[test]
fn f14_after_a_publication_without_an_answer_the_slice_is_written_before_anything_else() {
    for fault in [Fault::Fail, Fault::Unknown] {
        let mut world = (1..30)
            .map(|step| faulty(step, fault))
            .find(|world| world.operator.in_doubt)
            .expect("one of the steps is the publication");
        let (version, steps) = (world.slice_version, world.steps);
        let plan = world.pass_only();
        assert_eq!(plan.why, "touch the slice", "{fault:?}");
        assert_eq!((world.slice_version, world.steps), (version + 1, steps + 1));
        world.settle();
        world.start(0);
        world.settle();
        world.assert_healthy();
        assert_ne!(world.published(), Some(0));
    }
}

/// A publication that began under the record that was lost may still be on its way, and terms tell it apart.
#[test]
fn f14_where_the_record_was_lost_terms_go_on_and_the_slice_is_written() {
    let mut world = World::healthy(3);
    world.kill(0);
    world.settle();
    let (term, version) = (world.record().term, world.slice_version);
    assert!(term > 1);
    world.put_record(None);
    world.settle();
    assert!(world.record().term > term, "{}", world.story());
    assert!(world.slice_version > version);
    assert_eq!(world.slice.clone().unwrap().term, world.record().term);
}

/// The slice names the recorded master: nothing else is on its way, and what a write costs kube-proxy, clients would wait for.
#[test]
fn d16_a_new_holder_leaves_a_settled_slice_alone() {
    let mut world = World::healthy(3);
    let before = world.slice_version;
    world.new_operator();
    world.settle();
    assert_eq!(world.slice_version, before, "all is well");
    world.new_operator();
    world.kill(0);
    let whys = whys(&mut world, 100);
    assert_ne!(world.published(), Some(0), "{whys:?}");
    assert_eq!(world.slice_version, before + 1, "one publication: {whys:?}");
}

/// It led before, and another one has begun something since that may still be under way: its own name on the slice proves
/// nothing.
#[test]
fn f14_a_holder_that_takes_the_record_back_touches_the_slice_that_it_wrote_itself() {
    let mut world = World::healthy(3);
    let first = world.operator.clone();
    assert_eq!(world.slice.clone().unwrap().holder, first.holder);
    world.new_operator();
    world.kill(0);
    world.until(|world| world.record().phase == Phase::Electing);
    world.operator = first;
    world.operator.memory.held = true;
    let before = world.slice_version;
    let mut touched = false;
    for _ in 0..1000 {
        touched |= world.pass().0.why == "touch the slice";
        if world.published() != Some(0) {
            break;
        }
        world.tick(Duration::from_millis(100));
    }
    assert!(touched && world.slice_version > before + 1, "{}", world.story());
}

/// Why something was done, in so many passes.
fn whys(world: &mut World, passes: usize) -> Vec<&'static str> {
    let mut whys = vec![];
    for _ in 0..passes {
        whys.push(world.pass().0.why);
        world.tick(Duration::from_millis(100));
    }
    whys
}

#[test]
fn f05_of_two_operators_only_one_writes_the_record() {
    let mut world = World::healthy(3);
    let first = world.operator.clone();
    world.new_operator();
    world.pass_only();
    let term = world.record().holder.clone();
    // the first one believes that it still leads: it finds another name and does nothing
    let second = std::mem::replace(&mut world.operator, first);
    world.kill(0);
    world.settle_for(std::time::Duration::from_secs(20));
    assert_eq!(world.record().holder, term);
    assert_eq!(world.published(), Some(0));
    world.operator = second;
    world.settle();
    assert_eq!(world.published(), Some(1));
}

/// Of three pods, those that carry `role=master`.
fn labelled_masters(world: &World) -> Vec<u32> {
    let labelled = (0..3).filter(|ordinal| world.pod(*ordinal).label.as_deref() == Some(ROLE_MASTER));
    labelled.collect()
}

#[test]
fn f19_a_late_label_conflicts() {
    let mut world = World::healthy(3);
    world.kill(0);
    let late = loop {
        let mut peek = world.clone();
        let (plan, _) = peek.pass();
        let label = |step: &Step| {
            matches!(
                step,
                Step::Label {
                    label: Label::Master,
                    ..
                }
            )
        };
        match plan.steps.into_iter().find(label) {
            Some(step) => break step,
            None => drop(world.pass()),
        }
    };
    world.start(0);
    world.settle();
    world.kill(1);
    world.settle();
    world.start(1);
    world.settle();
    world.assert_healthy();
    let before = labelled_masters(&world);
    assert_ne!(before, [1]);
    assert_eq!(world.step(&late, 0), Pass::Failed);
    assert_eq!(labelled_masters(&world), before);
}

/// The copy of the pod that was labelled master just now does not show it yet when another one has to be.
#[test]
fn f03_a_late_copy_of_the_labelled_pod_leaves_one_master_labelled() {
    let mut world = World::healthy(3);
    world.kill(0);
    while world.pod(1).label.as_deref() != Some(ROLE_MASTER) {
        let version = world.pod(1).version;
        world.pass();
        world.late.insert(pod_name(1), (None, version));
    }
    world.start(0);
    world.kill(1);
    for _ in 0..300 {
        world.pass();
        assert_eq!(labelled_masters(&world).len(), 1);
    }
    assert_ne!(world.published(), Some(1), "the slice waits for no label");
    world.late.clear();
    world.start(1);
    world.settle();
    world.assert_healthy();
}

#[test]
fn f15_a_slice_that_was_deleted_is_back_at_once() {
    let mut world = World::healthy(3);
    world.slice = None;
    let (plan, _) = world.pass();
    assert!(matches!(plan.steps.as_slice(), [Step::Publish(_)]), "{plan:?}");
    assert_eq!(world.published(), Some(0));
}

#[test]
fn f18_connections_to_healthy_replicas_are_not_cut() {
    let mut world = World::healthy(3);
    world.server_mut(2).misdirected += 7;
    world.kill(0);
    world.settle();
    assert!(!world.cut_clients.contains(&pod_name(2)), "{:?}", world.cut_clients);
}

#[test]
fn f17_clients_of_a_fenced_instance_are_sent_away() {
    let mut world = World::healthy(3);
    world.slow_sync.insert(pod_name(0));
    world.restart(0);
    world.settle_for(Duration::from_millis(500));
    assert!(!world.server(0).serves);
    world.server_mut(0).misdirected += 3;
    world.settle_for(Duration::from_millis(500));
    assert_eq!(world.cut_clients, [pod_name(0)]);
}

#[test]
fn f17_a_client_that_comes_back_at_once_holds_nothing_else_up() {
    let mut world = World::healthy(3);
    world.restart(0);
    for _ in 0..1_000 {
        if world.pod(0).server.is_some() {
            world.server_mut(0).misdirected += 1;
        }
        world.stateful_set();
        world.pass();
        world.flow();
    }
    let (uid, run) = (world.pod(0).uid.clone(), world.server(0).run.clone());
    let stage = world.record().member(&uid, &run).map(|member| member.stage);
    assert_eq!(stage, Some(Stage::Full));
    assert_eq!(world.record().quorum, 1);
    let cuts = world.cut_clients.iter().filter(|pod| **pod == pod_name(0)).count();
    assert!((2..=11).contains(&cuts), "{cuts} cuts in a second");
}

#[test]
fn e15_who_is_no_pod_of_ours_is_no_member() {
    let mut world = World::healthy(2);
    // a replica of somebody else's: it has no user that is a member's
    world.server_mut(0).users.insert("r-somebody".to_owned());
    world.settle();
    world.assert_healthy();
    assert!(!world.server(0).users.contains("r-somebody"), "and nobody feeds on it");
}

#[test]
fn e07_nobody_is_promoted_while_the_first_sync_runs_and_the_old_volume_counts() {
    let mut world = World::new(3, crate::world::Disk::Rdb);
    world.slow_sync.extend([pod_name(1), pod_name(2)]);
    world.settle_for(Duration::from_millis(500));
    for _ in 0..3 {
        assert!(world.write());
    }
    world.settle_for(Duration::from_millis(500));
    world.kill(0);
    let plan = world.settle_for(Duration::from_secs(20));
    assert!(
        !world
            .pods
            .values()
            .any(|pod| pod.server.as_ref().is_some_and(|server| server.master)),
        "{plan:?}"
    );
    world.start(0);
    world.slow_sync.clear();
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.server(0).data.len(), 3);
    assert_eq!(world.record().phase, Phase::Steady);
}

#[test]
fn d21_two_members_lost_one_after_the_other() {
    let mut world = World::healthy(3);
    world.stall(1);
    assert!(world.write());
    world.delete(2);
    world.settle_for(Duration::from_millis(100));
    assert_eq!(world.record().members[&pod_name(2)].stage, Stage::Leaving);
    world.vanish(2);
    world.pending.insert(2);
    world.lose_node(1);
    world.settle();
    assert!(world.record().members.is_empty(), "{}", world.story());
    assert!(world.write());
}

#[test]
fn f12_a_replica_that_lags_leaves_the_service_and_returns() {
    let mut world = World::healthy(3);
    world.cut.insert((pod_name(1), pod_name(0)));
    world.settle_for(Duration::from_secs(4));
    assert_eq!(world.pod(1).label, None);
    world.cut.clear();
    world.settle();
    assert_eq!(world.pod(1).label.as_deref(), Some(ROLE_REPLICA));
    world.assert_healthy();
}

#[test]
fn d12_a_full_member_that_lost_its_link_no_longer_holds_writes_up() {
    let mut world = World::healthy(2);
    world.cut.insert((pod_name(1), pod_name(0)));
    world.settle();
    assert_eq!(
        world.record().members[&pod_name(1)].stage,
        Stage::Joining,
        "{}",
        world.story()
    );
    assert_eq!((world.published(), world.record().term), (Some(0), 1));
    assert!(world.write());
    world.cut.clear();
    world.settle();
    assert_eq!(world.master(), 0);
}

#[test]
fn d12_a_member_with_a_wrong_password_is_told_the_right_one() {
    let mut world = World::healthy(3);
    world.server_mut(1).wrong_password = true;
    world.server_mut(1).link = Link::Down(None);
    let took = world.until(|world| world.server(1).is_linked());
    assert!(took < Duration::from_secs(20), "{took:?}");
    world.settle();
    assert_eq!(world.master(), 0);
}

#[test]
fn d12_a_member_without_a_link_is_named_and_told_now_and_then() {
    let mut world = World::healthy(2);
    world.cut.insert((pod_name(1), pod_name(0)));
    world.settle_for(Duration::from_secs(30));
    let steps = world.steps;
    let plan = world.settle_for(Duration::from_secs(60));
    assert_eq!(reasons(&plan), [Reason::MemberWithoutLink], "{plan:?}");
    assert!(plan.notes[0].message.starts_with(&pod_name(1)));
    assert!(
        world.steps - steps <= 14,
        "a user and a command every 10 s: {}",
        world.steps - steps
    );
    world.cut.clear();
    world.settle();
    world.assert_healthy();
}

#[test]
fn d21_a_leave_ends_although_the_others_lost_their_links() {
    let mut world = World::healthy(3);
    world.cut.insert((pod_name(1), pod_name(0)));
    world.flow();
    assert!(world.write(), "2 has it");
    world.delete(2);
    world.settle_for(Duration::from_secs(1));
    world.vanish(2);
    world.settle();
    assert!(world.write(), "{}", world.story());
    world.cut.clear();
    world.settle();
    assert_eq!(world.master(), 0);
}

#[test]
fn r03_a_surplus_member_that_never_syncs_goes_all_the_same() {
    let mut world = World::healthy(3);
    world.desired.replicas = 5;
    world.slow_sync.insert(pod_name(4));
    world.settle();
    assert_eq!(world.record().members[&pod_name(4)].stage, Stage::Joining);
    world.desired.replicas = 3;
    world.settle();
    assert_eq!(world.master(), 0);
    assert_eq!(world.pods.len(), 3);
}

#[test]
fn r03_one_that_is_always_a_little_behind_becomes_full_under_writes() {
    let mut world = World::healthy(2);
    world.desired.replicas = 3;
    world.stateful_set();
    for _ in 0..40 {
        world.pass();
        let late = world.server(2);
        if late.is_linked() && late.late.is_none() {
            let sent = (world.now, late.data.clone(), late.offset);
            world.server_mut(2).late = Some(sent);
        }
        world.tick(Duration::from_millis(1));
        assert!(world.write());
    }
    assert!(world.server(2).offset < world.server(0).offset);
    assert_eq!(
        world.record().members[&pod_name(2)].stage,
        Stage::Full,
        "{}",
        world.story()
    );
    // and it can leave, and the others can be waited for, just as well
    world.desired.replicas = 1;
    for _ in 0..60 {
        world.pass();
        world.tick(Duration::from_millis(1));
        assert!(world.write());
    }
    assert!(world.record().members.is_empty());
}

#[test]
fn r18_who_went_astray_is_told_also_while_another_one_leaves() {
    let mut world = World::healthy(3);
    world.desired.replicas = 2;
    world.until(|world| world.record().at(Stage::Leaving).next().is_some());
    world.promote_by_hand(1);
    world.settle_for(Duration::from_secs(1));
    assert_eq!(world.master(), 0);
}

/// The kubelet lets one that crashed often wait for up to five minutes, whatever has become of the cause.
#[test]
fn a_replica_in_a_long_back_off_is_replaced_after_half_a_minute_and_not_before() {
    let backing_off = |restarts: u32| {
        let mut world = World::healthy(3);
        for _ in 0..restarts {
            world.restart(2);
            world.settle();
        }
        world.kill(2);
        world.pod_mut(2).waiting = Some("CrashLoopBackOff".to_owned());
        world
    };
    let uid = |world: &World| world.pods.get(&pod_name(2)).map(|pod| pod.uid.clone());
    let mut world = backing_off(4);
    let stuck = uid(&world);
    world.settle_for(Duration::from_secs(29));
    assert_eq!(uid(&world), stuck, "the kubelet may try by itself");
    let took = world.until(|world| uid(world) != stuck);
    assert!(took <= Duration::from_secs(2), "{took:?}{}", world.story());
    world.settle();
    assert_eq!(world.master(), 0);
    world.assert_nothing_lost();

    let mut seldom = backing_off(3);
    let stuck = uid(&seldom);
    seldom.settle_for(Duration::from_secs(300));
    assert_eq!(uid(&seldom), stuck, "its back-off is short");
}
