//! An observation read through its record.

use super::roll;
use crate::observed::{Answer, Instance, Observed, Reach};
use crate::record::{Member, Process, Record, Stage};
use crate::replication::Role;
use crate::rule::{self, Rule};

/// An observation and its record, with the relations between them.
pub struct View<'a> {
    /// What was observed.
    pub seen: &'a Observed,
    /// The record in it.
    pub record: &'a Record,
}

/// A process that answers, in most places one of the record.
#[derive(Clone, Copy)]
pub struct Living<'a> {
    /// Its pod.
    pub instance: &'a Instance,
    /// What it said in this pass.
    pub answer: &'a Answer,
}

impl<'a> Living<'a> {
    /// An instance that answers.
    pub fn of(instance: &'a Instance) -> Option<Self> {
        let answer = instance.answer()?;
        Some(Self { instance, answer })
    }
}

impl<'a> View<'a> {
    /// Reads `seen` through `record`, which is the one in it.
    pub fn new(seen: &'a Observed, record: &'a Record) -> Self {
        Self { seen, record }
    }

    /// The pod of a process, if that very pod exists.
    pub fn instance(&self, process: &Process) -> Option<&'a Instance> {
        self.seen
            .instances
            .get(&process.pod)
            .filter(|instance| instance.uid == process.uid)
    }

    /// A process, if that very process answers.
    pub fn living(&self, process: &Process) -> Option<Living<'a>> {
        let living = Living::of(self.instance(process)?)?;
        (living.answer.replication.run_id == process.run_id).then_some(living)
    }

    /// It holds everything up to the last promotion, as docs/protocol.md, section 3, says: full and leaving members do, joining
    /// ones if they show it. Past P under the id before, it took writes after the fork: diverged.
    pub fn has_data(&self, answer: &Answer) -> bool {
        let it = &answer.replication;
        let current = it.id == self.record.id && it.offset >= self.record.promoted_at;
        let before = self.record.previous_id.as_ref() == Some(&it.id) && it.offset == self.record.promoted_at;
        let past = !rule::on(Rule::Diverged) && it.offset > self.record.promoted_at;
        let before = before || (past && self.record.previous_id.as_ref() == Some(&it.id));
        it.placed && !it.loading && (current || before)
    }

    /// It shows that it lacks what the record speaks of, and is not about to have it.
    pub fn lacks_data(&self, answer: &Answer) -> bool {
        let it = &answer.replication;
        it.role == Role::Replica && !it.loading && !self.has_data(answer)
    }

    /// Members that have the data and may be told things: who counts in an election.
    pub fn electable(&self) -> Vec<Living<'a>> {
        let members = self.record.members.values();
        let living = members
            .filter(|member| member.stage != Stage::Joining || rule::on(Rule::Joining))
            .filter_map(|member| self.living(&member.process));
        living
            .filter(|it| it.instance.attached && !it.instance.is_master() && self.has_data(it.answer))
            .collect()
    }

    /// Members at a stage that answer.
    pub fn living_at(&self, stage: Stage) -> impl Iterator<Item = (&'a Member, Living<'a>)> {
        let record: &'a Record = self.record;
        record
            .at(stage)
            .filter_map(|member| Some((member, self.living(&member.process)?)))
    }

    /// Pods to run now: those that the user wants, and one more while a roll of fewer than three goes on.
    pub fn wanted(&self) -> u32 {
        self.seen.desired.replicas.saturating_add(roll::surge(self))
    }

    /// It is one of the pods to run now, and not on its way out.
    pub fn is_wanted(&self, instance: &Instance) -> bool {
        instance.ordinal < self.wanted() && !instance.deleting
    }

    /// It is one of the pods to run, now and later, on a node where it may stay.
    pub fn stays(&self, instance: &Instance) -> bool {
        instance.ordinal < self.seen.desired.replicas && !instance.deleting && instance.evacuating.is_none()
    }

    /// The pod that a person named, unless that word was used before: an annotation that was forgotten decides nothing.
    pub fn named(&self) -> Option<&'a String> {
        let named = self.seen.desired.elect.as_ref();
        named.filter(|_| self.seen.desired.elect != self.record.elected)
    }

    /// It answers, or answered something that is no INFO: a process lives there.
    pub fn is_up(instance: &Instance) -> bool {
        matches!(instance.reach, Reach::Answers(_) | Reach::Alive(_))
    }

    /// A copy of the record for the next write: seq + 1.
    pub fn next(&self) -> Box<Record> {
        let mut next = self.record.clone();
        next.seq = next.seq.saturating_add(1);
        Box::new(next)
    }

    /// The next record in a new term, which begins now for `reason`.
    pub fn next_term(&self, reason: impl Into<String>) -> Box<Record> {
        let mut next = self.next();
        next.term = next.term.saturating_add(1);
        next.since = self.seen.clock.to_string();
        next.reason = reason.into();
        next
    }
}
