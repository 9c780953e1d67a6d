//! Pods that kubelet starts ever later: a new one tries at once, so that a cause that is gone keeps nobody away.

use crate::world::{Disk, World, answer_mut, pod_name};
use redis_operator_core::decide::decide;
use redis_operator_core::observed::{Moment, Observed, Paused, Reach};
use redis_operator_core::plan::Step;
use redis_operator_core::record::Found;
use std::time::Duration;

/// Long enough in its back-off.
const LONG: u64 = 30_000_000;

/// It crashes and is not started again for a while.
fn crash(world: &mut World, ordinal: u32) {
    world.kill(ordinal);
    let pod = world.pod_mut(ordinal);
    (pod.restarts, pod.waiting) = (4, Some("CrashLoopBackOff".to_owned()));
}

#[test]
fn a_pod_in_a_long_back_off_is_replaced_after_half_a_minute() {
    let mut world = World::healthy(3);
    crash(&mut world, 1);
    let before = world.pod(1).uid.clone();
    let took = world.until(|world| world.pod(1).uid != before);
    assert!(
        Duration::from_secs(30) <= took && took < Duration::from_secs(31),
        "{took:?}"
    );
    world.settle();
    world.assert_healthy();
}

#[test]
fn a_pod_that_the_record_needs_waits_for_its_kubelet() {
    let mut world = World::healthy_on(1, Disk::Aof);
    crash(&mut world, 0);
    let before = world.pod(0).uid.clone();
    world.settle();
    assert_eq!(world.pod(0).uid, before, "its end, and its data, are proved by it");
}

/// A third pod that no record names has been in its back-off for so long, in microseconds.
fn waiting(micros: u64) -> Observed {
    let mut world = World::healthy(3);
    crash(&mut world, 2);
    world.settle_for(Duration::from_secs(10));
    let mut seen = world.observe();
    seen.memory = world.operator.memory.clone();
    let uid = seen.instances[&pod_name(2)].uid.clone();
    assert!(seen.memory.backing_off.contains_key(&uid));
    seen.memory.backing_off.insert(uid, Moment(seen.now.0 - micros));
    seen
}

fn is_replaced(seen: &Observed) -> bool {
    let plan = decide(seen);
    let deletes = |step: &Step| matches!(step, Step::DeletePod { pod, .. } if *pod == pod_name(2));
    plan.steps.iter().any(deletes)
}

/// Nothing else was to be done either, before which the pod's turn had not come.
fn is_left_alone(seen: &Observed) -> bool {
    decide(seen).steps.is_empty()
}

fn is_replaced_after(mut seen: Observed, change: &dyn Fn(&mut Observed)) -> bool {
    change(&mut seen);
    is_replaced(&seen)
}

#[test]
fn a_back_off_is_waited_for_to_the_moment() {
    assert!(is_replaced(&waiting(LONG)));
    let early = waiting(LONG - 1);
    assert!(!is_replaced(&early));
    assert_eq!(decide(&early).wake, Some(Duration::from_micros(1)));
    assert!(is_replaced(&waiting(LONG + 1)));
}

#[test]
fn a_pod_that_is_not_stuck_is_not_replaced() {
    let but = |change: &dyn Fn(&mut Observed)| is_replaced_after(waiting(2 * LONG), change);
    assert!(but(&|_| {}));
    let pod = pod_name(2);
    assert!(
        !but(&|seen| seen.instances.get_mut(&pod).unwrap().deleting = true),
        "it goes"
    );
    assert!(
        !but(&|seen| seen.instances.get_mut(&pod).unwrap().reach = Reach::Alive("BUSY".to_owned())),
        "it lives"
    );
    assert!(
        !but(&|seen| seen.instances.get_mut(&pod).unwrap().container.restarts = 3),
        "its back-off is short"
    );
    assert!(!but(&|seen| seen.memory.backing_off.clear()), "it has run meanwhile");
    assert!(!but(&|seen| seen.desired.paused = Paused::Planned), "paused");
}

/// A member that the operator does not reach for the moment, and of which nothing proves that it ended.
fn name(seen: &mut Observed, ordinal: u32) {
    let Found::Record(record) = &mut seen.record else {
        panic!()
    };
    let pod = &seen.instances[&pod_name(ordinal)];
    let mut member = record.members[&pod_name(1)].clone();
    (member.process.pod, member.process.uid) = (pod.pod.clone(), pod.uid.clone());
    (member.process.run_id, member.process.container) = ("run".to_owned(), None);
    record.members.insert(pod.pod.clone(), member);
    let since = seen.now;
    seen.instances.get_mut(&pod_name(ordinal)).unwrap().reach = Reach::Refused { since };
    // what the guard allows where there are two
    answer_mut(seen, 0).guard_lag = 1;
}

#[test]
fn a_pod_of_a_member_is_not_replaced_before_it_has_left() {
    let mut seen = waiting(2 * LONG);
    name(&mut seen, 2);
    assert!(is_left_alone(&seen));
}

/// A third pod that no record names was made for a spec before and cannot run.
fn outdated() -> Observed {
    let mut seen = waiting(0);
    let pod = seen.instances.get_mut(&pod_name(2)).unwrap();
    (pod.outdated, pod.trouble) = (true, Some("no such image".to_owned()));
    seen
}

#[test]
fn r05_a_pod_of_a_spec_before_that_cannot_run_makes_room_for_the_next() {
    let but = |change: &dyn Fn(&mut Observed)| is_replaced_after(outdated(), change);
    let pod = pod_name(2);
    assert!(but(&|_| {}));
    let mut member = outdated();
    name(&mut member, 2);
    assert!(is_left_alone(&member), "it may hold what a member holds");
    member.desired.volumes = true;
    assert!(
        is_left_alone(&member),
        "its volume may, and somebody lives who waits for it"
    );
    assert!(
        !but(&|seen| seen.instances.get_mut(&pod).unwrap().outdated = false),
        "of the present spec"
    );
    assert!(
        !but(&|seen| seen.instances.get_mut(&pod).unwrap().trouble = None),
        "it may run yet"
    );
    assert!(
        !but(&|seen| seen.instances.get_mut(&pod).unwrap().deleting = true),
        "it goes"
    );
    assert!(
        !but(&|seen| seen.instances.get_mut(&pod).unwrap().reach = Reach::Alive("BUSY".to_owned())),
        "it lives"
    );
    assert!(!but(&|seen| seen.desired.paused = Paused::Planned), "paused");
}
