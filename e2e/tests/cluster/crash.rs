//! The operator ends, or is late, at every boundary between two steps.
//!
//! One operator is armed with a fail point, another stands by. Something happens under writes; the armed one ends there,
//! or stops and is resumed after its successor has finished. What follows a step within one plan begins where that step
//! ended, so `after-X` stands here only where X is the last of its kind. Every boundary of a failover and the promotion of a
//! first start are always played; all the others are with `E2E_CRASH=all`, as `make crashes` has it.

mod case;
mod first_start;

use crate::alone::without_the_deployed;
use anyhow::{Context, Result};
use case::{Case, Stage, Trigger};
use e2e::harness::{Needs, run_within};
use e2e::local_operator::{self, Action};
use e2e::space::Space;
use std::env;
use std::time::Duration;
use tokio::time::timeout;

/// From the intent to the claim. The master's process ends.
const ELECTION: [Points; 5] = [
    &["elect.before-record-electing"],
    &["before-freeze"],
    &["after-freeze"],
    &["promote.before-record-promoting"],
    &["promote.before-promote"],
];
/// From the promotion to the last sibling.
const PROMOTION: [Points; 5] = [
    &["promote.after-promote"],
    &["publish-the-new-master.before-publish"],
    &["publish-the-new-master.before-record-steady"],
    &["publish-the-new-master.before-follow"],
    &["publish-the-new-master.after-follow"],
];
/// The successor ends as well, in the middle of taking over.
const SUCCESSORS: [Points; 4] = [
    &["after-freeze", "take-the-record-over.after-record-electing"],
    &["promote.after-promote", "touch-the-slice.before-touch-slice"],
    &["promote.before-promote", "take-the-record-over.after-record-promoting"],
    &[
        "publish-the-new-master.before-publish",
        "observe.before-attach",
        "publish-the-new-master.before-record-steady",
    ],
];
/// What the new master, and the return of the old one, bring with them.
const AFTERWARDS: [Points; 9] = [
    &["members-are-full.before-record-steady"],
    &["set-the-write-guard.before-guard"],
    &["raise-the-quorum.before-record-steady"],
    &["label.before-label"],
    &["cut-off-who-is-no-member.after-drop-user"],
    &["members-join.after-record-steady"],
    &["follow-the-master.before-follow"],
    &["follow-the-master.after-follow"],
    &["heal.before-serve"],
];
/// The master's pod is deleted, and it hands over.
const HANDING_OVER: [Points; 6] = [
    &["begin-a-switchover.before-record-switching"],
    &["begin-a-switchover.before-pause"],
    &["begin-a-switchover.after-pause"],
    &["demote-the-master-for-the-target.before-record-electing"],
    &["demote-the-master-for-the-target.before-freeze"],
    &["demote-the-master-for-the-target.after-freeze"],
];
/// A leader begins, and nothing else happens.
const LEADING: [Points; 4] = [
    &["observe.after-record"],
    &["observe.before-attach"],
    &["take-the-record-over.before-record-steady"],
    &["take-the-record-over.after-record-steady"],
];
/// A fourth instance comes.
const GROWING: [Points; 7] = [
    &["members-join.before-touch-pod"],
    &["members-join.before-record-steady"],
    &["follow-the-master.before-add-user"],
    &["follow-the-master.after-add-user"],
    &["members-are-full.before-record-steady"],
    &["set-the-write-guard.before-guard"],
    &["raise-the-quorum.before-record-steady"],
];
/// And goes.
const SHRINKING: [Points; 7] = [
    &["members-leave.before-record-steady"],
    &["members-leave.after-record-steady"],
    &["cut-off-who-is-no-member.before-drop-user"],
    &["cut-off-who-is-no-member.after-drop-user"],
    &["members-have-left.before-record-steady"],
    &["lower-the-quorum.before-record-steady"],
    &["lower-the-write-guard.before-guard"],
];
/// A Redis starts for the first time.
const FIRST_START: [Points; 2] = [
    &["first-start-promote.before-promote"],
    &["first-start-promote.after-promote"],
];
/// Before and after that.
const FIRST_START_TOO: [Points; 7] = [
    &["first-start-promote.before-touch-pod"],
    &["first-start-promote.before-record-promoting"],
    &["touch-the-slice.before-touch-slice"],
    &["publish-the-new-master.before-publish"],
    &["publish-the-new-master.after-record-steady"],
    &["the-master-drew-a-new-replication-id.before-record-steady"],
    &["follow-the-master.before-add-user"],
];
/// Resumed a whole failover too late: what it holds in its hand was right for a master before the last.
const VERY_LATE: [Points; 2] = [&["promote.before-promote"], &["label.before-label"]];
/// The neighbours of those.
const VERY_LATE_TOO: [Points; 2] = [&["publish-the-new-master.before-publish"], &["label.after-label"]];
/// Until the first case of a lane begins, and after the last one of all until the cluster's own operators are back.
const AROUND: Duration = Duration::from_secs(60);
/// For a case, with seven others beside it on two cores.
const EACH: Duration = Duration::from_secs(40);

/// A deletion is on its way, and the pod is master by the time it arrives.
const ROLLING: [Points; 1] = [&["roll-replace-a-pod.before-delete-pod"]];

type Points = &'static [&'static str];

#[test]
fn f04_e01_the_operator_is_killed_between_any_two_steps() -> Result<()> {
    let lanes = [
        [
            cases(Trigger::MasterEnds, &ELECTION),
            chosen(cases(Trigger::PodIsDeleted, &HANDING_OVER)),
        ]
        .concat(),
        [
            cases(Trigger::MasterEnds, &PROMOTION),
            chosen(cases(Trigger::MasterEnds, &AFTERWARDS)),
        ]
        .concat(),
        [
            cases(Trigger::MasterEnds, &SUCCESSORS),
            chosen(scaling()),
            chosen(cases(Trigger::Lead, &LEADING)),
        ]
        .concat(),
        first_starts(),
    ];
    all("f04", Action::Kill, lanes)
}

#[test]
fn f14_f19_o07_a_late_operator_does_no_harm() -> Result<()> {
    let lanes = [
        [
            cases(Trigger::MasterEnds, &ELECTION),
            chosen(cases(Trigger::MasterEnds, &AFTERWARDS)),
        ]
        .concat(),
        [
            cases(Trigger::MasterEnds, &PROMOTION),
            chosen(cases(Trigger::Lead, &LEADING)),
            chosen(cases(Trigger::PodIsDeleted, &HANDING_OVER)),
        ]
        .concat(),
        [
            cases(Trigger::MasterEndsTwice, &VERY_LATE),
            cases(Trigger::RollIsTakenBack, &ROLLING),
            chosen(cases(Trigger::MasterEndsTwice, &VERY_LATE_TOO)),
            chosen(scaling()),
        ]
        .concat(),
        first_starts(),
    ];
    all("f14", Action::Stop, lanes)
}

fn all(id: &str, action: Action, lanes: [Vec<Case>; 4]) -> Result<()> {
    let longest = lanes.iter().map(|cases| limit(cases)).max().unwrap_or_default();
    run_within(longest + AROUND, id, Needs::Nodes, async |space| {
        without_the_deployed(space, async || together(space, action, lanes).await).await
    })
}

fn limit(cases: &[Case]) -> Duration {
    AROUND + EACH * u32::try_from(cases.len()).unwrap_or(u32::MAX)
}

/// These if everything is asked for; else none.
fn chosen(cases: Vec<Case>) -> Vec<Case> {
    let all = env::var("E2E_CRASH").is_ok_and(|asked| asked == "all");
    if all { cases } else { vec![] }
}

fn cases(trigger: Trigger, points: &[Points]) -> Vec<Case> {
    points.iter().map(|points| Case { points, trigger }).collect()
}

fn first_starts() -> Vec<Case> {
    let others = chosen(cases(Trigger::Lead, &FIRST_START_TOO));
    [cases(Trigger::Lead, &FIRST_START), others].concat()
}

/// A fourth instance comes and goes, again and again.
fn scaling() -> Vec<Case> {
    let shrinking = cases(Trigger::Shrink, &SHRINKING);
    let both = cases(Trigger::Grow, &GROWING).into_iter().zip(shrinking);
    both.flat_map(|(up, down)| [up, down]).collect()
}

/// Each lane waits most of its time, so they run side by side, every one in a namespace of its own. The last one plays
/// first starts.
async fn together(space: &Space, action: Action, lanes: [Vec<Case>; 4]) -> Result<()> {
    let one = async |name: &str, cases: &[Case]| {
        let play = async |space: &Space| {
            let mut stage = Stage::begin(space, name, action).await?;
            for case in cases {
                Box::pin(stage.play(case)).await.with_context(|| case.name(action))?;
            }
            Ok(())
        };
        lane(space, name, limit(cases), play).await
    };
    let [a, b, c, starts] = &lanes;
    let start = async |space: &Space| first_start::run(space, action, starts).await;
    // on the heap: unoptimised, all of them are more than a thread's stack
    let outcomes = tokio::join!(
        Box::pin(one("a", a)),
        Box::pin(one("b", b)),
        Box::pin(one("c", c)),
        Box::pin(lane(space, "start", limit(starts), start)),
    );
    outcomes.0.and(outcomes.1).and(outcomes.2).and(outcomes.3)
}

/// Plays in a new namespace, and says at once what failed: the other lanes go on.
async fn lane(space: &Space, name: &str, limit: Duration, play: impl AsyncFnOnce(&Space) -> Result<()>) -> Result<()> {
    let space = local_operator::space(&space.cluster, &format!("{}-{name}", space.name)).await?;
    let outcome = timeout(limit, play(&space)).await;
    let outcome = outcome
        .with_context(|| format!("the cases did not end within {limit:?}"))
        .flatten();
    if let Err(error) = &outcome {
        println!("{}{error:#}", local_operator::logs(&space)?);
    }
    local_operator::forget(&space)?;
    outcome.and(space.delete().await)
}
