//! Clients that write through the published address and keep to whom they reached until they are cut off.

use crate::event::Event;
use crate::message::{Message, Said};
use crate::network::{Cid, Place, Who};
use crate::world::{CLIENT_ADDRESS, Time, World};

/// A client gives up on a reply after this.
const PATIENCE: Time = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    Connecting,
    Setting(u32),
    Waiting(u32, u32),
}

/// A client.
#[derive(Debug)]
pub struct Client {
    waits: bool,
    place: Place,
    published: Option<u8>,
    version: u64,
    cid: Option<Cid>,
    doing: Doing,
    tick: u32,
}

impl Client {
    /// Every second one waits for as many replicas as status shows.
    pub fn new(number: u8, nodes: u8) -> Self {
        Self {
            waits: number % 2 == 1,
            place: Place {
                address: CLIENT_ADDRESS + number,
                node: nodes + 10 + number,
            },
            published: None,
            version: 0,
            cid: None,
            doing: Doing::Nothing,
            tick: 0,
        }
    }
}

impl World {
    /// Somebody types a command in; what is said is in `heard`.
    pub fn type_in(&mut self, address: u8, message: Message) {
        let place = Place {
            address: CLIENT_ADDRESS,
            node: u8::MAX - 1,
        };
        let cid = self.connect(Who::Client(usize::MAX), place, address, Message::HelloClient);
        self.send(cid, 0, message);
    }

    /// Its node learns what is published.
    pub fn route(&mut self, client: usize, version: u64, address: Option<u8>) {
        let it = &mut self.clients[client];
        if version > it.version {
            (it.version, it.published) = (version, address);
        }
    }

    fn after(&mut self, client: usize, pause: Time) {
        let it = &mut self.clients[client];
        it.tick += 1;
        let tick = it.tick;
        self.schedule(self.now + pause, Event::Client(client, tick));
    }

    /// It does what comes next, or gives up what it waits for.
    pub fn client_due(&mut self, client: usize, tick: u32) {
        if self.clients[client].tick != tick || self.over {
            return;
        }
        if self.ledger.closed {
            return;
        }
        let (doing, cid, published) = (
            self.clients[client].doing,
            self.clients[client].cid,
            self.clients[client].published,
        );
        match (doing, cid, published) {
            (Doing::Nothing, None, Some(address)) => {
                let place = self.clients[client].place;
                let cid = self.connect(Who::Client(client), place, address, Message::HelloClient);
                let it = &mut self.clients[client];
                (it.cid, it.doing) = (Some(cid), Doing::Connecting);
                self.after(client, PATIENCE);
            }
            (Doing::Nothing, None, None) => self.after(client, 100_000),
            (Doing::Nothing, Some(cid), _) => {
                let n = self.ledger.begin_write();
                self.clients[client].doing = Doing::Setting(n);
                self.send(cid, 0, Message::Set(n));
                self.after(client, PATIENCE);
            }
            (_, Some(cid), _) => {
                self.close(cid, 0);
                self.lost_connection(client);
            }
            (_, None, _) => self.lost_connection(client),
        }
    }

    fn lost_connection(&mut self, client: usize) {
        let it = &mut self.clients[client];
        // OK was said before, only the number of replicas is unknown
        let plain = match it.doing {
            Doing::Waiting(n, _) => Some(n),
            _ => None,
        };
        let by = it.cid.and_then(|cid| self.peer(cid));
        let it = &mut self.clients[client];
        (it.cid, it.doing) = (None, Doing::Nothing);
        if let Some((n, by)) = plain.zip(by) {
            self.acknowledge(n, by, false);
        }
        let pause = self.random.between(5_000, 100_000);
        self.after(client, pause);
    }

    fn peer(&self, cid: Cid) -> Option<usize> {
        match self.conns[cid as usize].who[1] {
            Who::Server(server) => Some(server),
            _ => None,
        }
    }

    /// A reply, or the end of its connection.
    pub fn client_receives(&mut self, client: usize, cid: Cid, message: Message) {
        let Some(it) = self.clients.get(client) else {
            return self.heard.push(message);
        };
        if it.cid != Some(cid) {
            return;
        }
        let pause = self.settings.write_every / 2 + self.random.below(self.settings.write_every);
        match (message, self.clients[client].doing) {
            (Message::Closed, _) => {
                self.conns[cid as usize].open[0] = false;
                self.lost_connection(client);
            }
            (Message::Welcome, Doing::Connecting) => {
                self.clients[client].doing = Doing::Nothing;
                self.after(client, 1_000);
            }
            (Message::Said(said), Doing::Setting(n)) => self.answered(client, cid, n, said, pause),
            (Message::Said(said), Doing::Waiting(n, need)) => {
                self.clients[client].doing = Doing::Nothing;
                if let Some(by) = self.peer(cid) {
                    self.acknowledge(n, by, matches!(said, Said::Acknowledged(have) if have >= need));
                }
                self.after(client, pause);
            }
            _ => {}
        }
    }

    fn answered(&mut self, client: usize, cid: Cid, n: u32, said: Said, pause: Time) {
        match said {
            Said::Ok => {
                let need = self.api.quorum();
                if self.clients[client].waits && need > 0 {
                    self.clients[client].doing = Doing::Waiting(n, need);
                    self.send(cid, 0, Message::Wait(need, 500_000));
                    return self.after(client, PATIENCE);
                }
                if let Some(by) = self.peer(cid) {
                    self.acknowledge(n, by, false);
                }
            }
            Said::NotMaster if self.settings.clients_reconnect => {
                self.close(cid, 0);
                return self.lost_connection(client);
            }
            Said::NotMaster | Said::Refused | Said::Acknowledged(_) => {}
        }
        self.clients[client].doing = Doing::Nothing;
        self.after(client, pause);
    }
}
