//! The operator ends, or is late, at every boundary between two steps.
//!
//! One operator is armed with a fail point, another stands by. Something happens under writes; the armed one ends there,
//! or stops and is resumed after its successor has finished. What follows a step within one plan begins where that step
//! ended, so `after-X` stands here only where X is the last of its kind. `E2E_CRASH=all` kills and stops at every point.

mod case;
mod first_start;

use crate::SETTLE;
use anyhow::{Context, Result};
use case::{Case, Stage, Trigger};
use e2e::harness::{Needs, run};
use e2e::local_operator::{self, Action};
use e2e::operator;
use e2e::space::Space;
use std::env;
use std::time::Duration;
use tokio::time::timeout;

/// From the intent to the last sibling. The master's process ends.
const FAILOVER: [&[&str]; 10] = [
    &["elect.before-record-electing"],
    &["elect.before-freeze"],
    &["elect.after-freeze"],
    &["promote.before-record-promoting"],
    &["promote.before-promote"],
    &["promote.after-promote"],
    &["publish-the-new-master.before-publish"],
    &["publish-the-new-master.before-record-steady"],
    &["publish-the-new-master.before-follow"],
    &["publish-the-new-master.after-follow"],
];
/// The successor ends as well, in the middle of taking over.
const SUCCESSORS: [&[&str]; 3] = [
    &["elect.after-freeze", "touch-the-slice.before-touch-slice"],
    &["promote.before-promote", "take-the-record-over.after-record-promoting"],
    &[
        "publish-the-new-master.before-publish",
        "observe.before-attach",
        "publish-the-new-master.before-record-steady",
    ],
];
/// What the new master, and the return of the old one, bring with them.
const AFTERWARDS: [&[&str]; 10] = [
    &["members-are-full.before-record-steady"],
    &["set-the-write-guard.before-guard"],
    &["raise-the-quorum.before-record-steady"],
    &["label.before-label"],
    &["members-leave.after-record-steady"],
    &["cut-off-who-is-no-member.after-drop-user"],
    &["members-join.after-record-steady"],
    &["follow-the-master.before-follow"],
    &["follow-the-master.after-follow"],
    &["heal.before-serve"],
];
/// A leader begins, and nothing else happens.
const LEADING: [&[&str]; 5] = [
    &["observe.after-record"],
    &["observe.before-attach"],
    &["take-the-record-over.before-record-steady"],
    &["take-the-record-over.after-record-steady"],
    &["publish-the-master.before-publish"],
];
/// A fourth instance comes.
const GROWING: [&[&str]; 4] = [
    &["members-join.before-record-steady"],
    &["follow-the-master.before-add-user"],
    &["follow-the-master.after-add-user"],
    &["members-are-full.before-record-steady"],
];
/// And goes.
const SHRINKING: [&[&str]; 4] = [
    &["members-leave.before-record-steady"],
    &["cut-off-who-is-no-member.before-drop-user"],
    &["members-have-left.before-record-steady"],
    &["set-the-write-guard.before-guard"],
];
/// Resumed a whole failover too late: what it holds in its hand was right for a master before the last.
const VERY_LATE: [&[&str]; 4] = [
    &["promote.before-promote"],
    &["publish-the-new-master.before-publish"],
    &["label.before-label"],
    &["label.after-label"],
];
/// All groups of a test within this, so that there is time left to bring the cluster's own operators back.
const LIMIT: Duration = Duration::from_secs(220);

#[test]
fn f04_the_operator_is_killed_between_any_two_steps() -> Result<()> {
    run("f04", Needs::Nodes, async |space| {
        let failover = [
            cases(Trigger::MasterEnds, Action::Kill, &FAILOVER),
            cases(Trigger::MasterEnds, Action::Kill, &SUCCESSORS),
        ];
        let afterwards = cases(Trigger::MasterEnds, Action::Kill, &AFTERWARDS);
        let stages = [failover.concat(), afterwards, daily(Action::Kill)];
        without_the_deployed(space, async || together(space, stages).await).await
    })
}

#[test]
fn f14_f19_o07_a_late_operator_does_no_harm() -> Result<()> {
    run("f14", Needs::Nodes, async |space| {
        let failover = cases(Trigger::MasterEnds, Action::Stop, &FAILOVER);
        let very_late = cases(Trigger::MasterEndsTwice, Action::Stop, &VERY_LATE);
        let afterwards = cases(Trigger::MasterEnds, Action::Stop, chosen(&AFTERWARDS));
        let stages = [failover, [very_late, afterwards].concat(), daily(Action::Stop)];
        without_the_deployed(space, async || together(space, stages).await).await
    })
}

#[test]
fn f04_e01_the_operator_is_killed_or_late_in_a_first_start() -> Result<()> {
    run("f04-e01", Needs::Nodes, async |space| {
        without_the_deployed(space, async || first_start::run(space).await).await
    })
}

/// Everything if asked for; else nothing.
fn chosen(points: &'static [&'static [&'static str]]) -> &'static [&'static [&'static str]] {
    if all() { points } else { &[] }
}

fn all() -> bool {
    env::var("E2E_CRASH").is_ok_and(|asked| asked == "all")
}

fn cases(trigger: Trigger, action: Action, points: &[&'static [&'static str]]) -> Vec<Case> {
    points
        .iter()
        .map(|points| Case {
            points,
            action,
            trigger,
        })
        .collect()
}

/// Beginning to lead, and a fourth instance that comes and goes, in turns.
fn daily(action: Action) -> Vec<Case> {
    let growing = cases(Trigger::Grow, action, &GROWING);
    let shrinking = cases(Trigger::Shrink, action, &SHRINKING);
    let scaling = growing.into_iter().zip(shrinking).flat_map(|(up, down)| [up, down]);
    let some = if all() || action == Action::Kill { usize::MAX } else { 4 };
    let leading = cases(Trigger::Lead, action, &LEADING);
    leading.into_iter().chain(scaling.take(some)).collect()
}

/// Each waits most of its time, so they do it side by side.
async fn together(space: &Space, stages: [Vec<Case>; 3]) -> Result<()> {
    let [a, b, c] = stages;
    // on the heap: unoptimised, three of them are more than a thread's stack
    let outcomes = tokio::join!(
        Box::pin(stage(space, "a", a)),
        Box::pin(stage(space, "b", b)),
        Box::pin(stage(space, "c", c)),
    );
    outcomes.0.and(outcomes.1).and(outcomes.2)
}

/// Cases one after the other, with a Redis in a namespace of its own.
async fn stage(space: &Space, name: &str, cases: Vec<Case>) -> Result<()> {
    let space = Space::create(&space.cluster, &format!("{}-{name}", space.name)).await?;
    let outcome = async {
        let mut stage = Stage::begin(&space, name).await?;
        for case in &cases {
            Box::pin(stage.play(case)).await.with_context(|| case.name())?;
        }
        Ok(())
    };
    let outcome = outcome.await;
    if let Err(error) = &outcome {
        println!("{}{error:?}", local_operator::logs(&space)?);
    }
    local_operator::forget(&space)?;
    outcome.and(space.delete().await)
}

/// The cluster's own operators would do the work in the place of the test's. They come back whatever happens.
async fn without_the_deployed(space: &Space, test: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    let cluster = &space.cluster;
    operator::scale(cluster, 0).await?;
    let outcome = timeout(LIMIT, test()).await;
    let outcome = outcome
        .with_context(|| format!("the cases did not end within {LIMIT:?}"))
        .flatten();
    let back = async {
        operator::scale(cluster, 2).await?;
        operator::ready(cluster, SETTLE).await
    };
    let back = back.await;
    outcome.and(back)
}
