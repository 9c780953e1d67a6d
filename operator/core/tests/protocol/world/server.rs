//! One redis-server process, as far as decisions can see it. Every effect of a command was measured on redis 7.0.

use redis_operator_core::observed::{Answer, Moment};
use redis_operator_core::replication::{NOWHERE, Replication, Role, Upstream};
use std::collections::BTreeSet;

/// How long one write is, in bytes of the replication stream.
pub const WRITE: u64 = 10;

/// Whether a process answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Fine,
    /// SIGSTOP: TCP accepts, nothing answers.
    Hung,
    /// A long script.
    Busy,
    /// Reads its dataset.
    Loading,
}

/// A replica's link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Since when, if it ever was up.
    Down(Option<Moment>),
    /// A full sync runs, from this process.
    Syncing(String),
    /// In sync with this process.
    Up(String),
}

/// What a process leaves on its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    pub data: Vec<u32>,
    /// Id and offset, which RDB keeps and AOF does not.
    pub place: Option<(String, u64)>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub run: String,
    pub started_micros: i64,
    pub mood: Mood,
    pub master: bool,
    pub host: String,
    pub link: Link,
    pub id: String,
    pub id2: Option<String>,
    pub forked_at: Option<u64>,
    pub offset: u64,
    pub placed: bool,
    /// A master without one draws a new id when its first replica attaches.
    pub backlog: bool,
    pub data: Vec<u32>,
    pub users: BTreeSet<String>,
    pub guard: u32,
    pub guard_lag: u32,
    pub serves: bool,
    pub attaches_as: String,
    pub priority: u32,
    pub appendonly: bool,
    /// Its append-only file is being written anew.
    pub rewriting: bool,
    pub misdirected: u64,
    /// Nothing arrives since then: the link breaks after `repl-timeout`.
    pub stalled: Option<Moment>,
    /// Since when the writes of clients are held back, for 3 s.
    pub paused: Option<Moment>,
    /// `masterauth` is not the password of its user on the master.
    pub wrong_password: bool,
    /// Bytes that have arrived and wait to be applied.
    pub unread: u64,
    /// When anything arrived from its master last.
    pub heard: Moment,
    /// What has been sent and arrives a moment later, if everything reaches it late: data and offset, and since when.
    pub late: Option<(Moment, Vec<u32>, u64)>,
}

impl Server {
    /// Starts fenced, with what its disk holds.
    pub fn start(run: &str, id: String, started_micros: i64, saved: Option<&Saved>) -> Self {
        let place = saved.and_then(|saved| saved.place.clone());
        Self {
            run: run.to_owned(),
            started_micros,
            mood: Mood::Fine,
            master: false,
            host: NOWHERE.0.to_owned(),
            link: Link::Down(None),
            offset: place.as_ref().map_or(0, |(_, offset)| *offset),
            placed: place.is_some(),
            id: place.map_or(id, |(id, _)| id),
            id2: None,
            forked_at: None,
            backlog: false,
            data: saved.map(|saved| saved.data.clone()).unwrap_or_default(),
            users: BTreeSet::new(),
            guard: 0,
            guard_lag: 10,
            serves: false,
            attaches_as: String::new(),
            priority: 100,
            appendonly: false,
            rewriting: false,
            misdirected: 0,
            stalled: None,
            paused: None,
            wrong_password: false,
            unread: 0,
            heard: Moment::default(),
            late: None,
        }
    }

    pub fn is_linked(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    pub fn follows_nobody(&self) -> bool {
        !self.master && self.host == NOWHERE.0
    }

    /// The link breaks; a full sync that breaks leaves no place in any history.
    pub fn unlink(&mut self, now: Moment) {
        match self.link {
            Link::Down(_) => {}
            Link::Syncing(_) => self.link = Link::Down(None),
            Link::Up(_) => self.link = Link::Down(Some(now)),
        }
    }

    /// REPLICAOF host: id and offset survive, also those of a master.
    pub fn follow(&mut self, host: &str, now: Moment) {
        if !self.master && self.host == host && !matches!(self.link, Link::Down(_)) {
            return;
        }
        self.unlink(now);
        if self.master {
            (self.master, self.placed, self.link) = (false, true, Link::Down(None));
        }
        self.host = host.to_owned();
    }

    /// REPLICAOF NO ONE and what goes with it.
    pub fn promote(&mut self, new_id: String, users: impl IntoIterator<Item = String>) {
        if !self.master {
            self.forked_at = Some(self.offset);
            self.id2 = Some(std::mem::replace(&mut self.id, new_id));
            (self.master, self.placed, self.link) = (true, true, Link::Down(None));
            self.host.clear();
        }
        (self.guard, self.serves, self.paused) = (0, true, None);
        self.users.extend(users);
    }

    /// What INFO, CONFIG GET and ACL USERS say.
    pub fn answer(&self, asked: Moment) -> Answer {
        let (link_up, syncing, down) = match &self.link {
            Link::Up(_) => (true, false, None),
            Link::Syncing(_) => (false, true, None),
            Link::Down(since) => (false, false, since.map(|since| asked.since(since).as_secs())),
        };
        let placed = self.master || link_up || (self.placed && !syncing);
        let offset = if placed { self.offset } else { 0 };
        let upstream = Upstream {
            host: self.host.clone(),
            port: if self.follows_nobody() { NOWHERE.1 } else { 6379 },
            link_up,
            down_seconds: down,
            heard_seconds: link_up.then(|| asked.since(self.heard).as_secs()),
            syncing,
            sync_heard_seconds: syncing.then(|| asked.since(self.heard).as_secs()),
            read_offset: offset + self.unread,
        };
        Answer {
            asked,
            still_since: if link_up { self.heard } else { asked },
            replication: Replication {
                run_id: self.run.clone(),
                version: "7.0.15".to_owned(),
                started_micros: self.started_micros,
                loading: self.mood == Mood::Loading,
                appendonly: self.appendonly,
                rewriting: self.rewriting,
                role: if self.master { Role::Master } else { Role::Replica },
                upstream: (!self.master).then_some(upstream),
                id: self.id.clone(),
                id2: self.id2.clone(),
                forked_at: self.forked_at,
                offset,
                placed,
                priority: self.priority,
                online: 0,
                keys: u64::try_from(self.data.len()).unwrap(),
                misdirected: self.misdirected,
            },
            guard: self.guard,
            guard_lag: self.guard_lag,
            serves: self.serves,
            users: self.users.clone(),
            attaches_as: self.attaches_as.clone(),
        }
    }
}
