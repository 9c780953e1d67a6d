//! Seeds that every test run goes through. `make simulate` runs as many as you like.
#![allow(missing_docs, reason = "a test")]

use simulate::run::{many, run};

#[test]
fn two_thousand_seeds_keep_every_promise() {
    let sum = many(0..2_000, None, None, true);
    println!("{sum}");
    assert!(
        sum.broken.is_empty(),
        "`make simulate SEEDS={}` tells the story",
        sum.broken[0].0
    );
}

#[test]
fn a_seed_is_one_run() {
    for seed in [1, 2, 3, 16] {
        let (one, other) = (run(seed, None, true), run(seed, None, true));
        assert_eq!(one.lines, other.lines, "seed {seed}");
        assert!(one.lines.len() > 20, "seed {seed} has no story");
    }
}
