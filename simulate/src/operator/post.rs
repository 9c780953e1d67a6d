//! The post at one instance: the operator's own state machine, moved by simulated connections.

use super::side::{Ask, Came, Handle, Line, Side};
use crate::event::Event;
use crate::message::{Message, Outcome, Verb};
use crate::network::{Cid, Who};
use crate::world::{Time, World};
use redis_operator::redis::{CallError, OpenError};
use redis_operator::watch::state::State;
use redis_operator_core::observed::{Moment, Reach};
use std::sync::Arc;

/// Time from one attempt to connect to the next, as in the operator's watch.
const RETRY: Time = 100_000;
/// `--call-limit`.
const LIMIT: Time = 500_000;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// To open the connection.
    Open,
    /// The watch's own probe.
    Hold,
    /// A pass looks.
    Look(u32),
    /// A pass calls.
    Pass(u32),
}

/// One instance under watch.
pub(super) struct Post {
    pub(super) number: u32,
    pub(super) uid: String,
    pub(super) address: u8,
    pub(super) state: State<Line>,
    line: Option<Arc<Line>>,
    opening: Option<Cid>,
    begun: Time,
    calls: Vec<(u32, For, Cid, Moment)>,
    lookers: Vec<(u32, Option<Arc<Line>>)>,
}

impl Post {
    pub(super) fn new(number: u32, uid: String, address: u8) -> Self {
        Self {
            number,
            uid,
            address,
            state: State::new(),
            line: None,
            opening: None,
            begun: 0,
            calls: vec![],
            lookers: vec![],
        }
    }

    /// Connections that are open.
    pub(super) fn cids(&self) -> impl Iterator<Item = Cid> {
        self.line.iter().map(|line| line.cid).chain(self.opening)
    }

    /// Looks that can be answered now.
    fn settled(&mut self) -> Vec<u32> {
        let state = &self.state;
        let (settled, waiting): (Vec<_>, Vec<_>) = self
            .lookers
            .drain(..)
            .partition(|(_, line)| state.is_settled(line.as_ref()));
        self.lookers = waiting;
        settled.into_iter().map(|(look, _)| look).collect()
    }
}

fn post(side: &mut Side, number: u32) -> Option<&mut Post> {
    side.posts.values_mut().find(|post| post.number == number)
}

impl World {
    /// A post begins to open a connection, or asks what it holds.
    pub fn post_due(&mut self, operator: usize, epoch: u32, number: u32, line: u32) {
        let handle = self.operators[operator].side();
        let mut side = handle.lock();
        let now = side.moment();
        let Some(post) = post(&mut side, number) else { return };
        match &post.line {
            None if post.opening.is_none() => {
                post.begun = self.now;
                post.state.trying(now);
                let to = post.address;
                let from = self.operators[operator].place();
                let cid = self.connect(Who::Operator(operator, epoch), from, to, Message::HelloOperator);
                post.opening = Some(cid);
                drop(side);
                self.expect(operator, &handle, number, For::Open, cid);
            }
            Some(held) if held.cid == line => {
                let cid = held.cid;
                drop(side);
                self.probe(operator, &handle, number, For::Hold, cid);
            }
            _ => {}
        }
    }

    fn expect(&mut self, operator: usize, handle: &Handle, number: u32, what: For, cid: Cid) -> Option<u32> {
        let mut side = handle.lock();
        let (call, now) = (side.number(), side.moment());
        post(&mut side, number)?.calls.push((call, what, cid, now));
        let epoch = self.operators[operator].epoch;
        self.schedule(self.now + LIMIT, Event::NoReply(operator, epoch, call));
        Some(call)
    }

    fn probe(&mut self, operator: usize, handle: &Handle, number: u32, what: For, cid: Cid) {
        if let Some(call) = self.expect(operator, handle, number, what, cid) {
            self.send(cid, 0, Message::Call(call, Box::new(Verb::Probe)));
        }
    }

    /// A pass calls.
    pub(super) fn call(&mut self, operator: usize, handle: &Handle, ask: u32, number: u32, cid: Cid, verb: Verb) {
        let open = {
            let mut side = handle.lock();
            let held = post(&mut side, number).and_then(|post| post.line.clone());
            held.is_some_and(|line| line.cid == cid)
        };
        if !open {
            handle
                .lock()
                .came
                .insert(ask, Came::Call(Box::new(Err(CallError::Closed))));
            return;
        }
        if let Some(call) = self.expect(operator, handle, number, For::Pass(ask), cid) {
            self.send(cid, 0, Message::Call(call, Box::new(verb)));
        }
    }

    /// A pass looks.
    pub(super) fn look(&mut self, operator: usize, handle: &Handle, ask: u32, number: u32) {
        let line = {
            let mut side = handle.lock();
            let Some(post) = post(&mut side, number) else {
                side.came.insert(ask, Came::Nothing);
                return;
            };
            if let Some(line) = &post.line {
                Some(line.cid)
            } else {
                post.lookers.push((ask, None));
                for look in post.settled() {
                    side.came.insert(look, Came::Nothing);
                }
                None
            }
        };
        match line {
            Some(cid) => self.probe(operator, handle, number, For::Look(ask), cid),
            None => {
                let epoch = self.operators[operator].epoch;
                self.schedule(self.now + LIMIT, Event::NoReply(operator, epoch, ask));
            }
        }
    }

    /// Something arrives on a connection of an operator.
    pub fn operator_receives(&mut self, operator: usize, epoch: u32, cid: Cid, message: Message) {
        if self.operators[operator].epoch != epoch || !self.operators[operator].alive {
            return;
        }
        if self.operators[operator].paused {
            self.operators[operator].missed.push(Event::Deliver(cid, 0, message));
            return;
        }
        let handle = self.operators[operator].side();
        let found = {
            let mut side = handle.lock();
            side.now = self.now;
            let found = side.posts.values().find(|post| post.cids().any(|other| other == cid));
            found.map(|post| (post.number, post.opening == Some(cid)))
        };
        let Some((number, opening)) = found else {
            if message == Message::Closed {
                self.conns[cid as usize].open[0] = false;
            }
            return;
        };
        match message {
            Message::Welcome if opening => self.opened(operator, &handle, number, cid),
            Message::Closed => {
                self.conns[cid as usize].open[0] = false;
                if opening {
                    let error = if self.conns[cid as usize].refused {
                        OpenError::Refused
                    } else {
                        OpenError::Hung
                    };
                    self.not_opened(operator, &handle, number, &error);
                } else {
                    self.line_gone(operator, &handle, number, cid);
                }
            }
            Message::Reply(call, outcome) => self.replied(operator, &handle, number, call, *outcome),
            _ => {}
        }
        self.poll(operator);
    }

    fn opened(&mut self, operator: usize, handle: &Handle, number: u32, cid: Cid) {
        {
            let mut side = handle.lock();
            let now = side.moment();
            let Some(post) = post(&mut side, number) else { return };
            post.calls.retain(|(_, what, _, _)| *what != For::Open);
            post.opening = None;
            let line = Arc::new(Line::new(cid));
            post.line = Some(Arc::clone(&line));
            post.state.opened(line, now);
        }
        self.probe(operator, handle, number, For::Hold, cid);
    }

    fn not_opened(&mut self, operator: usize, handle: &Handle, number: u32, error: &OpenError) {
        let mut side = handle.lock();
        let now = side.moment();
        let Some(post) = post(&mut side, number) else { return };
        post.calls.retain(|(_, what, _, _)| *what != For::Open);
        post.opening = None;
        let news = post.state.not_opened(error, now);
        let looks = post.settled();
        let begun = post.begun;
        let alive = matches!(post.state.reach(), Reach::Alive(_));
        for look in looks {
            side.came.insert(look, Came::Nothing);
        }
        if news {
            side.wake();
        }
        drop(side);
        self.again(operator, number, begun, alive);
    }

    fn again(&mut self, operator: usize, number: u32, begun: Time, alive: bool) {
        let pause = if alive { self.settings.probe_every } else { RETRY };
        let (at, epoch) = ((begun + pause).max(self.now), self.operators[operator].epoch);
        self.schedule(at, Event::Post(operator, epoch, number, 0));
    }

    /// The connection broke, or was given up: its calls fail, the post opens it again.
    fn line_gone(&mut self, operator: usize, handle: &Handle, number: u32, cid: Cid) {
        let mut side = handle.lock();
        let Some(post) = post(&mut side, number) else { return };
        let Some(line) = post.line.take_if(|line| line.cid == cid) else {
            return;
        };
        line.shut();
        let calls: Vec<_> = post.calls.extract_if(.., |(_, _, over, _)| *over == cid).collect();
        let news = post.state.broke(&line);
        for (_, what, _, _) in &calls {
            if let For::Look(look) = what {
                post.lookers.push((*look, Some(Arc::clone(&line))));
            }
        }
        let looks = post.settled();
        let (begun, alive) = (post.begun, matches!(post.state.reach(), Reach::Alive(_)));
        let waiting: Vec<_> = post.lookers.iter().map(|(look, _)| *look).collect();
        for look in looks {
            side.came.insert(look, Came::Nothing);
        }
        for (_, what, _, _) in calls {
            if let For::Pass(ask) = what {
                side.came.insert(ask, Came::Call(Box::new(Err(CallError::Closed))));
            }
        }
        if news {
            side.wake();
        }
        drop(side);
        let epoch = self.operators[operator].epoch;
        for look in waiting {
            self.schedule(self.now + LIMIT, Event::NoReply(operator, epoch, look));
        }
        self.again(operator, number, begun, alive);
    }

    fn replied(&mut self, operator: usize, handle: &Handle, number: u32, call: u32, outcome: Outcome) {
        let mut side = handle.lock();
        let now = side.moment();
        let Some(post) = post(&mut side, number) else { return };
        let Some(at) = post.calls.iter().position(|(other, ..)| *other == call) else {
            return;
        };
        let (_, what, cid, asked) = post.calls.remove(at);
        let Some(line) = post.line.clone().filter(|line| line.cid == cid) else {
            return;
        };
        let note = |post: &mut Post, outcome: Outcome| match outcome {
            Ok(Some(mut answer)) => {
                answer.asked = asked;
                post.state.answered(&line, answer, now)
            }
            Ok(None) => false,
            Err(error) => post.state.failed(&line, &error, now),
        };
        match what {
            For::Pass(ask) => {
                side.came.insert(ask, Came::Call(Box::new(outcome)));
            }
            For::Hold => {
                let news = note(post, outcome);
                let looks = post.settled();
                for look in looks {
                    side.came.insert(look, Came::Nothing);
                }
                if news {
                    side.wake();
                }
                let (at, epoch) = (self.now + self.settings.probe_every, self.operators[operator].epoch);
                self.schedule(at, Event::Post(operator, epoch, number, cid));
            }
            For::Look(look) => {
                note(post, outcome);
                side.came.insert(look, Came::Nothing);
            }
            For::Open => {}
        }
    }

    /// No reply in time: the connection is given up, and what was sent over it may still run.
    pub fn no_reply(&mut self, operator: usize, epoch: u32, call: u32) {
        let handle = self.operators[operator].side();
        let mut side = handle.lock();
        side.now = self.now;
        let now = side.moment();
        let looks = side.posts.values_mut().find_map(|post| {
            let at = post.lookers.iter().position(|(look, _)| *look == call)?;
            Some(post.lookers.remove(at))
        });
        if looks.is_some() {
            side.came.insert(call, Came::Nothing);
            drop(side);
            return self.poll(operator);
        }
        let found = side.posts.values_mut().find_map(|post| {
            let at = post.calls.iter().position(|(other, ..)| *other == call)?;
            let (_, what, cid, _) = post.calls.remove(at);
            Some((post.number, what, cid))
        });
        let Some((number, what, cid)) = found else { return };
        if what == For::Open {
            drop(side);
            let error = if self.conns[cid as usize].accepted {
                OpenError::Hung
            } else {
                OpenError::Unreachable(String::new())
            };
            self.close(cid, 0);
            self.not_opened(operator, &handle, number, &error);
            return self.poll(operator);
        }
        let Some(post) = post(&mut side, number) else { return };
        let line = post.line.clone().filter(|line| line.cid == cid);
        if let Some(line) = &line {
            line.shut();
            let news = post.state.failed(line, &CallError::TimedOut, now);
            if news && !matches!(what, For::Look(_)) {
                side.wake();
            }
        }
        match what {
            For::Look(look) => {
                side.came.insert(look, Came::Nothing);
            }
            For::Pass(ask) => {
                side.came.insert(ask, Came::Call(Box::new(Err(CallError::TimedOut))));
            }
            For::Hold | For::Open => {}
        }
        drop(side);
        let _ = epoch;
        self.close(cid, 0);
        self.line_gone(operator, &handle, number, cid);
        self.poll(operator);
    }
}

/// Posts for these instances and no others; what is asked of the world goes into `asks`.
pub(super) fn set_targets(side: &mut Side, targets: &[(String, u8)]) {
    let gone: Vec<_> = side
        .posts
        .iter()
        .filter(|(uid, post)| {
            !targets
                .iter()
                .any(|(other, address)| other == *uid && *address == post.address)
        })
        .map(|(uid, _)| uid.clone())
        .collect();
    for uid in gone {
        if let Some(post) = side.posts.remove(&uid) {
            let cids: Vec<_> = post.cids().collect();
            side.asks.extend(cids.into_iter().map(Ask::Close));
        }
    }
    for (uid, address) in targets {
        if !side.posts.contains_key(uid) {
            let number = side.number();
            side.posts.insert(uid.clone(), Post::new(number, uid.clone(), *address));
            side.asks.push(Ask::Open(number));
        }
    }
}
