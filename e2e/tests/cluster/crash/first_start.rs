//! The operator ends, or is late, while a Redis starts for the first time.

use super::case::{Case, LEADS, REACHED, Trigger};
use super::{all, cases};
use crate::{SETTLE, START};
use anyhow::{Context, Result, ensure};
use e2e::harness::spec;
use e2e::local_operator::{self, Action, LocalOperator};
use e2e::log;
use e2e::observer::{LABELLED, Observer, PUBLISHED};
use e2e::resp::Reply;
use e2e::space::Space;
use kube::ResourceExt;

/// From the first record to the first member.
const POINTS: [&[&str]; 8] = [
    &["first-start-promote.before-record-promoting"],
    &["first-start-promote.before-promote"],
    &["first-start-promote.after-promote"],
    &["touch-the-slice.before-touch-slice"],
    &["publish-the-new-master.before-publish"],
    &["publish-the-new-master.after-record-steady"],
    &["the-master-drew-a-new-replication-id.before-record-steady"],
    &["follow-the-master.before-add-user"],
];
/// Of these, where a late operator holds something in its hand that only a first start has.
const LATE: usize = 5;

/// Every point, a new Redis each.
pub(super) async fn run(space: &Space) -> Result<()> {
    let outcome = play_all(space).await;
    if outcome.is_err() {
        println!("{}", local_operator::logs(space)?);
    }
    local_operator::forget(space)?;
    outcome
}

async fn play_all(space: &Space) -> Result<()> {
    let late = if all() { POINTS.len() } else { LATE };
    let killed = cases(Trigger::Lead, Action::Kill, &POINTS).into_iter();
    let late = cases(Trigger::Lead, Action::Stop, &POINTS).into_iter().take(late);
    let mut leader = LocalOperator::start(space, "first", None)?;
    for (number, case) in killed.chain(late).enumerate() {
        leader = play(space, &case, number, leader).await.with_context(|| case.name())?;
    }
    Ok(())
}

async fn play(space: &Space, case: &Case, number: usize, before: LocalOperator) -> Result<LocalOperator> {
    let name = format!("r{number}");
    let start = |which: usize| LocalOperator::start(space, &format!("{name}-{which}"), case.point(which).as_deref());
    let mut armed = start(0)?;
    before.signal("-TERM")?;
    armed.leads(space, LEADS).await?;
    drop(before);
    let mut standby = start(1)?;
    let observer = Observer::start(&space.cluster.client, &space.name, &name).await?;
    let begun = log::now();
    let redis = space.apply(&name, spec(2)).await?;
    armed.reached(case.action, REACHED).await?;
    standby.leads(space, LEADS).await?;
    let settled = redis.settled(START).await?;
    ensure!(
        standby.is(&settled.record.holder),
        "{} holds the record",
        settled.record.holder
    );
    let whole = log::now();
    redis.ask(&settled.master, &["SET", "x", "1"])?;
    if case.action == Action::Stop {
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
    println!("{:<78} whole {:>5} ms", case.name(), whole.saturating_sub(begun) / 1000);
    space.remove(&after.redis, None).await?;
    Ok(standby)
}
