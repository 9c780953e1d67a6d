//! How long nobody may be able to write.

use std::fmt::{self, Display};
use std::time::Duration;

/// How long nobody may be able to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Of that, until another master is published. It is what the operator answers for.
    pub published: Duration,
    /// All of it: kube-proxy has to hear of that and to sync, and the client to come back.
    pub written: Duration,
}

impl Limit {
    /// The same after something that takes as long.
    #[must_use]
    pub const fn after(self, wait: Duration) -> Self {
        Self {
            published: self.published.saturating_add(wait),
            written: self.written.saturating_add(wait),
        }
    }
}

/// Of that, nothing is said about a part.
impl From<Duration> for Limit {
    fn from(written: Duration) -> Self {
        Self {
            published: written,
            written,
        }
    }
}

impl Display for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { published, written } = self;
        write!(out, "{written:?}, and {published:?} until another master is published")
    }
}
