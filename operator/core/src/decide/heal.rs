//! What is left to put right on a serving set: fences to open, clients to send away, pods stuck in a back-off.

use super::view::Living;
use super::{Aside, Master, Say, View};
use crate::memory::Misdirected;
use crate::observed::{Instance, Observed, Paused};
use crate::plan::Step;
use crate::record::Stage;
use std::time::Duration;

/// Restarts after which a back-off is long enough to be worth a new pod, whose back-off starts afresh.
const RESTARTS: u32 = 4;
/// How long such a pod stays in its back-off first.
const BACK_OFF: Duration = Duration::from_secs(30);

/// How soon a member that is a moment behind is looked at again.
const SOON: Duration = Duration::from_millis(10);
/// From one cut to the next: a client that comes back at once must not keep this operator from everything else.
const CUT_AGAIN: Duration = Duration::from_millis(100);
/// How long nobody was sent away before a fence is opened: clients of a former master come back to it as long as
/// kube-proxy leads them there, at most a second, and what it refuses to them is how it is known that they are there.
const QUIET: Duration = Duration::from_secs(3);
/// And how long at most: a client that never goes away must not keep a replica from all others.
const UNQUIET: Duration = Duration::from_secs(30);

/// Opens the fence of the master and of full members.
pub(super) fn heal(view: &View, aside: &mut Aside) -> Say {
    let Master::Serves(master) = view.master() else {
        return None;
    };
    let full = view.living_at(Stage::Full).map(|(_, living)| living);
    let closed = full.filter(|it| it.instance.attached && !it.answer.serves);
    let mut synced = vec![];
    for it in closed {
        if view.has_reached(it, master) {
            synced.push(it);
        } else {
            aside.wake(SOON);
        }
    }
    let master_is_closed = (!master.answer.serves).then_some(master);
    let mut steps = vec![];
    for it in synced.into_iter().chain(master_is_closed) {
        let left = unquiet(view, it);
        if left.is_zero() {
            steps.push(Step::Serve(it.instance.process()?));
        } else {
            aside.wake(left);
        }
    }
    (!steps.is_empty()).then_some((steps, "heal"))
}

/// Closes the applications' connections to instances that nobody should talk to yet and that somebody does.
pub(super) fn send_away(view: &View, aside: &mut Aside) -> Say {
    let Master::Serves(master) = view.master() else {
        return None;
    };
    let others = view.seen.instances.values().filter(|i| i.uid != master.instance.uid);
    let mut steps = vec![];
    for instance in others.filter(|it| has_stuck_clients(view, it)) {
        let process = instance.process()?;
        let before = view.seen.memory.misdirected.get(&process.run_id);
        let cut = before.and_then(|before| before.cut);
        let left = cut.map_or(Duration::ZERO, |cut| CUT_AGAIN.saturating_sub(view.seen.now.since(cut)));
        if left.is_zero() {
            steps.push(Step::CutClients(process));
        } else {
            aside.wake(left);
        }
    }
    (!steps.is_empty()).then_some((steps, "send clients away"))
}

/// Fenced, and since its clients were sent away last commands were refused there: a client still ends up here, and a
/// plain one would stay. Readers of healthy replicas are never cut.
fn has_stuck_clients(view: &View, instance: &Instance) -> bool {
    let Some(answer) = instance.answer().filter(|answer| instance.attached && !answer.serves) else {
        return false;
    };
    let before = view.seen.memory.misdirected.get(&answer.replication.run_id);
    before.is_some_and(|before| {
        let since = before
            .grown
            .is_some_and(|grown| before.cut.is_some_and(|cut| grown > cut));
        (since || answer.replication.misdirected > before.count) && !is_too_long(view, before)
    })
}

fn is_too_long(view: &View, before: &Misdirected) -> bool {
    before.began.is_some_and(|began| view.seen.now.since(began) >= UNQUIET)
}

/// What is left until a replica has sent nobody away for long enough.
fn unquiet(view: &View, it: Living) -> Duration {
    let r = &it.answer.replication;
    let before = view
        .seen
        .memory
        .misdirected
        .get(&r.run_id)
        .filter(|_| !it.instance.is_master());
    if before.is_some_and(|before| is_too_long(view, before)) {
        return Duration::ZERO;
    }
    let grown = before
        .filter(|before| r.misdirected > before.count)
        .map(|_| view.seen.now);
    let last = grown.or(before.and_then(|before| before.grown));
    last.map_or(Duration::ZERO, |last| QUIET.saturating_sub(view.seen.now.since(last)))
}

/// A pod in a long back-off that no record needs: a new one tries at once, so that a cause that is gone does not keep
/// it away for five minutes.
pub(super) fn replace_stuck(view: &View, aside: &mut Aside) -> Say {
    if view.seen.desired.paused != Paused::No {
        return None;
    }
    let candidates = view
        .seen
        .instances
        .values()
        .filter(|i| i.container.restarts >= RESTARTS && !view.record.names(&i.uid));
    let mut steps = vec![];
    for instance in candidates.filter(|instance| !instance.deleting && !View::is_up(instance)) {
        let Some(since) = view.seen.memory.backing_off.get(&instance.uid) else {
            continue;
        };
        let waited = view.seen.now.since(*since);
        if waited < BACK_OFF {
            aside.wake(BACK_OFF.saturating_sub(waited));
            continue;
        }
        steps.push(Step::delete(instance));
    }
    (!steps.is_empty()).then_some((steps, "replace pods in a long back-off"))
}

/// Before a restart of everything, which would wait for them. Where somebody lives an election comes first: a deletion
/// that the API server refuses would hold it up.
pub(super) fn replace_outdated_if_nobody_lives(view: &View, aside: &mut Aside) -> Say {
    view.nobody_lives().then(|| replace_outdated(view, aside)).flatten()
}

/// A pod of an outdated revision that cannot run: its successor may. So a spec that was corrected is enough. Not one that
/// the record needs, unless everybody of whom it speaks has ended and their data is on volumes; and what may hold data
/// that nobody else has is left alone.
pub(super) fn replace_outdated(view: &View, _: &mut Aside) -> Say {
    if view.seen.desired.paused != Paused::No {
        return None;
    }
    let serves = matches!(view.master(), Master::Serves(_));
    let all_ended = view.nobody_lives();
    let kept = all_ended && view.seen.desired.volumes;
    let steps = outdated(view.seen, |instance| {
        kept || (!view.record.names(&instance.uid) && (serves || all_ended || instance.container.id.is_none()))
    });
    (!steps.is_empty()).then_some((steps, "replace pods of an outdated revision that cannot run"))
}

/// Deletions of the outdated pods that cannot run, as far as they are `dispensable`.
pub(super) fn outdated(seen: &Observed, dispensable: impl Fn(&Instance) -> bool) -> Vec<Step> {
    let cannot_run = |i: &&Instance| i.outdated && i.trouble.is_some() && !i.deleting && !View::is_up(i);
    let stuck = seen
        .instances
        .values()
        .filter(cannot_run)
        .filter(|instance| dispensable(instance));
    stuck.map(Step::delete).collect()
}
