//! What can go wrong between the operator and one server.

use redis_operator_core::version::NEEDED;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The address refuses connections.
    #[error("connection refused")]
    Refused,
    /// No TCP connection: no route, or no answer to the attempt. Or one that a proxy may have accepted, and no reply.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// This process, or its node, has no socket or memory for another connection: nothing is known of the server.
    #[error("no socket left for a connection of the operator's: {0}")]
    Own(String),
    /// TCP accepts, but no reply came within the limit; and it is the host of the process that accepts, for it refuses
    /// where nothing listens.
    #[error("accepts connections but does not reply")]
    Hung,
    /// It replied with an error (wrong password, too many clients, …): alive.
    #[error("replied: {0}")]
    Alive(String),
    /// It replied with something that is not RESP: alive, but hardly Redis.
    #[error("replied with something that is not Redis: {0}")]
    Garbage(String),
}

/// Why a call did not do what it promises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No reply in time, to this call or to one before it. **The commands may still run later.** The connection is closed.
    #[error("no reply in time; the commands may still run")]
    TimedOut,
    /// The connection broke. The commands may have run, unless it was closed before the call.
    #[error("the connection is closed")]
    Closed,
    /// BUSY, LOADING and the like: it lives, and nothing ran.
    #[error("alive, but it takes no commands now: {0}")]
    Alive(String),
    /// Any other error reply, with the command's name. Of a refusal by EXEC nothing ran; of a refused command inside it
    /// the others did.
    #[error("refused {0}")]
    Denied(String),
    /// A reply that makes no sense. The commands may have run. The connection is closed.
    #[error("unreadable reply: {0}")]
    Unreadable(String),
    /// It is older than what it would have to understand: nothing is done with it, and it is never promoted.
    #[error("that it is version {0}; needed is {NEEDED}")]
    TooOld(String),
    /// The promotion did not give the state that was claimed.
    #[error("promoted, but not as claimed: {0}")]
    NotAsClaimed(String),
}

impl OpenError {
    /// A word for metrics, from a bounded set.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::Own(_) => "own",
            Self::Hung => "hung",
            Self::Alive(_) => "alive",
            Self::Garbage(_) => "garbage",
        }
    }
}

impl CallError {
    /// A word for metrics, from a bounded set.
    pub fn label(&self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::Closed => "closed",
            Self::Alive(_) => "alive",
            Self::Denied(_) => "denied",
            Self::Unreadable(_) => "unreadable",
            Self::TooOld(_) => "too_old",
            Self::NotAsClaimed(_) => "not_as_claimed",
        }
    }
}
