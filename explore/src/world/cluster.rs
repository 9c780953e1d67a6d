//! Pods and what happens to them: kubelet, StatefulSet, faults.

use super::server::{Link, Proc};
use super::{ORPHAN, SLOTS, World};
use crate::config::{Config, Rule};
use std::sync::Arc;

/// What a process leaves on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Disk {
    /// The writes.
    pub data: u64,
    /// Id and offset.
    pub place: Option<(u16, u8)>,
}

/// What an ended process had sent, and its replicas have not received yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ghost {
    /// The process.
    pub run: u16,
    /// Its writes.
    pub data: u64,
    /// Its offset.
    pub offset: u8,
}

/// A pod whose object is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Gone {
    /// Its uid; 0: none.
    pub uid: u16,
    /// The container that its last status showed as terminated.
    pub ended: u16,
    /// When it was gone.
    pub noticed: u64,
    /// Its kubelet has outlived it.
    pub outlived: bool,
}

/// A pod, its container and the process in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Uid of the pod, which also is its address; 0: there is none.
    pub uid: u16,
    /// Ordinal.
    pub ordinal: u8,
    /// Resource version.
    pub version: u16,
    /// The `role` label.
    pub label: Option<&'static str>,
    /// It has a deletion timestamp.
    pub deleting: bool,
    /// The container that its status shows, by the process in it.
    pub shown: u16,
    /// The status shows that it runs.
    pub running: bool,
    /// The container that its status shows as terminated.
    pub ended: u16,
    /// The process.
    pub proc: Option<Proc>,
    /// What a restart finds.
    pub disk: Option<Disk>,
    /// What was in flight when it ended.
    pub ghost: Option<Ghost>,
    /// Clients know its address.
    pub published: bool,
    /// The number of the spec that it was made for.
    pub spec: u8,
}

impl Slot {
    /// No pod.
    pub fn none(ordinal: u8) -> Self {
        Self {
            uid: 0,
            ordinal,
            version: 0,
            label: None,
            deleting: false,
            shown: 0,
            running: false,
            ended: 0,
            proc: None,
            disk: None,
            ghost: None,
            published: false,
            spec: 0,
        }
    }

    /// The process that its status speaks of, and whether it runs, as they are.
    fn truth(&self) -> (u16, bool) {
        match &self.proc {
            Some(it) => (it.run, true),
            None => (self.shown, false),
        }
    }

    /// Its status does not say yet what is.
    pub fn status_is_late(&self) -> bool {
        self.uid != 0 && (self.shown, self.running) != self.truth()
    }
}

impl World {
    /// The StatefulSet makes a pod, and kubelet starts it.
    pub fn create(&mut self, i: usize, config: &Config) {
        let (uid, version) = (self.draw(), self.draw());
        *self.slot_mut(i) = Slot {
            uid,
            version,
            spec: self.spec,
            ..Slot::none(self.slots[i].ordinal)
        };
        self.forget_operators_of(i);
        self.start(i, config);
        self.show(i);
    }

    /// Kubelet starts the container: a new process with what the disk holds.
    pub fn start(&mut self, i: usize, config: &Config) {
        let (run, id) = (self.draw(), self.draw());
        let mut it = Proc::start(run, id);
        it.master = config.out(Rule::Fenced);
        if let Some(disk) = self.slot_mut(i).disk.take() {
            it.data = disk.data;
            if let Some((id, offset)) = disk.place {
                (it.id, it.offset, it.placed) = (id, offset, true);
            }
        }
        self.slot_mut(i).proc = Some(it);
    }

    /// The pod's status says what is.
    pub fn show(&mut self, i: usize) {
        let version = self.draw();
        let slot = self.slot_mut(i);
        let (run, running) = slot.truth();
        if !running || (slot.shown != run && slot.shown != 0) {
            slot.ended = slot.shown;
        }
        (slot.shown, slot.running, slot.version) = (run, running, version);
    }

    /// A process ends. Its peers hear of it if the network lets them; what it had sent may still arrive.
    pub fn end(&mut self, i: usize, keep: bool) {
        self.unlink(i);
        let Some(it) = self.slot_mut(i).proc.take() else { return };
        let place = it.placed.then_some((it.id, it.offset));
        self.slot_mut(i).disk = (keep && it.data != 0).then_some(Disk { data: it.data, place });
        let linked = |w: &Self, j: usize| w.proc(j).is_some_and(|p| p.source() == Some(it.run));
        let behind = |w: &Self, j: usize| w.proc(j).is_some_and(|p| p.is_linked() && p.offset < it.offset);
        let flight = (0..SLOTS).any(|j| linked(self, j) && it.acks[j] > 0 && behind(self, j));
        self.slot_mut(i).ghost = flight.then_some(Ghost {
            run: it.run,
            data: it.data,
            offset: it.offset,
        });
        for j in 0..SLOTS {
            if linked(self, j) && self.path(i, j) && !behind(self, j) {
                self.lose_link(j);
            }
        }
        for op in self.ops.iter_mut().flatten() {
            op.close(i);
        }
    }

    /// The replica's side of a link is down.
    pub fn lose_link(&mut self, j: usize) {
        let now = self.now;
        let it = self.proc_mut(j);
        it.link = match it.link {
            Link::Up(_) => Link::Down(Some(now)),
            Link::Syncing(_) => Link::Down(None),
            down @ Link::Down(_) => down,
        };
        it.stalled = None;
    }

    /// A pod's object is deleted by force; its process lives on where nobody looks, and its successor starts.
    pub fn force(&mut self, i: usize) {
        let free = self.gone.iter().position(|gone| gone.uid == 0).unwrap_or(0);
        self.gone[free] = Gone {
            uid: self.slots[i].uid,
            ended: self.slots[i].ended,
            noticed: self.now,
            outlived: false,
        };
        if self.slice.target == self.slots[i].uid {
            self.slice.exists = false;
            self.slice.target = 0;
            self.slice.version = self.draw();
        }
        let ordinal = self.slots[i].ordinal;
        self.slots[ORPHAN] = std::mem::replace(&mut self.slots[i], Arc::new(Slot::none(ordinal)));
        for j in 0..SLOTS {
            let moves = self.slot_mut(j).proc.as_mut();
            if let Some(it) = moves {
                it.acks[ORPHAN] = std::mem::take(&mut it.acks[i]);
                it.late[ORPHAN] = std::mem::take(&mut it.late[i]);
            }
        }
        self.forget_operators_of(i);
    }

    /// A pod ends in order and its object goes.
    pub fn vanish(&mut self, i: usize) {
        self.end(i, false);
        let run = self.slots[i].shown;
        let free = self.gone.iter().position(|gone| gone.uid == 0).unwrap_or(0);
        self.gone[free] = Gone {
            uid: self.slots[i].uid,
            ended: run,
            noticed: self.now,
            outlived: false,
        };
        if self.slice.target == self.slots[i].uid {
            (self.slice.exists, self.slice.target, self.slice.version) = (false, 0, self.draw());
        }
        let ordinal = self.slots[i].ordinal;
        *self.slot_mut(i) = Slot::none(ordinal);
        self.forget_operators_of(i);
    }

    fn forget_operators_of(&mut self, i: usize) {
        let now = self.now;
        for op in self.ops.iter_mut().flatten() {
            op.close(i);
            op.forget(i, now);
        }
    }
}
