//! Connections with delays, cuts in one direction, silence and resets.
//!
//! Each direction of a connection keeps its order; different connections overtake each other. What is sent into a cut is
//! not lost but late, as TCP has it: it arrives some time after the cut is healed, the end of the connection included.

use crate::event::Event;
use crate::message::Message;
use crate::world::{Time, World};

/// A connection, by number.
pub type Cid = u32;

/// Who holds an end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever listens at the address when the first message arrives.
    Listener,
    /// A server process.
    Server(usize),
    /// An operator process: which, and its epoch.
    Operator(usize, u32),
    /// A client.
    Client(usize),
}

/// Where an end is: its address, and the node that it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Address, by number.
    pub address: u8,
    /// Node, by number.
    pub node: u8,
}

/// Which places a cut means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// All.
    Any,
    /// Those on a node.
    Node(u8),
    /// Those not on a node.
    NotNode(u8),
    /// One address.
    Address(u8),
    /// Pods and operators: all addresses below that of the first client.
    NoClient,
}

impl Side {
    fn covers(self, place: Place) -> bool {
        match self {
            Self::Any => true,
            Self::Node(node) => place.node == node,
            Self::NotNode(node) => place.node != node,
            Self::Address(address) => place.address == address,
            Self::NoClient => place.address < crate::world::CLIENT_ADDRESS,
        }
    }
}

/// Nothing passes in this direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// From here.
    pub from: Side,
    /// To there.
    pub to: Side,
    /// New connections are refused instead of ignored.
    pub rejects: bool,
    /// For healing it.
    pub number: u32,
}

/// A connection.
#[derive(Debug)]
pub struct Conn {
    /// Who has the two ends; the first opened it.
    pub who: [Who; 2],
    /// Where they are.
    pub place: [Place; 2],
    /// Which ends are open.
    pub open: [bool; 2],
    /// The other side's kernel took it.
    pub accepted: bool,
    /// It was refused.
    pub refused: bool,
    last: [Time; 2],
    held: [Vec<Message>; 2],
}

impl World {
    /// Opens a connection with its first message.
    pub fn connect(&mut self, who: Who, from: Place, address: u8, hello: Message) -> Cid {
        let node = self.addresses[usize::from(address)].unwrap_or(u8::MAX);
        let to = Place { address, node };
        let cid = self.conns.len() as Cid;
        self.conns.push(Conn {
            who: [who, Who::Listener],
            place: [from, to],
            open: [true, true],
            accepted: false,
            refused: false,
            last: [0; 2],
            held: [vec![], vec![]],
        });
        match self.cut_between(from, to) {
            Some(cut) if cut.rejects => {
                let at = self.now + self.delay();
                self.refuse(cid, at);
            }
            _ => self.send(cid, 0, hello),
        }
        cid
    }

    fn refuse(&mut self, cid: Cid, at: Time) {
        let conn = &mut self.conns[cid as usize];
        conn.refused = true;
        conn.open[1] = false;
        let to = 0;
        self.schedule(at, Event::Deliver(cid, to, Message::Closed));
    }

    fn cut_between(&self, from: Place, to: Place) -> Option<Cut> {
        if from.node == to.node && from.address == to.address {
            return None;
        }
        self.cuts
            .iter()
            .find(|cut| cut.from.covers(from) && cut.to.covers(to))
            .copied()
    }

    /// Sends from one end (0 or 1).
    pub fn send(&mut self, cid: Cid, from: usize, message: Message) {
        let conn = &self.conns[cid as usize];
        if !conn.open[from] {
            return;
        }
        self.put(cid, from, message);
    }

    fn put(&mut self, cid: Cid, from: usize, message: Message) {
        let conn = &self.conns[cid as usize];
        let (here, there) = (conn.place[from], conn.place[1 - from]);
        if !self.is_up(here.node) {
            return;
        }
        if self.cut_between(here, there).is_some() || !conn.held[from].is_empty() {
            self.conns[cid as usize].held[from].push(message);
            return;
        }
        let delay = if here.node == there.node { 60 } else { self.delay() };
        let conn = &mut self.conns[cid as usize];
        let at = (self.now + delay).max(conn.last[from]);
        conn.last[from] = at;
        self.schedule(at, Event::Deliver(cid, (1 - from) as u8, message));
    }

    /// One end closes; the other one learns of it in its turn.
    pub fn close(&mut self, cid: Cid, from: usize) {
        if std::mem::replace(&mut self.conns[cid as usize].open[from], false) {
            self.put(cid, from, Message::Closed);
        }
    }

    /// An end vanishes without a word.
    pub fn vanish(&mut self, cid: Cid, from: usize) {
        let conn = &mut self.conns[cid as usize];
        conn.open[from] = false;
        conn.held[from].clear();
    }

    /// A cut is there from now on.
    pub fn cut(&mut self, cut: Cut) {
        self.cuts.push(cut);
    }

    /// A cut is gone: what was held passes after a retransmission.
    pub fn heal(&mut self, number: u32) {
        self.cuts.retain(|cut| cut.number != number);
        for cid in 0..self.conns.len() {
            for from in 0..2 {
                if self.conns[cid].held[from].is_empty() {
                    continue;
                }
                let conn = &self.conns[cid];
                if self.cut_between(conn.place[from], conn.place[1 - from]).is_some() {
                    continue;
                }
                let held = std::mem::take(&mut self.conns[cid].held[from]);
                let slow = if self.random.chance(200) { 1_600_000 } else { 200_000 };
                let at = self.now + self.random.below(slow);
                let at = at.max(self.conns[cid].last[from]);
                self.conns[cid].last[from] = at;
                for message in held {
                    self.schedule(at, Event::Deliver(cid as Cid, (1 - from) as u8, message));
                }
            }
        }
    }

    /// A message arrives at an end.
    pub fn deliver(&mut self, cid: Cid, to: u8, message: Message) {
        let to = usize::from(to);
        let conn = &self.conns[cid as usize];
        let place = conn.place[to];
        if !conn.accepted && to == 1 {
            return self.accept(cid, message);
        }
        if !conn.open[to] {
            if message != Message::Closed && self.is_up(place.node) && self.conns[cid as usize].open[1 - to] {
                // a reset
                self.put(cid, to, Message::Closed);
            }
            return;
        }
        match conn.who[to] {
            Who::Server(server) => self.server_receives(server, cid, message),
            Who::Operator(operator, epoch) => self.operator_receives(operator, epoch, cid, message),
            Who::Client(client) => self.client_receives(client, cid, message),
            Who::Listener => {}
        }
    }

    /// The first message of a connection: somebody listens, nobody does, or nobody is there at all.
    fn accept(&mut self, cid: Cid, message: Message) {
        let place = self.conns[cid as usize].place[1];
        let Some(node) = self.addresses[usize::from(place.address)].filter(|node| self.is_up(*node)) else {
            return;
        };
        if message == Message::Closed || !self.conns[cid as usize].open[1] {
            return;
        }
        self.conns[cid as usize].place[1].node = node;
        let Some(server) = self.listening(place.address) else {
            let at = self.now + 60;
            return self.refuse(cid, at);
        };
        let conn = &mut self.conns[cid as usize];
        conn.accepted = true;
        conn.who[1] = Who::Server(server);
        self.servers[server].conns.push(cid);
        self.server_receives(server, cid, message);
    }

    /// How long a message takes between two nodes.
    pub fn delay(&mut self) -> Time {
        let (usual, tail) = self.settings.delay;
        if self.random.chance(15) {
            self.random.between(usual, tail)
        } else {
            self.random.between(usual / 2, usual * 2)
        }
    }
}
