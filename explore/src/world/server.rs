//! One redis-server process, as far as decisions can see it. Every effect of a command was measured on redis 7.0.

use super::SLOTS;

/// A replica's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// Since when, in microseconds, if it ever was up.
    Down(Option<u64>),
    /// A full sync runs, from this process.
    Syncing(u16),
    /// In sync with this process.
    Up(u16),
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proc {
    /// `run_id`.
    pub run: u16,
    /// SIGSTOP.
    pub hung: bool,
    /// It takes writes.
    pub master: bool,
    /// It holds its clients' writes back for a while.
    pub paused: bool,
    /// Uid of the pod at whose address it looks for its master; 0: nowhere.
    pub host: u16,
    /// Its link.
    pub link: Link,
    /// Nothing has arrived over the link since then.
    pub stalled: Option<u64>,
    /// `master_replid`.
    pub id: u16,
    /// `master_replid2`; 0: none.
    pub id2: u16,
    /// Offset at which that ended.
    pub forked: u8,
    /// In writes.
    pub offset: u8,
    /// The writes that it has, one nibble each, the latest lowest.
    pub data: u64,
    /// It has a place in a history.
    pub placed: bool,
    /// A master without one draws a new id when its first replica attaches.
    pub backlog: bool,
    /// Replication users, by uid of the pod.
    pub users: [u16; 6],
    /// `masteruser`, by uid of the pod.
    pub user: u16,
    /// `min-replicas-to-write`.
    pub guard: u8,
    /// `min-replicas-max-lag`.
    pub lag: u8,
    /// The fence is open.
    pub serves: bool,
    /// Somebody promoted it.
    pub promoted: bool,
    /// Replicas that it believes attached: 0 none, else 1 + what they acknowledged.
    pub acks: [u8; SLOTS],
    /// Nothing was heard of these for longer than the lag.
    pub late: [bool; SLOTS],
    /// Writes that it took from clients.
    pub took: u16,
    /// What WAIT needs on it: the E of the record as long as that names it.
    pub quorum: u8,
}

impl Proc {
    /// Starts fenced and empty.
    pub fn start(run: u16, id: u16) -> Self {
        Self {
            run,
            hung: false,
            master: false,
            paused: false,
            host: 0,
            link: Link::Down(None),
            stalled: None,
            id,
            id2: 0,
            forked: 0,
            offset: 0,
            data: 0,
            placed: false,
            backlog: false,
            users: [0; 6],
            user: 0,
            guard: 0,
            lag: 10,
            serves: false,
            promoted: false,
            acks: [0; SLOTS],
            late: [false; SLOTS],
            took: 0,
            quorum: 0,
        }
    }

    /// The process to which it is or was linked.
    pub fn source(&self) -> Option<u16> {
        match self.link {
            Link::Down(_) => None,
            Link::Syncing(run) | Link::Up(run) => Some(run),
        }
    }

    /// It is in sync, as it believes.
    pub fn is_linked(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    /// It has this write.
    pub fn has(&self, write: u8) -> bool {
        position(self.data, write).is_some()
    }

    /// A partial resync from `master` is granted.
    pub fn continues(&self, master: &Self) -> bool {
        let current = self.id == master.id && self.offset <= master.offset;
        let before = master.id2 != 0 && master.id2 == self.id && self.offset <= master.forked;
        self.placed && (current || before)
    }

    /// A replication user is created.
    pub fn add_user(&mut self, uid: u16) {
        if self.users.contains(&uid) {
            return;
        }
        if let Some(free) = self.users.iter_mut().find(|user| **user == 0) {
            *free = uid;
        }
        self.users
            .sort_unstable_by_key(|user| if *user == 0 { u16::MAX } else { *user });
    }
}

/// How many writes a sequence holds.
pub(super) fn count(data: u64) -> u8 {
    u8::try_from((64 - data.leading_zeros()).div_ceil(4)).unwrap_or(16)
}

/// After how many writes of a sequence this one is there.
pub(super) fn position(data: u64, write: u8) -> Option<u8> {
    let all = count(data);
    (1..=all).find(|n| (data >> (4 * (all - n))) & 15 == u64::from(write))
}

/// The first `n` writes of a sequence.
pub(super) fn first(data: u64, n: u8) -> u64 {
    data >> (4 * count(data).saturating_sub(n))
}
