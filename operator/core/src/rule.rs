//! Rules of the protocol that the explorer takes out one by one, to see that each is needed.
//!
//! Without the feature `rules-out` every rule is on, and nothing of this is left in the program.

/// A rule that can be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// R + max(E, 1) > N before an election goes on.
    Quorum,
    /// Members are frozen before they are compared.
    Freeze,
    /// E members have the data before E rises.
    Caught,
    /// The others have what a leaving member had before it is recorded away.
    Left,
    /// The guard is set before E rises.
    GuardFirst,
    /// What is announced is recorded before it is done.
    RecordFirst,
    /// A pod object that is gone proves nothing by itself.
    Departed,
    /// Past P under the id before is diverged.
    Diverged,
    /// Joining members that have the data are candidates.
    Joining,
    /// A new holder writes an unsettled slice before anything else.
    Touch,
    /// A leaving member is cut off at the master.
    CutOff,
    /// A pod is written to before the record names it first.
    Newcomers,
}

/// The rule holds.
#[cfg(not(feature = "rules-out"))]
pub const fn on(_: Rule) -> bool {
    true
}

/// The rule holds, unless it was taken out.
#[cfg(feature = "rules-out")]
pub fn on(rule: Rule) -> bool {
    out::is_on(rule)
}

#[cfg(feature = "rules-out")]
pub use out::take_out;

#[cfg(feature = "rules-out")]
mod out {
    use super::Rule;
    use std::sync::{PoisonError, RwLock};

    static OUT: RwLock<Option<Rule>> = RwLock::new(None);

    pub(super) fn is_on(rule: Rule) -> bool {
        *OUT.read().unwrap_or_else(PoisonError::into_inner) != Some(rule)
    }

    /// Takes one rule out of this process, and puts the one before back.
    pub fn take_out(rule: Option<Rule>) {
        *OUT.write().unwrap_or_else(PoisonError::into_inner) = rule;
    }
}
