//! How operators hold connections: opened, then the record read, then predecessors cut off, then used.

use super::operator::{Connection, Found, Last};
use super::{PODS, Way, World};
use crate::config::{Config, Rule};

impl World {
    /// Where an operator can open a connection now.
    fn openable(&self, k: usize, i: usize) -> bool {
        let fine = i < PODS && self.proc(i).is_some_and(|it| !it.hung) && self.ways[k][i] == Way::Open;
        fine && self.ops[k].as_ref().is_some_and(|op| op.connections[i].run == 0)
    }

    /// An operator has connections to open, or to attach, before it may use them.
    pub fn has_news(&self, k: usize) -> bool {
        let waits = |op: &super::Op| op.connections.iter().any(|it| it.run != 0 && !it.attached && !it.read);
        (0..PODS).any(|i| self.openable(k, i)) || self.ops[k].as_ref().is_some_and(waits)
    }

    /// An operator opens connections, then reads the record.
    pub fn read(&mut self, k: usize, config: &Config) {
        self.open(k);
        let unread = self.ops[k].as_ref().is_some_and(|op| op.must_read);
        if unread || !config.out(Rule::ReadFirst) {
            self.refresh(k);
        }
        let Some(op) = self.ops[k].as_mut() else { return };
        for it in op.connections.iter_mut().filter(|it| it.run != 0) {
            it.read = true;
        }
    }

    pub(super) fn open(&mut self, k: usize) {
        for i in 0..PODS {
            if self.openable(k, i) {
                let run = self.proc(i).map_or(0, |it| it.run);
                let Some(op) = self.ops[k].as_mut() else { return };
                op.connections[i] = Connection {
                    run,
                    attached: false,
                    read: false,
                };
            }
        }
    }

    /// The record is read with a quorum.
    pub(super) fn refresh(&mut self, k: usize) {
        let record = self.record.clone();
        let Some(op) = self.ops[k].as_mut() else { return };
        (op.known, op.must_read) = (record, false);
    }

    pub(super) fn attach_all(&mut self, k: usize, config: &Config) {
        for i in 0..PODS {
            let reached = self.ways[k][i] == Way::Open && self.proc(i).is_some_and(|it| !it.hung);
            let Some(op) = self.ops[k].as_mut() else { return };
            let it = &mut op.connections[i];
            if it.run == 0 || it.attached || !reached || !it.read {
                continue;
            }
            it.attached = true;
            if !config.out(Rule::CutPredecessors)
                && let Some(other) = self.ops[1 - k].as_mut()
            {
                other.close(i);
            }
        }
    }

    /// Updates how an operator finds every instance now; its watch does so all the time.
    pub fn look(&mut self, k: usize) {
        for i in 0..PODS {
            let way = self.ways[k][i];
            let now = self.now;
            let state = self.proc(i).map(|it| (it.run, it.hung));
            let last = self.proc(i).map(|it| Last {
                run: it.run,
                guard: it.guard,
                lag: it.lag,
            });
            let Some(op) = self.ops[k].as_mut() else { return };
            let refused = match op.found[i] {
                Found::Refused(since) => Found::Refused(since),
                _ => Found::Refused(now),
            };
            op.found[i] = match (way, state) {
                (Way::Cut | Way::Mute, _) => Found::Silent(false),
                (Way::Reject, _) | (Way::Open, None) => refused,
                (Way::Open, Some((_, true))) => Found::Silent(true),
                (Way::Open, Some((run, false))) if op.connections[i].run == run => Found::Answered,
                (Way::Open, Some(_)) => match op.found[i] {
                    Found::Answered => Found::Silent(false),
                    found => found,
                },
            };
            if op.found[i] == Found::Answered {
                op.heard[i] = now;
                op.last[i] = last.unwrap_or_default();
            }
        }
    }

    /// The watches of all operators, just before time passes.
    pub fn hear(&mut self) {
        self.look(0);
        self.look(1);
    }
}
