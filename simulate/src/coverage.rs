//! Which rules and phases were seen.

use std::collections::BTreeMap;

/// Counts by name.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Plans by their reason.
    pub whys: BTreeMap<&'static str, u64>,
    /// Passes by phase.
    pub phases: BTreeMap<String, u64>,
    /// Faults by name.
    pub faults: BTreeMap<String, u64>,
    /// Everything else that is worth a count.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// One more.
    pub fn count(&mut self, what: &'static str, n: u64) {
        *self.counts.entry(what).or_default() += n;
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        for (why, n) in &other.whys {
            *self.whys.entry(why).or_default() += n;
        }
        for (name, n) in &other.phases {
            *self.phases.entry(name.clone()).or_default() += n;
        }
        for (name, n) in &other.faults {
            *self.faults.entry(name.clone()).or_default() += n;
        }
        for (name, n) in &other.counts {
            *self.counts.entry(name).or_default() += n;
        }
    }
}
