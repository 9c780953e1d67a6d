//! An operator process: its lease, its pauses, and the one future that it runs, polled by hand.

use super::pass;
use super::side::{Ask, Came, Handle};
use crate::cluster::api::{Request, Response};
use crate::event::Event;
use crate::network::{Place, Who};
use crate::rules::Rule;
use crate::world::{Time, World};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// The number of the request about the lease; passes count from 1.
const LEASE: u32 = 0;

/// An operator process, or the place for one.
pub struct Operator {
    /// It runs.
    pub alive: bool,
    /// It stands still: everything that reaches it waits.
    pub paused: bool,
    /// Which process this is; the next one has the next number.
    pub epoch: u32,
    /// Its node.
    pub node: u8,
    /// Its address.
    pub address: u8,
    /// When the last change was told to its caches.
    pub told: Time,
    /// Its watches are dead until then.
    pub deaf_until: Time,
    /// It cannot reach the API server.
    pub api_cut: bool,
    /// It takes the lease although another one has it: clocks disagree, or somebody edited it.
    pub usurps: bool,
    pub(super) missed: Vec<Event>,
    handle: Handle,
    run: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    renewed: Time,
    tried: Time,
    stretch: u32,
}

impl Operator {
    /// Nobody yet.
    pub fn new(node: u8, address: u8) -> Self {
        Self {
            alive: false,
            paused: false,
            epoch: 0,
            node,
            address,
            told: 0,
            deaf_until: 0,
            api_cut: false,
            usurps: false,
            missed: vec![],
            handle: Handle::default(),
            run: None,
            renewed: 0,
            tried: 0,
            stretch: 0,
        }
    }

    pub(super) fn side(&self) -> Handle {
        self.handle.clone()
    }

    pub(super) fn place(&self) -> Place {
        Place {
            address: self.address,
            node: self.node,
        }
    }

    /// It believes to lead.
    pub fn leads(&self) -> bool {
        self.run.is_some()
    }

    /// As whom.
    pub fn holder(&self) -> String {
        self.handle.lock().holder.clone()
    }
}

impl World {
    /// A new operator process.
    pub fn start_operator(&mut self, number: usize) {
        if self.operators[number].alive || !self.is_up(self.operators[number].node) {
            return;
        }
        let list = self.api.list();
        let (now, verbose) = (self.now, self.verbose);
        let (reads_again, doubts) = (self.settings.holds(Rule::ReadAgain), self.settings.holds(Rule::Doubt));
        let operator = &mut self.operators[number];
        operator.alive = true;
        operator.paused = false;
        operator.epoch += 1;
        operator.handle = Handle::default();
        operator.told = now;
        {
            let mut side = operator.handle.lock();
            side.verbose = verbose;
            (side.reads_again, side.doubts) = (reads_again, doubts);
            for change in list {
                side.cache.apply(change);
            }
        }
        self.addresses[usize::from(self.operators[number].address)] = Some(self.operators[number].node);
        let epoch = self.operators[number].epoch;
        let pause = self.random.below(500_000);
        self.schedule(now + pause, Event::Lease(number, epoch));
    }

    /// The process ends; its connections with it.
    pub fn end_operator(&mut self, number: usize) {
        if !self.operators[number].alive {
            return;
        }
        self.stop_leading(number);
        let operator = &mut self.operators[number];
        operator.alive = false;
        operator.missed.clear();
        let pause = self.random.between(500_000, 3_000_000);
        self.schedule(self.now + pause, Event::Operator(number));
    }

    /// What runs under the lease is dropped where it stands.
    fn stop_leading(&mut self, number: usize) {
        self.operators[number].run = None;
        let handle = self.operators[number].side();
        let posts = {
            let mut side = handle.lock();
            side.asks.clear();
            side.came.clear();
            side.sleeping = None;
            std::mem::take(&mut side.posts)
        };
        let up = self.is_up(self.operators[number].node);
        for cid in posts.values().flat_map(super::post::Post::cids).collect::<Vec<_>>() {
            if up {
                self.close(cid, 0);
            } else {
                self.vanish(cid, 0);
            }
        }
    }

    /// SIGSTOP.
    pub fn pause_operator(&mut self, number: usize) {
        if self.operators[number].alive {
            self.operators[number].paused = true;
        }
    }

    /// SIGCONT: what waited happens now, in one order or another.
    pub fn resume_operator(&mut self, number: usize) {
        if !std::mem::replace(&mut self.operators[number].paused, false) {
            return;
        }
        let missed = std::mem::take(&mut self.operators[number].missed);
        let (leases, mut rest): (Vec<_>, Vec<_>) =
            missed.into_iter().partition(|event| matches!(event, Event::Lease(..)));
        // time limits are looked at before or after what has arrived
        if self.random.chance(500) {
            let (limits, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|event| {
                matches!(
                    event,
                    Event::NoReply(..) | Event::NoResponse(..) | Event::Wake(..) | Event::Post(..)
                )
            });
            rest = limits.into_iter().chain(others).collect();
        }
        let late = self.random.below(rest.len() as u64 + 1) as usize;
        let after = rest.split_off(late);
        for event in rest.into_iter().chain(leases).chain(after) {
            self.handle_event(event);
        }
    }

    /// An event for an operator process; false if it waits, or nobody is there.
    pub fn reaches_operator(&mut self, number: usize, epoch: u32) -> Option<bool> {
        let operator = &self.operators[number];
        if !operator.alive || operator.epoch != epoch {
            return None;
        }
        Some(!operator.paused)
    }

    /// An event that waits for the end of a pause.
    pub fn miss(&mut self, number: usize, event: Event) {
        self.operators[number].missed.push(event);
    }

    /// Every 500 ms: renew, take, or give up.
    pub fn lease_due(&mut self, number: usize, epoch: u32) {
        self.schedule(self.now + 500_000, Event::Lease(number, epoch));
        if self.operators[number].leads() && self.now.saturating_sub(self.operators[number].renewed) >= 2_000_000 {
            self.log(|| format!("operator {number} gives up its lease"));
            self.stop_leading(number);
        }
        if self.operators[number].usurps {
            self.operators[number].usurps = false;
            self.api.lease = None;
        }
        let operator = &mut self.operators[number];
        operator.tried = self.now;
        let name = format!("op{number}-{epoch}-{}", operator.stretch);
        self.request(number, LEASE, Request::Lease(name));
    }

    fn lease_answered(&mut self, number: usize, response: &Response) {
        match response {
            Response::Done => {
                let operator = &mut self.operators[number];
                operator.renewed = operator.tried;
                if !operator.leads() {
                    let name = format!("op{number}-{}-{}", operator.epoch, operator.stretch);
                    operator.handle.lock().holder.clone_from(&name);
                    operator.run = Some(Box::pin(pass::lead(operator.side(), name.clone())));
                    self.log(|| format!("{name} leads"));
                    self.poll(number);
                }
            }
            Response::Held if self.operators[number].leads() => {
                self.log(|| format!("operator {number} has lost its lease"));
                self.stop_leading(number);
                self.operators[number].stretch += 1;
            }
            _ => {}
        }
    }

    /// A response of the API server arrives.
    pub fn responded(&mut self, number: usize, id: u32, response: Response) {
        if id == LEASE {
            if !matches!(response, Response::Deadline) {
                self.lease_answered(number, &response);
            }
            return;
        }
        {
            let handle = self.operators[number].side();
            let mut side = handle.lock();
            side.now = self.now;
            if !side.waits_for(id) {
                return;
            }
            side.came.insert(id, Came::Api(Box::new(response)));
        }
        self.poll(number);
    }

    /// Its sleep is over.
    pub fn woken(&mut self, number: usize, sleep: u32) {
        let handle = self.operators[number].side();
        {
            let mut side = handle.lock();
            side.now = self.now;
            if side.sleeping != Some(sleep) {
                return;
            }
            side.sleeping = None;
            side.came.insert(sleep, Came::Nothing);
        }
        self.poll(number);
    }

    /// A change arrives at its caches.
    pub fn cached(&mut self, number: usize, change: crate::cluster::api::Change) {
        let handle = self.operators[number].side();
        {
            let mut side = handle.lock();
            side.now = self.now;
            side.cache.apply(change);
            side.wake();
        }
        self.poll(number);
    }

    /// Runs its future as far as it can go now.
    pub fn poll(&mut self, number: usize) {
        let Some(mut run) = self.operators[number].run.take() else {
            return;
        };
        let handle = self.operators[number].side();
        let epoch = self.operators[number].epoch;
        loop {
            handle.lock().now = self.now;
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(()) = run.as_mut().poll(&mut context) {
                return;
            }
            let asks = {
                let mut side = handle.lock();
                if side.asks.is_empty() {
                    break;
                }
                std::mem::take(&mut side.asks)
            };
            for ask in asks {
                self.asked(number, epoch, &handle, ask);
            }
            if handle.lock().came.is_empty() {
                break;
            }
        }
        self.operators[number].run = Some(run);
    }

    fn asked(&mut self, number: usize, epoch: u32, handle: &Handle, ask: Ask) {
        match ask {
            Ask::Api(id, request) => {
                handle.lock().waits.push(id);
                self.request(number, id, request);
            }
            Ask::Call(ask, post, cid, verb) => self.call(number, handle, ask, post, cid, verb),
            Ask::Look(ask, post) => self.look(number, handle, ask, post),
            Ask::Open(post) => self.post_due(number, epoch, post, 0),
            Ask::Sleep(id, until) => self.schedule(until, Event::Wake(number, epoch, id)),
            Ask::Planned(planned) => self.planned(number, planned),
            Ask::Say(text) => self.log(|| format!("operator {number}: {text}")),
            Ask::Close(cid) => {
                debug_assert!(matches!(self.conns[cid as usize].who[0], Who::Operator(..)));
                self.close(cid, 0);
            }
        }
    }
}
