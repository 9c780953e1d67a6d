//! What passes over connections.

use crate::server::data::{Data, Item};
use redis_operator::redis::CallError;
use redis_operator_core::observed::Answer;
use redis_operator_core::record::Claim;

/// A dataset on its way, with its place in a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The data.
    pub data: Data,
    /// Replication id.
    pub id: u32,
    /// Offset.
    pub offset: u64,
}

/// What a client hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// OK.
    Ok,
    /// So many replicas have it.
    Acknowledged(u32),
    /// READONLY, MASTERDOWN.
    NotMaster,
    /// NOREPLICAS, LOADING, BUSY.
    Refused,
}

/// Why a replica is sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its user is unknown.
    User,
    /// NOMASTERLINK, LOADING.
    Later,
}

/// One verb of the operator, as its connection sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// INFO, CONFIG GET, ACL USERS.
    Probe,
    /// ACL SETUSER, for the pod with this number.
    AddUser(u32),
    /// ACL DELUSER.
    DropUser(u32),
    /// CONFIG SET masteruser, REPLICAOF.
    Follow(u8, u32),
    /// REPLICAOF 127.0.0.1 1.
    Freeze,
    /// CLIENT PAUSE 3000 WRITE.
    Pause,
    /// CLIENT UNPAUSE.
    Unpause,
    /// The same, the fence closed and the applications' connections with it.
    Demote,
    /// REPLICAOF NO ONE and what goes with it.
    Promote(Claim, Vec<u32>),
    /// CONFIG SET min-replicas-*.
    Guard(u32, u32),
    /// CONFIG SET replica-serve-stale-data.
    Serve(bool),
    /// CLIENT KILL of the applications' user.
    CutClients,
    /// CONFIG SET replica-priority.
    Priority(u32),
    /// CLIENT KILL of the operator's own user.
    CutPredecessors,
}

/// What a verb is answered with.
pub type Outcome = Result<Option<Answer>, CallError>;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The other end closed, or is gone: FIN or RST.
    Closed,
    /// A client connects.
    HelloClient,
    /// An operator connects and authenticates.
    HelloOperator,
    /// It may begin.
    Welcome,
    /// SET.
    Set(u32),
    /// WAIT n with a time limit in microseconds.
    Wait(u32, u64),
    /// The reply to one of both.
    Said(Said),
    /// The operator calls.
    Call(u32, Box<Verb>),
    /// The reply.
    Reply(u32, Box<Outcome>),
    /// AUTH, REPLCONF and PSYNC of a replica: its user, its id, and the offset that it has.
    Psync(Option<u32>, u32, Option<u64>),
    /// +CONTINUE, with what is missing.
    Continue(u32, Vec<(u64, Item)>),
    /// +FULLRESYNC.
    FullResync,
    /// A part of the snapshot.
    Chunk,
    /// The end of the snapshot's transfer.
    Rdb(Box<Snapshot>),
    /// An error instead.
    Refuse(Refusal),
    /// A part of the stream, and the offset at which it ends.
    Stream(u64, Item),
    /// REPLCONF ACK.
    Ack(u64),
}
