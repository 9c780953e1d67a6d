//! Pauses between attempts at something that fails: each about twice as long as the one before.

use std::time::Duration;

/// The pauses of one outage.
#[derive(Debug)]
pub(crate) struct Pause {
    first: Duration,
    longest: Duration,
    times: u32,
}

impl Pause {
    /// From `first` up to `longest`.
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            times: 0,
        }
    }

    /// The next one: at least half of what it grows to, and the rest by chance, so that those who failed together do not
    /// try again together.
    pub(crate) fn next(&mut self) -> Duration {
        let grown = self.first.saturating_mul(2_u32.saturating_pow(self.times));
        self.times = self.times.saturating_add(1);
        let half = grown.min(self.longest) / 2;
        // without random numbers they try again together
        let chance = getrandom::u32().unwrap_or(u32::MAX);
        half + half.mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }

    /// It works again: the next outage begins with the first pause.
    pub(crate) fn reset(&mut self) {
        self.times = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest_and_begin_anew() {
        let millis = Duration::from_millis;
        let mut pause = Pause::new(millis(100), millis(1_000));
        for grown in [100, 200, 400, 800, 1_000, 1_000] {
            let next = pause.next();
            assert!((millis(grown / 2)..=millis(grown)).contains(&next), "{next:?}");
        }
        (0..100).for_each(|_| assert!(pause.next() <= millis(1_000)));
        pause.reset();
        assert!(pause.next() <= millis(100));
    }

    #[test]
    fn two_of_them_differ() {
        let second = Duration::from_secs(1);
        let pauses = || (0..8).map(|_| Pause::new(second, second).next()).collect::<Vec<_>>();
        assert_ne!(pauses(), pauses());
    }
}
