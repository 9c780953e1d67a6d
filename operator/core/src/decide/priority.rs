//! Which replica should rather be master: told to the servers, and honoured by a switchover once that has been so for long.

use super::view::{Living, View};
use super::{Aside, Master, Say};
use crate::observed::Instance;
use crate::plan::Step;
use crate::record::{Outcome, Phase, Stage};
use crate::replication::Role;
use std::time::Duration;

/// How long another one has to be preferable without a break: after a failover, and so that nothing goes back and forth.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells replicas the priority that the spec gives them. A master does not say its own; it is told once it is a replica.
pub(super) fn tell(view: &View, _: &mut Aside) -> Say {
    let Master::Serves(_) = view.master() else {
        return None;
    };
    let wrong = view.seen.instances.values().filter(|it| {
        let answer = it.answer().filter(|answer| answer.replication.role == Role::Replica);
        it.attached && answer.is_some_and(|answer| answer.replication.priority != it.priority)
    });
    let steps: Vec<_> = wrong
        .filter_map(|it| {
            Some(Step::Priority {
                on: it.process()?,
                priority: it.priority,
            })
        })
        .collect();
    (!steps.is_empty()).then_some((steps, "tell the priority"))
}

/// Why a preferable one should be master now; none if there is none, or not for long enough.
pub(super) fn wish(view: &View, master: Living, aside: &mut Aside) -> Option<String> {
    let best = view.preferable()?;
    let since = view.seen.memory.preferable.as_ref().map(|(_, since)| *since);
    let waited = since.map_or(Duration::ZERO, |since| view.seen.now.since(since));
    if waited < PATIENCE {
        aside.wake(PATIENCE.saturating_sub(waited));
        return None;
    }
    Some(format!(
        "{} is preferred to master {} by spec.priorities",
        best.pod, master.instance.pod
    ))
}

impl<'a> View<'a> {
    /// A replica in sync that is strictly preferred to the serving master. A master that a person asked for stays as long as
    /// the annotation does.
    pub(crate) fn preferable(&self) -> Option<&'a Instance> {
        let Master::Serves(master) = self.master() else {
            return None;
        };
        let chosen = self.record.request.as_ref();
        let pinned = chosen.is_some_and(|request| !request.value.is_empty() && request.outcome == Outcome::Done);
        if self.record.phase != Phase::Steady || pinned {
            return None;
        }
        let full = self.living_at(Stage::Full).map(|(_, living)| living);
        let fit = full.filter(|it| {
            let linked = it.answer.replication.upstream.as_ref().is_some_and(|up| up.link_up);
            let told = it.answer.replication.priority == it.instance.priority && it.instance.priority > 0;
            linked && told && self.stays(it.instance)
        });
        let best = fit.map(|it| it.instance).min_by_key(|it| (rank(it), it.ordinal))?;
        (rank(best) < rank(master.instance)).then_some(best)
    }
}

/// Lower is better, as Redis has it; 0 is never.
fn rank(instance: &Instance) -> u32 {
    match instance.priority {
        0 => u32::MAX,
        priority => priority,
    }
}
