//! A new spec reaches the pods: replicas first, one at a time, each in sync before the next; then one of them becomes master;
//! the former master last.
//!
//! Nothing of it is remembered: what was made for another spec is replaced whenever everybody else is there, whoever began.

use super::suspect::LATER;
use super::view::Living;
use super::{Aside, Master, Say, View, guard, join, leave};
use crate::observed::{Instance, Paused, Reach};
use crate::plan::{Reason, Step};
use crate::record::Stage;

/// Replaces the pod whose turn it is: its leave is recorded and finished first, so that nothing which was acknowledged is
/// on it alone.
pub(super) fn roll(view: &View, aside: &mut Aside) -> Say {
    let Master::Serves(master) = view.master() else {
        return None;
    };
    if !is_under_way(view) || view.seen.desired.paused != Paused::No {
        return None;
    }
    if let Some(why) = &view.seen.desired.incompatible {
        aside.note(Reason::RollRefused, why.clone());
        return None;
    }
    tell(view, master, aside);
    if is_alone(view, master) && !master.answer.replication.rewriting {
        return Some((vec![Step::delete(master.instance)], "roll: replace the only pod"));
    }
    let instance = turn(view, master)?;
    if !guard::is_settled(view, master) {
        return None;
    }
    if let Some(member) = member(view, instance) {
        let leaves = member != Stage::Leaving;
        return leaves.then(|| {
            (
                leave::record_leaving(view, vec![instance.pod.clone()]),
                "roll: a member leaves",
            )
        });
    }
    Some((vec![Step::delete(instance)], "roll: replace a pod"))
}

/// What goes with its pod is not somebody's only copy: a member's leave is finished first; of anybody else it must be known
/// that it holds nothing of its own, or that no process is left that could.
fn may_go(view: &View, master: Living, instance: &Instance) -> bool {
    if member(view, instance).is_some() {
        return true;
    }
    match &instance.reach {
        Reach::Answers(answer) => !answer.replication.loading && join::is_foreign(view, master, instance).is_none(),
        Reach::Refused { .. } => true,
        Reach::Untried | Reach::Alive(_) | Reach::Silent { .. } => instance.container.id.is_none(),
    }
}

/// It shows that it lacks what the record speaks of, and never was full under this master: nothing is on it alone.
fn holds_nothing(view: &View, instance: &Instance) -> bool {
    let member = view.record.members.get(&instance.pod);
    let was_full = member.is_some_and(|member| member.stage == Stage::Full || member.was_full);
    !was_full && instance.answer().is_some_and(|answer| view.lacks_data(answer))
}

/// The one pod that may be away now: a stale replica, and everybody else is in sync.
pub(super) fn turn<'a>(view: &View<'a>, master: Living) -> Option<&'a Instance> {
    if view.seen.desired.incompatible.is_some() || view.seen.desired.paused != Paused::No {
        return None;
    }
    let stale = wanted(view).filter(|it| is_due(it) && it.uid != master.instance.uid && !it.deleting);
    let turns = stale.filter(|it| may_go(view, master, it) && others_are_settled(view, master, it));
    turns.max_by_key(|it| it.ordinal)
}

/// Every replica follows the present spec and is in sync, and the master does not follow it.
pub(super) fn is_masters_turn(view: &View, master: Living) -> bool {
    let replicas = || wanted(view).filter(|it| it.uid != master.instance.uid);
    is_due(master.instance)
        && view.seen.desired.incompatible.is_none()
        && replicas().next().is_some()
        && replicas().all(|it| !it.stale)
        && others_are_settled(view, master, master.instance)
}

/// With fewer than three pods, one more runs as long as a roll goes on: else a copy of what was acknowledged would be
/// missing while a pod is replaced, and with one pod in memory all of it. It begins with a stale pod, and ends when all the
/// others are in sync: until then it may hold the only copy beside the master.
pub(super) fn surge(view: &View) -> u32 {
    let desired = &view.seen.desired;
    let short = desired.replicas == 2 || (desired.replicas == 1 && !desired.durable);
    let rolls = desired.incompatible.is_none();
    let all = || view.seen.instances.values();
    let staying = || all().filter(|it| it.ordinal < desired.replicas);
    let begins = rolls && desired.paused == Paused::No && staying().any(|it| it.stale);
    let runs = || all().any(|it| it.ordinal == desired.replicas);
    let is_done = |it: &&Instance| !(rolls && it.stale) && (serves(view, it) || is_in_sync(view, it));
    let done = || u32::try_from(staying().filter(is_done).count()).unwrap_or(u32::MAX);
    u32::from(short && (begins || (runs() && done() < desired.replicas)))
}

fn serves(view: &View, instance: &Instance) -> bool {
    matches!(view.master(), Master::Serves(master) if master.instance.uid == instance.uid)
}

/// The master is all there is, and its data outlives it: nobody can take over, so it is replaced where it is.
fn is_alone(view: &View, master: Living) -> bool {
    let desired = &view.seen.desired;
    let only = desired.replicas == 1 && desired.durable && view.record.members.is_empty();
    let due = is_due(master.instance) && !master.instance.deleting && view.seen.instances.len() == 1;
    only && due
}

/// Made for another spec, and a pod in its place would be made for the present one.
fn is_due(instance: &Instance) -> bool {
    instance.stale && instance.outdated
}

/// Somebody who is to run now was made for another spec.
pub(super) fn is_under_way(view: &View) -> bool {
    view.seen.instances.values().any(|it| view.is_wanted(it) && it.stale)
}

fn wanted<'a>(view: &View<'a>) -> impl Iterator<Item = &'a Instance> {
    let (seen, wanted) = (view.seen, view.wanted());
    seen.instances.values().filter(move |it| it.ordinal < wanted)
}

/// As many pods as are wanted are there, and all but this one and the master are full and linked. Where it holds nothing,
/// those whose turn comes later need not be: two of them would wait for each other.
fn others_are_settled(view: &View, master: Living, it: &Instance) -> bool {
    let others = wanted(view).filter(|other| other.uid != it.uid && other.uid != master.instance.uid);
    let empty = holds_nothing(view, it);
    let later = |other: &Instance| empty && is_due(other) && !other.deleting;
    let settled = others.filter(|other| is_in_sync(view, other) || later(other)).count();
    let itself = if it.uid == master.instance.uid { 1_usize } else { 2 };
    let leaving = view
        .record
        .at(Stage::Leaving)
        .any(|member| member.process.pod != it.pod);
    !leaving
        && !master.instance.deleting
        && settled.saturating_add(itself) >= usize::try_from(view.wanted()).unwrap_or(usize::MAX)
}

fn is_in_sync(view: &View, instance: &Instance) -> bool {
    let Some(answer) = instance.answer().filter(|_| instance.attached && !instance.deleting) else {
        return false;
    };
    let full = |member: &crate::record::Member| member.stage == Stage::Full;
    let linked = answer.replication.link_is_up();
    let member = view.record.member(&instance.uid, &answer.replication.run_id);
    linked && member.is_some_and(full)
}

fn member(view: &View, instance: &Instance) -> Option<Stage> {
    let member = view.record.members.get(&instance.pod)?;
    (member.process.uid == instance.uid).then_some(member.stage)
}

/// How far it has come, and for whom it waits.
fn tell(view: &View, master: Living, aside: &mut Aside) {
    let all = view.wanted();
    let done = wanted(view).filter(|it| !it.stale && (it.uid == master.instance.uid || is_in_sync(view, it)));
    let done = done.count();
    let next = turn(view, master).map(|it| &it.uid);
    let others = wanted(view).filter(|it| it.uid != master.instance.uid && !is_in_sync(view, it));
    let waits_for = others.filter(|it| next != Some(&it.uid)).min_by_key(|it| it.stale);
    let why = waits_for.and_then(|it| stuck(view, it));
    let reason = if why.is_some() {
        Reason::RollStuck
    } else {
        Reason::Rolling
    };
    let mut text = format!("{done} of {all} pods follow the present spec");
    if is_alone(view, master) && master.answer.replication.rewriting {
        let pod = &master.instance.pod;
        text.push_str(&format!("; waits until {pod} has written its append-only file anew"));
        aside.wake(LATER);
    }
    if let Some(it) = waits_for {
        text.push_str(&format!("; waits until {} is in sync", it.pod));
    }
    if let Some(why) = why {
        text.push_str(&format!(
            ": {why}. The others stay as they are; to go back, take the change of the spec back"
        ));
    }
    aside.note(reason, text);
}

/// Why it will not come by itself.
fn stuck(view: &View, instance: &Instance) -> Option<String> {
    if let Some(trouble) = instance.trouble.as_ref().filter(|_| !View::is_up(instance)) {
        return Some(trouble.clone());
    }
    let run_id = &instance.answer()?.replication.run_id;
    let linkless = view.seen.memory.linkless.get(run_id)?;
    // no number in it: a status that changes every second is written every second
    linkless.lasts(view.seen.now).then(|| {
        format!(
            "it has been without a link to the master for more than a minute; can its version read what the master's writes? See kubectl logs pod/{}",
            instance.pod
        )
    })
}
