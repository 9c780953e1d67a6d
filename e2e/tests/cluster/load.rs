//! Planned changes of a resource that is written to all the time.

use crate::by_hand::ask;
use crate::roll::ensure_replaced;
use crate::{SETTLE, START, WARM_UP};
use anyhow::{Result, ensure};
use e2e::client::Does;
use e2e::drain::drain;
use e2e::harness::{Needs, run, spec};
use e2e::load::Load;
use e2e::log;
use e2e::pod::node;
use e2e::rolled::begin;
use e2e::syncs::Syncs;
use e2e::trial::{self, Expect};
use kube::ResourceExt;

/// 100 MB, and 5 MB more each second.
const LOAD: Load = Load { keys: 1_000, rate: 5 };

/// A pod that is replaced has nothing and needs everything, once; whoever else follows another master needs what it missed.
#[test]
fn r04_a_roll_under_load_needs_one_full_sync_per_pod() -> Result<()> {
    run("r04l", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let settled = redis.settled(START).await?;
        LOAD.fill(&settled.master)?;
        let stream = redis.client(&settled, "bulk", Does::Stream(LOAD)).await?;
        let syncs = Syncs::start(&redis).await?;
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |_| begin(&redis).await).await?;
        let synced = syncs.stop().await?;
        let streamed = stream.stop().await?;
        println!("r04l: {synced:?}, errors of the stream {:?}", streamed.troubles());
        ensure_replaced(&verdict)?;
        ensure!(
            synced.full == 3 && synced.partial >= 2,
            "three pods were replaced and two followed another master: {synced:?}"
        );
        ensure!(
            streamed.first_after(verdict.fault).is_some(),
            "the stream did not go on"
        );
        verdict.ensure_complete()
    })
}

/// Three changes of master, and what a pod that is new needs: the master's node is drained, then it is scaled away.
#[test]
fn r01_r03_a_drain_and_a_scale_down_past_the_master_under_load() -> Result<()> {
    run("r03l", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let settled = redis.settled(START).await?;
        LOAD.fill(&settled.master)?;
        let stream = redis.client(&settled, "bulk", Does::Stream(LOAD)).await?;
        let verdict = trial::under_writes(&redis, Expect::Failover, WARM_UP, async |before| {
            let at = log::now();
            drain(&redis, node(&before.master), SETTLE).await?;
            ask(&redis, "redis-a-2", "Done", "redis-a-2 is master").await?;
            redis.settled(SETTLE).await?;
            redis.scale(2).await?;
            Ok(at)
        })
        .await?;
        let streamed = stream.stop().await?;
        println!(
            "r03l: {}, errors of the stream {:?}",
            verdict.line(),
            streamed.troubles()
        );
        let left: Vec<_> = verdict.after.pods().map(ResourceExt::name_any).collect();
        ensure!(left.len() == 2 && !left.contains(&"redis-a-2".to_owned()), "{left:?}");
        ensure!(
            streamed.first_after(verdict.fault).is_some(),
            "the stream did not go on"
        );
        verdict.ensure_complete()
    })
}
