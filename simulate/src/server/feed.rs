//! The master's side of replication: resyncs, the stream, acknowledgements, the guard.

use super::Attached;
use crate::event::Event;
use crate::faults::Moment;
use crate::message::{Message, Refusal, Snapshot};
use crate::network::Cid;
use crate::server::data::{Backlog, Item};
use crate::world::World;

impl World {
    /// PSYNC.
    pub(super) fn psync(&mut self, number: usize, cid: Cid, user: Option<u32>, id: u32, have: Option<u64>) {
        let it = &self.servers[number];
        let known = !self.settings.users || user.is_some_and(|user| it.users.contains(&user));
        if !known || it.loading.is_some() || (!it.master && !it.is_linked()) {
            let why = if known { Refusal::Later } else { Refusal::User };
            self.send(cid, 1, Message::Refuse(why));
            return;
        }
        let unix = self.unix(number);
        let it = &mut self.servers[number];
        let mine = id == it.id || (it.id2 == Some(id) && have.is_some_and(|have| have <= it.forked_at));
        let missing = have.filter(|_| mine).and_then(|have| it.backlog.as_ref()?.after(have));
        let mut attached = Attached {
            cid,
            user,
            online: true,
            silent: false,
            buffer: vec![],
            ack: (0, unix),
        };
        if let Some(items) = missing {
            let id = it.id;
            it.replicas.push(attached);
            self.send(cid, 1, Message::Continue(id, items));
            self.count_good(number);
            return;
        }
        if it.backlog.is_none() {
            let (id, offset) = (self.new_id(), self.servers[number].offset);
            let backlog = Backlog::new(offset, self.settings.backlog);
            let it = &mut self.servers[number];
            (it.id, it.id2, it.backlog) = (id, None, Some(backlog));
        }
        let it = &mut self.servers[number];
        (attached.online, attached.silent) = (false, true);
        it.selected = false;
        it.replicas.push(attached);
        let snapshot = Snapshot {
            data: it.data.clone(),
            id: it.id,
            offset: it.offset,
        };
        self.send(cid, 1, Message::FullResync);
        self.beside(Moment::Synced);
        let time = self.settings.sync_time;
        let time = self.random.between(time / 2, time * 2);
        self.schedule(
            self.now + time.min(500_000),
            Event::Sync(number, cid, time, Box::new(snapshot)),
        );
    }

    /// A part of a snapshot is sent.
    pub fn sync(&mut self, number: usize, cid: Cid, left: u64, snapshot: Box<Snapshot>) {
        if !self.servers[number].is_fine() {
            if self.servers[number].is_alive() {
                self.servers[number].late.push(Event::Sync(number, cid, left, snapshot));
            }
            return;
        }
        let unix = self.unix(number);
        let Some(replica) = self.servers[number].replicas.iter_mut().find(|it| it.cid == cid) else {
            return;
        };
        if left > 500_000 {
            let left = left - 500_000;
            self.send(cid, 1, Message::Chunk);
            self.schedule(self.now + left.min(500_000), Event::Sync(number, cid, left, snapshot));
            return;
        }
        replica.online = true;
        replica.ack.1 = unix;
        self.servers[number].synced = self.now;
        self.send(cid, 1, Message::Rdb(snapshot));
        self.count_good(number);
    }

    /// Appends to the stream of a master.
    pub(super) fn feed(&mut self, number: usize, item: Item) {
        let it = &mut self.servers[number];
        if it.backlog.is_none() {
            return;
        }
        let mut items = vec![item];
        if matches!(item, Item::Write(_)) && !it.selected {
            it.selected = true;
            items.insert(0, Item::Select);
        }
        for item in items {
            let it = &mut self.servers[number];
            it.offset += item.size();
            let end = it.offset;
            if let Some(backlog) = &mut it.backlog {
                backlog.push(end, item);
            }
            self.pass_on(number, end, item);
        }
    }

    /// Sends a part of the stream to everybody who follows.
    pub(super) fn pass_on(&mut self, number: usize, end: u64, item: Item) {
        let mut ready = vec![];
        for replica in &mut self.servers[number].replicas {
            if replica.silent {
                replica.buffer.push((end, item));
            } else {
                ready.push(replica.cid);
            }
        }
        for cid in ready {
            self.send(cid, 1, Message::Stream(end, item));
        }
    }

    /// `repl-ping-replica-period`.
    pub(super) fn ping(&mut self, number: usize) {
        let it = &self.servers[number];
        if it.master && !it.replicas.is_empty() && self.settings.pings {
            self.feed(number, Item::Ping);
        }
    }

    /// REPLCONF ACK.
    pub(super) fn acknowledged(&mut self, number: usize, cid: Cid, offset: u64) {
        let unix = self.unix(number);
        let late = self.random.chance(self.settings.late_start);
        let Some(replica) = self.servers[number].replicas.iter_mut().find(|it| it.cid == cid) else {
            return;
        };
        replica.ack = (offset.max(replica.ack.0), unix);
        if replica.silent && replica.online {
            // the first one may come before the master has noticed the end of the transfer
            if late && replica.user.is_some() {
                return;
            }
            replica.silent = false;
            for (end, item) in std::mem::take(&mut replica.buffer) {
                self.send(cid, 1, Message::Stream(end, item));
            }
        }
        self.acknowledge_waiting(number);
    }

    /// Counts who is good enough for the guard: once a second, and when somebody comes or goes.
    pub(super) fn count_good(&mut self, number: usize) {
        let unix = self.unix(number);
        let it = &mut self.servers[number];
        if it.guard == 0 || it.guard_lag == 0 {
            return;
        }
        let lag = u64::from(it.guard_lag);
        let good = it
            .replicas
            .iter()
            .filter(|replica| replica.online && unix.saturating_sub(replica.ack.1) <= lag);
        it.good = good.count() as u32;
    }

    /// CLIENT KILL of a replica's connection, a full output buffer, a timeout.
    pub fn drop_replica(&mut self, number: usize, cid: Cid) {
        self.hang_up(number, cid);
        self.servers[number].replicas.retain(|replica| replica.cid != cid);
        self.count_good(number);
    }

    /// All of them.
    pub(super) fn drop_replicas(&mut self, number: usize) {
        let replicas: Vec<_> = self.servers[number]
            .replicas
            .iter()
            .map(|replica| replica.cid)
            .collect();
        for cid in replicas {
            self.drop_replica(number, cid);
        }
    }
}
