//! Nobody lives who holds what the record speaks of.

use crate::operator::{Operator, settled_on};
use crate::support::wait;
use crate::world::{Disk, World};

/// Writes that are on the disk of all, if they have any; then every process is killed.
fn write_and_kill_all(world: &mut World, disk: Disk) {
    world.write_to_all(20);
    let ordinals: Vec<_> = world.pods.keys().copied().collect();
    for ordinal in &ordinals {
        match disk {
            Disk::Memory => {}
            Disk::Rdb => {
                wait("the snapshot for the replicas", || {
                    world.info(*ordinal, "rdb_bgsave_in_progress") == "0"
                });
                assert_eq!(world.application(*ordinal).call(&["SAVE"]), "OK");
            }
            // while an fsync runs, what was acknowledged waits in the process
            Disk::Aof => wait("the log to be written", || {
                world.info(*ordinal, "aof_buffer_length") == "0"
            }),
        }
    }
    for ordinal in ordinals {
        world.kill(ordinal);
    }
}

async fn restart_all(replicas: u32, disk: Disk) {
    let (mut world, mut operator) = settled_on(replicas, disk).await;
    write_and_kill_all(&mut world, disk);
    for ordinal in 0..replicas {
        world.start(ordinal);
    }
    operator.settle(&world, usize::try_from(replicas).unwrap() - 1).await;
    assert_eq!(world.record().term, 2);
    let keys = world.application(world.master()).call(&["DBSIZE"]);
    if disk == Disk::Memory {
        assert_eq!(keys, "0");
    } else {
        world.assert_nothing_lost();
    }
    world.ledger.forget();
    world.write(1);
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn e22_every_process_is_new_in_memory() {
    restart_all(3, Disk::Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e22_every_process_is_new_with_snapshots() {
    restart_all(3, Disk::Rdb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e22_every_process_is_new_with_a_log() {
    restart_all(3, Disk::Aof).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e22_the_only_process_is_new() {
    for disk in [Disk::Memory, Disk::Rdb, Disk::Aof] {
        restart_all(1, disk).await;
    }
}

async fn pod_0_lost_its_volume(with_record: bool) {
    let (mut world, operator) = settled_on(3, Disk::Rdb).await;
    write_and_kill_all(&mut world, Disk::Rdb);
    drop(operator);
    world.pod(0).lose_data();
    if !with_record {
        world.lose_record();
    }
    for ordinal in 0..3 {
        world.start(ordinal);
    }
    let mut operator = Operator::new(&world, "two");
    operator.settle(&world, 2).await;
    assert_ne!(world.master(), 0);
    assert_eq!(world.info(0, "db0"), world.info(1, "db0"));
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn e13_pod_0_lost_its_volume() {
    pod_0_lost_its_volume(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e13_pod_0_lost_its_volume_and_the_record_is_lost_too() {
    pod_0_lost_its_volume(false).await;
}
