//! Taking the record over, and making a predecessor's late publication conflict.

use super::{Aside, Master, Say, View, elect, join, publish};
use crate::observed::Slice;
use crate::plan::Step;
use crate::record::Phase;
use crate::rule::{self, Rule};
use std::time::Duration;

/// A successor that does nothing with the record for this long is none: its name was written by hand, or it is gone
/// and this operator leads again.
const IDLE: Duration = Duration::from_secs(30);

/// A new leader first writes itself as holder: same term, seq + 1. Whoever was holder and finds another one's name was
/// succeeded, whatever it believes of its lease, and does nothing more.
pub(super) fn take_over(view: &View, aside: &mut Aside) -> Say {
    if view.record.holder == view.seen.holder {
        return None;
    }
    if let Some((_, since)) = view.seen.memory.succeeded {
        let waited = view.seen.now.since(since);
        if waited < IDLE {
            aside.wake(IDLE.saturating_sub(waited));
            return Some((vec![], "succeeded by another operator"));
        }
    }
    let mut next = view.next();
    next.holder.clone_from(&view.seen.holder);
    // Whether its clients are still paused is not known: whoever wants the switchover begins it again.
    if next.phase == Phase::Switching {
        (next.phase, next.target) = (Phase::Steady, None);
    }
    Some((vec![Step::Record(next)], "take the record over"))
}

/// A slice that this holder has not seen settled carries its name before anything else is done, so that a publication still
/// on its way conflicts, be it one of its own to which nobody answered. One that was is left alone: kube-proxy leaves a second between two changes, of whatever slice, and
/// clients may wait for the next one.
pub(super) fn touch_slice(view: &View, _: &mut Aside) -> Say {
    let slice = view.seen.slice.as_ref();
    let settled = slice.is_some_and(|slice| is_settled(view, slice, view.seen.memory.settled));
    (!settled && rule::on(Rule::Touch)).then(|| (vec![Step::TouchSlice], "touch the slice"))
}

/// As of the record's term, for this holder may have held the record in an earlier one, and somebody else since; or `before`,
/// while it has held it.
pub(crate) fn is_settled(view: &View, slice: &Slice, before: bool) -> bool {
    let now = || slice.term == view.record.term && slice.is_settled(&view.seen.holder, Some(view.record));
    !slice.in_doubt && (before || now())
}

/// The annotation that was used is gone, or says something else: the next one counts again.
pub(super) fn forget(view: &View, _: &mut Aside) -> Say {
    let used = &view.record.elected;
    if used.is_none() || *used == view.seen.desired.elect {
        return None;
    }
    let mut next = view.next();
    next.elected = None;
    Some((vec![Step::Record(next)], "the annotation that was used is gone"))
}

/// An annotation that has nothing to decide while the master serves is used up as well. Forgotten, it would count in
/// the next election, for something that nobody had seen when it was set.
pub(super) fn use_up(view: &View, _: &mut Aside) -> Say {
    let Master::Serves(master) = view.master() else {
        return None;
    };
    view.named()?;
    let mut strangers = view.seen.instances.values().filter(|instance| {
        let process = instance.process();
        process.is_some_and(|it| !view.record.processes().any(|known| known.is(&it)))
    });
    if view.record.phase != Phase::Steady || strangers.any(|it| join::is_foreign(view, master, it).is_some()) {
        return None;
    }
    let mut next = view.next();
    next.elected.clone_from(&view.seen.desired.elect);
    Some((vec![Step::Record(next)], "the annotation has nothing to decide"))
}

/// A change of master has begun and not come to its end: without a hand its clients would be held up for ever.
pub(super) fn is_under_way(view: &View) -> bool {
    view.record.phase != Phase::Steady || !frozen(view).is_empty() || publish::names_another(view)
}

/// Whoever an election that ended left frozen follows again: the master may need it for its guard.
pub(super) fn thaw(view: &View, _: &mut Aside) -> Say {
    let steps = frozen(view);
    (!steps.is_empty()).then_some((steps, "let frozen members follow"))
}

fn frozen(view: &View) -> Vec<Step> {
    match view.master() {
        Master::Serves(_) | Master::Alive(_) | Master::Silent(_) => elect::unfreeze(view),
        Master::Demoted(_) | Master::Ended(_) | Master::Unclear | Master::None => vec![],
    }
}
