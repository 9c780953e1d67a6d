//! The timeline of a failover, from the notice to the publication.

use redis_operator_core::api::MasterChange;
use redis_operator_core::decide::{Master, View};
use redis_operator_core::observed::{Moment, Observed};
use redis_operator_core::plan::Step;
use redis_operator_core::record::{Found, Phase};
use std::time::Duration;

/// What is known of the failover under way. Lost with the process; the failover itself is not.
#[derive(Default)]
pub struct Trace {
    noticed: Option<Noticed>,
    elected: Option<Moment>,
    promoted: Option<Moment>,
}

/// Why a master had to be replaced, as far as it was known before the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its process ended.
    Ended,
    /// It hung.
    Hung,
    /// Nothing of its host was heard.
    Unreachable,
    /// Somebody else made a replica of it.
    Demoted,
    /// This process came later than that.
    Unknown,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ended, Self::Hung, Self::Unreachable, Self::Demoted, Self::Unknown];

    /// For metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Hung => "hung",
            Self::Unreachable => "unreachable",
            Self::Demoted => "demoted",
            Self::Unknown => "unknown",
        }
    }

    /// None of one that says nothing about it.
    fn of(master: &Master) -> Option<Self> {
        match master {
            Master::Ended(_) => Some(Self::Ended),
            Master::Silent(silence) if silence.hung => Some(Self::Hung),
            Master::Silent(_) => Some(Self::Unreachable),
            Master::Demoted(_) => Some(Self::Demoted),
            Master::Serves(_) | Master::Alive(_) | Master::Unclear | Master::None => None,
        }
    }
}

/// A change of master that is complete.
pub struct Replaced {
    /// What is told of it.
    pub told: MasterChange,
    /// From the notice to the publication.
    pub took: Duration,
    /// What had befallen the master; none if somebody planned it.
    pub cause: Option<Cause>,
}

struct Noticed {
    at: Moment,
    cause: Cause,
    clock: String,
    from: String,
    run_id: String,
    heard: Option<Moment>,
    offset: Option<u64>,
}

impl Trace {
    /// The recorded master does not serve: that is the notice. It serves: there is nothing to trace.
    pub fn observe(&mut self, seen: &Observed) {
        let Found::Record(record) = &seen.record else { return };
        let Some(master) = &record.master else { return };
        let now = View::new(seen, record).master();
        let serves = matches!(now, Master::Serves(_));
        if record.phase == Phase::Steady && serves {
            *self = Self::default();
        }
        // from the intent on, an election itself changes what the master looks like
        if record.phase == Phase::Steady
            && let Some((noticed, cause)) = self.noticed.as_mut().zip(Cause::of(&now))
        {
            noticed.cause = cause;
        }
        if serves || self.noticed.is_some() {
            return;
        }
        let cause = Cause::of(&now).filter(|_| matches!(record.phase, Phase::Steady | Phase::Switching));
        let instance = seen
            .instances
            .get(&master.pod)
            .filter(|instance| instance.uid == master.uid);
        let last = instance
            .and_then(|it| it.last.as_ref())
            .filter(|last| last.replication.run_id == master.run_id);
        self.noticed = Some(Noticed {
            at: seen.now,
            cause: cause.unwrap_or(Cause::Unknown),
            clock: seen.clock.to_string(),
            from: master.pod.clone(),
            run_id: master.run_id.clone(),
            heard: last.map(|last| last.asked),
            offset: last.map(|last| last.replication.offset),
        });
    }

    /// A step was done. At the publication of another process the failover is complete: it is told.
    pub fn done(&mut self, seen: &Observed, step: &Step, now: Moment) -> Option<Replaced> {
        match step {
            Step::Record(record) if record.phase == Phase::Promoting => self.elected = Some(now),
            Step::Promote { .. } => self.promoted = Some(now),
            Step::Publish(to) => {
                let noticed = self.noticed.take_if(|noticed| noticed.run_id != to.run_id)?;
                let Found::Record(record) = &seen.record else {
                    return None;
                };
                let (took, cause) = (now.since(noticed.at), noticed.cause);
                let claimed = record.claim.as_ref().map(|claim| claim.offset);
                let missing = |(shown, claimed): (u64, u64)| i64::try_from(shown.saturating_sub(claimed)).ok();
                let told = MasterChange {
                    reason: Some(record.reason.clone()),
                    from: Some(noticed.from),
                    to: Some(to.pod.clone()),
                    term: i64::try_from(record.term).ok(),
                    at: Some(noticed.clock),
                    noticed_ms: noticed.heard.map(|heard| millis(noticed.at.since(heard))),
                    elected_ms: self.elected.map(|at| millis(at.since(noticed.at))),
                    promoted_ms: self.promoted.map(|at| millis(at.since(noticed.at))),
                    published_ms: Some(millis(took)),
                    bytes_possibly_lost: noticed.offset.zip(claimed).and_then(missing),
                };
                let planned = record.reason.starts_with("Switchover");
                let cause = (!planned).then_some(cause);
                *self = Self::default();
                return Some(Replaced { told, took, cause });
            }
            _ => {}
        }
        None
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
