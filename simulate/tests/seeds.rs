//! Seeds that every test run goes through. `make simulate` runs as many as you like.
#![allow(missing_docs, reason = "a test")]

use simulate::run::{Given, many, run};

/// Reasons of plans that 2,000 seeds need not reach, and why. All others have to be reached.
const RARE: &[(&str, &str)] = &[
    (HAND, "claim again"),
    (HAND, "freeze again"),
    (HAND, "the claimed one is not what was claimed: elect again"),
    (HAND, "several were promoted by hand"),
    (HAND, "restart: demote a master of the history before"),
    (BREAK, "wait for the claimed one's connection"),
    (BREAK, "wait for the connection of the former master"),
    (BREAK, "wait for the connection of the master that was promoted by hand"),
    (BREAK, "wait for the demoted master's connection"),
    (BREAK, "wait for the serving master"),
    (BREAK, "wait for the master's connection"),
    (LAST, "wait for a candidate"),
    (PROMOTION, "the claimed one is silent: elect again"),
    (PROMOTION, "the former master answers: end the promotion"),
    (CRASH, "let frozen members follow"),
    (PAUSE, "paused: end the switchover"),
    (BACK_OFF, "replace pods in a long back-off"),
    (DATA, "restart: the evidence is ambiguous"),
    (DATA, "the annotation has nothing to decide"),
    (DATA, "the annotation that was used is gone"),
    (EMPTY, "restart: demote a master that has nothing"),
    (ORDER, "wait for the master that is still heard"),
    (ORDER, "first start: freeze"),
    (ORDER, "a member hears the master: end the election"),
    (ORDER, "tell the priority"),
    (TWICE, "restart: a master of an unknown history serves"),
    (TWICE, "restart: demote a master of another history"),
    (TWICE, "restart: demote whom nobody named"),
];
const HAND: &str = "somebody has to type a command in at the right one of a few milliseconds";
const BREAK: &str = "a connection has to break between its opening and its first use";
const LAST: &str = "a master has to end while one that is never master alone has its last writes";
const PROMOTION: &str = "the one that is promoted has to vanish, and nobody else, within a few milliseconds";
const CRASH: &str = "the operator has to end between two steps of one plan of a rare kind";
const PAUSE: &str = "everything has to be paused within the few milliseconds of a switchover";
const BACK_OFF: &str = "a kubelet waits ten seconds at most here, and this rule five minutes";
const DATA: &str = "all have to end, and their data must not tell which is the newest";
const EMPTY: &str = "a person has to promote an empty instance while nobody lives who holds the data";
const TWICE: &str = "a person has to fail over twice while nobody leads, and an old copy has to come back";
const ORDER: &str = "two failures have to come in one order, and in the time of one pass";

/// A phase that is never seen tells that nothing of it is tried.
const PHASES: [&str; 5] = ["no record", "Steady", "Electing", "Promoting", "Switching"];

#[test]
fn two_thousand_seeds_keep_every_promise_and_reach_every_rule() {
    let sum = many(0..2_000, Given::default(), None, true);
    println!("{sum}");
    assert!(
        sum.broken.is_empty(),
        "`make simulate SEEDS={}` tells the story",
        sum.broken[0].0
    );
    let mut missing = sum.coverage.never_reached();
    missing.retain(|why| !RARE.iter().any(|(_, rare)| rare == why));
    assert!(missing.is_empty(), "never reached: {missing:?}");
    for phase in PHASES {
        assert!(sum.coverage.phases.contains_key(phase), "no pass saw {phase}");
    }
}

#[test]
fn what_is_rare_is_a_reason_that_exists() {
    let all = simulate::coverage::Coverage::default().never_reached();
    for (_, rare) in RARE {
        assert!(all.iter().any(|why| why == rare), "no rule says {rare:?} any more");
    }
}

#[test]
fn a_seed_is_one_run() {
    for seed in [1, 2, 3, 16] {
        let (one, other) = (run(seed, Given::default(), true), run(seed, Given::default(), true));
        assert_eq!(one.lines, other.lines, "seed {seed}");
        assert!(one.lines.len() > 20, "seed {seed} has no story");
    }
}
