//! One instance hangs while another one's failover runs.

use crate::operator::settled;
use redis_operator_core::observed::Reach;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn o03_an_instance_that_hangs_does_not_delay_a_failover() {
    let (mut world, mut operator) = settled(4).await;
    world.write(20);
    world.pod(3).stop();
    operator
        .until(&world, "the silence to be noticed", |seen, _| {
            matches!(seen.instances["redis-a-3"].reach, Reach::Silent { .. })
        })
        .await;
    let begun = Instant::now();
    world.kill(0);
    operator.until_replaced(&world, 0).await;
    let took = begun.elapsed();
    println!("published {} ms after the kill, one of four hanging", took.as_millis());
    assert!(took < Duration::from_millis(1500), "{took:?}");
    world.pod(3).resume();
    world.start(0);
    operator.settle(&world, 3).await;
    world.assert_nothing_lost();
}
