//! A master that says nothing: how long, what its members heard of it, and when it takes no writes any more.
//!
//! Silence proves nothing by itself: the operator may be the one that is cut off. The members are the witnesses.

use super::view::{Living, View};
use super::{Master, guard};
use crate::observed::{Answer, Instance, Moment, Policy, Reach};
use crate::record::{Phase, Process, Stage};
use crate::replication::Role;
use std::time::Duration;

/// A full member that has heard nothing for this long, or for `downAfter` if that is longer, says that the master is gone.
/// Masters ping once a second, so less proves nothing.
const UNHEARD: Duration = Duration::from_millis(1_500);
/// For so long at most a master that says nothing, or that it is busy, passes for one that serves.
const UNSURE: Duration = Duration::from_secs(10);
/// A failed attempt of a new holder, and of one in the middle of an election, where others have listened before.
const ATTEMPT: Duration = Duration::from_millis(500);
/// A master that answered in the middle of an election is not suspected again for so long.
pub(super) const SPARED: Duration = Duration::from_secs(30);
/// Replicas are counted once a second and by whole seconds: what may come on top of `min-replicas-max-lag` before the
/// guard refuses (measured on redis 7.0: at most M + 2 s).
const COUNTING: Duration = Duration::from_secs(2);
/// M where the master did not say it lately: the larger one in use.
const LAG: Duration = Duration::from_secs(2);

/// A master without a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Its host accepts a new TCP connection to it: hung. Else it is unreachable.
    pub hung: bool,
    /// For how long.
    pub lasts: Duration,
    /// What is left until it has lasted long enough to do something about it, if the witnesses agree.
    pub left: Duration,
}

/// What the members that can be asked say of a silent master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Witnesses {
    /// All that have a vote, and there is one, have heard nothing for long.
    Gone,
    /// This pod hears it, or did until just now.
    Heard(String),
    /// None has a vote.
    Nobody,
}

impl View<'_> {
    /// For how long the recorded master has said nothing; none if it says something, or that is not known yet.
    pub fn silence(&self, master: &Process) -> Option<Silence> {
        let (since, hung, heard_before, tried) = match self.instance(master) {
            None => {
                let departed = self.seen.departed.get(&master.uid);
                (departed.map_or(self.seen.now, |it| it.noticed), false, false, true)
            }
            Some(instance) => {
                let last = instance.last.as_ref();
                let before = last.is_some_and(|last| last.replication.run_id == master.run_id);
                match instance.reach {
                    Reach::Silent { since, accepts } => (since, accepts, before, true),
                    Reach::Refused { since } => (since, false, before, true),
                    // Its pod has no address: nothing is heard of it, and nothing more is known.
                    Reach::Untried => (*self.seen.memory.untried.get(&master.uid)?, false, before, false),
                    Reach::Answers(_) | Reach::Alive(_) => return None,
                }
            }
        };
        let lasts = self.seen.now.since(since);
        let down_after = self.seen.desired.down_after;
        let others_listened = match self.record.phase {
            Phase::Steady | Phase::Switching => !heard_before && self.unheard_for(master) >= Some(self.unheard()),
            Phase::Electing | Phase::Promoting => true,
        };
        let patience = if others_listened && tried {
            ATTEMPT.min(down_after)
        } else {
            down_after
        };
        let left = patience.saturating_sub(lasts);
        Some(Silence { hung, lasts, left })
    }

    /// The master that serves, as far as is known, and what it said last: one that did until a moment ago may be in the
    /// middle of a script, or short of time.
    pub fn serving(&self) -> Option<(&Instance, &Answer)> {
        match self.master() {
            Master::Serves(living) => return Some((living.instance, living.answer)),
            Master::Silent(_) | Master::Alive(_) => {}
            Master::Demoted(_) | Master::Ended(_) | Master::Unclear | Master::None => return None,
        }
        let instance = self.instance(self.record.master.as_ref()?)?;
        let last = self.last_of_master()?;
        let served = last.serves && last.replication.role == Role::Master;
        let lately = self.seen.now.since(last.asked) < self.seen.desired.down_after.min(UNSURE);
        let unsure = matches!(instance.reach, Reach::Silent { .. } | Reach::Alive(_));
        (served && lately && unsure).then_some((instance, last))
    }

    /// A member that hears the recorded master, which says nothing to the operator and nothing proves to have ended.
    pub fn heard_by(&self) -> Option<String> {
        let master = self.record.master.as_ref()?;
        if !matches!(self.master(), Master::Silent(_)) {
            return None;
        }
        match self.witnesses(master) {
            Witnesses::Heard(by) => Some(by),
            Witnesses::Gone | Witnesses::Nobody => None,
        }
    }

    /// Every member that can be asked is; full ones have a vote. One that hears the master has a veto, whatever it is: a
    /// full sync is in progress in which its link says down, for instance.
    pub(super) fn witnesses(&self, master: &Process) -> Witnesses {
        let all = self.record.members.values();
        let living: Vec<_> = all
            .filter_map(|member| Some((member.stage, self.living(&member.process)?)))
            .collect();
        if let Some((_, heard)) = living
            .iter()
            .find(|(_, it)| self.silent_for(it.answer, master) < self.unheard())
        {
            return Witnesses::Heard(heard.instance.pod.clone());
        }
        // One that an interrupted election left frozen could hear nothing.
        let votes = |(stage, it): &(Stage, Living)| {
            let r = &it.answer.replication;
            *stage == Stage::Full && !r.loading && !r.is_frozen()
        };
        if living.iter().any(votes) {
            Witnesses::Gone
        } else {
            Witnesses::Nobody
        }
    }

    fn unheard(&self) -> Duration {
        self.seen.desired.down_after.max(UNHEARD)
    }

    /// For how long none of the members that can be asked has heard it; none without a witness.
    fn unheard_for(&self, master: &Process) -> Option<Duration> {
        let full = self.living_at(Stage::Full);
        let full = full.filter(|(_, it)| !it.answer.replication.is_frozen());
        full.map(|(_, it)| self.silent_for(it.answer, master)).min()
    }

    /// For how long a member has certainly heard nothing of the master.
    fn silent_for(&self, answer: &Answer, master: &Process) -> Duration {
        last_heard(answer, master).map_or(Duration::MAX, |at| answer.asked.since(at))
    }

    /// How long it may still take writes. Its guard refuses them once the members that are frozen do not count any more:
    /// M + 2 s after they heard it last, for what one of them hears it also acknowledges; by the clock of the freeze
    /// where nothing may be lost. One that has ended takes none, and nor does a hung one, until it is resumed.
    pub(super) fn fence(&self, master: &Master, frozen: &[Living]) -> Duration {
        let Master::Silent(silence) = master else {
            return Duration::ZERO;
        };
        if silence.hung && self.seen.desired.policy == Policy::Availability {
            return Duration::ZERO;
        }
        let memory = &self.seen.memory;
        let from = |it: &Living| {
            let run_id = &it.answer.replication.run_id;
            let frozen = memory.frozen.get(run_id).copied().unwrap_or(self.seen.now);
            let heard = memory
                .heard
                .get(run_id)
                .filter(|_| self.seen.desired.policy == Policy::Availability);
            heard.map_or(frozen, |heard| frozen.min(heard.at))
        };
        let from = frozen.iter().map(from).max().unwrap_or(self.seen.now);
        let bound = self.lag_of_master().saturating_add(COUNTING);
        bound.saturating_sub(self.seen.now.since(from))
    }

    /// Its guard was on when it was seen last: without one it would take writes for as long as it lives.
    pub(super) fn is_guarded(&self) -> bool {
        self.record.quorum > 0 || self.last_of_master().is_some_and(|last| last.guard > 0)
    }

    /// What it said last, or what it was told since if that is more: a command without an answer may have been done.
    fn lag_of_master(&self) -> Duration {
        let told = guard::lag(self);
        self.last_of_master()
            .map_or(LAG, |last| Duration::from_secs(last.guard_lag.max(told).into()))
    }

    fn last_of_master(&self) -> Option<&Answer> {
        let master = self.record.master.as_ref()?;
        let last = self.instance(master)?.last.as_ref()?;
        (last.replication.run_id == master.run_id).then_some(last)
    }
}

/// The last moment at which an instance may have heard this master: now, if its link is up and something arrives.
///
/// It says so in whole seconds, of which n prove a silence of n − 1 s. An offset that stands still says it finer, for n s at
/// most: a link that was made anew moves no offset.
pub(super) fn heard(answer: &Answer, master: &Process) -> Option<Moment> {
    let upstream = answer
        .replication
        .upstream
        .as_ref()
        .filter(|up| up.host == master.address)?;
    let (seconds, still) = if upstream.syncing {
        (upstream.sync_heard_seconds, Duration::ZERO)
    } else if upstream.link_up {
        (upstream.heard_seconds, answer.asked.since(answer.still_since))
    } else {
        return None;
    };
    let seconds = seconds.unwrap_or_default();
    let told = Duration::from_secs(seconds.saturating_sub(1));
    Some(answer.asked.before(told.max(still.min(Duration::from_secs(seconds)))))
}

/// The same of one whose link is down: before it went down.
pub(crate) fn last_heard(answer: &Answer, master: &Process) -> Option<Moment> {
    let upstream = answer
        .replication
        .upstream
        .as_ref()
        .filter(|up| up.host == master.address)?;
    let down = upstream.down_seconds.filter(|_| !upstream.link_up && !upstream.syncing);
    let down = down.map(|seconds| answer.asked.before(Duration::from_secs(seconds.saturating_sub(1))));
    heard(answer, master).or(down)
}
