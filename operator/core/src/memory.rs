//! What one operator process remembers between passes. Losing it only delays.

use crate::observed::Moment;

/// Times that no server and no record keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Since when the recorded master's process is known to have ended.
    pub ended_since: Option<Moment>,
    /// Since when neither the master nor any member that has the data has a living process.
    pub all_gone_since: Option<Moment>,
    /// When this process saw the resource first.
    pub first_seen: Option<Moment>,
}
