//! What clients are told.

use super::Waiting;
use crate::event::Event;
use crate::message::{Message, Said};
use crate::network::{Cid, Who};
use crate::rules::Rule;
use crate::server::data::Item;
use crate::world::World;

impl World {
    /// SET.
    pub(super) fn write(&mut self, number: usize, cid: Cid, n: u32) {
        let guarded = self.settings.holds(Rule::WriteGuard);
        let it = &mut self.servers[number];
        if self.now < it.paused_until {
            return it.held_back.push((cid, n));
        }
        let said = if !it.master {
            it.misdirected += 1;
            Said::NotMaster
        } else if guarded && it.guard > 0 && it.guard_lag > 0 && it.good < it.guard {
            Said::Refused
        } else {
            it.data.insert(n);
            self.feed(number, Item::Write(n));
            self.check_write(number);
            Said::Ok
        };
        self.send(cid, 1, Message::Said(said));
    }

    /// CLIENT PAUSE WRITE, for 3 s.
    pub(super) fn pause_writes(&mut self, number: usize) {
        let until = self.now + 3_000_000;
        let it = &mut self.servers[number];
        it.paused_until = it.paused_until.max(until);
        let until = it.paused_until;
        self.schedule(until, Event::Unpause(number));
    }

    /// CLIENT UNPAUSE: what was held back runs now.
    pub(super) fn unpause_writes(&mut self, number: usize) {
        let it = &mut self.servers[number];
        it.paused_until = 0;
        for (cid, n) in std::mem::take(&mut it.held_back) {
            if self.conns[cid as usize].open[1] {
                self.write(number, cid, n);
            }
        }
    }

    /// A pause ends by itself.
    pub fn pause_is_over(&mut self, number: usize) {
        let it = &mut self.servers[number];
        if it.paused_until == 0 || self.now < it.paused_until || !it.is_alive() {
            return;
        }
        if !it.is_fine() {
            return it.late.push(Event::Unpause(number));
        }
        self.unpause_writes(number);
    }

    /// WAIT: everything that was written so far.
    pub(super) fn wait(&mut self, number: usize, cid: Cid, need: u32, limit: u64) {
        let it = &self.servers[number];
        if !it.master {
            return self.send(cid, 1, Message::Said(Said::NotMaster));
        }
        let offset = it.offset;
        let have = self.count_acknowledged(number, offset);
        if have >= need {
            return self.send(cid, 1, Message::Said(Said::Acknowledged(have)));
        }
        let until = self.now + limit;
        self.servers[number].waiting.push(Waiting {
            cid,
            offset,
            need,
            until,
        });
        self.schedule(until, Event::Waited(number, cid));
        if !std::mem::replace(&mut self.servers[number].ask_for_acks, true) {
            self.schedule(self.now, Event::AskForAcks(number));
        }
    }

    /// Before it sleeps: one REPLCONF GETACK for all who wait.
    pub fn ask_for_acks(&mut self, number: usize) {
        let it = &mut self.servers[number];
        it.ask_for_acks = false;
        if it.master && it.is_fine() && self.now >= it.paused_until {
            self.feed(number, Item::GetAck);
        }
    }

    fn count_acknowledged(&self, number: usize, offset: u64) -> u32 {
        let holds = self.settings.holds(Rule::Wait);
        let replicas = self.servers[number].replicas.iter();
        replicas
            .filter(|replica| replica.online && (replica.ack.0 >= offset || !holds))
            .count() as u32
    }

    pub(super) fn acknowledge_waiting(&mut self, number: usize) {
        if self.servers[number].waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.servers[number].waiting);
        for one in waiting {
            let have = self.count_acknowledged(number, one.offset);
            if have >= one.need {
                self.send(one.cid, 1, Message::Said(Said::Acknowledged(have)));
            } else {
                self.servers[number].waiting.push(one);
            }
        }
    }

    /// A WAIT's time is over: so many have it.
    pub fn waited(&mut self, number: usize, cid: Cid) {
        if !self.servers[number].is_alive() {
            return;
        }
        if !self.servers[number].is_fine() {
            return self.servers[number].late.push(Event::Waited(number, cid));
        }
        let now = self.now;
        let due = |waiting: &Waiting| waiting.cid == cid && waiting.until <= now;
        let Some(at) = self.servers[number].waiting.iter().position(due) else {
            return;
        };
        let one = self.servers[number].waiting.remove(at);
        let have = self.count_acknowledged(number, one.offset);
        self.send(cid, 1, Message::Said(Said::Acknowledged(have)));
    }

    /// A demotion ends every WAIT, and its connection.
    pub(super) fn unblock(&mut self, number: usize) {
        for one in std::mem::take(&mut self.servers[number].waiting) {
            self.hang_up(number, one.cid);
        }
    }

    /// CLIENT KILL of the applications' user, or of the other connections of the operator's.
    pub(super) fn cut_off(&mut self, number: usize, keep: Option<Cid>, is_meant: impl Fn(Who) -> bool) {
        let meant = |cid: &Cid| Some(*cid) != keep && is_meant(self.conns[*cid as usize].who[0]);
        let all: Vec<_> = self.servers[number].conns.iter().copied().filter(meant).collect();
        for cid in all {
            self.hang_up(number, cid);
        }
    }
}
