//! The links between instances break while the master answers.

use crate::operator::settled;
use crate::support::wait;
use std::time::Duration;

/// A replica that does not read is cut off by the master itself.
#[tokio::test(flavor = "multi_thread")]
async fn f12_a_replica_whose_output_buffer_overflows_comes_back() {
    let (world, mut operator) = settled(3).await;
    world.write_to_all(5);
    world.set(0, "client-output-buffer-limit", "replica 1mb 1mb 1");
    world.pods[&1].stop();
    world.write_past_the_stopped();
    wait("the master to cut the replica off", || {
        world.info(0, "connected_slaves") == "1"
    });
    operator.stays_calm(&world, Duration::from_secs(1)).await;
    world.pods[&1].resume();
    operator
        .until(&world, "the replica to have everything", |_, _| {
            world.application(1).call(&["STRLEN", "large"]) == (24 << 20).to_string()
        })
        .await;
    operator.settle(&world, 2).await;
    assert_eq!((world.master(), world.record().term), (0, 1));
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn d12_wrong_passwords_between_pods_are_no_failover_and_are_put_right() {
    let (world, mut operator) = settled(3).await;
    world.write(5);
    for ordinal in [1, 2] {
        world.set(ordinal, "masterauth", "wrong");
    }
    world.as_operator(0).call(&["CLIENT", "KILL", "TYPE", "replica"]);
    for ordinal in [1, 2] {
        wait("the link to be down", || {
            world.info(ordinal, "master_link_status") == "down"
        });
    }
    operator.stays_calm(&world, Duration::from_secs(8)).await;
    assert_eq!(world.master(), 0);
    for ordinal in [0, 1, 2] {
        let role = if ordinal == 0 { "master" } else { "slave" };
        assert_eq!(world.info(ordinal, "role"), role);
    }
    // alone it takes writes again
    assert_eq!(world.application(0).call(&["SET", "a", "1"]), "OK");
    // and they are told the right ones after a while
    operator.settle(&world, 2).await;
    assert_eq!((world.master(), world.record().term), (0, 1));
    world.assert_nothing_lost();
}
