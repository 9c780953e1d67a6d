//! The operator dies, or a step fails, at every boundary of everything it does: the end is the same.

use crate::world::{Disk, Fault, World};
use std::time::Duration;

const FAULTS: [Fault; 4] = [Fault::Fail, Fault::Unknown, Fault::CrashBefore, Fault::CrashAfter];

/// Long enough for what waits for a minute, and waits anew after a crash.
const LONG: Duration = Duration::from_secs(300);

/// What must not depend on when the operator died.
#[derive(Debug, PartialEq, Eq)]
struct End {
    published: Option<u32>,
    labels: Vec<Option<String>>,
    members: Vec<String>,
    quorum: u32,
    data: Vec<u32>,
}

fn end(world: &mut World) -> End {
    let master = world.master();
    let record = world.record();
    world.assert_nothing_lost();
    End {
        published: Some(master),
        labels: world.pods.values().map(|pod| pod.label.clone()).collect(),
        members: record.members.keys().cloned().collect(),
        quorum: record.quorum,
        data: world.server(master).data.clone(),
    }
}

/// Runs `act` and what follows from it, undisturbed and then with one fault at each of its steps, and with the operator
/// dying twice in a row there.
fn f04(begin: &World, act: impl Fn(&mut World)) {
    let mut calm = begin.clone();
    act(&mut calm);
    calm.settle_for(LONG);
    let expected = end(&mut calm);
    assert!(calm.steps > begin.steps, "it does something");
    for at in begin.steps + 1..=calm.steps {
        for fault in FAULTS {
            for more in 0..2 {
                let mut world = begin.clone();
                act(&mut world);
                world.faults.insert(at, fault);
                if more > 0 {
                    world.faults.insert(at + more, Fault::CrashAfter);
                }
                world.settle_for(LONG);
                assert_eq!(
                    end(&mut world),
                    expected,
                    "{fault:?} at step {at}, {more}{}",
                    world.story()
                );
            }
        }
    }
}

#[test]
fn f04_first_start() {
    for disk in [Disk::Memory, Disk::Aof] {
        f04(&World::new(3, disk), |_| {});
    }
}

#[test]
fn f04_join() {
    f04(&World::healthy(3), |world| {
        world.desired.replicas = 5;
        world.stateful_set();
    });
}

#[test]
fn f04_rejoin() {
    f04(&World::healthy(3), |world| world.restart(1));
}

#[test]
fn f04_failover() {
    f04(&World::healthy(3), |world| world.restart(0));
    f04(&World::healthy(3), |world| world.vanish(0));
}

#[test]
fn f04_failover_with_one_behind() {
    let mut world = World::healthy(4);
    world.stall(1);
    assert!(world.write());
    f04(&world, |world| {
        world.server_mut(1).stalled = None;
        world.cut.insert((crate::world::pod_name(1), crate::world::pod_name(0)));
        world.restart(0);
    });
}

#[test]
fn f04_switchover() {
    let mut begin = World::healthy(3);
    begin.kill(0);
    begin.kill(1);
    begin.until(|world| world.published() == Some(2));
    begin.start(0);
    begin.start(1);
    begin.settle();
    f04(&begin, |world| world.desired.replicas = 2);
}

#[test]
fn f04_priority() {
    f04(&World::healthy(3), |world| world.pod_mut(1).priority = Some(10));
}

#[test]
fn f04_leave() {
    f04(&World::healthy(3), |world| {
        world.delete(2);
        world.settle();
        world.vanish(2);
    });
    f04(&World::healthy(3), |world| {
        world.lose_node(2);
        world.settle();
        world.vanish_unproved(2);
    });
}

#[test]
fn f04_scale_down() {
    f04(&World::healthy(5), |world| world.desired.replicas = 2);
    f04(&World::healthy(3), |world| world.desired.replicas = 1);
}

#[test]
fn f04_restart() {
    for disk in [Disk::Memory, Disk::Rdb, Disk::Aof] {
        f04(&World::healthy_on(3, disk), |world| {
            (0..3).for_each(|ordinal| world.kill(ordinal));
            // without a disk a power cut takes everything
            world.waited.retain(|_| disk != Disk::Memory);
            (0..3).for_each(|ordinal| world.start(ordinal));
        });
    }
}

#[test]
fn f04_adoption() {
    f04(&World::healthy(3), |world| world.put_record(None));
    f04(&World::healthy(3), |world| {
        world.follow_by_hand(0, 1);
        world.promote_by_hand(1);
        world.follow_by_hand(2, 1);
    });
}
