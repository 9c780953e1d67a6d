//! The timeline of a failover, from the notice to the publication.

use redis_operator_core::api::LastFailover;
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

struct Noticed {
    at: Moment,
    clock: String,
    from: String,
    run_id: String,
    heard: Option<Moment>,
    offset: u64,
}

impl Trace {
    /// The recorded master does not serve: that is the notice. It serves: there is nothing to trace.
    pub fn observe(&mut self, seen: &Observed) {
        let Found::Record(record) = &seen.record else { return };
        let Some(master) = &record.master else { return };
        let serves = matches!(View::new(seen, record).master(), Master::Serves(_));
        if record.phase == Phase::Steady && serves {
            *self = Self::default();
        }
        if serves || self.noticed.is_some() {
            return;
        }
        let instance = seen
            .instances
            .get(&master.pod)
            .filter(|instance| instance.uid == master.uid);
        let last = instance
            .and_then(|it| it.last.as_ref())
            .filter(|last| last.replication.run_id == master.run_id);
        self.noticed = Some(Noticed {
            at: seen.now,
            clock: seen.clock.to_string(),
            from: master.pod.clone(),
            run_id: master.run_id.clone(),
            heard: last.map(|last| last.asked),
            offset: last.map(|last| last.replication.offset).unwrap_or_default(),
        });
    }

    /// A step was done. At the publication of another process the failover is complete: what is told of it, and how
    /// long it took.
    pub fn done(&mut self, seen: &Observed, step: &Step, now: Moment) -> Option<(LastFailover, Duration)> {
        match step {
            Step::Record(record) if record.phase == Phase::Promoting => self.elected = Some(now),
            Step::Promote { .. } => self.promoted = Some(now),
            Step::Publish(to) => {
                let noticed = self.noticed.take_if(|noticed| noticed.run_id != to.run_id)?;
                let Found::Record(record) = &seen.record else {
                    return None;
                };
                let took = now.since(noticed.at);
                let claimed = record.claim.as_ref().map_or(noticed.offset, |claim| claim.offset);
                let told = LastFailover {
                    reason: Some(record.reason.clone()),
                    from: Some(noticed.from),
                    to: Some(to.pod.clone()),
                    term: i64::try_from(record.term).ok(),
                    at: Some(noticed.clock),
                    noticed_ms: noticed.heard.map(|heard| millis(noticed.at.since(heard))),
                    elected_ms: self.elected.map(|at| millis(at.since(noticed.at))),
                    promoted_ms: self.promoted.map(|at| millis(at.since(noticed.at))),
                    published_ms: Some(millis(took)),
                    bytes_possibly_lost: i64::try_from(noticed.offset.saturating_sub(claimed)).ok(),
                };
                *self = Self::default();
                return Some((told, took));
            }
            _ => {}
        }
        None
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
