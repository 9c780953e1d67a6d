//! The operator ends, or is late, while a Redis starts for the first time.

use super::case::Case;
use crate::alone::{LEADS, REACHED};
use crate::{SETTLE, START};
use anyhow::{Context, Result, ensure};
use e2e::harness::spec;
use e2e::local_operator::{Action, LocalOperator};
use e2e::log;
use e2e::observer::{LABELLED, Observer, PUBLISHED};
use e2e::resp::Reply;
use e2e::space::Space;
use kube::ResourceExt;

/// Every point, a new Redis each.
pub(super) async fn run(space: &Space, action: Action, cases: &[Case]) -> Result<()> {
    let mut leader = LocalOperator::start(space, "first", None)?;
    for (number, case) in cases.iter().enumerate() {
        leader = play(space, case, action, number, leader)
            .await
            .with_context(|| case.name(action))?;
    }
    Ok(())
}

async fn play(
    space: &Space,
    case: &Case,
    action: Action,
    number: usize,
    before: LocalOperator,
) -> Result<LocalOperator> {
    let name = format!("r{number}");
    let start =
        |which: usize| LocalOperator::start(space, &format!("{name}-{which}"), case.point(which, action).as_deref());
    let mut armed = start(0)?;
    before.signal("-TERM")?;
    armed.leads(space, LEADS).await?;
    drop(before);
    let mut standby = start(1)?;
    let observer = Observer::start(&space.cluster.client, &space.name, &name).await?;
    let begun = log::now();
    let redis = space.apply(&name, spec(2)).await?;
    armed.reached(action, REACHED).await?;
    standby.leads(space, LEADS).await?;
    let settled = redis.settled(START).await?;
    ensure!(
        standby.is(&settled.record.holder),
        "{} holds the record",
        settled.record.holder
    );
    let whole = log::now();
    redis.ask(&settled.master, &["SET", "x", "1"])?;
    if action == Action::Stop {
        armed.resume(LEADS).await?;
    }
    let after = redis.settled(SETTLE).await?;
    let process = |record: &redis_operator_core::record::Record| record.master.as_ref().map(|it| it.run_id.clone());
    ensure!(
        process(&after.record) == process(&settled.record) && after.record.term == settled.record.term,
        "{:?} was {:?}",
        after.record,
        settled.record
    );
    let value = redis.ask(&after.master, &["GET", "x"])?;
    ensure!(value == Reply::Text("1".to_owned()), "x is {value:?}");
    let seen = observer.stop()?;
    for (title, wanted) in [
        (PUBLISHED, e2e::pod::address(&after.master)?.ip().to_string()),
        (LABELLED, after.master.name_any()),
    ] {
        let found = seen.succession(title);
        ensure!(found == [wanted.as_str()], "{title}: {found:?} in place of {wanted}");
    }
    ensure!(seen.violations().is_empty() && seen.blind == 0, "{seen:?}");
    println!(
        "{:<78} whole {:>5} ms",
        format!("FirstStart {} {}", action.name(), case.points.join(", then ")),
        whole.saturating_sub(begun) / 1000
    );
    space.remove(&after.redis, None).await?;
    Ok(standby)
}
