//! One redis-server process, modelled after redis 7.0 as it was measured. `tests/model.rs` compares it with the real one.

mod client;
mod commands;
pub mod data;
mod feed;
mod follow;
pub mod life;

use crate::message::Message;
use crate::network::Cid;
use crate::world::{Time, World, text};
use data::{Backlog, Data};
use redis_operator_core::names;
use redis_operator_core::observed::{Answer, Moment};
use redis_operator_core::replication::{NOWHERE, Replication, Role, Upstream};
use std::collections::BTreeSet;

/// `repl-timeout`, in seconds.
pub const REPL_TIMEOUT: u64 = 10;

/// Whether a process works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It does.
    Fine,
    /// SIGSTOP, a lost CPU, a disk that hangs: TCP accepts, nothing answers, everything runs later.
    Hung,
    /// A script since then; answered with BUSY after `busy-reply-threshold`.
    Busy(Time),
    /// It has ended.
    Ended,
}

/// A replica's way to its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// None; tried again every second.
    Idle,
    /// Connecting, authenticating, asking for a resync, since that second.
    Asking(Cid, u64),
    /// A snapshot arrives.
    Transfer(Cid),
    /// It is being loaded.
    Loading(Cid),
    /// In sync.
    Up(Cid),
}

/// A replica at its master.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Its connection.
    pub cid: Cid,
    /// As whom it authenticated.
    pub user: Option<u32>,
    /// The snapshot is sent: it counts.
    pub online: bool,
    /// The stream waits for its next acknowledgement.
    pub silent: bool,
    /// What the stream will begin with.
    pub buffer: Vec<(u64, data::Item)>,
    /// Acknowledged offset, and in which second.
    pub ack: (u64, u64),
}

/// A client that waits for acknowledgements.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    cid: Cid,
    offset: u64,
    need: u32,
    until: Time,
}

/// What a process leaves on its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The data.
    pub data: Data,
    /// Id and offset, which a snapshot keeps and a log does not.
    pub place: Option<(u32, u64)>,
}

/// A process.
#[derive(Debug)]
pub struct Server {
    /// Which pod it is in: number of the pod, which is also that of its replication user.
    pub pod: u32,
    /// Address, by number.
    pub address: u8,
    /// Node, by number.
    pub node: u8,
    /// Container, by number.
    pub container: u32,
    /// Whether it works.
    pub mood: Mood,
    /// Reads its dataset until then.
    pub loading: Option<Time>,
    /// Start, microseconds of its wall clock.
    pub started: i64,
    /// Takes writes.
    pub master: bool,
    /// Whom it follows; 0 is nobody.
    pub upstream: u8,
    /// Replication id.
    pub id: u32,
    /// The one before.
    pub id2: Option<u32>,
    /// Where it was promoted.
    pub forked_at: u64,
    /// Offset under its id.
    pub offset: u64,
    /// It has, or kept, a place in that history.
    pub placed: bool,
    /// The last part of the stream.
    pub backlog: Option<Backlog>,
    selected: bool,
    /// Its way to its master.
    pub link: Link,
    down_since: Option<u64>,
    heard: u64,
    /// What it holds.
    pub data: Data,
    /// Replication users, by number of the pod.
    pub users: BTreeSet<u32>,
    /// Knows nobody but these; else any replica may come (model tests).
    pub attaches_as: Option<u32>,
    /// `min-replicas-to-write`.
    pub guard: u32,
    /// `min-replicas-max-lag`.
    pub guard_lag: u32,
    good: u32,
    /// `replica-serve-stale-data yes`.
    pub serves: bool,
    /// Its replicas.
    pub replicas: Vec<Attached>,
    waiting: Vec<Waiting>,
    ask_for_acks: bool,
    /// `replica-priority`.
    pub priority: u32,
    /// A log instead of snapshots.
    pub appendonly: bool,
    /// Until then its disk has the log from before its last full sync.
    pub rewrites_until: Time,
    /// What its disk holds.
    pub saved: Option<Saved>,
    misdirected: u64,
    /// Writes are held back until then.
    paused_until: Time,
    held_back: Vec<(Cid, u32)>,
    /// Connections.
    pub conns: Vec<Cid>,
    inbox: Vec<(Cid, Message)>,
    late: Vec<crate::event::Event>,
    /// Frozen since: when it was last told to follow nobody.
    pub frozen_at: Option<Time>,
    /// It hung at some time.
    pub hung_once: bool,
    /// When the transfer of a full sync ended last, which counts as an acknowledgement.
    pub synced: Time,
    /// It ended with its node.
    pub unplugged: bool,
}

impl Server {
    /// It lives and works.
    pub fn is_fine(&self) -> bool {
        self.mood == Mood::Fine
    }

    /// It lives.
    pub fn is_alive(&self) -> bool {
        self.mood != Mood::Ended
    }

    /// In sync with somebody.
    pub fn is_linked(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    /// It would take a write now.
    pub fn is_writable(&self) -> bool {
        self.master && self.is_alive() && (self.guard == 0 || self.good >= self.guard)
    }
}

impl World {
    /// A node's wall clock in microseconds.
    pub fn wall(&self, node: u8) -> i64 {
        let offset = self.nodes.get(usize::from(node)).map_or(0, |node| node.clock);
        1_800_000_000_000_000 + self.now as i64 + offset
    }

    /// The same in whole seconds, as a server's `unixtime`.
    pub(crate) fn unix(&self, server: usize) -> u64 {
        (self.wall(self.servers[server].node) / 1_000_000) as u64
    }

    /// What INFO, CONFIG GET and ACL USERS say.
    pub fn answer(&self, number: usize, asked: Moment) -> Answer {
        let it = &self.servers[number];
        let unix = self.unix(number);
        let link_up = it.is_linked();
        let shows = it.master || link_up || it.placed;
        let offset = if shows { it.offset } else { 0 };
        let upstream = Upstream {
            host: if it.upstream == 0 {
                NOWHERE.0.to_owned()
            } else {
                text::address(it.upstream)
            },
            port: if it.upstream == 0 { NOWHERE.1 } else { 6379 },
            link_up,
            down_seconds: it
                .down_since
                .filter(|_| !link_up)
                .map(|since| unix.saturating_sub(since)),
            heard_seconds: link_up.then(|| unix.saturating_sub(it.heard)),
            syncing: matches!(it.link, Link::Transfer(_) | Link::Loading(_)),
            sync_heard_seconds: matches!(it.link, Link::Transfer(_) | Link::Loading(_))
                .then(|| unix.saturating_sub(it.heard)),
            read_offset: offset,
        };
        Answer {
            asked,
            still_since: asked,
            replication: Replication {
                run_id: text::run(number),
                version: "7.0.15".to_owned(),
                started_micros: it.started,
                loading: it.loading.is_some(),
                appendonly: it.appendonly,
                rewriting: it.rewrites_until > self.now,
                role: if it.master { Role::Master } else { Role::Replica },
                upstream: (!it.master).then_some(upstream),
                id: text::id(it.id),
                id2: it.id2.map(text::id),
                forked_at: it.id2.map(|_| it.forked_at),
                offset,
                placed: shows,
                priority: it.priority,
                online: it.replicas.iter().filter(|replica| replica.online).count() as u32,
                keys: it.data.keys(),
                misdirected: it.misdirected,
            },
            guard: it.guard,
            guard_lag: it.guard_lag,
            serves: it.serves,
            users: it
                .users
                .iter()
                .map(|pod| names::replication_user(&text::uid(*pod)))
                .collect(),
            attaches_as: it
                .attaches_as
                .map(|pod| names::replication_user(&text::uid(pod)))
                .unwrap_or_default(),
        }
    }
}
