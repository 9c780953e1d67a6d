//! A small world: processes, pods, replication, the record, the slice, two operators at most.
//!
//! It holds no rule of the protocol. It does what a step says, as redis 7.0 was measured to do it and as the API server
//! does; everything that is decided is decided by the core.

mod act;
mod actions;
mod cluster;
mod connect;
mod flow;
mod observe;
mod operator;
mod print;
mod server;
mod step;

pub use actions::{Action, CUTS};
pub use cluster::{Disk, Ghost, Gone, Slot};
pub use operator::{Held, Op};
pub use server::{Link, Proc};

use crate::canon::Doc;
use crate::config::Config;
use redis_operator_core::record::{Process, Record};
use std::sync::Arc;

/// Pods, at most.
pub const PODS: usize = 4;
/// The place of a process without a pod object.
pub const ORPHAN: usize = PODS;
/// Places for processes: one a pod, and one for a process whose pod object is gone.
pub const SLOTS: usize = PODS + 1;

/// What stands between two ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Way {
    /// Nothing.
    #[default]
    Open,
    /// Nothing arrives in either direction.
    Cut,
    /// Commands arrive, replies do not.
    Mute,
    /// A firewall rejects connections.
    Reject,
}

/// The master's slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Published {
    /// It exists.
    pub exists: bool,
    /// Uid of the pod that it names; 0: nobody.
    pub target: u16,
    /// The holder that wrote it last.
    pub holder: u16,
    /// The term in which that was.
    pub term: u64,
    /// Its resource version.
    pub version: u16,
}

/// A publication on its way.
#[derive(Clone, Debug)]
pub struct HeldUp {
    /// Whom it names.
    pub master: Process,
    /// The slice as it would be, with the version that it replaces.
    pub slice: Published,
}

/// The world at one moment.
#[derive(Clone, Debug)]
pub struct World {
    /// Processes and pods.
    pub slots: [Arc<Slot>; SLOTS],
    /// `status.record`.
    pub record: Option<Arc<Doc<Record>>>,
    /// The slice.
    pub slice: Published,
    /// A publication that nobody answered, and that arrives unless the slice is written first.
    pub held_up: Option<HeldUp>,
    /// There may be one yet.
    pub may_hold_up: bool,
    /// Pods that the user wants.
    pub wanted: u8,
    /// The number of the spec that the user wants.
    pub spec: u8,
    /// The user has asked for another master.
    pub asked: bool,
    /// Who wrote the StatefulSet last.
    pub set_holder: u16,
    /// Operators, and which of them has the lease.
    pub ops: [Option<Op>; 2],
    /// Index of the one that has the lease.
    pub leader: u8,
    /// From one instance to another nothing arrives.
    pub cut: [[bool; SLOTS]; SLOTS],
    /// Between operators and instances.
    pub ways: [[Way; SLOTS]; 2],
    /// Pods whose objects are gone.
    pub gone: [Gone; 2],
    /// Microseconds.
    pub now: u64,
    /// Clients' writes so far.
    pub writes: u8,
    /// Those that a master acknowledged.
    pub plain: u16,
    /// Those that WAIT acknowledged with the E of that moment.
    pub waited: u16,
    /// Faults so far.
    pub faults: u8,
    /// Leases that changed hands.
    pub sessions: u8,
    /// Numbers drawn.
    pub drawn: u16,
    /// A step that must not happen happened.
    pub broken: Option<&'static str>,
}

impl World {
    /// A new number for a name.
    pub fn draw(&mut self) -> u16 {
        self.drawn += 1;
        self.drawn
    }

    /// Where the pod, or the process of a pod that is gone, with this uid is.
    pub fn at(&self, uid: u16) -> Option<usize> {
        (0..SLOTS).find(|i| uid != 0 && self.slots[*i].uid == uid)
    }

    /// Where this very process is.
    pub fn run(&self, run: u16) -> Option<usize> {
        (0..SLOTS).find(|i| self.slots[*i].proc.as_ref().is_some_and(|p| p.run == run))
    }

    /// A process that is there.
    pub fn proc(&self, i: usize) -> Option<&Proc> {
        self.slots[i].proc.as_ref()
    }

    /// A place, to change it.
    pub fn slot_mut(&mut self, i: usize) -> &mut Slot {
        Arc::make_mut(&mut self.slots[i])
    }

    /// A process that is there.
    pub fn proc_mut(&mut self, i: usize) -> &mut Proc {
        self.slot_mut(i).proc.as_mut().expect("the caller saw it")
    }

    /// What `from` sends to `to` arrives.
    pub fn path(&self, from: usize, to: usize) -> bool {
        !self.cut[from][to]
    }

    /// The present record.
    pub fn recorded(&self) -> Option<&Record> {
        self.record.as_ref().map(|doc| &doc.value)
    }

    /// Two worlds with the same fingerprint behave alike.
    pub fn fingerprint(&self, config: &Config) -> u64 {
        print::fingerprint(self, config)
    }
}
