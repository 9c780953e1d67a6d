//! Runs in which something must break: a simulation that finds nothing proves nothing until it is shown that it would.
#![allow(missing_docs, reason = "a test")]

use simulate::rules::Rule;
use simulate::run::{Given, many};

#[test]
fn without_a_rule_a_seed_fails() {
    for (rule, word) in [("write-guard", "promise 7"), ("wait", "promise 2")] {
        let given = Given {
            class: None,
            without: Some(Rule::named(rule).unwrap()),
        };
        let sum = many(0..1_000, given, None, false);
        let (seed, what) = sum.broken.first().expect(rule);
        println!("{rule}: seed {seed}: {what}");
        assert!(what.contains(word), "{rule}, seed {seed}: {what}");
    }
}
