//! Planned changes of a resource that is written to all the time.

use crate::roll::ensure_replaced;
use crate::{START, WARM_UP};
use anyhow::{Result, ensure};
use e2e::client::Does;
use e2e::harness::{Needs, run, spec};
use e2e::load::Load;
use e2e::rolled::begin;
use e2e::syncs::Syncs;
use e2e::trial::{self, Expect};

/// A pod that is replaced has nothing and needs everything, once; whoever else follows another master needs what it missed.
#[test]
fn r04_a_roll_under_load_needs_one_full_sync_per_pod() -> Result<()> {
    run("r04l", Needs::Nodes, async |space| {
        let redis = space.apply("a", spec(3)).await?;
        let settled = redis.settled(START).await?;
        let load = Load { keys: 1_000, rate: 5 };
        load.fill(&settled.master)?;
        let stream = redis.client(&settled, "bulk", Does::Stream(load)).await?;
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
        verdict.ensure_safe()?;
        ensure!(verdict.lost(false) == 0, "{} plain writes lost", verdict.lost(false));
        let cut = verdict.healthy_cut();
        ensure!(cut.is_empty(), "readers of healthy replicas were cut: {cut:?}");
        Ok(())
    })
}
