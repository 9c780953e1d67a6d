//! A new spec reaches every pod, one after another, and no write is lost, plain ones included.

use crate::world::{Disk, Fault, Mood, Pass, World, pod_name, reasons};
use redis_operator_core::observed::Paused;
use redis_operator_core::plan::{Plan, Reason, Step};
use redis_operator_core::record::Stage;
use std::time::Duration;

/// Every pod follows the present spec.
fn rolled(world: &World) -> bool {
    world.pods.values().all(|pod| pod.spec == world.spec)
}

/// A client writes after every pass, plain and with WAIT alike, and reads everything at the end.
fn roll_under_writes(world: &mut World) -> u32 {
    let mut written = world.server(world.published().unwrap()).data.clone();
    let mut away = 0;
    for _ in 0..2000 {
        if world.write() {
            written.push(*world.server(world.published().unwrap()).data.last().unwrap());
        }
        let running = world.pods.values().filter(|pod| pod.server.is_some()).count();
        let least = usize::try_from(world.desired.replicas).unwrap();
        away = away.max(least.saturating_sub(running));
        world.pass_only();
        world.stateful_set();
        world.flow();
    }
    world.settle();
    let data = &world.server(world.published().unwrap()).data;
    for n in &written {
        assert!(data.contains(n), "write {n} is lost{}", world.story());
    }
    u32::try_from(away).unwrap()
}

#[test]
fn r04_replicas_first_then_a_switchover_then_the_old_master() {
    let mut world = World::healthy(3);
    world.spec += 1;
    let mut order = vec![];
    for _ in 0..600 {
        let before: Vec<_> = world.pods.values().map(|pod| (pod.ordinal, pod.uid.clone())).collect();
        world.pass_only();
        world.stateful_set();
        world.flow();
        let replaced = before.iter().filter(|(ordinal, uid)| world.pod(*ordinal).uid != *uid);
        order.extend(replaced.map(|(ordinal, _)| (*ordinal, world.published())));
    }
    assert_eq!(order, [(2, Some(0)), (1, Some(0)), (0, Some(1))], "{}", world.story());
    world.settle();
    assert!(rolled(&world));
    world.assert_healthy();
    world.assert_nothing_lost();
}

/// The leader ends with a deletion on its way, and the roll is taken back: its successor takes the pod back.
#[test]
fn f14_a_late_deletion_misses_a_pod_that_was_taken_back() {
    let mut world = World::healthy(3);
    world.spec += 1;
    let late = loop {
        let mut ahead = world.clone();
        let plan = ahead.pass_only();
        if let [step @ Step::DeletePod { .. }] = plan.steps.as_slice() {
            break step.clone();
        }
        world = ahead;
    };
    world.spec -= 1;
    world.new_operator();
    let uid = world.pod(2).uid.clone();
    assert!(!world.record().names(&uid), "it has left");
    world.until(|world| world.record().names(&uid));
    assert_eq!(world.pod(2).label, None, "nothing else has written to it");
    assert_eq!(world.step(&late, 0), Pass::Failed);
    assert_eq!(world.pod(2).uid, uid);
    world.settle();
    world.assert_healthy();
    assert_eq!(world.pod(2).uid, uid);
}

#[test]
fn r04_no_write_is_lost_with_any_number_of_pods() {
    for replicas in 1..=5 {
        for disk in [Disk::Memory, Disk::Rdb, Disk::Aof] {
            let mut world = World::healthy_on(replicas, disk);
            world.spec += 1;
            let away = roll_under_writes(&mut world);
            assert!(rolled(&world), "{replicas} {disk:?}{}", world.story());
            assert!(away <= 1, "{replicas} {disk:?}: {away} away at once");
            world.assert_healthy();
            assert_eq!(world.pods.len(), usize::try_from(replicas).unwrap());
        }
    }
}

#[test]
fn r04_one_pod_more_runs_while_two_are_rolled() {
    let mut world = World::healthy(2);
    world.spec += 1;
    world.until(|world| world.pods.len() == 3);
    world.until(|world| world.record().at(Stage::Full).count() == 2);
    world.until(rolled);
    world.settle();
    assert_eq!(world.pods.len(), 2);
    world.assert_healthy();
}

#[test]
fn e25_a_replica_that_alone_has_a_write_waits_until_another_has_it() {
    let mut world = World::healthy(3);
    world.stall(1);
    world.spec += 1;
    assert!(world.write());
    let waited = world.waited.clone();
    let before = world.pod(2).uid.clone();
    for _ in 0..200 {
        world.pass_only();
        world.stateful_set();
        world.flow();
        if world.pods.get(&pod_name(2)).is_none_or(|pod| pod.uid != before) {
            break;
        }
    }
    assert!(!waited.is_empty());
    world.kill(0);
    world.until(|world| world.published().is_some_and(|published| published != 0));
    world.assert_nothing_lost();
}

#[test]
fn r05_a_spec_that_cannot_start_stops_at_the_first_replica() {
    let mut world = World::healthy(3);
    world.spec = 1;
    world.broken.insert(1);
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::RollStuck]);
    assert!(plan.notes[0].message.contains("cannot be pulled"), "{:?}", plan.notes);
    let old: Vec<_> = world.pods.values().filter(|pod| pod.spec == 0).collect();
    assert_eq!(old.len(), 2);
    assert!(world.write());
    world.spec = 0;
    world.settle();
    assert!(rolled(&world), "{}", world.story());
    world.assert_healthy();
    world.assert_nothing_lost();
}

/// The API server may refuse to delete it, again and again.
#[test]
fn o02_a_pod_that_is_to_be_replaced_holds_no_failover_up() {
    let mut world = World::healthy(3);
    world.spec = 1;
    world.broken.insert(1);
    world.settle();
    world.spec = 0;
    world.kill(0);
    let deletes = |plan: &Plan| plan.steps.iter().any(|step| matches!(step, Step::DeletePod { .. }));
    for _ in 0..100 {
        let plan = world.pass_only();
        assert!(!deletes(&plan), "{}: {}", plan.why, world.story());
        world.flow();
        if world.published().is_some_and(|published| published != 0) {
            break;
        }
    }
    assert_eq!(world.published(), Some(1), "{}", world.story());
    world.settle();
    assert!(rolled(&world), "{}", world.story());
    world.assert_nothing_lost();
}

/// Kubernetes knows a crashed container by its id as it knows one that runs. What the server wrote is on its volume.
#[test]
fn r05_r19_an_only_pod_that_crashes_is_replaced_when_the_spec_is_corrected() {
    let mut world = World::healthy_on(1, Disk::Aof);
    world.spec = 1;
    world.broken.insert(1);
    world.settle();
    let before = world.pod(0).uid.clone();
    let pod = world.pod_mut(0);
    assert_eq!(pod.spec, 1);
    pod.container = Some("crashed".to_owned());
    pod.terminated = ["crashed".to_owned()].into();
    pod.restarts = 1;
    world.spec = 0;
    world.settle();
    assert_ne!(world.pod(0).uid, before, "{}", world.story());
    world.assert_healthy();
    world.assert_nothing_lost();
}

#[test]
fn r05_a_spec_that_cannot_sync_stops_at_the_first_replica() {
    let mut world = World::healthy(3);
    world.spec = 1;
    world.cut.insert((pod_name(2), pod_name(0)));
    let plan = world.settle();
    assert_eq!(
        reasons(&plan),
        [Reason::MemberWithoutLink, Reason::RollStuck],
        "{}",
        world.story()
    );
    assert_eq!(world.pods.values().filter(|pod| pod.spec == 0).count(), 2);
    world.spec = 0;
    world.until(|world| world.pods.get(&pod_name(2)).is_some_and(|pod| pod.spec == 0));
    world.cut.clear();
    world.settle();
    world.assert_healthy();
    world.assert_nothing_lost();
}

#[test]
fn r05_a_spec_that_changes_back_and_forth_takes_one_pod_at_most() {
    let mut world = World::healthy(3);
    for n in 0..40 {
        world.spec = n % 2;
        for _ in 0..5 {
            world.pass_only();
            world.stateful_set();
            world.flow();
            let running = world.pods.values().filter(|pod| pod.server.is_some()).count();
            assert!(running >= 2);
        }
        world.tick(Duration::from_secs(1));
    }
    world.settle();
    assert!(rolled(&world));
    world.assert_healthy();
    world.assert_nothing_lost();
}

#[test]
fn r04_what_cannot_be_rolled_out_restarts_nothing() {
    let mut world = World::healthy(3);
    world.spec = 1;
    world.desired.incompatible = Some("it is older".to_owned());
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::RollRefused]);
    assert!(world.pods.values().all(|pod| pod.spec == 0));
}

#[test]
fn r04_replicas_change_in_the_middle_of_a_roll() {
    for (from, to) in [(3, 5), (5, 3), (5, 1), (2, 1), (1, 2), (3, 2)] {
        for after in [0, 3, 7, 12, 20, 33] {
            let mut world = World::healthy(from);
            world.spec += 1;
            for _ in 0..after {
                world.pass_only();
                world.stateful_set();
                world.flow();
            }
            world.desired.replicas = to;
            world.settle();
            assert!(rolled(&world), "{from} to {to} after {after}{}", world.story());
            assert_eq!(world.pods.len(), usize::try_from(to).unwrap());
            world.assert_healthy();
            world.assert_nothing_lost();
        }
    }
}

#[test]
fn f04_a_roll_goes_on_whatever_fails_at_any_step() {
    let calm = {
        let mut world = World::healthy(3);
        let begun = world.steps;
        world.spec += 1;
        world.settle();
        world.steps - begun
    };
    assert!(calm > 20);
    for at in 0..calm {
        for fault in [Fault::Fail, Fault::Unknown, Fault::CrashBefore, Fault::CrashAfter] {
            let mut world = World::healthy(3);
            world.faults.insert(world.steps + at, fault);
            world.spec += 1;
            world.settle();
            assert!(rolled(&world), "{fault:?} at {at}{}", world.story());
            world.assert_healthy();
            world.assert_nothing_lost();
        }
    }
}

#[test]
fn r06_the_master_dies_or_hangs_at_any_moment_of_a_roll() {
    for after in 0..60 {
        for hangs in [false, true] {
            let mut world = World::healthy(3);
            world.spec += 1;
            for _ in 0..after {
                world.write();
                world.pass_only();
                world.stateful_set();
                world.flow();
            }
            let Some(master) = world.published() else { continue };
            if hangs {
                world.mood(master, Mood::Hung);
                // with a replica that joins it may take until the kubelet ends it
                world.settle_for(Duration::from_secs(12));
            }
            if world.published() == Some(master) {
                world.kill(master);
            }
            world.until(|world| world.published().is_some_and(|published| published != master));
            world.assert_nothing_lost();
            world.kill(master);
            world.start(master);
            world.settle();
            assert!(rolled(&world), "after {after}{}", world.story());
            world.assert_healthy();
        }
    }
}

#[test]
fn e18_a_master_on_a_cordoned_node_hands_over_once() {
    let mut world = World::healthy(3);
    for ordinal in [0, 1] {
        world.pod_mut(ordinal).evacuating = Some("the node is cordoned".to_owned());
    }
    world.settle();
    assert_eq!(world.master(), 2);
    let term = world.record().term;
    world.settle_for(Duration::from_secs(600));
    assert_eq!(world.record().term, term);
}

#[test]
fn r01_with_every_node_cordoned_nothing_moves() {
    let mut world = World::healthy(3);
    for ordinal in 0..3 {
        world.pod_mut(ordinal).evacuating = Some("the node is cordoned".to_owned());
    }
    let plan = world.settle();
    assert_eq!(reasons(&plan), [Reason::SwitchoverWaits]);
    assert_eq!(world.published(), Some(0));
}

#[test]
fn e18_of_two_alike_the_one_that_may_stay_is_promoted() {
    let mut world = World::healthy(3);
    world.pod_mut(1).evacuating = Some("the node is drained".to_owned());
    world.kill(0);
    world.until(|world| world.published() == Some(2));
}

/// Data of an unrelated history is named in a condition, and no roll takes its pod away, whether it answers or not.
#[test]
fn e09_a_roll_waits_for_a_pod_that_holds_data_of_its_own() {
    for busy in [false, true] {
        let mut world = World::healthy(3);
        world.kill(2);
        world.settle();
        world.start(2);
        world.server_mut(2).data = vec![901, 902, 903];
        let mut record = world.record();
        record.copies.remove(&pod_name(2));
        world.put_record(Some(serde_json::to_value(record).unwrap()));
        world.spec = 1;
        let uid = world.pod(2).uid.clone();
        if busy {
            world.mood(2, Mood::Busy);
        }
        let plan = world.settle();
        assert_eq!(world.pod(2).uid, uid, "{}", world.story());
        assert_eq!(world.server(2).data, [901, 902, 903]);
        assert!(world.pods.values().all(|pod| pod.spec == 0));
        if !busy {
            assert!(reasons(&plan).contains(&Reason::ForeignData), "{:?}", plan.notes);
            world.desired.elect = Some(pod_name(0));
            world.settle();
            assert!(rolled(&world), "{}", world.story());
        }
    }
}

#[test]
fn r05_two_that_are_out_of_sync_do_not_wait_for_each_other() {
    let mut world = World::healthy(3);
    world.slow_sync.extend([1, 2].map(pod_name));
    world.restart(1);
    world.restart(2);
    world.settle();
    world.spec = 1;
    let plan = world.settle();
    let spec = |world: &World, ordinal: u32| world.pod(ordinal).spec;
    assert_eq!(
        [1, 2].map(|n| spec(&world, n)),
        [0, 1],
        "one at a time{}",
        world.story()
    );
    assert!(
        plan.notes[0].message.contains("waits until redis-a-2"),
        "{:?}",
        plan.notes
    );
    world.slow_sync.clear();
    world.settle();
    assert!(rolled(&world), "{}", world.story());
    world.assert_healthy();
    world.assert_nothing_lost();
}

#[test]
fn r05_what_a_replica_without_a_link_holds_is_not_replaced() {
    let mut world = World::healthy(3);
    for ordinal in [1, 2] {
        world.cut.insert((pod_name(ordinal), pod_name(0)));
    }
    world.hang_up_on(&pod_name(0));
    world.settle();
    world.spec = 1;
    let plan = world.settle();
    assert!(world.pods.values().all(|pod| pod.spec == 0), "{}", world.story());
    let roll = plan.notes.iter().find(|note| note.reason == Reason::RollStuck);
    let roll = &roll.expect("it says so").message;
    assert!(roll.contains("waits until redis-a-1 is in sync"), "{roll}");
    world.cut.clear();
    world.settle();
    assert!(rolled(&world), "{}", world.story());
}

#[test]
fn r06_the_former_master_of_a_roll_stays_until_another_one_has_everything() {
    let mut world = World::healthy(3);
    world.spec = 1;
    world.until(|world| world.pod(0).spec == 0 && world.published() == Some(1));
    let before = world.pod(0).uid.clone();
    world.cut.insert((pod_name(2), pod_name(1)));
    world.settle();
    assert_eq!(world.pod(0).uid, before, "{}", world.story());
    world.cut.clear();
    world.settle();
    assert!(rolled(&world), "{}", world.story());
    world.assert_healthy();
}

/// Two pods in memory, the second one master after the roll's switchover, and the former master does not come back.
fn without_the_first() -> World {
    let mut world = World::healthy(2);
    world.spec = 1;
    world.pending.insert(0);
    world.until(|world| !world.pods.contains_key(&pod_name(0)));
    assert_eq!(world.published(), Some(1));
    world.settle();
    assert!(world.write());
    world
}

#[test]
fn r04_the_pod_more_stays_a_member_while_one_of_the_two_is_away() {
    for restarts in [false, true] {
        let mut world = without_the_first();
        if restarts {
            world.restart(2);
        } else {
            world.cut.insert((pod_name(2), pod_name(1)));
            world.hang_up_on(&pod_name(1));
        }
        world.settle_for(Duration::from_secs(8));
        assert!(world.record().members.contains_key(&pod_name(2)), "{}", world.story());
        world.cut.clear();
        world.settle();
        assert_eq!(world.record().members[&pod_name(2)].stage, Stage::Full);
        world.kill(1);
        world.until(|world| world.published() == Some(2));
        world.assert_nothing_lost();
        world.start(1);
        world.pending.clear();
        world.settle();
        assert_eq!(world.pods.len(), 2, "{}", world.story());
        assert!(rolled(&world));
        world.assert_healthy();
        world.assert_nothing_lost();
    }
}

#[test]
fn r04_the_pod_more_takes_over_while_one_of_the_two_is_away() {
    let mut world = without_the_first();
    world.pod_mut(1).evacuating = Some("the node is drained".to_owned());
    world.settle();
    assert_eq!(world.published(), Some(2), "{}", world.story());
    world.pod_mut(1).evacuating = None;
    world.pending.clear();
    world.settle();
    assert_eq!(world.pods.len(), 2, "{}", world.story());
    world.assert_healthy();
    world.assert_nothing_lost();
}

#[test]
fn r18_a_spec_that_is_refused_holds_up_no_leave() {
    let mut world = World::healthy(3);
    world.spec = 1;
    world.desired.incompatible = Some("it is older".to_owned());
    world.desired.replicas = 2;
    world.settle();
    assert_eq!(
        (world.pods.len(), world.record().members.len()),
        (2, 1),
        "{}",
        world.story()
    );
}

#[test]
fn by_hand_no_pod_more_runs_while_paused() {
    let mut world = World::healthy(2);
    world.desired.paused = Paused::Planned;
    world.spec = 1;
    world.settle();
    assert_eq!(world.pods.len(), 2);
    world.desired.paused = Paused::No;
    world.until(|world| world.record().at(Stage::Full).count() == 2);
    world.desired.paused = Paused::Planned;
    world.settle();
    assert_eq!(world.record().at(Stage::Full).count(), 2, "what runs goes on running");
    world.restart(1);
    world.settle();
    assert_eq!(world.record().at(Stage::Full).count(), 2, "{}", world.story());
    world.desired.paused = Paused::No;
    world.settle();
    assert!(rolled(&world));
    world.assert_healthy();
    world.assert_nothing_lost();
}
