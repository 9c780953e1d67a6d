//! How a process begins, stands still, goes on and ends; and what its disk keeps.

use super::{Link, Mood, REPL_TIMEOUT, Saved, Server};
use crate::event::Event;
use crate::message::{Message, Outcome, Said};
use crate::network::Cid;
use crate::rules::Rule;
use crate::server::data::Data;
use crate::world::{Time, World};
use redis_operator::redis::CallError;
use std::collections::BTreeSet;

/// Where a process begins.
#[derive(Clone, Copy, Debug)]
pub struct Begin {
    /// Number of its pod.
    pub pod: u32,
    /// Its address.
    pub address: u8,
    /// Its node.
    pub node: u8,
    /// Number of its container.
    pub container: u32,
    /// `replica-priority`.
    pub priority: u32,
    /// It writes a log.
    pub appendonly: bool,
}

impl World {
    /// A process begins, fenced, with what its disk holds.
    pub fn begin(&mut self, begin: Begin, saved: Option<Saved>) -> usize {
        let number = self.servers.len();
        let id = self.new_id();
        let place = saved.as_ref().and_then(|saved| saved.place);
        let keys = saved.as_ref().map_or(0, |saved| saved.data.keys());
        let loading = (keys > 0).then(|| self.now + self.settings.load_time);
        let wall = self.wall(begin.node);
        let (started, offset) = (wall, place.map_or(0, |(_, offset)| offset));
        let heard = (wall / 1_000_000) as u64;
        self.servers.push(Server {
            pod: begin.pod,
            address: begin.address,
            node: begin.node,
            container: begin.container,
            mood: Mood::Fine,
            loading,
            started,
            master: !self.settings.holds(Rule::FencedStart),
            upstream: 0,
            id: place.map_or(id, |(id, _)| id),
            id2: None,
            forked_at: 0,
            offset,
            placed: place.is_some(),
            backlog: None,
            selected: false,
            link: Link::Idle,
            down_since: None,
            heard,
            data: saved.as_ref().map(|saved| saved.data.clone()).unwrap_or_default(),
            users: BTreeSet::new(),
            attaches_as: None,
            guard: 0,
            guard_lag: 1,
            good: 0,
            serves: false,
            replicas: vec![],
            waiting: vec![],
            ask_for_acks: false,
            priority: begin.priority,
            appendonly: begin.appendonly,
            rewrites_until: 0,
            saved,
            misdirected: 0,
            paused_until: 0,
            held_back: vec![],
            conns: vec![],
            inbox: vec![],
            late: vec![],
            frozen_at: None,
            hung_once: false,
            synced: 0,
            unplugged: false,
        });
        let phase = self.random.below(1_000_000);
        self.schedule(self.now + phase, Event::Cron(number));
        if let Some(until) = loading {
            self.schedule(until, Event::Loaded(number));
        }
        number
    }

    /// Something arrives at a process, or waits for it.
    pub fn server_receives(&mut self, number: usize, cid: Cid, message: Message) {
        match self.servers[number].mood {
            Mood::Ended => {}
            Mood::Hung => self.servers[number].inbox.push((cid, message)),
            Mood::Busy(since) if is_asked(&message) && self.now >= since + self.settings.busy_after => {
                self.is_busy(cid, message);
            }
            Mood::Busy(_) => self.servers[number].inbox.push((cid, message)),
            Mood::Fine => self.handle(number, cid, message),
        }
    }

    fn is_busy(&mut self, cid: Cid, message: Message) {
        let reply = match message {
            Message::Call(call, _) => {
                let outcome: Outcome = Err(CallError::Alive("BUSY".to_owned()));
                Message::Reply(call, Box::new(outcome))
            }
            Message::HelloOperator | Message::HelloClient => Message::Welcome,
            _ => Message::Said(Said::Refused),
        };
        self.send(cid, 1, reply);
    }

    fn handle(&mut self, number: usize, cid: Cid, message: Message) {
        let loads = self.servers[number].loading.is_some();
        match message {
            Message::Closed => self.hangs_up(number, cid),
            Message::HelloClient | Message::HelloOperator => self.send(cid, 1, Message::Welcome),
            Message::Call(call, verb) => self.called(number, cid, call, *verb),
            Message::Set(_) | Message::Wait(..) if loads => self.send(cid, 1, Message::Said(Said::Refused)),
            Message::Set(n) => self.write(number, cid, n),
            Message::Wait(need, limit) => self.wait(number, cid, need, limit),
            Message::Psync(user, id, have) => self.psync(number, cid, user, id, have),
            Message::Ack(offset) => self.acknowledged(number, cid, offset),
            message if loads => self.servers[number].inbox.push((cid, message)),
            message => self.follows(number, cid, message),
        }
    }

    /// The other end of a connection is gone.
    fn hangs_up(&mut self, number: usize, cid: Cid) {
        let it = &mut self.servers[number];
        if it.loading.is_some() && it.link == Link::Loading(cid) {
            it.inbox.push((cid, Message::Closed));
            return;
        }
        it.conns.retain(|other| *other != cid);
        it.waiting.retain(|waiting| waiting.cid != cid);
        self.conns[cid as usize].open[1] = false;
        self.conns[cid as usize].open[0] = false;
        let it = &mut self.servers[number];
        match it.link {
            Link::Asking(link, _) | Link::Transfer(link) | Link::Loading(link) | Link::Up(link) if link == cid => {
                self.link_lost(number, true);
                return;
            }
            _ => {}
        }
        let before = it.replicas.len();
        it.replicas.retain(|replica| replica.cid != cid);
        if it.replicas.len() != before {
            self.count_good(number);
        }
    }

    /// Its dataset is loaded.
    pub fn loaded(&mut self, number: usize) {
        match self.servers[number].mood {
            Mood::Ended => return,
            Mood::Hung | Mood::Busy(_) => return self.servers[number].late.push(Event::Loaded(number)),
            Mood::Fine => {}
        }
        self.servers[number].loading = None;
        self.load_done(number);
        let inbox = std::mem::take(&mut self.servers[number].inbox);
        for (cid, message) in inbox {
            self.server_receives(number, cid, message);
        }
    }

    /// SIGSTOP.
    pub fn hang(&mut self, number: usize) {
        if self.servers[number].is_alive() {
            self.servers[number].mood = Mood::Hung;
            self.servers[number].hung_once = true;
        }
    }

    /// A long script begins.
    pub fn script(&mut self, number: usize) {
        if self.servers[number].is_fine() && self.servers[number].loading.is_none() {
            self.servers[number].mood = Mood::Busy(self.now);
            self.schedule(self.now + self.settings.busy_after, Event::Busy(number));
        }
    }

    /// The script is long by now: whoever waits is told.
    pub fn tell_busy(&mut self, number: usize) {
        let Mood::Busy(_) = self.servers[number].mood else {
            return;
        };
        let inbox = std::mem::take(&mut self.servers[number].inbox);
        let (asked, rest): (Vec<_>, Vec<_>) = inbox.into_iter().partition(|(_, message)| is_asked(message));
        self.servers[number].inbox = rest;
        for (cid, message) in asked {
            self.is_busy(cid, message);
        }
    }

    /// SIGCONT, or the end of a script: everything that waited runs, each connection in its order.
    pub fn resume(&mut self, number: usize) {
        if matches!(self.servers[number].mood, Mood::Fine | Mood::Ended) {
            return;
        }
        self.servers[number].mood = Mood::Fine;
        let mut inbox = std::mem::take(&mut self.servers[number].inbox);
        if self.random.chance(500) {
            let salt = self.random.draw() as u32 | 1;
            inbox.sort_by_key(|(cid, _)| cid.wrapping_mul(salt));
        }
        let mut late = std::mem::take(&mut self.servers[number].late);
        let first = self.random.chance(500);
        if first {
            for event in late.drain(..) {
                self.handle_event(event);
            }
        }
        for (cid, message) in inbox {
            self.server_receives(number, cid, message);
        }
        for event in late {
            self.handle_event(event);
        }
    }

    /// The process ends. The kernel still sends what it has written, if the node lives.
    pub fn end(&mut self, number: usize) {
        if !self.servers[number].is_alive() {
            return;
        }
        self.save_log(number);
        let it = &mut self.servers[number];
        it.mood = Mood::Ended;
        let (up, conns) = (it.node, std::mem::take(&mut it.conns));
        it.inbox.clear();
        it.late.clear();
        it.data = Data::default();
        it.backlog = None;
        let up = self.is_up(up);
        self.servers[number].unplugged = !up;
        for cid in conns {
            let from = usize::from(self.conns[cid as usize].who[1] == crate::network::Who::Server(number));
            if up {
                self.close(cid, from);
            } else {
                self.vanish(cid, from);
            }
        }
    }

    /// What a log holds at any moment, but for the time after a full sync in which it is written anew; at a node's end its last
    /// second may be missing, which nobody checks here.
    fn save_log(&mut self, number: usize) {
        let it = &mut self.servers[number];
        if it.appendonly && it.loading.is_none() && it.rewrites_until <= self.now {
            it.saved = Some(Saved {
                data: it.data.clone(),
                place: None,
            });
        }
    }

    /// BGSAVE.
    pub fn save(&mut self, number: usize) {
        let it = &mut self.servers[number];
        if !it.is_alive() || it.loading.is_some() || it.appendonly {
            return;
        }
        let known = if it.master {
            it.backlog.is_some()
        } else {
            it.placed || it.is_linked()
        };
        let place = known.then_some((it.id, it.offset));
        it.saved = Some(Saved {
            data: it.data.clone(),
            place,
        });
    }

    /// Once a second.
    pub fn cron(&mut self, number: usize) {
        match self.servers[number].mood {
            Mood::Ended => return,
            Mood::Hung | Mood::Busy(_) => return self.servers[number].late.push(Event::Cron(number)),
            Mood::Fine => {}
        }
        self.schedule(self.now + 1_000_000, Event::Cron(number));
        if self.servers[number].loading.is_some() {
            return;
        }
        let unix = self.unix(number);
        self.follow_cron(number, unix);
        self.ping(number);
        let timed_out = |replica: &super::Attached| replica.online && unix.saturating_sub(replica.ack.1) > REPL_TIMEOUT;
        let gone: Vec<_> = self.servers[number]
            .replicas
            .iter()
            .filter(|it| timed_out(it))
            .map(|it| it.cid)
            .collect();
        for cid in gone {
            self.drop_replica(number, cid);
        }
        self.count_good(number);
    }

    /// Closes a connection from the server's side.
    pub(super) fn hang_up(&mut self, number: usize, cid: Cid) {
        let from = usize::from(self.conns[cid as usize].who[1] == crate::network::Who::Server(number));
        self.close(cid, from);
        self.servers[number].conns.retain(|other| *other != cid);
        self.servers[number].waiting.retain(|waiting| waiting.cid != cid);
    }

    /// A fresh replication id.
    pub fn new_id(&mut self) -> u32 {
        self.ids += 1;
        self.ids
    }
}

fn is_asked(message: &Message) -> bool {
    matches!(
        message,
        Message::Call(..) | Message::Set(_) | Message::Wait(..) | Message::HelloOperator | Message::HelloClient
    )
}

/// When something happens next.
pub type Next = Option<Time>;
