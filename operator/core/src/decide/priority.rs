//! Which replica should rather be master: told to the servers, and honoured by a switchover once that has been so for long.

use super::view::{Living, View};
use super::{Aside, Master, Say, wish};
use crate::observed::Instance;
use crate::plan::Step;
use crate::record::{Phase, Stage};
use crate::replication::Role;
use std::time::Duration;

/// How long another one has to be preferable without a break: after a failover, and so that nothing goes back and forth.
const PATIENCE: Duration = Duration::from_secs(60);

/// How soon one that is a little behind is looked at again.
const SOON: Duration = Duration::from_secs(1);

/// Tells replicas the priority that the spec gives them, for people who ask them. Decisions read the spec. A master does
/// not say its own; it is told once it is a replica.
pub(super) fn tell(view: &View, _: &mut Aside) -> Say {
    let Master::Serves(_) = view.master() else {
        return None;
    };
    let attached = view.seen.instances.values().filter(|it| it.attached);
    let steps: Vec<_> = attached.filter_map(step).collect();
    (!steps.is_empty()).then_some((steps, "tell the priority"))
}

fn step(instance: &Instance) -> Option<Step> {
    let priority = instance.wanted_priority?;
    let answer = instance.answer()?;
    let wrong = answer.replication.role == Role::Replica && answer.replication.priority != priority;
    let on = instance.process().filter(|_| wrong)?;
    Some(Step::Priority { on, priority })
}

/// Why a preferable one should be master now; none if there is none, or not for long enough, or if it is behind:
/// clients would be held up for it.
pub(super) fn wish(view: &View, master: Living, aside: &mut Aside) -> Option<String> {
    let best = view.preferable()?;
    let since = view.seen.memory.preferable.as_ref().map(|(_, since)| *since);
    let waited = since.map_or(Duration::ZERO, |since| view.seen.now.since(since));
    if waited < PATIENCE {
        aside.wake(PATIENCE.saturating_sub(waited));
        return None;
    }
    if !view.has_reached(best, master) {
        aside.wake(SOON);
        return None;
    }
    Some(format!(
        "{} is preferred to master {} by spec.priorities",
        best.instance.pod, master.instance.pod
    ))
}

impl<'a> View<'a> {
    /// A replica in sync that is strictly preferred to the serving master. A master that a person asked for stays as long as
    /// the annotation does.
    pub(crate) fn preferable(&self) -> Option<Living<'a>> {
        let Master::Serves(master) = self.master() else {
            return None;
        };
        if self.record.phase != Phase::Steady || wish::is_kept(self, master) {
            return None;
        }
        let full = self.living_at(Stage::Full).map(|(_, living)| living);
        let fit = full.filter(|it| {
            let linked = it.answer.replication.link_is_up();
            linked && it.instance.priority() > 0 && self.stays(it.instance)
        });
        let best = fit.min_by_key(|it| (rank(it.instance), it.instance.ordinal))?;
        (rank(best.instance) < rank(master.instance)).then_some(best)
    }
}

/// Lower is better, as Redis has it; 0 is never.
fn rank(instance: &Instance) -> u32 {
    match instance.priority() {
        0 => u32::MAX,
        priority => priority,
    }
}
