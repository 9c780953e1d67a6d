//! Replication between processes, and clients that write and wait.

use super::server::{Link, count, first, position};
use super::{SLOTS, World};
use crate::canon::number;
use crate::config::{Config, Rule};

/// `repl-timeout`, in microseconds.
const REPL_TIMEOUT: u64 = 10_000_000;

impl World {
    /// j closes its link; its source notices if the network lets it.
    pub fn unlink(&mut self, j: usize) {
        let Some(source) = self.proc(j).and_then(|it| it.source()) else {
            return;
        };
        if let Some(m) = self.run(source).filter(|m| self.path(j, *m)) {
            self.proc_mut(m).acks[j] = 0;
        }
        self.lose_link(j);
    }

    /// The replicas of an instance lose their links, as far as they hear of it.
    pub fn hang_up(&mut self, m: usize) {
        let Some(run) = self.proc(m).map(|it| it.run) else {
            return;
        };
        self.proc_mut(m).acks = [0; SLOTS];
        for j in 0..SLOTS {
            if self.proc(j).is_some_and(|it| it.source() == Some(run)) && self.path(m, j) {
                self.lose_link(j);
            }
        }
    }

    /// REPLICAOF: id and offset survive, also those of a master.
    pub fn follow(&mut self, j: usize, host: u16) {
        let it = &self.slots[j].proc;
        if it
            .as_ref()
            .is_none_or(|it| !it.master && it.host == host && it.source().is_some())
        {
            return;
        }
        self.unlink(j);
        let was_master = self.proc(j).is_some_and(|it| it.master);
        if was_master || self.proc(j).is_some_and(|it| it.host != host) {
            self.hang_up(j);
        }
        let it = self.proc_mut(j);
        if was_master {
            (it.master, it.placed, it.link) = (false, true, Link::Down(None));
            it.promoted = false;
        }
        it.host = host;
    }

    /// REPLICAOF NO ONE.
    pub fn become_master(&mut self, j: usize) {
        let Some(it) = self.proc(j) else { return };
        if it.master {
            self.proc_mut(j).promoted = true;
            return;
        }
        self.unlink(j);
        self.hang_up(j);
        let id = self.draw();
        let it = self.proc_mut(j);
        it.forked = it.offset;
        it.id2 = std::mem::replace(&mut it.id, id);
        (it.master, it.placed, it.link, it.host) = (true, true, Link::Down(None), 0);
        it.promoted = true;
    }

    /// Where a replica without a link can attach now.
    pub fn can_attach(&self, j: usize, config: &Config) -> Option<usize> {
        let it = self.proc(j).filter(|it| !it.master && !it.hung && it.host != 0)?;
        let m = self.at(it.host).filter(|m| *m != j)?;
        let feeds = |m: usize| self.proc(m).is_some_and(|p| !p.hung && (p.master || p.is_linked()));
        let known = self.proc(m).is_some_and(|p| it.user != 0 && p.users.contains(&it.user));
        let known = known || config.out(Rule::Users);
        let down = matches!(it.link, Link::Down(_));
        (down && feeds(m) && known && self.path(j, m) && self.path(m, j)).then_some(m)
    }

    /// A replica attaches: a partial resync, or a full one begins.
    pub fn attach(&mut self, j: usize, m: usize) {
        if self.proc(m).is_some_and(|it| it.master && !it.backlog) {
            let id = self.draw();
            let master = self.proc_mut(m);
            (master.id, master.id2, master.forked, master.backlog) = (id, 0, 0, true);
        }
        let Some(master) = self.proc(m).cloned() else { return };
        let Some(replica) = self.proc(j) else { return };
        let (partial, renamed) = (replica.continues(&master), replica.id != master.id);
        if !partial || renamed {
            self.hang_up(j);
        }
        let it = self.proc_mut(j);
        if partial {
            it.link = Link::Up(master.run);
            if renamed {
                (it.id2, it.forked, it.id) = (it.id, it.offset, master.id);
            }
            it.backlog = true;
            let acked = 1 + it.offset;
            self.proc_mut(m).acks[j] = acked;
        } else {
            it.placed = false;
            it.link = Link::Syncing(master.run);
        }
        self.proc_mut(m).late[j] = false;
    }

    /// The process from which a full sync can end now.
    pub fn can_sync(&self, j: usize) -> Option<usize> {
        let it = self.proc(j).filter(|it| !it.hung)?;
        let Link::Syncing(run) = it.link else { return None };
        let m = self.run(run)?;
        let feeds = self.proc(m).is_some_and(|p| !p.hung && (p.master || p.is_linked()));
        (feeds && self.path(j, m) && self.path(m, j)).then_some(m)
    }

    /// A full sync ends.
    pub fn sync(&mut self, j: usize, m: usize) {
        let Some(master) = self.proc(m).cloned() else { return };
        let it = self.proc_mut(j);
        (it.link, it.backlog, it.placed) = (Link::Up(master.run), true, true);
        (it.data, it.offset, it.id, it.id2, it.forked) = (master.data, master.offset, master.id, 0, 0);
        self.proc_mut(m).acks[j] = 1 + master.offset;
    }

    /// The next write that a replica can receive, with the writes that it has then.
    pub fn can_receive(&self, j: usize) -> Option<u64> {
        let it = self.proc(j).filter(|it| !it.hung)?;
        let Link::Up(run) = it.link else { return None };
        let (data, offset) = match self.run(run) {
            Some(m) => {
                let master = self.proc(m).filter(|p| p.acks[j] > 0 && self.path(m, j))?;
                (master.data, master.offset)
            }
            None => {
                let m = (0..SLOTS).find(|m| self.slots[*m].ghost.is_some_and(|ghost| ghost.run == run))?;
                let ghost = self.slots[m].ghost.filter(|_| self.path(m, j))?;
                (ghost.data, ghost.offset)
            }
        };
        (it.offset < offset).then(|| first(data, count(data) - (offset - it.offset) + 1))
    }

    /// Its link is broken, and the network lets it know.
    pub fn can_notice(&self, j: usize) -> bool {
        let Some(it) = self.proc(j).filter(|it| !it.hung) else {
            return false;
        };
        match it.source().map(|run| (run, self.run(run))) {
            None => false,
            Some((_, Some(m))) => {
                let attached = it.is_linked() && self.proc(m).is_some_and(|p| p.acks[j] > 0);
                let syncing =
                    matches!(it.link, Link::Syncing(_)) && self.proc(m).is_some_and(|p| p.master || p.is_linked());
                !attached && !syncing && self.path(m, j)
            }
            Some((run, None)) => {
                let m = (0..SLOTS).find(|m| self.slots[*m].ghost.is_some_and(|ghost| ghost.run == run));
                m.is_none_or(|m| self.path(m, j))
            }
        }
    }

    /// What happens at once after every action: acknowledgements arrive, WAIT returns, silence begins.
    pub fn settle(&mut self) {
        for j in 0..SLOTS {
            self.acknowledge(j);
            let silent = self.proc(j).and_then(|it| it.source()).is_some_and(|run| {
                self.run(run)
                    .is_none_or(|m| self.proc(m).is_none_or(|p| p.hung) || !self.path(m, j))
            });
            let now = self.now;
            if self.proc(j).is_some_and(|it| it.stalled.is_some() != silent) {
                self.proc_mut(j).stalled = silent.then_some(now);
            }
            let run = self.slots[j].ghost.map(|ghost| ghost.run);
            if run.is_some_and(|run| !(0..SLOTS).any(|k| self.proc(k).is_some_and(|p| p.source() == Some(run)))) {
                self.slot_mut(j).ghost = None;
            }
        }
        let named = self.recorded().and_then(|record| {
            let master = record.master.as_ref()?;
            Some((number(&master.run_id), u8::try_from(record.quorum).unwrap_or(u8::MAX)))
        });
        let mut waited = 0;
        for m in 0..SLOTS {
            // of a master that was replaced it says nothing: what is asked there is the last one that was meant for it
            let quorum = match (self.proc(m), named) {
                (Some(it), Some((run, quorum))) if it.master && it.run == run => quorum,
                (Some(it), _) if it.master => it.quorum,
                _ => 0,
            };
            if self.proc(m).is_some_and(|it| it.quorum != quorum) {
                self.proc_mut(m).quorum = quorum;
            }
            let Some(it) = self.proc(m).filter(|it| !it.hung && quorum > 0) else {
                continue;
            };
            for write in (1..=self.writes).filter(|w| it.took >> w & 1 == 1) {
                let at = position(it.data, write).map(|at| at + it.offset - count(it.data));
                let got = it.acks.iter().filter(|ack| at.is_some_and(|at| **ack > at)).count();
                if got >= usize::from(quorum) {
                    waited |= 1 << write;
                }
            }
        }
        self.waited |= waited;
    }

    fn acknowledge(&mut self, j: usize) {
        let Some(it) = self.proc(j).filter(|it| !it.hung) else {
            return;
        };
        let (Link::Up(run), offset) = (it.link, it.offset) else {
            return;
        };
        let Some(m) = self.run(run).filter(|m| self.path(j, *m)) else {
            return;
        };
        let late = |it: &super::Proc| it.acks[j] > 0 && (it.acks[j], it.late[j]) != (1 + offset, false);
        if self.proc(m).is_some_and(|it| !it.hung && late(it)) {
            let master = self.proc_mut(m);
            (master.acks[j], master.late[j]) = (1 + offset, false);
        }
    }

    /// A client can write to it.
    pub fn can_write(&self, i: usize) -> bool {
        let Some(it) = self.proc(i).filter(|it| it.master && !it.hung && !it.paused) else {
            return false;
        };
        let good = (0..SLOTS).filter(|j| it.acks[*j] > 0 && !it.late[*j]).count();
        self.slots[i].published && good >= usize::from(it.guard)
    }

    /// A client writes.
    pub fn write(&mut self, i: usize) {
        self.writes += 1;
        let write = self.writes;
        let it = self.proc_mut(i);
        it.data = it.data << 4 | u64::from(write);
        it.offset += 1;
        it.took |= 1 << write;
        if !it.promoted {
            self.broken = Some("UNFENCED: a process that nobody promoted took a write");
        }
        self.plain |= 1 << write;
    }

    /// Time passes: whoever hears nothing is late, then gives up.
    pub fn tick(&mut self, time: u64) {
        self.hear();
        self.now += time;
        let now = self.now;
        for j in 0..SLOTS {
            // every tick is longer than a pause
            if self.proc(j).is_some_and(|it| it.paused) {
                self.proc_mut(j).paused = false;
            }
            let over = |since: u64| now.saturating_sub(since) >= REPL_TIMEOUT;
            if self.proc(j).is_some_and(|it| !it.hung && it.stalled.is_some_and(over)) {
                self.unlink(j);
            }
        }
        for m in 0..SLOTS {
            let Some(run) = self.proc(m).filter(|it| !it.hung).map(|it| it.run) else {
                continue;
            };
            for j in 0..SLOTS {
                let speaks = self.proc(j).is_some_and(|it| !it.hung && it.link == Link::Up(run)) && self.path(j, m);
                if speaks || self.proc(m).is_some_and(|it| it.acks[j] == 0) {
                    continue;
                }
                let it = self.proc_mut(m);
                it.late[j] = true;
                if time >= REPL_TIMEOUT {
                    it.acks[j] = 0;
                }
            }
        }
    }
}
