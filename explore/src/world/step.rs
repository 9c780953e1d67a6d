//! What a step does to servers and API server: the mirror of `execute` and of the two traits behind it.

use super::{Way, World};
use crate::canon::{Doc, number};
use crate::config::{Config, Rule};
use redis_operator_core::names;
use redis_operator_core::plan::{Label, Step};
use redis_operator_core::record::{Phase, Process, Record};
use std::sync::Arc;

impl World {
    /// One operator does the next step of its plan. A step that fails ends the plan.
    pub fn step(&mut self, k: usize, config: &Config) -> bool {
        let Some(step) = self.ops[k].as_ref().and_then(|op| op.next().cloned()) else {
            return false;
        };
        let done = match &step {
            Step::Record(next) => self.write_record(k, next, config),
            Step::TouchSlice => self.write_slice(k, None, config),
            Step::Publish(master) => {
                let done = self.write_slice(k, Some(number(&master.uid)), config);
                if done && !self.is_named(master) {
                    self.broken = Some("PUBLISHED: one that the record does not name");
                }
                done
            }
            Step::Label {
                uid,
                resource_version,
                label,
                ..
            } => self.label(uid, resource_version, *label),
            Step::TouchPod {
                uid, resource_version, ..
            } => self.touch(uid, resource_version),
            Step::DeletePod {
                uid, resource_version, ..
            } => self.delete(uid, resource_version, config),
            command => self.command(k, command),
        };
        if let Some(op) = self.ops[k].as_mut() {
            op.advance(done);
        }
        done
    }

    /// A JSON patch with a test on seq.
    fn write_record(&mut self, k: usize, next: &Record, config: &Config) -> bool {
        let before = self.recorded();
        let free = before.map_or(0, |record| record.seq) + 1;
        if next.seq != free && (before.is_some() || next.seq != 1) && !config.out(Rule::Record) {
            if let Some(op) = self.ops[k].as_mut() {
                (op.must_read, op.known) = (true, None);
            }
            return false;
        }
        if before.is_some_and(|record| next.term < record.term) {
            self.broken = Some("the term of the record fell");
        }
        let doc = Doc::new(next.clone());
        self.record = Some(Arc::clone(&doc));
        if let Some(op) = self.ops[k].as_mut() {
            (op.must_read, op.known) = (false, Some(doc));
        }
        true
    }

    /// A replacement with the version that was read.
    fn write_slice(&mut self, k: usize, target: Option<u16>, config: &Config) -> bool {
        let Some(op) = self.ops[k].as_ref() else { return false };
        if op.slice.version != self.slice.version && !config.out(Rule::Slice) {
            return false;
        }
        self.put_slice(op.writes(target.unwrap_or(self.slice.target)));
        let slice = self.slice;
        if let Some(op) = self.ops[k].as_mut() {
            (op.slice, op.in_doubt) = (slice, false);
        }
        true
    }

    /// The API server takes it. Owned by its pod: without that it is collected at once.
    fn put_slice(&mut self, slice: super::Published) {
        let owner = self.at(slice.target).filter(|i| *i < super::PODS);
        self.slice = super::Published {
            exists: true,
            target: owner.map_or(0, |_| slice.target),
            version: self.draw(),
            ..slice
        };
        if let Some(i) = owner {
            self.slot_mut(i).published = true;
        }
    }

    /// Whom the leader's next step publishes.
    pub fn publishes(&self) -> Option<&Process> {
        match self.ops[usize::from(self.leader)].as_ref()?.next()? {
            Step::Publish(master) => Some(master),
            _ => None,
        }
    }

    /// The leader's publication is not answered; everything is read again.
    pub fn hold_up(&mut self, config: &Config) {
        let master = self.publishes().cloned();
        let Some((op, master)) = self.ops[usize::from(self.leader)].as_mut().zip(master) else {
            return;
        };
        let slice = op.writes(number(&master.uid));
        (op.in_doubt, op.must_read) = (!config.out(Rule::Doubt), true);
        op.advance(false);
        self.held_up = Some(super::HeldUp { master, slice });
        self.may_hold_up = false;
    }

    /// What was held up is served.
    pub fn arrive(&mut self) {
        let Some(super::HeldUp { master, slice }) = self.held_up.take() else {
            return;
        };
        if !self.is_named(&master) {
            self.broken = Some("PUBLISHED: one that the record does not name");
        }
        self.put_slice(slice);
    }

    /// The record names it as the one to publish.
    fn is_named(&self, who: &Process) -> bool {
        let named = self.recorded().and_then(|record| match record.phase {
            Phase::Promoting => record.claim.as_ref().map(|claim| &claim.process),
            _ => record.master.as_ref(),
        });
        named.is_some_and(|named| named.is(who))
    }

    fn label(&mut self, uid: &str, version: &str, label: Label) -> bool {
        let Some(i) = self.as_seen(uid, version) else {
            return false;
        };
        self.slot_mut(i).label = match label {
            Label::Master => Some(names::ROLE_MASTER),
            Label::Replica => Some(names::ROLE_REPLICA),
            Label::None => None,
        };
        self.slot_mut(i).version = self.draw();
        true
    }

    fn touch(&mut self, uid: &str, version: &str) -> bool {
        let seen = self.as_seen(uid, version);
        if let Some(i) = seen {
            self.slot_mut(i).version = self.draw();
        }
        seen.is_some()
    }

    fn delete(&mut self, uid: &str, version: &str, config: &Config) -> bool {
        let late = config.out(Rule::Delete).then(|| self.at(number(uid))).flatten();
        let Some(i) = self.as_seen(uid, version).or(late) else {
            return false;
        };
        let master = self.recorded().and_then(|record| record.master.as_ref());
        if master.is_some_and(|master| number(&master.uid) == self.slots[i].uid) {
            self.broken = Some("DELETED: the pod of the recorded master");
        }
        self.vanish(i);
        true
    }

    fn as_seen(&self, uid: &str, version: &str) -> Option<usize> {
        let i = self.at(number(uid)).filter(|i| *i < super::PODS)?;
        (self.slots[i].version == number(version)).then_some(i)
    }

    fn command(&mut self, k: usize, step: &Step) -> bool {
        let Some(to) = step.server() else { return false };
        let Some(i) = self.connected(k, to) else { return false };
        let replies = self.ways[k][i] == Way::Open;
        self.run_command(i, step);
        replies
    }

    fn run_command(&mut self, i: usize, step: &Step) {
        match step {
            Step::AddUser { uid, .. } => self.proc_mut(i).add_user(number(uid)),
            Step::DropUser { user, .. } => self.drop_user(i, number(user.trim_start_matches("r-"))),
            Step::Follow { who, master } => {
                self.proc_mut(i).user = number(&who.uid);
                self.follow(i, number(master));
            }
            Step::Freeze(_) => self.follow(i, 0),
            Step::Demote(_) => {
                self.follow(i, 0);
                let it = self.proc_mut(i);
                (it.serves, it.paused) = (false, false);
            }
            Step::Promote { users, claim } => {
                self.judge_promotion(i, claim);
                self.become_master(i);
                let it = self.proc_mut(i);
                (it.guard, it.serves) = (0, true);
                users.iter().for_each(|uid| it.add_user(number(uid)));
            }
            Step::Guard { replicas, lag, .. } => {
                let it = self.proc_mut(i);
                it.guard = u8::try_from(*replicas).unwrap_or(u8::MAX);
                it.lag = u8::try_from(*lag).unwrap_or(u8::MAX);
            }
            Step::Pause(_) => self.proc_mut(i).paused = true,
            Step::Resume(_) => self.proc_mut(i).paused = false,
            Step::Serve(_) => self.proc_mut(i).serves = true,
            _ => {}
        }
    }

    /// Nobody is promoted but whom the record claims, as it was claimed.
    fn judge_promotion(&mut self, i: usize, claim: &redis_operator_core::record::Claim) {
        let recorded = self.recorded().filter(|record| record.phase == Phase::Promoting);
        let claimed = recorded.and_then(|record| record.claim.as_ref());
        let already = self.proc(i).is_some_and(|it| it.master);
        if claimed != Some(claim) && !already {
            self.broken = Some("PROMOTED: one that the record does not claim");
        }
    }

    /// ACL DELUSER also closes the user's connections.
    fn drop_user(&mut self, m: usize, uid: u16) {
        self.proc_mut(m)
            .users
            .iter_mut()
            .filter(|user| **user == uid)
            .for_each(|user| *user = 0);
        self.proc_mut(m)
            .users
            .sort_unstable_by_key(|user| if *user == 0 { u16::MAX } else { *user });
        let run = self.proc(m).map(|it| it.run);
        for j in 0..super::SLOTS {
            if self.proc(j).is_some_and(|it| it.user == uid && it.source() == run) {
                self.proc_mut(m).acks[j] = 0;
                if self.path(m, j) {
                    self.lose_link(j);
                }
            }
        }
    }

    /// Where a command to this very process goes, over a connection that this operator may use.
    fn connected(&mut self, k: usize, process: &Process) -> Option<usize> {
        let run = number(&process.run_id);
        let i = self.at(number(&process.uid)).filter(|i| *i < super::PODS)?;
        let way = self.ways[k][i];
        let it = self.ops[k].as_mut()?.connections.get_mut(i)?;
        if !it.attached || it.run != run {
            return None;
        }
        let arrives = matches!(way, Way::Open | Way::Mute);
        let answers = self.slots[i].proc.as_ref().is_some_and(|p| p.run == run && !p.hung);
        if way != Way::Open || !answers {
            // its deadline passes: the connection is given up
            self.ops[k].as_mut()?.close(i);
        }
        (arrives && answers).then_some(i)
    }
}
