//! One stretch of an operator's leadership: its memory, its connections, and the plan that it is about to carry out.

use super::{Published, SLOTS, World};
use crate::canon::Doc;
use redis_operator_core::memory::Memory;
use redis_operator_core::plan::Step;
use redis_operator_core::record::Record;
use std::sync::Arc;

/// A held connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Connection {
    /// The process at its other end; 0: there is none.
    pub run: u16,
    /// The record was read since it was opened, and predecessors were cut off.
    pub attached: bool,
    /// The record was read since it was opened.
    pub read: bool,
}

/// Who answered last, and how it was guarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Last {
    /// Its run id; 0: nobody.
    pub run: u16,
    /// `min-replicas-to-write`.
    pub guard: u8,
    /// `min-replicas-max-lag`.
    pub lag: u8,
}

/// How an instance was found last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// It answered.
    Answered,
    /// It refused, since then.
    Refused(u64),
    /// No reply, and whether TCP accepts.
    Silent(bool),
}

/// A plan that is being carried out.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its steps.
    pub steps: Arc<[Arc<Doc<Step>>]>,
    /// The next one.
    pub at: u8,
}

/// One stretch of leadership.
#[derive(Clone, Debug)]
pub struct Op {
    /// Its name in the record.
    pub holder: u16,
    /// What it remembers.
    pub memory: Arc<Doc<Memory>>,
    /// The record as it read or wrote it last; none if it has to be read.
    pub known: Option<Arc<Doc<Record>>>,
    /// The record has to be read before anything else.
    pub must_read: bool,
    /// The slice as it read or wrote it last.
    pub slice: Published,
    /// Nobody answered to its last publication.
    pub in_doubt: bool,
    /// By place.
    pub connections: [Connection; SLOTS],
    /// By place: how it was found.
    pub found: [Found; SLOTS],
    /// By place: when something was heard last.
    pub heard: [u64; SLOTS],
    /// By place: the last answer.
    pub last: [Last; SLOTS],
    /// The plan.
    pub plan: Option<Held>,
}

impl Op {
    /// A connection is gone.
    pub fn close(&mut self, i: usize) {
        self.connections[i] = Connection::default();
    }

    /// A new pod: nothing is known of it.
    pub fn forget(&mut self, i: usize, now: u64) {
        (self.found[i], self.heard[i], self.last[i]) = (Found::Silent(false), now, Last::default());
    }

    /// The slice as it would write it, with the version that this replaces.
    pub fn writes(&self, target: u16) -> Published {
        Published {
            target,
            holder: self.holder,
            term: self.term(),
            ..self.slice
        }
    }

    /// Of the record as it knows it.
    pub fn term(&self) -> u64 {
        self.known.as_ref().map_or(0, |doc| doc.value.term)
    }

    /// The next step.
    pub fn next(&self) -> Option<&Step> {
        let held = self.plan.as_ref()?;
        held.steps.get(usize::from(held.at)).map(|doc| &doc.value)
    }

    /// The step is behind it, or the plan is given up.
    pub fn advance(&mut self, goes_on: bool) {
        let Some(held) = &mut self.plan else { return };
        held.at += 1;
        if !goes_on || usize::from(held.at) >= held.steps.len() {
            self.plan = None;
        }
    }
}

impl World {
    /// A new operator process, or a new stretch of leadership, with nothing in memory.
    pub fn lead(&mut self, k: usize) {
        let holder = self.draw();
        let now = self.now;
        self.ops[k] = Some(Op {
            holder,
            memory: Doc::new(Memory::default()),
            known: None,
            must_read: true,
            slice: self.slice,
            in_doubt: false,
            connections: [Connection::default(); SLOTS],
            found: [Found::Silent(false); SLOTS],
            heard: [now; SLOTS],
            last: [Last::default(); SLOTS],
            plan: None,
        });
        self.leader = u8::try_from(k).unwrap_or(0);
    }

    /// The operator's copy of the record is the stored one.
    pub fn is_fresh(&self, k: usize) -> bool {
        let known = self.ops[k].as_ref().and_then(|op| op.known.as_ref());
        match (known, &self.record) {
            (Some(a), Some(b)) => a.value.seq == b.value.seq,
            (None, None) => true,
            _ => false,
        }
    }
}
