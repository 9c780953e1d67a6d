//! Without one of its rules the operator loses writes under the same fault, and the verdict says so: a checker that cannot
//! fail is none.

use crate::alone::{LEADS, REACHED, without_the_deployed};
use crate::failover::restarted;
use crate::{START, WARM_UP, kill_master};
use anyhow::{Result, ensure};
use e2e::fault::Signal;
use e2e::harness::{Needs, run, spec};
use e2e::local_operator::{self, Action, LocalOperator, Rule};
use e2e::space::Space;
use e2e::trial::{self, Expect, Verdict};
use std::time::Duration;
use tokio::time::sleep;

/// Between the promotion and the moment at which anybody else is told.
const PROMOTED: &str = "publish-the-new-master.before-publish:stop";
/// For so long clients find the one that should take no writes, and no operator is there. Part of the fault.
const UNATTENDED: Duration = Duration::from_secs(2);

#[test]
fn d09_f01_without_the_fence_the_checker_reports_a_loss() -> Result<()> {
    run("f01c", Needs::Nodes, async |space| {
        without_the_deployed(space, async || {
            let (with, without) = both(space, Rule::Fence, restarts_empty).await?;
            with.ensure_safe()?;
            ensure!(with.lost(false) == 0, "{} lost with the fence", with.lost(false));
            ensure!(without.lost(false) > 0, "nothing is lost without the fence");
            Ok(())
        })
        .await
    })
}

#[test]
fn f06_without_the_freeze_the_checker_reports_a_loss() -> Result<()> {
    run("f06c", Needs::Nodes, async |space| {
        without_the_deployed(space, async || {
            let (with, without) = both(space, Rule::Freeze, hangs_and_runs_again).await?;
            with.ensure_safe()?;
            ensure!(without.lost(true) > 0, "nothing is lost without the freeze");
            let verdict = without.ensure_safe();
            ensure!(verdict.is_err(), "lost after WAIT, and yet it counts as safe");
            Ok(())
        })
        .await
    })
}

/// The same fault with every rule and without one, beside each other, each in a namespace of its own.
async fn both(
    space: &Space,
    rule: Rule,
    play: impl AsyncFn(&Space, Option<Rule>) -> Result<Verdict>,
) -> Result<(Verdict, Verdict)> {
    let one = async |name: &str, without: Option<Rule>| {
        let space = local_operator::space(&space.cluster, &format!("{}-{name}", space.name)).await?;
        let verdict = play(&space, without).await?;
        println!("{rule:?} {name}: {}", verdict.line());
        local_operator::forget(&space)?;
        space.delete().await?;
        Ok(verdict)
    };
    // on the heap: unoptimised, both are more than a thread's stack
    let (with, without) = tokio::join!(Box::pin(one("with", None)), Box::pin(one("without", Some(rule))));
    with.and_then(|with| Ok((with, without?)))
}

/// The master is back without its data, and its clients are too, before an operator looks.
async fn restarts_empty(space: &Space, without: Option<Rule>) -> Result<Verdict> {
    let operator = LocalOperator::start_without(without, space, "a", None)?;
    let redis = space.apply("a", spec(3)).await?;
    redis.settled(START).await?;
    trial::under_writes(&redis, Expect::Failover, WARM_UP, async |before| {
        operator.signal("-STOP")?;
        let at = kill_master(&redis, before)?;
        restarted(&redis, &before.master).await?;
        sleep(UNATTENDED).await;
        operator.signal("-CONT")?;
        Ok(at)
    })
    .await
}

/// The master hangs, and runs again when its successor is promoted and neither clients nor the other replica are told yet.
async fn hangs_and_runs_again(space: &Space, without: Option<Rule>) -> Result<Verdict> {
    let first = LocalOperator::start_without(without, space, "a", None)?;
    let redis = space.apply("a", spec(3)).await?;
    redis.settled(START).await?;
    let mut operator = LocalOperator::start_without(without, space, "b", Some(PROMOTED))?;
    first.signal("-TERM")?;
    operator.leads(space, LEADS).await?;
    trial::under_writes(&redis, Expect::Failover, WARM_UP, async |before| {
        let process = redis.process(&before.master)?;
        let at = process.send(Signal::Stop)?;
        operator.reached(Action::Stop, REACHED).await?;
        process.send(Signal::Continue)?;
        sleep(UNATTENDED).await;
        operator.signal("-CONT")?;
        Ok(at)
    })
    .await
}
