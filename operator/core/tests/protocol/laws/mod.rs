//! The laws of `decide` (docs/protocol.md, section 10) over generated observations. `LAWS_CASES` sets how many, 2,000 unless told; `LAWS_SEED` picks others.

mod generate;
mod healthy;
mod instances;
mod order;
mod permute;
pub mod rules;

use generate::observed;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use redis_operator_core::decide::decide;
use redis_operator_core::observed::Observed;
use rules::{Law, Verdict};
use std::sync::LazyLock;

/// A number from the environment.
pub fn setting(name: &str, otherwise: u32) -> u32 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}

fn cases() -> u32 {
    setting("LAWS_CASES", 2_000)
}

/// Tries so many cases, of `LAWS_SEED`; another `salt` means others.
pub fn seeded(cases: u32, salt: u8) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let mut seed = [salt; 16];
    seed[..4].copy_from_slice(&setting("LAWS_SEED", 1).to_le_bytes());
    // chance of cryptographic strength takes twice the time of everything else
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::XorShift, &seed))
}

fn runner() -> TestRunner {
    seeded(cases(), 1)
}

/// Generated once for all laws: that takes most of the time.
static OBSERVED: LazyLock<Vec<Observed>> = LazyLock::new(|| {
    let (mut runner, strategy) = (runner(), observed());
    (0..cases())
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect()
});

fn always(holds: impl Fn(&Observed) -> Verdict) {
    let Some(what) = OBSERVED.iter().find_map(|seen| holds(seen).err()) else {
        return;
    };
    // again, for the smallest observation that shows it
    let smallest = runner().run(&observed(), |seen| holds(&seen).map_err(TestCaseError::fail));
    panic!(
        "{what}\n{}",
        smallest.err().map(|error| error.to_string()).unwrap_or_default()
    );
}

fn keep(law: Law) {
    always(|seen| law(seen, &decide(seen)));
}

#[test]
fn law_1_at_most_one_pod_carries_role_master_after_every_prefix() {
    keep(rules::one_master_label);
}

#[test]
fn laws_2_and_3_only_electable_ones_are_promoted_and_never_priority_0() {
    keep(rules::who_may_be_promoted);
}

#[test]
fn law_3_the_order_of_the_pods_changes_nothing() {
    always(|seen| {
        let here = permute::essence(&decide(seen), false);
        let there = permute::essence(&decide(&permute::observed(seen)), true);
        if here == there {
            Ok(())
        } else {
            Err(format!("law 3:\n{here:#?}\n{there:#?}"))
        }
    });
}

#[test]
fn law_4_the_promoted_one_is_the_most_advanced() {
    keep(rules::the_most_advanced);
}

#[test]
fn law_4_enough_voters_are_there() {
    keep(rules::enough_voters);
}

#[test]
fn law_5_no_data_is_wiped_by_an_empty_or_unknown_master() {
    keep(rules::data_is_not_wiped);
}

#[test]
fn law_6_no_election_while_the_master_is_heard_or_nobody_answers() {
    keep(rules::no_election_unheard);
}

#[test]
fn a_silent_master_is_replaced_only_after_its_silence_and_its_fence() {
    keep(rules::silence_is_long_enough);
}

#[test]
fn law_9_the_same_observation_gives_the_same_plan() {
    always(|seen| {
        if decide(seen) == decide(&seen.clone()) {
            Ok(())
        } else {
            Err("law 9".to_owned())
        }
    });
}

#[test]
fn law_11_the_record_only_moves_forward() {
    keep(order::record_moves_forward);
}

#[test]
fn law_11_what_is_done_is_on_record_before() {
    keep(order::announced_first);
    keep(order::newcomers_are_touched_first);
}

#[test]
fn law_11_no_guard_is_raised_beyond_the_replicas_that_are_online() {
    keep(order::a_raised_guard_is_met);
}

#[test]
fn nothing_is_ever_silently_stuck() {
    keep(order::never_silently_stuck);
}
