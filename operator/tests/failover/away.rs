//! The API server is away.

use crate::operator::settled;
use crate::world::World;
use std::time::Duration;

/// What each instance is, and whom it follows.
fn roles(world: &World, ordinals: &[u32]) -> Vec<(String, String)> {
    let role = |ordinal: &u32| (world.info(*ordinal, "role"), world.info(*ordinal, "master_host"));
    ordinals.iter().map(role).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn o01_without_the_api_server_nothing_is_done_to_the_servers() {
    let (mut world, mut operator) = settled(3).await;
    world.write(10);
    world.api.away(true);
    let before = roles(&world, &[0, 1, 2]);
    operator.is_powerless(&world, Duration::from_secs(1)).await;
    assert_eq!(roles(&world, &[0, 1, 2]), before);
    world.write(10);
    // a failure meanwhile is found, and nobody is frozen for it
    world.kill(0);
    operator.is_powerless(&world, Duration::from_secs(2)).await;
    assert_eq!(roles(&world, &[1, 2]), before[1..]);
    world.api.away(false);
    operator.until_replaced(&world, 0).await;
    world.start(0);
    operator.settle(&world, 2).await;
    world.assert_nothing_lost();
}

/// It goes away when that is planned, and comes back.
async fn goes_away_before(plan: &str) {
    let (mut world, mut operator) = settled(3).await;
    world.write(10);
    world.kill(0);
    operator.until_plan(&world, plan).await;
    world.api.away(true);
    let before = roles(&world, &[1, 2]);
    operator.is_powerless(&world, Duration::from_secs(1)).await;
    assert_eq!(roles(&world, &[1, 2]), before, "{plan}");
    world.api.away(false);
    operator.until_replaced(&world, 0).await;
    world.start(0);
    operator.settle(&world, 2).await;
    world.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread")]
async fn o10_it_goes_away_in_the_middle_of_a_failover() {
    for plan in ["elect", "promote", "publish the new master"] {
        goes_away_before(plan).await;
    }
}
