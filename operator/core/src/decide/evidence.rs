//! Is the master gone? Proofs of an end, and what lacks one.

use super::view::{Living, View};
use crate::observed::{Instance, Reach};
use crate::record::{Phase, Process};
use crate::replication::Role;
use std::time::Duration;

/// A kubelet ends the containers of a vanished pod within its grace period and this.
const KUBELET_SLACK: Duration = Duration::from_secs(30);

/// Why a process is known to have ended (protocol section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A proof was seen earlier and written down.
    Recorded,
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
    /// Neither; a sentence for people.
    Unclear(String),
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
        match self.end_of(master).or_else(|| self.refused_and_unheard(master)) {
            Some(proof) => Master::Ended(proof),
            None => Master::Unclear(self.what_is_missing(master)),
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
        let outlived = departed.outlived.is_some_and(|time| time > KUBELET_SLACK);
        (terminated || outlived || departed.node_lost).then_some(Proof::Departed)
    }

    /// Proof 4. A firewall that rejects looks the same from here, hence the witnesses.
    fn refused_and_unheard(&self, master: &Process) -> Option<Proof> {
        let instance = self.instance(master)?;
        let refused = matches!(instance.reach, Reach::Refused { .. }) && instance.address == master.address;
        let mut witnesses = self
            .record
            .members
            .values()
            .filter_map(|member| self.living(&member.process))
            .peekable();
        let unheard = witnesses.peek().is_some() && witnesses.all(|it| !hears(it, master));
        (refused && unheard).then_some(Proof::Refused)
    }

    fn what_is_missing(&self, master: &Process) -> String {
        let pod = &master.pod;
        match self.instance(master) {
            None => format!(
                "the pod object of master {pod} is gone, but nothing proves that its process ended; it is replaced once its kubelet has outlived it"
            ),
            Some(Instance {
                reach: Reach::Alive(why),
                ..
            }) => format!("master {pod} is alive but answers {why}"),
            Some(Instance {
                reach: Reach::Refused { .. },
                ..
            }) => format!(
                "master {pod} refuses connections, but a replica still hears it, or none can be asked: is a firewall or network policy in the way of the operator?"
            ),
            Some(Instance {
                reach: Reach::Answers(_),
                ..
            }) => format!("master {pod} is loading its dataset"),
            Some(_) => format!("master {pod} does not answer, and nothing proves that it ended"),
        }
    }

    /// Neither the master nor anybody who holds what the record speaks of has a living process. Whoever answers and shows
    /// that it lacks it does not count, at whatever stage; one that cannot be asked, or still loads, might have it.
    pub fn nobody_lives(&self) -> bool {
        let empty_handed = |it: Living| self.lacks_data(it.answer);
        let gone = |process: &Process| self.end_of(process).is_some() || self.living(process).is_some_and(empty_handed);
        let claimed = self
            .record
            .claim
            .as_ref()
            .filter(|_| self.record.phase == Phase::Promoting);
        let claimed_lives = claimed.is_some_and(|claim| self.end_of(&claim.process).is_none());
        let master = self.record.master.iter();
        let mut all = master.chain(self.record.members.values().map(|member| &member.process));
        !claimed_lives && all.all(gone)
    }
}

/// Its link to this master is up, or data of a full sync still arrives.
fn hears(it: Living<'_>, master: &Process) -> bool {
    let upstream = it.answer.replication.upstream.as_ref();
    upstream.is_some_and(|up| up.host == master.address && (up.link_up || up.syncing))
}
