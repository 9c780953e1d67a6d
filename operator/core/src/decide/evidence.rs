//! Is the master gone? Proofs of an end, and what lacks one.

use super::adopt;
use super::silence::{Silence, heard};
use super::view::{Living, View};
use crate::observed::{Moment, Reach};
use crate::record::{Phase, Process};
use crate::replication::Role;
use crate::rule::{self, Rule};
use std::time::Duration;

/// A kubelet ends the containers of a vanished pod within its grace period and this.
const KUBELET_SLACK: Duration = Duration::from_secs(30);

/// A process that ends refuses and is unheard at once, give or take what is told in whole seconds.
const BLIP: Duration = Duration::from_secs(2);

/// Why a process is known to have ended (docs/protocol.md, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A proof was seen earlier and written down.
    Recorded,
    /// A person says so.
    Declared,
    /// The pod's status says that its container terminated.
    Terminated,
    /// The pod object is gone and its kubelet, or the end of its node, ended what ran in it.
    Departed,
    /// Another process answers from the same pod.
    AnotherProcess,
    /// Its address refuses connections, and no member hears it: enough only with a quorum.
    Refused,
    /// It lives, but somebody made it follow another one: what it held is overwritten.
    Overwritten,
}

/// What is known of the recorded master.
pub enum Master<'a> {
    /// It answers as a master.
    Serves(Living<'a>),
    /// It answers as a replica, with all that it had: somebody demoted it, or an election froze it.
    Demoted(Living<'a>),
    /// It ended.
    Ended(Proof),
    /// It says nothing, and nothing proves that it ended.
    Silent(Silence),
    /// It lives, and says something else; a sentence for people.
    Alive(String),
    /// Nothing is known of it yet.
    Unclear,
    /// There is none yet.
    None,
}

impl Proof {
    /// It suffices without a quorum.
    pub fn is_strong(self) -> bool {
        self != Self::Refused
    }

    /// The process itself has ended, and that can never turn out otherwise.
    pub fn ends(self) -> bool {
        !matches!(self, Self::Refused | Self::Overwritten)
    }
}

impl<'a> View<'a> {
    /// What is known of the recorded master.
    pub fn master(&self) -> Master<'a> {
        let Some(master) = &self.record.master else {
            return Master::None;
        };
        if let Some(living) = self.living(master).filter(|it| !it.answer.replication.loading) {
            return match living.answer.replication.role {
                Role::Master => Master::Serves(living),
                Role::Replica if self.has_data(living.answer) => Master::Demoted(living),
                Role::Replica => Master::Ended(Proof::Overwritten),
            };
        }
        if let Some(proof) = self.end_of(master).or_else(|| self.refused_and_unheard(master)) {
            return Master::Ended(proof);
        }
        match self.silence(master) {
            Some(silence) => Master::Silent(silence),
            None => self.alive(master).map_or(Master::Unclear, Master::Alive),
        }
    }

    fn alive(&self, master: &Process) -> Option<String> {
        let pod = &master.pod;
        match &self.instance(master)?.reach {
            Reach::Alive(why) => Some(format!(
                "master {pod} is alive but answers {why}; to put another one in its place, end it: kubectl delete pod/{pod}"
            )),
            Reach::Answers(_) => Some(format!("master {pod} is loading its dataset")),
            Reach::Untried | Reach::Refused { .. } | Reach::Silent { .. } => None,
        }
    }

    /// The recorded master ended, whatever it takes to replace it.
    pub fn master_has_ended(&self) -> bool {
        matches!(self.master(), Master::Ended(_))
    }

    /// A proof of a process' end that needs no witnesses: 1 to 3. There is none against its own answer.
    pub fn end_of(&self, process: &Process) -> Option<Proof> {
        if self.living(process).is_some() {
            return None;
        }
        if process.ended {
            return Some(Proof::Recorded);
        }
        if self.seen.desired.ended.contains(&process.run_id) {
            return Some(Proof::Declared);
        }
        let Some(instance) = self.instance(process) else {
            return self.departed(process);
        };
        if instance
            .answer()
            .is_some_and(|answer| answer.replication.run_id != process.run_id)
        {
            return Some(Proof::AnotherProcess);
        }
        let terminated = |id| instance.container.terminated.contains(id);
        process
            .container
            .as_ref()
            .is_some_and(terminated)
            .then_some(Proof::Terminated)
    }

    fn departed(&self, process: &Process) -> Option<Proof> {
        let departed = self.seen.departed.get(&process.uid)?;
        let terminated = process
            .container
            .as_ref()
            .is_some_and(|id| departed.terminated.contains(id));
        let outlived = departed.outlived.is_some_and(|time| time > KUBELET_SLACK) || departed.node_lost;
        let proved = terminated || (outlived && !self.is_heard(process));
        (!rule::on(Rule::Departed) || proved).then_some(Proof::Departed)
    }

    /// A member hears it: whatever Kubernetes makes of its pod and its node, it lives. A container runtime that hangs, for
    /// instance, ends nothing, and its kubelet goes on all the same.
    fn is_heard(&self, process: &Process) -> bool {
        let members = self.record.members.values();
        let mut living = members.filter_map(|member| self.living(&member.process));
        living.any(|it| {
            let heard = heard(it.answer, process);
            heard.is_some_and(|at| it.answer.asked.since(at) < BLIP)
        })
    }

    /// Its address refuses connections, and since when.
    pub(crate) fn is_refused(&self, master: &Process) -> Option<Moment> {
        let instance = self.instance(master).filter(|it| it.address == master.address)?;
        match instance.reach {
            Reach::Refused { since } => Some(since),
            Reach::Untried | Reach::Answers(_) | Reach::Alive(_) | Reach::Silent { .. } => None,
        }
    }

    /// Proof 4. A firewall that rejects looks the same from here, hence the witnesses. One that is frozen hears nothing and
    /// is none: where all are, the refusals have to be those that others saw before. A master that was silent when they
    /// were frozen, and refuses since, may live behind such a firewall.
    fn refused_and_unheard(&self, master: &Process) -> Option<Proof> {
        let since = self.is_refused(master)?;
        // Who has heard it long after the refusals began disproves them, though the link is down now.
        let heard_since = |it: &Living| {
            let at = self.seen.memory.heard.get(&it.answer.replication.run_id);
            at.is_some_and(|heard| heard.at.since(since) > BLIP)
        };
        let mut witnesses = self
            .record
            .members
            .values()
            .filter_map(|member| self.living(&member.process))
            .filter(|it| !it.answer.replication.is_frozen())
            .peekable();
        let witnessed = witnesses.peek().is_some() || self.seen.memory.witnessed.as_ref() == Some(&master.run_id);
        let unheard = witnesses.all(|it| heard(it.answer, master).is_none() && !heard_since(&it));
        (witnessed && unheard).then_some(Proof::Refused)
    }

    /// Neither the master nor anybody who holds what the record speaks of has a living process. Whoever answers and shows
    /// that it lacks it does not count, at whatever stage, and nor does a member that was made the master of something
    /// else; one that cannot be asked, or still loads, might have it.
    pub fn nobody_lives(&self) -> bool {
        let lacks = |process: &Process| self.living(process).is_some_and(|it| self.lacks_data(it.answer));
        let gone = |process: &Process| self.end_of(process).is_some() || lacks(process);
        let claim = self
            .record
            .claim
            .iter()
            .filter(|_| self.record.phase == Phase::Promoting);
        let claimed_lives = claim.clone().any(|claim| self.end_of(&claim.process).is_none());
        let stray = |process: &Process| {
            let living = self.living(process).filter(|it| it.instance.is_master());
            living.is_some_and(|it| !adopt::continues(self, it))
        };
        let mut members = self.record.members.values().map(|member| &member.process);
        !claimed_lives && self.record.master.iter().all(gone) && members.all(|process| gone(process) || stray(process))
    }
}
