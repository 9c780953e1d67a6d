//! The replica's side of replication.

use super::{Link, REPL_TIMEOUT, Saved};
use crate::event::Event;
use crate::message::{Message, Refusal};
use crate::network::{Cid, Place, Who};
use crate::server::data::{Backlog, Item};
use crate::world::World;

impl World {
    /// REPLICAOF address: id and offset survive, those of a master too.
    pub fn follow(&mut self, number: usize, address: u8) {
        let it = &mut self.servers[number];
        if !it.master && it.upstream == address {
            // "Already connected to specified master"
            return;
        }
        let was_master = it.master;
        self.unlink(number, false);
        self.unblock(number);
        let capacity = self.settings.backlog;
        let it = &mut self.servers[number];
        it.upstream = address;
        if was_master {
            it.master = false;
            it.placed = true;
            let offset = it.offset;
            it.backlog.get_or_insert_with(|| Backlog::new(offset, capacity));
        }
        self.reach_out(number);
    }

    /// REPLICAOF NO ONE.
    pub fn unfollow(&mut self, number: usize) {
        if self.servers[number].master {
            return;
        }
        self.unlink(number, false);
        let id = self.new_id();
        let it = &mut self.servers[number];
        it.upstream = 0;
        it.forked_at = it.offset;
        it.id2 = Some(std::mem::replace(&mut it.id, id));
        (it.master, it.placed, it.selected, it.down_since) = (true, false, false, None);
        self.drop_replicas(number);
    }

    /// Its own end of the link closes.
    fn unlink(&mut self, number: usize, again: bool) {
        if let Link::Asking(cid, _) | Link::Transfer(cid) | Link::Loading(cid) | Link::Up(cid) =
            self.servers[number].link
        {
            self.hang_up(number, cid);
            self.link_lost(number, again);
        }
    }

    /// The link is gone. In sync its place is kept; a sync that broke leaves none. One that was more than an attempt is
    /// tried again at once.
    pub(super) fn link_lost(&mut self, number: usize, again: bool) {
        let unix = self.unix(number);
        let it = &mut self.servers[number];
        if it.is_linked() {
            it.placed = true;
            it.down_since = Some(unix);
        }
        let was = std::mem::replace(&mut it.link, Link::Idle);
        if again && !matches!(was, Link::Asking(..)) {
            self.reach_out(number);
        }
    }

    /// Connects, unless there is nobody to connect to.
    fn reach_out(&mut self, number: usize) {
        let unix = self.unix(number);
        let it = &self.servers[number];
        if it.upstream == 0 || !it.is_alive() {
            return;
        }
        let have = it.placed.then_some(it.offset);
        let hello = Message::Psync(it.attaches_as, it.id, have);
        let place = Place {
            address: it.address,
            node: it.node,
        };
        let to = it.upstream;
        let cid = self.connect(Who::Server(number), place, to, hello);
        let it = &mut self.servers[number];
        it.conns.push(cid);
        it.link = Link::Asking(cid, unix);
    }

    /// What the master sends.
    pub(super) fn follows(&mut self, number: usize, cid: Cid, message: Message) {
        let unix = self.unix(number);
        self.servers[number].heard = unix;
        match (message, self.servers[number].link) {
            (Message::Continue(id, items), Link::Asking(link, _)) if link == cid => {
                self.resynced(number, cid, id, items)
            }
            (Message::FullResync, Link::Asking(link, _)) if link == cid => {
                let it = &mut self.servers[number];
                it.placed = false;
                it.link = Link::Transfer(cid);
            }
            (Message::Refuse(refusal), Link::Asking(link, _)) if link == cid => {
                let _ = matches!(refusal, Refusal::Later);
                self.hang_up(number, cid);
                self.servers[number].link = Link::Idle;
            }
            (Message::Rdb(snapshot), Link::Transfer(link)) if link == cid => {
                self.drop_replicas(number);
                let it = &mut self.servers[number];
                it.backlog = None;
                it.data.clear();
                it.link = Link::Loading(cid);
                let until = self.now + self.settings.load_time;
                self.servers[number].loading = Some(until);
                self.arriving.insert(number, *snapshot);
                self.schedule(until, Event::Loaded(number));
            }
            (Message::Stream(end, item), Link::Up(link)) if link == cid => self.apply(number, cid, end, item),
            _ => {}
        }
    }

    fn resynced(&mut self, number: usize, cid: Cid, id: u32, items: Vec<(u64, Item)>) {
        let capacity = self.settings.backlog;
        let it = &mut self.servers[number];
        it.link = Link::Up(cid);
        (it.down_since, it.placed) = (None, false);
        if it.id != id {
            it.id2 = Some(std::mem::replace(&mut it.id, id));
            it.forked_at = it.offset;
            self.drop_replicas(number);
        }
        let it = &mut self.servers[number];
        let offset = it.offset;
        it.backlog.get_or_insert_with(|| Backlog::new(offset, capacity));
        for (end, item) in items {
            self.apply(number, cid, end, item);
        }
    }

    /// The end of a loading: at the start, or of a full sync.
    pub(super) fn load_done(&mut self, number: usize) {
        let Link::Loading(cid) = self.servers[number].link else {
            return;
        };
        let Some(snapshot) = self.arriving.remove(&number) else {
            return;
        };
        let capacity = self.settings.backlog;
        let it = &mut self.servers[number];
        it.link = Link::Up(cid);
        (it.id, it.offset, it.id2, it.data) = (snapshot.id, snapshot.offset, None, snapshot.data);
        (it.down_since, it.placed) = (None, false);
        it.backlog = Some(Backlog::new(it.offset, capacity));
        if it.appendonly {
            it.rewrites_until = self.now + self.settings.rewrite_time;
        } else {
            // the file of the transfer stays
            it.saved = Some(Saved {
                data: it.data.clone(),
                place: Some((it.id, it.offset)),
            });
        }
        let offset = it.offset;
        self.send(cid, 0, Message::Ack(offset));
    }

    fn apply(&mut self, number: usize, cid: Cid, end: u64, item: Item) {
        let it = &mut self.servers[number];
        let before = it.offset;
        debug_assert_eq!(before + item.size(), end, "a gap in the stream");
        it.offset = end;
        if let Some(backlog) = &mut it.backlog {
            backlog.push(end, item);
        }
        match item {
            Item::Write(n) => it.data.insert(n),
            Item::GetAck => self.send(cid, 0, Message::Ack(before)),
            Item::Select | Item::Ping => {}
        }
        self.pass_on(number, end, item);
    }

    /// Once a second: timeouts, another attempt, an acknowledgement.
    pub(super) fn follow_cron(&mut self, number: usize, unix: u64) {
        let it = &self.servers[number];
        match it.link {
            Link::Idle if !it.master => self.reach_out(number),
            Link::Asking(cid, since) if unix.saturating_sub(since) > REPL_TIMEOUT => {
                self.hang_up(number, cid);
                self.servers[number].link = Link::Idle;
            }
            Link::Transfer(_) | Link::Up(_) if unix.saturating_sub(it.heard) > REPL_TIMEOUT => {
                self.unlink(number, true)
            }
            Link::Up(cid) => {
                let offset = it.offset;
                self.send(cid, 0, Message::Ack(offset));
            }
            _ => {}
        }
    }
}
