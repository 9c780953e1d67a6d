//! An instance hangs: its address accepts connections, and nothing answers.

use crate::operator::settled;
use crate::support::PATIENCE;
use redis_operator::trace::Cause;
use redis_operator_core::observed::Reach;
use serde_json::json;
use std::time::{Duration, Instant};

/// The master hangs under writes; when it runs again, everything is over. Time to another published master.
async fn the_master_hangs(down_after: &str) -> Duration {
    let (world, mut operator) = settled(3).await;
    world.edit(|redis| redis["spec"]["downAfter"] = json!(down_after));
    world.write_to_all(20);
    let mut stale = world.application(0);
    let writer = world.ledger.keep_writing(&world.api, 1);
    let begun = Instant::now();
    world.pods[&0].stop();
    operator.until_replaced(&world, 0).await;
    let published = begun.elapsed();
    assert_eq!(operator.held.telling.cause(), Some(Cause::Hung));
    // it waits in the socket of the hung process
    stale.send(&["SET", "stale", "1"]);
    operator
        .until(&world, "the sibling to be full", |_, _| world.record().quorum == 1)
        .await;
    let gap = writer.stop();
    println!(
        "downAfter {down_after}: published {} ms after the stop; write gap {} ms",
        published.as_millis(),
        gap.as_millis()
    );
    let master = world.master();
    world.pods[&0].resume();
    operator.settle(&world, 2).await;
    assert_eq!(world.master(), master);
    let said = stale.reply();
    assert!(["OK", ""].contains(&said.as_str()) || said.starts_with('-'), "{said}");
    assert_eq!(stale.call(&["PING"]), "", "its clients were cut");
    for ordinal in 0..3 {
        assert_eq!(world.application(ordinal).call(&["GET", "stale"]), "(nil)");
    }
    world.assert_nothing_lost();
    published
}

#[tokio::test(flavor = "multi_thread")]
async fn d02_f06_a_hung_master_is_replaced_and_does_no_harm_when_it_resumes() {
    let took = the_master_hangs("2s").await;
    assert!(took < Duration::from_millis(4400), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn d02_f06_a_hung_master_is_replaced_sooner_if_that_is_wanted() {
    let took = the_master_hangs("1s").await;
    assert!(took < Duration::from_millis(3400), "{took:?}");
}

/// Replicas are frozen, and whatever the hung one could still acknowledge without them is refused by its guard after M + 2 s.
#[tokio::test(flavor = "multi_thread")]
async fn d02_durability_promotes_only_after_the_fence() {
    let (world, mut operator) = settled(3).await;
    world.edit(|redis| redis["spec"]["policy"] = json!("Durability"));
    world.write_to_all(20);
    world.pods[&0].stop();
    let begun = Instant::now();
    let (seen, plan) = operator.until_plan(&world, "elect").await;
    operator.act(&world, &seen, &plan).await.unwrap();
    let frozen = Instant::now();
    operator.until_replaced(&world, 0).await;
    let (took, fence) = (begun.elapsed(), frozen.elapsed());
    println!(
        "Durability: published {} ms after the stop, {} ms after the first freeze",
        took.as_millis(),
        fence.as_millis()
    );
    assert!(fence >= Duration::from_secs(3), "M + 2 s with M = 1 s: {fence:?}");
    assert!(took < Duration::from_secs(9), "{took:?}");
    let master = world.master();
    world.pods[&0].resume();
    operator.settle(&world, 2).await;
    assert_eq!(world.master(), master);
    world.assert_nothing_lost();
}

/// The master stalls for so long; whoever looks on until some time after that finds it in its place.
async fn the_master_stalls(down_after: &str, stall: Duration) {
    let (world, mut operator) = settled(3).await;
    world.edit(|redis| redis["spec"]["downAfter"] = json!(down_after));
    operator.settle(&world, 2).await;
    world.write(5);
    let pod = world.pods[&0].resume_after(stall);
    operator.stays_calm(&world, stall + Duration::from_millis(1_500)).await;
    pod.join().unwrap();
    operator.settle(&world, 2).await;
    assert_eq!((world.master(), world.record().term), (0, 1));
    world.write(5);
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn d13_a_stall_of_one_and_a_half_seconds_is_no_failover() {
    the_master_stalls("2s", Duration::from_millis(1_500)).await;
}

/// Longer than any other time that a decision could have taken for it.
#[tokio::test(flavor = "multi_thread")]
async fn d13_a_stall_within_a_longer_down_after_is_no_failover() {
    the_master_stalls("8s", Duration::from_secs(6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d23_a_master_that_runs_again_before_another_one_is_claimed_keeps_its_place() {
    let (world, mut operator) = settled(3).await;
    world.write_to_all(20);
    let syncs = world.info(0, "sync_full");
    world.pods[&0].stop();
    let (seen, plan) = operator.until_plan(&world, "freeze").await;
    operator.act(&world, &seen, &plan).await.unwrap();
    let frozen = |ordinal| world.info(ordinal, "master_host") == "127.0.0.1";
    assert!(frozen(1) || frozen(2), "{plan:#?}");
    world.pods[&0].resume();
    let resumed = Instant::now();
    while operator.look(&world).await.0.instances["redis-a-0"].answer().is_none() {
        assert!(resumed.elapsed() < PATIENCE, "it does not answer");
    }
    operator.settle(&world, 2).await;
    assert_eq!(world.master(), 0);
    assert_eq!(world.info(0, "sync_full"), syncs, "nobody had to begin again");
    world.write(5);
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn o03_an_instance_that_hangs_does_not_delay_a_failover() {
    let (mut world, mut operator) = settled(4).await;
    world.write(20);
    world.pods[&3].stop();
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
    world.pods[&3].resume();
    world.start(0);
    operator.settle(&world, 3).await;
    world.assert_nothing_lost();
}
